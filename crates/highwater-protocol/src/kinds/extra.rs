//! Data of the app's own beside an item.

use super::payload::Field;
use crate::error::Refusal;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of one.
const EXTRA_BYTES: usize = 4_096;

/// A JSON text of up to 4,096 bytes that Highwater keeps and never reads. Empty:
/// there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra(String);

impl Extra {
    /// Checks a JSON text; an empty one and `null` are none.
    ///
    /// # Errors
    /// What is no JSON, or over-long, at field `extra`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > EXTRA_BYTES {
            return Err(Refusal::too_large("extra", text.len(), EXTRA_BYTES));
        }
        if text.is_empty() || text == "null" {
            return Ok(Self::default());
        }
        match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(Refusal::invalid(
                "extra",
                format!("extra data is not JSON: {error}"),
            )),
        }
    }

    /// The JSON text; empty: there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads a field that may be left out, where `null` says that there is none:
/// for `deserialize_with`, beside `default`.
///
/// # Errors
/// As of [`Extra`].
pub fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Extra>, D::Error> {
    Extra::deserialize(from).map(Some)
}

impl Field for Extra {
    type Wire = String;

    fn to_wire(&self) -> String {
        self.0.clone()
    }

    fn from_wire(wire: String) -> Self {
        Self(wire)
    }
}

impl Serialize for Extra {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        // What an older server let in may be no JSON: it reads as a text.
        match serde_json::from_str::<serde_json::Value>(&self.0) {
            Ok(value) => value.serialize(out),
            Err(_) if self.0.is_empty() => out.serialize_unit(),
            Err(_) => self.0.serialize(out),
        }
    }
}

impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(from)?;
        Self::parse(&value.to_string()).map_err(|no| D::Error::custom(no.message))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Extra {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Extra".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Any JSON value of up to 4096 bytes, kept and never read; null: none.",
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn only_json_within_the_limit_is_taken() {
        assert_eq!(Extra::parse("{\"a\":[1]}").unwrap().as_str(), "{\"a\":[1]}");
        assert_eq!(Extra::parse("null").unwrap(), Extra::default());
        assert_eq!(Extra::parse("").unwrap(), Extra::default());
        assert_eq!(Extra::parse("{").unwrap_err().field, "extra");
        let longest = format!("\"{}\"", "x".repeat(EXTRA_BYTES - 2));
        assert!(Extra::parse(&longest).is_ok());
        let no = Extra::parse(&format!("{longest} ")).unwrap_err();
        assert_eq!((no.code, no.limit), (Code::TooLarge, 4_096));
    }

    #[test]
    fn it_stands_in_json_as_the_value_that_it_is() {
        let extra = Extra::parse("{\"a\":1}").unwrap();
        let json = serde_json::to_string(&extra).unwrap();
        assert_eq!(json, "{\"a\":1}");
        assert_eq!(serde_json::from_str::<Extra>(&json).unwrap(), extra);
        assert_eq!(serde_json::to_string(&Extra::default()).unwrap(), "null");
        let mut json = serde_json::Deserializer::from_str("null");
        assert_eq!(given(&mut json).unwrap(), Some(Extra::default()));
        assert_eq!(
            serde_json::from_str::<Extra>("null").unwrap(),
            Extra::default()
        );
    }
}
