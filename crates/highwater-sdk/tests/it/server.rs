//! A server in this process: the real answer over a store in memory, behind a
//! transport that loses, cuts, delays and refuses what the test says.

use crate::sketches::TestSketches;
use crate::write_kit::Writes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::channel::oneshot;
use highwater_core::answer::{Access, Budget, answer};
use highwater_core::reads::{ListState, PageLimit, Payloads, Reads as _};
use highwater_protocol::codec::Format;
use highwater_protocol::kinds::{Member, Payload as _, Role};
use highwater_protocol::message::{Receipt, Receipts, SyncRequest};
use highwater_protocol::{Code, ItemId, ListKey, Rank, Refusal, Version, wire};
use highwater_sdk::driver::{
    BoxFuture, Driver, Request, Response, Traffic, Transport, TransportError,
};
use highwater_sdk::{Client, ClientBuilder, NativeConfig, ReplicaConfig};
use highwater_store::memory::MemoryStore;
use highwater_store::{Abort, PurgePolicy, Store, Write, WriteTxn};
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

pub(crate) const URL: &str = "http://server.test";

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It is lost on its way.
    Drop,
    /// It is answered, and the answer is lost.
    Cut,
    /// It is answered with what the last one was answered with.
    Replay,
    /// It is refused.
    Refuse(u16, Refusal),
    /// Whatever stands between answers in its own words.
    Garble(u16, &'static str),
    /// It is never answered.
    Hang,
    /// It is answered as it should be, and the answer is held back until
    /// [`TestServer::resume`].
    Late,
    /// It is answered as it should be.
    Nothing,
}

/// What was said between device and server: bytes of messages in protobuf,
/// before compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) requests: u64,
    pub(crate) up: u64,
    pub(crate) down: u64,
    /// Of `down`: id, rank and payload of rows that came with their payload.
    pub(crate) items: u64,
}

/// What was asked, and with which token.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) token: String,
    pub(crate) request: SyncRequest,
}

pub(crate) struct TestServer {
    pub(crate) store: MemoryStore,
    pub(crate) writes: Writes,
    sketches: TestSketches,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    faults: VecDeque<Fault>,
    /// Every request fails.
    down: bool,
    /// Requests wait.
    paused: Option<Vec<oneshot::Sender<()>>>,
    denied: BTreeSet<ListKey>,
    unknown: BTreeSet<String>,
    /// If set, the only token that is taken.
    token: Option<String>,
    /// Bytes of rows in a response.
    response_bytes: Option<usize>,
    log: Vec<Asked>,
    last: Option<Response>,
    spent: Spent,
    wants_receipts: bool,
    receipts: Vec<Receipt>,
}

/// Runs a future that never waits.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the in-memory store never waits"),
    }
}

pub(crate) fn list(name: &str) -> ListKey {
    name.parse().unwrap()
}

pub(crate) fn jwt(user: &str, number: u32) -> String {
    let claims = format!(r#"{{"sub":"{user}","n":{number}}}"#);
    format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims))
}

/// One change of one list.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Put {
        id: String,
        rank: Vec<u8>,
        payload: Vec<u8>,
    },
    Delete(String),
    End,
}

struct Ops(ListKey, Vec<Op>);

impl Write for Ops {
    type Output = ();
    type Refusal = ();

