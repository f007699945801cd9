//! Everything that the twin keeps, and its reads.

use super::rows::{Element, Rows};
use crate::store::{Job, JobId, ListLine, PurgePolicy, Purged};
use highwater_core::Head;
use highwater_core::reads::ListState;
use highwater_core::stamp::lineage_of;
use highwater_protocol::{ItemId, Lineage, ListKey, Version};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

#[derive(Clone)]
pub(super) struct World {
    pub(super) incarnation: [u8; 16],
    pub(super) tick: u64,
    pub(super) lists: BTreeMap<ListKey, List>,
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) last_job: u64,
}

/// A list that exists or existed.
#[derive(Clone)]
pub(super) struct List {
    /// The newest life.
    pub(super) epoch: u64,
    pub(super) life: Life,
    pub(super) rows: Arc<Rows>,
    /// Earlier lives that left something behind, by their lineage.
    pub(super) remains: BTreeMap<Lineage, Arc<Rows>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Live(Head),
    Ended(Lineage),
}

impl List {
    pub(super) fn new(head: Head) -> Self {
        Self {
            epoch: 0,
            life: Life::Live(head),
            rows: Arc::default(),
            remains: BTreeMap::new(),
        }
    }

    /// The elements of the life of this lineage, to be changed.
    pub(super) fn rows_of(&mut self, lineage: Lineage) -> &mut Rows {
        let newest = match self.life {
            Life::Live(head) => head.lineage,
            Life::Ended(lineage) => lineage,
        };
        Arc::make_mut(if lineage == newest {
            &mut self.rows
        } else {
            self.remains.entry(lineage).or_default()
        })
    }

    /// Forgets an earlier life that left nothing behind.
    pub(super) fn forget_if_empty(&mut self, lineage: Lineage) {
        if self
            .remains
            .get(&lineage)
            .is_some_and(|rows| rows.is_empty())
        {
            self.remains.remove(&lineage);
        }
    }
}

impl World {
    pub(super) fn new(incarnation: [u8; 16]) -> Self {
        Self {
            incarnation,
            tick: 0,
            lists: BTreeMap::new(),
            jobs: BTreeMap::new(),
            last_job: 0,
        }
    }

    pub(super) fn reincarnate(&mut self, incarnation: [u8; 16]) {
        self.incarnation = incarnation;
        self.tick += 1;
        for (key, list) in &mut self.lists {
            if let Life::Live(head) = &mut list.life {
                head.lineage = lineage_of(&incarnation, key, list.epoch);
            }
        }
    }

    pub(super) fn state(&self, list: &ListKey) -> ListState {
        match self.lists.get(list).map(|list| list.life) {
            Some(Life::Live(head)) => ListState::Live(head),
            Some(Life::Ended(lineage)) => ListState::Ended(lineage),
            None => ListState::Absent(lineage_of(&self.incarnation, list, 0)),
        }
    }

    pub(super) fn states(&self) -> BTreeMap<ListKey, ListState> {
        self.lists
            .keys()
            .map(|list| (list.clone(), self.state(list)))
            .collect()
    }

    /// The elements of a list, if it is live.
    pub(super) fn live(&self, list: &ListKey) -> Option<&Rows> {
        let list = self.lists.get(list)?;
        matches!(list.life, Life::Live(_)).then_some(&*list.rows)
    }

    /// A list that is known to exist or to have existed.
    pub(super) fn list(&mut self, list: &ListKey) -> &mut List {
        match self.lists.get_mut(list) {
            Some(list) => list,
            None => unreachable!("the list {list} was looked up before"),
        }
    }

    /// The elements of a life that ended.
    pub(super) fn ended(&self, list: &ListKey, lineage: Lineage) -> Option<&Rows> {
        let list = self.lists.get(list)?;
        let rows = if list.life == Life::Ended(lineage) {
            &list.rows
        } else {
            list.remains.get(&lineage)?
        };
        Some(rows)
    }

    pub(super) fn lines(&self, after: Option<&ListKey>, limit: usize) -> Vec<ListLine> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.lists
            .range((from, Bound::Unbounded))
            .take(limit)
            .map(|(key, list)| ListLine {
                list: key.clone(),
                state: self.state(key),
                tombstones: list.rows.tombstones(),
            })
            .collect()
    }

    /// Drops what is too old or too many in one list. A list that ended needs
    /// no tombstones at all: nobody can ask what was deleted from it.
    pub(super) fn purge(&mut self, key: &ListKey, now_ms: i64, policy: PurgePolicy) -> Purged {
        let mut purged = Purged::default();
        let Some(list) = self.lists.get_mut(key) else {
            return purged;
        };
        for rows in list.remains.values_mut() {
            purged.tombstones += drop_tombstones(rows, |_, _, _| true).0;
        }
        list.remains.retain(|_, rows| !rows.is_empty());
        let too_many = list.rows.tombstones().saturating_sub(policy.per_list_max);
        match &mut list.life {
            Life::Ended(_) => {
                purged.tombstones += drop_tombstones(&mut list.rows, |_, _, _| true).0;
            }
            Life::Live(head) => {
                let (dropped, newest) = drop_tombstones(&mut list.rows, |at, at_ms, _| {
                    at < too_many || now_ms.saturating_sub(at_ms) > policy.age_ms_max
                });
                purged.tombstones += dropped;
                if newest > head.floor {
                    head.floor = newest;
                    purged.lists += 1;
                }
            }
        }
        if purged.tombstones > 0 {
            self.tick += 1;
        }
        purged
    }
}

/// Drops the tombstones for which `goes` says so, given their place by version,
/// their age and their id; how many, and the newest version among them.
fn drop_tombstones(
    rows: &mut Arc<Rows>,
    goes: impl Fn(u64, i64, &ItemId) -> bool,
) -> (u64, Version) {
    let going: Vec<(ItemId, Version)> = (0..)
        .zip(rows.dead())
        .filter(|(at, (tombstone, at_ms))| goes(*at, *at_ms, &tombstone.id))
        .map(|(_, (tombstone, _))| (tombstone.id.clone(), tombstone.version))
        .collect();
    let newest = going.last().map_or(Version::ZERO, |(_, version)| *version);
    if !going.is_empty() {
        let rows = Arc::make_mut(rows);
        for (id, _) in &going {
            rows.set(id, None::<Element>);
        }
    }
    (going.len() as u64, newest)
}
