//! The server's side of a catch-up: the answer to a request, over a store's
//! reads.
//!
//! One branch per way a device can stand to a list, and none on what the list
//! holds. Who may read what is decided before, from the same snapshot.

use crate::delta;
use crate::head::Head;
use crate::header::HeaderOnly;
use crate::planted::{Bug, is};
use crate::reads::{Item, ListState, PageLimit, Payloads, Reads};
use crate::sketch::Encoding;
use highwater_protocol::limits;
use highwater_protocol::message::{
    Answer, Content, Cursor, Diverged, DivergedReason, GoneReason, ListAnswer, ListRequest,
    Position, Row, Scan, ScanPage, SketchId, SyncRequest, SyncResponse,
};
use highwater_protocol::{ItemId, Lineage, ListKey, Refusal, Version};
use std::future::{Future, ready};
use std::sync::Arc;

/// What the reader of a request may do with one of its lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// Read its header, as if there were no item in it.
    Header,
    /// Nothing.
    Denied,
    /// The list cannot be asked for at all: its kind is not known, say.
    Refused(Refusal),
}

/// Where the sketches come from that answers offer: a cache, as encoding a list
/// costs a pass over it.
pub trait Sketches: Send + Sync {
    /// The sketch to offer to a device whose copy is wrong; `None`: none at
    /// present. It may be older than `head`, of the same lineage; if it is older
    /// than the device's copy, of version `copy`, the device goes back to it and
    /// comes forward again, so that one should not be.
    fn offer<R: Reads>(
        &self,
        reads: &R,
        list: &ListKey,
        head: &Head,
        copy: Version,
    ) -> impl Future<Output = Result<Option<Arc<Encoding>>, R::Error>> + Send;

    /// Whether a list is long enough that its skeleton costs more than the first
    /// cells of a sketch.
    fn is_worth_it(&self, head: &Head) -> bool {
        head.count >= SKETCHED_FROM
    }

    /// A sketch that was offered not long ago.
    fn find(&self, list: &ListKey, id: &SketchId) -> Option<Arc<Encoding>>;
}

/// No sketches: every repair reads the skeleton.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSketches;

impl Sketches for NoSketches {
    fn offer<R: Reads>(
        &self,
        _reads: &R,
        _list: &ListKey,
        _head: &Head,
        _copy: Version,
    ) -> impl Future<Output = Result<Option<Arc<Encoding>>, R::Error>> + Send {
        ready(Ok(None))
    }

    fn find(&self, _list: &ListKey, _id: &SketchId) -> Option<Arc<Encoding>> {
        None
    }
}

/// A list of fewer elements has a skeleton that is shorter than the first cells
/// of a sketch.
pub const SKETCHED_FROM: u64 = 64;

/// How much an answer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Of one list.
    pub page: PageLimit,
    /// Bytes of rows after which the remaining lists are deferred.
    pub response_bytes: usize,
}

impl Budget {
    /// The protocol's limits, with pages of `page_rows`.
    #[must_use]
    pub const fn with_page_rows(page_rows: usize) -> Self {
        Self {
            page: PageLimit {
                rows: page_rows,
                bytes: limits::PAGE_BYTES,
            },
            response_bytes: limits::RESPONSE_BYTES,
        }
    }
}

/// What an aligned copy is told, from the head alone: no row is read.
///
/// `None`: the copy is not right, or elsewhere.
#[must_use]
pub fn aligned(head: &Head, cursor: &Cursor) -> Option<Answer> {
    let same_digest = head.digest == cursor.digest || is(Bug::AdoptedUnseen);
    if !same_digest || head.count != cursor.count {
        None
    } else if head.point() == cursor.point {
        Some(Answer::Aligned)
    } else {
        Some(Answer::Adopt(head.point()))
    }
}

