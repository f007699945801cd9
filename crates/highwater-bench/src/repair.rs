//! Repairs: what it costs to find out in what two copies differ, and to mend
//! that, in bytes, requests and CPU of both sides; beside the whole skeleton,
//! and beside the list of all ids that OpenIM's clients fetch when they find
//! that they are wrong.

mod bed;

use crate::bench::Bench;
use crate::context::Context;
use crate::generator::item;
use crate::measure::{Samples, float, in_turns, thread_cpu};
use crate::report::{Goal, Row};
use anyhow::{Context as _, Result, ensure};
use bed::{Bed, Cost, DATABASE};
use highwater_core::local::Rung;
use highwater_core::sketch::{Encoder, FIRST_CELLS, Salt, element_of};
use highwater_core::stamp::stamp_of;
use highwater_protocol::message::SketchId;
use highwater_protocol::{Lineage, Point, Stamp, Version};
use rusqlite::Connection;
use std::time::Duration;

/// The length that the goals are for.
const JUDGED: u64 = 100_000;
/// Bytes of a cell in the paper's form, and cells for each element that differs.
const CELL_BYTES: f64 = 17.0;
const CELLS_EACH: f64 = 1.35;
/// Repairs whose recomputation is measured apart: bytes vary, this does not.
const RECOMPUTED: usize = 9;

/// The benches of this file.
pub(crate) const BENCHES: &[Bench] = &[
    Bench {
        name: "repair.100k",
        about: "a device whose copy of 100,000 is wrong in 1 to 10,000 items: bytes, requests, CPU of both sides; beside the skeleton and OpenIM's list of ids",
        run: |context| repair(context, JUDGED),
    },
    Bench {
        name: "repair.10k",
        about: "the same in a list of 10,000",
        run: |context| repair(context, 10_000),
    },
    Bench {
        name: "repair.1m",
        about: "the same in a list of 1,000,000",
        run: |context| repair(context, 1_000_000),
    },
    Bench {
        name: "repair.encode",
        about: "CPU of the first encoding of a list, from stamps in memory and from the database",
        run: encode,
    },
];

