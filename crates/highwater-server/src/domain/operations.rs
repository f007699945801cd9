//! What users and services do to groups: one transaction each, as a value.
//!
//! A user's role decides; a service may do anything for anybody. Both leave a
//! group that has members with at least one owner, if it had one, and making
//! somebody the owner leaves exactly one. (Only an import records roles as they
//! are.)

use super::group::{Group, Stop, not_found};
use super::ids::{check_description, check_name};
use super::permissions::{Allowed, OnGroup, Standing};
use super::{Actor, BATCH, GroupId, UserId};
use highwater_protocol::kinds::{GroupProfile, Member, Role};
use highwater_protocol::{Code, ListKey, Refusal};
use highwater_store::{Abort, Write, WriteTxn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A new group. Its creator, if it is a user, owns it.
#[derive(Clone, Debug)]
pub struct Create {
    /// Not in use yet.
    pub group: GroupId,
    /// `None`: a group that nobody is in, which only a service creates.
    pub owner: Option<UserId>,
    /// What it says about itself; checked.
    pub profile: GroupProfile,
}

/// New words for a group, by its owner or an admin. Only the header changes.
#[derive(Clone, Debug)]
pub struct Describe {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// `None`: as it was.
    pub name: Option<String>,
    /// `None`: as it was.
    pub description: Option<String>,
}

/// The end of a group, by its owner. In O(1): the members' own lists follow.
#[derive(Clone, Debug)]
pub struct Dismiss {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
}

/// A user enters a group as a member.
#[derive(Clone, Debug)]
pub struct Join {
    /// Which group.
    pub group: GroupId,
    /// Who enters.
    pub user: UserId,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

/// A user leaves a group. With its last member the group ends.
#[derive(Clone, Debug)]
pub struct Leave {
    /// Which group.
    pub group: GroupId,
    /// Who leaves.
    pub user: UserId,
}

/// Users are brought in as members, by the owner or an admin.
#[derive(Clone, Debug)]
pub struct Invite {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// Up to 250.
    pub users: Vec<UserId>,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

/// What became of one invited user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InviteOutcome {
    /// They are in.
    Added,
    /// They were in before; nothing changed.
    AlreadyMember,
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

impl Create {
    /// A new group, from what a request says of it.
    ///
    /// # Errors
    /// A name or description that is empty or over-long, by its field.
    pub fn new(
        group: GroupId,
        owner: Option<UserId>,
        name: String,
        description: String,
        at_ms: i64,
    ) -> Result<Self, Refusal> {
        check_name(&name)?;
        check_description(&description)?;
        let profile = GroupProfile {
            name,
            description,
            created_at_ms: at_ms,
            ..GroupProfile::default()
        };
        Ok(Self {
            group,
            owner,
            profile,
        })
    }
}

impl Describe {
    /// New words for a group, from what a request says.
    ///
    /// # Errors
    /// A name or description that is empty or over-long, by its field; neither
    /// of the two.
    pub fn new(
        actor: Actor,
        group: GroupId,
        name: Option<String>,
        description: Option<String>,
    ) -> Result<Self, Refusal> {
        if name.is_none() && description.is_none() {
            let message = "give a name, a description or both";
            return Err(Refusal::invalid("name", message));
        }
        name.as_deref().map(check_name).transpose()?;
        description.as_deref().map(check_description).transpose()?;
        Ok(Self {
            actor,
            group,
            name,
            description,
        })
    }
}

fn refuse(code: Code, field: &str, message: &str) -> Stop {
    Abort::Refused(Refusal::new(code, message).at(field))
}

/// How the asker stands to a group.
///
/// Refused with `group_not_found` if the group does not exist.
async fn standing<T: WriteTxn>(actor: &Actor, group: &mut Group<'_, T>) -> Result<Standing, Stop> {
    group.existing().await?;
    Ok(match actor {
        Actor::Service => Standing::Service,
        Actor::User(user) => match group.member(user).await? {
            Some(member) => Standing::of(member.role),
            None => Standing::Outsider,
        },
    })
}

/// Lets the asker pass if the table says so. Where it says "below", the caller
/// compares the returned standing with the role of whom it concerns.
///
/// Refused with `group_not_found` if the group does not exist, or the asker is
/// not in it; with `forbidden` if they are.
async fn require<T: WriteTxn>(
    actor: &Actor,
    group: &mut Group<'_, T>,
    what: OnGroup,
) -> Result<Standing, Stop> {
    let standing = standing(actor, group).await?;
    match what.allowed(standing) {
        Allowed::Yes | Allowed::Below => Ok(standing),
        Allowed::No | Allowed::AsSet if standing == Standing::Outsider => Err(not_found()),
        Allowed::No | Allowed::AsSet => Err(Abort::Refused(what.forbidden())),
    }
}

fn with_groups_of<'a>(
    group: &GroupId,
    users: impl IntoIterator<Item = &'a UserId>,
) -> Vec<ListKey> {
    let mut lists = vec![group.members()];
    lists.extend(users.into_iter().map(UserId::groups));
    lists
}

impl Write for Create {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        with_groups_of(&self.group, &self.owner)
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
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
                ..Member::default()
            };
            group.admit(owner, &member).await?;
        }
        Ok(())
    }
}

