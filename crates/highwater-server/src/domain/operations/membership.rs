//! Members: their roles, what they are called, and how they go.

use super::{not_member, owner_required, refuse, require, require_over, require_own};
use crate::domain::group::{Group, Stop, described, lists_to_dismiss, lists_to_expel, not_found};
use crate::domain::people::{check_text, existing_user, profile_of_user};
use crate::domain::permissions::{OnGroup, OnUser, Standing};
use crate::domain::words::NICKNAME_BYTES;
use crate::domain::{Actor, BATCH, GroupId, UserId};
use highwater_protocol::kinds::{Extra, Member, Role};
use highwater_protocol::{Code, ListKey, Refusal};
use highwater_store::{Write, WriteTxn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A user leaves a group. With its last member the group ends.
#[derive(Clone, Debug)]
pub struct Leave {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// Who leaves.
    pub user: UserId,
}

/// Members are sent away, by somebody of a higher role.
#[derive(Clone, Debug)]
pub struct Remove {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// Up to 250.
    pub users: Vec<UserId>,
}

/// What became of one user to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemoveOutcome {
    /// They are out.
    Removed,
    /// They were not in; nothing changed.
    NotMember,
    /// Their role is not below the asker's; nothing changed.
    Forbidden,
    /// They are the only owner and others remain; nothing changed.
    OwnerRequired,
}

/// A member's new role, by the owner. Making a member the owner hands the group
/// over: whoever owned it becomes an admin.
#[derive(Clone, Debug)]
pub struct SetRole {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// Whose role.
    pub user: UserId,
    /// The new one.
    pub role: Role,
}

/// The owner hands the group over to a member, and becomes an admin.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// The new owner.
    pub to: UserId,
}

/// A member may not speak until some time, by somebody of a higher role.
#[derive(Clone, Debug)]
pub struct MuteMember {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// Who.
    pub user: UserId,
    /// Milliseconds since 1970; 0: they may again. Checked.
    pub until_ms: i64,
}

/// What a member is called in a group: by themselves, or by somebody of a higher
/// role.
#[derive(Clone, Debug)]
pub struct SetNickname {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// Who.
    pub user: UserId,
    /// Empty: by their own name. Checked.
    pub nickname: String,
}

/// Data of the app's own about a member: by themselves, or by somebody of a
/// higher role.
#[derive(Clone, Debug)]
pub struct SetMemberExtra {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// About whom.
    pub user: UserId,
    /// The data.
    pub extra: Extra,
}

impl MuteMember {
    /// A mute until `until_ms`, or the end of one if that is 0.
    ///
    /// # Errors
    /// A time that is over at `now_ms`, at field `until_ms`.
    pub fn new(
        actor: Actor,
        group: GroupId,
        user: UserId,
        until_ms: i64,
        now_ms: i64,
    ) -> Result<Self, Refusal> {
        if until_ms != 0 && until_ms <= now_ms {
            return Err(Refusal::invalid(
                "until_ms",
                "a member is muted until a time to come, in milliseconds since 1970; 0 ends it",
            ));
        }
        Ok(Self {
            actor,
            group,
            user,
            until_ms,
        })
    }
}

impl SetNickname {
    /// A nickname; an empty one is none.
    ///
    /// # Errors
    /// An over-long one, at field `nickname`.
    pub fn new(
        actor: Actor,
        group: GroupId,
        user: UserId,
        nickname: String,
    ) -> Result<Self, Refusal> {
        check_text("nickname", &nickname, NICKNAME_BYTES)?;
        Ok(Self {
            actor,
            group,
            user,
            nickname,
        })
    }
}

impl Write for Leave {
    /// Whether the group ended with its last member.
    type Output = bool;
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        let mut lists = lists_to_expel(&self.group, [&self.user]);
        lists.extend(lists_to_dismiss(&self.group));
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<bool, Stop> {
        require_own(&self.actor, &self.user, OnUser::Leave)?;
        let mut group = Group::new(txn, &self.group);
        let Some(member) = group.member(&self.user).await? else {
            return Err(not_member());
        };
        if group.size().await? == 1 {
            group.forget(&self.user).await?;
            group.dismiss().await?;
            return Ok(true);
        }
        if member.role == Role::Owner && !group.has_other_owner(&self.user).await? {
            return Err(owner_required());
        }
        group.expel(&self.user).await?;
        Ok(false)
    }
}

