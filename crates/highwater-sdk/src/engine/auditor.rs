//! When the rows on the device are held against what they should be, although
//! nobody asked: each list about once a day, a few rows at a time.
//!
//! Time is the device's clock, which may jump. What was done last is stored with
//! each list, so that neither a restart nor a long sleep starves an audit; a
//! time in the future is a clock that was wrong. And within one process no list
//! is audited again before half the interval was lived through, so that a clock
//! that jumps to and fro does not keep the device busy.

use highwater_protocol::ListKey;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Rows that one step reads.
pub(super) const STEP_ROWS: usize = 500;

/// The pause between two steps, in milliseconds.
const PAUSE_MS: i64 = 100;

/// The longest time between two looks at the clock that counts as lived
/// through, in milliseconds: the engine sleeps no longer.
const LOOK_MS_MAX: i64 = super::SLEEP_MS_MAX;

/// Knows which list's turn it is.
#[derive(Debug)]
pub(super) struct Auditor {
    every_ms: i64,
    /// When each list is due.
    due: BTreeSet<(i64, ListKey)>,
    known: BTreeMap<ListKey, Known>,
    /// Lists that came in sync and whose last audit was not looked up yet.
    to_learn: BTreeSet<ListKey>,
    not_before_ms: i64,
    looked_at_ms: Option<i64>,
    lived_ms: i64,
}

#[derive(Debug)]
struct Known {
    due_ms: i64,
    /// What had been lived through when it was audited, if it was.
    audited: Option<i64>,
}

impl Auditor {
    /// Each list's turn comes every `every_ms` on average.
    pub(super) fn new(every_ms: u64) -> Self {
        Self {
            every_ms: i64::try_from(every_ms).unwrap_or(i64::MAX / 4).max(1),
            due: BTreeSet::new(),
            known: BTreeMap::new(),
            to_learn: BTreeSet::new(),
            not_before_ms: i64::MIN,
            looked_at_ms: None,
            lived_ms: 0,
        }
    }

    /// A list is in sync: it has its turn from now on.
    pub(super) fn meet(&mut self, list: &ListKey) {
        if !self.known.contains_key(list) {
            self.to_learn.insert(list.clone());
        }
    }

    /// A list whose last audit is to be looked up.
    pub(super) fn next_to_learn(&mut self) -> Option<ListKey> {
        self.to_learn.pop_first()
    }

    /// When a list was last audited, or when its first audit began to be waited
    /// for. A time in the future cannot be.
    pub(super) fn learn(&mut self, list: ListKey, last_ms: i64) {
        self.schedule(list, last_ms, None);
    }

    /// A list is no longer held, or not in sync.
    pub(super) fn forget(&mut self, list: &ListKey) {
        self.to_learn.remove(list);
        if let Some(known) = self.known.remove(list) {
            self.due.remove(&(known.due_ms, list.clone()));
        }
    }

    /// The list whose next rows are to be looked at now.
    pub(super) fn turn(&mut self, now_ms: i64) -> Option<ListKey> {
        let since_ms = now_ms.saturating_sub(self.looked_at_ms.unwrap_or(now_ms));
        self.looked_at_ms = Some(now_ms);
        self.lived_ms = self.lived_ms.saturating_add(since_ms.clamp(0, LOOK_MS_MAX));
        // Further away than an interval: the clock went back.
        let furthest_ms = now_ms.saturating_add(self.every_ms.saturating_mul(2));
        while let Some((due_ms, list)) = self.due.last().cloned()
            && due_ms > furthest_ms
        {
            self.put_off(list, now_ms);
        }
        if (now_ms..=now_ms.saturating_add(PAUSE_MS)).contains(&self.not_before_ms)
            && now_ms != self.not_before_ms
        {
            return None;
        }
        let (due_ms, list) = self.due.first().cloned()?;
        if due_ms > now_ms {
            return None;
        }
        let audited = self.known.get(&list).and_then(|known| known.audited);
        if audited.is_some_and(|at| self.lived_ms - at < self.every_ms / 2) {
            self.put_off(list, now_ms);
            return None;
        }
        Some(list)
    }

    /// A step was done, and rows are left.
    pub(super) const fn went_on(&mut self, now_ms: i64) {
        self.not_before_ms = now_ms.saturating_add(PAUSE_MS);
    }

    /// A list's audit ended.
    pub(super) fn ended(&mut self, list: ListKey, now_ms: i64) {
        self.went_on(now_ms);
        let lived_ms = self.lived_ms;
        self.schedule(list, now_ms, Some(lived_ms));
    }

    /// When to look again.
    pub(super) fn next_ms(&self) -> Option<i64> {
        if !self.to_learn.is_empty() {
            return Some(i64::MIN);
        }
        let (due_ms, _) = self.due.first()?;
        Some((*due_ms).max(self.not_before_ms))
    }

    fn put_off(&mut self, list: ListKey, now_ms: i64) {
        let audited = self.known.get(&list).and_then(|known| known.audited);
        self.schedule(list, now_ms, audited);
    }

