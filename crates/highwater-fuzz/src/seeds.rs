//! What the corpus begins with: messages of a real exchange, and bytes that
//! lead somewhere. The same on every run.

use crate::bodies;
use crate::world::Server;
use arbitrary::Unstructured;
use highwater_core::local::memory::MemoryLocal;
use highwater_core::replica::{Replica, ReplicaConfig};
use highwater_protocol::codec::Format;
use highwater_protocol::kinds::{GroupProfile, JoinedGroup, Member, Payload, Role};
use highwater_protocol::message::{Position, Snapshot, SyncRequest, SyncResponse};
use highwater_protocol::{limits, wire};

/// SplitMix64: bytes that are no pattern.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let words = (0..length.div_ceil(8)).flat_map(|_| next().to_le_bytes());
    words.take(length).collect()
}

/// For targets that make up what they need from any bytes.
pub(crate) fn noise() -> Vec<Vec<u8>> {
    (0..24)
        .map(|seed| bytes(seed, 200 + 60 * seed as usize))
        .collect()
}

/// Noise for each of the ways in which a server can be stubborn.
pub(crate) fn lies() -> Vec<Vec<u8>> {
    let mut seeds = noise();
    for habit in 0..crate::replica::HABITS {
        for seed in 0..3 {
            let noise = bytes(1_000 + seed, 300 + 100 * habit);
            // The first byte chooses.
            let first = u8::try_from(habit).unwrap_or(0);
            seeds.push([&[first][..], &noise].concat());
        }
    }
    seeds
}

/// A device that follows a server for a while, and is led astray: what both
/// said.
fn exchange() -> Vec<(SyncRequest, SyncResponse)> {
    let mut said = Vec::new();
    for seed in 100..104 {
        let noise = bytes(seed, 4_000);
        let mut u = Unstructured::new(&noise);
        let mut server = Server::new();
        let config = ReplicaConfig {
            whole_up_to: 4,
            page_rows: 5,
            ..ReplicaConfig::default()
        };
        let mut replica = Replica::new(config, seed);
        let mut db = MemoryLocal::default();
        let lists = crate::world::lists();
        lists.iter().for_each(|list| replica.hold(list));
        for round in 0..10u32 {
            if u.is_empty() {
                break;
            }
            let _ = server.go_on(&mut u);
            if round % 3 == 2 {
                db.tamper(&lists[0], |record, _| {
                    record.shown.digest = highwater_protocol::Digest::ZERO;
                });
            }
            replica.sync();
            for list in &lists {
                replica.want_details(list, crate::world::id(&mut u));
            }
            for _ in 0..40 {
                let Ok(asked) = replica.poll_request(0, &mut db);
                let Some((id, request)) = asked else { break };
                let response = server.answer(&request);
                said.push((request, response.clone()));
                let Ok(()) = replica.handle_response(0, id, response, &mut db);
            }
        }
    }
    said
}

fn requests(format: Format) -> Vec<Vec<u8>> {
    let encode = |(request, _)| format.encode(&wire::SyncRequest::from(request)).to_vec();
    exchange().into_iter().map(encode).collect()
}

fn responses(format: Format) -> Vec<Vec<u8>> {
    let encode = |(_, response)| format.encode(&wire::SyncResponse::from(response)).to_vec();
    exchange().into_iter().map(encode).collect()
}

pub(crate) fn requests_protobuf() -> Vec<Vec<u8>> {
    requests(Format::Protobuf)
}

pub(crate) fn requests_json() -> Vec<Vec<u8>> {
    requests(Format::Json)
}

pub(crate) fn responses_protobuf() -> Vec<Vec<u8>> {
    responses(Format::Protobuf)
}

pub(crate) fn responses_json() -> Vec<Vec<u8>> {
    responses(Format::Json)
}

/// A message in both forms, behind the bytes that choose it.
fn chosen<M: prost::Message + serde::Serialize>(choice: u8, message: &M) -> [Vec<u8>; 2] {
    let with = |choice: u8, format: Format| [&[choice][..], &format.encode(message)].concat();
    [
        with(choice * 2, Format::Protobuf),
        with(choice * 2 + 1, Format::Json),
    ]
}

pub(crate) fn other_messages() -> Vec<Vec<u8>> {
    let hello = wire::Hello {
        protocol_min: 1,
        protocol_max: 1,
        kinds: vec!["groups".to_owned(), "members".to_owned()],
        limits: Some(limits::announced()),
        server: "0.1.0".to_owned(),
        user: "alice".to_owned(),
    };
    let error = wire::Error {
        code: "too_many".to_owned(),
        message: "1001 lists, 1000 are allowed".to_owned(),
        field: "lists".to_owned(),
        limit: 1_000,
        retry_after_ms: 5,
    };
    let noise = bytes(1, 2_000);
    let mut u = Unstructured::new(&noise);
    let mut server = Server::new();
    while !u.is_empty() {
        let _ = server.go_on(&mut u);
    }
    let list = &crate::world::lists()[0];
    let row = |item: highwater_core::reads::Item| highwater_protocol::message::Row {
        id: item.id,
        rank: item.rank,
        content: highwater_protocol::message::Content::Payload(item.payload),
    };
    let snapshot = wire::ListSnapshot::from(Snapshot {
        head: server.head(list).announced(),
        rows: server.items(list).into_iter().map(row).collect(),
    });
    let joined = JoinedGroup { joined_at_ms: 5 };
    let member = Member {
        role: Role::Admin,
        joined_at_ms: 5,
        ..Member::default()
    };
    let profile = GroupProfile {
        name: "Rustaceans".to_owned(),
        description: "of the north".to_owned(),
        created_at_ms: 5,
        ..GroupProfile::default()
    };
    let mut seeds = [chosen(0, &hello), chosen(1, &error), chosen(2, &snapshot)].concat();
    for (choice, payload) in [
        (6, joined.encode()),
        (8, member.encode()),
        (10, profile.encode()),
    ] {
        seeds.push([&[choice][..], &payload].concat());
    }
    seeds
}

