//! What surrounds every write of a request: in one transaction with the write
//! itself, a precondition on an item, the memory of answers that were given
//! before, and a record of what changed.
//!
//! A write that comes without either header costs what it costs alone: the record
//! is made of what the write puts and deletes, and of heads that the transaction
//! has in memory.

mod answers;
mod recorder;

pub(crate) use answers::purge_answers;
pub use recorder::{Elements, ListChange};

use super::group::Stop;
use super::{Actor, UserId};
use answers::Kept;
use highwater_protocol::{Code, ItemId, ListKey, Refusal, Stamp};
use highwater_store::{Abort, Write, WriteTxn};
use recorder::Recorder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

/// Bytes of an idempotency key.
const KEY_BYTES: usize = 128;

/// What a request says about its write, beside the write itself.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// The request may come again, and is then answered as it was.
    pub idempotency: Option<Idempotency>,
    /// The item that it is about has to stand as its sender knows it.
    pub precondition: Option<Precondition>,
}

/// A request that may come again.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The sender's list of answers.
    answers: ListKey,
    /// Hash of who sends it and of its key.
    key: [u8; 32],
    /// Hash of what it says.
    request: [u8; 32],
}

/// The item has to be there, and as its reader knows it.
#[derive(Clone, Debug)]
pub struct Precondition {
    /// Of which list.
    pub list: ListKey,
    /// Which item.
    pub item: ItemId,
    /// The content that is accepted; `None`: any.
    pub stamps: Option<Vec<Stamp>>,
}

/// What a write did.
#[derive(Clone, Debug)]
pub(super) struct Done<T> {
    /// What it answers.
    pub(super) output: T,
    /// What it changed, by list.
    pub(super) changes: Vec<ListChange>,
    /// Work was queued: the worker may be woken.
    pub(super) queued: bool,
    /// Nothing was done now: this is the first answer, again.
    pub(super) replayed: bool,
}

impl Idempotency {
    /// The request of `subject` that has this key.
    ///
    /// # Errors
    /// A key that is not of 1 to 128 printable ASCII characters, at field
    /// `idempotency-key`.
    pub fn new(
        actor: &Actor,
        subject: &UserId,
        key: &str,
        request: &[&[u8]],
    ) -> Result<Self, Refusal> {
        const FIELD: &str = "idempotency-key";
        if key.len() > KEY_BYTES {
            return Err(Refusal::too_large(FIELD, key.len(), KEY_BYTES));
        }
        if key.is_empty() || !key.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            let message = "a key is made of 1 to 128 printable ASCII characters";
            return Err(Refusal::invalid(FIELD, message));
        }
        // A user and a service of the same name are two.
        let role: &[u8] = match actor {
            Actor::User(_) => b"user",
            Actor::Service => b"service",
        };
        Ok(Self {
            answers: answers::of(subject),
            key: hash(&[role, key.as_bytes()]),
            request: hash(request),
        })
    }
}

/// SHA-256 over parts, each preceded by its length.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// A write with what surrounds it.
#[derive(Debug)]
pub(super) struct Transaction<W> {
    pub(super) write: W,
    pub(super) conditions: Conditions,
    /// Which of the request's transactions it is.
    pub(super) part: u32,
    /// Milliseconds since 1970.
    pub(super) at_ms: i64,
}

impl<W> Write for Transaction<W>
where
    W: Write<Refusal = Refusal>,
    W::Output: Serialize + DeserializeOwned + Sync,
{
    type Output = Done<W::Output>;
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        let mut lists = self.write.lists();
        lists.extend(
            self.conditions
                .idempotency
                .as_ref()
                .map(|once| once.answers.clone()),
        );
        lists.extend(
            self.conditions
                .precondition
                .as_ref()
                .map(|only| only.list.clone()),
        );
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<Self::Output, Stop> {
        let kept = match &self.conditions.idempotency {
            Some(once) => answers::find(txn, once, self.part, self.at_ms).await?,
            None => None,
        };
        if let Some(kept) = kept {
            return Ok(Done {
                output: kept.output()?,
                changes: kept.changes()?,
                queued: false,
                replayed: true,
            });
        }
        let stands = match &self.conditions.precondition {
            Some(only) => only.holds(txn).await?,
            None => true,
        };
        let mut recorder = Recorder::new(txn);
        // What the rules say against it comes first: they know who may learn
        // what about the item.
        let output = self.write.run(&mut recorder).await?;
        if !stands {
            let message = "the item is not as `if-match` says: read it, and decide again";
            let no = Refusal::new(Code::PreconditionFailed, message);
            return Err(Abort::Refused(no.at("if-match")));
        }
        let queued = recorder.queued();
        let changes = recorder.finish().await?;
        if let Some(once) = &self.conditions.idempotency {
            let kept = Kept::new(once, self.at_ms, &output, &changes);
            answers::keep(txn, once, self.part, &kept).await?;
        }
        Ok(Done {
            output,
            changes,
            queued,
            replayed: false,
        })
    }
}

/// A write whose changes are recorded, and that can do without the rest: one that
/// does nothing when it comes again.
#[derive(Debug)]
pub(super) struct Recorded<W>(pub(super) W);

impl<W: Write<Refusal = Refusal>> Write for Recorded<W> {
    type Output = Done<W::Output>;
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        self.0.lists()
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<Self::Output, Stop> {
        let mut recorder = Recorder::new(txn);
        let output = self.0.run(&mut recorder).await?;
        let queued = recorder.queued();
        Ok(Done {
            output,
            changes: recorder.finish().await?,
            queued,
            replayed: false,
        })
    }
}

impl Precondition {
    async fn holds<T: WriteTxn>(&self, txn: &mut T) -> Result<bool, Stop> {
        let item = txn.item(&self.list, &self.item).await?;
        Ok(match (item, &self.stamps) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(item), Some(stamps)) => stamps.contains(&item.stamp),
        })
    }
}
