//! The keys that tokens are signed with, and the file that they are kept in.
//!
//! ```toml
//! [[keys]]
//! id = "main"                # what a token's `kid` names
//! algorithm = "HS256"
//! secret = "…"               # base64url, at least 32 bytes
//!
//! [[keys]]
//! id = "login-service"
//! algorithm = "EdDSA"
//! public = "…"               # base64url, 32 bytes
//! private = "…"              # only where tokens are issued
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Bytes in a secret at least: as many as the hash has (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256: whoever checks tokens can issue them too.
    #[serde(rename = "HS256")]
    Hs256,
    /// Ed25519: this server may hold the public half alone.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// The algorithm's name in a token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// One key. Printing it shows no secret.
#[derive(Clone)]
pub struct Key {
    pub(super) id: String,
    pub(super) material: Material,
}

#[derive(Clone)]
pub(super) enum Material {
    Hs256 { secret: Vec<u8> },
    EdDsa(Box<Halves>),
}

#[derive(Clone)]
pub(super) struct Halves {
    pub(super) public: VerifyingKey,
    pub(super) private: Option<SigningKey>,
}

/// Keys, each with its own id.
#[derive(Clone, Debug)]
pub struct Keys {
    keys: Vec<Key>,
}

/// Why there are no keys to work with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The file could not be read or written.
    #[error("the keys file {path} cannot be used: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is no TOML of the expected form.
    #[error("the keys file {path} cannot be read: {message}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// A key cannot be used.
    #[error("key {id:?}: {fault}")]
    BadKey {
        /// The key's id.
        id: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// There is no key at all.
    #[error("there is no key")]
    None,
    /// The system has no random bytes.
    #[error("no random bytes are to be had: {0}")]
    Random(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    keys: Vec<KeyEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    id: String,
    algorithm: Algorithm,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private: Option<String>,
}

impl Key {
    /// A new key from the system's random source.
    ///
    /// # Errors
    /// [`KeysError::Random`].
    pub fn generate(id: &str, algorithm: Algorithm) -> Result<Self, KeysError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| KeysError::Random(error.to_string()))?;
        let material = match algorithm {
            Algorithm::Hs256 => Material::Hs256 {
                secret: random.to_vec(),
            },
            Algorithm::EdDsa => {
                let private = SigningKey::from_bytes(&random);
                Material::EdDsa(Box::new(Halves {
                    public: private.verifying_key(),
                    private: Some(private),
                }))
            }
        };
        Ok(Self {
            id: id.to_owned(),
            material,
        })
    }

    /// What a token's `kid` names.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How it signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Hs256 { .. } => Algorithm::Hs256,
            Material::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    /// Whether tokens can be issued with it.
    #[must_use]
    pub fn can_sign(&self) -> bool {
        match &self.material {
            Material::Hs256 { .. } => true,
            Material::EdDsa(halves) => halves.private.is_some(),
        }
    }

    /// The same key for those who only check: without its private half. `None`:
    /// its algorithm has no halves.
    #[must_use]
    pub fn public_half(&self) -> Option<Self> {
        match &self.material {
            Material::Hs256 { .. } => None,
            Material::EdDsa(halves) => Some(Self {
                id: self.id.clone(),
                material: Material::EdDsa(Box::new(Halves {
                    public: halves.public,
                    private: None,
                })),
            }),
        }
    }

    fn parse(entry: KeyEntry) -> Result<Self, KeysError> {
        let id = entry.id;
        let bad = |fault| KeysError::BadKey {
            id: id.clone(),
            fault,
        };
        if id.is_empty() {
            return Err(bad("a key needs an id"));
        }
        let bytes = |text: Option<String>, missing| match text {
            None => Err(bad(missing)),
            Some(text) => BASE64URL
                .decode(text.trim_end_matches('='))
                .map_err(|_| bad("a secret or key is no base64url")),
        };
        let half = |text, missing| {
            <[u8; 32]>::try_from(bytes(text, missing)?)
                .map_err(|_| bad("a public or private key has 32 bytes"))
        };
        let material = match (entry.algorithm, entry.secret, entry.public, entry.private) {
            (Algorithm::Hs256, secret, None, None) => {
                let secret = bytes(secret, "an HS256 key needs a secret")?;
                if secret.len() < SECRET_BYTES_MIN {
                    return Err(bad("the secret of an HS256 key has at least 32 bytes"));
                }
                Material::Hs256 { secret }
            }
            (Algorithm::Hs256, ..) => {
                return Err(bad(
                    "an HS256 key has a secret, and no public or private part",
                ));
            }
            (Algorithm::EdDsa, None, public, private) => {
                let public = half(public, "an EdDSA key needs its public part")?;
                let public = VerifyingKey::from_bytes(&public)
                    .ok()
                    .filter(|public| !public.is_weak())
                    .ok_or_else(|| bad("the public part is no Ed25519 key"))?;
                let private = match private {
                    None => None,
                    private => Some(SigningKey::from_bytes(&half(private, "")?)),
                };
                if private
                    .as_ref()
                    .is_some_and(|key| key.verifying_key() != public)
                {
                    return Err(bad("the public and private parts do not belong together"));
                }
                Material::EdDsa(Box::new(Halves { public, private }))
            }
            (Algorithm::EdDsa, Some(_), ..) => {
                return Err(bad("an EdDSA key has a public part, and no secret"));
            }
        };
        Ok(Self { id, material })
    }

    fn entry(&self) -> KeyEntry {
        let (secret, public, private) = match &self.material {
            Material::Hs256 { secret } => (Some(BASE64URL.encode(secret)), None, None),
            Material::EdDsa(halves) => (
                None,
                Some(BASE64URL.encode(halves.public.as_bytes())),
                halves
                    .private
                    .as_ref()
                    .map(|key| BASE64URL.encode(key.as_bytes())),
            ),
        };
        KeyEntry {
            id: self.id.clone(),
            algorithm: self.algorithm(),
            secret,
            public,
            private,
        }
    }
}

