//! Applying deltas: the replica over the SDK's own database, with answers made
//! up here, so that nothing but the device is measured.

use super::Synced;
use crate::context::Context;
use crate::generator::{Item, Numbers, item};
use crate::limits::bare_device::BareDevice;
use crate::measure::{float, in_turns, micros};
use crate::report::{Goal, Row};
use crate::world::list;
use anyhow::{Context as _, Result, bail, ensure};
use highwater_core::local::{LocalStore as _, LocalTxn as _, Phase};
use highwater_core::replica::{Replica, ReplicaConfig};
use highwater_core::stamp::stamp_of;
use highwater_protocol::message::{
    Answer, Content, Cursor, Delta, DeltaEnd, ListAnswer, Position, Row as Sent, SyncResponse,
};
use highwater_protocol::{Digest, ListKey, Version, limits};
use highwater_sdk::driver::Claim;
use highwater_sdk::local::{Database, Found};
use std::path::PathBuf;

/// Deltas of one that make up one sample.
const ONES: u64 = 100;

pub(super) fn one(context: &mut Context) -> Result<Vec<Row>> {
    let repeats = if context.scale.quick { 5 } else { ONES };
    let row = apply(context, "apply.1", 1, repeats)?;
    Ok(vec![row.goal(&Goal::RatioAtMost(2.0))])
}

pub(super) fn many(context: &mut Context) -> Result<Vec<Row>> {
    let changes = context.scale.large_delta;
    let row = apply(context, "apply.10k", changes, 1)?;
    Ok(vec![row.goal(&Goal::RatioAtMost(1.5))])
}

/// The time that a delta of `changes` takes, in microseconds for one of few and
/// else in milliseconds; a sample is the mean of `repeats`.
fn apply(context: &mut Context, name: &str, changes: u64, repeats: u64) -> Result<Row> {
    let rounds = context.scale.rounds;
    let synced = Synced::new(context, false)?;
    let items = synced.items();
    let mut bare = BareDevice::create(synced.folder.path())?;
    bare.insert_all(items.iter().enumerate().map(|(at, item)| (item, at < 100)))?;
    bare.checkpoint()?;
    let mut device = Replicated::open(&synced)?;
    let mut script = Script::new(&synced);
    let mut bare_script = Script::new(&synced);
    let (unit, scale) = if changes < 1_000 {
        ("µs", 1.0)
    } else {
        ("ms", 1e3)
    };
    let mut ours = || {
        let mut total = 0.0;
        for _ in 0..repeats {
            for page in script.pages(changes) {
                total += device.apply(page?)?;
            }
        }
        device.check()?;
        Ok(total / float(repeats) / scale)
    };
    let budget = ReplicaConfig::default().delta_details as usize;
    let mut limit = || {
        let mut total = 0.0;
        for _ in 0..repeats {
            for page in bare_script.pages(changes) {
                let page = page?;
                let rows = page.items.iter().enumerate();
                let rows = rows.map(|(at, (item, _))| (item, at < budget));
                total += micros(|| bare.update_all(rows))?;
            }
        }
        Ok(total / float(repeats) / scale)
    };
    let turns = in_turns(rounds, &mut [&mut ours, &mut limit])?;
    Ok(Row::new(name, turns.median(0), unit, rounds)
        .limit(turns.median(1))
        .note(format!(
            "{changes} of {} rows, a page of up to {} and {budget} details a transaction; mean of {repeats} a sample; {}",
            synced.rows,
            limits::PAGE_ROWS,
            turns.spread()
        )))
}

/// Which items change, and into what.
struct Script {
    list: u64,
    rows: u64,
    numbers: Numbers,
    edition: u32,
    /// How often each item was changed before, by index.
    editions: Vec<u32>,
}

/// A page of a delta: each item as it becomes, with what it was.
struct Page {
    items: Vec<(Item, Item)>,
    /// Changes that follow in further pages.
    left: u64,
}

impl Script {
    fn new(synced: &Synced) -> Self {
        Self {
            list: synced.rows,
            rows: synced.rows,
            numbers: Numbers::named(8),
            edition: 0,
            editions: vec![0; usize::try_from(synced.rows).unwrap_or_default()],
        }
    }

