//! What a user says about themselves.

use super::paths;
use crate::error::Error;
use crate::list::List;
use crate::lists::Profile;
use highwater_protocol::kinds::Extra;
use serde::Serialize;

/// What a user says about themselves. What is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProfileSettings {
    /// Up to 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Usually an address, up to 1,024 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// A BCP 47 tag: by whose rules names are sorted in the user's lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Data of the app's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<Extra>,
}

impl List<Profile> {
    /// Changes what the user says about themselves. Others see it in their own
    /// lists a little later.
    ///
    /// # Errors
    /// `too_large` or `invalid_field`, with the field; `forbidden`, of another
    /// user.
    pub async fn set(&self, settings: &ProfileSettings) -> Result<(), Error> {
        let path = paths::profile(self.key().owner.as_str());
        self.client().patch(path, settings).await
    }

    /// Deletes the user: they go out of everybody's lists and out of their
    /// groups, and their own lists end.
    ///
    /// # Errors
    /// `forbidden`, of another user.
    pub async fn delete_user(&self) -> Result<(), Error> {
        let path = paths::user(self.key().owner.as_str());
        self.client().delete(path).await
    }
}
