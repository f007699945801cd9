//! A naive model of lists: everything is computed anew from plain maps. What a
//! store says is held against it, page by page.

use super::support::{Outcome, Rng, Step};
use crate::store::{Store, StoreError};
use bytes::Bytes;
use highwater_core::Effect;
use highwater_core::reads::{Change, Item, ListState, PageLimit, Payloads, Reads, Tombstone};
use highwater_core::stamp::stamp_of;
use highwater_protocol::{Digest, ItemId, Lineage, ListKey, OrderKey, Rank, Version};
use std::collections::BTreeMap;

/// A list as the model keeps it.
#[derive(Clone, Debug, Default)]
struct ModelList {
    live: bool,
    /// As the store told it; checked to be a new one for each life.
    lineage: Option<Lineage>,
    version: u64,
    floor: u64,
    items: BTreeMap<ItemId, Item>,
    /// With the moment of the deletion.
    tombstones: BTreeMap<ItemId, (Tombstone, i64)>,
    /// What ended lives left behind.
    remains: BTreeMap<Lineage, BTreeMap<ItemId, Item>>,
    lineages_seen: Vec<Lineage>,
}

/// All lists of a world.
#[derive(Clone, Debug, Default)]
pub struct Model {
    lists: BTreeMap<ListKey, ModelList>,
}

impl Model {
    /// What a step must answer, and its effect on the model; `None` where the
    /// model has no opinion.
    pub fn take(&mut self, now_ms: i64, step: &Step) -> Option<Outcome> {
        let list = self.lists.entry(step.list()?.clone()).or_default();
        Some(match step {
            Step::Put(_, id, rank, payload) => Outcome::Effect(list.put(id, rank, payload)),
            Step::Delete(_, id) => Outcome::Effect(list.delete(now_ms, id)),
            Step::Item(_, id) => Outcome::Item(list.current().get(id).cloned()),
            Step::Scan(_, after, limit) => Outcome::Items(
                list.in_order()
                    .into_iter()
                    .filter(|item| after.as_ref().is_none_or(|after| place(item) > *after))
                    .take(*limit)
                    .collect(),
            ),
            Step::End(_) => {
                let ended = list.live.then_some(list.lineage).flatten();
                list.end();
                Outcome::Ended(ended)
            }
            Step::Discard(_, ended, ids) => {
                if let Some(remains) = list.remains.get_mut(ended) {
                    for id in ids {
                        remains.remove(id);
                    }
                }
                Outcome::Nothing
            }
            _ => return None,
        })
    }

    /// The ended lives of a list that left elements behind.
    #[must_use]
    pub fn remains(&self, list: &ListKey) -> Vec<(Lineage, Vec<ItemId>)> {
        let Some(list) = self.lists.get(list) else {
            return Vec::new();
        };
        list.remains
            .iter()
            .map(|(ended, items)| (*ended, items.keys().cloned().collect()))
            .collect()
    }

    /// Learns the lineages of a write that was committed.
    ///
    /// # Panics
    /// If a life's lineage changed, or was there before.
    pub fn learn(&mut self, states: &[(ListKey, ListState)]) {
        for (key, state) in states {
            let list = self.lists.entry(key.clone()).or_default();
            let lineage = match state {
                ListState::Live(head) => head.lineage,
                ListState::Ended(lineage) | ListState::Absent(lineage) => *lineage,
            };
            if list.lineage != Some(lineage) {
                assert_eq!(list.lineage, None, "{key}: a life has one lineage");
                assert!(!list.lineages_seen.contains(&lineage), "{key}: used before");
                list.lineages_seen.push(lineage);
                list.lineage = Some(lineage);
            }
        }
    }

    /// Purges as a store does; how many tombstones of live lists went.
    pub fn purge(&mut self, now_ms: i64, age_ms_max: i64, per_list_max: usize) -> u64 {
        let mut gone = 0;
        for list in self.lists.values_mut() {
            if !list.live {
                list.tombstones.clear();
                continue;
            }
            let mut by_version: Vec<(Tombstone, i64)> = list.tombstones.values().cloned().collect();
            by_version.sort_by_key(|(tombstone, _)| tombstone.version);
            let too_many = by_version.len().saturating_sub(per_list_max);
            for (at, (tombstone, at_ms)) in by_version.into_iter().enumerate() {
                if at < too_many || now_ms - at_ms > age_ms_max {
                    list.floor = list.floor.max(tombstone.version.get());
                    list.tombstones.remove(&tombstone.id);
                    gone += 1;
                }
            }
        }
        gone
    }

