//! One file a verb: what it takes, and what it does.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod restore;
pub(crate) mod serve;
pub(crate) mod sim;
pub(crate) mod token;

use anyhow::{Context as _, Result};

/// The runtime that a server or a client runs on.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}
