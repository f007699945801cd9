//! Operations on groups.

use super::super::changes::{Became, Nothing, Results};
use super::super::groups;
use super::super::lists::Of;
use super::{Operation, Tag, Who};
use crate::domain::permissions::{OnGroup, OnUser};
use crate::domain::{Description, GroupId, InviteOutcome, JoinOutcome, RemoveOutcome, Rules};
use highwater_protocol::Code;
use highwater_protocol::kinds::{JoinRequest, Member};
use highwater_store::Store;
use http::{Method, StatusCode};

pub(super) fn table<S: Store>() -> Vec<Operation<S>> {
    let mut table = life();
    let mut settings = settings();
    for operation in &mut settings {
        let codes = [Code::Forbidden, Code::GroupNotFound];
        operation.codes.extend(codes);
    }
    table.extend(settings);
    table
}

fn life<S: Store>() -> Vec<Operation<S>> {
    use groups::{CreateBody, GroupAnswer, JoinBody, RoleBody, UserBody, UsersBody};
    const ONE: &str = "/v1/groups/{group}";
    let create = Who::Holder(vec![
        OnUser::CreateGroup.into(),
        OnUser::CreateEmptyGroup.into(),
    ]);
    vec![
        Operation::write_of::<CreateBody, Nothing, _, _>(
            Method::POST,
            "/v1/groups",
            "createGroup",
            groups::create::<S>,
        )
        .about(Tag::Groups, "Create a group", create)
        .answers(StatusCode::CREATED)
        .refused(&[Code::Forbidden, Code::GroupExists, Code::UserNotFound]),
        Operation::read::<GroupAnswer, _, _>(ONE, "readGroup", groups::group::<S>)
            .about(
                Tag::Groups,
                "What a group says about itself",
                OnGroup::ReadProfile,
            )
            .refused(&[Code::GroupNotFound]),
        Operation::write_of::<Description, Nothing, _, _>(
            Method::PATCH,
            ONE,
            "describeGroup",
            groups::describe::<S>,
        )
        .about(Tag::Groups, "Rename or describe a group", OnGroup::Describe)
        .on_item()
        .refused(&[Code::Forbidden, Code::GroupNotFound]),
        Operation::write::<Nothing, _, _>(
            Method::DELETE,
            ONE,
            "dismissGroup",
            groups::dismiss::<S>,
        )
        .about(Tag::Groups, "Dismiss a group", OnGroup::Dismiss)
        .on_item()
        .refused(&[Code::Forbidden, Code::GroupNotFound]),
        Operation::write_of_maybe::<JoinBody, Became<JoinOutcome>, _, _>(
            Method::POST,
            "/v1/groups/{group}/members:join",
            "joinGroup",
            groups::join::<S>,
        )
        .about(Tag::Groups, "Enter a group, or apply to it", OnUser::Join)
        .refused(&[
            Code::Forbidden,
            Code::GroupNotFound,
            Code::UserNotFound,
            Code::AlreadyMember,
            Code::JoinRefused,
        ]),
        Operation::write_of_maybe::<UserBody, Nothing, _, _>(
            Method::POST,
            "/v1/groups/{group}/members:leave",
            "leaveGroup",
            groups::leave::<S>,
        )
        .about(Tag::Groups, "Leave a group", OnUser::Leave)
        .refused(&[Code::Forbidden, Code::NotMember, Code::OwnerRequired]),
        Operation::write_of::<UsersBody, Results<InviteOutcome>, _, _>(
            Method::POST,
            "/v1/groups/{group}/members:invite",
            "inviteMembers",
            groups::invite::<S>,
        )
        .about(
            Tag::Groups,
            "Bring up to 1,000 users into a group",
            OnGroup::Invite,
        )
        .refused(&[Code::Forbidden, Code::GroupNotFound, Code::TooMany]),
        Operation::write_of::<UsersBody, Results<RemoveOutcome>, _, _>(
            Method::POST,
            "/v1/groups/{group}/members:remove",
            "removeMembers",
            groups::remove::<S>,
        )
        .about(
            Tag::Groups,
            "Send up to 1,000 members of a lower role away",
            OnGroup::Remove,
        )
        .refused(&[Code::Forbidden, Code::GroupNotFound, Code::TooMany]),
        Operation::page::<Member>(
            "/v1/groups/{group}/members",
            "listMembers",
            Of::Group(GroupId::members, OnGroup::ReadMembers),
        )
        .about(Tag::Groups, "Who is in a group", OnGroup::ReadMembers)
        .refused(&[Code::Forbidden, Code::GroupNotFound]),
        Operation::item::<Member>(
            "/v1/groups/{group}/members/{user}",
            "readMember",
            Of::Group(GroupId::members, OnGroup::ReadMembers),
            Some("user"),
        )
        .about(Tag::Groups, "A member", OnGroup::ReadMembers)
        .refused(&[Code::Forbidden, Code::GroupNotFound]),
        Operation::page::<JoinRequest>(
            "/v1/groups/{group}/join_requests",
            "listJoinRequests",
            Of::Group(GroupId::join_requests, OnGroup::ReadJoinRequests),
        )
        .about(
            Tag::Groups,
            "Who applies to a group",
            OnGroup::ReadJoinRequests,
        )
        .refused(&[Code::Forbidden, Code::GroupNotFound]),
        Operation::write_of::<RoleBody, Nothing, _, _>(
            Method::PUT,
            "/v1/groups/{group}/members/{user}/role",
            "setRole",
            groups::set_role::<S>,
        )
        .about(Tag::Groups, "Give a member a role", OnGroup::SetRole)
        .on_item()
        .refused(&[
            Code::Forbidden,
            Code::GroupNotFound,
            Code::NotMember,
            Code::OwnerRequired,
        ]),
    ]
}

