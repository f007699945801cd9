//! Configuration: a table of options, each of which may be set by a file, by the
//! environment and by a flag, the later winning over the earlier.
//!
//! One table says all about every option, so that the file, the environment,
//! the flags and `docs/operations.md` (a test compares) cannot disagree.

use crate::domain::Sides;
use highwater_store::PurgePolicy;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// What precedes an option's name, in capitals, in the environment.
pub const ENVIRONMENT_PREFIX: &str = "HIGHWATER_";

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How the server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Where it listens, in plain HTTP.
    pub listen: SocketAddr,
    /// The folder that holds the database.
    pub data: PathBuf,
    /// The file of the keys that tokens are signed with.
    pub keys: PathBuf,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// What is logged: a level, or directives by module.
    pub log_level: String,
    /// Connections that are open at once; further ones wait to be accepted.
    pub connections_max: usize,
    /// Requests that are answered at once; further ones are told to come back.
    pub requests_max: usize,
    /// How long a connection may take to send a request's head, and how long it
    /// may be idle.
    pub header_timeout: Duration,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// How long a shutdown waits for requests that are being answered.
    pub shutdown_deadline: Duration,
    /// Whether any user may enter any group; else by invitation alone.
    pub open_join: bool,
    /// From whose list a friend goes when they are deleted.
    pub friends_delete: Sides,
    /// The activity of groups with more members lives with the group.
    pub conversations_shared_above: u64,
    /// Which tombstones are too many.
    pub purge: PurgePolicy,
    /// How often tombstones are purged.
    pub purge_interval: Duration,
    /// Rows that the background audit of heads reads in a second, on average; 0:
    /// there is none.
    pub audit_rows_per_s: u64,
    /// How often an audit of all heads begins at most.
    pub audit_interval: Duration,
    /// Receipts of repairs that are kept; 0: devices are not asked for any.
    pub receipts_kept: usize,
    /// Checked tokens that are remembered.
    pub tokens_remembered: usize,
    /// Pairs of user and group whose rights are remembered.
    pub rights_remembered: usize,
}

/// Everything there is to know about one option.
#[derive(Clone, Copy)]
pub struct ConfigOption {
    /// Its name in the file, and as a flag.
    pub name: &'static str,
    /// Its value if nobody sets it.
    pub default: &'static str,
    /// What it is for.
    pub about: &'static str,
    apply: fn(&mut Config, &str) -> Result<(), String>,
}

impl fmt::Debug for ConfigOption {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} = {:?}", self.name, self.default)
    }
}

impl ConfigOption {
    /// Its name in the environment.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.name.to_ascii_uppercase())
    }
}

macro_rules! options {
    ($($name:ident = $default:literal, $about:literal, $apply:expr;)+) => {
        /// Every option.
        pub const OPTIONS: &[ConfigOption] = &[$(ConfigOption {
            name: stringify!($name),
            default: $default,
            about: $about,
            apply: $apply,
        },)+];
    };
}

