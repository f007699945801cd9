//! What a user does: sent at once or refused at once, done once, and there when
//! the call returns.

use crate::server::{Fault, Op, TestServer, jwt, list};
use crate::write_kit::{WriteFault, Written};
use futures::executor::block_on;
use futures::{FutureExt as _, StreamExt as _};
use highwater_protocol::kinds::{Extra, Friend, Payload as _};
use highwater_protocol::{Code, Refusal};
use highwater_sdk::actions::conversations::ConversationSettings;
use highwater_sdk::actions::friends::{FriendSettings, Requested};
use highwater_sdk::actions::groups::{
    GroupRules, GroupSettings, Invited, Joined, NewGroup, UserResult,
};
use highwater_sdk::actions::people::ProfileSettings;
use highwater_sdk::driver::Method;
use highwater_sdk::lists::{JoinPolicy, Receive, Role};
use highwater_sdk::{Client, Error, Friends, List, Window};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::{TempDir, tempdir};

struct Device {
    _folder: TempDir,
    server: Arc<TestServer>,
    client: Client,
    friends: List<Friends>,
}

fn put(id: &str) -> Op {
    Op::Put {
        id: id.to_owned(),
        rank: id.as_bytes().to_vec(),
        payload: Friend::default().encode(),
    }
}

/// A device with one friend. Each write makes the user that it names a friend,
/// and is answered with this.
fn device(says: &'static str) -> Device {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    server.write(&list("friends/u1"), vec![put("u2")]);
    server.writes.say(says);
    server.writes.do_this(|write| {
        let user = write.path.split('/').nth(5).unwrap().to_owned();
        vec![(list("friends/u1"), vec![put(&user)])]
    });
    let client = server.client(&folder.path().join("db"));
    let friends = client.friends().unwrap();
    block_on(client.sync()).unwrap();
    Device {
        _folder: folder,
        server,
        client,
        friends,
    }
}

fn ids(friends: &List<Friends>) -> Vec<String> {
    let page = block_on(friends.page(None, 100)).unwrap();
    page.rows.iter().map(|row| row.id().to_owned()).collect()
}

#[test]
fn what_a_write_changed_is_there_when_it_returns_and_no_sync_was_needed() {
    let device = device("{}");
    let before = device.server.requests();
    block_on(device.friends.accept("u3")).unwrap();
    assert_eq!(ids(&device.friends), ["u2", "u3"]);
    assert_eq!(device.server.requests(), before);
    let log = device.server.writes.take_log();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].method, Method::Post);
    assert_eq!(log[0].path, "/v1/users/u1/friend_requests/u3/accept");
    assert_eq!(log[0].body, "");
    assert_eq!(log[0].key.len(), 32);
    assert!(log[0].key.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(device.client.is_online());
}

#[test]
fn all_lists_that_a_write_changed_change_in_one_commit() {
    let device = device("{}");
    let (requests, friends) = (list("friend_requests/u1"), list("friends/u1"));
    device.server.write(&requests, vec![put("u3")]);
    let asks = device.client.friend_requests().unwrap();
    block_on(device.client.sync()).unwrap();
    device.server.writes.do_this(move |_| {
        vec![
            (friends.clone(), vec![put("u3")]),
            (requests.clone(), vec![Op::Delete("u3".to_owned())]),
        ]
    });
    let mut seen = asks.watch(Window::first(9));
    seen.next().now_or_never().unwrap();
    block_on(device.friends.accept("u3")).unwrap();
    let gone = seen.next().now_or_never().unwrap().unwrap().unwrap();
    assert_eq!(gone.count, 0);
    assert_eq!(ids(&device.friends), ["u2", "u3"]);
}

#[test]
fn a_write_without_a_server_fails_at_once_and_nothing_is_kept() {
    let device = device("{}");
    device.server.set_down(true);
    let error = block_on(device.friends.remove("u2")).unwrap_err();
    assert!(matches!(error, Error::Offline(_)), "{error}");
    assert!(error.to_string().contains("offline"), "{error}");
    assert!(error.is_transient() && !device.client.is_online());
    assert_eq!(ids(&device.friends), ["u2"], "reading goes on");
    device.server.set_down(false);
    block_on(device.client.sync()).unwrap();
    assert_eq!(device.server.writes.take_log(), []);
    // An app that tries again gets through.
    block_on(device.friends.remove("u2")).unwrap();
    assert!(device.client.is_online());
}

