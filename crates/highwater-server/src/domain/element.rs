//! Elements of lists within a transaction, by what their payload means.

use bytes::Bytes;
use highwater_core::Effect;
use highwater_core::reads::{Item, ListState};
use highwater_protocol::kinds::Payload;
use highwater_protocol::{ItemId, ListKey, Rank};
use highwater_store::{StoreError, WriteTxn};

/// What an item says.
///
/// # Errors
/// Bytes that are no such payload.
pub(super) fn decoded<P: Payload>(list: &ListKey, item: &Item) -> Result<P, StoreError> {
    P::decode(&item.payload).map_err(|no| {
        StoreError::Corrupt(format!(
            "item {:?} of {list} cannot be read: {no}",
            item.id.as_str()
        ))
    })
}

/// An element of a live list, and what it says.
pub(super) async fn found<P: Payload, T: WriteTxn>(
    txn: &mut T,
    list: &ListKey,
    id: &ItemId,
) -> Result<Option<P>, StoreError> {
    let item = txn.item(list, id).await?;
    item.map(|item| decoded(list, &item)).transpose()
}

/// Whether a live list has an element.
pub(super) async fn has<T: WriteTxn>(
    txn: &mut T,
    list: &ListKey,
    id: &ItemId,
) -> Result<bool, StoreError> {
    Ok(txn.item(list, id).await?.is_some())
}

/// Creates or changes an element.
pub(super) async fn put<P: Payload, T: WriteTxn>(
    txn: &mut T,
    list: &ListKey,
    id: &ItemId,
    rank: Rank,
    payload: &P,
) -> Result<(), StoreError> {
    txn.put(list, id, rank, Bytes::from(payload.encode()))
        .await?;
    Ok(())
}

/// Changes what an element says, if it is there, and leaves it in its place.
pub(super) async fn revise<P: Payload, T: WriteTxn>(
    txn: &mut T,
    list: &ListKey,
    id: &ItemId,
    change: impl FnOnce(&mut P) + Send,
) -> Result<(), StoreError> {
    if let Some(item) = txn.item(list, id).await? {
        let mut payload: P = decoded(list, &item)?;
        change(&mut payload);
        put(txn, list, id, item.rank, &payload).await?;
    }
    Ok(())
}

/// Deletes an element; whether it was there.
pub(super) async fn delete<T: WriteTxn>(
    txn: &mut T,
    list: &ListKey,
    id: &ItemId,
) -> Result<bool, StoreError> {
    Ok(txn.delete(list, id).await? != Effect::Unchanged)
}

/// Whether a list has no element, or is not there.
pub(super) async fn is_empty<T: WriteTxn>(txn: &mut T, list: &ListKey) -> Result<bool, StoreError> {
    Ok(match txn.state(list).await? {
        ListState::Live(head) => head.count == 0,
        ListState::Ended(_) | ListState::Absent(_) => true,
    })
}
