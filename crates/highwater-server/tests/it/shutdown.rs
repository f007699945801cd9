//! An orderly end: what was accepted is answered, what was acknowledged is there.

use crate::kit::{Client, Running, store};
use crate::rules::{assert_in_step, create, members, run};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_acknowledged_write_is_there_and_no_answer_is_cut_off() {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    let mut server = Running::start(store.clone()).await;
    let mut clients = Vec::new();
    for client in 0..8 {
        let mut service = server.service().await;
        clients.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for at in 0.. {
                let user = format!("c{client}-{at}");
                let body = json!({"user": user}).to_string();
                let headers = [("content-type", "application/json")];
                let path = "/v1/groups/g/members:join";
                let sent = service.write("POST", path, &headers, body.as_bytes()).await;
                // `read` panics if an answer is cut off.
                match (sent, service.read().await) {
                    (Ok(()), Some(reply)) => {
                        acknowledged.push(user);
                        if reply.ok().header("connection") == "close" {
                            return (acknowledged, true);
                        }
                    }
                    _ => return (acknowledged, false),
                }
            }
            unreachable!("a server that never ends")
        }));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.stop();
    assert_eq!(server.end().await.cut, 0);
    let present = members(&store, "g").await.into_iter().map(|(id, _)| id);
    let present: BTreeSet<String> = present.collect();
    let mut acknowledged = 0;
    for client in clients {
        let (users, told) = client.await.unwrap();
        // Who is always asking is told by an answer that it was the last.
        assert!(told, "a connection ended without a word");
        acknowledged += users.len();
        for user in users {
            assert!(present.contains(&user), "{user} was acknowledged");
        }
    }
    assert!(acknowledged > 8, "{acknowledged}");
    // Nor was anything written that nobody was told of: no request was lost.
    assert_eq!(acknowledged + 1, present.len());
    assert_in_step(&store).await;
}

#[tokio::test]
async fn a_connection_that_was_accepted_but_not_read_yet_is_answered() {
    let mut server = Running::start(store()).await;
    // A current-thread runtime: these wait in the system's line.
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut client = server.stranger().await;
        client.write("GET", "/healthz", &[], &[]).await.unwrap();
        waiting.push(client);
    }
    server.stop();
    for mut client in waiting {
        assert_eq!(client.read().await.expect("an answer").status, 200);
    }
    assert_eq!(server.end().await.cut, 0);
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end_and_new_ones_are_turned_away() {
    let mut server = Running::start(store()).await;
    let mut idle = server.user("u1").await;
    idle.get("/healthz").await.ok();
    let silent = server.stranger().await;
    let address = server.address;
    let began = Instant::now();
    server.stop();
    assert_eq!(server.end().await.cut, 0);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(idle.read().await.is_none());
    drop(silent);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_that_never_completes_is_cut_off_at_the_deadline() {
    let mut server = Running::configured(store(), &[("shutdown_deadline_ms", "300")]).await;
    let mut slow = server.user("u1").await;
    let json = [
        ("content-type", "application/json"),
        ("content-length", "10"),
    ];
    slow.write("POST", "/v1/sync", &json, &[]).await.unwrap();
    let mut other = server.user("u2").await;
    other.get("/healthz").await.ok();
    server.stop();
    assert_eq!(server.end().await.cut, 1);
}

#[tokio::test]
async fn a_server_that_shuts_down_is_not_ready() {
    let mut server = Running::start(store()).await;
    let mut client: Client = server.stranger().await;
    client.get("/readyz").await.ok();
    server.stop();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let reply = client.get("/readyz").await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "unavailable"));
    assert_eq!(reply.header("connection"), "close");
    server.end().await;
}
