//! How a list stands: what an app shows beside it.

use crate::error::Error;
use crate::hub::{Interest, Slot};
use crate::local::Standing;
use crate::shared::{Link, Shared};
use futures::Stream;
use highwater_core::local::{Phase, Rung};
use highwater_protocol::message::GoneReason;
use highwater_protocol::{ListKey, Version};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// How a list stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// The server has not been reached since the client was built, or the last
    /// attempt failed. What the device has is there to be read.
    Offline {
        /// The version at which the copy was last proved equal to the
        /// server's; `None`: it is not.
        in_sync_at: Option<Version>,
    },
    /// The copy is being brought up to date. The rows that came are there to
    /// be read.
    Syncing {
        /// Items that the device has.
        items: u64,
        /// Items that the list has, as far as known.
        of: u64,
    },
    /// The copy is what the server had at this version: same items, same
    /// content, same order.
    InSync {
        /// That version.
        version: Version,
    },
    /// The copy was found to differ and is being mended. The rows that were
    /// there before stay until the mended copy replaces them at once.
    Repairing {
        /// The rung of the repair ladder at work.
        rung: Rung,
        /// Items of the mended copy that the device has.
        items: u64,
        /// Items that it will have, as far as known.
        of: u64,
    },
    /// The copy differs and could not be mended. Its rows are there to be read,
    /// but not to be trusted.
    Quarantined {
        /// When it is tried again, in milliseconds since 1970.
        retry_at_ms: i64,
    },
    /// The server has no such list for this user.
    Gone {
        /// Why, if the server said.
        reason: GoneReason,
    },
}

impl Status {
    /// How a list stands, from what is stored and whether the server is there.
    pub(crate) fn of(standing: Option<&Standing>, link: Link) -> Self {
        let Some(Standing { record, header }) = standing else {
            return match link {
                Link::Untried | Link::Lost => Self::Offline { in_sync_at: None },
                Link::Trying | Link::Found => Self::Syncing { items: 0, of: 0 },
            };
        };
        let in_sync_at = match (record.phase, record.shown.point) {
            (Phase::InSync, Some(point)) => Some(point.version),
            _ => None,
        };
        let header = u64::from(*header);
        let working = record.working();
        let total = working.scan.as_ref().map_or(0, |scan| scan.total);
        let items = working.count.saturating_sub(header);
        let of = total.max(working.count).saturating_sub(header);
        match (record.phase, link) {
            (Phase::Gone(reason), _) => Self::Gone { reason },
            (Phase::Quarantined(quarantine), _) => Self::Quarantined {
                retry_at_ms: quarantine.retry_at_ms,
            },
            (_, Link::Untried | Link::Lost) => Self::Offline { in_sync_at },
            (Phase::Repairing(rung), _) => Self::Repairing { rung, items, of },
            (Phase::InSync | Phase::Syncing, _) => match in_sync_at {
                Some(version) => Self::InSync { version },
                None => Self::Syncing { items, of },
            },
        }
    }
}

/// A list's status now and whenever it changes. A slow reader sees the newest,
/// not each in between. Ends when the client closes.
pub struct StatusWatch {
    shared: Arc<Shared>,
    list: ListKey,
    slot: Arc<Slot>,
    last: Option<Status>,
}

impl StatusWatch {
    pub(crate) fn new(shared: Arc<Shared>, list: ListKey) -> Self {
        let slot = shared.hub.listen(&list, Interest::Status);
        Self {
            shared,
            list,
            slot,
            last: None,
        }
    }
}

impl Stream for StatusWatch {
    type Item = Result<Status, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match self.slot.poll_news(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(_)) => {}
            }
            match self.shared.status(&self.list) {
                Ok(status) if self.last == Some(status) => {}
                Ok(status) => {
                    self.last = Some(status);
                    return Poll::Ready(Some(Ok(status)));
                }
                Err(Error::Closed) => return Poll::Ready(None),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}
