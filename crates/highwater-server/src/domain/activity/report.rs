//! A report of activity: as it travels, and checked in form.

use super::{ACTIVITIES_PER_REQUEST, MENTIONS_PER_MESSAGE, RECIPIENTS_PER_REQUEST};
use crate::domain::people::check_text;
use crate::domain::permissions::OnUser;
use crate::domain::words::{PREVIEW_BYTES, SYSTEM_NAME_BYTES};
use crate::domain::{Actor, GroupId, UserId};
use highwater_protocol::kinds::LastMessage;
use highwater_protocol::{Code, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The last message of a conversation, as a request says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivityBody {
    /// In which conversation.
    pub conversation: ActivityConversation,
    /// Rises with each message of the conversation, from 1.
    pub seq: u64,
    /// When it was sent, in milliseconds since 1970.
    pub at_ms: i64,
    /// A user id; empty: the system.
    #[serde(default)]
    pub sender: String,
    /// Up to 1,024 bytes.
    #[serde(default)]
    pub preview: String,
    /// Whom it mentions: members of the group, up to 200.
    #[serde(default)]
    pub mentions: Vec<String>,
    /// It mentions everybody.
    #[serde(default)]
    pub mention_all: bool,
}

/// Which conversation: exactly one of `user`, `group` and `system`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivityConversation {
    /// The two users of a conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<[String; 2]>,
    /// The group of a conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The name of a conversation of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// To whom a conversation of the system goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Vec<String>>,
}

/// In which conversation something goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActivityOf {
    /// Of two users.
    Pair([UserId; 2]),
    /// Of a group.
    Group(GroupId),
    /// Of the system, with each of these users.
    System(String, Vec<UserId>),
}

/// What goes on in a conversation; checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// In which one.
    pub of: ActivityOf,
    /// The last message.
    pub last: LastMessage,
    /// Who is mentioned in it by name.
    pub mentions: Vec<UserId>,
    /// It mentions everybody.
    pub mention_all: bool,
}

/// A batch of activities; each entry is checked in form, or says what is wrong.
#[derive(Clone, Debug)]
pub struct ReportActivity {
    /// Up to 1,000, each with its fault if it has one.
    pub entries: Vec<Result<Activity, Refusal>>,
    /// If some entries are refused, the others are written all the same.
    pub partial: bool,
}

/// What became of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ActivityOutcome {
    /// It is written.
    Written,
    /// The conversation knows a message of this sequence or a later one; nothing
    /// changed.
    Stale,
    /// It is refused; nothing changed.
    Refused {
        /// The stable code.
        code: String,
        /// For people.
        message: String,
        /// The offending field, from `activities[17]` on.
        field: String,
        /// The limit that was exceeded; 0: none.
        limit: u64,
    },
    /// Nothing is wrong with it, but with others, and the request did not ask for
    /// a part to be written.
    NotApplied,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reported {
    /// Whether anything was to be written: not, if an entry is refused and the
    /// request did not ask for the others.
    pub applied: bool,
    /// One for each entry.
    pub outcomes: Vec<ActivityOutcome>,
}

/// Where an entry stands in the request.
pub(crate) fn place(at: usize) -> String {
    format!("activities[{at}]")
}

impl ActivityOutcome {
    /// The outcome of the entry at `at` that is refused.
    pub(crate) fn refused(at: usize, no: Refusal) -> Self {
        let no = no.within(&place(at));
        Self::Refused {
            code: no.code.as_str().to_owned(),
            message: no.message,
            field: no.field,
            limit: no.limit,
        }
    }
}

impl ReportActivity {
    /// A batch, as a request says it. An entry that is no activity is kept as its
    /// fault, so that the answer can name each.
    ///
    /// # Errors
    /// `forbidden` to a user; no entries, or too many, at field `activities`.
    pub fn new(
        actor: &Actor,
        entries: Vec<serde_json::Value>,
        partial: bool,
    ) -> Result<Self, Refusal> {
        OnUser::ReportActivity.require_service(actor)?;
        let count = entries.len();
        if count == 0 {
            return Err(Refusal::invalid("activities", "give at least one activity"));
        }
        if count > ACTIVITIES_PER_REQUEST {
            let limit = ACTIVITIES_PER_REQUEST;
            return Err(Refusal::too_many("activities", count, limit));
        }
        let mut recipients = 0;
        let entries = entries.into_iter().map(|entry| {
            let activity = Activity::read(entry)?;
            if let ActivityOf::System(_, to) = &activity.of {
                recipients += to.len();
                if recipients > RECIPIENTS_PER_REQUEST {
                    let limit = RECIPIENTS_PER_REQUEST;
                    return Err(Refusal::too_many("conversation.to", recipients, limit));
                }
            }
            Ok(activity)
        });
        Ok(Self {
            entries: entries.collect(),
            partial,
        })
    }
}