#[test]
fn a_started_client_that_knows_the_server_to_be_gone_does_not_try() {
    let device = device("{}");
    device.server.set_down(true);
    let mut events = device.client.events();
    device.client.start();
    block_on(events.next()).unwrap();
    // Writes would be heard now.
    device.server.writes.set_down(false);
    let begun = Instant::now();
    let error = block_on(device.friends.remove("u2")).unwrap_err();
    assert!(matches!(error, Error::Offline(_)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(device.server.writes.take_log(), []);
    // It looks for the server, and finds it.
    device.server.set_down(false);
    let mut status = device.friends.watch_status();
    while !device.client.is_online() {
        block_on(status.next()).unwrap().unwrap();
    }
    block_on(device.friends.accept("u3")).unwrap();
}

#[test]
fn a_lost_answer_is_asked_for_again_and_the_write_done_once() {
    let device = device("{}");
    device.server.writes.fail([WriteFault::Cut]);
    block_on(device.friends.accept("u3")).unwrap();
    assert_eq!(ids(&device.friends), ["u2", "u3"]);
    let log = device.server.writes.take_log();
    assert_eq!(log.len(), 2);
    assert_eq!(log[0], log[1], "the same key");
    assert_eq!(device.server.version(&list("friends/u1")).get(), 2);
    block_on(device.friends.accept("u4")).unwrap();
    assert_ne!(device.server.writes.take_log()[0].key, log[0].key);
}

#[test]
fn a_write_that_may_have_happened_says_so_and_the_next_sync_shows_it() {
    let device = device("{}");
    for after in [WriteFault::Cut, WriteFault::Drop] {
        device
            .server
            .writes
            .fail([WriteFault::Cut, after.clone(), after]);
        let error = block_on(device.friends.accept("u3")).unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown(_)), "{error}");
        // What was not used up.
        device.server.writes.fail([]);
        let _ = block_on(device.friends.remove("nobody"));
    }
    block_on(device.client.sync()).unwrap();
    assert!(ids(&device.friends).contains(&"u3".to_owned()));
}

#[test]
fn a_refusal_comes_with_code_field_and_limit_in_whatever_form() {
    let device = device("{}");
    let refusal = Refusal::too_large("remark", 300, 256);
    let problem = r#"{"type":"about:blank","title":"too large","status":400,"code":"too_large",
        "detail":"remark has 300 bytes; the limit is 256","field":"remark","limit":256}"#;
    for fault in [
        WriteFault::Refuse(400, refusal.clone()),
        WriteFault::Say(400, "application/problem+json; charset=utf-8", problem),
    ] {
        device.server.writes.fail([fault]);
        let settings = FriendSettings {
            remark: Some("x".repeat(300)),
            ..FriendSettings::default()
        };
        let error = block_on(device.friends.set("u2", &settings)).unwrap_err();
        assert_eq!(error.refusal(), Some(&refusal), "{error}");
        assert!(device.client.is_online(), "the server answered");
    }
    assert_eq!(device.server.writes.take_log().len(), 2, "not sent again");
}

#[test]
fn an_id_that_nobody_can_have_is_refused_before_it_is_sent() {
    let device = device("{}");
    let error = block_on(device.friends.remove("")).unwrap_err();
    assert!(
        matches!(&error, Error::Invalid(no) if no.field == "friend"),
        "{error}"
    );
    let error = block_on(device.client.group(&"g".repeat(121)).leave()).unwrap_err();
    assert_eq!(error.refusal().map(|no| no.limit), Some(120));
    assert_eq!(device.server.writes.take_log(), []);
}

#[test]
fn what_a_proxy_says_and_what_cannot_be_read_are_not_taken_for_answers() {
    let device = device("{}");
    let words = WriteFault::Say(502, "text/html", "<h1>Bad gateway</h1>");
    device.server.writes.fail(vec![words; 3]);
    let error = block_on(device.friends.accept("u3")).unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown(_)), "{error}");
    let nonsense = WriteFault::Say(200, "application/x-protobuf", "no message");
    device.server.writes.fail([nonsense]);
    let error = block_on(device.friends.accept("u3")).unwrap_err();
    assert!(matches!(error, Error::PeerMisbehaved(_)), "{error}");
    assert_eq!(ids(&device.friends), ["u2"]);
}

