//! Peer input that breaks a rule is refused with code, field and limit, and
//! what a newer peer adds is ignored.

use highwater_protocol::codec::Format;
use highwater_protocol::message::{SyncRequest, SyncResponse};
use highwater_protocol::{Code, Refusal, limits, wire};

const CURSOR: &str = r#""cursor":{"lineage":"1","version":"1"}"#;

fn request(json: &str) -> Result<SyncRequest, Refusal> {
    let wire: wire::SyncRequest = Format::Json.decode(json.to_owned().into())?;
    wire.try_into()
}

/// A request about one list, of this JSON.
fn one(list: &str) -> Result<SyncRequest, Refusal> {
    request(&format!(r#"{{"protocol":1,"lists":[{list}]}}"#))
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, code: Code, field: &str, limit: u64) {
    let no = result.unwrap_err();
    assert_eq!(
        (no.code, no.field.as_str(), no.limit),
        (code, field, limit),
        "{no}"
    );
}

#[test]
fn a_zero_lineage_names_its_field() {
    let list = r#"{"kind":"groups","owner":"u1","cursor":{"version":"1"}}"#;
    refused(one(list), Code::ZeroLineage, "lists[0].cursor.lineage", 0);
    let list = r#"{"kind":"groups","owner":"u1","scan":{"position":{"version":"1"}}}"#;
    refused(
        one(list),
        Code::ZeroLineage,
        "lists[0].scan.position.lineage",
        0,
    );
}

#[test]
fn over_long_names_are_refused_with_their_limit() {
    let long = "x".repeat(129);
    let list = format!(r#"{{"kind":"groups","owner":"{long}",{CURSOR}}}"#);
    refused(one(&list), Code::TooLarge, "lists[0].owner", 128);
    let kind = "k".repeat(65);
    let list = format!(r#"{{"kind":"{kind}","owner":"u",{CURSOR}}}"#);
    refused(one(&list), Code::TooLarge, "lists[0].kind", 64);
    let list = format!(r#"{{"kind":"groups","owner":"u","details":["{long}"],{CURSOR}}}"#);
    refused(one(&list), Code::TooLarge, "lists[0].details[0]", 128);
    let list = format!(r#"{{"kind":"groups","owner":"",{CURSOR}}}"#);
    refused(one(&list), Code::InvalidField, "lists[0].owner", 0);
}

#[test]
fn a_request_has_1_to_1000_lists_and_details_and_page_rows() {
    refused(request(r#"{"protocol":1}"#), Code::InvalidField, "lists", 0);
    let list = format!(r#"{{"kind":"groups","owner":"u",{CURSOR}}}"#);
    let many = vec![list.as_str(); limits::LISTS_PER_REQUEST].join(",");
    assert!(one(&many).is_ok());
    refused(one(&format!("{many},{list}")), Code::TooMany, "lists", 1000);
    let ids = vec![r#""a""#; 1001].join(",");
    let list = format!(r#"{{"kind":"groups","owner":"u","details":[{ids}],{CURSOR}}}"#);
    refused(one(&list), Code::TooMany, "lists.details", 1000);
    let list = format!(r#"{{"kind":"groups","owner":"u",{CURSOR}}}"#);
    let wide = format!(r#"{{"protocol":1,"pageRows":1001,"lists":[{list}]}}"#);
    refused(request(&wide), Code::TooMany, "page_rows", 1000);
}

#[test]
fn a_list_without_position_and_an_odd_digest_are_refused() {
    let list = r#"{"kind":"groups","owner":"u"}"#;
    refused(one(list), Code::InvalidField, "lists[0].cursor", 0);
    let list = r#"{"kind":"groups","owner":"u","cursor":{"lineage":"1","digest":"AAA="}}"#;
    refused(one(list), Code::InvalidField, "lists[0].cursor.digest", 0);
}

#[test]
fn another_protocol_is_named_and_garbage_is_malformed() {
    let list = format!(r#"{{"kind":"groups","owner":"u",{CURSOR}}}"#);
    let newer = format!(r#"{{"protocol":2,"lists":[{list}]}}"#);
    refused(request(&newer), Code::UnsupportedProtocol, "protocol", 0);
    refused(request("{"), Code::MalformedMessage, "", 0);
    let garbage = Format::Protobuf.decode::<wire::SyncRequest>(vec![0xff; 9].into());
    refused(garbage, Code::MalformedMessage, "", 0);
}

#[test]
fn fields_of_a_newer_peer_are_ignored_in_both_forms() {
    let list = format!(r#"{{"kind":"groups","owner":"u","fromTheFuture":{{"a":1}},{CURSOR}}}"#);
    assert!(one(&list).is_ok());
    // Field 99, a string, behind "aligned: 1".
    let newer = vec![0x08, 1, 0x9a, 0x06, 1, b'x'];
    let wire: wire::SyncResponse = Format::Protobuf.decode(newer.into()).unwrap();
    assert_eq!(SyncResponse::parse(wire, 1).unwrap().aligned, 1);
}

fn response(json: &str, lists: usize) -> Result<SyncResponse, Refusal> {
    let wire: wire::SyncResponse = Format::Json.decode(json.to_owned().into())?;
    SyncResponse::parse(wire, lists)
}

#[test]
fn a_response_answers_each_list_exactly_once() {
    let broken = Code::MalformedMessage;
    refused(response("{}", 1), broken, "aligned", 0);
    refused(response(r#"{"aligned":2}"#, 1), broken, "aligned", 0);
    let twice = r#"{"answers":[{"aligned":{}},{"aligned":{}}]}"#;
    refused(response(twice, 2), broken, "answers[1].list", 0);
    let beyond = r#"{"answers":[{"list":1,"aligned":{}}]}"#;
    refused(response(beyond, 1), broken, "answers[0].list", 0);
    refused(
        response(r#"{"answers":[{}]}"#, 1),
        broken,
        "answers[0].answer",
        0,
    );
}

#[test]
fn a_row_has_its_payload_or_its_stamp() {
    let delta = |row: &str| format!(r#"{{"answers":[{{"delta":{{"rows":[{row}],"to":"1"}}}}]}}"#);
    for row in [
        r#"{"id":"a"}"#,
        r#"{"id":"a","payload":"","stamp":"AAECAwQFBgcICQoLDA0ODw=="}"#,
    ] {
        let field = "answers[0].delta.rows[0].payload";
        refused(response(&delta(row), 1), Code::InvalidField, field, 0);
    }
    let short = r#"{"id":"a","stamp":"AAEC"}"#;
    refused(
        response(&delta(short), 1),
        Code::InvalidField,
        "answers[0].delta.rows[0].stamp",
        0,
    );
    let header = r#"{"rank":"AA==","payload":""}"#;
    refused(
        response(&delta(header), 1),
        Code::InvalidField,
        "answers[0].delta.rows[0].rank",
        0,
    );
}

#[test]
fn a_delta_and_a_scan_get_on() {
    let stands = r#"{"answers":[{"delta":{"to":"5","headVersion":"5"}}]}"#;
    refused(
        response(stands, 1),
        Code::MalformedMessage,
        "answers[0].delta.head_version",
        0,
    );
    let empty = r#"{"answers":[{"scan":{"lineage":"1","version":"1"}}]}"#;
    refused(
        response(empty, 1),
        Code::MalformedMessage,
        "answers[0].scan.rows",
        0,
    );
    let rows = r#"[{"id":"b","payload":""},{"id":"a","payload":""}]"#;
    let back = format!(r#"{{"answers":[{{"scan":{{"lineage":"1","rows":{rows},"done":true}}}}]}}"#);
    refused(
        response(&back, 1),
        Code::MalformedMessage,
        "answers[0].scan.rows",
        0,
    );
    let early = r#"{"answers":[{"scan":{"lineage":"1","proof":true,"rows":[{"payload":""}]}}]}"#;
    refused(
        response(early, 1),
        Code::MalformedMessage,
        "answers[0].scan.proof",
        0,
    );
}

/// Found by fuzzing: the index of the cell after the last overflowed.
#[test]
fn cells_end_before_the_last_index() {
    let cells = |from: &str| {
        let id = r#"{"lineage":"1","version":"1","salt":"1"}"#;
        let one = r#""sums":"AAAAAAAAAAA=","checks":"AAAAAAAAAAA=","counts":["0"]"#;
        format!(r#"{{"answers":[{{"sketch":{{"id":{id},"from":"{from}",{one}}}}}]}}"#)
    };
    let last = "18446744073709551615";
    refused(
        response(&cells(last), 1),
        Code::InvalidField,
        "answers[0].sketch.from",
        0,
    );
    let before = response(&cells("18446744073709551614"), 1).unwrap();
    assert_eq!(before.answers.len(), 1);
}
