//! `highwater demo`: see on a real history what incremental sync saves.

use super::runtime;
use crate::demo::{self, Settings};
use crate::exit::{BadInput, Verdict, bad_input};
use crate::history::History;
use anyhow::{Context as _, Result};
use std::io::Write as _;
use std::path::PathBuf;

/// Replay a real history to five devices, and compare every copy
#[derive(clap::Args)]
#[command(after_help = "\
Starts a server on a free loopback port and an embedded database in a temporary folder, and
replays eight years of membership changes of a large open-source organisation, transaction by
transaction, while five devices live through it: one of a busy user that is always online, one
that is away for six weeks at a time, one that is installed fresh in the last year, one of a
newcomer, and an unlucky one, whose database is damaged in six ways. In the middle the server
loses its database, and an older backup is restored. At the end every list of every device is compared, element by element, with the
server's database (read with plain SQL) and with the history itself. Bytes are counted on the
sockets, headers included, for the devices and for the whole pulls that they are compared with.

Exit status: 0 if every copy is right, 1 if one differs.

Examples:
  highwater demo
  highwater demo --compressed                       zstd on both sides of the comparison
  highwater demo --headless --json demo.json        for scripts: no bar, the result as JSON
  highwater demo --history other.jsonl              any file of the same format")]
pub(crate) struct Args {
    /// No progress bar and no table
    #[arg(long)]
    headless: bool,
    /// Write the result to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A history of your own, plain or compressed with zstd
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Negotiate compression, on both sides of the comparison
    #[arg(long)]
    compressed: bool,
    /// Keep the databases in this folder, which must be empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Runs the demo.
pub(crate) fn run(args: Args) -> Result<Verdict> {
    let history = match &args.history {
        Some(path) => History::open(path),
        None => History::built_in(),
    };
    let history = history
        .and_then(History::read_all)
        .map_err(|error| bad_input(&error))?;
    demo::check(&history).map_err(|error| bad_input(&error))?;
    let temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder = match &args.keep {
        None => temporary.path(),
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
            if std::fs::read_dir(folder)?.next().is_some() {
                return Err(BadInput(format!("--keep {}: not empty", folder.display())).into());
            }
            folder
        }
    };
    let settings = Settings {
        compressed: args.compressed,
        quiet: args.headless,
    };
    if !args.headless {
        eprintln!("replaying {} transactions to five devices", history.len());
    }
    let report = demo::run(&runtime()?, &history, folder, settings)?;
    if let Some(path) = &args.json {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if !args.headless {
        writeln!(std::io::stdout(), "{}", report.table())?;
    }
    Ok(if report.equal {
        Verdict::Yes
    } else {
        Verdict::No
    })
}
