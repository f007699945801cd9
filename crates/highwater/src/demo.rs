//! The demo: a real history, replayed through the real server, while devices
//! live through it; at the end every copy is compared, element by element.

mod accident;
mod device;
mod judge;
mod model;
mod pull;
mod report;
mod social;

use crate::backend::Backend;
use crate::history::{Change, Transaction};
use crate::progress;
use accident::Accident;
use anyhow::{Context as _, Result};
use device::{Connection, Device, HeldGroups, Life};
use highwater_protocol::kinds::{ACTIVITY, CONVERSATIONS, FRIENDS, GROUPS, MEMBERS};
use highwater_sdk::Compression;
use highwater_server::auth::{Algorithm, Key, Keys, SERVICE_SCOPE, issue};
use highwater_server::config::Layers;
use highwater_server::{Clock, Server};
use highwater_store_sqlite::{DATABASE_FILE, Existing, Options, SqliteStore};
use model::{Model, YEAR_S};
use pull::Puller;
pub(crate) use pull::percent_encoded;
use report::DeviceReport;
pub(crate) use report::Report;
use serde_json::{Value, json};
use social::{Aftermath, Message, Social};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long the device that goes away is away each time: six weeks.
const AWAY_S: i64 = 6 * 7 * 24 * 60 * 60;
/// How long the unlucky device is away each time: a week.
const WEEK_S: i64 = 7 * 24 * 60 * 60;
/// How long the demo's tokens are good for, in seconds.
const TOKEN_TTL_S: i64 = 24 * 60 * 60;

/// How the demo runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Compress what travels, on both sides of the comparison.
    pub(crate) compressed: bool,
    /// Draw no progress bar.
    pub(crate) quiet: bool,
}

/// Whether a history can be replayed at all: each change must be possible after
/// those before it.
pub(crate) fn check(history: &[Transaction]) -> Result<()> {
    model::cast(history).map(|_| ())
}

