//! Set reconciliation: a rateless invertible Bloom lookup table, after Yang,
//! Gilad and Alizadeh, "Practical Rateless Set Reconciliation", SIGCOMM 2024.
//!
//! A list's sketch is an endless row of cells. Two sides that hold sets which
//! differ in d elements subtract their cells one by one, and after about 1.35 d
//! (more for small d) the difference peels: bytes in proportion to what
//! differs, whatever the length of the lists.

mod encoding;
mod shelf;

pub use encoding::{Encoding, FIRST_CELLS};
pub use highwater_protocol::message::{Cell, Element, Salt};
pub use shelf::{FRESH_MS, KEPT_MS, KEPT_OF_A_LIST, OFFERED_MS, SALTED_MS, Shelf};

use highwater_protocol::Stamp;
use highwater_protocol::message::SketchId;
use siphasher::sip::SipHasher24;
use std::collections::BTreeSet;
use std::hash::Hasher;

/// The element of a stamp in a sketch: SipHash-2-4 under the sketch's salt and
/// lineage.
#[must_use]
pub fn element_of(sketch: &SketchId, stamp: Stamp) -> Element {
    let lineage = sketch.point.lineage.get();
    let mut hasher = SipHasher24::new_with_keys(sketch.salt.0, lineage);
    hasher.write(&stamp.0);
    Element(hasher.finish())
}

/// The checksum of an element: SplitMix64's finaliser. Any fixed mixing will
/// do, as elements are salted.
const fn check_of(element: Element) -> u64 {
    let mut z = element.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Which cells an element falls into: cell 0, then further and further apart,
/// so that cell i holds it with probability 1 / (1 + i / 2).
#[derive(Clone, Copy, Debug)]
struct Mapping {
    random: u64,
    at: u64,
}

impl Mapping {
    const fn of(element: Element) -> Self {
        Self {
            random: element.0,
            at: 0,
        }
    }

    /// Section 4.2 of the paper: the distance is drawn by inverting its
    /// distribution. Multiplication, division, square root and rounding up of
    /// 64-bit floats are exact by IEEE 754, so every machine draws the same.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the rounding is part of the definition; a distance beyond 2^64 saturates"
    )]
    fn advance(&mut self) {
        self.random = self.random.wrapping_mul(0xda94_2042_e4dd_58b5);
        let stretch = 4_294_967_296.0 / (self.random as f64 + 1.0).sqrt() - 1.0;
        let distance = ((self.at as f64 + 1.5) * stretch).ceil();
        self.at = self.at.saturating_add((distance as u64).max(1));
    }
}

const fn add(cell: &mut Cell, element: Element, times: i64) {
    cell.sum ^= element.0;
    cell.check ^= check_of(element);
    cell.count = cell.count.wrapping_add(times);
}

/// The one element that a cell of a difference holds, and whose it is: 1
/// theirs, -1 ours.
const fn only(cell: &Cell) -> Option<(Element, i64)> {
    let element = Element(cell.sum);
    if (cell.count == 1 || cell.count == -1) && cell.check == check_of(element) {
        Some((element, cell.count))
    } else {
        None
    }
}

/// Produces the cells of a set, range by range.
#[derive(Clone, Debug)]
pub struct Encoder {
    elements: Vec<(Element, Mapping)>,
    produced: u64,
}

impl Encoder {
    /// An encoder of these elements, at cell 0.
    #[must_use]
    pub fn new(elements: impl IntoIterator<Item = Element>) -> Self {
        let with_mapping = |element| (element, Mapping::of(element));
        Self {
            elements: elements.into_iter().map(with_mapping).collect(),
            produced: 0,
        }
    }

    /// The next `count` cells. Costs one pass over the elements.
    pub fn next_cells(&mut self, count: usize) -> Vec<Cell> {
        let (from, to) = (self.produced, self.produced.saturating_add(count as u64));
        let mut cells = vec![Cell::default(); count];
        for (element, mapping) in &mut self.elements {
            while mapping.at < to {
                if let Some(cell) = cell_at(&mut cells, mapping.at - from) {
                    add(cell, *element, 1);
                }
                mapping.advance();
            }
        }
        self.produced = to;
        cells
    }

    /// Moves the set, and `cells`, which are all that were produced so far.
    /// Costs one pass over the elements, without their cells.
    pub fn change(&mut self, cells: &mut [Cell], gone: &BTreeSet<Element>, new: &[Element]) {
        self.elements.retain(|(element, _)| !gone.contains(element));
        for element in gone {
            self.walk(cells, *element, -1);
        }
        for element in new {
            let mapping = self.walk(cells, *element, 1);
            self.elements.push((*element, mapping));
        }
    }

    fn walk(&self, cells: &mut [Cell], element: Element, times: i64) -> Mapping {
        let mut mapping = Mapping::of(element);
        while mapping.at < self.produced {
            if let Some(cell) = cell_at(cells, mapping.at) {
                add(cell, element, times);
            }
            mapping.advance();
        }
        mapping
    }
}

