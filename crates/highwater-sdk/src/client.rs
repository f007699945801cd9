//! The client: one user's lists on one device.

use crate::driver::{BoxFuture, Driver, MaybeSend, Traffic};
use crate::engine::{Command, Engine, Goal, random_u64};
use crate::error::Error;
use crate::event::Events;
use crate::list::List;
use crate::lists::{ListKind, Raw};
use crate::local::{Binding, Database, Found, HeldList};
use crate::report::SyncReport;
use crate::server_url::ServerUrl;
use crate::shared::{Link, Shared};
use crate::token::{Source, TokenFault, TokenProvider, Tokens, subject};
use futures::channel::mpsc;
use highwater_core::local::Phase;
use highwater_core::replica::{Replica, ReplicaConfig};
use highwater_protocol::limits;
use highwater_protocol::{ListKey, Refusal};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The longest silence before a started client asks the server by itself.
const SILENCE: Duration = Duration::from_secs(15 * 60);

/// About how often a started client holds a list's rows against what they
/// should be.
const AUDIT_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// One user's lists on one device. Clones share it; it closes with the last of
/// them and of its lists, or by [`close`](Self::close).
#[derive(Clone)]
pub struct Client {
    open: Arc<Open>,
}

/// Closes the client when nobody has it any more.
struct Open {
    shared: Arc<Shared>,
    silence: Duration,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Client {
    /// Begins to set a client up.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            server: None,
            token: None,
            database: None,
            user: None,
            config: ReplicaConfig::default(),
            silence: SILENCE,
            audit_every: AUDIT_EVERY,
            driver: None,
            #[cfg(feature = "native")]
            native: crate::native::NativeConfig::default(),
        }
    }

    /// Whose lists these are.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.shared().db.binding().user
    }

    /// The server's address, as it is stored.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.shared().db.binding().server
    }

    /// A list of a kind that the app knows. It is kept up to date from now on,
    /// after a restart too, until it is [released](List::release).
    ///
    /// # Errors
    /// `owner` is no id that a list's owner can have.
    pub fn open<K: ListKind>(&self, owner: &str) -> Result<List<K>, Refusal> {
        Ok(self.hold(ListKey::new(K::NAME, owner)?))
    }

    /// A list of any kind, its payloads as raw bytes.
    ///
    /// # Errors
    /// `kind` or `owner` cannot be a list's.
    pub fn list(&self, kind: &str, owner: &str) -> Result<List<Raw>, Refusal> {
        Ok(self.hold(ListKey::new(kind, owner)?))
    }

    fn hold<V>(&self, list: ListKey) -> List<V> {
        self.shared().hold(&list);
        List::new(self.clone(), list)
    }

    /// The lists that are kept up to date, by name.
    #[must_use]
    pub fn lists(&self) -> Vec<ListKey> {
        self.shared().held()
    }

    /// Brings every list that is held up to date, and proves it. Returns once
    /// each is settled: proved equal to the server's, given up, or refused.
    ///
    /// One attempt: what could not be reached is an error, and trying again is
    /// the app's or the background's business.
    ///
    /// # Errors
    /// The server was not reached, refused, or answered nonsense; or the
    /// device's database failed. What was applied before stays.
    pub async fn sync(&self) -> Result<SyncReport, Error> {
        self.shared().ask(Goal::Sync(None)).await
    }

    /// Recomputes every list that is held from its rows on the device, has the
    /// server compare, and mends what differs. Quarantined lists get another
    /// chance.
    ///
    /// # Errors
    /// As [`sync`](Self::sync). What could be mended without the server is.
    pub async fn verify(&self) -> Result<SyncReport, Error> {
        self.shared().ask(Goal::Verify(None)).await
    }

    /// Keeps the lists up to date in the background from now on: at once, after
    /// each failure with growing delays, and after long silence. And about once
    /// a day each list's rows are held against what they should be, a few at a
    /// time: what was damaged on the device is found and mended.
    pub fn start(&self) {
        let silence_ms = u64::try_from(self.open.silence.as_millis()).unwrap_or(u64::MAX);
        self.shared().tell(Command::Start(silence_ms));
    }

    /// Ends what [`start`](Self::start) began. What is under way is applied.
    pub fn stop(&self) {
        self.shared().tell(Command::Stop);
    }

    /// Says that now is a good moment: the app came to the foreground, or the
    /// network is back. A started client syncs at once, whatever delay it was
    /// waiting for.
    pub fn wake(&self) {
        self.shared().tell(Command::Wake);
    }

    /// Whether the last request was answered.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.shared().link() == Link::Found
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.shared())
    }

    /// What has gone over the wire since the client was built.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.shared().driver.transport.traffic()
    }

    /// Closes the client for all who have it: their calls fail with
    /// [`Error::Closed`] and their streams end. Once this returns, the database
    /// may be opened again.
    pub fn close(&self) {
        self.shared().close();
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.open.shared
    }
}

