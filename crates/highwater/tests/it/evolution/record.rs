//! Records a corpus: what today's software says and stores.

use super::corpus::{Corpus, Exchange, Manifest, Today, pack, written_sums};
use super::world::{
    Device, HELD, Said, USER, ask, block_on, carry_out, connect, first_writes, later_writes, lists,
    read_request, read_response, settle,
};
use crate::harness::{Data, Server};
use highwater_core::sketch::element_of;
use highwater_core::stamp::stamp_of;
use highwater_protocol::codec::Format;
use highwater_protocol::message::{
    Answer, Content, Cursor, Delta, DeltaEnd, Head, ListAnswer, ListRequest, Position, Row, Scan,
    ScanPosition, SketchId, SketchItems, SketchRange, SyncRequest, SyncResponse,
};
use highwater_protocol::{
    Digest, ItemId, Lineage, ListKey, Point, Rank, Stamp, Version, limits, wire,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A corpus of what is built here.
pub(super) fn fresh() -> Corpus {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(env!("CARGO_PKG_VERSION"));
    record(&path);
    Corpus::open(path, Some(folder))
}

/// Records the corpus of this release, if the environment says so: see
/// `cargo xtask record-corpus`. There must be none yet.
#[test]
fn a_release_is_recorded_once() {
    let home = match std::env::var_os("HIGHWATER_RECORD_CORPUS") {
        Some(home) => PathBuf::from(home),
        None => tempfile::tempdir().unwrap().keep(),
    };
    let asked_for = std::env::var_os("HIGHWATER_RECORD_CORPUS").is_some();
    let path = home.join(env!("CARGO_PKG_VERSION"));
    assert!(!path.exists(), "{} is recorded already", path.display());
    record(&path);
    let recorded = Corpus::open(path, None);
    super::messages::read_and_write(&recorded);
    super::messages::cover(&recorded);
    if asked_for {
        fs::write(home.join("SUMS"), written_sums()).unwrap();
    } else {
        fs::remove_dir_all(home).unwrap();
    }
}

/// The files of a corpus that is being written.
struct Recording<'a> {
    folder: &'a Path,
    exchanges: Vec<Exchange>,
}

impl Recording<'_> {
    fn write(&self, name: &str, file: &str, bytes: &[u8]) {
        fs::write(self.folder.join(format!("{name}.{file}")), bytes).unwrap();
    }

    fn add(&mut self, name: &str, user: &str, today: Today) -> String {
        let name = format!("{:02}-{name}", self.exchanges.len());
        self.exchanges.push(Exchange {
            name: name.clone(),
            user: user.to_owned(),
            today,
        });
        name
    }

    /// What a device said and heard in protobuf, and the same in JSON.
    fn said(&mut self, (request, response): &Said) {
        let name = self.add("device", USER, Today::BytesOnly);
        let request_read = read_request(Format::Protobuf, request);
        let lists = request_read.lists.len();
        let response_read = read_response(Format::Protobuf, response, lists);
        self.write(&name, "request.pb", request);
        self.write(&name, "response.pb", response);
        let (request, response) = (request_read.into(), response_read.into());
        self.json(&name, &request, &response);
    }

    fn json(&self, name: &str, request: &wire::SyncRequest, response: &wire::SyncResponse) {
        self.write(name, "request.json", &Format::Json.encode(request));
        self.write(name, "response.json", &Format::Json.encode(response));
    }

    /// A message that a small server never sends.
    fn made(&mut self, name: &str, request: SyncRequest, response: SyncResponse) {
        let name = self.add(name, USER, Today::BytesOnly);
        let (request, response) = (request.into(), response.into());
        self.write(&name, "request.pb", &Format::Protobuf.encode(&request));
        self.write(&name, "response.pb", &Format::Protobuf.encode(&response));
        self.json(&name, &request, &response);
    }
}

/// Asks a running server, and records it in both forms.
struct Asking<'a> {
    data: &'a Data,
    server: &'a Server,
    recording: Recording<'a>,
}

