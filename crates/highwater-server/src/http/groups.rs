//! The operations on groups.

use super::call::Call;
use super::changes::{Nothing, Results};
use super::{App, reply};
use crate::domain::{
    Actor, Create, Describe, Dismiss, GroupId, Invite, Join, Leave, Remove, SetRole,
    USERS_PER_REQUEST, UserId, profile_of,
};
use axum::response::Response;
use highwater_protocol::kinds::{GroupProfile, Role};
use highwater_protocol::{Code, ItemId, Refusal};
use highwater_store::Store;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
pub(super) struct CreateBody {
    /// 1 to 128 bytes; not in use.
    group: String,
    /// 1 to 256 bytes.
    name: String,
    /// Up to 4,096 bytes.
    #[serde(default)]
    description: String,
    /// Who owns it; a user may only name themselves, and a service may leave it
    /// out: then nobody is in the group.
    owner: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct DescribeBody {
    /// 1 to 256 bytes; left out: as it was.
    name: Option<String>,
    /// Up to 4,096 bytes; left out: as it was.
    description: Option<String>,
}

/// A body that may be missing altogether.
#[derive(Default, Deserialize, JsonSchema)]
pub(super) struct UserBody {
    /// Who; a user may leave it out, or name themselves.
    user: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct UsersBody {
    /// 1 to 1,000 users.
    users: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct RoleBody {
    #[schemars(with = "Role")]
    role: String,
}

/// A group, for people and other services.
#[derive(Serialize, JsonSchema)]
pub(super) struct GroupAnswer {
    group: String,
    /// How many.
    members: u64,
    #[serde(flatten)]
    profile: GroupProfile,
}

/// Reads a body as that of each operation, for the module `fuzzing`. Whether any
/// of them takes it.
#[cfg(feature = "fuzzing")]
pub(super) fn is_a_body(body: &[u8]) -> bool {
    use super::call::parse;
    let create = parse(body).and_then(|body: CreateBody| {
        let owner = body.owner.as_deref().map(UserId::new).transpose()?;
        Create::new(
            GroupId::new(&body.group)?,
            owner,
            body.name,
            body.description,
            0,
        )
    });
    let describe = parse(body).and_then(|body: DescribeBody| {
        let group = GroupId::new("g")?;
        Describe::new(Actor::Service, group, body.name, body.description)
    });
    let user =
        parse(body).and_then(|body: UserBody| body.user.as_deref().map(UserId::new).transpose());
    let users = parse(body).and_then(|body: UsersBody| users_of(&body));
    let role = parse(body).and_then(|body: RoleBody| Role::parse(&body.role));
    create.is_ok() || describe.is_ok() || user.is_ok() || users.is_ok() || role.is_ok()
}

fn users_of(body: &UsersBody) -> Result<Vec<UserId>, Refusal> {
    if body.users.is_empty() {
        return Err(Refusal::invalid("users", "name at least one user"));
    }
    if body.users.len() > USERS_PER_REQUEST {
        return Err(Refusal::too_many(
            "users",
            body.users.len(),
            USERS_PER_REQUEST,
        ));
    }
    let users = body.users.iter().enumerate();
    users
        .map(|(at, user)| UserId::new(user).map_err(|no| no.at(format!("users[{at}]"))))
        .collect()
}

pub(super) async fn create<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let body: CreateBody = call.body()?;
    let group = GroupId::new(&body.group)?;
    let owner = match (&call.identity.actor, &body.owner) {
        (Actor::Service, None) => None,
        (_, owner) => Some(call.for_whom("owner", owner.as_deref())?),
    };
    let at_ms = app.directory.now_ms();
    let write = Create::new(group, owner, body.name, body.description, at_ms)?;
    let written = app.directory.write(write, &call.conditions()?).await?;
    Ok(call
        .wrote(&app, StatusCode::CREATED, written, |()| Nothing {})
        .await)
}

pub(super) async fn describe<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let body: DescribeBody = call.body()?;
    let group = call.group()?;
    let conditions = call.conditions_on(group.members(), &ItemId::header())?;
    let actor = call.identity.actor.clone();
    let write = Describe::new(actor, group, body.name, body.description)?;
    let written = app.directory.write(write, &conditions).await?;
    Ok(call
        .wrote(&app, StatusCode::OK, written, |()| Nothing {})
        .await)
}

pub(super) async fn dismiss<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let group = call.group()?;
    let conditions = call.conditions_on(group.members(), &ItemId::header())?;
    let write = Dismiss {
        actor: call.identity.actor.clone(),
        group,
    };
    let written = app.directory.write(write, &conditions).await?;
    Ok(call
        .wrote(&app, StatusCode::OK, written, |()| Nothing {})
        .await)
}