impl Keys {
    /// Some keys.
    ///
    /// # Errors
    /// No key, or two of one id.
    pub fn new(keys: Vec<Key>) -> Result<Self, KeysError> {
        if keys.is_empty() {
            return Err(KeysError::None);
        }
        for (at, key) in keys.iter().enumerate() {
            if keys.iter().take(at).any(|other| other.id == key.id) {
                return Err(KeysError::BadKey {
                    id: key.id.clone(),
                    fault: "two keys have this id",
                });
            }
        }
        Ok(Self { keys })
    }

    /// Reads a keys file. One that others may read is reported in the log.
    ///
    /// # Errors
    /// A file that cannot be read, is malformed, or holds a key that cannot be
    /// used.
    pub fn load(path: &Path) -> Result<Self, KeysError> {
        let text = fs::read_to_string(path).map_err(file_error(path))?;
        let keys = Self::parse(path, &text)?;
        if others_may_read(path) {
            tracing::warn!(
                path = %path.display(),
                "others may read the keys file: chmod 600 it"
            );
        }
        Ok(keys)
    }

    /// Reads the text of a keys file; `path` is for its errors.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, KeysError> {
        let file: KeysFile = toml::from_str(text).map_err(|error| KeysError::Malformed {
            path: path.to_owned(),
            // The whole of the error would quote the line, secret and all.
            message: error.message().to_owned(),
        })?;
        let keys = file.keys.into_iter().map(Key::parse);
        Self::new(keys.collect::<Result<_, _>>()?)
    }

    /// Reads a keys file, or makes one with a new HS256 key named `main`.
    ///
    /// # Errors
    /// As of [`Self::load`], and a file that cannot be written.
    pub fn load_or_create(path: &Path) -> Result<Self, KeysError> {
        match Self::load(path) {
            Err(KeysError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                let keys = Self::new(vec![Key::generate("main", Algorithm::Hs256)?])?;
                match keys.save_new(path) {
                    // Another process was faster: its keys are the ones.
                    Err(KeysError::File { error, .. })
                        if error.kind() == io::ErrorKind::AlreadyExists =>
                    {
                        Self::load(path)
                    }
                    saved => saved.map(|()| keys),
                }
            }
            loaded => loaded,
        }
    }

    /// Writes a keys file that only its owner may read. There must be none yet.
    ///
    /// # Errors
    /// A file that is there or cannot be written.
    pub fn save_new(&self, path: &Path) -> Result<(), KeysError> {
        let file = KeysFile {
            keys: self.keys.iter().map(Key::entry).collect(),
        };
        let text = toml::to_string(&file)
            .unwrap_or_else(|error| unreachable!("keys are always TOML: {error}"));
        // Complete before it has its name: a reader finds all of it or nothing.
        let draft = path.with_extension(format!("new-{}", std::process::id()));
        let written =
            write_private(&draft, text.as_bytes()).and_then(|()| fs::hard_link(&draft, path));
        let removed = fs::remove_file(&draft);
        written.and(removed).map_err(file_error(path))
    }

    /// The key of this id.
    #[must_use]
    pub fn named(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The only key, if there is one alone.
    #[must_use]
    pub fn only(&self) -> Option<&Key> {
        match self.keys.as_slice() {
            [key] => Some(key),
            _ => None,
        }
    }

    /// The first key that tokens can be issued with.
    #[must_use]
    pub fn signing(&self) -> Option<&Key> {
        self.keys.iter().find(|key| key.can_sign())
    }
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> KeysError {
    let path = path.to_owned();
    move |error| KeysError::File { path, error }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(unix)]
fn others_may_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn others_may_read(_: &Path) -> bool {
    false
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Key({:?}, {})", self.id, self.algorithm().as_str())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Keys, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        fs::write(&path, text).unwrap();
        Keys::load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_read_back_as_they_were_saved_and_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let both = [Algorithm::Hs256, Algorithm::EdDsa];
        let keys = both.map(|algorithm| Key::generate(algorithm.as_str(), algorithm).unwrap());
        Keys::new(keys.to_vec()).unwrap().save_new(&path).unwrap();
        let loaded = Keys::load(&path).unwrap();
        for key in &keys {
            let loaded = loaded.named(key.id()).unwrap();
            let parts = |key: &Key| {
                let KeyEntry {
                    secret,
                    public,
                    private,
                    ..
                } = key.entry();
                (secret, public, private)
            };
            assert_eq!(parts(loaded), parts(key));
        }
        assert!(!others_may_read(&path));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(!format!("{loaded:?}").contains(&keys[0].entry().secret.unwrap()));
    }

    #[test]
    fn a_file_is_made_once_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let secret = |keys: &Keys| keys.only().unwrap().entry().secret;
        let made = Keys::load_or_create(&path).unwrap();
        assert_eq!(secret(&Keys::load_or_create(&path).unwrap()), secret(&made));
        let error = made.save_new(&path).unwrap_err();
        assert!(matches!(error, KeysError::File { .. }), "{error}");
        assert_eq!(secret(&Keys::load(&path).unwrap()), secret(&made));
    }

    #[test]
    fn a_key_that_cannot_be_used_is_named_and_its_secret_is_not_told() {
        let entry = |rest: &str| load(&format!("[[keys]]\nid = \"k\"\n{rest}")).unwrap_err();
        let short = "algorithm = \"HS256\"\nsecret = \"c2hvcnQ\"";
        assert_eq!(
            entry(short),
            "key \"k\": the secret of an HS256 key has at least 32 bytes"
        );
        assert!(entry("algorithm = \"HS256\"").contains("needs a secret"));
        assert!(entry("algorithm = \"EdDSA\"\nsecret = \"c2hvcnQ\"").contains("no secret"));
        assert!(entry("algorithm = \"EdDSA\"\npublic = \"c2hvcnQ\"").contains("32 bytes"));
        let zero = BASE64URL.encode([0; 32]);
        assert!(
            entry(&format!("algorithm = \"EdDSA\"\npublic = \"{zero}\"")).contains("no Ed25519")
        );
        assert!(entry("algorithm = \"none\"").contains("cannot be read"));
        let told = entry("algorithm = \"HS256\"\nsecret = 12345secret");
        assert!(!told.contains("12345"), "{told}");
        assert_eq!(load("keys = []").unwrap_err(), "there is no key");
    }

    #[test]
    fn halves_that_do_not_belong_together_are_refused() {
        let [one, other] = ["a", "b"].map(|id| Key::generate(id, Algorithm::EdDsa).unwrap());
        let mixed = KeyEntry {
            private: other.entry().private,
            ..one.entry()
        };
        assert!(Key::parse(mixed).is_err());
        let public = one.public_half().unwrap();
        assert!(!public.can_sign());
        assert!(one.can_sign());
        assert!(Key::parse(public.entry()).is_ok());
    }
}
