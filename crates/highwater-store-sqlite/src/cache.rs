//! The heads of lists in memory, all of one commit.
//!
//! Whoever reads several heads here reads them of the same commit, for they are
//! swapped under one lock. A head that was read from the database is let in only
//! if it is of that commit too. When the cache is full, the place of a head that
//! was not asked for lately is taken (the clock algorithm).

use crate::entry::Entry;
use highwater_protocol::ListKey;
use highwater_store::Tick;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

pub(crate) struct HeadCache {
    capacity: usize,
    hits: AtomicU64,
    misses: AtomicU64,
    held: RwLock<Held>,
}

struct Held {
    tick: Tick,
    places: HashMap<ListKey, usize>,
    slots: Vec<Slot>,
    /// Where the search for a slot to give up goes on.
    hand: usize,
}

struct Slot {
    list: ListKey,
    entry: Entry,
    used: AtomicBool,
}

/// How often heads were found in memory, and how many are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheCounts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) heads: usize,
}

impl HeadCache {
    /// A cache that holds nothing if `capacity` is 0.
    pub(crate) fn new(capacity: usize, tick: Tick) -> Self {
        Self {
            capacity,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            held: RwLock::new(Held {
                tick,
                places: HashMap::new(),
                slots: Vec::new(),
                hand: 0,
            }),
        }
    }

    /// What is asked of every list, if all are held.
    pub(crate) fn all<T>(&self, lists: &[ListKey], get: impl Fn(&Entry) -> T) -> Option<Vec<T>> {
        let held = self.held.read();
        let found: Option<Vec<T>> = lists.iter().map(|list| held.get(list).map(&get)).collect();
        match &found {
            Some(_) => self.hits.fetch_add(lists.len() as u64, Relaxed),
            None => self.misses.fetch_add(1, Relaxed),
        };
        found
    }

    /// Those of `lists` that are held, if they are of the commit `tick`.
    pub(crate) fn some_of(&self, lists: &[ListKey], tick: Tick) -> Vec<(ListKey, Entry)> {
        let held = self.held.read();
        if held.tick != tick {
            return Vec::new();
        }
        lists
            .iter()
            .filter_map(|list| Some((list.clone(), *held.get(list)?)))
            .collect()
    }

    /// The writer's view: it alone commits, so what is held is what is stored.
    pub(crate) fn newest(&self, list: &ListKey) -> Option<Entry> {
        self.held.read().get(list).copied()
    }

    /// Lets in what a snapshot of the commit `tick` read.
    pub(crate) fn offer(&self, tick: Tick, list: &ListKey, entry: Entry) {
        // Seldom needed, and never worth waiting for.
        if let Some(mut held) = self.held.try_write()
            && held.tick == tick
        {
            held.insert(self.capacity, list, entry);
        }
    }

    /// Takes the heads that the commit `tick` changed.
    pub(crate) fn commit<'a>(
        &self,
        tick: Tick,
        changed: impl Iterator<Item = (&'a ListKey, &'a Entry)>,
    ) {
        let mut held = self.held.write();
        held.tick = tick;
        for (list, entry) in changed {
            held.insert(self.capacity, list, *entry);
        }
    }

    /// Forgets everything: the database stands at `tick`, however it got there.
    pub(crate) fn reset(&self, tick: Tick) {
        let mut held = self.held.write();
        held.tick = tick;
        held.places.clear();
        held.slots.clear();
        held.hand = 0;
    }

    pub(crate) fn counts(&self) -> CacheCounts {
        CacheCounts {
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            heads: self.held.read().slots.len(),
        }
    }
}

impl Held {
    fn get(&self, list: &ListKey) -> Option<&Entry> {
        let slot = &self.slots[*self.places.get(list)?];
        slot.used.store(true, Relaxed);
        Some(&slot.entry)
    }

    fn insert(&mut self, capacity: usize, list: &ListKey, entry: Entry) {
        if let Some(place) = self.places.get(list) {
            self.slots[*place].entry = entry;
            return;
        }
        let slot = Slot {
            list: list.clone(),
            entry,
            used: AtomicBool::new(false),
        };
        if self.slots.len() < capacity {
            self.places.insert(list.clone(), self.slots.len());
            self.slots.push(slot);
        } else if capacity > 0 {
            let place = self.give_up();
            self.places.remove(&self.slots[place].list);
            self.places.insert(list.clone(), place);
            self.slots[place] = slot;
        }
    }

    /// The next slot that was not used since the hand came by last.
    fn give_up(&mut self) -> usize {
        loop {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            if !self.slots[place].used.swap(false, Relaxed) {
                return place;
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use highwater_core::Head;
    use highwater_protocol::Lineage;

    fn list(at: u64) -> ListKey {
        ListKey::new("members", &format!("g{at}")).unwrap()
    }

    fn entry(n: i64) -> Entry {
        Entry {
            n,
            epoch: 0,
            ended: false,
            head: Head::empty(Lineage::new(1).unwrap()),
            tombstones: 0,
        }
    }

    fn numbers(cache: &HeadCache, lists: &[ListKey]) -> Option<Vec<i64>> {
        cache.all(lists, |entry| entry.n)
    }

    #[test]
    fn heads_of_another_commit_are_not_let_in_nor_given_out() {
        let cache = HeadCache::new(10, Tick(5));
        cache.offer(Tick(4), &list(1), entry(1));
        assert_eq!(numbers(&cache, &[list(1)]), None);
        cache.offer(Tick(5), &list(1), entry(1));
        cache.offer(Tick(5), &list(2), entry(2));
        assert_eq!(numbers(&cache, &[list(2), list(1)]), Some(vec![2, 1]));
        cache.commit(Tick(6), [(&list(1), &entry(7))].into_iter());
        assert_eq!(numbers(&cache, &[list(2), list(1)]), Some(vec![2, 7]));
        assert_eq!(cache.some_of(&[list(1)], Tick(5)), []);
        assert_eq!(
            cache.some_of(&[list(1), list(3)], Tick(6)),
            [(list(1), entry(7))]
        );
        cache.reset(Tick(9));
        assert_eq!(numbers(&cache, &[list(1)]), None);
        assert_eq!(cache.counts().heads, 0);
    }

    #[test]
    fn a_full_cache_gives_up_what_is_not_asked_for() {
        let cache = HeadCache::new(4, Tick(1));
        for at in 0..4 {
            cache.offer(Tick(1), &list(at), entry(1));
        }
        for round in 4..50 {
            assert!(numbers(&cache, &[list(0)]).is_some(), "{round}");
            cache.offer(Tick(1), &list(round), entry(1));
            assert_eq!(cache.counts().heads, 4);
        }
        assert_eq!(numbers(&cache, &[list(4)]), None);
    }

    #[test]
    fn a_cache_of_nothing_holds_nothing() {
        let cache = HeadCache::new(0, Tick(1));
        cache.offer(Tick(1), &list(1), entry(1));
        cache.commit(Tick(2), [(&list(1), &entry(7))].into_iter());
        assert_eq!(numbers(&cache, &[list(1)]), None);
        assert_eq!(numbers(&cache, &[]), Some(vec![]));
    }
}
