//! The store: a handle to the writer, the readers and the heads in memory.

use crate::cache::HeadCache;
use crate::check::{CheckProgress, CheckReport, check};
use crate::entry::{Entry, unsigned};
use crate::fault::Result;
use crate::files::FolderLock;
use crate::open::{self, OpenError, Opened, Options};
use crate::pool::{Pool, View};
use crate::queue::{Queued, Waiting};
use crate::snapshot::SqliteSnapshot;
use crate::stats::{Counters, Stats};
use crate::writer::Writer;
use bytes::Bytes;
use highwater_core::reads::ListState;
use highwater_protocol::ListKey;
use highwater_store::{
    Backlog, Committed, Job, JobId, ListLine, PurgePolicy, Purged, Store, StoreError, Tick, Write,
    WriteError,
};
use parking_lot::Mutex;
use rusqlite::params;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, watch};

/// A store in one SQLite database. Clones share it; with the last of them it is
/// closed.
#[derive(Clone)]
pub struct SqliteStore {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    incarnation: [u8; 16],
    pub(crate) pool: Arc<Pool>,
    pub(crate) cache: Arc<HeadCache>,
    counters: Arc<Counters>,
    /// Where writes go; `None`: the store is closed, or only for reading.
    queue: Mutex<Option<mpsc::Sender<Box<dyn Queued>>>>,
    queue_writes_max: usize,
    /// Turns true when the writer has ended.
    ended: watch::Receiver<bool>,
    read_only: bool,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held until the store is closed.
    lock: Mutex<Option<FolderLock>>,
}

impl SqliteStore {
    /// Opens the database in `folder`, and makes folder and database if they
    /// are not there. No other process, and no other store of this one, can
    /// have it open for writing meanwhile.
    ///
    /// Where the folder or the file cannot be written to, the store reads, and
    /// refuses writes as [`StoreError::ReadOnly`]:
    /// [`is_read_only`](Self::is_read_only) tells.
    ///
    /// # Errors
    /// If somebody else has it, or it is not a database that this program
    /// knows.
    pub fn open(folder: &Path, options: Options) -> std::result::Result<Self, OpenError> {
        let opened = open::open(folder, &options)?;
        Self::start(opened, &options)
    }

    /// Opens the database in `folder` for reading, beside a server that may be
    /// writing it. Heads are not kept in memory, as others change them.
    ///
    /// # Errors
    /// If there is none, or it is not one that this program knows.
    pub fn open_read_only(folder: &Path, options: Options) -> std::result::Result<Self, OpenError> {
        let opened = open::open_read_only(folder, &options)?;
        Self::start(opened, &options)
    }

    fn start(opened: Opened, options: &Options) -> std::result::Result<Self, OpenError> {
        let read_only = opened.writer.is_none();
        let heads_max = if read_only {
            0
        } else {
            options.cached_heads_max
        };
        let cache = Arc::new(HeadCache::new(heads_max, Tick(opened.tick)));
        let counters = Arc::new(Counters::default());
        let (end, ended) = watch::channel(read_only);
        let (queue, waiting) = mpsc::channel(options.queue_writes_max.max(1));
        let thread = match opened.writer {
            None => None,
            Some(connection) => {
                let writer = Writer {
                    connection,
                    incarnation: opened.incarnation,
                    tick: opened.tick,
                    cache: Arc::clone(&cache),
                    counters: Arc::clone(&counters),
                    queue: waiting,
                };
                let run = move || {
                    // Told however the thread ends.
                    let _told = Told(end);
                    writer.run();
                };
                let spawned = thread::Builder::new()
                    .name("highwater-writer".to_owned())
                    .spawn(run);
                Some(spawned.map_err(|error| {
                    StoreError::Unavailable(format!("the writer's thread: {error}"))
                })?)
            }
        };
        Ok(Self {
            shared: Arc::new(Shared {
                incarnation: opened.incarnation,
                pool: Pool::new(opened.readers),
                cache,
                counters,
                queue: Mutex::new((!read_only).then_some(queue)),
                queue_writes_max: options.queue_writes_max.max(1),
                ended,
                read_only,
                writer: Mutex::new(thread),
                lock: Mutex::new(opened.lock),
            }),
        })
    }

    /// Whether writes are refused as [`StoreError::ReadOnly`].
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.shared.read_only
    }

    /// What the store has done, for metrics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let heads = self.shared.cache.counts();
        let queue = self.shared.queue.lock();
        let queue_writes = queue
            .as_ref()
            .map_or(0, |queue| self.shared.queue_writes_max - queue.capacity());
        Stats {
            queue_writes,
            snapshots: self.shared.pool.held(),
            head_hits: heads.hits,
            head_misses: heads.misses,
            heads: heads.heads,
            ..self.shared.counters.stats()
        }
    }

    /// Takes no further write, carries out those that wait, and lets go of the
    /// database once its last snapshot is dropped.
    pub async fn close(&self) {
        self.shared.pool.close();
        self.shared.queue.lock().take();
        let mut ended = self.shared.ended.clone();
        // An error says that the writer is gone, which is what is waited for.
        let _ = ended.wait_for(|ended| *ended).await;
        self.shared.finish();
    }

    /// Reads the whole database, and compares every head with its elements and
    /// every stamp with its content. Others may read and write meanwhile: what
    /// is checked is one commit. Blocks for as long as that takes.
    ///
    /// # Errors
    /// What could not be read. That something is wrong with what was read is no
    /// error: the report tells.
    pub fn check(
        &self,
        progress: impl FnMut(CheckProgress),
    ) -> std::result::Result<CheckReport, StoreError> {
        let view = self.shared.pool.view()?;
        Ok(check(
            view.connection(),
            Some((&self.shared.cache, view.tick)),
            progress,
        )?)
    }

    /// Queues a write; its end is told later.
    pub(crate) async fn submit(
        &self,
        write: Box<dyn Queued>,
    ) -> std::result::Result<(), StoreError> {
        if self.shared.read_only {
            return Err(StoreError::ReadOnly("it was opened for reading".to_owned()));
        }
        let queue = self.shared.queue.lock().clone();
        let closed = || StoreError::Unavailable("the store is closed".to_owned());
        let queue = queue.ok_or_else(closed)?;
        queue.send(write).await.map_err(|_| closed())
    }

    pub(crate) fn view(&self) -> Result<View> {
        self.shared.pool.view()
    }

    pub(crate) fn incarnation(&self) -> &[u8; 16] {
        &self.shared.incarnation
    }
}

