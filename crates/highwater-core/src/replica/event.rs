//! What a replica reports.

use crate::local::{Changes, Phase};
use highwater_protocol::message::{GoneReason, Receipt};
use highwater_protocol::{ListKey, Refusal};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Rows that the app sees changed, in one transaction.
    Changed {
        /// Of this list.
        list: ListKey,
        /// Which rows.
        changes: Changes,
    },
    /// Payloads arrived that were missing; nothing else about the rows changed.
    DetailsFilled {
        /// Of this list.
        list: ListKey,
        /// Of these rows.
        ids: Vec<highwater_protocol::ItemId>,
    },
    /// A list's phase, version or progress changed.
    Status {
        /// Of this list.
        list: ListKey,
        /// How it stands now.
        phase: Phase,
    },
    /// A copy was found to be wrong and is right again.
    Repaired(Box<Receipt>),
    /// A copy was found to be wrong, and no rung could mend it: what was tried.
    /// [`Quarantined`](Self::Quarantined) follows.
    Unrepaired(Box<Receipt>),
    /// A copy was found to be wrong, and no rung could mend it.
    Quarantined {
        /// Which list.
        list: ListKey,
        /// When it is tried again, in milliseconds since 1970.
        retry_at_ms: i64,
    },
    /// The server has no such list for this reader; its rows were dropped.
    Gone {
        /// Which list.
        list: ListKey,
        /// Why, if the server said.
        reason: GoneReason,
    },
    /// The server refused to answer about this list alone.
    Refused {
        /// Which list.
        list: ListKey,
        /// Why.
        refusal: Refusal,
    },
    /// The server's answer about a list breaks the protocol; nothing of it was
    /// applied.
    PeerMisbehaved {
        /// Which list.
        list: ListKey,
        /// How.
        refusal: Refusal,
    },
    /// A request came to nothing.
    Failed(Failure),
}

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server could not be reached, or its answer not be read.
    Unreachable(String),
    /// The server refused the whole request.
    Refused(Refusal),
}
