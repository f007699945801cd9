//! The writing side: what the replica asks of a device's database.

use super::value::{item_id, rank, stamp, stored, stored_row};
use super::writer::SqliteLocal;
use super::{LocalError, record, replace};
use highwater_core::local::{
    Changes, Generation, Likely, ListRecord, LocalRow, LocalTxn, OldRow, StoredRow,
};
use highwater_core::planted::{Bug, is};
use highwater_core::stamp::row_check;
use highwater_protocol::{ItemId, ListKey, Stamp};
use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension, Row, params};

/// A transaction on the device's database. Dropping it undoes all of it.
pub struct SqliteTxn<'a> {
    local: &'a mut SqliteLocal,
    /// Lists that this transaction numbered.
    numbered: Vec<ListKey>,
    /// It is one of several that share a commit.
    is_nested: bool,
    ended: bool,
}

impl<'a> SqliteTxn<'a> {
    /// A transaction that the connection has begun.
    pub(super) const fn begun(local: &'a mut SqliteLocal, is_nested: bool) -> Self {
        Self {
            local,
            numbered: Vec::new(),
            is_nested,
            ended: false,
        }
    }
}

impl Drop for SqliteTxn<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        for list in &self.numbered {
            self.local.numbers.remove(list);
        }
        if self.is_nested && !self.local.conn.is_autocommit() {
            let undone = self
                .local
                .conn
                .execute_batch("ROLLBACK TO one; RELEASE one");
            if undone.is_ok() {
                return;
            }
        }
        // All that shared the commit goes, lists that were numbered too.
        self.local.numbers.clear();
        self.local.roll_back();
    }
}

/// What is stored where a row is to be written.
struct Place {
    rowid: i64,
    old: OldRow,
    /// The rank's bytes are what `old` says.
    intact: bool,
    check: i64,
}

/// Stamps for which memory is reserved before they are read.
const STAMPS_RESERVED: usize = 10_000;

/// The header's id is empty, and nothing sorts before it but what is no text.
const ROWS_FROM_START: &str = "SELECT rowid, id, rank, stamp, row_check, payload FROM row \
     WHERE list = ?1 AND generation = ?2 ORDER BY id LIMIT ?4";
/// Not "`?3 IS NULL OR`": that reads the list from its start each time.
const ROWS: &str = "SELECT rowid, id, rank, stamp, row_check, payload FROM row \
     WHERE list = ?1 AND generation = ?2 AND id > ?3 ORDER BY id LIMIT ?4";

const STAMPS_FROM_START: &str = "SELECT id, stamp FROM row \
     WHERE list = ?1 AND generation = ?2 ORDER BY id LIMIT ?4";
const STAMPS: &str = "SELECT id, stamp FROM row \
     WHERE list = ?1 AND generation = ?2 AND id > ?3 ORDER BY id LIMIT ?4";

const PLACE: &str = "SELECT rowid, rank, stamp, payload IS NOT NULL, row_check FROM row \
     WHERE list = ?1 AND generation = ?2 AND id = ?3";

impl SqliteTxn<'_> {
    fn number_or_new(&mut self, list: &ListKey) -> Result<i64, LocalError> {
        if let Some(number) = self.local.number(list)? {
            return Ok(number);
        }
        let sql = "INSERT INTO list (kind, owner) VALUES (?1, ?2)";
        self.local
            .conn
            .prepare_cached(sql)?
            .execute([list.kind.as_str(), list.owner.as_str()])?;
        let number = self.local.conn.last_insert_rowid();
        self.local.numbers.insert(list.clone(), number);
        self.numbered.push(list.clone());
        Ok(number)
    }

    fn place(&self, key: (i64, i64), id: &ItemId) -> Result<Option<Place>, LocalError> {
        let mut statement = self.local.conn.prepare_cached(PLACE)?;
        let place = statement
            .query_row(params![key.0, key.1, id.as_str()], |columns| {
                let (old, intact) = old_row(columns, 1)?;
                Ok(Place {
                    rowid: columns.get(0)?,
                    old,
                    intact,
                    check: match columns.get_ref(4)? {
                        ValueRef::Integer(check) => check,
                        _ => -1,
                    },
                })
            })
            .optional()?;
        Ok(place)
    }

    /// Inserts a row; false: there is one with this id.
    fn insert(&self, key: (i64, i64), row: &LocalRow, check: u32) -> Result<bool, LocalError> {
        let sql = "INSERT OR IGNORE INTO row (list, generation, id, rank, stamp, row_check, payload) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let inserted = self.local.conn.prepare_cached(sql)?.execute(params![
            key.0,
            key.1,
            row.id.as_str(),
            row.rank.as_bytes(),
            row.stamp.0.as_slice(),
            check,
            row.payload.as_deref(),
        ])?;
        Ok(inserted == 1)
    }

    /// Writes what differs: an index whose columns are named in an `UPDATE` is
    /// written again even if they stay as they are.
    fn update(&self, place: &Place, row: &LocalRow, check: u32) -> Result<(), LocalError> {
        let keeps_payload = row.payload.is_none() && place.old.stamp == row.stamp;
        let keeps_rank = place.intact && place.old.rank == row.rank;
        let conn = &self.local.conn;
        let stamp = row.stamp.0.as_slice();
        let rank = row.rank.as_bytes();
        let payload = row.payload.as_deref();
        match (keeps_rank, keeps_payload) {
            (true, true) if place.check == i64::from(check) => 0,
            (true, true) => conn
                .prepare_cached("UPDATE row SET stamp = ?2, row_check = ?3 WHERE rowid = ?1")?
                .execute(params![place.rowid, stamp, check])?,
            (true, false) => conn
                .prepare_cached(
                    "UPDATE row SET stamp = ?2, row_check = ?3, payload = ?4 WHERE rowid = ?1",
                )?
                .execute(params![place.rowid, stamp, check, payload])?,
            (false, true) => conn
                .prepare_cached(
                    "UPDATE row SET stamp = ?2, row_check = ?3, rank = ?4 WHERE rowid = ?1",
                )?
                .execute(params![place.rowid, stamp, check, rank])?,
            (false, false) => conn
                .prepare_cached(
                    "UPDATE row SET stamp = ?2, row_check = ?3, payload = ?4, rank = ?5 \
                     WHERE rowid = ?1",
                )?
                .execute(params![place.rowid, stamp, check, payload, rank])?,
        };
        Ok(())
    }
}

