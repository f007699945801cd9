//! Writing activities: some, in one transaction.

use super::Activity;
use super::plan::{Before, Planned, Recipients, no_group, no_user};
use crate::domain::conversation::{
    activity_of, item_of_group, load_conversation, save_conversation,
};
use crate::domain::conversations::{Partner, read_up_to};
use crate::domain::element::put;
use crate::domain::fanout::{Job, Shared};
use crate::domain::group::{Group, Stop};
use crate::domain::holders::{Place, note};
use crate::domain::people::profile_of_user;
use crate::domain::{GroupId, UserId};
use highwater_core::reads::ListState;
use highwater_protocol::kinds::{
    Conversation, ConversationState, ConversationType, GroupActivity, LastMessage, Mention,
};
use highwater_protocol::{ItemId, ListKey, Point, Rank, Refusal};
use highwater_store::{StoreError, Write, WriteTxn};

/// Activities that are written in one transaction.
#[derive(Clone, Debug)]
pub(in crate::domain) struct Batch(pub(in crate::domain) Vec<Planned>);

/// What became of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::domain) enum Delivered {
    /// It is written.
    Written,
    /// A message of this sequence or a later one is known.
    Stale,
    /// It cannot be.
    Refused(Refusal),
    /// The group is no longer as it was when this was planned.
    Overtaken,
}

impl Write for Batch {
    /// One for each, in their order.
    type Output = Vec<Delivered>;
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        let mut lists: Vec<_> = self.0.iter().flat_map(Planned::lists).collect();
        lists.sort_unstable();
        lists.dedup();
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<Vec<Delivered>, Stop> {
        let mut delivered = Vec::with_capacity(self.0.len());
        for planned in &self.0 {
            let activity = &planned.activity;
            delivered.push(match &planned.to {
                Recipients::Pair(users) => to_pair(txn, activity, users).await?,
                Recipients::Small(group, at, members) => {
                    to_small(txn, activity, group, *at, members).await?
                }
                Recipients::Large(group, before) => {
                    to_large(txn, planned, group, before.as_ref()).await?
                }
                Recipients::System(name, user) => to_user(txn, activity, name, user).await?,
            });
        }
        Ok(delivered)
    }
}

impl Activity {
    /// Who is mentioned, as far as a user is concerned.
    fn mention(&self, user: &UserId) -> Option<Mention> {
        if user.as_str() == self.last.sender {
            None
        } else if self.mentions.contains(user) {
            Some(Mention::Me)
        } else {
            self.mention_all.then_some(Mention::All)
        }
    }

    /// Writes the message into a conversation of `owner`.
    fn enter(&self, owner: &UserId, conversation: &mut Conversation) {
        let seq = self.last.seq;
        if conversation.last.is_none() {
            // Of what was said before they had the conversation, none is unread.
            read_up_to(conversation, seq - 1);
        }
        conversation.last = Some(self.last.clone());
        if seq > conversation.cleared_seq {
            conversation.deleted = false;
        }
        if owner.as_str() == self.last.sender {
            read_up_to(conversation, seq);
        }
        self.enter_mention(owner, conversation);
    }

    /// A mention by name is not lost to one of everybody.
    fn enter_mention(&self, owner: &UserId, conversation: &mut Conversation) {
        let seq = self.last.seq;
        let Some(mention) = self.mention(owner).filter(|_| seq > conversation.read_seq) else {
            return;
        };
        if mention == Mention::Me || conversation.mention != Some(Mention::Me) {
            conversation.mention = Some(mention);
            conversation.mention_seq = seq;
        }
    }
}

fn seq_of(last: Option<&LastMessage>) -> u64 {
    last.map_or(0, |last| last.seq)
}

async fn to_pair<T: WriteTxn>(
    txn: &mut T,
    activity: &Activity,
    users: &[UserId; 2],
) -> Result<Delivered, StoreError> {
    let [a, b] = users;
    let mut known = 0;
    let mut conversations = Vec::with_capacity(2);
    for (at, (owner, other)) in [(a, b), (b, a)].into_iter().enumerate() {
        if profile_of_user(txn, owner).await?.deleting {
            return Ok(Delivered::Refused(no_user(&format!(
                "conversation.user[{at}]"
            ))));
        }
        let item = Partner::User(other.clone()).item();
        let conversation = load_conversation(txn, owner, &item).await?;
        // One that ended was with somebody who is gone: another begins.
        let goes_on = |known: &Conversation| known.state != ConversationState::Ended;
        let conversation = conversation.filter(goes_on);
        let last = conversation.as_ref().and_then(|known| known.last.as_ref());
        known = known.max(seq_of(last));
        conversations.push((owner, other, item, conversation));
    }
    if activity.last.seq <= known {
        return Ok(Delivered::Stale);
    }
    for (owner, other, item, conversation) in conversations {
        let mut conversation = match conversation {
            Some(conversation) => conversation,
            None => {
                let profile = profile_of_user(txn, other).await?;
                note(txn, other, owner, Place::Conversations, true).await?;
                Conversation {
                    r#type: ConversationType::User,
                    created_at_ms: activity.last.at_ms,
                    name: profile.name,
                    avatar: profile.avatar,
                    ..Conversation::default()
                }
            }
        };
        activity.enter(owner, &mut conversation);
        save_conversation(txn, owner, &item, &conversation).await?;
    }
    Ok(Delivered::Written)
}

