//! Payloads as values: what a payload's bytes mean, and how a struct says it.

use crate::error::{Code, Refusal};

/// A payload of a kind of list: what its bytes mean.
pub trait Payload: Sized {
    /// The payload's bytes.
    fn encode(&self) -> Vec<u8>;

    /// Reads a payload. Fields that are not known here are ignored.
    ///
    /// # Errors
    /// Bytes that are no such payload.
    fn decode(bytes: &[u8]) -> Result<Self, Refusal>;
}

pub(super) fn decode<M: prost::Message + Default>(bytes: &[u8]) -> Result<M, Refusal> {
    M::decode(bytes).map_err(|error| {
        Refusal::new(
            Code::MalformedMessage,
            format!("the payload cannot be read: {error}"),
        )
        .at("payload")
    })
}

/// A field of a payload, as it travels.
pub(super) trait Field: Sized {
    type Wire;

    fn to_wire(&self) -> Self::Wire;

    fn from_wire(wire: Self::Wire) -> Self;
}

macro_rules! plain {
    ($($plain:ty),+) => {
        $(impl Field for $plain {
            type Wire = Self;

            fn to_wire(&self) -> Self {
                self.clone()
            }

            fn from_wire(wire: Self) -> Self {
                wire
            }
        })+
    };
}

plain!(String, bool, i64, u32, u64);

/// A payload, or a part of one: a struct whose fields are those of the message
/// of the same name.
macro_rules! message {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub struct $name {
            $($(#[$field_doc])* #[serde(default)] pub $field: $type,)+
        }

        impl $crate::kinds::payload::Field for $name {
            type Wire = $crate::wire::$name;

            fn to_wire(&self) -> Self::Wire {
                $crate::wire::$name {
                    $($field: $crate::kinds::payload::Field::to_wire(&self.$field),)+
                }
            }

            fn from_wire(wire: Self::Wire) -> Self {
                Self {
                    $($field: $crate::kinds::payload::Field::from_wire(wire.$field),)+
                }
            }
        }

        impl $crate::kinds::payload::Field for Option<$name> {
            type Wire = Option<$crate::wire::$name>;

            fn to_wire(&self) -> Self::Wire {
                self.as_ref().map($crate::kinds::payload::Field::to_wire)
            }

            fn from_wire(wire: Self::Wire) -> Self {
                wire.map($crate::kinds::payload::Field::from_wire)
            }
        }

        impl $crate::kinds::Payload for $name {
            fn encode(&self) -> Vec<u8> {
                prost::Message::encode_to_vec(&$crate::kinds::payload::Field::to_wire(self))
            }

            fn decode(bytes: &[u8]) -> Result<Self, $crate::Refusal> {
                $crate::kinds::payload::decode(bytes)
                    .map($crate::kinds::payload::Field::from_wire)
            }
        }
    };
}

/// A choice that has a name. What is unspecified, or not known here, reads as the
/// first one.
macro_rules! choice {
    (
        $(#[$doc:meta])* $name:ident ($field:literal) {
            $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+
        }
        default $default:ident
    ) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
            serde::Serialize, serde::Deserialize,
        )]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// All of them, in their order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// Reads a name.
            ///
            /// # Errors
            /// Any other name.
            pub fn parse(name: &str) -> Result<Self, $crate::Refusal> {
                match name {
                    $($text => Ok(Self::$variant),)+
                    _ => {
                        let names: Vec<_> = Self::ALL.iter().map(|one| one.as_str()).collect();
                        let message = format!("{} is one of {}", $field, names.join(", "));
                        Err($crate::Refusal::invalid($field, message))
                    }
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::$default
            }
        }

        impl $crate::kinds::payload::Field for $name {
            type Wire = i32;

            fn to_wire(&self) -> i32 {
                match self {
                    $(Self::$variant => $crate::wire::$name::$variant as i32,)+
                }
            }

            fn from_wire(wire: i32) -> Self {
                match $crate::wire::$name::try_from(wire) {
                    $(Ok($crate::wire::$name::$variant) => Self::$variant,)+
                    Ok($crate::wire::$name::Unspecified) | Err(_) => Self::$default,
                }
            }
        }

        impl $crate::kinds::payload::Field for Option<$name> {
            type Wire = i32;

            fn to_wire(&self) -> i32 {
                self.as_ref().map_or(0, $crate::kinds::payload::Field::to_wire)
            }

            fn from_wire(wire: i32) -> Self {
                (wire != 0).then(|| $crate::kinds::payload::Field::from_wire(wire))
            }
        }
    };
}

pub(super) use {choice, message};