impl Asking<'_> {
    fn ask(&mut self, name: &str, user: &str, today: Today, request: &SyncRequest) -> SyncResponse {
        let mut http = connect(self.data, self.server, user);
        let name = self.recording.add(name, user, today);
        let wire = wire::SyncRequest::from(request.clone());
        for (format, end) in [(Format::Json, "json"), (Format::Protobuf, "pb")] {
            let sent = format.encode(&wire);
            let received = ask(&mut http, format, &sent);
            self.recording
                .write(&name, &format!("request.{end}"), &sent);
            self.recording
                .write(&name, &format!("response.{end}"), &received);
        }
        let received = self.recording.folder.join(format!("{name}.response.pb"));
        let received = fs::read(received).unwrap().into();
        read_response(Format::Protobuf, &received, request.lists.len())
    }

    /// Where a list stands: said to whoever is of another lineage.
    fn head(&self, user: &str, list: &ListKey) -> Head {
        let request = one(list, cursor_of(another_lineage(), 1, Digest::ZERO, 1));
        let sent = Format::Protobuf.encode(&wire::SyncRequest::from(request));
        let mut http = connect(self.data, self.server, user);
        let received = ask(&mut http, Format::Protobuf, &sent);
        let mut response = read_response(Format::Protobuf, &received, 1);
        match response.answers.pop().map(|one| one.answer) {
            Some(Answer::Diverged(diverged)) => diverged.head,
            other => panic!("{list}: {other:?}"),
        }
    }
}

fn another_lineage() -> Lineage {
    Lineage::new(0x0123_4567_89ab_cdef).unwrap()
}

fn cursor_of(lineage: Lineage, version: u64, digest: Digest, count: u64) -> Position {
    Position::Cursor(Cursor {
        point: Point {
            lineage,
            version: Version::new(version),
        },
        digest,
        count,
    })
}

fn at(head: &Head) -> Position {
    let Point { lineage, version } = head.point;
    cursor_of(lineage, version.get(), head.digest, head.count)
}

fn asked(list: &ListKey, position: Position) -> ListRequest {
    ListRequest {
        list: list.clone(),
        position,
        details: Vec::new(),
        delta_details: None,
    }
}

fn one(list: &ListKey, position: Position) -> SyncRequest {
    all(vec![asked(list, position)])
}

fn all(lists: Vec<ListRequest>) -> SyncRequest {
    SyncRequest {
        lists,
        page_rows: limits::PAGE_ROWS,
    }
}

fn list(name: &str) -> ListKey {
    name.parse().unwrap()
}

fn scan(position: Option<ScanPosition>, whole_up_to: u64) -> Position {
    Position::Scan(Scan {
        position,
        whole_up_to,
        details: 3,
    })
}

fn record(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let data = Data::new();
    let mut server = Server::start(&data);
    let mut writes = carry_out(&data, &server, first_writes());
    settle(&data, &server);
    let mut recording = Recording {
        folder,
        exchanges: Vec::new(),
    };
    let device = record_device(&mut recording, &server, &data);
    let mut asking = Asking {
        data: &data,
        server: &server,
        recording,
    };
    let before: BTreeMap<&str, Head> = ["groups/alice", "members/harbour", "members/dock"]
        .map(|name| (name, asking.head(USER, &list(name))))
        .into();
    writes.extend(carry_out(&data, &server, later_writes()));
    settle(&data, &server);
    questions(&mut asking, &before);
    others(&asking, &asking.head(USER, &list("members/harbour")));
    let exchanges = asking.recording.exchanges;
    let manifest = Manifest {
        release: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: limits::PROTOCOL,
        lists: lists(&data),
        device,
        exchanges,
    };
    server.terminate();
    assert!(server.child.wait().unwrap().success());
    pack_sqlite(folder, "server", &data.path().join("highwater.db"));
    fs::write(folder.join("manifest.json"), json(&manifest)).unwrap();
    fs::write(folder.join("writes.json"), json(&writes)).unwrap();
}

/// Anything, as JSON for people.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

