//! The operations on groups.

use super::call::Call;
use super::changes::{Became, Nothing, Results};
use super::{App, reply};
use crate::domain::permissions::OnUser;
use crate::domain::{
    Actor, Announce, Approve, Conditions, Create, Describe, Dismiss, GroupId, Invite, Join, Leave,
    MuteGroup, MuteMember, Reject, Remove, Rules, SetMemberExtra, SetNickname, SetRole, SetRules,
    Transfer, USERS_PER_REQUEST, UserId, Withdraw, profile_of,
};
use axum::response::Response;
use highwater_protocol::kinds::{Circle, Extra, GroupProfile, JoinPolicy, Role};
use highwater_protocol::{Code, ItemId, Refusal};
use highwater_store::{Store, Write};
use http::StatusCode;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    /// 1 to 120 bytes; not in use.
    group: String,
    /// 1 to 256 bytes.
    name: String,
    /// Up to 4,096 bytes.
    #[serde(default)]
    description: String,
    /// Usually an address; up to 1,024 bytes.
    #[serde(default)]
    avatar: String,
    /// Who owns it; a user may only name themselves, and a service may leave it
    /// out: then nobody is in the group.
    owner: Option<String>,
    /// Who may join.
    join_policy: Option<JoinPolicy>,
    /// Who may invite.
    invited_by: Option<Circle>,
    /// Who may see the members.
    seen_by: Option<Circle>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JoinBody {
    /// Who; a user may leave it out, or name themselves.
    user: Option<String>,
    /// What they say to those who answer an application; up to 1,024 bytes.
    #[serde(default)]
    message: String,
    /// How they came; up to 64 bytes.
    #[serde(default)]
    source: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AnnounceBody {
    /// Up to 4,096 bytes; empty: nothing any more.
    text: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MuteGroupBody {
    /// Only the owner and the admins may speak.
    muted: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TransferBody {
    /// The new owner: a member.
    to: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MuteMemberBody {
    /// Milliseconds since 1970; 0: they may speak again.
    until_ms: i64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NicknameBody {
    /// Up to 256 bytes; empty: by their own name.
    nickname: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberExtraBody {
    extra: Extra,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerBody {
    /// With which words; up to 1,024 bytes.
    #[serde(default)]
    answer: String,
}

/// A body that may be missing altogether.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserBody {
    /// Who; a user may leave it out, or name themselves.
    user: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UsersBody {
    /// 1 to 1,000 users.
    users: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleBody {
    #[schemars(with = "Role")]
    role: String,
}

/// A group, for people and other services.
#[derive(Serialize, JsonSchema)]
pub(super) struct GroupAnswer {
    group: String,
    /// How many; left out for whoever may not see them.
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<u64>,
    #[serde(flatten)]
    profile: GroupProfile,
}

/// Reads a body as that of each operation, for the module `fuzzing`. Whether any
/// of them takes it.
#[cfg(feature = "fuzzing")]
pub(super) fn is_a_body(body: &[u8]) -> bool {
    use super::call::parse;
    let actor = || Actor::Service;
    let create = parse(body).and_then(|body: CreateBody| {
        let owner = body.owner.as_deref().map(UserId::new).transpose()?;
        let group = GroupId::new(&body.group)?;
        Create::new(actor(), group, owner, body.name, body.description, 0)
    });
    let describe = parse(body).and_then(|body: crate::domain::Description| {
        Describe::new(actor(), GroupId::new("g")?, body)
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
        (_, owner) => {
            let what = OnUser::CreateGroup;
            Some(call.for_whom(what, "owner", owner.as_deref())?)
        }
    };
    let (actor, at_ms) = (call.identity.actor.clone(), app.directory.now_ms());
    let write = Create::new(actor, group, owner, body.name, body.description, at_ms)?;
    let rules = Rules {
        join_policy: body.join_policy,
        invited_by: body.invited_by,
        seen_by: body.seen_by,
    };
    let write = write.with_avatar(body.avatar)?.with_rules(rules);
    let written = app.directory.write(write, &call.conditions()?).await?;
    let nothing = |()| Nothing {};
    Ok(call
        .wrote(&app, StatusCode::CREATED, written, nothing)
        .await)
}

pub(super) async fn describe<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (group, description) = (call.group()?, call.body()?);
    let conditions = call.conditions_on(group.members(), &ItemId::header())?;
    let write = Describe::new(call.identity.actor.clone(), group, description)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn dismiss<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let group = call.group()?;
    let conditions = call.conditions_on(group.members(), &ItemId::header())?;
    let write = Dismiss {
        actor: call.identity.actor.clone(),
        group,
    };
    call.done(&app, write, &conditions).await
}

pub(super) async fn join<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let body: JoinBody = call.body_or_default()?;
    let group = call.group()?;
    let user = call.for_whom(OnUser::Join, "user", body.user.as_deref())?;
    let (actor, at_ms) = (call.identity.actor.clone(), app.directory.now_ms());
    let write = Join::new(actor, group, user, body.message, body.source, at_ms)?;
    if !app.config.open_join && call.identity.actor != Actor::Service {
        let message = "one enters a group here by invitation";
        return Err(Refusal::new(Code::Forbidden, message));
    }
    let written = app.directory.write(write, &call.conditions()?).await?;
    let became = |outcome| Became { outcome };
    Ok(call.wrote(&app, StatusCode::OK, written, became).await)
}

pub(super) async fn leave<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let body: UserBody = call.body_or_default()?;
    let write = Leave {
        actor: call.identity.actor.clone(),
        group: call.group()?,
        user: call.for_whom(OnUser::Leave, "user", body.user.as_deref())?,
    };
    let written = app.directory.write(write, &call.conditions()?).await?;
    let nothing = |_| Nothing {};
    Ok(call.wrote(&app, StatusCode::OK, written, nothing).await)
}

/// Carries out a write on users, in batches, and says what became of each.
async fn each<S, W, O>(
    app: &App<S>,
    call: &Call,
    users: Vec<UserId>,
    write: impl Fn(Vec<UserId>) -> W,
) -> Result<Response, Refusal>
where
    S: Store,
    W: Write<Output = Vec<O>, Refusal = Refusal>,
    O: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static,
{
    let conditions = call.conditions()?;
    let written = app
        .directory
        .write_in_batches("users", &users, &conditions, write);
    let written = written.await?;
    let results = |outcomes| Results::new(&users, outcomes);
    Ok(call.wrote(app, StatusCode::OK, written, results).await)
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
    each(&app, &call, users, write).await
}

pub(super) async fn remove<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (group, users) = (call.group()?, users_of(&call.body()?)?);
    let actor = call.identity.actor.clone();
    let write = |users| Remove {
        actor: actor.clone(),
        group: group.clone(),
        users,
    };
    each(&app, &call, users, write).await
}

pub(super) async fn announce<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (group, AnnounceBody { text }) = (call.group()?, call.body()?);
    let conditions = call.conditions_on(group.members(), &ItemId::header())?;
    let (actor, at_ms) = (call.identity.actor.clone(), app.directory.now_ms());
    let write = Announce::new(actor, group, text, at_ms)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn mute<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (group, MuteGroupBody { muted }) = (call.group()?, call.body()?);
    let conditions = call.conditions_on(group.members(), &ItemId::header())?;
    let actor = call.identity.actor.clone();
    let write = MuteGroup {
        actor,
        group,
        muted,
    };
    call.done(&app, write, &conditions).await
}

pub(super) async fn set_rules<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (group, rules) = (call.group()?, call.body()?);
    let conditions = call.conditions_on(group.members(), &ItemId::header())?;
    let write = SetRules::new(call.identity.actor.clone(), group, rules)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn transfer<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (group, TransferBody { to }) = (call.group()?, call.body()?);
    let to = UserId::new(&to).map_err(|no| no.at("to"))?;
    let actor = call.identity.actor.clone();
    let write = Transfer { actor, group, to };
    call.done(&app, write, &call.conditions()?).await
}

/// The group and the member that the path names, and the conditions on the member.
fn member(call: &Call) -> Result<(Actor, GroupId, UserId, Conditions), Refusal> {
    let (group, user) = (call.group()?, UserId::new(call.named("user"))?);
    let conditions = call.conditions_on(group.members(), user.as_item())?;
    Ok((call.identity.actor.clone(), group, user, conditions))
}

pub(super) async fn set_role<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (actor, group, user, conditions) = member(&call)?;
    let body: RoleBody = call.body()?;
    let write = SetRole {
        actor,
        group,
        user,
        role: Role::parse(&body.role)?,
    };
    call.done(&app, write, &conditions).await
}

pub(super) async fn mute_member<S: Store>(
    app: Arc<App<S>>,
    call: Call,
) -> Result<Response, Refusal> {
    let (actor, group, user, conditions) = member(&call)?;
    let MuteMemberBody { until_ms } = call.body()?;
    let write = MuteMember::new(actor, group, user, until_ms, app.directory.now_ms())?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn set_nickname<S: Store>(
    app: Arc<App<S>>,
    call: Call,
) -> Result<Response, Refusal> {
    let (actor, group, user, conditions) = member(&call)?;
    let NicknameBody { nickname } = call.body()?;
    let write = SetNickname::new(actor, group, user, nickname)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn set_member_extra<S: Store>(
    app: Arc<App<S>>,
    call: Call,
) -> Result<Response, Refusal> {
    let (actor, group, user, conditions) = member(&call)?;
    let MemberExtraBody { extra } = call.body()?;
    let write = SetMemberExtra {
        actor,
        group,
        user,
        extra,
    };
    call.done(&app, write, &conditions).await
}

/// The group and the applicant that the path names, and the conditions on the
/// application.
fn application(call: &Call) -> Result<(Actor, GroupId, UserId, Conditions), Refusal> {
    let (group, user) = (call.group()?, UserId::new(call.named("user"))?);
    let conditions = call.conditions_on(group.join_requests(), user.as_item())?;
    Ok((call.identity.actor.clone(), group, user, conditions))
}

pub(super) async fn approve<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (actor, group, user, conditions) = application(&call)?;
    let at_ms = app.directory.now_ms();
    let write = Approve {
        actor,
        group,
        user,
        at_ms,
    };
    call.done(&app, write, &conditions).await
}

pub(super) async fn reject<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (actor, group, user, conditions) = application(&call)?;
    let AnswerBody { answer } = call.body_or_default()?;
    let write = Reject::new(actor, group, user, answer, app.directory.now_ms())?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn withdraw<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (group, user) = (call.group()?, UserId::new(call.named("user"))?);
    let conditions = call.conditions_on(user.sent_join_requests(), group.as_item())?;
    let actor = call.identity.actor.clone();
    let write = Withdraw { actor, group, user };
    call.done(&app, write, &conditions).await
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
        members: head.map(|head| head.count.saturating_sub(1)),
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
