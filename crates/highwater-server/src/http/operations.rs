//! The operations: one table, from which the router, the names of routes in
//! metrics and logs, and the OpenAPI document are made.

mod conversations;
mod groups;
mod people;
mod server;

use super::call::{Call, Takes};
use super::items::Entry;
use super::lists::{self, Of};
use super::{App, reply, terms};
use crate::domain::permissions::Row;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use highwater_protocol::codec::Format;
use highwater_protocol::kinds::Payload;
use highwater_protocol::{Code, Refusal};
use highwater_store::Store;
use http::{Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use std::future::Future;
use std::sync::Arc;

/// Who may call an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Whoever reaches the server, without a token.
    Anyone,
    /// Whoever has a token, as far as the table of permissions says: by each of
    /// these rows as far as the request is about what it says.
    Holder(Vec<Row>),
}

impl<R: Into<Row>> From<R> for Who {
    fn from(row: R) -> Self {
        Self::Holder(vec![row.into()])
    }
}

/// A part of the document's table of contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Users,
    Friends,
    Groups,
    Conversations,
    Sync,
    Admin,
    Health,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

/// A parameter of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) about: &'static str,
    pub(super) schema: fn() -> Schema,
}

/// Makes a schema, and defines what it refers to.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a body is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// JSON of this shape.
    Json(SchemaOf),
    /// A message of the protocol, in protobuf or in proto3's JSON mapping.
    Message(&'static str),
    /// JSON of this shape, or `WriteAnswer` in protobuf.
    Write(SchemaOf),
    /// Text of the one content type here.
    Text(&'static [&'static str]),
}

/// One operation.
pub(super) struct Operation<S> {
    pub(super) method: Method,
    /// With names of parameters in braces.
    pub(super) path: &'static str,
    /// Unique: its name in the document, in metrics and in logs.
    pub(super) id: &'static str,
    pub(super) tag: Tag,
    pub(super) summary: &'static str,
    pub(super) who: Who,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<(Content, bool)>,
    pub(super) status: StatusCode,
    pub(super) answer: Content,
    /// May be answered 304.
    pub(super) tagged: bool,
    /// Beside those that every operation of its form may be refused with.
    pub(super) codes: Vec<Code>,
    route: MethodRouter<Arc<App<S>>>,
}

/// What the path of a request names.
type Named = Result<Path<Vec<(String, String)>>, PathRejection>;

impl<S: Store> Operation<S> {
    /// An operation that reads its request by itself.
    fn raw(
        method: Method,
        path: &'static str,
        id: &'static str,
        answer: Content,
        route: impl FnOnce(MethodFilter) -> MethodRouter<Arc<App<S>>>,
    ) -> Self {
        let filter = MethodFilter::try_from(method.clone())
            .unwrap_or_else(|_| unreachable!("a method that can be routed"));
        let names = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let mut operation = Self {
            method,
            path,
            id,
            tag: Tag::Health,
            summary: "",
            who: Who::Anyone,
            parameters: names.filter_map(parameter_of_path).collect(),
            body: None,
            status: StatusCode::OK,
            answer,
            tagged: false,
            codes: Vec::new(),
            route: route(filter),
        };
        if !operation.parameters.is_empty() {
            operation.codes.extend([Code::InvalidField, Code::TooLarge]);
        }
        operation
    }

    /// An operation whose request is read for it.
    fn called<F, R>(
        method: Method,
        path: &'static str,
        id: &'static str,
        takes: Takes,
        answer: Content,
        handler: F,
    ) -> Self
    where
        F: Fn(Arc<App<S>>, Call) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Response, Refusal>> + Send,
    {
        Self::raw(method, path, id, answer, |filter| {
            let answered = move |State(app): State<Arc<App<S>>>, path: Named, request: Request| {
                let handler = handler.clone();
                async move {
                    let terms = terms(&request);
                    let path = path.map(|Path(named)| named);
                    let path =
                        path.map_err(|rejection| Refusal::invalid("path", rejection.body_text()));
                    let answer = async {
                        let call = Call::read(&app, takes, terms, path, request).await?;
                        handler(Arc::clone(&app), call).await
                    };
                    answer.await.unwrap_or_else(|no| reply::refusal(terms, no))
                }
            };
            on(filter, answered)
        })
    }

    /// A read, answered as JSON of this shape.
    fn read<T, F, R>(path: &'static str, id: &'static str, handler: F) -> Self
    where
        T: JsonSchema,
        F: Fn(Arc<App<S>>, Call) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Response, Refusal>> + Send,
    {
        let answer = Content::Json(|generator| generator.subschema_for::<T>());
        Self::called(Method::GET, path, id, Takes::Nothing, answer, handler)
    }

    /// A write without a body, answered with its changes and what it says of its
    /// own.
    fn write<O, F, R>(method: Method, path: &'static str, id: &'static str, handler: F) -> Self
    where
        O: JsonSchema,
        F: Fn(Arc<App<S>>, Call) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Response, Refusal>> + Send,
    {
        Self::called(method, path, id, Takes::Nothing, written::<O>(), handler).writes()
    }

