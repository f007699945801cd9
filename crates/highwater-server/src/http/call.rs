//! A request to one of the operations in JSON: who sends it, what its path and
//! body say, under which conditions; and how it is answered.

use super::changes::{Answer, Change, Nothing};
use super::negotiate::{Terms, request_format};
use super::{App, body, reply};
use crate::auth::Identity;
use crate::domain::permissions::OnUser;
use crate::domain::{
    Actor, Conditions, GroupId, Idempotency, ListChange, Precondition, UserId, Written,
};
use axum::response::Response;
use bytes::Bytes;
use highwater_core::answer::Access;
use highwater_protocol::codec::Format;
use highwater_protocol::kinds::Extra;
use highwater_protocol::{Code, ItemId, ListKey, Refusal, Stamp, wire};
use highwater_store::{Store, Write};
use http::header::{ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The header that names a request which may come again.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Stands on an answer that was given before.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What bodies an operation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// None; one that comes is not read.
    Nothing,
    /// JSON, or nothing at all.
    MaybeJson,
    /// JSON.
    Json,
}

/// A request, read.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) identity: Arc<Identity>,
    pub(super) terms: Terms,
    pub(super) headers: HeaderMap,
    method: Method,
    uri: Uri,
    /// By name, decoded.
    path: Vec<(String, String)>,
    body: Bytes,
}