/// A device's first sync, its second, and its database after them. Returns how
/// many rows of each list it has.
fn record_device(
    recording: &mut Recording<'_>,
    server: &Server,
    data: &Data,
) -> BTreeMap<String, usize> {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("device.db");
    let (said, rows) = block_on(async {
        let device = Device::open(&database, server, data).await;
        device.hold();
        for _ in 0..2 {
            let report = device.sync().await;
            assert!(report.is_complete() && report.in_sync == 2, "{report:?}");
        }
        let mut rows = BTreeMap::new();
        for (kind, owner) in HELD {
            rows.insert(
                format!("{kind}/{owner}"),
                device.ids(kind, owner).await.len(),
            );
        }
        let said = std::mem::take(&mut *device.said.lock().unwrap());
        device.client.close();
        (said, rows)
    });
    for one in &said {
        recording.said(one);
    }
    pack_sqlite(recording.folder, "device", &database);
    rows
}

/// Packs a database that nobody has open, its log put back into it.
fn pack_sqlite(folder: &Path, which: &str, database: &Path) {
    let conn = rusqlite::Connection::open(database).unwrap();
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        assert_eq!(row.get::<_, i64>(0)?, 0, "somebody has it open");
        Ok(())
    })
    .unwrap();
    conn.execute_batch("VACUUM").unwrap();
    conn.close().unwrap();
    pack(folder, which, database);
}

/// One of each kind of question and answer.
fn questions(asking: &mut Asking<'_>, before: &BTreeMap<&str, Head>) {
    let (groups, harbour, dock) = (
        list("groups/alice"),
        list("members/harbour"),
        list("members/dock"),
    );
    let now = asking.head(USER, &harbour);
    let own = asking.head(USER, &groups);
    let then = before["members/harbour"];
    let lineage = now.point.lineage;

    let both = all(vec![asked(&groups, at(&own)), asked(&harbour, at(&now))]);
    asking.ask("aligned", USER, Today::Same, &both);
    let elsewhere = cursor_of(another_lineage(), 3, now.digest, now.count);
    asking.ask("adopt", USER, Today::Same, &one(&harbour, elsewhere));
    asking.ask("delta", USER, Today::Same, &one(&harbour, at(&then)));
    let mut paged = one(&harbour, at(&then));
    paged.page_rows = 2;
    paged.lists[0].delta_details = Some(1);
    asking.ask("delta-page", USER, Today::Same, &paged);
    let other = cursor_of(another_lineage(), 9, Digest::ZERO, 7);
    let diverged = asking.ask("other-lineage", USER, Today::Same, &one(&harbour, other));
    let ahead = cursor_of(lineage, now.point.version.get() + 5, Digest::ZERO, 7);
    asking.ask("ahead", USER, Today::Same, &one(&harbour, ahead));
    let version = own.point.version.get();
    let wrong = cursor_of(own.point.lineage, version, Digest::ZERO, own.count);
    asking.ask("other-digest", USER, Today::Same, &one(&groups, wrong));

    let mut first = one(&harbour, scan(None, 0));
    first.page_rows = 10;
    let page = asking.ask("scan", USER, Today::Same, &first);
    let Answer::Scan(page) = &page.answers[0].answer else {
        panic!("a scan is answered with a page: {page:?}");
    };
    let position = ScanPosition {
        point: page.point,
        after: page.next.clone(),
    };
    let next = one(&harbour, scan(Some(position), 0));
    asking.ask("scan-to-the-end", USER, Today::Same, &next);
    asking.ask(
        "scan-whole",
        USER,
        Today::Same,
        &one(&groups, scan(None, 100)),
    );

    let mut details = one(&harbour, at(&now));
    details.lists[0].details = ["", "u01", "u02", "nobody"]
        .map(|id| ItemId::new_or_header(id).unwrap())
        .to_vec();
    asking.ask("details", USER, Today::Same, &details);

    sketches(asking, &harbour, &diverged, &page.rows);

    let dismissed = one(&dock, at(&before["members/dock"]));
    asking.ask("deleted", USER, Today::Same, &dismissed);
    asking.ask("forbidden", "bob", Today::Same, &one(&harbour, at(&then)));
    asking.ask(
        "nothing",
        "mallory",
        Today::Same,
        &one(&harbour, scan(None, 0)),
    );
    let unknown = one(&list("planets/sun"), scan(None, 0));
    asking.ask("refused", USER, Today::Same, &unknown);
    made(&mut asking.recording, &harbour, &now);
}

