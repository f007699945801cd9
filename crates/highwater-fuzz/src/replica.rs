//! The replica under a server that lies.
//!
//! Whatever is answered: nothing panics, the books agree after each step (I4),
//! a server that repeats itself is left alone after a bounded number of
//! requests (I7), and an honest one makes every list right again (I1).

use crate::invent::{answer, lie, number, spoil};
use crate::world::{Server, id, lists};
use arbitrary::{Result, Unstructured};
use highwater_core::local::memory::MemoryLocal;
use highwater_core::local::{LocalRow, LocalStore, LocalTxn, Phase};
use highwater_core::reads::{Item, ListState};
use highwater_core::replica::{Failure, Replica, ReplicaConfig, RequestId};
use highwater_core::stamp::{row_check, stamp_of};
use highwater_protocol::codec::Format;
use highwater_protocol::message::{ListRequest, Position, SyncRequest, SyncResponse, WriteAnswer};
use highwater_protocol::{Digest, ListKey, limits, wire};
use wire::list_answer::Answer;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Requests that a device may send at one time to a server that does not get
/// it anywhere. Reading a list of 14 rows one by one, in each of two rungs,
/// each begun three times, for three lists, is less.
const REQUESTS_MAX: usize = 400;

struct Device {
    replica: Replica,
    config: ReplicaConfig,
    db: MemoryLocal,
    now_ms: i64,
    waiting: Vec<(RequestId, SyncRequest)>,
}

impl Device {
    fn new(u: &mut Unstructured<'_>) -> Result<Self> {
        let config = ReplicaConfig {
            whole_up_to: u.int_in_range(0..=12)?,
            first_details: u.int_in_range(0..=3)?,
            delta_details: u.int_in_range(0..=3)?,
            page_rows: u.int_in_range(1..=6)?,
            ..ReplicaConfig::default()
        };
        let mut device = Self {
            replica: Replica::new(config, 7),
            config,
            db: MemoryLocal::default(),
            now_ms: 1_000_000,
            waiting: Vec::new(),
        };
        device.hold();
        Ok(device)
    }

    fn hold(&mut self) {
        lists().iter().for_each(|list| self.replica.hold(list));
    }

    fn request(&mut self) -> Option<(RequestId, SyncRequest)> {
        let asked = self.replica.poll_request(self.now_ms, &mut self.db);
        let Ok(asked) = asked;
        if let Some((_, request)) = &asked {
            check_request(request);
        }
        asked
    }

    /// Hears what a server says, if it can be read at all.
    fn hear(&mut self, id: RequestId, request: &SyncRequest, response: wire::SyncResponse) {
        let sent = Format::Protobuf.encode(&response);
        let received = Format::Protobuf
            .decode(sent)
            .and_then(|received| SyncResponse::parse(received, request.lists.len()));
        match received {
            Ok(response) => {
                let Ok(()) = self
                    .replica
                    .handle_response(self.now_ms, id, response, &mut self.db);
            }
            Err(refusal) => {
                let failure = Failure::Refused(refusal);
                self.replica.handle_failure(self.now_ms, id, failure);
            }
        }
        self.check();
    }

    /// I4: records and rows agree, and every row with itself.
    fn check(&mut self) {
        while self.replica.poll_event().is_some() {}
        for list in lists() {
            let Some(record) = self.db.record_of(&list).cloned() else {
                continue;
            };
            assert!(self.db.generations(&list).len() <= 2, "{list}");
            let Ok(mut txn) = self.db.begin();
            for copy in [Some(&record.shown), record.build.as_ref()]
                .into_iter()
                .flatten()
            {
                let Ok(rows) = txn.rows_by_id(&list, copy.generation, None, usize::MAX);
                let digest: Digest = rows.iter().map(|stored| stored.row.stamp).collect();
                assert_eq!(
                    (copy.digest, copy.count),
                    (digest, rows.len() as u64),
                    "{list}: {record:?}"
                );
                for stored in rows {
                    let row = stored.row;
                    assert_eq!(stored.check, row_check(&row.id, &row.rank, row.stamp));
                    if let Some(payload) = &row.payload {
                        assert_eq!(row.stamp, stamp_of(&row.id, &row.rank, payload));
                    }
                }
            }
        }
    }

    /// The process dies and comes back.
    fn restart(&mut self) {
        self.replica = Replica::new(self.config, 8);
        self.waiting.clear();
        self.hold();
    }

