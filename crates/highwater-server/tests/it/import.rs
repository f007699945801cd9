//! A history that happened elsewhere, recorded as it was.

use crate::kit::{Hands, Running, store};
use crate::rules::{assert_in_step, groups, members, rows};
use highwater_protocol::kinds::{Circle, GroupProfile, JoinedGroup, Member, Payload as _, Role};
use highwater_protocol::{Code, Refusal};
use highwater_server::Metrics;
use highwater_server::domain::{
    Conditions, Directory, FanOut, GroupId, ImportRequest, UserId, Written,
};
use highwater_store::memory::MemoryStore;
use serde_json::{Value, json};
use std::sync::Arc;

const AT: i64 = 1_534_997_499;

/// Imports changes, given as a JSON array, and carries out what they queue.
pub(crate) async fn import(store: &MemoryStore, changes: &str) -> Result<Written<()>, Refusal> {
    let line = format!(r#"{{"at":{AT},"changes":{changes}}}"#);
    let request = ImportRequest::parse(line.as_bytes())?;
    let fan_out = Arc::new(FanOut::new(store.clone()));
    let clock = Hands::new().clock();
    let metrics = Arc::new(Metrics::new());
    let directory = Directory::new(store.clone(), Arc::clone(&fan_out), clock.clone(), metrics);
    let changed = directory.import(request, &Conditions::default()).await;
    fan_out.finish(&clock).await.unwrap();
    changed
}

/// The first lines of a real history, shortened.
const SAMPLE: &str = r#"[
    {"op":"create","group":"kubernetes","name":"Kubernetes"},
    {"op":"create","group":"kubernetes/sig-x","name":"Special interest"},
    {"op":"join","group":"kubernetes","user":"u00001","role":"owner"},
    {"op":"join","group":"kubernetes","user":"u00002","role":"owner"},
    {"op":"join","group":"kubernetes","user":"u00003","role":"member"},
    {"op":"join","group":"kubernetes/sig-x","user":"u00003","role":"member"},
    {"op":"rename","group":"kubernetes/sig-x","name":"SIG X"},
    {"op":"leave","group":"kubernetes","user":"u00001"},
    {"op":"role","group":"kubernetes","user":"u00003","role":"admin"}]"#;

#[tokio::test]
async fn groups_without_an_owner_and_with_several_are_recorded() {
    let store = store();
    import(&store, SAMPLE).await.unwrap();
    let kubernetes = [
        ("u00002".to_owned(), Role::Owner),
        ("u00003".to_owned(), Role::Admin),
    ];
    assert_eq!(members(&store, "kubernetes").await, kubernetes);
    let sig = [("u00003".to_owned(), Role::Member)];
    assert_eq!(members(&store, "kubernetes/sig-x").await, sig);
    assert_eq!(
        groups(&store, "u00003").await,
        ["kubernetes", "kubernetes/sig-x"]
    );
    assert_in_step(&store).await;

    // The times are the history's.
    let list = GroupId::new("kubernetes/sig-x").unwrap().members();
    let rows = rows(&store, &list).await;
    let profile = GroupProfile {
        name: "SIG X".to_owned(),
        description: String::new(),
        created_at_ms: AT * 1_000,
        invited_by: Some(Circle::Admins),
        seen_by: Some(Circle::Members),
        ..GroupProfile::default()
    };
    assert_eq!(GroupProfile::decode(&rows[0].1).unwrap(), profile);
    let member = Member {
        role: Role::Member,
        joined_at_ms: AT * 1_000,
        ..Member::default()
    };
    assert_eq!(Member::decode(&rows[1].1).unwrap(), member);
    let list = UserId::new("u00003").unwrap().groups();
    let (_, payload) = &crate::rules::rows(&store, &list).await[0];
    let joined = JoinedGroup {
        joined_at_ms: AT * 1_000,
    };
    assert_eq!(JoinedGroup::decode(payload).unwrap(), joined);
}

#[tokio::test]
async fn a_group_may_empty_and_be_dismissed_with_members_and_begin_again() {
    let store = store();
    import(&store, SAMPLE).await.unwrap();
    import(
        &store,
        r#"[{"op":"leave","group":"kubernetes/sig-x","user":"u00003"},
            {"op":"dismiss","group":"kubernetes"},
            {"op":"create","group":"kubernetes","name":"Again"},
            {"op":"join","group":"kubernetes","user":"u00002","role":"member"}]"#,
    )
    .await
    .unwrap();
    assert_eq!(members(&store, "kubernetes/sig-x").await, []);
    let again = [("u00002".to_owned(), Role::Member)];
    assert_eq!(members(&store, "kubernetes").await, again);
    assert_eq!(groups(&store, "u00003").await, Vec::<String>::new());
    assert_in_step(&store).await;
    // The empty group is still there.
    let join = r#"[{"op":"join","group":"kubernetes/sig-x","user":"u9","role":"owner"}]"#;
    import(&store, join).await.unwrap();
}

