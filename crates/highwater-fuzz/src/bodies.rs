//! What else arrives from outside: the bodies of writes and imports, compressed
//! bodies, tokens, and files of histories.

use highwater::history::History;
use highwater_protocol::Code;
use highwater_server::auth::{Keys, issue, verify};
use highwater_server::domain::{CHANGES_PER_REQUEST, ImportRequest};
use highwater_server::fuzzing;
use std::io::Cursor;
use std::sync::LazyLock;

/// When the tokens here are checked, in seconds since 1970.
pub(crate) const NOW_S: i64 = 1_700_000_000;

/// What a compressed body may grow to here: small, so that its end is met.
const DECOMPRESSED_BYTES_MAX: usize = 64 * 1024;

/// The same key on every run, so that the corpus has tokens that are good.
static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let file = "[[keys]]\nid = 'hs'\nalgorithm = 'HS256'\n\
                secret = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8'\n";
    fuzzing::keys(file).unwrap_or_else(|error| unreachable!("the key is right: {error}"))
});

/// Tokens that are good.
pub(crate) fn issued_tokens() -> Vec<String> {
    let Some(key) = KEYS.signing() else {
        unreachable!("an HS256 key signs");
    };
    [("alice", None), ("backend", Some("other service"))]
        .into_iter()
        .filter_map(|(subject, scope)| issue(key, subject, scope, NOW_S, 3_600))
        .collect()
}

pub(crate) fn writes(data: &[u8]) {
    let _ = fuzzing::is_a_body(data);
}

pub(crate) fn imports(data: &[u8]) {
    if let Ok(request) = ImportRequest::parse(data) {
        assert!(request.changes.len() <= CHANGES_PER_REQUEST);
        assert!(request.at_ms >= 0);
    }
}

/// A file is a stream: it is read until it ends or breaks, and the line that is
/// broken is named.
pub(crate) fn history(data: &[u8]) {
    let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
    let Ok(mut history) = History::new(Cursor::new(data.to_vec()), "fuzzed".to_owned()) else {
        return;
    };
    let compressed = data.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    // A few bytes may stand for many: the target is not to measure that.
    for _ in 0..10_000 {
        let Some(transaction) = history.next() else {
            break;
        };
        assert!(compressed || history.line() <= lines);
        if let Err(error) = transaction {
            assert!(format!("{error:#}").contains("fuzzed line"), "{error:#}");
            break;
        }
    }
}

pub(crate) fn compressed(data: &[u8]) {
    for decompressed in fuzzing::decompress(data, DECOMPRESSED_BYTES_MAX) {
        match decompressed {
            Ok(body) => assert!(body.len() <= DECOMPRESSED_BYTES_MAX),
            Err(no) => assert!(matches!(no.code, Code::TooLarge | Code::MalformedMessage)),
        }
    }
}

/// A token of anything is refused; only one that was issued is good, which the
/// fuzzer cannot forge.
pub(crate) fn tokens(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match verify(&KEYS, &text, NOW_S) {
        Ok(claims) => assert!(
            issued_tokens().iter().any(|issued| *issued == text),
            "forged: {claims:?}"
        ),
        Err(no) => assert!(matches!(no.code, Code::InvalidToken | Code::ExpiredToken)),
    }
}
