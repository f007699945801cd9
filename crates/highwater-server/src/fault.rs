//! What a caller is told when the store fails: a code, and whether to come
//! back. What exactly failed is for the log.

use highwater_protocol::{Code, Refusal};
use highwater_store::{StoreError, WriteError};

/// When a caller may find a store that was busy ready, in milliseconds.
const BUSY_RETRY_MS: u64 = 1_000;
/// When a caller may find that an operator has made room.
const READ_ONLY_RETRY_MS: u64 = 10_000;

/// The kind of a store's error, as metrics and logs name it.
#[must_use]
pub(crate) const fn name(error: &StoreError) -> &'static str {
    match error {
        StoreError::Full(_) => "full",
        StoreError::ReadOnly(_) => "read_only",
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Corrupt(_) => "corrupt",
        _ => "database",
    }
}

/// What a caller is told when the store could not do it. Nothing was changed.
#[must_use]
pub(crate) fn of_store(error: &StoreError) -> Refusal {
    match error {
        StoreError::Full(_) => Refusal::new(
            Code::ReadOnly,
            "the server's disk is full: it serves reads, and takes no writes until there is room",
        )
        .retry_after_ms(READ_ONLY_RETRY_MS),
        StoreError::ReadOnly(_) => Refusal::new(
            Code::ReadOnly,
            "the server's database cannot be written to: it serves reads, and takes no writes",
        )
        .retry_after_ms(READ_ONLY_RETRY_MS),
        StoreError::Unavailable(_) => Refusal::new(
            Code::Unavailable,
            "the server's database is not available just now; nothing was changed",
        )
        .retry_after_ms(BUSY_RETRY_MS),
        _ => Refusal::new(
            Code::Internal,
            "the server's database failed; nothing was changed",
        ),
    }
}

/// What a caller is told when a write came to nothing.
#[must_use]
pub(crate) fn of_write(error: WriteError<Refusal>) -> Refusal {
    match error {
        WriteError::Refused(no) => no,
        WriteError::NotCommitted(error) => of_store(&error),
        WriteError::Unknown(_) => Refusal::new(
            Code::OutcomeUnknown,
            "the outcome of the write is not known: it may have happened; look before you repeat it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_happened_is_told_apart_from_what_did_not() {
        let full = || StoreError::Full("/secret/path".to_owned());
        let did_not = of_write(WriteError::NotCommitted(full()));
        assert_eq!(did_not.code, Code::ReadOnly);
        assert!(did_not.retry_after_ms > 0);
        assert!(!did_not.message.contains("secret"), "{}", did_not.message);
        assert_eq!(
            of_write(WriteError::Unknown(full())).code,
            Code::OutcomeUnknown
        );
        let refused = Refusal::new(Code::Forbidden, "no");
        assert_eq!(of_write(WriteError::Refused(refused.clone())), refused);
    }

    #[test]
    fn each_failure_has_its_code() {
        let code = |error: &StoreError| of_store(error).code;
        let text = String::new;
        assert_eq!(code(&StoreError::ReadOnly(text())), Code::ReadOnly);
        assert_eq!(code(&StoreError::Unavailable(text())), Code::Unavailable);
        assert_eq!(code(&StoreError::Corrupt(text())), Code::Internal);
        assert_eq!(code(&StoreError::Database(text())), Code::Internal);
    }
}
