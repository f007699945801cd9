//! The queue, the operator's list of lists, and the purge.

use super::support::{
    NOW, Outcome, Script, Step, all_changes, all_items, delete, head, members, put, snapshot,
    state, write, write_at,
};
use crate::store::{Backlog, JobId, ListLine, PurgePolicy, Purged, Store};
use bytes::Bytes;
use highwater_core::reads::{Change, ListState};
use highwater_protocol::{ListKey, Version};

fn job(payload: &'static str) -> Step {
    Step::Enqueue(Bytes::from_static(payload.as_bytes()))
}

fn job_ids(outcomes: &[Outcome]) -> Vec<JobId> {
    outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Job(job) => Some(*job),
            _ => None,
        })
        .collect()
}

/// Oldest first, and each until it is done.
pub async fn jobs_are_kept_in_order_until_completed<S: Store>(store: S) {
    assert_eq!(store.jobs(9).await.unwrap(), []);
    assert_eq!(store.backlog().await.unwrap(), Backlog::default());
    let mut ids = job_ids(&write_at(&store, 30, vec![job("a"), job("b")]).await.output);
    ids.extend(job_ids(
        &write_at(&store, 20, vec![job("c"), job("")]).await.output,
    ));
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let jobs = store.jobs(9).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), ids);
    let told: Vec<(&[u8], i64)> = jobs
        .iter()
        .map(|job| (&job.payload[..], job.queued_at_ms))
        .collect();
    assert_eq!(told, [(&b"a"[..], 30), (b"b", 30), (b"c", 20), (b"", 20)]);
    assert_eq!(store.jobs(2).await.unwrap(), jobs[..2]);
    let backlog = store.backlog().await.unwrap();
    assert_eq!((backlog.jobs, backlog.oldest_at_ms), (4, Some(30)));

    write(&store, vec![Step::Complete(ids[0]), Step::Complete(ids[2])]).await;
    // Twice does no harm.
    write(&store, vec![Step::Complete(ids[0])]).await;
    assert_eq!(
        store.jobs(9).await.unwrap(),
        [jobs[1].clone(), jobs[3].clone()]
    );
    write(&store, vec![Step::Complete(ids[1]), Step::Complete(ids[3])]).await;
    assert_eq!(store.backlog().await.unwrap(), Backlog::default());
}

/// And one that it completed is still there.
pub async fn jobs_of_a_refused_write_are_not_queued<S: Store>(store: S) {
    let kept = job_ids(&write(&store, vec![job("kept")]).await.output)[0];
    for last in [Step::Refuse, Step::Panic] {
        let steps = vec![job("lost"), Step::Complete(kept), last];
        store.write(NOW, Script::new(steps)).await.unwrap_err();
    }
    let jobs = store.jobs(9).await.unwrap();
    assert_eq!((jobs.len(), jobs[0].id), (1, kept));
}

/// Not even after the newest was completed.
pub async fn job_ids_are_never_used_again<S: Store>(store: S) {
    let mut last = JobId(0);
    for _ in 0..5 {
        let id = job_ids(&write(&store, vec![job("x")]).await.output)[0];
        assert!(id > last);
        last = id;
        write(&store, vec![Step::Complete(id)]).await;
    }
}

/// Each once, by kind and owner, ended ones too.
pub async fn lists_are_paged_by_name<S: Store>(store: S) {
    assert_eq!(store.lists(None, 9).await.unwrap(), []);
    let mut names: Vec<ListKey> = Vec::new();
    for kind in ["friends", "groups", "members"] {
        for owner in ["1", "10", "2", "B", "a", "é"] {
            names.push(ListKey::new(kind, owner).unwrap());
        }
    }
    for (at, list) in names.iter().enumerate().rev() {
        write(
            &store,
            vec![
                put(list, "1", "", "x"),
                put(list, "2", "", "x"),
                delete(list, "1"),
            ],
        )
        .await;
        if at % 2 == 0 {
            write(&store, vec![Step::End(list.clone())]).await;
        }
        if at % 4 == 0 {
            write(&store, vec![put(list, "1", "", "x")]).await;
        }
    }
    let mut expected = Vec::new();
    for (at, list) in names.iter().enumerate() {
        expected.push(ListLine {
            list: list.clone(),
            state: state(&store, list).await,
            tombstones: u64::from(at % 4 != 0),
        });
    }
    assert!(matches!(expected[2].state, ListState::Ended(_)));
    for limit in [1, 4, 18, 100] {
        let mut seen: Vec<ListLine> = Vec::new();
        loop {
            let after = seen.last().map(|line| line.list.clone());
            let page = store.lists(after.as_ref(), limit).await.unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            seen.extend(page);
        }
        assert_eq!(seen, expected, "pages of {limit}");
    }
    let between = ListKey::new("groups", "11").unwrap();
    let page = store.lists(Some(&between), 1).await.unwrap();
    assert_eq!(page[0].list, ListKey::new("groups", "2").unwrap());
}