    /// A write with a body.
    fn write_of<B, O, F, R>(
        method: Method,
        path: &'static str,
        id: &'static str,
        handler: F,
    ) -> Self
    where
        B: JsonSchema,
        O: JsonSchema,
        F: Fn(Arc<App<S>>, Call) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Response, Refusal>> + Send,
    {
        let write = Self::called(method, path, id, Takes::Json, written::<O>(), handler).writes();
        write.takes(
            Content::Json(|generator| generator.subschema_for::<B>()),
            true,
        )
    }

    /// A write with a body that may be left out.
    fn write_of_maybe<B, O, F, R>(
        method: Method,
        path: &'static str,
        id: &'static str,
        handler: F,
    ) -> Self
    where
        B: JsonSchema,
        O: JsonSchema,
        F: Fn(Arc<App<S>>, Call) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Response, Refusal>> + Send,
    {
        let takes = Takes::MaybeJson;
        let write = Self::called(method, path, id, takes, written::<O>(), handler).writes();
        write.takes(
            Content::Json(|generator| generator.subschema_for::<B>()),
            false,
        )
    }

    fn writes(mut self) -> Self {
        self.parameters.push(parameters::IDEMPOTENCY_KEY);
        self.refused(&[
            Code::InvalidField,
            Code::TooLarge,
            Code::IdempotencyMismatch,
            Code::ReadOnly,
            Code::OutcomeUnknown,
        ])
    }

    fn takes(mut self, body: Content, required: bool) -> Self {
        self.body = Some((body, required));
        self.refused(&[
            Code::UnsupportedMediaType,
            Code::UnsupportedEncoding,
            Code::MalformedMessage,
            Code::InvalidField,
            Code::TooLarge,
        ])
    }

    fn about(mut self, tag: Tag, summary: &'static str, who: impl Into<Who>) -> Self {
        (self.tag, self.summary, self.who) = (tag, summary, who.into());
        if self.who != Who::Anyone {
            self = self.refused(&[Code::MissingToken, Code::InvalidToken, Code::ExpiredToken]);
        }
        self.refused(&[Code::Unavailable, Code::Internal])
    }

    fn answers(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    fn refused(mut self, codes: &[Code]) -> Self {
        for code in codes {
            if !self.codes.contains(code) {
                self.codes.push(*code);
            }
        }
        self
    }

    /// A page of a list.
    fn page<P>(path: &'static str, id: &'static str, of: Of) -> Self
    where
        P: Payload + Serialize + JsonSchema + Send + 'static,
    {
        Self::read::<lists::Page<P>, _, _>(path, id, move |app, call| {
            lists::page::<S, P>(app, call, of)
        })
        .paged()
    }

    /// An item of a list: that which the path names as `item`; without: its
    /// header.
    fn item<P>(path: &'static str, id: &'static str, of: Of, item: Option<&'static str>) -> Self
    where
        P: Payload + Serialize + JsonSchema + Send + 'static,
    {
        Self::read::<Entry<P>, _, _>(path, id, move |app, call| {
            lists::item::<S, P>(app, call, of, item)
        })
        .tagged()
        .refused(&[Code::NotFound])
    }

    /// A write about one item: it takes `If-Match`.
    fn on_item(mut self) -> Self {
        self.parameters.push(parameters::IF_MATCH);
        self.refused(&[Code::PreconditionFailed])
    }

    /// A read that is answered with a tag, and 304 to whoever has it.
    fn tagged(mut self) -> Self {
        self.parameters.push(parameters::IF_NONE_MATCH);
        self.tagged = true;
        self
    }

    /// A read in pages.
    fn paged(mut self) -> Self {
        self.parameters
            .extend([parameters::AFTER, parameters::LIMIT]);
        self.refused(&[Code::InvalidField, Code::TooMany])
    }
}

fn written<O: JsonSchema>() -> Content {
    Content::Write(|generator| generator.subschema_for::<super::changes::Answer<O>>())
}

impl Tag {
    pub(super) const ALL: [Self; 7] = [
        Self::Users,
        Self::Friends,
        Self::Groups,
        Self::Conversations,
        Self::Sync,
        Self::Admin,
        Self::Health,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Friends => "friends",
            Self::Groups => "groups",
            Self::Conversations => "conversations",
            Self::Sync => "sync",
            Self::Admin => "admin",
            Self::Health => "health",
        }
    }

    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::Sync => "How devices keep their copies: docs/protocol.md says it all.",
            Self::Groups => "Groups, and who is in them.",
            Self::Conversations => "Conversations, and what goes on in them.",
            Self::Users => "Users, and what they say about themselves.",
            Self::Friends => "Friends, requests, and whom one blocks.",
            Self::Admin => "For operators and their backends.",
            Self::Health => "For machines that watch the server.",
        }
    }
}

