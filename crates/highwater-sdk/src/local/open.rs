//! Opening a database: what is it, whose is it, and only then anything that
//! changes it.

use super::read::Reader;
use super::schema::{APPLICATION_ID, SCHEMA, migrate};
use super::writer::SqliteLocal;
use super::{Database, LocalError};
use crate::driver::Claim;
use crate::error::Error;
use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};
use std::path::Path;
use std::sync::atomic::AtomicU64;

/// Whose lists a database holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The user, as the server knows them.
    pub user: String,
    /// The server's address.
    pub server: String,
}

/// A database that was looked at and not yet changed.
pub struct Found {
    conn: Connection,
    claim: Claim,
    schema: u32,
    binding: Option<Binding>,
}

impl Found {
    /// Looks at what is at the claimed place. Nothing there is fine too.
    ///
    /// # Errors
    /// What is there is no database, another program's, or newer than this
    /// software.
    pub fn look(claim: Claim) -> Result<Self, Error> {
        let conn = connect(
            &claim,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        )?;
        let explain = |error| explain(&claim.path, error);
        let schema = schema_of(&conn, &claim.path).map_err(explain)??;
        let binding = match schema {
            0 => None,
            _ => binding_of(&conn).map_err(explain)?,
        };
        Ok(Self {
            conn,
            claim,
            schema,
            binding,
        })
    }

    /// Whose it is; `None`: nobody's yet.
    #[must_use]
    pub const fn binding(&self) -> Option<&Binding> {
        self.binding.as_ref()
    }

    /// Opens the database for `binding`, brings it to the newest schema, and
    /// binds it if it was nobody's.
    ///
    /// # Errors
    /// It is another user's or holds lists of another server; nothing is
    /// changed then. Or what the database reports.
    pub fn open(self, binding: Binding) -> Result<Database, Error> {
        if let Some(bound) = &self.binding {
            check(bound, &binding)?;
        }
        let Self {
            mut conn, claim, ..
        } = self;
        let explain = |error: LocalError| explain_local(&claim.path, error);
        configure(&conn).map_err(|error| explain(error.into()))?;
        migrate(&mut conn, self.schema).map_err(explain)?;
        if self.binding.is_none() {
            bind(&mut conn, &binding).map_err(|error| explain(error.into()))?;
        }
        let reader = connect(&claim, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(Database {
            writer: Mutex::new(Some(SqliteLocal::new(conn))),
            reader: Mutex::new(Some(Reader::new(reader))),
            claim: Mutex::new(Some(claim)),
            binding,
            era: AtomicU64::new(0),
        })
    }
}

/// Begins a database where there is none: the connections that write and read.
pub(super) fn fresh(claim: &Claim, binding: &Binding) -> Result<(Connection, Connection), Error> {
    let access = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut conn = connect(claim, access)?;
    let explain = |error: LocalError| explain_local(&claim.path, error);
    configure(&conn).map_err(|error| explain(error.into()))?;
    migrate(&mut conn, 0).map_err(explain)?;
    bind(&mut conn, binding).map_err(|error| explain(error.into()))?;
    let reader = connect(claim, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    Ok((conn, reader))
}

/// Compares whose a database is with who wants it.
///
/// # Errors
/// [`Error::OtherUser`] and [`Error::OtherServer`].
fn check(bound: &Binding, given: &Binding) -> Result<(), Error> {
    if bound.user != given.user {
        return Err(Error::OtherUser {
            bound: bound.user.clone(),
            given: given.user.clone(),
        });
    }
    if bound.server != given.server {
        return Err(Error::OtherServer {
            bound: bound.server.clone(),
            given: given.server.clone(),
        });
    }
    Ok(())
}

fn connect(claim: &Claim, access: OpenFlags) -> Result<Connection, Error> {
    // A connection is used by one thread at a time: a mutex of ours sees to it.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = match &claim.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(&claim.path, flags, vfs.as_str()),
        None => Connection::open_with_flags(&claim.path, flags),
    };
    let explain = |error| explain(&claim.path, error);
    let conn = opened.map_err(explain)?;
    // Otherwise a statement is planned anew whenever its parameters change,
    // which costs as much as a page does.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(explain)?;
    Ok(conn)
}

/// 0 for a new database.
pub(super) fn schema_of(conn: &Connection, path: &Path) -> rusqlite::Result<Result<u32, Error>> {
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application = pragma("application_id")?;
    let schema = pragma("user_version")?;
    let objects: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if (application, schema, objects) == (0, 0, 0) {
        return Ok(Ok(0));
    }
    let path = path.to_path_buf();
    Ok(match u32::try_from(schema) {
        Ok(schema) if application == APPLICATION_ID && schema > 0 => {
            if schema > SCHEMA {
                Err(Error::NewerSchema {
                    path,
                    found: schema,
                    supported: SCHEMA,
                })
            } else {
                Ok(schema)
            }
        }
        _ => Err(Error::NotOurs { path }),
    })
}

pub(super) fn binding_of(conn: &Connection) -> rusqlite::Result<Option<Binding>> {
    let meta = |name: &str| {
        conn.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
            row.get::<_, String>(0)
        })
        .optional()
    };
    let bound = meta("user")?.zip(meta("server")?);
    Ok(bound.map(|(user, server)| Binding { user, server }))
}

fn bind(conn: &mut Connection, binding: &Binding) -> rusqlite::Result<()> {
    let txn = conn.transaction()?;
    let sql = "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)";
    txn.execute(sql, ["user", &binding.user])?;
    txn.execute(sql, ["server", &binding.server])?;
    txn.commit()
}

fn configure(conn: &Connection) -> rusqlite::Result<()> {
    // The new mode is written when the statement ends, after the row that names
    // it: an error of the disk is only told to whoever reads on.
    let mut mode = String::new();
    let mut set = conn.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = set.query([])?;
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    if mode != "wal" {
        let failed = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        let why = format!("it has a journal of mode {mode}, not a log");
        return Err(rusqlite::Error::SqliteFailure(failed, Some(why)));
    }
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)
}

/// Pages that the log may hold before a commit moves them into the database.
/// The engine does so earlier when it has nothing else to do.
const WAL_PAGES: u32 = 4_000;

pub(super) fn explain(path: &Path, error: rusqlite::Error) -> Error {
    let path = path.to_path_buf();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Error::NotADatabase { path },
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Error::Unopenable {
            path,
            reason: error.to_string().into(),
        },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::InUse { path },
        _ => LocalError::from(error).into(),
    }
}

fn explain_local(path: &Path, error: LocalError) -> Error {
    match error.0 {
        super::Fault::Sqlite(error) => explain(path, error),
        fault @ super::Fault::Closed => LocalError(fault).into(),
    }
}
