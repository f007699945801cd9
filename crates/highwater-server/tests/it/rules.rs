//! What each role may do, operation by operation, on a store.

use crate::kit::{NOW_MS, store};
use highwater_core::reads::{ListState, PageLimit, Payloads, Reads as _};
use highwater_protocol::kinds::{
    Conversation, ConversationState, GroupProfile, Member, Payload as _, Role,
};
use highwater_protocol::{Code, ItemId, ListKey, Refusal, Version};
use highwater_server::domain::{
    Actor, Create, Describe, Description, Dismiss, GroupId, Invite, InviteOutcome, Join, Leave,
    Remove, RemoveOutcome, SetRole, UserId,
};
use highwater_store::memory::MemoryStore;
use highwater_store::{Store, Write, WriteError};
use std::collections::BTreeMap;

pub(crate) fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

pub(crate) fn group(id: &str) -> GroupId {
    GroupId::new(id).unwrap()
}

pub(crate) fn actor(id: &str) -> Actor {
    match id {
        "service" => Actor::Service,
        user_id => Actor::User(user(user_id)),
    }
}

fn profile(name: &str) -> GroupProfile {
    GroupProfile {
        name: name.to_owned(),
        description: String::new(),
        created_at_ms: NOW_MS,
        ..GroupProfile::default()
    }
}

