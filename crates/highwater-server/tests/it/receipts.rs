//! What devices tell of their repairs.

use crate::kit::{Client, Running, key, scan, since, store};
use crate::rules::{create, run};
use highwater_protocol::codec::Format;
use highwater_protocol::message::{
    Cost, Cursor, Difference, Reason, Receipt, Receipts, Rung, Standing,
};
use highwater_protocol::{Digest, ItemId, Lineage, Point, Version, wire};
use serde_json::{Value, json};

fn receipt(owner: &str, reason: Reason, rung: Rung) -> Receipt {
    let at = Cursor {
        point: Point {
            lineage: Lineage::new(7).unwrap(),
            version: Version::new(9),
        },
        digest: Digest::ZERO,
        count: 3,
    };
    Receipt {
        list: key("members", owner),
        reason,
        rung,
        mended: true,
        difference: Difference {
            added: 1,
            removed: 2,
            changed: 3,
            ids: vec![ItemId::header(), ItemId::new("u1").unwrap()],
        },
        cost: Cost {
            requests: 2,
            bytes_up: 110,
            bytes_down: 930,
            item_bytes: 19,
        },
        began_at_ms: 1_000,
        duration_ms: 250,
        before: Standing::default(),
        after: Standing {
            device: Some(at),
            server: None,
        },
    }
}

async fn post(client: &mut Client, receipts: Vec<Receipt>) -> crate::kit::Reply {
    let body = Format::Protobuf.encode(&wire::Receipts::from(Receipts(receipts)));
    let protobuf = [("content-type", "application/x-protobuf")];
    client.send("POST", "/v1/receipts", &protobuf, &body).await
}

async fn kept(server: &Running) -> Vec<Value> {
    let mut service = server.service().await;
    let answer = service.get("/v1/admin/receipts").await.ok().json();
    answer["receipts"].as_array().unwrap().clone()
}

#[tokio::test]
async fn receipts_are_counted_by_reason_and_rung_and_the_last_are_kept() {
    let server = Running::configured(store(), &[("receipts_kept", "3")]).await;
    let mut user = server.user("u1").await;
    let sketch = receipt("g1", Reason::Purged, Rung::Sketch);
    let reply = post(&mut user, vec![sketch.clone(), sketch.clone()])
        .await
        .ok();
    let taken: wire::ReceiptsTaken = Format::Protobuf.decode(reply.body.into()).unwrap();
    assert_eq!(taken.taken, 2);
    let quarantined = Receipt {
        mended: false,
        ..receipt("g2", Reason::Digest, Rung::Reload)
    };
    post(
        &mut user,
        vec![quarantined, receipt("g3", Reason::Damage, Rung::Local)],
    )
    .await
    .ok();
    let kept = kept(&server).await;
    let lists: Vec<&str> = kept
        .iter()
        .map(|line| line["list"].as_str().unwrap())
        .collect();
    assert_eq!(lists, ["members/g3", "members/g2", "members/g1"]);
    assert_eq!(
        kept[2],
        json!({
            "at_ms": crate::kit::NOW_MS, "user": "u1", "list": "members/g1",
            "reason": "purged", "rung": "sketch", "mended": true,
            "added": 1, "removed": 2, "changed": 3, "ids": ["", "u1"],
            "requests": 2, "bytes_up": 110, "bytes_down": 930, "item_bytes": 19,
            "began_at_ms": 1_000, "duration_ms": 250,
            "before": {"device": null, "server": null},
            "after": {
                "device": {
                    "lineage": "0000000000000007", "version": 9,
                    "digest": "00000000000000000000000000000000", "count": 3
                },
                "server": null
            },
        })
    );
    let metrics = String::from_utf8(user.get("/metrics").await.ok().body).unwrap();
    for line in [
        "highwater_device_repairs_total{reason=\"purged\",rung=\"sketch\",outcome=\"mended\"} 2",
        "highwater_device_repairs_total{reason=\"digest\",rung=\"reload\",outcome=\"quarantined\"} 1",
        "highwater_device_repairs_total{reason=\"damage\",rung=\"local\",outcome=\"mended\"} 1",
    ] {
        assert!(
            metrics.lines().any(|at| at == line),
            "{line} is not in {metrics}"
        );
    }
    server.end().await;
}

