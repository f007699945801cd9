//! What devices tell of their repairs: counted, and the last ones kept in
//! memory for an operator to look at. Only where the operator wants it.

use crate::domain::{Actor, UserId};
use crate::metrics::Metrics;
use highwater_protocol::message::{Receipt, Receipts};
use highwater_protocol::{Code, Refusal};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Receipts that one user may post in a minute: more than honest devices do.
const PER_USER: u64 = 200;
const MINUTE_MS: i64 = 60_000;

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
    posted: Mutex<Posted>,
    metrics: Arc<Metrics>,
}

/// Receipts that were posted in this minute, by user.
#[derive(Debug, Default)]
struct Posted {
    minute: i64,
    by_user: HashMap<UserId, u64>,
}

impl ReceiptBook {
    pub(crate) fn new(kept_max: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            kept_max,
            kept: Mutex::default(),
            posted: Mutex::default(),
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
        let Actor::User(user) = actor else {
            let message = "receipts are a device's: this takes a user's token";
            return Err(Refusal::new(Code::Forbidden, message).at("authorization"));
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
        let minute = now_ms.div_euclid(MINUTE_MS);
        let mut posted = self.posted.lock();
        if posted.minute != minute {
            posted.minute = minute;
            posted.by_user.clear();
        }
        let so_far = posted.by_user.entry(user.clone()).or_default();
        let sum = so_far.saturating_add(count);
        if sum > PER_USER {
            let message = format!("a user may post {PER_USER} receipts in a minute");
            let mut no = Refusal::new(Code::TooMany, message).at("receipts");
            no.limit = PER_USER;
            let left_ms = MINUTE_MS - now_ms.rem_euclid(MINUTE_MS);
            return Err(no.retry_after_ms(left_ms.unsigned_abs()));
        }
        *so_far = sum;
        Ok(())
    }

    /// The last receipts, the newest first.
    pub(crate) fn last(&self, limit: usize) -> Vec<Kept> {
        let kept = self.kept.lock();
        kept.iter().rev().take(limit).cloned().collect()
    }
}
