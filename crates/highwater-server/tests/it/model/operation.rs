//! Operations: chosen at random, asked of the server, and done to the model.

use super::world::{By, GroupEdit, Reasons, Report, To, World};
use highwater_protocol::kinds::{Circle, GroupProfile, JoinPolicy, LastMessage, Role};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Users, groups and names that there are: few, so that they meet.
const USERS: u64 = 12;
const GROUPS: u64 = 6;
const NAMES: u64 = 30;

/// The same numbers for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    fn user(&mut self) -> String {
        format!("u{:02}", self.below(USERS))
    }

    fn group(&mut self) -> String {
        format!("team/{}", self.below(GROUPS))
    }

    fn name(&mut self) -> String {
        format!("name{:02}", self.below(NAMES))
    }

    fn maybe<T>(&mut self, of: impl FnOnce(&mut Self) -> T) -> Option<T> {
        match self.one_in(2) {
            true => Some(of(self)),
            false => None,
        }
    }

    fn users(&mut self) -> Vec<String> {
        let many = 1 + self.below(4);
        let users: BTreeSet<_> = (0..many).map(|_| self.user()).collect();
        users.into_iter().collect()
    }
}

/// A request to the server, and who sends it.
#[derive(Debug)]
pub(crate) struct Asked {
    /// `None`: a service.
    pub(crate) by: Option<String>,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) body: Value,
}

/// What the model says of it.
pub(crate) struct Expected {
    pub(crate) no: Reasons,
    /// What became of each entry.
    pub(crate) results: Option<Vec<&'static str>>,
    /// Work was queued that later operations must find done.
    pub(crate) settles: bool,
}

impl From<Reasons> for Expected {
    fn from(no: Reasons) -> Self {
        Self {
            no,
            results: None,
            settles: false,
        }
    }
}

fn encoded(id: &str) -> String {
    id.replace('/', "%2F").replace(':', "%3A")
}

/// Says what is given, and leaves out what is not.
fn given(fields: &[(&str, Option<Value>)]) -> Value {
    let fields = fields
        .iter()
        .filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?)));
    Value::Object(fields.collect())
}

/// An operation at random, done to the model.
pub(crate) fn random(random: &mut Random, world: &mut World, now: i64) -> (Asked, Expected) {
    let user = random.user();
    // Now and then for somebody else, or as a service.
    let by = match random.below(20) {
        0 => Some(random.user()),
        1 => None,
        _ => Some(user.clone()),
    };
    let own = by.as_ref().is_none_or(|by| *by == user);
    let (mut asked, expected) = match random.below(100) {
        0..50 => of_a_user(random, world, &user, &by, own, now),
        50..85 => of_a_group(random, world, &by, now),
        _ => activity(random, world, now),
    };
    if asked.by.is_none() && asked.path.contains("activity") {
        return (asked, expected);
    }
    asked.by = by;
    (asked, expected)
}

