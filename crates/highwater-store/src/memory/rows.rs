//! The elements and tombstones of one life of a list, by id, by order and by
//! version.

use bytes::Bytes;
use highwater_core::reads::{Change, Item, Page, PageLimit, Payloads, ScanRows, Tombstone};
use highwater_protocol::{ItemId, OrderKey, Version};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// What there is under an id.
#[derive(Clone)]
pub(super) enum Element {
    Live(Item),
    Dead { tombstone: Tombstone, at_ms: i64 },
}

/// One life's elements. All changes go through [`Rows::set`].
#[derive(Clone, Default)]
pub(super) struct Rows {
    elements: BTreeMap<ItemId, Element>,
    order: BTreeSet<OrderKey>,
    log: BTreeMap<Version, ItemId>,
    tombstones: u64,
}

impl Element {
    fn version(&self) -> Version {
        match self {
            Self::Live(item) => item.version,
            Self::Dead { tombstone, .. } => tombstone.version,
        }
    }
}

impl Rows {
    /// Puts `element` in the place of what there was under `id`, and returns
    /// that.
    pub(super) fn set(&mut self, id: &ItemId, element: Option<Element>) -> Option<Element> {
        let before = self.elements.remove(id);
        match &before {
            Some(Element::Live(item)) => {
                self.order.remove(&place(item));
                self.log.remove(&item.version);
            }
            Some(Element::Dead { tombstone, .. }) => {
                self.tombstones -= 1;
                self.log.remove(&tombstone.version);
            }
            None => {}
        }
        if let Some(element) = element {
            match &element {
                Element::Live(item) => {
                    self.order.insert(place(item));
                }
                Element::Dead { .. } => self.tombstones += 1,
            }
            self.log.insert(element.version(), id.clone());
            self.elements.insert(id.clone(), element);
        }
        before
    }

    pub(super) fn element(&self, id: &ItemId) -> Option<&Element> {
        self.elements.get(id)
    }

    pub(super) fn item(&self, id: &ItemId) -> Option<&Item> {
        match self.elements.get(id) {
            Some(Element::Live(item)) => Some(item),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.after(None)
    }

    pub(super) fn tombstones(&self) -> u64 {
        self.tombstones
    }

    pub(super) fn count(&self) -> usize {
        self.order.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The tombstones by rising version, with their age.
    pub(super) fn dead(&self) -> impl Iterator<Item = (&Tombstone, i64)> {
        self.log.values().filter_map(|id| match self.element(id) {
            Some(Element::Dead { tombstone, at_ms }) => Some((tombstone, *at_ms)),
            _ => None,
        })
    }

    /// The elements after `after` in the list's order.
    pub(super) fn after(&self, after: Option<&OrderKey>) -> impl Iterator<Item = &Item> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.order
            .range((from, Bound::Unbounded))
            .filter_map(|place| self.item(&place.id))
    }

    pub(super) fn changes(&self, after: Version, limit: PageLimit) -> Page<Change> {
        let mut meter = Meter::new(limit);
        let mut rows = Vec::new();
        for id in self
            .log
            .range((Bound::Excluded(after), Bound::Unbounded))
            .map(|(_, id)| id)
        {
            if meter.is_full() {
                return Page { rows, more: true };
            }
            match &self.elements[id] {
                Element::Live(item) => {
                    meter.count(cost(item, true));
                    rows.push(Change::Put(item.clone()));
                }
                Element::Dead { tombstone, .. } => {
                    meter.count(id.as_str().len());
                    rows.push(Change::Deleted(tombstone.clone()));
                }
            }
        }
        Page { rows, more: false }
    }

    pub(super) fn scan(
        &self,
        at_most: Version,
        after: Option<&OrderKey>,
        payloads: Payloads,
        limit: PageLimit,
    ) -> ScanRows {
        let mut meter = Meter::new(limit);
        let mut rows: Vec<Item> = Vec::new();
        let mut last = None;
        for item in self.after(after) {
            if meter.is_full() {
                return ScanRows { rows, next: last };
            }
            last = Some(place(item));
            if item.version > at_most {
                meter.count(0);
                continue;
            }
            let with_payload = match payloads {
                Payloads::All => true,
                Payloads::First(first) => rows.len() < first,
            };
            meter.count(cost(item, with_payload));
            let mut item = item.clone();
            if !with_payload {
                item.payload = Bytes::new();
            }
            rows.push(item);
        }
        ScanRows { rows, next: None }
    }
}

fn place(item: &Item) -> OrderKey {
    OrderKey::new(item.rank.clone(), item.id.clone())
}

fn cost(item: &Item, with_payload: bool) -> usize {
    let content = if with_payload { item.payload.len() } else { 16 };
    item.id.as_str().len() + item.rank.as_bytes().len() + content
}

/// Counts rows and bytes against a page's limit.
struct Meter {
    limit: PageLimit,
    rows: usize,
    bytes: usize,
}

impl Meter {
    fn new(limit: PageLimit) -> Self {
        Self {
            limit,
            rows: 0,
            bytes: 0,
        }
    }

    fn count(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes += bytes;
    }

    fn is_full(&self) -> bool {
        self.rows > 0 && (self.rows >= self.limit.rows || self.bytes >= self.limit.bytes)
    }
}
