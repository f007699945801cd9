//! What the OpenAPI document promises, held against every answer that any of
//! these tests gets, and against the server as a whole.

use crate::kit::{Client, NOW_MS, Reply, Running, store};
use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(highwater_server::openapi);

/// Operations and statuses that were seen, in this process.
static SEEN: LazyLock<Mutex<BTreeSet<(String, u16)>>> = LazyLock::new(Mutex::default);

/// Asserts that an answer is one that the document declares.
pub(crate) fn check(method: &str, path: &str, reply: &Reply) {
    let Some(operation) = operation(method, path) else {
        let known = [400, 404, 405, 503].contains(&reply.status);
        assert!(
            known,
            "{method} {path} is not declared and was answered {}",
            reply.status
        );
        return;
    };
    let id = operation["operationId"].as_str().unwrap();
    let what = format!("{id} ({method} {path}), answered {}", reply.status);
    SEEN.lock().insert((id.to_owned(), reply.status));
    let declared = &operation["responses"][reply.status.to_string()];
    assert!(declared.is_object(), "{what}: not declared");
    let content_type = reply
        .header("content-type")
        .split(';')
        .next()
        .unwrap_or_default();
    let Some(content) = declared["content"].as_object() else {
        assert!(reply.body.is_empty(), "{what}: a body is not declared");
        return;
    };
    let schema = content.get(content_type).map(|content| &content["schema"]);
    let schema = schema.unwrap_or_else(|| panic!("{what}: {content_type} is not declared"));
    if !content_type.ends_with("json") || !reply.header("content-encoding").is_empty() {
        return;
    }
    let validator = validator(id, reply.status, schema);
    let answer = reply.json();
    let errors: Vec<String> = validator
        .iter_errors(&answer)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{what}: {errors:?} in {answer}");
}

/// What holds JSON against the schema of an operation's answer: made once.
fn validator(id: &str, status: u16, schema: &Value) -> Arc<Validator> {
    type Made = BTreeMap<(String, u16), Arc<Validator>>;
    static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Mutex::default);
    let make = || {
        let mut schema = schema.clone();
        schema["components"] = DOCUMENT["components"].clone();
        close(&mut schema["components"]["schemas"]);
        Arc::new(jsonschema::validator_for(&schema).unwrap())
    };
    let mut made = MADE.lock();
    let of = (id.to_owned(), status);
    Arc::clone(made.entry(of).or_insert_with(make))
}

/// Lets messages of the protocol have no field but those that are declared: as
/// each may be left out, a misspelt one would pass.
fn close(schemas: &mut Value) {
    let messages = schemas.as_object_mut().unwrap().values_mut();
    let is_message = |schema: &&mut Value| {
        let about = schema["description"].as_str();
        about.is_some_and(|about| about.ends_with("in proto3's JSON mapping."))
    };
    let mut closed = 0;
    for schema in messages.filter(is_message) {
        schema["additionalProperties"] = json!(false);
        closed += 1;
    }
    assert!(closed > 20, "{closed}");
}

/// The operation that answers at an address.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default();
    let asked: Vec<&str> = path.split('/').collect();
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        // An owner may have slashes.
        let whole = template.starts_with("/v1/lists/") && asked.len() > parts.len();
        (parts.len() == asked.len() || whole)
            && parts
                .iter()
                .zip(&asked)
                .all(|(part, asked)| part == asked || part.starts_with('{') && !asked.is_empty())
    };
    let mut found: Vec<_> = paths
        .iter()
        .filter(|(template, _)| fits(template))
        .collect();
    // What is said outright goes before what stands for anything.
    found.sort_by_key(|(template, _)| template.matches('{').count());
    found.first()?.1.get(method.to_ascii_lowercase())
}

/// An operation's method, path and description.
type Declared = (String, String, &'static Value);

/// Every operation, by its id.
pub(crate) fn operations() -> &'static BTreeMap<String, Declared> {
    static ALL: LazyLock<BTreeMap<String, Declared>> = LazyLock::new(|| {
        let mut all = BTreeMap::new();
        for (path, methods) in DOCUMENT["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap().to_owned();
                let entry = (method.to_ascii_uppercase(), path.clone(), operation);
                let new = all.insert(id.clone(), entry).is_none();
                assert!(new, "{id} is there twice");
            }
        }
        all
    });
    &ALL
}

