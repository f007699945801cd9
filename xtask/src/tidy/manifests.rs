//! The crates' `Cargo.toml`: what is said once is said at the root.

use super::crates::Table;
use super::tree::line_of;
use super::{House, Report, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "lints",
        asks: "each crate takes the workspace's lints",
        check: lints,
    },
    Rule {
        name: "package-fields",
        asks: "each crate has a description, and takes edition, version and licence from the root",
        check: package_fields,
    },
    Rule {
        name: "dependency-once",
        asks: "the version of a dependency is chosen at the root, once",
        check: dependency_once,
    },
    Rule {
        name: "members",
        asks: "each crate in crates/ is a member of the workspace",
        check: members,
    },
];

const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

fn lints(house: &House, report: &mut Report) {
    for member in house.crates.iter() {
        if !says_workspace(member.manifest.get("lints")) {
            report.add(
                &member.manifest_path(),
                0,
                format!("{} has lints of its own, or none", member.name),
                "write `[lints]` and below it `workspace = true`",
            );
        }
    }
}

fn package_fields(house: &House, report: &mut Report) {
    for member in house.crates.iter() {
        let field = |name| member.manifest.get("package")?.get(name);
        let path = member.manifest_path();
        let described = field("description").and_then(toml::Value::as_str);
        if described.is_none_or(str::is_empty) {
            report.add(
                &path,
                0,
                format!("{} has no description", member.name),
                "say in a sentence what it is for",
            );
        }
        for name in INHERITED {
            if !says_workspace(field(name)) {
                report.add(
                    &path,
                    0,
                    format!("{} does not take `{name}` from the root", member.name),
                    format!("write `{name}.workspace = true`"),
                );
            }
        }
    }
}

fn dependency_once(house: &House, report: &mut Report) {
    for member in house.crates.iter() {
        let path = member.manifest_path();
        for dependency in &member.dependencies {
            if !dependency.inherited {
                let table = match dependency.table {
                    Table::Normal => "dependencies",
                    Table::Dev => "dev-dependencies",
                    Table::Build => "build-dependencies",
                };
                let text = house.tree.text(&path).unwrap_or_default();
                report.add(
                    &path,
                    line_of(text, &dependency.name),
                    format!("`{}` in [{table}] is chosen here", dependency.name),
                    "put it into [workspace.dependencies] and write `.workspace = true` here",
                );
            }
        }
    }
}

fn members(house: &House, report: &mut Report) {
    for (path, _) in house.tree.files() {
        let folder = path
            .strip_suffix("/Cargo.toml")
            .filter(|folder| folder.starts_with("crates/"));
        let Some(folder) = folder else { continue };
        if !house.crates.iter().any(|member| member.folder == folder) {
            report.add(
                path,
                0,
                "the crate is no member of the workspace",
                "add its folder to `members`, above all that it uses",
            );
        }
    }
}

fn says_workspace(value: Option<&toml::Value>) -> bool {
    value
        .and_then(|value| value.get("workspace"))
        .and_then(toml::Value::as_bool)
        == Some(true)
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;

    const ROOT: (&str, &str) = ("Cargo.toml", "[workspace]\nmembers = ['crates/a']");
    const TIDY: &str = "[package]\nname = 'a'\ndescription = 'A.'\nversion.workspace = true\nedition.workspace = true\n\
         rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n\
         [dependencies]\nserde = { workspace = true, features = ['rc'] }\n[lints]\nworkspace = true\n";

    fn found(rule: &str, manifest: &str) -> Vec<String> {
        check(rule, &[ROOT, ("crates/a/Cargo.toml", manifest)])
    }

    #[test]
    fn a_tidy_manifest_passes() {
        for rule in ["lints", "package-fields", "dependency-once", "members"] {
            assert_eq!(found(rule, TIDY), Vec::<String>::new());
        }
    }

    #[test]
    fn what_is_said_at_the_root_is_not_said_again() {
        let own = TIDY
            .replace("[lints]\nworkspace", "[lints.rust]\nmissing_docs")
            .replace("edition.workspace = true", "edition = '2021'")
            .replace("description = 'A.'", "description = ''")
            .replace("serde = { workspace = true,", "serde = { version = '1',");
        assert_eq!(
            found("lints", &own),
            ["crates/a/Cargo.toml: a has lints of its own, or none"]
        );
        assert_eq!(
            found("package-fields", &own),
            [
                "crates/a/Cargo.toml: a does not take `edition` from the root",
                "crates/a/Cargo.toml: a has no description",
            ]
        );
        assert_eq!(
            found("dependency-once", &own),
            ["crates/a/Cargo.toml:10: `serde` in [dependencies] is chosen here"]
        );
    }

    #[test]
    fn a_crate_outside_the_workspace_is_noticed() {
        let lost = ("crates/b/Cargo.toml", "[package]\nname = 'b'");
        assert_eq!(
            check("members", &[ROOT, ("crates/a/Cargo.toml", TIDY), lost]),
            ["crates/b/Cargo.toml: the crate is no member of the workspace"]
        );
    }
}