fn of_a_user(
    random: &mut Random,
    world: &mut World,
    user: &str,
    by: &Option<String>,
    own: bool,
    now: i64,
) -> (Asked, Expected) {
    let who: By<'_> = by.as_deref();
    let other = random.user();
    let at = format!("/v1/users/{user}");
    let asked = |method, path: String, body| Asked {
        by: None,
        method,
        path,
        body,
    };
    // The model is only asked where the asker may.
    let with_self = [user.to_owned(), format!("u:{user}")];
    let if_own = |world: &mut World, done: &mut dyn FnMut(&mut World) -> Reasons| match own {
        true => done(world),
        false => vec!["forbidden"],
    };
    let if_with_another = |world: &mut World,
                           id: &str,
                           done: &mut dyn FnMut(&mut World) -> Reasons| {
        match with_self.iter().any(|own| own == id) {
            true => vec!["invalid_field", "forbidden"],
            false => if_own(world, done),
        }
    };
    let conversation = match random.below(3) {
        0 => format!("g:{}", random.group()),
        _ => format!("u:{other}"),
    };
    let in_path = encoded(&conversation);
    match random.below(30) {
        0..3 => {
            let (name, avatar) = (random.maybe(Random::name), random.maybe(Random::name));
            let (name, avatar) = (name.or_else(|| Some("nobody".to_owned())), avatar);
            let body = given(&[
                ("name", name.clone().map(Value::from)),
                ("avatar", avatar.clone().map(Value::from)),
            ]);
            let no = if_own(world, &mut |world| {
                world.describe(user, name.as_deref(), avatar.as_deref(), now)
            });
            (asked("PATCH", format!("{at}/profile"), body), no.into())
        }
        3 if random.one_in(4) => {
            let no = if_own(world, &mut |world| world.delete_user(user));
            let expected = Expected {
                settles: no.is_empty(),
                ..no.into()
            };
            (asked("DELETE", at, Value::Null), expected)
        }
        3..8 => {
            let message = random.name();
            let body = json!({"message": message});
            let no = if_own(world, &mut |world| {
                world.request(who, user, &other, &message, now)
            });
            (
                asked("PUT", format!("{at}/sent_friend_requests/{other}"), body),
                no.into(),
            )
        }
        8..11 => {
            let no = if_own(world, &mut |world| world.accept(user, &other, who, now));
            let path = format!("{at}/friend_requests/{other}/accept");
            (asked("POST", path, Value::Null), no.into())
        }
        11 => {
            let answer = random.name();
            let no = if_own(world, &mut |world| world.reject(user, &other, &answer, now));
            let path = format!("{at}/friend_requests/{other}/reject");
            (asked("POST", path, json!({"answer": answer})), no.into())
        }
        12 => {
            let no = if_own(world, &mut |world| world.withdraw(user, &other));
            let path = format!("{at}/sent_friend_requests/{other}");
            (asked("DELETE", path, Value::Null), no.into())
        }
        13 => {
            let no = if_own(world, &mut |world| world.unfriend(user, &other));
            let path = format!("{at}/friends/{other}");
            (asked("DELETE", path, Value::Null), no.into())
        }
        14..18 => {
            let (remark, pinned) = (random.maybe(Random::name), random.one_in(2));
            let body = given(&[
                ("remark", remark.clone().map(Value::from)),
                ("pinned", Some(pinned.into())),
            ]);
            let no = if_own(world, &mut |world| {
                world.edit_friend(user, &other, remark.as_deref(), Some(pinned))
            });
            (
                asked("PATCH", format!("{at}/friends/{other}"), body),
                no.into(),
            )
        }
        18 => {
            let no = if_own(world, &mut |world| world.block(user, &other, who, now));
            let path = format!("{at}/blocks/{other}");
            (asked("PUT", path, Value::Null), no.into())
        }
        19..21 => {
            let no = if_own(world, &mut |world| world.unblock(user, &other));
            let path = format!("{at}/blocks/{other}");
            (asked("DELETE", path, Value::Null), no.into())
        }
        21 => {
            let group = random.group();
            let no = if_own(world, &mut |world| world.take_back(user, &group));
            let path = format!("{at}/sent_join_requests/{}", encoded(&group));
            (asked("DELETE", path, Value::Null), no.into())
        }
        22..25 => {
            let pinned = random.maybe(|random| random.one_in(2));
            let draft = random
                .maybe(Random::name)
                .or_else(|| pinned.is_none().then(String::new));
            let body = given(&[
                ("pinned", pinned.map(Value::from)),
                ("draft", draft.clone().map(Value::from)),
            ]);
            let no = if_with_another(world, &conversation, &mut |world| {
                world.set_conversation(user, &conversation, pinned, draft.as_deref(), now)
            });
            let path = format!("{at}/conversations/{in_path}");
            (asked("PATCH", path, body), no.into())
        }
        25..27 => {
            let seq = random.below(newest_seq(now) + 3);
            let no = if_with_another(world, &conversation, &mut |world| {
                world.read(user, &conversation, seq)
            });
            let path = format!("{at}/conversations/{in_path}/read");
            (asked("POST", path, json!({"seq": seq})), no.into())
        }
        27 => {
            let no = if_with_another(world, &conversation, &mut |world| {
                world.clear(user, &conversation)
            });
            let path = format!("{at}/conversations/{in_path}/clear");
            (asked("POST", path, Value::Null), no.into())
        }
        _ => {
            let no = if_with_another(world, &conversation, &mut |world| {
                world.delete_conversation(user, &conversation)
            });
            let path = format!("{at}/conversations/{in_path}");
            (asked("DELETE", path, Value::Null), no.into())
        }
    }
}

