//! What a store counts, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a store has done since it was opened, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Transactions that were committed.
    pub commits: u64,
    /// Writes that these transactions held.
    pub writes: u64,
    /// The most writes that one of them held.
    pub writes_per_commit_max: u64,
    /// Writes that were refused by the rules or broken by a fault of their own.
    pub writes_undone: u64,
    /// Transactions that failed as a whole.
    pub commits_failed: u64,
    /// Elements that were put or deleted.
    pub rows: u64,
    /// Writes that wait for the writer.
    pub queue_writes: usize,
    /// Snapshots that are held.
    pub snapshots: usize,
    /// Heads that were asked for and found in memory.
    pub head_hits: u64,
    /// Questions about heads that memory could not answer.
    pub head_misses: u64,
    /// Heads in memory.
    pub heads: usize,
}

/// What the writer counts.
#[derive(Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    writes: AtomicU64,
    writes_per_commit_max: AtomicU64,
    writes_undone: AtomicU64,
    commits_failed: AtomicU64,
    rows: AtomicU64,
}

impl Counters {
    pub(crate) fn committed(&self, writes: u64, rows: u64) {
        self.commits.fetch_add(1, Relaxed);
        self.writes.fetch_add(writes, Relaxed);
        self.writes_per_commit_max.fetch_max(writes, Relaxed);
        self.rows.fetch_add(rows, Relaxed);
    }

    pub(crate) fn undone(&self) {
        self.writes_undone.fetch_add(1, Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.commits_failed.fetch_add(1, Relaxed);
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            commits: self.commits.load(Relaxed),
            writes: self.writes.load(Relaxed),
            writes_per_commit_max: self.writes_per_commit_max.load(Relaxed),
            writes_undone: self.writes_undone.load(Relaxed),
            commits_failed: self.commits_failed.load(Relaxed),
            rows: self.rows.load(Relaxed),
            ..Stats::default()
        }
    }
}
