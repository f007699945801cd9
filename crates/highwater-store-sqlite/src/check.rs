//! Reading everything, and comparing what should agree.

use crate::cache::HeadCache;
use crate::entry::{Entry, item_of_row, unsigned};
use crate::fault::{Fault, Result};
use crate::store::list_of_row;
use highwater_core::reads::ListState;
use highwater_core::stamp::stamp_of;
use highwater_protocol::{Digest, ListKey, Version};
use highwater_store::Tick;
use rusqlite::{Connection, Row, params};
use std::fmt;

/// Findings that a report holds at most.
const FINDINGS_MAX: usize = 1_000;
/// Elements between two words of progress.
const PROGRESS_ELEMENTS: u64 = 10_000;

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckProgress {
    /// Elements and tombstones that were looked at.
    pub rows: u64,
    /// How many there are.
    pub rows_total: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In which list; `None`: in the database as a whole.
    pub list: Option<ListKey>,
    /// What, in words for an operator.
    pub what: String,
}

/// What a check saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Lists that live.
    pub lists: u64,
    /// Lives of lists that ended.
    pub ended: u64,
    /// Elements, with those that ended lists left behind.
    pub elements: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Jobs in the queue.
    pub jobs: u64,
    /// What is wrong, at most 1,000 of it.
    pub findings: Vec<Finding>,
    /// How much more is wrong.
    pub findings_left_out: u64,
}

impl CheckReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn note(&mut self, list: Option<&ListKey>, what: impl Into<String>) {
        if self.findings.len() == FINDINGS_MAX {
            self.findings_left_out += 1;
            return;
        }
        self.findings.push(Finding {
            list: list.cloned(),
            what: what.into(),
        });
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.list {
            Some(list) => write!(out, "{list}: {}", self.what),
            None => out.write_str(&self.what),
        }
    }
}

/// Checks the commit that `connection` sees, and that the heads in memory are
/// its heads.
pub(crate) fn check(
    connection: &Connection,
    memory: Option<(&HeadCache, Tick)>,
    mut progress: impl FnMut(CheckProgress),
) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    check_pages(connection, &mut report)?;
    let count = |table: &str| -> Result<u64> {
        let sql = format!("SELECT count(*) FROM {table}");
        Ok(connection.query_row(&sql, [], |row| unsigned(row, 0))?)
    };
    report.jobs = count("jobs")?;
    let Some(incarnation) = crate::schema::incarnation(connection)? else {
        report.note(None, "the store has no incarnation");
        return Ok(report);
    };
    let mut told = Told {
        rows: 0,
        rows_total: count("elements")?,
        progress: &mut progress,
    };
    let mut statement = connection.prepare(
        "SELECT kind, owner, n, epoch, ended, version, floor, count, digest, tombstones,
             epoch < (SELECT max(epoch) FROM lists AS other
                 WHERE other.kind = lists.kind AND other.owner = lists.owner)
         FROM lists ORDER BY n",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (list, entry) = match list_of_row(row)
            .and_then(|list| Ok((Entry::of_row(row, 2, &incarnation, &list)?, list)))
        {
            Ok((entry, list)) => (list, entry),
            Err(Fault(error)) => {
                let n: i64 = row.get(2)?;
                report.note(None, format!("the list of row {n} cannot be read: {error}"));
                continue;
            }
        };
        let is_earlier: bool = row.get(10)?;
        if entry.ended {
            report.ended += 1;
        } else {
            report.lists += 1;
        }
        if is_earlier && !entry.ended {
            report.note(Some(&list), "an earlier life has not ended");
        }
        check_list(connection, &list, &entry, &mut report, &mut told)?;
        if let Some((cache, tick)) = memory
            && !is_earlier
        {
            check_memory(cache, tick, &list, &entry, &mut report);
        }
    }
    check_orphans(connection, &mut report)?;
    told.tell();
    Ok(report)
}

/// SQLite's own check: pages, indexes, types and uniqueness.
fn check_pages(connection: &Connection, report: &mut CheckReport) -> Result<()> {
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let mut rows = statement.query([])?;
    loop {
        match rows.next() {
            Ok(Some(row)) => {
                let line: String = row.get(0)?;
                if line != "ok" {
                    report.note(None, format!("SQLite: {line}"));
                }
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                report.note(None, format!("SQLite: {error}"));
                return Ok(());
            }
        }
    }
}

/// What is counted while elements are read.
struct Told<'a> {
    rows: u64,
    rows_total: u64,
    progress: &'a mut dyn FnMut(CheckProgress),
}

