//! A device over the SDK's database and the server's answers over its store, in
//! one process and without HTTP, so that each byte and each side's CPU is known.

use crate::context::Context;
use crate::generator::{Numbers, item};
use crate::measure::process_cpu;
use crate::world::list;
use anyhow::{Context as _, Result, ensure};
use highwater_core::Head;
use highwater_core::answer::{Access, Budget, Sketches, answer};
use highwater_core::local::{LocalRow, LocalStore as _, LocalTxn as _, Phase, Rung};
use highwater_core::reads::{ListState, Reads};
use highwater_core::replica::{Event, Replica, ReplicaConfig};
use highwater_core::sketch::{Encoding, Salt};
use highwater_core::stamp::stamp_of;
use highwater_protocol::codec::Format;
use highwater_protocol::message::{Answer, Content, Row, SketchId, SyncRequest, SyncResponse};
use highwater_protocol::{ItemId, ListKey, Version, wire};
use highwater_sdk::driver::Claim;
use highwater_sdk::local::{Binding, Database, Found};
use highwater_store::Store as _;
use highwater_store_sqlite::SqliteStore;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// The file of the device's database, in its folder.
pub(super) const DATABASE: &str = "device.db";

/// One encoding of one list, or none at all.
#[derive(Default)]
struct Kept {
    encoding: Mutex<Option<Arc<Encoding>>>,
    none: bool,
}

impl Sketches for Kept {
    async fn offer<R: Reads>(
        &self,
        reads: &R,
        list: &ListKey,
        _head: &Head,
        _copy: Version,
    ) -> Result<Option<Arc<Encoding>>, R::Error> {
        if self.none {
            return Ok(None);
        }
        let kept = self.encoding.lock().clone();
        if kept.is_some() {
            return Ok(kept);
        }
        let made = Encoding::of(reads, list, Salt(0x5eed)).await?.map(Arc::new);
        self.encoding.lock().clone_from(&made);
        Ok(made)
    }

    fn find(&self, _list: &ListKey, id: &SketchId) -> Option<Arc<Encoding>> {
        let kept = self.encoding.lock().clone();
        kept.filter(|kept| kept.id() == *id)
    }
}

/// What one repair, or one sync, cost.
#[derive(Clone, Debug, Default)]
pub(super) struct Cost {
    pub(super) requests: u64,
    /// Bodies of the requests.
    pub(super) up: u64,
    /// Bodies of the responses.
    pub(super) down: u64,
    /// Of those, id, rank and payload of items that came with payload.
    pub(super) items: u64,
    pub(super) server: Duration,
    pub(super) device: Duration,
    /// The rung that made the copy right; `None`: it was right.
    pub(super) rung: Option<Rung>,
}

impl Cost {
    /// Bytes beyond the items themselves.
    pub(super) const fn beyond_items(&self) -> u64 {
        self.up + self.down - self.items
    }
}

/// A server's list and a device that holds it.
pub(super) struct Bed {
    store: SqliteStore,
    sketches: Kept,
    replica: Replica,
    db: Database,
    list: ListKey,
    number: u64,
    numbers: Numbers,
    damages: u64,
    pub(super) folder: TempDir,
}

impl Bed {
    /// A device in sync with the long list of this number.
    ///
    /// # Errors
    /// What the system, the store or the device reports; likewise below.
    pub(super) fn new(context: &mut Context, number: u64) -> Result<Self> {
        let folder = context.folder()?;
        let world = context.world()?;
        world.long_list(number)?;
        let claim = Claim {
            path: folder.path().join(DATABASE),
            vfs: None,
            guard: Box::new(()),
        };
        let db = Found::look(claim)?.open(Binding {
            user: "bench".to_owned(),
            server: "http://in.process".to_owned(),
        })?;
        let mut bed = Self {
            store: world.store()?,
            sketches: Kept::default(),
            replica: Replica::new(ReplicaConfig::default(), 1),
            db,
            list: list(number)?,
            number,
            numbers: Numbers::named(number),
            damages: 0,
            folder,
        };
        bed.replica.hold(&bed.list);
        crate::progress(&format!("a device reads a list of {number}"));
        bed.sync(context)?;
        Ok(bed)
    }

    /// Whether the server offers sketches.
    pub(super) const fn offer_sketches(&mut self, offer: bool) {
        self.sketches.none = !offer;
    }

    /// Forgets the encoding: the next repair needs a new one.
    pub(super) fn forget_encoding(&self) {
        *self.sketches.encoding.lock() = None;
    }

