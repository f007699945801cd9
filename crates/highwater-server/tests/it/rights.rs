//! Who may read what: the rules, and that what is remembered of them is exact.

use crate::kit::{Running, ids, key, scan, since, store};
use crate::rules::{
    actor, assert_in_step, create, dismiss, group, groups, invite, join, leave, members, remove,
    rows, run, set_role, user,
};
use highwater_core::answer::Access;
use highwater_core::reads::ListState;
use highwater_protocol::kinds::{Circle, GroupProfile, Payload as _, Role};
use highwater_protocol::message::{Answer, DeltaEnd, GoneReason};
use highwater_protocol::{Code, ListKey};
use highwater_server::domain::{Actor, FanOut, Held, Rights, Rules, SetRules, beside};
use highwater_store::Store as _;
use highwater_store::memory::MemoryStore;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::collections::BTreeMap;

async fn decide(rights: &Rights, store: &MemoryStore, actor: &Actor, list: &ListKey) -> Access {
    let snapshot = store.snapshot(std::slice::from_ref(list)).await.unwrap();
    let mut decided = rights.decide(actor, &snapshot, &[list]).await.unwrap();
    decided.remove(0)
}

fn recalls(rights: &Rights, store: &MemoryStore, id: &str, list: &ListKey) -> bool {
    let actor = Actor::User(user(id));
    let own = store.cached_states(&[user(id).groups()]).unwrap();
    let states = store.cached_states(&beside(&actor, [list])).unwrap();
    let held = Held {
        own: Some(&own[0]),
        lists: &[list],
        beside: &states,
    };
    rights.recalls(&actor, held)
}

fn seen_by(asker: &str, id: &str, circle: Circle) -> SetRules {
    let rules = Rules {
        seen_by: Some(circle),
        ..Rules::default()
    };
    SetRules::new(actor(asker), group(id), rules).unwrap()
}

#[tokio::test]
async fn where_members_are_hidden_a_member_reads_the_header_and_nothing_is_remembered() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    for id in ["a", "m"] {
        run(&store, join("g", id)).await.unwrap();
    }
    run(&store, set_role("o", "g", "a", Role::Admin))
        .await
        .unwrap();
    let rights = Rights::new(100);
    let (list, activity) = (key("members", "g"), key("activity", "g"));
    let access = async |id: &str| decide(&rights, &store, &Actor::User(user(id)), &list).await;
    assert_eq!(access("m").await, Access::Read);
    assert!(recalls(&rights, &store, "m", &list));
    assert!(recalls(&rights, &store, "m", &activity));
    run(&store, seen_by("o", "g", Circle::Admins))
        .await
        .unwrap();
    for id in ["o", "a", "m"] {
        let expected = match id {
            "m" => Access::Header,
            _ => Access::Read,
        };
        assert!(!recalls(&rights, &store, id, &list));
        assert_eq!(access(id).await, expected, "{id}");
        assert!(!recalls(&rights, &store, id, &list));
        let may = decide(&rights, &store, &Actor::User(user(id)), &activity).await;
        assert_eq!(may, Access::Read);
    }
    assert_eq!(access("x").await, Access::Denied);
    run(&store, seen_by("o", "g", Circle::Members))
        .await
        .unwrap();
    assert!(!recalls(&rights, &store, "m", &list));
    assert_eq!(access("m").await, Access::Read);
    assert!(recalls(&rights, &store, "m", &list));
}

/// Over the wire: the member's device keeps what the group says, and loses the
/// members, and a list read whole shows no more.
#[tokio::test]
async fn hidden_members_are_not_sent_in_any_answer() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    for id in ["m", "n"] {
        run(&store, join("g", id)).await.unwrap();
    }
    let server = Running::start(store.clone()).await;
    let mut member = server.user("m").await;
    let copy = member.list("members", "g").await;
    assert_eq!(ids(&copy.rows), ["", "o", "m", "n"]);
    let reply = member.get("/v1/groups/g").await.ok();
    assert_eq!(reply.json()["members"], 3);
    run(&store, seen_by("o", "g", Circle::Admins))
        .await
        .unwrap();
    let Answer::Delta(delta) = member.ask(since("members", "g", &copy)).await else {
        panic!("the header has changed");
    };
    assert_eq!(ids(&delta.rows), [""]);
    // The proof is the view's: the device finds that its copy holds too much.
    let whole = member.list("members", "g").await;
    assert_eq!((ids(&whole.rows), whole.head.count), (vec![""], 1));
    assert_eq!(delta.end, DeltaEnd::Proof(whole.head.digest, 1));
    assert_eq!(
        member.ask(since("members", "g", &whole)).await,
        Answer::Aligned
    );
    let Answer::Scan(page) = member.ask(scan("members", "g")).await else {
        panic!("a scan is answered");
    };
    assert_eq!((ids(&page.rows), page.total), (vec![""], 1));
    let reply = member.get("/v1/groups/g").await.ok();
    assert_eq!(reply.json()["members"], serde_json::Value::Null);
    let whole = server.user("o").await.list("members", "g").await;
    assert_eq!(whole.rows.len(), 4);
    server.end().await;
}

