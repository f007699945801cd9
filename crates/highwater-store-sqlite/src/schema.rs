//! The schema, as the steps that lead to it.

use crate::fault::{Fault, Result};
use rusqlite::{Connection, OptionalExtension, params};

/// `HWMK`: what tells a Highwater database from another one.
pub(crate) const APPLICATION_ID: i32 = 0x4857_4d4b;

/// Each step leads from the version of its index to the next. A step that was
/// released is never changed.
pub(crate) const STEPS: &[&str] = &[FIRST];

const FIRST: &str = "
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- 16 random bytes, other ones after each restore
    incarnation BLOB NOT NULL CHECK (length(incarnation) = 16),
    -- rises with each commit
    tick INTEGER NOT NULL
) STRICT;

-- one row a life of a list: its newest, and earlier ones that left something
CREATE TABLE lists (
    n INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    -- how often the list was created before
    epoch INTEGER NOT NULL,
    -- the lineage that ended, as a signed number; NULL: the list lives
    ended INTEGER,
    version INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    count INTEGER NOT NULL,
    -- 16 bytes, little-endian
    digest BLOB NOT NULL,
    tombstones INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX lists_by_name ON lists (kind, owner, epoch);
CREATE INDEX ended_lists_with_tombstones ON lists (n)
    WHERE ended IS NOT NULL AND tombstones > 0;

-- elements and tombstones: one row an id, however often it changed
CREATE TABLE elements (
    n INTEGER PRIMARY KEY,
    list INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created INTEGER NOT NULL,
    -- milliseconds since 1970; NULL: the element is there
    deleted_at INTEGER,
    id TEXT NOT NULL,
    -- NULL in a tombstone, as are stamp and payload
    rank BLOB,
    stamp BLOB,
    payload BLOB
) STRICT;
CREATE UNIQUE INDEX elements_by_id ON elements (list, id);
CREATE UNIQUE INDEX elements_by_version ON elements (list, version);
-- a change that keeps its rank does not touch it
CREATE INDEX elements_by_rank ON elements (list, rank, id)
    WHERE deleted_at IS NULL;
CREATE INDEX tombstones_by_version ON elements (list, version)
    WHERE deleted_at IS NOT NULL;
CREATE INDEX tombstones_by_age ON elements (deleted_at)
    WHERE deleted_at IS NOT NULL;

CREATE TABLE jobs (
    -- never used again
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    queued_at INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;
";

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    /// Nothing is in it.
    Empty,
    /// A Highwater database of a version that this program knows.
    Known(usize),
    /// One that a later program wrote.
    Newer(usize),
    /// The database of another program.
    Foreign,
}

/// Looks at a database; `known` is the newest version that the program knows.
pub(crate) fn inspect(connection: &Connection, known: usize) -> Result<Schema> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let Ok(version) = usize::try_from(version) else {
        return Ok(Schema::Foreign);
    };
    Ok(match (application, version) {
        (0, 0) if tables == 0 => Schema::Empty,
        (APPLICATION_ID, version) if version > known => Schema::Newer(version),
        (APPLICATION_ID, version) if version > 0 => Schema::Known(version),
        _ => Schema::Foreign,
    })
}

/// Takes the steps that are missing after `from`, in one transaction.
pub(crate) fn migrate(connection: &mut Connection, from: usize, steps: &[&str]) -> Result<()> {
    let transaction = connection.transaction()?;
    for step in steps.iter().skip(from) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    let version = i32::try_from(steps.len()).unwrap_or_else(|_| unreachable!("steps are few"));
    transaction.pragma_update(None, "user_version", version)?;
    Ok(transaction.commit()?)
}

/// The store's incarnation; `None` in a new database.
pub(crate) fn incarnation(connection: &Connection) -> Result<Option<[u8; 16]>> {
    Ok(connection
        .query_row("SELECT incarnation FROM meta", [], |row| row.get(0))
        .optional()?)
}

/// Gives a database a new incarnation, and with it other lineages to all lists
/// that live.
pub(crate) fn reincarnate(connection: &Connection) -> Result<()> {
    let mut incarnation = [0; 16];
    getrandom::fill(&mut incarnation).map_err(|error| {
        Fault(highwater_store::StoreError::Database(format!(
            "no random numbers are to be had: {error}"
        )))
    })?;
    set_incarnation(connection, incarnation)
}

/// Gives a database this incarnation.
pub(crate) fn set_incarnation(connection: &Connection, incarnation: [u8; 16]) -> Result<()> {
    connection.execute(
        "INSERT INTO meta (one, incarnation, tick) VALUES (1, ?1, 0)
         ON CONFLICT DO UPDATE SET incarnation = excluded.incarnation, tick = tick + 1",
        params![incarnation],
    )?;
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn steps_are_taken_once_and_in_order() {
        let steps = [
            "CREATE TABLE a (x); INSERT INTO a VALUES (1)",
            "ALTER TABLE a ADD COLUMN y; UPDATE a SET y = x + 1",
            "INSERT INTO a VALUES (5, 6)",
        ];
        let mut database = Connection::open_in_memory().unwrap();
        assert_eq!(inspect(&database, 1).unwrap(), Schema::Empty);
        migrate(&mut database, 0, &steps[..1]).unwrap();
        assert_eq!(inspect(&database, 1).unwrap(), Schema::Known(1));
        migrate(&mut database, 1, &steps).unwrap();
        assert_eq!(inspect(&database, 3).unwrap(), Schema::Known(3));
        migrate(&mut database, 3, &steps).unwrap();
        let sum: i64 = database
            .query_row("SELECT sum(x * 10 + y) FROM a", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sum, 12 + 56);
        assert_eq!(inspect(&database, 2).unwrap(), Schema::Newer(3));
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before_it() {
        let steps = [
            "CREATE TABLE a (x)",
            "INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)",
        ];
        let mut database = Connection::open_in_memory().unwrap();
        migrate(&mut database, 0, &steps[..1]).unwrap();
        migrate(&mut database, 1, &steps).unwrap_err();
        assert_eq!(inspect(&database, 2).unwrap(), Schema::Known(1));
        let rows: i64 = database
            .query_row("SELECT count(*) FROM a", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 0);
    }

    #[test]
    fn another_programs_database_is_known_as_such() {
        let database = Connection::open_in_memory().unwrap();
        database.execute_batch("CREATE TABLE a (x)").unwrap();
        assert_eq!(inspect(&database, 1).unwrap(), Schema::Foreign);
        database
            .execute_batch("DROP TABLE a; PRAGMA user_version = 1")
            .unwrap();
        assert_eq!(inspect(&database, 1).unwrap(), Schema::Foreign);
    }

    #[test]
    fn an_incarnation_is_new_each_time() {
        let mut database = Connection::open_in_memory().unwrap();
        migrate(&mut database, 0, STEPS).unwrap();
        assert_eq!(incarnation(&database).unwrap(), None);
        reincarnate(&database).unwrap();
        let first = incarnation(&database).unwrap();
        reincarnate(&database).unwrap();
        assert!(first.is_some() && incarnation(&database).unwrap() != first);
    }
}
