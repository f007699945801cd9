//! A device: the real replica over the SDK's real database, on a machine whose
//! power can fail and whose files can be damaged.

use crate::disk::Disk;
use highwater_core::local::ListRecord;
use highwater_core::replica::{Replica, ReplicaConfig, RequestId};
use highwater_protocol::codec::Format;
use highwater_protocol::{ListKey, Point};
use highwater_sdk::driver::Claim;
use highwater_sdk::local::{Binding, Database, Found, LocalError};
use std::collections::{BTreeMap, BTreeSet};

/// What was done to a list behind the device's back, and not yet undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taint {
    /// Its rows or their sum: until they are summed up anew.
    pub(crate) rows: bool,
    /// That happened during a repair, which may have summed them up before.
    pub(crate) in_repair: bool,
    /// Its position, which is this one now: until it is another.
    pub(crate) point: Option<Point>,
}

/// How a device's lists stood after a transaction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moment {
    pub(crate) records: Records,
    pub(crate) taints: BTreeMap<ListKey, Taint>,
}

pub(crate) type Records = Vec<(ListKey, Option<ListRecord>)>;

/// A device's machine and what runs on it.
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) disk: Disk,
    pub(crate) replica: Replica,
    pub(crate) config: ReplicaConfig,
    pub(crate) format: Format,
    pub(crate) held: BTreeSet<ListKey>,
    pub(crate) taints: BTreeMap<ListKey, Taint>,
    /// The file itself was damaged.
    pub(crate) file_damaged: bool,
    /// The device's clock, less the true time.
    pub(crate) clock_offset_ms: i64,
    /// Raised at each start: what belongs to an earlier run is not for this one.
    pub(crate) run: u64,
    /// Requests that wait for an answer, and the lists that they ask about.
    pub(crate) flying: BTreeMap<RequestId, Vec<ListKey>>,
    /// When the device is to be looked at, in true time.
    pub(crate) wakes_at_ms: Option<i64>,
    /// How all lists stood after each transaction since the start.
    pub(crate) journal: Vec<Moment>,
    /// Transactions that were lost with the power: their pages may still lie in
    /// the log, past its end.
    pub(crate) lost: Vec<Moment>,
    /// Faults of the disk that are accounted for.
    pub(crate) faults_seen: u64,
    db: Option<Database>,
    vfs: String,
    aside: u32,
}

impl Device {
    pub(crate) fn new(
        name: String,
        disk: Disk,
        vfs: &str,
        config: ReplicaConfig,
        format: Format,
    ) -> Self {
        Self {
            name,
            disk,
            replica: Replica::new(config, 0),
            config,
            format,
            held: BTreeSet::new(),
            taints: BTreeMap::new(),
            file_damaged: false,
            clock_offset_ms: 0,
            run: 0,
            flying: BTreeMap::new(),
            wakes_at_ms: None,
            journal: Vec::new(),
            lost: Vec::new(),
            faults_seen: 0,
            db: None,
            vfs: vfs.to_owned(),
            aside: 0,
        }
    }

    pub(crate) fn database_path(&self) -> String {
        format!("{}/lists.db", self.name)
    }

    /// Starts with what the disk has.
    pub(crate) fn start(&mut self, seed: u64) -> Result<(), String> {
        self.run += 1;
        self.flying.clear();
        self.replica = Replica::new(self.config, seed);
        for list in &self.held {
            self.replica.hold(list);
        }
        let claim = Claim {
            path: self.database_path().into(),
            vfs: Some(self.vfs.clone()),
            guard: Box::new(()),
        };
        let binding = Binding {
            user: self.name.clone(),
            server: "http://server".to_owned(),
        };
        let opened = Found::look(claim).and_then(|found| found.open(binding));
        self.db = Some(opened.map_err(|error| error.to_string())?);
        Ok(())
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.db.is_some()
    }

    /// Ends without a chance to tidy up.
    pub(crate) fn die(&mut self) {
        self.disk.cut_power();
        self.db = None;
    }

    /// Ends in good order: the log is brought into the database.
    pub(crate) fn stop(&mut self) {
        if let Some(db) = self.db.take() {
            db.close();
        }
    }

    /// Gives a database that is none any more another name.
    pub(crate) fn move_aside(&mut self) {
        self.stop();
        self.aside += 1;
        let path = self.database_path();
        let aside = format!("{path}.damaged-{}", self.aside);
        self.disk.rename(&path, &aside);
        self.disk.remove(&aside);
        self.file_damaged = false;
        self.taints.clear();
        self.journal.clear();
        self.lost.clear();
    }

