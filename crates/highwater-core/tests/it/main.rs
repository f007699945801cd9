//! What the core promises, seen from outside: a device and a server that talk.
#![expect(clippy::unwrap_used, reason = "tests")]

mod changes;
mod convergence;
mod documented;
mod header;
mod pair;
mod proof;
mod receipts;
mod sketches;
mod worlds;
