//! The kinds of list that apps use, as types over their payloads. The only room
//! of this crate that knows what a group is.
//!
//! Another kind is a type, its payload, and no line of sync code:
//!
//! ```
//! use highwater_protocol::Refusal;
//! use highwater_protocol::kinds::Payload;
//! use highwater_sdk::{Client, List, ListKind, Opaque, View};
//!
//! struct Note(String);
//!
//! impl Payload for Note {
//!     fn encode(&self) -> Vec<u8> {
//!         self.0.clone().into_bytes()
//!     }
//!     fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
//!         let text = String::from_utf8(bytes.to_vec());
//!         Ok(Self(text.map_err(|_| Refusal::invalid("payload", "a note is text"))?))
//!     }
//! }
//!
//! enum Notes {}
//!
//! impl View for Notes {
//!     type Item = Note;
//!     type Header = Opaque;
//! }
//!
//! impl ListKind for Notes {
//!     const NAME: &'static str = "notes";
//! }
//!
//! fn notes(client: &Client) -> Result<List<Notes>, Refusal> {
//!     client.open(client.user())
//! }
//! ```

use crate::client::Client;
use crate::list::List;
use highwater_protocol::Refusal;
use highwater_protocol::kinds::{self, Payload};

pub use highwater_protocol::kinds::{GroupProfile, JoinedGroup, Member, Role};

/// How a list's payloads are read.
pub trait View: 'static {
    /// What an item holds.
    type Item: Payload;
    /// What the header holds.
    type Header: Payload;

    /// Reads an item's payload.
    ///
    /// # Errors
    /// Bytes that are no such payload.
    fn item(payload: &[u8]) -> Result<Self::Item, Refusal> {
        Self::Item::decode(payload)
    }

    /// Reads the header's payload.
    ///
    /// # Errors
    /// Bytes that are no such payload.
    fn header(payload: &[u8]) -> Result<Self::Header, Refusal> {
        Self::Header::decode(payload)
    }
}

/// A kind of list: a view with a name.
pub trait ListKind: View {
    /// The kind's name on the wire.
    const NAME: &'static str;
}

/// A payload that nobody looks into; its bytes are the row's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opaque;

impl Payload for Opaque {
    fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    fn decode(_: &[u8]) -> Result<Self, Refusal> {
        Ok(Self)
    }
}

/// A list of any kind, its payloads as raw bytes.
#[derive(Clone, Copy, Debug)]
pub enum Raw {}

impl View for Raw {
    type Item = Opaque;
    type Header = Opaque;
}

/// The groups that a user has joined, newest first.
#[derive(Clone, Copy, Debug)]
pub enum Groups {}

impl View for Groups {
    type Item = JoinedGroup;
    type Header = Opaque;
}

impl ListKind for Groups {
    const NAME: &'static str = kinds::GROUPS;
}

/// The members of a group: owner, admins, members, each by when they joined.
/// The header is the group's profile.
#[derive(Clone, Copy, Debug)]
pub enum Members {}

impl View for Members {
    type Item = Member;
    type Header = GroupProfile;
}

impl ListKind for Members {
    const NAME: &'static str = kinds::MEMBERS;
}

impl Client {
    /// The groups that the user has joined.
    ///
    /// # Errors
    /// The user's id is none that a list's owner can have.
    pub fn groups(&self) -> Result<List<Groups>, Refusal> {
        self.open(self.user())
    }

    /// The members of a group.
    ///
    /// # Errors
    /// `group` is no id that a group can have.
    pub fn members(&self, group: &str) -> Result<List<Members>, Refusal> {
        self.open(group)
    }
}
