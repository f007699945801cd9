//! What surrounds a write: what it answers, keys of requests that come again, and
//! conditions on items.

use crate::kit::{Client, Reply, Running, key, since, store};
use highwater_core::reads::ListState;
use highwater_protocol::codec::Format;
use highwater_protocol::message::{Answer, Content, DeltaEnd, WriteAnswer};
use highwater_protocol::wire;
use highwater_store::Store as _;
use highwater_store_sqlite::{Options, SqliteStore};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn post(client: &mut Client, path: &str, key: &str, body: &Value) -> Reply {
    let headers = [JSON, ("idempotency-key", key)];
    let body = body.to_string();
    client.send("POST", path, &headers, body.as_bytes()).await
}

#[tokio::test]
async fn a_device_can_apply_what_its_write_answers() {
    let server = Running::start(store()).await;
    let mut o = server.user("o").await;
    o.post("/v1/groups", &json!({"group": "g", "name": "G"}))
        .await
        .ok();
    let before = o.list("members", "g").await;
    let headers = [JSON, ("accept", "application/x-protobuf")];
    let body = json!({"users": ["a", "b"]}).to_string();
    let path = "/v1/groups/g/members:invite";
    let reply = o.send("POST", path, &headers, body.as_bytes()).await.ok();
    let answer: wire::WriteAnswer = Format::Protobuf.decode(reply.body.into()).unwrap();
    let answer = WriteAnswer::try_from(answer).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&answer.outcome).unwrap(),
        json!({"results": [{"user": "a", "result": "added"}, {"user": "b", "result": "added"}]})
    );
    // Others' lists are not told of.
    let [change] = answer.changes.as_slice() else {
        panic!("{:?}", answer.changes);
    };
    assert_eq!(change.list, key("members", "g"));
    assert_eq!(change.lineage, before.head.point.lineage);
    assert_eq!(change.from, before.head.point.version);
    let delta = change.delta.clone().unwrap();
    // It is the delta that a sync would have brought.
    let Answer::Delta(synced) = o.ask(since("members", "g", &before)).await else {
        panic!("no delta");
    };
    assert_eq!(delta, synced);
    assert!(matches!(delta.end, DeltaEnd::Proof(_, 4)));
    assert!(
        delta
            .rows
            .iter()
            .all(|row| matches!(row.content, Content::Payload(_)))
    );
    server.end().await;
}

#[tokio::test]
async fn a_retried_request_returns_the_first_answer_and_does_nothing_more() {
    let server = Running::start(store()).await;
    let mut o = server.user("o").await;
    let body = json!({"group": "g", "name": "G"});
    let first = post(&mut o, "/v1/groups", "k 1", &body).await.ok();
    assert_eq!(first.header("idempotency-replayed"), "");
    server.hands.move_on(60_000);
    let again = post(&mut o, "/v1/groups", "k 1", &body).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("idempotency-replayed"), "true");
    // Without the key it is another request.
    let other = o.post("/v1/groups", &body).await;
    assert_eq!(other.code(), "group_exists");
    // The key belongs to what it came with first, and to whom.
    let mismatch = (
        422,
        "idempotency_mismatch".to_owned(),
        "idempotency-key".to_owned(),
        0,
    );
    let other = json!({"group": "h", "name": "G"});
    assert_eq!(
        post(&mut o, "/v1/groups", "k 1", &other).await.refusal(),
        mismatch
    );
    let path = "/v1/groups/g/members:leave";
    let leaves = json!({"user": "o"});
    assert_eq!(post(&mut o, path, "k 1", &leaves).await.refusal(), mismatch);
    let mut x = server.user("x").await;
    post(&mut x, "/v1/groups", "k 1", &other).await.ok();
    // A user and a service of one name are two.
    let mut service = server.service().await;
    let other = json!({"group": "i", "name": "I"});
    post(&mut service, "/v1/groups", "k 1", &other).await.ok();
    let mut backend = server.user("backend").await;
    let other = json!({"group": "j", "name": "J"});
    post(&mut backend, "/v1/groups", "k 1", &other).await.ok();
    // A day later the key is free.
    server.hands.move_on(24 * 60 * 60 * 1_000);
    let mut o = Client::connect(server.address, Some(server.token_now("o"))).await;
    let other = json!({"group": "k", "name": "K"});
    post(&mut o, "/v1/groups", "k 1", &other).await.ok();
    server.end().await;
}

#[tokio::test]
async fn a_refused_request_may_be_tried_again_with_its_key() {
    let server = Running::start(store()).await;
    let (mut o, mut x) = (server.user("o").await, server.user("x").await);
    let path = "/v1/groups/g/members:join";
    let early = post(&mut x, path, "k", &json!({})).await;
    assert_eq!(early.code(), "group_not_found");
    o.post("/v1/groups", &json!({"group": "g", "name": "G"}))
        .await
        .ok();
    post(&mut x, path, "k", &json!({})).await.ok();
    post(&mut x, path, "k", &json!({})).await.ok();
    server.end().await;
}

#[tokio::test]
async fn a_retry_of_a_request_in_batches_replays_what_was_done_and_does_the_rest() {
    let server = Running::start(store()).await;
    let mut o = server.user("o").await;
    o.post("/v1/groups", &json!({"group": "g", "name": "G"}))
        .await
        .ok();
    let users: Vec<String> = (0..600).map(|at| format!("u{at}")).collect();
    let path = "/v1/groups/g/members:invite";
    let body = json!({"users": users});
    let first = post(&mut o, path, "k", &body).await.ok();
    let removed = json!({"users": users[..10]});
    o.post("/v1/groups/g/members:remove", &removed).await.ok();
    let again = post(&mut o, path, "k", &body).await.ok();
    assert_eq!(again.body, first.body);
    // The removed stay out.
    assert_eq!(o.list("members", "g").await.head.count, 592);
    server.end().await;
}

