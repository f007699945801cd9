//! Histories of memberships: one transaction a line, as JSON.
//!
//! `{"at": unix seconds, "changes": [{"op": "join", "group": "g", "user": "u",
//! "role": "member"}, …]}`; `data/README.md` says where the one that is built
//! in comes from.

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Eight years of a large open-source organisation, compressed with zstd.
const BUILT_IN: &[u8] = include_bytes!("../data/org-history.jsonl.zst");

/// The first bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A line of at most so many bytes is read.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    /// When it happened, in seconds since 1970.
    pub at: i64,
    /// What it did, in this order.
    pub changes: Vec<Change>,
}

/// One change of a group or of a membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Change {
    /// A group begins.
    Create {
        /// Its id.
        group: String,
        /// What it is for.
        name: String,
    },
    /// A group gets another description.
    Rename {
        /// Its id.
        group: String,
        /// What it is for.
        name: String,
    },
    /// A group ends, with whoever is still in it.
    Dismiss {
        /// Its id.
        group: String,
    },
    /// A user joins.
    Join {
        /// The group.
        group: String,
        /// The user.
        user: String,
        /// `owner`, `admin` or `member`.
        role: String,
    },
    /// A user leaves.
    Leave {
        /// The group.
        group: String,
        /// The user.
        user: String,
    },
    /// A member gets another role.
    Role {
        /// The group.
        group: String,
        /// The user.
        user: String,
        /// `owner`, `admin` or `member`.
        role: String,
    },
}

/// A history, read line by line.
pub struct History {
    lines: Box<dyn BufRead + Send>,
    line: usize,
    name: String,
}

impl History {
    /// The history that is built in.
    ///
    /// # Errors
    /// None that a build which passed its tests can meet.
    pub fn built_in() -> Result<Self> {
        Self::new(BUILT_IN, "the built-in history".to_owned())
    }

    /// A file of the same format, plain or compressed with zstd.
    ///
    /// # Errors
    /// A file that cannot be opened or read.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot open the history {name}"))?;
        Self::new(file, name)
    }

    /// Any source of the same format; `name` stands in errors.
    ///
    /// # Errors
    /// A source whose first bytes cannot be read.
    pub fn new(source: impl Read + Send + 'static, name: String) -> Result<Self> {
        let mut source = BufReader::new(source);
        let begins = source
            .fill_buf()
            .with_context(|| format!("cannot read {name}"))?;
        let lines: Box<dyn BufRead + Send> = if begins.starts_with(&ZSTD_MAGIC) {
            Box::new(BufReader::new(zstd::Decoder::with_buffer(source)?))
        } else {
            Box::new(source)
        };
        Ok(Self {
            lines,
            line: 0,
            name,
        })
    }

    /// The number of the line that was read last, from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// All transactions, checked against each other.
    ///
    /// # Errors
    /// The first line that is none, by its number.
    pub fn read_all(mut self) -> Result<Vec<Transaction>> {
        self.by_ref().collect()
    }

    fn read(&mut self) -> Result<Option<Transaction>> {
        loop {
            let mut text = String::new();
            let read = self
                .lines
                .by_ref()
                .take(LINE_BYTES_MAX)
                .read_line(&mut text);
            self.line += 1;
            let place = format!("{} line {}", self.name, self.line);
            let bytes = read.with_context(|| format!("{place} cannot be read"))?;
            if bytes == 0 {
                return Ok(None);
            }
            if bytes as u64 == LINE_BYTES_MAX {
                bail!("{place} is longer than {LINE_BYTES_MAX} bytes");
            }
            if text.trim().is_empty() {
                continue;
            }
            let transaction = serde_json::from_str(&text)
                .with_context(|| format!("{place} is not a transaction of a history"))?;
            return Ok(Some(transaction));
        }
    }
}

impl Iterator for History {
    type Item = Result<Transaction>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Result<Vec<Transaction>> {
        History::new(text.as_bytes(), "h.jsonl".to_owned())?.read_all()
    }

    #[test]
    fn the_built_in_history_has_what_its_readme_says() {
        let all = History::built_in().unwrap().read_all().unwrap();
        assert_eq!(all.len(), 2_750);
        assert_eq!(
            all.iter().map(|one| one.changes.len()).sum::<usize>(),
            23_463
        );
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = read("{\"at\":1,\"changes\":[]}\n\n{\"at\":2}\n").unwrap_err();
        assert!(format!("{error:#}").contains("h.jsonl line 3"), "{error:#}");
        let error = read("{\"at\":1,\"changes\":[{\"op\":\"jump\"}]}").unwrap_err();
        assert!(
            format!("{error:#}").contains("unknown variant `jump`"),
            "{error:#}"
        );
    }
}
