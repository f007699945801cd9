//! I2, I6 and I7: no false calm, cost in proportion, and repairs that end.

use crate::pair::{Device, Server, assert_books, assert_equal, id, list, rungs, synced};
use highwater_core::local::{Changes, Phase, RowChange, Rung};
use highwater_core::replica::{Event, Failure, ReplicaConfig};
use highwater_protocol::message::{
    Answer, Cell, Content, Delta, DeltaEnd, Diverged, DivergedReason, GoneReason, Head, ListAnswer,
    Position, Row, Salt, ScanPage, SketchCells, SketchId, SyncRequest, SyncResponse,
};
use highwater_protocol::{Digest, Lineage, ListKey, Point, Rank, Stamp, Version};

#[test]
fn i2_a_wrong_local_digest_is_corrected_by_the_local_rung_alone() {
    let (mut server, mut device, members) = synced(2_000);
    device.db.tamper(&members, |record, _| {
        record.shown.digest = record.shown.digest.plus(Stamp([9; 16]));
    });
    server.rows_sent = 0;
    assert_eq!(device.sync(&mut server), 1);
    assert_equal(&device, &server, &members);
    assert_eq!(rungs(&device), [Rung::Local]);
    assert_eq!(server.rows_sent, 0);
}

#[test]
fn i2_a_row_lost_behind_the_replicas_back_is_found_by_verify() {
    let (mut server, mut device, members) = synced(50);
    device.db.tamper(&members, |_, rows| {
        rows.remove(&id("item-000007"));
    });
    device.sync(&mut server);
    assert_eq!(
        device.rows(&members).len(),
        49,
        "a running digest cannot see it"
    );
    server.rows_sent = 0;
    device.replica.verify(&members, &mut device.db).unwrap();
    assert_eq!(
        device.run(&mut server),
        2,
        "the bad news with cells, and the row"
    );
    assert_equal(&device, &server, &members);
    assert_eq!((rungs(&device), server.rows_sent), (vec![Rung::Sketch], 1));
    let reported: Vec<&Changes> = device
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Changed { changes, .. } => Some(changes),
            _ => None,
        })
        .collect();
    let back = RowChange {
        id: id("item-000007"),
        before: None,
        after: Some(Rank::new(b"r".to_vec()).unwrap()),
    };
    assert_eq!(
        reported,
        [&Changes::Rows(vec![back])],
        "only what really differed"
    );
}

/// Found by the simulation: `verify` left a list "in sync" whose rows it had
/// just found to sum to something else, for as long as the server was away.
#[test]
fn i2_a_copy_that_verify_finds_wrong_is_not_in_sync_before_the_server_says_so() {
    let (mut server, mut device, members) = synced(50);
    device.db.tamper(&members, |_, rows| {
        rows.remove(&id("item-000007"));
    });
    device.replica.verify(&members, &mut device.db).unwrap();
    device.drain();
    assert_eq!(device.phase(&members), Phase::Syncing);
    let told = Event::Status {
        list: members.clone(),
        phase: Phase::Syncing,
    };
    assert!(device.events.contains(&told), "{:?}", device.events);
    device.run(&mut server);
    assert_equal(&device, &server, &members);
}

/// Found by the simulation: the repair of a first scan that was cut short took
/// payloads over from rows that nobody had looked at.
#[test]
fn i2_a_first_scan_that_is_repaired_takes_over_no_damaged_payload() {
    let (mut server, groups) = (Server::new(), list("groups/u1"));
    server.fill(&groups, 20);
    let config = ReplicaConfig {
        page_rows: 5,
        ..ReplicaConfig::default()
    };
    let mut device = Device::new(config).holding(&[&groups]);
    device.step(&mut server);
    device.db.tamper(&groups, |_, rows| {
        rows.get_mut(&id("item-000002")).unwrap().row.payload = Some(b"forged".to_vec().into());
    });
    server.restore(None);
    device.run(&mut server);
    assert_equal(&device, &server, &groups);
    assert_eq!(rungs(&device), [Rung::Skeleton]);
}

