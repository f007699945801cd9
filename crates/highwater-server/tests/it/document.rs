//! The document as people meet it: its examples, and the page to browse it.

use crate::contract::{DOCUMENT, operations};
use crate::kit::{Running, store};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Ann and Bob, and their group, whom the examples are about.
async fn of_the_examples() -> Running {
    let server = Running::configured(store(), &[("receipts_kept", "10")]).await;
    let mut service = server.service().await;
    for (path, body) in [
        (
            "/v1/groups",
            json!({"group": "tea", "name": "Tea", "owner": "ann"}),
        ),
        ("/v1/groups/tea/members:invite", json!({"users": ["bob"]})),
        (
            "/v1/admin/friends",
            json!({"pairs": [{"user": "ann", "friend": "bob"}]}),
        ),
    ] {
        service.post(path, &body).await.ok();
    }
    server
}

#[tokio::test]
async fn every_body_has_an_example_that_fits_its_schema_and_that_the_server_can_read() {
    let mut sent = 0;
    for (id, (method, path, operation)) in operations() {
        let Some(body) = operation.pointer("/requestBody/content/application~1json") else {
            continue;
        };
        let example = &body["example"];
        assert!(example.is_object(), "{id} has no example");
        let mut schema = body["schema"].clone();
        schema["components"] = DOCUMENT["components"].clone();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(example)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{id}: {errors:?}");

        let server = of_the_examples().await;
        let mut client = match id.as_str() {
            "postReceipts" => server.user("ann").await,
            _ => server.service().await,
        };
        let reply = client
            .json(method, &addressed(path, operation), example)
            .await;
        // There may be no such request, or already such a group.
        assert!(
            [200, 201, 404, 409].contains(&reply.status),
            "{id}: {} {}",
            reply.status,
            String::from_utf8_lossy(&reply.body)
        );
        sent += 1;
    }
    assert!(sent > 20, "{sent}");
}

/// An operation's address with what its parameters have as examples.
fn addressed(path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().unwrap().iter();
    let in_path = parameters.filter(|parameter| parameter["in"] == "path");
    in_path.fold(path.to_owned(), |path, parameter| {
        let name = parameter["name"].as_str().unwrap();
        let example = parameter["example"].as_str().unwrap();
        path.replace(&format!("{{{name}}}"), example)
    })
}

/// What stands between two marks, each of which is there once.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap();
    let (found, rest) = rest.split_once(to).unwrap();
    assert!(!rest.contains(from));
    found
}

#[tokio::test]
async fn the_page_is_in_one_piece_and_a_browser_lets_it_do_no_more_than_it_has_to() {
    let server = Running::start(store()).await;
    let reply = server.stranger().await.get("/v1/docs").await.ok();
    let page = String::from_utf8(reply.body.clone()).unwrap();
    let hash = |part: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(part)));
    let style = hash(between(&page, "<style>", "</style>"));
    let script = hash(between(&page, "<script>", "</script>"));
    let policy = reply.header("content-security-policy");
    for part in [
        "default-src 'none'".to_owned(),
        "connect-src 'self'".to_owned(),
        format!("style-src {style}"),
        format!("script-src {script}"),
    ] {
        assert!(
            policy.split("; ").any(|known| known == part),
            "{part} is not in {policy}"
        );
    }
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    // What the policy would keep from working, and what would be elsewhere.
    for not in [" style=", " onclick=", "://", "{style}", "{script}"] {
        assert!(!page.contains(not), "{not}");
    }
    server.end().await;
}
