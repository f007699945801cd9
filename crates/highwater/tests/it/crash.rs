//! I3: an acknowledged write survives a crash of the server at any instruction.

use crate::harness::{Data, Http, Server};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Kills in the test.
const KILLS: u64 = 50;
/// Backends that write at the same time.
const WRITERS: u64 = 4;

/// Each writer fills a group of its own, one user at a time, until the server
/// is gone. Returns the users whose joining was acknowledged.
fn write_until_killed(
    address: &str,
    token: &str,
    round: u64,
    writer: u64,
    acknowledged: &Mutex<BTreeSet<(u64, String)>>,
) {
    let Ok(mut http) = Http::connect(address, token) else {
        return;
    };
    for number in 0.. {
        let user = format!("u{round}-{number}");
        let body = json!({
            "at": 1_700_000_000 + number,
            "changes": [
                {"op": "join", "group": format!("g{writer}"), "user": user, "role": "member"}
            ]
        });
        match http.json("POST", "/v1/admin/import", &body.to_string()) {
            Ok((200, _)) => {
                acknowledged.lock().unwrap().insert((writer, user));
            }
            Ok((status, answer)) => panic!("status {status}: {answer}"),
            Err(_) => return,
        }
    }
}

#[test]
fn i3_every_acknowledged_write_survives_50_kills_and_no_head_disagrees_with_its_items() {
    let data = Data::new();
    let token = data.service_token();
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let server = Server::start(&data);
    let mut http = Http::connect(&server.address, &token).unwrap();
    for writer in 0..WRITERS {
        let create = json!({
            "at": 1_600_000_000,
            "changes": [{"op": "create", "group": format!("g{writer}"), "name": "G"}]
        });
        let (status, answer) = http
            .json("POST", "/v1/admin/import", &create.to_string())
            .unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    let mut server = Some(server);
    for round in 0..KILLS {
        let running = server.take().unwrap_or_else(|| Server::start(&data));
        let threads: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (address, token) = (running.address.clone(), token.clone());
                let acknowledged = Arc::clone(&acknowledged);
                std::thread::spawn(move || {
                    write_until_killed(&address, &token, round, writer, &acknowledged);
                })
            })
            .collect();
        // From at once to after some hundred writes.
        std::thread::sleep(Duration::from_millis(3 + (round * 37) % 120));
        running.kill();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
    let checked = data.check();
    assert!(checked.status.success(), "{checked:?}");

    let server = Server::start(&data);
    let mut http = Http::connect(&server.address, &token).unwrap();
    let mut there = BTreeSet::new();
    for writer in 0..WRITERS {
        let path = format!("/v1/lists/members/g{writer}");
        let (status, list) = http.json("GET", &path, "").unwrap();
        assert_eq!(status, 200, "{list}");
        for row in list["rows"].as_array().unwrap() {
            if let Some(id) = row["id"].as_str() {
                there.insert((writer, id.to_owned()));
            }
        }
    }
    let acknowledged = acknowledged.lock().unwrap();
    let lost: Vec<_> = acknowledged.difference(&there).collect();
    assert!(
        lost.is_empty(),
        "{} of {} writes are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    assert!(
        acknowledged.len() > 200,
        "only {} writes were made",
        acknowledged.len()
    );
}

#[test]
fn a_terminated_server_answers_what_it_accepted_and_ends_well() {
    let data = Data::new();
    let token = data.service_token();
    let mut server = Server::start(&data);
    let mut http = Http::connect(&server.address, &token).unwrap();
    let create = r#"{"at":1,"changes":[{"op":"create","group":"g","name":"G"}]}"#;
    assert_eq!(
        http.json("POST", "/v1/admin/import", create).unwrap().0,
        200
    );
    server.terminate();
    let status = server.child.wait().unwrap();
    assert!(status.success(), "{status:?}");
    let checked = data.check();
    assert!(checked.status.success(), "{checked:?}");
}
