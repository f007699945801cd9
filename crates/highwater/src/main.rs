//! `highwater`: the server, and what operators do with it.
//!
//! Exit codes: 0 it is well; 1 the answer is no (copies differ, the database is
//! damaged); 2 the command or its input is wrong; 3 the machine is (a file, the
//! network, the server).

mod backend;
mod commands;
mod demo;
mod exit;
mod progress;

use clap::{Parser, Subcommand};
use highwater::history;
use std::process::ExitCode;

/// Synchronises an IM's lists: only what changed, proved after every sync.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  highwater demo                                   see what it saves, on real history
  highwater serve --data ./data --listen 127.0.0.1:8080
  highwater token --user alice --data ./data       a token for alice's devices
  highwater inspect lists --data ./data            what is stored

Exit codes: 0 well, 1 the answer is no, 2 wrong use or input, 3 file, network or server."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(commands::serve::Args),
    Demo(commands::demo::Args),
    Import(commands::import::Args),
    Token(commands::token::Args),
    Inspect(commands::inspect::Args),
    Backup(commands::backup::Args),
    Restore(commands::restore::Args),
    Check(commands::check::Args),
    Sim(commands::sim::Args),
    Bench(commands::bench::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => commands::serve::run(args),
        Command::Demo(args) => commands::demo::run(args),
        Command::Import(args) => commands::import::run(args),
        Command::Token(args) => commands::token::run(args),
        Command::Inspect(args) => commands::inspect::run(args),
        Command::Backup(args) => commands::backup::run(args),
        Command::Restore(args) => commands::restore::run(args),
        Command::Check(args) => commands::check::run(args),
        Command::Sim(args) => commands::sim::run_worlds(&args),
        Command::Bench(args) => commands::bench::run(args),
    };
    exit::report(outcome)
}