#[test]
fn i2_damaged_rows_are_dropped_or_lose_their_payload_and_come_back() {
    let (mut server, mut device, members) = synced(50);
    let all = (0..50).map(|at| id(&format!("item-{at:06}")));
    device.replica.want_details(&members, all);
    device.run(&mut server);
    device.db.tamper(&members, |_, rows| {
        rows.get_mut(&id("item-000001")).unwrap().row.payload = Some(b"forged".to_vec().into());
        rows.get_mut(&id("item-000002")).unwrap().row.stamp = Stamp([7; 16]);
        rows.get_mut(&id("item-000003")).unwrap().row.rank = Rank::new(b"wrong".to_vec()).unwrap();
        rows.get_mut(&id("item-000004")).unwrap().check ^= 1;
        let swapped = rows[&id("item-000006")].clone();
        rows.get_mut(&id("item-000005")).unwrap().row.payload = swapped.row.payload;
    });
    device.replica.verify(&members, &mut device.db).unwrap();
    device.run(&mut server);
    assert_equal(&device, &server, &members);
    let missing: Vec<String> = device
        .rows(&members)
        .into_iter()
        .filter(|(_, _, payload)| payload.is_none())
        .map(|(id, _, _)| id.to_string())
        .collect();
    let expected = ["item-000001", "item-000005"];
    assert_eq!(missing, expected, "fetched when they are next shown");
}

#[test]
fn i2_a_list_kept_whole_fetches_what_a_repair_found_missing() {
    let (mut server, groups) = (Server::new(), list("groups/u1"));
    server.fill(&groups, 50);
    let mut device = Device::new(ReplicaConfig::default()).holding(&[&groups]);
    device.run(&mut server);
    device.db.tamper(&groups, |_, rows| {
        rows.remove(&id("item-000001"));
        rows.get_mut(&id("item-000002")).unwrap().row.payload = Some(b"forged".to_vec().into());
    });
    device.replica.verify(&groups, &mut device.db).unwrap();
    device.run(&mut server);
    assert_equal(&device, &server, &groups);
    assert!(
        device
            .rows(&groups)
            .iter()
            .all(|(_, _, payload)| payload.is_some())
    );
    assert!(device.record(&groups).whole);
}

#[test]
fn i2_a_detail_that_fits_no_row_starts_an_audit() {
    let (mut server, mut device, members) = synced(300);
    device.db.tamper(&members, |_, rows| {
        let stored = rows.get_mut(&id("item-000200")).unwrap();
        stored.row.stamp = Stamp([7; 16]);
    });
    device.replica.want_details(&members, [id("item-000200")]);
    device.run(&mut server);
    assert_equal(&device, &server, &members);
}

#[test]
fn details_come_with_the_delta_if_the_list_has_moved() {
    let (mut server, mut device, members) = synced(300);
    server.put(&members, "r", "item-000200", "changed meanwhile");
    server.delete(&members, "item-000201");
    device.replica.want_details(
        &members,
        [id("item-000200"), id("item-000201"), id("no-such")],
    );
    assert_eq!(
        device.run(&mut server),
        1,
        "what the delta took away is not asked for again"
    );
    assert_equal(&device, &server, &members);
    let row = device
        .rows(&members)
        .into_iter()
        .find(|row| row.0 == id("item-000200"))
        .unwrap();
    assert_eq!(row.2.as_deref(), Some(b"changed meanwhile".as_slice()));
    assert!(!device.replica.wants_details(&members));
}

#[test]
fn i4_a_transaction_that_the_database_refuses_leaves_everything_as_it_was() {
    let (mut server, mut device, members) = synced(50);
    server.put(&members, "r", "item-000001", "changed");
    device.replica.sync();
    let (request_id, request) = device.request().unwrap();
    let response = server.answer(&request);
    // The device dies before it has applied the answer.
    drop(response);
    let _ = request_id;
    assert_books(&device, &members);
    device.restart(ReplicaConfig::default());
    device.run(&mut server);
    assert_equal(&device, &server, &members);
}

