//! Users and groups by name, and how long their words may be.

use highwater_protocol::kinds;
use highwater_protocol::{ItemId, Kind, ListKey, OwnerId, Refusal};
use std::fmt;
use std::sync::LazyLock;

/// Bytes in a group's name.
const NAME_BYTES: usize = 256;
/// Bytes in a group's description.
const DESCRIPTION_BYTES: usize = 4_096;

static GROUPS: LazyLock<Kind> = LazyLock::new(|| kind(kinds::GROUPS));
static MEMBERS: LazyLock<Kind> = LazyLock::new(|| kind(kinds::MEMBERS));

fn kind(name: &str) -> Kind {
    Kind::new(name).unwrap_or_else(|no| unreachable!("a built-in kind is well-formed: {no}"))
}

/// A user. The same name owns a list of groups and is an item of members.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId {
    owner: OwnerId,
    item: ItemId,
}

/// A group. The same name owns a list of members and is an item of groups.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId {
    owner: OwnerId,
    item: ItemId,
}

macro_rules! name {
    ($name:ident, $field:literal) => {
        impl $name {
            #[doc = concat!("Checks the id of a ", $field, ": 1 to 128 bytes.")]
            ///
            /// # Errors
            #[doc = concat!("An empty or over-long id, at field `", $field, "`.")]
            pub fn new(id: &str) -> Result<Self, Refusal> {
                let at = |no: Refusal| Refusal {
                    message: no.message.replacen("owner", $field, 1),
                    ..no.at($field)
                };
                let owner = OwnerId::new(id).map_err(at)?;
                let item = ItemId::new(id).map_err(at)?;
                Ok(Self { owner, item })
            }

            /// The id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.item.as_str()
            }

            /// The id as an item of a list.
            #[must_use]
            pub const fn as_item(&self) -> &ItemId {
                &self.item
            }

            /// The id as the owner of a list.
            #[must_use]
            pub const fn as_owner(&self) -> &OwnerId {
                &self.owner
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{:?}", self.as_str())
            }
        }
    };
}

name!(UserId, "user");
name!(GroupId, "group");

impl UserId {
    /// The list of the groups that the user has joined.
    #[must_use]
    pub fn groups(&self) -> ListKey {
        ListKey {
            kind: GROUPS.clone(),
            owner: self.owner.clone(),
        }
    }

    /// The user whom an item of members names. `None`: it is the header.
    #[must_use]
    pub fn of_member(item: &ItemId) -> Option<Self> {
        Self::new(item.as_str()).ok()
    }
}

impl GroupId {
    /// The list of the group's members, with its profile as the header.
    #[must_use]
    pub fn members(&self) -> ListKey {
        ListKey {
            kind: MEMBERS.clone(),
            owner: self.owner.clone(),
        }
    }
}

/// Checks a group's name.
///
/// # Errors
/// An empty or over-long one, at field `name`.
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::invalid("name", "a group's name must not be empty"));
    }
    if name.len() > NAME_BYTES {
        return Err(Refusal::too_large("name", name.len(), NAME_BYTES));
    }
    Ok(())
}

/// Checks a group's description.
///
/// # Errors
/// An over-long one, at field `description`.
pub(super) fn check_description(description: &str) -> Result<(), Refusal> {
    if description.len() > DESCRIPTION_BYTES {
        return Err(Refusal::too_large(
            "description",
            description.len(),
            DESCRIPTION_BYTES,
        ));
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use highwater_protocol::Code;

    #[test]
    fn ids_are_refused_by_their_own_name() {
        let no = UserId::new(&"x".repeat(129)).unwrap_err();
        assert_eq!(
            (no.code, no.field.as_str(), no.limit),
            (Code::TooLarge, "user", 128)
        );
        assert_eq!(no.message, "user has 129 bytes; the limit is 128");
        let no = GroupId::new("").unwrap_err();
        assert_eq!(no.message, "group must not be empty");
        assert_eq!(
            GroupId::new("org/team").unwrap().members().to_string(),
            "members/org/team"
        );
        assert_eq!(UserId::new("u1").unwrap().groups().to_string(), "groups/u1");
        assert_eq!(UserId::of_member(&ItemId::header()), None);
    }

    #[test]
    fn a_profile_names_its_group_and_does_not_write_a_book() {
        let field = |checked: Result<(), Refusal>| checked.map_err(|no| (no.field, no.limit));
        assert_eq!(field(check_description(&"d".repeat(4_096))), Ok(()));
        assert_eq!(
            field(check_description(&"d".repeat(4_097))),
            Err(("description".to_owned(), 4_096))
        );
        assert_eq!(field(check_name(&"n".repeat(256))), Ok(()));
        assert_eq!(field(check_name("")), Err(("name".to_owned(), 0)));
        assert_eq!(
            field(check_name(&"n".repeat(257))),
            Err(("name".to_owned(), 256))
        );
    }
}
