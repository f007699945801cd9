//! The driver for phones and computers: a thread of its own that runs the
//! client's tasks, sockets with TLS, and files.
//!
//! The thread is the client's: what it does there, applying a long answer for
//! one, holds up nobody else, and an app may use whatever executor it likes.

mod coding;
mod files;
mod socket;
mod thread;
mod tls;
mod transport;

use crate::driver::Driver;
use crate::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// How the native driver speaks to the server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NativeConfig {
    /// Whether messages are compressed.
    pub compression: Compression,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long nothing may come while an answer is awaited.
    pub response_timeout: Duration,
    /// Bytes that an answer may have after decompression.
    pub response_bytes_max: usize,
    /// Certificates (DER) of authorities to trust beside the public ones.
    pub root_certificates: Vec<Vec<u8>>,
}

/// Whether messages are compressed on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As both sides can.
    #[default]
    Auto,
    /// Never.
    None,
}

impl Default for NativeConfig {
    fn default() -> Self {
        Self {
            compression: Compression::Auto,
            connect_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(30),
            response_bytes_max: 64 * 1024 * 1024,
            root_certificates: Vec::new(),
        }
    }
}

impl Driver {
    /// A driver of this machine, with a thread of its own that ends with it.
    ///
    /// # Errors
    /// No thread could be started, or a root certificate cannot be read.
    pub fn native(config: NativeConfig) -> Result<Self, Error> {
        let failed = |message: String| Error::setting("native", message);
        let transport = transport::HttpTransport::new(config).map_err(failed)?;
        let thread = thread::Thread::start()
            .map_err(|error| failed(format!("no thread could be started: {error}")))?;
        Ok(Self {
            transport: Arc::new(transport),
            clock: Arc::new(thread::SystemClock),
            spawn: Arc::new(thread),
            storage: Arc::new(files::Files),
        })
    }
}
