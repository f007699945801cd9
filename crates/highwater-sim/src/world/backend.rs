//! What a backend's operations write: the rules of friends, groups, conversations
//! and activity, carried out by random users on a store of their own.
//!
//! Each operation becomes the puts, deletes and ends that it did; those are then
//! written to the server on trial, where they may be refused, lost or doubted like
//! any other. (The store here goes on as if they had all been done: what matters is
//! that transactions of the real shapes touch several lists at once.)

mod groups;
mod people;
mod talk;

use crate::model::Op;
use crate::random::Random;
use bytes::Bytes;
use futures::executor::block_on;
use highwater_core::reads::{ListState, PageLimit, Payloads, Reads};
use highwater_protocol::kinds::{self, Conversation, Payload as _};
use highwater_protocol::{ItemId, ListKey, Rank, Refusal, Version};
use highwater_server::domain::{Conditions, Directory, FanOut, GroupId, UserId};
use highwater_server::{Clock, Metrics};
use highwater_store::memory::MemoryStore;
use highwater_store::{Store as _, StoreError, Write};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Users that there are.
const USERS: u64 = 6;
/// Users whose lists a world may look at, and groups: the first of them.
const LOOKED_AT: u64 = 2;
/// Lists that a world looks at.
const LISTS: usize = 12;
/// Draws until an operation changes something that the world looks at.
const TRIES: u32 = 30;

type Content = BTreeMap<ItemId, (Rank, Bytes)>;

/// How a list stood when it was last looked at.
struct Known {
    state: ListState,
    content: Content,
}

/// The backend, and what its operations have done so far.
pub(super) struct Backend {
    store: MemoryStore,
    fan_out: Arc<FanOut<MemoryStore>>,
    directory: Directory<MemoryStore>,
    clock: Clock,
    time_ms: Arc<AtomicI64>,
    lists: Vec<ListKey>,
    known: BTreeMap<ListKey, Known>,
    /// Transactions that were not given out yet.
    ready: VecDeque<Vec<Op>>,
    /// The last message of each conversation that a service reported.
    seqs: BTreeMap<String, u64>,
    /// Operations that left work to be done, since it was last done.
    owing: BTreeSet<&'static str>,
    /// Operations that changed what the world looks at, since this was last asked.
    met: Vec<String>,
}

fn user(at: u64) -> UserId {
    UserId::new(&format!("u{at}")).unwrap_or_else(|no| unreachable!("the id is short: {no}"))
}

fn group(at: u64) -> GroupId {
    GroupId::new(&format!("g{at}")).unwrap_or_else(|no| unreachable!("the id is short: {no}"))
}

/// More often than not a user whose lists may be looked at.
fn a_user(random: &mut Random) -> UserId {
    match random.one_in(3) {
        true => user(random.below(USERS)),
        false => user(random.below(LOOKED_AT + 1)),
    }
}

fn a_group(random: &mut Random) -> GroupId {
    group(random.below(LOOKED_AT))
}

fn a_name(random: &mut Random) -> String {
    format!("name{}", random.below(1_000))
}

/// The lists that a world with a backend looks at: that of a large group's
/// activity, and some of the others.
pub(super) fn lists(random: &mut Random) -> Vec<ListKey> {
    let mut lists = vec![group(0).activity()];
    let mut others = vec![group(1).activity()];
    for at in 0..LOOKED_AT {
        let (user, group) = (user(at), group(at));
        others.extend([
            group.members(),
            group.join_requests(),
            user.profile(),
            user.friends(),
            user.friend_requests(),
            user.sent_friend_requests(),
            user.blocks(),
            user.groups(),
            user.sent_join_requests(),
            user.conversations(),
        ]);
    }
    while lists.len() < LISTS {
        lists.push(others.swap_remove(random.below_usize(others.len())));
    }
    lists.sort();
    lists
}

impl Backend {
    pub(super) fn new(lists: Vec<ListKey>) -> Self {
        let store = MemoryStore::new([1; 16]);
        let fan_out = Arc::new(FanOut::new(store.clone()));
        let time_ms = Arc::new(AtomicI64::new(0));
        let of_world = Arc::clone(&time_ms);
        let clock = Clock::new(move || of_world.load(Ordering::Relaxed));
        let metrics = Arc::new(Metrics::new());
        Self {
            directory: Directory::new(store.clone(), Arc::clone(&fan_out), clock.clone(), metrics),
            fan_out,
            store,
            clock,
            time_ms,
            lists,
            known: BTreeMap::new(),
            ready: VecDeque::new(),
            seqs: BTreeMap::new(),
            owing: BTreeSet::new(),
            met: Vec::new(),
        }
    }

    /// The next transaction: never empty, unless nothing more can be done.
    pub(super) fn transaction(&mut self, random: &mut Random, now_ms: i64) -> Vec<Op> {
        self.time_ms.store(now_ms, Ordering::Relaxed);
        for _ in 0..TRIES {
            if let Some(ops) = self.ready.pop_front() {
                return ops;
            }
            let done = match random.below(10) {
                0..3 => vec![self.people(random)],
                3..7 => vec![self.group(random)],
                7 | 8 => vec![self.conversation(random)],
                _ => self.activity(random),
            };
            if self.collect() {
                let done = done.into_iter().map(|what| format!("operation {what}"));
                self.met.extend(done);
            }
            // What operations leave to be done is a transaction of its own, and
            // others may come before it.
            if random.one_in(2) {
                self.do_what_is_owed();
            }
        }
        Vec::new()
    }

