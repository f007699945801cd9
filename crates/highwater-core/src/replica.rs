//! The device's side of a catch-up: a state machine without clock, socket or
//! thread.

mod apply;
mod audit;
mod change;
mod event;
mod ladder;
mod reconcile;
mod trace;

pub use audit::Audited;
pub use event::{Event, Failure};
pub use highwater_protocol::message::{Cost, Difference, Reason, Receipt, Standing};

use crate::local::{ListRecord, LocalStore, LocalTxn, Phase, Rung};
use apply::{Answered, Applied, Next};
use change::Heard;
use highwater_protocol::limits;
use highwater_protocol::message::{
    Answer, GoneReason, ListAnswer, ListRequest, Position, Scan, ScanPosition, SyncRequest,
    SyncResponse,
};
use highwater_protocol::{Digest, ItemId, ListKey, OrderKey, Point, Refusal};
use reconcile::Reconciling;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use trace::Trace;

/// Events that wait to be polled; beyond it the oldest reports of changes
/// become one "many" each, so that a reader who is slow loses detail, not
/// truth.
const EVENTS_MAX: usize = 100_000;

/// The longest delay that a server may ask for, in milliseconds. A time further
/// away than this is a clock that jumped.
const RETRY_AFTER_MS_MAX: i64 = 600_000;

/// How a replica behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// A list of up to so many elements is kept with all its payloads.
    pub whole_up_to: u64,
    /// Rows of a longer list whose payload comes with the first page.
    pub first_details: u32,
    /// Changed rows of a longer list whose payload comes with a delta's page.
    pub delta_details: u32,
    /// Rows that a page may hold: 1 to 1,000.
    pub page_rows: usize,
    /// The first delay after a failure, in milliseconds; it doubles.
    pub retry_delay_ms: i64,
    /// The longest delay after a failure, in milliseconds.
    pub retry_delay_ms_max: i64,
    /// How long a list is left alone that could not be repaired, in
    /// milliseconds; it doubles.
    pub quarantine_ms: i64,
    /// The longest time that a list is left alone, in milliseconds.
    pub quarantine_ms_max: i64,
}

impl Default for ReplicaConfig {
    fn default() -> Self {
        Self {
            whole_up_to: 2_000,
            first_details: 100,
            delta_details: 200,
            page_rows: limits::PAGE_ROWS,
            retry_delay_ms: 500,
            retry_delay_ms_max: 60_000,
            quarantine_ms: 60 * 60 * 1_000,
            quarantine_ms_max: 24 * 60 * 60 * 1_000,
        }
    }
}

/// Names a request that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

/// A device's copies of any number of lists.
///
/// The methods are of three kinds:
/// - *commands* of the app: [`hold`](Self::hold), [`release`](Self::release),
///   [`sync`](Self::sync), [`sync_list`](Self::sync_list),
///   [`want_details`](Self::want_details), [`verify`](Self::verify);
/// - *inputs* of the driver: [`handle_response`](Self::handle_response),
///   [`handle_failure`](Self::handle_failure),
///   [`handle_changes`](Self::handle_changes);
/// - *outputs* to the driver: [`poll_request`](Self::poll_request),
///   [`poll_timeout`](Self::poll_timeout), [`poll_event`](Self::poll_event).
///
/// After a command or an input, the driver polls requests until there is none,
/// then events until there is none, and comes back at the timeout at the
/// latest. Times are milliseconds since 1970 and may jump.
#[derive(Debug)]
pub struct Replica {
    config: ReplicaConfig,
    held: BTreeMap<ListKey, Held>,
    in_flight: BTreeMap<RequestId, InFlight>,
    next_request: u64,
    /// Failures of the connection in a row.
    failures: u32,
    /// No request before this time.
    not_before_ms: i64,
    events: VecDeque<Event>,
    random: u64,
}

/// What a replica knows of a list beside what is stored.
#[derive(Debug, Default)]
struct Held {
    /// The list is to be asked about.
    due: bool,
    /// A request about it is under way.
    in_flight: bool,
    /// The app wants it although the server had nothing for this reader.
    reopened: bool,
    /// Payloads that are missing and wanted.
    details: BTreeSet<ItemId>,
    /// What is known of a repair beside what is stored.
    repair: Repair,
    /// Broken answers in a row.
    failures: u32,
    /// Not asked about before this time.
    not_before_ms: i64,
    /// What was heard of changes that are not in the copy.
    heard: Heard,
}

