//! Decoders of what arrives over HTTP which nothing else outside needs: they
//! are here to be fed with anything.

use super::negotiate::Coding;
use super::{coding, groups};
use crate::auth::{Keys, KeysError};
use bytes::Bytes;
use highwater_protocol::Refusal;
use std::path::Path;

/// Whether the body of any operation on groups can be read from this JSON.
#[must_use]
pub fn is_a_body(json: &[u8]) -> bool {
    groups::is_a_body(json)
}

/// Decompresses a body with each of the codings: gzip, zstd, `hw1`.
///
/// # Errors
/// In the place of each coding that the bytes are not in, or that they are too
/// long in: why.
pub fn decompress(body: &[u8], limit: usize) -> [Result<Bytes, Refusal>; 3] {
    [Coding::Gzip, Coding::Zstd, Coding::Dictionary]
        .map(|coding| coding::decompress(coding, Bytes::copy_from_slice(body), limit))
}

/// The keys of a keys file's text.
///
/// # Errors
/// As of [`Keys::load`].
pub fn keys(toml: &str) -> Result<Keys, KeysError> {
    Keys::parse(Path::new("in memory"), toml)
}

/// Compresses a body with each of the codings, where that saves anything.
#[must_use]
pub fn compress(body: &[u8]) -> Vec<Vec<u8>> {
    [Coding::Gzip, Coding::Zstd, Coding::Dictionary]
        .into_iter()
        .filter_map(|coding| coding::compress(coding, body))
        .map(|compressed| compressed.to_vec())
        .collect()
}
