//! The stamps, the digest and the sketch of `docs/protocol.md` against the code.

use highwater_core::sketch::{Decoder, Decoding, Element, Encoder, Salt, element_of};
use highwater_core::stamp::stamp_of;
use highwater_protocol::message::SketchId;
use highwater_protocol::{Digest, ItemId, Lineage, Point, Rank, Stamp, Version};

const DOCUMENT: &str = include_str!("../../../../docs/protocol.md");

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

#[test]
fn the_documented_stamps_and_their_digest_are_computed() {
    let start = DOCUMENT.find("| id | rank (hex) |").unwrap();
    let mut digest = Digest::ZERO;
    let mut rows = 0;
    for line in DOCUMENT[start..]
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
    {
        let cells: Vec<&str> = line
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        let id = if cells[1] == "(empty)" { "" } else { cells[1] };
        let stamp = stamp_of(
            &ItemId::new_or_header(id).unwrap(),
            &Rank::new(bytes(cells[2])).unwrap(),
            &bytes(cells[3]),
        );
        assert_eq!(stamp.to_string(), cells[4], "the stamp of {id:?}");
        digest = digest.plus(stamp);
        rows += 1;
    }
    assert_eq!(rows, 3);
    let line = DOCUMENT
        .lines()
        .find(|line| line.starts_with("Digest of these three"))
        .unwrap();
    assert_eq!(line, format!("Digest of these three: `{digest}`, count 3."));
}

/// The cells of a table's rows, without the marks around them.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let start = DOCUMENT.find(heading).unwrap();
    let lines = DOCUMENT[start..].lines().skip(2);
    lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().trim_matches('`')).collect()
        })
        .collect()
}

fn documented_elements() -> Vec<(String, Element)> {
    let id = SketchId {
        point: Point {
            lineage: Lineage::new(81_985_529_216_486_895).unwrap(),
            version: Version::ZERO,
        },
        salt: Salt(1),
    };
    let element = |row: Vec<&str>| {
        let stamp = Stamp(bytes(row[3]).try_into().unwrap());
        (row[0].to_owned(), element_of(&id, stamp))
    };
    rows("| id | rank (hex) |")
        .into_iter()
        .map(element)
        .collect()
}

#[test]
fn the_documented_sketch_is_computed() {
    let elements = documented_elements();
    let mut expected = Vec::new();
    for (name, element) in &elements {
        let cells = Encoder::new([*element]).next_cells(16);
        let falls: Vec<String> = (0..16)
            .filter(|at| cells[*at].count == 1)
            .map(|at| at.to_string())
            .collect();
        let (check, falls) = (cells[0].check, falls.join(", "));
        expected.push(format!(
            "| {name} | `{:016x}` | `{check:016x}` | {falls} |",
            element.0
        ));
    }
    expected.push("|".to_owned());
    let set = elements.iter().map(|(_, element)| *element);
    for (at, cell) in Encoder::new(set).next_cells(8).iter().enumerate() {
        let (sum, check, count) = (cell.sum, cell.check, cell.count);
        expected.push(format!(
            "| {at} | `{sum:016x}` | `{check:016x}` | {count} |"
        ));
    }
    let lines = |rows: Vec<Vec<&str>>, code: std::ops::Range<usize>| {
        let line = |row: Vec<&str>| {
            let cell = |(at, cell): (usize, &&str)| match code.contains(&at) {
                true => format!("`{cell}`"),
                false => (*cell).to_owned(),
            };
            let cells: Vec<String> = row.iter().enumerate().map(cell).collect();
            format!("| {} |", cells.join(" | "))
        };
        rows.into_iter().map(line).collect::<Vec<_>>()
    };
    let mut documented = lines(rows("| id | element (hex) |"), 1..3);
    documented.push("|".to_owned());
    documented.extend(lines(rows("| cell | sum (hex) |"), 1..3));
    assert_eq!(
        documented,
        expected,
        "it should say:\n{}",
        expected.join("\n")
    );
}

#[test]
fn the_documented_sketch_peels_to_its_elements() {
    let elements: Vec<Element> = documented_elements().into_iter().map(|(_, e)| e).collect();
    let cells = Encoder::new(elements.iter().copied()).next_cells(8);
    let mut decoder = Decoder::new([]);
    let Decoding::Done(mut difference) = decoder.add(&cells) else {
        panic!("eight cells are enough for these three");
    };
    difference.theirs.sort();
    let mut sorted = elements;
    sorted.sort();
    assert_eq!((difference.theirs, difference.ours), (sorted, vec![]));
}
