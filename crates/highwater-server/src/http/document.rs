//! The OpenAPI document, made of the table of operations, and a page to browse
//! it.

use super::operations::{Content, Operation, Parameter, Place, SchemaOf, Tag, Who};
use super::{operations, reply, terms};
use crate::domain::permissions::Row;
use axum::extract::Request;
use axum::response::Response;
use highwater_protocol::Code;
use highwater_protocol::codec::Format;
use highwater_protocol::problem::{PROBLEM_JSON, Problem};
use highwater_store::Store;
use highwater_store::memory::MemoryStore;
use http::StatusCode;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

const PAGE: &str = include_str!("document.html");

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

/// `GET /v1/docs`.
pub(super) async fn page() -> Response {
    reply::text(StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned())
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
            "schemas": schemas.definitions(),
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
    json!({
        "name": parameter.name,
        "in": place,
        "required": parameter.place == Place::Path,
        "description": parameter.about,
        "schema": (parameter.schema)(),
    })
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
            "application/json" => json!({
                "type": "object",
                "description": format!("`{name}` of proto/highwater/v1, in proto3's JSON mapping"),
            }),
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
