//! What an answer needs to read: a store's snapshot, as a trait.

use bytes::Bytes;
use highwater_protocol::{ItemId, Lineage, ListKey, OrderKey, Rank, Stamp, Version};
use std::future::Future;

use crate::head::Head;

/// An element as the server keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Empty for the header.
    pub id: ItemId,
    /// The element's place; empty for the header.
    pub rank: Rank,
    /// Opaque to the sync layer.
    pub payload: Bytes,
    /// The list's version at the element's last change.
    pub version: Version,
    /// The version at which the element appeared; inherited from its tombstone
    /// if it was re-created while that existed.
    pub created: Version,
    /// What the content hashes to.
    pub stamp: Stamp,
}

/// What is left of a deleted element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Which element.
    pub id: ItemId,
    /// The list's version at the deletion.
    pub version: Version,
    /// The `created` of the deleted element.
    pub created: Version,
}

/// One entry of a list's history: the newest of its element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The element is new or changed.
    Put(Item),
    /// The element is gone.
    Deleted(Tombstone),
}

impl Change {
    /// The list's version at this change.
    #[must_use]
    pub const fn version(&self) -> Version {
        match self {
            Self::Put(item) => item.version,
            Self::Deleted(tombstone) => tombstone.version,
        }
    }
}

/// How much one read may return. It always returns at least one row, if there
/// is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// Rows at most.
    pub rows: usize,
    /// Bytes of id, rank and payload (16 for a payload that is left out) after
    /// which the page ends.
    pub bytes: usize,
}

/// Part of a longer result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// In the order of the read.
    pub rows: Vec<T>,
    /// More rows follow.
    pub more: bool,
}

/// A page of a list in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRows {
    /// The elements that qualify.
    pub rows: Vec<Item>,
    /// The last place looked at; `None`: the list ends here.
    pub next: Option<OrderKey>,
}

/// Whether a list is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListState {
    /// It is.
    Live(Head),
    /// It was deleted. Created again, it will be of another lineage.
    Ended(Lineage),
    /// It never was. Created, it will be of this lineage.
    Absent(Lineage),
}

/// Which rows of a scan come with their payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payloads {
    /// All.
    All,
    /// So many of the first; the rest have an empty one.
    First(usize),
}

/// A consistent view of a store: every read of one value sees the same commit.
pub trait Reads: Send + Sync {
    /// Why the store could not read.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Whether a list is there, and its head.
    fn state(&self, list: &ListKey) -> impl Future<Output = Result<ListState, Self::Error>> + Send;

    /// The changes after `after`, elements and tombstones together, by rising
    /// version. A list that is not live has none.
    fn changes(
        &self,
        list: &ListKey,
        after: Version,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page<Change>, Self::Error>> + Send;

    /// The elements after `after` in the list's order whose version is at most
    /// `at_most`. Elements that are passed over for their version count towards
    /// `limit.rows` too, so a page may be empty and not be the last.
    fn scan(
        &self,
        list: &ListKey,
        at_most: Version,
        after: Option<&OrderKey>,
        payloads: Payloads,
        limit: PageLimit,
    ) -> impl Future<Output = Result<ScanRows, Self::Error>> + Send;

    /// The elements with these ids that exist, in any order.
    fn items(
        &self,
        list: &ListKey,
        ids: &[ItemId],
    ) -> impl Future<Output = Result<Vec<Item>, Self::Error>> + Send;
}
