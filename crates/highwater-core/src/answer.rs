//! The server's side of a catch-up: the answer to a request, over a store's
//! reads.
//!
//! One branch per way a device can stand to a list, and none on what the list
//! holds. Who may read what is decided before, from the same snapshot.

use crate::delta;
use crate::head::Head;
use crate::reads::{Item, ListState, PageLimit, Payloads, Reads};
use highwater_protocol::limits;
use highwater_protocol::message::{
    Answer, Content, Cursor, Diverged, DivergedReason, GoneReason, ListAnswer, ListRequest,
    Position, Row, Scan, ScanPage, SyncRequest, SyncResponse,
};
use highwater_protocol::{ItemId, Lineage, Refusal, Version};

/// What the reader of a request may do with one of its lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// Nothing.
    Denied,
    /// The list cannot be asked for at all: its kind is not known, say.
    Refused(Refusal),
}

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
    if (head.digest, head.count) != (cursor.digest, cursor.count) {
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
pub async fn answer<R: Reads>(
    reads: &R,
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
            Access::Denied => (denied(reads, list).await?, Vec::new()),
            Access::Read => answer_list(reads, list, budget.page, left).await?,
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
    }
}

async fn answer_list<R: Reads>(
    reads: &R,
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
    };
    // Details are asked for by a page that someone waits for: they go first.
    if left == 0 && (!standing.is_settled() || !request.details.is_empty()) {
        return Ok((Answer::Deferred, Vec::new()));
    }
    let page = PageLimit {
        rows: page.rows,
        bytes: page.bytes.min(left),
    };
    let answer = match standing {
        Standing::Settled(answer) => answer,
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
    /// The answer is known without reading a row.
    Settled(Answer),
    /// It has a cursor that a delta goes on from.
    Behind(&'a Cursor),
    /// It reads the list in its order.
    Scanning(&'a Scan),
}

impl Standing<'_> {
    const fn is_settled(&self) -> bool {
        matches!(self, Self::Settled(_))
    }
}

fn standing<'a>(head: &Head, cursor: &'a Cursor) -> Standing<'a> {
    let diverged = |reason| {
        Standing::Settled(Answer::Diverged(Diverged {
            reason,
            head: head.announced(),
        }))
    };
    if let Some(answer) = aligned(head, cursor) {
        return Standing::Settled(answer);
    }
    if cursor.point.lineage != head.lineage {
        diverged(DivergedReason::Lineage)
    } else if cursor.point.version > head.version {
        diverged(DivergedReason::Ahead)
    } else if cursor.point.version == head.version {
        diverged(DivergedReason::Digest)
    } else {
        Standing::Behind(cursor)
    }
}

fn scanning<'a>(head: &Head, scan: &'a Scan) -> Standing<'a> {
    let Some(position) = &scan.position else {
        return Standing::Scanning(scan);
    };
    let diverged = |reason| {
        Standing::Settled(Answer::Diverged(Diverged {
            reason,
            head: head.announced(),
        }))
    };
    if position.point.lineage != head.lineage {
        diverged(DivergedReason::Lineage)
    } else if position.point.version > head.version {
        diverged(DivergedReason::Ahead)
    } else {
        Standing::Scanning(scan)
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
        _ => 0,
    };
    answered + details.iter().map(row).sum::<usize>()
}

/// Where a delta from `cursor` begins to lack deletions.
pub(crate) fn deletes_incomplete(head: &Head, cursor: Version) -> bool {
    cursor < head.floor
}