impl Activity {
    fn read(entry: serde_json::Value) -> Result<Self, Refusal> {
        if !entry.is_object() {
            let message = "the entry is no activity: it is an object";
            return Err(Refusal::new(Code::MalformedMessage, message));
        }
        let body: ActivityBody = serde_json::from_value(entry).map_err(|error| {
            let message = format!("the entry is no activity: {error}");
            Refusal::new(Code::MalformedMessage, message)
        })?;
        Self::parse(body)
    }

    /// Checks an activity.
    ///
    /// # Errors
    /// What is wrong with it, by its field.
    pub fn parse(body: ActivityBody) -> Result<Self, Refusal> {
        let of = ActivityOf::parse(body.conversation).map_err(|no| no.within("conversation"))?;
        if body.seq == 0 {
            return Err(Refusal::invalid("seq", "the first message has sequence 1"));
        }
        if body.at_ms < 0 {
            let message = "at_ms is in milliseconds since 1970";
            return Err(Refusal::invalid("at_ms", message));
        }
        let sender = match body.sender.as_str() {
            "" => None,
            sender => Some(UserId::new(sender).map_err(|no| no.at("sender"))?),
        };
        if let (ActivityOf::Pair(users), Some(sender)) = (&of, &sender)
            && !users.contains(sender)
        {
            let message = "the sender is one of the two users";
            return Err(Refusal::invalid("sender", message));
        }
        check_text("preview", &body.preview, PREVIEW_BYTES)?;
        let count = body.mentions.len();
        if count > MENTIONS_PER_MESSAGE {
            return Err(Refusal::too_many("mentions", count, MENTIONS_PER_MESSAGE));
        }
        Ok(Self {
            of,
            last: LastMessage {
                seq: body.seq,
                at_ms: body.at_ms,
                sender: body.sender,
                preview: body.preview,
            },
            mentions: users("mentions", &body.mentions)?,
            mention_all: body.mention_all,
        })
    }
}

impl ActivityOf {
    fn parse(body: ActivityConversation) -> Result<Self, Refusal> {
        let ActivityConversation {
            user,
            group,
            system,
            to,
        } = body;
        match (user, group, system, to) {
            (Some([a, b]), None, None, None) => {
                let [a, b] = [("user[0]", a), ("user[1]", b)]
                    .map(|(field, user)| UserId::new(&user).map_err(|no| no.at(field)));
                let (a, b) = (a?, b?);
                if a == b {
                    let message = "a conversation is between two users";
                    return Err(Refusal::invalid("user", message));
                }
                Ok(Self::Pair([a, b]))
            }
            (None, Some(group), None, None) => Ok(Self::Group(GroupId::new(&group)?)),
            (None, None, Some(name), Some(to)) => {
                if name.is_empty() {
                    let message = "a conversation of the system has a name";
                    return Err(Refusal::invalid("system", message));
                }
                check_text("system", &name, SYSTEM_NAME_BYTES)?;
                if to.is_empty() {
                    return Err(Refusal::invalid("to", "name at least one user"));
                }
                Ok(Self::System(name, users("to", &to)?))
            }
            _ => Err(Refusal::invalid(
                "",
                "give user (two of them), or group, or system and to",
            )),
        }
    }
}

/// Each user once, in their order.
fn users(field: &str, ids: &[String]) -> Result<Vec<UserId>, Refusal> {
    let mut users = Vec::with_capacity(ids.len());
    let mut seen = std::collections::HashSet::new();
    for (at, id) in ids.iter().enumerate() {
        let user = UserId::new(id).map_err(|no| no.at(format!("{field}[{at}]")))?;
        if seen.insert(user.clone()) {
            users.push(user);
        }
    }
    Ok(users)
}