    fn schedule(&mut self, list: ListKey, last_ms: i64, audited: Option<i64>) {
        self.forget(&list);
        let due_ms = last_ms.saturating_add(self.interval_ms(&list, last_ms));
        self.due.insert((due_ms, list.clone()));
        self.known.insert(list, Known { due_ms, audited });
    }

    /// Four to six fifths of the interval, the same after a restart: devices
    /// that began together do not stay together.
    fn interval_ms(&self, list: &ListKey, last_ms: i64) -> i64 {
        let mut hasher = DefaultHasher::new();
        (list.kind.as_str(), list.owner.as_str(), last_ms).hash(&mut hasher);
        let fifth = (self.every_ms / 5).unsigned_abs();
        let more = hasher.finish() % (2 * fifth + 1);
        let more_ms = i64::try_from(more).unwrap_or_default();
        self.every_ms - self.every_ms / 5 + more_ms
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;
    const YEAR_MS: i64 = 365 * DAY_MS;
    /// 2026.
    const NOW_MS: i64 = 56 * YEAR_MS;

    fn auditor(lists: usize) -> Auditor {
        let mut auditor = Auditor::new(DAY_MS.unsigned_abs());
        for at in 0..lists {
            auditor.learn(list(at), NOW_MS);
        }
        auditor
    }

    fn list(at: usize) -> ListKey {
        format!("members/g{at}").parse().unwrap()
    }

    /// Lives from one time to another, looking every ten minutes, and ends every
    /// audit at its first step. How many there were.
    fn live(auditor: &mut Auditor, from_ms: i64, to_ms: i64) -> usize {
        let mut audits = 0;
        let mut now_ms = from_ms;
        while now_ms < to_ms {
            while let Some(list) = auditor.turn(now_ms) {
                auditor.ended(list, now_ms);
                audits += 1;
                now_ms += PAUSE_MS;
            }
            now_ms += LOOK_MS_MAX;
        }
        audits
    }

    #[test]
    fn each_list_has_its_turn_about_once_a_day_and_not_all_at_once() {
        let mut auditor = auditor(10);
        assert_eq!(live(&mut auditor, NOW_MS, NOW_MS + DAY_MS * 3 / 4), 0);
        let audits = live(&mut auditor, NOW_MS + DAY_MS * 3 / 4, NOW_MS + 30 * DAY_MS);
        assert!((250..=380).contains(&audits), "{audits}");
        let distinct: BTreeSet<i64> = auditor.due.iter().map(|(due_ms, _)| *due_ms).collect();
        assert_eq!(distinct.len(), 10);
    }

    #[test]
    fn a_step_follows_another_after_a_pause_only() {
        let mut auditor = auditor(1);
        let now_ms = NOW_MS + 2 * DAY_MS;
        assert!(auditor.turn(now_ms).is_some());
        auditor.went_on(now_ms);
        assert_eq!(auditor.turn(now_ms + PAUSE_MS - 1), None);
        assert_eq!(auditor.next_ms(), Some(now_ms + PAUSE_MS));
        assert!(auditor.turn(now_ms + PAUSE_MS).is_some());
        // A clock that jumped does not make it wait.
        auditor.went_on(now_ms + 10 * YEAR_MS);
        assert!(auditor.turn(now_ms).is_some());
    }

    #[test]
    fn a_clock_that_jumps_forward_for_years_costs_one_audit() {
        let mut auditor = auditor(3);
        let later_ms = NOW_MS + 10 * YEAR_MS;
        assert_eq!(live(&mut auditor, later_ms, later_ms + DAY_MS / 2), 3);
    }

    #[test]
    fn a_clock_that_jumps_back_for_years_delays_an_audit_by_a_day_at_most() {
        let mut auditor = auditor(3);
        let before_ms = NOW_MS - 10 * YEAR_MS;
        assert_eq!(live(&mut auditor, before_ms, before_ms + DAY_MS * 3 / 4), 0);
        let from_ms = before_ms + DAY_MS * 3 / 4;
        assert_eq!(live(&mut auditor, from_ms, before_ms + DAY_MS * 5 / 4), 3);
    }

    #[test]
    fn a_clock_that_jumps_to_and_fro_does_not_keep_the_device_busy() {
        let mut auditor = auditor(3);
        let mut audits = 0;
        for hour in 0..48 {
            let now_ms = NOW_MS + hour % 2 * 10 * YEAR_MS + hour * DAY_MS / 24;
            audits += live(&mut auditor, now_ms, now_ms + DAY_MS / 24);
        }
        assert!((3..=15).contains(&audits), "{audits}");
    }

    #[test]
    fn a_list_that_is_forgotten_has_no_turn() {
        let mut auditor = auditor(2);
        auditor.forget(&list(0));
        auditor.meet(&list(1));
        assert_eq!(auditor.next_to_learn(), None, "it is known");
        auditor.meet(&list(2));
        assert_eq!(auditor.next_ms(), Some(i64::MIN));
        assert_eq!(auditor.next_to_learn(), Some(list(2)));
        assert_eq!(auditor.turn(NOW_MS + 2 * DAY_MS), Some(list(1)));
    }
}
