//! The suite that every store passes, and what only a disk can break.

#![expect(clippy::unwrap_used, reason = "tests")]

use futures::executor::block_on;
use highwater_store::conformance::conformance_tests;
use highwater_store_sqlite::{Options, SqliteStore};
use std::path::Path;

mod backup;
mod check;
mod crash;
mod groups;
mod heads;
mod open;
mod outage;

/// An empty store in a folder that lives as long as the test.
fn on_sqlite<F: Future<Output = ()>>(test: impl FnOnce(SqliteStore) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    block_on(test(store.clone()));
    let report = store.check(|_| ()).unwrap();
    assert_eq!(report.findings, [], "after the test, the check is clean");
}

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder, Options::default()).unwrap()
}

conformance_tests!(on_sqlite);

/// The same with a cache so small that heads come and go.
mod with_three_heads {
    use super::*;

    fn on_small_cache<F: Future<Output = ()>>(test: impl FnOnce(SqliteStore) -> F) {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.cached_heads_max = 3;
        options.queue_writes_max = 64;
        options.idle_readers_max = 1;
        let store = SqliteStore::open(folder.path(), options).unwrap();
        block_on(test(store.clone()));
        assert!(store.stats().heads <= 3);
        assert_eq!(store.check(|_| ()).unwrap().findings, []);
    }

    macro_rules! tests {
        ($($module:ident::$test:ident)+) => {
            $(
                #[test]
                fn $test() {
                    on_small_cache(highwater_store::conformance::$module::$test);
                }
            )+
        };
    }

    tests! {
        random::random_worlds_agree_with_the_model
        random::random_worlds_agree_with_the_twin
        isolation::a_snapshot_does_not_see_a_later_commit
        isolation::lists_of_one_commit_appear_together
        isolation::a_refused_write_undoes_everything
        isolation::a_refused_write_takes_no_other_with_it
        isolation::concurrent_writes_are_serialised
        lives::remains_outlive_a_new_life
        upkeep::a_purge_covers_many_lists
    }
}
