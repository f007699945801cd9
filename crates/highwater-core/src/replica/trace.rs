//! What a repair has done so far: it becomes the receipt.

use super::apply::Step;
use super::event::Event;
use crate::local::{Generation, ListRecord, LocalTxn, Phase, Rung};
use highwater_protocol::message::{
    Answer, Content, Cost, Difference, Head, ListAnswer, Reason, Receipt, Row, Standing,
};
use highwater_protocol::{ItemId, ListKey, Stamp, limits};
use std::collections::{BTreeMap, VecDeque};

/// Elements whose fate is followed through all rungs. One more that differs on
/// two rungs counts twice.
const FATES_MAX: usize = 100_000;

/// Stamps that are read at once while two copies are compared.
const CHUNK: usize = 10_000;

/// What a repair has done so far. It lives in memory: a device that dies
/// meanwhile begins another, whose reason says so.
#[derive(Debug)]
pub(super) struct Trace {
    reason: Reason,
    /// `None` until the replica is told the time.
    began_at_ms: Option<i64>,
    before: Standing,
    server: Option<Head>,
    fates: BTreeMap<ItemId, Fate>,
    beyond: Difference,
    cost: Cost,
}

/// Whether an element was there when the repair began, and is now.
#[derive(Clone, Copy, Debug)]
struct Fate {
    was: bool,
    is: bool,
}

impl Trace {
    pub(super) fn new(reason: Reason, now_ms: Option<i64>, before: Standing) -> Self {
        Self {
            reason,
            began_at_ms: now_ms,
            before,
            server: before.server,
            fates: BTreeMap::new(),
            beyond: Difference::default(),
            cost: Cost::default(),
        }
    }

    /// The time, for a repair that began when it was not known.
    pub(super) fn at(&mut self, now_ms: i64) {
        self.began_at_ms.get_or_insert(now_ms);
    }

    pub(super) fn add_cost(&mut self, spent: Cost) {
        let cost = &mut self.cost;
        cost.requests += spent.requests;
        cost.bytes_up += spent.bytes_up;
        cost.bytes_down += spent.bytes_down;
        cost.item_bytes += spent.item_bytes;
    }

    /// Where the server stands now.
    pub(super) fn see(&mut self, server: Option<Head>) {
        self.server = server.or(self.server);
    }

    /// An element of the copy is mended: was it there before, is it now?
    pub(super) fn note(&mut self, id: &ItemId, was: bool, is: bool) {
        if let Some(fate) = self.fates.get_mut(id) {
            fate.is = is;
        } else if self.fates.len() < FATES_MAX {
            self.fates.insert(id.clone(), Fate { was, is });
        } else {
            count(&mut self.beyond, Fate { was, is });
        }
    }

    fn difference(self) -> Difference {
        let mut difference = self.beyond;
        for (id, fate) in self.fates {
            let counted = count(&mut difference, fate);
            if counted && difference.ids.len() < limits::RECEIPT_IDS {
                difference.ids.push(id);
            }
        }
        difference
    }

    fn receipt(
        self,
        list: &ListKey,
        now_ms: i64,
        rung: Rung,
        mended: bool,
        after: Standing,
    ) -> Receipt {
        let began_at_ms = self.began_at_ms.unwrap_or(now_ms);
        let took_ms = now_ms.saturating_sub(began_at_ms);
        Receipt {
            list: list.clone(),
            reason: self.reason,
            rung,
            mended,
            cost: self.cost,
            began_at_ms,
            duration_ms: u64::try_from(took_ms).unwrap_or_default(),
            before: self.before,
            after,
            difference: self.difference(),
        }
    }
}

/// Counts an element; false: it is as it was before the repair.
fn count(difference: &mut Difference, fate: Fate) -> bool {
    match (fate.was, fate.is) {
        (false, true) => difference.added += 1,
        (true, false) => difference.removed += 1,
        (true, true) => difference.changed += 1,
        (false, false) => return false,
    }
    true
}

/// Where the shown copy stands.
pub(super) fn standing(record: &ListRecord, server: Option<Head>) -> Standing {
    Standing {
        device: record.shown.cursor(),
        server,
    }
}

