//! `highwater sim`: do the invariants hold in worlds that are made to break
//! them?

use crate::exit::Verdict;
use crate::progress;
use anyhow::{Context as _, Result};
use highwater_sim::{Outcome, Seeds, Summary, run, run_seeds};
use serde_json::json;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

/// Run simulated worlds with faults, and judge what becomes of them
#[derive(clap::Args)]
#[command(after_help = "\
One seed makes a world: a server and up to 20 devices (the real code, on SQLite databases in
memory), a network that loses, doubles, delays and cuts, machines whose power and disks fail
within any commit, restored backups, purges, damaged copies, clocks that jump. A naive model
judges all that happens by the invariants I1 to I8 of docs/sync-model.md. The same seed makes
the same world, on every machine.

If an invariant does not hold, it is named, with the seed and the command that replays it.
`--trace` prints all that happens in the first world.

Exit status: 0 if all invariants held, 1 if one did not.

Examples:
  highwater sim --seeds 10000                     a few minutes on two cores
  highwater sim --seeds 1000 --start 70000 --json sim.json
  highwater sim --seeds 1 --start 4711 --trace    what happens in world 4711")]
pub(crate) struct Args {
    /// How many worlds
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    seeds: u64,
    /// The first world's seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    start: u64,
    /// Write summary, coverage and failures to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print all that happens in the first world, and run no other
    #[arg(long)]
    trace: bool,
    /// Worlds at once; by default one for each core
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// End with the first world in which an invariant does not hold
    #[arg(long)]
    fail_fast: bool,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

/// Runs worlds.
pub(crate) fn run_worlds(args: &Args) -> Result<Verdict> {
    if args.trace {
        return trace(args.start);
    }
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let seeds = Seeds {
        start: args.start,
        count: args.seeds,
        threads: args.threads.map_or(cores, NonZeroUsize::get),
        fail_fast: args.fail_fast,
    };
    let bar = progress::up_to(args.seeds, "worlds", args.quiet);
    let began = Instant::now();
    let summary = run_seeds(seeds, |ended| bar.set_position(ended));
    bar.finish_and_clear();
    let seconds = began.elapsed().as_secs_f64();
    if let Some(path) = &args.json {
        let report = serde_json::to_vec_pretty(&report(seeds, &summary, seconds))?;
        std::fs::write(path, report).with_context(|| format!("cannot write {}", path.display()))?;
    }
    tell(&summary, seconds)?;
    Ok(match summary.failures.is_empty() {
        true => Verdict::Yes,
        false => Verdict::No,
    })
}

fn trace(seed: u64) -> Result<Verdict> {
    let outcome = run(seed, true);
    let mut out = std::io::stdout().lock();
    for line in &outcome.trace {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "trace {}", outcome.trace_hash)?;
    match &outcome.violation {
        None => Ok(Verdict::Yes),
        Some(_) => {
            failed(&mut out, &outcome)?;
            Ok(Verdict::No)
        }
    }
}

fn failed(out: &mut impl std::io::Write, outcome: &Outcome) -> Result<()> {
    let seed = outcome.seed;
    if let Some(violation) = &outcome.violation {
        writeln!(
            out,
            "seed {seed}: {}: {}",
            violation.invariant, violation.what
        )?;
        writeln!(
            out,
            "  replay: highwater sim --seeds 1 --start {seed} --trace"
        )?;
    }
    Ok(())
}

fn tell(summary: &Summary, seconds: f64) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:>12}  state", "met")?;
    for (state, times) in &summary.coverage.0 {
        writeln!(out, "{times:>12}  {state}")?;
    }
    for state in summary.coverage.missing() {
        writeln!(out, "{:>12}  {state}", "never")?;
    }
    for outcome in &summary.failures {
        failed(&mut out, outcome)?;
    }
    writeln!(
        out,
        "{} worlds, {} requests, {seconds:.1} s: {}",
        summary.worlds,
        summary.requests,
        match summary.failures.len() {
            0 => "all invariants held".to_owned(),
            failures => format!("INVARIANTS BROKEN in {failures}"),
        }
    )?;
    Ok(())
}

fn report(seeds: Seeds, summary: &Summary, seconds: f64) -> serde_json::Value {
    let failures: Vec<_> = summary
        .failures
        .iter()
        .map(|outcome| {
            json!({
                "seed": outcome.seed,
                "invariant": outcome.violation.as_ref().map(|it| it.invariant.to_string()),
                "what": outcome.violation.as_ref().map(|it| &it.what),
                "trace_hash": outcome.trace_hash.to_string(),
                "replay": format!("highwater sim --seeds 1 --start {} --trace", outcome.seed),
            })
        })
        .collect();
    json!({
        "start": seeds.start,
        "worlds": summary.worlds,
        "threads": seeds.threads,
        "seconds": seconds,
        "worlds_per_second": summary.worlds as f64 / seconds.max(1e-9),
        "requests": summary.requests,
        "failures": failures,
        "coverage": summary.coverage,
        "never_met": summary.coverage.missing(),
    })
}
