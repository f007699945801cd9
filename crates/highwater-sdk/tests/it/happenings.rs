//! What an app is told has happened.

use crate::server::{Op, TestServer, list};
use futures::executor::block_on;
use futures::{FutureExt as _, StreamExt as _};
use highwater_protocol::kinds::Payload as _;
use highwater_sdk::lists::{
    Block, Conversation, Friend, FriendRequest, JoinRequest, JoinedGroup, LastMessage, Member,
    RequestState, Role,
};
use highwater_sdk::{Client, Happening, Happenings};
use std::sync::Arc;
use tempfile::{TempDir, tempdir};

struct Device {
    _folder: TempDir,
    server: Arc<TestServer>,
    client: Client,
}

fn put(id: &str, rank: &[u8], payload: Vec<u8>) -> Op {
    Op::Put {
        id: id.to_owned(),
        rank: rank.to_vec(),
        payload,
    }
}

fn friend(name: &str) -> Vec<u8> {
    let name = name.to_owned();
    Friend {
        name,
        ..Friend::default()
    }
    .encode()
}

fn device() -> Device {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    let bob = put("u2", b"Bob", friend("Bob"));
    server.write(&list("friends/u1"), vec![bob]);
    let client = server.client(&folder.path().join("db"));
    client.friends().unwrap();
    Device {
        _folder: folder,
        server,
        client,
    }
}

impl Device {
    fn write(&self, of: &str, ops: Vec<Op>) {
        self.server.write(&list(of), ops);
        self.sync();
    }

    fn sync(&self) {
        block_on(self.client.sync()).unwrap();
    }
}

/// All that is told so far, without what the fields hold beside ids.
fn told(happenings: &mut Happenings) -> Vec<Happening> {
    let mut all = Vec::new();
    while let Some(Some(happening)) = happenings.next().now_or_never() {
        all.push(happening.unwrap());
    }
    all
}

#[test]
fn a_first_sync_is_no_news_and_what_follows_is() {
    let device = device();
    let mut happenings = device.client.happenings();
    device.sync();
    assert_eq!(told(&mut happenings), []);
    device.write("friends/u1", vec![put("u3", b"Eve", friend("Eve"))]);
    let user = || "u3".to_owned();
    let eve = |name: &str| Some(Friend::decode(&friend(name)).unwrap());
    let added = Happening::FriendAdded {
        user: user(),
        friend: eve("Eve"),
    };
    assert_eq!(told(&mut happenings), [added]);
    device.write("friends/u1", vec![put("u3", b"Eva", friend("Eva"))]);
    let changed = Happening::FriendChanged {
        user: user(),
        friend: eve("Eva"),
    };
    assert_eq!(told(&mut happenings), [changed]);
    device.write("friends/u1", vec![Op::Delete("u3".to_owned())]);
    let removed = Happening::FriendRemoved { user: user() };
    assert_eq!(told(&mut happenings), [removed]);
    device.client.close();
    assert!(block_on(happenings.next()).is_none());
}

#[test]
fn what_came_and_went_unseen_did_not_happen() {
    let device = device();
    device.sync();
    let mut happenings = device.client.happenings();
    device.write("friends/u1", vec![put("u3", b"a", friend("Eve"))]);
    device.write("friends/u1", vec![Op::Delete("u3".to_owned())]);
    device.write("friends/u1", vec![put("u4", b"a", friend("Di"))]);
    device.write("friends/u1", vec![put("u4", b"b", friend("Dee"))]);
    let told = told(&mut happenings);
    assert!(
        matches!(&told[..], [Happening::FriendAdded { user, friend: Some(friend) }]
            if user == "u4" && friend.name == "Dee"),
        "{told:?}"
    );
}

#[test]
fn a_write_of_the_devices_own_is_told_like_any_other() {
    let device = device();
    device.sync();
    let mut happenings = device.client.happenings();
    let friends = device.client.friends().unwrap();
    device
        .server
        .writes
        .do_this(|_| vec![(list("friends/u1"), vec![Op::Delete("u2".to_owned())])]);
    block_on(friends.remove("u2")).unwrap();
    let removed = Happening::FriendRemoved {
        user: "u2".to_owned(),
    };
    assert_eq!(told(&mut happenings), [removed]);
}

