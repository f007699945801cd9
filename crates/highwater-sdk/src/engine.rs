//! The engine: the one task that owns the replica, sends what it wants sent,
//! and applies what comes.
//!
//! All decisions about lists are the replica's; the engine decides only *when*
//! it may speak. That is while the app has started the background or waits for
//! something: a client that is merely open uses no network.

mod auditor;
mod background;
mod batch;
mod exchange;
mod publish;
mod waiter;
mod write;

pub(crate) use waiter::{Ask, Goal};
pub(crate) use write::{Action, Done};

use crate::driver::BoxFuture;
use crate::error::Error;
use crate::event::Event;
use crate::local::SqliteLocal;
use crate::shared::{Link, Shared};
use auditor::{Auditor, STEP_ROWS};
use background::Background;
use batch::Batch;
use exchange::Exchange;
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, pending};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _, select_biased};
use highwater_core::local::{Changes, Phase};
use highwater_core::replica::{self, Audited, Receipt, Replica, RequestId};
use highwater_protocol::message::{SyncRequest, SyncResponse};
use highwater_protocol::{ItemId, ListKey};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use waiter::{Waiter, Work};
use write::Written;

/// Requests under way at once: a long list's pages do not hold up a page that
/// someone looks at.
const REQUESTS_MAX: usize = 4;

/// The longest and shortest sleep, in milliseconds. The clock may jump while
/// the engine sleeps.
const SLEEP_MS_MAX: i64 = 600_000;
const SLEEP_MS_MIN: i64 = 10;

/// How long nothing is read or written after the database failed, in
/// milliseconds.
const DATABASE_PAUSE_MS: i64 = 1_000;

/// How often a client that is open replaces a damaged database.
const REPLACEMENTS_MAX: u64 = 3;

/// Rows written after which an idle engine moves the database's log.
const CHECKPOINT_ROWS: u64 = 2_000;

/// What the client tells its engine.
pub(crate) enum Command {
    Hold(ListKey),
    Release(ListKey),
    /// Payloads that are wanted when the engine next speaks to the server.
    Want(ListKey, Vec<ItemId>),
    /// Recompute a list from its rows; someone may wait for it.
    Recompute(ListKey, Option<oneshot::Sender<Result<(), Error>>>),
    Ask(Ask),
    /// Send a write, and tell what came of it.
    Write(Action, write::Reply),
    /// The database's file turned out to be damaged, when it had been replaced
    /// so often.
    Replace(u64),
    /// Sync by itself, at the latest after so many milliseconds of silence.
    Start(u64),
    Stop,
    /// Sync now, if started.
    Wake,
    Close,
}

pub(crate) struct Engine {
    shared: Arc<Shared>,
    replica: Replica,
    commands: mpsc::UnboundedReceiver<Command>,
    in_flight: FuturesUnordered<BoxFuture<'static, Exchange>>,
    /// Writes under way: they wait for nobody.
    writes: FuturesUnordered<BoxFuture<'static, Written>>,
    /// Requests sent so far: each has its number.
    sent: u64,
    waiters: Vec<Waiter>,
    work: Work,
    phases: BTreeMap<ListKey, Phase>,
    /// Lists whose first sync is not over.
    beginning: BTreeSet<ListKey>,
    /// Lists about which the server last refused to answer.
    refused: BTreeMap<ListKey, Error>,
    /// Why the last request came to nothing.
    failure: Option<Error>,
    /// Where the last damaged database is, until it is reported.
    replaced: Option<PathBuf>,
    /// The server would like to be told of repairs, as it last said.
    wants_receipts: bool,
    /// What it is to be told.
    receipts: Vec<Receipt>,
    background: Option<Background>,
    auditor: Auditor,
    batch: Batch,
    /// Nothing is read or written before this time.
    paused_until_ms: i64,
    /// What [`rows_written`](crate::local::SqliteLocal::rows_written) was when
    /// the log was last moved.
    checkpointed: u64,
}

enum Turn {
    Command(Option<Command>),
    Done(Exchange),
    Written(Written),
    Timer,
}

