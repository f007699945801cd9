//! Lists that begin, end and begin again.

use super::support::{
    NOW, Outcome, Script, Step, all_changes, all_items, delete, head, id, lineage, members, put,
    snapshot, state, write,
};
use crate::store::Store;
use crate::write::WriteError;
use highwater_core::reads::{Item, ListState};
use highwater_protocol::{ItemId, Lineage, ListKey, Version};

async fn end<S: Store>(store: &S, list: &ListKey) -> Lineage {
    let done = write(store, vec![Step::End(list.clone())]).await;
    match done.output[..] {
        [Outcome::Ended(Some(lineage))] => lineage,
        _ => panic!("{:?}", done.output),
    }
}

async fn remains<S: Store>(store: &S, list: &ListKey, ended: Lineage, limit: usize) -> Vec<Item> {
    let mut done = write(store, vec![Step::Remains(list.clone(), ended, limit)]).await;
    assert_eq!(done.states, []);
    match done.output.pop() {
        Some(Outcome::Items(mut items)) => {
            items.sort_by(|a, b| a.id.cmp(&b.id));
            items
        }
        other => panic!("{other:?}"),
    }
}

fn ids(items: &[Item]) -> Vec<ItemId> {
    items.iter().map(|item| item.id.clone()).collect()
}

/// Known before it is made, and another for each list.
pub async fn an_absent_list_has_the_lineage_that_it_will_have<S: Store>(store: S) {
    let (a, b) = (members("a"), members("b"));
    let ListState::Absent(of_a) = state(&store, &a).await else {
        panic!("a new store has no lists");
    };
    assert!(matches!(state(&store, &b).await, ListState::Absent(of_b) if of_b != of_a));
    assert_eq!(state(&store, &a).await, ListState::Absent(of_a));
    write(&store, vec![put(&a, "1", "", "x")]).await;
    assert_eq!(lineage(&store, &a).await, of_a);
}

/// Its lineage is remembered, its content is not to be had.
pub async fn an_ended_list_reads_as_ended<S: Store>(store: S) {
    let list = members("a");
    write(
        &store,
        vec![put(&list, "1", "", "x"), put(&list, "2", "", "x")],
    )
    .await;
    let before = lineage(&store, &list).await;
    assert_eq!(end(&store, &list).await, before);
    assert_eq!(state(&store, &list).await, ListState::Ended(before));
    let snapshot = snapshot(&store).await;
    assert_eq!(all_items(&snapshot, &list).await, []);
    assert_eq!(all_changes(&snapshot, &list).await, []);
    let done = write(
        &store,
        vec![
            Step::State(list.clone()),
            Step::Item(list.clone(), id("1")),
            Step::Scan(list.clone(), None, 9),
            delete(&list, "1"),
        ],
    )
    .await;
    assert_eq!(done.output[0], Outcome::State(ListState::Ended(before)));
    assert_eq!(done.output[1], Outcome::Item(None));
    assert_eq!(done.output[2], Outcome::Items(vec![]));
    assert_eq!(done.states, []);
}

/// It begins at version 1 with nothing of what it was.
pub async fn a_recreated_list_is_of_another_lineage<S: Store>(store: S) {
    let list = members("a");
    let mut seen = Vec::new();
    for _ in 0..4 {
        write(
            &store,
            vec![put(&list, "old", "1", "x"), delete(&list, "old")],
        )
        .await;
        write(&store, vec![put(&list, "new", "1", "x")]).await;
        let head = head(&store, &list).await;
        assert_eq!((head.version, head.count), (Version::new(3), 1));
        assert_eq!(head.floor, Version::ZERO);
        let changes = all_changes(&snapshot(&store).await, &list).await;
        assert_eq!(changes.len(), 2, "one element, one tombstone");
        assert!(!seen.contains(&head.lineage));
        seen.push(head.lineage);
        end(&store, &list).await;
    }
    // An element created again in another life inherits nothing.
    write(
        &store,
        vec![put(&list, "x", "", "x"), put(&list, "old", "", "x")],
    )
    .await;
    let items = all_items(&snapshot(&store).await, &list).await;
    assert!(items.iter().all(|item| item.created == item.version));
}