options! {
    listen = "127.0.0.1:7420",
        "address and port to listen on, plain HTTP",
        |config, text| set(&mut config.listen, address(text));
    data = "highwater-data",
        "folder that holds the database",
        |config, text| set(&mut config.data, path(text));
    keys = "",
        "file of the keys that tokens are signed with; empty: keys.toml in the data folder",
        |config, text| { config.keys = PathBuf::from(text); Ok(()) };
    log_format = "text",
        "text or json",
        |config, text| set(&mut config.log_format, log_format(text));
    log_level = "info",
        "error, warn, info, debug or trace, or directives by module such as info,highwater_server=debug",
        |config, text| set(&mut config.log_level, log_level(text));
    connections_max = "10000",
        "connections open at once; further ones wait",
        |config, text| set(&mut config.connections_max, number(text, 1));
    requests_max = "1024",
        "requests answered at once; further ones are told to come back (unavailable)",
        |config, text| set(&mut config.requests_max, number(text, 1));
    header_timeout_ms = "30000",
        "time for a request's head to arrive, and for a connection to be idle",
        |config, text| set(&mut config.header_timeout, milliseconds(text));
    body_timeout_ms = "30000",
        "time for a request's body to arrive",
        |config, text| set(&mut config.body_timeout, milliseconds(text));
    shutdown_deadline_ms = "30000",
        "time that a shutdown waits for requests that are being answered",
        |config, text| set(&mut config.shutdown_deadline, milliseconds(text));
    open_join = "true",
        "whether any user may join any group whose id they know; else by invitation alone",
        |config, text| set(&mut config.open_join, truth(text));
    friends_delete = "both",
        "from whose list a friend goes when one of the two deletes the other: both, or one (that of the one who deletes)",
        |config, text| set(&mut config.friends_delete, sides(text));
    conversations_shared_above = "200",
        "a group that is found with more members is large from then on: its activity is written once, not to each member's conversation",
        |config, text| set(&mut config.conversations_shared_above, number(text, 0));
    tombstone_age_days = "30",
        "days after which a deletion is forgotten; a device away for longer may have to repair a list",
        |config, text| set(&mut config.purge.age_ms_max, days(text));
    tombstones_per_list_max = "100000",
        "deletions that one list remembers at most, the newest",
        |config, text| set(&mut config.purge.per_list_max, number(text, 0));
    purge_interval_s = "3600",
        "seconds between two purges of old deletions",
        |config, text| set(&mut config.purge_interval, seconds(text));
    audit_rows_per_s = "20000",
        "rows that the background audit of heads reads in a second on average; 0: there is no such audit",
        |config, text| set(&mut config.audit_rows_per_s, number(text, 0));
    audit_interval_s = "86400",
        "seconds between the beginnings of two audits of all heads, at least",
        |config, text| set(&mut config.audit_interval, seconds(text));
    receipts_kept = "0",
        "receipts of repairs to keep in memory, about 500 bytes each, up to 20 KB; 0: devices are not asked to post any",
        |config, text| set(&mut config.receipts_kept, number(text, 0));
    tokens_remembered = "10000",
        "checked tokens to remember at least, about 550 bytes each",
        |config, text| set(&mut config.tokens_remembered, number(text, 0));
    rights_remembered = "250000",
        "pairs of user and group whose rights to remember at least, about 135 bytes each",
        |config, text| set(&mut config.rights_remembered, number(text, 0));
}

fn set<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "expected an address and port, such as 127.0.0.1:7420 or [::1]:7420".to_owned()
    })
}

fn path(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("expected a path".to_owned()),
        path => Ok(path.into()),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("expected text or json".to_owned()),
    }
}

fn log_level(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    // A word that is no level would be taken for the name of a module, and
    // switch everything else off.
    if !text.contains('=') && !LEVELS.contains(&text.to_ascii_lowercase().as_str()) {
        return Err(format!("expected {}, or module=level", LEVELS.join(", ")));
    }
    match text.parse::<tracing_subscriber::EnvFilter>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("expected a level such as info: {error}")),
    }
}

fn truth(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_| "expected true or false".to_owned())
}

fn sides(text: &str) -> Result<Sides, String> {
    match text {
        "one" => Ok(Sides::One),
        "both" => Ok(Sides::Both),
        _ => Err("expected one or both".to_owned()),
    }
}

fn number<N: FromStr + PartialOrd + From<u8>>(text: &str, least: u8) -> Result<N, String> {
    let digits = text.replace('_', "");
    match digits.parse() {
        Ok(number) if number >= N::from(least) => Ok(number),
        _ => Err(format!("expected a whole number, at least {least}")),
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    number(text, 1).map(Duration::from_millis)
}

fn seconds(text: &str) -> Result<Duration, String> {
    number(text, 1).map(Duration::from_secs)
}

fn days(text: &str) -> Result<i64, String> {
    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    let days: i64 = number(text, 0)?;
    days.checked_mul(DAY_MS)
        .ok_or_else(|| "expected fewer days".to_owned())
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("the configuration file {path} cannot be read: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is no TOML.
    #[error("the configuration file {path} is no TOML: {error}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        error: String,
    },
    /// Something sets an option that does not exist.
    #[error("{source_name} sets {key:?}, and there is no such option; the options are {known}")]
    UnknownOption {
        /// Who sets it.
        source_name: String,
        /// As it is called there.
        key: String,
        /// Those that there are.
        known: String,
    },
    /// An option has a value that it may not have.
    #[error("{source_name} sets {option} to {value:?}: {fault}")]
    BadValue {
        /// Who sets it.
        source_name: String,
        /// Which option.
        option: &'static str,
        /// To what.
        value: String,
        /// What is expected instead.
        fault: String,
    },
}

/// What is set, and by whom.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    given: BTreeMap<&'static str, Given>,
}

