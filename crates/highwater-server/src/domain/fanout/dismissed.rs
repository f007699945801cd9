//! A dismissal reaches the lists of those who were in the group, or applied.
//!
//! The job names the group and the lives of its lists that ended. For each element
//! that these left behind, a step recomputes one thing: is this user a member of
//! the group as it is now (or does it have their application)? If not, the group
//! leaves their lists, and its conversation ends. A group that was created again
//! in the meantime is therefore never hit.

use super::super::element::{decoded, found, has};
use super::super::group::Group;
use super::super::{BATCH, UserId};
use super::job::Dismissed;
use super::{Clock, FanOut, Stop, TOMBSTONES_PER_DISCARD};
use highwater_protocol::kinds::{ConversationState, GroupActivity, JoinRequest, RequestState};
use highwater_protocol::{ItemId, Lineage, ListKey, Point};
use highwater_store::{Abort, JobId, Store, StoreError, Write, WriteTxn};
use std::convert::Infallible;

/// Which of the ended lists is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Members,
    Requests,
}

impl<S: Store> FanOut<S> {
    pub(super) async fn dismissed(
        &self,
        dismissed: &Dismissed,
        jobs: &[JobId],
        clock: &Clock,
        stop: &Stop,
    ) -> Result<(), StoreError> {
        let last = match dismissed.requests {
            Some(_) => Phase::Requests,
            None => Phase::Members,
        };
        for phase in [Phase::Members, Phase::Requests] {
            let completes = if phase == last { jobs } else { &[] };
            if !self.clear(dismissed, phase, completes, clock, stop).await? || phase == last {
                break;
            }
        }
        Ok(())
    }

    /// Clears what one list left behind, and completes jobs with it. Whether it
    /// was all.
    async fn clear(
        &self,
        dismissed: &Dismissed,
        phase: Phase,
        jobs: &[JobId],
        clock: &Clock,
        stop: &Stop,
    ) -> Result<bool, StoreError> {
        let (list, ended) = phase.ended(dismissed);
        let mut tombstones = ended.version.get();
        while !stop.is_said() {
            let list = list.clone();
            let lineage = ended.lineage;
            let found = self.step(clock, Find { list, lineage }).await?;
            let only_tombstones = found.is_empty();
            let clear = Clear {
                dismissed: dismissed.clone(),
                phase,
                found,
                completes: tombstones <= TOMBSTONES_PER_DISCARD,
                jobs: jobs.to_vec(),
            };
            if self.step(clock, clear).await? {
                tracing::debug!(group = %dismissed.group, ?phase, "a dismissal is carried out");
                return Ok(true);
            }
            if only_tombstones {
                tombstones = tombstones.saturating_sub(TOMBSTONES_PER_DISCARD);
            }
        }
        Ok(false)
    }
}

impl Phase {
    fn ended(self, dismissed: &Dismissed) -> (ListKey, Point) {
        match (self, dismissed.requests) {
            (Self::Requests, Some(requests)) => (dismissed.group.join_requests(), requests),
            _ => (dismissed.group.members(), dismissed.ended),
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
    completes: bool,
    /// Jobs that are done with this list.
    jobs: Vec<JobId>,
}

impl Clear {
    fn users(&self) -> impl Iterator<Item = UserId> {
        self.found.iter().filter_map(UserId::of_member)
    }

    async fn clear_members<T: WriteTxn>(&self, txn: &mut T) -> Result<(), StoreError> {
        let known = self.activity(txn).await?;
        let mut group = Group::new(txn, &self.dismissed.group);
        for user in self.users() {
            if group.member(&user).await?.is_none() {
                let ended = ConversationState::Ended;
                group.part(&user, ended, known.clone()).await?;
            }
        }
        Ok(())
    }

    /// What the group knew of its activity, if it was large.
    async fn activity<T: WriteTxn>(&self, txn: &mut T) -> Result<GroupActivity, StoreError> {
        let Some(ended) = self.dismissed.activity else {
            return Ok(GroupActivity::default());
        };
        let list = self.dismissed.group.activity();
        let header = txn.remains(&list, ended, 1).await?.into_iter().next();
        let known = header.map(|header| decoded(&list, &header)).transpose()?;
        Ok(known.unwrap_or_default())
    }

    async fn clear_requests<T: WriteTxn>(&self, txn: &mut T) -> Result<(), StoreError> {
        let group = &self.dismissed.group;
        let requests = group.join_requests();
        for user in self.users() {
            if has(txn, &requests, user.as_item()).await? {
                continue;
            }
            // One that was rejected is no application of the life that ended.
            let (sent, asked) = (user.sent_join_requests(), group.as_item());
            let known = found::<JoinRequest, _>(txn, &sent, asked).await?;
            if known.is_some_and(|known| known.state == RequestState::Pending) {
                txn.delete(&sent, asked).await?;
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
        let (list, Point { lineage, .. }) = self.phase.ended(&self.dismissed);
        txn.discard(&list, lineage, &self.found).await?;
        let done = self.completes && txn.remains(&list, lineage, 1).await?.is_empty();
        if done && !self.jobs.is_empty() {
            if let Some(activity) = self.dismissed.activity {
                let list = self.dismissed.group.activity();
                txn.discard(&list, activity, &[ItemId::header()]).await?;
            }
            for job in &self.jobs {
                txn.complete(*job).await?;
            }
        }
        Ok(done)
    }
}
