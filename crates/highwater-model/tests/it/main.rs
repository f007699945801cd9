//! The model within the bounds of every test run, and the model with a rule
//! left out, which must be told.
#![expect(
    clippy::print_stdout,
    reason = "how many states, for whoever asks with --nocapture"
)]

mod broken;
mod exhaustive;
