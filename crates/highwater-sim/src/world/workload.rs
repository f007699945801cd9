//! What the backend writes, and what apps do.

use super::World;
use crate::check::{Invariant, Verdict, Violation, demand, stored};
use crate::model::{List, Op};
use crate::server::Written;
use highwater_core::local::Phase;
use highwater_protocol::{ItemId, ListKey, Rank};
use std::collections::BTreeSet;

/// What stands in each payload of a list, and nowhere else.
pub(super) fn secret(list: &ListKey) -> String {
    format!("<of {list}>")
}

impl World {
    fn item_id(&mut self, list: &ListKey) -> ItemId {
        let at = self.lists.iter().position(|other| other == list);
        let size = at.map_or(0, |at| self.plan.lists[at]);
        if let (Some(_), Some(List::Live { live, .. })) = (&self.backend, self.model.get(list)) {
            let nth = self.random.below_usize(live.items.len());
            let id = live.items.keys().nth(nth).cloned();
            return id.unwrap_or_else(ItemId::header);
        }
        let number = self.random.below(size + size / 2 + 4);
        let id = match number {
            0 => String::new(),
            number => format!("item-{number}"),
        };
        ItemId::new_or_header(&id).unwrap_or_else(|no| unreachable!("the id is short: {no}"))
    }

    fn put(&mut self, list: &ListKey, id: ItemId) -> Op {
        let ranks: [&[u8]; 6] = [b"", b"a", b"b", b"b\0", b"\xff", b"m"];
        let rank = match id.is_header() {
            true => b"".as_slice(),
            false => self.random.pick(&ranks).copied().unwrap_or_default(),
        };
        let rank =
            Rank::new(rank.to_vec()).unwrap_or_else(|no| unreachable!("the rank is short: {no}"));
        let value = self.random.below(1_000_000);
        let mut payload = format!("{}{}={value}", secret(list), id.as_str());
        if self.random.one_in(40) {
            payload.push_str(&"x".repeat(1_500));
        }
        Op::Put(list.clone(), id, rank, payload.into())
    }

    /// Begins every list with as many elements as were drawn.
    pub(super) fn fill_lists(&mut self) -> Verdict {
        if self.backend.is_some() {
            for _ in 0..self.random.between(0, 40) {
                self.operate(false)?;
            }
            return Ok(());
        }
        for (at, size) in self.plan.lists.clone().into_iter().enumerate() {
            let list = self.lists[at].clone();
            let mut ops = Vec::new();
            for number in 1..=size {
                let id = ItemId::new(&format!("item-{number}"))
                    .unwrap_or_else(|no| unreachable!("the id is short: {no}"));
                ops.push(self.put(&list, id));
            }
            if !ops.is_empty() {
                self.write(ops, false)?;
            }
        }
        Ok(())
    }

    fn some_op(&mut self, list: &ListKey) -> Op {
        let id = self.item_id(list);
        // An element that is there is more likely to be deleted for good.
        match self.random.below(10) {
            0..6 => self.put(list, id),
            6 => match self.model.get(list) {
                // The same content again: nothing is to change.
                Some(List::Live { live, .. }) => match live.items.get(&id) {
                    Some(item) => {
                        Op::Put(list.clone(), id, item.rank.clone(), item.payload.clone())
                    }
                    None => Op::Delete(list.clone(), id),
                },
                _ => Op::Delete(list.clone(), id),
            },
            _ => Op::Delete(list.clone(), id),
        }
    }

    pub(super) fn write_some(&mut self) -> Verdict {
        if self.backend.is_some() {
            let refused = self.random.one_in(25);
            return self.operate(refused);
        }
        let mut ops = Vec::new();
        let one = self.a_list();
        for _ in 0..self.random.between(1, 4) {
            let list = match self.random.one_in(3) {
                true => self.a_list(),
                false => one.clone(),
            };
            ops.push(self.some_op(&list));
        }
        let refused = self.random.one_in(25);
        self.write(ops, refused)
    }

    /// Writes what an operation of the backend does.
    fn operate(&mut self, refused: bool) -> Verdict {
        let mut random = self.random.fork();
        let now_ms = self.now_ms;
        let Some(backend) = &mut self.backend else {
            return Ok(());
        };
        let ops = backend.transaction(&mut random, now_ms);
        for met in backend.met() {
            self.coverage.met(&met);
        }
        if ops.is_empty() {
            return Ok(());
        }
        let lists = ops.iter().map(Op::list).collect::<BTreeSet<_>>().len();
        if lists > 1 {
            self.coverage.met("operation on several lists");
        }
        self.write(ops, refused)
    }

    /// Several writers at once: many transactions, and nothing read between.
    pub(super) fn write_much(&mut self) -> Verdict {
        for _ in 0..self.random.between(3, 25) {
            self.write_some()?;
        }
        Ok(())
    }

    pub(super) fn end_list(&mut self) -> Verdict {
        if self.backend.is_some() {
            return self.write_some();
        }
        let list = self.a_list();
        if matches!(self.model.get(&list), Some(List::Live { .. })) {
            self.coverage.met("list ended");
        }
        let mut ops = vec![Op::End(list.clone())];
        if self.random.one_in(3) {
            ops.push(self.some_op(&list));
        }
        self.write(ops, false)
    }