#[test]
fn a_sync_begun_before_a_reset_never_lands_after_it() {
    let (mut server, mut device, members) = synced(50);
    server.put(&members, "r", "item-000001", "changed");
    device.replica.sync();
    let (request_id, request) = device.request().unwrap();
    let late = server.answer(&request);
    // Meanwhile the copy is reset: verify raises the fence.
    device.replica.verify(&members, &mut device.db).unwrap();
    server.restore(None);
    let before = device.rows(&members);
    device.response(request_id, late);
    assert_eq!(
        device.rows(&members),
        before,
        "nothing of the late answer landed"
    );
    assert_eq!(
        device.record(&members).shown.point.unwrap().version,
        Version::new(50)
    );
    device.run(&mut server);
    assert_equal(&device, &server, &members);
}

#[test]
fn an_answer_that_comes_twice_or_unasked_is_ignored() {
    let (mut server, mut device, members) = synced(50);
    server.put(&members, "r", "item-000001", "changed");
    device.replica.sync();
    let (request_id, request) = device.request().unwrap();
    let response = server.answer(&request);
    device.response(request_id, response.clone());
    let record = device.record(&members);
    device.response(request_id, response);
    assert_eq!(device.record(&members), record);
}

#[test]
fn i6_a_change_of_one_costs_one_row_whatever_the_lists_length() {
    for count in [10, 5_000] {
        let (mut server, mut device, members) = synced(count);
        server.put(&members, "r", "item-000003", "changed");
        server.rows_sent = 0;
        assert_eq!(device.sync(&mut server), 1);
        assert_eq!(server.rows_sent, 1, "in a list of {count}");
        assert_equal(&device, &server, &members);
    }
}

#[test]
fn i6_a_response_that_is_full_defers_lists_and_all_arrive() {
    let mut server = Server::new();
    let lists: Vec<ListKey> = (0..12).map(|at| list(&format!("members/g{at}"))).collect();
    let payload = "x".repeat(60_000);
    for list in &lists {
        for item in 0..10 {
            server.put(list, "r", &format!("i{item}"), &payload);
        }
    }
    let refs: Vec<_> = lists.iter().collect();
    let mut device = Device::new(ReplicaConfig::default()).holding(&refs);
    let (request_id, request) = device.request().unwrap();
    let response = server.answer(&request);
    let deferred = |answer: &&ListAnswer| answer.answer == Answer::Deferred;
    assert!(
        response.answers.iter().filter(deferred).count() >= 4,
        "12 x 600 kB is over 4 MiB"
    );
    device.response(request_id, response);
    device.run(&mut server);
    lists
        .iter()
        .for_each(|list| assert_equal(&device, &server, list));
}

#[test]
fn losing_the_right_drops_the_copy_and_says_why_only_to_who_knew_the_list() {
    let (mut server, mut device, members) = synced(50);
    server.denied.push(members.clone());
    device.sync(&mut server);
    assert_eq!(device.phase(&members), Phase::Gone(GoneReason::Forbidden));
    assert!(device.rows(&members).is_empty());
    let mut stranger = Device::with_pages_of(1_000, &[&members]);
    stranger.run(&mut server);
    assert_eq!(
        stranger.phase(&members),
        Phase::Gone(GoneReason::Unspecified)
    );
    let absent = list("members/no-such-group");
    server.denied.push(absent.clone());
    let mut stranger = Device::with_pages_of(1_000, &[&absent]);
    stranger.run(&mut server);
    assert_eq!(
        stranger.phase(&absent),
        Phase::Gone(GoneReason::Unspecified)
    );
}

