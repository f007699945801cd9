//! One write, in a savepoint of its group's transaction.
//!
//! Elements are written as the work asks for it; the rows of lists are kept in
//! memory and written once a group, however many writes it holds.

use crate::cache::HeadCache;
use crate::entry::{Entry, comparable, earlier_life, item_of_row, signed, unsigned};
use crate::fault::{Fault, Result};
use bytes::Bytes;
use highwater_core::planted::{Bug, is};
use highwater_core::reads::{Item, ListState};
use highwater_core::stamp::{lineage_of, stamp_of};
use highwater_core::{Effect, Head};
use highwater_protocol::{Digest, ItemId, Lineage, ListKey, OrderKey, Rank, Stamp, Version};
use highwater_store::{JobId, StoreError, WriteTxn};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// Tombstones that one call of [`WriteTxn::discard`] forgets at most.
const DISCARD_TOMBSTONES: u64 = 1_000;

/// What the writes of one transaction have changed so far.
#[derive(Default)]
pub(crate) struct Group {
    /// The lists that changed, as they stand.
    pub(crate) entries: BTreeMap<ListKey, Entry>,
    /// Whether there is anything to commit.
    pub(crate) changed: bool,
    /// Elements that were put or deleted.
    pub(crate) rows: u64,
    /// Bytes of their payloads.
    pub(crate) bytes: usize,
}

/// What a transaction works on.
pub(crate) struct SqliteTxn<'a> {
    connection: &'a mut Connection,
    incarnation: &'a [u8; 16],
    cache: &'a HeadCache,
    group: &'a Group,
    now_ms: i64,
    /// The declared lists, and those of them that were looked at.
    slots: BTreeMap<ListKey, Option<Slot>>,
    changed: bool,
    rows: u64,
    bytes: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    before: Entry,
    now: Entry,
}

/// What a write leaves to its group.
pub(crate) struct Left {
    /// The states that it changed, by name.
    pub(crate) states: Vec<(ListKey, ListState)>,
    entries: Vec<(ListKey, Entry)>,
    changed: bool,
    rows: u64,
    bytes: usize,
}

impl Group {
    /// Takes over what a write did.
    pub(crate) fn absorb(&mut self, left: Left) {
        self.entries.extend(left.entries);
        self.changed |= left.changed;
        self.rows += left.rows;
        self.bytes += left.bytes;
    }
}

/// An element's row, without its payload.
struct Found {
    n: i64,
    /// `None`: it is a tombstone.
    live: Option<(Stamp, Vec<u8>)>,
}

impl Found {
    fn stamp(&self) -> Option<Stamp> {
        self.live.as_ref().map(|(stamp, _)| *stamp)
    }

    fn stands_at(&self, rank: &Rank) -> bool {
        self.live
            .as_ref()
            .is_some_and(|(_, stands)| stands == rank.as_bytes())
    }
}

impl<'a> SqliteTxn<'a> {
    pub(crate) fn begin(
        connection: &'a mut Connection,
        incarnation: &'a [u8; 16],
        cache: &'a HeadCache,
        group: &'a Group,
        lists: Vec<ListKey>,
        now_ms: i64,
    ) -> Self {
        Self {
            connection,
            incarnation,
            cache,
            group,
            now_ms,
            slots: lists.into_iter().map(|list| (list, None)).collect(),
            changed: false,
            rows: 0,
            bytes: 0,
        }
    }

    pub(crate) fn finish(self) -> Left {
        let mut left = Left {
            states: Vec::new(),
            entries: Vec::new(),
            changed: self.changed,
            rows: self.rows,
            bytes: self.bytes,
        };
        for (list, slot) in self.slots {
            let Some(Slot { before, now }) = slot else {
                continue;
            };
            if before == now {
                continue;
            }
            if before.state() != now.state() {
                left.states.push((list.clone(), now.state()));
            }
            left.entries.push((list, now));
        }
        left
    }

