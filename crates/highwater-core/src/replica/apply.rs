//! Applying the answer about one list, within a transaction on the device's
//! database.

use super::ladder;
use super::trace::{self, Trace};
use super::{Asked, Basis, Cost, Event, Reason, Repair, ReplicaConfig, gone, misfit};
use crate::local::{
    Changes, Likely, ListRecord, LocalRow, LocalTxn, OldRow, Phase, RowChange, Rung, ScanProgress,
};
use crate::planted::{Bug, is};
use crate::stamp::stamp_of;
use highwater_protocol::message::{
    Answer, Content, Delta, DeltaEnd, DivergedReason, GoneReason, Head, ListAnswer, ListRequest,
    Position, Row, ScanPage,
};
use highwater_protocol::{Digest, ItemId, ListKey, Point, Refusal};
use std::collections::BTreeSet;

/// What to do about a list next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    #[default]
    Rest,
    /// Ask again at once: there is more, or a repair goes on.
    Ask,
    /// Ask again after a delay: the answer was of no use.
    Retry,
}

/// Which of the details asked for need not be asked for again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Answered {
    /// None: the answer did not get to them.
    #[default]
    No,
    /// Those that came. The rest did not fit.
    Part(Vec<ItemId>),
    /// All: those that did not come are not there.
    All,
}

/// What applying an answer did.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) next: Next,
    pub(super) answered: Answered,
    /// Payloads that a list which is kept whole has come to lack.
    pub(super) wanted: Vec<ItemId>,
    /// Rows that the app sees, in order of their changes.
    pub(super) changes: Vec<RowChange>,
    /// Too many rows changed to name them.
    pub(super) many: bool,
    pub(super) filled: Vec<ItemId>,
    pub(super) phase: Option<Phase>,
    /// Where the copy stands now, if it has a cursor.
    pub(super) cursor: Option<Point>,
    pub(super) others: Vec<Event>,
}

impl Applied {
    fn retry(event: Event) -> Self {
        Self {
            next: Next::Retry,
            others: vec![event],
            ..Self::default()
        }
    }

    /// The response got nowhere.
    pub(super) fn nowhere(list: &ListKey) -> Self {
        Self::retry(Event::PeerMisbehaved {
            list: list.clone(),
            refusal: misfit("a response answers at least one of its lists"),
        })
    }

    pub(super) fn add_changes(&mut self, changes: Changes) {
        match changes {
            Changes::Rows(rows) => self.changes.extend(rows),
            Changes::Many => self.many = true,
        }
    }

    /// The reports in the order in which an app needs them: rows first.
    pub(super) fn into_events(self, list: &ListKey) -> Vec<Event> {
        let mut events = Vec::new();
        if self.many {
            events.push(Event::Changed {
                list: list.clone(),
                changes: Changes::Many,
            });
        } else if !self.changes.is_empty() {
            let changes = Changes::Rows(self.changes);
            events.push(Event::Changed {
                list: list.clone(),
                changes,
            });
        }
        if !self.filled.is_empty() {
            events.push(Event::DetailsFilled {
                list: list.clone(),
                ids: self.filled,
            });
        }
        events.extend(self.others);
        if let Some(phase) = self.phase {
            events.push(Event::Status {
                list: list.clone(),
                phase,
            });
        }
        events
    }
}

/// Applies one list's answer, if the list still stands where it was asked
/// about. Otherwise the answer only says that there is something to ask about.
pub(super) fn apply<T: LocalTxn>(
    config: &ReplicaConfig,
    now_ms: i64,
    txn: &mut T,
    asked: &Asked,
    answer: ListAnswer,
    repair: &mut Repair,
) -> Result<Applied, T::Error> {
    let list = &asked.request.list;
    let stored = txn.record(list)?;
    let before = stored.as_ref().map(|record| record.phase);
    let mut record = stored.unwrap_or_default();
    if gone(record.phase).is_some() {
        record.phase = Phase::Syncing;
    }
    let (up, down) = asked.bytes;
    let spent = trace::spent(&answer, up, down);
    if let Phase::Repairing(_) = record.phase
        && repair.trace.is_none()
    {
        let before = trace::standing(&record, None);
        repair.trace = Some(Trace::new(Reason::Resumed, Some(now_ms), before));
    }
    if let Some(trace) = &mut repair.trace {
        trace.add_cost(spent);
    }
    if Basis::of(&record) != asked.basis && !is(Bug::FenceIgnored) {
        return Ok(Applied {
            next: Next::Ask,
            ..Applied::default()
        });
    }
    let mut step = Step {
        config,
        now_ms,
        txn,
        list,
        record,
        repair,
        spent,
        shows_fault: matches!(answer.answer, Answer::Diverged(_)),
        applied: Applied::default(),
    };
    match step.answer(&asked.request, answer)? {
        Ok(()) => {}
        Err(refusal) => {
            return Ok(Applied::retry(Event::PeerMisbehaved {
                list: list.clone(),
                refusal,
            }));
        }
    }
    let Step {
        record,
        mut applied,
        ..
    } = step;
    if applied.next != Next::Retry {
        txn.save_record(list, &record)?;
        applied.cursor = record.working().cursor().map(|cursor| cursor.point);
        let settled = before == Some(record.phase) && record.phase == Phase::InSync;
        if !settled || !applied.changes.is_empty() || applied.many {
            applied.phase = Some(record.phase);
        }
    }
    Ok(applied)
}