/// What is allowed beyond the items themselves for so many changed items:
/// bytes, and requests.
const fn allowed(changed: u64) -> Option<(f64, f64)> {
    match changed {
        1 => Some((1_000.0, 2.0)),
        10 => Some((1_600.0, 2.0)),
        100 => Some((10_000.0, 3.0)),
        1_000 => Some((90_000.0, 4.0)),
        _ => None,
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn repair(context: &mut Context, number: u64) -> Result<Vec<Row>> {
    // A quick run has no lists as long as that.
    let number = match context.scale.quick {
        true => context.scale.longest(),
        false => number,
    };
    let mut bed = Bed::new(context, number)?;
    let mut rows = skeleton(context, &mut bed, number)?;
    for changed in [1, 10, 100, 1_000, 10_000] {
        if changed <= number {
            rows.extend(changed_items(context, &mut bed, number, changed)?);
        }
    }
    Ok(rows)
}

/// What the next rung, and another system, pay for the same knowledge.
fn skeleton(context: &mut Context, bed: &mut Bed, number: u64) -> Result<Vec<Row>> {
    bed.damage(1)?;
    bed.offer_sketches(false);
    let cost = bed.sync(context)?;
    bed.offer_sketches(true);
    ensure!(cost.rung == Some(Rung::Skeleton), "{cost:?}");
    let ids = |index| item(number, index, 0).id.as_str().len() as u64 + 3;
    let openim: u64 = (0..number).map(ids).sum();
    Ok(vec![
        Row::new(format!("repair.skeleton.bytes.{number}"), float(cost.beyond_items()), "bytes", 1)
            .note(format!("bodies up and down, {} requests; server {:.0} ms, device {:.0} ms of CPU", cost.requests, millis(cost.server), millis(cost.device))),
        Row::new(format!("repair.openim.bytes.{number}"), float(openim), "bytes", 1)
            .note("computed: the ids as a JSON array; the rows that changed are not found by it, and are fetched whole in pages"),
    ])
}

/// Repairs of one size, in a list of one length.
fn changed_items(
    context: &mut Context,
    bed: &mut Bed,
    number: u64,
    changed: u64,
) -> Result<Vec<Row>> {
    let rounds = match (context.scale.quick, number, changed) {
        (true, ..) => 2,
        (_, JUDGED, ..=10) => 100,
        (_, JUDGED, ..=1_000) => 30,
        (_, JUDGED, _) | (_, ..JUDGED, _) => 10,
        _ => 3,
    };
    crate::progress(&format!("{rounds} repairs of {changed} in {number}"));
    let mut costs: Vec<Cost> = Vec::new();
    let mut rung_cpu = Samples::default();
    for round in 0..=rounds {
        bed.damage(changed)?;
        let cost = bed.sync(context)?;
        // The first has the encoding made, the others find it.
        if round == 0 {
            continue;
        }
        if rung_cpu.count() < RECOMPUTED {
            let recompute = bed.recompute()?;
            bed.sync(context)?;
            rung_cpu.push(millis(cost.device.saturating_sub(recompute)));
        }
        costs.push(cost);
    }
    let median = |value: &dyn Fn(&Cost) -> f64| {
        let mut samples = Samples::default();
        costs.iter().for_each(|cost| samples.push(value(cost)));
        samples.median()
    };
    let rung = costs
        .first()
        .and_then(|cost| cost.rung)
        .context("nothing was wrong")?;
    let n = costs.len();
    let cells = 2.0 * float(changed) * CELLS_EACH * CELL_BYTES;
    let name = |what: &str| match number {
        JUDGED => format!("repair.{what}.{changed}"),
        _ => format!("repair.{what}.{changed}x{number}"),
    };
    let bytes = Row::new(name("bytes"), median(&|cost| float(cost.beyond_items())), "bytes", n)
        .limit(cells)
        .note(format!(
            "bodies beyond the {} bytes of items: {} down, {} up; rung {}; limit: 1.35 cells of 17 bytes for each of {} elements",
            median(&|cost| float(cost.items)),
            median(&|cost| float(cost.down - cost.items)),
            median(&|cost| float(cost.up)),
            rung.as_str(),
            2 * changed,
        ));
    let requests = Row::new(
        name("requests"),
        median(&|cost| float(cost.requests)),
        "requests",
        n,
    );
    let server = Row::new(name("server"), median(&|cost| micros(cost.server)), "µs", n)
        .note("CPU from a cached sketch, all requests of the repair, without HTTP");
    let device = Row::new(name("device"), rung_cpu.median(), "ms", rung_cpu.count()).note(format!(
        "CPU of the sketch rung, without the recomputation before it ({:.0} ms in all)",
        median(&|cost| millis(cost.device))
    ));
    if number != JUDGED {
        return Ok(vec![bytes, requests, server, device]);
    }
    let device = match changed {
        100 => {
            let limit = read_stamps(bed)?;
            device.limit(limit).goal(&Goal::RatioAtMost(3.0))
        }
        _ => device,
    };
    let server = match changed {
        1 => server.goal(&Goal::AtMost(50.0)),
        _ => server,
    };
    let (bytes, requests) = match allowed(changed) {
        Some((most, asked)) => (
            bytes.goal(&Goal::AtMost(most)),
            requests.goal(&Goal::AtMost(asked)),
        ),
        None => (bytes, requests),
    };
    Ok(vec![bytes, requests, server, device])
}

/// What SQLite alone takes to read all ids and stamps, in milliseconds of CPU.
fn read_stamps(bed: &Bed) -> Result<f64> {
    let conn = Connection::open(bed.folder.path().join(DATABASE))?;
    let mut statement = conn.prepare("SELECT id, stamp FROM row ORDER BY list, generation, id")?;
    let mut read = || {
        let began = thread_cpu();
        let mut rows = statement.query([])?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            bytes += row.get_ref(0)?.as_str()?.len() + row.get_ref(1)?.as_blob()?.len();
        }
        ensure!(bytes > 0, "no row was read");
        Ok(millis(thread_cpu() - began))
    };
    Ok(in_turns(5, &mut [&mut read])?.median(0))
}

fn encode(context: &mut Context) -> Result<Vec<Row>> {
    let number = context.scale.device_rows;
    let rounds = context.scale.rounds;
    let stamps: Vec<Stamp> = (0..number)
        .map(|index| item(number, index, 0))
        .map(|item| stamp_of(&item.id, &item.rank, &item.payload))
        .collect();
    let id = SketchId {
        point: Point {
            lineage: Lineage::new(1).context("zero")?,
            version: Version::ZERO,
        },
        salt: Salt(1),
    };
    let mut from_memory = || {
        let began = thread_cpu();
        let elements = stamps.iter().map(|stamp| element_of(&id, *stamp));
        let cells = Encoder::new(elements).next_cells(FIRST_CELLS);
        ensure!(cells.len() == FIRST_CELLS, "cells are missing");
        Ok(millis(thread_cpu() - began))
    };
    let memory = in_turns(rounds, &mut [&mut from_memory])?.median(0);
    let bed = Bed::new(context, number)?;
    let mut from_disk = || Ok(millis(bed.encode(context)?.1));
    let disk = in_turns(rounds, &mut [&mut from_disk])?.median(0);
    bed.forget_encoding();
    Ok(vec![
        Row::new("repair.encode", memory, "ms", rounds)
            .goal(&Goal::AtMost(30.0))
            .note(format!(
                "CPU for {number} stamps in memory: elements and the first {FIRST_CELLS} cells"
            )),
        Row::new("repair.encode.store", disk, "ms", rounds)
            .note("CPU with reading the list from SQLite"),
    ])
}
