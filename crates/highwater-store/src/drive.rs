//! Driving a write to its end where it stands.
//!
//! A store whose transaction never waits (in memory, or on a thread that owns
//! the database) can run a write's work by polling it once: each call of the
//! transaction is ready at once, and the work may wait for nothing else.

use crate::store::StoreError;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Runs `work` to its end on the calling thread, containing a panic.
///
/// # Errors
/// [`StoreError::Database`] with the panic's message, or if the work waits for
/// something: it must depend on nothing but its transaction.
pub fn drive<T>(work: impl Future<Output = T>) -> Result<T, StoreError> {
    let polled = catch_unwind(AssertUnwindSafe(|| {
        pin!(work).poll(&mut Context::from_waker(Waker::noop()))
    }));
    match polled {
        Ok(Poll::Ready(output)) => Ok(output),
        Ok(Poll::Pending) => Err(StoreError::Database(
            "the write waits for something other than its transaction".to_owned(),
        )),
        Err(panic) => Err(StoreError::Database(format!(
            "the write panicked: {}",
            message_of(panic.as_ref())
        ))),
    }
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn work_that_is_ready_is_done() {
        assert_eq!(drive(async { 7 }).unwrap(), 7);
    }

    #[test]
    fn work_that_waits_or_panics_is_an_error_and_no_more() {
        let waits = drive(std::future::pending::<()>()).unwrap_err().to_string();
        assert!(waits.contains("waits for something"), "{waits}");
        let number = 3;
        let panics = drive(async { assert!(number == 4, "no {number}") })
            .unwrap_err()
            .to_string();
        assert!(panics.contains("the write panicked: no 3"), "{panics}");
    }
}
