//! A write on the twin: it changes the world in place and remembers how to take
//! it back.

use super::rows::Element;
use super::world::{Life, List, World};
use crate::store::{Job, JobId, StoreError, Tick};
use crate::write::WriteTxn;
use bytes::Bytes;
use highwater_core::reads::{Item, ListState, Tombstone};
use highwater_core::stamp::{lineage_of, stamp_of};
use highwater_core::{Effect, Head};
use highwater_protocol::{ItemId, Lineage, ListKey, OrderKey, Rank};
use std::collections::BTreeMap;

/// Tombstones that one call of [`WriteTxn::discard`] forgets at most.
const DISCARD_TOMBSTONES: usize = 1_000;

pub(super) struct MemoryTxn<'a> {
    world: &'a mut World,
    now_ms: i64,
    /// The declared lists, each with its state at the begin.
    declared: BTreeMap<ListKey, ListState>,
    undo: Vec<Undo>,
}

/// One step back.
enum Undo {
    /// The list was not there.
    Created(ListKey),
    /// The list had ended with this epoch and lineage, and began again.
    Reborn(ListKey, u64, Lineage),
    /// The list's newest life stood so.
    Stood(ListKey, Life),
    /// There was this in the life of this lineage.
    Element(ListKey, Lineage, ItemId, Option<Element>),
    /// The queue did not hold this job.
    Enqueued(JobId),
    /// The queue held this job.
    Completed(Job),
}

impl<'a> MemoryTxn<'a> {
    pub(super) fn begin(world: &'a mut World, lists: Vec<ListKey>, now_ms: i64) -> Self {
        let declared = lists
            .into_iter()
            .map(|list| {
                let state = world.state(&list);
                (list, state)
            })
            .collect();
        Self {
            world,
            now_ms,
            declared,
            undo: Vec::new(),
        }
    }

    pub(super) fn undo(self) {
        let Self { world, undo, .. } = self;
        for step in undo.into_iter().rev() {
            match step {
                Undo::Created(key) => {
                    world.lists.remove(&key);
                }
                Undo::Reborn(key, epoch, lineage) => {
                    let list = world.list(&key);
                    list.rows = list.remains.remove(&lineage).unwrap_or_default();
                    list.epoch = epoch;
                    list.life = Life::Ended(lineage);
                }
                Undo::Stood(key, life) => world.list(&key).life = life,
                Undo::Element(key, lineage, id, element) => {
                    world.list(&key).rows_of(lineage).set(&id, element);
                }
                Undo::Enqueued(job) => {
                    world.jobs.remove(&job);
                }
                Undo::Completed(job) => {
                    world.jobs.insert(job.id, job);
                }
            }
        }
    }

    /// The states that differ from those at the begin.
    pub(super) fn commit(self) -> (Vec<(ListKey, ListState)>, Tick) {
        if !self.undo.is_empty() {
            self.world.tick += 1;
        }
        let states = self
            .declared
            .iter()
            .map(|(list, before)| (list, before, self.world.state(list)))
            .filter(|(_, before, after)| *before != after)
            .map(|(list, _, after)| (list.clone(), after))
            .collect();
        (states, Tick(self.world.tick))
    }

    fn check(&self, list: &ListKey) {
        assert!(
            self.declared.contains_key(list),
            "the write did not declare the list {list}"
        );
    }

    /// Makes sure that the list is live, and returns its head.
    fn revive(&mut self, key: &ListKey) -> Head {
        let world = &mut *self.world;
        let (epoch, step) = match world.lists.get_mut(key) {
            Some(list) => match list.life {
                Life::Live(head) => return head,
                Life::Ended(lineage) => {
                    let rows = std::mem::take(&mut list.rows);
                    if !rows.is_empty() {
                        list.remains.insert(lineage, rows);
                    }
                    let step = Undo::Reborn(key.clone(), list.epoch, lineage);
                    list.epoch += 1;
                    (list.epoch, step)
                }
            },
            None => (0, Undo::Created(key.clone())),
        };
        let head = Head::empty(lineage_of(&world.incarnation, key, epoch));
        let list = world
            .lists
            .entry(key.clone())
            .or_insert_with(|| List::new(head));
        list.life = Life::Live(head);
        self.undo.push(step);
        head
    }

    fn set(&mut self, key: &ListKey, before: Head, after: Head, id: &ItemId, element: Element) {
        let list = self.world.list(key);
        list.life = Life::Live(after);
        let replaced = list.rows_of(after.lineage).set(id, Some(element));
        self.undo.push(Undo::Stood(key.clone(), Life::Live(before)));
        self.undo.push(Undo::Element(
            key.clone(),
            after.lineage,
            id.clone(),
            replaced,
        ));
    }

    fn live(&self, key: &ListKey) -> Option<Head> {
        match self.world.lists.get(key)?.life {
            Life::Live(head) => Some(head),
            Life::Ended(_) => None,
        }
    }
}

