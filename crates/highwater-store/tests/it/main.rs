//! The twin passes the suite that it is the measure of.

use highwater_store::conformance::conformance_tests;
use highwater_store::memory::MemoryStore;

mod memory;

fn on_memory<F: Future<Output = ()>>(test: impl FnOnce(MemoryStore) -> F) {
    futures::executor::block_on(test(MemoryStore::new([7; 16])));
}

conformance_tests!(on_memory);
