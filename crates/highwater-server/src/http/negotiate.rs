//! In which form, and in which coding, a request is written and wants to be
//! answered.

use highwater_protocol::codec::{Format, ZSTD_DICTIONARY_CODING};
use highwater_protocol::{Code, Refusal};
use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName};

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Zstd,
    /// zstd with the protocol's dictionary.
    Dictionary,
}

impl Coding {
    /// Those that compress, the preferred ones first.
    const COMPRESSING: [Self; 3] = [Self::Dictionary, Self::Zstd, Self::Gzip];

    /// Its name in headers.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Dictionary => ZSTD_DICTIONARY_CODING,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Identity, Self::Gzip, Self::Zstd, Self::Dictionary]
            .into_iter()
            .find(|coding| name.eq_ignore_ascii_case(coding.as_str()))
            .or_else(|| name.eq_ignore_ascii_case("x-gzip").then_some(Self::Gzip))
    }
}

/// What is accepted of request bodies, as a refused request is told.
pub(super) const ACCEPTED_CODINGS: &str = "hw1, zstd, gzip";

/// How a request wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) format: Format,
    pub(super) coding: Coding,
}

impl Terms {
    /// What the headers of a request ask for. Nobody is refused for what they
    /// accept: failing all else they get JSON, uncompressed.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self {
            format: response_format(headers),
            coding: response_coding(headers),
        }
    }
}

/// The form of a request's body.
///
/// Refused with `unsupported_media_type` if it is neither protobuf nor JSON, or
/// not said.
pub(super) fn request_format(headers: &HeaderMap) -> Result<Format, Refusal> {
    let content_type = text(headers, &CONTENT_TYPE);
    content_type
        .and_then(Format::from_content_type)
        .ok_or_else(|| {
            Refusal::new(
                Code::UnsupportedMediaType,
                format!(
                    "the content type is {}; send {} or {}",
                    content_type.unwrap_or("missing"),
                    Format::Protobuf.content_type(),
                    Format::Json.content_type()
                ),
            )
            .at("content-type")
        })
}

/// The coding of a request's body.
///
/// Refused with `unsupported_encoding` if it is not known, or more than one.
pub(super) fn request_coding(headers: &HeaderMap) -> Result<Coding, Refusal> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let coding = match (values.next(), values.next()) {
        (None, _) => Some(Coding::Identity),
        (Some(value), None) => value.to_str().ok().map(str::trim).and_then(Coding::parse),
        (Some(_), Some(_)) => None,
    };
    coding.ok_or_else(|| {
        Refusal::new(
            Code::UnsupportedEncoding,
            format!("a body is encoded as one of {ACCEPTED_CODINGS}, once, or not at all"),
        )
        .at("content-encoding")
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn response_format(headers: &HeaderMap) -> Format {
    let default = text(headers, &CONTENT_TYPE)
        .and_then(Format::from_content_type)
        .unwrap_or(Format::Json);
    let other = match default {
        Format::Json => Format::Protobuf,
        Format::Protobuf => Format::Json,
    };
    let quality = |format: Format| {
        let name = format.content_type();
        weighted(headers, &ACCEPT)
            .filter_map(|(range, quality)| {
                let precision = match range {
                    "*/*" => 0,
                    "application/*" => 1,
                    _ if range.eq_ignore_ascii_case(name) => 2,
                    _ => return None,
                };
                Some((precision, quality))
            })
            .max_by_key(|(precision, _)| *precision)
            .map_or(0, |(_, quality)| quality)
    };
    if quality(other) > quality(default) {
        other
    } else {
        default
    }
}

fn response_coding(headers: &HeaderMap) -> Coding {
    let quality = |coding: Coding| {
        let named = |name: &str| Coding::parse(name) == Some(coding);
        let mut any = None;
        for (name, quality) in weighted(headers, &ACCEPT_ENCODING) {
            if named(name) {
                return quality;
            }
            if name == "*" {
                any = Some(quality);
            }
        }
        // A client that accepts anything hardly has this protocol's dictionary.
        match coding {
            Coding::Dictionary => 0,
            _ => any.unwrap_or(0),
        }
    };
    let mut best = (Coding::Identity, 0);
    for coding in Coding::COMPRESSING {
        let quality = quality(coding);
        if quality > best.1 {
            best = (coding, quality);
        }
    }
    best.0
}

/// The elements of a header's list with their weights, in thousandths.
fn weighted<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = (&'a str, u16)> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|element| {
            let mut parts = element.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts
                .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .map_or(1_000, thousandths);
            (name, weight)
        })
}

