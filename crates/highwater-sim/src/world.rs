//! A world: one server, its devices, the network between them, and what
//! happens to them, all from one seed and on one thread.

mod backend;
mod calm;
mod copies;
mod faults;
mod messages;
mod rights;
mod workload;

use crate::check::answers::Answers;
use crate::check::{Invariant, Verdict, Violation};
use crate::coverage::Coverage;
use crate::device::Device;
use crate::disk::Machines;
use crate::model::{Backup, Model, Op};
use crate::plan::{self, Network, Plan};
use crate::random::Random;
use crate::server::{Offers, Server};
use crate::trace::{Trace, TraceHash};
use backend::Backend;
use highwater_core::answer::Access;
use highwater_protocol::ListKey;
use highwater_store_sqlite::Options;
use messages::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// When every world begins, in milliseconds since 1970.
const BEGINS_AT_MS: i64 = 1_700_000_000_000;

/// One world in so many has a backend, whose operations are written.
const WITH_BACKEND: u64 = 5;

/// What became of a world.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which world.
    pub seed: u64,
    /// The hash of all that happened.
    pub trace_hash: TraceHash,
    /// All that happened, if it was to be kept.
    pub trace: Vec<String>,
    /// What was met.
    pub coverage: Coverage,
    /// The first invariant that did not hold.
    pub violation: Option<Violation>,
    /// Requests that the server answered.
    pub requests: u64,
}

/// Runs the world of a seed to its end, or to the first violation.
#[must_use]
pub fn run(seed: u64, keep_trace: bool) -> Outcome {
    let trace = Trace::new(keep_trace);
    let mut coverage = Coverage::default();
    let mut requests = 0;
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, trace.clone());
        let verdict = world.live();
        requests = world.requests;
        coverage = std::mem::take(&mut world.coverage);
        verdict
    }));
    let verdict = ran.unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        Err(Violation::new(Invariant::Fault, format!("a panic: {what}")))
    });
    if let Err(violation) = &verdict {
        trace.line(format!(
            "VIOLATED {}: {}",
            violation.invariant, violation.what
        ));
    }
    let (trace_hash, trace) = trace.end();
    Outcome {
        seed,
        trace_hash,
        trace,
        coverage,
        violation: verdict.err(),
        requests,
    }
}

/// Files of a disk, by name.
type Files = Vec<(String, Vec<u8>)>;

/// One kind of thing that happens.
type Happening = fn(&mut World) -> Verdict;

/// The state of a world. Devices and server close their databases before the
/// file system goes.
struct World {
    devices: Vec<Device>,
    server: Server,
    /// Held so that the file system lives as long as they do.
    _machines: Machines,
    plan: Plan,
    random: Random,
    /// The judges' own draws: what they look at changes nothing that happens.
    judging: Random,
    trace: Trace,
    coverage: Coverage,
    /// In some worlds, what is written are the operations of an IM.
    backend: Option<Backend>,
    model: Model,
    answers: Answers,
    lists: Vec<ListKey>,
    now_ms: i64,
    server_clock_offset_ms: i64,
    server_up_at_ms: Option<i64>,
    /// Faults of the server's disk that are accounted for.
    server_faults_seen: u64,
    /// What a crash may or may not have undone.
    perhaps_written: Option<Vec<Op>>,
    perhaps_purged: Option<u64>,
    incarnations: u64,
    backups: Vec<(Files, Backup)>,
    /// What devices may read, where it is not or was not everything.
    rights: BTreeMap<(usize, ListKey), Access>,
    /// Devices that could once read the header of a list alone.
    narrowed: BTreeSet<(usize, ListKey)>,
    messages: BTreeMap<(i64, u64), Message>,
    next_message: u64,
    network: Network,
    requests: u64,
    bytes_down: u64,
    writes: u64,
}

