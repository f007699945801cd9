//! The reading side: pages and standings, on a connection of their own.
//!
//! Each answer is one statement, so it is of one commit; which copy of a list
//! is shown is looked up within it.

use super::record;
use super::txn::limit_of;
use super::value::{self, stored_row};
use super::{Database, LocalError};
use bytes::Bytes;
use highwater_core::local::{ListRecord, LocalRow, StoredRow};
use highwater_core::stamp::{row_check, stamp_of};
use highwater_protocol::{ItemId, ListKey, OrderKey, Rank, Stamp};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashMap;
use std::ops::Range;

/// A row of the copy that is shown, and whether it is what was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRow {
    /// The row; without its payload if that is damaged.
    pub row: LocalRow,
    /// Whether it is what was stored.
    pub condition: Condition,
}

/// Whether a row is still what was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is.
    Sound,
    /// Its payload is not.
    PayloadDamaged,
    /// Its id, rank or stamp is not.
    Damaged,
}

/// How a list stands on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How far it has come.
    pub record: ListRecord,
    /// The copy that is shown has a header.
    pub header: bool,
}

/// A list of which the device knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldList {
    /// Which list.
    pub list: ListKey,
    /// The app wants it kept up to date.
    pub held: bool,
    /// How far it has come; `None`: nowhere yet.
    pub record: Option<ListRecord>,
}

pub(super) struct Reader {
    conn: Connection,
    numbers: HashMap<ListKey, i64>,
}

/// Rows from the start, the header left out. What is no blob sorts before the
/// blobs: a rank that was damaged so is found here.
const FIRST_PAGE: &str = "SELECT id, rank, stamp, row_check, payload FROM row \
     WHERE list = ?1 AND generation = (SELECT shown_generation FROM list WHERE id = ?1) \
     AND id <> '' ORDER BY rank, id LIMIT ?4";

/// Rows behind a place in the order.
const PAGE: &str = "SELECT id, rank, stamp, row_check, payload FROM row \
     WHERE list = ?1 AND generation = (SELECT shown_generation FROM list WHERE id = ?1) \
     AND (rank, id) > (?2, ?3) ORDER BY rank, id LIMIT ?4";

const ONE: &str = "SELECT id, rank, stamp, row_check, payload FROM row \
     WHERE list = ?1 AND generation = (SELECT shown_generation FROM list WHERE id = ?1) \
     AND id = ?2";

impl Reader {
    pub(super) fn new(conn: Connection) -> Self {
        Self {
            conn,
            numbers: HashMap::new(),
        }
    }

    fn number(&mut self, list: &ListKey) -> Result<Option<i64>, LocalError> {
        if let Some(number) = self.numbers.get(list) {
            return Ok(Some(*number));
        }
        let sql = "SELECT id FROM list WHERE kind = ?1 AND owner = ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        let number: Option<i64> = statement
            .query_row([list.kind.as_str(), list.owner.as_str()], |row| row.get(0))
            .optional()?;
        if let Some(number) = number {
            self.numbers.insert(list.clone(), number);
        }
        Ok(number)
    }
}

impl Database {
    /// The `limit` items behind `after` in the list's order; from the start, if
    /// that is `None`. Never the header. Every row is checked.
    ///
    /// # Errors
    /// What the database reports; likewise below.
    pub fn page(
        &self,
        list: &ListKey,
        after: Option<&OrderKey>,
        limit: usize,
    ) -> Result<Vec<ReadRow>, LocalError> {
        self.read(|reader| {
            let Some(number) = reader.number(list)? else {
                return Ok(Vec::new());
            };
            let (rank, id) =
                after.map_or((&[][..], ""), |key| (key.rank.as_bytes(), key.id.as_str()));
            let sql = if after.is_some() { PAGE } else { FIRST_PAGE };
            let mut statement = reader.conn.prepare_cached(sql)?;
            let mut rows = statement.query(params![number, rank, id, limit_of(limit)])?;
            let mut page = PageReader::default();
            while let Some(columns) = rows.next()? {
                page.add(columns)?;
            }
            Ok(page.finish())
        })
    }

    /// An element: an item, or the header by its empty id.
    pub fn element(&self, list: &ListKey, id: &ItemId) -> Result<Option<ReadRow>, LocalError> {
        self.read(|reader| {
            let Some(number) = reader.number(list)? else {
                return Ok(None);
            };
            let mut statement = reader.conn.prepare_cached(ONE)?;
            let row = statement
                .query_row(params![number, id.as_str()], |columns| {
                    stored_row(columns, 0)
                })
                .optional()?;
            Ok(row.flatten().map(checked))
        })
    }

