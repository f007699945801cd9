//! What a user does with the SDK, against the built program: in the device's
//! lists when the call returns, and the server's in the end.

use crate::harness::{Data, Http, Server};
use futures::StreamExt as _;
use highwater_sdk::actions::conversations::ConversationSettings;
use highwater_sdk::actions::friends::{FriendSettings, Requested};
use highwater_sdk::actions::groups::{
    GroupRules, GroupSettings, Invited, Joined, NewGroup, Removed,
};
use highwater_sdk::actions::people::ProfileSettings;
use highwater_sdk::conversations::ConversationView;
use highwater_sdk::lists::{Extra, JoinPolicy, RequestState, Role};
use highwater_sdk::{Client, Code, Error, Happening, List, Row, View};
use serde_json::json;
use std::path::Path;
use tokio::runtime::Runtime;

async fn device(data: &Data, server: &Server, user: &str, path: &Path) -> Client {
    let client = Client::builder()
        .server(format!("http://{}", server.address))
        .token(data.user_token(user))
        .database(path)
        .build();
    client.await.unwrap()
}

async fn ids<V: View>(list: &List<V>) -> Vec<String> {
    let page = list.page(None, 1_000).await.unwrap();
    page.rows.iter().map(|row| row.id().to_owned()).collect()
}

fn new_group(id: &str) -> NewGroup {
    NewGroup {
        group: id.to_owned(),
        name: "Rust".to_owned(),
        ..NewGroup::default()
    }
}

/// A refusal's code.
fn code<T: std::fmt::Debug>(done: Result<T, Error>) -> Code {
    done.unwrap_err().refusal().unwrap().code
}

#[test]
fn what_a_user_does_to_groups_is_there_when_the_call_returns() {
    let data = Data::new();
    let server = Server::start(&data);
    let folder = tempfile::tempdir().unwrap();
    Runtime::new().unwrap().block_on(async {
        let alice = device(&data, &server, "alice", &folder.path().join("a")).await;
        let groups = alice.groups().unwrap();
        alice.sync().await.unwrap();
        let group = groups.create(&new_group("g1")).await.unwrap();
        assert_eq!(ids(&groups).await, ["g1"]);
        let members = group.members().unwrap();
        members.sync().await.unwrap();
        let requests = alice.traffic().requests;

        let invited = group.invite(&["bob", "carol"]).await.unwrap();
        assert!(invited.iter().all(|one| one.result == Invited::Added));
        let again = group.invite(&["bob"]).await.unwrap();
        assert_eq!(again[0].result, Invited::AlreadyMember);
        group.set_role("carol", Role::Admin).await.unwrap();
        assert_eq!(ids(&members).await, ["alice", "carol", "bob"]);
        let settings = GroupSettings {
            name: Some("Rustaceans".to_owned()),
            ..GroupSettings::default()
        };
        group.set(&settings).await.unwrap();
        let header = members.header().await.unwrap().unwrap();
        assert_eq!(header.item.unwrap().name, "Rustaceans");
        let removed = group.remove(&["bob", "dave"]).await.unwrap();
        let results: Vec<_> = removed.iter().map(|one| one.result).collect();
        assert_eq!(results, [Removed::Removed, Removed::NotMember]);
        assert_eq!(ids(&members).await, ["alice", "carol"]);
        assert_eq!(alice.traffic().requests - requests, 5, "a request each");

        assert_eq!(code(group.leave().await), Code::OwnerRequired);
        assert_eq!(
            code(groups.create(&new_group("g1")).await),
            Code::GroupExists
        );
        let report = alice.verify().await.unwrap();
        assert!(report.is_complete() && report.repairs == 0, "{report:?}");

        // Another of the user's devices comes to the same.
        let other = device(&data, &server, "alice", &folder.path().join("b")).await;
        assert_eq!(ids(&other.members("g1").unwrap()).await, ["alice", "carol"]);

        let long = NewGroup {
            name: "x".repeat(300),
            ..new_group("g2")
        };
        let error = groups.create(&long).await.unwrap_err();
        let refusal = error.refusal().unwrap();
        assert_eq!((refusal.field.as_str(), refusal.limit), ("name", 256));

        server.kill();
        let error = group.set(&settings).await.unwrap_err();
        assert!(matches!(error, Error::Offline(_)), "{error}");
        assert_eq!(ids(&members).await, ["alice", "carol"]);
    });
}

