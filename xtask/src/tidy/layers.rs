//! Which crate may stand on which, and what the deterministic ones may reach.

use super::crates::Crate;
use super::rust::{RustFile, is_test_path};
use super::tree::{line_of, within};
use super::{House, Report, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "reading-order",
        asks: "a crate uses only crates before it in the workspace's `members`",
        check: reading_order,
    },
    Rule {
        name: "meeting-place",
        asks: "the SDK and the server meet in protocol and core only",
        check: meeting_place,
    },
    Rule {
        name: "pure-crates",
        asks: "protocol and core reach no runtime, clock, socket, random source or database",
        check: pure_crates,
    },
    Rule {
        name: "pure-std",
        asks: "protocol and core use no clock, socket, file, thread or environment of `std`",
        check: pure_std,
    },
    Rule {
        name: "determinism",
        asks: "protocol, core, store and sim carry the determinism lints",
        check: determinism,
    },
];

/// Compile for every target, and do the same on every run.
const PURE: [&str; 2] = ["highwater-protocol", "highwater-core"];

/// Do the same on every run, given the same seed.
const DETERMINISTIC: [&str; 4] = [
    "highwater-protocol",
    "highwater-core",
    "highwater-store",
    "highwater-sim",
];

/// Crates that bring what a pure crate must not reach, by what that is.
const IMPURE: [(&str, &[&str]); 5] = [
    (
        "an asynchronous runtime",
        &[
            "tokio",
            "async-std",
            "async-executor",
            "smol",
            "futures-executor",
        ],
    ),
    (
        "a clock",
        &["chrono", "time", "jiff", "web-time", "instant", "quanta"],
    ),
    (
        "a socket",
        &[
            "mio",
            "socket2",
            "hyper",
            "h2",
            "axum",
            "reqwest",
            "tungstenite",
            "rustls",
        ],
    ),
    (
        "a random source",
        &["rand", "getrandom", "fastrand", "uuid", "oorandom"],
    ),
    (
        "a database",
        &[
            "rusqlite",
            "libsqlite3-sys",
            "sqlx",
            "postgres",
            "tokio-postgres",
            "redb",
        ],
    ),
];

/// Modules of `std` that touch the world.
const WORLDLY_MODULES: [&str; 5] = ["env", "fs", "net", "process", "thread"];

/// Types of `std` that tell the time.
const CLOCKS: [&str; 2] = ["Instant", "SystemTime"];

/// Tests are exempt here and below: a replica is tested against a store, and
/// an SDK against a server.
fn reading_order(house: &House, report: &mut Report) {
    for (position, member) in house.crates.iter().enumerate() {
        for dependency in member.dependencies.iter().filter(|used| used.is_shipped()) {
            let Some(below) = house.crates.position(&dependency.name) else {
                continue;
            };
            if below >= position {
                report.add(
                    &member.manifest_path(),
                    line_of_dependency(house, member, &dependency.name),
                    format!(
                        "{} depends on {}, which stands above it",
                        member.name, dependency.name
                    ),
                    "turn the dependency round, or move what both need into a lower crate",
                );
            }
        }
    }
}

fn meeting_place(house: &House, report: &mut Report) {
    let sides = ["highwater-sdk", "highwater-server"];
    for (side, other) in [(sides[0], sides[1]), (sides[1], sides[0])] {
        let Some(member) = house.crates.named(side) else {
            continue;
        };
        let meets = member
            .dependencies
            .iter()
            .any(|dependency| dependency.name == other && dependency.is_shipped());
        if meets {
            report.add(
                &member.manifest_path(),
                line_of_dependency(house, member, other),
                format!("{side} depends on {other}"),
                "put what both need into highwater-core or highwater-protocol",
            );
        }
    }
}

fn pure_crates(house: &House, report: &mut Report) {
    for member in PURE.iter().filter_map(|name| house.crates.named(name)) {
        for (reached, way) in house.graph.reach(&member.name) {
            let kind = IMPURE
                .iter()
                .find(|(_, names)| names.contains(&reached))
                .map(|(kind, _)| kind);
            if let Some(kind) = kind {
                report.add(
                    &member.manifest_path(),
                    way.get(1)
                        .map_or(0, |first| line_of_dependency(house, member, first)),
                    format!("{} reaches {kind}: {}", member.name, way.join(" → ")),
                    "pass time, seeds and data in, or switch off the feature that brings it",
                );
            }
        }
    }
}