impl Engine {
    /// An engine that holds the lists that the device holds.
    pub(crate) fn new(
        shared: Arc<Shared>,
        replica: Replica,
        commands: mpsc::UnboundedReceiver<Command>,
        phases: BTreeMap<ListKey, Phase>,
        beginning: BTreeSet<ListKey>,
        audit_every_ms: u64,
    ) -> Self {
        let mut engine = Self {
            shared,
            replica,
            commands,
            in_flight: FuturesUnordered::new(),
            writes: FuturesUnordered::new(),
            sent: 0,
            waiters: Vec::new(),
            work: Work::default(),
            phases,
            beginning,
            refused: BTreeMap::new(),
            failure: None,
            replaced: None,
            wants_receipts: false,
            receipts: Vec::new(),
            background: None,
            auditor: Auditor::new(audit_every_ms),
            batch: Batch::default(),
            paused_until_ms: i64::MIN,
            checkpointed: 0,
        };
        for (list, phase) in &engine.phases {
            engine.replica.hold(list);
            if *phase == Phase::InSync {
                engine.auditor.meet(list);
            }
        }
        engine
    }

    /// The database had to be replaced before the engine began.
    pub(crate) fn replaced(mut self, aside: Option<PathBuf>) -> Self {
        if let Some(aside) = aside.clone() {
            self.shared.hub.happened_before(Event::Replaced { aside });
        }
        self.replaced = aside;
        self
    }

    /// Runs until the client closes.
    pub(crate) async fn run(mut self) {
        while self.step().await.is_ok() {}
    }

    /// Does what is to be done now, and waits for the next thing to do. An
    /// error ends the engine.
    async fn step(&mut self) -> Result<(), Error> {
        // What was said at once is asked about at once, in one request.
        while let Some(command) = self.commands.next().now_or_never() {
            self.obey(command)?;
        }
        let now_ms = self.shared.driver.clock.now_ms();
        self.keep_in_touch(now_ms);
        // Who has got what they waited for is told before more is asked: maybe
        // nobody wants more.
        self.tell();
        let launched = self.launch(now_ms);
        launched.or_else(|error| self.database_failed(error))?;
        if self.in_flight.is_empty() || self.batch.is_over(now_ms) {
            self.commit()?;
        }
        let audited = self.audit(now_ms);
        audited.or_else(|error| self.database_failed(error))?;
        self.tell();
        self.tidy_up()?;
        match self.turn(now_ms).await {
            Turn::Command(command) => self.obey(command),
            Turn::Done(exchange) => self.finish(exchange),
            Turn::Written(written) => self.written(written),
            Turn::Timer => Ok(()),
        }
    }

    async fn turn(&mut self, now_ms: i64) -> Turn {
        let mut timer = match self.sleep_ms(now_ms) {
            Some(sleep_ms) => Either::Left(self.shared.driver.clock.sleep(sleep_ms)),
            None => Either::Right(pending()),
        }
        .fuse();
        select_biased! {
            command = self.commands.next() => Turn::Command(command),
            written = self.writes.select_next_some() => Turn::Written(written),
            exchange = self.in_flight.select_next_some() => Turn::Done(exchange),
            () = timer => Turn::Timer,
        }
    }

    /// Whether the engine may speak to the server by itself.
    fn may_speak(&self) -> bool {
        self.background.is_some() || !self.waiters.is_empty()
    }

    /// Does what the client says; an error ends the engine.
    fn obey(&mut self, command: Option<Command>) -> Result<(), Error> {
        self.commit()?;
        let done = match command {
            None | Some(Command::Close) => return Err(Error::Closed),
            Some(Command::Hold(list)) => self.hold(list),
            Some(Command::Release(list)) => {
                self.replica.release(&list);
                self.phases.remove(&list);
                self.refused.remove(&list);
                self.auditor.forget(&list);
                let released = self.shared.db.write(|local| local.set_held(&list, false));
                released.map_err(Error::from)
            }
            Some(Command::Want(list, ids)) => {
                self.replica.want_details(&list, ids);
                Ok(())
            }
            Some(Command::Recompute(list, reply)) => {
                let done = self.recompute(&list);
                if let Some(reply) = reply {
                    let _ = reply.send(done.clone());
                }
                done
            }
            Some(Command::Ask(ask)) => self.accept(ask),
            Some(Command::Write(action, reply)) => {
                self.write(action, reply);
                Ok(())
            }
            Some(Command::Replace(era)) if self.may_replace(era) => self.replace_database(),
            Some(Command::Replace(_)) => Ok(()),
            Some(Command::Start(silence_ms)) => {
                let now_ms = self.shared.driver.clock.now_ms();
                self.background = Some(Background::new(silence_ms, now_ms));
                self.replica.sync();
                Ok(())
            }
            Some(Command::Stop) => {
                self.background = None;
                Ok(())
            }
            Some(Command::Wake) => {
                if self.background.is_some() {
                    self.replica.sync();
                }
                Ok(())
            }
        };
        done.or_else(|error| self.database_failed(error))
    }