/// What is known of a repair beside what is stored.
#[derive(Debug, Default)]
struct Repair {
    /// The sketch rung's work, while that rung is at work.
    reconciling: Option<Reconciling>,
    /// What becomes the receipt.
    trace: Option<Trace>,
    /// Deletions were missing in what was caught up with since the last proof.
    deletes_lost: bool,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct InFlight {
    lists: Vec<Asked>,
}

/// What was asked about one list, and from where.
#[derive(Debug)]
struct Asked {
    request: ListRequest,
    basis: Basis,
    /// Bytes of the list's entry in the request and in its answer, if they were
    /// measured.
    bytes: (u64, u64),
}

/// What an answer must find unchanged in order to land: the fence.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Basis {
    fence: u64,
    point: Option<Point>,
    digest: Digest,
    count: u64,
    scanned: Option<Option<OrderKey>>,
}

impl Basis {
    fn of(record: &ListRecord) -> Self {
        let working = record.working();
        Self {
            fence: record.fence,
            point: working.point,
            digest: working.digest,
            count: working.count,
            scanned: working.scan.as_ref().map(|scan| scan.after.clone()),
        }
    }
}

impl Replica {
    /// A replica that holds no list. `seed` makes its delays differ from those
    /// of other devices.
    #[must_use]
    pub const fn new(config: ReplicaConfig, seed: u64) -> Self {
        Self {
            config,
            held: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            next_request: 0,
            failures: 0,
            not_before_ms: i64::MIN,
            events: VecDeque::new(),
            random: seed,
        }
    }

    /// Keeps a list from now on. It is asked about at the next poll if it is
    /// new here, or if the server had nothing for this reader before.
    pub fn hold(&mut self, list: &ListKey) {
        let held = self.held.entry(list.clone()).or_insert_with(|| Held {
            due: true,
            ..Held::default()
        });
        held.reopened = true;
    }

    /// Stops to keep a list up to date. Its rows stay.
    pub fn release(&mut self, list: &ListKey) {
        self.held.remove(list);
    }

    /// Whether a list is kept up to date.
    #[must_use]
    pub fn holds(&self, list: &ListKey) -> bool {
        self.held.contains_key(list)
    }

    /// The lists that are kept up to date.
    pub fn lists(&self) -> impl Iterator<Item = &ListKey> {
        self.held.keys()
    }

    /// Asks about every list that is held, at once: an earlier failure's delay
    /// is cut short.
    pub fn sync(&mut self) {
        self.not_before_ms = i64::MIN;
        for held in self.held.values_mut() {
            held.due = true;
            held.not_before_ms = i64::MIN;
        }
    }

    /// Asks about one list.
    pub fn sync_list(&mut self, list: &ListKey) {
        if let Some(held) = self.held.get_mut(list) {
            held.due = true;
        }
    }

    /// Fetches payloads that a list lacks.
    pub fn want_details(&mut self, list: &ListKey, ids: impl IntoIterator<Item = ItemId>) {
        if let Some(held) = self.held.get_mut(list) {
            held.details.extend(ids);
            held.due |= !held.details.is_empty();
        }
    }

    /// Whether payloads of a list are wanted and not there yet.
    #[must_use]
    pub fn wants_details(&self, list: &ListKey) -> bool {
        self.held
            .get(list)
            .is_some_and(|held| !held.details.is_empty())
    }

    /// Whether a list is about to be asked about, or is being asked about.
    #[must_use]
    pub fn is_busy(&self, list: &ListKey) -> bool {
        self.held
            .get(list)
            .is_some_and(|held| held.due || held.in_flight)
    }

