//! The server's answer to any request.
//!
//! Nothing panics, every list is answered so that a device can read it, the
//! limits hold, and a reader without the right gets nothing (I8): the same
//! answer as for a list that never was, unless its cursor shows that it once
//! could read it.

use crate::invent::number;
use crate::world::{Server, id, lists, rank};
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use highwater_core::answer::{Access, Budget};
use highwater_core::reads::{ListState, PageLimit};
use highwater_protocol::codec::Format;
use highwater_protocol::message::{
    Answer, GoneReason, ListAnswer, ListRequest, Position, SyncRequest, SyncResponse,
};
use highwater_protocol::{Code, Lineage, Refusal, limits, wire};

/// Bytes of one row here at most, with what is around it.
const ROW_BYTES_MAX: usize = 128;

pub(crate) fn to_anything(data: &[u8]) {
    let _ = run(&mut Unstructured::new(data));
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let mut server = Server::filled(u)?;
    while !u.is_empty() {
        if u.ratio(1, 4)? {
            server.go_on(u)?;
        }
        let Some(request) = request(u, &server)? else {
            continue;
        };
        let access: Vec<Access> = request
            .lists
            .iter()
            .map(|_| access(u))
            .collect::<Result<_>>()?;
        let budget = Budget {
            page: PageLimit {
                rows: request.page_rows,
                bytes: u.int_in_range(1..=600)?,
            },
            response_bytes: u.int_in_range(0..=1_500)?,
        };
        // An answer may make sketches, which the next offers; and one that was
        // asked for by a guess may be among them, so that the next has it.
        let mut made = None;
        while made != Some(server.sketches.made()) {
            made = Some(server.sketches.made());
            server.answer_within(&request, &access, budget);
        }
        let response = server.answer_within(&request, &access, budget);
        let again = server.answer_within(&request, &access, budget);
        assert_eq!(response, again, "the same request, the same answer");
        check(&server, &request, &access, budget, response);
    }
    Ok(())
}

fn access(u: &mut Unstructured<'_>) -> Result<Access> {
    Ok(match u.int_in_range(0..=5u8)? {
        0 => Access::Denied,
        1 => Access::Refused(Refusal::new(Code::UnknownKind, "no such kind")),
        2 => Access::Header,
        _ => Access::Read,
    })
}

/// A request that the protocol allows: nothing else gets so far.
fn request(u: &mut Unstructured<'_>, server: &Server) -> Result<Option<SyncRequest>> {
    let asked = (0..u.int_in_range(1..=4)?)
        .map(|_| list_request(u, server))
        .collect::<Result<_>>()?;
    let message = wire::SyncRequest {
        protocol: limits::PROTOCOL,
        lists: asked,
        page_rows: u.int_in_range(1..=8)?,
    };
    let sent = Format::Protobuf.encode(&message);
    let received: std::result::Result<wire::SyncRequest, _> = Format::Protobuf.decode(sent);
    Ok(received
        .ok()
        .and_then(|received| SyncRequest::try_from(received).ok()))
}

fn list_request(u: &mut Unstructured<'_>, server: &Server) -> Result<wire::ListRequest> {
    use wire::list_request::Position as Wire;
    let [a, b, never] = lists();
    let list = match u.int_in_range(0..=6u8)? {
        0 => never,
        1..=3 => a,
        _ => b,
    };
    let head = server.head(&list);
    let lineage = match u.int_in_range(0..=5u8)? {
        0 => number(u)?,
        _ => head.lineage.get(),
    };
    let version = match u.int_in_range(0..=3u8)? {
        0 => head.version.get(),
        1 => head.version.get().saturating_sub(u.int_in_range(0..=9)?),
        _ => number(u)?,
    };
    let kept = server.sketches.newest(&list);
    let sketch_id = match (&kept, u.int_in_range(0..=3u8)?) {
        (Some(kept), 1..) => wire::SketchId::from(kept.id()),
        _ => wire::SketchId {
            lineage,
            version,
            salt: 7,
        },
    };
    let position = match u.int_in_range(0..=5u8)? {
        0 | 1 => Wire::Cursor(wire::Cursor {
            lineage,
            version,
            digest: match u.int_in_range(0..=2u8)? {
                0 => head.digest.to_wire().into(),
                1 => Bytes::new(),
                _ => Bytes::copy_from_slice(&u.arbitrary::<[u8; 16]>()?),
            },
            count: match u.arbitrary()? {
                true => head.count,
                false => number(u)?,
            },
        }),
        2 | 3 => Wire::Scan(wire::Scan {
            position: match u.arbitrary()? {
                true => None,
                false => {
                    let id = id(u)?;
                    let key = wire::OrderKey {
                        rank: rank(u, &id)?.to_bytes(),
                        id: id.as_str().to_owned(),
                    };
                    Some(wire::ScanPosition {
                        lineage,
                        version,
                        after: u.arbitrary::<bool>()?.then_some(key),
                    })
                }
            },
            whole_up_to: number(u)?,
            details: u.int_in_range(0..=5)?,
        }),
        4 => Wire::Sketch(wire::SketchRange {
            id: u.arbitrary::<bool>()?.then_some(sketch_id),
            from: number(u)?,
            cells: u.int_in_range(0..=200)?,
        }),
        _ => {
            let stamps = server.items(&list).into_iter().map(|item| item.stamp);
            let id = kept.map(|kept| kept.id());
            let elements =
                stamps.filter_map(|stamp| Some(highwater_core::sketch::element_of(&id?, stamp).0));
            let mut elements: Vec<u64> = elements.collect();
            if u.arbitrary()? {
                elements.push(u.arbitrary()?);
                elements.extend_from_within(..);
            }
            Wire::SketchItems(wire::SketchItems {
                id: Some(sketch_id),
                elements,
            })
        }
    };
    let details = (0..u.int_in_range(0..=4)?)
        .map(|_| Ok(id(u)?.as_str().to_owned()))
        .collect::<Result<_>>()?;
    Ok(wire::ListRequest {
        kind: list.kind.as_str().to_owned(),
        owner: list.owner.as_str().to_owned(),
        position: Some(position),
        details,
        delta_details: match u.arbitrary()? {
            true => None,
            false => Some(u.int_in_range(0..=4)?),
        },
    })
}

