//! The demo's own verdict, on a history small enough for a test.

use crate::harness::run;
use serde_json::Value;
use std::io::Write;

/// Two groups, ten users who come and go, a dismissal, a rename, role changes.
fn history() -> String {
    let mut lines = vec![
        r#"{"at":1000,"changes":[{"op":"create","group":"org","name":"Org"},{"op":"create","group":"org/a","name":"A"},{"op":"create","group":"org/b","name":"B"}]}"#.to_owned(),
    ];
    let day = 86_400;
    for user in 0..10 {
        let at = 2_000 + user * 60 * day;
        lines.push(format!(
            r#"{{"at":{at},"changes":[{{"op":"join","group":"org","user":"u{user}","role":"member"}},{{"op":"join","group":"org/a","user":"u{user}","role":"member"}}]}}"#
        ));
        lines.push(format!(
            r#"{{"at":{},"changes":[{{"op":"role","group":"org","user":"u{user}","role":"admin"}}]}}"#,
            at + day
        ));
        if user >= 2 {
            lines.push(format!(
                r#"{{"at":{},"changes":[{{"op":"leave","group":"org/a","user":"u{}"}}]}}"#,
                at + 2 * day,
                user - 1
            ));
        }
    }
    lines.push(format!(
        r#"{{"at":{},"changes":[{{"op":"rename","group":"org","name":"New"}},{{"op":"dismiss","group":"org/b"}}]}}"#,
        2_000 + 620 * day
    ));
    lines.join("\n")
}

#[test]
fn the_demo_ends_equal_and_reports_every_field_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let (history_file, json) = (
        folder.path().join("h.jsonl"),
        folder.path().join("demo.json"),
    );
    std::fs::File::create(&history_file)
        .unwrap()
        .write_all(history().as_bytes())
        .unwrap();
    let output = run(&[
        "demo",
        "--headless",
        "--json",
        json.to_str().unwrap(),
        "--history",
        history_file.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["equal"], true);
    assert_eq!(report["transactions"], history().lines().count());
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
    let devices = report["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 5);
    for device in devices {
        for number in [
            "syncs",
            "requests",
            "bytes_sent",
            "bytes_received",
            "bytes_full_pull",
            "bytes_etag_pull",
            "ratio",
            "largest_gap",
            "full_scans",
            "lists",
            "items",
        ] {
            assert!(device[number].is_number(), "{number} of {device}");
        }
        assert_eq!(device["equal"], true, "{device}");
        assert_eq!(device["full_scans"], 0, "{device}");
        assert!(device["name"].is_string() && device["user"].is_string());
        assert!(device["bytes_received"].as_u64() > Some(0), "{device}");
    }
    let repairs = report["repairs"].as_array().unwrap();
    let befell = |device: &str| -> Vec<&str> {
        let of = repairs.iter().filter(|repair| repair["device"] == device);
        of.map(|repair| repair["what"].as_str().unwrap())
            .filter(|what| !what.starts_with("found by a sync"))
            .collect()
    };
    assert_eq!(
        befell("unlucky"),
        [
            "5 rows altered",
            "5 rows lost",
            "order swapped",
            "server restored",
            "details lost",
            "digest and version wrong",
            "file overwritten"
        ]
    );
    assert_eq!(befell("always online"), ["server restored"]);
}
