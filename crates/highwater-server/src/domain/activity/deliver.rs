//! Reports as the server carries them out: planned, written, and planned anew where
//! a group changed in between.

use super::{
    Activity, ActivityOutcome, Batch, Delivered, Planned, ReportActivity, Reported, batches, plan,
};
use crate::domain::{Directory, ListChange, Written};
use crate::fault;
use highwater_protocol::{Code, Refusal};
use highwater_store::{Store, StoreError};
use std::collections::BTreeSet;

/// How often an activity is planned, if its group changes in between.
const PLANS_MAX: usize = 8;

impl<S: Store> Directory<S> {
    /// Writes what goes on in conversations, in transactions of at most 250 lists.
    /// A group of more than `shared_above` members is large.
    ///
    /// Whatever cannot be written is told of each entry. A report that is sent
    /// again writes nothing twice: what was written is stale then.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn report_activity(
        &self,
        report: &ReportActivity,
        shared_above: u64,
    ) -> Result<Written<Reported>, Refusal> {
        let mut changes = Vec::new();
        let mut reported = Reported {
            applied: true,
            outcomes: Vec::with_capacity(report.entries.len()),
        };
        let mut open = Vec::new();
        for (at, entry) in report.entries.iter().enumerate() {
            let refused = entry.as_ref().err().cloned();
            open.extend(entry.as_ref().ok().map(|activity| (at, activity)));
            let outcome = |no| ActivityOutcome::refused(at, no);
            let outcome = refused.map_or(ActivityOutcome::NotApplied, outcome);
            reported.outcomes.push(outcome);
        }
        for _ in 0..PLANS_MAX {
            let mut planned = Vec::new();
            for (at, plan) in self.plan(&open, shared_above).await? {
                match plan {
                    Ok(plan) => planned.extend(plan),
                    Err(no) => reported.outcomes[at] = ActivityOutcome::refused(at, no),
                }
            }
            let is_refused = |one: &_| matches!(one, ActivityOutcome::Refused { .. });
            if !report.partial && reported.outcomes.iter().any(is_refused) {
                // Only of the first plan: later ones are of what was overtaken.
                reported.applied = reported.outcomes.iter().any(is_done);
                if !reported.applied {
                    return Ok(written(reported, changes));
                }
            }
            let overtaken = self.deliver(planned, &mut reported, &mut changes).await?;
            if overtaken.is_empty() {
                return Ok(written(reported, changes));
            }
            open.retain(|(at, _)| overtaken.contains(at));
        }
        for (at, _) in open {
            let message = "the group's members change too fast: report it again";
            let no = Refusal::new(Code::Unavailable, message);
            reported.outcomes[at] = ActivityOutcome::refused(at, no.at("conversation.group"));
        }
        Ok(written(reported, changes))
    }

    /// Looks up who gets these activities.
    async fn plan(
        &self,
        open: &[(usize, &Activity)],
        shared_above: u64,
    ) -> Result<Vec<(usize, Result<Vec<Planned>, Refusal>)>, Refusal> {
        let failed = |error: StoreError| {
            self.failed(&error);
            fault::of_store(&error)
        };
        let snapshot = self.store().snapshot(&[]).await.map_err(failed)?;
        let mut plans = Vec::with_capacity(open.len());
        for (at, activity) in open {
            let plan = plan(&snapshot, *at, activity, shared_above).await;
            plans.push((*at, plan.map_err(failed)?));
        }
        Ok(plans)
    }

    /// Writes activities, and says what became of each entry. Returns the entries
    /// whose group has changed since they were planned.
    async fn deliver(
        &self,
        planned: Vec<Planned>,
        reported: &mut Reported,
        changes: &mut Vec<ListChange>,
    ) -> Result<BTreeSet<usize>, Refusal> {
        let mut overtaken = BTreeSet::new();
        for batch in batches(planned) {
            let entries: Vec<_> = batch.iter().map(|planned| planned.entry).collect();
            let written = self.record(Batch(batch)).await?;
            changes.extend(written.changes);
            for (at, delivered) in entries.into_iter().zip(written.output) {
                let outcome = &mut reported.outcomes[at];
                match delivered {
                    Delivered::Written => *outcome = ActivityOutcome::Written,
                    Delivered::Stale if !is_done(outcome) => *outcome = ActivityOutcome::Stale,
                    Delivered::Refused(no) if !is_done(outcome) => {
                        *outcome = ActivityOutcome::refused(at, no);
                    }
                    Delivered::Stale | Delivered::Refused(_) => {}
                    Delivered::Overtaken => drop(overtaken.insert(at)),
                }
            }
        }
        Ok(overtaken)
    }
}

const fn written(output: Reported, changes: Vec<ListChange>) -> Written<Reported> {
    Written {
        output,
        changes,
        replayed: false,
    }
}

/// Whether an entry's activity was written, somewhere at least, or was before.
const fn is_done(outcome: &ActivityOutcome) -> bool {
    matches!(outcome, ActivityOutcome::Written | ActivityOutcome::Stale)
}
