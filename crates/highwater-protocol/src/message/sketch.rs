//! Messages about sketches: how two copies learn in what they differ.

use super::{Row, point, rows};
use crate::error::Refusal;
use crate::ids::Point;
use crate::{limits, wire};
use bytes::Bytes;

/// Makes a list's elements unpredictable, so that nobody can choose items that
/// cancel out. Random for each encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Salt(pub u64);

/// A stamp, salted: what a sketch is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Element(pub u64);

/// One encoding of a list, as it was at a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SketchId {
    /// Which list it was.
    pub point: Point,
    /// What its elements are salted with.
    pub salt: Salt,
}

/// The sum of the elements that fall into one place of a sketch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Exclusive or of the elements.
    pub sum: u64,
    /// Exclusive or of their checksums.
    pub check: u64,
    /// How many there are; in a difference, theirs less ours.
    pub count: i64,
}

/// "More cells."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SketchRange {
    /// Of this sketch; `None`: of whichever the server offers, from cell 0.
    pub id: Option<SketchId>,
    /// The first cell that the device lacks.
    pub from: u64,
    /// How many it would like; 0: as many as the server sends unasked.
    pub cells: u32,
}

/// "The rows of these elements."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SketchItems {
    /// Of this sketch.
    pub id: SketchId,
    /// Up to 1,000.
    pub elements: Vec<Element>,
}

/// Cells of a list's sketch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SketchCells {
    /// Of this one.
    pub id: SketchId,
    /// Elements that the sketch was made of.
    pub elements: u64,
    /// The index of the first cell.
    pub from: u64,
    /// The cells.
    pub cells: Vec<Cell>,
}

/// Rows of elements that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SketchRows {
    /// With payload; none for an element that has changed since.
    pub rows: Vec<Row>,
    /// How many of the elements asked for are dealt with.
    pub done: usize,
}

/// The count that a cell has on average: it travels as the distance from this.
fn expected_count(elements: u64, index: u64) -> i64 {
    let doubled = u128::from(elements) * 2;
    let expected = doubled / (u128::from(index) + 2);
    i64::try_from(expected).unwrap_or(i64::MAX)
}

impl TryFrom<wire::SketchId> for SketchId {
    type Error = Refusal;

    fn try_from(id: wire::SketchId) -> Result<Self, Refusal> {
        Ok(Self {
            point: point(id.lineage, id.version)?,
            salt: Salt(id.salt),
        })
    }
}

impl From<SketchId> for wire::SketchId {
    fn from(id: SketchId) -> Self {
        Self {
            lineage: id.point.lineage.get(),
            version: id.point.version.get(),
            salt: id.salt.0,
        }
    }
}

fn id(id: Option<wire::SketchId>) -> Result<SketchId, Refusal> {
    id.ok_or_else(|| Refusal::invalid("id", "the sketch is not named"))?
        .try_into()
        .map_err(|no: Refusal| no.within("id"))
}

impl TryFrom<wire::SketchRange> for SketchRange {
    type Error = Refusal;

    fn try_from(range: wire::SketchRange) -> Result<Self, Refusal> {
        let cells = range.cells;
        if cells as usize > limits::SKETCH_CELLS {
            return Err(Refusal::too_many(
                "cells",
                cells as usize,
                limits::SKETCH_CELLS,
            ));
        }
        let id = range.id.map(|named| id(Some(named))).transpose()?;
        if id.is_none() && range.from > 0 {
            return Err(Refusal::invalid(
                "from",
                "a sketch that is not named begins at cell 0",
            ));
        }
        Ok(Self {
            id,
            from: range.from,
            cells,
        })
    }
}

impl From<SketchRange> for wire::SketchRange {
    fn from(range: SketchRange) -> Self {
        Self {
            id: range.id.map(Into::into),
            from: range.from,
            cells: range.cells,
        }
    }
}

impl TryFrom<wire::SketchItems> for SketchItems {
    type Error = Refusal;

    fn try_from(items: wire::SketchItems) -> Result<Self, Refusal> {
        let elements = items.elements.len();
        if elements > limits::DETAILS_PER_REQUEST {
            return Err(Refusal::too_many(
                "elements",
                elements,
                limits::DETAILS_PER_REQUEST,
            ));
        }
        Ok(Self {
            id: id(items.id)?,
            elements: items.elements.into_iter().map(Element).collect(),
        })
    }
}

impl From<SketchItems> for wire::SketchItems {
    fn from(items: SketchItems) -> Self {
        Self {
            id: Some(items.id.into()),
            elements: items
                .elements
                .into_iter()
                .map(|element| element.0)
                .collect(),
        }
    }
}

impl TryFrom<wire::SketchCells> for SketchCells {
    type Error = Refusal;

    fn try_from(wire: wire::SketchCells) -> Result<Self, Refusal> {
        let count = wire.counts.len();
        if count > limits::SKETCH_CELLS {
            return Err(Refusal::too_many("counts", count, limits::SKETCH_CELLS));
        }
        if wire.from.checked_add(count as u64).is_none() {
            return Err(Refusal::invalid("from", "no sketch has so many cells"));
        }
        let words = |bytes: &[u8], field: &str| -> Result<Vec<u64>, Refusal> {
            if bytes.len() != count * 8 {
                return Err(Refusal::invalid(
                    field,
                    "sums and checks have 8 bytes for each count",
                ));
            }
            let word = |chunk: &[u8]| {
                chunk
                    .iter()
                    .rev()
                    .fold(0, |word, byte| (word << 8) | u64::from(*byte))
            };
            Ok(bytes.chunks_exact(8).map(word).collect())
        };
        let (sums, checks) = (words(&wire.sums, "sums")?, words(&wire.checks, "checks")?);
        let cells = sums
            .into_iter()
            .zip(checks)
            .zip(wire.counts)
            .zip(wire.from..)
            .map(|(((sum, check), distance), index)| Cell {
                sum,
                check,
                count: expected_count(wire.elements, index).wrapping_add(distance),
            })
            .collect();
        Ok(Self {
            id: id(wire.id)?,
            elements: wire.elements,
            from: wire.from,
            cells,
        })
    }
}

impl From<SketchCells> for wire::SketchCells {
    fn from(cells: SketchCells) -> Self {
        let words = |word: fn(&Cell) -> u64| -> Bytes {
            cells
                .cells
                .iter()
                .flat_map(|cell| word(cell).to_le_bytes())
                .collect()
        };
        let distance = |(cell, index): (&Cell, u64)| {
            cell.count
                .wrapping_sub(expected_count(cells.elements, index))
        };
        Self {
            id: Some(cells.id.into()),
            elements: cells.elements,
            from: cells.from,
            sums: words(|cell| cell.sum),
            checks: words(|cell| cell.check),
            counts: cells.cells.iter().zip(cells.from..).map(distance).collect(),
        }
    }
}

impl TryFrom<wire::SketchRows> for SketchRows {
    type Error = Refusal;

    fn try_from(wire: wire::SketchRows) -> Result<Self, Refusal> {
        Ok(Self {
            rows: rows(wire.rows, "rows")?,
            done: wire.done as usize,
        })
    }
}

impl From<SketchRows> for wire::SketchRows {
    fn from(rows: SketchRows) -> Self {
        Self {
            rows: rows.rows.into_iter().map(Into::into).collect(),
            done: u32::try_from(rows.done).unwrap_or(u32::MAX),
        }
    }
}
