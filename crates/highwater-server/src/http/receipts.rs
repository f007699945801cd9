//! `POST /v1/receipts`: what devices tell of their repairs; and
//! `GET /v1/admin/receipts`: what was told last.

use super::call::Call;
use super::negotiate::request_format;
use super::{App, body, coding, reply, terms};
use crate::domain::permissions::OnServer;
use crate::receipts::Kept;
use axum::extract::{Request, State};
use axum::response::Response;
use highwater_protocol::message::{Receipts, Standing};
use highwater_protocol::{Digest, Point, Refusal, shape, wire};
use highwater_store::Store;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Receipts that one answer shows at most.
const SHOWN_MAX: usize = 1_000;

pub(super) async fn post<S: Store>(State(app): State<Arc<App<S>>>, request: Request) -> Response {
    let terms = terms(&request);
    reply::outcome(terms, take(&app, request).await).await
}

async fn take<S: Store>(app: &App<S>, request: Request) -> Result<wire::ReceiptsTaken, Refusal> {
    let (parts, body) = request.into_parts();
    let identity = app.identify(&parts.headers)?;
    let format = request_format(&parts.headers)?;
    let body = body::read(app, &parts.headers, body).await?;
    let bytes = body.len();
    let parse = move || {
        shape::check_receipts(format, &body)?;
        let receipts: wire::Receipts = format.decode(body)?;
        Receipts::try_from(receipts)
    };
    let receipts = coding::off_thread(bytes, parse).await?;
    let now_ms = app.clock.now_ms();
    let taken = app.receipts.take(&identity.actor, receipts, now_ms)?;
    Ok(wire::ReceiptsTaken {
        taken: u32::try_from(taken).unwrap_or(u32::MAX),
    })
}

/// What devices told of their repairs.
#[derive(Serialize, JsonSchema)]
pub(super) struct Told {
    /// Whether devices are asked to tell.
    wanted: bool,
    /// The last 1,000, the newest first; docs/operations.md has their fields.
    #[schemars(with = "Vec<Map<String, Value>>")]
    receipts: Vec<Value>,
}

/// What was told last.
pub(super) async fn last<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    OnServer::ReadReceipts.require(&call.identity.actor)?;
    let kept = app.receipts.last(SHOWN_MAX);
    let receipts = kept.iter().map(shown).collect();
    let answer = Told {
        wanted: app.receipts.wants_any(),
        receipts,
    };
    Ok(reply::json(call.terms, StatusCode::OK, answer).await)
}

fn shown(kept: &Kept) -> Value {
    let receipt = &kept.receipt;
    let (difference, cost) = (&receipt.difference, receipt.cost);
    let ids: Vec<&str> = difference.ids.iter().map(|id| id.as_str()).collect();
    json!({
        "at_ms": kept.at_ms,
        "user": kept.user.as_str(),
        "list": receipt.list.to_string(),
        "reason": receipt.reason.as_str(),
        "rung": receipt.rung.as_str(),
        "mended": receipt.mended,
        "added": difference.added,
        "removed": difference.removed,
        "changed": difference.changed,
        "ids": ids,
        "requests": cost.requests,
        "bytes_up": cost.bytes_up,
        "bytes_down": cost.bytes_down,
        "item_bytes": cost.item_bytes,
        "began_at_ms": receipt.began_at_ms,
        "duration_ms": receipt.duration_ms,
        "before": standing(&receipt.before),
        "after": standing(&receipt.after),
    })
}

fn standing(standing: &Standing) -> Value {
    let side = |point: Point, digest: Digest, count: u64| {
        json!({
            "lineage": point.lineage.to_string(),
            "version": point.version.get(),
            "digest": digest.to_string(),
            "count": count,
        })
    };
    let device = standing.device;
    let server = standing.server;
    json!({
        "device": device.map(|at| side(at.point, at.digest, at.count)),
        "server": server.map(|at| side(at.point, at.digest, at.count)),
    })
}
