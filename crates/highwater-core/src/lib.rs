//! What Highwater's lists mean.
pub mod answer;
mod delta;
mod head;
pub mod reads;
pub mod stamp;

pub use head::{Effect, Head};