/// Neither one that never was nor one that ended already.
pub async fn ending_what_is_not_live_does_nothing<S: Store>(store: S) {
    let list = members("a");
    let done = write(&store, vec![Step::End(list.clone())]).await;
    assert_eq!(
        (done.output, done.states),
        (vec![Outcome::Ended(None)], vec![])
    );
    assert!(matches!(state(&store, &list).await, ListState::Absent(_)));
    write(&store, vec![put(&list, "1", "", "x")]).await;
    let ended = end(&store, &list).await;
    let done = write(&store, vec![Step::End(list.clone())]).await;
    assert_eq!(
        (done.output, done.states),
        (vec![Outcome::Ended(None)], vec![])
    );
    assert_eq!(state(&store, &list).await, ListState::Ended(ended));
}

/// The commit tells the last state only.
pub async fn a_list_may_end_and_begin_in_one_write<S: Store>(store: S) {
    let list = members("a");
    write(&store, vec![put(&list, "1", "", "x")]).await;
    let before = lineage(&store, &list).await;
    let done = write(
        &store,
        vec![
            Step::End(list.clone()),
            Step::State(list.clone()),
            put(&list, "2", "", "x"),
            Step::State(list.clone()),
        ],
    )
    .await;
    let now = head(&store, &list).await;
    assert_ne!(now.lineage, before);
    assert_eq!(done.output[1], Outcome::State(ListState::Ended(before)));
    assert_eq!(done.output[3], Outcome::State(ListState::Live(now)));
    assert_eq!(done.states, [(list.clone(), ListState::Live(now))]);
    assert_eq!(ids(&remains(&store, &list, before, 9).await), [id("1")]);

    // Begun and ended in one write, it did exist.
    let other = members("b");
    let done = write(
        &store,
        vec![put(&other, "1", "", "x"), Step::End(other.clone())],
    )
    .await;
    let ListState::Ended(ended) = state(&store, &other).await else {
        panic!("{:?}", done.states);
    };
    assert_eq!(done.states, [(other.clone(), ListState::Ended(ended))]);
    assert_eq!(ids(&remains(&store, &other, ended, 9).await), [id("1")]);
}

/// The list lives on with everything that it had.
pub async fn a_refused_end_did_not_happen<S: Store>(store: S) {
    let list = members("a");
    write(
        &store,
        vec![put(&list, "1", "", "x"), put(&list, "2", "", "x")],
    )
    .await;
    let before = (
        head(&store, &list).await,
        all_items(&snapshot(&store).await, &list).await,
    );
    for again in [vec![], vec![put(&list, "9", "", "x")]] {
        let mut steps = vec![Step::End(list.clone())];
        steps.extend(again);
        steps.push(Step::Refuse);
        let refused = store.write(NOW, Script::new(steps)).await;
        assert!(matches!(refused, Err(WriteError::Refused(_))));
        let after = (
            head(&store, &list).await,
            all_items(&snapshot(&store).await, &list).await,
        );
        assert_eq!(after, before);
    }
    let done = write(&store, vec![put(&list, "3", "", "x")]).await;
    assert_eq!(done.states.len(), 1);
    assert_eq!(head(&store, &list).await.lineage, before.0.lineage);
}

/// Batch by batch, until nothing is left.
pub async fn remains_are_found_by_lineage_and_discarded<S: Store>(store: S) {
    let list = members("a");
    let mut steps: Vec<Step> = (0..25)
        .map(|at| put(&list, &format!("i{at:02}"), "", "payload"))
        .collect();
    steps.push(put(&list, "", "", "header"));
    write(&store, steps).await;
    let mut kept = all_items(&snapshot(&store).await, &list).await;
    kept.sort_by(|a, b| a.id.cmp(&b.id));
    let living = lineage(&store, &list).await;
    assert_eq!(
        remains(&store, &list, living, 99).await,
        [],
        "it did not end"
    );
    let ended = end(&store, &list).await;
    assert_eq!(remains(&store, &list, ended, 99).await, kept);
    let other = Lineage::new(ended.get() ^ 2).unwrap();
    assert_eq!(remains(&store, &list, other, 99).await, []);
    let mut gone = 0;
    loop {
        let batch = remains(&store, &list, ended, 10).await;
        if batch.is_empty() {
            break;
        }
        assert_eq!(batch.len(), 10.min(26 - gone));
        gone += batch.len();
        let mut discarded = ids(&batch);
        discarded.push(id("nobody"));
        write(
            &store,
            vec![Step::Discard(list.clone(), ended, discarded.clone())],
        )
        .await;
        // Again: a worker may repeat itself.
        write(&store, vec![Step::Discard(list.clone(), ended, discarded)]).await;
    }
    assert_eq!(gone, 26);
    assert_eq!(state(&store, &list).await, ListState::Ended(ended));
    write(&store, vec![put(&list, "1", "", "x")]).await;
    assert_ne!(lineage(&store, &list).await, ended);
}

