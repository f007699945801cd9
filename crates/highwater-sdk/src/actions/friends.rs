//! Friends, and who asks to be one.

use super::{json, outcome, paths};
use crate::driver::Method;
use crate::error::Error;
use crate::list::List;
use crate::lists::Friends;
use bytes::Bytes;
use highwater_protocol::kinds::Extra;
use serde::{Deserialize, Serialize};

/// What a user says about a friend. What is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FriendSettings {
    /// What the user calls them, up to 256 bytes; empty: by their own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// Stands before those that are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// Data of the app's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<Extra>,
}

/// What became of a friend request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Requested {
    /// The other user is asked.
    Requested,
    /// The other user had asked already: the two are friends.
    Accepted,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

#[derive(Serialize)]
struct Request<'a> {
    message: &'a str,
    source: &'a str,
}

#[derive(Serialize)]
pub(super) struct Reject<'a> {
    pub(super) answer: &'a str,
}

#[derive(Deserialize)]
pub(super) struct Became<T> {
    pub(super) outcome: T,
}

impl List<Friends> {
    /// Asks another user to be a friend: with a message, up to 1,024 bytes, and
    /// where the two met, up to 64. Asking again replaces the first time.
    ///
    /// # Errors
    /// `already_friends`; `blocked`, if the other user blocks this one;
    /// `user_not_found`; `invalid_field`, of oneself. See
    /// [`actions`](crate::actions) for what can go wrong with any of these.
    pub async fn request(&self, to: &str, message: &str, source: &str) -> Result<Requested, Error> {
        let body = json(&Request { message, source })?;
        let path = paths::sent_friend_request(self.user(), to);
        let said = self.client().act(Method::Put, path, body).await?;
        Ok(outcome::<Became<Requested>>(&said)?.outcome)
    }

    /// Takes a request back that was not answered, or no longer keeps one that
    /// was rejected.
    ///
    /// # Errors
    /// `request_not_found`.
    pub async fn withdraw(&self, to: &str) -> Result<(), Error> {
        let path = paths::sent_friend_request(self.user(), to);
        self.client().delete(path).await
    }

    /// Says yes to a user who asked; the two are friends.
    ///
    /// # Errors
    /// `request_not_found`, if there is no such request, or it was answered.
    pub async fn accept(&self, from: &str) -> Result<(), Error> {
        let path = paths::friend_request(self.user(), from, "accept");
        self.client().run(path).await
    }

    /// Says no to a user who asked, with an answer of up to 1,024 bytes.
    ///
    /// # Errors
    /// `request_not_found`, if there is no such request, or it was answered.
    pub async fn reject(&self, from: &str, answer: &str) -> Result<(), Error> {
        let path = paths::friend_request(self.user(), from, "reject");
        self.client().post(path, &Reject { answer }).await.map(drop)
    }

    /// Changes what the user says about a friend.
    ///
    /// # Errors
    /// `not_friend`; `too_large`, at field `remark` or `extra`.
    pub async fn set(&self, friend: &str, settings: &FriendSettings) -> Result<(), Error> {
        let path = paths::friend(self.user(), friend);
        self.client().patch(path, settings).await
    }

    /// Ends a friendship: on both sides or on this one, as the server is set up.
    ///
    /// # Errors
    /// `not_friend`.
    pub async fn remove(&self, friend: &str) -> Result<(), Error> {
        self.client()
            .delete(paths::friend(self.user(), friend))
            .await
    }

    fn user(&self) -> &str {
        self.key().owner.as_str()
    }
}

impl List<crate::lists::Blocks> {
    /// Blocks a user: they can neither ask to be a friend nor invite. Requests
    /// between the two go; a friendship stays.
    ///
    /// # Errors
    /// `user_not_found`; `invalid_field`, of oneself.
    pub async fn block(&self, user: &str) -> Result<(), Error> {
        let path = paths::block(self.key().owner.as_str(), user);
        let done = self.client().act(Method::Put, path, Bytes::new()).await;
        done.map(drop)
    }

    /// No longer blocks a user.
    ///
    /// # Errors
    /// `not_blocked`.
    pub async fn unblock(&self, user: &str) -> Result<(), Error> {
        let path = paths::block(self.key().owner.as_str(), user);
        self.client().delete(path).await
    }
}
