//! What users do to each other, and say about themselves.

use super::{Backend, a_name, a_user};
use crate::random::Random;
use highwater_server::domain::{
    AcceptFriend, Actor, BlockUser, ChangeFriend, DeleteFriend, DeleteUser, DescribeUser,
    FriendChange, ProfileChange, RejectFriend, RequestFriend, Sides, UnblockUser,
    WithdrawFriendRequest,
};

/// The operation after which a user's copies follow.
const DESCRIBE: &str = "describe user";
/// The operation after which a user leaves all lists.
const DELETE: &str = "delete user";

impl Backend {
    /// One operation at random. Returns which.
    pub(super) fn people(&mut self, random: &mut Random) -> &'static str {
        let (own, other) = (a_user(random), a_user(random));
        let actor = Actor::User(own.clone());
        let (name, flag, now_ms) = (a_name(random), random.one_in(2), self.now_ms());
        match random.below(24) {
            0..4 => {
                let change = ProfileChange {
                    name: Some(name.clone()),
                    avatar: flag.then_some(name),
                    ..ProfileChange::default()
                };
                let describe = DescribeUser::patch(&actor, own, change, now_ms);
                if self.write(describe).is_some() {
                    self.owing.insert(DESCRIBE);
                }
                DESCRIBE
            }
            4 if random.one_in(3) => {
                let delete = DeleteUser::new(&Actor::Service, own, now_ms);
                if self.write(delete).is_some() {
                    self.owing.insert(DELETE);
                }
                DELETE
            }
            4..10 => {
                let source = String::new();
                self.write(RequestFriend::new(&actor, own, other, name, source, now_ms));
                "request friend"
            }
            10..13 => {
                self.write(AcceptFriend::new(&actor, own, other, now_ms));
                "accept friend"
            }
            13 | 14 => {
                self.write(RejectFriend::new(&actor, own, other, name, now_ms));
                "reject friend"
            }
            15 => {
                self.write(WithdrawFriendRequest::new(&actor, own, other));
                "withdraw friend request"
            }
            16 => {
                let sides = if flag { Sides::Both } else { Sides::One };
                self.write(DeleteFriend::new(&actor, own, other, sides));
                "delete friend"
            }
            17..20 => {
                let change = FriendChange {
                    remark: Some(name),
                    pinned: Some(flag),
                    extra: None,
                };
                self.write(ChangeFriend::new(&actor, own, other, change));
                "change friend"
            }
            20 | 21 => {
                self.write(BlockUser::new(&actor, own, other, now_ms));
                "block user"
            }
            _ => {
                self.write(UnblockUser::new(&actor, own, other));
                "unblock user"
            }
        }
    }
}
