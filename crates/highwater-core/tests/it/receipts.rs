//! What a repair leaves behind, and the audit that finds what no sync can see.

use crate::pair::{Device, assert_books, assert_equal, id, list, synced};
use highwater_core::local::{LocalStore as _, LocalTxn as _, Rung};
use highwater_core::replica::{Audited, Event, Reason, Receipt, ReplicaConfig};
use highwater_core::stamp::{row_check, stamp_of};
use highwater_protocol::ListKey;

/// The only receipt since the last call.
#[track_caller]
fn receipt(device: &mut Device) -> Receipt {
    let events = std::mem::take(&mut device.events);
    let mut receipts = events.into_iter().filter_map(|event| match event {
        Event::Repaired(receipt) | Event::Unrepaired(receipt) => Some(*receipt),
        _ => None,
    });
    let receipt = receipts.next().unwrap();
    assert_eq!(receipts.next(), None, "one repair, one receipt");
    receipt
}

fn counts(receipt: &Receipt) -> (u64, u64, u64) {
    let difference = &receipt.difference;
    (difference.added, difference.removed, difference.changed)
}

fn ids(receipt: &Receipt) -> Vec<&str> {
    let ids = receipt.difference.ids.iter();
    ids.map(|id| id.as_str()).collect()
}

#[test]
fn a_damaged_row_that_is_dropped_and_fetched_again_is_one_that_changed() {
    let (mut server, mut device, members) = synced(3_000);
    device.db.tamper(&members, |_, rows| {
        rows.get_mut(&id("item-000007")).unwrap().check ^= 1;
        rows.remove(&id("item-000009"));
    });
    let before = device.record(&members).shown.cursor();
    device.replica.verify(&members, &mut device.db).unwrap();
    device.run(&mut server);
    assert_equal(&device, &server, &members);
    let receipt = receipt(&mut device);
    assert_eq!(
        (receipt.reason, receipt.rung),
        (Reason::Damage, Rung::Sketch)
    );
    assert!(receipt.mended);
    assert_eq!(ids(&receipt), ["item-000007", "item-000009"]);
    assert_eq!(counts(&receipt), (1, 0, 1));
    assert_eq!(receipt.cost.requests, 2);
    assert_eq!((receipt.began_at_ms, receipt.duration_ms), (1_000_000, 0));
    assert_eq!(receipt.before.device, before);
    let after = device.record(&members).shown.cursor().unwrap();
    assert_eq!(receipt.after.device, Some(after));
    let server = receipt.after.server.unwrap();
    assert_eq!((server.point, server.digest), (after.point, after.digest));
}

#[test]
fn a_receipt_says_why() {
    // Deletions that were purged below the cursor.
    let (mut server, mut device, members) = synced(3_000);
    server.delete(&members, "item-000001");
    server.purge();
    server.put(&members, "r", "new", "new");
    device.sync(&mut server);
    let purged = receipt(&mut device);
    assert_eq!(
        (purged.reason, counts(&purged)),
        (Reason::Purged, (0, 1, 0))
    );

    // A server that was restored, and the device ahead of it.
    let backup = server.store.backup();
    server.put(&members, "r", "item-000002", "other");
    server.put(&members, "r", "born", "born");
    device.sync(&mut server);
    server.restore(Some(&backup));
    device.now_ms += 5_000;
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
    let restored = receipt(&mut device);
    assert_eq!(
        (restored.reason, counts(&restored)),
        (Reason::Lineage, (0, 1, 1))
    );
    assert_eq!(restored.before.server, restored.after.server);
    assert_eq!(restored.began_at_ms, 1_005_000);

    // The device's own bookkeeping.
    device
        .db
        .tamper(&members, |record, _| record.shown.count += 1);
    device.sync(&mut server);
    let damaged = receipt(&mut device);
    assert_eq!(
        (damaged.reason, damaged.rung),
        (Reason::Damage, Rung::Local)
    );
    assert_eq!((counts(&damaged), damaged.cost.requests), ((0, 0, 0), 1));
}

#[test]
fn a_skeleton_counts_what_differs_although_it_reads_all() {
    let (mut server, mut device, members) = synced(40);
    server.sketches.none = true;
    let backup = server.store.backup();
    server.put(&members, "r", "item-000002", "other");
    server.put(&members, "s", "item-000003", "payload 3");
    server.delete(&members, "item-000004");
    server.put(&members, "r", "born", "born");
    device.sync(&mut server);
    server.restore(Some(&backup));
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
    let receipt = receipt(&mut device);
    assert_eq!(receipt.rung, Rung::Skeleton);
    assert_eq!(counts(&receipt), (1, 1, 2));
    assert_eq!(
        ids(&receipt),
        ["born", "item-000002", "item-000003", "item-000004"]
    );
}

#[test]
fn a_repair_that_a_restart_cut_short_says_so() {
    let (mut server, mut device, members) = synced(3_000);
    device.db.tamper(&members, |_, rows| {
        rows.remove(&id("item-000007"));
    });
    device.replica.verify(&members, &mut device.db).unwrap();
    assert!(device.step(&mut server));
    device.restart(ReplicaConfig::default());
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
    let receipt = receipt(&mut device);
    assert_eq!(
        (receipt.reason, receipt.rung),
        (Reason::Resumed, Rung::Sketch)
    );
    assert_eq!(counts(&receipt), (1, 0, 0));
}

