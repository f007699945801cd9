//! A server and a device that talk through the wire's bytes, under the test's
//! control: it decides which request is answered, when, and how often.

use highwater_core::answer::{Access, Budget, Sketches, answer};
use highwater_core::local::memory::MemoryLocal;
use highwater_core::local::{ListRecord, Phase, Rung};
use highwater_core::reads::{ListState, PageLimit, Payloads, Reads};
use highwater_core::replica::{Event, Failure, Replica, ReplicaConfig, RequestId};
use highwater_core::sketch::{Encoding, Salt};
use highwater_core::stamp::stamp_of;
use highwater_core::{Effect, Head};
use highwater_protocol::codec::Format;
use highwater_protocol::message::{
    Content, Delta, DeltaEnd, ListChange, Row, SketchId, SyncRequest, SyncResponse, WriteAnswer,
};
use highwater_protocol::{Digest, ItemId, Lineage, ListKey, Rank, Version, wire};
use highwater_store::memory::MemoryStore;
use highwater_store::{Abort, PurgePolicy, Store, Write, WriteTxn};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

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

pub(crate) fn id(text: &str) -> ItemId {
    ItemId::new_or_header(text).unwrap()
}

/// One change of one list.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Put(&'static str, String, Vec<u8>),
    Delete(String),
    End,
}

/// Several changes in one transaction.
pub(crate) struct Ops(pub(crate) Vec<(ListKey, Op)>);

impl Write for Ops {
    type Output = Vec<Effect>;
    type Refusal = ();

    fn lists(&self) -> Vec<ListKey> {
        let mut lists: Vec<_> = self.0.iter().map(|(list, _)| list.clone()).collect();
        lists.sort();
        lists.dedup();
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<Vec<Effect>, Abort<()>> {
        let mut effects = Vec::new();
        for (list, op) in &self.0 {
            effects.push(match op {
                Op::Put(rank, item, payload) => {
                    let rank = Rank::new(rank.as_bytes().to_vec()).unwrap();
                    txn.put(list, &id(item), rank, payload.clone().into())
                        .await?
                }
                Op::Delete(item) => txn.delete(list, &id(item)).await?,
                Op::End => {
                    txn.end(list).await?;
                    Effect::Unchanged
                }
            });
        }
        Ok(effects)
    }
}

/// The sketches that a server keeps: as many as it likes, as old as it likes.
#[derive(Default)]
pub(crate) struct Kept {
    kept: Mutex<Vec<(ListKey, Arc<Encoding>)>>,
    /// Offer none.
    pub(crate) none: bool,
    /// Offer one of an older version, if there is one.
    pub(crate) stale: bool,
    /// Lists of fewer elements get none.
    pub(crate) from: u64,
    /// Encodings made so far; also the next salt.
    pub(crate) made: AtomicU8,
}

impl Kept {
    pub(crate) fn forget(&self) {
        self.kept.lock().unwrap().clear();
    }
}

impl Sketches for Kept {
    async fn offer<R: Reads>(
        &self,
        reads: &R,
        list: &ListKey,
        head: &Head,
        _copy: Version,
    ) -> Result<Option<Arc<Encoding>>, R::Error> {
        if self.none {
            return Ok(None);
        }
        let fits = |kept: &Arc<Encoding>| {
            kept.point() == head.point() || (self.stale && kept.point().lineage == head.lineage)
        };
        let kept = self.kept.lock().unwrap().clone();
        let found = kept.iter().find(|(of, kept)| of == list && fits(kept));
        if let Some((_, kept)) = found {
            return Ok(Some(Arc::clone(kept)));
        }
        let salt = Salt(u64::from(self.made.fetch_add(1, Ordering::Relaxed)));
        let made = Encoding::of(reads, list, salt).await?.map(Arc::new);
        if let Some(made) = &made {
            assert_eq!(made.digest(), head.digest, "the head is right");
            self.kept
                .lock()
                .unwrap()
                .push((list.clone(), Arc::clone(made)));
        }
        Ok(made)
    }

