//! The server as backends see it: how many durable writes it acknowledges, and
//! what one costs.

use crate::bench::Bench;
use crate::context::Context;
use crate::generator::{Item, Numbers, item};
use crate::limits::bare_store::BareStore;
use crate::limits::fsync::Fsync;
use crate::load::{Connection, Prepared, rate};
use crate::measure::{Measured, Samples, float, in_turns, micros, others_cpu, thread_cpu};
use crate::report::{Goal, Row};
use crate::world::{World, group, list, profile};
use anyhow::{Context as _, Result, anyhow};
use highwater_core::stamp::stamp_of;
use highwater_protocol::kinds::{JoinedGroup, Member, Payload as _, Role};
use highwater_protocol::{Digest, ItemId, ListKey, Rank};
use highwater_server::Clock;
use highwater_store::{Abort, Store as _, Write, WriteTxn};
use serde_json::json;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Users that one request invites, and how many of them one transaction takes.
const INVITED_AT_ONCE: u64 = 1_000;
const BATCH: usize = 250;

/// The benches of this file.
pub(crate) const BENCHES: &[Bench] = &[
    Bench {
        name: "write.durable",
        about: "acknowledged durable writes a second by 1, 64 and 1,024 writers; limit: bare SQLite in transactions of that size",
        run: write_durable,
    },
    Bench {
        name: "write.latency",
        about: "p50 of one durable write, alone; limit: one fsync",
        run: write_latency,
    },
    Bench {
        name: "write.growth",
        about: "cost of a write in the longest list beside one in the shortest",
        run: write_growth,
    },
    Bench {
        name: "digest.write",
        about: "cost of stamp and digest in a write; limit: the cheapest write",
        run: digest_write,
    },
    Bench {
        name: "invite.100k",
        about: "members invited into one group, their own lists too; limit: bare SQLite writing the same rows",
        run: invite,
    },
];

/// Writes that differ from all before: a group gets another description.
#[derive(Debug, Default)]
struct Editions(u64);

impl Editions {
    /// The next `count` writes, spread over `groups`.
    fn requests(
        &mut self,
        world: &World,
        groups: &[u64],
        count: usize,
        numbers: &mut Numbers,
    ) -> Result<Vec<Prepared>> {
        let mut request = || {
            self.0 += 1;
            let number = pick(groups, numbers)?;
            let path = format!("/v1/groups/{}", group(number));
            let description = profile(number, self.0).description;
            world.operation("PATCH", &path, &json!({ "description": description }))
        };
        (0..count).map(|_| request()).collect()
    }

    /// The same as a row.
    fn row(&mut self, number: u64) -> Item {
        self.0 += 1;
        Item {
            id: ItemId::header(),
            rank: Rank::default(),
            payload: profile(number, self.0).encode().into(),
        }
    }
}

fn pick(numbers_of: &[u64], numbers: &mut Numbers) -> Result<u64> {
    let at = usize::try_from(numbers.below(numbers_of.len() as u64))?;
    numbers_of.get(at).copied().context("there is no list")
}

