//! What can go wrong, named for who is at fault. Whatever is an error here
//! changed nothing on the device, unless its text says so.

use crate::driver::TransportError;
use crate::local::LocalError;
use highwater_protocol::Refusal;
use std::path::PathBuf;
use std::sync::Arc;

/// Why the SDK could not do what it was asked.
///
/// Cheap to clone: one failure may be the answer to several callers.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting of the builder is missing or of no use.
    #[error("{setting}: {message}")]
    Setting {
        /// The builder's method.
        setting: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// Another client, of this process or of another, has the database open.
    #[error("{} is in use by another client; close that one first", .path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// The place of the database cannot be written to, or not be reached.
    #[error("{} cannot be opened: {reason}", .path.display())]
    Unopenable {
        /// The database.
        path: PathBuf,
        /// What the system reports.
        reason: Arc<str>,
    },
    /// The file is not a database, or not any more, and could not be moved aside.
    #[error("{} is not a database, or is damaged; move it away, and the client makes a new one", .path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database of another program.
    #[error("{} is a database of another program; choose another path", .path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The database was written by a newer version of this software.
    #[error(
        "{} has schema {found}; this version knows schemas up to {supported} and does not go back: update it",
        .path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// The schema that it has.
        found: u32,
        /// The newest schema that this version knows.
        supported: u32,
    },
    /// The database, or the builder's `user`, is another user's than the token.
    #[error(
        "the database belongs to user {bound:?}, not to {given:?}; give each user a database of their own"
    )]
    OtherUser {
        /// Whose the database is.
        bound: String,
        /// Whom the token or the builder names.
        given: String,
    },
    /// The database holds lists of another server.
    #[error(
        "the database belongs to server {bound}, not to {given}; give each server a database of its own"
    )]
    OtherServer {
        /// Whose lists it holds.
        bound: String,
        /// Which server the builder names.
        given: String,
    },
    /// The token does not say whose it is.
    #[error("the token names no user ({0}); pass one with `user` if it is not a JWT with `sub`")]
    NamelessToken(Arc<str>),
    /// The token provider failed.
    #[error("no token: {0}")]
    Token(Arc<str>),
    /// The server could not be reached, or its answer not be received.
    #[error("the server was not reached: {0}")]
    Unreachable(#[source] TransportError),
    /// The server is not there, so a write was not sent: nothing was changed, and
    /// nothing is kept to be sent later.
    #[error("offline: the write was not sent, and nothing was changed ({0})")]
    Offline(#[source] TransportError),
    /// A write was sent, and what became of it is not known: it may have
    /// happened. The next sync shows what the server has.
    #[error("it is not known whether the write happened: {0}")]
    OutcomeUnknown(#[source] TransportError),
    /// What a write says breaks a rule that needs no server to know.
    #[error("the write was not sent: {0}")]
    Invalid(#[source] Refusal),
    /// The server refused the request.
    #[error("the server refused: {0}")]
    Refused(#[source] Refusal),
    /// The server does not speak this software's version of the protocol.
    #[error("the server speaks another version of the protocol: {0}")]
    UnsupportedProtocol(#[source] Refusal),
    /// The server's answer breaks the protocol; nothing of it was applied. A write
    /// that is answered so has happened.
    #[error("the server's answer breaks the protocol: {0}")]
    PeerMisbehaved(#[source] Refusal),
    /// The device's database failed.
    #[error("the device's database failed: {0}")]
    Database(#[source] Arc<LocalError>),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

impl Error {
    /// Whether the same call may succeed later without anyone doing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Offline(_) | Self::Token(_) => true,
            Self::Refused(refusal) => refusal.retry_after_ms > 0,
            _ => false,
        }
    }

    /// Why the server refused, if it did: its code, the field, and the limit.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) | Self::Invalid(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The database's file is not a database, or not any more.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::NotADatabase { .. } => true,
            Self::Database(fault) => fault.is_corrupt(),
            _ => false,
        }
    }

    pub(crate) fn setting(setting: &'static str, message: impl Into<String>) -> Self {
        Self::Setting {
            setting,
            message: message.into(),
        }
    }
}

impl From<Refusal> for Error {
    /// What a call says before anything is sent.
    fn from(refusal: Refusal) -> Self {
        Self::Invalid(refusal)
    }
}

impl From<LocalError> for Error {
    fn from(error: LocalError) -> Self {
        if error.is_closed() {
            Self::Closed
        } else {
            Self::Database(Arc::new(error))
        }
    }
}
