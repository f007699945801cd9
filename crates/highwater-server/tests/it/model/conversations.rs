//! Conversations of the naive model: what is said in them, and what their owners
//! set.

use super::world::{Reasons, Report, SHARED_ABOVE, To, World};
use highwater_protocol::kinds::{
    Conversation, ConversationState, ConversationType, Draft, LastMessage, Mention,
};

impl World {
    /// The last message of a conversation, wherever it is kept.
    pub(crate) fn last(&self, user: &str, id: &str) -> Option<LastMessage> {
        let own = self.people.get(user)?.conversations.get(id);
        let own = own.and_then(|it| it.last.clone());
        let is_shared = self.people[user].conversations.get(id)?.shared;
        let shared = id
            .strip_prefix("g:")
            .filter(|_| is_shared)
            .and_then(|group| self.groups.get(group)?.activity.as_ref()?.last.clone());
        match (own, shared) {
            (Some(own), Some(shared)) if own.seq >= shared.seq => Some(own),
            (own, shared) => shared.or(own),
        }
    }

    /// A conversation that its owner sets something on; `None`: it cannot be.
    fn conversation(&mut self, user: &str, id: &str, now: i64) -> Option<&mut Conversation> {
        let (name, avatar) = match id.strip_prefix("u:") {
            Some(other) => (self.name(other), self.avatar(other)),
            None => (String::new(), String::new()),
        };
        let conversations = &mut self.person(user).conversations;
        if !conversations.contains_key(id) {
            let r#type = match id.split_at(2).0 {
                "u:" => ConversationType::User,
                "s:" => ConversationType::System,
                _ => return None,
            };
            let new = Conversation {
                r#type,
                created_at_ms: now,
                name,
                avatar,
                ..Conversation::default()
            };
            conversations.insert(id.to_owned(), new);
        }
        conversations.get_mut(id)
    }

    pub(crate) fn set_conversation(
        &mut self,
        user: &str,
        id: &str,
        pinned: Option<bool>,
        draft: Option<&str>,
        now: i64,
    ) -> Reasons {
        if id == format!("u:{user}") {
            return vec!["invalid_field"];
        }
        let Some(conversation) = self.conversation(user, id, now) else {
            return vec!["conversation_not_found"];
        };
        if let Some(pinned) = pinned {
            conversation.pinned = pinned;
        }
        if let Some(text) = draft {
            conversation.draft = (!text.is_empty()).then(|| Draft {
                text: text.to_owned(),
                at_ms: now,
            });
        }
        vec![]
    }

    pub(crate) fn read(&mut self, user: &str, id: &str, seq: u64) -> Reasons {
        let Some(conversation) = self.person(user).conversations.get_mut(id) else {
            return vec!["conversation_not_found"];
        };
        read_up_to(conversation, seq);
        vec![]
    }

    pub(crate) fn clear(&mut self, user: &str, id: &str) -> Reasons {
        let last = seq_of(self.last(user, id).as_ref());
        let Some(conversation) = self.person(user).conversations.get_mut(id) else {
            return vec!["conversation_not_found"];
        };
        // One that came back with what happened stays.
        conversation.deleted &= last <= conversation.cleared_seq;
        conversation.cleared_seq = conversation.cleared_seq.max(last);
        conversation.mention = None;
        conversation.mention_seq = 0;
        if let Some(last) = &mut conversation.last {
            last.preview.clear();
        }
        vec![]
    }

    pub(crate) fn delete_conversation(&mut self, user: &str, id: &str) -> Reasons {
        if !self.person(user).conversations.contains_key(id) {
            return vec!["conversation_not_found"];
        }
        let member = id
            .strip_prefix("g:")
            .is_some_and(|group| self.person(user).groups.contains_key(group));
        if member {
            self.clear(user, id);
            self.person(user).conversations.get_mut(id).unwrap().deleted = true;
        } else {
            self.person(user).conversations.remove(id);
        }
        vec![]
    }

    /// One report of activity; what became of it.
    pub(crate) fn message(&mut self, report: &Report) -> &'static str {
        match &report.to {
            To::Pair(a, b) => self.message_to_pair(a, b, report),
            To::Group(group) => self.message_to_group(group, report),
        }
    }

    fn message_to_pair(&mut self, a: &str, b: &str, report: &Report) -> &'static str {
        // What there was with somebody who is gone is over.
        for (one, two) in [(a, b), (b, a)] {
            let (conversations, id) = (&mut self.person(one).conversations, format!("u:{two}"));
            let is_over = |it: &Conversation| it.state == ConversationState::Ended;
            if conversations.get(&id).is_some_and(is_over) {
                conversations.remove(&id);
            }
        }
        let last = |one: &str, two: &str| {
            let with = self.people[one].conversations.get(&format!("u:{two}"));
            seq_of(with.and_then(|with| with.last.as_ref()))
        };
        if report.last.seq <= last(a, b).max(last(b, a)) {
            return "stale";
        }
        for (one, two) in [(a, b), (b, a)] {
            let at = report.last.at_ms;
            let with = self.conversation(one, &format!("u:{two}"), at).unwrap();
            heard(with, one, report);
        }
        "written"
    }

    fn message_to_group(&mut self, group: &str, report: &Report) -> &'static str {
        let id = format!("g:{group}");
        let Some(inside) = self.groups.get(group) else {
            return "group_not_found";
        };
        let members: Vec<String> = inside.members.keys().cloned().collect();
        let seq = report.last.seq;
        let activity = inside.activity.clone();
        if activity.is_none() && members.len() <= SHARED_ABOVE {
            let last = |user: &String| {
                let conversation = self.people[user].conversations.get(&id);
                seq_of(conversation.and_then(|it| it.last.as_ref()))
            };
            if seq <= members.iter().map(last).max().unwrap_or(0) {
                return "stale";
            }
            for user in &members {
                heard(self.talk(user, &id), user, report);
            }
            return "written";
        }
        if seq <= seq_of(activity.as_ref().and_then(|it| it.last.as_ref())) {
            return "stale";
        }
        let is_new = activity.is_none();
        let mut activity = activity.unwrap_or_default();
        if is_new {
            // It knows what its members knew.
            let heard = |user: &String| {
                let conversation = self.people[user].conversations.get(&id);
                seq_of(conversation.and_then(|it| it.last.as_ref()))
            };
            if seq <= members.iter().map(heard).max().unwrap_or(0) {
                return "stale";
            }
        }
        activity.last = Some(report.last.clone());
        if report.mention_all {
            activity.mention_all_seq = seq;
        }
        self.group(group).activity = Some(activity);
        for user in &members {
            let conversation = self.talk(user, &id);
            if *user == report.last.sender {
                read_up_to(conversation, seq);
            } else if report.mentions.contains(user) {
                mentioned(conversation, user, report);
            }
            if is_new {
                conversation.shared = true;
                if conversation.last.is_none() {
                    read_up_to(conversation, seq - 1);
                }
            }
        }
        "written"
    }

    fn talk(&mut self, user: &str, id: &str) -> &mut Conversation {
        self.person(user).conversations.get_mut(id).unwrap()
    }
}

