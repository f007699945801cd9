//! Pages of deltas and scans, and the rows in them.

use super::{Case, Head, wrong};
use crate::check::{Invariant, Verdict, demand};
use crate::model::{Element, Live};
use highwater_protocol::message::{
    Content, Cursor, Delta, DeltaEnd, ListRequest, Row, Scan, ScanPage,
};
use highwater_protocol::{ItemId, OrderKey};

/// A row that came is the list's element, whole or as a stamp.
pub(super) fn is_element(live: &Live, row: &Row, whole: Option<bool>) -> Verdict {
    let Some(item) = live.items.get(&row.id) else {
        return Err(wrong(format!("{:?} is not in the list", row.id)));
    };
    let item: &Element = item;
    let (right, came_whole) = match &row.content {
        Content::Payload(payload) => (*payload == item.payload, true),
        Content::Stamp(stamp) => (*stamp == item.stamp, false),
    };
    demand(row.rank == item.rank && right, Invariant::I5, || {
        format!("{:?} has other content", row.id)
    })?;
    demand(
        whole.is_none_or(|whole| whole == came_whole),
        Invariant::I5,
        || format!("{:?} came whole: {came_whole}", row.id),
    )
}

pub(super) fn details(live: &Live, request: &ListRequest, details: &[Row]) -> Verdict {
    let there = |id: &&ItemId| live.items.contains_key(*id);
    let any = request.details.iter().find(there).is_some();
    demand(!any || !details.is_empty(), Invariant::I5, || {
        "none of the details that are there".to_owned()
    })?;
    for row in details {
        demand(request.details.contains(&row.id), Invariant::I5, || {
            format!("the detail {:?} was not asked for", row.id)
        })?;
        is_element(live, row, Some(true))?;
    }
    Ok(())
}

pub(super) fn delta_page(
    case: &Case<'_>,
    request: &ListRequest,
    head: &Head<'_>,
    cursor: &Cursor,
    delta: &Delta,
) -> Verdict {
    let live = head.live;
    let (from, to) = (cursor.point.version.get(), delta.to.get());
    let last = to == live.version;
    let end = match last {
        true => DeltaEnd::Proof(head.digest, live.count()),
        false => DeltaEnd::More(highwater_protocol::Version::new(live.version)),
    };
    demand(
        from < to && to <= live.version && delta.end == end,
        Invariant::I5,
        || format!("a page that ends at {to} ends with {end:?}"),
    )?;
    demand(
        delta.deletes_incomplete == (from < live.floor),
        Invariant::I5,
        || format!("deletions below {} are lost", live.floor),
    )?;
    let within = |version: u64| from < version && version <= to;
    let mut rows: Vec<_> = live
        .items
        .iter()
        .filter(|(_, item)| within(item.version))
        .map(|(id, item)| (item.version, id))
        .collect();
    rows.sort_unstable();
    let mut scanned = rows.len();
    let mut deleted: Vec<_> = live
        .tombstones
        .iter()
        .filter(|(_, old)| within(old.version))
        .inspect(|_| scanned += 1)
        .filter(|(_, old)| old.created <= from)
        .map(|(id, old)| (old.version, id))
        .collect();
    deleted.sort_unstable();
    let page_rows = case.request.page_rows;
    demand(
        scanned <= page_rows && (last || case.tight || scanned == page_rows),
        Invariant::I5,
        || format!("a page of {scanned} changes where {page_rows} fit"),
    )?;
    let ids =
        |rows: &[(u64, &ItemId)]| rows.iter().map(|(_, id)| (*id).clone()).collect::<Vec<_>>();
    let there: Vec<_> = delta.rows.iter().map(|row| row.id.clone()).collect();
    demand(there == ids(&rows), Invariant::I5, || {
        format!("the rows to {to} are {:?}", ids(&rows))
    })?;
    demand(delta.deleted == ids(&deleted), Invariant::I5, || {
        format!("the deletions to {to} are {:?}", ids(&deleted))
    })?;
    let whole = request
        .delta_details
        .map_or(usize::MAX, |most| most as usize);
    for (at, row) in delta.rows.iter().enumerate() {
        is_element(live, row, Some(at < whole))?;
    }
    Ok(())
}

pub(super) fn scan_page(case: &Case<'_>, head: &Head<'_>, scan: &Scan, page: &ScanPage) -> Verdict {
    let live = head.live;
    let (began, after) = match &scan.position {
        None => (live.version, None),
        Some(at) => (at.point.version.get(), at.after.as_ref()),
    };
    let whole = live.count() <= scan.whole_up_to;
    let done = page.next.is_none();
    let proof = (done && began == live.version).then_some(head.digest);
    demand(
        page.point.lineage == live.lineage
            && page.point.version.get() == began
            && page.total == live.count()
            && page.whole == whole
            && page.proof == proof,
        Invariant::I5,
        || {
            format!(
                "a page of version {began}, of {} rows, proof {proof:?}",
                live.count()
            )
        },
    )?;
    let key = |id: &ItemId, item: &Element| OrderKey::new(item.rank.clone(), id.clone());
    let behind = |at: &OrderKey| after.is_none_or(|after| after < at);
    let before = |at: &OrderKey| page.next.as_ref().is_none_or(|next| at <= next);
    let mut scanned = 0;
    let mut expected = Vec::new();
    for (id, item) in live.in_order() {
        let at = key(id, item);
        if behind(&at) && before(&at) {
            scanned += 1;
            if item.version <= began {
                expected.push(id.clone());
            }
        }
    }
    let page_rows = case.request.page_rows;
    demand(
        scanned <= page_rows && (done || case.tight || scanned == page_rows),
        Invariant::I5,
        || format!("a page of {scanned} rows where {page_rows} fit"),
    )?;
    let there: Vec<_> = page.rows.iter().map(|row| row.id.clone()).collect();
    demand(there == expected, Invariant::I5, || {
        format!("the page's rows are {expected:?}")
    })?;
    for (at, row) in page.rows.iter().enumerate() {
        is_element(live, row, Some(whole || at < scan.details as usize))?;
    }
    Ok(())
}
