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
/// How long a sketch is kept after it was made, in milliseconds.
pub const KEPT_MS: i64 = 60_000;

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
    made_at_ms: i64,
}

impl Kept {
    /// Whether it is younger than `age_ms`. A clock that jumps back makes
    /// nothing live for ever.
    const fn is_younger_than(&self, age_ms: i64, now_ms: i64) -> bool {
        let age = now_ms.saturating_sub(self.made_at_ms);
        0 <= age && age < age_ms
    }
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
        let newest = self.lists.get(list)?.last()?;
        let point = newest.encoding.point();
        let fits = point.lineage == head.lineage && point.version <= head.version;
        let recent = newest.is_younger_than(age_ms, now_ms);
        (point == head.point() || (fits && recent)).then(|| Arc::clone(&newest.encoding))
    }

    /// A sketch that is still kept.
    pub fn find(&mut self, list: &ListKey, id: &SketchId, now_ms: i64) -> Option<Arc<Encoding>> {
        self.expire(now_ms);
        let kept = self.lists.get(list)?;
        let found = kept.iter().find(|kept| kept.encoding.id() == *id)?;
        Some(Arc::clone(&found.encoding))
    }

    /// The newest sketch of a list, however old: what a new one may be made
    /// from.
    #[must_use]
    pub fn newest(&self, list: &ListKey) -> Option<Arc<Encoding>> {
        let newest = self.lists.get(list)?.last()?;
        Some(Arc::clone(&newest.encoding))
    }

    /// Whether a list of so many elements fits beside those that are kept.
    pub fn has_room(&mut self, elements: u64, now_ms: i64) -> bool {
        self.expire(now_ms);
        self.elements.saturating_add(elements) <= self.elements_max
    }

    /// Keeps a sketch from now on, and for how long devices may ask for it.
    pub fn keep(&mut self, list: &ListKey, encoding: Arc<Encoding>, now_ms: i64) {
        self.elements += encoding.elements();
        self.lists.entry(list.clone()).or_default().push(Kept {
            encoding,
            made_at_ms: now_ms,
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