#[test]
fn members_come_go_and_have_other_roles() {
    let device = device();
    let member = |role| {
        Member {
            role,
            ..Member::default()
        }
        .encode()
    };
    device.server.write(
        &list("members/g1"),
        vec![put("u1", &[0, 1], member(Role::Owner))],
    );
    device.client.members("g1").unwrap();
    device.sync();
    let mut happenings = device.client.happenings();
    let mut then = |ops: Vec<Op>| {
        device.write("members/g1", ops);
        told(&mut happenings)
    };
    let joined = then(vec![put("u2", &[2, 5], member(Role::Member))]);
    assert!(
        matches!(&joined[..], [Happening::MemberJoined { group, user, .. }]
        if (group.as_str(), user.as_str()) == ("g1", "u2"))
    );
    let risen = then(vec![put("u2", &[1, 5], member(Role::Admin))]);
    assert!(
        matches!(&risen[..], [Happening::RoleChanged { member: Some(member), .. }]
        if member.role == Role::Admin)
    );
    let renamed = then(vec![put("u2", &[1, 5], {
        let nickname = "Al".to_owned();
        Member {
            role: Role::Admin,
            nickname,
            ..Member::default()
        }
        .encode()
    })]);
    assert!(matches!(&renamed[..], [Happening::MemberChanged { .. }]));
    let again = then(vec![put("u2", &[1, 9], member(Role::Admin))]);
    assert!(matches!(
        &again[..],
        [Happening::MemberLeft { .. }, Happening::MemberJoined { .. }]
    ));
    let left = then(vec![Op::Delete("u2".to_owned())]);
    assert!(matches!(&left[..], [Happening::MemberLeft { user, .. }] if user == "u2"));
    let named = then(vec![put("", b"", b"\x0a\x04Rust".to_vec())]);
    assert!(
        matches!(&named[..], [Happening::GroupChanged { profile: Some(profile), .. }]
        if profile.name == "Rust")
    );
}

#[test]
fn requests_are_received_again_when_they_are_made_again_and_not_when_a_name_changes() {
    let device = device();
    device.client.friend_requests().unwrap();
    device.client.sent_friend_requests().unwrap();
    device.sync();
    let mut happenings = device.client.happenings();
    let request = |name: &str, state| {
        let name = name.to_owned();
        FriendRequest {
            name,
            state,
            ..FriendRequest::default()
        }
        .encode()
    };
    let pending = RequestState::Pending;
    let ask = |rank: &[u8], name| vec![put("u9", rank, request(name, pending))];
    device.write("friend_requests/u1", ask(b"9", "Al"));
    let received = told(&mut happenings);
    assert!(
        matches!(&received[..], [Happening::FriendRequestReceived { user, .. }] if user == "u9")
    );
    device.write("friend_requests/u1", ask(b"9", "Bert"));
    assert_eq!(told(&mut happenings), []);
    device.write("friend_requests/u1", ask(b"8", "Bert"));
    assert_eq!(told(&mut happenings).len(), 1);
    device.write("friend_requests/u1", vec![Op::Delete("u9".to_owned())]);
    let closed = Happening::FriendRequestClosed {
        user: "u9".to_owned(),
    };
    assert_eq!(told(&mut happenings), [closed]);
    device.write("sent_friend_requests/u1", ask(b"9", "Al"));
    let sent = told(&mut happenings);
    assert!(matches!(&sent[..], [Happening::FriendRequestSent { .. }]));
    let no = vec![put("u9", b"9", request("Al", RequestState::Rejected))];
    device.write("sent_friend_requests/u1", no);
    let rejected = told(&mut happenings);
    assert!(matches!(
        &rejected[..],
        [Happening::FriendRequestRejected { .. }]
    ));
}

#[test]
fn conversations_and_how_many_messages_are_unread_in_all() {
    let device = device();
    let talk = |seq| {
        let last = Some(LastMessage {
            seq,
            sender: "u9".to_owned(),
            ..LastMessage::default()
        });
        Conversation {
            last,
            ..Conversation::default()
        }
        .encode()
    };
    device.server.write(
        &list("conversations/u1"),
        vec![put("u:u9", &[1; 9], talk(4))],
    );
    device.client.conversations().unwrap();
    let mut happenings = device.client.happenings();
    device.sync();
    let unread = |messages| Happening::TotalUnread { messages };
    let first = told(&mut happenings);
    assert_eq!(first.last(), Some(&unread(4)), "{first:?}");
    device.write("conversations/u1", vec![put("u:u9", &[1; 9], talk(6))]);
    let more = told(&mut happenings);
    assert!(
        matches!(&more[..], [Happening::ConversationChanged { conversation, view: Some(view) }, total]
            if conversation == "u:u9" && view.unread == 6 && *total == unread(6)),
        "{more:?}"
    );
    device.write("conversations/u1", vec![Op::Delete("u:u9".to_owned())]);
    let conversation = "u:u9".to_owned();
    let removed = Happening::ConversationRemoved { conversation };
    assert_eq!(told(&mut happenings), [removed, unread(0)]);
}

