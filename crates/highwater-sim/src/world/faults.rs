//! What goes wrong.

use super::World;
use crate::check::{Invariant, Verdict, Violation, demand, stored};
use crate::disk::{Fault, Kept};
use crate::model::{List, Op};
use crate::server::{Lie, Server};
use highwater_core::answer::Access;
use highwater_core::local::Phase;
use highwater_protocol::{Lineage, ListKey};
use highwater_sdk::local::simulation::Damage;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

impl World {
    pub(super) fn kill_device(&mut self) -> Verdict {
        let at = self.a_device();
        if !self.devices[at].is_up() {
            return Ok(());
        }
        match self.random.below(4) {
            0 => {
                self.devices[at].stop();
                self.note(|| format!("d{at} stops"));
                self.wait(5_000)?;
                self.start_device(at)
            }
            1 => {
                self.coverage.met("device killed");
                self.power_cycle(at, Kept::All, false)
            }
            _ => {
                self.coverage.met("device power failed");
                let kept = self.what_is_kept();
                self.power_cycle(at, kept, false)
            }
        }
    }

    fn a_fault(&mut self) -> (Fault, &'static str) {
        match self.random.below(4) {
            0 => (Fault::Full, "disk full"),
            1 => (Fault::Error, "write failed"),
            _ => (Fault::PowerOff, "power"),
        }
    }

    pub(super) fn break_device_disk(&mut self) -> Verdict {
        let at = self.a_device();
        if !self.devices[at].is_up() {
            return Ok(());
        }
        let (fault, name) = self.a_fault();
        let steps = self.random.between(1, 40);
        if fault != Fault::PowerOff {
            self.coverage.met(&format!("device {name}"));
        }
        self.note(|| format!("d{at}: {fault:?} in {steps} steps"));
        self.devices[at].disk.fail_in(steps, fault);
        self.devices[at].replica.sync();
        self.pump(at)
    }

    pub(super) fn damage_device_file(&mut self) -> Verdict {
        let at = self.a_device();
        if !self.devices[at].is_up() {
            return Ok(());
        }
        self.devices[at].stop();
        let path = self.devices[at].database_path();
        let length = self.devices[at].disk.length(&path).unwrap_or(0);
        let from = self.random.below_usize(length.max(1));
        let many = self.random.below_usize(6_000) + 1;
        let byte = u8::try_from(self.random.below(256)).unwrap_or(0);
        let disk = &self.devices[at].disk;
        match self.random.below(4) {
            0 => {
                self.coverage.met("device database cut short");
                disk.damage(&path, |bytes| bytes.truncate(from));
            }
            1 => {
                self.coverage.met("device database overwritten");
                disk.damage(&path, |bytes| {
                    *bytes = b"this is no database any more\n".repeat(40);
                });
            }
            _ => {
                self.coverage.met("device database overwritten");
                disk.damage(&path, |bytes| {
                    bytes
                        .iter_mut()
                        .skip(from)
                        .take(many)
                        .for_each(|it| *it ^= byte);
                });
            }
        }
        self.devices[at].file_damaged = true;
        self.devices[at].journal.clear();
        self.devices[at].lost.clear();
        let all = self.lists.clone();
        self.devices[at].taint_all(&all);
        self.note(|| format!("d{at}: its file of {length} bytes is damaged at {from}"));
        self.start_device(at)
    }

    pub(super) fn damage_copy(&mut self) -> Verdict {
        let at = self.a_device();
        let list = self.a_list();
        if !self.devices[at].is_up() {
            return Ok(());
        }
        if self.random.one_in(5) {
            return self.damage_much(at, &list);
        }
        let nth = u32::try_from(self.random.below(1_000)).unwrap_or(0);
        let other = u32::try_from(self.random.below(1_000)).unwrap_or(0);
        let by = self.random.between_ms(-5, 5);
        let (damage, name) = match self.random.below(11) {
            0 => (Damage::Payload(nth), "payload"),
            1 => (Damage::Rank(nth), "rank"),
            2 => (Damage::Stamp(nth), "stamp"),
            3 => (Damage::Check(nth), "check"),
            4 => (Damage::Removed(nth), "row removed"),
            5 => (Damage::Added, "row added"),
            6 => (Damage::Swapped(nth, other), "rows swapped"),
            7 => (Damage::Digest, "digest"),
            8 => (Damage::Count, "count"),
            9 => (Damage::Version(if by == 0 { 1_000 } else { by }), "version"),
            _ => (Damage::Lineage, "lineage"),
        };
        self.damage(at, &list, damage, name)
    }

    /// Many rows at once, more than a sketch's first cells can tell apart.
    fn damage_much(&mut self, at: usize, list: &ListKey) -> Verdict {
        for _ in 0..self.random.between(10, 60) {
            let nth = u32::try_from(self.random.below(100_000)).unwrap_or(0);
            match self.random.one_in(2) {
                true => self.damage(at, list, Damage::Added, "row added")?,
                false => self.damage(at, list, Damage::Removed(nth), "row removed")?,
            }
        }
        self.verify(at, list)?;
        self.pump(at)
    }

