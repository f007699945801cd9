//! Answers that no server would give, and what can be changed in those that
//! one gave.

use crate::world::{id, rank};
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use highwater_core::stamp::stamp_of;
use highwater_protocol::wire;
use wire::list_answer::Answer;

/// A number: mostly one that is likely to matter.
pub(crate) fn number(u: &mut Unstructured<'_>) -> Result<u64> {
    match u.int_in_range(0..=9)? {
        0..=6 => u.int_in_range(0..=40),
        7 => Ok(u64::MAX - u.int_in_range(0..=2)?),
        _ => u.arbitrary(),
    }
}

fn sixteen(u: &mut Unstructured<'_>) -> Result<Bytes> {
    Ok(match u.int_in_range(0..=3u8)? {
        0 => Bytes::new(),
        _ => Bytes::copy_from_slice(&u.arbitrary::<[u8; 16]>()?),
    })
}

fn row(u: &mut Unstructured<'_>) -> Result<wire::Row> {
    let id = id(u)?;
    let rank = rank(u, &id)?;
    let payload = Bytes::from(vec![u.arbitrary::<u8>()?]);
    let (payload, stamp) = match u.int_in_range(0..=3u8)? {
        0 => (None, Bytes::copy_from_slice(&u.arbitrary::<[u8; 16]>()?)),
        1 => {
            let stamp = stamp_of(&id, &rank, &payload);
            (None, Bytes::copy_from_slice(&stamp.0))
        }
        _ => (Some(payload), Bytes::new()),
    };
    Ok(wire::Row {
        id: id.as_str().to_owned(),
        rank: rank.to_bytes(),
        payload,
        stamp,
    })
}

fn some<T>(
    u: &mut Unstructured<'_>,
    most: usize,
    mut one: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..u.int_in_range(0..=most)?).map(|_| one(u)).collect()
}

fn sketch_id(u: &mut Unstructured<'_>) -> Result<wire::SketchId> {
    Ok(wire::SketchId {
        lineage: number(u)?,
        version: number(u)?,
        salt: 7,
    })
}

/// Cells of `id`, or of a sketch that was made up.
pub(crate) fn cells(
    u: &mut Unstructured<'_>,
    id: Option<wire::SketchId>,
) -> Result<wire::SketchCells> {
    let count = u.int_in_range(0..=60)?;
    Ok(wire::SketchCells {
        id: Some(match id {
            Some(id) => id,
            None => sketch_id(u)?,
        }),
        elements: number(u)?,
        from: number(u)?,
        sums: u.bytes(count * 8)?.to_vec().into(),
        checks: u.bytes(count * 8)?.to_vec().into(),
        counts: (0..count).map(|_| u.arbitrary()).collect::<Result<_>>()?,
    })
}

/// Any answer.
pub(crate) fn answer(u: &mut Unstructured<'_>) -> Result<Answer> {
    Ok(match u.int_in_range(0..=9u8)? {
        0 => Answer::Aligned(wire::Aligned {}),
        1 => Answer::Adopt(wire::Adopt {
            lineage: number(u)?,
            version: number(u)?,
        }),
        2 => Answer::Delta(wire::Delta {
            rows: some(u, 5, row)?,
            deleted: some(u, 3, |u| Ok(id(u)?.as_str().to_owned()))?,
            to: number(u)?,
            head_version: if u.arbitrary()? { number(u)? } else { 0 },
            digest: sixteen(u)?,
            count: number(u)?,
            deletes_incomplete: u.arbitrary()?,
        }),
        3 => Answer::Diverged(wire::Diverged {
            reason: u.int_in_range(0..=4)?,
            head: Some(wire::Head {
                lineage: number(u)?,
                version: number(u)?,
                digest: sixteen(u)?,
                count: number(u)?,
            }),
            sketch: if u.arbitrary()? {
                Some(cells(u, None)?)
            } else {
                None
            },
        }),
        4 => Answer::Gone(wire::Gone {
            reason: u.int_in_range(0..=3)?,
        }),
        5 => {
            let mut rows = some(u, 6, row)?;
            rows.sort_by(|a, b| (&a.rank, &a.id).cmp(&(&b.rank, &b.id)));
            rows.dedup_by(|a, b| (&a.rank, &a.id) == (&b.rank, &b.id));
            Answer::Scan(wire::ScanPage {
                lineage: number(u)?,
                version: number(u)?,
                rows,
                done: u.arbitrary()?,
                total: number(u)?,
                whole: u.arbitrary()?,
                proof: u.arbitrary()?,
                digest: sixteen(u)?,
                resume: None,
            })
        }
        6 => Answer::Deferred(wire::Deferred {}),
        7 => Answer::Refused(wire::Error {
            code: "invalid_field".to_owned(),
            retry_after_ms: number(u)?,
            ..wire::Error::default()
        }),
        8 => Answer::Sketch(cells(u, None)?),
        _ => Answer::SketchRows(wire::SketchRows {
            rows: some(u, 6, row)?,
            done: u.int_in_range(0..=8)?,
        }),
    })
}

