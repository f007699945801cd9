//! Syncing over HTTP, in both forms, and what it costs on the socket.

use crate::kit::{NOW_MS, Running, ids, scan, since, store};
use crate::rules::{create, dismiss, invite, join, leave, run, set_role};
use highwater_protocol::codec::Format;
use highwater_protocol::kinds::Role;
use highwater_protocol::message::{
    Answer, Cursor, DeltaEnd, DivergedReason, ListRequest, Position, SyncRequest, SyncResponse,
};
use highwater_protocol::{Digest, ItemId, Point, Version, limits, wire};
use highwater_store::Store as _;
use serde_json::json;

#[tokio::test]
async fn a_device_scans_falls_behind_and_catches_up() {
    let store = store();
    let server = Running::start(store.clone()).await;
    run(&store, create("g", Some("o"))).await.unwrap();
    run(&store, join("g", "m")).await.unwrap();
    let mut m = server.user("m").await;
    let Answer::Scan(page) = m.ask(scan("members", "g")).await else {
        panic!("a scan was asked for");
    };
    assert_eq!(ids(&page.rows), ["", "o", "m"]);
    assert!(page.whole && page.next.is_none());
    let copy = m.list("members", "g").await;
    assert_eq!(Some(copy.head.digest), page.proof);

    run(&store, set_role("o", "g", "m", Role::Owner))
        .await
        .unwrap();
    run(&store, join("g", "n")).await.unwrap();
    run(&store, leave("g", "o")).await.unwrap();
    let Answer::Delta(delta) = m.ask(since("members", "g", &copy)).await else {
        panic!("the copy is behind");
    };
    assert_eq!(ids(&delta.rows), ["m", "n"]);
    assert_eq!(delta.deleted, [ItemId::new("o").unwrap()]);
    let now = m.list("members", "g").await;
    assert_eq!(delta.end, DeltaEnd::Proof(now.head.digest, now.head.count));
    assert_eq!(m.ask(since("members", "g", &now)).await, Answer::Aligned);
    server.end().await;
}

/// An aligned check, head and body, on the socket.
#[tokio::test]
async fn an_aligned_answer_is_two_bytes_under_three_headers() {
    let store = store();
    let server = Running::start(store.clone()).await;
    run(&store, create("g", Some("o"))).await.unwrap();
    let mut o = server.user("o").await;
    let copy = o.list("members", "g").await;
    let request = SyncRequest {
        lists: vec![since("members", "g", &copy)],
        page_rows: limits::PAGE_ROWS,
    };
    let body = Format::Protobuf.encode(&wire::SyncRequest::from(request));
    let headers = [
        ("content-type", "application/x-protobuf"),
        ("accept-encoding", "hw1, zstd, gzip"),
    ];
    for _ in 0..2 {
        let reply = o.send("POST", "/v1/sync", &headers, &body).await.ok();
        assert_eq!(reply.body, [0x08, 1]);
        let names: Vec<_> = reply.headers.keys().map(String::as_str).collect();
        assert_eq!(names, ["content-length", "content-type"]);
        assert!(reply.bytes <= 85, "{} bytes", reply.bytes);
    }
    server.end().await;
}

