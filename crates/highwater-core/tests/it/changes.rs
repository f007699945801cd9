//! Changes that come without a request: `docs/sync-model.md`, section 3. Each
//! rule is a test, and each way in which a peer may lie.

use crate::pair::{Device, Op, Server, assert_books, assert_equal, id, list, synced};
use highwater_core::local::Phase;
use highwater_core::replica::{Event, ReplicaConfig};
use highwater_protocol::message::{Content, DeltaEnd, GoneReason, ListChange};
use highwater_protocol::{Digest, Lineage, ListKey, Version};
use std::slice::from_ref;

fn put(list: &ListKey, item: &str, payload: &str) -> (ListKey, Op) {
    let op = Op::Put("r", item.to_owned(), payload.as_bytes().to_vec());
    (list.clone(), op)
}

fn delete(list: &ListKey, item: &str) -> (ListKey, Op) {
    (list.clone(), Op::Delete(item.to_owned()))
}

/// Lists that the device is told to have become otherwise.
fn changed(device: &Device) -> Vec<ListKey> {
    let of = |event: &Event| match event {
        Event::Changed { list, .. } => Some(list.clone()),
        _ => None,
    };
    device.events.iter().filter_map(of).collect()
}

#[test]
fn a_change_that_fits_is_applied_without_a_request() {
    let (mut server, mut device, members) = synced(50);
    let told = server.write_and_tell(vec![
        put(&members, "item-000003", "changed"),
        put(&members, "new", "is new"),
        delete(&members, "item-000004"),
    ]);
    assert_eq!(device.hear(&told), []);
    assert_equal(&device, &server, &members);
    assert_eq!(changed(&device), [members]);
    assert!(device.request().is_none(), "nothing is left to ask");
}

#[test]
fn all_lists_of_an_answer_change_together_and_the_transactions_in_their_order() {
    let (mut server, friends, blocks) = (Server::new(), list("friends/u1"), list("blocks/u1"));
    server.put(&friends, "r", "u2", "Bob");
    let config = ReplicaConfig::default();
    let mut device = Device::new(config).holding(&[&friends, &blocks]);
    device.run(&mut server);
    device.events.clear();
    let mut told = server.write_and_tell(vec![delete(&friends, "u2"), put(&blocks, "u2", "Bob")]);
    told.extend(server.write_and_tell(vec![put(&friends, "u3", "Eve")]));
    assert_eq!(told.len(), 3);
    assert_eq!(device.hear(&told), []);
    assert_equal(&device, &server, &friends);
    assert_equal(&device, &server, &blocks);
    assert!(device.request().is_none());
}

#[test]
fn a_list_that_is_not_held_is_left_alone() {
    let (mut server, mut device, _) = synced(5);
    let told = server.write_and_tell(vec![put(&list("friends/u1"), "u2", "Bob")]);
    assert_eq!(device.hear(&told), []);
    assert!(device.events.is_empty() && device.request().is_none());
    assert!(device.db.record_of(&list("friends/u1")).is_none());
}

#[test]
fn what_is_old_or_repeated_is_ignored() {
    let (mut server, mut device, members) = synced(5);
    let first = server.write_and_tell(vec![put(&members, "a", "1")]);
    let second = server.write_and_tell(vec![put(&members, "a", "2")]);
    for told in [&first, &second, &second, &first] {
        assert_eq!(device.hear(told), []);
    }
    assert_equal(&device, &server, &members);
    assert_eq!(changed(&device).len(), 2);
    assert!(device.request().is_none());
}

#[test]
fn a_gap_is_asked_about_once() {
    let (mut server, mut device, members) = synced(5);
    server.write_and_tell(vec![put(&members, "a", "lost")]);
    let second = server.write_and_tell(vec![put(&members, "b", "heard")]);
    let third = server.write_and_tell(vec![put(&members, "c", "heard")]);
    assert_eq!(device.hear(&second), from_ref(&members));
    assert_eq!(device.hear(&third), from_ref(&members));
    assert!(changed(&device).is_empty());
    assert_eq!(device.run(&mut server), 1);
    assert_equal(&device, &server, &members);
}

#[test]
fn a_change_that_did_not_come_along_is_asked_about() {
    let (mut server, mut device, members) = synced(5);
    let mut told = server.write_and_tell(vec![put(&members, "a", "1")]);
    told[0].delta = None;
    assert_eq!(device.hear(&told), from_ref(&members));
    assert_eq!(device.run(&mut server), 1);
    assert_equal(&device, &server, &members);
}

