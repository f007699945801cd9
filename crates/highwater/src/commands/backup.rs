//! `highwater backup`: copy a database, also beside a running server.

use crate::exit::Verdict;
use crate::progress;
use anyhow::{Context as _, Result};
use highwater_store_sqlite::{Options, SqliteStore};
use std::path::PathBuf;

/// Copy a database to one file, also while a server writes it
#[derive(clap::Args)]
#[command(after_help = "\
The copy is one commit, whole. It does not hold the keys (keys.toml): keep those apart.

Examples:
  highwater backup --data ./data backup-2026-11-24.db
  highwater restore backup-2026-11-24.db --data ./restored")]
pub(crate) struct Args {
    /// Where the copy goes; it must not exist yet
    to: PathBuf,
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

/// Makes a backup.
pub(crate) fn run(args: Args) -> Result<Verdict> {
    let store = SqliteStore::open_read_only(&args.data, Options::default())
        .with_context(|| format!("cannot read the database in {}", args.data.display()))?;
    let bar = progress::up_to(0, "pages", args.quiet);
    store
        .backup(&args.to, |copied| {
            bar.set_length(copied.pages_total);
            bar.set_position(copied.pages);
        })
        .with_context(|| format!("cannot make the backup {}", args.to.display()))?;
    bar.finish_and_clear();
    eprintln!("the backup is {}", args.to.display());
    Ok(Verdict::Yes)
}
