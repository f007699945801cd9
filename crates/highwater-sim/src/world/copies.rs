//! What devices do with what they hear, and what the judges say to it.

use super::World;
use crate::check::copies::{self, Looks};
use crate::check::{Invariant, Verdict, Violation, demand};
use crate::device::{Moment, Taint};
use crate::disk::Kept;
use bytes::Bytes;
use highwater_core::local::{ListRecord, Phase, Rung};
use highwater_core::replica::{Event, RequestId};
use highwater_protocol::message::SyncResponse;
use highwater_protocol::{ListKey, wire};
use highwater_sdk::local::LocalError;

/// Copies up to this long are read whole after each of their transactions,
/// longer ones now and then.
const READ_EACH_TIME: u64 = 64;

fn unreadable(at: usize, error: &LocalError) -> Violation {
    Violation::new(Invariant::I4, format!("d{at} cannot be read: {error}"))
}

impl World {
    /// Starts a device with what its disk has.
    pub(super) fn start_device(&mut self, at: usize) -> Verdict {
        match self.open(at)? {
            true => self.note(|| format!("d{at} starts")),
            false => return self.move_aside(at),
        }
        // What a clean end could not bring to the disk may still be lost.
        let lists = self.lists.clone();
        self.committed(at, &lists)?;
        self.devices[at].replica.sync();
        self.pump(at)
    }

    /// Opens a device's database. An app whose disk failed tries again. `false`:
    /// it is no database any more.
    fn open(&mut self, at: usize) -> Result<bool, Violation> {
        loop {
            let seed = self.random.next();
            let Err(error) = self.devices[at].start(seed) else {
                return Ok(true);
            };
            let failed = self.devices[at].disk_failed();
            if self.devices[at].disk.is_off() {
                let kept = self.what_is_kept();
                let mut random = self.random.fork();
                self.devices[at].die();
                self.devices[at].disk.power_cycle(kept, &mut random);
            } else if self.devices[at].file_damaged {
                return Ok(false);
            } else {
                demand(failed, Invariant::I4, || {
                    format!("d{at} cannot open its database: {error}")
                })?;
            }
        }
    }

    pub(super) fn move_aside(&mut self, at: usize) -> Verdict {
        self.coverage.met("device database moved aside");
        self.note(|| format!("d{at} moves its database aside"));
        self.devices[at].move_aside();
        self.start_device(at)
    }

    /// Sends what is due.
    pub(super) fn pump(&mut self, at: usize) -> Verdict {
        loop {
            if !self.devices[at].is_up() {
                return Ok(());
            }
            let now_ms = self.devices[at].now_ms(self.now_ms);
            let polled =
                self.devices[at].with(|replica, local| replica.poll_request(now_ms, local));
            match polled {
                Ok(Some((id, request))) => self.send(at, id, request),
                Ok(None) => break,
                Err(error) => {
                    let failed = self.database_failed(at, &error);
                    if self.devices[at].is_up() {
                        // The lists stay due.
                        self.devices[at].wakes_at_ms = Some(self.now_ms + 1_000);
                    }
                    return failed;
                }
            }
        }
        let device = &mut self.devices[at];
        let wakes_at_ms = device.replica.poll_timeout().map(|due_ms| {
            let in_ms = due_ms.saturating_sub(now(device.clock_offset_ms, self.now_ms));
            self.now_ms + in_ms.clamp(50, 600_000)
        });
        device.wakes_at_ms = wakes_at_ms;
        Ok(())
    }

    /// A response that is awaited.
    pub(super) fn take_in(
        &mut self,
        at: usize,
        id: RequestId,
        lists: &[ListKey],
        response: SyncResponse,
    ) -> Verdict {
        let now_ms = self.devices[at].now_ms(self.now_ms);
        let handled = self.devices[at]
            .with(|replica, local| replica.handle_response(now_ms, id, response, local));
        match handled {
            Ok(()) => {
                self.hear_events(at)?;
                self.committed(at, lists)?;
            }
            Err(error) => self.database_failed(at, &error)?,
        }
        self.pump(at)
    }