#[tokio::test]
async fn what_is_aligned_is_answered_from_memory_and_all_else_from_the_store() {
    let store = store();
    let server = Running::start(store.clone()).await;
    run(&store, create("g", Some("o"))).await.unwrap();
    let mut o = server.user("o").await;
    let copy = o.list("members", "g").await;
    let own = o.list("groups", "o").await;
    let both = || vec![since("members", "g", &copy), since("groups", "o", &own)];
    assert_eq!(o.sync(both()).await.aligned, 2);
    // Another position with the right content is adopted, from memory too.
    let mut elsewhere = since("members", "g", &copy);
    if let Position::Cursor(cursor) = &mut elsewhere.position {
        cursor.point.version = Version::new(1);
    }
    assert_eq!(o.ask(elsewhere).await, Answer::Adopt(copy.head.point));
    let counted = |text: &str, name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let metrics = String::from_utf8(o.get("/metrics").await.body).unwrap();
    assert_eq!(counted(&metrics, "highwater_syncs_in_memory_total"), 2);
    assert_eq!(counted(&metrics, "highwater_syncs_from_store_total"), 0);

    // The same answers where nothing is in memory.
    store.offer_cached_states(false);
    assert_eq!(o.sync(both()).await.aligned, 2);
    let metrics = String::from_utf8(o.get("/metrics").await.body).unwrap();
    assert_eq!(counted(&metrics, "highwater_syncs_in_memory_total"), 2);
    assert_eq!(counted(&metrics, "highwater_syncs_from_store_total"), 1);
    server.end().await;
}

#[tokio::test]
async fn a_list_that_never_was_is_empty_and_stays_aligned() {
    let server = Running::start(store()).await;
    let mut x = server.user("x").await;
    let Answer::Scan(page) = x.ask(scan("groups", "x")).await else {
        panic!("a scan was asked for");
    };
    assert!(page.rows.is_empty() && page.next.is_none());
    let copy = x.list("groups", "x").await;
    assert_eq!(copy.head.point, page.point);
    assert_eq!(x.ask(since("groups", "x", &copy)).await, Answer::Aligned);
    server.end().await;
}

#[tokio::test]
async fn the_same_in_json_for_people() {
    let store = store();
    let server = Running::start(store.clone()).await;
    run(&store, create("g", Some("o"))).await.unwrap();
    let mut o = server.user("o").await;
    let request = json!({
        "protocol": 1,
        "lists": [
            {"kind": "members", "owner": "g", "scan": {"wholeUpTo": "10"}, "someday": true},
            {"kind": "planets", "owner": "o", "scan": {}},
        ],
    });
    let reply = o.post("/v1/sync", &request).await.ok();
    assert_eq!(reply.header("content-type"), "application/json");
    let answer = reply.json();
    assert_eq!(answer["answers"][0]["scan"]["rows"][1]["id"], "o");
    assert_eq!(answer["answers"][1]["list"], 1);
    assert_eq!(answer["answers"][1]["refused"]["code"], "unknown_kind");
    assert_eq!(answer["answers"][1]["refused"]["field"], "lists[1].kind");
    // The same messages: what JSON says reads as the protobuf does.
    let response: wire::SyncResponse = Format::Json.decode(reply.body.into()).unwrap();
    assert!(SyncResponse::parse(response, 2).is_ok());

    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/x-protobuf"),
    ];
    let body = request.to_string();
    let reply = o
        .send("POST", "/v1/sync", &headers, body.as_bytes())
        .await
        .ok();
    assert_eq!(reply.header("content-type"), "application/x-protobuf");
    let response: wire::SyncResponse = Format::Protobuf.decode(reply.body.into()).unwrap();
    assert!(SyncResponse::parse(response, 2).is_ok());
    server.end().await;
}

#[tokio::test]
async fn a_cursor_from_elsewhere_heals_and_is_no_error() {
    let store = store();
    let server = Running::start(store.clone()).await;
    run(&store, create("g", Some("o"))).await.unwrap();
    let mut o = server.user("o").await;
    let copy = o.list("members", "g").await;
    let with = |point: Point| ListRequest {
        position: Position::Cursor(Cursor {
            point,
            digest: Digest::ZERO,
            count: 0,
        }),
        ..since("members", "g", &copy)
    };
    let own = copy.head.point;
    let other = copy.head.point.lineage.get() ^ 1;
    let cases = [
        (
            Point {
                version: Version::new(99),
                ..own
            },
            DivergedReason::Ahead,
        ),
        (own, DivergedReason::Digest),
        (
            Point {
                lineage: highwater_protocol::Lineage::new(other).unwrap(),
                ..own
            },
            DivergedReason::Lineage,
        ),
    ];
    for (point, reason) in cases {
        let Answer::Diverged(diverged) = o.ask(with(point)).await else {
            panic!("{reason:?}");
        };
        assert_eq!(diverged.reason, reason);
        assert_eq!(diverged.head, copy.head);
    }
    // A restored server: its lineages are new, and the same content is adopted.
    store.reincarnate([9; 16]);
    let Answer::Adopt(point) = o.ask(since("members", "g", &copy)).await else {
        panic!("the content is the same");
    };
    assert_ne!(point.lineage, own.lineage);
    server.end().await;
}