pub(super) async fn join<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let body: UserBody = call.body_or_default()?;
    let write = Join {
        group: call.group()?,
        user: call.for_whom("user", body.user.as_deref())?,
        at_ms: app.directory.now_ms(),
    };
    if !app.config.open_join && call.identity.actor != Actor::Service {
        let message = "one enters a group here by invitation";
        return Err(Refusal::new(Code::Forbidden, message));
    }
    let written = app.directory.write(write, &call.conditions()?).await?;
    Ok(call
        .wrote(&app, StatusCode::OK, written, |()| Nothing {})
        .await)
}

pub(super) async fn leave<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let body: UserBody = call.body_or_default()?;
    let write = Leave {
        group: call.group()?,
        user: call.for_whom("user", body.user.as_deref())?,
    };
    let written = app.directory.write(write, &call.conditions()?).await?;
    Ok(call
        .wrote(&app, StatusCode::OK, written, |_| Nothing {})
        .await)
}

pub(super) async fn invite<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (group, users) = (call.group()?, users_of(&call.body()?)?);
    let (actor, at_ms) = (call.identity.actor.clone(), app.directory.now_ms());
    let write = |users| Invite {
        actor: actor.clone(),
        group: group.clone(),
        users,
        at_ms,
    };
    let conditions = call.conditions()?;
    let written = app
        .directory
        .write_in_batches("users", &users, &conditions, write);
    let written = written.await?;
    let results = |outcomes| Results::new(&users, outcomes);
    Ok(call.wrote(&app, StatusCode::OK, written, results).await)
}

pub(super) async fn remove<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (group, users) = (call.group()?, users_of(&call.body()?)?);
    let actor = call.identity.actor.clone();
    let write = |users| Remove {
        actor: actor.clone(),
        group: group.clone(),
        users,
    };
    let conditions = call.conditions()?;
    let written = app
        .directory
        .write_in_batches("users", &users, &conditions, write);
    let written = written.await?;
    let results = |outcomes| Results::new(&users, outcomes);
    Ok(call.wrote(&app, StatusCode::OK, written, results).await)
}

pub(super) async fn set_role<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let group = call.group()?;
    let user = UserId::new(call.named("user"))?;
    let body: RoleBody = call.body()?;
    let conditions = call.conditions_on(group.members(), user.as_item())?;
    let write = SetRole {
        actor: call.identity.actor.clone(),
        group,
        user,
        role: Role::parse(&body.role)?,
    };
    let written = app.directory.write(write, &conditions).await?;
    Ok(call
        .wrote(&app, StatusCode::OK, written, |()| Nothing {})
        .await)
}

/// What a group says about itself.
pub(super) async fn group<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let group = call.group()?;
    let header = app
        .reader
        .header(&call.identity.actor, &group.members())
        .await;
    let (head, header) = header.map_err(no_group)?;
    let answer = GroupAnswer {
        group: group.to_string(),
        members: head.count.saturating_sub(1),
        profile: profile_of(&header.payload)?,
    };
    let response = reply::json(call.terms, StatusCode::OK, answer).await;
    Ok(super::call::tagged(response, header.stamp))
}

/// Whether a group does not exist or is none of the reader's business is told
/// with the same words.
pub(super) fn no_group(no: Refusal) -> Refusal {
    match no.code {
        Code::Forbidden | Code::NotFound => Refusal::new(
            Code::GroupNotFound,
            "there is no such group, or you are not a member of it",
        )
        .at("group"),
        _ => no,
    }
}
