//! Changes that come without having been asked for: what a write of the device's
//! own answers, and later what a connection brings. `docs/sync-model.md`,
//! section 3: a trigger, never the truth.

use super::apply::{Applied, Next, Step};
use super::{Cost, Held, Repair, Replica, ReplicaConfig, gone};
use crate::local::{ListRecord, LocalStore, LocalTxn, Phase};
use highwater_protocol::message::{Content, Delta, DeltaEnd, ListChange, Position, Scan};
use highwater_protocol::{Digest, ItemId, Lineage, ListKey, Point, Stamp, Version};
use std::collections::{BTreeMap, BTreeSet};

/// What was heard of changes that are not in the copy.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The highest of them; the last, if they are of several lineages.
    highest: Option<Point>,
    /// The last lineage that was heard of and was not the copy's.
    other: Option<Lineage>,
}

/// What a change means for the copy.
enum Verdict<'a> {
    /// Old, or heard of before.
    Ignore,
    /// It fits: the copy may become what it leads to.
    Apply(&'a Delta),
    /// It does not fit, or nothing came along, or a pull is under way.
    Pull,
}

impl Heard {
    /// A request goes out. One that asks how the copy stands is answered with all
    /// that was heard before; one that goes on with a scan or a repair is not.
    pub(super) const fn asks(&mut self, position: &Position) {
        if let Position::Cursor(_) | Position::Scan(Scan { position: None, .. }) = position {
            self.highest = None;
        }
    }

    /// Whether the copy, whose cursor is `at`, is behind what was heard.
    pub(super) fn is_ahead_of(&self, at: Option<Point>) -> bool {
        let is_beyond =
            |heard: Point, at: Point| heard.lineage != at.lineage || heard.version > at.version;
        self.highest
            .is_some_and(|heard| at.is_none_or(|at| is_beyond(heard, at)))
    }

    fn remember(&mut self, heard: Point) {
        self.highest = Some(match self.highest {
            Some(known) if known.lineage == heard.lineage => Point {
                version: known.version.max(heard.version),
                ..known
            },
            _ => heard,
        });
    }

    fn judge<'a>(
        &mut self,
        record: &ListRecord,
        change: &'a ListChange,
        in_flight: bool,
    ) -> Verdict<'a> {
        let Some(cursor) = record.working().cursor() else {
            return Verdict::Pull;
        };
        let at = cursor.point;
        if change.lineage != at.lineage {
            return match self.other.replace(change.lineage) == Some(change.lineage) {
                true => Verdict::Ignore,
                false => Verdict::Pull,
            };
        }
        if reached(change).version <= at.version && change.delta.is_some() {
            return Verdict::Ignore;
        }
        let is_shown =
            matches!(record.phase, Phase::InSync | Phase::Syncing) && record.build.is_none();
        match &change.delta {
            Some(delta) if change.from <= at.version && is_shown && !in_flight => {
                Verdict::Apply(delta)
            }
            _ => Verdict::Pull,
        }
    }
}

/// Where a list stands after a change, as far as that is known: at least one
/// version further.
fn reached(change: &ListChange) -> Point {
    let next = Version::new(change.from.get().saturating_add(1));
    Point {
        lineage: change.lineage,
        version: change.delta.as_ref().map_or(next, |delta| delta.to),
    }
}

impl Replica {
    /// Applies what a transaction on the server did to lists, as far as it fits
    /// the copies that are held: all of it in one transaction here, and each
    /// list only if it then sums to what the server says. What does not fit is
    /// asked about. Lists that are not held are ignored.
    ///
    /// Returns the lists that are held, had been read, and are not yet what the
    /// changes made of them.
    ///
    /// # Errors
    /// What the database reports: then nothing was applied, and the lists are
    /// asked about.
    pub fn handle_changes<S: LocalStore>(
        &mut self,
        now_ms: i64,
        changes: &[ListChange],
        db: &mut S,
    ) -> Result<Vec<ListKey>, S::Error> {
        let mut all = Vec::new();
        let done = self.apply_changes(now_ms, changes, db, &mut all);
        let behind = match done {
            Ok(behind) => behind,
            Err(error) => {
                for held in changes.iter().map(|change| &change.list) {
                    self.sync_list(held);
                }
                return Err(error);
            }
        };
        for (list, mut applied) in all {
            let wanted = std::mem::take(&mut applied.wanted);
            let next = applied.next;
            self.publish(&list, applied);
            self.want_details(&list, wanted);
            if next != Next::Rest {
                self.sync_list(&list);
            }
        }
        Ok(behind.into_iter().collect())
    }

