//! The memory of answers: `answers/<subject>` holds, for each of a subject's
//! idempotency keys and each transaction of its request, what was answered.
//!
//! It is a list like any other, written in the transaction whose answer it
//! holds, and no reader ever sees it. Its order is that of time, so that what is
//! old stands first.

use super::{Idempotency, ListChange};
use crate::domain::UserId;
use crate::domain::group::Stop;
use bytes::Bytes;
use highwater_core::reads::{ListState, PageLimit, Payloads, Reads as _};
use highwater_protocol::message::{Head, Row};
use highwater_protocol::{Code, ItemId, Kind, Lineage, ListKey, Rank, Refusal, Version, wire};
use highwater_store::{Abort, Store, StoreError, Write, WriteError, WriteTxn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// How long an answer is kept, in milliseconds: a day.
const ANSWER_AGE_MS: i64 = 24 * 60 * 60 * 1_000;
/// Answers that are kept for one subject; the oldest make room.
const ANSWERS_PER_SUBJECT: u64 = 10_000;
/// Answers that one step of a purge drops.
const PURGED_PER_STEP: usize = 250;
/// Lists that a purge looks at together.
const LISTS_PER_READ: usize = 256;

const KIND: &str = "answers";
/// Stands before every list of answers, and after all of an earlier kind.
const BEFORE_ALL: (&str, &str) = ("answerrzz", "0");

static ANSWERS: LazyLock<Kind> = LazyLock::new(|| {
    Kind::new(KIND).unwrap_or_else(|no| unreachable!("a built-in kind is well-formed: {no}"))
});

/// Where a subject's answers are kept.
pub(super) fn of(subject: &UserId) -> ListKey {
    ListKey {
        kind: ANSWERS.clone(),
        owner: subject.as_owner().clone(),
    }
}

/// An answer, as it is stored.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Kept {
    /// Hash of the request.
    #[prost(bytes = "bytes", tag = "1")]
    request: Bytes,
    #[prost(int64, tag = "2")]
    at_ms: i64,
    /// What the write answered, as JSON.
    #[prost(bytes = "bytes", tag = "3")]
    output: Bytes,
    #[prost(message, repeated, tag = "4")]
    changes: Vec<KeptChange>,
}

/// A [`ListChange`], as it is stored.
#[derive(Clone, PartialEq, prost::Message)]
struct KeptChange {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    owner: String,
    #[prost(fixed64, tag = "3")]
    lineage: u64,
    #[prost(uint64, tag = "4")]
    from: u64,
    #[prost(message, optional, tag = "5")]
    head: Option<wire::Head>,
    #[prost(message, optional, tag = "6")]
    elements: Option<KeptElements>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeptElements {
    #[prost(message, repeated, tag = "1")]
    rows: Vec<wire::Row>,
    #[prost(string, repeated, tag = "2")]
    deleted: Vec<String>,
}

impl Kept {
    pub(super) fn new<T: Serialize>(
        once: &Idempotency,
        at_ms: i64,
        output: &T,
        changes: &[ListChange],
    ) -> Self {
        let output = serde_json::to_vec(output)
            .unwrap_or_else(|error| unreachable!("an output is always JSON: {error}"));
        Self {
            request: Bytes::copy_from_slice(&once.request),
            at_ms,
            output: output.into(),
            changes: changes.iter().map(KeptChange::from).collect(),
        }
    }

    pub(super) fn output<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_slice(&self.output).map_err(|error| unreadable(&error))
    }

    pub(super) fn changes(self) -> Result<Vec<ListChange>, StoreError> {
        let changes = self.changes.into_iter().map(ListChange::try_from);
        changes
            .collect::<Result<_, _>>()
            .map_err(|no| unreadable(&no))
    }
}

fn unreadable(why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("an answer that was kept cannot be read: {why}"))
}

impl From<&ListChange> for KeptChange {
    fn from(change: &ListChange) -> Self {
        Self {
            kind: change.list.kind.to_string(),
            owner: change.list.owner.to_string(),
            lineage: change.lineage.get(),
            from: change.from.get(),
            head: change.head.map(wire::Head::from),
            elements: change.elements.as_ref().map(|elements| KeptElements {
                rows: elements.rows.iter().cloned().map(wire::Row::from).collect(),
                deleted: elements.deleted.iter().map(ItemId::to_string).collect(),
            }),
        }
    }
}

