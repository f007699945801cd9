//! Faults that are planted on purpose are found, each within 2,000 worlds.

use highwater_core::planted::{Bug, plant};
use highwater_sim::{Invariant, Seeds, run_seeds};

fn seeds(count: u64) -> Seeds {
    Seeds {
        start: 0,
        count,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        fail_fast: true,
    }
}

/// One test, as a bug is planted in the whole process.
#[test]
fn each_planted_bug_is_found_within_2000_worlds() {
    let _alone = crate::with_bugs();
    let mut found: Vec<(Bug, u64, Invariant)> = Vec::new();
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        plant(Some(*bug));
        let summary = run_seeds(seeds(2_000), |_| {});
        match summary.failures.first() {
            Some(outcome) => {
                let invariant = outcome.violation.as_ref().unwrap().invariant;
                found.push((*bug, outcome.seed, invariant));
            }
            None => missed.push(*bug),
        }
    }
    plant(None);
    for (bug, seed, invariant) in &found {
        eprintln!("{bug:?}: seed {seed}, {invariant}");
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
    assert!(found.len() >= 10);
    let sound = run_seeds(seeds(50), |_| {});
    assert!(sound.failures.is_empty(), "{:?}", sound.failures);
}