    /// How a list stands; `None`: nothing is known of it.
    pub fn standing(&self, list: &ListKey) -> Result<Option<Standing>, LocalError> {
        self.read(|reader| {
            let mut statement = reader.conn.prepare_cached(record::SELECT_STANDING)?;
            let names = [list.kind.as_str(), list.owner.as_str()];
            let found = statement
                .query_row(names, |columns| {
                    Ok((columns.get::<_, bool>(0)?, record::read(columns, 1)?))
                })
                .optional()?;
            Ok(found.and_then(|(header, record)| record.map(|record| Standing { record, header })))
        })
    }

    /// Every list of which the device knows, by name.
    pub fn lists(&self) -> Result<Vec<HeldList>, LocalError> {
        self.read(|reader| {
            let mut statement = reader.conn.prepare_cached(record::SELECT_ALL)?;
            let mut rows = statement.query([])?;
            let mut lists = Vec::new();
            while let Some(columns) = rows.next()? {
                let kind = value::word(columns.get_ref(0)?).unwrap_or_default();
                let owner = value::word(columns.get_ref(1)?).unwrap_or_default();
                // A name that no list can have was damaged: nobody asks for it.
                if let Ok(list) = ListKey::new(kind, owner) {
                    lists.push(HeldList {
                        list,
                        held: value::integer(columns.get_ref(2)?) != Some(0),
                        record: record::read(columns, 3)?,
                    });
                }
            }
            Ok(lists)
        })
    }
}

/// Reads a page's rows into pieces of memory that their ranks and payloads
/// share: allocating each would cost as much as hashing them.
#[derive(Default)]
struct PageReader {
    bytes: Vec<u8>,
    placed: Vec<Placed>,
    rows: Vec<ReadRow>,
}

/// A piece ends with the row that makes it this long, so that an app which
/// keeps one row does not keep a page of long ones.
const PIECE_BYTES: usize = 16 * 1024;

/// A row whose rank and payload are places in the page's bytes.
struct Placed {
    id: ItemId,
    rank: Option<Range<usize>>,
    stamp: Option<Stamp>,
    check: Option<u32>,
    payload: Option<Range<usize>>,
}

impl PageReader {
    /// Adds the row in columns id, rank, stamp, row_check, payload.
    fn add(&mut self, columns: &Row<'_>) -> rusqlite::Result<()> {
        if let Some(id) = value::item_id(columns.get_ref(0)?) {
            let placed = Placed {
                id,
                rank: self.keep(columns.get_ref(1)?),
                stamp: value::stamp(columns.get_ref(2)?),
                check: value::check(columns.get_ref(3)?),
                payload: self.keep(columns.get_ref(4)?),
            };
            self.placed.push(placed);
        }
        if self.bytes.len() >= PIECE_BYTES {
            self.end_piece();
        }
        Ok(())
    }

    fn keep(&mut self, column: ValueRef<'_>) -> Option<Range<usize>> {
        let ValueRef::Blob(bytes) = column else {
            return None;
        };
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Some(from..self.bytes.len())
    }

    fn end_piece(&mut self) {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let rows = self.placed.drain(..).map(|placed| {
            let rank = placed.rank.and_then(|at| Rank::new(bytes.slice(at)).ok());
            let payload = placed.payload.map(|at| bytes.slice(at));
            checked(value::assemble(
                placed.id,
                rank,
                placed.stamp,
                placed.check,
                payload,
            ))
        });
        self.rows.extend(rows);
    }

    fn finish(mut self) -> Vec<ReadRow> {
        self.end_piece();
        self.rows
    }
}

/// A payload that matches its stamp proves id, rank and stamp too, so most rows
/// cost one hash.
fn checked(stored: StoredRow) -> ReadRow {
    let mut row = stored.row;
    let matches = row
        .payload
        .as_ref()
        .is_some_and(|payload| stamp_of(&row.id, &row.rank, payload) == row.stamp);
    if matches {
        let condition = Condition::Sound;
        return ReadRow { row, condition };
    }
    let condition = if stored.check != row_check(&row.id, &row.rank, row.stamp) {
        Condition::Damaged
    } else if row.payload.take().is_some() {
        Condition::PayloadDamaged
    } else {
        Condition::Sound
    };
    ReadRow { row, condition }
}
