//! What a write did, as its answer says it.

use super::items::Entry;
use super::reply;
use crate::domain::{AnyPayload, ListChange};
use highwater_protocol::message::{self, Delta, DeltaEnd, WriteAnswer};
use highwater_protocol::{ItemId, limits};
use schemars::JsonSchema;
use serde::Serialize;

/// The answer to a write.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{O}Answer")]
pub(super) struct Answer<O> {
    /// What changed in those lists that the asker may read: one for each list and
    /// transaction, in the order of the transactions.
    pub(super) changes: Vec<Change>,
    #[serde(flatten)]
    pub(super) own: O,
}

/// What one transaction did to one list.
#[derive(Serialize, JsonSchema)]
pub(super) struct Change {
    kind: String,
    owner: String,
    /// Which life of the list: 16 hexadecimal digits.
    lineage: String,
    /// The list's version before.
    from: u64,
    /// Its version after; left out if the list ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// What its elements sum to after: 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// How many elements it has after, the header included.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// The list is no more.
    ended: bool,
    /// Elements that are new or changed; left out with `deleted` where the list
    /// ended, or more than 1,000 elements changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Entry<AnyPayload>>>,
    /// Ids of elements that are gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<Vec<String>>,
}

/// An operation that has nothing to say beside its changes.
#[derive(Serialize, JsonSchema)]
pub(super) struct Nothing {}

/// What became of an operation.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{O}Became")]
pub(super) struct Became<O> {
    pub(super) outcome: O,
}

/// What became of each of the users that a request names, in its order.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{O}Results")]
pub(super) struct Results<O> {
    pub(super) results: Vec<UserResult<O>>,
}

/// What became of a user.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{O}Result")]
pub(super) struct UserResult<O> {
    pub(super) user: String,
    pub(super) result: O,
}

impl<O> Results<O> {
    pub(super) fn new<U: ToString>(users: &[U], outcomes: Vec<O>) -> Self {
        let both = users.iter().zip(outcomes);
        let results = both.map(|(user, result)| UserResult {
            user: user.to_string(),
            result,
        });
        Self {
            results: results.collect(),
        }
    }
}

impl From<&ListChange> for Change {
    fn from(change: &ListChange) -> Self {
        let elements = change.elements.as_ref();
        let row = |row| Entry::of_row(&change.list, row);
        Self {
            kind: change.list.kind.to_string(),
            owner: change.list.owner.to_string(),
            lineage: change.lineage.to_string(),
            from: change.from.get(),
            version: change.head.map(|head| head.point.version.get()),
            digest: change.head.map(|head| head.digest.to_string()),
            count: change.head.map(|head| head.count),
            ended: change.head.is_none(),
            items: elements.map(|elements| elements.rows.iter().filter_map(row).collect()),
            deleted: elements
                .map(|elements| elements.deleted.iter().map(ItemId::to_string).collect()),
        }
    }
}

impl From<ListChange> for message::ListChange {
    fn from(change: ListChange) -> Self {
        let delta = |(head, elements): (message::Head, crate::domain::Elements)| Delta {
            rows: elements.rows,
            deleted: elements.deleted,
            to: head.point.version,
            end: DeltaEnd::Proof(head.digest, head.count),
            deletes_incomplete: false,
        };
        Self {
            list: change.list,
            lineage: change.lineage,
            from: change.from,
            delta: change.head.zip(change.elements).map(delta),
        }
    }
}

/// The answer to a device. It has room for 1,000 changes; a device learns of
/// others when it syncs.
pub(super) fn message<O: Serialize>(changes: Vec<ListChange>, own: &O) -> WriteAnswer {
    let changes = changes.into_iter().take(limits::CHANGES_PER_ANSWER);
    WriteAnswer {
        changes: changes.map(message::ListChange::from).collect(),
        outcome: reply::to_json(own),
    }
}
