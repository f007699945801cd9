//! The load: HTTP/1.1 over plain sockets from one thread, as light as can be,
//! because it shares the machine with what it measures.

use anyhow::{Context as _, Result, bail, ensure};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longer than any request here takes: whatever waits longer hangs.
const TIMEOUT: Duration = Duration::from_secs(60);
const BUFFER_BYTES: usize = 16 * 1024;

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Prepared(Vec<u8>);

/// What a request carries beside its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    /// Its form.
    pub(crate) content_type: &'a str,
    /// Itself.
    pub(crate) bytes: &'a [u8],
    /// Content codings that the answer may have; empty: none.
    pub(crate) accept_encoding: &'a str,
}

impl Prepared {
    /// A request with a bearer token.
    #[must_use]
    pub(crate) fn new(method: &str, path: &str, token: &str, body: Body<'_>) -> Self {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\
             content-type: {}\r\ncontent-length: {}\r\n",
            body.content_type,
            body.bytes.len()
        );
        if !body.accept_encoding.is_empty() {
            head.push_str("accept-encoding: ");
            head.push_str(body.accept_encoding);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body.bytes);
        Self(bytes)
    }

    /// Bytes on the wire.
    #[must_use]
    pub(crate) const fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// An answer, as long as the next one is not read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'a> {
    /// Bytes on the wire, head included.
    pub(crate) bytes: usize,
    /// The body, still encoded.
    pub(crate) body: &'a [u8],
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Where the bytes begin and end that were read and not yet used.
    start: usize,
    end: usize,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("cannot connect to the server")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
        })
    }

    /// So many connections.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open_all(address: SocketAddr, count: usize) -> Result<Vec<Self>> {
        (0..count).map(|_| Self::open(address)).collect()
    }

    /// Sends a request.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn send(&mut self, request: &Prepared) -> Result<()> {
        Ok(self.stream.write_all(&request.0)?)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// A status other than of success, or a connection that ends.
    pub(crate) fn receive(&mut self) -> Result<Reply<'_>> {
        let head_end = loop {
            if let Some(at) = end_of_head(&self.buffer[self.start..self.end]) {
                break self.start + at;
            }
            self.fill()?;
        };
        let head = std::str::from_utf8(&self.buffer[self.start..head_end])?;
        let status = head.get(9..12).unwrap_or_default().to_owned();
        let length = content_length(head).context("an answer has no content-length")?;
        let head_bytes = head_end - self.start;
        let bytes = head_bytes + length;
        while self.end - self.start < bytes {
            self.fill()?;
        }
        let body_at = self.start + head_bytes;
        self.start += bytes;
        let body = &self.buffer[body_at..body_at + length];
        if !status.starts_with('2') {
            bail!("status {status}: {}", String::from_utf8_lossy(body));
        }
        Ok(Reply { bytes, body })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// Those of the two.
    pub(crate) fn ask(&mut self, request: &Prepared) -> Result<Reply<'_>> {
        self.send(request)?;
        self.receive()
    }

    fn fill(&mut self) -> Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.end, 0);
        }
        let read = self.stream.read(&mut self.buffer[self.end..])?;
        ensure!(read > 0, "the server closed the connection");
        self.end += read;
        Ok(())
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

fn content_length(head: &str) -> Option<usize> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    })
}

/// Keeps every connection busy with one request at a time until `count`
/// requests are answered, and returns answers a second. `request` names the one
/// to send, by how many were sent before.
///
/// # Errors
/// The first that fails.
pub(crate) fn rate<'a>(
    connections: &mut [Connection],
    count: usize,
    mut request: impl FnMut(usize) -> &'a Prepared,
) -> Result<f64> {
    let (mut sent, mut answered) = (0, 0);
    let began = Instant::now();
    for connection in connections.iter_mut().take(count) {
        connection.send(request(sent))?;
        sent += 1;
    }
    while answered < count {
        for connection in connections.iter_mut().take(count - answered) {
            connection.receive()?;
            answered += 1;
            if sent < count {
                connection.send(request(sent))?;
                sent += 1;
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(crate::measure::float(count as u64) / seconds)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn request() -> Prepared {
        let body = Body {
            content_type: "text/plain",
            bytes: b"hi",
            accept_encoding: "",
        };
        Prepared::new("POST", "/", "t", body)
    }

    /// Answers each request on each connection with the next of `replies`, cut
    /// in pieces.
    fn server(replies: Vec<Vec<u8>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let length = request().bytes();
            for reply in replies {
                let mut read = vec![0; length];
                stream.read_exact(&mut read).unwrap();
                for piece in reply.chunks(7_000) {
                    stream.write_all(piece).unwrap();
                }
            }
        });
        address
    }

    fn reply(status: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn answers_are_read_whole_whatever_their_length() {
        let long = vec![b'x'; 100_000];
        let address = server(vec![
            reply("200 OK", b"abc"),
            reply("200 OK", &long),
            reply("201 Created", b""),
            reply("404 Not Found", b"nothing here"),
        ]);
        let mut connection = Connection::open(address).unwrap();
        let first = connection.ask(&request()).unwrap();
        assert_eq!(first.body, b"abc");
        assert_eq!(first.bytes, reply("200 OK", b"abc").len());
        let second = connection.ask(&request()).unwrap();
        assert_eq!(second.body, long);
        assert_eq!(second.bytes, reply("200 OK", &long).len());
        assert_eq!(connection.ask(&request()).unwrap().body, b"");
        let error = connection.ask(&request()).unwrap_err().to_string();
        assert_eq!(error, "status 404: nothing here");
        assert!(connection.ask(&request()).is_err(), "the end");
    }

    #[test]
    fn a_rate_counts_exactly_the_answers_that_were_asked_for() {
        let replies = vec![reply("200 OK", b"a"); 5];
        let mut connections = Connection::open_all(server(replies), 1).unwrap();
        let mut sent = Vec::new();
        let request = request();
        let rate = rate(&mut connections, 5, |at| {
            sent.push(at);
            &request
        });
        assert!(rate.unwrap() > 0.0);
        assert_eq!(sent, [0, 1, 2, 3, 4]);
    }
}
