//! A store that fails: writes are refused with a code that says what is known,
//! reads go on, and all is well again afterwards.

use crate::faulty::Faulty;
use crate::kit::{Running, since, store};
use crate::rules::{create, members, run};
use highwater_protocol::message::Answer;
use highwater_store::memory::Outage;
use serde_json::json;

#[tokio::test]
async fn a_full_or_read_only_database_refuses_writes_and_serves_reads() {
    for outage in [Outage::Full, Outage::ReadOnly] {
        let store = store();
        run(&store, create("g", Some("o"))).await.unwrap();
        let server = Running::start(store.clone()).await;
        let mut o = server.user("o").await;
        let copy = o.list("members", "g").await;
        store.set_outage(Some(outage));
        let body = json!({"users": ["m"]});
        let reply = o.post("/v1/groups/g/members:invite", &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (503, "read_only"));
        assert_eq!(reply.header("retry-after"), "10");
        assert_eq!(reply.json()["retry_after_ms"], 10_000);
        assert!(!reply.header("x-request-id").is_empty());

        // From memory and from the store, and in one piece.
        assert_eq!(o.ask(since("members", "g", &copy)).await, Answer::Aligned);
        store.offer_cached_states(false);
        assert_eq!(o.ask(since("members", "g", &copy)).await, Answer::Aligned);
        assert_eq!(o.list("members", "g").await, copy);
        assert_eq!(o.get("/readyz").await.status, 200);
        let status = server.service().await.get("/v1/admin/status").await.ok();
        assert_eq!(status.json()["writable"], false);
        let metrics = String::from_utf8(o.get("/metrics").await.body).unwrap();
        assert!(metrics.contains("highwater_store_writable 0"), "{metrics}");

        store.set_outage(None);
        o.post("/v1/groups/g/members:invite", &body).await.ok();
        let metrics = String::from_utf8(o.get("/metrics").await.body).unwrap();
        assert!(metrics.contains("highwater_store_writable 1"), "{metrics}");
        server.end().await;
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_unavailable_and_says_when_to_come_back() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    let server = Running::start(store.clone()).await;
    let mut o = server.user("o").await;
    o.list("groups", "o").await;
    store.set_outage(Some(Outage::Unavailable));
    store.offer_cached_states(false);
    for reply in [
        o.get("/v1/lists/groups/o").await,
        o.send("POST", "/v1/groups/g/members:join", &[], &[]).await,
    ] {
        assert_eq!((reply.status, reply.code().as_str()), (503, "unavailable"));
        assert_eq!(reply.header("retry-after"), "1");
    }
    let ready = o.get("/readyz").await;
    assert_eq!((ready.status, ready.code().as_str()), (503, "unavailable"));
    // The process lives, and its figures are wanted now.
    assert_eq!(o.get("/healthz").await.status, 200);
    let metrics = o.get("/metrics").await.ok();
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(metrics.contains("highwater_store_errors_total{error=\"unavailable\"}"));
    store.set_outage(None);
    assert_eq!(o.get("/readyz").await.status, 200);
    server.end().await;
}

/// "May have happened" is not "did not happen".
#[tokio::test]
async fn a_write_whose_outcome_is_not_known_is_reported_as_such() {
    for (outage, happened) in [(Outage::UnknownDone, true), (Outage::UnknownUndone, false)] {
        let store = store();
        run(&store, create("g", Some("o"))).await.unwrap();
        let server = Running::start(store.clone()).await;
        let mut m = server.user("m").await;
        store.set_outage(Some(outage));
        let reply = m.send("POST", "/v1/groups/g/members:join", &[], &[]).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (500, "outcome_unknown")
        );
        store.set_outage(None);
        assert_eq!(members(&store, "g").await.len() == 2, happened);
        server.end().await;
    }
}

#[tokio::test]
async fn a_batch_that_fails_midway_says_how_far_it_got() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    let server = Running::start(store.clone()).await;
    let mut service = server.service().await;
    // The second batch meets a change that cannot be.
    let join = |at: usize| json!({"op":"join","group":"g","user":format!("u{at}"),"role":"member"});
    let mut changes: Vec<_> = (0..400).map(join).collect();
    changes[399] = join(0);
    let body = json!({"at": 0, "changes": changes});
    let reply = service.post("/v1/admin/import", &body).await;
    assert_eq!(
        reply.refusal(),
        (
            409,
            "already_member".to_owned(),
            "changes[399].user".to_owned(),
            0
        )
    );
    assert_eq!(members(&store, "g").await.len(), 251);
    server.end().await;
}

#[tokio::test]
async fn the_fan_out_waits_for_a_store_that_fails_and_goes_on() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    let server = Running::start(store.clone()).await;
    let (mut o, mut service) = (server.user("o").await, server.service().await);
    let users: Vec<String> = (0..600).map(|at| format!("u{at}")).collect();
    let body = json!({"users": users});
    o.post("/v1/groups/g/members:invite", &body).await.ok();
    // Queue the work, and fail before it is done.
    run(&store, crate::rules::dismiss("service", "g"))
        .await
        .unwrap();
    store.set_outage(Some(Outage::Full));
    // Something wakes the worker: this is refused, so nothing does by itself.
    let refused = o.send("DELETE", "/v1/groups/g", &[], &[]).await;
    assert_eq!(refused.code(), "read_only");
    let status = service.get("/v1/admin/status").await.ok().json();
    assert_eq!(status["jobs"], 1);
    store.set_outage(None);
    server.end().await;
    let server = Running::start(store.clone()).await;
    server.service().await.settled().await;
    server.end().await;
    crate::rules::assert_in_step(&store).await;
}

/// A broken invariant is contained to the request that meets it, and a worker
/// that meets one is started again.
#[tokio::test]
async fn a_panic_takes_down_one_request_and_no_more() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, crate::rules::join("g", "m")).await.unwrap();
    let faulty = Faulty::new(&store);
    faulty.panic(true);
    run(&store, crate::rules::dismiss("o", "g")).await.unwrap();
    let server = Running::start(faulty.clone()).await;
    let mut m = server.user("m").await;
    for _ in 0..2 {
        let reply = m.get("/v1/lists/groups/m").await;
        assert_eq!((reply.status, reply.code().as_str()), (500, "internal"));
        assert!(!reply.header("x-request-id").is_empty());
    }
    let status = server.service().await.get("/v1/admin/status").await;
    assert_eq!(status.ok().json()["jobs"], 1);
    // The same connection, and the same worker, once the fault is gone.
    faulty.panic(false);
    assert_eq!(m.list("groups", "m").await.rows.len(), 1);
    server.service().await.settled().await;
    assert_eq!(m.list("groups", "m").await.rows.len(), 0);
    server.end().await;
}
