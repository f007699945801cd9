//! The server that is measured: the real one, in this process, over a database
//! on disk that is filled with generated lists.

use crate::generator::{self, Numbers};
use crate::load::{Body, Prepared};
use anyhow::{Context as _, Result, anyhow, ensure};
use highwater_core::Head;
use highwater_core::reads::{ListState, Reads as _};
use highwater_protocol::codec::Format;
use highwater_protocol::kinds::{GROUPS, GroupProfile, MEMBERS, Payload as _};
use highwater_protocol::message::{Cursor, ListRequest, Position, Scan, ScanPosition, SyncRequest};
use highwater_protocol::{ItemId, ListKey, Point, Rank, Stamp, Version, limits, wire};
use highwater_server::auth::{Algorithm, Key, Keys, SERVICE_SCOPE, issue};
use highwater_server::config::Layers;
use highwater_server::{Clock, Server};
use highwater_store::{Abort, Store as _, Write, WriteTxn};
use highwater_store_sqlite::{Options, SqliteStore};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Items of one list that one transaction writes while the database is filled.
const SEEDED_AT_ONCE: u64 = 5_000;
/// Short lists that one transaction fills.
const LISTS_AT_ONCE: u64 = 50;
/// Each list has a number: a long one its length, users' own ones count from
/// here …
const FIRST_OWN: u64 = 1 << 30;
/// … and short ones from here on.
const FIRST_SHORT: u64 = 1 << 31;
/// How long tokens are good, in seconds: longer than any run.
const TOKEN_S: i64 = 86_400;
/// Content codings that a device accepts.
pub(crate) const DEVICE_ACCEPTS: &str = "hw1, zstd, gzip";
/// Items of a short list.
pub(crate) const SHORT_ITEMS: u64 = 100;

/// The runtime that a server runs on: the same kind as of `highwater serve`.
///
/// # Errors
/// What the system says.
pub(crate) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")
}

/// A running server and its database; both go when it is dropped.
pub(crate) struct World {
    runtime: Runtime,
    key: Key,
    serving: Option<Serving>,
    /// Lists that are there, by number, with their length.
    filled: BTreeMap<u64, u64>,
    folder: TempDir,
}

struct Serving {
    store: SqliteStore,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// The list of this number.
///
/// # Errors
/// None that can happen.
pub(crate) fn list(number: u64) -> Result<ListKey> {
    Ok(if (FIRST_OWN..FIRST_SHORT).contains(&number) {
        ListKey::new(GROUPS, &user(number))?
    } else {
        ListKey::new(MEMBERS, &group(number))?
    })
}

/// The user whose own list has this number.
fn user(number: u64) -> String {
    format!("u{number:011}")
}

/// The group whose members the list of this number holds.
#[must_use]
pub(crate) fn group(number: u64) -> String {
    format!("g{number:011}")
}

impl World {
    /// An empty database in a folder of its own below `below`, and a server
    /// over it on a free port.
    ///
    /// # Errors
    /// What the system or the store says; likewise below.
    pub(crate) fn new(below: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("highwater-bench-")
            .tempdir_in(below)
            .with_context(|| format!("cannot make a folder in {}", below.display()))?;
        let mut world = Self {
            runtime: runtime()?,
            key: Key::generate("bench", Algorithm::Hs256)?,
            serving: None,
            filled: BTreeMap::new(),
            folder,
        };
        world.start()?;
        Ok(world)
    }

    fn start(&mut self) -> Result<()> {
        let store = SqliteStore::open(self.folder.path(), Options::default())?;
        let config = Layers::new()
            .flag("listen", Some("127.0.0.1:0".to_owned()))?
            .resolve()?;
        let keys = Keys::new(vec![self.key.clone()])?;
        let server = Server::new(config, store.clone(), keys);
        let bound = self.runtime.block_on(server.bind())?;
        let address = bound.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = self.runtime.spawn(async move {
            bound
                .run(async {
                    // A dropped sender stops the server too.
                    let _ = stopped.await;
                })
                .await;
        });
        self.serving = Some(Serving {
            store,
            address,
            stop,
            task,
        });
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        let Some(serving) = self.serving.take() else {
            return Ok(());
        };
        drop(serving.stop);
        self.runtime.block_on(async {
            serving.task.await?;
            serving.store.close().await;
            Ok(())
        })
    }

