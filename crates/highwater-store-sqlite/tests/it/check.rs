//! A check finds what was planted.

use crate::open;
use futures::executor::block_on;
use highwater_store::conformance::support::{Outcome, Step, delete, head, members, put, write};
use highwater_store_sqlite::{CheckProgress, CheckReport, DATABASE_FILE};
use rusqlite::Connection;
use std::io::{Seek, SeekFrom, Write as _};
use std::path::Path;

/// A store with two lists, one that ended, and tombstones; closed.
fn sample(folder: &Path) {
    let store = open(folder);
    let (a, b, ended) = (members("a"), members("b"), members("ended"));
    block_on(async {
        for list in [&a, &b, &ended] {
            let puts = (0..50).map(|at| put(list, &format!("i{at}"), &format!("{at:02}"), "x"));
            write(&store, puts.collect()).await;
            write(
                &store,
                (0..5).map(|at| delete(list, &format!("i{at}"))).collect(),
            )
            .await;
        }
        let done = write(&store, vec![Step::End(ended.clone())]).await;
        let Outcome::Ended(Some(lineage)) = done.output[0] else {
            panic!("{:?}", done.output);
        };
        let some = ["i7", "i8"].map(highwater_store::conformance::support::id);
        write(
            &store,
            vec![Step::Discard(ended.clone(), lineage, some.to_vec())],
        )
        .await;
        write(
            &store,
            vec![put(&ended, "new", "", "x"), Step::Enqueue("job".into())],
        )
        .await;
    });
}

fn check(folder: &Path) -> CheckReport {
    open(folder).check(|_| ()).unwrap()
}

/// What a check says after `damage`, which is SQL on the closed database.
fn findings(damage: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path());
    let raw = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    raw.execute_batch(damage).unwrap();
    assert_eq!(
        raw.query_row("SELECT total_changes() > 0", [], |row| row.get(0)),
        Ok(true),
        "it damages something"
    );
    drop(raw);
    check(folder.path())
        .findings
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn assert_found(damage: &str, expected: &[&str]) {
    let found = findings(damage);
    assert_eq!(found.len(), expected.len(), "{damage}: {found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{damage}: {found:?}");
    }
}

#[test]
fn a_sound_store_is_clean_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path());
    let mut told = Vec::new();
    let report = open(folder.path())
        .check(|progress| told.push(progress))
        .unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.lists, report.ended, report.jobs), (3, 1, 1));
    assert_eq!((report.elements, report.tombstones), (45 + 45 + 43 + 1, 15));
    let rows = report.elements + report.tombstones;
    assert_eq!(
        told.last(),
        Some(&CheckProgress {
            rows,
            rows_total: rows
        })
    );
}

#[test]
fn a_wrong_head_is_found() {
    for (column, value, expected) in [
        (
            "digest",
            "zeroblob(16)",
            "members/a: the head has the digest 00000000",
        ),
        (
            "count",
            "46",
            "members/a: the head counts 46 elements, there are 45",
        ),
        (
            "tombstones",
            "4",
            "members/a: the head counts 4 tombstones, there are 5",
        ),
        (
            "floor",
            "56",
            "members/a: the floor 56 is above the version 55",
        ),
    ] {
        assert_found(
            &format!("UPDATE lists SET {column} = {value} WHERE owner = 'a'"),
            &[expected],
        );
    }
    assert_found(
        "UPDATE lists SET version = 54 WHERE owner = 'b'",
        &["members/b: element \"i4\": its version 55 is not within 1 to 54"],
    );
}

#[test]
fn a_lost_element_is_found() {
    assert_found(
        "DELETE FROM elements WHERE id = 'i20' AND list = 1",
        &[
            "members/a: the head counts 45 elements, there are 44",
            "members/a: the head has the digest",
        ],
    );
    assert_found(
        "DELETE FROM elements WHERE id = 'i2' AND list = 1",
        &["members/a: the head counts 5 tombstones, there are 4"],
    );
}

