//! I3: the store has what was acknowledged, in every list, and nothing else.

use super::{Invariant, Verdict, Violation, demand};
use crate::model::{List, Model};
use crate::server::Server;
use highwater_core::reads::{Change, ListState};
use highwater_protocol::ListKey;

/// Judges how the lists stand, from the database and from memory.
pub(crate) fn judge_heads(model: &Model, server: &Server, lists: &[ListKey]) -> Verdict {
    let unreadable = |error| Violation::new(Invariant::I3, format!("no heads: {error}"));
    let (states, cached) = server.states(lists).map_err(unreadable)?;
    for (list, state) in lists.iter().zip(&states) {
        judge_state(model, list, *state, "the database")?;
    }
    for (list, state) in lists.iter().zip(cached.iter().flatten()) {
        judge_state(model, list, *state, "the heads in memory")?;
    }
    Ok(())
}

/// Judges how a list stands.
pub(crate) fn judge_state(
    model: &Model,
    list: &ListKey,
    state: ListState,
    source: &str,
) -> Verdict {
    let right = model.state(list);
    demand(state == right, Invariant::I3, || {
        format!("{list} is {state:?} in {source}, and should be {right:?}")
    })
}

/// Judges every element and tombstone of the lists.
pub(crate) fn judge_contents(model: &Model, server: &Server, lists: &[ListKey]) -> Verdict {
    judge_heads(model, server, lists)?;
    for list in lists {
        let Some(List::Live { live, .. }) = model.get(list) else {
            continue;
        };
        let unreadable = |error| Violation::new(Invariant::I3, format!("{list}: {error}"));
        let (items, changes) = server.contents(list).map_err(unreadable)?;
        let there: Vec<_> = items
            .iter()
            .map(|item| (&item.id, &item.rank, item.stamp, &item.payload))
            .collect();
        let right: Vec<_> = live
            .in_order()
            .into_iter()
            .map(|(id, item)| (id, &item.rank, item.stamp, &item.payload))
            .collect();
        demand(there == right, Invariant::I3, || {
            format!(
                "{list} has {} elements, and should have {}, or other ones",
                there.len(),
                right.len()
            )
        })?;
        let versions = items.iter().all(|item| {
            live.items.get(&item.id).is_some_and(|right| {
                (item.version.get(), item.created.get()) == (right.version, right.created)
            })
        });
        demand(versions, Invariant::I3, || {
            format!("{list} has elements of other versions")
        })?;
        let mut deleted: Vec<_> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Deleted(old) => Some((&old.id, old.version.get(), old.created.get())),
                Change::Put(_) => None,
            })
            .collect();
        deleted.sort();
        let right: Vec<_> = live
            .tombstones
            .iter()
            .map(|(id, old)| (id, old.version, old.created))
            .collect();
        demand(deleted == right, Invariant::I3, || {
            format!("{list} has the tombstones {deleted:?}, and should have {right:?}")
        })?;
    }
    Ok(())
}
