//! Every limit of the protocol, in one place.
//!
//! `docs/protocol.md` lists the same numbers and a test holds the two against
//! each other.

use crate::wire;

/// The only protocol version so far.
pub const PROTOCOL: u32 = 1;
/// Bytes of UTF-8 in an item's or owner's id.
pub const ID_BYTES: usize = 128;
/// Bytes of ASCII in the name of a kind.
pub const KIND_BYTES: usize = 64;
/// Bytes in a rank.
pub const RANK_BYTES: usize = 256;
/// Bytes in a payload.
pub const PAYLOAD_BYTES: usize = 64 * 1024;
/// Bytes in a request, after decompression.
pub const REQUEST_BYTES: usize = 8 * 1024 * 1024;
/// Lists that one request may ask about.
pub const LISTS_PER_REQUEST: usize = 1_000;
/// Rows that one page may hold, and that a server scans for one.
pub const PAGE_ROWS: usize = 1_000;
/// Bytes of rows after which a page ends.
pub const PAGE_BYTES: usize = 1024 * 1024;
/// Ids whose details one request may ask for, over all its lists.
pub const DETAILS_PER_REQUEST: usize = 1_000;
/// Cells of a sketch that one answer may hold.
pub const SKETCH_CELLS: usize = 16_384;
/// Bytes of rows after which further lists of a response are deferred.
pub const RESPONSE_BYTES: usize = 4 * 1024 * 1024;
/// Receipts of repairs that one request may hold. Not announced: only devices
/// that are asked send any.
pub const RECEIPTS_PER_REQUEST: usize = 100;
/// Changed lists that the answer to a write may name. Not announced: a server
/// leaves out what is more, and the device's next sync brings it.
pub const CHANGES_PER_ANSWER: usize = 1_000;
/// Ids that one receipt may name.
pub const RECEIPT_IDS: usize = 100;

/// The limits as the handshake announces them.
#[must_use]
pub const fn announced() -> wire::Limits {
    wire::Limits {
        id_bytes: ID_BYTES as u64,
        rank_bytes: RANK_BYTES as u64,
        payload_bytes: PAYLOAD_BYTES as u64,
        request_bytes: REQUEST_BYTES as u64,
        lists_per_request: LISTS_PER_REQUEST as u64,
        page_rows: PAGE_ROWS as u64,
        page_bytes: PAGE_BYTES as u64,
        details_per_request: DETAILS_PER_REQUEST as u64,
        sketch_cells: SKETCH_CELLS as u64,
        response_bytes: RESPONSE_BYTES as u64,
    }
}