    fn is_worth_it(&self, head: &Head) -> bool {
        head.count >= self.from
    }

    fn find(&self, list: &ListKey, id: &SketchId) -> Option<Arc<Encoding>> {
        let kept = self.kept.lock().unwrap();
        kept.iter()
            .find(|(of, kept)| of == list && kept.id() == *id)
            .map(|(_, kept)| kept.clone())
    }
}

/// The server: the real answer over a real store.
pub(crate) struct Server {
    pub(crate) store: MemoryStore,
    pub(crate) sketches: Kept,
    /// Bytes of all answers so far.
    pub(crate) bytes_sent: usize,
    pub(crate) denied: Vec<ListKey>,
    /// Lists of which only the header may be read.
    pub(crate) header_only: Vec<ListKey>,
    /// Rows in all answers so far.
    pub(crate) rows_sent: usize,
    pub(crate) requests: usize,
    restores: u8,
    /// Every digest that a list ever had, for I2.
    history: BTreeMap<(ListKey, Lineage, Version), (Digest, u64)>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            store: MemoryStore::new([1; 16]),
            sketches: Kept::default(),
            bytes_sent: 0,
            denied: Vec::new(),
            header_only: Vec::new(),
            rows_sent: 0,
            requests: 0,
            restores: 1,
            history: BTreeMap::new(),
        }
    }

    pub(crate) fn write(&mut self, ops: Vec<(ListKey, Op)>) {
        let committed = now(self.store.write(0, Ops(ops))).unwrap();
        for (list, state) in committed.states {
            self.remember(&list, state);
        }
    }

    /// Writes, and says what its answer would say of the lists: what each was
    /// before, and what was done to it.
    pub(crate) fn write_and_tell(&mut self, ops: Vec<(ListKey, Op)>) -> Vec<ListChange> {
        let lists = Ops(ops.clone()).lists();
        let before: Vec<Head> = lists.iter().map(|list| self.head(list)).collect();
        self.write(ops.clone());
        let changes = lists.iter().zip(before);
        let changes = changes.map(|(list, before)| self.change_since(list, before, &ops));
        changes.flatten().collect()
    }

    fn change_since(
        &self,
        list: &ListKey,
        before: Head,
        ops: &[(ListKey, Op)],
    ) -> Option<ListChange> {
        let after = self.head(list);
        if before == after {
            return None;
        }
        let told = |delta| ListChange {
            list: list.clone(),
            lineage: after.lineage,
            from: before.version,
            delta,
        };
        let ends = ops
            .iter()
            .any(|(of, op)| of == list && matches!(op, Op::End));
        if ends || before.lineage != after.lineage {
            return Some(told(None));
        }
        let named: BTreeSet<ItemId> = ops
            .iter()
            .filter(|(of, _)| of == list)
            .filter_map(|(_, op)| match op {
                Op::Put(_, item, _) | Op::Delete(item) => Some(id(item)),
                Op::End => None,
            })
            .collect();
        let there = self.rows(list);
        let is_there = |id: &ItemId| there.iter().any(|(of, ..)| of == id);
        let deleted = named.iter().filter(|id| !is_there(id)).cloned().collect();
        let rows = there.iter().filter(|(id, ..)| named.contains(id));
        let rows = rows.map(|(id, rank, payload)| Row {
            id: id.clone(),
            rank: rank.clone(),
            content: Content::Payload(payload.clone().into()),
        });
        Some(told(Some(Delta {
            rows: rows.collect(),
            deleted,
            to: after.version,
            end: DeltaEnd::Proof(after.digest, after.count),
            deletes_incomplete: false,
        })))
    }

    fn remember(&mut self, list: &ListKey, state: ListState) {
        if let ListState::Live(head) = state {
            let at = (list.clone(), head.lineage, head.version);
            self.history.insert(at, (head.digest, head.count));
        }
    }

    pub(crate) fn put(&mut self, list: &ListKey, rank: &'static str, item: &str, payload: &str) {
        let op = Op::Put(rank, item.to_owned(), payload.as_bytes().to_vec());
        self.write(vec![(list.clone(), op)]);
    }

    pub(crate) fn delete(&mut self, list: &ListKey, item: &str) {
        self.write(vec![(list.clone(), Op::Delete(item.to_owned()))]);
    }

    /// Fills a list with `count` items, in one transaction.
    pub(crate) fn fill(&mut self, list: &ListKey, count: usize) {
        let put = |at| {
            Op::Put(
                "r",
                format!("item-{at:06}"),
                format!("payload {at}").into_bytes(),
            )
        };
        self.write((0..count).map(|at| (list.clone(), put(at))).collect());
    }

    pub(crate) fn end(&mut self, list: &ListKey) {
        self.write(vec![(list.clone(), Op::End)]);
    }

    /// Forgets every tombstone.
    pub(crate) fn purge(&mut self) {
        let policy = PurgePolicy {
            age_ms_max: i64::MAX,
            per_list_max: 0,
        };
        now(self.store.purge(0, policy)).unwrap();
    }

    /// Comes back from a backup (or, without one, as it is) under new lineages.
    pub(crate) fn restore(&mut self, backup: Option<&highwater_store::memory::MemoryBackup>) {
        self.restores += 1;
        match backup {
            Some(backup) => self.store.restore(backup, [self.restores; 16]),
            None => self.store.reincarnate([self.restores; 16]),
        }
        let lists: Vec<ListKey> = now(self.store.lists(None, 1_000))
            .unwrap()
            .into_iter()
            .map(|line| line.list)
            .collect();
        for list in lists {
            let state = self.state(&list);
            self.remember(&list, state);
        }
    }

    pub(crate) fn state(&self, list: &ListKey) -> ListState {
        let snapshot = now(self.store.snapshot(std::slice::from_ref(list))).unwrap();
        now(snapshot.state(list)).unwrap()
    }

    pub(crate) fn head(&self, list: &ListKey) -> Head {
        match self.state(list) {
            ListState::Live(head) => head,
            ListState::Absent(lineage) | ListState::Ended(lineage) => Head::empty(lineage),
        }
    }

    /// (id, rank, payload) of every element, in order.
    pub(crate) fn rows(&self, list: &ListKey) -> Vec<(ItemId, Rank, Vec<u8>)> {
        let snapshot = now(self.store.snapshot(std::slice::from_ref(list))).unwrap();
        let all = PageLimit {
            rows: usize::MAX,
            bytes: usize::MAX,
        };
        let last = Version::new(u64::MAX);
        now(snapshot.scan(list, last, None, Payloads::All, all))
            .unwrap()
            .rows
            .into_iter()
            .map(|item| (item.id, item.rank, item.payload.to_vec()))
            .collect()
    }

    /// Answers a request that went over the wire.
    pub(crate) fn answer(&mut self, request: &SyncRequest) -> SyncResponse {
        self.requests += 1;
        let sent = Format::Protobuf.encode(&wire::SyncRequest::from(request.clone()));
        let received: wire::SyncRequest = Format::Protobuf.decode(sent).unwrap();
        let request = SyncRequest::try_from(received).unwrap();
        let access: Vec<Access> = request
            .lists
            .iter()
            .map(|asked| {
                if self.denied.contains(&asked.list) {
                    Access::Denied
                } else if self.header_only.contains(&asked.list) {
                    Access::Header
                } else {
                    Access::Read
                }
            })
            .collect();
        let lists: Vec<ListKey> = request
            .lists
            .iter()
            .map(|asked| asked.list.clone())
            .collect();
        let snapshot = now(self.store.snapshot(&lists)).unwrap();
        let budget = Budget::with_page_rows(request.page_rows);
        let response = now(answer(&snapshot, &self.sketches, &request, &access, budget)).unwrap();
        let sent = Format::Protobuf.encode(&wire::SyncResponse::from(response));
        self.bytes_sent += sent.len();
        let received: wire::SyncResponse = Format::Protobuf.decode(sent).unwrap();
        let response = SyncResponse::parse(received, request.lists.len()).unwrap();
        self.rows_sent += rows_in(&response);
        response
    }
}

