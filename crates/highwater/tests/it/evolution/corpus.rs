//! The files of a release's corpus.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Bytes that one release's corpus may take.
const BYTES_MAX: u64 = 512 * 1024;

/// What the files of a corpus must mean.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The release that wrote them.
    pub(super) release: String,
    /// The version of the protocol that it spoke.
    pub(super) protocol: u32,
    /// The server's lists, as `highwater inspect lists --json` printed them.
    pub(super) lists: serde_json::Value,
    /// Rows of each list in the device's database.
    pub(super) device: BTreeMap<String, usize>,
    /// Requests and answers, in their order.
    pub(super) exchanges: Vec<Exchange>,
}

/// One request and its answer: files `<name>.request.pb` and so on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Exchange {
    /// Names its files.
    pub(super) name: String,
    /// Who asked.
    pub(super) user: String,
    /// What a server over the recorded database has to answer today.
    pub(super) today: Today,
}

/// How today's answer compares with the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Today {
    /// It is the same; a sketch in it has another salt and means the same.
    Same,
    /// The sketch that was asked for is no longer kept: diverged, with another.
    AnotherSketch,
    /// The server's content has changed since: only the bytes are kept.
    BytesOnly,
}

/// A change of a group, as a backend asked for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RecordedWrite {
    /// A user, or `service`.
    pub(super) who: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: String,
    pub(super) status: u16,
    pub(super) reply: serde_json::Value,
}

/// The corpus of one release.
pub(super) struct Corpus {
    folder: PathBuf,
    pub(super) manifest: Manifest,
    /// Kept until the corpus is done with, if it is a temporary one.
    _temporary: Option<TempDir>,
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

impl Corpus {
    pub(super) fn open(folder: PathBuf, temporary: Option<TempDir>) -> Self {
        let manifest = fs::read(folder.join("manifest.json")).unwrap();
        Self {
            manifest: serde_json::from_slice(&manifest).unwrap(),
            folder,
            _temporary: temporary,
        }
    }

    pub(super) fn released() -> Vec<Self> {
        let mut folders: Vec<PathBuf> = fs::read_dir(home())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect();
        folders.sort();
        folders
            .into_iter()
            .map(|folder| Self::open(folder, None))
            .collect()
    }

    pub(super) fn release(&self) -> &str {
        &self.manifest.release
    }

    /// A message outside of any exchange, in one form: `hello`, `pb`.
    pub(super) fn other(&self, name: &str, form: &str) -> Bytes {
        self.message(&format!("other-{name}"), form)
    }

    /// A file of an exchange: `request.pb`, `response.json`, and so on.
    pub(super) fn message(&self, name: &str, file: &str) -> Bytes {
        let path = self.folder.join(format!("{name}.{file}"));
        fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .into()
    }

    pub(super) fn writes(&self) -> Vec<RecordedWrite> {
        serde_json::from_slice(&fs::read(self.folder.join("writes.json")).unwrap()).unwrap()
    }

    /// Unpacks a database: `server` or `device`.
    pub(super) fn unpack(&self, which: &str, to: &Path) {
        let packed = fs::read(self.folder.join(format!("{which}.db.zst"))).unwrap();
        fs::write(to, zstd::decode_all(&packed[..]).unwrap()).unwrap();
    }
}

/// Packs a database into a corpus that is being recorded.
pub(super) fn pack(folder: &Path, which: &str, database: &Path) {
    let packed = zstd::encode_all(&fs::read(database).unwrap()[..], 19).unwrap();
    fs::write(folder.join(format!("{which}.db.zst")), packed).unwrap();
}

/// The hash of every file of every corpus, as in `SUMS`.
fn sums() -> BTreeMap<String, String> {
    let mut sums = BTreeMap::new();
    for corpus in Corpus::released() {
        let mut bytes = 0;
        for entry in fs::read_dir(&corpus.folder).unwrap() {
            let path = entry.unwrap().path();
            let content = fs::read(&path).unwrap();
            bytes += content.len() as u64;
            let name = path.strip_prefix(home()).unwrap().to_str().unwrap();
            sums.insert(name.to_owned(), blake3::hash(&content).to_string());
        }
        assert!(bytes <= BYTES_MAX, "{}: {bytes} bytes", corpus.release());
        assert!(
            corpus.folder.ends_with(corpus.release()),
            "a corpus stands in the folder of its release"
        );
    }
    sums
}

/// `SUMS` as text: one line a file, hash and name.
pub(super) fn written_sums() -> String {
    let line = |(name, sum): (String, String)| format!("{sum}  {name}\n");
    sums().into_iter().map(line).collect()
}

/// Every file is what it was on the day of its release, and none is missing.
pub(super) fn check_sums() {
    let listed = fs::read_to_string(home().join("SUMS")).unwrap();
    let listed: BTreeSet<&str> = listed.lines().collect();
    let found = written_sums();
    let found: BTreeSet<&str> = found.lines().collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    let new: Vec<_> = found.difference(&listed).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "a released corpus never changes. Listed and not there: {gone:#?}; there and not listed: {new:#?}"
    );
}
