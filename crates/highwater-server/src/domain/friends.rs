//! What users are to each other: one transaction each, as a value.
//!
//! A friendship is an item in the list of each of the two. One that only one of
//! them holds (the other deleted it for themselves alone) may be asked for again
//! by either, and is whole again when it is accepted.

use super::collation::Collation;
use super::element::{found, has};
use super::group::Stop;
use super::holders::{Place, drop_item, keep};
use super::people::{by, check_text, existing_user, profile_of_user, refuse};
use super::permissions::OnUser;
use super::{Actor, UserId, element, ranks};
use highwater_protocol::kinds::{Extra, Friend, FriendRequest, RequestState, UserProfile};
use highwater_protocol::{Code, ListKey, Refusal};
use highwater_store::{StoreError, Write, WriteTxn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes of what one says who asks, or answers.
const MESSAGE_BYTES: usize = 1_024;
/// Bytes of where two met.
pub(super) const SOURCE_BYTES: usize = 64;
/// Bytes of what one calls a friend.
const REMARK_BYTES: usize = 256;

/// From whose list a friend goes when they are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// From the list of the one who deletes.
    One,
    /// From the lists of both.
    Both,
}

/// A user asks another to be their friend.
#[derive(Clone, Debug)]
pub struct RequestFriend {
    by: String,
    user: UserId,
    friend: UserId,
    message: String,
    source: String,
    at_ms: i64,
}

/// What became of the wish to be friends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestFriendOutcome {
    /// The other is asked.
    Requested,
    /// The other had asked already: the two are friends.
    Accepted,
}

/// A user answers yes to who asked.
#[derive(Clone, Debug)]
pub struct AcceptFriend {
    by: String,
    user: UserId,
    friend: UserId,
    at_ms: i64,
}

/// A user answers no to who asked.
#[derive(Clone, Debug)]
pub struct RejectFriend {
    user: UserId,
    friend: UserId,
    answer: String,
    at_ms: i64,
}

/// A user takes back what they asked, or puts away a no.
#[derive(Clone, Debug)]
pub struct WithdrawFriendRequest {
    user: UserId,
    friend: UserId,
}

/// A user is a friend no longer.
#[derive(Clone, Debug)]
pub struct DeleteFriend {
    user: UserId,
    friend: UserId,
    sides: Sides,
}

/// What a request says about a friend; `None`: as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FriendChange {
    /// What the owner of the list calls them; up to 256 bytes; empty: by their
    /// own name.
    pub remark: Option<String>,
    /// Stands before those that are not.
    pub pinned: Option<bool>,
    /// Data of the app's own.
    #[serde(default, deserialize_with = "highwater_protocol::kinds::given")]
    pub extra: Option<Extra>,
}

/// A user's own view of a friend. Nobody else sees it.
#[derive(Clone, Debug)]
pub struct ChangeFriend {
    user: UserId,
    friend: UserId,
    change: FriendChange,
}

impl RequestFriend {
    /// `user` asks `friend`.
    ///
    /// # Errors
    /// `forbidden`; oneself, at field `friend`; a message of more than 1,024
    /// bytes, a source of more than 64.
    pub fn new(
        actor: &Actor,
        user: UserId,
        friend: UserId,
        message: String,
        source: String,
        at_ms: i64,
    ) -> Result<Self, Refusal> {
        OnUser::RequestFriend.require(actor, &user)?;
        check_two(&user, &friend)?;
        check_text("message", &message, MESSAGE_BYTES)?;
        check_text("source", &source, SOURCE_BYTES)?;
        Ok(Self {
            by: by(actor),
            user,
            friend,
            message,
            source,
            at_ms,
        })
    }
}

impl AcceptFriend {
    /// `user` accepts `friend`, who asked.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn new(actor: &Actor, user: UserId, friend: UserId, at_ms: i64) -> Result<Self, Refusal> {
        OnUser::AnswerFriend.require(actor, &user)?;
        Ok(Self {
            by: by(actor),
            user,
            friend,
            at_ms,
        })
    }
}

impl RejectFriend {
    /// `user` rejects `friend`, who asked.
    ///
    /// # Errors
    /// `forbidden`; an answer of more than 1,024 bytes.
    pub fn new(
        actor: &Actor,
        user: UserId,
        friend: UserId,
        answer: String,
        at_ms: i64,
    ) -> Result<Self, Refusal> {
        OnUser::AnswerFriend.require(actor, &user)?;
        check_text("answer", &answer, MESSAGE_BYTES)?;
        Ok(Self {
            user,
            friend,
            answer,
            at_ms,
        })
    }
}

