//! A group was found large: from now on its activity lives with the group, and
//! its members' conversations say so.
//!
//! Members who join meanwhile see it at once. For those who were there before,
//! the worker goes through the members by version, so that none is passed over
//! who changes place in between; a member whose conversation says so already is
//! left alone, so that a worker that died is followed by one that starts over.

use super::Steps;
use crate::domain::conversation::{item_of_group, load_conversation, save_conversation};
use crate::domain::group::Group;
use crate::domain::{BATCH, GroupId, UserId};
use highwater_core::reads::{Change, ListState, PageLimit, Reads as _};
use highwater_protocol::kinds::ConversationState;
use highwater_protocol::{Lineage, ListKey, Version};
use highwater_store::{Abort, JobId, Store, StoreError, Write, WriteTxn};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;

/// Which group's activity is shared from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::domain) struct Shared {
    /// Which group.
    pub(in crate::domain) group: GroupId,
    /// Which life of its activity.
    pub(in crate::domain) activity: Lineage,
}

/// The job as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    group: String,
    activity: String,
}

impl Shared {
    pub(super) fn stored(&self) -> Stored {
        Stored {
            group: self.group.as_str().to_owned(),
            activity: self.activity.to_string(),
        }
    }

    pub(super) fn read(stored: &Stored) -> Option<Self> {
        Some(Self {
            group: GroupId::new(&stored.group).ok()?,
            activity: Lineage::new(u64::from_str_radix(&stored.activity, 16).ok()?)?,
        })
    }

    pub(super) async fn carry_out<S: Store>(
        &self,
        job: JobId,
        steps: &Steps<'_, S>,
    ) -> Result<(), StoreError> {
        let mut after = Version::ZERO;
        while !steps.stop.is_said() {
            let (users, next) = self.members_after(after, steps).await?;
            let share = Share {
                shared: self.clone(),
                users,
                completes: next.is_none().then_some(job),
            };
            steps.take(share).await?;
            match next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Members who changed after a version of their list, and where to go on;
    /// `None`: that was all. (Elements of the header and of those who left count
    /// towards the page.)
    async fn members_after<S: Store>(
        &self,
        after: Version,
        steps: &Steps<'_, S>,
    ) -> Result<(Vec<UserId>, Option<Version>), StoreError> {
        let members = self.group.members();
        let lists = [members.clone(), self.group.activity()];
        let snapshot = steps.store.snapshot(&lists).await?;
        let limit = PageLimit {
            rows: BATCH,
            bytes: usize::MAX,
        };
        let page = snapshot.changes(&members, after, limit).await?;
        let next = page.rows.last().map(Change::version);
        let users = page.rows.iter().filter_map(|change| match change {
            Change::Put(item) => UserId::of_member(&item.id),
            Change::Deleted(_) => None,
        });
        Ok((users.collect(), next.filter(|_| page.more)))
    }
}

/// Says in the conversations of members that their group's activity is shared.
struct Share {
    shared: Shared,
    /// At most 250.
    users: Vec<UserId>,
    /// The job, if these are the last.
    completes: Option<JobId>,
}

impl Write for Share {
    type Output = ();
    type Refusal = Infallible;

    fn lists(&self) -> Vec<ListKey> {
        let group = &self.shared.group;
        let mut lists = vec![group.members(), group.activity()];
        lists.extend(self.users.iter().map(UserId::conversations));
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Abort<Infallible>> {
        if let Some(job) = self.completes {
            txn.complete(job).await?;
        }
        let activity = self.shared.group.activity();
        match txn.state(&activity).await? {
            ListState::Live(head) if head.lineage == self.shared.activity => {}
            // That life of the group is over: whoever ended it has seen to its
            // conversations.
            _ => return Ok(()),
        }
        let item = item_of_group(&self.shared.group);
        for user in &self.users {
            let is_member = Group::new(txn, &self.shared.group).member(user).await?;
            let Some(known) = load_conversation(txn, user, &item).await? else {
                continue;
            };
            if is_member.is_some() && known.state == ConversationState::Active && !known.shared {
                let mut conversation = known;
                conversation.shared = true;
                save_conversation(txn, user, &item, &conversation).await?;
            }
        }
        Ok(())
    }
}