/// Answers every list of a request from one snapshot. `access` has one entry
/// for each of the request's lists.
///
/// # Errors
/// What the store could not read; nothing is answered then.
///
/// # Panics
/// If `access` is shorter than the request.
pub async fn answer<R: Reads, K: Sketches>(
    reads: &R,
    sketches: &K,
    request: &SyncRequest,
    access: &[Access],
    budget: Budget,
) -> Result<SyncResponse, R::Error> {
    assert_eq!(request.lists.len(), access.len(), "one right for each list");
    let mut response = SyncResponse {
        aligned: 0,
        answers: Vec::new(),
    };
    let mut left = budget.response_bytes;
    for (at, (list, access)) in request.lists.iter().zip(access).enumerate() {
        let (answer, details) = match access {
            Access::Refused(refusal) => (Answer::Refused(refusal.clone()), Vec::new()),
            Access::Denied => {
                let details = match is(Bug::DetailsWithoutRight) {
                    true => details(reads, list, left).await?,
                    false => Vec::new(),
                };
                (denied(reads, list).await?, details)
            }
            Access::Read => answer_list(reads, sketches, list, budget.page, left).await?,
            Access::Header if is(Bug::HeaderNotAlone) => {
                answer_list(reads, sketches, list, budget.page, left).await?
            }
            Access::Header => {
                let reads = HeaderOnly::new(reads);
                answer_list(&reads, &NoSketches, list, budget.page, left).await?
            }
        };
        left = left.saturating_sub(cost(&answer, &details));
        if answer == Answer::Aligned && details.is_empty() {
            response.aligned += 1;
        } else {
            response.answers.push(ListAnswer {
                list: at,
                answer,
                details,
            });
        }
    }
    Ok(response)
}

/// A reader without the right learns why only if it once had it: its cursor
/// names the list's lineage.
async fn denied<R: Reads>(reads: &R, request: &ListRequest) -> Result<Answer, R::Error> {
    let Some(named) = named_lineage(request) else {
        return Ok(Answer::Gone(GoneReason::Unspecified));
    };
    let reason = match reads.state(&request.list).await? {
        ListState::Live(head) if head.lineage == named => GoneReason::Forbidden,
        ListState::Ended(lineage) if lineage == named => GoneReason::Deleted,
        _ => GoneReason::Unspecified,
    };
    Ok(Answer::Gone(reason))
}

fn named_lineage(request: &ListRequest) -> Option<Lineage> {
    match &request.position {
        Position::Cursor(cursor) => Some(cursor.point.lineage),
        Position::Scan(scan) => scan
            .position
            .as_ref()
            .map(|position| position.point.lineage),
        Position::Sketch(range) => range.id.map(|id| id.point.lineage),
        Position::SketchItems(items) => Some(items.id.point.lineage),
    }
}

async fn answer_list<R: Reads, K: Sketches>(
    reads: &R,
    sketches: &K,
    request: &ListRequest,
    page: PageLimit,
    left: usize,
) -> Result<(Answer, Vec<Row>), R::Error> {
    let head = match reads.state(&request.list).await? {
        ListState::Live(head) => head,
        ListState::Absent(lineage) => Head::empty(lineage),
        ListState::Ended(lineage) => {
            let reason = match named_lineage(request) {
                Some(named) if named == lineage => GoneReason::Deleted,
                _ => GoneReason::Unspecified,
            };
            return Ok((Answer::Gone(reason), Vec::new()));
        }
    };
    let standing = match &request.position {
        Position::Cursor(cursor) => standing(&head, cursor),
        Position::Scan(scan) => scanning(&head, scan),
        Position::Sketch(_) | Position::SketchItems(_) => Standing::Sketching,
    };
    // Details are asked for by a page that someone waits for: they go first.
    if left == 0 && (!standing.is_short() || !request.details.is_empty()) {
        return Ok((Answer::Deferred, Vec::new()));
    }
    let page = PageLimit {
        rows: page.rows,
        bytes: page.bytes.min(left),
    };
    let answer = match standing {
        Standing::Right(answer) => answer,
        Standing::Wrong(reason) => diverged(reads, sketches, request, &head, reason).await?,
        Standing::Behind(cursor) => Answer::Delta(
            delta::delta(
                reads,
                &request.list,
                &head,
                cursor,
                request.delta_details,
                page,
            )
            .await?,
        ),
        Standing::Scanning(scan) => {
            Answer::Scan(scan_page(reads, request, &head, scan, page).await?)
        }
        Standing::Sketching => sketch(reads, sketches, request, &head, page).await?,
    };
    let details = if request.details.is_empty() {
        Vec::new()
    } else {
        details(reads, request, page.bytes).await?
    };
    Ok((answer, details))
}

