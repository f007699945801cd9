//! Heads that disagree with their rows: found, counted, and corrected.

use crate::kit::{Client, Running, ids, key, since, store};
use crate::rules::{create, run};
use highwater_protocol::Digest;
use highwater_protocol::message::{Answer, DeltaEnd};
use highwater_store::memory::{MemoryStore, Outage};
use serde_json::{Value, json};
use std::time::Duration;

/// A server with a group of `users` members, whose background audit reads so
/// many rows a second.
async fn with_group(users: usize, rows_per_s: &str) -> (MemoryStore, Running) {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    let options = [("audit_rows_per_s", rows_per_s), ("audit_interval_s", "1")];
    let server = Running::configured(store.clone(), &options).await;
    let mut o = server.user("o").await;
    for from in (0..users).step_by(500) {
        let users: Vec<String> = (from..users.min(from + 500))
            .map(|at| format!("u{at:04}"))
            .collect();
        let path = "/v1/groups/g/members:invite";
        o.post(path, &json!({"users": users})).await.ok();
    }
    (store, server)
}

async fn metric(client: &mut Client, name: &str) -> u64 {
    let text = String::from_utf8(client.get("/metrics").await.ok().body).unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    line.map_or(0, |line| {
        let value = line.rsplit(' ').next().unwrap();
        value.parse().unwrap()
    })
}

async fn until(client: &mut Client, name: &str, least: u64) {
    for _ in 0..1_000 {
        if metric(client, name).await >= least {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{name} does not reach {least}");
}

#[tokio::test]
async fn the_background_audit_corrects_a_wrong_head_at_a_new_version() {
    let (store, server) = with_group(10, "1000000").await;
    let (mut o, mut stranger) = (server.user("o").await, server.stranger().await);
    let right = o.list("members", "g").await;
    store.forge_head(&key("members", "g"), |head| head.digest = Digest::ZERO);
    let found = "highwater_head_mismatches_total{found_by=\"audit\"}";
    until(&mut stranger, found, 1).await;
    // Whoever has what was right gets no row, and the proof.
    let answer = loop {
        match o.ask(since("members", "g", &right)).await {
            Answer::Diverged(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            answer => break answer,
        }
    };
    let Answer::Adopt(point) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(point.version, right.head.point.version.next());
    assert_eq!(
        metric(&mut stranger, found).await,
        1,
        "it is right from then on"
    );
    assert!(metric(&mut stranger, "highwater_heads_audited_total").await > 1);
    server.end().await;
}

#[tokio::test]
async fn an_operator_is_told_of_wrong_heads_in_steps_and_they_are_corrected() {
    let (store, server) = with_group(600, "0").await;
    let mut service = server.service().await;
    let audit = |body: Value| (body, "/v1/admin/audit");
    let (body, path) = audit(json!({}));
    let all = service.post(path, &body).await.ok().json();
    assert_eq!(
        (&all["lists"], &all["rows"]),
        (&json!(1 + 2 * 601), &json!(602 + 2 * 601))
    );
    assert_eq!(all["mismatches"], json!([]));
    assert_eq!(all.get("next"), None);

    store.forge_head(&key("members", "g"), |head| head.count += 1);
    store.forge_head(&key("groups", "u0599"), |head| head.digest = Digest::ZERO);
    let mut wrong = Vec::new();
    let mut after = Value::Null;
    let mut steps = 0;
    loop {
        let (body, path) = audit(json!({"after": after, "rows": 1_000}));
        let step = service.post(path, &body).await.ok().json();
        wrong.extend(step["mismatches"].as_array().unwrap().clone());
        steps += 1;
        match step.get("next") {
            Some(next) => after = next.clone(),
            None => break,
        }
    }
    assert!(steps > 3, "{steps}");
    let lists: Vec<&str> = wrong
        .iter()
        .map(|line| line["list"].as_str().unwrap())
        .collect();
    assert_eq!(lists, ["groups/u0599", "members/g"]);
    assert_eq!(
        (&wrong[1]["head_count"], &wrong[1]["rows_count"]),
        (&json!(603), &json!(602))
    );
    assert!(wrong.iter().all(|line| line["corrected"] == true));
    let again = service
        .post("/v1/admin/audit", &json!({}))
        .await
        .ok()
        .json();
    assert_eq!(again["mismatches"], json!([]));
    let found = "highwater_head_mismatches_total{found_by=\"operator\"}";
    assert_eq!(metric(&mut service, found).await, 2);
    server.end().await;
}

#[tokio::test]
async fn a_wrong_head_that_cannot_be_corrected_is_reported_all_the_same() {
    let (store, server) = with_group(10, "0").await;
    store.forge_head(&key("members", "g"), |head| head.count += 1);
    store.set_outage(Some(Outage::ReadOnly));
    let mut service = server.service().await;
    let answer = service
        .post("/v1/admin/audit", &json!({}))
        .await
        .ok()
        .json();
    assert_eq!(answer["mismatches"][0]["corrected"], false);
    store.set_outage(None);
    let answer = service
        .post("/v1/admin/audit", &json!({}))
        .await
        .ok()
        .json();
    assert_eq!(answer["mismatches"][0]["corrected"], true);
    server.end().await;
}

#[tokio::test]
async fn only_services_audit_and_bad_input_is_named() {
    let (_, server) = with_group(1, "0").await;
    let (mut o, mut service) = (server.user("o").await, server.service().await);
    let path = "/v1/admin/audit";
    assert_eq!(o.post(path, &json!({})).await.code(), "forbidden");
    let mut stranger = server.stranger().await;
    assert_eq!(
        stranger.post(path, &json!({})).await.code(),
        "missing_token"
    );
    for (body, code, field) in [
        (json!({"rows": -1}), "malformed_message", "rows"),
        (json!({"from": "x"}), "malformed_message", "from"),
        (json!({"after": "nothing"}), "invalid_field", "after.list"),
    ] {
        let reply = service.post(path, &body).await;
        let refusal = reply.refusal();
        assert_eq!(
            (refusal.1.as_str(), refusal.2.as_str()),
            (code, field),
            "{body}"
        );
    }
    server.end().await;
}

/// Making a sketch reads all rows: that a head denies them is seen there first.
#[tokio::test]
async fn a_head_that_a_sketch_finds_wrong_is_counted_and_corrected() {
    let (store, server) = with_group(200, "0").await;
    let (mut o, mut stranger) = (server.user("o").await, server.stranger().await);
    let right = o.list("members", "g").await;
    assert_eq!(ids(&right.rows).len(), 202);
    store.forge_head(&key("members", "g"), |head| head.digest = Digest::ZERO);
    let answer = o.ask(since("members", "g", &right)).await;
    assert!(matches!(&answer, Answer::Diverged(diverged) if diverged.sketch.is_none()));
    until(
        &mut stranger,
        "highwater_head_mismatches_total{found_by=\"sketch\"}",
        1,
    )
    .await;
    let answer = loop {
        match o.ask(since("members", "g", &right)).await {
            Answer::Diverged(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            answer => break answer,
        }
    };
    assert!(matches!(answer, Answer::Adopt(_)), "{answer:?}");
    // And one that moved meanwhile gets an ordinary delta.
    let users = json!({"users": ["new"]});
    o.post("/v1/groups/g/members:invite", &users).await.ok();
    let Answer::Delta(delta) = o.ask(since("members", "g", &right)).await else {
        panic!();
    };
    assert_eq!(ids(&delta.rows), ["new"]);
    assert!(matches!(delta.end, DeltaEnd::Proof(_, 203)));
    server.end().await;
}
