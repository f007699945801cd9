//! The table itself.

use super::super::changes::{Nothing, Results};
use super::super::{admin, document, groups, health, reads, receipts, sync};
use super::{Content, Operation, Tag, Who};
use crate::domain::{InviteOutcome, RemoveOutcome};
use axum::routing::on;
use highwater_protocol::Code;
use highwater_store::Store;
use http::{Method, StatusCode};

const PLAIN: Content = Content::Text(&["text/plain"]);
const HTML: Content = Content::Text(&["text/html"]);
const SERVICE: Who = Who::Holder("a service");

/// Every operation there is.
pub(in crate::http) fn table<S: Store>() -> Vec<Operation<S>> {
    let mut table = groups_table();
    table.extend(reads_table());
    table.extend(sync_table());
    table.extend(admin_table());
    table.extend(health_table());
    table
}

type G = GroupMessages;

/// Who may do what to a group, in words.
struct GroupMessages;

impl GroupMessages {
    const MEMBER: Who = Who::Holder("a member; a service");
    const ADMINS: Who = Who::Holder("the group's owner and admins; a service");
    const OWNER: Who = Who::Holder("the group's owner; a service");
    const SELF: Who = Who::Holder("a user, for themselves; a service, for anybody");
}

fn groups_table<S: Store>() -> Vec<Operation<S>> {
    use groups::{CreateBody, DescribeBody, GroupAnswer, RoleBody, UserBody, UsersBody};
    const ONE: &str = "/v1/groups/{group}";
    vec![
        Operation::write_of::<CreateBody, Nothing, _, _>(
            Method::POST,
            "/v1/groups",
            "createGroup",
            groups::create::<S>,
        )
        .about(Tag::Groups, "Create a group", G::SELF)
        .answers(StatusCode::CREATED)
        .refused(&[Code::Forbidden, Code::GroupExists]),
        Operation::read::<GroupAnswer, _, _>(ONE, "readGroup", groups::group::<S>)
            .about(Tag::Groups, "What a group says about itself", G::MEMBER)
            .refused(&[Code::GroupNotFound]),
        Operation::write_of::<DescribeBody, Nothing, _, _>(
            Method::PATCH,
            ONE,
            "describeGroup",
            groups::describe::<S>,
        )
        .about(Tag::Groups, "Rename or describe a group", G::ADMINS)
        .on_item()
        .refused(&[Code::Forbidden, Code::GroupNotFound]),
        Operation::write::<Nothing, _, _>(
            Method::DELETE,
            ONE,
            "dismissGroup",
            groups::dismiss::<S>,
        )
        .about(Tag::Groups, "Dismiss a group", G::OWNER)
        .on_item()
        .refused(&[Code::Forbidden, Code::GroupNotFound]),
        Operation::write_of_maybe::<UserBody, Nothing, _, _>(
            Method::POST,
            "/v1/groups/{group}/members:join",
            "joinGroup",
            groups::join::<S>,
        )
        .about(Tag::Groups, "Enter a group", G::SELF)
        .refused(&[Code::Forbidden, Code::GroupNotFound, Code::AlreadyMember]),
        Operation::write_of_maybe::<UserBody, Nothing, _, _>(
            Method::POST,
            "/v1/groups/{group}/members:leave",
            "leaveGroup",
            groups::leave::<S>,
        )
        .about(Tag::Groups, "Leave a group", G::SELF)
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
            G::ADMINS,
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
            G::ADMINS,
        )
        .refused(&[Code::Forbidden, Code::GroupNotFound, Code::TooMany]),
        Operation::write_of::<RoleBody, Nothing, _, _>(
            Method::PUT,
            "/v1/groups/{group}/members/{user}/role",
            "setRole",
            groups::set_role::<S>,
        )
        .about(Tag::Groups, "Give a member a role", G::OWNER)
        .on_item()
        .refused(&[
            Code::Forbidden,
            Code::GroupNotFound,
            Code::NotMember,
            Code::OwnerRequired,
        ]),
    ]
}

fn reads_table<S: Store>() -> Vec<Operation<S>> {
    Vec::new()
}