    /// One transaction of the backend.
    pub(super) fn write(&mut self, ops: Vec<Op>, refused: bool) -> Verdict {
        if !self.server.is_up() {
            return Ok(());
        }
        let ended = |world: &Self, op: &Op| {
            matches!(op, Op::Put(..))
                && matches!(world.model.get(op.list()), Some(List::Ended { .. }))
        };
        if ops.iter().any(|op| ended(self, op)) {
            self.coverage.met("list created again");
        }
        self.writes += 1;
        let now_ms = self.now_ms + self.server_clock_offset_ms;
        let written = self.server.write(now_ms, &ops, refused);
        let failed = self.server_disk_failed();
        match written {
            Written::Done(states) => {
                self.model.apply(&ops);
                self.note_write(&ops);
                for (list, state) in states {
                    stored::judge_state(&self.model, &list, state, "the answer to a write")?;
                }
                match self.server.disk.is_off() {
                    true => self.crash_server(None),
                    false => Ok(()),
                }
            }
            Written::Refused => {
                self.note(|| "refused".to_owned());
                self.coverage.met("server write refused");
                demand(refused, Invariant::I3, || "a write was refused".to_owned())?;
                stored::judge_heads(&self.model, &self.server, &self.lists)
            }
            Written::NotCommitted(error) => {
                self.note(|| format!("not written: {error}"));
                demand(failed, Invariant::Fault, || {
                    format!("a write failed: {error}")
                })?;
                match self.server.disk.is_off() {
                    true => self.crash_server(None),
                    false => stored::judge_heads(&self.model, &self.server, &self.lists),
                }
            }
            Written::Unknown(error) => {
                self.note(|| format!("perhaps written: {error}"));
                self.coverage.met("server write unknown");
                demand(failed, Invariant::Fault, || {
                    format!("a write failed: {error}")
                })?;
                self.crash_server(Some(ops))
            }
        }
    }

    pub(super) fn note_write(&mut self, ops: &[Op]) {
        let mut lists: Vec<_> = ops.iter().map(Op::list).collect();
        lists.sort();
        lists.dedup();
        let stands = lists.iter().map(|list| match self.model.get(list) {
            Some(List::Live { live, .. }) => {
                format!(
                    "{list} {}:{} has {}",
                    live.lineage,
                    live.version,
                    live.count()
                )
            }
            _ => format!("{list} is not there"),
        });
        let stands = stands.collect::<Vec<_>>().join("; ");
        let count = ops.len();
        self.note(|| format!("written {count}: {stands}"));
    }

    pub(super) fn sync_device(&mut self) -> Verdict {
        let at = self.a_device();
        if !self.devices[at].is_up() {
            return Ok(());
        }
        if self.random.one_in(3) {
            let list = self.a_list();
            self.devices[at].replica.sync_list(&list);
        } else {
            self.devices[at].replica.sync();
        }
        self.pump(at)
    }

    /// Something that an app does.
    pub(super) fn use_app(&mut self) -> Verdict {
        let at = self.a_device();
        let list = self.a_list();
        if !self.devices[at].is_up() {
            return Ok(());
        }
        match self.random.below(5) {
            0 => {
                self.coverage.met("verified by the app");
                self.verify(at, &list)?;
            }
            1 | 2 => {
                let mut ids = Vec::new();
                for _ in 0..self.random.between(1, 6) {
                    ids.push(self.item_id(&list));
                }
                self.coverage.met("details wanted");
                self.devices[at].replica.want_details(&list, ids);
            }
            3 if self.devices[at].held.contains(&list) => {
                self.coverage.met("list released");
                self.devices[at].held.remove(&list);
                self.devices[at].replica.release(&list);
            }
            3 => {
                self.devices[at].held.insert(list.clone());
                self.devices[at].replica.hold(&list);
                self.devices[at].replica.sync_list(&list);
            }
            _ => {
                if let Err(error) = self.devices[at].db().checkpoint_now() {
                    return self.database_failed(at, &error);
                }
            }
        }
        self.pump(at)
    }

    /// Has a list's rows summed up anew, and the server compare.
    pub(super) fn verify(&mut self, at: usize, list: &ListKey) -> Verdict {
        let device = &mut self.devices[at];
        let verified = device.with(|replica, local| replica.verify(list, local));
        match verified {
            Ok(()) => {
                if let Some(taint) = self.devices[at].taints.get_mut(list) {
                    taint.rows = false;
                    taint.in_repair = false;
                }
                self.note(|| format!("d{at} verifies {list}"));
                self.committed(at, std::slice::from_ref(list))
            }
            Err(error) => self.database_failed(at, &error),
        }
    }

    /// Whether a device holds a list that is in quarantine.
    pub(super) fn is_quarantined(&self, at: usize, list: &ListKey) -> Result<bool, Violation> {
        let record = self.devices[at].record(list).map_err(|error| {
            Violation::new(
                Invariant::I4,
                format!("d{at}: {list} cannot be read: {error}"),
            )
        })?;
        Ok(matches!(
            record.map(|record| record.phase),
            Some(Phase::Quarantined(_))
        ))
    }
}