#[tokio::test]
async fn a_user_reads_their_own_list_and_those_of_their_groups() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, join("g", "m")).await.unwrap();
    let rights = Rights::new(100);
    let table = [
        ("m", "activity", "g", true),
        ("x", "activity", "g", false),
        ("m", "join_requests", "g", false),
        ("o", "join_requests", "g", true),
        ("x", "join_requests", "g", false),
        ("x", "sent_join_requests", "x", true),
        ("o", "sent_join_requests", "x", false),
        ("m", "groups", "m", true),
        ("m", "groups", "o", false),
        ("m", "groups", "nobody", false),
        ("m", "members", "g", true),
        ("m", "members", "h", false),
        ("o", "members", "g", true),
        ("x", "members", "g", false),
        ("x", "groups", "x", true),
    ];
    for (reader, kind, owner, may) in table {
        let actor = Actor::User(user(reader));
        let access = decide(&rights, &store, &actor, &key(kind, owner)).await;
        let expected = if may { Access::Read } else { Access::Denied };
        assert_eq!(access, expected, "{reader} reads {kind}/{owner}");
        let service = decide(&rights, &store, &Actor::Service, &key(kind, owner)).await;
        assert_eq!(service, Access::Read);
    }
    // What the server keeps for itself is no kind to a reader.
    for kind in ["planets", "holders", "rights"] {
        for actor in [Actor::User(user("m")), Actor::Service] {
            let access = decide(&rights, &store, &actor, &key(kind, "m")).await;
            let Access::Refused(no) = access else {
                panic!("there is no kind {kind}");
            };
            assert_eq!(
                (no.code, no.field.as_str()),
                (Code::UnknownKind, "lists[0].kind")
            );
        }
    }
}

#[tokio::test]
async fn the_lists_that_a_user_owns_are_read_by_them_and_by_services() {
    let store = store();
    let rights = Rights::new(100);
    for kind in [
        "profile",
        "friends",
        "friend_requests",
        "sent_friend_requests",
        "blocks",
        "groups",
        "sent_join_requests",
        "conversations",
    ] {
        for (actor, expected) in [
            (Actor::User(user("m")), Access::Read),
            (Actor::User(user("n")), Access::Denied),
            (Actor::Service, Access::Read),
        ] {
            let access = decide(&rights, &store, &actor, &key(kind, "m")).await;
            assert_eq!(access, expected, "{actor:?} reads {kind}/m");
        }
    }
}

#[tokio::test]
async fn a_right_is_remembered_until_the_users_list_moves_or_the_group_ends() {
    let store = store();
    let (list, m) = (key("members", "g"), Actor::User(user("m")));
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, join("g", "m")).await.unwrap();
    let rights = Rights::new(100);
    assert!(!recalls(&rights, &store, "m", &list));
    assert_eq!(decide(&rights, &store, &m, &list).await, Access::Read);
    assert!(recalls(&rights, &store, "m", &list));
    // What happens to others changes nothing.
    run(&store, join("g", "n")).await.unwrap();
    run(&store, set_role("o", "g", "m", Role::Admin))
        .await
        .unwrap();
    assert!(recalls(&rights, &store, "m", &list));
    // What happens to the user does.
    run(&store, create("h", Some("m"))).await.unwrap();
    assert!(!recalls(&rights, &store, "m", &list));
    assert_eq!(decide(&rights, &store, &m, &list).await, Access::Read);
    assert!(recalls(&rights, &store, "m", &list));
    run(&store, remove("o", "g", &["m"])).await.unwrap();
    assert!(!recalls(&rights, &store, "m", &list));
    assert_eq!(decide(&rights, &store, &m, &list).await, Access::Denied);
    assert!(!recalls(&rights, &store, "m", &list));
}

