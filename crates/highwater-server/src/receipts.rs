//! What devices tell of their repairs: counted, and the last ones kept in
//! memory for an operator to look at. Only where the operator wants it.

use crate::allowance::Allowance;
use crate::domain::permissions::OnServer;
use crate::domain::{Actor, UserId};
use crate::metrics::Metrics;
use highwater_protocol::message::{Receipt, Receipts};
use highwater_protocol::{Code, Refusal};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Receipts that one user may post in a minute: more than honest devices do.
const PER_USER: u64 = 200;

/// A receipt, and who posted it when.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) at_ms: i64,
    pub(crate) user: UserId,
    pub(crate) receipt: Receipt,
}

/// The last receipts.
#[derive(Debug)]
pub(crate) struct ReceiptBook {
    /// How many are kept; 0: none is wanted.
    kept_max: usize,
    kept: Mutex<VecDeque<Kept>>,
    posted: Mutex<Allowance>,
    metrics: Arc<Metrics>,
}

impl ReceiptBook {
    pub(crate) fn new(kept_max: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            kept_max,
            kept: Mutex::default(),
            posted: Mutex::new(Allowance::new(PER_USER)),
            metrics,
        }
    }

    /// Whether devices are asked to post theirs.
    pub(crate) const fn wants_any(&self) -> bool {
        self.kept_max > 0
    }

    /// Takes what a device posted. Returns how many.
    ///
    /// # Errors
    /// Receipts are not wanted, or not from services, or not so many.
    pub(crate) fn take(
        &self,
        actor: &Actor,
        receipts: Receipts,
        now_ms: i64,
    ) -> Result<usize, Refusal> {
        if !self.wants_any() {
            let message = "this server takes no receipts: its option receipts_kept is 0";
            return Err(Refusal::new(Code::NotFound, message));
        }
        OnServer::TellRepairs.require(actor)?;
        let Actor::User(user) = actor else {
            unreachable!("the table lets nobody tell of repairs but users");
        };
        let count = receipts.0.len();
        self.admit(user, count as u64, now_ms)?;
        let mut kept = self.kept.lock();
        for receipt in receipts.0 {
            self.metrics.repaired(
                receipt.reason.as_str(),
                receipt.rung.as_str(),
                receipt.mended,
            );
            if kept.len() == self.kept_max {
                kept.pop_front();
            }
            kept.push_back(Kept {
                at_ms: now_ms,
                user: user.clone(),
                receipt,
            });
        }
        Ok(count)
    }

    fn admit(&self, user: &UserId, count: u64, now_ms: i64) -> Result<(), Refusal> {
        let taken = self.posted.lock().take(user, count, now_ms);
        taken.map_err(|left_ms| {
            let message = format!("a user may post {PER_USER} receipts in a minute");
            let mut no = Refusal::new(Code::TooMany, message).at("receipts");
            no.limit = PER_USER;
            no.retry_after_ms(left_ms)
        })
    }

    /// The last receipts, the newest first.
    pub(crate) fn last(&self, limit: usize) -> Vec<Kept> {
        let kept = self.kept.lock();
        kept.iter().rev().take(limit).cloned().collect()
    }
}
