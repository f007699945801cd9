//! HTTP: one of the ways in which the messages travel, and the only place that
//! knows it.

mod admin;
mod body;
mod call;
mod changes;
mod coding;
mod conversations;
pub(crate) mod document;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod groups;
mod health;
mod items;
mod lists;
mod negotiate;
pub(crate) mod operations;
mod people;
mod reads;
mod receipts;
mod reply;
pub(crate) mod serve;
mod sync;

use crate::audit::Suspects;
use crate::auth::{Authenticator, Identity};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::Directory;
use crate::metrics::Metrics;
use crate::receipts::ReceiptBook;
use crate::request_id::RequestId;
use crate::stop::Stop;
use crate::sync::Reader;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use futures::FutureExt as _;
use highwater_protocol::{Code, Refusal};
use highwater_store::Store;
#[cfg(test)]
use http::Method;
use http::header::{AUTHORIZATION, CONNECTION};
use http::{HeaderMap, HeaderValue, Version};
use negotiate::Terms;
use operations::Routes;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

/// When a caller may find a busy server ready, in milliseconds.
const BUSY_RETRY_MS: u64 = 1_000;

const REQUEST_ID: &str = "x-request-id";

/// Everything that a request may need.
#[derive(Debug)]
pub(crate) struct App<S> {
    pub(crate) config: Config,
    pub(crate) store: S,
    pub(crate) authenticator: Authenticator,
    pub(crate) reader: Reader<S>,
    pub(crate) directory: Directory<S>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) stop: Stop,
    /// One for each request that may be answered at once.
    pub(crate) permits: Semaphore,
    /// Lists whose heads are to be looked at soon.
    pub(crate) suspects: Arc<Suspects>,
    /// What devices told of their repairs.
    pub(crate) receipts: ReceiptBook,
    pub(crate) started: Instant,
    /// The names of the routes.
    pub(crate) routes: Routes,
}

impl<S: Store> App<S> {
    /// Who sent a request.
    fn identify(&self, headers: &HeaderMap) -> Result<Arc<Identity>, Refusal> {
        let mut sent = headers.get_all(AUTHORIZATION).iter();
        match (sent.next(), sent.next()) {
            (header, None) => self
                .authenticator
                .authenticate(header.map(HeaderValue::as_bytes)),
            (_, Some(_)) => Err(Refusal::new(
                Code::InvalidToken,
                "the request has more than one authorization",
            )
            .at("authorization")),
        }
    }
}

/// The addresses, and who answers at them. Ids in a path are percent-encoded:
/// a slash within one is `%2F`.
pub(crate) fn router<S: Store>(app: &Arc<App<S>>) -> Router {
    operations::router(operations::table::<S>())
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        .with_state(Arc::clone(app))
}

/// The names of the routes.
pub(crate) fn routes<S: Store>() -> Routes {
    Routes::new(&operations::table::<S>())
}

/// Whether a route is answered however busy the server is.
fn is_always_answered(route: &str) -> bool {
    matches!(route, "healthz" | "readyz" | "metrics")
}

/// Counts a request as being answered for as long as it lives: a caller who
/// hangs up takes the work on their request with them.
struct InFlight<'a>(&'a Metrics);

impl<'a> InFlight<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.request_began();
        Self(metrics)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

/// Answers one request: everything that concerns all of them is here.
pub(crate) async fn handle<S, B>(
    app: &App<S>,
    router: Router,
    mut request: http::Request<B>,
) -> Response
where
    S: Store,
    B: HttpBody<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let began = Instant::now();
    let in_flight = InFlight::new(&app.metrics);
    let method = request.method().clone();
    let route = app.routes.name(&method, request.uri().path());
    let version = request.version();
    let id = RequestId::of(request.headers().get(REQUEST_ID).map(HeaderValue::as_bytes));
    let terms = Terms::of(request.headers());
    request.extensions_mut().insert(terms);

    let permit = app.permits.try_acquire();
    let mut response = if permit.is_err() && !is_always_answered(route) {
        let busy = Refusal::new(Code::Unavailable, "the server is busy: try again")
            .retry_after_ms(BUSY_RETRY_MS);
        reply::refusal(terms, busy)
    } else {
        let answered = AssertUnwindSafe(router.oneshot(request.map(Body::new))).catch_unwind();
        match id.scope(answered).await {
            Ok(Ok(response)) => response,
            Err(_) => {
                let failed = Refusal::new(Code::Internal, "the server failed on this request");
                reply::refusal(terms, failed)
            }
        }
    };
    drop(permit);
    drop(in_flight);

    let status = response.status();
    if status.is_server_error() {
        let id = HeaderValue::from_str(&id.to_string())
            .unwrap_or_else(|_| unreachable!("an id is plain"));
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if app.stop.is_said() && version <= Version::HTTP_11 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    let took = began.elapsed();
    let sent = response.body().size_hint().exact();
    app.metrics
        .answered_request(route, status.as_u16(), took, sent);
    let (status, ms, bytes) = (status.as_u16(), took.as_secs_f64() * 1e3, sent.unwrap_or(0));
    match status {
        500.. => tracing::error!(request = %id, %method, route, status, ms, bytes, "answered"),
        400.. => tracing::info!(request = %id, %method, route, status, ms, bytes, "answered"),
        _ => tracing::debug!(request = %id, %method, route, status, ms, bytes, "answered"),
    }
    response
}

/// How a request wants to be answered.
fn terms(request: &Request) -> Terms {
    request
        .extensions()
        .get()
        .copied()
        .unwrap_or_else(|| Terms::of(request.headers()))
}

/// What there is to a request whose body is of no interest. (A body cannot be
/// shared, so a request that has one cannot be held while something is awaited.)
fn head(request: Request) -> (Terms, HeaderMap) {
    let terms = terms(&request);
    (terms, request.into_parts().0.headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_store::memory::MemoryStore;

    #[test]
    fn a_route_is_named_without_what_is_in_the_path() {
        let routes = routes::<MemoryStore>();
        for (method, path, name) in [
            (Method::POST, "/v1/sync", "sync"),
            (Method::GET, "/v1/lists/members/org/team", "readList"),
            (Method::POST, "/v1/groups", "createGroup"),
            (Method::GET, "/v1/groups", "none"),
            (Method::DELETE, "/v1/groups/org%2Fteam", "dismissGroup"),
            (Method::HEAD, "/v1/groups/org%2Fteam", "readGroup"),
            (Method::POST, "/v1/groups/g/members:invite", "inviteMembers"),
            (Method::PUT, "/v1/groups/g/members/u/role", "setRole"),
            (Method::GET, "/v1/groups/g/x", "none"),
            (Method::GET, "/healthz", "healthz"),
            (Method::GET, "/secret", "none"),
            (Method::GET, "", "none"),
        ] {
            assert_eq!(routes.name(&method, path), name, "{method} {path}");
        }
    }
}
