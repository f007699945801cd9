//! The server's sketch of a list: made once, asked for by many.

use super::{Encoder, element_of};
use crate::reads::{ListState, PageLimit, Payloads, Reads};
use highwater_protocol::message::{Cell, Element, SketchCells, SketchId, SketchRange, SketchRows};
use highwater_protocol::message::{Content, Row, Salt, SketchItems};
use highwater_protocol::{Digest, ItemId, ListKey, Point, limits};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Cells that come unasked, with the news that a copy is wrong.
pub const FIRST_CELLS: usize = 48;

/// Rows that are read at once while a list is encoded.
const CHUNK: PageLimit = PageLimit {
    rows: 10_000,
    bytes: usize::MAX,
};

/// A list's sketch at one version.
#[derive(Debug)]
pub struct Encoding {
    id: SketchId,
    ids: BTreeMap<Element, ItemId>,
    digest: Digest,
    produced: Mutex<(Encoder, Vec<Cell>)>,
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
        let mut ids = BTreeMap::new();
        let mut digest = Digest::ZERO;
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
            for item in page.rows {
                digest = digest.plus(item.stamp);
                ids.insert(element_of(&salt, item.stamp), item.id);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let encoder = Encoder::new(ids.keys().copied());
        Ok(Some(Self {
            id: SketchId {
                point: head.point(),
                salt,
            },
            ids,
            digest,
            produced: Mutex::new((encoder, Vec::new())),
        }))
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
    pub fn elements(&self) -> u64 {
        self.ids.len() as u64
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
        let mut produced = self.produced.lock().unwrap_or_else(PoisonError::into_inner);
        let (encoder, cells) = &mut *produced;
        let end = from + count;
        if cells.len() < end {
            // Doubling, so that many small ranges cost few passes.
            let more = end.max(cells.len() * 2) - cells.len();
            cells.extend(encoder.next_cells(more));
        }
        SketchCells {
            id: self.id,
            elements: self.elements(),
            from: from as u64,
            cells: cells.get(from..end).unwrap_or_default().to_vec(),
        }
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
            .filter_map(|element| self.ids.get(element))
            .cloned()
            .collect();
        let mut found: BTreeMap<ItemId, _> = reads
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
            let Some(id) = self.ids.get(element) else {
                continue;
            };
            let Some(item) = found.remove(id) else {
                continue;
            };
            if item.version > self.id.point.version {
                continue;
            }
            let size = id.as_str().len() + item.rank.as_bytes().len() + item.payload.len();
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