/// How a device stands to a list that it may read.
enum Standing<'a> {
    /// Its copy is right: the answer is known without reading a row.
    Right(Answer),
    /// No delta makes its copy right.
    Wrong(DivergedReason),
    /// It has a cursor that a delta goes on from.
    Behind(&'a Cursor),
    /// It reads the list in its order.
    Scanning(&'a Scan),
    /// It finds out in what its copy is wrong.
    Sketching,
}

impl Standing<'_> {
    const fn is_short(&self) -> bool {
        matches!(self, Self::Right(_) | Self::Wrong(_))
    }
}

fn standing<'a>(head: &Head, cursor: &'a Cursor) -> Standing<'a> {
    if let Some(answer) = aligned(head, cursor) {
        return Standing::Right(answer);
    }
    if cursor.point.lineage != head.lineage {
        Standing::Wrong(DivergedReason::Lineage)
    } else if cursor.point.version > head.version {
        Standing::Wrong(DivergedReason::Ahead)
    } else if cursor.point.version == head.version {
        Standing::Wrong(DivergedReason::Digest)
    } else {
        Standing::Behind(cursor)
    }
}

fn scanning<'a>(head: &Head, scan: &'a Scan) -> Standing<'a> {
    match &scan.position {
        Some(position) if position.point.lineage != head.lineage => {
            Standing::Wrong(DivergedReason::Lineage)
        }
        Some(position) if position.point.version > head.version => {
            Standing::Wrong(DivergedReason::Ahead)
        }
        _ => Standing::Scanning(scan),
    }
}

/// The news that a copy is wrong, with the first cells of the list's sketch.
async fn diverged<R: Reads, K: Sketches>(
    reads: &R,
    sketches: &K,
    request: &ListRequest,
    head: &Head,
    reason: DivergedReason,
) -> Result<Answer, R::Error> {
    let copy = match &request.position {
        Position::Cursor(cursor) if cursor.point.lineage == head.lineage => {
            cursor.point.version.min(head.version)
        }
        _ => Version::ZERO,
    };
    let offered = match sketches.is_worth_it(head) {
        true => sketches.offer(reads, &request.list, head, copy).await?,
        false => None,
    };
    Ok(Answer::Diverged(Diverged {
        reason,
        head: head.announced(),
        sketch: offered
            .filter(|offered| offered.point().lineage == head.lineage)
            .map(|offered| offered.first_cells()),
    }))
}

/// Cells or rows of a sketch. One that is no longer kept, or never was, is
/// answered with the news that the copy is wrong, and another sketch.
async fn sketch<R: Reads, K: Sketches>(
    reads: &R,
    sketches: &K,
    request: &ListRequest,
    head: &Head,
    page: PageLimit,
) -> Result<Answer, R::Error> {
    let list = &request.list;
    let kept = |id: &SketchId| {
        sketches
            .find(list, id)
            .filter(|_| id.point.lineage == head.lineage || is(Bug::StaleSketch))
    };
    let answer = match &request.position {
        Position::Sketch(range) => range
            .id
            .and_then(|id| kept(&id))
            .and_then(|kept| kept.range(range))
            .map(Answer::Sketch),
        Position::SketchItems(items) => match kept(&items.id) {
            Some(kept) => Some(Answer::SketchRows(
                kept.rows(reads, list, items, page.bytes).await?,
            )),
            None => None,
        },
        Position::Cursor(_) | Position::Scan(_) => None,
    };
    match answer {
        Some(answer) => Ok(answer),
        None => diverged(reads, sketches, request, head, DivergedReason::Digest).await,
    }
}

