//! Those who wait for the engine: what for, and what they are told.

use crate::error::Error;
use crate::report::{RECEIPTS_MAX, SyncReport};
use futures::channel::oneshot;
use highwater_core::local::Phase;
use highwater_core::replica::{Receipt, Replica};
use highwater_protocol::message::{Answer, Position, SyncRequest, SyncResponse};
use highwater_protocol::{ItemId, ListKey, Refusal};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

/// What someone waits for.
#[derive(Clone, Debug)]
pub(crate) enum Goal {
    /// Every list that is held, or one, is settled.
    Sync(Option<ListKey>),
    /// Every list that is held, or one, is recomputed from its rows, and settled.
    Verify(Option<ListKey>),
    /// A list that never brought a row was answered about.
    FirstPage(ListKey),
    /// Payloads were asked for.
    Details(ListKey, Vec<ItemId>),
    /// Lists that a write of the device's own changed have caught up with it.
    CatchUp(Vec<ListKey>),
}

/// A goal, and whom to tell.
pub(crate) struct Ask {
    pub(crate) goal: Goal,
    pub(crate) reply: oneshot::Sender<Result<SyncReport, Error>>,
}

impl Ask {
    pub(crate) fn refuse(self, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}

/// What the engine has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Work {
    pub(super) requests: u64,
    changes: u64,
    scanned: u64,
    scans: u64,
}

/// Someone who waits.
pub(super) struct Waiter {
    ask: Ask,
    /// The first request that was sent after the goal was set.
    pub(super) first_request: u64,
    /// How many lists the goal is about.
    lists: BTreeSet<ListKey>,
    /// Those of them that are not settled yet.
    pending: BTreeSet<ListKey>,
    refused: BTreeMap<ListKey, Refusal>,
    answered: bool,
    /// What the engine had done before.
    before: Work,
    /// How many versions each list caught up with.
    gaps: BTreeMap<ListKey, u64>,
    repairs: u64,
    /// The last of those repairs.
    receipts: VecDeque<Receipt>,
}

impl Waiter {
    pub(super) fn new(ask: Ask, replica: &Replica, first_request: u64, before: Work) -> Self {
        let lists: BTreeSet<ListKey> = match &ask.goal {
            Goal::Sync(None) | Goal::Verify(None) => replica.lists().cloned().collect(),
            Goal::Sync(Some(list))
            | Goal::Verify(Some(list))
            | Goal::FirstPage(list)
            | Goal::Details(list, _) => [list.clone()].into(),
            Goal::CatchUp(lists) => lists.iter().cloned().collect(),
        };
        Self {
            ask,
            first_request,
            pending: lists.clone(),
            lists,
            refused: BTreeMap::new(),
            answered: false,
            before,
            gaps: BTreeMap::new(),
            repairs: 0,
            receipts: VecDeque::new(),
        }
    }

    /// Whoever waited has dropped the future.
    pub(super) fn gave_up(&self) -> bool {
        self.ask.reply.is_canceled()
    }

    /// The report of this goes to the app.
    pub(super) const fn is_reported(&self) -> bool {
        matches!(&self.ask.goal, Goal::Sync(_) | Goal::Verify(_))
    }

    /// Someone looks at a page until this is done.
    pub(super) const fn is_a_page(&self) -> bool {
        matches!(&self.ask.goal, Goal::FirstPage(_) | Goal::Details(..))
    }

    /// A request was answered and its answer applied.
    pub(super) fn answered(&mut self, request: &SyncRequest) {
        let names_mine = |list: &ListKey| self.lists.contains(list);
        self.answered |= request.lists.iter().any(|asked| names_mine(&asked.list));
    }

    /// A repair ended, of whichever list.
    pub(super) fn repaired(&mut self, receipt: &Receipt) {
        self.repairs += 1;
        if self.receipts.len() == RECEIPTS_MAX {
            self.receipts.pop_front();
        }
        self.receipts.push_back(receipt.clone());
    }

    /// The server does not answer about one list. It is not waited for: asking
    /// again is the background's business.
    pub(super) fn list_refused(&mut self, list: &ListKey, refusal: &Refusal) {
        if self.pending.remove(list) {
            self.refused.insert(list.clone(), refusal.clone());
        }
    }

    pub(super) fn is_done(&mut self, replica: &Replica) -> bool {
        match &self.ask.goal {
            Goal::Sync(_) | Goal::Verify(_) | Goal::CatchUp(_) => {
                self.pending.retain(|list| replica.is_busy(list));
                self.pending.is_empty()
            }
            Goal::FirstPage(list) => {
                self.answered || self.pending.is_empty() || !replica.is_busy(list)
            }
            Goal::Details(list, _) => self.pending.is_empty() || !replica.wants_details(list),
        }
    }

    pub(super) fn refuse(self, error: Error) {
        self.ask.refuse(error);
    }

    /// Tells how it went.
    pub(super) fn report(
        self,
        phases: &BTreeMap<ListKey, Phase>,
        now: Work,
        replaced: Option<PathBuf>,
    ) {
        if let (Goal::FirstPage(_) | Goal::Details(..), Some((_, refusal))) =
            (&self.ask.goal, self.refused.first_key_value())
        {
            let error = Error::Refused(refusal.clone());
            return self.refuse(error);
        }
        let mut report = SyncReport {
            lists: self.lists.len(),
            requests: now.requests - self.before.requests,
            changes: now.changes - self.before.changes,
            scanned: now.scanned - self.before.scanned,
            scans: now.scans - self.before.scans,
            largest_gap: self.gaps.values().copied().max().unwrap_or_default(),
            repairs: self.repairs,
            receipts: self.receipts.into(),
            replaced,
            ..SyncReport::default()
        };
        for list in self.lists {
            if let Some(refusal) = self.refused.get(&list) {
                report.refused.push((list, refusal.clone()));
                continue;
            }
            match phases.get(&list) {
                Some(Phase::InSync) => report.in_sync += 1,
                Some(Phase::Quarantined(_)) => report.quarantined.push(list),
                Some(Phase::Gone(_)) => report.gone.push(list),
                _ => {}
            }
        }
        let _ = self.ask.reply.send(Ok(report));
    }
}

impl Work {
    /// Counts what a response brings.
    pub(super) fn count(
        &mut self,
        request: &SyncRequest,
        response: &SyncResponse,
        waiters: &mut [Waiter],
    ) {
        for asked in &request.lists {
            if let Position::Scan(scan) = &asked.position {
                self.scans += u64::from(scan.position.is_none());
            }
        }
        for answer in &response.answers {
            let Some(asked) = request.lists.get(answer.list) else {
                continue;
            };
            match (&answer.answer, &asked.position) {
                (Answer::Delta(delta), Position::Cursor(cursor)) => {
                    self.changes += (delta.rows.len() + delta.deleted.len()) as u64;
                    let from = cursor.point.version.get();
                    let gap = delta.to.get().saturating_sub(from);
                    for waiter in waiters.iter_mut() {
                        *waiter.gaps.entry(asked.list.clone()).or_default() += gap;
                    }
                }
                (Answer::Scan(page), _) => self.scanned += page.rows.len() as u64,
                _ => {}
            }
        }
    }
}
