//! What a device keeps, as a trait: rows, and beside them, in the same
//! transaction, how far each list has come.

pub mod memory;

pub use highwater_protocol::message::Rung;

use bytes::Bytes;
use highwater_protocol::message::{Cursor, GoneReason};
use highwater_protocol::{Digest, ItemId, Lineage, ListKey, OrderKey, Point, Rank, Stamp};

/// Which of a list's copies a row belongs to. A repair builds a new one beside
/// the one that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Generation(pub u64);

/// An element as the device keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalRow {
    /// Empty for the header.
    pub id: ItemId,
    /// Its place; empty for the header.
    pub rank: Rank,
    /// What its content hashes to.
    pub stamp: Stamp,
    /// Its content; `None`: a missing detail.
    pub payload: Option<Bytes>,
}

/// A row as it was read back, with the check that was stored beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// The row.
    pub row: LocalRow,
    /// [`crate::stamp::row_check`] at the time of writing.
    pub check: u32,
}

/// What a row was before it was replaced or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldRow {
    /// Where it stood.
    pub rank: Rank,
    /// What it hashed to.
    pub stamp: Stamp,
    /// Whether it had its payload.
    pub had_payload: bool,
}

/// What the caller of [`LocalTxn::put_row`] expects; a wrong guess costs time
/// only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likely {
    /// The row is new.
    New,
    /// The row replaces one.
    Known,
}

/// How far a list has come on this device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRecord {
    /// The copy that the app sees.
    pub shown: Copy,
    /// The copy that a repair is building beside it.
    pub build: Option<Copy>,
    /// How the list stands.
    pub phase: Phase,
    /// Raised by every reset, drop and repair: an answer that was asked for
    /// before can never land after.
    pub fence: u64,
    /// Every row comes with its payload.
    pub whole: bool,
    /// How often the list was quarantined since it was last in sync.
    pub quarantines: u32,
    /// How far the audit of the shown copy has come; `None`: none is under way.
    pub audit: Option<Audit>,
    /// When the last audit ended, in milliseconds since 1970.
    pub audited_at_ms: Option<i64>,
}

/// How far an audit has come: it reads a copy row by row, beside whatever else
/// is done to it, and holds their sum against the copy's digest at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Which rows it reads.
    pub generation: Generation,
    /// The last row, by id, that it has read.
    pub after: ItemId,
    /// The sum of the stamps of the rows up to there, as they are now.
    pub digest: Digest,
    /// How many rows there are up to there.
    pub count: u64,
}

impl Audit {
    /// A row that may have been read is another one now.
    pub(crate) fn follow(
        &mut self,
        generation: Generation,
        id: &ItemId,
        before: Option<Stamp>,
        after: Option<Stamp>,
    ) {
        if generation != self.generation || *id > self.after {
            return;
        }
        if let Some(stamp) = before {
            self.digest = self.digest.minus(stamp);
            self.count = self.count.saturating_sub(1);
        }
        if let Some(stamp) = after {
            self.digest = self.digest.plus(stamp);
            self.count += 1;
        }
    }
}

/// One copy of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Which rows are its.
    pub generation: Generation,
    /// Where it stands; `None` before the first page.
    pub point: Option<Point>,
    /// The sum of its rows' stamps.
    pub digest: Digest,
    /// How many rows it has.
    pub count: u64,
    /// The scan that fills it, until that is done.
    pub scan: Option<ScanProgress>,
}

/// How far a scan has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanProgress {
    /// Where it goes on.
    pub after: Option<OrderKey>,
    /// Elements in the whole list, as the server last said.
    pub total: u64,
    /// How often it had to begin again.
    pub restarts: u32,
}

/// How a list stands on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not yet proved equal to the server's.
    Syncing,
    /// Proved equal at its version.
    InSync,
    /// Proved unequal; this rung of the ladder is at work.
    Repairing(Rung),
    /// Every rung failed. Readable, but not to be trusted.
    Quarantined(Quarantine),
    /// The server has no such list for this reader.
    Gone(GoneReason),
}

/// Why and until when a list is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// The lineage that could not be repaired from; another one is tried at
    /// once.
    pub lineage: Option<Lineage>,
    /// When the ladder may be climbed again, in milliseconds since 1970.
    pub retry_at_ms: i64,
}

impl Copy {
    /// An empty copy that a scan is to fill.
    #[must_use]
    pub fn to_scan(generation: Generation) -> Self {
        Self {
            generation,
            point: None,
            digest: Digest::ZERO,
            count: 0,
            scan: Some(ScanProgress::default()),
        }
    }

    /// The cursor that goes to the server, once the scan is done.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        match (self.point, &self.scan) {
            (Some(point), None) => Some(Cursor {
                point,
                digest: self.digest,
                count: self.count,
            }),
            _ => None,
        }
    }
}

