//! Friends, requests and blocks: each rule, and each refusal.

use crate::kit::{NOW_MS, Running, since, store};
use crate::people::{
    accept, assert_people_in_step, block, change, delete, describe, fan_out, ids, in_locale, item,
    make_friends, named, pin, refused, reject, remark, request, unblock, unfriend, version,
    withdraw,
};
use crate::rules::{actor, run, user};
use highwater_protocol::Code;
use highwater_protocol::kinds::{Block, Extra, Friend, FriendRequest, RequestState};
use highwater_protocol::message::Answer;
use highwater_server::domain::{
    AcceptFriend, BlockUser, ChangeFriend, DeleteFriend, DeleteUser, DescribeUser, FriendChange,
    ProfileChange, RejectFriend, RequestFriend, RequestFriendOutcome, Sides, UnblockUser,
    WithdrawFriendRequest,
};
use highwater_store::Store as _;

#[tokio::test]
async fn a_request_stands_in_two_lists_until_it_is_accepted_and_makes_two_friends() {
    let store = store();
    describe(&store, "a", named("Ann")).await;
    describe(&store, "b", named("Bob")).await;
    fan_out(&store).await;
    let outcome = run(&store, request("a", "b")).await.unwrap();
    assert_eq!(outcome, RequestFriendOutcome::Requested);
    assert_people_in_step(&store).await;
    let sent: FriendRequest = item(&store, "sent_friend_requests", "a", "b").await;
    let received: FriendRequest = item(&store, "friend_requests", "b", "a").await;
    assert_eq!((sent.name.as_str(), received.name.as_str()), ("Bob", "Ann"));
    for request in [sent, received] {
        assert_eq!(request.message, "hello");
        assert_eq!(request.source, "search");
        assert_eq!(request.at_ms, NOW_MS);
        assert_eq!(request.state, RequestState::Pending);
    }
    run(&store, accept("b", "a")).await.unwrap();
    assert_people_in_step(&store).await;
    for (owner, other, name) in [("a", "b", "Bob"), ("b", "a", "Ann")] {
        let friend: Friend = item(&store, "friends", owner, other).await;
        let expected = Friend {
            name: name.to_owned(),
            since_ms: NOW_MS + 5,
            source: "search".to_owned(),
            by: "b".to_owned(),
            ..Friend::default()
        };
        assert_eq!(friend, expected);
        assert_eq!(ids(&store, "friend_requests", owner).await, [""; 0]);
        assert_eq!(ids(&store, "sent_friend_requests", owner).await, [""; 0]);
    }
}

#[tokio::test]
async fn whoever_asks_one_who_asked_them_is_a_friend_at_once() {
    let store = store();
    run(&store, request("a", "b")).await.unwrap();
    let outcome = run(&store, request("b", "a")).await.unwrap();
    assert_eq!(outcome, RequestFriendOutcome::Accepted);
    assert_eq!(ids(&store, "friends", "a").await, ["b"]);
    assert_eq!(ids(&store, "friends", "b").await, ["a"]);
    assert_eq!(ids(&store, "friend_requests", "b").await, [""; 0]);
    assert_people_in_step(&store).await;
}

#[tokio::test]
async fn a_rejected_request_is_gone_for_the_one_and_told_to_the_other_who_may_ask_again() {
    let store = store();
    run(&store, request("a", "b")).await.unwrap();
    run(&store, reject("b", "a", "not now")).await.unwrap();
    assert_people_in_step(&store).await;
    assert_eq!(ids(&store, "friend_requests", "b").await, [""; 0]);
    let sent: FriendRequest = item(&store, "sent_friend_requests", "a", "b").await;
    assert_eq!(sent.state, RequestState::Rejected);
    assert_eq!(sent.answer, "not now");
    assert_eq!(sent.handled_at_ms, NOW_MS + 7);
    // The one who said no may ask, too: what is left of the old request goes.
    run(&store, request("a", "b")).await.unwrap();
    let sent: FriendRequest = item(&store, "sent_friend_requests", "a", "b").await;
    assert_eq!(sent.state, RequestState::Pending);
    assert_eq!((sent.answer.as_str(), sent.handled_at_ms), ("", 0));
    run(&store, reject("b", "a", "")).await.unwrap();
    run(&store, request("b", "a")).await.unwrap();
    run(&store, accept("a", "b")).await.unwrap();
    assert_eq!(ids(&store, "sent_friend_requests", "a").await, [""; 0]);
    assert_people_in_step(&store).await;
}