    /// Asks until nothing is due, all at one time. `answer` answers.
    fn run(&mut self, what: &str, mut answer: impl FnMut(&SyncRequest) -> wire::SyncResponse) {
        for _ in 0..REQUESTS_MAX {
            let Some((id, request)) = self.request() else {
                return;
            };
            let response = answer(&request);
            self.hear(id, &request, response);
        }
        panic!("I7: the device asks without end, with a server that {what}");
    }
}

/// What a device asks is what the protocol allows.
fn check_request(request: &SyncRequest) {
    let sent = wire::SyncRequest::from(request.clone());
    assert_eq!(SyncRequest::try_from(sent).as_ref(), Ok(request));
    assert!(request.lists.len() <= limits::LISTS_PER_REQUEST);
}

/// A server that is mostly honest, and lies where the bytes say so.
pub(crate) fn under_lies(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok(stubborn) = u.choose_index(STUBBORN.len()) else {
        return;
    };
    let Ok((mut device, mut server)) = begin(&mut u) else {
        return;
    };
    // Bytes that run out end the adversity, not the check.
    let _ = adversity(&mut u, &mut device, &mut server);
    settle(device, &server, stubborn);
}

/// A server that answers with any bytes.
pub(crate) fn under_bytes(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok((mut device, server)) = begin(&mut u) else {
        return;
    };
    let _ = any_bytes(&mut u, &mut device, &server);
    settle(device, &server, 0);
}

fn begin(u: &mut Unstructured<'_>) -> Result<(Device, Server)> {
    Ok((Device::new(u)?, Server::filled(u)?))
}

fn any_bytes(u: &mut Unstructured<'_>, device: &mut Device, server: &Server) -> Result<()> {
    while !u.is_empty() {
        device.now_ms += 60_000;
        device.replica.sync();
        let Some((id, request)) = device.request() else {
            continue;
        };
        let honest = wire::SyncResponse::from(server.answer(&request));
        let bytes = Format::Protobuf.encode(&honest).to_vec();
        let response = spoiled(u, bytes)
            .map(|bytes| Format::Protobuf.decode(bytes.into()).unwrap_or_default());
        device.hear(id, &request, response.unwrap_or(honest));
    }
    Ok(())
}

/// Real bytes, perhaps with some of them changed; or any.
fn spoiled(u: &mut Unstructured<'_>, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    if u.arbitrary()? {
        return Ok(bytes);
    }
    if u.ratio(1, 4)? {
        bytes = u.arbitrary::<&[u8]>()?.to_vec();
    }
    for _ in 0..u.int_in_range(1..=4)? {
        if !bytes.is_empty() {
            let at = u.choose_index(bytes.len())?;
            bytes[at] = u.arbitrary()?;
        }
    }
    Ok(bytes)
}

fn adversity(u: &mut Unstructured<'_>, device: &mut Device, server: &mut Server) -> Result<()> {
    let mut overheard = wire::SyncResponse::default();
    while !u.is_empty() {
        match u.int_in_range(0..=22)? {
            0..=7 => {
                if let Some((id, request)) = device.request() {
                    let honest = wire::SyncResponse::from(server.answer(&request));
                    let response = lie(u, request.lists.len(), honest.clone()).unwrap_or(honest);
                    overheard.clone_from(&response);
                    device.hear(id, &request, response);
                }
            }
            8 => {
                // Another request's answer.
                if let Some((id, request)) = device.request() {
                    device.hear(id, &request, overheard.clone());
                }
            }
            9 => {
                if let Some(asked) = device.request() {
                    device.waiting.push(asked);
                }
            }
            10 => {
                if let Some((id, request)) = device.waiting.pop() {
                    let response = server.answer(&request).into();
                    device.hear(id, &request, response);
                }
            }
            11 => {
                if let Some((id, _)) = device.request() {
                    let failure = Failure::Unreachable("lost".to_owned());
                    device.replica.handle_failure(device.now_ms, id, failure);
                }
            }
            12 => device.restart(),
            13 => {
                device.now_ms = device
                    .now_ms
                    .saturating_add(i64::from(u.arbitrary::<i32>()?));
            }
            14 => {
                let at = u.choose_index(2)?;
                let Ok(()) = device.replica.verify(&lists()[at], &mut device.db);
                device.check();
            }
            15 => {
                let at = u.choose_index(2)?;
                let wanted = [id(u)?, id(u)?, id(u)?];
                device.replica.want_details(&lists()[at], wanted);
            }
            16 => {
                let at = u.choose_index(2)?;
                device.replica.release(&lists()[at]);
                device.replica.hold(&lists()[at]);
            }
            17 | 18 => server.go_on(u)?,
            19..=21 => tell(u, device, server)?,
            _ => device.replica.sync(),
        }
    }
    Ok(())
}

