//! The sketches that repairs are answered from. Encoding costs a pass over the
//! list, so that it is made once for all who wait for it, and a few at a time.

use crate::clock::Clock;
use highwater_core::Head;
use highwater_core::answer::Sketches;
use highwater_core::reads::Reads;
use highwater_core::sketch::{Encoding, Salt, Shelf};
use highwater_protocol::ListKey;
use highwater_protocol::message::SketchId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Lists that are encoded at once.
const ENCODINGS_AT_ONCE: usize = 2;
/// Elements in all sketches that are kept: about 200 MB at the most.
const ELEMENTS_MAX: u64 = 2_000_000;

/// A bounded cache of sketches.
#[derive(Debug)]
pub(crate) struct SketchCache {
    clock: Clock,
    shelf: Mutex<Shelf>,
    /// Lists that are being encoded: whoever holds the lock encodes, the others
    /// wait for what comes of it.
    encoding: Mutex<HashMap<ListKey, Arc<tokio::sync::Mutex<()>>>>,
    turns: Semaphore,
}

impl SketchCache {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            shelf: Mutex::new(Shelf::new(ELEMENTS_MAX)),
            encoding: Mutex::default(),
            turns: Semaphore::new(ENCODINGS_AT_ONCE),
        }
    }

    fn offered(&self, list: &ListKey, head: &Head) -> Option<Arc<Encoding>> {
        self.shelf.lock().offer(list, head, self.clock.now_ms())
    }

    async fn encode<R: Reads>(
        &self,
        reads: &R,
        list: &ListKey,
        head: &Head,
    ) -> Result<Option<Arc<Encoding>>, R::Error> {
        // Someone else may have encoded it meanwhile.
        if let Some(offered) = self.offered(list, head) {
            return Ok(Some(offered));
        }
        if !self.shelf.lock().has_room(head.count, self.clock.now_ms()) {
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
            let now_ms = self.clock.now_ms();
            self.shelf.lock().keep(list, Arc::clone(made), now_ms);
        }
        Ok(made)
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
        let flight = Arc::clone(self.encoding.lock().entry(list.clone()).or_default());
        let made = {
            let _mine = flight.lock().await;
            self.encode(reads, list, head).await
        };
        let mut encoding = self.encoding.lock();
        if Arc::strong_count(&flight) <= 2 {
            encoding.remove(list);
        }
        made
    }

    fn find(&self, list: &ListKey, id: &SketchId) -> Option<Arc<Encoding>> {
        self.shelf.lock().find(list, id, self.clock.now_ms())
    }
}
