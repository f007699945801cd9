//! Compressing and decompressing bodies, within bounds.

use super::negotiate::Coding;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::{GzEncoder, MultiGzDecoder};
use highwater_protocol::codec::ZSTD_DICTIONARY;
use highwater_protocol::{Code, Refusal};
use parking_lot::Mutex;
use std::io::{self, Read};
use std::sync::LazyLock;
use zstd::bulk::Compressor;
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::stream::read::Decoder;
use zstd::zstd_safe::CParameter;

const ZSTD_LEVEL: i32 = 3;
/// The largest window that a request may ask this server to keep: 8 MiB, as
/// much as a request may have.
const WINDOW_LOG_MAX: u32 = 23;
/// Bytes of `content-encoding: zstd` and its line's end: less is not saved by
/// compressing.
const HEADER_BYTES: usize = 24;
/// Compressors that are kept for the next answer.
const COMPRESSORS_KEPT: usize = 4;
/// Bodies up to so many bytes are (de)compressed and decoded where they are;
/// longer ones would hold up the requests that share the thread.
const INLINE_BYTES_MAX: usize = 64 * 1024;

static ENCODER_DICTIONARY: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(ZSTD_DICTIONARY, ZSTD_LEVEL));
static DECODER_DICTIONARY: LazyLock<DecoderDictionary<'static>> =
    LazyLock::new(|| DecoderDictionary::copy(ZSTD_DICTIONARY));
static PLAIN: Pool = Pool::new(|| Compressor::new(ZSTD_LEVEL));
static WITH_DICTIONARY: Pool = Pool::new(|| {
    let mut compressor = Compressor::with_prepared_dictionary(&ENCODER_DICTIONARY)?;
    // The coding's name says which dictionary it is.
    compressor.set_parameter(CParameter::DictIdFlag(false))?;
    Ok(compressor)
});

/// Compressors, which are costly to make.
struct Pool {
    idle: Mutex<Vec<Compressor<'static>>>,
    make: fn() -> io::Result<Compressor<'static>>,
}

impl Pool {
    const fn new(make: fn() -> io::Result<Compressor<'static>>) -> Self {
        Self {
            idle: Mutex::new(Vec::new()),
            make,
        }
    }

    fn compress(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let idle = self.idle.lock().pop();
        let mut compressor = match idle {
            Some(compressor) => compressor,
            None => (self.make)()?,
        };
        let compressed = compressor.compress(bytes)?;
        let mut idle = self.idle.lock();
        if idle.len() < COMPRESSORS_KEPT {
            idle.push(compressor);
        }
        Ok(compressed)
    }
}

/// Runs work on `bytes` bytes, elsewhere if it is long.
pub(super) async fn off_thread<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if bytes <= INLINE_BYTES_MAX {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            // Contained to the request, like any other.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => unreachable!("work that has begun is not cancelled"),
        },
    }
}

/// Compresses a body; `None` if that saves nothing.
pub(super) fn compress(coding: Coding, body: &[u8]) -> Option<Bytes> {
    if body.len() <= HEADER_BYTES {
        return None;
    }
    let compressed = match coding {
        Coding::Identity => return None,
        Coding::Gzip => {
            let mut compressed = Vec::new();
            GzEncoder::new(body, Compression::default())
                .read_to_end(&mut compressed)
                .map(|_| compressed)
        }
        Coding::Zstd => PLAIN.compress(body),
        Coding::Dictionary => WITH_DICTIONARY.compress(body),
    };
    match compressed {
        Ok(compressed) if compressed.len() + HEADER_BYTES < body.len() => Some(compressed.into()),
        Ok(_) => None,
        Err(error) => {
            tracing::error!(%error, coding = coding.as_str(), "a body could not be compressed");
            None
        }
    }
}

/// Decompresses a body to at most `limit` bytes.
///
/// Refused with `too_large`, or `malformed_message` if it is not so encoded.
pub(super) fn decompress(coding: Coding, body: Bytes, limit: usize) -> Result<Bytes, Refusal> {
    let read = match coding {
        Coding::Identity => return Ok(body),
        Coding::Gzip => read_up_to(MultiGzDecoder::new(&body[..]), limit),
        Coding::Zstd => {
            Decoder::with_buffer(&body[..]).and_then(|decoder| zstd_up_to(decoder, limit))
        }
        Coding::Dictionary => Decoder::with_prepared_dictionary(&body[..], &DECODER_DICTIONARY)
            .and_then(|decoder| zstd_up_to(decoder, limit)),
    };
    match read {
        Ok(Some(bytes)) => Ok(bytes.into()),
        Ok(None) => Err(too_large(limit)),
        Err(error) => Err(Refusal::new(
            Code::MalformedMessage,
            format!("the body is not encoded as {}: {error}", coding.as_str()),
        )
        .at("body")),
    }
}

