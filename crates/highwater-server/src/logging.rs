//! Where log lines go: to standard error, for people or as JSON.

use crate::config::{Config, LogFormat};
use std::io::{self, IsTerminal as _};
use tracing_subscriber::EnvFilter;

/// Sends the log lines of the whole process to standard error. The first call
/// counts; whoever embeds the server and has set up their own is left alone.
pub fn init_logging(config: &Config) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(log_filter(&config.log_level))
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    // An error: a subscriber is set already.
    let _ = match config.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// What is logged at `level`, the option `log_level`; `info` if that is none.
#[must_use]
pub fn log_filter(level: &str) -> EnvFilter {
    EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"))
}
