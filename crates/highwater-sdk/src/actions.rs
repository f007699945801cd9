//! What a user does, as methods: on the list that it is about, and on a
//! [`Group`](groups::Group).
//!
//! Each is one request, sent at once. What it changed in lists that the device
//! holds is there when it returns, without a sync; it is no error if that lags
//! behind. Without a server it fails at once with
//! [`Error::Offline`](crate::Error::Offline), and nothing is kept to be sent
//! later: whether to try again is the app's to say. A rule that is broken comes
//! as [`Error::Refused`](crate::Error::Refused) with its code, the field and the
//! limit.
//!
//! Dropping the future does not take the write back.

pub mod conversations;
pub mod friends;
pub mod groups;
mod paths;
pub mod people;

use crate::client::Client;
use crate::driver::Method;
use crate::engine::Action;
use crate::error::Error;
use bytes::Bytes;
use highwater_protocol::{Code, Refusal};
use paths::Path;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A body with nothing in it.
#[derive(Serialize)]
struct Nothing {}

impl Client {
    /// Sends a write with a body. What the operation says of its own, as JSON.
    async fn act(
        &self,
        method: Method,
        path: Result<Path, Refusal>,
        body: &impl Serialize,
    ) -> Result<Bytes, Error> {
        let path = path?.into_text();
        let body = serde_json::to_vec(body).map_err(|error| {
            // No type here can be such; an app's would say which of its own.
            Error::Invalid(Refusal::invalid("body", error.to_string()))
        })?;
        let body = body.into();
        let action = Action { method, path, body };
        self.shared().write(action).await
    }

    async fn post(
        &self,
        path: Result<Path, Refusal>,
        body: &impl Serialize,
    ) -> Result<Bytes, Error> {
        self.act(Method::Post, path, body).await
    }

    async fn put(&self, path: Result<Path, Refusal>, body: &impl Serialize) -> Result<(), Error> {
        self.act(Method::Put, path, body).await.map(drop)
    }

    async fn patch(&self, path: Result<Path, Refusal>, body: &impl Serialize) -> Result<(), Error> {
        self.act(Method::Patch, path, body).await.map(drop)
    }

    async fn delete(&self, path: Result<Path, Refusal>) -> Result<(), Error> {
        let path = path?.into_text();
        let action = Action {
            method: Method::Delete,
            path,
            body: Bytes::new(),
        };
        self.shared().write(action).await.map(drop)
    }
}

/// What an operation says of its own. The write has happened, whatever it says.
fn outcome<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| {
        let message = format!("what the operation says cannot be read: {error}");
        let refusal = Refusal::new(Code::MalformedMessage, message);
        Error::PeerMisbehaved(refusal.at("outcome"))
    })
}
