//! Fan-out: what one write leaves to be done in many lists.
//!
//! Such a write queues a job in its own transaction; a worker carries it out in
//! steps of bounded size, each a transaction of its own. A job says what to
//! recompute, never a value, and a step recomputes it from what is there then: a
//! worker that died anywhere is followed by one that starts the job over, and
//! finds that what was done needs nothing more.

mod deleted;
mod dismissed;
mod forgotten;
mod job;
mod renamed;
mod reranked;
mod shared;
mod targets;

pub(super) use job::{Dismissed, Job, Shared};

use super::BATCH;
use crate::clock::Clock;
use crate::stop::Stop;
use highwater_core::reads::{Item, ListState, PageLimit, Payloads, Reads as _};
use highwater_protocol::{ListKey, OrderKey, Point};
use highwater_store::{Abort, JobId, Store, StoreError, Write, WriteError, WriteTxn};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::slice;
use std::time::Duration;
use tokio::sync::Notify;

/// Jobs that are read from the queue at once.
const JOBS_PER_READ: usize = 64;
/// Tombstones that one `discard` forgets at least, if there are any.
const TOMBSTONES_PER_DISCARD: u64 = 1_000;
/// How long the queue is left alone if nothing wakes the worker.
const POLL: Duration = Duration::from_secs(30);
const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(10);

/// Carries out what writes leave to be done.
#[derive(Debug)]
pub struct FanOut<S> {
    store: S,
    wake: Notify,
    /// Jobs that were reported as not understood.
    skipped: Mutex<BTreeSet<JobId>>,
}

impl<S: Store> FanOut<S> {
    /// A worker over the store's queue.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self {
            store,
            wake: Notify::new(),
            skipped: Mutex::default(),
        }
    }

    /// Says that a job may have been queued.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Does all that is queued now.
    ///
    /// # Errors
    /// What the store could not do. What is left stays queued.
    pub async fn finish(&self, clock: &Clock) -> Result<(), StoreError> {
        self.drain(clock, &Stop::never()).await
    }

    /// Works until it is told to stop, beginning with what an earlier process
    /// left. A step that has begun is finished.
    pub(crate) async fn run(&self, clock: &Clock, mut stop: Stop) {
        let mut delay = RETRY_DELAY_MIN;
        while !stop.is_said() {
            match self.drain(clock, &stop).await {
                Ok(()) => {
                    delay = RETRY_DELAY_MIN;
                    tokio::select! {
                        () = stop.said() => {}
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep(POLL) => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the fan-out has to wait");
                    tokio::select! {
                        () = stop.said() => {}
                        () = tokio::time::sleep(delay) => {}
                    }
                    delay = (delay * 2).min(RETRY_DELAY_MAX);
                }
            }
        }
    }

    /// Does all that is queued, or what it gets to before it is told to stop.
    async fn drain(&self, clock: &Clock, stop: &Stop) -> Result<(), StoreError> {
        loop {
            let work = self.queued().await?;
            for Work { job, ids } in &work {
                if stop.is_said() {
                    return Ok(());
                }
                match job {
                    Job::Dismissed(job) => self.dismissed(job, ids, clock, stop).await?,
                    Job::Shared(job) => self.shared(job, ids, clock, stop).await?,
                    Job::Renamed(user) => self.renamed(user, ids, clock, stop).await?,
                    Job::Reranked(user) => self.reranked(user, ids, clock, stop).await?,
                    Job::Deleted(user) => self.deleted(user, ids, clock, stop).await?,
                    Job::Forgotten(list) => self.forgotten(list, ids, clock, stop).await?,
                }
            }
            if work.is_empty() {
                return Ok(());
            }
        }
    }

    /// The oldest jobs, in their order. Equal ones are one piece of work: each of
    /// them is done by recomputing after the last was queued.
    async fn queued(&self) -> Result<Vec<Work>, StoreError> {
        let mut work = Vec::<Work>::new();
        for queued in self.store.jobs(JOBS_PER_READ).await? {
            let Some(job) = Job::decode(&queued.payload) else {
                self.skip(queued.id);
                continue;
            };
            match work.iter_mut().find(|work| work.job == job) {
                Some(same) => same.ids.push(queued.id),
                None => work.push(Work {
                    job,
                    ids: vec![queued.id],
                }),
            }
        }
        Ok(work)
    }

    /// One page of a list, as it is now, and where the next begins.
    async fn page(
        &self,
        list: &ListKey,
        after: Option<&OrderKey>,
    ) -> Result<(Vec<Item>, Option<OrderKey>), StoreError> {
        let snapshot = self.store.snapshot(slice::from_ref(list)).await?;
        let ListState::Live(head) = snapshot.state(list).await? else {
            return Ok((Vec::new(), None));
        };
        let limit = PageLimit {
            rows: BATCH,
            bytes: usize::MAX,
        };
        let read = snapshot
            .scan(list, head.version, after, Payloads::All, limit)
            .await?;
        Ok((read.rows, read.next))
    }

    /// Where a list stands; `None`: it is not there.
    async fn point(&self, list: &ListKey) -> Result<Option<Point>, StoreError> {
        let snapshot = self.store.snapshot(slice::from_ref(list)).await?;
        Ok(point(snapshot.state(list).await?))
    }

    /// A step of a job.
    async fn step<W: Write>(&self, clock: &Clock, step: W) -> Result<W::Output, StoreError>
    where
        W::Refusal: fmt::Display,
    {
        settle(self.store.write(clock.now_ms(), step).await)
    }

    async fn complete(&self, clock: &Clock, jobs: &[JobId]) -> Result<(), StoreError> {
        self.step(clock, Complete(jobs.to_vec())).await
    }

    fn skip(&self, job: JobId) {
        if self.skipped.lock().insert(job) {
            tracing::error!(
                job = job.0,
                "a queued job is not understood by this server, and left"
            );
        }
    }
}

/// Where a list stands that is there.
fn point(state: ListState) -> Option<Point> {
    match state {
        ListState::Live(head) => Some(head.point()),
        ListState::Ended(_) | ListState::Absent(_) => None,
    }
}

/// Equal jobs.
struct Work {
    job: Job,
    ids: Vec<JobId>,
}

/// Takes jobs off the queue that are done.
struct Complete(Vec<JobId>);

impl Write for Complete {
    type Output = ();
    type Refusal = Infallible;

    fn lists(&self) -> Vec<ListKey> {
        Vec::new()
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Abort<Infallible>> {
        for job in &self.0 {
            txn.complete(*job).await?;
        }
        Ok(())
    }
}

/// A write of the worker is refused by nothing but the store, and may be
/// repeated when its outcome is not known.
fn settle<T, R: fmt::Display>(
    result: Result<highwater_store::Committed<T>, WriteError<R>>,
) -> Result<T, StoreError> {
    match result {
        Ok(committed) => Ok(committed.output),
        Err(WriteError::NotCommitted(error) | WriteError::Unknown(error)) => Err(error),
        Err(WriteError::Refused(no)) => Err(StoreError::Corrupt(format!(
            "a step of the fan-out was refused: {no}"
        ))),
    }
}
