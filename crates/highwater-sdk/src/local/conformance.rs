//! The device's database against its plain twin in memory: the same operations,
//! the same answers.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::{Binding, Database, Found, LocalError, SqliteLocal};
use crate::driver::Claim;
use bytes::Bytes;
use highwater_core::local::memory::MemoryLocal;
use highwater_core::local::{
    Audit, Changes, Copy, Generation, Likely, ListRecord, LocalRow, LocalStore, LocalTxn, OldRow,
    Phase, Quarantine, Rung, ScanProgress, StoredRow,
};
use highwater_core::stamp::stamp_of;
use highwater_protocol::message::GoneReason;
use highwater_protocol::{Digest, ItemId, Lineage, ListKey, OrderKey, Point, Rank, Stamp, Version};
use std::fmt::Debug;
use std::path::Path;

/// Opens a database for the tests' user.
pub(super) fn database(path: &Path) -> Database {
    let claim = Claim {
        path: path.to_path_buf(),
        vfs: None,
        guard: Box::new(()),
    };
    let binding = Binding {
        user: "u1".to_owned(),
        server: "http://localhost".to_owned(),
    };
    Found::look(claim).unwrap().open(binding).unwrap()
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

#[derive(Clone, Debug)]
enum Op {
    Record,
    Save(Box<ListRecord>),
    Row(ItemId),
    Put(LocalRow, Likely),
    ClearPayload(ItemId),
    Delete(ItemId),
    RowsById(Option<ItemId>, usize),
    StampsById(Option<ItemId>, usize),
    Replace(Generation),
    Clear,
}

/// What an operation answered.
#[derive(Debug, PartialEq)]
enum Said {
    Nothing,
    Record(Option<Box<ListRecord>>),
    Row(Option<LocalRow>),
    Old(Option<OldRow>),
    Rows(Vec<StoredRow>),
    Stamps(Vec<(ItemId, Stamp)>),
    Changes(Changes),
}

fn some_id(dice: &mut Dice) -> ItemId {
    // Multi-byte and prefix ids, and the header.
    let ids = ["", "a", "ab", "b", "é", "日本", "z", "zz"];
    ItemId::new_or_header(ids[dice.roll(8) as usize]).unwrap()
}

fn some_row(dice: &mut Dice) -> LocalRow {
    let id = some_id(dice);
    let rank = match id.is_header() {
        true => Rank::default(),
        false => Rank::new(vec![0, dice.roll(3) as u8]).unwrap(),
    };
    let payload = Bytes::from(vec![7; dice.roll(3) as usize]);
    let stamp = stamp_of(&id, &rank, &payload);
    let payload = (dice.roll(2) == 0).then_some(payload);
    LocalRow {
        id,
        rank,
        stamp,
        payload,
    }
}

fn some_copy(dice: &mut Dice) -> Copy {
    let key = OrderKey::new(Rank::new(vec![0xff, 0]).unwrap(), some_id(dice));
    Copy {
        generation: Generation(dice.roll(u64::MAX)),
        point: (dice.roll(2) == 0).then(|| Point {
            lineage: Lineage::new(dice.roll(u64::MAX - 1) + 1).unwrap(),
            version: Version::new(dice.roll(u64::MAX)),
        }),
        digest: Digest::ZERO.plus(Stamp([dice.roll(256) as u8; 16])),
        count: dice.roll(u64::MAX),
        scan: (dice.roll(2) == 0).then(|| ScanProgress {
            after: (dice.roll(2) == 0).then_some(key),
            total: dice.roll(u64::MAX),
            restarts: dice.roll(4) as u32,
        }),
    }
}

fn some_record(dice: &mut Dice) -> ListRecord {
    let phases = [
        Phase::Syncing,
        Phase::InSync,
        Phase::Repairing(Rung::Local),
        Phase::Repairing(Rung::Sketch),
        Phase::Repairing(Rung::Skeleton),
        Phase::Repairing(Rung::Reload),
        Phase::Quarantined(Quarantine {
            lineage: Lineage::new(dice.roll(3)),
            retry_at_ms: -5,
        }),
        Phase::Gone(GoneReason::Unspecified),
        Phase::Gone(GoneReason::Deleted),
        Phase::Gone(GoneReason::Forbidden),
    ];
    ListRecord {
        shown: some_copy(dice),
        build: (dice.roll(2) == 0).then(|| some_copy(dice)),
        phase: phases[dice.roll(phases.len() as u64) as usize],
        fence: dice.roll(u64::MAX),
        whole: dice.roll(2) == 0,
        quarantines: dice.roll(u64::from(u32::MAX)) as u32,
        audit: (dice.roll(2) == 0).then(|| Audit {
            generation: Generation(dice.roll(u64::MAX)),
            after: some_id(dice),
            digest: Digest::ZERO.plus(Stamp([dice.roll(256) as u8; 16])),
            count: dice.roll(u64::MAX),
        }),
        audited_at_ms: (dice.roll(2) == 0).then(|| dice.roll(u64::MAX).cast_signed()),
    }
}

fn some_op(dice: &mut Dice) -> Op {
    match dice.roll(22) {
        0 => Op::Record,
        1 => Op::Save(Box::new(some_record(dice))),
        2 => Op::Row(some_id(dice)),
        3..=11 => {
            let likely = [Likely::New, Likely::Known][dice.roll(2) as usize];
            Op::Put(some_row(dice), likely)
        }
        12 | 13 => Op::ClearPayload(some_id(dice)),
        14 | 15 => Op::Delete(some_id(dice)),
        16 | 17 => Op::RowsById(
            (dice.roll(2) == 0).then(|| some_id(dice)),
            dice.roll(6) as usize,
        ),
        18 | 19 => Op::StampsById(
            (dice.roll(2) == 0).then(|| some_id(dice)),
            dice.roll(6) as usize,
        ),
        20 => Op::Replace(Generation(dice.roll(3) + 1)),
        _ => Op::Clear,
    }
}

fn run<T: LocalTxn>(
    txn: &mut T,
    list: &ListKey,
    generation: Generation,
    op: Op,
) -> Result<Said, T::Error> {
    Ok(match op {
        Op::Record => Said::Record(txn.record(list)?.map(Box::new)),
        Op::Save(record) => {
            txn.save_record(list, &record)?;
            Said::Nothing
        }
        Op::Row(id) => Said::Row(txn.row(list, generation, &id)?),
        Op::Put(row, likely) => Said::Old(txn.put_row(list, generation, &row, likely)?),
        Op::ClearPayload(id) => {
            txn.clear_payload(list, generation, &id)?;
            Said::Nothing
        }
        Op::Delete(id) => Said::Old(txn.delete_row(list, generation, &id)?),
        Op::RowsById(after, limit) => {
            Said::Rows(txn.rows_by_id(list, generation, after.as_ref(), limit)?)
        }
        Op::StampsById(after, limit) => {
            Said::Stamps(txn.stamps_by_id(list, generation, after.as_ref(), limit)?)
        }
        // Nobody replaces a generation by itself.
        Op::Replace(to) if to == generation => Said::Nothing,
        Op::Replace(to) => {
            // A list has two copies at most: the one that is shown and the one
            // that a repair builds.
            for other in (1..=3).map(Generation) {
                if other != generation && other != to {
                    txn.clear_generation(list, other)?;
                }
            }
            Said::Changes(txn.replace_generation(list, generation, to)?)
        }
        Op::Clear => {
            txn.clear_generation(list, generation)?;
            Said::Nothing
        }
    })
}

/// Runs one transaction's operations and ends it as told.
fn transact<S: LocalStore>(
    store: &mut S,
    ops: &[(ListKey, Generation, Op)],
    commit: bool,
) -> Vec<Said> {
    let mut txn = store.begin().unwrap();
    let said = ops
        .iter()
        .map(|(list, generation, op)| run(&mut txn, list, *generation, op.clone()).unwrap())
        .collect();
    if commit {
        txn.commit().unwrap();
    }
    said
}

/// Everything that both hold of the tests' lists.
fn all<S: LocalStore>(store: &mut S, lists: &[ListKey]) -> Vec<Said> {
    let mut ops = Vec::new();
    for list in lists {
        for generation in (1..=3).map(Generation) {
            ops.push((list.clone(), generation, Op::Record));
            ops.push((list.clone(), generation, Op::RowsById(None, 100)));
        }
    }
    transact(store, &ops, false)
}

#[test]
fn the_database_answers_as_its_twin_in_memory_does() {
    let lists: [ListKey; 2] = ["a/1".parse().unwrap(), "a/2".parse().unwrap()];
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..40 {
        let path = folder.path().join(format!("{seed}.db"));
        let mut dice = Dice(seed);
        let mut memory = MemoryLocal::default();
        let db = database(&path);
        for step in 0..60 {
            let ops: Vec<_> = (0..dice.roll(12))
                .map(|_| {
                    let list = lists[dice.roll(2) as usize].clone();
                    (list, Generation(dice.roll(3) + 1), some_op(&mut dice))
                })
                .collect();
            let commit = dice.roll(4) > 0;
            if dice.roll(5) == 0 {
                let shares = dice.roll(2) == 0;
                db.write(|local| {
                    local.commit_shared()?;
                    if shares {
                        local.share_commits();
                    }
                    Ok(())
                })
                .unwrap();
            }
            let expected = transact(&mut memory, &ops, commit);
            let found = db.write(|local| Ok(transact(local, &ops, commit))).unwrap();
            assert_eq!(found, expected, "seed {seed}, step {step}: {ops:?}");
            let found = db.write(|local| Ok(all(local, &lists))).unwrap();
            assert_eq!(found, all(&mut memory, &lists), "seed {seed}, step {step}");
        }
        db.close();
        // What was committed is there after opening again.
        let db = database(&path);
        let found = db.write(|local| Ok(all(local, &lists))).unwrap();
        assert_eq!(found, all(&mut memory, &lists), "seed {seed}, opened again");
    }
}

#[test]
fn a_replaced_generation_names_its_differences_until_they_are_too_many() {
    fn exchange<S: LocalStore>(store: &mut S, rows: usize) -> Result<Changes, S::Error> {
        let list: ListKey = "a/1".parse().unwrap();
        let mut txn = store.begin()?;
        for at in 0..rows {
            let id = ItemId::new(&format!("{at:06}")).unwrap();
            let stamp = stamp_of(&id, &Rank::default(), b"");
            let row = LocalRow {
                id,
                rank: Rank::default(),
                stamp,
                payload: None,
            };
            txn.put_row(&list, Generation(2), &row, Likely::New)?;
        }
        txn.replace_generation(&list, Generation(1), Generation(2))
    }
    fn both(rows: usize) -> Changes {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder.path().join("db"));
        let found = db.write(|local| exchange(local, rows)).unwrap();
        assert_eq!(found, exchange(&mut MemoryLocal::default(), rows).unwrap());
        found
    }
    assert!(matches!(both(10_000), Changes::Rows(rows) if rows.len() == 10_000));
    assert_eq!(both(10_001), Changes::Many);
}

