//! Whatever is wrong with a request gets one clear refusal, changes nothing and
//! takes nothing down.

use crate::kit::{Client, Reply, Running, store};
use crate::rules::{create, run};
use highwater_protocol::codec::Format;
use highwater_protocol::wire;
use highwater_server::auth::{Algorithm, Key, issue};
use prost::Message as _;
use serde_json::json;

fn refused(status: u16, code: &str, field: &str, limit: u64) -> (u16, String, String, u64) {
    (status, code.to_owned(), field.to_owned(), limit)
}

#[tokio::test]
async fn tokens() {
    let server = Running::start(store()).await;
    let now_s = crate::kit::NOW_MS / 1_000;
    let other = Key::generate("test", Algorithm::Hs256).unwrap();
    let forged = issue(&other, "u1", None, now_s, 60).unwrap();
    let good = server.token("u1");
    let cases = [
        (None, "missing_token"),
        (Some("nonsense".to_owned()), "invalid_token"),
        (Some(forged), "invalid_token"),
        (Some(good[..good.len() - 4].to_owned()), "invalid_token"),
    ];
    for (token, code) in cases {
        let mut client = Client::connect(server.address, token).await;
        for (method, path) in [
            ("POST", "/v1/sync"),
            ("GET", "/v1/lists/groups/u1"),
            ("DELETE", "/v1/groups/g"),
        ] {
            let reply = client.send(method, path, &[], &[]).await;
            assert_eq!(
                reply.refusal(),
                refused(401, code, "authorization", 0),
                "{path}"
            );
            assert_eq!(reply.header("www-authenticate"), "Bearer");
        }
    }
    let mut client = Client::connect(server.address, Some(good)).await;
    client.get("/v1/lists/groups/u1").await.ok();
    // The token was good a moment ago, and is remembered.
    server.hands.move_on(3_700_000);
    let reply = client.get("/v1/lists/groups/u1").await;
    assert_eq!(
        reply.refusal(),
        refused(401, "expired_token", "authorization", 0)
    );
    let twice = [("authorization", "Bearer x")];
    let reply = client.send("GET", "/v1/lists/groups/u1", &twice, &[]).await;
    assert_eq!(reply.code(), "invalid_token");
    server.end().await;
}

async fn post_protobuf(client: &mut Client, request: &wire::SyncRequest) -> Reply {
    let protobuf = [("content-type", "application/x-protobuf")];
    let body = Format::Protobuf.encode(request);
    client.send("POST", "/v1/sync", &protobuf, &body).await
}

fn list(kind: &str, owner: &str) -> wire::ListRequest {
    wire::ListRequest {
        kind: kind.to_owned(),
        owner: owner.to_owned(),
        position: Some(wire::list_request::Position::Scan(wire::Scan::default())),
        ..Default::default()
    }
}

fn request(lists: Vec<wire::ListRequest>) -> wire::SyncRequest {
    wire::SyncRequest {
        protocol: 1,
        lists,
        page_rows: 0,
    }
}

