//! The fan-out: work that a transaction left to be done in many lists.
//!
//! A job names what to recompute, never a value, and for which life of a list:
//! a step that is repeated after a crash changes nothing more, and one that is
//! late hits nothing that came after. Each kind of job is a module of its own.

mod dismissed;
mod shared;

pub(super) use dismissed::Dismissed;
pub(super) use shared::Shared;

use crate::clock::Clock;
use crate::stop::Stop;
use bytes::Bytes;
use highwater_store::{JobId, Store, StoreError, Write, WriteError};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::Notify;

/// Jobs that are read from the queue at once.
const JOBS_PER_READ: usize = 64;
/// How long the queue is left alone if nothing wakes the worker.
const POLL: Duration = Duration::from_secs(30);
const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(10);

/// What a transaction left to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// A group was dismissed.
    Dismissed(Dismissed),
    /// A group was found large.
    Shared(Shared),
}

/// A job as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored {
    Dismissed(dismissed::Stored),
    Shared(shared::Stored),
}

impl Job {
    pub(super) fn encode(&self) -> Bytes {
        let stored = match self {
            Self::Dismissed(job) => Stored::Dismissed(job.stored()),
            Self::Shared(job) => Stored::Shared(job.stored()),
        };
        serde_json::to_vec(&stored)
            .unwrap_or_else(|error| unreachable!("a job is always JSON: {error}"))
            .into()
    }

    /// `None`: a job of some newer server.
    fn decode(payload: &[u8]) -> Option<Self> {
        match serde_json::from_slice(payload).ok()? {
            Stored::Dismissed(stored) => Dismissed::read(&stored).map(Self::Dismissed),
            Stored::Shared(stored) => Shared::read(&stored).map(Self::Shared),
        }
    }
}

/// What the steps of a job are taken with.
struct Steps<'a, S> {
    store: &'a S,
    clock: &'a Clock,
    stop: &'a Stop,
}

impl<S: Store> Steps<'_, S> {
    /// Takes a step. It is refused by nothing but the store, and may be repeated
    /// when its outcome is not known.
    async fn take<W: Write<Refusal = Infallible>>(&self, step: W) -> Result<W::Output, StoreError> {
        match self.store.write(self.clock.now_ms(), step).await {
            Ok(committed) => Ok(committed.output),
            Err(WriteError::NotCommitted(error) | WriteError::Unknown(error)) => Err(error),
            Err(WriteError::Refused(never)) => match never {},
        }
    }
}

/// Carries out what is queued.
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
        let store = &self.store;
        let steps = Steps { store, clock, stop };
        loop {
            let mut worked = false;
            for job in self.store.jobs(JOBS_PER_READ).await? {
                let Some(known) = Job::decode(&job.payload) else {
                    self.skip(job.id);
                    continue;
                };
                match known {
                    Job::Dismissed(dismissed) => dismissed.carry_out(job.id, &steps).await?,
                    Job::Shared(shared) => shared.carry_out(job.id, &steps).await?,
                }
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
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::domain::GroupId;
    use highwater_protocol::{Lineage, Point, Version};

    fn point(lineage: u64, version: u64) -> Point {
        Point {
            lineage: Lineage::new(lineage).unwrap(),
            version: Version::new(version),
        }
    }

    #[test]
    fn a_job_reads_back_and_one_of_a_newer_server_is_left_alone() {
        let group = || GroupId::new("org/team \"é\"").unwrap();
        let dismissed = Job::Dismissed(Dismissed {
            group: group(),
            ended: point(0xfeed, 7),
            requests: Some(point(0xbeef, 9)),
            activity: Lineage::new(5),
        });
        let shared = Job::Shared(Shared {
            group: group(),
            activity: Lineage::new(6).unwrap(),
        });
        for job in [dismissed, shared] {
            assert_eq!(Job::decode(&job.encode()), Some(job));
        }
        assert_eq!(Job::decode(br#"{"renamed":{"user":"u"}}"#), None);
        assert_eq!(Job::decode(b""), None);
    }

    #[test]
    fn a_job_that_an_older_server_queued_is_still_carried_out() {
        let older = br#"{"dismissed":{"group":"g","lineage":"00000000000000ff","version":3}}"#;
        let job = Job::Dismissed(Dismissed {
            group: GroupId::new("g").unwrap(),
            ended: point(0xff, 3),
            requests: None,
            activity: None,
        });
        assert_eq!(Job::decode(older), Some(job));
    }
}