/// One list, one answer, one transaction.
pub(super) struct Step<'a, T> {
    pub(super) config: &'a ReplicaConfig,
    pub(super) now_ms: i64,
    pub(super) txn: &'a mut T,
    pub(super) list: &'a ListKey,
    pub(super) record: ListRecord,
    pub(super) repair: &'a mut Repair,
    /// What the answer cost.
    pub(super) spent: Cost,
    /// The answer is not about changes, but about a fault alone.
    pub(super) shows_fault: bool,
    pub(super) applied: Applied,
}

/// A broken answer is found before anything of it is written.
type Checked<E> = Result<Result<(), Refusal>, E>;

impl<T: LocalTxn> Step<'_, T> {
    fn answer(&mut self, asked: &ListRequest, answer: ListAnswer) -> Checked<T::Error> {
        if let Some(no) = check_fit(&self.record, asked, &answer) {
            return Ok(Err(no));
        }
        match answer.answer {
            Answer::Aligned => self.proved()?,
            Answer::Adopt(point) => {
                self.record.working_mut().point = Some(point);
                self.proved()?;
            }
            Answer::Delta(delta) => self.delta(delta)?,
            Answer::Diverged(diverged) => {
                let reason = match diverged.reason {
                    DivergedReason::Lineage => Reason::Lineage,
                    DivergedReason::Ahead => Reason::Ahead,
                    DivergedReason::Digest => Reason::Digest,
                    DivergedReason::Unknown => Reason::Unknown,
                };
                self.failed(reason, Some(diverged.head), diverged.sketch)?;
            }
            Answer::Sketch(cells) => self.cells(cells)?,
            Answer::SketchRows(rows) => self.sketch_rows(rows)?,
            Answer::Scan(page) => self.scan(page)?,
            Answer::Gone(reason) => self.gone(reason)?,
            // The details that were asked for stay wanted.
            Answer::Deferred => {
                self.applied.next = Next::Ask;
                return Ok(Ok(()));
            }
            Answer::Refused(refusal) => {
                self.applied = Applied::retry(Event::Refused {
                    list: self.list.clone(),
                    refusal,
                });
                return Ok(Ok(()));
            }
        }
        self.details(&asked.details, answer.details)?;
        Ok(Ok(()))
    }

    /// The copy is what the server has.
    pub(super) fn proved(&mut self) -> Result<(), T::Error> {
        self.repair.reconciling = None;
        if let Some(build) = self.record.build.take() {
            let from = self.record.shown.generation;
            self.note_differences(from, build.generation)?;
            let changes = self
                .txn
                .replace_generation(self.list, from, build.generation)?;
            self.record.shown = build;
            self.record.fence += 1;
            self.applied.add_changes(changes.clone());
            self.complete(&changes);
        }
        self.end_trace(true);
        self.record.phase = Phase::InSync;
        self.record.quarantines = 0;
        Ok(())
    }

    /// Rows that a skeleton brought into a list that is kept whole lack their
    /// payload. If they are too many to name, the list is no longer kept whole.
    fn complete(&mut self, changes: &Changes) {
        if !self.record.whole {
            return;
        }
        match changes {
            Changes::Rows(rows) => {
                let there = rows.iter().filter(|row| row.after.is_some());
                self.applied.wanted.extend(there.map(|row| row.id.clone()));
            }
            Changes::Many => self.record.whole = false,
        }
    }

    pub(super) fn delta(&mut self, delta: Delta) -> Result<(), T::Error> {
        self.repair.deletes_lost |= delta.deletes_incomplete;
        for row in delta.rows {
            self.put(row, Likely::Known)?;
        }
        for id in delta.deleted {
            self.delete(&id)?;
        }
        let working = self.record.working_mut();
        if let Some(point) = &mut working.point {
            point.version = delta.to;
        }
        match delta.end {
            DeltaEnd::More(_) => {
                if self.record.phase == Phase::InSync && !is(Bug::CalmBeforeProof) {
                    self.record.phase = Phase::Syncing;
                }
                self.applied.next = Next::Ask;
                Ok(())
            }
            DeltaEnd::Proof(digest, count) => self.prove(Reason::Digest, digest, count),
        }
    }

    /// Compares the copy with what the server says that it must sum to.
    pub(super) fn prove(
        &mut self,
        reason: Reason,
        digest: Digest,
        count: u64,
    ) -> Result<(), T::Error> {
        let working = self.record.working();
        if (working.digest, working.count) == (digest, count) || is(Bug::ProofNotCompared) {
            return self.proved();
        }
        let head = working.point.map(|point| Head {
            point,
            digest,
            count,
        });
        self.failed(reason, head, None)
    }

    fn scan(&mut self, page: ScanPage) -> Result<(), T::Error> {
        let keeps_details = self.record.phase == Phase::Repairing(Rung::Skeleton);
        if self.record.working().point.is_none() && !keeps_details {
            self.record.whole = page.whole;
        }
        for row in page.rows {
            self.put(row, Likely::New)?;
        }
        let working = self.record.working_mut();
        working.point = Some(page.point);
        let progress = working.scan.get_or_insert_with(ScanProgress::default);
        progress.total = page.total;
        progress.after = page.next;
        if progress.after.is_some() {
            self.applied.next = Next::Ask;
            return Ok(());
        }
        working.scan = None;
        match page.proof {
            Some(digest) => self.prove(Reason::Digest, digest, page.total),
            None => {
                self.applied.next = Next::Ask;
                Ok(())
            }
        }
    }

    fn gone(&mut self, reason: GoneReason) -> Result<(), T::Error> {
        let shown = self.record.shown.generation;
        let last = self
            .record
            .build
            .as_ref()
            .map_or(shown, |build| build.generation);
        if self.record.shown.count > 0 {
            self.applied.many = true;
        }
        if !is(Bug::GoneKeepsRows) {
            self.txn.clear_generation(self.list, shown)?;
        }
        if last != shown {
            self.txn.clear_generation(self.list, last)?;
        }
        self.record = ListRecord {
            shown: crate::local::Copy::to_scan(match is(Bug::GoneKeepsRows) {
                true => shown,
                false => ladder::after(last),
            }),
            build: None,
            phase: Phase::Gone(reason),
            fence: self.record.fence + 1,
            whole: false,
            quarantines: 0,
            audit: None,
            audited_at_ms: None,
        };
        *self.repair = Repair::default();
        self.applied.others.push(Event::Gone {
            list: self.list.clone(),
            reason,
        });
        Ok(())
    }

    fn put(&mut self, row: Row, likely: Likely) -> Result<(), T::Error> {
        self.put_row(local_row(row), likely).map(drop)
    }

    /// Whether it was there before.
    pub(super) fn put_row(&mut self, row: LocalRow, likely: Likely) -> Result<bool, T::Error> {
        let generation = self.record.working().generation;
        let before = self.txn.put_row(self.list, generation, &row, likely)?;
        let is_shown = self.record.build.is_none();
        let working = self.record.working_mut();
        match &before {
            Some(old) => working.digest = working.digest.minus(old.stamp),
            None => working.count += 1,
        }
        working.digest = working.digest.plus(row.stamp);
        let was = before.is_some();
        if let Some(audit) = &mut self.record.audit {
            let old = before.as_ref().map(|old| old.stamp);
            audit.follow(generation, &row.id, old, Some(row.stamp));
        }
        if is_shown && is_difference(before.as_ref(), &row) {
            self.applied.changes.push(RowChange {
                id: row.id,
                before: before.map(|old| old.rank),
                after: Some(row.rank),
            });
        }
        Ok(was)
    }

    pub(super) fn delete(&mut self, id: &ItemId) -> Result<(), T::Error> {
        let generation = self.record.working().generation;
        let Some(old) = self.txn.delete_row(self.list, generation, id)? else {
            return Ok(());
        };
        let is_shown = self.record.build.is_none();
        let working = self.record.working_mut();
        if !is(Bug::LocalDigestKept) {
            working.digest = working.digest.minus(old.stamp);
        }
        working.count = working.count.saturating_sub(1);
        if let Some(audit) = &mut self.record.audit {
            audit.follow(generation, id, Some(old.stamp), None);
        }
        if is_shown {
            let (id, before) = (id.clone(), Some(old.rank));
            self.applied.changes.push(RowChange {
                id,
                before,
                after: None,
            });
        }
        Ok(())
    }

    /// Stores payloads under their own stamps only. One that fits no row of a
    /// copy that was just proved means that the copy is damaged where the
    /// digest does not show it: the row is what the device stored, not what it
    /// sums up.
    fn details(&mut self, asked: &[ItemId], details: Vec<Row>) -> Result<(), T::Error> {
        let generation = self.record.shown.generation;
        let mut damaged = false;
        let came: BTreeSet<ItemId> = details.iter().map(|row| row.id.clone()).collect();
        for detail in details {
            let detail = local_row(detail);
            let row = self.txn.row(self.list, generation, &detail.id)?;
            match row {
                Some(row) if row.stamp == detail.stamp => {
                    if row.payload.is_none() {
                        self.txn
                            .put_row(self.list, generation, &detail, Likely::Known)?;
                        self.applied.filled.push(detail.id);
                    }
                }
                Some(_) | None => damaged |= self.record.phase == Phase::InSync,
            }
        }
        self.applied.answered = match came.is_empty() {
            true => Answered::All,
            false => Answered::Part(self.settled(asked, &came)?),
        };
        if damaged {
            self.begin_trace(Reason::Details, None);
            self.recompute()?;
            self.record.phase = Phase::Syncing;
            self.record.fence += 1;
            self.applied.next = Next::Ask;
        }
        Ok(())
    }

    /// Of the details asked for, those that came, and those that nobody lacks
    /// any more: their row is gone or has its payload. The rest did not fit.
    fn settled(
        &mut self,
        asked: &[ItemId],
        came: &BTreeSet<ItemId>,
    ) -> Result<Vec<ItemId>, T::Error> {
        let generation = self.record.shown.generation;
        let mut settled: Vec<ItemId> = came.iter().cloned().collect();
        for id in asked.iter().filter(|id| !came.contains(*id)) {
            let row = self.txn.row(self.list, generation, id)?;
            if row.is_none_or(|row| row.payload.is_some()) {
                settled.push(id.clone());
            }
        }
        Ok(settled)
    }
}

