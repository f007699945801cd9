//! Who knows what a member is.
//!
//! The sync path has no branch on the kind of list: a new kind is a payload
//! and its rank. What the kinds are called is read from the file that declares
//! them, so that a new kind is under the rule from its first day.

use super::rust::What;
use super::tree::within;
use super::{House, Report, Rule};
use std::collections::BTreeSet;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "kind-rooms",
        asks: "only the domain, the typed lists and the command line know the kinds of list",
        check: kind_rooms,
    },
    Rule {
        name: "kind-names",
        asks: "core and the stores have no name of a kind in a string",
        check: kind_names,
    },
];

/// Declares the kinds: `pub const FRIENDS: &str = "friends";` and
/// `impl Payload for Friend`.
const DECLARED_IN: &str = "crates/highwater-protocol/src/kinds.rs";

/// Rooms that know the kinds, and why.
const ROOMS: [(&str, &str); 11] = [
    ("crates/highwater-protocol/src/kinds", "declares them"),
    ("crates/highwater-server/src/domain", "their rules"),
    (
        "crates/highwater-sdk/src/lists",
        "the typed lists that apps use",
    ),
    ("crates/highwater-sdk/src/actions", "what a user does"),
    (
        "crates/highwater-sdk/src/conversations",
        "their order, as an app shows it",
    ),
    (
        "crates/highwater-sdk/src/happening",
        "what changed, in an app's words",
    ),
    ("crates/highwater", "the command line shows them to people"),
    ("crates/highwater-sim", "its workload is made of them"),
    ("crates/highwater-bench", "its workload is made of them"),
    ("crates/highwater-fuzz", "their payloads are decoders too"),
    ("xtask", "is no part of the product"),
];

/// Crates on the sync path, which meet kinds as plain data only.
const SYNC_PATH: [&str; 4] = [
    "crates/highwater-core/src",
    "crates/highwater-store/src",
    "crates/highwater-store-sqlite/src",
    "crates/highwater-store-postgres/src",
];

/// What the kinds and their payloads are called.
#[derive(Debug, Default)]
struct Kinds {
    /// Payload types and constants.
    words: BTreeSet<String>,
    /// The kinds' names on the wire.
    names: BTreeSet<String>,
}

impl Kinds {
    fn declared(house: &House) -> Self {
        let mut kinds = Self::default();
        let Some(file) = house.sources.file(DECLARED_IN) else {
            return kinds;
        };
        let word_at = |index: usize| file.tokens.get(index).and_then(|token| token.word());
        for start in file.rows(&["Payload", "for"]) {
            kinds.words.extend(word_at(start + 2).map(str::to_owned));
        }
        for start in file.rows(&["pub", "const"]) {
            // pub const NAME : & str = "name"
            let value = file.tokens.get(start + 7).map(|token| &token.what);
            if let (Some(word), Some(What::Text(name))) = (word_at(start + 2), value) {
                kinds.words.insert(word.to_owned());
                kinds.names.insert(name.clone());
            }
        }
        kinds
    }
}

fn kind_rooms(house: &House, report: &mut Report) {
    let kinds = Kinds::declared(house);
    for (path, file) in house.sources.files() {
        let stem = path.strip_suffix(".rs").unwrap_or(path);
        if ROOMS.iter().any(|(room, _)| within(stem, room)) {
            continue;
        }
        let qualified: BTreeSet<usize> = file
            .rows(&["kinds", ":", ":"])
            .map(|start| start + 3)
            .collect();
        for (index, token) in file.tokens.iter().enumerate() {
            let Some(word) = token.word().filter(|_| !token.in_test) else {
                continue;
            };
            let known = kinds.words.contains(word);
            if known && (qualified.contains(&index) || is_telling(word)) {
                report.add(
                    path,
                    token.line,
                    format!("`{word}` outside the rooms that know the kinds"),
                    "treat the list as items with opaque payloads, or move this into domain/",
                );
            }
        }
    }
}

/// Whether a word can only mean the kind. `Member` alone may be another's;
/// `kinds::Member` is not.
fn is_telling(word: &str) -> bool {
    let capitals = word.chars().filter(|letter| letter.is_uppercase()).count();
    let is_constant = capitals > 0 && !word.chars().any(char::is_lowercase);
    capitals > 1 && !is_constant
}

fn kind_names(house: &House, report: &mut Report) {
    let kinds = Kinds::declared(house);
    for (path, file) in house.sources.files() {
        if !SYNC_PATH.iter().any(|room| within(path, room)) {
            continue;
        }
        for token in file.shipped() {
            if let What::Text(text) = &token.what
                && kinds.names.contains(text)
            {
                report.add(
                    path,
                    token.line,
                    format!("the sync path names the kind \"{text}\""),
                    "take what differs between kinds as a parameter",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    const ROOT: (&str, &str) = ("Cargo.toml", "[workspace]\nmembers = []");
    const KINDS: (&str, &str) = (
        DECLARED_IN,
        "pub const PALS: &str = \"pals\";\npub const LIMIT: usize = 7;\n\
         impl Payload for Pal {}\nimpl Payload for PalProfile {}",
    );

    #[test]
    fn kinds_stay_in_their_rooms() {
        let files = [
            ROOT,
            KINDS,
            (
                "crates/highwater-server/src/domain/pals.rs",
                "use kinds::Pal;",
            ),
            (
                "crates/highwater-server/src/http.rs",
                "use kinds::Pal;\nfn f(p: PalProfile) {}",
            ),
            (
                "crates/highwater-core/src/delta.rs",
                "struct Pal;\n#[cfg(test)] use kinds::Pal;",
            ),
            (
                "crates/highwater-core/src/head.rs",
                "const X: &str = kinds::PALS;",
            ),
        ];
        assert_eq!(
            check("kind-rooms", &files),
            [
                "crates/highwater-core/src/head.rs:1: `PALS` outside the rooms that know the kinds",
                "crates/highwater-server/src/http.rs:1: `Pal` outside the rooms that know the kinds",
                "crates/highwater-server/src/http.rs:2: `PalProfile` outside the rooms that know the kinds",
            ]
        );
    }

    #[test]
    fn the_sync_path_names_no_kind() {
        let files = [
            ROOT,
            KINDS,
            (
                "crates/highwater-store/src/memory.rs",
                "fn f(k: &str) -> bool { k == \"pals\" }\n#[test] fn t() { f(\"pals\") }\nfn g() { \"other pals\" }",
            ),
            (
                "crates/highwater-store/tests/main.rs",
                "fn f() { g(\"pals\") }",
            ),
            (
                "crates/highwater-server/src/lib.rs",
                "fn f() { g(\"pals\") }",
            ),
        ];
        assert_eq!(
            check("kind-names", &files),
            ["crates/highwater-store/src/memory.rs:1: the sync path names the kind \"pals\""]
        );
    }
}