#[derive(Clone, Debug)]
struct Given {
    value: String,
    source_name: String,
}

impl Layers {
    /// Nothing is set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what a TOML file sets.
    ///
    /// # Errors
    /// A file that cannot be read, is no TOML, or sets what is no option.
    pub fn file(self, path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|error| ConfigError::File {
            path: path.to_owned(),
            error,
        })?;
        self.text(&text, path)
    }

    fn text(mut self, text: &str, path: &Path) -> Result<Self, ConfigError> {
        let table: toml::Table =
            text.parse()
                .map_err(|error: toml::de::Error| ConfigError::Malformed {
                    path: path.to_owned(),
                    error: error.to_string(),
                })?;
        for (key, value) in table {
            let value = match value {
                toml::Value::String(text) => text,
                other => other.to_string(),
            };
            self.put(&key, value, &path.display().to_string())?;
        }
        Ok(self)
    }

    /// Takes what the environment sets: `HIGHWATER_LISTEN` and so on.
    ///
    /// `variable` gives a variable's value, as [`std::env::var`] does.
    #[must_use]
    pub fn environment(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        for option in OPTIONS {
            let name = option.variable();
            if let Some(value) = variable(&name) {
                self.given.insert(
                    option.name,
                    Given {
                        value,
                        source_name: format!("the environment's {name}"),
                    },
                );
            }
        }
        self
    }

    /// Takes what a flag sets; `None`: the flag was not given.
    ///
    /// # Errors
    /// What is no option.
    pub fn flag(mut self, name: &str, value: Option<String>) -> Result<Self, ConfigError> {
        if let Some(value) = value {
            self.put(
                name,
                value,
                &format!("the flag --{}", name.replace('_', "-")),
            )?;
        }
        Ok(self)
    }

    fn put(&mut self, key: &str, value: String, source_name: &str) -> Result<(), ConfigError> {
        let Some(option) = OPTIONS.iter().find(|option| option.name == key) else {
            let known: Vec<_> = OPTIONS.iter().map(|option| option.name).collect();
            return Err(ConfigError::UnknownOption {
                source_name: source_name.to_owned(),
                key: key.to_owned(),
                known: known.join(", "),
            });
        };
        let source_name = source_name.to_owned();
        self.given.insert(option.name, Given { value, source_name });
        Ok(())
    }

    /// The configuration that all this makes.
    ///
    /// # Errors
    /// An option with a value that it may not have.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        for option in OPTIONS {
            let Some(given) = self.given.get(option.name) else {
                continue;
            };
            (option.apply)(&mut config, given.value.trim()).map_err(|fault| {
                ConfigError::BadValue {
                    source_name: given.source_name.clone(),
                    option: option.name,
                    value: given.value.clone(),
                    fault,
                }
            })?;
        }
        Ok(config.complete())
    }
}

impl Config {
    /// Fills in what follows from other options.
    fn complete(mut self) -> Self {
        if self.keys.as_os_str().is_empty() {
            self.keys = self.data.join("keys.toml");
        }
        self
    }
}

