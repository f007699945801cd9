//! Connections for reading, and the transactions that they are in.

use crate::entry::unsigned;
use crate::fault::{Fault, Result};
use crate::open::Readers;
use highwater_store::{StoreError, Tick};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

pub(crate) struct Pool {
    readers: Readers,
    idle: Mutex<Vec<Connection>>,
    held: AtomicUsize,
    closed: AtomicBool,
}

/// A connection in a read transaction, which ends when it is dropped.
pub(crate) struct View {
    /// Missing only while it is dropped.
    connection: Option<Connection>,
    pool: Arc<Pool>,
    /// The commit that it sees.
    pub(crate) tick: Tick,
}

impl Pool {
    pub(crate) fn new(readers: Readers) -> Arc<Self> {
        Arc::new(Self {
            readers,
            idle: Mutex::new(Vec::new()),
            held: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        })
    }

    /// Begins to read.
    pub(crate) fn view(self: &Arc<Self>) -> Result<View> {
        if self.closed.load(Relaxed) {
            return Err(unavailable("the store is closed"));
        }
        let most = self.readers.options().readers_max;
        if self.held.fetch_add(1, Relaxed) >= most {
            self.held.fetch_sub(1, Relaxed);
            return Err(unavailable(&format!("{most} snapshots are held already")));
        }
        // From here on, dropping it gives its place back.
        let mut view = View {
            connection: None,
            pool: Arc::clone(self),
            tick: Tick(0),
        };
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.readers.connect()?,
        };
        let connection = view.connection.insert(connection);
        connection.prepare_cached("BEGIN")?.execute([])?;
        // The first read settles which commit is seen.
        let tick = connection
            .prepare_cached("SELECT tick FROM meta")?
            .query_row([], |row| unsigned(row, 0))?;
        view.tick = Tick(tick);
        Ok(view)
    }

    /// Lets no one begin to read any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.idle.lock().clear();
    }

    /// Snapshots that are held.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }
}

fn unavailable(why: &str) -> Fault {
    Fault(StoreError::Unavailable(why.to_owned()))
}

impl View {
    pub(crate) fn connection(&self) -> &Connection {
        match &self.connection {
            Some(connection) => connection,
            None => unreachable!("a view has its connection until it is dropped"),
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.pool.held.fetch_sub(1, Relaxed);
        let Some(connection) = self.connection.take() else {
            return;
        };
        let ended = connection
            .prepare_cached("COMMIT")
            .and_then(|mut statement| statement.execute([]));
        if ended.is_err() || self.pool.closed.load(Relaxed) {
            return;
        }
        let mut idle = self.pool.idle.lock();
        if idle.len() < self.pool.readers.options().idle_readers_max {
            idle.push(connection);
        }
    }
}
