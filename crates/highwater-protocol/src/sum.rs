//! The types of an element's stamp and of their sum, as they travel. How a
//! stamp is computed is the core's business.

use crate::error::Refusal;
use std::fmt;

/// 16 bytes that stand for an element's content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp(pub [u8; 16]);

/// The sum, modulo 2^128, of the stamps of a list's elements, each read as a
/// little-endian number. An empty list has digest 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest(u128);

impl Stamp {
    /// Reads a stamp from the wire.
    ///
    /// # Errors
    /// Anything but 16 bytes, at field `stamp`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        match bytes.try_into() {
            Ok(stamp) => Ok(Self(stamp)),
            Err(_) => Err(Refusal::invalid(
                "stamp",
                format!("a stamp has 16 bytes, this one {}", bytes.len()),
            )),
        }
    }
}

impl Digest {
    /// The digest of an empty list.
    pub const ZERO: Self = Self(0);

    /// Reads a digest from the wire; no bytes stand for zero.
    ///
    /// # Errors
    /// Anything but 0 or 16 bytes, at field `digest`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.is_empty() {
            return Ok(Self::ZERO);
        }
        match bytes.try_into() {
            Ok(digest) => Ok(Self(u128::from_le_bytes(digest))),
            Err(_) => Err(Refusal::invalid(
                "digest",
                format!("a digest has 16 bytes or none, this one {}", bytes.len()),
            )),
        }
    }

    /// The digest as it travels and is stored: 16 bytes, little-endian.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// The digest from 16 stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }

    /// The digest as it travels: empty for zero.
    #[must_use]
    pub fn to_wire(self) -> Vec<u8> {
        if self == Self::ZERO {
            Vec::new()
        } else {
            self.to_bytes().to_vec()
        }
    }

    /// With one more element.
    #[must_use]
    pub const fn plus(self, stamp: Stamp) -> Self {
        Self(self.0.wrapping_add(u128::from_le_bytes(stamp.0)))
    }

    /// With one element less.
    #[must_use]
    pub const fn minus(self, stamp: Stamp) -> Self {
        Self(self.0.wrapping_sub(u128::from_le_bytes(stamp.0)))
    }
}

impl FromIterator<Stamp> for Digest {
    fn from_iter<I: IntoIterator<Item = Stamp>>(stamps: I) -> Self {
        stamps.into_iter().fold(Self::ZERO, Self::plus)
    }
}

fn hex(out: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

impl fmt::Display for Stamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(out, &self.0)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(out, &self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(out, &self.to_bytes())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(out, &self.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_a_sum_that_forgets_the_order_and_wraps() {
        let (a, b) = (Stamp([0xff; 16]), Stamp([1; 16]));
        let sum: Digest = [a, b].into_iter().collect();
        assert_eq!(sum, [b, a].into_iter().collect());
        assert_eq!(sum.minus(b), Digest::ZERO.plus(a));
        assert_eq!(sum.minus(a).minus(b), Digest::ZERO);
    }

    #[test]
    fn zero_travels_as_nothing_and_other_lengths_are_refused() {
        assert_eq!(Digest::ZERO.to_wire(), Vec::<u8>::new());
        assert_eq!(Digest::parse(&[]), Ok(Digest::ZERO));
        assert!(Digest::parse(&[1; 15]).is_err());
        assert!(Stamp::parse(&[1; 17]).is_err());
    }
}
