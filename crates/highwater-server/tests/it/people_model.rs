//! Random histories of a few people against a model that knows nothing but the
//! rules: every answer, every list, its order, and what is noted of it.

use crate::faulty::Faulty;
use crate::kit::{Hands, NOW_MS, store};
use crate::people::{
    accept, assert_people_in_step, block, change, delete, fan_out, ids, named, reject, request,
    unblock, unfriend, withdraw,
};
use crate::rules::{actor, run, user};
use highwater_protocol::Code;
use highwater_protocol::kinds::RequestState;
use highwater_server::domain::{DescribeUser, FanOut, FriendChange, Sides};
use highwater_store::memory::MemoryStore;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};

const PEOPLE: [&str; 5] = ["u0", "u1", "u2", "u3", "u4"];
/// Among them the empty one; all sort before the ids.
const NAMES: [&str; 4] = ["", "ann", "bob", "cyd"];

type Pair = (usize, usize);

#[derive(Default)]
struct Model {
    names: BTreeMap<usize, &'static str>,
    /// By owner and friend: pinned, and the remark.
    friends: BTreeMap<Pair, (bool, &'static str)>,
    /// By who asks and who is asked.
    requests: BTreeMap<Pair, RequestState>,
    blocks: BTreeSet<Pair>,
    going: BTreeSet<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    what: u8,
    one: usize,
    other: usize,
    pick: usize,
}

impl Model {
    fn waits(&self, asker: usize, asked: usize) -> bool {
        self.requests.get(&(asker, asked)) == Some(&RequestState::Pending)
    }

    fn befriend(&mut self, a: usize, b: usize) {
        for pair in [(a, b), (b, a)] {
            self.requests.remove(&pair);
            self.friends.entry(pair).or_default();
        }
    }

    fn is_going(&self, step: Step) -> bool {
        self.going.contains(&step.one) || self.going.contains(&step.other)
    }

    /// What the rules say to a step.
    fn apply(&mut self, step: Step) -> Result<(), Code> {
        let Step { one, other, .. } = step;
        let (to, from) = ((one, other), (other, one));
        let name = NAMES[step.pick % NAMES.len()];
        let or = |done: bool, code| if done { Ok(()) } else { Err(code) };
        match step.what {
            0 if self.is_going(step) => Err(Code::UserNotFound),
            0 if self.blocks.contains(&from) => Err(Code::Blocked),
            0 if self.friends.contains_key(&to) && self.friends.contains_key(&from) => {
                Err(Code::AlreadyFriends)
            }
            0 => {
                if self.waits(other, one) {
                    self.befriend(one, other);
                } else {
                    self.requests.insert(to, RequestState::Pending);
                }
                Ok(())
            }
            1 if self.is_going(step) => Err(Code::UserNotFound),
            1 if self.waits(other, one) => {
                self.befriend(one, other);
                Ok(())
            }
            2 if self.waits(other, one) => {
                self.requests.insert(from, RequestState::Rejected);
                Ok(())
            }
            1 | 2 => Err(Code::RequestNotFound),
            3 => or(self.requests.remove(&to).is_some(), Code::RequestNotFound),
            4 | 5 => {
                let was = self.friends.remove(&to).is_some();
                if was && step.what == 5 {
                    self.friends.remove(&from);
                }
                or(was, Code::NotFriend)
            }
            6 => match self.friends.get_mut(&to) {
                Some(friend) => {
                    *friend = (step.pick.is_multiple_of(2), name);
                    Ok(())
                }
                None => Err(Code::NotFriend),
            },
            7 if self.is_going(step) => Err(Code::UserNotFound),
            7 => {
                if self.blocks.insert(to) {
                    for pair in [to, from] {
                        if self.waits(pair.0, pair.1) {
                            self.requests.remove(&pair);
                        }
                    }
                }
                Ok(())
            }
            8 => or(self.blocks.remove(&to), Code::NotBlocked),
            9 if self.going.contains(&one) => Err(Code::UserNotFound),
            9 => {
                self.names.insert(one, name);
                Ok(())
            }
            _ => or(self.going.insert(one), Code::UserNotFound),
        }
    }

    /// Whoever has no profile any more is gone.
    async fn settle(&mut self, store: &MemoryStore) {
        for gone in self.going.clone() {
            if !ids(store, "profile", PEOPLE[gone]).await.is_empty() {
                continue;
            }
            self.going.remove(&gone);
            let stays = |pair: &Pair| pair.0 != gone && pair.1 != gone;
            self.friends.retain(|pair, _| stays(pair));
            self.requests.retain(|pair, _| stays(pair));
            self.blocks.retain(stays);
            self.names.remove(&gone);
        }
    }

