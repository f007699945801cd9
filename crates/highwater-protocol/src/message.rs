//! The messages as the rest of Highwater uses them: parsed, checked, and free
//! of the wire's optional fields. Each converts to and from its wire form.

mod answer;
mod change;
mod receipt;
mod request;
mod sketch;

pub use answer::{
    Answer, Delta, DeltaEnd, Diverged, DivergedReason, GoneReason, ListAnswer, ScanPage, Snapshot,
    SyncResponse,
};
pub use change::{ListChange, WriteAnswer};
pub use receipt::{Cost, Difference, Reason, Receipt, Receipts, Rung, Standing};
pub use request::{Cursor, ListRequest, Position, Scan, ScanPosition, SyncRequest};

pub use sketch::{
    Cell, Element, Salt, SketchCells, SketchId, SketchItems, SketchRange, SketchRows,
};

use crate::error::Refusal;
use crate::ids::{ItemId, Lineage, OrderKey, Point, Rank, Version};
use crate::limits;
use crate::sum::{Digest, Stamp};
use crate::wire;
use bytes::Bytes;

/// A list's position and content, as far as another side needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Lineage and version.
    pub point: Point,
    /// The sum of the elements' stamps.
    pub digest: Digest,
    /// How many elements there are, the header included.
    pub count: u64,
}

/// What travels of an element's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// All of it; the receiver computes the stamp.
    Payload(Bytes),
    /// Only what it must hash to.
    Stamp(Stamp),
}

/// An element of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Empty for the header.
    pub id: ItemId,
    /// Empty for the header.
    pub rank: Rank,
    /// Payload or stamp.
    pub content: Content,
}

impl Row {
    /// The row's place in the list.
    #[must_use]
    pub fn order_key(&self) -> OrderKey {
        OrderKey::new(self.rank.clone(), self.id.clone())
    }
}

impl From<Row> for wire::Row {
    fn from(row: Row) -> Self {
        let (payload, stamp) = match row.content {
            Content::Payload(payload) => (Some(payload), Bytes::new()),
            Content::Stamp(stamp) => (None, Bytes::copy_from_slice(&stamp.0)),
        };
        Self {
            id: row.id.as_str().to_owned(),
            rank: row.rank.to_bytes(),
            payload,
            stamp,
        }
    }
}

impl TryFrom<wire::Row> for Row {
    type Error = Refusal;

    fn try_from(row: wire::Row) -> Result<Self, Refusal> {
        let id = ItemId::new_or_header(&row.id)?;
        let rank = Rank::new(row.rank)?;
        if id.is_header() && !rank.as_bytes().is_empty() {
            return Err(Refusal::invalid("rank", "the header has an empty rank"));
        }
        let content = match (row.payload, row.stamp.is_empty()) {
            (Some(payload), true) if payload.len() > limits::PAYLOAD_BYTES => {
                return Err(Refusal::too_large(
                    "payload",
                    payload.len(),
                    limits::PAYLOAD_BYTES,
                ));
            }
            (Some(payload), true) => Content::Payload(payload),
            (None, false) => Content::Stamp(Stamp::parse(&row.stamp)?),
            (Some(_), false) | (None, true) => {
                return Err(Refusal::invalid(
                    "payload",
                    "a row has either its payload or its stamp",
                ));
            }
        };
        Ok(Self { id, rank, content })
    }
}

impl From<Head> for wire::Head {
    fn from(head: Head) -> Self {
        Self {
            lineage: head.point.lineage.get(),
            version: head.point.version.get(),
            digest: head.digest.to_wire().into(),
            count: head.count,
        }
    }
}

impl TryFrom<wire::Head> for Head {
    type Error = Refusal;

    fn try_from(head: wire::Head) -> Result<Self, Refusal> {
        Ok(Self {
            point: point(head.lineage, head.version)?,
            digest: Digest::parse(&head.digest)?,
            count: head.count,
        })
    }
}

fn point(lineage: u64, version: u64) -> Result<Point, Refusal> {
    Ok(Point {
        lineage: Lineage::parse(lineage)?,
        version: Version::new(version),
    })
}

fn order_key(key: wire::OrderKey) -> Result<OrderKey, Refusal> {
    Ok(OrderKey {
        rank: Rank::new(key.rank)?,
        id: ItemId::new_or_header(&key.id)?,
    })
}

impl From<OrderKey> for wire::OrderKey {
    fn from(key: OrderKey) -> Self {
        Self {
            rank: key.rank.to_bytes(),
            id: key.id.as_str().to_owned(),
        }
    }
}

fn rows(wire: Vec<wire::Row>, field: &str) -> Result<Vec<Row>, Refusal> {
    wire.into_iter()
        .enumerate()
        .map(|(at, row)| Row::try_from(row).map_err(|no| no.within(&format!("{field}[{at}]"))))
        .collect()
}