#[test]
fn a_new_conversation_comes_with_what_is_in_it() {
    let device = device();
    device.client.conversations().unwrap();
    device.sync();
    let mut happenings = device.client.happenings();
    told(&mut happenings);
    let last = Some(LastMessage {
        seq: 3,
        sender: "u9".to_owned(),
        ..LastMessage::default()
    });
    let new = Conversation {
        last,
        ..Conversation::default()
    };
    device.write("conversations/u1", vec![put("u:u9", &[1; 9], new.encode())]);
    let added = told(&mut happenings);
    assert!(
        matches!(&added[..], [Happening::ConversationAdded { conversation, view: Some(view) }, Happening::TotalUnread { messages: 3 }]
            if conversation == "u:u9" && view.conversation == new),
        "{added:?}"
    );
}

#[test]
fn groups_blocks_and_applications_say_what_became_of_them() {
    let device = device();
    let client = &device.client;
    client.groups().unwrap();
    client.blocks().unwrap();
    client.group("g1").join_requests().unwrap();
    client.sent_join_requests().unwrap();
    device.sync();
    let mut happenings = client.happenings();
    let (group, user) = ("g1".to_owned(), "u9".to_owned());
    let gone = |id: &str| vec![Op::Delete(id.to_owned())];

    let block = Block::default();
    device.write("blocks/u1", vec![put("u9", b"9", block.encode())]);
    let blocked = Happening::Blocked {
        user: user.clone(),
        block: Some(block),
    };
    assert_eq!(told(&mut happenings), [blocked]);
    device.write("blocks/u1", gone("u9"));
    assert_eq!(
        told(&mut happenings),
        [Happening::Unblocked { user: user.clone() }]
    );
    device.write(
        "groups/u1",
        vec![put("g2", b"9", JoinedGroup::default().encode())],
    );
    let entered = Happening::GroupJoined {
        group: "g2".to_owned(),
    };
    assert_eq!(told(&mut happenings), [entered]);
    device.write("groups/u1", gone("g2"));
    let left = Happening::GroupLeft {
        group: "g2".to_owned(),
    };
    assert_eq!(told(&mut happenings), [left]);

    let pending = JoinRequest::default();
    device.write("join_requests/g1", vec![put("u9", b"9", pending.encode())]);
    let received = Happening::JoinRequestReceived {
        group: group.clone(),
        user: user.clone(),
        request: Some(pending.clone()),
    };
    assert_eq!(told(&mut happenings), [received]);
    device.write("join_requests/g1", gone("u9"));
    let closed = Happening::JoinRequestClosed {
        group: group.clone(),
        user,
    };
    assert_eq!(told(&mut happenings), [closed]);

    device.write(
        "sent_join_requests/u1",
        vec![put("g1", b"9", pending.encode())],
    );
    let sent = Happening::JoinRequestSent {
        group: group.clone(),
        request: Some(pending),
    };
    assert_eq!(told(&mut happenings), [sent]);
    let no = JoinRequest {
        state: RequestState::Rejected,
        ..JoinRequest::default()
    };
    device.write("sent_join_requests/u1", vec![put("g1", b"9", no.encode())]);
    let rejected = Happening::JoinRequestRejected {
        group: group.clone(),
        request: Some(no),
    };
    assert_eq!(told(&mut happenings), [rejected]);
    device.write("sent_join_requests/u1", gone("g1"));
    assert_eq!(
        told(&mut happenings),
        [Happening::SentJoinRequestClosed { group }]
    );
}

#[test]
fn so_many_changes_that_they_are_not_named_say_so() {
    let device = device();
    device.sync();
    let mut happenings = device.client.happenings();
    let ops = (0..1_200).map(|at| put(&format!("f{at}"), b"f", friend("F")));
    device.write("friends/u1", ops.collect());
    let many = Happening::Many {
        list: list("friends/u1"),
    };
    assert_eq!(told(&mut happenings), [many]);
}
