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

/// A transaction on a [`MemoryLocal`]: a copy that replaces it at commit.
#[derive(Debug)]
pub struct MemoryTxn<'a> {
    kept: &'a mut MemoryLocal,
    new: MemoryLocal,
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
        let new = self.clone();
        Ok(MemoryTxn { kept: self, new })
    }
}

impl MemoryTxn<'_> {
    fn rows(&mut self, list: &ListKey, generation: Generation) -> &mut Rows {
        self.new.rows.entry((list.clone(), generation)).or_default()
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
        Ok(self.new.records.get(list).cloned())
    }

    fn save_record(&mut self, list: &ListKey, record: &ListRecord) -> Result<(), Infallible> {
        self.new.records.insert(list.clone(), record.clone());
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
        let rows = self.rows(list, generation);
        let before = rows.get(&row.id);
        let mut row = row.clone();
        if row.payload.is_none()
            && let Some(before) = before
            && before.row.stamp == row.stamp
        {
            row.payload.clone_from(&before.row.payload);
        }
        let replaced = before.map(old);
        let check = row_check(&row.id, &row.rank, row.stamp);
        rows.insert(row.id.clone(), StoredRow { row, check });
        Ok(replaced)
    }

    fn clear_payload(
        &mut self,
        list: &ListKey,
        generation: Generation,
        id: &ItemId,
    ) -> Result<(), Infallible> {
        if let Some(stored) = self.rows(list, generation).get_mut(id) {
            stored.row.payload = None;
        }
        Ok(())
    }

    fn delete_row(
        &mut self,
        list: &ListKey,
        generation: Generation,
        id: &ItemId,
    ) -> Result<Option<OldRow>, Infallible> {
        Ok(self.rows(list, generation).remove(id).as_ref().map(old))
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
        let mut before = self
            .new
            .rows
            .remove(&(list.clone(), from))
            .unwrap_or_default();
        let mut changes = Vec::new();
        for (id, now) in self.rows(list, to).iter_mut() {
            let was = before.remove(id);
            let same = was
                .as_ref()
                .is_some_and(|was| was.row.stamp == now.row.stamp);
            if let (true, Some(was), None) = (same, &was, &now.row.payload) {
                now.row.payload.clone_from(&was.row.payload);
            }
            let moved = was.as_ref().is_some_and(|was| was.row.rank != now.row.rank);
            if !same || moved {
                changes.push(RowChange {
                    id: id.clone(),
                    before: was.map(|was| was.row.rank),
                    after: Some(now.row.rank.clone()),
                });
            }
        }
        changes.extend(before.into_iter().map(|(id, was)| RowChange {
            id,
            before: Some(was.row.rank),
            after: None,
        }));
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
        self.new.rows.remove(&(list.clone(), generation));
        Ok(())
    }

    fn commit(self) -> Result<(), Infallible> {
        *self.kept = self.new;
        Ok(())
    }
}
