//! The program as it is called, in its quick form.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::Value;
use std::process::{Command, Output};

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_highwater-bench"))
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs some benches in small, and returns their lines.
fn quick(only: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bench.jsonl");
    let output = bench(&[
        "--quick",
        "--only",
        only,
        "--dir",
        folder.path().to_str().unwrap(),
        "--json",
        file.to_str().unwrap(),
    ]);
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("goals are met"), "{errors}");
    let lines = text(&output.stdout);
    assert_eq!(lines, std::fs::read_to_string(file).unwrap());
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Checks that a line has every field, and a value that can be one.
fn check(line: &Value) {
    let object = line.as_object().unwrap();
    let fields: Vec<_> = object.keys().map(String::as_str).collect();
    let mut expected = [
        "name", "value", "unit", "limit", "ratio", "goal", "met", "n", "note", "quick",
    ];
    expected.sort_unstable();
    assert_eq!(fields, expected, "{line}");
    assert!(line["value"].as_f64().unwrap() > 0.0, "{line}");
    assert!(line["n"].as_u64().unwrap() > 0, "{line}");
    assert_eq!(line["quick"], true, "{line}");
    assert_eq!(line["limit"].is_null(), line["ratio"].is_null(), "{line}");
    assert_eq!(line["goal"].is_null(), line["met"].is_null(), "{line}");
}

fn names(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["name"].as_str().unwrap())
        .collect()
}

#[test]
fn the_servers_benches_run_and_count_bytes_exactly() {
    let lines = quick("aligned,catchup.hot,catchup.bytes,write.growth");
    lines.iter().for_each(check);
    assert_eq!(
        names(&lines),
        [
            "aligned.rps",
            "aligned.bytes.1",
            "aligned.bytes.70",
            "catchup.hot",
            "catchup.bytes.1",
            "catchup.bytes.10",
            "catchup.bytes.100",
            "catchup.bytes.1000",
            "write.growth",
        ]
    );
    // "One list is aligned": two bytes, on any machine.
    assert_eq!(lines[1]["value"], 2.0);
    let bytes = lines.iter().filter(|line| line["unit"] == "bytes");
    assert!(bytes.clone().all(|line| line["met"] == true), "{lines:?}");
    // What changed cannot come in less than its own bytes.
    let deltas = bytes.filter(|line| !line["limit"].is_null());
    assert!(
        deltas
            .clone()
            .all(|line| line["ratio"].as_f64() > Some(1.0)),
        "{lines:?}"
    );
    assert_eq!(deltas.count(), 4);
}

#[test]
fn the_devices_benches_run() {
    let lines = quick("apply,page.deep,first.page,device.memory");
    lines.iter().for_each(check);
    assert_eq!(
        names(&lines),
        [
            "apply.1",
            "apply.10k",
            "page.deep",
            "first.page",
            "first.page.requests",
            "device.memory",
        ]
    );
    assert_eq!(lines[4]["value"], 1.0, "{}", lines[4]);
}

#[test]
fn what_cannot_be_measured_is_named_and_the_rest_is() {
    let output = bench(&[
        "--quick",
        "--only",
        "binary,aligned.bytes",
        "--program",
        "no-such-program",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).lines().count(), 2);
    let errors = text(&output.stderr);
    assert!(
        errors.contains("Not measured: binary: there is no program at no-such-program"),
        "{errors}"
    );
}

#[test]
fn options_say_what_there_is_and_what_is_wrong() {
    let list = text(&bench(&["--list"]).stdout);
    assert!(list.lines().any(|line| line.starts_with("page.deep ")));
    let only = text(&bench(&["--list", "--only", "first"]).stdout);
    assert_eq!(only.lines().count(), 2);
    let help = text(&bench(&["--help"]).stdout);
    assert!(help.contains("Examples:"), "{help}");
    let unknown = bench(&["--only", "nonsense"]);
    assert_eq!(unknown.status.code(), Some(2));
    let errors = text(&unknown.stderr);
    assert!(
        errors.contains("there is no bench \"nonsense\""),
        "{errors}"
    );
}
