//! I1: a device ends up with what the server has. One test for each race that
//! `docs/sync-model.md`, sections 1 and 2, settles.

use crate::pair::{Device, Op, Server, assert_books, assert_equal, id, list};
use highwater_core::local::{Phase, Rung};
use highwater_core::reads::ListState;
use highwater_core::replica::{Event, ReplicaConfig};
use highwater_protocol::message::GoneReason;

#[test]
fn i1_a_short_list_arrives_whole_in_one_request() {
    let (mut server, groups) = (Server::new(), list("groups/u1"));
    server.fill(&groups, 100);
    let mut device = Device::new(ReplicaConfig::default()).holding(&[&groups]);
    assert_eq!(device.run(&mut server), 1);
    assert_equal(&device, &server, &groups);
    assert!(
        device
            .rows(&groups)
            .iter()
            .all(|(_, _, payload)| payload.is_some())
    );
}

#[test]
fn i1_a_list_that_never_was_is_empty_and_keeps_its_lineage_when_it_begins() {
    let (mut server, groups) = (Server::new(), list("groups/u1"));
    let mut device = Device::new(ReplicaConfig::default()).holding(&[&groups]);
    device.run(&mut server);
    assert_eq!(device.phase(&groups), Phase::InSync);
    let lineage = device.record(&groups).shown.point.unwrap().lineage;
    server.put(&groups, "a", "g1", "x");
    assert_eq!(device.sync(&mut server), 1);
    assert_equal(&device, &server, &groups);
    assert_eq!(server.head(&groups).lineage, lineage);
}

#[test]
fn i1_a_scan_beside_writes_is_exact() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 95);
    let mut device = Device::with_pages_of(10, &[&members]);
    let mut at = 0;
    while device.step(&mut server) {
        at += 1;
        assert_books(&device, &members);
        if at > 30 {
            continue;
        }
        // Ahead of the scan and behind it: change, move, delete, insert.
        server.put(
            &members,
            "r",
            &format!("item-{:06}", at * 3),
            &format!("new {at}"),
        );
        server.put(
            &members,
            "a",
            &format!("item-{:06}", 94 - at),
            "moved to the front",
        );
        server.put(
            &members,
            "z",
            &format!("item-{:06}", at * 2),
            "moved to the end",
        );
        server.delete(&members, &format!("item-{:06}", at * 5));
        server.put(&members, "m", &format!("born-{at}"), "while scanning");
    }
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
}

#[test]
fn i1_a_scan_page_in_which_every_row_has_changed_still_gets_on() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 60);
    let mut device = Device::with_pages_of(10, &[&members]);
    device.step(&mut server);
    let put = |at| Op::Put("r", format!("item-{at:06}"), b"changed".to_vec());
    server.write((10..50).map(|at| (members.clone(), put(at))).collect());
    device.run(&mut server);
    assert_equal(&device, &server, &members);
}

#[test]
fn i1_an_interrupted_scan_resumes_where_it_was() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 100);
    let mut device = Device::with_pages_of(10, &[&members]);
    for _ in 0..5 {
        device.step(&mut server);
        let (lost, request) = device.request().unwrap();
        server.answer(&request);
        device.lost(lost);
        device.restart(ReplicaConfig {
            page_rows: 10,
            whole_up_to: 0,
            ..Default::default()
        });
    }
    assert_eq!(device.record(&members).shown.count, 50);
    device.run(&mut server);
    assert_equal(&device, &server, &members);
    // 100 rows kept, and 5 pages of 10 that were lost.
    assert!(
        server.rows_sent <= 150 + 5,
        "{} rows were sent",
        server.rows_sent
    );
}

#[test]
fn i1_a_re_created_item_is_deleted_on_a_device_that_knew_its_first_life() {
    let (mut server, groups) = (Server::new(), list("groups/u1"));
    server.put(&groups, "a", "g1", "first life");
    server.put(&groups, "b", "g2", "stays");
    let mut device = Device::new(ReplicaConfig::default()).holding(&[&groups]);
    device.run(&mut server);
    server.delete(&groups, "g1");
    server.put(&groups, "a", "g1", "second life");
    server.delete(&groups, "g1");
    assert_eq!(device.sync(&mut server), 1, "one delta, no repair");
    assert_equal(&device, &server, &groups);
    assert_eq!(device.rows(&groups).len(), 1);
}

