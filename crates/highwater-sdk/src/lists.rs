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

pub use highwater_protocol::kinds::{
    Announcement, Block, Circle, Conversation, ConversationId, ConversationState, ConversationType,
    Draft, Extra, Friend, FriendRequest, GroupActivity, GroupProfile, JoinPolicy, JoinRequest,
    JoinedGroup, LastMessage, Member, Mention, Receive, RequestState, Role, UserProfile,
};

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

macro_rules! kinds {
    ($($(#[$doc:meta])+ $name:ident ($kind:ident): $item:ty, $header:ty;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl View for $name {
            type Item = $item;
            type Header = $header;
        }

        impl ListKind for $name {
            const NAME: &'static str = kinds::$kind;
        }
    )+};
}

kinds! {
    /// What a user says about themselves: the header. It has no items.
    Profile (PROFILE): Opaque, UserProfile;
    /// A user's friends: pinned ones first, then by remark or name.
    Friends (FRIENDS): Friend, Opaque;
    /// Who asks to be a user's friend, newest first.
    FriendRequests (FRIEND_REQUESTS): FriendRequest, Opaque;
    /// Whom a user asks to be their friend, newest first.
    SentFriendRequests (SENT_FRIEND_REQUESTS): FriendRequest, Opaque;
    /// Whom a user blocks, newest first.
    Blocks (BLOCKS): Block, Opaque;
    /// The groups that a user has joined, newest first.
    Groups (GROUPS): JoinedGroup, Opaque;
    /// The members of a group: owner, admins, members, each by when they joined.
    /// The header is the group's profile.
    Members (MEMBERS): Member, GroupProfile;
    /// Who applies to a group, newest first.
    JoinRequests (JOIN_REQUESTS): JoinRequest, Opaque;
    /// The groups that a user applies to, newest first.
    SentJoinRequests (SENT_JOIN_REQUESTS): JoinRequest, Opaque;
    /// A user's conversations as the server keeps them, without what goes on in
    /// large groups. Apps want [`Conversations`](crate::Conversations).
    ConversationItems (CONVERSATIONS): Conversation, Opaque;
    /// What goes on in a large group: the header. It has no items.
    Activity (ACTIVITY): Opaque, GroupActivity;
}

impl Client {
    /// The groups that the user has joined.
    ///
    /// # Errors
    /// The user's id is none that a list's owner can have.
    pub fn groups(&self) -> Result<List<Groups>, Refusal> {
        self.open(self.user())
    }

    /// What the user says about themselves.
    ///
    /// # Errors
    /// The user's id is none that a list's owner can have; likewise below.
    pub fn profile(&self) -> Result<List<Profile>, Refusal> {
        self.open(self.user())
    }

    /// The user's friends.
    ///
    /// # Errors
    /// As above.
    pub fn friends(&self) -> Result<List<Friends>, Refusal> {
        self.open(self.user())
    }

    /// Who asks to be the user's friend.
    ///
    /// # Errors
    /// As above.
    pub fn friend_requests(&self) -> Result<List<FriendRequests>, Refusal> {
        self.open(self.user())
    }

    /// Whom the user asks to be their friend.
    ///
    /// # Errors
    /// As above.
    pub fn sent_friend_requests(&self) -> Result<List<SentFriendRequests>, Refusal> {
        self.open(self.user())
    }

    /// Whom the user blocks.
    ///
    /// # Errors
    /// As above.
    pub fn blocks(&self) -> Result<List<Blocks>, Refusal> {
        self.open(self.user())
    }

    /// The groups that the user applies to.
    ///
    /// # Errors
    /// As above.
    pub fn sent_join_requests(&self) -> Result<List<SentJoinRequests>, Refusal> {
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
