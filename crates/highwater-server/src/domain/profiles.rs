//! What users say about themselves: once, and copied to those who show it by
//! queued work.

use super::fanout::Job;
use super::group::Stop;
use super::people::{check_text, existing_user};
use super::permissions::OnUser;
use super::{Actor, UserId, collation, element};
use highwater_protocol::kinds::{Extra, UserProfile};
use highwater_protocol::{ItemId, ListKey, Rank, Refusal};
use highwater_store::{Write, WriteTxn};
use schemars::JsonSchema;
use serde::Deserialize;

/// Bytes of a user's name.
const NAME_BYTES: usize = 256;
/// Bytes of an avatar.
const AVATAR_BYTES: usize = 1_024;

/// What a request says about a user; `None`: as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileChange {
    /// Up to 256 bytes; may be empty.
    pub name: Option<String>,
    /// Usually an address; up to 1,024 bytes.
    pub avatar: Option<String>,
    /// A BCP 47 tag; empty: the order of the CLDR root.
    pub locale: Option<String>,
    /// Data of the app's own.
    #[serde(default, deserialize_with = "highwater_protocol::kinds::given")]
    pub extra: Option<Extra>,
}

/// A user's profile is written or changed, by themselves or a service. The copies
/// in others' lists follow.
#[derive(Clone, Debug)]
pub struct DescribeUser {
    user: UserId,
    change: ProfileChange,
    at_ms: i64,
}

/// A user goes, by their own wish or a service's: nothing new may name them from
/// now on. In O(1): the work of taking them out of all lists is queued.
#[derive(Clone, Debug)]
pub struct DeleteUser {
    user: UserId,
    at_ms: i64,
}

impl DescribeUser {
    /// A new profile: what the change does not name becomes empty.
    ///
    /// # Errors
    /// `forbidden`; a field that is over-long or ill-formed, by its name.
    pub fn put(
        actor: &Actor,
        user: UserId,
        profile: ProfileChange,
        at_ms: i64,
    ) -> Result<Self, Refusal> {
        let whole = ProfileChange {
            name: Some(profile.name.unwrap_or_default()),
            avatar: Some(profile.avatar.unwrap_or_default()),
            locale: Some(profile.locale.unwrap_or_default()),
            extra: Some(profile.extra.unwrap_or_default()),
        };
        Self::patch(actor, user, whole, at_ms)
    }

    /// A changed profile: what the change does not name stays.
    ///
    /// # Errors
    /// As of [`Self::put`]; and a change of nothing.
    pub fn patch(
        actor: &Actor,
        user: UserId,
        mut change: ProfileChange,
        at_ms: i64,
    ) -> Result<Self, Refusal> {
        OnUser::Describe.require(actor, &user)?;
        if change == ProfileChange::default() {
            let message = "give a name, an avatar, a locale or extra data";
            return Err(Refusal::invalid("name", message));
        }
        if let Some(name) = &change.name {
            check_text("name", name, NAME_BYTES)?;
        }
        if let Some(avatar) = &change.avatar {
            check_text("avatar", avatar, AVATAR_BYTES)?;
        }
        if let Some(locale) = &change.locale {
            change.locale = Some(collation::canonical(locale)?);
        }
        Ok(Self {
            user,
            change,
            at_ms,
        })
    }
}

impl DeleteUser {
    /// The end of a user.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn new(actor: &Actor, user: UserId, at_ms: i64) -> Result<Self, Refusal> {
        OnUser::Delete.require(actor, &user)?;
        Ok(Self { user, at_ms })
    }
}

async fn put_profile<T: WriteTxn>(
    txn: &mut T,
    user: &UserId,
    profile: &UserProfile,
) -> Result<(), Stop> {
    let header = ItemId::header();
    Ok(element::put(txn, &user.profile(), &header, Rank::default(), profile).await?)
}

impl Write for DescribeUser {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.user.profile()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let before = existing_user(txn, &self.user, "user").await?;
        let change = self.change.clone();
        let mut after = UserProfile {
            name: change.name.unwrap_or_else(|| before.name.clone()),
            avatar: change.avatar.unwrap_or_else(|| before.avatar.clone()),
            locale: change.locale.unwrap_or_else(|| before.locale.clone()),
            extra: change.extra.unwrap_or_else(|| before.extra.clone()),
            ..before.clone()
        };
        if after == before && before.changed_at_ms != 0 {
            return Ok(());
        }
        after.changed_at_ms = self.at_ms;
        put_profile(txn, &self.user, &after).await?;
        if (&after.name, &after.avatar) != (&before.name, &before.avatar) {
            txn.enqueue(Job::Renamed(self.user.clone()).encode())
                .await?;
        }
        if after.locale != before.locale {
            txn.enqueue(Job::Reranked(self.user.clone()).encode())
                .await?;
        }
        Ok(())
    }
}

impl Write for DeleteUser {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.user.profile()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let profile = UserProfile {
            deleting: true,
            changed_at_ms: self.at_ms,
            ..existing_user(txn, &self.user, "user").await?
        };
        put_profile(txn, &self.user, &profile).await?;
        txn.enqueue(Job::Deleted(self.user.clone()).encode())
            .await?;
        Ok(())
    }
}
