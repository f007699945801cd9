//! The loop that accepts connections, and their orderly end.
//!
//! Plain HTTP, 1.1 and 2 (by prior knowledge), told apart by a connection's
//! first bytes; TLS is a proxy's business. The loop is our own because of what
//! ready-made ones leave open: small answers carry no `date`, a connection that
//! says nothing is closed, and one that was accepted is answered even if a
//! shutdown begins in between.

use super::{App, handle};
use axum::Router;
use highwater_store::Store;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

/// What HTTP/2 begins with, as far as no HTTP/1 method does.
const HTTP2_START: &[u8; 3] = b"PRI";
/// How long to wait for the rest of so few bytes.
const START_POLL: Duration = Duration::from_millis(5);
/// How long to wait before accepting again when the system refuses (it has no
/// more files to open, say).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long a connection that is idle when a shutdown begins is still listened
/// to: a request may be on its way.
const GRACE: Duration = Duration::from_millis(200);
/// How long the listener may be idle before it is closed, in a shutdown, and
/// how long it stays open at most.
const LAST_ACCEPT: Duration = Duration::from_millis(5);
const LAST_ACCEPTS: Duration = Duration::from_millis(100);
const STREAMS_MAX: u32 = 256;
const HTTP2_HEADER_BYTES_MAX: u32 = 16 * 1024;
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Connections that were cut off because the deadline had come.
    pub cut: usize,
}

/// Serves until it is told to stop, then answers what it accepted.
pub(crate) async fn serve<S: Store>(
    app: Arc<App<S>>,
    router: Router,
    listener: TcpListener,
) -> Summary {
    let mut connections = Connections {
        slots: Arc::new(Semaphore::new(app.config.connections_max)),
        tasks: JoinSet::new(),
        app,
        router,
    };
    connections.accept_all(&listener).await;
    connections.accept_last(&listener).await;
    drop(listener);
    connections.finish().await
}

struct Connections<S> {
    app: Arc<App<S>>,
    router: Router,
    slots: Arc<Semaphore>,
    tasks: JoinSet<()>,
}

impl<S: Store> Connections<S> {
    async fn accept_all(&mut self, listener: &TcpListener) {
        let mut stop = self.app.stop.clone();
        let slots = Arc::clone(&self.slots);
        loop {
            tokio::select! {
                biased;
                () = stop.said() => return,
                Some(ended) = self.tasks.join_next() => note(ended),
                accepted = accept(listener, &slots) => match accepted {
                    Ok((stream, slot)) => self.open(stream, slot),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_RETRY).await;
                    }
                },
            }
        }
    }

    /// Accepts what the system had accepted before the listener closes.
    async fn accept_last(&mut self, listener: &TcpListener) {
        let slots = Arc::clone(&self.slots);
        let all = async {
            while let Ok(Ok((stream, slot))) = timeout(LAST_ACCEPT, accept(listener, &slots)).await
            {
                self.open(stream, slot);
            }
        };
        // Whoever still comes is turned away by the closed port.
        let _ = timeout(LAST_ACCEPTS, all).await;
    }

    fn open(&mut self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        let (app, router) = (Arc::clone(&self.app), self.router.clone());
        self.tasks.spawn(async move {
            let _slot = slot;
            app.metrics.connection_opened();
            let counted = Counted(&app);
            if let Err(error) = connection(&app, router, stream).await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(counted);
        });
    }

    async fn finish(mut self) -> Summary {
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                note(ended);
            }
        };
        let deadline = self.app.config.shutdown_deadline;
        // Past it, those that are left are cut off.
        let _ = timeout(deadline, all).await;
        let cut = self.tasks.len();
        if cut > 0 {
            tracing::warn!(connections = cut, "cut off at the shutdown's deadline");
        }
        self.tasks.shutdown().await;
        Summary { cut }
    }
}

/// Counts a connection as open for as long as it lives.
struct Counted<'a, S>(&'a App<S>);

impl<S> Drop for Counted<'_, S> {
    fn drop(&mut self) {
        self.0.metrics.connection_closed();
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection failed");
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// What a connection speaks, from its first bytes; `None`: it said nothing.
async fn protocol(stream: &TcpStream) -> io::Result<Option<Protocol>> {
    let mut start = [0; HTTP2_START.len()];
    loop {
        let seen = stream.peek(&mut start).await?;
        match &start[..seen] {
            [] => return Ok(None),
            start if start == HTTP2_START => return Ok(Some(Protocol::Http2)),
            start if HTTP2_START.starts_with(start) => sleep(START_POLL).await,
            _ => return Ok(Some(Protocol::Http1)),
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn connection<S: Store>(
    app: &Arc<App<S>>,
    router: Router,
    stream: TcpStream,
) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let said_nothing = async {
        tokio::select! {
            () = sleep(app.config.header_timeout) => {}
            () = stopping(app) => {}
        }
    };
    let protocol = tokio::select! {
        biased;
        protocol = protocol(&stream) => protocol?,
        () = said_nothing => None,
    };
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let (app, router) = (Arc::clone(app), router.clone());
        async move { Ok::<_, Infallible>(handle(&app, router, request).await) }
    });
    let io = TokioIo::new(stream);
    match protocol {
        None => Ok(()),
        Some(Protocol::Http1) => {
            let mut http = http1::Builder::new();
            http.auto_date_header(false)
                .timer(TokioTimer::new())
                .header_read_timeout(app.config.header_timeout);
            drive(app, http.serve_connection(io, service)).await
        }
        Some(Protocol::Http2) => {
            let mut http = http2::Builder::new(TokioExecutor::new());
            http.auto_date_header(false)
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_MAX)
                .max_header_list_size(HTTP2_HEADER_BYTES_MAX)
                .keep_alive_interval(HTTP2_PING_INTERVAL)
                .keep_alive_timeout(HTTP2_PING_TIMEOUT);
            drive(app, http.serve_connection(io, service)).await
        }
    }
}

/// Waits for a shutdown, and the grace that idle connections have then.
async fn stopping<S>(app: &App<S>) {
    app.stop.clone().said().await;
    sleep(GRACE).await;
}

/// Serves a connection to its end, which a shutdown brings about after the
/// request that is being answered.
async fn drive<S, C>(app: &App<S>, connection: C) -> Result<(), Failure>
where
    C: GracefulConnection,
    C::Error: Into<Failure>,
{
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => Some(ended),
        () = stopping(app) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    ended.map_err(Into::into)
}
