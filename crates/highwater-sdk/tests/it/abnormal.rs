//! Every abnormal state, each detected and healed, and what that costs: the
//! table in `docs/sync-model.md`, "What a repair costs", is held against these
//! tests.
//!
//! The list has 3,000 members and a header; the device has the skeleton and the
//! details of the first 100.

use crate::server::{
    Fault, Op, Spent, TestServer, alter, assert_equal, item_id, list, member, rank,
};
use futures::executor::block_on;
use futures::{FutureExt as _, StreamExt as _};
use highwater_protocol::ListKey;
use highwater_sdk::driver::{BoxFuture, Clock, Driver};
use highwater_sdk::{
    Client, ClientBuilder, Event, Events, List, Members, Reason, Receipt, Rung, Status, SyncReport,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tempfile::{TempDir, tempdir};

const ITEMS: usize = 3_000;
const DOCUMENT: &str = include_str!("../../../../docs/sync-model.md");
const YEAR_MS: i64 = 365 * 24 * 60 * 60 * 1_000;

/// Holds what a repair cost against the row of the document that names the test.
#[track_caller]
pub(crate) fn costs(test: &str, spent: Spent) {
    let Spent {
        requests,
        up,
        down,
        items,
    } = spent;
    let measured = [requests, up, down, items].map(|number| number.to_string());
    let row = DOCUMENT
        .lines()
        .find(|line| line.contains(&format!("`{test}`")));
    let documented: Vec<String> = row
        .into_iter()
        .flat_map(|row| row.split('|').skip(3).take(4))
        .map(|cell| cell.trim().replace(',', ""))
        .collect();
    assert!(
        documented == measured,
        "the document says otherwise than: | `{test}` | {} |",
        measured.join(" | ")
    );
}

struct Device {
    _folder: TempDir,
    path: PathBuf,
    server: Arc<TestServer>,
    client: Client,
    members: List<Members>,
    events: Events,
}

fn key() -> ListKey {
    list("members/g1")
}

fn synced() -> Device {
    synced_as(|_, builder| builder)
}

fn synced_as(configure: impl Fn(&Arc<TestServer>, ClientBuilder) -> ClientBuilder) -> Device {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let server = TestServer::new();
    server.fill(&key(), ITEMS);
    let client = block_on(configure(&server, server.builder(&path)).build()).unwrap();
    let members = client.members("g1").unwrap();
    block_on(client.sync()).unwrap();
    let events = client.events();
    server.take_spent();
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

    fn put(&self, at: usize) {
        self.server.put(&key(), &item_id(at), rank(at), member(-1));
    }

    /// Syncs, and holds the device against the server; with the cost of the
    /// sync alone.
    #[track_caller]
    fn sync(&self) -> (SyncReport, Spent) {
        let report = block_on(self.client.sync()).unwrap();
        self.settled(report)
    }

    #[track_caller]
    fn verify(&self) -> (SyncReport, Spent) {
        let report = block_on(self.client.verify()).unwrap();
        self.settled(report)
    }

    #[track_caller]
    fn settled(&self, report: SyncReport) -> (SyncReport, Spent) {
        let spent = self.server.take_spent();
        assert_eq!(report.in_sync, 1);
        let version = self.server.version(&key());
        assert_eq!(self.members.status().unwrap(), Status::InSync { version });
        block_on(assert_equal(&self.server, &self.members));
        // What was fetched to compare is not the repair's.
        self.server.take_spent();
        (report, spent)
    }
}

/// The one receipt of a sync: why, how, and (added, removed, changed).
#[track_caller]
fn receipt(report: &SyncReport) -> (Reason, Rung, (u64, u64, u64)) {
    assert_eq!(report.repairs, 1, "{report:?}");
    said(&report.receipts[0])
}

fn said(receipt: &Receipt) -> (Reason, Rung, (u64, u64, u64)) {
    let difference = &receipt.difference;
    let counts = (difference.added, difference.removed, difference.changed);
    (receipt.reason, receipt.rung, counts)
}

#[test]
fn version_gap() {
    let device = synced();
    for at in 0..500 {
        device.put(at);
    }
    let (report, spent) = device.sync();
    assert_eq!((report.largest_gap, report.repairs), (500, 0));
    costs("version_gap", spent);
}

#[test]
fn lineage_mismatch_of_a_reset_server() {
    let device = synced();
    device.server.store.reincarnate([2; 16]);
    let (report, spent) = device.sync();
    assert_eq!((report.scanned, report.repairs), (0, 0), "it only adopts");
    costs("lineage_mismatch_of_a_reset_server", spent);
}

#[test]
fn lineage_mismatch_of_a_restored_server() {
    let device = synced();
    let backup = device.server.store.backup();
    for at in 0..10 {
        device.put(at);
        device.server.delete(&key(), &item_id(100 + at));
        device
            .server
            .put(&key(), &format!("born-{at}"), rank(at), member(0));
    }
    device.sync();
    device.server.store.restore(&backup, [2; 16]);
    let (report, spent) = device.sync();
    assert_eq!(
        receipt(&report),
        (Reason::Lineage, Rung::Sketch, (10, 10, 10))
    );
    costs("lineage_mismatch_of_a_restored_server", spent);
}

/// An answer from before a reset that comes after it finds the fence closed.
#[test]
fn lineage_mismatch_with_a_sync_begun_before() {
    let mut device = synced();
    let backup = device.server.store.backup();
    device.put(1);
    let fence = || -> i64 {
        let db = rusqlite::Connection::open(&device.path).unwrap();
        let sql = "SELECT fence FROM list";
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let before = fence();
    device.server.take_log();
    device.server.fail([Fault::Late]);
    let (client, members) = (device.client.clone(), device.members.clone());
    let (sync, verify) = std::thread::scope(|scope| {
        let sync = scope.spawn(move || block_on(client.sync()));
        while device.server.requests() == 0 {
            std::thread::yield_now();
        }
        device.server.store.restore(&backup, [2; 16]);
        let verify = scope.spawn(move || block_on(members.verify()));
        // What was asked for before the list was verified is on its way.
        while fence() == before {
            std::thread::yield_now();
        }
        device.server.resume();
        (sync.join().unwrap(), verify.join().unwrap())
    });
    assert_eq!((sync.unwrap().in_sync, verify.is_ok()), (1, true));
    // The change that the backup does not have never landed: there was nothing
    // to repair.
    let events: Vec<Event> =
        std::iter::from_fn(|| device.events.next().now_or_never().flatten()).collect();
    assert!(events.is_empty(), "{events:?}");
    let (report, _) = device.sync();
    assert_eq!((report.repairs, report.changes), (0, 0));
    let row = block_on(device.members.get(&item_id(1))).unwrap().unwrap();
    assert_eq!(row.item.unwrap().joined_at_ms, 1);
}

/// A list that was scanned half when the server was reset is scanned anew.
#[test]
fn lineage_mismatch_in_the_middle_of_a_first_sync() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    server.fill(&key(), ITEMS);
    let backup = server.store.backup();
    server.put(&key(), &item_id(0), rank(0), member(-1));
    let client = server.client(&folder.path().join("db"));
    let members = client.members("g1").unwrap();
    server.fail([Fault::Nothing, Fault::Nothing, Fault::Drop]);
    assert!(block_on(client.sync()).is_err());
    assert!((1..3_000).contains(&members.count().unwrap()));
    server.take_spent();
    server.store.restore(&backup, [2; 16]);
    let report = block_on(client.sync()).unwrap();
    assert_eq!(report.in_sync, 1);
    costs(
        "lineage_mismatch_in_the_middle_of_a_first_sync",
        server.take_spent(),
    );
    block_on(assert_equal(&server, &members));
}

#[test]
fn history_purged_below_the_cursor() {
    let device = synced();
    let ops = (0..20).map(|at| Op::Delete(item_id(at * 7)));
    device.server.write(&key(), ops.collect());
    device.server.purge();
    device.put(1);
    let (report, spent) = device.sync();
    assert_eq!(receipt(&report), (Reason::Purged, Rung::Sketch, (0, 20, 0)));
    costs("history_purged_below_the_cursor", spent);
}

#[test]
fn history_purged_with_nothing_lost() {
    let device = synced();
    device.server.delete(&key(), &item_id(5));
    device.sync();
    device.server.purge();
    device.put(1);
    let (report, spent) = device.sync();
    assert_eq!(report.repairs, 0, "the digest agrees");
    costs("history_purged_with_nothing_lost", spent);
}

#[test]
fn id_without_its_details() {
    let device = synced();
    device.alter("UPDATE row SET payload = NULL WHERE id = 'item-000005'");
    let page = block_on(device.members.page(None, 50)).unwrap();
    assert_eq!((page.rows.len(), page.lacking()), (50, 0));
    costs("id_without_its_details", device.server.take_spent());
    block_on(assert_equal(&device.server, &device.members));
}

/// Each page that is shown fetches its own, in one request.
#[test]
fn all_details_of_a_list_lost() {
    let device = synced();
    device.alter("UPDATE row SET payload = NULL");
    let page = block_on(device.members.page(None, 100)).unwrap();
    assert_eq!((page.rows.len(), page.lacking()), (100, 0));
    costs("all_details_of_a_list_lost", device.server.take_spent());
    block_on(assert_equal(&device.server, &device.members));
}

/// A list that is kept whole comes to be whole again when it is verified.
#[test]
fn all_details_of_a_list_kept_whole_lost() {
    let device = synced_as(|_, builder| builder.whole_up_to(10_000));
    device.alter("UPDATE row SET payload = NULL");
    let report = block_on(device.client.verify()).unwrap();
    let spent = device.server.take_spent();
    assert_eq!(report.in_sync, 1);
    costs("all_details_of_a_list_kept_whole_lost", spent);
    device.server.set_down(true);
    block_on(assert_equal(&device.server, &device.members));
}

#[test]
fn order_changed_on_the_server() {
    let device = synced();
    device
        .server
        .put(&key(), &item_id(2_999), rank(0), member(2_999));
    let (report, spent) = device.sync();
    assert_eq!((report.changes, report.repairs), (1, 0), "one item moved");
    costs("order_changed_on_the_server", spent);
}

#[test]
fn order_corrupted_on_the_device() {
    let device = synced();
    device.alter(
        "UPDATE row SET rank = (SELECT rank FROM row WHERE id = 'item-002000')
             WHERE id = 'item-000005'",
    );
    let (report, spent) = device.verify();
    assert_eq!(receipt(&report), (Reason::Damage, Rung::Sketch, (0, 0, 1)));
    costs("order_corrupted_on_the_device", spent);
}

#[test]
fn rows_altered_in_the_file() {
    let device = synced();
    device.alter(
        "UPDATE row SET payload = x'0801' WHERE id BETWEEN 'item-000010' AND 'item-000014';
         UPDATE row SET stamp = randomblob(16) WHERE id BETWEEN 'item-001000' AND 'item-001004'",
    );
    let (report, spent) = device.verify();
    assert_eq!(receipt(&report), (Reason::Damage, Rung::Sketch, (0, 0, 10)));
    costs("rows_altered_in_the_file", spent);
}

#[test]
fn rows_added_in_the_file() {
    let device = synced();
    device.alter(
        "INSERT INTO row SELECT list, generation, id || 'x', rank, stamp, row_check, payload
             FROM row WHERE id BETWEEN 'item-001000' AND 'item-001009'",
    );
    let (report, spent) = device.verify();
    // Their checks are of other ids: they go without the server's help.
    assert_eq!(receipt(&report), (Reason::Damage, Rung::Local, (0, 10, 0)));
    costs("rows_added_in_the_file", spent);
}

#[test]
fn rows_removed_in_the_file() {
    let device = synced();
    device.alter("DELETE FROM row WHERE id BETWEEN 'item-001000' AND 'item-001009'");
    let (report, spent) = device.verify();
    assert_eq!(receipt(&report), (Reason::Damage, Rung::Sketch, (10, 0, 0)));
    let cost = report.receipts[0].cost;
    assert_eq!(
        (cost.requests, cost.item_bytes),
        (spent.requests, spent.items)
    );
    // The rest is the messages' own: protocol, page size, the list's index.
    assert!(
        (1..=20).contains(&(spent.up - cost.bytes_up)),
        "{cost:?} {spent:?}"
    );
    assert!(spent.down - cost.bytes_down <= 8, "{cost:?} {spent:?}");
    costs("rows_removed_in_the_file", spent);
}

#[test]
fn rows_swapped_in_the_file() {
    let device = synced();
    device.alter(
        "UPDATE row SET id = 'x' WHERE id = 'item-001000';
         UPDATE row SET id = 'item-001000' WHERE id = 'item-002000';
         UPDATE row SET id = 'item-002000' WHERE id = 'x'",
    );
    let (report, spent) = device.verify();
    assert_eq!(receipt(&report), (Reason::Damage, Rung::Sketch, (0, 0, 2)));
    costs("rows_swapped_in_the_file", spent);
}

#[test]
fn all_rows_removed_in_the_file() {
    let device = synced();
    device.alter("DELETE FROM row");
    let (report, spent) = device.verify();
    let (reason, _, counts) = receipt(&report);
    assert_eq!((reason, counts), (Reason::Damage, (3_001, 0, 0)));
    costs("all_rows_removed_in_the_file", spent);
}

#[test]
fn wrong_local_digest() {
    let device = synced();
    device.alter("UPDATE list SET shown_digest = zeroblob(16)");
    let (report, spent) = device.sync();
    assert_eq!(receipt(&report), (Reason::Damage, Rung::Local, (0, 0, 0)));
    costs("wrong_local_digest", spent);
}

/// Nobody reads the row, and nobody asks: the audit of a started client finds it.
#[test]
fn rows_altered_and_found_by_the_audit() {
    let mut device = synced_as(|_, builder| builder.audit_every(Duration::from_millis(200)));
    device.alter("UPDATE row SET stamp = randomblob(16) WHERE id = 'item-002500'");
    device.client.start();
    let repaired = block_on(async {
        loop {
            match device.events.next().await.unwrap() {
                Event::Repaired(receipt) => return receipt,
                Event::Damaged { list } => assert_eq!(list, key()),
                event => panic!("{event:?}"),
            }
        }
    });
    assert_eq!(said(&repaired), (Reason::Damage, Rung::Sketch, (0, 0, 1)));
    assert_eq!(repaired.difference.ids[0].as_str(), item_id(2_500));
    device.client.stop();
    device.sync();
}

/// Every restart finds the audit where it was: also an app that is never open
/// for long has its lists audited.
#[test]
fn an_audit_goes_on_after_a_restart() {
    let device = synced();
    let Device {
        _folder: folder,
        path,
        server,
        client,
        ..
    } = device;
    client.close();
    let audited = || -> (Option<String>, Option<i64>) {
        let db = rusqlite::Connection::open(&path).unwrap();
        let sql = "SELECT audit_after, audited_at_ms FROM list";
        db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    };
    assert_eq!(audited(), (None, None));
    alter(&path, "UPDATE list SET audited_at_ms = 1");
    let mut seen = None;
    for _ in 0..200 {
        let client = server.client(&path);
        client.start();
        std::thread::sleep(Duration::from_millis(150));
        client.close();
        let (after, at_ms) = audited();
        if after.is_none() && at_ms > Some(1) {
            assert!(seen.is_some(), "it was under way when the client closed");
            return drop(folder);
        }
        assert!(after >= seen, "{after:?} after {seen:?}");
        seen = after;
    }
    panic!("an audit of 3,001 rows has not ended: it is at {seen:?}");
}

/// A clock that the test moves.
struct Moved(Arc<dyn Clock>, Arc<AtomicI64>);

impl Clock for Moved {
    fn now_ms(&self) -> i64 {
        self.0.now_ms() + self.1.load(Ordering::Relaxed)
    }

    fn sleep(&self, duration_ms: u64) -> BoxFuture<'static, ()> {
        self.0.sleep(duration_ms)
    }
}

