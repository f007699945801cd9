//! A server to ask: the real answer over the in-memory store, and the sketches
//! that it offers.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use highwater_core::Head;
use highwater_core::answer::{Access, Budget, Sketches, answer};
use highwater_core::reads::{Item, ListState, PageLimit, Payloads, Reads};
use highwater_core::sketch::{Encoding, Salt};
use highwater_protocol::message::{SketchId, SyncRequest, SyncResponse};
use highwater_protocol::{ItemId, ListKey, Rank, Version};
use highwater_store::memory::{MemoryBackup, MemoryStore};
use highwater_store::{Abort, PurgePolicy, Store, Write, WriteTxn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Runs a future that never waits.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the in-memory store never waits"),
    }
}

/// The lists of the world. The third is never written to.
pub(crate) fn lists() -> [ListKey; 3] {
    ["fuzz/a", "fuzz/b", "fuzz/never"].map(|list| {
        list.parse()
            .unwrap_or_else(|no| unreachable!("{list}: {no}"))
    })
}

/// An id out of 14, the header's among them.
pub(crate) fn id(u: &mut Unstructured<'_>) -> Result<ItemId> {
    let text = match u.int_in_range(0..=13u8)? {
        0 => String::new(),
        at => format!("item-{at}"),
    };
    Ok(ItemId::new_or_header(&text).unwrap_or_else(|no| unreachable!("{text}: {no}")))
}

/// A rank out of four that fits the id.
pub(crate) fn rank(u: &mut Unstructured<'_>, id: &ItemId) -> Result<Rank> {
    let bytes = match (id.is_header(), u.int_in_range(0..=3u8)?) {
        (true, _) => vec![],
        (false, at) => vec![b'a' + at],
    };
    Ok(Rank::new(bytes).unwrap_or_else(|no| unreachable!("{no}")))
}

/// Changes of lists, in one transaction.
struct Changes(Vec<(ListKey, Change)>);

enum Change {
    Put(ItemId, Rank, Bytes),
    Delete(ItemId),
    End,
}

impl Write for Changes {
    type Output = ();
    type Refusal = ();

    fn lists(&self) -> Vec<ListKey> {
        let mut lists: Vec<_> = self.0.iter().map(|(list, _)| list.clone()).collect();
        lists.sort();
        lists.dedup();
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> std::result::Result<(), Abort<()>> {
        for (list, change) in &self.0 {
            match change {
                Change::Put(id, rank, payload) => {
                    txn.put(list, id, rank.clone(), payload.clone()).await?;
                }
                Change::Delete(id) => drop(txn.delete(list, id).await?),
                Change::End => drop(txn.end(list).await?),
            }
        }
        Ok(())
    }
}

/// The sketches that were offered.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<(ListKey, Arc<Encoding>)>>);

impl Kept {
    pub(crate) fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// How many there are.
    pub(crate) fn made(&self) -> usize {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.len()
    }

    /// The newest sketch of a list.
    pub(crate) fn newest(&self, list: &ListKey) -> Option<Arc<Encoding>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().rev().find(|(of, _)| of == list);
        found.map(|(_, encoding)| Arc::clone(encoding))
    }
}

impl Sketches for Kept {
    async fn offer<R: Reads>(
        &self,
        reads: &R,
        list: &ListKey,
        head: &Head,
        _copy: Version,
    ) -> std::result::Result<Option<Arc<Encoding>>, R::Error> {
        let newest = self.newest(list);
        let made = match &newest {
            // An old one is offered as it is, now and then: lists of an odd count.
            Some(newest) if newest.point() == head.point() => return Ok(Some(Arc::clone(newest))),
            Some(newest) if newest.point().lineage == head.lineage && head.count % 2 == 1 => {
                return Ok(Some(Arc::clone(newest)));
            }
            Some(newest) => newest.refreshed(reads, list).await?,
            None => None,
        };
        let made = match made {
            Some(made) => Some(made),
            None => Encoding::of(reads, list, Salt(7)).await?,
        };
        let Some(made) = made.map(Arc::new) else {
            return Ok(None);
        };
        assert_eq!(made.digest(), head.digest, "the head is right");
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((list.clone(), Arc::clone(&made)));
        Ok(Some(made))
    }

    fn is_worth_it(&self, _head: &Head) -> bool {
        true
    }