fn rows_in(response: &SyncResponse) -> usize {
    use highwater_protocol::message::Answer;
    let answered = |answer: &Answer| match answer {
        Answer::Delta(delta) => delta.rows.len() + delta.deleted.len(),
        Answer::Scan(page) => page.rows.len(),
        Answer::SketchRows(rows) => rows.rows.len(),
        _ => 0,
    };
    response
        .answers
        .iter()
        .map(|answer| answered(&answer.answer) + answer.details.len())
        .sum()
}

/// A device: the real replica over a database in memory.
pub(crate) struct Device {
    pub(crate) replica: Replica,
    pub(crate) db: MemoryLocal,
    pub(crate) now_ms: i64,
    pub(crate) events: Vec<Event>,
}

impl Device {
    pub(crate) fn new(config: ReplicaConfig) -> Self {
        Self {
            replica: Replica::new(config, 7),
            db: MemoryLocal::default(),
            now_ms: 1_000_000,
            events: Vec::new(),
        }
    }

    /// A device that holds `lists` and reads them as skeletons, page by page.
    pub(crate) fn with_pages_of(rows: usize, lists: &[&ListKey]) -> Self {
        let config = ReplicaConfig {
            whole_up_to: 0,
            first_details: 5,
            page_rows: rows,
            ..ReplicaConfig::default()
        };
        Self::new(config).holding(lists)
    }

