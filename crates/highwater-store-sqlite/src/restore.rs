//! Making a store of a backup, under other lineages.

use crate::backup::{Copied, close_copy, copy_database, open_copy, remove};
use crate::check::{CheckProgress, CheckReport, check};
use crate::fault::Fault;
use crate::files::{
    DATABASE_FILE, Lock, beside, immutable_uri, lock, sync, sync_folder_of, with_companions,
};
use crate::open::OpenError;
use crate::schema::{self, STEPS, Schema};
use highwater_store::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What to do about a database that is in the folder already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave it, and fail.
    Keep,
    /// Give it another name, beside the new one.
    MoveAside,
}

/// How far a restore has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreProgress {
    /// The backup is being copied.
    Copying(Copied),
    /// The copy is being checked.
    Checking(CheckProgress),
}

/// A backup that is a store now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Where the database is that was there before.
    pub moved_aside: Option<PathBuf>,
    /// What the check of the copy saw: nothing is wrong with it.
    pub report: CheckReport,
}

/// Why a backup could not be made a store. The folder is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// A database is there already.
    #[error(
        "{} is there already; choose another folder, or have it moved aside",
        .0.display()
    )]
    Exists(PathBuf),
    /// The backup is damaged.
    #[error("the backup is damaged: {}", first_finding(.0))]
    Damaged(Box<CheckReport>),
    /// The folder or the backup cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The backup could not be read, or the copy not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn first_finding(report: &CheckReport) -> String {
    report
        .findings
        .first()
        .map_or_else(String::new, ToString::to_string)
}

impl From<Fault> for RestoreError {
    fn from(fault: Fault) -> Self {
        Self::Store(fault.0)
    }
}

/// Makes the store in `folder` what the backup holds: copied, brought to this
/// program's schema, checked, and given a new incarnation, so that every list
/// that lives has another lineage and no device takes it for what it knew.
/// Blocks for as long as that takes.
///
/// # Errors
/// If a server has the folder open, a database is there that shall be kept, or
/// the backup is not whole.
pub fn restore(
    backup: &Path,
    folder: &Path,
    existing: Existing,
    mut progress: impl FnMut(RestoreProgress),
) -> Result<Restored, RestoreError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::File { path, error }
    };
    if !backup.is_file() {
        return Err(OpenError::Missing(backup.to_owned()).into());
    }
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let _lock = match lock(folder).map_err(failed(folder))? {
        Lock::Taken(lock) => lock,
        Lock::Held => return Err(OpenError::Held(folder.to_owned()).into()),
        Lock::ReadOnly => {
            let error = io::ErrorKind::ReadOnlyFilesystem.into();
            return Err(failed(folder)(error).into());
        }
    };
    let database = folder.join(DATABASE_FILE);
    if existing == Existing::Keep && database.exists() {
        return Err(RestoreError::Exists(database));
    }
    let partial = beside(&database, ".restoring");
    let restored = make_copy(backup, &partial, &mut progress).and_then(|report| {
        sync(&partial).map_err(failed(&partial))?;
        let moved_aside = if database.exists() {
            Some(move_aside(&database).map_err(failed(&database))?)
        } else {
            None
        };
        fs::rename(&partial, &database).map_err(failed(&database))?;
        sync_folder_of(&database).map_err(failed(&database))?;
        Ok(Restored {
            moved_aside,
            report,
        })
    });
    remove(&partial);
    restored
}

/// Copies a backup, and makes of it what a store opens.
fn make_copy(
    backup: &Path,
    partial: &Path,
    progress: &mut impl FnMut(RestoreProgress),
) -> Result<CheckReport, RestoreError> {
    remove(partial);
    let source = open_backup(backup)?;
    let from = match schema::inspect(&source, STEPS.len())? {
        Schema::Known(version) => version,
        Schema::Newer(found) => {
            return Err(OpenError::Newer {
                found,
                known: STEPS.len(),
            }
            .into());
        }
        Schema::Empty | Schema::Foreign => {
            return Err(OpenError::Foreign(backup.to_owned()).into());
        }
    };
    let mut copy = open_copy(partial)?;
    copy_database(&source, &mut copy, |copied| {
        progress(RestoreProgress::Copying(copied));
    })?;
    drop(source);
    if from < STEPS.len() {
        schema::migrate(&mut copy, from, STEPS)?;
    }
    let report = check(&copy, None, |checked| {
        progress(RestoreProgress::Checking(checked));
    })?;
    if !report.is_clean() {
        return Err(RestoreError::Damaged(Box::new(report)));
    }
    schema::reincarnate(&copy)?;
    close_copy(copy)?;
    Ok(report)
}

/// Opens a backup for reading, be it one file or a copied folder with its log.
fn open_backup(backup: &Path) -> Result<Connection, RestoreError> {
    let open = |path: &Path, flags: OpenFlags| {
        let source = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        // What is no database is found out by reading.
        source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok::<_, rusqlite::Error>(source)
    };
    let opened = open(backup, OpenFlags::empty()).or_else(|error| {
        if beside(backup, "-wal").exists() {
            return Err(error);
        }
        let uri = immutable_uri(backup).map_err(|_| error)?;
        open(Path::new(&uri), OpenFlags::SQLITE_OPEN_URI)
    });
    Ok(opened.map_err(Fault::from)?)
}

/// Gives a database another name. Its log, which would be taken for the new
/// database's, is brought into it first, or goes with it.
fn move_aside(database: &Path) -> io::Result<PathBuf> {
    // Closing the only connection empties and removes the log.
    if let Ok(connection) = Connection::open(database) {
        let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
    let mut number = 1;
    let aside = loop {
        let aside = beside(database, &format!(".replaced-{number}"));
        if !aside.exists() {
            break aside;
        }
        number += 1;
    };
    let (from, to) = (with_companions(database), with_companions(&aside));
    for (from, to) in from.iter().zip(&to).skip(1) {
        if from.exists() {
            fs::rename(from, to)?;
        }
    }
    // A second name rather than another: until the new database takes its
    // place, the old one is there.
    fs::hard_link(database, &aside).or_else(|_| fs::rename(database, &aside))?;
    Ok(aside)
}