    fn apply_changes<S: LocalStore>(
        &mut self,
        now_ms: i64,
        changes: &[ListChange],
        db: &mut S,
        all: &mut Vec<(ListKey, Applied)>,
    ) -> Result<BTreeSet<ListKey>, S::Error> {
        let mut txn = db.begin()?;
        let mut behind = BTreeSet::new();
        for change in changes {
            let list = &change.list;
            let Some(held) = self.held.get_mut(list) else {
                continue;
            };
            let record = txn.record(list)?.unwrap_or_default();
            // Whoever may read a change may read the list.
            held.reopened |= gone(record.phase).is_some();
            let was_read = record.shown.cursor().is_some();
            let applied = match held.heard.judge(&record, change, held.in_flight) {
                Verdict::Ignore => continue,
                Verdict::Apply(delta) => {
                    apply(&self.config, now_ms, &mut txn, list, held, record, delta)?
                }
                Verdict::Pull => None,
            };
            if let Some(applied) = applied {
                all.push((list.clone(), applied));
                continue;
            }
            held.heard.remember(reached(change));
            held.due |= !held.in_flight;
            if was_read {
                behind.insert(list.clone());
            }
        }
        if !all.is_empty() {
            txn.commit()?;
        }
        Ok(behind)
    }
}

/// Applies a delta that fits, if it leads to what it says; `None`: it does not,
/// and nothing was written.
fn apply<T: LocalTxn>(
    config: &ReplicaConfig,
    now_ms: i64,
    txn: &mut T,
    list: &ListKey,
    held: &mut Held,
    record: ListRecord,
    delta: &Delta,
) -> Result<Option<Applied>, T::Error> {
    if !leads_to_its_end(txn, list, &record, delta)? {
        return Ok(None);
    }
    let before = record.phase;
    let repair: &mut Repair = &mut held.repair;
    let mut step = Step {
        config,
        now_ms,
        txn,
        list,
        record,
        repair,
        spent: Cost::default(),
        shows_fault: false,
        applied: Applied::default(),
    };
    step.change(delta.clone())?;
    let Step {
        txn,
        record,
        mut applied,
        ..
    } = step;
    txn.save_record(list, &record)?;
    if before != record.phase || !applied.changes.is_empty() {
        applied.phase = Some(record.phase);
    }
    Ok(Some(applied))
}

/// Whether a delta makes of the copy what it says. That is found out before a
/// row is written: the lists of a transaction share one, and only this list's
/// part of it would have to be undone.
fn leads_to_its_end<T: LocalTxn>(
    txn: &mut T,
    list: &ListKey,
    record: &ListRecord,
    delta: &Delta,
) -> Result<bool, T::Error> {
    let DeltaEnd::Proof(digest, count) = delta.end else {
        return Ok(false);
    };
    let shown = &record.shown;
    let mut sum = Sum {
        digest: shown.digest,
        count: shown.count,
        now: BTreeMap::new(),
    };
    let rows = delta.rows.iter().map(|row| {
        let stamp = match &row.content {
            Content::Payload(payload) => crate::stamp::stamp_of(&row.id, &row.rank, payload),
            Content::Stamp(stamp) => *stamp,
        };
        (&row.id, Some(stamp))
    });
    for (id, after) in rows.chain(delta.deleted.iter().map(|id| (id, None))) {
        let before = match sum.now.get(id) {
            Some(before) => *before,
            None => txn.row(list, shown.generation, id)?.map(|row| row.stamp),
        };
        sum.turn(id, before, after);
    }
    Ok((sum.digest, sum.count) == (digest, count))
}

/// What a copy would sum to.
struct Sum<'a> {
    digest: Digest,
    count: u64,
    now: BTreeMap<&'a ItemId, Option<Stamp>>,
}

impl<'a> Sum<'a> {
    fn turn(&mut self, id: &'a ItemId, before: Option<Stamp>, after: Option<Stamp>) {
        if let Some(stamp) = before {
            self.digest = self.digest.minus(stamp);
            self.count = self.count.saturating_sub(1);
        }
        if let Some(stamp) = after {
            self.digest = self.digest.plus(stamp);
            self.count += 1;
        }
        self.now.insert(id, after);
    }
}

impl<T: LocalTxn> Step<'_, T> {
    /// A change that was found to lead where it says.
    fn change(&mut self, delta: Delta) -> Result<(), T::Error> {
        if self.record.whole {
            let lacks = |content: &Content| matches!(content, Content::Stamp(_));
            let lacking = delta.rows.iter().filter(|row| lacks(&row.content));
            let lacking = lacking.map(|row| row.id.clone());
            self.applied.wanted.extend(lacking);
        }
        self.delta(delta)
    }
}
