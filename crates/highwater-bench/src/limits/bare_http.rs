//! The same axum and hyper as the server's, on the same kind of runtime, which
//! read the same request and answer 60 bytes from memory.

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::routing::post;
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

const ANSWER: [u8; 60] = [b'.'; 60];

/// A running server; it stops when it is dropped.
#[derive(Debug)]
pub(crate) struct BareHttp {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl BareHttp {
    /// Begins to serve.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn start() -> Result<Self> {
        let runtime = crate::world::runtime()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let router = Router::new().route("/v1/sync", post(answer));
        runtime.spawn(accept(listener, router));
        Ok(Self {
            address,
            runtime: Some(runtime),
        })
    }

    /// Where it listens.
    #[must_use]
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for BareHttp {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(body: Bytes) -> Bytes {
    // The body is read to its end before this runs.
    drop(body);
    Bytes::from_static(&ANSWER)
}

async fn accept(listener: TcpListener, router: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, router.clone()));
    }
}

async fn serve(stream: TcpStream, router: Router) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    // A connection ends when the load hangs up.
    let _ = connection.await;
}