    fn lists(&self) -> Vec<ListKey> {
        vec![self.0.clone()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Abort<()>> {
        for op in &self.1 {
            match op {
                Op::Put { id, rank, payload } => {
                    let id = ItemId::new_or_header(id).unwrap();
                    let rank = Rank::new(rank.clone()).unwrap();
                    txn.put(&self.0, &id, rank, payload.clone().into()).await?;
                }
                Op::Delete(id) => {
                    txn.delete(&self.0, &ItemId::new_or_header(id).unwrap())
                        .await?;
                }
                Op::End => {
                    txn.end(&self.0).await?;
                }
            }
        }
        Ok(())
    }
}

/// The id of the item at a place in a list that [`TestServer::fill`] filled.
pub(crate) fn item_id(at: usize) -> String {
    format!("item-{at:06}")
}

/// The rank of the item at a place.
pub(crate) fn rank(at: usize) -> Vec<u8> {
    u32::try_from(at).unwrap().to_be_bytes().to_vec()
}

pub(crate) fn member(joined_at_ms: i64) -> Vec<u8> {
    let role = Role::Member;
    Member {
        role,
        joined_at_ms,
        ..Member::default()
    }
    .encode()
}

impl TestServer {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            store: MemoryStore::new([1; 16]),
            writes: Writes::default(),
            sketches: TestSketches::new(),
            inner: Mutex::default(),
        })
    }

    pub(crate) fn write(&self, list: &ListKey, ops: Vec<Op>) {
        now(self.store.write(0, Ops(list.clone(), ops))).unwrap();
    }

    pub(crate) fn put(&self, list: &ListKey, id: &str, rank: Vec<u8>, payload: Vec<u8>) {
        let id = id.to_owned();
        self.write(list, vec![Op::Put { id, rank, payload }]);
    }

    pub(crate) fn delete(&self, list: &ListKey, id: &str) {
        self.write(list, vec![Op::Delete(id.to_owned())]);
    }

    /// `count` members with the header before them.
    pub(crate) fn fill(&self, list: &ListKey, count: usize) {
        let header = Op::Put {
            id: String::new(),
            rank: Vec::new(),
            payload: b"\x0a\x05Group".to_vec(),
        };
        let items = (0..count).map(|at| Op::Put {
            id: item_id(at),
            rank: rank(at),
            payload: member(at as i64),
        });
        self.write(list, std::iter::once(header).chain(items).collect());
    }

    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inner.lock().unwrap().faults.extend(faults);
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.inner.lock().unwrap().down = down;
        self.writes.set_down(down);
    }

    pub(crate) fn deny(&self, list: &ListKey, denied: bool) {
        let mut inner = self.inner.lock().unwrap();
        if denied {
            inner.denied.insert(list.clone());
        } else {
            inner.denied.remove(list);
        }
    }

    pub(crate) fn forget_kind(&self, kind: &str) {
        self.inner.lock().unwrap().unknown.insert(kind.to_owned());
    }

    pub(crate) fn take_only(&self, token: &str) {
        self.inner.lock().unwrap().token = Some(token.to_owned());
    }

    pub(crate) fn limit_responses(&self, bytes: usize) {
        self.inner.lock().unwrap().response_bytes = Some(bytes);
    }

    /// Requests wait until [`resume`](Self::resume).
    pub(crate) fn pause(&self) {
        self.inner.lock().unwrap().paused = Some(Vec::new());
    }

    pub(crate) fn resume(&self) {
        let waiting = self.inner.lock().unwrap().paused.take();
        for request in waiting.into_iter().flatten() {
            let _ = request.send(());
        }
    }

    pub(crate) fn requests(&self) -> usize {
        self.inner.lock().unwrap().log.len()
    }

    /// What was asked since the last call.
    pub(crate) fn take_log(&self) -> Vec<Asked> {
        std::mem::take(&mut self.inner.lock().unwrap().log)
    }

    /// What was said since the last call.
    pub(crate) fn take_spent(&self) -> Spent {
        std::mem::take(&mut self.inner.lock().unwrap().spent)
    }

    pub(crate) fn version(&self, list: &ListKey) -> Version {
        let snapshot = now(self.store.snapshot(&[])).unwrap();
        match now(snapshot.state(list)).unwrap() {
            ListState::Live(head) => head.version,
            _ => Version::ZERO,
        }
    }

    /// The list as it is: id, rank and payload of each item.
    pub(crate) fn items(&self, list: &ListKey) -> Vec<(String, Bytes, Bytes)> {
        let snapshot = now(self.store.snapshot(&[])).unwrap();
        let limit = PageLimit {
            rows: 10_000_000,
            bytes: usize::MAX,
        };
        let at_most = self.version(list);
        let read = now(snapshot.scan(list, at_most, None, Payloads::All, limit)).unwrap();
        read.rows
            .into_iter()
            .filter(|item| !item.id.is_header())
            .map(|item| {
                let id = item.id.as_str().to_owned();
                (id, item.rank.to_bytes(), item.payload)
            })
            .collect()
    }

    pub(crate) fn purge(&self) {
        let policy = PurgePolicy {
            age_ms_max: i64::MAX,
            per_list_max: 0,
        };
        now(self.store.purge(0, policy)).unwrap();
    }

    /// A device's way to this server.
    pub(crate) fn driver(self: &Arc<Self>) -> Driver {
        let native = Driver::native(NativeConfig::default()).unwrap();
        Driver {
            transport: Arc::new(Wire(Arc::clone(self))),
            ..native
        }
    }

    /// A client of user "u1" with this server, its database at `path`.
    pub(crate) fn builder(self: &Arc<Self>, path: &Path) -> ClientBuilder {
        // Delays are short, so that tests are.
        let config = ReplicaConfig {
            retry_delay_ms: 20,
            retry_delay_ms_max: 100,
            ..ReplicaConfig::default()
        };
        Client::builder()
            .server(URL)
            .token(jwt("u1", 0))
            .database(path)
            .replica(config)
            .driver(self.driver())
    }

    pub(crate) fn client(self: &Arc<Self>, path: &Path) -> Client {
        futures::executor::block_on(self.builder(path).build()).unwrap()
    }

    fn answer(&self, request: &SyncRequest) -> wire::SyncResponse {
        let (access, response_bytes) = {
            let inner = self.inner.lock().unwrap();
            let access = |list: &ListKey| {
                if inner.unknown.contains(list.kind.as_str()) {
                    Access::Refused(Refusal::new(Code::UnknownKind, "no such kind"))
                } else if inner.denied.contains(list) {
                    Access::Denied
                } else {
                    Access::Read
                }
            };
            let access: Vec<_> = request
                .lists
                .iter()
                .map(|asked| access(&asked.list))
                .collect();
            (access, inner.response_bytes)
        };
        let mut budget = Budget::with_page_rows(request.page_rows);
        budget.response_bytes = response_bytes.unwrap_or(budget.response_bytes);
        let snapshot = now(self.store.snapshot(&[])).unwrap();
        let answered = now(answer(&snapshot, &self.sketches, request, &access, budget));
        let mut response = wire::SyncResponse::from(answered.unwrap());
        response.receipts = self.inner.lock().unwrap().wants_receipts;
        response
    }

    /// From now on receipts of repairs are wanted.
    pub(crate) fn want_receipts(&self) {
        self.inner.lock().unwrap().wants_receipts = true;
    }

    /// What devices told of their repairs.
    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        self.inner.lock().unwrap().receipts.clone()
    }

    fn take_receipts(&self, request: &Request) -> Response {
        let posted: wire::Receipts = Format::Protobuf.decode(request.body.clone()).unwrap();
        let posted = Receipts::try_from(posted).unwrap().0;
        let taken = wire::ReceiptsTaken {
            taken: posted.len() as u32,
        };
        self.inner.lock().unwrap().receipts.extend(posted);
        Response {
            status: 200,
            content_type: Some(Format::Protobuf.content_type().to_owned()),
            body: Format::Protobuf.encode(&taken),
        }
    }

    async fn handle(&self, request: Request) -> Result<Response, TransportError> {
        let waits = {
            let mut inner = self.inner.lock().unwrap();
            inner.paused.as_mut().map(|waiting| {
                let (sender, receiver) = oneshot::channel();
                waiting.push(sender);
                receiver
            })
        };
        if let Some(waits) = waits {
            let _ = waits.await;
        }
        let up = request.body.len();
        let wire: wire::SyncRequest = Format::Protobuf.decode(request.body).unwrap();
        let parsed = SyncRequest::try_from(wire).unwrap();
        let (fault, taken) = {
            let mut inner = self.inner.lock().unwrap();
            inner.log.push(Asked {
                token: request.token.to_string(),
                request: parsed.clone(),
            });
            let fault = if inner.down {
                Fault::Drop
            } else {
                inner.faults.pop_front().unwrap_or(Fault::Nothing)
            };
            let taken = inner
                .token
                .as_deref()
                .is_none_or(|token| token == &*request.token);
            (fault, taken)
        };
        let fault = match fault {
            Fault::Nothing if !taken => Fault::Refuse(
                401,
                Refusal::new(Code::ExpiredToken, "the token has expired"),
            ),
            fault => fault,
        };
        let ok = |response: &wire::SyncResponse| Response {
            status: 200,
            content_type: Some(Format::Protobuf.content_type().to_owned()),
            body: Format::Protobuf.encode(response),
        };
        match fault {
            Fault::Drop => Err(TransportError::Connect {
                host: "server.test:80".to_owned(),
                reason: "refused".to_owned(),
            }),
            Fault::Cut => {
                self.answer(&parsed);
                Err(TransportError::CutShort("end of file".to_owned()))
            }
            Fault::Replay => {
                let last = self.inner.lock().unwrap().last.clone();
                Ok(last.unwrap())
            }
            Fault::Refuse(status, refusal) => Ok(Response {
                status,
                content_type: Some(Format::Protobuf.content_type().to_owned()),
                body: Format::Protobuf.encode(&wire::Error::from(refusal)),
            }),
            Fault::Garble(status, words) => Ok(Response {
                status,
                content_type: Some("text/html".to_owned()),
                body: Bytes::from_static(words.as_bytes()),
            }),
            Fault::Hang => std::future::pending().await,
            Fault::Late | Fault::Nothing => {
                let answer = self.answer(&parsed);
                let response = ok(&answer);
                let held = {
                    let mut inner = self.inner.lock().unwrap();
                    inner.last = Some(response.clone());
                    inner.spent.requests += 1;
                    inner.spent.up += up as u64;
                    inner.spent.down += response.body.len() as u64;
                    inner.spent.items += answer.answers.iter().map(item_bytes).sum::<u64>();
                    let late = matches!(fault, Fault::Late);
                    late.then(|| {
                        let (sender, receiver) = oneshot::channel();
                        inner.paused.get_or_insert_default().push(sender);
                        receiver
                    })
                };
                if let Some(held) = held {
                    let _ = held.await;
                }
                Ok(response)
            }
        }
    }
}

