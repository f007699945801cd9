//! What users and services do to groups: one transaction each, as a value.
//!
//! The table of [`permissions`](super::permissions) decides who may. All of them
//! leave a group that has members with at least one owner, if it had one, and
//! making somebody the owner leaves exactly one. (Only an import records roles as
//! they are.)

mod joining;
mod life;
mod membership;
mod settings;

pub use joining::{Approve, Invite, InviteOutcome, Join, JoinOutcome, Reject, Withdraw};
pub(super) use life::new_profile;
pub use life::{Create, Dismiss};
pub use membership::{
    Leave, MuteMember, Remove, RemoveOutcome, SetMemberExtra, SetNickname, SetRole, Transfer,
};
pub use settings::{Announce, Describe, Description, MuteGroup, Rules, SetRules};

use super::group::{Group, Stop, not_found};
use super::people::{by, refuse};
use super::permissions::{Allowed, OnGroup, OnUser, Standing};
use super::{Actor, UserId};
use highwater_protocol::Code;
use highwater_protocol::kinds::{Circle, GroupProfile, Member};
use highwater_store::{Abort, WriteTxn};

fn not_member() -> Stop {
    let message = "the user is not a member of the group";
    refuse(Code::NotMember, "user", message)
}

fn already_member() -> Stop {
    let message = "the user is a member of the group already";
    refuse(Code::AlreadyMember, "user", message)
}

fn owner_required() -> Stop {
    refuse(
        Code::OwnerRequired,
        "user",
        "the only owner cannot go while others remain: make another member the owner first",
    )
}

/// Lets the asker pass if they may do this to the lists of `user`.
pub(super) fn require_own(actor: &Actor, user: &UserId, what: OnUser) -> Result<(), Stop> {
    what.require(actor, user).map_err(Abort::Refused)
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
    group.existing().await?;
    let standing = match actor {
        Actor::Service => Standing::Service,
        Actor::User(user) => match group.member(user).await? {
            Some(member) => Standing::of(member.role),
            None => return Err(not_found()),
        },
    };
    match is_allowed(group, what, standing).await? {
        true => Ok(standing),
        false => Err(Abort::Refused(what.forbidden())),
    }
}

/// Whether the table, with the group's settings, allows it to whoever stands so.
async fn is_allowed<T: WriteTxn>(
    group: &mut Group<'_, T>,
    what: OnGroup,
    standing: Standing,
) -> Result<bool, Stop> {
    Ok(match what.allowed(standing) {
        Allowed::Yes | Allowed::Below => true,
        Allowed::AsSet => is_set(what, &group.profile().await?),
        Allowed::No => false,
    })
}

/// Whether a group's settings let members do this.
fn is_set(what: OnGroup, profile: &GroupProfile) -> bool {
    match what {
        OnGroup::Invite => profile.invited_by == Some(Circle::Members),
        OnGroup::ReadMembers => sees_members(profile),
        _ => false,
    }
}

/// Whether a group's settings let members see one another.
pub(super) fn sees_members(profile: &GroupProfile) -> bool {
    profile.seen_by != Some(Circle::Admins)
}

/// Lets the asker pass if the table says so about `user`, who has to be a member
/// and, where it says "below", of a lower role.
async fn require_over<T: WriteTxn>(
    actor: &Actor,
    group: &mut Group<'_, T>,
    what: OnGroup,
    user: &UserId,
) -> Result<Member, Stop> {
    let standing = require(actor, group, what).await?;
    let member = group.member(user).await?.ok_or_else(not_member)?;
    match what.allowed(standing) == Allowed::Below && !standing.is_above(member.role) {
        true => Err(Abort::Refused(what.not_below())),
        false => Ok(member),
    }
}
