//! What snapshots and writes see of each other, and what a failed write leaves.

use super::support::{
    NO_LIMIT, NOW, Outcome, Refused, Script, SeedNote, Step, Written, all_changes, all_items,
    delete, head, members, put, seeds, snapshot, state, write,
};
use crate::store::Store;
use crate::write::WriteError;
use bytes::Bytes;
use futures::future::join_all;
use highwater_core::Effect;
use highwater_core::reads::{ListState, Reads};
use highwater_protocol::{ItemId, ListKey, Version};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

async fn attempt<S: Store>(store: &S, steps: Vec<Step>) -> Written {
    store.write(NOW, Script::new(steps)).await
}

/// All that can be read of `lists`.
async fn everything<R: Reads<Error = crate::StoreError>>(reads: &R, lists: &[ListKey]) -> String {
    let mut seen = String::new();
    for list in lists {
        seen += &format!(
            "{:?} {:?} {:?}\n",
            reads.state(list).await.unwrap(),
            all_items(reads, list).await,
            all_changes(reads, list).await,
        );
    }
    seen
}

/// Not in any of its reads, however late they come.
pub async fn a_snapshot_does_not_see_a_later_commit<S: Store>(store: S) {
    let lists = [members("a"), members("b"), members("c"), members("d")];
    let [a, b, c, d] = &lists;
    write(
        &store,
        vec![
            put(a, "1", "1", "x"),
            put(a, "2", "2", "x"),
            put(c, "1", "1", "x"),
        ],
    )
    .await;
    // Of the first, everything is read before; of the second, only the head.
    let first = snapshot(&store).await;
    let before = everything(&first, &lists).await;
    let second = store.snapshot(&lists).await.unwrap();
    let untouched = store.snapshot(&[]).await.unwrap();
    for list in &lists {
        second.state(list).await.unwrap();
    }
    write(
        &store,
        vec![
            put(a, "1", "3", "y"),
            delete(a, "2"),
            put(a, "3", "1", "x"),
            put(b, "1", "1", "x"),
            Step::End(c.clone()),
            put(d, "1", "1", "x"),
        ],
    )
    .await;
    write(&store, vec![put(c, "2", "2", "z")]).await;
    for snapshot in [first, second, untouched] {
        assert_eq!(everything(&snapshot, &lists).await, before);
        let page = snapshot.changes(a, Version::ZERO, NO_LIMIT).await.unwrap();
        assert_eq!(page.rows.len(), 2);
        assert_eq!(
            snapshot
                .items(a, &[ItemId::new("3").unwrap()])
                .await
                .unwrap(),
            []
        );
    }
    let after = everything(&snapshot(&store).await, &lists).await;
    assert_ne!(after, before);
}

/// A reader beside the writer finds two lists always equally far.
pub async fn lists_of_one_commit_appear_together<S: Store>(store: S) {
    let lists = [members("a"), members("b")];
    let writes = async {
        for at in 0..200 {
            let steps = lists
                .iter()
                .map(|list| put(list, "x", "", &at.to_string()))
                .collect();
            write(&store, steps).await;
        }
    };
    let reads = async {
        let mut seen = 0;
        for round in 0.. {
            let declared: &[ListKey] = if round % 2 == 0 { &lists } else { &[] };
            let snapshot = store.snapshot(declared).await.unwrap();
            let mut positions = Vec::new();
            for list in &lists {
                let version = match snapshot.state(list).await.unwrap() {
                    ListState::Live(head) => head.version.get(),
                    _ => 0,
                };
                let items = all_items(&snapshot, list).await;
                let stored = items.first().map_or(0, |item| item.version.get());
                positions.extend([version, stored]);
            }
            assert!(
                positions.iter().all(|version| *version == positions[0]),
                "{positions:?}"
            );
            if let Some(states) = store.cached_states(&lists) {
                let versions: Vec<Option<Version>> = states
                    .iter()
                    .map(|state| match state {
                        ListState::Live(head) => Some(head.version),
                        _ => None,
                    })
                    .collect();
                assert_eq!(versions[0], versions[1]);
            }
            assert!(positions[0] >= seen, "time does not run backwards");
            seen = positions[0];
            if seen == 200 {
                break;
            }
            yield_once().await;
        }
    };
    futures::join!(writes, reads);
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            std::task::Poll::Ready(())
        } else {
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        }
    })
    .await;
}