/// The ids of a list's tombstones by version.
async fn dead<S: Store>(store: &S, list: &ListKey) -> Vec<String> {
    all_changes(&snapshot(store).await, list)
        .await
        .iter()
        .filter_map(|change| match change {
            Change::Deleted(tombstone) => Some(tombstone.id.as_str().to_owned()),
            Change::Put(_) => None,
        })
        .collect()
}

const KEEP_ALL: PurgePolicy = PurgePolicy {
    age_ms_max: i64::MAX,
    per_list_max: u64::MAX,
};

/// Ten elements, of which `i1` to `i8` are deleted, a second apart.
async fn eight_dead<S: Store>(store: &S, list: &ListKey) {
    let puts = (0..10).map(|at| put(list, &format!("i{at}"), "", "x"));
    write(store, puts.collect()).await;
    for at in 1..9 {
        write_at(
            store,
            NOW + at * 1_000,
            vec![delete(list, &format!("i{at}"))],
        )
        .await;
    }
}

/// The floor rises to the newest that went.
pub async fn a_purge_by_number_keeps_the_newest<S: Store>(store: S) {
    let list = members("a");
    eight_dead(&store, &list).await;
    let before = head(&store, &list).await;
    let policy = PurgePolicy {
        per_list_max: 3,
        ..KEEP_ALL
    };
    let purged = store.purge(NOW, policy).await.unwrap();
    assert_eq!(
        purged,
        Purged {
            lists: 1,
            tombstones: 5
        }
    );
    assert_eq!(dead(&store, &list).await, ["i6", "i7", "i8"]);
    let after = head(&store, &list).await;
    assert_eq!(after.floor, Version::new(15));
    assert_eq!(
        (after.version, after.count, after.digest),
        (before.version, before.count, before.digest)
    );
    assert_eq!(store.lists(None, 1).await.unwrap()[0].tombstones, 3);
    if let Some(cached) = store.cached_states(std::slice::from_ref(&list)) {
        assert_eq!(cached, [ListState::Live(after)]);
    }
    assert_eq!(store.purge(NOW, policy).await.unwrap(), Purged::default());
    let none = PurgePolicy {
        per_list_max: 0,
        ..KEEP_ALL
    };
    assert_eq!(store.purge(NOW, none).await.unwrap().tombstones, 3);
    assert_eq!(dead(&store, &list).await, Vec::<String>::new());
    assert_eq!(head(&store, &list).await.floor, before.version);
}

/// Older than the policy allows, not just as old.
pub async fn a_purge_by_age_drops_what_is_older<S: Store>(store: S) {
    let list = members("a");
    eight_dead(&store, &list).await;
    let policy = PurgePolicy {
        age_ms_max: 4_000,
        ..KEEP_ALL
    };
    // At second 9, those of seconds 1 to 4 are older than 4.
    let purged = store.purge(NOW + 9_000, policy).await.unwrap();
    assert_eq!(
        purged,
        Purged {
            lists: 1,
            tombstones: 4
        }
    );
    assert_eq!(dead(&store, &list).await, ["i5", "i6", "i7", "i8"]);
    assert_eq!(head(&store, &list).await.floor, Version::new(14));
    // A clock that was set back purges nothing.
    assert_eq!(
        store.purge(NOW - 9_000, policy).await.unwrap(),
        Purged::default()
    );
    // Both bounds at once.
    let both = PurgePolicy {
        age_ms_max: 4_000,
        per_list_max: 1,
    };
    let purged = store.purge(NOW + 10_000, both).await.unwrap();
    assert_eq!(purged.tombstones, 3);
    assert_eq!(dead(&store, &list).await, ["i8"]);
    assert_eq!(head(&store, &list).await.floor, Version::new(17));
}

/// No floor moves.
pub async fn a_purge_with_nothing_to_do_does_nothing<S: Store>(store: S) {
    let list = members("a");
    assert_eq!(store.purge(NOW, KEEP_ALL).await.unwrap(), Purged::default());
    eight_dead(&store, &list).await;
    let before = head(&store, &list).await;
    assert_eq!(
        store.purge(i64::MAX, KEEP_ALL).await.unwrap(),
        Purged::default()
    );
    assert_eq!(head(&store, &list).await, before);
    assert_eq!(dead(&store, &list).await.len(), 8);
}

