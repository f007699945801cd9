//! What the house says about itself: module docs, the code map, links.

use super::rust::is_test_path;
use super::{House, Report, Rule};
use std::collections::BTreeSet;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "module-docs",
        asks: "each file of a crate opens by saying why it is there",
        check: module_docs,
    },
    Rule {
        name: "crates-named",
        asks: "README.md and ARCHITECTURE.md name every crate",
        check: crates_named,
    },
    Rule {
        name: "links",
        asks: "links between the documents lead somewhere",
        check: links,
    },
];

fn module_docs(house: &House, report: &mut Report) {
    for member in house.crates.iter() {
        let sources = format!("{}/src/", member.folder);
        for (path, text) in house.tree.texts() {
            let is_source = path.starts_with(&sources) && path.ends_with(".rs");
            if !is_source || is_test_path(path) {
                continue;
            }
            if !text.lines().any(|line| line.starts_with("//!")) {
                report.add(
                    path,
                    1,
                    "the file has no module doc",
                    "open it with `//!` lines that say why it is there",
                );
            }
        }
    }
}

fn crates_named(house: &House, report: &mut Report) {
    for document in ["README.md", "ARCHITECTURE.md"] {
        let Some(text) = house.tree.text(document) else {
            report.add(
                document,
                0,
                "the document is missing",
                "write it; it names every crate in reading order",
            );
            continue;
        };
        for member in house.crates.iter() {
            if !names(text, &member.name) {
                report.add(
                    document,
                    0,
                    format!("{} is not named", member.name),
                    "say in a line what the crate is for",
                );
            }
        }
    }
}

/// Whether `name` stands in `text` by itself, not as a part of a longer name.
fn names(text: &str, name: &str) -> bool {
    let part_of_name = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
    text.match_indices(name).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + name.len()..].chars().next();
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}

fn links(house: &House, report: &mut Report) {
    for (path, text) in house.tree.texts() {
        if !path.ends_with(".md") {
            continue;
        }
        for (line, target) in links_of(text) {
            let (file, anchor) = match target.split_once('#') {
                Some((file, anchor)) => (file, Some(anchor)),
                None => (target.as_str(), None),
            };
            let place = if file.is_empty() {
                Some(path.to_owned())
            } else {
                resolve(path, file)
            };
            let Some(place) = place.filter(|place| house.tree.holds(place)) else {
                let what = format!("`{target}` is not in the repository");
                report.add(path, line, what, "mend the link");
                continue;
            };
            let Some(anchor) = anchor.filter(|_| place.ends_with(".md")) else {
                continue;
            };
            let there = house.tree.text(&place).unwrap_or_default();
            if !anchors_of(there).contains(anchor) {
                let what = format!("{place} has no heading `#{anchor}`");
                report.add(path, line, what, "mend the link");
            }
        }
    }
}

/// The lines of a Markdown text that are not in a fenced block, numbered
/// from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let start = line.trim_start();
        let marker = ["```", "~~~"]
            .into_iter()
            .find(|marker| start.starts_with(marker));
        match (fence, marker) {
            (None, None) => return Some((index + 1, line)),
            (None, Some(opening)) => fence = Some(opening),
            (Some(opening), Some(closing)) if opening == closing => fence = None,
            (Some(_), _) => {}
        }
        None
    })
}

/// The targets of links that should lead into the repository, with their
/// lines: `[text](target)` and `[name]: target`.
fn links_of(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        let definition = line
            .trim_start()
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("]:"))
            .map(|(_, target)| target.trim_start());
        let inline = line
            .match_indices("](")
            .filter_map(|(start, _)| line[start + 2..].split_once(')').map(|(target, _)| target));
        for target in inline.chain(definition) {
            // After the address a title may stand.
            let target = target
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .trim_matches(['<', '>']);
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !elsewhere && !target.is_empty() {
                found.push((number, target.to_owned()));
            }
        }
    }
    found
}

/// The line with its `code` blanked out.
fn without_code(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    // A last part after an unpaired backtick is no code.
    let closed = parts.len() - 1 - (parts.len() - 1) % 2;
    parts
        .iter()
        .enumerate()
        .map(|(index, part)| {
            if index % 2 == 1 && index < closed {
                " "
            } else {
                part
            }
        })
        .collect()
}

