//! `highwater restore`: make a backup the database of a server.

use crate::exit::Verdict;
use crate::progress;
use anyhow::{Context as _, Result};
use highwater_store_sqlite::{Existing, RestoreProgress, restore};
use std::path::PathBuf;

/// Make a backup the database of a server
#[derive(clap::Args)]
#[command(after_help = "\
The copy is checked before it takes its place. Every list gets a new lineage, so that no device
mistakes the older state for its own: those whose copy is right adopt it for a few bytes, the
others repair what differs.

Examples:
  highwater restore backup.db --data ./restored
  highwater restore backup.db --data ./data --replace     (the old database is kept beside it)")]
pub(crate) struct Args {
    /// The backup
    from: PathBuf,
    /// The server's data folder; no server may be running on it
    #[arg(
        long,
        value_name = "DIR",
        env = "HIGHWATER_DATA",
        default_value = "highwater-data"
    )]
    data: PathBuf,
    /// Move a database that is there aside, instead of refusing
    #[arg(long)]
    replace: bool,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

/// Restores a backup.
pub(crate) fn run(args: Args) -> Result<Verdict> {
    let existing = if args.replace {
        Existing::MoveAside
    } else {
        Existing::Keep
    };
    let bar = progress::up_to(0, "", args.quiet);
    let restored = restore(&args.from, &args.data, existing, |progress| {
        let (what, at, total) = match progress {
            RestoreProgress::Copying(copied) => ("pages copied", copied.pages, copied.pages_total),
            RestoreProgress::Checking(checked) => {
                ("rows checked", checked.rows, checked.rows_total)
            }
        };
        bar.set_message(what);
        bar.set_length(total);
        bar.set_position(at);
    })
    .with_context(|| format!("cannot restore {}", args.from.display()))?;
    bar.finish_and_clear();
    if let Some(old) = restored.moved_aside {
        eprintln!("the database that was there is {}", old.display());
    }
    eprintln!(
        "restored {} lists with {} elements to {}, under new lineages",
        restored.report.lists,
        restored.report.elements,
        args.data.display()
    );
    Ok(Verdict::Yes)
}
