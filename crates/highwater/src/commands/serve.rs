//! `highwater serve`: run the server.

use super::runtime;
use crate::exit::{BadInput, Verdict};
use anyhow::{Context as _, Result};
use clap::{Arg, ArgMatches, FromArgMatches};
use highwater_server::auth::Keys;
use highwater_server::config::{Config, Layers, OPTIONS};
use highwater_server::{Server, init_logging};
use highwater_store_sqlite::{Options, SqliteStore};
use std::io::Write as _;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Every option may also stand in the file (`listen = \"0.0.0.0:7420\"`) or in the
environment (HIGHWATER_LISTEN); a flag wins over the environment, that over the file.

The first line on standard output names the address, once the server takes requests.
Logs go to standard error. SIGINT or SIGTERM ends it when it has answered what it
accepted.

Examples:
  highwater serve --data ./data --listen 127.0.0.1:7420
  highwater serve --config /etc/highwater.toml --log-format json
  highwater serve --data ./data --listen 127.0.0.1:0     (any free port)";

/// What `serve` takes: a flag for each option of the server.
pub(crate) struct Args {
    config: Option<PathBuf>,
    flags: Vec<(&'static str, String)>,
}

impl clap::Args for Args {
    fn augment_args(command: clap::Command) -> clap::Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .help("A TOML file of the options below")
            .value_parser(clap::value_parser!(PathBuf));
        let flag = |option: &highwater_server::config::ConfigOption| {
            let about = match option.default {
                "" => option.about.to_owned(),
                default => format!("{} [default: {default}]", option.about),
            };
            Arg::new(option.name)
                .long(option.name.replace('_', "-"))
                .value_name("VALUE")
                .help(about)
        };
        command
            .about("Run the server")
            .after_help(EXAMPLES)
            .arg(config)
            .args(OPTIONS.iter().map(flag))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Args {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flag = |name: &'static str| {
            matches
                .get_one::<String>(name)
                .map(|value| (name, value.clone()))
        };
        Ok(Self {
            config: matches.get_one::<PathBuf>("config").cloned(),
            flags: OPTIONS
                .iter()
                .filter_map(|option| flag(option.name))
                .collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args {
    fn configuration(self) -> Result<Config> {
        let bad = |error: highwater_server::config::ConfigError| BadInput(error.to_string());
        let mut layers = Layers::new();
        if let Some(file) = &self.config {
            layers = layers.file(file).map_err(bad)?;
        }
        layers = layers.environment(|name| std::env::var(name).ok());
        for (name, value) in self.flags {
            layers = layers.flag(name, Some(value)).map_err(bad)?;
        }
        Ok(layers.resolve().map_err(bad)?)
    }
}

/// Runs until it is told to stop.
pub(crate) fn run(args: Args) -> Result<Verdict> {
    let config = args.configuration()?;
    init_logging(&config);
    std::fs::create_dir_all(&config.data)
        .with_context(|| format!("cannot make the data folder {}", config.data.display()))?;
    let store = SqliteStore::open(&config.data, Options::default())
        .with_context(|| format!("cannot open the database in {}", config.data.display()))?;
    let keys = Keys::load_or_create(&config.keys)?;
    let listen = config.listen;
    let closing = store.clone();
    runtime()?.block_on(async move {
        let bound = Server::new(config, store, keys)
            .bind()
            .await
            .with_context(|| format!("cannot listen on {listen}"))?;
        let mut out = std::io::stdout();
        writeln!(out, "highwater listens on http://{}", bound.local_addr())?;
        out.flush()?;
        let summary = bound.run(stop_signal()?).await;
        closing.close().await;
        if summary.cut > 0 {
            tracing::warn!(
                cut = summary.cut,
                "requests were cut off by the shutdown's deadline"
            );
        }
        Ok(Verdict::Yes)
    })
}

/// Ends with the first SIGINT or SIGTERM.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
