//! A device of the demo: the real SDK, over a real socket, with its own
//! database on disk.

use super::accident::Accident;
use super::report::{DeviceReport, RepairReport};
use anyhow::{Context as _, Result, ensure};
use futures::{FutureExt as _, StreamExt as _};
use highwater_protocol::kinds::{
    ACTIVITY, CONVERSATIONS, Conversation, ConversationState, FRIENDS, GROUPS, MEMBERS,
    Payload as _,
};
use highwater_sdk::{
    Client, Compression, Event, Events, Groups, Key, List, Members, PAGE_ROWS_MAX, Raw, SyncReport,
    Traffic,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// When a device is online.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It pulls after each transaction.
    Always,
    /// It is away for so many seconds of the history, comes back for one pull,
    /// and goes again.
    Away(i64),
    /// It is installed at this time, and then pulls after each transaction.
    InstalledAt(i64),
}

/// A device, as long as it lives.
pub(crate) struct Device {
    life: Life,
    client: Option<Client>,
    groups: Option<List<Groups>>,
    /// The members of each group, and which birth of the group they are of.
    members: BTreeMap<String, (List<Members>, u64)>,
    friends: Option<List<Raw>>,
    conversations: Option<List<Raw>>,
    /// What goes on in large groups, which share their activity.
    activity: BTreeMap<String, List<Raw>>,
    away_until: i64,
    /// What is still to befall it, and when.
    accidents: VecDeque<(i64, Accident)>,
    /// What happened at the last time that it pulled.
    accident: Option<Accident>,
    events: Option<Events>,
    /// Of clients that it had before.
    past: Traffic,
    repairs: Vec<RepairReport>,
    report: DeviceReport,
}

/// What a device connects to.
pub(crate) struct Connection<'a> {
    /// The server's URL.
    pub(crate) server: &'a str,
    /// The user's token.
    pub(crate) token: String,
    /// The folder of the device's database.
    pub(crate) folder: &'a Path,
    /// Whether what travels is compressed.
    pub(crate) compression: Compression,
}

/// The groups whose lists a device holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldGroups {
    /// Those whose members it holds: all that its user is in.
    pub(crate) joined: BTreeSet<String>,
    /// Those whose activity it holds: the large ones among them.
    pub(crate) shared: BTreeSet<String>,
}

/// One row of a copy: id, rank, payload.
pub(crate) type CopiedRow = (String, Vec<u8>, Vec<u8>);

impl Device {
    /// A device that is not installed yet.
    pub(crate) fn new(name: &'static str, user: &str, life: Life) -> Self {
        let report = DeviceReport {
            name,
            user: user.to_owned(),
            ..DeviceReport::default()
        };
        Self {
            life,
            client: None,
            groups: None,
            members: BTreeMap::new(),
            friends: None,
            conversations: None,
            activity: BTreeMap::new(),
            away_until: i64::MIN,
            accidents: VecDeque::new(),
            accident: None,
            events: None,
            past: Traffic::default(),
            repairs: Vec::new(),
            report,
        }
    }

    /// A device whose database is damaged at these times.
    pub(crate) fn with_accidents(self, accidents: Vec<(i64, Accident)>) -> Self {
        Self {
            accidents: accidents.into(),
            ..self
        }
    }

    /// Whether it is there yet.
    pub(crate) const fn is_installed(&self) -> bool {
        self.client.is_some()
    }

