//! A transaction that notes what it changes.

use bytes::Bytes;
use highwater_core::reads::{Item, ListState};
use highwater_core::stamp::stamp_of;
use highwater_core::{Effect, Head};
use highwater_protocol::message::{self, Content, Row};
use highwater_protocol::{ItemId, Lineage, ListKey, OrderKey, Rank, Version};
use highwater_store::{JobId, StoreError, WriteTxn};
use std::collections::BTreeMap;

/// Elements of one list that a change names at most: beyond it, a reader has to
/// sync.
const ELEMENTS_MAX: usize = 1_000;

/// What one transaction did to one list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListChange {
    /// Which list.
    pub list: ListKey,
    /// Which life of it.
    pub lineage: Lineage,
    /// Its version before.
    pub from: Version,
    /// Where it stands after; `None`: it ended.
    pub head: Option<message::Head>,
    /// What changed in it; `None`: it ended, or more than 1,000 elements did.
    pub elements: Option<Elements>,
}

/// Elements that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elements {
    /// Those that are new or changed, with their payload, by rising version.
    pub rows: Vec<Row>,
    /// Those that are gone, by rising version.
    pub deleted: Vec<ItemId>,
}

impl ListChange {
    /// The change as somebody learns of it who may read the header of the list and
    /// nothing else; `None`: nothing.
    pub(crate) fn header_alone(mut self) -> Option<Self> {
        let elements = self.elements.as_mut()?;
        elements.rows.retain(|row| row.id.is_header());
        elements.deleted.clear();
        let [header] = elements.rows.as_slice() else {
            return None;
        };
        let Content::Payload(payload) = &header.content else {
            return None;
        };
        let stamp = stamp_of(&header.id, &header.rank, payload);
        let head = self.head.as_mut()?;
        (head.count, head.digest) = (1, [stamp].into_iter().collect());
        Some(self)
    }
}

/// What became of an element: its content, if it is there.
type Touched = BTreeMap<ItemId, (Version, Option<(Rank, Bytes)>)>;

/// What is noted of one list.
struct Noted {
    before: ListState,
    /// Of the newest life.
    touched: Touched,
    /// The list did not live, or not this life, when the transaction began.
    begun: bool,
    ended: bool,
}

/// Passes everything on, and notes what changed.
pub(super) struct Recorder<'a, T> {
    txn: &'a mut T,
    lists: BTreeMap<ListKey, Noted>,
    queued: bool,
}

impl<'a, T: WriteTxn> Recorder<'a, T> {
    pub(super) const fn new(txn: &'a mut T) -> Self {
        Self {
            txn,
            lists: BTreeMap::new(),
            queued: false,
        }
    }

    /// Whether work was queued.
    pub(super) const fn queued(&self) -> bool {
        self.queued
    }

    /// What changed, by list.
    pub(super) async fn finish(self) -> Result<Vec<ListChange>, StoreError> {
        let mut changes = Vec::with_capacity(self.lists.len());
        for (list, noted) in self.lists {
            let after = self.txn.state(&list).await?;
            changes.extend(noted.change(list, after));
        }
        Ok(changes)
    }

    async fn noted(&mut self, list: &ListKey) -> Result<(), StoreError> {
        if !self.lists.contains_key(list) {
            let before = self.txn.state(list).await?;
            let noted = Noted {
                begun: !matches!(before, ListState::Live(_)),
                before,
                touched: Touched::new(),
                ended: false,
            };
            self.lists.insert(list.clone(), noted);
        }
        Ok(())
    }

    fn note(
        &mut self,
        list: &ListKey,
        id: &ItemId,
        effect: Effect,
        content: Option<(Rank, Bytes)>,
    ) {
        if let (Effect::Changed(version), Some(noted)) = (effect, self.lists.get_mut(list)) {
            noted.touched.insert(id.clone(), (version, content));
        }
    }
}

