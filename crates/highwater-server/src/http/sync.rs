//! `POST /v1/sync`.

use super::negotiate::request_format;
use super::{App, body, coding, reply, terms};
use axum::extract::{Request, State};
use axum::response::Response;
use highwater_protocol::message::SyncRequest;
use highwater_protocol::{Refusal, shape, wire};
use highwater_store::Store;
use std::sync::Arc;

pub(super) async fn sync<S: Store>(State(app): State<Arc<App<S>>>, request: Request) -> Response {
    let terms = terms(&request);
    reply::outcome(terms, answer(&app, request).await).await
}

async fn answer<S: Store>(app: &App<S>, request: Request) -> Result<wire::SyncResponse, Refusal> {
    let (parts, body) = request.into_parts();
    let identity = app.identify(&parts.headers)?;
    let format = request_format(&parts.headers)?;
    let body = body::read(app, &parts.headers, body).await?;
    let bytes = body.len();
    let parse = move || {
        shape::check_sync_request(format, &body)?;
        let request: wire::SyncRequest = format.decode(body)?;
        SyncRequest::try_from(request)
    };
    let request = coding::off_thread(bytes, parse).await?;
    let response = app.reader.sync(&identity.actor, &request).await?;
    let mut response = wire::SyncResponse::from(response);
    // Whoever is aligned has nothing to tell, and is not told either.
    response.receipts = app.receipts.wants_any() && !response.answers.is_empty();
    Ok(response)
}
