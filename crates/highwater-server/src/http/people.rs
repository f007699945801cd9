//! The operations on users: profiles, friends, requests, blocks.

use super::App;
use super::call::Call;
use super::changes::Became;
use crate::domain::{
    AcceptFriend, BlockUser, ChangeFriend, CheckedPair, DeleteFriend, DeleteUser, DescribeUser,
    FriendChange, FriendPair, ImportFriendOutcome, ImportFriends, ProfileChange, RejectFriend,
    RequestFriend, UnblockUser, UserId, WithdrawFriendRequest,
};
use axum::response::Response;
use highwater_protocol::{ItemId, Refusal};
use highwater_store::Store;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestBody {
    /// What the one who asks says; up to 1,024 bytes.
    #[serde(default)]
    message: String,
    /// Where the two met; up to 64 bytes.
    #[serde(default)]
    source: String,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RejectBody {
    /// What the one who rejects says; up to 1,024 bytes.
    #[serde(default)]
    answer: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportFriendsBody {
    /// Up to 1,000.
    pairs: Vec<FriendPair>,
    /// Add those that can be added, and say which cannot; else the first that
    /// cannot refuses the request.
    #[serde(default)]
    partial: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct ImportedFriends {
    /// One for each pair, in their order.
    results: Vec<ImportFriendOutcome>,
}

/// The user whom the path names: whether the asker may act for them is for the
/// table of permissions.
fn user(call: &Call) -> Result<UserId, Refusal> {
    UserId::new(call.named("user"))
}

fn other(call: &Call, field: &'static str) -> Result<UserId, Refusal> {
    UserId::new(call.named(field)).map_err(|no| Refusal {
        message: no.message.replacen("user", field, 1),
        ..no.at(field)
    })
}

pub(super) async fn put_profile<S: Store>(
    app: Arc<App<S>>,
    call: Call,
) -> Result<Response, Refusal> {
    let (user, profile): (_, ProfileChange) = (user(&call)?, call.body()?);
    let conditions = call.conditions_on(user.profile(), &ItemId::header())?;
    let actor = &call.identity.actor;
    let write = DescribeUser::put(actor, user, profile, app.directory.now_ms())?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn patch_profile<S: Store>(
    app: Arc<App<S>>,
    call: Call,
) -> Result<Response, Refusal> {
    let (user, change): (_, ProfileChange) = (user(&call)?, call.body()?);
    let conditions = call.conditions_on(user.profile(), &ItemId::header())?;
    let actor = &call.identity.actor;
    let write = DescribeUser::patch(actor, user, change, app.directory.now_ms())?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn delete_user<S: Store>(
    app: Arc<App<S>>,
    call: Call,
) -> Result<Response, Refusal> {
    let user = user(&call)?;
    let conditions = call.conditions_on(user.profile(), &ItemId::header())?;
    let write = DeleteUser::new(&call.identity.actor, user, app.directory.now_ms())?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn request_friend<S: Store>(
    app: Arc<App<S>>,
    call: Call,
) -> Result<Response, Refusal> {
    let (user, friend) = (user(&call)?, other(&call, "friend")?);
    let conditions = call.conditions_on(user.sent_friend_requests(), friend.as_item())?;
    let RequestBody { message, source } = call.body_or_default()?;
    let (actor, at_ms) = (&call.identity.actor, app.directory.now_ms());
    let write = RequestFriend::new(actor, user, friend, message, source, at_ms)?;
    let written = app.directory.write(write, &conditions).await?;
    let became = |outcome| Became { outcome };
    Ok(call.wrote(&app, StatusCode::OK, written, became).await)
}

pub(super) async fn withdraw_request<S: Store>(
    app: Arc<App<S>>,
    call: Call,
) -> Result<Response, Refusal> {
    let (user, friend) = (user(&call)?, other(&call, "friend")?);
    let conditions = call.conditions_on(user.sent_friend_requests(), friend.as_item())?;
    let write = WithdrawFriendRequest::new(&call.identity.actor, user, friend)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn accept_friend<S: Store>(
    app: Arc<App<S>>,
    call: Call,
) -> Result<Response, Refusal> {
    let (user, friend) = (user(&call)?, other(&call, "friend")?);
    let conditions = call.conditions_on(user.friend_requests(), friend.as_item())?;
    let (actor, at_ms) = (&call.identity.actor, app.directory.now_ms());
    let write = AcceptFriend::new(actor, user, friend, at_ms)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn reject_friend<S: Store>(
    app: Arc<App<S>>,
    call: Call,
) -> Result<Response, Refusal> {
    let (user, friend) = (user(&call)?, other(&call, "friend")?);
    let conditions = call.conditions_on(user.friend_requests(), friend.as_item())?;
    let RejectBody { answer } = call.body_or_default()?;
    let (actor, at_ms) = (&call.identity.actor, app.directory.now_ms());
    let write = RejectFriend::new(actor, user, friend, answer, at_ms)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn change_friend<S: Store>(
    app: Arc<App<S>>,
    call: Call,
) -> Result<Response, Refusal> {
    let (user, friend) = (user(&call)?, other(&call, "friend")?);
    let conditions = call.conditions_on(user.friends(), friend.as_item())?;
    let change: FriendChange = call.body()?;
    let write = ChangeFriend::new(&call.identity.actor, user, friend, change)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn delete_friend<S: Store>(
    app: Arc<App<S>>,
    call: Call,
) -> Result<Response, Refusal> {
    let (user, friend) = (user(&call)?, other(&call, "friend")?);
    let conditions = call.conditions_on(user.friends(), friend.as_item())?;
    let (actor, sides) = (&call.identity.actor, app.config.friends_delete);
    let write = DeleteFriend::new(actor, user, friend, sides)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn block<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (user, blocked) = (user(&call)?, other(&call, "blocked")?);
    let conditions = call.conditions_on(user.blocks(), blocked.as_item())?;
    let (actor, at_ms) = (&call.identity.actor, app.directory.now_ms());
    let write = BlockUser::new(actor, user, blocked, at_ms)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn unblock<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (user, blocked) = (user(&call)?, other(&call, "blocked")?);
    let conditions = call.conditions_on(user.blocks(), blocked.as_item())?;
    let write = UnblockUser::new(&call.identity.actor, user, blocked)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn import_friends<S: Store>(
    app: Arc<App<S>>,
    call: Call,
) -> Result<Response, Refusal> {
    let ImportFriendsBody { pairs, partial } = call.body()?;
    let (actor, at_ms) = (&call.identity.actor, app.directory.now_ms());
    let pairs = CheckedPair::all(actor, pairs, partial, at_ms)?;
    let conditions = call.conditions()?;
    let write = |pairs| ImportFriends::new(pairs, partial);
    let written = app
        .directory
        .write_in_batches("pairs", &pairs, &conditions, write);
    let own = |results| ImportedFriends { results };
    Ok(call.wrote(&app, StatusCode::OK, written.await?, own).await)
}
