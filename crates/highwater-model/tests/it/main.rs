//! The model within the bounds of every test run, and the model with a rule
//! left out, which must be told.
#![expect(clippy::unwrap_used, reason = "tests")]

mod broken;
mod exhaustive;