#[tokio::test]
async fn fields_of_a_sync() {
    let server = Running::start(store()).await;
    let mut client = server.user("u1").await;
    let cursor = |cursor: wire::Cursor| wire::ListRequest {
        position: Some(wire::list_request::Position::Cursor(cursor)),
        ..list("groups", "u1")
    };
    let long = "x".repeat(129);
    let details = |count: usize, id: &str| wire::ListRequest {
        details: vec![id.to_owned(); count],
        ..list("groups", "u1")
    };
    let cases = [
        (request(vec![]), "invalid_field", "lists", 0),
        (
            request(vec![list("groups", "u1"); 1_001]),
            "too_many",
            "lists",
            1_000,
        ),
        (
            request(vec![list("groups", "u1"), list("groups", &long)]),
            "too_large",
            "lists[1].owner",
            128,
        ),
        (
            request(vec![list("groups", "")]),
            "invalid_field",
            "lists[0].owner",
            0,
        ),
        (
            request(vec![list("No Kind", "u1")]),
            "invalid_field",
            "lists[0].kind",
            0,
        ),
        (
            request(vec![list(&"k".repeat(65), "u1")]),
            "too_large",
            "lists[0].kind",
            64,
        ),
        (
            request(vec![cursor(wire::Cursor::default())]),
            "zero_lineage",
            "lists[0].cursor.lineage",
            0,
        ),
        (
            request(vec![cursor(wire::Cursor {
                lineage: 1,
                digest: vec![1; 15].into(),
                ..Default::default()
            })]),
            "invalid_field",
            "lists[0].cursor.digest",
            0,
        ),
        (
            request(vec![wire::ListRequest {
                position: None,
                ..list("groups", "u1")
            }]),
            "invalid_field",
            "lists[0].cursor",
            0,
        ),
        (
            request(vec![details(1_001, "x")]),
            "too_many",
            "lists.details",
            1_000,
        ),
        (
            request(vec![details(1, &long)]),
            "too_large",
            "lists[0].details[0]",
            128,
        ),
        (
            wire::SyncRequest {
                page_rows: 1_001,
                ..request(vec![list("groups", "u1")])
            },
            "too_many",
            "page_rows",
            1_000,
        ),
        (
            wire::SyncRequest {
                protocol: 9,
                ..request(vec![list("groups", "u1")])
            },
            "unsupported_protocol",
            "protocol",
            0,
        ),
    ];
    for (request, code, field, limit) in cases {
        let status = if code == "too_large" { 413 } else { 400 };
        let reply = post_protobuf(&mut client, &request).await;
        assert_eq!(reply.header("content-type"), "application/x-protobuf");
        assert_eq!(reply.refusal(), refused(status, code, field, limit));
        let json = Format::Json.encode(&request);
        let headers = [("content-type", "application/json")];
        let reply = client.send("POST", "/v1/sync", &headers, &json).await;
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.refusal(), refused(status, code, field, limit));
    }
    // An unknown kind refuses its list alone.
    let reply = post_protobuf(
        &mut client,
        &request(vec![list("planets", "u1"), list("groups", "u1")]),
    )
    .await;
    let response = wire::SyncResponse::decode(reply.ok().body.as_slice()).unwrap();
    let Some(wire::list_answer::Answer::Refused(no)) = &response.answers[0].answer else {
        panic!("an unknown kind");
    };
    assert_eq!(
        (no.code.as_str(), no.field.as_str()),
        ("unknown_kind", "lists[0].kind")
    );
    assert_eq!(response.answers.len(), 2);
    let reply = client.get("/v1/lists/planets/u1").await;
    assert_eq!(reply.refusal(), refused(404, "unknown_kind", "kind", 0));
    let reply = client.get(&format!("/v1/lists/groups/{long}")).await;
    assert_eq!(reply.refusal(), refused(413, "too_large", "owner", 128));
    server.end().await;
}

#[tokio::test]
async fn bodies_that_are_none() {
    let server = Running::start(store()).await;
    let mut client = server.user("u1").await;
    let protobuf = [("content-type", "application/x-protobuf")];
    let json = [("content-type", "application/json")];
    type Case<'a> = (
        &'a [(&'a str, &'a str)],
        &'a [u8],
        (u16, String, String, u64),
    );
    let cases: [Case<'_>; 8] = [
        (
            &protobuf,
            b"\xff\xff\xff",
            refused(400, "malformed_message", "", 0),
        ),
        (
            &protobuf,
            b"\x12\x7f\x01",
            refused(400, "malformed_message", "", 0),
        ),
        (
            &protobuf,
            b"",
            refused(400, "unsupported_protocol", "protocol", 0),
        ),
        (
            &json,
            b"{\"protocol\":",
            refused(400, "malformed_message", "", 0),
        ),
        (&json, b"[]", refused(400, "malformed_message", "", 0)),
        (
            &json,
            b"{\"protocol\":1,\"lists\":7}",
            refused(400, "malformed_message", "", 0),
        ),
        (
            &[],
            b"x",
            refused(415, "unsupported_media_type", "content-type", 0),
        ),
        (
            &[("content-type", "text/plain")],
            b"x",
            refused(415, "unsupported_media_type", "content-type", 0),
        ),
    ];
    for (headers, body, expected) in cases {
        let reply = client.send("POST", "/v1/sync", headers, body).await;
        assert_eq!(reply.refusal(), expected, "{headers:?} {body:?}");
    }
    // JSON nested beyond reason.
    let deep = format!("{{\"protocol\":1,\"x\":{}", "[".repeat(200_000));
    let reply = client
        .send("POST", "/v1/sync", &json, deep.as_bytes())
        .await;
    assert_eq!(reply.code(), "malformed_message");
    server.end().await;
}

