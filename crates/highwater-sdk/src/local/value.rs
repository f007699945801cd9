//! From what a database holds to what the protocol allows. What was damaged on
//! disk is recognised, and never ends a read.

use bytes::Bytes;
use highwater_core::local::{LocalRow, StoredRow};
use highwater_core::stamp::row_check;
use highwater_protocol::{Digest, ItemId, Lineage, Rank, Stamp, Version};
use rusqlite::Row;
use rusqlite::types::ValueRef;

/// A 64-bit number as it is stored.
pub(super) const fn stored(number: u64) -> i64 {
    number.cast_signed()
}

/// A 64-bit number as it was stored.
pub(super) const fn number(stored: i64) -> u64 {
    stored.cast_unsigned()
}

/// An integer; whatever else was put in its place is none.
pub(super) const fn integer(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(integer) => Some(integer),
        _ => None,
    }
}

/// A word that stands for a state; likewise.
pub(super) fn word(value: ValueRef<'_>) -> Option<&str> {
    match value {
        ValueRef::Text(text) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

pub(super) fn item_id(value: ValueRef<'_>) -> Option<ItemId> {
    match value {
        ValueRef::Text(text) => ItemId::new_or_header(std::str::from_utf8(text).ok()?).ok(),
        _ => None,
    }
}

pub(super) fn rank(value: ValueRef<'_>) -> Option<Rank> {
    match value {
        ValueRef::Blob(bytes) => Rank::new(bytes.to_vec()).ok(),
        _ => None,
    }
}

pub(super) fn stamp(value: ValueRef<'_>) -> Option<Stamp> {
    match value {
        ValueRef::Blob(bytes) => Stamp::parse(bytes).ok(),
        _ => None,
    }
}

pub(super) fn payload(value: ValueRef<'_>) -> Option<Bytes> {
    match value {
        ValueRef::Blob(bytes) => Some(Bytes::copy_from_slice(bytes)),
        _ => None,
    }
}

pub(super) fn digest(value: ValueRef<'_>) -> Digest {
    match value {
        ValueRef::Blob(bytes) => bytes.try_into().map_or(Digest::ZERO, Digest::from_bytes),
        _ => Digest::ZERO,
    }
}

pub(super) fn lineage(stored: Option<i64>) -> Option<Lineage> {
    stored.and_then(|stored| Lineage::new(number(stored)))
}

pub(super) fn version(stored: Option<i64>) -> Version {
    Version::new(number(stored.unwrap_or_default()))
}

pub(super) fn check(value: ValueRef<'_>) -> Option<u32> {
    match value {
        ValueRef::Integer(check) => u32::try_from(check).ok(),
        _ => None,
    }
}

/// A row from columns `at` to `at` + 4: id, rank, stamp, row_check, payload.
/// `None`: not even its id can be read.
pub(super) fn stored_row(columns: &Row<'_>, at: usize) -> rusqlite::Result<Option<StoredRow>> {
    let Some(id) = item_id(columns.get_ref(at)?) else {
        return Ok(None);
    };
    let rank = rank(columns.get_ref(at + 1)?);
    let stamp = stamp(columns.get_ref(at + 2)?);
    let check = check(columns.get_ref(at + 3)?);
    let payload = payload(columns.get_ref(at + 4)?);
    Ok(Some(assemble(id, rank, stamp, check, payload)))
}

/// A row from its parts. One that lacks what every row has comes with a check
/// that fails.
pub(super) fn assemble(
    id: ItemId,
    rank: Option<Rank>,
    stamp: Option<Stamp>,
    check: Option<u32>,
    payload: Option<Bytes>,
) -> StoredRow {
    let intact = rank.is_some() && stamp.is_some();
    let row = LocalRow {
        id,
        rank: rank.unwrap_or_default(),
        stamp: stamp.unwrap_or(Stamp([0; 16])),
        payload,
    };
    let check = match check {
        Some(check) if intact => check,
        _ => !row_check(&row.id, &row.rank, row.stamp),
    };
    StoredRow { row, check }
}
