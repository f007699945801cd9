//! Sketches: the decoder fed with cells that no set has, and with those of a
//! real set of which some were changed.

use arbitrary::{Result, Unstructured};
use highwater_core::sketch::{Cell, Decoder, Decoding, Element, Encoder, Salt, element_of};
use highwater_protocol::message::SketchId;
use highwater_protocol::{Lineage, Point, Stamp, Version};
use std::collections::BTreeSet;

/// Ranges that one input feeds at most.
const RANGES_MAX: usize = 16;
/// Cells of one range that are changed at most.
const SPOILT_MAX: usize = 8;
/// Cells of one range at most.
const RANGE_MAX: usize = 96;

pub(crate) fn cells(data: &[u8]) {
    // Bytes that run out end the input, not the check.
    let _ = decode(&mut Unstructured::new(data));
}

fn decode(u: &mut Unstructured<'_>) -> Result<()> {
    let id = SketchId {
        point: Point {
            lineage: Lineage::new(5).unwrap_or_else(|| unreachable!("not zero")),
            version: Version::new(7),
        },
        salt: Salt(u.arbitrary()?),
    };
    let ours = elements(u, &id)?;
    let theirs = elements(u, &id)?;
    let mut encoder = Encoder::new(theirs.iter().copied());
    let mut decoder = Decoder::new(ours.iter().copied());
    let (mut taken, mut honest) = (0, true);
    for _ in 0..RANGES_MAX {
        let mut cells = encoder.next_cells(u.int_in_range(0..=RANGE_MAX)?);
        for _ in 0..SPOILT_MAX {
            if u.is_empty() || !u.ratio(1, 4)? {
                break;
            }
            honest &= !spoil(u, &mut cells)?;
        }
        taken += cells.len();
        let decoding = decoder.add(&cells);
        assert_eq!(decoder.cells(), taken);
        let _ = decoder.estimate();
        match decoding {
            Decoding::Undecided => {}
            Decoding::Broken => {
                assert!(!honest, "honest cells are not broken");
                break;
            }
            Decoding::Done(difference) => {
                let set = |side: &[Element]| side.iter().copied().collect::<BTreeSet<_>>();
                let (only_theirs, only_ours) = (set(&difference.theirs), set(&difference.ours));
                assert!(only_theirs.is_disjoint(&only_ours));
                if honest {
                    assert_eq!(only_theirs, &theirs - &ours);
                    assert_eq!(only_ours, &ours - &theirs);
                }
                break;
            }
        }
    }
    Ok(())
}

/// A set of up to 64 elements, out of so few that two sets have much in common.
fn elements(u: &mut Unstructured<'_>, id: &SketchId) -> Result<BTreeSet<Element>> {
    let chosen: u64 = u.arbitrary()?;
    let of = |at: u64| element_of(id, Stamp(u128::from(at).to_le_bytes()));
    Ok((0..64).filter(|at| chosen >> at & 1 == 1).map(of).collect())
}

/// Changes a cell, drops it, doubles it or puts a wild one in its place.
/// Whether anything changed.
fn spoil(u: &mut Unstructured<'_>, cells: &mut Vec<Cell>) -> Result<bool> {
    if cells.is_empty() {
        return Ok(false);
    }
    let at = u.choose_index(cells.len())?;
    let before = cells.clone();
    match u.int_in_range(0..=6)? {
        0 => cells[at].sum ^= u.arbitrary::<u64>()?,
        1 => cells[at].check ^= u.arbitrary::<u64>()?,
        2 => cells[at].count = u.arbitrary()?,
        3 => drop(cells.remove(at)),
        4 => {
            let cell = cells[at];
            cells.insert(at, cell);
        }
        5 => {
            // An element of nobody's, alone in its cell.
            let mut stranger = Encoder::new([Element(u.arbitrary()?)]);
            cells[at] = stranger.next_cells(1)[0];
            if u.arbitrary()? {
                cells[at].count = -1;
            }
        }
        _ => {
            cells[at] = Cell {
                sum: u.arbitrary()?,
                check: u.arbitrary()?,
                count: u.arbitrary()?,
            };
        }
    }
    Ok(*cells != before)
}
