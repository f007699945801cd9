//! Operations on users: profiles, friends, requests, blocks.

use super::super::changes::{Became, Nothing};
use super::super::lists::Of;
use super::super::people;
use super::{Operation, Tag};
use crate::domain::permissions::OnUser;
use crate::domain::{FriendChange, ProfileChange, RequestFriendOutcome, UserId};
use highwater_protocol::Code;
use highwater_protocol::kinds::{
    Block, Friend, FriendRequest, JoinRequest, JoinedGroup, UserProfile,
};
use highwater_store::Store;
use http::Method;

pub(super) fn table<S: Store>() -> Vec<Operation<S>> {
    let mut table = users();
    table.extend(friends());
    table.extend(requests());
    table.extend(blocks());
    for operation in &mut table {
        operation
            .codes
            .extend([Code::Forbidden, Code::UserNotFound]);
    }
    table
}

fn users<S: Store>() -> Vec<Operation<S>> {
    const PROFILE: &str = "/v1/users/{user}/profile";
    let profile = Of::User(UserId::profile);
    vec![
        Operation::item::<UserProfile>(PROFILE, "readProfile", profile, None).about(
            Tag::Users,
            "What a user says about themselves",
            OnUser::Read,
        ),
        Operation::write_of::<ProfileChange, Nothing, _, _>(
            Method::PUT,
            PROFILE,
            "putProfile",
            people::put_profile::<S>,
        )
        .about(
            Tag::Users,
            "Describe a user; what is left out becomes empty",
            OnUser::Describe,
        )
        .on_item(),
        Operation::write_of::<ProfileChange, Nothing, _, _>(
            Method::PATCH,
            PROFILE,
            "changeProfile",
            people::patch_profile::<S>,
        )
        .about(
            Tag::Users,
            "Describe a user; what is left out stays",
            OnUser::Describe,
        )
        .on_item(),
        Operation::write::<Nothing, _, _>(
            Method::DELETE,
            "/v1/users/{user}",
            "deleteUser",
            people::delete_user::<S>,
        )
        .about(Tag::Users, "Take a user out of everything", OnUser::Delete)
        .on_item(),
        Operation::page::<JoinedGroup>(
            "/v1/users/{user}/groups",
            "listJoinedGroups",
            Of::User(UserId::groups),
        )
        .about(
            Tag::Groups,
            "The groups that a user has joined",
            OnUser::Read,
        ),
        Operation::page::<JoinRequest>(
            "/v1/users/{user}/sent_join_requests",
            "listSentJoinRequests",
            Of::User(UserId::sent_join_requests),
        )
        .about(
            Tag::Groups,
            "The groups that a user applies to",
            OnUser::Read,
        ),
    ]
}

fn friends<S: Store>() -> Vec<Operation<S>> {
    const ONE: &str = "/v1/users/{user}/friends/{friend}";
    let friends = Of::User(UserId::friends);
    vec![
        Operation::page::<Friend>("/v1/users/{user}/friends", "listFriends", friends).about(
            Tag::Friends,
            "A user's friends",
            OnUser::Read,
        ),
        Operation::item::<Friend>(ONE, "readFriend", friends, Some("friend")).about(
            Tag::Friends,
            "A friend",
            OnUser::Read,
        ),
        Operation::write_of::<FriendChange, Nothing, _, _>(
            Method::PATCH,
            ONE,
            "changeFriend",
            people::change_friend::<S>,
        )
        .about(
            Tag::Friends,
            "Set a friend's remark, pin, extra data",
            OnUser::ChangeFriend,
        )
        .on_item()
        .refused(&[Code::NotFriend]),
        Operation::write::<Nothing, _, _>(
            Method::DELETE,
            ONE,
            "deleteFriend",
            people::delete_friend::<S>,
        )
        .about(Tag::Friends, "Be friends no longer", OnUser::DeleteFriend)
        .on_item()
        .refused(&[Code::NotFriend]),
    ]
}

