//! What a group says about itself, and its rules. Only the header changes.

use super::{by, require};
use crate::domain::group::{Group, Stop};
use crate::domain::ids::{check_description, check_name};
use crate::domain::people::check_text;
use crate::domain::permissions::OnGroup;
use crate::domain::words::{ANNOUNCEMENT_BYTES, AVATAR_BYTES};
use crate::domain::{Actor, GroupId};
use bytes::Bytes;
use highwater_protocol::kinds::{Announcement, Circle, Extra, GroupProfile, JoinPolicy};
use highwater_protocol::{ItemId, ListKey, Rank, Refusal};
use highwater_store::{Write, WriteTxn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// New words for a group, by its owner or an admin.
#[derive(Clone, Debug)]
pub struct Describe {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// The words; checked.
    pub description: Description,
}

/// What a group says about itself. `None`: as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// 1 to 256 bytes.
    #[serde(default)]
    pub name: Option<String>,
    /// Up to 4,096 bytes.
    #[serde(default)]
    pub description: Option<String>,
    /// Up to 1,024 bytes.
    #[serde(default)]
    pub avatar: Option<String>,
    /// Data of the app's own.
    #[serde(default, deserialize_with = "highwater_protocol::kinds::given")]
    pub extra: Option<Extra>,
}

/// Something that a group's members are told.
#[derive(Clone, Debug)]
pub struct Announce {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// Empty: nothing any more. Checked.
    pub text: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

/// Whether only the owner and the admins may speak.
#[derive(Clone, Debug)]
pub struct MuteGroup {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// Whether it is so.
    pub muted: bool,
}

/// Other rules for a group, by its owner.
#[derive(Clone, Debug)]
pub struct SetRules {
    /// Who asks.
    pub actor: Actor,
    /// Which group.
    pub group: GroupId,
    /// The rules; checked.
    pub rules: Rules,
}

/// The rules of a group. `None`: as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Who may join.
    #[serde(default)]
    pub join_policy: Option<JoinPolicy>,
    /// Who may invite.
    #[serde(default)]
    pub invited_by: Option<Circle>,
    /// Who may see the members.
    #[serde(default)]
    pub seen_by: Option<Circle>,
}

impl Describe {
    /// New words for a group, from what a request says.
    ///
    /// # Errors
    /// A text that is empty or over-long, by its field; none at all.
    pub fn new(actor: Actor, group: GroupId, description: Description) -> Result<Self, Refusal> {
        if description == Description::default() {
            let message = "give a name, a description, an avatar or extra data";
            return Err(Refusal::invalid("name", message));
        }
        let Description { name, avatar, .. } = &description;
        name.as_deref().map(check_name).transpose()?;
        let words = description.description.as_deref();
        words.map(check_description).transpose()?;
        if let Some(avatar) = avatar {
            check_text("avatar", avatar, AVATAR_BYTES)?;
        }
        Ok(Self {
            actor,
            group,
            description,
        })
    }
}

impl Announce {
    /// An announcement.
    ///
    /// # Errors
    /// An over-long text, at field `text`.
    pub fn new(actor: Actor, group: GroupId, text: String, at_ms: i64) -> Result<Self, Refusal> {
        check_text("text", &text, ANNOUNCEMENT_BYTES)?;
        Ok(Self {
            actor,
            group,
            text,
            at_ms,
        })
    }
}

impl SetRules {
    /// Other rules for a group.
    ///
    /// # Errors
    /// None at all.
    pub fn new(actor: Actor, group: GroupId, rules: Rules) -> Result<Self, Refusal> {
        if rules == Rules::default() {
            let message = "give a join_policy, invited_by or seen_by";
            return Err(Refusal::invalid("join_policy", message));
        }
        Ok(Self {
            actor,
            group,
            rules,
        })
    }
}

impl Rules {
    /// Sets them.
    pub(super) fn set(self, profile: &mut GroupProfile) {
        if let Some(policy) = self.join_policy {
            profile.join_policy = policy;
        }
        profile.invited_by = self.invited_by.or(profile.invited_by);
        profile.seen_by = self.seen_by.or(profile.seen_by);
    }
}

impl Write for Describe {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.group.members()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        require(&self.actor, &mut group, OnGroup::Describe).await?;
        let mut profile = group.profile().await?;
        let new = self.description.clone();
        profile.name = new.name.unwrap_or(profile.name);
        profile.description = new.description.unwrap_or(profile.description);
        profile.avatar = new.avatar.unwrap_or(profile.avatar);
        profile.extra = new.extra.unwrap_or(profile.extra);
        Ok(group.put_profile(&profile).await?)
    }
}

impl Write for Announce {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.group.members()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        require(&self.actor, &mut group, OnGroup::Announce).await?;
        let announcement = Announcement {
            text: self.text.clone(),
            at_ms: self.at_ms,
            by: by(&self.actor),
        };
        let profile = GroupProfile {
            announcement: (!self.text.is_empty()).then_some(announcement),
            ..group.profile().await?
        };
        Ok(group.put_profile(&profile).await?)
    }
}

impl Write for MuteGroup {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.group.members()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        require(&self.actor, &mut group, OnGroup::Mute).await?;
        let profile = GroupProfile {
            muted: self.muted,
            ..group.profile().await?
        };
        Ok(group.put_profile(&profile).await?)
    }
}

impl Write for SetRules {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.group.members(), self.group.rights()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        let mut group = Group::new(txn, &self.group);
        require(&self.actor, &mut group, OnGroup::SetRules).await?;
        let before = group.profile().await?;
        let mut profile = before.clone();
        self.rules.set(&mut profile);
        group.put_profile(&profile).await?;
        if let Some(circle) = profile.seen_by
            && before.seen_by != profile.seen_by
        {
            // What rights remember is good as long as this list stands still.
            let (rights, circle) = (self.group.rights(), Bytes::from(circle.as_str()));
            let rank = Rank::default();
            txn.put(&rights, &ItemId::header(), rank, circle).await?;
        }
        Ok(())
    }
}
