//! Heads in memory.

use crate::open;
use futures::executor::block_on;
use highwater_core::reads::{ListState, Reads};
use highwater_store::Store;
use highwater_store::conformance::support::{Step, head, members, put, snapshot, state, write};
use highwater_store_sqlite::{Options, SqliteStore};
use std::slice::from_ref;

#[test]
fn a_head_is_in_memory_from_its_first_read_or_write_on() {
    let folder = tempfile::tempdir().unwrap();
    let (written, read, absent) = (members("written"), members("read"), members("absent"));
    block_on(async {
        let store = open(folder.path());
        write(&store, vec![put(&read, "a", "", "x")]).await;
        drop(store);

        let store = open(folder.path());
        for list in [&written, &read, &absent] {
            assert_eq!(store.cached_states(from_ref(list)), None);
        }
        write(&store, vec![put(&written, "a", "", "x")]).await;
        let known = store.cached_states(from_ref(&written)).unwrap();
        let snapshot = snapshot(&store).await;
        for list in [&read, &absent] {
            snapshot.state(list).await.unwrap();
        }
        let states = store
            .cached_states(&[written.clone(), read.clone(), absent.clone()])
            .unwrap();
        assert_eq!(states[0], known[0]);
        assert!(matches!(states[1], ListState::Live(head) if head.count == 1));
        assert!(matches!(states[2], ListState::Absent(_)));

        // What was known not to be there is created, and ends.
        write(&store, vec![put(&absent, "a", "", "x")]).await;
        let states = store.cached_states(from_ref(&absent)).unwrap();
        assert_eq!(states, [ListState::Live(head(&store, &absent).await)]);
        write(&store, vec![Step::End(absent.clone())]).await;
        let states = store.cached_states(from_ref(&absent)).unwrap();
        assert!(matches!(states[0], ListState::Ended(_)));
        assert_eq!(states[0], state(&store, &absent).await);
        assert!(store.stats().head_hits > 0 && store.stats().head_misses == 3);
    });
}

#[test]
fn a_late_read_of_an_old_commit_does_not_reach_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.cached_heads_max = 1;
    let store = SqliteStore::open(folder.path(), options).unwrap();
    let (list, other) = (members("a"), members("b"));
    block_on(async {
        write(&store, vec![put(&list, "a", "", "x")]).await;
        let old = snapshot(&store).await;
        write(&store, vec![put(&list, "b", "", "x")]).await;
        // It takes the only place in memory.
        write(&store, vec![put(&other, "a", "", "x")]).await;
        let stale = old.state(&list).await.unwrap();
        assert!(matches!(stale, ListState::Live(head) if head.count == 1));
        assert_eq!(store.cached_states(from_ref(&list)), None);
        let declared = store.snapshot(from_ref(&list)).await.unwrap();
        let fresh = declared.state(&list).await.unwrap();
        assert!(matches!(fresh, ListState::Live(head) if head.count == 2));
        assert_eq!(store.cached_states(from_ref(&list)), Some(vec![fresh]));
    });
}

#[test]
fn without_memory_everything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.cached_heads_max = 0;
    let store = SqliteStore::open(folder.path(), options).unwrap();
    let list = members("a");
    block_on(async {
        write(&store, vec![put(&list, "a", "", "x")]).await;
        write(&store, vec![put(&list, "b", "", "x")]).await;
        assert_eq!(head(&store, &list).await.count, 2);
        assert_eq!(store.cached_states(from_ref(&list)), None);
    });
    assert_eq!(store.stats().heads, 0);
}

#[test]
fn a_snapshot_too_many_is_refused_and_a_dropped_one_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.readers_max = 3;
    let store = SqliteStore::open(folder.path(), options).unwrap();
    block_on(async {
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(snapshot(&store).await);
        }
        assert_eq!(store.stats().snapshots, 3);
        let refused = store.snapshot(&[]).await.map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("3 snapshots"), "{refused}");
        held.pop();
        snapshot(&store).await;
        drop(held);
        assert_eq!(store.stats().snapshots, 0);
    });
}
