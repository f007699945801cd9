//! Windows that follow their list.

use crate::server::{Op, TestServer, item_id, list, member, rank};
use futures::executor::block_on;
use futures::{FutureExt as _, StreamExt as _};
use highwater_sdk::lists::Member;
use highwater_sdk::{Batch, Change, Client, Event, Key, List, Members, Watch, Window};
use std::sync::Arc;
use tempfile::{TempDir, tempdir};

struct Device {
    _folder: TempDir,
    server: Arc<TestServer>,
    client: Client,
    members: List<Members>,
}

fn synced(items: usize) -> Device {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    server.fill(&list("members/g1"), items);
    let client = server.client(&folder.path().join("db"));
    let members = client.members("g1").unwrap();
    block_on(client.sync()).unwrap();
    Device {
        _folder: folder,
        server,
        client,
        members,
    }
}

fn next(watch: &mut Watch<Members>) -> Option<Batch<Member>> {
    watch
        .next()
        .now_or_never()
        .map(|batch| batch.unwrap().unwrap())
}

/// Steps in short: `+2:b` inserts b at 2, `~` updates, `-` removes, `1>3`
/// moves.
fn short(batch: &Batch<Member>) -> Vec<String> {
    let name = |id: &str| {
        id.trim_start_matches("item-")
            .trim_start_matches('0')
            .to_owned()
    };
    let step = |change: &Change<Member>| match change {
        Change::Insert { at, row } => format!("+{at}:{}", name(row.id())),
        Change::Update { at, row } => format!("~{at}:{}", name(row.id())),
        Change::Move { from, to, row } => format!("{from}>{to}:{}", name(row.id())),
        Change::Remove { at, id } => format!("-{at}:{}", name(id.as_str())),
    };
    batch.changes.iter().map(step).collect()
}

#[test]
fn a_watch_begins_with_what_is_there_and_brings_one_batch_for_each_commit() {
    let device = synced(10);
    let key = list("members/g1");
    let mut watch = device.members.watch(Window::first(4));
    let first = next(&mut watch).unwrap();
    assert_eq!(short(&first), ["+0:", "+1:1", "+2:2", "+3:3"]);
    assert_eq!(first.count, 10);
    assert!(next(&mut watch).is_none());

    // One transaction on the server: an item goes, one changes, one comes from
    // outside the window.
    let put = |at: usize, rank: Vec<u8>, joined| Op::Put {
        id: item_id(at),
        rank,
        payload: member(joined),
    };
    let ops = vec![
        Op::Delete(item_id(2)),
        put(1, rank(1), -1),
        put(9, rank(0), 9),
    ];
    device.server.write(&key, ops);
    block_on(device.client.sync()).unwrap();
    let batch = next(&mut watch).unwrap();
    assert_eq!(short(&batch), ["-2:2", "+1:9", "~2:1"]);
    assert_eq!(batch.count, 9);
    assert!(next(&mut watch).is_none(), "one batch");

    // A move within the window.
    device.server.put(&key, &item_id(0), rank(1), member(0));
    block_on(device.client.sync()).unwrap();
    assert_eq!(short(&next(&mut watch).unwrap()), ["0>1:"]);
}

#[test]
fn what_happens_outside_a_window_changes_only_the_count() {
    let device = synced(10);
    let key = list("members/g1");
    let mut watch = device.members.watch(Window::first(3));
    next(&mut watch).unwrap();
    device.server.put(&key, &item_id(7), rank(7), member(-7));
    block_on(device.client.sync()).unwrap();
    assert!(next(&mut watch).is_none());
    device.server.delete(&key, &item_id(8));
    block_on(device.client.sync()).unwrap();
    let batch = next(&mut watch).unwrap();
    assert!(batch.changes.is_empty());
    assert_eq!(batch.count, 9);
    // The header is no item of any window.
    device
        .server
        .put(&key, "", Vec::new(), b"\x0a\x01X".to_vec());
    block_on(device.client.sync()).unwrap();
    assert!(next(&mut watch).is_none());
}

