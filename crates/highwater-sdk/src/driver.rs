//! What the SDK needs of the world it runs in: a way to the server, a clock, a
//! place for its tasks, and a file to itself.
//!
//! Everything else in this crate is the same on a phone, on a computer and in a
//! browser. A driver is four small objects, so that one of them can be replaced
//! alone: a test brings its own [`Transport`] and keeps the rest.

use crate::error::Error;
use bytes::Bytes;
use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

/// A future that may move between threads where there are threads.
#[cfg(not(target_family = "wasm"))]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A future that may move between threads where there are threads.
#[cfg(target_family = "wasm")]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// `Send` where there are threads.
#[cfg(not(target_family = "wasm"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_family = "wasm"))]
impl<T: Send + ?Sized> MaybeSend for T {}
/// `Send` where there are threads.
#[cfg(target_family = "wasm")]
pub trait MaybeSend {}
#[cfg(target_family = "wasm")]
impl<T: ?Sized> MaybeSend for T {}

/// `Send + Sync` where there are threads.
#[cfg(not(target_family = "wasm"))]
pub trait Shared: Send + Sync {}
#[cfg(not(target_family = "wasm"))]
impl<T: Send + Sync + ?Sized> Shared for T {}
/// `Send + Sync` where there are threads.
#[cfg(target_family = "wasm")]
pub trait Shared {}
#[cfg(target_family = "wasm")]
impl<T: ?Sized> Shared for T {}

/// The world as the SDK sees it. Clones share its parts.
#[derive(Clone)]
pub struct Driver {
    /// The way to the server.
    pub transport: Arc<dyn Transport>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where tasks run.
    pub spawn: Arc<dyn Spawn>,
    /// Where databases are.
    pub storage: Arc<dyn Storage>,
}

/// What a request does at its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Asks, or has something done.
    #[default]
    Post,
    /// Puts something there, whole.
    Put,
    /// Changes some of what is there.
    Patch,
    /// Takes away what is there.
    Delete,
}

impl Method {
    /// Its name in HTTP.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A message on its way to the server.
#[derive(Clone)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// Where to, with scheme and host.
    pub url: String,
    /// The bearer token.
    pub token: Arc<str>,
    /// The message.
    pub body: Bytes,
    /// What form the message has.
    pub content_type: &'static str,
    /// For a write: what it goes by (`idempotency-key`), so that the server does
    /// it once however often it is sent; and that the answer is to be in
    /// protobuf (`accept: application/x-protobuf`), whatever form the message
    /// has. `None`: the request only reads.
    pub idempotency_key: Option<Arc<str>>,
}

impl fmt::Debug for Request {
    /// Everything but the token, which is a secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("body", &self.body)
            .field("content_type", &self.content_type)
            .field("idempotency_key", &self.idempotency_key)
            .finish_non_exhaustive()
    }
}

/// What the server answered, its content coding undone.
#[derive(Clone, Debug)]
pub struct Response {
    /// 200 for an answer, 201 and 204 too for a write's; anything else comes with
    /// the message `Error`, or with problem details (RFC 9457).
    pub status: u16,
    /// What form the body has, if the server said.
    pub content_type: Option<String>,
    /// The message.
    pub body: Bytes,
}

/// What has gone over the wire since the client was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that were sent.
    pub requests: u64,
    /// Bytes written to sockets, headers included, below TLS.
    pub bytes_sent: u64,
    /// Bytes read from sockets, headers included, below TLS.
    pub bytes_received: u64,
}

/// Why no answer was received. Requests to sync only read, and writes have their
/// key, so each may be sent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection came about.
    #[error("cannot connect to {host}: {reason}")]
    Connect {
        /// Host and port.
        host: String,
        /// What the system reports.
        reason: String,
    },
    /// The connection was there and nothing came for too long.
    #[error("no answer within {waited_ms} ms")]
    Timeout {
        /// How long was waited.
        waited_ms: u64,
    },
    /// The connection ended before the answer did.
    #[error("the connection ended in the middle of an answer: {0}")]
    CutShort(String),
    /// The answer is longer than this software takes.
    #[error("the answer has more than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes after decompression.
        limit: usize,
    },
    /// What came is no answer of a Highwater server.
    #[error("not an answer of this protocol: {0}")]
    Unintelligible(String),
}

/// Sends requests and receives answers.
pub trait Transport: Shared {
    /// Sends one request. Dropping the future gives the request up.
    ///
    /// # Errors
    /// Whatever kept the answer from arriving whole.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>>;

    /// What has gone over the wire so far.
    fn traffic(&self) -> Traffic;
}

/// Tells and waits for the time.
pub trait Clock: Shared {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> i64;

    /// Waits.
    fn sleep(&self, duration_ms: u64) -> BoxFuture<'static, ()>;
}

/// Runs tasks to their end.
pub trait Spawn: Shared {
    /// Runs a task beside the caller.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// Knows where databases are, and keeps a second client out.
pub trait Storage: Shared {
    /// Takes a database for one client alone, until the claim is dropped.
    ///
    /// # Errors
    /// [`Error::InUse`] while another claim on it lives, in whatever process;
    /// [`Error::Unopenable`] if the place cannot be used.
    fn claim(&self, path: PathBuf) -> BoxFuture<'_, Result<Claim, Error>>;

    /// Moves a database that is damaged out of the way, with all that belongs to
    /// it, and says where it is now. Never deletes anything. Nobody has it open
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Unopenable`] if it cannot be moved. A storage that cannot move
    /// anything need not say more.
    fn set_aside(&self, claim: &Claim) -> Result<PathBuf, Error> {
        Err(Error::Unopenable {
            path: claim.path.clone(),
            reason: "it is damaged, and cannot be moved aside here".into(),
        })
    }
}

/// The right to use a database, until it is dropped.
pub struct Claim {
    /// Where SQLite finds the database.
    pub path: PathBuf,
    /// The SQLite file system that it is in; `None`: the system's.
    pub vfs: Option<String>,
    /// What keeps others out while it lives.
    pub guard: Box<dyn Guard>,
}

/// Keeps others out of a database while it lives.
pub trait Guard: Any + Shared {}
impl<T: Any + Shared> Guard for T {}
