//! Worlds of random writes, held against the model and against the twin.

use super::model::Model;
use super::support::{
    NOW, Outcome, Refused, Rng, Script, SeedNote, Step, Written, id, rank, seeds,
};
use crate::memory::MemoryStore;
use crate::store::{PurgePolicy, Store};
use crate::write::WriteError;
use bytes::Bytes;
use futures::future::join_all;
use highwater_core::reads::{ListState, Reads};
use highwater_protocol::{Kind, Lineage, ListKey, OwnerId};
use std::collections::BTreeMap;

/// Writes of one world.
const WRITES: usize = 120;

/// The lists of one world, of a kind of its own so that worlds can share a
/// store.
fn lists(seed: u64, rng: &mut Rng) -> Vec<ListKey> {
    let kind = Kind::new(&format!("world-{seed}")).unwrap();
    (0..=rng.below(4))
        .map(|at| ListKey {
            kind: kind.clone(),
            owner: OwnerId::new(&format!("o{at}")).unwrap(),
        })
        .collect()
}

/// One random change to one of `lists`. Few ids and few contents, so that
/// elements meet their own past.
fn random_change(lists: &[ListKey], rng: &mut Rng) -> Step {
    let list = lists[rng.below(lists.len())].clone();
    let item = match rng.below(40) {
        0 => String::new(),
        at => format!("i{at}"),
    };
    match rng.below(100) {
        0..65 => Step::Put(
            list,
            id(&item),
            rank(&[b'0' + u8::try_from(rng.below(5)).unwrap()]),
            Bytes::from(vec![b'p'; rng.below(30)]),
        ),
        65..95 => Step::Delete(list, id(&item)),
        95..97 => Step::End(list),
        97..99 => Step::Scan(list, None, rng.below(50)),
        _ => Step::Item(list, id(&item)),
    }
}

/// A write of up to 12 changes, some of them refused at the end, some about
/// what ended lives left behind.
fn random_script(lists: &[ListKey], model: &Model, rng: &mut Rng) -> Script {
    let mut steps: Vec<Step> = (0..=rng.below(12))
        .map(|_| random_change(lists, rng))
        .collect();
    if rng.once_in(6) {
        let list = &lists[rng.below(lists.len())];
        for (ended, mut ids) in model.remains(list) {
            ids.truncate(1 + rng.below(10));
            steps.push(Step::Discard(list.clone(), ended, ids));
        }
    }
    if rng.once_in(10) {
        steps.push(if rng.once_in(3) {
            Step::Panic
        } else {
            Step::Refuse
        });
    }
    let mut script = Script::new(steps);
    // Declared in any order, and more than is touched.
    script.lists = lists.to_vec();
    script
}

/// Every outcome, head, page and tombstone of random histories is the model's.
pub async fn random_worlds_agree_with_the_model<S: Store>(store: S) {
    // Worlds share the store, so each purge below reaches the worlds before it:
    // the model of all of them is one.
    let mut model = Model::default();
    for seed in seeds(12) {
        let _note = SeedNote(seed);
        let mut rng = Rng::new(seed);
        let lists = lists(seed, &mut rng);
        let mut now_ms = NOW;
        for _ in 0..WRITES {
            now_ms += i64::try_from(rng.below(1_000)).unwrap();
            let script = random_script(&lists, &model, &mut rng);
            let mut after = model.clone();
            let expected: Vec<Option<Outcome>> = script
                .steps
                .iter()
                .map(|step| after.take(now_ms, step))
                .collect();
            match store.write(now_ms, script.clone()).await {
                Ok(committed) => {
                    after.learn(&committed.states);
                    compare(&script, &expected, &committed.output);
                    model = after;
                }
                Err(WriteError::Refused(Refused) | WriteError::NotCommitted(_))
                    if matches!(script.steps.last(), Some(Step::Refuse | Step::Panic)) => {}
                Err(error) => panic!("{script:?}: {error:?}"),
            }
            if rng.once_in(15) {
                let (age_ms_max, per_list_max) = (
                    i64::try_from(rng.below(60_000)).unwrap(),
                    if rng.once_in(2) { 1_000 } else { rng.below(10) },
                );
                let policy = PurgePolicy {
                    age_ms_max,
                    per_list_max: per_list_max as u64,
                };
                let purged = store.purge(now_ms, policy).await.unwrap();
                let gone = model.purge(now_ms, age_ms_max, per_list_max);
                assert!(purged.tombstones >= gone, "{purged:?}, at least {gone}");
            }
            if rng.once_in(10) {
                model.check(&store, &mut rng).await;
            }
        }
        model.check(&store, &mut rng).await;
    }
}

