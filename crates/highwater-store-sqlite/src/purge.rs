//! Dropping old tombstones, a step at a time.
//!
//! Each step is a write like any other: it is taken in turn, shares its commit
//! with others, and moves floors and heads in memory as they do.

use crate::entry::{Entry, signed, unsigned};
use crate::fault::Result;
use crate::queue::{End, Queued};
use crate::store::{SqliteStore, list_of_row};
use crate::txn::{Dropped, SqliteTxn, drop_oldest};
use highwater_core::planted::{Bug, is};
use highwater_protocol::{ListKey, Version};
use highwater_store::{PurgePolicy, Purged, StoreError};
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::oneshot;

/// Tombstones that one step drops at most.
const STEP_TOMBSTONES: u64 = 500;
/// Lists that are looked at in one read.
const STEP_LISTS: i64 = 10_000;

/// What one step is about.
#[derive(Clone)]
enum Task {
    /// Lists that have more than `keep`, by the number of their row.
    TooMany { lists: Vec<i64>, keep: u64 },
    /// Those that were deleted before this moment.
    TooOld { before_ms: i64 },
    /// Those of lists that ended.
    OfEnded,
}

/// What one step did.
#[derive(Clone, Default)]
struct Step {
    tombstones: u64,
    risen: BTreeSet<ListKey>,
    /// There may be more of the same to do.
    more: bool,
}