/// Audits a list in steps of `rows` until it ends. What it found, and in how
/// many steps.
fn audit(device: &mut Device, members: &ListKey, rows: usize) -> (Audited, usize) {
    let mut steps = 0;
    loop {
        steps += 1;
        let audited = device
            .replica
            .audit(device.now_ms, members, rows, &mut device.db)
            .unwrap();
        if audited != Audited::More {
            device.drain();
            return (audited, steps);
        }
        assert!(steps < 10_000);
    }
}

#[test]
fn an_audit_in_steps_goes_on_after_a_restart_and_is_remembered() {
    let (mut server, mut device, members) = synced(1_000);
    for _ in 0..3 {
        let step = device
            .replica
            .audit(device.now_ms, &members, 100, &mut device.db);
        assert_eq!(step.unwrap(), Audited::More);
    }
    device.restart(ReplicaConfig::default());
    device.now_ms += 7_000;
    // 700 are left, and a step that finds none.
    assert_eq!(audit(&mut device, &members, 100), (Audited::Sound, 8));
    let record = device.record(&members);
    assert_eq!(record.audited_at_ms, Some(1_007_000));
    assert_eq!(record.audit, None);
    assert_eq!(device.sync(&mut server), 1);
    assert_equal(&device, &server, &members);
}

#[test]
fn an_audit_follows_what_is_written_while_it_runs() {
    let (mut server, mut device, members) = synced(1_000);
    for round in 0..9 {
        let step = device
            .replica
            .audit(device.now_ms, &members, 100, &mut device.db);
        assert_eq!(step.unwrap(), Audited::More);
        // Before, at and behind where it has come.
        for at in [round, 99 + round * 100, 998 - round] {
            server.put(&members, "q", &format!("item-{at:06}"), &format!("{round}"));
            server.put(&members, "q", &format!("item-{at:06}x"), "new");
            server.delete(&members, &format!("item-{:06}", at + 1));
        }
        device.sync(&mut server);
        assert_equal(&device, &server, &members);
    }
    assert_eq!(audit(&mut device, &members, 100).0, Audited::Sound);
    assert!(
        !device
            .events
            .iter()
            .any(|event| matches!(event, Event::Repaired(_)))
    );
}

#[test]
fn an_audit_finds_what_no_sync_can_see() {
    type Damage = fn(
        &mut std::collections::BTreeMap<
            highwater_protocol::ItemId,
            highwater_core::local::StoredRow,
        >,
    );
    let damages: [(&str, Damage); 5] = [
        ("lost", |rows| drop(rows.remove(&id("item-000700")))),
        ("altered", |rows| {
            rows.get_mut(&id("item-000700")).unwrap().check ^= 1;
        }),
        ("forged whole", |rows| {
            let row = rows.get_mut(&id("item-000700")).unwrap();
            row.row.stamp = stamp_of(&row.row.id, &row.row.rank, b"forged");
            row.row.payload = Some(b"forged".to_vec().into());
            row.check = row_check(&row.row.id, &row.row.rank, row.row.stamp);
        }),
        ("added", |rows| {
            let mut row = rows[&id("item-000700")].clone();
            row.row.id = id("item-000700x");
            row.row.stamp = stamp_of(&row.row.id, &row.row.rank, b"added");
            row.check = row_check(&row.row.id, &row.row.rank, row.row.stamp);
            rows.insert(row.row.id.clone(), row);
        }),
        ("payload", |rows| {
            rows.get_mut(&id("item-000700")).unwrap().row.payload = Some(b"forged".to_vec().into());
        }),
    ];
    for (name, damage) in damages {
        let (mut server, mut device, members) = synced(1_000);
        device.db.tamper(&members, |_, rows| damage(rows));
        assert_eq!(device.sync(&mut server), 1, "{name}: aligned, it says");
        assert_eq!(
            audit(&mut device, &members, 100).0,
            Audited::Faulty,
            "{name}"
        );
        device.run(&mut server);
        assert_equal(&device, &server, &members);
        assert_books(&device, &members);
        let receipt = receipt(&mut device);
        assert_eq!(receipt.reason, Reason::Damage, "{name}");
        assert_eq!(ids(&receipt).len(), 1, "{name}");
        assert_eq!(
            audit(&mut device, &members, 100).0,
            Audited::Sound,
            "{name}"
        );
    }
}

#[test]
fn an_audit_that_its_database_lost_begins_anew() {
    let (_, mut device, members) = synced(300);
    let step = device
        .replica
        .audit(device.now_ms, &members, 100, &mut device.db);
    assert_eq!(step.unwrap(), Audited::More);
    let mut txn = device.db.begin().unwrap();
    let mut record = txn.record(&members).unwrap().unwrap();
    record.audit = None;
    txn.save_record(&members, &record).unwrap();
    txn.commit().unwrap();
    assert_eq!(audit(&mut device, &members, 100), (Audited::Sound, 4));
    // A list that is not there has nothing to find.
    let nowhere = list("members/none");
    assert_eq!(audit(&mut device, &nowhere, 100), (Audited::Sound, 1));
}
