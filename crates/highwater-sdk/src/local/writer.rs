//! The connection that writes, and when what it wrote is committed.

use super::LocalError;
use super::txn::SqliteTxn;
use super::value::integer;
use highwater_core::local::LocalStore;
use highwater_protocol::ListKey;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;

/// The connection that writes.
pub struct SqliteLocal {
    pub(super) conn: Connection,
    /// Lists are numbered once and never deleted.
    pub(super) numbers: HashMap<ListKey, i64>,
    /// Transactions share the next commit.
    shares_commits: bool,
}

impl SqliteLocal {
    pub(super) fn new(conn: Connection) -> Self {
        conn.set_prepared_statement_cache_capacity(64);
        Self {
            conn,
            numbers: HashMap::new(),
            shares_commits: false,
        }
    }

    /// From now on transactions share one commit, that of
    /// [`commit_shared`](Self::commit_shared): each is still all or nothing, and
    /// none of them is visible to readers or survives a crash before it.
    ///
    /// A page of a long list touches as many pages of the database as it has
    /// rows. Committed together, pages of the list share them.
    pub const fn share_commits(&mut self) {
        self.shares_commits = true;
    }

    /// Commits what shared a commit; later transactions have their own.
    ///
    /// # Errors
    /// What the database reports; then none of those transactions happened.
    pub fn commit_shared(&mut self) -> Result<(), LocalError> {
        self.shares_commits = false;
        if self.conn.is_autocommit() {
            return Ok(());
        }
        let committed = self.conn.prepare_cached("COMMIT")?.execute([]);
        if let Err(error) = committed {
            self.numbers.clear();
            self.roll_back();
            return Err(error.into());
        }
        Ok(())
    }

    /// SQLite has rolled back by itself after some errors, a full disk among
    /// them; then there is nothing left to undo.
    pub(super) fn roll_back(&self) {
        if !self.conn.is_autocommit()
            && let Ok(mut statement) = self.conn.prepare_cached("ROLLBACK")
        {
            let _ = statement.execute([]);
        }
    }

    /// Rows that statements of this connection have written since it was
    /// opened, records of lists included.
    #[must_use]
    pub fn rows_written(&self) -> u64 {
        self.conn.total_changes()
    }

    /// Whether a list is to be kept up to date after the next opening too.
    pub(crate) fn set_held(&mut self, list: &ListKey, held: bool) -> Result<(), LocalError> {
        let sql = "UPDATE list SET held = ?3 WHERE kind = ?1 AND owner = ?2 AND held <> ?3";
        let mut statement = self.conn.prepare_cached(sql)?;
        statement.execute(params![list.kind.as_str(), list.owner.as_str(), held])?;
        Ok(())
    }

    /// When a list was last audited. If that was never, or is yet to come as the
    /// clock says, it is stored to have been now: its turn comes from now on.
    pub(crate) fn audited_by(&mut self, list: &ListKey, now_ms: i64) -> Result<i64, LocalError> {
        let Some(number) = self.number(list)? else {
            return Ok(now_ms);
        };
        let sql = "SELECT audited_at_ms FROM list WHERE id = ?1";
        let mut statement = self.conn.prepare_cached(sql)?;
        let stored = statement.query_row([number], |row| Ok(integer(row.get_ref(0)?)))?;
        if let Some(last_ms) = stored.filter(|last_ms| *last_ms <= now_ms) {
            return Ok(last_ms);
        }
        let sql = "UPDATE list SET audited_at_ms = ?2 WHERE id = ?1";
        let mut statement = self.conn.prepare_cached(sql)?;
        statement.execute(params![number, now_ms])?;
        Ok(now_ms)
    }

    /// Moves what the log holds into the database, without waiting for readers.
    pub(crate) fn checkpoint(&mut self) -> Result<(), LocalError> {
        self.conn
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        Ok(())
    }

    pub(super) fn number(&mut self, list: &ListKey) -> Result<Option<i64>, LocalError> {
        if let Some(number) = self.numbers.get(list) {
            return Ok(Some(*number));
        }
        let sql = "SELECT id FROM list WHERE kind = ?1 AND owner = ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        let number: Option<i64> = statement
            .query_row([list.kind.as_str(), list.owner.as_str()], |row| row.get(0))
            .optional()?;
        if let Some(number) = number {
            self.numbers.insert(list.clone(), number);
        }
        Ok(number)
    }
}

impl LocalStore for SqliteLocal {
    type Error = LocalError;
    type Txn<'a> = SqliteTxn<'a>;

    fn begin(&mut self) -> Result<SqliteTxn<'_>, LocalError> {
        // Deferred: this is the only connection that writes, so the lock is
        // there to be had at the first write, and reading alone takes none.
        if self.conn.is_autocommit() {
            self.conn.prepare_cached("BEGIN")?.execute([])?;
        }
        if self.shares_commits {
            self.conn.prepare_cached("SAVEPOINT one")?.execute([])?;
        }
        let is_nested = self.shares_commits;
        Ok(SqliteTxn::begun(self, is_nested))
    }
}
