//! A page of what changed after a cursor.

use crate::answer::{deletes_incomplete, row};
use crate::head::Head;
use crate::planted::{Bug, is};
use crate::reads::{Change, PageLimit, Reads};
use highwater_protocol::message::{Cursor, Delta, DeltaEnd};
use highwater_protocol::{ListKey, Version};

/// Reads the next page of a list's changes after `cursor`, which is of the
/// head's lineage and below its version.
///
/// A tombstone whose element appeared after the cursor is left out: that device
/// never saw the element. Up to `details` rows come with their payload.
pub(crate) async fn delta<R: Reads>(
    reads: &R,
    list: &ListKey,
    head: &Head,
    cursor: &Cursor,
    details: Option<u32>,
    limit: PageLimit,
) -> Result<Delta, R::Error> {
    let from = cursor.point.version;
    let mut page = reads.changes(list, from, limit).await?;
    let to = match page.rows.last() {
        Some(last) if page.more => last.version(),
        // Changes below the head may be purged tombstones: the last page ends
        // at the head, whatever the last row was.
        _ => head.version,
    };
    if is(Bug::DeltaEndsEarly) && !page.more {
        page.rows.pop();
    }
    let end = if to < head.version {
        DeltaEnd::More(head.version)
    } else {
        DeltaEnd::Proof(head.digest, head.count)
    };
    let mut with_payload = details.map_or(usize::MAX, |details| details as usize);
    let mut delta = Delta {
        rows: Vec::new(),
        deleted: Vec::new(),
        to,
        end,
        deletes_incomplete: deletes_incomplete(head, from),
    };
    for change in page.rows {
        match change {
            Change::Put(item) => {
                delta.rows.push(row(item, with_payload > 0));
                with_payload = with_payload.saturating_sub(1);
            }
            Change::Deleted(_) if is(Bug::SkippedTombstone) => {}
            Change::Deleted(tombstone) if was_seen(tombstone.created, from) => {
                delta.deleted.push(tombstone.id);
            }
            Change::Deleted(_) => {}
        }
    }
    Ok(delta)
}

/// Whether a device at `cursor` can hold an element that appeared at `created`.
fn was_seen(created: Version, cursor: Version) -> bool {
    created < cursor || (created == cursor && !is(Bug::CreatedOffByOne))
}
