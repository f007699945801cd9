//! `highwater check`: is a database what it says it is?

use crate::backend::Operator;
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

With --online a running server holds the heads that it serves against their items, and corrects
those that are wrong. It asks the server rather than read its file, as only the server knows what
it serves from memory and may write; what it does not look at (pages, indexes, content) is looked
at without --online.

Exit status: 0 if all agrees, 1 if anything is wrong.

Examples:
  highwater check --data ./data
  highwater check --data ./data --quiet || alert
  highwater check --online --server http://127.0.0.1:7420 --token \"$TOKEN\"")]
pub(crate) struct Args {
    /// The server's data folder
    #[arg(
        long,
        value_name = "DIR",
        env = "HIGHWATER_DATA",
        default_value = "highwater-data"
    )]
    data: PathBuf,
    /// Ask a running server, which corrects what is wrong
    #[arg(long)]
    online: bool,
    #[command(flatten)]
    operator: Operator,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

/// Checks a database.
pub(crate) fn run(args: Args) -> Result<Verdict> {
    if args.online {
        return ask(&args);
    }
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

/// Has a running server check its heads, a part at a time.
fn ask(args: &Args) -> Result<Verdict> {
    let backend = args.operator.backend()?;
    let bar = progress::counting("rows", args.quiet);
    let mut out = std::io::stdout();
    let (mut lists, mut rows, mut wrong) = (0, 0, 0);
    let mut after = None;
    loop {
        let part = backend.audit(after.as_deref())?;
        lists += part.lists;
        rows += part.rows;
        bar.set_position(rows);
        for found in part.mismatches {
            wrong += 1;
            let corrected = match found.corrected {
                true => "corrected",
                false => "NOT corrected",
            };
            writeln!(
                out,
                "{}: at version {} the head has {} elements and the digest {}, its elements are {} and have {}: {corrected}",
                found.list,
                found.version,
                found.head_count,
                found.head_digest,
                found.rows_count,
                found.rows_digest,
            )?;
        }
        match part.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    bar.finish_and_clear();
    let verdict = if wrong == 0 {
        "all agrees"
    } else {
        "WRONG HEADS"
    };
    eprintln!("{verdict}: {lists} lists, {rows} elements, {wrong} mismatches");
    Ok(if wrong == 0 {
        Verdict::Yes
    } else {
        Verdict::No
    })
}