pub(super) fn seq_of(last: Option<&LastMessage>) -> u64 {
    last.map_or(0, |last| last.seq)
}

fn read_up_to(conversation: &mut Conversation, seq: u64) {
    conversation.read_seq = conversation.read_seq.max(seq);
    if conversation.mention_seq <= conversation.read_seq {
        conversation.mention = None;
        conversation.mention_seq = 0;
    }
}

/// A message arrives in a conversation of `owner`'s.
fn heard(conversation: &mut Conversation, owner: &str, report: &Report) {
    let seq = report.last.seq;
    if conversation.last.is_none() {
        // Of what was said before, none is unread.
        read_up_to(conversation, seq - 1);
    }
    conversation.last = Some(report.last.clone());
    if seq > conversation.cleared_seq {
        conversation.deleted = false;
    }
    if report.last.sender == owner {
        read_up_to(conversation, seq);
    }
    mentioned(conversation, owner, report);
}

/// A mention by name is not lost to one of everybody.
fn mentioned(conversation: &mut Conversation, owner: &str, report: &Report) {
    let seq = report.last.seq;
    if report.last.sender == owner || seq <= conversation.read_seq {
        return;
    }
    if report.mentions.contains(owner) {
        conversation.mention = Some(Mention::Me);
        conversation.mention_seq = seq;
    } else if report.mention_all && conversation.mention != Some(Mention::Me) {
        conversation.mention = Some(Mention::All);
        conversation.mention_seq = seq;
    }
}
