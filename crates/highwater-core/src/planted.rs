//! Faults that are planted on purpose, to show that the simulation finds such
//! faults. Without the feature `planted-bugs` nothing is left of them.

/// A fault that can be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// A delta leaves tombstones out.
    SkippedTombstone = 1,
    /// A tombstone of an element that appeared just at the cursor is left out.
    CreatedOffByOne,
    /// A delta's last page lacks its last change.
    DeltaEndsEarly,
    /// Lost deletions are not mentioned to a cursor just below the floor.
    FloorOffByOne,
    /// A copy is taken for right if its count is.
    AdoptedUnseen,
    /// A sketch of a life that ended is served to the next one.
    StaleSketch,
    /// Details are served without the right to read the list.
    DetailsWithoutRight,
    /// Who may read the header of a list gets all of it.
    HeaderNotAlone,
    /// The first row of each further page of a scan is left out.
    ScanSkipsRow,
    /// A deletion leaves the head's digest as it was.
    DigestKeptOnDelete,
    /// An answer lands although the list was reset or repaired meanwhile.
    FenceIgnored,
    /// A list is in sync while pages of its delta are still missing.
    CalmBeforeProof,
    /// A device does not compare its digest with the server's.
    ProofNotCompared,
    /// A deletion leaves the device's digest as it was.
    LocalDigestKept,
    /// A repair leaves rows that only the device has.
    RepairKeepsRows,
    /// A rung whose scan was cut short begins again without end.
    RungForEver,
    /// Rows that fail their check stay.
    DamagedRowsKept,
    /// Rows of a list that may no longer be read stay on the device.
    GoneKeepsRows,
    /// A write is acknowledged before it is on the disk.
    AcknowledgedEarly,
    /// A purge drops elements that live.
    PurgeDropsElements,
    /// A purge does not raise the floor.
    FloorNotRaised,
    /// Heads in memory are swapped before their commit.
    HeadsBeforeCommit,
    /// An element that is created again forgets when it first appeared.
    CreatedForgotten,
    /// The device commits rows before the cursor that belongs to them.
    CursorApartFromRows,
}

impl Bug {
    /// Every fault.
    pub const ALL: &[Self] = &[
        Self::SkippedTombstone,
        Self::CreatedOffByOne,
        Self::DeltaEndsEarly,
        Self::FloorOffByOne,
        Self::AdoptedUnseen,
        Self::StaleSketch,
        Self::DetailsWithoutRight,
        Self::HeaderNotAlone,
        Self::ScanSkipsRow,
        Self::DigestKeptOnDelete,
        Self::FenceIgnored,
        Self::CalmBeforeProof,
        Self::ProofNotCompared,
        Self::LocalDigestKept,
        Self::RepairKeepsRows,
        Self::RungForEver,
        Self::DamagedRowsKept,
        Self::GoneKeepsRows,
        Self::AcknowledgedEarly,
        Self::PurgeDropsElements,
        Self::FloorNotRaised,
        Self::HeadsBeforeCommit,
        Self::CreatedForgotten,
        Self::CursorApartFromRows,
    ];
}

#[cfg(feature = "planted-bugs")]
mod planting {
    use super::Bug;
    use std::sync::atomic::{AtomicU8, Ordering};

    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// Switches a fault on for the whole process, in place of another one.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.store(bug.map_or(0, |bug| bug as u8), Ordering::SeqCst);
    }

    /// Whether a fault is switched on.
    #[must_use]
    pub fn is(bug: Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as u8
    }
}

#[cfg(feature = "planted-bugs")]
pub use planting::{is, plant};

/// Whether a fault is switched on: none is in this build.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn is(_: Bug) -> bool {
    false
}
