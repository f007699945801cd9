//! How a list stands, as an app is told, and the background that keeps it so.

use crate::server::{Fault, TestServer, item_id, list, member, rank};
use futures::StreamExt as _;
use futures::executor::block_on;
use highwater_protocol::{Code, Refusal};
use highwater_sdk::{Error, Event, GoneReason, Status, StatusWatch};
use std::time::Duration;
use tempfile::tempdir;

fn next(statuses: &mut StatusWatch) -> Status {
    block_on(statuses.next()).unwrap().unwrap()
}

#[test]
fn a_list_goes_from_offline_over_syncing_to_in_sync_and_back() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    let key = list("members/g1");
    server.fill(&key, 2_500);
    let client = server.client(&folder.path().join("db"));
    let members = client.members("g1").unwrap();
    let mut statuses = members.watch_status();
    assert_eq!(next(&mut statuses), Status::Offline { in_sync_at: None });
    assert!(!client.is_online());

    let version = server.version(&key);
    block_on(client.sync()).unwrap();
    assert_eq!(next(&mut statuses), Status::InSync { version });
    assert!(client.is_online());

    server.set_down(true);
    assert!(matches!(
        block_on(client.sync()),
        Err(Error::Unreachable(_))
    ));
    let in_sync_at = Some(version);
    assert_eq!(next(&mut statuses), Status::Offline { in_sync_at });

    server.set_down(false);
    server.put(&key, &item_id(0), rank(0), member(-1));
    let version = server.version(&key);
    block_on(client.sync()).unwrap();
    assert_eq!(next(&mut statuses), Status::InSync { version });
}

#[test]
fn progress_is_told_while_a_long_list_comes() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    server.fill(&list("members/g1"), 2_500);
    let client = server.client(&folder.path().join("db"));
    let members = client.members("g1").unwrap();
    let mut statuses = members.watch_status();
    next(&mut statuses);
    server.pause();
    client.start();
    assert_eq!(next(&mut statuses), Status::Syncing { items: 0, of: 0 });
    server.resume();
    let mut items = 0;
    loop {
        match next(&mut statuses) {
            Status::Syncing { items: now, of } => {
                assert!(now > items && of == 2_500, "{now} of {of}");
                items = now;
            }
            status => {
                assert!(matches!(status, Status::InSync { .. }), "{status:?}");
                break;
            }
        }
    }
}

#[test]
fn a_started_client_follows_the_server_and_comes_back_after_failures() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    let key = list("members/g1");
    server.fill(&key, 5);
    let client = server.builder(&folder.path().join("db"));
    let client = block_on(client.silence(Duration::from_millis(50)).build()).unwrap();
    let members = client.members("g1").unwrap();
    let mut statuses = members.watch_status();
    server.set_down(true);
    client.start();
    assert_eq!(next(&mut statuses), Status::Offline { in_sync_at: None });
    // It tries again by itself.
    while server.requests() < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    server.set_down(false);
    let version = server.version(&key);
    while next(&mut statuses) != (Status::InSync { version }) {}
    // A change is found without a hint, after silence.
    server.put(&key, &item_id(3), rank(3), member(-3));
    let version = server.version(&key);
    while next(&mut statuses) != (Status::InSync { version }) {}
    // Stopped, it asks no more.
    client.stop();
    block_on(client.sync()).unwrap();
    server.take_log();
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(server.requests(), 0);
}

#[test]
fn waking_cuts_a_delay_short() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    server.fill(&list("members/g1"), 5);
    let config = highwater_sdk::ReplicaConfig {
        retry_delay_ms: 3_600_000,
        retry_delay_ms_max: 3_600_000,
        ..highwater_sdk::ReplicaConfig::default()
    };
    let client = server.builder(&folder.path().join("db")).replica(config);
    let client = block_on(client.build()).unwrap();
    let members = client.members("g1").unwrap();
    let mut events = client.events();
    server.fail([Fault::Drop]);
    client.start();
    assert!(matches!(block_on(events.next()), Some(Event::Failed(_))));
    client.wake();
    let mut statuses = members.watch_status();
    while !matches!(next(&mut statuses), Status::InSync { .. }) {}
}

