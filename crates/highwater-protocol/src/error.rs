//! Refusals: one enum of stable codes, and the message that carries one.

use crate::wire;
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// Why a request was refused. The string form is part of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $variant,)+
            /// A code that this software does not know (a newer peer's).
            Unknown,
        }

        impl Code {
            /// Every code that this software knows.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code as it travels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Unknown => "unknown",
                }
            }

            /// Reads a code; one that is not known becomes [`Code::Unknown`].
            #[must_use]
            pub fn parse(text: &str) -> Self {
                match text {
                    $($name => Self::$variant,)+
                    _ => Self::Unknown,
                }
            }
        }
    };
}

codes! {
    /// No token was sent.
    MissingToken = "missing_token",
    /// The token is malformed, or signed with another key or algorithm.
    InvalidToken = "invalid_token",
    /// The token's time is over, or has not begun.
    ExpiredToken = "expired_token",
    /// The token does not allow this.
    Forbidden = "forbidden",
    /// There is no such thing at this address.
    NotFound = "not_found",
    /// The address exists, but not with this method.
    MethodNotAllowed = "method_not_allowed",
    /// The body is neither protobuf nor JSON by its content type.
    UnsupportedMediaType = "unsupported_media_type",
    /// The body's content encoding is not supported.
    UnsupportedEncoding = "unsupported_encoding",
    /// The body cannot be decoded.
    MalformedMessage = "malformed_message",
    /// The message is written in a protocol version that is not spoken here.
    UnsupportedProtocol = "unsupported_protocol",
    /// A field is missing, or has a value that it may not have.
    InvalidField = "invalid_field",
    /// A lineage is zero.
    ZeroLineage = "zero_lineage",
    /// No such kind of list.
    UnknownKind = "unknown_kind",
    /// A field, or the whole request, is longer than its limit.
    TooLarge = "too_large",
    /// More entries than the limit allows.
    TooMany = "too_many",
    /// The group does not exist, or not for this user.
    GroupNotFound = "group_not_found",
    /// A group with this id exists.
    GroupExists = "group_exists",
    /// The user is not a member of the group.
    NotMember = "not_member",
    /// The user is a member already.
    AlreadyMember = "already_member",
    /// The owner cannot leave or be removed while others remain.
    OwnerRequired = "owner_required",
    /// The group does not let users join like this.
    JoinRefused = "join_refused",
    /// No such user, or they are being deleted.
    UserNotFound = "user_not_found",
    /// The two are friends already.
    AlreadyFriends = "already_friends",
    /// The user is no friend.
    NotFriend = "not_friend",
    /// There is no such request, or it was answered before.
    RequestNotFound = "request_not_found",
    /// The user blocks the one who asks.
    Blocked = "blocked",
    /// The user is not blocked.
    NotBlocked = "not_blocked",
    /// There is no such conversation.
    ConversationNotFound = "conversation_not_found",
    /// The item is not as `If-Match` says; nothing was changed.
    PreconditionFailed = "precondition_failed",
    /// The idempotency key was used before, with another request.
    IdempotencyMismatch = "idempotency_mismatch",
    /// The store refuses writes: disk full or read-only.
    ReadOnly = "read_only",
    /// Too busy, or shutting down; nothing was changed.
    Unavailable = "unavailable",
    /// The outcome of a write is not known: it may have happened.
    OutcomeUnknown = "outcome_unknown",
    /// The server failed; nothing was changed.
    Internal = "internal",
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A refusal: what was wrong, where, and by which limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// For people: what was wrong and what to do.
    pub message: String,
    /// The offending field as a path, such as `lists[3].cursor.lineage`; empty
    /// if no single field is at fault.
    pub field: String,
    /// The limit that was exceeded, in the field's own unit; 0 if none.
    pub limit: u64,
    /// When to come back, in milliseconds; 0 if coming back does not help.
    pub retry_after_ms: u64,
}

impl Refusal {
    /// A refusal with a code and a message.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: String::new(),
            limit: 0,
            retry_after_ms: 0,
        }
    }

    /// A field is missing or has a value that it may not have.
    #[must_use]
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidField, message).at(field)
    }

    /// A field is longer than `limit` bytes.
    #[must_use]
    pub fn too_large(field: impl Into<String>, bytes: usize, limit: usize) -> Self {
        let field = field.into();
        Self::new(
            Code::TooLarge,
            format!("{field} has {bytes} bytes; the limit is {limit}"),
        )
        .at(field)
        .limit(limit)
    }

    /// A field has more than `limit` entries.
    #[must_use]
    pub fn too_many(field: impl Into<String>, entries: usize, limit: usize) -> Self {
        let field = field.into();
        Self::new(
            Code::TooMany,
            format!("{field} has {entries} entries; the limit is {limit}"),
        )
        .at(field)
        .limit(limit)
    }

    /// Names the offending field.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }

    /// Puts `prefix` before the field's path.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        self.field = match self.field.as_str() {
            "" => prefix.to_owned(),
            field => format!("{prefix}.{field}"),
        };
        self
    }

    /// Names the limit.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit as u64;
        self
    }

    /// Says when to come back.
    #[must_use]
    pub const fn retry_after_ms(mut self, delay_ms: u64) -> Self {
        self.retry_after_ms = delay_ms;
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for wire::Error {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code.as_str().to_owned(),
            message: refusal.message,
            field: refusal.field,
            limit: refusal.limit,
            retry_after_ms: refusal.retry_after_ms,
        }
    }
}

impl From<wire::Error> for Refusal {
    fn from(error: wire::Error) -> Self {
        Self {
            code: Code::parse(&error.code),
            message: error.message,
            field: error.field,
            limit: error.limit,
            retry_after_ms: error.retry_after_ms,
        }
    }
}