    /// Changes the content of so many items on the device, so that its database
    /// looks right and is not what the server has.
    pub(super) fn damage(&mut self, items: u64) -> Result<()> {
        let mut indexes = BTreeSet::new();
        while (indexes.len() as u64) < items {
            indexes.insert(self.numbers.below(self.number));
        }
        self.damages += 1;
        let (list, number) = (&self.list, self.number);
        let wrong = self.damages.to_le_bytes();
        let damaged = self.db.write(|db| {
            let mut txn = db.begin()?;
            let Some(mut record) = txn.record(list)? else {
                return Ok(false);
            };
            let generation = record.shown.generation;
            for index in indexes {
                let id: ItemId = item(number, index, 0).id;
                let Some(row) = txn.row(list, generation, &id)? else {
                    return Ok(false);
                };
                let stamp = stamp_of(&row.id, &row.rank, &wrong);
                record.shown.digest = record.shown.digest.minus(row.stamp).plus(stamp);
                let row = LocalRow {
                    stamp,
                    payload: None,
                    ..row
                };
                txn.put_row(list, generation, &row, highwater_core::local::Likely::Known)?;
            }
            record.fence += 1;
            txn.save_record(list, &record)?;
            txn.commit()?;
            Ok(true)
        })?;
        ensure!(damaged, "the device does not hold the list");
        Ok(())
    }

    /// Syncs until nothing is due, and sees to it that the copy is proved.
    pub(super) fn sync(&mut self, context: &mut Context) -> Result<Cost> {
        let mut cost = Cost::default();
        self.replica.sync();
        loop {
            let began = process_cpu();
            let due = self.db.write(|db| self.replica.poll_request(0, db))?;
            let Some((id, request)) = due else { break };
            let lists = request.lists.len();
            let sent = Format::Protobuf.encode(&wire::SyncRequest::from(request));
            cost.device += process_cpu() - began;
            cost.requests += 1;
            cost.up += sent.len() as u64;

            let began = process_cpu();
            let answered = context.world()?.block_on(self.answer(sent))?;
            cost.server += process_cpu() - began;
            cost.down += answered.len() as u64;

            let began = process_cpu();
            let response: wire::SyncResponse = Format::Protobuf.decode(answered)?;
            let response = SyncResponse::parse(response, lists)?;
            cost.items += own_bytes(&response);
            self.db
                .write(|db| self.replica.handle_response(0, id, response, db))?;
            cost.device += process_cpu() - began;
            while let Some(event) = self.replica.poll_event() {
                match event {
                    Event::Repaired(receipt) => cost.rung = Some(receipt.rung),
                    Event::PeerMisbehaved { refusal, .. } | Event::Refused { refusal, .. } => {
                        anyhow::bail!("the answer was no good: {refusal}")
                    }
                    _ => {}
                }
            }
        }
        let record = self.db.write(|db| db.begin()?.record(&self.list))?;
        let phase = record.context("the list is not known")?.phase;
        ensure!(phase == Phase::InSync, "the device is {phase:?}");
        Ok(cost)
    }

    /// What recomputing the copy from its rows costs the device: the rung that
    /// stands before the sketch.
    pub(super) fn recompute(&mut self) -> Result<Duration> {
        let began = process_cpu();
        self.db.write(|db| self.replica.verify(&self.list, db))?;
        Ok(process_cpu() - began)
    }

    async fn answer(&self, sent: bytes::Bytes) -> Result<bytes::Bytes> {
        let request: wire::SyncRequest = Format::Protobuf.decode(sent)?;
        let request = SyncRequest::try_from(request)?;
        let snapshot = self
            .store
            .snapshot(std::slice::from_ref(&self.list))
            .await?;
        let budget = Budget::with_page_rows(request.page_rows);
        let response = answer(&snapshot, &self.sketches, &request, &[Access::Read], budget).await?;
        Ok(Format::Protobuf.encode(&wire::SyncResponse::from(response)))
    }

    /// Encodes the list anew as the server does, and returns the CPU it took.
    pub(super) fn encode(&self, context: &mut Context) -> Result<(Arc<Encoding>, Duration)> {
        let began = process_cpu();
        let encoding = context.world()?.block_on(async {
            let list = std::slice::from_ref(&self.list);
            let snapshot = self.store.snapshot(list).await?;
            let ListState::Live(_) = snapshot.state(&self.list).await? else {
                return Ok(None);
            };
            Encoding::of(&snapshot, &self.list, Salt(1)).await
        })?;
        let encoding = encoding.context("the list is not there")?;
        let _ = encoding.first_cells();
        Ok((Arc::new(encoding), process_cpu() - began))
    }
}

/// Bytes of id, rank and payload of the rows that came with payload.
fn own_bytes(response: &SyncResponse) -> u64 {
    let own = |row: &Row| match &row.content {
        Content::Payload(payload) => {
            row.id.as_str().len() + row.rank.as_bytes().len() + payload.len()
        }
        Content::Stamp(_) => 0,
    };
    let in_answer = |answer: &Answer| -> usize {
        match answer {
            Answer::SketchRows(rows) => rows.rows.iter().map(own).sum(),
            Answer::Delta(delta) => delta.rows.iter().map(own).sum(),
            Answer::Scan(page) => page.rows.iter().map(own).sum(),
            _ => 0,
        }
    };
    let bytes: usize = response
        .answers
        .iter()
        .map(|answer| in_answer(&answer.answer) + answer.details.iter().map(own).sum::<usize>())
        .sum();
    bytes as u64
}
