//! `highwater token`: issue a bearer token.

use crate::exit::{BadInput, Verdict};
use anyhow::{Context as _, Result};
use highwater_server::Clock;
use highwater_server::auth::{Keys, SERVICE_SCOPE, issue};
use std::io::Write as _;
use std::path::PathBuf;

/// Issue a token that the server in DIR accepts
#[derive(clap::Args)]
#[command(
    group(clap::ArgGroup::new("subject").required(true).args(["user", "service"])),
    after_help = "\
The token is printed alone, so that a script can take it. The keys are in keys.toml in the
data folder; they are made if there are none yet.

Examples:
  highwater token --user alice --data ./data
  highwater token --service --data ./data --ttl 365d
  curl -H \"authorization: Bearer $(highwater token --user alice --data ./data)\" \\
       http://127.0.0.1:7420/v1/lists/groups/alice"
)]
pub(crate) struct Args {
    /// For this user's devices
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// For a backend: it may do what any user may, import, and read the status
    #[arg(long)]
    service: bool,
    /// The server's data folder
    #[arg(
        long,
        value_name = "DIR",
        env = "HIGHWATER_DATA",
        default_value = "highwater-data"
    )]
    data: PathBuf,
    /// The keys file, if it is not keys.toml in the data folder
    #[arg(long, value_name = "FILE", env = "HIGHWATER_KEYS")]
    keys: Option<PathBuf>,
    /// How long it is good for: a number and s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "30d")]
    ttl: String,
}

/// Who a service's token is issued to.
const SERVICE_SUBJECT: &str = "service";

/// Prints a token.
pub(crate) fn run(args: Args) -> Result<Verdict> {
    let ttl_s = seconds(&args.ttl).ok_or_else(|| {
        BadInput(format!(
            "--ttl {}: expected a number and s, m, h or d, as 30d",
            args.ttl
        ))
    })?;
    let path = args.keys.unwrap_or_else(|| args.data.join("keys.toml"));
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    if !path.exists() {
        eprintln!("there are no keys yet: making {}", path.display());
    }
    let keys = Keys::load_or_create(&path)?;
    let key = keys.signing().with_context(|| {
        format!(
            "no key in {} can sign: they are public halves only",
            path.display()
        )
    })?;
    let (subject, scope) = match &args.user {
        Some(user) => (user.as_str(), None),
        None => (SERVICE_SUBJECT, Some(SERVICE_SCOPE)),
    };
    highwater_protocol::OwnerId::new(subject).map_err(|no| BadInput(format!("--user: {no}")))?;
    let now_s = Clock::system().now_ms().div_euclid(1_000);
    let token = issue(key, subject, scope, now_s, ttl_s).context("the key cannot sign")?;
    writeln!(std::io::stdout(), "{token}")?;
    Ok(Verdict::Yes)
}

fn seconds(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: i64 = text[..text.len() - 1].parse().ok()?;
    number.checked_mul(factor).filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("2h"), Some(7_200));
        for bad in ["", "d", "0d", "-1d", "3", "3w", "99999999999999999d", "3é"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