/// Replays a history in `folder`.
pub(crate) fn run(
    runtime: &Runtime,
    history: &[Transaction],
    folder: &Path,
    settings: Settings,
) -> Result<Report> {
    let began = Instant::now();
    let cast = model::cast(history)?;
    let end = history.last().map_or(0, |last| last.at);
    let mut devices = vec![
        Device::new("always online", &cast.busy, Life::Always),
        Device::new("away for weeks", &cast.busy, Life::Away(AWAY_S)),
        Device::new(
            "fresh last year",
            &cast.busy,
            Life::InstalledAt(end - YEAR_S),
        ),
        Device::new(
            "newcomer",
            &cast.newcomer,
            Life::InstalledAt(joined_at(history, &cast.newcomer)),
        ),
        Device::new("unlucky", &cast.busy, Life::Away(WEEK_S)).with_accidents(accidents(history)),
    ];
    let mut server = DemoServer::start(runtime, folder)?;
    let mut backend = server.backend()?;
    let mut pulls = Pulls::new(&server, settings, &devices)?;
    let (mut model, mut social) = (Model::default(), Social::default());
    let mut done: Vec<Aftermath> = Vec::new();
    let disaster = Disaster::of(history);
    let bar = progress::up_to(history.len() as u64, "transactions", settings.quiet);
    for (line, transaction) in history.iter().enumerate() {
        let place = || format!("transaction {}", line + 1);
        model.apply(transaction).with_context(place)?;
        let after = social.follow(transaction);
        carry_out(&backend, transaction, &after).with_context(place)?;
        pulls.touch(transaction);
        pulls.touch_people(&after, &social);
        done.push(after);
        for device in &mut devices {
            if device.pulls_at(transaction.at) {
                sync(
                    runtime, device, &server, &mut pulls, &model, folder, settings,
                )
                .with_context(place)?;
            }
        }
        if line == disaster.backup_after {
            server.back_up(&disaster.backup(folder))?;
        }
        if line == disaster.restore_after {
            server = server.restore(runtime, folder, &disaster.backup(folder))?;
            backend = server.backend()?;
            for device in devices.iter_mut().filter(|device| device.is_installed()) {
                let connection = server.connection(device.user(), folder, settings)?;
                let mending = device.mend("server restored", &connection, &model.births);
                runtime.block_on(mending)?;
            }
            for (lost, after) in history.iter().zip(&done).skip(disaster.backup_after + 1) {
                carry_out(&backend, lost, after)?;
            }
            pulls.reconnect(&server, settings)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    backend.settle()?;
    for device in &mut devices {
        sync(
            runtime, device, &server, &mut pulls, &model, folder, settings,
        )?;
    }
    pulls.check()?;
    let repairs = devices.iter_mut().flat_map(Device::take_repairs).collect();
    let (reports, differences) =
        runtime.block_on(judge::judge(devices, &model, &social, &server.database))?;
    server.stop(runtime)?;
    Ok(Report {
        equal: differences.is_empty(),
        transactions: history.len(),
        seconds: (began.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        coding: if settings.compressed {
            pull::CODINGS
        } else {
            "identity"
        },
        devices: reports,
        repairs,
        differences,
    })
}

/// When what befalls the unlucky device: evenly over the history.
fn accidents(history: &[Transaction]) -> Vec<(i64, Accident)> {
    let parts = Accident::ALL.len() + 1;
    let at = |part: usize| history.get(history.len() * part / parts);
    (1..parts)
        .zip(Accident::ALL)
        .filter_map(|(part, accident)| Some((at(part)?.at, accident)))
        .collect()
}

/// In the middle of the history the server is lost, and restored from a backup
/// that was made a while before; what came after it is then done again.
struct Disaster {
    backup_after: usize,
    restore_after: usize,
}

impl Disaster {
    const fn of(history: &[Transaction]) -> Self {
        Self {
            backup_after: history.len() * 9 / 20,
            restore_after: history.len() / 2,
        }
    }

    fn backup(&self, folder: &Path) -> PathBuf {
        folder.join(format!("backup-{}.db", self.backup_after + 1))
    }
}

/// Has the server do what a transaction did, and what people did after it.
fn carry_out(backend: &Backend, transaction: &Transaction, after: &Aftermath) -> Result<()> {
    for (user, name) in &after.named {
        backend.name(user, name)?;
    }
    backend.import(transaction)?;
    backend.befriend(transaction.at, &after.befriended)?;
    for (user, friend) in &after.parted {
        backend.part(user, friend)?;
    }
    let in_groups = after
        .group_messages
        .iter()
        .map(|(group, message)| activity(&json!({ "group": group }), message));
    let in_pairs = after
        .pair_messages
        .iter()
        .map(|(a, b, message)| activity(&json!({ "user": [a, b] }), message));
    let entries: Vec<Value> = in_groups.chain(in_pairs).collect();
    backend.report(&entries)?;
    for (user, name) in &after.renamed {
        backend.name(user, name)?;
    }
    backend.settle()
}

fn activity(conversation: &Value, message: &Message) -> Value {
    json!({
        "conversation": conversation,
        "seq": message.seq,
        "at_ms": message.at * 1_000,
        "sender": message.sender,
        "preview": message.preview,
    })
}

fn joined_at(history: &[Transaction], user: &str) -> i64 {
    let joins = |change: &Change| matches!(change, Change::Join { user: who, .. } if who == user);
    let first = history
        .iter()
        .find(|transaction| transaction.changes.iter().any(joins));
    first.map_or(i64::MAX, |transaction| transaction.at)
}

fn sync(
    runtime: &Runtime,
    device: &mut Device,
    server: &DemoServer,
    pulls: &mut Pulls,
    model: &Model,
    folder: &Path,
    settings: Settings,
) -> Result<()> {
    let connection = server.connection(device.user(), folder, settings)?;
    let groups = runtime.block_on(device.sync(&connection, &model.births))?;
    pulls.count(device, &groups)
}

/// The server, in this process, on a free port.
struct DemoServer {
    url: String,
    address: SocketAddr,
    database: PathBuf,
    key: Key,
    store: SqliteStore,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl DemoServer {
    fn start(runtime: &Runtime, folder: &Path) -> Result<Self> {
        let key = Key::generate("demo", Algorithm::Hs256)?;
        Self::start_at(runtime, folder, "127.0.0.1:0", key)
    }

    fn start_at(runtime: &Runtime, folder: &Path, listen: &str, key: Key) -> Result<Self> {
        let data = folder.join("server");
        std::fs::create_dir_all(&data)?;
        let store = SqliteStore::open(&data, Options::default())?;
        let database = data.join(DATABASE_FILE);
        let config = Layers::new()
            .flag("listen", Some(listen.to_owned()))?
            .flag("data", Some(data.display().to_string()))?
            .resolve()?;
        let server = Server::new(config, store.clone(), Keys::new(vec![key.clone()])?);
        let bound = runtime
            .block_on(server.bind())
            .context("the demo's server finds no port")?;
        let address = bound.local_addr();
        let (stop, stopped) = oneshot::channel();
        let running = runtime.spawn(async move {
            bound
                .run(async {
                    // A dropped sender stops it too.
                    let _ = stopped.await;
                })
                .await;
        });
        Ok(Self {
            url: format!("http://{address}"),
            address,
            database,
            key,
            store,
            stop,
            running,
        })
    }

    fn backend(&self) -> Result<Backend> {
        let token = self.token("service", Some(SERVICE_SCOPE))?;
        Ok(Backend::new(&self.url, &token))
    }

    fn connection<'a>(
        &'a self,
        user: &str,
        folder: &'a Path,
        settings: Settings,
    ) -> Result<Connection<'a>> {
        Ok(Connection {
            server: &self.url,
            token: self.token(user, None)?,
            folder,
            compression: if settings.compressed {
                Compression::Auto
            } else {
                Compression::None
            },
        })
    }

    fn back_up(&self, to: &Path) -> Result<()> {
        self.store
            .backup(to, |_| ())
            .context("the demo's server cannot be backed up")
    }

    /// The server after its database was lost and a backup took its place: at
    /// the same address.
    fn restore(self, runtime: &Runtime, folder: &Path, backup: &Path) -> Result<Self> {
        let (address, key, store) = (self.address, self.key.clone(), self.store.clone());
        let data = folder.join("server");
        self.stop(runtime)?;
        runtime.block_on(store.close());
        drop(store);
        highwater_store_sqlite::restore(backup, &data, Existing::MoveAside, |_| ())
            .context("the demo's backup cannot be restored")?;
        Self::start_at(runtime, folder, &address.to_string(), key)
    }

    fn token(&self, subject: &str, scope: Option<&str>) -> Result<String> {
        let now_s = Clock::system().now_ms().div_euclid(1_000);
        issue(&self.key, subject, scope, now_s, TOKEN_TTL_S).context("the demo's key cannot sign")
    }

    fn stop(self, runtime: &Runtime) -> Result<()> {
        let _ = self.stop.send(());
        runtime
            .block_on(self.running)
            .context("the demo's server broke down")
    }
}

/// What whole pulls cost: each list is really pulled whenever it has changed,
/// by a user's own plain client, and its bytes are counted on the socket.
struct Pulls {
    pullers: BTreeMap<String, Puller>,
    /// By (kind, owner): what the list's last pull cost, unless it changed.
    known: BTreeMap<(String, String), Known>,
    /// What each device pulled last: the lists' tags.
    seen: BTreeMap<&'static str, BTreeMap<(String, String), String>>,
    /// An answer that says that nothing changed.
    unchanged_bytes: u64,
}

#[derive(Clone)]
struct Known {
    bytes: u64,
    etag: String,
    stale: bool,
}

impl Pulls {
    fn new(server: &DemoServer, settings: Settings, devices: &[Device]) -> Result<Self> {
        let codings = settings.compressed.then_some(pull::CODINGS);
        let users: BTreeSet<&str> = devices.iter().map(Device::user).collect();
        let connect = |user: &str| -> Result<(String, Puller)> {
            let token = server.token(user, None)?;
            Ok((
                user.to_owned(),
                Puller::connect(server.address, &token, codings)?,
            ))
        };
        Ok(Self {
            pullers: users.into_iter().map(connect).collect::<Result<_>>()?,
            known: BTreeMap::new(),
            seen: BTreeMap::new(),
            unchanged_bytes: 0,
        })
    }

    /// Goes on with a server that was restored: nothing is known of its lists.
    fn reconnect(&mut self, server: &DemoServer, settings: Settings) -> Result<()> {
        let codings = settings.compressed.then_some(pull::CODINGS);
        for (user, puller) in &mut self.pullers {
            let token = server.token(user, None)?;
            *puller = Puller::connect(server.address, &token, codings)?;
        }
        self.known.clear();
        Ok(())
    }

    /// Notes which lists a transaction may have changed: more than it did does
    /// no harm, since a pull finds out.
    fn touch(&mut self, transaction: &Transaction) {
        for change in &transaction.changes {
            let (group, user) = match change {
                Change::Create { group, .. } | Change::Rename { group, .. } => (group, None),
                Change::Join { group, user, .. }
                | Change::Leave { group, user }
                | Change::Role { group, user, .. } => (group, Some(user)),
                Change::Dismiss { group } => {
                    // Reaches whoever was in it.
                    for ((kind, _), known) in &mut self.known {
                        known.stale |= kind == GROUPS;
                    }
                    (group, None)
                }
            };
            let mut stale = |kind: &str, owner: &str| {
                if let Some(known) = self.known.get_mut(&(kind.to_owned(), owner.to_owned())) {
                    known.stale = true;
                }
            };
            stale(MEMBERS, group);
            if let Some(user) = user {
                stale(GROUPS, user);
            }
        }
    }

    /// Notes which lists may have changed by what people did after a transaction.
    fn touch_people(&mut self, after: &Aftermath, social: &Social) {
        let mut stale = |kind: &str, owner: &str| {
            if let Some(known) = self.known.get_mut(&(kind.to_owned(), owner.to_owned())) {
                known.stale = true;
            }
        };
        for (a, b) in after.befriended.iter().chain(&after.parted) {
            stale(FRIENDS, a);
            stale(FRIENDS, b);
            stale(CONVERSATIONS, a);
            stale(CONVERSATIONS, b);
        }
        for (group, _) in &after.group_messages {
            stale(ACTIVITY, group);
        }
        // Whoever joins, leaves or hears something; and all who hold a name.
        for ((kind, owner), known) in &mut self.known {
            known.stale |= match kind.as_str() {
                CONVERSATIONS => true,
                FRIENDS => !after.renamed.is_empty(),
                MEMBERS => after
                    .renamed
                    .keys()
                    .any(|user| social.members(owner).any(|member| member == user)),
                _ => false,
            };
        }
    }

    /// Adds to a device what its sync would have cost by whole pulls.
    fn count(&mut self, device: &mut Device, groups: &HeldGroups) -> Result<()> {
        let user = device.user().to_owned();
        let mut seen_before = self.seen.remove(device.name()).unwrap_or_default();
        let mut seen = BTreeMap::new();
        let (mut full, mut etag, mut unchanged) = (0, 0, 0);
        let own = [GROUPS, FRIENDS, CONVERSATIONS].map(|kind| (kind.to_owned(), user.clone()));
        let of = |kind: &'static str, groups: &BTreeSet<String>| -> Vec<(String, String)> {
            let list = |group: &String| (kind.to_owned(), group.clone());
            groups.iter().map(list).collect()
        };
        let members = of(MEMBERS, &groups.joined);
        let shared = of(ACTIVITY, &groups.shared);
        for list in own.into_iter().chain(members).chain(shared) {
            let known = self.known(&user, &list)?;
            full += known.bytes;
            if seen_before.remove(&list).as_ref() == Some(&known.etag) {
                unchanged += self.unchanged_bytes;
            } else {
                etag += known.bytes;
            }
            seen.insert(list, known.etag);
        }
        self.seen.insert(device.name(), seen);
        device.count_pulls(full, etag, unchanged);
        Ok(())
    }

    fn known(&mut self, user: &str, list: &(String, String)) -> Result<Known> {
        if let Some(known) = self.known.get(list)
            && !known.stale
        {
            return Ok(known.clone());
        }
        let puller = self
            .pullers
            .get_mut(user)
            .context("a device without a puller")?;
        let (kind, owner) = list;
        let pulled = puller
            .pull(kind, owner, None)?
            .with_context(|| format!("{user} may not pull {kind}/{owner}, and holds it"))?;
        if self.unchanged_bytes == 0 && !pulled.etag.is_empty() {
            let again = puller.pull(kind, owner, Some(&pulled.etag))?;
            let again = again
                .filter(|again| again.unchanged)
                .context("a tag that does not hold")?;
            self.unchanged_bytes = again.bytes;
        }
        let known = Known {
            bytes: pulled.bytes,
            etag: pulled.etag,
            stale: false,
        };
        self.known.insert(list.clone(), known.clone());
        Ok(known)
    }

    /// Pulls once more what was thought to be unchanged: the comparison is only
    /// as good as that.
    fn check(&mut self) -> Result<()> {
        let lists: Vec<_> = self
            .seen
            .values()
            .flat_map(BTreeMap::keys)
            .cloned()
            .collect();
        for (kind, owner) in lists {
            for puller in self.pullers.values_mut() {
                let Some(pulled) = puller.pull(&kind, &owner, None)? else {
                    continue;
                };
                let known = &self.known[&(kind.clone(), owner.clone())];
                anyhow::ensure!(
                    (pulled.bytes, &pulled.etag) == (known.bytes, &known.etag),
                    "{kind}/{owner} changed unnoticed: the comparison would be wrong"
                );
            }
        }
        Ok(())
    }
}

/// Reads the devices' reports together with the verdict on their copies.
type Judged = (Vec<DeviceReport>, Vec<String>);
