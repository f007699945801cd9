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
    let mut beside = OsString::from(&path);
    beside.push(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(beside)
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
    fn a_place_that_is_not_there_is_named() {
        let error = claim(Path::new("no-such-folder/db")).err().unwrap();
        assert!(error.to_string().contains("no-such-folder"), "{error}");
    }
}
