//! The verdict: every list of every device against two witnesses that share no
//! code with what is judged. One is the server's database, read with plain SQL.
//! The other is the history itself, carried out by the naive model.

use super::Judged;
use super::device::{CopiedRow, Device};
use super::model::Model;
use super::social::{Message, Social, Talk};
use anyhow::{Context as _, Result};
use highwater_protocol::kinds::{
    ACTIVITY, CONVERSATIONS, Conversation, FRIENDS, Friend, GROUPS, GroupActivity, GroupProfile,
    JoinedGroup, LastMessage, MEMBERS, Member, Payload,
};
use rusqlite::{Connection, OpenFlags, params};
use std::collections::BTreeMap;
use std::path::Path;

/// Differences that are described; more are only counted.
const DESCRIBED_MAX: usize = 20;

/// Judges the devices' copies.
pub(crate) async fn judge(
    devices: Vec<Device>,
    model: &Model,
    social: &Social,
    database: &Path,
) -> Result<Judged> {
    let server = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .context("cannot read the server's database")?;
    let mut reports = Vec::new();
    let mut differences = Vec::new();
    for device in devices {
        let copies = device.copies().await?;
        let mut found = Vec::new();
        for ((kind, owner), rows) in &copies {
            compare_with_server(&server, kind, owner, rows, &mut found)?;
        }
        compare_with_history(model, device.user(), &copies, &mut found);
        compare_with_people(social, device.user(), &copies, &mut found);
        let items = copies.values().map(Vec::len).sum();
        let device = device.finish(copies.len(), items, found.is_empty());
        differences.extend(
            found
                .into_iter()
                .map(|what| format!("{}: {what}", device.name)),
        );
        reports.push(device);
    }
    let more = differences.len().saturating_sub(DESCRIBED_MAX);
    differences.truncate(DESCRIBED_MAX);
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    Ok((reports, differences))
}

/// Element by element, in order: id, rank and payload.
fn compare_with_server(
    server: &Connection,
    kind: &str,
    owner: &str,
    copy: &[CopiedRow],
    found: &mut Vec<String>,
) -> Result<()> {
    let there = server_rows(server, kind, owner)?;
    let name = format!("{kind}/{owner}");
    if there.len() != copy.len() {
        found.push(format!(
            "{name}: {} rows, the server has {}",
            copy.len(),
            there.len()
        ));
    }
    for (here, there) in copy.iter().zip(&there) {
        if here != there {
            found.push(format!(
                "{name}: {:?} where the server has {:?}",
                here.0, there.0
            ));
        }
    }
    Ok(())
}

