//! I3: an acknowledged write survives a crash at any instruction. The test runs
//! itself as a child that writes and says what was acknowledged, until it is
//! killed.

use crate::open;
use futures::executor::block_on;
use futures::future::join_all;
use highwater_core::reads::Reads;
use highwater_protocol::ItemId;
use highwater_store::conformance::support::{
    NOW, Rng, Script, SeedNote, Step, delete, id, members, put, seeds, snapshot,
};
use highwater_store::{PurgePolicy, Store};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const FOLDER: &str = "HIGHWATER_CRASH_FOLDER";
const ROUND: &str = "HIGHWATER_CRASH_ROUND";
const KILLS: u64 = 12;
const THIS_TEST: &str = "crash::i3_acknowledged_writes_survive_a_killed_writer";

/// Writes for minutes: 16 at once, each an element into two lists, some of them
/// with a deletion, the end of a list, or a purge between.
fn write_for_minutes(folder: &Path, round: u64) {
    let store = open(folder);
    let lists: Vec<_> = (0..5).map(|at| members(&format!("g{at}"))).collect();
    let mut rng = Rng::new(round);
    let mut out = std::io::stdout();
    block_on(async {
        // An end all the same, should nobody be left to kill it.
        for at in 0..20_000 {
            let batch: Vec<(String, Script)> = (0..16)
                .map(|of_batch| {
                    let name = format!("r{round}-{at}-{of_batch}");
                    let list = rng.below(lists.len());
                    let other = &lists[(list + 1) % lists.len()];
                    let payload = "p".repeat(rng.below(200));
                    let mut steps = vec![
                        put(&lists[list], &name, &payload, &payload),
                        put(other, &name, "", "x"),
                        put(
                            &members("scratch"),
                            &format!("s{}", rng.below(50)),
                            "",
                            &name,
                        ),
                        delete(&members("scratch"), &format!("s{}", rng.below(50))),
                    ];
                    if rng.once_in(40) {
                        steps.push(Step::End(members("scratch")));
                    }
                    (name, Script::new(steps))
                })
                .collect();
            let store = &store;
            let writes = batch.iter().map(|(name, script)| async move {
                store.write(NOW, script.clone()).await.unwrap();
                name
            });
            for name in join_all(writes).await {
                writeln!(out, "\nacknowledged {name}").unwrap();
            }
            out.flush().unwrap();
            if rng.once_in(10) {
                let policy = PurgePolicy {
                    age_ms_max: i64::MAX,
                    per_list_max: 3,
                };
                store.purge(NOW, policy).await.unwrap();
            }
        }
    });
}

/// Starts the child, kills it after a while, and returns what it acknowledged.
fn write_until_killed(folder: &Path, round: u64, alive: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([THIS_TEST, "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut names = Vec::new();
        for line in BufReader::new(output).lines() {
            if let Some(name) = line.unwrap().strip_prefix("acknowledged ") {
                names.push(name.to_owned());
            }
        }
        names
    });
    std::thread::sleep(alive);
    // SIGKILL: nothing of it runs any more.
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success());
    let mut names = reader.join().unwrap();
    // The last line may have been cut off in the middle of its name.
    names.pop();
    names
}

#[test]
fn i3_acknowledged_writes_survive_a_killed_writer() {
    if let Ok(folder) = std::env::var(FOLDER) {
        let round = std::env::var(ROUND).unwrap();
        write_for_minutes(Path::new(&folder), round.parse().unwrap());
    }
    for seed in seeds(1) {
        let _note = SeedNote(seed);
        let mut rng = Rng::new(seed ^ 0xdead);
        let folder = tempfile::tempdir().unwrap();
        let mut acknowledged: BTreeSet<String> = BTreeSet::new();
        for round in 0..KILLS {
            let alive = Duration::from_millis(200 + rng.below(400) as u64);
            acknowledged.extend(write_until_killed(folder.path(), round, alive));
            let store = open(folder.path());
            let report = store.check(|_| ()).unwrap();
            assert_eq!(report.findings, [], "round {round}");
            block_on(everything_is_there(&store, &acknowledged));
        }
        assert!(
            acknowledged.len() > 100,
            "the child did write: {}",
            acknowledged.len()
        );
    }
}

/// Each acknowledged element is in two lists, and so is each that was not
/// acknowledged, or it is in none.
async fn everything_is_there(
    store: &highwater_store_sqlite::SqliteStore,
    acknowledged: &BTreeSet<String>,
) {
    let snapshot = snapshot(store).await;
    let mut missing: BTreeSet<ItemId> = acknowledged.iter().map(|name| id(name)).collect();
    let mut found = std::collections::BTreeMap::new();
    for at in 0..5 {
        let list = members(&format!("g{at}"));
        for item in highwater_store::conformance::support::all_items(&snapshot, &list).await {
            missing.remove(&item.id);
            *found.entry(item.id).or_insert(0) += 1;
        }
        snapshot.state(&list).await.unwrap();
    }
    assert!(missing.is_empty(), "lost: {missing:?}");
    let halves: Vec<_> = found.iter().filter(|(_, times)| **times != 2).collect();
    assert!(halves.is_empty(), "half done: {halves:?}");
}
