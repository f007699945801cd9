//! Databases are files; a locked file beside one keeps other clients out.

use crate::driver::{BoxFuture, Claim, Storage};
use crate::error::Error;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// Databases in the file system.
pub(super) struct Files;

impl Storage for Files {
    fn claim(&self, path: PathBuf) -> BoxFuture<'_, Result<Claim, Error>> {
        Box::pin(async move { claim(&path) })
    }

    fn set_aside(&self, claim: &Claim) -> Result<PathBuf, Error> {
        set_aside(&claim.path).map_err(|error| Error::Unopenable {
            path: claim.path.clone(),
            reason: format!("it is damaged, and cannot be moved aside: {error}").into(),
        })
    }
}

/// What SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Renames a database to the first free name of `NAME.damaged-1` and so on.
fn set_aside(path: &Path) -> std::io::Result<PathBuf> {
    let free = (1_u32..).find_map(|number| {
        let aside = beside(path, &format!(".damaged-{number}"));
        (!aside.exists()).then_some(aside)
    });
    let aside = free.ok_or(std::io::ErrorKind::AlreadyExists)?;
    // First the rest: without it, the database alone would be taken for a sound
    // one of an earlier time.
    for companion in COMPANIONS {
        match std::fs::rename(beside(path, companion), beside(&aside, companion)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut beside = OsString::from(path);
    beside.push(suffix);
    beside.into()
}

/// The lock is the system's: it ends with the process, however that ends, so a
/// file that is left behind locks nobody out.
fn claim(path: &Path) -> Result<Claim, Error> {
    let unopenable = |error: std::io::Error| Error::Unopenable {
        path: path.to_path_buf(),
        reason: error.to_string().into(),
    };
    // The same file by another name is the same database.
    let path = match path.canonicalize() {
        Ok(path) => path,
        Err(_) => std::path::absolute(path).map_err(unopenable)?,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(beside(&path, ".lock"))
        .map_err(unopenable)?;
    match file.try_lock() {
        Ok(()) => Ok(Claim {
            path,
            vfs: None,
            guard: Box::new(file),
        }),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path }),
        Err(TryLockError::Error(error)) => Err(unopenable(error)),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_claim_keeps_others_out_by_whatever_name_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        File::create(&path).unwrap();
        let first = claim(&path).unwrap();
        let detour = folder.path().join(".").join("db");
        assert!(matches!(claim(&detour), Err(Error::InUse { .. })));
        #[cfg(unix)]
        {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            assert!(matches!(claim(&link), Err(Error::InUse { .. })));
        }
        drop(first);
        assert!(claim(&path).is_ok());
    }

    #[test]
    fn what_is_set_aside_keeps_all_that_was_there_and_takes_no_others_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        for (number, content) in [(1, "one"), (2, "two")] {
            std::fs::write(&path, content).unwrap();
            std::fs::write(folder.path().join("db-wal"), content).unwrap();
            let aside = set_aside(&path).unwrap();
            assert_eq!(aside, folder.path().join(format!("db.damaged-{number}")));
            assert_eq!(std::fs::read_to_string(&aside).unwrap(), content);
            let wal = folder.path().join(format!("db.damaged-{number}-wal"));
            assert_eq!(std::fs::read_to_string(wal).unwrap(), content);
            assert!(!path.exists());
        }
        assert!(set_aside(&path).is_err(), "there is nothing to move");
    }

    #[test]
    fn a_place_that_is_not_there_is_named() {
        let error = claim(Path::new("no-such-folder/db")).err().unwrap();
        assert!(error.to_string().contains("no-such-folder"), "{error}");
    }
}
