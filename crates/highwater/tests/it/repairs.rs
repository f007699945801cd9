//! Faults of devices and servers, found and mended by the built program and the
//! SDK over real sockets and files.

use crate::harness::{Data, Http, Server, highwater, run, run_well};
use highwater_sdk::{Client, Reason, Rung, SyncReport};
use highwater_store_sqlite::DATABASE_FILE;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;
use tokio::runtime::Runtime;

const MEMBERS: usize = 400;

/// A group of 400 members, one of whom is "o", its owner.
fn fill(data: &Data, server: &Server) {
    let mut http = Http::connect(&server.address, &data.service_token()).unwrap();
    let group = json!({"group": "g", "name": "Group", "owner": "o"});
    ok(&mut http, "POST", "/v1/groups", &group);
    let users: Vec<String> = (1..MEMBERS).map(|at| format!("u{at:03}")).collect();
    invite(&mut http, &users);
}

fn invite(http: &mut Http, users: &[String]) {
    let body = json!({"users": users});
    ok(http, "POST", "/v1/groups/g/members:invite", &body);
}

fn ok(http: &mut Http, method: &str, path: &str, body: &Value) {
    let (status, answer) = http.json(method, path, &body.to_string()).unwrap();
    assert!((200..300).contains(&status), "{path}: {status} {answer}");
}

async fn device(data: &Data, server: &Server, path: &Path) -> Client {
    let client = Client::builder()
        .server(format!("http://{}", server.address))
        .token(data.user_token("o"))
        .database(path)
        .build()
        .await
        .unwrap();
    client.members("g").unwrap();
    client
}

/// Syncs once, in sync at the end, and closes.
async fn sync(data: &Data, server: &Server, path: &Path) -> SyncReport {
    let client = device(data, server, path).await;
    let report = client.sync().await.unwrap();
    client.close();
    assert!(report.is_complete() && report.in_sync == 1, "{report:?}");
    report
}

fn operator(data: &Data, server: &Server, args: &[&str]) -> Output {
    highwater()
        .args(args)
        .args(["--server", &format!("http://{}", server.address)])
        .args(["--token", &data.service_token()])
        .output()
        .unwrap()
}

