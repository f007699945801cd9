//! What a snapshot reads, and where its pages end.

use super::support::{
    NO_LIMIT, Step, all_changes, all_items, delete, id, members, place, put, snapshot, write,
};
use crate::store::Store;
use highwater_core::reads::{Change, Item, PageLimit, Payloads, Reads};
use highwater_protocol::{ListKey, OrderKey, Version};

const ANY_VERSION: Version = Version::new(u64::MAX);

fn rows(rows: usize) -> PageLimit {
    PageLimit {
        rows,
        bytes: usize::MAX,
    }
}

fn bytes(bytes: usize) -> PageLimit {
    PageLimit {
        rows: usize::MAX,
        bytes,
    }
}

fn versions(changes: &[Change]) -> Vec<u64> {
    changes
        .iter()
        .map(|change| change.version().get())
        .collect()
}

fn ids(items: &[Item]) -> Vec<&str> {
    items.iter().map(|item| item.id.as_str()).collect()
}

/// Ten elements `i0` to `i9`, placed the other way round, at versions 1 to 10.
async fn ten<S: Store>(store: &S, list: &ListKey) {
    let steps = (0..10)
        .map(|at| put(list, &format!("i{at}"), &format!("r{}", 9 - at), "payload"))
        .collect();
    write(store, steps).await;
}

/// Elements and tombstones are one history.
pub async fn changes_come_by_version_with_tombstones_between<S: Store>(store: S) {
    let list = members("g1");
    ten(&store, &list).await;
    write(
        &store,
        vec![
            delete(&list, "i3"),
            put(&list, "i1", "r", "new"),
            delete(&list, "i5"),
        ],
    )
    .await;
    let snapshot = snapshot(&store).await;
    let changes = all_changes(&snapshot, &list).await;
    assert_eq!(versions(&changes), [1, 3, 5, 7, 8, 9, 10, 11, 12, 13]);
    let deleted: Vec<bool> = changes
        .iter()
        .map(|change| matches!(change, Change::Deleted(_)))
        .collect();
    assert_eq!(deleted[7..], [true, false, true]);
    let page = snapshot
        .changes(&list, Version::new(11), NO_LIMIT)
        .await
        .unwrap();
    assert_eq!(versions(&page.rows), [12, 13]);
    let page = snapshot
        .changes(&list, Version::new(13), NO_LIMIT)
        .await
        .unwrap();
    assert_eq!((page.rows, page.more), (vec![], false));
    let page = snapshot
        .changes(&list, ANY_VERSION, NO_LIMIT)
        .await
        .unwrap();
    assert_eq!((page.rows, page.more), (vec![], false));
}

/// `more` is said exactly when there is more.
pub async fn changes_end_at_the_row_limit<S: Store>(store: S) {
    let list = members("g1");
    ten(&store, &list).await;
    write(&store, vec![delete(&list, "i0")]).await;
    let snapshot = snapshot(&store).await;
    for limit in 1..12 {
        let mut after = Version::ZERO;
        let mut seen = Vec::new();
        loop {
            let page = snapshot.changes(&list, after, rows(limit)).await.unwrap();
            assert!(page.rows.len() <= limit);
            after = page.rows.last().unwrap().version();
            seen.extend(page.rows);
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, all_changes(&snapshot, &list).await, "limit {limit}");
        assert_eq!(after, Version::new(11));
    }
}

/// A page ends with the row that reaches the limit.
pub async fn changes_end_at_the_byte_limit<S: Store>(store: S) {
    let list = members("g1");
    // 2 + 2 + 7 bytes each.
    ten(&store, &list).await;
    let snapshot = snapshot(&store).await;
    for (limit, expected) in [(1, 1), (11, 1), (12, 2), (22, 2), (23, 3), (110, 10)] {
        let page = snapshot
            .changes(&list, Version::ZERO, bytes(limit))
            .await
            .unwrap();
        assert_eq!(
            (page.rows.len(), page.more),
            (expected, expected < 10),
            "{limit}"
        );
    }
    // A tombstone has its id only.
    write(&store, vec![delete(&list, "i8"), delete(&list, "i9")]).await;
    let page = super::support::snapshot(&store)
        .await
        .changes(&list, Version::new(10), bytes(3))
        .await
        .unwrap();
    assert_eq!((page.rows.len(), page.more), (2, false));
}

