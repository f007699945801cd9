//! What a sync did.

use highwater_core::replica::Receipt;
use highwater_protocol::{ListKey, Refusal};
use std::path::PathBuf;

/// Receipts that one report holds at most.
pub(crate) const RECEIPTS_MAX: usize = 100;

/// What a sync did, and how the lists stand after it.
///
/// The counts are of everything that the client did between the call and its
/// end, also for other callers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncReport {
    /// Lists that were asked about.
    pub lists: usize,
    /// Those of them that were proved equal to the server's.
    pub in_sync: usize,
    /// Requests that were sent.
    pub requests: u64,
    /// Changed rows and deletions that came as changes.
    pub changes: u64,
    /// Rows that came by reading a list in its order.
    pub scanned: u64,
    /// How often a list was begun to be read from its start.
    pub scans: u64,
    /// The most versions that one list was behind and caught up with by its
    /// changes.
    pub largest_gap: u64,
    /// Lists that were found wrong and mended, or given up.
    pub repairs: u64,
    /// What those repairs did, the last 100 of them.
    pub receipts: Vec<Receipt>,
    /// Where the device's database was moved to because it was damaged; a fresh
    /// one took its place. Told once, in the first report after that.
    pub replaced: Option<PathBuf>,
    /// Lists that differ from the server's and could not be mended.
    pub quarantined: Vec<ListKey>,
    /// Lists of which the server has nothing for this user.
    pub gone: Vec<ListKey>,
    /// Lists about which the server refused to answer, or answered nonsense.
    pub refused: Vec<(ListKey, Refusal)>,
}

impl SyncReport {
    /// Whether every list that is there for this user is proved equal to the
    /// server's.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.quarantined.is_empty() && self.refused.is_empty()
    }
}