/// Writes a second at the server by so many writers at once, and at bare SQLite
/// in transactions of so many.
fn durable(context: &mut Context, writers: usize) -> Result<Row> {
    let scale = context.scale.clone();
    let short = context.world()?.short_lists(scale.short_lists)?;
    let mut bare = context.take_bare(short.clone())?;
    let world = context.world()?;
    let groups: Vec<u64> = short.collect();
    // Few at a time and in many turns, since a disk has its moods.
    let rounds = 3 * scale.rounds;
    let count = match writers {
        1 => scale.requests / 500,
        64 => scale.requests / 40,
        _ => scale.requests / 10,
    };
    let count = count.max(10).next_multiple_of(writers);
    let mut connections = Connection::open_all(world.address()?, writers)?;
    let (mut editions, mut bare_editions) = (Editions::default(), Editions::default());
    let (mut numbers, mut bare_numbers) = (Numbers::named(2), Numbers::named(2));
    let (mut our_cpu, mut bare_cpu) = (Samples::default(), Samples::default());
    let per_write = |cpu: Duration| cpu.as_secs_f64() * 1e6 / float(count as u64);
    let mut ours = || {
        let requests = editions.requests(world, &groups, count, &mut numbers)?;
        let (rate, cpu) = others_cpu(|| rate(&mut connections, count, |at| &requests[at]))?;
        our_cpu.push(per_write(cpu));
        Ok(rate)
    };
    let mut limit = || {
        let (began, cpu) = (Instant::now(), thread_cpu());
        for _ in 0..count / writers {
            bare.0.transaction(|bare| {
                for _ in 0..writers {
                    let number = pick(&groups, &mut bare_numbers)?;
                    bare.change(number, &bare_editions.row(number))?;
                }
                Ok(())
            })?;
        }
        bare_cpu.push(per_write(thread_cpu() - cpu));
        Ok(float(count as u64) / began.elapsed().as_secs_f64())
    };
    let turns = in_turns(rounds, &mut [&mut ours, &mut limit])?;
    let name = format!("write.durable.{writers}");
    let note = format!(
        "{count} writes a round over {} lists; CPU {:.0} µs a write, bare {:.0}; {}",
        groups.len(),
        our_cpu.median(),
        bare_cpu.median(),
        turns.spread()
    );
    context.keep_bare(bare);
    Ok(Row::new(name, turns.median(0), "1/s", rounds)
        .limit(turns.median(1))
        .note(note))
}

fn write_durable(context: &mut Context) -> Result<Vec<Row>> {
    [(1, 0.8), (64, 0.7), (1_024, 0.7)]
        .into_iter()
        .map(|(writers, goal)| Ok(durable(context, writers)?.goal(&Goal::RatioAtLeast(goal))))
        .collect()
}

fn write_latency(context: &mut Context) -> Result<Vec<Row>> {
    let scale = context.scale.clone();
    let folder = context.folder()?;
    let mut fsync = Fsync::new(folder.path())?;
    let world = context.world()?;
    let groups: Vec<u64> = world.short_lists(scale.short_lists)?.collect();
    let mut connection = Connection::open(world.address()?)?;
    let (mut editions, mut numbers) = (Editions(1 << 32), Numbers::named(3));
    let count = 5 * scale.repeats;
    let requests = editions.requests(world, &groups, count, &mut numbers)?;
    let (mut ours, mut limit) = (Samples::default(), Samples::default());
    // In short turns: how long an fsync takes changes from second to second.
    for some in requests.chunks(10) {
        for request in some {
            ours.push(micros(|| connection.ask(request).map(drop))?);
        }
        for _ in some {
            limit.push(micros(|| fsync.once())?);
        }
    }
    Ok(vec![
        Row::new("write.latency", ours.median(), "µs", ours.count())
            .limit(limit.median())
            .goal(&Goal::RatioAtMost(1.5))
            .note(format!(
                "p50 over HTTP; quarter of the writes under {:.0} µs, of the fsyncs {:.0}",
                ours.quantile(0.25),
                limit.quantile(0.25)
            )),
    ])
}

/// Changes one item of a list.
struct Change {
    list: ListKey,
    item: Item,
}

impl Write for Change {
    type Output = ();
    type Refusal = ();

