//! Trains the dictionary of the content coding `hw1`, and says what it saves.
//!
//! The samples are what a server and its devices say to each other about groups
//! and members that come from a fixed seed: requests, deltas of 1 to 20 rows,
//! diverged and scanned lists, as protobuf and as JSON. One in eleven is kept
//! back to measure with.
//!
//! ```text
//! cargo run -p highwater-server --example train_dictionary -- proto/highwater/v1/dictionary.zstd
//! ```
//!
//! The dictionary is part of the protocol: another one is another coding, under
//! another name.

use bytes::Bytes;
use highwater_core::answer::{Access, Budget, NoSketches, answer};
use highwater_core::reads::{ListState, Reads as _};
use highwater_protocol::codec::Format;
use highwater_protocol::kinds::{GroupProfile, Role};
use highwater_protocol::message::{Cursor, ListRequest, Position, Scan, SyncRequest};
use highwater_protocol::{ListKey, limits, wire};
use highwater_server::domain::{Actor, Create, GroupId, Invite, Leave, SetRole, UserId};
use highwater_store::Store as _;
use highwater_store::memory::MemoryStore;
use std::collections::BTreeMap;
use std::error::Error;
use zstd::bulk::Compressor;

const DICTIONARY_BYTES: usize = 4_096;
const LEVEL: i32 = 3;
const GROUPS: usize = 200;
const ROUNDS: usize = 12;
/// 2018, in milliseconds.
const BEGIN_MS: i64 = 1_514_764_800_000;
const DAY_MS: i64 = 86_400_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let path = std::env::args().nth(1);
    let path = path.ok_or("say where to write the dictionary")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let samples = runtime.block_on(samples())?;
    let (kept, training): (Vec<_>, Vec<_>) =
        samples.iter().enumerate().partition(|(at, _)| at % 11 == 0);
    let training: Vec<_> = training
        .iter()
        .map(|(_, sample)| sample)
        .filter(|sample| sample.bytes.len() <= sample.longest())
        .map(|sample| &sample.bytes)
        .collect();
    let dictionary = zstd::dict::from_samples(&training, DICTIONARY_BYTES)?;
    std::fs::write(&path, &dictionary)?;

    let mut figures = BTreeMap::<&str, [usize; 4]>::new();
    let mut plain = Compressor::new(LEVEL)?;
    let mut with_dictionary = Compressor::with_dictionary(LEVEL, &dictionary)?;
    with_dictionary.set_parameter(zstd::zstd_safe::CParameter::DictIdFlag(false))?;
    for (_, sample) in kept {
        let figure = figures.entry(sample.name).or_default();
        figure[0] += 1;
        figure[1] += sample.bytes.len();
        figure[2] += plain.compress(&sample.bytes)?.len();
        figure[3] += with_dictionary.compress(&sample.bytes)?.len();
    }
    eprintln!("{} bytes of dictionary; mean bytes of:", dictionary.len());
    eprintln!(
        "{:24} {:>6} {:>8} {:>8} {:>8}",
        "", "n", "plain", "zstd", "hw1"
    );
    for (name, [n, plain, zstd, hw1]) in figures {
        let mean = |sum: usize| sum / n;
        eprintln!(
            "{name:24} {n:>6} {:>8} {:>8} {:>8}",
            mean(plain),
            mean(zstd),
            mean(hw1)
        );
    }
    Ok(())
}

struct Sample {
    name: &'static str,
    bytes: Bytes,
}

impl Sample {
    /// Long answers compress well by themselves, and would fill the dictionary
    /// with their ids.
    fn longest(&self) -> usize {
        if self.name.contains("JSON") {
            300
        } else {
            1_200
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }

    fn word(&mut self) -> &'static str {
        const WORDS: [&str; 24] = [
            "team", "ops", "release", "docs", "test", "infra", "admin", "core", "web", "data",
            "review", "security", "support", "mobile", "design", "sales", "research", "build",
            "network", "storage", "billing", "events", "weekend", "family",
        ];
        WORDS[self.below(WORDS.len())]
    }

    /// Ids as different systems shape them.
    fn user(&mut self) -> String {
        let number = self.next();
        match number % 5 {
            0 => format!("u{:05}", self.below(100_000)),
            1 => format!(
                "{:032x}",
                u128::from(number) << 64 | u128::from(self.next())
            ),
            2 => format!("{}", 1_000_000_000 + self.below(1_000_000_000)),
            3 => format!("user-{}", self.below(10_000_000)),
            _ => format!("{}.{}@example.org", self.word(), self.word()),
        }
    }

    fn group(&mut self) -> String {
        let number = self.next();
        match number % 4 {
            0 => format!("{}/{}-{}", self.word(), self.word(), self.below(1_000)),
            1 => format!("{number:016x}"),
            2 => format!("{}", 1_000_000_000 + self.below(1_000_000_000)),
            _ => format!("group-{}", self.below(10_000_000)),
        }
    }
}

