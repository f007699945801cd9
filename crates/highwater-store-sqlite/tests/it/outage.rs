//! A disk that is full, or that cannot be written to: writes are refused
//! clearly, reads go on, and nothing that was acknowledged is lost.
//!
//! SQLite's own limit on a database's size stands in for a full disk. Where a
//! small file system can be mounted, the same is shown on a disk that is full
//! indeed; it is one more way to the same errors, and adds nothing where the
//! right is missing.

use crate::open;
use crate::open::contents;
use bytes::Bytes;
use futures::executor::block_on;
use futures::future::join_all;
use highwater_core::reads::{ListState, Reads};
use highwater_protocol::ListKey;
use highwater_store::conformance::support::{
    NOW, Outcome, Script, Step, all_items, head, id, lineage, members, put, rank, snapshot, write,
};
use highwater_store::{Store, StoreError, WriteError};
use highwater_store_sqlite::{Options, SqliteStore};
use std::path::{Path, PathBuf};
use std::process::Command;

const MIB: u64 = 1024 * 1024;

fn limited(folder: &Path, bytes: u64) -> SqliteStore {
    let mut options = Options::default();
    options.database_bytes_max = Some(bytes);
    SqliteStore::open(folder, options).unwrap()
}

/// A put of 4,000 bytes.
fn big(list: &ListKey, item: &str) -> Step {
    let payload = Bytes::from(vec![b'p'; 4_000]);
    Step::Put(list.clone(), id(item), rank(b""), payload)
}

fn is_full(end: &Result<impl std::fmt::Debug, WriteError<impl std::fmt::Debug>>) -> bool {
    matches!(end, Err(WriteError::NotCommitted(StoreError::Full(_))))
}

/// Writes until the disk is full; how many elements were acknowledged.
async fn fill(store: &SqliteStore, list: &ListKey, name: &str) -> u64 {
    for at in 0.. {
        let end = store
            .write(NOW, Script::new(vec![big(list, &format!("{name}{at}"))]))
            .await;
        match end {
            Ok(_) => {}
            end if is_full(&end) => return at,
            end => panic!("{end:?}"),
        }
    }
    unreachable!("disks are finite")
}

/// Everything that a reader does works, and agrees.
async fn reads_go_on(store: &SqliteStore, list: &ListKey, count: u64) {
    let now = head(store, list).await;
    assert_eq!(now.count, count);
    let items = all_items(&snapshot(store).await, list).await;
    assert_eq!(items.len() as u64, count);
    assert_eq!(
        store.cached_states(std::slice::from_ref(list)),
        Some(vec![ListState::Live(now)])
    );
    let found = snapshot(store)
        .await
        .items(list, &[items[0].id.clone()])
        .await
        .unwrap();
    assert_eq!(found, items[..1]);
    assert!(store.check(|_| ()).unwrap().is_clean());
}

#[test]
fn a_full_database_refuses_writes_until_there_is_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = limited(folder.path(), 2 * MIB);
    let (list, other) = (members("a"), members("b"));
    block_on(async {
        let puts = (0..50).map(|at| big(&other, &at.to_string())).collect();
        write(&store, puts).await;
        let count = fill(&store, &list, "i").await;
        assert!(count > 100, "{count}");
        reads_go_on(&store, &list, count).await;
        // It stays full, and says so each time.
        for _ in 0..3 {
            let end = store.write(NOW, Script::new(vec![big(&list, "no")])).await;
            assert!(is_full(&end), "{end:?}");
        }
        let snapshots_before = contents(&store, &[list.clone(), other.clone()]).await;

        // Room is made: no restart is needed.
        let ended = lineage(&store, &other).await;
        write(&store, vec![Step::End(other.clone())]).await;
        let ids = (0..50).map(|at| id(&at.to_string())).collect();
        write(&store, vec![Step::Discard(other.clone(), ended, ids)]).await;
        write(&store, vec![big(&list, "yes")]).await;
        reads_go_on(&store, &list, count + 1).await;
        assert_ne!(
            contents(&store, &[list.clone(), other]).await,
            snapshots_before
        );
        drop(store);
        reads_go_on_after_opening(folder.path(), &list, count + 1).await;
    });
}

async fn reads_go_on_after_opening(folder: &Path, list: &ListKey, count: u64) {
    let store = open(folder);
    let items = all_items(&snapshot(&store).await, list).await;
    assert_eq!(items.len() as u64, count);
    reads_go_on(&store, list, count).await;
}