#[test]
fn i1_a_tombstone_of_an_item_that_the_device_never_saw_is_not_sent() {
    let (mut server, groups) = (Server::new(), list("groups/u1"));
    server.put(&groups, "a", "g1", "x");
    let mut device = Device::new(ReplicaConfig::default()).holding(&[&groups]);
    device.run(&mut server);
    server.put(&groups, "b", "g2", "born and gone");
    server.delete(&groups, "g2");
    server.rows_sent = 0;
    device.sync(&mut server);
    assert_eq!(server.rows_sent, 0);
    assert_equal(&device, &server, &groups);
}

#[test]
fn i1_deletions_purged_below_the_cursor_are_found_by_the_digest() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 30);
    let mut device = Device::with_pages_of(1_000, &[&members]);
    device.run(&mut server);
    server.delete(&members, "item-000007");
    server.purge();
    server.put(&members, "r", "item-000008", "changed");
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
    assert!(device.events.iter().any(|event| matches!(
        event,
        Event::Repaired(receipt) if receipt.rung == Rung::Sketch
    )));
}

#[test]
fn i1_a_purge_that_cost_this_device_nothing_needs_no_repair() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 30);
    let mut device = Device::with_pages_of(1_000, &[&members]);
    device.run(&mut server);
    server.put(&members, "r", "born", "and");
    server.delete(&members, "born");
    server.purge();
    server.put(&members, "r", "item-000008", "changed");
    assert_eq!(device.sync(&mut server), 1);
    assert_equal(&device, &server, &members);
    assert!(
        !device
            .events
            .iter()
            .any(|event| matches!(event, Event::Repaired(_)))
    );
}

/// "Deleting the item with the highest version is never reported" (Cyrus).
#[test]
fn i1_the_deletion_of_the_newest_item_is_reported() {
    let (mut server, groups) = (Server::new(), list("groups/u1"));
    server.put(&groups, "a", "g1", "x");
    server.put(&groups, "a", "g2", "the newest");
    let mut device = Device::new(ReplicaConfig::default()).holding(&[&groups]);
    device.run(&mut server);
    server.delete(&groups, "g2");
    device.sync(&mut server);
    assert_equal(&device, &server, &groups);
    assert_eq!(device.rows(&groups).len(), 1);
}

#[test]
fn i1_every_page_of_a_delta_ends_at_a_cursor_that_goes_on() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 100);
    let mut device = Device::with_pages_of(7, &[&members]);
    device.run(&mut server);
    for at in 0..100 {
        server.put(
            &members,
            "r",
            &format!("item-{at:06}"),
            &format!("second {at}"),
        );
    }
    device.replica.sync();
    let mut pages = 0;
    while device.step(&mut server) {
        pages += 1;
        assert_books(&device, &members);
        // Between any two pages the list moves on, and a deletion joins in.
        if pages < 10 {
            server.delete(&members, &format!("item-{:06}", pages * 9));
        }
    }
    assert!(pages >= 100 / 7, "{pages} pages");
    assert_equal(&device, &server, &members);
}

#[test]
fn i1_a_gap_of_50_000_changes_is_a_paged_delta_interrupted_five_times_and_no_full_pull() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 60_000);
    let mut device = Device::with_pages_of(1_000, &[&members]);
    device.run(&mut server);
    let put = |at| {
        (
            members.clone(),
            Op::Put("r", format!("item-{at:06}"), b"new".to_vec()),
        )
    };
    server.write((0..50_000).map(put).collect());
    server.rows_sent = 0;
    device.replica.sync();
    let mut pages = 0;
    while let Some((request_id, request)) = device.request() {
        let response = server.answer(&request);
        pages += 1;
        if pages % 8 == 0 && pages <= 40 {
            device.lost(request_id);
        } else {
            device.response(request_id, response);
        }
    }
    assert_eq!(pages, 50 + 5, "50 pages, five of them twice");
    assert_eq!(server.rows_sent, 55_000);
    assert_equal(&device, &server, &members);
    assert!(
        !device
            .events
            .iter()
            .any(|event| matches!(event, Event::Repaired(_)))
    );
}

