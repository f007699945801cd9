//! What a user does with their conversations.

use super::paths;
use crate::conversations::Conversations;
use crate::error::Error;
use highwater_protocol::kinds::{Extra, Receive};
use serde::Serialize;

/// What a user wants of a conversation. What is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConversationSettings {
    /// What they want to hear of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive: Option<Receive>,
    /// Stands before those that are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// Not shown, whatever goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
    /// A private chat: messages burn so many seconds after they were read; 0: they
    /// do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burn_after_s: Option<u32>,
    /// Messages are destroyed so many seconds after they were sent; 0: they are
    /// not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destroy_after_s: Option<u32>,
    /// Data of the app's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<Extra>,
    /// What they have begun to write, on all their devices: up to 4,096 bytes;
    /// empty: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
}

#[derive(Serialize)]
struct Read {
    seq: u64,
}

impl Conversations {
    /// Changes what the user wants of a conversation (`u:` and a user id, `g:`
    /// and a group id, or `s:` and a name). One that was not there begins.
    ///
    /// # Errors
    /// `conversation_not_found`; `too_large` or `invalid_field`, with the field.
    pub async fn set(
        &self,
        conversation: &str,
        settings: &ConversationSettings,
    ) -> Result<(), Error> {
        let path = paths::conversation(self.user(), conversation);
        self.client().patch(path, settings).await
    }

    /// Says that the user has read up to a message, which may be one whose activity
    /// the server was not told of yet. It never goes back.
    ///
    /// # Errors
    /// `conversation_not_found`.
    pub async fn read(&self, conversation: &str, seq: u64) -> Result<(), Error> {
        let path = paths::conversation_verb(self.user(), conversation, "read");
        self.client().post(path, &Read { seq }).await.map(drop)
    }

    /// Clears a conversation: what was said so far has no preview and is not
    /// unread, on all the user's devices.
    ///
    /// # Errors
    /// `conversation_not_found`.
    pub async fn clear(&self, conversation: &str) -> Result<(), Error> {
        let path = paths::conversation_verb(self.user(), conversation, "clear");
        self.client().run(path).await
    }

    /// Deletes a conversation, on all the user's devices. That of a group where
    /// the user still is comes back with the next message.
    ///
    /// # Errors
    /// `conversation_not_found`.
    pub async fn delete(&self, conversation: &str) -> Result<(), Error> {
        let path = paths::conversation(self.user(), conversation);
        self.client().delete(path).await
    }
}
