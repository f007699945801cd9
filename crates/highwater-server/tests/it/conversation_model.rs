//! Random histories of a group and what is said in it, against a model that knows
//! only what a member should see: the same, whether the group is small or large.

use crate::activity::{in_group, report_above};
use crate::conversations::{clear, delete, read};
use crate::groups::{conversation, element, finish};
use crate::kit::store;
use crate::rules::{create, dismiss, join, leave, members, run};
use highwater_protocol::kinds::{ConversationState, GroupActivity, LastMessage};
use highwater_server::domain::ActivityOutcome;
use highwater_store::memory::MemoryStore;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;

const USERS: [&str; 4] = ["u0", "u1", "u2", "u3"];

/// What a user should see of the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    state: ConversationState,
    unread: u64,
    /// The last message, if it is unread. (Of a large group a newcomer sees the
    /// last message that was said before they came, of a small one none.)
    last_seq: Option<u64>,
    is_shown: bool,
}

/// What the model keeps of a user.
#[derive(Clone, Debug)]
struct Kept {
    state: ConversationState,
    /// The last message that they heard, and whose it was.
    last: Option<(u64, String)>,
    /// Messages up to here are read or were before their time.
    read: u64,
    cleared: u64,
    deleted: bool,
}

#[derive(Default)]
struct Model {
    members: Vec<String>,
    is_there: bool,
    seq: u64,
    kept: BTreeMap<String, Kept>,
}

impl Model {
    fn enter(&mut self, who: &str) {
        self.members.push(who.to_owned());
        let kept = Kept {
            state: ConversationState::Active,
            last: None,
            read: self.seq,
            cleared: 0,
            deleted: false,
        };
        self.kept.insert(who.to_owned(), kept);
    }

    fn part(&mut self, who: &str, state: ConversationState) {
        self.members.retain(|member| member != who);
        let Some(kept) = self.kept.get_mut(who) else {
            return;
        };
        kept.state = state;
        if kept.deleted {
            self.kept.remove(who);
        }
    }

    fn end(&mut self) {
        for who in self.members.clone() {
            self.part(&who, ConversationState::Ended);
        }
        self.is_there = false;
    }

    fn say(&mut self, who: &str) {
        self.seq += 1;
        for member in &self.members {
            // Whoever deleted it all after they left has it no more.
            let Some(kept) = self.kept.get_mut(member) else {
                continue;
            };
            kept.last = Some((self.seq, who.to_owned()));
            kept.deleted = false;
            if member == who {
                kept.read = self.seq;
            }
        }
    }

    fn seen(&self, who: &str) -> Option<Seen> {
        let kept = self.kept.get(who)?;
        let last_seq = kept.last.as_ref().map_or(0, |(seq, _)| *seq);
        let unread = match &kept.last {
            Some((seq, sender)) if sender != who => seq.saturating_sub(kept.read.max(kept.cleared)),
            _ => 0,
        };
        Some(Seen {
            state: kept.state,
            unread,
            last_seq: (unread > 0).then_some(last_seq),
            is_shown: !kept.deleted,
        })
    }
}

/// What a device shows of what it has.
async fn seen(store: &MemoryStore, who: &str) -> Option<Seen> {
    let item = conversation(store, who, "g:g").await?;
    let shared: Option<GroupActivity> = match item.shared {
        true => element(store, "activity", "g", "").await,
        false => None,
    };
    let shared = shared.and_then(|activity| activity.last);
    let seq = |last: &LastMessage| last.seq;
    let last = item.last.clone().into_iter().chain(shared).max_by_key(seq);
    let last_seq = last.as_ref().map_or(0, seq);
    let unread = item.unread(who, last.as_ref());
    Some(Seen {
        state: item.state,
        unread,
        last_seq: (unread > 0).then_some(last_seq),
        is_shown: !item.deleted || last_seq > item.cleared_seq,
    })
}

async fn live_through(history: Vec<(u8, usize)>, shared_above: u64) {
    let store = store();
    let mut model = Model::default();
    for (what, at) in history {
        let who = USERS[at];
        let is_in = model.members.iter().any(|member| member == who);
        match what {
            0 | 1 if !model.is_there => {
                run(&store, create("g", Some(who))).await.unwrap();
                model.is_there = true;
                model.seq = 0;
                model.enter(who);
            }
            0..=2 => {
                let joined = run(&store, join("g", who)).await.is_ok();
                assert_eq!(joined, model.is_there && !is_in);
                if joined {
                    model.enter(who);
                }
            }
            3 => {
                // Who leaves before the worker came has the last message alone to
                // read, however many there were since the group was found large.
                finish(&store).await;
                let left = run(&store, leave("g", who)).await;
                if left == Ok(true) {
                    model.end();
                } else if left.is_ok() {
                    model.part(who, ConversationState::Left);
                }
            }
            4 if at == 0 => {
                finish(&store).await;
                if run(&store, dismiss("service", "g")).await.is_ok() {
                    model.end();
                    finish(&store).await;
                }
            }
            4 => finish(&store).await,
            5 => {
                let seq = model.kept.get(who).and_then(|kept| kept.last.clone());
                let seq = seq.map_or(0, |(seq, _)| seq);
                if seq > 0 && run(&store, read(who, "g:g", seq)).await.is_ok() {
                    let kept = model.kept.get_mut(who).unwrap();
                    kept.read = kept.read.max(seq);
                }
            }
            6 => {
                let done = run(&store, clear(who, "g:g")).await.is_ok();
                assert_eq!(done, model.kept.contains_key(who));
                if let Some(kept) = model.kept.get_mut(who) {
                    kept.cleared = kept.last.as_ref().map_or(0, |(seq, _)| *seq);
                }
            }
            7 => {
                let done = run(&store, delete(who, "g:g")).await.is_ok();
                assert_eq!(done, model.kept.contains_key(who));
                match model.kept.get_mut(who) {
                    Some(kept) if kept.state == ConversationState::Active => {
                        kept.cleared = kept.last.as_ref().map_or(0, |(seq, _)| *seq);
                        kept.deleted = true;
                    }
                    _ => drop(model.kept.remove(who)),
                }
            }
            _ if model.is_there => {
                // Who speaks may be nobody of the group.
                let entry = in_group("g", model.seq + 1, who);
                let outcome = report_above(&store, entry, shared_above).await;
                assert_eq!(outcome, ActivityOutcome::Written);
                model.say(who);
            }
            _ => {}
        }
    }
    finish(&store).await;
    for who in USERS {
        assert_eq!(seen(&store, who).await, model.seen(who), "{who}");
    }
    assert_eq!(members(&store, "g").await.len(), model.members.len());
}

#[test]
fn a_conversation_looks_the_same_in_small_groups_and_in_large_ones() {
    let step = (0..14u8, 0..USERS.len());
    let history = proptest::collection::vec(step, 1..60);
    let config = Config {
        cases: 256,
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    TestRunner::new(config)
        .run(&history, |history| {
            for shared_above in [0, 2, 100] {
                runtime.block_on(live_through(history.clone(), shared_above));
            }
            Ok(())
        })
        .unwrap();
}
