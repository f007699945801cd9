//! When pages that follow each other share a commit.
//!
//! A page of a long list touches about as many pages of the database as it has
//! rows, and each commit writes them all. The first page is committed alone, so
//! that it can be shown at once; then two share a commit, then four, as long as
//! they come quickly.

use highwater_protocol::message::{Answer, DeltaEnd, SyncResponse};

/// How long a page may wait for its commit, in milliseconds.
const WAIT_MS: i64 = 100;

/// Rows that share a commit at first, and at most.
const ROWS_FIRST: usize = 1_000;
const ROWS_MAX: usize = 32_000;

/// Rows that wait for their commit.
#[derive(Debug, Default)]
pub(super) struct Batch {
    rows: usize,
    /// Rows that the next commit may be shared by; 0: the first.
    limit: usize,
    ends_at_ms: Option<i64>,
}

impl Batch {
    /// A response was applied.
    pub(super) fn add(&mut self, now_ms: i64, rows: usize) {
        self.rows = self.rows.saturating_add(rows);
        self.ends_at_ms
            .get_or_insert_with(|| now_ms.saturating_add(WAIT_MS));
    }

    /// Whether something waits for its commit.
    pub(super) const fn is_open(&self) -> bool {
        self.ends_at_ms.is_some()
    }

    /// Whether it has waited long enough.
    pub(super) fn is_over(&self, now_ms: i64) -> bool {
        // A clock that jumps back does not make it wait.
        self.ends_at_ms
            .is_some_and(|at| now_ms >= at || now_ms < at - WAIT_MS)
    }

    /// When it has waited long enough.
    pub(super) const fn ends_at_ms(&self) -> Option<i64> {
        self.ends_at_ms
    }

    /// Whether it has as many rows as may share a commit.
    pub(super) const fn is_full(&self) -> bool {
        self.rows >= self.limit
    }

    /// It was committed. One that was full lets the next be twice as long.
    pub(super) fn end(&mut self) {
        self.limit = match self.rows >= self.limit {
            true => (self.limit * 2).clamp(ROWS_FIRST * 2, ROWS_MAX),
            false => 0,
        };
        self.rows = 0;
        self.ends_at_ms = None;
    }
}

/// Whether all that a response says is a page that more follow.
pub(super) fn is_midway(response: &SyncResponse) -> bool {
    let goes_on = |answer: &Answer| match answer {
        Answer::Scan(page) => page.next.is_some(),
        Answer::Delta(delta) => matches!(delta.end, DeltaEnd::More(_)),
        _ => false,
    };
    let mut answers = response.answers.iter();
    !response.answers.is_empty() && answers.all(|answer| goes_on(&answer.answer))
}

/// Rows and deletions in a response.
pub(super) fn rows(response: &SyncResponse) -> usize {
    let of = |answer: &Answer| match answer {
        Answer::Scan(page) => page.rows.len(),
        Answer::Delta(delta) => delta.rows.len() + delta.deleted.len(),
        _ => 0,
    };
    response
        .answers
        .iter()
        .map(|answer| of(&answer.answer))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many pages of 1,000 each commit comes.
    fn commits(pages: usize) -> Vec<usize> {
        let mut batch = Batch::default();
        let mut commits = Vec::new();
        for page in 1..=pages {
            batch.add(0, 1_000);
            if batch.is_full() {
                batch.end();
                commits.push(page);
            }
        }
        commits
    }

    #[test]
    fn the_first_page_is_committed_alone_and_then_ever_more_together() {
        assert_eq!(commits(100), [1, 3, 7, 15, 31, 63, 95]);
    }

    #[test]
    fn a_page_that_nothing_follows_is_not_kept_waiting() {
        let mut batch = Batch::default();
        assert!(!batch.is_open() && !batch.is_over(0));
        batch.add(5_000, 1_000);
        batch.end();
        batch.add(5_000, 1_000);
        assert!(batch.is_open() && !batch.is_full() && !batch.is_over(5_099));
        assert!(batch.is_over(5_100) && batch.is_over(0));
        // It was not full: the next begins small again.
        batch.end();
        batch.add(6_000, 1);
        assert!(batch.is_full());
    }
}
