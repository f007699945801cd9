//! What elements say, by the kind of their list: for those who read them as JSON.

use highwater_protocol::kinds::{
    self, Block, Conversation, Friend, FriendRequest, GroupActivity, GroupProfile, JoinRequest,
    JoinedGroup, Member, Payload, UserProfile,
};
use schemars::JsonSchema;
use serde::Serialize;

/// What an element of any built-in kind of list says.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Payload")]
pub(crate) enum AnyPayload {
    Profile(UserProfile),
    Friend(Friend),
    FriendRequest(FriendRequest),
    Block(Block),
    JoinedGroup(JoinedGroup),
    Member(Member),
    GroupProfile(GroupProfile),
    JoinRequest(JoinRequest),
    Conversation(Conversation),
    Activity(GroupActivity),
}

impl AnyPayload {
    /// Reads a payload; `None`: of another kind, or unreadable.
    pub(crate) fn decode(kind: &str, is_header: bool, payload: &[u8]) -> Option<Self> {
        fn read<P: Payload>(payload: &[u8], of: impl Fn(P) -> AnyPayload) -> Option<AnyPayload> {
            P::decode(payload).ok().map(of)
        }
        match (kind, is_header) {
            (kinds::PROFILE, true) => read(payload, Self::Profile),
            (kinds::MEMBERS, true) => read(payload, Self::GroupProfile),
            (kinds::ACTIVITY, true) => read(payload, Self::Activity),
            (kinds::FRIENDS, false) => read(payload, Self::Friend),
            (kinds::FRIEND_REQUESTS | kinds::SENT_FRIEND_REQUESTS, false) => {
                read(payload, Self::FriendRequest)
            }
            (kinds::BLOCKS, false) => read(payload, Self::Block),
            (kinds::GROUPS, false) => read(payload, Self::JoinedGroup),
            (kinds::MEMBERS, false) => read(payload, Self::Member),
            (kinds::JOIN_REQUESTS | kinds::SENT_JOIN_REQUESTS, false) => {
                read(payload, Self::JoinRequest)
            }
            (kinds::CONVERSATIONS, false) => read(payload, Self::Conversation),
            _ => None,
        }
    }
}
