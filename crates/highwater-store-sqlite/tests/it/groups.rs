//! Group commit, the queue, and closing.

use crate::open;
use futures::executor::block_on;
use futures::future::join_all;
use highwater_store::conformance::support::{
    NOW, Script, all_items, head, members, put, snapshot, write,
};
use highwater_store::{Store, StoreError, WriteError};
use highwater_store_sqlite::{Options, SqliteStore};

#[test]
fn writes_that_wait_together_share_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    block_on(async {
        let writes = (0..3_000).map(|at| {
            let list = members(&format!("g{}", at % 50));
            store.write(NOW, Script::new(vec![put(&list, &at.to_string(), "", "x")]))
        });
        for end in join_all(writes).await {
            end.unwrap();
        }
    });
    let stats = store.stats();
    assert_eq!((stats.writes, stats.rows), (3_000, 3_000));
    assert!(stats.commits <= 300, "{stats:?}");
    assert!(
        (10..=1_024).contains(&stats.writes_per_commit_max),
        "{stats:?}"
    );
    assert_eq!((stats.queue_writes, stats.snapshots), (0, 0));
    assert!(store.check(|_| ()).unwrap().is_clean());
}

#[test]
fn a_group_ends_when_it_holds_many_rows() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    block_on(async {
        let writes = (0..40).map(|at| {
            let list = members(&format!("g{at}"));
            let steps = (0..500).map(|item| put(&list, &item.to_string(), "", "x"));
            store.write(NOW, Script::new(steps.collect()))
        });
        for end in join_all(writes).await {
            end.unwrap();
        }
    });
    let stats = store.stats();
    assert!(
        stats.commits >= 8,
        "no group has over 2,548 rows: {stats:?}"
    );
    assert!(stats.writes_per_commit_max <= 5, "{stats:?}");
}

#[test]
fn a_group_of_refusals_commits_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let list = members("g");
    block_on(async {
        write(&store, vec![put(&list, "a", "", "x")]).await;
        let before = store.stats();
        let writes = (0..100).map(|_| {
            let steps = vec![
                put(&list, "b", "", "x"),
                highwater_store::conformance::support::Step::Refuse,
            ];
            store.write(NOW, Script::new(steps))
        });
        for end in join_all(writes).await {
            assert!(matches!(end, Err(WriteError::Refused(_))));
        }
        // Neither does what changes nothing.
        write(&store, vec![put(&list, "a", "", "x")]).await;
        let after = store.stats();
        assert_eq!(after.commits, before.commits);
        assert_eq!(after.writes_undone, before.writes_undone + 100);
    });
}

#[test]
fn a_full_queue_makes_writes_wait_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.queue_writes_max = 1;
    let store = SqliteStore::open(folder.path(), options).unwrap();
    let list = members("g");
    block_on(async {
        let writes = (0..500)
            .map(|at| store.write(NOW, Script::new(vec![put(&list, &at.to_string(), "", "x")])));
        for end in join_all(writes).await {
            end.unwrap();
        }
        assert_eq!(head(&store, &list).await.count, 500);
    });
}

#[test]
fn closing_carries_out_what_waits_and_takes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let list = members("g");
    block_on(async {
        let writes = (0..200)
            .map(|at| store.write(NOW, Script::new(vec![put(&list, &at.to_string(), "", "x")])));
        // Polled in order: the writes are queued when the store is closed.
        let (ends, ()) = futures::join!(join_all(writes), store.close());
        for end in ends {
            end.unwrap();
        }
        let late = store
            .write(NOW, Script::new(vec![put(&list, "late", "", "x")]))
            .await;
        assert!(
            matches!(
                late,
                Err(WriteError::NotCommitted(StoreError::Unavailable(_)))
            ),
            "{late:?}"
        );
        assert!(matches!(
            store.snapshot(&[]).await.map(|_| ()),
            Err(StoreError::Unavailable(_))
        ));
        store.close().await;

        // The folder is free, though a handle is left.
        let again = open(folder.path());
        let items = all_items(&snapshot(&again).await, &list).await;
        assert_eq!(items.len(), 200);
    });
}

#[test]
fn writers_on_many_threads_are_all_answered() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let store = store.clone();
            std::thread::spawn(move || {
                let list = members("g");
                for at in 0..100 {
                    block_on(write(
                        &store,
                        vec![put(&list, &format!("{thread}-{at}"), "", "x")],
                    ));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    block_on(async {
        let head = head(&store, &members("g")).await;
        assert_eq!((head.count, head.version.get()), (800, 800));
    });
    assert_eq!(store.stats().writes, 800);
}
