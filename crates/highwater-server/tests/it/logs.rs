//! What is logged, and what is not.

use crate::kit::{Client, Running, store};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// Keeps what is written to it.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Says that this process is the one that logs.
const ALONE: &str = "HIGHWATER_TEST_ALONE";

/// At the most talkative level, that of the HTTP/2 library included: requests are there
/// by route and status, and no token and no id of a path is.
///
/// `tracing` remembers for the whole process which lines are wanted, so a test
/// beside this one can silence it (seen in 2 of 120 runs): it runs in a process of
/// its own.
#[test]
fn requests_are_logged_and_tokens_and_paths_are_not() {
    if std::env::var_os(ALONE).is_none() {
        let name = "logs::requests_are_logged_and_tokens_and_paths_are_not";
        let alone = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&alone.stdout);
        assert!(alone.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
        return;
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(talk_and_look());
}

async fn talk_and_look() {
    let kept = Kept::default();
    let lines = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(highwater_server::log_filter("trace"))
        .with_writer(kept.clone())
        .finish();
    // Of this thread: the runtime is on it.
    let guard = tracing::subscriber::set_default(lines);
    let server = Running::start(store()).await;
    let mut user = server.user("u1").await;
    let id = [
        ("x-request-id", "from-the-proxy"),
        ("content-type", "application/json"),
    ];
    let body = json!({"group": "secret-plans", "name": "G"}).to_string();
    user.send("POST", "/v1/groups", &id, body.as_bytes())
        .await
        .ok();
    user.get("/v1/groups/secret-plans").await.ok();
    user.get("/v1/lists/members/other-secret").await;
    let mut bad = Client::connect(server.address, Some("bad.to.ken".to_owned())).await;
    bad.get("/v1/lists/groups/u1").await;

    let stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let token = server.token("u1");
    let request = http::Request::get(format!("http://{}/v1/lists/groups/u1", server.address))
        .header("authorization", format!("Bearer {token}"))
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap();
    drop(sender);
    server.end().await;
    drop(connection);
    drop(guard);

    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    for hidden in [
        token.as_str(),
        "Bearer",
        "bad.to.ken",
        "secret-plans",
        "other-secret",
    ] {
        assert!(!text.contains(hidden), "{hidden} is in\n{text}");
    }
    // The library's lines are there: it is not silence that hides a token.
    assert!(text.contains("\"target\":\"h2::"));
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let logged = |route: &str, status: u16| {
        let is_it = |line: &&Value| line["route"] == route && line["status"] == status;
        lines
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("{route} {status} is not in\n{text}"))
    };
    let created = logged("createGroup", 201);
    assert_eq!(created["request"], "from-the-proxy");
    assert_eq!(created["method"], "POST");
    assert_eq!(created["level"], "DEBUG");
    assert!(created["ms"].as_f64().unwrap() > 0.0);
    assert!(created["bytes"].as_u64().unwrap() > 0);
    assert_eq!(logged("readList", 403)["level"], "INFO");
    assert_eq!(logged("readList", 401)["level"], "INFO");
    logged("readList", 200);
}
