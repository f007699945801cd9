//! One fsync on the disk that the databases are on: what no durable write can
//! be faster than.

use anyhow::{Context as _, Result};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const PAGE: [u8; 4_096] = [7; 4_096];
/// The file is written over and over, as a database's log is.
const PAGES: u64 = 256;

/// A file to write to.
#[derive(Debug)]
pub(crate) struct Fsync {
    file: File,
    written: u64,
}

impl Fsync {
    /// Makes the file in `folder`, at its full length.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let file = File::create(folder.join("fsync")).context("cannot write to the folder")?;
        for page in 0..PAGES {
            file.write_all_at(&PAGE, page * PAGE.len() as u64)?;
        }
        file.sync_all()?;
        Ok(Self { file, written: 0 })
    }

    /// Writes a page and waits until it is on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn once(&mut self) -> Result<()> {
        let page = self.written % PAGES;
        self.file.write_all_at(&PAGE, page * PAGE.len() as u64)?;
        self.written += 1;
        Ok(self.file.sync_data()?)
    }
}
