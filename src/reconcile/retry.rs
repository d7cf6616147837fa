//! When a run that came to no end is taken up again, and when it is given up.

use std::time::Duration;

use uuid::Uuid;

/// How often a run is tried, and how long it waits between two tries while others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Takings-up of a run in all that may come to no end, crashes among them: then it has failed. Default 10.
    pub tries: i64,
    /// The first wait; each one after it is twice as long. Half of it is drawn at random. Default 1 s.
    pub base: Duration,
    /// The longest wait. Default 5 min.
    pub cap: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 10, base: Duration::from_secs(1), cap: Duration::from_secs(300) }
    }
}

impl Retry {
    /// The wait of a run that was tried so often before, in microseconds. It is drawn from the name of the process, which
    /// is random: two processes do not come back together.
    pub(super) fn wait(&self, tries: i64, holder: Uuid) -> i64 {
        let doublings = u32::try_from(tries.clamp(0, 62)).unwrap_or_default();
        let wait = self.base.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(self.cap);
        let wait = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        let (high, low) = holder.as_u64_pair();
        let drawn = (high ^ low).rotate_left(doublings.wrapping_mul(7)) % (wait / 2).saturating_add(1);
        i64::try_from(wait.saturating_sub(drawn)).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_to_its_cap_and_less_than_half_of_it_is_drawn() {
        let retry = Retry::default();
        for seed in [0, 1, u128::MAX, 0x1234_5678_9abc_def0_0fed_cba9_8765_4321] {
            for (tries, seconds) in [(0, 1), (1, 2), (4, 16), (8, 256), (9, 300), (40, 300), (i64::MAX, 300)]
            {
                let wait = retry.wait(tries, Uuid::from_u128(seed));
                let most = seconds * 1_000_000;
                assert!((most / 2..=most).contains(&wait), "{tries}: {wait}");
            }
        }
        let waits = |seed| (0..9).map(|tries| retry.wait(tries, Uuid::from_u128(seed))).collect::<Vec<_>>();
        assert_ne!(waits(7), waits(1 << 40), "two processes do not come back together");
    }
}