/// Tells a device of changes that it did not ask for: what it lacks, or a lie.
fn tell(u: &mut Unstructured<'_>, device: &mut Device, server: &Server) -> Result<()> {
    let mut changes = Vec::new();
    for _ in 0..u.int_in_range(1..=3)? {
        let list = u.choose(&lists())?.clone();
        let record = device.db.record_of(&list).cloned().unwrap_or_default();
        let cursor = record.working().cursor();
        let mut told = match cursor {
            Some(cursor) => {
                let asked = ListRequest {
                    list: list.clone(),
                    position: Position::Cursor(cursor),
                    details: Vec::new(),
                    delta_details: None,
                };
                let request = SyncRequest {
                    lists: vec![asked],
                    page_rows: limits::PAGE_ROWS,
                };
                let honest = wire::SyncResponse::from(server.answer(&request));
                let first = honest.answers.into_iter().next();
                first.and_then(|one| one.answer)
            }
            None => Some(answer(u)?),
        };
        if let Some(told) = &mut told
            && u.ratio(1, 3)?
        {
            spoil(u, told)?;
        }
        let from = cursor.map_or(0, |cursor| cursor.point.version.get());
        changes.push(wire::ListChange {
            kind: list.kind.as_str().to_owned(),
            owner: list.owner.as_str().to_owned(),
            lineage: match u.ratio(1, 6)? {
                true => number(u)?,
                false => server.head(&list).lineage.get(),
            },
            from: match u.ratio(1, 6)? {
                true => number(u)?,
                false => from,
            },
            delta: match told {
                Some(Answer::Delta(delta)) => Some(delta),
                _ => None,
            },
        });
    }
    let told = wire::WriteAnswer {
        changes,
        ..wire::WriteAnswer::default()
    };
    let received = Format::Protobuf.decode(Format::Protobuf.encode(&told));
    let received: std::result::Result<wire::WriteAnswer, _> = received;
    if let Ok(heard) = received.and_then(WriteAnswer::try_from) {
        let replica = &mut device.replica;
        let Ok(_) = replica.handle_changes(device.now_ms, &heard.changes, &mut device.db);
        device.check();
    }
    Ok(())
}

/// How many ways there are to be stubborn.
pub(crate) const HABITS: usize = 10;

/// What a server makes of each answer; the first number is the request's.
type Habit = fn(u64, &mut wire::ListAnswer);

/// Servers that never get a device anywhere, in words and in deed: what each
/// makes of the honest answer about one list.
const STUBBORN: [(&str, Habit); HABITS] = [
    ("is honest", |_, _| {}),
    ("defers everything", |_, one| {
        one.answer = Some(Answer::Deferred(wire::Deferred {}));
        one.details.clear();
    }),
    ("is always of another lineage", |turn, one| {
        one.answer = Some(diverged(turn + 1_000, None));
    }),
    ("is always at the same version", |_, one| {
        one.answer = Some(diverged(77, None));
    }),
    ("offers a new sketch each time", |turn, one| {
        one.answer = Some(diverged(77, Some(wild_cells(turn, 0, 10))));
    }),
    ("has a sketch that never decodes", |_, one| {
        if let Some(Answer::Sketch(cells)) = &mut one.answer {
            let wild = wild_cells(1, cells.from, cells.counts.len());
            (cells.sums, cells.checks) = (wild.sums, wild.checks);
        } else if !matches!(one.answer, Some(Answer::SketchRows(_))) {
            one.answer = Some(diverged(77, Some(wild_cells(1, 0, 48))));
        }
    }),
    ("never has what it promised", |_, one| {
        if let Some(Answer::SketchRows(rows)) = &mut one.answer {
            rows.rows.clear();
        }
        spoil_proof(one);
        one.details.clear();
    }),
    ("sends details that nobody asked for", |_, one| {
        one.details = vec![wire::Row {
            id: "stranger".to_owned(),
            payload: Some("?".into()),
            ..wire::Row::default()
        }];
    }),
    ("proves another list", |_, one| spoil_proof(one)),
    ("refuses", |_, one| {
        one.answer = Some(Answer::Refused(wire::Error::default()));
    }),
];

