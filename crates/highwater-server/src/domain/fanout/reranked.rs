//! A user's locale changed: their friends are ranked by its rules.
//!
//! Items that move ahead are met again, and are in their place then; items that
//! move back were ranked before. So the walk ends, with every item in its place.

use super::super::collation::Collation;
use super::super::element::{decoded, put};
use super::super::people::profile_of_user;
use super::super::{BATCH, UserId, ranks};
use super::{Clock, FanOut, Stop};
use highwater_protocol::kinds::Friend;
use highwater_protocol::{ListKey, OrderKey};
use highwater_store::{Abort, JobId, Store, StoreError, Write, WriteTxn};
use std::convert::Infallible;

impl<S: Store> FanOut<S> {
    pub(super) async fn reranked(
        &self,
        user: &UserId,
        jobs: &[JobId],
        clock: &Clock,
        stop: &Stop,
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            if stop.is_said() {
                return Ok(());
            }
            let user = user.clone();
            after = self.step(clock, Rerank { user, after }).await?;
            if after.is_none() {
                break;
            }
        }
        self.complete(clock, jobs).await?;
        tracing::debug!(%user, "friends are ranked by another locale");
        Ok(())
    }
}

/// Ranks the next 250 friends of a user.
struct Rerank {
    user: UserId,
    after: Option<OrderKey>,
}

impl Write for Rerank {
    /// The last place looked at; `None`: the list ends here.
    type Output = Option<OrderKey>;
    type Refusal = Infallible;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.user.friends(), self.user.profile()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<Option<OrderKey>, Abort<Infallible>> {
        let list = self.user.friends();
        let order = Collation::of(&profile_of_user(txn, &self.user).await?.locale);
        let page = txn.scan(&list, self.after.as_ref(), BATCH).await?;
        let last = page
            .last()
            .filter(|_| page.len() == BATCH)
            .map(|item| OrderKey::new(item.rank.clone(), item.id.clone()));
        for item in page {
            let friend: Friend = decoded(&list, &item)?;
            let Ok(id) = UserId::new(item.id.as_str()) else {
                continue;
            };
            let rank = ranks::of_friend(&friend, &id, &order);
            if rank != item.rank {
                put(txn, &list, &item.id, rank, &friend).await?;
            }
        }
        Ok(last)
    }
}