/// Within one write, a life that begins has no lineage that the model knows:
/// what it answers about its end is not compared.
fn compare(script: &Script, expected: &[Option<Outcome>], found: &[Outcome]) {
    assert_eq!(expected.len(), found.len());
    for ((step, expected), found) in script.steps.iter().zip(expected).zip(found) {
        match (expected, found) {
            (Some(Outcome::Ended(None)), Outcome::Ended(_)) | (None, _) => {}
            (Some(expected), found) => assert_eq!(found, expected, "{step:?} in {script:?}"),
        }
    }
}

/// The same writes, many at once and each on a list of its own, end alike on the
/// store and on the twin, and leave the same.
pub async fn random_worlds_agree_with_the_twin<S: Store>(store: S) {
    let twin = MemoryStore::new([3; 16]);
    for seed in seeds(12) {
        let _note = SeedNote(seed);
        let mut rng = Rng::new(seed ^ 0x7717);
        let kind = Kind::new(&format!("twin-{seed}")).unwrap();
        let lists: Vec<ListKey> = (0..9)
            .map(|at| ListKey {
                kind: kind.clone(),
                owner: OwnerId::new(&format!("o{at}")).unwrap(),
            })
            .collect();
        let none = Model::default();
        for round in 0..WRITES / 4 {
            let batch: Vec<Script> = lists
                .iter()
                .map(|list| random_script(std::slice::from_ref(list), &none, &mut rng))
                .collect();
            let now_ms = NOW + i64::try_from(round).unwrap() * 1_000;
            let ours = join_all(
                batch
                    .iter()
                    .map(|script| store.write(now_ms, script.clone())),
            );
            let theirs = join_all(
                batch
                    .iter()
                    .map(|script| twin.write(now_ms, script.clone())),
            );
            let (ours, theirs) = (ours.await, theirs.await);
            let mut same = Names::default();
            for (script, (ours, theirs)) in batch.iter().zip(ours.iter().zip(&theirs)) {
                same.ends(script, ours, theirs);
            }
            if rng.once_in(5) {
                let policy = PurgePolicy {
                    age_ms_max: i64::try_from(rng.below(30_000)).unwrap(),
                    per_list_max: rng.below(12) as u64,
                };
                assert_eq!(
                    store.purge(now_ms, policy).await.unwrap(),
                    twin.purge(now_ms, policy).await.unwrap(),
                );
            }
            same_content(&store, &twin, &lists).await;
        }
    }
}

/// Which lineage of the store stands for which of the twin.
#[derive(Default)]
struct Names(BTreeMap<Lineage, Lineage>);

impl Names {
    fn same(&mut self, ours: Lineage, theirs: Lineage) {
        let known = *self.0.entry(ours).or_insert(theirs);
        assert_eq!(known, theirs, "{ours} stands for two lineages");
    }

    fn ends(&mut self, script: &Script, ours: &Written, theirs: &Written) {
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                for (ours, theirs) in ours.output.iter().zip(&theirs.output) {
                    match (ours, theirs) {
                        (Outcome::Ended(Some(ours)), Outcome::Ended(Some(theirs))) => {
                            self.same(*ours, *theirs);
                        }
                        (ours, theirs) => assert_eq!(ours, theirs, "{script:?}"),
                    }
                }
                assert_eq!(ours.states.len(), theirs.states.len(), "{script:?}");
                for ((list, ours), (also, theirs)) in ours.states.iter().zip(&theirs.states) {
                    assert_eq!(list, also, "{script:?}");
                    same_state(*ours, *theirs, |ours, theirs| self.same(ours, theirs));
                }
            }
            (Err(ours), Err(theirs)) => assert_eq!(ours.to_string(), theirs.to_string()),
            (ours, theirs) => panic!("{script:?}: {ours:?} against {theirs:?}"),
        }
    }
}

fn same_state(ours: ListState, theirs: ListState, same: impl FnOnce(Lineage, Lineage)) {
    match (ours, theirs) {
        (ListState::Live(ours), ListState::Live(mut theirs)) => {
            same(ours.lineage, theirs.lineage);
            theirs.lineage = ours.lineage;
            assert_eq!(ours, theirs);
        }
        (ListState::Ended(ours), ListState::Ended(theirs))
        | (ListState::Absent(ours), ListState::Absent(theirs)) => same(ours, theirs),
        (ours, theirs) => panic!("{ours:?} against {theirs:?}"),
    }
}

async fn same_content<A: Store, B: Store>(ours: &A, theirs: &B, lists: &[ListKey]) {
    let (ours, theirs) = (
        ours.snapshot(lists).await.unwrap(),
        theirs.snapshot(lists).await.unwrap(),
    );
    for list in lists {
        same_state(
            ours.state(list).await.unwrap(),
            theirs.state(list).await.unwrap(),
            |_, _| (),
        );
        assert_eq!(
            super::support::all_changes(&ours, list).await,
            super::support::all_changes(&theirs, list).await,
        );
        assert_eq!(
            super::support::all_items(&ours, list).await,
            super::support::all_items(&theirs, list).await,
        );
    }
}