#[test]
fn a_lost_right_drops_the_copy_and_a_right_that_is_back_brings_it_back_when_opened() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let server = TestServer::new();
    let key = list("members/g1");
    server.fill(&key, 5);
    let client = server.client(&path);
    let members = client.members("g1").unwrap();
    block_on(client.sync()).unwrap();
    server.deny(&key, true);
    let report = block_on(client.sync()).unwrap();
    assert_eq!(report.gone, std::slice::from_ref(&key));
    let reason = GoneReason::Forbidden;
    assert_eq!(members.status().unwrap(), Status::Gone { reason });
    assert_eq!(members.count().unwrap(), 0);
    // It is not asked about again by itself, nor held after a restart.
    server.take_log();
    block_on(client.sync()).unwrap();
    assert_eq!(server.requests(), 0);
    drop((client, members));
    let client = server.client(&path);
    assert!(client.lists().is_empty());

    server.deny(&key, false);
    let members = client.members("g1").unwrap();
    block_on(client.sync()).unwrap();
    assert_eq!(members.count().unwrap(), 5);
    // The same within one run.
    server.deny(&key, true);
    block_on(client.sync()).unwrap();
    server.deny(&key, false);
    let members = client.members("g1").unwrap();
    block_on(client.sync()).unwrap();
    assert_eq!(members.count().unwrap(), 5);
}

#[test]
fn a_list_that_was_gone_comes_back_by_the_handle_that_the_app_has() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    let key = list("members/g1");
    server.fill(&key, 5);
    let client = server.client(&folder.path().join("db"));
    let members = client.members("g1").unwrap();
    block_on(client.sync()).unwrap();
    server.deny(&key, true);
    block_on(client.sync()).unwrap();
    let report = block_on(members.sync()).unwrap();
    assert_eq!(report.gone, std::slice::from_ref(&key));
    server.deny(&key, false);
    let report = block_on(members.sync()).unwrap();
    assert_eq!((report.gone.len(), members.count().unwrap()), (0, 5));
    assert!(matches!(members.status().unwrap(), Status::InSync { .. }));
    // Whoever verifies it asks for it too.
    server.deny(&key, true);
    block_on(client.sync()).unwrap();
    server.deny(&key, false);
    assert!(matches!(
        block_on(members.verify()).unwrap(),
        Status::InSync { .. }
    ));
    assert_eq!(members.count().unwrap(), 5);
}

#[test]
fn a_list_that_is_refused_alone_holds_up_no_other() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    server.fill(&list("members/g1"), 5);
    server.forget_kind("notes");
    let client = server.client(&folder.path().join("db"));
    let notes = client.list("notes", "u1").unwrap();
    let members = client.members("g1").unwrap();
    let report = block_on(client.sync()).unwrap();
    assert!(!report.is_complete());
    assert_eq!((report.lists, report.in_sync), (2, 1));
    assert_eq!(report.refused[0].0, list("notes/u1"));
    assert_eq!(report.refused[0].1.code, Code::UnknownKind);
    assert_eq!(members.count().unwrap(), 5);
    let page = block_on(notes.page(None, 5)).unwrap();
    assert!(matches!(page.fault, Some(Error::Refused(_))));
}

#[test]
fn a_whole_request_that_is_refused_says_why() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    let client = server.client(&folder.path().join("db"));
    client.groups().unwrap();
    let refuse = |status, code, message: &str| {
        server.fail([Fault::Refuse(status, Refusal::new(code, message))]);
        block_on(client.sync()).unwrap_err()
    };
    let error = refuse(403, Code::Forbidden, "not with this token");
    assert!(matches!(&error, Error::Refused(no) if no.code == Code::Forbidden));
    assert!(!error.is_transient());
    let error = refuse(400, Code::UnsupportedProtocol, "this server speaks 2");
    assert!(matches!(error, Error::UnsupportedProtocol(_)));
    assert!(error.to_string().contains("speaks 2"), "{error}");
    server.fail([Fault::Garble(502, "<html>bad gateway")]);
    let error = block_on(client.sync()).unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)));
    assert!(error.to_string().contains("502"), "{error}");
    server.fail([Fault::Garble(200, "<html>sign in")]);
    let error = block_on(client.sync()).unwrap_err();
    assert!(matches!(error, Error::PeerMisbehaved(_)), "{error}");
    assert!(block_on(client.sync()).unwrap().is_complete());
}
