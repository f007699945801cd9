//! I8: who may read a list's header alone sees nothing else of it, and a device
//! heals when its right changes.

use crate::pair::{Device, Server, assert_books, assert_equal, list, now};
use highwater_core::answer::{Access, Budget, answer};
use highwater_core::header::HeaderOnly;
use highwater_core::local::Phase;
use highwater_core::reads::{ListState, PageLimit, Payloads, Reads as _};
use highwater_core::replica::ReplicaConfig;
use highwater_protocol::message::{
    Answer, Cursor, Diverged, DivergedReason, Element, ListRequest, Position, Row, Scan,
    SketchItems, SketchRange, SyncRequest,
};
use highwater_protocol::{Digest, ItemId, ListKey, Point, Version, limits};
use highwater_store::Store as _;

fn filled(count: usize) -> (Server, ListKey) {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.put(&members, "", "", "what the group says");
    server.fill(&members, count);
    (server, members)
}

/// The device shows the header, and holds nothing beside it.
#[track_caller]
fn assert_header_alone(device: &Device, members: &ListKey) {
    assert_eq!(device.phase(members), Phase::InSync);
    let rows = device.rows(members);
    let ids: Vec<_> = rows.iter().map(|(id, ..)| id.as_str()).collect();
    assert_eq!(ids, [""]);
    assert_books(device, members);
}

#[test]
fn i8_a_reader_of_the_header_holds_the_header_alone() {
    let (mut server, members) = filled(300);
    server.header_only.push(members.clone());
    let mut device = Device::with_pages_of(50, &[&members]);
    assert_eq!(device.run(&mut server), 1);
    assert_header_alone(&device, &members);
    // Members who come and go are nothing that it hears of.
    let rows = server.rows_sent;
    server.put(&members, "r", "new", "x");
    server.delete(&members, "item-000007");
    device.sync(&mut server);
    assert_header_alone(&device, &members);
    assert_eq!(server.rows_sent, rows);
    // What the group says is.
    server.put(&members, "", "", "something else");
    device.sync(&mut server);
    assert_header_alone(&device, &members);
    let shown = device.rows(&members);
    assert_eq!(shown[0].2.as_deref(), Some(&b"something else"[..]));
    assert_eq!(server.rows_sent, rows + 1);
}

#[test]
fn i8_a_device_heals_when_its_right_shrinks_and_when_it_grows() {
    for count in [0, 5, 300] {
        for whole_up_to in [0, 1_000] {
            let (mut server, members) = filled(count);
            let config = ReplicaConfig {
                whole_up_to,
                ..ReplicaConfig::default()
            };
            let mut device = Device::new(config).holding(&[&members]);
            device.run(&mut server);
            assert_equal(&device, &server, &members);
            for round in 0..3 {
                server.header_only.push(members.clone());
                // At rest, or with the change of the setting as its only news.
                if round > 0 {
                    server.put(&members, "", "", &format!("admins {round}"));
                }
                assert!(device.sync(&mut server) <= 4);
                assert_header_alone(&device, &members);
                server.put(&members, "r", &format!("while hidden {round}"), "x");
                device.sync(&mut server);
                assert_header_alone(&device, &members);
                server.header_only.clear();
                if round > 1 {
                    server.put(&members, "", "", &format!("members {round}"));
                }
                assert!(device.sync(&mut server) <= 6);
                assert_equal(&device, &server, &members);
            }
        }
    }
}

fn ask(
    server: &Server,
    members: &ListKey,
    access: Access,
    position: Position,
) -> (Answer, Vec<Row>) {
    let details = ["", "item-000001"].map(|id| ItemId::new_or_header(id).unwrap());
    let request = SyncRequest {
        lists: vec![ListRequest {
            list: members.clone(),
            position,
            details: details.to_vec(),
            delta_details: None,
        }],
        page_rows: limits::PAGE_ROWS,
    };
    let snapshot = now(server.store.snapshot(std::slice::from_ref(members))).unwrap();
    let budget = Budget::with_page_rows(limits::PAGE_ROWS);
    let access = [access];
    let response = answer(&snapshot, &server.sketches, &request, &access, budget);
    let answer = now(response).unwrap().answers.remove(0);
    (answer.answer, answer.details)
}