    /// Whether nothing is due and nothing under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.held.values().all(|held| !held.due && !held.in_flight)
    }

    /// Failed attempts to reach the server in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Recomputes a list from its stored rows and has the server compare. A
    /// quarantined list may climb the ladder again.
    ///
    /// # Errors
    /// What the database reports; nothing is changed then.
    pub fn verify<S: LocalStore>(&mut self, list: &ListKey, db: &mut S) -> Result<(), S::Error> {
        self.recheck(list, None, db).map(drop)
    }

    /// The next request to send, if one is due at `now_ms`.
    ///
    /// # Errors
    /// What the database reports; the lists stay due.
    pub fn poll_request<S: LocalStore>(
        &mut self,
        now_ms: i64,
        db: &mut S,
    ) -> Result<Option<(RequestId, SyncRequest)>, S::Error> {
        if waits(now_ms, self.not_before_ms) {
            return Ok(None);
        }
        let ready = |held: &Held| held.due && !held.in_flight && !waits(now_ms, held.not_before_ms);
        if !self.held.values().any(ready) {
            return Ok(None);
        }
        let mut txn = db.begin()?;
        let mut lists = Vec::new();
        let mut details_left = limits::DETAILS_PER_REQUEST;
        for (list, held) in self.held.iter_mut().filter(|(_, held)| ready(held)) {
            if lists.len() == limits::LISTS_PER_REQUEST {
                break;
            }
            let mut record = txn.record(list)?.unwrap_or_default();
            if let Phase::Gone(_) = record.phase {
                if !held.reopened {
                    held.due = false;
                    continue;
                }
                record.phase = Phase::Syncing;
            }
            let position = position(
                &self.config,
                &record,
                held.repair.reconciling.as_ref(),
                details_left,
            );
            if let Position::SketchItems(items) = &position {
                // It goes with the next request.
                if items.elements.is_empty() {
                    continue;
                }
                details_left -= items.elements.len();
            }
            held.reopened = false;
            let details: Vec<ItemId> = held.details.iter().take(details_left).cloned().collect();
            details_left -= details.len();
            lists.push(Asked {
                request: ListRequest {
                    list: list.clone(),
                    position,
                    details,
                    delta_details: (!record.whole).then_some(self.config.delta_details),
                },
                basis: Basis::of(&record),
                bytes: (0, 0),
            });
        }
        drop(txn);
        if lists.is_empty() {
            return Ok(None);
        }
        for asked in &lists {
            if let Some(held) = self.held.get_mut(&asked.request.list) {
                held.due = false;
                held.in_flight = true;
                held.heard.asks(&asked.request.position);
                if let Some(trace) = &mut held.repair.trace {
                    trace.at(now_ms);
                }
            }
        }
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let request = SyncRequest {
            lists: lists.iter().map(|asked| asked.request.clone()).collect(),
            page_rows: self.config.page_rows,
        };
        self.in_flight.insert(id, InFlight { lists });
        Ok(Some((id, request)))
    }

    /// What the driver measured of a request and its answer, for the receipts:
    /// the bytes of each list's entry in both, in the request's order. To be
    /// said before the response is handled.
    pub fn measured(&mut self, id: RequestId, bytes: impl IntoIterator<Item = (u64, u64)>) {
        if let Some(sent) = self.in_flight.get_mut(&id) {
            for (asked, bytes) in sent.lists.iter_mut().zip(bytes) {
                asked.bytes = bytes;
            }
        }
    }

    /// Applies the response to a request, all its lists in one transaction.
    /// One that is not awaited is ignored.
    ///
    /// # Errors
    /// What the database reports: then nothing was applied, and the lists are
    /// asked about again after a delay.
    pub fn handle_response<S: LocalStore>(
        &mut self,
        now_ms: i64,
        id: RequestId,
        response: SyncResponse,
        db: &mut S,
    ) -> Result<(), S::Error> {
        let Some(sent) = self.in_flight.remove(&id) else {
            return Ok(());
        };
        let mut repairs: Vec<Repair> = sent
            .lists
            .iter()
            .map(|asked| {
                let held = self.held.get_mut(&asked.request.list);
                held.map(|held| std::mem::take(&mut held.repair))
                    .unwrap_or_default()
            })
            .collect();
        let applied = apply_response(&self.config, now_ms, &sent, response, &mut repairs, db);
        let applied = match applied {
            Ok(applied) => applied,
            Err(error) => {
                for (asked, repair) in sent.lists.iter().zip(repairs) {
                    if let Some(held) = self.held.get_mut(&asked.request.list) {
                        // Work on a sketch is lost with the transaction that it
                        // belongs to, and begins again.
                        held.repair = Repair {
                            reconciling: None,
                            ..repair
                        };
                    }
                }
                self.settle(&sent);
                self.back_off(now_ms, 0);
                return Err(error);
            }
        };
        self.failures = 0;
        self.not_before_ms = i64::MIN;
        for ((asked, applied), repair) in sent.lists.iter().zip(applied).zip(repairs) {
            if let Some(held) = self.held.get_mut(&asked.request.list) {
                held.repair = repair;
            }
            self.after(now_ms, &asked.request, applied);
        }
        Ok(())
    }

    /// A request came to nothing. What it asked about stays due.
    pub fn handle_failure(&mut self, now_ms: i64, id: RequestId, failure: Failure) {
        let Some(sent) = self.in_flight.remove(&id) else {
            return;
        };
        self.settle(&sent);
        let retry_after_ms = match &failure {
            Failure::Refused(refusal) => refusal.retry_after_ms,
            Failure::Unreachable(_) => 0,
        };
        self.back_off(now_ms, retry_after_ms);
        self.push(Event::Failed(failure));
    }

    /// When the next request may become due without a further input, in
    /// milliseconds since 1970; `None`: only a command makes one due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<i64> {
        self.held
            .values()
            .filter(|held| held.due && !held.in_flight)
            .map(|held| held.not_before_ms.max(self.not_before_ms))
            .min()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn after(&mut self, now_ms: i64, request: &ListRequest, mut applied: Applied) {
        let list = &request.list;
        let next = applied.next;
        let answered = std::mem::take(&mut applied.answered);
        let at = applied.cursor;
        let wanted = std::mem::take(&mut applied.wanted);
        self.publish(list, applied);
        let failures = self.held.get(list).map_or(0, |held| held.failures);
        let delay_ms = self.delay_ms(failures);
        let Some(held) = self.held.get_mut(list) else {
            return;
        };
        held.in_flight = false;
        if next == Next::Retry {
            held.failures = held.failures.saturating_add(1);
            held.not_before_ms = now_ms.saturating_add(delay_ms);
        } else {
            held.failures = 0;
            held.not_before_ms = i64::MIN;
        }
        match answered {
            Answered::No => {}
            Answered::All => request.details.iter().for_each(|id| {
                held.details.remove(id);
            }),
            Answered::Part(ids) => ids.iter().for_each(|id| {
                held.details.remove(id);
            }),
        }
        held.details.extend(wanted);
        held.due |= next != Next::Rest || !held.details.is_empty();
        if held.heard.is_ahead_of(at) {
            held.due = true;
            held.reopened = true;
        }
    }

    /// Lists of a request that came to nothing are due again.
    fn settle(&mut self, sent: &InFlight) {
        for asked in &sent.lists {
            if let Some(held) = self.held.get_mut(&asked.request.list) {
                held.in_flight = false;
                held.due = true;
            }
        }
    }

    fn back_off(&mut self, now_ms: i64, at_least_ms: u64) {
        let delay_ms = self.delay_ms(self.failures);
        let at_least_ms = i64::try_from(at_least_ms)
            .unwrap_or(i64::MAX)
            .min(RETRY_AFTER_MS_MAX);
        self.failures = self.failures.saturating_add(1);
        self.not_before_ms = now_ms.saturating_add(delay_ms.max(at_least_ms));
    }

    /// Doubling delays, each drawn from its upper half, so that devices which
    /// failed together do not come back together.
    fn delay_ms(&mut self, failures: u32) -> i64 {
        let doubled = 1i64.checked_shl(failures.min(30)).unwrap_or(i64::MAX);
        let delay_ms = self
            .config
            .retry_delay_ms
            .saturating_mul(doubled)
            .min(self.config.retry_delay_ms_max)
            .max(1);
        let half = delay_ms / 2;
        let jitter = self.draw() % (half.unsigned_abs() + 1);
        delay_ms - half + i64::try_from(jitter).unwrap_or(0)
    }

    /// SplitMix64: enough for jitter, and the same for the same seed.
    const fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn publish(&mut self, list: &ListKey, applied: Applied) {
        for event in applied.into_events(list) {
            self.push(event);
        }
    }

    fn push(&mut self, event: Event) {
        if self.events.len() >= EVENTS_MAX
            && let Some(oldest) = self.events.pop_front()
            && let Event::Changed { list, .. } = oldest
        {
            self.events
                .retain(|event| !matches!(event, Event::Changed { list: of, .. } if *of == list));
            self.events.push_back(Event::Changed {
                list,
                changes: crate::local::Changes::Many,
            });
        }
        self.events.push_back(event);
    }
}

