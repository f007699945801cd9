//! What users do to their conversations: one transaction each, as a value.
//!
//! A conversation of a group is there while its owner is in the group, and stays
//! behind when they leave. One with a user, or of the system, begins with its first
//! activity, or when its owner sets something on it. Whatever is done here is done
//! to the owner's own list alone, and so reaches all their devices.

use super::conversation::{activity_of, item_of, load_conversation, newer, save_conversation};
use super::group::Stop;
use super::holders::{Place, note};
use super::operations::require_own;
use super::people::{check_text, existing_user, refuse};
use super::permissions::OnUser;
use super::words::{DRAFT_BYTES, SYSTEM_NAME_BYTES};
use super::{Actor, GroupId, UserId};
use highwater_protocol::kinds::{
    Conversation, ConversationId, ConversationState, ConversationType, Draft, Extra, LastMessage,
    Receive,
};
use highwater_protocol::{Code, ItemId, ListKey, Refusal};
use highwater_store::{StoreError, Write, WriteTxn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// With whom a conversation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partner {
    /// With another user.
    User(UserId),
    /// Of a group.
    Group(GroupId),
    /// Of the system, by its name.
    System(String),
}

/// What the owner of a conversation changes in it. `None`: as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationChange {
    /// What they want to hear of it.
    #[serde(default)]
    pub receive: Option<Receive>,
    /// Whether it stands before those that are not.
    #[serde(default)]
    pub pinned: Option<bool>,
    /// Whether it is not shown, whatever goes on.
    #[serde(default)]
    pub hidden: Option<bool>,
    /// Messages burn so many seconds after they were read; 0: they do not.
    #[serde(default)]
    pub burn_after_s: Option<u32>,
    /// Messages are destroyed so many seconds after they were sent; 0: they are
    /// not.
    #[serde(default)]
    pub destroy_after_s: Option<u32>,
    /// Data of the app's own.
    #[serde(default, deserialize_with = "highwater_protocol::kinds::given")]
    pub extra: Option<Extra>,
    /// What they have begun to write, up to 4,096 bytes; empty: nothing.
    #[serde(default)]
    pub draft: Option<String>,
}

/// Other settings of a conversation, or another draft.
#[derive(Clone, Debug)]
pub struct ChangeConversation {
    /// Who asks.
    pub actor: Actor,
    /// Whose conversation.
    pub user: UserId,
    /// Which one.
    pub conversation: Partner,
    /// What changes; checked.
    pub change: ConversationChange,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

/// How far a conversation was read. It never goes back.
#[derive(Clone, Debug)]
pub struct ReadConversation {
    /// Who asks.
    pub actor: Actor,
    /// Whose conversation.
    pub user: UserId,
    /// Which one.
    pub conversation: Partner,
    /// The highest sequence that was read.
    pub seq: u64,
}

/// The messages of a conversation, up to the last, are gone for its owner.
#[derive(Clone, Debug)]
pub struct ClearConversation {
    /// Who asks.
    pub actor: Actor,
    /// Whose conversation.
    pub user: UserId,
    /// Which one.
    pub conversation: Partner,
}

/// A conversation is gone for its owner, until something happens in it.
#[derive(Clone, Debug)]
pub struct DeleteConversation {
    /// Who asks.
    pub actor: Actor,
    /// Whose conversation.
    pub user: UserId,
    /// Which one.
    pub conversation: Partner,
}

impl Partner {
    /// Reads the id of a conversation of `owner`: `u:` and a user, `g:` and a
    /// group, `s:` and a name.
    ///
    /// # Errors
    /// Another form, an over-long id, or the owner's own, at field `conversation`.
    pub fn parse(owner: &UserId, id: &str) -> Result<Self, Refusal> {
        let at = |no: Refusal| no.at("conversation");
        match ConversationId::parse(id)? {
            ConversationId::User(user) if user == owner.as_str() => Err(Refusal::invalid(
                "conversation",
                "a conversation is with another user",
            )),
            ConversationId::User(user) => UserId::new(&user).map(Self::User).map_err(at),
            ConversationId::Group(group) => GroupId::new(&group).map(Self::Group).map_err(at),
            ConversationId::System(name) => {
                check_text("conversation", &name, SYSTEM_NAME_BYTES)?;
                Ok(Self::System(name))
            }
        }
    }

