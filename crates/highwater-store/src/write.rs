//! Writes: what a transaction may do, and how it ends.

use crate::store::{JobId, StoreError, Tick};
use bytes::Bytes;
use highwater_core::reads::{Item, ListState};
use highwater_core::{Effect, Head};
use highwater_protocol::{ItemId, Lineage, ListKey, OrderKey, Rank};
use std::future::Future;

/// A transaction's work, as a value: which lists it touches, and what it does.
///
/// The lists are declared up front so that a store can lock them in one order.
/// `run` may be called again if a store has to retry; it must not depend on
/// anything but the transaction.
pub trait Write: Send + Sync + 'static {
    /// What a committed write answers.
    type Output: Send + 'static;
    /// Why the rules refuse it.
    type Refusal: Send + 'static;

    /// Every list that `run` reads or writes.
    fn lists(&self) -> Vec<ListKey>;

    /// Does the work. An error undoes all of it.
    fn run<T: WriteTxn>(
        &self,
        txn: &mut T,
    ) -> impl Future<Output = Result<Self::Output, Abort<Self::Refusal>>> + Send;
}

/// Why a transaction's work did not get done.
#[derive(Debug)]
pub enum Abort<R> {
    /// The rules forbid it.
    Refused(R),
    /// The store could not do it.
    Store(StoreError),
}

impl<R> From<StoreError> for Abort<R> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A write that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed<T> {
    /// What the work answered.
    pub output: T,
    /// The new states of the lists that changed.
    pub states: Vec<(ListKey, ListState)>,
    /// The store's tick after the commit.
    pub tick: Tick,
}

/// How a write failed. Whether it happened is never left open silently.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<R> {
    /// The rules forbid it; nothing happened.
    #[error("the write was refused")]
    Refused(R),
    /// The store could not do it; nothing happened.
    #[error("the write did not happen: {0}")]
    NotCommitted(#[source] StoreError),
    /// The commit was begun and its end is not known.
    #[error("the write may have happened: {0}")]
    Unknown(#[source] StoreError),
}

/// What a transaction may do. Reads see the transaction's own writes.
///
/// The cost of each call but [`recount`](Self::recount) is O(log n) in the length
/// of the list.
///
/// # Panics
/// Every call panics if its list was not declared: that is a fault of the
/// caller, contained to the one write.
pub trait WriteTxn: Send {
    /// Whether a list is there, and its head.
    fn state(
        &mut self,
        list: &ListKey,
    ) -> impl Future<Output = Result<ListState, StoreError>> + Send;

    /// An element, if it is there.
    fn item(
        &mut self,
        list: &ListKey,
        id: &ItemId,
    ) -> impl Future<Output = Result<Option<Item>, StoreError>> + Send;

    /// The next `limit` elements of a live list, in its order.
    fn scan(
        &mut self,
        list: &ListKey,
        after: Option<&OrderKey>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Item>, StoreError>> + Send;

    /// Creates or changes an element, and the list with it if it is not live.
    /// An element that is created while its tombstone exists inherits that
    /// tombstone's `created`. Without a difference in content nothing is
    /// written and no version taken.
    fn put(
        &mut self,
        list: &ListKey,
        id: &ItemId,
        rank: Rank,
        payload: Bytes,
    ) -> impl Future<Output = Result<Effect, StoreError>> + Send;

    /// Deletes an element, leaving a tombstone. One that is not there is left
    /// alone.
    fn delete(
        &mut self,
        list: &ListKey,
        id: &ItemId,
    ) -> impl Future<Output = Result<Effect, StoreError>> + Send;

    /// Ends a live list, in O(1): no reader finds it any more, and created
    /// again it has another lineage. Its elements stay behind as `remains`
    /// until they are discarded. Returns the lineage that ended; `None` if the
    /// list was not live.
    fn end(
        &mut self,
        list: &ListKey,
    ) -> impl Future<Output = Result<Option<Lineage>, StoreError>> + Send;

    /// Elements that an ended list left behind, at most `limit`, in any order.
    fn remains(
        &mut self,
        list: &ListKey,
        ended: Lineage,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Item>, StoreError>> + Send;

    /// Forgets elements that an ended list left behind; with the last of them,
    /// its tombstones too (in at most one further call for each 1,000).
    fn discard(
        &mut self,
        list: &ListKey,
        ended: Lineage,
        ids: &[ItemId],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Holds a live list's head against its elements: counts and sums them, and
    /// corrects the head if it says otherwise. A head that is corrected takes a
    /// new version, so that no version ever had two digests. Returns the head as
    /// it was, if it was wrong.
    ///
    /// Costs O(n) in the length of the list, unlike the other calls: it is for
    /// lists of which an audit has found that they are wrong.
    fn recount(
        &mut self,
        list: &ListKey,
    ) -> impl Future<Output = Result<Option<Head>, StoreError>> + Send;

    /// Queues work that survives a crash from this commit on.
    fn enqueue(&mut self, payload: Bytes)
    -> impl Future<Output = Result<JobId, StoreError>> + Send;

    /// Takes a job off the queue. One that is not there is left alone.
    fn complete(&mut self, job: JobId) -> impl Future<Output = Result<(), StoreError>> + Send;
}