    fn hold(&mut self, list: ListKey) -> Result<(), Error> {
        if !self.replica.holds(&list) {
            let standing = self.shared.db.standing(&list)?;
            let record = standing.map(|standing| standing.record);
            if record
                .as_ref()
                .is_none_or(|record| record.shown.cursor().is_none())
            {
                self.beginning.insert(list.clone());
            }
            let phase = record.map_or(Phase::Syncing, |record| record.phase);
            if phase == Phase::InSync {
                self.auditor.meet(&list);
            }
            self.phases.insert(list.clone(), phase);
            self.shared.db.write(|local| local.set_held(&list, true))?;
        }
        self.replica.hold(&list);
        if let Some(Phase::Gone(_)) = self.phases.get(&list) {
            // Opened again: it may be there again.
            self.replica.sync_list(&list);
        }
        Ok(())
    }

    fn recompute(&mut self, list: &ListKey) -> Result<(), Error> {
        let replica = &mut self.replica;
        self.shared.db.write(|local| replica.verify(list, local))?;
        self.publish();
        Ok(())
    }

    /// Begins to wait for a goal, or says at once why it is out of reach.
    fn accept(&mut self, ask: Ask) -> Result<(), Error> {
        let now_ms = self.shared.driver.clock.now_ms();
        let delayed = self.replica.poll_timeout().is_some_and(|at| at > now_ms);
        if let Goal::Sync(Some(list)) | Goal::Verify(Some(list)) = &ask.goal
            && self.replica.holds(list)
        {
            // Asked for by name is as good as opened: it may be there again.
            self.replica.hold(list);
        }
        match &ask.goal {
            Goal::Sync(None) => self.replica.sync(),
            Goal::Sync(Some(_)) if delayed => self.replica.sync(),
            Goal::Sync(Some(list)) => self.replica.sync_list(list),
            Goal::Verify(list) => {
                let lists: Vec<ListKey> = match list {
                    Some(list) => vec![list.clone()],
                    None => self.replica.lists().cloned().collect(),
                };
                for list in lists {
                    if let Err(error) = self.recompute(&list) {
                        ask.refuse(error.clone());
                        return Err(error);
                    }
                }
                if delayed {
                    self.replica.sync();
                }
            }
            Goal::Details(list, ids) => self.replica.want_details(list, ids.iter().cloned()),
            Goal::FirstPage(_) | Goal::CatchUp(_) => {}
        }
        if let (Goal::CatchUp(_), Some(failure), true) = (&ask.goal, &self.failure, delayed) {
            let failure = failure.clone();
            ask.refuse(failure);
            return Ok(());
        }
        // A page is not kept waiting for a server that was just found missing:
        // what it lacks is fetched when the server is there again.
        if let Goal::Details(list, _) | Goal::FirstPage(list) = &ask.goal {
            let fault = match (self.refused.get(list), &self.failure) {
                (Some(error), _) => Some(error.clone()),
                (None, Some(failure)) if delayed => Some(failure.clone()),
                (None, _) => None,
            };
            if let Some(fault) = fault {
                ask.refuse(fault);
                return Ok(());
            }
        }
        let waiter = Waiter::new(ask, &self.replica, self.sent, self.work);
        self.waiters.push(waiter);
        Ok(())
    }

    /// Sends every request that is due.
    fn launch(&mut self, now_ms: i64) -> Result<(), Error> {
        while self.may_speak()
            && self.in_flight.len() < REQUESTS_MAX
            && now_ms >= self.paused_until_ms
        {
            let replica = &mut self.replica;
            let due = self
                .shared
                .db
                .write(|local| replica.poll_request(now_ms, local))?;
            let Some((id, request)) = due else { break };
            if self.shared.link() == Link::Untried {
                self.shared.set_link(Link::Trying);
            }
            let number = self.sent;
            self.sent += 1;
            self.work.requests += 1;
            let shared = Arc::clone(&self.shared);
            self.in_flight
                .push(Box::pin(Exchange::run(shared, number, id, request)));
        }
        Ok(())
    }

