//! The structs that `proto/highwater/v1` compiles to: what travels, before it
//! is parsed.
//!
//! Nothing outside this crate's conversions should need them; they are public
//! for tools that print or record raw messages.
#![expect(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::use_self,
    reason = "generated code"
)]

include!(concat!(env!("OUT_DIR"), "/highwater.v1.rs"));
include!(concat!(env!("OUT_DIR"), "/highwater.v1.serde.rs"));
