//! Opening: what is kept, what is refused, who may.

use crate::open;
use futures::executor::block_on;
use highwater_core::reads::Reads;
use highwater_protocol::ListKey;
use highwater_store::conformance::support::{
    NOW, Outcome, Script, Step, all_changes, all_items, delete, head, id, members, put, snapshot,
    state, write,
};
use highwater_store::{PurgePolicy, Store, StoreError, WriteError};
use highwater_store_sqlite::{DATABASE_FILE, OpenError, Options, SqliteStore};
use rusqlite::Connection;
use std::path::Path;

fn refusal(folder: &Path) -> OpenError {
    match SqliteStore::open(folder, Options::default()) {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

#[test]
fn everything_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let lists = [members("live"), members("ended"), members("again")];
    let [live, ended, again] = &lists;
    block_on(async {
        let store = open(&folder.path().join("made/for/it"));
        write(
            &store,
            vec![
                put(live, "a", "1", "x"),
                put(live, "b", "2", "y"),
                put(ended, "a", "1", "x"),
                put(again, "a", "1", "x"),
                Step::Enqueue("job".into()),
            ],
        )
        .await;
        write(&store, vec![delete(live, "a"), Step::End(ended.clone())]).await;
        write(
            &store,
            vec![Step::End(again.clone()), put(again, "b", "1", "x")],
        )
        .await;
        let (before, tick) = (
            contents(&store, &lists).await,
            snapshot(&store).await.tick(),
        );
        let jobs = store.jobs(9).await.unwrap();
        assert_eq!(jobs.len(), 1);
        drop(store);

        let store = open(&folder.path().join("made/for/it"));
        assert_eq!(contents(&store, &lists).await, before);
        assert_eq!(store.jobs(9).await.unwrap(), jobs);
        let done = write(&store, vec![put(live, "c", "3", "z")]).await;
        assert!(done.tick > tick);
        assert_eq!(head(&store, live).await.version.get(), 4);
        // A job's number is not used again, even if it is gone.
        write(&store, vec![Step::Complete(jobs[0].id)]).await;
        drop(store);
        let store = open(&folder.path().join("made/for/it"));
        let done = write(&store, vec![Step::Enqueue("next".into())]).await;
        assert!(matches!(done.output[0], Outcome::Job(job) if job > jobs[0].id));
    });
}

/// All that can be read of `lists`, as text.
pub(crate) async fn contents(store: &SqliteStore, lists: &[ListKey]) -> String {
    let snapshot = snapshot(store).await;
    let mut text = String::new();
    for list in lists {
        text += &format!(
            "{:?} {:?} {:?}\n",
            snapshot.state(list).await.unwrap(),
            all_items(&snapshot, list).await,
            all_changes(&snapshot, list).await,
        );
    }
    text
}

#[test]
fn a_second_opener_is_told_that_the_first_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let error = refusal(folder.path());
    assert!(matches!(error, OpenError::Held(_)), "{error}");
    assert!(error.to_string().contains("another process has"), "{error}");
    // The first does not notice.
    block_on(write(&store, vec![put(&members("a"), "a", "", "x")]));
    drop(store);
    open(folder.path());
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let database = folder.path().join(DATABASE_FILE);
    let raw = Connection::open(&database).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let before = std::fs::read(&database).unwrap();
    let error = refusal(folder.path());
    assert!(
        matches!(error, OpenError::Newer { found: 99, .. }),
        "{error}"
    );
    let read_only = SqliteStore::open_read_only(folder.path(), Options::default());
    assert!(matches!(
        read_only.err(),
        Some(OpenError::Newer { found: 99, .. })
    ));
    assert_eq!(std::fs::read(&database).unwrap(), before);
}

#[test]
fn what_is_no_highwater_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join(DATABASE_FILE);
    let raw = Connection::open(&database).unwrap();
    raw.execute_batch("CREATE TABLE contacts (name)").unwrap();
    drop(raw);
    let before = std::fs::read(&database).unwrap();
    let error = refusal(folder.path());
    assert!(matches!(error, OpenError::Foreign(_)), "{error}");
    assert_eq!(std::fs::read(&database).unwrap(), before);

    std::fs::write(
        &database,
        b"not a database, but long enough to be looked at as one",
    )
    .unwrap();
    let error = refusal(folder.path());
    assert!(
        matches!(error, OpenError::Store(StoreError::Corrupt(_))),
        "{error:?}"
    );
}

#[test]
fn a_reader_beside_the_server_sees_its_commits_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let none = SqliteStore::open_read_only(folder.path(), Options::default());
    assert!(matches!(none.err(), Some(OpenError::Missing(_))));
    let list = members("a");
    let server = open(folder.path());
    block_on(async {
        write(&server, vec![put(&list, "a", "", "x")]).await;
        let reader = SqliteStore::open_read_only(folder.path(), Options::default()).unwrap();
        assert!(reader.is_read_only() && !server.is_read_only());
        assert_eq!(state(&reader, &list).await, state(&server, &list).await);
        // Nothing is remembered that the server changes behind its back.
        write(&server, vec![put(&list, "b", "", "x")]).await;
        assert_eq!(reader.cached_states(std::slice::from_ref(&list)), None);
        assert_eq!(head(&reader, &list).await.count, 2);
        assert_eq!(
            snapshot(&reader)
                .await
                .items(&list, &[id("b")])
                .await
                .unwrap()
                .len(),
            1
        );
        let refused = reader
            .write(NOW, Script::new(vec![put(&list, "c", "", "x")]))
            .await;
        assert!(
            matches!(
                refused,
                Err(WriteError::NotCommitted(StoreError::ReadOnly(_)))
            ),
            "{refused:?}"
        );
        let policy = PurgePolicy {
            age_ms_max: 0,
            per_list_max: 0,
        };
        write(&server, vec![delete(&list, "a")]).await;
        assert!(matches!(
            reader.purge(NOW + 1, policy).await,
            Err(StoreError::ReadOnly(_))
        ));
        assert!(reader.check(|_| ()).unwrap().is_clean());
        reader.close().await;
        write(&server, vec![put(&list, "d", "", "x")]).await;
    });
}

/// What a crash leaves: the database and its log, and nobody that holds them.
#[test]
fn the_files_of_a_crash_are_read_and_then_recovered() {
    let (folder, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let list = members("a");
    let store = open(folder.path());
    block_on(async {
        let puts = (0..50).map(|at| put(&list, &at.to_string(), "", "x"));
        write(&store, puts.collect()).await;
        for suffix in ["", "-wal"] {
            let name = format!("{DATABASE_FILE}{suffix}");
            std::fs::copy(folder.path().join(&name), crashed.path().join(&name)).unwrap();
        }
        // Only for reading, as a check or a backup does it.
        let reader = SqliteStore::open_read_only(crashed.path(), Options::default()).unwrap();
        assert_eq!(head(&reader, &list).await, head(&store, &list).await);
        assert!(reader.check(|_| ()).unwrap().is_clean());
        drop(reader);
        let recovered = open(crashed.path());
        assert_eq!(head(&recovered, &list).await, head(&store, &list).await);
        write(&recovered, vec![put(&list, "next", "", "x")]).await;
        assert!(recovered.check(|_| ()).unwrap().is_clean());
    });
}
