//! A dismissal reaches the lists of those who were in the group, or applied.
//!
//! The job names the group and the lives of its lists that ended. For each element
//! that these left behind, a step recomputes one thing: is this user a member of
//! the group as it is now (or does it have their application)? If not, the group
//! leaves their lists, and its conversation ends. A group that was created again
//! in the meantime is therefore never hit.

use super::Steps;
use crate::domain::elements::{decoded, load};
use crate::domain::group::Group;
use crate::domain::{BATCH, GroupId, UserId};
use highwater_protocol::kinds::{ConversationState, GroupActivity, JoinRequest, LastMessage};
use highwater_protocol::{ItemId, Lineage, ListKey, Point, Version};
use highwater_store::{Abort, JobId, Store, StoreError, Write, WriteTxn};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;

/// Tombstones that one `discard` forgets at least, if there are any.
const TOMBSTONES_PER_DISCARD: u64 = 1_000;

/// What a dismissal leaves to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::domain) struct Dismissed {
    /// Which group.
    pub(in crate::domain) group: GroupId,
    /// Where the life of its members ended: it left no more tombstones than it
    /// had versions.
    pub(in crate::domain) ended: Point,
    /// The same of its applications, if there were any.
    pub(in crate::domain) requests: Option<Point>,
    /// Which life of its activity ended, if it was large.
    pub(in crate::domain) activity: Option<Lineage>,
}

/// The job as it is stored. (Older servers knew of the members only.)
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    group: String,
    lineage: String,
    version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests: Option<(String, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activity: Option<String>,
}

fn lineage(text: &str) -> Option<Lineage> {
    Lineage::new(u64::from_str_radix(text, 16).ok()?)
}

fn point(text: &str, version: u64) -> Option<Point> {
    Some(Point {
        lineage: lineage(text)?,
        version: Version::new(version),
    })
}

/// Which of the ended lists is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Members,
    Requests,
}

impl Dismissed {
    pub(super) fn stored(&self) -> Stored {
        let requests = self.requests.map(|requests| {
            let Point { lineage, version } = requests;
            (lineage.to_string(), version.get())
        });
        Stored {
            group: self.group.as_str().to_owned(),
            lineage: self.ended.lineage.to_string(),
            version: self.ended.version.get(),
            requests,
            activity: self.activity.map(|activity| activity.to_string()),
        }
    }

    pub(super) fn read(stored: &Stored) -> Option<Self> {
        let requests = match &stored.requests {
            Some((text, version)) => Some(point(text, *version)?),
            None => None,
        };
        let activity = match &stored.activity {
            Some(text) => Some(lineage(text)?),
            None => None,
        };
        Some(Self {
            group: GroupId::new(&stored.group).ok()?,
            ended: point(&stored.lineage, stored.version)?,
            requests,
            activity,
        })
    }

    pub(super) async fn carry_out<S: Store>(
        &self,
        job: JobId,
        steps: &Steps<'_, S>,
    ) -> Result<(), StoreError> {
        let last = match self.requests {
            Some(_) => Phase::Requests,
            None => Phase::Members,
        };
        if self.clear(Phase::Members, last, job, steps).await? && last == Phase::Requests {
            self.clear(last, last, job, steps).await?;
        }
        Ok(())
    }

    /// Clears what one list left behind; with the `last` one the job is done.
    /// Whether it was all.
    async fn clear<S: Store>(
        &self,
        phase: Phase,
        last: Phase,
        job: JobId,
        steps: &Steps<'_, S>,
    ) -> Result<bool, StoreError> {
        let (list, ended) = self.ended(phase);
        let mut tombstones = ended.version.get();
        while !steps.stop.is_said() {
            let list = list.clone();
            let lineage = ended.lineage;
            let found = steps.take(Find { list, lineage }).await?;
            let only_tombstones = found.is_empty();
            let clear = Clear {
                dismissed: self.clone(),
                phase,
                found,
                completes: (tombstones <= TOMBSTONES_PER_DISCARD).then_some(job),
                is_last: phase == last,
            };
            if steps.take(clear).await? {
                tracing::debug!(job = job.0, group = %self.group, ?phase, "a dismissal is carried out");
                return Ok(true);
            }
            if only_tombstones {
                tombstones = tombstones.saturating_sub(TOMBSTONES_PER_DISCARD);
            }
        }
        Ok(false)
    }

