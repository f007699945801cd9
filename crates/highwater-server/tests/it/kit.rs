//! A server to talk to, and a client that sees every byte.

use crate::contract;
use highwater_protocol::codec::Format;
use highwater_protocol::message::{
    Answer, Cursor, ListAnswer, ListRequest, Position, Row, Scan, Snapshot, SyncRequest,
    SyncResponse,
};
use highwater_protocol::problem::Problem;
use highwater_protocol::{ListKey, Refusal, limits, wire};
use highwater_server::auth::{Algorithm, Key, Keys, SERVICE_SCOPE, issue};
use highwater_server::config::{Config, Layers};
use highwater_server::{Clock, Server, Summary};
use highwater_store::Store;
use highwater_store::memory::MemoryStore;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The time at which every test begins, in milliseconds since 1970.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

pub(crate) fn store() -> MemoryStore {
    MemoryStore::new([7; 16])
}

pub(crate) fn config(options: &[(&str, &str)]) -> Config {
    let layers = Layers::new()
        .flag("listen", Some("127.0.0.1:0".to_owned()))
        .unwrap();
    options
        .iter()
        .fold(layers, |layers, (name, value)| {
            layers.flag(name, Some((*value).to_owned())).unwrap()
        })
        .resolve()
        .unwrap()
}

/// A clock that stands until it is moved.
#[derive(Clone)]
pub(crate) struct Hands(Arc<AtomicI64>);

impl Hands {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(NOW_MS)))
    }

    pub(crate) fn clock(&self) -> Clock {
        let time = Arc::clone(&self.0);
        Clock::new(move || time.load(Ordering::Relaxed))
    }

    pub(crate) fn move_on(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) hands: Hands,
    key: Key,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Summary>,
}

impl Running {
    pub(crate) async fn start(store: impl Store) -> Self {
        Self::configured(store, &[]).await
    }

    pub(crate) async fn configured(store: impl Store, options: &[(&str, &str)]) -> Self {
        let key = Key::generate("test", Algorithm::Hs256).unwrap();
        let keys = Keys::new(vec![key.clone()]).unwrap();
        let hands = Hands::new();
        let bound = Server::new(config(options), store, keys)
            .with_clock(hands.clock())
            .bind()
            .await
            .unwrap();
        let address = bound.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(bound.run(async move {
            // A dropped sender stops the server too.
            let _ = stopped.await;
        }));
        Self {
            address,
            hands,
            key,
            stop: Some(stop),
            task,
        }
    }

    pub(crate) fn token(&self, user: &str) -> String {
        issue(&self.key, user, None, NOW_MS / 1_000, 3_600).unwrap()
    }

    /// A token that begins now, by the server's clock.
    pub(crate) fn token_now(&self, user: &str) -> String {
        let now_s = self.hands.0.load(Ordering::Relaxed) / 1_000;
        issue(&self.key, user, None, now_s, 3_600).unwrap()
    }

    pub(crate) fn service_token(&self) -> String {
        issue(
            &self.key,
            "backend",
            Some(SERVICE_SCOPE),
            NOW_MS / 1_000,
            3_600,
        )
        .unwrap()
    }

    pub(crate) async fn user(&self, user: &str) -> Client {
        Client::connect(self.address, Some(self.token(user))).await
    }

    pub(crate) async fn service(&self) -> Client {
        Client::connect(self.address, Some(self.service_token())).await
    }

    pub(crate) async fn stranger(&self) -> Client {
        Client::connect(self.address, None).await
    }

    /// Begins the shutdown.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Shuts down and waits for the end.
    pub(crate) async fn end(mut self) -> Summary {
        self.stop();
        self.task.await.unwrap()
    }
}

/// A response, with what it cost.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Bytes on the socket, head included.
    pub(crate) bytes: usize,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Asserts that it went well.
    pub(crate) fn ok(self) -> Self {
        assert!(
            (200..300).contains(&self.status),
            "{}: {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    /// Status, code, field and limit of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String, String, u64) {
        let error: Refusal = match self.header("content-type") {
            "application/x-protobuf" => {
                let error: wire::Error = prost::Message::decode(self.body.as_slice()).unwrap();
                error.into()
            }
            "application/problem+json" => {
                let problem = Problem::read(&self.body)
                    .unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&self.body)));
                assert_eq!(problem.status, self.status);
                problem.into()
            }
            other => panic!("{other}: {}", String::from_utf8_lossy(&self.body)),
        };
        assert!(!error.message.is_empty());
        (
            self.status,
            error.code.to_string(),
            error.field,
            error.limit,
        )
    }

    pub(crate) fn code(&self) -> String {
        self.refusal().1
    }
}

