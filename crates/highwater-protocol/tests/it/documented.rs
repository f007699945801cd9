//! `docs/protocol.md` against the code: examples, limits, error codes.

use highwater_protocol::codec::Format;
use highwater_protocol::{Code, limits, wire};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

const DOCUMENT: &str = include_str!("../../../../docs/protocol.md");

/// The fenced blocks: what stands behind the fence, and the text inside.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let mut parts = DOCUMENT.split("```");
    parts.next();
    let mut blocks = Vec::new();
    while let (Some(block), Some(_)) = (parts.next(), parts.next()) {
        let (info, text) = block.split_once('\n').unwrap();
        blocks.push((info, text.trim()));
    }
    blocks
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The JSON's protobuf bytes, after making sure that both forms read back.
fn both_ways<M>(json: &str) -> String
where
    M: Message + Default + Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let message: M = Format::Json.decode(json.to_owned().into()).unwrap();
    let bytes = Format::Protobuf.encode(&message);
    assert_eq!(
        Format::Protobuf.decode::<M>(bytes.clone()).unwrap(),
        message
    );
    let again = Format::Json.encode(&message);
    let as_value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    assert_eq!(
        as_value(&again),
        as_value(json.as_bytes()),
        "the JSON form is canonical"
    );
    hex(&bytes)
}

#[test]
fn every_worked_example_encodes_to_its_bytes() {
    let blocks = blocks();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for pair in blocks.windows(2) {
        let ((info, json), (next, documented)) = (pair[0], pair[1]);
        let Some(message) = info.strip_prefix("json ") else {
            continue;
        };
        assert_eq!(next, "hex", "an example's JSON is followed by its bytes");
        let actual = match message {
            "SyncRequest" => both_ways::<wire::SyncRequest>(json),
            "SyncResponse" => both_ways::<wire::SyncResponse>(json),
            "Error" => both_ways::<wire::Error>(json),
            "Receipts" => both_ways::<wire::Receipts>(json),
            "ReceiptsTaken" => both_ways::<wire::ReceiptsTaken>(json),
            other => panic!("no such message: {other}"),
        };
        checked += 1;
        let documented: String = documented.split_whitespace().collect();
        if documented != actual {
            wrong.push(actual);
        }
    }
    assert!(checked >= 8, "only {checked} examples were found");
    assert!(
        wrong.is_empty(),
        "these examples have other bytes:\n{}",
        wrong.join("\n")
    );
}

/// The rows of a table whose first cell is in backquotes: name and second cell.
fn table(heading: &str) -> Vec<(String, String)> {
    let start = DOCUMENT.find(heading).unwrap();
    DOCUMENT[start..]
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line
                .split('|')
                .skip(1)
                .map(|cell| cell.trim().trim_matches('`'));
            (
                cells.next().unwrap().to_owned(),
                cells.next().unwrap().to_owned(),
            )
        })
        .collect()
}

#[test]
fn every_limit_is_documented_as_it_is_announced() {
    let announced = serde_json::to_value(limits::announced()).unwrap();
    let camel = |name: &str| {
        let mut words = name.split('_');
        let first = words.next().unwrap().to_owned();
        words.fold(first, |all, word| {
            all + &word[..1].to_uppercase() + &word[1..]
        })
    };
    let documented = table("| limit | value |");
    assert_eq!(documented.len(), announced.as_object().unwrap().len());
    for (name, value) in documented {
        assert_eq!(
            announced[camel(&name)],
            serde_json::Value::String(value),
            "{name}"
        );
    }
}

#[test]
fn every_error_code_is_documented_once() {
    let documented: Vec<String> = table("| code | status |")
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    let known: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(documented, known);
    for code in Code::ALL {
        assert_eq!(Code::parse(code.as_str()), *code);
    }
    assert_eq!(Code::parse("from_the_future"), Code::Unknown);
}