    pub(crate) fn holding(mut self, lists: &[&ListKey]) -> Self {
        lists.iter().for_each(|list| self.replica.hold(list));
        self
    }

    pub(crate) fn request(&mut self) -> Option<(RequestId, SyncRequest)> {
        self.replica
            .poll_request(self.now_ms, &mut self.db)
            .unwrap()
    }

    pub(crate) fn response(&mut self, id: RequestId, response: SyncResponse) {
        self.replica
            .handle_response(self.now_ms, id, response, &mut self.db)
            .unwrap();
        self.drain();
    }

    /// Hears of changes, over the wire. The lists that are behind them.
    pub(crate) fn hear(&mut self, changes: &[ListChange]) -> Vec<ListKey> {
        let told = WriteAnswer {
            changes: changes.to_vec(),
            ..WriteAnswer::default()
        };
        let sent = Format::Protobuf.encode(&wire::WriteAnswer::from(told));
        let received: wire::WriteAnswer = Format::Protobuf.decode(sent).unwrap();
        let heard = WriteAnswer::try_from(received).unwrap().changes;
        let behind = self
            .replica
            .handle_changes(self.now_ms, &heard, &mut self.db)
            .unwrap();
        self.drain();
        behind
    }

    pub(crate) fn drain(&mut self) {
        while let Some(event) = self.replica.poll_event() {
            self.events.push(event);
        }
    }

    pub(crate) fn lost(&mut self, id: RequestId) {
        let failure = Failure::Unreachable("lost".to_owned());
        self.replica.handle_failure(self.now_ms, id, failure);
        self.now_ms += 120_000;
    }

    /// One request and its answer. Whether there was one.
    pub(crate) fn step(&mut self, server: &mut Server) -> bool {
        let Some((id, request)) = self.request() else {
            return false;
        };
        let response = server.answer(&request);
        self.response(id, response);
        true
    }

    /// Asks about every list until nothing is due. Returns the requests sent.
    pub(crate) fn sync(&mut self, server: &mut Server) -> usize {
        self.replica.sync();
        self.run(server)
    }

    /// Goes on until nothing is due at present.
    pub(crate) fn run(&mut self, server: &mut Server) -> usize {
        let mut requests = 0;
        while self.step(server) {
            requests += 1;
            assert!(requests < 100_000, "the device asks without end");
        }
        requests
    }

