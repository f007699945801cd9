//! Every identifier and position has a type of its own, made only from values
//! that the protocol allows.

use crate::error::{Code, Refusal};
use crate::limits;
use bytes::Bytes;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a kind of list, such as `groups`: 1 to 64 bytes of `a-z`, `0-9`,
/// `_`, `-` and `.`, beginning with a letter.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(Arc<str>);

/// Who a list belongs to: the id of a user or of a group, 1 to 128 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(Arc<str>);

/// An item's id, 1 to 128 bytes of UTF-8, or empty for the list's header.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId(Arc<str>);

/// Where an item stands: up to 256 bytes, compared bytewise.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Rank(Bytes);

/// A list: its kind and its owner.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListKey {
    /// What the list holds.
    pub kind: Kind,
    /// Whose it is.
    pub owner: OwnerId,
}

/// One life of a list on one store; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lineage(NonZeroU64);

/// How many changes a list has seen within its lineage.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Version(u64);

/// A version of a lineage: what a cursor points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    /// Which life of the list.
    pub lineage: Lineage,
    /// Which version in it.
    pub version: Version,
}

/// A place in a list's order: (rank, id).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderKey {
    /// Compared first.
    pub rank: Rank,
    /// Settles ties.
    pub id: ItemId,
}

impl Kind {
    /// Checks the name of a kind.
    ///
    /// # Errors
    /// An empty, over-long or ill-formed name, at field `kind`.
    pub fn new(name: &str) -> Result<Self, Refusal> {
        if name.len() > limits::KIND_BYTES {
            return Err(Refusal::too_large("kind", name.len(), limits::KIND_BYTES));
        }
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.')
        };
        let begins_well = name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase());
        if !begins_well || !name.bytes().all(allowed) {
            return Err(Refusal::invalid(
                "kind",
                "a kind is a letter a-z, then letters a-z, digits, '_', '-' or '.'",
            ));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_id(field: &str, id: &str) -> Result<(), Refusal> {
    if id.is_empty() {
        return Err(Refusal::invalid(
            field,
            format!("{field} must not be empty"),
        ));
    }
    if id.len() > limits::ID_BYTES {
        return Err(Refusal::too_large(field, id.len(), limits::ID_BYTES));
    }
    Ok(())
}

impl OwnerId {
    /// Checks an owner's id.
    ///
    /// # Errors
    /// An empty or over-long id, at field `owner`.
    pub fn new(id: &str) -> Result<Self, Refusal> {
        check_id("owner", id)?;
        Ok(Self(id.into()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ItemId {
    /// Checks an item's id.
    ///
    /// # Errors
    /// An empty or over-long id, at field `id`.
    pub fn new(id: &str) -> Result<Self, Refusal> {
        check_id("id", id)?;
        Ok(Self(id.into()))
    }

    /// The id of a list's header: empty.
    #[must_use]
    pub fn header() -> Self {
        Self("".into())
    }

    /// Checks an id that may be the header's.
    ///
    /// # Errors
    /// An over-long id, at field `id`.
    pub fn new_or_header(id: &str) -> Result<Self, Refusal> {
        if id.is_empty() {
            Ok(Self::header())
        } else {
            Self::new(id)
        }
    }

    /// Whether this is the header's id.
    #[must_use]
    pub fn is_header(&self) -> bool {
        self.0.is_empty()
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Rank {
    /// Checks a rank.
    ///
    /// # Errors
    /// An over-long rank, at field `rank`.
    pub fn new(rank: impl Into<Bytes>) -> Result<Self, Refusal> {
        let rank = rank.into();
        if rank.len() > limits::RANK_BYTES {
            return Err(Refusal::too_large("rank", rank.len(), limits::RANK_BYTES));
        }
        Ok(Self(rank))
    }

    /// The rank's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The rank's bytes, shared.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }
}

impl ListKey {
    /// Checks the two parts of a list's name.
    ///
    /// # Errors
    /// What [`Kind::new`] and [`OwnerId::new`] refuse.
    pub fn new(kind: &str, owner: &str) -> Result<Self, Refusal> {
        Ok(Self {
            kind: Kind::new(kind)?,
            owner: OwnerId::new(owner)?,
        })
    }
}

impl Lineage {
    /// A lineage, unless it is zero.
    #[must_use]
    pub const fn new(lineage: u64) -> Option<Self> {
        match NonZeroU64::new(lineage) {
            Some(lineage) => Some(Self(lineage)),
            None => None,
        }
    }

    /// Parses a lineage from the wire.
    ///
    /// # Errors
    /// Zero, at field `lineage`.
    pub fn parse(lineage: u64) -> Result<Self, Refusal> {
        Self::new(lineage).ok_or_else(|| {
            Refusal::new(
                Code::ZeroLineage,
                "a lineage is never 0; ask with a scan for a list that you do not hold",
            )
            .at("lineage")
        })
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl Version {
    /// Before the first change.
    pub const ZERO: Self = Self(0);

    /// A version.
    #[must_use]
    pub const fn new(version: u64) -> Self {
        Self(version)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version after this one.
    ///
    /// # Panics
    /// After 2^64 - 1 changes of one list.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("a list's versions are spent"))
    }
}

impl OrderKey {
    /// The place of an item.
    #[must_use]
    pub const fn new(rank: Rank, id: ItemId) -> Self {
        Self { rank, id }
    }
}

impl FromStr for ListKey {
    type Err = Refusal;

    /// Reads `kind/owner`; the owner may contain slashes.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let Some((kind, owner)) = text.split_once('/') else {
            return Err(Refusal::invalid("list", "a list is named kind/owner"));
        };
        Self::new(kind, owner)
    }
}

impl fmt::Display for ListKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.kind, self.owner)
    }
}

impl fmt::Debug for ListKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

macro_rules! text {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{:?}", &*self.0)
            }
        }
    )+};
}

text!(Kind, OwnerId, ItemId);

impl fmt::Debug for Rank {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("rank:")?;
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

impl fmt::Debug for Lineage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "v{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_a_short_lower_case_word() {
        assert!(Kind::new("group-members_2.x").is_ok());
        for bad in ["", "Groups", "2x", "a b", "a/b", "é"] {
            assert_eq!(
                Kind::new(bad).map_err(|r| r.field),
                Err("kind".to_owned()),
                "{bad}"
            );
        }
        assert_eq!(Kind::new(&"k".repeat(65)).map_err(|r| r.limit), Err(64));
    }

    #[test]
    fn ids_end_at_128_bytes_and_name_limit_and_field() {
        assert!(ItemId::new(&"x".repeat(128)).is_ok());
        let refusal = ItemId::new(&"x".repeat(129)).map_err(|r| (r.code, r.field, r.limit));
        assert_eq!(refusal, Err((Code::TooLarge, "id".to_owned(), 128)));
        let refusal = OwnerId::new("").map_err(|r| (r.code, r.field));
        assert_eq!(refusal, Err((Code::InvalidField, "owner".to_owned())));
    }

    #[test]
    fn a_list_is_named_by_kind_and_owner_and_the_owner_may_have_slashes() {
        let list: Result<ListKey, _> = "members/org/team".parse();
        assert_eq!(
            list.map(|list| list.to_string()),
            Ok("members/org/team".to_owned())
        );
        assert!("members".parse::<ListKey>().is_err());
    }

    #[test]
    fn zero_is_no_lineage() {
        assert_eq!(
            Lineage::parse(0).map_err(|r| r.code),
            Err(Code::ZeroLineage)
        );
    }
}
