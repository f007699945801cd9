//! The operations as the server carries them out: through the store, large ones
//! in batches, and with the fan-out woken where they queue work.

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
use highwater_protocol::{ListKey, Refusal};
use highwater_store::{Committed, Store, StoreError, Write, WriteError};
use std::collections::BTreeMap;
use std::sync::Arc;

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
                    let read_only = matches!(fault, StoreError::Full(_) | StoreError::ReadOnly(_));
                    self.metrics.store_failed(fault::name(fault), read_only);
                    tracing::error!(request = request_id::current(), error = %fault, "a write failed");
                }
                Err(fault::of_write(error))
            }
        }
    }
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