/// The place that `target` means in the document `from`; `None` outside of the
/// repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut place: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from.split('/').rev().skip(1).collect::<Vec<_>>(),
    };
    place.reverse();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                place.pop()?;
            }
            name => place.push(name),
        }
    }
    Some(place.join("/"))
}

/// The anchors that a reader's browser finds for the headings of a document.
fn anchors_of(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        if !(1..=6).contains(&level) || !title.starts_with(' ') {
            continue;
        }
        let anchor: String = title
            .trim()
            .chars()
            .filter_map(|letter| match letter {
                ' ' => Some('-'),
                '-' | '_' => Some(letter),
                _ if letter.is_alphanumeric() => Some(letter),
                _ => None,
            })
            .flat_map(char::to_lowercase)
            .collect();
        let mut unique = anchor.clone();
        let mut repeats = 0;
        while !anchors.insert(unique.clone()) {
            repeats += 1;
            unique = format!("{anchor}-{repeats}");
        }
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    const ROOT: (&str, &str) = (
        "Cargo.toml",
        "[workspace]\nmembers = ['crates/a', 'crates/a-b']",
    );
    const A: (&str, &str) = ("crates/a/Cargo.toml", "[package]\nname = 'a'");
    const B: (&str, &str) = ("crates/a-b/Cargo.toml", "[package]\nname = 'a-b'");

    #[test]
    fn files_say_why_they_are_there() {
        let files = [
            ROOT,
            A,
            B,
            ("crates/a/src/lib.rs", "#![no_std]\n//! Why.\n"),
            ("crates/a/src/b.rs", "/// An item.\nfn b() {}\n"),
            ("crates/a/tests/main.rs", "fn b() {}\n"),
            ("crates/a/build.rs", "fn main() {}\n"),
        ];
        assert_eq!(
            check("module-docs", &files),
            ["crates/a/src/b.rs:1: the file has no module doc"]
        );
    }

    #[test]
    fn every_crate_is_named_by_itself() {
        let files = [ROOT, A, B, ("README.md", "Read crates/a-b first.\n")];
        assert_eq!(
            check("crates-named", &files),
            [
                "ARCHITECTURE.md: the document is missing",
                "README.md: a is not named",
            ]
        );
        let files = [
            ROOT,
            A,
            B,
            ("README.md", "`a`, `a-b`"),
            ("ARCHITECTURE.md", "crates/a/ and crates/a-b/"),
        ];
        assert_eq!(check("crates-named", &files), Vec::<String>::new());
    }

    #[test]
    fn links_lead_somewhere() {
        let readme = "# The `first` idea\n[a](docs/x.md) [b](docs/) [c](https://x.org/y) [d](gone.md \"t\")\n\
             `[e](gone.md)` [f](#the-first-idea) [g](#gone) [h](docs/x.md#why-not-)\n\
             ```\n[i](gone.md)\n# no heading\n```\n[j]: gone.png\n[k](#no-heading)\n";
        let x = "[up](../README.md) [out](../../README.md) [root](/README.md)\n## Why, not? \n## Why not\n## Why not\n";
        assert_eq!(
            check(
                "links",
                &[ROOT, A, B, ("README.md", readme), ("docs/x.md", x)]
            ),
            [
                "README.md:2: `gone.md` is not in the repository",
                "README.md:3: README.md has no heading `#gone`",
                "README.md:3: docs/x.md has no heading `#why-not-`",
                "README.md:8: `gone.png` is not in the repository",
                "README.md:9: README.md has no heading `#no-heading`",
                "docs/x.md:1: `../../README.md` is not in the repository",
            ]
        );
        let anchors = anchors_of(x);
        let anchors: Vec<&str> = anchors.iter().map(String::as_str).collect();
        assert_eq!(anchors, ["why-not", "why-not-1", "why-not-2"]);
    }

    #[test]
    fn code_in_a_line_is_no_link() {
        assert_eq!(without_code("a `b` c"), "a   c");
        assert_eq!(without_code("a ` b"), "a  b");
        assert_eq!(without_code("`a` b `c"), "  b c");
    }
}
