//! What is fuzzed: every decoder of what a peer or a file says, the replica
//! under arbitrary answers, and the answer to arbitrary requests.
//!
//! Each target is a function of bytes that panics if a promise is broken. The
//! programs in `fuzz/` call them with what libFuzzer makes up, which needs a
//! nightly toolchain; the tests here call them with every file of
//! `fuzz/corpus/`, which does not.
//!
//! ```
//! highwater_fuzz::run("tokens", b"no token at all");
//! ```

mod answer;
mod bodies;
mod invent;
mod messages;
mod replica;
mod seeds;
mod sketch;
mod world;

/// One thing that is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Names its program and its folder of the corpus.
    pub name: &'static str,
    /// Panics if a promise is broken.
    pub run: fn(&[u8]),
    /// Bytes to begin with: real messages.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

const fn target_of(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, seeds }
}

/// All of them, in the order in which they are run.
pub const TARGETS: [Target; 16] = [
    target_of(
        "request_protobuf",
        messages::request_protobuf,
        seeds::requests_protobuf,
    ),
    target_of("request_json", messages::request_json, seeds::requests_json),
    target_of(
        "response_protobuf",
        messages::response_protobuf,
        seeds::responses_protobuf,
    ),
    target_of(
        "response_json",
        messages::response_json,
        seeds::responses_json,
    ),
    target_of("other_messages", messages::others, seeds::other_messages),
    target_of("positions", messages::positions, seeds::positions),
    target_of("receipts", messages::receipts, seeds::receipts),
    target_of("sketch_cells", sketch::cells, seeds::sketches),
    target_of("write_bodies", bodies::writes, seeds::write_bodies),
    target_of("import_bodies", bodies::imports, seeds::history_lines),
    target_of("history_lines", bodies::history, seeds::history_lines),
    target_of(
        "compressed_bodies",
        bodies::compressed,
        seeds::compressed_bodies,
    ),
    target_of("tokens", bodies::tokens, seeds::tokens),
    target_of("answer", answer::to_anything, seeds::noise),
    target_of("replica", replica::under_lies, seeds::lies),
    target_of("replica_bytes", replica::under_bytes, seeds::noise),
];

/// Runs the target of this name.
///
/// # Panics
/// If there is none, or if a promise is broken.
pub fn run(name: &str, data: &[u8]) {
    let named = TARGETS.iter().find(|target| target.name == name);
    match named {
        Some(target) => (target.run)(data),
        None => panic!("there is no target {name}"),
    }
}
