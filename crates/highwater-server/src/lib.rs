//! The Highwater server: the rules of groups, who may read what, and all of it
//! over HTTP, on any [`Store`].
//!
//! ```
//! use highwater_server::auth::{Algorithm, Key, Keys, issue};
//! use highwater_server::config::Layers;
//! use highwater_server::{Clock, Server};
//! use highwater_store::memory::MemoryStore;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let config = Layers::new().flag("listen", Some("127.0.0.1:0".to_owned()))?.resolve()?;
//! let key = Key::generate("main", Algorithm::Hs256)?;
//! let token = issue(&key, "u1", None, Clock::system().now_ms() / 1_000, 3_600);
//! assert!(token.is_some(), "an HS256 key signs");
//!
//! let server = Server::new(config, MemoryStore::new([7; 16]), Keys::new(vec![key])?);
//! let bound = server.bind().await?;
//! println!("listening on {}", bound.local_addr());
//! // Runs until this future ends, then answers what it accepted.
//! let summary = bound.run(async {}).await;
//! assert_eq!(summary.cut, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod allowance;
mod audit;
pub mod auth;
mod clock;
pub mod config;
pub mod domain;
mod fault;
mod generations;
mod http;
mod logging;
mod metrics;
mod receipts;
mod request_id;
mod sketches;
mod stop;
mod sync;
mod upkeep;

pub use crate::http::document::document as openapi;
#[cfg(feature = "fuzzing")]
pub use crate::http::fuzzing;
pub use crate::http::serve::Summary;
pub use clock::Clock;
pub use logging::{init_logging, log_filter};
pub use metrics::Metrics;

use crate::audit::Suspects;
use crate::auth::{Authenticator, Keys};
use crate::config::Config;
use crate::domain::{Directory, FanOut, Rights};
use crate::http::{App, router, routes, serve};
use crate::receipts::ReceiptBook;
use crate::sketches::SketchCache;
use crate::stop::{Stop, Stopper};
use crate::sync::Reader;
use crate::upkeep::Upkeep;
use highwater_store::Store;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// A server that is not running yet.
#[derive(Debug)]
pub struct Server<S> {
    config: Config,
    store: S,
    keys: Keys,
    clock: Clock,
}

/// A server that has its port: connections already wait in line.
#[derive(Debug)]
pub struct BoundServer<S> {
    app: Arc<App<S>>,
    fan_out: Arc<FanOut<S>>,
    listener: TcpListener,
    local_addr: SocketAddr,
    stopper: Stopper,
}

impl<S: Store> Server<S> {
    /// A server over a store, which accepts tokens signed with `keys`.
    #[must_use]
    pub fn new(config: Config, store: S, keys: Keys) -> Self {
        Self {
            config,
            store,
            keys,
            clock: Clock::system(),
        }
    }

    /// Takes the time from another clock than the system's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Takes the port.
    ///
    /// # Errors
    /// What the system says, if the port is not to be had.
    pub async fn bind(self) -> io::Result<BoundServer<S>> {
        let listener = TcpListener::bind(self.config.listen).await?;
        let local_addr = listener.local_addr()?;
        let (stopper, stop) = Stopper::new();
        let fan_out = Arc::new(FanOut::new(self.store.clone()));
        let app = Arc::new(self.into_app(&fan_out, stop));
        Ok(BoundServer {
            app,
            fan_out,
            listener,
            local_addr,
            stopper,
        })
    }

    fn into_app(self, fan_out: &Arc<FanOut<S>>, stop: Stop) -> App<S> {
        let metrics = Arc::new(Metrics::new());
        let rights = Rights::new(self.config.rights_remembered);
        let suspects = Arc::new(Suspects::default());
        let receipts = ReceiptBook::new(self.config.receipts_kept, Arc::clone(&metrics));
        App {
            authenticator: Authenticator::new(
                self.keys,
                self.clock.clone(),
                self.config.tokens_remembered,
            ),
            reader: Reader::new(
                self.store.clone(),
                rights,
                SketchCache::new(self.clock.clone(), Arc::clone(&suspects)),
                Arc::clone(&metrics),
            ),
            directory: Directory::new(
                self.store.clone(),
                Arc::clone(fan_out),
                self.clock.clone(),
                Arc::clone(&metrics),
            ),
            permits: Semaphore::new(self.config.requests_max),
            suspects,
            receipts,
            started: Instant::now(),
            routes: routes::<S>(),
            config: self.config,
            store: self.store,
            metrics,
            clock: self.clock,
            stop,
        }
    }
}

impl<S: Store> BoundServer<S> {
    /// Where it listens: with the port that the system chose, if it was asked to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown` ends; then accepts nothing more, answers what it
    /// accepted, and finishes the step that its workers are at.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Summary {
        let Self {
            app,
            fan_out,
            listener,
            local_addr,
            stopper,
        } = self;
        tracing::info!(address = %local_addr, "listening");
        let upkeep = Upkeep::start(&app, &fan_out);
        let router = router(&app);
        let serving = serve::serve(app, router, listener);
        let stopping = async {
            shutdown.await;
            tracing::info!("shutting down");
            stopper.stop();
        };
        let (summary, ()) = tokio::join!(serving, stopping);
        upkeep.finish().await;
        tracing::info!(cut = summary.cut, "stopped");
        summary
    }
}
