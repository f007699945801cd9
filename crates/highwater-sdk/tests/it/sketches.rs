//! The test server's sketches: kept for as long as it lives.

use highwater_core::Head;
use highwater_core::answer::Sketches;
use highwater_core::reads::Reads;
use highwater_core::sketch::{Encoding, Salt, Shelf};
use highwater_protocol::message::SketchId;
use highwater_protocol::{ListKey, Version};
use std::sync::{Arc, Mutex};

const NOW_MS: i64 = 0;

pub(crate) struct TestSketches(Mutex<Shelf>);

impl TestSketches {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Shelf::new(10_000_000)))
    }
}

impl Sketches for TestSketches {
    async fn offer<R: Reads>(
        &self,
        reads: &R,
        list: &ListKey,
        head: &Head,
        _copy: Version,
    ) -> Result<Option<Arc<Encoding>>, R::Error> {
        let kept = self.0.lock().unwrap().newest(list, NOW_MS);
        if let Some(kept) = kept.filter(|kept| kept.point() == head.point()) {
            return Ok(Some(kept));
        }
        let made = Encoding::of(reads, list, Salt(7)).await?.map(Arc::new);
        if let Some(made) = &made {
            let mut shelf = self.0.lock().unwrap();
            shelf.keep(list, Arc::clone(made), NOW_MS);
        }
        Ok(made)
    }

    fn find(&self, list: &ListKey, id: &SketchId) -> Option<Arc<Encoding>> {
        self.0.lock().unwrap().find(list, id, NOW_MS)
    }
}
