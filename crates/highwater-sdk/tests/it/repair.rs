//! A copy that is wrong heals, whatever made it wrong.

use crate::server::{Op, TestServer, alter, assert_equal, item_id, list, member, rank};
use futures::executor::block_on;
use futures::{FutureExt as _, StreamExt as _};
use highwater_sdk::{Client, Event, Events, List, Members, Reason, Rung, Status};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::{TempDir, tempdir};

struct Device {
    _folder: TempDir,
    path: PathBuf,
    server: Arc<TestServer>,
    client: Client,
    members: List<Members>,
    events: Events,
}

fn synced(items: usize) -> Device {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let server = TestServer::new();
    server.fill(&list("members/g1"), items);
    let client = server.client(&path);
    let members = client.members("g1").unwrap();
    block_on(client.sync()).unwrap();
    let events = client.events();
    server.take_log();
    Device {
        _folder: folder,
        path,
        server,
        client,
        members,
        events,
    }
}

impl Device {
    /// Alters the database behind the client's back.
    fn alter(&self, sql: &str) {
        alter(&self.path, sql);
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.next().now_or_never().flatten()).collect()
    }
}

fn repaired(events: &[Event]) -> Vec<Rung> {
    let rung = |event: &Event| match event {
        Event::Repaired(receipt) => Some(receipt.rung),
        _ => None,
    };
    events.iter().filter_map(rung).collect()
}

#[test]
fn a_damaged_payload_is_noticed_when_it_is_read_and_fetched_again() {
    let mut device = synced(3_000);
    device.alter("UPDATE row SET payload = x'08' WHERE id = 'item-000005'");
    let page = block_on(device.members.page(None, 50)).unwrap();
    assert_eq!((page.rows.len(), page.lacking()), (50, 0));
    assert_eq!(page.rows[5].item.as_ref().unwrap().joined_at_ms, 5);
    assert!(matches!(device.events()[0], Event::Damaged { .. }));
    let log = device.server.take_log();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].request.lists[0].details.len(), 1);
}

#[test]
fn a_damaged_row_is_left_out_and_comes_back_with_the_next_sync() {
    let mut device = synced(3_000);
    device.alter("UPDATE row SET rank = x'ffff' WHERE id = 'item-000005'");
    // Where it now stands, it is noticed and dropped.
    let id = item_id(5);
    assert!(block_on(device.members.get(&id)).unwrap().is_none());
    assert_eq!(device.members.count().unwrap(), 2_999);
    assert!(matches!(device.events()[0], Event::Damaged { .. }));
    let report = block_on(device.client.sync()).unwrap();
    // One row of 3,000 differs: its sketch peels from the first cells.
    assert_eq!((report.in_sync, report.requests, report.scanned), (1, 2, 0));
    assert_eq!(repaired(&device.events()), [Rung::Sketch]);
    // The report has the same receipt.
    assert_eq!((report.repairs, report.receipts.len()), (1, 1));
    let receipt = &report.receipts[0];
    assert_eq!(
        (receipt.reason, receipt.rung),
        (Reason::Damage, Rung::Sketch)
    );
    assert_eq!(receipt.difference.changed, 1);
    assert_eq!(receipt.difference.ids[0].as_str(), id);
    block_on(assert_equal(&device.server, &device.members));
}

#[test]
fn verifying_the_client_verifies_every_list_also_after_a_failure() {
    let device = synced(3_000);
    let server = &device.server;
    server.fill(&list("groups/u1"), 10);
    let groups = device.client.groups().unwrap();
    block_on(device.client.sync()).unwrap();
    device.alter("DELETE FROM row WHERE id = 'item-000005'");
    // Whoever verifies while a delay runs gets what they asked for.
    server.set_down(true);
    assert!(block_on(device.client.sync()).is_err());
    server.set_down(false);
    let report = block_on(device.client.verify()).unwrap();
    assert_eq!((report.lists, report.in_sync, report.repairs), (2, 2, 2));
    for receipt in &report.receipts {
        assert_eq!(
            (receipt.difference.added, receipt.difference.elements()),
            (1, 1)
        );
    }
    block_on(assert_equal(server, &device.members));
    block_on(assert_equal(server, &groups));
}

#[test]
fn a_server_that_asks_is_told_of_repairs_and_no_other() {
    let device = synced(3_000);
    let damage = "DELETE FROM row WHERE id = 'item-000005'";
    device.alter(damage);
    assert_eq!(block_on(device.client.verify()).unwrap().repairs, 1);
    device.server.want_receipts();
    device.alter(damage);
    let report = block_on(device.client.verify()).unwrap();
    let posted = loop {
        // It is told beside everything else.
        match device.server.receipts() {
            posted if posted.is_empty() => std::thread::yield_now(),
            posted => break posted,
        }
    };
    assert_eq!(posted, report.receipts);
    assert_eq!(posted[0].difference.ids[0].as_str(), item_id(5));
}

