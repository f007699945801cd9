//! Operations on the server itself: syncs, administration, health.

use super::super::call::Takes;
use super::super::{admin, document, health, people, reads, receipts, sync};
use super::{Content, Operation, Tag, Who};
use crate::domain::permissions::{OnGroup, OnServer, OnUser};
use axum::routing::on;
use highwater_protocol::Code;
use highwater_store::Store;
use http::Method;

const PLAIN: Content = Content::Text(&["text/plain"]);
const FIGURES: Content = Content::Text(&["application/openmetrics-text"]);
const HTML: Content = Content::Text(&["text/html"]);

pub(super) fn sync<S: Store>() -> Vec<Operation<S>> {
    // As the kind of each list says.
    let any = || {
        Who::Holder(vec![
            OnUser::Read.into(),
            OnGroup::ReadProfile.into(),
            OnGroup::ReadMembers.into(),
            OnGroup::ReadActivity.into(),
            OnGroup::ReadJoinRequests.into(),
        ])
    };
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
            any(),
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
        .about(Tag::Sync, "A whole list in one piece", any())
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
        .about(Tag::Sync, "What repairs did", OnServer::TellRepairs)
        .takes(Content::Message("Receipts"), true)
        .refused(&[
            Code::Forbidden,
            Code::NotFound,
            Code::TooMany,
            Code::ZeroLineage,
        ]),
    ]
}

pub(super) fn admin<S: Store>() -> Vec<Operation<S>> {
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
            OnServer::Import,
        )
        .refused(&[
            Code::Forbidden,
            Code::TooMany,
            Code::GroupExists,
            Code::GroupNotFound,
            Code::AlreadyMember,
            Code::NotMember,
        ]),
        Operation::write_of::<people::ImportFriendsBody, people::ImportedFriends, _, _>(
            Method::POST,
            "/v1/admin/friends",
            "importFriends",
            people::import_friends::<S>,
        )
        .about(
            Tag::Admin,
            "Make up to 1,000 pairs of users friends",
            OnUser::ImportFriends,
        )
        .refused(&[
            Code::Forbidden,
            Code::TooMany,
            Code::UserNotFound,
            Code::AlreadyFriends,
        ]),
        Operation::read::<admin::Status, _, _>("/v1/admin/status", "status", admin::status::<S>)
            .about(Tag::Admin, "How the server is", OnServer::ReadStatus)
            .refused(&[Code::Forbidden]),
        Operation::read::<receipts::Told, _, _>(
            "/v1/admin/receipts",
            "readReceipts",
            receipts::last::<S>,
        )
        .about(
            Tag::Admin,
            "What devices told last of their repairs",
            OnServer::ReadReceipts,
        )
        .refused(&[Code::Forbidden]),
        Operation::called(
            Method::POST,
            "/v1/admin/audit",
            "audit",
            Takes::MaybeJson,
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
            OnServer::Audit,
        )
        .refused(&[Code::Forbidden, Code::ReadOnly]),
    ]
}

pub(super) fn health<S: Store>() -> Vec<Operation<S>> {
    vec![
        Operation::raw(Method::GET, "/healthz", "healthz", PLAIN, |method| {
            on(method, health::alive)
        })
        .about(Tag::Health, "Whether the process answers", Who::Anyone),
        Operation::raw(Method::GET, "/readyz", "readyz", PLAIN, |method| {
            on(method, health::ready::<S>)
        })
        .about(Tag::Health, "Whether the store can be read", Who::Anyone),
        Operation::raw(Method::GET, "/metrics", "metrics", FIGURES, |method| {
            on(method, health::metrics::<S>)
        })
        .about(Tag::Health, "Figures for Prometheus", Who::Anyone),
        Operation::raw(
            Method::GET,
            "/v1/openapi.json",
            "openapi",
            Content::Json(|_| schemars::json_schema!({"type": "object"})),
            |method| on(method, document::openapi),
        )
        .about(Tag::Health, "This document", Who::Anyone),
        Operation::raw(Method::GET, "/v1/docs", "docs", HTML, |method| {
            on(method, document::page)
        })
        .about(Tag::Health, "This document, to browse", Who::Anyone),
    ]
}
