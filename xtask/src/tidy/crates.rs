//! The crates of the workspace, in the reading order of its `members`.

use super::tree::Tree;
use anyhow::Context as _;

/// All crates, lower ones first.
#[derive(Debug)]
pub(super) struct Crates {
    members: Vec<Crate>,
}

/// One crate.
#[derive(Debug)]
pub(super) struct Crate {
    /// Its package name.
    pub(super) name: String,
    /// Its folder, from the root of the repository.
    pub(super) folder: String,
    /// Its `Cargo.toml`, parsed.
    pub(super) manifest: toml::Table,
    /// What it names as dependencies.
    pub(super) dependencies: Vec<Dependency>,
}

/// One entry of a table of dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dependency {
    /// The name that it is called by.
    pub(super) name: String,
    /// Which of the tables it is in.
    pub(super) table: Table,
    /// Whether it says `workspace = true`.
    pub(super) inherited: bool,
}

/// The tables of dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// What the crate's code uses.
    Normal,
    /// What only its tests, examples and benchmarks use.
    Dev,
    /// What its build script uses.
    Build,
}

impl Crates {
    /// Reads the root manifest and that of each member.
    ///
    /// # Errors
    /// A manifest that is missing, is no TOML, or lacks what cargo asks for.
    pub(super) fn of(tree: &Tree) -> anyhow::Result<Self> {
        let root = manifest(tree, "Cargo.toml")?;
        let members = root
            .get("workspace")
            .and_then(|workspace| workspace.get("members"))
            .and_then(toml::Value::as_array)
            .context("Cargo.toml has no [workspace] members")?;
        let members = members
            .iter()
            .map(|member| {
                let folder = member.as_str().context("a member is no string")?;
                Crate::of(tree, folder)
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { members })
    }

    /// All crates, lower ones first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Crate> {
        self.members.iter()
    }

    /// The crate of this name.
    pub(super) fn named(&self, name: &str) -> Option<&Crate> {
        self.members.iter().find(|member| member.name == name)
    }

    /// How far up the crate of this name stands, from 0.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.name == name)
    }
}

impl Crate {
    fn of(tree: &Tree, folder: &str) -> anyhow::Result<Self> {
        let manifest = manifest(tree, &format!("{folder}/Cargo.toml"))?;
        let name = manifest
            .get("package")
            .and_then(|package| package.get("name"))
            .and_then(toml::Value::as_str)
            .with_context(|| format!("{folder}/Cargo.toml has no package name"))?
            .to_owned();
        let mut dependencies = dependencies_of(&manifest);
        let targets = manifest.get("target").and_then(toml::Value::as_table);
        for target in targets.into_iter().flat_map(toml::Table::values) {
            dependencies.extend(target.as_table().map(dependencies_of).unwrap_or_default());
        }
        Ok(Self {
            name,
            folder: folder.to_owned(),
            manifest,
            dependencies,
        })
    }

    /// The path of its manifest.
    pub(super) fn manifest_path(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

impl Dependency {
    /// Whether what is built for users needs it.
    pub(super) fn is_shipped(&self) -> bool {
        self.table != Table::Dev
    }
}

fn manifest(tree: &Tree, path: &str) -> anyhow::Result<toml::Table> {
    tree.text(path)
        .with_context(|| format!("{path} is missing"))?
        .parse()
        .with_context(|| format!("{path} is no TOML"))
}

fn dependencies_of(manifest: &toml::Table) -> Vec<Dependency> {
    let tables = [
        ("dependencies", Table::Normal),
        ("dev-dependencies", Table::Dev),
        ("build-dependencies", Table::Build),
    ];
    let mut found = Vec::new();
    for (key, table) in tables {
        let entries = manifest.get(key).and_then(toml::Value::as_table);
        for (name, entry) in entries.into_iter().flatten() {
            let inherited = entry.get("workspace").and_then(toml::Value::as_bool);
            found.push(Dependency {
                name: name.clone(),
                table,
                inherited: inherited == Some(true),
            });
        }
    }
    found
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn members_and_their_dependencies_are_read_in_order() {
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\nmembers = ['x/low', 'x/high']"),
            ("x/low/Cargo.toml", "[package]\nname = 'low'"),
            (
                "x/high/Cargo.toml",
                "[package]\nname = 'high'\n[dependencies]\nlow.workspace = true\n\
                 [dev-dependencies]\nproptest = '1'\n\
                 [target.'cfg(unix)'.build-dependencies]\ncc = { workspace = true }",
            ),
        ]);
        let crates = Crates::of(&tree).unwrap();
        assert_eq!(crates.position("high"), Some(1));
        let high = crates.named("high").unwrap();
        assert_eq!(high.manifest_path(), "x/high/Cargo.toml");
        let dependency = |name: &str, table, inherited| Dependency {
            name: name.to_owned(),
            table,
            inherited,
        };
        assert_eq!(
            high.dependencies,
            [
                dependency("low", Table::Normal, true),
                dependency("proptest", Table::Dev, false),
                dependency("cc", Table::Build, true),
            ]
        );
    }

    #[test]
    fn a_missing_or_broken_manifest_is_named() {
        let fault =
            |files: &[(&str, &str)]| format!("{:#}", Crates::of(&Tree::of(files)).unwrap_err());
        assert_eq!(fault(&[]), "Cargo.toml is missing");
        assert_eq!(
            fault(&[("Cargo.toml", "")]),
            "Cargo.toml has no [workspace] members"
        );
        let root = ("Cargo.toml", "[workspace]\nmembers = ['a']");
        assert_eq!(fault(&[root]), "a/Cargo.toml is missing");
        assert!(fault(&[root, ("a/Cargo.toml", "[")]).starts_with("a/Cargo.toml is no TOML"));
        assert_eq!(
            fault(&[root, ("a/Cargo.toml", "")]),
            "a/Cargo.toml has no package name"
        );
    }
}
