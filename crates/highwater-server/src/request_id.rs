//! The id by which the log lines of one request are found.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

tokio::task_local! {
    static CURRENT: RequestId;
}

/// Characters of an id that a proxy may give.
const GIVEN_CHARS_MAX: usize = 64;

static NEXT: AtomicU64 = AtomicU64::new(1);
/// Tells the ids of one run of the server from those of another.
static RUN: LazyLock<u32> = LazyLock::new(|| {
    let mut random = [0; 4];
    // Without it, ids repeat after a restart: a blemish, no fault.
    let _ = getrandom::fill(&mut random);
    u32::from_le_bytes(random)
});

/// An id of a request, its sender's or our own.
#[derive(Clone, Debug)]
pub(crate) enum RequestId {
    Given(Arc<str>),
    Counted(u64),
}

impl RequestId {
    /// The id that the sender gives, if it is short and plain; else a new one.
    pub(crate) fn of(given: Option<&[u8]>) -> Self {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
        match given.map(str::from_utf8) {
            Some(Ok(given))
                if (1..=GIVEN_CHARS_MAX).contains(&given.len())
                    && given.bytes().all(|byte| plain(&byte)) =>
            {
                Self::Given(given.into())
            }
            _ => Self::Counted(NEXT.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Runs work on the request.
    pub(crate) fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self.clone(), work)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(given) => out.write_str(given),
            Self::Counted(number) => write!(out, "{:08x}-{number}", *RUN),
        }
    }
}

/// The id of the request that is being worked on here; `-` outside of any.
pub(crate) fn current() -> String {
    CURRENT
        .try_with(RequestId::to_string)
        .unwrap_or_else(|_| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_over_only_if_it_can_do_no_harm() {
        let of = |given: &str| RequestId::of(Some(given.as_bytes())).to_string();
        assert_eq!(of("abc-1"), "abc-1");
        assert_ne!(of("a b"), "a b");
        assert_ne!(of(""), "");
        assert_ne!(of("é"), "é");
        assert_ne!(of(&"x".repeat(65)), "x".repeat(65));
        assert_ne!(of(""), of(""));
        assert_ne!(RequestId::of(None).to_string(), of(""));
    }
}
