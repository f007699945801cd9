//! The SDK against a server in this process, and against sockets that fail.
#![expect(clippy::unwrap_used, reason = "tests")]

mod abnormal;
mod conversations;
mod crash;
mod damaged_file;
mod database;
mod details;
mod first_sync;
mod happenings;
mod repair;
mod resume;
mod server;
mod sketches;
mod sockets;
mod status;
mod tokens;
mod watch;
mod write_kit;
mod writes;
