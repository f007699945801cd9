//! A window of a list that follows it.
//!
//! The engine says which rows a commit changed; the stream looks whether its
//! window is touched, reads it again, and tells the difference. A reader who is
//! slower than the commits gets several in one batch, never a wrong one.

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
use highwater_protocol::{ItemId, ListKey, Rank, Stamp};
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

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

/// What a window held.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    id: ItemId,
    rank: Rank,
    stamp: Stamp,
    whole: bool,
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
        let standing = self.shared.db.standing(&self.list)?;
        let count = standing.map_or(0, |standing| {
            let header = u64::from(standing.header);
            standing.record.shown.count.saturating_sub(header)
        });
        let changes = if self.is_touched(news) {
            let after = self.window.after.as_ref();
            let rows = self.shared.db.page(&self.list, after, self.limit())?;
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
        let steps = steps(&self.shown, &now);
        self.shown = now;
        let mut rows: Vec<_> = rows.into_iter().map(Some).collect();
        // Each row of the new window is named by one step at most.
        let mut take = |at: usize| {
            let read = rows.get_mut(at).and_then(Option::take);
            read.map(|read| row(read, V::item))
        };
        steps
            .into_iter()
            .filter_map(|step| match step {
                Step::Remove { at, id } => Some(Change::Remove { at, id }),
                Step::Move { from, to, new } => take(new).map(|row| Change::Move { from, to, row }),
                Step::Insert { at } => take(at).map(|row| Change::Insert { at, row }),
                Step::Update { at } => take(at).map(|row| Change::Update { at, row }),
            })
            .collect()
    }
}