#[test]
fn one_applies_to_a_group_speaks_in_it_under_another_name_and_takes_it_over() {
    let data = Data::new();
    let server = Server::start(&data);
    let folder = tempfile::tempdir().unwrap();
    Runtime::new().unwrap().block_on(async {
        let alice = device(&data, &server, "alice", &folder.path().join("a")).await;
        let bob = device(&data, &server, "bob", &folder.path().join("b")).await;
        let group = alice.groups().unwrap();
        let group = group.create(&new_group("g1")).await.unwrap();
        let rules = |policy| GroupRules {
            join_policy: Some(policy),
            ..GroupRules::default()
        };
        group
            .set_rules(&rules(JoinPolicy::Invitation))
            .await
            .unwrap();
        let theirs = bob.group("g1");
        assert_eq!(code(theirs.join("hi", "qr").await), Code::JoinRefused);
        group.set_rules(&rules(JoinPolicy::Approval)).await.unwrap();
        assert_eq!(theirs.join("hi", "qr").await.unwrap(), Joined::Requested);
        let sent = bob.sent_join_requests().unwrap();
        assert_eq!(ids(&sent).await, ["g1"]);
        let received = group.join_requests().unwrap();
        received.sync().await.unwrap();
        let request = received.get("bob").await.unwrap().unwrap().item.unwrap();
        assert_eq!((&*request.message, &*request.source), ("hi", "qr"));

        group.reject("bob", "not yet").await.unwrap();
        assert_eq!(ids(&received).await, [""; 0]);
        bob.sync().await.unwrap();
        let answer = sent.get("g1").await.unwrap().unwrap().item.unwrap();
        assert_eq!(answer.state, RequestState::Rejected);
        assert_eq!(&*answer.answer, "not yet");
        theirs.withdraw().await.unwrap();
        assert_eq!(ids(&sent).await, [""; 0]);
        assert_eq!(code(group.approve("bob").await), Code::RequestNotFound);
        theirs.join("please", "qr").await.unwrap();
        group.approve("bob").await.unwrap();
        bob.sync().await.unwrap();
        assert_eq!(ids(&bob.groups().unwrap()).await, ["g1"]);
        assert_eq!(ids(&sent).await, [""; 0]);

        let members = theirs.members().unwrap();
        theirs.set_nickname("bob", "Bobby").await.unwrap();
        let data = Extra::parse("{\"badge\":1}").unwrap();
        theirs.set_extra("bob", &data).await.unwrap();
        let until_ms = 4_000_000_000_000;
        group.mute("bob", until_ms).await.unwrap();
        assert_eq!(code(group.mute("bob", 1).await), Code::InvalidField);
        assert_eq!(code(theirs.mute("alice", until_ms).await), Code::Forbidden);
        group.announce("at eight").await.unwrap();
        group.set_muted(true).await.unwrap();
        members.sync().await.unwrap();
        let member = members.get("bob").await.unwrap().unwrap().item.unwrap();
        assert_eq!((&*member.nickname, &*member.source), ("Bobby", "qr"));
        assert_eq!((member.muted_until_ms, member.extra), (until_ms, data));
        let header = members.header().await.unwrap().unwrap().item.unwrap();
        assert_eq!(header.announcement.unwrap().text, "at eight");
        assert!(header.muted);

        assert_eq!(code(theirs.transfer("bob").await), Code::Forbidden);
        group.transfer("bob").await.unwrap();
        members.sync().await.unwrap();
        let member = members.get("bob").await.unwrap().unwrap().item.unwrap();
        assert_eq!((member.role, member.muted_until_ms), (Role::Owner, 0));
        group.leave().await.unwrap();
        assert_eq!(ids(&alice.groups().unwrap()).await, [""; 0]);
        theirs.dismiss().await.unwrap();
        assert_eq!(code(theirs.join("", "").await), Code::GroupNotFound);
        for client in [&alice, &bob] {
            let report = client.verify().await.unwrap();
            assert!(report.repairs == 0, "{report:?}");
        }
    });
}

