//! The device: what applying, opening, paging and a first sync cost beside
//! SQLite alone doing the same.

mod apply;
mod first;
mod reading;

use crate::bench::Bench;
use crate::context::Context;
use crate::generator::{Item, item};
use crate::world::{World, group};
use anyhow::{Context as _, Result, ensure};
use futures::executor::block_on;
use highwater_sdk::{Client, List, Members, Status};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Rows of the pages that are read.
const PAGE_ROWS: u32 = 50;

/// The benches of this file.
pub(crate) const BENCHES: &[Bench] = &[
    Bench {
        name: "apply.1",
        about: "a device applies a delta of 1; limit: bare rusqlite, the same statements",
        run: apply::one,
    },
    Bench {
        name: "apply.10k",
        about: "a device applies a delta of 10,000; limit: bare rusqlite, the same statements",
        run: apply::many,
    },
    Bench {
        name: "open.page",
        about: "a device opens its database and returns the first 50 rows; limit: bare rusqlite",
        run: reading::open_page,
    },
    Bench {
        name: "page.deep",
        about: "a page of 50 anywhere in the list; limit: bare rusqlite by key cursor",
        run: reading::page_deep,
    },
    Bench {
        name: "first.page",
        about: "a fresh device to the first 50 rows, server on loopback",
        run: first::page,
    },
    Bench {
        name: "first.all",
        about: "a fresh device to the whole skeleton, digest equal; limit: one bulk insert",
        run: first::all,
    },
    Bench {
        name: "device.memory",
        about: "peak memory of a process that syncs a list of 1,000,000 for the first time",
        run: first::memory,
    },
];

/// A client on a database of its own.
struct Device {
    client: Client,
    members: List<Members>,
}

impl Device {
    /// Opens the database at `path` as a device of the world's reader, with
    /// the members of the group of this number.
    fn open(world: &World, path: &Path, number: u64) -> Result<Self> {
        Self::open_whole(world, path, number, 2_000)
    }

    /// The same, keeping lists of up to `whole_up_to` items with all details.
    fn open_whole(world: &World, path: &Path, number: u64, whole_up_to: u64) -> Result<Self> {
        let builder = Client::builder()
            .server(format!("http://{}", world.address()?))
            .token(world.token()?)
            .database(path)
            .whole_up_to(whole_up_to);
        let client = block_on(builder.build())?;
        let members = client.members(&group(number))?;
        Ok(Self { client, members })
    }

    /// Syncs until the copy is proved equal.
    fn sync(&self) -> Result<()> {
        let report = block_on(self.members.sync())?;
        let status = self.members.status()?;
        ensure!(
            report.in_sync == 1 && matches!(status, Status::InSync { .. }),
            "the device is not in sync: {status:?}"
        );
        Ok(())
    }
}

/// A device's database that is in sync with a list, and closed.
struct Synced {
    folder: TempDir,
    /// The list's number and length.
    rows: u64,
}

impl Synced {
    fn new(context: &mut Context, whole: bool) -> Result<Self> {
        let rows = context.scale.device_rows;
        let folder = context.folder()?;
        let world = context.world()?;
        world.long_list(rows)?;
        let whole_up_to = if whole { rows + 1 } else { 2_000 };
        let device = Device::open_whole(world, &database_in(folder.path()), rows, whole_up_to)?;
        device.sync()?;
        let count = device.members.count()?;
        ensure!(count == rows, "the device has {count} of {rows} rows");
        device.client.close();
        Ok(Self { folder, rows })
    }

    fn database(&self) -> PathBuf {
        database_in(self.folder.path())
    }

    /// The list's items, in its order.
    fn items(&self) -> Vec<Item> {
        in_order(self.rows)
    }
}

/// The items of the long list of this number, in its order: as a device
/// receives them.
fn in_order(number: u64) -> Vec<Item> {
    let mut items: Vec<_> = (0..number).map(|index| item(number, index, 0)).collect();
    items.sort_by(|a, b| (&a.rank, &a.id).cmp(&(&b.rank, &b.id)));
    items
}

fn database_in(folder: &Path) -> PathBuf {
    folder.join("device.db")
}

/// What `highwater-bench --device` does: syncs as a process of its own, and
/// says its peak memory in KiB.
///
/// # Errors
/// The sync failed.
pub(crate) fn run_alone(url: &str, token: &str, group: &str, database: &Path) -> Result<u64> {
    let builder = Client::builder()
        .server(url)
        .token(token)
        .database(database);
    let client = block_on(builder.build())?;
    let members = client.members(group)?;
    let report = block_on(members.sync())?;
    ensure!(report.in_sync == 1, "the device is not in sync: {report:?}");
    client.close();
    crate::program::status_kib("self", "VmHWM:").context("cannot read the peak memory")
}
