//! A device's database in memory: for tests and simulations, and for apps that
//! keep nothing.

use super::{
    CHANGES_MAX, Changes, Generation, Likely, ListRecord, LocalRow, LocalStore, LocalTxn, OldRow,
    RowChange, StoredRow,
};
use crate::stamp::row_check;
use highwater_protocol::{ItemId, ListKey};
use std::collections::BTreeMap;
use std::convert::Infallible;

type Rows = BTreeMap<ItemId, StoredRow>;

/// Everything that a device keeps.
#[derive(Clone, Debug, Default)]
pub struct MemoryLocal {
    records: BTreeMap<ListKey, ListRecord>,
    rows: BTreeMap<(ListKey, Generation), Rows>,
}

/// A transaction on a [`MemoryLocal`]: it writes in place, and dropped before
/// its commit it puts back what it found, newest first.
#[derive(Debug)]
pub struct MemoryTxn<'a> {
    kept: &'a mut MemoryLocal,
    undo: Vec<Undo>,
}

/// What was there before a write.
#[derive(Debug)]
enum Undo {
    Record(ListKey, Option<Box<ListRecord>>),
    Row(ListKey, Generation, ItemId, Option<StoredRow>),
    Rows(ListKey, Generation, Rows),
}

impl MemoryLocal {
    /// The rows of a list that an app sees, by (rank, id).
    #[must_use]
    pub fn shown(&self, list: &ListKey) -> Vec<LocalRow> {
        let Some(record) = self.records.get(list) else {
            return Vec::new();
        };
        let mut rows: Vec<LocalRow> = self
            .rows
            .get(&(list.clone(), record.shown.generation))
            .into_iter()
            .flat_map(|rows| rows.values().map(|stored| stored.row.clone()))
            .collect();
        rows.sort_by(|a, b| (&a.rank, &a.id).cmp(&(&b.rank, &b.id)));
        rows
    }

    /// How far a list has come.
    #[must_use]
    pub fn record_of(&self, list: &ListKey) -> Option<&ListRecord> {
        self.records.get(list)
    }

    /// Changes what is stored behind the replica's back.
    pub fn tamper(&mut self, list: &ListKey, damage: impl FnOnce(&mut ListRecord, &mut Rows)) {
        if let Some(record) = self.records.get_mut(list) {
            let key = (list.clone(), record.shown.generation);
            damage(record, self.rows.entry(key).or_default());
        }
    }

    /// Generations of a list that have rows.
    #[must_use]
    pub fn generations(&self, list: &ListKey) -> Vec<Generation> {
        let of_list = |(key, rows): (&(ListKey, Generation), &Rows)| {
            (key.0 == *list && !rows.is_empty()).then_some(key.1)
        };
        self.rows.iter().filter_map(of_list).collect()
    }
}

impl LocalStore for MemoryLocal {
    type Error = Infallible;
    type Txn<'a> = MemoryTxn<'a>;

    fn begin(&mut self) -> Result<MemoryTxn<'_>, Infallible> {
        Ok(MemoryTxn {
            kept: self,
            undo: Vec::new(),
        })
    }
}

impl MemoryTxn<'_> {
    fn rows(&mut self, list: &ListKey, generation: Generation) -> &mut Rows {
        self.kept
            .rows
            .entry((list.clone(), generation))
            .or_default()
    }

    /// Replaces one row, or removes it.
    fn set(
        &mut self,
        list: &ListKey,
        generation: Generation,
        id: &ItemId,
        row: Option<StoredRow>,
    ) -> Option<StoredRow> {
        let rows = self.rows(list, generation);
        let before = match row {
            Some(row) => rows.insert(id.clone(), row),
            None => rows.remove(id),
        };
        self.undo.push(Undo::Row(
            list.clone(),
            generation,
            id.clone(),
            before.clone(),
        ));
        before
    }

    /// Takes a whole generation away.
    fn take(&mut self, list: &ListKey, generation: Generation) -> Rows {
        let rows = self
            .kept
            .rows
            .remove(&(list.clone(), generation))
            .unwrap_or_default();
        self.undo
            .push(Undo::Rows(list.clone(), generation, rows.clone()));
        rows
    }
}

impl Drop for MemoryTxn<'_> {
    fn drop(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Record(list, Some(record)) => {
                    self.kept.records.insert(list, *record);
                }
                Undo::Record(list, None) => {
                    self.kept.records.remove(&list);
                }
                Undo::Row(list, generation, id, Some(row)) => {
                    self.rows(&list, generation).insert(id, row);
                }
                Undo::Row(list, generation, id, None) => {
                    self.rows(&list, generation).remove(&id);
                }
                Undo::Rows(list, generation, rows) => {
                    self.kept.rows.insert((list, generation), rows);
                }
            }
        }
    }
}

