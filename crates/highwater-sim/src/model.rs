//! What the server's lists should be, the plain way: maps that are summed up
//! anew, no indexes, no caches, no increments. Stamps, lineages and sums are
//! computed here from their definitions, apart from the code on trial.

use bytes::Bytes;
use highwater_core::reads::ListState;
use highwater_protocol::{Digest, ItemId, Lineage, ListKey, Rank, Stamp, Version};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One change of one list.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Put(ListKey, ItemId, Rank, Bytes),
    Delete(ListKey, ItemId),
    End(ListKey),
}

impl Op {
    pub(crate) const fn list(&self) -> &ListKey {
        match self {
            Self::Put(list, ..) | Self::Delete(list, _) | Self::End(list) => list,
        }
    }
}

/// An element.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) rank: Rank,
    pub(crate) payload: Bytes,
    pub(crate) version: u64,
    pub(crate) created: u64,
    pub(crate) stamp: Stamp,
}

/// What is left of a deleted element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tombstone {
    pub(crate) version: u64,
    pub(crate) created: u64,
}

/// A list that lives.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) lineage: Lineage,
    pub(crate) version: u64,
    pub(crate) floor: u64,
    pub(crate) items: BTreeMap<ItemId, Arc<Element>>,
    pub(crate) tombstones: BTreeMap<ItemId, Tombstone>,
}

/// A list, whether or not it lives.
#[derive(Clone, Debug)]
pub(crate) enum List {
    Live { epoch: u64, live: Live },
    Ended { epoch: u64, lineage: Lineage },
}

/// All lists, and what each of them summed up to at each version that was ever
/// the newest.
#[derive(Clone)]
pub(crate) struct Model {
    incarnation: [u8; 16],
    lists: BTreeMap<ListKey, List>,
    history: BTreeMap<(ListKey, Lineage, u64), Sums>,
}

/// What elements sum up to, and how many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) digest: Digest,
    pub(crate) count: u64,
}

/// What a list sums up to for its readers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums {
    /// For those who may read it.
    pub(crate) all: Sum,
    /// For those who may read its header alone.
    pub(crate) header: Sum,
}

/// All lists as they once were.
pub(crate) type Backup = BTreeMap<ListKey, List>;

impl Live {
    const fn new(lineage: Lineage) -> Self {
        Self {
            lineage,
            version: 0,
            floor: 0,
            items: BTreeMap::new(),
            tombstones: BTreeMap::new(),
        }
    }

    /// The sum of all stamps, added up.
    pub(crate) fn digest(&self) -> Digest {
        let sum = self.items.values().fold(0u128, |sum, item| {
            sum.wrapping_add(u128::from_le_bytes(item.stamp.0))
        });
        Digest::from_bytes(sum.to_le_bytes())
    }

    pub(crate) fn count(&self) -> u64 {
        self.items.len() as u64
    }

    fn sum(&self) -> Sum {
        Sum {
            digest: self.digest(),
            count: self.count(),
        }
    }

    fn sums(&self) -> Sums {
        Sums {
            all: self.sum(),
            header: self.header_alone().sum(),
        }
    }

    /// The list as somebody has it who may read its header alone.
    pub(crate) fn header_alone(&self) -> Self {
        let header = ItemId::header();
        let items = self.items.get(&header).cloned();
        Self {
            version: self.version,
            items: items.map(|item| (header, item)).into_iter().collect(),
            ..Self::new(self.lineage)
        }
    }

    fn put(&mut self, id: &ItemId, rank: &Rank, payload: &Bytes) {
        let stamp = stamp(id, rank, payload);
        let old = self.items.get(id);
        if old.is_some_and(|old| old.stamp == stamp) {
            return;
        }
        self.version += 1;
        let before = self.tombstones.remove(id).map(|old| old.created);
        let created = old.map(|old| old.created).or(before);
        let element = Element {
            rank: rank.clone(),
            payload: payload.clone(),
            version: self.version,
            created: created.unwrap_or(self.version),
            stamp,
        };
        self.items.insert(id.clone(), Arc::new(element));
    }

    fn delete(&mut self, id: &ItemId) {
        if let Some(old) = self.items.remove(id) {
            self.version += 1;
            let tombstone = Tombstone {
                version: self.version,
                created: old.created,
            };
            self.tombstones.insert(id.clone(), tombstone);
        }
    }

    /// The elements in the list's order.
    pub(crate) fn in_order(&self) -> Vec<(&ItemId, &Arc<Element>)> {
        let mut rows: Vec<_> = self.items.iter().collect();
        rows.sort_by(|(id, a), (other, b)| (&a.rank, *id).cmp(&(&b.rank, *other)));
        rows
    }
}

impl Model {
    pub(crate) const fn new(incarnation: [u8; 16]) -> Self {
        Self {
            incarnation,
            lists: BTreeMap::new(),
            history: BTreeMap::new(),
        }
    }

