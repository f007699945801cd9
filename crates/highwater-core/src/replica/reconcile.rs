//! The sketch rung: find out in what the copies differ, fetch what only the
//! server has, drop what only the device has, for the price of the difference.
//!
//! What is found out lives in memory: a device that dies meanwhile begins the
//! rung again. The rows change in one transaction at the end.

use super::Reason;
use super::apply::{Next, Step, local_row};
use super::misfit;
use crate::local::{Generation, Likely, LocalRow, LocalTxn, Phase, Rung};
use crate::planted::{Bug, is};
use crate::sketch::{Decoder, Decoding, Element, element_of};
use highwater_protocol::message::{
    Head, Position, SketchCells, SketchId, SketchItems, SketchRange, SketchRows,
};
use highwater_protocol::{ItemId, ListKey, Stamp, limits};
use std::collections::{BTreeSet, VecDeque};

/// How often the rung may begin again because its sketch is no longer kept.
const RESTARTS_MAX: u32 = 2;

/// Stamps that are read at once.
const CHUNK: usize = 10_000;

/// About what a cell and a skeleton's row cost, in bytes.
const CELL_BYTES: usize = 18;
const SKELETON_ROW_BYTES: usize = 32;

/// Cells of one sketch at most, 18 MiB of them: how long a list is, is only the
/// server's word.
const CELLS_MAX: usize = 1 << 20;

/// How far the rung has come.
#[derive(Debug)]
pub(super) struct Reconciling {
    restarts: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// More cells are needed.
    Decoding(Box<Decode>),
    /// The difference is known; rows are being fetched.
    Fetching(Box<Fetch>),
    /// The copy is mended, and at the sketch's version.
    Mended,
}

#[derive(Debug)]
struct Decode {
    id: SketchId,
    /// What the list sums to at the sketch's version, if the server said.
    head: Option<Head>,
    elements: u64,
    decoder: Decoder,
}

#[derive(Debug)]
struct Fetch {
    id: SketchId,
    head: Option<Head>,
    ours: BTreeSet<Element>,
    wanted: VecDeque<Element>,
    rows: Vec<LocalRow>,
    /// Some elements have changed since: the delta brings them, and only then
    /// can the copy be proved.
    overtaken: bool,
}

impl Decode {
    /// How many cells to ask for next: as many as the difference seems to need.
    fn next_range(&self) -> usize {
        let have = self.decoder.cells();
        // About 1.35 cells are needed for each; the estimate is a fifth off.
        let wanted = self.decoder.estimate().saturating_mul(17) / 10 + 32;
        let most = usize::try_from(self.elements.saturating_mul(3)).unwrap_or(usize::MAX);
        wanted
            .saturating_sub(have)
            .max(have / 2)
            .min(most.saturating_sub(have))
            .clamp(1, limits::SKETCH_CELLS)
    }

    /// Whether reading the whole skeleton costs less.
    fn is_too_dear(&self) -> bool {
        let elements = usize::try_from(self.elements).unwrap_or(usize::MAX);
        let cells = self.decoder.cells() + self.next_range();
        let sketch = self.decoder.estimate().saturating_mul(3) / 2;
        cells > CELLS_MAX
            || sketch.max(cells).saturating_mul(CELL_BYTES)
                > elements.saturating_mul(SKELETON_ROW_BYTES)
    }
}

impl Reconciling {
    /// What to ask next, `room` elements at the most; `None`: with the cursor.
    pub(super) fn position(work: Option<&Self>, room: usize) -> Option<Position> {
        match work.map(|work| &work.stage) {
            None => Some(Position::Sketch(SketchRange {
                id: None,
                from: 0,
                cells: 0,
            })),
            Some(Stage::Decoding(decode)) => Some(Position::Sketch(SketchRange {
                id: Some(decode.id),
                from: decode.decoder.cells() as u64,
                cells: u32::try_from(decode.next_range()).unwrap_or(u32::MAX),
            })),
            Some(Stage::Fetching(fetch)) => Some(Position::SketchItems(SketchItems {
                id: fetch.id,
                elements: fetch.wanted.iter().take(room).copied().collect(),
            })),
            Some(Stage::Mended) => None,
        }
    }
}

