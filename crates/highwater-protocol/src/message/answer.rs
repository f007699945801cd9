//! What a server answers.

use super::{Head, Row, SketchCells, SketchRows, order_key, point, rows};
use crate::error::{Code, Refusal};
use crate::ids::{ItemId, OrderKey, Point, Version};
use crate::limits;
use crate::sum::Digest;
use crate::wire;
use wire::list_answer::Answer as Wire;

/// The answers to one request, all from one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncResponse {
    /// Lists that are aligned and not named in `answers`.
    pub aligned: usize,
    /// The others, each at most once, by rising index.
    pub answers: Vec<ListAnswer>,
}

/// The answer about one list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListAnswer {
    /// Index into the request's lists.
    pub list: usize,
    /// What to do.
    pub answer: Answer,
    /// Rows with their payload, of the details asked for.
    pub details: Vec<Row>,
}

/// How a device's copy stands, and what makes it right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Right, and where it says it is.
    Aligned,
    /// Right, but elsewhere: take this position.
    Adopt(Point),
    /// Behind: apply this.
    Delta(Delta),
    /// Not to be caught up from: repair.
    Diverged(Diverged),
    /// Nothing here for this reader: drop the copy.
    Gone(GoneReason),
    /// A page of the scan that was asked for.
    Scan(ScanPage),
    /// Cells of the sketch that was asked for.
    Sketch(SketchCells),
    /// Rows of the sketch's elements that were asked for.
    SketchRows(SketchRows),
    /// The response was full: ask again.
    Deferred,
    /// This list alone was refused.
    Refused(Refusal),
}

/// A page of changes, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Elements that are new or changed.
    pub rows: Vec<Row>,
    /// Elements that are no longer there.
    pub deleted: Vec<ItemId>,
    /// The cursor's version once the page is applied.
    pub to: Version,
    /// Where the delta ends.
    pub end: DeltaEnd,
    /// Deletions below the purge floor are missing.
    pub deletes_incomplete: bool,
}

/// Whether a page is the delta's last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaEnd {
    /// Another page follows; the server is at this version.
    More(Version),
    /// The copy must now have this digest and count.
    Proof(Digest, u64),
}

/// A cursor that cannot be caught up from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diverged {
    /// Why.
    pub reason: DivergedReason,
    /// Where the server is.
    pub head: Head,
    /// The first cells of its sketch, if it offers one.
    pub sketch: Option<SketchCells>,
}

/// Why a cursor cannot be caught up from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DivergedReason {
    /// A reason that this software does not know.
    Unknown,
    /// It is of another lineage.
    Lineage,
    /// It is ahead of the server.
    Ahead,
    /// Same version, other content.
    Digest,
}

/// Why there is nothing for this reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoneReason {
    /// Not said: the list may or may not exist.
    Unspecified,
    /// The list was deleted.
    Deleted,
    /// The reader may no longer read it.
    Forbidden,
}

/// A page of a scan, in the list's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPage {
    /// The version at which the scan began.
    pub point: Point,
    /// The next rows.
    pub rows: Vec<Row>,
    /// Where the next page goes on; `None`: no row is left.
    pub next: Option<OrderKey>,
    /// Elements of the list, for progress.
    pub total: u64,
    /// Every row of the list comes with its payload.
    pub whole: bool,
    /// On the last page, if nothing changed since the scan began: what the copy must
    /// sum to. The count is then `total`.
    pub proof: Option<Digest>,
}

/// A whole list in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its head.
    pub head: Head,
    /// Every row with its payload, in order.
    pub rows: Vec<Row>,
}

/// A peer's answer that breaks the protocol. The field says where.
pub(super) fn broken(field: &str, message: &str) -> Refusal {
    Refusal::new(Code::MalformedMessage, message).at(field)
}

impl SyncResponse {
    /// Parses a response to a request of `lists` lists.
    ///
    /// # Errors
    /// A response that does not answer each list exactly once, or holds a value
    /// that the protocol does not allow.
    pub fn parse(response: wire::SyncResponse, lists: usize) -> Result<Self, Refusal> {
        let aligned = response.aligned as usize;
        if aligned.checked_add(response.answers.len()) != Some(lists) {
            return Err(broken(
                "aligned",
                "the response does not answer each list once",
            ));
        }
        let mut answers = Vec::with_capacity(response.answers.len());
        let mut after = None;
        for (at, answer) in response.answers.into_iter().enumerate() {
            let list = answer.list as usize;
            if list >= lists || after.is_some_and(|after| list <= after) {
                return Err(
                    broken("list", "answers name the request's lists in their order")
                        .within(&format!("answers[{at}]")),
                );
            }
            after = Some(list);
            answers.push(
                ListAnswer::try_from(answer).map_err(|no| no.within(&format!("answers[{at}]")))?,
            );
        }
        Ok(Self { aligned, answers })
    }
}