/// Limits of zero still advance.
pub async fn a_page_has_a_row_however_small_its_limit<S: Store>(store: S) {
    let list = members("g1");
    ten(&store, &list).await;
    let snapshot = snapshot(&store).await;
    for limit in [rows(0), bytes(0), PageLimit { rows: 0, bytes: 0 }] {
        let page = snapshot.changes(&list, Version::ZERO, limit).await.unwrap();
        assert_eq!((page.rows.len(), page.more), (1, true));
        let page = snapshot
            .scan(&list, ANY_VERSION, None, Payloads::All, limit)
            .await
            .unwrap();
        assert_eq!((page.rows.len(), page.next.is_some()), (1, true));
    }
}

/// Bytewise by rank, then by id.
pub async fn a_scan_follows_rank_then_id<S: Store>(store: S) {
    let list = members("g1");
    write(
        &store,
        vec![
            put(&list, "b", "1", ""),
            put(&list, "a", "1", ""),
            put(&list, "é", "1", ""),
            put(&list, "Z", "10", ""),
            put(&list, "y", "", ""),
            put(&list, "x", "0\u{ff}", ""),
            put(&list, "", "", "header"),
        ],
    )
    .await;
    let items = all_items(&snapshot(&store).await, &list).await;
    assert_eq!(ids(&items), ["", "y", "x", "a", "b", "é", "Z"]);
    assert!(items.is_sorted_by_key(place));
    // Any place can be gone on from, also one that holds nothing.
    let snapshot = snapshot(&store).await;
    for (rank, after, rest) in [("1", "a", 3), ("1", "aa", 3), ("0", "", 5), ("2", "", 0)] {
        let after = OrderKey::new(super::support::rank(rank.as_bytes()), id(after));
        let page = snapshot
            .scan(&list, ANY_VERSION, Some(&after), Payloads::All, NO_LIMIT)
            .await
            .unwrap();
        assert_eq!(page.rows, items[items.len() - rest..], "{after:?}");
    }
}

/// A scan begun at a version returns nothing newer, counts what it passes over,
/// and goes on behind it.
pub async fn a_scan_passes_over_what_is_newer<S: Store>(store: S) {
    let list = members("g1");
    ten(&store, &list).await;
    // Order: i9 (version 10) … i0 (version 1).
    let snapshot = snapshot(&store).await;
    let page = snapshot
        .scan(&list, Version::new(4), None, Payloads::All, NO_LIMIT)
        .await
        .unwrap();
    assert_eq!(
        (ids(&page.rows), page.next),
        (vec!["i3", "i2", "i1", "i0"], None)
    );

    let mut after = None;
    let mut pages = Vec::new();
    loop {
        let page = snapshot
            .scan(
                &list,
                Version::new(4),
                after.as_ref(),
                Payloads::All,
                rows(4),
            )
            .await
            .unwrap();
        pages.push(page.rows.len());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [0, 2, 2]);
    let page = snapshot
        .scan(&list, Version::ZERO, None, Payloads::All, NO_LIMIT)
        .await
        .unwrap();
    assert_eq!((page.rows, page.next), (vec![], None));
}

/// By rows and by bytes; `next` is the last place looked at, and is missing
/// exactly when the list ends there.
pub async fn a_scan_ends_at_its_limits<S: Store>(store: S) {
    let list = members("g1");
    ten(&store, &list).await;
    let snapshot = snapshot(&store).await;
    let all = all_items(&snapshot, &list).await;
    for limit in 1..12 {
        let mut after = None;
        let mut seen = Vec::new();
        loop {
            let page = snapshot
                .scan(
                    &list,
                    ANY_VERSION,
                    after.as_ref(),
                    Payloads::All,
                    rows(limit),
                )
                .await
                .unwrap();
            assert!(page.rows.len() <= limit);
            seen.extend(page.rows);
            assert_eq!(page.next.is_none(), seen.len() == 10, "limit {limit}");
            if page.next.is_none() {
                break;
            }
            assert_eq!(page.next, seen.last().map(place));
            after = page.next;
        }
        assert_eq!(seen, all);
    }
    // 2 + 2 + 7 bytes with payload, 2 + 2 + 16 without.
    for (payloads, limit, expected) in [
        (Payloads::All, 12, 2),
        (Payloads::All, 22, 2),
        (Payloads::First(0), 20, 1),
        (Payloads::First(0), 21, 2),
        (Payloads::First(1), 31, 2),
        (Payloads::First(1), 32, 3),
    ] {
        let page = snapshot
            .scan(&list, ANY_VERSION, None, payloads, bytes(limit))
            .await
            .unwrap();
        assert_eq!(page.rows.len(), expected, "{payloads:?} {limit}");
        assert_eq!(page.next, page.rows.last().map(place));
    }
}

