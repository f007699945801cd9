//! Looking at a database's file without being its client: does it hold what it
//! should? For operators and support; also beside a client that has it open.

use super::Binding;
use super::open::{binding_of, explain, schema_of};
use super::value::{digest, integer, number, stored_row, word};
use crate::error::Error;
use highwater_core::stamp::{row_check, stamp_of};
use highwater_protocol::{Digest, ItemId, ListKey};
use rusqlite::{Connection, OpenFlags, params};
use std::path::Path;

/// What is wrong is named up to so many times.
const NAMED_MAX: usize = 100;

/// What a database's file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrub {
    /// Whose it is; `None`: nobody's yet.
    pub binding: Option<Binding>,
    /// Its schema; 0 for a file that is no database yet.
    pub schema: u32,
    /// What SQLite's own check says is wrong, up to 100 lines.
    pub file: Vec<String>,
    /// Every list, by name.
    pub lists: Vec<ScrubbedList>,
}

/// A list's rows against what they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubbedList {
    /// Which list.
    pub list: ListKey,
    /// How it stands, in the database's word: `in_sync`, `syncing`,
    /// `repairing`, `quarantined` or `gone`; empty if nothing is known of it.
    pub phase: String,
    /// Rows of the copy that an app sees, the header included.
    pub rows: u64,
    /// How many there should be.
    pub rows_said: u64,
    /// Rows whose id, rank or stamp is not what was stored.
    pub damaged: u64,
    /// Rows whose payload is not what was stored.
    pub payloads_damaged: u64,
    /// Rows without their payload: details that are fetched when they are shown.
    pub payloads_missing: u64,
    /// What the sound rows sum to.
    pub digest: Digest,
    /// What they should sum to.
    pub digest_said: Digest,
    /// Damaged rows, up to 100 of them.
    pub ids: Vec<ItemId>,
}

impl ScrubbedList {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damaged == 0
            && self.payloads_damaged == 0
            && self.rows == self.rows_said
            && self.digest == self.digest_said
    }
}

impl Scrub {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.file.is_empty() && self.lists.iter().all(ScrubbedList::is_sound)
    }
}

/// Reads everything in a database's file, all of one commit, and changes
/// nothing.
///
/// # Errors
/// The file cannot be read, is no database, another program's, or newer than
/// this software.
pub fn scrub(path: &Path) -> Result<Scrub, Error> {
    let explain = |error| explain(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(explain)?;
    conn.execute_batch("BEGIN").map_err(explain)?;
    let schema = schema_of(&conn, path).map_err(explain)??;
    if schema == 0 {
        return Ok(Scrub {
            binding: None,
            schema,
            file: Vec::new(),
            lists: Vec::new(),
        });
    }
    let file = check_file(&conn).map_err(explain)?;
    Ok(Scrub {
        binding: binding_of(&conn).map_err(explain)?,
        schema,
        file,
        lists: lists(&conn).map_err(explain)?,
    })
}

fn check_file(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare("PRAGMA integrity_check(100)")?;
    let lines = statement.query_map([], |row| row.get(0))?;
    let mut lines: Vec<String> = lines.collect::<Result<_, _>>()?;
    lines.retain(|line| line != "ok");
    lines.truncate(NAMED_MAX);
    Ok(lines)
}

/// What the first schema has already.
const LISTS: &str = "SELECT id, kind, owner, phase, shown_generation, shown_count, shown_digest \
     FROM list ORDER BY kind, owner";
const ROWS: &str = "SELECT id, rank, stamp, row_check, payload FROM row \
     WHERE list = ?1 AND generation = ?2";

fn lists(conn: &Connection) -> rusqlite::Result<Vec<ScrubbedList>> {
    let mut statement = conn.prepare(LISTS)?;
    let mut rows = statement.query([])?;
    let mut lists = Vec::new();
    while let Some(row) = rows.next()? {
        let kind = word(row.get_ref(1)?).unwrap_or_default();
        let owner = word(row.get_ref(2)?).unwrap_or_default();
        let Ok(list) = ListKey::new(kind, owner) else {
            continue;
        };
        let mut scrubbed = ScrubbedList {
            list,
            phase: word(row.get_ref(3)?).unwrap_or_default().to_owned(),
            rows: 0,
            rows_said: number(integer(row.get_ref(5)?).unwrap_or_default()),
            damaged: 0,
            payloads_damaged: 0,
            payloads_missing: 0,
            digest: Digest::ZERO,
            digest_said: digest(row.get_ref(6)?),
            ids: Vec::new(),
        };
        let generation = integer(row.get_ref(4)?);
        look_at_rows(conn, row.get(0)?, generation, &mut scrubbed)?;
        lists.push(scrubbed);
    }
    Ok(lists)
}

fn look_at_rows(
    conn: &Connection,
    list: i64,
    generation: Option<i64>,
    found: &mut ScrubbedList,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(ROWS)?;
    let mut rows = statement.query(params![list, generation])?;
    while let Some(columns) = rows.next()? {
        found.rows += 1;
        let Some(stored) = stored_row(columns, 0)? else {
            found.damaged += 1;
            continue;
        };
        let row = stored.row;
        let is_row = stored.check == row_check(&row.id, &row.rank, row.stamp);
        let payload = row.payload.as_ref();
        let fits = payload.map(|payload| stamp_of(&row.id, &row.rank, payload) == row.stamp);
        if is_row {
            found.digest = found.digest.plus(row.stamp);
        }
        match (is_row, fits) {
            (true, Some(true)) => continue,
            (true, None) => {
                found.payloads_missing += 1;
                continue;
            }
            (true, Some(false)) => found.payloads_damaged += 1,
            (false, _) => found.damaged += 1,
        }
        if found.ids.len() < NAMED_MAX {
            found.ids.push(row.id);
        }
    }
    Ok(())
}
