//! Worlds of one server, devices and faults, each made from one seed.

#![warn(clippy::iter_over_hash_type)]

mod check;
mod coverage;
mod device;
mod disk;
mod model;
mod plan;
mod random;
mod runner;
mod server;
mod trace;
mod world;

pub use check::{Invariant, Violation};
pub use coverage::{Coverage, MUST_BE_MET};
pub use runner::{Seeds, Summary, VIOLATIONS_MAX, run_seeds};
pub use trace::TraceHash;
pub use world::{Outcome, run};