#[test]
fn a_delta_of_one_change_into_a_list_of_100_000_writes_one_row() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(&folder.path().join("db"));
    let list: ListKey = "a/1".parse().unwrap();
    let row = |at: u32, rank: u8, payload: &'static [u8]| {
        let id = ItemId::new(&format!("item-{at:06}")).unwrap();
        let rank = Rank::new(vec![rank]).unwrap();
        LocalRow {
            stamp: stamp_of(&id, &rank, payload),
            id,
            rank,
            payload: Some(Bytes::from_static(payload)),
        }
    };
    let fill = |local: &mut SqliteLocal| {
        let mut txn = local.begin()?;
        for at in 0..100_000 {
            txn.put_row(&list, Generation(1), &row(at, 5, b"one"), Likely::New)?;
        }
        txn.save_record(&list, &ListRecord::new())?;
        txn.commit()
    };
    db.write(fill).unwrap();
    let written = |change: &dyn Fn(&mut super::SqliteTxn<'_>) -> Result<(), LocalError>| {
        db.write(|local| {
            let before = local.rows_written();
            let mut txn = local.begin()?;
            change(&mut txn)?;
            txn.save_record(&list, &ListRecord::new())?;
            txn.commit()?;
            // One of them is the list's record.
            Ok(local.rows_written() - before - 1)
        })
        .unwrap()
    };
    let put = |row: LocalRow| {
        written(&|txn| {
            txn.put_row(&list, Generation(1), &row, Likely::Known)
                .map(drop)
        })
    };
    assert_eq!(put(row(50_000, 5, b"two")), 1, "other content");
    assert_eq!(put(row(50_000, 0, b"two")), 1, "another place");
    assert_eq!(put(row(50_000, 0, b"two")), 1, "the same again");
    assert_eq!(put(row(100_000, 9, b"new")), 1, "a new one");
    let id = ItemId::new("item-000007").unwrap();
    let deleted = written(&|txn| txn.delete_row(&list, Generation(1), &id).map(drop));
    assert_eq!(deleted, 1, "one less");
    assert_eq!(
        db.page(&list, None, 1).unwrap()[0].row.id.as_str(),
        "item-050000"
    );
}