    /// Applies what a request brought; an error ends the engine.
    fn finish(&mut self, exchange: Exchange) -> Result<(), Error> {
        let now_ms = self.shared.driver.clock.now_ms();
        let Exchange {
            number,
            id,
            request,
            outcome,
            bytes,
            wants_receipts,
        } = exchange;
        let response = match outcome {
            Ok(response) => response,
            Err(error) => {
                self.commit()?;
                self.publish();
                self.shared.set_link(Link::Lost);
                let failure = match &error {
                    Error::Refused(refusal) => replica::Failure::Refused(refusal.clone()),
                    other => replica::Failure::Unreachable(other.to_string()),
                };
                self.replica.handle_failure(now_ms, id, failure);
                self.shared.hub.happened(&Event::Failed(error.clone()));
                self.fail_waiters(number, &error);
                self.failure = Some(error);
                return Ok(());
            }
        };
        self.failure = None;
        self.shared.set_link(Link::Found);
        if let Some(background) = &mut self.background {
            background.begin_silence(now_ms);
        }
        for list in &request.lists {
            self.refused.remove(&list.list);
        }
        self.work.count(&request, &response, &mut self.waiters);
        self.replica.measured(id, bytes);
        if !response.answers.is_empty() {
            self.wants_receipts = wants_receipts;
        }
        self.apply(now_ms, id, &request, response)
    }

    /// Applies a response. If it is one of many pages, its commit may be shared
    /// with those that follow.
    fn apply(
        &mut self,
        now_ms: i64,
        id: RequestId,
        request: &SyncRequest,
        response: SyncResponse,
    ) -> Result<(), Error> {
        let rows = batch::rows(&response);
        let shares = batch::is_midway(&response) && !self.waiters.iter().any(Waiter::is_a_page);
        let replica = &mut self.replica;
        let applied = self.shared.db.write(|local| {
            if shares {
                local.share_commits();
            }
            replica.handle_response(now_ms, id, response, local)
        });
        for waiter in &mut self.waiters {
            waiter.answered(request);
        }
        self.batch.add(now_ms, rows);
        if !shares || applied.is_err() || self.batch.is_full() {
            self.commit()?;
            self.publish();
        }
        if !shares {
            self.batch = Batch::default();
        }
        match applied {
            Ok(()) => Ok(()),
            Err(error) => self.database_failed(error.into()),
        }
    }

    /// Commits what waits for it; an error ends the engine.
    fn commit(&mut self) -> Result<(), Error> {
        if !self.batch.is_open() {
            return Ok(());
        }
        self.batch.end();
        let committed = self.shared.db.write(SqliteLocal::commit_shared);
        // The replica asks from what is stored: what was undone is asked again.
        committed.or_else(|error| self.database_failed(error.into()))
    }

    /// Those who waited for a request that was sent after they asked are told.
    /// One that was sent before is not theirs: they get a try of their own.
    fn fail_waiters(&mut self, number: u64, error: &Error) {
        let mut earlier = false;
        for waiter in std::mem::take(&mut self.waiters) {
            if number >= waiter.first_request {
                waiter.refuse(error.clone());
            } else {
                earlier = true;
                self.waiters.push(waiter);
            }
        }
        if earlier {
            self.replica.sync();
        }
    }