/// A list's elements from the server's tables.
fn server_rows(server: &Connection, kind: &str, owner: &str) -> Result<Vec<CopiedRow>> {
    let mut statement = server.prepare_cached(
        "SELECT elements.id, elements.rank, elements.payload
           FROM elements JOIN lists ON lists.n = elements.list
          WHERE lists.kind = ?1 AND lists.owner = ?2 AND lists.ended IS NULL
            AND elements.deleted_at IS NULL
          ORDER BY elements.rank, elements.id",
    )?;
    let rows = statement.query_map(params![kind, owner], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What the rows mean, against what the history says.
fn compare_with_history(
    model: &Model,
    user: &str,
    copies: &BTreeMap<(String, String), Vec<CopiedRow>>,
    found: &mut Vec<String>,
) {
    let groups = model.groups_of(user);
    let held: Vec<&String> = copies
        .keys()
        .filter(|(kind, _)| kind == MEMBERS)
        .map(|(_, owner)| owner)
        .collect();
    if !held.iter().copied().eq(groups.keys()) {
        found.push(format!(
            "{user} holds {} groups and is in {}",
            held.len(),
            groups.len()
        ));
    }
    for ((kind, owner), rows) in copies {
        let right = match kind.as_str() {
            GROUPS => groups_mean(rows).as_ref() == Some(&groups),
            MEMBERS => model
                .groups
                .get(owner)
                .is_some_and(|group| members_mean(rows).as_ref() == Some(group)),
            _ => true,
        };
        if !right {
            found.push(format!(
                "{kind}/{owner}: another meaning than the history's"
            ));
        }
    }
}

/// The groups and when they were joined; `None`: a row that cannot be read.
fn groups_mean(rows: &[CopiedRow]) -> Option<BTreeMap<String, i64>> {
    let meaning = |(id, _, payload): &CopiedRow| {
        let group = JoinedGroup::decode(payload).ok()?;
        Some((id.clone(), group.joined_at_ms / 1_000))
    };
    rows.iter().map(meaning).collect()
}

/// A group and its members.
fn members_mean(rows: &[CopiedRow]) -> Option<super::model::Group> {
    let mut group = super::model::Group::default();
    for (id, _, payload) in rows {
        if id.is_empty() {
            group.description = GroupProfile::decode(payload).ok()?.name;
        } else {
            let member = Member::decode(payload).ok()?;
            let membership = super::model::Membership {
                role: member.role.as_str().to_owned(),
                joined_at: member.joined_at_ms / 1_000,
            };
            group.members.insert(id.clone(), membership);
        }
    }
    Some(group)
}

/// What the rows of people mean, against what follows from the history.
fn compare_with_people(
    social: &Social,
    user: &str,
    copies: &BTreeMap<(String, String), Vec<CopiedRow>>,
    found: &mut Vec<String>,
) {
    let list = |kind: &str, owner: &str| {
        let rows = copies.get(&(kind.to_owned(), owner.to_owned()));
        rows.map_or(&[][..], Vec::as_slice)
    };
    if friends_mean(list(FRIENDS, user)) != Some(social.friends_of(user)) {
        found.push(format!(
            "{FRIENDS}/{user}: another meaning than the history's"
        ));
    }
    let activity = |group: &str| -> Option<Message> {
        let (_, _, payload) = list(ACTIVITY, group).first()?;
        Some(message(GroupActivity::decode(payload).ok()?.last?))
    };
    let talks = talks_mean(list(CONVERSATIONS, user), activity);
    let right = social.talks_of(user);
    if talks.as_ref() != Some(&right) {
        let differs = |talks: BTreeMap<String, Talk>| {
            right
                .iter()
                .find(|(id, talk)| talks.get(*id) != Some(*talk))
                .map(|(id, talk)| format!("{id} is {:?} instead of {talk:?}", talks.get(id)))
        };
        found.push(format!(
            "{CONVERSATIONS}/{user}: another meaning than the history's: {:?}",
            talks.and_then(differs)
        ));
    }
}

/// The friends, their names and since when.
fn friends_mean(rows: &[CopiedRow]) -> Option<BTreeMap<String, (String, i64)>> {
    let meaning = |(id, _, payload): &CopiedRow| {
        let friend = Friend::decode(payload).ok()?;
        Some((id.clone(), (friend.name, friend.since_ms / 1_000)))
    };
    rows.iter().map(meaning).collect()
}

/// The conversations, with the newer of what they and their groups have last.
fn talks_mean(
    rows: &[CopiedRow],
    activity: impl Fn(&str) -> Option<Message>,
) -> Option<BTreeMap<String, Talk>> {
    let meaning = |(id, _, payload): &CopiedRow| {
        let conversation = Conversation::decode(payload).ok()?;
        let own = conversation.last.map(message);
        let shared = id.strip_prefix("g:").and_then(&activity);
        let last = own.into_iter().chain(shared).max_by_key(|last| last.seq);
        let state = conversation.state.as_str();
        Some((id.clone(), Talk { last, state }))
    };
    rows.iter().map(meaning).collect()
}

fn message(last: LastMessage) -> Message {
    Message {
        seq: last.seq,
        at: last.at_ms / 1_000,
        sender: last.sender,
        preview: last.preview,
    }
}
