//! A server with content, a device that follows it, and what both say.

use super::corpus::RecordedWrite;
use crate::harness::{Data, Http, Server};
use bytes::Bytes;
use highwater_protocol::codec::Format;
use highwater_protocol::message::{SyncRequest, SyncResponse};
use highwater_protocol::wire;
use highwater_sdk::NativeConfig;
use highwater_sdk::driver::{
    BoxFuture, Driver, Request, Response, Traffic, Transport, TransportError,
};
use highwater_sdk::{Client, SyncReport};
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What devices take the server's address for: databases are bound to it, and
/// ports change from run to run.
const NAME: &str = "http://localhost:7420";

/// Whose device is recorded.
pub(super) const USER: &str = "alice";
/// What the device holds.
pub(super) const HELD: [(&str, &str); 2] = [("groups", USER), ("members", "harbour")];

/// A request and its answer, as they went over the wire.
pub(super) type Said = (Bytes, Bytes);

/// Sends to where the server really is, and remembers what was said.
struct Recorder {
    inner: Arc<dyn Transport>,
    address: String,
    said: Arc<Mutex<Vec<Said>>>,
}

impl Transport for Recorder {
    fn send(&self, mut request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        request.url = request
            .url
            .replace(NAME, &format!("http://{}", self.address));
        let sent = request.body.clone();
        Box::pin(async move {
            let response = self.inner.send(request).await?;
            if response.status == 200 {
                let said = (sent, response.body.clone());
                self.said.lock().unwrap().push(said);
            }
            Ok(response)
        })
    }

    fn traffic(&self) -> Traffic {
        self.inner.traffic()
    }
}

pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(future)
}

/// A device of [`USER`]'s.
pub(super) struct Device {
    pub(super) client: Client,
    pub(super) said: Arc<Mutex<Vec<Said>>>,
}

impl Device {
    pub(super) async fn open(database: &Path, server: &Server, data: &Data) -> Self {
        let said = Arc::new(Mutex::new(Vec::new()));
        let mut driver = Driver::native(NativeConfig::default()).unwrap();
        driver.transport = Arc::new(Recorder {
            inner: driver.transport,
            address: server.address.clone(),
            said: Arc::clone(&said),
        });
        let client = Client::builder()
            .server(NAME)
            .token(data.user_token(USER))
            .database(database)
            .whole_up_to(20)
            .driver(driver)
            .build()
            .await
            .unwrap();
        Self { client, said }
    }

    pub(super) fn hold(&self) {
        for (kind, owner) in HELD {
            self.client.list(kind, owner).unwrap();
        }
    }

    pub(super) async fn sync(&self) -> SyncReport {
        self.client.sync().await.unwrap()
    }

    /// The ids of a list's items, in order, the header apart.
    pub(super) async fn ids(&self, kind: &str, owner: &str) -> Vec<String> {
        let list = self.client.list(kind, owner).unwrap();
        let page = list.page(None, 1_000).await.unwrap();
        page.rows.iter().map(|row| row.id().to_owned()).collect()
    }
}

/// A connection of `who`'s to a server.
pub(super) fn connect(data: &Data, server: &Server, who: &str) -> Http {
    let token = match who {
        "service" => data.service_token(),
        user => data.user_token(user),
    };
    Http::connect(&server.address, &token).unwrap()
}

/// Asks in one form; the answer in the same.
pub(super) fn ask(http: &mut Http, format: Format, request: &[u8]) -> Bytes {
    let (status, body) = http
        .send("POST", "/v1/sync", format.content_type(), request)
        .unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    body.into()
}

pub(super) fn read_request(format: Format, bytes: &Bytes) -> SyncRequest {
    let wire: wire::SyncRequest = format.decode(bytes.clone()).unwrap();
    wire.try_into().unwrap()
}

pub(super) fn read_response(format: Format, bytes: &Bytes, lists: usize) -> SyncResponse {
    let wire: wire::SyncResponse = format.decode(bytes.clone()).unwrap();
    SyncResponse::parse(wire, lists).unwrap()
}