#[tokio::test]
async fn requests_that_are_too_long_are_told_so_and_the_connection_is_not_reset() {
    let server = Running::start(store()).await;
    let limit = 8 * 1024 * 1024;
    let json = [("content-type", "application/json")];
    let expected = refused(413, "too_large", "body", limit as u64);
    let mut client = server.user("u1").await;
    let reply = client
        .send("POST", "/v1/sync", &json, &vec![b' '; limit + 1])
        .await;
    assert_eq!(reply.refusal(), expected);
    // Exactly the limit is read, and found to be no message.
    let mut client = server.user("u1").await;
    let reply = client
        .send("POST", "/v1/sync", &json, &vec![b' '; limit])
        .await;
    assert_eq!(reply.code(), "malformed_message");
    // Without a length, in chunks.
    let mut client = server.user("u1").await;
    let head = format!(
        "POST /v1/sync HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         authorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n",
        server.token("u1")
    );
    client.write_raw(head.as_bytes()).await;
    for _ in 0..9 {
        client.write_raw(b"100000\r\n").await;
        client.write_raw(&vec![b' '; 0x10_0000]).await;
        client.write_raw(b"\r\n").await;
    }
    client.write_raw(b"0\r\n\r\n").await;
    assert_eq!(client.read().await.unwrap().refusal(), expected);
    // Whoever asks first is not made to send.
    let mut client = server.user("u1").await;
    let head = head.replace(
        "transfer-encoding: chunked",
        &format!("expect: 100-continue\r\ncontent-length: {}", limit + 1),
    );
    client.write_raw(head.as_bytes()).await;
    assert_eq!(client.read().await.unwrap().refusal(), expected);
    server.end().await;
}

#[tokio::test]
async fn addresses_and_methods_that_are_not_there() {
    let server = Running::start(store()).await;
    let mut client = server.user("u1").await;
    for path in [
        "/",
        "/v1",
        "/v1/nothing",
        "/v1/groups/a/b/c",
        "/v1/lists/groups/",
    ] {
        let reply = client.get(path).await;
        assert_eq!(
            reply.refusal(),
            refused(404, "not_found", "path", 0),
            "{path}"
        );
    }
    for (method, path, allow) in [
        ("GET", "/v1/sync", "POST"),
        ("PUT", "/v1/groups/g", "GET,HEAD,PATCH,DELETE"),
        ("POST", "/healthz", "GET,HEAD"),
    ] {
        let reply = client.send(method, path, &[], &[]).await;
        assert_eq!(
            reply.refusal(),
            refused(405, "method_not_allowed", "method", 0)
        );
        let mut allowed: Vec<_> = reply.header("allow").split(',').collect();
        allowed.sort_unstable();
        let mut expected: Vec<_> = allow.split(',').collect();
        expected.sort_unstable();
        assert_eq!(allowed, expected, "{path}");
    }
    let accept = [("accept", "application/x-protobuf")];
    let reply = client.send("GET", "/nothing", &accept, &[]).await;
    assert_eq!(reply.header("content-type"), "application/x-protobuf");
    assert_eq!(reply.code(), "not_found");
    server.end().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_or_is_late() {
    let server = Running::configured(
        store(),
        &[("body_timeout_ms", "100"), ("header_timeout_ms", "200")],
    )
    .await;
    let head = format!(
        "POST /v1/sync HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         authorization: Bearer {}\r\ncontent-length: 100\r\n\r\n",
        server.token("u1")
    );
    let mut client = server.user("u1").await;
    client.write_raw(head.as_bytes()).await;
    let late = client.read().await.unwrap();
    assert_eq!(late.refusal(), refused(400, "malformed_message", "body", 0));
    // Half a head, nothing at all, half of what HTTP/2 begins with: closed.
    for start in ["POST /v1/sy", "", "PR"] {
        let mut client = server.stranger().await;
        client.write_raw(start.as_bytes()).await;
        let ended = tokio::time::timeout(std::time::Duration::from_secs(5), client.read_any());
        ended
            .await
            .unwrap_or_else(|_| panic!("{start:?} is left open"));
    }
    assert_eq!(server.stranger().await.get("/healthz").await.status, 200);
    server.end().await;
}

#[tokio::test]
async fn garbage_takes_nothing_down() {
    let store = store();
    let server = Running::start(store.clone()).await;
    run(&store, create("g", Some("o"))).await.unwrap();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut client = server.user("o").await;
    for round in 0..300 {
        let length = round % 67;
        let body: Vec<u8> = (0..length)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                u8::try_from(seed & 0xff).unwrap()
            })
            .collect();
        let format = ["application/x-protobuf", "application/json"][round % 2];
        let coding = ["identity", "gzip", "zstd", "hw1"][round % 4];
        let headers = [("content-type", format), ("content-encoding", coding)];
        for path in ["/v1/sync", "/v1/groups", "/v1/groups/g/members:invite"] {
            let reply = client.send("POST", path, &headers, &body).await;
            assert!((400..500).contains(&reply.status), "{path} {body:?}");
            reply.refusal();
        }
    }
    let body = json!({"users": ["m"]});
    client.post("/v1/groups/g/members:invite", &body).await.ok();
    server.end().await;
}
