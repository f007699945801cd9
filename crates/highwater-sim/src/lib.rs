//! Worlds of a server, devices and faults of every kind, each made from one
//! seed and judged by the invariants of `docs/sync-model.md`.
//!
//! ```
//! use highwater_sim::run;
//!
//! let outcome = run(7, true);
//! assert_eq!(outcome.violation, None);
//! assert!(outcome.coverage.0.contains_key("answer scan, first page"));
//!
//! // The same seed makes the same world.
//! assert_eq!(run(7, false).trace_hash, outcome.trace_hash);
//! ```
//!
//! - `world`: what happens; `plan`: what a seed draws before; `disk`: machines
//!   whose power fails at any step; `server` and `device`: the code on trial,
//!   and nothing that stands in for it.
//! - `model`: what should be, the plain way; `check`: the judges, apart from
//!   the faults.
//! - `coverage`: what was met.

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
