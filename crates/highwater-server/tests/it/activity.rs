//! Activity, as services report it: to whom it goes, what it costs, and what
//! becomes of each entry of a batch.

use crate::conversations::{change, clear, delete, draft, read};
use crate::faulty::Faulty;
use crate::groups::{conversation, element, finish, staffed};
use crate::kit::{Hands, NOW_MS, Running, key, since, store};
use crate::people::{describe, named};
use crate::rules::{
    actor, assert_in_step, create, dismiss, group, invite, join, leave, members, remove, rows, run,
    set_role, user,
};
use highwater_protocol::kinds::{
    Conversation, ConversationState, ConversationType, GroupActivity, LastMessage, Mention,
    Payload as _, Role,
};
use highwater_protocol::message::Answer;
use highwater_protocol::{Code, ListKey};
use highwater_server::Metrics;
use highwater_server::domain::{
    ActivityOutcome, Actor, DeleteUser, Directory, FanOut, Invite, ReportActivity,
};
use highwater_store::memory::MemoryStore;
use highwater_store::{Store, Tick};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const SHARED_ABOVE: u64 = 200;

fn directory<S: Store>(store: &S) -> Directory<S> {
    let fan_out = Arc::new(FanOut::new(store.clone()));
    let metrics = Arc::new(Metrics::new());
    Directory::new(store.clone(), fan_out, Hands::new().clock(), metrics)
}

/// What became of a report, and the lists that it changed.
struct Told {
    applied: bool,
    outcomes: Vec<ActivityOutcome>,
    changed: BTreeSet<ListKey>,
}

async fn report_in(store: &impl Store, entries: Vec<Value>, partial: bool) -> Told {
    let report = ReportActivity::new(&Actor::Service, entries, partial).unwrap();
    let written = directory(store)
        .report_activity(&report, SHARED_ABOVE)
        .await;
    let written = written.unwrap();
    Told {
        applied: written.output.applied,
        outcomes: written.output.outcomes,
        changed: written
            .changes
            .into_iter()
            .map(|change| change.list)
            .collect(),
    }
}

/// Reports one activity where groups of more members are large.
pub(crate) async fn report_above(
    store: &impl Store,
    entry: Value,
    shared_above: u64,
) -> ActivityOutcome {
    let report = ReportActivity::new(&Actor::Service, vec![entry], true).unwrap();
    let directory = directory(store);
    let mut reported = directory
        .report_activity(&report, shared_above)
        .await
        .unwrap();
    reported.output.outcomes.remove(0)
}

async fn report(store: &impl Store, entry: Value) -> ActivityOutcome {
    let mut reported = report_in(store, vec![entry], true).await;
    assert_eq!(reported.outcomes.len(), 1);
    reported.outcomes.remove(0)
}

pub(crate) fn in_group(id: &str, seq: u64, sender: &str) -> Value {
    json!({
        "conversation": {"group": id}, "seq": seq, "at_ms": NOW_MS + seq as i64,
        "sender": sender, "preview": format!("message {seq}"),
    })
}

fn between(a: &str, b: &str, seq: u64, sender: &str) -> Value {
    json!({
        "conversation": {"user": [a, b]}, "seq": seq, "at_ms": NOW_MS + seq as i64,
        "sender": sender, "preview": format!("message {seq}"),
    })
}

fn with(mut entry: Value, field: &str, value: Value) -> Value {
    entry[field] = value;
    entry
}

fn last(seq: u64, sender: &str) -> LastMessage {
    LastMessage {
        seq,
        at_ms: NOW_MS + i64::try_from(seq).unwrap(),
        sender: sender.to_owned(),
        preview: format!("message {seq}"),
    }
}

async fn of(store: &impl Store, who: &str, id: &str) -> Conversation {
    conversation(store, who, id).await.unwrap()
}

fn unread(conversation: &Conversation, who: &str) -> u64 {
    conversation.unread(who, conversation.last.as_ref())
}

/// A group `g` of `count` members, `u0` its owner.
async fn large(count: usize) -> MemoryStore {
    let store = store();
    run(&store, create("g", Some("u0"))).await.unwrap();
    let users: Vec<_> = (1..count).map(|at| user(&format!("u{at}"))).collect();
    for users in users.chunks(250) {
        let invite = Invite {
            users: users.to_vec(),
            ..invite("service", "g", &[])
        };
        run(&store, invite).await.unwrap();
    }
    store
}

