//! Details on demand: what is not on the device is fetched once, in one batch,
//! and what cannot be fetched is said.

use crate::server::{TestServer, assert_equal, item_id, list, member, rank};
use futures::executor::block_on;
use highwater_sdk::{Client, Error, List, Members};
use std::sync::Arc;
use tempfile::{TempDir, tempdir};

struct Device {
    _folder: TempDir,
    server: Arc<TestServer>,
    client: Client,
    members: List<Members>,
}

/// A device in sync with a list of 3,000, with details of the first page only.
fn synced() -> Device {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    server.fill(&list("members/g1"), 3_000);
    let client = server.client(&folder.path().join("db"));
    let members = client.members("g1").unwrap();
    block_on(client.sync()).unwrap();
    server.take_log();
    Device {
        _folder: folder,
        server,
        client,
        members,
    }
}

fn key_at(at: usize) -> highwater_sdk::Key {
    let id = highwater_sdk::ItemId::new(&item_id(at)).unwrap();
    highwater_sdk::Key::new(highwater_sdk::Rank::new(rank(at)).unwrap(), id)
}

#[test]
fn a_pages_missing_details_come_in_one_batch_and_stay() {
    let device = synced();
    let after = key_at(1_499);
    let page = block_on(device.members.page(Some(&after), 50)).unwrap();
    assert_eq!((page.rows.len(), page.lacking()), (50, 0));
    assert_eq!(page.rows[0].item.as_ref().unwrap().joined_at_ms, 1_500);
    let log = device.server.take_log();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].request.lists[0].details.len(), 50);
    block_on(device.members.page(Some(&after), 50)).unwrap();
    assert_eq!(device.server.requests(), 0);
}

#[test]
fn a_list_that_moved_brings_its_changes_along_with_the_details() {
    let device = synced();
    let key = list("members/g1");
    device
        .server
        .put(&key, &item_id(1_500), rank(1_500), member(-1));
    device.server.delete(&key, &item_id(1_501));
    let page = block_on(device.members.page(Some(&key_at(1_499)), 3)).unwrap();
    assert_eq!(device.server.requests(), 1);
    // What was deleted is gone, and what took its place is not known yet.
    let ids: Vec<_> = page.rows.iter().map(|row| row.id().to_owned()).collect();
    assert_eq!(ids, [item_id(1_500), item_id(1_502), item_id(1_503)]);
    assert_eq!(page.rows[0].item.as_ref().unwrap().joined_at_ms, -1);
    block_on(assert_equal(&device.server, &device.members));
}

#[test]
fn offline_a_page_returns_what_is_there_and_says_what_is_not() {
    let device = synced();
    device.server.set_down(true);
    let page = block_on(device.members.page(Some(&key_at(89)), 20)).unwrap();
    assert_eq!((page.rows.len(), page.lacking()), (20, 11));
    let lacking: Vec<bool> = page.rows.iter().map(|row| row.lacks_details()).collect();
    assert_eq!(lacking, [vec![false; 9], vec![true; 11]].concat());
    assert!(matches!(page.fault, Some(Error::Unreachable(_))));
    // The next page is not kept waiting by a server that was just found
    // missing.
    device.server.take_log();
    let page = block_on(device.members.page(Some(&key_at(200)), 20)).unwrap();
    assert_eq!(page.lacking(), 20);
    assert!(matches!(page.fault, Some(Error::Unreachable(_))));
    assert!(device.server.requests() <= 1);
    let item = block_on(device.members.get(&item_id(2_999)))
        .unwrap()
        .unwrap();
    assert!(item.lacks_details() && item.item.is_none());

    // What was wanted comes with the next sync.
    device.server.set_down(false);
    block_on(device.client.sync()).unwrap();
    device.server.set_down(true);
    let page = block_on(device.members.page(Some(&key_at(89)), 20)).unwrap();
    assert_eq!(page.lacking(), 0);
}

#[test]
fn one_item_is_fetched_alone_and_one_that_is_not_there_is_not_asked_for() {
    let device = synced();
    let item = block_on(device.members.get(&item_id(2_999)))
        .unwrap()
        .unwrap();
    assert_eq!(item.item.unwrap().joined_at_ms, 2_999);
    assert_eq!(device.server.requests(), 1);
    assert!(block_on(device.members.get("nobody")).unwrap().is_none());
    assert!(block_on(device.members.get("")).unwrap().is_none());
    assert!(
        block_on(device.members.get(&"x".repeat(500)))
            .unwrap()
            .is_none()
    );
    assert_eq!(device.server.requests(), 1);
}

/// What broke: a list whose turn did not come in a full response was taken as
/// one whose details do not exist.
#[test]
fn details_that_did_not_fit_into_a_response_are_asked_for_again() {
    let device = synced();
    for group in ["g0", "g2"] {
        device
            .server
            .fill(&list(&format!("members/{group}")), 2_500);
        device.client.members(group).unwrap();
    }
    // Room for little more than one list's page.
    device.server.limit_responses(1_000);
    let page = block_on(device.members.page(Some(&key_at(999)), 200)).unwrap();
    assert_eq!(page.lacking(), 0);
    device.server.limit_responses(1_000_000);
    assert!(block_on(device.client.sync()).unwrap().is_complete());
    block_on(assert_equal(&device.server, &device.members));
}

#[test]
fn a_payload_that_this_version_cannot_read_is_kept_and_shown_as_bytes() {
    let device = synced();
    let key = list("members/g1");
    device.server.put(&key, "newer", vec![0], vec![0xff, 0xff]);
    block_on(device.client.sync()).unwrap();
    let item = block_on(device.members.get("newer")).unwrap().unwrap();
    assert!(item.item.is_none() && !item.lacks_details());
    assert_eq!(item.payload.as_deref(), Some(&[0xff, 0xff][..]));
}