#[test]
fn another_lineage_is_asked_about_once_per_value() {
    let (mut server, mut device, members) = synced(5);
    let mut told = server.write_and_tell(vec![put(&members, "a", "1")]);
    told[0].lineage = Lineage::new(99).unwrap();
    assert_eq!(device.hear(&told), from_ref(&members));
    assert_eq!(device.run(&mut server), 1);
    assert_equal(&device, &server, &members);
    for _ in 0..3 {
        assert_eq!(device.hear(&told), []);
        assert!(device.request().is_none(), "the server has said what it is");
    }
    told[0].lineage = Lineage::new(98).unwrap();
    assert_eq!(device.hear(&told), [members]);
    assert_eq!(device.run(&mut server), 1);
}

#[test]
fn a_restored_servers_change_leads_to_its_lineage() {
    let (mut server, mut device, members) = synced(50);
    server.restore(None);
    let told = server.write_and_tell(vec![put(&members, "a", "after the restore")]);
    assert_eq!(device.hear(&told), from_ref(&members));
    device.run(&mut server);
    assert_equal(&device, &server, &members);
}

#[test]
fn nothing_of_a_change_that_leads_elsewhere_stays() {
    let (mut server, friends, members) = (Server::new(), list("friends/u1"), list("members/g1"));
    server.fill(&members, 5);
    server.put(&friends, "r", "u2", "Bob");
    let config = ReplicaConfig::default();
    let mut device = Device::new(config).holding(&[&friends, &members]);
    device.run(&mut server);
    device.events.clear();
    let mut told = server.write_and_tell(vec![
        put(&friends, "u3", "Eve"),
        put(&members, "item-000001", "changed"),
        delete(&members, "item-000002"),
    ]);
    let before = (device.rows(&members), device.record(&members));
    let lied = told.iter_mut().find(|change| change.list == members);
    let lied = lied.and_then(|change| change.delta.as_mut()).unwrap();
    lied.end = DeltaEnd::Proof(Digest::ZERO, 5);
    assert_eq!(device.hear(&told), from_ref(&members));
    assert_eq!((device.rows(&members), device.record(&members)), before);
    assert_equal(&device, &server, &friends);
    assert_eq!(changed(&device), [friends]);
    assert_eq!(device.run(&mut server), 1);
    assert_equal(&device, &server, &members);
}

#[test]
fn a_change_during_a_pull_is_remembered_and_asked_about_only_if_the_pull_missed_it() {
    for answered_before in [true, false] {
        let (mut server, mut device, members) = synced(5);
        device.replica.sync();
        let (request_id, request) = device.request().unwrap();
        let early = answered_before.then(|| server.answer(&request));
        let told = server.write_and_tell(vec![put(&members, "a", "1")]);
        assert_eq!(device.hear(&told), from_ref(&members));
        assert!(device.request().is_none(), "pulls are single-flight");
        let response = early.unwrap_or_else(|| server.answer(&request));
        device.response(request_id, response);
        let follows = device.run(&mut server);
        assert_eq!(follows, usize::from(answered_before));
        assert_equal(&device, &server, &members);
    }
}

#[test]
fn what_was_heard_during_a_pull_that_is_lost_is_not_forgotten() {
    let (mut server, mut device, members) = synced(5);
    device.replica.sync();
    let (request_id, _) = device.request().unwrap();
    let told = server.write_and_tell(vec![put(&members, "a", "1")]);
    device.hear(&told);
    device.lost(request_id);
    assert_eq!(device.run(&mut server), 1);
    assert_equal(&device, &server, &members);
}

#[test]
fn a_change_during_the_first_scan_waits_for_its_end() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 30);
    let mut device = Device::with_pages_of(10, &[&members]);
    device.step(&mut server);
    let told = server.write_and_tell(vec![put(&members, "item-000001", "changed")]);
    assert_eq!(device.hear(&told), [], "nobody waits for a first scan");
    assert_eq!(device.record(&members).shown.count, 10);
    device.run(&mut server);
    assert_equal(&device, &server, &members);
}

