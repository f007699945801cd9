//! A list as this store keeps it: its row in `lists`.

use crate::fault::{Fault, Result};
use highwater_core::Head;
use highwater_core::reads::{Item, ListState};
use highwater_core::stamp::lineage_of;
use highwater_protocol::{Digest, ItemId, Lineage, ListKey, Rank, Stamp, Version};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The newest life of a list, or that there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The key of its row, and `list` in `elements`; 0: the list never was.
    pub(crate) n: i64,
    /// How often the list was created before.
    pub(crate) epoch: u64,
    /// Whether it ended. Then `head.count` is what it left behind.
    pub(crate) ended: bool,
    /// Its head. An ended life keeps the lineage that it had.
    pub(crate) head: Head,
    /// Tombstones that are kept.
    pub(crate) tombstones: u64,
}

impl Entry {
    /// A list that never was.
    pub(crate) fn absent(incarnation: &[u8; 16], list: &ListKey) -> Self {
        Self {
            n: 0,
            epoch: 0,
            ended: false,
            head: Head::empty(lineage_of(incarnation, list, 0)),
            tombstones: 0,
        }
    }

    /// Whether the list can be read.
    pub(crate) const fn is_live(&self) -> bool {
        self.n != 0 && !self.ended
    }

    /// The list as its readers see it.
    pub(crate) const fn state(&self) -> ListState {
        if self.ended {
            ListState::Ended(self.head.lineage)
        } else if self.n == 0 {
            ListState::Absent(self.head.lineage)
        } else {
            ListState::Live(self.head)
        }
    }

    /// Reads the newest life of a list.
    pub(crate) fn load(
        connection: &Connection,
        incarnation: &[u8; 16],
        list: &ListKey,
    ) -> Result<Self> {
        let mut statement = connection.prepare_cached(
            "SELECT n, epoch, ended, version, floor, count, digest, tombstones FROM lists
             WHERE kind = ?1 AND owner = ?2 ORDER BY epoch DESC LIMIT 1",
        )?;
        let mut rows = statement.query(params![list.kind.as_str(), list.owner.as_str()])?;
        match rows.next()? {
            Some(row) => Self::of_row(row, 0, incarnation, list),
            None => Ok(Self::absent(incarnation, list)),
        }
    }

    /// Reads the columns n, epoch, ended, version, floor, count, digest and
    /// tombstones, the first of which is at `at`.
    pub(crate) fn of_row(
        row: &Row<'_>,
        at: usize,
        incarnation: &[u8; 16],
        list: &ListKey,
    ) -> Result<Self> {
        let epoch = unsigned(row, at + 1)?;
        let ended: Option<i64> = row.get(at + 2)?;
        let lineage = match ended {
            None => lineage_of(incarnation, list, epoch),
            Some(ended) => Lineage::new(ended.cast_unsigned())
                .ok_or_else(|| Fault::corrupt(format!("{list} ended with the lineage 0")))?,
        };
        let digest: [u8; 16] = row.get(at + 6)?;
        Ok(Self {
            n: row.get(at)?,
            epoch,
            ended: ended.is_some(),
            head: Head {
                lineage,
                version: version(row, at + 3)?,
                floor: version(row, at + 4)?,
                count: unsigned(row, at + 5)?,
                digest: Digest::from_bytes(digest),
            },
            tombstones: unsigned(row, at + 7)?,
        })
    }

    /// Inserts the row of a life that begins, and returns its key.
    pub(crate) fn insert(&self, connection: &Connection, list: &ListKey) -> Result<i64> {
        connection
            .prepare_cached(
                "INSERT INTO lists (kind, owner, epoch, version, floor, count, digest, tombstones)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                list.kind.as_str(),
                list.owner.as_str(),
                signed(self.epoch)?,
                signed(self.head.version.get())?,
                signed(self.head.floor.get())?,
                signed(self.head.count)?,
                self.head.digest.to_bytes(),
                signed(self.tombstones)?,
            ])?;
        Ok(connection.last_insert_rowid())
    }

    /// Writes the row anew.
    pub(crate) fn update(&self, connection: &Connection) -> Result<()> {
        let ended = self.ended.then_some(self.head.lineage.get().cast_signed());
        let updated = connection
            .prepare_cached(
                "UPDATE lists SET ended = ?2, version = ?3, floor = ?4, count = ?5, digest = ?6,
                 tombstones = ?7 WHERE n = ?1",
            )?
            .execute(params![
                self.n,
                ended,
                signed(self.head.version.get())?,
                signed(self.head.floor.get())?,
                signed(self.head.count)?,
                self.head.digest.to_bytes(),
                signed(self.tombstones)?,
            ])?;
        if updated == 1 {
            Ok(())
        } else {
            Err(Fault::corrupt(format!(
                "the list of row {} is lost",
                self.n
            )))
        }
    }
}

/// The row of an ended life that is not the newest: its key, and how many
/// elements and tombstones it left.
pub(crate) fn earlier_life(
    connection: &Connection,
    list: &ListKey,
    ended: Lineage,
) -> Result<Option<(i64, u64, u64)>> {
    let found = connection
        .prepare_cached(
            "SELECT n, count, tombstones FROM lists
             WHERE kind = ?1 AND owner = ?2 AND ended = ?3",
        )?
        .query_row(
            params![
                list.kind.as_str(),
                list.owner.as_str(),
                ended.get().cast_signed()
            ],
            |row| Ok((row.get(0)?, unsigned(row, 1)?, unsigned(row, 2)?)),
        )
        .optional()?;
    Ok(found)
}

/// Reads an element: the columns id, rank, version, created and stamp, then the
/// payload if it was asked for.
pub(crate) fn item_of_row(row: &Row<'_>, with_payload: bool) -> Result<Item> {
    Ok(Item {
        id: id_of(row, 0)?,
        rank: Rank::new(blob(row, 1)?.to_vec())?,
        version: version(row, 2)?,
        created: version(row, 3)?,
        stamp: Stamp(row.get(4)?),
        payload: if with_payload {
            bytes::Bytes::copy_from_slice(blob(row, 5)?)
        } else {
            bytes::Bytes::new()
        },
    })
}

pub(crate) fn id_of(row: &Row<'_>, at: usize) -> Result<ItemId> {
    match row.get_ref(at)? {
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(id) => Ok(ItemId::new_or_header(id)?),
            Err(_) => Err(Fault::corrupt("an id is not UTF-8")),
        },
        _ => Err(Fault::corrupt("an id is no text")),
    }
}

pub(crate) fn blob<'a>(row: &'a Row<'_>, at: usize) -> Result<&'a [u8]> {
    match row.get_ref(at)? {
        ValueRef::Blob(blob) => Ok(blob),
        _ => Err(Fault::corrupt("an element lacks a part of its content")),
    }
}

pub(crate) fn version(row: &Row<'_>, at: usize) -> rusqlite::Result<Version> {
    unsigned(row, at).map(Version::new)
}

pub(crate) fn unsigned(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(at)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, number))
}

/// A number as SQLite keeps it.
pub(crate) fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Fault::corrupt(format!("{number} is out of bounds")))
}

/// A version to compare with: none is stored above the largest.
pub(crate) fn comparable(version: Version) -> i64 {
    i64::try_from(version.get()).unwrap_or(i64::MAX)
}
