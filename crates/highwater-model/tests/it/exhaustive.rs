//! Every order of events within bounds that a test run can afford.

use highwater_model::{Bounds, World};
use stateright::{Checker, Model};
use std::num::NonZero;

/// Checks all states; says how many there were.
#[track_caller]
fn holds(bounds: Bounds) {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let checked = World::of(bounds)
        .checker()
        .threads(threads)
        .spawn_bfs()
        .join();
    println!(
        "{bounds:?}: {} states, {} deep",
        checked.unique_state_count(),
        checked.max_depth()
    );
    checked.assert_properties();
    assert!(checked.is_done());
}

#[test]
fn three_writes_a_purge_a_restore_and_a_crash_with_two_devices() {
    holds(Bounds {
        writes: 3,
        purges: 1,
        restores: 1,
        crashes: 1,
        ..Bounds::NONE
    });
}

#[test]
fn a_late_or_doubled_answer_with_two_devices() {
    holds(Bounds {
        writes: 1,
        purges: 1,
        restores: 1,
        crashes: 1,
        lates: 1,
        ..Bounds::NONE
    });
}

/// Answers that overtake each other.
#[test]
fn two_late_answers_with_one_device() {
    holds(Bounds {
        writes: 2,
        purges: 1,
        restores: 1,
        crashes: 1,
        lates: 2,
        devices: 1,
        ..Bounds::NONE
    });
}

/// Pages of one row: a scan and a delta beside all that happens.
#[test]
fn pages_of_one_row_with_two_devices() {
    holds(Bounds {
        writes: 2,
        purges: 1,
        restores: 1,
        crashes: 1,
        page: 1,
        ..Bounds::NONE
    });
}

/// I7 where nothing helps: each ladder ends in quarantine.
#[test]
fn a_server_whose_digest_is_wrong_is_left_alone() {
    holds(Bounds {
        writes: 1,
        restores: 1,
        crashes: 1,
        lates: 1,
        devices: 1,
        wrong_server: true,
        ..Bounds::NONE
    });
}
