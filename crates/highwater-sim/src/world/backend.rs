//! What a backend's operations write: the rules of friends, groups and
//! conversations, carried out by random users on a store of their own.
//!
//! Each operation becomes the puts, deletes and ends that it did; those are then
//! written to the server on trial, where they may be refused, lost or doubted like
//! any other. (The store here goes on as if they had all been done: what matters is
//! that transactions of the real shapes touch several lists at once.)

use crate::model::Op;
use crate::random::Random;
use bytes::Bytes;
use futures::executor::block_on;
use highwater_core::reads::{ListState, PageLimit, Payloads, Reads as _};
use highwater_protocol::kinds::{Circle, JoinPolicy, Role};
use highwater_protocol::{ItemId, ListKey, Rank, Refusal, Version};
use highwater_server::Clock;
use highwater_server::domain::{
    AcceptFriend, Actor, BlockUser, ChangeConversation, ChangeFriend, ClearConversation,
    ConversationChange, Create, DeleteConversation, DeleteFriend, DescribeUser, Dismiss, FanOut,
    FriendChange, GroupId, Invite, Join, Leave, ProfileChange, ReadConversation, Remove,
    RequestFriend, Rules, SetNickname, SetRole, SetRules, Sides, UnblockUser, UserId,
};
use highwater_store::memory::MemoryStore;
use highwater_store::{Store as _, Write, WriteError};
use std::collections::{BTreeMap, VecDeque};

/// Users that there are; the world looks at the lists of the first two.
const USERS: u64 = 6;
/// Draws until an operation changes something that the world looks at.
const TRIES: u32 = 30;

type Content = BTreeMap<ItemId, (Rank, Bytes)>;

/// The backend, and what its operations have done so far.
pub(super) struct Backend {
    store: MemoryStore,
    fan_out: FanOut<MemoryStore>,
    lists: Vec<ListKey>,
    written: BTreeMap<ListKey, Content>,
    /// Transactions that were not given out yet.
    ready: VecDeque<Vec<Op>>,
}

fn user(at: u64) -> UserId {
    UserId::new(&format!("u{at}")).unwrap_or_else(|no| unreachable!("the id is short: {no}"))
}

fn group(at: u64) -> GroupId {
    GroupId::new(&format!("g{at}")).unwrap_or_else(|no| unreachable!("the id is short: {no}"))
}

/// The lists that a world with a backend looks at.
pub(super) fn lists() -> Vec<ListKey> {
    let mut lists = Vec::new();
    for at in 0..2 {
        let (user, group) = (user(at), group(at));
        lists.extend([
            group.members(),
            user.groups(),
            user.friends(),
            user.friend_requests(),
            user.conversations(),
        ]);
    }
    lists
}

