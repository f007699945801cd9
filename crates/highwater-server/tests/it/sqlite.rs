//! The server on the database that it ships with: what memory cannot show.

use crate::kit::{Running, since};
use crate::rules::{assert_in_step, create, dismiss, groups, invite, members, run};
use highwater_protocol::message::Answer;
use highwater_store::Store as _;
use highwater_store_sqlite::{Existing, Options, SqliteStore, restore};
use serde_json::json;
use std::path::Path;

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder, Options::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_live_through_restarts_and_work_that_was_queued_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let server = Running::start(store.clone()).await;
    let (mut o, mut service) = (server.user("o").await, server.service().await);
    for id in ["g", "h"] {
        o.post("/v1/groups", &json!({"group": id, "name": id}))
            .await
            .ok();
        let users: Vec<String> = (0..1_000).map(|at| format!("u{at:04}")).collect();
        let path = format!("/v1/groups/{id}/members:invite");
        o.post(&path, &json!({"users": users})).await.ok();
    }
    let copy = o.list("members", "h").await;
    assert_eq!(copy.rows.len(), 1_002);
    assert_eq!(o.ask(since("members", "h", &copy)).await, Answer::Aligned);
    o.send("DELETE", "/v1/groups/g", &[], &[]).await.ok();
    // At once, with the fan-out under way.
    server.end().await;
    store.close().await;

    let store = open(folder.path());
    let server = Running::start(store.clone()).await;
    server.service().await.settled().await;
    assert_eq!(groups(&store, "u0999").await, ["h"]);
    assert_in_step(&store).await;
    let mut o = server.user("o").await;
    assert_eq!(o.ask(since("members", "h", &copy)).await, Answer::Aligned);
    // From memory the second time, although the group has no list of its rights.
    assert_eq!(o.ask(since("members", "h", &copy)).await, Answer::Aligned);
    let metrics = String::from_utf8(o.get("/metrics").await.body).unwrap();
    assert!(
        metrics.contains("\nhighwater_syncs_in_memory_total 1\n"),
        "{metrics}"
    );
    assert_eq!(service.read().await.map(|reply| reply.status), None);
    server.end().await;
    let report = store.check(|_| {}).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    store.close().await;
}

/// A disk that is full: here, a database that may not grow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_database_refuses_writes_serves_reads_and_keeps_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.database_bytes_max = Some(1_000_000);
    let store = SqliteStore::open(folder.path(), options).unwrap();
    let server = Running::start(store.clone()).await;
    let mut service = server.service().await;
    let group = json!({"group": "g", "name": "G"});
    service.post("/v1/groups", &group).await.ok();
    let mut acknowledged = 0;
    let refused = loop {
        let users: Vec<String> = (0..250).map(|at| format!("u{acknowledged}-{at}")).collect();
        let path = "/v1/groups/g/members:invite";
        let reply = service.post(path, &json!({"users": users})).await;
        if reply.status != 200 {
            break reply;
        }
        acknowledged += 250;
        assert!(acknowledged < 100_000, "the database never fills");
    };
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "read_only")
    );
    assert!(acknowledged > 0);
    let copy = service.list("members", "g").await;
    assert_eq!(copy.rows.len(), acknowledged + 1);
    assert_eq!(
        service.ask(since("members", "g", &copy)).await,
        Answer::Aligned
    );
    let status = service.get("/v1/admin/status").await.ok().json();
    assert_eq!(status["writable"], false);
    server.end().await;
    store.close().await;
    drop(store);

    // With room again, all is there, and writes go on.
    let store = open(folder.path());
    assert_eq!(members(&store, "g").await.len(), acknowledged);
    assert_in_step(&store).await;
    let server = Running::start(store.clone()).await;
    let join = json!({"user": "late"});
    let path = "/v1/groups/g/members:join";
    server.service().await.post(path, &join).await.ok();
    server.end().await;
    store.close().await;
}

/// A folder that may only be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_opened_for_reading_serves_reads() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let server = Running::start(store.clone()).await;
    let group = json!({"group": "g", "name": "G"});
    server.user("o").await.post("/v1/groups", &group).await.ok();
    server.end().await;
    store.close().await;
    drop(store);

    let store = SqliteStore::open_read_only(folder.path(), Options::default()).unwrap();
    let server = Running::start(store.clone()).await;
    let mut o = server.user("o").await;
    let copy = o.list("members", "g").await;
    assert_eq!(o.ask(since("members", "g", &copy)).await, Answer::Aligned);
    assert_eq!(o.get("/readyz").await.status, 200);
    let reply = o.send("DELETE", "/v1/groups/g", &[], &[]).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "read_only"));
    assert_eq!(store.backlog().await.unwrap().jobs, 0);
    server.end().await;
}

/// What was queued when a backup was made is done after the restore, and a
/// device that was right before adopts the restored lists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_with_queued_work_is_restored_and_finished() {
    let (folder, restored) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(folder.path());
    let users: Vec<String> = (0..250).map(|at| format!("u{at:03}")).collect();
    let users: Vec<_> = users.iter().map(String::as_str).collect();
    for id in ["g", "h"] {
        run(&store, create(id, Some("o"))).await.unwrap();
        run(&store, invite("o", id, &users)).await.unwrap();
    }
    let server = Running::start(store.clone()).await;
    let copy = server.user("o").await.list("members", "h").await;
    server.end().await;
    run(&store, dismiss("service", "g")).await.unwrap();
    let backup = folder.path().join("backup.db");
    store.backup(&backup, |_| {}).unwrap();
    store.close().await;

    restore(&backup, restored.path(), Existing::Keep, |_| {}).unwrap();
    let store = open(restored.path());
    assert_eq!(store.backlog().await.unwrap().jobs, 1);
    assert_eq!(groups(&store, "u007").await, ["g", "h"]);
    let server = Running::start(store.clone()).await;
    server.service().await.settled().await;
    assert_eq!(groups(&store, "u007").await, ["h"]);
    assert_in_step(&store).await;
    let mut o = server.user("o").await;
    let Answer::Adopt(point) = o.ask(since("members", "h", &copy)).await else {
        panic!("the content is the same, the lineage another");
    };
    assert_ne!(point.lineage, copy.head.point.lineage);
    server.end().await;
    store.close().await;
}
