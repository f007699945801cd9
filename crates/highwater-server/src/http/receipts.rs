//! `POST /v1/receipts`: what devices tell of their repairs; and
//! `GET /v1/admin/receipts`: what was told last.

use super::call::Call;
use super::lists::ShownHead;
use super::negotiate::request_format;
use super::{App, body, coding, reply, terms};
use crate::domain::permissions::OnServer;
use crate::receipts::Kept;
use axum::extract::{Request, State};
use axum::response::Response;
use highwater_protocol::message::{Receipts, Standing};
use highwater_protocol::{ItemId, Refusal, shape, wire};
use highwater_store::Store;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
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
    /// The last 1,000, the newest first.
    receipts: Vec<ShownReceipt>,
}

/// What one repair of one list did, on a device.
#[derive(Serialize, JsonSchema)]
struct ShownReceipt {
    /// When it was told, in milliseconds since 1970 by the server's clock.
    at_ms: i64,
    user: String,
    list: String,
    /// Why the list was repaired; docs/operations.md has the words.
    reason: &'static str,
    /// The last rung that was climbed.
    rung: &'static str,
    /// False: the list was quarantined.
    mended: bool,
    /// Elements that the mended copy has and the old one had not.
    added: u64,
    removed: u64,
    changed: u64,
    /// Those elements, up to 100 of them; the header's id is empty.
    ids: Vec<String>,
    requests: u64,
    bytes_up: u64,
    bytes_down: u64,
    /// Part of `bytes_down`: rows that came with their payload.
    item_bytes: u64,
    /// By the device's clock.
    began_at_ms: i64,
    duration_ms: u64,
    before: ShownStanding,
    after: ShownStanding,
}

/// Where both sides stood.
#[derive(Serialize, JsonSchema)]
struct ShownStanding {
    /// None: the device had no cursor.
    device: Option<ShownHead>,
    /// None: the server had not said.
    server: Option<ShownHead>,
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

fn shown(kept: &Kept) -> ShownReceipt {
    let receipt = &kept.receipt;
    let (difference, cost) = (&receipt.difference, receipt.cost);
    ShownReceipt {
        at_ms: kept.at_ms,
        user: kept.user.to_string(),
        list: receipt.list.to_string(),
        reason: receipt.reason.as_str(),
        rung: receipt.rung.as_str(),
        mended: receipt.mended,
        added: difference.added,
        removed: difference.removed,
        changed: difference.changed,
        ids: difference.ids.iter().map(ItemId::to_string).collect(),
        requests: cost.requests,
        bytes_up: cost.bytes_up,
        bytes_down: cost.bytes_down,
        item_bytes: cost.item_bytes,
        began_at_ms: receipt.began_at_ms,
        duration_ms: receipt.duration_ms,
        before: standing(&receipt.before),
        after: standing(&receipt.after),
    }
}

fn standing(standing: &Standing) -> ShownStanding {
    let (device, server) = (standing.device, standing.server);
    ShownStanding {
        device: device.map(|at| ShownHead::of(at.point, at.digest, at.count)),
        server: server.map(|at| ShownHead::of(at.point, at.digest, at.count)),
    }
}
