//! What Highwater's lists mean: deterministic, sans-IO.
//!
//! The server's side is [`answer`]: the answer to a request over a store's
//! [`reads`]. The device's side is [`replica`]: a state machine over the
//! device's own [`local`] database. Both rest on [`stamp`]s, whose sum tells
//! two copies apart.
//!
//! A device opens a list that it has never read, and the server answers with
//! all of it:
//!
//! ```
//! use highwater_core::local::{Phase, memory::MemoryLocal};
//! use highwater_core::replica::{Replica, ReplicaConfig};
//! use highwater_core::stamp::stamp_of;
//! use highwater_protocol::message::{
//!     Answer, Content, ListAnswer, Position, Row, ScanPage, SyncResponse,
//! };
//! use highwater_protocol::{Digest, ItemId, Lineage, ListKey, Point, Rank, Version};
//!
//! let list = ListKey::new("groups", "u1")?;
//! let (mut replica, mut db) = (Replica::new(ReplicaConfig::default(), 1), MemoryLocal::default());
//! replica.hold(&list);
//! let now_ms = 0;
//!
//! // The device: "I have nothing; read it to me."
//! let (id, request) = replica.poll_request(now_ms, &mut db)?.ok_or("nothing is due")?;
//! assert!(matches!(request.lists[0].position, Position::Scan(_)));
//!
//! // The server: one row, that is all, and it must sum to this.
//! let (item, rank) = (ItemId::new("rust")?, Rank::new(vec![7])?);
//! let page = ScanPage {
//!     point: Point { lineage: Lineage::new(0x5eed).ok_or("zero")?, version: Version::new(1) },
//!     proof: Some(Digest::ZERO.plus(stamp_of(&item, &rank, b"Rustaceans"))),
//!     rows: vec![Row { id: item, rank, content: Content::Payload("Rustaceans".into()) }],
//!     next: None,
//!     total: 1,
//!     whole: true,
//! };
//! let answer = ListAnswer { list: 0, answer: Answer::Scan(page), details: vec![] };
//! let response = SyncResponse { aligned: 0, answers: vec![answer] };
//! replica.handle_response(now_ms, id, response, &mut db)?;
//!
//! // The device summed up its own rows, and they agree.
//! assert_eq!(db.shown(&list).len(), 1);
//! assert_eq!(db.record_of(&list).map(|record| record.phase), Some(Phase::InSync));
//! assert!(replica.poll_request(now_ms, &mut db)?.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(clippy::iter_over_hash_type)]

pub mod answer;
mod delta;
mod head;
pub mod header;
pub mod local;
#[doc(hidden)]
pub mod planted;
pub mod reads;
pub mod replica;
pub mod sketch;
pub mod stamp;

pub use head::{Effect, Head};