/// A clock that jumps by years, while a delay runs and while nothing happens,
/// costs nothing: neither a repair nor more than one audit.
#[test]
fn clock_jumps() {
    let offset = Arc::new(AtomicI64::new(0));
    let moved = Arc::clone(&offset);
    let device = synced_as(move |server, builder| {
        let driver = server.driver();
        let clock = Arc::new(Moved(Arc::clone(&driver.clock), Arc::clone(&moved)));
        builder.driver(Driver { clock, ..driver })
    });
    let mut spent = Spent::default();
    for (at, years) in [10, 0, -10, 0].into_iter().enumerate() {
        device.server.set_down(true);
        assert!(block_on(device.client.sync()).is_err());
        offset.store(years * YEAR_MS, Ordering::Relaxed);
        device.server.set_down(false);
        device.put(at);
        let (report, cost) = device.sync();
        assert_eq!((report.changes, report.repairs), (1, 0), "{years}");
        spent.requests += cost.requests;
        spent.up += cost.up;
        spent.down += cost.down;
        spent.items += cost.items;
    }
    costs("clock_jumps", spent);
}

/// The server is restored from last week's backup while 100 devices are ahead
/// of it, each by another number of changes.
#[test]
fn restored_server_with_100_devices_ahead() {
    let device = synced();
    let Device {
        _folder: folder,
        path,
        server,
        client,
        ..
    } = device;
    client.close();
    let backup = server.store.backup();
    let copies: Vec<PathBuf> = (0..100)
        .map(|at| folder.path().join(format!("device-{at}")))
        .collect();
    for (at, copy) in copies.iter().enumerate() {
        std::fs::copy(&path, copy).unwrap();
        match at % 3 {
            0 => server.delete(&key(), &item_id(at)),
            1 => server.put(&key(), &item_id(at), rank(at), member(-1)),
            _ => server.put(&key(), &format!("born-{at}"), rank(at), member(0)),
        }
        let client = server.client(copy);
        assert_eq!(block_on(client.sync()).unwrap().in_sync, 1);
        client.close();
    }
    server.store.restore(&backup, [2; 16]);
    server.take_spent();
    let mut total = Spent::default();
    for (at, copy) in copies.iter().enumerate() {
        let client = server.client(copy);
        let members = client.members("g1").unwrap();
        let report = block_on(client.sync()).unwrap();
        let (reason, rung, counts) = receipt(&report);
        assert_eq!(
            (reason, rung),
            (Reason::Lineage, Rung::Sketch),
            "device {at}"
        );
        let changes = at as u64 + 1;
        let expected = (changes.div_ceil(3), changes / 3, (changes + 1) / 3);
        assert_eq!(counts, expected, "device {at}");
        let spent = server.take_spent();
        total.requests += spent.requests;
        total.up += spent.up;
        total.down += spent.down;
        total.items += spent.items;
        block_on(assert_equal(&server, &members));
        server.take_spent();
        client.close();
    }
    costs("restored_server_with_100_devices_ahead", total);
}
