//! What answers were met.

use crate::coverage::Coverage;
use highwater_protocol::message::{
    Answer, DeltaEnd, Diverged, DivergedReason, GoneReason, ListAnswer, ListRequest, Position,
};

/// Counts what an answer is.
pub(super) fn note(answer: &ListAnswer, request: &ListRequest, coverage: &mut Coverage) {
    if !answer.details.is_empty() {
        coverage.met("answer details");
    }
    let met: &[&str] = match &answer.answer {
        Answer::Aligned => &["answer aligned"],
        Answer::Adopt(_) => &["answer adopt"],
        Answer::Delta(delta) => {
            if delta.deletes_incomplete {
                coverage.met("answer delta, deletes incomplete");
            }
            match delta.end {
                DeltaEnd::More(_) => &["answer delta, more follows"],
                DeltaEnd::Proof(..) => &["answer delta, last page"],
            }
        }
        Answer::Diverged(Diverged { reason, sketch, .. }) => {
            coverage.met(match sketch {
                Some(_) => "answer diverged with a sketch",
                None => "answer diverged without a sketch",
            });
            match reason {
                DivergedReason::Lineage => &["answer diverged: lineage"],
                DivergedReason::Ahead => &["answer diverged: ahead"],
                DivergedReason::Digest => &["answer diverged: digest"],
                DivergedReason::Unknown => &["answer diverged: unknown"],
            }
        }
        Answer::Gone(reason) => match reason {
            GoneReason::Unspecified => &["answer gone: unspecified"],
            GoneReason::Deleted => &["answer gone: deleted"],
            GoneReason::Forbidden => &["answer gone: forbidden"],
        },
        Answer::Scan(page) => {
            let first =
                matches!(&request.position, Position::Scan(scan) if scan.position.is_none());
            if page.whole {
                coverage.met("answer scan, whole");
            }
            if page.proof.is_some() {
                coverage.met("answer scan, proved");
            }
            match first {
                true => &["answer scan, first page"],
                false => &["answer scan, later page"],
            }
        }
        Answer::Sketch(_) => &["answer sketch cells"],
        Answer::SketchRows(_) => &["answer sketch rows"],
        Answer::Deferred => &["answer deferred"],
        Answer::Refused(_) => &["answer refused"],
    };
    met.iter().for_each(|state| coverage.met(state));
}
