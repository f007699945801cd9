//! A user goes, and nothing of them stays where others look.

use crate::faulty::Faulty;
use crate::kit::{Hands, Running, key, since, store};
use crate::people::{
    Put, PutAll, accept, assert_people_in_step, block, converse, delete, describe, fan_out, ids,
    item, make_friends, named, put, reject, request,
};
use crate::rules::{assert_in_step, create, groups, invite, join, members, rows, run, set_role};
use highwater_protocol::Code;
use highwater_protocol::kinds::{
    Conversation, ConversationState, ConversationType, JoinRequest, Member, Payload as _, Role,
};
use highwater_protocol::message::{Answer, GoneReason};
use highwater_server::domain::FanOut;
use highwater_store::Store;
use highwater_store::memory::MemoryStore;

/// User `u` has one of everything.
async fn at_home() -> MemoryStore {
    let store = store();
    describe(&store, "u", named("Una")).await;
    make_friends(&store, "u", "friend").await;
    make_friends(&store, "friend", "other").await;
    run(&store, request("u", "asked")).await.unwrap();
    run(&store, request("asks", "u")).await.unwrap();
    run(&store, request("u", "rejects")).await.unwrap();
    run(&store, reject("rejects", "u", "no")).await.unwrap();
    run(&store, block("blocks", "u")).await.unwrap();
    run(&store, block("u", "blocked")).await.unwrap();
    for (owner, other) in [("talks", "u"), ("u", "talks")] {
        converse(&store, owner, other).await;
    }
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, join("g", "u")).await.unwrap();
    let request = JoinRequest::default().encode();
    put(&store, "join_requests", "i", "u", request.clone()).await;
    put(&store, "sent_join_requests", "u", "i", request).await;
    fan_out(&store).await;
    store
}

const OWN: [&str; 9] = [
    "profile",
    "friends",
    "friend_requests",
    "sent_friend_requests",
    "blocks",
    "groups",
    "sent_join_requests",
    "conversations",
    "holders",
];

/// Nothing of `u` is left but a conversation that is over.
async fn assert_gone(store: &impl Store) {
    for kind in OWN {
        assert!(rows(store, &key(kind, "u")).await.is_empty(), "{kind}/u");
    }
    for line in store.lists(None, 10_000).await.unwrap() {
        for (id, _) in rows(store, &line.list).await {
            assert_ne!(id.as_str(), "u", "in {}", line.list);
        }
        if line.list.owner.as_str() == "u" {
            assert_eq!(line.tombstones, 0, "{}", line.list);
        }
    }
    let talk: Conversation = item(store, "conversations", "talks", "u:u").await;
    assert_eq!(talk.state, ConversationState::Ended);
    assert_eq!(ids(store, "friends", "friend").await, ["other"]);
    assert_eq!(members(store, "g").await, [("o".to_owned(), Role::Owner)]);
    assert_people_in_step(store).await;
    assert_in_step(store).await;
}

#[tokio::test]
async fn a_deleted_user_leaves_all_lists_and_their_own_end() {
    let store = at_home().await;
    let committed = store.write(crate::kit::NOW_MS, delete("u")).await.unwrap();
    assert_eq!(committed.states.len(), 1);
    fan_out(&store).await;
    assert_gone(&store).await;
}

#[tokio::test]
async fn a_worker_that_dies_anywhere_is_followed_by_one_that_finishes() {
    let mut died_until = 0;
    for budget in 0..40 {
        let store = at_home().await;
        run(&store, delete("u")).await.unwrap();
        let dying = Faulty::new(&store).with_writes(budget);
        let died = FanOut::new(dying).finish(&Hands::new().clock()).await;
        if died.is_err() {
            died_until = budget;
        }
        fan_out(&store).await;
        assert_gone(&store).await;
    }
    assert!((10..39).contains(&died_until), "{died_until}");
}

#[tokio::test]
async fn nothing_new_names_a_user_who_is_being_deleted() {
    let store = at_home().await;
    run(&store, delete("u")).await.unwrap();
    let gone = Some(Code::UserNotFound);
    assert_eq!(run(&store, request("x", "u")).await.err(), gone);
    assert_eq!(run(&store, request("u", "x")).await.err(), gone);
    assert_eq!(run(&store, accept("u", "asks")).await.err(), gone);
    assert_eq!(run(&store, accept("asked", "u")).await.err(), gone);
    assert_eq!(run(&store, block("x", "u")).await.err(), gone);
    assert_eq!(run(&store, block("u", "x")).await.err(), gone);
    fan_out(&store).await;
    assert_gone(&store).await;
}

