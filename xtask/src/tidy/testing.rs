//! Made-up houses for the tests of the rules.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::graph::Graph;
use super::tree::Tree;
use super::{GROUPS, House, rules};
use std::path::Path;
use std::process::Command;

/// What the rule of this name finds among `files`, as `path:line: what`.
pub(super) fn check(rule: &str, files: &[(&str, &str)]) -> Vec<String> {
    check_with_graph(rule, files, &[])
}

/// The same, with pairs of a crate and one that it uses.
pub(super) fn check_with_graph(
    rule: &str,
    files: &[(&str, &str)],
    edges: &[(&str, &str)],
) -> Vec<String> {
    let house = House::of(Tree::of(files), Graph::of(edges)).unwrap();
    let rule = GROUPS
        .into_iter()
        .flatten()
        .find(|candidate| candidate.name == rule)
        .unwrap();
    let mut found = rule.violations(&house);
    found.sort();
    found
        .into_iter()
        .map(|violation| match violation.line {
            0 => format!("{}: {}", violation.path, violation.what),
            line => format!("{}:{line}: {}", violation.path, violation.what),
        })
        .collect()
}

#[test]
fn each_rule_has_a_name_of_its_own_and_says_what_it_asks() {
    let text = rules();
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert_eq!(count, GROUPS.into_iter().flatten().count());
}

#[test]
fn a_whole_repository_is_read_and_judged() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let write = |path: &str, text: &str| {
        let place = root.join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, text).unwrap();
    };
    write("README.md", "See [one](crates/one/src/lib.rs).\n");
    write("ARCHITECTURE.md", "`one` is all.\n");
    write(
        "Cargo.toml",
        "[workspace]\nresolver = '3'\nmembers = ['crates/one']\n[workspace.package]\nversion = '0.1.0'\nedition = '2024'\n\
         rust-version = '1.85'\nlicense = 'Apache-2.0'\npublish = false\n[workspace.lints.rust]\nunsafe_code = 'forbid'\n",
    );
    write(
        "crates/one/Cargo.toml",
        "[package]\nname = 'one'\ndescription = 'All.'\nversion.workspace = true\nedition.workspace = true\n\
         rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n",
    );
    write("crates/one/src/lib.rs", "//! All.\n");
    lock(root);
    let house = House::open(root).unwrap();
    assert_eq!(house.violations(), []);

    write("README.md", "See [one](crates/two).\n");
    write("crates/one/src/lib.rs", "fn one() { Some(1); }\n");
    let found: Vec<String> = House::open(root)
        .unwrap()
        .violations()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "README.md:1: [links] `crates/two` is not in the repository: mend the link",
            "crates/one/src/lib.rs:1: [module-docs] the file has no module doc: \
             open it with `//!` lines that say why it is there",
        ]
    );
}

/// Makes the lock file that `cargo metadata --locked` asks for.
fn lock(root: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["generate-lockfile", "--offline", "--quiet"])
        .current_dir(root)
        .status()
        .unwrap();
    assert!(status.success());
}
