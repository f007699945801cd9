//! Operations on groups.

use super::super::changes::{Nothing, Results};
use super::super::groups;
use super::super::lists::Of;
use super::{Operation, Tag, Who};
use crate::domain::{GroupId, InviteOutcome, RemoveOutcome};
use highwater_protocol::Code;
use highwater_protocol::kinds::{JoinRequest, Member};
use highwater_store::Store;
use http::{Method, StatusCode};

/// Who may do what to a group, in words.
mod who {
    use super::Who;

    pub(super) const MEMBER: Who = Who::Holder("a member; a service");
    pub(super) const ADMINS: Who = Who::Holder("the group's owner and admins; a service");
    pub(super) const OWNER: Who = Who::Holder("the group's owner; a service");
    pub(super) const SELF: Who = Who::Holder("a user, for themselves; a service, for anybody");
}

pub(super) fn table<S: Store>() -> Vec<Operation<S>> {
    use groups::{CreateBody, DescribeBody, GroupAnswer, RoleBody, UserBody, UsersBody};
    const ONE: &str = "/v1/groups/{group}";
    vec![
        Operation::write_of::<CreateBody, Nothing, _, _>(
            Method::POST,
            "/v1/groups",
            "createGroup",
            groups::create::<S>,
        )
        .about(Tag::Groups, "Create a group", who::SELF)
        .answers(StatusCode::CREATED)
        .refused(&[Code::Forbidden, Code::GroupExists]),
        Operation::read::<GroupAnswer, _, _>(ONE, "readGroup", groups::group::<S>)
            .about(Tag::Groups, "What a group says about itself", who::MEMBER)
            .refused(&[Code::GroupNotFound]),
        Operation::write_of::<DescribeBody, Nothing, _, _>(
            Method::PATCH,
            ONE,
            "describeGroup",
            groups::describe::<S>,
        )
        .about(Tag::Groups, "Rename or describe a group", who::ADMINS)
        .on_item()
        .refused(&[Code::Forbidden, Code::GroupNotFound]),
        Operation::write::<Nothing, _, _>(
            Method::DELETE,
            ONE,
            "dismissGroup",
            groups::dismiss::<S>,
        )
        .about(Tag::Groups, "Dismiss a group", who::OWNER)
        .on_item()
        .refused(&[Code::Forbidden, Code::GroupNotFound]),
        Operation::write_of_maybe::<UserBody, Nothing, _, _>(
            Method::POST,
            "/v1/groups/{group}/members:join",
            "joinGroup",
            groups::join::<S>,
        )
        .about(Tag::Groups, "Enter a group", who::SELF)
        .refused(&[Code::Forbidden, Code::GroupNotFound, Code::AlreadyMember]),
        Operation::write_of_maybe::<UserBody, Nothing, _, _>(
            Method::POST,
            "/v1/groups/{group}/members:leave",
            "leaveGroup",
            groups::leave::<S>,
        )
        .about(Tag::Groups, "Leave a group", who::SELF)
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
            who::ADMINS,
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
            who::ADMINS,
        )
        .refused(&[Code::Forbidden, Code::GroupNotFound, Code::TooMany]),
        Operation::page::<Member>(
            "/v1/groups/{group}/members",
            "listMembers",
            Of::Group(GroupId::members),
        )
        .about(Tag::Groups, "Who is in a group", who::MEMBER)
        .refused(&[Code::GroupNotFound]),
        Operation::item::<Member>(
            "/v1/groups/{group}/members/{user}",
            "readMember",
            Of::Group(GroupId::members),
            Some("user"),
        )
        .about(Tag::Groups, "A member", who::MEMBER)
        .refused(&[Code::GroupNotFound]),
        Operation::page::<JoinRequest>(
            "/v1/groups/{group}/join_requests",
            "listJoinRequests",
            Of::Group(GroupId::join_requests),
        )
        .about(Tag::Groups, "Who applies to a group", who::ADMINS)
        .refused(&[Code::GroupNotFound]),
        Operation::write_of::<RoleBody, Nothing, _, _>(
            Method::PUT,
            "/v1/groups/{group}/members/{user}/role",
            "setRole",
            groups::set_role::<S>,
        )
        .about(Tag::Groups, "Give a member a role", who::OWNER)
        .on_item()
        .refused(&[
            Code::Forbidden,
            Code::GroupNotFound,
            Code::NotMember,
            Code::OwnerRequired,
        ]),
    ]
}