/// Whether a time is still to come.
const fn waits(now_ms: i64, until_ms: i64) -> bool {
    let left_ms = until_ms.saturating_sub(now_ms);
    0 < left_ms && left_ms <= RETRY_AFTER_MS_MAX
}

/// What to ask about one list.
/// From where to ask about a list. A request has room for so many elements.
fn position(
    config: &ReplicaConfig,
    record: &ListRecord,
    reconciling: Option<&Reconciling>,
    room: usize,
) -> Position {
    let asked = match record.phase {
        Phase::Repairing(Rung::Sketch) => Reconciling::position(reconciling, room),
        _ => None,
    };
    match (asked, record.working().cursor()) {
        (Some(position), _) => position,
        (None, Some(cursor)) => Position::Cursor(cursor),
        (None, None) => Position::Scan(scan(config, record)),
    }
}

fn scan(config: &ReplicaConfig, record: &ListRecord) -> Scan {
    let working = record.working();
    let position = working.point.map(|point| ScanPosition {
        point,
        after: working.scan.as_ref().and_then(|scan| scan.after.clone()),
    });
    let (whole_up_to, details) = match (record.phase, &position) {
        (Phase::Repairing(Rung::Reload), _) => (u64::MAX, 0),
        (Phase::Repairing(_), _) => (0, 0),
        (_, None) => (config.whole_up_to, config.first_details),
        (_, Some(_)) if record.whole => (u64::MAX, 0),
        (_, Some(_)) => (0, 0),
    };
    Scan {
        position,
        whole_up_to,
        details,
    }
}

