//! What a device asks.

use super::{SketchItems, SketchRange, order_key, point};
use crate::error::{Code, Refusal};
use crate::ids::{ItemId, ListKey, OrderKey, Point};
use crate::sum::Digest;
use crate::{limits, wire};

/// One request: any number of lists, answered from one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncRequest {
    /// Up to 1,000.
    pub lists: Vec<ListRequest>,
    /// Rows that a page may hold: 1 to 1,000.
    pub page_rows: usize,
}

/// What a device says about one list, and asks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRequest {
    /// Which list.
    pub list: ListKey,
    /// How the device stands to it.
    pub position: Position,
    /// Items whose payload it lacks.
    pub details: Vec<ItemId>,
    /// How many changed rows may come with their payload; `None`: all.
    pub delta_details: Option<u32>,
}

/// How a device stands to a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// It has a copy.
    Cursor(Cursor),
    /// It has none that it could go on from.
    Scan(Scan),
    /// It has one that is wrong, and asks in what.
    Sketch(SketchRange),
    /// It knows in what, and asks for what it lacks.
    SketchItems(SketchItems),
}

/// Where a copy stands, and what it sums to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Lineage and version.
    pub point: Point,
    /// The sum of the copy's stamps.
    pub digest: Digest,
    /// How many elements the copy has, the header included.
    pub count: u64,
}

/// Reading a whole list in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Where an earlier page ended; `None` begins.
    pub position: Option<ScanPosition>,
    /// A list of up to so many elements comes with every payload.
    pub whole_up_to: u64,
    /// Of a longer one, so many rows of this page do.
    pub details: u32,
}

/// Where a scan goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPosition {
    /// The version at which the scan began.
    pub point: Point,
    /// The last row that the device has.
    pub after: Option<OrderKey>,
}

impl TryFrom<wire::SyncRequest> for SyncRequest {
    type Error = Refusal;

    fn try_from(request: wire::SyncRequest) -> Result<Self, Refusal> {
        if request.protocol != limits::PROTOCOL {
            return Err(Refusal::new(
                Code::UnsupportedProtocol,
                format!(
                    "the request is written in protocol {}; this server speaks {}",
                    request.protocol,
                    limits::PROTOCOL
                ),
            )
            .at("protocol"));
        }
        let page_rows = match request.page_rows as usize {
            0 => limits::PAGE_ROWS,
            rows if rows > limits::PAGE_ROWS => {
                return Err(Refusal::too_many("page_rows", rows, limits::PAGE_ROWS));
            }
            rows => rows,
        };
        if request.lists.is_empty() {
            return Err(Refusal::invalid(
                "lists",
                "a sync request names at least one list",
            ));
        }
        if request.lists.len() > limits::LISTS_PER_REQUEST {
            return Err(Refusal::too_many(
                "lists",
                request.lists.len(),
                limits::LISTS_PER_REQUEST,
            ));
        }
        let details = request.lists.iter().map(wire_details).sum();
        if details > limits::DETAILS_PER_REQUEST {
            return Err(Refusal::too_many(
                "lists.details",
                details,
                limits::DETAILS_PER_REQUEST,
            ));
        }
        let lists = request
            .lists
            .into_iter()
            .enumerate()
            .map(|(at, list)| {
                ListRequest::try_from(list).map_err(|no| no.within(&format!("lists[{at}]")))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { lists, page_rows })
    }
}

/// Rows that a list is asked for one by one.
fn wire_details(list: &wire::ListRequest) -> usize {
    use wire::list_request::Position as Wire;
    let elements = match &list.position {
        Some(Wire::SketchItems(items)) => items.elements.len(),
        _ => 0,
    };
    list.details.len() + elements
}

impl TryFrom<wire::ListRequest> for ListRequest {
    type Error = Refusal;

