//! Importing what happened elsewhere: a service's record of groups that were
//! created, renamed and dismissed, and of members who came, went and changed
//! their role, as it was, without the rules that bind users.

use super::group::{Group, Stop, lists_to_admit, lists_to_dismiss};
use super::ids::check_name;
use super::operations::new_profile;
use super::{CHANGES_PER_REQUEST, GroupId, UserId};
use highwater_protocol::kinds::{GroupProfile, Member, Role};
use highwater_protocol::{Code, ListKey, Refusal};
use highwater_store::{Abort, Write, WriteTxn};
use serde::Deserialize;

/// The last second of the year 9999.
const AT_MAX: i64 = 253_402_300_799;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A group began, with nobody in it.
    Create {
        /// Not in use at the time.
        group: GroupId,
        /// 1 to 256 bytes.
        name: String,
    },
    /// A group got another name.
    Rename {
        /// Which group.
        group: GroupId,
        /// 1 to 256 bytes.
        name: String,
    },
    /// A group ended, with whoever was in it.
    Dismiss {
        /// Which group.
        group: GroupId,
    },
    /// A user came in.
    Join {
        /// Which group.
        group: GroupId,
        /// Not a member at the time.
        user: UserId,
        /// As what.
        role: Role,
    },
    /// A member went.
    Leave {
        /// Which group.
        group: GroupId,
        /// Who.
        user: UserId,
    },
    /// A member got another role.
    Role {
        /// Which group.
        group: GroupId,
        /// Whose.
        user: UserId,
        /// The new one.
        role: Role,
    },
}

/// Changes that happened at one time, in their order: checked in form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRequest {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// Up to 1,000.
    pub changes: Vec<Change>,
}

/// The request as it travels.
#[derive(Deserialize)]
struct WireRequest {
    at: i64,
    changes: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct WireChange {
    op: String,
    group: String,
    user: Option<String>,
    role: Option<String>,
    name: Option<String>,
}

impl ImportRequest {
    /// Reads one transaction of the org-history format.
    ///
    /// # Errors
    /// JSON that is none, and whatever can be known to be wrong before anything
    /// is written; a change at fault is named by its index, as `changes[17].user`.
    pub fn parse(json: &[u8]) -> Result<Self, Refusal> {
        let request: WireRequest =
            serde_json::from_slice(json).map_err(|error| malformed(&error))?;
        if !(0..=AT_MAX).contains(&request.at) {
            return Err(Refusal::invalid(
                "at",
                format!("at is in seconds since 1970, from 0 to {AT_MAX}"),
            ));
        }
        if request.changes.len() > CHANGES_PER_REQUEST {
            return Err(Refusal::too_many(
                "changes",
                request.changes.len(),
                CHANGES_PER_REQUEST,
            ));
        }
        let changes = request
            .changes
            .into_iter()
            .enumerate()
            .map(|(at, change)| Change::parse(change).map_err(|no| no.within(&place(at))))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            at_ms: request.at * 1_000,
            changes,
        })
    }
}

fn malformed(error: &serde_json::Error) -> Refusal {
    Refusal::new(
        Code::MalformedMessage,
        format!("the body is not the expected JSON: {error}"),
    )
}

fn place(at: usize) -> String {
    format!("changes[{at}]")
}

