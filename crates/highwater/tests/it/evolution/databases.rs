//! Recorded databases, opened by today's programs.

use super::corpus::{Corpus, Today};
use super::messages::same_but_for_sketches;
use super::world::{
    Device, HELD, ask, block_on, carry_out, connect, ids_on_server, lists, read_request,
    read_response, settle,
};
use crate::harness::{Data, Server};
use highwater_core::sketch::{Decoder, Decoding, element_of};
use highwater_core::stamp::stamp_of;
use highwater_protocol::codec::Format;
use highwater_protocol::message::{
    Answer, Content, ListRequest, Position, Scan, SketchCells, SyncRequest, SyncResponse,
};
use highwater_protocol::{Stamp, limits, wire};

/// A data folder with the recorded server's database.
fn restored(corpus: &Corpus) -> Data {
    let data = Data::new();
    corpus.unpack("server", &data.path().join("highwater.db"));
    data
}

/// Today's store opens it, finds it sound, and sees the same lists at the same
/// versions with the same digests.
pub(super) fn server_is_sound(corpus: &Corpus) {
    let data = restored(corpus);
    let checked = data.check();
    assert!(checked.status.success(), "{checked:?}");
    assert_eq!(lists(&data), corpus.manifest.lists, "{}", corpus.release());
}

/// Every recorded request is answered as it was.
pub(super) fn requests_are_answered(corpus: &Corpus) {
    let data = restored(corpus);
    let server = Server::start(&data);
    for exchange in &corpus.manifest.exchanges {
        if exchange.today == Today::BytesOnly {
            continue;
        }
        let mut http = connect(&data, &server, &exchange.user);
        for (format, end) in [(Format::Protobuf, "pb"), (Format::Json, "json")] {
            let what = format!("{} {} {format:?}", corpus.release(), exchange.name);
            let sent = corpus.message(&exchange.name, &format!("request.{end}"));
            let request = read_request(format, &sent);
            let lists = request.lists.len();
            let received = ask(&mut http, format, &sent);
            let today = read_response(format, &received, lists);
            let recorded = corpus.message(&exchange.name, &format!("response.{end}"));
            let recorded = read_response(format, &recorded, lists);
            match exchange.today {
                Today::Same => assert!(
                    same_but_for_sketches(&today, &recorded),
                    "{what}: {today:?} was {recorded:?}"
                ),
                Today::AnotherSketch => assert!(sketch_of(&today).is_some(), "{what}: {today:?}"),
                Today::BytesOnly => {}
            }
            if let Some(cells) = sketch_of(&today) {
                let stamps = stamps(&request, &data, &server, &exchange.user);
                assert_means(cells, &stamps, &what);
            }
        }
    }
}

/// The sketch that comes with the news that a copy is wrong.
fn sketch_of(response: &SyncResponse) -> Option<&SketchCells> {
    match &response.answers.first()?.answer {
        Answer::Diverged(diverged) => diverged.sketch.as_ref(),
        _ => None,
    }
}

/// The stamps of the list that a request is about.
fn stamps(request: &SyncRequest, data: &Data, server: &Server, user: &str) -> Vec<Stamp> {
    let scan = SyncRequest {
        lists: vec![ListRequest {
            list: request.lists[0].list.clone(),
            position: Position::Scan(Scan {
                position: None,
                whole_up_to: 0,
                details: 0,
            }),
            details: Vec::new(),
            delta_details: None,
        }],
        page_rows: limits::PAGE_ROWS,
    };
    let sent = Format::Protobuf.encode(&wire::SyncRequest::from(scan));
    let received = ask(&mut connect(data, server, user), Format::Protobuf, &sent);
    let response = read_response(Format::Protobuf, &received, 1);
    let Some(Answer::Scan(page)) = response.answers.first().map(|one| &one.answer) else {
        panic!("{response:?}");
    };
    let stamps = page.rows.iter().map(|row| match &row.content {
        Content::Stamp(stamp) => *stamp,
        Content::Payload(payload) => stamp_of(&row.id, &row.rank, payload),
    });
    stamps.collect()
}

/// The cells are those of the list: a set that has one element more is told so.
#[track_caller]
fn assert_means(cells: &SketchCells, stamps: &[Stamp], what: &str) {
    let stranger = element_of(&cells.id, Stamp([0xee; 16]));
    let own = stamps.iter().map(|stamp| element_of(&cells.id, *stamp));
    let mut decoder = Decoder::new(own.chain([stranger]));
    match decoder.add(&cells.cells) {
        Decoding::Done(difference) => {
            assert_eq!(difference.ours, [stranger], "{what}");
            assert!(difference.theirs.is_empty(), "{what}");
        }
        other => panic!("{what}: {other:?}"),
    }
}

/// A new server takes the same operations and says the same, but for what
/// depends on its time and its incarnation.
pub(super) fn writes_are_taken(corpus: &Corpus) {
    let data = Data::new();
    let server = Server::start(&data);
    let recorded = corpus.writes();
    let taken = carry_out(&data, &server, recorded.clone());
    settle(&data, &server);
    for (recorded, taken) in recorded.iter().zip(&taken) {
        let what = format!("{} {} {}", recorded.method, recorded.path, recorded.who);
        assert_eq!(taken.status, recorded.status, "{what}: {}", taken.reply);
        let same = |value: &serde_json::Value| meaning(value.clone());
        assert_eq!(same(&taken.reply), same(&recorded.reply), "{what}");
    }
}

/// A reply without what depends on the server's incarnation and on the time: the
/// lineages, the times of what it wrote, and the ranks and sums that follow from them.
fn meaning(mut reply: serde_json::Value) -> serde_json::Value {
    forget(&mut reply);
    reply
}

fn forget(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(values) => values.iter_mut().for_each(forget),
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "lineage" | "digest" | "etag" | "rank" => *value = serde_json::Value::Null,
                    name if name.ends_with("_ms") => *value = serde_json::Value::Null,
                    _ => forget(value),
                }
            }
        }
        _ => {}
    }
}

/// Today's SDK opens it, shows what is in it at once, and catches up by what
/// changed: no list is read anew.
pub(super) fn device_catches_up(corpus: &Corpus) {
    let data = restored(corpus);
    let server = Server::start(&data);
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("device.db");
    corpus.unpack("device", &database);
    block_on(async {
        let device = Device::open(&database, &server, &data).await;
        for (kind, owner) in HELD {
            let name = format!("{kind}/{owner}");
            assert_eq!(
                device.ids(kind, owner).await.len(),
                corpus.manifest.device[&name],
                "{name}"
            );
        }
        let report = device.sync().await;
        assert!(report.is_complete() && report.in_sync == 2, "{report:?}");
        assert_eq!((report.scans, report.scanned), (0, 0), "{report:?}");
        assert!(report.changes > 0, "{report:?}");
        for (kind, owner) in HELD {
            let there = ids_on_server(&data, &format!("{kind}/{owner}"));
            let mut here = device.ids(kind, owner).await;
            let mut there_sorted = there.clone();
            here.sort();
            there_sorted.sort();
            assert_eq!(here, there_sorted, "{kind}/{owner}");
        }
        device.client.close();
    });
}
