//! The protocol's small core as a model: versions, lineages, tombstones and
//! their purge, hints, the fence, the proof and the repair ladder, with two
//! devices, three items and a bounded number of faults. Every order of events
//! is tried.
//!
//! The model is written from `docs/sync-model.md`, not from the code: it asks
//! whether the rules are right, as the other tests ask whether the code follows
//! them. What it leaves out is what it cannot tell apart: payloads and ranks
//! are one number of *content*, a digest is the content itself (no collisions),
//! and a sketch decodes at once.
//!
//! ```
//! use highwater_model::{Bounds, World};
//! use stateright::{Checker, Model};
//!
//! let bounds = Bounds { writes: 1, ..Bounds::NONE };
//! let checked = World::of(bounds).checker().spawn_bfs().join();
//! checked.assert_properties();
//! ```

mod device;
mod server;
mod world;

pub use device::{Device, Phase};
pub use server::{Answer, Ask, Server};
pub use world::{Event, State, World};

/// Items of the one list that there is.
pub const ITEMS: usize = 3;
/// Devices that follow it.
pub const DEVICES: usize = 2;

/// What an item holds; 0: it is not there.
pub type Content = u8;
/// What a copy holds, and at once what it sums to.
pub type Rows = [Content; ITEMS];

/// A position in a list's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point {
    /// Changes with every restore.
    pub lineage: u8,
    /// Grows with every write.
    pub version: u8,
}

/// How much may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Items put or deleted.
    pub writes: u8,
    /// Purges of all tombstones.
    pub purges: u8,
    /// Restores, of the first backup or of the content as it is.
    pub restores: u8,
    /// Crashes of a device.
    pub crashes: u8,
    /// Answers that arrive twice, or after the device gave them up, or never.
    pub lates: u8,
    /// Changes in a delta's page, and rows in a scan's.
    pub page: u8,
    /// How many devices take part; the others stay away.
    pub devices: u8,
    /// The server's digest is wrong, so that no rung helps.
    pub wrong_server: bool,
}

impl Bounds {
    /// Nothing happens but syncs.
    pub const NONE: Self = Self {
        writes: 0,
        purges: 0,
        restores: 0,
        crashes: 0,
        lates: 0,
        page: 2,
        devices: 2,
        wrong_server: false,
    };
}

/// Rules that can be left out, to show that the model would tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Broken {
    /// None.
    #[default]
    Nothing,
    /// Answers land whatever happened since they were asked for.
    NoFence,
    /// The cursor is durable before the rows.
    CursorBeforeRows,
    /// A purge says that it went one version less far.
    FloorOffByOne,
    /// A device of another lineage is told to adopt, whatever it holds.
    AdoptWithoutDigest,
    /// An item that is created again forgets when it first was.
    CreatedAnew,
    /// What a device lacks at its last page is not compared.
    NoProof,
    /// A rung that failed is tried again, for ever.
    EndlessRung,
}