/// OpenIM: "any change of role or pin makes every device download all ids".
#[test]
fn i1_an_order_change_in_a_list_of_100_000_costs_one_item() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 100_000);
    let mut device = Device::with_pages_of(1_000, &[&members]);
    device.run(&mut server);
    server.put(&members, "a", "item-099999", "payload 99999");
    server.rows_sent = 0;
    assert_eq!(device.sync(&mut server), 1);
    assert_eq!(server.rows_sent, 1);
    assert_equal(&device, &server, &members);
    assert_eq!(device.rows(&members)[0].0, id("item-099999"));
}

#[test]
fn i1_a_restored_server_with_the_same_content_is_adopted() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 5_000);
    let mut device = Device::with_pages_of(1_000, &[&members]);
    device.run(&mut server);
    server.restore(None);
    server.rows_sent = 0;
    assert_eq!(device.sync(&mut server), 1);
    assert_eq!(server.rows_sent, 0);
    assert_equal(&device, &server, &members);
}

#[test]
fn i1_a_server_restored_from_an_older_backup_is_followed_back() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 50);
    let backup = server.store.backup();
    server.put(&members, "r", "item-000003", "after the backup");
    server.put(&members, "r", "new", "after the backup");
    server.delete(&members, "item-000004");
    let mut device = Device::with_pages_of(20, &[&members]);
    device.run(&mut server);
    server.restore(Some(&backup));
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
}

#[test]
fn i1_a_scan_that_a_restore_overtakes_begins_again() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 50);
    let mut device = Device::with_pages_of(10, &[&members]);
    device.step(&mut server);
    device.step(&mut server);
    server.restore(None);
    device.run(&mut server);
    assert_equal(&device, &server, &members);
}

/// "Answers 200 and 'nothing new' to a token from the future" (Cyrus, Synapse).
#[test]
fn i1_a_cursor_ahead_of_the_server_heals() {
    let (mut server, groups) = (Server::new(), list("groups/u1"));
    server.fill(&groups, 10);
    let mut device = Device::new(ReplicaConfig::default()).holding(&[&groups]);
    device.run(&mut server);
    server.put(&groups, "r", "item-000001", "changed");
    device.db.tamper(&groups, |record, _| {
        let point = record.shown.point.as_mut().unwrap();
        point.version = highwater_protocol::Version::new(1_000_000);
    });
    device.sync(&mut server);
    assert_equal(&device, &server, &groups);
}

#[test]
fn i1_two_lists_of_one_transaction_arrive_together() {
    let (mut server, groups, members) = (Server::new(), list("groups/u1"), list("members/g1"));
    server.put(&groups, "a", "g0", "x");
    server.put(&members, "a", "u0", "x");
    let mut device = Device::new(ReplicaConfig::default()).holding(&[&groups, &members]);
    device.run(&mut server);
    let put = |item: &str| Op::Put("b", item.to_owned(), b"joined".to_vec());
    server.write(vec![
        (groups.clone(), put("g1")),
        (members.clone(), put("u1")),
    ]);
    assert_eq!(device.sync(&mut server), 1);
    assert_equal(&device, &server, &groups);
    assert_equal(&device, &server, &members);
}

#[test]
fn i1_the_headers_change_is_one_element() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 500);
    server.put(&members, "", "", "old name");
    let mut device = Device::with_pages_of(1_000, &[&members]);
    device.run(&mut server);
    server.put(&members, "", "", "new name");
    server.rows_sent = 0;
    device.sync(&mut server);
    assert_eq!(server.rows_sent, 1);
    assert_equal(&device, &server, &members);
    assert_eq!(
        device.rows(&members)[0].2.as_deref(),
        Some(b"new name".as_slice())
    );
}