    fn try_from(request: wire::ListRequest) -> Result<Self, Refusal> {
        use wire::list_request::Position as Wire;
        let list = ListKey::new(&request.kind, &request.owner)?;
        let position = match request.position {
            Some(Wire::Cursor(cursor)) => Position::Cursor(
                cursor
                    .try_into()
                    .map_err(|no: Refusal| no.within("cursor"))?,
            ),
            Some(Wire::Scan(scan)) => {
                Position::Scan(scan.try_into().map_err(|no: Refusal| no.within("scan"))?)
            }
            Some(Wire::Sketch(range)) => Position::Sketch(
                range
                    .try_into()
                    .map_err(|no: Refusal| no.within("sketch"))?,
            ),
            Some(Wire::SketchItems(items)) => Position::SketchItems(
                items
                    .try_into()
                    .map_err(|no: Refusal| no.within("sketch_items"))?,
            ),
            None => {
                return Err(Refusal::invalid(
                    "cursor",
                    "a list is asked for with a cursor, a scan or a sketch",
                ));
            }
        };
        let details = request
            .details
            .iter()
            .enumerate()
            .map(|(at, id)| {
                ItemId::new_or_header(id).map_err(|no| Refusal {
                    field: format!("details[{at}]"),
                    ..no
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            list,
            position,
            details,
            delta_details: request.delta_details,
        })
    }
}

impl TryFrom<wire::Cursor> for Cursor {
    type Error = Refusal;

    fn try_from(cursor: wire::Cursor) -> Result<Self, Refusal> {
        Ok(Self {
            point: point(cursor.lineage, cursor.version)?,
            digest: Digest::parse(&cursor.digest)?,
            count: cursor.count,
        })
    }
}

impl TryFrom<wire::Scan> for Scan {
    type Error = Refusal;

    fn try_from(scan: wire::Scan) -> Result<Self, Refusal> {
        let position = match scan.position {
            None => None,
            Some(position) => {
                let within = |no: Refusal| no.within("position");
                let after = match position.after {
                    None => None,
                    Some(key) => Some(
                        order_key(key)
                            .map_err(|no| no.within("after"))
                            .map_err(within)?,
                    ),
                };
                Some(ScanPosition {
                    point: point(position.lineage, position.version).map_err(within)?,
                    after,
                })
            }
        };
        Ok(Self {
            position,
            whole_up_to: scan.whole_up_to,
            details: scan.details,
        })
    }
}

impl From<SyncRequest> for wire::SyncRequest {
    fn from(request: SyncRequest) -> Self {
        let page_rows = match request.page_rows {
            limits::PAGE_ROWS => 0,
            rows => u32::try_from(rows).unwrap_or(u32::MAX),
        };
        Self {
            protocol: limits::PROTOCOL,
            lists: request.lists.into_iter().map(Into::into).collect(),
            page_rows,
        }
    }
}

impl From<ListRequest> for wire::ListRequest {
    fn from(request: ListRequest) -> Self {
        use wire::list_request::Position as Wire;
        Self {
            kind: request.list.kind.as_str().to_owned(),
            owner: request.list.owner.as_str().to_owned(),
            position: Some(match request.position {
                Position::Cursor(cursor) => Wire::Cursor(cursor.into()),
                Position::Scan(scan) => Wire::Scan(scan.into()),
                Position::Sketch(range) => Wire::Sketch(range.into()),
                Position::SketchItems(items) => Wire::SketchItems(items.into()),
            }),
            details: request
                .details
                .iter()
                .map(|id| id.as_str().to_owned())
                .collect(),
            delta_details: request.delta_details,
        }
    }
}

impl From<Cursor> for wire::Cursor {
    fn from(cursor: Cursor) -> Self {
        Self {
            lineage: cursor.point.lineage.get(),
            version: cursor.point.version.get(),
            digest: cursor.digest.to_wire().into(),
            count: cursor.count,
        }
    }
}

impl From<Scan> for wire::Scan {
    fn from(scan: Scan) -> Self {
        Self {
            position: scan.position.map(|position| wire::ScanPosition {
                lineage: position.point.lineage.get(),
                version: position.point.version.get(),
                after: position.after.map(Into::into),
            }),
            whole_up_to: scan.whole_up_to,
            details: scan.details,
        }
    }
}
