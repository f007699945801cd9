//! What a device without incremental sync would have to read: whole lists, by
//! plain requests on a plain socket, every byte counted.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The content codings that are accepted where pulls are compressed: those that
/// the devices accept.
pub(crate) const CODINGS: &str = "hw1, zstd, gzip";

/// How long a connection may be idle: the server closes one after a while.
const IDLE_MAX: Duration = Duration::from_secs(2);

/// A client that pulls whole lists over one kept connection.
pub(crate) struct Puller {
    connection: BufReader<TcpStream>,
    server: SocketAddr,
    used: Instant,
    host: String,
    authorization: String,
    accept_encoding: Option<&'static str>,
}

/// What one pull answered.
pub(crate) struct Pulled {
    /// Bytes of the answer, headers included.
    pub(crate) bytes: u64,
    /// The answer's entity tag; empty for a list that never was.
    pub(crate) etag: String,
    /// Whether the list was as the tag said (status 304).
    pub(crate) unchanged: bool,
}

fn open(server: SocketAddr) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(server).context("cannot connect to pull whole lists")?;
    stream.set_nodelay(true)?;
    Ok(BufReader::with_capacity(64 * 1024, stream))
}

impl Puller {
    /// Connects. `accept_encoding`: the content codings that the answers may
    /// have; `None`: no compression.
    pub(crate) fn connect(
        server: SocketAddr,
        token: &str,
        accept_encoding: Option<&'static str>,
    ) -> Result<Self> {
        Ok(Self {
            connection: open(server)?,
            server,
            used: Instant::now(),
            host: server.to_string(),
            authorization: format!("Bearer {token}"),
            accept_encoding,
        })
    }

    /// Pulls a whole list; with `etag`, only if it is another by now. `None` if
    /// there is no such list for this user.
    pub(crate) fn pull(
        &mut self,
        kind: &str,
        owner: &str,
        etag: Option<&str>,
    ) -> Result<Option<Pulled>> {
        if self.used.elapsed() > IDLE_MAX {
            self.connection = open(self.server)?;
        }
        self.used = Instant::now();
        let mut request = format!(
            "GET /v1/lists/{kind}/{} HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\naccept: application/x-protobuf\r\n",
            percent_encoded(owner),
            self.host,
            self.authorization
        );
        if let Some(codings) = self.accept_encoding {
            request.push_str(&format!("accept-encoding: {codings}\r\n"));
        }
        if let Some(etag) = etag {
            request.push_str(&format!("if-none-match: {etag}\r\n"));
        }
        request.push_str("\r\n");
        self.connection.get_mut().write_all(request.as_bytes())?;
        self.answer()
            .with_context(|| format!("pulling {kind}/{owner}"))
    }

    fn answer(&mut self) -> Result<Option<Pulled>> {
        let mut bytes = 0;
        let mut line = String::new();
        let mut next = |connection: &mut BufReader<TcpStream>| -> Result<(String, u64)> {
            line.clear();
            let read = connection.read_line(&mut line)?;
            ensure!(read > 0, "the server closed the connection");
            Ok((line.trim_end().to_owned(), read as u64))
        };
        let (status_line, read) = next(&mut self.connection)?;
        bytes += read;
        let status = status_line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let (header, read) = next(&mut self.connection)?;
            bytes += read;
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').context("a header without a colon")?;
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let unchanged = status == "304";
        let length: u64 = match headers.get("content-length") {
            _ if unchanged => 0,
            Some(length) => length
                .parse()
                .context("a content-length that is no number")?,
            None => bail!("an answer without content-length"),
        };
        let mut body = (&mut self.connection).take(length);
        let read = std::io::copy(&mut body, &mut std::io::sink())?;
        ensure!(read == length, "the answer was cut short");
        bytes += read;
        match status.as_str() {
            "200" | "304" => {
                // A list that never was has none yet.
                let etag = headers.remove("etag").unwrap_or_default();
                Ok(Some(Pulled {
                    bytes,
                    etag,
                    unchanged,
                }))
            }
            "404" | "403" => Ok(None),
            _ => bail!("the server answered {status_line}"),
        }
    }
}

/// Everything but unreserved characters as `%XX`.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