/// A weight that cannot be read counts as none.
fn thousandths(weight: &str) -> u16 {
    match weight.parse::<f32>() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1,000"
        )]
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1_000.0).round() as u16,
        _ => 0,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter().cloned();
        pairs
            .map(|(name, value)| (name, value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_best_coding_that_the_client_has_is_taken() {
        let coding = |accept| Terms::of(&headers(&[(ACCEPT_ENCODING, accept)])).coding;
        assert_eq!(Terms::of(&headers(&[])).coding, Coding::Identity);
        assert_eq!(coding("gzip, zstd, hw1"), Coding::Dictionary);
        assert_eq!(coding("gzip, zstd"), Coding::Zstd);
        assert_eq!(coding("GZIP"), Coding::Gzip);
        assert_eq!(coding("gzip;q=0.9, zstd;q=0.5, hw1;q=0"), Coding::Gzip);
        assert_eq!(coding("gzip; q=1.0, zstd ;q=1"), Coding::Zstd);
        assert_eq!(coding("*"), Coding::Zstd);
        assert_eq!(coding("*;q=0.1, zstd;q=0"), Coding::Gzip);
        assert_eq!(coding("br, identity"), Coding::Identity);
        assert_eq!(coding("gzip;q=0"), Coding::Identity);
        assert_eq!(coding("gzip;q=much, ,;;"), Coding::Identity);
    }

    #[test]
    fn an_answer_is_written_as_accepted_or_as_the_request_was() {
        let of = |pairs: &[(HeaderName, &str)]| Terms::of(&headers(pairs)).format;
        let protobuf = (CONTENT_TYPE, "application/x-protobuf");
        let json = (CONTENT_TYPE, "application/json; charset=utf-8");
        assert_eq!(of(&[]), Format::Json);
        assert_eq!(of(std::slice::from_ref(&protobuf)), Format::Protobuf);
        assert_eq!(of(&[json.clone(), (ACCEPT, "*/*")]), Format::Json);
        assert_eq!(
            of(&[json, (ACCEPT, "application/x-protobuf")]),
            Format::Protobuf
        );
        assert_eq!(
            of(&[protobuf.clone(), (ACCEPT, "application/json, */*;q=0.1")]),
            Format::Json
        );
        assert_eq!(of(&[protobuf.clone(), (ACCEPT, "*/*")]), Format::Protobuf);
        assert_eq!(of(&[protobuf, (ACCEPT, "text/html")]), Format::Protobuf);
        assert_eq!(
            of(&[(
                ACCEPT,
                "application/x-protobuf;q=0.2, application/json;q=0.3"
            )]),
            Format::Json
        );
    }

    #[test]
    fn a_request_says_what_it_is_written_in() {
        let format = |pairs: &[(HeaderName, &str)]| {
            request_format(&headers(pairs)).map_err(|no| (no.code, no.field))
        };
        let refused = Err((Code::UnsupportedMediaType, "content-type".to_owned()));
        assert_eq!(format(&[]), refused);
        assert_eq!(format(&[(CONTENT_TYPE, "text/plain")]), refused);
        assert_eq!(
            format(&[(CONTENT_TYPE, "Application/JSON")]),
            Ok(Format::Json)
        );
        let coding =
            |value| request_coding(&headers(&[(CONTENT_ENCODING, value)])).map_err(|no| no.code);
        assert_eq!(request_coding(&headers(&[])), Ok(Coding::Identity));
        assert_eq!(coding("X-GZip"), Ok(Coding::Gzip));
        assert_eq!(coding("hw1"), Ok(Coding::Dictionary));
        assert_eq!(coding("br"), Err(Code::UnsupportedEncoding));
        assert_eq!(coding("gzip, zstd"), Err(Code::UnsupportedEncoding));
    }
}