/// Its reads come after its writes.
pub async fn a_write_sees_its_own_changes<S: Store>(store: S) {
    let list = members("a");
    let done = write(
        &store,
        vec![
            Step::State(list.clone()),
            put(&list, "1", "2", "x"),
            put(&list, "2", "1", "x"),
            put(&list, "3", "0", "x"),
            delete(&list, "3"),
            Step::State(list.clone()),
            Step::Item(list.clone(), ItemId::new("1").unwrap()),
            Step::Item(list.clone(), ItemId::new("3").unwrap()),
            Step::Scan(list.clone(), None, 10),
            Step::Scan(list.clone(), None, 1),
        ],
    )
    .await;
    let now = head(&store, &list).await;
    let items = all_items(&snapshot(&store).await, &list).await;
    assert!(
        matches!(done.output[0], Outcome::State(ListState::Absent(lineage)) if lineage == now.lineage)
    );
    assert_eq!(done.output[5], Outcome::State(ListState::Live(now)));
    assert_eq!(done.output[6], Outcome::Item(Some(items[1].clone())));
    assert_eq!(done.output[7], Outcome::Item(None));
    assert_eq!(done.output[8], Outcome::Items(items.clone()));
    assert_eq!(done.output[9], Outcome::Items(items[..1].to_vec()));
    let after = super::support::place(&items[0]);
    let done = write(&store, vec![Step::Scan(list, Some(after), 10)]).await;
    assert_eq!(done.output[0], Outcome::Items(items[1..].to_vec()));
}

/// Whatever it did before the refusal.
pub async fn a_refused_write_undoes_everything<S: Store>(store: S) {
    let lists = [members("a"), members("b"), members("c")];
    let [a, b, c] = &lists;
    let mut steps: Vec<Step> = (0..30)
        .map(|at| put(a, &at.to_string(), &at.to_string(), "x"))
        .collect();
    steps.extend([delete(a, "3"), put(c, "1", "", "x")]);
    write(&store, steps).await;
    let before = everything(&snapshot(&store).await, &lists).await;
    let refused = attempt(
        &store,
        vec![
            put(a, "1", "99", "y"),
            put(a, "3", "0", "back"),
            delete(a, "4"),
            put(a, "4", "4", "y"),
            delete(a, "5"),
            put(a, "new", "1", "x"),
            put(b, "1", "1", "x"),
            Step::End(c.clone()),
            put(c, "2", "", "x"),
            Step::End(c.clone()),
            Step::Enqueue(Bytes::from_static(b"job")),
            Step::Refuse,
        ],
    )
    .await;
    assert!(
        matches!(refused, Err(WriteError::Refused(Refused))),
        "{refused:?}"
    );
    assert_eq!(everything(&snapshot(&store).await, &lists).await, before);
    assert_eq!(store.backlog().await.unwrap().jobs, 0);
    if let Some(states) = store.cached_states(&lists) {
        for (list, cached) in lists.iter().zip(states) {
            assert_eq!(state(&store, list).await, cached);
        }
    }
    // The next write goes on from what is there.
    let done = write(&store, vec![put(a, "1", "99", "y")]).await;
    assert_eq!(
        done.output,
        [Outcome::Effect(Effect::Changed(Version::new(32)))]
    );
    assert!(matches!(state(&store, b).await, ListState::Absent(_)));
}

/// Writes that may share its commit are there, in order.
pub async fn a_refused_write_takes_no_other_with_it<S: Store>(store: S) {
    let list = members("a");
    let writes = (0..300).map(|at| {
        let mut steps = vec![put(&list, &at.to_string(), "", "x")];
        match at % 5 {
            1 => steps.push(Step::Refuse),
            3 => steps.push(Step::Panic),
            _ => {}
        }
        attempt(&store, steps)
    });
    let ends = join_all(writes).await;
    let mut expected: Vec<String> = Vec::new();
    for (at, end) in ends.into_iter().enumerate() {
        match (at % 5, end) {
            (1, Err(WriteError::Refused(Refused))) | (3, Err(WriteError::NotCommitted(_))) => {}
            (0 | 2 | 4, Ok(_)) => expected.push(at.to_string()),
            (_, other) => panic!("{at}: {other:?}"),
        }
    }
    let mut found: Vec<String> = all_items(&snapshot(&store).await, &list)
        .await
        .iter()
        .map(|item| item.id.as_str().to_owned())
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(head(&store, &list).await.version.get(), 180);
}

