//! `highwater inspect`: what a database holds, also beside a running server.

mod device;
mod receipts;

use super::runtime;
use crate::backend::Operator;
use crate::exit::{BadInput, Verdict};
use anyhow::{Context as _, Result};
use clap::Subcommand;
use highwater_core::reads::{Change, Item, ListState, PageLimit, Payloads, Reads as _};
use highwater_protocol::kinds::{GROUPS, GroupProfile, JoinedGroup, MEMBERS, Member, Payload as _};
use highwater_protocol::{ListKey, Version};
use highwater_store::{ListLine, Store as _};
use highwater_store_sqlite::{Options, SqliteStore};
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Lists, rows and tombstones that are read at once.
const PAGE: PageLimit = PageLimit {
    rows: 1_000,
    bytes: 16 * 1024 * 1024,
};

/// Show what a database holds
#[derive(clap::Args)]
#[command(
    subcommand_required = false,
    after_help = "\
Reads beside a running server and changes nothing.

Examples:
  highwater inspect lists --data ./data
  highwater inspect lists --data ./data --kind members --json | jq '.[].list'
  highwater inspect head members/kubernetes --data ./data
  highwater inspect items members/kubernetes --data ./data
  highwater inspect tombstones groups/alice --data ./data --json
  highwater inspect receipts --server http://127.0.0.1:7420 --token \"$TOKEN\"
  highwater inspect --verify ./alice.db      (a device's database)"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Check a device's database instead: each row against its check and stamp, each list against
    /// its digest. Exit status 1 if anything is wrong
    #[arg(long, value_name = "FILE")]
    verify: Option<PathBuf>,
    /// The server's data folder
    #[arg(
        long,
        value_name = "DIR",
        env = "HIGHWATER_DATA",
        default_value = "highwater-data",
        global = true
    )]
    data: PathBuf,
    /// JSON instead of a table
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum What {
    /// All lists with their heads (the default)
    Lists {
        /// Only lists of this kind
        #[arg(long)]
        kind: Option<String>,
    },
    /// One list's head
    Head {
        /// The list, as kind/owner
        list: String,
    },
    /// One list's elements, in its order; the header has an empty id
    Items {
        /// The list, as kind/owner
        list: String,
    },
    /// One list's deletions that are remembered, oldest first
    Tombstones {
        /// The list, as kind/owner
        list: String,
    },
    /// What devices told a running server of their repairs, newest first
    Receipts {
        #[command(flatten)]
        operator: Operator,
    },
}

/// Shows what was asked for.
pub(crate) fn run(args: Args) -> Result<Verdict> {
    let mut out = Output {
        json: args.json,
        out: BufWriter::new(std::io::stdout()),
        rows: 0,
    };
    if let Some(file) = &args.verify {
        if args.what.is_some() {
            let message = "--verify checks a device's database, and stands alone";
            return Err(BadInput(message.to_owned()).into());
        }
        return device::verify(file, out);
    }
    let shown = match args.what.unwrap_or(What::Lists { kind: None }) {
        What::Receipts { operator } => receipts::show(&operator, &mut out),
        what => in_store(&args.data, what, &mut out),
    };
    match shown.and_then(|()| out.end()) {
        // Whoever reads has seen enough: `| head`.
        Err(error) if is_broken_pipe(&error) => Ok(Verdict::Yes),
        shown => shown.map(|()| Verdict::Yes),
    }
}

