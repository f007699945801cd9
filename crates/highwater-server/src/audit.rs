//! Holding heads against the rows that they sum up, and correcting those that
//! are wrong: in the background at a bounded rate, when an operator asks, and
//! when a sketch was made of rows that its head denies.

use crate::http::App;
use highwater_core::Head;
use highwater_core::reads::{ListState, PageLimit, Payloads, Reads};
use highwater_protocol::{Digest, ListKey, Version, limits};
use highwater_store::{Abort, Store, StoreError, Write, WriteError, WriteTxn};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Lists that are looked up at once.
const LISTS_PER_READ: usize = 100;
/// What looking at one list costs, in rows, however short it is.
const ROWS_PER_LIST: u64 = 10;
/// Suspects that wait to be looked at; the pass finds the others.
const SUSPECTS_MAX: usize = 1_000;
/// How long the audit rests after the store failed.
const FAILED_PAUSE: Duration = Duration::from_secs(10);

/// Lists whose heads someone found reason to doubt.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    lists: Mutex<BTreeSet<ListKey>>,
    wake: Notify,
}

impl Suspects {
    /// Has a list looked at soon.
    pub(crate) fn report(&self, list: &ListKey) {
        let mut lists = self.lists.lock();
        if lists.len() < SUSPECTS_MAX {
            lists.insert(list.clone());
            self.wake.notify_one();
        }
    }

    fn next(&self) -> Option<ListKey> {
        self.lists.lock().pop_first()
    }
}

/// Who found that a head is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundBy {
    /// The pass over all lists.
    Audit,
    /// An operator's question.
    Operator,
    /// The making of a sketch.
    Sketch,
}

impl FoundBy {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Operator => "operator",
            Self::Sketch => "sketch",
        }
    }
}

/// A head that its rows deny.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) list: ListKey,
    /// What it said.
    pub(crate) head: Head,
    /// What the rows counted and summed to, of the same commit.
    pub(crate) rows: (u64, Digest),
    /// It was corrected; else another write had already, or the store takes no
    /// writes.
    pub(crate) corrected: bool,
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Audited {
    pub(crate) lists: u64,
    pub(crate) rows: u64,
    pub(crate) mismatches: Vec<Mismatch>,
    /// Where to go on; `None`: that was the last list.
    pub(crate) next: Option<ListKey>,
}

struct Recount(ListKey);

impl Write for Recount {
    type Output = Option<Head>;
    type Refusal = Infallible;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.0.clone()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<Option<Head>, Abort<Infallible>> {
        Ok(txn.recount(&self.0).await?)
    }
}

impl<S: Store> App<S> {
    /// Looks at lists after `after`, about `rows_max` rows of them, one list at
    /// least.
    ///
    /// # Errors
    /// What the store could not read.
    pub(crate) async fn audit(
        &self,
        after: Option<ListKey>,
        rows_max: u64,
    ) -> Result<Audited, StoreError> {
        let mut audited = Audited {
            next: after,
            ..Audited::default()
        };
        let mut spent = 0;
        while spent < rows_max && !(self.stop.is_said() && audited.lists > 0) {
            let after = audited.next.take();
            let lines = self.store.lists(after.as_ref(), LISTS_PER_READ).await?;
            let ends = lines.len() < LISTS_PER_READ;
            let last = lines.len().saturating_sub(1);
            for (at, line) in lines.into_iter().enumerate() {
                if let ListState::Live(_) = line.state {
                    let (rows, mismatch) = self.audit_list(&line.list, FoundBy::Operator).await?;
                    audited.lists += 1;
                    audited.rows += rows;
                    audited.mismatches.extend(mismatch);
                    spent += rows + ROWS_PER_LIST;
                }
                if ends && at == last {
                    return Ok(audited);
                }
                if at == last || spent >= rows_max || self.stop.is_said() {
                    audited.next = Some(line.list);
                    break;
                }
            }
            if audited.next.is_none() {
                break;
            }
        }
        Ok(audited)
    }

