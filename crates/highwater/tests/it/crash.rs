//! I3: an acknowledged write survives a crash of the server at any instruction.

use crate::harness::{Data, Http, Server, run_well};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Kills in the test.
const KILLS: u64 = 50;
/// Backends that write at the same time.
const WRITERS: u64 = 4;
/// Who hold the name that changes: four steps of the worker's.
const FRIENDS: usize = 1_000;

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

/// The versions of all lists of friends, as the disk has them.
fn friends_lists(data: &Data) -> BTreeMap<String, u64> {
    let args = ["inspect", "lists", "--kind", "friends", "--json", "--data"];
    let lists = run_well(&[&args[..], &[data.arg()]].concat());
    let lists: Value = serde_json::from_str(&lists).unwrap();
    let lists = lists.as_array().unwrap().iter();
    lists
        .map(|line| {
            let version = line["version"].as_u64().unwrap();
            (line["list"].as_str().unwrap().to_owned(), version)
        })
        .collect()
}

/// OpenIM keeps this work in memory.
#[test]
fn a_new_name_reaches_every_friend_though_the_server_is_killed_again_and_again() {
    let data = Data::new();
    let token = data.service_token();
    let mut server = Server::start(&data);
    let mut http = Http::connect(&server.address, &token).unwrap();
    let friends: Vec<String> = (0..FRIENDS).map(|at| format!("f{at}")).collect();
    let pairs = friends
        .iter()
        .map(|friend| json!({"user": "u", "friend": friend}));
    let body = json!({"pairs": pairs.collect::<Vec<_>>()});
    let (status, answer) = http
        .json("POST", "/v1/admin/friends", &body.to_string())
        .unwrap();
    assert_eq!(status, 200, "{answer}");

    let mut untold = 0;
    for round in 0..8 {
        let before = friends_lists(&data);
        assert_eq!(before.len(), friends.len() + 1);
        let name = json!({"name": format!("n{round}")});
        let (status, answer) = http
            .json("PUT", "/v1/users/u/profile", &name.to_string())
            .unwrap();
        assert_eq!(status, 200, "{answer}");
        // The last time at once.
        std::thread::sleep(Duration::from_millis(35 - round * 5));
        server.kill();
        let after = friends_lists(&data);
        let is_untold = |friend: &&String| {
            let list = format!("friends/{friend}");
            after[&list] == before[&list]
        };
        untold = friends.iter().filter(is_untold).count();
        server = Server::start(&data);
        http = Http::connect(&server.address, &token).unwrap();
    }
    assert!(untold > 0, "the last fan-out was done before the kill");

    for _ in 0..1_000 {
        let (_, status) = http.json("GET", "/v1/admin/status", "").unwrap();
        if status["jobs"] == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for friend in &friends {
        let path = format!("/v1/users/{friend}/friends/u");
        let (status, item) = http.json("GET", &path, "").unwrap();
        assert_eq!(
            (status, &item["item"]["name"]),
            (200, &json!("n7")),
            "{item}"
        );
    }
    drop(server);
    let checked = data.check();
    assert!(checked.status.success(), "{checked:?}");
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