    /// The conversation's item.
    pub(super) fn item(&self) -> ItemId {
        item_of(&match self {
            Self::User(user) => ConversationId::User(user.as_str().to_owned()),
            Self::Group(group) => ConversationId::Group(group.as_str().to_owned()),
            Self::System(name) => ConversationId::System(name.clone()),
        })
    }

    /// The lists that a change of it by `owner` reads or writes.
    fn lists(&self, owner: &UserId) -> Vec<ListKey> {
        let mut lists = vec![owner.conversations()];
        match self {
            Self::User(user) => lists.extend([user.profile(), user.holders()]),
            Self::Group(group) => lists.push(group.activity()),
            Self::System(_) => {}
        }
        lists
    }

    /// A conversation that begins. Of groups none does here: they begin with the
    /// membership.
    async fn begin<T: WriteTxn>(
        &self,
        txn: &mut T,
        owner: &UserId,
        created_at_ms: i64,
    ) -> Result<Conversation, Stop> {
        match self {
            Self::User(other) => {
                let profile = existing_user(txn, other, "conversation").await?;
                note(txn, other, owner, Place::Conversations, true).await?;
                Ok(Conversation {
                    r#type: ConversationType::User,
                    created_at_ms,
                    name: profile.name,
                    avatar: profile.avatar,
                    ..Conversation::default()
                })
            }
            Self::Group(_) => Err(no_conversation()),
            Self::System(name) => Ok(Conversation {
                r#type: ConversationType::System,
                created_at_ms,
                name: name.clone(),
                ..Conversation::default()
            }),
        }
    }

    /// The last message, wherever it lives.
    async fn last<T: WriteTxn>(
        &self,
        txn: &mut T,
        conversation: &Conversation,
    ) -> Result<Option<LastMessage>, StoreError> {
        let own = conversation.last.clone();
        let goes_on = conversation.state == ConversationState::Active;
        let shared = match self {
            Self::Group(group) if goes_on => activity_of(txn, group).await?,
            _ => None,
        };
        Ok(newer(own, shared.and_then(|activity| activity.last)))
    }