#[test]
fn rows_that_are_lost_or_altered_unseen_are_found_by_verifying() {
    for damage in [
        "DELETE FROM row WHERE id IN ('item-000100', 'item-000200')",
        "UPDATE row SET stamp = randomblob(16) WHERE id > 'item-002990'",
        "UPDATE list SET shown_digest = zeroblob(16)",
        "UPDATE list SET shown_count = 1, shown_digest = NULL",
        "UPDATE list SET shown_version = 3, phase = 'nonsense'",
        "UPDATE list SET shown_lineage = 0",
        "UPDATE list SET shown_lineage = 'x', shown_version = x'00', shown_count = 'many'",
        "UPDATE list SET phase = x'ff', rung = 7, fence = 'x', whole = 'x', quarantines = 'x'",
        "UPDATE list SET shown_scan = 1, shown_scan_total = 'x', audited_at_ms = 'x'",
    ] {
        let device = synced(3_000);
        device.alter(damage);
        let status = block_on(device.members.verify()).unwrap();
        let version = device.server.version(device.members.key());
        assert_eq!(status, Status::InSync { version }, "{damage}");
        block_on(assert_equal(&device.server, &device.members));
    }
}

#[test]
fn a_wrong_digest_alone_costs_no_row() {
    let mut device = synced(3_000);
    device.alter("UPDATE list SET shown_digest = zeroblob(16)");
    device
        .server
        .put(&list("members/g1"), &item_id(0), rank(0), member(-1));
    let report = block_on(device.client.sync()).unwrap();
    assert_eq!((report.in_sync, report.scanned, report.changes), (1, 0, 1));
    assert_eq!(repaired(&device.events()), [Rung::Local]);
}

#[test]
fn a_server_that_was_restored_from_a_backup_is_followed() {
    let mut device = synced(3_000);
    let key = list("members/g1");
    let backup = device.server.store.backup();
    device.server.put(&key, &item_id(1), rank(1), member(-1));
    device.server.delete(&key, &item_id(2));
    block_on(device.client.sync()).unwrap();
    device.server.store.restore(&backup, [2; 16]);
    let report = block_on(device.client.sync()).unwrap();
    assert_eq!((report.in_sync, report.requests, report.scanned), (1, 2, 0));
    assert_eq!(repaired(&device.events()), [Rung::Sketch]);
    block_on(assert_equal(&device.server, &device.members));
    // Restored as it was: only the position changes.
    device.server.store.reincarnate([3; 16]);
    device.server.take_log();
    let report = block_on(device.client.sync()).unwrap();
    assert_eq!((report.in_sync, report.requests, report.scanned), (1, 1, 0));
}

#[test]
fn deletions_that_were_purged_are_found_out_by_the_proof() {
    let mut device = synced(3_000);
    let key = list("members/g1");
    let ops = (0..10).map(|at| Op::Delete(item_id(at * 7)));
    device.server.write(&key, ops.collect());
    device.server.purge();
    device.server.put(&key, "new", rank(9), member(0));
    let report = block_on(device.client.sync()).unwrap();
    // The delta brings the new row, and the sketch says which were deleted:
    // there is nothing to fetch.
    assert_eq!((report.in_sync, report.changes, report.scanned), (1, 1, 0));
    assert_eq!(repaired(&device.events()), [Rung::Sketch]);
    block_on(assert_equal(&device.server, &device.members));
}

#[test]
fn the_old_rows_stay_readable_while_a_sketch_mends_the_copy() {
    let mut device = synced(3_000);
    device.alter("DELETE FROM row WHERE id = 'item-000100'");
    device
        .server
        .fail([crate::server::Fault::Nothing, crate::server::Fault::Drop]);
    assert!(block_on(device.members.verify()).is_err());
    assert_eq!(device.members.count().unwrap(), 2_999);
    assert_eq!(readable(&device.members), 1_000);
    let report = block_on(device.client.sync()).unwrap();
    // What was found out is not asked for again.
    assert_eq!((report.in_sync, report.requests), (1, 1));
    assert_eq!(repaired(&device.events()), [Rung::Sketch]);
    block_on(assert_equal(&device.server, &device.members));
}

/// So much differs that the sketch costs more than all ids, ranks and stamps.
#[test]
fn the_old_rows_stay_readable_while_a_skeleton_mends_the_copy() {
    let mut device = synced(3_000);
    let key = list("members/g1");
    let backup = device.server.store.backup();
    let others = (0..2_900).map(|at| Op::Put {
        id: item_id(at),
        rank: rank(at),
        payload: member(-1),
    });
    device.server.write(&key, others.collect());
    block_on(device.client.sync()).unwrap();
    device.server.store.restore(&backup, [2; 16]);
    device.server.fail([
        crate::server::Fault::Nothing,
        crate::server::Fault::Nothing,
        crate::server::Fault::Drop,
    ]);
    assert!(block_on(device.client.sync()).is_err());
    assert_eq!(device.members.count().unwrap(), 3_000);
    let page = block_on(device.members.page(None, 1_000)).unwrap();
    assert_eq!(page.rows.len(), 1_000);
    assert_eq!(page.rows[5].item.as_ref().unwrap().joined_at_ms, -1);
    let report = block_on(device.client.sync()).unwrap();
    // The scan that mends goes on where it stopped.
    assert_eq!((report.in_sync, report.scans), (1, 0));
    assert_eq!(repaired(&device.events()), [Rung::Skeleton]);
    block_on(assert_equal(&device.server, &device.members));
}

fn readable(members: &List<Members>) -> usize {
    block_on(members.page(None, 1_000)).unwrap().rows.len()
}