fn zstd_up_to<R: io::BufRead>(
    mut decoder: Decoder<'_, R>,
    limit: usize,
) -> io::Result<Option<Vec<u8>>> {
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    read_up_to(decoder, limit)
}

/// Reads to the end; `None` if that is further than `limit`.
fn read_up_to(reader: impl Read, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= limit).then_some(bytes))
}

/// A whole request is too long.
pub(super) fn too_large(limit: usize) -> Refusal {
    Refusal::new(
        Code::TooLarge,
        format!("the request's body has more than {limit} bytes, after decompression"),
    )
    .at("body")
    .limit(limit)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::Write as _;

    const ALL: [Coding; 3] = [Coding::Gzip, Coding::Zstd, Coding::Dictionary];

    #[test]
    fn bodies_come_back_as_they_went() {
        let body = Bytes::from(b"groups/u1 members/g1 ".repeat(100));
        for coding in ALL {
            let compressed = compress(coding, &body).unwrap();
            assert!(compressed.len() < 100, "{coding:?}: {}", compressed.len());
            assert_eq!(decompress(coding, compressed, body.len()).unwrap(), body);
        }
        assert_eq!(
            decompress(Coding::Identity, body.clone(), 1).unwrap(),
            body,
            "a plain body is bounded as it is read"
        );
    }

    #[test]
    fn what_gains_nothing_goes_as_it_is() {
        let noise: Vec<u8> = (0..200u32)
            .map(|at| u8::try_from((at.wrapping_mul(2_654_435_761) >> 24) & 0xff).unwrap())
            .collect();
        for coding in ALL {
            assert_eq!(compress(coding, &noise), None, "{coding:?}");
            assert_eq!(compress(coding, b"aaaaaaaaaa"), None, "{coding:?}");
        }
        assert_eq!(compress(Coding::Identity, &[0; 1_000]), None);
    }

    #[test]
    fn a_bomb_goes_off_in_a_small_box() {
        let limit = 1_000_000;
        let zeros = vec![0; 100 * limit];
        for coding in ALL {
            let bomb = compress(coding, &zeros).unwrap();
            let no = decompress(coding, bomb, limit).unwrap_err();
            assert_eq!((no.code, no.limit), (Code::TooLarge, limit as u64));
        }
        for coding in ALL {
            let fits = compress(coding, &zeros[..limit]).unwrap();
            assert_eq!(decompress(coding, fits, limit).unwrap().len(), limit);
        }
    }

    /// Counts what is taken out of an endless stream.
    struct Endless(usize);

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += buffer.len();
            Ok(buffer.len())
        }
    }

    #[test]
    fn no_more_is_decompressed_than_may_be() {
        let (mut endless, limit) = (Endless(0), 100_000);
        assert_eq!(read_up_to(&mut endless, limit).unwrap(), None);
        assert_eq!(endless.0, limit + 1);
    }

    #[test]
    fn what_is_not_so_encoded_is_malformed() {
        let body = Bytes::from(b"groups/u1 members/g1 ".repeat(100));
        for coding in ALL {
            let compressed = compress(coding, &body).unwrap();
            let cut = compressed.slice(..compressed.len() - 3);
            for bad in [cut, Bytes::from_static(b"no such thing")] {
                let no = decompress(coding, bad, 10_000).unwrap_err();
                assert_eq!(
                    (no.code, no.field.as_str()),
                    (Code::MalformedMessage, "body")
                );
            }
        }
        // A frame that asks for more memory than any request has bytes.
        let mut wide = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        wide.window_log(27).unwrap();
        wide.write_all(&body).unwrap();
        let no = decompress(Coding::Zstd, wide.finish().unwrap().into(), 10_000).unwrap_err();
        assert_eq!(no.code, Code::MalformedMessage);
    }
}
