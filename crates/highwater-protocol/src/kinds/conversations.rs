//! Conversations, their settings and what goes on in them.

use super::extra::Extra;
use super::payload::{choice, message};
use crate::error::Refusal;
use crate::ids::ItemId;

/// The id of a conversation: the id of its item.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConversationId {
    /// With a user, by the user's id: `u:` and it.
    User(String),
    /// Of a group, by the group's id: `g:` and it.
    Group(String),
    /// Of the system, by its name: `s:` and it.
    System(String),
}

impl ConversationId {
    /// Reads an id.
    ///
    /// # Errors
    /// Another form, at field `conversation`.
    pub fn parse(id: &str) -> Result<Self, Refusal> {
        match id.split_at_checked(2) {
            Some(("u:", user)) if !user.is_empty() => Ok(Self::User(user.to_owned())),
            Some(("g:", group)) if !group.is_empty() => Ok(Self::Group(group.to_owned())),
            Some(("s:", name)) if !name.is_empty() => Ok(Self::System(name.to_owned())),
            _ => Err(Refusal::invalid(
                "conversation",
                "a conversation is u: and a user id, g: and a group id, or s: and a name",
            )),
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_text(&self) -> String {
        match self {
            Self::User(user) => format!("u:{user}"),
            Self::Group(group) => format!("g:{group}"),
            Self::System(name) => format!("s:{name}"),
        }
    }

    /// The id as an item's.
    ///
    /// # Errors
    /// One that is too long.
    pub fn to_item(&self) -> Result<ItemId, Refusal> {
        ItemId::new(&self.as_text()).map_err(|no| no.at("conversation"))
    }

    /// What kind of conversation it is.
    #[must_use]
    pub const fn conversation_type(&self) -> ConversationType {
        match self {
            Self::User(_) => ConversationType::User,
            Self::Group(_) => ConversationType::Group,
            Self::System(_) => ConversationType::System,
        }
    }
}

choice! {
    /// With whom a conversation is.
    ConversationType("type") {
        /// Another user.
        User = "user",
        /// A group.
        Group = "group",
        /// The system.
        System = "system",
    }
    default System
}

choice! {
    /// Whether a conversation goes on.
    ConversationState("state") {
        /// It does.
        Active = "active",
        /// The owner of the list left the group, or was sent away.
        Left = "left",
        /// The group was dismissed, or the other user deleted.
        Ended = "ended",
    }
    default Active
}

choice! {
    /// What its owner wants to hear of a conversation.
    Receive("receive") {
        /// Everything.
        Notify = "notify",
        /// Messages come without a notification.
        Silent = "silent",
        /// Messages do not come.
        Nothing = "nothing",
    }
    default Notify
}

choice! {
    /// Who is mentioned.
    Mention("mention") {
        /// The owner of the list.
        Me = "me",
        /// Everybody.
        All = "all",
    }
    default Me
}

message! {
    /// The last message of a conversation.
    LastMessage {
        /// Rises with each message of the conversation, from 1.
        seq: u64,
        /// When it was sent.
        at_ms: i64,
        /// A user id; empty: the system.
        sender: String,
        /// Up to 1,024 bytes.
        preview: String,
    }
}

message! {
    /// What its owner has begun to write.
    Draft {
        /// Up to 4,096 bytes.
        text: String,
        /// When it was changed.
        at_ms: i64,
    }
}

message! {
    /// An item of [`CONVERSATIONS`](super::CONVERSATIONS); its id is a
    /// [`ConversationId`].
    Conversation {
        /// With whom it is.
        r#type: ConversationType,
        /// Whether it goes on.
        state: ConversationState,
        /// When it began.
        created_at_ms: i64,
        /// Of the other user, or of a system conversation.
        name: String,
        /// Of the same.
        avatar: String,
        /// What its owner wants to hear of it.
        receive: Receive,
        /// Stands before those that are not.
        pinned: bool,
        /// Not shown, whatever goes on.
        hidden: bool,
        /// A private chat: messages burn so many seconds after they were read;
        /// 0: they do not.
        burn_after_s: u32,
        /// Messages are destroyed so many seconds after they were sent; 0: they
        /// are not.
        destroy_after_s: u32,
        /// Data of the app's own.
        extra: Extra,
        /// What its owner has begun to write.
        draft: Option<Draft>,
        /// `None`: none yet, or it lives with the group (`shared`).
        last: Option<LastMessage>,
        /// The highest sequence that the owner has read.
        read_seq: u64,
        /// Who is mentioned since.
        mention: Option<Mention>,
        /// Where the mention stands; it is over when that is read.
        mention_seq: u64,
        /// Messages up to here were cleared: they have no preview and are not
        /// unread.
        cleared_seq: u64,
        /// Deleted by its owner: not shown until there is activity past
        /// `cleared_seq`.
        deleted: bool,
        /// The group is large: its activity is the header of its
        /// [`ACTIVITY`](super::ACTIVITY). The newer of that and `last`, by
        /// sequence, holds.
        shared: bool,
    }
}

message! {
    /// The header of a group's [`ACTIVITY`](super::ACTIVITY).
    GroupActivity {
        /// The last message.
        last: Option<LastMessage>,
        /// The last message that mentioned everybody; 0: none.
        mention_all_seq: u64,
    }
}

impl Conversation {
    /// Messages that were not read, given the last one: none are unread that were
    /// cleared, nor any while the last is the owner's own.
    #[must_use]
    pub fn unread(&self, owner: &str, last: Option<&LastMessage>) -> u64 {
        match last {
            Some(last) if last.sender != owner => {
                last.seq.saturating_sub(self.read_seq.max(self.cleared_seq))
            }
            _ => 0,
        }
    }
}
