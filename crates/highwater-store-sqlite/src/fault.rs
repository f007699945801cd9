//! What SQLite reports, in the words of the store's trait.

use highwater_protocol::Refusal;
use highwater_store::StoreError;
use rusqlite::ErrorCode;

/// A store's error on its way through this crate.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) StoreError);

pub(crate) type Result<T> = std::result::Result<T, Fault>;

impl Fault {
    /// What is stored breaks the schema or its invariants.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self(StoreError::Corrupt(what.into()))
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self(store_error(&error))
    }
}

impl From<Refusal> for Fault {
    /// A stored name, id or rank that the protocol would not let in.
    fn from(refusal: Refusal) -> Self {
        Self::corrupt(refusal.to_string())
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        fault.0
    }
}

fn store_error(error: &rusqlite::Error) -> StoreError {
    let text = error.to_string();
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DiskFull => StoreError::Full(text),
            ErrorCode::ReadOnly => StoreError::ReadOnly(text),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::CannotOpen => {
                StoreError::Unavailable(text)
            }
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TypeMismatch => {
                StoreError::Corrupt(text)
            }
            // The shared index of the log could not grow.
            ErrorCode::SystemIoFailure
                if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE =>
            {
                StoreError::Full(text)
            }
            _ => StoreError::Database(text),
        },
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::QueryReturnedNoRows => StoreError::Corrupt(text),
        _ => StoreError::Database(text),
    }
}

/// The same error once more, for another write that it ended.
pub(crate) fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full(text) => StoreError::Full(text.clone()),
        StoreError::ReadOnly(text) => StoreError::ReadOnly(text.clone()),
        StoreError::Unavailable(text) => StoreError::Unavailable(text.clone()),
        StoreError::Corrupt(text) => StoreError::Corrupt(text.clone()),
        StoreError::Database(text) => StoreError::Database(text.clone()),
        other => StoreError::Database(other.to_string()),
    }
}

/// Whether a commit that ended so is known not to have happened, once it is
/// rolled back.
///
/// A full disk, a read-only file and a busy one are met before or at the frame
/// that makes the transaction valid (on systems where a write into one sector
/// leaves its neighbours alone, SQLite writes nothing after that frame). An
/// error of input or output may have come after it, at the fsync: the frames
/// may be whole on the disk, and a crash before the next commit would find
/// them.
pub(crate) fn is_undone(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::DatabaseBusy)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    fn failure(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn errors_are_told_apart_by_what_can_be_done_about_them() {
        for (code, expected) in [
            (ffi::SQLITE_FULL, "the disk is full"),
            (ffi::SQLITE_IOERR_SHMSIZE, "the disk is full"),
            (ffi::SQLITE_READONLY, "the database is read-only"),
            (ffi::SQLITE_READONLY_DIRECTORY, "the database is read-only"),
            (ffi::SQLITE_BUSY, "the database is not available"),
            (ffi::SQLITE_CANTOPEN, "the database is not available"),
            (ffi::SQLITE_CORRUPT, "the database is damaged"),
            (ffi::SQLITE_NOTADB, "the database is damaged"),
            (ffi::SQLITE_IOERR_WRITE, "the database failed"),
            (ffi::SQLITE_NOMEM, "the database failed"),
        ] {
            let error = Fault::from(failure(code)).0;
            assert!(error.to_string().starts_with(expected), "{code}: {error}");
            assert_eq!(again(&error).to_string(), error.to_string());
        }
    }

    #[test]
    fn only_an_error_before_the_last_frame_is_known_to_have_undone_the_commit() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_READONLY, ffi::SQLITE_BUSY] {
            assert!(is_undone(&failure(code)), "{code}");
        }
        for code in [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_SHMSIZE,
            ffi::SQLITE_NOMEM,
        ] {
            assert!(!is_undone(&failure(code)), "{code}");
        }
    }
}
