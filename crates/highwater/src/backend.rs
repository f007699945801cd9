//! What a backend says to the server: plain JSON over HTTP.

use crate::demo::percent_encoded;
use crate::exit::BadInput;
use crate::history::{Change, Transaction};
use anyhow::{Context as _, Result, anyhow};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Changes that one request may hold.
const CHANGES_PER_REQUEST: usize = 1_000;

/// A backend with a service token.
pub(crate) struct Backend {
    agent: ureq::Agent,
    server: String,
    authorization: String,
}

/// Which server an operator asks, and with what right.
#[derive(clap::Args)]
pub(crate) struct Operator {
    /// The server's URL
    #[arg(
        long,
        value_name = "URL",
        env = "HIGHWATER_SERVER",
        default_value = "http://127.0.0.1:7420"
    )]
    server: String,
    /// A service's token: `highwater token --service`
    #[arg(
        long,
        value_name = "TOKEN",
        env = "HIGHWATER_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
}

impl Operator {
    /// The server, as this operator may ask it.
    pub(crate) fn backend(&self) -> Result<Backend> {
        let token = self.token.as_deref().ok_or_else(|| {
            BadInput("a token is needed: --token, or HIGHWATER_TOKEN; `highwater token --service` issues one".to_owned())
        })?;
        Ok(Backend::new(&self.server, token))
    }
}

/// What `/v1/admin/audit` says of some lists.
#[derive(Deserialize)]
pub(crate) struct Audited {
    pub(crate) lists: u64,
    pub(crate) rows: u64,
    pub(crate) mismatches: Vec<Mismatch>,
    /// Where to go on.
    pub(crate) next: Option<String>,
}

/// A head that its rows deny.
#[derive(Deserialize)]
pub(crate) struct Mismatch {
    pub(crate) list: String,
    pub(crate) version: u64,
    pub(crate) head_count: u64,
    pub(crate) head_digest: String,
    pub(crate) rows_count: u64,
    pub(crate) rows_digest: String,
    pub(crate) corrected: bool,
}

/// What `/v1/admin/status` says, as far as it is needed here.
#[derive(Deserialize)]
pub(crate) struct Status {
    /// Queued jobs: dismissals that have not reached all lists.
    pub(crate) jobs: u64,
}

impl Backend {
    /// A backend of the server at this URL.
    pub(crate) fn new(server: &str, token: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .build();
        Self {
            agent: config.into(),
            server: server.trim_end_matches('/').to_owned(),
            authorization: format!("Bearer {token}"),
        }
    }

    /// Imports a transaction, in as many requests as it takes. Returns how many.
    pub(crate) fn import(&self, transaction: &Transaction) -> Result<usize> {
        let parts = transaction.changes.chunks(CHANGES_PER_REQUEST);
        let requests = parts.len();
        for (part, changes) in parts.enumerate() {
            self.import_part(transaction.at, changes)
                .map_err(|error| match part {
                    0 => error,
                    _ => error.context(format!(
                        "in the part of the transaction that begins at changes[{}]",
                        part * CHANGES_PER_REQUEST
                    )),
                })?;
        }
        Ok(requests)
    }

    fn import_part(&self, at: i64, changes: &[Change]) -> Result<Value> {
        self.post("/v1/admin/import", &json!({ "at": at, "changes": changes }))
    }

    /// Gives a user a name.
    pub(crate) fn name(&self, user: &str, name: &str) -> Result<()> {
        let path = format!("/v1/users/{}/profile", percent_encoded(user));
        self.send("PATCH", &path, &json!({ "name": name }))
            .map(drop)
    }

    /// Makes pairs of users friends, since this time (seconds since 1970).
    pub(crate) fn befriend(&self, at: i64, pairs: &[(String, String)]) -> Result<()> {
        for part in pairs.chunks(CHANGES_PER_REQUEST) {
            let pairs: Vec<Value> = part
                .iter()
                .map(|(user, friend)| {
                    json!({ "user": user, "friend": friend, "since_ms": at * 1_000 })
                })
                .collect();
            self.post("/v1/admin/friends", &json!({ "pairs": pairs }))?;
        }
        Ok(())
    }

    /// Ends a friendship, for both.
    pub(crate) fn part(&self, user: &str, friend: &str) -> Result<()> {
        let (user, friend) = (percent_encoded(user), percent_encoded(friend));
        let path = format!("/v1/users/{user}/friends/{friend}");
        self.send("DELETE", &path, &Value::Null).map(drop)
    }

    /// Reports what was said in conversations.
    pub(crate) fn report(&self, entries: &[Value]) -> Result<()> {
        for part in entries.chunks(CHANGES_PER_REQUEST) {
            self.post("/v1/activity", &json!({ "activities": part }))?;
        }
        Ok(())
    }

    /// Has the server hold some heads against their items: of the lists after
    /// this one, or the first.
    pub(crate) fn audit(&self, after: Option<&str>) -> Result<Audited> {
        let value = self.post("/v1/admin/audit", &json!({ "after": after }))?;
        serde_json::from_value(value).context("the server's audit is not what it should be")
    }

    /// The last receipts of repairs that devices posted, the newest first; and
    /// whether the server asks for any.
    pub(crate) fn receipts(&self) -> Result<(bool, Vec<Value>)> {
        let mut value = self.get("/v1/admin/receipts")?;
        let wanted = value["wanted"].as_bool().unwrap_or_default();
        match value["receipts"].take() {
            Value::Array(receipts) => Ok((wanted, receipts)),
            _ => Err(anyhow!("the server's receipts are not what they should be")),
        }
    }

    /// How the server is.
    pub(crate) fn status(&self) -> Result<Status> {
        let value = self.get("/v1/admin/status")?;
        serde_json::from_value(value).context("the server's status is not what it should be")
    }

    /// Waits until no queued work is left.
    pub(crate) fn settle(&self) -> Result<()> {
        for _ in 0..6_000 {
            if self.status()?.jobs == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(anyhow!("the server's queued work does not come to an end"))
    }

    fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.server);
        let answer = self
            .agent
            .get(&url)
            .header("authorization", &self.authorization)
            .call();
        read(&url, answer)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send("POST", path, body)
    }

    /// A request of any method; `Null`: without a body.
    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.server);
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(&url)
            .header("authorization", &self.authorization);
        let answer = match body {
            Value::Null => self.agent.run(request.body(())?),
            body => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string())?)
            }
        };
        read(&url, answer)
    }
}

type Answer = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

/// The answer's JSON; a refusal becomes an error with its message and code.
fn read(url: &str, answer: Answer) -> Result<Value> {
    let mut answer = answer.with_context(|| format!("{url} cannot be reached"))?;
    let status = answer.status();
    let text = answer
        .body_mut()
        .read_to_string()
        .with_context(|| format!("{url} broke off"))?;
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    if status.is_success() {
        return Ok(value);
    }
    let part = |name: &str| value[name].as_str().unwrap_or_default();
    let field = match part("field") {
        "" => String::new(),
        field => format!("{field}: "),
    };
    let refusal = format!(
        "{field}{} ({}, status {})",
        part("detail"),
        part("code"),
        status.as_u16()
    );
    // What was sent is wrong, not the machine: another try would not help.
    if matches!(status.as_u16(), 400 | 404 | 409 | 413) {
        return Err(BadInput(refusal).into());
    }
    Err(anyhow!(refusal))
}
