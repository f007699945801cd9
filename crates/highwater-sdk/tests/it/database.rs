//! Which databases are opened, and which are not.

use crate::server::{TestServer, URL, jwt, list};
use futures::executor::block_on;
use highwater_sdk::{Client, Error};
use std::path::Path;
use std::process::Command;
use tempfile::tempdir;

fn open(server: &std::sync::Arc<TestServer>, path: &Path) -> Result<Client, Error> {
    block_on(server.builder(path).build())
}

fn sql(path: &Path, sql: &str) {
    rusqlite::Connection::open(path)
        .unwrap()
        .execute_batch(sql)
        .unwrap();
}

#[test]
fn a_database_is_opened_once_at_a_time_within_a_process() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let server = TestServer::new();
    let first = open(&server, &path).unwrap();
    let error = open(&server, &path).err().unwrap();
    assert!(matches!(error, Error::InUse { .. }));
    assert!(error.to_string().contains("in use"), "{error}");
    // A clone and a list keep it open; the last of them closes it.
    let groups = first.groups().unwrap();
    drop(first.clone());
    drop(first);
    assert!(open(&server, &path).is_err());
    drop(groups);
    let second = open(&server, &path).unwrap();
    second.close();
    assert!(open(&server, &path).is_ok());
    assert!(matches!(
        second.groups().unwrap().count(),
        Err(Error::Closed)
    ));
}

/// The other process is this test's own binary, told where to look.
#[test]
fn a_database_is_opened_once_at_a_time_among_processes() {
    const PATH: &str = "HIGHWATER_TEST_DATABASE";
    if let Some(path) = std::env::var_os(PATH) {
        let error = open(&TestServer::new(), Path::new(&path)).err().unwrap();
        assert!(matches!(error, Error::InUse { .. }), "{error}");
        return;
    }
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let client = open(&TestServer::new(), &path).unwrap();
    let name = "database::a_database_is_opened_once_at_a_time_among_processes";
    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(PATH, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&other.stdout);
    assert!(
        other.status.success() && said.contains("1 passed"),
        "{said}"
    );
    drop(client);
}

#[test]
fn a_database_of_another_user_or_server_is_refused_and_left_as_it_is() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let server = TestServer::new();
    server.fill(&list("groups/u1"), 3);
    let client = open(&server, &path).unwrap();
    client.groups().unwrap();
    block_on(client.sync()).unwrap();
    client.close();
    let before = std::fs::read(&path).unwrap();

    let other_user = server.builder(&path).token(jwt("u2", 0));
    let error = block_on(other_user.build()).err().unwrap();
    assert!(matches!(&error, Error::OtherUser { bound, given } if bound == "u1" && given == "u2"));
    let other_name = server.builder(&path).user("u2");
    let error = block_on(other_name.build()).err().unwrap();
    assert!(matches!(error, Error::OtherUser { .. }));
    let other_server = server.builder(&path).server("http://elsewhere.test");
    let error = block_on(other_server.build()).err().unwrap();
    assert!(error.to_string().contains("elsewhere.test"), "{error}");
    assert!(matches!(error, Error::OtherServer { .. }));

    assert_eq!(std::fs::read(&path).unwrap(), before);
    // The same server, written in another way.
    let same = server.builder(&path).server("HTTP://Server.Test:80/");
    let client = block_on(same.build()).unwrap();
    assert_eq!((client.user(), client.server()), ("u1", URL));
    assert_eq!(client.groups().unwrap().count().unwrap(), 3);
}

#[test]
fn a_newer_schema_is_refused_and_left_as_it_is() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let server = TestServer::new();
    open(&server, &path).unwrap().close();
    sql(&path, "PRAGMA user_version = 99");
    let before = std::fs::read(&path).unwrap();
    let error = open(&server, &path).err().unwrap();
    assert!(
        matches!(
            error,
            Error::NewerSchema {
                found: 99,
                supported: 2,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("does not go back"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn what_is_no_database_of_ours_is_refused_and_left_as_it_is() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    let foreign = folder.path().join("foreign");
    sql(&foreign, "CREATE TABLE theirs (x)");
    let error = open(&server, &foreign).err().unwrap();
    assert!(matches!(error, Error::NotOurs { .. }), "{error}");

    let nowhere = folder.path().join("no/such/folder/db");
    let error = open(&server, &nowhere).err().unwrap();
    assert!(matches!(error, Error::Unopenable { .. }), "{error}");
    // An empty file is a new database.
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    assert!(open(&server, &empty).is_ok());
}

#[test]
fn what_is_missing_or_of_no_use_is_named() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let error = |builder: highwater_sdk::ClientBuilder| {
        block_on(builder.build()).err().unwrap().to_string()
    };
    let builder = || {
        Client::builder()
            .server(URL)
            .database(&path)
            .token(jwt("u1", 0))
    };
    assert!(error(Client::builder()).starts_with("server: "));
    assert!(error(Client::builder().server(URL)).starts_with("database: "));
    assert!(error(Client::builder().server(URL).database(&path)).starts_with("token: "));
    assert!(error(builder().server("nowhere")).starts_with("server: "));
    let config = highwater_sdk::ReplicaConfig {
        page_rows: 1_001,
        ..highwater_sdk::ReplicaConfig::default()
    };
    assert!(error(builder().replica(config)).starts_with("replica: page_rows is 1001"));
    let mut native = highwater_sdk::NativeConfig::default();
    native.root_certificates.push(vec![1, 2, 3]);
    assert!(error(builder().native(native)).contains("root_certificates[0]"));
    assert!(!path.exists(), "nothing was made");
}

#[test]
fn a_database_that_cannot_be_written_is_reported_reads_go_on_and_nothing_is_lost() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let server = TestServer::new();
    server.fill(&list("members/g1"), 1_500);
    let client = open(&server, &path).unwrap();
    let members = client.members("g1").unwrap();
    block_on(client.sync()).unwrap();
    client.close();
    sql(
        &path,
        "CREATE TRIGGER full BEFORE UPDATE ON list BEGIN SELECT RAISE(ABORT, 'disk full'); END",
    );
    let client = open(&server, &path).unwrap();
    let members = client.members(members.key().owner.as_str()).unwrap();
    server.put(&list("members/g1"), "new", vec![0], Vec::new());
    let error = block_on(client.sync()).unwrap_err();
    assert!(matches!(error, Error::Database(_)), "{error}");
    assert!(error.to_string().contains("disk full"), "{error}");
    assert_eq!(block_on(members.page(None, 100)).unwrap().rows.len(), 100);
    client.close();
    sql(&path, "DROP TRIGGER full");
    let client = open(&server, &path).unwrap();
    let members = client.members("g1").unwrap();
    assert_eq!(block_on(client.sync()).unwrap().in_sync, 1);
    assert_eq!(members.count().unwrap(), 1_501);
}
