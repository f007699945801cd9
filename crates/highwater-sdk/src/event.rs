//! What happened that an app may want to log, count or show.

use crate::error::Error;
use crate::hub::Queue;
use crate::shared::Shared;
use futures::Stream;
use highwater_protocol::message::{GoneReason, Receipt};
use highwater_protocol::{ListKey, Refusal};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Something that happened beside the lists' rows and statuses.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A copy was found to be wrong and is right again: why, what differed, by
    /// what means, and what it cost.
    Repaired(Box<Receipt>),
    /// A copy was found to be wrong, and no rung of the ladder could mend it:
    /// what was tried. [`Quarantined`](Self::Quarantined) follows.
    Unrepaired(Box<Receipt>),
    /// A copy was found to be wrong, and nothing could mend it. Its rows stay
    /// readable.
    Quarantined {
        /// Which list.
        list: ListKey,
        /// When it is tried again, in milliseconds since 1970.
        retry_at_ms: i64,
    },
    /// The server has no such list for this user; its rows were dropped.
    Gone {
        /// Which list.
        list: ListKey,
        /// Why, if the server said.
        reason: GoneReason,
    },
    /// The server refused to answer about one list. It is asked again later.
    Refused {
        /// Which list.
        list: ListKey,
        /// Why.
        refusal: Refusal,
    },
    /// The server's answer about a list breaks the protocol; nothing of it was
    /// applied. It is asked again later.
    PeerMisbehaved {
        /// Which list.
        list: ListKey,
        /// How.
        refusal: Refusal,
    },
    /// The rows of a list are not what was stored: one that was read, or that an
    /// audit found. The list is being verified.
    Damaged {
        /// Which list.
        list: ListKey,
    },
    /// The device's database was damaged: cut short, or not a database any more.
    /// It was moved to this place, never deleted, and a fresh one took its
    /// place, which the lists that are held now fill again. One that happened
    /// while the client was built is told to the first listener.
    Replaced {
        /// Where the damaged one is.
        aside: PathBuf,
    },
    /// A request came to nothing, or the device's database failed.
    Failed(Error),
    /// The listener was slow: so many events before the next were dropped.
    Missed {
        /// How many.
        events: u64,
    },
}

/// A client's events, from the moment of the call. Ends when the client closes.
pub struct Events {
    queue: Arc<Queue>,
}

impl Events {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self {
            queue: shared.hub.queue(),
        }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.queue.poll_event(context)
    }
}