#[tokio::test]
async fn asking_again_replaces_what_was_said() {
    let store = store();
    run(&store, request("a", "b")).await.unwrap();
    let again = RequestFriend::new(
        &actor("a"),
        user("a"),
        user("b"),
        "please".to_owned(),
        String::new(),
        NOW_MS + 1,
    );
    let outcome = run(&store, again.unwrap()).await.unwrap();
    assert_eq!(outcome, RequestFriendOutcome::Requested);
    assert_eq!(ids(&store, "friend_requests", "b").await, ["a"]);
    let received: FriendRequest = item(&store, "friend_requests", "b", "a").await;
    assert_eq!(received.message, "please");
    assert_eq!(received.at_ms, NOW_MS + 1);
}

#[tokio::test]
async fn the_newest_request_stands_first() {
    let store = store();
    for (at, id) in ["x", "y", "z"].into_iter().enumerate() {
        let asked = RequestFriend::new(
            &actor(id),
            user(id),
            user("b"),
            String::new(),
            String::new(),
            NOW_MS + at as i64,
        );
        run(&store, asked.unwrap()).await.unwrap();
    }
    assert_eq!(ids(&store, "friend_requests", "b").await, ["z", "y", "x"]);
}

#[tokio::test]
async fn a_request_is_taken_back_from_both_lists_and_a_no_is_put_away() {
    let store = store();
    run(&store, request("a", "b")).await.unwrap();
    run(&store, withdraw("a", "b")).await.unwrap();
    assert_eq!(ids(&store, "friend_requests", "b").await, [""; 0]);
    assert_eq!(ids(&store, "sent_friend_requests", "a").await, [""; 0]);
    run(&store, request("a", "b")).await.unwrap();
    run(&store, reject("b", "a", "no")).await.unwrap();
    run(&store, withdraw("a", "b")).await.unwrap();
    assert_eq!(ids(&store, "sent_friend_requests", "a").await, [""; 0]);
    assert_people_in_step(&store).await;
}

