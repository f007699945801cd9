//! Messages to bytes and back, in either of the wire's two forms.

use crate::error::{Code, Refusal};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The name of the content coding "zstd with the dictionary of this protocol
/// version", as it stands in `accept-encoding` and `content-encoding`.
pub const ZSTD_DICTIONARY_CODING: &str = "hw1";

/// The dictionary of [`ZSTD_DICTIONARY_CODING`]. It is part of the protocol:
/// another dictionary is another coding.
pub const ZSTD_DICTIONARY: &[u8] = include_bytes!("../../../proto/highwater/v1/dictionary.zstd");

/// Bytes that a message takes as a field of another one, in protobuf: a tag, its
/// length and its content.
#[must_use]
pub fn entry_bytes<M: prost::Message>(entry: &M) -> u64 {
    let content = entry.encoded_len();
    (1 + prost::length_delimiter_len(content) + content) as u64
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// `application/x-protobuf`
    #[default]
    Protobuf,
    /// `application/json`: the same messages in proto3's JSON mapping.
    Json,
}

impl Format {
    /// The content type of this form.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// The form that a content type names, its parameters aside.
    #[must_use]
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        [Self::Protobuf, Self::Json]
            .into_iter()
            .find(|format| essence.eq_ignore_ascii_case(format.content_type()))
    }

    /// Writes a wire message.
    #[must_use]
    pub fn encode<M: prost::Message + Serialize>(self, message: &M) -> Bytes {
        match self {
            Self::Protobuf => message.encode_to_vec().into(),
            Self::Json => serde_json::to_vec(message)
                .unwrap_or_else(|error| unreachable!("a message is always JSON: {error}"))
                .into(),
        }
    }

    /// Reads a wire message.
    ///
    /// # Errors
    /// Bytes that are no such message: `malformed_message`, with the reason.
    pub fn decode<M>(self, bytes: Bytes) -> Result<M, Refusal>
    where
        M: prost::Message + Default + DeserializeOwned,
    {
        let malformed = |error: String| {
            let name = match self {
                Self::Protobuf => "protobuf",
                Self::Json => "JSON",
            };
            Refusal::new(
                Code::MalformedMessage,
                format!("the body is not the expected message in {name}: {error}"),
            )
        };
        match self {
            Self::Protobuf => M::decode(bytes).map_err(|error| malformed(error.to_string())),
            Self::Json => {
                serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))
            }
        }
    }
}