fn cell_at(cells: &mut [Cell], at: u64) -> Option<&mut Cell> {
    usize::try_from(at).ok().and_then(|at| cells.get_mut(at))
}

/// What two sets differ in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Elements that only the other side has.
    pub theirs: Vec<Element>,
    /// Elements that only this side has.
    pub ours: Vec<Element>,
}

/// How far decoding has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoding {
    /// More cells are needed.
    Undecided,
    /// This is the difference.
    Done(Difference),
    /// No set has these cells.
    Broken,
}

/// Subtracts this side's cells from the other's until the difference peels.
#[derive(Clone, Debug)]
pub struct Decoder {
    own: Encoder,
    cells: Vec<Cell>,
    found: Vec<(Element, Mapping, i64)>,
    known: BTreeSet<Element>,
}

impl Decoder {
    /// A decoder on the side that has these elements.
    #[must_use]
    pub fn new(own: impl IntoIterator<Item = Element>) -> Self {
        Self {
            own: Encoder::new(own),
            cells: Vec::new(),
            found: Vec::new(),
            known: BTreeSet::new(),
        }
    }

    /// How many of the other side's cells were taken in.
    #[must_use]
    pub const fn cells(&self) -> usize {
        self.cells.len()
    }

    /// About how many elements the sets differ in, from the cells so far.
    ///
    /// Every element is in cell 0, so that its count says by how much one side
    /// is larger; of that, each cell has its probability `p` on average. What a
    /// cell's count is beside it is a sum of as many coins as elements differ:
    /// its square is on average their number times `p * (1 - p)`. Without the
    /// first part a difference of one side alone (deletions that were purged, a
    /// device ahead of a backup) would be taken for its square.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    pub fn estimate(&self) -> usize {
        let Some(first) = self.cells.first() else {
            return self.found.len();
        };
        let larger = first.count as f64;
        let square = |(at, cell): (usize, &Cell)| {
            let p = 2.0 / (2.0 + at as f64);
            (cell.count as f64 - larger * p).powi(2) / (p * (1.0 - p))
        };
        let squares: f64 = self.cells.iter().enumerate().skip(1).map(square).sum();
        let mean = squares / self.cells.len().saturating_sub(1).max(1) as f64;
        let at_least = first.count.unsigned_abs();
        (mean as usize)
            .max(usize::try_from(at_least).unwrap_or(usize::MAX))
            .saturating_add(self.found.len())
    }

    /// Takes in the other side's next cells.
    pub fn add(&mut self, theirs: &[Cell]) -> Decoding {
        let from = self.cells.len();
        let own = self.own.next_cells(theirs.len());
        self.cells
            .extend(theirs.iter().zip(own).map(|(theirs, own)| Cell {
                sum: theirs.sum ^ own.sum,
                check: theirs.check ^ own.check,
                count: theirs.count.wrapping_sub(own.count),
            }));
        let to = self.cells.len() as u64;
        for (element, mapping, side) in &mut self.found {
            while mapping.at < to {
                if let Some(cell) = cell_at(&mut self.cells, mapping.at) {
                    add(cell, *element, -*side);
                }
                mapping.advance();
            }
        }
        let fresh = (from..self.cells.len()).collect();
        self.peel(fresh)
    }

    /// Takes out every element that stands alone in a cell, which may leave
    /// others alone. An honest difference gives each element once.
    fn peel(&mut self, mut to_look_at: Vec<usize>) -> Decoding {
        let to = self.cells.len() as u64;
        while let Some(at) = to_look_at.pop() {
            let Some((element, side)) = only(&self.cells[at]) else {
                continue;
            };
            if !self.known.insert(element) {
                return Decoding::Broken;
            }
            let mut mapping = Mapping::of(element);
            while mapping.at < to {
                if let Some(cell) = cell_at(&mut self.cells, mapping.at) {
                    add(cell, element, -side);
                    if only(cell).is_some() {
                        to_look_at.extend(usize::try_from(mapping.at));
                    }
                }
                mapping.advance();
            }
            self.found.push((element, mapping, side));
        }
        if self.cells.is_empty() || !self.cells.iter().all(|cell| *cell == Cell::default()) {
            return Decoding::Undecided;
        }
        let of_side = |wanted: i64| {
            self.found
                .iter()
                .filter(|(_, _, side)| *side == wanted)
                .map(|(element, _, _)| *element)
                .collect()
        };
        Decoding::Done(Difference {
            theirs: of_side(1),
            ours: of_side(-1),
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use highwater_protocol::{Lineage, Point, Version};

    fn sketch() -> SketchId {
        SketchId {
            point: Point {
                lineage: Lineage::new(3).unwrap(),
                version: Version::ZERO,
            },
            salt: Salt(7),
        }
    }

    fn elements(range: std::ops::Range<u64>) -> Vec<Element> {
        let stamp = |at: u64| {
            let mut stamp = [0; 16];
            stamp[..8].copy_from_slice(&at.to_le_bytes());
            Stamp(stamp)
        };
        range.map(|at| element_of(&sketch(), stamp(at))).collect()
    }

    /// Cells that it took to decode, in doubling ranges from 8.
    fn reconcile(theirs: &[Element], ours: &[Element]) -> usize {
        let mut encoder = Encoder::new(theirs.iter().copied());
        let mut decoder = Decoder::new(ours.iter().copied());
        let mut range = 8;
        loop {
            match decoder.add(&encoder.next_cells(range)) {
                Decoding::Undecided => range = decoder.cells() / 2,
                Decoding::Broken => panic!("honest cells are not broken"),
                Decoding::Done(difference) => {
                    let of = |side: &[Element]| side.iter().copied().collect::<BTreeSet<_>>();
                    let (theirs, ours) = (of(theirs), of(ours));
                    assert_eq!(of(&difference.theirs), &theirs - &ours);
                    assert_eq!(of(&difference.ours), &ours - &theirs);
                    return decoder.cells();
                }
            }
        }
    }

    #[test]
    fn equal_sets_are_told_by_the_first_cells() {
        let set = elements(0..1_000);
        assert_eq!(reconcile(&set, &set), 8);
        assert_eq!(reconcile(&[], &[]), 8);
    }

    #[test]
    fn a_difference_costs_in_proportion_to_itself_not_to_the_sets() {
        for (theirs, ours) in [
            (0..10_001, 1..10_001),
            (0..10_000, 0..10_100),
            (5..5_000, 0..5_500),
        ] {
            let (theirs, ours) = (elements(theirs), elements(ours));
            let of = |side: &[Element]| side.iter().copied().collect::<BTreeSet<_>>();
            let d = of(&theirs).symmetric_difference(&of(&ours)).count();
            let cells = reconcile(&theirs, &ours);
            assert!(cells <= 16 + 3 * d, "{cells} cells for a difference of {d}");
        }
        assert!(reconcile(&elements(0..2_000), &[]) < 2_000 * 3);
    }

    #[test]
    fn cells_do_not_depend_on_the_ranges_they_are_asked_for_in() {
        let set = elements(0..500);
        let whole = Encoder::new(set.iter().copied()).next_cells(100);
        let mut encoder = Encoder::new(set.iter().rev().copied());
        let pieces: Vec<Cell> = [1, 9, 40, 50]
            .iter()
            .flat_map(|n| encoder.next_cells(*n))
            .collect();
        assert_eq!(whole, pieces);
    }

    /// Found by fuzzing: the estimate overflowed beside an element that was
    /// found.
    #[test]
    fn counts_beyond_all_lists_have_an_estimate() {
        let cells = |count| Cell {
            count,
            ..Encoder::new(elements(0..1)).next_cells(1)[0]
        };
        let mut decoder = Decoder::new([]);
        let taken = decoder.add(&[cells(1), cells(i64::MAX), cells(i64::MIN)]);
        assert_eq!(taken, Decoding::Undecided);
        assert_eq!(decoder.estimate(), usize::MAX);
    }

    /// A difference of one side alone was taken for its square: a device that
    /// was ahead of a backup by 58 members of 400 read the whole skeleton.
    #[test]
    fn a_difference_is_estimated_whichever_side_it_is_on() {
        let all = elements(0..20_000);
        for lost in [60, 200, 1_000, 5_000] {
            for (theirs, ours) in [
                (&all[..], &all[lost..]),
                (&all[lost..], &all[..]),
                (&all[lost / 2..], &all[..20_000 - lost / 2]),
            ] {
                let mut encoder = Encoder::new(theirs.iter().copied());
                let mut decoder = Decoder::new(ours.iter().copied());
                assert_eq!(decoder.add(&encoder.next_cells(48)), Decoding::Undecided);
                let estimate = decoder.estimate();
                assert!(
                    (lost / 2..=lost * 2).contains(&estimate),
                    "{estimate} for {lost}"
                );
            }
        }
    }

    #[test]
    fn a_changed_set_has_the_cells_of_the_new_set() {
        let mut encoder = Encoder::new(elements(0..500));
        let mut cells = encoder.next_cells(100);
        let gone = elements(20..40).into_iter().collect();
        encoder.change(&mut cells, &gone, &elements(600..630));
        cells.extend(encoder.next_cells(50));
        let now = [elements(0..20), elements(40..500), elements(600..630)].concat();
        assert_eq!(cells, Encoder::new(now).next_cells(150));
    }

    #[test]
    fn cells_that_no_set_has_never_loop_and_never_panic() {
        let mut random = 1u64;
        for round in 0..200 {
            let mut decoder = Decoder::new(elements(0..50));
            for _ in 0..4 {
                let cells: Vec<Cell> = (0..64)
                    .map(|_| {
                        random = random
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1);
                        let element = Element(random >> (round % 60));
                        Cell {
                            sum: element.0,
                            check: check_of(element),
                            count: 1,
                        }
                    })
                    .collect();
                if decoder.add(&cells) == Decoding::Broken {
                    break;
                }
            }
        }
    }
}