#[tokio::test]
async fn a_group_created_again_before_the_fan_out_is_not_its_old_members_to_read() {
    let store = store();
    let (list, m) = (key("members", "g"), Actor::User(user("m")));
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, join("g", "m")).await.unwrap();
    let rights = Rights::new(100);
    assert_eq!(decide(&rights, &store, &m, &list).await, Access::Read);
    run(&store, dismiss("o", "g")).await.unwrap();
    assert!(!recalls(&rights, &store, "m", &list));
    assert_eq!(decide(&rights, &store, &m, &list).await, Access::Denied);
    run(&store, create("g", Some("o"))).await.unwrap();
    // Their own list still holds the group, at the very same point.
    assert_eq!(groups(&store, "m").await, ["g"]);
    assert!(!recalls(&rights, &store, "m", &list));
    assert_eq!(decide(&rights, &store, &m, &list).await, Access::Denied);
}

/// Joining again, at the same instant, a group whose old row is still there
/// leaves the same row; what was remembered of the time before must not hold.
#[tokio::test]
async fn entering_a_group_moves_the_users_list_even_if_its_row_stays_the_same() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, join("g", "m")).await.unwrap();
    run(&store, dismiss("o", "g")).await.unwrap();
    run(&store, create("g", Some("o"))).await.unwrap();
    let own = user("m").groups();
    let version = || match store.cached_states(std::slice::from_ref(&own)).unwrap()[0] {
        ListState::Live(head) => head.version,
        state => panic!("{state:?}"),
    };
    let before = version();
    run(&store, join("g", "m")).await.unwrap();
    assert!(version() > before);
}

/// States of all lists at one commit, who was in which group then, and whether
/// all of them saw one another.
struct Commit {
    states: BTreeMap<ListKey, ListState>,
    members: BTreeMap<String, Vec<(String, Role)>>,
    seen: BTreeMap<String, bool>,
}

async fn all_see(store: &MemoryStore, id: &str) -> bool {
    match rows(store, &group(id).members()).await.first() {
        Some((_, header)) => {
            let profile = GroupProfile::decode(header).unwrap();
            profile.seen_by != Some(Circle::Admins)
        }
        None => false,
    }
}

const USERS: [&str; 4] = ["u0", "u1", "u2", "u3"];
const GROUPS: [&str; 3] = ["g0", "g1", "g2"];

async fn commit(store: &MemoryStore) -> Commit {
    let mut members_of = BTreeMap::new();
    let mut seen = BTreeMap::new();
    let mut keys = Vec::new();
    for id in GROUPS {
        members_of.insert(id.to_owned(), members(store, id).await);
        seen.insert(id.to_owned(), all_see(store, id).await);
        keys.extend([group(id).members(), group(id).rights()]);
    }
    keys.extend(USERS.map(|id| user(id).groups()));
    let states = store.cached_states(&keys).unwrap();
    Commit {
        states: keys.into_iter().zip(states).collect(),
        members: members_of,
        seen,
    }
}