#[test]
fn openim_old_rows_stay_visible_while_a_repair_is_under_way() {
    let (mut server, mut device, members) = synced(45);
    server.sketches.none = true;
    device.db.tamper(&members, |record, rows| {
        rows.remove(&id("item-000007"));
        record.shown.count -= 1;
    });
    device.restart(ReplicaConfig {
        page_rows: 10,
        whole_up_to: 0,
        ..Default::default()
    });
    let mut pages = 0;
    while device.step(&mut server) {
        pages += 1;
        assert!(
            device.rows(&members).len() >= 44,
            "never empty, never partial"
        );
    }
    assert!(pages > 4);
    assert_equal(&device, &server, &members);
    assert_eq!(
        device.db.generations(&members).len(),
        1,
        "the old copy's rows are gone"
    );
}

/// A server that answers whatever the test likes. Returns how many requests the
/// device sent before it rested, at most `limit`.
fn torment(
    device: &mut Device,
    limit: usize,
    mut lie: impl FnMut(&SyncRequest) -> Vec<Answer>,
) -> usize {
    device.replica.sync();
    let mut requests = 0;
    while let Some((request_id, request)) = device.request() {
        requests += 1;
        if requests == limit {
            break;
        }
        let answers = lie(&request)
            .into_iter()
            .enumerate()
            .map(|(list, answer)| ListAnswer {
                list,
                answer,
                details: Vec::new(),
            })
            .collect();
        device.response(
            request_id,
            SyncResponse {
                aligned: 0,
                answers,
            },
        );
    }
    requests
}

fn lineage(number: u64) -> Lineage {
    Lineage::new(number).unwrap()
}

fn false_head(lineage_number: u64) -> Head {
    Head {
        point: Point {
            lineage: lineage(lineage_number),
            version: Version::new(99),
        },
        digest: Digest::ZERO.plus(Stamp([3; 16])),
        count: 12_345,
    }
}

#[test]
fn i7_a_server_that_always_says_diverged_ends_in_quarantine() {
    let (_, mut device, members) = synced(20);
    let requests = torment(&mut device, 100, |_| {
        let reason = DivergedReason::Digest;
        vec![Answer::Diverged(Diverged {
            reason,
            head: false_head(5),
            sketch: None,
        })]
    });
    assert!(requests <= 10, "{requests} requests");
    assert!(matches!(device.phase(&members), Phase::Quarantined(_)));
    assert_eq!(device.rows(&members).len(), 20, "still readable");
    let receipts = device.events.iter().filter_map(|event| match event {
        Event::Unrepaired(receipt) => Some((receipt.rung, receipt.mended)),
        _ => None,
    });
    let receipts: Vec<_> = receipts.collect();
    assert_eq!(receipts, [(Rung::Reload, false)], "what was tried");
}

#[test]
fn i7_a_server_whose_digest_never_fits_its_rows_ends_in_quarantine_and_heals_later() {
    let (mut server, mut device, members) = synced(20);
    let scan = |request: &SyncRequest| {
        let row = Row {
            id: id("x"),
            rank: Rank::default(),
            content: Content::Payload(vec![1].into()),
        };
        match &request.lists[0].position {
            Position::Cursor(_) | Position::Sketch(_) | Position::SketchItems(_) => {
                vec![Answer::Diverged(Diverged {
                    reason: DivergedReason::Digest,
                    head: false_head(5),
                    sketch: None,
                })]
            }
            Position::Scan(_) => vec![Answer::Scan(ScanPage {
                point: false_head(5).point,
                rows: vec![row],
                next: None,
                total: 1,
                whole: false,
                proof: Some(Digest::ZERO),
            })],
        }
    };
    let requests = torment(&mut device, 100, scan);
    assert!(requests <= 10, "{requests} requests");
    assert!(matches!(device.phase(&members), Phase::Quarantined(_)));
    assert_eq!(
        torment(&mut device, 100, scan),
        1,
        "left alone until its time"
    );
    // An hour later it is tried once more, and then left alone for two.
    device.now_ms += 3_600_000;
    assert!(torment(&mut device, 100, scan) > 1);
    let Phase::Quarantined(quarantine) = device.phase(&members) else {
        panic!()
    };
    assert_eq!(quarantine.retry_at_ms - device.now_ms, 7_200_000);
    // The server comes to its senses: one catch-up ends the quarantine.
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
    assert_eq!(device.record(&members).quarantines, 0);
}

