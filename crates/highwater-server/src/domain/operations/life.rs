//! The beginning and the end of a group.

use super::{by, refuse, require};
use crate::domain::group::{Group, Stop, lists_to_admit, lists_to_dismiss, lists_to_expel};
use crate::domain::ids::{check_description, check_name};
use crate::domain::people::check_text;
use crate::domain::permissions::{OnGroup, OnUser};
use crate::domain::words::AVATAR_BYTES;
use crate::domain::{Actor, GroupId, Rules, UserId};
use highwater_protocol::kinds::{Circle, GroupProfile, Member, Role};
use highwater_protocol::{Code, ListKey, Refusal};
use highwater_store::{Abort, Write, WriteTxn};

/// A new group. Its owner, if it has one, is in it.
#[derive(Clone, Debug)]
pub struct Create {
    /// Who asks.
    pub actor: Actor,
    /// Not in use yet.
    pub group: GroupId,
    /// `None`: a group that nobody is in, which only a service creates.
    pub owner: Option<UserId>,
    /// What it says about itself; checked.
    pub profile: GroupProfile,
}

/// The end of a group, by its owner. In O(1): the members' own lists follow.
#[derive(Clone, Debug)]
pub struct Dismiss {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
}

impl Create {
    /// A new group, from what a request says of it: open to whoever wants to
    /// join, its owner and admins invite, and its members see one another.
    ///
    /// # Errors
    /// A name or description that is empty or over-long, by its field.
    pub fn new(
        actor: Actor,
        group: GroupId,
        owner: Option<UserId>,
        name: String,
        description: String,
        at_ms: i64,
    ) -> Result<Self, Refusal> {
        check_name(&name)?;
        check_description(&description)?;
        Ok(Self {
            actor,
            group,
            owner,
            profile: GroupProfile {
                name,
                description,
                ..new_profile(at_ms)
            },
        })
    }

    /// With an avatar.
    ///
    /// # Errors
    /// An over-long one, at field `avatar`.
    pub fn with_avatar(mut self, avatar: String) -> Result<Self, Refusal> {
        check_text("avatar", &avatar, AVATAR_BYTES)?;
        self.profile.avatar = avatar;
        Ok(self)
    }

    /// With other rules.
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        rules.set(&mut self.profile);
        self
    }
}

/// What every new group says about itself.
pub(in crate::domain) fn new_profile(created_at_ms: i64) -> GroupProfile {
    GroupProfile {
        created_at_ms,
        invited_by: Some(Circle::Admins),
        seen_by: Some(Circle::Members),
        ..GroupProfile::default()
    }
}

impl Write for Create {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        lists_to_admit(&self.group, &self.owner)
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        match &self.owner {
            Some(owner) => OnUser::CreateGroup.require(&self.actor, owner),
            None => OnUser::CreateEmptyGroup.require_service(&self.actor),
        }
        .map_err(|no| Abort::Refused(no.at("owner")))?;
        let mut group = Group::new(txn, &self.group);
        if group.head().await?.is_some() {
            return Err(refuse(
                Code::GroupExists,
                "group",
                "a group with this id exists",
            ));
        }
        group.put_profile(&self.profile).await?;
        if let Some(owner) = &self.owner {
            let member = Member {
                role: Role::Owner,
                joined_at_ms: self.profile.created_at_ms,
                by: by(&self.actor),
                ..Member::default()
            };
            group.admit(owner, member).await?;
        }
        Ok(())
    }
}

impl Write for Dismiss {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        let mut lists = lists_to_expel(&self.group, self.asker());
        lists.extend(lists_to_dismiss(&self.group));
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        require(&self.actor, &mut group, OnGroup::Dismiss).await?;
        // Whoever dismissed it sees it gone at once, in their own lists too.
        if let Some(user) = self.asker() {
            group.forget(user).await?;
        }
        group.dismiss().await
    }
}

impl Dismiss {
    const fn asker(&self) -> Option<&UserId> {
        match &self.actor {
            Actor::User(user) => Some(user),
            Actor::Service => None,
        }
    }
}