#[test]
fn a_window_that_goes_elsewhere_leads_there() {
    let device = synced(10);
    let mut watch = device.members.watch(Window::first(3));
    next(&mut watch).unwrap();
    let page = block_on(device.members.page(None, 2)).unwrap();
    let after: Option<Key> = page.next;
    watch.set_window(Window { after, limit: 2 });
    let batch = next(&mut watch).unwrap();
    assert_eq!(short(&batch), ["-1:1", "-0:", "+1:3"]);
    // A window in the middle hears of what comes into it, not of what is
    // before.
    let key = list("members/g1");
    device.server.put(&key, "before", rank(0), member(0));
    block_on(device.client.sync()).unwrap();
    assert!(next(&mut watch).unwrap().changes.is_empty());
    device.server.put(&key, "within", rank(2), member(0));
    block_on(device.client.sync()).unwrap();
    assert_eq!(short(&next(&mut watch).unwrap()), ["-1:3", "+1:within"]);
}

#[test]
fn a_slow_reader_gets_several_commits_at_once_and_ends_where_the_list_is() {
    let device = synced(5);
    let key = list("members/g1");
    let mut watch = device.members.watch(Window::first(10));
    next(&mut watch).unwrap();
    for at in 0..4 {
        device
            .server
            .put(&key, &format!("new-{at}"), rank(at), member(0));
        block_on(device.client.sync()).unwrap();
    }
    let batch = next(&mut watch).unwrap();
    assert_eq!(batch.changes.len(), 4);
    assert!(next(&mut watch).is_none());
}

#[test]
fn the_first_page_appears_while_the_rest_of_a_long_list_is_still_on_its_way() {
    let folder = tempdir().unwrap();
    let server = TestServer::new();
    server.fill(&list("members/g1"), 3_500);
    let client = server.client(&folder.path().join("db"));
    let members = client.members("g1").unwrap();
    let mut watch = members.watch(Window::first(50));
    let first = next(&mut watch).unwrap();
    assert!(first.changes.is_empty() && first.count == 0);
    client.start();
    let batch = block_on(watch.next()).unwrap().unwrap();
    assert_eq!(batch.changes.len(), 50);
    let mut count = batch.count;
    while count < 3_500 {
        let batch = block_on(watch.next()).unwrap().unwrap();
        assert!(batch.changes.is_empty() && batch.count > count);
        count = batch.count;
    }
}

#[test]
fn a_started_client_fetches_what_its_windows_lack() {
    let device = synced(3_000);
    device.client.start();
    let id = highwater_sdk::ItemId::new(&item_id(2_000)).unwrap();
    let after = Key::new(highwater_sdk::Rank::new(rank(2_000)).unwrap(), id);
    let after = Some(after);
    let mut watch = device.members.watch(Window { after, limit: 20 });
    let lacks = |batch: &Batch<Member>| {
        let lacking = batch.changes.iter().filter(|change| match change {
            Change::Insert { row, .. } | Change::Update { row, .. } => row.lacks_details(),
            Change::Move { .. } | Change::Remove { .. } => false,
        });
        lacking.count()
    };
    assert_eq!(lacks(&block_on(watch.next()).unwrap().unwrap()), 20);
    let filled = block_on(watch.next()).unwrap().unwrap();
    assert_eq!((filled.changes.len(), lacks(&filled)), (20, 0));
    assert!(matches!(filled.changes[0], Change::Update { at: 0, .. }));
}

#[test]
fn streams_end_when_the_client_closes() {
    let device = synced(1);
    let mut watch = device.members.watch(Window::first(1));
    let mut statuses = device.members.watch_status();
    let mut events = device.client.events();
    next(&mut watch).unwrap();
    block_on(statuses.next()).unwrap().unwrap();
    device.client.close();
    assert!(block_on(watch.next()).is_none());
    assert!(block_on(statuses.next()).is_none());
    assert!(block_on(events.next()).is_none());
    assert!(block_on(device.members.watch(Window::first(1)).next()).is_none());
    assert!(block_on(device.client.sync()).is_err());
}

#[test]
fn a_list_that_ends_empties_its_windows() {
    let device = synced(2);
    let key = list("members/g1");
    let mut watch = device.members.watch(Window::first(5));
    let mut events = device.client.events();
    next(&mut watch).unwrap();
    device.server.write(&key, vec![Op::End]);
    let report = block_on(device.client.sync()).unwrap();
    assert_eq!(report.gone, [key]);
    let batch = next(&mut watch).unwrap();
    assert_eq!(short(&batch), ["-1:1", "-0:"]);
    assert_eq!(batch.count, 0);
    assert!(matches!(
        events.next().now_or_never(),
        Some(Some(Event::Gone { .. }))
    ));
}