fn pure_std(house: &House, report: &mut Report) {
    for member in PURE.iter().filter_map(|name| house.crates.named(name)) {
        let sources = format!("{}/src", member.folder);
        for (path, file) in house.sources.files() {
            if !within(path, &sources) || is_test_path(path) {
                continue;
            }
            for (line, word) in worldly(file) {
                report.add(
                    path,
                    line,
                    format!("{} uses `{word}`", member.name),
                    "pass the time, the seed or the data in",
                );
            }
        }
    }
}

/// The clocks and worldly modules of `std` that shipped code names.
fn worldly(file: &RustFile) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for token in file.shipped() {
        if let Some(word) = token.word()
            && CLOCKS.contains(&word)
        {
            found.push((token.line, word.to_owned()));
        }
    }
    for start in file.rows(&["std", ":", ":"]) {
        // `std::fs`, or the first names in `std::{fs, net::…}`.
        let after = file.tokens.get(start + 3..).unwrap_or_default();
        let named: Vec<_> = match after.first() {
            Some(token) if token.reads("{") => first_names(after).collect(),
            Some(token) => vec![token],
            None => Vec::new(),
        };
        for token in named {
            if let Some(word) = token.word()
                && WORLDLY_MODULES.contains(&word)
                && !token.in_test
            {
                found.push((token.line, format!("std::{word}")));
            }
        }
    }
    found
}

/// In `{a, b::{c}, d}`: `a`, `b` and `d`.
fn first_names(group: &[super::rust::Token]) -> impl Iterator<Item = &super::rust::Token> {
    let mut depth = 0_usize;
    let mut done = false;
    let mut expects = false;
    group.iter().filter(move |token| {
        if done {
            return false;
        }
        let first = depth == 1 && expects;
        if token.reads("{") {
            depth += 1;
            expects = depth == 1;
        } else if token.reads("}") {
            depth -= 1;
            done = depth == 0;
        } else {
            expects = depth == 1 && token.reads(",");
        }
        first
    })
}

fn determinism(house: &House, report: &mut Report) {
    let members: Vec<&Crate> = DETERMINISTIC
        .iter()
        .filter_map(|name| house.crates.named(name))
        .collect();
    same_lints(house, &members, report);
    for member in members {
        let root = format!("{}/src/lib.rs", member.folder);
        let lint = "iter_over_hash_type";
        let warned = house
            .sources
            .file(&root)
            .is_some_and(|file| file.shipped().any(|token| token.reads(lint)));
        if !warned {
            report.add(
                &root,
                0,
                format!("{} may loop over a hash map", member.name),
                format!("add `#![warn(clippy::{lint})]`: the order changes from run to run"),
            );
        }
    }
}

/// Clippy reads one configuration for a crate, so each of them has its own,
/// and all of them say the same.
fn same_lints(house: &House, members: &[&Crate], report: &mut Report) {
    let mut first: Option<(String, &str)> = None;
    for member in members {
        let path = format!("{}/clippy.toml", member.folder);
        match (house.tree.text(&path), &first) {
            (None, _) => report.add(
                &path,
                0,
                format!("{} has no determinism lints", member.name),
                "copy clippy.toml from another of the deterministic crates",
            ),
            (Some(text), None) => first = Some((path, text)),
            (Some(text), Some((other, expected))) if *expected != text => report.add(
                &path,
                0,
                format!("the determinism lints differ from {other}"),
                "make them the same again: the rule is one for all of these crates",
            ),
            (Some(_), Some(_)) => {}
        }
    }
}

