//! Part of a list, as an app shows it.

use crate::error::Error;
use bytes::Bytes;

/// A place in a list's order: where a page goes on. It stays good when items
/// before it come and go.
pub use highwater_protocol::OrderKey as Key;

/// An element of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<T> {
    /// Where it stands.
    pub key: Key,
    /// Its content as it came; `None`: the device lacks it.
    pub payload: Option<Bytes>,
    /// Its content as this version reads it; `None` without payload, or if it
    /// is written in a way that this version cannot read.
    pub item: Option<T>,
}

impl<T> Row<T> {
    /// The item's id; empty for the header.
    #[must_use]
    pub fn id(&self) -> &str {
        self.key.id.as_str()
    }

    /// Whether the device lacks the content.
    #[must_use]
    pub const fn lacks_details(&self) -> bool {
        self.payload.is_none()
    }
}

/// Part of a list, in its order.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items.
    pub rows: Vec<Row<T>>,
    /// Where the next page goes on; `None`: the device has no more items. While
    /// the list's first sync is under way more may come.
    pub next: Option<Key>,
    /// Why something that the device lacks could not be fetched.
    pub fault: Option<Error>,
}

impl<T> Page<T> {
    /// Items whose content the device lacks.
    #[must_use]
    pub fn lacking(&self) -> usize {
        self.rows.iter().filter(|row| row.lacks_details()).count()
    }
}