    pub(crate) const fn connection(&mut self) -> &mut Connection {
        self.connection
    }

    /// Takes a list that was found in the database among the declared ones.
    pub(crate) fn declare(&mut self, list: &ListKey) {
        self.slots.entry(list.clone()).or_default();
    }

    /// Notes that there is something to commit.
    pub(crate) const fn touch(&mut self) {
        self.changed = true;
    }

    pub(crate) fn entry(&mut self, list: &ListKey) -> Result<Entry> {
        let Some(slot) = self.slots.get(list) else {
            panic!("the write did not declare the list {list}");
        };
        if let Some(slot) = slot {
            return Ok(slot.now);
        }
        let known = self.group.entries.get(list).copied();
        let entry = match known.or_else(|| self.cache.newest(list)) {
            Some(entry) => entry,
            None => Entry::load(self.connection, self.incarnation, list)?,
        };
        self.slots.insert(
            list.clone(),
            Some(Slot {
                before: entry,
                now: entry,
            }),
        );
        Ok(entry)
    }

    /// Notes how a list stands that was looked at before.
    pub(crate) fn stands(&mut self, list: &ListKey, entry: Entry) {
        self.changed = true;
        if let Some(Some(slot)) = self.slots.get_mut(list) {
            slot.now = entry;
        }
    }

    /// Makes sure that the list lives, and returns how it stands.
    fn revive(&mut self, list: &ListKey) -> Result<Entry> {
        let before = self.entry(list)?;
        if before.is_live() {
            return Ok(before);
        }
        let epoch = if before.ended {
            // Its row is an earlier life's from now on: it is written, or, if
            // nothing is left of that life, forgotten.
            if before.head.count == 0 && before.tombstones == 0 {
                self.forget(before.n)?;
            } else {
                before.update(self.connection)?;
            }
            before.epoch + 1
        } else {
            0
        };
        let mut entry = Entry {
            n: 0,
            epoch,
            ended: false,
            head: Head::empty(lineage_of(self.incarnation, list, epoch)),
            tombstones: 0,
        };
        entry.n = entry.insert(self.connection, list)?;
        self.stands(list, entry);
        Ok(entry)
    }

    /// Forgets the row of an earlier life.
    fn forget(&mut self, n: i64) -> Result<()> {
        self.connection
            .prepare_cached("DELETE FROM lists WHERE n = ?1")?
            .execute([n])?;
        Ok(())
    }

