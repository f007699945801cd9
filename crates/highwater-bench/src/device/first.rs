//! The first sync: to the first page, to all of it, and in how much memory.

use super::{Device, PAGE_ROWS, database_in, in_order};
use crate::context::Context;
use crate::limits::bare_device::BareDevice;
use crate::load::Connection;
use crate::measure::{Samples, float, in_turns, micros};
use crate::report::{Goal, Row};
use crate::world::{DEVICE_ACCEPTS, World, asked, group, skeleton};
use anyhow::{Context as _, Result, bail, ensure};
use futures::executor::block_on;
use highwater_protocol::codec::Format;
use highwater_protocol::message::{Answer, ScanPosition, SyncResponse};
use highwater_protocol::wire;
use highwater_sdk::driver::{BoxFuture, Driver, Request, Response, Transport, TransportError};
use highwater_sdk::{Client, NativeConfig, Page, Traffic};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) fn page(context: &mut Context) -> Result<Vec<Row>> {
    let scale = context.scale.clone();
    let folder = context.folder()?;
    let world = context.world()?;
    let number = world.long_list(scale.device_rows)?;
    let mut times = Samples::default();
    // The first device warms the server up.
    for round in 0..=3 * scale.rounds {
        let path = folder.path().join(format!("{round}.db"));
        let mut shown = None;
        let took = micros(|| {
            let device = Device::open(world, &path, number)?;
            let page = block_on(device.members.page(None, PAGE_ROWS as usize))?;
            shown = Some((device, page));
            Ok(())
        })?;
        let (device, page) = shown.context("nothing was shown")?;
        ensure!(
            is_whole(&page),
            "the first page has {} rows, {} of them without details",
            page.rows.len(),
            page.lacking()
        );
        device.client.close();
        if round > 0 {
            times.push(took / 1e3);
        }
    }
    let rows = scale.device_rows;
    let (requests, bytes) = requests_to_first_page(world, number, folder.path())?;
    Ok(vec![
        Row::new("first.page", times.median(), "ms", times.count())
            .goal(&Goal::AtMost(10.0))
            .note(format!(
                "from no database to {PAGE_ROWS} rows with details of a list of {rows}"
            )),
        Row::new("first.page.requests", float(requests), "requests", 1)
            .goal(&Goal::AtMost(1.0))
            .note(format!("{bytes} bytes received")),
    ])
}

fn is_whole<T>(page: &Page<T>) -> bool {
    page.rows.len() == PAGE_ROWS as usize && page.lacking() == 0
}

/// How many requests a fresh device needs to show its first page, and the bytes
/// that it receives for it: devices are allowed one more each until it is
/// there.
fn requests_to_first_page(world: &World, number: u64, folder: &Path) -> Result<(u64, u64)> {
    for allowed in 1..=REQUESTS_MAX {
        let mut driver = Driver::native(NativeConfig::default())?;
        driver.transport = Arc::new(Allowance {
            transport: driver.transport,
            left: AtomicU64::new(allowed),
        });
        let builder = Client::builder()
            .server(format!("http://{}", world.address()?))
            .token(world.token()?)
            .database(folder.join(format!("allowed-{allowed}.db")))
            .driver(driver);
        let client = block_on(builder.build())?;
        let members = client.members(&group(number))?;
        let page = block_on(members.page(None, PAGE_ROWS as usize))?;
        let bytes = client.traffic().bytes_received;
        client.close();
        if is_whole(&page) {
            return Ok((allowed, bytes));
        }
    }
    bail!("{REQUESTS_MAX} requests brought no first page")
}

/// More requests than any first page may need.
const REQUESTS_MAX: u64 = 10;

/// Lets so many requests through; the server is not reached by any other.
struct Allowance {
    transport: Arc<dyn Transport>,
    left: AtomicU64,
}

impl Transport for Allowance {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        let spend = |left: u64| left.checked_sub(1);
        let spent = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        match spent {
            Ok(_) => self.transport.send(request),
            Err(_) => Box::pin(std::future::ready(Err(TransportError::Timeout {
                waited_ms: 0,
            }))),
        }
    }

    fn traffic(&self) -> Traffic {
        self.transport.traffic()
    }
}

