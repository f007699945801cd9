//! The operations as requests: addresses, bodies, answers.

use crate::kit::{Running, ids, store};
use highwater_protocol::kinds::{JoinedGroup, Payload as _};
use highwater_protocol::message::Content;
use serde_json::{Value, json};

/// The lists that an answer tells of.
pub(crate) fn changed(answer: &Value) -> Vec<String> {
    let changes = answer["changes"].as_array().unwrap().iter();
    changes
        .map(|change| {
            format!(
                "{}/{}",
                change["kind"].as_str().unwrap(),
                change["owner"].as_str().unwrap()
            )
        })
        .collect()
}

#[tokio::test]
async fn a_group_lives_its_life_over_http() {
    let server = Running::start(store()).await;
    let (mut o, mut m) = (server.user("o").await, server.user("m").await);
    let body = json!({"group": "org/team", "name": "Team", "description": "all of us"});
    let created = o.post("/v1/groups", &body).await;
    assert_eq!(created.status, 201);
    let created = created.json();
    let written = ["conversations/o", "groups/o", "members/org/team"];
    assert_eq!(changed(&created), written);
    assert_eq!(created["changes"][2]["from"], 0);
    assert_eq!(created["changes"][2]["version"], 2);
    let items = &created["changes"][2]["items"];
    assert_eq!(items[0]["id"], "");
    assert_eq!(items[0]["item"]["description"], "all of us");
    assert_eq!(items[1]["id"], "o");
    assert_eq!(items[1]["item"]["role"], "owner");
    assert_eq!(created["changes"][2]["count"], 2);
    assert_eq!(created["changes"][2]["lineage"].as_str().unwrap().len(), 16);
    assert_eq!(created["changes"][2]["digest"].as_str().unwrap().len(), 32);

    // A user sees their own list and the group's, nobody else's.
    server.hands.move_on(1_000);
    let joined = m
        .send("POST", "/v1/groups/org%2Fteam/members:join", &[], &[])
        .await;
    assert_eq!(
        changed(&joined.ok().json()),
        ["conversations/m", "groups/m", "members/org/team"]
    );
    let invited = json!({"users": ["a", "m", "b"]});
    let invited = o
        .post("/v1/groups/org%2Fteam/members:invite", &invited)
        .await
        .ok()
        .json();
    assert_eq!(changed(&invited), ["members/org/team"]);
    assert_eq!(
        invited["results"],
        json!([
            {"user": "a", "result": "added"},
            {"user": "m", "result": "already_member"},
            {"user": "b", "result": "added"},
        ])
    );

    let named = json!({"name": "New"});
    let named = o
        .json("PATCH", "/v1/groups/org%2fteam", &named)
        .await
        .ok()
        .json();
    assert_eq!(changed(&named), ["members/org/team"]);
    let profile = m.get("/v1/groups/org%2Fteam").await.ok().json();
    let expected = json!({
        "group": "org/team",
        "name": "New",
        "description": "all of us",
        "created_at_ms": crate::kit::NOW_MS,
        "members": 4,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(profile[name], *value, "{name}");
    }

    let role = json!({"role": "admin"});
    o.json("PUT", "/v1/groups/org%2Fteam/members/m/role", &role)
        .await
        .ok();
    let members = m.list("members", "org/team").await;
    assert_eq!(ids(&members.rows), ["", "o", "m", "a", "b"]);
    let removed = json!({"users": ["a", "o", "x"]});
    let removed = m
        .post("/v1/groups/org%2Fteam/members:remove", &removed)
        .await
        .ok()
        .json();
    assert_eq!(
        removed["results"],
        json!([
            {"user": "a", "result": "removed"},
            {"user": "o", "result": "forbidden"},
            {"user": "x", "result": "not_member"},
        ])
    );
    let groups = m.list("groups", "m").await;
    let Content::Payload(payload) = &groups.rows[0].content else {
        panic!("a snapshot has payloads");
    };
    let joined = JoinedGroup::decode(payload).unwrap();
    assert_eq!(joined.joined_at_ms, crate::kit::NOW_MS + 1_000);

    let left = m
        .post("/v1/groups/org%2Fteam/members:leave", &json!({}))
        .await
        .ok()
        .json();
    assert_eq!(changed(&left), ["conversations/m", "groups/m"]);
    let dismissed = o
        .send("DELETE", "/v1/groups/org%2Fteam", &[], &[])
        .await
        .ok()
        .json();
    // (The group's own list ended: who may read it is not to be known any more.)
    assert_eq!(changed(&dismissed), ["conversations/o", "groups/o"]);
    assert_eq!(dismissed["changes"][1]["deleted"], json!(["org/team"]));
    let again = o.send("DELETE", "/v1/groups/org%2Fteam", &[], &[]).await;
    assert_eq!(
        again.refusal(),
        (404, "group_not_found".to_owned(), "group".to_owned(), 0)
    );
    server.end().await;
}

/// An OpenIM server trusted the request: a join could name another user.
#[tokio::test]
async fn nobody_acts_for_another_but_a_service() {
    let server = Running::start(store()).await;
    let mut x = server.user("x").await;
    let forbidden = |field: &str| (403, "forbidden".to_owned(), field.to_owned(), 0);
    let body = json!({"group": "g", "name": "G", "owner": "o"});
    assert_eq!(
        x.post("/v1/groups", &body).await.refusal(),
        forbidden("owner")
    );
    let mut service = server.service().await;
    let created = service.post("/v1/groups", &body).await.ok().json();
    let written = ["conversations/o", "groups/o", "members/g"];
    assert_eq!(changed(&created), written);
    for verb in ["join", "leave"] {
        let path = format!("/v1/groups/g/members:{verb}");
        let other = x.post(&path, &json!({"user": "o"})).await;
        assert_eq!(other.refusal(), forbidden("user"), "{verb}");
        let nobody = service.post(&path, &json!({})).await;
        assert_eq!(
            nobody.refusal(),
            (400, "invalid_field".to_owned(), "user".to_owned(), 0)
        );
    }
    service
        .post("/v1/groups/g/members:join", &json!({"user": "y"}))
        .await
        .ok();
    let own = x
        .post("/v1/groups/g/members:join", &json!({"user": "x"}))
        .await
        .ok();
    let written = ["conversations/x", "groups/x", "members/g"];
    assert_eq!(changed(&own.json()), written);
    service
        .post("/v1/groups/g/members:leave", &json!({"user": "y"}))
        .await
        .ok();
    let last_owner = service
        .post("/v1/groups/g/members:leave", &json!({"user": "o"}))
        .await;
    assert_eq!(
        last_owner.refusal(),
        (409, "owner_required".to_owned(), "user".to_owned(), 0)
    );
    // A group that nobody is in yet.
    service
        .post("/v1/groups", &json!({"group": "h", "name": "H"}))
        .await
        .ok();
    assert_eq!(service.list("members", "h").await.head.count, 1);
    server.end().await;
}

#[tokio::test]
async fn a_thousand_users_are_invited_and_removed_at_once_and_no_more() {
    let server = Running::start(store()).await;
    let mut o = server.user("o").await;
    o.post("/v1/groups", &json!({"group": "g", "name": "G"}))
        .await
        .ok();
    let users =
        |count: usize| -> Vec<String> { (0..count).map(|at| format!("u{at:04}")).collect() };
    let path = "/v1/groups/g/members:invite";
    let too_many = o.post(path, &json!({"users": users(1_001)})).await;
    assert_eq!(
        too_many.refusal(),
        (400, "too_many".to_owned(), "users".to_owned(), 1_000)
    );
    let none = o.post(path, &json!({"users": []})).await;
    assert_eq!(
        none.refusal(),
        (400, "invalid_field".to_owned(), "users".to_owned(), 0)
    );
    let invited = o
        .post(path, &json!({"users": users(1_000)}))
        .await
        .ok()
        .json();
    assert_eq!(invited["results"].as_array().unwrap().len(), 1_000);
    assert_eq!(invited["changes"][3]["count"], 1_002);
    assert_eq!(o.list("members", "g").await.rows.len(), 1_002);
    let path = "/v1/groups/g/members:remove";
    let removed = o
        .post(path, &json!({"users": users(1_000)}))
        .await
        .ok()
        .json();
    assert_eq!(removed["changes"][3]["count"], 2);
    server.end().await;
}

#[tokio::test]
async fn where_joining_is_closed_one_is_invited() {
    let server = Running::configured(store(), &[("open_join", "false")]).await;
    let (mut o, mut x) = (server.user("o").await, server.user("x").await);
    o.post("/v1/groups", &json!({"group": "g", "name": "G"}))
        .await
        .ok();
    // Whether or not there is such a group.
    for id in ["g", "h"] {
        let path = format!("/v1/groups/{id}/members:join");
        let reply = x.post(&path, &json!({})).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "forbidden"));
    }
    let path = "/v1/groups/g/members:join";
    server
        .service()
        .await
        .post(path, &json!({"user": "y"}))
        .await
        .ok();
    let path = "/v1/groups/g/members:invite";
    o.post(path, &json!({"users": ["x"]})).await.ok();
    assert_eq!(x.list("members", "g").await.rows.len(), 4);
    server.end().await;
}

