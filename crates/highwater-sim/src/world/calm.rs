//! The end of a world: faults stop, and everything must come right, at a price
//! that is bounded.

use super::World;
use crate::check::{Invariant, Verdict, Violation, demand, stored};
use crate::device::Taint;
use crate::model::{List, stamp};
use crate::plan::Network;
use highwater_core::answer::Access;
use highwater_core::local::{ListRecord, Phase};
use highwater_protocol::ListKey;
use highwater_sdk::local::simulation::Damage;

impl World {
    /// I1 and I7: once faults have stopped, each copy becomes the server's, in a
    /// number of requests that is bounded.
    pub(super) fn calm_down(&mut self) -> Verdict {
        self.note(|| "calm".to_owned());
        self.network = Network::CALM;
        self.server.lies.clear();
        self.server.offers.be_generous();
        self.server.disk.no_fault();
        self.server_clock_offset_ms = 0;
        for device in &mut self.devices {
            device.disk.no_fault();
            device.clock_offset_ms = 0;
        }
        // What is under way arrives, or is given up.
        self.pass(self.now_ms + 120_000)?;
        if !self.server.is_up() {
            self.revive_server()?;
        }
        stored::judge_contents(&self.model, &self.server, &self.lists)?;
        for at in 0..self.devices.len() {
            self.settle(at)?;
        }
        self.measure_repair()?;
        match self.random.one_in(3) {
            true => self.endure(),
            false => Ok(()),
        }
    }

    /// One device comes right.
    pub(super) fn settle(&mut self, at: usize) -> Verdict {
        self.bounded(at, "a sync", |world| {
            // The app opens again what was gone.
            let device = &mut world.devices[at];
            device
                .held
                .iter()
                .for_each(|list| device.replica.hold(list));
            device.replica.sync();
            world.pump(at)
        })?;
        // An audit finds what was altered behind the device's back; a list in
        // quarantine is tried again.
        for list in self.lists.clone() {
            let tainted = self.devices[at].taint(&list) != Taint::default();
            let held = self.devices[at].held.contains(&list);
            if held && (tainted || self.is_quarantined(at, &list)?) {
                self.bounded(at, "an audit", |world| {
                    world.verify(at, &list)?;
                    world.pump(at)
                })?;
            }
        }
        self.fetch_details(at)?;
        let verdict = self.judge_device(at);
        match verdict {
            // SQLite reads a damaged file as far as it can: what it has not
            // noticed is for the app to say.
            Err(_) if self.devices[at].file_damaged => {
                self.coverage.met("device database damaged unnoticed");
                self.bounded(at, "a fresh database", |world| world.move_aside(at))?;
                self.judge_device(at)
            }
            verdict => verdict,
        }
    }