    fn find(&self, n: i64, id: &ItemId) -> Result<Option<Found>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT n, deleted_at, stamp, rank FROM elements WHERE list = ?1 AND id = ?2",
        )?;
        let mut rows = statement.query(params![n, id.as_str()])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let deleted_at: Option<i64> = row.get(1)?;
        Ok(Some(Found {
            n: row.get(0)?,
            live: match deleted_at {
                Some(_) => None,
                None => Some((Stamp(row.get(2)?), row.get(3)?)),
            },
        }))
    }

    fn put_now(
        &mut self,
        list: &ListKey,
        id: &ItemId,
        rank: &Rank,
        payload: &[u8],
    ) -> Result<Effect> {
        let mut entry = self.revive(list)?;
        let found = self.find(entry.n, id)?;
        let stamp = stamp_of(id, rank, payload);
        let before = found.as_ref().and_then(Found::stamp);
        let effect = entry.head.advance(before, Some(stamp));
        let Effect::Changed(version) = effect else {
            return Ok(effect);
        };
        let version = signed(version.get())?;
        match found {
            // The index by rank is not touched: SQLite would rewrite its entry
            // if the rank was only named.
            Some(found) if found.stands_at(rank) => {
                self.connection
                    .prepare_cached(
                        "UPDATE elements SET version = ?2, stamp = ?3, payload = ?4 WHERE n = ?1",
                    )?
                    .execute(params![found.n, version, stamp.0, payload])?;
            }
            Some(found) => {
                if before.is_none() {
                    entry.tombstones = less_one(entry.tombstones, list)?;
                }
                self.connection
                    .prepare_cached(
                        "UPDATE elements SET version = ?2, deleted_at = NULL, rank = ?3,
                         stamp = ?4, payload = ?5 WHERE n = ?1",
                    )?
                    .execute(params![found.n, version, rank.as_bytes(), stamp.0, payload])?;
                if is(Bug::CreatedForgotten) {
                    self.connection.execute(
                        "UPDATE elements SET created = version WHERE n = ?1",
                        [found.n],
                    )?;
                }
            }
            None => {
                self.connection
                    .prepare_cached(
                        "INSERT INTO elements (list, version, created, id, rank, stamp, payload)
                         VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .execute(params![
                        entry.n,
                        version,
                        id.as_str(),
                        rank.as_bytes(),
                        stamp.0,
                        payload
                    ])?;
            }
        }
        self.rows += 1;
        self.bytes += payload.len();
        self.stands(list, entry);
        Ok(effect)
    }

    fn delete_now(&mut self, list: &ListKey, id: &ItemId) -> Result<Effect> {
        let mut entry = self.entry(list)?;
        if !entry.is_live() {
            return Ok(Effect::Unchanged);
        }
        let Some(Found {
            n,
            live: Some((stamp, _)),
        }) = self.find(entry.n, id)?
        else {
            return Ok(Effect::Unchanged);
        };
        let effect = entry.head.advance(Some(stamp), None);
        self.connection
            .prepare_cached(
                "UPDATE elements SET version = ?2, deleted_at = ?3, rank = NULL, stamp = NULL,
                 payload = NULL WHERE n = ?1",
            )?
            .execute(params![n, comparable(entry.head.version), self.now_ms])?;
        entry.tombstones += 1;
        self.rows += 1;
        self.stands(list, entry);
        Ok(effect)
    }

    fn item_now(&mut self, list: &ListKey, id: &ItemId) -> Result<Option<Item>> {
        let entry = self.entry(list)?;
        if !entry.is_live() {
            return Ok(None);
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT id, rank, version, created, stamp, payload FROM elements
             WHERE list = ?1 AND id = ?2 AND deleted_at IS NULL",
        )?;
        let mut rows = statement.query(params![entry.n, id.as_str()])?;
        match rows.next()? {
            Some(row) => item_of_row(row, true).map(Some),
            None => Ok(None),
        }
    }

    fn scan_now(
        &mut self,
        list: &ListKey,
        after: Option<&OrderKey>,
        limit: usize,
    ) -> Result<Vec<Item>> {
        let entry = self.entry(list)?;
        if !entry.is_live() {
            return Ok(Vec::new());
        }
        self.read_items(entry.n, after, limit)
    }

    /// The elements of a life behind `after`, in its order.
    fn read_items(&self, n: i64, after: Option<&OrderKey>, limit: usize) -> Result<Vec<Item>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(match after {
            None => {
                "SELECT id, rank, version, created, stamp, payload
                 FROM elements INDEXED BY elements_by_rank
                 WHERE list = ?1 AND deleted_at IS NULL ORDER BY rank, id LIMIT ?2"
            }
            Some(_) => {
                "SELECT id, rank, version, created, stamp, payload
                 FROM elements INDEXED BY elements_by_rank
                 WHERE list = ?1 AND deleted_at IS NULL AND (rank, id) > (?3, ?4)
                 ORDER BY rank, id LIMIT ?2"
            }
        })?;
        let mut rows = match after {
            None => statement.query(params![n, limit])?,
            Some(after) => {
                statement.query(params![n, limit, after.rank.as_bytes(), after.id.as_str()])?
            }
        };
        let mut items = Vec::new();
        while let Some(row) = rows.next()? {
            items.push(item_of_row(row, true)?);
        }
        Ok(items)
    }

    fn end_now(&mut self, list: &ListKey) -> Result<Option<Lineage>> {
        let mut entry = self.entry(list)?;
        if !entry.is_live() {
            return Ok(None);
        }
        entry.ended = true;
        self.stands(list, entry);
        Ok(Some(entry.head.lineage))
    }

    fn remains_now(&mut self, list: &ListKey, ended: Lineage, limit: usize) -> Result<Vec<Item>> {
        let entry = self.entry(list)?;
        let n = if entry.ended && entry.head.lineage == ended {
            entry.n
        } else {
            match earlier_life(self.connection, list, ended)? {
                Some((n, _, _)) => n,
                None => return Ok(Vec::new()),
            }
        };
        self.read_items(n, None, limit)
    }

    fn discard_now(&mut self, list: &ListKey, ended: Lineage, ids: &[ItemId]) -> Result<()> {
        let mut entry = self.entry(list)?;
        let newest = entry.ended && entry.head.lineage == ended;
        let (n, mut count, mut tombstones) = if newest {
            (entry.n, entry.head.count, entry.tombstones)
        } else {
            match earlier_life(self.connection, list, ended)? {
                Some(life) => life,
                None => return Ok(()),
            }
        };
        let mut statement = self.connection.prepare_cached(
            "DELETE FROM elements WHERE list = ?1 AND id = ?2 AND deleted_at IS NULL",
        )?;
        let mut gone = 0;
        for id in ids {
            gone += statement.execute(params![n, id.as_str()])? as u64;
        }
        drop(statement);
        count = count.saturating_sub(gone);
        if count == 0 && tombstones > 0 {
            let dropped = drop_oldest(self.connection, n, tombstones.min(DISCARD_TOMBSTONES))?;
            gone += dropped.tombstones;
            tombstones = tombstones.saturating_sub(dropped.tombstones);
        }
        self.rows += gone;
        if newest {
            (entry.head.count, entry.tombstones) = (count, tombstones);
            if gone > 0 {
                self.stands(list, entry);
            }
        } else {
            self.changed = true;
            if count == 0 && tombstones == 0 {
                self.forget(n)?;
            } else {
                self.connection
                    .prepare_cached("UPDATE lists SET count = ?2, tombstones = ?3 WHERE n = ?1")?
                    .execute(params![n, signed(count)?, signed(tombstones)?])?;
            }
        }
        Ok(())
    }

    fn recount_now(&mut self, list: &ListKey) -> Result<Option<Head>> {
        let mut entry = self.entry(list)?;
        if !entry.is_live() {
            return Ok(None);
        }
        let (mut count, mut digest) = (0, Digest::ZERO);
        {
            let mut statement = self.connection.prepare_cached(
                "SELECT stamp FROM elements WHERE list = ?1 AND deleted_at IS NULL",
            )?;
            let mut rows = statement.query([entry.n])?;
            while let Some(row) = rows.next()? {
                count += 1;
                digest = digest.plus(Stamp(row.get(0)?));
            }
        }
        let wrong = entry.head.correct(count, digest);
        if wrong.is_some() {
            self.stands(list, entry);
        }
        Ok(wrong)
    }

    fn enqueue_now(&mut self, payload: &[u8]) -> Result<JobId> {
        self.changed = true;
        self.connection
            .prepare_cached("INSERT INTO jobs (queued_at, payload) VALUES (?1, ?2)")?
            .execute(params![self.now_ms, payload])?;
        let n = self.connection.last_insert_rowid();
        Ok(JobId(u64::try_from(n).map_err(|_| {
            Fault::corrupt(format!("a job has the number {n}"))
        })?))
    }

    fn complete_now(&mut self, job: JobId) -> Result<()> {
        // A number that is out of bounds is no job's.
        let gone = self
            .connection
            .prepare_cached("DELETE FROM jobs WHERE n = ?1")?
            .execute([i64::try_from(job.0).unwrap_or(0)])?;
        self.changed |= gone > 0;
        Ok(())
    }
}

