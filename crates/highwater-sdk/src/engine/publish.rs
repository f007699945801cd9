//! From what the replica reports to what the app hears.

use super::Engine;
use crate::error::Error;
use crate::event::Event;
use highwater_core::local::Changes;
use highwater_core::replica::Event as Reported;

impl Engine {
    /// Passes on what the replica reports.
    pub(super) fn publish(&mut self) {
        let hub = &self.shared.hub;
        while let Some(event) = self.replica.poll_event() {
            match event {
                Reported::Changed { list, changes } => hub.rows_changed(&list, &changes),
                Reported::DetailsFilled { list, ids } => hub.filled(&list, &ids),
                Reported::Status { list, phase } => {
                    hub.status_changed(&list);
                    self.phases.insert(list, phase);
                }
                Reported::Repaired(receipt) => hub.happened(&Event::Repaired {
                    list: receipt.list,
                    rung: receipt.rung,
                    rows: match receipt.changes {
                        Changes::Rows(rows) => Some(rows.len()),
                        Changes::Many => None,
                    },
                }),
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
    }
}