#[tokio::test]
async fn bodies_of_operations_are_checked_by_field() {
    let server = Running::start(store()).await;
    let mut o = server.user("o").await;
    o.post("/v1/groups", &json!({"group": "g", "name": "G"}))
        .await
        .ok();
    let long = "x".repeat(121);
    let cases = [
        (
            "POST",
            "/v1/groups",
            json!({"group": "", "name": "n"}),
            "invalid_field",
            "group",
            0,
        ),
        (
            "POST",
            "/v1/groups",
            json!({"group": long, "name": "n"}),
            "too_large",
            "group",
            120,
        ),
        (
            "POST",
            "/v1/groups",
            json!({"group": "h", "name": ""}),
            "invalid_field",
            "name",
            0,
        ),
        (
            "POST",
            "/v1/groups",
            json!({"group": "h", "name": "n".repeat(257)}),
            "too_large",
            "name",
            256,
        ),
        (
            "POST",
            "/v1/groups",
            json!({"group": "h", "name": "n", "description": "d".repeat(4_097)}),
            "too_large",
            "description",
            4_096,
        ),
        (
            "POST",
            "/v1/groups",
            json!({"name": "n"}),
            "malformed_message",
            "body",
            0,
        ),
        (
            "POST",
            "/v1/groups",
            json!([]),
            "malformed_message",
            "body",
            0,
        ),
        (
            "PATCH",
            "/v1/groups/g",
            json!({}),
            "invalid_field",
            "name",
            0,
        ),
        (
            "PATCH",
            "/v1/groups/g",
            json!({"name": ""}),
            "invalid_field",
            "name",
            0,
        ),
        (
            "PATCH",
            "/v1/groups/g",
            json!({"description": "d".repeat(4_097)}),
            "too_large",
            "description",
            4_096,
        ),
        (
            "POST",
            "/v1/groups/g/members:invite",
            json!({"users": ["a", long]}),
            "too_large",
            "users[1]",
            120,
        ),
        (
            "POST",
            "/v1/groups/g/members:remove",
            json!({"users": ["a", ""]}),
            "invalid_field",
            "users[1]",
            0,
        ),
        (
            "PUT",
            "/v1/groups/g/members/a/role",
            json!({"role": "king"}),
            "invalid_field",
            "role",
            0,
        ),
        (
            "POST",
            "/v1/groups/%FF/members:join",
            json!({}),
            "invalid_field",
            "path",
            0,
        ),
    ];
    for (method, path, body, code, field, limit) in cases {
        let reply = o.json(method, path, &body).await;
        let status = if code == "too_large" { 413 } else { 400 };
        assert_eq!(
            reply.refusal(),
            (status, code.to_owned(), field.to_owned(), limit),
            "{method} {path} {body}"
        );
    }
    let protobuf = [("content-type", "application/x-protobuf")];
    let reply = o.send("POST", "/v1/groups", &protobuf, b"\x0a\x01g").await;
    let expected = (
        415,
        "unsupported_media_type".to_owned(),
        "content-type".to_owned(),
        0,
    );
    assert_eq!(reply.refusal(), expected);
    let reply = o.send("POST", "/v1/groups", &[], b"{}").await;
    assert_eq!(reply.refusal(), expected);
    assert_eq!(o.list("groups", "o").await.rows.len(), 1);
    server.end().await;
}

