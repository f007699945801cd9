//! The server's sketch of a list: made once, asked for by many.

use super::{Cell, Element, Encoder, Salt, element_of};
use crate::reads::{Change, Item, ListState, PageLimit, Payloads, Reads};
use highwater_protocol::message::{
    Content, Row, SketchCells, SketchId, SketchItems, SketchRange, SketchRows,
};
use highwater_protocol::{Digest, ItemId, ListKey, Point, Stamp, limits};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// Cells that come unasked, with the news that a copy is wrong.
pub const FIRST_CELLS: usize = 48;

/// Rows that are read at once while a list is encoded.
const CHUNK: PageLimit = PageLimit {
    rows: 10_000,
    bytes: usize::MAX,
};

/// Changes that are read at once, with their payloads.
const CHANGES: PageLimit = PageLimit {
    rows: 1_000,
    bytes: limits::PAGE_BYTES,
};

/// A list's sketch at one version.
#[derive(Debug)]
pub struct Encoding {
    id: SketchId,
    /// By rising element.
    members: Vec<Member>,
    digest: Digest,
    produced: Mutex<Produced>,
}

#[derive(Clone, Debug)]
struct Member {
    element: Element,
    stamp: Stamp,
    id: ItemId,
}

#[derive(Clone, Debug)]
struct Produced {
    encoder: Encoder,
    cells: Vec<Cell>,
}

