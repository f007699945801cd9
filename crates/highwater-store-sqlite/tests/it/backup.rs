//! Backups beside writes, and stores made of them.

use crate::open;
use crate::open::contents;
use futures::executor::block_on;
use highwater_core::reads::{Item, ListState};
use highwater_protocol::{Lineage, ListKey};
use highwater_store::Store;
use highwater_store::conformance::support::{
    Outcome, Step, all_items, delete, head, lineage, members, put, snapshot, state, write,
};
use highwater_store_sqlite::{
    BackupError, DATABASE_FILE, Existing, OpenError, Options, RestoreError, RestoreProgress,
    SqliteStore, restore,
};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_backup_is_equal_and_of_other_lineages() {
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (live, ended) = (members("live"), members("ended"));
    let store = open(data.path());
    block_on(async {
        write(
            &store,
            vec![put(&live, "a", "1", "x"), put(&live, "b", "2", "y")],
        )
        .await;
        write(&store, vec![delete(&live, "a"), put(&ended, "a", "", "x")]).await;
        write(
            &store,
            vec![Step::End(ended.clone()), Step::Enqueue("job".into())],
        )
        .await;
        let (before, of_ended) = (head(&store, &live).await, state(&store, &ended).await);
        let items = all_items(&snapshot(&store).await, &live).await;

        let file = elsewhere.path().join("one.backup");
        let mut told = Vec::new();
        store.backup(&file, |copied| told.push(copied)).unwrap();
        assert_eq!(files(elsewhere.path()), ["one.backup"], "nothing beside it");
        let last = told.last().unwrap();
        assert!(last.pages > 0 && last.pages == last.pages_total, "{last:?}");
        let again = store.backup(&file, |_| ()).unwrap_err();
        assert!(matches!(again, BackupError::Exists(_)), "{again}");

        // What is written after it is not in it.
        write(&store, vec![put(&live, "later", "", "x")]).await;

        let folder = elsewhere.path().join("restored");
        let (mut copied, mut checked) = (0, 0);
        let restored = restore(&file, &folder, Existing::Keep, |progress| match progress {
            RestoreProgress::Copying(_) => copied += 1,
            RestoreProgress::Checking(_) => checked += 1,
        })
        .unwrap();
        assert!(copied > 0 && checked > 0);
        assert_eq!(restored.moved_aside, None);
        assert!(restored.report.is_clean());
        assert_eq!((restored.report.lists, restored.report.jobs), (1, 1));
        assert_eq!(files(&folder), [DATABASE_FILE, "highwater.lock"]);

        let other = open(&folder);
        let after = head(&other, &live).await;
        assert_ne!(after.lineage, before.lineage);
        assert_eq!(
            highwater_core::Head {
                lineage: before.lineage,
                ..after
            },
            before
        );
        assert_eq!(all_items(&snapshot(&other).await, &live).await, items);
        // A life that ended before is ended in every copy: jobs that name it
        // can go on.
        assert_eq!(state(&other, &ended).await, of_ended);
        let ListState::Ended(lineage_ended) = of_ended else {
            panic!("{of_ended:?}");
        };
        let done = write(&other, vec![Step::Remains(ended.clone(), lineage_ended, 9)]).await;
        assert!(matches!(&done.output[0], Outcome::Items(items) if items.len() == 1));
        assert_eq!(other.jobs(9).await.unwrap(), store.jobs(9).await.unwrap());
    });
}

/// The version of a list, 0 if it is not there yet.
async fn written(store: &SqliteStore, list: &ListKey) -> u64 {
    match state(store, list).await {
        ListState::Live(head) => head.version.get(),
        _ => 0,
    }
}

#[test]
fn a_backup_beside_writes_holds_one_commit_whole() {
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (members("a"), members("b"));
    let store = open(data.path());
    let padding = "p".repeat(8_000);
    block_on(async {
        let puts = (0..1_500).map(|at| put(&members("padding"), &at.to_string(), "", &padding));
        write(&store, puts.collect()).await;
    });
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (store, stop, a, b) = (store.clone(), Arc::clone(&stop), a.clone(), b.clone());
        std::thread::spawn(move || {
            let mut at = 0;
            while !stop.load(Relaxed) {
                let item = (at % 500).to_string();
                let text = at.to_string();
                let steps = vec![put(&a, &item, &text, &text), put(&b, &item, &text, &text)];
                block_on(write(&store, steps));
                at += 1;
            }
            at
        })
    };
    let mut of_before = 0;
    for round in 0..4 {
        // Something is written between two backups.
        while block_on(written(&store, &a)) <= of_before {
            std::thread::yield_now();
        }
        let file = elsewhere.path().join(format!("{round}.backup"));
        // A slow reader of progress gives the writes time to come between.
        let mut steps = 0;
        store
            .backup(&file, |_| {
                steps += 1;
                std::thread::sleep(std::time::Duration::from_millis(5));
            })
            .unwrap();
        assert!(steps > 2, "{steps}");
        let folder = elsewhere.path().join(format!("restored-{round}"));
        restore(&file, &folder, Existing::Keep, |_| ()).unwrap();
        let restored = open(&folder);
        block_on(async {
            let snapshot = snapshot(&restored).await;
            let (of_a, of_b): (Vec<Item>, Vec<Item>) = (
                all_items(&snapshot, &a).await,
                all_items(&snapshot, &b).await,
            );
            assert_eq!(of_a, of_b, "what one transaction wrote is there together");
            let version = of_a.iter().map(|item| item.version).max().unwrap();
            assert!(version.get() > of_before);
            of_before = version.get();
        });
    }
    stop.store(true, Relaxed);
    assert!(writer.join().unwrap() >= of_before);
    assert!(store.check(|_| ()).unwrap().is_clean());
}