    /// Reads everything from a store by pages of random sizes.
    ///
    /// # Panics
    /// If it is not what the model holds.
    pub async fn check<S: Store>(&self, store: &S, rng: &mut Rng) {
        let names: Vec<ListKey> = self.lists.keys().cloned().collect();
        let declared = if rng.once_in(2) { &names[..] } else { &[] };
        let snapshot = store.snapshot(declared).await.unwrap();
        for (key, list) in &self.lists {
            list.check(key, &snapshot, rng).await;
        }
        let lines = store.lists(None, usize::MAX).await.unwrap();
        let mut lines: BTreeMap<ListKey, (ListState, u64)> = lines
            .into_iter()
            .map(|line| (line.list, (line.state, line.tombstones)))
            .collect();
        for (key, list) in &self.lists {
            let state = snapshot.state(key).await.unwrap();
            match lines.remove(key) {
                Some(line) => {
                    assert_eq!(line, (state, list.tombstones.len() as u64), "{key}");
                }
                None => assert!(matches!(state, ListState::Absent(_)), "{key} is not listed"),
            }
        }
        assert!(lines.is_empty(), "lists from nowhere: {lines:?}");
        if let Some(cached) = store.cached_states(&names) {
            for (key, cached) in names.iter().zip(cached) {
                assert_eq!(cached, snapshot.state(key).await.unwrap(), "{key}");
            }
        }
    }
}

impl ModelList {
    fn current(&self) -> &BTreeMap<ItemId, Item> {
        static NONE: BTreeMap<ItemId, Item> = BTreeMap::new();
        if self.live { &self.items } else { &NONE }
    }

    fn in_order(&self) -> Vec<Item> {
        let mut items: Vec<Item> = self.current().values().cloned().collect();
        items.sort_by_key(place);
        items
    }

    fn changes(&self) -> Vec<Change> {
        if !self.live {
            return Vec::new();
        }
        let puts = self.items.values().cloned().map(Change::Put);
        let dead = self.tombstones.values();
        let dead = dead.map(|(tombstone, _)| Change::Deleted(tombstone.clone()));
        let mut changes: Vec<Change> = puts.chain(dead).collect();
        changes.sort_by_key(Change::version);
        changes
    }

    fn put(&mut self, id: &ItemId, rank: &Rank, payload: &Bytes) -> Effect {
        if !self.live {
            self.begin();
        }
        let before = self.items.get(id);
        if before.is_some_and(|item| (&item.rank, &item.payload) == (rank, payload)) {
            return Effect::Unchanged;
        }
        self.version += 1;
        let version = Version::new(self.version);
        let dead = self.tombstones.get(id);
        let created = before
            .map(|item| item.created)
            .or_else(|| dead.map(|(tombstone, _)| tombstone.created))
            .unwrap_or(version);
        self.tombstones.remove(id);
        self.items.insert(
            id.clone(),
            Item {
                id: id.clone(),
                rank: rank.clone(),
                payload: payload.clone(),
                version,
                created,
                stamp: stamp_of(id, rank, payload),
            },
        );
        Effect::Changed(version)
    }

    fn delete(&mut self, now_ms: i64, id: &ItemId) -> Effect {
        if !self.live {
            return Effect::Unchanged;
        }
        let Some(item) = self.items.remove(id) else {
            return Effect::Unchanged;
        };
        self.version += 1;
        let tombstone = Tombstone {
            id: id.clone(),
            version: Version::new(self.version),
            created: item.created,
        };
        self.tombstones.insert(id.clone(), (tombstone, now_ms));
        Effect::Changed(Version::new(self.version))
    }

    fn begin(&mut self) {
        if let Some(ended) = self.lineage.take()
            && !self.items.is_empty()
        {
            self.remains.insert(ended, std::mem::take(&mut self.items));
        }
        let lineages_seen = std::mem::take(&mut self.lineages_seen);
        let remains = std::mem::take(&mut self.remains);
        *self = Self {
            live: true,
            remains,
            lineages_seen,
            ..Self::default()
        };
    }

    fn end(&mut self) {
        if !self.live {
            return;
        }
        self.live = false;
        if let Some(ended) = self.lineage {
            self.remains.insert(ended, std::mem::take(&mut self.items));
        }
    }

