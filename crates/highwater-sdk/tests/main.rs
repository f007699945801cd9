//! The SDK against a server in this process, and against sockets that fail.

fn main() {}
