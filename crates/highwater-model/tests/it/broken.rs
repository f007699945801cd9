//! A model that cannot fail proves nothing: each rule that is left out is
//! missed, by the promise that it keeps.

use highwater_model::{Bounds, Broken, Event, World};
use stateright::{Checker, Model};

/// The promises that are broken without a rule, and a way to one of them.
fn without(broken: Broken, bounds: Bounds) -> (Vec<&'static str>, Vec<Event>) {
    let checked = World::broken(bounds, broken).checker().spawn_bfs().join();
    let found = checked.discoveries();
    let mut names: Vec<&str> = found.keys().copied().collect();
    names.sort_unstable();
    let ways = found.into_values().map(stateright::Path::into_actions);
    let way = ways.min_by_key(Vec::len).unwrap_or_default();
    (names, way)
}

#[track_caller]
fn is_missed(broken: Broken, bounds: Bounds, promise: &str) {
    let (names, way) = without(broken, bounds);
    println!("{broken:?}: {names:?}, by {way:?}");
    assert!(names.contains(&promise), "{broken:?} breaks {names:?}");
    let (names, _) = without(Broken::Nothing, bounds);
    assert!(names.is_empty(), "the rules themselves break {names:?}");
}

const I2: &str = "I2: no false calm";
const I4: &str = "I4: the books agree";
const I7: &str = "I7: a bounded repair";
const FENCE: &str = "nothing lands after a reset";
const MARK: &str = "an unmarked delta proves";

/// One device, with everything that may happen to it once.
const ONE: Bounds = Bounds {
    writes: 2,
    purges: 1,
    restores: 1,
    crashes: 1,
    lates: 1,
    devices: 1,
    ..Bounds::NONE
};

#[test]
fn without_the_fence_a_late_answer_lands_after_a_reset() {
    is_missed(Broken::NoFence, ONE, FENCE);
}

/// Not only a rule is broken: the device says that it is in sync, and is not.
#[test]
fn without_the_fence_there_is_false_calm() {
    is_missed(Broken::NoFence, ONE, I2);
}

#[test]
fn a_cursor_that_is_durable_before_the_rows_loses_them_in_a_crash() {
    is_missed(Broken::CursorBeforeRows, ONE, I4);
    is_missed(Broken::CursorBeforeRows, ONE, I2);
}

#[test]
fn a_floor_that_is_one_too_low_hides_a_lost_deletion() {
    is_missed(Broken::FloorOffByOne, ONE, MARK);
}

#[test]
fn adopting_another_lineage_without_a_digest_is_false_calm() {
    is_missed(Broken::AdoptWithoutDigest, ONE, I2);
}

#[test]
fn an_item_that_forgets_when_it_first_was_leaves_a_deletion_unsent() {
    let bounds = Bounds { writes: 3, ..ONE };
    is_missed(Broken::CreatedAnew, Bounds { lates: 0, ..bounds }, MARK);
}

#[test]
fn without_a_proof_a_purge_is_false_calm() {
    is_missed(Broken::NoProof, ONE, I2);
}

#[test]
fn a_rung_that_is_tried_again_is_tried_for_ever() {
    let bounds = Bounds {
        writes: 1,
        devices: 1,
        wrong_server: true,
        ..Bounds::NONE
    };
    is_missed(Broken::EndlessRung, bounds, I7);
}
