//! What a simulated world does to a device's database behind its back, and what
//! its judges read: whole copies, damage and all. Not for apps.

use super::value::{self, stored};
use super::{Database, LocalError};
use bytes::Bytes;
use highwater_core::local::{Generation, StoredRow};
use highwater_protocol::{ItemId, ListKey, Rank, Stamp};
use rusqlite::{Connection, OptionalExtension, params};

/// Damage to what is stored of one list. Rows are those of the copy that is
/// shown, counted from 0 in the order of their ids; a number beyond the last
/// begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A row's payload becomes another.
    Payload(u32),
    /// A row's rank becomes another.
    Rank(u32),
    /// A row's stamp becomes another.
    Stamp(u32),
    /// A row's check becomes another.
    Check(u32),
    /// A row goes.
    Removed(u32),
    /// A row appears that no server knows, whole and with a check that holds.
    Added,
    /// Two rows change their payloads.
    Swapped(u32, u32),
    /// The stored digest becomes another.
    Digest,
    /// The stored count becomes another.
    Count,
    /// The stored version goes so far up or down.
    Version(i64),
    /// The stored lineage becomes another.
    Lineage,
}

impl Database {
    /// Every row that is stored of a generation, by id, as it was read.
    ///
    /// # Errors
    /// What the database reports; likewise below.
    pub fn stored_rows(
        &self,
        list: &ListKey,
        generation: Generation,
    ) -> Result<Vec<StoredRow>, LocalError> {
        self.write(|local| {
            let sql = "SELECT id, rank, stamp, row_check, payload FROM row \
                 WHERE list = (SELECT id FROM list WHERE kind = ?1 AND owner = ?2) \
                 AND generation = ?3 ORDER BY id";
            let mut statement = local.conn.prepare_cached(sql)?;
            let names = (list.kind.as_str(), list.owner.as_str());
            let rows = statement
                .query_map(params![names.0, names.1, stored(generation.0)], |columns| {
                    value::stored_row(columns, 0)
                })?;
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            Ok(rows.into_iter().flatten().collect())
        })
    }

    /// Moves what the log holds into the database.
    pub fn checkpoint_now(&self) -> Result<(), LocalError> {
        self.write(|local| local.checkpoint())
    }

    /// Damages what is stored of a list. Returns whether there was something to
    /// damage.
    pub fn damage(&self, list: &ListKey, damage: Damage) -> Result<bool, LocalError> {
        self.write(|local| {
            let conn = &local.conn;
            let sql = "SELECT id, shown_generation FROM list WHERE kind = ?1 AND owner = ?2";
            let found: Option<(i64, Option<i64>)> = conn
                .query_row(sql, [list.kind.as_str(), list.owner.as_str()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let Some((number, Some(generation))) = found else {
                return Ok(false);
            };
            damage_list(conn, number, generation, damage)
        })
    }
}

fn damage_list(
    conn: &Connection,
    number: i64,
    generation: i64,
    damage: Damage,
) -> Result<bool, LocalError> {
    let nth = |nth: u32| -> Result<Option<i64>, LocalError> {
        let of = params![number, generation];
        let count: i64 = conn.query_row(
            "SELECT count(*) FROM row WHERE list = ?1 AND generation = ?2",
            of,
            |row| row.get(0),
        )?;
        if count == 0 {
            return Ok(None);
        }
        let sql = "SELECT rowid FROM row WHERE list = ?1 AND generation = ?2 \
             ORDER BY id LIMIT 1 OFFSET ?3";
        let at = i64::from(nth) % count;
        let rowid = conn.query_row(sql, params![number, generation, at], |row| row.get(0))?;
        Ok(Some(rowid))
    };
    let row = |at: u32, sql: &str| -> Result<bool, LocalError> {
        match nth(at)? {
            Some(rowid) => Ok(conn.execute(sql, [rowid])? > 0),
            None => Ok(false),
        }
    };
    let record = |sql: &str| -> Result<bool, LocalError> { Ok(conn.execute(sql, [number])? > 0) };
    match damage {
        Damage::Payload(at) => row(
            at,
            "UPDATE row SET payload = CAST(payload || x'21' AS BLOB) \
             WHERE rowid = ?1 AND payload IS NOT NULL",
        ),
        Damage::Rank(at) => row(
            at,
            "UPDATE row SET rank = CAST(rank || x'21' AS BLOB) WHERE rowid = ?1",
        ),
        Damage::Stamp(at) => row(
            at,
            "UPDATE row SET stamp = CAST(x'00010203' || substr(stamp, 5) AS BLOB) \
             WHERE rowid = ?1",
        ),
        Damage::Check(at) => row(
            at,
            "UPDATE row SET row_check = row_check + 1 WHERE rowid = ?1",
        ),
        Damage::Removed(at) => row(at, "DELETE FROM row WHERE rowid = ?1"),
        Damage::Added => add_row(conn, number, generation),
        Damage::Swapped(one, other) => {
            let (Some(one), Some(other)) = (nth(one)?, nth(other)?) else {
                return Ok(false);
            };
            let payload = |rowid| {
                conn.query_row("SELECT payload FROM row WHERE rowid = ?1", [rowid], |row| {
                    row.get::<_, Option<Vec<u8>>>(0)
                })
            };
            let (first, second) = (payload(one)?, payload(other)?);
            // One statement: a fault of the disk undoes all of it.
            let sql = "UPDATE row SET payload = CASE rowid WHEN ?1 THEN ?4 ELSE ?3 END \
                 WHERE rowid IN (?1, ?2)";
            conn.execute(sql, params![one, other, first, second])?;
            Ok(first != second)
        }
        Damage::Digest => record(
            "UPDATE list SET shown_digest = CAST(x'0102030405060708090a0b0c0d0e0f10' AS BLOB) \
             WHERE id = ?1",
        ),
        Damage::Count => record("UPDATE list SET shown_count = shown_count + 1 WHERE id = ?1"),
        Damage::Version(by) => {
            let sql = "UPDATE list SET shown_version = max(0, shown_version + ?2) \
                 WHERE id = ?1 AND shown_version IS NOT NULL";
            Ok(conn.execute(sql, params![number, by])? > 0)
        }
        Damage::Lineage => {
            record("UPDATE list SET shown_lineage = 77 WHERE id = ?1 AND shown_lineage IS NOT NULL")
        }
    }
}

fn add_row(conn: &Connection, number: i64, generation: i64) -> Result<bool, LocalError> {
    let taken: i64 = conn.query_row("SELECT count(*) FROM row", [], |row| row.get(0))?;
    let Ok(id) = ItemId::new(&format!("stranger-{taken}")) else {
        return Ok(false);
    };
    let rank = Rank::default();
    let payload = Bytes::from_static(b"nobody sent this");
    let stamp: Stamp = highwater_core::stamp::stamp_of(&id, &rank, &payload);
    let check = highwater_core::stamp::row_check(&id, &rank, stamp);
    let sql = "INSERT OR IGNORE INTO row (list, generation, id, rank, stamp, row_check, payload) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let added = conn.execute(
        sql,
        params![
            number,
            generation,
            id.as_str(),
            rank.as_bytes(),
            &stamp.0[..],
            check,
            &payload[..]
        ],
    )?;
    Ok(added > 0)
}
