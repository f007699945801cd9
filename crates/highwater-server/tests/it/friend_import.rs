//! Friendships that a service imports.

use crate::kit::{NOW_MS, store};
use crate::people::{assert_people_in_step, delete, ids, item, make_friends, refused, request};
use crate::rules::{actor, run};
use highwater_protocol::kinds::Friend;
use highwater_protocol::{Code, Refusal};
use highwater_server::domain::{CheckedPair, FriendPair, ImportFriendOutcome, ImportFriends};
use highwater_store::{Store as _, WriteError};

fn pair(user: &str, friend: &str) -> FriendPair {
    FriendPair {
        user: user.to_owned(),
        friend: friend.to_owned(),
        ..FriendPair::default()
    }
}

fn import(pairs: Vec<FriendPair>, partial: bool) -> Result<ImportFriends, Refusal> {
    let pairs = CheckedPair::all(&actor("service"), pairs, partial, NOW_MS)?;
    Ok(ImportFriends::new(pairs, partial))
}

fn refusal(outcome: &ImportFriendOutcome) -> Option<(&str, &str)> {
    match outcome {
        ImportFriendOutcome::Added => None,
        ImportFriendOutcome::Refused { code, field, .. } => Some((code, field)),
    }
}

#[tokio::test]
async fn imported_friends_are_friends_and_what_they_asked_is_answered() {
    let store = store();
    run(&store, request("a", "b")).await.unwrap();
    let old = FriendPair {
        since_ms: Some(7),
        source: "school".to_owned(),
        ..pair("a", "b")
    };
    let outcomes = run(&store, import(vec![old, pair("a", "c")], false).unwrap());
    assert_eq!(
        outcomes.await.unwrap(),
        [const { ImportFriendOutcome::Added }; 2]
    );
    let friend: Friend = item(&store, "friends", "b", "a").await;
    assert_eq!(
        (friend.since_ms, friend.source.as_str(), friend.by.as_str()),
        (7, "school", "")
    );
    let friend: Friend = item(&store, "friends", "c", "a").await;
    assert_eq!(friend.since_ms, NOW_MS);
    assert_eq!(ids(&store, "friend_requests", "b").await, [""; 0]);
    assert_people_in_step(&store).await;
}

#[tokio::test]
async fn a_pair_that_contradicts_is_named_and_undoes_its_transaction() {
    let store = store();
    make_friends(&store, "a", "b").await;
    let pairs = vec![pair("x", "y"), pair("b", "a")];
    let refused = store.write(NOW_MS, import(pairs, false).unwrap()).await;
    let Err(WriteError::Refused(no)) = refused else {
        panic!("they are friends");
    };
    assert_eq!(
        (no.code, no.field.as_str()),
        (Code::AlreadyFriends, "pairs[1].friend")
    );
    assert_eq!(ids(&store, "friends", "x").await, [""; 0]);
}

#[tokio::test]
async fn a_partial_import_does_what_it_can_and_says_what_it_could_not() {
    let store = store();
    run(&store, delete("gone")).await.unwrap();
    let pairs = vec![
        pair("a", "b"),
        pair("a", "a"),
        pair("b", "a"),
        pair("", "a"),
        pair("a", "gone"),
        pair("a", "c"),
    ];
    let outcomes = run(&store, import(pairs, true).unwrap()).await.unwrap();
    let refusals: Vec<_> = outcomes.iter().map(refusal).collect();
    let expected = [
        None,
        Some(("invalid_field", "pairs[1].friend")),
        Some(("already_friends", "pairs[2].friend")),
        Some(("invalid_field", "pairs[3].user")),
        Some(("user_not_found", "pairs[4].friend")),
        None,
    ];
    assert_eq!(refusals, expected);
    assert_eq!(ids(&store, "friends", "a").await, ["b", "c"]);
    assert_people_in_step(&store).await;
}

#[test]
fn what_is_wrong_in_form_is_refused_by_index_and_only_services_import() {
    let one = |wrong: FriendPair| refused(import(vec![pair("a", "b"), wrong], false));
    let large = |field: &str, limit| (Code::TooLarge, field.to_owned(), limit);
    let invalid = |field: &str| (Code::InvalidField, field.to_owned(), 0);
    assert_eq!(one(pair("a", "a")), invalid("pairs[1].friend"));
    assert_eq!(one(pair("", "a")), invalid("pairs[1].user"));
    assert_eq!(
        one(pair("a", &"x".repeat(121))),
        large("pairs[1].friend", 120)
    );
    let source = FriendPair {
        source: "s".repeat(65),
        ..pair("a", "c")
    };
    assert_eq!(one(source), large("pairs[1].source", 64));
    let since_ms = FriendPair {
        since_ms: Some(-1),
        ..pair("a", "c")
    };
    assert_eq!(one(since_ms), invalid("pairs[1].since_ms"));
    let many = import(vec![pair("a", "b"); 1_001], true);
    assert_eq!(refused(many), (Code::TooMany, "pairs".to_owned(), 1_000));
    let user = CheckedPair::all(&actor("a"), vec![pair("a", "b")], true, NOW_MS);
    assert_eq!(refused(user).0, Code::Forbidden);
}