/// The first rows of a page have their payload, the others all but that.
pub async fn payloads_are_cut_off<S: Store>(store: S) {
    let list = members("g1");
    ten(&store, &list).await;
    // The first in order is newer than the scan: it does not count.
    write(&store, vec![put(&list, "i9", "", "newer")]).await;
    let snapshot = snapshot(&store).await;
    let all = all_items(&snapshot, &list).await;
    for first in [0, 1, 3, 9, 20] {
        let page = snapshot
            .scan(
                &list,
                Version::new(10),
                None,
                Payloads::First(first),
                NO_LIMIT,
            )
            .await
            .unwrap();
        assert_eq!(page.rows.len(), 9);
        for (at, (row, item)) in page.rows.iter().zip(&all[1..]).enumerate() {
            let mut expected = item.clone();
            if at >= first {
                expected.payload = bytes::Bytes::new();
            }
            assert_eq!(row, &expected, "{at} of first {first}");
        }
    }
}

/// Each once, unknown and deleted ones not at all; as many as one asks for.
pub async fn items_by_id_are_those_that_exist<S: Store>(store: S) {
    let list = members("g1");
    let steps = (0..1_500)
        .map(|at| put(&list, &format!("i{at}"), "", "p"))
        .collect();
    write(&store, steps).await;
    write(&store, vec![delete(&list, "i3")]).await;
    let snapshot = snapshot(&store).await;
    let mut asked: Vec<_> = (0..1_600).map(|at| id(&format!("i{at}"))).collect();
    asked.extend([id("i7"), id("nobody")]);
    let mut found = snapshot.items(&list, &asked).await.unwrap();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    let mut all = all_items(&snapshot, &list).await;
    all.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(found, all);
    assert_eq!(snapshot.items(&list, &[]).await.unwrap(), []);
}

/// Neither one that never was nor one that ended.
pub async fn a_list_that_is_not_live_reads_as_empty<S: Store>(store: S) {
    let (absent, ended) = (members("absent"), members("ended"));
    write(
        &store,
        vec![put(&ended, "a", "1", "x"), delete(&ended, "a")],
    )
    .await;
    write(&store, vec![put(&ended, "b", "1", "x")]).await;
    write(&store, vec![Step::End(ended.clone())]).await;
    let snapshot = snapshot(&store).await;
    for list in [absent, ended] {
        assert_eq!(all_items(&snapshot, &list).await, []);
        assert_eq!(all_changes(&snapshot, &list).await, []);
        assert_eq!(snapshot.items(&list, &[id("b")]).await.unwrap(), []);
    }
}

/// The same ids under other owners and other kinds are other elements.
pub async fn lists_do_not_mix<S: Store>(store: S) {
    let lists = [
        members("a"),
        members("b"),
        ListKey::new("groups", "a").unwrap(),
        ListKey::new("groups", "A").unwrap(),
    ];
    for (at, list) in lists.iter().enumerate() {
        write(&store, vec![put(list, "x", "1", &at.to_string())]).await;
        write(&store, vec![put(list, "y", "0", &at.to_string())]).await;
    }
    write(&store, vec![delete(&lists[1], "x")]).await;
    let snapshot = snapshot(&store).await;
    for (at, list) in lists.iter().enumerate() {
        let items = all_items(&snapshot, list).await;
        assert_eq!(items.len(), if at == 1 { 1 } else { 2 });
        assert!(items.iter().all(|item| item.payload == at.to_string()));
        let found = snapshot.items(list, &[id("x")]).await.unwrap();
        assert_eq!(found.len(), usize::from(at != 1));
    }
}