#[test]
fn a_write_that_finds_no_room_takes_no_other_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = limited(folder.path(), 2 * MIB);
    let list = members("a");
    block_on(async {
        // Queued together, so that they share a transaction.
        let writes = (0..60).map(|at| {
            let steps = if at == 30 {
                (0..1_000)
                    .map(|item| big(&members("huge"), &item.to_string()))
                    .collect()
            } else {
                vec![put(&list, &at.to_string(), "", "x")]
            };
            store.write(NOW, Script::new(steps))
        });
        for (at, end) in join_all(writes).await.into_iter().enumerate() {
            match end {
                Ok(done) => assert_eq!(done.output.len(), 1, "{at}"),
                end => assert!(at == 30 && is_full(&end), "{at}: {end:?}"),
            }
        }
        reads_go_on(&store, &list, 59).await;
        let huge = store.snapshot(&[]).await.unwrap();
        assert!(matches!(
            huge.state(&members("huge")).await.unwrap(),
            ListState::Absent(_)
        ));
    });
}

/// A file system in memory, for as long as the test runs; `None` where the
/// right to mount one is missing.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(mebibytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = run(
            "mount",
            &["-t", "tmpfs", "-o", &size, "none"],
            folder.path(),
        );
        if !mounted {
            eprintln!("skipped: mounting a small file system is not allowed here");
        }
        mounted.then_some(Self { folder })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy"], self.folder.path());
    }
}

fn run(program: &str, arguments: &[&str], last: &Path) -> bool {
    Command::new(program)
        .args(arguments)
        .arg(last)
        .output()
        .is_ok_and(|output| output.status.success())
}

#[test]
fn a_disk_that_other_files_fill_is_survived() {
    let Some(disk) = SmallDisk::mount(16) else {
        return;
    };
    let store = open(&disk.path());
    let list = members("a");
    block_on(async {
        write(&store, vec![big(&list, "first")]).await;
        // 11 MiB of something else.
        let ballast = disk.folder.path().join("ballast");
        std::fs::write(&ballast, vec![0; 11 << 20]).unwrap();
        let count = fill(&store, &list, "i").await + 1;
        assert!(count > 50, "{count}");
        reads_go_on(&store, &list, count).await;
        // Concurrent writes are each told.
        let writes =
            (0..20).map(|at| store.write(NOW, Script::new(vec![big(&list, &format!("no{at}"))])));
        let ends = join_all(writes).await;
        let refused = ends.iter().filter(|end| is_full(end)).count() as u64;
        let written = ends.iter().filter(|end| end.is_ok()).count() as u64;
        assert_eq!(refused + written, 20, "{ends:?}");
        assert!(refused > 0);
        let count = count + written;
        reads_go_on(&store, &list, count).await;

        std::fs::remove_file(&ballast).unwrap();
        write(&store, vec![big(&list, "yes")]).await;
        reads_go_on(&store, &list, count + 1).await;
        let more = fill(&store, &list, "j").await;
        reads_go_on(&store, &list, count + 1 + more).await;
        // What was acknowledged is there after a restart on the full disk, too.
        drop(store);
        reads_go_on_after_opening(&disk.path(), &list, count + 1 + more).await;
    });
}

#[test]
fn a_folder_that_cannot_be_written_to_is_read() {
    let Some(disk) = SmallDisk::mount(16) else {
        return;
    };
    let list = members("a");
    block_on(async {
        let store = open(&disk.path());
        write(
            &store,
            vec![put(&list, "a", "", "x"), Step::Enqueue("job".into())],
        )
        .await;
        drop(store);
        let read_only = ["-o", "remount,ro"];
        if !run("mount", &read_only, disk.folder.path()) {
            eprintln!("skipped: mounting a file system anew is not allowed here");
            return;
        }
        let store = open(&disk.path());
        assert!(store.is_read_only());
        assert_eq!(head(&store, &list).await.count, 1);
        assert_eq!(store.jobs(9).await.unwrap().len(), 1);
        assert!(store.check(|_| ()).unwrap().is_clean());
        let end = store
            .write(NOW, Script::new(vec![put(&list, "b", "", "x")]))
            .await;
        assert!(
            matches!(end, Err(WriteError::NotCommitted(StoreError::ReadOnly(_)))),
            "{end:?}"
        );
        drop(store);
        assert!(run("mount", &["-o", "remount,rw"], disk.folder.path()));
        let store = open(&disk.path());
        let done = write(&store, vec![put(&list, "b", "", "x")]).await;
        assert!(matches!(done.output[0], Outcome::Effect(_)));
    });
}
