//! What the protocol promises, seen from outside.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bad_messages;
mod documented;
