//! What was met, and how often.

use serde::Serialize;
use std::collections::BTreeMap;

/// How often each state was met.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Coverage(pub BTreeMap<String, u64>);

impl Coverage {
    pub(crate) fn met(&mut self, state: &str) {
        self.add(state, 1);
    }

    pub(crate) fn add(&mut self, state: &str, times: u64) {
        match self.0.get_mut(state) {
            Some(count) => *count += times,
            None => {
                self.0.insert(state.to_owned(), times);
            }
        }
    }

    /// Takes over what another world met.
    pub fn absorb(&mut self, other: &Self) {
        for (state, times) in &other.0 {
            self.add(state, *times);
        }
    }

    /// The states of [`MUST_BE_MET`] that were not.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let met = |state: &&str| !self.0.contains_key(*state);
        MUST_BE_MET.iter().copied().filter(met).collect()
    }
}

/// What a good number of worlds together must meet: each kind of answer, each
/// reason, each rung, each fault.
pub const MUST_BE_MET: &[&str] = &[
    "operation on several lists",
    "operation describe user",
    "operation describe user, as it spreads",
    "operation delete user",
    "operation delete user, as it spreads",
    "operation on a user that was there before",
    "operation request friend",
    "operation request friend who asks already",
    "operation import friends",
    "operation accept friend",
    "operation reject friend",
    "operation withdraw friend request",
    "operation delete friend",
    "operation change friend",
    "operation block user",
    "operation unblock user",
    "operation create group",
    "operation dismiss group",
    "operation dismiss group, as it spreads",
    "operation on a group that was there before",
    "operation invite",
    "operation join",
    "operation apply",
    "operation approve",
    "operation reject application",
    "operation withdraw application",
    "operation leave",
    "operation remove",
    "operation describe group",
    "operation announce",
    "operation mute group",
    "operation set rules",
    "operation set role",
    "operation hand over",
    "operation mute member",
    "operation set nickname",
    "operation set extra data of a member",
    "operation import",
    "operation import, as it spreads",
    "operation change conversation",
    "operation read conversation",
    "operation clear conversation",
    "operation delete conversation",
    "operation that brings a deleted conversation back",
    "operation report activity of two users",
    "operation report activity of a small group",
    "operation report activity of a large group",
    "operation report the first activity of a large group",
    "operation report the first activity of a large group, as it spreads",
    "operation report activity of the system",
    "operation report several activities",
    "operation report a mention",
    "operation report a mention of everybody",
    "operation on stale activity",
    "answer aligned",
    "answer adopt",
    "answer delta, last page",
    "answer delta, more follows",
    "answer delta, deletes incomplete",
    "answer scan, first page",
    "answer scan, later page",
    "answer scan, whole",
    "answer scan, proved",
    "answer sketch cells",
    "answer sketch rows",
    "answer deferred",
    "answer diverged: lineage",
    "answer diverged: ahead",
    "answer diverged: digest",
    "answer diverged with a sketch",
    "answer diverged without a sketch",
    "answer gone: unspecified",
    "answer gone: deleted",
    "answer gone: forbidden",
    "answer details",
    "repaired by rung local",
    "repaired by rung sketch",
    "repaired by rung skeleton",
    "repaired by rung reload",
    "climbed to rung sketch",
    "climbed to rung skeleton",
    "climbed to rung reload",
    "quarantined",
    "out of quarantine",
    "sketch offered again",
    "sketch follows its list",
    "sketch no longer kept",
    "sketch older than the head",
    "no room for a sketch",
    "an old sketch for want of a new one",
    "no sketch for want of turns",
    "network request lost",
    "network response lost",
    "network request doubled",
    "network response doubled",
    "network response late",
    "network overtaken",
    "network response cut",
    "network request cut",
    "network refused",
    "device killed",
    "device power failed",
    "device power failed within a transaction",
    "device disk full",
    "device write failed",
    "device database cut short",
    "device database overwritten",
    "device database moved aside",
    "device lost its newest transactions",
    "device clock jumped",
    "device damage payload",
    "device damage rank",
    "device damage stamp",
    "device damage check",
    "device damage row removed",
    "device damage row added",
    "device damage rows swapped",
    "device damage digest",
    "device damage count",
    "device damage version",
    "device damage lineage",
    "server killed",
    "server power failed",
    "server power failed within a write",
    "server disk full",
    "server write failed",
    "server write unknown",
    "server write refused",
    "server clock jumped",
    "server purged",
    "server restored from a backup",
    "server got another incarnation",
    "server says a wrong digest",
    "server changes lineages with each answer",
    "repair measured",
    "list ended",
    "list created again",
    "right taken",
    "right granted",
    "right to the header alone",
    "right widened",
    "verified by the app",
    "details wanted",
    "list released",
];
