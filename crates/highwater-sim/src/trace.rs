//! What happened in a world, line by line: hashed always, kept on request.

use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

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

/// A trace that grows. Clones share it, so that it outlives a panic.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<Inner>>);

struct Inner {
    hasher: blake3::Hasher,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(keep: bool) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            hasher: blake3::Hasher::new(),
            lines: keep.then(Vec::new),
        })))
    }

    pub(crate) fn line(&self, line: String) {
        let inner = &mut *self.0.lock();
        inner.hasher.update(line.as_bytes());
        inner.hasher.update(b"\n");
        if let Some(lines) = &mut inner.lines {
            lines.push(line);
        }
    }

    /// The hash of all lines, and the lines that were kept.
    pub(crate) fn end(&self) -> (TraceHash, Vec<String>) {
        let mut inner = self.0.lock();
        let mut hash = [0; 16];
        hash.copy_from_slice(&inner.hasher.finalize().as_bytes()[..16]);
        (TraceHash(hash), inner.lines.take().unwrap_or_default())
    }
}
