//! Recorded messages, read and written by today's code.

use super::corpus::Corpus;
use super::world::{read_request, read_response};
use bytes::Bytes;
use highwater_protocol::codec::Format;
use highwater_protocol::message::{
    Answer, DeltaEnd, DivergedReason, GoneReason, Position, Receipts, SketchCells, Snapshot,
    SyncRequest, SyncResponse,
};
use highwater_protocol::{Code, Version, wire};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

const FORMS: [(Format, &str); 2] = [(Format::Protobuf, "pb"), (Format::Json, "json")];

/// Every message is read; it means the same in both forms; and it is written as
/// the very bytes that were recorded.
pub(super) fn read_and_write(corpus: &Corpus) {
    for exchange in &corpus.manifest.exchanges {
        let name = &exchange.name;
        let [request, other] = FORMS.map(|(format, end)| {
            let bytes = corpus.message(name, &format!("request.{end}"));
            let request = read_request(format, &bytes);
            let again = format.encode(&wire::SyncRequest::from(request.clone()));
            assert_eq!(again, bytes, "{} {name} {format:?}", corpus.release());
            request
        });
        assert_eq!(request, other, "{name}");
        let [response, other] = FORMS.map(|(format, end)| {
            let bytes = corpus.message(name, &format!("response.{end}"));
            let response = read_response(format, &bytes, request.lists.len());
            let again = format.encode(&wire::SyncResponse::from(response.clone()));
            assert_eq!(again, bytes, "{} {name} {format:?}", corpus.release());
            response
        });
        assert!(
            same_but_for_sketches(&response, &other),
            "{name}: {response:?} {other:?}"
        );
    }
}

/// Messages outside of an exchange: the handshake, a whole list, receipts.
pub(super) fn others(corpus: &Corpus) {
    let hello = other::<wire::Hello>(corpus, "hello");
    assert!((hello.protocol_min..=hello.protocol_max).contains(&corpus.manifest.protocol));
    let snapshot = other::<wire::ListSnapshot>(corpus, "snapshot");
    let parsed = Snapshot::try_from(snapshot.clone()).unwrap();
    assert_eq!(wire::ListSnapshot::from(parsed), snapshot);
    let receipts = other::<wire::Receipts>(corpus, "receipts");
    let parsed = Receipts::try_from(receipts.clone()).unwrap();
    assert_eq!(wire::Receipts::from(parsed), receipts);
}

/// Reads a message in both forms, and writes it as it was.
fn other<M>(corpus: &Corpus, name: &str) -> M
where
    M: prost::Message + Default + Serialize + DeserializeOwned + PartialEq,
{
    let [one, other] = FORMS.map(|(format, end)| {
        let bytes = corpus.other(name, end);
        let message: M = format.decode(bytes.clone()).unwrap();
        assert_eq!(format.encode(&message), bytes, "{name} {format:?}");
        message
    });
    assert!(one == other, "{name} differs in its two forms");
    one
}

/// Whether two responses mean the same: a sketch may have another salt, and be
/// of another, recent version.
pub(super) fn same_but_for_sketches(one: &SyncResponse, other: &SyncResponse) -> bool {
    let bare = |response: &SyncResponse| {
        let mut response = response.clone();
        for one in &mut response.answers {
            match &mut one.answer {
                Answer::Diverged(diverged) => diverged.sketch.iter_mut().for_each(any_sketch),
                Answer::Sketch(cells) => any_sketch(cells),
                _ => {}
            }
        }
        response
    };
    bare(one) == bare(other)
}

/// Only the lineage of a sketch says anything across encodings.
fn any_sketch(cells: &mut SketchCells) {
    cells.id.salt.0 = 0;
    cells.id.point.version = Version::ZERO;
    cells.elements = 0;
    cells.cells.clear();
}

/// A field that is not known yet: number 99, two bytes.
const UNKNOWN_FIELD: [u8; 5] = [0x9a, 0x06, 2, b'h', b'i'];

