//! Who wants to know what: the engine tells, streams listen.
//!
//! Nobody waits for a slow listener, and nothing piles up for one: what it has
//! not yet looked at merges into "these rows" and, beyond a bound, into "look
//! again". It loses steps in between, never the outcome.

use crate::event::Event;
use futures::task::AtomicWaker;
use highwater_core::local::{Changes, RowChange};
use highwater_protocol::{ItemId, ListKey};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

/// Changed rows that are remembered for a listener; beyond it, "many".
const ROWS_MAX: usize = 1_000;

/// Events that wait for one listener; beyond it the oldest are counted only.
const EVENTS_MAX: usize = 1_000;

/// The listeners of a client.
#[derive(Default)]
pub(crate) struct Hub {
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    closed: bool,
    slots: BTreeMap<ListKey, Vec<Weak<Slot>>>,
    queues: Vec<Weak<Queue>>,
    taps: Vec<Weak<Tap>>,
    /// What happened before anyone could listen.
    unheard: Vec<Event>,
}

/// What a listener to one list wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Rows,
    Status,
}

/// What happened to a list since its listener last looked.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Rows that changed; `None`: too many to name.
    pub(crate) rows: Option<Vec<RowChange>>,
    /// Rows whose payload arrived.
    pub(crate) filled: Vec<ItemId>,
}

struct Heard {
    fresh: bool,
    closed: bool,
    news: News,
}

/// One listener to one list.
pub(crate) struct Slot {
    interest: Interest,
    heard: Mutex<Heard>,
    waker: AtomicWaker,
}

/// One listener to all lists of some kinds.
pub(crate) struct Tap {
    kinds: &'static [&'static str],
    /// What a list's first sync brings is told by name, too.
    from_the_start: bool,
    heard: Mutex<Tapped>,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Tapped {
    closed: bool,
    fresh: bool,
    lists: BTreeMap<ListKey, News>,
}

/// One listener to events.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    missed: u64,
    closed: bool,
}

impl Hub {
    /// A listener to one list. Its first look finds something: where it begins.
    pub(crate) fn listen(&self, list: &ListKey, interest: Interest) -> Arc<Slot> {
        let mut lists = self.lists.lock();
        let slot = Arc::new(Slot {
            interest,
            heard: Mutex::new(Heard {
                fresh: true,
                closed: lists.closed,
                news: News::default(),
            }),
            waker: AtomicWaker::new(),
        });
        let slots = lists.slots.entry(list.clone()).or_default();
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        slot
    }

    /// A listener to events from now on.
    pub(crate) fn queue(&self) -> Arc<Queue> {
        let mut lists = self.lists.lock();
        let queue = Arc::new(Queue {
            waiting: Mutex::new(Waiting {
                events: std::mem::take(&mut lists.unheard).into(),
                closed: lists.closed,
                ..Waiting::default()
            }),
            waker: AtomicWaker::new(),
        });
        lists.queues.retain(|queue| queue.strong_count() > 0);
        lists.queues.push(Arc::downgrade(&queue));
        queue
    }

