//! What an operator does: import, inspect, back up, restore, check.

use crate::harness::{Data, Http, Server, highwater, run, run_well};
use serde_json::Value;
use std::io::Write;

const HISTORY: &str = r#"{"at":1000,"changes":[{"op":"create","group":"org","name":"Org"},{"op":"create","group":"org/team","name":"Team"},{"op":"join","group":"org","user":"u1","role":"owner"},{"op":"join","group":"org","user":"u2","role":"member"},{"op":"join","group":"org/team","user":"u1","role":"member"}]}
{"at":2000,"changes":[{"op":"rename","group":"org","name":"The Org"},{"op":"leave","group":"org","user":"u2"},{"op":"role","group":"org/team","user":"u1","role":"admin"}]}
"#;

fn import(data: &Data, server: &Server) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(HISTORY.as_bytes()).unwrap();
    let url = format!("http://{}", server.address);
    let token = data.service_token();
    let output = highwater()
        .args([
            "import",
            file.path().to_str().unwrap(),
            "--server",
            &url,
            "--token",
            &token,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn lists(data: &Data) -> Value {
    serde_json::from_str(&run_well(&[
        "inspect",
        "lists",
        "--data",
        data.arg(),
        "--json",
    ]))
    .unwrap()
}

#[test]
fn what_was_imported_is_seen_by_inspect_also_beside_a_running_server() {
    let data = Data::new();
    let server = Server::start(&data);
    import(&data, &server);
    let all = lists(&data);
    let names: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["list"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"members/org") && names.contains(&"groups/u1"),
        "{names:?}"
    );
    let items = run_well(&[
        "inspect",
        "items",
        "members/org",
        "--data",
        data.arg(),
        "--json",
    ]);
    let items: Value = serde_json::from_str(&items).unwrap();
    assert_eq!(
        items.as_array().unwrap().len(),
        2,
        "the header and u1: {items}"
    );
    let tombstones = run_well(&[
        "inspect",
        "tombstones",
        "members/org",
        "--data",
        data.arg(),
        "--json",
    ]);
    let tombstones: Value = serde_json::from_str(&tombstones).unwrap();
    assert_eq!(tombstones.as_array().unwrap().len(), 1, "u2: {tombstones}");
    let table = run_well(&["inspect", "lists", "--data", data.arg()]);
    assert!(table.contains("members/org/team"), "{table}");
}

#[test]
fn a_backup_beside_a_running_server_is_restored_under_new_lineages() {
    let data = Data::new();
    let server = Server::start(&data);
    import(&data, &server);
    let file = tempfile::tempdir().unwrap();
    let file = file.path().join("backup.db");
    let file = file.to_str().unwrap();
    run_well(&["backup", "--data", data.arg(), file]);
    let restored = Data::new();
    run_well(&["restore", file, "--data", restored.arg()]);
    let checked = restored.check();
    assert!(checked.status.success(), "{checked:?}");
    let (before, after) = (lists(&data), lists(&restored));
    let (before, after) = (before.as_array().unwrap(), after.as_array().unwrap());
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(after) {
        assert_eq!(before["list"], after["list"]);
        assert_eq!(before["digest"], after["digest"]);
        assert_ne!(before["lineage"], after["lineage"]);
    }
    // A second restore does not silently overwrite.
    let again = run(&["restore", file, "--data", restored.arg()]);
    assert_eq!(again.status.code(), Some(3), "{again:?}");
}

#[test]
fn a_token_opens_the_users_own_lists_and_no_others() {
    let data = Data::new();
    let server = Server::start(&data);
    import(&data, &server);
    let mut http = Http::connect(&server.address, &data.user_token("u1")).unwrap();
    assert_eq!(http.json("GET", "/v1/lists/groups/u1", "").unwrap().0, 200);
    let (status, error) = http.json("GET", "/v1/lists/groups/u2", "").unwrap();
    assert!(status == 403 || status == 404, "{status} {error}");
}
