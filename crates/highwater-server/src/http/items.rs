//! Items as JSON: what their payloads say, by the kind of their list.

use super::call::etag;
use crate::domain::AnyPayload;
use highwater_core::reads::Item;
use highwater_core::stamp::stamp_of;
use highwater_protocol::kinds::Payload;
use highwater_protocol::message::{Content, Row};
use highwater_protocol::{ItemId, ListKey, Rank, Stamp};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write as _;

/// An element of a list, with what it says.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{P}Entry")]
pub(super) struct Entry<P> {
    /// The item's id; empty for the header of a list.
    id: String,
    /// Where it stands in its list: compares bytewise; in hexadecimal digits.
    rank: String,
    /// What `If-Match` takes.
    etag: String,
    /// What it says.
    item: P,
}

impl<P> Entry<P> {
    fn new(id: &ItemId, rank: &Rank, stamp: Stamp, item: P) -> Self {
        Self {
            id: id.to_string(),
            rank: hex(rank.as_bytes()),
            etag: etag(stamp),
            item,
        }
    }

    /// An item that was read; `None`: its payload is unreadable.
    pub(super) fn of(item: &Item) -> Option<Self>
    where
        P: Payload,
    {
        let payload = P::decode(&item.payload).ok()?;
        Some(Self::new(&item.id, &item.rank, item.stamp, payload))
    }
}

impl Entry<AnyPayload> {
    /// A row that was written; `None`: it says nothing to anybody.
    pub(super) fn of_row(list: &ListKey, row: &Row) -> Option<Self> {
        let Content::Payload(payload) = &row.content else {
            return None;
        };
        let item = AnyPayload::decode(list.kind.as_str(), row.id.is_header(), payload)?;
        let stamp = stamp_of(&row.id, &row.rank, payload);
        Some(Self::new(&row.id, &row.rank, stamp, item))
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
