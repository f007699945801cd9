//! I5 and I8: each answer is what the naive model says, from the request and
//! the lists alone. Then nothing that another device did can be in it, and
//! nothing that its reader may not read.

mod met;
mod pages;

use super::{Invariant, Verdict, Violation, demand};
use crate::coverage::Coverage;
use crate::model::{List, Live, Model};
use crate::server::{Lie, Lies};
use highwater_core::answer::Access;
use highwater_core::sketch::{Encoder, KEPT_MS, element_of};
use highwater_protocol::message::{
    Answer, Cursor, DivergedReason, GoneReason, ListAnswer, ListRequest, Position, Scan,
    SketchCells, SketchId, SketchItems, SketchRows, SyncRequest, SyncResponse,
};
use highwater_protocol::{Digest, Lineage, ListKey, Stamp};
use pages::{delta_page, details, is_element, scan_page};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What the judge of answers remembers: the sketches that were offered.
#[derive(Default)]
pub(crate) struct Answers {
    sketches: BTreeMap<(ListKey, u64, u64, u64), Offered>,
}

/// A sketch that was offered: what it must be made of.
struct Offered {
    stamps: Vec<Stamp>,
    /// When the server last offered it at the head's version, in milliseconds.
    current_ms: i64,
}

/// What an answer is judged by.
pub(crate) struct Case<'a> {
    pub(crate) model: &'a Model,
    pub(crate) lies: &'a Lies,
    pub(crate) request: &'a SyncRequest,
    pub(crate) access: &'a [Access],
    /// The server's clock.
    pub(crate) now_ms: i64,
    /// Responses are cut into several for their size.
    pub(crate) tight: bool,
}

fn wrong(what: impl Into<String>) -> Violation {
    Violation::new(Invariant::I5, what)
}

impl Answers {
    /// Judges a response.
    pub(crate) fn judge(
        &mut self,
        case: &Case<'_>,
        response: &SyncResponse,
        coverage: &mut Coverage,
    ) -> Verdict {
        let mut named: BTreeMap<usize, &ListAnswer> = BTreeMap::new();
        for answer in &response.answers {
            named.insert(answer.list, answer);
        }
        let asked = case.request.lists.len();
        demand(
            response.aligned + named.len() == asked,
            Invariant::I5,
            || format!("{asked} lists, {} answers", response.aligned + named.len()),
        )?;
        for (at, (request, access)) in case.request.lists.iter().zip(case.access).enumerate() {
            let aligned = ListAnswer {
                list: at,
                answer: Answer::Aligned,
                details: Vec::new(),
            };
            let answer = named.get(&at).copied().unwrap_or(&aligned);
            met::note(answer, request, coverage);
            self.judge_list(case, request, access, answer)
                .map_err(|no| Violation {
                    what: format!(
                        "{}: {}; asked {:?}, answered {:?}",
                        request.list, no.what, request.position, answer.answer
                    ),
                    ..no
                })?;
        }
        Ok(())
    }

