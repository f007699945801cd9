//! How far a list has come, as columns of the table `list` and back.
//!
//! Reading never fails on what was damaged: a record that says less than it
//! should makes the device ask again, and the proof decides.

use super::value::{digest, integer, item_id, lineage, number, rank, stored, version, word};
use highwater_core::local::{
    Audit, Copy, Generation, ListRecord, Phase, Quarantine, Rung, ScanProgress,
};
use highwater_protocol::message::GoneReason;
use highwater_protocol::{OrderKey, Point};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{CachedStatement, Row, params_from_iter};

macro_rules! columns {
    () => {
        "phase, rung, reason, retry_lineage, retry_at_ms, fence, whole, quarantines, \
         shown_generation, shown_lineage, shown_version, shown_digest, shown_count, \
         shown_scan, shown_scan_rank, shown_scan_id, shown_scan_total, shown_scan_restarts, \
         build_generation, build_lineage, build_version, build_digest, build_count, \
         build_scan, build_scan_rank, build_scan_id, build_scan_total, build_scan_restarts, \
         audit_generation, audit_after, audit_digest, audit_count, audited_at_ms"
    };
}

/// The record of one list, by its number.
pub(super) const SELECT: &str = concat!("SELECT ", columns!(), " FROM list WHERE id = ?1");

/// Whether the list has a header, and the record from column 1 on, by name.
pub(super) const SELECT_STANDING: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM row WHERE row.list = list.id \
     AND row.generation = list.shown_generation AND row.id = ''), ",
    columns!(),
    " FROM list WHERE kind = ?1 AND owner = ?2"
);

/// Name, `held`, and the record from column 3 on, of every list.
pub(super) const SELECT_ALL: &str = concat!(
    "SELECT kind, owner, held, ",
    columns!(),
    " FROM list ORDER BY kind, owner"
);

/// Writes the record of the list whose `id` is the last parameter.
pub(super) const UPDATE: &str = "UPDATE list SET phase = ?1, rung = ?2, reason = ?3, \
     retry_lineage = ?4, retry_at_ms = ?5, fence = ?6, whole = ?7, quarantines = ?8, \
     shown_generation = ?9, shown_lineage = ?10, shown_version = ?11, shown_digest = ?12, \
     shown_count = ?13, shown_scan = ?14, shown_scan_rank = ?15, shown_scan_id = ?16, \
     shown_scan_total = ?17, shown_scan_restarts = ?18, build_generation = ?19, \
     build_lineage = ?20, build_version = ?21, build_digest = ?22, build_count = ?23, \
     build_scan = ?24, build_scan_rank = ?25, build_scan_id = ?26, build_scan_total = ?27, \
     build_scan_restarts = ?28, audit_generation = ?29, audit_after = ?30, audit_digest = ?31, \
     audit_count = ?32, audited_at_ms = ?33 WHERE id = ?34";

/// Columns of the list itself, before those of its copies.
const OF_LIST: usize = 8;
/// Columns of one copy.
const OF_COPY: usize = 10;
/// Columns of the audit, after those of the copies.
const OF_AUDIT: usize = 5;

/// Runs [`UPDATE`].
pub(super) fn write(
    statement: &mut CachedStatement<'_>,
    list: i64,
    record: &ListRecord,
) -> rusqlite::Result<usize> {
    let mut values = Vec::with_capacity(OF_LIST + 2 * OF_COPY + OF_AUDIT + 1);
    let (phase, rung, reason, quarantine) = phase_columns(record.phase);
    values.extend([
        Value::from(phase.to_owned()),
        text(rung),
        text(reason),
        Value::from(
            quarantine
                .and_then(|at| at.lineage)
                .map(|lineage| stored(lineage.get())),
        ),
        Value::from(quarantine.map(|at| at.retry_at_ms)),
        Value::from(stored(record.fence)),
        Value::from(record.whole),
        Value::from(i64::from(record.quarantines)),
    ]);
    push_copy(&mut values, Some(&record.shown));
    push_copy(&mut values, record.build.as_ref());
    let audit = record.audit.as_ref();
    values.extend([
        Value::from(audit.map(|audit| stored(audit.generation.0))),
        Value::from(audit.map(|audit| audit.after.as_str().to_owned())),
        Value::from(audit.map(|audit| audit.digest.to_bytes().to_vec())),
        Value::from(audit.map(|audit| stored(audit.count))),
        Value::from(record.audited_at_ms),
    ]);
    values.push(Value::from(list));
    statement.execute(params_from_iter(values.into_iter().map(ToSqlOutput::Owned)))
}

fn text(word: Option<&'static str>) -> Value {
    Value::from(word.map(str::to_owned))
}

fn push_copy(values: &mut Vec<Value>, copy: Option<&Copy>) {
    let Some(copy) = copy else {
        values.extend(std::iter::repeat_n(Value::Null, OF_COPY));
        return;
    };
    let scan = copy.scan.as_ref();
    let after = scan.and_then(|scan| scan.after.as_ref());
    values.extend([
        Value::from(stored(copy.generation.0)),
        Value::from(copy.point.map(|point| stored(point.lineage.get()))),
        Value::from(copy.point.map(|point| stored(point.version.get()))),
        Value::from(copy.digest.to_bytes().to_vec()),
        Value::from(stored(copy.count)),
        Value::from(scan.is_some()),
        Value::from(after.map(|after| after.rank.as_bytes().to_vec())),
        Value::from(after.map(|after| after.id.as_str().to_owned())),
        Value::from(scan.map(|scan| stored(scan.total))),
        Value::from(scan.map(|scan| i64::from(scan.restarts))),
    ]);
}

