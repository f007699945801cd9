//! What only services do: import a history, and ask how the server is.

use super::call::Call;
use super::{App, coding, reply};
use crate::audit::{Audited, Mismatch};
use crate::domain::ImportRequest;
use crate::domain::permissions::OnServer;
use crate::fault;
use axum::response::Response;
use highwater_protocol::kinds::Role;
use highwater_protocol::{ListKey, Refusal};
use highwater_store::Store;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A line of the org-history format.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape; the body is read by `ImportRequest`")]
pub(super) struct ImportBody {
    /// When it happened, in seconds since 1970.
    at: i64,
    /// Up to 1,000 changes, in their order.
    changes: Vec<ImportedChange>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape")]
struct ImportedChange {
    op: ImportedOp,
    group: String,
    /// Of a group that begins or is renamed.
    name: Option<String>,
    /// Who comes in, goes, or gets another role.
    user: Option<String>,
    /// As what they come in, or the role that they get.
    role: Option<Role>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "a shape")]
enum ImportedOp {
    /// A group begins, with nobody in it.
    Create,
    /// A group gets another name.
    Rename,
    /// A user comes in.
    Join,
    /// A member gets another role.
    Role,
    /// A member goes.
    Leave,
    /// A group ends, with whoever is in it.
    Dismiss,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Imported {
    /// Changes that were recorded: all of the request's.
    applied: usize,
}

/// Records one transaction of the org-history format.
pub(super) async fn import<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    OnServer::Import.require(&call.identity.actor)?;
    let body = call.body_bytes();
    let bytes = body.len();
    let parse = move || ImportRequest::parse(&body);
    let request = coding::off_thread(bytes, parse).await?;
    let applied = request.changes.len();
    let written = app.directory.import(request, &call.conditions()?).await?;
    let own = |()| Imported { applied };
    Ok(call.wrote(&app, StatusCode::OK, written, own).await)
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Status {
    server: &'static str,
    uptime_s: u64,
    /// Queued jobs: what has not reached all lists yet.
    jobs: u64,
    /// How long the oldest of them has been waiting; 0 if there is none.
    oldest_job_age_ms: u64,
    connections: i64,
    requests_in_flight: i64,
    /// Whether the last write met a database that takes writes.
    writable: bool,
    /// The store's count of its commits, at this process's last write.
    tick: i64,
}

/// How the server is.
pub(super) async fn status<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    OnServer::ReadStatus.require(&call.identity.actor)?;
    let backlog = app.backlog().await?;
    let (connections, requests_in_flight) = app.metrics.load();
    let (writable, tick) = app.metrics.store();
    let status = Status {
        server: env!("CARGO_PKG_VERSION"),
        uptime_s: app.started.elapsed().as_secs(),
        jobs: backlog.jobs,
        oldest_job_age_ms: backlog.oldest_age_ms,
        connections,
        requests_in_flight,
        writable,
        tick,
    };
    Ok(reply::json(call.terms, StatusCode::OK, status).await)
}

/// Rows that one request audits, about, if it does not say: a second's work.
const AUDIT_ROWS: u64 = 200_000;

/// Which lists to audit.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditRequest {
    /// Lists after this one; left out: from the first.
    after: Option<String>,
    /// About so many rows, up to 200,000; a longer list is audited whole.
    rows: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct AuditAnswer {
    lists: u64,
    rows: u64,
    mismatches: Vec<ShownMismatch>,
    /// Where to go on; left out: that was the last list.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct ShownMismatch {
    list: String,
    version: u64,
    head_count: u64,
    head_digest: String,
    rows_count: u64,
    rows_digest: String,
    corrected: bool,
}

impl From<Audited> for AuditAnswer {
    fn from(audited: Audited) -> Self {
        let shown = |mismatch: Mismatch| ShownMismatch {
            list: mismatch.list.to_string(),
            version: mismatch.head.version.get(),
            head_count: mismatch.head.count,
            head_digest: mismatch.head.digest.to_string(),
            rows_count: mismatch.rows.0,
            rows_digest: mismatch.rows.1.to_string(),
            corrected: mismatch.corrected,
        };
        Self {
            lists: audited.lists,
            rows: audited.rows,
            mismatches: audited.mismatches.into_iter().map(shown).collect(),
            next: audited.next.map(|list| list.to_string()),
        }
    }
}

/// Holds some of the heads against their rows.
pub(super) async fn audit<S: Store>(app: Arc<App<S>>, call: Call) -> Result<Response, Refusal> {
    OnServer::Audit.require(&call.identity.actor)?;
    let asked: AuditRequest = call.body_or_default()?;
    let after = asked.after.map(|list| list.parse::<ListKey>()).transpose();
    let after = after.map_err(|no| no.within("after"))?;
    let rows = asked.rows.unwrap_or(AUDIT_ROWS).clamp(1, AUDIT_ROWS);
    let audited = app.audit(after, rows).await;
    let audited = audited.map_err(|error| fault::of_store(&error))?;
    Ok(reply::json(call.terms, StatusCode::OK, AuditAnswer::from(audited)).await)
}

impl<S: Store> App<S> {
    /// How much work is queued, and since when.
    pub(super) async fn backlog(&self) -> Result<crate::metrics::BacklogReading, Refusal> {
        let backlog = self
            .store
            .backlog()
            .await
            .map_err(|error| fault::of_store(&error))?;
        let since = |at_ms| u64::try_from(self.clock.now_ms().saturating_sub(at_ms)).unwrap_or(0);
        Ok(crate::metrics::BacklogReading {
            jobs: backlog.jobs,
            oldest_age_ms: backlog.oldest_at_ms.map_or(0, since),
        })
    }
}
