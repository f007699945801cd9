//! The device's database: rows, and beside them, in the same transaction, how
//! far each list has come. The only room of this crate that knows SQL.
//!
//! One connection writes, for the engine; another reads, for the app, so that a
//! page never waits for an answer that is being applied. WAL with
//! `synchronous=NORMAL`: a crash of the process loses nothing that was
//! committed, one of the machine may lose the newest transactions, never one
//! without those after it. Losing them is allowed: the next sync brings them
//! again.
//!
//! Public for tools and benchmarks; apps use [`Client`](crate::Client).

mod open;
mod read;
mod record;
mod replace;
mod schema;
mod scrub;
#[cfg(feature = "simulation")]
pub mod simulation;
mod txn;
mod value;
mod writer;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod damage;

pub use open::{Binding, Found};
pub use read::{Condition, HeldList, ReadRow, Standing};
pub use schema::SCHEMA;
pub use scrub::{Scrub, ScrubbedList, scrub};
pub use txn::SqliteTxn;
pub use writer::SqliteLocal;

use crate::driver::{Claim, Storage};
use crate::error::Error;
use parking_lot::Mutex;
use read::Reader;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why the device's database could not read or write.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LocalError(#[from] Fault);

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("it is closed")]
    Closed,
}

impl From<rusqlite::Error> for LocalError {
    fn from(error: rusqlite::Error) -> Self {
        Self(Fault::Sqlite(error))
    }
}

impl LocalError {
    /// The database was closed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.0, Fault::Closed)
    }

    /// The disk is full: reads go on.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.has(rusqlite::ErrorCode::DiskFull)
    }

    /// The file is damaged: cut short, or not a database any more.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        self.has(DatabaseCorrupt) || self.has(NotADatabase)
    }

    /// The file cannot be written to: reads go on.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.has(rusqlite::ErrorCode::ReadOnly)
    }

    fn has(&self, code: rusqlite::ErrorCode) -> bool {
        match &self.0 {
            Fault::Sqlite(error) => error.sqlite_error_code() == Some(code),
            Fault::Closed => false,
        }
    }
}

/// An open database, bound to its user and server.
pub struct Database {
    writer: Mutex<Option<SqliteLocal>>,
    reader: Mutex<Option<Reader>>,
    claim: Mutex<Option<Claim>>,
    binding: Binding,
    /// How often the file was replaced.
    era: AtomicU64,
}

impl Database {
    /// Whose the database is.
    #[must_use]
    pub const fn binding(&self) -> &Binding {
        &self.binding
    }

    /// How often the file was replaced by a fresh one since the database was
    /// opened.
    pub(crate) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// Moves the file, which is damaged, aside and begins a fresh one in its
    /// place. Returns where the damaged one is now.
    ///
    /// # Errors
    /// The file could not be moved, or no fresh one be made; the database is
    /// closed then.
    pub(crate) fn replace(&self, storage: &dyn Storage) -> Result<PathBuf, Error> {
        let mut writer = self.writer.lock();
        let mut reader = self.reader.lock();
        let claim = self.claim.lock();
        let claim = claim.as_ref().ok_or(Error::Closed)?;
        drop((writer.take(), reader.take()));
        let aside = storage.set_aside(claim)?;
        let (conn, reading) = open::fresh(claim, &self.binding)?;
        *writer = Some(SqliteLocal::new(conn));
        *reader = Some(Reader::new(reading));
        self.era.fetch_add(1, Ordering::AcqRel);
        Ok(aside)
    }

    /// Uses the writing connection, alone.
    ///
    /// # Errors
    /// That of `work`, and a closed database.
    pub fn write<T>(
        &self,
        work: impl FnOnce(&mut SqliteLocal) -> Result<T, LocalError>,
    ) -> Result<T, LocalError> {
        let mut writer = self.writer.lock();
        work(writer.as_mut().ok_or(Fault::Closed)?)
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&mut Reader) -> Result<T, LocalError>,
    ) -> Result<T, LocalError> {
        let mut reader = self.reader.lock();
        work(reader.as_mut().ok_or(Fault::Closed)?)
    }

    /// Closes both connections and lets others in. Whoever uses the database
    /// then is told that it is closed.
    pub fn close(&self) {
        let reader = self.reader.lock().take();
        drop(reader);
        let writer = self.writer.lock().take();
        if let Some(mut writer) = writer {
            // If that fails, what was not committed is fetched again.
            let _ = writer.commit_shared();
            // The last connection to close moves the log into the database.
            drop(writer);
        }
        let claim = self.claim.lock().take();
        drop(claim);
    }
}
