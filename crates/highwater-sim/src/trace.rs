//! What happened in a world, line by line: hashed always, kept on request.

use std::fmt;

/// The hash of a whole trace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceHash(pub [u8; 16]);

impl fmt::Display for TraceHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// A trace that grows.
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(keep: bool) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            lines: keep.then(Vec::new),
        }
    }

    pub(crate) fn line(&mut self, line: String) {
        self.hasher.update(line.as_bytes());
        self.hasher.update(b"\n");
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    pub(crate) fn end(self) -> (TraceHash, Vec<String>) {
        let mut hash = [0; 16];
        hash.copy_from_slice(&self.hasher.finalize().as_bytes()[..16]);
        (TraceHash(hash), self.lines.unwrap_or_default())
    }
}