fn debug_is_short<T: Debug>(value: &T) -> bool {
    format!("{value:?}").len() < 200
}

#[test]
fn errors_say_what_failed() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(&folder.path().join("db"));
    db.close();
    let error = db.lists().unwrap_err();
    assert!(error.is_closed() && debug_is_short(&error));
    assert_eq!(error.to_string(), "it is closed");
}

#[test]
fn transactions_that_share_a_commit_are_seen_together_and_each_alone_is_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let db = database(&path);
    let (first, second): (ListKey, ListKey) = ("a/1".parse().unwrap(), "a/2".parse().unwrap());
    let save = |list: &ListKey, commits: bool| {
        db.write(|local| {
            local.share_commits();
            let mut txn = local.begin()?;
            txn.save_record(list, &ListRecord::new())?;
            if commits { txn.commit() } else { Ok(()) }
        })
        .unwrap();
    };
    save(&first, true);
    save(&second, false);
    save(&second, true);
    assert!(db.lists().unwrap().is_empty(), "nobody sees them yet");
    db.write(SqliteLocal::commit_shared).unwrap();
    assert_eq!(db.lists().unwrap().len(), 2);
    // What waits for its commit is committed by closing.
    save(&"a/3".parse().unwrap(), true);
    db.close();
    assert_eq!(database(&path).lists().unwrap().len(), 3);
}
