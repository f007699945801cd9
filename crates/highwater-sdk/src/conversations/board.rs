//! The merged order, and what is worked into it.

use super::ConversationView;
use crate::engine::Command;
use crate::error::Error;
use crate::event::Event;
use crate::hub::{Hub, Interest, News, Slot};
use crate::list::is_sound;
use crate::local::{Condition, ReadRow};
use crate::page::{Key, Row};
use crate::shared::Shared;
use bytes::Bytes;
use futures::task::noop_waker_ref;
use highwater_protocol::kinds::{
    self, Conversation, ConversationId, ConversationState, GroupActivity, LastMessage, Mention,
    Payload as _, Receive,
};
use highwater_protocol::{ItemId, ListKey, Rank, Stamp};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::task::{Context, Poll};

/// All of a user's conversations, merged with what goes on in large groups.
pub(crate) struct Board {
    list: ListKey,
    owner: String,
    slot: Arc<Slot>,
    /// The list is held, and so is what goes on in its large groups.
    following: bool,
    entries: BTreeMap<ItemId, Entry>,
    /// What goes on in large groups, by the id of the conversation.
    feeds: BTreeMap<ItemId, Feed>,
    /// Those that are shown.
    order: BTreeSet<Key>,
    unread: u64,
    /// Rises whenever something is worked in.
    edition: u64,
}

/// A conversation as the device has it.
struct Entry {
    rank: Rank,
    stamp: Stamp,
    payload: Option<Bytes>,
    item: Option<Conversation>,
    /// Where it stands, if it is shown.
    place: Option<Key>,
    /// What it adds to the total.
    counts: u64,
}

/// A large group's activity.
struct Feed {
    list: ListKey,
    slot: Arc<Slot>,
    stamp: Option<Stamp>,
    activity: GroupActivity,
}

impl Board {
    pub(crate) fn new(hub: &Hub, list: &ListKey, owner: &str) -> Self {
        Self {
            list: list.clone(),
            owner: owner.to_owned(),
            slot: hub.listen(list, Interest::Rows),
            following: true,
            entries: BTreeMap::new(),
            feeds: BTreeMap::new(),
            order: BTreeSet::new(),
            unread: 0,
            edition: 0,
        }
    }

    /// Works in all that was committed since the last time.
    pub(crate) fn refresh(&mut self, shared: &Shared) -> Result<(), Error> {
        let refreshed = self.work_in(shared);
        if refreshed.is_err() {
            // What was heard and not read is lost: the next look reads all.
            self.slot.refresh();
        }
        refreshed
    }

    fn work_in(&mut self, shared: &Shared) -> Result<(), Error> {
        let held = shared.holds(&self.list);
        if held != self.following {
            self.following = held;
            self.slot.refresh();
        }
        while let Some(news) = news(&self.slot)? {
            self.edition += 1;
            self.read_items(shared, &news)?;
        }
        let heard: Vec<ItemId> = self.feeds.keys().cloned().collect();
        for id in heard {
            self.read_feed(shared, &id)?;
        }
        Ok(())
    }

    fn read_items(&mut self, shared: &Shared, news: &News) -> Result<(), Error> {
        let Some(changed) = &news.rows else {
            // One statement, so of one commit.
            let rows = shared.page(&self.list, None, usize::MAX)?;
            let mut gone: BTreeSet<ItemId> = self.entries.keys().cloned().collect();
            rows.iter().for_each(|read| {
                gone.remove(&read.row.id);
            });
            gone.iter().for_each(|id| self.remove(shared, id));
            self.take(shared, rows);
            return Ok(());
        };
        let ids = changed.iter().map(|change| &change.id).chain(&news.filled);
        let ids: BTreeSet<&ItemId> = ids.filter(|id| !id.is_header()).collect();
        for id in ids {
            match shared.element(&self.list, id)? {
                Some(read) => self.take(shared, vec![read]),
                None => self.remove(shared, id),
            }
        }
        Ok(())
    }

    fn take(&mut self, shared: &Shared, rows: Vec<ReadRow>) {
        if rows.iter().any(|read| read.condition != Condition::Sound) {
            let list = self.list.clone();
            shared.hub.happened(&Event::Damaged { list });
            shared.tell(Command::Recompute(self.list.clone(), None));
        }
        let mut lacking = Vec::new();
        for read in rows.into_iter().filter(is_sound) {
            let row = read.row;
            if row.payload.is_none() {
                lacking.push(row.id.clone());
            }
            let item = row.payload.as_deref();
            let item = item.and_then(|payload| Conversation::decode(payload).ok());
            let entry = Entry {
                rank: row.rank,
                stamp: row.stamp,
                payload: row.payload,
                item,
                place: None,
                counts: 0,
            };
            self.withdraw(&row.id);
            self.entries.insert(row.id.clone(), entry);
            self.follow(shared, &row.id);
            self.place(&row.id);
        }
        if !lacking.is_empty() {
            // The total needs all of them.
            shared.tell(Command::Want(self.list.clone(), lacking));
        }
    }

