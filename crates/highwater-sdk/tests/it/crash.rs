//! I4: after a crash of the device at any instruction, position, rows and
//! digest agree.

use crate::server::{Op, TestServer, assert_equal, item_id, list, member, rank};
use futures::executor::block_on;
use highwater_core::stamp::{row_check, stamp_of};
use highwater_protocol::{Digest, ItemId, Rank, Stamp};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::tempdir;

/// Recomputes every copy in a database from its rows, through nothing of the
/// SDK's own code.
fn assert_consistent(path: &Path) -> i64 {
    let db = rusqlite::Connection::open(path).unwrap();
    let intact: String = db
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(intact, "ok");
    let mut copies = db
        .prepare(
            "SELECT id, shown_generation, shown_digest, shown_count FROM list \
             WHERE phase IS NOT NULL UNION ALL \
             SELECT id, build_generation, build_digest, build_count FROM list \
             WHERE build_generation IS NOT NULL",
        )
        .unwrap();
    let copies: Vec<(i64, i64, Vec<u8>, i64)> = copies
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut seen = 0;
    for (list, generation, digest, count) in copies {
        let mut rows = db
            .prepare(
                "SELECT id, rank, stamp, row_check, payload FROM row \
                 WHERE list = ?1 AND generation = ?2",
            )
            .unwrap();
        let mut rows = rows.query([list, generation]).unwrap();
        let mut sum = Digest::ZERO;
        let mut found = 0;
        while let Some(row) = rows.next().unwrap() {
            let id = ItemId::new_or_header(&row.get::<_, String>(0).unwrap()).unwrap();
            let rank = Rank::new(row.get::<_, Vec<u8>>(1).unwrap()).unwrap();
            let stamp = Stamp::parse(&row.get::<_, Vec<u8>>(2).unwrap()).unwrap();
            assert_eq!(row.get::<_, u32>(3).unwrap(), row_check(&id, &rank, stamp));
            if let Some(payload) = row.get::<_, Option<Vec<u8>>>(4).unwrap() {
                assert_eq!(stamp_of(&id, &rank, &payload), stamp);
            }
            sum = sum.plus(stamp);
            found += 1;
        }
        assert_eq!((sum.to_bytes().to_vec(), found), (digest, count));
        seen += found;
    }
    let rows: i64 = db
        .query_row("SELECT count(*) FROM row", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, seen, "rows of no copy");
    seen
}

/// A server whose list changes with every seed, and the same for the same seed.
fn server(seed: u64) -> Arc<TestServer> {
    let server = TestServer::new();
    let key = list("members/g1");
    server.fill(&key, 6_000);
    let ops = (0..6_000).filter(|at| at % 3 == 0).map(|at| match at % 2 {
        0 => Op::Delete(item_id(at)),
        _ => Op::Put {
            id: item_id(at),
            rank: rank(at + 7),
            payload: member(seed as i64),
        },
    });
    server.write(&key, ops.collect());
    server
}

/// Syncs from nothing, forgets, and syncs again, for as long as it lives: all
/// of scans, deltas, repairs and dropped lists.
fn live(path: &Path) {
    for seed in 0.. {
        let server = server(seed);
        let key = list("members/g1");
        let client = server.client(path);
        client.members("g1").unwrap();
        block_on(client.sync()).unwrap();
        for at in 0..40 {
            server.put(&key, &item_id(at), rank(at), member(-1));
            block_on(client.sync()).unwrap();
        }
        let backup = server.store.backup();
        server.delete(&key, &item_id(1));
        block_on(client.sync()).unwrap();
        server.store.restore(&backup, [(seed % 200) as u8 + 2; 16]);
        block_on(client.sync()).unwrap();
        server.write(&key, vec![Op::End]);
        block_on(client.sync()).unwrap();
    }
}

/// The process that is killed is this test's own binary, told where to write.
#[test]
fn i4_a_device_that_is_killed_at_any_moment_has_position_rows_and_digest_that_agree() {
    const PATH: &str = "HIGHWATER_TEST_VICTIM";
    if let Some(path) = std::env::var_os(PATH) {
        live(Path::new(&path));
        return;
    }
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let name =
        "crash::i4_a_device_that_is_killed_at_any_moment_has_position_rows_and_digest_that_agree";
    let mut rows = Vec::new();
    for kill in 0..12_u64 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(PATH, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Wherever it is by then; later each time, so that each stage has its
        // turn.
        std::thread::sleep(Duration::from_millis(400 + 170 * kill));
        assert!(
            victim.try_wait().unwrap().is_none(),
            "it lives until it is killed"
        );
        victim.kill().unwrap();
        victim.wait().unwrap();
        if path.exists() && std::fs::metadata(&path).unwrap().len() > 0 {
            rows.push(assert_consistent(&path));
        }
        // The lock ended with the process, and what is there is gone on from.
        let server = server(1_000 + kill);
        let client = server.client(&path);
        let members = client.members("g1").unwrap();
        assert_eq!(block_on(client.sync()).unwrap().in_sync, 1);
        block_on(assert_equal(&server, &members));
        client.close();
        assert_consistent(&path);
    }
    assert!(
        rows.iter().any(|rows| *rows > 0),
        "some were killed with rows: {rows:?}"
    );
}

/// All lists of one response are applied in one transaction: if one of them
/// cannot be written, none of them is.
#[test]
fn i4_a_failure_within_a_transaction_undoes_all_of_it() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("db");
    let server = TestServer::new();
    let keys = [list("members/g1"), list("members/g2")];
    let client = server.client(&path);
    for key in &keys {
        server.fill(key, 100);
        client.members(key.owner.as_str()).unwrap();
    }
    block_on(client.sync()).unwrap();
    client.close();
    let alter = |sql: &str| {
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch(sql).unwrap();
    };
    alter(
        "CREATE TRIGGER fault BEFORE UPDATE ON row WHEN new.list = 2 AND new.id = 'item-000030' \
         BEGIN SELECT RAISE(ABORT, 'fault'); END",
    );
    for key in &keys {
        let put = |at: usize| Op::Put {
            id: item_id(at),
            rank: rank(at + 1),
            payload: member(-1),
        };
        server.write(key, (20..40).map(put).collect());
    }
    let client = server.client(&path);
    let first = client.members("g1").unwrap();
    let error = block_on(client.sync()).unwrap_err();
    assert!(error.to_string().contains("fault"), "{error}");
    assert_eq!(assert_consistent(&path), 202);
    let item = block_on(first.get(&item_id(20))).unwrap().unwrap();
    assert_eq!(
        item.item.unwrap().joined_at_ms,
        20,
        "the other list is as it was too"
    );
    client.close();
    alter("DROP TRIGGER fault");
    let client = server.client(&path);
    assert_eq!(block_on(client.sync()).unwrap().in_sync, 2);
    block_on(assert_equal(&server, &client.members("g2").unwrap()));
}
