//! Reading without a copy.

use super::call::holds;
use super::{App, head, reply};
use crate::sync::Whole;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use highwater_core::Head;
use highwater_protocol::message::Snapshot;
use highwater_protocol::{ListKey, Point, Refusal, wire};
use highwater_store::Store;
use http::header::{ETAG, VARY};
use http::{HeaderValue, StatusCode};
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
        let has = |head: &Head| holds(&headers, &tag(head.point()));
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

fn unreadable(rejection: PathRejection) -> Refusal {
    Refusal::invalid("path", rejection.body_text())
}