    fn judge_list(
        &mut self,
        case: &Case<'_>,
        request: &ListRequest,
        access: &Access,
        answer: &ListAnswer,
    ) -> Verdict {
        let list = case.model.get(&request.list);
        if !matches!(access, Access::Read | Access::Header) {
            let named = lineage_of(request);
            let told = |live: &Live| match case.lies.get(&request.list) {
                Some(Lie::Lineage(lineage)) => Some(*lineage),
                _ => Some(live.lineage),
            };
            let reason = match list {
                Some(List::Live { live, .. }) if told(live) == named => GoneReason::Forbidden,
                Some(List::Ended { lineage, .. }) if Some(*lineage) == named => GoneReason::Deleted,
                _ => GoneReason::Unspecified,
            };
            demand(answer.details.is_empty(), Invariant::I8, || {
                "details of a list that may not be read".to_owned()
            })?;
            return demand(answer.answer == Answer::Gone(reason), Invariant::I8, || {
                format!("a list that may not be read is gone ({reason:?})")
            });
        }
        let Some(mut live) = case.model.live(&request.list) else {
            let lineage = match list {
                Some(List::Ended { lineage, .. }) => Some(*lineage),
                _ => None,
            };
            let reason = match lineage_of(request) {
                named if named.is_some() && named == lineage => GoneReason::Deleted,
                _ => GoneReason::Unspecified,
            };
            return same(&answer.answer, &Answer::Gone(reason));
        };
        if *access == Access::Header {
            live = Cow::Owned(live.header_alone());
            let sketch = match &answer.answer {
                Answer::Diverged(diverged) => diverged.sketch.is_some(),
                answer => matches!(answer, Answer::Sketch(_) | Answer::SketchRows(_)),
            };
            demand(!sketch, Invariant::I8, || {
                "a sketch for somebody who may read the header alone".to_owned()
            })?;
        }
        if answer.answer == Answer::Deferred {
            return demand(
                case.tight && answer.details.is_empty(),
                Invariant::I5,
                || "deferred although the response was not full".to_owned(),
            );
        }
        details(&live, request, &answer.details)?;
        let lie = case.lies.get(&request.list).filter(|_| list.is_some());
        if let Some(Lie::Lineage(lineage)) = lie {
            live.to_mut().lineage = *lineage;
        }
        // The header's own digest is not what is lied about.
        let lied_about = lie == Some(&Lie::Digest) && *access == Access::Read;
        let head = Head::of(&live, lied_about);
        match &request.position {
            Position::Cursor(cursor) => self.cursor(case, request, &head, cursor, &answer.answer),
            Position::Scan(scan) => self.scan(case, request, &head, scan, &answer.answer),
            Position::Sketch(range) => match &answer.answer {
                Answer::Sketch(cells) => {
                    demand(
                        Some(cells.id) == range.id && cells.from == range.from,
                        Invariant::I5,
                        || "other cells than were asked for".to_owned(),
                    )?;
                    self.cells(case, &request.list, &head, cells)
                }
                answer => self.diverged(case, &request.list, &head, DivergedReason::Digest, answer),
            },
            Position::SketchItems(items) => match &answer.answer {
                Answer::SketchRows(rows) => self.rows(case, &request.list, &head, items, rows),
                answer => self.diverged(case, &request.list, &head, DivergedReason::Digest, answer),
            },
        }
    }

    fn cursor(
        &mut self,
        case: &Case<'_>,
        request: &ListRequest,
        head: &Head<'_>,
        cursor: &Cursor,
        answer: &Answer,
    ) -> Verdict {
        let list = &request.list;
        let point = cursor.point;
        let (lineage, version) = (head.live.lineage, head.live.version);
        if (cursor.digest, cursor.count) == (head.digest, head.live.count()) {
            let point = highwater_protocol::Point {
                lineage,
                version: highwater_protocol::Version::new(version),
            };
            let expected = match cursor.point == point {
                true => Answer::Aligned,
                false => Answer::Adopt(point),
            };
            return same(answer, &expected);
        }
        let reason = if point.lineage != lineage {
            DivergedReason::Lineage
        } else if point.version.get() > version {
            DivergedReason::Ahead
        } else if point.version.get() == version {
            DivergedReason::Digest
        } else {
            let Answer::Delta(delta) = answer else {
                return Err(wrong("a cursor that is behind gets a delta"));
            };
            return delta_page(case, request, head, cursor, delta);
        };
        self.diverged(case, list, head, reason, answer)
    }

    fn scan(
        &mut self,
        case: &Case<'_>,
        request: &ListRequest,
        head: &Head<'_>,
        scan: &Scan,
        answer: &Answer,
    ) -> Verdict {
        let reason = match &scan.position {
            Some(at) if at.point.lineage != head.live.lineage => Some(DivergedReason::Lineage),
            Some(at) if at.point.version.get() > head.live.version => Some(DivergedReason::Ahead),
            _ => None,
        };
        if let Some(reason) = reason {
            return self.diverged(case, &request.list, head, reason, answer);
        }
        let Answer::Scan(page) = answer else {
            return Err(wrong("a scan gets a page"));
        };
        scan_page(case, head, scan, page)
    }

    fn diverged(
        &mut self,
        case: &Case<'_>,
        list: &ListKey,
        head: &Head<'_>,
        reason: DivergedReason,
        answer: &Answer,
    ) -> Verdict {
        let Answer::Diverged(diverged) = answer else {
            return Err(wrong(format!("the copy diverged ({reason:?})")));
        };
        let live = head.live;
        let there = diverged.head;
        demand(diverged.reason == reason, Invariant::I5, || {
            format!("the reason is {reason:?}")
        })?;
        let same_head = there.point.lineage == live.lineage
            && there.point.version.get() == live.version
            && (there.digest, there.count) == (head.digest, live.count());
        demand(same_head, Invariant::I5, || "another head".to_owned())?;
        let Some(cells) = &diverged.sketch else {
            return Ok(());
        };
        let point = cells.id.point;
        let key = (
            list.clone(),
            point.lineage.get(),
            point.version.get(),
            cells.id.salt.0,
        );
        if let Some(offered) = self.sketches.get_mut(&key)
            && point.version.get() == live.version
        {
            offered.current_ms = case.now_ms;
        }
        self.cells(case, list, head, cells)
    }