async fn shared(store: &impl Store) -> Option<GroupActivity> {
    element(store, "activity", "g", "").await
}

fn refused(outcome: &ActivityOutcome) -> (&str, &str, u64) {
    match outcome {
        ActivityOutcome::Refused {
            code, field, limit, ..
        } => (code, field, *limit),
        outcome => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn a_message_between_two_is_the_last_of_both_and_unread_by_one() {
    let store = store();
    describe(&store, "b", named("Berta")).await;
    let first = with(between("a", "b", 1, "a"), "at_ms", json!(NOW_MS + 1));
    assert_eq!(report(&store, first).await, ActivityOutcome::Written);
    let (a, b) = (of(&store, "a", "u:b").await, of(&store, "b", "u:a").await);
    assert_eq!((&*a.name, a.r#type), ("Berta", ConversationType::User));
    assert_eq!(
        (a.last.clone(), b.last.clone()),
        (Some(last(1, "a")), Some(last(1, "a")))
    );
    assert_eq!((a.read_seq, unread(&a, "a")), (1, 0));
    assert_eq!((b.read_seq, unread(&b, "b")), (0, 1));
    // Both hold a copy of the other's profile.
    for id in ["a", "b"] {
        assert_eq!(rows(&store, &user(id).holders()).await.len(), 1);
    }
    for seq in 2..5 {
        report(&store, between("b", "a", seq, "a")).await;
    }
    assert_eq!(unread(&of(&store, "b", "u:a").await, "b"), 4);
    run(&store, read("b", "u:a", 3)).await.unwrap();
    assert_eq!(unread(&of(&store, "b", "u:a").await, "b"), 1);
    report(&store, between("a", "b", 5, "b")).await;
    assert_eq!(of(&store, "b", "u:a").await.read_seq, 5);
    assert_eq!(unread(&of(&store, "a", "u:b").await, "a"), 1);
}

#[tokio::test]
async fn a_message_that_is_known_is_stale_and_changes_nothing() {
    let store = staffed().await;
    for entry in [
        between("a", "b", 7, "a"),
        in_group("g", 7, "m"),
        json!({"conversation": {"system": "news", "to": ["a"]}, "seq": 7, "at_ms": NOW_MS}),
    ] {
        let reported = report_in(&store, vec![entry.clone()], false).await;
        assert_eq!(reported.outcomes, [ActivityOutcome::Written]);
        for seq in [7, 6, 1] {
            let older = with(entry.clone(), "seq", json!(seq));
            let reported = report_in(&store, vec![older], false).await;
            assert_eq!(reported.outcomes, [ActivityOutcome::Stale]);
            assert_eq!(reported.changed.len(), 0);
        }
    }
    // One that its owner deleted does not come back with what was known.
    run(&store, delete("b", "u:a")).await.unwrap();
    assert_eq!(
        report(&store, between("a", "b", 7, "a")).await,
        ActivityOutcome::Stale
    );
    assert_eq!(conversation(&store, "b", "u:a").await, None);
    report(&store, between("a", "b", 8, "a")).await;
    assert_eq!(unread(&of(&store, "b", "u:a").await, "b"), 1);
}

#[tokio::test]
async fn many_messages_between_two_syncs_cost_a_device_one_item_each() {
    let store = staffed().await;
    report(&store, between("m", "x", 1, "x")).await;
    let server = Running::start(store.clone()).await;
    let mut device = server.user("m").await;
    let copy = device.list("conversations", "m").await;
    let in_both = |seq| [in_group("g", seq, "o"), between("m", "x", seq, "x")];
    let many = (2..=501).flat_map(in_both).collect();
    let reported = report_in(&store, many, false).await;
    let is_written = |one: &ActivityOutcome| *one == ActivityOutcome::Written;
    assert!(reported.outcomes.iter().all(is_written));
    let Answer::Delta(delta) = device.ask(since("conversations", "m", &copy)).await else {
        panic!("two conversations changed");
    };
    assert!(delta.deleted.is_empty());
    let mut changed: Vec<_> = delta.rows.iter().map(|row| row.id.as_str()).collect();
    changed.sort_unstable();
    assert_eq!(changed, ["g:g", "u:x"]);
    let conversation = of(&store, "m", "g:g").await;
    assert_eq!(conversation.last, Some(last(501, "o")));
    // Of the first message that they hear of, and those after it.
    assert_eq!(unread(&conversation, "m"), 500);
    assert_eq!(unread(&of(&store, "o", "g:g").await, "o"), 0);
    server.end().await;
}

#[tokio::test]
async fn a_conversation_in_which_something_happened_stands_before_the_others_but_pinned_ones() {
    let store = staffed().await;
    let order = async || {
        let rows = rows(&store, &key("conversations", "m")).await.into_iter();
        let ids: Vec<_> = rows.map(|(id, _)| id.to_string()).collect();
        ids
    };
    report(&store, between("m", "x", 5, "x")).await;
    report(&store, between("m", "y", 6, "y")).await;
    assert_eq!(order().await, ["u:y", "u:x", "g:g"]);
    report(&store, in_group("g", 9, "o")).await;
    assert_eq!(order().await, ["g:g", "u:y", "u:x"]);
    let pin = crate::conversations::pinned(true);
    run(&store, change("m", "u:x", pin)).await.unwrap();
    assert_eq!(order().await, ["u:x", "g:g", "u:y"]);
}

#[tokio::test]
async fn a_mention_stands_until_it_is_read_and_one_by_name_is_not_lost_to_one_of_all() {
    let store = staffed().await;
    let all = |seq| with(in_group("g", seq, "o"), "mention_all", json!(true));
    let named = |seq| {
        with(
            in_group("g", seq, "o"),
            "mentions",
            json!(["m", "nobody", "o"]),
        )
    };
    let mention = async |who: &str| {
        let conversation = of(&store, who, "g:g").await;
        conversation
            .mention
            .map(|mention| (mention, conversation.mention_seq))
    };
    report(&store, all(1)).await;
    assert_eq!(mention("m").await, Some((Mention::All, 1)));
    assert_eq!(mention("o").await, None, "of one's own");
    report(&store, named(2)).await;
    assert_eq!(mention("m").await, Some((Mention::Me, 2)));
    assert_eq!(mention("a").await, Some((Mention::All, 1)));
    report(&store, all(3)).await;
    assert_eq!(mention("m").await, Some((Mention::Me, 2)));
    assert_eq!(mention("a").await, Some((Mention::All, 3)));
    run(&store, read("m", "g:g", 1)).await.unwrap();
    assert_eq!(mention("m").await, Some((Mention::Me, 2)));
    run(&store, read("m", "g:g", 3)).await.unwrap();
    assert_eq!(mention("m").await, None);
}

#[tokio::test]
async fn what_is_cleared_or_deleted_comes_back_with_what_is_new_alone() {
    let store = staffed().await;
    report(&store, in_group("g", 5, "o")).await;
    run(&store, clear("m", "g:g")).await.unwrap();
    let cleared = of(&store, "m", "g:g").await;
    assert_eq!((cleared.cleared_seq, unread(&cleared, "m")), (5, 0));
    assert_eq!(cleared.last.unwrap().preview, "");
    run(&store, delete("m", "g:g")).await.unwrap();
    assert!(of(&store, "m", "g:g").await.deleted);
    report(&store, in_group("g", 5, "o")).await;
    assert!(of(&store, "m", "g:g").await.deleted);
    report(&store, in_group("g", 6, "o")).await;
    let back = of(&store, "m", "g:g").await;
    assert!(!back.deleted);
    assert_eq!(unread(&back, "m"), 1);
    // What others see of it is theirs.
    let other = of(&store, "a", "g:g").await;
    assert_eq!((other.cleared_seq, other.deleted), (0, false));
}

#[tokio::test]
async fn what_was_said_before_somebody_came_is_not_unread() {
    let store = staffed().await;
    report(&store, in_group("g", 5_000, "o")).await;
    run(&store, join("g", "x")).await.unwrap();
    report(&store, in_group("g", 5_001, "o")).await;
    assert_eq!(unread(&of(&store, "x", "g:g").await, "x"), 1);
    // Who left hears nothing more; who comes back begins anew.
    run(&store, leave("g", "x")).await.unwrap();
    report(&store, in_group("g", 5_002, "o")).await;
    let left = of(&store, "x", "g:g").await;
    assert_eq!(left.state, ConversationState::Left);
    assert_eq!(left.last, Some(last(5_001, "o")));
    report(&store, in_group("g", 6_000, "o")).await;
    run(&store, join("g", "x")).await.unwrap();
    report(&store, in_group("g", 6_001, "o")).await;
    assert_eq!(unread(&of(&store, "x", "g:g").await, "x"), 1);
}

#[tokio::test]
async fn the_system_speaks_to_whom_it_names() {
    let store = store();
    let going = DeleteUser::new(&actor("z"), user("z"), NOW_MS).unwrap();
    run(&store, going).await.unwrap();
    let news = |seq, to: Value| json!({"conversation": {"system": "news", "to": to}, "seq": seq, "at_ms": NOW_MS, "preview": "p"});
    let written = report(&store, news(1, json!(["a", "b", "a", "z"]))).await;
    assert_eq!(written, ActivityOutcome::Written);
    for id in ["a", "b"] {
        let conversation = of(&store, id, "s:news").await;
        assert_eq!(
            (&*conversation.name, unread(&conversation, id)),
            ("news", 1)
        );
    }
    assert_eq!(conversation(&store, "z", "s:news").await, None);
    let outcome = report(&store, news(2, json!(["z"]))).await;
    assert_eq!(
        refused(&outcome),
        ("user_not_found", "activities[0].conversation.to", 0)
    );
}

/// OpenIM: 100,000 conversations were written for one message.
#[tokio::test]
async fn a_message_in_a_large_group_is_one_durable_write() {
    let store = large(5_000).await;
    report(&store, in_group("g", 1, "u0")).await;
    finish(&store).await;
    let tick = async || store.snapshot(&[]).await.unwrap().tick();
    let before = tick().await;
    let reported = report_in(&store, vec![in_group("g", 2, "u7")], false).await;
    assert_eq!(tick().await, Tick(before.0 + 1), "one commit");
    // What is said, and how far its sender has read.
    let changed = BTreeSet::from([key("activity", "g"), key("conversations", "u7")]);
    assert_eq!(reported.changed, changed);
    assert_eq!(store.backlog().await.unwrap().jobs, 0);
    assert_eq!(shared(&store).await.unwrap().last, Some(last(2, "u7")));
    let sender = of(&store, "u7", "g:g").await;
    assert_eq!((sender.read_seq, sender.last), (2, None));
    // Whoever is mentioned by name is one more list; everybody is none.
    let entry = with(
        in_group("g", 3, "u7"),
        "mentions",
        json!(["u9", "stranger"]),
    );
    let entry = with(entry, "mention_all", json!(true));
    let reported = report_in(&store, vec![entry], false).await;
    assert_eq!(reported.changed.len(), 3);
    assert_eq!(shared(&store).await.unwrap().mention_all_seq, 3);
    assert_eq!(of(&store, "u9", "g:g").await.mention, Some(Mention::Me));
    assert_eq!(conversation(&store, "stranger", "g:g").await, None);
    assert_eq!(
        report(&store, in_group("g", 3, "u1")).await,
        ActivityOutcome::Stale
    );
}

#[tokio::test]
async fn a_group_is_large_from_its_first_activity_with_too_many_on_and_stays_so() {
    let store = large(200).await;
    report(&store, in_group("g", 1, "u0")).await;
    assert_eq!(shared(&store).await, None);
    assert_eq!(of(&store, "u9", "g:g").await.last, Some(last(1, "u0")));
    run(&store, join("g", "u200")).await.unwrap();
    report(&store, in_group("g", 2, "u0")).await;
    assert_eq!(shared(&store).await.unwrap().last, Some(last(2, "u0")));
    assert_eq!(store.backlog().await.unwrap().jobs, 1);
    assert!(!of(&store, "u9", "g:g").await.shared);
    // Whoever comes now sees it at once, and has nothing to read.
    run(&store, join("g", "late")).await.unwrap();
    let late = of(&store, "late", "g:g").await;
    assert!(late.shared);
    assert_eq!(late.unread("late", Some(&last(2, "u0"))), 0);
    finish(&store).await;
    for (id, _) in members(&store, "g").await {
        assert!(of(&store, &id, "g:g").await.shared, "{id}");
    }
    let member = of(&store, "u9", "g:g").await;
    assert_eq!(member.unread("u9", Some(&last(2, "u0"))), 2);
    // Back to few members, it stays large.
    let gone: Vec<String> = (50..200).map(|at| format!("u{at}")).collect();
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    run(&store, remove("service", "g", &gone)).await.unwrap();
    let reported = report_in(&store, vec![in_group("g", 3, "u0")], false).await;
    assert_eq!(reported.changed.len(), 2);
    // Who left a large group keeps what was said last.
    let left = of(&store, "u60", "g:g").await;
    assert_eq!((left.state, left.shared), (ConversationState::Left, false));
    assert_eq!(left.last, Some(last(2, "u0")));
    assert_in_step(&store).await;
}

#[tokio::test]
async fn a_group_that_becomes_large_knows_what_its_members_knew() {
    let store = large(200).await;
    report(&store, in_group("g", 50, "u0")).await;
    report(&store, in_group("g", 100, "u0")).await;
    run(&store, join("g", "u200")).await.unwrap();
    // Those who lead it stand before those who heard of it, and heard of nothing.
    run(&store, set_role("u0", "g", "u200", Role::Admin))
        .await
        .unwrap();
    for seq in [50, 100] {
        let again = report(&store, in_group("g", seq, "u0")).await;
        assert_eq!(again, ActivityOutcome::Stale);
    }
    assert_eq!(shared(&store).await, None);
    let both = vec![in_group("g", 101, "u0"), in_group("g", 102, "u1")];
    let told = report_in(&store, both, false).await;
    assert_eq!(told.outcomes, [const { ActivityOutcome::Written }; 2]);
    assert_eq!(shared(&store).await.unwrap().last, Some(last(102, "u1")));
    finish(&store).await;
    let member = of(&store, "u9", "g:g").await;
    assert_eq!(member.unread("u9", Some(&last(102, "u1"))), 102 - 49);
}

#[tokio::test]
async fn whoever_leaves_a_large_group_keeps_a_mention_of_everybody_that_they_did_not_read() {
    let store = large(201).await;
    let entry = with(in_group("g", 8, "u0"), "mention_all", json!(true));
    report(&store, entry).await;
    finish(&store).await;
    report(&store, in_group("g", 9, "u0")).await;
    run(&store, read("u6", "g:g", 8)).await.unwrap();
    for who in ["u5", "u6"] {
        run(&store, leave("g", who)).await.unwrap();
    }
    let mention = async |who: &str| {
        let left = of(&store, who, "g:g").await;
        (left.mention, left.mention_seq)
    };
    assert_eq!(mention("u5").await, (Some(Mention::All), 8));
    assert_eq!(mention("u6").await, (None, 0));
    run(&store, dismiss("u0", "g")).await.unwrap();
    finish(&store).await;
    assert_eq!(mention("u7").await, (Some(Mention::All), 8));
}

#[tokio::test]
async fn the_system_passes_over_users_who_are_going() {
    let store = store();
    run(
        &store,
        DeleteUser::new(&actor("x"), user("x"), NOW_MS).unwrap(),
    )
    .await
    .unwrap();
    let to = |to: &[&str]| {
        json!({"conversation": {"system": "news", "to": to}, "seq": 1, "at_ms": 1,
               "sender": "", "preview": "hi"})
    };
    let told = report_in(&store, vec![to(&["x", "y"])], false).await;
    assert!(told.applied);
    assert_eq!(told.outcomes, [ActivityOutcome::Written]);
    assert_eq!(conversation(&store, "x", "s:news").await, None);
    // Where nobody is left to tell, nothing of the request is done.
    let told = report_in(&store, vec![to(&["y", "z"]), to(&["x"])], false).await;
    assert!(!told.applied);
    assert!(matches!(
        &told.outcomes[1],
        ActivityOutcome::Refused { code, .. } if code == "user_not_found"
    ));
    assert_eq!(conversation(&store, "z", "s:news").await, None);
}

#[tokio::test]
async fn a_worker_that_dies_while_a_group_becomes_large_is_followed_by_one_that_finishes() {
    for budget in 0..5 {
        let store = large(600).await;
        report(&store, in_group("g", 1, "u0")).await;
        let dying = Faulty::new(&store).with_writes(budget);
        let died = FanOut::new(dying).finish(&Hands::new().clock()).await;
        // 601 elements in steps of 248.
        assert_eq!(died.is_err(), budget < 3, "after {budget} writes");
        // A member changes place in between.
        run(&store, set_role("u0", "g", "u599", Role::Admin))
            .await
            .unwrap();
        finish(&store).await;
        for (id, _) in members(&store, "g").await {
            assert!(of(&store, &id, "g:g").await.shared, "{id}");
        }
    }
}

#[tokio::test]
async fn a_large_group_that_is_dismissed_ends_with_its_last_message_in_each_conversation() {
    let store = large(300).await;
    report(&store, in_group("g", 1, "u0")).await;
    finish(&store).await;
    run(&store, delete("u5", "g:g")).await.unwrap();
    report(&store, in_group("g", 2, "u0")).await;
    run(&store, dismiss("u0", "g")).await.unwrap();
    assert_eq!(shared(&store).await, None);
    finish(&store).await;
    for id in ["u0", "u1", "u299"] {
        let ended = of(&store, id, "g:g").await;
        assert_eq!(
            (ended.state, ended.shared),
            (ConversationState::Ended, false)
        );
        assert_eq!(ended.last, Some(last(2, "u0")), "{id}");
    }
    let outcome = report(&store, in_group("g", 3, "u0")).await;
    assert_eq!(
        refused(&outcome),
        ("group_not_found", "activities[0].conversation.group", 0)
    );
    // Begun again, it is small again, and counts from 1.
    run(&store, create("g", Some("u1"))).await.unwrap();
    assert_eq!(
        report(&store, in_group("g", 1, "x")).await,
        ActivityOutcome::Written
    );
    let again = of(&store, "u1", "g:g").await;
    assert_eq!((again.shared, unread(&again, "u1")), (false, 1));
    assert_in_step(&store).await;
}

/// OpenIM #3525: a batch failed whole because one group was dismissed.
#[tokio::test]
async fn a_batch_does_not_fail_whole_because_one_group_was_dismissed() {
    let store = staffed().await;
    run(&store, create("h", Some("o"))).await.unwrap();
    run(&store, dismiss("o", "h")).await.unwrap();
    let entries = || {
        vec![
            in_group("g", 1, "o"),
            in_group("h", 1, "o"),
            between("o", "m", 1, "o"),
        ]
    };
    let reported = report_in(&store, entries(), true).await;
    assert!(reported.applied);
    let [first, second, third] = &reported.outcomes[..] else {
        panic!("one for each");
    };
    assert_eq!(
        (first, third),
        (&ActivityOutcome::Written, &ActivityOutcome::Written)
    );
    assert_eq!(
        refused(second),
        ("group_not_found", "activities[1].conversation.group", 0)
    );
}

#[tokio::test]
async fn entries_that_are_wrong_are_named_and_the_others_written_only_when_asked_for() {
    let store = staffed().await;
    let going = DeleteUser::new(&actor("z"), user("z"), NOW_MS).unwrap();
    run(&store, going).await.unwrap();
    let long = "x".repeat(1_025);
    let ids: Vec<String> = (0..201).map(|at| format!("u{at}")).collect();
    let good = in_group("g", 1, "o");
    let conversation = |conversation: Value| with(good.clone(), "conversation", conversation);
    let wrong = [
        (json!(7), "malformed_message", "", 0),
        (json!({}), "malformed_message", "", 0),
        (
            with(good.clone(), "seq", json!(-1)),
            "malformed_message",
            "",
            0,
        ),
        (
            with(good.clone(), "seq", json!(0)),
            "invalid_field",
            ".seq",
            0,
        ),
        (
            with(good.clone(), "at_ms", json!(-1)),
            "invalid_field",
            ".at_ms",
            0,
        ),
        (
            with(good.clone(), "preview", json!(long)),
            "too_large",
            ".preview",
            1_024,
        ),
        (
            with(good.clone(), "mentions", json!(ids)),
            "too_many",
            ".mentions",
            200,
        ),
        (
            with(good.clone(), "mentions", json!(["u", ""])),
            "invalid_field",
            ".mentions[1]",
            0,
        ),
        (
            with(good.clone(), "sender", json!("x".repeat(121))),
            "too_large",
            ".sender",
            120,
        ),
        (conversation(json!({})), "invalid_field", ".conversation", 0),
        (
            conversation(json!({"group": "g", "system": "s"})),
            "invalid_field",
            ".conversation",
            0,
        ),
        (
            conversation(json!({"group": ""})),
            "invalid_field",
            ".conversation.group",
            0,
        ),
        (
            conversation(json!({"user": ["o", "o"]})),
            "invalid_field",
            ".conversation.user",
            0,
        ),
        (
            conversation(json!({"user": ["o", ""]})),
            "invalid_field",
            ".conversation.user[1]",
            0,
        ),
        (
            conversation(json!({"user": ["x", "y"]})),
            "invalid_field",
            ".sender",
            0,
        ),
        (
            conversation(json!({"user": ["o", "z"]})),
            "user_not_found",
            ".conversation.user[1]",
            0,
        ),
        (
            conversation(json!({"system": "", "to": ["o"]})),
            "invalid_field",
            ".conversation.system",
            0,
        ),
        (
            conversation(json!({"system": "s", "to": []})),
            "invalid_field",
            ".conversation.to",
            0,
        ),
        (
            conversation(json!({"system": "s", "to": ["o", ""]})),
            "invalid_field",
            ".conversation.to[1]",
            0,
        ),
        (
            conversation(json!({"group": "none"})),
            "group_not_found",
            ".conversation.group",
            0,
        ),
    ];
    let mut entries: Vec<Value> = wrong.iter().map(|(entry, ..)| entry.clone()).collect();
    entries.push(good.clone());
    let reported = report_in(&store, entries.clone(), false).await;
    assert!(!reported.applied);
    assert_eq!(reported.outcomes.last(), Some(&ActivityOutcome::NotApplied));
    assert_eq!(reported.changed.len(), 0);
    assert_eq!(of(&store, "m", "g:g").await.last, None);

    let reported = report_in(&store, entries, true).await;
    assert!(reported.applied);
    assert_eq!(reported.outcomes.last(), Some(&ActivityOutcome::Written));
    assert_eq!(of(&store, "m", "g:g").await.last, Some(last(1, "o")));
    for (at, (outcome, (entry, code, field, limit))) in
        reported.outcomes.iter().zip(&wrong).enumerate()
    {
        let field = format!("activities[{at}]{field}");
        assert_eq!(refused(outcome), (*code, &*field, *limit), "{entry}");
    }
}

#[tokio::test]
async fn only_a_service_reports_and_no_more_than_a_request_may_hold() {
    let refused = |actor: &Actor, count: usize| {
        let entries = vec![in_group("g", 1, "o"); count];
        let no = ReportActivity::new(actor, entries, true).unwrap_err();
        (no.code, no.field, no.limit)
    };
    let (user, service) = (actor("o"), Actor::Service);
    assert_eq!(refused(&user, 1), (Code::Forbidden, String::new(), 0));
    let field = "activities".to_owned();
    assert_eq!(refused(&service, 0), (Code::InvalidField, field.clone(), 0));
    assert_eq!(refused(&service, 1_001), (Code::TooMany, field, 1_000));
    let to: Vec<String> = (0..5_001).map(|at| format!("u{at}")).collect();
    let news = json!({"conversation": {"system": "s", "to": to}, "seq": 1, "at_ms": 0});
    let report = ReportActivity::new(&service, vec![news.clone(), news], true).unwrap();
    assert!(report.entries[0].is_ok());
    let no = report.entries[1].clone().unwrap_err();
    assert_eq!(
        (no.code, &*no.field, no.limit),
        (Code::TooMany, "conversation.to", 10_000)
    );
}

#[tokio::test]
async fn a_thousand_conversations_are_written_in_transactions_of_bounded_size() {
    let store = store();
    let entries: Vec<Value> = (0..1_000)
        .map(|at| between("o", &format!("u{at}"), 1, "o"))
        .collect();
    let tick = async || store.snapshot(&[]).await.unwrap().tick().0;
    let before = tick().await;
    let reported = report_in(&store, entries.clone(), false).await;
    assert!(
        reported
            .outcomes
            .iter()
            .all(|one| *one == ActivityOutcome::Written)
    );
    // 41 of 6 lists each are 246.
    assert_eq!(tick().await - before, 1_000_u64.div_ceil(41));
    assert_eq!(rows(&store, &key("conversations", "o")).await.len(), 1_000);
    let reported = report_in(&store, entries, false).await;
    assert!(
        reported
            .outcomes
            .iter()
            .all(|one| *one == ActivityOutcome::Stale)
    );
}

/// A report whose end is not known is sent again: nothing is counted twice.
#[tokio::test]
async fn a_report_that_broke_off_is_sent_again_and_completes() {
    let store = staffed().await;
    let entries: Vec<Value> = (0..200)
        .map(|at| between("o", &format!("u{at}"), 1, "o"))
        .collect();
    let dying = Faulty::new(&store).with_writes(2);
    let report = ReportActivity::new(&Actor::Service, entries.clone(), false).unwrap();
    let broken = directory(&dying)
        .report_activity(&report, SHARED_ABOVE)
        .await;
    assert_eq!(broken.unwrap_err().code, Code::Unavailable);
    let reported = report_in(&store, entries, false).await;
    let written = |one: &&ActivityOutcome| **one == ActivityOutcome::Written;
    assert_eq!(
        reported.outcomes.iter().filter(written).count(),
        200 - 2 * 41
    );
    for at in [0, 100, 199] {
        let id = format!("u{at}");
        assert_eq!(unread(&of(&store, &id, "u:o").await, &id), 1);
    }
}

#[tokio::test]
async fn a_large_group_that_is_heard_of_late_has_no_more_unread_than_what_was_heard() {
    let store = large(300).await;
    report(&store, in_group("g", 9_000, "u0")).await;
    // Before the worker comes: somebody is mentioned, somebody leaves.
    let entry = with(in_group("g", 9_001, "u0"), "mentions", json!(["u1"]));
    report(&store, entry).await;
    run(&store, leave("g", "u2")).await.unwrap();
    assert_eq!(of(&store, "u2", "g:g").await.last, Some(last(9_001, "u0")));
    run(&store, clear("u3", "g:g")).await.unwrap();
    finish(&store).await;
    let unread = async |who: &str| {
        let conversation = of(&store, who, "g:g").await;
        conversation.unread(who, Some(&last(9_001, "u0")))
    };
    assert_eq!((unread("u1").await, unread("u9").await), (2, 2));
    assert_eq!((unread("u0").await, unread("u3").await), (0, 0));
    assert_eq!(of(&store, "u1", "g:g").await.mention, Some(Mention::Me));
}

/// Who joins between the look at a group and the write is not passed over.
#[tokio::test]
async fn a_group_that_changes_meanwhile_is_looked_at_again() {
    let store = staffed().await;
    let joins = |count: usize| (0..count).map(|at| join("g", &format!("late{at}")));
    let busy = Faulty::new(&store).with_joins(joins(3).collect());
    let entries = vec![in_group("g", 1, "o"), between("o", "m", 1, "o")];
    let reported = report_in(&busy, entries, false).await;
    assert!(
        reported
            .outcomes
            .iter()
            .all(|one| *one == ActivityOutcome::Written)
    );
    for id in ["late0", "late1", "late2", "m"] {
        assert_eq!(of(&store, id, "g:g").await.last, Some(last(1, "o")), "{id}");
    }
    assert_in_step(&store).await;
    // One that never rests is given up, and says so.
    let store = staffed().await;
    let restless = Faulty::new(&store).with_joins(joins(8).collect());
    let outcome = report(&restless, in_group("g", 1, "o")).await;
    assert_eq!(
        refused(&outcome),
        ("unavailable", "activities[0].conversation.group", 0)
    );
}

#[tokio::test]
async fn a_draft_stays_when_something_happens() {
    let store = store();
    run(&store, change("a", "u:b", draft("I was")))
        .await
        .unwrap();
    report(&store, between("a", "b", 1, "b")).await;
    let conversation = of(&store, "a", "u:b").await;
    assert_eq!(conversation.draft.clone().unwrap().text, "I was");
    assert_eq!(unread(&conversation, "a"), 1);
}

/// A former member's list is not touched by what goes on afterwards, and a group
/// that was imported without conversations gets them with its first activity.
#[tokio::test]
async fn a_member_without_a_conversation_gets_one() {
    let store = staffed().await;
    struct Lose(ListKey);
    impl highwater_store::Write for Lose {
        type Output = ();
        type Refusal = ();

        fn lists(&self) -> Vec<ListKey> {
            vec![self.0.clone()]
        }

        async fn run<T: highwater_store::WriteTxn>(
            &self,
            txn: &mut T,
        ) -> Result<(), highwater_store::Abort<()>> {
            let item = highwater_protocol::ItemId::new("g:g");
            txn.delete(&self.0, &item.unwrap()).await?;
            Ok(())
        }
    }
    store
        .write(NOW_MS, Lose(user("m").conversations()))
        .await
        .unwrap();
    report(&store, in_group("g", 4, "o")).await;
    let (_, payload) = &rows(&store, &group("g").members()).await[0];
    assert!(!payload.is_empty());
    let found = rows(&store, &key("conversations", "m")).await;
    let found = Conversation::decode(&found[0].1).unwrap();
    assert_eq!(
        (found.last, found.state),
        (Some(last(4, "o")), ConversationState::Active)
    );
    assert_in_step(&store).await;
}
