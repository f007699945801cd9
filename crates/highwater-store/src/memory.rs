//! The in-memory twin: every promise of [`Store`] but durability, in as few
//! words as it takes.
//!
//! Other stores are held against it, and tests of the server run on it. A
//! snapshot shares the world with the writer until the next write, which then
//! copies what it touches.

mod rows;
mod txn;
mod world;

use crate::drive::drive;
use crate::store::{Backlog, Job, ListLine, PurgePolicy, Purged, Store, StoreError, Tick};
use crate::write::{Abort, Committed, Write, WriteError};
use highwater_core::Head;
use highwater_core::reads::{Change, Item, ListState, Page, PageLimit, Payloads, Reads, ScanRows};
use highwater_core::stamp::lineage_of;
use highwater_protocol::{ItemId, ListKey, OrderKey, Version};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use txn::MemoryTxn;
use world::World;

/// A store in memory. Clones share it.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    /// Held by a write from its begin to its commit.
    world: Mutex<Arc<World>>,
    /// Swapped at each commit, so that reading heads never waits for a write.
    heads: RwLock<Heads>,
    outage: Mutex<Option<Outage>>,
}

struct Heads {
    incarnation: [u8; 16],
    states: BTreeMap<ListKey, ListState>,
    offered: bool,
}

/// A failure that a test brings about: see [`MemoryStore::set_outage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outage {
    /// Writes do not happen: the disk is full.
    Full,
    /// Writes do not happen: the database is read-only.
    ReadOnly,
    /// Neither reads nor writes happen.
    Unavailable,
    /// Writes happen, yet are reported as [`WriteError::Unknown`].
    UnknownDone,
    /// Writes do not happen, and are reported as [`WriteError::Unknown`].
    UnknownUndone,
}

impl Outage {
    fn error(self) -> StoreError {
        let why = "a test asked for it".to_owned();
        match self {
            Self::Full => StoreError::Full(why),
            Self::ReadOnly => StoreError::ReadOnly(why),
            Self::Unavailable => StoreError::Unavailable(why),
            Self::UnknownDone | Self::UnknownUndone => StoreError::Database(why),
        }
    }
}

impl MemoryStore {
    /// An empty store. Its lineages follow from `incarnation`.
    #[must_use]
    pub fn new(incarnation: [u8; 16]) -> Self {
        Self {
            shared: Arc::new(Shared {
                world: Mutex::new(Arc::new(World::new(incarnation))),
                heads: RwLock::new(Heads {
                    incarnation,
                    states: BTreeMap::new(),
                    offered: true,
                }),
                outage: Mutex::new(None),
            }),
        }
    }

    /// What restoring a backup does: the content stays, and every live list
    /// gets another lineage. A lineage that ended stays what it was.
    pub fn reincarnate(&self, incarnation: [u8; 16]) {
        let mut world = self.shared.world.lock();
        let world = Arc::make_mut(&mut world);
        world.reincarnate(incarnation);
        let mut heads = self.shared.heads.write();
        heads.incarnation = incarnation;
        heads.states = world.states();
    }

    /// The whole content, to go back to with [`restore`](Self::restore).
    #[must_use]
    pub fn backup(&self) -> MemoryBackup {
        MemoryBackup(Arc::clone(&self.shared.world.lock()))
    }

    /// Goes back to `backup`, under other lineages.
    pub fn restore(&self, backup: &MemoryBackup, incarnation: [u8; 16]) {
        *self.shared.world.lock() = Arc::clone(&backup.0);
        self.reincarnate(incarnation);
    }

    /// Whether [`Store::cached_states`] answers (it does by default) or has
    /// nothing in memory, as a store with a small cache may.
    pub fn offer_cached_states(&self, offered: bool) {
        self.shared.heads.write().offered = offered;
    }

    /// Begins or ends a failure.
    pub fn set_outage(&self, outage: Option<Outage>) {
        *self.shared.outage.lock() = outage;
    }

    /// Alters a live list's head behind everyone's back, as a fault would.
    pub fn forge_head(&self, list: &ListKey, forge: impl FnOnce(&mut Head)) {
        let mut world = self.shared.world.lock();
        let world = Arc::make_mut(&mut world);
        if let Some(life) = world.lists.get_mut(list).map(|list| &mut list.life)
            && let world::Life::Live(head) = life
        {
            forge(head);
        }
        self.shared.heads.write().states = world.states();
    }

    fn readable(&self) -> Result<Arc<World>, StoreError> {
        match *self.shared.outage.lock() {
            Some(outage @ Outage::Unavailable) => Err(outage.error()),
            _ => Ok(Arc::clone(&self.shared.world.lock())),
        }
    }