    fn friends_of(&self, owner: usize) -> Vec<String> {
        let mine = self.friends.iter().filter(|(pair, _)| pair.0 == owner);
        let mut order: Vec<_> = mine
            .map(|((_, friend), (pinned, remark))| {
                let name = self.names.get(friend).copied().unwrap_or_default();
                let called = [*remark, name, PEOPLE[*friend]];
                let called = called.into_iter().find(|called| !called.is_empty());
                (!pinned, called, PEOPLE[*friend])
            })
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(.., id)| id.to_owned()).collect()
    }

    async fn assert_holds(&self, store: &MemoryStore) {
        let sorted = async |kind, owner| {
            let mut ids = ids(store, kind, owner).await;
            ids.sort();
            ids
        };
        let of = |pairs: Vec<Pair>, at: usize| -> Vec<&str> {
            let mine = pairs.into_iter().filter(|pair| pair.0 == at);
            mine.map(|pair| PEOPLE[pair.1]).collect()
        };
        for (at, id) in PEOPLE.into_iter().enumerate() {
            assert_eq!(ids(store, "friends", id).await, self.friends_of(at), "{id}");
            let sent = self.requests.keys().copied().collect();
            assert_eq!(sorted("sent_friend_requests", id).await, of(sent, at));
            let waiting = self.requests.iter();
            let waiting = waiting.filter(|(_, state)| **state == RequestState::Pending);
            let received = waiting.map(|(pair, _)| (pair.1, pair.0)).collect();
            assert_eq!(sorted("friend_requests", id).await, of(received, at));
            let blocks = self.blocks.iter().copied().collect();
            assert_eq!(sorted("blocks", id).await, of(blocks, at));
        }
        assert_people_in_step(store).await;
    }
}

async fn carry_out(store: &MemoryStore, step: Step) -> Result<(), Code> {
    let (one, other) = (PEOPLE[step.one], PEOPLE[step.other]);
    let name = NAMES[step.pick % NAMES.len()];
    match step.what {
        0 => run(store, request(one, other)).await.map(drop),
        1 => run(store, accept(one, other)).await,
        2 => run(store, reject(one, other, "no")).await,
        3 => run(store, withdraw(one, other)).await,
        4 => run(store, unfriend(one, other, Sides::One)).await,
        5 => run(store, unfriend(one, other, Sides::Both)).await,
        6 => {
            let seen = FriendChange {
                remark: Some(name.to_owned()),
                pinned: Some(step.pick.is_multiple_of(2)),
                extra: None,
            };
            run(store, change(one, other, seen)).await
        }
        7 => run(store, block(one, other)).await,
        8 => run(store, unblock(one, other)).await,
        9 => {
            let operation = DescribeUser::patch(&actor(one), user(one), named(name), NOW_MS);
            run(store, operation.unwrap()).await
        }
        _ => run(store, delete(one)).await,
    }
}

async fn live_through(history: Vec<(u8, usize, usize, usize)>) {
    let store = store();
    let mut model = Model::default();
    for (what, one, other, pick) in history {
        let step = Step {
            what,
            one,
            other,
            pick,
        };
        match what {
            // Seldom: whoever is deleted has nothing left to go wrong.
            10 if pick % 4 != 0 => {}
            11 => {
                fan_out(&store).await;
                model.settle(&store).await;
                model.assert_holds(&store).await;
            }
            12 => {
                let dying = Faulty::new(&store).with_writes(i64::try_from(pick % 7).unwrap());
                // It may have been enough.
                let _ = FanOut::new(dying).finish(&Hands::new().clock()).await;
                model.settle(&store).await;
            }
            _ if one == other && what < 9 => {}
            _ => {
                let was_going = model.is_going(step);
                let expected = model.apply(step);
                let answer = carry_out(&store, step).await;
                // Of one who goes, more or less may be gone already.
                if !was_going || expected == Err(Code::UserNotFound) {
                    assert_eq!(answer, expected, "{step:?}");
                }
            }
        }
    }
    fan_out(&store).await;
    model.settle(&store).await;
    assert!(model.going.is_empty());
    model.assert_holds(&store).await;
}

#[test]
fn whatever_people_do_to_each_other_their_lists_are_what_the_rules_say() {
    let step = (0..13u8, 0..PEOPLE.len(), 0..PEOPLE.len(), 0..1_000usize);
    let history = proptest::collection::vec(step, 1..150);
    // More by hand: PROPTEST_CASES=10000.
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    TestRunner::new(config)
        .run(&history, |history| {
            runtime.block_on(live_through(history));
            Ok(())
        })
        .unwrap();
}
