//! From what the replica reports to what the app hears.

use super::Engine;
use super::exchange::post_receipts;
use crate::error::Error;
use crate::event::Event;
use highwater_core::local::Phase;
use highwater_core::replica::{Event as Reported, Receipt};
use highwater_protocol::limits;
use highwater_protocol::message::Receipts;
use std::sync::Arc;

impl Engine {
    /// Passes on what the replica reports.
    pub(super) fn publish(&mut self) {
        let shared = Arc::clone(&self.shared);
        let hub = &shared.hub;
        while let Some(event) = self.replica.poll_event() {
            match event {
                Reported::Changed { list, changes } => {
                    hub.rows_changed(&list, &changes, self.beginning.contains(&list));
                }
                Reported::DetailsFilled { list, ids } => hub.filled(&list, &ids),
                Reported::Status { list, phase } => {
                    hub.status_changed(&list);
                    match phase {
                        Phase::InSync => {
                            self.beginning.remove(&list);
                            self.auditor.meet(&list);
                        }
                        Phase::Gone(_) => {
                            self.beginning.insert(list.clone());
                        }
                        _ => {}
                    }
                    self.phases.insert(list, phase);
                }
                Reported::Repaired(receipt) => {
                    self.note(&receipt);
                    hub.happened(&Event::Repaired(receipt));
                }
                Reported::Unrepaired(receipt) => {
                    self.note(&receipt);
                    hub.happened(&Event::Unrepaired(receipt));
                }
                Reported::Quarantined { list, retry_at_ms } => {
                    hub.happened(&Event::Quarantined { list, retry_at_ms });
                }
                Reported::Gone { list, reason } => {
                    hub.happened(&Event::Gone { list, reason });
                }
                Reported::Refused { list, refusal } => {
                    for waiter in &mut self.waiters {
                        waiter.list_refused(&list, &refusal);
                    }
                    let error = Error::Refused(refusal.clone());
                    self.refused.insert(list.clone(), error);
                    hub.happened(&Event::Refused { list, refusal });
                }
                Reported::PeerMisbehaved { list, refusal } => {
                    for waiter in &mut self.waiters {
                        waiter.list_refused(&list, &refusal);
                    }
                    let error = Error::PeerMisbehaved(refusal.clone());
                    self.refused.insert(list.clone(), error);
                    hub.happened(&Event::PeerMisbehaved { list, refusal });
                }
                // The engine has told of it in its own words.
                Reported::Failed(_) => {}
                _ => {}
            }
        }
        if !self.receipts.is_empty() {
            let receipts = Receipts(std::mem::take(&mut self.receipts));
            let post = post_receipts(Arc::clone(&shared), receipts);
            shared.driver.spawn.spawn(Box::pin(post));
        }
    }

    /// A repair ended: those who wait are told of it, and the server, if it
    /// asked for that.
    fn note(&mut self, receipt: &Receipt) {
        for waiter in &mut self.waiters {
            waiter.repaired(receipt);
        }
        if self.wants_receipts && self.receipts.len() < limits::RECEIPTS_PER_REQUEST {
            self.receipts.push(receipt.clone());
        }
    }
}
