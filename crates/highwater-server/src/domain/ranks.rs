//! Ranks: where an item of a built-in kind stands, computed from its content.
//!
//! Ranks compare bytewise, so numbers are written big-endian. What a rank is
//! made by is part of the kind: changing it moves every item of every list.

use super::UserId;
use super::collation::Collation;
use highwater_protocol::Rank;
use highwater_protocol::kinds::{
    Block, Conversation, Friend, FriendRequest, JoinRequest, JoinedGroup, Member, Role,
};

/// Owners first, then admins, then members; within a role by time of joining.
#[must_use]
pub(super) fn of_member(member: &Member) -> Rank {
    let role = match member.role {
        Role::Owner => 0,
        Role::Admin => 1,
        Role::Member => 2,
    };
    let mut bytes = Vec::with_capacity(9);
    bytes.push(role);
    bytes.extend_from_slice(&since_1970(member.joined_at_ms).to_be_bytes());
    rank(bytes)
}

/// The group that was joined last comes first.
#[must_use]
pub(super) fn of_group(group: &JoinedGroup) -> Rank {
    newest_first(group.joined_at_ms)
}

/// Those that are pinned first; then by remark, else by name, else by id, in the
/// order that the owner of the list is used to.
#[must_use]
pub(super) fn of_friend(friend: &Friend, id: &UserId, collation: &Collation) -> Rank {
    let called = [&friend.remark, &friend.name].into_iter();
    let called = called.map(String::as_str).find(|name| !name.is_empty());
    let mut bytes = vec![u8::from(!friend.pinned)];
    bytes.extend(collation.key(called.unwrap_or_else(|| id.as_str())));
    rank(bytes)
}

/// The newest request first.
#[must_use]
pub(super) fn of_request(request: &FriendRequest) -> Rank {
    newest_first(request.at_ms)
}

/// Who was blocked last comes first.
#[must_use]
pub(super) fn of_block(block: &Block) -> Rank {
    newest_first(block.at_ms)
}

/// The application that was made last comes first.
#[must_use]
pub(super) fn of_join_request(request: &JoinRequest) -> Rank {
    newest_first(request.at_ms)
}

/// Pinned ones first; then the one in which something happened last.
#[must_use]
pub(super) fn of_conversation(conversation: &Conversation) -> Rank {
    let last = conversation.last.as_ref();
    let at_ms = last.map_or(conversation.created_at_ms, |last| last.at_ms);
    let mut bytes = vec![u8::from(!conversation.pinned)];
    bytes.extend_from_slice(newest_first(at_ms).as_bytes());
    rank(bytes)
}

fn newest_first(time_ms: i64) -> Rank {
    rank((u64::MAX - since_1970(time_ms)).to_be_bytes().to_vec())
}

/// Times before 1970 count as 1970.
fn since_1970(time_ms: i64) -> u64 {
    u64::try_from(time_ms).unwrap_or(0)
}

fn rank(bytes: Vec<u8>) -> Rank {
    Rank::new(bytes).unwrap_or_else(|no| unreachable!("a rank of a built-in kind is short: {no}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_protocol::kinds::LastMessage;

    #[test]
    fn members_stand_by_role_then_by_time() {
        let place = |role, joined_at_ms| {
            of_member(&Member {
                role,
                joined_at_ms,
                ..Member::default()
            })
        };
        let order = [
            place(Role::Owner, 9),
            place(Role::Admin, -5),
            place(Role::Admin, 1),
            place(Role::Admin, 256),
            place(Role::Member, 0),
            place(Role::Member, i64::MAX),
        ];
        assert!(order.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn pinned_conversations_stand_first_and_then_the_last_that_was_active() {
        let place = |pinned, created_at_ms, last: Option<i64>| {
            of_conversation(&Conversation {
                pinned,
                created_at_ms,
                last: last.map(|at_ms| LastMessage {
                    at_ms,
                    ..LastMessage::default()
                }),
                ..Conversation::default()
            })
        };
        let order = [
            place(true, 1, None),
            place(false, 300, None),
            place(false, 0, Some(256)),
            place(false, 255, None),
            place(false, 900, Some(7)),
        ];
        assert!(order.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn friends_stand_by_what_they_are_called_and_pinned_ones_before() {
        let place = |pinned, remark: &str, name: &str, id: &str| {
            let friend = Friend {
                pinned,
                remark: remark.to_owned(),
                name: name.to_owned(),
                ..Friend::default()
            };
            let id = UserId::new(id).unwrap_or_else(|no| panic!("{no}"));
            of_friend(&friend, &id, &Collation::of(""))
        };
        let order = [
            place(true, "", "Zoe", "1"),
            place(false, "", "Anna", "2"),
            place(false, "", "", "anton"),
            place(false, "Berta", "Zacharias", "3"),
            place(false, "", "Carl", "4"),
        ];
        assert!(order.is_sorted_by(|a, b| a < b));
        let long = place(false, &"漢".repeat(85), "", "5");
        assert_eq!(long.as_bytes().len(), 241);
    }

    #[test]
    fn the_newest_group_stands_first() {
        let place = |joined_at_ms| of_group(&JoinedGroup { joined_at_ms });
        let order = [place(i64::MAX), place(256), place(255), place(0)];
        assert!(order.is_sorted_by(|a, b| a < b));
        assert_eq!(place(-1), place(0));
    }
}
