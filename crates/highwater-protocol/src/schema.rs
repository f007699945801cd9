//! JSON schemas of the messages in proto3's JSON mapping, made of the .proto
//! files as the messages are.

use serde_json::{Map, Value};

/// The schemas of these messages and of all that they are made of, by name. They
/// refer to one another as parts of an OpenAPI document do.
///
/// A name that no message has is left out.
#[must_use]
pub fn of<'a>(messages: impl IntoIterator<Item = &'a str>) -> Map<String, Value> {
    let all = all();
    let mut found = Map::new();
    let mut wanted: Vec<String> = messages.into_iter().map(str::to_owned).collect();
    while let Some(name) = wanted.pop() {
        if let Some(schema) = all.get(&name)
            && !found.contains_key(&name)
        {
            references(schema, &mut wanted);
            found.insert(name, schema.clone());
        }
    }
    found
}

fn all() -> Map<String, Value> {
    serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/schemas.json")))
        .unwrap_or_else(|error| unreachable!("what the build wrote is JSON: {error}"))
}

/// The names of those that a schema refers to.
fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref") {
                found.extend(target.rsplit('/').next().map(str::to_owned));
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schema_comes_with_all_that_it_refers_to() {
        let schemas = of(["SyncRequest", "NoSuchMessage"]);
        let names: Vec<_> = schemas.keys().map(String::as_str).collect();
        let expected = [
            "Cursor",
            "ListRequest",
            "OrderKey",
            "Scan",
            "ScanPosition",
            "SketchId",
            "SketchItems",
            "SketchRange",
            "SyncRequest",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_field_is_described_as_it_is_written_in_json() {
        let schemas = of(["ListRequest", "Cursor", "Receipt"]);
        let field = |message: &str, field: &str| schemas[message]["properties"][field].clone();
        assert_eq!(
            field("ListRequest", "deltaDetails"),
            json!({
                "type": "integer", "minimum": 0, "maximum": u32::MAX,
                "description": "How many changed rows may come with their payload; the rest come with their stamp. Absent: all.",
            })
        );
        let lineage = json!({
            "type": "string", "pattern": "^[0-9]{1,20}$",
            "description": "Never zero. See docs/protocol.md, \"Lineage\".",
        });
        assert_eq!(field("Cursor", "lineage"), lineage);
        assert_eq!(field("Cursor", "digest")["contentEncoding"], "base64");
        assert_eq!(field("Receipt", "rung")["enum"][0], "RUNG_LOCAL");
        assert_eq!(field("Receipt", "beganAtMs")["pattern"], "^-?[0-9]{1,19}$");
        // One position, or none.
        assert_eq!(
            schemas["ListRequest"]["oneOf"].as_array().map(Vec::len),
            Some(5)
        );
        assert!(schemas["Cursor"]["oneOf"].is_null());
    }
}