    fn lists(&self) -> Vec<ListKey> {
        vec![self.list.clone()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Abort<()>> {
        let Item { id, rank, payload } = self.item.clone();
        txn.put(&self.list, &id, rank, payload).await?;
        Ok(())
    }
}

fn write_growth(context: &mut Context) -> Result<Vec<Row>> {
    let scale = context.scale.clone();
    let world = context.world()?;
    let lengths = scale.lengths.clone();
    for length in &lengths {
        world.long_list(*length)?;
    }
    let store = world.store()?;
    let world = &*world;
    let mut numbers = Numbers::named(4);
    let mut edition = 0;
    let next = std::cell::RefCell::new(|length: u64| {
        edition += 1;
        (numbers.below(length), edition)
    });
    let mut series: Vec<_> = lengths
        .iter()
        .map(|&length| {
            let (store, next) = (&store, &next);
            move || {
                let mut times = Samples::default();
                for _ in 0..scale.repeats {
                    let (index, edition) = (next.borrow_mut())(length);
                    let work = Change {
                        list: list(length)?,
                        item: item(length, index, edition),
                    };
                    let now_ms = Clock::system().now_ms();
                    times.push(micros(|| {
                        let committed = world.block_on(store.write(now_ms, work));
                        committed.map_err(|error| anyhow!("a write failed: {error}"))
                    })?);
                }
                Ok(times.median())
            }
        })
        .collect();
    let mut measured: Vec<Measured<'_>> = Vec::new();
    for one in &mut series {
        measured.push(one);
    }
    let turns = in_turns(scale.rounds, &mut measured)?;
    let (first, last) = (turns.median(0), turns.median(lengths.len() - 1));
    let times: Vec<String> = lengths
        .iter()
        .enumerate()
        .map(|(place, length)| format!("{:.0} µs at {length}", turns.median(place)))
        .collect();
    Ok(vec![
        Row::new("write.growth", last / first, "×", scale.rounds)
            .goal(&Goal::AtMost(1.5))
            .note(format!(
                "p50 of a random item's change through the store, alone: {}",
                times.join(", ")
            )),
    ])
}

fn digest_write(context: &mut Context) -> Result<Vec<Row>> {
    let rounds = context.scale.rounds;
    let write = durable(context, 1_024)?;
    let items: Vec<Item> = (0..1_000).map(|index| item(5, index, 0)).collect();
    let mut digest = Digest::ZERO;
    let mut ours = || {
        let mut stamps = Vec::with_capacity(items.len());
        let total = micros(|| {
            for item in &items {
                let stamp = stamp_of(&item.id, &item.rank, &item.payload);
                digest = black_box(digest.plus(stamp));
                stamps.push(stamp);
            }
            for stamp in &stamps {
                digest = black_box(digest.minus(*stamp));
            }
            Ok(())
        })?;
        Ok(total / float(items.len() as u64))
    };
    let turns = in_turns(rounds, &mut [&mut ours])?;
    Ok(vec![
        Row::new("digest.write", turns.median(0), "µs", rounds)
            .limit(1e6 / write.value)
            .goal(&Goal::RatioAtMost(0.03))
            .note("one hash, one addition, one subtraction; the limit is a write by 1,024 writers"),
    ])
}

/// Requests that others send while members are invited: a check, a catch-up and
/// a write in turn. Records how long each takes while `counts` is set.
fn others(
    address: SocketAddr,
    reads: &[Prepared],
    writes: &[Prepared],
    counts: &AtomicBool,
    ends: &AtomicBool,
) -> Result<Samples> {
    let mut connection = Connection::open(address)?;
    let mut times = Samples::default();
    let mut writes = writes.iter().cycle();
    while !ends.load(Ordering::Acquire) {
        for request in reads.iter().chain(writes.next()) {
            let counted = counts.load(Ordering::Acquire);
            let took = micros(|| connection.ask(request).map(drop))?;
            if counted && counts.load(Ordering::Acquire) {
                times.push(took);
            }
        }
        // A few hundred requests a second, not as many as can be.
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(times)
}

fn invite(context: &mut Context) -> Result<Vec<Row>> {
    let scale = context.scale.clone();
    let short = context.world()?.short_lists(scale.short_lists)?;
    let mut bare = context.take_bare(short.clone())?;
    let world = context.world()?;
    let address = world.address()?;
    let mut connection = Connection::open(address)?;
    let create = json!({ "group": "invited", "name": "Everybody" });
    connection.ask(&world.operation("POST", "/v1/groups", &create)?)?;

    let groups: Vec<u64> = short.collect();
    let reads = [
        world.request(
            vec![world.cursor(groups[0], 0)?],
            crate::world::DEVICE_ACCEPTS,
        )?,
        world.request(
            vec![world.cursor(groups[1], 1)?],
            crate::world::DEVICE_ACCEPTS,
        )?,
    ];
    let mut editions = Editions(1 << 33);
    let mut numbers = Numbers::named(6);
    let writes = editions.requests(world, &groups[2..], 500, &mut numbers)?;
    let users: Vec<String> = (0..scale.invited)
        .map(|index| item(6, index, 0).id.to_string())
        .collect();
    let (counts, ends) = (AtomicBool::new(false), AtomicBool::new(false));
    let (mut ours, mut limit) = (Samples::default(), Samples::default());
    let waited = std::thread::scope(|scope| {
        let probe = scope.spawn(|| others(address, &reads, &writes, &counts, &ends));
        let measured = (|| {
            let mut from = 0;
            for users in users.chunks(usize::try_from(INVITED_AT_ONCE)?) {
                let body = json!({ "users": users });
                let path = "/v1/groups/invited/members:invite";
                let request = world.operation("POST", path, &body)?;
                counts.store(true, Ordering::Release);
                ours.push(micros(|| connection.ask(&request).map(drop))?);
                counts.store(false, Ordering::Release);
                limit.push(micros(|| invite_bare(&mut bare.0, from, users))?);
                from += users.len() as u64;
            }
            Ok::<_, anyhow::Error>(())
        })();
        ends.store(true, Ordering::Release);
        let waited = probe.join().map_err(|_| anyhow!("the probe failed"))?;
        measured?;
        waited
    })?;
    context.keep_bare(bare);
    let per_second = |took: &Samples| float(INVITED_AT_ONCE) * 1e6 / took.median();
    Ok(vec![
        Row::new("invite.100k", per_second(&ours), "1/s", ours.count())
            .limit(per_second(&limit))
            .goal(&Goal::RatioAtLeast(0.6))
            .note(format!(
                "{} members by 1,000 a request, over HTTP, beside a probe's few hundred requests a second",
                scale.invited
            )),
        Row::new(
            "invite.100k.others",
            waited.quantile(0.99) / 1e3,
            "ms",
            waited.count(),
        )
        .goal(&Goal::AtMost(100.0))
        .note("p99 of checks, catch-ups and writes meanwhile"),
    ])
}

/// The rows that inviting `users` writes: in the group, and in each user's own
/// list.
fn invite_bare(bare: &mut BareStore, from: u64, users: &[String]) -> Result<()> {
    const GROUP: u64 = u64::MAX >> 2;
    let joined_at_ms = 1_700_000_000_000;
    let row = |id: &str, rank: &'static [u8], payload: Vec<u8>| {
        Ok::<_, anyhow::Error>(Item {
            id: ItemId::new(id)?,
            rank: Rank::new(rank)?,
            payload: payload.into(),
        })
    };
    let member = Member {
        role: Role::Member,
        joined_at_ms,
        ..Member::default()
    };
    let joined = JoinedGroup { joined_at_ms };
    for (at, batch) in users.chunks(BATCH).enumerate() {
        let first = from + (at * BATCH) as u64;
        let rows = batch
            .iter()
            .map(|user| row(user, b"212345678", member.encode()))
            .collect::<Result<Vec<_>>>()?;
        bare.transaction(|bare| {
            bare.append(GROUP, rows.into_iter())?;
            for user in 0..batch.len() as u64 {
                let group = row("invited", b"12345678", joined.encode())?;
                bare.append(GROUP + 1 + first + user, std::iter::once(group))?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
