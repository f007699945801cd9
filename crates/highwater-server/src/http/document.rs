//! The OpenAPI document, made of the table of operations, and a page to browse
//! it.

mod examples;

use super::operations::{Content, Operation, Parameter, Place, SchemaOf, Tag, Who};
use super::{operations, reply, terms};
use crate::domain::permissions::Row;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use highwater_protocol::Code;
use highwater_protocol::codec::Format;
use highwater_protocol::problem::{PROBLEM_JSON, Problem};
use highwater_store::Store;
use highwater_store::memory::MemoryStore;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::LazyLock;

const PAGE: &str = include_str!("document/page.html");
const STYLE: &str = include_str!("document/page.css");
const SCRIPT: &str = include_str!("document/page.js");

/// `GET /v1/openapi.json`.
pub(super) async fn openapi(request: Request) -> Response {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
    reply::json(terms(&request), StatusCode::OK, &*DOCUMENT).await
}

/// The OpenAPI document of this server.
#[must_use]
pub fn document() -> Value {
    // It is the same for every store.
    describe(&operations::table::<MemoryStore>())
}

/// `GET /v1/docs`: all in one piece, which a browser lets run nothing but its own
/// script, and read nothing but this server.
pub(super) async fn page() -> Response {
    static PARTS: LazyLock<(String, HeaderValue)> = LazyLock::new(|| {
        let page = PAGE.replace("{style}", STYLE).replace("{script}", SCRIPT);
        (page, policy())
    });
    let (page, policy) = &*PARTS;
    let mut response = reply::text(StatusCode::OK, "text/html; charset=utf-8", page.clone());
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// What the page may do.
fn policy() -> HeaderValue {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| unreachable!("a policy is plain"))
}

/// The document that describes these operations.
fn describe<S: Store>(operations: &[Operation<S>]) -> Value {
    let mut schemas = Schemas::new();
    schemas.answers.subschema_for::<Problem>();
    let mut paths = Map::new();
    for operation in operations {
        let path = operation.path.replace("{*", "{");
        let described = of_operation(operation, &mut schemas);
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[operation.method.as_str().to_ascii_lowercase()] = described;
    }
    let mut definitions = schemas.definitions();
    definitions.extend(highwater_protocol::schema::of(messages(operations)));
    let tags = Tag::ALL.map(|tag| json!({"name": tag.as_str(), "description": tag.about()}));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Highwater",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "All of an IM's lists. What every request has in common is in docs/http-api.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
            "schemas": definitions,
        },
        "x-codes": codes(),
    })
}

/// Makes schemas. What is read may leave out what has a default; what is written
/// never does.
struct Schemas {
    bodies: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12()
            .with(|settings| settings.definitions_path = "/components/schemas".into());
        Self {
            bodies: settings.clone().into_generator(),
            answers: settings.for_serialize().into_generator(),
        }
    }

    fn definitions(mut self) -> Map<String, Value> {
        let mut all = self.bodies.take_definitions(true);
        all.extend(self.answers.take_definitions(true));
        all
    }
}

/// The messages that requests and answers are.
fn messages<S>(operations: &[Operation<S>]) -> Vec<&'static str> {
    let bodies = operations.iter().filter_map(|operation| operation.body);
    let contents = bodies.map(|(body, _)| body);
    let contents = contents.chain(operations.iter().map(|operation| operation.answer));
    contents
        .filter_map(|content| match content {
            Content::Message(name) => Some(name),
            Content::Json(_) | Content::Write(_) | Content::Text(_) => None,
        })
        .collect()
}

/// Every code, with the status that it travels under.
fn codes() -> Value {
    let codes = Code::ALL.iter();
    codes
        .map(|code| (code.to_string(), json!(reply::status(*code).as_u16())))
        .collect::<Map<_, _>>()
        .into()
}

fn of_operation<S>(operation: &Operation<S>, schemas: &mut Schemas) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag.as_str()],
        "summary": operation.summary,
        "parameters": operation.parameters.iter().map(of_parameter).collect::<Vec<_>>(),
        "responses": responses(operation, &mut schemas.answers),
    });
    match &operation.who {
        Who::Anyone => described["security"] = json!([]),
        Who::Holder(rows) => {
            described["description"] = json!(said(rows));
            described["x-permissions"] = rows.iter().map(permission).collect();
        }
    }
    if let Some((body, required)) = operation.body {
        described["requestBody"] = json!({
            "required": required,
            "content": content(body, &mut schemas.bodies),
        });
        if let Some(example) = examples::of_body(operation.id) {
            described["requestBody"]["content"]["application/json"]["example"] = example;
        }
    }
    described
}

/// Who may, in words.
fn said(rows: &[Row]) -> String {
    let one = |row: &Row| format!("On {}, to {}: {}.", row.on(), row.about(), row.who());
    rows.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// A row of the table of permissions, as `docs/permissions.md` prints it.
fn permission(row: &Row) -> Value {
    let cells = row.cells().into_iter();
    let cells: Map<_, _> = cells
        .map(|(who, allowed)| (who.to_owned(), json!(allowed.as_str())))
        .collect();
    json!({"on": row.on(), "to": row.about(), "allowed": cells})
}

fn of_parameter(parameter: &Parameter) -> Value {
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    let mut described = json!({
        "name": parameter.name,
        "in": place,
        "required": parameter.place == Place::Path,
        "description": parameter.about,
        "schema": (parameter.schema)(),
    });
    if let Some(example) = examples::of_name(parameter.name) {
        described["example"] = json!(example);
    }
    described
}

fn responses<S>(operation: &Operation<S>, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    let ok = json!({
        "description": operation.summary,
        "content": content(operation.answer, generator),
    });
    responses.insert(operation.status.as_u16().to_string(), ok);
    if operation.tagged {
        let description = "The reader has it.";
        responses.insert("304".to_owned(), json!({"description": description}));
    }
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in &operation.codes {
        let status = reply::status(*code).as_u16();
        by_status.entry(status).or_default().push(code.as_str());
    }
    for (status, mut codes) in by_status {
        codes.sort_unstable();
        let problem = json!({
            "allOf": [{"$ref": "#/components/schemas/Problem"}],
            "properties": {"code": {"enum": codes}},
        });
        let description = format!("Refused: {}.", codes.join(", "));
        let content = json!({
            PROBLEM_JSON: {"schema": problem},
            Format::Protobuf.content_type(): {"schema": message("Error")},
        });
        let refused = json!({"description": description, "content": content});
        responses.insert(status.to_string(), refused);
    }
    responses.into()
}

fn content(content: Content, generator: &mut SchemaGenerator) -> Value {
    let mut of = |schema: SchemaOf| schema(generator).to_value();
    let schema = |form: &str| match (content, form) {
        (Content::Json(schema) | Content::Write(schema), "application/json") => of(schema),
        (Content::Message(name), _) => match form {
            "application/json" => json!({"$ref": format!("#/components/schemas/{name}")}),
            _ => message(name),
        },
        (Content::Write(_), _) => message("WriteAnswer"),
        (Content::Json(_) | Content::Text(_), _) => json!({"type": "string"}),
    };
    let types = content.types().iter().copied();
    let mut schema = schema;
    types
        .map(|form| (form.to_owned(), json!({"schema": schema(form)})))
        .collect::<Map<_, _>>()
        .into()
}

/// Bytes of a protobuf message.
fn message(name: &str) -> Value {
    json!({
        "type": "string",
        "format": "binary",
        "description": format!("`{name}` of proto/highwater/v1, in protobuf"),
    })
}