async fn to_user<T: WriteTxn>(
    txn: &mut T,
    activity: &Activity,
    name: &str,
    user: &UserId,
) -> Result<Delivered, StoreError> {
    if profile_of_user(txn, user).await?.deleting {
        return Ok(Delivered::Refused(no_user("conversation.to")));
    }
    let item = Partner::System(name.to_owned()).item();
    let known = load_conversation(txn, user, &item).await?;
    let mut conversation = known.unwrap_or_else(|| Conversation {
        r#type: ConversationType::System,
        created_at_ms: activity.last.at_ms,
        name: name.to_owned(),
        ..Conversation::default()
    });
    if activity.last.seq <= seq_of(conversation.last.as_ref()) {
        return Ok(Delivered::Stale);
    }
    activity.enter(user, &mut conversation);
    save_conversation(txn, user, &item, &conversation).await?;
    Ok(Delivered::Written)
}

async fn to_small<T: WriteTxn>(
    txn: &mut T,
    activity: &Activity,
    group: &GroupId,
    at: Point,
    members: &[UserId],
) -> Result<Delivered, StoreError> {
    let Some(head) = Group::new(txn, group).head().await? else {
        return Ok(Delivered::Refused(no_group()));
    };
    if head.point() != at || activity_of(txn, group).await?.is_some() {
        return Ok(Delivered::Overtaken);
    }
    let item = item_of_group(group);
    let mut known = 0;
    let mut conversations = Vec::with_capacity(members.len());
    for user in members {
        let conversation = load_conversation(txn, user, &item).await?;
        let last = conversation.as_ref().and_then(|known| known.last.as_ref());
        known = known.max(seq_of(last));
        conversations.push(conversation);
    }
    if activity.last.seq <= known {
        return Ok(Delivered::Stale);
    }
    for (user, conversation) in members.iter().zip(conversations) {
        let mut conversation = member_has(conversation, activity);
        activity.enter(user, &mut conversation);
        save_conversation(txn, user, &item, &conversation).await?;
    }
    Ok(Delivered::Written)
}

/// The conversation of a member. (Whoever joined before there were any has none.)
fn member_has(conversation: Option<Conversation>, activity: &Activity) -> Conversation {
    conversation.unwrap_or_else(|| Conversation {
        r#type: ConversationType::Group,
        state: ConversationState::Active,
        created_at_ms: activity.last.at_ms,
        ..Conversation::default()
    })
}

async fn to_large<T: WriteTxn>(
    txn: &mut T,
    planned: &Planned,
    group: &GroupId,
    before: Option<&Before>,
) -> Result<Delivered, StoreError> {
    let activity = &planned.activity;
    let Some(head) = Group::new(txn, group).head().await? else {
        return Ok(Delivered::Refused(no_group()));
    };
    let known = activity_of(txn, group).await?;
    let is_new = known.is_none();
    let known = match (known, before) {
        (Some(known), _) => known,
        (None, Some(before)) if before.at == head.point() => GroupActivity {
            last: before.last.clone(),
            mention_all_seq: 0,
        },
        (None, _) => return Ok(Delivered::Overtaken),
    };
    let seq = activity.last.seq;
    if seq <= seq_of(known.last.as_ref()) {
        return Ok(Delivered::Stale);
    }
    let now = GroupActivity {
        last: Some(activity.last.clone()),
        mention_all_seq: match activity.mention_all {
            true => seq,
            false => known.mention_all_seq,
        },
    };
    let list = group.activity();
    put(txn, &list, &ItemId::header(), Rank::default(), &now).await?;
    if is_new && let ListState::Live(head) = txn.state(&list).await? {
        let job = Shared {
            group: group.clone(),
            activity: head.lineage,
            began: seq,
        };
        txn.enqueue(Job::Shared(job).encode()).await?;
    }
    for user in planned.named() {
        enter_shared(txn, activity, group, &user).await?;
    }
    Ok(Delivered::Written)
}

/// What a message in a large group means to its sender, or to somebody who is
/// mentioned by name, if they are in the group.
async fn enter_shared<T: WriteTxn>(
    txn: &mut T,
    activity: &Activity,
    group: &GroupId,
    user: &UserId,
) -> Result<(), StoreError> {
    if Group::new(txn, group).member(user).await?.is_none() {
        return Ok(());
    }
    let item = item_of_group(group);
    let known = load_conversation(txn, user, &item).await?;
    // Where it is not said yet that it is shared, the worker is about to.
    let mut conversation = known.unwrap_or_else(|| Conversation {
        shared: true,
        ..member_has(None, activity)
    });
    if user.as_str() == activity.last.sender {
        read_up_to(&mut conversation, activity.last.seq);
    } else if activity.mentions.contains(user) {
        activity.enter_mention(user, &mut conversation);
    }
    save_conversation(txn, user, &item, &conversation).await
}
