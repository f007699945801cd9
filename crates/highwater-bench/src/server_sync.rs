//! The server as devices that sync see it: how many checks and catch-ups it
//! answers, in how many bytes, and what that costs as lists grow.

use crate::bench::Bench;
use crate::context::Context;
use crate::generator::item;
use crate::load::{Connection, Prepared, rate};
use crate::measure::{Measured, float, in_turns, micros, others_cpu, thread_cpu};
use crate::report::{Goal, Row};
use crate::world::{DEVICE_ACCEPTS, request};
use anyhow::{Result, bail, ensure};
use highwater_protocol::codec::Format;
use highwater_protocol::message::{Answer, SyncResponse};
use highwater_protocol::{limits, wire};
use std::time::Duration;

/// Connections that ask at once.
const CONNECTIONS: usize = 64;
/// What `catchup.bytes` allows beside the items' own bytes: for the answer, and
/// for each item.
const FRAME_BYTES: u64 = 48;
const ITEM_BYTES: u64 = 10;

/// The benches of this file.
pub(crate) const BENCHES: &[Bench] = &[
    Bench {
        name: "aligned.rps",
        about: "aligned checks a second, 64 connections; limit: bare axum and hyper",
        run: aligned_rps,
    },
    Bench {
        name: "aligned.bytes",
        about: "bytes of an aligned answer, for one list and for a large account",
        run: aligned_bytes,
    },
    Bench {
        name: "catchup.hot",
        about: "catch-ups of one change a second that many devices share; limit: bare axum and hyper",
        run: catchup_hot,
    },
    Bench {
        name: "catchup.cold",
        about: "catch-ups of one change a second, each another list on disk; limit: bare axum and hyper",
        run: catchup_cold,
    },
    Bench {
        name: "catchup.bytes",
        about: "bytes of the answer for 1, 10, 100, 1,000 changes; limit: the items' own",
        run: catchup_bytes,
    },
    Bench {
        name: "catchup.time",
        about: "time of a catch-up of 1 to 1,000 changes in lists of every length; limit: bare axum plus a bare index scan",
        run: catchup_time,
    },
    Bench {
        name: "catchup.cpu",
        about: "server CPU for each change of a large gap; limit: a bare index scan of the same rows",
        run: catchup_cpu,
    },
];

/// Rates of the server and of the bare one, in turns, and the CPU that each
/// took for a request.
struct Rates {
    row: Row,
    note: String,
}

/// Measures how many of `requests` (each time `count` of them, beginning with
/// another) are answered a second.
fn rates(
    context: &mut Context,
    name: &str,
    rounds: usize,
    count: usize,
    requests: &[Prepared],
) -> Result<Rates> {
    let bare = context.http()?.address();
    let address = context.world()?.address()?;
    let mut ours = Connection::open_all(address, CONNECTIONS)?;
    let mut limits = Connection::open_all(bare, CONNECTIONS)?;
    let (mut our_cpu, mut bare_cpu) = (Duration::ZERO, Duration::ZERO);
    let (mut our_first, mut bare_first) = (0, 0);
    let mut measure_ours = || {
        let from = our_first;
        our_first += count;
        let pick = |at: usize| &requests[(from + at) % requests.len()];
        let (rate, cpu) = others_cpu(|| rate(&mut ours, count, pick))?;
        our_cpu += cpu;
        Ok(rate)
    };
    let mut measure_bare = || {
        let from = bare_first;
        bare_first += count;
        let pick = |at: usize| &requests[(from + at) % requests.len()];
        let (rate, cpu) = others_cpu(|| rate(&mut limits, count, pick))?;
        bare_cpu += cpu;
        Ok(rate)
    };
    let turns = in_turns(rounds, &mut [&mut measure_ours, &mut measure_bare])?;
    let per_request = |cpu: Duration, sent: usize| cpu.as_secs_f64() * 1e6 / float(sent as u64);
    let note = format!(
        "{CONNECTIONS} connections; server CPU {:.1} µs a request, bare {:.1}; {}",
        per_request(our_cpu, our_first),
        per_request(bare_cpu, bare_first),
        turns.spread()
    );
    let row = Row::new(name, turns.median(0), "1/s", rounds).limit(turns.median(1));
    Ok(Rates { row, note })
}