    fn run<W: Write>(
        &self,
        now_ms: i64,
        work: &W,
    ) -> Result<Committed<W::Output>, WriteError<W::Refusal>> {
        let outage = *self.shared.outage.lock();
        match outage {
            None | Some(Outage::UnknownDone) => {}
            Some(Outage::UnknownUndone) => {
                return Err(WriteError::Unknown(Outage::UnknownUndone.error()));
            }
            Some(outage) => return Err(WriteError::NotCommitted(outage.error())),
        }
        let mut world = self.shared.world.lock();
        let mut txn = MemoryTxn::begin(Arc::make_mut(&mut world), work.lists(), now_ms);
        let output = match drive(work.run(&mut txn)) {
            Ok(Ok(output)) => output,
            Ok(Err(abort)) => {
                txn.undo();
                return Err(match abort {
                    Abort::Refused(refusal) => WriteError::Refused(refusal),
                    Abort::Store(error) => WriteError::NotCommitted(error),
                });
            }
            Err(fault) => {
                txn.undo();
                return Err(WriteError::NotCommitted(fault));
            }
        };
        let (states, tick) = txn.commit();
        self.shared
            .heads
            .write()
            .states
            .extend(states.iter().cloned());
        if outage == Some(Outage::UnknownDone) {
            return Err(WriteError::Unknown(Outage::UnknownDone.error()));
        }
        Ok(Committed {
            output,
            states,
            tick,
        })
    }
}

/// A store's content at one moment.
pub struct MemoryBackup(Arc<World>);

/// One commit, whole.
pub struct MemorySnapshot(Arc<World>);

impl Store for MemoryStore {
    type Snapshot = MemorySnapshot;

    async fn snapshot(&self, _lists: &[ListKey]) -> Result<MemorySnapshot, StoreError> {
        self.readable().map(MemorySnapshot)
    }

    fn cached_states(&self, lists: &[ListKey]) -> Option<Vec<ListState>> {
        let heads = self.shared.heads.read();
        let state = |list| match heads.states.get(list) {
            Some(state) => *state,
            None => ListState::Absent(lineage_of(&heads.incarnation, list, 0)),
        };
        heads.offered.then(|| lists.iter().map(state).collect())
    }

    async fn write<W: Write>(
        &self,
        now_ms: i64,
        work: W,
    ) -> Result<Committed<W::Output>, WriteError<W::Refusal>> {
        self.run(now_ms, &work)
    }

    async fn jobs(&self, limit: usize) -> Result<Vec<Job>, StoreError> {
        let world = self.readable()?;
        Ok(world.jobs.values().take(limit).cloned().collect())
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        let world = self.readable()?;
        Ok(Backlog {
            jobs: world.jobs.len() as u64,
            oldest_at_ms: world.jobs.values().next().map(|job| job.queued_at_ms),
        })
    }

    async fn lists(
        &self,
        after: Option<&ListKey>,
        limit: usize,
    ) -> Result<Vec<ListLine>, StoreError> {
        Ok(self.readable()?.lines(after, limit))
    }

    async fn purge(&self, now_ms: i64, policy: PurgePolicy) -> Result<Purged, StoreError> {
        if let Some(outage @ (Outage::Full | Outage::ReadOnly | Outage::Unavailable)) =
            *self.shared.outage.lock()
        {
            return Err(outage.error());
        }
        let mut purged = Purged::default();
        let lists: Vec<ListKey> = self.readable()?.lists.keys().cloned().collect();
        for list in lists {
            let mut world = self.shared.world.lock();
            let world = Arc::make_mut(&mut world);
            let dropped = world.purge(&list, now_ms, policy);
            purged.lists += dropped.lists;
            purged.tombstones += dropped.tombstones;
            if dropped.tombstones > 0 {
                let state = world.state(&list);
                self.shared.heads.write().states.insert(list, state);
            }
        }
        Ok(purged)
    }
}

impl MemorySnapshot {
    /// The tick that this snapshot is of.
    #[must_use]
    pub fn tick(&self) -> Tick {
        Tick(self.0.tick)
    }
}

impl Reads for MemorySnapshot {
    type Error = StoreError;

    async fn state(&self, list: &ListKey) -> Result<ListState, StoreError> {
        Ok(self.0.state(list))
    }

    async fn changes(
        &self,
        list: &ListKey,
        after: Version,
        limit: PageLimit,
    ) -> Result<Page<Change>, StoreError> {
        let empty = Page {
            rows: Vec::new(),
            more: false,
        };
        Ok(self
            .0
            .live(list)
            .map_or(empty, |rows| rows.changes(after, limit)))
    }

    async fn scan(
        &self,
        list: &ListKey,
        at_most: Version,
        after: Option<&OrderKey>,
        payloads: Payloads,
        limit: PageLimit,
    ) -> Result<ScanRows, StoreError> {
        let empty = ScanRows {
            rows: Vec::new(),
            next: None,
        };
        Ok(self
            .0
            .live(list)
            .map_or(empty, |rows| rows.scan(at_most, after, payloads, limit)))
    }

    async fn items(&self, list: &ListKey, ids: &[ItemId]) -> Result<Vec<Item>, StoreError> {
        let mut ids = ids.to_vec();
        ids.sort();
        ids.dedup();
        let rows = self.0.live(list);
        Ok(ids
            .iter()
            .filter_map(|id| rows.and_then(|rows| rows.item(id)).cloned())
            .collect())
    }
}
