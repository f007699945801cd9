//! Opening a database: what it must be, and how SQLite is set for it.

use crate::fault::{Fault, Result};
use crate::files::{DATABASE_FILE, FolderLock, Lock, beside, immutable_uri, lock};
use crate::schema::{self, STEPS, Schema};
use highwater_core::planted::{Bug, is};
use highwater_store::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a store uses memory and waits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Heads of lists that are kept in memory at most; one takes about 300
    /// bytes.
    pub cached_heads_max: usize,
    /// Pages that the writer keeps in memory, in bytes.
    pub writer_cache_bytes: usize,
    /// Pages that each reader keeps in memory at most, in bytes. They are good
    /// until the next commit; their use is to a scan, which looks its rows up
    /// in another order than they are stored in.
    pub reader_cache_bytes: usize,
    /// How much of the database is mapped into memory instead of read, in
    /// bytes. 0 by default: an error of the disk under a mapping ends the
    /// process, where a read only fails.
    pub mmap_bytes: usize,
    /// Connections for snapshots that are kept open between them.
    pub idle_readers_max: usize,
    /// Snapshots that may be held at once; one more is
    /// [`StoreError::Unavailable`].
    pub readers_max: usize,
    /// Writes that may wait for the writer; further ones wait to be let in.
    pub queue_writes_max: usize,
    /// How long SQLite waits for a lock that another process holds, a backup
    /// tool say.
    pub busy_timeout: Duration,
    /// A size that the database must not exceed, in bytes: beyond it writes end
    /// with [`StoreError::Full`]. `None`: the disk is the limit.
    pub database_bytes_max: Option<u64>,
    /// The SQLite file system that the database is in, under the folder's name;
    /// `None`: the machine's. One process has all of another file system, so its
    /// folders are neither made nor locked.
    #[cfg(feature = "simulation")]
    pub file_system: Option<String>,
    /// The incarnation that the database gets; `None`: it keeps its own, and a
    /// new one gets a random one.
    #[cfg(feature = "simulation")]
    pub incarnation: Option<[u8; 16]>,
}

impl Options {
    pub(crate) fn file_system(&self) -> Option<&str> {
        #[cfg(feature = "simulation")]
        let chosen = self.file_system.as_deref();
        #[cfg(not(feature = "simulation"))]
        let chosen = None;
        chosen
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cached_heads_max: 262_144,
            writer_cache_bytes: 64 * 1024 * 1024,
            reader_cache_bytes: 32 * 1024 * 1024,
            mmap_bytes: 0,
            idle_readers_max: 8,
            readers_max: 512,
            queue_writes_max: 4_096,
            busy_timeout: Duration::from_secs(5),
            database_bytes_max: None,
            #[cfg(feature = "simulation")]
            file_system: None,
            #[cfg(feature = "simulation")]
            incarnation: None,
        }
    }
}

/// Why a database could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its folder is locked.
    #[error(
        "another process has {} open; stop it first, or choose another folder",
        .0.display()
    )]
    Held(PathBuf),
    /// There is none, and none may be made.
    #[error("there is no database at {}", .0.display())]
    Missing(PathBuf),
    /// A later program wrote it.
    #[error(
        "the database has schema {found}, this program knows schemas up to {known}: \
         use the program that wrote it, or a later one"
    )]
    Newer {
        /// The schema of the file.
        found: usize,
        /// The newest that this program knows.
        known: usize,
    },
    /// An older program wrote it, and it may not be changed.
    #[error(
        "the database has schema {found}, and cannot be read without being brought to \
         schema {known}: open it for writing once"
    )]
    Older {
        /// The schema of the file.
        found: usize,
        /// The schema that it would need.
        known: usize,
    },
    /// It is no Highwater database.
    #[error("{} is the database of another program", .0.display())]
    Foreign(PathBuf),
    /// A file or folder could not be read or written.
    #[error("cannot open {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// SQLite could not open it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> Self {
        Self::Store(fault.0)
    }
}

/// A database that is ready.
pub(crate) struct Opened {
    /// The one connection that writes; `None`: nothing may be written.
    pub(crate) writer: Option<Connection>,
    pub(crate) readers: Readers,
    pub(crate) incarnation: [u8; 16],
    pub(crate) tick: u64,
    /// Held as long as the store may write.
    pub(crate) lock: Option<FolderLock>,
}