impl TryFrom<wire::ListAnswer> for ListAnswer {
    type Error = Refusal;

    fn try_from(answer: wire::ListAnswer) -> Result<Self, Refusal> {
        let parsed = match answer.answer {
            None => {
                return Err(broken(
                    "answer",
                    "an answer of a kind that is not known here",
                ));
            }
            Some(Wire::Aligned(_)) => Answer::Aligned,
            Some(Wire::Adopt(adopt)) => {
                Answer::Adopt(point(adopt.lineage, adopt.version).map_err(|no| no.within("adopt"))?)
            }
            Some(Wire::Delta(delta)) => {
                Answer::Delta(delta.try_into().map_err(|no: Refusal| no.within("delta"))?)
            }
            Some(Wire::Diverged(diverged)) => Answer::Diverged(
                diverged
                    .try_into()
                    .map_err(|no: Refusal| no.within("diverged"))?,
            ),
            Some(Wire::Gone(gone)) => Answer::Gone(match gone.reason() {
                wire::gone::Reason::Unspecified => GoneReason::Unspecified,
                wire::gone::Reason::Deleted => GoneReason::Deleted,
                wire::gone::Reason::Forbidden => GoneReason::Forbidden,
            }),
            Some(Wire::Scan(page)) => {
                Answer::Scan(page.try_into().map_err(|no: Refusal| no.within("scan"))?)
            }
            Some(Wire::Sketch(cells)) => Answer::Sketch(
                cells
                    .try_into()
                    .map_err(|no: Refusal| no.within("sketch"))?,
            ),
            Some(Wire::SketchRows(rows)) => Answer::SketchRows(
                rows.try_into()
                    .map_err(|no: Refusal| no.within("sketch_rows"))?,
            ),
            Some(Wire::Deferred(_)) => Answer::Deferred,
            Some(Wire::Refused(error)) => Answer::Refused(error.into()),
        };
        Ok(Self {
            list: answer.list as usize,
            answer: parsed,
            details: rows(answer.details, "details")?,
        })
    }
}

impl TryFrom<wire::Delta> for Delta {
    type Error = Refusal;

    fn try_from(delta: wire::Delta) -> Result<Self, Refusal> {
        let deleted = delta
            .deleted
            .iter()
            .map(|id| ItemId::new_or_header(id))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|no| Refusal {
                field: "deleted".to_owned(),
                ..no
            })?;
        let end = match delta.head_version {
            0 => DeltaEnd::Proof(Digest::parse(&delta.digest)?, delta.count),
            version if version > delta.to => DeltaEnd::More(Version::new(version)),
            _ => {
                return Err(broken(
                    "head_version",
                    "a page that is not the last ends before the head",
                ));
            }
        };
        let rows = rows(delta.rows, "rows")?;
        if rows.len() + deleted.len() > limits::PAGE_ROWS {
            return Err(Refusal::too_many(
                "rows",
                rows.len() + deleted.len(),
                limits::PAGE_ROWS,
            ));
        }
        Ok(Self {
            rows,
            deleted,
            to: Version::new(delta.to),
            end,
            deletes_incomplete: delta.deletes_incomplete,
        })
    }
}

impl TryFrom<wire::Diverged> for Diverged {
    type Error = Refusal;

    fn try_from(diverged: wire::Diverged) -> Result<Self, Refusal> {
        use wire::diverged::Reason;
        let reason = match diverged.reason() {
            Reason::Unspecified => DivergedReason::Unknown,
            Reason::Lineage => DivergedReason::Lineage,
            Reason::Ahead => DivergedReason::Ahead,
            Reason::Digest => DivergedReason::Digest,
        };
        let head = diverged
            .head
            .ok_or_else(|| broken("head", "the head is missing"))?;
        Ok(Self {
            reason,
            head: head.try_into().map_err(|no: Refusal| no.within("head"))?,
            sketch: diverged
                .sketch
                .map(|cells| cells.try_into().map_err(|no: Refusal| no.within("sketch")))
                .transpose()?,
        })
    }
}

impl TryFrom<wire::ScanPage> for ScanPage {
    type Error = Refusal;

    fn try_from(page: wire::ScanPage) -> Result<Self, Refusal> {
        if page.proof && !page.done {
            return Err(broken("proof", "only a scan's last page can be proved"));
        }
        let proof = match page.proof {
            true => Some(Digest::parse(&page.digest)?),
            false => None,
        };
        let rows = rows(page.rows, "rows")?;
        if rows.len() > limits::PAGE_ROWS {
            return Err(Refusal::too_many("rows", rows.len(), limits::PAGE_ROWS));
        }
        let resume = match page.resume {
            None => None,
            Some(key) => Some(order_key(key).map_err(|no| no.within("resume"))?),
        };
        let last = rows.last().map(Row::order_key);
        if resume.is_some() && resume < last {
            return Err(broken("resume", "a scan never goes back"));
        }
        let next = match (page.done, resume.or(last)) {
            (true, _) => None,
            (false, Some(key)) => Some(key),
            (false, None) => {
                return Err(broken("rows", "a page that is not the last gets on"));
            }
        };
        if !rows.is_sorted_by(|a, b| a.order_key() < b.order_key()) {
            return Err(broken("rows", "a scan's rows come in the list's order"));
        }
        Ok(Self {
            point: point(page.lineage, page.version)?,
            rows,
            next,
            total: page.total,
            whole: page.whole,
            proof,
        })
    }
}