impl Call {
    /// Reads a request.
    pub(super) async fn read<S: Store>(
        app: &App<S>,
        takes: Takes,
        terms: Terms,
        path: Result<Vec<(String, String)>, Refusal>,
        request: http::Request<axum::body::Body>,
    ) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let identity = app.identify(&parts.headers)?;
        let body = match takes {
            Takes::Nothing => Bytes::new(),
            Takes::Json | Takes::MaybeJson => {
                let format = request_format(&parts.headers);
                if takes == Takes::Json || format.is_ok() {
                    check_is_json(format.clone())?;
                }
                let body = body::read(app, &parts.headers, body).await?;
                // Without a content type, there may be no body to have one.
                if !body.is_empty() {
                    check_is_json(format)?;
                }
                body
            }
        };
        Ok(Self {
            identity,
            terms,
            path: path?,
            headers: parts.headers,
            method: parts.method,
            uri: parts.uri,
            body,
        })
    }

    /// What the path names.
    pub(super) fn named(&self, name: &str) -> &str {
        let found = self.path.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The group that the path names.
    pub(super) fn group(&self) -> Result<GroupId, Refusal> {
        GroupId::new(self.named("group"))
    }

    /// The user for whom something is done: users act for themselves, as far as
    /// the table says so; a service says for whom.
    pub(super) fn for_whom(
        &self,
        what: OnUser,
        field: &str,
        named: Option<&str>,
    ) -> Result<UserId, Refusal> {
        match (&self.identity.actor, named) {
            (Actor::User(user), None) => Ok(user.clone()),
            (actor, Some(named)) => {
                let user = UserId::new(named).map_err(|no| no.at(field))?;
                what.require(actor, &user).map_err(|no| no.at(field))?;
                Ok(user)
            }
            (Actor::Service, None) => Err(Refusal::invalid(
                field,
                "a service has to say for which user it acts",
            )),
        }
    }

    /// What the body says.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        parse(&self.body)
    }

    /// The body's bytes.
    pub(super) fn body_bytes(&self) -> Bytes {
        self.body.clone()
    }

    /// What the body says, if there is one.
    pub(super) fn body_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Refusal> {
        if self.body.is_empty() {
            return Ok(T::default());
        }
        self.body()
    }

    /// What the query says: the value of one name, decoded.
    pub(super) fn query(&self, name: &str) -> Result<Option<String>, Refusal> {
        let pairs = self.uri.query().unwrap_or_default().split('&');
        let mut values = pairs.filter_map(|pair| {
            let (known, value) = pair.split_once('=').unwrap_or((pair, ""));
            (known == name).then_some(value)
        });
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Refusal::invalid(name, "it is given more than once"));
        }
        let decoded = percent_decoded(value);
        let decoded =
            decoded.ok_or_else(|| Refusal::invalid(name, "it is not percent-encoded UTF-8"));
        decoded.map(Some)
    }

    /// Whether the sender says that they have what is of this stamp.
    pub(super) fn holds(&self, stamp: Stamp) -> bool {
        holds(&self.headers, &etag(stamp))
    }

    /// Says that what the sender has still holds.
    pub(super) fn not_modified(&self, stamp: Stamp) -> Response {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        tagged(response, stamp)
    }

    /// Refuses a tag where there is no single item that could have it.
    pub(super) fn takes_no_tag(&self) -> Result<(), Refusal> {
        let message = "this operation is not about one item: it takes no if-match";
        match self.headers.contains_key(IF_MATCH) {
            true => Err(Refusal::invalid("if-match", message)),
            false => Ok(()),
        }
    }

    /// The conditions of a write that is about no single item.
    pub(super) fn conditions(&self) -> Result<Conditions, Refusal> {
        self.takes_no_tag()?;
        Ok(Conditions {
            idempotency: self.idempotency()?,
            precondition: None,
        })
    }

    /// The conditions of a write that is about one item.
    pub(super) fn conditions_on(
        &self,
        list: ListKey,
        item: &ItemId,
    ) -> Result<Conditions, Refusal> {
        let stamps = if_match(&self.headers)?;
        Ok(Conditions {
            idempotency: self.idempotency()?,
            precondition: stamps.map(|stamps| Precondition {
                list,
                item: item.clone(),
                stamps,
            }),
        })
    }

    fn idempotency(&self) -> Result<Option<Idempotency>, Refusal> {
        let mut sent = self.headers.get_all(IDEMPOTENCY_KEY).iter();
        let key = match (sent.next(), sent.next()) {
            (None, _) => return Ok(None),
            (Some(key), None) => key,
            (Some(_), Some(_)) => {
                return Err(Refusal::invalid(
                    IDEMPOTENCY_KEY.as_str(),
                    "a request has one idempotency key",
                ));
            }
        };
        // What is no text is no key: the bytes of one are checked there.
        let key = key.to_str().unwrap_or_default();
        let path = self.uri.path_and_query().map_or("", |path| path.as_str());
        let request = [self.method.as_str().as_bytes(), path.as_bytes(), &self.body];
        let Identity { actor, subject } = &*self.identity;
        Idempotency::new(actor, subject, key, &request).map(Some)
    }

    /// The answer to a write: what it says of its own, beside those of its
    /// changes that the asker may read.
    pub(super) async fn wrote<S, T, O>(
        &self,
        app: &App<S>,
        status: StatusCode,
        written: Written<T>,
        own: impl FnOnce(T) -> O,
    ) -> Response
    where
        S: Store,
        O: Serialize + JsonSchema + Send + 'static,
    {
        let changes = self.readable(app, written.changes).await;
        let own = own(written.output);
        let mut response = match self.terms.format {
            Format::Json => {
                let changes = changes.iter().map(Change::from).collect();
                reply::json(self.terms, status, Answer { changes, own }).await
            }
            Format::Protobuf => {
                let answer = super::changes::message(changes, &own);
                reply::message(self.terms, status, wire::WriteAnswer::from(answer)).await
            }
        };
        if written.replayed {
            let replayed = HeaderValue::from_static("true");
            response
                .headers_mut()
                .insert(IDEMPOTENCY_REPLAYED, replayed);
        }
        response
    }

    /// Carries out a write that has nothing to say of its own, and answers.
    pub(super) async fn done<S, W>(
        &self,
        app: &App<S>,
        write: W,
        conditions: &Conditions,
    ) -> Result<Response, Refusal>
    where
        S: Store,
        W: Write<Output = (), Refusal = Refusal>,
    {
        let written = app.directory.write(write, conditions).await?;
        let nothing = |()| Nothing {};
        Ok(self.wrote(app, StatusCode::OK, written, nothing).await)
    }

    /// Those changes that are of lists which the asker may read now.
    async fn readable<S: Store>(&self, app: &App<S>, changes: Vec<ListChange>) -> Vec<ListChange> {
        let lists: Vec<&ListKey> = changes.iter().map(|change| &change.list).collect();
        // What was written is written: whoever cannot be shown it reads it later.
        let access = app.reader.access(&self.identity.actor, &lists).await;
        let access = access.unwrap_or_default().into_iter();
        let both = access.zip(changes);
        both.filter_map(|(access, change)| match access {
            Access::Read => Some(change),
            Access::Header => change.header_alone(),
            Access::Denied | Access::Refused(_) => None,
        })
        .collect()
    }
}