/// Applies every list's answer in one transaction.
fn apply_response<S: LocalStore>(
    config: &ReplicaConfig,
    now_ms: i64,
    sent: &InFlight,
    response: SyncResponse,
    repairs: &mut [Repair],
    db: &mut S,
) -> Result<Vec<Applied>, S::Error> {
    if defers_all(&response, sent.lists.len()) {
        let lists = sent.lists.iter().map(|asked| &asked.request.list);
        return Ok(lists.map(Applied::nowhere).collect());
    }
    let mut answers = response.answers.into_iter().peekable();
    let mut txn = db.begin()?;
    let mut all = Vec::with_capacity(sent.lists.len());
    for ((at, asked), repair) in sent.lists.iter().enumerate().zip(repairs) {
        let answer = answers
            .next_if(|answer| answer.list == at)
            .unwrap_or(ListAnswer {
                list: at,
                answer: Answer::Aligned,
                details: Vec::new(),
            });
        all.push(apply::apply(
            config, now_ms, &mut txn, asked, answer, repair,
        )?);
    }
    txn.commit()?;
    Ok(all)
}

/// Whether a response answers nothing: its lists would be asked about again at
/// once, and again.
fn defers_all(response: &SyncResponse, lists: usize) -> bool {
    let is_deferred = |one: &ListAnswer| one.answer == Answer::Deferred;
    response.answers.len() == lists && response.answers.iter().all(is_deferred)
}

/// Why a list has nothing for its reader, for a record that says so.
const fn gone(phase: Phase) -> Option<GoneReason> {
    match phase {
        Phase::Gone(reason) => Some(reason),
        _ => None,
    }
}

/// A peer's answer that does not fit what was asked.
fn misfit(message: &str) -> Refusal {
    Refusal::new(highwater_protocol::Code::MalformedMessage, message)
}