/// Somebody who applies to a group, if anybody does.
fn an_applicant(random: &mut Random, world: &World, group: &str) -> Option<String> {
    let applicants: Vec<_> = world.groups.get(group)?.applicants.keys().collect();
    let at = random.below(applicants.len().max(1) as u64);
    let applicant = applicants.get(usize::try_from(at).unwrap())?;
    Some((*applicant).clone())
}

fn of_a_group(
    random: &mut Random,
    world: &mut World,
    by: &Option<String>,
    now: i64,
) -> (Asked, Expected) {
    let who: By<'_> = by.as_deref();
    let group = random.group();
    let user = random.user();
    let at = format!("/v1/groups/{}", encoded(&group));
    let asked = |method, path: String, body| Asked {
        by: None,
        method,
        path,
        body,
    };
    let batch = |outcome: Result<Vec<&'static str>, Reasons>| match outcome {
        Ok(results) => Expected {
            results: Some(results),
            ..vec![].into()
        },
        Err(no) => no.into(),
    };
    match random.below(30) {
        0..3 => {
            let (name, policy) = (random.name(), random.pick(JoinPolicy::ALL));
            let owner = by.clone();
            let body = given(&[
                ("group", Some(group.clone().into())),
                ("name", Some(name.clone().into())),
                ("join_policy", Some(policy.as_str().into())),
            ]);
            let profile = GroupProfile {
                name,
                created_at_ms: now,
                join_policy: policy,
                invited_by: Some(Circle::Admins),
                seen_by: Some(Circle::Members),
                ..GroupProfile::default()
            };
            let no = world.create(&group, owner.as_deref(), profile);
            (asked("POST", "/v1/groups".to_owned(), body), no.into())
        }
        3..6 => {
            let mut edit = GroupEdit {
                now,
                ..GroupEdit::default()
            };
            let (method, path, body) = match random.below(4) {
                0 => {
                    let name = random.name();
                    edit.name = Some(name.clone());
                    ("PATCH", at, json!({"name": name}))
                }
                1 => {
                    edit.join_policy = Some(random.pick(JoinPolicy::ALL));
                    edit.invited_by = random.maybe(|random| random.pick(Circle::ALL));
                    edit.seen_by = random.maybe(|random| random.pick(Circle::ALL));
                    let body = given(&[
                        ("join_policy", edit.join_policy.map(|it| it.as_str().into())),
                        ("invited_by", edit.invited_by.map(|it| it.as_str().into())),
                        ("seen_by", edit.seen_by.map(|it| it.as_str().into())),
                    ]);
                    ("PATCH", format!("{at}/rules"), body)
                }
                2 => {
                    let muted = random.one_in(2);
                    edit.muted = Some(muted);
                    ("PUT", format!("{at}/mute"), json!({"muted": muted}))
                }
                _ => {
                    let text = random.name();
                    edit.announcement = Some(text.clone());
                    ("PUT", format!("{at}/announcement"), json!({"text": text}))
                }
            };
            let no = world.edit_group(who, &group, &edit);
            (asked(method, path, body), no.into())
        }
        6 => {
            let no = match random.one_in(3) {
                true => world.dismiss(who, &group),
                false => return of_a_group(random, world, by, now),
            };
            let expected = Expected {
                settles: no.is_empty(),
                ..no.into()
            };
            (asked("DELETE", at, Value::Null), expected)
        }
        7..13 => {
            let message = random.name();
            let joins = by.clone().unwrap_or(user);
            let no = world.join(who, &group, &joins, &message, now);
            let body = given(&[
                ("message", Some(message.into())),
                ("user", by.is_none().then(|| joins.into())),
            ]);
            (asked("POST", format!("{at}/members:join"), body), no.into())
        }
        13..15 => {
            let leaves = by.clone().unwrap_or(user);
            let no = world.leave(&group, &leaves);
            let body = given(&[("user", by.is_none().then(|| leaves.into()))]);
            let expected = Expected {
                settles: no.is_empty(),
                ..no.into()
            };
            (asked("POST", format!("{at}/members:leave"), body), expected)
        }
        15..19 => {
            let users = random.users();
            let expected = batch(world.invite(who, &group, &users, now));
            let path = format!("{at}/members:invite");
            (asked("POST", path, json!({"users": users})), expected)
        }
        19 => {
            let users = random.users();
            let expected = batch(world.remove(who, &group, &users));
            let path = format!("{at}/members:remove");
            (asked("POST", path, json!({"users": users})), expected)
        }
        20..22 => {
            let role = random.pick(Role::ALL);
            let no = world.set_role(who, &group, &user, role);
            let path = format!("{at}/members/{user}/role");
            (
                asked("PUT", path, json!({"role": role.as_str()})),
                no.into(),
            )
        }
        22..25 => {
            let user = by.clone().filter(|_| random.one_in(2)).unwrap_or(user);
            let nickname = random.maybe(|random| match random.one_in(3) {
                true => String::new(),
                false => random.name(),
            });
            let until = match nickname {
                Some(_) => None,
                None => Some(match random.one_in(3) {
                    true => 0,
                    false => now + 3_600_000,
                }),
            };
            let member = format!("{at}/members/{user}");
            let (path, body) = match (&nickname, until) {
                (Some(nickname), _) => {
                    (format!("{member}/nickname"), json!({"nickname": nickname}))
                }
                (None, until) => (format!("{member}/mute"), json!({"until_ms": until})),
            };
            let no = world.edit_member(who, &group, &user, nickname.as_deref(), until);
            (asked("PUT", path, body), no.into())
        }
        25..28 => {
            let user = an_applicant(random, world, &group).unwrap_or(user);
            let no = world.approve(who, &group, &user, now);
            let path = format!("{at}/join_requests/{user}/approve");
            (asked("POST", path, Value::Null), no.into())
        }
        _ => {
            let user = an_applicant(random, world, &group).unwrap_or(user);
            let answer = random.name();
            let no = world.turn_down(who, &group, &user, &answer, now);
            let path = format!("{at}/join_requests/{user}/reject");
            (asked("POST", path, json!({"answer": answer})), no.into())
        }
    }
}

