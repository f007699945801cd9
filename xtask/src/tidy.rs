//! The rules of the house.
//!
//! A [`House`] is what the rules look at: the tree of files, the Rust among
//! them as tokens, the crates in reading order, and the graph of what they
//! depend on. A rule is a function from the house to its violations, in a file
//! with the rules of its group. All of them always run, so that one look shows
//! everything that is out of place.

use anyhow::Context as _;
use std::fmt;
use std::path::Path;

mod crates;
mod documents;
mod files;
mod graph;
mod kinds;
mod layers;
mod manifests;
mod rooms;
mod rust;
mod tree;

use crates::Crates;
use graph::Graph;
use rust::Sources;
use tree::Tree;

/// Everything that the rules look at.
pub(crate) struct House {
    tree: Tree,
    crates: Crates,
    sources: Sources,
    graph: Graph,
}

/// One thing that is out of place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    /// The file, from the root of the repository.
    path: String,
    /// The line, from 1; 0 for the file as a whole.
    line: usize,
    /// The name of the rule.
    rule: &'static str,
    /// What is there that should not be, or the other way round.
    what: String,
    /// What to do about it.
    remedy: String,
}

/// A rule: its name, what it asks for, and its check.
struct Rule {
    name: &'static str,
    asks: &'static str,
    check: fn(&House, &mut Report),
}

/// Collects what one rule finds.
struct Report {
    rule: &'static str,
    found: Vec<Violation>,
}

const GROUPS: [&[Rule]; 6] = [
    layers::RULES,
    rooms::RULES,
    kinds::RULES,
    manifests::RULES,
    files::RULES,
    documents::RULES,
];

impl House {
    /// Reads the repository at `root`.
    ///
    /// # Errors
    /// A file or manifest that cannot be read, or `cargo metadata` failing.
    pub(crate) fn open(root: &Path) -> anyhow::Result<Self> {
        let tree = Tree::read(root).context("cannot read the repository")?;
        let graph = Graph::ask_cargo(root)?;
        Self::of(tree, graph)
    }

    fn of(tree: Tree, graph: Graph) -> anyhow::Result<Self> {
        let crates = Crates::of(&tree)?;
        let sources = Sources::of(&tree);
        Ok(Self {
            tree,
            crates,
            sources,
            graph,
        })
    }

    /// What is out of place, by file and line.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for rule in GROUPS.into_iter().flatten() {
            found.extend(rule.violations(self));
        }
        found.sort();
        found
    }

    /// How many files the rules looked at.
    pub(crate) fn file_count(&self) -> usize {
        self.tree.files().count()
    }
}

/// A list of the rules, for people.
pub(crate) fn rules() -> String {
    GROUPS
        .into_iter()
        .flatten()
        .map(|rule| format!("{:18} {}\n", rule.name, rule.asks))
        .collect()
}

impl Rule {
    fn violations(&self, house: &House) -> Vec<Violation> {
        let mut report = Report {
            rule: self.name,
            found: Vec::new(),
        };
        (self.check)(house, &mut report);
        report.found
    }
}

impl Report {
    fn add(&mut self, path: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) {
        self.found.push(Violation {
            path: path.to_owned(),
            line,
            rule: self.rule,
            what: what.into(),
            remedy: remedy.into(),
        });
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": [{}] {}: {}", self.rule, self.what, self.remedy)
    }
}

#[cfg(test)]
mod testing;
