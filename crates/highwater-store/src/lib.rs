//! What a Highwater server keeps: lists, their heads, items and tombstones, and
//! a queue of work that must outlive a crash.
//!
//! [`Store`] is the whole of what the server asks of a database. [`memory`] is
//! its plain twin; `conformance` (a feature) is the suite that both, and every later
//! store, must pass.

#![warn(clippy::iter_over_hash_type)]

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod drive;
pub mod memory;
mod store;
mod write;

pub use store::{Backlog, Job, JobId, ListLine, PurgePolicy, Purged, Store, StoreError, Tick};
pub use write::{Abort, Committed, Write, WriteError, WriteTxn};
