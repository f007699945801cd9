//! Which rooms know SQL, and which know HTTP.
//!
//! A library gives its user away: whoever names `rusqlite` writes SQL, whoever
//! names `axum` speaks HTTP. The rooms that may are listed here, each with its
//! reason; a new entry is a decision about the house.

use super::rust::{RustFile, Token};
use super::tree::within;
use super::{House, Report, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "sql-rooms",
        asks: "only the stores and the SDK's local database know SQL",
        check: sql_rooms,
    },
    Rule {
        name: "http-rooms",
        asks: "only the server's http/ and live/ and the SDK's native driver know HTTP",
        check: http_rooms,
    },
];

/// A place, without `.rs` so that it names a file and its folder alike, and
/// why it may.
type Room = (&'static str, &'static str);

/// Libraries that speak SQL.
const SQL: [&str; 5] = [
    "rusqlite",
    "libsqlite3_sys",
    "sqlx",
    "postgres",
    "tokio_postgres",
];

/// Rooms that know SQL.
const SQL_ROOMS: [Room; 7] = [
    ("crates/highwater-store-sqlite", "the embedded store"),
    ("crates/highwater-store-postgres", "the shared store"),
    ("crates/highwater-sdk/src/local", "the device's database"),
    (
        "crates/highwater-sdk/tests",
        "faults are put into the database behind the SDK's back",
    ),
    (
        "crates/highwater/src/demo",
        "the demo compares copies through a path that is independent of the code on trial",
    ),
    (
        "crates/highwater/tests",
        "copies are compared, and faults put in, behind the program's back",
    ),
    (
        "crates/highwater-bench",
        "bare SQLite is the limit that is measured beside",
    ),
];

/// Libraries that speak HTTP. The crate `http` is looked for as a path only:
/// the word means many things.
const HTTP: [&str; 9] = [
    "axum",
    "hyper",
    "hyper_util",
    "http_body",
    "http_body_util",
    "tower_http",
    "reqwest",
    "ureq",
    "tungstenite",
];

/// Rooms that know HTTP.
const HTTP_ROOMS: [Room; 7] = [
    ("crates/highwater-server/src/http", "requests"),
    ("crates/highwater-server/src/live", "live connections"),
    (
        "crates/highwater-server/tests",
        "speaks to the server as a client",
    ),
    (
        "crates/highwater-sdk/src/native",
        "the native driver: the SDK's side of the wire",
    ),
    (
        "crates/highwater-sdk/tests",
        "stands in for a server that fails",
    ),
    ("crates/highwater", "the command line is a client too"),
    (
        "crates/highwater-bench",
        "a bare server is the limit that is measured beside",
    ),
];

fn sql_rooms(house: &House, report: &mut Report) {
    for (path, file) in outside(house, &SQL_ROOMS) {
        for token in named(file, &SQL) {
            report.add(
                path,
                token.line,
                format!("`{}` outside the rooms that know SQL", shown(token)),
                "ask a store through its trait, or the SDK's local/, for what is needed",
            );
        }
    }
}

fn http_rooms(house: &House, report: &mut Report) {
    for (path, file) in outside(house, &HTTP_ROOMS) {
        let paths_of_http = file
            .rows(&["http", ":", ":"])
            .filter(|&start| {
                // `crate::http::…` is a module of ours.
                start
                    .checked_sub(1)
                    .is_none_or(|before| !file.tokens[before].reads(":"))
            })
            .map(|start| &file.tokens[start]);
        for token in named(file, &HTTP).chain(paths_of_http) {
            report.add(
                path,
                token.line,
                format!("`{}` outside the rooms that know HTTP", shown(token)),
                "say it in messages of highwater-protocol, and let http/, live/ or the driver carry \
                 them (a module of ours that is called http is written `crate::http`)",
            );
        }
    }
}

/// The files of crates that are in none of the rooms. The check itself is no
/// part of the product.
fn outside<'a>(
    house: &'a House,
    rooms: &'a [Room],
) -> impl Iterator<Item = (&'a str, &'a RustFile)> {
    house.sources.files().filter(move |(path, _)| {
        let stem = path.strip_suffix(".rs").unwrap_or(path);
        path.starts_with("crates/") && !rooms.iter().any(|(room, _)| within(stem, room))
    })
}

fn named<'a>(file: &'a RustFile, words: &'a [&str]) -> impl Iterator<Item = &'a Token> {
    file.tokens
        .iter()
        .filter(|token| token.word().is_some_and(|word| words.contains(&word)))
}

fn shown(token: &Token) -> &str {
    token.word().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;

    const ROOT: (&str, &str) = ("Cargo.toml", "[workspace]\nmembers = []");

    #[test]
    fn sql_stays_in_its_rooms_also_in_tests() {
        let files = [
            ROOT,
            (
                "crates/highwater-store-sqlite/src/lib.rs",
                "use rusqlite::Connection;",
            ),
            (
                "crates/highwater-sdk/src/local.rs",
                "use rusqlite::Connection;",
            ),
            (
                "crates/highwater-sdk/src/local/rows.rs",
                "use rusqlite::Row;",
            ),
            ("crates/highwater-sdk/src/locality.rs", "use rusqlite::Row;"),
            (
                "crates/highwater-core/src/lib.rs",
                "// rusqlite\n#[cfg(test)] use rusqlite::Row;",
            ),
        ];
        assert_eq!(
            check("sql-rooms", &files),
            [
                "crates/highwater-core/src/lib.rs:2: `rusqlite` outside the rooms that know SQL",
                "crates/highwater-sdk/src/locality.rs:1: `rusqlite` outside the rooms that know SQL",
            ]
        );
    }

    #[test]
    fn http_stays_in_its_rooms() {
        let files = [
            ROOT,
            ("crates/highwater-server/src/http.rs", "use axum::Router;"),
            (
                "crates/highwater-server/src/http/lists.rs",
                "use http::StatusCode;",
            ),
            (
                "crates/highwater-server/src/lib.rs",
                "mod http;\npub use crate::http::router;\nuse http::HeaderMap;\nfn http() {}",
            ),
            ("crates/highwater-server/src/domain.rs", "\nuse axum::Json;"),
        ];
        assert_eq!(
            check("http-rooms", &files),
            [
                "crates/highwater-server/src/domain.rs:2: `axum` outside the rooms that know HTTP",
                "crates/highwater-server/src/lib.rs:3: `http` outside the rooms that know HTTP",
            ]
        );
    }
}
