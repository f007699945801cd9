//! The built-in kinds of list: their names and their payloads.
//!
//! The sync path never looks in here. A new kind is a name, a payload and a
//! rule for its rank.

use crate::error::{Code, Refusal};
use crate::wire;
use prost::Message as _;

/// The groups that a user has joined; the owner is the user.
pub const GROUPS: &str = "groups";
/// The members of a group; the owner is the group.
pub const MEMBERS: &str = "members";

/// What a member may do in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Owns the group.
    Owner,
    /// Manages members.
    Admin,
    /// Takes part.
    Member,
}

/// An item of [`GROUPS`]; its id is the group's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedGroup {
    /// Milliseconds since 1970.
    pub joined_at_ms: i64,
}

/// An item of [`MEMBERS`]; its id is the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What the member may do.
    pub role: Role,
    /// Milliseconds since 1970.
    pub joined_at_ms: i64,
}

/// The header of a list of [`MEMBERS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupProfile {
    /// What people call the group; 1 to 256 bytes.
    pub name: String,
    /// What it is for; up to 4,096 bytes.
    pub description: String,
    /// Milliseconds since 1970.
    pub created_at_ms: i64,
}

/// A payload of a kind of list: what its bytes mean.
pub trait Payload: Sized {
    /// The payload's bytes.
    fn encode(&self) -> Vec<u8>;

    /// Reads a payload. Fields that are not known here are ignored.
    ///
    /// # Errors
    /// Bytes that are no such payload.
    fn decode(bytes: &[u8]) -> Result<Self, Refusal>;
}

impl Role {
    /// The role's name: `owner`, `admin` or `member`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }

    /// Reads a role's name.
    ///
    /// # Errors
    /// Any other name, at field `role`.
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        match name {
            "owner" => Ok(Self::Owner),
            "admin" => Ok(Self::Admin),
            "member" => Ok(Self::Member),
            _ => Err(Refusal::invalid("role", "a role is owner, admin or member")),
        }
    }
}

fn decode<M: prost::Message + Default>(bytes: &[u8]) -> Result<M, Refusal> {
    M::decode(bytes).map_err(|error| {
        Refusal::new(
            Code::MalformedMessage,
            format!("the payload cannot be read: {error}"),
        )
        .at("payload")
    })
}

impl Payload for JoinedGroup {
    fn encode(&self) -> Vec<u8> {
        wire::JoinedGroup {
            joined_at_ms: self.joined_at_ms,
        }
        .encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let wire: wire::JoinedGroup = decode(bytes)?;
        Ok(Self {
            joined_at_ms: wire.joined_at_ms,
        })
    }
}

impl Payload for Member {
    fn encode(&self) -> Vec<u8> {
        let mut wire = wire::Member {
            joined_at_ms: self.joined_at_ms,
            ..Default::default()
        };
        wire.set_role(match self.role {
            Role::Owner => wire::Role::Owner,
            Role::Admin => wire::Role::Admin,
            Role::Member => wire::Role::Member,
        });
        wire.encode_to_vec()
    }

    /// A role that is not known here reads as an ordinary member: the least
    /// that any role may do.
    fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let wire: wire::Member = decode(bytes)?;
        let role = match wire.role() {
            wire::Role::Owner => Role::Owner,
            wire::Role::Admin => Role::Admin,
            wire::Role::Member | wire::Role::Unspecified => Role::Member,
        };
        Ok(Self {
            role,
            joined_at_ms: wire.joined_at_ms,
        })
    }
}

impl Payload for GroupProfile {
    fn encode(&self) -> Vec<u8> {
        wire::GroupProfile {
            name: self.name.clone(),
            description: self.description.clone(),
            created_at_ms: self.created_at_ms,
        }
        .encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let wire: wire::GroupProfile = decode(bytes)?;
        Ok(Self {
            name: wire.name,
            description: wire.description,
            created_at_ms: wire.created_at_ms,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn payloads_read_back_as_they_were_written() {
        let member = Member {
            role: Role::Admin,
            joined_at_ms: 1_534_997_499_000,
        };
        assert_eq!(Member::decode(&member.encode()).unwrap(), member);
        let group = JoinedGroup { joined_at_ms: 7 };
        assert_eq!(JoinedGroup::decode(&group.encode()).unwrap(), group);
        let profile = GroupProfile {
            name: "Kubernetes".to_owned(),
            description: String::new(),
            created_at_ms: 1,
        };
        assert_eq!(GroupProfile::decode(&profile.encode()).unwrap(), profile);
    }

    #[test]
    fn a_newer_peers_role_and_fields_do_not_break_an_older_reader() {
        // Role 9, joined_at_ms 5, and a field 15 that this version lacks.
        let newer = [0x08, 9, 0x10, 5, 0x7a, 1, b'x'];
        assert_eq!(
            Member::decode(&newer).unwrap(),
            Member {
                role: Role::Member,
                joined_at_ms: 5
            }
        );
        assert!(Member::decode(&[0xff]).is_err());
    }
}
