//! `highwater-bench`: what Highwater is measured by.
//!
//! Every number stands beside what the same machine allowed in the same run,
//! measured in turns with it. `docs/benchmarks.md` says what each means, and
//! has the last numbers.

mod bench;
mod context;
mod device;
mod generator;
mod limits;
mod load;
mod measure;
mod program;
mod repair;
mod report;
mod server_sync;
mod server_writes;
mod world;

use crate::bench::Bench;
use crate::context::{Context, Scale};
use crate::report::Row;
use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

const EXAMPLES: &str = "\
Lines of JSON go to standard output, as each bench ends; progress, and at the end a
table of all, to standard error. A whole run takes about ten minutes and 3 GB of disk.
Measure on a machine that does nothing else: `uptime` should say less than 0.3.

Exit status: 0 if all was measured, whether or not the goals are met; 1 if something
failed; 2 for wrong options.

Examples:
  highwater-bench                                   all, in full size
  highwater-bench catchup write.latency             some; catchup is all of catchup.…
  highwater-bench --json bench.jsonl >/dev/null     into a file, and a table
  highwater-bench --dir /mnt/fast --only write      on another disk
  highwater-bench --quick --only page.deep          small: shows that it works";

/// Measures Highwater: each number beside the limit of this machine, taken in
/// the same run.
#[derive(Debug, Parser)]
#[command(name = "highwater-bench", version, after_help = EXAMPLES)]
struct Args {
    /// Measure only these: names, or what names begin with [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// List the benches, and measure nothing
    #[arg(long)]
    list: bool,

    /// The same, as one argument
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<String>,

    /// Small sizes and few samples: numbers that mean nothing
    #[arg(long)]
    quick: bool,

    /// Write the lines of JSON to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Where databases are made, on the disk to measure [default: the system's
    /// temporary folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// The release binary of highwater [default: beside this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,

    /// Sync once and print the peak memory: what device.memory runs
    #[arg(long, hide = true, num_args = 4, value_names = ["URL", "TOKEN", "GROUP", "DATABASE"])]
    device: Vec<String>,
}

/// Says on standard error what is being done.
fn progress(what: &str) {
    eprintln!("  {what} …");
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            match error.downcast_ref() {
                Some(UnknownBench(_)) => ExitCode::from(2),
                None => ExitCode::FAILURE,
            }
        }
    }
}

/// A name that no bench has.
#[derive(Debug)]
struct UnknownBench(String);

impl std::fmt::Display for UnknownBench {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "there is no bench {:?}; --list names them", self.0)
    }
}

impl std::error::Error for UnknownBench {}

/// Does what is asked; false if a bench failed.
fn run(args: Args) -> Result<bool> {
    if let [url, token, group, database] = args.device.as_slice() {
        let kib = device::run_alone(url, token, group, Path::new(database))?;
        writeln!(std::io::stdout(), "{kib}")?;
        return Ok(true);
    }
    let only: Vec<String> = args.names.iter().chain(&args.only).cloned().collect();
    let chosen = bench::named(&only).map_err(|name| anyhow!(UnknownBench(name)))?;
    if args.list {
        let mut out = std::io::stdout().lock();
        for bench in chosen {
            writeln!(out, "{:<16}{}", bench.name, bench.about)?;
        }
        return Ok(true);
    }
    let scale = if args.quick {
        Scale::quick()
    } else {
        Scale::full()
    };
    let program = match args.program {
        Some(program) => program,
        None => std::env::current_exe()?.with_file_name("highwater"),
    };
    let below = args.dir.unwrap_or_else(std::env::temp_dir);
    let mut json = match &args.json {
        Some(path) => {
            Some(File::create(path).with_context(|| format!("cannot write {}", path.display()))?)
        }
        None => None,
    };
    describe_machine(&below);
    let mut context = Context::new(scale, below, program);
    let measured = measure_all(&chosen, &mut context, json.as_mut())?;
    let mut err = std::io::stderr().lock();
    writeln!(err)?;
    report::table(&mut err, &measured.rows)?;
    for failed in &measured.failed {
        writeln!(err, "Not measured: {failed}")?;
    }
    Ok(measured.failed.is_empty())
}

/// What a run came to.
#[derive(Default)]
struct All {
    rows: Vec<Row>,
    failed: Vec<String>,
}

/// Runs one bench after the other. One that fails is told about at once, and
/// the others still run.
fn measure_all(
    benches: &[&Bench],
    context: &mut Context,
    mut json: Option<&mut File>,
) -> Result<All> {
    let mut all = All::default();
    for bench in benches {
        eprintln!("{}: {}", bench.name, bench.about);
        let began = Instant::now();
        match (bench.run)(context) {
            Ok(rows) => {
                for mut row in rows {
                    row.quick = context.scale.quick;
                    let line = row.json()?;
                    writeln!(std::io::stdout(), "{line}")?;
                    if let Some(file) = &mut json {
                        writeln!(file, "{line}")?;
                    }
                    all.rows.push(row);
                }
                eprintln!("  {:.1} s", began.elapsed().as_secs_f64());
            }
            Err(error) => {
                eprintln!("  failed: {error:#}");
                all.failed.push(format!("{}: {error:#}", bench.name));
            }
        }
    }
    Ok(all)
}

/// Says what the numbers were taken on.
fn describe_machine(below: &Path) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let folder = below.display();
    eprintln!("{cores} cores, load {load} before the run; databases in {folder}");
}
