//! When a started client asks the server although nothing happened.

use super::random_u64;

/// A client that keeps itself up to date.
pub(super) struct Background {
    silence_ms: i64,
    next_ms: i64,
}

impl Background {
    /// The longest silence is `silence_ms`.
    pub(super) fn new(silence_ms: u64, now_ms: i64) -> Self {
        let silence_ms = i64::try_from(silence_ms).unwrap_or(i64::MAX).max(1);
        let mut background = Self {
            silence_ms,
            next_ms: 0,
        };
        background.begin_silence(now_ms);
        background
    }

    /// When to ask, unless the server answers something before.
    pub(super) const fn next_ms(&self) -> i64 {
        self.next_ms
    }

    /// Whether it was silent for too long. A time that is further away than it
    /// can be is a clock that jumped.
    pub(super) const fn is_due(&self, now_ms: i64) -> bool {
        let left_ms = self.next_ms.saturating_sub(now_ms);
        left_ms <= 0 || left_ms > self.silence_ms
    }

    /// The silence begins anew. It differs by up to a tenth from device to
    /// device, so that those which began together do not stay together.
    pub(super) fn begin_silence(&mut self, now_ms: i64) {
        let tenth = (self.silence_ms / 10).unsigned_abs().max(1);
        let early_ms = i64::try_from(random_u64() % tenth).unwrap_or_default();
        self.next_ms = now_ms.saturating_add(self.silence_ms - early_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_ends_within_its_last_tenth_and_when_the_clock_jumps() {
        let background = Background::new(1_000, 50_000);
        assert!(!background.is_due(50_900));
        assert!(background.is_due(51_000));
        assert!(background.is_due(40_000), "far away");
        assert!((50_901..=51_000).contains(&background.next_ms()));
    }
}