#[test]
fn the_document_is_whole() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    found.insert(target.clone());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    references(&DOCUMENT, &mut found);
    assert!(!found.is_empty());
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(
            DOCUMENT.pointer(pointer).is_some(),
            "{target} is not defined"
        );
    }
    for (id, (_, path, operation)) in operations() {
        assert!(
            !operation["summary"].as_str().unwrap().is_empty(),
            "{id} has no summary"
        );
        let named: BTreeSet<&str> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        let parameters = operation["parameters"].as_array().unwrap();
        let described: BTreeSet<&str> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(named, described, "{id}");
    }
}

/// A request that does what an operation is for, after those before it.
struct Step(&'static str, &'static str, &'static str, Value);

/// One for each operation in JSON, in an order in which each succeeds.
fn steps() -> Vec<Step> {
    let none = Value::Null;
    vec![
        Step(
            "service",
            "PUT",
            "/v1/users/a/profile",
            json!({"name": "A", "extra": {"x": [1]}}),
        ),
        Step("a", "PATCH", "/v1/users/a/profile", json!({"locale": "zh"})),
        Step("a", "GET", "/v1/users/a/profile", none.clone()),
        Step(
            "a",
            "PUT",
            "/v1/users/a/sent_friend_requests/b",
            json!({"message": "hi"}),
        ),
        Step("a", "GET", "/v1/users/a/sent_friend_requests", none.clone()),
        Step(
            "a",
            "GET",
            "/v1/users/a/sent_friend_requests/b",
            none.clone(),
        ),
        Step("b", "GET", "/v1/users/b/friend_requests", none.clone()),
        Step("b", "GET", "/v1/users/b/friend_requests/a", none.clone()),
        Step(
            "b",
            "POST",
            "/v1/users/b/friend_requests/a/accept",
            none.clone(),
        ),
        Step(
            "c",
            "PUT",
            "/v1/users/c/sent_friend_requests/b",
            none.clone(),
        ),
        Step(
            "b",
            "POST",
            "/v1/users/b/friend_requests/c/reject",
            json!({"answer": "no"}),
        ),
        Step(
            "c",
            "DELETE",
            "/v1/users/c/sent_friend_requests/b",
            none.clone(),
        ),
        Step(
            "a",
            "PATCH",
            "/v1/users/a/friends/b",
            json!({"remark": "Bee", "pinned": true}),
        ),
        Step("a", "GET", "/v1/users/a/friends", none.clone()),
        Step("a", "GET", "/v1/users/a/friends/b", none.clone()),
        Step("a", "DELETE", "/v1/users/a/friends/b", none.clone()),
        Step("a", "PUT", "/v1/users/a/blocks/c", none.clone()),
        Step("a", "GET", "/v1/users/a/blocks", none.clone()),
        Step("a", "GET", "/v1/users/a/blocks/c", none.clone()),
        Step("a", "DELETE", "/v1/users/a/blocks/c", none.clone()),
        Step(
            "a",
            "POST",
            "/v1/groups",
            json!({"group": "g", "name": "G"}),
        ),
        Step("a", "GET", "/v1/groups/g", none.clone()),
        Step("a", "PATCH", "/v1/groups/g", json!({"name": "H"})),
        Step("b", "POST", "/v1/groups/g/members:join", none.clone()),
        Step(
            "a",
            "POST",
            "/v1/groups/g/members:invite",
            json!({"users": ["b", "c"]}),
        ),
        Step(
            "a",
            "PUT",
            "/v1/groups/g/members/b/role",
            json!({"role": "admin"}),
        ),
        Step("a", "GET", "/v1/groups/g/members?limit=1", none.clone()),
        Step("a", "GET", "/v1/groups/g/members/b", none.clone()),
        Step("service", "GET", "/v1/groups/g/join_requests", none.clone()),
        Step("a", "GET", "/v1/users/a/groups", none.clone()),
        Step("a", "GET", "/v1/users/a/sent_join_requests", none.clone()),
        Step(
            "a",
            "POST",
            "/v1/groups/g/members:remove",
            json!({"users": ["c", "x"]}),
        ),
        Step("b", "POST", "/v1/groups/g/members:leave", json!({})),
        Step(
            "a",
            "PUT",
            "/v1/groups/g/announcement",
            json!({"text": "Tea at four"}),
        ),
        Step("a", "PUT", "/v1/groups/g/mute", json!({"muted": true})),
        Step(
            "a",
            "PUT",
            "/v1/groups/g/members/a/nickname",
            json!({"nickname": "Ay"}),
        ),
        Step(
            "a",
            "PUT",
            "/v1/groups/g/members/a/extra",
            json!({"extra": {"x": 1}}),
        ),
        Step(
            "service",
            "PUT",
            "/v1/groups/g/members/a/mute",
            json!({"until_ms": NOW_MS + 60_000}),
        ),
        Step(
            "a",
            "PATCH",
            "/v1/groups/g/rules",
            json!({"join_policy": "approval"}),
        ),
        Step(
            "d",
            "POST",
            "/v1/groups/g/members:join",
            json!({"message": "let me in"}),
        ),
        Step("a", "GET", "/v1/groups/g/join_requests", none.clone()),
        Step(
            "a",
            "POST",
            "/v1/groups/g/join_requests/d/reject",
            json!({"answer": "no"}),
        ),
        Step(
            "d",
            "DELETE",
            "/v1/users/d/sent_join_requests/g",
            none.clone(),
        ),
        Step("d", "POST", "/v1/groups/g/members:join", none.clone()),
        Step(
            "a",
            "POST",
            "/v1/groups/g/join_requests/d/approve",
            none.clone(),
        ),
        Step(
            "service",
            "POST",
            "/v1/activity",
            json!({"partial": true, "activities": [
                {"conversation": {"group": "g"}, "seq": 3, "at_ms": NOW_MS, "sender": "a", "preview": "hi", "mentions": ["d"]},
                {"conversation": {"user": ["a", "b"]}, "seq": 1, "at_ms": NOW_MS, "sender": "b"},
                {"conversation": {"system": "news", "to": ["a"]}, "seq": 1, "at_ms": NOW_MS},
                {"conversation": {"group": "none"}, "seq": 1, "at_ms": NOW_MS},
                {"seq": "x"},
            ]}),
        ),
        Step("a", "GET", "/v1/users/a/conversations", none.clone()),
        Step("a", "GET", "/v1/users/a/conversations/u:b", none.clone()),
        Step(
            "a",
            "PATCH",
            "/v1/users/a/conversations/g:g",
            json!({"pinned": true, "draft": "dear"}),
        ),
        Step(
            "d",
            "POST",
            "/v1/users/d/conversations/g:g/read",
            json!({"seq": 3}),
        ),
        Step(
            "a",
            "POST",
            "/v1/users/a/conversations/g:g/clear",
            none.clone(),
        ),
        Step(
            "a",
            "DELETE",
            "/v1/users/a/conversations/s:news",
            none.clone(),
        ),
        Step("a", "POST", "/v1/groups/g/transfer", json!({"to": "d"})),
        Step(
            "d",
            "PUT",
            "/v1/groups/g/members/a/role",
            json!({"role": "owner"}),
        ),
        Step(
            "a",
            "POST",
            "/v1/sync",
            json!({"protocol": 1, "lists": [{"kind": "groups", "owner": "a", "scan": {}}]}),
        ),
        Step("a", "GET", "/v1/lists/members/g", none.clone()),
        Step("a", "GET", "/v1/hello", none.clone()),
        Step("a", "DELETE", "/v1/groups/g", none.clone()),
        Step(
            "service",
            "POST",
            "/v1/admin/friends",
            json!({"partial": true, "pairs": [{"user": "a", "friend": "c"}, {"user": "a", "friend": "a"}]}),
        ),
        Step(
            "service",
            "POST",
            "/v1/admin/import",
            json!({"at": NOW_MS / 1_000, "changes": [{"op": "create", "group": "i", "name": "I"}]}),
        ),
        Step("service", "GET", "/v1/admin/status", none.clone()),
        Step("service", "GET", "/v1/admin/receipts", none.clone()),
        Step("service", "POST", "/v1/admin/audit", json!({"rows": 10})),
        Step(
            "a",
            "POST",
            "/v1/receipts",
            json!({"receipts": [{"kind": "groups", "owner": "a", "reason": "REASON_DIGEST", "rung": "RUNG_SKETCH"}]}),
        ),
        Step("c", "DELETE", "/v1/users/c", none.clone()),
        Step("a", "GET", "/healthz", none.clone()),
        Step("a", "GET", "/readyz", none.clone()),
        Step("a", "GET", "/metrics", none.clone()),
        Step("a", "GET", "/v1/openapi.json", none.clone()),
        Step("a", "GET", "/v1/docs", none),
    ]
}

async fn take(client: &mut Client, Step(who, method, path, body): &Step) -> Reply {
    let (headers, body): (&[_], _) = match body {
        Value::Null => (&[], String::new()),
        body => (&[("content-type", "application/json")], body.to_string()),
    };
    let reply = client.send(method, path, headers, body.as_bytes()).await;
    let said = String::from_utf8_lossy(&reply.body);
    assert!(
        reply.status < 300,
        "{who}: {method} {path}: {} {said}",
        reply.status
    );
    reply
}

/// A group with activity of its own, which takes more than 200 members.
async fn large_group(server: &Running) {
    let mut service = server.service().await;
    let group = json!({"group": "large", "name": "L", "owner": "l"});
    service.post("/v1/groups", &group).await.ok();
    let users: Vec<String> = (0..201).map(|at| format!("l{at}")).collect();
    let path = "/v1/groups/large/members:invite";
    service.post(path, &json!({"users": users})).await.ok();
    let activity = json!({"conversation": {"group": "large"}, "seq": 1, "at_ms": NOW_MS});
    let report = json!({"activities": [activity]});
    service.post("/v1/activity", &report).await.ok();
    let read = server
        .user("l7")
        .await
        .get("/v1/groups/large/activity")
        .await;
    assert_eq!(read.ok().json()["item"]["last"]["seq"], 1);
}

#[tokio::test]
async fn every_operation_that_is_declared_is_there_and_answers_as_declared() {
    let server = Running::configured(store(), &[("receipts_kept", "10")]).await;
    for step in steps() {
        let mut client = match step.0 {
            "service" => server.service().await,
            user => server.user(user).await,
        };
        take(&mut client, &step).await;
    }
    large_group(&server).await;
    let seen = SEEN.lock().clone();
    for (id, (_, _, operation)) in operations() {
        let responses = operation["responses"].as_object().unwrap();
        let good = responses
            .keys()
            .find(|status| status.starts_with('2'))
            .unwrap();
        let good = (id.clone(), good.parse().unwrap());
        assert!(seen.contains(&good), "no step brings a good answer of {id}");
    }
    // What is not declared is not there: each address, by each other method.
    let mut a = server.user("a").await;
    for (_, path, _) in operations().values() {
        let address = path.replace(['{', '}'], "");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if operation(method, &address).is_none() {
                let reply = a.send(method, &address, &[], &[]).await;
                assert_eq!(reply.status, 405, "{method} {path}");
            }
        }
    }
    server.end().await;
}

