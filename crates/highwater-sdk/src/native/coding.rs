//! Content codings: what bodies are compressed with.

use bytes::Bytes;
use flate2::read::GzDecoder;
use highwater_protocol::codec::{ZSTD_DICTIONARY, ZSTD_DICTIONARY_CODING};
use std::io::{self, Read};
use std::sync::LazyLock;
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// What this side can decode, the best first.
pub(super) const ACCEPTED: &str = "hw1, zstd, gzip";

/// Bodies of requests that are longer than this are worth compressing.
pub(super) const WORTHWHILE_BYTES: usize = 1_024;

/// Fast, and nearly as small as the slow levels on messages of this size.
const LEVEL: i32 = 3;

static DECODER: LazyLock<DecoderDictionary<'static>> =
    LazyLock::new(|| DecoderDictionary::copy(ZSTD_DICTIONARY));
static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(ZSTD_DICTIONARY, LEVEL));

/// Why a body could not be decoded.
#[derive(Debug)]
pub(super) enum Undecodable {
    /// It is longer than it may be.
    TooLarge,
    /// What is wrong with it.
    Broken(String),
}

/// Compresses a request with the protocol's dictionary; `None`: it would not
/// become shorter.
pub(super) fn encode(body: &[u8]) -> Option<Bytes> {
    let compressed = || -> io::Result<Vec<u8>> {
        let dictionary = &*ENCODER;
        let mut encoder =
            zstd::stream::write::Encoder::with_prepared_dictionary(Vec::new(), dictionary)?;
        encoder.set_pledged_src_size(Some(body.len() as u64))?;
        io::Write::write_all(&mut encoder, body)?;
        encoder.finish()
    };
    // Compression is a favour: a body that cannot be compressed goes as it is.
    let compressed = compressed().ok()?;
    (compressed.len() < body.len()).then(|| compressed.into())
}

/// Undoes a content coding. At most `limit` bytes come out.
pub(super) fn decode(
    coding: Option<&str>,
    body: Bytes,
    limit: usize,
) -> Result<Bytes, Undecodable> {
    let coding = coding.map(str::trim);
    let broken = |error: io::Error| {
        let coding = coding.unwrap_or_default();
        Undecodable::Broken(format!("its {coding} coding is broken: {error}"))
    };
    let decoded = match coding {
        None | Some("" | "identity") => {
            return match body.len() > limit {
                true => Err(Undecodable::TooLarge),
                false => Ok(body),
            };
        }
        Some("gzip") => bounded(GzDecoder::new(&*body), limit),
        Some("zstd") => {
            let decoder = zstd::stream::read::Decoder::new(&*body).map_err(broken)?;
            bounded(decoder, limit)
        }
        Some(ZSTD_DICTIONARY_CODING) => {
            let decoder = zstd::stream::read::Decoder::with_prepared_dictionary(&*body, &DECODER)
                .map_err(broken)?;
            bounded(decoder, limit)
        }
        Some(other) => {
            return Err(Undecodable::Broken(format!(
                "it is encoded with {other:?}, which was not asked for"
            )));
        }
    };
    let decoded = decoded.map_err(broken)?;
    if decoded.len() > limit {
        return Err(Undecodable::TooLarge);
    }
    Ok(decoded.into())
}

/// Reads up to one byte more than `limit`.
fn bounded(decoder: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut decoded = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut decoded)?;
    Ok(decoded)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(body: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn every_accepted_coding_is_undone() {
        let body = b"the same again and again, the same again and again".repeat(40);
        let coded = [
            (None, Bytes::from(body.clone())),
            (Some("gzip"), gzip(&body)),
            (Some("zstd"), zstd::encode_all(&*body, 1).unwrap().into()),
            (Some("hw1"), encode(&body).unwrap()),
        ];
        for (coding, bytes) in coded {
            assert_eq!(
                decode(coding, bytes, body.len()).unwrap(),
                body,
                "{coding:?}"
            );
        }
        for coding in ACCEPTED.split(", ") {
            // None of them is refused as unknown.
            let undecodable = decode(Some(coding), Bytes::from_static(b"x"), 9);
            assert!(
                !matches!(&undecodable, Err(Undecodable::Broken(why)) if why.contains("asked for")),
                "{coding}"
            );
        }
    }

    #[test]
    fn a_bomb_is_not_unpacked_beyond_the_limit() {
        let bomb = vec![0; 10_000_000];
        for (coding, bytes) in [
            (None, Bytes::from(bomb.clone())),
            (Some("gzip"), gzip(&bomb)),
            (Some("hw1"), encode(&bomb).unwrap()),
        ] {
            let undecodable = decode(coding, bytes, 1_000);
            assert!(
                matches!(undecodable, Err(Undecodable::TooLarge)),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_broken() {
        let cut = gzip(&[7; 1_000]).slice(..12);
        assert!(matches!(
            decode(Some("gzip"), cut, 9_999),
            Err(Undecodable::Broken(_))
        ));
        let unknown = decode(Some("br"), Bytes::new(), 9_999);
        assert!(matches!(unknown, Err(Undecodable::Broken(why)) if why.contains("br")));
        assert!(encode(&[]).is_none());
    }
}