#[tokio::test]
async fn a_server_that_wants_none_neither_asks_nor_takes() {
    for (kept, asked) in [("0", false), ("10", true)] {
        let store = store();
        run(&store, create("g", Some("o"))).await.unwrap();
        let server = Running::configured(store, &[("receipts_kept", kept)]).await;
        let mut o = server.user("o").await;
        let copy = o.list("members", "g").await;
        for (list, expected) in [
            (scan("members", "g"), asked),
            // Whoever is aligned is told nothing.
            (since("members", "g", &copy), false),
        ] {
            let request = highwater_protocol::message::SyncRequest {
                lists: vec![list],
                page_rows: 1_000,
            };
            let body = Format::Protobuf.encode(&wire::SyncRequest::from(request));
            let protobuf = [("content-type", "application/x-protobuf")];
            let reply = o.send("POST", "/v1/sync", &protobuf, &body).await.ok();
            let response: wire::SyncResponse = Format::Protobuf.decode(reply.body.into()).unwrap();
            assert_eq!(response.receipts, expected);
        }
        let reply = post(&mut o, vec![receipt("g", Reason::Digest, Rung::Sketch)]).await;
        assert_eq!(reply.status, if asked { 200 } else { 404 });
        server.end().await;
    }
}

#[tokio::test]
async fn bad_receipts_are_refused_with_field_and_limit() {
    let server = Running::configured(store(), &[("receipts_kept", "10")]).await;
    let mut user = server.user("u1").await;
    let good = || json!({"kind": "members", "owner": "g", "rung": "RUNG_SKETCH"});
    let with = |name: &str, value: Value| {
        let mut receipt = good();
        receipt[name] = value;
        json!({ "receipts": [receipt] })
    };
    user.post("/v1/receipts", &json!({"receipts": [good()]}))
        .await
        .ok();
    let many = |count: usize| json!({"receipts": vec![good(); count]});
    for (body, code, field, limit) in [
        (json!({}), "invalid_field", "receipts", 0),
        (many(101), "too_many", "receipts", 100),
        (
            with("ids", json!(vec!["x"; 101])),
            "too_many",
            "receipts[0].ids",
            100,
        ),
        (
            with("ids", json!(["x".repeat(129)])),
            "too_large",
            "receipts[0].ids",
            128,
        ),
        (
            with("kind", json!("No Kind")),
            "invalid_field",
            "receipts[0].kind",
            0,
        ),
        (
            with("owner", json!("")),
            "invalid_field",
            "receipts[0].owner",
            0,
        ),
        (
            with("rung", json!(0)),
            "invalid_field",
            "receipts[0].rung",
            0,
        ),
        (
            with("before", json!({"device": {"version": "1"}})),
            "zero_lineage",
            "receipts[0].before.device.lineage",
            0,
        ),
        (json!({"receipts": [7]}), "malformed_message", "", 0),
    ] {
        let refusal = user.post("/v1/receipts", &body).await.refusal();
        let expected = (400, code.to_owned(), field.to_owned(), limit);
        let refusal = (400, refusal.1, refusal.2, refusal.3);
        assert_eq!(refusal, expected, "{body}");
    }
    // Far more than fits, in either form: refused before it is decoded.
    let empty = [0x0a, 0].repeat(2_000_000);
    let protobuf = [("content-type", "application/x-protobuf")];
    let reply = user.send("POST", "/v1/receipts", &protobuf, &empty).await;
    assert_eq!(reply.refusal().2, "receipts");
    let flood = json!({"receipts": vec![json!({}); 100_000]});
    assert_eq!(user.post("/v1/receipts", &flood).await.code(), "too_many");

    let mut service = server.service().await;
    let reply = post(
        &mut service,
        vec![receipt("g", Reason::Digest, Rung::Sketch)],
    )
    .await;
    assert_eq!(reply.code(), "forbidden");
    assert_eq!(user.get("/v1/admin/receipts").await.code(), "forbidden");
    assert_eq!(kept(&server).await.len(), 1);
    server.end().await;
}

#[tokio::test]
async fn a_user_may_post_so_many_in_a_minute() {
    let server = Running::configured(store(), &[("receipts_kept", "1000")]).await;
    let (mut u1, mut u2) = (server.user("u1").await, server.user("u2").await);
    let hundred = || vec![receipt("g", Reason::Digest, Rung::Sketch); 100];
    post(&mut u1, hundred()).await.ok();
    post(&mut u1, hundred()).await.ok();
    let reply = post(&mut u1, hundred()).await;
    let (_, code, field, limit) = reply.refusal();
    assert_eq!(
        (code.as_str(), field.as_str(), limit),
        ("too_many", "receipts", 200)
    );
    post(&mut u2, hundred()).await.ok();
    server.hands.move_on(60_000);
    post(&mut u1, hundred()).await.ok();
    assert_eq!(kept(&server).await.len(), 400);
    server.end().await;
}