fn requests<S: Store>() -> Vec<Operation<S>> {
    const SENT: &str = "/v1/users/{user}/sent_friend_requests/{friend}";
    let received = Of::User(UserId::friend_requests);
    let sent = Of::User(UserId::sent_friend_requests);
    vec![
        Operation::page::<FriendRequest>(
            "/v1/users/{user}/friend_requests",
            "listFriendRequests",
            received,
        )
        .about(Tag::Friends, "Who asks to be a user's friend", OnUser::Read),
        Operation::item::<FriendRequest>(
            "/v1/users/{user}/friend_requests/{friend}",
            "readFriendRequest",
            received,
            Some("friend"),
        )
        .about(Tag::Friends, "A request that came", OnUser::Read),
        Operation::write::<Nothing, _, _>(
            Method::POST,
            "/v1/users/{user}/friend_requests/{friend}/accept",
            "acceptFriend",
            people::accept_friend::<S>,
        )
        .about(Tag::Friends, "Accept who asked", OnUser::AnswerFriend)
        .on_item()
        .refused(&[Code::RequestNotFound]),
        Operation::write_of_maybe::<people::RejectBody, Nothing, _, _>(
            Method::POST,
            "/v1/users/{user}/friend_requests/{friend}/reject",
            "rejectFriend",
            people::reject_friend::<S>,
        )
        .about(Tag::Friends, "Reject who asked", OnUser::AnswerFriend)
        .on_item()
        .refused(&[Code::RequestNotFound]),
        Operation::page::<FriendRequest>(
            "/v1/users/{user}/sent_friend_requests",
            "listSentFriendRequests",
            sent,
        )
        .about(
            Tag::Friends,
            "Whom a user asks to be their friend",
            OnUser::Read,
        ),
        Operation::item::<FriendRequest>(SENT, "readSentFriendRequest", sent, Some("friend"))
            .about(Tag::Friends, "A request that was sent", OnUser::Read),
        Operation::write_of_maybe::<people::RequestBody, Became<RequestFriendOutcome>, _, _>(
            Method::PUT,
            SENT,
            "requestFriend",
            people::request_friend::<S>,
        )
        .about(
            Tag::Friends,
            "Ask somebody to be a friend; asking again replaces",
            OnUser::RequestFriend,
        )
        .on_item()
        .refused(&[Code::Blocked, Code::AlreadyFriends]),
        Operation::write::<Nothing, _, _>(
            Method::DELETE,
            SENT,
            "withdrawFriendRequest",
            people::withdraw_request::<S>,
        )
        .about(
            Tag::Friends,
            "Withdraw a request, or put away a rejected one",
            OnUser::WithdrawFriendRequest,
        )
        .on_item()
        .refused(&[Code::RequestNotFound]),
    ]
}

fn blocks<S: Store>() -> Vec<Operation<S>> {
    const ONE: &str = "/v1/users/{user}/blocks/{blocked}";
    let blocks = Of::User(UserId::blocks);
    vec![
        Operation::page::<Block>("/v1/users/{user}/blocks", "listBlocks", blocks).about(
            Tag::Friends,
            "Whom a user blocks",
            OnUser::Read,
        ),
        Operation::item::<Block>(ONE, "readBlock", blocks, Some("blocked")).about(
            Tag::Friends,
            "A user who is blocked",
            OnUser::Read,
        ),
        Operation::write::<Nothing, _, _>(Method::PUT, ONE, "blockUser", people::block::<S>)
            .about(Tag::Friends, "Block a user", OnUser::Block)
            .on_item(),
        Operation::write::<Nothing, _, _>(Method::DELETE, ONE, "unblockUser", people::unblock::<S>)
            .about(Tag::Friends, "Block a user no longer", OnUser::Block)
            .on_item()
            .refused(&[Code::NotBlocked]),
    ]
}
