//! `highwater import`: feed a history of memberships to a server.

use crate::backend::Operator;
use crate::exit::{Verdict, bad_input};
use crate::history::History;
use crate::progress;
use anyhow::{Context as _, Result};
use std::path::PathBuf;

/// Import a history of groups and memberships
#[derive(clap::Args)]
#[command(after_help = "\
The format is one transaction a line:
  {\"at\": 1534997499, \"changes\": [{\"op\": \"join\", \"group\": \"g\", \"user\": \"u\", \"role\": \"member\"}]}
with the operations create, rename, dismiss, join, leave and role; a file may be compressed
with zstd. Roles are recorded as they are. Each 250 changes are one durable transaction; an
error names the line and the change, and says how to go on.

Examples:
  highwater import history.jsonl --server http://127.0.0.1:7420 --token \"$TOKEN\"
  HIGHWATER_TOKEN=$(highwater token --service --data ./data) highwater import history.jsonl.zst
  highwater import history.jsonl --from-line 1201 …      (go on after an error)")]
pub(crate) struct Args {
    /// The history
    file: PathBuf,
    #[command(flatten)]
    operator: Operator,
    /// Skip the lines before this one
    #[arg(long, value_name = "N", default_value_t = 1)]
    from_line: usize,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

/// Imports a file.
pub(crate) fn run(args: Args) -> Result<Verdict> {
    let backend = args.operator.backend()?;
    let name = args.file.display().to_string();
    let mut history = History::open(&args.file).map_err(|error| bad_input(&error))?;
    let progress = progress::counting("lines", args.quiet);
    let (mut lines, mut changes) = (0, 0);
    while let Some(transaction) = history.next() {
        let transaction = transaction.map_err(|error| bad_input(&error))?;
        let line = history.line();
        progress.set_position(line as u64);
        if line < args.from_line {
            continue;
        }
        backend.import(&transaction).with_context(|| {
            format!(
                "{name} line {line} was not imported whole, {lines} lines before it were; \
                 mend it and go on with --from-line {line}"
            )
        })?;
        lines += 1;
        changes += transaction.changes.len();
    }
    progress.finish_and_clear();
    eprintln!("imported {lines} transactions with {changes} changes");
    Ok(Verdict::Yes)
}
