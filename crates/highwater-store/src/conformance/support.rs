//! What the suite is written with: names, a write as a list of steps, whole
//! reads, and a seeded generator.

use crate::store::{JobId, Store, StoreError};
use crate::write::{Abort, Committed, Write, WriteError, WriteTxn};
use bytes::Bytes;
use highwater_core::reads::{Change, Item, ListState, PageLimit, Payloads, Reads};
use highwater_core::{Effect, Head};
use highwater_protocol::{ItemId, Lineage, ListKey, OrderKey, Rank, Version};

/// Wide enough for any list of the suite.
pub const NO_LIMIT: PageLimit = PageLimit {
    rows: usize::MAX,
    bytes: usize::MAX,
};

/// A moment, in milliseconds since 1970, that most writes of the suite bear.
pub const NOW: i64 = 1_700_000_000_000;

/// The list `members/owner`.
#[must_use]
pub fn members(owner: &str) -> ListKey {
    ListKey::new("members", owner).unwrap()
}

/// An id, or the header's.
#[must_use]
pub fn id(id: &str) -> ItemId {
    ItemId::new_or_header(id).unwrap()
}

/// A rank.
#[must_use]
pub fn rank(bytes: &[u8]) -> Rank {
    Rank::new(bytes.to_vec()).unwrap()
}

/// One call of a transaction.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the method of `WriteTxn` of its name")]
pub enum Step {
    State(ListKey),
    Item(ListKey, ItemId),
    Scan(ListKey, Option<OrderKey>, usize),
    Put(ListKey, ItemId, Rank, Bytes),
    Delete(ListKey, ItemId),
    End(ListKey),
    Remains(ListKey, Lineage, usize),
    Discard(ListKey, Lineage, Vec<ItemId>),
    Recount(ListKey),
    Enqueue(Bytes),
    Complete(JobId),
    /// The rules forbid the write.
    Refuse,
    /// The work is at fault.
    Panic,
    /// The work waits for something that is not its transaction.
    Wait,
}

/// What a step answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what the step of its name returns")]
pub enum Outcome {
    State(ListState),
    Item(Option<Item>),
    Items(Vec<Item>),
    Effect(Effect),
    Ended(Option<Lineage>),
    Recounted(Option<Head>),
    Job(JobId),
    Nothing,
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// How a [`Script`] ends.
pub type Written = Result<Committed<Vec<Outcome>>, WriteError<Refused>>;

/// A write that takes its steps one after the other.
#[derive(Clone, Debug)]
pub struct Script {
    /// The declared lists.
    pub lists: Vec<ListKey>,
    /// What it does.
    pub steps: Vec<Step>,
}

impl Script {
    /// Declares the lists that the steps name.
    #[must_use]
    pub fn new(steps: Vec<Step>) -> Self {
        let mut lists: Vec<ListKey> = steps.iter().filter_map(Step::list).cloned().collect();
        lists.sort();
        lists.dedup();
        Self { lists, steps }
    }
}

impl Step {
    /// The list that the step is about.
    #[must_use]
    pub fn list(&self) -> Option<&ListKey> {
        match self {
            Self::State(list)
            | Self::Item(list, _)
            | Self::Scan(list, _, _)
            | Self::Put(list, _, _, _)
            | Self::Delete(list, _)
            | Self::End(list)
            | Self::Remains(list, _, _)
            | Self::Discard(list, _, _)
            | Self::Recount(list) => Some(list),
            Self::Enqueue(_) | Self::Complete(_) | Self::Refuse | Self::Panic | Self::Wait => None,
        }
    }

