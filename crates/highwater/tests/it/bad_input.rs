//! What a stranger gets wrong at the command line: a message that says what to
//! do, and an exit code that means something.

use crate::harness::{Data, Server, highwater, run};
use std::io::Write;

#[track_caller]
fn fails(args: &[&str], code: i32, says: &[&str]) {
    let output = run(args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    for part in says {
        assert!(
            error.contains(part),
            "{args:?} says {error:?}, without {part:?}"
        );
    }
}

#[test]
fn a_wrong_use_exits_with_2() {
    fails(&["serve", "--no-such-flag"], 2, &["--no-such-flag"]);
    fails(&["token", "--data", "/tmp"], 2, &["--user", "--service"]);
    fails(&["no-such-verb"], 2, &["no-such-verb"]);
}

#[test]
fn every_verb_teaches_with_an_example() {
    for verb in [
        "serve", "demo", "import", "token", "inspect", "backup", "restore", "check",
    ] {
        let output = run(&[verb, "--help"]);
        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && help.contains("Example"),
            "{verb}: {help}"
        );
    }
}

#[test]
fn a_history_with_a_leave_before_a_join_is_refused_with_line_and_change() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(
        file,
        r#"{{"at":1,"changes":[{{"op":"create","group":"g","name":"G"}}]}}"#
    )
    .unwrap();
    writeln!(
        file,
        r#"{{"at":2,"changes":[{{"op":"leave","group":"g","user":"u1"}}]}}"#
    )
    .unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let json = tempfile::tempdir().unwrap();
    let json = json.path().join("demo.json");
    fails(
        &[
            "demo",
            "--headless",
            "--json",
            json.to_str().unwrap(),
            "--history",
            &path,
        ],
        2,
        &["transaction 2", "changes[0]", "u1", "before joining"],
    );
    // The same through a server: nothing of that line is imported.
    let data = Data::new();
    let server = Server::start(&data);
    let url = format!("http://{}", server.address);
    let token = data.service_token();
    let output = highwater()
        .args(["import", &path, "--server", &url, "--token", &token])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    for part in ["line 2", "changes[0]", "not_member"] {
        assert!(error.contains(part), "{error:?} lacks {part:?}");
    }
}

#[test]
fn a_data_folder_without_a_database_is_named_with_a_remedy() {
    let data = Data::new();
    let missing = data.path().join("nothing-here");
    let missing = missing.to_str().unwrap();
    fails(&["check", "--data", missing], 3, &["nothing-here"]);
    fails(&["inspect", "--data", missing], 3, &["nothing-here"]);
    fails(
        &["backup", "--data", missing, "/tmp/highwater-no-backup"],
        3,
        &["nothing-here"],
    );
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let data = Data::new();
    let _server = Server::start(&data);
    let output = highwater()
        .args(["serve", "--data", data.arg(), "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains("another process"), "{error}");
}

#[test]
fn benchmarks_that_are_not_built_are_named_with_a_remedy() {
    let alone = tempfile::tempdir().unwrap();
    let program = alone.path().join("highwater");
    std::fs::copy(env!("CARGO_BIN_EXE_highwater"), &program).unwrap();
    let output = std::process::Command::new(program)
        .args(["bench", "repair"])
        .env("PATH", alone.path())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains("make bench"), "{error}");
}