fn spoil_rows(u: &mut Unstructured<'_>, rows: &mut Vec<wire::Row>) -> Result<()> {
    if rows.is_empty() {
        rows.push(row(u)?);
        return Ok(());
    }
    let at = u.choose_index(rows.len())?;
    match u.int_in_range(0..=4)? {
        0 => drop(rows.remove(at)),
        1 => rows[at] = row(u)?,
        2 => {
            let row = rows[at].clone();
            rows.push(row);
        }
        3 => rows[at].payload = Some(Bytes::from_static(b"another")),
        _ => rows.truncate(at),
    }
    Ok(())
}

fn spoil_cells(u: &mut Unstructured<'_>, cells: &mut wire::SketchCells) -> Result<()> {
    match u.int_in_range(0..=6)? {
        0 => cells.elements = number(u)?,
        1 => cells.from = number(u)?,
        2 => *cells = self::cells(u, cells.id)?,
        3 => {
            let from = cells.from;
            *cells = self::cells(u, cells.id)?;
            cells.from = from;
        }
        4 if !cells.counts.is_empty() => {
            let at = u.choose_index(cells.counts.len())?;
            cells.counts[at] = u.arbitrary()?;
        }
        5 => {
            let count = cells.counts.len() / 2;
            cells.counts.truncate(count);
            cells.sums.truncate(count * 8);
            cells.checks.truncate(count * 8);
        }
        _ => {
            let mut sums = cells.sums.to_vec();
            if let Some(byte) = sums.first_mut() {
                *byte ^= u.arbitrary::<u8>()?;
            }
            cells.sums = sums.into();
        }
    }
    Ok(())
}

/// Changes something in a real answer.
pub(crate) fn spoil(u: &mut Unstructured<'_>, answer: &mut Answer) -> Result<()> {
    match answer {
        Answer::Adopt(adopt) => {
            if u.arbitrary()? {
                adopt.lineage = number(u)?;
            } else {
                adopt.version = number(u)?;
            }
        }
        Answer::Delta(delta) => match u.int_in_range(0..=6)? {
            0 => delta.to = number(u)?,
            1 => delta.head_version = number(u)?,
            2 => delta.digest = sixteen(u)?,
            3 => delta.count = number(u)?,
            4 => delta.deleted = some(u, 3, |u| Ok(id(u)?.as_str().to_owned()))?,
            _ => spoil_rows(u, &mut delta.rows)?,
        },
        Answer::Diverged(diverged) => match (u.int_in_range(0..=4)?, &mut diverged.sketch) {
            (0, _) => diverged.sketch = None,
            (1 | 2, Some(sketch)) => spoil_cells(u, sketch)?,
            _ => {
                if let Some(head) = &mut diverged.head {
                    match u.int_in_range(0..=3)? {
                        0 => head.lineage = number(u)?,
                        1 => head.version = number(u)?,
                        2 => head.digest = sixteen(u)?,
                        _ => head.count = number(u)?,
                    }
                }
            }
        },
        Answer::Scan(page) => match u.int_in_range(0..=7)? {
            0 => page.version = number(u)?,
            1 => page.done = !page.done,
            2 => page.total = number(u)?,
            3 => page.proof = !page.proof,
            4 => page.digest = sixteen(u)?,
            5 => page.whole = !page.whole,
            _ => spoil_rows(u, &mut page.rows)?,
        },
        Answer::Sketch(cells) => spoil_cells(u, cells)?,
        Answer::SketchRows(rows) => match u.int_in_range(0..=2)? {
            0 => rows.done = u.int_in_range(0..=8)?,
            _ => spoil_rows(u, &mut rows.rows)?,
        },
        Answer::Aligned(_) | Answer::Gone(_) | Answer::Deferred(_) | Answer::Refused(_) => {
            *answer = self::answer(u)?;
        }
    }
    Ok(())
}

/// Changes the answers of a response: replaced, spoiled, given details, or left
/// as they are.
pub(crate) fn lie(
    u: &mut Unstructured<'_>,
    lists: usize,
    mut response: wire::SyncResponse,
) -> Result<wire::SyncResponse> {
    for at in 0..lists {
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        let choice = u.int_in_range(0..=7)?;
        if choice >= 4 {
            continue;
        }
        let found = response.answers.iter().position(|one| one.list >= index);
        let place = found.unwrap_or(response.answers.len());
        if response
            .answers
            .get(place)
            .is_none_or(|one| one.list != index)
        {
            response.aligned -= 1;
            let aligned = wire::ListAnswer {
                list: index,
                answer: Some(Answer::Aligned(wire::Aligned {})),
                details: Vec::new(),
            };
            response.answers.insert(place, aligned);
        }
        let one = &mut response.answers[place];
        match (choice, &mut one.answer) {
            (0, _) => one.answer = Some(answer(u)?),
            (1, _) => spoil_rows(u, &mut one.details)?,
            (_, Some(answer)) => spoil(u, answer)?,
            _ => {}
        }
    }
    Ok(response)
}