#[tokio::test]
async fn a_change_that_contradicts_the_history_undoes_its_batch() {
    let cases = [
        (
            r#"{"op":"leave","group":"g","user":"x"}"#,
            Code::NotMember,
            "user",
        ),
        (
            r#"{"op":"role","group":"g","user":"x","role":"owner"}"#,
            Code::NotMember,
            "user",
        ),
        (
            r#"{"op":"join","group":"g","user":"m","role":"owner"}"#,
            Code::AlreadyMember,
            "user",
        ),
        (
            r#"{"op":"create","group":"g","name":"n"}"#,
            Code::GroupExists,
            "group",
        ),
        (
            r#"{"op":"join","group":"h","user":"m","role":"owner"}"#,
            Code::GroupNotFound,
            "group",
        ),
        (
            r#"{"op":"leave","group":"h","user":"m"}"#,
            Code::GroupNotFound,
            "group",
        ),
        (
            r#"{"op":"rename","group":"h","name":"n"}"#,
            Code::GroupNotFound,
            "group",
        ),
        (
            r#"{"op":"dismiss","group":"h"}"#,
            Code::GroupNotFound,
            "group",
        ),
    ];
    for (change, code, field) in cases {
        let store = store();
        let before = r#"[{"op":"create","group":"g","name":"n"},
            {"op":"join","group":"g","user":"m","role":"member"}]"#;
        import(&store, before).await.unwrap();
        let changes =
            format!(r#"[{{"op":"join","group":"g","user":"n","role":"member"}},{change}]"#);
        let no = import(&store, &changes).await.unwrap_err();
        assert_eq!(
            (no.code, no.field),
            (code, format!("changes[1].{field}")),
            "{change}"
        );
        let members = members(&store, "g").await;
        assert_eq!(members, [("m".to_owned(), Role::Member)], "{change}");
        assert_in_step(&store).await;
    }
}

fn joins(users: std::ops::Range<usize>) -> Vec<Value> {
    let join = |at| json!({"op":"join","group":"g","user":format!("u{at}"),"role":"member"});
    users.map(join).collect()
}

#[tokio::test]
async fn batches_before_the_one_at_fault_stay_and_the_answer_says_how_many() {
    let server = Running::start(store()).await;
    let mut service = server.service().await;
    let mut changes = vec![json!({"op":"create","group":"g","name":"G"})];
    changes.extend(joins(0..600));
    changes[517] = json!({"op":"leave","group":"g","user":"nobody"});
    let body = json!({"at": AT, "changes": changes});
    let reply = service.post("/v1/admin/import", &body).await;
    assert_eq!(
        reply.refusal(),
        (
            409,
            "not_member".to_owned(),
            "changes[517].user".to_owned(),
            0
        )
    );
    let message = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(message.contains("the first 500 changes"), "{message}");
    // The group and 499 members.
    assert_eq!(service.list("members", "g").await.head.count, 500);

    let rest = json!({"at": AT, "changes": joins(518..1_518)});
    let reply = service.post("/v1/admin/import", &rest).await.ok().json();
    assert_eq!(reply["applied"], 1_000);
    // Four transactions, of which each changed the group once.
    let changes = reply["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 2_004);
    assert_eq!(changes[2_003]["kind"], "members");
    assert_eq!(changes[2_003]["count"], 1_500);
    server.end().await;
}

#[tokio::test]
async fn only_a_service_imports() {
    let server = Running::start(store()).await;
    let body = json!({"at": AT, "changes": [{"op":"create","group":"g","name":"G"}]});
    let reply = server
        .user("u1")
        .await
        .post("/v1/admin/import", &body)
        .await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "forbidden"));
    let reply = server
        .stranger()
        .await
        .post("/v1/admin/import", &body)
        .await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (401, "missing_token")
    );
    let mut service = server.service().await;
    assert_eq!(service.list("members", "g").await.head.count, 0);
    service.post("/v1/admin/import", &body).await.ok();
    assert_eq!(service.list("members", "g").await.head.count, 1);
    server.end().await;
}
