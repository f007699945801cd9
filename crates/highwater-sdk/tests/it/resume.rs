//! What was interrupted goes on where it stopped.

use crate::server::{Fault, Op, TestServer, assert_equal, item_id, list, member, rank};
use futures::executor::block_on;
use highwater_protocol::message::Position;
use highwater_sdk::{Error, Status};
use tempfile::tempdir;

/// What every request asked about its one list: the cursor's version, or where
/// a scan went on.
fn asked_from(server: &TestServer) -> Vec<String> {
    let from = |position: &Position| match position {
        Position::Cursor(cursor) => cursor.point.version.to_string(),
        Position::Scan(scan) => {
            let after = scan.position.as_ref().and_then(|at| at.after.as_ref());
            after.map_or_else(|| "start".to_owned(), |key| key.id.as_str().to_owned())
        }
        Position::Sketch(_) | Position::SketchItems(_) => "sketch".to_owned(),
    };
    let log = server.take_log();
    log.iter()
        .map(|asked| from(&asked.request.lists[0].position))
        .collect()
}

#[test]
fn an_interrupted_scan_goes_on_where_it_stopped_also_after_a_restart() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let server = TestServer::new();
    let key = list("members/g1");
    server.fill(&key, 5_000);
    let client = server.client(&path);
    let members = client.members("g1").unwrap();
    server.fail([Fault::Nothing, Fault::Nothing, Fault::Cut]);
    let error = block_on(client.sync()).unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
    let in_sync_at = None;
    assert_eq!(members.status().unwrap(), Status::Offline { in_sync_at });
    assert_eq!(members.count().unwrap(), 1_999);
    // What came can be shown.
    server.set_down(true);
    assert_eq!(
        block_on(members.page(None, 1_000)).unwrap().rows.len(),
        1_000
    );
    server.set_down(false);
    client.close();
    server.take_log();

    // Written meanwhile: on what was read and on what was not.
    server.put(&key, &item_id(5), rank(5), member(-5));
    server.put(&key, &item_id(4_500), rank(4_500), member(-4_500));
    server.delete(&key, &item_id(7));
    let client = server.client(&path);
    let report = block_on(client.sync()).unwrap();
    assert!(report.is_complete() && report.in_sync == 1);
    assert_eq!((report.scans, report.requests), (0, 5));
    // Four more pages, and the changes since the scan began.
    let mut expected: Vec<_> = [1_998, 2_998, 3_998, 4_998].map(item_id).into();
    expected.push("5001".to_owned());
    assert_eq!(asked_from(&server), expected);
    block_on(assert_equal(&server, &client.members("g1").unwrap()));
}

#[test]
fn a_gap_of_50_000_changes_comes_in_pages_interrupted_five_times_and_never_from_the_start() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let server = TestServer::new();
    let key = list("members/g1");
    server.fill(&key, 50_000);
    let client = server.client(&path);
    let members = client.members("g1").unwrap();
    let report = block_on(client.sync()).unwrap();
    assert_eq!((report.scans, report.in_sync), (1, 1));
    server.take_log();

    // 50,000 changes: most items change, some go, some come.
    let ops = (0..50_000).map(|at| match at % 50 {
        0 => Op::Delete(item_id(at)),
        1 => Op::Put {
            id: format!("new-{at}"),
            rank: rank(at),
            payload: member(7),
        },
        _ => Op::Put {
            id: item_id(at),
            rank: rank(50_000 - at),
            payload: member(-1),
        },
    });
    server.write(&key, ops.collect());
    drop((members, client));

    let mut interruptions = 0;
    let report = loop {
        // Restarted each time, at another place and in another way.
        let client = server.client(&path);
        if interruptions < 5 {
            let pages = std::iter::repeat_n(Fault::Nothing, 3 + interruptions);
            let fault = [Fault::Cut, Fault::Drop][interruptions % 2].clone();
            server.fail(pages.chain([fault]));
            interruptions += 1;
            assert!(block_on(client.sync()).is_err());
        } else {
            break block_on(client.sync()).unwrap();
        }
    };
    assert_eq!((report.scans, report.in_sync), (0, 1));
    let asked = asked_from(&server);
    let versions: Vec<u64> = asked.iter().map(|from| from.parse().unwrap()).collect();
    assert!(
        versions.is_sorted(),
        "a cursor never goes back: {versions:?}"
    );
    // 50 pages, each of which five interruptions repeat one of.
    assert_eq!(versions.len(), 55);
    let client = server.client(&path);
    block_on(assert_equal(&server, &client.members("g1").unwrap()));
}

