//! Groups: made, described, joined, left, and who is in them.

use super::friends::{Became, Reject};
use super::{outcome, paths};
use crate::client::Client;
use crate::error::Error;
use crate::list::List;
use crate::lists::{Activity, Groups, JoinRequests, Members};
use highwater_protocol::Refusal;
use highwater_protocol::kinds::{Circle, Extra, JoinPolicy, Role};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A group that is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NewGroup {
    /// Its id, 1 to 120 bytes; not in use.
    pub group: String,
    /// What people call it, 1 to 256 bytes.
    pub name: String,
    /// What it is for, up to 4,096 bytes.
    pub description: String,
    /// Usually an address, up to 1,024 bytes.
    pub avatar: String,
    /// Who may join, invite, and see the members.
    #[serde(flatten)]
    pub rules: GroupRules,
}

/// What a group says about itself. What is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupSettings {
    /// What people call it, 1 to 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for, up to 4,096 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Usually an address, up to 1,024 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// Data of the app's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<Extra>,
}

/// The rules of a group. What is `None` stays as it is; of a new group: whoever
/// wants to may join, the owner and the admins invite, and the members see each
/// other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupRules {
    /// Who may join.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_policy: Option<JoinPolicy>,
    /// Who may invite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invited_by: Option<Circle>,
    /// Who may see the members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_by: Option<Circle>,
}

/// What became of the wish to join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Joined {
    /// The user is in.
    Joined,
    /// The application waits for an answer.
    Requested,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

/// What became of one of the users whom a call names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct UserResult<T> {
    /// Which user.
    pub user: String,
    /// What became of them.
    pub result: T,
}

/// What became of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Invited {
    /// They are in.
    Added,
    /// They were in before.
    AlreadyMember,
    /// They block this user.
    Blocked,
    /// There is no such user any more.
    UserNotFound,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

/// What became of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Removed {
    /// They are out.
    Removed,
    /// They were not in.
    NotMember,
    /// Their role is not below this user's.
    Forbidden,
    /// They own the group, and others remain.
    OwnerRequired,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Results<T> {
    results: Vec<UserResult<T>>,
}

#[derive(Serialize)]
struct Create<'a> {
    #[serde(flatten)]
    group: &'a NewGroup,
    owner: &'a str,
}

#[derive(Serialize)]
struct Users<'a> {
    users: &'a [&'a str],
}

#[derive(Serialize)]
struct Join<'a> {
    message: &'a str,
    source: &'a str,
}

#[derive(Serialize)]
struct RoleOf {
    role: Role,
}

#[derive(Serialize)]
struct Announce<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct MuteGroup {
    muted: bool,
}

#[derive(Serialize)]
struct Transfer<'a> {
    to: &'a str,
}

#[derive(Serialize)]
struct MuteMember {
    until_ms: i64,
}

#[derive(Serialize)]
struct Nickname<'a> {
    nickname: &'a str,
}

#[derive(Serialize)]
struct MemberExtra<'a> {
    extra: &'a Extra,
}

/// A group, whether or not any of its lists is held.
#[derive(Clone)]
pub struct Group {
    client: Client,
    id: String,
}

impl fmt::Debug for Group {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Group({})", self.id)
    }
}

impl Client {
    /// What can be done with a group. Holds none of its lists.
    #[must_use]
    pub fn group(&self, group: &str) -> Group {
        Group {
            client: self.clone(),
            id: group.to_owned(),
        }
    }
}

impl List<Groups> {
    /// Makes a group, which the user owns.
    ///
    /// # Errors
    /// `group_exists`; `too_large` or `invalid_field`, with the field.
    pub async fn create(&self, group: &NewGroup) -> Result<Group, Error> {
        let client = self.client();
        let owner = client.user();
        let body = Create { group, owner };
        client.post(paths::groups(), &body).await?;
        Ok(client.group(&group.group))
    }
}

impl Group {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its members, and as the header what it says about itself.
    ///
    /// # Errors
    /// The id is none that a group can have.
    pub fn members(&self) -> Result<List<Members>, Refusal> {
        self.client.members(&self.id)
    }

    /// Who applies to it; for its owner and admins.
    ///
    /// # Errors
    /// The id is none that a group can have.
    pub fn join_requests(&self) -> Result<List<JoinRequests>, Refusal> {
        self.client.open(&self.id)
    }

    /// What goes on in it, if it is large: the header.
    ///
    /// # Errors
    /// The id is none that a group can have.
    pub fn activity(&self) -> Result<List<Activity>, Refusal> {
        self.client.open(&self.id)
    }

    /// Changes what it says about itself; what is `None` stays.
    ///
    /// # Errors
    /// `forbidden`, for all but the owner and the admins; `group_not_found`;
    /// `too_large` or `invalid_field`, with the field.
    pub async fn set(&self, settings: &GroupSettings) -> Result<(), Error> {
        self.client.patch(paths::group(&self.id), settings).await
    }

    /// Changes who may join, invite, and see the members; what is `None` stays.
    ///
    /// # Errors
    /// `forbidden`, for all but the owner; `group_not_found`.
    pub async fn set_rules(&self, rules: &GroupRules) -> Result<(), Error> {
        let path = paths::of_group(&self.id, "rules");
        self.client.patch(path, rules).await
    }

