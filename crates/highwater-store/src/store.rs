//! The store: snapshots to read from, writes that are durable or did not
//! happen, and upkeep.

use crate::write::{Committed, Write, WriteError};
use bytes::Bytes;
use highwater_core::reads::{ListState, Reads};
use highwater_protocol::ListKey;
use std::future::Future;

/// A store's own count of its commits: two equal ticks of one store mean that
/// nothing was written in between. It means nothing across a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tick(pub u64);

/// A piece of queued work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// Work that a transaction left to be done: what to recompute, never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Rises with each job.
    pub id: JobId,
    /// Opaque to the store.
    pub payload: Bytes,
    /// When it was queued, in milliseconds since 1970.
    pub queued_at_ms: i64,
}

/// How much work is queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Jobs that are not completed.
    pub jobs: u64,
    /// When the oldest of them was queued, in milliseconds since 1970.
    pub oldest_at_ms: Option<i64>,
}

/// A list, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListLine {
    /// Which list.
    pub list: ListKey,
    /// Its head, or that it ended.
    pub state: ListState,
    /// Tombstones that are kept.
    pub tombstones: u64,
}

/// Which tombstones are too many. Either bound purges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgePolicy {
    /// Tombstones older than this go, in milliseconds.
    pub age_ms_max: i64,
    /// A list keeps at most so many, the newest.
    pub per_list_max: u64,
}

/// What a purge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Lists whose floor rose.
    pub lists: u64,
    /// Tombstones that were dropped.
    pub tombstones: u64,
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk or the quota is full: reads go on, writes do not.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The database cannot be written to: reads go on.
    #[error("the database is read-only: {0}")]
    ReadOnly(String),
    /// Another process holds the database, or the store is closing.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// What is stored breaks the schema or its invariants.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// Anything else that the database reported.
    #[error("the database failed: {0}")]
    Database(String),
}

/// What the server keeps.
///
/// **Isolation.** A snapshot sees one commit, whole. Writes are serialisable:
/// each sees all that committed before it, and becomes visible at once, in all
/// its lists. A list's versions become visible in order.
///
/// **Durability.** A write is reported as committed only when it survives the
/// loss of power.
///
/// A store is a handle: clones share it.
pub trait Store: Clone + Send + Sync + 'static {
    /// A consistent view.
    type Snapshot: Reads<Error = StoreError>;

    /// Begins to read. `lists` are those that will be read, as far as known:
    /// their heads may be had from memory.
    fn snapshot(
        &self,
        lists: &[ListKey],
    ) -> impl Future<Output = Result<Self::Snapshot, StoreError>> + Send;

    /// The states of `lists`, all of one commit, from memory alone; `None` if
    /// one of them is not held there. Never touches a disk, never waits for a
    /// write.
    fn cached_states(&self, lists: &[ListKey]) -> Option<Vec<ListState>>;

    /// Runs `work` in one durable transaction. `now_ms` (milliseconds since
    /// 1970) is the age of the tombstones and jobs that it leaves.
    ///
    /// Many writes may share one commit; a refused one takes none of the others
    /// with it. Dropping the future neither stops nor undoes the write.
    fn write<W: Write>(
        &self,
        now_ms: i64,
        work: W,
    ) -> impl Future<Output = Result<Committed<W::Output>, WriteError<W::Refusal>>> + Send;

    /// The oldest `limit` jobs, oldest first.
    fn jobs(&self, limit: usize) -> impl Future<Output = Result<Vec<Job>, StoreError>> + Send;

    /// How much work is queued.
    fn backlog(&self) -> impl Future<Output = Result<Backlog, StoreError>> + Send;

    /// Lists after `after` by (kind, owner), at most `limit`. A list that ended
    /// and was created again is named once, as it lives.
    fn lists(
        &self,
        after: Option<&ListKey>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<ListLine>, StoreError>> + Send;

    /// Drops tombstones that are too old or too many, in steps that other
    /// writes may come between, and raises the floors.
    fn purge(
        &self,
        now_ms: i64,
        policy: PurgePolicy,
    ) -> impl Future<Output = Result<Purged, StoreError>> + Send;
}