fn aligned_rps(context: &mut Context) -> Result<Vec<Row>> {
    let (rounds, count) = (context.scale.rounds, context.scale.requests);
    let world = context.world()?;
    let users = world.own_lists(CONNECTIONS as u64)?;
    let requests = users
        .map(|user| {
            let lists = vec![world.cursor(user, 0)?];
            Ok(request(&world.token_of(user)?, lists, DEVICE_ACCEPTS))
        })
        .collect::<Result<Vec<_>>>()?;
    let Rates { row, note } = rates(context, "aligned.rps", rounds, count, &requests)?;
    Ok(vec![row.goal(&Goal::RatioAtLeast(0.85)).note(format!(
        "each of 64 users asks about their own list; {note}"
    ))])
}

fn aligned_bytes(context: &mut Context) -> Result<Vec<Row>> {
    let account = context.scale.account;
    let world = context.world()?;
    let lists: Vec<u64> = world.short_lists(account)?.collect();
    let mut connection = Connection::open(world.address()?)?;
    let mut bytes = |lists: &[u64]| {
        let (mut body, mut received, mut sent, mut requests) = (0, 0, 0, 0);
        for some in lists.chunks(limits::LISTS_PER_REQUEST) {
            let cursors = some.iter().map(|list| world.cursor(*list, 0));
            let request = world.request(cursors.collect::<Result<_>>()?, DEVICE_ACCEPTS)?;
            let reply = connection.ask(&request)?;
            body += reply.body.len();
            received += reply.bytes;
            sent += request.bytes();
            requests += 1;
        }
        let note = format!("{requests} request(s) of {sent} bytes; {received} received");
        Ok::<_, anyhow::Error>((float(body as u64), note))
    };
    let (one, one_note) = bytes(&lists[..1])?;
    let (all, all_note) = bytes(&lists)?;
    Ok(vec![
        Row::new("aligned.bytes.1", one, "bytes", 1)
            .goal(&Goal::AtMost(40.0))
            .note(one_note),
        Row::new(format!("aligned.bytes.{account}"), all, "bytes", 1)
            .goal(&Goal::AtMost(100.0))
            .note(format!(
                "{all_note}; one request needs the login tick, which is to come"
            )),
    ])
}

fn catchup_hot(context: &mut Context) -> Result<Vec<Row>> {
    let (rounds, count) = (context.scale.rounds, context.scale.requests);
    let length = context.scale.lengths[1];
    let world = context.world()?;
    let list = world.long_list(length)?;
    let requests = [world.request(vec![world.cursor(list, 1)?], DEVICE_ACCEPTS)?];
    let Rates { row, note } = rates(context, "catchup.hot", rounds, count, &requests)?;
    Ok(vec![row.goal(&Goal::RatioAtLeast(0.7)).note(format!(
        "all ask about one list of {length}, one change behind; {note}"
    ))])
}

fn catchup_cold(context: &mut Context) -> Result<Vec<Row>> {
    let (rounds, lists) = (context.scale.rounds, context.scale.short_lists);
    fill(context)?;
    let world = context.world()?;
    let numbers = world.short_lists(lists)?;
    // What was filled last would be in memory.
    world.restart()?;
    let mut requests = numbers
        .map(|list| world.request(vec![world.cursor(list, 1)?], DEVICE_ACCEPTS))
        .collect::<Result<Vec<_>>>()?;
    world.restart()?;
    let mut numbers = crate::generator::Numbers::named(1);
    for at in (1..requests.len()).rev() {
        let other = usize::try_from(numbers.below(at as u64 + 1))?;
        requests.swap(at, other);
    }
    // Each list is asked about once, the round that does not count included.
    let count = requests.len() / (rounds + 1);
    let Rates { row, note } = rates(context, "catchup.cold", rounds, count, &requests)?;
    let items = context.scale.lengths.iter().sum::<u64>() + lists * crate::world::SHORT_ITEMS;
    Ok(vec![row.goal(&Goal::RatioAtLeast(0.3)).note(format!(
        "{count} lists a round, each asked about once since the server started, {items} items on disk; {note}"
    ))])
}