    /// The process dies and comes back with what its database kept.
    pub(crate) fn restart(&mut self, config: ReplicaConfig) {
        let held: Vec<ListKey> = self.replica.lists().cloned().collect();
        self.replica = Replica::new(config, 8);
        held.iter().for_each(|list| self.replica.hold(list));
    }

    pub(crate) fn record(&self, list: &ListKey) -> ListRecord {
        self.db.record_of(list).cloned().unwrap_or_default()
    }

    pub(crate) fn phase(&self, list: &ListKey) -> Phase {
        self.record(list).phase
    }

    /// (id, rank, payload) of every row shown, in order; `None` for a missing
    /// payload.
    pub(crate) fn rows(&self, list: &ListKey) -> Vec<(ItemId, Rank, Option<Vec<u8>>)> {
        self.db
            .shown(list)
            .into_iter()
            .map(|row| {
                (
                    row.id,
                    row.rank,
                    row.payload.map(|payload| payload.to_vec()),
                )
            })
            .collect()
    }
}

/// The copy is in sync, and is the server's in ids, order and, as far as it is
/// there, content; and its own bookkeeping is true.
#[track_caller]
pub(crate) fn assert_equal(device: &Device, server: &Server, list: &ListKey) {
    assert_eq!(device.phase(list), Phase::InSync, "{list}");
    let there = server.rows(list);
    let here = device.db.shown(list);
    let stamps = |rows: &[(ItemId, Rank, Vec<u8>)]| -> Vec<_> {
        rows.iter()
            .map(|(id, rank, payload)| (id.clone(), stamp_of(id, rank, payload)))
            .collect()
    };
    let shown: Vec<_> = here.iter().map(|row| (row.id.clone(), row.stamp)).collect();
    assert_eq!(shown, stamps(&there), "{list}");
    for row in &here {
        if let Some(payload) = &row.payload {
            assert_eq!(
                stamp_of(&row.id, &row.rank, payload),
                row.stamp,
                "{list} {}",
                row.id
            );
        }
    }
    let (record, head) = (device.record(list), server.head(list));
    assert_eq!(record.shown.point, Some(head.point()), "{list}");
    assert_books(device, list);
}

/// I4: cursor, rows and digest agree, whatever happened.
#[track_caller]
pub(crate) fn assert_books(device: &Device, list: &ListKey) {
    let record = device.record(list);
    let rows = device.db.shown(list);
    let digest: Digest = rows.iter().map(|row| row.stamp).collect();
    assert_eq!(
        (record.shown.digest, record.shown.count),
        (digest, rows.len() as u64),
        "{list}"
    );
}

/// I2: a device that says in sync at a version has that version's digest.
#[track_caller]
pub(crate) fn assert_no_false_calm(device: &Device, server: &Server, list: &ListKey) {
    let record = device.record(list);
    if record.phase != Phase::InSync {
        return;
    }
    let point = record.shown.point.unwrap();
    let truth = server
        .history
        .get(&(list.clone(), point.lineage, point.version))
        .copied();
    let truth = truth.unwrap_or((Digest::ZERO, 0));
    assert_eq!(
        (record.shown.digest, record.shown.count),
        truth,
        "{list} at {point:?}"
    );
}

/// A device that holds a list of `count` items of this server, and is in sync.
/// Nothing is counted before.
pub(crate) fn synced(count: usize) -> (Server, Device, ListKey) {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, count);
    let mut device = Device::with_pages_of(1_000, &[&members]);
    device.run(&mut server);
    device.events.clear();
    (server.rows_sent, server.bytes_sent) = (0, 0);
    (server, device, members)
}

/// The rungs by which a device's copies were mended.
pub(crate) fn rungs(device: &Device) -> Vec<Rung> {
    let rung = |event: &Event| match event {
        Event::Repaired(receipt) => Some(receipt.rung),
        _ => None,
    };
    device.events.iter().filter_map(rung).collect()
}