impl WriteTxn for MemoryTxn<'_> {
    async fn state(&mut self, list: &ListKey) -> Result<ListState, StoreError> {
        self.check(list);
        Ok(self.world.state(list))
    }

    async fn item(&mut self, list: &ListKey, id: &ItemId) -> Result<Option<Item>, StoreError> {
        self.check(list);
        let rows = self.world.live(list);
        Ok(rows.and_then(|rows| rows.item(id)).cloned())
    }

    async fn scan(
        &mut self,
        list: &ListKey,
        after: Option<&OrderKey>,
        limit: usize,
    ) -> Result<Vec<Item>, StoreError> {
        self.check(list);
        let rows = self.world.live(list);
        Ok(rows.map_or_else(Vec::new, |rows| {
            rows.after(after).take(limit).cloned().collect()
        }))
    }

    async fn put(
        &mut self,
        list: &ListKey,
        id: &ItemId,
        rank: Rank,
        payload: Bytes,
    ) -> Result<Effect, StoreError> {
        self.check(list);
        let before = self.revive(list);
        let stamp = stamp_of(id, &rank, &payload);
        let (old_stamp, created) = match self.world.list(list).rows.element(id) {
            Some(Element::Live(item)) => (Some(item.stamp), Some(item.created)),
            Some(Element::Dead { tombstone, .. }) => (None, Some(tombstone.created)),
            None => (None, None),
        };
        let mut after = before;
        let effect = after.advance(old_stamp, Some(stamp));
        if let Effect::Changed(version) = effect {
            let item = Item {
                id: id.clone(),
                rank,
                payload,
                version,
                created: created.unwrap_or(version),
                stamp,
            };
            self.set(list, before, after, id, Element::Live(item));
        }
        Ok(effect)
    }

    async fn delete(&mut self, list: &ListKey, id: &ItemId) -> Result<Effect, StoreError> {
        self.check(list);
        let Some(before) = self.live(list) else {
            return Ok(Effect::Unchanged);
        };
        let Some(item) = self.world.list(list).rows.item(id) else {
            return Ok(Effect::Unchanged);
        };
        let (stamp, created) = (item.stamp, item.created);
        let mut after = before;
        let effect = after.advance(Some(stamp), None);
        let tombstone = Tombstone {
            id: id.clone(),
            version: after.version,
            created,
        };
        let at_ms = self.now_ms;
        self.set(list, before, after, id, Element::Dead { tombstone, at_ms });
        Ok(effect)
    }

    async fn end(&mut self, list: &ListKey) -> Result<Option<Lineage>, StoreError> {
        self.check(list);
        let Some(head) = self.live(list) else {
            return Ok(None);
        };
        self.world.list(list).life = Life::Ended(head.lineage);
        self.undo.push(Undo::Stood(list.clone(), Life::Live(head)));
        Ok(Some(head.lineage))
    }

    async fn remains(
        &mut self,
        list: &ListKey,
        ended: Lineage,
        limit: usize,
    ) -> Result<Vec<Item>, StoreError> {
        self.check(list);
        let rows = self.world.ended(list, ended);
        Ok(rows.map_or_else(Vec::new, |rows| rows.items().take(limit).cloned().collect()))
    }

    async fn discard(
        &mut self,
        list: &ListKey,
        ended: Lineage,
        ids: &[ItemId],
    ) -> Result<(), StoreError> {
        self.check(list);
        let Some(rows) = self.world.ended(list, ended) else {
            return Ok(());
        };
        let mut going: Vec<ItemId> = ids
            .iter()
            .filter(|id| rows.item(id).is_some())
            .cloned()
            .collect();
        going.sort();
        going.dedup();
        let leaves_items = rows.count() > going.len();
        if !leaves_items {
            let dead = rows.dead().map(|(tombstone, _)| tombstone.id.clone());
            going.extend(dead.take(DISCARD_TOMBSTONES));
        }
        for id in going {
            let replaced = self.world.list(list).rows_of(ended).set(&id, None);
            self.undo
                .push(Undo::Element(list.clone(), ended, id, replaced));
        }
        self.world.list(list).forget_if_empty(ended);
        Ok(())
    }

    async fn recount(&mut self, list: &ListKey) -> Result<Option<Head>, StoreError> {
        self.check(list);
        let Some(before) = self.live(list) else {
            return Ok(None);
        };
        let life = self.world.list(list);
        let digest = life.rows.items().map(|item| item.stamp).collect();
        let mut after = before;
        let wrong = after.correct(life.rows.count() as u64, digest);
        if wrong.is_some() {
            life.life = Life::Live(after);
            self.undo
                .push(Undo::Stood(list.clone(), Life::Live(before)));
        }
        Ok(wrong)
    }

    async fn enqueue(&mut self, payload: Bytes) -> Result<JobId, StoreError> {
        self.world.last_job += 1;
        let id = JobId(self.world.last_job);
        self.undo.push(Undo::Enqueued(id));
        self.world.jobs.insert(
            id,
            Job {
                id,
                payload,
                queued_at_ms: self.now_ms,
            },
        );
        Ok(id)
    }

    async fn complete(&mut self, job: JobId) -> Result<(), StoreError> {
        if let Some(job) = self.world.jobs.remove(&job) {
            self.undo.push(Undo::Completed(job));
        }
        Ok(())
    }
}