/// Messages outside of an exchange.
fn others(asking: &Asking<'_>, head: &Head) {
    let mut http = connect(asking.data, asking.server, USER);
    for (name, path) in [
        ("hello", "/v1/hello"),
        ("snapshot", "/v1/lists/groups/alice"),
    ] {
        for (format, end) in [(Format::Json, "json"), (Format::Protobuf, "pb")] {
            let (status, body) = http.send("GET", path, format.content_type(), b"").unwrap();
            assert_eq!(status, 200, "{path}");
            asking.recording.write(&format!("other-{name}"), end, &body);
        }
    }
    let receipts = receipts(head);
    for (format, end) in [(Format::Json, "json"), (Format::Protobuf, "pb")] {
        let bytes = format.encode(&receipts);
        asking.recording.write("other-receipts", end, &bytes);
    }
}

/// What a device tells of a repair, with every field set.
fn receipts(head: &Head) -> wire::Receipts {
    let standing = wire::Standing {
        device: Some(wire::Cursor {
            lineage: 0x0123_4567_89ab_cdef,
            version: 7,
            digest: vec![3; 16].into(),
            count: 90,
        }),
        server: Some((*head).into()),
    };
    let receipt = wire::Receipt {
        kind: "members".to_owned(),
        owner: "harbour".to_owned(),
        reason: 1,
        rung: 2,
        mended: true,
        added: 2,
        removed: 3,
        changed: 4,
        ids: vec![String::new(), "u07".to_owned(), "dédé".to_owned()],
        requests: 5,
        bytes_up: 600,
        bytes_down: 7_000,
        item_bytes: 800,
        began_at_ms: 1_700_000_000_000,
        duration_ms: 900,
        before: Some(standing.clone()),
        after: Some(standing),
    };
    wire::Receipts {
        receipts: vec![receipt],
    }
}

/// More cells of the sketch that came with the bad news, and rows by element.
fn sketches(asking: &mut Asking<'_>, list: &ListKey, diverged: &SyncResponse, rows: &[Row]) {
    let Answer::Diverged(diverged) = &diverged.answers[0].answer else {
        panic!("{diverged:?}");
    };
    let sketch = diverged.sketch.as_ref().expect("a list of 90 has a sketch");
    let range = Position::Sketch(SketchRange {
        id: Some(sketch.id),
        from: sketch.cells.len() as u64,
        cells: 32,
    });
    asking.ask("sketch", USER, Today::AnotherSketch, &one(list, range));
    let stamps = rows.iter().map(|row| match &row.content {
        Content::Stamp(stamp) => *stamp,
        Content::Payload(payload) => stamp_of(&row.id, &row.rank, payload),
    });
    let id: SketchId = sketch.id;
    let mut elements: Vec<_> = stamps.take(3).map(|stamp| element_of(&id, stamp)).collect();
    elements.push(element_of(&id, Stamp([0xee; 16])));
    let items = Position::SketchItems(SketchItems { id, elements });
    asking.ask(
        "sketch-items",
        USER,
        Today::AnotherSketch,
        &one(list, items),
    );
}

/// What only a full, or an old and purged, server says.
fn made(recording: &mut Recording<'_>, list: &ListKey, head: &Head) {
    let answer = |answer: Answer| SyncResponse {
        aligned: 0,
        answers: vec![ListAnswer {
            list: 0,
            answer,
            details: Vec::new(),
        }],
    };
    let request = one(list, at(head));
    recording.made("deferred", request.clone(), answer(Answer::Deferred));
    let row = Row {
        id: ItemId::new("dédé").unwrap(),
        rank: Rank::new(vec![0, 255]).unwrap(),
        content: Content::Stamp(Stamp([0x11; 16])),
    };
    let purged = Delta {
        rows: vec![row],
        deleted: vec![ItemId::header()],
        to: head.point.version,
        end: DeltaEnd::Proof(head.digest, head.count),
        deletes_incomplete: true,
    };
    recording.made("deletes-incomplete", request, answer(Answer::Delta(purged)));
}