fn check_is_json(format: Result<Format, Refusal>) -> Result<(), Refusal> {
    match format? {
        Format::Json => Ok(()),
        Format::Protobuf => {
            let message = "operations are written in application/json";
            let no = Refusal::new(Code::UnsupportedMediaType, message);
            Err(no.at("content-type"))
        }
    }
}

/// Reads a body of JSON.
///
/// Refused with `malformed_message` at field `body`, or at the field that is not
/// what it should be; too much of the app's own data, with its limit.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let malformed = |field: &str, error: &serde_json::Error| {
        let message = format!("the body is not the expected JSON: {error}");
        Refusal::new(Code::MalformedMessage, message).at(field)
    };
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        // Too much of the app's own data has a limit to name.
        let sent = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
        if let Some(Err(no)) = sent
            .get("extra")
            .map(|extra| Extra::parse(&extra.to_string()))
        {
            return no;
        }
        let place = error.path().to_string();
        let field = if place == "." { "body" } else { &place };
        malformed(field, error.inner())
    })?;
    // An array of a body's fields in their order would be taken for it.
    if !body.trim_ascii_start().starts_with(b"{") {
        let message = "the body is not the expected JSON: it is an object";
        return Err(Refusal::new(Code::MalformedMessage, message).at("body"));
    }
    json.end().map_err(|error| malformed("body", &error))?;
    Ok(read)
}

/// The tag of an item.
pub(super) fn etag(stamp: Stamp) -> String {
    format!("\"{stamp}\"")
}

/// Puts an item's tag on an answer.
pub(super) fn tagged(mut response: Response, stamp: Stamp) -> Response {
    let tag =
        HeaderValue::from_str(&etag(stamp)).unwrap_or_else(|_| unreachable!("a tag is plain"));
    response.headers_mut().insert(ETAG, tag);
    response
}

/// Whether `if-none-match` names a tag.
pub(super) fn holds(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|held| held == "*" || held.strip_prefix("W/").unwrap_or(held) == tag)
}

/// What `if-match` accepts: `None`: it was not sent; `Some(None)`: any content.
///
/// A weak tag, or one that is no stamp, accepts nothing.
fn if_match(headers: &HeaderMap) -> Result<Option<Option<Vec<Stamp>>>, Refusal> {
    if !headers.contains_key(IF_MATCH) {
        return Ok(None);
    }
    let mut stamps = Vec::new();
    for value in headers.get_all(IF_MATCH) {
        let text = value.to_str().unwrap_or_default();
        if text.trim() == "*" {
            return Ok(Some(None));
        }
        for tag in text.split(',').map(str::trim) {
            let bare = tag.strip_prefix("W/").unwrap_or(tag);
            let quoted = bare.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let Some(quoted) = quoted else {
                let message = "if-match is `*`, or tags in double quotes";
                return Err(Refusal::invalid("if-match", message));
            };
            if bare.len() == tag.len() {
                stamps.extend(stamp_of(quoted));
            }
        }
    }
    Ok(Some(Some(stamps)))
}

/// Reads 32 hexadecimal digits.
fn stamp_of(text: &str) -> Option<Stamp> {
    let mut bytes = [0; 16];
    if text.len() != 2 * bytes.len() || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(Stamp(bytes))
}

/// `None`: an escape is cut short, or the bytes are no UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(16 * high + low).ok()?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_a_stamp() {
        let stamp = Stamp([0xab; 16]);
        let accepted = |value: &str| {
            let headers = HeaderMap::from_iter([(IF_MATCH, value.parse().unwrap())]);
            if_match(&headers).map_err(|no| no.field)
        };
        let tag = etag(stamp);
        assert_eq!(accepted(&tag), Ok(Some(Some(vec![stamp]))));
        assert_eq!(
            accepted(&format!("\"x\", {tag}")),
            Ok(Some(Some(vec![stamp])))
        );
        assert_eq!(accepted(&format!("W/{tag}")), Ok(Some(Some(vec![]))));
        assert_eq!(accepted("\"é\""), Err("if-match".to_owned()));
        assert_eq!(accepted(" * "), Ok(Some(None)));
        assert_eq!(accepted("abc"), Err("if-match".to_owned()));
        assert_eq!(if_match(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn a_query_is_percent_encoded() {
        assert_eq!(percent_decoded("a%2Fb+c").as_deref(), Some("a/b c"));
        assert_eq!(percent_decoded("%C3%A9").as_deref(), Some("é"));
        for bad in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(percent_decoded(bad), None, "{bad}");
        }
    }
}
