//! Copying a database while it is used.

use crate::files::{beside, sync, sync_folder_of, with_companions};
use crate::store::SqliteStore;
use highwater_store::StoreError;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Pages that one step copies.
const STEP_PAGES: i32 = 1_024;

/// How far a copy has come, in pages of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Pages that were copied.
    pub pages: u64,
    /// How many there are.
    pub pages_total: u64,
}

/// Why a database could not be copied. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// Nothing is overwritten.
    #[error("{} is there already; choose another name, or remove it", .0.display())]
    Exists(PathBuf),
    /// A file could not be written.
    #[error("cannot write {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The database could not be read, or the copy not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SqliteStore {
    /// Copies the database into the file `to`, as one commit had it, while
    /// others read and write. The copy is one file, whole and on the disk when
    /// this returns; until then it has another name. Blocks for as long as that
    /// takes.
    ///
    /// Writes go on beside it, into a log that cannot be cut back before the
    /// copy is made: it grows by what is written meanwhile.
    ///
    /// # Errors
    /// If `to` is there already, or the copy cannot be made.
    pub fn backup(&self, to: &Path, progress: impl FnMut(Copied)) -> Result<(), BackupError> {
        if to.exists() {
            return Err(BackupError::Exists(to.to_owned()));
        }
        let partial = beside(to, ".partial");
        let copied = self.copy_into(&partial, progress).and_then(|()| {
            let finish = || {
                sync(&partial)?;
                // Not over a file that somebody else made meanwhile.
                fs::hard_link(&partial, to).or_else(|error| {
                    if error.kind() == io::ErrorKind::AlreadyExists || to.exists() {
                        Err(error)
                    } else {
                        fs::rename(&partial, to)
                    }
                })?;
                sync_folder_of(to)
            };
            finish().map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
                _ => BackupError::File {
                    path: to.to_owned(),
                    error,
                },
            })
        });
        remove(&partial);
        copied
    }

    fn copy_into(&self, partial: &Path, progress: impl FnMut(Copied)) -> Result<(), BackupError> {
        remove(partial);
        let view = self.view().map_err(StoreError::from)?;
        let mut copy = open_copy(partial)?;
        copy_database(view.connection(), &mut copy, progress)?;
        drop(view);
        close_copy(copy)?;
        Ok(())
    }
}

/// Opens a new file for a copy. It needs no journal: if the copy fails, it is
/// removed.
pub(crate) fn open_copy(path: &Path) -> Result<Connection, StoreError> {
    let open = || {
        let copy = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        )?;
        copy.pragma_update(None, "synchronous", "OFF")?;
        Ok::<_, rusqlite::Error>(copy)
    };
    open()
        .map_err(crate::fault::Fault::from)
        .map_err(StoreError::from)
}

/// Copies all pages. `from` should be in a read transaction: then others may
/// write meanwhile, and the copy does not begin anew for that.
pub(crate) fn copy_database(
    from: &Connection,
    to: &mut Connection,
    mut progress: impl FnMut(Copied),
) -> Result<(), StoreError> {
    let fault = |error| StoreError::from(crate::fault::Fault::from(error));
    let copying = Backup::new(from, to).map_err(fault)?;
    loop {
        let step = copying.step(STEP_PAGES).map_err(fault)?;
        let state = copying.progress();
        let pages = |pages: i32| u64::try_from(pages).unwrap_or(0);
        progress(Copied {
            pages: pages(state.pagecount - state.remaining),
            pages_total: pages(state.pagecount),
        });
        match step {
            StepResult::More => {}
            StepResult::Done => return Ok(()),
            _ => {
                return Err(StoreError::Unavailable(
                    "another process holds the database".to_owned(),
                ));
            }
        }
    }
}

/// Makes a copy one file without a log, and closes it.
pub(crate) fn close_copy(copy: Connection) -> Result<(), StoreError> {
    let fault = |error| StoreError::from(crate::fault::Fault::from(error));
    copy.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
        .map_err(fault)?;
    copy.close().map_err(|(_, error)| fault(error))
}

/// Removes a file that is not whole, and what SQLite keeps beside it.
pub(crate) fn remove(partial: &Path) {
    let journal = beside(partial, "-journal");
    for file in with_companions(partial).into_iter().chain([journal]) {
        // It need not be there; if it cannot be removed, it is not in the way.
        let _ = fs::remove_file(file);
    }
}
