//! Writing answers and refusals, in the form and coding that a request asked
//! for, with as few headers as say all.

use super::coding;
use super::negotiate::{ACCEPTED_CODINGS, Coding, Terms};
use super::terms;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use highwater_protocol::codec::Format;
use highwater_protocol::problem::{PROBLEM_JSON, Problem};
use highwater_protocol::{Code, Refusal, wire};
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

/// Answers with a message.
pub(super) async fn message<M>(terms: Terms, status: StatusCode, message: M) -> Response
where
    M: prost::Message + Serialize + 'static,
{
    // Its length in protobuf: near enough to decide where it is written.
    let bytes = message.encoded_len();
    let work = move || compressed(terms.coding, terms.format.encode(&message));
    let (coding, body) = coding::off_thread(bytes, work).await;
    with_body(status, terms.format.content_type(), coding, body)
}

/// Answers with JSON, whatever the form that was asked for.
pub(super) async fn json<T>(terms: Terms, status: StatusCode, value: T) -> Response
where
    T: Serialize + Send + 'static,
{
    let body = to_json(&value);
    let bytes = body.len();
    let work = move || compressed(terms.coding, body);
    let (coding, body) = coding::off_thread(bytes, work).await;
    with_body(status, Format::Json.content_type(), coding, body)
}

/// A value as JSON.
pub(super) fn to_json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value)
        .unwrap_or_else(|error| unreachable!("an answer is always JSON: {error}"))
        .into()
}

/// Answers with plain text.
pub(super) fn text(status: StatusCode, content_type: &'static str, text: String) -> Response {
    let mut response = (status, Body::from(text)).into_response();
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Answers with a refusal: an `Error` in protobuf, problem details in JSON.
pub(super) fn refusal(terms: Terms, refusal: Refusal) -> Response {
    let status = status(refusal.code);
    let code = refusal.code;
    let retry_after_s = refusal.retry_after_ms.div_ceil(1_000);
    let (content_type, body) = match terms.format {
        Format::Protobuf => {
            let body = terms.format.encode(&wire::Error::from(refusal));
            (Format::Protobuf.content_type(), body)
        }
        Format::Json => {
            let problem = Problem::new(refusal, status.as_u16());
            (PROBLEM_JSON, to_json(&problem))
        }
    };
    let (coding, body) = compressed(terms.coding, body);
    let mut response = with_body(status, content_type, coding, body);
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if code == Code::UnsupportedEncoding {
        let accepted = HeaderValue::from_static(ACCEPTED_CODINGS);
        headers.insert(ACCEPT_ENCODING, accepted);
    }
    if retry_after_s > 0 {
        headers.insert(RETRY_AFTER, retry_after_s.into());
    }
    response
}

/// Answers with a message, or why there is none.
pub(super) async fn outcome<M>(terms: Terms, outcome: Result<M, Refusal>) -> Response
where
    M: prost::Message + Serialize + 'static,
{
    match outcome {
        Ok(answer) => message(terms, StatusCode::OK, answer).await,
        Err(no) => refusal(terms, no),
    }
}

/// Answers at an address that nothing is at.
pub(super) async fn not_found(request: Request) -> Response {
    let no = Refusal::new(
        Code::NotFound,
        "there is nothing at this address; a slash within an id is written %2F",
    );
    refusal(terms(&request), no.at("path"))
}

/// Answers a method that an address does not have.
pub(super) async fn method_not_allowed(request: Request) -> Response {
    let message = format!("this address has no method {}", request.method());
    let no = Refusal::new(Code::MethodNotAllowed, message);
    refusal(terms(&request), no.at("method"))
}

fn compressed(coding: Coding, body: Bytes) -> (Coding, Bytes) {
    match coding::compress(coding, &body) {
        Some(compressed) => (coding, compressed),
        None => (Coding::Identity, body),
    }
}

fn with_body(
    status: StatusCode,
    content_type: &'static str,
    coding: Coding,
    body: Bytes,
) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static(content_type);
    headers.insert(CONTENT_TYPE, content_type);
    if coding != Coding::Identity {
        let coding = HeaderValue::from_static(coding.as_str());
        headers.insert(CONTENT_ENCODING, coding);
    }
    response
}

/// The status that a code travels under, as `docs/protocol.md` lists them.
pub(super) const fn status(code: Code) -> StatusCode {
    match code {
        Code::MissingToken | Code::InvalidToken | Code::ExpiredToken => StatusCode::UNAUTHORIZED,
        Code::Forbidden | Code::Blocked | Code::JoinRefused => StatusCode::FORBIDDEN,
        Code::NotFound
        | Code::GroupNotFound
        | Code::UserNotFound
        | Code::RequestNotFound
        | Code::ConversationNotFound
        | Code::UnknownKind => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::UnsupportedMediaType | Code::UnsupportedEncoding => {
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        }
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::TooMany
        | Code::MalformedMessage
        | Code::UnsupportedProtocol
        | Code::InvalidField
        | Code::ZeroLineage => StatusCode::BAD_REQUEST,
        Code::GroupExists
        | Code::NotMember
        | Code::AlreadyMember
        | Code::OwnerRequired
        | Code::AlreadyFriends
        | Code::NotFriend
        | Code::NotBlocked => StatusCode::CONFLICT,
        Code::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Code::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
        Code::ReadOnly | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_status_that_the_document_says() {
        let document = include_str!("../../../../docs/protocol.md");
        for &code in Code::ALL {
            let row = format!("| `{code}` | {} |", status(code).as_u16());
            assert!(document.contains(&row), "{row} is not in docs/protocol.md");
        }
    }
}
