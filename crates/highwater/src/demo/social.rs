//! What follows from a history of groups: who befriends whom, and what is said
//! where. Nothing here is random, so any two runs over one history agree; and it
//! shares no code with server or SDK, so it is a witness too.
//!
//! People who share four small groups become friends, write each other once, and
//! part when they share two. Joining a group is a message in it; so is its new
//! name. Whoever gets another role takes it into their own name.

use crate::history::{Change, Transaction};
use std::collections::{BTreeMap, BTreeSet};

/// Groups of more members make no friends.
const SMALL: usize = 40;
/// Small groups that two share when they become friends.
const BEFRIENDS: u32 = 4;
/// Small groups that two share when they part.
const PARTS: u32 = 2;
/// Groups of more members share their activity: the server's default.
const SHARED_ABOVE: usize = 200;

/// A message: the last of a conversation, until the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) seq: u64,
    /// Seconds since 1970.
    pub(crate) at: i64,
    /// Empty: the system.
    pub(crate) sender: String,
    pub(crate) preview: String,
}

/// A conversation as its owner has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Talk {
    /// What was last said, wherever it is kept.
    pub(crate) last: Option<Message>,
    /// `active`, `left` or `ended`.
    pub(crate) state: &'static str,
}

/// What a transaction has people do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aftermath {
    /// Users who are new, with their names.
    pub(crate) named: Vec<(String, String)>,
    /// Users who have another name now.
    pub(crate) renamed: BTreeMap<String, String>,
    pub(crate) befriended: Vec<(String, String)>,
    pub(crate) parted: Vec<(String, String)>,
    /// In groups.
    pub(crate) group_messages: Vec<(String, Message)>,
    /// Between two users.
    pub(crate) pair_messages: Vec<(String, String, Message)>,
}

/// Who is what to whom, as of the last transaction.
#[derive(Debug, Default)]
pub(crate) struct Social {
    groups: BTreeMap<String, BTreeSet<String>>,
    /// Small groups that two share; the smaller id first.
    shared: BTreeMap<(String, String), u32>,
    friends: BTreeMap<(String, String), i64>,
    names: BTreeMap<String, String>,
    /// The last message of each group of a name, over all its lives, and of each
    /// pair.
    said: BTreeMap<String, u64>,
    /// The last message of groups that were large when something was said in them.
    large: BTreeMap<String, Message>,
    /// By owner and id.
    talks: BTreeMap<(String, String), Talk>,
}

fn pair(a: &str, b: &str) -> (String, String) {
    match a < b {
        true => (a.to_owned(), b.to_owned()),
        false => (b.to_owned(), a.to_owned()),
    }
}

