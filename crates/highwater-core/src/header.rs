//! What is left of a list for a reader who may read its header and not its items.

use crate::head::Head;
use crate::reads::{Change, Item, ListState, Page, PageLimit, Payloads, Reads, ScanRows};
use highwater_protocol::{Digest, ItemId, ListKey, OrderKey, Version};

/// A view of every list in which its header is its only element.
///
/// The head of the view counts and sums the header alone, so that a device heals
/// by the ordinary ladder when its right changes, in either direction. It has the
/// list's own lineage and version: what a reader may read follows from what the
/// list is at a version, so no version ever has two digests for one reader.
#[derive(Debug)]
pub struct HeaderOnly<'a, R>(&'a R);

impl<'a, R: Reads> HeaderOnly<'a, R> {
    /// The view of `reads`.
    #[must_use]
    pub const fn new(reads: &'a R) -> Self {
        Self(reads)
    }

    async fn header(&self, list: &ListKey) -> Result<Option<Item>, R::Error> {
        let found = self.0.items(list, &[ItemId::header()]).await?;
        Ok(found.into_iter().next())
    }
}

impl<R: Reads> Reads for HeaderOnly<'_, R> {
    type Error = R::Error;

    async fn state(&self, list: &ListKey) -> Result<ListState, R::Error> {
        let ListState::Live(head) = self.0.state(list).await? else {
            return self.0.state(list).await;
        };
        let header = self.header(list).await?;
        let nothing = Digest::ZERO;
        Ok(ListState::Live(Head {
            // No tombstone is ever shown, so none is ever missed.
            floor: Version::ZERO,
            count: u64::from(header.is_some()),
            digest: header.map_or(nothing, |header| nothing.plus(header.stamp)),
            ..head
        }))
    }

    async fn changes(
        &self,
        list: &ListKey,
        after: Version,
        _limit: PageLimit,
    ) -> Result<Page<Change>, R::Error> {
        let header = self.header(list).await?;
        let changed = header.filter(|header| header.version > after);
        Ok(Page {
            rows: changed.into_iter().map(Change::Put).collect(),
            more: false,
        })
    }

    async fn scan(
        &self,
        list: &ListKey,
        at_most: Version,
        after: Option<&OrderKey>,
        payloads: Payloads,
        _limit: PageLimit,
    ) -> Result<ScanRows, R::Error> {
        // The header stands first: nothing follows any place in the order.
        let header = match after {
            None => self.header(list).await?,
            Some(_) => None,
        };
        let mut header = header.filter(|header| header.version <= at_most);
        if let Some(header) = &mut header
            && payloads == Payloads::First(0)
        {
            header.payload.clear();
        }
        Ok(ScanRows {
            rows: header.into_iter().collect(),
            next: None,
        })
    }

    async fn items(&self, list: &ListKey, ids: &[ItemId]) -> Result<Vec<Item>, R::Error> {
        match ids.iter().any(ItemId::is_header) {
            true => self.0.items(list, &[ItemId::header()]).await,
            false => Ok(Vec::new()),
        }
    }
}