    pub(super) fn damage(
        &mut self,
        at: usize,
        list: &ListKey,
        damage: Damage,
        name: &str,
    ) -> Verdict {
        let device = &mut self.devices[at];
        let in_repair = match device.record(list) {
            Ok(record) => record.is_some_and(|record| {
                matches!(record.phase, Phase::Repairing(_)) || record.build.is_some()
            }),
            Err(error) => return self.database_failed(at, &error),
        };
        match device.db().damage(list, damage) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) => {
                // Half of it may have been done.
                let taint = device.taints.entry(list.clone()).or_default();
                (taint.rows, taint.in_repair) = (true, true);
                return self.database_failed(at, &error);
            }
        }
        self.coverage.met(&format!("device damage {name}"));
        self.note(|| format!("d{at}: {list} is damaged: {damage:?}"));
        let device = &mut self.devices[at];
        let point = device
            .record(list)
            .ok()
            .flatten()
            .and_then(|it| it.shown.point);
        let taint = device.taints.entry(list.clone()).or_default();
        match damage {
            Damage::Version(_) | Damage::Lineage => taint.point = point,
            _ => {
                taint.rows = true;
                taint.in_repair |= in_repair;
            }
        }
        let all = self.lists.clone();
        self.committed(at, &all)
    }

    pub(super) fn jump_clock(&mut self) -> Verdict {
        let by_ms = match self.random.below(3) {
            0 => self.random.between_ms(-400 * DAY_MS, 400 * DAY_MS),
            1 => self.random.between_ms(-DAY_MS, DAY_MS),
            _ => self.random.between_ms(-60_000, 60_000),
        };
        if self.random.one_in(2) {
            self.coverage.met("server clock jumped");
            self.server_clock_offset_ms = by_ms;
            self.note(|| format!("the server's clock is {by_ms} ms off"));
            return Ok(());
        }
        let at = self.a_device();
        self.coverage.met("device clock jumped");
        self.devices[at].clock_offset_ms = by_ms;
        self.note(|| format!("d{at}'s clock is {by_ms} ms off"));
        self.pump(at)
    }

    /// Whether a fault of the server's disk happened since this was last asked.
    pub(super) fn server_disk_failed(&mut self) -> bool {
        let happened = self.server.disk.happened();
        std::mem::replace(&mut self.server_faults_seen, happened) != happened
    }

    pub(super) fn kill_server(&mut self) -> Verdict {
        if !self.server.is_up() {
            return Ok(());
        }
        self.server.die();
        self.crash_server(None)
    }

    /// The server is down, or shall be; `perhaps` may have been written.
    pub(super) fn crash_server(&mut self, perhaps: Option<Vec<Op>>) -> Verdict {
        let within = self.server.is_up();
        let off = self.server.disk.is_off();
        self.server.die();
        let kept = match off {
            true => self.what_is_kept(),
            false => Kept::All,
        };
        self.coverage.met(match (off, within, kept) {
            (true, true, _) => "server power failed within a write",
            (_, _, Kept::All) => "server killed",
            _ => "server power failed",
        });
        let mut random = self.random.fork();
        self.server.disk.power_cycle(kept, &mut random);
        self.server_disk_failed();
        self.note(|| format!("the server is down: {kept:?} is kept"));
        self.perhaps_written = perhaps;
        let down_ms = match self.random.one_in(3) {
            true => self.random.between_ms(1, 30_000),
            false => 0,
        };
        match down_ms {
            0 => self.revive_server(),
            down_ms => {
                self.server_up_at_ms = Some(self.now_ms + down_ms);
                Ok(())
            }
        }
    }

    /// The server comes back, with everything that it ever acknowledged.
    pub(super) fn revive_server(&mut self) -> Verdict {
        self.server_up_at_ms = None;
        self.server.start(None).map_err(|error| {
            Violation::new(Invariant::I3, format!("the server does not start: {error}"))
        })?;
        self.note(|| "the server is up".to_owned());
        if let Some(ops) = self.perhaps_written.take() {
            let without = stored::judge_heads(&self.model, &self.server, &self.lists);
            if without.is_err() {
                self.model.apply(&ops);
                self.note_write(&ops);
            }
        }
        if let Some(keep) = self.perhaps_purged.take() {
            self.purge_to(keep)?;
        }
        if !self.server.is_up() {
            return Ok(());
        }
        stored::judge_contents(&self.model, &self.server, &self.lists)
    }

    pub(super) fn break_server_disk(&mut self) -> Verdict {
        let (fault, name) = self.a_fault();
        let steps = self.random.between(1, 25);
        if fault != Fault::PowerOff {
            self.coverage.met(&format!("server {name}"));
        }
        self.note(|| format!("the server's disk: {fault:?} in {steps} steps"));
        self.server.disk.fail_in(steps, fault);
        Ok(())
    }

    /// The store could not answer a request.
    pub(super) fn server_failed(&mut self, error: &str) -> Verdict {
        let failed = self.server_disk_failed() || self.server.disk.is_off();
        demand(failed, Invariant::Fault, || {
            format!("the store failed: {error}")
        })?;
        self.crash_server(None)
    }

    pub(super) fn purge(&mut self) -> Verdict {
        if !self.server.is_up() {
            return Ok(());
        }
        let keep = self.random.pick(&[0, 0, 1, 5]).copied().unwrap_or(0);
        self.coverage.met("server purged");
        self.purge_to(keep)
    }

    fn purge_to(&mut self, keep: u64) -> Verdict {
        let now_ms = self.now_ms + self.server_clock_offset_ms;
        let purged = self.server.purge(now_ms, keep);
        let failed = self.server_disk_failed();
        match purged {
            Ok(()) => {
                self.model.purge(keep);
                self.note(|| format!("purged down to {keep}"));
                match self.server.disk.is_off() {
                    true => self.crash_server(None),
                    false => stored::judge_heads(&self.model, &self.server, &self.lists),
                }
            }
            Err(error) => {
                self.note(|| format!("not purged: {error}"));
                demand(failed, Invariant::Fault, || {
                    format!("a purge failed: {error}")
                })?;
                self.perhaps_purged = Some(keep);
                self.crash_server(None)
            }
        }
    }

    pub(super) fn back_up(&mut self) -> Verdict {
        if self.server.is_up() {
            let files = self.server.disk.copy(&Server::database());
            self.backups.push((files, self.model.backup()));
            self.note(|| "backed up".to_owned());
        }
        Ok(())
    }

    /// The server comes back as a backup has it, or as it is, under another
    /// incarnation.
    pub(super) fn restore(&mut self) -> Verdict {
        if !self.server.is_up() {
            return Ok(());
        }
        self.server.disk.no_fault();
        let incarnation = self.next_incarnation();
        self.server.stop();
        let chosen = match self.random.one_in(3) {
            true => None,
            false => Some(self.random.below_usize(self.backups.len())),
        };
        let backup = match chosen.and_then(|at| self.backups.get(at)) {
            Some((files, lists)) => {
                self.coverage.met("server restored from a backup");
                self.server.disk.remove(&Server::database());
                for (path, bytes) in files {
                    self.server.disk.install(path, bytes);
                }
                lists.clone()
            }
            None => {
                self.coverage.met("server got another incarnation");
                self.model.backup()
            }
        };
        self.model.restore(&backup, incarnation);
        self.server.start(Some(incarnation)).map_err(|error| {
            Violation::new(Invariant::I3, format!("no start from a backup: {error}"))
        })?;
        self.note(|| "restored".to_owned());
        stored::judge_contents(&self.model, &self.server, &self.lists)
    }

    pub(super) fn change_lie(&mut self) -> Verdict {
        let list = self.a_list();
        if self.server.lies.remove(&list).is_none() {
            let lie = match self.random.one_in(3) {
                true => {
                    self.coverage
                        .met("server changes lineages with each answer");
                    Lie::Lineage(self.a_lineage())
                }
                false => {
                    self.coverage.met("server says a wrong digest");
                    Lie::Digest
                }
            };
            self.server.lies.insert(list.clone(), lie);
        }
        let lie = self.server.lies.get(&list).copied();
        self.note(|| format!("what the server says of {list} is wrong in {lie:?}"));
        Ok(())
    }

    fn a_lineage(&mut self) -> Lineage {
        Lineage::new(self.random.next().max(1)).unwrap_or_else(|| unreachable!("at least 1"))
    }

    /// A server that changes lineages does so with each answer.
    pub(super) fn change_lineages(&mut self) {
        for list in self.lists.clone() {
            if let Some(Lie::Lineage(_)) = self.server.lies.get(&list) {
                let lineage = self.a_lineage();
                self.model.said(&list, lineage);
                self.server.lies.insert(list, Lie::Lineage(lineage));
            }
        }
    }

    /// I7: whatever a server says, a device comes to rest. This one gives a list
    /// another lineage with each answer, so that no scan of it can go on.
    pub(super) fn endure(&mut self) -> Verdict {
        let (at, list) = (self.a_device(), self.a_list());
        let held = self.devices[at].held.contains(&list);
        let readable = self.access(at, &list) == Access::Read;
        let lives = matches!(self.model.get(&list), Some(List::Live { .. }));
        if !held || !readable || !lives {
            return Ok(());
        }
        self.note(|| format!("d{at} endures a server that changes the lineage of {list}"));
        let lie = Lie::Lineage(self.a_lineage());
        self.server.lies.insert(list.clone(), lie);
        self.coverage
            .met("server changes lineages with each answer");
        self.damage(at, &list, Damage::Added, "row added")?;
        self.bounded(at, "a repair under changing lineages", |world| {
            world.verify(at, &list)?;
            world.pump(at)
        })?;
        self.server.lies.clear();
        self.settle(at)
    }
}