#[tokio::test]
async fn a_group_goes_to_the_oldest_admin_or_member_or_ends_with_its_last() {
    let store = store();
    for id in ["alone", "members", "admins", "owners"] {
        run(&store, create(id, Some("u"))).await.unwrap();
    }
    for id in ["members", "admins", "owners"] {
        run(&store, invite("u", id, &["m1", "m2"])).await.unwrap();
    }
    run(&store, set_role("u", "admins", "m2", Role::Admin))
        .await
        .unwrap();
    let owner = Member {
        role: Role::Owner,
        ..Member::default()
    };
    put(&store, "members", "owners", "x", owner.encode()).await;
    run(&store, delete("u")).await.unwrap();
    fan_out(&store).await;
    let role = async |group: &str, of: &str| {
        let members = members(&store, group).await;
        let found = members.into_iter().find(|(id, _)| id == of);
        found.map(|(_, role)| role)
    };
    assert_eq!(members(&store, "alone").await, []);
    assert_eq!(role("members", "m1").await, Some(Role::Owner));
    assert_eq!(role("members", "m2").await, Some(Role::Member));
    assert_eq!(role("admins", "m2").await, Some(Role::Owner));
    assert_eq!(role("admins", "m1").await, Some(Role::Member));
    assert_eq!(role("owners", "m1").await, Some(Role::Member));
    for group in ["members", "admins", "owners"] {
        assert_eq!(role(group, "u").await, None);
    }
    assert_eq!(groups(&store, "u").await, [""; 0]);
}

#[tokio::test]
async fn devices_learn_that_a_friend_is_deleted_and_that_they_are() {
    let store = at_home().await;
    let server = Running::start(store.clone()).await;
    let (mut friend, mut own) = (server.user("friend").await, server.user("u").await);
    let friends = friend.list("friends", "friend").await;
    let mine = own.list("friends", "u").await;
    run(&store, delete("u")).await.unwrap();
    fan_out(&store).await;
    let Answer::Delta(delta) = friend.ask(since("friends", "friend", &friends)).await else {
        panic!("a friend went");
    };
    assert_eq!(delta.deleted.len(), 1);
    assert_eq!(delta.deleted[0].as_str(), "u");
    let gone = own.ask(since("friends", "u", &mine)).await;
    assert_eq!(gone, Answer::Gone(GoneReason::Deleted));
    server.end().await;
}

#[tokio::test]
async fn a_user_of_the_same_id_begins_anew() {
    let store = at_home().await;
    run(&store, delete("u")).await.unwrap();
    fan_out(&store).await;
    describe(&store, "u", named("Ulla")).await;
    make_friends(&store, "u", "friend").await;
    fan_out(&store).await;
    assert_eq!(ids(&store, "friends", "u").await, ["friend"]);
    // The conversation with the former u is not hers.
    let talk: Conversation = item(&store, "conversations", "talks", "u:u").await;
    assert_ne!(talk.name, "Ulla");
    assert_people_in_step(&store).await;
}

/// A write that began before may still come: of whatever it names, nobody is held
/// by one who is gone.
#[tokio::test]
async fn what_comes_between_is_taken_along() {
    let conversation = Conversation {
        r#type: ConversationType::User,
        ..Conversation::default()
    };
    for writes in 0..12 {
        let put = |kind: &str, owner: &str, id: &str, payload| Put {
            list: key(kind, owner),
            id: id.to_owned(),
            payload,
        };
        let puts = PutAll(vec![
            put("conversations", "u", "u:late", conversation.encode()),
            put("holders", "late", "u", vec![16]),
        ]);
        let store = at_home().await;
        run(&store, delete("u")).await.unwrap();
        let intruded = Faulty::new(&store).with_intrusion(writes, puts);
        let fan_out = FanOut::new(intruded);
        fan_out.finish(&Hands::new().clock()).await.unwrap();
        if ids(&store, "conversations", "u").await.is_empty() {
            assert_gone(&store).await;
        } else {
            // It came after the end, to a user of the same id.
            assert_people_in_step(&store).await;
        }
    }
}