    fn ended(&self, phase: Phase) -> (ListKey, Point) {
        match (phase, self.requests) {
            (Phase::Requests, Some(requests)) => (self.group.join_requests(), requests),
            _ => (self.group.members(), self.ended),
        }
    }
}

/// Looks for what is left. (The users are not known before, and a transaction
/// declares their lists.)
struct Find {
    list: ListKey,
    lineage: Lineage,
}

impl Write for Find {
    /// At most 250 elements.
    type Output = Vec<ItemId>;
    type Refusal = Infallible;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.list.clone()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<Vec<ItemId>, Abort<Infallible>> {
        let found = txn.remains(&self.list, self.lineage, BATCH).await?;
        Ok(found.into_iter().map(|item| item.id).collect())
    }
}

/// Takes the group out of the lists of users who have nothing to do with it now,
/// and forgets what the ended life held of them.
struct Clear {
    dismissed: Dismissed,
    phase: Phase,
    found: Vec<ItemId>,
    /// If no element is left now, nothing is.
    completes: Option<JobId>,
    /// With this list the job is done.
    is_last: bool,
}

impl Clear {
    fn users(&self) -> impl Iterator<Item = UserId> {
        self.found.iter().filter_map(UserId::of_member)
    }

    async fn clear_members<T: WriteTxn>(&self, txn: &mut T) -> Result<(), StoreError> {
        let last = self.last_message(txn).await?;
        let mut group = Group::new(txn, &self.dismissed.group);
        for user in self.users() {
            if group.member(&user).await?.is_none() {
                let ended = ConversationState::Ended;
                group.forget(&user, ended, last.clone()).await?;
            }
        }
        Ok(())
    }

    /// What the group knew of its last message, if it was large.
    async fn last_message<T: WriteTxn>(
        &self,
        txn: &mut T,
    ) -> Result<Option<LastMessage>, StoreError> {
        let Some(ended) = self.dismissed.activity else {
            return Ok(None);
        };
        let list = self.dismissed.group.activity();
        let header = txn.remains(&list, ended, 1).await?.into_iter().next();
        let activity = header.map(|header| decoded::<GroupActivity>(&list, &header));
        Ok(activity.transpose()?.and_then(|activity| activity.last))
    }

    async fn clear_requests<T: WriteTxn>(&self, txn: &mut T) -> Result<(), StoreError> {
        let group = &self.dismissed.group;
        let requests = group.join_requests();
        for user in self.users() {
            let pending: Option<JoinRequest> = load(txn, &requests, user.as_item()).await?;
            if pending.is_none() {
                let sent = user.sent_join_requests();
                txn.delete(&sent, group.as_item()).await?;
            }
        }
        Ok(())
    }
}

impl Write for Clear {
    /// Whether the list is done.
    type Output = bool;
    type Refusal = Infallible;

    fn lists(&self) -> Vec<ListKey> {
        let group = &self.dismissed.group;
        let mut lists = vec![group.members(), group.join_requests(), group.activity()];
        for user in self.users() {
            match self.phase {
                Phase::Members => lists.extend([user.groups(), user.conversations()]),
                Phase::Requests => lists.push(user.sent_join_requests()),
            }
        }
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<bool, Abort<Infallible>> {
        match self.phase {
            Phase::Members => self.clear_members(txn).await?,
            Phase::Requests => self.clear_requests(txn).await?,
        }
        let (list, Point { lineage, .. }) = self.dismissed.ended(self.phase);
        txn.discard(&list, lineage, &self.found).await?;
        let Some(job) = self.completes else {
            return Ok(false);
        };
        let done = txn.remains(&list, lineage, 1).await?.is_empty();
        if done && self.is_last {
            if let Some(activity) = self.dismissed.activity {
                let list = self.dismissed.group.activity();
                txn.discard(&list, activity, &[ItemId::header()]).await?;
            }
            txn.complete(job).await?;
        }
        Ok(done)
    }
}