/// Everything that the goals call "2 million items on disk".
fn fill(context: &mut Context) -> Result<()> {
    let scale = context.scale.clone();
    let world = context.world()?;
    for length in scale.lengths {
        world.long_list(length)?;
    }
    world.short_lists(scale.short_lists)?;
    Ok(())
}

fn catchup_bytes(context: &mut Context) -> Result<Vec<Row>> {
    let length = context.scale.lengths[context.scale.lengths.len() / 2];
    let world = context.world()?;
    let list = world.long_list(length)?;
    let mut connection = Connection::open(world.address()?)?;
    let mut rows = Vec::new();
    for changes in [1, 10, 100, 1_000] {
        let mut body = |accept_encoding: &str| {
            let request = world.request(vec![world.cursor(list, changes)?], accept_encoding)?;
            let reply = connection.ask(&request)?;
            Ok::<_, anyhow::Error>((reply.body.to_vec(), reply.bytes))
        };
        let (plain, plain_received) = body("")?;
        let (coded, received) = body(DEVICE_ACCEPTS)?;
        let plain_bytes = float(plain.len() as u64);
        ensure_brings(plain, changes)?;
        let own: usize = (length - changes..length)
            .map(|index| item(list, index, 0).own_bytes())
            .sum();
        let own = own as u64;
        let allowed = float(own + FRAME_BYTES + ITEM_BYTES * changes);
        let goal = Goal::AtMostBy(allowed, "the items' own + 48 + 10 each".to_owned());
        rows.push(
            Row::new(format!("catchup.bytes.{changes}"), plain_bytes, "bytes", 1)
                .limit(float(own))
                .goal(&goal)
                .note(format!(
                    "{plain_received} received; compressed {}, {received} received",
                    coded.len()
                )),
        );
    }
    Ok(rows)
}

/// Fails unless an answer is a delta of so many rows.
fn ensure_brings(body: Vec<u8>, changes: u64) -> Result<()> {
    let response: wire::SyncResponse = Format::Protobuf.decode(body.into())?;
    let response = SyncResponse::parse(response, 1)?;
    let Some(Answer::Delta(delta)) = response.answers.first().map(|one| &one.answer) else {
        bail!("a catch-up was not answered with a delta: {response:?}");
    };
    let rows = delta.rows.len();
    ensure!(rows as u64 == changes, "{rows} rows came, not {changes}");
    Ok(())
}

