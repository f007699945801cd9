//! The files of the repository, as git would commit them.

use anyhow::Context as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The largest file that the house keeps.
pub(super) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Every file that is tracked, or new and not ignored.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, File>,
}

/// One file.
#[derive(Debug)]
pub(super) struct File {
    /// Its size.
    pub(super) bytes: u64,
    /// What it says; `None` if it is no UTF-8, or larger than
    /// [`FILE_BYTES_MAX`].
    pub(super) text: Option<String>,
}

impl Tree {
    /// Reads the repository at `root`. Without git, or outside of a
    /// repository (an unpacked archive), every file counts that is not in a
    /// hidden or a target folder.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let paths = match ask_git(root) {
            Some(paths) => paths,
            None => walk(root)?,
        };
        let mut tree = Self::default();
        for path in paths {
            let place = root.join(&path);
            // Deleted, yet still in git's index; or a link to a folder.
            if !place.is_file() {
                continue;
            }
            let bytes = fs::metadata(&place)
                .with_context(|| format!("cannot look at {path}"))?
                .len();
            let text = if bytes > FILE_BYTES_MAX {
                None
            } else {
                let content = fs::read(&place).with_context(|| format!("cannot read {path}"))?;
                String::from_utf8(content).ok()
            };
            tree.files.insert(path, File { bytes, text });
        }
        Ok(tree)
    }

    /// A made-up tree.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|&(path, text)| {
                let file = File {
                    bytes: text.len() as u64,
                    text: Some(text.to_owned()),
                };
                (path.to_owned(), file)
            })
            .collect();
        Self { files }
    }

    /// All files, by path.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// All files that are text, by path.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files()
            .filter_map(|(path, file)| Some((path, file.text.as_deref()?)))
    }

    /// The text of the file at `path`, if it is there and is text.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.text.as_deref()
    }

    /// Whether `path` is a file, or a folder with files; "" is the root.
    pub(super) fn holds(&self, path: &str) -> bool {
        path.is_empty() || self.files.keys().any(|file| within(file, path))
    }
}

/// Whether `path` is `place` itself or lies in the folder `place`.
pub(super) fn within(path: &str, place: &str) -> bool {
    path.strip_prefix(place)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The line, from 1, on which `needle` first stands in `text`; 0 if nowhere.
pub(super) fn line_of(text: &str, needle: &str) -> usize {
    text.lines()
        .position(|line| line.contains(needle))
        .map_or(0, |index| index + 1)
}

/// What git tracks or would add; `None` if git cannot tell.
fn ask_git(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let listing = String::from_utf8(output.stdout).ok()?;
    Some(
        listing
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

fn walk(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut paths = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(root.join(&folder)).with_context(|| format!("cannot list {folder}/"))?;
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = if folder.is_empty() {
                name.clone()
            } else {
                format!("{folder}/{name}")
            };
            if !entry.file_type()?.is_dir() {
                paths.push(path);
            } else if !name.starts_with(".git") && !name.starts_with("target") {
                folders.push(path);
            }
        }
    }
    Ok(paths)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, content: &[u8]) {
        let place = root.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, content).unwrap();
    }

    fn names(tree: &Tree) -> Vec<&str> {
        tree.files().map(|(path, _)| path).collect()
    }

    #[test]
    fn a_folder_without_git_is_walked() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a/b.rs", b"fn b() {}");
        write(folder.path(), "picture.png", &[0x89, 0xff]);
        write(folder.path(), "target/debug/x", b"built");
        write(
            folder.path(),
            "big.txt",
            &vec![b'x'; usize::try_from(FILE_BYTES_MAX).unwrap() + 1],
        );
        let tree = Tree::read(folder.path()).unwrap();
        assert_eq!(names(&tree), ["a/b.rs", "big.txt", "picture.png"]);
        assert_eq!(tree.text("a/b.rs"), Some("fn b() {}"));
        assert_eq!(tree.text("picture.png"), None);
        assert_eq!(tree.text("big.txt"), None);
        assert!(tree.holds("a") && tree.holds("a/b.rs") && tree.holds(""));
        assert!(!tree.holds("a/b"));
    }

    #[test]
    fn in_a_repository_ignored_files_do_not_count_and_new_ones_do() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), ".gitignore", b"/built\n");
        write(folder.path(), "built/x", b"x");
        write(folder.path(), "new.md", b"new");
        let status = Command::new("git")
            .args(["init", "--quiet"])
            .current_dir(folder.path())
            .status();
        // Without git there is nothing to show: the test above covers that.
        if status.is_ok_and(|status| status.success()) {
            let tree = Tree::read(folder.path()).unwrap();
            assert_eq!(names(&tree), [".gitignore", "new.md"]);
        }
    }
}