impl World {
    fn new(seed: u64, trace: Trace) -> Self {
        let mut random = Random::new(seed);
        let mut plan = Plan::draw(&mut random);
        let backend = (seed % WITH_BACKEND == 1).then(|| backend::lists(&mut random));
        if let Some(lists) = &backend {
            plan.lists = vec![0; lists.len()];
            plan.devices = plan.devices.min(3);
        }
        let machines = Machines::new();
        let mut options = Options::default();
        options.file_system = Some(machines.name().to_owned());
        options.cached_heads_max = plan.cached_heads;
        options.writer_cache_bytes = 1 << 20;
        options.reader_cache_bytes = 1 << 20;
        let offers = Offers::new(plan.sketch_elements_max, plan.sketched_from, random.fork());
        let server = Server::new(machines.add("server"), offers, options);
        let plain = |at| {
            ListKey::new("members", &format!("g{at}"))
                .unwrap_or_else(|no| unreachable!("the name is fixed: {no}"))
        };
        let lists = match &backend {
            Some(lists) => lists.clone(),
            None => (0..plan.lists.len()).map(plain).collect(),
        };
        let devices = (0..plan.devices)
            .map(|at| {
                let name = format!("d{at}");
                let disk = machines.add(&name);
                let (config, format) = plan::device(&mut random);
                Device::new(name, disk, machines.name(), config, format)
            })
            .collect();
        let network = plan.network;
        Self {
            devices,
            server,
            _machines: machines,
            plan,
            judging: random.fork(),
            random,
            trace,
            coverage: Coverage::default(),
            backend: backend.map(Backend::new),
            model: Model::new([0; 16]),
            answers: Answers::default(),
            lists,
            now_ms: BEGINS_AT_MS,
            server_clock_offset_ms: 0,
            server_up_at_ms: None,
            server_faults_seen: 0,
            perhaps_written: None,
            perhaps_purged: None,
            incarnations: 0,
            backups: Vec::new(),
            rights: BTreeMap::new(),
            narrowed: BTreeSet::new(),
            messages: BTreeMap::new(),
            next_message: 0,
            network,
            requests: 0,
            bytes_down: 0,
            writes: 0,
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        let line = format!("{:>9} {}", self.now_ms - BEGINS_AT_MS, line());
        self.trace.line(line);
    }

    /// The whole life of a world.
    fn live(&mut self) -> Verdict {
        let plan = format!("{:?}", self.plan);
        self.note(|| plan);
        self.begin()?;
        for _ in 0..self.plan.steps {
            self.step()?;
        }
        self.calm_down()
    }

    fn begin(&mut self) -> Verdict {
        let incarnation = self.next_incarnation();
        self.model = Model::new(incarnation);
        self.server
            .start(Some(incarnation))
            .map_err(|error| Violation::new(Invariant::Fault, format!("the server: {error}")))?;
        self.fill_lists()?;
        for at in 0..self.devices.len() {
            for list in self.lists.clone() {
                if !self.random.one_in(6) {
                    self.devices[at].held.insert(list);
                }
            }
            self.start_device(at)?;
        }
        Ok(())
    }

    fn next_incarnation(&mut self) -> [u8; 16] {
        self.incarnations += 1;
        let mut incarnation = [0; 16];
        incarnation[..8].copy_from_slice(&self.random.next().to_le_bytes());
        incarnation[8..].copy_from_slice(&self.incarnations.to_le_bytes());
        incarnation
    }

    /// One thing that happens, and then time for what it led to.
    fn step(&mut self) -> Verdict {
        let weights = self.plan.weights;
        let kinds: [(u64, Happening); 19] = [
            (weights.write, Self::write_some),
            (weights.burst, Self::write_much),
            (weights.sync, Self::sync_device),
            (weights.app, Self::use_app),
            (weights.wait, |world| world.wait(2_000)),
            (weights.long_wait, |world| world.wait(90_000)),
            (weights.device_death, Self::kill_device),
            (weights.device_disk, Self::break_device_disk),
            (weights.device_file, Self::damage_device_file),
            (weights.damage, Self::damage_copy),
            (weights.clock, Self::jump_clock),
            (weights.server_death, Self::kill_server),
            (weights.server_disk, Self::break_server_disk),
            (weights.purge, Self::purge),
            (weights.backup, Self::back_up),
            (weights.restore, Self::restore),
            (weights.end_list, Self::end_list),
            (weights.rights, Self::change_right),
            (weights.lie, Self::change_lie),
        ];
        let total = kinds.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.random.below(total);
        for (weight, happens) in kinds {
            if drawn < weight {
                happens(self)?;
                break;
            }
            drawn -= weight;
        }
        // Some of what is under way arrives before the next thing happens.
        let until = self.now_ms + self.random.between_ms(0, 200);
        self.pass(until)
    }

    /// Lets time pass, and what is due happen.
    fn wait(&mut self, at_most_ms: i64) -> Verdict {
        let until = self.now_ms + self.random.between_ms(1, at_most_ms);
        self.pass(until)
    }

    fn pass(&mut self, until_ms: i64) -> Verdict {
        loop {
            let message = self.messages.keys().next().map(|(at, _)| *at);
            let wake = self
                .devices
                .iter()
                .enumerate()
                .filter_map(|(at, device)| device.wakes_at_ms.map(|wakes| (wakes, at)))
                .min();
            let server = self.server_up_at_ms;
            let next = [message, wake.map(|(wakes, _)| wakes), server]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next.filter(|next| *next <= until_ms) else {
                self.now_ms = self.now_ms.max(until_ms);
                return Ok(());
            };
            self.now_ms = self.now_ms.max(next);
            if server == Some(next) {
                self.revive_server()?;
            } else if message == Some(next) {
                if let Some((_, message)) = self.messages.pop_first() {
                    self.deliver(message)?;
                }
            } else if let Some((_, at)) = wake {
                self.devices[at].wakes_at_ms = None;
                self.pump(at)?;
            }
        }
    }

    fn a_device(&mut self) -> usize {
        self.random.below_usize(self.devices.len())
    }

    fn a_list(&mut self) -> ListKey {
        let at = self.random.below_usize(self.lists.len());
        self.lists[at].clone()
    }
}
