//! The sketches that repairs are answered from: one encoding of a list serves
//! every device, for as long as one may still ask for more of it.
//!
//! Encoding costs a pass over the list, so that it is made once for all who
//! wait for it, a few at a time, and an older one is offered where it will do:
//! the delta from its version brings the rest.

use crate::clock::Clock;
use highwater_core::Head;
use highwater_core::answer::Sketches;
use highwater_core::reads::Reads;
use highwater_core::sketch::{Encoding, Salt};
use highwater_protocol::ListKey;
use highwater_protocol::message::SketchId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How old a sketch may be and still be offered, in milliseconds.
const OFFERED_MS: i64 = 30_000;
/// How long a sketch is kept after it was made, in milliseconds.
const KEPT_MS: i64 = 60_000;
/// Lists that are encoded at once.
const ENCODINGS_AT_ONCE: usize = 2;
/// Elements in all sketches that are kept; one takes about 100 bytes.
const ELEMENTS_MAX: u64 = 2_000_000;

/// A bounded cache of sketches.
#[derive(Debug)]
pub(crate) struct SketchCache {
    clock: Clock,
    kept: Mutex<Kept>,
    turns: Semaphore,
}

#[derive(Debug, Default)]
struct Kept {
    lists: HashMap<ListKey, Slot>,
    elements: u64,
}

/// The sketches of one list, newest last.
#[derive(Debug, Default)]
struct Slot {
    made: Vec<Made>,
    /// Whoever holds it encodes; the others wait for what comes of it.
    encoding: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Debug)]
struct Made {
    encoding: Arc<Encoding>,
    at_ms: i64,
}

impl Kept {
    /// Forgets what is too old.
    fn expire(&mut self, now_ms: i64) {
        let mut dropped = 0;
        for slot in self.lists.values_mut() {
            slot.made.retain(|made| {
                // A clock that jumps back makes nothing live for ever.
                let age_ms = now_ms.saturating_sub(made.at_ms);
                let stays = (0..KEPT_MS).contains(&age_ms);
                dropped += if stays { 0 } else { made.encoding.elements() };
                stays
            });
        }
        self.elements -= dropped;
        self.lists.retain(|_, slot| !slot.made.is_empty() || Arc::strong_count(&slot.encoding) > 1);
    }

    /// The newest sketch of a list that may be offered beside `head`.
    fn offer(&self, list: &ListKey, head: &Head, now_ms: i64) -> Option<Arc<Encoding>> {
        let newest = self.lists.get(list)?.made.last()?;
        let point = newest.encoding.point();
        let current = point == head.point();
        let recent = (0..OFFERED_MS).contains(&now_ms.saturating_sub(newest.at_ms));
        let offered = point.lineage == head.lineage && point.version <= head.version;
        (current || (recent && offered)).then(|| Arc::clone(&newest.encoding))
    }
}

impl SketchCache {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            kept: Mutex::new(Kept::default()),
            turns: Semaphore::new(ENCODINGS_AT_ONCE),
        }
    }

    fn offered(&self, list: &ListKey, head: &Head) -> Option<Arc<Encoding>> {
        let now_ms = self.clock.now_ms();
        let mut kept = self.kept.lock();
        kept.expire(now_ms);
        kept.offer(list, head, now_ms)
    }

    fn keep(&self, list: &ListKey, encoding: &Arc<Encoding>) {
        let at_ms = self.clock.now_ms();
        let mut kept = self.kept.lock();
        kept.elements += encoding.elements();
        let made = Made { encoding: Arc::clone(encoding), at_ms };
        kept.lists.entry(list.clone()).or_default().made.push(made);
    }

    fn has_room(&self, head: &Head) -> bool {
        self.kept.lock().elements.saturating_add(head.count) <= ELEMENTS_MAX
    }
}

impl Sketches for SketchCache {
    async fn offer<R: Reads>(
        &self,
        reads: &R,
        list: &ListKey,
        head: &Head,
    ) -> Result<Option<Arc<Encoding>>, R::Error> {
        if let Some(offered) = self.offered(list, head) {
            return Ok(Some(offered));
        }
        let encoding = {
            let mut kept = self.kept.lock();
            Arc::clone(&kept.lists.entry(list.clone()).or_default().encoding)
        };
        let _mine = encoding.lock().await;
        // Someone else may have encoded it meanwhile.
        if let Some(offered) = self.offered(list, head) {
            return Ok(Some(offered));
        }
        if !self.has_room(head) {
            return Ok(None);
        }
        let Ok(_turn) = self.turns.acquire().await else {
            return Ok(None);
        };
        let mut salt = [0; 16];
        if getrandom::fill(&mut salt).is_err() {
            return Ok(None);
        }
        let made = Encoding::of(reads, list, Salt(salt)).await?.map(Arc::new);
        if let Some(made) = &made {
            if made.digest() != head.digest {
                tracing::error!(%list, head = %head.digest, rows = %made.digest(), "a head disagrees with its rows");
                return Ok(None);
            }
            self.keep(list, made);
        }
        Ok(made)
    }

    fn find(&self, list: &ListKey, id: &SketchId) -> Option<Arc<Encoding>> {
        let now_ms = self.clock.now_ms();
        let mut kept = self.kept.lock();
        kept.expire(now_ms);
        let slot = kept.lists.get(list)?;
        slot.made.iter().find(|made| made.encoding.id() == *id).map(|made| Arc::clone(&made.encoding))
    }
}
