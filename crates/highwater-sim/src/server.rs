//! The server: the real answer over the real SQLite store, on a machine whose
//! power can fail.

mod lying;
mod sketches;

pub(crate) use lying::{Lie, Lies, wrong};
pub(crate) use sketches::Offers;

use crate::disk::Disk;
use crate::model::Op;
use futures::executor::block_on;
use highwater_core::answer::{Access, Budget, answer};
use highwater_core::reads::{Change, Item, ListState, PageLimit, Payloads, Reads};
use highwater_protocol::message::{SyncRequest, SyncResponse};
use highwater_protocol::{ListKey, Version};
use highwater_store::{
    Abort, Committed, PurgePolicy, Store, StoreError, Write, WriteError, WriteTxn,
};
use highwater_store_sqlite::{DATABASE_FILE, Options, SqliteStore};
use lying::Lying;
use std::path::Path;

/// The server's folder on its machine.
const FOLDER: &str = "server";

/// The server's machine and what runs on it.
pub(crate) struct Server {
    pub(crate) disk: Disk,
    pub(crate) offers: Offers,
    pub(crate) lies: Lies,
    options: Options,
    store: Option<SqliteStore>,
}

/// A transaction of the workload.
struct Transaction {
    ops: Vec<Op>,
    refused: bool,
}

impl Write for Transaction {
    type Output = ();
    type Refusal = ();

    fn lists(&self) -> Vec<ListKey> {
        let mut lists: Vec<_> = self.ops.iter().map(|op| op.list().clone()).collect();
        lists.sort();
        lists.dedup();
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Abort<()>> {
        for op in &self.ops {
            match op {
                Op::Put(list, id, rank, payload) => {
                    txn.put(list, id, rank.clone(), payload.clone()).await?;
                }
                Op::Delete(list, id) => {
                    txn.delete(list, id).await?;
                }
                Op::End(list) => {
                    txn.end(list).await?;
                }
            }
        }
        match self.refused {
            true => Err(Abort::Refused(())),
            false => Ok(()),
        }
    }
}

/// How a write ended.
pub(crate) enum Written {
    Done(Vec<(ListKey, ListState)>),
    Refused,
    NotCommitted(StoreError),
    Unknown(StoreError),
}

impl Server {
    pub(crate) fn new(disk: Disk, offers: Offers, options: Options) -> Self {
        Self {
            disk,
            offers,
            lies: Lies::default(),
            options,
            store: None,
        }
    }

    /// The database's name on the disk.
    pub(crate) fn database() -> String {
        format!("{FOLDER}/{DATABASE_FILE}")
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.store.is_some()
    }

    /// Starts, with another incarnation if one is given. Sketches were in
    /// memory: there are none.
    pub(crate) fn start(&mut self, incarnation: Option<[u8; 16]>) -> Result<(), String> {
        let mut options = self.options.clone();
        options.incarnation = incarnation;
        let store = SqliteStore::open(Path::new(FOLDER), options);
        self.offers.forget();
        self.store = Some(store.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Ends without a chance to tidy up: whatever the store still wants to write
    /// does not reach the disk.
    pub(crate) fn die(&mut self) {
        self.disk.cut_power();
        self.store = None;
    }

    /// Ends in good order.
    pub(crate) fn stop(&mut self) {
        if let Some(store) = self.store.take() {
            block_on(store.close());
        }
    }

    fn store(&self) -> Result<&SqliteStore, StoreError> {
        self.store
            .as_ref()
            .ok_or_else(|| StoreError::Unavailable("the server is down".to_owned()))
    }

    pub(crate) fn write(&self, now_ms: i64, ops: &[Op], refused: bool) -> Written {
        let store = match self.store() {
            Ok(store) => store,
            Err(error) => return Written::NotCommitted(error),
        };
        let ops = ops.to_vec();
        match block_on(store.write(now_ms, Transaction { ops, refused })) {
            Ok(Committed { states, .. }) => Written::Done(states),
            Err(WriteError::Refused(())) => Written::Refused,
            Err(WriteError::NotCommitted(error)) => Written::NotCommitted(error),
            Err(WriteError::Unknown(error)) => Written::Unknown(error),
        }
    }

    /// Keeps the `keep` newest tombstones of each list.
    pub(crate) fn purge(&self, now_ms: i64, keep: u64) -> Result<(), StoreError> {
        let policy = PurgePolicy {
            age_ms_max: i64::MAX,
            per_list_max: keep,
        };
        block_on(self.store()?.purge(now_ms, policy)).map(|_| ())
    }

    pub(crate) fn answer(
        &self,
        request: &SyncRequest,
        access: &[Access],
        budget: Budget,
    ) -> Result<SyncResponse, StoreError> {
        let lists: Vec<ListKey> = request
            .lists
            .iter()
            .map(|asked| asked.list.clone())
            .collect();
        let store = self.store()?;
        block_on(async {
            let snapshot = store.snapshot(&lists).await?;
            let reads = Lying::new(&snapshot, &self.lies);
            answer(&reads, &self.offers, request, access, budget).await
        })
    }

    /// How the lists stand, from one snapshot; and as far as they are held there,
    /// from memory.
    pub(crate) fn states(
        &self,
        lists: &[ListKey],
    ) -> Result<(Vec<ListState>, Option<Vec<ListState>>), StoreError> {
        let store = self.store()?;
        let cached = store.cached_states(lists);
        block_on(async {
            let snapshot = store.snapshot(lists).await?;
            let mut states = Vec::new();
            for list in lists {
                states.push(snapshot.state(list).await?);
            }
            Ok((states, cached))
        })
    }

    /// Every element of a list in its order, and every change.
    pub(crate) fn contents(&self, list: &ListKey) -> Result<(Vec<Item>, Vec<Change>), StoreError> {
        let all = PageLimit {
            rows: usize::MAX >> 1,
            bytes: usize::MAX >> 1,
        };
        let store = self.store()?;
        block_on(async {
            let snapshot = store.snapshot(std::slice::from_ref(list)).await?;
            let last = Version::new(u64::MAX >> 1);
            let rows = snapshot.scan(list, last, None, Payloads::All, all).await?;
            let changes = snapshot.changes(list, Version::ZERO, all).await?;
            Ok((rows.rows, changes.rows))
        })
    }
}
