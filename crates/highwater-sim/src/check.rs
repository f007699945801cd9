//! The judges: one for each invariant of the sync model. They know the naive
//! model and what they see, and nothing of the faults but which of them may
//! excuse what.

pub(crate) mod answers;
pub(crate) mod copies;
pub(crate) mod stored;

use std::fmt;

/// An invariant of `docs/sync-model.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// Convergence.
    I1,
    /// No false calm.
    I2,
    /// No loss.
    I3,
    /// Atomic copy.
    I4,
    /// Independence.
    I5,
    /// Proportion.
    I6,
    /// Bounded repair.
    I7,
    /// Privacy.
    I8,
    /// A panic, or an error without a fault.
    Fault,
}

impl fmt::Display for Invariant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::I1 => "I1 convergence",
            Self::I2 => "I2 no false calm",
            Self::I3 => "I3 no loss",
            Self::I4 => "I4 atomic copy",
            Self::I5 => "I5 independence",
            Self::I6 => "I6 proportion",
            Self::I7 => "I7 bounded repair",
            Self::I8 => "I8 privacy",
            Self::Fault => "no fault of its own",
        })
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was seen, and what should have been.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(invariant: Invariant, what: impl Into<String>) -> Self {
        Self {
            invariant,
            what: what.into(),
        }
    }
}

/// What a judge says.
pub(crate) type Verdict = Result<(), Violation>;

/// Fails with what is said unless it holds.
pub(crate) fn demand(holds: bool, invariant: Invariant, what: impl FnOnce() -> String) -> Verdict {
    match holds {
        true => Ok(()),
        false => Err(Violation::new(invariant, what())),
    }
}
