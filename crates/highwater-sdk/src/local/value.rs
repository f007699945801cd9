//! From what a database holds to what the protocol allows. What was damaged on
//! disk is recognised, and never ends a read.

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

pub(super) fn payload(value: ValueRef<'_>) -> Option<bytes::Bytes> {
    match value {
        ValueRef::Blob(bytes) => Some(bytes::Bytes::copy_from_slice(bytes)),
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

/// A row from columns `at` to `at` + 4: id, rank, stamp, row_check, payload.
/// One that holds what no row can hold comes with a check that fails. `None`:
/// not even its id can be read.
pub(super) fn stored_row(columns: &Row<'_>, at: usize) -> rusqlite::Result<Option<StoredRow>> {
    let Some(id) = item_id(columns.get_ref(at)?) else {
        return Ok(None);
    };
    let rank = rank(columns.get_ref(at + 1)?);
    let stamp = stamp(columns.get_ref(at + 2)?);
    let check = match columns.get_ref(at + 3)? {
        ValueRef::Integer(check) => u32::try_from(check).ok(),
        _ => None,
    };
    let intact = rank.is_some() && stamp.is_some();
    let row = LocalRow {
        id,
        rank: rank.unwrap_or_default(),
        stamp: stamp.unwrap_or(Stamp([0; 16])),
        payload: payload(columns.get_ref(at + 4)?),
    };
    let check = match check {
        Some(check) if intact => check,
        _ => !row_check(&row.id, &row.rank, row.stamp),
    };
    Ok(Some(StoredRow { row, check }))
}
