//! Reading without a copy: a whole list in one piece, or a group's profile.

use super::{App, head, reply};
use crate::domain::{GroupId, profile_of};
use crate::sync::Whole;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use highwater_core::Head;
use highwater_protocol::message::Snapshot;
use highwater_protocol::{Code, ListKey, Point, Refusal, wire};
use highwater_store::Store;
use http::header::{ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use std::sync::Arc;

/// `GET /v1/lists/{kind}/{owner}`: a `ListSnapshot`, with its head as the tag.
pub(super) async fn list<S: Store>(
    State(app): State<Arc<App<S>>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let (terms, headers) = head(request);
    let read = async {
        let identity = app.identify(&headers)?;
        let Path((kind, owner)) = path.map_err(unreadable)?;
        let list = ListKey::new(&kind, &owner)?;
        let has = |head: &Head| is_held(&headers, &tag(head.point()));
        app.reader.whole(&identity.actor, &list, has).await
    };
    match read.await {
        Ok(Whole::NotModified) => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        Ok(Whole::List(snapshot)) => whole(terms, snapshot).await,
        Err(no) => reply::refusal(terms, no),
    }
}

async fn whole(terms: super::Terms, snapshot: Snapshot) -> Response {
    let tag = tag(snapshot.head.point);
    let message = wire::ListSnapshot::from(snapshot);
    let mut response = reply::message(terms, StatusCode::OK, message).await;
    let headers = response.headers_mut();
    // Weak: the bytes depend on what was accepted too.
    let tag = HeaderValue::from_str(&format!("W/{tag}"))
        .unwrap_or_else(|_| unreachable!("a tag is plain"));
    headers.insert(ETAG, tag);
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    response
}

fn tag(point: Point) -> String {
    format!("\"{}-{}\"", point.lineage, point.version)
}

/// Whether a reader says that they hold what `tag` names.
fn is_held(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|held| held == "*" || held.strip_prefix("W/").unwrap_or(held) == tag)
}

fn unreadable(rejection: PathRejection) -> Refusal {
    Refusal::invalid("path", rejection.body_text())
}

/// A group, for people and other services.
#[derive(Serialize)]
struct GroupAnswer {
    group: String,
    name: String,
    description: String,
    created_at_ms: i64,
    /// Not for whoever may not see the members.
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<u64>,
}

/// `GET /v1/groups/{group}`: what the group says about itself.
pub(super) async fn group<S: Store>(
    State(app): State<Arc<App<S>>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (terms, headers) = head(request);
    let read = async {
        let identity = app.identify(&headers)?;
        let Path(group) = path.map_err(unreadable)?;
        let group = GroupId::new(&group)?;
        let header = app.reader.header(&identity.actor, &group.members()).await;
        let (head, payload) = header.map_err(no_group)?;
        let profile = profile_of(&payload)?;
        Ok(GroupAnswer {
            group: group.to_string(),
            name: profile.name,
            description: profile.description,
            created_at_ms: profile.created_at_ms,
            members: head.map(|head| head.count.saturating_sub(1)),
        })
    };
    match read.await {
        Ok(answer) => reply::json(terms, StatusCode::OK, answer).await,
        Err(no) => reply::refusal(terms, no),
    }
}

/// Whether a group does not exist or is none of the reader's business is told
/// with the same words.
fn no_group(no: Refusal) -> Refusal {
    match no.code {
        Code::Forbidden | Code::NotFound => Refusal::new(
            Code::GroupNotFound,
            "there is no such group, or you are not a member of it",
        )
        .at("group"),
        _ => no,
    }
}