#[test]
fn a_list_that_ended_is_dropped_and_one_that_is_there_again_is_read() {
    let (mut server, mut device, members) = synced(5);
    let told = server.write_and_tell(vec![(members.clone(), Op::End)]);
    assert_eq!(device.hear(&told), from_ref(&members));
    device.run(&mut server);
    assert_eq!(device.phase(&members), Phase::Gone(GoneReason::Deleted));
    let told = server.write_and_tell(vec![put(&members, "founder", "second life")]);
    device.hear(&told);
    device.run(&mut server);
    assert_equal(&device, &server, &members);
}

#[test]
fn a_cursor_within_a_transaction_takes_all_of_it() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 20);
    let mut device = Device::with_pages_of(3, &[&members]);
    device.run(&mut server);
    let ops = (0..9).map(|at| put(&members, &format!("item-{at:06}"), "changed"));
    let told = server.write_and_tell(ops.collect());
    device.replica.sync();
    device.step(&mut server);
    assert_eq!(device.phase(&members), Phase::Syncing);
    assert_eq!(device.hear(&told), []);
    assert_equal(&device, &server, &members);
}

#[test]
fn a_repair_is_not_disturbed() {
    let (mut server, mut device, members) = synced(500);
    device.db.tamper(&members, |record, rows| {
        rows.retain(|item, _| *item != id("item-000007"));
        record.shown.count = rows.len() as u64;
        record.shown.digest = rows.values().map(|stored| stored.row.stamp).collect();
    });
    device.replica.sync();
    device.step(&mut server);
    assert!(matches!(device.phase(&members), Phase::Repairing(_)));
    let told = server.write_and_tell(vec![put(&members, "a", "1")]);
    assert_eq!(device.hear(&told), from_ref(&members));
    device.run(&mut server);
    assert_equal(&device, &server, &members);
}

#[test]
fn rows_without_payload_are_fetched_where_the_list_is_kept_whole() {
    let (mut server, friends) = (Server::new(), list("friends/u1"));
    server.put(&friends, "r", "u2", "Bob");
    let mut device = Device::new(ReplicaConfig::default()).holding(&[&friends]);
    device.run(&mut server);
    let mut told = server.write_and_tell(vec![put(&friends, "u3", "Eve")]);
    for row in told
        .iter_mut()
        .flat_map(|change| &mut change.delta.as_mut().unwrap().rows)
    {
        let Content::Payload(payload) = &row.content else {
            unreachable!()
        };
        let stamp = highwater_core::stamp::stamp_of(&row.id, &row.rank, payload);
        row.content = Content::Stamp(stamp);
    }
    device.hear(&told);
    assert_equal(&device, &server, &friends);
    assert_eq!(device.run(&mut server), 1);
    assert!(
        device
            .rows(&friends)
            .iter()
            .all(|(.., payload)| payload.is_some())
    );
}

/// Whatever a peer says: nothing panics, the books agree, and an honest sync
/// makes the copy right.
#[test]
fn a_peer_that_lies_about_changes_is_found_out() {
    type Lie = fn(&mut ListChange);
    fn delta(change: &mut ListChange) -> &mut highwater_protocol::message::Delta {
        change.delta.as_mut().unwrap()
    }
    let lies: [Lie; 9] = [
        |change| change.from = Version::ZERO,
        |change| delta(change).to = Version::new(u64::MAX),
        |change| {
            change.from = Version::new(u64::MAX);
            change.delta = None;
        },
        |change| delta(change).rows.clear(),
        |change| delta(change).end = DeltaEnd::Proof(Digest::ZERO, u64::MAX),
        |change| {
            let rows = delta(change).rows.clone();
            delta(change).rows.extend(rows);
        },
        |change| {
            let ids = delta(change)
                .rows
                .iter()
                .map(|row| row.id.clone())
                .collect();
            delta(change).deleted = ids;
        },
        |change| delta(change).deleted = vec![id("never was"), id(""), id("item-000001")],
        |change| delta(change).rows[0].content = Content::Payload("another".into()),
    ];
    for (at, lie) in lies.into_iter().enumerate() {
        let (mut server, mut device, members) = synced(5);
        let mut told = server.write_and_tell(vec![put(&members, "a", "1")]);
        lie(&mut told[0]);
        let told = told.remove(0);
        device
            .replica
            .handle_changes(0, &[told.clone(), told], &mut device.db)
            .unwrap();
        assert_books(&device, &members);
        device.sync(&mut server);
        assert_equal(&device, &server, &members);
        assert!(device.request().is_none(), "lie {at}");
    }
}