/// Reads the record whose columns begin at `at`; `None`: there is none.
pub(super) fn read(columns: &Row<'_>, at: usize) -> rusqlite::Result<Option<ListRecord>> {
    let phase = match columns.get_ref(at)? {
        ValueRef::Null => return Ok(None),
        phase => word(phase),
    };
    let rung = word(columns.get_ref(at + 1)?);
    let reason = word(columns.get_ref(at + 2)?);
    let phase = match phase.unwrap_or_default() {
        "in_sync" => Phase::InSync,
        "repairing" => Phase::Repairing(rung_named(rung)),
        "quarantined" => Phase::Quarantined(Quarantine {
            lineage: lineage(integer(columns.get_ref(at + 3)?)),
            retry_at_ms: integer(columns.get_ref(at + 4)?).unwrap_or_default(),
        }),
        "gone" => Phase::Gone(reason_named(reason)),
        _ => Phase::Syncing,
    };
    let quarantines = integer(columns.get_ref(at + 7)?).unwrap_or_default();
    let shown = read_copy(columns, at + OF_LIST)?;
    Ok(Some(ListRecord {
        shown: shown.unwrap_or_else(|| Copy::to_scan(Generation(1))),
        build: read_copy(columns, at + OF_LIST + OF_COPY)?,
        phase,
        fence: number(integer(columns.get_ref(at + 5)?).unwrap_or_default()),
        whole: integer(columns.get_ref(at + 6)?) == Some(1),
        quarantines: u32::try_from(quarantines).unwrap_or(u32::MAX),
        audit: read_audit(columns, at + OF_LIST + 2 * OF_COPY)?,
        audited_at_ms: integer(columns.get_ref(at + OF_LIST + 2 * OF_COPY + OF_AUDIT - 1)?),
    }))
}

/// An audit of which a part was damaged begins anew.
fn read_audit(columns: &Row<'_>, at: usize) -> rusqlite::Result<Option<Audit>> {
    let generation = integer(columns.get_ref(at)?);
    let after = item_id(columns.get_ref(at + 1)?);
    let count = integer(columns.get_ref(at + 3)?);
    let digest = digest(columns.get_ref(at + 2)?);
    let parts = generation.zip(after).zip(count);
    Ok(parts.map(|((generation, after), count)| Audit {
        generation: Generation(number(generation)),
        after,
        digest,
        count: number(count),
    }))
}

fn read_copy(columns: &Row<'_>, at: usize) -> rusqlite::Result<Option<Copy>> {
    let Some(generation) = integer(columns.get_ref(at)?) else {
        return Ok(None);
    };
    let lineage = lineage(integer(columns.get_ref(at + 1)?));
    let version = version(integer(columns.get_ref(at + 2)?));
    let scan = match integer(columns.get_ref(at + 5)?) {
        Some(1) => Some(read_scan(columns, at + 6)?),
        _ => None,
    };
    Ok(Some(Copy {
        generation: Generation(number(generation)),
        point: lineage.map(|lineage| Point { lineage, version }),
        digest: digest(columns.get_ref(at + 3)?),
        count: number(integer(columns.get_ref(at + 4)?).unwrap_or_default()),
        scan,
    }))
}

fn read_scan(columns: &Row<'_>, at: usize) -> rusqlite::Result<ScanProgress> {
    let after = rank(columns.get_ref(at)?).zip(item_id(columns.get_ref(at + 1)?));
    let restarts = integer(columns.get_ref(at + 3)?).unwrap_or_default();
    Ok(ScanProgress {
        after: after.map(|(rank, id)| OrderKey::new(rank, id)),
        total: number(integer(columns.get_ref(at + 2)?).unwrap_or_default()),
        restarts: u32::try_from(restarts).unwrap_or(u32::MAX),
    })
}

type PhaseColumns = (
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
    Option<Quarantine>,
);

const fn phase_columns(phase: Phase) -> PhaseColumns {
    match phase {
        Phase::Syncing => ("syncing", None, None, None),
        Phase::InSync => ("in_sync", None, None, None),
        Phase::Repairing(rung) => ("repairing", Some(rung.as_str()), None, None),
        Phase::Quarantined(quarantine) => ("quarantined", None, None, Some(quarantine)),
        Phase::Gone(reason) => ("gone", None, Some(reason_name(reason)), None),
    }
}

/// A rung that this version does not know begins again at the first that reads
/// the list anew.
fn rung_named(name: Option<&str>) -> Rung {
    Rung::ALL
        .iter()
        .copied()
        .find(|rung| Some(rung.as_str()) == name)
        .unwrap_or(Rung::Skeleton)
}

const fn reason_name(reason: GoneReason) -> &'static str {
    match reason {
        GoneReason::Unspecified => "unspecified",
        GoneReason::Deleted => "deleted",
        GoneReason::Forbidden => "forbidden",
    }
}

fn reason_named(name: Option<&str>) -> GoneReason {
    [GoneReason::Deleted, GoneReason::Forbidden]
        .into_iter()
        .find(|reason| Some(reason_name(*reason)) == name)
        .unwrap_or(GoneReason::Unspecified)
}