fn item_bytes(answer: &wire::ListAnswer) -> u64 {
    use wire::list_answer::Answer;
    let rows: &[wire::Row] = match &answer.answer {
        Some(Answer::Delta(delta)) => &delta.rows,
        Some(Answer::Scan(page)) => &page.rows,
        Some(Answer::SketchRows(rows)) => &rows.rows,
        _ => &[],
    };
    let bytes = |row: &wire::Row| {
        let payload = row.payload.as_ref();
        payload.map_or(0, |payload| row.id.len() + row.rank.len() + payload.len())
    };
    rows.iter().chain(&answer.details).map(bytes).sum::<usize>() as u64
}

/// A transport to a server in this process.
struct Wire(Arc<TestServer>);

impl Transport for Wire {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        if request.idempotency_key.is_some() {
            return Box::pin(async move { self.0.handle_write(&request) });
        }
        if request.url == format!("{URL}/v1/receipts") {
            return Box::pin(async move { Ok(self.0.take_receipts(&request)) });
        }
        assert_eq!(request.url, format!("{URL}/v1/sync"));
        Box::pin(self.0.handle(request))
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.0.requests() as u64,
            ..Traffic::default()
        }
    }
}

/// What a device shows of a list, read page by page: id, rank and payload.
pub(crate) async fn shown<V: highwater_sdk::View>(
    list: &highwater_sdk::List<V>,
) -> Vec<(String, Bytes, Option<Bytes>)> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = list.page(after.as_ref(), 1_000).await.unwrap();
        rows.extend(
            page.rows
                .into_iter()
                .map(|row| (row.id().to_owned(), row.key.rank.to_bytes(), row.payload)),
        );
        match page.next {
            Some(next) => after = Some(next),
            None => return rows,
        }
    }
}

/// Whether a device shows exactly what the server has, fetching what it lacks.
pub(crate) async fn assert_equal<V: highwater_sdk::View>(
    server: &TestServer,
    list: &highwater_sdk::List<V>,
) {
    let expected: Vec<_> = server
        .items(list.key())
        .into_iter()
        .map(|(id, rank, payload)| (id, rank, Some(payload)))
        .collect();
    assert!(shown(list).await == expected, "{} differs", list.key());
}

/// Alters a device's database behind its client's back.
pub(crate) fn alter(path: &Path, sql: &str) {
    let other = rusqlite::Connection::open(path).unwrap();
    other
        .busy_timeout(std::time::Duration::from_secs(5))
        .unwrap();
    other.execute_batch(sql).unwrap();
}
