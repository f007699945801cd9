//! What a crate's code reaches through its dependencies, as cargo resolved it.

use anyhow::Context as _;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::process::Command;

/// The graph of normal dependencies: those of tests and build scripts are
/// left out, and so are those of procedural macros, which run in the compiler.
#[derive(Debug, Default)]
pub(super) struct Graph {
    uses: BTreeMap<String, BTreeSet<String>>,
}

/// The part of `cargo metadata` that is read.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDep>,
}

#[derive(Deserialize)]
struct NodeDep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Deserialize)]
struct DepKind {
    /// `None` for a normal dependency.
    kind: Option<String>,
}

impl Graph {
    /// Runs `cargo metadata` in `root`.
    ///
    /// # Errors
    /// What cargo complains about, or an answer in an unknown form.
    pub(super) fn ask_cargo(root: &Path) -> anyhow::Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version=1", "--locked"])
            .current_dir(root)
            .output()
            .context("cannot start cargo")?;
        anyhow::ensure!(
            output.status.success(),
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
        Self::of_metadata(&output.stdout)
    }

    fn of_metadata(json: &[u8]) -> anyhow::Result<Self> {
        let metadata: Metadata =
            serde_json::from_slice(json).context("cargo metadata answers in an unknown form")?;
        let packages: BTreeMap<&str, &Package> = metadata
            .packages
            .iter()
            .map(|package| (package.id.as_str(), package))
            .collect();
        let mut graph = Self::default();
        for node in &metadata.resolve.nodes {
            let Some(package) = packages.get(node.id.as_str()) else {
                continue;
            };
            if package.is_macro() {
                continue;
            }
            let used = node
                .deps
                .iter()
                .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind.is_none()))
                .filter_map(|dep| packages.get(dep.pkg.as_str()))
                .map(|package| package.name.clone());
            graph
                .uses
                .entry(package.name.clone())
                .or_default()
                .extend(used);
        }
        Ok(graph)
    }

    /// A made-up graph, as pairs of a crate and one that it uses.
    #[cfg(test)]
    pub(super) fn of(edges: &[(&str, &str)]) -> Self {
        let mut graph = Self::default();
        for (from, to) in edges {
            graph
                .uses
                .entry((*from).to_owned())
                .or_default()
                .insert((*to).to_owned());
        }
        graph
    }

    /// All crates that `start` reaches, each with a shortest way from `start`
    /// to it, both ends included.
    pub(super) fn reach<'a>(&'a self, start: &'a str) -> BTreeMap<&'a str, Vec<&'a str>> {
        let mut ways = BTreeMap::from([(start, vec![start])]);
        let mut queue = VecDeque::from([start]);
        while let Some(name) = queue.pop_front() {
            let way = ways[name].clone();
            for next in self.uses.get(name).into_iter().flatten() {
                if !ways.contains_key(next.as_str()) {
                    let mut longer = way.clone();
                    longer.push(next);
                    ways.insert(next, longer);
                    queue.push_back(next);
                }
            }
        }
        ways.remove(start);
        ways
    }
}

impl Package {
    fn is_macro(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_code_itself_uses_is_reached() {
        let package = |name: &str, kind: &str| serde_json::json!({"id": name, "name": name, "targets": [{"kind": [kind]}]});
        let uses = |name: &str, kind: Option<&str>| serde_json::json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let json = serde_json::json!({
            "packages": [
                package("core", "lib"), package("bytes", "lib"), package("derive", "proc-macro"),
                package("syn", "lib"), package("cc", "lib"), package("proptest", "lib"),
                package("deep", "lib"),
            ],
            "resolve": {"nodes": [
                {"id": "core", "deps": [uses("bytes", None), uses("derive", None),
                    uses("cc", Some("build")), uses("proptest", Some("dev"))]},
                {"id": "derive", "deps": [uses("syn", None)]},
                {"id": "bytes", "deps": [uses("deep", None)]},
            ]},
        });
        let graph = Graph::of_metadata(json.to_string().as_bytes()).unwrap();
        let reached = graph.reach("core");
        let names: Vec<&str> = reached.keys().copied().collect();
        assert_eq!(names, ["bytes", "deep", "derive"]);
        assert_eq!(reached["deep"], ["core", "bytes", "deep"]);
    }

    #[test]
    fn a_ring_is_walked_once() {
        let graph = Graph::of(&[("a", "b"), ("b", "a")]);
        assert_eq!(graph.reach("a").len(), 1);
    }

    #[test]
    fn an_unknown_form_is_refused() {
        Graph::of_metadata(b"{}").unwrap_err();
    }
}