    /// Tells its members something, in up to 4,096 bytes; empty: nothing any more.
    ///
    /// # Errors
    /// `forbidden`, for all but the owner and the admins; `group_not_found`.
    pub async fn announce(&self, text: &str) -> Result<(), Error> {
        let path = paths::of_group(&self.id, "announcement");
        self.client.put(path, &Announce { text }).await
    }

    /// Lets only the owner and the admins speak, or all again.
    ///
    /// # Errors
    /// `forbidden`, for all but the owner and the admins; `group_not_found`.
    pub async fn set_muted(&self, muted: bool) -> Result<(), Error> {
        let path = paths::of_group(&self.id, "mute");
        self.client.put(path, &MuteGroup { muted }).await
    }

    /// Dismisses it: every member loses it.
    ///
    /// # Errors
    /// `forbidden`, for all but the owner; `group_not_found`.
    pub async fn dismiss(&self) -> Result<(), Error> {
        self.client.delete(paths::group(&self.id)).await
    }

    /// Joins it, or applies to it: with a message of up to 1,024 bytes, and how
    /// the user came, in up to 64.
    ///
    /// # Errors
    /// `already_member`; `join_refused`, where one has to be invited;
    /// `group_not_found`.
    pub async fn join(&self, message: &str, source: &str) -> Result<Joined, Error> {
        let path = paths::members(&self.id, "join");
        let said = self.client.post(path, &Join { message, source }).await?;
        Ok(outcome::<Became<Joined>>(&said)?.outcome)
    }

    /// Takes an application back, or no longer keeps one that was rejected.
    ///
    /// # Errors
    /// `request_not_found`.
    pub async fn withdraw(&self) -> Result<(), Error> {
        let path = paths::sent_join_request(self.client.user(), &self.id);
        self.client.delete(path).await
    }

    /// Leaves it.
    ///
    /// # Errors
    /// `not_member`; `owner_required`, for the owner while others remain.
    pub async fn leave(&self) -> Result<(), Error> {
        let path = paths::members(&self.id, "leave");
        self.client.run(path).await
    }

    /// Brings users in. What became of each, in their order.
    ///
    /// # Errors
    /// `forbidden`; `group_not_found`; `too_many` users.
    pub async fn invite(&self, users: &[&str]) -> Result<Vec<UserResult<Invited>>, Error> {
        let path = paths::members(&self.id, "invite");
        let said = self.client.post(path, &Users { users }).await?;
        Ok(outcome::<Results<Invited>>(&said)?.results)
    }

    /// Sends users away. What became of each, in their order.
    ///
    /// # Errors
    /// `forbidden`; `group_not_found`; `too_many` users.
    pub async fn remove(&self, users: &[&str]) -> Result<Vec<UserResult<Removed>>, Error> {
        let path = paths::members(&self.id, "remove");
        let said = self.client.post(path, &Users { users }).await?;
        Ok(outcome::<Results<Removed>>(&said)?.results)
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// `forbidden`, for all but the owner; `not_member`; `owner_required`, of the
    /// owner themselves.
    pub async fn set_role(&self, user: &str, role: Role) -> Result<(), Error> {
        let path = paths::of_member(&self.id, user, "role");
        self.client.put(path, &RoleOf { role }).await
    }

    /// Hands the group over to a member; this user becomes an admin.
    ///
    /// # Errors
    /// `forbidden`, for all but the owner; `not_member`.
    pub async fn transfer(&self, to: &str) -> Result<(), Error> {
        let path = paths::of_group(&self.id, "transfer");
        self.client.post(path, &Transfer { to }).await.map(drop)
    }

    /// Mutes a member of a lower role until a time, in milliseconds since 1970;
    /// 0: they may speak again.
    ///
    /// # Errors
    /// `forbidden`; `not_member`; `invalid_field`, of a time that is past.
    pub async fn mute(&self, user: &str, until_ms: i64) -> Result<(), Error> {
        let path = paths::of_member(&self.id, user, "mute");
        self.client.put(path, &MuteMember { until_ms }).await
    }

    /// Says what a member is called in this group, in up to 256 bytes; empty: by
    /// their own name. Of oneself, or of members of a lower role.
    ///
    /// # Errors
    /// `forbidden`; `not_member`; `too_large`.
    pub async fn set_nickname(&self, user: &str, nickname: &str) -> Result<(), Error> {
        let path = paths::of_member(&self.id, user, "nickname");
        self.client.put(path, &Nickname { nickname }).await
    }

    /// Sets the app's own data about a member. Of oneself, or of members of a
    /// lower role.
    ///
    /// # Errors
    /// `forbidden`; `not_member`.
    pub async fn set_extra(&self, user: &str, extra: &Extra) -> Result<(), Error> {
        let path = paths::of_member(&self.id, user, "extra");
        self.client.put(path, &MemberExtra { extra }).await
    }

    /// Lets a user in who applied.
    ///
    /// # Errors
    /// `forbidden`; `request_not_found`, if it was answered.
    pub async fn approve(&self, user: &str) -> Result<(), Error> {
        let path = paths::join_request(&self.id, user, "approve");
        self.client.run(path).await
    }

    /// Does not let a user in who applied, with an answer of up to 1,024 bytes.
    ///
    /// # Errors
    /// `forbidden`; `request_not_found`, if it was answered.
    pub async fn reject(&self, user: &str, answer: &str) -> Result<(), Error> {
        let path = paths::join_request(&self.id, user, "reject");
        self.client.post(path, &Reject { answer }).await.map(drop)
    }
}
