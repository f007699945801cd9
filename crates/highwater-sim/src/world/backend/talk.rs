//! Conversations, and what goes on in them.

use super::{Backend, USERS, a_group, a_name, a_user, user};
use crate::random::Random;
use futures::executor::block_on;
use highwater_core::reads::{ListState, Reads as _};
use highwater_server::domain::{
    Activity, ActivityBody, ActivityConversation, ActivityOf, ActivityOutcome, Actor,
    ChangeConversation, ClearConversation, ConversationChange, DeleteConversation, GroupId,
    Partner, ReadConversation, ReportActivity,
};
use highwater_store::Store as _;

/// Groups of more members are large.
const SHARED_ABOVE: u64 = 2;
/// The operation after which the members of a group know that it is large.
const FOUND_LARGE: &str = "report the first activity of a large group";
/// The name of the system's conversation.
const SYSTEM: &str = "news";

impl Backend {
    /// What a user does to a conversation of theirs, at random. Returns what.
    pub(super) fn conversation(&self, random: &mut Random) -> &'static str {
        let own = a_user(random);
        let actor = Actor::User(own.clone());
        let with = match random.below(5) {
            0 | 1 => Partner::User(a_user(random)),
            2 | 3 => Partner::Group(a_group(random)),
            _ => Partner::System(SYSTEM.to_owned()),
        };
        if with == Partner::User(own.clone()) {
            return "change conversation";
        }
        let seq = match &with {
            Partner::User(other) => self.seq(&of_pair(own.as_str(), other.as_str())),
            Partner::Group(group) => self.seq(group.as_str()),
            Partner::System(name) => self.seq(name),
        };
        match random.below(6) {
            0 | 1 => {
                let change = ConversationChange {
                    pinned: Some(random.one_in(2)),
                    draft: Some(a_name(random)),
                    ..ConversationChange::default()
                };
                self.write(Ok(ChangeConversation {
                    actor,
                    user: own,
                    conversation: with,
                    change,
                    at_ms: self.now_ms(),
                }));
                "change conversation"
            }
            2 | 3 => {
                self.write(Ok(ReadConversation {
                    actor,
                    user: own,
                    conversation: with,
                    seq: seq.saturating_sub(random.below(3)),
                }));
                "read conversation"
            }
            4 => {
                self.write(Ok(ClearConversation {
                    actor,
                    user: own,
                    conversation: with,
                }));
                "clear conversation"
            }
            _ => {
                self.write(Ok(DeleteConversation {
                    actor,
                    user: own,
                    conversation: with,
                }));
                "delete conversation"
            }
        }
    }

    /// A service reports what goes on. Returns what it reported.
    pub(super) fn activity(&mut self, random: &mut Random) -> Vec<&'static str> {
        let count = match random.one_in(3) {
            true => random.between(2, 6),
            false => 1,
        };
        let entries: Vec<_> = (0..count)
            .filter_map(|_| {
                let body = self.message(random);
                Activity::parse(body).ok()
            })
            .collect();
        let before = [0, 1].map(|at| self.is_large(&super::group(at)));
        let report = ReportActivity {
            entries: entries.iter().cloned().map(Ok).collect(),
            partial: true,
        };
        let report = self.directory.report_activity(&report, SHARED_ABOVE);
        let Ok(reported) = block_on(report) else {
            return Vec::new();
        };
        let mut met = Vec::new();
        let mut written = 0;
        for (activity, outcome) in entries.iter().zip(&reported.output.outcomes) {
            match outcome {
                ActivityOutcome::Written => {
                    written += 1;
                    met.push(match &activity.of {
                        ActivityOf::Pair(_) => "report activity of two users",
                        ActivityOf::Group(group) if self.is_large(group) => {
                            "report activity of a large group"
                        }
                        ActivityOf::Group(_) => "report activity of a small group",
                        ActivityOf::System(..) => "report activity of the system",
                    });
                    if !activity.mentions.is_empty() {
                        met.push("report a mention");
                    }
                    if activity.mention_all {
                        met.push("report a mention of everybody");
                    }
                }
                ActivityOutcome::Stale => self.met.push("operation on stale activity".to_owned()),
                ActivityOutcome::Refused { .. } | ActivityOutcome::NotApplied => {}
            }
        }
        if written > 1 {
            met.push("report several activities");
        }
        if before != [0, 1].map(|at| self.is_large(&super::group(at))) {
            self.owing.insert(FOUND_LARGE);
            met.push(FOUND_LARGE);
        }
        met
    }

    /// A message somewhere, sometimes one that was reported before.
    fn message(&mut self, random: &mut Random) -> ActivityBody {
        let sender = a_user(random);
        let mut body = ActivityBody {
            at_ms: self.now_ms(),
            sender: sender.as_str().to_owned(),
            preview: a_name(random),
            ..ActivityBody::default()
        };
        let conversation = &mut body.conversation;
        let of = match random.below(7) {
            0 | 1 => {
                let other = a_user(random);
                let pair = [sender.as_str().to_owned(), other.as_str().to_owned()];
                let of = of_pair(sender.as_str(), other.as_str());
                conversation.user = Some(pair);
                of
            }
            2..6 => {
                let group = a_group(random);
                if random.one_in(4) {
                    let mentioned = [a_user(random), user(random.below(USERS))];
                    body.mentions = mentioned.map(|user| user.as_str().to_owned()).to_vec();
                }
                body.mention_all = random.one_in(6);
                conversation.group = Some(group.as_str().to_owned());
                group.as_str().to_owned()
            }
            _ => {
                let to = [a_user(random), a_user(random)];
                *conversation = ActivityConversation {
                    system: Some(SYSTEM.to_owned()),
                    to: Some(to.map(|user| user.as_str().to_owned()).to_vec()),
                    ..ActivityConversation::default()
                };
                body.sender = String::new();
                SYSTEM.to_owned()
            }
        };
        let seq = self.seqs.entry(of).or_default();
        body.seq = match random.below(8) {
            0 => (*seq).max(1),
            // Some are never reported.
            1 => *seq + 3,
            _ => *seq + 1,
        };
        *seq = body.seq.max(*seq);
        body
    }

    /// The last message of a conversation that was reported.
    fn seq(&self, of: &str) -> u64 {
        self.seqs.get(of).copied().unwrap_or(0)
    }

    /// Whether a group's activity is in a list of its own.
    fn is_large(&self, group: &GroupId) -> bool {
        let read = async {
            let snapshot = self.store.snapshot(&[]).await?;
            snapshot.state(&group.activity()).await
        };
        let state = block_on(read).unwrap_or_else(|error| super::failed(&error));
        matches!(state, ListState::Live(_))
    }
}

/// A name for the conversation of two users.
fn of_pair(one: &str, other: &str) -> String {
    format!("{} {}", one.min(other), one.max(other))
}