fn spoil_proof(one: &mut wire::ListAnswer) {
    let another = bytes::Bytes::from_static(&[9; 16]);
    match &mut one.answer {
        Some(Answer::Delta(delta)) => delta.digest = another,
        Some(Answer::Scan(page)) => page.digest = another,
        Some(Answer::Diverged(diverged)) => {
            if let Some(head) = &mut diverged.head {
                head.digest = another;
            }
        }
        Some(Answer::Aligned(_) | Answer::Adopt(_)) => one.answer = Some(diverged(77, None)),
        _ => {}
    }
}

fn diverged(lineage: u64, sketch: Option<wire::SketchCells>) -> Answer {
    Answer::Diverged(wire::Diverged {
        reason: 1,
        head: Some(wire::Head {
            lineage,
            version: 5,
            digest: bytes::Bytes::from_static(&[9; 16]),
            count: 3,
        }),
        sketch,
    })
}

fn wild_cells(salt: u64, from: u64, count: usize) -> wire::SketchCells {
    wire::SketchCells {
        id: Some(wire::SketchId {
            lineage: 77,
            version: 5,
            salt,
        }),
        elements: 14,
        from,
        sums: vec![0xa5; count * 8].into(),
        checks: vec![0x5a; count * 8].into(),
        counts: vec![1; count],
    }
}

/// Every list, whatever happened to it: a server that repeats itself, then an
/// honest one.
fn settle(mut device: Device, server: &Server, stubborn: usize) {
    for (id, _) in std::mem::take(&mut device.waiting) {
        let failure = Failure::Unreachable("lost".to_owned());
        device.replica.handle_failure(device.now_ms, id, failure);
    }
    let (what, spoil) = STUBBORN[stubborn];
    let mut turn = 0;
    for _ in 0..3 {
        device.now_ms = device.now_ms.clamp(0, i64::MAX / 2) + DAY_MS;
        device.hold();
        device.replica.sync();
        device.run(what, |request| {
            turn += 1;
            repeated(server, request, turn, spoil)
        });
    }
    // A rung that was spoiled may have been the last: the quarantine ends.
    for _ in 0..2 {
        device.now_ms += 2 * DAY_MS;
        device.hold();
        device.replica.sync();
        device.run("is honest again", |request| server.answer(request).into());
    }
    for list in lists() {
        check_equal(&device, server, &list);
    }
}

/// The honest response, every answer of which is changed in the same way.
fn repeated(server: &Server, request: &SyncRequest, turn: u64, spoil: Habit) -> wire::SyncResponse {
    let mut honest = wire::SyncResponse::from(server.answer(request));
    let answers = (0..request.lists.len()).map(|at| {
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        let found = honest.answers.iter_mut().find(|one| one.list == index);
        let mut one = found.map(std::mem::take).unwrap_or_default();
        one.list = index;
        one.answer.get_or_insert(Answer::Aligned(wire::Aligned {}));
        spoil(turn, &mut one);
        one
    });
    wire::SyncResponse {
        answers: answers.collect(),
        ..wire::SyncResponse::default()
    }
}

/// I1: the copy is in sync, and is the server's.
fn check_equal(device: &Device, server: &Server, list: &ListKey) {
    let record = device.db.record_of(list).cloned().unwrap_or_default();
    if let Phase::Gone(_) = record.phase {
        let state = server.state(list);
        assert!(matches!(state, ListState::Ended(_)), "{list} is {state:?}");
        return;
    }
    assert_eq!(record.phase, Phase::InSync, "{list}");
    assert_eq!(
        record.shown.point,
        Some(server.head(list).point()),
        "{list}"
    );
    let there = server.items(list);
    let mut stamps: Vec<_> = there.iter().map(|item| item.stamp.0).collect();
    let here = device.db.shown(list);
    let mut own: Vec<_> = here.iter().map(|row| row.stamp.0).collect();
    stamps.sort_unstable();
    own.sort_unstable();
    assert_eq!(own, stamps, "{list}");
    // Id and rank of a row are the server's word until its payload comes: one
    // that lied about them is not found out by a digest of stamps.
    let proved = |row: &&LocalRow| row.payload.is_some();
    for row in here.iter().filter(proved) {
        let same = |item: &Item| (&item.id, &item.rank) == (&row.id, &row.rank);
        assert!(there.iter().any(same), "{list}: {row:?}");
    }
}