#[tokio::test]
async fn a_batch_of_nothing_is_no_request_that_comes_again() {
    let server = Running::start(store()).await;
    let mut service = server.service().await;
    let imports = [
        ("/v1/admin/friends", json!({"pairs": []})),
        ("/v1/admin/import", json!({"at": 0, "changes": []})),
    ];
    for (path, body) in imports {
        let answer = service.post(path, &body).await.ok();
        assert_eq!(answer.header("idempotency-replayed"), "", "{path}");
    }
    server.end().await;
}

#[tokio::test]
async fn answers_that_are_a_day_old_are_purged_and_newer_ones_stay() {
    let store = store();
    let server = Running::configured(store.clone(), &[("purge_interval_s", "1")]).await;
    let mut o = server.user("o").await;
    let body = |id: &str| json!({"group": id, "name": "G"});
    for id in ["a", "b", "c"] {
        post(&mut o, "/v1/groups", id, &body(id)).await.ok();
    }
    server.hands.move_on(24 * 60 * 60 * 1_000);
    let mut o = Client::connect(server.address, Some(server.token_now("o"))).await;
    post(&mut o, "/v1/groups", "d", &body("d")).await.ok();
    let kept = async || {
        let lists = store.lists(None, 100).await.unwrap();
        let answers = lists.iter().find(|line| line.list == key("answers", "o"));
        match answers.unwrap().state {
            ListState::Live(head) => head.count,
            ListState::Ended(_) | ListState::Absent(_) => 0,
        }
    };
    for _ in 0..500 {
        if kept().await == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(kept().await, 1);
    let again = post(&mut o, "/v1/groups", "d", &body("d")).await.ok();
    assert_eq!(again.header("idempotency-replayed"), "true");
    server.end().await;
}

#[tokio::test]
async fn keys_are_text_of_bounded_length() {
    let server = Running::start(store()).await;
    let mut o = server.user("o").await;
    let body = json!({"group": "g", "name": "G"});
    let field = "idempotency-key".to_owned();
    let invalid = (400, "invalid_field".to_owned(), field.clone(), 0);
    for bad in ["", "é", "a\tb"] {
        let reply = post(&mut o, "/v1/groups", bad, &body).await;
        assert_eq!(reply.refusal(), invalid, "{bad:?}");
    }
    let long = post(&mut o, "/v1/groups", &"k".repeat(129), &body).await;
    assert_eq!(long.refusal(), (413, "too_large".to_owned(), field, 128));
    post(&mut o, "/v1/groups", &"k".repeat(128), &body)
        .await
        .ok();
    server.end().await;
}

#[tokio::test]
async fn an_answer_outlives_the_process_and_no_reader_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let open = || SqliteStore::open(&path, Options::default());
    let body = json!({"group": "g", "name": "G"});
    let store = open().unwrap();
    let server = Running::start(store.clone()).await;
    let mut o = server.user("o").await;
    let first = post(&mut o, "/v1/groups", "k", &body).await.ok();
    server.end().await;
    drop(store);
    let server = Running::start(open().unwrap()).await;
    let mut o = server.user("o").await;
    let again = post(&mut o, "/v1/groups", "k", &body).await.ok();
    assert_eq!(again.body, first.body);
    for mut reader in [o, server.service().await] {
        let reply = reader.get("/v1/lists/answers/o").await;
        assert_eq!(reply.code(), "unknown_kind");
    }
    server.end().await;
}

#[tokio::test]
async fn a_write_is_done_only_to_the_item_that_its_sender_knows() {
    let server = Running::start(store()).await;
    let (mut o, mut x) = (server.user("o").await, server.user("x").await);
    o.post("/v1/groups", &json!({"group": "g", "name": "G"}))
        .await
        .ok();
    let tag = o.get("/v1/groups/g").await.ok().header("etag").to_owned();
    let describe = async |client: &mut Client, tag: &str, name: &str| {
        let headers = [JSON, ("if-match", tag)];
        let body = json!({"name": name}).to_string();
        client
            .send("PATCH", "/v1/groups/g", &headers, body.as_bytes())
            .await
    };
    let changed = describe(&mut o, &tag, "H").await.ok().json();
    let new = changed["changes"][0]["items"][0]["etag"].as_str().unwrap();
    assert_eq!(new, o.get("/v1/groups/g").await.ok().header("etag"));
    let failed = (
        412,
        "precondition_failed".to_owned(),
        "if-match".to_owned(),
        0,
    );
    assert_eq!(describe(&mut o, &tag, "I").await.refusal(), failed);
    describe(&mut o, &format!("{tag}, {new}"), "J").await.ok();
    describe(&mut o, "*", "K").await.ok();
    let field = describe(&mut o, "x", "L").await.refusal().2;
    assert_eq!(field, "if-match");
    assert_eq!(o.get("/v1/groups/g").await.ok().json()["name"], "K");
    // Whoever may not know the item learns nothing of it.
    assert_eq!(describe(&mut x, &tag, "X").await.code(), "group_not_found");
    // An operation about no single item does not pretend to check one.
    let headers = [JSON, ("if-match", "*")];
    let reply = x
        .send("POST", "/v1/groups/g/members:join", &headers, b"{}")
        .await;
    assert_eq!(reply.refusal().2, "if-match");
    let mut service = server.service().await;
    let report = json!({"activities": [{
        "conversation": {"user": ["a", "b"]}, "seq": 1, "at_ms": 1, "sender": "a", "preview": "",
    }]});
    let body = report.to_string();
    let reply = service
        .send("POST", "/v1/activity", &headers, body.as_bytes())
        .await;
    assert_eq!(reply.refusal().2, "if-match");
    server.end().await;
}