    /// A page that is shown has the details fetched that it lacks.
    fn fetch_details(&mut self, at: usize) -> Verdict {
        let mut wanted = Vec::new();
        for list in &self.devices[at].held {
            let Some(record) = self.devices[at].record(list).ok().flatten() else {
                continue;
            };
            let rows = self.devices[at]
                .db()
                .stored_rows(list, record.shown.generation);
            let lacking = rows
                .into_iter()
                .flatten()
                .filter(|it| it.row.payload.is_none());
            let ids: Vec<_> = lacking.map(|it| it.row.id).take(1_000).collect();
            if record.whole && !ids.is_empty() {
                wanted.push((list.clone(), ids));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        self.coverage
            .met("details of a whole list fetched by a page");
        self.bounded(at, "a fetch of details", |world| {
            for (list, ids) in wanted {
                world.devices[at].replica.want_details(&list, ids);
            }
            world.pump(at)
        })
    }

    /// Does something, and lets everything come to rest.
    pub(super) fn bounded(
        &mut self,
        at: usize,
        what: &str,
        work: impl FnOnce(&mut Self) -> Verdict,
    ) -> Verdict {
        let before = self.requests;
        work(self)?;
        let most = self.requests_max(at);
        for _ in 0..1_000 {
            self.pass(self.now_ms + 5_000)?;
            let spent = self.requests - before;
            demand(spent <= most, Invariant::I7, || {
                format!("d{at}: {what} took more than {most} requests")
            })?;
            if self.devices[at].replica.is_idle() && self.devices[at].flying.is_empty() {
                return Ok(());
            }
        }
        Err(Violation::new(
            Invariant::I7,
            format!("d{at}: {what} does not come to rest"),
        ))
    }

    /// Requests that a device may need at the most, to climb the whole ladder
    /// with every list.
    fn requests_max(&self, at: usize) -> u64 {
        let page = match self.plan.page_bytes < 10_000 {
            true => 1,
            false => self.devices[at].config.page_rows as u64,
        };
        let lists = self.lists.iter().map(|list| match self.model.get(list) {
            Some(List::Live { live, .. }) => {
                let elements = live.count() + live.tombstones.len() as u64;
                // Delta, sketch (doubling ranges, three times), rows of it, the
                // skeleton, all of it, and details.
                40 + 6 * (elements / page + 2) + u64::from(elements.max(1).ilog2()) * 6
            }
            _ => 4,
        });
        10 + lists.sum::<u64>()
    }

    /// The copies of a device are the server's.
    fn judge_device(&mut self, at: usize) -> Verdict {
        for list in self.lists.clone() {
            if self.devices[at].held.contains(&list) {
                self.judge_copy(at, &list)?;
            }
        }
        Ok(())
    }

    fn judge_copy(&mut self, at: usize, list: &ListKey) -> Verdict {
        let failed = |what: String| Violation::new(Invariant::I1, format!("d{at}: {list}: {what}"));
        let record = self.devices[at]
            .record(list)
            .map_err(|error| failed(error.to_string()))?
            .unwrap_or_default();
        let rows = self.devices[at]
            .db()
            .stored_rows(list, record.shown.generation)
            .map_err(|error| failed(error.to_string()))?;
        let Some(live) = self.seen_by(at, list) else {
            let gone = matches!(record.phase, Phase::Gone(_)) && rows.is_empty();
            return demand(gone, Invariant::I1, || {
                format!(
                    "d{at}: {list} is not there for it, and is {:?}",
                    record.phase
                )
            });
        };
        demand(record.phase == Phase::InSync, Invariant::I1, || {
            format!("d{at}: {list} is {:?}", record.phase)
        })?;
        let right: Vec<_> = live
            .items
            .iter()
            .map(|(id, item)| (id, &item.rank, item.stamp))
            .collect();
        let there: Vec<_> = rows
            .iter()
            .map(|stored| (&stored.row.id, &stored.row.rank, stored.row.stamp))
            .collect();
        demand(there == right, Invariant::I1, || {
            format!("d{at}: {list} has {there:?}, and should have {right:?}")
        })?;
        for stored in &rows {
            let row = &stored.row;
            let sound = match &row.payload {
                Some(payload) => stamp(&row.id, &row.rank, payload) == row.stamp,
                None => !record.whole,
            };
            demand(sound, Invariant::I1, || {
                format!("d{at}: {list} lacks the content of {:?}", row.id)
            })?;
        }
        self.judge_order(at, list, &record)
    }

    /// The app reads the list in the server's order.
    fn judge_order(&self, at: usize, list: &ListKey, record: &ListRecord) -> Verdict {
        let count = usize::try_from(record.shown.count).unwrap_or(usize::MAX);
        let page = self.devices[at]
            .db()
            .page(list, None, count.saturating_add(1))
            .map_err(|error| Violation::new(Invariant::I1, format!("d{at}: {list}: {error}")))?;
        let there: Vec<_> = page.iter().map(|read| &read.row.id).collect();
        let live = self.seen_by(at, list);
        let right: Vec<_> = live
            .iter()
            .flat_map(|live| live.in_order())
            .map(|(id, _)| id)
            .filter(|id| !id.is_header())
            .collect();
        demand(there == right, Invariant::I1, || {
            format!("d{at}: {list} reads {there:?}, and should read {right:?}")
        })
    }

    /// I6: a repair costs what differs. A copy is damaged in some rows, and the
    /// bytes of what comes down are counted.
    fn measure_repair(&mut self) -> Verdict {
        let at = self.a_device();
        let list = self.a_list();
        let held = self.devices[at].held.contains(&list);
        let Some(List::Live { live, .. }) = self.model.get(&list) else {
            return Ok(());
        };
        let readable = self.access(at, &list) == Access::Read;
        let long = live.count() >= self.server.offers.sketched_from().max(64);
        let tight = self.plan.page_bytes < 10_000 || self.plan.sketch_elements_max < live.count();
        if !held || !readable || !long || tight {
            return Ok(());
        }
        let longest = live.items.values().map(|item| item.payload.len()).max();
        // Few enough that a sketch costs less than the skeleton.
        let differing = self.random.between(1, live.count() / 16);
        for _ in 0..differing {
            let nth = u32::try_from(self.random.below(100_000)).unwrap_or(0);
            match self.random.one_in(3) {
                true => self.damage(at, &list, Damage::Added, "row added")?,
                false => self.damage(at, &list, Damage::Removed(nth), "row removed")?,
            }
        }
        let skeletons = self.met("climbed to rung skeleton");
        let before = self.bytes_down;
        self.bounded(at, "a measured repair", |world| {
            world.verify(at, &list)?;
            world.pump(at)
        })?;
        let spent = self.bytes_down - before;
        self.coverage.met("repair measured");
        demand(
            self.met("climbed to rung skeleton") == skeletons,
            Invariant::I6,
            || format!("d{at}: {differing} rows of {list} differed, and its skeleton was read"),
        )?;
        let row = longest.unwrap_or(0) as u64 + 120;
        // Rows in JSON are half as long again.
        let most = 3_000 + differing * (3 * row + 160);
        demand(spent <= most, Invariant::I6, || {
            format!(
                "d{at}: {differing} of {} rows of {list} differed, and {spent} bytes came; \
                 {most} would do",
                self.model.live(&list).map_or(0, |live| live.count())
            )
        })?;
        self.judge_device(at)
    }
}

impl World {
    fn met(&self, state: &str) -> u64 {
        self.coverage.0.get(state).copied().unwrap_or(0)
    }
}
