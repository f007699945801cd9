//! One request and its answer: encoding, the token, and what a refusal means.

use crate::driver::{Method, Request, Response, TransportError};
use crate::error::Error;
use crate::shared::Shared;
use highwater_core::replica::RequestId;
use highwater_protocol::codec::{Format, entry_bytes};
use highwater_protocol::message::{Receipts, SyncRequest, SyncResponse};
use highwater_protocol::problem::{PROBLEM_JSON, Problem};
use highwater_protocol::{Code, Refusal, wire};
use std::sync::Arc;

const SYNC: &str = "/v1/sync";
const RECEIPTS: &str = "/v1/receipts";

/// A request that has ended.
pub(super) struct Exchange {
    /// Counts requests.
    pub(super) number: u64,
    pub(super) id: RequestId,
    pub(super) request: SyncRequest,
    pub(super) outcome: Result<SyncResponse, Error>,
    /// Bytes of each list's entry in the request and in its answer, in protobuf,
    /// before compression.
    pub(super) bytes: Vec<(u64, u64)>,
    /// The server would like to be told of repairs.
    pub(super) wants_receipts: bool,
}

impl Exchange {
    pub(super) async fn run(
        shared: Arc<Shared>,
        number: u64,
        id: RequestId,
        request: SyncRequest,
    ) -> Self {
        let asked = wire::SyncRequest::from(request.clone());
        let mut bytes: Vec<(u64, u64)> = asked
            .lists
            .iter()
            .map(|list| (entry_bytes(list), 0))
            .collect();
        let mut wants_receipts = false;
        let outcome = sync(&shared, &asked, &mut bytes, &mut wants_receipts).await;
        Self {
            number,
            id,
            request,
            outcome,
            bytes,
            wants_receipts,
        }
    }
}

/// Sends one request. A token that the server no longer takes is replaced once.
async fn sync(
    shared: &Shared,
    request: &wire::SyncRequest,
    bytes: &mut [(u64, u64)],
    wants_receipts: &mut bool,
) -> Result<SyncResponse, Error> {
    let body = Format::Protobuf.encode(request);
    let mut token = shared.tokens.current().await?;
    let mut renewed = false;
    loop {
        let sent = Request {
            method: Method::Post,
            url: shared.server.join(SYNC),
            token: Arc::clone(&token),
            body: body.clone(),
            content_type: Format::Protobuf.content_type(),
            idempotency_key: None,
        };
        let response = shared.driver.transport.send(sent).await;
        let response = response.map_err(Error::Unreachable)?;
        if response.status == 200 {
            let decoded = format(&response).decode::<wire::SyncResponse>(response.body);
            return decoded
                .and_then(|answer| {
                    *wants_receipts = answer.receipts;
                    for answer in &answer.answers {
                        if let Some((_, down)) = bytes.get_mut(answer.list as usize) {
                            *down = entry_bytes(answer);
                        }
                    }
                    SyncResponse::parse(answer, request.lists.len())
                })
                .map_err(Error::PeerMisbehaved);
        }
        let refusal = refusal(&response)?;
        if asks_for_a_token(response.status, &refusal) && !renewed {
            renewed = true;
            if let Some(other) = shared.tokens.renew(&token).await? {
                token = other;
                continue;
            }
        }
        return Err(match refusal.code {
            Code::UnsupportedProtocol => Error::UnsupportedProtocol(refusal),
            _ => Error::Refused(refusal),
        });
    }
}

pub(super) fn format(response: &Response) -> Format {
    let named = response.content_type.as_deref();
    named
        .and_then(Format::from_content_type)
        .unwrap_or_default()
}

/// Tells the server of repairs. Whether that worked is nobody's concern: what
/// was told is for people to look at.
pub(super) async fn post_receipts(shared: Arc<Shared>, receipts: Receipts) {
    let Ok(token) = shared.tokens.current().await else {
        return;
    };
    let request = Request {
        method: Method::Post,
        url: shared.server.join(RECEIPTS),
        token,
        body: Format::Protobuf.encode(&wire::Receipts::from(receipts)),
        content_type: Format::Protobuf.content_type(),
        idempotency_key: None,
    };
    let _ = shared.driver.transport.send(request).await;
}

/// Whether another token may help. A code that is not known here is judged by
/// its status.
pub(super) fn asks_for_a_token(status: u16, refusal: &Refusal) -> bool {
    match refusal.code {
        Code::InvalidToken | Code::ExpiredToken | Code::MissingToken => true,
        Code::Unknown => status == 401,
        _ => false,
    }
}

/// Reads why the server refused. Whatever stands between, a proxy say, speaks
/// another language: then the server was not reached.
pub(super) fn refusal(response: &Response) -> Result<Refusal, Error> {
    let named = response.content_type.as_deref().unwrap_or_default();
    let decoded = if named.starts_with(PROBLEM_JSON) {
        Problem::read(&response.body).map(Refusal::from)
    } else {
        Format::from_content_type(named)
            .and_then(|format| format.decode::<wire::Error>(response.body.clone()).ok())
            .filter(|error| !error.code.is_empty())
            .map(Refusal::from)
    };
    decoded.ok_or_else(|| {
        Error::Unreachable(TransportError::Unintelligible(format!(
            "status {} without an explanation",
            response.status
        )))
    })
}