#[tokio::test]
async fn a_thousand_lists_are_answered_in_one_request() {
    let store = store();
    let server = Running::start(store.clone()).await;
    let mut lists = Vec::new();
    for at in 0..1_000 {
        let id = format!("g{at}");
        run(&store, create(&id, Some("o"))).await.unwrap();
        lists.push(scan("members", &id));
    }
    let mut o = server.user("o").await;
    let response = o.sync(lists).await;
    assert_eq!(response.answers.len(), 1_000);
    // And again from what was learned about the reader's rights.
    let mut cursors = Vec::new();
    for at in 0..1_000 {
        let id = format!("g{at}");
        let copy = o.list("members", &id).await;
        cursors.push(since("members", &id, &copy));
    }
    assert_eq!(o.sync(cursors).await.aligned, 1_000);
    server.end().await;
}

#[tokio::test]
async fn a_whole_list_comes_once_and_then_by_its_tag() {
    let store = store();
    let server = Running::start(store.clone()).await;
    run(&store, create("org/team", Some("o"))).await.unwrap();
    let users: Vec<String> = (0..2_500).map(|at| format!("u{at:04}")).collect();
    for users in users.chunks(250) {
        let users: Vec<_> = users.iter().map(String::as_str).collect();
        run(&store, invite("o", "org/team", &users)).await.unwrap();
    }
    let mut o = server.user("o").await;
    // A slash within the owner may stand as it is.
    for path in ["/v1/lists/members/org%2Fteam", "/v1/lists/members/org/team"] {
        let reply = o.get(path).await.ok();
        assert_eq!(reply.header("content-type"), "application/json");
        assert_eq!(reply.header("vary"), "accept, accept-encoding");
        let rows = reply.json()["rows"].as_array().unwrap().len();
        assert_eq!(rows, 2_502);
        let tag = reply.header("etag").to_owned();
        for sent in [
            tag.as_str(),
            &format!("\"x\", {tag}"),
            tag.strip_prefix("W/").unwrap(),
            "*",
        ] {
            let unchanged = o.send("GET", path, &[("if-none-match", sent)], &[]).await;
            assert_eq!((unchanged.status, unchanged.body.len()), (304, 0), "{sent}");
        }
        let other = o
            .send("GET", path, &[("if-none-match", "\"0-1\"")], &[])
            .await;
        assert_eq!(other.status, 200);
        // A stranger learns nothing by a tag.
        let mut x = server.user("x").await;
        let refused = x.send("GET", path, &[("if-none-match", &tag)], &[]).await;
        assert_eq!(refused.status, 403);
    }
    let before = o
        .get("/v1/lists/members/org/team")
        .await
        .header("etag")
        .to_owned();
    run(&store, join("org/team", "late")).await.unwrap();
    let sent = [("if-none-match", before.as_str())];
    let after = o
        .send("GET", "/v1/lists/members/org/team", &sent, &[])
        .await
        .ok();
    assert_ne!(after.header("etag"), before);

    store.write(NOW_MS, dismiss("o", "org/team")).await.unwrap();
    let mut service = server.service().await;
    let ended = service.get("/v1/lists/members/org/team").await;
    assert_eq!(
        ended.refusal(),
        (404, "not_found".to_owned(), "owner".to_owned(), 0)
    );
    server.end().await;
}