    /// The list as a reader finds it: one that never was is empty.
    pub(crate) fn live(&self, list: &ListKey) -> Option<Cow<'_, Live>> {
        match self.lists.get(list) {
            None => Some(Cow::Owned(Live::new(lineage(&self.incarnation, list, 0)))),
            Some(List::Live { live, .. }) => Some(Cow::Borrowed(live)),
            Some(List::Ended { .. }) => None,
        }
    }

    pub(crate) fn get(&self, list: &ListKey) -> Option<&List> {
        self.lists.get(list)
    }

    /// What the store should say about a list.
    pub(crate) fn state(&self, list: &ListKey) -> ListState {
        match self.lists.get(list) {
            None => ListState::Absent(lineage(&self.incarnation, list, 0)),
            Some(List::Live { live, .. }) => ListState::Live(highwater_core::Head {
                lineage: live.lineage,
                version: Version::new(live.version),
                floor: Version::new(live.floor),
                count: live.count(),
                digest: live.digest(),
            }),
            Some(List::Ended { lineage, .. }) => ListState::Ended(*lineage),
        }
    }

    /// What a list summed up to at a version, if that was ever its newest.
    pub(crate) fn at(&self, list: &ListKey, lineage: Lineage, version: u64) -> Option<Sums> {
        if version == 0 {
            return Some(Live::new(lineage).sums());
        }
        let key = (list.clone(), lineage, version);
        self.history.get(&key).copied()
    }

    /// Carries out a transaction.
    pub(crate) fn apply(&mut self, ops: &[Op]) {
        for op in ops {
            let list = op.list();
            match op {
                Op::Put(_, id, rank, payload) => self.revived(list).put(id, rank, payload),
                Op::Delete(_, id) => {
                    if let Some(List::Live { live, .. }) = self.lists.get_mut(list) {
                        live.delete(id);
                    }
                }
                Op::End(_) => {
                    if let Some(List::Live { epoch, live }) = self.lists.get(list) {
                        let ended = List::Ended {
                            epoch: *epoch,
                            lineage: live.lineage,
                        };
                        self.lists.insert(list.clone(), ended);
                    }
                }
            }
        }
        for op in ops {
            self.remember(op.list());
        }
    }

    fn revived(&mut self, list: &ListKey) -> &mut Live {
        let epoch = match self.lists.get(list) {
            Some(List::Live { epoch, .. }) => *epoch,
            Some(List::Ended { epoch, .. }) => epoch + 1,
            None => 0,
        };
        let lives = matches!(self.lists.get(list), Some(List::Live { .. }));
        if !lives {
            let live = Live::new(lineage(&self.incarnation, list, epoch));
            self.lists.insert(list.clone(), List::Live { epoch, live });
        }
        match self.lists.get_mut(list) {
            Some(List::Live { live, .. }) => live,
            _ => unreachable!("it was just made to live"),
        }
    }

    /// The server says that a list is of this lineage.
    pub(crate) fn said(&mut self, list: &ListKey, lineage: Lineage) {
        if let Some(List::Live { live, .. }) = self.lists.get(list) {
            let key = (list.clone(), lineage, live.version);
            self.history.insert(key, live.sums());
        }
    }

    fn remember(&mut self, list: &ListKey) {
        if let Some(List::Live { live, .. }) = self.lists.get(list) {
            let key = (list.clone(), live.lineage, live.version);
            self.history.insert(key, live.sums());
        }
    }

    /// Each list keeps the `keep` newest tombstones.
    pub(crate) fn purge(&mut self, keep: u64) {
        for list in self.lists.values_mut() {
            let List::Live { live, .. } = list else {
                continue;
            };
            let mut versions: Vec<u64> = live.tombstones.values().map(|old| old.version).collect();
            versions.sort_unstable();
            let too_many = versions
                .len()
                .saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
            if let Some(last) = too_many.checked_sub(1).and_then(|at| versions.get(at)) {
                live.tombstones.retain(|_, old| old.version > *last);
                live.floor = live.floor.max(*last);
            }
        }
    }

    pub(crate) fn backup(&self) -> Backup {
        self.lists.clone()
    }

    /// Everything is as it once was, under other lineages.
    pub(crate) fn restore(&mut self, backup: &Backup, incarnation: [u8; 16]) {
        self.incarnation = incarnation;
        self.lists.clone_from(backup);
        for (key, list) in &mut self.lists {
            if let List::Live { epoch, live } = list {
                live.lineage = lineage(&incarnation, key, *epoch);
            }
        }
        let lists: Vec<ListKey> = self.lists.keys().cloned().collect();
        for list in &lists {
            self.remember(list);
        }
    }
}

/// "The first 16 bytes of BLAKE3 over (id, rank, payload), each
/// length-prefixed."
pub(crate) fn stamp(id: &ItemId, rank: &Rank, payload: &[u8]) -> Stamp {
    Stamp(hash(&[id.as_str().as_bytes(), rank.as_bytes(), payload]))
}

/// "A hash of (store incarnation, list, list epoch)."
fn lineage(incarnation: &[u8; 16], list: &ListKey, epoch: u64) -> Lineage {
    let hash = hash(&[
        incarnation,
        list.kind.as_str().as_bytes(),
        list.owner.as_str().as_bytes(),
        &epoch.to_le_bytes(),
    ]);
    let mut eight = [0; 8];
    eight.copy_from_slice(&hash[..8]);
    Lineage::new(u64::from_le_bytes(eight).max(1)).unwrap_or_else(|| unreachable!("at least 1"))
}

fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut all = Vec::new();
    for part in parts {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        all.extend_from_slice(&length.to_le_bytes());
        all.extend_from_slice(part);
    }
    let mut out = [0; 16];
    out.copy_from_slice(&blake3::hash(&all).as_bytes()[..16]);
    out
}
