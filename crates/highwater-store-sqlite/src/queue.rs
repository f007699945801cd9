//! Writes on their way to the writer's thread and back.

use crate::txn::SqliteTxn;
use highwater_core::reads::ListState;
use highwater_protocol::ListKey;
use highwater_store::drive::drive;
use highwater_store::{Abort, Committed, StoreError, Tick, Write, WriteError};
use tokio::sync::oneshot;

/// How a transaction ended for one of its writes.
pub(crate) enum End {
    /// It is durable, and changed these lists.
    Committed(Vec<(ListKey, ListState)>, Tick),
    /// It did not happen.
    NotCommitted(StoreError),
    /// Nobody knows.
    Unknown(StoreError),
}

/// A write that waits, whatever it answers.
pub(crate) trait Queued: Send {
    /// The moment that it bears, in milliseconds since 1970.
    fn now_ms(&self) -> i64;

    /// The lists that it declares.
    fn lists(&self) -> Vec<ListKey>;

    /// Does the work; false if it must be undone. May be called again, after
    /// what it did was undone.
    fn run(&mut self, txn: &mut SqliteTxn<'_>) -> bool;

    /// Answers. A write whose work failed answers why, however its transaction
    /// ended.
    fn answer(self: Box<Self>, end: End);
}

/// How a write of `W` ends.
pub(crate) type Ended<W> =
    Result<Committed<<W as Write>::Output>, WriteError<<W as Write>::Refusal>>;

/// A write of the trait, and who waits for it.
pub(crate) struct Waiting<W: Write> {
    now_ms: i64,
    work: W,
    done: Option<Result<W::Output, WriteError<W::Refusal>>>,
    reply: oneshot::Sender<Ended<W>>,
}

impl<W: Write> Waiting<W> {
    /// The write, and where its end is told.
    pub(crate) fn new(now_ms: i64, work: W) -> (Self, oneshot::Receiver<Ended<W>>) {
        let (reply, told) = oneshot::channel();
        let waiting = Self {
            now_ms,
            work,
            done: None,
            reply,
        };
        (waiting, told)
    }
}

impl<W: Write> Queued for Waiting<W> {
    fn now_ms(&self) -> i64 {
        self.now_ms
    }

    fn lists(&self) -> Vec<ListKey> {
        self.work.lists()
    }

    fn run(&mut self, txn: &mut SqliteTxn<'_>) -> bool {
        let done = match drive(self.work.run(txn)) {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(Abort::Refused(refusal))) => Err(WriteError::Refused(refusal)),
            Ok(Err(Abort::Store(error))) | Err(error) => Err(WriteError::NotCommitted(error)),
        };
        self.done.insert(done).is_ok()
    }

    fn answer(self: Box<Self>, end: End) {
        let ended = match (self.done, end) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(output)), End::Committed(states, tick)) => Ok(Committed {
                output,
                states,
                tick,
            }),
            (None, End::Committed(..)) => unreachable!("what is committed was run"),
            (_, End::NotCommitted(error)) => Err(WriteError::NotCommitted(error)),
            (_, End::Unknown(error)) => Err(WriteError::Unknown(error)),
        };
        // Whoever asked may have gone: the write is not undone for that.
        drop(self.reply.send(ended));
    }
}