#[test]
fn an_order_change_in_a_list_of_100_000_costs_one_row() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    let key = list("members/g1");
    server.fill(&key, 100_000);
    let client = server.client(&folder.path().join("db"));
    let members = client.members("g1").unwrap();
    block_on(client.sync()).unwrap();
    // The last becomes the first.
    server.put(&key, &item_id(99_999), Vec::new(), member(99_999));
    let report = block_on(client.sync()).unwrap();
    assert_eq!((report.requests, report.changes, report.scanned), (1, 1, 0));
    assert_eq!((report.in_sync, report.largest_gap), (1, 1));
    let page = block_on(members.page(None, 2)).unwrap();
    assert_eq!(page.rows[0].id(), item_id(99_999));
    assert_eq!(page.rows[1].id(), item_id(0));
}

#[test]
fn an_answer_that_comes_twice_or_late_changes_nothing_wrongly() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    let key = list("members/g1");
    server.fill(&key, 3_000);
    let client = server.client(&folder.path().join("db"));
    let members = client.members("g1").unwrap();
    // The second page is answered with the first.
    server.fail([Fault::Nothing, Fault::Replay]);
    let report = block_on(client.sync()).unwrap();
    assert_eq!(report.refused.len(), 1, "{report:?}");
    block_on(client.sync()).unwrap();
    server.put(&key, &item_id(1), rank(1), member(-1));
    block_on(client.sync()).unwrap();
    server.put(&key, &item_id(2), rank(2), member(-2));
    // The delta before this one, again.
    server.fail([Fault::Replay]);
    let report = block_on(client.sync()).unwrap();
    assert_eq!(report.in_sync + report.refused.len(), 1, "{report:?}");
    let report = block_on(client.sync()).unwrap();
    assert_eq!(report.in_sync, 1);
    block_on(assert_equal(&server, &members));
}

/// Pages that come quickly share a commit; none waits for one that does not
/// come.
#[test]
fn what_came_is_shown_while_the_next_page_is_not_there() {
    let folder = tempdir().unwrap();
    for pages in [1, 2, 5] {
        let server = TestServer::new();
        server.fill(&list("members/g1"), 9_000);
        let answered = std::iter::repeat_n(Fault::Nothing, pages);
        server.fail(answered.chain([Fault::Hang]));
        let client = server.client(&folder.path().join(format!("{pages}.db")));
        let members = client.members("g1").unwrap();
        client.start();
        let expected = pages as u64 * 1_000 - 1;
        let begun = std::time::Instant::now();
        while members.count().unwrap() < expected {
            assert!(begun.elapsed().as_secs() < 20, "{pages} pages");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(members.count().unwrap(), expected);
    }
}

#[test]
fn dropping_a_sync_gives_it_up_and_what_came_stays() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    server.fill(&list("members/g1"), 10);
    let client = server.client(&folder.path().join("db"));
    let members = client.members("g1").unwrap();
    server.pause();
    let mut sync = Box::pin(client.sync());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(sync.as_mut().poll(&mut context).is_pending());
    drop(sync);
    server.resume();
    assert!(block_on(client.sync()).unwrap().is_complete());
    assert_eq!(members.count().unwrap(), 10);
}