    async fn take<T: WriteTxn>(self, txn: &mut T) -> Result<Outcome, Abort<Refused>> {
        Ok(match self {
            Self::State(list) => Outcome::State(txn.state(&list).await?),
            Self::Item(list, id) => Outcome::Item(txn.item(&list, &id).await?),
            Self::Scan(list, after, limit) => {
                Outcome::Items(txn.scan(&list, after.as_ref(), limit).await?)
            }
            Self::Put(list, id, rank, payload) => {
                Outcome::Effect(txn.put(&list, &id, rank, payload).await?)
            }
            Self::Delete(list, id) => Outcome::Effect(txn.delete(&list, &id).await?),
            Self::End(list) => Outcome::Ended(txn.end(&list).await?),
            Self::Remains(list, ended, limit) => {
                Outcome::Items(txn.remains(&list, ended, limit).await?)
            }
            Self::Discard(list, ended, ids) => {
                txn.discard(&list, ended, &ids).await?;
                Outcome::Nothing
            }
            Self::Recount(list) => Outcome::Recounted(txn.recount(&list).await?),
            Self::Enqueue(payload) => Outcome::Job(txn.enqueue(payload).await?),
            Self::Complete(job) => {
                txn.complete(job).await?;
                Outcome::Nothing
            }
            Self::Refuse => return Err(Abort::Refused(Refused)),
            Self::Panic => panic!("a step of the suite panics"),
            Self::Wait => std::future::pending().await,
        })
    }
}

impl Write for Script {
    type Output = Vec<Outcome>;
    type Refusal = Refused;

    fn lists(&self) -> Vec<ListKey> {
        self.lists.clone()
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<Vec<Outcome>, Abort<Refused>> {
        let mut outcomes = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            outcomes.push(step.clone().take(txn).await?);
        }
        Ok(outcomes)
    }
}

/// Puts an element whose rank and payload are text.
#[must_use]
pub fn put(list: &ListKey, item: &str, place: &str, payload: &str) -> Step {
    Step::Put(
        list.clone(),
        id(item),
        rank(place.as_bytes()),
        Bytes::copy_from_slice(payload.as_bytes()),
    )
}

/// Deletes an element.
#[must_use]
pub fn delete(list: &ListKey, item: &str) -> Step {
    Step::Delete(list.clone(), id(item))
}

/// Runs the steps as one write that must be committed.
pub async fn write<S: Store>(store: &S, steps: Vec<Step>) -> Committed<Vec<Outcome>> {
    write_at(store, NOW, steps).await
}

/// The same, at a moment.
pub async fn write_at<S: Store>(
    store: &S,
    now_ms: i64,
    steps: Vec<Step>,
) -> Committed<Vec<Outcome>> {
    match store.write(now_ms, Script::new(steps.clone())).await {
        Ok(committed) => committed,
        Err(error) => panic!("{steps:?}: {error:?}"),
    }
}

/// A snapshot for any list.
pub async fn snapshot<S: Store>(store: &S) -> S::Snapshot {
    store.snapshot(&[]).await.unwrap()
}

/// The state of a list now.
pub async fn state<S: Store>(store: &S, list: &ListKey) -> ListState {
    let snapshot = store.snapshot(std::slice::from_ref(list)).await.unwrap();
    snapshot.state(list).await.unwrap()
}

/// The head of a list that must be live.
pub async fn head<S: Store>(store: &S, list: &ListKey) -> Head {
    match state(store, list).await {
        ListState::Live(head) => head,
        other => panic!("{list} is {other:?}"),
    }
}

/// The lineage of a list that must be live.
pub async fn lineage<S: Store>(store: &S, list: &ListKey) -> Lineage {
    head(store, list).await.lineage
}

/// All elements of a list in its order, read in one page.
pub async fn all_items<R: Reads<Error = StoreError>>(reads: &R, list: &ListKey) -> Vec<Item> {
    let read = reads
        .scan(list, Version::new(u64::MAX), None, Payloads::All, NO_LIMIT)
        .await
        .unwrap();
    assert_eq!(read.next, None, "the only page ends the list");
    read.rows
}

/// All changes of a list, read in one page.
pub async fn all_changes<R: Reads<Error = StoreError>>(reads: &R, list: &ListKey) -> Vec<Change> {
    let read = reads.changes(list, Version::ZERO, NO_LIMIT).await.unwrap();
    assert!(!read.more, "the only page is the last");
    read.rows
}

/// The place of an element.
#[must_use]
pub fn place(item: &Item) -> OrderKey {
    OrderKey::new(item.rank.clone(), item.id.clone())
}

/// A small seeded generator (SplitMix64: Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator for `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next_u64() % end as u64).unwrap()
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Prints the seed if the test fails while it lives.
pub struct SeedNote(pub u64);

impl Drop for SeedNote {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with HIGHWATER_SEED={}", self.0);
        }
    }
}

/// `HIGHWATER_SEED` alone, if it is set; else the first `count` seeds.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "a failed test is replayed from the shell"
)]
pub fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("HIGHWATER_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..count).collect(),
    }
}
