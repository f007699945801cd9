//! What only the twin can do: come back as another incarnation, and fail on
//! demand.

#![expect(clippy::unwrap_used, reason = "tests")]

use futures::executor::block_on;
use highwater_core::reads::{ListState, Reads};
use highwater_store::conformance::support::{
    NOW, Outcome, Script, Step, all_items, head, id, lineage, members, put, snapshot, state, write,
};
use highwater_store::memory::{MemoryStore, Outage};
use highwater_store::{PurgePolicy, Store, StoreError, WriteError};

#[test]
fn another_incarnation_has_other_lineages_and_the_same_content() {
    block_on(async {
        let store = MemoryStore::new([1; 16]);
        let (live, ended, absent) = (members("live"), members("ended"), members("absent"));
        write(
            &store,
            vec![put(&live, "a", "1", "x"), put(&ended, "b", "1", "x")],
        )
        .await;
        write(&store, vec![Step::End(ended.clone())]).await;
        let lists = [live.clone(), ended.clone(), absent.clone()];
        let before = store.cached_states(&lists).unwrap();
        let content = all_items(&snapshot(&store).await, &live).await;
        store.reincarnate([2; 16]);
        let after = store.cached_states(&lists).unwrap();
        assert_eq!(content, all_items(&snapshot(&store).await, &live).await);
        let (ListState::Live(was), ListState::Live(is)) = (before[0], after[0]) else {
            panic!("{before:?} {after:?}");
        };
        assert_ne!(was.lineage, is.lineage);
        assert_eq!((was.version, was.digest), (is.version, is.digest));
        assert_eq!(before[1], after[1], "what ended, ended");
        assert_ne!(before[2], after[2]);
        // What an ended life left behind is still found by its lineage.
        let ListState::Ended(lineage_ended) = after[1] else {
            panic!("{after:?}");
        };
        let done = write(&store, vec![Step::Remains(ended, lineage_ended, 9)]).await;
        assert!(matches!(&done.output[0], Outcome::Items(items) if items.len() == 1));
        for (list, cached) in lists.iter().zip(after) {
            assert_eq!(state(&store, list).await, cached);
        }
    });
}

#[test]
fn a_backup_is_gone_back_to_under_other_lineages() {
    block_on(async {
        let store = MemoryStore::new([1; 16]);
        let list = members("a");
        write(&store, vec![put(&list, "a", "1", "x")]).await;
        let (backup, before) = (store.backup(), lineage(&store, &list).await);
        write(&store, vec![put(&list, "b", "1", "x")]).await;
        store.restore(&backup, [2; 16]);
        let head = head(&store, &list).await;
        assert_eq!(head.count, 1);
        assert_ne!(head.lineage, before);
        assert_eq!(
            store.cached_states(std::slice::from_ref(&list)).unwrap(),
            [ListState::Live(head)]
        );
        // The backup can be gone back to again.
        write(&store, vec![put(&list, "c", "1", "x")]).await;
        store.restore(&backup, [3; 16]);
        let items = all_items(&snapshot(&store).await, &list).await;
        assert_eq!(items.len(), 1);
    });
}

#[test]
fn heads_may_be_missing_from_memory() {
    block_on(async {
        let store = MemoryStore::new([1; 16]);
        assert!(store.cached_states(&[members("a")]).is_some());
        store.offer_cached_states(false);
        assert_eq!(store.cached_states(&[members("a")]), None);
    });
}

#[test]
fn an_outage_fails_as_it_says() {
    block_on(async {
        let store = MemoryStore::new([1; 16]);
        let list = members("a");
        let attempt = |item: &str| store.write(NOW, Script::new(vec![put(&list, item, "", "x")]));
        for outage in [Outage::Full, Outage::ReadOnly, Outage::Unavailable] {
            store.set_outage(Some(outage));
            let end = attempt("a").await;
            assert!(matches!(
                (outage, end),
                (
                    Outage::Full,
                    Err(WriteError::NotCommitted(StoreError::Full(_)))
                ) | (
                    Outage::ReadOnly,
                    Err(WriteError::NotCommitted(StoreError::ReadOnly(_)))
                ) | (
                    Outage::Unavailable,
                    Err(WriteError::NotCommitted(StoreError::Unavailable(_)))
                )
            ));
            assert_eq!(
                store.snapshot(&[]).await.is_err(),
                outage == Outage::Unavailable
            );
            let policy = PurgePolicy {
                age_ms_max: 0,
                per_list_max: 0,
            };
            store.purge(NOW, policy).await.unwrap_err();
        }
        store.set_outage(Some(Outage::UnknownUndone));
        assert!(matches!(attempt("b").await, Err(WriteError::Unknown(_))));
        store.set_outage(Some(Outage::UnknownDone));
        assert!(matches!(attempt("c").await, Err(WriteError::Unknown(_))));
        store.set_outage(None);
        attempt("d").await.unwrap();
        let snapshot = snapshot(&store).await;
        let found = snapshot
            .items(&list, &["a", "b", "c", "d"].map(id))
            .await
            .unwrap();
        let found: Vec<&str> = found.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(found, ["c", "d"]);
    });
}

#[test]
fn a_wrong_head_is_corrected_at_a_new_version_unless_the_write_is_refused() {
    let store = MemoryStore::new([1; 16]);
    let list = members("a");
    block_on(async {
        write(
            &store,
            vec![put(&list, "a", "", "x"), put(&list, "b", "", "y")],
        )
        .await;
        let right = head(&store, &list).await;
        store.forge_head(&list, |head| head.count = 9);
        let wrong = head(&store, &list).await;
        assert_eq!(wrong.count, 9);
        let refused = Script::new(vec![Step::Recount(list.clone()), Step::Refuse]);
        store.write(NOW, refused).await.unwrap_err();
        assert_eq!(head(&store, &list).await, wrong);
        let committed = write(&store, vec![Step::Recount(list.clone())]).await;
        assert_eq!(committed.output, [Outcome::Recounted(Some(wrong))]);
        let mended = head(&store, &list).await;
        assert_eq!((mended.count, mended.digest), (right.count, right.digest));
        assert_eq!(mended.version, right.version.next());
        assert_eq!(committed.states, [(list.clone(), ListState::Live(mended))]);
    });
}
