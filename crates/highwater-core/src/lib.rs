//! What Highwater's lists mean: deterministic, sans-IO.
//!
//! The server's side is [`answer`]: the answer to a request over a store's
//! [`reads`]. The device's side is [`replica`]: a state machine over the
//! device's own [`local`] database. Both rest on [`stamp`]s, whose sum tells
//! two copies apart.
pub mod answer;
mod delta;
mod head;
pub mod local;
pub mod reads;
pub mod replica;
pub mod stamp;

pub use head::{Effect, Head};
