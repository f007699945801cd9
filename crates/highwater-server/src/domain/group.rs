//! A group within a transaction: its profile and members, and the moves that
//! keep the two kinds of list in step.

use super::conversation::{activity_of, enter_group, leave_group};
use super::element::{decoded, found, put};
use super::fanout::{Dismissed, Job};
use super::people::existing_user;
use super::{GroupId, UserId, ranks};
use highwater_core::Head;
use highwater_core::reads::ListState;
use highwater_protocol::kinds::{
    ConversationState, GroupActivity, GroupProfile, JoinedGroup, Member, Payload, Role, UserProfile,
};
use highwater_protocol::{Code, ItemId, ListKey, Point, Rank, Refusal};
use highwater_store::{Abort, StoreError, WriteTxn};

/// Why a rule or the store stopped an operation.
pub(super) type Stop = Abort<Refusal>;

/// A group as a transaction sees it.
///
/// Its `members` must be declared, and for the calls that move users or end the
/// group what [`lists_to_admit`], [`lists_to_expel`] and [`lists_to_dismiss`] say.
pub(super) struct Group<'a, T> {
    pub(super) txn: &'a mut T,
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
        match found(self.txn, &self.members, &ItemId::header()).await? {
            Some(profile) => Ok(profile),
            None => Err(Abort::Store(StoreError::Corrupt(format!(
                "{} has no header",
                self.members
            )))),
        }
    }

    /// Writes the profile, and creates the group with it.
    pub(super) async fn put_profile(&mut self, profile: &GroupProfile) -> Result<(), StoreError> {
        let (header, first) = (ItemId::header(), Rank::default());
        put(self.txn, &self.members, &header, first, profile).await
    }

    /// A user's membership, if they are in.
    pub(super) async fn member(&mut self, user: &UserId) -> Result<Option<Member>, StoreError> {
        found(self.txn, &self.members, user.as_item()).await
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

    /// Takes a user in: a row in both lists, with what they say about themselves,
    /// and the group's conversation in theirs. Whatever they applied for is done.
    ///
    /// The user's `groups` moves even if it still held the same row for a
    /// former life of the group, because what rights remember about a user is
    /// good as long as that list stands still.
    ///
    /// Refused with `user_not_found` if the user is being deleted.
    pub(super) async fn admit(&mut self, user: &UserId, member: Member) -> Result<(), Stop> {
        let profile = existing_user(self.txn, user, "user").await?;
        let joined = JoinedGroup {
            joined_at_ms: member.joined_at_ms,
        };
        self.put_member(user, &described(member, profile)).await?;
        let (groups, item) = (user.groups(), self.id.as_item());
        self.txn.delete(&groups, item).await?;
        put(self.txn, &groups, item, ranks::of_group(&joined), &joined).await?;
        enter_group(self.txn, user, self.id, joined.joined_at_ms).await?;
        Ok(self.drop_request(user).await?)
    }

    /// Takes an application off both lists.
    pub(super) async fn drop_request(&mut self, user: &UserId) -> Result<(), StoreError> {
        let requests = self.id.join_requests();
        self.txn.delete(&requests, user.as_item()).await?;
        let sent = user.sent_join_requests();
        self.txn.delete(&sent, self.id.as_item()).await?;
        Ok(())
    }

    /// Lets a member go: out of both lists.
    pub(super) async fn expel(&mut self, user: &UserId) -> Result<(), StoreError> {
        self.txn.delete(&self.members, user.as_item()).await?;
        let known = activity_of(self.txn, self.id).await?.unwrap_or_default();
        self.part(user, ConversationState::Left, known).await
    }

    /// Takes the group, which ends, out of a user's `groups`, and ends its
    /// conversation.
    pub(super) async fn forget(&mut self, user: &UserId) -> Result<(), StoreError> {
        let known = activity_of(self.txn, self.id).await?.unwrap_or_default();
        self.part(user, ConversationState::Ended, known).await
    }

    /// Takes the group out of a user's `groups`, and marks its conversation, which
    /// keeps the last message and mention, of which `known` is what the group knew.
    pub(super) async fn part(
        &mut self,
        user: &UserId,
        state: ConversationState,
        known: GroupActivity,
    ) -> Result<(), StoreError> {
        let groups = user.groups();
        self.txn.delete(&groups, self.id.as_item()).await?;
        leave_group(self.txn, user, self.id, state, known).await
    }

    /// Writes a member's row alone.
    pub(super) async fn put_member(
        &mut self,
        user: &UserId,
        member: &Member,
    ) -> Result<(), StoreError> {
        let rank = ranks::of_member(member);
        put(self.txn, &self.members, user.as_item(), rank, member).await
    }

    /// Ends the group, in O(1). Its users' lists follow: that work is queued.
    pub(super) async fn dismiss(&mut self) -> Result<(), Stop> {
        let head = self.existing().await?;
        self.txn.end(&self.members).await?;
        let requests = self.end(&self.id.join_requests()).await?;
        let activity = self.end(&self.id.activity()).await?;
        // Nobody is told about this one: it goes at once.
        let rights = self.id.rights();
        if let Some(ended) = self.end(&rights).await? {
            let header = [ItemId::header()];
            self.txn.discard(&rights, ended.lineage, &header).await?;
        }
        let job = Dismissed {
            group: self.id.clone(),
            ended: head.point(),
            requests,
            activity: activity.map(|ended| ended.lineage),
        };
        self.txn.enqueue(Job::Dismissed(job).encode()).await?;
        Ok(())
    }

    /// Ends a list; `None` if it is not there.
    async fn end(&mut self, list: &ListKey) -> Result<Option<Point>, StoreError> {
        let ListState::Live(head) = self.txn.state(list).await? else {
            return Ok(None);
        };
        self.txn.end(list).await?;
        Ok(Some(head.point()))
    }
}

/// A member with what they say about themselves.
pub(super) fn described(member: Member, profile: UserProfile) -> Member {
    let name = match member.nickname.is_empty() {
        true => profile.name,
        false => String::new(),
    };
    Member {
        name,
        avatar: profile.avatar,
        ..member
    }
}

/// The lists that taking these users in touches.
pub(super) fn lists_to_admit<'a>(
    group: &GroupId,
    users: impl IntoIterator<Item = &'a UserId>,
) -> Vec<ListKey> {
    let mut lists = vec![group.members(), group.join_requests(), group.activity()];
    for user in users {
        lists.extend([
            user.profile(),
            user.groups(),
            user.conversations(),
            user.sent_join_requests(),
        ]);
    }
    lists
}

/// The lists that letting these members go touches.
pub(super) fn lists_to_expel<'a>(
    group: &GroupId,
    users: impl IntoIterator<Item = &'a UserId>,
) -> Vec<ListKey> {
    let mut lists = vec![group.members(), group.activity()];
    for user in users {
        lists.extend([user.groups(), user.conversations()]);
    }
    lists
}

/// The lists that end with a group.
pub(super) fn lists_to_dismiss(group: &GroupId) -> [ListKey; 4] {
    [
        group.members(),
        group.join_requests(),
        group.activity(),
        group.rights(),
    ]
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