/// Whatever a device asks for, be it a position of when it had the right: no id,
/// no count, no digest, no cell of what is hidden.
#[test]
fn i8_no_position_of_a_request_shows_what_is_hidden() {
    let (server, members) = filled(300);
    let head = server.head(&members);
    let cursor = |version: Version, digest, count| {
        Position::Cursor(Cursor {
            point: Point {
                version,
                ..head.point()
            },
            digest,
            count,
        })
    };
    // A sketch was offered to somebody who may read it all.
    let wrong = cursor(head.version, Digest::ZERO, 7);
    let (offer, _) = ask(&server, &members, Access::Read, wrong);
    let Answer::Diverged(Diverged {
        sketch: Some(offered),
        ..
    }) = offer
    else {
        panic!("{offer:?}");
    };
    let positions = [
        cursor(head.version, head.digest, head.count),
        cursor(Version::ZERO, Digest::ZERO, 0),
        cursor(Version::new(u64::MAX), head.digest, head.count),
        Position::Scan(Scan {
            position: None,
            whole_up_to: 10_000,
            details: 10,
        }),
        Position::Sketch(SketchRange {
            id: Some(offered.id),
            from: 0,
            cells: 48,
        }),
        Position::Sketch(SketchRange {
            id: None,
            from: 0,
            cells: 48,
        }),
        Position::SketchItems(SketchItems {
            id: offered.id,
            elements: vec![Element(1), Element(2)],
        }),
    ];
    let seen = now(async {
        let snapshot = server.store.snapshot(&[]).await.unwrap();
        HeaderOnly::new(&snapshot).state(&members).await.unwrap()
    });
    let ListState::Live(seen) = seen else {
        panic!("{seen:?}");
    };
    assert_eq!((seen.count, seen.point()), (1, head.point()));
    for position in positions {
        let (answer, details) = ask(&server, &members, Access::Header, position.clone());
        assert!(
            matches!(&details[..], [row] if row.id.is_header()),
            "{position:?}"
        );
        match answer {
            Answer::Diverged(diverged) => {
                assert_eq!(diverged.head, seen.announced());
                assert_eq!(diverged.sketch, None);
                if matches!(position, Position::Sketch(_)) {
                    assert_eq!(diverged.reason, DivergedReason::Digest);
                }
            }
            Answer::Delta(delta) => {
                assert_eq!(delta.deleted, []);
                assert!(delta.rows.iter().all(|row| row.id.is_header()));
            }
            Answer::Scan(page) => {
                assert_eq!((page.total, page.rows.len(), page.next), (1, 1, None));
                assert_eq!(page.proof, Some(seen.digest));
            }
            answer => panic!("{position:?}: {answer:?}"),
        }
    }
}

#[test]
fn a_list_without_a_header_has_nothing_to_show() {
    let (mut server, members) = (Server::new(), list("members/g1"));
    server.fill(&members, 10);
    let snapshot = now(server.store.snapshot(&[])).unwrap();
    let view = HeaderOnly::new(&snapshot);
    let ListState::Live(head) = now(view.state(&members)).unwrap() else {
        panic!("the list is live");
    };
    assert_eq!((head.count, head.digest), (0, Digest::ZERO));
    let limit = PageLimit {
        rows: 10,
        bytes: 1_000,
    };
    let all = Version::new(u64::MAX);
    let read = now(view.scan(&members, all, None, Payloads::All, limit)).unwrap();
    assert_eq!((read.rows, read.next), (vec![], None));
    assert_eq!(
        now(view.changes(&members, Version::ZERO, limit))
            .unwrap()
            .rows,
        []
    );
    let absent = now(view.state(&list("members/none"))).unwrap();
    assert!(matches!(absent, ListState::Absent(_)));
}
