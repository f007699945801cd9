//! I2 and I4: what a device says of its copy is true of it.

use super::{Invariant, Verdict, demand};
use crate::device::{Device, Taint};
use crate::model::{Model, Sum, stamp};
use highwater_core::local::{Copy, ListRecord, Phase, StoredRow};
use highwater_core::stamp::row_check;
use highwater_protocol::{Digest, ListKey};

/// How closely a copy is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looks {
    /// Its rows are read too.
    pub(crate) deep: bool,
    /// The device could once read the header alone, and so may have that for all.
    pub(crate) narrowed: bool,
}

/// Judges a copy between two transactions of its device.
pub(crate) fn judge(
    model: &Model,
    device: &Device,
    list: &ListKey,
    record: &ListRecord,
    looks: Looks,
) -> Verdict {
    let taint = device.taint(list);
    let name = &device.name;
    let moved = taint.point.is_none() || taint.point != record.shown.point;
    if record.phase == Phase::InSync && moved && !taint.rows {
        calm(model, name, list, &record.shown, looks.narrowed)?;
    }
    if !looks.deep || device.file_damaged {
        return Ok(());
    }
    if taint == Taint::default() {
        rows_agree(device, list, &record.shown, "the copy that is shown")?;
    }
    if let Some(build) = &record.build {
        rows_agree(device, list, build, "the copy that is built")?;
    }
    Ok(())
}

/// "A device that says `in sync` at a version has that version's digest."
fn calm(model: &Model, device: &str, list: &ListKey, copy: &Copy, narrowed: bool) -> Verdict {
    let Some(point) = copy.point else {
        return demand(false, Invariant::I2, || {
            format!("{device} is in sync with {list} at no version")
        });
    };
    let right = model.at(list, point.lineage, point.version.get());
    let sum = Sum {
        digest: copy.digest,
        count: copy.count,
    };
    demand(
        right.is_some_and(|right| right.all == sum || (narrowed && right.header == sum)),
        Invariant::I2,
        || {
            format!(
                "{device} is in sync with {list} at {point:?} with digest {} of {} rows, where \
                 that version had {right:?}",
                copy.digest, copy.count
            )
        },
    )
}

/// Digest and count are those of the rows, and each row is what its stamp and
/// check say.
fn rows_agree(device: &Device, list: &ListKey, copy: &Copy, which: &str) -> Verdict {
    let rows = match device.db().stored_rows(list, copy.generation) {
        Ok(rows) => rows,
        Err(error) => {
            return demand(false, Invariant::I4, || {
                format!("{}: {list} cannot be read: {error}", device.name)
            });
        }
    };
    let sum = rows.iter().fold(0u128, |sum, stored| {
        sum.wrapping_add(u128::from_le_bytes(stored.row.stamp.0))
    });
    let summed = (Digest::from_bytes(sum.to_le_bytes()), rows.len() as u64);
    demand(summed == (copy.digest, copy.count), Invariant::I4, || {
        format!(
            "{}: {list}: {which} says digest {} of {} rows, and has {summed:?}",
            device.name, copy.digest, copy.count
        )
    })?;
    let sound = |stored: &&StoredRow| {
        let row = &stored.row;
        let payload = row.payload.as_ref();
        stored.check == row_check(&row.id, &row.rank, row.stamp)
            && payload.is_none_or(|payload| stamp(&row.id, &row.rank, payload) == row.stamp)
    };
    match rows.iter().find(|stored| !sound(stored)) {
        None => Ok(()),
        Some(stored) => demand(false, Invariant::I4, || {
            format!(
                "{}: {list}: {which} has a row whose content is not its stamp's: {:?}",
                device.name, stored.row
            )
        }),
    }
}