    /// A listener to all lists of these kinds. Its first look finds something.
    pub(crate) fn tap(&self, kinds: &'static [&'static str], from_the_start: bool) -> Arc<Tap> {
        let mut lists = self.lists.lock();
        let tap = Arc::new(Tap {
            kinds,
            from_the_start,
            heard: Mutex::new(Tapped {
                closed: lists.closed,
                fresh: true,
                lists: BTreeMap::new(),
            }),
            waker: AtomicWaker::new(),
        });
        lists.taps.retain(|tap| tap.strong_count() > 0);
        lists.taps.push(Arc::downgrade(&tap));
        tap
    }

    /// Rows of a list changed, in one commit; `first`: its first sync brought
    /// them.
    pub(crate) fn rows_changed(&self, list: &ListKey, changes: &Changes, first: bool) {
        self.tell(list, Interest::Rows, |news| news.add_changes(changes));
        self.tell_taps(list, first, |news| news.add_changes(changes));
    }

    /// Payloads of a list arrived that were missing.
    pub(crate) fn filled(&self, list: &ListKey, ids: &[ItemId]) {
        self.tell(list, Interest::Rows, |news| news.add_filled(ids));
        self.tell_taps(list, true, |news| news.add_filled(ids));
    }

    /// A list stands differently.
    pub(crate) fn status_changed(&self, list: &ListKey) {
        self.tell(list, Interest::Status, |_| {});
    }

    /// All lists stand differently: the server was lost or found.
    pub(crate) fn all_statuses_changed(&self) {
        let slots: Vec<_> = {
            let lists = self.lists.lock();
            let all = lists.slots.values().flatten();
            all.filter_map(Weak::upgrade).collect()
        };
        for slot in slots {
            if slot.interest == Interest::Status {
                slot.tell(|_| {});
            }
        }
    }

    /// Something happened before anyone could listen: the first who does is told.
    pub(crate) fn happened_before(&self, event: Event) {
        self.lists.lock().unheard.push(event);
    }

    /// Something happened.
    pub(crate) fn happened(&self, event: &Event) {
        let queues: Vec<_> = {
            let lists = self.lists.lock();
            lists.queues.iter().filter_map(Weak::upgrade).collect()
        };
        for queue in queues {
            let mut waiting = queue.waiting.lock();
            if waiting.events.len() == EVENTS_MAX {
                waiting.events.pop_front();
                waiting.missed += 1;
            }
            waiting.events.push_back(event.clone());
            drop(waiting);
            queue.waker.wake();
        }
    }

    /// Ends every stream.
    pub(crate) fn close(&self) {
        let (slots, queues, taps) = {
            let mut lists = self.lists.lock();
            lists.closed = true;
            (
                std::mem::take(&mut lists.slots),
                std::mem::take(&mut lists.queues),
                std::mem::take(&mut lists.taps),
            )
        };
        for tap in taps.iter().filter_map(Weak::upgrade) {
            tap.heard.lock().closed = true;
            tap.waker.wake();
        }
        for slot in slots.values().flatten().filter_map(Weak::upgrade) {
            slot.heard.lock().closed = true;
            slot.waker.wake();
        }
        for queue in queues.iter().filter_map(Weak::upgrade) {
            queue.waiting.lock().closed = true;
            queue.waker.wake();
        }
    }

    fn tell(&self, list: &ListKey, interest: Interest, add: impl Fn(&mut News)) {
        let slots: Vec<_> = {
            let lists = self.lists.lock();
            let of_list = lists.slots.get(list).into_iter().flatten();
            of_list.filter_map(Weak::upgrade).collect()
        };
        for slot in slots {
            if slot.interest == interest {
                slot.tell(&add);
            }
        }
    }
}

impl Hub {
    fn tell_taps(&self, list: &ListKey, first: bool, add: impl Fn(&mut News)) {
        let taps: Vec<_> = {
            let lists = self.lists.lock();
            lists.taps.iter().filter_map(Weak::upgrade).collect()
        };
        let listens = |tap: &&Arc<Tap>| tap.kinds.contains(&list.kind.as_str());
        for tap in taps.iter().filter(listens) {
            let mut heard = tap.heard.lock();
            heard.fresh = true;
            if tap.from_the_start || !first {
                let news = heard.lists.entry(list.clone());
                add(news.or_insert_with(News::nothing));
            }
            drop(heard);
            tap.waker.wake();
        }
    }
}

impl News {
    /// Nothing happened yet.
    const fn nothing() -> Self {
        Self {
            rows: Some(Vec::new()),
            filled: Vec::new(),
        }
    }

    fn add_changes(&mut self, changes: &Changes) {
        match (changes, &mut self.rows) {
            (Changes::Rows(rows), Some(known)) if known.len() + rows.len() <= ROWS_MAX => {
                known.extend(rows.iter().cloned());
            }
            _ => self.rows = None,
        }
    }

    fn add_filled(&mut self, ids: &[ItemId]) {
        if self.filled.len() + ids.len() > ROWS_MAX {
            self.rows = None;
        } else {
            self.filled.extend(ids.iter().cloned());
        }
    }
}

