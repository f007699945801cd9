//! A snapshot: one read transaction, and the heads that memory had of it.

use crate::cache::HeadCache;
use crate::entry::{Entry, blob, comparable, id_of, item_of_row, version as version_of};
use crate::fault::Result;
use crate::pool::View;
use bytes::Bytes;
use highwater_core::reads::{
    Change, Item, ListState, Page, PageLimit, Payloads, Reads, ScanRows, Tombstone,
};
use highwater_protocol::{ItemId, ListKey, OrderKey, Rank, Stamp, Version};
use highwater_store::{StoreError, Tick};
use parking_lot::Mutex;
use rusqlite::{Row, params};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// One commit, whole. It holds a connection, and keeps SQLite from reusing the
/// log: let go of it soon.
pub struct SqliteSnapshot {
    tick: Tick,
    incarnation: [u8; 16],
    cache: Arc<HeadCache>,
    reading: Mutex<Reading>,
}

struct Reading {
    view: View,
    entries: HashMap<ListKey, Entry>,
}

impl SqliteSnapshot {
    pub(crate) fn new(
        view: View,
        incarnation: [u8; 16],
        cache: Arc<HeadCache>,
        lists: &[ListKey],
    ) -> Self {
        Self {
            tick: view.tick,
            incarnation,
            reading: Mutex::new(Reading {
                entries: cache.some_of(lists, view.tick).into_iter().collect(),
                view,
            }),
            cache,
        }
    }

    /// The commit that it sees.
    #[must_use]
    pub const fn tick(&self) -> Tick {
        self.tick
    }

    fn entry(&self, reading: &mut Reading, list: &ListKey) -> Result<Entry> {
        if let Some(entry) = reading.entries.get(list) {
            return Ok(*entry);
        }
        let entry = Entry::load(reading.view.connection(), &self.incarnation, list)?;
        reading.entries.insert(list.clone(), entry);
        self.cache.offer(self.tick, list, entry);
        Ok(entry)
    }

    /// Runs `read` on a list that lives; `None` if it does not.
    fn on_live<T>(
        &self,
        list: &ListKey,
        read: impl FnOnce(&View, i64) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut reading = self.reading.lock();
        let entry = self.entry(&mut reading, list)?;
        if !entry.is_live() {
            return Ok(None);
        }
        read(&reading.view, entry.n).map(Some)
    }
}

impl Reads for SqliteSnapshot {
    type Error = StoreError;

    async fn state(&self, list: &ListKey) -> std::result::Result<ListState, StoreError> {
        let mut reading = self.reading.lock();
        Ok(self.entry(&mut reading, list)?.state())
    }

    async fn changes(
        &self,
        list: &ListKey,
        after: Version,
        limit: PageLimit,
    ) -> std::result::Result<Page<Change>, StoreError> {
        let page = self.on_live(list, |view, n| changes(view, n, after, limit))?;
        Ok(page.unwrap_or(Page {
            rows: Vec::new(),
            more: false,
        }))
    }

    async fn scan(
        &self,
        list: &ListKey,
        at_most: Version,
        after: Option<&OrderKey>,
        payloads: Payloads,
        limit: PageLimit,
    ) -> std::result::Result<ScanRows, StoreError> {
        let scanned = self.on_live(list, |view, n| {
            let mut scan = Scan::new(at_most, after, payloads, limit);
            let mut ended = false;
            // With payloads first, then without.
            while !ended && !scan.meter.is_full() {
                ended = scan.advance(view, n)?;
            }
            if !ended {
                ended = scan.is_last(view, n)?;
            }
            Ok(ScanRows {
                next: if ended { None } else { scan.last },
                rows: scan.rows,
            })
        })?;
        Ok(scanned.unwrap_or(ScanRows {
            rows: Vec::new(),
            next: None,
        }))
    }

