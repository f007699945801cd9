//! A user's conversation within a transaction: the item of their list, and the
//! moves that keep it in step with the groups that they are in.

use super::element::{found, put};
use super::{GroupId, UserId, ranks};
use highwater_protocol::ItemId;
use highwater_protocol::kinds::{
    Conversation, ConversationId, ConversationState, ConversationType, GroupActivity, LastMessage,
    Mention,
};
use highwater_store::{StoreError, WriteTxn};

/// The item of a conversation.
///
/// # Panics
/// If the id has more than 126 bytes: those of users and groups have fewer, and
/// those of the system are checked.
pub(super) fn item_of(conversation: &ConversationId) -> ItemId {
    conversation
        .to_item()
        .unwrap_or_else(|no| unreachable!("the id of a conversation is short: {no}"))
}

pub(super) fn item_of_group(group: &GroupId) -> ItemId {
    item_of(&ConversationId::Group(group.as_str().to_owned()))
}

/// A conversation of `user`, if they have it. Their `conversations` must be
/// declared, here and below.
pub(super) async fn load_conversation(
    txn: &mut impl WriteTxn,
    user: &UserId,
    item: &ItemId,
) -> Result<Option<Conversation>, StoreError> {
    found(txn, &user.conversations(), item).await
}

/// Writes a conversation of `user`.
pub(super) async fn save_conversation(
    txn: &mut impl WriteTxn,
    user: &UserId,
    item: &ItemId,
    conversation: &Conversation,
) -> Result<(), StoreError> {
    let rank = ranks::of_conversation(conversation);
    put(txn, &user.conversations(), item, rank, conversation).await
}

/// A user enters a group: they have its conversation, which begins now, with the
/// settings that they once made. `activity` of the group must be declared.
pub(super) async fn enter_group(
    txn: &mut impl WriteTxn,
    user: &UserId,
    group: &GroupId,
    at_ms: i64,
) -> Result<(), StoreError> {
    let item = item_of_group(group);
    let known = load_conversation(txn, user, &item).await?;
    let activity = activity_of(txn, group).await?;
    let shared = activity.is_some();
    let last = activity.and_then(|activity| activity.last);
    let known = known.unwrap_or_default();
    let conversation = Conversation {
        r#type: ConversationType::Group,
        state: ConversationState::Active,
        created_at_ms: at_ms,
        last: None,
        // What was said before is nothing that they have yet to read.
        read_seq: last.map_or(0, |last| last.seq),
        cleared_seq: 0,
        mention: None,
        mention_seq: 0,
        deleted: false,
        shared,
        ..known
    };
    save_conversation(txn, user, &item, &conversation).await
}

/// A user's conversation of a group that they are no longer in goes on no more:
/// it is marked as `state`, if it was active, and keeps the last message and a
/// mention that was not read, also where the group knew of them: `known`. One that
/// they deleted goes, unless something happened since.
pub(super) async fn leave_group(
    txn: &mut impl WriteTxn,
    user: &UserId,
    group: &GroupId,
    state: ConversationState,
    known: GroupActivity,
) -> Result<(), StoreError> {
    let GroupActivity {
        last,
        mention_all_seq,
    } = known;
    let item = item_of_group(group);
    let Some(mut conversation) = load_conversation(txn, user, &item).await? else {
        return Ok(());
    };
    if conversation.state != ConversationState::Active {
        return Ok(());
    }
    if let Some(last) = last.as_ref().filter(|_| !conversation.shared)
        && conversation.last.is_none()
    {
        // The group was found large a moment ago, and this is all they heard of it.
        conversation.read_seq = conversation.read_seq.max(last.seq.saturating_sub(1));
    }
    conversation.shared = false;
    conversation.last = newer(conversation.last.take(), last);
    let last_seq = conversation.last.as_ref().map_or(0, |last| last.seq);
    if conversation.deleted && last_seq <= conversation.cleared_seq {
        txn.delete(&user.conversations(), &item).await?;
        return Ok(());
    }
    conversation.deleted = false;
    if let Some(last) = &mut conversation.last
        && last.seq <= conversation.cleared_seq
    {
        last.preview.clear();
    }
    let seen = conversation.read_seq.max(conversation.cleared_seq);
    if conversation.mention.is_none() && mention_all_seq > seen {
        conversation.mention = Some(Mention::All);
        conversation.mention_seq = mention_all_seq;
    }
    conversation.state = state;
    save_conversation(txn, user, &item, &conversation).await
}

/// What goes on in a large group; `None`: the group is not large.
pub(super) async fn activity_of(
    txn: &mut impl WriteTxn,
    group: &GroupId,
) -> Result<Option<GroupActivity>, StoreError> {
    found(txn, &group.activity(), &ItemId::header()).await
}

/// The newer one, by sequence.
pub(super) fn newer(a: Option<LastMessage>, b: Option<LastMessage>) -> Option<LastMessage> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.seq > a.seq { b } else { a }),
        (a, b) => a.or(b),
    }
}