#[test]
fn a_write_whose_change_does_not_fit_returns_once_the_list_has_caught_up() {
    let device = device("{}");
    // Another device's write, of which this one has not heard.
    device.server.write(&list("friends/u1"), vec![put("u9")]);
    let before = device.server.requests();
    block_on(device.friends.accept("u3")).unwrap();
    assert_eq!(ids(&device.friends), ["u2", "u3", "u9"]);
    assert_eq!(device.server.requests(), before + 1);
}

#[test]
fn a_write_that_happened_is_no_error_where_the_list_cannot_catch_up() {
    let device = device("{}");
    device.server.write(&list("friends/u1"), vec![put("u9")]);
    device.server.fail([Fault::Drop]);
    block_on(device.friends.accept("u3")).unwrap();
    assert_eq!(ids(&device.friends), ["u2"]);
    block_on(device.client.sync()).unwrap();
    assert_eq!(ids(&device.friends), ["u2", "u3", "u9"]);
}

#[test]
fn a_write_whose_future_was_dropped_is_applied_all_the_same() {
    let device = device("{}");
    let mut watch = device.friends.watch(Window::first(9));
    watch.next().now_or_never().unwrap();
    let mut write = Box::pin(device.friends.accept("u3"));
    // Once polled it is under way, or done already.
    let _ = (&mut write).now_or_never();
    drop(write);
    let batch = block_on(watch.next()).unwrap().unwrap();
    assert_eq!(batch.count, 2);
}

#[test]
fn a_token_that_is_over_is_renewed_and_the_write_sent_again_with_its_key() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    let expired = Refusal::new(Code::ExpiredToken, "the token has expired");
    server.writes.fail([WriteFault::Refuse(401, expired)]);
    let number = std::sync::atomic::AtomicU32::new(0);
    let builder = server
        .builder(&folder.path().join("db"))
        .token_provider(move || {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async move { Ok(jwt("u1", number)) }
        });
    let client = block_on(builder.user("u1").build()).unwrap();
    block_on(client.blocks().unwrap().block("u2")).unwrap();
    let log = server.writes.take_log();
    assert_eq!(
        (&log[0].token, &log[1].token),
        (&jwt("u1", 0), &jwt("u1", 1))
    );
    assert_eq!(log[0].key, log[1].key);
}

#[test]
fn a_closed_client_writes_nothing() {
    let device = device("{}");
    device.client.close();
    let error = block_on(device.friends.remove("u2")).unwrap_err();
    assert!(matches!(error, Error::Closed), "{error}");
}

