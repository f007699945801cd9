//! The one thread that writes, and its group commit.
//!
//! A group is a transaction. The writer begins one with the first write that
//! waits, runs each further write that waits by then in a savepoint of its own,
//! and commits them all at once: the longer a commit takes, the more writes
//! gather for the next. Heads in memory are swapped after the commit, and only
//! then the writes are answered.

use crate::cache::HeadCache;
use crate::entry::{signed, unsigned};
use crate::fault::{Fault, Result, again, is_undone};
use crate::queue::{End, Queued};
use crate::stats::Counters;
use crate::txn::{Group, Left, SqliteTxn};
use highwater_core::planted::{Bug, is};
use highwater_core::reads::ListState;
use highwater_protocol::ListKey;
use highwater_store::{StoreError, Tick};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Writes in one transaction.
const GROUP_WRITES_MAX: usize = 1_024;
/// Elements after which a transaction takes no further write, so that none
/// waits long for its commit.
const GROUP_ROWS_MAX: u64 = 2_048;
/// Bytes of payloads after which it takes none.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) incarnation: [u8; 16],
    pub(crate) tick: u64,
    pub(crate) cache: Arc<HeadCache>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) queue: mpsc::Receiver<Box<dyn Queued>>,
}

/// A write that has been run.
struct Ran {
    write: Box<dyn Queued>,
    states: Vec<(ListKey, ListState)>,
    /// Why its work is not in the transaction, where it does not know itself.
    broken: Option<StoreError>,
    /// Its work is in the transaction.
    done: bool,
}

/// How a transaction failed.
enum Failed {
    /// It did not happen.
    Undone(StoreError),
    /// Its commit was begun, and nobody knows.
    Unknown(StoreError),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Undone(fault.0)
    }
}