#[test]
fn two_users_become_friends_and_part_and_each_sees_it() {
    let data = Data::new();
    let server = Server::start(&data);
    let folder = tempfile::tempdir().unwrap();
    Runtime::new().unwrap().block_on(async {
        let alice = device(&data, &server, "alice", &folder.path().join("a")).await;
        let bob = device(&data, &server, "bob", &folder.path().join("b")).await;
        let named = |name: &str| ProfileSettings {
            name: Some(name.to_owned()),
            ..ProfileSettings::default()
        };
        alice.profile().unwrap().set(&named("Alice")).await.unwrap();
        bob.profile().unwrap().set(&named("Bob")).await.unwrap();
        let (friends, sent) = (
            alice.friends().unwrap(),
            alice.sent_friend_requests().unwrap(),
        );
        let (others, received) = (bob.friends().unwrap(), bob.friend_requests().unwrap());
        alice.sync().await.unwrap();
        bob.sync().await.unwrap();
        let mut happenings = bob.happenings();

        let asked = friends.request("bob", "it is me", "school").await.unwrap();
        assert_eq!(asked, Requested::Requested);
        let request = sent.get("bob").await.unwrap().unwrap().item.unwrap();
        assert_eq!((&*request.name, &*request.message), ("Bob", "it is me"));
        assert_eq!(
            code(friends.request("alice", "", "").await),
            Code::InvalidField
        );
        bob.sync().await.unwrap();
        assert!(matches!(
            happenings.next().await.unwrap().unwrap(),
            Happening::FriendRequestReceived { user, .. } if user == "alice"
        ));

        let requests = bob.traffic().requests;
        others.accept("alice").await.unwrap();
        assert_eq!(ids(&others).await, ["alice"]);
        assert_eq!(ids(&received).await, [""; 0]);
        assert_eq!(bob.traffic().requests - requests, 1);
        assert_eq!(code(others.accept("alice").await), Code::RequestNotFound);
        alice.sync().await.unwrap();
        assert_eq!(ids(&friends).await, ["bob"]);
        assert_eq!(ids(&sent).await, [""; 0]);
        assert_eq!(
            code(friends.request("bob", "", "").await),
            Code::AlreadyFriends
        );

        let settings = FriendSettings {
            remark: Some("Bobby".to_owned()),
            pinned: Some(true),
            extra: Some(Extra::parse("{\"since\":\"school\"}").unwrap()),
        };
        friends.set("bob", &settings).await.unwrap();
        let friend = friends.get("bob").await.unwrap().unwrap().item.unwrap();
        assert_eq!((&*friend.remark, friend.pinned), ("Bobby", true));
        let long = FriendSettings {
            remark: Some("x".repeat(300)),
            ..FriendSettings::default()
        };
        let error = friends.set("bob", &long).await.unwrap_err();
        let refusal = error.refusal().unwrap();
        assert_eq!((refusal.field.as_str(), refusal.limit), ("remark", 256));

        others.remove("alice").await.unwrap();
        assert_eq!(ids(&others).await, [""; 0]);
        let blocks = bob.blocks().unwrap();
        blocks.block("alice").await.unwrap();
        alice.sync().await.unwrap();
        assert_eq!(ids(&friends).await, [""; 0]);
        assert_eq!(code(friends.request("bob", "", "").await), Code::Blocked);
        blocks.unblock("alice").await.unwrap();
        assert_eq!(code(blocks.unblock("alice").await), Code::NotBlocked);
        for client in [&alice, &bob] {
            let report = client.verify().await.unwrap();
            assert!(report.is_complete() && report.repairs == 0, "{report:?}");
        }
    });
}

