//! What the machine allows: each as little as can do the same work, measured
//! in the same run as what is held against it.

pub(crate) mod bare_device;
pub(crate) mod bare_http;
pub(crate) mod bare_store;
pub(crate) mod fsync;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

/// Sets a connection so that prepared statements stay prepared.
///
/// SQLite as it is bundled here plans by the values that are bound (STAT4), and
/// so prepares a statement anew whenever a bound of a range differs from the
/// last: 20 to 80 µs each time. There are no statistics in these databases that
/// it could plan by.
fn keep_plans(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(())
}