/// Every call checks its list; the store goes on.
pub async fn an_undeclared_list_breaks_its_own_write_only<S: Store>(store: S) {
    let (a, b) = (members("a"), members("b"));
    write(&store, vec![put(&a, "1", "", "x"), put(&b, "1", "", "x")]).await;
    let lineage = head(&store, &b).await.lineage;
    let one = ItemId::new("1").unwrap();
    for step in [
        Step::State(b.clone()),
        Step::Item(b.clone(), one.clone()),
        Step::Scan(b.clone(), None, 1),
        put(&b, "2", "", "x"),
        delete(&b, "1"),
        Step::End(b.clone()),
        Step::Remains(b.clone(), lineage, 1),
        Step::Discard(b.clone(), lineage, vec![one]),
    ] {
        let script = Script {
            lists: vec![a.clone()],
            steps: vec![put(&a, "2", "", "x"), step.clone()],
        };
        let end = store.write(NOW, script).await;
        assert!(
            matches!(end, Err(WriteError::NotCommitted(_))),
            "{step:?}: {end:?}"
        );
    }
    assert_eq!(head(&store, &a).await.version, Version::new(1));
    assert_eq!(head(&store, &b).await.version, Version::new(1));
    write(&store, vec![put(&a, "2", "", "x"), put(&b, "2", "", "x")]).await;
    assert_eq!(head(&store, &a).await.version, Version::new(2));
}

/// Nothing of it happened, and the store goes on.
pub async fn a_panicking_write_breaks_itself_only<S: Store>(store: S) {
    let list = members("a");
    let end = attempt(&store, vec![put(&list, "1", "", "x"), Step::Panic]).await;
    let Err(WriteError::NotCommitted(error)) = end else {
        panic!("{end:?}");
    };
    assert!(
        error.to_string().contains("a step of the suite panics"),
        "{error}"
    );
    assert!(matches!(state(&store, &list).await, ListState::Absent(_)));
    write(&store, vec![put(&list, "1", "", "x")]).await;
}

/// A transaction depends on nothing else: it never blocks others.
pub async fn a_write_that_waits_is_refused<S: Store>(store: S) {
    let list = members("a");
    let end = attempt(&store, vec![put(&list, "1", "", "x"), Step::Wait]).await;
    assert!(matches!(end, Err(WriteError::NotCommitted(_))), "{end:?}");
    assert!(matches!(state(&store, &list).await, ListState::Absent(_)));
    write(&store, vec![put(&list, "1", "", "x")]).await;
}

/// The states of all lists that changed, by name, and of no others.
pub async fn the_commit_names_what_changed<S: Store>(store: S) {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(members);
    let first = write(&store, vec![put(&a, "1", "", "x"), put(&c, "1", "", "x")]).await;
    let expected = vec![
        (a.clone(), state(&store, &a).await),
        (c.clone(), state(&store, &c).await),
    ];
    assert_eq!(first.states, expected);
    let done = write(
        &store,
        vec![
            put(&a, "1", "", "x"),
            Step::State(d.clone()),
            delete(&d, "1"),
            Step::End(c.clone()),
            put(&b, "1", "", "x"),
        ],
    )
    .await;
    let expected = vec![
        (b.clone(), state(&store, &b).await),
        (c.clone(), state(&store, &c).await),
    ];
    assert_eq!(done.states, expected);
    assert!(matches!(done.states[1].1, ListState::Ended(_)));
}