#[test]
fn a_backup_is_made_by_another_process_too() {
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(data.path());
    block_on(write(&store, vec![put(&members("a"), "a", "", "x")]));
    let other = SqliteStore::open_read_only(data.path(), Options::default()).unwrap();
    let file = elsewhere.path().join("one.backup");
    other.backup(&file, |_| ()).unwrap();
    let folder = elsewhere.path().join("restored");
    restore(&file, &folder, Existing::Keep, |_| ()).unwrap();
    assert_eq!(block_on(head(&open(&folder), &members("a"))).count, 1);
}

#[test]
fn a_store_is_restored_over_only_if_that_was_asked_for() {
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let list = members("a");
    block_on(async {
        let store = open(data.path());
        write(&store, vec![put(&list, "old", "", "x")]).await;
        let file = elsewhere.path().join("one.backup");
        store.backup(&file, |_| ()).unwrap();
        write(&store, vec![put(&list, "new", "", "x")]).await;
        let mut seen: Vec<Lineage> = vec![lineage(&store, &list).await];

        let held = restore(&file, data.path(), Existing::MoveAside, |_| ()).unwrap_err();
        assert!(
            matches!(held, RestoreError::Open(OpenError::Held(_))),
            "{held}"
        );
        drop(store);
        let kept = restore(&file, data.path(), Existing::Keep, |_| ()).unwrap_err();
        assert!(matches!(kept, RestoreError::Exists(_)), "{kept}");

        for round in 1..4 {
            let restored = restore(&file, data.path(), Existing::MoveAside, |_| ()).unwrap();
            let aside = restored.moved_aside.unwrap();
            assert!(aside.ends_with(format!("{DATABASE_FILE}.replaced-{round}")));
            let store = open(data.path());
            assert_eq!(
                head(&store, &list).await.count,
                1,
                "only what the backup had"
            );
            let now = lineage(&store, &list).await;
            assert!(!seen.contains(&now), "no restore repeats a lineage");
            seen.push(now);
            write(&store, vec![put(&list, "again", "", "x")]).await;
        }
        // What was there first can be had back.
        let aside = data.path().join(format!("{DATABASE_FILE}.replaced-1"));
        let folder = elsewhere.path().join("back");
        restore(&aside, &folder, Existing::Keep, |_| ()).unwrap();
        assert_eq!(head(&open(&folder), &list).await.count, 2);
    });
}

/// A log that a crash left must not be taken for the new database's.
#[test]
fn a_log_that_was_left_goes_with_the_database_that_it_belongs_to() {
    let (data, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let list = members("a");
    block_on(async {
        let store = open(data.path());
        write(&store, vec![put(&list, "old", "", "x")]).await;
        let file = crashed.path().join("one.backup");
        store.backup(&file, |_| ()).unwrap();
        let puts = (0..50).map(|at| put(&list, &at.to_string(), "", "x"));
        write(&store, puts.collect()).await;
        let folder = crashed.path().join("data");
        std::fs::create_dir(&folder).unwrap();
        for suffix in ["", "-wal"] {
            let name = format!("{DATABASE_FILE}{suffix}");
            std::fs::copy(data.path().join(&name), folder.join(&name)).unwrap();
        }
        let restored = restore(&file, &folder, Existing::MoveAside, |_| ()).unwrap();
        let new = open(&folder);
        assert_eq!(head(&new, &list).await.count, 1);
        assert!(new.check(|_| ()).unwrap().is_clean());
        let back = crashed.path().join("back");
        restore(
            &restored.moved_aside.unwrap(),
            &back,
            Existing::Keep,
            |_| (),
        )
        .unwrap();
        assert_eq!(head(&open(&back), &list).await.count, 51);
    });
}

#[test]
fn what_is_no_sound_backup_is_refused_and_leaves_nothing() {
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let list = members("a");
    let store = open(data.path());
    let puts = (0..500).map(|at| put(&list, &at.to_string(), "", "some payload"));
    block_on(write(&store, puts.collect()));
    let file = elsewhere.path().join("one.backup");
    store.backup(&file, |_| ()).unwrap();
    drop(store);

    let sound = std::fs::read(&file).unwrap();
    let damaged = elsewhere.path().join("damaged.backup");
    std::fs::write(&damaged, &sound).unwrap();
    let raw = Connection::open(&damaged).unwrap();
    raw.execute_batch("UPDATE elements SET payload = x'00' WHERE id = '7'")
        .unwrap();
    drop(raw);
    let newer = elsewhere.path().join("newer.backup");
    std::fs::write(&newer, &sound).unwrap();
    let raw = Connection::open(&newer).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let text = elsewhere.path().join("text.backup");
    std::fs::write(&text, "not a backup at all, just some words in a file").unwrap();
    let short = elsewhere.path().join("short.backup");
    std::fs::write(&short, &sound[..sound.len() / 2]).unwrap();
    let none = elsewhere.path().join("none.backup");

    let before = block_on(contents(&open(data.path()), std::slice::from_ref(&list)));
    for (file, expected) in [
        (&damaged, "the backup is damaged: members/a: element \"7\""),
        (&newer, "the database has schema 99"),
        (&text, "the database is damaged"),
        (&short, "damaged"),
        (&none, "there is no database at"),
    ] {
        let error = restore(file, data.path(), Existing::MoveAside, |_| ()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(files(data.path()), [DATABASE_FILE, "highwater.lock"]);
    }
    let after = block_on(contents(&open(data.path()), &[list]));
    assert_eq!(after, before);
}
