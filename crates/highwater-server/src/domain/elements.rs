//! Elements within a transaction as what they mean, and users by their profile.

use super::UserId;
use super::group::Stop;
use bytes::Bytes;
use highwater_core::Effect;
use highwater_core::reads::Item;
use highwater_protocol::kinds::{Payload, UserProfile};
use highwater_protocol::{Code, ItemId, ListKey, Rank, Refusal};
use highwater_store::{Abort, StoreError, WriteTxn};

/// An element's meaning, if it is there.
pub(super) async fn load<P: Payload>(
    txn: &mut impl WriteTxn,
    list: &ListKey,
    id: &ItemId,
) -> Result<Option<P>, StoreError> {
    let item = txn.item(list, id).await?;
    item.map(|item| decoded(list, &item)).transpose()
}

/// A list's header, if it is there.
pub(super) async fn load_header<P: Payload>(
    txn: &mut impl WriteTxn,
    list: &ListKey,
) -> Result<Option<P>, StoreError> {
    load(txn, list, &ItemId::header()).await
}

/// Writes an element.
pub(super) async fn save(
    txn: &mut impl WriteTxn,
    list: &ListKey,
    id: &ItemId,
    rank: Rank,
    payload: &(impl Payload + Sync),
) -> Result<Effect, StoreError> {
    txn.put(list, id, rank, Bytes::from(payload.encode())).await
}

/// Writes a list's header.
pub(super) async fn save_header(
    txn: &mut impl WriteTxn,
    list: &ListKey,
    payload: &(impl Payload + Sync),
) -> Result<Effect, StoreError> {
    save(txn, list, &ItemId::header(), Rank::default(), payload).await
}

/// What an element means.
pub(super) fn decoded<P: Payload>(list: &ListKey, item: &Item) -> Result<P, StoreError> {
    P::decode(&item.payload).map_err(|no| {
        StoreError::Corrupt(format!(
            "item {:?} of {list} cannot be read: {no}",
            item.id.as_str()
        ))
    })
}

/// What a user says about themselves; nothing, if they never did. `None`: they
/// are being deleted, and nothing new may name them.
pub(super) async fn profile_of(
    txn: &mut impl WriteTxn,
    user: &UserId,
) -> Result<Option<UserProfile>, StoreError> {
    let profile: Option<UserProfile> = load_header(txn, &user.profile()).await?;
    let profile = profile.unwrap_or_default();
    Ok((!profile.deleting).then_some(profile))
}

/// What a user says about themselves.
///
/// Refused with `user_not_found` if they are being deleted.
pub(super) async fn living(txn: &mut impl WriteTxn, user: &UserId) -> Result<UserProfile, Stop> {
    profile_of(txn, user).await?.ok_or_else(|| {
        Abort::Refused(
            Refusal::new(Code::UserNotFound, "there is no such user any more").at("user"),
        )
    })
}
