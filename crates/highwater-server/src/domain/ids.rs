//! Users and groups by name, and how long their words may be.

use highwater_protocol::kinds;
use highwater_protocol::{ItemId, Kind, ListKey, OwnerId, Refusal};
use std::fmt;
use std::sync::LazyLock;

/// Bytes of a user's or a group's id: fewer than an item's, so that what is about
/// a user or a group can be named by a prefix and their id.
const ID_BYTES: usize = 120;
/// Bytes in a group's name.
const NAME_BYTES: usize = 256;
/// Bytes in a group's description.
const DESCRIPTION_BYTES: usize = 4_096;

/// A kind that no reader ever sees: it is not among [`kinds::ALL`].
const HOLDERS: &str = "holders";
/// Another one: what the right to read a group's lists depends on.
const RIGHTS: &str = "rights";

fn kind(name: &str) -> Kind {
    Kind::new(name).unwrap_or_else(|no| unreachable!("a built-in kind is well-formed: {no}"))
}

/// A user. The same name owns the user's lists and is an item of those of others.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId {
    owner: OwnerId,
    item: ItemId,
}

/// A group. The same name owns the group's lists and is an item of its members'.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId {
    owner: OwnerId,
    item: ItemId,
}

macro_rules! name {
    ($name:ident, $field:literal) => {
        impl $name {
            #[doc = concat!("Checks the id of a ", $field, ": 1 to 120 bytes, none of them a control character.")]
            ///
            /// # Errors
            #[doc = concat!("An empty, over-long or ill-formed id, at field `", $field, "`.")]
            pub fn new(id: &str) -> Result<Self, Refusal> {
                if id.len() > ID_BYTES {
                    return Err(Refusal::too_large($field, id.len(), ID_BYTES));
                }
                if id.chars().any(char::is_control) {
                    let message = concat!("the id of a ", $field, " has no control characters");
                    return Err(Refusal::invalid($field, message));
                }
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

macro_rules! lists {
    ($owner:ident { $($(#[$doc:meta])* $method:ident = $kind:expr;)+ }) => {
        impl $owner {
            $($(#[$doc])*
            #[must_use]
            pub fn $method(&self) -> ListKey {
                static KIND: LazyLock<Kind> = LazyLock::new(|| kind($kind));
                ListKey {
                    kind: KIND.clone(),
                    owner: self.owner.clone(),
                }
            })+
        }
    };
}

lists! {
    UserId {
        /// What the user says about themselves.
        profile = kinds::PROFILE;
        /// The user's friends.
        friends = kinds::FRIENDS;
        /// Who asks to be the user's friend.
        friend_requests = kinds::FRIEND_REQUESTS;
        /// Whom the user asks to be their friend.
        sent_friend_requests = kinds::SENT_FRIEND_REQUESTS;
        /// Whom the user blocks.
        blocks = kinds::BLOCKS;
        /// The groups that the user has joined.
        groups = kinds::GROUPS;
        /// The groups that the user applies to.
        sent_join_requests = kinds::SENT_JOIN_REQUESTS;
        /// The user's conversations.
        conversations = kinds::CONVERSATIONS;
        /// Internal: who holds a copy of the user's profile, and in which lists.
        holders = HOLDERS;
    }
}

lists! {
    GroupId {
        /// The group's members, with its profile as the header.
        members = kinds::MEMBERS;
        /// Who applies to the group.
        join_requests = kinds::JOIN_REQUESTS;
        /// What goes on in the group, if it is large.
        activity = kinds::ACTIVITY;
        /// Internal: moves whenever it changes who may see the members.
        rights = RIGHTS;
    }
}

impl UserId {
    /// The user whom an item of members names. `None`: it is the header.
    #[must_use]
    pub fn of_member(item: &ItemId) -> Option<Self> {
        Self::new(item.as_str()).ok()
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
        let no = UserId::new(&"x".repeat(121)).unwrap_err();
        assert_eq!(
            (no.code, no.field.as_str(), no.limit),
            (Code::TooLarge, "user", 120)
        );
        assert_eq!(no.message, "user has 121 bytes; the limit is 120");
        let longest = UserId::new(&"x".repeat(120)).unwrap();
        let no = GroupId::new("").unwrap_err();
        assert_eq!(no.message, "group must not be empty");
        assert_eq!(
            GroupId::new("org/team").unwrap().members().to_string(),
            "members/org/team"
        );
        assert_eq!(UserId::new("u1").unwrap().groups().to_string(), "groups/u1");
        assert_eq!(UserId::of_member(&ItemId::header()), None);
        let no = UserId::new("a\nb").unwrap_err();
        assert_eq!((no.code, no.field.as_str()), (Code::InvalidField, "user"));
        assert_eq!(no.message, "the id of a user has no control characters");
        // A conversation is named by two more bytes.
        assert!(ItemId::new(&format!("u:{longest}")).is_ok());
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