    async fn check<R: Reads<Error = StoreError>>(&self, key: &ListKey, reads: &R, rng: &mut Rng) {
        let state = reads.state(key).await.unwrap();
        match (state, self.lineage) {
            (ListState::Live(head), Some(lineage)) if self.live => {
                let digest: Digest = self.items.values().map(|item| item.stamp).collect();
                assert_eq!(head.lineage, lineage, "{key}");
                assert_eq!(
                    (
                        head.version.get(),
                        head.floor.get(),
                        head.count,
                        head.digest
                    ),
                    (self.version, self.floor, self.items.len() as u64, digest),
                    "{key}"
                );
            }
            (ListState::Ended(ended), Some(lineage)) if !self.live => {
                assert_eq!(ended, lineage, "{key}");
            }
            (ListState::Absent(lineage), None) if !self.live => {
                assert!(!self.lineages_seen.contains(&lineage), "{key}");
            }
            other => panic!("{key}: {other:?}, but live: {}", self.live),
        }
        self.check_changes(key, reads, rng).await;
        self.check_scan(key, reads, rng).await;
        let mut ids: Vec<ItemId> = self.items.keys().cloned().collect();
        ids.extend(self.tombstones.keys().cloned());
        let mut found = reads.items(key, &ids).await.unwrap();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(found, self.current().values().cloned().collect::<Vec<_>>());
    }

    async fn check_changes<R: Reads<Error = StoreError>>(
        &self,
        key: &ListKey,
        reads: &R,
        rng: &mut Rng,
    ) {
        let all = self.changes();
        let mut after = rng.next_u64() % (self.version + 2);
        loop {
            let limit = random_limit(rng);
            let page = reads
                .changes(key, Version::new(after), limit)
                .await
                .unwrap();
            let rest: Vec<&Change> = all
                .iter()
                .filter(|change| change.version().get() > after)
                .collect();
            let fits = fitting(rest.iter().map(|change| Some(change_bytes(change))), limit);
            assert_eq!(
                page.rows.iter().collect::<Vec<_>>(),
                rest[..fits],
                "{key} after {after}, {limit:?}"
            );
            assert_eq!(page.more, fits < rest.len(), "{key} after {after}");
            if !page.more {
                break;
            }
            after = page.rows.last().unwrap().version().get();
        }
    }

    async fn check_scan<R: Reads<Error = StoreError>>(
        &self,
        key: &ListKey,
        reads: &R,
        rng: &mut Rng,
    ) {
        let all = self.in_order();
        let at_most = Version::new(if rng.once_in(2) {
            self.version
        } else {
            rng.next_u64() % (self.version + 1)
        });
        let mut after: Option<OrderKey> = None;
        loop {
            let limit = random_limit(rng);
            let first = rng.below(6);
            let payloads = if first == 5 {
                Payloads::All
            } else {
                Payloads::First(first)
            };
            let page = reads
                .scan(key, at_most, after.as_ref(), payloads, limit)
                .await
                .unwrap();
            let rest: Vec<&Item> = all
                .iter()
                .filter(|item| after.as_ref().is_none_or(|after| place(item) > *after))
                .collect();
            let mut expected = Vec::new();
            let mut costs = Vec::new();
            for item in &rest {
                if item.version > at_most {
                    costs.push(None);
                    continue;
                }
                let mut item = (*item).clone();
                let mut bytes = item.id.as_str().len() + item.rank.as_bytes().len();
                if first == 5 || expected.len() < first {
                    bytes += item.payload.len();
                } else {
                    bytes += 16;
                    item.payload = Bytes::new();
                }
                costs.push(Some(bytes));
                expected.push(item);
            }
            let fits = fitting(costs.iter().copied(), limit);
            let passed_over = costs[..fits].iter().filter(|cost| cost.is_none()).count();
            expected.truncate(fits - passed_over);
            assert_eq!(
                page.rows, expected,
                "{key} {at_most:?} {payloads:?} {limit:?}"
            );
            let next = (fits < rest.len()).then(|| place(rest[fits - 1]));
            assert_eq!(page.next, next, "{key} {at_most:?} {limit:?}");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
}

fn place(item: &Item) -> OrderKey {
    super::support::place(item)
}

fn change_bytes(change: &Change) -> usize {
    match change {
        Change::Put(item) => {
            item.id.as_str().len() + item.rank.as_bytes().len() + item.payload.len()
        }
        Change::Deleted(tombstone) => tombstone.id.as_str().len(),
    }
}

/// How many rows of these costs a page of this limit holds; `None`: the row is
/// looked at and left out.
fn fitting(costs: impl Iterator<Item = Option<usize>>, limit: PageLimit) -> usize {
    let (mut rows, mut bytes) = (0, 0);
    for cost in costs {
        if rows > 0 && (rows >= limit.rows || bytes >= limit.bytes) {
            break;
        }
        rows += 1;
        bytes += cost.unwrap_or(0);
    }
    rows
}

fn random_limit(rng: &mut Rng) -> PageLimit {
    PageLimit {
        rows: if rng.once_in(3) {
            1_000
        } else {
            1 + rng.below(12)
        },
        bytes: if rng.once_in(3) {
            1 + rng.below(200)
        } else {
            1024 * 1024
        },
    }
}
