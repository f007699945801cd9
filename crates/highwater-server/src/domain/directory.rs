//! Writes as the server carries them out: through the store, with what surrounds
//! them, large ones in batches, and with the fan-out woken where they queue work.

use super::import::ImportBatch;
use super::transaction::{Conditions, Done, ListChange, Recorded, Transaction};
use super::{BATCH, FanOut, ImportRequest};
use crate::clock::Clock;
use crate::fault;
use crate::metrics::Metrics;
use crate::request_id;
use highwater_protocol::Refusal;
use highwater_store::{Committed, Store, StoreError, Write, WriteError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// What a request's write did, or did when it came first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// What the operation answers.
    pub output: T,
    /// What it changed: one for each list and transaction, in the order of the
    /// transactions.
    pub changes: Vec<ListChange>,
    /// All of it was done before, when the request came first.
    pub replayed: bool,
}

/// Carries out writes.
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

    /// Carries out a write in one transaction.
    ///
    /// # Errors
    /// What the rules refuse, `precondition_failed`, `idempotency_mismatch`, or
    /// what the store could not do.
    pub async fn write<W>(
        &self,
        write: W,
        conditions: &Conditions,
    ) -> Result<Written<W::Output>, Refusal>
    where
        W: Write<Refusal = Refusal>,
        W::Output: Serialize + DeserializeOwned + Sync,
    {
        let done = self.part(write, conditions, 0).await?;
        Ok(Written {
            output: done.output,
            changes: done.changes,
            replayed: done.replayed,
        })
    }

    /// Carries out a write about many `entries` in batches of 250, one
    /// transaction each; `what` the entries are is for the message of a refusal.
    ///
    /// A request that comes again with its key is answered from memory for those
    /// batches that were done, and goes on with the others.
    ///
    /// # Errors
    /// As of [`Self::write`]. The message says how many entries were settled
    /// before.
    pub async fn write_in_batches<W, E, T>(
        &self,
        what: &str,
        entries: &[E],
        conditions: &Conditions,
        write: impl Fn(Vec<E>) -> W,
    ) -> Result<Written<Vec<T>>, Refusal>
    where
        W: Write<Output = Vec<T>, Refusal = Refusal>,
        E: Clone,
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let mut written = Written {
            output: Vec::with_capacity(entries.len()),
            changes: Vec::new(),
            // Of nothing, there is nothing to replay.
            replayed: !entries.is_empty(),
        };
        for (part, batch) in (0..).zip(entries.chunks(BATCH)) {
            let settled = written.output.len();
            let done = self.part(write(batch.to_vec()), conditions, part).await;
            let done = done.map_err(|no| after(settled, what, no))?;
            written.output.extend(done.output);
            written.changes.extend(done.changes);
            written.replayed &= done.replayed;
        }
        Ok(written)
    }

    /// Imports changes, in batches of 250.
    ///
    /// # Errors
    /// A change that contradicts the state it meets, by its index, or what the
    /// store could not do. The message says how many changes were applied before.
    pub async fn import(
        &self,
        request: ImportRequest,
        conditions: &Conditions,
    ) -> Result<Written<()>, Refusal> {
        let mut written = Written {
            output: (),
            changes: Vec::new(),
            replayed: !request.changes.is_empty(),
        };
        for (part, batch) in (0..).zip(request.changes.chunks(BATCH)) {
            let first = part as usize * BATCH;
            let batch = ImportBatch {
                at_ms: request.at_ms,
                first,
                changes: batch.to_vec(),
            };
            let done = self.part(batch, conditions, part).await;
            let done = done.map_err(|no| after(first, "changes", no))?;
            written.changes.extend(done.changes);
            written.replayed &= done.replayed;
        }
        Ok(written)
    }

    pub(super) const fn store(&self) -> &S {
        &self.store
    }

    /// Counts and logs what the store could not do.
    pub(super) fn failed(&self, fault: &StoreError) {
        let read_only = matches!(fault, StoreError::Full(_) | StoreError::ReadOnly(_));
        self.metrics.store_failed(fault::name(fault), read_only);
        tracing::error!(request = request_id::current(), error = %fault, "a write failed");
    }

    /// Carries out one of a request's transactions.
    async fn part<W>(
        &self,
        write: W,
        conditions: &Conditions,
        part: u32,
    ) -> Result<Done<W::Output>, Refusal>
    where
        W: Write<Refusal = Refusal>,
        W::Output: Serialize + DeserializeOwned + Sync,
    {
        let at_ms = self.now_ms();
        let transaction = Transaction {
            write,
            conditions: conditions.clone(),
            part,
            at_ms,
        };
        self.carry_out(at_ms, transaction).await
    }

    /// Carries out a write that needs nothing around it but the record of what it
    /// changes.
    pub(super) async fn record<W>(&self, write: W) -> Result<Written<W::Output>, Refusal>
    where
        W: Write<Refusal = Refusal>,
    {
        let done = self.carry_out(self.now_ms(), Recorded(write)).await?;
        Ok(Written {
            output: done.output,
            changes: done.changes,
            replayed: false,
        })
    }

    async fn carry_out<W, T>(&self, at_ms: i64, write: W) -> Result<Done<T>, Refusal>
    where
        W: Write<Output = Done<T>, Refusal = Refusal>,
    {
        match self.store.write(at_ms, write).await {
            Ok(Committed { output, tick, .. }) => {
                self.metrics.committed(tick.0);
                if output.queued {
                    self.fan_out.wake();
                }
                Ok(output)
            }
            Err(error) => {
                if let WriteError::NotCommitted(fault) | WriteError::Unknown(fault) = &error {
                    self.failed(fault);
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
