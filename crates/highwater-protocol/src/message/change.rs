//! What a write did to lists, as a device applies it at once.

use super::answer::broken;
use super::{Delta, DeltaEnd};
use crate::error::Refusal;
use crate::ids::{Lineage, ListKey, Version};
use crate::{limits, wire};
use bytes::Bytes;

/// What one transaction did to one list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListChange {
    /// Which list.
    pub list: ListKey,
    /// Its lineage after the transaction.
    pub lineage: Lineage,
    /// Its version before the transaction.
    pub from: Version,
    /// The change itself: one page, which ends in a proof, with every tombstone
    /// that the transaction left. `None`: the list ended, or the change is too
    /// long to come along.
    pub delta: Option<Delta>,
}

/// What a write answers to a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteAnswer {
    /// One for each list and transaction that the sender may read, in the order
    /// of the transactions.
    pub changes: Vec<ListChange>,
    /// What the operation says of its own, as JSON; empty: nothing.
    pub outcome: Bytes,
}

impl From<ListChange> for wire::ListChange {
    fn from(change: ListChange) -> Self {
        Self {
            kind: change.list.kind.as_str().to_owned(),
            owner: change.list.owner.as_str().to_owned(),
            lineage: change.lineage.get(),
            from: change.from.get(),
            delta: change.delta.map(Into::into),
        }
    }
}

impl TryFrom<wire::ListChange> for ListChange {
    type Error = Refusal;

    fn try_from(change: wire::ListChange) -> Result<Self, Refusal> {
        let from = Version::new(change.from);
        let delta = change.delta.map(|delta| whole(from, delta)).transpose();
        Ok(Self {
            list: ListKey::new(&change.kind, &change.owner)?,
            lineage: Lineage::parse(change.lineage)?,
            from,
            delta: delta.map_err(|no| no.within("delta"))?,
        })
    }
}

/// A delta that is all of a change.
fn whole(from: Version, delta: wire::Delta) -> Result<Delta, Refusal> {
    let delta = Delta::try_from(delta)?;
    if !matches!(delta.end, DeltaEnd::Proof(..)) {
        return Err(broken("head_version", "a change is one page, its last"));
    }
    if delta.to <= from {
        return Err(broken("to", "a change ends after it began"));
    }
    if delta.deletes_incomplete {
        let message = "a change comes with all of its tombstones";
        return Err(broken("deletes_incomplete", message));
    }
    Ok(delta)
}

impl From<WriteAnswer> for wire::WriteAnswer {
    fn from(answer: WriteAnswer) -> Self {
        Self {
            changes: answer.changes.into_iter().map(Into::into).collect(),
            outcome: answer.outcome,
        }
    }
}

impl TryFrom<wire::WriteAnswer> for WriteAnswer {
    type Error = Refusal;

    /// # Errors
    /// More than 1,000 changes, or one that holds a value which the protocol
    /// does not allow.
    fn try_from(answer: wire::WriteAnswer) -> Result<Self, Refusal> {
        let changes = answer.changes;
        if changes.len() > limits::CHANGES_PER_ANSWER {
            let (field, limit) = ("changes", limits::CHANGES_PER_ANSWER);
            return Err(Refusal::too_many(field, changes.len(), limit));
        }
        let parse = |(at, change)| {
            let parsed = ListChange::try_from(change);
            parsed.map_err(|no: Refusal| no.within(&format!("changes[{at}]")))
        };
        let parsed = changes.into_iter().enumerate().map(parse);
        Ok(Self {
            changes: parsed.collect::<Result<_, _>>()?,
            outcome: answer.outcome,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::codec::Format;
    use crate::error::Code;
    use crate::message::{Content, Row};
    use crate::{Digest, ItemId, Rank};

    fn change() -> ListChange {
        ListChange {
            list: ListKey::new("friends", "u1").unwrap(),
            lineage: Lineage::new(7).unwrap(),
            from: Version::new(3),
            delta: Some(Delta {
                rows: vec![Row {
                    id: ItemId::new("u2").unwrap(),
                    rank: Rank::new(vec![1]).unwrap(),
                    content: Content::Payload(Bytes::from_static(b"Bob")),
                }],
                deleted: vec![ItemId::new("u3").unwrap()],
                to: Version::new(5),
                end: DeltaEnd::Proof(Digest::ZERO, 1),
                deletes_incomplete: false,
            }),
        }
    }

    #[test]
    fn an_answer_reads_back_as_it_was_written() {
        let ended = ListChange {
            delta: None,
            ..change()
        };
        let answer = WriteAnswer {
            changes: vec![change(), ended],
            outcome: Bytes::from_static(b"{\"outcome\":\"requested\"}"),
        };
        for format in [Format::Protobuf, Format::Json] {
            let sent = format.encode(&wire::WriteAnswer::from(answer.clone()));
            let received: wire::WriteAnswer = format.decode(sent).unwrap();
            assert_eq!(WriteAnswer::try_from(received).unwrap(), answer);
        }
        let nothing = WriteAnswer::try_from(wire::WriteAnswer::default());
        assert_eq!(nothing, Ok(WriteAnswer::default()));
    }

    fn refused(spoil: impl FnOnce(&mut wire::ListChange, &mut wire::Delta)) -> (Code, String) {
        let mut spoilt = wire::ListChange::from(change());
        let mut delta = spoilt.delta.take().unwrap();
        spoil(&mut spoilt, &mut delta);
        spoilt.delta = Some(delta);
        let answer = wire::WriteAnswer {
            changes: vec![change().into(), spoilt],
            ..wire::WriteAnswer::default()
        };
        let no = WriteAnswer::try_from(answer).unwrap_err();
        (no.code, no.field)
    }

    #[test]
    fn a_change_that_breaks_the_protocol_is_refused_with_its_place() {
        let at = |field: &str| (Code::MalformedMessage, format!("changes[1].delta.{field}"));
        assert_eq!(
            refused(|_, delta| delta.head_version = 9),
            at("head_version")
        );
        assert_eq!(refused(|_, delta| delta.to = 3), at("to"));
        assert_eq!(refused(|change, _| change.from = u64::MAX), at("to"));
        let incomplete = refused(|_, delta| delta.deletes_incomplete = true);
        assert_eq!(incomplete, at("deletes_incomplete"));
        let zero = refused(|change, _| change.lineage = 0);
        assert_eq!(zero, (Code::ZeroLineage, "changes[1].lineage".to_owned()));
        let unnamed = refused(|change, _| change.kind.clear());
        assert_eq!(unnamed, (Code::InvalidField, "changes[1].kind".to_owned()));
        let (code, _) = refused(|_, delta| {
            delta.deleted = vec!["u".to_owned(); limits::PAGE_ROWS];
        });
        assert_eq!(code, Code::TooMany);
    }

    #[test]
    fn an_answer_has_a_bounded_number_of_changes() {
        let many = wire::WriteAnswer {
            changes: vec![change().into(); limits::CHANGES_PER_ANSWER + 1],
            ..wire::WriteAnswer::default()
        };
        let no = WriteAnswer::try_from(many).unwrap_err();
        assert_eq!((no.code, no.limit), (Code::TooMany, 1_000));
    }
}
