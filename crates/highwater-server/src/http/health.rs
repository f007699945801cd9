//! What machines ask: whether the server lives, is ready, and how it does; and
//! the handshake of versions.

use super::{App, head, reply, terms};
use crate::domain::KINDS;
use crate::{fault, metrics};
use axum::extract::{Request, State};
use axum::response::Response;
use highwater_protocol::{Code, Refusal, limits, wire};
use highwater_store::Store;
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;

const PLAIN: &str = "text/plain; charset=utf-8";
/// How long the store may take to show that it can be read.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// `GET /v1/hello`: what this server speaks. It takes no token.
pub(super) async fn hello<S: Store>(State(app): State<Arc<App<S>>>, request: Request) -> Response {
    let identity = app.identify(request.headers());
    let hello = wire::Hello {
        protocol_min: limits::PROTOCOL,
        protocol_max: limits::PROTOCOL,
        kinds: KINDS.map(str::to_owned).to_vec(),
        limits: Some(limits::announced()),
        server: concat!("highwater/", env!("CARGO_PKG_VERSION")).to_owned(),
        user: identity.map_or_else(|_| String::new(), |identity| identity.subject.to_string()),
    };
    reply::message(terms(&request), StatusCode::OK, hello).await
}

/// `GET /healthz`: the process answers.
pub(super) async fn alive() -> Response {
    reply::text(StatusCode::OK, PLAIN, "alive\n".to_owned())
}

/// `GET /readyz`: the store can be read, and the server is not shutting down.
/// One that takes no writes is still ready: it serves reads.
pub(super) async fn ready<S: Store>(State(app): State<Arc<App<S>>>, request: Request) -> Response {
    let (terms, _) = head(request);
    let not_ready = |no: Refusal| reply::refusal(terms, no);
    if app.stop.is_said() {
        let no = Refusal::new(Code::Unavailable, "the server is shutting down");
        return not_ready(no);
    }
    match tokio::time::timeout(READY_TIMEOUT, app.store.snapshot(&[])).await {
        Ok(Ok(_)) => reply::text(StatusCode::OK, PLAIN, "ready\n".to_owned()),
        Ok(Err(error)) => not_ready(Refusal {
            code: Code::Unavailable,
            ..fault::of_store(&error)
        }),
        Err(_) => not_ready(Refusal::new(
            Code::Unavailable,
            "the server's database does not answer",
        )),
    }
}

/// `GET /metrics`, for Prometheus.
pub(super) async fn metrics<S: Store>(State(app): State<Arc<App<S>>>) -> Response {
    match app.backlog().await {
        Ok(backlog) => app.metrics.backlog(backlog),
        // The other figures are wanted all the more.
        Err(no) => tracing::warn!(error = %no, "the backlog could not be read"),
    }
    reply::text(StatusCode::OK, metrics::CONTENT_TYPE, app.metrics.render())
}