impl Write for Remove {
    /// One for each of the users, in their order.
    type Output = Vec<RemoveOutcome>;
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        let mut lists = lists_to_expel(&self.group, &self.users);
        lists.extend(lists_to_dismiss(&self.group));
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<Vec<RemoveOutcome>, Stop> {
        let mut group = Group::new(txn, &self.group);
        let asker = require(&self.actor, &mut group, OnGroup::Remove).await?;
        let mut outcomes = vec![None; self.users.len()];
        // An owner can only go when nobody is left behind: they go last.
        for owners in [false, true] {
            for (user, outcome) in self.users.iter().zip(&mut outcomes) {
                if outcome.is_none() {
                    *outcome = remove(&mut group, asker, user, owners).await?;
                }
            }
        }
        let settled = |outcome: Option<_>| outcome.unwrap_or(RemoveOutcome::NotMember);
        Ok(outcomes.into_iter().map(settled).collect())
    }
}

/// Removes one user, if the asker is above them; with the last member, the group
/// ends. `None`: an owner, whose turn it is not.
async fn remove<T: WriteTxn>(
    group: &mut Group<'_, T>,
    asker: Standing,
    user: &UserId,
    owners: bool,
) -> Result<Option<RemoveOutcome>, Stop> {
    let Some(member) = group.member(user).await? else {
        return Ok(Some(RemoveOutcome::NotMember));
    };
    if !asker.is_above(member.role) {
        return Ok(Some(RemoveOutcome::Forbidden));
    }
    let is_last = group.size().await? == 1;
    if member.role == Role::Owner {
        if !owners {
            return Ok(None);
        }
        if !is_last && !group.has_other_owner(user).await? {
            return Ok(Some(RemoveOutcome::OwnerRequired));
        }
    }
    if is_last {
        group.forget(user).await?;
        group.dismiss().await?;
    } else {
        group.expel(user).await?;
    }
    Ok(Some(RemoveOutcome::Removed))
}

impl Write for SetRole {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.group.members(), self.user.profile()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        let what = OnGroup::SetRole;
        let member = require_over(&self.actor, &mut group, what, &self.user).await?;
        existing_user(group.txn, &self.user, "user").await?;
        if self.role == Role::Owner {
            return hand_over(&mut group, &self.user, member).await;
        }
        if member.role == Role::Owner && !group.has_other_owner(&self.user).await? {
            return Err(owner_required());
        }
        let role = self.role;
        let changed = Member { role, ..member };
        Ok(group.put_member(&self.user, &changed).await?)
    }
}

impl Write for Transfer {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.group.members(), self.to.profile()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        let what = OnGroup::SetRole;
        let member = require_over(&self.actor, &mut group, what, &self.to).await?;
        existing_user(group.txn, &self.to, "user").await?;
        hand_over(&mut group, &self.to, member).await
    }
}

/// Makes a member the owner, who may speak, and every other owner an admin.
async fn hand_over<T: WriteTxn>(
    group: &mut Group<'_, T>,
    to: &UserId,
    member: Member,
) -> Result<(), Stop> {
    let owners = group.owners(BATCH + 1).await?;
    if owners.len() > BATCH {
        let message = format!("the group has more than {BATCH} owners: change their roles first");
        return Err(refuse(Code::OwnerRequired, "user", &message));
    }
    for (owner, member) in owners {
        if owner != *to {
            let role = Role::Admin;
            group.put_member(&owner, &Member { role, ..member }).await?;
        }
    }
    let owner = Member {
        role: Role::Owner,
        muted_until_ms: 0,
        ..member
    };
    Ok(group.put_member(to, &owner).await?)
}

impl Write for MuteMember {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.group.members()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        let what = OnGroup::MuteMember;
        let member = require_over(&self.actor, &mut group, what, &self.user).await?;
        let muted = Member {
            muted_until_ms: self.until_ms,
            ..member
        };
        Ok(group.put_member(&self.user, &muted).await?)
    }
}

/// A member's row, if the asker may change it: their own, or that of somebody
/// below them.
async fn own_or_below<T: WriteTxn>(
    actor: &Actor,
    group: &mut Group<'_, T>,
    user: &UserId,
    (own, other): (OnUser, OnGroup),
) -> Result<Member, Stop> {
    match actor {
        Actor::User(asker) if asker == user => {
            require_own(actor, user, own)?;
            group.member(user).await?.ok_or_else(not_found)
        }
        _ => require_over(actor, group, other, user).await,
    }
}

impl Write for SetNickname {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.group.members(), self.user.profile()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        let what = (OnUser::SetNickname, OnGroup::SetNickname);
        let member = own_or_below(&self.actor, &mut group, &self.user, what).await?;
        let profile = profile_of_user(group.txn, &self.user).await?;
        let nickname = self.nickname.clone();
        let renamed = described(Member { nickname, ..member }, profile);
        Ok(group.put_member(&self.user, &renamed).await?)
    }
}

impl Write for SetMemberExtra {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.group.members()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        let what = (OnUser::SetMemberExtra, OnGroup::SetMemberExtra);
        let member = own_or_below(&self.actor, &mut group, &self.user, what).await?;
        let extra = self.extra.clone();
        let changed = Member { extra, ..member };
        Ok(group.put_member(&self.user, &changed).await?)
    }
}