impl WithdrawFriendRequest {
    /// `user` takes back what they asked of `friend`.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn new(actor: &Actor, user: UserId, friend: UserId) -> Result<Self, Refusal> {
        OnUser::WithdrawFriendRequest.require(actor, &user)?;
        Ok(Self { user, friend })
    }
}

impl DeleteFriend {
    /// `user` deletes `friend`.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn new(actor: &Actor, user: UserId, friend: UserId, sides: Sides) -> Result<Self, Refusal> {
        OnUser::DeleteFriend.require(actor, &user)?;
        Ok(Self {
            user,
            friend,
            sides,
        })
    }
}

impl ChangeFriend {
    /// `user` sets what they have beside `friend`.
    ///
    /// # Errors
    /// `forbidden`; a remark of more than 256 bytes; a change of nothing.
    pub fn new(
        actor: &Actor,
        user: UserId,
        friend: UserId,
        change: FriendChange,
    ) -> Result<Self, Refusal> {
        OnUser::ChangeFriend.require(actor, &user)?;
        if change == FriendChange::default() {
            let message = "give a remark, pinned or extra data";
            return Err(Refusal::invalid("remark", message));
        }
        if let Some(remark) = &change.remark {
            check_text("remark", remark, REMARK_BYTES)?;
        }
        Ok(Self {
            user,
            friend,
            change,
        })
    }
}

/// Nobody is their own friend, nor blocks themselves.
///
/// # Errors
/// The same user twice, at field `friend`.
pub(super) fn check_two(user: &UserId, friend: &UserId) -> Result<(), Refusal> {
    if user == friend {
        let message = "a user cannot be their own friend";
        return Err(Refusal::invalid("friend", message));
    }
    Ok(())
}

/// Every list that what two users are to each other may change.
pub(super) fn lists_of_two(user: &UserId, friend: &UserId) -> Vec<ListKey> {
    [user, friend]
        .into_iter()
        .flat_map(|one| {
            [
                one.profile(),
                one.friends(),
                one.friend_requests(),
                one.sent_friend_requests(),
                one.holders(),
            ]
        })
        .collect()
}

/// Whether each of the two has the other among their friends.
pub(super) async fn are_friends<T: WriteTxn>(
    txn: &mut T,
    user: &UserId,
    friend: &UserId,
) -> Result<bool, StoreError> {
    Ok(has(txn, &user.friends(), friend.as_item()).await?
        && has(txn, &friend.friends(), user.as_item()).await?)
}

/// What the asked one has of the asker, if it waits for an answer.
async fn pending<T: WriteTxn>(
    txn: &mut T,
    asked: &UserId,
    asker: &UserId,
) -> Result<Option<FriendRequest>, StoreError> {
    found(txn, &asked.friend_requests(), asker.as_item()).await
}

/// Takes back what `asker` asked, in both lists; whether there was anything.
pub(super) async fn drop_request<T: WriteTxn>(
    txn: &mut T,
    asker: &UserId,
    asked: &UserId,
) -> Result<bool, StoreError> {
    let sent = drop_item(txn, Place::SentFriendRequests, asker, asked).await?;
    Ok(drop_item(txn, Place::FriendRequests, asked, asker).await? || sent)
}

/// How two became friends.
pub(super) struct Terms<'a> {
    pub(super) since_ms: i64,
    pub(super) source: &'a str,
    pub(super) by: String,
}

/// Makes two users friends: an item for each who has none, and no request is left.
pub(super) async fn befriend<T: WriteTxn>(
    txn: &mut T,
    user: (&UserId, &UserProfile),
    friend: (&UserId, &UserProfile),
    terms: &Terms<'_>,
) -> Result<(), StoreError> {
    drop_request(txn, user.0, friend.0).await?;
    drop_request(txn, friend.0, user.0).await?;
    for ((owner, own), (other, profile)) in [(user, friend), (friend, user)] {
        if has(txn, &owner.friends(), other.as_item()).await? {
            continue;
        }
        let item = Friend {
            name: profile.name.clone(),
            avatar: profile.avatar.clone(),
            since_ms: terms.since_ms,
            source: terms.source.to_owned(),
            by: terms.by.clone(),
            ..Friend::default()
        };
        let rank = ranks::of_friend(&item, other, &Collation::of(&own.locale));
        keep(txn, Place::Friends, owner, other, rank, &item).await?;
    }
    Ok(())
}