impl<T: LocalTxn> Step<'_, T> {
    /// Begins the rung, with the cells that came with the bad news, or by asking
    /// for some.
    pub(super) fn reconcile(
        &mut self,
        head: Option<Head>,
        sketch: Option<SketchCells>,
    ) -> Result<(), T::Error> {
        self.record.phase = Phase::Repairing(Rung::Sketch);
        self.record.fence += 1;
        self.repair.reconciling = None;
        self.applied.next = Next::Ask;
        match sketch {
            Some(cells) => self.begin(0, head, cells),
            None => Ok(()),
        }
    }

    fn begin(
        &mut self,
        restarts: u32,
        head: Option<Head>,
        cells: SketchCells,
    ) -> Result<(), T::Error> {
        let mut own = Vec::new();
        let id = cells.id;
        let generation = self.record.shown.generation;
        each_stamp(self.txn, self.list, generation, |_, stamp| {
            own.push(element_of(&id, stamp));
        })?;
        let decode = Decode {
            id: cells.id,
            head: head.filter(|head| head.point == cells.id.point),
            elements: cells.elements,
            decoder: Decoder::new(own),
        };
        self.repair.reconciling = Some(Reconciling {
            restarts,
            stage: Stage::Decoding(Box::new(decode)),
        });
        self.cells(cells)
    }

    /// Takes in cells of the sketch.
    pub(super) fn cells(&mut self, cells: SketchCells) -> Result<(), T::Error> {
        self.applied.next = Next::Ask;
        let Some(Reconciling {
            restarts,
            stage: Stage::Decoding(mut decode),
        }) = self.repair.reconciling.take()
        else {
            return Ok(());
        };
        match decode.decoder.add(&cells.cells) {
            Decoding::Done(difference) => {
                let fetch = Fetch {
                    id: decode.id,
                    head: decode.head,
                    ours: difference.ours.into_iter().collect(),
                    wanted: difference.theirs.into(),
                    rows: Vec::new(),
                    overtaken: false,
                };
                self.fetch(restarts, Box::new(fetch))
            }
            Decoding::Undecided if !decode.is_too_dear() => {
                self.repair.reconciling = Some(Reconciling {
                    restarts,
                    stage: Stage::Decoding(decode),
                });
                Ok(())
            }
            Decoding::Undecided | Decoding::Broken => self.build(Rung::Skeleton),
        }
    }

    /// Takes in rows that only the server has.
    pub(super) fn sketch_rows(&mut self, answer: SketchRows) -> Result<(), T::Error> {
        self.applied.next = Next::Ask;
        let Some(Reconciling {
            restarts,
            stage: Stage::Fetching(mut fetch),
        }) = self.repair.reconciling.take()
        else {
            return Ok(());
        };
        let asked: BTreeSet<Element> = fetch
            .wanted
            .drain(..answer.done.min(fetch.wanted.len()))
            .collect();
        fetch.overtaken |= answer.rows.len() < asked.len();
        for row in answer.rows {
            let row = local_row(row);
            if asked.contains(&element_of(&fetch.id, row.stamp)) {
                fetch.rows.push(row);
            } else {
                self.applied.others.push(super::Event::PeerMisbehaved {
                    list: self.list.clone(),
                    refusal: misfit("a row of the sketch that was not asked for"),
                });
            }
        }
        self.fetch(restarts, fetch)
    }

    /// Asks for what is still wanted, or mends the copy in one go.
    fn fetch(&mut self, restarts: u32, mut fetch: Box<Fetch>) -> Result<(), T::Error> {
        if !fetch.wanted.is_empty() {
            self.repair.reconciling = Some(Reconciling {
                restarts,
                stage: Stage::Fetching(fetch),
            });
            return Ok(());
        }
        let fetched: BTreeSet<&ItemId> = fetch.rows.iter().map(|row| &row.id).collect();
        let mut gone = Vec::new();
        let (id, ours) = (fetch.id, &fetch.ours);
        let generation = self.record.shown.generation;
        if !ours.is_empty() {
            each_stamp(self.txn, self.list, generation, |item, stamp| {
                if ours.contains(&element_of(&id, stamp)) && !fetched.contains(&item) {
                    gone.push(item);
                }
            })?;
        }
        if is(Bug::RepairKeepsRows) {
            gone.clear();
        }
        for id in gone {
            self.delete(&id)?;
            self.note(&id, true, false);
        }
        for row in std::mem::take(&mut fetch.rows) {
            let id = row.id.clone();
            let was = self.put_row(row, Likely::Known)?;
            self.note(&id, was, true);
        }
        self.record.shown.point = Some(fetch.id.point);
        self.record.fence += 1;
        let stage = Stage::Mended;
        self.repair.reconciling = Some(Reconciling { restarts, stage });
        match fetch.head {
            Some(head) if !fetch.overtaken => {
                self.applied.next = Next::Rest;
                self.prove(Reason::Digest, head.digest, head.count)
            }
            _ => Ok(()),
        }
    }

    /// The rung cannot go on, or did not help.
    pub(super) fn sketch_failed(
        &mut self,
        head: Option<Head>,
        sketch: Option<SketchCells>,
    ) -> Result<(), T::Error> {
        let restarts = match self.repair.reconciling.as_ref() {
            // The process died meanwhile: the rung begins anew.
            None => Some(0),
            Some(Reconciling {
                stage: Stage::Mended,
                ..
            }) => None,
            Some(work) => (work.restarts < RESTARTS_MAX).then_some(work.restarts + 1),
        };
        match (restarts, sketch) {
            (Some(restarts), Some(cells)) => {
                self.record.fence += 1;
                self.begin(restarts, head, cells)
            }
            _ => self.build(Rung::Skeleton),
        }
    }
}

/// Visits every row's id and stamp.
fn each_stamp<T: LocalTxn>(
    txn: &mut T,
    list: &ListKey,
    generation: Generation,
    mut visit: impl FnMut(ItemId, Stamp),
) -> Result<(), T::Error> {
    let mut after: Option<ItemId> = None;
    loop {
        let rows = txn.stamps_by_id(list, generation, after.as_ref(), CHUNK)?;
        match rows.last() {
            Some((last, _)) => after = Some(last.clone()),
            None => return Ok(()),
        }
        rows.into_iter().for_each(|(id, stamp)| visit(id, stamp));
    }
}
