//! The embedded store of a Highwater server: one SQLite database in one folder.
//!
//! One thread writes: it takes the writes that wait, runs each in a savepoint of
//! its own, and commits them all in one durable transaction (group commit).
//! Any number of snapshots read beside it, each on a connection of a pool. The
//! heads of lists are kept in memory and swapped with each commit, so that a
//! device whose copy is right is told so without a disk read.
//! `docs/storage.md` has the schema and the reasons.
//!
//! Snapshots read where they are called: a read takes micro- to milliseconds,
//! and handing it to another thread would cost more than it saves. Checks,
//! backups and restores take as long as the database is large: call them from a
//! thread that may block.
//!
//! ```
//! use highwater_core::reads::{ListState, Reads};
//! use highwater_protocol::{ItemId, ListKey, Rank};
//! use highwater_store::{Abort, Store, Write, WriteTxn};
//! use highwater_store_sqlite::{Options, SqliteStore};
//!
//! /// Anna joins the group g1.
//! struct Join;
//!
//! impl Write for Join {
//!     type Output = ();
//!     type Refusal = ();
//!
//!     fn lists(&self) -> Vec<ListKey> {
//!         ListKey::new("members", "g1").into_iter().collect()
//!     }
//!
//!     async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Abort<()>> {
//!         for list in self.lists() {
//!             let anna = ItemId::new("anna").map_err(|_| Abort::Refused(()))?;
//!             txn.put(&list, &anna, Rank::default(), "Anna".into()).await?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # futures::executor::block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let store = SqliteStore::open(folder, Options::default())?;
//! let now_ms = 1_700_000_000_000;
//! assert!(store.write(now_ms, Join).await.is_ok());
//!
//! let list = ListKey::new("members", "g1")?;
//! let snapshot = store.snapshot(std::slice::from_ref(&list)).await?;
//! assert!(matches!(
//!     snapshot.state(&list).await?,
//!     ListState::Live(head) if head.count == 1
//! ));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod backup;
mod cache;
mod check;
mod entry;
mod fault;
mod files;
mod open;
mod pool;
mod purge;
mod queue;
mod restore;
mod schema;
mod snapshot;
mod stats;
mod store;
mod txn;
mod writer;

pub use backup::{BackupError, Copied};
pub use check::{CheckProgress, CheckReport, Finding};
pub use files::{DATABASE_FILE, LOCK_FILE};
pub use open::{OpenError, Options};
pub use restore::{Existing, RestoreError, RestoreProgress, Restored, restore};
pub use snapshot::SqliteSnapshot;
pub use stats::Stats;
pub use store::SqliteStore;