/// I8: over random histories with dismissals, re-creations, late fan-out, and
/// changes of who may see the members,
/// what is remembered never says more than the truth, at any commit, be it
/// before or after the one that it was learned at.
#[test]
fn i8_what_is_remembered_is_true_at_every_commit_with_the_same_point() {
    let step = (0..12u8, 0..GROUPS.len(), 0..USERS.len(), 0..1_000usize);
    let history = proptest::collection::vec(step, 1..120);
    let config = Config {
        cases: 96,
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let remembered = Cell::new(0);
    TestRunner::new(config)
        .run(&history, |history| {
            remembered.set(remembered.get() + runtime.block_on(live_through(history)));
            Ok(())
        })
        .unwrap();
    let remembered = remembered.get();
    assert!(remembered > 1_000, "only {remembered} rights were recalled");
}

async fn live_through(history: Vec<(u8, usize, usize, usize)>) -> usize {
    let store = store();
    let rights = Rights::new(6);
    let mut commits = vec![commit(&store).await];
    let mut recalled = 0;
    for (what, group_at, user_at, pick) in history {
        let (g, u) = (GROUPS[group_at], USERS[user_at]);
        match what {
            0 => drop(run(&store, create(g, Some(u))).await),
            1 => drop(run(&store, dismiss("service", g)).await),
            2 => drop(run(&store, join(g, u)).await),
            3 => drop(run(&store, leave(g, u)).await),
            4 => drop(run(&store, invite("service", g, &USERS)).await),
            5 => drop(run(&store, remove("service", g, &[u])).await),
            6 => {
                let fan_out = FanOut::new(store.clone());
                let clock = crate::kit::Hands::new().clock();
                fan_out.finish(&clock).await.unwrap();
            }
            7 => drop(run(&store, seen_by("service", g, Circle::Admins)).await),
            8 => drop(run(&store, seen_by("service", g, Circle::Members)).await),
            _ => {
                let (reader, list) = (Actor::User(user(u)), group(g).members());
                let access = decide(&rights, &store, &reader, &list).await;
                let found = members(&store, g).await;
                let role = found.iter().find(|(id, _)| id == u).map(|(_, role)| *role);
                let expected = match role {
                    None => Access::Denied,
                    Some(Role::Member) if !all_see(&store, g).await => Access::Header,
                    Some(_) => Access::Read,
                };
                assert_eq!(access, expected);
            }
        }
        commits.push(commit(&store).await);
        for at in [commits.len() - 1, pick % commits.len()] {
            let commit = &commits[at];
            for u in USERS {
                for g in GROUPS {
                    let states = [group(g).members(), group(g).rights()];
                    let beside = states.map(|list| commit.states[&list]);
                    let own = commit.states[&user(u).groups()];
                    for list in [group(g).members(), group(g).activity()] {
                        let held = Held {
                            own: Some(&own),
                            lists: &[&list],
                            beside: &beside,
                        };
                        if rights.recalls(&Actor::User(user(u)), held) {
                            recalled += 1;
                            let is_in = commit.members[g].iter().any(|(id, _)| id == u);
                            assert!(is_in, "{u} was not in {g} at commit {at}");
                            assert!(commit.seen[g], "{g} was hidden at commit {at}");
                        }
                    }
                }
            }
        }
    }
    let fan_out = FanOut::new(store.clone());
    let clock = crate::kit::Hands::new().clock();
    fan_out.finish(&clock).await.unwrap();
    assert_in_step(&store).await;
    recalled
}

#[tokio::test]
async fn a_list_that_is_not_ones_own_is_gone_and_does_not_say_whether_it_exists() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, join("g", "m")).await.unwrap();
    let server = Running::start(store.clone()).await;
    let mut stranger = server.user("x").await;
    for (kind, owner) in [
        ("groups", "o"),
        ("groups", "nobody"),
        ("members", "g"),
        ("members", "h"),
    ] {
        let answer = stranger.ask(scan(kind, owner)).await;
        assert_eq!(
            answer,
            Answer::Gone(GoneReason::Unspecified),
            "{kind}/{owner}"
        );
        let reply = stranger.get(&format!("/v1/lists/{kind}/{owner}")).await;
        let expected = (403, "forbidden".to_owned(), "owner".to_owned(), 0);
        assert_eq!(reply.refusal(), expected, "{kind}/{owner}");
    }
    for id in ["g", "h"] {
        let reply = stranger.get(&format!("/v1/groups/{id}")).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (404, "group_not_found")
        );
    }
    // Who once could read it, by the right lineage, is told why.
    let mut member = server.user("m").await;
    let copy = member.list("members", "g").await;
    let request = || since("members", "g", &copy);
    assert_eq!(member.ask(request()).await, Answer::Aligned);
    assert_eq!(member.ask(request()).await, Answer::Aligned);
    run(&store, leave("g", "m")).await.unwrap();
    assert_eq!(
        member.ask(request()).await,
        Answer::Gone(GoneReason::Forbidden)
    );
    run(&store, dismiss("o", "g")).await.unwrap();
    run(&store, create("g", Some("o"))).await.unwrap();
    assert_eq!(
        member.ask(request()).await,
        Answer::Gone(GoneReason::Unspecified)
    );
    server.end().await;
}