impl TryFrom<KeptChange> for ListChange {
    type Error = Refusal;

    fn try_from(kept: KeptChange) -> Result<Self, Refusal> {
        let elements = |kept: KeptElements| {
            let rows = kept.rows.into_iter().map(Row::try_from);
            let deleted = kept.deleted.iter().map(|id| ItemId::new_or_header(id));
            Ok::<_, Refusal>(super::Elements {
                rows: rows.collect::<Result<_, _>>()?,
                deleted: deleted.collect::<Result<_, _>>()?,
            })
        };
        Ok(Self {
            list: ListKey::new(&kept.kind, &kept.owner)?,
            lineage: Lineage::parse(kept.lineage)?,
            from: Version::new(kept.from),
            head: kept.head.map(Head::try_from).transpose()?,
            elements: kept.elements.map(elements).transpose()?,
        })
    }
}

/// The item that holds the answer of one of a request's transactions.
fn item_of(once: &Idempotency, part: u32) -> ItemId {
    let mut id = String::with_capacity(80);
    for byte in &once.key {
        let _ = write!(id, "{byte:02x}");
    }
    let _ = write!(id, ".{part}");
    ItemId::new(&id).unwrap_or_else(|no| unreachable!("a hash and a number are short: {no}"))
}

/// By time.
fn rank_of(at_ms: i64) -> Rank {
    let since_1970 = u64::try_from(at_ms).unwrap_or(0);
    Rank::new(since_1970.to_be_bytes().to_vec())
        .unwrap_or_else(|no| unreachable!("a rank of eight bytes is short: {no}"))
}

/// The answer that was given before, if it is not too old.
///
/// Refused with `idempotency_mismatch` if it was another request's.
pub(super) async fn find<T: WriteTxn>(
    txn: &mut T,
    once: &Idempotency,
    part: u32,
    now_ms: i64,
) -> Result<Option<Kept>, Stop> {
    let Some(item) = txn.item(&once.answers, &item_of(once, part)).await? else {
        return Ok(None);
    };
    let kept =
        <Kept as prost::Message>::decode(item.payload).map_err(|error| unreadable(&error))?;
    if now_ms.saturating_sub(kept.at_ms) >= ANSWER_AGE_MS {
        return Ok(None);
    }
    if kept.request.as_ref() != once.request {
        let message = "this key came before with another request: take a new key for a new request";
        let no = Refusal::new(Code::IdempotencyMismatch, message);
        return Err(Abort::Refused(no.at("idempotency-key")));
    }
    Ok(Some(kept))
}

/// Keeps an answer, and lets go of the oldest where there are too many.
pub(super) async fn keep<T: WriteTxn>(
    txn: &mut T,
    once: &Idempotency,
    part: u32,
    kept: &Kept,
) -> Result<(), Stop> {
    let payload = prost::Message::encode_to_vec(kept).into();
    let (list, id) = (&once.answers, item_of(once, part));
    txn.put(list, &id, rank_of(kept.at_ms), payload).await?;
    if let ListState::Live(head) = txn.state(list).await?
        && head.count > ANSWERS_PER_SUBJECT
    {
        for item in txn.scan(list, None, 2).await? {
            txn.delete(list, &item.id).await?;
        }
    }
    Ok(())
}

/// Drops what is too old, in steps that other writes may come between. Returns
/// how many answers went.
pub(crate) async fn purge_answers<S: Store>(store: &S, now_ms: i64) -> Result<u64, StoreError> {
    let Some(until_ms) = now_ms.checked_sub(ANSWER_AGE_MS) else {
        return Ok(0);
    };
    let (kind, owner) = BEFORE_ALL;
    let mut after = ListKey::new(kind, owner)
        .unwrap_or_else(|no| unreachable!("a built-in name is well-formed: {no}"));
    let mut gone = 0;
    loop {
        let lines = store.lists(Some(&after), LISTS_PER_READ).await?;
        let Some(last) = lines.last() else {
            return Ok(gone);
        };
        after = last.list.clone();
        for line in lines {
            if line.list.kind != *ANSWERS {
                return Ok(gone);
            }
            while has_old(store, &line.list, until_ms).await? {
                let step = Purge {
                    list: line.list.clone(),
                    until_ms,
                };
                gone += match store.write(now_ms, step).await {
                    Ok(committed) => committed.output,
                    Err(WriteError::NotCommitted(error) | WriteError::Unknown(error)) => {
                        return Err(error);
                    }
                    Err(WriteError::Refused(never)) => match never {},
                };
            }
        }
    }
}