impl Writer {
    /// Writes until the store is closed and nothing waits any more.
    pub(crate) fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            self.write_group(first);
        }
    }

    /// Commits `first` and what waits behind it.
    fn write_group(&mut self, first: Box<dyn Queued>) {
        if let Err(fault) = self.execute("BEGIN IMMEDIATE") {
            self.counters.failed();
            first.answer(End::NotCommitted(fault.0));
            return;
        }
        let mut group = Group::default();
        let mut ran = Vec::new();
        let mut next = Some(first);
        while let Some(write) = next {
            ran.push(self.run_write(&mut group, write));
            if self.connection.is_autocommit() {
                // SQLite gave up the whole transaction, the disk being full,
                // say: no write may fail for another.
                self.one_by_one(ran);
                return;
            }
            next = if is_full(&group, ran.len()) {
                None
            } else {
                self.queue.try_recv().ok()
            };
        }
        self.end_group(&group, ran);
    }

    fn one_by_one(&mut self, ran: Vec<Ran>) {
        for Ran { write, .. } in ran {
            if let Err(fault) = self.execute("BEGIN IMMEDIATE") {
                self.counters.failed();
                write.answer(End::NotCommitted(fault.0));
                continue;
            }
            let mut group = Group::default();
            let ran = self.run_write(&mut group, write);
            if self.connection.is_autocommit() {
                self.counters.failed();
                self.answer(vec![ran]);
            } else {
                self.end_group(&group, vec![ran]);
            }
        }
    }

    /// Runs one write. What it did is part of the group, or undone.
    fn run_write(&mut self, group: &mut Group, mut write: Box<dyn Queued>) -> Ran {
        match self.attempt(group, write.as_mut()) {
            Ok(mut left) => {
                let states = std::mem::take(&mut left.states);
                group.absorb(left);
                Ran {
                    write,
                    states,
                    broken: None,
                    done: true,
                }
            }
            Err(broken) => {
                self.counters.undone();
                Ran {
                    write,
                    states: Vec::new(),
                    broken,
                    done: false,
                }
            }
        }
    }

    /// Runs one write in a savepoint of its own, and ends that. An error is
    /// `None` where the write itself knows why.
    fn attempt(
        &mut self,
        group: &Group,
        write: &mut dyn Queued,
    ) -> std::result::Result<Left, Option<StoreError>> {
        self.execute("SAVEPOINT one")
            .map_err(|fault| Some(fault.0))?;
        // The declaration is the caller's code as much as the work is.
        let lists = catch_unwind(AssertUnwindSafe(|| write.lists())).unwrap_or_default();
        let mut txn = SqliteTxn::begin(
            &mut self.connection,
            &self.incarnation,
            &self.cache,
            group,
            lists,
            write.now_ms(),
        );
        let run = catch_unwind(AssertUnwindSafe(|| write.run(&mut txn)));
        let left = txn.finish();
        let lost = |error| Err(Some(error));
        if self.connection.is_autocommit() {
            return lost(StoreError::Database(
                "SQLite rolled the transaction back".to_owned(),
            ));
        }
        let ended = match run {
            Ok(true) => self.execute("RELEASE one"),
            _ => self
                .execute("ROLLBACK TO one")
                .and_then(|()| self.execute("RELEASE one")),
        };
        if let Err(fault) = ended {
            self.roll_back();
            return lost(fault.0);
        }
        match run {
            Ok(true) => Ok(left),
            Ok(false) => Err(None),
            Err(_) => lost(StoreError::Database("the write panicked".to_owned())),
        }
    }

    fn end_group(&mut self, group: &Group, ran: Vec<Ran>) {
        if !group.changed {
            self.roll_back();
            self.answer(ran);
            return;
        }
        if is(Bug::HeadsBeforeCommit) {
            self.cache.commit(Tick(self.tick), group.entries.iter());
        }
        match self.commit(group) {
            Ok(()) => {
                self.cache.commit(Tick(self.tick), group.entries.iter());
                let writes = ran.iter().filter(|ran| ran.done).count();
                self.counters.committed(writes as u64, group.rows);
                self.answer(ran);
            }
            Err(Failed::Undone(_)) if ran.len() > 1 => self.one_by_one(ran),
            Err(failed) => {
                self.counters.failed();
                for ran in ran {
                    // One that was undone before says so itself, or is told.
                    ran.write.answer(match (ran.broken, &failed) {
                        (Some(error), _) => End::NotCommitted(error),
                        (None, Failed::Undone(error)) => End::NotCommitted(again(error)),
                        (None, Failed::Unknown(error)) => End::Unknown(again(error)),
                    });
                }
            }
        }
    }

    fn answer(&self, ran: Vec<Ran>) {
        for ran in ran {
            ran.write.answer(match ran.broken {
                None => End::Committed(ran.states, Tick(self.tick)),
                Some(error) => End::NotCommitted(error),
            });
        }
    }

    /// Writes the rows of the lists and commits.
    fn commit(&mut self, group: &Group) -> std::result::Result<(), Failed> {
        if let Err(fault) = self.write_heads(group) {
            self.roll_back();
            return Err(fault.into());
        }
        let committed = self
            .connection
            .prepare_cached("COMMIT")
            .and_then(|mut statement| statement.execute([]));
        let Err(error) = committed else {
            self.tick += 1;
            return Ok(());
        };
        self.roll_back();
        let undone = is_undone(&error);
        let told = Fault::from(error).0;
        tracing::error!(error = %told, undone, "a commit failed");
        if undone {
            return Err(Failed::Undone(told));
        }
        // Whatever it is that happened, memory must agree with it.
        match stored_tick(&self.connection) {
            Ok(tick) => {
                self.tick = tick;
                self.cache.reset(Tick(tick));
            }
            Err(_) => self.cache.reset(Tick(u64::MAX)),
        }
        Err(Failed::Unknown(told))
    }

    fn write_heads(&self, group: &Group) -> Result<()> {
        for entry in group.entries.values() {
            entry.update(&self.connection)?;
        }
        self.connection
            .prepare_cached("UPDATE meta SET tick = ?1")?
            .execute([signed(self.tick + 1)?])?;
        Ok(())
    }

    fn execute(&self, sql: &str) -> Result<()> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Ends a transaction that shall not have happened.
    fn roll_back(&self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(fault) = self.execute("ROLLBACK") {
            tracing::error!(error = %fault.0, "a transaction could not be rolled back");
        }
    }
}

fn is_full(group: &Group, writes: usize) -> bool {
    writes >= GROUP_WRITES_MAX || group.rows >= GROUP_ROWS_MAX || group.bytes >= GROUP_BYTES_MAX
}

fn stored_tick(connection: &Connection) -> Result<u64> {
    Ok(connection
        .prepare_cached("SELECT tick FROM meta")?
        .query_row([], |row| unsigned(row, 0))?)
}
