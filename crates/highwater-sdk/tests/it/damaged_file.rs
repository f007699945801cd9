//! A database file that is cut short, or not a database any more: it is moved
//! aside, never deleted, a fresh one is filled, and the app is told.

use crate::abnormal::costs;
use crate::server::{TestServer, assert_equal, list};
use futures::executor::block_on;
use futures::{FutureExt as _, StreamExt as _};
use highwater_sdk::{Client, Event, Events};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::{TempDir, tempdir};

const ITEMS: usize = 3_000;

fn filled() -> (TempDir, PathBuf, Arc<TestServer>) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let server = TestServer::new();
    server.fill(&list("members/g1"), ITEMS);
    let client = server.client(&path);
    client.members("g1").unwrap();
    block_on(client.sync()).unwrap();
    client.close();
    server.take_spent();
    (folder, path, server)
}

fn replaced(events: &mut Events) -> Vec<PathBuf> {
    let events = std::iter::from_fn(|| events.next().now_or_never().flatten());
    let places = events.filter_map(|event| match event {
        Event::Replaced { aside } => Some(aside),
        _ => None,
    });
    places.collect()
}

/// Opens the damaged database and fills a fresh one. Returns what the report
/// says.
#[track_caller]
fn heals(server: &Arc<TestServer>, path: &Path, damaged: &[u8]) {
    let client = server.client(path);
    let aside = path.with_file_name("db.damaged-1");
    assert_eq!(fs::read(&aside).unwrap(), damaged, "kept as it was");
    let mut events = client.events();
    assert_eq!(replaced(&mut events), std::slice::from_ref(&aside));
    assert_eq!(replaced(&mut client.events()), [] as [PathBuf; 0]);
    let members = client.members("g1").unwrap();
    let report = block_on(client.sync()).unwrap();
    assert_eq!(report.replaced, Some(aside));
    assert_eq!((report.in_sync, report.scanned), (1, 3_001));
    costs("a_file_that_was_cut_short", server.take_spent());
    assert_eq!(block_on(client.sync()).unwrap().replaced, None, "told once");
    block_on(assert_equal(server, &members));
}

#[test]
fn a_file_that_is_no_database_any_more_is_moved_aside_and_a_fresh_one_filled() {
    let (_folder, path, server) = filled();
    let damaged = b"no database at all, but a text of some length".repeat(100);
    fs::write(&path, &damaged).unwrap();
    heals(&server, &path, &damaged);
}

#[test]
fn a_file_that_was_cut_short_is_moved_aside_and_a_fresh_one_filled() {
    let (_folder, path, server) = filled();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let damaged = fs::read(&path).unwrap();
    heals(&server, &path, &damaged);
}

#[test]
fn a_file_that_was_cut_to_nothing_is_a_new_database() {
    let (_folder, path, server) = filled();
    fs::write(&path, b"").unwrap();
    let client = server.client(&path);
    let members = client.members("g1").unwrap();
    let report = block_on(client.sync()).unwrap();
    assert_eq!((report.in_sync, report.replaced), (1, None));
    block_on(assert_equal(&server, &members));
}

/// Overwrites all pages but the first behind an open client's back.
fn overwrite(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let rest = file.metadata().unwrap().len() - 4_096;
    let noise: Vec<u8> = (0..rest).map(|at| (at % 251) as u8 | 0x80).collect();
    file.write_all_at(&noise, 4_096).unwrap();
}

#[test]
fn a_file_that_is_damaged_under_an_open_client_is_replaced_by_the_next_sync() {
    let (_folder, path, server) = filled();
    let client = server.client(&path);
    let members = client.members("g1").unwrap();
    let mut events = client.events();
    overwrite(&path);
    server.put(&list("members/g1"), "new", vec![0], vec![]);
    let report = block_on(client.sync()).unwrap();
    assert_eq!(report.in_sync, 1);
    let aside = path.with_file_name("db.damaged-1");
    assert_eq!(report.replaced, Some(aside.clone()));
    assert_eq!(replaced(&mut events), [aside]);
    block_on(assert_equal(&server, &members));
    // It is the fresh one that was filled.
    client.close();
    let client = server.client(&path);
    assert_eq!(client.members("g1").unwrap().count().unwrap(), 3_001);
}

#[test]
fn a_file_that_is_damaged_under_an_open_client_is_replaced_when_it_is_read() {
    let (_folder, path, server) = filled();
    let client: Client = server.client(&path);
    let members = client.members("g1").unwrap();
    let mut events = client.events();
    overwrite(&path);
    assert!(block_on(members.page(None, 100)).is_err());
    let event = block_on(events.next());
    assert!(matches!(event, Some(Event::Replaced { .. })), "{event:?}");
    let page = block_on(members.page(None, 100)).unwrap();
    assert_eq!((page.rows.len(), page.lacking()), (100, 0));
    block_on(client.sync()).unwrap();
    block_on(assert_equal(&server, &members));
}