/// A receipt with every field set, and one with none but its list.
pub(crate) fn receipts() -> Vec<Vec<u8>> {
    let standing = || wire::Standing {
        device: Some(wire::Cursor {
            lineage: 5,
            version: 7,
            digest: vec![3; 16].into(),
            count: 2,
        }),
        server: Some(wire::Head {
            lineage: 6,
            version: 9,
            digest: vec![4; 16].into(),
            count: 3,
        }),
    };
    let full = wire::Receipt {
        kind: "fuzz".to_owned(),
        owner: "a".to_owned(),
        reason: 3,
        rung: 2,
        mended: true,
        added: 1,
        removed: 2,
        changed: 3,
        ids: vec![String::new(), "item-1".to_owned()],
        requests: 4,
        bytes_up: 5,
        bytes_down: 6,
        item_bytes: 7,
        began_at_ms: 8,
        duration_ms: 9,
        before: Some(standing()),
        after: Some(standing()),
    };
    let bare = wire::Receipt {
        kind: "fuzz".to_owned(),
        owner: "a".to_owned(),
        ..wire::Receipt::default()
    };
    let receipts = [vec![full.clone(), bare.clone()], vec![full], vec![bare]];
    let chosen = receipts.map(|receipts| chosen(0, &wire::Receipts { receipts }));
    chosen.into_iter().flatten().collect()
}

pub(crate) fn positions() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (request, _) in exchange() {
        for list in request.lists {
            seeds.extend(match list.position {
                Position::Cursor(cursor) => chosen(0, &wire::Cursor::from(cursor)),
                Position::Scan(scan) => chosen(1, &wire::Scan::from(scan)),
                Position::Sketch(range) => chosen(2, &wire::SketchRange::from(range)),
                Position::SketchItems(items) => chosen(3, &wire::SketchItems::from(items)),
            });
        }
    }
    seeds.sort();
    seeds.dedup();
    seeds
}

pub(crate) fn sketches() -> Vec<Vec<u8>> {
    let mut seeds = noise();
    // The same set on both sides; one that lacks a few; nothing at all.
    for (ours, theirs) in [(u64::MAX, u64::MAX), (u64::MAX, u64::MAX << 5), (0, 0xffff)] {
        let mut seed = vec![7; 8];
        seed.extend(ours.to_le_bytes());
        seed.extend(theirs.to_le_bytes());
        seed.extend([48, 0xff, 48, 0xff, 48, 0xff, 96, 0xff, 96, 0xff]);
        seeds.push(seed);
    }
    seeds
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(crate) fn write_bodies() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"group":"g1","name":"Rustaceans","description":"of the north","owner":"alice"}"#,
        r#"{"group":"g1","name":"Rustaceans"}"#,
        r#"{"name":"Crustaceans"}"#,
        r#"{"description":""}"#,
        r#"{"user":"bob"}"#,
        r#"{"users":["bob","carol","d\u00e9d\u00e9"]}"#,
        r#"{"role":"admin"}"#,
    ])
}

pub(crate) fn history_lines() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"at":1400000000,"changes":[{"op":"create","group":"g","name":"A group"},{"op":"join","group":"g","user":"u","role":"owner"}]}"#,
        "{\"at\":1,\"changes\":[{\"op\":\"rename\",\"group\":\"g\",\"name\":\"B\"}]}\n\n\
         {\"at\":2,\"changes\":[{\"op\":\"role\",\"group\":\"g\",\"user\":\"u\",\"role\":\"admin\"}]}\n",
        r#"{"at":3,"changes":[{"op":"leave","group":"g","user":"u"},{"op":"dismiss","group":"g"}]}"#,
        r#"{"at":3,"changes":[]}"#,
        r#"{"at":3,"changes":[{"op":"jump"}]}"#,
    ])
}

pub(crate) fn compressed_bodies() -> Vec<Vec<u8>> {
    let body = requests(Format::Protobuf).concat();
    let mut seeds = highwater_server::fuzzing::compress(&body);
    seeds.extend(highwater_server::fuzzing::compress(&vec![0; 200_000]));
    seeds
}

pub(crate) fn tokens() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = bodies::issued_tokens()
        .into_iter()
        .map(String::into_bytes)
        .collect();
    for at in 0..seeds.len() {
        let mut forged = seeds[at].clone();
        if let Some(last) = forged.last_mut() {
            *last = if *last == b'A' { b'B' } else { b'A' };
        }
        seeds.push(forged);
    }
    // {"alg":"none"} and {"alg":"HS256","kid":"hs","crit":["x"]}.
    seeds.extend(texts(&[
        "eyJhbGciOiJub25lIn0.e30.",
        "eyJhbGciOiJIUzI1NiIsImtpZCI6ImhzIiwiY3JpdCI6WyJ4Il19.e30.AA",
        "a.b.c",
        "..",
    ]));
    seeds
}