/// An element that comes back after its tombstone went is a new one.
pub async fn a_purged_tombstone_hands_on_no_created<S: Store>(store: S) {
    let list = members("a");
    eight_dead(&store, &list).await;
    let policy = PurgePolicy {
        per_list_max: 4,
        ..KEEP_ALL
    };
    store.purge(NOW, policy).await.unwrap();
    write(
        &store,
        vec![put(&list, "i1", "", "x"), put(&list, "i8", "", "x")],
    )
    .await;
    let items = all_items(&snapshot(&store).await, &list).await;
    let created: Vec<(&str, u64)> = items
        .iter()
        .map(|item| (item.id.as_str(), item.created.get()))
        .collect();
    assert_eq!(created, [("i0", 1), ("i1", 19), ("i8", 9), ("i9", 10)]);
    assert_eq!(dead(&store, &list).await, ["i5", "i6", "i7"]);
    assert_eq!(store.lists(None, 1).await.unwrap()[0].tombstones, 3);
    assert_eq!(head(&store, &list).await.floor, Version::new(14));
}

/// What nobody can ask about need not be kept.
pub async fn a_purge_needs_no_ended_lists_tombstones<S: Store>(store: S) {
    let list = members("a");
    eight_dead(&store, &list).await;
    let done = write(&store, vec![Step::End(list.clone())]).await;
    let Outcome::Ended(Some(ended)) = done.output[0] else {
        panic!("{:?}", done.output);
    };
    let purged = store.purge(NOW, KEEP_ALL).await.unwrap();
    assert_eq!(
        purged,
        Purged {
            lists: 0,
            tombstones: 8
        }
    );
    assert_eq!(store.lists(None, 1).await.unwrap()[0].tombstones, 0);
    assert_eq!(state(&store, &list).await, ListState::Ended(ended));
    let done = write(&store, vec![Step::Remains(list.clone(), ended, 9)]).await;
    assert!(matches!(&done.output[0], Outcome::Items(items) if items.len() == 2));
    // The next life is not touched by what is left of the last.
    write(&store, vec![put(&list, "x", "", "x"), delete(&list, "x")]).await;
    assert_eq!(store.purge(NOW, KEEP_ALL).await.unwrap(), Purged::default());
    assert_eq!(dead(&store, &list).await, ["x"]);
}

/// More lists and tombstones than one step holds.
pub async fn a_purge_covers_many_lists<S: Store>(store: S) {
    let lists: Vec<ListKey> = (0..120).map(|at| members(&format!("g{at:03}"))).collect();
    for (at, list) in lists.iter().enumerate() {
        let count = if at == 119 { 2_300 } else { at % 4 };
        let names: Vec<String> = (0..count).map(|at| format!("i{at}")).collect();
        let mut steps: Vec<Step> = names.iter().map(|name| put(list, name, "", "x")).collect();
        steps.push(put(list, "kept", "", "x"));
        steps.extend(names.iter().map(|name| delete(list, name)));
        write(&store, steps).await;
    }
    let policy = PurgePolicy {
        per_list_max: 1,
        ..KEEP_ALL
    };
    let purged = store.purge(NOW, policy).await.unwrap();
    // 30 lists each with 0, 1, 2 and 3 tombstones; the last of them has 2,300.
    assert_eq!(
        purged,
        Purged {
            lists: 60,
            tombstones: 30 + 58 + 2_299
        }
    );
    for (at, list) in lists.iter().enumerate() {
        let count: u64 = if at == 119 { 2_300 } else { at as u64 % 4 };
        let head = head(&store, list).await;
        let floor = if count > 1 { 2 * count } else { 0 };
        assert_eq!(head.floor, Version::new(floor), "{list}");
        assert_eq!((head.version.get(), head.count), (2 * count + 1, 1));
        assert_eq!(dead(&store, list).await.len() as u64, count.min(1));
    }
}

/// Also one that the same write has just moved; and what is not live has none.
pub async fn a_right_head_is_recounted_and_left_alone<S: Store>(store: S) {
    let (list, ended, absent) = (members("a"), members("ended"), members("absent"));
    write(
        &store,
        vec![put(&list, "", "", "header"), put(&list, "a", "r", "x")],
    )
    .await;
    write(
        &store,
        vec![put(&ended, "a", "", "x"), Step::End(ended.clone())],
    )
    .await;
    let committed = write(
        &store,
        vec![
            put(&list, "b", "r", "y"),
            delete(&list, "a"),
            Step::Recount(list.clone()),
            Step::Recount(ended),
            Step::Recount(absent),
        ],
    )
    .await;
    assert_eq!(committed.output[2..], vec![Outcome::Recounted(None); 3]);
    let before = head(&store, &list).await;
    let committed = write(&store, vec![Step::Recount(list.clone())]).await;
    assert_eq!(committed.states, []);
    assert_eq!(head(&store, &list).await, before);
}
