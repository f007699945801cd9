//! The sketch rung: repairs for the price of the difference, and its way out
//! when that does not work.

use crate::pair::{Device, Op, Server, assert_equal, id, list, rungs, synced};
use highwater_core::local::Rung;
use highwater_core::replica::ReplicaConfig;
use highwater_core::stamp::{row_check, stamp_of};
use highwater_protocol::ListKey;
use highwater_protocol::message::{ListRequest, Position};

/// Damages `changed` items so that the device sees it when it verifies.
fn damage(device: &mut Device, members: &ListKey, changed: usize) {
    device.db.tamper(members, |_, rows| {
        for row in rows.values_mut().step_by(7).take(changed) {
            row.row.stamp = stamp_of(&row.row.id, &row.row.rank, b"damaged");
            row.check = row_check(&row.row.id, &row.row.rank, row.row.stamp);
        }
    });
    device.replica.verify(members, &mut device.db).unwrap();
}

#[test]
fn i6_a_repair_costs_the_difference_not_the_list() {
    for (changed, requests_max, bytes_max) in [(1, 2, 1_100), (10, 2, 1_900), (100, 4, 14_000)] {
        let (mut server, mut device, members) = synced(5_000);
        damage(&mut device, &members, changed);
        let requests = device.run(&mut server);
        assert_equal(&device, &server, &members);
        assert_eq!(rungs(&device), [Rung::Sketch], "{changed} changed");
        assert_eq!(server.rows_sent, changed);
        assert!(
            requests <= requests_max,
            "{requests} requests for {changed}"
        );
        let bytes = server.bytes_sent;
        assert!(bytes <= bytes_max, "{bytes} bytes for {changed}");
    }
}

#[test]
fn deletions_that_were_purged_cost_their_own_number() {
    let (mut server, mut device, members) = synced(3_000);
    for at in 0..20 {
        server.delete(&members, &format!("item-{:06}", at * 100));
    }
    server.purge();
    server.put(&members, "r", "item-000001", "changed");
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
    assert_eq!((rungs(&device), server.rows_sent), (vec![Rung::Sketch], 1));
}

#[test]
fn a_restored_server_costs_what_differs() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 3_000);
    let backup = server.store.backup();
    for at in 0..15 {
        server.put(&members, "r", &format!("item-{at:06}"), "after the backup");
        server.delete(&members, &format!("item-{:06}", 1_000 + at));
        server.put(&members, "r", &format!("born-{at}"), "after the backup");
    }
    let mut device = Device::with_pages_of(1_000, &[&members]);
    device.run(&mut server);
    server.restore(Some(&backup));
    server.rows_sent = 0;
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
    assert_eq!((rungs(&device), server.rows_sent), (vec![Rung::Sketch], 30));
}

#[test]
fn a_difference_as_large_as_the_list_takes_the_skeleton() {
    let (mut server, mut device, members) = synced(2_000);
    let put = |at| Op::Put("r", format!("other-{at:06}"), b"x".to_vec());
    let delete = |at| Op::Delete(format!("item-{at:06}"));
    server.write(
        (0..2_000)
            .flat_map(|at| [put(at), delete(at)])
            .map(|op| (members.clone(), op))
            .collect(),
    );
    server.purge();
    server.restore(None);
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
    assert_eq!(rungs(&device), [Rung::Skeleton]);
}

#[test]
fn a_sketch_of_an_older_version_is_followed_by_the_delta() {
    let (mut server, mut device, members) = synced(500);
    server.sketches.stale = true;
    damage(&mut device, &members, 3);
    // The first cells are of version 500; then the list moves on.
    device.step(&mut server);
    server.put(&members, "r", "item-000000", "changed while repairing");
    server.delete(&members, "item-000007");
    server.put(&members, "r", "born", "while repairing");
    device.run(&mut server);
    assert_equal(&device, &server, &members);
    assert_eq!(rungs(&device), [Rung::Sketch]);
}

#[test]
fn a_sketch_that_is_no_longer_kept_begins_again_at_most_twice() {
    let (mut server, mut device, members) = synced(500);
    damage(&mut device, &members, 3);
    let mut asked = 0;
    while let Some((request_id, request)) = device.request() {
        if let Position::Sketch(_) | Position::SketchItems(_) = request.lists[0].position {
            asked += 1;
            server.sketches.forget();
        }
        let response = server.answer(&request);
        device.response(request_id, response);
    }
    assert_eq!(asked, 3);
    assert_equal(&device, &server, &members);
    assert_eq!(rungs(&device), [Rung::Skeleton]);
}

#[test]
fn a_device_that_dies_while_it_reconciles_begins_the_rung_again() {
    let (mut server, mut device, members) = synced(500);
    damage(&mut device, &members, 3);
    device.step(&mut server);
    device.restart(ReplicaConfig {
        whole_up_to: 0,
        ..Default::default()
    });
    device.run(&mut server);
    assert_equal(&device, &server, &members);
    assert_eq!(rungs(&device), [Rung::Sketch]);
}

#[test]
fn lists_that_fetch_much_share_a_requests_room_for_elements() {
    let mut server = Server::new();
    let lists = ["a", "b", "c", "d"].map(|group| list(&format!("members/{group}")));
    for members in &lists {
        server.fill(members, 5_000);
    }
    let mut device = Device::with_pages_of(1_000, &lists.each_ref());
    device.run(&mut server);
    for members in &lists {
        damage(&mut device, members, 600);
    }
    let mut largest = 0;
    while let Some((request_id, request)) = device.request() {
        let elements = |list: &ListRequest| match &list.position {
            Position::SketchItems(items) => items.elements.len(),
            _ => 0,
        };
        let in_request = request.lists.iter().map(elements).sum::<usize>();
        largest = largest.max(in_request);
        let response = server.answer(&request);
        device.response(request_id, response);
    }
    assert_eq!(largest, 1_000);
    for members in &lists {
        assert_equal(&device, &server, members);
    }
    assert_eq!(rungs(&device), [Rung::Sketch; 4]);
}

#[test]
fn one_encoding_serves_every_device() {
    let (mut server, _, members) = synced(300);
    let mut devices: Vec<Device> = (0..10)
        .map(|_| Device::with_pages_of(1_000, &[&members]))
        .collect();
    for device in &mut devices {
        device.run(&mut server);
        damage(device, &members, 2);
        device.run(&mut server);
        assert_equal(device, &server, &members);
    }
    assert_eq!(
        server
            .sketches
            .made
            .load(std::sync::atomic::Ordering::Relaxed),
        1
    );
}

#[test]
fn rows_stay_visible_until_the_mended_state_replaces_them() {
    let (mut server, mut device, members) = synced(500);
    device.db.tamper(&members, |record, rows| {
        rows.remove(&id("item-000007"));
        record.shown.count -= 1;
    });
    device.replica.sync();
    while device.step(&mut server) {
        assert!(device.rows(&members).len() >= 499);
    }
    assert_equal(&device, &server, &members);
}
