//! The stamps and the digest of `docs/protocol.md` against the code.

use highwater_core::stamp::stamp_of;
use highwater_protocol::{Digest, ItemId, Rank};

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