    fn remove(&mut self, shared: &Shared, id: &ItemId) {
        self.withdraw(id);
        self.entries.remove(id);
        self.follow(shared, id);
    }

    /// Holds a large group's activity while the conversation is shared and its
    /// owner is in the group.
    fn follow(&mut self, shared: &Shared, id: &ItemId) {
        let item = self.entries.get(id).and_then(|entry| entry.item.as_ref());
        let wanted = item.filter(|_| self.following);
        let wanted = wanted.and_then(|item| activity_of(id, item));
        match (wanted, self.feeds.contains_key(id)) {
            (Some(list), false) => {
                let slot = shared.hub.listen(&list, Interest::Rows);
                shared.hold(&list);
                let feed = Feed {
                    list,
                    slot,
                    stamp: None,
                    activity: GroupActivity::default(),
                };
                self.feeds.insert(id.clone(), feed);
            }
            (None, true) => {
                if let Some(feed) = self.feeds.remove(id) {
                    shared.release(&feed.list);
                }
            }
            _ => {}
        }
    }

    fn read_feed(&mut self, shared: &Shared, id: &ItemId) -> Result<(), Error> {
        let Some(feed) = self.feeds.get_mut(id) else {
            return Ok(());
        };
        let mut heard = false;
        while news(&feed.slot)?.is_some() {
            heard = true;
        }
        if !heard {
            return Ok(());
        }
        let header = shared.element(&feed.list, &ItemId::header());
        let header = header.inspect_err(|_| feed.slot.refresh())?;
        let header = header.filter(is_sound).map(|read| read.row);
        let stamp = header.as_ref().map(|row| row.stamp);
        if stamp == feed.stamp {
            return Ok(());
        }
        let payload = header.and_then(|row| row.payload);
        let activity = payload.and_then(|payload| GroupActivity::decode(&payload).ok());
        feed.stamp = stamp;
        feed.activity = activity.unwrap_or_default();
        self.edition += 1;
        self.withdraw(id);
        self.place(id);
        Ok(())
    }

    /// Takes a conversation out of the order and the total.
    fn withdraw(&mut self, id: &ItemId) {
        if let Some(entry) = self.entries.get_mut(id) {
            if let Some(place) = entry.place.take() {
                self.order.remove(&place);
            }
            self.unread -= std::mem::take(&mut entry.counts);
        }
    }

    /// Puts a conversation where it belongs.
    fn place(&mut self, id: &ItemId) {
        let activity = self.feeds.get(id).map(|feed| &feed.activity);
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let (rank, counts) = match &entry.item {
            // The list's own rank is all that is known.
            None => (Some(entry.rank.clone()), 0),
            Some(item) => {
                let last = newer(item, activity);
                let passed = last.is_some_and(|last| last.seq > item.cleared_seq);
                let shown = !item.hidden && (!item.deleted || passed);
                let counted = shown && item.receive != Receive::Nothing;
                let unread = if counted {
                    item.unread(&self.owner, last)
                } else {
                    0
                };
                let rank = shown.then(|| match last {
                    // Nothing newer than what the list is ranked by.
                    last if last == item.last.as_ref() => entry.rank.clone(),
                    last => rank_of(item, last),
                });
                (rank, unread)
            }
        };
        // A sum of 5,000 counts that a server says is not to overflow.
        entry.counts = counts.min(u64::from(u32::MAX));
        self.unread += entry.counts;
        entry.place = rank.map(|rank| Key::new(rank, id.clone()));
        self.order.extend(entry.place.clone());
    }

    pub(crate) const fn edition(&self) -> u64 {
        self.edition
    }

    pub(crate) fn count(&self) -> u64 {
        self.order.len() as u64
    }

    pub(crate) const fn total_unread(&self) -> u64 {
        self.unread
    }

    /// Activity lists that have never brought anything.
    pub(crate) fn unread_feeds(&self) -> Vec<ListKey> {
        let unread = self.feeds.values().filter(|feed| feed.stamp.is_none());
        unread.map(|feed| feed.list.clone()).collect()
    }

