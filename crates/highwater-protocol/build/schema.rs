//! JSON schemas of the messages, in proto3's JSON mapping as it is written: what
//! they are described with is the comments of the .proto files.

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::source_code_info::Location;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, SourceCodeInfo,
};
use serde_json::{Map, Value, json};

/// Where the schema of a message is, for those that refer to it.
const SCHEMAS: &str = "#/components/schemas/";

// Numbers of fields in descriptor.proto, which paths of comments are made of.
const MESSAGE_TYPE: i32 = 4;
const FIELD: i32 = 2;

/// The schemas of all messages, by name.
pub(crate) fn of_messages(descriptors: &[u8]) -> Result<Value, prost::DecodeError> {
    let files = FileDescriptorSet::decode(descriptors)?.file;
    let mut schemas = Map::new();
    for file in &files {
        let comments = file.source_code_info.as_ref();
        for (message, at) in file.message_type.iter().zip(0..) {
            schemas.insert(
                message.name().to_owned(),
                of_message(file, message, comments, at),
            );
        }
    }
    Ok(schemas.into())
}

fn of_message(
    file: &FileDescriptorProto,
    message: &DescriptorProto,
    comments: Option<&SourceCodeInfo>,
    at: i32,
) -> Value {
    let mut properties = Map::new();
    for (field, index) in message.field.iter().zip(0..) {
        let mut schema = of_field(file, message, field);
        describe(&mut schema, comments, &[MESSAGE_TYPE, at, FIELD, index], "");
        properties.insert(field.json_name().to_owned(), schema);
    }
    let name = format!(
        "`{}.{}` in proto3's JSON mapping.",
        file.package(),
        message.name()
    );
    let mut schema = json!({"type": "object", "properties": properties});
    describe(&mut schema, comments, &[MESSAGE_TYPE, at], &name);
    if let Some(choices) = choices(message) {
        schema["oneOf"] = choices;
    }
    schema
}

/// That at most one field of a `oneof` is there.
fn choices(message: &DescriptorProto) -> Option<Value> {
    let chosen = message
        .field
        .iter()
        .filter(|field| field.oneof_index.is_some() && !field.proto3_optional());
    let mut choices: Vec<_> = chosen
        .map(|field| json!({"required": [field.json_name()]}))
        .collect();
    if choices.is_empty() {
        return None;
    }
    choices.push(json!({"not": {"anyOf": choices}}));
    Some(choices.into())
}

fn of_field(
    file: &FileDescriptorProto,
    message: &DescriptorProto,
    field: &FieldDescriptorProto,
) -> Value {
    let one = match field.r#type() {
        Type::Bool => json!({"type": "boolean"}),
        Type::String => json!({"type": "string"}),
        Type::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Type::Double | Type::Float => json!({"type": "number"}),
        Type::Uint32 | Type::Fixed32 => {
            json!({"type": "integer", "minimum": 0, "maximum": u32::MAX})
        }
        Type::Int32 | Type::Sint32 | Type::Sfixed32 => {
            json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX})
        }
        // Numbers of 64 bits travel as strings: JSON's own lose digits.
        Type::Uint64 | Type::Fixed64 => json!({"type": "string", "pattern": "^[0-9]{1,20}$"}),
        Type::Int64 | Type::Sint64 | Type::Sfixed64 => {
            json!({"type": "string", "pattern": "^-?[0-9]{1,19}$"})
        }
        Type::Enum => json!({"type": "string", "enum": names(file, message, field)}),
        Type::Message | Type::Group => json!({"$ref": format!("{SCHEMAS}{}", short(field))}),
    };
    match field.label() {
        Label::Repeated => json!({"type": "array", "items": one}),
        Label::Optional | Label::Required => one,
    }
}

/// A type's name without those of its surroundings.
fn short(field: &FieldDescriptorProto) -> &str {
    field.type_name().rsplit('.').next().unwrap_or_default()
}

/// What a choice may be; that nothing is chosen is said by leaving it out.
fn names<'a>(
    file: &'a FileDescriptorProto,
    message: &'a DescriptorProto,
    field: &FieldDescriptorProto,
) -> Vec<&'a str> {
    let known = message.enum_type.iter().chain(&file.enum_type);
    let chosen = known.filter(|choice| choice.name() == short(field)).take(1);
    chosen
        .flat_map(|choice| &choice.value)
        .filter(|value| value.number() != 0)
        .map(|value| value.name())
        .collect()
}

fn describe(schema: &mut Value, comments: Option<&SourceCodeInfo>, path: &[i32], after: &str) {
    let is_it = |location: &&Location| location.path == path;
    let location = comments.and_then(|comments| comments.location.iter().find(is_it));
    let comment = location.map_or("", |location| location.leading_comments());
    let words = comment.split_whitespace().chain(after.split_whitespace());
    let text: Vec<_> = words.collect();
    if !text.is_empty() {
        schema["description"] = text.join(" ").into();
    }
}
