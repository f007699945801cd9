//! From nothing to a list that can be shown, and to all of it.

use crate::server::{TestServer, assert_equal, item_id, list, shown};
use futures::executor::block_on;
use highwater_sdk::Status;
use tempfile::tempdir;

#[test]
fn opening_shows_what_is_on_the_device_at_once_and_asks_nobody() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let server = TestServer::new();
    server.fill(&list("members/g1"), 3);
    let client = server.client(&path);
    let members = client.members("g1").unwrap();
    block_on(client.sync()).unwrap();
    let version = server.version(members.key());
    client.close();

    server.set_down(true);
    server.take_log();
    let client = server.client(&path);
    assert_eq!(client.lists(), [list("members/g1")]);
    let members = client.members("g1").unwrap();
    assert_eq!(members.count().unwrap(), 3);
    let page = block_on(members.page(None, 50)).unwrap();
    let ids: Vec<_> = page.rows.iter().map(|row| row.id().to_owned()).collect();
    assert_eq!(ids, [item_id(0), item_id(1), item_id(2)]);
    assert_eq!(page.rows[2].item.as_ref().unwrap().joined_at_ms, 2);
    assert!(page.fault.is_none() && page.next.is_none());
    let header = block_on(members.header()).unwrap().unwrap();
    assert_eq!(header.item.unwrap().name, "Group");
    let in_sync_at = Some(version);
    assert_eq!(members.status().unwrap(), Status::Offline { in_sync_at });
    assert_eq!(server.requests(), 0);
}

#[test]
fn the_first_page_of_a_long_list_is_there_after_one_round_trip() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    server.fill(&list("members/g1"), 5_000);
    let client = server.client(&folder.path().join("db"));
    let members = client.members("g1").unwrap();
    let page = block_on(members.page(None, 50)).unwrap();
    assert_eq!(server.requests(), 1);
    assert_eq!(page.rows.len(), 50);
    assert_eq!(page.lacking(), 0);
    assert_eq!(page.next.unwrap().id.as_str(), item_id(49));
    // The header came first, with its content.
    let header = block_on(members.header()).unwrap().unwrap();
    assert_eq!(header.item.unwrap().name, "Group");
    assert_eq!(server.requests(), 1);
    let status = members.status().unwrap();
    let (items, of) = (999, 5_000);
    assert_eq!(status, Status::Syncing { items, of });
}

#[test]
fn a_short_list_comes_whole_and_a_long_one_as_skeleton() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    server.fill(&list("members/short"), 1_999);
    server.fill(&list("members/long"), 2_000);
    let client = server.client(&folder.path().join("db"));
    let short = client.members("short").unwrap();
    let long = client.members("long").unwrap();
    let report = block_on(client.sync()).unwrap();
    assert!(report.is_complete());
    assert_eq!((report.lists, report.in_sync, report.scans), (2, 2, 2));
    // The header is a row as well.
    assert_eq!(report.scanned, 2_000 + 2_001);
    // No more requests than the longer one has pages.
    assert_eq!(report.requests, 3);

    server.set_down(true);
    let lacking = |rows: Vec<(_, _, Option<_>)>| rows.iter().filter(|row| row.2.is_none()).count();
    assert_eq!(lacking(block_on(shown(&short))), 0);
    // The header is one of the 100 rows whose details came.
    assert_eq!(lacking(block_on(shown(&long))), 2_000 - 99);
    server.set_down(false);
    block_on(client.sync()).unwrap();
    block_on(assert_equal(&server, &long));
}

#[test]
fn the_size_up_to_which_a_list_comes_whole_is_a_setting() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    server.fill(&list("members/g1"), 50);
    let client = server.builder(&folder.path().join("db")).whole_up_to(10);
    let client = block_on(client.build()).unwrap();
    client.members("g1").unwrap();
    block_on(client.sync()).unwrap();
    let log = server.take_log();
    let highwater_protocol::message::Position::Scan(scan) = &log[0].request.lists[0].position
    else {
        panic!("a first sync scans");
    };
    assert_eq!(scan.whole_up_to, 10);
}

#[test]
fn nothing_new_is_one_request_for_all_lists() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    let client = server.client(&folder.path().join("db"));
    for group in 0..20 {
        let name = format!("g{group}");
        server.fill(&list(&format!("members/{name}")), group);
        client.members(&name).unwrap();
    }
    client.groups().unwrap();
    block_on(client.sync()).unwrap();
    server.take_log();
    let report = block_on(client.sync()).unwrap();
    assert_eq!((report.requests, report.in_sync, report.lists), (1, 21, 21));
    assert_eq!(server.take_log().len(), 1);
}

#[test]
fn a_list_of_any_kind_can_be_read_raw_and_a_released_one_is_not_asked_about() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let server = TestServer::new();
    server.fill(&list("notes/u1"), 2);
    let client = server.client(&path);
    let notes = client.list("notes", "u1").unwrap();
    block_on(client.sync()).unwrap();
    let page = block_on(notes.page(None, 10)).unwrap();
    assert_eq!(
        page.rows[1].payload.as_deref(),
        Some(&[0x08, 1, 0x10, 1][..])
    );
    assert!(client.list("No Kind", "u1").is_err());

    notes.release();
    assert!(client.lists().is_empty());
    server.take_log();
    assert_eq!(block_on(client.sync()).unwrap().lists, 0);
    assert_eq!(server.requests(), 0);
    assert_eq!(notes.count().unwrap(), 2);
    client.close();
    let client = server.client(&path);
    assert!(client.lists().is_empty());
    client.list("notes", "u1").unwrap();
    client.sync_now();
    client.close();
    assert_eq!(server.client(&path).lists(), [list("notes/u1")]);
}

trait SyncNow {
    fn sync_now(&self);
}

impl SyncNow for highwater_sdk::Client {
    fn sync_now(&self) {
        block_on(self.sync()).unwrap();
    }
}
