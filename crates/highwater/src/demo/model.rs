//! What the history means, in the plainest way: the judge of the demo. It
//! shares no code with server or SDK.

use crate::history::{Change, Transaction};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;

/// A member: role and when they joined, in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) role: String,
    pub(crate) joined_at: i64,
}

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) description: String,
    pub(crate) members: BTreeMap<String, Membership>,
}

/// Everything, as of the last transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) groups: BTreeMap<String, Group>,
    /// How often a group of each id was created: a group that was dismissed and
    /// created again is another one of the same id.
    pub(crate) births: BTreeMap<String, u64>,
}

impl Model {
    /// Carries out a transaction. A change that cannot be (a leave before a
    /// join, say) is an error.
    pub(crate) fn apply(&mut self, transaction: &Transaction) -> Result<()> {
        for (at, change) in transaction.changes.iter().enumerate() {
            self.change(transaction.at, change)
                .with_context(|| format!("changes[{at}]"))?;
        }
        Ok(())
    }

    fn change(&mut self, at: i64, change: &Change) -> Result<()> {
        match change {
            Change::Create { group, name } => {
                let new = Group {
                    description: name.clone(),
                    ..Group::default()
                };
                *self.births.entry(group.clone()).or_default() += 1;
                let before = self.groups.insert(group.clone(), new);
                ensure!(before.is_none(), "group {group} is created twice");
            }
            Change::Rename { group, name } => self.group(group)?.description.clone_from(name),
            Change::Dismiss { group } => {
                self.group(group)?;
                self.groups.remove(group);
            }
            Change::Join { group, user, role } => {
                let new = Membership {
                    role: role.clone(),
                    joined_at: at,
                };
                let before = self.group(group)?.members.insert(user.clone(), new);
                ensure!(before.is_none(), "{user} joins {group} twice");
            }
            Change::Leave { group, user } => {
                let before = self.group(group)?.members.remove(user);
                ensure!(before.is_some(), "{user} leaves {group} before joining");
            }
            Change::Role { group, user, role } => {
                let member = self.group(group)?.members.get_mut(user);
                member
                    .with_context(|| format!("{user} is not in {group}"))?
                    .role
                    .clone_from(role);
            }
        }
        Ok(())
    }

    fn group(&mut self, group: &str) -> Result<&mut Group> {
        self.groups
            .get_mut(group)
            .with_context(|| format!("there is no group {group}"))
    }

    /// The groups of a user, with when they joined.
    pub(crate) fn groups_of(&self, user: &str) -> BTreeMap<String, i64> {
        self.groups
            .iter()
            .filter_map(|(group, inside)| {
                inside
                    .members
                    .get(user)
                    .map(|member| (group.clone(), member.joined_at))
            })
            .collect()
    }
}

/// Who the demo's devices belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cast {
    /// Who is in the most groups at the end.
    pub(crate) busy: String,
    /// Who, of those that first appear in the last year, is in the most groups
    /// at the end; the one who appeared last if nobody is that new.
    pub(crate) newcomer: String,
}

/// Chooses the demo's users from the history itself, so that any history works.
pub(crate) fn cast(history: &[Transaction]) -> Result<Cast> {
    let mut model = Model::default();
    let mut first_seen: BTreeMap<&str, i64> = BTreeMap::new();
    for (line, transaction) in history.iter().enumerate() {
        model
            .apply(transaction)
            .with_context(|| format!("the history's transaction {}", line + 1))?;
        for change in &transaction.changes {
            if let Change::Join { user, .. } = change {
                first_seen.entry(user).or_insert(transaction.at);
            }
        }
    }
    let end = history.last().context("the history is empty")?.at;
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for group in model.groups.values() {
        for user in group.members.keys() {
            *groups.entry(user).or_default() += 1;
        }
    }
    let most = |new_since: i64, but: &str| {
        groups
            .iter()
            .filter(|(user, _)| first_seen[*user] >= new_since && **user != but)
            .max_by_key(|(user, count)| (**count, std::cmp::Reverse(**user)))
            .map(|(user, _)| (*user).to_owned())
    };
    let busy = most(i64::MIN, "").context("at the end of the history nobody is in a group")?;
    let newest = || {
        let newest = groups
            .keys()
            .max_by_key(|user| (first_seen[**user], **user));
        newest.map(|user| (*user).to_owned())
    };
    let newcomer = most(end - YEAR_S, &busy)
        .or_else(newest)
        .unwrap_or_else(|| busy.clone());
    Ok(Cast { busy, newcomer })
}

/// Seconds in a year.
pub(crate) const YEAR_S: i64 = 365 * 24 * 60 * 60;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn transaction(at: i64, changes: &str) -> Transaction {
        serde_json::from_str(&format!(r#"{{"at":{at},"changes":[{changes}]}}"#)).unwrap()
    }

    #[test]
    fn a_leave_before_a_join_is_an_error_that_names_the_change() {
        let mut model = Model::default();
        let create = r#"{"op":"create","group":"g","name":"G"}"#;
        let leave = r#"{"op":"leave","group":"g","user":"u"}"#;
        let error = model
            .apply(&transaction(1, &format!("{create},{leave}")))
            .unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "changes[1]: u leaves g before joining"
        );
    }

    #[test]
    fn the_cast_is_the_busiest_and_the_busiest_of_the_new() {
        let join = |group: &str, user: &str| {
            format!(r#"{{"op":"join","group":"{group}","user":"{user}","role":"member"}}"#)
        };
        let create = |group: &str| format!(r#"{{"op":"create","group":"{group}","name":"G"}}"#);
        let history = [
            transaction(
                0,
                &[
                    create("g"),
                    create("h"),
                    join("g", "a"),
                    join("h", "a"),
                    join("g", "b"),
                ]
                .join(","),
            ),
            transaction(
                YEAR_S + 1,
                &[join("g", "c"), join("h", "c"), join("g", "d")].join(","),
            ),
        ];
        let cast = cast(&history).unwrap();
        assert_eq!((cast.busy.as_str(), cast.newcomer.as_str()), ("a", "c"));
    }
}
