//! Opening and paging: what an app waits for before it shows something.

use super::{Device, PAGE_ROWS, Synced};
use crate::context::Context;
use crate::generator::{Item, Numbers};
use crate::limits::bare_device::BareDevice;
use crate::measure::{float, in_turns, micros};
use crate::report::{Goal, Row};
use anyhow::{Result, ensure};
use futures::executor::block_on;
use highwater_protocol::OrderKey;

/// What opening may take beside 1.5 times the limit, in milliseconds.
const OPEN_MS: f64 = 2.0;

pub(super) fn open_page(context: &mut Context) -> Result<Vec<Row>> {
    let rounds = 3 * context.scale.rounds;
    let synced = Synced::new(context, false)?;
    let items = synced.items();
    let mut bare = BareDevice::create(synced.folder.path())?;
    bare.insert_all(items.iter().enumerate().map(|(at, item)| (item, at < 100)))?;
    bare.checkpoint()?;
    drop(bare);
    let world = context.world()?;
    let mut ours = || {
        let mut opened = None;
        let took = micros(|| {
            let device = Device::open(world, &synced.database(), synced.rows)?;
            let page = block_on(device.members.page(None, PAGE_ROWS as usize))?;
            opened = Some((device, page));
            Ok(())
        })?;
        if let Some((device, page)) = opened {
            ensure!(page.rows.len() == PAGE_ROWS as usize, "the page is short");
            ensure!(page.lacking() == 0, "the page lacks details");
            let requests = device.client.traffic().requests;
            ensure!(requests == 0, "opening sent {requests} requests");
            device.client.close();
        }
        Ok(took / 1e3)
    };
    let mut limit = || {
        let took = micros(|| {
            let bare = BareDevice::open(synced.folder.path())?;
            let page = bare.page(b"", "", PAGE_ROWS)?;
            ensure!(page.len() == PAGE_ROWS as usize, "the page is short");
            Ok(())
        })?;
        Ok(took / 1e3)
    };
    let turns = in_turns(rounds, &mut [&mut ours, &mut limit])?;
    let limit = turns.median(1);
    let goal = Goal::AtMostBy(
        OPEN_MS + 1.5 * limit,
        "2 ms + 1.5 times the limit".to_owned(),
    );
    Ok(vec![
        Row::new("open.page", turns.median(0), "ms", rounds)
            .limit(limit)
            .goal(&goal)
            .note(format!(
                "{} rows; opened, the first {PAGE_ROWS} read with details, no request",
                synced.rows
            )),
    ])
}

pub(super) fn page_deep(context: &mut Context) -> Result<Vec<Row>> {
    let (rounds, repeats) = (context.scale.rounds, context.scale.repeats);
    let synced = Synced::new(context, true)?;
    let items = synced.items();
    let mut bare = BareDevice::create(synced.folder.path())?;
    bare.insert_all(items.iter().map(|item| (item, true)))?;
    bare.checkpoint()?;
    let world = context.world()?;
    let device = Device::open(world, &synced.database(), synced.rows)?;
    let last_place = synced.rows - u64::from(PAGE_ROWS) - 1;
    let places = |name: u64| {
        let mut numbers = Numbers::named(name);
        let items = &items;
        move || usize::try_from(numbers.below(last_place)).map(|at| &items[at])
    };
    same_page(&device, &bare, places(6)()?)?;
    let (mut our_places, mut bare_places) = (places(7), places(7));
    let mut ours = || {
        let total = micros(|| {
            for _ in 0..repeats {
                let item = our_places()?;
                let key = OrderKey::new(item.rank.clone(), item.id.clone());
                let page = block_on(device.members.page(Some(&key), PAGE_ROWS as usize))?;
                ensure!(
                    page.rows.len() == PAGE_ROWS as usize && page.lacking() == 0,
                    "the page is short, or lacks details"
                );
            }
            Ok(())
        })?;
        Ok(total / float(repeats as u64))
    };
    let mut limit = || {
        let total = micros(|| {
            for _ in 0..repeats {
                let item = bare_places()?;
                let page = bare.page(item.rank.as_bytes(), item.id.as_str(), PAGE_ROWS)?;
                ensure!(page.len() == PAGE_ROWS as usize, "the page is short");
            }
            Ok(())
        })?;
        Ok(total / float(repeats as u64))
    };
    let turns = in_turns(rounds, &mut [&mut ours, &mut limit])?;
    let requests = device.client.traffic().requests;
    ensure!(requests == 0, "paging sent {requests} requests");
    Ok(vec![
        Row::new("page.deep", turns.median(0), "µs", rounds)
            .limit(turns.median(1))
            .goal(&Goal::RatioAtMost(2.0))
            .note(format!(
                "{PAGE_ROWS} rows anywhere in {}, decoded and each checked by its stamp; {}",
                synced.rows,
                turns.spread()
            )),
    ])
}

/// Fails unless both databases have the same rows behind an item.
fn same_page(device: &Device, bare: &BareDevice, item: &Item) -> Result<()> {
    let key = OrderKey::new(item.rank.clone(), item.id.clone());
    let ours = block_on(device.members.page(Some(&key), PAGE_ROWS as usize))?;
    let bare = bare.page(item.rank.as_bytes(), item.id.as_str(), PAGE_ROWS)?;
    let same = ours.rows.iter().zip(&bare).all(|(row, bare)| {
        row.id() == bare.id
            && row.key.rank.as_bytes() == bare.rank
            && row.payload.as_deref() == bare.payload.as_deref()
    });
    ensure!(
        same && ours.rows.len() == bare.len(),
        "the two databases differ behind {:?}",
        item.id.as_str()
    );
    Ok(())
}
