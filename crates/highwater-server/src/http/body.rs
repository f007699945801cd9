//! Reading a request's body: within its limits of size and time.

use super::App;
use super::coding::{self, too_large};
use super::negotiate;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use highwater_protocol::{Code, Refusal, limits};
use highwater_store::Store;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt as _;
use std::time::Duration;

/// Bytes of a body that is too long which are read and dropped, so that its
/// sender gets to read the refusal.
const DRAINED_BYTES_MAX: usize = 4 * limits::REQUEST_BYTES;
/// How many times longer a compressed body is expected to become.
const EXPECTED_RATIO: usize = 8;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads a body and decompresses it.
///
/// Refused with `unsupported_encoding`, `too_large`, or `malformed_message` if
/// it breaks off, is late or is not encoded as said.
pub(super) async fn read<S: Store>(
    app: &App<S>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, Refusal> {
    let coding = negotiate::request_coding(headers)?;
    let limit = limits::REQUEST_BYTES;
    let received = tokio::time::timeout(app.config.body_timeout, receive(headers, body, limit));
    let received = received.await.map_err(|_| {
        let limit_ms = app.config.body_timeout.as_millis();
        Refusal::new(
            Code::MalformedMessage,
            format!("the request's body did not arrive within {limit_ms} ms"),
        )
        .at("body")
    })??;
    app.metrics.received(received.len());
    if coding == negotiate::Coding::Identity {
        return Ok(received);
    }
    let expected = received.len().saturating_mul(EXPECTED_RATIO);
    let work = move || coding::decompress(coding, received, limit);
    coding::off_thread(expected, work).await
}

async fn receive(headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limit as u64) {
        // Whoever asks before sending is spared it.
        if !headers.contains_key(EXPECT) {
            drain(body).await;
        }
        return Err(too_large(limit));
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Refusal::new(
                Code::MalformedMessage,
                format!("the request's body broke off: {error}"),
            )
            .at("body")
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len() + all.len() + data.len() > limit {
            drain(body).await;
            return Err(too_large(limit));
        }
        // Most bodies are one piece, which need not be copied.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
                first = Bytes::new();
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Reads what is still coming, within reason.
async fn drain(mut body: Body) {
    let read = async {
        let mut drained = 0;
        while let Some(Ok(frame)) = body.frame().await {
            drained += frame.data_ref().map_or(0, Bytes::len);
            if drained > DRAINED_BYTES_MAX {
                break;
            }
        }
    };
    // Whoever sends for longer does not care for the answer.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, read).await;
}