fn in_store(data: &Path, what: What, out: &mut Output) -> Result<()> {
    let store = SqliteStore::open_read_only(data, Options::default())
        .with_context(|| format!("cannot read the database in {}", data.display()))?;
    runtime()?.block_on(async {
        match what {
            What::Lists { kind } => lists(&store, kind.as_deref(), out).await,
            What::Head { list } => head(&store, &named(&list)?, out).await,
            What::Items { list } => items(&store, &named(&list)?, out).await,
            What::Tombstones { list } => tombstones(&store, &named(&list)?, out).await,
            What::Receipts { .. } => unreachable!("they are not in the store"),
        }
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = error
        .downcast_ref::<std::io::Error>()
        .map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::BrokenPipe)
}

fn named(list: &str) -> Result<ListKey> {
    list.parse()
        .map_err(|no| BadInput(format!("{list}: {no}; an example is members/kubernetes")).into())
}

/// Rows as they come: a table's lines, or the entries of one JSON array.
struct Output {
    json: bool,
    out: BufWriter<std::io::Stdout>,
    rows: u64,
}

impl Output {
    fn head(&mut self, columns: &str) -> Result<()> {
        if !self.json {
            writeln!(self.out, "{columns}")?;
        }
        Ok(())
    }

    fn row(&mut self, line: impl FnOnce() -> String, value: impl FnOnce() -> Value) -> Result<()> {
        if self.json {
            let before = if self.rows == 0 { "[\n" } else { ",\n" };
            write!(self.out, "{before}  {}", value())?;
        } else {
            writeln!(self.out, "{}", line())?;
        }
        self.rows += 1;
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        if self.json {
            writeln!(self.out, "{}", if self.rows == 0 { "[]" } else { "\n]" })?;
        }
        self.out.flush()?;
        Ok(())
    }
}

const HEADS: &str = "version      floor        count        tombstones   lineage           digest                            list";

async fn lists(store: &SqliteStore, kind: Option<&str>, out: &mut Output) -> Result<()> {
    out.head(HEADS)?;
    let mut after: Option<ListKey> = None;
    loop {
        let lines = store.lists(after.as_ref(), PAGE.rows).await?;
        let Some(last) = lines.last() else {
            return Ok(());
        };
        after = Some(last.list.clone());
        for line in lines
            .iter()
            .filter(|line| kind.is_none_or(|kind| line.list.kind.as_str() == kind))
        {
            show_head(line, out)?;
        }
    }
}

async fn head(store: &SqliteStore, list: &ListKey, out: &mut Output) -> Result<()> {
    out.head(HEADS)?;
    let mut after: Option<ListKey> = None;
    // Lists are read in their order: the one that is looked for is the first
    // that is not before it.
    loop {
        let lines = store.lists(after.as_ref(), PAGE.rows).await?;
        if let Some(line) = lines.iter().find(|line| line.list == *list) {
            return show_head(line, out);
        }
        match lines.last() {
            Some(last) if last.list < *list => after = Some(last.list.clone()),
            _ => return Err(BadInput(format!("there is no list {list}")).into()),
        }
    }
}

fn show_head(line: &ListLine, out: &mut Output) -> Result<()> {
    let ListLine {
        list,
        state,
        tombstones,
    } = line;
    match state {
        ListState::Live(head) => out.row(
            || {
                format!(
                    "{:<12} {:<12} {:<12} {tombstones:<12} {}  {}  {}",
                    head.version.to_string(),
                    head.floor.to_string(),
                    head.count,
                    head.lineage,
                    head.digest,
                    shown(&list.to_string())
                )
            },
            || {
                json!({
                    "list": list.to_string(),
                    "state": "live",
                    "lineage": head.lineage.to_string(),
                    "version": head.version.get(),
                    "floor": head.floor.get(),
                    "count": head.count,
                    "digest": head.digest.to_string(),
                    "tombstones": tombstones,
                })
            },
        ),
        ListState::Ended(lineage) | ListState::Absent(lineage) => out.row(
            || {
                format!(
                    "{:<12} {:<12} {:<12} {tombstones:<12} {lineage}  {:<32}  {}",
                    "-",
                    "-",
                    "-",
                    "(ended)",
                    shown(&list.to_string())
                )
            },
            || {
                json!({
                    "list": list.to_string(),
                    "state": "ended",
                    "lineage": lineage.to_string(),
                    "tombstones": tombstones,
                })
            },
        ),
    }
}

async fn live(
    store: &SqliteStore,
    list: &ListKey,
) -> Result<<SqliteStore as highwater_store::Store>::Snapshot> {
    let snapshot = store.snapshot(std::slice::from_ref(list)).await?;
    match snapshot.state(list).await? {
        ListState::Live(_) => Ok(snapshot),
        ListState::Ended(_) => Err(BadInput(format!("the list {list} has ended")).into()),
        ListState::Absent(_) => Err(BadInput(format!("there is no list {list}")).into()),
    }
}

async fn items(store: &SqliteStore, list: &ListKey, out: &mut Output) -> Result<()> {
    let snapshot = live(store, list).await?;
    out.head("version      created      stamp                             rank                id / content")?;
    let mut after = None;
    loop {
        let last = Version::new(u64::MAX);
        let page = snapshot
            .scan(list, last, after.as_ref(), Payloads::All, PAGE)
            .await?;
        for item in page.rows {
            show_item(list, &item, out)?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn show_item(list: &ListKey, item: &Item, out: &mut Output) -> Result<()> {
    let content = meaning(list.kind.as_str(), item);
    out.row(
        || {
            format!(
                "{:<12} {:<12} {}  {:<18}  {} {content}",
                item.version.to_string(),
                item.created.to_string(),
                item.stamp,
                hex(item.rank.as_bytes()),
                if item.id.is_header() {
                    "(header)".to_owned()
                } else {
                    shown(item.id.as_str())
                },
            )
        },
        || {
            json!({
                "id": item.id.as_str(),
                "rank": hex(item.rank.as_bytes()),
                "version": item.version.get(),
                "created": item.created.get(),
                "stamp": item.stamp.to_string(),
                "payload": hex(&item.payload),
                "content": content,
            })
        },
    )
}

async fn tombstones(store: &SqliteStore, list: &ListKey, out: &mut Output) -> Result<()> {
    let snapshot = live(store, list).await?;
    out.head("version      created      id")?;
    let mut after = Version::ZERO;
    loop {
        let page = snapshot.changes(list, after, PAGE).await?;
        for change in &page.rows {
            after = change.version();
            let Change::Deleted(tombstone) = change else {
                continue;
            };
            out.row(
                || {
                    format!(
                        "{:<12} {:<12} {}",
                        tombstone.version.to_string(),
                        tombstone.created.to_string(),
                        tombstone.id
                    )
                },
                || {
                    json!({
                        "id": tombstone.id.as_str(),
                        "version": tombstone.version.get(),
                        "created": tombstone.created.get(),
                    })
                },
            )?;
        }
        if !page.more {
            return Ok(());
        }
    }
}

/// What a payload of a built-in kind says; null for others.
fn meaning(kind: &str, item: &Item) -> Value {
    let header = item.id.is_header();
    let read = match kind {
        MEMBERS if header => GroupProfile::decode(&item.payload).map(|profile| {
            json!({
                "name": profile.name,
                "description": profile.description,
                "created_at_ms": profile.created_at_ms,
            })
        }),
        MEMBERS => Member::decode(&item.payload).map(
            |member| json!({"role": member.role.as_str(), "joined_at_ms": member.joined_at_ms}),
        ),
        GROUPS => JoinedGroup::decode(&item.payload)
            .map(|group| json!({"joined_at_ms": group.joined_at_ms})),
        _ => return Value::Null,
    };
    read.unwrap_or(Value::Null)
}

/// An id as a table shows it: what a terminal would obey, or what would forge a
/// line, is escaped.
fn shown(id: &str) -> String {
    let escape = |letter: char| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    id.chars().map(escape).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn an_id_cannot_forge_a_line_or_command_the_terminal() {
        assert_eq!(
            shown("x\u{1b}[31m\nmembers/fake"),
            "x\\u{1b}[31m\\nmembers/fake"
        );
        assert_eq!(shown("é/team"), "é/team");
    }
}
