//! What a write does to one element and to the head of its list.

use super::support::{
    NO_LIMIT, Outcome, Step, all_changes, all_items, delete, head, id, members, put, rank,
    snapshot, write,
};
use crate::store::Store;
use bytes::Bytes;
use highwater_core::reads::{Change, Item, Reads, Tombstone};
use highwater_core::stamp::stamp_of;
use highwater_core::{Effect, Head};
use highwater_protocol::{Digest, ItemId, Version, limits};

fn changed(version: u64) -> Outcome {
    Outcome::Effect(Effect::Changed(Version::new(version)))
}

const UNCHANGED: Outcome = Outcome::Effect(Effect::Unchanged);

/// The head agrees with the elements; returns it with them.
async fn checked<S: Store>(store: &S, list: &highwater_protocol::ListKey) -> (Head, Vec<Item>) {
    let items = all_items(&snapshot(store).await, list).await;
    let head = head(store, list).await;
    let digest: Digest = items.iter().map(|item| item.stamp).collect();
    assert_eq!((head.count, head.digest), (items.len() as u64, digest));
    for item in &items {
        assert_eq!(item.stamp, stamp_of(&item.id, &item.rank, &item.payload));
    }
    (head, items)
}

/// A put into a list that was never there creates both.
pub async fn a_put_creates_list_and_element<S: Store>(store: S) {
    let list = members("g1");
    let done = write(&store, vec![put(&list, "anna", "m1", "Anna")]).await;
    assert_eq!(done.output, [changed(1)]);
    let (head, items) = checked(&store, &list).await;
    assert_eq!((head.version, head.floor), (Version::new(1), Version::ZERO));
    let rank = rank(b"m1");
    assert_eq!(
        items,
        [Item {
            id: id("anna"),
            stamp: stamp_of(&id("anna"), &rank, b"Anna"),
            rank,
            payload: Bytes::from_static(b"Anna"),
            version: Version::new(1),
            created: Version::new(1),
        }]
    );
}

/// Changing payload or rank moves the version, not `created`.
pub async fn a_changed_element_takes_a_new_version_and_keeps_its_created<S: Store>(store: S) {
    let list = members("g1");
    write(
        &store,
        vec![put(&list, "a", "1", "x"), put(&list, "b", "2", "x")],
    )
    .await;
    let done = write(&store, vec![put(&list, "a", "1", "y")]).await;
    assert_eq!(done.output, [changed(3)]);
    let done = write(&store, vec![put(&list, "a", "3", "y")]).await;
    assert_eq!(done.output, [changed(4)]);
    let (head, items) = checked(&store, &list).await;
    assert_eq!((head.version, head.count), (Version::new(4), 2));
    let last = items.last().unwrap();
    assert_eq!(
        (last.id.as_str(), last.version, last.created),
        ("a", Version::new(4), Version::new(1))
    );
    assert_eq!(all_changes(&snapshot(&store).await, &list).await.len(), 2);
}

/// The same content again is no change.
pub async fn a_put_without_a_difference_takes_no_version<S: Store>(store: S) {
    let list = members("g1");
    let first = write(&store, vec![put(&list, "a", "1", "x")]).await;
    let before = checked(&store, &list).await;
    let done = write(&store, vec![put(&list, "a", "1", "x")]).await;
    assert_eq!((done.output, done.states), (vec![UNCHANGED], vec![]));
    assert!(done.tick >= first.tick);
    assert_eq!(checked(&store, &list).await, before);
}

/// A deleted element is gone from the list and named by the changes.
pub async fn a_delete_leaves_a_tombstone<S: Store>(store: S) {
    let list = members("g1");
    write(
        &store,
        vec![put(&list, "a", "1", "x"), put(&list, "b", "2", "x")],
    )
    .await;
    let done = write(&store, vec![delete(&list, "a")]).await;
    assert_eq!(done.output, [changed(3)]);
    let (head, items) = checked(&store, &list).await;
    assert_eq!((head.version, items.len()), (Version::new(3), 1));
    let changes = all_changes(&snapshot(&store).await, &list).await;
    assert_eq!(
        changes.last(),
        Some(&Change::Deleted(Tombstone {
            id: id("a"),
            version: Version::new(3),
            created: Version::new(1),
        }))
    );
    assert_eq!(changes.len(), 2);

    // Deleting the last element leaves an empty list, which is still live.
    write(&store, vec![delete(&list, "b")]).await;
    let (head, items) = checked(&store, &list).await;
    assert_eq!((head.version, items.len()), (Version::new(4), 0));
}

/// Neither an unknown element, nor a deleted one, nor one of an unknown list.
pub async fn deleting_what_is_not_there_changes_nothing<S: Store>(store: S) {
    let list = members("g1");
    let done = write(&store, vec![delete(&list, "a")]).await;
    assert_eq!((done.output, done.states), (vec![UNCHANGED], vec![]));
    write(&store, vec![put(&list, "a", "1", "x"), delete(&list, "a")]).await;
    let before = checked(&store, &list).await;
    let done = write(&store, vec![delete(&list, "a"), delete(&list, "b")]).await;
    assert_eq!(done.output, [UNCHANGED, UNCHANGED]);
    assert_eq!(checked(&store, &list).await, before);
    assert_eq!(all_changes(&snapshot(&store).await, &list).await.len(), 1);
}

