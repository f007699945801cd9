//! Starts the built program, on free loopback ports and in temporary folders,
//! and speaks plain HTTP to it.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// The built program.
pub(crate) fn highwater() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HIGHWATER_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a verb to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    highwater().args(args).output().unwrap()
}

/// Runs a verb that must succeed, and returns what it printed.
#[track_caller]
pub(crate) fn run_well(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A data folder with a key, and tokens made from it.
pub(crate) struct Data {
    folder: TempDir,
}

impl Data {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn arg(&self) -> &str {
        self.path().to_str().unwrap()
    }

    pub(crate) fn service_token(&self) -> String {
        run_well(&["token", "--service", "--data", self.arg()])
            .trim()
            .to_owned()
    }

    pub(crate) fn user_token(&self, user: &str) -> String {
        run_well(&["token", "--user", user, "--data", self.arg()])
            .trim()
            .to_owned()
    }

    pub(crate) fn check(&self) -> Output {
        run(&["check", "--data", self.arg()])
    }
}

/// A running server. Killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(data: &Data) -> Self {
        Self::start_with(data, "127.0.0.1:0", &[])
    }

    /// At an address, with further flags.
    pub(crate) fn start_with(data: &Data, listen: &str, flags: &[&str]) -> Self {
        let mut child = highwater()
            .args(["serve", "--data", data.arg(), "--listen", listen])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let address = line
            .split("http://")
            .nth(1)
            .unwrap_or_else(|| panic!("the first line names the address: {line:?}"))
            .trim()
            .trim_end_matches('/')
            .to_owned();
        Self { child, address }
    }

    /// SIGKILL: no instruction of the server's runs after this.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One kept connection.
pub(crate) struct Http {
    stream: BufReader<TcpStream>,
    token: String,
}

impl Http {
    pub(crate) fn connect(address: &str, token: &str) -> std::io::Result<Self> {
        let stream = BufReader::new(TcpStream::connect(address)?);
        stream.get_ref().set_nodelay(true)?;
        Ok(Self {
            stream,
            token: token.to_owned(),
        })
    }

    /// Sends JSON and reads the answer: its status and its JSON.
    pub(crate) fn json(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> std::io::Result<(u16, Value)> {
        let (status, body) = self.send(method, path, "application/json", body.as_bytes())?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// Sends a body of any form and reads the answer: its status and its body.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> std::io::Result<(u16, Vec<u8>)> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\naccept: {content_type}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        self.stream
            .get_mut()
            .write_all(&[head.as_bytes(), body].concat())?;
        let mut line = String::new();
        let mut status = None;
        let mut length = 0;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end().to_ascii_lowercase();
            if status.is_none() {
                status = text
                    .split(' ')
                    .nth(1)
                    .and_then(|status| status.parse().ok());
            } else if let Some(number) = text.strip_prefix("content-length:") {
                length = number.trim().parse().unwrap();
            } else if text.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status.unwrap(), body))
    }
}
