//! Writes: each is sent at once or not at all, and what it changed is applied as
//! soon as it is answered.

use super::exchange::{asks_for_a_token, format, refusal};
use super::waiter::Waiter;
use super::{Ask, Engine, Goal, random_u64};
use crate::driver::{Method, Request, Response, TransportError};
use crate::error::Error;
use crate::event::Event;
use crate::report::SyncReport;
use crate::shared::{Link, Shared};
use bytes::Bytes;
use futures::channel::oneshot;
use highwater_protocol::codec::Format;
use highwater_protocol::message::WriteAnswer;
use highwater_protocol::{Code, Refusal, wire};
use std::sync::Arc;

/// How often a write is sent whose answers get lost, and how long is waited in
/// between, in milliseconds.
const ATTEMPTS_MAX: u32 = 3;
const RETRY_DELAY_MS: u64 = 300;

/// What a write does, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) method: Method,
    /// Below the server's address.
    pub(crate) path: String,
    /// JSON; empty: none.
    pub(crate) body: Bytes,
}

/// What a write brought.
pub(crate) struct Done {
    /// What the operation says of its own, as JSON.
    pub(crate) outcome: Bytes,
    /// Comes once the lists that the write changed have caught up with it, as far
    /// as they had to be asked about.
    pub(crate) caught_up: Option<oneshot::Receiver<Result<SyncReport, Error>>>,
}

pub(crate) type Reply = oneshot::Sender<Result<Done, Error>>;

/// A write that has ended.
pub(super) struct Written {
    outcome: Result<WriteAnswer, Error>,
    reply: Reply,
}

impl Engine {
    /// Sends a write, unless the server is known not to be there: then it is
    /// refused at once, and the server looked for.
    pub(super) fn write(&mut self, action: Action, reply: Reply) {
        let looks_by_itself = self.background.is_some();
        if let (Link::Lost, Some(Error::Unreachable(why)), true) =
            (self.shared.link(), &self.failure, looks_by_itself)
        {
            let _ = reply.send(Err(Error::Offline(why.clone())));
            self.replica.sync();
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.writes.push(Box::pin(async move {
            let outcome = send(&shared, &action).await;
            Written { outcome, reply }
        }));
    }

    /// A write was answered, or was not; an error ends the engine.
    pub(super) fn written(&mut self, written: Written) -> Result<(), Error> {
        self.commit()?;
        let Written { outcome, reply } = written;
        let answer = match outcome {
            Ok(answer) => answer,
            Err(error) => {
                self.not_written(&error);
                let _ = reply.send(Err(error));
                return Ok(());
            }
        };
        self.reached();
        let now_ms = self.shared.driver.clock.now_ms();
        let replica = &mut self.replica;
        let applied = self
            .shared
            .db
            .write(|local| replica.handle_changes(now_ms, &answer.changes, local));
        self.publish();
        let (behind, failed) = match applied {
            Ok(behind) => (behind, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let delayed = self.replica.poll_timeout().is_some_and(|at| at > now_ms);
        let caught_up = (!behind.is_empty() && !delayed).then(|| {
            let (reply, caught_up) = oneshot::channel();
            let goal = Goal::CatchUp(behind);
            let ask = Ask { goal, reply };
            self.waiters
                .push(Waiter::new(ask, &self.replica, self.sent, self.work));
            caught_up
        });
        let outcome = answer.outcome;
        let _ = reply.send(Ok(Done { outcome, caught_up }));
        // The write has happened, whatever the device's database can make of it.
        failed.map_or(Ok(()), |error| self.database_failed(error.into()))
    }

    /// The server answered.
    fn reached(&mut self) {
        self.failure = None;
        self.shared.set_link(Link::Found);
    }

    fn not_written(&mut self, error: &Error) {
        match error {
            Error::Offline(why) | Error::OutcomeUnknown(why) => {
                self.shared.set_link(Link::Lost);
                self.failure = Some(Error::Unreachable(why.clone()));
                self.shared.hub.happened(&Event::Failed(error.clone()));
                // What may have happened is looked for.
                self.replica.sync();
            }
            Error::PeerMisbehaved(_) => {
                self.reached();
                self.replica.sync();
            }
            Error::Refused(_) | Error::UnsupportedProtocol(_) => self.reached(),
            _ => {}
        }
    }
}

/// Sends a write, again if its answer got lost: by its key the server does it
/// once. A token that the server no longer takes is replaced once.
async fn send(shared: &Shared, action: &Action) -> Result<WriteAnswer, Error> {
    let key: Arc<str> = format!("{:016x}{:016x}", random_u64(), random_u64()).into();
    let mut token = shared.tokens.current().await?;
    let mut renewed = false;
    let mut lost = None;
    let mut attempts = 0;
    loop {
        let sent = Request {
            method: action.method,
            url: shared.server.join(&action.path),
            token: Arc::clone(&token),
            body: action.body.clone(),
            content_type: Format::Json.content_type(),
            idempotency_key: Some(Arc::clone(&key)),
        };
        attempts += 1;
        let refusal = match heard(shared.driver.transport.send(sent).await) {
            Ok(answer) => return answer.map_err(Error::PeerMisbehaved),
            Err(Unheard::Refused(status, refusal)) => {
                if asks_for_a_token(status, &refusal) && !renewed {
                    renewed = true;
                    if let Some(other) = shared.tokens.renew(&token).await? {
                        token = other;
                        continue;
                    }
                }
                refusal
            }
            Err(Unheard::NotSent(why)) => {
                return Err(match lost {
                    None => Error::Offline(why),
                    Some(lost) => Error::OutcomeUnknown(lost),
                });
            }
            Err(Unheard::Lost(why)) if attempts == ATTEMPTS_MAX => {
                return Err(Error::OutcomeUnknown(lost.unwrap_or(why)));
            }
            Err(Unheard::Lost(why)) => {
                lost.get_or_insert(why);
                shared.driver.clock.sleep(RETRY_DELAY_MS).await;
                continue;
            }
        };
        if refusal.code == Code::OutcomeUnknown && attempts < ATTEMPTS_MAX {
            shared.driver.clock.sleep(RETRY_DELAY_MS).await;
            continue;
        }
        return Err(match refusal.code {
            Code::UnsupportedProtocol => Error::UnsupportedProtocol(refusal),
            _ => Error::Refused(refusal),
        });
    }
}

/// Why a write has no answer.
enum Unheard {
    /// It did not leave the device.
    NotSent(TransportError),
    /// It may have arrived.
    Lost(TransportError),
    /// The server refused, with this status.
    Refused(u16, Refusal),
}

/// What came back. An answer that cannot be read is of a write that happened.
fn heard(came: Result<Response, TransportError>) -> Result<Result<WriteAnswer, Refusal>, Unheard> {
    let response = match came {
        Ok(response) => response,
        Err(why @ TransportError::Connect { .. }) => return Err(Unheard::NotSent(why)),
        Err(why) => return Err(Unheard::Lost(why)),
    };
    if (200..300).contains(&response.status) {
        let decoded = format(&response).decode::<wire::WriteAnswer>(response.body);
        return Ok(decoded.and_then(WriteAnswer::try_from));
    }
    match refusal(&response) {
        Ok(refusal) => Err(Unheard::Refused(response.status, refusal)),
        Err(Error::Unreachable(why)) => Err(Unheard::Lost(why)),
        Err(other) => Err(Unheard::Lost(TransportError::Unintelligible(
            other.to_string(),
        ))),
    }
}