/// An element that comes back replaces its tombstone and keeps its `created`,
/// however often.
pub async fn a_recreated_element_inherits_its_tombstones_created<S: Store>(store: S) {
    let list = members("g1");
    write(
        &store,
        vec![put(&list, "z", "0", "x"), put(&list, "a", "1", "x")],
    )
    .await;
    for round in 0..3 {
        write(&store, vec![delete(&list, "a")]).await;
        // The same content as before: it is a change all the same.
        let done = write(&store, vec![put(&list, "a", "1", "x")]).await;
        assert_eq!(done.output, [changed(4 + 2 * round)]);
        let (_, items) = checked(&store, &list).await;
        let item = items.last().unwrap();
        assert_eq!((item.id.as_str(), item.created), ("a", Version::new(2)));
        let changes = all_changes(&snapshot(&store).await, &list).await;
        assert_eq!(changes.len(), 2, "the tombstone gave way");
    }
    // Within one write, too.
    write(&store, vec![delete(&list, "a"), put(&list, "a", "9", "y")]).await;
    let (_, items) = checked(&store, &list).await;
    assert_eq!(items.last().unwrap().created, Version::new(2));
}

/// Many changes of one write are numbered one by one.
pub async fn each_change_of_a_write_takes_its_own_version<S: Store>(store: S) {
    let (a, b) = (members("a"), members("b"));
    let done = write(
        &store,
        vec![
            put(&a, "1", "", "x"),
            put(&b, "1", "", "x"),
            put(&a, "2", "", "x"),
            put(&a, "1", "", "x"),
            put(&a, "1", "", "y"),
            delete(&a, "2"),
            put(&b, "2", "", "x"),
        ],
    )
    .await;
    assert_eq!(
        done.output,
        [
            changed(1),
            changed(1),
            changed(2),
            UNCHANGED,
            changed(3),
            changed(4),
            changed(2)
        ]
    );
    let snapshot = snapshot(&store).await;
    let versions: Vec<u64> = all_changes(&snapshot, &a)
        .await
        .iter()
        .map(|change| change.version().get())
        .collect();
    assert_eq!(versions, [3, 4], "one entry an element, its newest");
    assert_eq!(checked(&store, &a).await.0.version, Version::new(4));
    assert_eq!(checked(&store, &b).await.0.version, Version::new(2));
}

/// The element with the empty id comes first and is counted.
pub async fn the_header_is_an_element<S: Store>(store: S) {
    let list = members("g1");
    write(
        &store,
        vec![
            put(&list, "a", "", "x"),
            Step::Put(
                list.clone(),
                ItemId::header(),
                rank(b""),
                Bytes::from_static(b"name"),
            ),
        ],
    )
    .await;
    let (head, items) = checked(&store, &list).await;
    assert_eq!(head.count, 2);
    assert!(items[0].id.is_header());
    let found = snapshot(&store)
        .await
        .items(&list, &[ItemId::header()])
        .await
        .unwrap();
    assert_eq!(found, items[..1]);
    write(&store, vec![delete(&list, "")]).await;
    assert_eq!(checked(&store, &list).await.0.count, 1);
}

/// Id, rank and payload at the protocol's limits.
pub async fn the_largest_element_is_kept<S: Store>(store: S) {
    let list = members(&"o".repeat(limits::ID_BYTES));
    let payload: Vec<u8> = (0..limits::PAYLOAD_BYTES)
        .map(|at| (at % 251) as u8)
        .collect();
    write(
        &store,
        vec![
            Step::Put(
                list.clone(),
                id(&"i".repeat(limits::ID_BYTES)),
                rank(&[0xff; limits::RANK_BYTES]),
                payload.clone().into(),
            ),
            put(&list, "small", "", ""),
        ],
    )
    .await;
    let (_, items) = checked(&store, &list).await;
    assert_eq!(items[1].payload, payload);
    assert_eq!(items[1].rank.as_bytes(), [0xff; limits::RANK_BYTES]);
}

/// Bytes that a database might read as text, number or end.
pub async fn odd_ids_ranks_and_payloads_are_kept<S: Store>(store: S) {
    let list = members("o'wner\"%_\\\u{0}é");
    let ids = [
        "\u{0}",
        "\u{0}a",
        "'",
        "1",
        "01",
        "1.0",
        "NULL",
        "é",
        "e\u{301}",
        "\u{10ffff}",
    ];
    let odd: &[&[u8]] = &[b"\0", b"", b"\xff\xfe", b"123", b"'; --", b"\0\0"];
    let mut steps = Vec::new();
    for (at, item) in ids.iter().enumerate() {
        steps.push(Step::Put(
            list.clone(),
            id(item),
            rank(odd[at % odd.len()]),
            Bytes::from_static(odd[(at + 1) % odd.len()]),
        ));
    }
    write(&store, steps).await;
    let (head, items) = checked(&store, &list).await;
    assert_eq!(head.count, ids.len() as u64);
    let snapshot = snapshot(&store).await;
    for item in ids {
        let found = snapshot.items(&list, &[id(item)]).await.unwrap();
        assert_eq!(found.len(), 1, "{item:?}");
        assert!(items.contains(&found[0]), "{item:?}");
    }
    let page = snapshot
        .changes(&list, Version::ZERO, NO_LIMIT)
        .await
        .unwrap();
    assert_eq!(page.rows.len(), ids.len());
}