    /// Stops the server and starts it over the same database: whatever was in
    /// its memory is gone.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start()
    }

    fn serving(&self) -> Result<&Serving> {
        self.serving.as_ref().context("the server did not start")
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.serving()?.address)
    }

    /// The store below the server.
    pub(crate) fn store(&self) -> Result<SqliteStore> {
        Ok(self.serving()?.store.clone())
    }

    /// Runs a future to its end on the server's runtime.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A token that may read everything.
    pub(crate) fn token(&self) -> Result<String> {
        self.issue("bench", Some(SERVICE_SCOPE))
    }

    /// The token of the user whose own list has this number.
    pub(crate) fn token_of(&self, number: u64) -> Result<String> {
        self.issue(&user(number), None)
    }

    fn issue(&self, subject: &str, scope: Option<&str>) -> Result<String> {
        let now_s = Clock::system().now_ms() / 1_000;
        issue(&self.key, subject, scope, now_s, TOKEN_S).context("the key does not sign")
    }

    /// Sees to it that there is a list of so many items, whose number is its
    /// length, and returns that.
    pub(crate) fn long_list(&mut self, items: u64) -> Result<u64> {
        self.fill(items, items)?;
        Ok(items)
    }

    /// Sees to it that there are so many lists of [`SHORT_ITEMS`], and returns
    /// their numbers.
    pub(crate) fn short_lists(&mut self, lists: u64) -> Result<Range<u64>> {
        self.fill_short(FIRST_SHORT..FIRST_SHORT + lists)
    }

    /// Sees to it that so many users have an own list of [`SHORT_ITEMS`], and
    /// returns the lists' numbers.
    pub(crate) fn own_lists(&mut self, users: u64) -> Result<Range<u64>> {
        self.fill_short(FIRST_OWN..FIRST_OWN + users)
    }

    fn fill_short(&mut self, numbers: Range<u64>) -> Result<Range<u64>> {
        let mut missing: Vec<u64> = numbers.clone().collect();
        missing.retain(|number| !self.filled.contains_key(number));
        if !missing.is_empty() {
            let many = missing.len();
            crate::progress(&format!("filling {many} lists of {SHORT_ITEMS}"));
        }
        for some in missing.chunks(usize::try_from(LISTS_AT_ONCE)?) {
            self.write(Fill::new(some, 0..SHORT_ITEMS)?)?;
            self.filled
                .extend(some.iter().map(|number| (*number, SHORT_ITEMS)));
        }
        Ok(numbers)
    }

    fn fill(&mut self, number: u64, items: u64) -> Result<()> {
        let mut from = self.filled.get(&number).copied().unwrap_or_default();
        if from < items {
            crate::progress(&format!("filling a list of {items}"));
        }
        while from < items {
            let to = items.min(from + SEEDED_AT_ONCE);
            self.write(Fill::new(&[number], from..to)?)?;
            self.filled.insert(number, to);
            from = to;
        }
        Ok(())
    }

    fn write<W: Write<Refusal = ()>>(&self, work: W) -> Result<W::Output> {
        let store = self.store()?;
        let now_ms = Clock::system().now_ms();
        let committed = self.runtime.block_on(store.write(now_ms, work));
        match committed {
            Ok(committed) => Ok(committed.output),
            Err(error) => Err(anyhow!("the database could not be filled: {error}")),
        }
    }

    /// Where a list stands.
    pub(crate) fn head(&self, number: u64) -> Result<Head> {
        let (store, list) = (self.store()?, list(number)?);
        let state = self.runtime.block_on(async {
            let snapshot = store.snapshot(std::slice::from_ref(&list)).await?;
            snapshot.state(&list).await
        });
        match state? {
            ListState::Live(head) => Ok(head),
            ListState::Ended(_) | ListState::Absent(_) => Err(anyhow!("{list} is not there")),
        }
    }

    /// A cursor that is `behind` changes behind a list; its digest is the head's
    /// only if that is 0.
    pub(crate) fn cursor(&self, number: u64, behind: u64) -> Result<ListRequest> {
        let head = self.head(number)?;
        let version = head.version.get();
        ensure!(behind <= version, "list {number} has {version} changes");
        let point = Point {
            lineage: head.lineage,
            version: Version::new(version - behind),
        };
        asked(
            number,
            Position::Cursor(Cursor {
                point,
                digest: if behind == 0 {
                    head.digest
                } else {
                    head.digest.plus(Stamp([1; 16]))
                },
                count: head.count,
            }),
        )
    }

    /// A request about `lists` by one who may read everything; the answer may be
    /// encoded in any of `accept_encoding`.
    pub(crate) fn request(
        &self,
        lists: Vec<ListRequest>,
        accept_encoding: &str,
    ) -> Result<Prepared> {
        Ok(request(&self.token()?, lists, accept_encoding))
    }

    /// An operation on a group, in JSON.
    pub(crate) fn operation(
        &self,
        method: &str,
        path: &str,
        json: &serde_json::Value,
    ) -> Result<Prepared> {
        let body = json.to_string();
        let body = Body {
            content_type: Format::Json.content_type(),
            bytes: body.as_bytes(),
            accept_encoding: "",
        };
        Ok(Prepared::new(method, path, &self.token()?, body))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What a server does not end well in is its tests' business.
        let _ = self.stop();
    }
}