impl Content {
    /// The content types that it comes in.
    pub(super) const fn types(self) -> &'static [&'static str] {
        const PROTOBUF: &str = Format::Protobuf.content_type();
        const JSON: &str = Format::Json.content_type();
        match self {
            Self::Json(_) => &[JSON],
            Self::Message(_) | Self::Write(_) => &[JSON, PROTOBUF],
            Self::Text(types) => types,
        }
    }
}

/// Every operation there is: the one table.
pub(super) fn table<S: Store>() -> Vec<Operation<S>> {
    let mut table = people::table();
    table.extend(groups::table());
    table.extend(conversations::table());
    table.extend(server::sync());
    table.extend(server::admin());
    table.extend(server::health());
    table
}

/// The parameters that more than one operation has.
pub(super) mod parameters {
    use super::{Parameter, Place};
    use schemars::{Schema, json_schema};

    fn id() -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": 120})
    }

    fn any() -> Schema {
        json_schema!({"type": "string"})
    }

    const fn in_path(name: &'static str, about: &'static str) -> Parameter {
        let place = Place::Path;
        Parameter {
            name,
            place,
            about,
            schema: id,
        }
    }

    /// By name.
    pub(super) const IN_PATH: [Parameter; 7] = [
        in_path("user", "The id of a user; a slash within it is `%2F`."),
        in_path("friend", "The id of the other user."),
        in_path("blocked", "The id of the other user."),
        Parameter {
            name: "conversation",
            place: Place::Path,
            about: "`u:` and the other user, `g:` and the group, or `s:` and a name.",
            schema: || json_schema!({"type": "string", "pattern": "^[ugs]:.+$"}),
        },
        in_path("group", "The id of a group; a slash within it is `%2F`."),
        in_path("kind", "The kind of a list."),
        in_path("owner", "Whose list: the id of a user or of a group."),
    ];

    pub(super) const IDEMPOTENCY_KEY: Parameter = Parameter {
        name: "Idempotency-Key",
        place: Place::Header,
        about: "A name for this request, of the sender's choice: sent again with it within a day, the request is answered as it was the first time, and nothing is done again.",
        schema: || json_schema!({"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]([ -~]*[!-~])?$"}),
    };

    pub(super) const IF_MATCH: Parameter = Parameter {
        name: "If-Match",
        place: Place::Header,
        about: "The write is done only if the item is as one of these tags says; `*`: if it is there.",
        schema: || json_schema!({"type": "string", "pattern": "^(\\*|\"[0-9a-f]{32}\"(, \"[0-9a-f]{32}\")*)$"}),
    };

    pub(super) const IF_NONE_MATCH: Parameter = Parameter {
        name: "If-None-Match",
        place: Place::Header,
        about: "Tags of what the reader has: if one of them still holds, the answer is 304.",
        schema: any,
    };

    pub(super) const AFTER: Parameter = Parameter {
        name: "after",
        place: Place::Query,
        about: "The `next` of the page before; left out: from the first item.",
        schema: any,
    };

    pub(super) const LIMIT: Parameter = Parameter {
        name: "limit",
        place: Place::Query,
        about: "Items at most; 100 if left out.",
        schema: || json_schema!({"type": "integer", "minimum": 1, "maximum": 1000}),
    };
}

fn parameter_of_path(name: &str) -> Option<Parameter> {
    let name = name.trim_start_matches('*');
    parameters::IN_PATH
        .into_iter()
        .find(|known| known.name == name)
}

/// The router of these operations.
pub(super) fn router<S: Store>(operations: Vec<Operation<S>>) -> Router<Arc<App<S>>> {
    operations
        .into_iter()
        .fold(Router::new(), |router, operation| {
            router.route(operation.path, operation.route)
        })
}

/// The names of routes, by method and path.
#[derive(Debug)]
pub(crate) struct Routes {
    paths: matchit::Router<Vec<(Method, &'static str)>>,
}

impl Routes {
    pub(super) fn new<S>(operations: &[Operation<S>]) -> Self {
        let mut by_path: Vec<(&str, Vec<(Method, &'static str)>)> = Vec::new();
        for operation in operations {
            let entry = (operation.method.clone(), operation.id);
            match by_path.iter_mut().find(|(path, _)| *path == operation.path) {
                Some((_, methods)) => methods.push(entry),
                None => by_path.push((operation.path, vec![entry])),
            }
        }
        let mut paths = matchit::Router::new();
        for (path, methods) in by_path {
            paths
                .insert(path, methods)
                .unwrap_or_else(|error| unreachable!("the table's paths fit together: {error}"));
        }
        Self { paths }
    }

    /// The name of a request's route in metrics and logs; never anything that
    /// is in its path.
    pub(crate) fn name(&self, method: &Method, path: &str) -> &'static str {
        let Ok(found) = self.paths.at(path) else {
            return "none";
        };
        let head = *method == Method::HEAD;
        let asked = if head { &Method::GET } else { method };
        let named = found.value.iter().find(|(known, _)| known == asked);
        named.map_or("none", |(_, name)| name)
    }
}