    async fn items(
        &self,
        list: &ListKey,
        ids: &[ItemId],
    ) -> std::result::Result<Vec<Item>, StoreError> {
        let ids: BTreeSet<&ItemId> = ids.iter().collect();
        let items = self.on_live(list, |view, n| {
            let mut statement = view.connection().prepare_cached(
                "SELECT id, rank, version, created, stamp, payload FROM elements
                 WHERE list = ?1 AND id = ?2 AND deleted_at IS NULL",
            )?;
            let mut items = Vec::with_capacity(ids.len());
            for id in ids {
                let mut rows = statement.query(params![n, id.as_str()])?;
                if let Some(row) = rows.next()? {
                    items.push(item_of_row(row, true)?);
                }
            }
            Ok(items)
        })?;
        Ok(items.unwrap_or_default())
    }
}

const CHANGES: &str = "SELECT version, created, deleted_at, id, rank, stamp, payload FROM elements
    WHERE list = ?1 AND version > ?2 ORDER BY version";
const ITEMS: &str = "SELECT id, rank, version, created, stamp, payload
    FROM elements INDEXED BY elements_by_rank
    WHERE list = ?1 AND deleted_at IS NULL ORDER BY rank, id";
const ITEMS_AFTER: &str = "SELECT id, rank, version, created, stamp, payload
    FROM elements INDEXED BY elements_by_rank
    WHERE list = ?1 AND deleted_at IS NULL AND (rank, id) > (?2, ?3) ORDER BY rank, id";
const SKELETON: &str = "SELECT id, rank, version, created, stamp
    FROM elements INDEXED BY elements_by_rank
    WHERE list = ?1 AND deleted_at IS NULL ORDER BY rank, id";
const SKELETON_AFTER: &str = "SELECT id, rank, version, created, stamp
    FROM elements INDEXED BY elements_by_rank
    WHERE list = ?1 AND deleted_at IS NULL AND (rank, id) > (?2, ?3) ORDER BY rank, id";
const MORE: &str = "SELECT 1 FROM elements INDEXED BY elements_by_rank
    WHERE list = ?1 AND deleted_at IS NULL AND (rank, id) > (?2, ?3) LIMIT 1";

fn changes(view: &View, n: i64, after: Version, limit: PageLimit) -> Result<Page<Change>> {
    let mut statement = view.connection().prepare_cached(CHANGES)?;
    let mut found = statement.query(params![n, comparable(after)])?;
    let mut meter = Meter::new(limit);
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        if meter.is_full() {
            return Ok(Page { rows, more: true });
        }
        let change = change_of_row(row)?;
        meter.count(match &change {
            Change::Put(item) => cost(item, true),
            Change::Deleted(tombstone) => tombstone.id.as_str().len(),
        });
        rows.push(change);
    }
    Ok(Page { rows, more: false })
}

fn change_of_row(row: &Row<'_>) -> Result<Change> {
    let (id, version, created) = (id_of(row, 3)?, version_of(row, 0)?, version_of(row, 1)?);
    let deleted_at: Option<i64> = row.get(2)?;
    if deleted_at.is_some() {
        return Ok(Change::Deleted(Tombstone {
            id,
            version,
            created,
        }));
    }
    Ok(Change::Put(Item {
        id,
        rank: Rank::new(blob(row, 4)?.to_vec())?,
        payload: Bytes::copy_from_slice(blob(row, 6)?),
        version,
        created,
        stamp: Stamp(row.get(5)?),
    }))
}

/// A page of a list in its order, on its way.
struct Scan {
    at_most: Version,
    /// Rows that may still come with their payload; `None`: all.
    with_payload: Option<usize>,
    meter: Meter,
    rows: Vec<Item>,
    last: Option<OrderKey>,
}

impl Scan {
    fn new(
        at_most: Version,
        after: Option<&OrderKey>,
        payloads: Payloads,
        limit: PageLimit,
    ) -> Self {
        Self {
            at_most,
            with_payload: match payloads {
                Payloads::All => None,
                Payloads::First(first) => Some(first),
            },
            meter: Meter::new(limit),
            rows: Vec::new(),
            last: after.cloned(),
        }
    }