/// Whether the oldest answer of a list is too old: without a write.
async fn has_old<S: Store>(store: &S, list: &ListKey, until_ms: i64) -> Result<bool, StoreError> {
    let snapshot = store.snapshot(std::slice::from_ref(list)).await?;
    let ListState::Live(head) = snapshot.state(list).await? else {
        return Ok(false);
    };
    let limit = PageLimit { rows: 1, bytes: 1 };
    let first = snapshot.scan(list, head.version, None, Payloads::First(0), limit);
    let first = first.await?;
    Ok(first
        .rows
        .first()
        .is_some_and(|item| item.rank <= rank_of(until_ms)))
}

/// One step of a purge.
struct Purge {
    list: ListKey,
    until_ms: i64,
}

impl Write for Purge {
    /// How many answers went.
    type Output = u64;
    type Refusal = Infallible;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.list.clone()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<u64, Abort<Infallible>> {
        let oldest = txn.scan(&self.list, None, PURGED_PER_STEP).await?;
        let until = rank_of(self.until_ms);
        let mut gone = 0;
        for item in oldest.into_iter().take_while(|item| item.rank <= until) {
            txn.delete(&self.list, &item.id).await?;
            gone += 1;
        }
        Ok(gone)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use highwater_store::memory::MemoryStore;

    fn once(at: u64) -> Idempotency {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&at.to_be_bytes());
        Idempotency {
            answers: of(&UserId::new("u").unwrap()),
            key,
            request: [1; 32],
        }
    }

    /// Keeps the answers to these requests, each a millisecond after that before.
    struct Answered(std::ops::Range<u64>);

    impl Write for Answered {
        type Output = ();
        type Refusal = Refusal;

        fn lists(&self) -> Vec<ListKey> {
            vec![once(0).answers]
        }

        async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
            for at in self.0.clone() {
                let (once, at_ms) = (once(at), i64::try_from(at).unwrap());
                keep(txn, &once, 0, &Kept::new(&once, at_ms, &at, &[])).await?;
            }
            Ok(())
        }
    }

    /// Which of the answers to these requests are found.
    struct Found(Vec<u64>);

    impl Write for Found {
        type Output = Vec<u64>;
        type Refusal = Refusal;

        fn lists(&self) -> Vec<ListKey> {
            vec![once(0).answers]
        }

        async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<Vec<u64>, Stop> {
            let mut found = Vec::new();
            for &at in &self.0 {
                if let Some(kept) = find(txn, &once(at), 0, 0).await? {
                    assert_eq!(kept.output::<u64>()?, at);
                    found.push(at);
                }
            }
            Ok(found)
        }
    }

    #[tokio::test]
    async fn of_one_subjects_answers_the_newest_ten_thousand_are_kept() {
        let store = MemoryStore::new([7; 16]);
        let count = async || {
            let list = once(0).answers;
            let snapshot = store.snapshot(std::slice::from_ref(&list)).await.unwrap();
            match snapshot.state(&list).await.unwrap() {
                ListState::Live(head) => head.count,
                state => panic!("{state:?}"),
            }
        };
        let ask = async |asked: Vec<u64>| store.write(0, Found(asked)).await.unwrap().output;
        let full = ANSWERS_PER_SUBJECT;
        store.write(0, Answered(0..full)).await.unwrap();
        assert_eq!(count().await, full);
        assert_eq!(ask(vec![0, 1, full - 1]).await, [0, 1, full - 1]);
        // One more makes room for itself and for the next, at the oldest's cost.
        store.write(0, Answered(full..full + 1)).await.unwrap();
        assert_eq!(count().await, full - 1);
        assert_eq!(ask(vec![0, 1, 2, full]).await, [2, full]);
        store.write(0, Answered(full + 1..full + 2)).await.unwrap();
        assert_eq!(count().await, full);
        // And however many come, there are never more.
        for at in (full + 2..full + 100).step_by(7) {
            store.write(0, Answered(at..at + 7)).await.unwrap();
            assert!(count().await <= full);
            assert_eq!(ask(vec![0, at + 6]).await, [at + 6]);
        }
    }
}