    /// Looks at one list, in one snapshot: how many rows it has, and whether its
    /// head was wrong. A wrong head is logged, counted and corrected.
    pub(crate) async fn audit_list(
        &self,
        list: &ListKey,
        found_by: FoundBy,
    ) -> Result<(u64, Option<Mismatch>), StoreError> {
        let snapshot = self.store.snapshot(std::slice::from_ref(list)).await?;
        let ListState::Live(head) = snapshot.state(list).await? else {
            return Ok((0, None));
        };
        let (count, digest) = sum(&snapshot, list).await?;
        drop(snapshot);
        self.metrics.audited();
        if (head.count, head.digest) == (count, digest) {
            return Ok((count, None));
        }
        tracing::error!(
            %list, version = %head.version, head.count, head.digest = %head.digest,
            rows.count = count, rows.digest = %digest, found_by = found_by.as_str(),
            "a head disagrees with its rows"
        );
        self.metrics.mismatched(found_by.as_str());
        let corrected = self.correct(list).await;
        let mismatch = Mismatch {
            list: list.clone(),
            head,
            rows: (count, digest),
            corrected,
        };
        Ok((count, Some(mismatch)))
    }

    async fn correct(&self, list: &ListKey) -> bool {
        let write = self.store.write(self.clock.now_ms(), Recount(list.clone()));
        match write.await {
            Ok(committed) => {
                self.metrics.committed(committed.tick.0);
                committed.output.is_some()
            }
            Err(WriteError::Refused(never)) => match never {},
            Err(WriteError::NotCommitted(error) | WriteError::Unknown(error)) => {
                tracing::error!(%list, %error, "a wrong head could not be corrected");
                false
            }
        }
    }
}

/// Counts the rows of a list and sums their stamps.
async fn sum<R: Reads>(reads: &R, list: &ListKey) -> Result<(u64, Digest), R::Error> {
    let limit = PageLimit {
        rows: limits::PAGE_ROWS,
        bytes: usize::MAX,
    };
    // Rows that a wrong head does not know of are rows too.
    let newest = Version::new(u64::MAX);
    let (mut count, mut digest) = (0, Digest::ZERO);
    let mut after = None;
    loop {
        let payloads = Payloads::First(0);
        let page = reads
            .scan(list, newest, after.as_ref(), payloads, limit)
            .await?;
        for item in &page.rows {
            count += 1;
            digest = digest.plus(item.stamp);
        }
        after = page.next;
        if after.is_none() {
            return Ok((count, digest));
        }
        // A long list holds up nobody who shares the thread.
        tokio::task::yield_now().await;
    }
}

/// Looks at suspects when there are any, and at all lists one after the other,
/// so many rows a second on average: a list is read at once, as a snapshot that
/// is kept for long costs the store more, and then the audit rests.
pub(crate) async fn run<S: Store>(app: Arc<App<S>>) {
    let mut stop = app.stop.clone();
    let mut after = None;
    let mut next_at = Instant::now();
    let mut pass_began = Instant::now();
    loop {
        let rate = app.config.audit_rows_per_s;
        tokio::select! {
            () = stop.said() => return,
            () = app.suspects.wake.notified() => {
                while let Some(list) = app.suspects.next() {
                    let looked = app.audit_list(&list, FoundBy::Sketch).await;
                    if let Err(error) = looked {
                        tracing::warn!(%list, %error, "a suspected head could not be audited");
                    }
                }
            }
            () = tokio::time::sleep_until(next_at), if rate > 0 => {
                let step = step(&app, &mut after).await;
                let rest = match step {
                    Ok(spent) => Duration::from_secs_f64(spent as f64 / rate as f64),
                    Err(error) => {
                        tracing::warn!(%error, "heads could not be audited");
                        FAILED_PAUSE
                    }
                };
                next_at = Instant::now() + rest;
                if after.is_none() {
                    tracing::debug!("audited all heads");
                    next_at = next_at.max(pass_began + app.config.audit_interval);
                    pass_began = next_at;
                }
            }
        }
    }
}

/// Looks at the next list. What that cost, in rows.
async fn step<S: Store>(app: &App<S>, after: &mut Option<ListKey>) -> Result<u64, StoreError> {
    let lines = app.store.lists(after.as_ref(), 1).await?;
    let Some(line) = lines.into_iter().next() else {
        *after = None;
        return Ok(0);
    };
    let rows = match line.state {
        ListState::Live(_) => app.audit_list(&line.list, FoundBy::Audit).await?.0,
        ListState::Ended(_) | ListState::Absent(_) => 0,
    };
    *after = Some(line.list);
    Ok(rows + ROWS_PER_LIST)
}