/// Sets a client up: see [`Client::builder`].
pub struct ClientBuilder {
    server: Option<String>,
    token: Option<Source>,
    database: Option<PathBuf>,
    user: Option<String>,
    config: ReplicaConfig,
    silence: Duration,
    audit_every: Duration,
    driver: Option<Driver>,
    #[cfg(feature = "native")]
    native: crate::native::NativeConfig,
}

/// A closure as a provider.
struct Closure<F>(F);

impl<F, R> TokenProvider for Closure<F>
where
    F: Fn() -> R + crate::driver::Shared,
    R: Future<Output = Result<String, TokenFault>> + MaybeSend + 'static,
{
    fn token(&self) -> BoxFuture<'_, Result<String, TokenFault>> {
        Box::pin((self.0)())
    }
}

impl ClientBuilder {
    /// Where the server is: `https://host[:port][/path]`, or `http://…`.
    #[must_use]
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.server = Some(url.into());
        self
    }

    /// A token that does not change while the client lives.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Source::Fixed(token.into().into()));
        self
    }

    /// Where tokens come from: asked for the first one when it is needed, and
    /// for another when the server no longer takes the last.
    #[must_use]
    pub fn token_provider<F, R>(mut self, provider: F) -> Self
    where
        F: Fn() -> R + crate::driver::Shared + 'static,
        R: Future<Output = Result<String, TokenFault>> + MaybeSend + 'static,
    {
        self.token = Some(Source::Provider(Arc::new(Closure(provider))));
        self
    }

    /// The file that keeps the lists; one for each user and server. It is made
    /// if it is not there; a file of the same name and `.lock` keeps other
    /// clients out.
    #[must_use]
    pub fn database(mut self, path: impl Into<PathBuf>) -> Self {
        self.database = Some(path.into());
        self
    }

    /// Who the user is, for tokens that do not say so, and as a check on those
    /// that do. By default the user is the `sub` of the token.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// A list of up to so many items comes with all their details at the first
    /// sync; a longer one with those of its first page. 2,000 by default.
    #[must_use]
    pub const fn whole_up_to(mut self, items: u64) -> Self {
        self.config.whole_up_to = items;
        self
    }

    /// Everything that the replica can be told.
    #[must_use]
    pub const fn replica(mut self, config: ReplicaConfig) -> Self {
        self.config = config;
        self
    }

    /// The longest silence before a started client asks the server by itself;
    /// 15 minutes by default.
    #[must_use]
    pub const fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// About how often a started client holds each list's rows against what they
    /// should be, a few at a time; a day by default.
    #[must_use]
    pub const fn audit_every(mut self, interval: Duration) -> Self {
        self.audit_every = interval;
        self
    }

    /// The world that the client lives in, instead of the native one.
    #[must_use]
    pub fn driver(mut self, driver: Driver) -> Self {
        self.driver = Some(driver);
        self
    }

    /// How the native driver speaks to the server.
    #[cfg(feature = "native")]
    #[must_use]
    pub fn native(mut self, config: crate::native::NativeConfig) -> Self {
        self.native = config;
        self
    }

    /// Whether messages are compressed on their way; they are by default.
    #[cfg(feature = "native")]
    #[must_use]
    pub const fn compression(mut self, compression: crate::native::Compression) -> Self {
        self.native.compression = compression;
        self
    }

    /// Opens the database. What is in it is there at once; the server is not
    /// asked. Only for a database that is new and a user that is not named does
    /// this ask the token provider.
    ///
    /// A file that is no database, or not any more, is moved aside, and a fresh
    /// one begun: see [`Event::Replaced`](crate::Event::Replaced).
    ///
    /// # Errors
    /// A setting is missing; the database is in use, another user's, program's
    /// or server's, or newer than this software. Nothing is changed then.
    pub async fn build(mut self) -> Result<Client, Error> {
        let server = self.server.as_deref();
        let server = server.ok_or_else(|| Error::setting("server", "no address was given"))?;
        let server = ServerUrl::parse(server)?;
        let path = self.database.take();
        let path = path.ok_or_else(|| Error::setting("database", "no path was given"))?;
        let source = self.token.take();
        let source = source.ok_or_else(|| Error::setting("token", "no token was given"))?;
        let page_rows = self.config.page_rows;
        if page_rows == 0 || page_rows > limits::PAGE_ROWS {
            let message = format!("page_rows is {page_rows}, not 1 to {}", limits::PAGE_ROWS);
            return Err(Error::setting("replica", message));
        }
        let driver = self.take_driver()?;
        let named = self.user.as_deref();
        let mut opened = open(&driver, &path, named, &source, &server).await;
        let mut aside = None;
        if let Err(error) = &opened
            && error.is_damage()
        {
            let claim = driver.storage.claim(path.clone()).await?;
            aside = Some(driver.storage.set_aside(&claim)?);
            drop(claim);
            opened = open(&driver, &path, named, &source, &server).await;
        }
        let (db, lists) = opened?;
        let tokens = Tokens::new(source, db.binding().user.clone(), named.is_some());
        let beginning = lists.iter().filter(|held| {
            let record = held.record.as_ref();
            record.is_none_or(|record| record.shown.cursor().is_none())
        });
        let beginning = beginning.map(|held| held.list.clone()).collect();
        let phases: BTreeMap<ListKey, Phase> = lists.into_iter().filter_map(held).collect();
        let (commands, orders) = mpsc::unbounded();
        let names = phases.keys().cloned().collect();
        let shared = Arc::new(Shared::new(db, driver, server, tokens, names, commands));
        let replica = Replica::new(self.config, random_u64());
        let audit_every_ms = u64::try_from(self.audit_every.as_millis()).unwrap_or(u64::MAX);
        let engine = Arc::clone(&shared);
        let engine = Engine::new(engine, replica, orders, phases, beginning, audit_every_ms);
        let engine = engine.replaced(aside);
        shared.driver.spawn.spawn(Box::pin(engine.run()));
        Ok(Client {
            open: Arc::new(Open {
                shared,
                silence: self.silence,
            }),
        })
    }

    #[cfg(feature = "native")]
    fn take_driver(&mut self) -> Result<Driver, Error> {
        match self.driver.take() {
            Some(driver) => Ok(driver),
            None => Driver::native(std::mem::take(&mut self.native)),
        }
    }

    #[cfg(not(feature = "native"))]
    fn take_driver(&mut self) -> Result<Driver, Error> {
        let message = "none was given, and the feature `native` is off";
        self.driver
            .take()
            .ok_or_else(|| Error::setting("driver", message))
    }
}

