//! The program as an operator meets it: how large it is, how soon it answers,
//! what it takes while nobody asks.

use crate::bench::Bench;
use crate::context::Context;
use crate::load::{Body, Connection, Prepared};
use crate::measure::{Samples, float};
use crate::report::{Goal, Row};
use anyhow::{Context as _, Result};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the program is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(1);

/// The benches of this file.
pub(crate) const BENCHES: &[Bench] = &[Bench {
    name: "binary",
    about: "the release binary of highwater: size, time to its first answer, memory while idle",
    run: binary,
}];

/// A running `highwater serve`; it ends when it is dropped.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    fn start(program: &Path, data: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| {
                format!(
                    "cannot run {}: build it (`make bench` does), or name it with --program",
                    program.display()
                )
            })?;
        let stdout = child.stdout.take();
        let mut running = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let mut line = String::new();
        BufReader::new(stdout.context("the program has no output")?).read_line(&mut line)?;
        let address = line.trim_end().rsplit_once("http://");
        let (_, address) = address
            .with_context(|| format!("the program's first line names no address: {line:?}"))?;
        running.address = address.parse()?;
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has nothing to lose: nothing was written.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binary(context: &mut Context) -> Result<Vec<Row>> {
    let program = context.program.clone();
    let bytes = std::fs::metadata(&program)
        .with_context(|| {
            format!(
                "there is no program at {}: build it (`make bench` does), or name it with --program",
                program.display()
            )
        })?
        .len();
    let data = context.folder()?;
    let body = Body {
        content_type: "application/json",
        bytes: b"",
        accept_encoding: "",
    };
    let hello = Prepared::new("GET", "/v1/hello", "none", body);
    let mut starts = Samples::default();
    let mut memory = Samples::default();
    // The first start makes the database and the keys, and does not count.
    for round in 0..=context.scale.rounds {
        let began = Instant::now();
        let running = Running::start(&program, data.path())?;
        Connection::open(running.address)?.ask(&hello)?;
        let took = began.elapsed();
        if round > 0 {
            starts.push(took.as_secs_f64() * 1e3);
            if round <= 3 {
                std::thread::sleep(IDLE);
                let id = running.child.id();
                memory.push(float(status_kib(&format!("{id}"), "VmRSS:")?) * 1_024.0 / 1e6);
            }
        }
    }
    Ok(vec![
        Row::new("binary.size", float(bytes) / 1e6, "MB", 1).goal(&Goal::AtMost(40.0)),
        Row::new("binary.start", starts.median(), "ms", starts.count())
            .goal(&Goal::AtMost(50.0))
            .note("from the start of the process to its first answer, over an empty database"),
        Row::new("binary.idle", memory.median(), "MB", memory.count())
            .goal(&Goal::AtMost(30.0))
            .note("resident, one second after its first answer"),
    ])
}

/// A figure of `/proc/ID/status`, in KiB.
///
/// # Errors
/// There is no such process or figure.
pub(crate) fn status_kib(process: &str, figure: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    let number = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    number.with_context(|| format!("{path} has no {figure}"))
}