fn no_request() -> Stop {
    refuse(
        Code::RequestNotFound,
        "friend",
        "there is no such request, or it was answered before",
    )
}

fn no_friend() -> Stop {
    refuse(
        Code::NotFriend,
        "friend",
        "the user is not among the friends",
    )
}

impl Write for RequestFriend {
    type Output = RequestFriendOutcome;
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        let mut lists = lists_of_two(&self.user, &self.friend);
        lists.push(self.friend.blocks());
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<RequestFriendOutcome, Stop> {
        let (user, friend) = (&self.user, &self.friend);
        let own = existing_user(txn, user, "user").await?;
        let other = existing_user(txn, friend, "friend").await?;
        if has(txn, &friend.blocks(), user.as_item()).await? {
            let message = "the user has blocked the one who asks";
            return Err(refuse(Code::Blocked, "friend", message));
        }
        if are_friends(txn, user, friend).await? {
            let message = "the two are friends already";
            return Err(refuse(Code::AlreadyFriends, "friend", message));
        }
        if let Some(request) = pending(txn, user, friend).await? {
            let terms = Terms {
                since_ms: self.at_ms,
                source: &request.source,
                by: self.by.clone(),
            };
            befriend(txn, (user, &own), (friend, &other), &terms).await?;
            return Ok(RequestFriendOutcome::Accepted);
        }
        let request = |profile: UserProfile| FriendRequest {
            name: profile.name,
            avatar: profile.avatar,
            message: self.message.clone(),
            source: self.source.clone(),
            at_ms: self.at_ms,
            ..FriendRequest::default()
        };
        let (sent, received) = (request(other), request(own));
        let rank = ranks::of_request(&sent);
        let place = Place::SentFriendRequests;
        keep(txn, place, user, friend, rank.clone(), &sent).await?;
        keep(txn, Place::FriendRequests, friend, user, rank, &received).await?;
        Ok(RequestFriendOutcome::Requested)
    }
}

impl Write for AcceptFriend {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        lists_of_two(&self.user, &self.friend)
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let (user, friend) = (&self.user, &self.friend);
        let own = existing_user(txn, user, "user").await?;
        let other = existing_user(txn, friend, "friend").await?;
        let Some(request) = pending(txn, user, friend).await? else {
            return Err(no_request());
        };
        let terms = Terms {
            since_ms: self.at_ms,
            source: &request.source,
            by: self.by.clone(),
        };
        Ok(befriend(txn, (user, &own), (friend, &other), &terms).await?)
    }
}

impl Write for RejectFriend {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        lists_of_two(&self.user, &self.friend)
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let (user, friend) = (&self.user, &self.friend);
        if !drop_item(txn, Place::FriendRequests, user, friend).await? {
            return Err(no_request());
        }
        let change = |sent: &mut FriendRequest| {
            sent.state = RequestState::Rejected;
            sent.handled_at_ms = self.at_ms;
            sent.answer.clone_from(&self.answer);
        };
        let list = friend.sent_friend_requests();
        Ok(element::revise(txn, &list, user.as_item(), change).await?)
    }
}

impl Write for WithdrawFriendRequest {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        lists_of_two(&self.user, &self.friend)
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        if drop_request(txn, &self.user, &self.friend).await? {
            Ok(())
        } else {
            Err(no_request())
        }
    }
}

impl Write for DeleteFriend {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        let (user, friend) = (&self.user, &self.friend);
        let mut lists = vec![user.friends(), friend.holders()];
        if self.sides == Sides::Both {
            lists.extend([friend.friends(), user.holders()]);
        }
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let (user, friend) = (&self.user, &self.friend);
        if !drop_item(txn, Place::Friends, user, friend).await? {
            return Err(no_friend());
        }
        if self.sides == Sides::Both {
            drop_item(txn, Place::Friends, friend, user).await?;
        }
        Ok(())
    }
}

impl Write for ChangeFriend {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.user.friends(), self.user.profile()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let (list, id) = (self.user.friends(), self.friend.as_item());
        let Some(mut friend) = found::<Friend, T>(txn, &list, id).await? else {
            return Err(no_friend());
        };
        let change = self.change.clone();
        friend.remark = change.remark.unwrap_or(friend.remark);
        friend.pinned = change.pinned.unwrap_or(friend.pinned);
        friend.extra = change.extra.unwrap_or(friend.extra);
        let locale = profile_of_user(txn, &self.user).await?.locale;
        let rank = ranks::of_friend(&friend, &self.friend, &Collation::of(&locale));
        Ok(element::put(txn, &list, id, rank, &friend).await?)
    }
}
