//! The server's sketches: the shelf that the real server keeps, in virtual time
//! and with salts of the seed.

use crate::random::Random;
use highwater_core::Head;
use highwater_core::answer::Sketches;
use highwater_core::reads::Reads;
use highwater_core::sketch::{Encoding, Salt, Shelf};
use highwater_protocol::message::SketchId;
use highwater_protocol::{ListKey, Version};
use parking_lot::Mutex;
use std::sync::Arc;

/// A bounded shelf of sketches.
pub(crate) struct Offers {
    elements_max: u64,
    sketched_from: u64,
    miserly: bool,
    inner: Mutex<Inner>,
}

struct Inner {
    shelf: Shelf,
    random: Random,
    now_ms: i64,
    met: Vec<&'static str>,
}

impl Offers {
    /// Sketches of `elements_max` elements together, of lists of `sketched_from`
    /// elements and more.
    pub(crate) fn new(elements_max: u64, sketched_from: u64, mut random: Random) -> Self {
        Self {
            miserly: random.one_in(4),
            elements_max,
            sketched_from,
            inner: Mutex::new(Inner {
                shelf: Shelf::new(elements_max),
                random,
                now_ms: 0,
                met: Vec::new(),
            }),
        }
    }

    pub(crate) fn set_time(&self, now_ms: i64) {
        self.inner.lock().now_ms = now_ms;
    }

    pub(crate) fn forget(&self) {
        self.inner.lock().shelf = Shelf::new(self.elements_max);
    }

    /// What was met since it was last asked.
    pub(crate) fn met(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.inner.lock().met)
    }

    /// From now on there are sketches for all.
    pub(crate) const fn be_generous(&mut self) {
        self.miserly = false;
    }

    pub(crate) const fn sketched_from(&self) -> u64 {
        self.sketched_from
    }
}

impl Sketches for Offers {
    async fn offer<R: Reads>(
        &self,
        reads: &R,
        list: &ListKey,
        head: &Head,
        copy: Version,
    ) -> Result<Option<Arc<Encoding>>, R::Error> {
        let (salt, newest) = {
            let inner = &mut *self.inner.lock();
            if let Some(offered) = inner.shelf.offer(list, head, copy, inner.now_ms) {
                inner.met.push("sketch offered again");
                if offered.point() != head.point() {
                    inner.met.push("sketch older than the head");
                }
                return Ok(Some(offered));
            }
            if !inner.shelf.has_room(head.count, inner.now_ms) {
                inner.met.push("no room for a sketch");
                return Ok(inner.shelf.offer_old(list, head, inner.now_ms));
            }
            // As for a reader who has had many made.
            if self.miserly && inner.random.one_in(3) {
                let old = inner.shelf.offer_old(list, head, inner.now_ms);
                inner.met.push(match &old {
                    Some(_) => "an old sketch for want of a new one",
                    None => "no sketch for want of turns",
                });
                return Ok(old);
            }
            (
                Salt(inner.random.next()),
                inner.shelf.newest(list, inner.now_ms),
            )
        };
        let refreshed = match newest {
            Some(newest) => newest.refreshed(reads, list).await?,
            None => None,
        };
        let made = match refreshed {
            Some(refreshed) => {
                self.inner.lock().met.push("sketch follows its list");
                Some(refreshed)
            }
            None => Encoding::of(reads, list, salt).await?,
        };
        let made = made.map(Arc::new);
        if let Some(made) = &made {
            if made.digest() != head.digest {
                return Ok(None);
            }
            let inner = &mut *self.inner.lock();
            inner.shelf.keep(list, Arc::clone(made), inner.now_ms);
        }
        Ok(made)
    }

    fn is_worth_it(&self, head: &Head) -> bool {
        head.count >= self.sketched_from
    }

    fn find(&self, list: &ListKey, id: &SketchId) -> Option<Arc<Encoding>> {
        let inner = &mut *self.inner.lock();
        let found = inner.shelf.find(list, id, inner.now_ms);
        if found.is_none() {
            inner.met.push("sketch no longer kept");
        }
        found
    }
}