#[tokio::test]
async fn a_request_is_answered_once() {
    let store = store();
    let gone = Err(Code::RequestNotFound);
    assert_eq!(run(&store, accept("b", "a")).await, gone);
    run(&store, request("a", "b")).await.unwrap();
    // The one who asks does not answer.
    assert_eq!(run(&store, accept("a", "b")).await, gone);
    assert_eq!(run(&store, reject("a", "b", "")).await, gone);
    assert_eq!(run(&store, withdraw("b", "a")).await, gone);
    run(&store, accept("b", "a")).await.unwrap();
    assert_eq!(run(&store, accept("b", "a")).await, gone);
    assert_eq!(run(&store, reject("b", "a", "")).await, gone);
    assert_eq!(run(&store, withdraw("a", "b")).await, gone);
    run(&store, request("c", "b")).await.unwrap();
    run(&store, reject("b", "c", "")).await.unwrap();
    assert_eq!(run(&store, accept("b", "c")).await, gone);
    assert_eq!(run(&store, reject("b", "c", "")).await, gone);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_by_a_code_of_its_own() {
    let store = store();
    let oneself = RequestFriend::new(
        &actor("a"),
        user("a"),
        user("a"),
        String::new(),
        String::new(),
        NOW_MS,
    );
    assert_eq!(
        refused(oneself),
        (Code::InvalidField, "friend".to_owned(), 0)
    );
    make_friends(&store, "a", "b").await;
    for (from, to) in [("a", "b"), ("b", "a")] {
        let again = run(&store, request(from, to)).await;
        assert_eq!(again, Err(Code::AlreadyFriends));
    }
    run(&store, block("c", "a")).await.unwrap();
    assert_eq!(run(&store, request("a", "c")).await, Err(Code::Blocked));
    // Whoever blocks may ask.
    run(&store, request("c", "a")).await.unwrap();
    run(&store, delete("d")).await.unwrap();
    for (from, to) in [("a", "d"), ("d", "a")] {
        let asked = run(&store, request(from, to)).await;
        assert_eq!(asked, Err(Code::UserNotFound));
    }
}

#[tokio::test]
async fn long_words_are_refused_by_field_and_limit() {
    let words = |message: usize, source: usize| {
        RequestFriend::new(
            &actor("a"),
            user("a"),
            user("b"),
            "m".repeat(message),
            "s".repeat(source),
            NOW_MS,
        )
    };
    assert!(words(1_024, 64).is_ok());
    let large = |field: &str, limit| (Code::TooLarge, field.to_owned(), limit);
    assert_eq!(refused(words(1_025, 0)), large("message", 1_024));
    assert_eq!(refused(words(0, 65)), large("source", 64));
    let answer = |bytes| RejectFriend::new(&actor("a"), user("a"), user("b"), bytes, NOW_MS);
    assert!(answer("n".repeat(1_024)).is_ok());
    assert_eq!(refused(answer("n".repeat(1_025))), large("answer", 1_024));
    let called = |bytes| {
        let change = remark(&"r".repeat(bytes));
        ChangeFriend::new(&actor("a"), user("a"), user("b"), change)
    };
    assert!(called(256).is_ok());
    assert_eq!(refused(called(257)), large("remark", 256));
    let nothing = FriendChange::default();
    let nothing = ChangeFriend::new(&actor("a"), user("a"), user("b"), nothing);
    assert_eq!(refused(nothing).0, Code::InvalidField);
}

/// OpenIM trusts fields of the request: a setting could be written for another.
#[test]
fn nobody_writes_for_another_user() {
    let (x, a, b) = (actor("x"), user("a"), user("b"));
    let (text, at_ms) = (String::new, NOW_MS);
    let change = || remark("r");
    let forbidden = (Code::Forbidden, "user".to_owned(), 0);
    let all = [
        refused(DescribeUser::put(
            &x,
            a.clone(),
            ProfileChange::default(),
            at_ms,
        )),
        refused(DescribeUser::patch(&x, a.clone(), named("n"), at_ms)),
        refused(DeleteUser::new(&x, a.clone(), at_ms)),
        refused(RequestFriend::new(
            &x,
            a.clone(),
            b.clone(),
            text(),
            text(),
            at_ms,
        )),
        refused(AcceptFriend::new(&x, a.clone(), b.clone(), at_ms)),
        refused(RejectFriend::new(&x, a.clone(), b.clone(), text(), at_ms)),
        refused(WithdrawFriendRequest::new(&x, a.clone(), b.clone())),
        refused(DeleteFriend::new(&x, a.clone(), b.clone(), Sides::Both)),
        refused(ChangeFriend::new(&x, a.clone(), b.clone(), change())),
        refused(BlockUser::new(&x, a.clone(), b.clone(), at_ms)),
        refused(UnblockUser::new(&x, a, b)),
    ];
    for refusal in all {
        assert_eq!(refusal, forbidden);
    }
}

#[tokio::test]
async fn what_a_service_does_is_done_by_nobody() {
    let store = store();
    let service = actor("service");
    run(&store, request("a", "b")).await.unwrap();
    let accept = AcceptFriend::new(&service, user("b"), user("a"), NOW_MS).unwrap();
    run(&store, accept).await.unwrap();
    let friend: Friend = item(&store, "friends", "a", "b").await;
    assert_eq!(friend.by, "");
    let block = BlockUser::new(&service, user("a"), user("c"), NOW_MS).unwrap();
    run(&store, block).await.unwrap();
    let block: Block = item(&store, "blocks", "a", "c").await;
    assert_eq!(block.by, "");
}

#[tokio::test]
async fn a_friend_goes_from_both_lists_or_from_one() {
    let store = store();
    for other in ["b", "c"] {
        make_friends(&store, "a", other).await;
    }
    run(&store, unfriend("a", "b", Sides::Both)).await.unwrap();
    assert_eq!(ids(&store, "friends", "a").await, ["c"]);
    assert_eq!(ids(&store, "friends", "b").await, [""; 0]);
    run(&store, unfriend("a", "c", Sides::One)).await.unwrap();
    assert_eq!(ids(&store, "friends", "a").await, [""; 0]);
    assert_eq!(ids(&store, "friends", "c").await, ["a"]);
    assert_people_in_step(&store).await;
    for friend in ["b", "c", "x"] {
        let gone = run(&store, unfriend("a", friend, Sides::Both)).await;
        assert_eq!(gone, Err(Code::NotFriend), "{friend}");
        let gone = run(&store, change("a", friend, pin(true))).await;
        assert_eq!(gone, Err(Code::NotFriend), "{friend}");
    }
}

#[tokio::test]
async fn either_may_ask_again_after_one_deleted_the_other_and_nothing_of_the_kept_side_is_lost() {
    for asker in ["a", "b"] {
        let store = store();
        let other = if asker == "a" { "b" } else { "a" };
        make_friends(&store, "a", "b").await;
        run(&store, change("b", "a", remark("Al"))).await.unwrap();
        run(&store, unfriend("a", "b", Sides::One)).await.unwrap();
        run(&store, request(asker, other)).await.unwrap();
        run(&store, accept(other, asker)).await.unwrap();
        assert_eq!(ids(&store, "friends", "a").await, ["b"]);
        let kept: Friend = item(&store, "friends", "b", "a").await;
        assert_eq!(kept.remark, "Al");
        assert_people_in_step(&store).await;
    }
}

#[tokio::test]
async fn what_one_has_beside_a_friend_is_seen_by_nobody_else() {
    let store = store();
    make_friends(&store, "a", "b").await;
    let before = version(&store, "friends", "b").await;
    let all = FriendChange {
        remark: Some("Bobby".to_owned()),
        pinned: Some(true),
        extra: Some(Extra::parse("{\"k\":1}").unwrap()),
    };
    run(&store, change("a", "b", all)).await.unwrap();
    run(&store, change("a", "b", remark("Bo"))).await.unwrap();
    let friend: Friend = item(&store, "friends", "a", "b").await;
    assert_eq!(friend.remark, "Bo");
    assert!(friend.pinned);
    assert_eq!(friend.extra.as_str(), "{\"k\":1}");
    assert_eq!(version(&store, "friends", "b").await, before);
    // What is as it was takes no version.
    let before = version(&store, "friends", "a").await;
    run(&store, change("a", "b", pin(true))).await.unwrap();
    assert_eq!(version(&store, "friends", "a").await, before);
}

#[tokio::test]
async fn a_block_takes_back_what_waits_for_an_answer_and_leaves_friends_friends() {
    let store = store();
    make_friends(&store, "a", "f").await;
    run(&store, request("a", "b")).await.unwrap();
    run(&store, request("c", "a")).await.unwrap();
    run(&store, request("a", "d")).await.unwrap();
    run(&store, reject("d", "a", "no")).await.unwrap();
    for whom in ["b", "c", "d", "f"] {
        run(&store, block("a", whom)).await.unwrap();
        assert_people_in_step(&store).await;
    }
    assert_eq!(ids(&store, "friends", "a").await, ["f"]);
    assert_eq!(ids(&store, "friend_requests", "a").await, [""; 0]);
    assert_eq!(ids(&store, "friend_requests", "b").await, [""; 0]);
    assert_eq!(ids(&store, "sent_friend_requests", "a").await, ["d"]);
    let block_of_f: Block = item(&store, "blocks", "a", "f").await;
    assert_eq!((block_of_f.at_ms, block_of_f.by.as_str()), (NOW_MS, "a"));
    // Twice is once.
    let before = version(&store, "blocks", "a").await;
    let again = BlockUser::new(&actor("a"), user("a"), user("f"), NOW_MS + 9).unwrap();
    run(&store, again).await.unwrap();
    assert_eq!(version(&store, "blocks", "a").await, before);

    assert_eq!(run(&store, request("b", "a")).await, Err(Code::Blocked));
    run(&store, unblock("a", "b")).await.unwrap();
    run(&store, request("b", "a")).await.unwrap();
    let not = run(&store, unblock("a", "b")).await;
    assert_eq!(not, Err(Code::NotBlocked));
    let oneself = BlockUser::new(&actor("a"), user("a"), user("a"), NOW_MS);
    assert_eq!(
        refused(oneself),
        (Code::InvalidField, "blocked".to_owned(), 0)
    );
    run(&store, delete("z")).await.unwrap();
    assert_eq!(run(&store, block("a", "z")).await, Err(Code::UserNotFound));
    assert_people_in_step(&store).await;
}

#[tokio::test]
async fn friends_stand_pinned_first_then_by_remark_or_name_then_by_id() {
    let store = store();
    for (id, name) in [("1", "Zoe"), ("2", "anna"), ("3", "Bert"), ("5", "Carl")] {
        describe(&store, id, named(name)).await;
        make_friends(&store, "o", id).await;
    }
    make_friends(&store, "o", "bar").await;
    fan_out(&store).await;
    // The one without a name is called by their id.
    assert_eq!(
        ids(&store, "friends", "o").await,
        ["2", "bar", "3", "5", "1"]
    );
    run(&store, change("o", "1", remark("Aaron")))
        .await
        .unwrap();
    run(&store, change("o", "5", pin(true))).await.unwrap();
    assert_eq!(
        ids(&store, "friends", "o").await,
        ["5", "1", "2", "bar", "3"]
    );
    // A friend's other name moves them, unless they are called otherwise.
    describe(&store, "2", named("Xaver")).await;
    describe(&store, "1", named("Yan")).await;
    fan_out(&store).await;
    assert_eq!(
        ids(&store, "friends", "o").await,
        ["5", "1", "bar", "3", "2"]
    );
    assert_people_in_step(&store).await;
}

#[tokio::test]
async fn names_are_in_the_order_of_their_readers_language() {
    let store = store();
    let people = [("1", "张伟"), ("2", "李娜"), ("3", "王芳"), ("4", "Bob")];
    let umlauts = [("5", "Ärlig"), ("6", "Adler"), ("7", "Zorn")];
    for (id, name) in people.into_iter().chain(umlauts) {
        describe(&store, id, named(name)).await;
    }
    for (owner, locale, friends, expected) in [
        ("cn", "zh", people.map(|(id, _)| id).to_vec(), "2 3 1 4"),
        ("us", "en", people.map(|(id, _)| id).to_vec(), "4 1 2 3"),
        ("de", "de", umlauts.map(|(id, _)| id).to_vec(), "6 5 7"),
        ("se", "sv", umlauts.map(|(id, _)| id).to_vec(), "6 7 5"),
    ] {
        describe(&store, owner, in_locale(locale)).await;
        for friend in friends {
            make_friends(&store, owner, friend).await;
        }
        let order = ids(&store, "friends", owner).await.join(" ");
        assert_eq!(order, expected, "{locale}");
    }
}

/// OpenIM sends all ids again when one item moves.
#[tokio::test]
async fn a_move_in_the_order_costs_a_device_one_item() {
    let store = store();
    for at in 0..50 {
        make_friends(&store, "o", &format!("f{at:02}")).await;
    }
    let server = Running::start(store.clone()).await;
    let mut device = server.user("o").await;
    let copy = device.list("friends", "o").await;
    run(&store, change("o", "f40", pin(true))).await.unwrap();
    let Answer::Delta(delta) = device.ask(since("friends", "o", &copy)).await else {
        panic!("one friend moved");
    };
    assert_eq!(delta.rows.len(), 1);
    assert_eq!(delta.rows[0].id.as_str(), "f40");
    assert!(delta.deleted.is_empty());
    server.end().await;
}

/// With OpenIM, a profile's change overwrites the entry of the delete in the log.
#[tokio::test]
async fn deleting_on_one_side_and_a_changed_profile_still_tell_the_other_device_of_the_delete() {
    let store = store();
    for (owner, other) in [("a", "b"), ("b", "a")] {
        make_friends(&store, "a", "b").await;
        let server = Running::start(store.clone()).await;
        let mut device = server.user(owner).await;
        let copy = device.list("friends", owner).await;
        run(&store, unfriend(owner, other, Sides::One))
            .await
            .unwrap();
        for id in [owner, other] {
            describe(&store, id, named(&format!("{owner} {other} {id}"))).await;
        }
        fan_out(&store).await;
        let Answer::Delta(delta) = device.ask(since("friends", owner, &copy)).await else {
            panic!("a friend went");
        };
        assert_eq!(delta.deleted.len(), 1);
        assert_eq!(delta.deleted[0].as_str(), other);
        assert!(delta.rows.is_empty());
        assert_people_in_step(&store).await;
        server.end().await;
        run(&store, unfriend(other, owner, Sides::One))
            .await
            .unwrap();
    }
    assert_eq!(store.backlog().await.unwrap().jobs, 0);
}

/// OpenIM's devices pull them whole.
#[tokio::test]
async fn requests_and_blocks_come_to_a_device_as_what_changed() {
    let store = store();
    for id in ["x", "y"] {
        run(&store, request(id, "a")).await.unwrap();
        run(&store, block("a", &format!("{id}{id}"))).await.unwrap();
    }
    let server = Running::start(store.clone()).await;
    let mut device = server.user("a").await;
    let requests = device.list("friend_requests", "a").await;
    let blocks = device.list("blocks", "a").await;
    run(&store, request("z", "a")).await.unwrap();
    run(&store, reject("a", "x", "")).await.unwrap();
    run(&store, unblock("a", "yy")).await.unwrap();
    for (kind, copy, rows, deleted) in [
        ("friend_requests", &requests, vec!["z"], vec!["x"]),
        ("blocks", &blocks, vec![], vec!["yy"]),
    ] {
        let Answer::Delta(delta) = device.ask(since(kind, "a", copy)).await else {
            panic!("{kind} changed");
        };
        assert_eq!(crate::kit::ids(&delta.rows), rows);
        let gone: Vec<_> = delta.deleted.iter().map(|id| id.as_str()).collect();
        assert_eq!(gone, deleted);
    }
    server.end().await;
}