#[test]
fn i7_a_lineage_that_changes_with_every_answer_does_not_loop() {
    let (_, mut device, members) = synced(20);
    let mut at = 10;
    let requests = torment(&mut device, 200, |_| {
        at += 1;
        let reason = DivergedReason::Lineage;
        vec![Answer::Diverged(Diverged {
            reason,
            head: false_head(at),
            sketch: None,
        })]
    });
    assert!(requests <= 12, "{requests} requests");
    assert!(matches!(device.phase(&members), Phase::Quarantined(_)));
}

/// "hasMoreChanges with an unchanged state loops" (JMAP).
#[test]
fn i7_a_delta_that_stands_still_is_refused_and_waited_out() {
    let (mut server, mut device, members) = synced(20);
    let delta = |to| Delta {
        rows: vec![],
        deleted: vec![],
        to: Version::new(to),
        end: DeltaEnd::More(Version::new(u64::MAX)),
        deletes_incomplete: false,
    };
    for to in [20, 3] {
        let requests = torment(&mut device, 100, |_| vec![Answer::Delta(delta(to))]);
        assert_eq!(requests, 1);
        assert!(matches!(
            device.events.last(),
            Some(Event::PeerMisbehaved { .. })
        ));
        assert!(device.replica.poll_timeout().unwrap() > device.now_ms);
        device.now_ms += 120_000;
    }
    assert_eq!(device.rows(&members).len(), 20);
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
}

/// How long a list is, is the server's word: with no end to it, there was none
/// to the cells.
#[test]
fn i7_a_sketch_without_end_is_given_up() {
    let (mut server, mut device, members) = synced(5);
    let sketch = |from: u64, cells: usize| SketchCells {
        id: SketchId {
            point: false_head(5).point,
            salt: Salt(7),
        },
        elements: u64::MAX,
        from,
        cells: vec![
            Cell {
                sum: 1,
                check: 2,
                count: 3
            };
            cells
        ],
    };
    let mut cells = 0;
    let requests = torment(&mut device, 1_000, |request| {
        vec![match &request.lists[0].position {
            Position::Sketch(range) => {
                cells = range.from + u64::from(range.cells);
                Answer::Sketch(sketch(range.from, range.cells as usize))
            }
            Position::Scan(_) => Answer::Deferred,
            _ => Answer::Diverged(Diverged {
                reason: DivergedReason::Lineage,
                head: false_head(5),
                sketch: Some(sketch(0, 48)),
            }),
        }]
    });
    assert!(requests < 100 && cells <= 1 << 20, "{requests}, {cells}");
    assert_eq!(device.phase(&members), Phase::Repairing(Rung::Skeleton));
    device.now_ms += 120_000;
    device.run(&mut server);
    assert_equal(&device, &server, &members);
}

/// Found by fuzzing: a deferred list is asked about again at once.
#[test]
fn i7_a_server_that_defers_everything_is_waited_out() {
    let (mut server, mut device, members) = synced(5);
    assert_eq!(torment(&mut device, 9, |_| vec![Answer::Deferred]), 1);
    let misbehaved = |event: &Event| matches!(event, Event::PeerMisbehaved { .. });
    assert!(device.events.iter().any(misbehaved));
    device.now_ms += 120_000;
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
}

/// Found by fuzzing: what was asked for stayed wanted, and was asked for again
/// at once.
#[test]
fn i7_details_that_nobody_asked_for_are_refused_and_waited_out() {
    let (mut server, mut device, members) = synced(5);
    let wanted = id("item-000001");
    device.db.tamper(&members, |_, rows| {
        rows.get_mut(&wanted).unwrap().row.payload = None;
    });
    device.replica.want_details(&members, [wanted.clone()]);
    let (request_id, _) = device.request().unwrap();
    let another = server.rows(&members).swap_remove(2);
    let details = vec![Row {
        id: another.0,
        rank: another.1,
        content: Content::Payload(another.2.into()),
    }];
    let answer = ListAnswer {
        list: 0,
        answer: Answer::Aligned,
        details,
    };
    let response = SyncResponse {
        aligned: 0,
        answers: vec![answer],
    };
    device.response(request_id, response);
    assert!(device.request().is_none(), "it waits");
    assert!(device.replica.wants_details(&members));
    device.now_ms += 120_000;
    device.run(&mut server);
    assert!(!device.replica.wants_details(&members));
    assert!(device.rows(&members).iter().all(|row| row.2.is_some()));
}