pub(crate) async fn run<W: Write<Refusal = Refusal>>(
    store: &impl Store,
    operation: W,
) -> Result<W::Output, Code> {
    match store.write(NOW_MS, operation).await {
        Ok(committed) => Ok(committed.output),
        Err(WriteError::Refused(no)) => Err(no.code),
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn create(id: &str, owner: Option<&str>) -> Create {
    Create {
        actor: owner.map_or(Actor::Service, actor),
        group: group(id),
        owner: owner.map(user),
        profile: profile("G"),
    }
}

pub(crate) fn invite(asker: &str, id: &str, users: &[&str]) -> Invite {
    Invite {
        actor: actor(asker),
        group: group(id),
        users: users.iter().map(|id| user(id)).collect(),
        at_ms: NOW_MS,
    }
}

pub(crate) fn remove(asker: &str, id: &str, users: &[&str]) -> Remove {
    Remove {
        actor: actor(asker),
        group: group(id),
        users: users.iter().map(|id| user(id)).collect(),
    }
}

pub(crate) fn set_role(asker: &str, id: &str, of: &str, role: Role) -> SetRole {
    SetRole {
        actor: actor(asker),
        group: group(id),
        user: user(of),
        role,
    }
}

pub(crate) fn join(id: &str, who: &str) -> Join {
    Join::new(
        actor(who),
        group(id),
        user(who),
        String::new(),
        String::new(),
        NOW_MS,
    )
    .unwrap()
}

pub(crate) fn leave(id: &str, who: &str) -> Leave {
    Leave {
        actor: actor(who),
        group: group(id),
        user: user(who),
    }
}

pub(crate) fn dismiss(asker: &str, id: &str) -> Dismiss {
    Dismiss {
        actor: actor(asker),
        group: group(id),
    }
}

fn describe(asker: &str, id: &str, name: &str) -> Describe {
    let description = Description {
        name: Some(name.to_owned()),
        ..Description::default()
    };
    Describe::new(actor(asker), group(id), description).unwrap()
}

/// All elements of a list, in order; none if it is not there.
pub(crate) async fn rows(store: &impl Store, list: &ListKey) -> Vec<(ItemId, Vec<u8>)> {
    let snapshot = store.snapshot(std::slice::from_ref(list)).await.unwrap();
    if !matches!(snapshot.state(list).await.unwrap(), ListState::Live(_)) {
        return Vec::new();
    }
    let limit = PageLimit {
        rows: 100_000,
        bytes: usize::MAX,
    };
    let read = snapshot
        .scan(list, Version::new(u64::MAX), None, Payloads::All, limit)
        .await
        .unwrap();
    assert_eq!(read.next, None);
    let rows = read.rows.into_iter();
    rows.map(|item| (item.id, item.payload.to_vec())).collect()
}

/// The members of a group, in the list's order.
pub(crate) async fn members(store: &impl Store, id: &str) -> Vec<(String, Role)> {
    let rows = rows(store, &group(id).members()).await.into_iter();
    rows.filter(|(id, _)| !id.is_header())
        .map(|(id, payload)| {
            let member = Member::decode(&payload).unwrap();
            (id.to_string(), member.role)
        })
        .collect()
}

/// The groups of a user, in the list's order.
pub(crate) async fn groups(store: &impl Store, id: &str) -> Vec<String> {
    let rows = rows(store, &user(id).groups()).await.into_iter();
    rows.map(|(id, _)| id.to_string()).collect()
}

/// The groups whose conversation goes on for a user.
async fn spoken_in(store: &impl Store, id: &str) -> Vec<String> {
    let rows = rows(store, &user(id).conversations()).await.into_iter();
    rows.filter_map(|(id, payload)| {
        let group = id.as_str().strip_prefix("g:")?.to_owned();
        let conversation = Conversation::decode(&payload).unwrap();
        (conversation.state == ConversationState::Active).then_some(group)
    })
    .collect()
}

/// Each member of a live group has it in their list and as a conversation, and
/// each list holds no group beyond (once nothing is queued).
pub(crate) async fn assert_in_step(store: &impl Store) {
    let mut joined = BTreeMap::<String, Vec<String>>::new();
    let mut held = BTreeMap::<String, Vec<String>>::new();
    let mut spoken = BTreeMap::<String, Vec<String>>::new();
    for line in store.lists(None, 100_000).await.unwrap() {
        let owner = line.list.owner.to_string();
        match line.list.kind.as_str() {
            "members" => {
                for (id, _) in members(store, &owner).await {
                    joined.entry(id).or_default().push(owner.clone());
                }
            }
            "groups" => drop(held.insert(owner.clone(), groups(store, &owner).await)),
            "conversations" => {
                spoken.insert(owner.clone(), spoken_in(store, &owner).await);
            }
            _ => {}
        }
    }
    for lists in [&mut joined, &mut held, &mut spoken] {
        lists.retain(|_, groups| !groups.is_empty());
        lists.values_mut().for_each(|groups| groups.sort());
    }
    assert_eq!(joined, held);
    assert_eq!(joined, spoken);
}

/// A group with an owner `o`, admins `a` and `b`, members `m` and `n`; `x` is
/// not in it.
async fn staffed() -> MemoryStore {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, invite("o", "g", &["a", "b", "m", "n"]))
        .await
        .unwrap();
    for admin in ["a", "b"] {
        run(&store, set_role("o", "g", admin, Role::Admin))
            .await
            .unwrap();
    }
    store
}

/// The askers of the tables below, from the highest.
const ASKERS: [&str; 5] = ["service", "o", "a", "m", "x"];

#[tokio::test]
async fn who_may_describe_dismiss_and_invite() {
    use Code::{Forbidden, GroupNotFound};
    let yes = None;
    let table = [
        (
            "describe",
            [yes, yes, yes, Some(Forbidden), Some(GroupNotFound)],
        ),
        (
            "dismiss",
            [
                yes,
                yes,
                Some(Forbidden),
                Some(Forbidden),
                Some(GroupNotFound),
            ],
        ),
        (
            "invite",
            [yes, yes, yes, Some(Forbidden), Some(GroupNotFound)],
        ),
    ];
    for (operation, expected) in table {
        for (asker, expected) in ASKERS.into_iter().zip(expected) {
            let store = staffed().await;
            let before = members(&store, "g").await;
            let result = match operation {
                "describe" => run(&store, describe(asker, "g", "H")).await,
                "dismiss" => run(&store, dismiss(asker, "g")).await,
                _ => run(&store, invite(asker, "g", &["y"])).await.map(|_| ()),
            };
            assert_eq!(result.err(), expected, "{operation} by {asker}");
            if expected.is_some() {
                assert_eq!(members(&store, "g").await, before);
                assert_in_step(&store).await;
            }
        }
    }
}

#[tokio::test]
async fn who_may_remove_whom() {
    use RemoveOutcome::{Forbidden, NotMember, OwnerRequired, Removed};
    let whom = ["o", "a", "b", "m", "n", "x"];
    let table = [
        (
            "service",
            [OwnerRequired, Removed, Removed, Removed, Removed, NotMember],
        ),
        (
            "o",
            [Forbidden, Removed, Removed, Removed, Removed, NotMember],
        ),
        (
            "a",
            [Forbidden, Forbidden, Forbidden, Removed, Removed, NotMember],
        ),
    ];
    for (asker, expected) in table {
        for (whom, expected) in whom.into_iter().zip(expected) {
            let store = staffed().await;
            let outcome = run(&store, remove(asker, "g", &[whom])).await;
            assert_eq!(outcome, Ok(vec![expected]), "{asker} removes {whom}");
            let left = members(&store, "g").await.len();
            assert_eq!(left, if expected == Removed { 4 } else { 5 });
            assert_in_step(&store).await;
        }
    }
    for (asker, code) in [("m", Code::Forbidden), ("x", Code::GroupNotFound)] {
        let store = staffed().await;
        assert_eq!(run(&store, remove(asker, "g", &["n"])).await, Err(code));
    }
}

#[tokio::test]
async fn who_may_change_a_role() {
    use Code::{Forbidden, GroupNotFound, NotMember, OwnerRequired};
    let askers = [
        ("service", None),
        ("o", None),
        ("a", Some(Forbidden)),
        ("m", Some(Forbidden)),
        ("x", Some(GroupNotFound)),
    ];
    for (asker, refused) in askers {
        for (whom, role, then) in [
            ("m", Role::Admin, None),
            ("a", Role::Member, None),
            ("m", Role::Owner, None),
            ("m", Role::Member, None),
            ("o", Role::Owner, None),
            ("o", Role::Admin, Some(OwnerRequired)),
            ("x", Role::Admin, Some(NotMember)),
        ] {
            let store = staffed().await;
            let result = run(&store, set_role(asker, "g", whom, role)).await;
            assert_eq!(
                result.err(),
                refused.or(then),
                "{asker} makes {whom} {role:?}"
            );
            let members = members(&store, "g").await;
            let owners = members.iter().filter(|(_, role)| *role == Role::Owner);
            assert_eq!(owners.count(), 1);
            if refused.or(then).is_none() {
                assert!(members.contains(&(whom.to_owned(), role)));
            }
        }
    }
}

#[tokio::test]
async fn a_group_that_is_handed_over_has_one_owner_and_the_old_one_is_an_admin() {
    let store = staffed().await;
    run(&store, set_role("o", "g", "m", Role::Owner))
        .await
        .unwrap();
    let expected = [
        ("m", Role::Owner),
        ("a", Role::Admin),
        ("b", Role::Admin),
        ("o", Role::Admin),
        ("n", Role::Member),
    ];
    let expected = expected.map(|(id, role)| (id.to_owned(), role));
    assert_eq!(members(&store, "g").await, expected);
    let late = run(&store, set_role("o", "g", "a", Role::Owner)).await;
    assert_eq!(late, Err(Code::Forbidden));
}

#[tokio::test]
async fn the_owner_stays_while_others_do_and_the_group_ends_with_its_last_member() {
    let store = staffed().await;
    assert_eq!(run(&store, leave("g", "x")).await, Err(Code::NotMember));
    assert_eq!(run(&store, leave("g", "o")).await, Err(Code::OwnerRequired));
    for id in ["a", "b", "m", "n"] {
        assert_eq!(run(&store, leave("g", id)).await, Ok(false));
        assert_eq!(groups(&store, id).await, Vec::<String>::new());
        assert_in_step(&store).await;
    }
    assert_eq!(run(&store, leave("g", "o")).await, Ok(true));
    assert_in_step(&store).await;
    assert_eq!(run(&store, join("g", "x")).await, Err(Code::GroupNotFound));
    run(&store, create("g", Some("x"))).await.unwrap();
    assert_eq!(members(&store, "g").await, [("x".to_owned(), Role::Owner)]);
    assert_in_step(&store).await;
}

#[tokio::test]
async fn one_of_several_owners_may_go_and_the_last_may_not() {
    let store = staffed().await;
    // Only an import records more than one owner.
    crate::import::import(
        &store,
        r#"[{"op":"role","group":"g","user":"a","role":"owner"}]"#,
    )
    .await
    .unwrap();
    assert_eq!(
        run(&store, remove("o", "g", &["a"])).await,
        Ok(vec![RemoveOutcome::Forbidden])
    );
    assert_eq!(run(&store, leave("g", "o")).await, Ok(false));
    assert_eq!(run(&store, leave("g", "a")).await, Err(Code::OwnerRequired));
}

#[tokio::test]
async fn making_one_of_several_owners_the_owner_leaves_one() {
    let store = staffed().await;
    crate::import::import(
        &store,
        r#"[{"op":"role","group":"g","user":"a","role":"owner"},
            {"op":"role","group":"g","user":"b","role":"owner"}]"#,
    )
    .await
    .unwrap();
    run(&store, set_role("service", "g", "b", Role::Owner))
        .await
        .unwrap();
    let owners: Vec<_> = members(&store, "g").await;
    let owners = owners.iter().filter(|(_, role)| *role == Role::Owner);
    assert_eq!(owners.map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn whoever_is_in_is_not_added_twice() {
    let store = staffed().await;
    use InviteOutcome::{Added, AlreadyMember};
    let outcomes = run(&store, invite("a", "g", &["y", "m", "y", "o"])).await;
    assert_eq!(
        outcomes,
        Ok(vec![Added, AlreadyMember, AlreadyMember, AlreadyMember])
    );
    assert_eq!(run(&store, join("g", "y")).await, Err(Code::AlreadyMember));
    assert_eq!(
        run(&store, create("g", Some("y"))).await,
        Err(Code::GroupExists)
    );
    assert_in_step(&store).await;
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let store = staffed().await;
    use Code::GroupNotFound;
    for asker in ["service", "o"] {
        assert_eq!(
            run(&store, describe(asker, "h", "H")).await,
            Err(GroupNotFound)
        );
        assert_eq!(run(&store, dismiss(asker, "h")).await, Err(GroupNotFound));
        assert_eq!(
            run(&store, invite(asker, "h", &["y"])).await,
            Err(GroupNotFound)
        );
        assert_eq!(
            run(&store, remove(asker, "h", &["y"])).await,
            Err(GroupNotFound)
        );
        let role = set_role(asker, "h", "y", Role::Admin);
        assert_eq!(run(&store, role).await, Err(GroupNotFound));
    }
    assert_eq!(run(&store, leave("h", "o")).await, Err(Code::NotMember));
    // One of members, five of groups, five of conversations.
    assert_eq!(store.lists(None, 100).await.unwrap().len(), 11);
}

#[tokio::test]
async fn a_new_name_changes_the_header_alone() {
    let store = staffed().await;
    let list = group("g").members();
    let before = rows(&store, &list).await;
    let committed = store
        .write(NOW_MS, describe("a", "g", "New"))
        .await
        .unwrap();
    let changed: Vec<_> = committed
        .states
        .iter()
        .map(|(list, _)| list.to_string())
        .collect();
    assert_eq!(changed, ["members/g"]);
    let after = rows(&store, &list).await;
    assert_eq!(after[1..], before[1..]);
    assert_eq!(GroupProfile::decode(&after[0].1).unwrap(), profile("New"));
    // The same name again is no change at all.
    let again = store
        .write(NOW_MS, describe("a", "g", "New"))
        .await
        .unwrap();
    assert_eq!(again.states, []);
}

#[tokio::test]
async fn members_stand_by_role_and_time_and_groups_newest_first() {
    let store = staffed().await;
    let order = members(&store, "g").await;
    let order: Vec<_> = order.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(order, ["o", "a", "b", "m", "n"]);
    for (at, id) in [(1, "early"), (3, "late"), (2, "middle")] {
        let create = Create {
            profile: GroupProfile {
                created_at_ms: NOW_MS + at,
                ..profile(id)
            },
            ..create(id, Some("o"))
        };
        run(&store, create).await.unwrap();
    }
    assert_eq!(groups(&store, "o").await, ["late", "middle", "early", "g"]);
}