impl Told<'_> {
    fn count(&mut self) {
        self.rows += 1;
        if self.rows.is_multiple_of(PROGRESS_ELEMENTS) {
            self.tell();
        }
    }

    fn tell(&mut self) {
        (self.progress)(CheckProgress {
            rows: self.rows,
            rows_total: self.rows_total,
        });
    }
}

/// Holds one life's elements against its head.
fn check_list(
    connection: &Connection,
    list: &ListKey,
    entry: &Entry,
    report: &mut CheckReport,
    told: &mut Told<'_>,
) -> Result<()> {
    let head = entry.head;
    let mut statement = connection.prepare_cached(
        "SELECT id, rank, version, created, stamp, payload, deleted_at FROM elements
         WHERE list = ?1 ORDER BY version",
    )?;
    let mut rows = statement.query(params![entry.n])?;
    let (mut count, mut tombstones, mut digest) = (0, 0, Digest::ZERO);
    while let Some(row) = rows.next()? {
        told.count();
        let versions = check_versions(row, head.version).err();
        let content = match row.get::<_, Option<i64>>(6)? {
            Some(_) => {
                tombstones += 1;
                check_tombstone(row)
            }
            None => {
                count += 1;
                check_element(row, &mut digest)
            }
        };
        for what in versions.into_iter().chain(content.err()) {
            let id: String = row.get(0).unwrap_or_default();
            report.note(Some(list), format!("element {id:?}: {what}"));
        }
    }
    report.elements += count;
    report.tombstones += tombstones;
    if head.floor > head.version {
        let (floor, version) = (head.floor, head.version);
        report.note(
            Some(list),
            format!("the floor {floor} is above the version {version}"),
        );
    }
    for (name, said, found) in [
        ("elements", head.count, count),
        ("tombstones", entry.tombstones, tombstones),
    ] {
        if said != found {
            report.note(
                Some(list),
                format!("the head counts {said} {name}, there are {found}"),
            );
        }
    }
    // What an ended list left behind is discarded piece by piece.
    if !entry.ended && head.digest != digest {
        let said = head.digest;
        report.note(
            Some(list),
            format!("the head has the digest {said}, its elements have {digest}"),
        );
    }
    Ok(())
}

fn check_versions(row: &Row<'_>, head: Version) -> std::result::Result<(), String> {
    let number = |at| unsigned(row, at).map_err(|error| error.to_string());
    let (version, created) = (number(2)?, number(3)?);
    if version == 0 || version > head.get() {
        return Err(format!("its version {version} is not within 1 to {head}"));
    }
    if created == 0 || created > version {
        return Err(format!(
            "it was created at {created}, which is not within 1 to {version}"
        ));
    }
    Ok(())
}

fn check_tombstone(row: &Row<'_>) -> std::result::Result<(), String> {
    for (at, part) in [(1, "rank"), (4, "stamp"), (5, "payload")] {
        let value = row.get_ref(at).map_err(|error| error.to_string())?;
        if value != rusqlite::types::ValueRef::Null {
            return Err(format!("it is deleted and has a {part}"));
        }
    }
    Ok(())
}

fn check_element(row: &Row<'_>, digest: &mut Digest) -> std::result::Result<(), String> {
    let item = item_of_row(row, true).map_err(|fault| fault.0.to_string())?;
    *digest = digest.plus(item.stamp);
    let stamp = stamp_of(&item.id, &item.rank, &item.payload);
    if stamp == item.stamp {
        Ok(())
    } else {
        Err(format!(
            "its stamp is {}, its content has {stamp}",
            item.stamp
        ))
    }
}

/// What no list owns.
fn check_orphans(connection: &Connection, report: &mut CheckReport) -> Result<()> {
    let mut statement = connection.prepare(
        "SELECT list, count(*) FROM elements
         WHERE list NOT IN (SELECT n FROM lists) GROUP BY list",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (list, count): (i64, i64) = (row.get(0)?, row.get(1)?);
        report.note(
            None,
            format!("{count} elements belong to row {list}, which is no list"),
        );
    }
    Ok(())
}

/// Holds a list against memory, unless another commit came in between.
fn check_memory(
    cache: &HeadCache,
    tick: Tick,
    list: &ListKey,
    entry: &Entry,
    report: &mut CheckReport,
) {
    for (_, held) in cache.some_of(std::slice::from_ref(list), tick) {
        if held != *entry {
            let (held, stored): (ListState, ListState) = (held.state(), entry.state());
            report.note(
                Some(list),
                format!("memory has {held:?}, the database has {stored:?}"),
            );
        }
    }
}
