//! The tables, and how an older database becomes a newer one.

use super::LocalError;
use rusqlite::{Connection, TransactionBehavior};

/// The newest schema that this version knows.
pub const SCHEMA: u32 = MIGRATIONS.len() as u32;

/// Marks a database as a Highwater device's: "HWDV".
pub(super) const APPLICATION_ID: i32 = 0x4857_4456;

/// What takes a database from schema n to n + 1.
const MIGRATIONS: [&str; 2] = [V1, V2];

/// 64-bit numbers of the protocol are stored as the signed number with the same
/// bits. `row_check` is the core's check over id, rank and stamp.
///
/// Rowid tables page twice as fast as clustered ones here: rows are found
/// through either index and read where they lie.
const V1: &str = "
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE list (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    held INTEGER NOT NULL DEFAULT 1,
    -- NULL: nothing is known of the list yet.
    phase TEXT,
    rung TEXT,
    reason TEXT,
    retry_lineage INTEGER,
    retry_at_ms INTEGER,
    fence INTEGER,
    whole INTEGER,
    quarantines INTEGER,
    shown_generation INTEGER,
    shown_lineage INTEGER,
    shown_version INTEGER,
    shown_digest BLOB,
    shown_count INTEGER,
    shown_scan INTEGER,
    shown_scan_rank BLOB,
    shown_scan_id TEXT,
    shown_scan_total INTEGER,
    shown_scan_restarts INTEGER,
    build_generation INTEGER,
    build_lineage INTEGER,
    build_version INTEGER,
    build_digest BLOB,
    build_count INTEGER,
    build_scan INTEGER,
    build_scan_rank BLOB,
    build_scan_id TEXT,
    build_scan_total INTEGER,
    build_scan_restarts INTEGER,
    UNIQUE (kind, owner)
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
";

/// Audits: how far each has come, and when the last one ended.
const V2: &str = "
ALTER TABLE list ADD COLUMN audit_generation INTEGER;
ALTER TABLE list ADD COLUMN audit_after TEXT;
ALTER TABLE list ADD COLUMN audit_digest BLOB;
ALTER TABLE list ADD COLUMN audit_count INTEGER;
ALTER TABLE list ADD COLUMN audited_at_ms INTEGER;
";

/// Brings a database from schema `from` to the newest, each step in one
/// transaction.
pub(super) fn migrate(conn: &mut Connection, from: u32) -> Result<(), LocalError> {
    for (schema, step) in (1_u32..).zip(MIGRATIONS).skip(from as usize) {
        let txn = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        txn.execute_batch(step)?;
        txn.pragma_update(None, "application_id", APPLICATION_ID)?;
        txn.pragma_update(None, "user_version", schema)?;
        txn.commit()?;
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::local::conformance::database;
    use highwater_core::local::{LocalStore as _, LocalTxn as _, Phase};

    /// Each schema that was ever released is opened with all that it holds.
    #[test]
    fn a_database_of_the_first_schema_is_brought_to_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(V1).unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID)
            .unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.execute_batch(
            "INSERT INTO meta VALUES ('user', 'u1'), ('server', 'http://localhost');
             INSERT INTO list (kind, owner, phase, fence, whole, quarantines, shown_generation,
                 shown_lineage, shown_version, shown_digest, shown_count)
                 VALUES ('a', '1', 'in_sync', 5, 1, 0, 1, 7, 9, zeroblob(16), 0)",
        )
        .unwrap();
        drop(old);
        let db = database(&path);
        let list = "a/1".parse().unwrap();
        let record = db
            .write(|local| local.begin()?.record(&list))
            .unwrap()
            .unwrap();
        assert_eq!((record.phase, record.fence), (Phase::InSync, 5));
        assert_eq!((record.audit, record.audited_at_ms), (None, None));
        assert_eq!(db.lists().unwrap().len(), 1);
        // The first audit is a day away from the first look, not from 1970.
        let by = |now_ms| db.write(|local| local.audited_by(&list, now_ms)).unwrap();
        assert_eq!((by(5_000), by(6_000)), (5_000, 5_000));
        // A time in the future is a clock that was wrong.
        assert_eq!((by(4_000), by(9_000)), (4_000, 4_000));
    }
}