fn less_one(tombstones: u64, list: &ListKey) -> Result<u64> {
    tombstones
        .checked_sub(1)
        .ok_or_else(|| Fault::corrupt(format!("{list} has more tombstones than it counts")))
}

/// Tombstones that were dropped, and the newest version among them.
#[derive(Default)]
pub(crate) struct Dropped {
    pub(crate) tombstones: u64,
    pub(crate) newest: Version,
}

/// Drops the `limit` oldest tombstones of one life.
pub(crate) fn drop_oldest(connection: &Connection, n: i64, limit: u64) -> Result<Dropped> {
    let mut find = connection.prepare_cached(
        "SELECT n, version FROM elements INDEXED BY tombstones_by_version
         WHERE list = ?1 AND deleted_at IS NOT NULL ORDER BY version LIMIT ?2",
    )?;
    let found: Vec<(i64, u64)> = find
        .query_map(params![n, signed(limit)?], |row| {
            Ok((row.get(0)?, unsigned(row, 1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut remove = connection.prepare_cached("DELETE FROM elements WHERE n = ?1")?;
    let mut dropped = Dropped::default();
    for (row, version) in found {
        remove.execute([row])?;
        dropped.tombstones += 1;
        dropped.newest = Version::new(version);
        if is(Bug::PurgeDropsElements) {
            connection.execute(
                "DELETE FROM elements WHERE list = ?1 AND version < ?2",
                params![n, signed(version)?],
            )?;
        }
    }
    Ok(dropped)
}

impl WriteTxn for SqliteTxn<'_> {
    async fn state(&mut self, list: &ListKey) -> std::result::Result<ListState, StoreError> {
        Ok(self.entry(list)?.state())
    }

    async fn item(
        &mut self,
        list: &ListKey,
        id: &ItemId,
    ) -> std::result::Result<Option<Item>, StoreError> {
        Ok(self.item_now(list, id)?)
    }

    async fn scan(
        &mut self,
        list: &ListKey,
        after: Option<&OrderKey>,
        limit: usize,
    ) -> std::result::Result<Vec<Item>, StoreError> {
        Ok(self.scan_now(list, after, limit)?)
    }

    async fn put(
        &mut self,
        list: &ListKey,
        id: &ItemId,
        rank: Rank,
        payload: Bytes,
    ) -> std::result::Result<Effect, StoreError> {
        Ok(self.put_now(list, id, &rank, &payload)?)
    }

    async fn delete(
        &mut self,
        list: &ListKey,
        id: &ItemId,
    ) -> std::result::Result<Effect, StoreError> {
        Ok(self.delete_now(list, id)?)
    }

    async fn end(&mut self, list: &ListKey) -> std::result::Result<Option<Lineage>, StoreError> {
        Ok(self.end_now(list)?)
    }

    async fn remains(
        &mut self,
        list: &ListKey,
        ended: Lineage,
        limit: usize,
    ) -> std::result::Result<Vec<Item>, StoreError> {
        Ok(self.remains_now(list, ended, limit)?)
    }

    async fn discard(
        &mut self,
        list: &ListKey,
        ended: Lineage,
        ids: &[ItemId],
    ) -> std::result::Result<(), StoreError> {
        Ok(self.discard_now(list, ended, ids)?)
    }

    async fn recount(&mut self, list: &ListKey) -> std::result::Result<Option<Head>, StoreError> {
        Ok(self.recount_now(list)?)
    }

    async fn enqueue(&mut self, payload: Bytes) -> std::result::Result<JobId, StoreError> {
        Ok(self.enqueue_now(&payload)?)
    }

    async fn complete(&mut self, job: JobId) -> std::result::Result<(), StoreError> {
        Ok(self.complete_now(job)?)
    }
}
