//! Bodies that are compressed, both ways, and bombs.

use crate::kit::{Client, Reply, Running, store};
use crate::rules::{create, invite, run};
use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};
use highwater_protocol::codec::ZSTD_DICTIONARY;
use highwater_store::memory::MemoryStore;
use std::io::Write as _;
use zstd::bulk::{Compressor, Decompressor};

const CODINGS: [&str; 3] = ["gzip", "zstd", "hw1"];
const JSON: (&str, &str) = ("content-type", "application/json");

fn encode(coding: &str, body: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
            gzip.write_all(body).unwrap();
            gzip.finish().unwrap()
        }
        "zstd" => Compressor::new(3).unwrap().compress(body).unwrap(),
        _ => Compressor::with_dictionary(3, ZSTD_DICTIONARY)
            .unwrap()
            .compress(body)
            .unwrap(),
    }
}

fn decode(coding: &str, body: &[u8]) -> Vec<u8> {
    let room = 10_000_000;
    match coding {
        "gzip" => {
            let mut gzip = GzDecoder::new(Vec::new());
            gzip.write_all(body).unwrap();
            gzip.finish().unwrap()
        }
        "zstd" => Decompressor::new().unwrap().decompress(body, room).unwrap(),
        "hw1" => Decompressor::with_dictionary(ZSTD_DICTIONARY)
            .unwrap()
            .decompress(body, room)
            .unwrap(),
        _ => body.to_vec(),
    }
}

async fn with_members(count: usize) -> (MemoryStore, Running, Client) {
    let store = store();
    run(&store, create("g", Some("o"))).await.unwrap();
    let users: Vec<String> = (0..count).map(|at| format!("u{at:05}")).collect();
    for users in users.chunks(250) {
        let users: Vec<_> = users.iter().map(String::as_str).collect();
        run(&store, invite("o", "g", &users)).await.unwrap();
    }
    let server = Running::start(store.clone()).await;
    let client = server.user("o").await;
    (store, server, client)
}

const SCAN: &[u8] =
    br#"{"protocol":1,"lists":[{"kind":"members","owner":"g","scan":{"wholeUpTo":"100000"}}]}"#;

async fn scan(client: &mut Client, accept: &str) -> Reply {
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/x-protobuf"),
        ("accept-encoding", accept),
    ];
    client.send("POST", "/v1/sync", &headers, SCAN).await.ok()
}

#[tokio::test]
async fn answers_come_in_the_best_coding_that_is_accepted() {
    let (_, server, mut client) = with_members(300).await;
    let plain = scan(&mut client, "identity").await;
    assert_eq!(plain.header("content-encoding"), "");
    for (accept, coding) in [
        ("gzip", "gzip"),
        ("gzip, zstd", "zstd"),
        ("gzip, zstd, hw1", "hw1"),
        ("gzip;q=1, zstd;q=0.5", "gzip"),
        ("br", ""),
    ] {
        let reply = scan(&mut client, accept).await;
        assert_eq!(reply.header("content-encoding"), coding, "{accept}");
        assert_eq!(decode(coding, &reply.body), plain.body, "{accept}");
        if !coding.is_empty() {
            assert!(reply.bytes * 2 < plain.bytes, "{accept}: {}", reply.bytes);
        }
    }
    server.end().await;
}

/// Long answers are compressed off the thread that serves.
#[tokio::test]
async fn long_answers_are_compressed_too() {
    let (_, server, mut client) = with_members(20_000).await;
    let path = "/v1/lists/members/g";
    let plain = client.get(path).await.ok();
    assert!(plain.body.len() > 1_000_000);
    for coding in CODINGS {
        let headers = [("accept-encoding", coding)];
        let reply = client.send("GET", path, &headers, &[]).await.ok();
        assert_eq!(reply.header("content-encoding"), coding);
        assert_eq!(decode(coding, &reply.body), plain.body);
    }
    server.end().await;
}

#[tokio::test]
async fn requests_may_be_compressed() {
    let (_, server, mut client) = with_members(3).await;
    let plain = scan(&mut client, "identity").await;
    for coding in CODINGS {
        let headers = [
            JSON,
            ("accept", "application/x-protobuf"),
            ("content-encoding", coding),
        ];
        let body = encode(coding, SCAN);
        let reply = client.send("POST", "/v1/sync", &headers, &body).await.ok();
        assert_eq!(reply.body, plain.body, "{coding}");
        let cut = &body[..body.len() - 5];
        let reply = client.send("POST", "/v1/sync", &headers, cut).await;
        assert_eq!(
            reply.refusal(),
            (400, "malformed_message".to_owned(), "body".to_owned(), 0),
            "{coding}"
        );
    }
    for coding in ["br", "gzip, gzip", "deflate"] {
        let headers = [JSON, ("content-encoding", coding)];
        let reply = client.send("POST", "/v1/sync", &headers, SCAN).await;
        assert_eq!(
            reply.refusal(),
            (
                415,
                "unsupported_encoding".to_owned(),
                "content-encoding".to_owned(),
                0
            )
        );
        assert_eq!(reply.header("accept-encoding"), "hw1, zstd, gzip");
    }
    server.end().await;
}

#[tokio::test]
async fn a_limit_holds_after_decompression() {
    let (_, server, mut client) = with_members(3).await;
    let limit = 8 * 1024 * 1024;
    // A request of the longest kind, padded with what JSON passes over.
    let mut longest = SCAN.to_vec();
    longest.resize(limit, b' ');
    for coding in CODINGS {
        let headers = [JSON, ("content-encoding", coding)];
        let body = encode(coding, &longest);
        client.send("POST", "/v1/sync", &headers, &body).await.ok();
        for length in [limit + 1, 100 * limit] {
            let mut bomb = SCAN.to_vec();
            bomb.resize(length, b' ');
            let body = encode(coding, &bomb);
            let reply = client.send("POST", "/v1/sync", &headers, &body).await;
            assert_eq!(
                reply.refusal(),
                (413, "too_large".to_owned(), "body".to_owned(), limit as u64),
                "{coding} {length}"
            );
        }
    }
    server.end().await;
}