fn plain_name(user: &str) -> String {
    format!("Person {}", user.trim_start_matches(['u', '0']))
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

impl Social {
    /// Carries out a transaction, and says what follows.
    pub(crate) fn follow(&mut self, transaction: &Transaction) -> Aftermath {
        let at = transaction.at;
        let mut after = Aftermath::default();
        let mut said: BTreeMap<String, (String, String)> = BTreeMap::new();
        for change in &transaction.changes {
            match change {
                Change::Create { group, .. } => {
                    self.groups.insert(group.clone(), BTreeSet::new());
                }
                Change::Rename { group, name } => {
                    said.insert(group.clone(), (String::new(), cut(name)));
                }
                Change::Role { user, role, .. } => {
                    let name = format!("{} ({role})", plain_name(user));
                    self.names.insert(user.clone(), name.clone());
                    after.renamed.insert(user.clone(), name);
                }
                Change::Join { group, user, .. } => {
                    self.join(group, user, at, &mut after);
                    said.insert(group.clone(), (user.clone(), "hello".to_owned()));
                }
                Change::Leave { group, user } => {
                    self.part_with(group, user, &mut after);
                    self.talk(user, &format!("g:{group}")).state = "left";
                    // Who has left says nothing more.
                    if said.get(group).is_some_and(|(sender, _)| sender == user) {
                        said.remove(group);
                    }
                }
                Change::Dismiss { group } => self.dismiss(group, &mut after),
            }
        }
        for (group, (sender, preview)) in said {
            if let Some(message) = self.say_in_group(&group, sender, preview, at) {
                after.group_messages.push((group, message));
            }
        }
        // Two who part within the transaction never were friends.
        let parted: BTreeSet<_> = after.parted.iter().cloned().collect();
        let befriended: BTreeSet<_> = after.befriended.iter().cloned().collect();
        after.befriended.retain(|two| !parted.contains(two));
        after.parted.retain(|two| !befriended.contains(two));
        for (a, b) in after.befriended.clone() {
            let message = self.say_between(&a, &b, at);
            after.pair_messages.push((a, b, message));
        }
        after
    }

    fn join(&mut self, group: &str, user: &str, at: i64, after: &mut Aftermath) {
        if !self.names.contains_key(user) {
            let name = plain_name(user);
            self.names.insert(user.to_owned(), name.clone());
            after.named.push((user.to_owned(), name));
        }
        let others = self.groups.entry(group.to_owned()).or_default().clone();
        if others.len() < SMALL {
            for other in &others {
                let two = pair(user, other);
                let shared = self.shared.entry(two.clone()).or_default();
                *shared += 1;
                if *shared >= BEFRIENDS && !self.friends.contains_key(&two) {
                    self.friends.insert(two.clone(), at);
                    after.befriended.push(two);
                }
            }
        }
        if let Some(members) = self.groups.get_mut(group) {
            members.insert(user.to_owned());
        }
        self.talk(user, &format!("g:{group}")).state = "active";
    }

    fn part_with(&mut self, group: &str, user: &str, after: &mut Aftermath) {
        let Some(members) = self.groups.get_mut(group) else {
            return;
        };
        members.remove(user);
        for other in members.clone() {
            let two = pair(user, &other);
            let Some(shared) = self.shared.get_mut(&two).filter(|shared| **shared > 0) else {
                continue;
            };
            *shared -= 1;
            if *shared <= PARTS && self.friends.remove(&two).is_some() {
                after.parted.push(two);
            }
        }
    }

    fn dismiss(&mut self, group: &str, after: &mut Aftermath) {
        let members = self.groups.get(group).cloned().unwrap_or_default();
        for user in &members {
            self.part_with(group, user, after);
            self.talk(user, &format!("g:{group}")).state = "ended";
        }
        self.groups.remove(group);
        self.large.remove(group);
    }

    fn talk(&mut self, owner: &str, id: &str) -> &mut Talk {
        self.talks
            .entry((owner.to_owned(), id.to_owned()))
            .or_default()
    }

    fn next_seq(&mut self, conversation: &str) -> u64 {
        let said = self.said.entry(conversation.to_owned()).or_default();
        *said += 1;
        *said
    }

    /// `None`: the group ended, or nobody is there to hear it.
    fn say_in_group(
        &mut self,
        group: &str,
        sender: String,
        preview: String,
        at: i64,
    ) -> Option<Message> {
        let members = self
            .groups
            .get(group)
            .filter(|all| !all.is_empty())?
            .clone();
        let message = Message {
            seq: self.next_seq(&format!("g:{group}")),
            at,
            sender,
            preview,
        };
        if members.len() > SHARED_ABOVE || self.large.contains_key(group) {
            self.large.insert(group.to_owned(), message.clone());
            return Some(message);
        }
        for user in members {
            self.talk(&user, &format!("g:{group}")).last = Some(message.clone());
        }
        Some(message)
    }

    fn say_between(&mut self, a: &str, b: &str, at: i64) -> Message {
        let message = Message {
            seq: self.next_seq(&format!("u:{a} {b}")),
            at,
            sender: a.to_owned(),
            preview: "now we are friends".to_owned(),
        };
        for (owner, other) in [(a, b), (b, a)] {
            let talk = self.talk(owner, &format!("u:{other}"));
            talk.last = Some(message.clone());
            talk.state = "active";
        }
        message
    }

    /// The friends of a user, with their names and since when (in seconds).
    pub(crate) fn friends_of(&self, user: &str) -> BTreeMap<String, (String, i64)> {
        let named = |friend: &String, since: i64| {
            let name = self.names.get(friend).cloned().unwrap_or_default();
            (friend.clone(), (name, since))
        };
        self.friends
            .iter()
            .filter_map(|((a, b), since)| match (a == user, b == user) {
                (true, _) => Some(named(b, *since)),
                (_, true) => Some(named(a, *since)),
                _ => None,
            })
            .collect()
    }

    /// The conversations of a user.
    pub(crate) fn talks_of(&self, user: &str) -> BTreeMap<String, Talk> {
        self.talks
            .iter()
            .filter(|((owner, _), _)| owner == user)
            .map(|((_, id), talk)| (id.clone(), self.as_shown(id, talk)))
            .collect()
    }

    /// A conversation with what its group has, for as long as its owner is in it.
    fn as_shown(&self, id: &str, talk: &Talk) -> Talk {
        let group = id.strip_prefix("g:").filter(|_| talk.state == "active");
        let shared = group.and_then(|group| self.large.get(group));
        let last = shared.or(talk.last.as_ref());
        Talk {
            last: last.cloned(),
            state: talk.state,
        }
    }

    /// Who is in a group.
    pub(crate) fn members(&self, group: &str) -> impl Iterator<Item = &String> {
        self.groups.get(group).into_iter().flatten()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn transaction(at: i64, changes: &[String]) -> Transaction {
        let changes = changes.join(",");
        serde_json::from_str(&format!(r#"{{"at":{at},"changes":[{changes}]}}"#)).unwrap()
    }

    fn create(group: &str) -> String {
        format!(r#"{{"op":"create","group":"{group}","name":"G"}}"#)
    }

    fn change(op: &str, group: &str, user: &str) -> String {
        let role = match op {
            "join" => r#","role":"member""#,
            _ => "",
        };
        format!(r#"{{"op":"{op}","group":"{group}","user":"{user}"{role}}}"#)
    }

    #[test]
    fn who_shares_four_groups_befriends_and_who_shares_two_parts() {
        let mut social = Social::default();
        for at in 0..4 {
            let group = format!("g{at}");
            let all = [
                create(&group),
                change("join", &group, "a"),
                change("join", &group, "b"),
            ];
            let after = social.follow(&transaction(at, &all));
            assert_eq!(after.befriended.len(), usize::from(at == 3));
            assert_eq!(after.pair_messages.len(), usize::from(at == 3));
            assert_eq!(after.named.len(), if at == 0 { 2 } else { 0 });
        }
        let friends = social.friends_of("b");
        assert_eq!(friends["a"], ("Person a".to_owned(), 3));
        assert_eq!(social.talks_of("a")["u:b"].last.as_ref().unwrap().seq, 1);
        let after = social.follow(&transaction(9, &[change("leave", "g0", "a")]));
        assert_eq!(after.parted, []);
        let after = social.follow(&transaction(9, &[change("leave", "g1", "b")]));
        assert_eq!(after.parted, [("a".to_owned(), "b".to_owned())]);
        assert_eq!(social.friends_of("a"), BTreeMap::new());
    }

    #[test]
    fn what_is_said_in_a_group_reaches_who_is_in_it() {
        let mut social = Social::default();
        social.follow(&transaction(1, &[create("g"), change("join", "g", "a")]));
        social.follow(&transaction(2, &[change("join", "g", "b")]));
        social.follow(&transaction(3, &[change("leave", "g", "a")]));
        social.follow(&transaction(4, &[change("join", "g", "c")]));
        let last = |user: &str| social.talks_of(user)["g:g"].clone();
        assert_eq!((last("a").last.unwrap().seq, last("a").state), (2, "left"));
        assert_eq!(
            (last("b").last.unwrap().seq, last("b").state),
            (3, "active")
        );
        assert_eq!(last("c").last.unwrap().sender, "c");
    }
}