impl Default for Config {
    /// The options' defaults, with the keys file still to be derived from the
    /// data folder.
    fn default() -> Self {
        let mut config = Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: PathBuf::new(),
            keys: PathBuf::new(),
            log_format: LogFormat::Text,
            log_level: String::new(),
            connections_max: 0,
            requests_max: 0,
            header_timeout: Duration::ZERO,
            body_timeout: Duration::ZERO,
            shutdown_deadline: Duration::ZERO,
            open_join: true,
            friends_delete: Sides::Both,
            conversations_shared_above: 0,
            purge: PurgePolicy {
                age_ms_max: 0,
                per_list_max: 0,
            },
            purge_interval: Duration::ZERO,
            audit_rows_per_s: 0,
            audit_interval: Duration::ZERO,
            receipts_kept: 0,
            tokens_remembered: 0,
            rights_remembered: 0,
        };
        for option in OPTIONS {
            (option.apply)(&mut config, option.default)
                .unwrap_or_else(|fault| unreachable!("the default of {option:?}: {fault}"));
        }
        config
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const OPERATIONS: &str = include_str!("../../../docs/operations.md");

    #[test]
    fn a_flag_wins_over_the_environment_which_wins_over_the_file() {
        let file = "listen = '1.1.1.1:1'\nopen_join = false\nfriends_delete = 'one'\ntombstone_age_days = 7\ndata = '/d'";
        let layers = Layers::new()
            .text(file, Path::new("h.toml"))
            .unwrap()
            .environment(|name| match name {
                "HIGHWATER_LISTEN" => Some("2.2.2.2:2".to_owned()),
                "HIGHWATER_REQUESTS_MAX" => Some("7".to_owned()),
                _ => None,
            })
            .flag("listen", Some("[::1]:3".to_owned()))
            .unwrap()
            .flag("requests_max", None)
            .unwrap();
        let config = layers.resolve().unwrap();
        assert_eq!(config.listen.to_string(), "[::1]:3");
        assert_eq!(config.requests_max, 7);
        assert!(!config.open_join);
        assert_eq!(config.friends_delete, Sides::One);
        assert_eq!(config.purge.age_ms_max, 7 * 24 * 3_600_000);
        assert_eq!(config.purge.per_list_max, 100_000);
        assert_eq!(config.keys, Path::new("/d/keys.toml"));
    }

    #[test]
    fn a_fault_names_where_it_is_and_what_is_expected() {
        let file = |text: &str| {
            Layers::new()
                .text(text, Path::new("h.toml"))
                .and_then(Layers::resolve)
                .unwrap_err()
                .to_string()
        };
        let unknown = file("lisen = '1.1.1.1:1'");
        assert!(unknown.starts_with("h.toml sets \"lisen\""), "{unknown}");
        assert!(unknown.contains("listen, data, keys"), "{unknown}");
        assert_eq!(
            file("log_format = 'xml'"),
            "h.toml sets log_format to \"xml\": expected text or json"
        );
        assert!(file("listen = ").contains("no TOML"));
        assert!(file("requests_max = 0").contains("at least 1"));
        assert!(file("open_join = 'yes'").contains("true or false"));
        assert!(file("friends_delete = 'none'").contains("one or both"));
        assert!(file("tombstone_age_days = 1000000000000").contains("fewer"));
        assert!(file("log_level = 'a=b=c'").contains("expected a level"));
        let environment = Layers::new()
            .environment(|name| (name == "HIGHWATER_LISTEN").then(|| "here".to_owned()))
            .resolve()
            .unwrap_err();
        assert!(
            environment
                .to_string()
                .starts_with("the environment's HIGHWATER_LISTEN"),
            "{environment}"
        );
        let flag = Layers::new()
            .flag("no_such", Some(String::new()))
            .unwrap_err();
        assert!(flag.to_string().contains("--no-such"), "{flag}");
    }

    #[test]
    fn the_document_lists_every_option_as_it_is() {
        for option in OPTIONS {
            let line = OPERATIONS
                .lines()
                .find(|line| line.starts_with(&format!("| `{}` |", option.name)));
            let line = line.unwrap_or_else(|| panic!("{} is not documented", option.name));
            let default = match option.default {
                "" => "| – |".to_owned(),
                default => format!("| `{default}` |"),
            };
            for part in [&option.variable(), &default, option.about] {
                assert!(line.contains(part), "{part:?} is not in {line:?}");
            }
        }
    }
}