fn settings<S: Store>() -> Vec<Operation<S>> {
    use groups::{AnnounceBody, MemberExtraBody, MuteGroupBody, MuteMemberBody};
    use groups::{AnswerBody, NicknameBody, TransferBody};
    const SPEAK: &str = "Let only the owner and the admins speak, or all";
    const RULES: &str = "Set who may join, invite, see the members";
    const MUTE: &str = "Mute a member of a lower role until a time";
    const EXTRA: &str = "Data of the app's own about a member";
    let nickname = Who::Holder(vec![
        OnUser::SetNickname.into(),
        OnGroup::SetNickname.into(),
    ]);
    let extra = Who::Holder(vec![
        OnUser::SetMemberExtra.into(),
        OnGroup::SetMemberExtra.into(),
    ]);
    const WITHDRAW: &str = "Withdraw an application, or put away a rejected one";
    vec![
        Operation::write_of::<AnnounceBody, Nothing, _, _>(
            Method::PUT,
            "/v1/groups/{group}/announcement",
            "announce",
            groups::announce::<S>,
        )
        .about(Tag::Groups, "Tell the members something", OnGroup::Announce)
        .on_item(),
        Operation::write_of::<MuteGroupBody, Nothing, _, _>(
            Method::PUT,
            "/v1/groups/{group}/mute",
            "muteGroup",
            groups::mute::<S>,
        )
        .about(Tag::Groups, SPEAK, OnGroup::Mute)
        .on_item(),
        Operation::write_of::<Rules, Nothing, _, _>(
            Method::PATCH,
            "/v1/groups/{group}/rules",
            "setRules",
            groups::set_rules::<S>,
        )
        .about(Tag::Groups, RULES, OnGroup::SetRules)
        .on_item(),
        Operation::write_of::<TransferBody, Nothing, _, _>(
            Method::POST,
            "/v1/groups/{group}/transfer",
            "transferGroup",
            groups::transfer::<S>,
        )
        .about(
            Tag::Groups,
            "Hand the group over to a member",
            OnGroup::SetRole,
        )
        .refused(&[Code::NotMember, Code::OwnerRequired]),
        Operation::write_of::<MuteMemberBody, Nothing, _, _>(
            Method::PUT,
            "/v1/groups/{group}/members/{user}/mute",
            "muteMember",
            groups::mute_member::<S>,
        )
        .about(Tag::Groups, MUTE, OnGroup::MuteMember)
        .on_item()
        .refused(&[Code::NotMember]),
        Operation::write_of::<NicknameBody, Nothing, _, _>(
            Method::PUT,
            "/v1/groups/{group}/members/{user}/nickname",
            "setNickname",
            groups::set_nickname::<S>,
        )
        .about(Tag::Groups, "What a member is called in a group", nickname)
        .on_item()
        .refused(&[Code::NotMember]),
        Operation::write_of::<MemberExtraBody, Nothing, _, _>(
            Method::PUT,
            "/v1/groups/{group}/members/{user}/extra",
            "setMemberExtra",
            groups::set_member_extra::<S>,
        )
        .about(Tag::Groups, EXTRA, extra)
        .on_item()
        .refused(&[Code::NotMember]),
        Operation::write::<Nothing, _, _>(
            Method::POST,
            "/v1/groups/{group}/join_requests/{user}/approve",
            "approveJoin",
            groups::approve::<S>,
        )
        .about(
            Tag::Groups,
            "Let somebody in who applied",
            OnGroup::AnswerRequest,
        )
        .on_item()
        .refused(&[
            Code::RequestNotFound,
            Code::UserNotFound,
            Code::AlreadyMember,
        ]),
        Operation::write_of_maybe::<AnswerBody, Nothing, _, _>(
            Method::POST,
            "/v1/groups/{group}/join_requests/{user}/reject",
            "rejectJoin",
            groups::reject::<S>,
        )
        .about(
            Tag::Groups,
            "Reject somebody who applied",
            OnGroup::AnswerRequest,
        )
        .on_item()
        .refused(&[Code::RequestNotFound]),
        Operation::write::<Nothing, _, _>(
            Method::DELETE,
            "/v1/users/{user}/sent_join_requests/{group}",
            "withdrawJoin",
            groups::withdraw::<S>,
        )
        .about(Tag::Groups, WITHDRAW, OnUser::Withdraw)
        .on_item()
        .refused(&[Code::RequestNotFound]),
    ]
}