/// SQLite counts in signed numbers.
pub(super) fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Rank, stamp and whether there is a payload, from column `at` on; and whether
/// the rank could be read.
fn old_row(columns: &Row<'_>, at: usize) -> rusqlite::Result<(OldRow, bool)> {
    let rank = rank(columns.get_ref(at)?);
    let intact = rank.is_some();
    let old = OldRow {
        rank: rank.unwrap_or_default(),
        stamp: stamp(columns.get_ref(at + 1)?).unwrap_or(Stamp([0; 16])),
        had_payload: columns.get(at + 2)?,
    };
    Ok((old, intact))
}

impl LocalTxn for SqliteTxn<'_> {
    type Error = LocalError;

    fn record(&mut self, list: &ListKey) -> Result<Option<ListRecord>, LocalError> {
        let Some(number) = self.local.number(list)? else {
            return Ok(None);
        };
        let mut statement = self.local.conn.prepare_cached(record::SELECT)?;
        Ok(statement.query_row([number], |columns| record::read(columns, 0))?)
    }

    fn save_record(&mut self, list: &ListKey, record: &ListRecord) -> Result<(), LocalError> {
        let number = self.number_or_new(list)?;
        if is(Bug::CursorApartFromRows) && !self.is_nested {
            self.local.conn.execute_batch("COMMIT; BEGIN")?;
        }
        let mut statement = self.local.conn.prepare_cached(record::UPDATE)?;
        record::write(&mut statement, number, record)?;
        Ok(())
    }

    fn row(
        &mut self,
        list: &ListKey,
        generation: Generation,
        id: &ItemId,
    ) -> Result<Option<LocalRow>, LocalError> {
        let Some(number) = self.local.number(list)? else {
            return Ok(None);
        };
        let sql = "SELECT id, rank, stamp, row_check, payload FROM row \
             WHERE list = ?1 AND generation = ?2 AND id = ?3";
        let mut statement = self.local.conn.prepare_cached(sql)?;
        let row = statement
            .query_row(
                params![number, stored(generation.0), id.as_str()],
                |columns| stored_row(columns, 0),
            )
            .optional()?;
        Ok(row.flatten().map(|stored| stored.row))
    }

    fn put_row(
        &mut self,
        list: &ListKey,
        generation: Generation,
        row: &LocalRow,
        likely: Likely,
    ) -> Result<Option<OldRow>, LocalError> {
        let key = (self.number_or_new(list)?, stored(generation.0));
        let check = row_check(&row.id, &row.rank, row.stamp);
        if likely == Likely::New && self.insert(key, row, check)? {
            return Ok(None);
        }
        let Some(place) = self.place(key, &row.id)? else {
            self.insert(key, row, check)?;
            return Ok(None);
        };
        self.update(&place, row, check)?;
        Ok(Some(place.old))
    }

    fn clear_payload(
        &mut self,
        list: &ListKey,
        generation: Generation,
        id: &ItemId,
    ) -> Result<(), LocalError> {
        if let Some(number) = self.local.number(list)? {
            let sql = "UPDATE row SET payload = NULL \
                 WHERE list = ?1 AND generation = ?2 AND id = ?3";
            self.local.conn.prepare_cached(sql)?.execute(params![
                number,
                stored(generation.0),
                id.as_str()
            ])?;
        }
        Ok(())
    }

    fn delete_row(
        &mut self,
        list: &ListKey,
        generation: Generation,
        id: &ItemId,
    ) -> Result<Option<OldRow>, LocalError> {
        let Some(number) = self.local.number(list)? else {
            return Ok(None);
        };
        let Some(place) = self.place((number, stored(generation.0)), id)? else {
            return Ok(None);
        };
        self.local
            .conn
            .prepare_cached("DELETE FROM row WHERE rowid = ?1")?
            .execute([place.rowid])?;
        Ok(Some(place.old))
    }

    fn rows_by_id(
        &mut self,
        list: &ListKey,
        generation: Generation,
        after: Option<&ItemId>,
        limit: usize,
    ) -> Result<Vec<StoredRow>, LocalError> {
        let Some(number) = self.local.number(list)? else {
            return Ok(Vec::new());
        };
        let sql = if after.is_some() {
            ROWS
        } else {
            ROWS_FROM_START
        };
        let mut kept = Vec::new();
        let mut unreadable = Vec::new();
        {
            let mut statement = self.local.conn.prepare_cached(sql)?;
            let mut rows = statement.query(params![
                number,
                stored(generation.0),
                after.map_or("", ItemId::as_str),
                limit_of(limit)
            ])?;
            while let Some(columns) = rows.next()? {
                match stored_row(columns, 1)? {
                    Some(row) => kept.push(row),
                    None => unreadable.push(columns.get::<_, i64>(0)?),
                }
            }
        }
        if unreadable.is_empty() {
            return Ok(kept);
        }
        // A row without an id that an item can have is nobody's: it goes, and
        // the page is read again without it.
        for rowid in unreadable {
            self.local
                .conn
                .prepare_cached("DELETE FROM row WHERE rowid = ?1")?
                .execute([rowid])?;
        }
        self.rows_by_id(list, generation, after, limit)
    }

    fn stamps_by_id(
        &mut self,
        list: &ListKey,
        generation: Generation,
        after: Option<&ItemId>,
        limit: usize,
    ) -> Result<Vec<(ItemId, Stamp)>, LocalError> {
        let Some(number) = self.local.number(list)? else {
            return Ok(Vec::new());
        };
        let mut stamps = Vec::with_capacity(limit.min(STAMPS_RESERVED));
        {
            let sql = if after.is_some() {
                STAMPS
            } else {
                STAMPS_FROM_START
            };
            let mut statement = self.local.conn.prepare_cached(sql)?;
            let mut rows = statement.query(params![
                number,
                stored(generation.0),
                after.map_or("", ItemId::as_str),
                limit_of(limit)
            ])?;
            while let Some(columns) = rows.next()? {
                let Some(id) = item_id(columns.get_ref(0)?) else {
                    stamps.clear();
                    break;
                };
                let none = Stamp([0; 16]);
                stamps.push((id, stamp(columns.get_ref(1)?).unwrap_or(none)));
            }
        }
        if !stamps.is_empty() {
            return Ok(stamps);
        }
        // Nothing is there, or a row that is nobody's: reading whole rows drops
        // it.
        let rows = self.rows_by_id(list, generation, after, limit)?;
        let stamps = rows.into_iter();
        Ok(stamps
            .map(|stored| (stored.row.id, stored.row.stamp))
            .collect())
    }

    fn replace_generation(
        &mut self,
        list: &ListKey,
        from: Generation,
        to: Generation,
    ) -> Result<Changes, LocalError> {
        let number = self.number_or_new(list)?;
        replace::generation(&self.local.conn, number, from, to)
    }

    fn clear_generation(
        &mut self,
        list: &ListKey,
        generation: Generation,
    ) -> Result<(), LocalError> {
        if let Some(number) = self.local.number(list)? {
            self.local
                .conn
                .prepare_cached("DELETE FROM row WHERE list = ?1 AND generation = ?2")?
                .execute(params![number, stored(generation.0)])?;
        }
        Ok(())
    }

    fn commit(mut self) -> Result<(), LocalError> {
        let end = if self.is_nested {
            "RELEASE one"
        } else {
            "COMMIT"
        };
        self.local.conn.prepare_cached(end)?.execute([])?;
        self.ended = true;
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::local::conformance::database;

    /// The next rows were found by reading the list from its start each time, so
    /// that recomputing a list of 1,000,000 read it 500 times.
    #[test]
    fn the_next_rows_are_found_where_the_last_ended() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder.path().join("db"));
        for sql in [ROWS, STAMPS] {
            let plan: String = db
                .write(|local| {
                    let explain = format!("EXPLAIN QUERY PLAN {sql}");
                    let params = params![1, 1, "x", 10];
                    Ok(local
                        .conn
                        .query_row(&explain, params, |row| row.get("detail"))?)
                })
                .unwrap();
            assert!(plan.contains("id>?"), "{plan}");
        }
    }
}