#[tokio::test]
async fn pages_go_through_a_list_once_and_end() {
    let server = Running::start(store()).await;
    let mut a = server.user("a").await;
    a.post("/v1/groups", &json!({"group": "g", "name": "G"}))
        .await
        .ok();
    let users: Vec<String> = (0..24).map(|at| format!("u{at:02}")).collect();
    let invite = json!({"users": users});
    a.post("/v1/groups/g/members:invite", &invite).await.ok();
    for limit in [1, 5, 25, 1_000] {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/groups/g/members?limit={limit}{after}");
            let page = a.get(&path).await.ok().json();
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= limit);
            found.extend(
                items
                    .iter()
                    .map(|item| item["id"].as_str().unwrap().to_owned()),
            );
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        let mut expected = vec!["a".to_owned()];
        expected.extend(users.clone());
        assert_eq!(found, expected, "in pages of {limit}");
    }
    let refused = |reply: Reply| (reply.status, reply.refusal().2);
    for (query, status, field) in [
        ("limit=0", 400, "limit"),
        ("limit=1001", 400, "limit"),
        ("limit=x", 400, "limit"),
        ("after=x", 400, "after"),
        ("limit=1&limit=2", 400, "limit"),
    ] {
        let reply = a.get(&format!("/v1/groups/g/members?{query}")).await;
        assert_eq!(refused(reply), (status, field.to_owned()), "{query}");
    }
    // What may not be read is not there.
    let mut x = server.user("x").await;
    for path in [
        "/v1/groups/g/members",
        "/v1/groups/g/members/a",
        "/v1/groups/h/members",
    ] {
        assert_eq!(
            refused(x.get(path).await),
            (404, "group".to_owned()),
            "{path}"
        );
    }
    assert_eq!(
        refused(x.get("/v1/users/a/friends").await),
        (403, "user".to_owned())
    );
    server.end().await;
}

#[tokio::test]
async fn an_item_that_the_reader_has_is_not_sent_again() {
    let server = Running::start(store()).await;
    let mut a = server.user("a").await;
    let path = "/v1/users/a/profile";
    assert_eq!(a.get(path).await.code(), "not_found");
    a.json("PUT", path, &json!({"name": "A"})).await.ok();
    let read = a.get(path).await.ok();
    let tag = read.header("etag").to_owned();
    assert_eq!(read.json()["etag"], tag);
    let again = a.send("GET", path, &[("if-none-match", &tag)], &[]).await;
    assert_eq!((again.status, again.header("etag")), (304, tag.as_str()));
    a.json("PATCH", path, &json!({"name": "B"})).await.ok();
    a.send("GET", path, &[("if-none-match", &tag)], &[])
        .await
        .ok();
    server.end().await;
}