    async fn load<T: WriteTxn>(&self, txn: &mut T, owner: &UserId) -> Result<Conversation, Stop> {
        let known = load_conversation(txn, owner, &self.item()).await?;
        known.ok_or_else(no_conversation)
    }
}

fn no_conversation() -> Stop {
    let message = "there is no such conversation";
    refuse(Code::ConversationNotFound, "conversation", message)
}

impl ChangeConversation {
    /// Other settings, as a request says.
    ///
    /// # Errors
    /// A conversation that is none, an over-long draft, or nothing to change, by
    /// its field.
    pub fn new(
        actor: Actor,
        user: UserId,
        conversation: &str,
        change: ConversationChange,
        at_ms: i64,
    ) -> Result<Self, Refusal> {
        let conversation = Partner::parse(&user, conversation)?;
        if change == ConversationChange::default() {
            let message = "give at least one setting, or a draft";
            return Err(Refusal::invalid("change", message));
        }
        if let Some(draft) = &change.draft {
            check_text("draft", draft, DRAFT_BYTES)?;
        }
        Ok(Self {
            actor,
            user,
            conversation,
            change,
            at_ms,
        })
    }
}

impl ConversationChange {
    fn apply(&self, conversation: &mut Conversation, at_ms: i64) {
        fn set<V: Clone>(place: &mut V, value: Option<&V>) {
            if let Some(value) = value {
                place.clone_from(value);
            }
        }
        set(&mut conversation.receive, self.receive.as_ref());
        set(&mut conversation.pinned, self.pinned.as_ref());
        set(&mut conversation.hidden, self.hidden.as_ref());
        set(&mut conversation.burn_after_s, self.burn_after_s.as_ref());
        let destroy = self.destroy_after_s.as_ref();
        set(&mut conversation.destroy_after_s, destroy);
        set(&mut conversation.extra, self.extra.as_ref());
        if let Some(text) = self.draft.clone() {
            conversation.draft = (!text.is_empty()).then_some(Draft { text, at_ms });
        }
    }
}

impl ReadConversation {
    /// A read position.
    ///
    /// # Errors
    /// A conversation that is none, at field `conversation`.
    pub fn new(actor: Actor, user: UserId, conversation: &str, seq: u64) -> Result<Self, Refusal> {
        Ok(Self {
            actor,
            conversation: Partner::parse(&user, conversation)?,
            user,
            seq,
        })
    }
}

impl ClearConversation {
    /// A conversation to clear.
    ///
    /// # Errors
    /// One that is none, at field `conversation`.
    pub fn new(actor: Actor, user: UserId, conversation: &str) -> Result<Self, Refusal> {
        Ok(Self {
            actor,
            conversation: Partner::parse(&user, conversation)?,
            user,
        })
    }
}

impl DeleteConversation {
    /// A conversation to delete.
    ///
    /// # Errors
    /// One that is none, at field `conversation`.
    pub fn new(actor: Actor, user: UserId, conversation: &str) -> Result<Self, Refusal> {
        Ok(Self {
            actor,
            conversation: Partner::parse(&user, conversation)?,
            user,
        })
    }
}

/// The owner has read a conversation up to `seq`: a mention up to there is over.
pub(super) fn read_up_to(conversation: &mut Conversation, seq: u64) {
    conversation.read_seq = conversation.read_seq.max(seq);
    if conversation.mention_seq <= conversation.read_seq {
        conversation.mention = None;
        conversation.mention_seq = 0;
    }
}

fn clear(conversation: &mut Conversation, last: Option<LastMessage>) {
    let last_seq = last.map_or(0, |last| last.seq);
    // One that came back with what happened in a large group stays.
    conversation.deleted &= last_seq <= conversation.cleared_seq;
    conversation.cleared_seq = conversation.cleared_seq.max(last_seq);
    conversation.mention = None;
    conversation.mention_seq = 0;
    if let Some(last) = &mut conversation.last {
        last.preview.clear();
    }
}

impl Write for ChangeConversation {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        self.conversation.lists(&self.user)
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        require_own(&self.actor, &self.user, OnUser::SetConversation)?;
        let item = self.conversation.item();
        let mut conversation = match load_conversation(txn, &self.user, &item).await? {
            Some(known) => known,
            None => {
                let begin = self.conversation.begin(txn, &self.user, self.at_ms);
                begin.await?
            }
        };
        self.change.apply(&mut conversation, self.at_ms);
        Ok(save_conversation(txn, &self.user, &item, &conversation).await?)
    }
}

impl Write for ReadConversation {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        vec![self.user.conversations()]
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        require_own(&self.actor, &self.user, OnUser::ReadConversation)?;
        let mut conversation = self.conversation.load(txn, &self.user).await?;
        read_up_to(&mut conversation, self.seq);
        let item = self.conversation.item();
        Ok(save_conversation(txn, &self.user, &item, &conversation).await?)
    }
}

impl Write for ClearConversation {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        self.conversation.lists(&self.user)
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        require_own(&self.actor, &self.user, OnUser::ClearConversation)?;
        let mut conversation = self.conversation.load(txn, &self.user).await?;
        let last = self.conversation.last(txn, &conversation).await?;
        clear(&mut conversation, last);
        let item = self.conversation.item();
        Ok(save_conversation(txn, &self.user, &item, &conversation).await?)
    }
}

impl Write for DeleteConversation {
    type Output = ();
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        self.conversation.lists(&self.user)
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Stop> {
        require_own(&self.actor, &self.user, OnUser::DeleteConversation)?;
        let item = self.conversation.item();
        let mut conversation = self.conversation.load(txn, &self.user).await?;
        let goes_on = conversation.state == ConversationState::Active;
        match &self.conversation {
            Partner::Group(_) if goes_on => {
                let last = self.conversation.last(txn, &conversation).await?;
                clear(&mut conversation, last);
                conversation.deleted = true;
                return Ok(save_conversation(txn, &self.user, &item, &conversation).await?);
            }
            Partner::User(other) => {
                note(txn, other, &self.user, Place::Conversations, false).await?;
            }
            Partner::Group(_) | Partner::System(_) => {}
        }
        txn.delete(&self.user.conversations(), &item).await?;
        Ok(())
    }
}