/// How connections for reading are made.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    immutable: bool,
    options: Options,
}

/// Opens the database in `folder` for writing, and makes it if it is not there.
/// Where the folder or the file cannot be written to, it is opened for reading.
pub(crate) fn open(folder: &Path, options: &Options) -> std::result::Result<Opened, OpenError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::File { path, error }
    };
    let mut taken = None;
    if options.file_system().is_none() {
        match std::fs::create_dir_all(folder) {
            // What is there can be read, if it cannot be made.
            Err(error) if !folder.is_dir() => return Err(file(folder)(error)),
            _ => {}
        }
        match lock(folder).map_err(file(folder))? {
            Lock::Taken(lock) => taken = Some(lock),
            Lock::Held => return Err(OpenError::Held(folder.to_owned())),
            Lock::ReadOnly => return open_read_only(folder, options),
        }
    }
    let path = folder.join(DATABASE_FILE);
    let mut writer = connect(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        options.writer_cache_bytes,
        options,
    )?;
    // A file without the right to write is opened for reading, unasked.
    if writer.is_readonly("main").map_err(Fault::from)? {
        drop(writer);
        return open_read_only(folder, options);
    }
    let from = match schema::inspect(&writer, STEPS.len())? {
        Schema::Empty => 0,
        Schema::Known(version) => version,
        Schema::Newer(found) => return Err(newer(found)),
        Schema::Foreign => return Err(OpenError::Foreign(path)),
    };
    set_for_writing(&writer)?;
    if from < STEPS.len() {
        schema::migrate(&mut writer, from, STEPS)?;
    }
    #[cfg(feature = "simulation")]
    if let Some(incarnation) = options.incarnation {
        schema::set_incarnation(&writer, incarnation)?;
    }
    if schema::incarnation(&writer)?.is_none() {
        schema::reincarnate(&writer)?;
    }
    // A limit on growth is for the life of a connection.
    if let Some(bytes) = options.database_bytes_max {
        set_size_max(&writer, bytes)?;
    }
    let (incarnation, tick) = identity(&writer)?;
    Ok(Opened {
        writer: Some(writer),
        readers: Readers {
            path,
            immutable: false,
            options: options.clone(),
        },
        incarnation,
        tick,
        lock: taken,
    })
}

/// Opens the database in `folder` for reading, beside a process that may be
/// writing it.
pub(crate) fn open_read_only(
    folder: &Path,
    options: &Options,
) -> std::result::Result<Opened, OpenError> {
    let path = folder.join(DATABASE_FILE);
    if !path.is_file() {
        return Err(OpenError::Missing(path));
    }
    let mut readers = Readers {
        path: path.clone(),
        immutable: false,
        options: options.clone(),
    };
    let looked_at = readers
        .connect()
        .and_then(|reader| Ok((schema::inspect(&reader, STEPS.len())?, reader)));
    let (schema, reader) = match looked_at {
        Ok(looked_at) => looked_at,
        // Without a log, and without the right to make one, the file alone is
        // the database, and nobody can be writing it.
        Err(error) if !beside(&path, "-wal").exists() => {
            readers.immutable = true;
            let reader = readers.connect().map_err(|_| error)?;
            (schema::inspect(&reader, STEPS.len())?, reader)
        }
        Err(error) => return Err(error.into()),
    };
    match schema {
        Schema::Known(version) if version == STEPS.len() => {}
        Schema::Known(found) => {
            return Err(OpenError::Older {
                found,
                known: STEPS.len(),
            });
        }
        Schema::Newer(found) => return Err(newer(found)),
        Schema::Empty | Schema::Foreign => return Err(OpenError::Foreign(path)),
    }
    let (incarnation, tick) = identity(&reader)?;
    Ok(Opened {
        writer: None,
        readers,
        incarnation,
        tick,
        lock: None,
    })
}

fn newer(found: usize) -> OpenError {
    OpenError::Newer {
        found,
        known: STEPS.len(),
    }
}