fn catchup_time(context: &mut Context) -> Result<Vec<Row>> {
    let scale = context.scale.clone();
    fill(context)?;
    let bare_http = context.http()?.address();
    let short = context.world()?.short_lists(scale.short_lists)?;
    let bare = context.take_bare(short)?;
    let world = context.world()?;
    let mut connection = Connection::open(world.address()?)?;
    let mut bare_connection = Connection::open(bare_http)?;
    let mut rows = Vec::new();
    let mut growth = Vec::new();
    for changes in [1_u64, 10, 100, 1_000] {
        let repeats = scale.repeats.min(2_000 / usize::try_from(changes)?).max(5);
        let per_repeat = |total: f64| total / float(repeats as u64);
        let mut requests = Vec::new();
        for length in &scale.lengths {
            let behind = changes.min(*length);
            requests.push(world.request(vec![world.cursor(*length, behind)?], DEVICE_ACCEPTS)?);
        }
        let connection = std::cell::RefCell::new(&mut connection);
        let mut ours: Vec<_> = requests
            .iter()
            .map(|request| {
                let connection = &connection;
                move || {
                    let mut connection = connection.borrow_mut();
                    let total = micros(|| {
                        (0..repeats).try_for_each(|_| connection.ask(request).map(drop))
                    })?;
                    Ok(per_repeat(total))
                }
            })
            .collect();
        let longest = scale.longest();
        let after = (longest - changes).cast_signed();
        let mut limit = || {
            let total = micros(|| {
                (0..repeats).try_for_each(|_| {
                    let read = bare.0.changes(longest, after, 1_000)?;
                    ensure!(read as u64 == changes, "the bare database read {read} rows");
                    bare_connection.ask(&requests[0]).map(drop)
                })
            })?;
            Ok(per_repeat(total))
        };
        let mut measured: Vec<Measured<'_>> = Vec::new();
        for ours in &mut ours {
            measured.push(ours);
        }
        measured.push(&mut limit);
        let turns = in_turns(scale.rounds, &mut measured)?;
        let limit = turns.median(scale.lengths.len());
        for (place, length) in scale.lengths.iter().enumerate() {
            let name = format!("catchup.time.{changes}x{length}");
            rows.push(
                Row::new(name, turns.median(place), "µs", scale.rounds)
                    .limit(limit)
                    .note(format!(
                        "{changes} change(s) in a list of {length}, one connection, mean of {repeats} a sample"
                    )),
            );
        }
        let grown = turns.median(scale.lengths.len() - 1) / turns.median(0);
        let row = Row::new(
            format!("catchup.growth.{changes}"),
            grown,
            "×",
            scale.rounds,
        );
        let note = format!("lists of {} → {longest}", scale.shortest());
        growth.push(match changes {
            1 => row.goal(&Goal::AtMost(1.3)).note(note),
            _ => row.note(note),
        });
    }
    context.keep_bare(bare);
    rows.extend(growth);
    Ok(rows)
}

fn catchup_cpu(context: &mut Context) -> Result<Vec<Row>> {
    let scale = context.scale.clone();
    let longest = scale.longest();
    let world = context.world()?;
    world.long_list(longest)?;
    let short = world.short_lists(scale.short_lists)?;
    let bare = context.take_bare(short)?;
    let world = context.world()?;
    let mut connection = Connection::open(world.address()?)?;
    let mut rows = Vec::new();
    let page = limits::PAGE_ROWS as u64;
    for gap in scale.gaps {
        let pages = gap.div_ceil(page);
        let repeats = (20 / pages).max(1);
        let behind: Vec<u64> = (0..pages).map(|at| gap - at * page).collect();
        for (suffix, accept, what) in [
            ("", "", "no content coding asked for"),
            (".coded", DEVICE_ACCEPTS, "compressed as devices ask for it"),
        ] {
            let requests = behind
                .iter()
                .map(|behind| world.request(vec![world.cursor(longest, *behind)?], accept))
                .collect::<Result<Vec<_>>>()?;
            let per_change = |cpu: Duration| cpu.as_secs_f64() * 1e6 / float(gap * repeats);
            let mut ours = || {
                let ((), cpu) = others_cpu(|| {
                    for _ in 0..repeats {
                        for request in &requests {
                            connection.ask(request)?;
                        }
                    }
                    Ok(())
                })?;
                Ok(per_change(cpu))
            };
            let mut limit = || {
                let began = thread_cpu();
                for _ in 0..repeats {
                    for behind in &behind {
                        let after = (longest - behind).cast_signed();
                        let read = bare.0.changes(longest, after, page.cast_signed())?;
                        ensure!(read as u64 == page.min(*behind), "{read} rows were read");
                    }
                }
                Ok(per_change(thread_cpu() - began))
            };
            let turns = in_turns(scale.rounds, &mut [&mut ours, &mut limit])?;
            let name = format!("catchup.cpu.{gap}{suffix}");
            let row = Row::new(name, turns.median(0), "µs", scale.rounds).limit(turns.median(1));
            let row = match suffix {
                "" => row.goal(&Goal::RatioAtMost(2.0)),
                _ => row,
            };
            rows.push(row.note(format!(
                "CPU a change, {pages} page(s), {what}; {}",
                turns.spread()
            )));
        }
    }
    context.keep_bare(bare);
    Ok(rows)
}