pub(crate) async fn purge(
    store: &SqliteStore,
    now_ms: i64,
    policy: PurgePolicy,
) -> std::result::Result<Purged, StoreError> {
    let mut total = Step::default();
    let mut after = 0;
    loop {
        let (lists, next) = too_many(store, after, policy.per_list_max)?;
        if !lists.is_empty() {
            let keep = policy.per_list_max;
            repeat(store, Task::TooMany { lists, keep }, &mut total).await?;
        }
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    if let Some(before_ms) = now_ms.checked_sub(policy.age_ms_max) {
        repeat(store, Task::TooOld { before_ms }, &mut total).await?;
    }
    repeat(store, Task::OfEnded, &mut total).await?;
    Ok(Purged {
        lists: total.risen.len() as u64,
        tombstones: total.tombstones,
    })
}

/// The lists with row numbers after `after` that have more than `keep`
/// tombstones, and where to look on.
fn too_many(store: &SqliteStore, after: i64, keep: u64) -> Result<(Vec<i64>, Option<i64>)> {
    let view = store.view()?;
    let connection = view.connection();
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(n) FROM lists")?
        .query_row([], |row| row.get(0))?;
    let until = after.saturating_add(STEP_LISTS);
    let lists = connection
        .prepare_cached(
            "SELECT n FROM lists WHERE n > ?1 AND n <= ?2 AND ended IS NULL AND tombstones > ?3",
        )?
        .query_map(
            params![after, until, i64::try_from(keep).unwrap_or(i64::MAX)],
            |row| row.get(0),
        )?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    Ok((lists, last.filter(|last| *last > until).map(|_| until)))
}

/// Takes steps until there is nothing more to do.
async fn repeat(
    store: &SqliteStore,
    task: Task,
    total: &mut Step,
) -> std::result::Result<(), StoreError> {
    loop {
        let (reply, told) = oneshot::channel();
        let write = PurgeStep {
            task: task.clone(),
            done: Ok(Step::default()),
            reply,
        };
        store.submit(Box::new(write)).await?;
        let ended = || Err(StoreError::Unavailable("the writer ended".to_owned()));
        let step = told.await.unwrap_or_else(|_| ended())?;
        total.tombstones += step.tombstones;
        total.risen.extend(step.risen);
        if !step.more {
            return Ok(());
        }
    }
}

/// One step, in the queue.
struct PurgeStep {
    task: Task,
    done: std::result::Result<Step, StoreError>,
    reply: oneshot::Sender<std::result::Result<Step, StoreError>>,
}

impl Queued for PurgeStep {
    fn now_ms(&self) -> i64 {
        0
    }

    fn lists(&self) -> Vec<ListKey> {
        Vec::new()
    }

    fn run(&mut self, txn: &mut SqliteTxn<'_>) -> bool {
        let done = match &self.task {
            Task::TooMany { lists, keep } => drop_too_many(txn, lists, *keep),
            Task::TooOld { before_ms } => drop_too_old(txn, *before_ms),
            Task::OfEnded => drop_of_ended(txn),
        };
        self.done = done.map_err(StoreError::from).map(|mut step| {
            // A list that counts more tombstones than it has is for a check to
            // find: here it must not be looked for without end.
            step.more &= step.tombstones > 0;
            step
        });
        self.done.is_ok()
    }

    fn answer(self: Box<Self>, end: End) {
        let answer = match (self.done, end) {
            (Err(error), _) => Err(error),
            (Ok(step), End::Committed(..)) => Ok(step),
            (Ok(_), End::NotCommitted(error) | End::Unknown(error)) => Err(error),
        };
        drop(self.reply.send(answer));
    }
}

fn drop_too_many(txn: &mut SqliteTxn<'_>, lists: &[i64], keep: u64) -> Result<Step> {
    let mut step = Step::default();
    for n in lists {
        if step.tombstones >= STEP_TOMBSTONES {
            step.more = true;
            break;
        }
        let Some(list) = name_of(txn, *n)? else {
            continue;
        };
        let entry = txn.entry(&list)?;
        // It may have ended, or begun again, since it was looked up.
        if entry.n != *n || !entry.is_live() {
            continue;
        }
        let too_many = entry.tombstones.saturating_sub(keep);
        let limit = too_many.min(STEP_TOMBSTONES - step.tombstones);
        if limit == 0 {
            continue;
        }
        let dropped = drop_oldest(txn.connection(), *n, limit)?;
        step.more |= limit < too_many;
        step.take(txn, &list, entry, &dropped);
    }
    Ok(step)
}

fn drop_too_old(txn: &mut SqliteTxn<'_>, before_ms: i64) -> Result<Step> {
    let mut lives: BTreeMap<i64, Dropped> = BTreeMap::new();
    let mut step = Step::default();
    {
        let connection = txn.connection();
        let mut find = connection.prepare_cached(
            "SELECT n, list, version FROM elements INDEXED BY tombstones_by_age
             WHERE deleted_at < ?1 ORDER BY deleted_at LIMIT ?2",
        )?;
        let found: Vec<(i64, i64, u64)> = find
            .query_map(params![before_ms, signed(STEP_TOMBSTONES)?], |row| {
                Ok((row.get(0)?, row.get(1)?, unsigned(row, 2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        step.more = found.len() as u64 == STEP_TOMBSTONES;
        let mut remove = connection.prepare_cached("DELETE FROM elements WHERE n = ?1")?;
        for (row, list, version) in found {
            remove.execute([row])?;
            let life = lives.entry(list).or_default();
            life.tombstones += 1;
            life.newest = life.newest.max(Version::new(version));
        }
    }
    for (n, dropped) in lives {
        step.take_from(txn, n, &dropped)?;
    }
    Ok(step)
}

fn drop_of_ended(txn: &mut SqliteTxn<'_>) -> Result<Step> {
    let lives: Vec<i64> = txn
        .connection()
        .prepare_cached(
            "SELECT n FROM lists INDEXED BY ended_lists_with_tombstones
             WHERE ended IS NOT NULL AND tombstones > 0 ORDER BY n LIMIT 100",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut step = Step {
        more: lives.len() == 100,
        ..Step::default()
    };
    for n in lives {
        if step.tombstones >= STEP_TOMBSTONES {
            step.more = true;
            break;
        }
        let limit = STEP_TOMBSTONES - step.tombstones;
        let dropped = drop_oldest(txn.connection(), n, limit)?;
        if dropped.tombstones == limit {
            step.more = true;
        }
        step.take_from(txn, n, &dropped)?;
    }
    Ok(step)
}

/// The list whose life has this row.
fn name_of(txn: &mut SqliteTxn<'_>, n: i64) -> Result<Option<ListKey>> {
    let list = {
        let mut statement = txn
            .connection()
            .prepare_cached("SELECT kind, owner FROM lists WHERE n = ?1")?;
        let mut rows = statement.query([n])?;
        match rows.next()? {
            Some(row) => list_of_row(row)?,
            None => return Ok(None),
        }
    };
    txn.declare(&list);
    Ok(Some(list))
}

impl Step {
    /// Notes what a list lost.
    fn take(&mut self, txn: &mut SqliteTxn<'_>, list: &ListKey, entry: Entry, dropped: &Dropped) {
        let mut entry = entry;
        self.tombstones += dropped.tombstones;
        entry.tombstones = entry.tombstones.saturating_sub(dropped.tombstones);
        let rises = dropped.newest > entry.head.floor && !is(Bug::FloorNotRaised);
        if !entry.ended && rises {
            entry.head.floor = dropped.newest;
            self.risen.insert(list.clone());
        }
        txn.stands(list, entry);
    }

    /// Notes what a life lost, be it its list's newest or an earlier one.
    fn take_from(&mut self, txn: &mut SqliteTxn<'_>, n: i64, dropped: &Dropped) -> Result<()> {
        txn.touch();
        let Some(list) = name_of(txn, n)? else {
            self.tombstones += dropped.tombstones;
            return Ok(());
        };
        let entry = txn.entry(&list)?;
        if entry.n == n {
            self.take(txn, &list, entry, dropped);
            return Ok(());
        }
        self.tombstones += dropped.tombstones;
        forget_tombstones(txn, n, dropped.tombstones)
    }
}

/// An earlier life lost tombstones; with the last of what it left, its row.
fn forget_tombstones(txn: &mut SqliteTxn<'_>, n: i64, tombstones: u64) -> Result<()> {
    let connection = txn.connection();
    connection
        .prepare_cached("UPDATE lists SET tombstones = max(tombstones - ?2, 0) WHERE n = ?1")?
        .execute(params![n, signed(tombstones)?])?;
    connection
        .prepare_cached("DELETE FROM lists WHERE n = ?1 AND count = 0 AND tombstones = 0")?
        .execute([n])?;
    Ok(())
}
