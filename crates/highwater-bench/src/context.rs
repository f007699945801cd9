//! What benches share: sizes, the world, and the limits that are servers or
//! databases. Each is made when the first bench asks for it.

use crate::generator::item;
use crate::limits::bare_http::BareHttp;
use crate::limits::bare_store::BareStore;
use crate::world::{SHORT_ITEMS, World};
use anyhow::{Context as _, Result};
use std::ops::Range;
use std::path::PathBuf;
use tempfile::TempDir;

/// How large and how long everything is.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    /// Sizes that mean nothing, for a run that only shows that all works.
    pub(crate) quick: bool,
    /// Samples of each measurement.
    pub(crate) rounds: usize,
    /// Requests of a sample that measures a rate.
    pub(crate) requests: usize,
    /// Repetitions within a sample that measures a time.
    pub(crate) repeats: usize,
    /// Lengths of lists, rising: what must not grow is compared between the
    /// first and the last.
    pub(crate) lengths: Vec<u64>,
    /// Short lists beside them.
    pub(crate) short_lists: u64,
    /// Gaps whose server time is measured.
    pub(crate) gaps: Vec<u64>,
    /// Groups of a large account.
    pub(crate) account: u64,
    /// Members who are invited into one group.
    pub(crate) invited: u64,
    /// Rows of a device's list.
    pub(crate) device_rows: u64,
    /// Rows of the list that a device is measured with for its memory.
    pub(crate) memory_rows: u64,
    /// Changes of a large delta.
    pub(crate) large_delta: u64,
}

impl Scale {
    /// What the goals name: 2 million items in about 9,000 lists.
    #[must_use]
    pub(crate) fn full() -> Self {
        Self {
            quick: false,
            rounds: 7,
            requests: 50_000,
            repeats: 200,
            lengths: vec![1_000, 10_000, 100_000, 1_000_000],
            short_lists: 8_890,
            gaps: vec![1_000, 50_000],
            account: 5_000,
            invited: 100_000,
            device_rows: 100_000,
            memory_rows: 1_000_000,
            large_delta: 10_000,
        }
    }

    /// As small as shows that it works.
    #[must_use]
    pub(crate) fn quick() -> Self {
        Self {
            quick: true,
            rounds: 2,
            requests: 200,
            repeats: 5,
            lengths: vec![1_000, 2_000],
            short_lists: 70,
            gaps: vec![1_000],
            account: 70,
            invited: 1_000,
            device_rows: 3_000,
            memory_rows: 3_000,
            large_delta: 1_000,
        }
    }

    /// The shortest list.
    #[must_use]
    pub(crate) fn shortest(&self) -> u64 {
        self.lengths.first().copied().unwrap_or_default()
    }

    /// The longest list.
    #[must_use]
    pub(crate) fn longest(&self) -> u64 {
        self.lengths.last().copied().unwrap_or_default()
    }
}

/// What benches share.
pub(crate) struct Context {
    /// How large and how long everything is.
    pub(crate) scale: Scale,
    /// The release binary of `highwater`.
    pub(crate) program: PathBuf,
    below: PathBuf,
    world: Option<World>,
    http: Option<BareHttp>,
    bare: Option<(BareStore, TempDir)>,
}

impl Context {
    /// Nothing is made yet. Databases go into folders of their own in `below`.
    #[must_use]
    pub(crate) const fn new(scale: Scale, below: PathBuf, program: PathBuf) -> Self {
        Self {
            scale,
            program,
            below,
            world: None,
            http: None,
            bare: None,
        }
    }

    /// A folder that goes when it is dropped.
    ///
    /// # Errors
    /// What the system says; likewise below.
    pub(crate) fn folder(&self) -> Result<TempDir> {
        tempfile::Builder::new()
            .prefix("highwater-bench-")
            .tempdir_in(&self.below)
            .with_context(|| format!("cannot make a folder in {}", self.below.display()))
    }

    /// The server and its database.
    pub(crate) fn world(&mut self) -> Result<&mut World> {
        match &mut self.world {
            Some(world) => Ok(world),
            none => Ok(none.insert(World::new(&self.below)?)),
        }
    }

    /// The bare server.
    pub(crate) fn http(&mut self) -> Result<&BareHttp> {
        match &mut self.http {
            Some(http) => Ok(http),
            none => Ok(none.insert(BareHttp::start()?)),
        }
    }

    /// The bare database, with the same long list and the same short lists as
    /// the server's. It is lent: give it back with
    /// [`keep_bare`](Self::keep_bare).
    pub(crate) fn take_bare(&mut self, short: Range<u64>) -> Result<(BareStore, TempDir)> {
        if let Some(bare) = self.bare.take() {
            return Ok(bare);
        }
        let folder = self.folder()?;
        let mut bare = BareStore::create(folder.path())?;
        let longest = self.scale.longest();
        crate::progress(&format!("filling a bare database with a list of {longest}"));
        let indexes: Vec<u64> = (0..longest).collect();
        for some in indexes.chunks(5_000) {
            let items = some.iter().map(|index| item(longest, *index, 0));
            bare.transaction(|bare| bare.append(longest, items))?;
        }
        crate::progress(&format!(
            "filling a bare database with {} lists of {SHORT_ITEMS}",
            short.end - short.start
        ));
        let lists: Vec<u64> = short.collect();
        for some in lists.chunks(50) {
            bare.transaction(|bare| {
                some.iter().try_for_each(|list| {
                    bare.append(*list, (0..SHORT_ITEMS).map(|index| item(*list, index, 0)))
                })
            })?;
        }
        Ok((bare, folder))
    }

    /// Takes the bare database back.
    pub(crate) fn keep_bare(&mut self, bare: (BareStore, TempDir)) {
        self.bare = Some(bare);
    }
}