/// Says that the writer has ended when it is dropped.
struct Told(watch::Sender<bool>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Shared {
    /// Lets go of connections, thread and lock, in this order: the last
    /// connection to be closed should be one that can write, as it brings what
    /// the log holds into the database and removes the log.
    fn finish(&self) {
        self.pool.close();
        self.queue.lock().take();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer
            && writer.thread().id() != thread::current().id()
        {
            // Its panic, if any, was printed, and its writes are answered.
            drop(writer.join());
        }
        self.lock.lock().take();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Store for SqliteStore {
    type Snapshot = SqliteSnapshot;

    async fn snapshot(&self, lists: &[ListKey]) -> std::result::Result<SqliteSnapshot, StoreError> {
        Ok(SqliteSnapshot::new(
            self.view()?,
            self.shared.incarnation,
            Arc::clone(&self.shared.cache),
            lists,
        ))
    }

    fn cached_states(&self, lists: &[ListKey]) -> Option<Vec<ListState>> {
        self.shared.cache.all(lists, Entry::state)
    }

    async fn write<W: Write>(
        &self,
        now_ms: i64,
        work: W,
    ) -> std::result::Result<Committed<W::Output>, WriteError<W::Refusal>> {
        let (waiting, told) = Waiting::new(now_ms, work);
        self.submit(Box::new(waiting))
            .await
            .map_err(WriteError::NotCommitted)?;
        told.await.unwrap_or_else(|_| {
            Err(WriteError::Unknown(StoreError::Unavailable(
                "the writer ended".to_owned(),
            )))
        })
    }

    async fn jobs(&self, limit: usize) -> std::result::Result<Vec<Job>, StoreError> {
        Ok(jobs(&self.view()?, limit)?)
    }

    async fn backlog(&self) -> std::result::Result<Backlog, StoreError> {
        Ok(backlog(&self.view()?)?)
    }

    async fn lists(
        &self,
        after: Option<&ListKey>,
        limit: usize,
    ) -> std::result::Result<Vec<ListLine>, StoreError> {
        Ok(lists(&self.view()?, self.incarnation(), after, limit)?)
    }

    async fn purge(
        &self,
        now_ms: i64,
        policy: PurgePolicy,
    ) -> std::result::Result<Purged, StoreError> {
        crate::purge::purge(self, now_ms, policy).await
    }
}

fn jobs(view: &View, limit: usize) -> Result<Vec<Job>> {
    let mut statement = view
        .connection()
        .prepare_cached("SELECT n, queued_at, payload FROM jobs ORDER BY n LIMIT ?1")?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query([limit])?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        jobs.push(Job {
            id: JobId(unsigned(row, 0)?),
            queued_at_ms: row.get(1)?,
            payload: Bytes::from(row.get::<_, Vec<u8>>(2)?),
        });
    }
    Ok(jobs)
}

fn backlog(view: &View) -> Result<Backlog> {
    let connection = view.connection();
    let jobs = connection
        .prepare_cached("SELECT count(*) FROM jobs")?
        .query_row([], |row| unsigned(row, 0))?;
    let oldest = connection
        .prepare_cached("SELECT (SELECT queued_at FROM jobs ORDER BY n LIMIT 1)")?
        .query_row([], |row| row.get(0))?;
    Ok(Backlog {
        jobs,
        oldest_at_ms: oldest,
    })
}

fn lists(
    view: &View,
    incarnation: &[u8; 16],
    after: Option<&ListKey>,
    limit: usize,
) -> Result<Vec<ListLine>> {
    // No kind is empty, so every list comes after the empty name.
    let (kind, owner) = after.map_or(("", ""), |list| (list.kind.as_str(), list.owner.as_str()));
    let mut statement = view.connection().prepare_cached(
        "SELECT kind, owner, n, epoch, ended, version, floor, count, digest, tombstones
         FROM lists WHERE (kind, owner) > (?1, ?2) AND epoch = (
             SELECT max(epoch) FROM lists AS other
             WHERE other.kind = lists.kind AND other.owner = lists.owner
         ) ORDER BY kind, owner LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![kind, owner, limit])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let list = list_of_row(row)?;
        let entry = Entry::of_row(row, 2, incarnation, &list)?;
        lines.push(ListLine {
            state: entry.state(),
            tombstones: entry.tombstones,
            list,
        });
    }
    Ok(lines)
}

/// A list's name from the first two columns.
pub(crate) fn list_of_row(row: &rusqlite::Row<'_>) -> Result<ListKey> {
    let name = |at| row.get_ref(at)?.as_str().map_err(rusqlite::Error::from);
    Ok(ListKey::new(name(0)?, name(1)?)?)
}