impl Seen {
    fn of(read: &ReadRow) -> Self {
        Self {
            id: read.row.id.clone(),
            rank: read.row.rank.clone(),
            stamp: read.row.stamp,
            whole: read.row.payload.is_some(),
        }
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

/// A step between two windows; indices of rows are those of the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Remove { at: usize, id: ItemId },
    Move { from: usize, to: usize, new: usize },
    Insert { at: usize },
    Update { at: usize },
}

/// The steps from one window to another, with as few moves as there can be:
/// removals from the end, moves, insertions from the start, updates.
fn steps(before: &[Seen], now: &[Seen]) -> Vec<Step> {
    let place: BTreeMap<&ItemId, usize> = now
        .iter()
        .enumerate()
        .map(|(at, seen)| (&seen.id, at))
        .collect();
    let mut steps = Vec::new();
    for (at, seen) in before.iter().enumerate().rev() {
        if !place.contains_key(&seen.id) {
            let id = seen.id.clone();
            steps.push(Step::Remove { at, id });
        }
    }
    // What stays, as places in the new window, in the old order.
    let kept: Vec<(usize, &Seen)> = before
        .iter()
        .filter_map(|seen| place.get(&seen.id).map(|&at| (at, seen)))
        .collect();
    let mut order: Vec<usize> = kept.iter().map(|(at, _)| *at).collect();
    let stable: BTreeSet<usize> = longest_rising(&order).into_iter().collect();
    let mut settled = stable.clone();
    let mut movers: Vec<usize> = order
        .iter()
        .copied()
        .filter(|at| !stable.contains(at))
        .collect();
    movers.sort_unstable();
    for new in &movers {
        // Behind the nearest that stands before it in the new window.
        let from = position(&order, *new);
        order.remove(from);
        let to = settled
            .range(..new)
            .next_back()
            .map_or(0, |before| position(&order, *before) + 1);
        order.insert(to, *new);
        settled.insert(*new);
        steps.push(Step::Move {
            from,
            to,
            new: *new,
        });
    }
    let kept: BTreeMap<usize, &Seen> = kept.into_iter().collect();
    steps.extend(
        (0..now.len())
            .filter(|at| !kept.contains_key(at))
            .map(|at| Step::Insert { at }),
    );
    let is_changed =
        |at: usize, seen: &Seen| seen.stamp != now[at].stamp || seen.whole != now[at].whole;
    let updated = kept
        .into_iter()
        .filter(|(at, seen)| stable.contains(at) && is_changed(*at, seen));
    steps.extend(updated.map(|(at, _)| Step::Update { at }));
    steps
}

fn position(order: &[usize], wanted: usize) -> usize {
    order
        .iter()
        .position(|at| *at == wanted)
        .unwrap_or_default()
}

/// The longest rising subsequence of distinct numbers.
fn longest_rising(numbers: &[usize]) -> Vec<usize> {
    // The end of the best subsequence of each length, and what precedes each.
    let mut ends: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = Vec::with_capacity(numbers.len());
    for (at, number) in numbers.iter().enumerate() {
        let length = ends.partition_point(|&end| numbers[end] < *number);
        previous.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut rising = Vec::with_capacity(ends.len());
    let mut at = ends.last().copied();
    while let Some(index) = at {
        rising.push(numbers[index]);
        at = previous[index];
    }
    rising.reverse();
    rising
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// A window written as words: `b` or, with other content, `b2`.
    fn window(text: &str) -> Vec<Seen> {
        text.split_whitespace()
            .map(|word| Seen {
                id: ItemId::new(&word[..1]).unwrap(),
                rank: Rank::default(),
                stamp: Stamp([word.len() as u8; 16]),
                whole: true,
            })
            .collect()
    }

    /// What an app that applies the steps ends with.
    fn applied(before: &[Seen], now: &[Seen], steps: &[Step]) -> Vec<Seen> {
        let mut shown = before.to_vec();
        for step in steps {
            match step {
                Step::Remove { at, id } => assert_eq!(shown.remove(*at).id, *id),
                Step::Move { from, to, new } => {
                    assert_eq!(shown.remove(*from).id, now[*new].id);
                    shown.insert(*to, now[*new].clone());
                }
                Step::Insert { at } => shown.insert(*at, now[*at].clone()),
                Step::Update { at } => {
                    assert_eq!(shown[*at].id, now[*at].id);
                    shown[*at] = now[*at].clone();
                }
            }
        }
        shown
    }

    fn between(before: &str, now: &str) -> Vec<Step> {
        let (before, now) = (window(before), window(now));
        let steps = steps(&before, &now);
        assert_eq!(applied(&before, &now, &steps), now);
        steps
    }

    #[test]
    fn each_difference_is_one_step() {
        assert_eq!(between("a b c", "a b c"), []);
        assert_eq!(between("a b c", "a b2 c"), [Step::Update { at: 1 }]);
        assert_eq!(between("a c", "a b c"), [Step::Insert { at: 1 }]);
        assert_eq!(
            between("a b c d e", "b c d e a"),
            [Step::Move {
                from: 0,
                to: 4,
                new: 4
            }]
        );
        assert_eq!(
            between("a b c d e", "e2 a b c d"),
            [Step::Move {
                from: 4,
                to: 0,
                new: 0
            }]
        );
        let id = ItemId::new("a").unwrap();
        assert_eq!(between("a b", "b"), [Step::Remove { at: 0, id }]);
    }

    #[test]
    fn any_window_leads_to_any_other() {
        let mut random = 7_u64;
        let mut roll = |sides: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % sides
        };
        let mut some = || {
            let mut letters: Vec<char> = ('a'..='l').collect();
            let mut words = String::new();
            for _ in 0..roll(13) {
                let letter = letters.swap_remove(roll(letters.len() as u64) as usize);
                words.push(letter);
                words.push_str(if roll(3) == 0 { "2 " } else { " " });
            }
            words
        };
        for _ in 0..2_000 {
            between(&some(), &some());
        }
    }

    #[test]
    fn the_longest_rising_part_stays() {
        assert_eq!(longest_rising(&[]), Vec::<usize>::new());
        assert_eq!(longest_rising(&[5, 1, 2, 9, 3]), [1, 2, 3]);
        assert_eq!(longest_rising(&[3, 2, 1]).len(), 1);
    }
}
