//! The operations as the server carries them out: through the store, large ones
//! in batches, and with the fan-out woken where they queue work.

use super::activity::{
    Activity, ActivityOutcome, Batch, Delivered, Planned, ReportActivity, Reported, batches, plan,
};
use super::import::ImportBatch;
use super::{
    Actor, BATCH, Create, Describe, Dismiss, FanOut, GroupId, ImportRequest, Invite, InviteOutcome,
    Join, Leave, Remove, RemoveOutcome, SetRole, UserId,
};
use crate::clock::Clock;
use crate::fault;
use crate::metrics::Metrics;
use crate::request_id;
use highwater_core::Head;
use highwater_core::reads::ListState;
use highwater_protocol::{Code, ListKey, Refusal};
use highwater_store::{Committed, Store, StoreError, Write, WriteError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often an activity is planned, if its group changes in between.
const PLANS_MAX: usize = 8;

/// Lists that an operation changed, as they stand after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    states: BTreeMap<ListKey, ListState>,
}

/// What became of each user of a request, in the request's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOutcome<T> {
    /// One for each user.
    pub outcomes: Vec<T>,
    /// What changed.
    pub changed: Changed,
}

impl Changed {
    /// The heads of the changed lists that are there.
    pub fn heads(&self) -> impl Iterator<Item = (&ListKey, &Head)> {
        self.states.iter().filter_map(|(list, state)| match state {
            ListState::Live(head) => Some((list, head)),
            ListState::Ended(_) | ListState::Absent(_) => None,
        })
    }

    fn take_in(&mut self, states: Vec<(ListKey, ListState)>) {
        self.states.extend(states);
    }
}

/// Carries out operations on groups.
#[derive(Debug)]
pub struct Directory<S> {
    store: S,
    fan_out: Arc<FanOut<S>>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl<S: Store> Directory<S> {
    /// The operations over a store.
    #[must_use]
    pub const fn new(
        store: S,
        fan_out: Arc<FanOut<S>>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            fan_out,
            clock,
            metrics,
        }
    }

    /// What time it is for an operation, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Creates a group.
    ///
    /// # Errors
    /// `group_exists`, or what the store could not do.
    pub async fn create(&self, operation: Create) -> Result<Changed, Refusal> {
        Ok(self.write(operation).await?.1)
    }

    /// Renames or describes a group.
    ///
    /// # Errors
    /// `group_not_found`, `forbidden`, or what the store could not do.
    pub async fn describe(&self, operation: Describe) -> Result<Changed, Refusal> {
        Ok(self.write(operation).await?.1)
    }

    /// Dismisses a group.
    ///
    /// # Errors
    /// `group_not_found`, `forbidden`, or what the store could not do.
    pub async fn dismiss(&self, operation: Dismiss) -> Result<Changed, Refusal> {
        let ((), changed) = self.write(operation).await?;
        self.fan_out.wake();
        Ok(changed)
    }

    /// Takes a user into a group.
    ///
    /// # Errors
    /// `group_not_found`, `already_member`, `join_refused`, or what the store could
    /// not do.
    pub async fn join(&self, operation: Join) -> Result<Changed, Refusal> {
        Ok(self.write(operation).await?.1)
    }

    /// Lets a member leave.
    ///
    /// # Errors
    /// `not_member`, `owner_required`, or what the store could not do.
    pub async fn leave(&self, operation: Leave) -> Result<Changed, Refusal> {
        let (ended, changed) = self.write(operation).await?;
        if ended {
            self.fan_out.wake();
        }
        Ok(changed)
    }

    /// Gives a member a role.
    ///
    /// # Errors
    /// `group_not_found`, `forbidden`, `not_member`, `owner_required`, or what
    /// the store could not do.
    pub async fn set_role(&self, operation: SetRole) -> Result<Changed, Refusal> {
        Ok(self.write(operation).await?.1)
    }

    /// Brings users into a group, in batches of 250.
    ///
    /// # Errors
    /// `group_not_found`, `forbidden`, or what the store could not do. The
    /// message says how many users were settled before.
    pub async fn invite(
        &self,
        actor: &Actor,
        group: &GroupId,
        users: &[UserId],
    ) -> Result<BatchOutcome<InviteOutcome>, Refusal> {
        let at_ms = self.now_ms();
        self.in_batches(users, |users| Invite {
            actor: actor.clone(),
            group: group.clone(),
            users,
            at_ms,
        })
        .await
    }

