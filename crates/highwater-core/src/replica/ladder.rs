//! The repair ladder: each rung once, then the next; at the end the copy is
//! right, or the list is quarantined. Never in a loop.
//!
//! The rows that the app sees stay until the repaired copy replaces them in one
//! transaction.

use super::Reason;
use super::apply::{Applied, Next, Step};
use super::event::Event;
use crate::local::{
    Copy, Generation, ListRecord, LocalRow, LocalTxn, Phase, Quarantine, RowChange, Rung, StoredRow,
};
use crate::planted::{Bug, is};
use crate::stamp::{row_check, stamp_of};
use highwater_protocol::message::{Head, SketchCells};
use highwater_protocol::{Digest, ItemId, Lineage, ListKey};

/// How often a rung's scan may begin again because the server's list was
/// replaced meanwhile.
const RESTARTS_MAX: u32 = 2;

/// Rows that are read at once while a copy is recomputed.
const CHUNK: usize = 1_000;

impl<T: LocalTxn> Step<'_, T> {
    /// The copy is not what the server has at `head`.
    pub(super) fn failed(
        &mut self,
        reason: Reason,
        head: Option<Head>,
        sketch: Option<SketchCells>,
    ) -> Result<(), T::Error> {
        let lineage = head.map(|head| head.point.lineage);
        match self.record.phase {
            Phase::Quarantined(quarantine) if !self.may_retry(&quarantine, lineage) => {}
            _ => self.begin_trace(reason, head),
        }
        match self.record.phase {
            Phase::Quarantined(quarantine) if !self.may_retry(&quarantine, lineage) => Ok(()),
            Phase::Repairing(Rung::Sketch) => self.sketch_failed(head, sketch),
            Phase::Repairing(rung) if self.begins_again() => self.build(rung),
            Phase::Repairing(rung) => match rung.next() {
                Some(next) => self.build(next),
                None => self.quarantine(lineage),
            },
            // A first scan that cannot go on has no digest to prove, but payloads
            // that the next copy takes over: only those that are right.
            _ if self.record.shown.scan.is_some() => {
                self.recompute()?;
                self.build(Rung::Skeleton)
            }
            _ => self.local(head, sketch),
        }
    }

    /// A list in quarantine climbs again on another lineage or when its time
    /// has come. A time that is further away than any quarantine lasts is that of
    /// a clock that jumped back since.
    fn may_retry(&self, quarantine: &Quarantine, lineage: Option<Lineage>) -> bool {
        let left_ms = quarantine.retry_at_ms.saturating_sub(self.now_ms);
        let waits = 0 < left_ms && left_ms <= self.config.quarantine_ms_max;
        lineage != quarantine.lineage || !waits
    }

    /// Whether this rung's scan was cut short and may begin again.
    fn begins_again(&self) -> bool {
        let scan = self
            .record
            .build
            .as_ref()
            .and_then(|build| build.scan.as_ref());
        scan.is_some_and(|scan| scan.restarts < RESTARTS_MAX || is(Bug::RungForEver))
    }

    /// The first rung: what do the rows themselves say?
    fn local(&mut self, head: Option<Head>, sketch: Option<SketchCells>) -> Result<(), T::Error> {
        self.recompute()?;
        let shown = &mut self.record.shown;
        match head {
            Some(head) if (shown.digest, shown.count) == (head.digest, head.count) => {
                shown.point = Some(head.point);
                self.record.phase = Phase::Repairing(Rung::Local);
                self.proved()
            }
            _ => self.reconcile(head, sketch),
        }
    }

    /// Recomputes the shown copy from its rows. What is wrong with them is the
    /// device's own fault, whatever the server said.
    pub(super) fn recompute(&mut self) -> Result<(), T::Error> {
        let Self {
            txn,
            list,
            record,
            applied,
            repair,
            ..
        } = self;
        let mut trace = repair.trace.as_mut();
        let note = |id: &ItemId, is| {
            if let Some(trace) = &mut trace {
                trace.note(id, true, is);
            }
        };
        if recompute(*txn, list, record, applied, note)? {
            self.blame_damage();
        }
        Ok(())
    }

    /// A rung that reads the list anew, beside the rows that are shown.
    pub(super) fn build(&mut self, rung: Rung) -> Result<(), T::Error> {
        self.repair.reconciling = None;
        let mut restarts = 0;
        let mut last = self.record.shown.generation;
        if let Some(old) = self.record.build.take() {
            self.txn.clear_generation(self.list, old.generation)?;
            last = old.generation;
            if self.record.phase == Phase::Repairing(rung) {
                restarts = old.scan.map_or(0, |scan| scan.restarts) + 1;
            }
        }
        let mut build = Copy::to_scan(after(last));
        if let Some(scan) = &mut build.scan {
            scan.restarts = restarts;
        }
        self.record.build = Some(build);
        self.record.phase = Phase::Repairing(rung);
        self.record.fence += 1;
        self.applied.next = Next::Ask;
        Ok(())
    }

    fn quarantine(&mut self, lineage: Option<Lineage>) -> Result<(), T::Error> {
        if let Some(build) = self.record.build.take() {
            self.txn.clear_generation(self.list, build.generation)?;
        }
        let attempts = self.record.quarantines.saturating_add(1);
        let doubled = 1i64
            .checked_shl(attempts.saturating_sub(1).min(30))
            .unwrap_or(i64::MAX);
        let delay_ms = self
            .config
            .quarantine_ms
            .saturating_mul(doubled)
            .min(self.config.quarantine_ms_max);
        let retry_at_ms = self.now_ms.saturating_add(delay_ms);
        self.end_trace(false);
        self.record.quarantines = attempts;
        self.record.fence += 1;
        self.record.phase = Phase::Quarantined(Quarantine {
            lineage,
            retry_at_ms,
        });
        let list = self.list.clone();
        self.applied
            .others
            .push(Event::Quarantined { list, retry_at_ms });
        Ok(())
    }
}