#[test]
fn i7_answers_that_do_not_fit_the_question_change_nothing() {
    let (mut server, mut device, members) = synced(20);
    let record = device.record(&members);
    let page = ScanPage {
        point: false_head(5).point,
        rows: vec![],
        next: None,
        total: 0,
        whole: true,
        proof: Some(Digest::ZERO),
    };
    assert_eq!(
        torment(&mut device, 9, |_| vec![Answer::Scan(page.clone())]),
        1
    );
    assert_eq!(device.record(&members), record);
    let mut fresh = Device::with_pages_of(10, &[&members]);
    for answer in [Answer::Aligned, Answer::Adopt(false_head(5).point)] {
        assert_eq!(torment(&mut fresh, 9, |_| vec![answer.clone()]), 1);
        assert_ne!(fresh.phase(&members), Phase::InSync);
        fresh.now_ms += 120_000;
    }
    fresh.sync(&mut server);
    assert_equal(&fresh, &server, &members);
}

#[test]
fn failures_are_waited_out_longer_and_longer_with_jitter_and_a_sync_cuts_them_short() {
    let (_, mut device, _) = synced(5);
    let mut delays = Vec::new();
    for _ in 0..12 {
        device.replica.sync_list(&list("members/g1"));
        device.now_ms = device.replica.poll_timeout().unwrap().max(device.now_ms);
        let (request_id, _) = device.request().unwrap();
        device.replica.handle_failure(
            device.now_ms,
            request_id,
            Failure::Unreachable("no route".to_owned()),
        );
        delays.push(device.replica.poll_timeout().unwrap() - device.now_ms);
        assert!(device.request().is_none(), "it waits");
    }
    assert!((250..=500).contains(&delays[0]), "{delays:?}");
    assert!((30_000..=60_000).contains(&delays[11]), "{delays:?}");
    device.replica.sync();
    assert!(device.request().is_some());
}

#[test]
fn a_clock_that_jumps_back_does_not_silence_the_device() {
    let (mut server, mut device, members) = synced(5);
    device.replica.sync();
    let (request_id, _) = device.request().unwrap();
    device.replica.handle_failure(
        device.now_ms,
        request_id,
        Failure::Unreachable("no route".to_owned()),
    );
    device.now_ms -= 86_400_000;
    assert!(device.run(&mut server) > 0);
    assert_equal(&device, &server, &members);
}

/// Found by fuzzing: a list stayed in quarantine until the time to which the
/// clock had jumped.
#[test]
fn a_clock_that_jumps_back_does_not_prolong_a_quarantine() {
    let (mut server, mut device, members) = synced(5);
    device.now_ms += 60 * 86_400_000;
    torment(&mut device, 99, |_| {
        vec![Answer::Diverged(Diverged {
            reason: DivergedReason::Digest,
            head: Head {
                digest: Digest::ZERO,
                ..false_head(5)
            },
            sketch: None,
        })]
    });
    assert!(matches!(device.phase(&members), Phase::Quarantined(_)));
    device.now_ms -= 50 * 86_400_000;
    // The lineage that the list was quarantined on: only time may free it.
    let mut record = device.record(&members);
    if let Phase::Quarantined(quarantine) = &mut record.phase {
        quarantine.lineage = Some(server.head(&members).lineage);
    }
    device.db.tamper(&members, |stored, _| {
        record.shown.digest = Digest::ZERO;
        *stored = record.clone();
    });
    device.sync(&mut server);
    assert_equal(&device, &server, &members);
}