fn alter(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// The server is restored from last week's backup while 100 devices are ahead of
/// it; each tells the server what that cost, and all end equal.
#[test]
fn a_server_restored_from_last_weeks_backup_is_followed_by_100_devices_ahead_of_it() {
    let (data, folder) = (Data::new(), tempfile::tempdir().unwrap());
    let flags = ["--receipts-kept", "100"];
    let server = Server::start_with(&data, "127.0.0.1:0", &flags);
    fill(&data, &server);
    let backup = folder.path().join("backup.db");
    run_well(&["backup", "--data", data.arg(), backup.to_str().unwrap()]);
    let runtime = Runtime::new().unwrap();
    let devices: Vec<PathBuf> = (0..100)
        .map(|at| folder.path().join(format!("device-{at}.db")))
        .collect();
    let mut http = Http::connect(&server.address, &data.service_token()).unwrap();
    runtime.block_on(async {
        sync(&data, &server, &devices[0]).await;
        for (at, path) in devices.iter().enumerate().skip(1) {
            std::fs::copy(&devices[0], path).unwrap();
            invite(&mut http, &[format!("late-{at:02}")]);
            sync(&data, &server, path).await;
        }
        // The first is ahead like the others.
        sync(&data, &server, &devices[0]).await;
    });
    let address = server.address.clone();
    server.kill();
    let file = backup.to_str().unwrap();
    run_well(&["restore", file, "--data", data.arg(), "--replace"]);
    let server = Server::start_with(&data, &address, &flags);
    let mut cost = (0, 0, 0);
    runtime.block_on(async {
        for path in &devices {
            let client = device(&data, &server, path).await;
            let report = client.sync().await.unwrap();
            assert_eq!((report.in_sync, report.repairs), (1, 1));
            let receipt = &report.receipts[0];
            assert_eq!(receipt.reason, Reason::Lineage);
            assert_eq!(receipt.rung, Rung::Sketch, "{receipt:?}");
            assert!((1..=99).contains(&receipt.difference.removed));
            assert_eq!(receipt.difference.elements(), receipt.difference.removed);
            cost.0 += receipt.cost.requests;
            cost.1 += receipt.cost.bytes_up;
            cost.2 += receipt.cost.bytes_down;
            let members = client.members("g").unwrap();
            assert_eq!(members.count().unwrap(), MEMBERS as u64);
            let last = members.page(None, 1_000).await.unwrap();
            assert!(last.rows.iter().all(|row| !row.id().starts_with("late")));
        }
    });
    // 100 skeletons would be 100 x 400 x 39 bytes.
    assert!(cost.2 < 100 * 400 * 39 / 4, "{cost:?}");

    // Each told the server, beside everything else.
    let receipts = || -> Vec<Value> {
        let output = operator(&data, &server, &["inspect", "receipts", "--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let mut kept = receipts();
    for _ in 0..200 {
        if kept.len() == 100 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        kept = receipts();
    }
    assert_eq!(kept.len(), 100);
    assert!(kept.iter().all(|receipt| receipt["reason"] == "lineage"));
    assert!(kept.iter().all(|receipt| receipt["user"] == "o"));
    let table = operator(&data, &server, &["inspect", "receipts"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert_eq!(table.lines().count(), 101, "{table}");
}

#[test]
fn a_devices_database_is_verified_from_outside() {
    let (data, folder) = (Data::new(), tempfile::tempdir().unwrap());
    let server = Server::start(&data);
    fill(&data, &server);
    let path = folder.path().join("device.db");
    let runtime = Runtime::new().unwrap();
    runtime.block_on(sync(&data, &server, &path));
    let file = path.to_str().unwrap();
    let verify = || run(&["inspect", "--verify", file, "--json"]);
    let lists = |output: &Output| -> Value { serde_json::from_slice(&output.stdout).unwrap() };
    let sound = verify();
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
    assert_eq!(lists(&sound)[0]["rows"], 401);
    let damages = [
        (
            "UPDATE row SET payload = x'00' WHERE id = 'u007'",
            "payloads_damaged",
        ),
        ("UPDATE row SET rank = x'00' WHERE id = 'u008'", "damaged"),
    ];
    for (damage, field) in damages {
        alter(&path, damage);
        let wrong = verify();
        assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
        assert_eq!(lists(&wrong)[0][field], 1, "{wrong:?}");
        let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
        assert!(said.contains("DAMAGED"), "{said}");
    }
    // The device finds the same, and mends it.
    let report = runtime.block_on(async {
        let client = device(&data, &server, &path).await;
        let report = client.verify().await.unwrap();
        client.close();
        report
    });
    assert_eq!((report.in_sync, report.repairs), (1, 1));
    assert_eq!(report.receipts[0].difference.changed, 2);
    assert_eq!(verify().status.code(), Some(0));
    let nothing = folder.path().join("nothing.db");
    let output = run(&["inspect", "--verify", nothing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(!nothing.exists(), "nothing was made");
    let both = run(&["inspect", "lists", "--verify", file]);
    assert_eq!(both.status.code(), Some(2), "{both:?}");
}

#[test]
fn a_running_server_is_asked_for_its_heads_and_corrects_those_that_are_wrong() {
    let data = Data::new();
    let server = Server::start(&data);
    fill(&data, &server);
    let check = |server: &Server| operator(&data, server, &["check", "--online", "--quiet"]);
    let sound = check(&server);
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
    server.kill();
    let database = data.path().join(DATABASE_FILE);
    alter(
        &database,
        "UPDATE lists SET digest = zeroblob(16) WHERE owner = 'g'",
    );
    let flags = ["--audit-rows-per-s", "0"];
    let server = Server::start_with(&data, "127.0.0.1:0", &flags);
    let wrong = check(&server);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    let said = String::from_utf8_lossy(&wrong.stdout).into_owned();
    assert!(said.starts_with("members/g: at version"), "{said}");
    assert!(said.trim_end().ends_with(": corrected"), "{said}");
    assert_eq!(check(&server).status.code(), Some(0));
    assert!(data.check().status.success());
    let token = data.user_token("o");
    let url = format!("http://{}", server.address);
    let denied = run(&["check", "--online", "--server", &url, "--token", &token]);
    assert_eq!(denied.status.code(), Some(3), "{denied:?}");
    let missing = run(&["check", "--online", "--server", &url]);
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
}

/// Without anybody asking: the server looks at its heads by itself.
#[test]
fn a_server_finds_and_corrects_a_wrong_head_by_itself() {
    let data = Data::new();
    let server = Server::start(&data);
    fill(&data, &server);
    server.kill();
    let database = data.path().join(DATABASE_FILE);
    alter(
        &database,
        "UPDATE lists SET count = count + 1 WHERE owner = 'g'",
    );
    assert!(!data.check().status.success());
    let server = Server::start(&data);
    let mut http = Http::connect(&server.address, &data.service_token()).unwrap();
    for _ in 0..600 {
        if data.check().status.success() {
            drop(http.json("GET", "/healthz", "").unwrap());
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the head is still wrong");
}