/// With every commit that changes something.
pub async fn ticks_rise<S: Store>(store: S) {
    let list = members("a");
    let mut last = write(&store, vec![put(&list, "1", "", "x")]).await.tick;
    for step in [
        put(&list, "1", "", "y"),
        delete(&list, "1"),
        Step::Enqueue(Bytes::new()),
        Step::End(list.clone()),
    ] {
        let tick = write(&store, vec![step.clone()]).await.tick;
        assert!(tick > last, "{step:?}");
        last = tick;
    }
    let refused = attempt(&store, vec![put(&list, "2", "", "x"), Step::Refuse]).await;
    refused.unwrap_err();
    let tick = write(&store, vec![put(&list, "1", "", "x")]).await.tick;
    assert!(tick > last);
}

/// Whenever they are given at all.
pub async fn cached_states_agree_with_snapshots<S: Store>(store: S) {
    let lists: Vec<ListKey> = (0..20).map(|at| members(&at.to_string())).collect();
    for (at, list) in lists.iter().enumerate().take(15) {
        write(&store, vec![put(list, "1", "", &at.to_string())]).await;
        if at % 3 == 0 {
            write(&store, vec![Step::End(list.clone())]).await;
        }
        if at % 6 == 0 {
            write(&store, vec![put(list, "2", "", "again")]).await;
        }
    }
    // Reading brings them into memory; a change keeps them right there.
    let mut answered = 0;
    for round in 0..3 {
        let snapshot = store.snapshot(&lists).await.unwrap();
        let mut read = Vec::new();
        for list in &lists {
            read.push(snapshot.state(list).await.unwrap());
        }
        if let Some(cached) = store.cached_states(&lists) {
            assert_eq!(cached, read, "round {round}");
            answered += 1;
        }
        write(&store, vec![put(&lists[16 + round], "1", "", "x")]).await;
    }
    assert!(answered > 0, "states that were just read are in memory");
    assert_eq!(store.cached_states(&[]), Some(vec![]));
}

/// It is never half done, and never done twice.
pub async fn a_dropped_write_happens_all_the_same_or_not_at_all<S: Store>(store: S) {
    let (a, b) = (members("a"), members("b"));
    for at in 0..50 {
        let at = at.to_string();
        let write = attempt(&store, vec![put(&a, &at, "", "x"), put(&b, &at, "", "x")]);
        // Polled once and dropped: begun, and never asked about again.
        let mut write = pin!(write);
        let _ = write.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    // Writes are taken in order: after this one, all of them have ended.
    write(
        &store,
        vec![put(&a, "last", "", "x"), put(&b, "last", "", "x")],
    )
    .await;
    let snapshot = snapshot(&store).await;
    let (of_a, of_b) = (
        all_items(&snapshot, &a).await,
        all_items(&snapshot, &b).await,
    );
    assert_eq!(of_a, of_b);
    assert_eq!(of_a.len(), 51, "a write that was begun is not undone");
}

/// Each sees all that committed before it: no increment is lost.
pub async fn concurrent_writes_are_serialised<S: Store>(store: S) {
    for seed in seeds(1) {
        let _note = SeedNote(seed);
        let list = members("a");
        let lists = vec![list.clone()];
        let writes = (0..400).map(|_| {
            let count = CountUp {
                lists: lists.clone(),
            };
            store.write(NOW, count)
        });
        let mut counted: Vec<u64> = join_all(writes)
            .await
            .into_iter()
            .map(|end| end.unwrap().output)
            .collect();
        counted.sort_unstable();
        assert_eq!(counted, (1..=400).collect::<Vec<u64>>());
        assert_eq!(head(&store, &list).await.version.get(), 400);
    }
}

/// Reads a number from an element and writes the next.
struct CountUp {
    lists: Vec<ListKey>,
}

impl crate::write::Write for CountUp {
    type Output = u64;
    type Refusal = Refused;

    fn lists(&self) -> Vec<ListKey> {
        self.lists.clone()
    }

    async fn run<T: crate::write::WriteTxn>(
        &self,
        txn: &mut T,
    ) -> Result<u64, crate::write::Abort<Refused>> {
        let (list, id) = (&self.lists[0], ItemId::new("n").unwrap());
        let number = match txn.item(list, &id).await? {
            Some(item) => u64::from_le_bytes(item.payload[..].try_into().unwrap()),
            None => 0,
        } + 1;
        let payload = Bytes::copy_from_slice(&number.to_le_bytes());
        txn.put(list, &id, highwater_protocol::Rank::default(), payload)
            .await?;
        Ok(number)
    }
}
