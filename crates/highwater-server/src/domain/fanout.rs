//! The fan-out of a dismissal: the group leaves its former members' lists.
//!
//! A dismissal queues a job that names the group and the life of it that ended.
//! For each element that this life left behind, a step recomputes one thing: is
//! this user a member of the group as it is now? If not, the group leaves their
//! list. A group that was created again in the meantime is therefore never hit,
//! and a step that is repeated after a crash changes nothing more.

use super::group::Group;
use super::{BATCH, GroupId, UserId};
use crate::clock::Clock;
use crate::stop::Stop;
use bytes::Bytes;
use highwater_protocol::{ItemId, Lineage, ListKey, Version};
use highwater_store::{Abort, JobId, Store, StoreError, Write, WriteError, WriteTxn};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::convert::Infallible;
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

/// What a dismissal leaves to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dismissed {
    /// Which group.
    pub(super) group: GroupId,
    /// Which life of it ended.
    pub(super) ended: Lineage,
    /// Where that life ended: it left no more tombstones than it had versions.
    pub(super) version: Version,
}

/// A job as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored {
    Dismissed {
        group: String,
        lineage: String,
        version: u64,
    },
}

impl Dismissed {
    pub(super) fn encode(&self) -> Bytes {
        let stored = Stored::Dismissed {
            group: self.group.as_str().to_owned(),
            lineage: self.ended.to_string(),
            version: self.version.get(),
        };
        serde_json::to_vec(&stored)
            .unwrap_or_else(|error| unreachable!("a job is always JSON: {error}"))
            .into()
    }

    /// `None`: a job of some newer server.
    fn decode(payload: &[u8]) -> Option<Self> {
        let Stored::Dismissed {
            group,
            lineage,
            version,
        } = serde_json::from_slice(payload).ok()?;
        Some(Self {
            group: GroupId::new(&group).ok()?,
            ended: Lineage::new(u64::from_str_radix(&lineage, 16).ok()?)?,
            version: Version::new(version),
        })
    }
}

/// Carries out what dismissals leave to be done.
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
                    tracing::warn!(%error, "the fan-out of a dismissal has to wait");
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
            let mut worked = false;
            for job in self.store.jobs(JOBS_PER_READ).await? {
                let Some(dismissed) = Dismissed::decode(&job.payload) else {
                    self.skip(job.id);
                    continue;
                };
                self.carry_out(job.id, &dismissed, clock, stop).await?;
                worked = true;
            }
            if !worked || stop.is_said() {
                return Ok(());
            }
        }
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

/// A write of the worker is refused by nothing but the store, and may be
/// repeated when its outcome is not known.
fn settle<T>(
    result: Result<highwater_store::Committed<T>, WriteError<Infallible>>,
) -> Result<T, StoreError> {
    match result {
        Ok(committed) => Ok(committed.output),
        Err(WriteError::NotCommitted(error) | WriteError::Unknown(error)) => Err(error),
        Err(WriteError::Refused(never)) => match never {},
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_job_reads_back_and_one_of_a_newer_server_is_left_alone() {
        let dismissed = Dismissed {
            group: GroupId::new("org/team \"é\"").unwrap(),
            ended: Lineage::new(0xfeed).unwrap(),
            version: Version::new(7),
        };
        let stored = dismissed.encode();
        assert_eq!(Dismissed::decode(&stored), Some(dismissed));
        assert_eq!(Dismissed::decode(br#"{"renamed":{"user":"u"}}"#), None);
        assert_eq!(Dismissed::decode(b""), None);
    }
}
