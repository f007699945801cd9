//! The wire's messages. What is read is what is written: a message that was
//! taken means the same after it was written and read again, in either form.

use bytes::Bytes;
use highwater_protocol::codec::Format;
use highwater_protocol::kinds::{GroupProfile, JoinedGroup, Member, Payload};
use highwater_protocol::message::{
    Answer, Cursor, Receipts, Scan, SketchItems, SketchRange, Snapshot, SyncRequest, SyncResponse,
    WriteAnswer,
};
use highwater_protocol::{Refusal, limits, shape, wire};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

pub(crate) fn request_protobuf(data: &[u8]) {
    request(Format::Protobuf, data);
}

pub(crate) fn request_json(data: &[u8]) {
    request(Format::Json, data);
}

pub(crate) fn response_protobuf(data: &[u8]) {
    response(Format::Protobuf, data);
}

pub(crate) fn response_json(data: &[u8]) {
    response(Format::Json, data);
}

fn read<M>(format: Format, data: &[u8]) -> Result<M, Refusal>
where
    M: prost::Message + Default + DeserializeOwned,
{
    format.decode(Bytes::copy_from_slice(data))
}

/// Writes and reads in both forms.
fn again<M>(message: &M) -> [M; 2]
where
    M: prost::Message + Default + DeserializeOwned + Serialize + PartialEq,
{
    [Format::Protobuf, Format::Json].map(|format| {
        let written = format.encode(message);
        let read: M = format
            .decode(written)
            .unwrap_or_else(|no| panic!("what was written cannot be read: {no}"));
        assert!(read == *message, "{format:?} changes a message");
        read
    })
}

fn request(format: Format, data: &[u8]) {
    let counted = shape::check_sync_request(format, data);
    let Ok(message) = read::<wire::SyncRequest>(format, data) else {
        return;
    };
    let Ok(request) = SyncRequest::try_from(message) else {
        return;
    };
    let details: usize = request.lists.iter().map(|list| list.details.len()).sum();
    assert!(request.lists.len() <= limits::LISTS_PER_REQUEST);
    assert!(details <= limits::DETAILS_PER_REQUEST);
    assert!((1..=limits::PAGE_ROWS).contains(&request.page_rows));
    assert_eq!(counted, Ok(()), "what the limits allow was refused unread");
    for message in again(&wire::SyncRequest::from(request.clone())) {
        assert_eq!(SyncRequest::try_from(message).as_ref(), Ok(&request));
    }
}

fn response(format: Format, data: &[u8]) {
    let Ok(message) = read::<wire::SyncResponse>(format, data) else {
        return;
    };
    // Also as the answer to another request.
    drop(SyncResponse::parse(message.clone(), 1));
    let lists = message
        .answers
        .len()
        .saturating_add(message.aligned as usize);
    let Ok(response) = SyncResponse::parse(message, lists) else {
        return;
    };
    for answer in &response.answers {
        let (rows, cells) = match &answer.answer {
            Answer::Delta(delta) => (delta.rows.len() + delta.deleted.len(), 0),
            Answer::Scan(page) => (page.rows.len(), 0),
            Answer::Sketch(cells) => (0, cells.cells.len()),
            _ => (0, 0),
        };
        assert!(rows <= limits::PAGE_ROWS && cells <= limits::SKETCH_CELLS);
    }
    for message in again(&wire::SyncResponse::from(response.clone())) {
        assert_eq!(SyncResponse::parse(message, lists).as_ref(), Ok(&response));
    }
}

/// A message that parses into `P`, and is written from it.
fn parsed<M, P>(format: Format, data: &[u8])
where
    M: prost::Message + Default + DeserializeOwned + Serialize + PartialEq + From<P>,
    P: TryFrom<M, Error = Refusal> + Clone + PartialEq + Debug,
{
    let Ok(message) = read::<M>(format, data) else {
        return;
    };
    let Ok(value) = P::try_from(message) else {
        return;
    };
    for message in again(&M::from(value.clone())) {
        assert_eq!(P::try_from(message).as_ref(), Ok(&value));
    }
}

/// A message that is used as it is.
fn plain<M>(format: Format, data: &[u8])
where
    M: prost::Message + Default + DeserializeOwned + Serialize + PartialEq,
{
    if let Ok(message) = read::<M>(format, data) {
        again(&message);
    }
}

fn payload<P: Payload + Clone + PartialEq + Debug>(data: &[u8]) {
    if let Ok(value) = P::decode(data) {
        assert_eq!(P::decode(&value.encode()).as_ref(), Ok(&value));
    }
}

/// The first byte chooses the form.
pub(crate) fn receipts(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let format = form(*choice);
    let counted = shape::check_receipts(format, data);
    let read = read::<wire::Receipts>(format, data).and_then(Receipts::try_from);
    if read.is_ok() {
        assert_eq!(counted, Ok(()), "what the limits allow was refused unread");
    }
    parsed::<wire::Receipts, Receipts>(format, data);
}

/// The first byte chooses the form and the message, as a folder of the corpus
/// for each would say little.
pub(crate) fn others(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let format = form(*choice);
    match choice / 2 {
        0 => plain::<wire::Hello>(format, data),
        1 => plain::<wire::Error>(format, data),
        2 => parsed::<wire::ListSnapshot, Snapshot>(format, data),
        3 => payload::<JoinedGroup>(data),
        4 => payload::<Member>(data),
        6 => parsed::<wire::WriteAnswer, WriteAnswer>(format, data),
        _ => payload::<GroupProfile>(data),
    }
}

/// Where a device stands, goes on, or wants to look: each by itself.
pub(crate) fn positions(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let format = form(*choice);
    match choice / 2 {
        0 => parsed::<wire::Cursor, Cursor>(format, data),
        1 => parsed::<wire::Scan, Scan>(format, data),
        2 => parsed::<wire::SketchRange, SketchRange>(format, data),
        _ => parsed::<wire::SketchItems, SketchItems>(format, data),
    }
}

const fn form(choice: u8) -> Format {
    match choice % 2 {
        0 => Format::Protobuf,
        _ => Format::Json,
    }
}