/// A request about `lists`, as the holder of a token sends it.
#[must_use]
pub(crate) fn request(token: &str, lists: Vec<ListRequest>, accept_encoding: &str) -> Prepared {
    let request = SyncRequest {
        lists,
        page_rows: limits::PAGE_ROWS,
    };
    let body = Format::Protobuf.encode(&wire::SyncRequest::from(request));
    let body = Body {
        content_type: Format::Protobuf.content_type(),
        bytes: &body,
        accept_encoding,
    };
    Prepared::new("POST", "/v1/sync", token, body)
}

/// What is asked about the list of this number.
///
/// # Errors
/// None that can happen.
pub(crate) fn asked(number: u64, position: Position) -> Result<ListRequest> {
    Ok(ListRequest {
        list: list(number)?,
        position,
        details: Vec::new(),
        delta_details: None,
    })
}

/// A page of a scan without details.
#[must_use]
pub(crate) const fn skeleton(position: Option<ScanPosition>) -> Position {
    Position::Scan(Scan {
        position,
        whole_up_to: 0,
        details: 0,
    })
}

/// The header of the group of this number.
#[must_use]
pub(crate) fn profile(number: u64, edition: u64) -> GroupProfile {
    let mut numbers = Numbers::named(number);
    GroupProfile {
        name: format!("group {:08x}", numbers.next() >> 32),
        description: format!("what it is for, in a few words: {edition:08}"),
        created_at_ms: 1_500_000_000_000,
        ..GroupProfile::default()
    }
}

/// Writes generated items into lists, with a header first.
struct Fill {
    lists: Vec<(u64, ListKey)>,
    items: Range<u64>,
}

impl Fill {
    fn new(numbers: &[u64], items: Range<u64>) -> Result<Self> {
        let named = numbers.iter().map(|number| Ok((*number, list(*number)?)));
        Ok(Self {
            lists: named.collect::<Result<_>>()?,
            items,
        })
    }
}

impl Write for Fill {
    type Output = ();
    type Refusal = ();

    fn lists(&self) -> Vec<ListKey> {
        self.lists.iter().map(|(_, list)| list.clone()).collect()
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Abort<()>> {
        for (number, list) in &self.lists {
            if self.items.start == 0 {
                let payload = profile(*number, 0).encode();
                let header = ItemId::header();
                txn.put(list, &header, Rank::default(), payload.into())
                    .await?;
            }
            for index in self.items.clone() {
                let item = generator::item(*number, index, 0);
                txn.put(list, &item.id, item.rank, item.payload).await?;
            }
        }
        Ok(())
    }
}
