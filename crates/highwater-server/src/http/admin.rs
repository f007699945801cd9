//! What only services do: import a history, and ask how the server is.

use super::groups::{self, ChangedList};
use super::negotiate::request_format;
use super::{App, body, coding, head, reply, terms};
use crate::audit::{Audited, Mismatch};
use crate::auth::Identity;
use crate::domain::{Actor, ImportRequest};
use crate::fault;
use axum::extract::{Request, State};
use axum::response::Response;
use highwater_protocol::codec::Format;
use highwater_protocol::{Code, ListKey, Refusal};
use highwater_store::Store;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) fn service<S: Store>(
    app: &App<S>,
    headers: &HeaderMap,
) -> Result<Arc<Identity>, Refusal> {
    let identity = app.identify(headers)?;
    match identity.actor {
        Actor::Service => Ok(identity),
        Actor::User(_) => Err(Refusal::new(
            Code::Forbidden,
            "this takes a token with the scope `service`",
        )
        .at("authorization")),
    }
}

#[derive(Serialize)]
struct Imported {
    applied: usize,
    heads: Vec<ChangedList>,
}

/// `POST /v1/admin/import`: one transaction of the org-history format.
pub(super) async fn import<S: Store>(State(app): State<Arc<App<S>>>, request: Request) -> Response {
    let terms = terms(&request);
    let run = async {
        let (parts, body) = request.into_parts();
        service(&app, &parts.headers)?;
        if request_format(&parts.headers)? != Format::Json {
            let message = "a history is written in application/json";
            let no = Refusal::new(Code::UnsupportedMediaType, message);
            return Err(no.at("content-type"));
        }
        let body = body::read(&app, &parts.headers, body).await?;
        let bytes = body.len();
        let parse = move || ImportRequest::parse(&body);
        let request = coding::off_thread(bytes, parse).await?;
        let applied = request.changes.len();
        let changed = app.directory.import(request).await?;
        let heads = changed.heads();
        let heads = heads.map(|(list, head)| ChangedList::new(list, head));
        Ok(Imported {
            applied,
            heads: heads.collect(),
        })
    };
    match run.await {
        Ok(imported) => reply::json(terms, StatusCode::OK, imported).await,
        Err(no) => reply::refusal(terms, no),
    }
}

#[derive(Serialize)]
struct Status {
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

/// `GET /v1/admin/status`.
pub(super) async fn status<S: Store>(State(app): State<Arc<App<S>>>, request: Request) -> Response {
    let (terms, headers) = head(request);
    let run = async {
        service(&app, &headers)?;
        let backlog = app.backlog().await?;
        let (connections, requests_in_flight) = app.metrics.load();
        let (writable, tick) = app.metrics.store();
        Ok(Status {
            server: env!("CARGO_PKG_VERSION"),
            uptime_s: app.started.elapsed().as_secs(),
            jobs: backlog.jobs,
            oldest_job_age_ms: backlog.oldest_age_ms,
            connections,
            requests_in_flight,
            writable,
            tick,
        })
    };
    match run.await {
        Ok(status) => reply::json(terms, StatusCode::OK, status).await,
        Err(no) => reply::refusal(terms, no),
    }
}

/// Rows that one request audits, about, if it does not say: a second's work.
const AUDIT_ROWS: u64 = 200_000;

/// Which lists to audit.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditRequest {
    /// Lists after this one; left out: from the first.
    after: Option<String>,
    /// About so many rows, up to 200,000; a longer list is audited whole.
    rows: Option<u64>,
}

#[derive(Serialize)]
struct AuditAnswer {
    lists: u64,
    rows: u64,
    mismatches: Vec<ShownMismatch>,
    /// Where to go on; left out: that was the last list.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
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

/// `POST /v1/admin/audit`: some of the heads against their rows.
pub(super) async fn audit<S: Store>(State(app): State<Arc<App<S>>>, request: Request) -> Response {
    let terms = terms(&request);
    let run = async {
        let (parts, body) = request.into_parts();
        service(&app, &parts.headers)?;
        let body = body::read(&app, &parts.headers, body).await?;
        let asked: AuditRequest = match body.is_empty() {
            true => AuditRequest::default(),
            false => groups::parse(&body)?,
        };
        let after = asked.after.map(|list| list.parse::<ListKey>()).transpose();
        let after = after.map_err(|no| no.within("after"))?;
        let rows = asked.rows.unwrap_or(AUDIT_ROWS).clamp(1, AUDIT_ROWS);
        let audited = app.audit(after, rows).await;
        audited
            .map(AuditAnswer::from)
            .map_err(|error| fault::of_store(&error))
    };
    match run.await {
        Ok(answer) => reply::json(terms, StatusCode::OK, answer).await,
        Err(no) => reply::refusal(terms, no),
    }
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
