//! A window of the merged order that follows it.

use super::ConversationView;
use crate::error::Error;
use crate::hub::Tap;
use crate::list::PAGE_ROWS_MAX;
use crate::shared::Shared;
use crate::watch::steps::{Seen, changes};
use crate::watch::{Change, Window};
use futures::Stream;
use highwater_protocol::kinds;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What changed in a window of the conversations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationBatch {
    /// In the order in which they are to be applied.
    pub changes: Vec<Change<ConversationView>>,
    /// Conversations that are shown, in and outside the window.
    pub count: u64,
    /// Messages that the user has not read, in all of them.
    pub total_unread: u64,
}

/// A window's conversations, as a stream of batches: the first inserts all that
/// is there. Ends when the client closes.
pub struct ConversationWatch {
    shared: Arc<Shared>,
    tap: Arc<Tap>,
    window: Window,
    shown: Vec<Seen>,
    totals: Option<(u64, u64)>,
    edition: Option<u64>,
}

impl ConversationWatch {
    pub(super) fn new(shared: Arc<Shared>, window: Window) -> Self {
        let tap = shared
            .hub
            .tap(&[kinds::CONVERSATIONS, kinds::ACTIVITY], true);
        Self {
            shared,
            tap,
            window,
            shown: Vec::new(),
            totals: None,
            edition: None,
        }
    }

    /// Watches another part from now on.
    pub fn set_window(&mut self, window: Window) {
        self.window = window;
        self.edition = None;
        self.tap.refresh();
    }

    fn look(&mut self) -> Result<Option<ConversationBatch>, Error> {
        let shared = Arc::clone(&self.shared);
        let Some(board) = shared.board()? else {
            return Ok(None);
        };
        if self.edition == Some(board.edition()) {
            return Ok(None);
        }
        let limit = self.window.limit.clamp(1, PAGE_ROWS_MAX);
        let rows = board.page(self.window.after.as_ref(), limit);
        let seen = |row: &crate::Row<_>| Seen {
            id: row.key.id.clone(),
            rank: row.key.rank.clone(),
            stamp: board.stamp(&row.key.id),
            whole: row.payload.is_some(),
        };
        let now: Vec<Seen> = rows.iter().map(seen).collect();
        let (count, total_unread) = (board.count(), board.total_unread());
        self.edition = Some(board.edition());
        drop(board);
        let changes = changes(&self.shown, &now, rows);
        self.shown = now;
        let before = self.totals.replace((count, total_unread));
        let is_news = !changes.is_empty() || before != self.totals;
        Ok(is_news.then_some(ConversationBatch {
            changes,
            count,
            total_unread,
        }))
    }
}

impl Stream for ConversationWatch {
    type Item = Result<ConversationBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if ready!(self.tap.poll_news(context)).is_none() {
                return Poll::Ready(None);
            }
            match self.look() {
                Ok(None) => {}
                Ok(Some(batch)) => return Poll::Ready(Some(Ok(batch))),
                Err(Error::Closed) => return Poll::Ready(None),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}
