//! SQLite alone, keeping what a device keeps: the same tables and settings, and
//! the same statements, with nothing on top.

use crate::generator::Item;
use anyhow::{Result, ensure};
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};

/// As the SDK sets its database up.
const SETTINGS: &str = "
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA temp_store = MEMORY;
PRAGMA wal_autocheckpoint = 4000;
";

/// The SDK's rows; of its record of a list what changes with each page.
const TABLES: &str = "
CREATE TABLE list (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest BLOB NOT NULL,
    count INTEGER NOT NULL
);
CREATE TABLE row (
    list INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    id TEXT NOT NULL,
    rank BLOB NOT NULL,
    stamp BLOB NOT NULL,
    row_check INTEGER NOT NULL,
    payload BLOB
);
CREATE UNIQUE INDEX row_by_id ON row (list, generation, id);
CREATE INDEX row_by_rank ON row (list, generation, rank, id);
INSERT INTO list (id, name, version, digest, count) VALUES (1, 'bare', 0, x'', 0);
";

const PAGE: &str = "SELECT id, rank, stamp, row_check, payload FROM row \
     WHERE list = 1 AND generation = 1 AND (rank, id) > (?1, ?2) ORDER BY rank, id LIMIT ?3";

/// A stamp and a digest: nothing is hashed here.
const SUM: [u8; 16] = [9; 16];

/// A row to write, and whether with its payload.
pub(crate) type Written<'a> = (&'a Item, bool);

/// A row as it is read, in copies of its own.
#[derive(Debug)]
pub(crate) struct ReadBack {
    /// Its id.
    pub(crate) id: String,
    /// Its rank.
    pub(crate) rank: Vec<u8>,
    /// Its payload, if it is there.
    pub(crate) payload: Option<Vec<u8>>,
}

/// An open database.
#[derive(Debug)]
pub(crate) struct BareDevice {
    conn: Connection,
    version: i64,
}

/// Where a bare database in `folder` is.
#[must_use]
pub(crate) fn path_in(folder: &Path) -> PathBuf {
    folder.join("bare-device.db")
}

impl BareDevice {
    /// A new one in `folder`.
    ///
    /// # Errors
    /// What SQLite says; likewise below.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let conn = Connection::open(path_in(folder))?;
        conn.execute_batch(SETTINGS)?;
        conn.execute_batch(TABLES)?;
        Self::of(conn)
    }

    /// One that is there.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let conn = Connection::open(path_in(folder))?;
        conn.execute_batch(SETTINGS)?;
        Self::of(conn)
    }

    fn of(conn: Connection) -> Result<Self> {
        super::keep_plans(&conn)?;
        Ok(Self { conn, version: 0 })
    }

    /// Moves the log into the database.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        Ok(self.conn.query_row(sql, [], |_| Ok(()))?)
    }

    /// Inserts new rows, all in one transaction.
    pub(crate) fn insert_all<'a>(&mut self, rows: impl Iterator<Item = Written<'a>>) -> Result<()> {
        self.conn.execute_batch("BEGIN")?;
        let mut count = 0;
        {
            let sql = "INSERT INTO row (list, generation, id, rank, stamp, row_check, payload) \
                 VALUES (1, 1, ?1, ?2, ?3, 7, ?4)";
            let mut statement = self.conn.prepare_cached(sql)?;
            for (item, whole) in rows {
                statement.execute(params![
                    item.id.as_str(),
                    item.rank.as_bytes(),
                    SUM.as_slice(),
                    whole.then_some(item.payload.as_ref()),
                ])?;
                count += 1;
            }
        }
        self.record(count)?;
        Ok(self.conn.execute_batch("COMMIT")?)
    }

    /// Writes rows that are there already, all in one transaction: the page of
    /// a delta.
    pub(crate) fn update_all<'a>(&mut self, rows: impl Iterator<Item = Written<'a>>) -> Result<()> {
        self.conn.execute_batch("BEGIN")?;
        let count: i64 = {
            let sql = "SELECT version, digest, count FROM list WHERE id = 1";
            let mut statement = self.conn.prepare_cached(sql)?;
            statement.query_row([], |row| row.get(2))?
        };
        for (item, whole) in rows {
            self.update(item, whole)?;
        }
        self.record(count)?;
        Ok(self.conn.execute_batch("COMMIT")?)
    }

    fn update(&self, item: &Item, whole: bool) -> Result<()> {
        let find = "SELECT rowid, rank, stamp, payload IS NOT NULL, row_check FROM row \
             WHERE list = 1 AND generation = 1 AND id = ?1";
        let (row, same): (i64, bool) =
            self.conn
                .prepare_cached(find)?
                .query_row([item.id.as_str()], |row| {
                    let rank = row.get_ref(1)?.as_blob()?;
                    Ok((row.get(0)?, rank == item.rank.as_bytes()))
                })?;
        ensure!(same, "an item's rank has changed");
        let sql = "UPDATE row SET stamp = ?2, row_check = 7, payload = ?3 WHERE rowid = ?1";
        let payload = whole.then_some(item.payload.as_ref());
        self.conn
            .prepare_cached(sql)?
            .execute(params![row, SUM.as_slice(), payload])?;
        Ok(())
    }

    fn record(&mut self, count: i64) -> Result<()> {
        self.version += 1;
        let sql = "UPDATE list SET version = ?1, digest = ?2, count = ?3 WHERE id = 1";
        self.conn
            .prepare_cached(sql)?
            .execute(params![self.version, SUM.as_slice(), count])?;
        Ok(())
    }

    /// The `limit` rows behind a place in the order.
    pub(crate) fn page(&self, rank: &[u8], id: &str, limit: u32) -> Result<Vec<ReadBack>> {
        let mut statement = self.conn.prepare_cached(PAGE)?;
        let mut rows = statement.query(params![rank, id, limit])?;
        let mut page = Vec::with_capacity(limit as usize);
        while let Some(row) = rows.next()? {
            let _stamp = row.get_ref(2)?.as_blob()?;
            let _check: i64 = row.get(3)?;
            page.push(ReadBack {
                id: row.get(0)?,
                rank: row.get(1)?,
                payload: row.get(4)?,
            });
        }
        Ok(page)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::generator::item;

    #[test]
    fn rows_that_were_inserted_and_updated_are_paged_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let items: Vec<_> = (0..100).map(|index| item(1, index, 0)).collect();
        let mut bare = BareDevice::create(folder.path()).unwrap();
        bare.insert_all(items.iter().map(|item| (item, false)))
            .unwrap();
        let changed = item(1, 5, 1);
        bare.update_all([(&changed, true)].into_iter()).unwrap();
        drop(bare);
        let bare = BareDevice::open(folder.path()).unwrap();
        let (mut rank, mut id, mut seen) = (Vec::new(), String::new(), Vec::new());
        loop {
            let page = bare.page(&rank, &id, 7).unwrap();
            let Some(last) = page.last() else {
                break;
            };
            (rank, id) = (last.rank.clone(), last.id.clone());
            seen.extend(page);
        }
        assert_eq!(seen.len(), 100);
        assert!(seen.is_sorted_by_key(|row| (row.rank.clone(), row.id.clone())));
        let with: Vec<_> = seen.iter().filter(|row| row.payload.is_some()).collect();
        assert_eq!(with.len(), 1);
        assert_eq!(with[0].payload.as_deref(), Some(changed.payload.as_ref()));
    }
}
