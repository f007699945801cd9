//! What a list that ended left behind is forgotten, in steps.

use super::job::EndedList;
use super::{BATCH, Clock, FanOut, Stop, TOMBSTONES_PER_DISCARD};
use highwater_protocol::{ItemId, ListKey};
use highwater_store::{Abort, JobId, Store, StoreError, Write, WriteTxn};
use std::convert::Infallible;

impl<S: Store> FanOut<S> {
    pub(super) async fn forgotten(
        &self,
        list: &EndedList,
        jobs: &[JobId],
        clock: &Clock,
        stop: &Stop,
    ) -> Result<(), StoreError> {
        let mut tombstones = list.version.get();
        while !stop.is_said() {
            if self.step(clock, Forget(list.clone())).await? {
                continue;
            }
            if tombstones <= TOMBSTONES_PER_DISCARD {
                return self.complete(clock, jobs).await;
            }
            tombstones -= TOMBSTONES_PER_DISCARD;
        }
        Ok(())
    }
}

/// Forgets up to 250 elements; with the last, up to 1,000 tombstones.
struct Forget(EndedList);

impl Write for Forget {
    /// Whether there were elements.
    type Output = bool;
    type Refusal = Infallible;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.0.list.clone()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<bool, Abort<Infallible>> {
        let (list, ended) = (&self.0.list, self.0.ended);
        let found = txn.remains(list, ended, BATCH).await?;
        let ids: Vec<ItemId> = found.into_iter().map(|item| item.id).collect();
        txn.discard(list, ended, &ids).await?;
        Ok(!ids.is_empty())
    }
}