    fn find(&self, list: &ListKey, id: &SketchId) -> Option<Arc<Encoding>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept
            .iter()
            .find(|(of, kept)| of == list && kept.id() == *id);
        found.map(|(_, kept)| Arc::clone(kept))
    }
}

/// The server.
pub(crate) struct Server {
    pub(crate) store: MemoryStore,
    pub(crate) sketches: Kept,
    backup: Option<MemoryBackup>,
    incarnation: u8,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            store: MemoryStore::new([1; 16]),
            sketches: Kept::default(),
            backup: None,
            incarnation: 1,
        }
    }

    /// Fills the lists with something.
    pub(crate) fn filled(u: &mut Unstructured<'_>) -> Result<Self> {
        let mut server = Self::new();
        for _ in 0..u.int_in_range(0..=6)? {
            server.go_on(u)?;
        }
        Ok(server)
    }

    /// Something happens to the server's content: mostly writes.
    pub(crate) fn go_on(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=15)? {
            0 => {
                let policy = PurgePolicy {
                    age_ms_max: i64::MAX,
                    per_list_max: 0,
                };
                now(self.store.purge(0, policy)).unwrap_or_else(|no| panic!("purge: {no}"));
            }
            1 => self.backup = Some(self.store.backup()),
            2 => {
                self.incarnation = self.incarnation.wrapping_add(1);
                match &self.backup {
                    Some(backup) => self.store.restore(backup, [self.incarnation; 16]),
                    None => self.store.reincarnate([self.incarnation; 16]),
                }
            }
            3 => self.sketches.forget(),
            _ => {
                let mut changes = Vec::new();
                for _ in 0..u.int_in_range(1..=8)? {
                    let [a, b, _] = lists();
                    let list = if u.arbitrary()? { a } else { b };
                    let id = id(u)?;
                    let change = match u.int_in_range(0..=9)? {
                        0 => Change::End,
                        1..=3 => Change::Delete(id),
                        _ => {
                            // What a reader without the right must not see.
                            let payload = format!("secret of {list}: {}", u.arbitrary::<u8>()?);
                            Change::Put(id.clone(), rank(u, &id)?, payload.into())
                        }
                    };
                    changes.push((list, change));
                }
                let written = now(self.store.write(0, Changes(changes)));
                assert!(written.is_ok(), "every change is allowed");
            }
        }
        Ok(())
    }

    /// The answer to a request, all of whose lists may be read.
    pub(crate) fn answer(&self, request: &SyncRequest) -> SyncResponse {
        let access = vec![Access::Read; request.lists.len()];
        self.answer_within(request, &access, Budget::with_page_rows(request.page_rows))
    }

    pub(crate) fn answer_within(
        &self,
        request: &SyncRequest,
        access: &[Access],
        budget: Budget,
    ) -> SyncResponse {
        let lists: Vec<ListKey> = request
            .lists
            .iter()
            .map(|asked| asked.list.clone())
            .collect();
        let snapshot =
            now(self.store.snapshot(&lists)).unwrap_or_else(|no| panic!("snapshot: {no}"));
        now(answer(&snapshot, &self.sketches, request, access, budget))
            .unwrap_or_else(|no| panic!("answer: {no}"))
    }

    pub(crate) fn state(&self, list: &ListKey) -> ListState {
        let snapshot = now(self.store.snapshot(std::slice::from_ref(list)))
            .unwrap_or_else(|no| panic!("snapshot: {no}"));
        now(snapshot.state(list)).unwrap_or_else(|no| panic!("state: {no}"))
    }

    /// The head that a list has, or would have.
    pub(crate) fn head(&self, list: &ListKey) -> Head {
        match self.state(list) {
            ListState::Live(head) => head,
            ListState::Absent(lineage) | ListState::Ended(lineage) => Head::empty(lineage),
        }
    }

    /// Every element of a list, in order.
    pub(crate) fn items(&self, list: &ListKey) -> Vec<Item> {
        let snapshot = now(self.store.snapshot(std::slice::from_ref(list)))
            .unwrap_or_else(|no| panic!("snapshot: {no}"));
        let all = PageLimit {
            rows: usize::MAX,
            bytes: usize::MAX,
        };
        let last = Version::new(u64::MAX);
        now(snapshot.scan(list, last, None, Payloads::All, all))
            .unwrap_or_else(|no| panic!("scan: {no}"))
            .rows
    }
}