/// Fields that a newer peer adds are ignored in both forms; an answer of a new
/// kind is refused by name.
pub(super) fn of_a_newer_peer(corpus: &Corpus) {
    let newer_pb = |bytes: Bytes| Bytes::from([&bytes[..], &UNKNOWN_FIELD].concat());
    let newer_json = |bytes: Bytes| {
        let mut value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        add_to_objects(&mut value);
        Bytes::from(value.to_string())
    };
    for exchange in &corpus.manifest.exchanges {
        let name = &exchange.name;
        for (format, end) in FORMS {
            let newer = |bytes: Bytes| match format {
                Format::Protobuf => newer_pb(bytes),
                Format::Json => newer_json(bytes),
            };
            let bytes = corpus.message(name, &format!("request.{end}"));
            let request: SyncRequest = read_request(format, &bytes);
            assert_eq!(read_request(format, &newer(bytes)), request, "{name}");
            let bytes = corpus.message(name, &format!("response.{end}"));
            let lists = request.lists.len();
            let response = read_response(format, &bytes, lists);
            assert_eq!(
                read_response(format, &newer(bytes), lists),
                response,
                "{name}"
            );
        }
    }
    // An answer whose only field has number 99.
    let answer = [&[0x12, 5][..], &UNKNOWN_FIELD].concat();
    let newer: wire::SyncResponse = Format::Protobuf.decode(answer.into()).unwrap();
    let no = SyncResponse::parse(newer, 1).unwrap_err();
    assert_eq!(
        (no.code, no.field.as_str()),
        (Code::MalformedMessage, "answers[0].answer")
    );
    assert!(no.message.contains("not known here"), "{no}");
}

fn add_to_objects(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.values_mut().for_each(add_to_objects);
            fields.insert("fromTheFuture".to_owned(), serde_json::json!({"a": [1]}));
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(add_to_objects),
        _ => {}
    }
}

/// A corpus has every kind of question and answer that its release knew: one
/// that lacks some proves little.
pub(super) fn cover(corpus: &Corpus) {
    let mut met = BTreeSet::new();
    for exchange in &corpus.manifest.exchanges {
        let bytes = corpus.message(&exchange.name, "request.pb");
        let request = read_request(Format::Protobuf, &bytes);
        for list in &request.lists {
            met.insert(match &list.position {
                Position::Cursor(_) => "ask: cursor",
                Position::Scan(scan) if scan.position.is_some() => "ask: scan on",
                Position::Scan(_) => "ask: scan",
                Position::Sketch(_) => "ask: sketch",
                Position::SketchItems(_) => "ask: sketch items",
            });
            if !list.details.is_empty() {
                met.insert("ask: details");
            }
        }
        let bytes = corpus.message(&exchange.name, "response.pb");
        let response = read_response(Format::Protobuf, &bytes, request.lists.len());
        if response.aligned > 0 {
            met.insert("aligned");
        }
        for one in &response.answers {
            if !one.details.is_empty() {
                met.insert("details");
            }
            met.insert(kind(&one.answer));
            if let Answer::Diverged(diverged) = &one.answer
                && diverged.sketch.is_some()
            {
                met.insert("diverged with sketch");
            }
            if let Answer::Delta(delta) = &one.answer
                && !delta.deleted.is_empty()
            {
                met.insert("delta with deletions");
            }
        }
    }
    let missing: Vec<_> = ALL.iter().filter(|kind| !met.contains(*kind)).collect();
    assert!(missing.is_empty(), "{} lacks {missing:?}", corpus.release());
}

const ALL: [&str; 26] = [
    "ask: cursor",
    "ask: scan",
    "ask: scan on",
    "ask: sketch",
    "ask: sketch items",
    "ask: details",
    "aligned",
    "details",
    "adopt",
    "delta",
    "delta: a page",
    "delta with deletions",
    "delta: deletes incomplete",
    "diverged: lineage",
    "diverged: ahead",
    "diverged: digest",
    "diverged with sketch",
    "gone: deleted",
    "gone: forbidden",
    "gone: unspecified",
    "scan: a page",
    "scan: proved",
    "sketch",
    "sketch rows",
    "deferred",
    "refused",
];

fn kind(answer: &Answer) -> &'static str {
    match answer {
        Answer::Aligned => "aligned",
        Answer::Adopt(_) => "adopt",
        Answer::Delta(delta) if delta.deletes_incomplete => "delta: deletes incomplete",
        Answer::Delta(delta) => match delta.end {
            DeltaEnd::More(_) => "delta: a page",
            DeltaEnd::Proof(..) => "delta",
        },
        Answer::Diverged(diverged) => match diverged.reason {
            DivergedReason::Lineage => "diverged: lineage",
            DivergedReason::Ahead => "diverged: ahead",
            DivergedReason::Digest => "diverged: digest",
            DivergedReason::Unknown => "diverged: unknown",
        },
        Answer::Gone(GoneReason::Deleted) => "gone: deleted",
        Answer::Gone(GoneReason::Forbidden) => "gone: forbidden",
        Answer::Gone(GoneReason::Unspecified) => "gone: unspecified",
        Answer::Scan(page) if page.proof.is_some() => "scan: proved",
        Answer::Scan(_) => "scan: a page",
        Answer::Sketch(_) => "sketch",
        Answer::SketchRows(_) => "sketch rows",
        Answer::Deferred => "deferred",
        Answer::Refused(_) => "refused",
    }
}
