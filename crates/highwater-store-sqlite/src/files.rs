//! The files of a store, and the lock on their folder.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The database's name in the store's folder.
pub const DATABASE_FILE: &str = "highwater.db";
/// The lock's name in the store's folder. The file stays; what counts is who
/// holds the lock on it.
pub const LOCK_FILE: &str = "highwater.lock";

/// How taking the lock ended.
#[derive(Debug)]
pub(crate) enum Lock {
    /// It is ours until this is dropped, or the process ends however it ends.
    Taken(FolderLock),
    /// Another process, or another store of this one, has it.
    Held,
    /// The folder cannot be written to.
    ReadOnly,
}

/// A lock on a folder.
#[derive(Debug)]
pub(crate) struct FolderLock(File);

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing the file would do, but not at once where a process is being
        // started just now, and has a copy of it for a moment. If it fails, the
        // file is closed all the same.
        let _ = self.0.unlock();
    }
}

/// Takes the lock on a folder.
pub(crate) fn lock(folder: &Path) -> io::Result<Lock> {
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join(LOCK_FILE));
    let file = match opened {
        Ok(file) => file,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(Lock::ReadOnly);
        }
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => Ok(Lock::Taken(FolderLock(file))),
        Err(TryLockError::WouldBlock) => Ok(Lock::Held),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The database and the files that SQLite keeps beside it.
pub(crate) fn with_companions(database: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| beside(database, suffix))
}

/// `path` with something after its last letter.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Makes what was written to a file last, and with it what was renamed or
/// created in its folder.
pub(crate) fn sync(file: &Path) -> io::Result<()> {
    File::open(file)?.sync_all()?;
    sync_folder_of(file)
}

/// Makes what was renamed, created or removed in a file's folder last.
pub(crate) fn sync_folder_of(file: &Path) -> io::Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// A path as SQLite's URI of a file that nobody writes to.
pub(crate) fn immutable_uri(path: &Path) -> io::Result<String> {
    let path = std::path::absolute(path)?;
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    Ok(uri)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once_and_free_when_the_lock_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let Lock::Taken(file) = lock(folder.path()).unwrap() else {
            panic!("nobody holds it");
        };
        assert!(matches!(lock(folder.path()).unwrap(), Lock::Held));
        drop(file);
        assert!(matches!(lock(folder.path()).unwrap(), Lock::Taken(_)));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        lock(&folder.path().join("none")).unwrap_err();
    }

    #[test]
    fn companions_have_the_name_of_the_database() {
        let [_, wal, _] = with_companions(Path::new("/x/highwater.db"));
        assert_eq!(wal, Path::new("/x/highwater.db-wal"));
    }

    #[test]
    fn a_path_with_odd_letters_makes_a_uri() {
        let uri = immutable_uri(Path::new("/a b/c?d#e%.db")).unwrap();
        assert_eq!(uri, "file:///a%20b/c%3Fd%23e%25.db?immutable=1");
    }
}