    /// A response that nobody waits for changes nothing.
    pub(super) fn stray(&mut self, at: usize, id: RequestId, body: Bytes) -> Verdict {
        let format = self.devices[at].format;
        let Ok(response) = format.decode::<wire::SyncResponse>(body) else {
            return Ok(());
        };
        let lists = response.aligned as usize + response.answers.len();
        let Ok(response) = SyncResponse::parse(response, lists) else {
            return Ok(());
        };
        let all = self.lists.clone();
        let now_ms = self.devices[at].now_ms(self.now_ms);
        let before = self.devices[at].records(&all);
        let handled = self.devices[at]
            .with(|replica, local| replica.handle_response(now_ms, id, response, local));
        if let Err(error) = handled {
            return self.database_failed(at, &error);
        }
        match (before, self.devices[at].records(&all)) {
            (Ok(before), Ok(after)) => demand(before == after, Invariant::I4, || {
                format!("d{at} applied the answer to {id:?} a second time")
            }),
            (Err(error), _) | (_, Err(error)) => self.database_failed(at, &error),
        }
    }

    fn hear_events(&mut self, at: usize) -> Verdict {
        while let Some(event) = self.devices[at].replica.poll_event() {
            let excused = self.devices[at].file_damaged;
            match event {
                Event::Unrepaired(_) => self.coverage.met("receipt of a repair that failed"),
                Event::Repaired(receipt) => {
                    let rung = receipt.rung.as_str();
                    self.coverage.met(&format!("repaired by rung {rung}"));
                    self.note(|| format!("d{at} repaired {} by {rung}", receipt.list));
                    // The local rung may be a recount that was made before the
                    // damage was done.
                    if let Some(taint) = self.devices[at].taints.get_mut(&receipt.list)
                        && !taint.in_repair
                        && receipt.rung != Rung::Local
                    {
                        taint.rows = false;
                    }
                }
                Event::Quarantined { list, .. } => {
                    self.coverage.met("quarantined");
                    self.note(|| format!("d{at} has {list} in quarantine"));
                }
                Event::Gone { list, reason } => {
                    self.note(|| format!("d{at}: {list} is gone: {reason:?}"));
                    self.devices[at].taints.remove(&list);
                }
                Event::PeerMisbehaved { list, refusal } => {
                    let excused = excused || self.devices[at].taint(&list) != Taint::default();
                    demand(excused, Invariant::Fault, || {
                        format!("d{at} takes the server to misbehave about {list}: {refusal}")
                    })?;
                }
                Event::Status { list, phase } => {
                    if let Phase::Repairing(rung) = phase {
                        self.coverage
                            .met(&format!("climbed to rung {}", rung.as_str()));
                    }
                    self.note(|| format!("d{at}: {list} is {phase:?}"));
                }
                event => self.note(|| format!("d{at}: {event:?}")),
            }
        }
        Ok(())
    }

    /// A transaction of a device ended, in which these lists may have changed.
    pub(super) fn committed(&mut self, at: usize, lists: &[ListKey]) -> Verdict {
        let all = self.lists.clone();
        let records = match self.devices[at].records(&all) {
            Ok(records) => records,
            Err(error) => return self.database_failed(at, &error),
        };
        if let Some(before) = self.devices[at].journal.last() {
            let left = before
                .records
                .iter()
                .zip(&records)
                .any(|((_, before), (_, after))| {
                    let phase = |record: &Option<ListRecord>| record.as_ref().map(|it| it.phase);
                    matches!(phase(before), Some(Phase::Quarantined(_)))
                        && phase(after) == Some(Phase::InSync)
                });
            if left {
                self.coverage.met("out of quarantine");
            }
        }
        for (list, record) in &records {
            let Some(record) = record.as_ref().filter(|_| lists.contains(list)) else {
                continue;
            };
            if let Some(taint) = self.devices[at].taints.get_mut(list)
                && taint.point != record.shown.point
            {
                taint.point = None;
            }
            let count = record.shown.count.max(record.working().count);
            let deep = count <= READ_EACH_TIME || self.judging.one_in(8);
            let narrowed = self.narrowed.contains(&(at, list.clone()));
            let looks = Looks { deep, narrowed };
            copies::judge(&self.model, &self.devices[at], list, record, looks)?;
        }
        let device = &mut self.devices[at];
        let moment = Moment {
            records,
            taints: device.taints.clone(),
        };
        if device.journal.last() != Some(&moment) {
            device.journal.push(moment);
        }
        Ok(())
    }