/// Whether an answer can be an answer to what was asked.
fn check_fit(record: &ListRecord, asked: &ListRequest, answer: &ListAnswer) -> Option<Refusal> {
    let lacks_payload = |row: &Row| matches!(row.content, Content::Stamp(_));
    if answer.details.iter().any(lacks_payload) {
        return Some(misfit("a detail comes with its payload"));
    }
    if !answer.details.is_empty() {
        // What was asked for would be asked for again, and again.
        let wanted: BTreeSet<&ItemId> = asked.details.iter().collect();
        if answer.details.iter().any(|row| !wanted.contains(&row.id)) {
            return Some(misfit("details are of the items that were asked for"));
        }
    }
    let position = &asked.position;
    let working = record.working();
    match (&answer.answer, position) {
        (Answer::Aligned | Answer::Adopt(_) | Answer::Delta(_), position)
            if !matches!(position, Position::Cursor(_)) =>
        {
            Some(misfit("only a cursor is answered with where it stands"))
        }
        (Answer::Scan(_), position) if !matches!(position, Position::Scan(_)) => {
            Some(misfit("only a scan is answered with a page"))
        }
        (Answer::Sketch(cells), Position::Sketch(range))
            if Some(cells.id) == range.id
                && cells.from == range.from
                && !cells.cells.is_empty() =>
        {
            None
        }
        (Answer::SketchRows(rows), Position::SketchItems(items))
            if (1..=items.elements.len()).contains(&rows.done) =>
        {
            None
        }
        (Answer::Sketch(_) | Answer::SketchRows(_), _) => Some(misfit(
            "cells and rows of a sketch are those that were asked for",
        )),
        (Answer::Delta(delta), Position::Cursor(cursor)) => {
            let from = cursor.point.version;
            let gets_on = match delta.end {
                DeltaEnd::More(_) => delta.to > from,
                DeltaEnd::Proof(..) => delta.to >= from,
            };
            (!gets_on).then(|| misfit("a delta does not go back or stand still"))
        }
        (Answer::Scan(page), Position::Scan(_)) => {
            if working.point.is_some_and(|point| point != page.point) {
                return Some(misfit("a scan's pages are of one version"));
            }
            let after = working.scan.as_ref().and_then(|scan| scan.after.as_ref());
            let first = page.rows.first().map(Row::order_key);
            let stands = page.next.is_some() && page.next.as_ref() <= after;
            let back = first.is_some() && first.as_ref() <= after;
            (stands || back).then(|| misfit("a scan does not go back or stand still"))
        }
        _ => None,
    }
}

pub(super) fn local_row(row: Row) -> LocalRow {
    match row.content {
        Content::Payload(payload) => LocalRow {
            stamp: stamp_of(&row.id, &row.rank, &payload),
            id: row.id,
            rank: row.rank,
            payload: Some(payload),
        },
        Content::Stamp(stamp) => LocalRow {
            id: row.id,
            rank: row.rank,
            stamp,
            payload: None,
        },
    }
}

/// Whether an app sees a difference: content, place, or a payload that was
/// missing.
fn is_difference(before: Option<&OldRow>, row: &LocalRow) -> bool {
    before.is_none_or(|old| {
        old.stamp != row.stamp
            || old.rank != row.rank
            || (!old.had_payload && row.payload.is_some())
    })
}