async fn scan_page<R: Reads>(
    reads: &R,
    request: &ListRequest,
    head: &Head,
    scan: &Scan,
    limit: PageLimit,
) -> Result<ScanPage, R::Error> {
    let (began, after) = match &scan.position {
        None => (head.version, None),
        Some(position) => (position.point.version, position.after.as_ref()),
    };
    let whole = head.count <= scan.whole_up_to;
    let with_payload = if whole {
        usize::MAX
    } else {
        scan.details as usize
    };
    let payloads = if whole {
        Payloads::All
    } else {
        Payloads::First(with_payload)
    };
    let read = reads
        .scan(&request.list, began, after, payloads, limit)
        .await?;
    let rows = read
        .rows
        .into_iter()
        .skip(usize::from(after.is_some() && is(Bug::ScanSkipsRow)))
        .enumerate()
        .map(|(at, item)| row(item, at < with_payload))
        .collect();
    let proof = (read.next.is_none() && began == head.version).then_some(head.digest);
    Ok(ScanPage {
        point: highwater_protocol::Point {
            lineage: head.lineage,
            version: began,
        },
        rows,
        next: read.next,
        total: head.count,
        whole,
        proof,
    })
}

/// The details asked for, as far as they fit; the device asks again for the
/// rest.
async fn details<R: Reads>(
    reads: &R,
    request: &ListRequest,
    bytes: usize,
) -> Result<Vec<Row>, R::Error> {
    let items = reads.items(&request.list, &request.details).await?;
    let mut left = bytes;
    let fits = |item: &Item| {
        let fits = left > 0;
        left = left.saturating_sub(item.id.as_str().len() + item.payload.len());
        fits
    };
    Ok(items
        .into_iter()
        .take_while(fits)
        .map(|item| row(item, true))
        .collect())
}

/// An element as it travels.
pub(crate) fn row(item: Item, with_payload: bool) -> Row {
    let content = if with_payload {
        Content::Payload(item.payload)
    } else {
        Content::Stamp(item.stamp)
    };
    Row {
        id: item.id,
        rank: item.rank,
        content,
    }
}

/// Bytes of rows in an answer, as [`Budget::response_bytes`] counts them.
fn cost(answer: &Answer, details: &[Row]) -> usize {
    let row = |row: &Row| {
        let content = match &row.content {
            Content::Payload(payload) => payload.len(),
            Content::Stamp(_) => 16,
        };
        row.id.as_str().len() + row.rank.as_bytes().len() + content + 8
    };
    let id = |id: &ItemId| id.as_str().len() + 2;
    let answered: usize = match answer {
        Answer::Delta(delta) => {
            delta.rows.iter().map(row).sum::<usize>() + delta.deleted.iter().map(id).sum::<usize>()
        }
        Answer::Scan(page) => page.rows.iter().map(row).sum(),
        Answer::SketchRows(rows) => rows.rows.iter().map(row).sum(),
        Answer::Sketch(cells) => cells.cells.len() * 18,
        Answer::Diverged(diverged) => diverged
            .sketch
            .as_ref()
            .map_or(0, |cells| cells.cells.len() * 18),
        _ => 0,
    };
    answered + details.iter().map(row).sum::<usize>()
}

/// Where a delta from `cursor` begins to lack deletions.
pub(crate) fn deletes_incomplete(head: &Head, cursor: Version) -> bool {
    match is(Bug::FloorOffByOne) {
        true => cursor.next() < head.floor,
        false => cursor < head.floor,
    }
}
