//! Single files: their size, and what none of them may say.

use super::rust::Token;
use super::tree::FILE_BYTES_MAX;
use super::{House, Report, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "lexes",
        asks: "each Rust file can be read",
        check: lexes,
    },
    Rule {
        name: "file-lines",
        asks: "a Rust file has at most 1,000 lines; one idea fits into 450",
        check: file_lines,
    },
    Rule {
        name: "file-bytes",
        asks: "a file has at most 1 MiB",
        check: file_bytes,
    },
    Rule {
        name: "unfinished",
        asks: "no unfinished code, no debugging left over, no ignored test",
        check: unfinished,
    },
    Rule {
        name: "unwrap",
        asks: "no exception from `unwrap_used` outside tests",
        check: unwrap,
    },
    Rule {
        name: "machine-paths",
        asks: "no path of one machine",
        check: machine_paths,
    },
];

const RUST_LINES_MAX: usize = 1_000;

/// Macros that belong into no commit.
const LEFT_OVER: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Folders at the root of one person's machine.
const MACHINE_FOLDERS: [&str; 5] = ["work", "root", "home", "Users", "tmp/bash_jobs"];

/// A folder beside the repository that its users do not have.
const OUTSIDE: &str = concat!("..", "/shared");

fn lexes(house: &House, report: &mut Report) {
    for (path, file) in house.sources.files() {
        if let Some(fault) = &file.fault {
            report.add(path, 0, fault.as_str(), "mend the file");
        }
    }
}

fn file_lines(house: &House, report: &mut Report) {
    for (path, text) in house.tree.texts() {
        let lines = text.lines().count();
        if path.ends_with(".rs") && lines > RUST_LINES_MAX {
            report.add(
                path,
                lines,
                format!("{lines} lines, more than {RUST_LINES_MAX}"),
                "give each idea a file of its own",
            );
        }
    }
}

fn file_bytes(house: &House, report: &mut Report) {
    for (path, file) in house.tree.files() {
        if file.bytes > FILE_BYTES_MAX {
            report.add(
                path,
                0,
                format!("{} bytes, more than {FILE_BYTES_MAX}", file.bytes),
                "make it at build time, compress it, or leave it out",
            );
        }
    }
}

fn unfinished(house: &House, report: &mut Report) {
    for (path, file) in house.sources.files() {
        for name in LEFT_OVER {
            for start in file.rows(&[name, "!"]) {
                report.add(
                    path,
                    file.tokens[start].line,
                    format!("`{name}!` is left over"),
                    "finish the code, or return an error that says what is not supported",
                );
            }
        }
        for start in file.rows(&["#", "[", "ignore"]) {
            report.add(
                path,
                file.tokens[start].line,
                "the test is ignored",
                "make it pass, or delete it",
            );
        }
    }
}

fn unwrap(house: &House, report: &mut Report) {
    for (path, file) in house.sources.files() {
        for Token { line, .. } in file.shipped().filter(|token| token.reads("unwrap_used")) {
            report.add(
                path,
                *line,
                "an exception from `unwrap_used`",
                "return an error, or `expect` what cannot fail with the reason why it cannot",
            );
        }
    }
}

fn machine_paths(house: &House, report: &mut Report) {
    for (path, text) in house.tree.texts() {
        for (index, line) in text.lines().enumerate() {
            if let Some(place) = machine_path(line) {
                report.add(
                    path,
                    index + 1,
                    format!("`{place}` is a path of one machine"),
                    "write a path from the root of the repository",
                );
            }
        }
    }
}

fn machine_path(line: &str) -> Option<String> {
    if line.contains(OUTSIDE) {
        return Some(OUTSIDE.to_owned());
    }
    MACHINE_FOLDERS
        .iter()
        .map(|folder| format!("/{folder}/"))
        .find(|place| {
            line.match_indices(place.as_str()).any(|(start, _)| {
                // In a longer path or an address it means something else.
                let before = line[..start].chars().next_back();
                !before.is_some_and(|letter| {
                    letter.is_alphanumeric() || matches!(letter, '_' | '.' | '-' | '}' | '*')
                })
            })
        })
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    const ROOT: (&str, &str) = ("Cargo.toml", "[workspace]\nmembers = []");

    #[test]
    fn long_and_large_files_are_noticed() {
        let at_the_limit = "\n".repeat(RUST_LINES_MAX);
        let long = "\n".repeat(RUST_LINES_MAX + 1);
        let large = "x".repeat(1024 * 1024 + 1);
        let files = [
            ROOT,
            ("a.rs", at_the_limit.as_str()),
            ("b.rs", long.as_str()),
            ("c.md", long.as_str()),
            ("d.bin", large.as_str()),
        ];
        assert_eq!(
            check("file-lines", &files),
            ["b.rs:1001: 1001 lines, more than 1000"]
        );
        assert_eq!(
            check("file-bytes", &files),
            ["d.bin: 1048577 bytes, more than 1048576"]
        );
    }

    #[test]
    fn unfinished_code_is_noticed_in_tests_too() {
        let text = format!(
            "// {0}!()\nfn {0}() {{ {0}!() }}\n#[cfg(test)] mod t {{\n# [ignore = \"slow\"] fn s() {{}} }}",
            LEFT_OVER[0]
        );
        let name = LEFT_OVER[0];
        assert_eq!(
            check("unfinished", &[ROOT, ("a.rs", &text)]),
            [
                format!("a.rs:2: `{name}!` is left over"),
                "a.rs:4: the test is ignored".to_owned(),
            ]
        );
    }

    #[test]
    fn only_tests_may_unwrap() {
        let text = "#![cfg_attr(test, expect(clippy::unwrap_used))]\n\
                    #[expect(clippy::unwrap_used, reason = \"sure\")]\nfn a() {}\n\
                    #[cfg(test)]\n#[expect(clippy::unwrap_used, reason = \"tests\")]\nmod t {}";
        assert_eq!(
            check(
                "unwrap",
                &[ROOT, ("a/src/lib.rs", text), ("a/tests/main.rs", text)]
            ),
            ["a/src/lib.rs:2: an exception from `unwrap_used`"]
        );
    }

    #[test]
    fn paths_of_one_machine_are_noticed() {
        let [work, root, ..] = MACHINE_FOLDERS;
        let text = format!(
            "cd /{work}/main\n\"/{root}/.cargo\"\nhttps://example.org/{work}/x\n$HOME/{work}/x\nsee {OUTSIDE}/x\n/{work}\n"
        );
        assert_eq!(
            check("machine-paths", &[ROOT, ("a.md", &text)]),
            [
                format!("a.md:1: `/{work}/` is a path of one machine"),
                format!("a.md:2: `/{root}/` is a path of one machine"),
                format!("a.md:5: `{OUTSIDE}` is a path of one machine"),
            ]
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_as_rust_is_noticed() {
        let found = check("lexes", &[ROOT, ("a.rs", "fn a( {")]);
        assert_eq!(found.len(), 1);
    }
}
