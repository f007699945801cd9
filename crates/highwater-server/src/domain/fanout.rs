//! Fan-out: what one write leaves to be done in many lists.
//!
//! Such a write queues a job in its own transaction; a worker carries it out in
//! steps of bounded size, each a transaction of its own. A job says what to
//! recompute, never a value, and a step recomputes it from what is there then: a
//! worker that died anywhere is followed by one that starts the job over, and
//! finds that what was done needs nothing more.
//!
//! A dismissal queues a job that names the group and the life of it that ended.
//! For each element that this life left behind, a step recomputes one thing: is
//! this user a member of the group as it is now? If not, the group leaves their
//! list. A group that was created again in the meantime is therefore never hit,
//! and a step that is repeated after a crash changes nothing more.

mod deleted;
mod forgotten;
mod job;
mod renamed;
mod reranked;
mod targets;

pub(super) use job::{Dismissed, Job};

use super::group::Group;
use super::{BATCH, UserId};
use crate::clock::Clock;
use crate::stop::Stop;
use highwater_core::reads::{Item, ListState, PageLimit, Payloads, Reads as _};
use highwater_protocol::{ItemId, ListKey, OrderKey};
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
                    Job::Dismissed(dismissed) => {
                        for id in ids {
                            self.carry_out(*id, dismissed, clock, stop).await?;
                        }
                    }
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

    async fn carry_out(
        &self,
        job: JobId,
        dismissed: &Dismissed,
        clock: &Clock,
        stop: &Stop,
    ) -> Result<(), StoreError> {
        let mut tombstones = dismissed.version.get();
        while !stop.is_said() {
            let find = Find(dismissed.clone());
            let found = settle(self.store.write(clock.now_ms(), find).await)?;
            let only_tombstones = found.is_empty();
            let clear = Clear {
                job,
                dismissed: dismissed.clone(),
                found,
                completes: tombstones <= TOMBSTONES_PER_DISCARD,
            };
            if settle(self.store.write(clock.now_ms(), clear).await)? {
                tracing::debug!(job = job.0, group = %dismissed.group, "a dismissal is carried out");
                return Ok(());
            }
            if only_tombstones {
                tombstones = tombstones.saturating_sub(TOMBSTONES_PER_DISCARD);
            }
        }
        Ok(())
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

/// Looks for what is left. (The users are not known before, and a transaction
/// declares their lists.)
struct Find(Dismissed);

impl Write for Find {
    /// At most 250 elements.
    type Output = Vec<ItemId>;
    type Refusal = Infallible;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.0.group.members()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<Vec<ItemId>, Abort<Infallible>> {
        let members = self.0.group.members();
        let found = txn.remains(&members, self.0.ended, BATCH).await?;
        Ok(found.into_iter().map(|item| item.id).collect())
    }
}

/// Takes the group out of the lists of users who are not in it now, and
/// forgets what the ended life held of them.
struct Clear {
    job: JobId,
    dismissed: Dismissed,
    found: Vec<ItemId>,
    /// If no element is left now, nothing is.
    completes: bool,
}

impl Clear {
    fn users(&self) -> impl Iterator<Item = UserId> {
        self.found.iter().filter_map(UserId::of_member)
    }
}

impl Write for Clear {
    /// Whether the job is done.
    type Output = bool;
    type Refusal = Infallible;

    fn lists(&self) -> Vec<ListKey> {
        let mut lists = vec![self.dismissed.group.members()];
        lists.extend(self.users().map(|user| user.groups()));
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<bool, Abort<Infallible>> {
        let mut group = Group::new(txn, &self.dismissed.group);
        for user in self.users() {
            if group.member(&user).await?.is_none() {
                group.forget(&user).await?;
            }
        }
        let (members, ended) = (self.dismissed.group.members(), self.dismissed.ended);
        txn.discard(&members, ended, &self.found).await?;
        let done = self.completes && txn.remains(&members, ended, 1).await?.is_empty();
        if done {
            txn.complete(self.job).await?;
        }
        Ok(done)
    }
}