impl Write for Describe {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.group.members()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        require(&self.actor, &mut group, OnGroup::Describe).await?;
        let mut profile = group.profile().await?;
        if let Some(name) = &self.name {
            profile.name.clone_from(name);
        }
        if let Some(description) = &self.description {
            profile.description.clone_from(description);
        }
        Ok(group.put_profile(&profile).await?)
    }
}

impl Write for Dismiss {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        with_groups_of(&self.group, self.asker())
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        require(&self.actor, &mut group, OnGroup::Dismiss).await?;
        // Whoever dismissed it sees it gone at once, in their own list too.
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

impl Write for Join {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        with_groups_of(&self.group, [&self.user])
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        group.existing().await?;
        if group.member(&self.user).await?.is_some() {
            return Err(refuse(
                Code::AlreadyMember,
                "user",
                "the user is a member of the group already",
            ));
        }
        let member = Member {
            role: Role::Member,
            joined_at_ms: self.at_ms,
            ..Member::default()
        };
        Ok(group.admit(&self.user, &member).await?)
    }
}

impl Write for Leave {
    /// Whether the group ended with its last member.
    type Output = bool;
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        with_groups_of(&self.group, [&self.user])
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<bool, Stop> {
        let mut group = Group::new(txn, &self.group);
        let Some(member) = group.member(&self.user).await? else {
            return Err(refuse(
                Code::NotMember,
                "user",
                "the user is not a member of such a group",
            ));
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

fn owner_required() -> Stop {
    refuse(
        Code::OwnerRequired,
        "user",
        "the only owner cannot go while others remain: make another member the owner first",
    )
}

impl Write for Invite {
    /// One for each of the users, in their order.
    type Output = Vec<InviteOutcome>;
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        with_groups_of(&self.group, &self.users)
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<Vec<InviteOutcome>, Stop> {
        let mut group = Group::new(txn, &self.group);
        require(&self.actor, &mut group, OnGroup::Invite).await?;
        let member = Member {
            role: Role::Member,
            joined_at_ms: self.at_ms,
            ..Member::default()
        };
        let mut outcomes = Vec::with_capacity(self.users.len());
        for user in &self.users {
            outcomes.push(if group.member(user).await?.is_some() {
                InviteOutcome::AlreadyMember
            } else {
                group.admit(user, &member).await?;
                InviteOutcome::Added
            });
        }
        Ok(outcomes)
    }
}

impl Write for Remove {
    /// One for each of the users, in their order.
    type Output = Vec<RemoveOutcome>;
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        with_groups_of(&self.group, &self.users)
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

/// Removes one user, if the asker is above them. `None`: an owner,
/// whose turn it is not.
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
    if member.role == Role::Owner {
        if !owners {
            return Ok(None);
        }
        if group.size().await? > 1 && !group.has_other_owner(user).await? {
            return Ok(Some(RemoveOutcome::OwnerRequired));
        }
    }
    group.expel(user).await?;
    Ok(Some(RemoveOutcome::Removed))
}

impl Write for SetRole {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.group.members()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        require(&self.actor, &mut group, OnGroup::SetRole).await?;
        let Some(member) = group.member(&self.user).await? else {
            return Err(refuse(
                Code::NotMember,
                "user",
                "the user is not a member of the group",
            ));
        };
        let changed = |role| Member { role, ..member };
        if self.role == Role::Owner {
            hand_over(&mut group, &self.user).await?;
        } else if member.role == Role::Owner && !group.has_other_owner(&self.user).await? {
            return Err(owner_required());
        }
        Ok(group.put_member(&self.user, &changed(self.role)).await?)
    }
}

/// Makes every owner but `to` an admin.
async fn hand_over<T: WriteTxn>(group: &mut Group<'_, T>, to: &UserId) -> Result<(), Stop> {
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
    Ok(())
}
