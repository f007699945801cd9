//! What a user does, as methods: on the list that it is about, and on a
//! [`Group`](groups::Group).
//!
//! Each is one request, sent at once. What it changed in lists that the device
//! holds is there when it returns, without a sync; it is no error if that lags
//! behind. Without a server it fails at once with [`Error::Offline`], and nothing
//! is kept to be sent later: whether to try again is the app's to say. A rule that
//! is broken comes as [`Error::Refused`] with its code, the field and the limit.
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

impl Client {
    /// Sends a write. What the operation says of its own, as JSON.
    async fn act(
        &self,
        method: Method,
        path: Result<Path, Refusal>,
        body: Bytes,
    ) -> Result<Bytes, Error> {
        let path = path?.into_text();
        let action = Action { method, path, body };
        self.shared().write(action).await
    }

    async fn post(
        &self,
        path: Result<Path, Refusal>,
        body: &impl Serialize,
    ) -> Result<Bytes, Error> {
        self.act(Method::Post, path, json(body)?).await
    }

    /// Has something done that needs no words.
    async fn run(&self, path: Result<Path, Refusal>) -> Result<(), Error> {
        let done = self.act(Method::Post, path, Bytes::new()).await;
        done.map(drop)
    }

    async fn put(&self, path: Result<Path, Refusal>, body: &impl Serialize) -> Result<(), Error> {
        let done = self.act(Method::Put, path, json(body)?).await;
        done.map(drop)
    }

    async fn patch(&self, path: Result<Path, Refusal>, body: &impl Serialize) -> Result<(), Error> {
        let done = self.act(Method::Patch, path, json(body)?).await;
        done.map(drop)
    }

    async fn delete(&self, path: Result<Path, Refusal>) -> Result<(), Error> {
        let done = self.act(Method::Delete, path, Bytes::new()).await;
        done.map(drop)
    }
}

fn json(body: &impl Serialize) -> Result<Bytes, Error> {
    let json = serde_json::to_vec(body).map_err(|error| {
        // None of the types here is such.
        Error::Invalid(Refusal::invalid("body", error.to_string()))
    });
    json.map(Bytes::from)
}

/// What an operation says of its own. The write has happened, whatever it says.
fn outcome<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| {
        let message = format!("what the operation says cannot be read: {error}");
        let refusal = Refusal::new(Code::MalformedMessage, message);
        Error::PeerMisbehaved(refusal.at("outcome"))
    })
}