#[test]
fn changed_content_is_found() {
    for change in ["payload = x'00'", "rank = x'ff'", "id = 'other'"] {
        assert_found(
            &format!("UPDATE elements SET {change} WHERE id = 'i20' AND list = 2"),
            &["its stamp is"],
        );
    }
    assert_found(
        "UPDATE elements SET stamp = zeroblob(16) WHERE id = 'i20' AND list = 2",
        &["its stamp is 0000", "members/b: the head has the digest"],
    );
    assert_found(
        "UPDATE elements SET payload = x'00' WHERE id = 'i2' AND list = 2",
        &["element \"i2\": it is deleted and has a payload"],
    );
    assert_found(
        "UPDATE elements SET stamp = NULL WHERE id = 'i20' AND list = 2",
        &["element \"i20\"", "members/b: the head has the digest"],
    );
    assert_found(
        "UPDATE elements SET created = version + 1 WHERE id = 'i20' AND list = 2",
        &["element \"i20\": it was created at 22"],
    );
}

#[test]
fn what_belongs_to_no_list_is_found() {
    assert_found(
        "UPDATE elements SET list = 77 WHERE list = (SELECT n FROM lists WHERE epoch = 1)",
        &[
            "members/ended: the head counts 1 elements, there are 0",
            "members/ended: the head has the digest",
            "1 elements belong to row 77, which is no list",
        ],
    );
    assert_found(
        "UPDATE lists SET ended = NULL WHERE ended IS NOT NULL",
        &[
            "members/ended: an earlier life has not ended",
            "members/ended: the head has the digest",
        ],
    );
}

#[test]
fn a_wrong_name_is_found() {
    assert_found(
        "UPDATE lists SET kind = 'No Kind' WHERE owner = 'a'",
        &["the list of row 1 cannot be read"],
    );
}

#[test]
fn a_head_that_was_changed_behind_the_servers_back_is_found() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path());
    let store = open(folder.path());
    block_on(head(&store, &members("a")));
    let raw = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    raw.execute_batch("UPDATE lists SET floor = 3 WHERE owner = 'a'")
        .unwrap();
    let report = store.check(|_| ()).unwrap();
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    let found = report.findings[0].to_string();
    assert!(found.starts_with("members/a: memory has"), "{found}");
}

#[test]
fn findings_are_bounded_and_the_rest_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let list = members("a");
    let store = open(folder.path());
    let puts = (0..1_500).map(|at| put(&list, &at.to_string(), "", "x"));
    block_on(write(&store, puts.collect()));
    drop(store);
    let raw = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    raw.execute_batch("UPDATE elements SET payload = x'00'")
        .unwrap();
    drop(raw);
    let report = check(folder.path());
    assert_eq!(
        (report.findings.len(), report.findings_left_out),
        (1_000, 500)
    );
}

/// Bytes that no SQL wrote: whatever they hit, the check ends and says so.
#[test]
fn damaged_pages_are_found() {
    for page in 2..14 {
        let folder = tempfile::tempdir().unwrap();
        sample(folder.path());
        let path = folder.path().join(DATABASE_FILE);
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let pages = file.metadata().unwrap().len() / 4_096;
        assert!(pages > page, "{pages} pages");
        file.seek(SeekFrom::Start(page * 4_096)).unwrap();
        file.write_all(&[0xa5; 4_096]).unwrap();
        drop(file);
        // Some pages are so needed that the database cannot be opened at all.
        let opened = highwater_store_sqlite::SqliteStore::open(
            folder.path(),
            highwater_store_sqlite::Options::default(),
        );
        if let Ok(store) = opened {
            let report = store.check(|_| ());
            assert!(
                report.as_ref().map_or(true, |report| !report.is_clean()),
                "page {page}: {report:?}"
            );
        }
    }
}

#[test]
fn a_wrong_head_is_corrected_by_a_recount_at_a_new_version() {
    for damage in [
        "UPDATE lists SET count = count + 1 WHERE owner = 'a'",
        "UPDATE lists SET digest = zeroblob(16) WHERE owner = 'a'",
        "DELETE FROM elements WHERE list = 1 AND id = 'i9'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        sample(folder.path());
        let raw = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
        assert!(raw.execute(damage, []).unwrap() > 0);
        drop(raw);
        let store = open(folder.path());
        let list = members("a");
        block_on(async {
            let wrong = head(&store, &list).await;
            let committed = write(&store, vec![Step::Recount(list.clone())]).await;
            assert_eq!(
                committed.output,
                [Outcome::Recounted(Some(wrong))],
                "{damage}"
            );
            let mended = head(&store, &list).await;
            assert_eq!(mended.version, wrong.version.next());
        });
        assert_eq!(store.check(|_| ()).unwrap().findings, [], "{damage}");
    }
}