/// The generation after another.
pub(super) const fn after(generation: Generation) -> Generation {
    Generation(generation.0 + 1)
}

/// Whether a row is what was stored.
pub(super) fn is_sound(stored: &StoredRow) -> bool {
    let row = &stored.row;
    let is_row = stored.check == row_check(&row.id, &row.rank, row.stamp);
    is_row && !lacks_its_payload(row)
}

/// Whether a row has a payload that is not the one that its stamp is of.
fn lacks_its_payload(row: &LocalRow) -> bool {
    let payload = row.payload.as_ref();
    payload.is_some_and(|payload| stamp_of(&row.id, &row.rank, payload) != row.stamp)
}

/// Recomputes the shown copy from its stored rows. A row that fails its check
/// is dropped whole; a payload that does not match its row's stamp is dropped
/// and becomes a missing detail; digest and count become those of the rows.
/// `note` is told of each such row, and whether it is still there. Whether
/// anything was wrong.
pub(super) fn recompute<T: LocalTxn>(
    txn: &mut T,
    list: &ListKey,
    record: &mut ListRecord,
    applied: &mut Applied,
    mut note: impl FnMut(&ItemId, bool),
) -> Result<bool, T::Error> {
    let generation = record.shown.generation;
    let mut digest = Digest::ZERO;
    let mut count = 0;
    let mut wrong = false;
    let mut after: Option<ItemId> = None;
    loop {
        let rows = txn.rows_by_id(list, generation, after.as_ref(), CHUNK)?;
        let Some(last) = rows.last() else { break };
        after = Some(last.row.id.clone());
        for stored in rows {
            let row = stored.row;
            let holds = stored.check == row_check(&row.id, &row.rank, row.stamp);
            if !holds && !is(Bug::DamagedRowsKept) {
                txn.delete_row(list, generation, &row.id)?;
                wrong = true;
                note(&row.id, false);
                applied.changes.push(RowChange {
                    id: row.id,
                    before: Some(row.rank),
                    after: None,
                });
                continue;
            }
            digest = digest.plus(row.stamp);
            count += 1;
            if record.whole && row.payload.is_none() {
                applied.wanted.push(row.id.clone());
            }
            if lacks_its_payload(&row) {
                txn.clear_payload(list, generation, &row.id)?;
                wrong = true;
                note(&row.id, true);
                if record.whole {
                    applied.wanted.push(row.id.clone());
                }
                let rank = Some(row.rank);
                applied.changes.push(RowChange {
                    id: row.id,
                    before: rank.clone(),
                    after: rank,
                });
            }
        }
    }
    let shown = &mut record.shown;
    wrong |= (digest, count) != (shown.digest, shown.count);
    (shown.digest, shown.count) = (digest, count);
    record.audit = None;
    Ok(wrong)
}