/// One HTTP/1.1 connection.
pub(crate) struct Client {
    stream: TcpStream,
    token: Option<String>,
    received: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, token: Option<String>) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            token,
            received: Vec::new(),
        }
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        self.write(method, path, headers, body).await.unwrap();
        let reply = self.read().await.expect("a response");
        contract::check(method, path, &reply);
        reply
    }

    pub(crate) async fn write(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n");
        if let Some(token) = &self.token {
            head.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.write_all(&bytes).await
    }

    pub(crate) async fn write_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads one response; `None`: the connection ended before it began.
    pub(crate) async fn read(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at;
            }
            if !self.fill().await {
                assert!(self.received.is_empty(), "a response was cut off");
                return None;
            }
        };
        let head = String::from_utf8(self.received[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers: BTreeMap<_, _> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers
            .get("content-length")
            .map_or(0, |length| length.parse().unwrap());
        assert!(!headers.contains_key("transfer-encoding"), "{head}");
        let bytes = end + 4 + length;
        while self.received.len() < bytes {
            assert!(self.fill().await, "a response was cut off");
        }
        let body = self.received[end + 4..bytes].to_vec();
        self.received.drain(..bytes);
        Some(Reply {
            status: status.parse().unwrap(),
            headers,
            body,
            bytes,
        })
    }

    /// Reads until the connection ends.
    pub(crate) async fn read_any(&mut self) {
        while self.fill().await {}
    }

    async fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        // A reset ends a connection as a close does.
        let read = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.received.extend_from_slice(&buffer[..read]);
        read > 0
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, &[], &[]).await
    }

    pub(crate) async fn json(&mut self, method: &str, path: &str, body: &Value) -> Reply {
        let body = body.to_string();
        let json = [("content-type", "application/json")];
        self.send(method, path, &json, body.as_bytes()).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Reply {
        self.json("POST", path, body).await
    }

    /// A sync in protobuf.
    pub(crate) async fn sync(&mut self, lists: Vec<ListRequest>) -> SyncResponse {
        let count = lists.len();
        let request = SyncRequest {
            lists,
            page_rows: limits::PAGE_ROWS,
        };
        let body = Format::Protobuf.encode(&wire::SyncRequest::from(request));
        let protobuf = [("content-type", "application/x-protobuf")];
        let reply = self.send("POST", "/v1/sync", &protobuf, &body).await.ok();
        let response: wire::SyncResponse = Format::Protobuf.decode(reply.body.into()).unwrap();
        SyncResponse::parse(response, count).unwrap()
    }

    /// The answer about one list.
    pub(crate) async fn ask(&mut self, list: ListRequest) -> Answer {
        let response = self.sync(vec![list]).await;
        match response.answers.into_iter().next() {
            Some(ListAnswer { answer, .. }) => answer,
            None => Answer::Aligned,
        }
    }

    /// A whole list, and where it stands.
    pub(crate) async fn list(&mut self, kind: &str, owner: &str) -> Snapshot {
        let path = format!("/v1/lists/{kind}/{owner}");
        let accept = [("accept", "application/x-protobuf")];
        let reply = self.send("GET", &path, &accept, &[]).await.ok();
        let snapshot: wire::ListSnapshot = Format::Protobuf.decode(reply.body.into()).unwrap();
        Snapshot::try_from(snapshot).unwrap()
    }

    /// Waits until nothing is queued.
    pub(crate) async fn settled(&mut self) {
        for _ in 0..500 {
            let status = self.get("/v1/admin/status").await.ok().json();
            if status["jobs"] == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the queue does not drain");
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

pub(crate) fn key(kind: &str, owner: &str) -> ListKey {
    ListKey::new(kind, owner).unwrap()
}

/// A new scan of a list, with all payloads.
pub(crate) fn scan(kind: &str, owner: &str) -> ListRequest {
    ListRequest {
        list: key(kind, owner),
        position: Position::Scan(Scan {
            position: None,
            whole_up_to: 10_000,
            details: 0,
        }),
        details: vec![],
        delta_details: None,
    }
}

/// What changed in a list since `snapshot`.
pub(crate) fn since(kind: &str, owner: &str, snapshot: &Snapshot) -> ListRequest {
    ListRequest {
        list: key(kind, owner),
        position: Position::Cursor(Cursor {
            point: snapshot.head.point,
            digest: snapshot.head.digest,
            count: snapshot.head.count,
        }),
        details: vec![],
        delta_details: None,
    }
}

pub(crate) fn ids(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}