impl Backend {
    pub(super) fn new() -> Self {
        let store = MemoryStore::new([1; 16]);
        Self {
            fan_out: FanOut::new(store.clone()),
            store,
            lists: lists(),
            written: BTreeMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// The next transaction: never empty, unless nothing more can be done.
    pub(super) fn transaction(&mut self, random: &mut Random, now_ms: i64) -> Vec<Op> {
        for _ in 0..TRIES {
            if let Some(ops) = self.ready.pop_front() {
                return ops;
            }
            self.operate(random, now_ms);
            self.collect();
            // What the operation left to be done is a transaction of its own.
            let clock = Clock::new(move || now_ms);
            if block_on(self.fan_out.finish(&clock)).is_ok() {
                self.collect();
            }
        }
        Vec::new()
    }

    fn write<W: Write<Refusal = Refusal>>(&self, now_ms: i64, write: Result<W, Refusal>) {
        let Ok(write) = write else {
            return;
        };
        match block_on(self.store.write(now_ms, write)) {
            Ok(_) | Err(WriteError::Refused(_)) => {}
            Err(error) => unreachable!("a store in memory does not fail: {error}"),
        }
    }

    /// One operation at random; many are refused.
    fn operate(&self, random: &mut Random, now_ms: i64) {
        let (at, other) = (random.below(USERS), random.below(USERS));
        let (own, other) = (user(at), user(other));
        let actor = Actor::User(own.clone());
        let group = group(random.below(2));
        let name = format!("name{}", random.below(1_000));
        let with = match random.one_in(2) {
            true => format!("u:{other}"),
            false => format!("g:{group}"),
        };
        let flag = random.one_in(2);
        match random.below(24) {
            0 | 1 => {
                let change = ProfileChange {
                    name: Some(name),
                    ..ProfileChange::default()
                };
                self.write(now_ms, DescribeUser::patch(&actor, own, change, now_ms));
            }
            2..5 => {
                let source = String::new();
                let request = RequestFriend::new(&actor, own, other, name, source, now_ms);
                self.write(now_ms, request);
            }
            5 | 6 => self.write(now_ms, AcceptFriend::new(&actor, own, other, now_ms)),
            7 => {
                let sides = if flag { Sides::Both } else { Sides::One };
                self.write(now_ms, DeleteFriend::new(&actor, own, other, sides));
            }
            8 | 9 => {
                let change = FriendChange {
                    remark: Some(name),
                    pinned: Some(flag),
                    extra: None,
                };
                self.write(now_ms, ChangeFriend::new(&actor, own, other, change));
            }
            10 if flag => self.write(now_ms, BlockUser::new(&actor, own, other, now_ms)),
            10 => self.write(now_ms, UnblockUser::new(&actor, own, other)),
            11 | 12 => {
                let words = String::new();
                let create = Create::new(actor, group, Some(own), name, words, now_ms);
                self.write(now_ms, create);
            }
            13 | 14 => {
                let join = Join::new(actor, group, own, name, String::new(), now_ms);
                self.write(now_ms, join);
            }
            15 => {
                let user = own;
                self.write(now_ms, Ok(Leave { actor, group, user }));
            }
            16 | 17 => {
                let users = vec![other, user(random.below(USERS))];
                self.write(
                    now_ms,
                    Ok(Invite {
                        actor,
                        group,
                        users,
                        at_ms: now_ms,
                    }),
                );
            }
            18 => {
                let role = random.pick(Role::ALL).copied().unwrap_or_default();
                let user = other;
                self.write(
                    now_ms,
                    Ok(SetRole {
                        actor,
                        group,
                        user,
                        role,
                    }),
                );
            }
            19 => self.write(now_ms, SetNickname::new(actor, group, own, name)),
            20 if random.one_in(4) => self.write(now_ms, Ok(Dismiss { actor, group })),
            20 => {
                let users = vec![other];
                self.write(
                    now_ms,
                    Ok(Remove {
                        actor,
                        group,
                        users,
                    }),
                );
            }
            21 => {
                let rules = Rules {
                    join_policy: Some(JoinPolicy::Open),
                    invited_by: Some(Circle::Members),
                    seen_by: None,
                };
                self.write(now_ms, SetRules::new(actor, group, rules));
            }
            22 => {
                let change = ConversationChange {
                    pinned: Some(flag),
                    draft: Some(name),
                    ..ConversationChange::default()
                };
                let change = ChangeConversation::new(actor, own, &with, change, now_ms);
                self.write(now_ms, change);
            }
            _ => match random.below(3) {
                0 => {
                    let seq = random.below(100);
                    self.write(now_ms, ReadConversation::new(actor, own, &with, seq));
                }
                1 => self.write(now_ms, ClearConversation::new(actor, own, &with)),
                _ => self.write(now_ms, DeleteConversation::new(actor, own, &with)),
            },
        }
    }

    /// What changed since this was last asked, as one transaction.
    fn collect(&mut self) {
        let mut ops = Vec::new();
        for list in &self.lists {
            let now = content(&self.store, list);
            let before = self.written.get(list);
            match (&now, before) {
                (None, Some(_)) => ops.push(Op::End(list.clone())),
                (None, None) => {}
                (Some(now), before) => {
                    let nothing = Content::new();
                    let before = before.unwrap_or(&nothing);
                    let gone = before.keys().filter(|id| !now.contains_key(*id));
                    ops.extend(gone.map(|id| Op::Delete(list.clone(), id.clone())));
                    for (id, (rank, payload)) in now {
                        if before.get(id) != Some(&(rank.clone(), payload.clone())) {
                            let (rank, payload) = (rank.clone(), payload.clone());
                            ops.push(Op::Put(list.clone(), id.clone(), rank, payload));
                        }
                    }
                }
            }
            match now {
                Some(now) => drop(self.written.insert(list.clone(), now)),
                None => drop(self.written.remove(list)),
            }
        }
        if !ops.is_empty() {
            self.ready.push_back(ops);
        }
    }
}

/// The elements of a list; `None`: it is not there.
fn content(store: &MemoryStore, list: &ListKey) -> Option<Content> {
    let all = PageLimit {
        rows: usize::MAX >> 1,
        bytes: usize::MAX >> 1,
    };
    let read = async {
        let snapshot = store.snapshot(std::slice::from_ref(list)).await?;
        let ListState::Live(_) = snapshot.state(list).await? else {
            return Ok(None);
        };
        let last = Version::new(u64::MAX >> 1);
        let rows = snapshot.scan(list, last, None, Payloads::All, all).await?;
        let content = rows.rows.into_iter();
        Ok::<_, highwater_store::StoreError>(Some(
            content
                .map(|item| (item.id, (item.rank, item.payload)))
                .collect(),
        ))
    };
    block_on(read).unwrap_or_else(|error| unreachable!("a store in memory does not fail: {error}"))
}
