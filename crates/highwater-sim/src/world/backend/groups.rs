//! What users and services do to groups.

use super::{Backend, USERS, a_group, a_name, a_user, user};
use crate::random::Random;
use futures::executor::block_on;
use highwater_protocol::kinds::{Circle, Extra, JoinPolicy, Role};
use highwater_server::domain::{
    Actor, Announce, Approve, Change, Conditions, Create, Describe, Description, Dismiss, GroupId,
    ImportRequest, Invite, Join, JoinOutcome, Leave, MuteGroup, MuteMember, Reject, Remove, Rules,
    SetMemberExtra, SetNickname, SetRole, SetRules, Transfer, UserId, Withdraw,
};

/// The operation after which a group leaves the lists of its members.
const DISMISS: &str = "dismiss group";

impl Backend {
    /// One operation at random. Returns which.
    pub(super) fn group(&mut self, random: &mut Random) -> &'static str {
        let (own, group) = (a_user(random), a_group(random));
        match random.below(3) {
            0 => self.enter(random, own, group),
            1 => self.answer_or_go(random, own, group),
            _ if random.one_in(10) => self.import(random, &own, &group),
            _ => self.arrange(random, own, group),
        }
    }

    /// A service records what happened elsewhere.
    fn import(&mut self, random: &mut Random, user: &UserId, group: &GroupId) -> &'static str {
        let name = a_name(random);
        let joins = |user: &UserId| Change::Join {
            group: group.clone(),
            user: user.clone(),
            role: Role::Member,
        };
        let (other, group) = (a_user(random), group.clone());
        let changes = match random.below(4) {
            0 => vec![joins(user), joins(&other), Change::Rename { group, name }],
            1 => vec![Change::Dismiss { group }],
            2 => {
                let create = Change::Create {
                    group: group.clone(),
                    name,
                };
                let dismiss = random.one_in(2).then_some(Change::Dismiss { group });
                let begins = [create, joins(user), joins(&other)];
                dismiss.into_iter().chain(begins).collect()
            }
            _ => {
                let (user, role) = (user.clone(), Role::Admin);
                let leave = Change::Leave {
                    group: group.clone(),
                    user: other,
                };
                vec![leave, Change::Role { group, user, role }]
            }
        };
        let at_ms = self.now_ms();
        let import = ImportRequest { at_ms, changes };
        if block_on(self.directory.import(import, &Conditions::default())).is_ok() {
            self.owing.insert("import");
        }
        "import"
    }

    /// A user wants to be in a group.
    fn enter(&self, random: &mut Random, own: UserId, group: GroupId) -> &'static str {
        let actor = Actor::User(own.clone());
        let (name, at_ms) = (a_name(random), self.now_ms());
        match random.below(5) {
            0 => {
                let words = String::new();
                self.write(Create::new(actor, group, Some(own), name, words, at_ms));
                "create group"
            }
            1 => {
                let of_group = match random.one_in(3) {
                    true => Actor::Service,
                    false => actor,
                };
                let users = vec![a_user(random), user(random.below(USERS))];
                self.write(Ok(Invite {
                    actor: of_group,
                    group,
                    users,
                    at_ms,
                }));
                "invite"
            }
            _ => {
                let join = Join::new(actor, group, own, name, String::new(), at_ms);
                match self.write(join) {
                    Some(JoinOutcome::Requested) => "apply",
                    _ => "join",
                }
            }
        }
    }

    /// Applications are answered, and members go.
    fn answer_or_go(&mut self, random: &mut Random, own: UserId, group: GroupId) -> &'static str {
        let actor = match random.one_in(2) {
            true => Actor::Service,
            false => Actor::User(own.clone()),
        };
        let at_ms = self.now_ms();
        match random.below(12) {
            0..3 => {
                let other = self.one_of(random, &group.join_requests());
                self.write(Ok(Approve {
                    actor,
                    group,
                    user: other,
                    at_ms,
                }));
                "approve"
            }
            3..6 => {
                let other = self.one_of(random, &group.join_requests());
                let answer = a_name(random);
                self.write(Reject::new(actor, group, other, answer, at_ms));
                "reject application"
            }
            6 | 7 => {
                let user = self.one_of(random, &group.join_requests());
                let actor = Actor::User(user.clone());
                self.write(Ok(Withdraw { actor, group, user }));
                "withdraw application"
            }
            8 => {
                let (actor, user) = (Actor::User(own.clone()), own);
                self.write(Ok(Leave { actor, group, user }));
                "leave"
            }
            9 if random.one_in(2) => {
                let actor = Actor::Service;
                if self.write(Ok(Dismiss { actor, group })).is_some() {
                    self.owing.insert(DISMISS);
                }
                DISMISS
            }
            _ => {
                let users = vec![self.one_of(random, &group.members())];
                self.write(Ok(Remove {
                    actor,
                    group,
                    users,
                }));
                "remove"
            }
        }
    }

    /// What a group says about itself, and of its members.
    fn arrange(&self, random: &mut Random, own: UserId, group: GroupId) -> &'static str {
        let actor = match random.one_in(2) {
            true => Actor::Service,
            false => Actor::User(own),
        };
        let member = self.one_of(random, &group.members());
        let (name, at_ms, flag) = (a_name(random), self.now_ms(), random.one_in(2));
        match random.below(11) {
            0 => {
                let description = Description {
                    name: Some(name),
                    ..Description::default()
                };
                self.write(Describe::new(actor, group, description));
                "describe group"
            }
            1 => {
                self.write(Announce::new(actor, group, name, at_ms));
                "announce"
            }
            2 => {
                self.write(Ok(MuteGroup {
                    actor,
                    group,
                    muted: flag,
                }));
                "mute group"
            }
            3..6 => {
                let circle = if flag {
                    Circle::Members
                } else {
                    Circle::Admins
                };
                let rules = Rules {
                    join_policy: random.pick(JoinPolicy::ALL).copied(),
                    invited_by: Some(circle),
                    seen_by: random.one_in(2).then_some(circle),
                };
                self.write(SetRules::new(actor, group, rules));
                "set rules"
            }
            6 => {
                let role = random.pick(Role::ALL).copied().unwrap_or_default();
                self.write(Ok(SetRole {
                    actor,
                    group,
                    user: member,
                    role,
                }));
                "set role"
            }
            7 => {
                self.write(Ok(Transfer {
                    actor,
                    group,
                    to: member,
                }));
                "hand over"
            }
            8 => {
                let until_ms = if flag { at_ms + 60_000 } else { 0 };
                self.write(MuteMember::new(actor, group, member, until_ms, at_ms));
                "mute member"
            }
            9 => {
                let extra = Extra::parse(&format!("{{\"name\":\"{name}\"}}")).unwrap_or_default();
                self.write(Ok(SetMemberExtra {
                    actor,
                    group,
                    user: member,
                    extra,
                }));
                "set extra data of a member"
            }
            _ => {
                let actor = Actor::User(member.clone());
                let name = if flag { name } else { String::new() };
                self.write(SetNickname::new(actor, group, member, name));
                "set nickname"
            }
        }
    }
}
