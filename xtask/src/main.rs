//! Chores of the workspace, started as `cargo xtask <chore>`.
//!
//! `tidy` keeps the rules of the house by a check, so that nobody has to keep
//! them by memory; `record-corpus` freezes what a release says and stores. Exit
//! status 0: it is well; 1: something is out of place; 2: the chore itself could
//! not run.

use anyhow::Context as _;
use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

mod tidy;

const HELP: &str = "\
Chores of the Highwater workspace.

Usage: cargo xtask <chore>

Chores:
  tidy           check the rules of the house (layers, rooms, files, documents)
  rules          list these rules
  record-corpus  record this release's messages and databases, once (docs/testing.md)
  help           print this
";

fn main() -> ExitCode {
    let chore = env::args().nth(1);
    let outcome = match chore.as_deref() {
        Some("tidy") => tidy(),
        Some("rules") => print(&tidy::rules()).map(|()| ExitCode::SUCCESS),
        Some("record-corpus") => record_corpus(),
        Some("help" | "--help" | "-h") => print(HELP).map(|()| ExitCode::SUCCESS),
        None => Err(anyhow::anyhow!("no chore was named\n\n{HELP}")),
        Some(other) => Err(anyhow::anyhow!("there is no chore `{other}`\n\n{HELP}")),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::from(2)
    })
}

fn tidy() -> anyhow::Result<ExitCode> {
    let house = tidy::House::open(&workspace_root()?)?;
    let violations = house.violations();
    for violation in &violations {
        print(&format!("{violation}\n"))?;
    }
    if violations.is_empty() {
        print(&format!("tidy: {} files in order\n", house.file_count()))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("tidy: {} out of place\n", violations.len()))?;
    Ok(ExitCode::from(1))
}

/// Has the tests of evolution record what they otherwise record to throw away.
/// A release that has a corpus is refused: it never changes.
fn record_corpus() -> anyhow::Result<ExitCode> {
    let corpus = workspace_root()?.join("crates/highwater/tests/corpus");
    let test = "evolution::record::a_release_is_recorded_once";
    let recorded = Command::new("cargo")
        .args(["test", "--locked", "-p", "highwater", "--test", "it", test])
        .env("HIGHWATER_RECORD_CORPUS", &corpus)
        .status()
        .context("cannot start cargo")?;
    if !recorded.success() {
        return Ok(ExitCode::from(1));
    }
    print(&format!(
        "recorded in {}: commit it, and never change it\n",
        corpus.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The folder above this crate's: cargo tells where that is when it runs us.
fn workspace_root() -> anyhow::Result<PathBuf> {
    let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
        .context("CARGO_MANIFEST_DIR is not set: start this as `cargo xtask`")?;
    let root = Path::new(&manifest_dir)
        .parent()
        .context("the xtask crate has no folder above it")?;
    Ok(root.to_owned())
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")
}