    fn keys(&self, after: Option<&Key>, limit: usize) -> impl Iterator<Item = &Key> {
        let from = after.map_or(Unbounded, Excluded);
        self.order.range((from, Unbounded)).take(limit)
    }

    /// Conversations of a page whose content the device lacks.
    pub(crate) fn lacking(&self, after: Option<&Key>, limit: usize) -> Vec<ItemId> {
        let ids = self.keys(after, limit).map(|key| &key.id);
        let lacks = |id: &&ItemId| {
            let entry = self.entries.get(id);
            entry.is_some_and(|entry| entry.payload.is_none())
        };
        ids.filter(lacks).cloned().collect()
    }

    pub(crate) fn page(&self, after: Option<&Key>, limit: usize) -> Vec<Row<ConversationView>> {
        let keys = self.keys(after, limit);
        keys.filter_map(|key| self.row_at(key)).collect()
    }

    /// A conversation, shown or not.
    pub(crate) fn row(&self, id: &str) -> Option<Row<ConversationView>> {
        let id = ItemId::new(id).ok()?;
        let entry = self.entries.get(&id)?;
        match &entry.place {
            Some(place) => self.row_at(place),
            None => self.row_at(&Key::new(entry.rank.clone(), id)),
        }
    }

    /// What tells one state of a row from another.
    pub(crate) fn stamp(&self, id: &ItemId) -> Stamp {
        let own = self.entries.get(id).map(|entry| entry.stamp.0);
        let shared = self.feeds.get(id).and_then(|feed| feed.stamp);
        let mut stamp = own.unwrap_or_default();
        if let Some(Stamp(other)) = shared {
            let both = stamp.iter_mut().zip(other);
            both.for_each(|(byte, other)| *byte ^= other);
        }
        Stamp(stamp)
    }

    fn row_at(&self, key: &Key) -> Option<Row<ConversationView>> {
        let entry = self.entries.get(&key.id)?;
        let activity = self.feeds.get(&key.id).map(|feed| &feed.activity);
        let item = entry.item.as_ref();
        Some(Row {
            key: key.clone(),
            payload: entry.payload.clone(),
            item: item.map(|item| view(&self.owner, item, activity)),
        })
    }
}

/// What was heard since the last look.
fn news(slot: &Slot) -> Result<Option<News>, Error> {
    match slot.poll_news(&Context::from_waker(noop_waker_ref())) {
        Poll::Ready(Some(news)) => Ok(Some(news)),
        Poll::Ready(None) => Err(Error::Closed),
        Poll::Pending => Ok(None),
    }
}

/// The list with a conversation's activity, if that is not in its item.
fn activity_of(id: &ItemId, item: &Conversation) -> Option<ListKey> {
    if !item.shared || item.state != ConversationState::Active {
        return None;
    }
    match ConversationId::parse(id.as_str()) {
        Ok(ConversationId::Group(group)) => ListKey::new(kinds::ACTIVITY, &group).ok(),
        _ => None,
    }
}

/// The newer of both last messages, by sequence.
fn newer<'a>(
    item: &'a Conversation,
    activity: Option<&'a GroupActivity>,
) -> Option<&'a LastMessage> {
    let shared = activity.and_then(|activity| activity.last.as_ref());
    match (item.last.as_ref(), shared) {
        (Some(own), Some(shared)) if own.seq >= shared.seq => Some(own),
        (own, shared) => shared.or(own),
    }
}

/// The rank that the server would give: pinned or not, then the last activity,
/// newest first.
fn rank_of(item: &Conversation, last: Option<&LastMessage>) -> Rank {
    let at_ms = last.map_or(item.created_at_ms, |last| last.at_ms);
    let newest_first = u64::MAX - u64::try_from(at_ms).unwrap_or(0);
    let mut rank = vec![u8::from(!item.pinned)];
    rank.extend_from_slice(&newest_first.to_be_bytes());
    // Nine bytes are within every limit.
    Rank::new(rank).unwrap_or_default()
}

fn view(owner: &str, item: &Conversation, activity: Option<&GroupActivity>) -> ConversationView {
    let last = newer(item, activity);
    let seen = item.read_seq.max(item.cleared_seq);
    let all = activity.map_or(0, |activity| activity.mention_all_seq);
    let mention = match item.mention {
        Some(mention) if item.mention_seq > seen => Some(mention),
        _ => (all > seen).then_some(Mention::All),
    };
    let shown = last.cloned().map(|mut last| {
        if last.seq <= item.cleared_seq {
            last.preview.clear();
        }
        last
    });
    ConversationView {
        conversation: item.clone(),
        unread: item.unread(owner, last),
        last: shown,
        mention,
    }
}
