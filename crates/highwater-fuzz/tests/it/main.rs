//! What was found stays found: every file of the corpus, on any toolchain.
#![expect(clippy::unwrap_used, reason = "tests")]

mod corpus;