fn line_of_dependency(house: &House, member: &Crate, name: &str) -> usize {
    let text = house.tree.text(&member.manifest_path()).unwrap_or_default();
    text.lines()
        .position(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        })
        .map_or_else(|| line_of(text, name), |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, check_with_graph};

    const ROOT: (&str, &str) = (
        "Cargo.toml",
        "[workspace]\nmembers = ['p', 'c', 's', 'k']\n",
    );
    const PROTOCOL: (&str, &str) = ("p/Cargo.toml", "[package]\nname = 'highwater-protocol'");
    const CORE: (&str, &str) = (
        "c/Cargo.toml",
        "[package]\nname = 'highwater-core'\n[dependencies]\nhighwater-protocol.workspace = true\nbytes.workspace = true\n",
    );
    const SERVER: (&str, &str) = ("s/Cargo.toml", "[package]\nname = 'highwater-server'");
    const SDK: (&str, &str) = ("k/Cargo.toml", "[package]\nname = 'highwater-sdk'");

    #[test]
    fn a_crate_stands_only_on_those_before_it() {
        let tidy = [ROOT, PROTOCOL, CORE, SERVER, SDK];
        assert_eq!(check("reading-order", &tidy), Vec::<String>::new());
        let found = |table: &str| {
            let upward = format!(
                "[package]\nname = 'highwater-protocol'\n[{table}]\nhighwater-core.workspace = true"
            );
            let upward = ("p/Cargo.toml", upward.as_str());
            check("reading-order", &[ROOT, upward, CORE, SERVER, SDK])
        };
        let expected =
            ["p/Cargo.toml:4: highwater-protocol depends on highwater-core, which stands above it"];
        assert_eq!(found("dependencies"), expected);
        assert_eq!(found("build-dependencies"), expected);
        assert_eq!(found("dev-dependencies"), Vec::<String>::new());
    }

    #[test]
    fn sdk_and_server_meet_below_but_tests_may_bring_them_together() {
        let sdk = |table: &str| {
            format!(
                "[package]\nname = 'highwater-sdk'\n[{table}]\nhighwater-server.workspace = true"
            )
        };
        let found = |table: &str| {
            let sdk = sdk(table);
            let files = [ROOT, PROTOCOL, CORE, SERVER, ("k/Cargo.toml", sdk.as_str())];
            check("meeting-place", &files)
        };
        assert_eq!(
            found("dependencies"),
            ["k/Cargo.toml:4: highwater-sdk depends on highwater-server"]
        );
        assert_eq!(found("dev-dependencies"), Vec::<String>::new());
    }

    #[test]
    fn a_pure_crate_reaches_nothing_of_the_world_even_through_others() {
        let tidy = [ROOT, PROTOCOL, CORE, SERVER, SDK];
        let edges = [
            ("highwater-core", "highwater-protocol"),
            ("highwater-core", "bytes"),
            ("bytes", "getrandom"),
            ("highwater-server", "tokio"),
        ];
        assert_eq!(
            check_with_graph("pure-crates", &tidy, &edges),
            ["c/Cargo.toml:5: highwater-core reaches a random source: \
                 highwater-core → bytes → getrandom"]
        );
        assert_eq!(
            check_with_graph("pure-crates", &tidy, &edges[..2]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_pure_crate_uses_nothing_worldly_of_std() {
        let source = (
            "c/src/lib.rs",
            "use std::{collections::BTreeMap, fs, io::{self, env}};\nuse std::time::{Duration, Instant};\n\
             fn now() { std::thread::sleep(x) }\n#[cfg(test)] mod tests { use std::net; }",
        );
        let server = ("s/src/lib.rs", "use std::time::Instant;");
        assert_eq!(
            check(
                "pure-std",
                &[ROOT, PROTOCOL, CORE, SERVER, SDK, source, server]
            ),
            [
                "c/src/lib.rs:1: highwater-core uses `std::fs`",
                "c/src/lib.rs:2: highwater-core uses `Instant`",
                "c/src/lib.rs:3: highwater-core uses `std::thread`",
            ]
        );
    }

    #[test]
    fn deterministic_crates_carry_the_same_lints() {
        let warned = "#![warn(clippy::iter_over_hash_type)]";
        let files = [
            ROOT,
            PROTOCOL,
            CORE,
            SERVER,
            SDK,
            ("p/clippy.toml", "a"),
            ("p/src/lib.rs", warned),
            ("c/clippy.toml", "b"),
            ("c/src/lib.rs", "//! Nothing."),
        ];
        assert_eq!(
            check("determinism", &files),
            [
                "c/clippy.toml: the determinism lints differ from p/clippy.toml",
                "c/src/lib.rs: highwater-core may loop over a hash map",
            ]
        );
        assert_eq!(
            check("determinism", &files[..7]),
            [
                "c/clippy.toml: highwater-core has no determinism lints",
                "c/src/lib.rs: highwater-core may loop over a hash map",
            ]
        );
    }
}