impl Noted {
    fn change(self, list: ListKey, after: ListState) -> Option<ListChange> {
        let was = match self.before {
            ListState::Live(head) => Some(head),
            ListState::Ended(_) | ListState::Absent(_) => None,
        };
        let now = match after {
            ListState::Live(head) => head,
            ListState::Ended(_) | ListState::Absent(_) => {
                // A list that began and ended in between is nobody's business.
                let was = was?;
                return self.ended.then_some(ListChange {
                    list,
                    lineage: was.lineage,
                    from: was.version,
                    head: None,
                    elements: None,
                });
            }
        };
        let from = match was {
            Some(was) if !self.begun => was.version,
            _ => Version::ZERO,
        };
        if !self.begun && from == now.version {
            return None;
        }
        Some(ListChange {
            list,
            lineage: now.lineage,
            from,
            head: Some(now.announced()),
            elements: elements(self.touched),
        })
    }
}

fn elements(touched: Touched) -> Option<Elements> {
    if touched.len() > ELEMENTS_MAX {
        return None;
    }
    let mut touched: Vec<_> = touched.into_iter().collect();
    touched.sort_unstable_by_key(|(_, (version, _))| *version);
    let mut elements = Elements::default();
    for (id, (_, content)) in touched {
        match content {
            Some((rank, payload)) => elements.rows.push(Row {
                id,
                rank,
                content: Content::Payload(payload),
            }),
            None => elements.deleted.push(id),
        }
    }
    Some(elements)
}

impl<T: WriteTxn> WriteTxn for Recorder<'_, T> {
    async fn state(&mut self, list: &ListKey) -> Result<ListState, StoreError> {
        self.txn.state(list).await
    }

    async fn item(&mut self, list: &ListKey, id: &ItemId) -> Result<Option<Item>, StoreError> {
        self.txn.item(list, id).await
    }

    async fn scan(
        &mut self,
        list: &ListKey,
        after: Option<&OrderKey>,
        limit: usize,
    ) -> Result<Vec<Item>, StoreError> {
        self.txn.scan(list, after, limit).await
    }

    async fn put(
        &mut self,
        list: &ListKey,
        id: &ItemId,
        rank: Rank,
        payload: Bytes,
    ) -> Result<Effect, StoreError> {
        self.noted(list).await?;
        let content = (rank.clone(), payload.clone());
        let effect = self.txn.put(list, id, rank, payload).await?;
        self.note(list, id, effect, Some(content));
        Ok(effect)
    }

    async fn delete(&mut self, list: &ListKey, id: &ItemId) -> Result<Effect, StoreError> {
        self.noted(list).await?;
        let effect = self.txn.delete(list, id).await?;
        self.note(list, id, effect, None);
        Ok(effect)
    }

    async fn end(&mut self, list: &ListKey) -> Result<Option<Lineage>, StoreError> {
        self.noted(list).await?;
        let lineage = self.txn.end(list).await?;
        if let (Some(_), Some(noted)) = (lineage, self.lists.get_mut(list)) {
            noted.touched.clear();
            (noted.begun, noted.ended) = (true, true);
        }
        Ok(lineage)
    }

    async fn remains(
        &mut self,
        list: &ListKey,
        ended: Lineage,
        limit: usize,
    ) -> Result<Vec<Item>, StoreError> {
        self.txn.remains(list, ended, limit).await
    }

    async fn discard(
        &mut self,
        list: &ListKey,
        ended: Lineage,
        ids: &[ItemId],
    ) -> Result<(), StoreError> {
        self.txn.discard(list, ended, ids).await
    }

    async fn recount(&mut self, list: &ListKey) -> Result<Option<Head>, StoreError> {
        self.txn.recount(list).await
    }

    async fn enqueue(&mut self, payload: Bytes) -> Result<JobId, StoreError> {
        self.queued = true;
        self.txn.enqueue(payload).await
    }

    async fn complete(&mut self, job: JobId) -> Result<(), StoreError> {
        self.txn.complete(job).await
    }
}
