//! What Highwater's devices and servers say to each other.
//!
//! No clock, no async, no I/O: identifiers, messages, limits, errors, and their
//! two forms on the wire. `docs/protocol.md` is the same in prose.
//!
//! A device that holds `groups/u1` at version 7 asks what changed, and learns
//! that nothing did:
//!
//! ```
//! use highwater_protocol::codec::Format;
//! use highwater_protocol::message::{Cursor, ListRequest, Position, SyncRequest, SyncResponse};
//! use highwater_protocol::{Digest, Lineage, ListKey, Point, Version, limits, wire};
//!
//! let lineage = Lineage::new(0x5eed).ok_or("zero")?;
//! let request = SyncRequest {
//!     lists: vec![ListRequest {
//!         list: ListKey::new("groups", "u1")?,
//!         position: Position::Cursor(Cursor {
//!             point: Point { lineage, version: Version::new(7) },
//!             digest: Digest::ZERO,
//!             count: 0,
//!         }),
//!         details: vec![],
//!         delta_details: None,
//!     }],
//!     page_rows: limits::PAGE_ROWS,
//! };
//! let sent = Format::Protobuf.encode(&wire::SyncRequest::from(request.clone()));
//! let received: wire::SyncRequest = Format::Protobuf.decode(sent)?;
//! assert_eq!(SyncRequest::try_from(received)?, request);
//!
//! // Two bytes: "one list is aligned".
//! let answer: wire::SyncResponse = Format::Protobuf.decode(vec![0x08, 1].into())?;
//! assert_eq!(SyncResponse::parse(answer, request.lists.len())?.aligned, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(clippy::iter_over_hash_type)]

pub mod codec;
pub mod error;
mod ids;
pub mod kinds;
pub mod limits;
pub mod message;
pub mod problem;
#[cfg(feature = "schema")]
pub mod schema;
pub mod shape;
mod sum;
pub mod wire;

pub use error::{Code, Refusal};
pub use ids::{ItemId, Kind, Lineage, ListKey, OrderKey, OwnerId, Point, Rank, Version};
pub use sum::{Digest, Stamp};