pub(super) fn all(context: &mut Context) -> Result<Vec<Row>> {
    let scale = context.scale.clone();
    let folder = context.folder()?;
    let world = context.world()?;
    let rows = scale.device_rows;
    let number = world.long_list(rows)?;
    let items = in_order(number);
    let mut traffic = None;
    let mut ours = || {
        let path = database_in(folder.path());
        let mut synced = None;
        let took = micros(|| {
            let device = Device::open(world, &path, number)?;
            device.sync()?;
            synced = Some(device);
            Ok(())
        })?;
        if let Some(device) = synced {
            let count = device.members.count()?;
            ensure!(count == rows, "the device has {count} of {rows} rows");
            traffic = Some(device.client.traffic());
            device.client.close();
        }
        std::fs::remove_file(path)?;
        Ok(took / 1e3)
    };
    let mut limit = || {
        let folder = tempfile::tempdir_in(folder.path())?;
        let took = micros(|| {
            let mut bare = BareDevice::create(folder.path())?;
            bare.insert_all(items.iter().map(|item| (item, false)))
        })?;
        Ok(took / 1e3)
    };
    let turns = in_turns(scale.rounds, &mut [&mut ours, &mut limit])?;
    let traffic = traffic.context("nothing was synced")?;
    let (body, plain) = bodies(world, number)?;
    let each = |bytes: u64| float(bytes) / float(rows);
    Ok(vec![
        Row::new("first.all", turns.median(0), "ms", scale.rounds)
            .limit(turns.median(1))
            .goal(&Goal::RatioAtMost(2.0))
            .note(format!(
                "{rows} rows in {} requests, {} bytes received; {}",
                traffic.requests,
                traffic.bytes_received,
                turns.spread()
            )),
        Row::new("first.all.bytes", each(body), "bytes", 1)
            .goal(&Goal::AtMost(36.0))
            .note(format!(
                "an item, of the answers' bodies as devices ask for them; {:.1} before compression",
                each(plain)
            )),
    ])
}

/// Bytes of all pages of a skeleton: compressed, and not.
fn bodies(world: &World, number: u64) -> Result<(u64, u64)> {
    let mut connection = Connection::open(world.address()?)?;
    let (mut coded, mut plain) = (0, 0);
    let mut position = None;
    loop {
        let ask = asked(number, skeleton(position.clone()))?;
        let request = world.request(vec![ask.clone()], DEVICE_ACCEPTS)?;
        coded += connection.ask(&request)?.body.len() as u64;
        let request = world.request(vec![ask], "")?;
        let body = connection.ask(&request)?.body.to_vec();
        plain += body.len() as u64;
        let response: wire::SyncResponse = Format::Protobuf.decode(body.into())?;
        let response = SyncResponse::parse(response, 1)?;
        let Some(Answer::Scan(page)) = response.answers.into_iter().next().map(|one| one.answer)
        else {
            bail!("a scan was not answered with a page");
        };
        let Some(next) = page.next else {
            return Ok((coded, plain));
        };
        position = Some(ScanPosition {
            point: page.point,
            after: Some(next),
        });
    }
}

pub(super) fn memory(context: &mut Context) -> Result<Vec<Row>> {
    let rows = context.scale.memory_rows;
    let folder = context.folder()?;
    let world = context.world()?;
    let number = world.long_list(rows)?;
    let mut child = Command::new(std::env::current_exe()?);
    child
        .arg("--device")
        .arg(format!("http://{}", world.address()?))
        .arg(world.token()?)
        .arg(group(number))
        .arg(database_in(folder.path()));
    let mut said = String::new();
    let took = micros(|| {
        let output = child.output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the device failed: {errors}");
        said = String::from_utf8(output.stdout)?;
        Ok(())
    })?;
    let kib: u64 = said.trim().parse().context("the device said no number")?;
    Ok(vec![
        Row::new("device.memory", float(kib) / 1_024.0, "MiB", 1)
            .goal(&Goal::AtMost(64.0))
            .note(format!(
                "peak of a whole process that syncs {rows} items as a skeleton, in {:.1} s",
                took / 1e6
            )),
    ])
}
