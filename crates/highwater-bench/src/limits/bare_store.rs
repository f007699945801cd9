//! SQLite alone, keeping what a server keeps: the same rows under the same
//! indexes, with nothing on top.

use crate::generator::Item;
use anyhow::Result;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::path::Path;

/// As much as a careful hand would set up: durable, and with a cache that
/// holds the busy pages.
const SET_UP: &str = "
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA cache_size = -65536;
CREATE TABLE head (
    list INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    count INTEGER NOT NULL,
    digest BLOB NOT NULL
);
CREATE TABLE item (
    list INTEGER NOT NULL,
    id TEXT NOT NULL,
    rank BLOB NOT NULL,
    version INTEGER NOT NULL,
    created INTEGER NOT NULL,
    stamp BLOB NOT NULL,
    payload BLOB NOT NULL
);
CREATE UNIQUE INDEX item_by_id ON item (list, id);
CREATE UNIQUE INDEX item_by_version ON item (list, version);
CREATE INDEX item_by_rank ON item (list, rank, id);
";

/// A stamp and a digest: nothing is hashed here.
const SUM: [u8; 16] = [9; 16];

/// An open database.
#[derive(Debug)]
pub(crate) struct BareStore {
    conn: Connection,
}

impl BareStore {
    /// A new one in `folder`.
    ///
    /// # Errors
    /// What SQLite says; likewise below.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let conn = Connection::open(folder.join("bare.db"))?;
        conn.execute_batch(SET_UP)?;
        super::keep_plans(&conn)?;
        Ok(Self { conn })
    }

    /// Runs `work` in one durable transaction.
    pub(crate) fn transaction(&mut self, work: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        match work(self) {
            Ok(()) => Ok(self.conn.execute_batch("COMMIT")?),
            Err(error) => {
                self.conn.execute_batch("ROLLBACK")?;
                Err(error)
            }
        }
    }

    /// The next version of a list, 1 if it is new. Its head is written with
    /// [`set_head`](Self::set_head).
    pub(crate) fn next_version(&self, list: u64) -> Result<(i64, i64)> {
        let sql = "SELECT version, count FROM head WHERE list = ?1";
        let head = self
            .conn
            .prepare_cached(sql)?
            .query_row([list.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (version, count): (i64, i64) = head.unwrap_or_default();
        Ok((version + 1, count))
    }

    /// Writes a list's head.
    pub(crate) fn set_head(&self, list: u64, version: i64, count: i64) -> Result<()> {
        let sql = "INSERT INTO head (list, version, count, digest) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (list) DO UPDATE SET version = ?2, count = ?3, digest = ?4";
        self.conn.prepare_cached(sql)?.execute(params![
            list.cast_signed(),
            version,
            count,
            SUM.as_slice()
        ])?;
        Ok(())
    }

    /// Writes a row, at a version of its own.
    pub(crate) fn put(&self, list: u64, item: &Item, version: i64) -> Result<()> {
        let (id, rank) = (item.id.as_str(), item.rank.as_bytes());
        let list = list.cast_signed();
        let find = "SELECT rowid, rank FROM item WHERE list = ?1 AND id = ?2";
        let found: Option<(i64, bool)> = self
            .conn
            .prepare_cached(find)?
            .query_row(params![list, id], |row| {
                Ok((row.get(0)?, row.get_ref(1)?.as_blob()? == rank))
            })
            .optional()?;
        let (stamp, payload) = (SUM.as_slice(), item.payload.as_ref());
        match found {
            None => self
                .conn
                .prepare_cached(
                    "INSERT INTO item (list, id, rank, version, created, stamp, payload) \
                     VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6)",
                )?
                .execute(params![list, id, rank, version, stamp, payload])?,
            Some((row, true)) => self
                .conn
                .prepare_cached(
                    "UPDATE item SET version = ?2, stamp = ?3, payload = ?4 WHERE rowid = ?1",
                )?
                .execute(params![row, version, stamp, payload])?,
            Some((row, false)) => self
                .conn
                .prepare_cached(
                    "UPDATE item SET version = ?2, stamp = ?3, payload = ?4, rank = ?5 \
                     WHERE rowid = ?1",
                )?
                .execute(params![row, version, stamp, payload, rank])?,
        };
        Ok(())
    }

    /// One change of one list: a row and its head.
    pub(crate) fn change(&self, list: u64, item: &Item) -> Result<()> {
        let (version, count) = self.next_version(list)?;
        self.put(list, item, version)?;
        self.set_head(list, version, count)
    }

    /// Appends new rows to a list: all of them, then its head once.
    pub(crate) fn append(&self, list: u64, items: impl Iterator<Item = Item>) -> Result<()> {
        let (first, mut count) = self.next_version(list)?;
        let mut version = first;
        for item in items {
            self.put(list, &item, version)?;
            version += 1;
            count += 1;
        }
        self.set_head(list, version - 1, count)
    }

    /// Reads a list's changes after a version, at most `limit`, as bytes that
    /// are looked at. Returns how many there were.
    pub(crate) fn changes(&self, list: u64, after: i64, limit: i64) -> Result<usize> {
        let sql = "SELECT version, id, rank, stamp, payload FROM item \
             WHERE list = ?1 AND version > ?2 ORDER BY version LIMIT ?3";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params![list.cast_signed(), after, limit])?;
        let (mut count, mut bytes) = (0, 0);
        while let Some(row) = rows.next()? {
            let _version: i64 = row.get(0)?;
            bytes += row.get_ref(1)?.as_bytes()?.len();
            bytes += row.get_ref(2)?.as_blob()?.len();
            bytes += row.get_ref(3)?.as_blob()?.len();
            bytes += row.get_ref(4)?.as_blob()?.len();
            count += 1;
        }
        std::hint::black_box(bytes);
        Ok(count)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::generator::item;

    #[test]
    fn a_list_that_was_appended_to_and_changed_reads_back_by_version() {
        let folder = tempfile::tempdir().unwrap();
        let mut bare = BareStore::create(folder.path()).unwrap();
        let items = || (0..10).map(|index| item(1, index, 0));
        bare.transaction(|bare| bare.append(1, items())).unwrap();
        assert_eq!(bare.next_version(1).unwrap(), (11, 10));
        bare.transaction(|bare| bare.change(1, &item(1, 3, 1)))
            .unwrap();
        assert_eq!(bare.changes(1, 0, 100).unwrap(), 10);
        assert_eq!(bare.changes(1, 9, 100).unwrap(), 2);
        assert_eq!(bare.changes(1, 0, 4).unwrap(), 4);
        assert_eq!(bare.changes(2, 0, 4).unwrap(), 0);
        let failed = bare.transaction(|bare| {
            bare.change(1, &item(1, 4, 1))?;
            anyhow::bail!("stop")
        });
        assert!(failed.is_err());
        assert_eq!(bare.next_version(1).unwrap(), (12, 10));
    }
}
