//! A group within a transaction: its profile and members, and the moves that
//! keep the two kinds of list in step.

use super::fanout::Dismissed;
use super::{GroupId, UserId, ranks};
use bytes::Bytes;
use highwater_core::reads::{Item, ListState};
use highwater_core::{Effect, Head};
use highwater_protocol::kinds::{GroupProfile, JoinedGroup, Member, Payload, Role};
use highwater_protocol::{Code, ItemId, ListKey, Rank, Refusal};
use highwater_store::{Abort, StoreError, WriteTxn};

/// Why a rule or the store stopped an operation.
pub(super) type Stop = Abort<Refusal>;

/// A group as a transaction sees it.
///
/// Its `members` list, and the `groups` list of every user that a call names,
/// must be declared.
pub(super) struct Group<'a, T> {
    txn: &'a mut T,
    id: &'a GroupId,
    members: ListKey,
}

impl<'a, T: WriteTxn> Group<'a, T> {
    /// The group of this id, which may not exist.
    pub(super) fn new(txn: &'a mut T, id: &'a GroupId) -> Self {
        Self {
            txn,
            id,
            members: id.members(),
        }
    }

    /// The head of the group's members; `None` if it does not exist.
    pub(super) async fn head(&mut self) -> Result<Option<Head>, StoreError> {
        match self.txn.state(&self.members).await? {
            ListState::Live(head) => Ok(Some(head)),
            ListState::Ended(_) | ListState::Absent(_) => Ok(None),
        }
    }

    /// The head of the group's members.
    ///
    /// Refused with `group_not_found` if it does not exist.
    pub(super) async fn existing(&mut self) -> Result<Head, Stop> {
        self.head().await?.ok_or_else(not_found)
    }

    /// How many members the group has.
    pub(super) async fn size(&mut self) -> Result<u64, Stop> {
        // The header counts as an element of the list.
        Ok(self.existing().await?.count.saturating_sub(1))
    }

    /// What the group says about itself.
    pub(super) async fn profile(&mut self) -> Result<GroupProfile, Stop> {
        self.existing().await?;
        match self.txn.item(&self.members, &ItemId::header()).await? {
            Some(item) => Ok(decoded(&self.members, &item)?),
            None => Err(Abort::Store(StoreError::Corrupt(format!(
                "{} has no header",
                self.members
            )))),
        }
    }

    /// Writes the profile, and creates the group with it.
    pub(super) async fn put_profile(&mut self, profile: &GroupProfile) -> Result<(), StoreError> {
        let payload = Bytes::from(profile.encode());
        self.txn
            .put(&self.members, &ItemId::header(), Rank::default(), payload)
            .await?;
        Ok(())
    }

    /// A user's membership, if they are in.
    pub(super) async fn member(&mut self, user: &UserId) -> Result<Option<Member>, StoreError> {
        if self.head().await?.is_none() {
            return Ok(None);
        }
        let item = self.txn.item(&self.members, user.as_item()).await?;
        item.map(|item| decoded(&self.members, &item)).transpose()
    }

    /// Owners in the order of joining, at most `limit`.
    pub(super) async fn owners(&mut self, limit: usize) -> Result<Vec<(UserId, Member)>, Stop> {
        // The header stands first, then the owners.
        let first = self.txn.scan(&self.members, None, limit + 1).await?;
        let mut owners = Vec::new();
        for item in first {
            let Some(user) = UserId::of_member(&item.id) else {
                continue;
            };
            let member: Member = decoded(&self.members, &item)?;
            if member.role != Role::Owner || owners.len() == limit {
                break;
            }
            owners.push((user, member));
        }
        Ok(owners)
    }

    /// Whether somebody other than `user` owns the group.
    pub(super) async fn has_other_owner(&mut self, user: &UserId) -> Result<bool, Stop> {
        let owners = self.owners(2).await?;
        Ok(owners.iter().any(|(owner, _)| owner != user))
    }

    /// Who stands first among the members, apart from one who leaves: an owner,
    /// else the oldest admin, else the oldest member.
    pub(super) async fn first_but(
        &mut self,
        leaving: &UserId,
    ) -> Result<Option<(UserId, Member)>, StoreError> {
        // The header, and the one who leaves, may stand before.
        for item in self.txn.scan(&self.members, None, 3).await? {
            if let Some(user) = UserId::of_member(&item.id).filter(|user| user != leaving) {
                return Ok(Some((user, decoded(&self.members, &item)?)));
            }
        }
        Ok(None)
    }

    /// Takes a user in: a row in both lists.
    ///
    /// The user's `groups` moves even if it still held the same row for a
    /// former life of the group, because what rights remember about a user is
    /// good as long as that list stands still.
    pub(super) async fn admit(&mut self, user: &UserId, member: &Member) -> Result<(), StoreError> {
        self.put_member(user, member).await?;
        let groups = user.groups();
        let joined = JoinedGroup {
            joined_at_ms: member.joined_at_ms,
        };
        let item = self.id.as_item();
        let (rank, payload) = (ranks::of_group(&joined), Bytes::from(joined.encode()));
        let put = self
            .txn
            .put(&groups, item, rank.clone(), payload.clone())
            .await?;
        if put == Effect::Unchanged {
            self.txn.delete(&groups, item).await?;
            self.txn.put(&groups, item, rank, payload).await?;
        }
        Ok(())
    }

    /// Lets a member go: out of both lists.
    pub(super) async fn expel(&mut self, user: &UserId) -> Result<(), StoreError> {
        self.txn.delete(&self.members, user.as_item()).await?;
        self.forget(user).await
    }

    /// Takes the group out of a user's `groups`.
    pub(super) async fn forget(&mut self, user: &UserId) -> Result<(), StoreError> {
        self.txn.delete(&user.groups(), self.id.as_item()).await?;
        Ok(())
    }

    /// Writes a member's row alone.
    pub(super) async fn put_member(
        &mut self,
        user: &UserId,
        member: &Member,
    ) -> Result<(), StoreError> {
        let payload = Bytes::from(member.encode());
        self.txn
            .put(
                &self.members,
                user.as_item(),
                ranks::of_member(member),
                payload,
            )
            .await?;
        Ok(())
    }

    /// Ends the group, in O(1). Its users' lists follow: that work is queued.
    pub(super) async fn dismiss(&mut self) -> Result<(), Stop> {
        let head = self.existing().await?;
        self.txn.end(&self.members).await?;
        let job = Dismissed {
            group: self.id.clone(),
            ended: head.lineage,
            version: head.version,
        };
        self.txn.enqueue(job.encode()).await?;
        Ok(())
    }
}

fn decoded<P: Payload>(list: &ListKey, item: &Item) -> Result<P, StoreError> {
    P::decode(&item.payload).map_err(|no| {
        StoreError::Corrupt(format!(
            "item {:?} of {list} cannot be read: {no}",
            item.id.as_str()
        ))
    })
}

/// What the header of a group's members says.
///
/// # Errors
/// `internal`: the stored bytes are no profile.
pub fn profile_of(header: &[u8]) -> Result<GroupProfile, Refusal> {
    GroupProfile::decode(header)
        .map_err(|_| Refusal::new(Code::Internal, "the group's profile cannot be read"))
}

/// The group does not exist, or is none of the asker's business: the two are
/// told with the same words.
pub(super) fn not_found() -> Stop {
    Abort::Refused(
        Refusal::new(
            Code::GroupNotFound,
            "there is no such group, or you are not a member of it",
        )
        .at("group"),
    )
}