#[test]
fn i1_a_list_that_ended_is_dropped_and_found_again_when_it_was_re_created() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 10);
    let mut device = Device::new(ReplicaConfig::default()).holding(&[&members]);
    device.run(&mut server);
    server.end(&members);
    assert!(matches!(server.state(&members), ListState::Ended(_)));
    device.sync(&mut server);
    assert_eq!(device.phase(&members), Phase::Gone(GoneReason::Deleted));
    assert!(device.rows(&members).is_empty());
    assert_eq!(device.sync(&mut server), 0, "it is not asked for again");
    server.put(&members, "r", "founder", "second life");
    device.replica.hold(&members);
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
}

#[test]
fn i1_a_list_re_created_unseen_is_another_one() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 10);
    let mut device = Device::new(ReplicaConfig::default()).holding(&[&members]);
    device.run(&mut server);
    server.end(&members);
    server.put(&members, "r", "founder", "second life");
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
    assert_eq!(device.rows(&members).len(), 1);
}

/// OpenIM #610: deleting the server's log emptied the list.
#[test]
fn openim_610_forgetting_the_whole_history_empties_nothing() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 40);
    let mut device = Device::with_pages_of(1_000, &[&members]);
    device.run(&mut server);
    for at in 0..10 {
        server.delete(&members, &format!("item-{at:06}"));
    }
    server.purge();
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
    assert_eq!(device.rows(&members).len(), 30);
}

/// OpenIM #977: an update for an item that the device lacks was lost.
#[test]
fn openim_977_an_update_of_an_item_that_the_device_lacks_inserts_it() {
    let (mut server, groups) = (Server::new(), list("groups/u1"));
    server.fill(&groups, 10);
    let mut device = Device::new(ReplicaConfig::default()).holding(&[&groups]);
    device.run(&mut server);
    device.db.tamper(&groups, |_, rows| {
        rows.remove(&id("item-000003"));
    });
    server.put(&groups, "r", "item-000003", "updated");
    device.sync(&mut server);
    assert_equal(&device, &server, &groups);
    assert_eq!(device.rows(&groups).len(), 10);
}

/// OpenIM #3284: two bumps in one request sent the first version.
#[test]
fn openim_3284_two_changes_of_one_item_in_one_transaction_end_at_the_second() {
    let (mut server, groups) = (Server::new(), list("groups/u1"));
    server.put(&groups, "a", "g1", "zero");
    let mut device = Device::new(ReplicaConfig::default()).holding(&[&groups]);
    device.run(&mut server);
    let put = |text: &str| (groups.clone(), Op::Put("a", "g1".to_owned(), text.into()));
    server.write(vec![put("one"), put("two")]);
    assert_eq!(device.sync(&mut server), 1);
    assert_equal(&device, &server, &groups);
    assert_eq!(
        device.rows(&groups)[0].2.as_deref(),
        Some(b"two".as_slice())
    );
}

/// OpenIM #3525: a batch failed whole because one group was dismissed.
#[test]
fn openim_3525_one_list_that_ended_does_not_fail_its_batch() {
    let mut server = Server::new();
    let lists: Vec<_> = (0..600).map(|at| list(&format!("members/g{at}"))).collect();
    lists
        .iter()
        .for_each(|list| server.put(list, "r", "u1", "x"));
    let refs: Vec<_> = lists.iter().collect();
    let mut device = Device::new(ReplicaConfig::default()).holding(&refs);
    device.run(&mut server);
    // "More than 500 groups with a full batch dismissed looped for ever."
    lists.iter().take(520).for_each(|list| server.end(list));
    lists
        .iter()
        .skip(520)
        .for_each(|list| server.put(list, "r", "u2", "y"));
    assert_eq!(device.sync(&mut server), 1);
    for list in &lists[..520] {
        assert_eq!(device.phase(list), Phase::Gone(GoneReason::Deleted));
    }
    lists[520..]
        .iter()
        .for_each(|list| assert_equal(&device, &server, list));
}
