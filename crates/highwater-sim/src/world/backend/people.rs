//! What users do to each other, and say about themselves.

use super::{Backend, a_name, a_user};
use crate::random::Random;
use highwater_server::domain::{
    AcceptFriend, Actor, BlockUser, ChangeFriend, CheckedPair, DeleteFriend, DeleteUser,
    DescribeUser, FriendChange, FriendPair, ImportFriends, ProfileChange, RejectFriend,
    RequestFriend, RequestFriendOutcome, Sides, UnblockUser, UserId, WithdrawFriendRequest,
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
        match random.below(25) {
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
                let request = RequestFriend::new(&actor, own, other, name, source, now_ms);
                match self.write(request) {
                    Some(RequestFriendOutcome::Accepted) => "request friend who asks already",
                    _ => "request friend",
                }
            }
            10..13 => {
                let other = self.one_of(random, &own.friend_requests());
                self.write(AcceptFriend::new(&actor, own, other, now_ms));
                "accept friend"
            }
            13 | 14 => {
                let other = self.one_of(random, &own.friend_requests());
                self.write(RejectFriend::new(&actor, own, other, name, now_ms));
                "reject friend"
            }
            15 => {
                let other = self.one_of(random, &own.sent_friend_requests());
                self.write(WithdrawFriendRequest::new(&actor, own, other));
                "withdraw friend request"
            }
            16 => {
                let other = self.one_of(random, &own.friends());
                let sides = if flag { Sides::Both } else { Sides::One };
                self.write(DeleteFriend::new(&actor, own, other, sides));
                "delete friend"
            }
            17..20 => {
                let other = self.one_of(random, &own.friends());
                let change = FriendChange {
                    remark: Some(name),
                    pinned: Some(flag),
                    extra: None,
                };
                self.write(ChangeFriend::new(&actor, own, other, change));
                "change friend"
            }
            20 => {
                let with = [other, a_user(random)];
                self.import_friends(&own, with)
            }
            21 | 22 => {
                self.write(BlockUser::new(&actor, own, other, now_ms));
                "block user"
            }
            _ => {
                let other = self.one_of(random, &own.blocks());
                self.write(UnblockUser::new(&actor, own, other));
                "unblock user"
            }
        }
    }

    /// A service records friendships that were made elsewhere.
    fn import_friends(&self, user: &UserId, with: [UserId; 2]) -> &'static str {
        let pair = |friend: UserId| FriendPair {
            user: user.as_str().to_owned(),
            friend: friend.as_str().to_owned(),
            ..FriendPair::default()
        };
        let pairs = with.map(pair).to_vec();
        if let Ok(pairs) = CheckedPair::all(&Actor::Service, pairs, true, self.now_ms()) {
            self.write(Ok(ImportFriends::new(pairs, true)));
        }
        "import friends"
    }
}
