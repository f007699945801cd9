//! A list on the device: read it, watch it, see how it stands.

use crate::client::Client;
use crate::engine::Goal;
use crate::error::Error;
use crate::event::Event;
use crate::lists::View;
use crate::local::{Condition, ReadRow};
use crate::page::{Key, Page, Row};
use crate::report::SyncReport;
use crate::shared::Shared;
use crate::status::{Status, StatusWatch};
use crate::watch::{Watch, Window};
use highwater_core::local::LocalRow;
use highwater_protocol::{ItemId, ListKey, Refusal};
use std::fmt;
use std::marker::PhantomData;

/// Rows that one page holds at most.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// A list on the device, seen as `V` reads its payloads. Cheap to clone.
///
/// Reading never waits for the server but for what is not on the device: the
/// first page of a list that was never read, and details that are missing. If
/// the server is not there, it returns what is.
pub struct List<V> {
    client: Client,
    key: ListKey,
    view: PhantomData<fn() -> V>,
}

impl<V> Clone for List<V> {
    fn clone(&self) -> Self {
        Self::new(self.client.clone(), self.key.clone())
    }
}

impl<V> fmt::Debug for List<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "List({})", self.key)
    }
}

impl<V> List<V> {
    pub(crate) const fn new(client: Client, key: ListKey) -> Self {
        Self {
            client,
            key,
            view: PhantomData,
        }
    }

    /// Which list this is.
    #[must_use]
    pub const fn key(&self) -> &ListKey {
        &self.key
    }

    /// Items on the device, the header not counted.
    ///
    /// # Errors
    /// The client is closed, or its database failed.
    pub fn count(&self) -> Result<u64, Error> {
        let standing = self.shared().standing(&self.key)?;
        Ok(standing.map_or(0, |standing| {
            let header = u64::from(standing.header);
            standing.record.shown.count.saturating_sub(header)
        }))
    }

    /// How the list stands.
    ///
    /// # Errors
    /// The client is closed, or its database failed.
    pub fn status(&self) -> Result<Status, Error> {
        self.shared().status(&self.key)
    }

    /// How the list stands, now and whenever it changes.
    #[must_use]
    pub fn watch_status(&self) -> StatusWatch {
        StatusWatch::new(self.shared().clone(), self.key.clone())
    }

    /// Brings this list up to date, and proves it. One that was gone is asked for
    /// again, which [`Client::sync`] does not do.
    ///
    /// # Errors
    /// As [`Client::sync`].
    pub async fn sync(&self) -> Result<SyncReport, Error> {
        self.shared().ask(Goal::Sync(Some(self.key.clone()))).await
    }

    /// Recomputes everything from the rows on the device, has the server
    /// compare, and mends what differs. A quarantined list gets another chance.
    ///
    /// # Errors
    /// As [`Client::sync`]. What could be mended without the server is.
    pub async fn verify(&self) -> Result<Status, Error> {
        let goal = Goal::Verify(Some(self.key.clone()));
        self.shared().ask(goal).await?;
        self.status()
    }

    /// Stops to keep the list up to date, now and after a restart. Its rows
    /// stay.
    pub fn release(&self) {
        self.shared().release(&self.key);
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    fn shared(&self) -> &std::sync::Arc<Shared> {
        self.client.shared()
    }
}

impl<V: View> List<V> {
    /// The items behind `after`, at most `limit` (1 to 1,000) of them; from the
    /// start, if `after` is `None`. Details that the device lacks are fetched
    /// in one request.
    ///
    /// Every row is checked as it is read. One that is not what was stored is
    /// left out, and the list is recomputed.
    ///
    /// # Errors
    /// The client is closed, or its database failed. That the server is not
    /// there is no error: [`Page::fault`] says so.
    pub async fn page(&self, after: Option<&Key>, limit: usize) -> Result<Page<V::Item>, Error> {
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        let read = || self.shared().page(&self.key, after, limit);
        let (rows, fault) = self.complete(read).await?;
        let full = rows.len() == limit;
        let next = rows.last().filter(|_| full).map(key_of);
        let rows = rows.into_iter().filter(is_sound);
        Ok(Page {
            rows: rows.map(|read| row(read, V::item)).collect(),
            next,
            fault,
        })
    }

    /// One item.
    ///
    /// # Errors
    /// As [`page`](Self::page). A missing detail is fetched; if that fails, the
    /// item comes without.
    pub async fn get(&self, id: &str) -> Result<Option<Row<V::Item>>, Error> {
        let Ok(id) = ItemId::new(id) else {
            // No item can have such an id.
            return Ok(None);
        };
        self.element(&id, V::item).await
    }

    /// What the list says about itself.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn header(&self) -> Result<Option<Row<V::Header>>, Error> {
        self.element(&ItemId::header(), V::header).await
    }

    /// The items of a window, now and as they change: one batch for each commit
    /// that changes something in it.
    #[must_use]
    pub fn watch(&self, window: Window) -> Watch<V> {
        Watch::new(self.shared().clone(), self.key.clone(), window)
    }

    async fn element<T>(
        &self,
        id: &ItemId,
        decode: impl Fn(&[u8]) -> Result<T, Refusal>,
    ) -> Result<Option<Row<T>>, Error> {
        let read = || {
            let element = self.shared().element(&self.key, id)?;
            Ok(element.into_iter().collect())
        };
        let (rows, _) = self.complete(read).await?;
        let mut rows = rows.into_iter().filter(is_sound);
        Ok(rows.next().map(|read| row(read, decode)))
    }

    /// Reads, and reads again after what was missing has been fetched, as far
    /// as it could be.
    async fn complete(
        &self,
        read: impl Fn() -> Result<Vec<ReadRow>, Error>,
    ) -> Result<(Vec<ReadRow>, Option<Error>), Error> {
        let shared = self.shared();
        let mut rows = read()?;
        let mut fault = None;
        if rows.is_empty() && shared.is_unread(&self.key)? {
            fault = self.fetch(Goal::FirstPage(self.key.clone())).await?;
            rows = read()?;
        }
        if rows.iter().any(|read| read.condition != Condition::Sound) {
            let list = self.key.clone();
            shared.hub.happened(&Event::Damaged { list });
            shared.recompute(&self.key).await?;
            rows = read()?;
        }
        let missing = Shared::missing(&rows);
        if fault.is_none() && !missing.is_empty() {
            let goal = Goal::Details(self.key.clone(), missing);
            fault = self.fetch(goal).await?;
            rows = read()?;
        }
        Ok((rows, fault))
    }

    /// Asks the server; that it is not there is no error here.
    async fn fetch(&self, goal: Goal) -> Result<Option<Error>, Error> {
        match self.shared().ask(goal).await {
            Ok(_) => Ok(None),
            Err(error @ (Error::Closed | Error::Database(_))) => Err(error),
            Err(fault) => Ok(Some(fault)),
        }
    }
}

pub(crate) fn is_sound(read: &ReadRow) -> bool {
    read.condition != Condition::Damaged
}

fn key_of(read: &ReadRow) -> Key {
    Key::new(read.row.rank.clone(), read.row.id.clone())
}

/// A row as the app sees it. A payload that this version cannot read is kept as
/// it is.
pub(crate) fn row<T>(read: ReadRow, decode: impl Fn(&[u8]) -> Result<T, Refusal>) -> Row<T> {
    let LocalRow {
        id, rank, payload, ..
    } = read.row;
    let item = payload.as_deref().and_then(|payload| decode(payload).ok());
    Row {
        key: Key::new(rank, id),
        payload,
        item,
    }
}
