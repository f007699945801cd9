//! Worlds that hold, worlds that are the same twice, and faults that are found.

#![expect(clippy::unwrap_used, reason = "tests")]

mod planted;
mod worlds;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A bug is planted in the whole process: meanwhile no other test runs.
static GROUND: RwLock<()> = RwLock::new(());

fn without_bugs() -> RwLockReadGuard<'static, ()> {
    GROUND.read().unwrap_or_else(PoisonError::into_inner)
}

fn with_bugs() -> RwLockWriteGuard<'static, ()> {
    GROUND.write().unwrap_or_else(PoisonError::into_inner)
}