/// The identifiers of every item that a list has on the server.
pub(super) fn ids_on_server(data: &Data, list: &str) -> Vec<String> {
    let args = ["inspect", "items", list, "--data", data.arg(), "--json"];
    let items = crate::harness::run_well(&args);
    let items: serde_json::Value = serde_json::from_str(&items).unwrap();
    let ids = items.as_array().unwrap().iter();
    ids.map(|item| item["id"].as_str().unwrap().to_owned())
        .filter(|id| !id.is_empty())
        .collect()
}

/// The server's lists.
pub(super) fn lists(data: &Data) -> serde_json::Value {
    let args = ["inspect", "lists", "--data", data.arg(), "--json"];
    serde_json::from_str(&crate::harness::run_well(&args)).unwrap()
}

fn write(who: &str, method: &str, path: &str, body: &str) -> RecordedWrite {
    RecordedWrite {
        who: who.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        body: body.to_owned(),
        status: 0,
        reply: serde_json::Value::Null,
    }
}

/// What the world begins with: every operation, those that are refused too.
pub(super) fn first_writes() -> Vec<RecordedWrite> {
    let joins: Vec<String> = (0..90)
        .map(|at| format!(r#"{{"op":"join","group":"harbour","user":"u{at:02}","role":"member"}}"#))
        .collect();
    let import = format!(
        r#"{{"at":1500000000,"changes":[{{"op":"create","group":"harbour","name":"The harbour"}},{{"op":"join","group":"harbour","user":"{USER}","role":"owner"}},{}]}}"#,
        joins.join(",")
    );
    vec![
        write("service", "POST", "/v1/admin/import", &import),
        write(
            USER,
            "POST",
            "/v1/groups",
            r#"{"group":"pier","name":"The pier"}"#,
        ),
        write(
            "bob",
            "POST",
            "/v1/groups",
            r#"{"group":"dock","name":"The dock"}"#,
        ),
        write(
            "bob",
            "POST",
            "/v1/groups/dock/members:invite",
            r#"{"users":["alice","carol","u01"]}"#,
        ),
        write(
            "service",
            "POST",
            "/v1/groups/harbour/members:join",
            r#"{"user":"bob"}"#,
        ),
        write(
            "mallory",
            "POST",
            "/v1/groups/harbour/members:invite",
            r#"{"users":["mallory"]}"#,
        ),
        write(
            USER,
            "POST",
            "/v1/groups",
            r#"{"group":"pier","name":"Again"}"#,
        ),
    ]
}

/// What happens after the device has synced.
pub(super) fn later_writes() -> Vec<RecordedWrite> {
    vec![
        write(
            USER,
            "PATCH",
            "/v1/groups/harbour",
            r#"{"description":"ships, mostly"}"#,
        ),
        write(
            USER,
            "PUT",
            "/v1/groups/harbour/members/u07/role",
            r#"{"role":"admin"}"#,
        ),
        write(
            USER,
            "POST",
            "/v1/groups/harbour/members:remove",
            r#"{"users":["u10","u11","nobody"]}"#,
        ),
        write("bob", "POST", "/v1/groups/harbour/members:leave", "{}"),
        write(
            USER,
            "POST",
            "/v1/groups/harbour/members:invite",
            r#"{"users":["zoe"]}"#,
        ),
        write("bob", "DELETE", "/v1/groups/dock", ""),
        write(USER, "DELETE", "/v1/groups/dock", ""),
    ]
}

/// Has a server carry out writes. Returns them with what it said.
pub(super) fn carry_out(
    data: &Data,
    server: &Server,
    writes: Vec<RecordedWrite>,
) -> Vec<RecordedWrite> {
    let carried = writes.into_iter().map(|mut write| {
        let mut http = connect(data, server, &write.who);
        let (status, reply) = http.json(&write.method, &write.path, &write.body).unwrap();
        (write.status, write.reply) = (status, reply);
        write
    });
    carried.collect()
}

/// Waits until queued work is done: the dismissed group has left every member's
/// own list.
pub(super) fn settle(data: &Data, server: &Server) {
    let mut http = connect(data, server, "service");
    for _ in 0..1_000 {
        let (status, reply) = http.json("GET", "/v1/admin/status", "").unwrap();
        assert_eq!(status, 200, "{reply}");
        if reply["jobs"].as_u64() == Some(0) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("the server's queued work does not end");
}