    /// How it lives.
    pub(crate) const fn name(&self) -> &'static str {
        self.report.name
    }

    /// Whose it is.
    pub(crate) fn user(&self) -> &str {
        &self.report.user
    }

    /// Whether it pulls now, after the transaction at `at`.
    pub(crate) fn pulls_at(&mut self, at: i64) -> bool {
        match self.life {
            Life::Always => true,
            Life::InstalledAt(begin) => at >= begin,
            Life::Away(seconds) => {
                let back = at >= self.away_until;
                if back {
                    self.away_until = at + seconds;
                    let due = |(when, _): &mut (i64, Accident)| *when <= at;
                    self.accident = self.accidents.pop_front_if(due).map(|(_, what)| what);
                }
                back
            }
        }
    }

    /// Catches up with the server: its groups, and the members of each. `births`
    /// tells a group that was created again from the one before. If something
    /// has befallen it meanwhile, its audit finds that out first. Returns the
    /// groups that it holds now.
    pub(crate) async fn sync(
        &mut self,
        connection: &Connection<'_>,
        births: &BTreeMap<String, u64>,
    ) -> Result<HeldGroups> {
        let before = self.traffic();
        let groups = self.catch_up(connection, births).await?;
        let found = self.repair_since(before);
        if !found.rungs.is_empty() {
            self.repairs.push(found);
        }
        let Some(accident) = self.accident.take() else {
            return Ok(groups);
        };
        let database = self.database(connection.folder);
        if accident.needs_the_file() {
            self.turn_off();
        }
        accident.happen(&database)?;
        self.mend(accident.name(), connection, births).await
    }

    /// Has every copy checked, catches up, and notes what that cost.
    pub(crate) async fn mend(
        &mut self,
        what: &'static str,
        connection: &Connection<'_>,
        births: &BTreeMap<String, u64>,
    ) -> Result<HeldGroups> {
        let scans = self.report.full_scans;
        let before = self.traffic();
        if let Some(client) = &self.client {
            let checked = client.verify().await;
            checked.context("a device cannot check its copies")?;
        }
        let groups = self.catch_up(connection, births).await?;
        self.report.full_scans = scans;
        let mut repair = self.repair_since(before);
        what.clone_into(&mut repair.what);
        self.repairs.push(repair);
        Ok(groups)
    }

    /// What was mended since the device had this traffic, by the receipts; named
    /// after the reasons that they give.
    fn repair_since(&mut self, before: Traffic) -> RepairReport {
        let after = self.traffic();
        let mut repair = RepairReport {
            device: self.report.name,
            requests: after.requests - before.requests,
            bytes_sent: after.bytes_sent - before.bytes_sent,
            bytes_received: after.bytes_received - before.bytes_received,
            ..RepairReport::default()
        };
        let mut reasons = BTreeSet::new();
        let events = self.events.as_mut();
        let mut next = events.map(|events| move || events.next().now_or_never().flatten());
        while let Some(event) = next.as_mut().and_then(|next| next()) {
            match event {
                Event::Repaired(receipt) => {
                    *repair.rungs.entry(receipt.rung.as_str()).or_default() += 1;
                    let differs = &receipt.difference;
                    repair.differed += differs.added + differs.removed + differs.changed;
                    reasons.insert(receipt.reason.as_str());
                }
                Event::Replaced { .. } => *repair.rungs.entry("new database").or_default() += 1,
                _ => {}
            }
        }
        let reasons: Vec<&str> = reasons.into_iter().collect();
        repair.what = format!("found by a sync: {}", reasons.join(", "));
        repair
    }

    /// What its repairs cost.
    pub(crate) fn take_repairs(&mut self) -> Vec<RepairReport> {
        std::mem::take(&mut self.repairs)
    }

    fn turn_off(&mut self) {
        self.past = self.traffic();
        if let Some(client) = self.client.take() {
            client.close();
        }
        self.groups = None;
        self.friends = None;
        self.conversations = None;
        self.events = None;
        self.members.clear();
        self.activity.clear();
    }

    fn traffic(&self) -> Traffic {
        let now = self
            .client
            .as_ref()
            .map(Client::traffic)
            .unwrap_or_default();
        Traffic {
            requests: self.past.requests + now.requests,
            bytes_sent: self.past.bytes_sent + now.bytes_sent,
            bytes_received: self.past.bytes_received + now.bytes_received,
        }
    }

    fn database(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.db", self.report.name.replace(' ', "-")))
    }

    async fn catch_up(
        &mut self,
        connection: &Connection<'_>,
        births: &BTreeMap<String, u64>,
    ) -> Result<HeldGroups> {
        let began = Instant::now();
        if self.client.is_none() {
            let database = self.database(connection.folder);
            let first = self.report.syncs == 0;
            ensure!(
                !first || !database.exists(),
                "{} exists",
                database.display()
            );
            let client = install(connection, database).await?;
            self.events = Some(client.events());
            self.groups = Some(client.groups()?);
            self.friends = Some(client.list(FRIENDS, client.user())?);
            self.conversations = Some(client.list(CONVERSATIONS, client.user())?);
            self.client = Some(client);
        }
        let (Some(client), Some(groups), Some(conversations)) =
            (&self.client, &self.groups, &self.conversations)
        else {
            anyhow::bail!("the device is not installed");
        };
        let mut total = client.sync().await.context("a device cannot synchronise")?;
        let joined = ids(groups).await?;
        let shared = shared(conversations).await?;
        self.activity.retain(|group, list| {
            let stays = shared.contains(group);
            if !stays {
                list.release();
            }
            stays
        });
        self.members.retain(|group, (list, _)| {
            let stays = joined.contains(group);
            if !stays {
                list.release();
            }
            stays
        });
        let (mut opened, mut reborn) = (0, 0);
        for group in &joined {
            let birth = births.get(group).copied().unwrap_or_default();
            match self.members.get_mut(group) {
                None => {
                    let list = client.members(group)?;
                    self.members.insert(group.clone(), (list, birth));
                    opened += 1;
                }
                Some((_, known)) if *known != birth => {
                    *known = birth;
                    reborn += 1;
                }
                Some(_) => {}
            }
        }
        for group in &shared {
            if !self.activity.contains_key(group) {
                let list = client.list(ACTIVITY, group)?;
                self.activity.insert(group.clone(), list);
                opened += 1;
            }
        }
        if opened > 0 {
            let report = client.sync().await.context("a device cannot synchronise")?;
            total.scans += report.scans;
            total.largest_gap = total.largest_gap.max(report.largest_gap);
        }
        let firsts = opened + reborn;
        self.count(&total, firsts, began);
        Ok(HeldGroups { joined, shared })
    }

    fn count(&mut self, total: &SyncReport, firsts: u64, began: Instant) {
        // Groups, friends and conversations.
        let first = if self.report.syncs == 0 { 3 } else { 0 };
        self.report.syncs += 1;
        self.report.largest_gap = self.report.largest_gap.max(total.largest_gap);
        // Each list is read whole once, at its first sync; so is one that was
        // deleted and created again, which is another list.
        self.report.full_scans += total.scans.saturating_sub(firsts + first);
        self.report.seconds += began.elapsed().as_secs_f64();
    }

    /// Adds what whole pulls would have cost instead of this sync.
    pub(crate) const fn count_pulls(&mut self, full: u64, etag: u64, unchanged: u64) {
        self.report.bytes_full_pull += full;
        self.report.bytes_etag_pull += etag;
        self.report.bytes_etag_unchanged += unchanged;
    }

    /// Every list that the device holds, row by row, as (kind, owner).
    pub(crate) async fn copies(&self) -> Result<BTreeMap<(String, String), Vec<CopiedRow>>> {
        let Some(client) = &self.client else {
            return Ok(BTreeMap::new());
        };
        let mut copies = BTreeMap::new();
        let members = self.members.keys().map(|group| (MEMBERS, group.as_str()));
        let activity = self.activity.keys().map(|group| (ACTIVITY, group.as_str()));
        let own = [GROUPS, FRIENDS, CONVERSATIONS].map(|kind| (kind, self.user()));
        for (kind, owner) in own.into_iter().chain(members).chain(activity) {
            let list = client.list(kind, owner)?;
            copies.insert((kind.to_owned(), owner.to_owned()), rows(&list).await?);
        }
        Ok(copies)
    }

    /// The device's line of the report, once its copies were judged.
    pub(crate) fn finish(mut self, lists: usize, items: usize, equal: bool) -> DeviceReport {
        let traffic = self.traffic();
        self.report.requests = traffic.requests;
        self.report.bytes_sent = traffic.bytes_sent;
        self.report.bytes_received = traffic.bytes_received;
        self.turn_off();
        self.report.lists = lists;
        self.report.items = items;
        self.report.equal = equal;
        self.report.finish();
        self.report
    }
}