    /// The device's database could not do what it was asked.
    pub(super) fn database_failed(&mut self, at: usize, error: &LocalError) -> Verdict {
        let device = &mut self.devices[at];
        let failed = device.disk_failed();
        let text = error.to_string();
        self.note(|| format!("d{at}: the database failed: {text}"));
        if self.devices[at].disk.is_off() {
            self.coverage
                .met("device power failed within a transaction");
            let kept = self.what_is_kept();
            return self.power_cycle(at, kept, true);
        }
        if failed {
            let lists = self.lists.clone();
            return self.committed(at, &lists);
        }
        if self.devices[at].file_damaged {
            return self.move_aside(at);
        }
        Err(unreadable(at, error))
    }

    pub(super) fn what_is_kept(&mut self) -> Kept {
        let all = [Kept::All, Kept::Nothing, Kept::Prefix, Kept::Any];
        self.random.pick(&all).copied().unwrap_or(Kept::All)
    }

    /// The device's power was off, and is on again. `writing`: it went off within
    /// a transaction.
    ///
    /// What was lost before may be there again, whole: a transaction that writes
    /// page for page what was lost finds the rest of it still in the log, past its
    /// own end, as SQLite's checksums go on from frame to frame. So one that was
    /// cut off may be complete (seed 219031), and one that was not is followed by
    /// those that once followed it (seed 254290).
    pub(super) fn power_cycle(&mut self, at: usize, kept: Kept, writing: bool) -> Verdict {
        let journal = std::mem::take(&mut self.devices[at].journal);
        let damaged = self.devices[at].file_damaged;
        self.devices[at].die();
        let mut random = self.random.fork();
        self.devices[at].disk.power_cycle(kept, &mut random);
        self.devices[at].disk_failed();
        self.note(|| format!("d{at} lost its power: {kept:?} is kept"));
        if !self.open(at)? {
            return self.move_aside(at);
        }
        let all = self.lists.clone();
        let records = match self.devices[at].records(&all) {
            Ok(records) => records,
            Err(error) => return self.database_failed(at, &error),
        };
        if damaged {
            self.devices[at].taint_all(&all);
            self.devices[at].taint_points(&journal, &records);
        } else if !journal.is_empty() {
            let lost = &self.devices[at].lost;
            let follows = |at: usize| {
                let newest = journal.last().map(|last| &last.records);
                writing || lost[..at].iter().any(|then| Some(&then.records) == newest)
            };
            let returned = (0..lost.len())
                .rev()
                .find(|at| lost[*at].records == records && follows(*at));
            let found = journal.iter().rposition(|then| then.records == records);
            let then = match (found, returned) {
                (Some(then), _) => &journal[then],
                (None, Some(returned)) => &lost[returned],
                (None, None) => {
                    return Err(Violation::new(
                        Invariant::I4,
                        format!("d{at} came back as it never was: {records:?}"),
                    ));
                }
            };
            let taints = then.taints.clone();
            // What was wrong then is wrong again.
            self.devices[at].taints = taints;
            if found.is_none() {
                self.coverage.met("device got back what it had lost");
            }
            let kept_up_to = found.map_or(journal.len(), |then| then + 1);
            self.devices[at]
                .lost
                .extend_from_slice(&journal[kept_up_to..]);
            let newest = journal.last().is_some_and(|last| last.records == records);
            if !newest && found.is_some() {
                self.coverage.met("device lost its newest transactions");
            }
            demand(
                newest || found.is_none() || kept != Kept::All,
                Invariant::I4,
                || format!("d{at} was killed, and lost what it had committed"),
            )?;
        }
        self.committed(at, &all)?;
        self.devices[at].replica.sync();
        self.pump(at)
    }
}

const fn now(offset_ms: i64, true_ms: i64) -> i64 {
    true_ms + offset_ms
}