    /// Goes on behind the last row, with payloads or without, until the page is
    /// full, no more payloads are asked for, or the list ends: then it is true.
    fn advance(&mut self, view: &View, n: i64) -> Result<bool> {
        let with_payload = self.with_payload != Some(0);
        // A payload that is not asked for is not read: it may take many pages.
        let mut statement = view
            .connection()
            .prepare_cached(match (with_payload, &self.last) {
                (true, None) => ITEMS,
                (true, Some(_)) => ITEMS_AFTER,
                (false, None) => SKELETON,
                (false, Some(_)) => SKELETON_AFTER,
            })?;
        let mut found = match &self.last {
            None => statement.query(params![n])?,
            Some(last) => statement.query(params![n, last.rank.as_bytes(), last.id.as_str()])?,
        };
        loop {
            if self.meter.is_full() || (with_payload && self.with_payload == Some(0)) {
                return Ok(false);
            }
            let Some(row) = found.next()? else {
                return Ok(true);
            };
            let passes = version_of(row, 2)? <= self.at_most;
            let item = item_of_row(row, with_payload && passes)?;
            self.last = Some(OrderKey::new(item.rank.clone(), item.id.clone()));
            if !passes {
                self.meter.count(0);
                continue;
            }
            self.meter.count(cost(&item, with_payload));
            self.rows.push(item);
            if let Some(left) = &mut self.with_payload
                && with_payload
            {
                *left -= 1;
            }
        }
    }

    /// Whether the list ends with the last row.
    fn is_last(&self, view: &View, n: i64) -> Result<bool> {
        let Some(last) = &self.last else {
            return Ok(false);
        };
        let more = view.connection().prepare_cached(MORE)?.exists(params![
            n,
            last.rank.as_bytes(),
            last.id.as_str()
        ])?;
        Ok(!more)
    }
}

fn cost(item: &Item, with_payload: bool) -> usize {
    let content = if with_payload { item.payload.len() } else { 16 };
    item.id.as_str().len() + item.rank.as_bytes().len() + content
}

/// Counts rows and bytes against a page's limit. A page has at least one row.
struct Meter {
    limit: PageLimit,
    rows: usize,
    bytes: usize,
}

impl Meter {
    const fn new(limit: PageLimit) -> Self {
        Self {
            limit,
            rows: 0,
            bytes: 0,
        }
    }

    const fn count(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes += bytes;
    }

    const fn is_full(&self) -> bool {
        self.rows > 0 && (self.rows >= self.limit.rows || self.bytes >= self.limit.bytes)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::schema::{STEPS, migrate};
    use rusqlite::Connection;

    /// No read of a page sorts or scans more than it returns.
    #[test]
    fn pages_are_read_from_their_index() {
        let mut database = Connection::open_in_memory().unwrap();
        migrate(&mut database, 0, STEPS).unwrap();
        let by_rank = "SEARCH elements USING INDEX elements_by_rank (list=?";
        for (sql, expected) in [
            (
                CHANGES,
                "SEARCH elements USING INDEX elements_by_version (list=? AND version>?)".to_owned(),
            ),
            (ITEMS, format!("{by_rank})")),
            (ITEMS_AFTER, format!("{by_rank} AND (rank,id)>(?,?))")),
            (SKELETON, format!("{by_rank})")),
            (SKELETON_AFTER, format!("{by_rank} AND (rank,id)>(?,?))")),
            (MORE, format!("{by_rank} AND (rank,id)>(?,?))")),
        ] {
            let mut statement = database
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            for parameter in 1..=statement.parameter_count() {
                statement.raw_bind_parameter(parameter, 1).unwrap();
            }
            let mut rows = statement.raw_query();
            let mut plan = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                plan.push(row.get::<_, String>(3).unwrap());
            }
            assert_eq!(plan, [expected], "{sql}");
        }
    }
}
