//! A window of a list that follows it.
//!
//! The engine says which rows a commit changed; the stream looks whether its
//! window is touched, reads it again, and tells the difference. A reader who is
//! slower than the commits gets several in one batch, never a wrong one.

pub(crate) mod steps;

use crate::engine::Command;
use crate::error::Error;
use crate::event::Event;
use crate::hub::{Interest, News, Slot};
use crate::list::{PAGE_ROWS_MAX, is_sound, row};
use crate::lists::View;
use crate::local::{Condition, ReadRow};
use crate::page::{Key, Row};
use crate::shared::Shared;
use futures::Stream;
use highwater_core::local::RowChange;
use highwater_protocol::{ItemId, ListKey, Stamp};
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use steps::{Seen, changes};

/// Which part of a list is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The items behind this place; `None`: from the start.
    pub after: Option<Key>,
    /// At most so many, 1 to 1,000.
    pub limit: usize,
}

impl Window {
    /// The first items of the list.
    #[must_use]
    pub const fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }
}

/// A step from what a window held to what it holds. Each is to be applied to
/// what the one before left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// An item came in.
    Insert {
        /// Where, from 0.
        at: usize,
        /// The item.
        row: Row<T>,
    },
    /// An item stays where it is and has other content, or content at last.
    Update {
        /// Where, from 0.
        at: usize,
        /// The item as it is now.
        row: Row<T>,
    },
    /// An item went elsewhere in the window.
    Move {
        /// Where it was.
        from: usize,
        /// Where it goes once it is taken out there.
        to: usize,
        /// The item as it is now.
        row: Row<T>,
    },
    /// An item left the window or the list.
    Remove {
        /// Where it was.
        at: usize,
        /// Which it was.
        id: ItemId,
    },
}

/// What a commit changed in a window. The first batch of a watch inserts all
/// that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<T> {
    /// In the order in which they are to be applied.
    pub changes: Vec<Change<T>>,
    /// Items in the whole list, the header not counted.
    pub count: u64,
}

/// A window's items, as a stream of batches. Details that a window lacks are
/// fetched by a started client.
pub struct Watch<V> {
    shared: Arc<Shared>,
    list: ListKey,
    window: Window,
    slot: Arc<Slot>,
    shown: Vec<Seen>,
    count: Option<u64>,
    /// The last look failed: the next one sees everything.
    stale: bool,
    /// Details that were asked for and, for all that is known, do not come.
    wanted: BTreeSet<(ItemId, Stamp)>,
    view: PhantomData<fn() -> V>,
}

impl<V: View> Watch<V> {
    pub(crate) fn new(shared: Arc<Shared>, list: ListKey, window: Window) -> Self {
        let slot = shared.hub.listen(&list, Interest::Rows);
        Self {
            shared,
            list,
            window,
            slot,
            shown: Vec::new(),
            count: None,
            stale: false,
            wanted: BTreeSet::new(),
            view: PhantomData,
        }
    }

    /// Watches another part of the list from now on. The next batch leads from
    /// what the window held to what it holds.
    pub fn set_window(&mut self, window: Window) {
        self.window = window;
        self.slot.refresh();
    }

    fn limit(&self) -> usize {
        self.window.limit.clamp(1, PAGE_ROWS_MAX)
    }

    /// Whether the window may look different after what happened.
    fn is_touched(&self, news: &News) -> bool {
        let rows = match &news.rows {
            Some(rows) if !self.stale => rows,
            _ => return true,
        };
        let shows = |id: &ItemId| self.shown.iter().any(|seen| seen.id == *id);
        rows.iter()
            .any(|change| shows(&change.id) || self.is_entered(change))
            || news.filled.iter().any(shows)
    }

    /// Whether a row now stands in the window.
    fn is_entered(&self, change: &RowChange) -> bool {
        let Some(rank) = &change.after else {
            return false;
        };
        let place = (rank, &change.id);
        let begun = self
            .window
            .after
            .as_ref()
            .is_none_or(|after| place > (&after.rank, &after.id));
        let ended = self.shown.len() == self.limit()
            && self
                .shown
                .last()
                .is_some_and(|last| place > (&last.rank, &last.id));
        begun && !ended && !change.id.is_header()
    }

    /// What is different since the last look; `None`: nothing.
    fn look(&mut self, news: &News) -> Result<Option<Batch<V::Item>>, Error> {
        let standing = self.shared.standing(&self.list)?;
        let count = standing.map_or(0, |standing| {
            let header = u64::from(standing.header);
            standing.record.shown.count.saturating_sub(header)
        });
        let changes = if self.is_touched(news) {
            let after = self.window.after.as_ref();
            let rows = self.shared.page(&self.list, after, self.limit())?;
            self.stale = false;
            self.mind(&rows);
            self.turn_to(rows)
        } else {
            Vec::new()
        };
        let before = self.count.replace(count);
        let is_news = !changes.is_empty() || before != Some(count);
        Ok(is_news.then_some(Batch { changes, count }))
    }

    /// Has missing details fetched, and damaged rows looked into.
    fn mind(&mut self, rows: &[ReadRow]) {
        if rows.iter().any(|read| read.condition != Condition::Sound) {
            let list = self.list.clone();
            self.shared.hub.happened(&Event::Damaged { list });
            self.shared
                .tell(Command::Recompute(self.list.clone(), None));
        }
        let lacking: BTreeSet<_> = rows
            .iter()
            .filter(|read| read.row.payload.is_none())
            .map(|read| (read.row.id.clone(), read.row.stamp))
            .collect();
        let new = lacking.difference(&self.wanted);
        let ids: Vec<_> = new.map(|(id, _)| id.clone()).collect();
        if !ids.is_empty() {
            self.shared.tell(Command::Want(self.list.clone(), ids));
        }
        self.wanted = lacking;
    }

    fn turn_to(&mut self, rows: Vec<ReadRow>) -> Vec<Change<V::Item>> {
        let rows: Vec<_> = rows.into_iter().filter(is_sound).collect();
        let now: Vec<_> = rows.iter().map(Seen::of).collect();
        let rows = rows.into_iter().map(|read| row(read, V::item)).collect();
        let changes = changes(&self.shown, &now, rows);
        self.shown = now;
        changes
    }
}

impl<V: View> Stream for Watch<V> {
    type Item = Result<Batch<V::Item>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(news) = ready!(self.slot.poll_news(context)) else {
                return Poll::Ready(None);
            };
            match self.look(&news) {
                Ok(None) => {}
                Ok(Some(batch)) => return Poll::Ready(Some(Ok(batch))),
                Err(Error::Closed) => return Poll::Ready(None),
                Err(error) => {
                    self.stale = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}