/// About where conversations stand at a time: some messages come too late.
fn newest_seq(now: i64) -> u64 {
    1 + u64::try_from(now - crate::kit::NOW_MS).unwrap() / 200
}

fn activity(random: &mut Random, world: &mut World, now: i64) -> (Asked, Expected) {
    let mut entries = Vec::new();
    let mut results = Vec::new();
    for _ in 0..=random.below(4) {
        let (a, b) = (random.user(), random.user());
        let (to, json_to) = match random.below(2) {
            0 if a != b => {
                let json = json!({"user": [a, b]});
                (To::Pair(a.clone(), b), json)
            }
            _ => {
                let group = random.group();
                let json = json!({"group": group});
                (To::Group(group), json)
            }
        };
        let mentions: BTreeSet<_> = match random.one_in(3) {
            true => random.users().into_iter().collect(),
            false => BTreeSet::new(),
        };
        let report = Report {
            to,
            last: LastMessage {
                seq: newest_seq(now) + random.below(3),
                at_ms: now,
                sender: a,
                preview: random.name(),
            },
            mentions,
            mention_all: random.one_in(8),
        };
        results.push(world.message(&report));
        entries.push(json!({
            "conversation": json_to,
            "seq": report.last.seq,
            "at_ms": report.last.at_ms,
            "sender": report.last.sender,
            "preview": report.last.preview,
            "mentions": report.mentions,
            "mention_all": report.mention_all,
        }));
    }
    let asked = Asked {
        by: None,
        method: "POST",
        path: "/v1/activity".to_owned(),
        body: json!({"activities": entries, "partial": true}),
    };
    let expected = Expected {
        no: vec![],
        results: Some(results),
        settles: true,
    };
    (asked, expected)
}
