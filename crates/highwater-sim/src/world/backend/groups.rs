//! What users and services do to groups.

use super::{Backend, USERS, a_group, a_name, a_user, user};
use crate::random::Random;
use highwater_protocol::kinds::{Circle, JoinPolicy, Role};
use highwater_server::domain::{
    Actor, Announce, Approve, Create, Describe, Description, Dismiss, GroupId, Invite, Join,
    JoinOutcome, Leave, MuteGroup, MuteMember, Reject, Remove, Rules, SetNickname, SetRole,
    SetRules, Transfer, UserId, Withdraw,
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
            _ => self.arrange(random, own, group),
        }
    }

    /// A user wants to be in a group.
    fn enter(&self, random: &mut Random, user: UserId, group: GroupId) -> &'static str {
        let actor = Actor::User(user.clone());
        let (name, at_ms) = (a_name(random), self.now_ms());
        match random.below(5) {
            0 => {
                let words = String::new();
                self.write(Create::new(actor, group, Some(user), name, words, at_ms));
                "create group"
            }
            1 => {
                let of_group = match random.one_in(3) {
                    true => Actor::Service,
                    false => Actor::User(user.clone()),
                };
                let users = vec![a_user(random), super::user(random.below(USERS))];
                self.write(Ok(Invite {
                    actor: of_group,
                    group,
                    users,
                    at_ms,
                }));
                "invite"
            }
            _ => {
                let join = Join::new(actor, group, user, name, String::new(), at_ms);
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
        let (other, at_ms) = (a_user(random), self.now_ms());
        match random.below(9) {
            0..3 => {
                self.write(Ok(Approve {
                    actor,
                    group,
                    user: other,
                    at_ms,
                }));
                "approve"
            }
            3 | 4 => {
                let answer = a_name(random);
                self.write(Reject::new(actor, group, other, answer, at_ms));
                "reject application"
            }
            5 => {
                let (actor, user) = (Actor::User(own.clone()), own);
                self.write(Ok(Withdraw { actor, group, user }));
                "withdraw application"
            }
            6 => {
                let (actor, user) = (Actor::User(own.clone()), own);
                self.write(Ok(Leave { actor, group, user }));
                "leave"
            }
            7 if random.one_in(3) => {
                let actor = Actor::Service;
                if self.write(Ok(Dismiss { actor, group })).is_some() {
                    self.owing.insert(DISMISS);
                }
                DISMISS
            }
            _ => {
                let users = vec![other];
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
        let actor = match random.one_in(3) {
            true => Actor::Service,
            false => Actor::User(own.clone()),
        };
        let (name, at_ms, flag) = (a_name(random), self.now_ms(), random.one_in(2));
        match random.below(10) {
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
                let user = a_user(random);
                self.write(Ok(SetRole {
                    actor,
                    group,
                    user,
                    role,
                }));
                "set role"
            }
            7 => {
                let to = a_user(random);
                self.write(Ok(Transfer { actor, group, to }));
                "hand over"
            }
            8 => {
                let until_ms = if flag { at_ms + 60_000 } else { 0 };
                let user = user(random.below(USERS));
                self.write(MuteMember::new(actor, group, user, until_ms, at_ms));
                "mute member"
            }
            _ => {
                let actor = Actor::User(own.clone());
                let name = if flag { name } else { String::new() };
                self.write(SetNickname::new(actor, group, own, name));
                "set nickname"
            }
        }
    }
}