/// What an answer about one list cost. `up` and `down` are its entries' bytes.
pub(super) fn spent(answer: &ListAnswer, up: u64, down: u64) -> Cost {
    let rows: &[Row] = match &answer.answer {
        Answer::Delta(delta) => &delta.rows,
        Answer::Scan(page) => &page.rows,
        Answer::SketchRows(rows) => &rows.rows,
        _ => &[],
    };
    let bytes = |row: &Row| match &row.content {
        Content::Payload(payload) => {
            (row.id.as_str().len() + row.rank.as_bytes().len() + payload.len()) as u64
        }
        Content::Stamp(_) => 0,
    };
    Cost {
        requests: 1,
        bytes_up: up,
        bytes_down: down,
        item_bytes: rows.iter().chain(&answer.details).map(bytes).sum(),
    }
}

impl<T: LocalTxn> Step<'_, T> {
    /// A fault was found, unless one is being mended already.
    pub(super) fn begin_trace(&mut self, reason: Reason, server: Option<Head>) {
        if let Some(trace) = &mut self.repair.trace {
            trace.see(server);
            return;
        }
        let reason = match reason {
            Reason::Digest if self.repair.deletes_lost => Reason::Purged,
            reason => reason,
        };
        let before = standing(&self.record, server);
        let mut trace = Trace::new(reason, Some(self.now_ms), before);
        if self.shows_fault {
            trace.add_cost(self.spent);
        }
        self.repair.trace = Some(trace);
    }

    /// What is wrong turned out to be the device's own.
    pub(super) fn blame_damage(&mut self) {
        if let Some(trace) = &mut self.repair.trace
            && trace.reason != Reason::Details
        {
            trace.reason = Reason::Damage;
        }
    }

    pub(super) fn note(&mut self, id: &ItemId, was: bool, is: bool) {
        if let Some(trace) = &mut self.repair.trace {
            trace.note(id, was, is);
        }
    }

    /// The repair ended: the copy is right, or was given up.
    pub(super) fn end_trace(&mut self, mended: bool) {
        self.repair.deletes_lost = false;
        let Some(trace) = self.repair.trace.take() else {
            return;
        };
        let rung = match self.record.phase {
            Phase::Repairing(rung) => rung,
            _ => Rung::Local,
        };
        let device = self.record.shown.cursor();
        let proved = device.map(|cursor| Head {
            point: cursor.point,
            digest: cursor.digest,
            count: cursor.count,
        });
        let server = if mended { proved } else { trace.server };
        let after = Standing { device, server };
        let receipt = Box::new(trace.receipt(self.list, self.now_ms, rung, mended, after));
        self.applied.others.push(match mended {
            true => Event::Repaired(receipt),
            false => Event::Unrepaired(receipt),
        });
    }

    /// Notes in what the copy that is about to be shown differs from the one
    /// that is, by ids and stamps.
    pub(super) fn note_differences(
        &mut self,
        from: Generation,
        to: Generation,
    ) -> Result<(), T::Error> {
        if self.repair.trace.is_none() {
            return Ok(());
        }
        let mut old = Stamps::new(from);
        let mut new = Stamps::new(to);
        loop {
            old.fill(self.txn, self.list)?;
            new.fill(self.txn, self.list)?;
            let (was, is) = match (old.rows.front(), new.rows.front()) {
                (None, None) => return Ok(()),
                (Some((left, _)), Some((right, _))) => (left <= right, right <= left),
                (before, after) => (before.is_some(), after.is_some()),
            };
            let before = if was { old.rows.pop_front() } else { None };
            let after = if is { new.rows.pop_front() } else { None };
            if before != after
                && let Some((id, _)) = before.or(after)
            {
                self.note(&id, was, is);
            }
        }
    }
}

/// The ids and stamps of a copy, chunk by chunk.
struct Stamps {
    generation: Generation,
    rows: VecDeque<(ItemId, Stamp)>,
    last: Option<ItemId>,
    ended: bool,
}

impl Stamps {
    const fn new(generation: Generation) -> Self {
        Self {
            generation,
            rows: VecDeque::new(),
            last: None,
            ended: false,
        }
    }

    fn fill<T: LocalTxn>(&mut self, txn: &mut T, list: &ListKey) -> Result<(), T::Error> {
        if !self.rows.is_empty() || self.ended {
            return Ok(());
        }
        let rows = txn.stamps_by_id(list, self.generation, self.last.as_ref(), CHUNK)?;
        match rows.last() {
            Some((last, _)) => self.last = Some(last.clone()),
            None => self.ended = true,
        }
        self.rows = rows.into();
        Ok(())
    }
}
