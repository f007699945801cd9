//! The built program, from outside: processes, sockets, files.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bad_input;
mod crash;
mod demo;
mod evolution;
mod harness;
mod operator;
mod repairs;
mod writes;
