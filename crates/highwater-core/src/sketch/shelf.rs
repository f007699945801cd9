//! The sketches that a server keeps for a while: one encoding of a list serves
//! every device that asks for more of it.

use super::Encoding;
use crate::head::Head;
use highwater_protocol::message::SketchId;
use highwater_protocol::{ListKey, Version};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How old a sketch may be and be offered although the list has moved on, in
/// milliseconds: what changed since costs the device twice.
pub const FRESH_MS: i64 = 1_000;
/// How old a sketch may be and be offered if no newer one is to be had.
pub const OFFERED_MS: i64 = 30_000;
/// How long a sketch is kept after the list was last seen at its version, in
/// milliseconds.
pub const KEPT_MS: i64 = 60_000;
/// How long a salt serves, in milliseconds: then nothing new is made with it.
pub const SALTED_MS: i64 = 600_000;
/// Sketches of one list: a busy one does not push out the others.
pub const KEPT_OF_A_LIST: usize = 8;

/// A bounded number of sketches, newest last for each list.
#[derive(Debug)]
pub struct Shelf {
    lists: BTreeMap<ListKey, Vec<Kept>>,
    elements: u64,
    elements_max: u64,
}

#[derive(Debug)]
struct Kept {
    encoding: Arc<Encoding>,
    /// When the list was last seen at this version.
    current_at_ms: i64,
    /// When its salt was new.
    salted_at_ms: i64,
}

impl Kept {
    const fn is_younger_than(&self, age_ms: i64, now_ms: i64) -> bool {
        is_within(self.current_at_ms, age_ms, now_ms)
    }

    const fn is_salt_good(&self, now_ms: i64) -> bool {
        is_within(self.salted_at_ms, SALTED_MS, now_ms)
    }
}

/// Whether less than `age_ms` passed since. A clock that jumps back makes nothing
/// live for ever.
const fn is_within(since_ms: i64, age_ms: i64, now_ms: i64) -> bool {
    let age = now_ms.saturating_sub(since_ms);
    0 <= age && age < age_ms
}

impl Shelf {
    /// An empty shelf for sketches of `elements_max` elements together; one
    /// takes about 100 bytes.
    #[must_use]
    pub const fn new(elements_max: u64) -> Self {
        Self {
            lists: BTreeMap::new(),
            elements: 0,
            elements_max,
        }
    }

    /// The sketch to offer beside `head` to a device whose copy is of version
    /// `copy` without a look at the list: of the head's version, or a little
    /// older and not older than the copy.
    pub fn offer(
        &mut self,
        list: &ListKey,
        head: &Head,
        copy: Version,
        now_ms: i64,
    ) -> Option<Arc<Encoding>> {
        self.younger(FRESH_MS, list, head, now_ms)
            .filter(|encoding| encoding.point().version >= copy)
    }

    /// What to offer if nothing newer is to be had.
    pub fn offer_old(&mut self, list: &ListKey, head: &Head, now_ms: i64) -> Option<Arc<Encoding>> {
        self.younger(OFFERED_MS, list, head, now_ms)
    }

    fn younger(
        &mut self,
        age_ms: i64,
        list: &ListKey,
        head: &Head,
        now_ms: i64,
    ) -> Option<Arc<Encoding>> {
        self.expire(now_ms);
        let newest = self.lists.get_mut(list)?.last_mut()?;
        let point = newest.encoding.point();
        if point == head.point() && newest.is_salt_good(now_ms) {
            // As good as made now: who gets it has as long to ask for more.
            newest.current_at_ms = now_ms;
        }
        let fits = point.lineage == head.lineage && point.version <= head.version;
        let recent = newest.is_younger_than(age_ms, now_ms);
        (fits && recent).then(|| Arc::clone(&newest.encoding))
    }

    /// A sketch that is still kept.
    pub fn find(&mut self, list: &ListKey, id: &SketchId, now_ms: i64) -> Option<Arc<Encoding>> {
        self.expire(now_ms);
        let kept = self.lists.get(list)?;
        let found = kept.iter().find(|kept| kept.encoding.id() == *id)?;
        Some(Arc::clone(&found.encoding))
    }

    /// The newest sketch of a list, if a new one may be made from it, with the
    /// same salt.
    #[must_use]
    pub fn newest(&self, list: &ListKey, now_ms: i64) -> Option<Arc<Encoding>> {
        let newest = self.lists.get(list)?.last()?;
        newest
            .is_salt_good(now_ms)
            .then(|| Arc::clone(&newest.encoding))
    }

    /// Whether a list of so many elements fits beside those that are kept.
    pub fn has_room(&mut self, elements: u64, now_ms: i64) -> bool {
        self.expire(now_ms);
        self.elements.saturating_add(elements) <= self.elements_max
    }

    /// Keeps a sketch from now on, and for how long devices may ask for it.
    pub fn keep(&mut self, list: &ListKey, encoding: Arc<Encoding>, now_ms: i64) {
        let of_list = self.lists.entry(list.clone()).or_default();
        let salt = encoding.id().salt;
        let same = of_list.iter().find(|kept| kept.encoding.id().salt == salt);
        let salted_at_ms = same.map_or(now_ms, |kept| kept.salted_at_ms);
        if of_list.len() == KEPT_OF_A_LIST {
            self.elements -= of_list.remove(0).encoding.elements();
        }
        self.elements += encoding.elements();
        of_list.push(Kept {
            encoding,
            current_at_ms: now_ms,
            salted_at_ms,
        });
    }

    fn expire(&mut self, now_ms: i64) {
        let mut dropped = 0;
        self.lists.retain(|_, kept| {
            kept.retain(|kept| {
                let stays = kept.is_younger_than(KEPT_MS, now_ms);
                if !stays {
                    dropped += kept.encoding.elements();
                }
                stays
            });
            !kept.is_empty()
        });
        self.elements -= dropped;
    }
}