/// Opens a database, and reads which lists it holds.
async fn open(
    driver: &Driver,
    path: &Path,
    named: Option<&str>,
    source: &Source,
    server: &ServerUrl,
) -> Result<(Database, Vec<HeldList>), Error> {
    let claim = driver.storage.claim(path.to_path_buf()).await?;
    let found = Found::look(claim)?;
    let bound = found.binding().map(|binding| binding.user.clone());
    let binding = Binding {
        user: user(named, source, bound).await?,
        server: server.as_str().to_owned(),
    };
    let db = found.open(binding)?;
    let lists = db.lists()?;
    Ok((db, lists))
}

/// Who the user is: as the app says, as a fixed token says, as the database
/// says, or as the provider's first token says.
async fn user(
    named: Option<&str>,
    source: &Source,
    bound: Option<String>,
) -> Result<String, Error> {
    if let Some(user) = named {
        return match source {
            // A fixed token of another user is refused before anything is made.
            Source::Fixed(token) => match subject(token) {
                Ok(given) if given != user => Err(Error::OtherUser {
                    bound: user.to_owned(),
                    given,
                }),
                _ => Ok(user.to_owned()),
            },
            Source::Provider(_) => Ok(user.to_owned()),
        };
    }
    match (source, bound) {
        (Source::Provider(_), Some(user)) => Ok(user),
        _ => subject(&source.fetch().await?),
    }
}

/// A list that is kept up to date after opening: one that was held and that the
/// server had something of.
fn held(list: HeldList) -> Option<(ListKey, Phase)> {
    let phase = list.record.map_or(Phase::Syncing, |record| record.phase);
    let kept = list.held && !matches!(phase, Phase::Gone(_));
    kept.then_some((list.list, phase))
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;
    use crate::{Events, Groups, Page, StatusWatch, Watch};

    /// Compiles, or does not.
    #[test]
    fn everything_may_go_to_another_thread() {
        fn is_send<T: Send>(_: &T) {}
        fn sends<T: Send>() {}
        fn shares<T: Send + Sync>() {}
        fn futures(client: &Client, list: &List<Groups>) {
            is_send(&client.sync());
            is_send(&client.verify());
            is_send(&list.page(None, 1));
            is_send(&list.get("x"));
            is_send(&list.header());
            is_send(&list.verify());
            is_send(&Client::builder().build());
        }
        let _ = futures;
        shares::<Client>();
        shares::<List<Groups>>();
        shares::<Error>();
        sends::<ClientBuilder>();
        sends::<Watch<Groups>>();
        sends::<StatusWatch>();
        sends::<Events>();
        sends::<Page<()>>();
    }
}
