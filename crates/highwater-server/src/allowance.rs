//! How much of something each user may have in a minute.

use crate::domain::UserId;
use std::collections::HashMap;

const MINUTE_MS: i64 = 60_000;

/// What each user had in this minute, by the clock.
#[derive(Debug)]
pub(crate) struct Allowance {
    per_minute: u64,
    minute: i64,
    by_user: HashMap<UserId, u64>,
}

impl Allowance {
    /// So much a minute for each user.
    pub(crate) fn new(per_minute: u64) -> Self {
        Self {
            per_minute,
            minute: 0,
            by_user: HashMap::new(),
        }
    }

    /// Takes `amount` for a user, if that much is left of this minute's.
    ///
    /// # Errors
    /// Nothing was taken; milliseconds until the next minute.
    pub(crate) fn take(&mut self, user: &UserId, amount: u64, now_ms: i64) -> Result<(), u64> {
        let had = self.had(user, now_ms);
        let sum = had.saturating_add(amount);
        if sum > self.per_minute {
            return Err((MINUTE_MS - now_ms.rem_euclid(MINUTE_MS)).unsigned_abs());
        }
        self.by_user.insert(user.clone(), sum);
        Ok(())
    }

    /// The same, but whoever had nothing yet gets it, however much it is.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(crate) fn take_first(
        &mut self,
        user: &UserId,
        amount: u64,
        now_ms: i64,
    ) -> Result<(), u64> {
        let amount = match self.had(user, now_ms) {
            0 => amount.min(self.per_minute),
            _ => amount,
        };
        self.take(user, amount, now_ms)
    }

    fn had(&mut self, user: &UserId, now_ms: i64) -> u64 {
        let minute = now_ms.div_euclid(MINUTE_MS);
        if self.minute != minute {
            self.minute = minute;
            self.by_user.clear();
        }
        self.by_user.get(user).copied().unwrap_or_default()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_so_much_a_minute() {
        let (mut allowance, now_ms) = (Allowance::new(10), 60_045_000);
        let (u1, u2) = (UserId::new("u1").unwrap(), UserId::new("u2").unwrap());
        assert_eq!(allowance.take(&u1, 11, now_ms), Err(15_000));
        assert_eq!(allowance.take(&u1, 10, now_ms), Ok(()));
        assert_eq!(allowance.take(&u1, 1, now_ms), Err(15_000));
        assert_eq!(allowance.take(&u2, 1, now_ms), Ok(()), "each has its own");
        assert_eq!(allowance.take(&u1, 1, now_ms + 15_000), Ok(()));
    }

    #[test]
    fn the_first_is_granted_whatever_its_size() {
        let (mut allowance, now_ms) = (Allowance::new(10), 60_000_000);
        let user = UserId::new("u1").unwrap();
        assert_eq!(allowance.take_first(&user, 1_000, now_ms), Ok(()));
        assert_eq!(allowance.take_first(&user, 1, now_ms), Err(60_000));
    }
}
