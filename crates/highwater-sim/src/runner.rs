//! Many worlds, on all cores: each world is on one thread, and the threads share
//! nothing but the next seed.

use crate::coverage::Coverage;
use crate::world::{Outcome, run};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Violations that a run reports at most; it ends with the last of them.
pub const VIOLATIONS_MAX: usize = 10;

/// Which worlds to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// The first seed.
    pub start: u64,
    /// How many.
    pub count: u64,
    /// Threads.
    pub threads: usize,
    /// End with the first violation.
    pub fail_fast: bool,
}

/// What a run of many worlds came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Worlds that were run to their end, or to a violation.
    pub worlds: u64,
    /// Requests that their servers answered.
    pub requests: u64,
    /// What they met together.
    pub coverage: Coverage,
    /// Worlds in which an invariant did not hold, by seed; their traces are not
    /// kept.
    pub failures: Vec<Outcome>,
}

/// Runs worlds. `ended` is told after each how many have ended.
pub fn run_seeds(seeds: Seeds, ended: impl Fn(u64) + Sync) -> Summary {
    let next = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    let summary = Mutex::new(Summary::default());
    let most = if seeds.fail_fast { 1 } else { VIOLATIONS_MAX };
    let work = || {
        while !enough.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= seeds.count {
                return;
            }
            let outcome = run(seeds.start.wrapping_add(at), false);
            let mut summary = summary.lock();
            summary.worlds += 1;
            summary.requests += outcome.requests;
            summary.coverage.absorb(&outcome.coverage);
            if outcome.violation.is_some() {
                summary.failures.push(outcome);
                enough.store(summary.failures.len() >= most, Ordering::Relaxed);
            }
            ended(summary.worlds);
        }
    };
    thread::scope(|scope| {
        for _ in 1..seeds.threads.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let mut summary = summary.into_inner();
    summary.failures.sort_by_key(|outcome| outcome.seed);
    summary
}
