//! A dismissal reaches its members' lists: in steps, whatever comes in between.

use crate::faulty::Faulty;
use crate::kit::{Hands, NOW_MS, Running, since, store};
use crate::rules::{
    assert_in_step, create, dismiss, group, groups, invite, join, leave, members, run, user,
};
use highwater_protocol::Code;
use highwater_protocol::message::{Answer, GoneReason};
use highwater_server::domain::{FanOut, Invite, UserId};
use highwater_store::memory::MemoryStore;
use highwater_store::{ListLine, Store};

async fn fill(store: &MemoryStore, id: &str, users: std::ops::Range<usize>) {
    let users: Vec<UserId> = users.map(|at| user(&format!("u{at}"))).collect();
    for users in users.chunks(250) {
        let invite = Invite {
            users: users.to_vec(),
            ..invite("service", id, &[])
        };
        run(store, invite).await.unwrap();
    }
}

async fn finish(store: &MemoryStore) {
    let fan_out = FanOut::new(store.clone());
    fan_out.finish(&Hands::new().clock()).await.unwrap();
    assert_eq!(store.backlog().await.unwrap().jobs, 0);
    assert_in_step(store).await;
}

#[tokio::test]
async fn a_dismissal_ends_the_group_at_once_and_its_members_lists_follow() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, create("h", Some("u1"))).await.unwrap();
    fill(&store, "g", 0..600).await;
    run(&store, leave("g", "u0")).await.unwrap();
    let committed = store.write(NOW_MS, dismiss("o", "g")).await.unwrap();
    // Three lists, whatever the group's size.
    assert_eq!(committed.states.len(), 3);
    assert_eq!(members(&store, "g").await, []);
    assert_eq!(groups(&store, "o").await, Vec::<String>::new());
    assert_eq!(groups(&store, "u599").await, ["g"]);
    assert_eq!(store.backlog().await.unwrap().jobs, 1);
    finish(&store).await;
    assert_eq!(groups(&store, "u1").await, ["h"]);
}

#[tokio::test]
async fn a_worker_that_dies_anywhere_is_followed_by_one_that_finishes() {
    for budget in 0..9 {
        let store = store();
        run(&store, create("g", Some("o"))).await.unwrap();
        fill(&store, "g", 0..600).await;
        run(&store, dismiss("service", "g")).await.unwrap();
        let dying = Faulty::new(&store).with_writes(budget);
        let died = FanOut::new(dying).finish(&Hands::new().clock()).await;
        let jobs = store.backlog().await.unwrap().jobs;
        assert_eq!(died.is_err(), jobs == 1, "after {budget} writes");
        // 3 steps of 250, of two writes each.
        assert_eq!(jobs == 0, budget >= 6, "after {budget} writes");
        finish(&store).await;
    }
}

#[tokio::test]
async fn a_late_dismissal_does_not_hit_the_members_of_a_group_created_again() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    fill(&store, "g", 0..600).await;
    run(&store, dismiss("o", "g")).await.unwrap();
    // Before the fan-out: the group begins again, with some of its old members.
    run(&store, create("g", Some("u7"))).await.unwrap();
    run(&store, join("g", "u8")).await.unwrap();
    run(&store, join("g", "new")).await.unwrap();
    run(&store, join("g", "u9")).await.unwrap();
    run(&store, leave("g", "u9")).await.unwrap();
    finish(&store).await;
    for (id, expected) in [
        ("u7", true),
        ("u8", true),
        ("new", true),
        ("u9", false),
        ("u10", false),
    ] {
        assert_eq!(groups(&store, id).await == ["g"], expected, "{id}");
    }
    assert_eq!(members(&store, "g").await.len(), 3);
}

#[tokio::test]
async fn dismissals_of_several_lives_of_one_group_are_all_carried_out() {
    let store = store();
    for life in 0..3 {
        run(&store, create("g", None)).await.unwrap();
        fill(&store, "g", life * 100..life * 100 + 300).await;
        run(&store, dismiss("service", "g")).await.unwrap();
    }
    assert_eq!(store.backlog().await.unwrap().jobs, 3);
    finish(&store).await;
    assert_eq!(run(&store, join("g", "u1")).await, Err(Code::GroupNotFound));
}

#[tokio::test]
async fn what_an_ended_life_left_is_forgotten_tombstones_and_all() {
    let store = store();
    run(&store, create("g", None)).await.unwrap();
    // 1,500 users come and go: as many tombstones.
    fill(&store, "g", 0..1_500).await;
    for at in 0..1_500 {
        run(&store, leave("g", &format!("u{at}"))).await.ok();
        if at == 1_400 {
            fill(&store, "g", 2_000..2_010).await;
        }
    }
    let list = group("g").members();
    let tombstones = |lines: Vec<ListLine>| {
        let line = lines.into_iter().find(|line| line.list == list).unwrap();
        line.tombstones
    };
    let before = tombstones(store.lists(None, 10_000).await.unwrap());
    assert_eq!(before, 1_500);
    run(&store, dismiss("service", "g")).await.unwrap();
    finish(&store).await;
    assert_eq!(tombstones(store.lists(None, 10_000).await.unwrap()), 0);
}

#[tokio::test]
async fn a_server_finds_the_work_that_an_earlier_one_left() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    fill(&store, "g", 0..10).await;
    run(&store, dismiss("o", "g")).await.unwrap();
    let server = Running::start(store.clone()).await;
    server.service().await.settled().await;
    server.end().await;
    assert_in_step(&store).await;
}

/// OpenIM #610 and #3525: what goes with a dismissed group is that group.
#[tokio::test]
async fn a_member_learns_of_a_dismissal_from_both_lists() {
    let store = store();
    let server = Running::start(store.clone()).await;
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, create("h", Some("m"))).await.unwrap();
    run(&store, join("g", "m")).await.unwrap();
    let mut member = server.user("m").await;
    let group_copy = member.list("members", "g").await;
    let own_copy = member.list("groups", "m").await;
    assert_eq!(own_copy.rows.len(), 2);

    let mut owner = server.user("o").await;
    let reply = owner.send("DELETE", "/v1/groups/g", &[], &[]).await.ok();
    assert_eq!(reply.json()["changes"][0]["owner"], "o");
    server.service().await.settled().await;
    let gone = member.ask(since("members", "g", &group_copy)).await;
    assert_eq!(gone, Answer::Gone(GoneReason::Deleted));
    let Answer::Delta(delta) = member.ask(since("groups", "m", &own_copy)).await else {
        panic!("the member's list changed");
    };
    assert_eq!(delta.deleted.len(), 1);
    assert_eq!(delta.deleted[0].as_str(), "g");
    server.end().await;
}