/// Method, path and body of what a call sends.
fn said(device: &Device) -> String {
    let log = device.server.writes.take_log();
    let line = |write: &Written| {
        let method = write.method.as_str();
        format!("{method} {} {}", write.path, write.body)
    };
    log.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_call_says_what_the_operation_is() {
    let device = device(r#"{"outcome":"requested"}"#);
    device.server.writes.do_this(|_| Vec::new());
    let friends = &device.friends;
    block_on(async {
        let asked = friends.request("u2", "hi", "search").await.unwrap();
        assert_eq!(asked, Requested::Requested);
        friends.withdraw("u2").await.unwrap();
        friends.reject("u3", "no").await.unwrap();
        let settings = FriendSettings {
            pinned: Some(true),
            extra: Some(Extra::parse("{\"a\":1}").unwrap()),
            ..FriendSettings::default()
        };
        friends.set("u2", &settings).await.unwrap();
        friends.remove("u2").await.unwrap();
        let blocks = device.client.blocks().unwrap();
        blocks.block("u2").await.unwrap();
        blocks.unblock("u2").await.unwrap();
        let profile = ProfileSettings {
            name: Some("Al".to_owned()),
            ..ProfileSettings::default()
        };
        device
            .client
            .profile()
            .unwrap()
            .set(&profile)
            .await
            .unwrap();
    });
    assert_eq!(
        said(&device),
        r#"PUT /v1/users/u1/sent_friend_requests/u2 {"message":"hi","source":"search"}
DELETE /v1/users/u1/sent_friend_requests/u2 
POST /v1/users/u1/friend_requests/u3/reject {"answer":"no"}
PATCH /v1/users/u1/friends/u2 {"pinned":true,"extra":{"a":1}}
DELETE /v1/users/u1/friends/u2 
PUT /v1/users/u1/blocks/u2 
DELETE /v1/users/u1/blocks/u2 
PATCH /v1/users/u1/profile {"name":"Al"}"#
    );
    let group = device.client.group("g1");
    block_on(async {
        let rules = GroupRules {
            join_policy: Some(JoinPolicy::Approval),
            ..GroupRules::default()
        };
        let new = NewGroup {
            group: "g1".to_owned(),
            name: "Rust".to_owned(),
            rules,
            ..NewGroup::default()
        };
        device.client.groups().unwrap().create(&new).await.unwrap();
        let settings = GroupSettings {
            avatar: Some("a".to_owned()),
            ..GroupSettings::default()
        };
        group.set(&settings).await.unwrap();
        group.set_rules(&rules).await.unwrap();
        group.announce("hello").await.unwrap();
        group.set_muted(true).await.unwrap();
        let joined = group.join("let me in", "search").await.unwrap();
        assert_eq!(joined, Joined::Requested);
        group.withdraw().await.unwrap();
        group.leave().await.unwrap();
        group.transfer("u2").await.unwrap();
        group.set_role("u3", Role::Admin).await.unwrap();
        group.mute("u3", 5).await.unwrap();
        group.set_nickname("u3", "Al").await.unwrap();
        let extra = Extra::parse("[1]").unwrap();
        group.set_extra("u3", &extra).await.unwrap();
        group.approve("u4").await.unwrap();
        group.reject("u5", "full").await.unwrap();
        group.dismiss().await.unwrap();
    });
    assert_eq!(
        said(&device),
        r#"POST /v1/groups {"group":"g1","name":"Rust","description":"","avatar":"","join_policy":"approval","owner":"u1"}
PATCH /v1/groups/g1 {"avatar":"a"}
PATCH /v1/groups/g1/rules {"join_policy":"approval"}
PUT /v1/groups/g1/announcement {"text":"hello"}
PUT /v1/groups/g1/mute {"muted":true}
POST /v1/groups/g1/members:join {"message":"let me in","source":"search"}
DELETE /v1/users/u1/sent_join_requests/g1 
POST /v1/groups/g1/members:leave 
POST /v1/groups/g1/transfer {"to":"u2"}
PUT /v1/groups/g1/members/u3/role {"role":"admin"}
PUT /v1/groups/g1/members/u3/mute {"until_ms":5}
PUT /v1/groups/g1/members/u3/nickname {"nickname":"Al"}
PUT /v1/groups/g1/members/u3/extra {"extra":[1]}
POST /v1/groups/g1/join_requests/u4/approve 
POST /v1/groups/g1/join_requests/u5/reject {"answer":"full"}
DELETE /v1/groups/g1 "#
    );
    let conversations = device.client.conversations().unwrap();
    block_on(async {
        let settings = ConversationSettings {
            receive: Some(Receive::Silent),
            draft: Some(String::new()),
            ..ConversationSettings::default()
        };
        conversations.set("u:u2", &settings).await.unwrap();
        conversations.read("g:g1", 7).await.unwrap();
        conversations.clear("g:g1").await.unwrap();
        conversations.delete("s:news").await.unwrap();
    });
    assert_eq!(
        said(&device),
        r#"PATCH /v1/users/u1/conversations/u%3Au2 {"receive":"silent","draft":""}
POST /v1/users/u1/conversations/g%3Ag1/read {"seq":7}
POST /v1/users/u1/conversations/g%3Ag1/clear 
DELETE /v1/users/u1/conversations/s%3Anews "#
    );
}

#[test]
fn results_name_each_user_and_unknown_ones_do_not_break_an_older_reader() {
    let says = r#"{"results":[{"user":"u2","result":"added"},{"user":"u3","result":"new"}]}"#;
    let device = device(says);
    device.server.writes.do_this(|_| Vec::new());
    let results = block_on(device.client.group("g1").invite(&["u2", "u3"])).unwrap();
    let of = |user: &str, result| UserResult {
        user: user.to_owned(),
        result,
    };
    assert_eq!(
        results,
        [of("u2", Invited::Added), of("u3", Invited::Other)]
    );
    let error = block_on(device.client.group("g1").join("", "")).unwrap_err();
    assert!(matches!(error, Error::PeerMisbehaved(_)), "{error}");
}