    /// The pages of the next delta of `changes`, each item at most once.
    fn pages(&mut self, changes: u64) -> impl Iterator<Item = Result<Page>> {
        self.edition += 1;
        let mut left = changes;
        let start = self.numbers.below(self.rows);
        // A step without a common factor with the length meets no item twice.
        let step = 7_919;
        let mut at = start;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let size = left.min(limits::PAGE_ROWS as u64);
            left -= size;
            let items = (0..size).map(|_| {
                at = (at + step) % self.rows;
                self.change(at)
            });
            let items: Result<_> = items.collect();
            Some(items.map(|items| Page { items, left }))
        })
    }

    fn change(&mut self, index: u64) -> Result<(Item, Item)> {
        let edition = self.editions.get_mut(usize::try_from(index)?);
        let edition = edition.context("there is no such item")?;
        let before = std::mem::replace(edition, self.edition);
        let new = item(self.list, index, self.edition);
        Ok((new, item(self.list, index, before)))
    }
}

/// A replica over the SDK's database.
struct Replicated {
    replica: Replica,
    db: Database,
    list: ListKey,
    now_ms: i64,
}

impl Replicated {
    fn open(synced: &Synced) -> Result<Self> {
        let claim = Claim {
            path: PathBuf::from(&synced.database()),
            vfs: None,
            guard: Box::new(()),
        };
        let found = Found::look(claim)?;
        let binding = found.binding().context("the database is nobody's")?.clone();
        let list = list(synced.rows)?;
        let mut replica = Replica::new(ReplicaConfig::default(), 1);
        replica.hold(&list);
        Ok(Self {
            replica,
            db: found.open(binding)?,
            list,
            now_ms: 0,
        })
    }

    /// Applies a page, and returns how long that took, in microseconds: from
    /// the parsed answer to the end of the transaction.
    fn apply(&mut self, page: Page) -> Result<f64> {
        self.replica.sync();
        let (replica, now_ms) = (&mut self.replica, self.now_ms);
        let due = self.db.write(|db| replica.poll_request(now_ms, db))?;
        let (id, request) = due.context("nothing is due")?;
        let asked = request.lists.first().context("nothing is asked about")?;
        let Position::Cursor(cursor) = &asked.position else {
            bail!("the device has no cursor");
        };
        let details = asked.delta_details.map_or(usize::MAX, |most| most as usize);
        let response = response(page, cursor, details);
        let took = micros(|| {
            Ok(self
                .db
                .write(|db| replica.handle_response(now_ms, id, response, db))?)
        })?;
        while self.replica.poll_event().is_some() {}
        Ok(took)
    }

    /// Fails unless the device has proved its copy.
    fn check(&self) -> Result<()> {
        let record = self.db.write(|db| db.begin()?.record(&self.list))?;
        let phase = record.context("the list is not known")?.phase;
        ensure!(
            phase == Phase::InSync,
            "the device is not in sync: {phase:?}"
        );
        Ok(())
    }
}

/// The answer that brings a page's changes.
fn response(page: Page, cursor: &Cursor, details: usize) -> SyncResponse {
    let mut digest: Digest = cursor.digest;
    let mut rows = Vec::with_capacity(page.items.len());
    for (at, (new, old)) in page.items.into_iter().enumerate() {
        let stamp = stamp_of(&new.id, &new.rank, &new.payload);
        digest = digest
            .minus(stamp_of(&old.id, &old.rank, &old.payload))
            .plus(stamp);
        let content = if at < details {
            Content::Payload(new.payload)
        } else {
            Content::Stamp(stamp)
        };
        rows.push(Sent {
            id: new.id,
            rank: new.rank,
            content,
        });
    }
    let to = Version::new(cursor.point.version.get() + rows.len() as u64);
    let end = match page.left {
        0 => DeltaEnd::Proof(digest, cursor.count),
        left => DeltaEnd::More(Version::new(to.get() + left)),
    };
    let delta = Delta {
        rows,
        deleted: Vec::new(),
        to,
        end,
        deletes_incomplete: false,
    };
    let answer = ListAnswer {
        list: 0,
        answer: Answer::Delta(delta),
        details: Vec::new(),
    };
    SyncResponse {
        aligned: 0,
        answers: vec![answer],
    }
}
