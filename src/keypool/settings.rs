//! The figures that the pool's decisions rest on, each with its unit, its range and where it comes from.

use super::circuit::Cause;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// How long an account stays out: `base` doubled with each strike, never beyond `cap`, half of it random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first delay, in microseconds; ≥ 1.
    pub base_micros: i64,
    /// The longest delay, in microseconds; ≥ `base_micros`.
    pub cap_micros: i64,
}

impl Backoff {
    /// The delay after the `strikes`-th trip in a row, in microseconds: between half of `min(cap, base × 2^(strikes−1))`
    /// and all of it.
    ///
    /// This is the "equal jitter" of *Exponential Backoff And Jitter* (M. Brooker, AWS Architecture Blog, 2015):
    /// accounts that fell together do not come back together, and none comes back at once.
    pub fn delay_micros(&self, strikes: u32, random: u64) -> i64 {
        let doublings = strikes.saturating_sub(1).min(40);
        let full = self.base_micros.saturating_mul(1_i64 << doublings).min(self.cap_micros).max(2);
        let half = full / 2;
        let jitter = random.checked_rem(half.unsigned_abs()).unwrap_or(0);
        half.saturating_add(i64::try_from(jitter).unwrap_or(0))
    }
}

/// How the pool judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// After HTTP 429. fal's own bursts last seconds, so the way back is short.
    pub rate_limited: Backoff,
    /// After a run of upstream errors.
    pub upstream_error: Backoff,
    /// After a lock. A top-up is seen no later than the cap and one probe after it.
    pub account_locked: Backoff,
    /// After a refused key. A revoked key never comes back by itself, so the cap is long; rotating the key ends it.
    pub auth_failed: Backoff,
    /// The longest `retry_after` that is believed, in microseconds.
    pub max_retry_after_micros: i64,
    /// How long an account takes from its probe back to all its slots, in microseconds; 0 returns it at once. The
    /// slots grow linearly, as in Envoy's slow start with aggression 1.
    pub ramp_micros: i64,
    /// Upstream errors in a row, without a success between them, that may take an account out; ≥ 1. Envoy's outlier
    /// detection takes 5 (`consecutive_5xx`); one more keeps hard inputs from ever looking like a bad account.
    pub streak: u32,
    /// How long that run must have lasted at least, in microseconds: longer than a cached view's age, so that an
    /// outage of the whole upstream is known as one before the first account is blamed for it.
    pub streak_micros: i64,
    /// How far back peers' failures count as "at once", in microseconds.
    pub correlation_micros: i64,
    /// Half-life of an account's recent error rate, in microseconds: an account that is avoided for its errors is
    /// tried again.
    pub error_half_life_micros: i64,
    /// Half-life of the weight of a slow account's latency, in microseconds.
    pub latency_half_life_micros: i64,
    /// How long a lease lasts if the caller does not say, in microseconds.
    pub default_ttl_micros: i64,
    /// How long a lease may last, in microseconds.
    pub max_ttl_micros: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rate_limited: Backoff { base_micros: 2 * SECOND, cap_micros: MINUTE },
            upstream_error: Backoff { base_micros: 5 * SECOND, cap_micros: 2 * MINUTE },
            account_locked: Backoff { base_micros: 15 * SECOND, cap_micros: 5 * MINUTE },
            auth_failed: Backoff { base_micros: 30 * SECOND, cap_micros: HOUR },
            max_retry_after_micros: HOUR,
            ramp_micros: 30 * SECOND,
            streak: 6,
            streak_micros: 3 * SECOND,
            correlation_micros: MINUTE,
            error_half_life_micros: 30 * SECOND,
            latency_half_life_micros: 2 * MINUTE,
            default_ttl_micros: 15 * MINUTE,
            max_ttl_micros: 24 * HOUR,
        }
    }
}

impl Settings {
    /// The backoff of a cause.
    pub const fn backoff(&self, cause: Cause) -> Backoff {
        match cause {
            Cause::RateLimited => self.rate_limited,
            Cause::UpstreamError => self.upstream_error,
            Cause::AccountLocked => self.account_locked,
            Cause::AuthFailed => self.auth_failed,
        }
    }

    /// A lease's time to live, in microseconds, held between 1 and the longest; the default where none was given.
    pub fn ttl_micros(&self, asked: Option<i64>) -> i64 {
        asked.unwrap_or(self.default_ttl_micros).clamp(1, self.max_ttl_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_doubles_with_each_strike_up_to_the_cap_and_half_of_it_is_random() {
        let backoff = Backoff { base_micros: 1_000, cap_micros: 6_000 };
        for (strikes, full) in [(0, 1_000), (1, 1_000), (2, 2_000), (3, 4_000), (4, 6_000), (u32::MAX, 6_000)]
        {
            for random in [0, 1, 12_345, u64::MAX] {
                let delay = backoff.delay_micros(strikes, random);
                assert!((full / 2..=full).contains(&delay), "strike {strikes}: {delay} of {full}");
            }
        }
        assert_ne!(backoff.delay_micros(3, 1), backoff.delay_micros(3, 2));
    }

    #[test]
    fn no_figure_overflows_a_delay() {
        let backoff = Backoff { base_micros: i64::MAX, cap_micros: i64::MAX };
        assert!(backoff.delay_micros(40, u64::MAX) > 0);
        let nothing = Backoff { base_micros: 0, cap_micros: 0 };
        assert!(nothing.delay_micros(1, 7) > 0);
    }

    #[test]
    fn a_ttl_is_held_within_its_range() {
        let settings = Settings::default();
        assert_eq!(settings.ttl_micros(None), 15 * MINUTE);
        assert_eq!(settings.ttl_micros(Some(0)), 1);
        assert_eq!(settings.ttl_micros(Some(i64::MAX)), 24 * HOUR);
    }

    #[test]
    fn a_lease_lasts_a_quarter_of_an_hour_by_default_and_a_day_at_most() {
        let settings = Settings::default();
        assert_eq!(settings.default_ttl_micros, 900_000_000);
        assert_eq!(settings.max_ttl_micros, 86_400_000_000);
    }
}