    /// Which operations changed what the world looks at, since this was last
    /// asked.
    pub(super) fn met(&mut self) -> Vec<String> {
        std::mem::take(&mut self.met)
    }

    fn do_what_is_owed(&mut self) {
        let owing = std::mem::take(&mut self.owing);
        block_on(self.fan_out.finish(&self.clock)).unwrap_or_else(|error| failed(&error));
        let changed = self.collect();
        // Of several, nobody knows which one it was.
        if let (true, 1, Some(what)) = (changed, owing.len(), owing.first()) {
            self.met.push(format!("operation {what}, as it spreads"));
        }
    }

    /// More often than not a user who is in this list.
    fn one_of(&self, random: &mut Random, list: &ListKey) -> UserId {
        let read = async {
            let snapshot = self.store.snapshot(&[]).await?;
            content(&snapshot, list).await
        };
        let content = block_on(read).unwrap_or_else(|error| failed(&error));
        let ids: Vec<_> = content.keys().filter(|id| !id.is_header()).collect();
        let one = random
            .pick(&ids)
            .and_then(|id| UserId::new(id.as_str()).ok());
        match (one, random.one_in(4)) {
            (Some(one), false) => one,
            _ => a_user(random),
        }
    }

    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Carries out an operation; many are refused.
    fn write<W>(&self, write: Result<W, Refusal>) -> Option<W::Output>
    where
        W: Write<Refusal = Refusal>,
        W::Output: Serialize + DeserializeOwned + Sync,
    {
        let conditions = Conditions::default();
        let written = block_on(self.directory.write(write.ok()?, &conditions));
        written.ok().map(|written| written.output)
    }

    /// Puts what changed since this was last asked into one transaction. `false`:
    /// nothing.
    fn collect(&mut self) -> bool {
        let mut ops = Vec::new();
        let store = self.store.clone();
        let read = async {
            let snapshot = store.snapshot(&self.lists).await?;
            for list in self.lists.clone() {
                let state = snapshot.state(&list).await?;
                if self.known.get(&list).map(|known| known.state) != Some(state) {
                    let content = match state {
                        ListState::Live(_) => content(&snapshot, &list).await?,
                        ListState::Ended(_) | ListState::Absent(_) => Content::new(),
                    };
                    self.compare(&list, Known { state, content }, &mut ops);
                }
            }
            Ok(())
        };
        block_on(read).unwrap_or_else(|error| failed(&error));
        let changed = !ops.is_empty();
        if changed {
            self.ready.push_back(ops);
        }
        changed
    }

    /// What became of a list.
    fn compare(&mut self, list: &ListKey, now: Known, ops: &mut Vec<Op>) {
        let before = self.known.remove(list);
        let nothing = Content::new();
        let old = match &before {
            Some(before) if is_same_life(&before.state, &now.state) => &before.content,
            Some(before) => {
                if matches!(before.state, ListState::Live(_)) {
                    ops.push(Op::End(list.clone()));
                }
                let again = (before.state, list.kind.as_str());
                let again = match again {
                    (ListState::Ended(_), kinds::PROFILE) => Some("user"),
                    (ListState::Ended(_), kinds::MEMBERS) => Some("group"),
                    _ => None,
                };
                if let (Some(what), ListState::Live(_)) = (again, now.state) {
                    let met = format!("operation on a {what} that was there before");
                    self.met.push(met);
                }
                &nothing
            }
            None => &nothing,
        };
        let gone = old.keys().filter(|id| !now.content.contains_key(*id));
        ops.extend(gone.map(|id| Op::Delete(list.clone(), id.clone())));
        for (id, (rank, payload)) in &now.content {
            let was = old.get(id);
            if was != Some(&(rank.clone(), payload.clone())) {
                let (rank, payload) = (rank.clone(), payload.clone());
                if list.kind.as_str() == kinds::CONVERSATIONS
                    && was.is_some_and(|(_, was)| is_deleted(was) && !is_deleted(&payload))
                {
                    let met = "operation that brings a deleted conversation back";
                    self.met.push(met.to_owned());
                }
                ops.push(Op::Put(list.clone(), id.clone(), rank, payload));
            }
        }
        self.known.insert(list.clone(), now);
    }
}

fn is_same_life(one: &ListState, other: &ListState) -> bool {
    match (one, other) {
        (ListState::Live(one), ListState::Live(other)) => one.lineage == other.lineage,
        _ => false,
    }
}

fn is_deleted(payload: &Bytes) -> bool {
    Conversation::decode(payload).is_ok_and(|conversation| conversation.deleted)
}

/// The elements of a list.
async fn content<R: Reads>(reads: &R, list: &ListKey) -> Result<Content, R::Error> {
    let all = PageLimit {
        rows: usize::MAX >> 1,
        bytes: usize::MAX >> 1,
    };
    let last = Version::new(u64::MAX >> 1);
    let rows = reads.scan(list, last, None, Payloads::All, all).await?;
    let content = rows.rows.into_iter();
    Ok(content
        .map(|item| (item.id, (item.rank, item.payload)))
        .collect())
}

fn failed(error: &StoreError) -> ! {
    unreachable!("a store in memory does not fail: {error}")
}