    pub(crate) fn now_ms(&self, true_ms: i64) -> i64 {
        true_ms + self.clock_offset_ms
    }

    /// The database. It must be open.
    pub(crate) fn db(&self) -> &Database {
        match &self.db {
            Some(db) => db,
            None => unreachable!("a device is asked only while it is up"),
        }
    }

    /// The replica and its database, together.
    pub(crate) fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Replica, &mut highwater_sdk::local::SqliteLocal) -> Result<T, LocalError>,
    ) -> Result<T, LocalError> {
        let replica = &mut self.replica;
        match &self.db {
            Some(db) => db.write(|local| work(replica, local)),
            None => unreachable!("a device is asked only while it is up"),
        }
    }

    /// How a list stands.
    pub(crate) fn record(&self, list: &ListKey) -> Result<Option<ListRecord>, LocalError> {
        Ok(self.db().standing(list)?.map(|standing| standing.record))
    }

    pub(crate) fn records(&self, lists: &[ListKey]) -> Result<Records, LocalError> {
        lists
            .iter()
            .map(|list| Ok((list.clone(), self.record(list)?)))
            .collect()
    }

    pub(crate) fn taint(&self, list: &ListKey) -> Taint {
        self.taints.get(list).copied().unwrap_or_default()
    }

    /// Anything may be wrong with any list.
    pub(crate) fn taint_all(&mut self, lists: &[ListKey]) {
        for list in lists {
            let taint = self.taints.entry(list.clone()).or_default();
            (taint.rows, taint.in_repair) = (true, true);
        }
    }

    /// Says of each list whose position is one that was wrong before that it is
    /// wrong again: what the device has now is from then (seed 459125).
    pub(crate) fn taint_points(&mut self, journal: &[Moment], records: &Records) {
        for (list, record) in records {
            let Some(point) = record.as_ref().and_then(|record| record.shown.point) else {
                continue;
            };
            let is_wrong = |then: &Moment| {
                let taint = then.taints.get(list);
                taint.is_some_and(|taint| taint.point == Some(point))
            };
            if journal.iter().chain(&self.lost).any(is_wrong) {
                self.taints.entry(list.clone()).or_default().point = Some(point);
            }
        }
    }

    /// Whether an error of the database is that of a fault of the disk which
    /// just happened.
    pub(crate) fn disk_failed(&mut self) -> bool {
        let happened = self.disk.happened();
        std::mem::replace(&mut self.faults_seen, happened) != happened
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::disk::{Fault, Machines};
    use crate::random::Random;
    use crate::server::{Offers, Server};

    /// Found by the simulation: where the disk failed just when the log was to be
    /// switched on, nobody was told, and the database went on without one. Its
    /// readers could then not read at all once a write had failed.
    #[test]
    fn a_database_that_opens_has_a_log_wherever_the_disk_failed_before() {
        let mut failed = 0;
        for step in 1..40 {
            let machines = Machines::new();
            let disk = machines.add("d0");
            let name = "d0".to_owned();
            let config = ReplicaConfig::default();
            let mut device = Device::new(
                name,
                disk.clone(),
                machines.name(),
                config,
                Format::Protobuf,
            );
            disk.fail_in(step, Fault::Error);
            if device.start(1).is_err() {
                failed += 1;
                device.start(1).unwrap();
            }
            let log = format!("{}-wal", device.database_path());
            assert!(disk.length(&log).is_some(), "step {step}");
        }
        assert!(failed > 10, "{failed}");
    }

    /// The same of a server's.
    #[test]
    fn a_store_that_opens_has_a_log_wherever_the_disk_failed_before() {
        for step in 1..60 {
            let machines = Machines::new();
            let disk = machines.add("server");
            let mut options = highwater_store_sqlite::Options::default();
            options.file_system = Some(machines.name().to_owned());
            let offers = Offers::new(0, 0, Random::new(1));
            let mut server = Server::new(disk.clone(), offers, options);
            disk.fail_in(step, Fault::Error);
            if server.start(Some([1; 16])).is_err() {
                server.start(Some([1; 16])).unwrap();
            }
            let log = format!("{}-wal", Server::database());
            assert!(disk.length(&log).is_some(), "step {step}");
        }
    }
}
