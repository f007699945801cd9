//! A server that is wrong about a list, as after a fault of its own.

use highwater_core::reads::{Change, Item, ListState, Page, PageLimit, Payloads, Reads, ScanRows};
use highwater_protocol::{Digest, ItemId, Lineage, ListKey, OrderKey, Stamp, Version};
use std::collections::BTreeMap;
use std::future::Future;

/// In what the head of a list is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Its digest is not that of its rows.
    Digest,
    /// It is of another lineage than it was; the world changes it with each
    /// answer.
    Lineage(Lineage),
}

/// The lists about which the server is wrong.
pub(crate) type Lies = BTreeMap<ListKey, Lie>;

/// A wrong digest in place of the right one.
pub(crate) const fn wrong(digest: Digest) -> Digest {
    digest.plus(Stamp([0x11; 16]))
}

/// A snapshot with wrong heads.
pub(super) struct Lying<'a, R> {
    reads: &'a R,
    lies: &'a Lies,
}

impl<'a, R> Lying<'a, R> {
    pub(super) const fn new(reads: &'a R, lies: &'a Lies) -> Self {
        Self { reads, lies }
    }
}

impl<R: Reads> Reads for Lying<'_, R> {
    type Error = R::Error;

    async fn state(&self, list: &ListKey) -> Result<ListState, R::Error> {
        let state = self.reads.state(list).await?;
        let ListState::Live(mut head) = state else {
            return Ok(state);
        };
        match self.lies.get(list) {
            None => {}
            Some(Lie::Digest) => head.digest = wrong(head.digest),
            Some(Lie::Lineage(lineage)) => head.lineage = *lineage,
        }
        Ok(ListState::Live(head))
    }

    fn changes(
        &self,
        list: &ListKey,
        after: Version,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page<Change>, R::Error>> + Send {
        self.reads.changes(list, after, limit)
    }

    fn scan(
        &self,
        list: &ListKey,
        at_most: Version,
        after: Option<&OrderKey>,
        payloads: Payloads,
        limit: PageLimit,
    ) -> impl Future<Output = Result<ScanRows, R::Error>> + Send {
        self.reads.scan(list, at_most, after, payloads, limit)
    }

    fn items(
        &self,
        list: &ListKey,
        ids: &[ItemId],
    ) -> impl Future<Output = Result<Vec<Item>, R::Error>> + Send {
        self.reads.items(list, ids)
    }
}
