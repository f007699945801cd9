//! The rules: what users are to each other, what a group is and a conversation, who
//! may change them, and who may read which list.
//!
//! Everything is lists. `groups` of a user are the groups that they joined;
//! `members` of a group are the users in it, with the group's profile as the
//! header. A group exists exactly while its `members` list is live. Each change of
//! membership writes both lists in one transaction, and the user's `conversations`
//! with them, so a user's `groups` moves whenever a right of theirs does (`rights`
//! builds on that).
//!
//! What users are to each other is in lists of each of the two (`friends`,
//! `blocks`), again written in one transaction. What a user says about themselves
//! lives once, in their `profile`; copies of it in others' lists are noted in the
//! user's `holders`, and follow by queued work (`fanout`).

mod activity;
mod blocks;
mod collation;
mod conversation;
mod conversations;
mod directory;
mod element;
mod fanout;
mod friend_import;
mod friends;
mod group;
mod holders;
mod ids;
mod import;
mod operations;
mod payloads;
mod people;
pub mod permissions;
mod profiles;
mod ranks;
mod rights;
mod transaction;
mod words;

pub use activity::{
    ACTIVITIES_PER_REQUEST, Activity, ActivityBody, ActivityConversation, ActivityOf,
    ActivityOutcome, MENTIONS_PER_MESSAGE, RECIPIENTS_PER_REQUEST, ReportActivity, Reported,
};
pub use blocks::{BlockUser, UnblockUser};
pub use conversations::{
    ChangeConversation, ClearConversation, ConversationChange, DeleteConversation, Partner,
    ReadConversation,
};
pub use directory::{Directory, Written};
pub use fanout::FanOut;
pub use friend_import::{CheckedPair, FriendPair, ImportFriendOutcome, ImportFriends};
pub use friends::{
    AcceptFriend, ChangeFriend, DeleteFriend, FriendChange, RejectFriend, RequestFriend,
    RequestFriendOutcome, Sides, WithdrawFriendRequest,
};
pub use group::profile_of;
pub use ids::{GroupId, UserId};
pub use import::{Change, ImportRequest};
pub use operations::{
    Announce, Approve, Create, Describe, Description, Dismiss, Invite, InviteOutcome, Join,
    JoinOutcome, Leave, MuteGroup, MuteMember, Reject, Remove, RemoveOutcome, Rules,
    SetMemberExtra, SetNickname, SetRole, SetRules, Transfer, Withdraw,
};
pub(crate) use payloads::AnyPayload;
pub use profiles::{DeleteUser, DescribeUser, ProfileChange};
pub use rights::{Held, Rights, beside, own_list};
pub(crate) use transaction::purge_answers;
pub use transaction::{Conditions, Elements, Idempotency, ListChange, Precondition};

use highwater_protocol::kinds;

/// The kinds of list that this server knows.
pub const KINDS: [&str; 11] = kinds::ALL;

/// Users that one request may invite or remove.
pub const USERS_PER_REQUEST: usize = 1_000;

/// Changes that one request may import.
pub const CHANGES_PER_REQUEST: usize = 1_000;

/// Users or changes that one transaction takes.
pub const BATCH: usize = 250;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A user, for themselves.
    User(UserId),
    /// A backend, for anybody.
    Service,
}