#[tokio::test]
async fn extra_data_that_is_too_long_or_no_json_is_refused_wherever_it_is_given() {
    let store = store();
    crate::people::make_friends(&store, "o", "f").await;
    let server = Running::start(store).await;
    let mut o = server.user("o").await;
    o.post("/v1/groups", &json!({"group": "g", "name": "G"}))
        .await
        .ok();
    let long = json!({"name": "N", "extra": "x".repeat(4_095)});
    for (method, path) in [
        ("PUT", "/v1/users/o/profile"),
        ("PATCH", "/v1/users/o/friends/f"),
        ("PATCH", "/v1/users/o/conversations/g:g"),
        ("PATCH", "/v1/groups/g"),
        ("PUT", "/v1/groups/g/members/o/extra"),
    ] {
        let mut body = long.clone();
        if !path.ends_with("profile") {
            body.as_object_mut().unwrap().remove("name");
        }
        let reply = o.json(method, path, &body).await;
        let expected = (413, "too_large".to_owned(), "extra".to_owned(), 4_096);
        assert_eq!(reply.refusal(), expected, "{method} {path}");
        let json = [("content-type", "application/json")];
        let reply = o.send(method, path, &json, b"{\"extra\": {no}}").await;
        assert_eq!(reply.code(), "malformed_message", "{method} {path}");
    }
    server.end().await;
}

