//! `highwater bench`: runs the benchmarks, a program of their own.

use crate::exit::Verdict;
use anyhow::{Context as _, Result};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// The program that measures.
const PROGRAM: &str = "highwater-bench";

/// Measure this machine and this build
#[derive(clap::Args)]
#[command(after_help = "\
Runs highwater-bench, which `make bench` builds, from beside this program or from PATH. Names are
those of `highwater bench --list`; without one, all are measured. Options go to it:
`highwater bench --help-bench` prints them.

Examples:
  highwater bench repair
  highwater bench aligned catchup --json bench.jsonl
  highwater bench --list")]
pub(crate) struct Args {
    /// Print the options of highwater-bench
    #[arg(long)]
    help_bench: bool,
    /// What to measure, and options of highwater-bench
    #[arg(
        value_name = "NAME|OPTION",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    args: Vec<OsString>,
}

/// Runs the benchmarks.
pub(crate) fn run(args: Args) -> Result<Verdict> {
    let beside = std::env::current_exe()
        .ok()
        .map(|own| own.with_file_name(PROGRAM))
        .filter(|beside| beside.is_file());
    let program = beside.unwrap_or_else(|| PathBuf::from(PROGRAM));
    let mut command = Command::new(&program);
    if args.help_bench {
        command.arg("--help");
    }
    let status = command
        .args(args.args)
        .status()
        .with_context(|| format!("cannot run {}: `make bench` builds it", program.display()))?;
    Ok(match status.success() {
        true => Verdict::Yes,
        false => Verdict::No,
    })
}
