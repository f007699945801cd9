//! A list's head on the server, and how each change moves it: in O(1).

use crate::planted::{Bug, is};
use highwater_protocol::message;
use highwater_protocol::{Digest, Lineage, Point, Stamp, Version};

/// Where a list stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which life of the list.
    pub lineage: Lineage,
    /// Grows with each changed element; never reused within a lineage.
    pub version: Version,
    /// Tombstones at or below it may have been purged.
    pub floor: Version,
    /// Live elements, the header included.
    pub count: u64,
    /// The sum of their stamps.
    pub digest: Digest,
}

/// What one write did to a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The element is as it was: nothing was written, no version was taken.
    Unchanged,
    /// The list took a new version.
    Changed(Version),
}

impl Head {
    /// The head of a list that has never had an element.
    #[must_use]
    pub const fn empty(lineage: Lineage) -> Self {
        Self {
            lineage,
            version: Version::ZERO,
            floor: Version::ZERO,
            count: 0,
            digest: Digest::ZERO,
        }
    }

    /// Moves the head over one change: `before` and `after` are the element's
    /// stamps, `None` where it is not there. Without a difference, nothing
    /// moves.
    ///
    /// # Panics
    /// If an element is removed from an empty list: the head and the store's
    /// rows disagree.
    pub fn advance(&mut self, before: Option<Stamp>, after: Option<Stamp>) -> Effect {
        if before == after {
            return Effect::Unchanged;
        }
        if let Some(stamp) = before {
            if after.is_some() || !is(Bug::DigestKeptOnDelete) {
                self.digest = self.digest.minus(stamp);
            }
            assert!(
                self.count > 0,
                "an element is removed from a list that counts none"
            );
            self.count -= 1;
        }
        if let Some(stamp) = after {
            self.digest = self.digest.plus(stamp);
            self.count += 1;
        }
        self.version = self.version.next();
        Effect::Changed(self.version)
    }

    /// Takes what the elements really count and sum to, at a new version. Returns
    /// the head as it was, if it said otherwise.
    pub fn correct(&mut self, count: u64, digest: Digest) -> Option<Self> {
        if (self.count, self.digest) == (count, digest) {
            return None;
        }
        let wrong = *self;
        (self.count, self.digest) = (count, digest);
        self.version = self.version.next();
        Some(wrong)
    }

    /// Lineage and version.
    #[must_use]
    pub const fn point(&self) -> Point {
        Point {
            lineage: self.lineage,
            version: self.version,
        }
    }

    /// The head as other sides see it.
    #[must_use]
    pub const fn announced(&self) -> message::Head {
        message::Head {
            point: self.point(),
            digest: self.digest,
            count: self.count,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_head_counts_sums_and_numbers_real_changes_only() {
        let (a, b) = (Stamp([1; 16]), Stamp([2; 16]));
        let mut head = Head::empty(Lineage::new(1).unwrap());
        assert_eq!(
            head.advance(None, Some(a)),
            Effect::Changed(Version::new(1))
        );
        assert_eq!(head.advance(Some(a), Some(a)), Effect::Unchanged);
        assert_eq!(
            head.advance(Some(a), Some(b)),
            Effect::Changed(Version::new(2))
        );
        assert_eq!((head.count, head.digest), (1, Digest::ZERO.plus(b)));
        assert_eq!(
            head.advance(Some(b), None),
            Effect::Changed(Version::new(3))
        );
        assert_eq!((head.count, head.digest), (0, Digest::ZERO));
        assert_eq!(head.advance(None, None), Effect::Unchanged);
    }

    #[test]
    fn a_corrected_head_takes_a_new_version_and_a_right_one_none() {
        let mut head = Head::empty(Lineage::new(1).unwrap());
        head.advance(None, Some(Stamp([1; 16])));
        let right = head;
        assert_eq!(head.correct(right.count, right.digest), None);
        assert_eq!(head, right);
        head.digest = Digest::ZERO;
        let wrong = head;
        assert_eq!(head.correct(right.count, right.digest), Some(wrong));
        assert_eq!((head.count, head.digest), (right.count, right.digest));
        assert_eq!(head.version, Version::new(2));
    }
}
