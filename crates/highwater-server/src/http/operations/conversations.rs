//! Operations on conversations.

use super::super::call::Takes;
use super::super::changes::Nothing;
use super::super::conversations::{self, ActivitiesBody, ReadBody};
use super::super::lists::Of;
use super::{Content, Operation, Tag, written};
use crate::domain::permissions::{OnGroup, OnUser};
use crate::domain::{ConversationChange, GroupId, Reported, UserId};
use highwater_protocol::Code;
use highwater_protocol::kinds::{Conversation, GroupActivity};
use highwater_store::Store;
use http::Method;

const ONE: &str = "/v1/users/{user}/conversations/{conversation}";

pub(super) fn table<S: Store>() -> Vec<Operation<S>> {
    const REPORT: &str = "Report the last messages of up to 1,000 conversations; one that comes again is stale, so that this needs no key";
    let mut table = own();
    for operation in &mut table {
        let codes = [
            Code::Forbidden,
            Code::UserNotFound,
            Code::ConversationNotFound,
        ];
        operation.codes.extend(codes);
    }
    table.push(
        Operation::item::<GroupActivity>(
            "/v1/groups/{group}/activity",
            "readActivity",
            Of::Group(GroupId::activity, OnGroup::ReadActivity),
            None,
        )
        .about(
            Tag::Conversations,
            "The last message of a large group",
            OnGroup::ReadActivity,
        )
        .refused(&[Code::GroupNotFound]),
    );
    let body = Content::Json(|generator| generator.subschema_for::<ActivitiesBody>());
    table.push(
        Operation::called(
            Method::POST,
            "/v1/activity",
            "reportActivity",
            Takes::Json,
            written::<Reported>(),
            conversations::report::<S>,
        )
        .takes(body, true)
        .about(Tag::Conversations, REPORT, OnUser::ReportActivity)
        .refused(&[
            Code::Forbidden,
            Code::TooMany,
            Code::ReadOnly,
            Code::OutcomeUnknown,
        ]),
    );
    table
}

fn own<S: Store>() -> Vec<Operation<S>> {
    const DELETE: &str = "Delete a conversation, until something happens in it";
    let list = Of::User(UserId::conversations);
    vec![
        Operation::page::<Conversation>(
            "/v1/users/{user}/conversations",
            "listConversations",
            list,
        )
        .about(Tag::Conversations, "A user's conversations", OnUser::Read),
        Operation::item::<Conversation>(ONE, "readConversation", list, Some("conversation")).about(
            Tag::Conversations,
            "A conversation",
            OnUser::Read,
        ),
        Operation::write_of::<ConversationChange, Nothing, _, _>(
            Method::PATCH,
            ONE,
            "changeConversation",
            conversations::change::<S>,
        )
        .about(
            Tag::Conversations,
            "Settings of a conversation, and its draft",
            OnUser::SetConversation,
        )
        .on_item(),
        Operation::write_of::<ReadBody, Nothing, _, _>(
            Method::POST,
            "/v1/users/{user}/conversations/{conversation}/read",
            "markRead",
            conversations::read::<S>,
        )
        .about(
            Tag::Conversations,
            "Say how far a conversation was read",
            OnUser::ReadConversation,
        )
        .on_item(),
        Operation::write::<Nothing, _, _>(
            Method::POST,
            "/v1/users/{user}/conversations/{conversation}/clear",
            "clearConversation",
            conversations::clear::<S>,
        )
        .about(
            Tag::Conversations,
            "Clear a conversation",
            OnUser::ClearConversation,
        )
        .on_item(),
        Operation::write::<Nothing, _, _>(
            Method::DELETE,
            ONE,
            "deleteConversation",
            conversations::delete::<S>,
        )
        .about(Tag::Conversations, DELETE, OnUser::DeleteConversation)
        .on_item(),
    ]
}