fn sync_table<S: Store>() -> Vec<Operation<S>> {
    const ANY: Who = Who::Holder("whoever may read the lists");
    vec![
        Operation::raw(
            Method::POST,
            "/v1/sync",
            "sync",
            Content::Message("SyncResponse"),
            |method| on(method, sync::sync::<S>),
        )
        .about(
            Tag::Sync,
            "Where copies stand, and what makes them right",
            ANY,
        )
        .takes(Content::Message("SyncRequest"), true)
        .refused(&[Code::UnsupportedProtocol, Code::TooMany, Code::ZeroLineage]),
        Operation::raw(
            Method::GET,
            "/v1/lists/{kind}/{*owner}",
            "readList",
            Content::Message("ListSnapshot"),
            |method| on(method, reads::list::<S>),
        )
        .about(Tag::Sync, "A whole list in one piece", ANY)
        .tagged()
        .refused(&[Code::Forbidden, Code::NotFound, Code::UnknownKind]),
        Operation::raw(
            Method::GET,
            "/v1/hello",
            "hello",
            Content::Message("Hello"),
            |method| on(method, health::hello::<S>),
        )
        .about(Tag::Sync, "What this server speaks", Who::Anyone),
        Operation::raw(
            Method::POST,
            "/v1/receipts",
            "postReceipts",
            Content::Message("ReceiptsTaken"),
            |method| on(method, receipts::post::<S>),
        )
        .about(Tag::Sync, "What repairs did", Who::Holder("a user"))
        .takes(Content::Message("Receipts"), true)
        .refused(&[
            Code::Forbidden,
            Code::NotFound,
            Code::TooMany,
            Code::ZeroLineage,
        ]),
    ]
}

fn admin_table<S: Store>() -> Vec<Operation<S>> {
    vec![
        Operation::write_of::<admin::ImportBody, admin::Imported, _, _>(
            Method::POST,
            "/v1/admin/import",
            "importHistory",
            admin::import::<S>,
        )
        .about(
            Tag::Admin,
            "Record up to 1,000 changes of groups as they were",
            SERVICE,
        )
        .refused(&[
            Code::Forbidden,
            Code::TooMany,
            Code::GroupExists,
            Code::GroupNotFound,
            Code::AlreadyMember,
            Code::NotMember,
        ]),
        Operation::read::<admin::Status, _, _>("/v1/admin/status", "status", admin::status::<S>)
            .about(Tag::Admin, "How the server is", SERVICE)
            .refused(&[Code::Forbidden]),
        Operation::read::<serde_json::Value, _, _>(
            "/v1/admin/receipts",
            "readReceipts",
            receipts::last::<S>,
        )
        .about(
            Tag::Admin,
            "What devices told last of their repairs",
            SERVICE,
        )
        .refused(&[Code::Forbidden]),
        Operation::called(
            Method::POST,
            "/v1/admin/audit",
            "audit",
            super::Takes::MaybeJson,
            Content::Json(|generator| generator.subschema_for::<admin::AuditAnswer>()),
            admin::audit::<S>,
        )
        .takes(
            Content::Json(|generator| generator.subschema_for::<admin::AuditRequest>()),
            false,
        )
        .about(
            Tag::Admin,
            "Hold some of the heads against their rows",
            SERVICE,
        )
        .refused(&[Code::Forbidden, Code::ReadOnly]),
    ]
}

fn health_table<S: Store>() -> Vec<Operation<S>> {
    vec![
        Operation::raw(Method::GET, "/healthz", "healthz", PLAIN, |method| {
            on(method, health::alive)
        })
        .about(Tag::Health, "Whether the process answers", Who::Anyone),
        Operation::raw(Method::GET, "/readyz", "readyz", PLAIN, |method| {
            on(method, health::ready::<S>)
        })
        .about(Tag::Health, "Whether the store can be read", Who::Anyone),
        Operation::raw(Method::GET, "/metrics", "metrics", PLAIN, |method| {
            on(method, health::metrics::<S>)
        })
        .about(Tag::Health, "Figures for Prometheus", Who::Anyone),
        Operation::raw(
            Method::GET,
            "/v1/openapi.json",
            "openapi",
            Content::Json(|_| schemars::json_schema!({"type": "object"})),
            |method| on(method, document::openapi::<S>),
        )
        .about(Tag::Health, "This document", Who::Anyone),
        Operation::raw(Method::GET, "/v1/docs", "docs", HTML, |method| {
            on(method, document::page)
        })
        .about(Tag::Health, "This document, to browse", Who::Anyone),
    ]
}
