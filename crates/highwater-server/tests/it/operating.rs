//! What an operator sees: handshake, health, readiness, metrics, status.

use crate::kit::{Client, Running, store};
use crate::rules::{create, run};
use highwater_protocol::codec::Format;
use highwater_protocol::{limits, wire};
use highwater_store::memory::Outage;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn the_handshake_says_what_is_spoken_and_who_is_recognised() {
    let server = Running::start(store()).await;
    let hello = server.stranger().await.get("/v1/hello").await.ok().json();
    assert_eq!(hello["protocolMin"], 1);
    assert_eq!(hello["protocolMax"], 1);
    assert_eq!(hello["kinds"], json!(highwater_protocol::kinds::ALL));
    assert_eq!(
        hello["limits"]["requestBytes"],
        (8 * 1024 * 1024).to_string()
    );
    assert!(hello.get("user").is_none_or(|user| user == ""));
    let mut user = server.user("u1").await;
    let accept = [("accept", "application/x-protobuf")];
    let reply = user.send("GET", "/v1/hello", &accept, &[]).await.ok();
    let hello: wire::Hello = Format::Protobuf.decode(reply.body.into()).unwrap();
    assert_eq!(hello.user, "u1");
    assert_eq!(hello.limits, Some(limits::announced()));
    let mut expired = Client::connect(server.address, Some("x.y.z".to_owned())).await;
    let hello = expired.get("/v1/hello").await.ok().json();
    assert!(hello.get("user").is_none_or(|user| user == ""));
    server.end().await;
}

#[tokio::test]
async fn health_readiness_and_figures_take_no_token() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    let server = Running::start(store).await;
    let mut stranger = server.stranger().await;
    assert_eq!(stranger.get("/healthz").await.ok().body, b"alive\n");
    assert_eq!(stranger.get("/readyz").await.ok().body, b"ready\n");
    let mut o = server.user("o").await;
    o.post("/v1/groups/g/members:invite", &json!({"users": ["m"]}))
        .await
        .ok();
    o.get("/v1/lists/members/g").await.ok();
    o.get("/v1/lists/members/h").await;
    let reply = stranger.get("/metrics").await.ok();
    assert!(
        reply
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    let text = String::from_utf8(reply.body).unwrap();
    for line in [
        "highwater_http_requests_total{route=\"inviteMembers\",status=\"200\"} 1",
        "highwater_http_requests_total{route=\"readList\",status=\"403\"} 1",
        "highwater_http_requests_in_flight 1",
        "highwater_connections 2",
        "highwater_writes_total 1",
        "highwater_store_writable 1",
        "highwater_jobs 0",
        "highwater_oldest_job_age_seconds 0",
        "highwater_http_request_duration_seconds_count{route=\"readList\"} 2",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    // What is in a path is not in the figures.
    assert!(!text.contains("members/g"));
    server.end().await;
}

#[tokio::test]
async fn the_document_names_every_figure() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    let server = Running::configured(store.clone(), &[("receipts_kept", "1")]).await;
    // Some figures show only when there is something to count.
    let mut user = server.user("u1").await;
    user.sync(vec![crate::kit::scan("groups", "u1")]).await;
    let receipt = json!({"kind": "groups", "owner": "u1", "rung": "RUNG_LOCAL"});
    let body = json!({ "receipts": [receipt] });
    user.post("/v1/receipts", &body).await.ok();
    store.forge_head(&crate::kit::key("members", "g"), |head| head.count += 1);
    let mut service = server.service().await;
    service.post("/v1/admin/audit", &json!({})).await.ok();
    store.set_outage(Some(Outage::Full));
    let body = json!({"group": "h", "name": "H"});
    assert_eq!(user.post("/v1/groups", &body).await.code(), "read_only");
    let text = String::from_utf8(user.get("/metrics").await.body).unwrap();
    let document = include_str!("../../../../docs/operations.md");
    let mut figures = 0;
    for line in text.lines() {
        if let Some(name) = line
            .strip_prefix("# TYPE ")
            .and_then(|line| line.split(' ').next())
        {
            assert!(
                document.contains(&format!("`{name}")),
                "{name} is not documented"
            );
            figures += 1;
        }
    }
    // As many as the table has rows.
    let rows = document
        .lines()
        .filter(|line| line.starts_with("| `highwater_"));
    assert_eq!(figures, rows.count());
    server.end().await;
}

#[tokio::test]
async fn the_status_is_for_services() {
    let server = Running::start(store()).await;
    let refused = server.user("u1").await.get("/v1/admin/status").await;
    assert_eq!(
        refused.refusal(),
        (403, "forbidden".to_owned(), "authorization".to_owned(), 0)
    );
    let status = server
        .service()
        .await
        .get("/v1/admin/status")
        .await
        .ok()
        .json();
    assert_eq!(status["jobs"], 0);
    assert_eq!(status["oldest_job_age_ms"], 0);
    assert_eq!(status["writable"], true);
    assert_eq!(status["requests_in_flight"], 1);
    server.end().await;
}

#[tokio::test]
async fn a_busy_server_sends_requests_away_and_still_says_that_it_lives() {
    let server = Running::configured(store(), &[("requests_max", "1")]).await;
    // One request whose body does not come holds the only place.
    let mut slow = server.user("u1").await;
    let json = [
        ("content-type", "application/json"),
        ("content-length", "10"),
    ];
    slow.write("POST", "/v1/sync", &json, &[]).await.unwrap();
    let mut other = server.user("u2").await;
    let mut refused = None;
    for _ in 0..200 {
        let reply = other.get("/v1/lists/groups/u2").await;
        if reply.status == 503 {
            refused = Some(reply);
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let refused = refused.expect("there is room for one request");
    assert_eq!(refused.code(), "unavailable");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(other.get("/healthz").await.status, 200);
    // Whoever hangs up makes room.
    drop(slow);
    for _ in 0..200 {
        if other.get("/v1/lists/groups/u2").await.status == 200 {
            server.end().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the place stays taken");
}

#[tokio::test]
async fn tombstones_are_purged_by_age_as_configured() {
    use crate::rules::{join, leave};
    use highwater_store::Store as _;
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, join("g", "m")).await.unwrap();
    run(&store, leave("g", "m")).await.unwrap();
    let options = [("tombstone_age_days", "1"), ("purge_interval_s", "1")];
    let server = Running::configured(store.clone(), &options).await;
    let tombstones = || async {
        let lines = store.lists(None, 100).await.unwrap();
        lines.iter().map(|line| line.tombstones).sum::<u64>()
    };
    assert_eq!(tombstones().await, 2);
    server.hands.move_on(25 * 3_600_000);
    for _ in 0..500 {
        if tombstones().await == 0 {
            server.end().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing is purged");
}

#[tokio::test]
async fn http2_is_spoken_by_prior_knowledge() {
    use http_body_util::{BodyExt as _, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let server = Running::start(store()).await;
    let stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let request = || {
        http::Request::get(format!("http://{}/v1/lists/groups/u1", server.address))
            .header("authorization", format!("Bearer {}", server.token("u1")))
            .body(Empty::<bytes::Bytes>::new())
            .unwrap()
    };
    for _ in 0..3 {
        let response = sender.send_request(request()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.version(), http::Version::HTTP_2);
        assert!(!response.headers().contains_key("date"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(b"{\"head\":"), "{body:?}");
    }
    // A shutdown tells the client, and the connection ends in order.
    assert_eq!(server.end().await.cut, 0);
    assert!(connection.await.unwrap().is_ok());
}