    /// The database could not read or write: everyone who waits is told, and
    /// the engine pauses. Only a closed database ends it.
    fn database_failed(&mut self, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Closed) {
            return Err(error);
        }
        let is_corrupt = matches!(&error, Error::Database(fault) if fault.is_corrupt());
        if is_corrupt && self.may_replace(self.shared.db.era()) {
            let replaced = self.replace_database();
            return replaced.or_else(|error| self.database_failed(error));
        }
        let now_ms = self.shared.driver.clock.now_ms();
        self.paused_until_ms = now_ms.saturating_add(DATABASE_PAUSE_MS);
        self.shared.hub.happened(&Event::Failed(error.clone()));
        for waiter in self.waiters.drain(..) {
            waiter.refuse(error.clone());
        }
        Ok(())
    }

    /// Whether a damaged file is still there, and may be replaced: a disk that
    /// damages whatever it is given is not filled with it.
    fn may_replace(&self, era: u64) -> bool {
        era == self.shared.db.era() && era < REPLACEMENTS_MAX
    }

    /// The database's file is damaged: it is moved aside, and a fresh one is
    /// filled. Those who wait go on waiting.
    fn replace_database(&mut self) -> Result<(), Error> {
        let storage = Arc::clone(&self.shared.driver.storage);
        let aside = self.shared.db.replace(&*storage)?;
        self.batch = Batch::default();
        self.checkpointed = 0;
        self.publish();
        let hub = &self.shared.hub;
        hub.happened(&Event::Replaced {
            aside: aside.clone(),
        });
        self.replaced = Some(aside);
        for (list, phase) in &mut self.phases {
            self.replica.release(list);
            self.replica.hold(list);
            self.auditor.forget(list);
            *phase = Phase::Syncing;
            hub.rows_changed(list, &Changes::Many, false);
            self.beginning.insert(list.clone());
            hub.status_changed(list);
        }
        Ok(())
    }

    /// Tells what happened, once it is committed.
    fn tell(&mut self) {
        if !self.batch.is_open() {
            self.publish();
            self.settle();
        }
    }

    /// Tells those who wait for what has come about, and forgets those who no
    /// longer wait.
    fn settle(&mut self) {
        for mut waiter in std::mem::take(&mut self.waiters) {
            if waiter.gave_up() {
                continue;
            }
            if waiter.is_done(&self.replica) {
                let replaced = match waiter.is_reported() {
                    true => self.replaced.take(),
                    false => None,
                };
                waiter.report(&self.phases, self.work, replaced);
            } else {
                self.waiters.push(waiter);
            }
        }
    }

    /// Looks at a few rows of a list whose turn it is. Only while the app has
    /// started the background: it is work that nobody waits for.
    fn audit(&mut self, now_ms: i64) -> Result<(), Error> {
        if self.background.is_none() || self.batch.is_open() || now_ms < self.paused_until_ms {
            return Ok(());
        }
        while let Some(list) = self.auditor.next_to_learn() {
            let last_ms = self
                .shared
                .db
                .write(|local| local.audited_by(&list, now_ms))?;
            self.auditor.learn(list, last_ms);
        }
        let Some(list) = self.auditor.turn(now_ms) else {
            return Ok(());
        };
        if self.phases.get(&list) != Some(&Phase::InSync) {
            // It comes again when it is in sync.
            self.auditor.forget(&list);
            return Ok(());
        }
        let replica = &mut self.replica;
        let audited = self
            .shared
            .db
            .write(|local| replica.audit(now_ms, &list, STEP_ROWS, local))?;
        match audited {
            Audited::More => self.auditor.went_on(now_ms),
            Audited::Sound => self.auditor.ended(list, now_ms),
            Audited::Faulty => {
                self.auditor.ended(list.clone(), now_ms);
                self.shared.hub.happened(&Event::Damaged { list });
            }
        }
        Ok(())
    }

    /// With nothing else to do, the database's log is moved, so that no commit
    /// has to.
    fn tidy_up(&mut self) -> Result<(), Error> {
        let is_busy = self.may_speak() && !self.replica.is_idle();
        if !self.in_flight.is_empty() || self.batch.is_open() || is_busy {
            return Ok(());
        }
        let checkpointed = self.checkpointed;
        let tidied = self.shared.db.write(|local| {
            let written = local.rows_written();
            if written - checkpointed >= CHECKPOINT_ROWS {
                local.checkpoint()?;
                return Ok(written);
            }
            Ok(checkpointed)
        });
        match tidied {
            Ok(written) => {
                self.checkpointed = written;
                Ok(())
            }
            Err(error) => self.database_failed(error.into()),
        }
    }

    /// After long silence the server is asked, whatever happened.
    fn keep_in_touch(&mut self, now_ms: i64) {
        if let Some(background) = &mut self.background
            && background.is_due(now_ms)
        {
            background.begin_silence(now_ms);
            self.replica.sync();
        }
    }

    fn sleep_ms(&self, now_ms: i64) -> Option<u64> {
        if !self.may_speak() {
            return self.batch.ends_at_ms().map(|_| SLEEP_MS_MIN.unsigned_abs());
        }
        let retry = match self.in_flight.len() {
            REQUESTS_MAX => None,
            _ => self.replica.poll_timeout(),
        };
        let retry = retry.map(|at| at.max(self.paused_until_ms));
        let silence = self.background.as_ref().map(Background::next_ms);
        let batch = self.batch.ends_at_ms();
        let audit = self
            .background
            .as_ref()
            .and_then(|_| self.auditor.next_ms());
        let audit = audit.map(|at| at.max(self.paused_until_ms));
        let times = [retry, silence, batch, audit];
        let at_ms = times.into_iter().flatten().min()?;
        let sleep_ms = at_ms
            .saturating_sub(now_ms)
            .clamp(SLEEP_MS_MIN, SLEEP_MS_MAX);
        u64::try_from(sleep_ms).ok()
    }
}

/// Random bits from the standard library's hasher keys: enough to keep devices
/// apart, on every platform.
pub(crate) fn random_u64() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}