async fn install(connection: &Connection<'_>, database: PathBuf) -> Result<Client> {
    Client::builder()
        .server(connection.server)
        .token(connection.token.clone())
        .database(database)
        .compression(connection.compression)
        .build()
        .await
        .context("a device cannot be installed")
}

async fn ids(groups: &List<Groups>) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    let mut after: Option<Key> = None;
    loop {
        let page = groups.page(after.as_ref(), PAGE_ROWS_MAX).await?;
        ids.extend(page.rows.iter().map(|row| row.id().to_owned()));
        after = page.next;
        if after.is_none() {
            return Ok(ids);
        }
    }
}

/// The groups that the user is in and whose activity lives with the group.
async fn shared(conversations: &List<Raw>) -> Result<BTreeSet<String>> {
    let mut shared = BTreeSet::new();
    for (id, _, payload) in rows(conversations).await? {
        let conversation = Conversation::decode(&payload)?;
        if let Some(group) = id.strip_prefix("g:")
            && conversation.shared
            && conversation.state == ConversationState::Active
        {
            shared.insert(group.to_owned());
        }
    }
    Ok(shared)
}

/// All rows in local order, the header first; a row without details is an
/// error, since it could not be compared.
async fn rows(list: &List<Raw>) -> Result<Vec<CopiedRow>> {
    let mut rows = Vec::new();
    if let Some(header) = list.header().await? {
        let payload = header.payload.context("the header lacks its payload")?;
        rows.push((String::new(), Vec::new(), payload.to_vec()));
    }
    let mut after: Option<Key> = None;
    loop {
        let page = list.page(after.as_ref(), PAGE_ROWS_MAX).await?;
        for row in page.rows {
            let id = row.id().to_owned();
            let rank = row.key.rank.as_bytes().to_vec();
            let payload = row
                .payload
                .with_context(|| format!("{id} lacks its payload"))?;
            rows.push((id, rank, payload.to_vec()));
        }
        after = page.next;
        if after.is_none() {
            return Ok(rows);
        }
    }
}