impl ListRecord {
    /// The record of a list that the device has never read.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shown: Copy::to_scan(Generation(1)),
            build: None,
            phase: Phase::Syncing,
            fence: 0,
            whole: false,
            quarantines: 0,
            audit: None,
            audited_at_ms: None,
        }
    }

    /// The copy that answers are applied to.
    #[must_use]
    pub fn working(&self) -> &Copy {
        self.build.as_ref().unwrap_or(&self.shown)
    }

    /// The copy that answers are applied to.
    pub fn working_mut(&mut self) -> &mut Copy {
        self.build.as_mut().unwrap_or(&mut self.shown)
    }
}

impl Default for ListRecord {
    fn default() -> Self {
        Self::new()
    }
}

/// One changed row, as watchers need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// Which row.
    pub id: ItemId,
    /// Where it stood; `None`: it is new.
    pub before: Option<Rank>,
    /// Where it stands; `None`: it is gone.
    pub after: Option<Rank>,
}

/// What one transaction changed in the rows that an app sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// These rows; each id once.
    Rows(Vec<RowChange>),
    /// More than [`CHANGES_MAX`]: read again.
    Many,
}

/// Rows that one report of changes names at most.
pub const CHANGES_MAX: usize = 10_000;

/// The device's database.
pub trait LocalStore {
    /// Why it could not read or write.
    type Error: std::error::Error + Send + Sync + 'static;
    /// A transaction.
    type Txn<'a>: LocalTxn<Error = Self::Error>
    where
        Self: 'a;

    /// Begins a transaction: the only one at its time.
    ///
    /// # Errors
    /// What the database reports.
    fn begin(&mut self) -> Result<Self::Txn<'_>, Self::Error>;
}

/// A transaction on the device's database. Dropping it undoes all of it.
///
/// Atomic: after a crash all of a transaction is there or none of it. The
/// newest transactions may be lost; never one without those after it.
pub trait LocalTxn {
    /// Why it could not read or write.
    type Error: std::error::Error + Send + Sync + 'static;

    /// How far a list has come, if the device holds it.
    ///
    /// # Errors
    /// What the database reports; likewise below.
    fn record(&mut self, list: &ListKey) -> Result<Option<ListRecord>, Self::Error>;

    /// Stores how far a list has come.
    fn save_record(&mut self, list: &ListKey, record: &ListRecord) -> Result<(), Self::Error>;

    /// A row.
    fn row(
        &mut self,
        list: &ListKey,
        generation: Generation,
        id: &ItemId,
    ) -> Result<Option<LocalRow>, Self::Error>;

    /// Inserts or replaces a row, and stores its check. A row without payload
    /// keeps the payload of one with the same stamp. Returns what it replaced.
    fn put_row(
        &mut self,
        list: &ListKey,
        generation: Generation,
        row: &LocalRow,
        likely: Likely,
    ) -> Result<Option<OldRow>, Self::Error>;

    /// Takes a row's payload away: it has become a missing detail.
    fn clear_payload(
        &mut self,
        list: &ListKey,
        generation: Generation,
        id: &ItemId,
    ) -> Result<(), Self::Error>;

    /// Deletes a row. Returns what it was.
    fn delete_row(
        &mut self,
        list: &ListKey,
        generation: Generation,
        id: &ItemId,
    ) -> Result<Option<OldRow>, Self::Error>;

    /// The next `limit` rows by id. Every row of the generation comes exactly
    /// once, also one whose rank is damaged.
    fn rows_by_id(
        &mut self,
        list: &ListKey,
        generation: Generation,
        after: Option<&ItemId>,
        limit: usize,
    ) -> Result<Vec<StoredRow>, Self::Error>;

    /// The next `limit` rows by id, without rank and payload. A database that
    /// can read these alone should.
    ///
    /// # Errors
    /// What the database reports.
    fn stamps_by_id(
        &mut self,
        list: &ListKey,
        generation: Generation,
        after: Option<&ItemId>,
        limit: usize,
    ) -> Result<Vec<(ItemId, Stamp)>, Self::Error> {
        let rows = self.rows_by_id(list, generation, after, limit)?;
        Ok(rows
            .into_iter()
            .map(|stored| (stored.row.id, stored.row.stamp))
            .collect())
    }

    /// Makes the rows of `to` the list's only ones. A row without payload takes
    /// that of the row with the same id and stamp in `from`. Returns in what
    /// the two differ.
    fn replace_generation(
        &mut self,
        list: &ListKey,
        from: Generation,
        to: Generation,
    ) -> Result<Changes, Self::Error>;

    /// Deletes all rows of a generation.
    fn clear_generation(
        &mut self,
        list: &ListKey,
        generation: Generation,
    ) -> Result<(), Self::Error>;

    /// Makes everything durable and visible at once.
    fn commit(self) -> Result<(), Self::Error>;
}
