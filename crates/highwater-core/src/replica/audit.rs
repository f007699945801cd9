//! Holding stored rows against what they should be: all at once, because someone
//! asked or something was found, or bit by bit in the background.

use super::apply::Applied;
use super::ladder;
use super::trace::{Trace, standing};
use super::{Reason, Replica};
use crate::local::{Audit, LocalStore, LocalTxn, Phase};
use highwater_protocol::{Digest, ItemId, ListKey};

/// What a step of an audit found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audited {
    /// Nothing wrong so far; rows are left.
    More,
    /// The audit ended, and nothing was wrong.
    Sound,
    /// Something was wrong. The list was recomputed, and is to be asked about.
    Faulty,
}

impl Replica {
    /// Looks at the next `rows` rows of a list's shown copy: at each, whether it
    /// is what was stored, and after the last, whether they sum to the copy's
    /// digest. How far it has come is stored with the list, and follows what is
    /// written meanwhile: an audit goes on after a restart, and beside writes.
    ///
    /// # Errors
    /// What the database reports; the next call looks at the same rows again.
    pub fn audit<S: LocalStore>(
        &mut self,
        now_ms: i64,
        list: &ListKey,
        rows: usize,
        db: &mut S,
    ) -> Result<Audited, S::Error> {
        let mut txn = db.begin()?;
        let Some(mut record) = txn.record(list)? else {
            return Ok(Audited::Sound);
        };
        let generation = record.shown.generation;
        let begun = record.audit.take();
        let begun = begun.filter(|audit| audit.generation == generation);
        let after = begun.as_ref().map(|audit| audit.after.clone());
        let mut audit = begun.unwrap_or_else(|| Audit {
            generation,
            after: ItemId::header(),
            digest: Digest::ZERO,
            count: 0,
        });
        let rows_max = rows.max(1);
        let rows = txn.rows_by_id(list, generation, after.as_ref(), rows_max)?;
        let is_last = rows.len() < rows_max;
        let mut sound = true;
        for stored in rows {
            sound &= ladder::is_sound(&stored);
            audit.digest = audit.digest.plus(stored.row.stamp);
            audit.count += 1;
            audit.after = stored.row.id;
        }
        if is_last {
            sound &= (audit.digest, audit.count) == (record.shown.digest, record.shown.count);
        }
        if !sound {
            drop(txn);
            self.recheck(list, Some(now_ms), db)?;
            return Ok(Audited::Faulty);
        }
        if is_last {
            record.audited_at_ms = Some(now_ms);
        } else {
            record.audit = Some(audit);
        }
        txn.save_record(list, &record)?;
        txn.commit()?;
        Ok(if is_last {
            Audited::Sound
        } else {
            Audited::More
        })
    }

    /// Recomputes a list from its stored rows, and has it asked about. That is
    /// an audit too, if the time is known. Whether anything was wrong.
    pub(super) fn recheck<S: LocalStore>(
        &mut self,
        list: &ListKey,
        now_ms: Option<i64>,
        db: &mut S,
    ) -> Result<bool, S::Error> {
        let mut txn = db.begin()?;
        let Some(mut record) = txn.record(list)? else {
            return Ok(false);
        };
        let before = standing(&record, None);
        let sum = (record.shown.digest, record.shown.count);
        let mut applied = Applied::default();
        let mut found = Trace::new(Reason::Damage, now_ms, before);
        let note = |id: &ItemId, is| found.note(id, true, is);
        let wrong = ladder::recompute(&mut txn, list, &mut record, &mut applied, note)?;
        // A copy that sums to something else than was proved is not in sync,
        // also where the server cannot be asked for long.
        let unproved = sum != (record.shown.digest, record.shown.count);
        match record.phase {
            Phase::Quarantined(_) => record.phase = Phase::Syncing,
            Phase::InSync if unproved => {
                record.phase = Phase::Syncing;
                applied.phase = Some(record.phase);
            }
            _ => {}
        }
        record.fence += 1;
        record.audited_at_ms = now_ms.or(record.audited_at_ms);
        txn.save_record(list, &record)?;
        txn.commit()?;
        if wrong && let Some(held) = self.held.get_mut(list) {
            held.repair.trace.get_or_insert(found);
        }
        let wanted = std::mem::take(&mut applied.wanted);
        self.publish(list, applied);
        self.want_details(list, wanted);
        self.sync_list(list);
        Ok(wrong)
    }
}