impl Tap {
    /// What happened since the last look, by list; `None`: the client was closed.
    pub(crate) fn poll_news(&self, context: &Context<'_>) -> Poll<Option<BTreeMap<ListKey, News>>> {
        self.waker.register(context.waker());
        let mut heard = self.heard.lock();
        if heard.closed {
            Poll::Ready(None)
        } else if heard.fresh {
            heard.fresh = false;
            Poll::Ready(Some(std::mem::take(&mut heard.lists)))
        } else {
            Poll::Pending
        }
    }

    /// Looks again at the next poll, whatever happened.
    pub(crate) fn refresh(&self) {
        self.heard.lock().fresh = true;
        self.waker.wake();
    }
}

impl Slot {
    fn tell(&self, add: impl Fn(&mut News)) {
        let mut heard = self.heard.lock();
        if !heard.fresh {
            heard.fresh = true;
            heard.news = News::nothing();
        }
        add(&mut heard.news);
        drop(heard);
        self.waker.wake();
    }

    /// Looks again at the next poll, whatever happened.
    pub(crate) fn refresh(&self) {
        self.tell(|news| news.rows = None);
    }

    /// What happened since the last look; `None`: the client was closed.
    pub(crate) fn poll_news(&self, context: &Context<'_>) -> Poll<Option<News>> {
        self.waker.register(context.waker());
        let mut heard = self.heard.lock();
        if heard.closed {
            Poll::Ready(None)
        } else if heard.fresh {
            heard.fresh = false;
            Poll::Ready(Some(std::mem::take(&mut heard.news)))
        } else {
            Poll::Pending
        }
    }
}

impl Queue {
    /// The next event; `None`: the client was closed.
    pub(crate) fn poll_event(&self, context: &Context<'_>) -> Poll<Option<Event>> {
        self.waker.register(context.waker());
        let mut waiting = self.waiting.lock();
        if waiting.missed > 0 {
            let events = std::mem::take(&mut waiting.missed);
            return Poll::Ready(Some(Event::Missed { events }));
        }
        match waiting.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if waiting.closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use futures::task::noop_waker_ref;

    fn changed(id: &str) -> Changes {
        Changes::Rows(vec![RowChange {
            id: ItemId::new(id).unwrap(),
            before: None,
            after: None,
        }])
    }

    fn heard(slot: &Slot) -> Option<News> {
        match slot.poll_news(&Context::from_waker(noop_waker_ref())) {
            Poll::Ready(news) => news,
            Poll::Pending => None,
        }
    }

    #[test]
    fn changes_merge_until_they_are_looked_at_and_then_begin_anew() {
        let hub = Hub::default();
        let list: ListKey = "a/1".parse().unwrap();
        let slot = hub.listen(&list, Interest::Rows);
        assert!(heard(&slot).unwrap().rows.is_none(), "the first look");
        assert!(heard(&slot).is_none());
        hub.rows_changed(&list, &changed("x"), false);
        hub.rows_changed(&list, &changed("y"), false);
        hub.rows_changed(&"a/2".parse().unwrap(), &changed("z"), false);
        hub.status_changed(&list);
        assert_eq!(heard(&slot).unwrap().rows.unwrap().len(), 2);
        assert!(heard(&slot).is_none());
        for at in 0..=ROWS_MAX {
            hub.rows_changed(&list, &changed(&at.to_string()), false);
        }
        assert!(heard(&slot).unwrap().rows.is_none(), "too many to name");
    }

    #[test]
    fn a_slow_listener_learns_how_many_events_it_missed() {
        let hub = Hub::default();
        let queue = hub.queue();
        let list: ListKey = "a/1".parse().unwrap();
        for _ in 0..EVENTS_MAX + 2 {
            hub.happened(&Event::Damaged { list: list.clone() });
        }
        let next = || queue.poll_event(&Context::from_waker(noop_waker_ref()));
        assert!(matches!(
            next(),
            Poll::Ready(Some(Event::Missed { events: 2 }))
        ));
        for _ in 0..EVENTS_MAX {
            assert!(matches!(next(), Poll::Ready(Some(Event::Damaged { .. }))));
        }
        assert!(next().is_pending());
        hub.close();
        assert!(matches!(next(), Poll::Ready(None)));
    }
}
