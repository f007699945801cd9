//! Random worlds from fixed seeds: writes, losses, crashes, purges, restores,
//! re-creation, and changes that are told late, twice or never. After each step the books agree (I4) and nobody is
//! falsely calm (I2); once it is quiet, all are equal (I1).

use crate::pair::{Device, Op, Server, assert_books, assert_equal, assert_no_false_calm, id, list};
use highwater_core::local::Phase;
use highwater_core::replica::{Audited, ReplicaConfig};
use highwater_protocol::ListKey;
use highwater_protocol::message::{ListChange, SyncResponse};

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

struct World {
    dice: Dice,
    server: Server,
    devices: Vec<Device>,
    lists: Vec<ListKey>,
    backups: Vec<highwater_store::memory::MemoryBackup>,
    late: Vec<(usize, highwater_core::replica::RequestId, SyncResponse)>,
    /// What writes did, as their answers tell it.
    told: Vec<ListChange>,
    config: ReplicaConfig,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let lists = vec![list("groups/u1"), list("members/g1"), list("members/g2")];
        let config = ReplicaConfig {
            whole_up_to: dice.roll(12),
            first_details: 2,
            delta_details: 2,
            page_rows: 1 + usize::try_from(dice.roll(6)).unwrap(),
            quarantine_ms: 1,
            quarantine_ms_max: 1,
            ..ReplicaConfig::default()
        };
        let refs: Vec<_> = lists.iter().collect();
        let devices = (0..2).map(|_| Device::new(config).holding(&refs)).collect();
        let (server, backups, late, told) = (Server::new(), Vec::new(), Vec::new(), Vec::new());
        Self {
            dice,
            server,
            devices,
            lists,
            backups,
            late,
            told,
            config,
        }
    }

    fn pick_list(&mut self) -> ListKey {
        let at = usize::try_from(self.dice.roll(3)).unwrap();
        self.lists[at].clone()
    }

    fn op(&mut self) -> (ListKey, Op) {
        let list = self.pick_list();
        let item = format!("i{}", self.dice.roll(14));
        let op = match self.dice.roll(20) {
            0..=11 => {
                let rank = ["a", "b", "c", "d"][usize::try_from(self.dice.roll(4)).unwrap()];
                Op::Put(rank, item, vec![u8::try_from(self.dice.roll(3)).unwrap()])
            }
            12 => Op::Put(
                "",
                String::new(),
                vec![u8::try_from(self.dice.roll(3)).unwrap()],
            ),
            13..=18 => Op::Delete(item),
            _ => Op::End,
        };
        (list, op)
    }

    fn step(&mut self) {
        let at = usize::try_from(self.dice.roll(2)).unwrap();
        match self.dice.roll(120) {
            0..=29 => {
                let ops = (0..=self.dice.roll(4)).map(|_| self.op()).collect();
                let told = self.server.write_and_tell(ops);
                self.told.extend(told);
            }
            30..=59 => {
                self.devices[at].step(&mut self.server);
            }
            60..=67 => {
                self.devices[at].replica.sync();
            }
            68..=73 => {
                if let Some((request_id, request)) = self.devices[at].request() {
                    self.server.answer(&request);
                    self.devices[at].lost(request_id);
                }
            }
            74..=79 => {
                // The answer is on its way while the world goes on.
                if let Some((request_id, request)) = self.devices[at].request() {
                    let response = self.server.answer(&request);
                    self.late.push((at, request_id, response));
                }
            }
            80..=86 => {
                if let Some((at, request_id, response)) = self.late.pop() {
                    self.devices[at].response(request_id, response);
                }
            }
            87 => self.server.purge(),
            88 => match self.dice.roll(3) {
                0 => self.server.sketches.forget(),
                1 => self.server.sketches.stale = !self.server.sketches.stale,
                _ => self.server.sketches.none = !self.server.sketches.none,
            },
            89..=90 => self.backups.push(self.server.store.backup()),
            91 => {
                let backup = self.backups.pop();
                self.server.restore(backup.as_ref());
            }
            92..=93 => {
                self.late.retain(|(of, _, _)| *of != at);
                let config = self.config;
                self.devices[at].restart(config);
            }
            94..=95 => {
                let list = self.pick_list();
                let device = &mut self.devices[at];
                device.replica.verify(&list, &mut device.db).unwrap();
            }
            96 => {
                let list = self.pick_list();
                let device = &mut self.devices[at];
                device
                    .replica
                    .want_details(&list, (0..14).map(|at| id(&format!("i{at}"))));
            }
            97 => {
                let list = self.pick_list();
                match self.server.denied.iter().position(|denied| *denied == list) {
                    Some(at) => drop(self.server.denied.remove(at)),
                    None => self.server.denied.push(list),
                }
            }
            100..=112 => {
                // The newest, or any: late, twice, in any order.
                let newest = self.told.len().saturating_sub(3);
                let told = self.told[newest..].to_vec();
                self.devices[at].hear(&told);
            }
            113..=119 if !self.told.is_empty() => {
                let any = self.dice.roll(self.told.len() as u64);
                let told = self.told[usize::try_from(any).unwrap()].clone();
                self.devices[at].hear(&[told]);
            }
            _ => {
                let list = self.pick_list();
                self.devices[at].replica.hold(&list);
            }
        }
        // One of the devices is being audited all the time, whatever happens to
        // it: nothing is wrong with its rows, and it must not say so.
        let audited = &mut self.devices[0];
        for list in &self.lists {
            let found = audited
                .replica
                .audit(audited.now_ms, list, 2, &mut audited.db);
            assert_ne!(found.unwrap(), Audited::Faulty, "{list}");
        }
        for device in &self.devices {
            for list in &self.lists {
                assert_books(device, list);
                assert_no_false_calm(device, &self.server, list);
            }
        }
    }

    fn settle(mut self) {
        for (at, request_id, response) in std::mem::take(&mut self.late) {
            self.devices[at].response(request_id, response);
        }
        self.server.denied.clear();
        for device in &mut self.devices {
            device.now_ms += 86_400_000;
            for list in &self.lists {
                device.replica.hold(list);
            }
            let requests = device.sync(&mut self.server);
            assert!(requests < 200, "{requests} requests to settle");
            // A rung that the last purge or restore spoiled may have been the
            // last one: the quarantine ends with its time.
            device.now_ms += 86_400_000;
            device.sync(&mut self.server);
            for list in &self.lists {
                if let Phase::Gone(_) = device.phase(list) {
                    let state = self.server.state(list);
                    assert!(
                        matches!(state, highwater_core::reads::ListState::Ended(_)),
                        "{list} is gone on the device and {state:?} on the server"
                    );
                } else {
                    assert_equal(device, &self.server, list);
                }
            }
        }
    }
}

/// A number from the environment: how to replay one world, or run many.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's setting, not the core's"
)]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(default)
}

#[test]
fn i1_i2_i4_i7_hold_in_random_worlds() {
    let seeds = setting("HIGHWATER_WORLDS", 400);
    let first = setting("HIGHWATER_FIRST_WORLD", 0);
    for seed in first..first + seeds {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..200 {
                world.step();
            }
            world.settle();
        });
        assert!(
            run.is_ok(),
            "world {seed} failed; replay it with HIGHWATER_FIRST_WORLD={seed} HIGHWATER_WORLDS=1"
        );
    }
}