impl Change {
    fn parse(change: serde_json::Value) -> Result<Self, Refusal> {
        if !change.is_object() {
            let message = "the body is not the expected JSON: a change is an object";
            return Err(Refusal::new(Code::MalformedMessage, message));
        }
        let change: WireChange =
            serde_json::from_value(change).map_err(|error| malformed(&error))?;
        let missing = |field: &'static str| {
            Refusal::invalid(field, format!("a change {:?} needs a {field}", change.op))
        };
        let group = GroupId::new(&change.group)?;
        let user = || {
            let user = change.user.as_deref().ok_or_else(|| missing("user"))?;
            UserId::new(user)
        };
        let role = || Role::parse(change.role.as_deref().ok_or_else(|| missing("role"))?);
        let name = || {
            let name = change.name.clone().ok_or_else(|| missing("name"))?;
            check_name(&name)?;
            Ok::<_, Refusal>(name)
        };
        Ok(match change.op.as_str() {
            "create" => {
                let name = name()?;
                Self::Create { group, name }
            }
            "rename" => {
                let name = name()?;
                Self::Rename { group, name }
            }
            "dismiss" => Self::Dismiss { group },
            "join" => Self::Join {
                group,
                user: user()?,
                role: role()?,
            },
            "leave" => Self::Leave {
                group,
                user: user()?,
            },
            "role" => Self::Role {
                group,
                user: user()?,
                role: role()?,
            },
            _ => {
                return Err(Refusal::invalid(
                    "op",
                    "an op is create, rename, dismiss, join, leave or role",
                ));
            }
        })
    }

    const fn group(&self) -> &GroupId {
        match self {
            Self::Create { group, .. }
            | Self::Rename { group, .. }
            | Self::Dismiss { group }
            | Self::Join { group, .. }
            | Self::Leave { group, .. }
            | Self::Role { group, .. } => group,
        }
    }

    /// The user whose own list the change writes.
    const fn user(&self) -> Option<&UserId> {
        match self {
            Self::Join { user, .. } | Self::Leave { user, .. } => Some(user),
            Self::Create { .. }
            | Self::Rename { .. }
            | Self::Dismiss { .. }
            | Self::Role { .. } => None,
        }
    }

    async fn apply<T: WriteTxn>(&self, txn: &mut T, at_ms: i64) -> Result<(), Stop> {
        let mut group = Group::new(txn, self.group());
        if let Self::Create { name, .. } = self {
            if group.head().await?.is_some() {
                return Err(refuse(
                    Code::GroupExists,
                    "group",
                    "the group is created twice",
                ));
            }
            let profile = GroupProfile {
                name: name.clone(),
                ..new_profile(at_ms)
            };
            return Ok(group.put_profile(&profile).await?);
        }
        if group.head().await?.is_none() {
            return Err(refuse(
                Code::GroupNotFound,
                "group",
                "the group does not exist at this point of the history",
            ));
        }
        match self {
            Self::Create { .. } => {}
            Self::Rename { name, .. } => {
                let profile = GroupProfile {
                    name: name.clone(),
                    ..group.profile().await?
                };
                group.put_profile(&profile).await?;
            }
            Self::Dismiss { .. } => group.dismiss().await?,
            Self::Join { user, role, .. } => {
                if group.member(user).await?.is_some() {
                    return Err(refuse(
                        Code::AlreadyMember,
                        "user",
                        "the user joins a group that they are in",
                    ));
                }
                let member = Member {
                    role: *role,
                    joined_at_ms: at_ms,
                    ..Member::default()
                };
                group.admit(user, member).await?;
            }
            Self::Leave { user, .. } => {
                in_it(&mut group, user).await?;
                group.expel(user).await?;
            }
            Self::Role { user, role, .. } => {
                let member = in_it(&mut group, user).await?;
                let role = *role;
                group.put_member(user, &Member { role, ..member }).await?;
            }
        }
        Ok(())
    }
}

async fn in_it<T: WriteTxn>(group: &mut Group<'_, T>, user: &UserId) -> Result<Member, Stop> {
    group.member(user).await?.ok_or_else(|| {
        refuse(
            Code::NotMember,
            "user",
            "the user is not a member of the group at this point of the history",
        )
    })
}

fn refuse(code: Code, field: &str, message: &str) -> Stop {
    Abort::Refused(Refusal::new(code, message).at(field))
}

/// Some of a request's changes, in one transaction.
#[derive(Clone, Debug)]
pub(super) struct ImportBatch {
    /// Milliseconds since 1970.
    pub(super) at_ms: i64,
    /// Where in the request these changes begin.
    pub(super) first: usize,
    /// At most 250.
    pub(super) changes: Vec<Change>,
}

