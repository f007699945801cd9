//! Copies of a user's name and avatar in the lists of others, and who has them.
//!
//! A user's profile lives once, and is copied into items of others' lists so that
//! a device can show them without asking. Whoever copies it says so in the list
//! `holders` of the user, in the same transaction: an item for each user who holds
//! a copy, which says in which of their lists. The fan-out of a change follows
//! these, and so reaches exactly those that hold a copy. (Groups are found by the
//! user's own `groups`.)

use super::UserId;
use super::element::{delete, put};
use bytes::Bytes;
use highwater_core::reads::Item;
use highwater_protocol::kinds::{ConversationId, Payload};
use highwater_protocol::{ItemId, ListKey, Rank};
use highwater_store::{StoreError, WriteTxn};

/// In which of a holder's lists a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Among their friends.
    Friends = 1,
    /// Among those who ask to be their friend.
    FriendRequests = 2,
    /// Among those whom they ask.
    SentFriendRequests = 4,
    /// Among those whom they block.
    Blocks = 8,
    /// In their conversation with the user.
    Conversations = 16,
}

impl Place {
    pub(super) const ALL: [Self; 5] = [
        Self::Friends,
        Self::FriendRequests,
        Self::SentFriendRequests,
        Self::Blocks,
        Self::Conversations,
    ];

    /// The list of the holder's.
    pub(super) fn list(self, holder: &UserId) -> ListKey {
        match self {
            Self::Friends => holder.friends(),
            Self::FriendRequests => holder.friend_requests(),
            Self::SentFriendRequests => holder.sent_friend_requests(),
            Self::Blocks => holder.blocks(),
            Self::Conversations => holder.conversations(),
        }
    }

    /// The item of that list that is about `user`.
    pub(super) fn item(self, user: &UserId) -> ItemId {
        match self {
            Self::Conversations => ConversationId::User(user.as_str().to_owned())
                .to_item()
                .unwrap_or_else(|no| unreachable!("a user's id leaves room: {no}")),
            _ => user.as_item().clone(),
        }
    }

    /// The user whom an item of such a list is about, if it is about one.
    pub(super) fn user(self, item: &ItemId) -> Option<UserId> {
        match self {
            Self::Conversations => match ConversationId::parse(item.as_str()) {
                Ok(ConversationId::User(user)) => UserId::new(&user).ok(),
                _ => None,
            },
            _ => UserId::new(item.as_str()).ok(),
        }
    }
}

/// In which of a holder's lists copies are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places(u8);

impl Places {
    /// What an item of `holders` says. Bits of a newer server are none to this one.
    pub(super) fn of(item: &Item) -> Self {
        Self(item.payload.first().copied().unwrap_or(0))
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Place> {
        let places = Place::ALL.into_iter();
        places.filter(move |place| self.0 & (*place as u8) != 0)
    }
}

/// Says that `holder` has a copy of `user`'s profile, or no longer.
///
/// Declare the user's `holders`.
pub(super) async fn note<T: WriteTxn>(
    txn: &mut T,
    user: &UserId,
    holder: &UserId,
    place: Place,
    is_held: bool,
) -> Result<(), StoreError> {
    let (list, id) = (user.holders(), holder.as_item());
    let found = txn.item(&list, id).await?;
    let before = found.as_ref().map(Places::of).unwrap_or_default();
    let after = match is_held {
        true => before.0 | place as u8,
        false => before.0 & !(place as u8),
    };
    if after == 0 {
        txn.delete(&list, id).await?;
    } else {
        let payload = Bytes::copy_from_slice(&[after]);
        txn.put(&list, id, Rank::default(), payload).await?;
    }
    Ok(())
}

/// Puts an item about `user` into a list of `holder`'s.
///
/// Declare that list, and the user's `holders`.
pub(super) async fn keep<P: Payload, T: WriteTxn>(
    txn: &mut T,
    place: Place,
    holder: &UserId,
    user: &UserId,
    rank: Rank,
    payload: &P,
) -> Result<(), StoreError> {
    put(txn, &place.list(holder), &place.item(user), rank, payload).await?;
    note(txn, user, holder, place, true).await
}

/// Takes the item about `user` out of a list of `holder`'s; whether it was there.
///
/// Declare that list, and the user's `holders`.
pub(super) async fn drop_item<T: WriteTxn>(
    txn: &mut T,
    place: Place,
    holder: &UserId,
    user: &UserId,
) -> Result<bool, StoreError> {
    let was_there = delete(txn, &place.list(holder), &place.item(user)).await?;
    if was_there {
        note(txn, user, holder, place, false).await?;
    }
    Ok(was_there)
}
