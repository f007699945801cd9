//! The built-in kinds of list: their names and their payloads.
//!
//! The sync path never looks in here. A new kind is a name, a payload and a
//! rule for its rank.
//!
//! Times are milliseconds since 1970. How long a text may be is said in
//! `proto/highwater/v1/kinds.proto`, and checked by whoever accepts it from a
//! user.

mod conversations;
mod extra;
mod groups;
mod payload;
mod people;

pub use conversations::{
    Conversation, ConversationId, ConversationState, ConversationType, Draft, GroupActivity,
    LastMessage, Mention, Receive,
};
pub use extra::{Extra, given};
pub use groups::{
    Announcement, Circle, GroupProfile, JoinPolicy, JoinRequest, JoinedGroup, Member, Role,
};
pub use payload::Payload;
pub use people::{Block, Friend, FriendRequest, RequestState, UserProfile};

/// What a user says about themselves, as the header; the owner is the user.
pub const PROFILE: &str = "profile";
/// The friends of a user; the owner is the user.
pub const FRIENDS: &str = "friends";
/// Who asks to be a user's friend; the owner is the user who is asked.
pub const FRIEND_REQUESTS: &str = "friend_requests";
/// Whom a user asks to be their friend; the owner is the user who asks.
pub const SENT_FRIEND_REQUESTS: &str = "sent_friend_requests";
/// Whom a user blocks; the owner is the user.
pub const BLOCKS: &str = "blocks";
/// The groups that a user has joined; the owner is the user.
pub const GROUPS: &str = "groups";
/// The members of a group; the owner is the group.
pub const MEMBERS: &str = "members";
/// Who applies to a group; the owner is the group.
pub const JOIN_REQUESTS: &str = "join_requests";
/// The groups that a user applies to; the owner is the user.
pub const SENT_JOIN_REQUESTS: &str = "sent_join_requests";
/// A user's conversations; the owner is the user.
pub const CONVERSATIONS: &str = "conversations";
/// What goes on in a large group, as the header; the owner is the group.
pub const ACTIVITY: &str = "activity";

/// Every built-in kind that a device can hold.
pub const ALL: [&str; 11] = [
    PROFILE,
    FRIENDS,
    FRIEND_REQUESTS,
    SENT_FRIEND_REQUESTS,
    BLOCKS,
    GROUPS,
    MEMBERS,
    JOIN_REQUESTS,
    SENT_JOIN_REQUESTS,
    CONVERSATIONS,
    ACTIVITY,
];

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn every_kind_has_a_well_formed_name_of_its_own() {
        let mut names = ALL.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for name in ALL {
            assert_eq!(Kind::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn payloads_read_back_as_they_were_written() {
        let member = Member {
            role: Role::Admin,
            joined_at_ms: 1_534_997_499_000,
            nickname: "Al".to_owned(),
            extra: Extra::parse("{}").unwrap(),
            ..Member::default()
        };
        assert_eq!(Member::decode(&member.encode()).unwrap(), member);
        let group = JoinedGroup { joined_at_ms: 7 };
        assert_eq!(JoinedGroup::decode(&group.encode()).unwrap(), group);
        let profile = GroupProfile {
            name: "Kubernetes".to_owned(),
            created_at_ms: 1,
            join_policy: JoinPolicy::Approval,
            invited_by: Some(Circle::Members),
            announcement: Some(Announcement::default()),
            ..GroupProfile::default()
        };
        assert_eq!(GroupProfile::decode(&profile.encode()).unwrap(), profile);
        let conversation = Conversation {
            r#type: ConversationType::User,
            last: Some(LastMessage {
                seq: 9,
                ..LastMessage::default()
            }),
            mention: Some(Mention::All),
            ..Conversation::default()
        };
        let read = Conversation::decode(&conversation.encode()).unwrap();
        assert_eq!(read, conversation);
        assert_eq!(read.draft, None);
    }

    #[test]
    fn a_newer_peers_role_and_fields_do_not_break_an_older_reader() {
        // Role 9, joined_at_ms 5, and a field 15 that this version lacks.
        let newer = [0x08, 9, 0x10, 5, 0x7a, 1, b'x'];
        let read = Member::decode(&newer).unwrap();
        assert_eq!((read.role, read.joined_at_ms), (Role::Member, 5));
        assert!(Member::decode(&[0xff]).is_err());
    }

    #[test]
    fn unread_is_what_came_after_the_owner_read_or_cleared() {
        let last = |seq, sender: &str| LastMessage {
            seq,
            sender: sender.to_owned(),
            ..LastMessage::default()
        };
        let read = Conversation {
            read_seq: 4,
            ..Conversation::default()
        };
        assert_eq!(read.unread("a", None), 0);
        assert_eq!(read.unread("a", Some(&last(9, "b"))), 5);
        assert_eq!(read.unread("a", Some(&last(9, "a"))), 0);
        assert_eq!(read.unread("a", Some(&last(3, "b"))), 0);
        let cleared = Conversation {
            cleared_seq: 8,
            ..read
        };
        assert_eq!(cleared.unread("a", Some(&last(9, "b"))), 1);
    }

    #[test]
    fn a_conversation_is_named_by_whom_it_is_with() {
        for id in ["u:a", "g:team:x", "s:news"] {
            let read = ConversationId::parse(id).unwrap();
            assert_eq!(read.as_text(), id);
            assert_eq!(read.to_item().unwrap().as_str(), id);
        }
        for id in ["", "u:", "x:a", "u", "\u{e9}a"] {
            assert_eq!(ConversationId::parse(id).unwrap_err().field, "conversation");
        }
    }
}