fn old(stored: &StoredRow) -> OldRow {
    OldRow {
        rank: stored.row.rank.clone(),
        stamp: stored.row.stamp,
        had_payload: stored.row.payload.is_some(),
    }
}

impl LocalTxn for MemoryTxn<'_> {
    type Error = Infallible;

    fn record(&mut self, list: &ListKey) -> Result<Option<ListRecord>, Infallible> {
        Ok(self.kept.records.get(list).cloned())
    }

    fn save_record(&mut self, list: &ListKey, record: &ListRecord) -> Result<(), Infallible> {
        let before = self.kept.records.insert(list.clone(), record.clone());
        self.undo
            .push(Undo::Record(list.clone(), before.map(Box::new)));
        Ok(())
    }

    fn row(
        &mut self,
        list: &ListKey,
        generation: Generation,
        id: &ItemId,
    ) -> Result<Option<LocalRow>, Infallible> {
        Ok(self
            .rows(list, generation)
            .get(id)
            .map(|stored| stored.row.clone()))
    }

    fn put_row(
        &mut self,
        list: &ListKey,
        generation: Generation,
        row: &LocalRow,
        _likely: Likely,
    ) -> Result<Option<OldRow>, Infallible> {
        let before = self.rows(list, generation).get(&row.id);
        let mut row = row.clone();
        if row.payload.is_none()
            && let Some(before) = before
            && before.row.stamp == row.stamp
        {
            row.payload.clone_from(&before.row.payload);
        }
        let id = row.id.clone();
        let check = row_check(&row.id, &row.rank, row.stamp);
        let before = self.set(list, generation, &id, Some(StoredRow { row, check }));
        Ok(before.as_ref().map(old))
    }

    fn clear_payload(
        &mut self,
        list: &ListKey,
        generation: Generation,
        id: &ItemId,
    ) -> Result<(), Infallible> {
        if let Some(mut stored) = self.rows(list, generation).get(id).cloned() {
            stored.row.payload = None;
            self.set(list, generation, id, Some(stored));
        }
        Ok(())
    }

    fn delete_row(
        &mut self,
        list: &ListKey,
        generation: Generation,
        id: &ItemId,
    ) -> Result<Option<OldRow>, Infallible> {
        Ok(self.set(list, generation, id, None).as_ref().map(old))
    }

    fn rows_by_id(
        &mut self,
        list: &ListKey,
        generation: Generation,
        after: Option<&ItemId>,
        limit: usize,
    ) -> Result<Vec<StoredRow>, Infallible> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, |id| Excluded(id.clone()));
        let rows = self.rows(list, generation);
        Ok(rows
            .range((from, Unbounded))
            .take(limit)
            .map(|(_, row)| row.clone())
            .collect())
    }

    fn replace_generation(
        &mut self,
        list: &ListKey,
        from: Generation,
        to: Generation,
    ) -> Result<Changes, Infallible> {
        let mut before = self.take(list, from);
        let mut now = self.take(list, to);
        let mut changes = Vec::new();
        for (id, row) in &mut now {
            let was = before.remove(id);
            let same = was
                .as_ref()
                .is_some_and(|was| was.row.stamp == row.row.stamp);
            if let (true, Some(was), None) = (same, &was, &row.row.payload) {
                row.row.payload.clone_from(&was.row.payload);
            }
            let moved = was.as_ref().is_some_and(|was| was.row.rank != row.row.rank);
            if !same || moved {
                changes.push(RowChange {
                    id: id.clone(),
                    before: was.map(|was| was.row.rank),
                    after: Some(row.row.rank.clone()),
                });
            }
        }
        changes.extend(before.into_iter().map(|(id, was)| RowChange {
            id,
            before: Some(was.row.rank),
            after: None,
        }));
        self.kept.rows.insert((list.clone(), to), now);
        if changes.len() > CHANGES_MAX {
            Ok(Changes::Many)
        } else {
            Ok(Changes::Rows(changes))
        }
    }

    fn clear_generation(
        &mut self,
        list: &ListKey,
        generation: Generation,
    ) -> Result<(), Infallible> {
        self.take(list, generation);
        Ok(())
    }

    fn commit(mut self) -> Result<(), Infallible> {
        self.undo.clear();
        Ok(())
    }
}
