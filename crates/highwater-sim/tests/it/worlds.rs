//! A fixed set of worlds, in which every invariant holds and everything is met.

use highwater_sim::{MUST_BE_MET, Seeds, run, run_seeds};

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn the_same_seed_makes_the_same_world() {
    let _sound = crate::without_bugs();
    for seed in [1, 2, 3, 5, 8, 13, 173, 533] {
        let (one, other) = (run(seed, true), run(seed, true));
        assert_eq!(one.trace, other.trace, "seed {seed}");
        assert_eq!(one.trace_hash, other.trace_hash, "seed {seed}");
        assert_eq!(one.coverage, other.coverage, "seed {seed}");
        assert!(one.trace.len() > 20, "seed {seed}");
    }
}

#[test]
fn a_trace_does_not_depend_on_the_worlds_beside_it() {
    let _sound = crate::without_bugs();
    let alone: Vec<_> = (40..60).map(|seed| run(seed, false).trace_hash).collect();
    let together: Vec<_> = std::thread::scope(|scope| {
        let worlds: Vec<_> = (40..60)
            .map(|seed| scope.spawn(move || run(seed, false).trace_hash))
            .collect();
        worlds
            .into_iter()
            .map(|world| world.join().unwrap())
            .collect()
    });
    assert_eq!(alone, together);
}

#[test]
fn different_seeds_make_different_worlds() {
    let _sound = crate::without_bugs();
    assert_ne!(run(1, false).trace_hash, run(2, false).trace_hash);
}

/// The invariants I1 to I8, in worlds that together meet every answer, every
/// rung and every fault.
#[test]
fn the_invariants_hold_and_everything_is_met() {
    let _sound = crate::without_bugs();
    let seeds = Seeds {
        start: 0,
        count: 500,
        threads: cores(),
        fail_fast: false,
    };
    let summary = run_seeds(seeds, |_| {});
    let failures: Vec<String> = summary
        .failures
        .iter()
        .map(|outcome| {
            format!(
                "{:?}; replay: highwater sim --seeds 1 --start {} --trace",
                outcome.violation, outcome.seed
            )
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(summary.worlds, seeds.count);
    assert!(
        summary.coverage.missing().is_empty(),
        "never met: {:?}; of {} states",
        summary.coverage.missing(),
        MUST_BE_MET.len()
    );
    // A kind of operation that is not named there could silently lose its effect.
    let operations = summary.coverage.0.keys();
    let operations = operations.filter(|state| state.starts_with("operation "));
    let unnamed: Vec<_> = operations
        .filter(|state| !MUST_BE_MET.contains(&state.as_str()))
        .collect();
    assert!(unnamed.is_empty(), "not in MUST_BE_MET: {unnamed:?}");
}
