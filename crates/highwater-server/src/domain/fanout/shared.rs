//! A group was found large: from now on its activity lives with the group, and
//! its members' conversations say so.
//!
//! Members who join meanwhile see it at once. For those who were there before,
//! the worker goes through the members by version, so that none is passed over
//! who changes place in between; a member whose conversation says so already is
//! left alone, so that a worker that died is followed by one that starts over.

use super::super::conversation::{item_of_group, load_conversation, save_conversation};
use super::super::conversations::read_up_to;
use super::super::group::Group;
use super::super::{BATCH, UserId};
use super::job::Shared;
use super::{Clock, FanOut, Stop};
use highwater_core::reads::{Change, ListState, PageLimit, Reads as _};
use highwater_protocol::kinds::ConversationState;
use highwater_protocol::{ListKey, Version};
use highwater_store::{Abort, JobId, Store, StoreError, Write, WriteTxn};
use std::convert::Infallible;
use std::slice;

impl<S: Store> FanOut<S> {
    pub(super) async fn shared(
        &self,
        shared: &Shared,
        jobs: &[JobId],
        clock: &Clock,
        stop: &Stop,
    ) -> Result<(), StoreError> {
        let mut after = Version::ZERO;
        while !stop.is_said() {
            let (users, next) = self.members_after(shared, after).await?;
            let last = next.is_none();
            let share = Share {
                shared: shared.clone(),
                users,
                completes: if last { jobs.to_vec() } else { Vec::new() },
            };
            self.step(clock, share).await?;
            match next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Members who changed after a version of their list, and where to go on;
    /// `None`: that was all. (The header, and those who left, count towards the
    /// page.)
    async fn members_after(
        &self,
        shared: &Shared,
        after: Version,
    ) -> Result<(Vec<UserId>, Option<Version>), StoreError> {
        let members = shared.group.members();
        let snapshot = self.store.snapshot(slice::from_ref(&members)).await?;
        let limit = PageLimit {
            rows: BATCH - 2,
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
    /// At most 248.
    users: Vec<UserId>,
    /// The jobs, if these are the last.
    completes: Vec<JobId>,
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
        for job in &self.completes {
            txn.complete(*job).await?;
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
                if conversation.last.is_none() {
                    // Of what was said before they heard of any, none is unread.
                    read_up_to(&mut conversation, self.shared.began.saturating_sub(1));
                }
                save_conversation(txn, user, &item, &conversation).await?;
            }
        }
        Ok(())
    }
}
