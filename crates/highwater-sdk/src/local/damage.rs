//! What is altered on disk behind the device's back is noticed when it is read.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::conformance::database;
use super::{Condition, Database, scrub};
use bytes::Bytes;
use highwater_core::local::{Generation, Likely, ListRecord, LocalRow, LocalStore, LocalTxn};
use highwater_core::stamp::{row_check, stamp_of};
use highwater_protocol::{ItemId, ListKey, Rank};
use std::path::PathBuf;

struct Damaged {
    _folder: tempfile::TempDir,
    path: PathBuf,
    db: Database,
    list: ListKey,
}

/// Three rows with payload, "a" to "c", and one without, "d".
fn filled() -> Damaged {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let db = database(&path);
    let list: ListKey = "a/1".parse().unwrap();
    db.write(|local| {
        let mut txn = local.begin()?;
        for (name, payload) in [("a", true), ("b", true), ("c", true), ("d", false)] {
            let id = ItemId::new(name).unwrap();
            let rank = Rank::new(name.as_bytes().to_vec()).unwrap();
            let stamp = stamp_of(&id, &rank, b"payload");
            let row = LocalRow {
                id,
                rank,
                stamp,
                payload: payload.then(|| Bytes::from_static(b"payload")),
            };
            txn.put_row(&list, Generation(1), &row, Likely::New)?;
        }
        txn.save_record(&list, &ListRecord::new())?;
        txn.commit()
    })
    .unwrap();
    Damaged {
        _folder: folder,
        path,
        db,
        list,
    }
}

impl Damaged {
    fn alter(&self, sql: &str) {
        let other = rusqlite::Connection::open(&self.path).unwrap();
        other.execute_batch(sql).unwrap();
    }

    fn page(&self) -> Vec<(String, Condition)> {
        let rows = self.db.page(&self.list, None, 10).unwrap();
        rows.into_iter()
            .map(|read| (read.row.id.as_str().to_owned(), read.condition))
            .collect()
    }

    /// How many rows a sketch is made of.
    fn stamps(&self) -> usize {
        let stamps = self.db.write(|local| {
            let mut txn = local.begin()?;
            let stamps = txn.stamps_by_id(&self.list, Generation(1), None, 10)?;
            txn.commit()?;
            Ok(stamps)
        });
        stamps.unwrap().len()
    }

    /// What the repair's first rung sees: id, and whether the check holds.
    fn recomputed(&self) -> Vec<(String, bool)> {
        let rows = self
            .db
            .write(|local| {
                let mut txn = local.begin()?;
                let rows = txn.rows_by_id(&self.list, Generation(1), None, 10)?;
                txn.commit()?;
                Ok(rows)
            })
            .unwrap();
        rows.into_iter()
            .map(|stored| {
                let row = stored.row;
                let holds = stored.check == row_check(&row.id, &row.rank, row.stamp);
                (row.id.as_str().to_owned(), holds)
            })
            .collect()
    }
}

#[test]
fn sound_rows_are_sound() {
    let device = filled();
    let all_sound = device
        .page()
        .iter()
        .all(|(_, condition)| *condition == Condition::Sound);
    assert!(all_sound && device.page().len() == 4);
}

#[test]
fn a_damaged_payload_is_left_out_and_reported() {
    let device = filled();
    device.alter("UPDATE row SET payload = x'00' WHERE id = 'b'");
    assert_eq!(
        device.page()[1],
        ("b".to_owned(), Condition::PayloadDamaged)
    );
    let id = ItemId::new("b").unwrap();
    let row = device.db.element(&device.list, &id).unwrap().unwrap();
    assert_eq!(row.row.payload, None);
}

#[test]
fn a_damaged_rank_stamp_or_check_is_reported_whatever_it_became() {
    for damage in [
        "rank = x'63ff'",
        "rank = 'c'",
        "rank = zeroblob(300)",
        "stamp = x'00'",
        "stamp = zeroblob(16)",
        "row_check = -1, payload = NULL",
        "row_check = 'x', payload = NULL",
    ] {
        let device = filled();
        device.alter(&format!("UPDATE row SET {damage} WHERE id = 'c'"));
        let condition = device
            .page()
            .into_iter()
            .find_map(|(id, condition)| (id == "c").then_some(condition));
        assert_eq!(condition, Some(Condition::Damaged), "{damage}");
        assert!(device.recomputed().contains(&("c".to_owned(), false)));
    }
}

#[test]
fn a_scrub_of_the_file_says_what_is_wrong_and_changes_nothing() {
    let scrubbed = |damage: &str| {
        let device = filled();
        device
            .db
            .write(|local| {
                let mut txn = local.begin()?;
                let rows = txn.rows_by_id(&device.list, Generation(1), None, 10)?;
                let mut record = ListRecord::new();
                record.shown.digest = rows.iter().map(|stored| stored.row.stamp).collect();
                record.shown.count = 4;
                txn.save_record(&device.list, &record)?;
                txn.commit()
            })
            .unwrap();
        device.alter(damage);
        let before = std::fs::read(&device.path).unwrap();
        let scrub = scrub(&device.path).unwrap();
        assert_eq!(std::fs::read(&device.path).unwrap(), before);
        assert_eq!(scrub.binding.as_ref().unwrap().user, "u1");
        let list = scrub.lists[0].clone();
        let ids: Vec<String> = list.ids.iter().map(ToString::to_string).collect();
        let counts = (list.rows, list.damaged, list.payloads_damaged);
        (
            scrub.is_sound(),
            counts,
            list.payloads_missing,
            ids.join(","),
        )
    };
    let nothing = String::new();
    assert_eq!(scrubbed("SELECT 1"), (true, (4, 0, 0), 1, nothing.clone()));
    let damage = "UPDATE row SET payload = x'00' WHERE id = 'b'";
    assert_eq!(scrubbed(damage), (false, (4, 0, 1), 1, "b".to_owned()));
    let damage = "UPDATE row SET rank = x'63ff' WHERE id = 'c'";
    assert_eq!(scrubbed(damage), (false, (4, 1, 0), 1, "c".to_owned()));
    let damage = "DELETE FROM row WHERE id = 'c'";
    assert_eq!(scrubbed(damage), (false, (3, 0, 0), 1, nothing.clone()));
    let damage = "UPDATE list SET shown_digest = zeroblob(16)";
    assert_eq!(scrubbed(damage), (false, (4, 0, 0), 1, nothing));
}

#[test]
fn a_row_whose_id_no_item_can_have_is_dropped_by_a_repair() {
    for damage in ["x'ff'", "CAST(x'ff' AS TEXT)", "printf('%200d', 1)"] {
        let device = filled();
        device.alter(&format!("UPDATE row SET id = {damage} WHERE id = 'c'"));
        assert_eq!(device.page().len(), 3, "{damage}");
        assert_eq!(device.stamps(), 3, "{damage}");
        assert_eq!(device.recomputed().len(), 3, "{damage}");
        let other = rusqlite::Connection::open(&device.path).unwrap();
        let left: i64 = other
            .query_row("SELECT count(*) FROM row", [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 3, "{damage}");
    }
}
