//! A mended copy takes the place of the one that was shown, in statements whose
//! memory does not grow with the list.

use super::LocalError;
use super::value::{item_id, rank, stored};
use highwater_core::local::{CHANGES_MAX, Changes, Generation, RowChange};
use highwater_protocol::Rank;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

/// Makes the rows of `to` the list's only ones. A row without payload takes that
/// of the row with the same id and stamp in `from`. Returns in what the two
/// differ.
pub(super) fn generation(
    conn: &Connection,
    list: i64,
    from: Generation,
    to: Generation,
) -> Result<Changes, LocalError> {
    conn.prepare_cached(TAKE_PAYLOADS)?
        .execute(params![list, stored(from.0), stored(to.0)])?;
    let changes = differences(conn, list, from, to)?;
    conn.prepare_cached("DELETE FROM row WHERE list = ?1 AND generation <> ?2")?
        .execute(params![list, stored(to.0)])?;
    Ok(changes)
}

const TAKE_PAYLOADS: &str = "UPDATE row SET payload = old.payload FROM row AS old \
     WHERE row.list = ?1 AND row.generation = ?3 AND row.payload IS NULL \
     AND old.list = ?1 AND old.generation = ?2 AND old.id = row.id \
     AND old.stamp = row.stamp AND old.payload IS NOT NULL";

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

/// In what two generations of a list differ.
fn differences(
    conn: &Connection,
    list: i64,
    from: Generation,
    to: Generation,
) -> Result<Changes, LocalError> {
    let mut changes = Vec::new();
    for sql in [CHANGED, VANISHED] {
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query(params![list, stored(from.0), stored(to.0), REPORTED])?;
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

/// The rank of a row that is there, damaged or not.
fn there(value: ValueRef<'_>) -> Option<Rank> {
    match value {
        ValueRef::Null => None,
        value => Some(rank(value).unwrap_or_default()),
    }
}
