//! `highwater check`: is a database what it says it is?

use crate::exit::Verdict;
use crate::progress;
use anyhow::{Context as _, Result};
use highwater_store_sqlite::{Options, SqliteStore};
use std::io::Write as _;
use std::path::PathBuf;

/// Compare every head with its elements, and every stamp with its content
#[derive(clap::Args)]
#[command(after_help = "\
Reads everything, also beside a running server, and changes nothing. What is wrong is listed,
one finding a line.

Exit status: 0 if all agrees, 1 if anything is wrong.

Examples:
  highwater check --data ./data
  highwater check --data ./data --quiet || alert")]
pub(crate) struct Args {
    /// The server's data folder
    #[arg(
        long,
        value_name = "DIR",
        env = "HIGHWATER_DATA",
        default_value = "highwater-data"
    )]
    data: PathBuf,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

/// Checks a database.
pub(crate) fn run(args: Args) -> Result<Verdict> {
    let store = SqliteStore::open_read_only(&args.data, Options::default())
        .with_context(|| format!("cannot read the database in {}", args.data.display()))?;
    let bar = progress::up_to(0, "rows", args.quiet);
    let report = store.check(|progress| {
        bar.set_length(progress.rows_total);
        bar.set_position(progress.rows);
    })?;
    bar.finish_and_clear();
    let mut out = std::io::stdout();
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    if report.findings_left_out > 0 {
        writeln!(out, "and {} more", report.findings_left_out)?;
    }
    eprintln!(
        "{}: {} lists, {} elements, {} tombstones, {} queued jobs",
        if report.is_clean() {
            "all agrees"
        } else {
            "DAMAGED"
        },
        report.lists,
        report.elements,
        report.tombstones,
        report.jobs
    );
    Ok(if report.is_clean() {
        Verdict::Yes
    } else {
        Verdict::No
    })
}