/// Everything is written as protobuf and as JSON.
fn say<M>(samples: &mut Vec<Sample>, names: [&'static str; 2], message: &M)
where
    M: prost::Message + serde::Serialize,
{
    for (format, name) in [Format::Protobuf, Format::Json].into_iter().zip(names) {
        let bytes = format.encode(message);
        samples.push(Sample { name, bytes });
    }
}

async fn samples() -> Outcome<Vec<Sample>> {
    let mut random = Random(2026);
    let mut samples = Vec::new();
    let store = MemoryStore::new([1; 16]);
    for _ in 0..GROUPS {
        let group = GroupId::new(&random.group())?;
        let users: Vec<_> = (0..40)
            .map(|_| UserId::new(&random.user()))
            .collect::<Result<_, _>>()?;
        let mut now_ms = BEGIN_MS + DAY_MS * i64::try_from(random.below(2_900))?;
        let profile = GroupProfile {
            name: format!("{} {} of {}", random.word(), random.word(), random.word()),
            description: String::new(),
            created_at_ms: now_ms,
            ..GroupProfile::default()
        };
        let owner = users[0].clone();
        let create = Create {
            actor: Actor::Service,
            group: group.clone(),
            owner: Some(owner.clone()),
            profile,
        };
        // Two groups of one id are one group: the second is passed over.
        if store.write(now_ms, create).await.is_err() {
            continue;
        }
        let lists = [group.members(), owner.groups()];
        for round in 0..ROUNDS {
            let before = cursors(&store, &lists).await?;
            for _ in 0..=random.below(if round % 3 == 0 { 20 } else { 3 }) {
                now_ms += i64::try_from(random.below(usize::try_from(DAY_MS)?))?;
                change(&store, &mut random, &group, &users, now_ms).await;
            }
            talk(&store, &mut samples, &lists, &before).await?;
        }
    }
    Ok(samples)
}

/// Something happens to the group; what the rules refuse does not.
async fn change(
    store: &MemoryStore,
    random: &mut Random,
    group: &GroupId,
    users: &[UserId],
    now_ms: i64,
) {
    let user = users[1 + random.below(users.len() - 1)].clone();
    let (actor, group) = (Actor::Service, group.clone());
    match random.below(6) {
        0 => {
            let actor = Actor::Service;
            let leave = Leave { actor, group, user };
            drop(store.write(now_ms, leave).await);
        }
        1 => {
            let role = [Role::Admin, Role::Member][random.below(2)];
            let set_role = SetRole {
                actor,
                group,
                user,
                role,
            };
            drop(store.write(now_ms, set_role).await);
        }
        _ => {
            let invite = Invite {
                actor,
                group,
                users: vec![user],
                at_ms: now_ms,
            };
            drop(store.write(now_ms, invite).await);
        }
    }
}

async fn cursors(store: &MemoryStore, lists: &[ListKey]) -> Outcome<Vec<Cursor>> {
    let snapshot = store.snapshot(lists).await?;
    let mut cursors = Vec::new();
    for list in lists {
        if let ListState::Live(head) = snapshot.state(list).await? {
            cursors.push(Cursor {
                point: head.point(),
                digest: head.digest,
                count: head.count,
            });
        }
    }
    Ok(cursors)
}

/// A device asks about the lists in several ways, and is answered.
async fn talk(
    store: &MemoryStore,
    samples: &mut Vec<Sample>,
    lists: &[ListKey],
    before: &[Cursor],
) -> Outcome<()> {
    let ask = |list: &ListKey, position| ListRequest {
        list: list.clone(),
        position,
        details: vec![],
        delta_details: None,
    };
    let with = |change: fn(Cursor) -> Cursor| {
        let cursors = before
            .iter()
            .map(|cursor| Position::Cursor(change(*cursor)));
        let asked = lists.iter().zip(cursors);
        asked.map(|(list, position)| ask(list, position)).collect()
    };
    let behind: Vec<_> = with(|cursor| cursor);
    let ahead: Vec<_> = with(|mut cursor| {
        cursor.point.version = highwater_protocol::Version::new(u64::from(u32::MAX));
        cursor
    });
    let scan = |list| {
        let scan = Scan {
            position: None,
            whole_up_to: 2_000,
            details: 50,
        };
        vec![ask(list, Position::Scan(scan))]
    };
    for (requested, asks, answers) in [
        (behind, ["ask", "ask, JSON"], ["delta", "delta, JSON"]),
        (ahead, ["ask", "ask, JSON"], ["diverged", "diverged, JSON"]),
        (
            scan(&lists[0]),
            ["ask to scan", "ask to scan, JSON"],
            ["scan", "scan, JSON"],
        ),
    ] {
        let request = SyncRequest {
            lists: requested,
            page_rows: limits::PAGE_ROWS,
        };
        let snapshot = store.snapshot(lists).await?;
        let access = vec![Access::Read; request.lists.len()];
        let budget = Budget::with_page_rows(request.page_rows);
        let response = answer(&snapshot, &NoSketches, &request, &access, budget).await?;
        say(samples, asks, &wire::SyncRequest::from(request));
        say(samples, answers, &wire::SyncResponse::from(response));
    }
    Ok(())
}
