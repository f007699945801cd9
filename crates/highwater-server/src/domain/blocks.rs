//! Whom users block. A blocked user can neither ask to be a friend nor bring the
//! one who blocks them into a group. That two are friends is left as it is.

use super::element::{found, has};
use super::friends::drop_request;
use super::group::Stop;
use super::holders::{Place, drop_item, keep};
use super::people::{by, existing_user, refuse};
use super::permissions::OnUser;
use super::{Actor, UserId, ranks};
use highwater_protocol::kinds::{Block, FriendRequest, RequestState};
use highwater_protocol::{Code, ListKey, Refusal};
use highwater_store::{StoreError, Write, WriteTxn};

/// A user blocks another. Requests between the two that wait for an answer are
/// taken back.
#[derive(Clone, Debug)]
pub struct BlockUser {
    by: String,
    user: UserId,
    blocked: UserId,
    at_ms: i64,
}

/// A user blocks another no longer.
#[derive(Clone, Debug)]
pub struct UnblockUser {
    user: UserId,
    blocked: UserId,
}

impl BlockUser {
    /// `user` blocks `blocked`.
    ///
    /// # Errors
    /// `forbidden`; oneself, at field `blocked`.
    pub fn new(actor: &Actor, user: UserId, blocked: UserId, at_ms: i64) -> Result<Self, Refusal> {
        OnUser::Block.require(actor, &user)?;
        if user == blocked {
            let message = "a user cannot block themselves";
            return Err(Refusal::invalid("blocked", message));
        }
        Ok(Self {
            by: by(actor),
            user,
            blocked,
            at_ms,
        })
    }
}

impl UnblockUser {
    /// `user` no longer blocks `blocked`.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn new(actor: &Actor, user: UserId, blocked: UserId) -> Result<Self, Refusal> {
        OnUser::Block.require(actor, &user)?;
        Ok(Self { user, blocked })
    }
}

/// Whether `user` blocks `other`.
///
/// Declare the user's `blocks`.
pub(super) async fn is_blocked<T: WriteTxn>(
    txn: &mut T,
    user: &UserId,
    other: &UserId,
) -> Result<bool, StoreError> {
    has(txn, &user.blocks(), other.as_item()).await
}

impl Write for BlockUser {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        let (user, blocked) = (&self.user, &self.blocked);
        let mut lists = vec![user.blocks()];
        for one in [user, blocked] {
            lists.extend([
                one.profile(),
                one.friend_requests(),
                one.sent_friend_requests(),
                one.holders(),
            ]);
        }
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let (user, blocked) = (&self.user, &self.blocked);
        existing_user(txn, user, "user").await?;
        let profile = existing_user(txn, blocked, "blocked").await?;
        if is_blocked(txn, user, blocked).await? {
            return Ok(());
        }
        for (asker, asked) in [(user, blocked), (blocked, user)] {
            let list = asker.sent_friend_requests();
            let sent = found::<FriendRequest, T>(txn, &list, asked.as_item()).await?;
            if sent.is_some_and(|sent| sent.state == RequestState::Pending) {
                drop_request(txn, asker, asked).await?;
            }
        }
        let block = Block {
            name: profile.name,
            avatar: profile.avatar,
            at_ms: self.at_ms,
            by: self.by.clone(),
        };
        let rank = ranks::of_block(&block);
        Ok(keep(txn, Place::Blocks, user, blocked, rank, &block).await?)
    }
}

impl Write for UnblockUser {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.user.blocks(), self.blocked.holders()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        if drop_item(txn, Place::Blocks, &self.user, &self.blocked).await? {
            return Ok(());
        }
        Err(refuse(
            Code::NotBlocked,
            "blocked",
            "the user is not blocked",
        ))
    }
}
