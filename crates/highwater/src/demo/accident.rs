//! What befalls the unlucky device: its database is changed behind its back,
//! with plain SQL or with a text editor.

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, params};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

/// Rows that an accident befalls.
const ROWS: u32 = 5;

/// One accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accident {
    /// The content of some rows is overwritten.
    RowsAltered,
    /// Some rows are deleted.
    RowsLost,
    /// The first and the last item have each other's place in the order.
    OrderSwapped,
    /// All details of a list are gone.
    DetailsLost,
    /// The list's stored position and digest are nonsense.
    CursorWrong,
    /// The file is no database any more.
    FileOverwritten,
}

impl Accident {
    /// All, in the order in which they happen.
    pub(crate) const ALL: [Self; 6] = [
        Self::RowsAltered,
        Self::RowsLost,
        Self::OrderSwapped,
        Self::DetailsLost,
        Self::CursorWrong,
        Self::FileOverwritten,
    ];

    /// What the report calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RowsAltered => "5 rows altered",
            Self::RowsLost => "5 rows lost",
            Self::OrderSwapped => "order swapped",
            Self::DetailsLost => "details lost",
            Self::CursorWrong => "digest and version wrong",
            Self::FileOverwritten => "file overwritten",
        }
    }

    /// Whether the device has to be off when it happens.
    pub(crate) const fn needs_the_file(self) -> bool {
        matches!(self, Self::FileOverwritten)
    }

    /// Happens to the longest list in a device's database.
    pub(crate) fn happen(self, database: &Path) -> Result<()> {
        if self == Self::FileOverwritten {
            let mut file = OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(database)?;
            return Ok(file.write_all(b"Dear diary, today I fixed my phone.\n")?);
        }
        let db = Connection::open(database)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        let list: i64 = db
            .query_row(
                "SELECT list FROM row GROUP BY list ORDER BY count(*) DESC, list LIMIT 1",
                [],
                |row| row.get(0),
            )
            .context("the unlucky device holds nothing yet")?;
        let some = "SELECT rowid FROM row WHERE list = ?1 AND id <> '' ORDER BY id";
        let changed = match self {
            Self::RowsAltered => db.execute(
                &format!("UPDATE row SET payload = x'ff00ff' WHERE rowid IN ({some} LIMIT ?2)"),
                params![list, ROWS],
            )?,
            Self::RowsLost => db.execute(
                &format!("DELETE FROM row WHERE rowid IN ({some} LIMIT ?2)"),
                params![list, ROWS],
            )?,
            Self::OrderSwapped => {
                let end = |order: &str| {
                    let sql = format!(
                        "SELECT rowid, rank FROM row WHERE list = ?1 AND id <> '' ORDER BY rank {order} LIMIT 1"
                    );
                    db.query_row(&sql, [list], |row| {
                        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
                    })
                };
                let (first, last) = (end("ASC")?, end("DESC")?);
                let place = "UPDATE row SET rank = ?2 WHERE rowid = ?1";
                db.execute(place, params![first.0, last.1])?
                    + db.execute(place, params![last.0, first.1])?
            }
            Self::DetailsLost => {
                db.execute("UPDATE row SET payload = NULL WHERE list = ?1", [list])?
            }
            Self::CursorWrong => db.execute(
                "UPDATE list SET shown_digest = zeroblob(16), shown_version = shown_version + 1000
                  WHERE id = ?1",
                [list],
            )?,
            Self::FileOverwritten => 1,
        };
        ensure!(changed > 0, "the accident hit nothing: {}", self.name());
        Ok(())
    }
}