/// Fields in their order would be taken for the object, and change their meaning
/// with the next field.
#[tokio::test]
async fn an_array_is_no_body_and_no_entry() {
    let server = Running::start(store()).await;
    let (mut o, mut service) = (server.user("o").await, server.service().await);
    let name = json!(["name", null, null, null]);
    let reply = o.json("PATCH", "/v1/users/o/profile", &name).await;
    let (status, code, field, _) = reply.refusal();
    assert_eq!(
        (status, &*code, &*field),
        (400, "malformed_message", "body")
    );
    let change = json!({"at": 1, "changes": [["create", "g", null, null, "G"]]});
    let refused = service.post("/v1/admin/import", &change).await;
    assert_eq!(refused.refusal().2, "changes[0]");
    let entry = json!({"activities": [[{"group": "g"}, 1, 1, "a", ""]]});
    let refused = service.post("/v1/activity", &entry).await.ok().json();
    assert_eq!(refused["outcomes"][0]["code"], "malformed_message");
    server.end().await;
}

/// A misspelt rule would leave a group open that its owner believes closed.
#[tokio::test]
async fn a_field_that_no_operation_on_groups_knows_is_refused() {
    let server = Running::start(store()).await;
    let mut o = server.user("o").await;
    let group = json!({"group": "g", "name": "G", "seen_bye": "admins"});
    assert_eq!(
        o.post("/v1/groups", &group).await.code(),
        "malformed_message"
    );
    let group = json!({"group": "g", "name": "G", "seen_by": "admins"});
    let created = o.post("/v1/groups", &group).await.ok().json();
    let profile = &created["changes"][2]["items"][0]["item"];
    assert_eq!(profile["seen_by"], "admins");
    for (method, path, body) in [
        (
            "PATCH",
            "/v1/groups/g/rules",
            json!({"seen_by": "admins", "foo": 1}),
        ),
        ("PATCH", "/v1/groups/g", json!({"name": "H", "foo": 1})),
        ("POST", "/v1/groups/g/members:join", json!({"foo": 1})),
        ("POST", "/v1/groups/g/members:leave", json!({"foo": 1})),
        (
            "POST",
            "/v1/groups/g/members:invite",
            json!({"users": ["a"], "foo": 1}),
        ),
        (
            "PUT",
            "/v1/groups/g/members/o/role",
            json!({"role": "owner", "foo": 1}),
        ),
    ] {
        let reply = o.json(method, path, &body).await;
        assert_eq!(reply.code(), "malformed_message", "{path}");
    }
    server.end().await;
}

/// Lists with a header and lists without one.
#[tokio::test]
async fn the_pages_of_a_list_are_all_of_it_wherever_they_end() {
    let server = Running::start(store()).await;
    let (mut o, mut service) = (server.user("o").await, server.service().await);
    for at in 0..5 {
        let body = json!({"group": format!("g{at}"), "name": "G", "owner": "o"});
        service.post("/v1/groups", &body).await.ok();
    }
    let users = json!({"users": ["a", "b", "c", "d"]});
    let invited = o.post("/v1/groups/g0/members:invite", &users).await;
    invited.ok();
    for list in [
        "users/o/groups",
        "users/o/conversations",
        "groups/g0/members",
    ] {
        for limit in 1..=6 {
            let (mut found, mut after) = (Vec::new(), String::new());
            loop {
                let path = format!("/v1/{list}?limit={limit}{after}");
                let page = o.get(&path).await.ok().json();
                let items = page["items"].as_array().unwrap();
                found.extend(items.iter().map(|item| item["id"].to_string()));
                match page["next"].as_str() {
                    Some(next) => after = format!("&after={next}"),
                    None => break,
                }
            }
            found.sort();
            found.dedup();
            assert_eq!(found.len(), 5, "{list} in pages of {limit}");
        }
    }
    server.end().await;
}

#[tokio::test]
async fn a_page_goes_on_only_in_the_list_that_it_is_of() {
    let server = Running::start(store()).await;
    let (mut o, mut service) = (server.user("o").await, server.service().await);
    for group in ["g", "h"] {
        let body = json!({"group": group, "name": "G", "owner": "o"});
        service.post("/v1/groups", &body).await.ok();
    }
    let page = o.get("/v1/users/o/groups?limit=1").await.ok().json();
    let next = page["next"].as_str().unwrap();
    let rest = o
        .get(&format!("/v1/users/o/groups?after={next}"))
        .await
        .ok();
    assert_eq!(rest.json()["items"].as_array().unwrap().len(), 1);
    for other in [
        "users/o/friends",
        "groups/g/members",
        "users/o/conversations",
    ] {
        let reply = o.get(&format!("/v1/{other}?after={next}")).await;
        assert_eq!(reply.refusal().2, "after", "{other}");
    }
    server.end().await;
}
