//! The writing side: what the replica asks of a device's database.

use super::LocalError;
use super::record;
use super::value::{item_id, rank, stamp, stored, stored_row};
use highwater_core::local::{
    CHANGES_MAX, Changes, Generation, Likely, ListRecord, LocalRow, LocalStore, LocalTxn, OldRow,
    RowChange, StoredRow,
};
use highwater_core::stamp::row_check;
use highwater_protocol::{ItemId, ListKey, Rank, Stamp};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashMap;

/// The connection that writes.
pub struct SqliteLocal {
    conn: Connection,
    /// Lists are numbered once and never deleted.
    numbers: HashMap<ListKey, i64>,
}

/// A transaction on the device's database. Dropping it undoes all of it.
pub struct SqliteTxn<'a> {
    local: &'a mut SqliteLocal,
    /// Lists that this transaction numbered.
    numbered: Vec<ListKey>,
    ended: bool,
}

impl SqliteLocal {
    pub(super) fn new(conn: Connection) -> Self {
        conn.set_prepared_statement_cache_capacity(64);
        Self {
            conn,
            numbers: HashMap::new(),
        }
    }

    /// Rows that statements of this connection have written since it was
    /// opened, records of lists included.
    #[must_use]
    pub fn rows_written(&self) -> u64 {
        self.conn.total_changes()
    }

    /// Whether a list is to be kept up to date after the next opening too.
    pub(crate) fn set_held(&mut self, list: &ListKey, held: bool) -> Result<(), LocalError> {
        let sql = "UPDATE list SET held = ?3 WHERE kind = ?1 AND owner = ?2 AND held <> ?3";
        let mut statement = self.conn.prepare_cached(sql)?;
        statement.execute(params![list.kind.as_str(), list.owner.as_str(), held])?;
        Ok(())
    }

    /// Moves what the log holds into the database, without waiting for readers.
    pub(crate) fn checkpoint(&mut self) -> Result<(), LocalError> {
        self.conn
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        Ok(())
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

impl LocalStore for SqliteLocal {
    type Error = LocalError;
    type Txn<'a> = SqliteTxn<'a>;

    fn begin(&mut self) -> Result<SqliteTxn<'_>, LocalError> {
        // Deferred: this is the only connection that writes, so the lock is
        // there to be had at the first write, and reading alone takes none.
        self.conn.prepare_cached("BEGIN")?.execute([])?;
        Ok(SqliteTxn {
            local: self,
            numbered: Vec::new(),
            ended: false,
        })
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
        // SQLite has rolled back by itself after some errors, a full disk among
        // them; then there is nothing left to undo.
        if !self.local.conn.is_autocommit()
            && let Ok(mut statement) = self.local.conn.prepare_cached("ROLLBACK")
        {
            let _ = statement.execute([]);
        }
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

/// At most one row more than a report of changes may name.
const REPORTED: i64 = CHANGES_MAX as i64 + 1;

/// Rows of the new generation that are new or differ, then rows of the old one
/// that are no longer there: the columns are id, rank before, rank after.
const CHANGED: &str = "SELECT new.id, old.rank, new.rank FROM row AS new \
     LEFT JOIN row AS old ON old.list = ?1 AND old.generation = ?2 AND old.id = new.id \
     WHERE new.list = ?1 AND new.generation = ?3 \
     AND (old.id IS NULL OR old.stamp <> new.stamp OR old.rank <> new.rank) \
     ORDER BY new.id LIMIT ?4";
const VANISHED: &str = "SELECT old.id, old.rank, NULL FROM row AS old \
     WHERE old.list = ?1 AND old.generation = ?2 AND NOT EXISTS (\
     SELECT 1 FROM row AS new WHERE new.list = ?1 AND new.generation = ?3 AND new.id = old.id) \
     ORDER BY old.id LIMIT ?4";

impl SqliteTxn<'_> {
    /// In what two generations of a list differ.
    fn differences(
        &self,
        list: i64,
        from: Generation,
        to: Generation,
    ) -> Result<Changes, LocalError> {
        let mut changes = Vec::new();
        for sql in [CHANGED, VANISHED] {
            let mut statement = self.local.conn.prepare_cached(sql)?;
            let mut rows =
                statement.query(params![list, stored(from.0), stored(to.0), REPORTED])?;
            while let Some(columns) = rows.next()? {
                let Some(id) = item_id(columns.get_ref(0)?) else {
                    continue;
                };
                changes.push(RowChange {
                    id,
                    before: there(columns.get_ref(1)?),
                    after: there(columns.get_ref(2)?),
                });
                if changes.len() > CHANGES_MAX {
                    return Ok(Changes::Many);
                }
            }
        }
        Ok(Changes::Rows(changes))
    }
}

/// The rank of a row that is there, damaged or not.
fn there(value: ValueRef<'_>) -> Option<Rank> {
    match value {
        ValueRef::Null => None,
        value => Some(rank(value).unwrap_or_default()),
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
        // The header's id is empty, and nothing sorts before it but what is no
        // text.
        let sql = "SELECT rowid, id, rank, stamp, row_check, payload FROM row \
             WHERE list = ?1 AND generation = ?2 AND (?3 IS NULL OR id > ?3) \
             ORDER BY id LIMIT ?4";
        let from_start = "SELECT rowid, id, rank, stamp, row_check, payload FROM row \
             WHERE list = ?1 AND generation = ?2 ORDER BY id LIMIT ?4";
        let sql = if after.is_some() { sql } else { from_start };
        let mut kept = Vec::new();
        let mut unreadable = Vec::new();
        {
            let mut statement = self.local.conn.prepare_cached(sql)?;
            let mut rows = statement.query(params![
                number,
                stored(generation.0),
                after.map(ItemId::as_str),
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

    fn replace_generation(
        &mut self,
        list: &ListKey,
        from: Generation,
        to: Generation,
    ) -> Result<Changes, LocalError> {
        let number = self.number_or_new(list)?;
        let key = params![number, stored(from.0), stored(to.0)];
        let conn = &self.local.conn;
        conn.prepare_cached(
            "UPDATE row SET payload = old.payload FROM row AS old \
             WHERE row.list = ?1 AND row.generation = ?3 AND row.payload IS NULL \
             AND old.list = ?1 AND old.generation = ?2 AND old.id = row.id \
             AND old.stamp = row.stamp AND old.payload IS NOT NULL",
        )?
        .execute(key)?;
        let changes = self.differences(number, from, to)?;
        self.local
            .conn
            .prepare_cached("DELETE FROM row WHERE list = ?1 AND generation <> ?2")?
            .execute(params![number, stored(to.0)])?;
        Ok(changes)
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
        self.local.conn.prepare_cached("COMMIT")?.execute([])?;
        self.ended = true;
        Ok(())
    }
}
