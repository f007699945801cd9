//! A store that fails in ways that the in-memory one does not: after so many
//! writes, or by panicking. And one where others write between the writes.

use crate::people::PutAll;
use highwater_core::reads::ListState;
use highwater_protocol::ListKey;
use highwater_server::domain::Join;
use highwater_store::memory::MemoryStore;
use highwater_store::{
    Backlog, Committed, Job, ListLine, PurgePolicy, Purged, Store, StoreError, Write, WriteError,
};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// Clones share their faults.
#[derive(Clone)]
pub(crate) struct Faulty<S = MemoryStore> {
    inner: S,
    writes_left: Arc<AtomicI64>,
    panics: Arc<AtomicBool>,
    joins: Arc<Mutex<Vec<Join>>>,
    intrusion: Arc<Mutex<Option<(usize, PutAll)>>>,
}

impl<S: Store> Faulty<S> {
    /// A store without a fault yet.
    pub(crate) fn new(inner: &S) -> Self {
        Self {
            inner: inner.clone(),
            writes_left: Arc::new(AtomicI64::new(i64::MAX)),
            panics: Arc::default(),
            joins: Arc::default(),
            intrusion: Arc::default(),
        }
    }

    /// After so many writes the process is as good as dead.
    pub(crate) fn with_writes(self, writes: i64) -> Self {
        self.writes_left.store(writes, Ordering::Relaxed);
        self
    }

    /// Somebody joins a group just before each of the next writes, from the last.
    pub(crate) fn with_joins(self, joins: Vec<Join>) -> Self {
        *self.joins.lock().unwrap() = joins;
        self
    }

    /// After so many writes somebody else puts this.
    pub(crate) fn with_intrusion(self, writes: usize, puts: PutAll) -> Self {
        *self.intrusion.lock().unwrap() = Some((writes, puts));
        self
    }

    /// What somebody else puts now.
    fn intrusion(&self) -> Option<PutAll> {
        let mut intrusion = self.intrusion.lock().unwrap();
        match &mut *intrusion {
            Some((0, _)) => intrusion.take().map(|(_, puts)| puts),
            Some((writes, _)) => {
                *writes -= 1;
                None
            }
            None => None,
        }
    }

    /// From now on snapshots and the queue panic, or no longer do.
    pub(crate) fn panic(&self, panics: bool) {
        self.panics.store(panics, Ordering::Relaxed);
    }

    fn check(&self) {
        assert!(!self.panics.load(Ordering::Relaxed), "a test asked for it");
    }
}

impl<S: Store> Store for Faulty<S> {
    type Snapshot = S::Snapshot;

    async fn snapshot(&self, lists: &[ListKey]) -> Result<Self::Snapshot, StoreError> {
        self.check();
        self.inner.snapshot(lists).await
    }

    fn cached_states(&self, lists: &[ListKey]) -> Option<Vec<ListState>> {
        self.inner.cached_states(lists)
    }

    async fn write<W: Write>(
        &self,
        now_ms: i64,
        work: W,
    ) -> Result<Committed<W::Output>, WriteError<W::Refusal>> {
        if self.writes_left.fetch_sub(1, Ordering::Relaxed) <= 0 {
            let dead = StoreError::Unavailable("the process has died".to_owned());
            return Err(WriteError::NotCommitted(dead));
        }
        let join = self.joins.lock().unwrap().pop();
        if let Some(join) = join {
            assert!(self.inner.write(now_ms, join).await.is_ok());
        }
        if let Some(puts) = self.intrusion() {
            self.inner.write(now_ms, puts).await.unwrap();
        }
        self.inner.write(now_ms, work).await
    }

    async fn jobs(&self, limit: usize) -> Result<Vec<Job>, StoreError> {
        self.check();
        self.inner.jobs(limit).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.inner.backlog().await
    }

    async fn lists(
        &self,
        after: Option<&ListKey>,
        limit: usize,
    ) -> Result<Vec<ListLine>, StoreError> {
        self.inner.lists(after, limit).await
    }

    async fn purge(&self, now_ms: i64, policy: PurgePolicy) -> Result<Purged, StoreError> {
        self.inner.purge(now_ms, policy).await
    }
}