impl TryFrom<wire::ListSnapshot> for Snapshot {
    type Error = Refusal;

    fn try_from(snapshot: wire::ListSnapshot) -> Result<Self, Refusal> {
        let head = snapshot
            .head
            .ok_or_else(|| broken("head", "the head is missing"))?;
        Ok(Self {
            head: head.try_into().map_err(|no: Refusal| no.within("head"))?,
            rows: rows(snapshot.rows, "rows")?,
        })
    }
}

impl From<Snapshot> for wire::ListSnapshot {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            head: Some(snapshot.head.into()),
            rows: wire_rows(snapshot.rows),
        }
    }
}

impl From<SyncResponse> for wire::SyncResponse {
    fn from(response: SyncResponse) -> Self {
        Self {
            aligned: index(response.aligned),
            answers: response.answers.into_iter().map(Into::into).collect(),
            // The operator's wish is added where it is known.
            receipts: false,
        }
    }
}

/// Counts within a request are bounded by its limits.
fn index(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn wire_rows(rows: Vec<Row>) -> Vec<wire::Row> {
    rows.into_iter().map(Into::into).collect()
}

impl From<ListAnswer> for wire::ListAnswer {
    fn from(answer: ListAnswer) -> Self {
        Self {
            list: index(answer.list),
            answer: Some(answer.answer.into()),
            details: wire_rows(answer.details),
        }
    }
}

impl From<Answer> for Wire {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Aligned => Self::Aligned(wire::Aligned {}),
            Answer::Adopt(point) => Self::Adopt(wire::Adopt {
                lineage: point.lineage.get(),
                version: point.version.get(),
            }),
            Answer::Delta(delta) => Self::Delta(delta.into()),
            Answer::Diverged(diverged) => Self::Diverged(diverged.into()),
            Answer::Gone(reason) => {
                let mut gone = wire::Gone::default();
                gone.set_reason(match reason {
                    GoneReason::Unspecified => wire::gone::Reason::Unspecified,
                    GoneReason::Deleted => wire::gone::Reason::Deleted,
                    GoneReason::Forbidden => wire::gone::Reason::Forbidden,
                });
                Self::Gone(gone)
            }
            Answer::Scan(page) => Self::Scan(page.into()),
            Answer::Sketch(cells) => Self::Sketch(cells.into()),
            Answer::SketchRows(rows) => Self::SketchRows(rows.into()),
            Answer::Deferred => Self::Deferred(wire::Deferred {}),
            Answer::Refused(refusal) => Self::Refused(refusal.into()),
        }
    }
}

impl From<Delta> for wire::Delta {
    fn from(delta: Delta) -> Self {
        let (head_version, digest, count) = match delta.end {
            DeltaEnd::More(version) => (version.get(), Vec::new(), 0),
            DeltaEnd::Proof(digest, count) => (0, digest.to_wire(), count),
        };
        Self {
            rows: wire_rows(delta.rows),
            deleted: delta
                .deleted
                .iter()
                .map(|id| id.as_str().to_owned())
                .collect(),
            to: delta.to.get(),
            head_version,
            digest: digest.into(),
            count,
            deletes_incomplete: delta.deletes_incomplete,
        }
    }
}

impl From<Diverged> for wire::Diverged {
    fn from(diverged: Diverged) -> Self {
        use wire::diverged::Reason;
        let mut wire = Self {
            head: Some(diverged.head.into()),
            sketch: diverged.sketch.map(Into::into),
            ..Self::default()
        };
        wire.set_reason(match diverged.reason {
            DivergedReason::Unknown => Reason::Unspecified,
            DivergedReason::Lineage => Reason::Lineage,
            DivergedReason::Ahead => Reason::Ahead,
            DivergedReason::Digest => Reason::Digest,
        });
        wire
    }
}

impl From<ScanPage> for wire::ScanPage {
    fn from(page: ScanPage) -> Self {
        let last = page.rows.last().map(Row::order_key);
        let done = page.next.is_none();
        Self {
            lineage: page.point.lineage.get(),
            version: page.point.version.get(),
            rows: wire_rows(page.rows),
            done,
            total: page.total,
            whole: page.whole,
            proof: page.proof.is_some(),
            digest: page.proof.unwrap_or_default().to_wire().into(),
            resume: page
                .next
                .filter(|next| Some(next) != last.as_ref())
                .map(Into::into),
        }
    }
}