/// Several lives' at once, and none is mistaken for another.
pub async fn remains_outlive_a_new_life<S: Store>(store: S) {
    let list = members("a");
    let mut lives = Vec::new();
    for life in 0..3 {
        write(
            &store,
            vec![
                put(&list, &format!("l{life}"), "", "x"),
                put(&list, "all", "", "x"),
            ],
        )
        .await;
        lives.push(end(&store, &list).await);
    }
    write(&store, vec![put(&list, "now", "", "x")]).await;
    for (life, ended) in lives.iter().enumerate() {
        let found = ids(&remains(&store, &list, *ended, 9).await);
        assert_eq!(found, [id("all"), id(&format!("l{life}"))]);
    }
    write(
        &store,
        vec![Step::Discard(
            list.clone(),
            lives[1],
            vec![id("all"), id("l1"), id("now")],
        )],
    )
    .await;
    assert_eq!(remains(&store, &list, lives[1], 9).await, []);
    assert_eq!(remains(&store, &list, lives[0], 9).await.len(), 2);
    assert_eq!(remains(&store, &list, lives[2], 9).await.len(), 2);
    let living = lineage(&store, &list).await;
    write(
        &store,
        vec![Step::Discard(list.clone(), living, vec![id("now")])],
    )
    .await;
    let items = all_items(&snapshot(&store).await, &list).await;
    assert_eq!(ids(&items), [id("now")], "what lives cannot be discarded");
}

/// Neither in part nor as a whole.
pub async fn a_refused_discard_did_not_happen<S: Store>(store: S) {
    let list = members("a");
    write(
        &store,
        vec![
            put(&list, "1", "", "x"),
            put(&list, "2", "", "x"),
            delete(&list, "2"),
        ],
    )
    .await;
    let first = end(&store, &list).await;
    for begun_again in [false, true] {
        if begun_again {
            write(&store, vec![put(&list, "3", "", "x")]).await;
        }
        let kept = remains(&store, &list, first, 9).await;
        assert_eq!(ids(&kept), [id("1")]);
        let mut steps = vec![Step::Discard(list.clone(), first, vec![id("1")])];
        if begun_again {
            steps.push(Step::End(list.clone()));
        } else {
            steps.push(put(&list, "9", "", "x"));
        }
        steps.push(Step::Refuse);
        store.write(NOW, Script::new(steps)).await.unwrap_err();
        assert_eq!(remains(&store, &list, first, 9).await, kept);
    }
    assert_eq!(head(&store, &list).await.count, 1);
}

/// With the last element, or in the calls after it.
pub async fn discarding_forgets_tombstones_too<S: Store>(store: S) {
    let list = members("a");
    let deleted: Vec<String> = (0..2_500).map(|at| format!("d{at}")).collect();
    let puts = deleted.iter().map(|item| put(&list, item, "", "x"));
    write(&store, puts.chain([put(&list, "kept", "", "x")]).collect()).await;
    write(
        &store,
        deleted.iter().map(|item| delete(&list, item)).collect(),
    )
    .await;
    let ended = end(&store, &list).await;
    assert_eq!(store.lists(None, 9).await.unwrap()[0].tombstones, 2_500);
    write(
        &store,
        vec![Step::Discard(list.clone(), ended, vec![id("kept")])],
    )
    .await;
    for _ in 0..3 {
        write(&store, vec![Step::Discard(list.clone(), ended, vec![])]).await;
    }
    assert_eq!(store.lists(None, 9).await.unwrap()[0].tombstones, 0);
}