impl Write for ImportBatch {
    /// Whether a group was dismissed.
    type Output = bool;
    type Refusal = Refusal;

    fn lists(&self) -> Vec<ListKey> {
        let mut lists = Vec::new();
        for change in &self.changes {
            lists.extend(lists_to_admit(change.group(), change.user()));
            lists.extend(lists_to_dismiss(change.group()));
        }
        lists.sort_unstable();
        lists.dedup();
        lists
    }

    async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<bool, Stop> {
        for (at, change) in self.changes.iter().enumerate() {
            change
                .apply(txn, self.at_ms)
                .await
                .map_err(|stop| match stop {
                    Abort::Refused(no) => Abort::Refused(no.within(&place(self.first + at))),
                    Abort::Store(error) => Abort::Store(error),
                })?;
        }
        let dismisses = |change: &Change| matches!(change, Change::Dismiss { .. });
        Ok(self.changes.iter().any(dismisses))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn refused(json: &str) -> (Code, String, u64) {
        let no = ImportRequest::parse(json.as_bytes()).unwrap_err();
        (no.code, no.field, no.limit)
    }

    #[test]
    fn a_line_of_the_history_is_read() {
        let line = r#"{"at":7,"changes":[
            {"op":"create","group":"g","name":"G"},
            {"op":"join","group":"g","user":"u","role":"admin"},
            {"op":"role","group":"g","user":"u","role":"owner"},
            {"op":"rename","group":"g","name":"H"},
            {"op":"leave","group":"g","user":"u"},
            {"op":"dismiss","group":"g"}]}"#;
        let (group, user) = (GroupId::new("g").unwrap(), UserId::new("u").unwrap());
        let request = ImportRequest::parse(line.as_bytes()).unwrap();
        assert_eq!(request.at_ms, 7_000);
        assert_eq!(request.changes.len(), 6);
        let join = Change::Join {
            group,
            user,
            role: Role::Admin,
        };
        assert_eq!(request.changes[1], join);
    }

    #[test]
    fn what_is_wrong_in_form_is_named_by_index_and_field() {
        use Code::{InvalidField, MalformedMessage, TooLarge, TooMany};
        let one = |change: &str| {
            format!(r#"{{"at":0,"changes":[{{"op":"dismiss","group":"g"}},{change}]}}"#)
        };
        let case = |json: &str, code, field: &str, limit| {
            assert_eq!(refused(json), (code, field.to_owned(), limit), "{json}");
        };
        case("", MalformedMessage, "", 0);
        case(r#"{"changes":[]}"#, MalformedMessage, "", 0);
        case(r#"{"at":-1,"changes":[]}"#, InvalidField, "at", 0);
        case(
            r#"{"at":9999999999999,"changes":[]}"#,
            InvalidField,
            "at",
            0,
        );
        case(&one("7"), MalformedMessage, "changes[1]", 0);
        case(
            &one(r#"{"op":"x","group":"g"}"#),
            InvalidField,
            "changes[1].op",
            0,
        );
        case(
            &one(r#"{"op":"create","group":"g"}"#),
            InvalidField,
            "changes[1].name",
            0,
        );
        case(
            &one(r#"{"op":"create","group":"","name":"n"}"#),
            InvalidField,
            "changes[1].group",
            0,
        );
        case(
            &one(r#"{"op":"join","group":"g","role":"owner"}"#),
            InvalidField,
            "changes[1].user",
            0,
        );
        case(
            &one(r#"{"op":"join","group":"g","user":"u","role":"king"}"#),
            InvalidField,
            "changes[1].role",
            0,
        );
        let long = "x".repeat(121);
        case(
            &one(&format!(r#"{{"op":"leave","group":"g","user":"{long}"}}"#)),
            TooLarge,
            "changes[1].user",
            120,
        );
        let many = vec![r#"{"op":"dismiss","group":"g"}"#; 1_001].join(",");
        case(
            &format!(r#"{{"at":0,"changes":[{many}]}}"#),
            TooMany,
            "changes",
            1_000,
        );
    }
}