    /// A sketch of this list, of this lineage, made of what the list then had.
    fn offered(
        &mut self,
        case: &Case<'_>,
        list: &ListKey,
        head: &Head<'_>,
        id: &SketchId,
    ) -> Result<&Offered, Violation> {
        let live = head.live;
        let (lineage, version) = (id.point.lineage, id.point.version.get());
        demand(
            lineage == live.lineage && version <= live.version,
            Invariant::I5,
            || "a sketch of another lineage, or of a version to come".to_owned(),
        )?;
        let key = (list.clone(), lineage.get(), version, id.salt.0);
        if !self.sketches.contains_key(&key) {
            demand(version == live.version, Invariant::I5, || {
                "a new sketch of an old version".to_owned()
            })?;
            let offered = Offered {
                stamps: live.items.values().map(|item| item.stamp).collect(),
                current_ms: case.now_ms,
            };
            self.sketches.insert(key.clone(), offered);
        }
        let offered = &self.sketches[&key];
        let age_ms = case.now_ms - offered.current_ms;
        demand((0..KEPT_MS).contains(&age_ms), Invariant::I5, || {
            format!("a sketch that is {age_ms} ms old")
        })?;
        Ok(offered)
    }

    fn cells(
        &mut self,
        case: &Case<'_>,
        list: &ListKey,
        head: &Head<'_>,
        cells: &SketchCells,
    ) -> Verdict {
        let offered = self.offered(case, list, head, &cells.id)?;
        demand(
            cells.elements == offered.stamps.len() as u64,
            Invariant::I5,
            || format!("the sketch is of {} elements", offered.stamps.len()),
        )?;
        // Longer ones are left to the decoders: this costs passes over the list.
        if offered.stamps.len() > 200 {
            return Ok(());
        }
        let elements = offered.stamps.iter();
        let salted = elements.map(|stamp| element_of(&cells.id, *stamp));
        let from = usize::try_from(cells.from).unwrap_or(usize::MAX);
        let all = Encoder::new(salted).next_cells(from + cells.cells.len());
        demand(all[from..] == cells.cells[..], Invariant::I5, || {
            "the cells are not those of the list".to_owned()
        })
    }

    fn rows(
        &mut self,
        case: &Case<'_>,
        list: &ListKey,
        head: &Head<'_>,
        items: &SketchItems,
        rows: &SketchRows,
    ) -> Verdict {
        self.offered(case, list, head, &items.id)?;
        let done = items.elements.get(..rows.done).unwrap_or_default();
        let mut expected: Vec<_> = head
            .live
            .items
            .iter()
            .filter(|(_, item)| item.version <= items.id.point.version.get())
            .filter(|(_, item)| done.contains(&element_of(&items.id, item.stamp)))
            .map(|(id, _)| id.clone())
            .collect();
        expected.sort();
        let mut there: Vec<_> = rows.rows.iter().map(|row| row.id.clone()).collect();
        there.sort();
        demand(rows.done > 0 && there == expected, Invariant::I5, || {
            format!("the rows of those elements are {expected:?}")
        })?;
        rows.rows
            .iter()
            .try_for_each(|row| is_element(head.live, row, Some(true)))
    }
}

/// A head as the server believes it.
struct Head<'a> {
    live: &'a Live,
    digest: Digest,
}

impl<'a> Head<'a> {
    fn of(live: &'a Live, lied_about: bool) -> Self {
        let digest = live.digest();
        Self {
            live,
            digest: match lied_about {
                true => crate::server::wrong(digest),
                false => digest,
            },
        }
    }
}

fn same(answer: &Answer, expected: &Answer) -> Verdict {
    demand(answer == expected, Invariant::I5, || {
        format!("the answer is {expected:?}")
    })
}

fn lineage_of(request: &ListRequest) -> Option<Lineage> {
    match &request.position {
        Position::Cursor(cursor) => Some(cursor.point.lineage),
        Position::Scan(scan) => scan.position.as_ref().map(|at| at.point.lineage),
        Position::Sketch(range) => range.id.map(|id| id.point.lineage),
        Position::SketchItems(items) => Some(items.id.point.lineage),
    }
}