    /// Sends members of a group away, in batches of 250.
    ///
    /// # Errors
    /// As of [`Self::invite`].
    pub async fn remove(
        &self,
        actor: &Actor,
        group: &GroupId,
        users: &[UserId],
    ) -> Result<BatchOutcome<RemoveOutcome>, Refusal> {
        self.in_batches(users, |users| Remove {
            actor: actor.clone(),
            group: group.clone(),
            users,
        })
        .await
    }

    async fn in_batches<W, T>(
        &self,
        users: &[UserId],
        operation: impl Fn(Vec<UserId>) -> W,
    ) -> Result<BatchOutcome<T>, Refusal>
    where
        W: Write<Output = Vec<T>, Refusal = Refusal>,
    {
        let mut outcomes = Vec::with_capacity(users.len());
        let mut changed = Changed::default();
        for batch in users.chunks(BATCH) {
            let done = outcomes.len();
            let (settled, states) = self
                .write(operation(batch.to_vec()))
                .await
                .map_err(|no| after(done, "users", no))?;
            outcomes.extend(settled);
            changed.states.extend(states.states);
        }
        Ok(BatchOutcome { outcomes, changed })
    }

    /// Imports changes, in batches of 250.
    ///
    /// # Errors
    /// A change that contradicts the state it meets, by its index, or what the
    /// store could not do. The message says how many changes were applied before.
    pub async fn import(&self, request: ImportRequest) -> Result<Changed, Refusal> {
        let mut changed = Changed::default();
        for (at, changes) in request.changes.chunks(BATCH).enumerate() {
            let first = at * BATCH;
            let batch = ImportBatch {
                at_ms: request.at_ms,
                first,
                changes: changes.to_vec(),
            };
            let (dismissed, states) = self
                .write(batch)
                .await
                .map_err(|no| after(first, "changes", no))?;
            if dismissed {
                self.fan_out.wake();
            }
            changed.states.extend(states.states);
        }
        Ok(changed)
    }

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
    ) -> Result<Reported, Refusal> {
        let mut reported = Reported {
            applied: true,
            outcomes: Vec::with_capacity(report.entries.len()),
            changed: Changed::default(),
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
                    return Ok(reported);
                }
            }
            let overtaken = self.deliver(planned, &mut reported).await?;
            if overtaken.is_empty() {
                return Ok(reported);
            }
            open.retain(|(at, _)| overtaken.contains(at));
        }
        for (at, _) in open {
            let message = "the group's members change too fast: report it again";
            let no = Refusal::new(Code::Unavailable, message);
            reported.outcomes[at] = ActivityOutcome::refused(at, no.at("conversation.group"));
        }
        Ok(reported)
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
        let snapshot = self.store.snapshot(&[]).await.map_err(failed)?;
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
    ) -> Result<BTreeSet<usize>, Refusal> {
        let mut overtaken = BTreeSet::new();
        for batch in batches(planned) {
            let entries: Vec<_> = batch.iter().map(|planned| planned.entry).collect();
            let (delivered, states) = self.write(Batch(batch)).await?;
            // The first activity of a large group leaves work to be done.
            self.fan_out.wake();
            reported.changed.states.extend(states.states);
            for (at, delivered) in entries.into_iter().zip(delivered) {
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

    async fn write<W>(&self, operation: W) -> Result<(W::Output, Changed), Refusal>
    where
        W: Write<Refusal = Refusal>,
    {
        match self.store.write(self.now_ms(), operation).await {
            Ok(Committed {
                output,
                states,
                tick,
            }) => {
                self.metrics.committed(tick.0);
                let mut changed = Changed::default();
                changed.take_in(states);
                Ok((output, changed))
            }
            Err(error) => {
                if let WriteError::NotCommitted(fault) | WriteError::Unknown(fault) = &error {
                    self.failed(fault);
                }
                Err(fault::of_write(error))
            }
        }
    }

    fn failed(&self, fault: &StoreError) {
        let read_only = matches!(fault, StoreError::Full(_) | StoreError::ReadOnly(_));
        self.metrics.store_failed(fault::name(fault), read_only);
        tracing::error!(request = request_id::current(), error = %fault, "a write failed");
    }
}

/// Whether an entry's activity was written, somewhere at least, or was before.
const fn is_done(outcome: &ActivityOutcome) -> bool {
    matches!(outcome, ActivityOutcome::Written | ActivityOutcome::Stale)
}

/// Says how much of a request was done before the batch that failed.
fn after(done: usize, what: &str, no: Refusal) -> Refusal {
    if done == 0 {
        return no;
    }
    Refusal {
        message: format!(
            "{}; the first {done} {what} of this request are done, the rest are not",
            no.message
        ),
        ..no
    }
}