impl Readers {
    /// Makes one more connection.
    pub(crate) fn connect(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let cache = self.options.reader_cache_bytes;
        if self.immutable {
            let uri = immutable_uri(&self.path)
                .map_err(|error| Fault(StoreError::Unavailable(error.to_string())))?;
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            connect(Path::new(&uri), flags, cache, &self.options)
        } else {
            connect(&self.path, flags, cache, &self.options)
        }
    }

    pub(crate) const fn options(&self) -> &Options {
        &self.options
    }
}

/// Opens a connection that one thread at a time uses.
fn connect(
    path: &Path,
    flags: OpenFlags,
    cache_bytes: usize,
    options: &Options,
) -> Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match options.file_system() {
        Some(name) => Connection::open_with_flags_and_vfs(path, flags, name)?,
        None => Connection::open_with_flags(path, flags)?,
    };
    connection.busy_timeout(options.busy_timeout)?;
    // More than this crate has statements, so that none is prepared twice.
    connection.set_prepared_statement_cache_capacity(64);
    let kibibytes = i64::try_from(cache_bytes / 1024).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", -kibibytes)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Not every file system can map.
    if options.mmap_bytes > 0 {
        let mapped = i64::try_from(options.mmap_bytes).unwrap_or(i64::MAX);
        connection.pragma_update_and_check(None, "mmap_size", mapped, |_| Ok(()))?;
    }
    Ok(connection)
}

/// Sets what makes a commit last: a log that is synced with each of them.
fn set_for_writing(writer: &Connection) -> Result<()> {
    // The new mode is written when the statement ends, after the row that names
    // it: an error of the disk is only told to whoever reads on.
    let mut mode = String::new();
    let mut set = writer.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = set.query([])?;
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    if mode != "wal" {
        return Err(Fault(StoreError::Database(format!(
            "SQLite keeps a journal of mode {mode} on this file system, not a log"
        ))));
    }
    let synchronous = match is(Bug::AcknowledgedEarly) {
        true => "OFF",
        false => "FULL",
    };
    writer.pragma_update(None, "synchronous", synchronous)?;
    // A log that a long snapshot made grow is cut back to this.
    writer.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    Ok(())
}

/// Sets how large the database may become.
pub(crate) fn set_size_max(writer: &Connection, bytes: u64) -> Result<()> {
    let page_bytes: i64 = writer.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = (i64::try_from(bytes).unwrap_or(i64::MAX) / page_bytes).clamp(1, 0xffff_fffe);
    writer.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    Ok(())
}

fn identity(connection: &Connection) -> Result<([u8; 16], u64)> {
    Ok(
        connection.query_row("SELECT incarnation, tick FROM meta", [], |row| {
            Ok((row.get(0)?, crate::entry::unsigned(row, 1)?))
        })?,
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn pragma(connection: &Connection, name: &str) -> String {
        connection
            .pragma_query_value(None, name, |row| {
                row.get_ref(0).map(|value| match value {
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    other => String::from_utf8(other.as_bytes().unwrap().to_vec()).unwrap(),
                })
            })
            .unwrap()
    }

    /// No test can cut the power: that commits are synced is held here.
    #[test]
    fn the_writer_syncs_a_log_with_each_commit() {
        let folder = tempfile::tempdir().unwrap();
        let opened = open(folder.path(), &Options::default()).unwrap();
        let writer = opened.writer.unwrap();
        assert_eq!(pragma(&writer, "journal_mode"), "wal");
        assert_eq!(pragma(&writer, "synchronous"), "2", "FULL");
        assert_eq!(pragma(&writer, "mmap_size"), "0");
        assert_eq!(pragma(&writer, "user_version"), STEPS.len().to_string());
        let reader = opened.readers.connect().unwrap();
        assert!(reader.is_readonly("main").unwrap());
        assert_eq!(pragma(&reader, "cache_size"), "-32768");
    }

    #[test]
    fn a_size_is_set_in_pages() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            database_bytes_max: Some(1 << 20),
            ..Options::default()
        };
        let opened = open(folder.path(), &options).unwrap();
        assert_eq!(pragma(&opened.writer.unwrap(), "max_page_count"), "256");
    }
}