impl Encoding {
    /// Encodes a live list as the snapshot has it; `None` if it is not live.
    /// Costs one pass over the list.
    ///
    /// # Errors
    /// What the store could not read.
    pub async fn of<R: Reads>(
        reads: &R,
        list: &ListKey,
        salt: Salt,
    ) -> Result<Option<Self>, R::Error> {
        let ListState::Live(head) = reads.state(list).await? else {
            return Ok(None);
        };
        let id = SketchId {
            point: head.point(),
            salt,
        };
        let mut members = Vec::with_capacity(usize::try_from(head.count).unwrap_or(0));
        let mut after = None;
        loop {
            let page = reads
                .scan(
                    list,
                    head.version,
                    after.as_ref(),
                    Payloads::First(0),
                    CHUNK,
                )
                .await?;
            members.extend(page.rows.into_iter().map(|item| member(&id, item)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        members.sort_unstable_by_key(|member| member.element);
        let encoder = Encoder::new(members.iter().map(|member| member.element));
        let produced = Produced {
            encoder,
            cells: Vec::new(),
        };
        Ok(Some(Self::new(id, members, produced)))
    }

    /// Encodes the list again as the snapshot has it, from this encoding and
    /// what changed since: without reading the list.
    ///
    /// `None`: it has to be encoded anew, as it is of another life, changed too
    /// much, or lost deletions to a purge.
    ///
    /// # Errors
    /// What the store could not read.
    pub async fn refreshed<R: Reads>(
        &self,
        reads: &R,
        list: &ListKey,
    ) -> Result<Option<Self>, R::Error> {
        let ListState::Live(head) = reads.state(list).await? else {
            return Ok(None);
        };
        let from = self.id.point;
        if from.lineage != head.lineage || from.version > head.version || from.version < head.floor
        {
            return Ok(None);
        }
        let id = SketchId {
            point: head.point(),
            salt: self.id.salt,
        };
        let mut changed = BTreeSet::new();
        let mut new = Vec::new();
        let mut after = from.version;
        loop {
            let page = reads.changes(list, after, CHANGES).await?;
            for change in page.rows {
                after = change.version();
                match change {
                    Change::Put(item) => {
                        changed.insert(item.id.clone());
                        new.push(member(&id, item));
                    }
                    Change::Deleted(tombstone) => {
                        changed.insert(tombstone.id);
                    }
                }
            }
            if changed.len() > self.members.len() / 4 {
                return Ok(None);
            }
            if !page.more {
                break;
            }
        }
        let (gone, mut members): (Vec<&Member>, Vec<&Member>) = self
            .members
            .iter()
            .partition(|member| changed.contains(&member.id));
        let gone = gone.into_iter().map(|member| member.element).collect();
        members.extend(&new);
        members.sort_by_key(|member| member.element);
        let members = members.into_iter().cloned().collect();
        let new: Vec<Element> = new.iter().map(|member| member.element).collect();
        let mut produced = self.produced().clone();
        produced.encoder.change(&mut produced.cells, &gone, &new);
        let made = Self::new(id, members, produced);
        Ok((made.digest == head.digest).then_some(made))
    }

    fn new(id: SketchId, members: Vec<Member>, produced: Produced) -> Self {
        let digest = members
            .iter()
            .fold(Digest::ZERO, |digest, member| digest.plus(member.stamp));
        Self {
            id,
            members,
            digest,
            produced: Mutex::new(produced),
        }
    }

    /// Which sketch this is.
    #[must_use]
    pub const fn id(&self) -> SketchId {
        self.id
    }

    /// Which version of the list it is of.
    #[must_use]
    pub const fn point(&self) -> Point {
        self.id.point
    }

    /// The sum of the stamps that were read: another than the head's means that
    /// the head is wrong.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How many elements it was made of.
    #[must_use]
    pub const fn elements(&self) -> u64 {
        self.members.len() as u64
    }

    /// The cells that come unasked.
    #[must_use]
    pub fn first_cells(&self) -> SketchCells {
        self.cells(0, FIRST_CELLS)
    }

    /// The cells of a range; `None` beyond three times the elements, where no
    /// honest device needs any.
    #[must_use]
    pub fn range(&self, range: &SketchRange) -> Option<SketchCells> {
        let count = match range.cells as usize {
            0 => FIRST_CELLS,
            cells => cells.min(limits::SKETCH_CELLS),
        };
        let end = range.from.checked_add(count as u64)?;
        let most = self
            .elements()
            .saturating_mul(3)
            .max(4 * FIRST_CELLS as u64);
        let from = usize::try_from(range.from).ok()?;
        (end <= most).then(|| self.cells(from, count))
    }

    fn cells(&self, from: usize, count: usize) -> SketchCells {
        let mut produced = self.produced();
        let end = from + count;
        let have = produced.cells.len();
        if have < end {
            // Doubling, so that many small ranges cost few passes.
            let more = end.max(have * 2) - have;
            let more = produced.encoder.next_cells(more);
            produced.cells.extend(more);
        }
        SketchCells {
            id: self.id,
            elements: self.elements(),
            from: from as u64,
            cells: produced.cells.get(from..end).unwrap_or_default().to_vec(),
        }
    }

    fn produced(&self) -> std::sync::MutexGuard<'_, Produced> {
        self.produced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id_of(&self, element: Element) -> Option<&ItemId> {
        let at = self
            .members
            .binary_search_by_key(&element, |member| member.element);
        at.ok().map(|at| &self.members[at].id)
    }

    /// The rows of elements that were asked for, as far as they fit in `bytes`
    /// and have not changed since: the delta from this sketch's version brings
    /// the others.
    ///
    /// # Errors
    /// What the store could not read.
    pub async fn rows<R: Reads>(
        &self,
        reads: &R,
        list: &ListKey,
        items: &SketchItems,
        bytes: usize,
    ) -> Result<SketchRows, R::Error> {
        let ids: Vec<ItemId> = items
            .elements
            .iter()
            .filter_map(|element| self.id_of(*element))
            .cloned()
            .collect();
        let mut found: BTreeMap<ItemId, Item> = reads
            .items(list, &ids)
            .await?
            .into_iter()
            .map(|item| (item.id.clone(), item))
            .collect();
        let mut answer = SketchRows {
            rows: Vec::new(),
            done: 0,
        };
        let mut left = bytes;
        for element in &items.elements {
            if left == 0 {
                break;
            }
            answer.done += 1;
            let item = self.id_of(*element).and_then(|id| found.remove(id));
            let Some(item) = item.filter(|item| item.version <= self.id.point.version) else {
                continue;
            };
            let size = item.id.as_str().len() + item.rank.as_bytes().len() + item.payload.len();
            left = left.saturating_sub(size);
            answer.rows.push(Row {
                id: item.id,
                rank: item.rank,
                content: Content::Payload(item.payload),
            });
        }
        Ok(answer)
    }
}

fn member(sketch: &SketchId, item: Item) -> Member {
    Member {
        element: element_of(sketch, item.stamp),
        stamp: item.stamp,
        id: item.id,
    }
}