fn check(
    server: &Server,
    request: &SyncRequest,
    access: &[Access],
    budget: Budget,
    response: SyncResponse,
) {
    let sent = Format::Protobuf.encode(&wire::SyncResponse::from(response.clone()));
    let received = Format::Protobuf
        .decode(sent)
        .and_then(|received| SyncResponse::parse(received, request.lists.len()));
    assert_eq!(received.as_ref(), Ok(&response), "a device cannot read it");
    let mut rows_bytes = 0;
    for one in &response.answers {
        let asked = &request.lists[one.list];
        let size = check_one(asked, budget, one);
        match &access[one.list] {
            Access::Read => rows_bytes += size,
            Access::Header => {
                check_header(one);
                rows_bytes += size;
            }
            Access::Refused(no) => {
                assert_eq!(one.answer, Answer::Refused(no.clone()));
                assert!(one.details.is_empty());
            }
            Access::Denied => check_denied(server, asked, one),
        }
    }
    for (at, access) in access.iter().enumerate() {
        let named = response.answers.iter().any(|one| one.list == at);
        let reads = matches!(access, Access::Read | Access::Header);
        assert!(named || reads, "told that it is aligned");
    }
    // The last list may go beyond by one page and its details; each by one row.
    let most = budget.response_bytes + 2 * (budget.page.bytes + ROW_BYTES_MAX);
    assert!(rows_bytes <= most, "{rows_bytes} bytes of rows: {budget:?}");
}

/// Nothing but the header is seen by whoever may read no more.
fn check_header(one: &ListAnswer) {
    let (rows, count) = match &one.answer {
        Answer::Delta(delta) => {
            assert!(delta.deleted.is_empty());
            (&delta.rows[..], 0)
        }
        Answer::Scan(page) => (&page.rows[..], page.total),
        Answer::Diverged(diverged) => {
            assert!(diverged.sketch.is_none());
            (&[][..], diverged.head.count)
        }
        Answer::Sketch(_) | Answer::SketchRows(_) => panic!("a sketch of what is hidden"),
        _ => (&[][..], 0),
    };
    assert!(count <= 1);
    let mut ids = rows.iter().chain(&one.details).map(|row| &row.id);
    assert!(ids.all(|id| id.is_header()));
}

/// Bytes of rows in one answer, which is within its limits.
fn check_one(asked: &ListRequest, budget: Budget, one: &ListAnswer) -> usize {
    let page = |rows: usize| assert!(rows <= budget.page.rows, "{rows} rows in a page");
    let rows = match &one.answer {
        Answer::Delta(delta) => {
            page(delta.rows.len() + delta.deleted.len());
            assert!(matches!(asked.position, Position::Cursor(_)));
            &delta.rows[..]
        }
        Answer::Scan(scan) => {
            page(scan.rows.len());
            assert!(matches!(asked.position, Position::Scan(_)));
            &scan.rows[..]
        }
        Answer::SketchRows(rows) => {
            let Position::SketchItems(items) = &asked.position else {
                panic!("rows of a sketch that were not asked for");
            };
            assert!(rows.done <= items.elements.len() && rows.rows.len() <= rows.done);
            &rows.rows[..]
        }
        Answer::Sketch(cells) => {
            assert!(cells.cells.len() <= limits::SKETCH_CELLS);
            &[]
        }
        _ => &[],
    };
    assert!(one.details.len() <= asked.details.len());
    rows.iter()
        .chain(&one.details)
        .map(|row| match &row.content {
            highwater_protocol::message::Content::Payload(payload) => payload.len() + 20,
            highwater_protocol::message::Content::Stamp(_) => 36,
        })
        .sum()
}

/// I8: nothing, and no more of a reason than the reader's own cursor proves.
fn check_denied(server: &Server, asked: &ListRequest, one: &ListAnswer) {
    assert!(one.details.is_empty(), "details for a reader without right");
    let Answer::Gone(reason) = one.answer else {
        panic!("{:?} for a reader without right", one.answer);
    };
    let named = named_lineage(asked);
    let allowed = match server.state(&asked.list) {
        ListState::Live(head) if Some(head.lineage) == named => GoneReason::Forbidden,
        ListState::Ended(lineage) if Some(lineage) == named => GoneReason::Deleted,
        _ => GoneReason::Unspecified,
    };
    assert_eq!(reason, allowed);
}

fn named_lineage(asked: &ListRequest) -> Option<Lineage> {
    match &asked.position {
        Position::Cursor(cursor) => Some(cursor.point.lineage),
        Position::Scan(scan) => Some(scan.position.as_ref()?.point.lineage),
        Position::Sketch(range) => Some(range.id?.point.lineage),
        Position::SketchItems(items) => Some(items.id.point.lineage),
    }
}
