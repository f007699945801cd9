//! Worlds that hold, worlds that are the same twice, and faults that are found.

#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(feature = "planted-bugs")]
mod planted;
#[cfg(not(feature = "planted-bugs"))]
mod worlds;
