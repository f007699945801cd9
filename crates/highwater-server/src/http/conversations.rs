//! The operations on conversations, and what services report of them.

use super::App;
use super::call::Call;
use crate::domain::{
    ActivityBody, ChangeConversation, ClearConversation, Conditions, ConversationChange,
    DeleteConversation, ReadConversation, ReportActivity, UserId,
};
use axum::response::Response;
use highwater_protocol::{ItemId, Refusal};
use highwater_store::Store;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadBody {
    /// The highest sequence that was read.
    seq: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ActivitiesBody {
    /// Up to 1,000.
    #[schemars(with = "Vec<ActivityBody>")]
    activities: Vec<Value>,
    /// Write those that can be written, and say which cannot; else one that cannot
    /// keeps all from being written.
    #[serde(default)]
    partial: bool,
}

/// The owner and the conversation that the path names, and the conditions on it.
fn conversation(call: &Call) -> Result<(UserId, &str, Conditions), Refusal> {
    let (user, id) = (UserId::new(call.named("user"))?, call.named("conversation"));
    let item = ItemId::new(id).map_err(|no| no.at("conversation"))?;
    let conditions = call.conditions_on(user.conversations(), &item)?;
    Ok((user, id, conditions))
}

pub(super) async fn change<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (user, id, conditions) = conversation(&call)?;
    let change: ConversationChange = call.body()?;
    let (actor, at_ms) = (call.identity.actor.clone(), app.directory.now_ms());
    let write = ChangeConversation::new(actor, user, id, change, at_ms)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn read<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (user, id, conditions) = conversation(&call)?;
    let ReadBody { seq } = call.body()?;
    let write = ReadConversation::new(call.identity.actor.clone(), user, id, seq)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn clear<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (user, id, conditions) = conversation(&call)?;
    let write = ClearConversation::new(call.identity.actor.clone(), user, id)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn delete<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let (user, id, conditions) = conversation(&call)?;
    let write = DeleteConversation::new(call.identity.actor.clone(), user, id)?;
    call.done(&app, write, &conditions).await
}

pub(super) async fn report<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    let ActivitiesBody {
        activities,
        partial,
    } = call.body()?;
    call.takes_no_tag()?;
    let report = ReportActivity::new(&call.identity.actor, activities, partial)?;
    let shared_above = app.config.conversations_shared_above;
    let written = app.directory.report_activity(&report, shared_above).await?;
    let own = |reported| reported;
    Ok(call.wrote(&app, StatusCode::OK, written, own).await)
}