/// Reports a message of a group, as a service does.
fn report(data: &Data, server: &Server, group: &str, seq: u64, at_ms: i64) {
    let mut http = Http::connect(&server.address, &data.service_token()).unwrap();
    let activity = json!({
        "conversation": {"group": group}, "seq": seq, "at_ms": at_ms,
        "sender": "bob", "preview": "hello",
    });
    let body = json!({"activities": [activity]}).to_string();
    let (status, answer) = http.json("POST", "/v1/activity", &body).unwrap();
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn a_message_in_a_large_group_moves_its_conversation_and_reading_it_counts_at_once() {
    let data = Data::new();
    let server = Server::start(&data);
    let folder = tempfile::tempdir().unwrap();
    Runtime::new().unwrap().block_on(async {
        let alice = device(&data, &server, "alice", &folder.path().join("a")).await;
        let conversations = alice.conversations().unwrap();
        alice.sync().await.unwrap();
        let groups = alice.groups().unwrap();
        let large = groups.create(&new_group("large")).await.unwrap();
        groups.create(&new_group("small")).await.unwrap();
        let users: Vec<String> = (0..250).map(|at| format!("u{at}")).collect();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        large.invite(&users).await.unwrap();
        alice.sync().await.unwrap();

        let now_ms = 1_900_000_000_000;
        report(&data, &server, "large", 1, now_ms - 2);
        report(&data, &server, "small", 1, now_ms - 1);
        report(&data, &server, "large", 3, now_ms);
        report(&data, &server, "small", 5, now_ms + 1);
        // That a group is large is told to its members in the background.
        let is_shared = || {
            let row = conversations.get("g:large").unwrap().unwrap();
            row.item.is_some_and(|view| view.conversation.shared)
        };
        for _ in 0..200 {
            if is_shared() {
                break;
            }
            alice.sync().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(is_shared());
        let shown = || async {
            let page = conversations.page(None, 10).await.unwrap();
            let line = |row: &Row<ConversationView>| {
                let unread = row.item.as_ref().map(|view| view.unread);
                format!("{} {}", row.id(), unread.unwrap_or_default())
            };
            page.rows.iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(shown().await, ["g:small 5", "g:large 3"]);
        report(&data, &server, "large", 4, now_ms + 2);
        alice.sync().await.unwrap();
        assert_eq!(shown().await, ["g:large 4", "g:small 5"]);
        assert_eq!(conversations.total_unread().unwrap(), 9);

        let requests = alice.traffic().requests;
        conversations.read("g:large", 4).await.unwrap();
        assert_eq!(conversations.total_unread().unwrap(), 5);
        let pinned = ConversationSettings {
            pinned: Some(true),
            draft: Some("to be".to_owned()),
            ..ConversationSettings::default()
        };
        conversations.set("g:small", &pinned).await.unwrap();
        assert_eq!(shown().await, ["g:small 5", "g:large 0"]);
        conversations.clear("g:small").await.unwrap();
        assert_eq!(conversations.total_unread().unwrap(), 0);
        conversations.delete("g:small").await.unwrap();
        assert_eq!(shown().await, ["g:large 0"]);
        assert_eq!(alice.traffic().requests - requests, 4, "a request each");
        report(&data, &server, "small", 6, now_ms + 3);
        alice.sync().await.unwrap();
        assert_eq!(shown().await, ["g:small 1", "g:large 0"]);
        let report = alice.verify().await.unwrap();
        assert!(report.is_complete() && report.repairs == 0, "{report:?}");
    });
}
