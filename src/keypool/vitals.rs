//! What the reports of a workspace said lately: how often it failed, how long its jobs took.
//!
//! Both figures are exponentially weighted means that move by an eighth with each report (the gain of TCP's
//! round-trip estimate, RFC 6298). Their weight in the choice halves with time, so that an account which is avoided,
//! and therefore not heard from, is tried again.

use super::circuit::Cause;
use super::settings::Settings;
use crate::ledger::Micros;

/// The gain of both means, as a divisor.
const GAIN: i64 = 8;

/// What a workspace's reports said lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Vitals {
    /// Recent share of failures, in permille, as of `report_time`.
    pub error_permille: u32,
    /// Mean time of jobs that succeeded, in microseconds; `None` before the first.
    pub latency_micros: Option<i64>,
    /// The newest report that counted.
    pub report_time: Micros,
    /// Upstream errors since the last success.
    pub streak: u32,
    /// When that run began.
    pub streak_start: Micros,
    /// What the newest failure was, and when.
    pub last_failure: Option<(Cause, Micros)>,
    /// When the newest success was reported.
    pub last_success: Option<Micros>,
}

impl Vitals {
    /// Counts a success. Only a success says how fast an account is: failing fast is not being fast.
    pub fn succeed(&mut self, now: Micros, latency_micros: Option<i64>, settings: &Settings) {
        self.count(0, now, settings);
        self.streak = 0;
        self.last_success = Some(now);
        if let Some(heard) = latency_micros.filter(|latency| *latency > 0) {
            self.latency_micros = Some(match self.latency_micros {
                None => heard,
                Some(mean) => mean.saturating_add(heard.saturating_sub(mean) / GAIN),
            });
        }
    }

    /// Counts a failure that is the account's.
    pub fn fail(&mut self, cause: Cause, now: Micros, settings: &Settings) {
        self.count(1_000, now, settings);
        self.last_failure = Some((cause, now));
        if cause == Cause::UpstreamError {
            if self.streak == 0 {
                self.streak_start = now;
            }
            self.streak = self.streak.saturating_add(1);
        }
    }

    /// The share of failures, in permille, as much as it still weighs.
    pub fn errors_now(&self, now: Micros, settings: &Settings) -> u32 {
        let age = now.0.saturating_sub(self.report_time.0);
        let weight = faded(i64::from(self.error_permille), age, settings.error_half_life_micros);
        u32::try_from(weight).unwrap_or(0)
    }

    /// How many times slower than `typical` its jobs are, in permille, as much as that still weighs: 1,000 for an
    /// account as fast as most, or faster, or unheard of.
    pub fn slowness_now(&self, typical_micros: Option<i64>, now: Micros, settings: &Settings) -> i64 {
        let (Some(own), Some(typical)) = (self.latency_micros, typical_micros) else { return 1_000 };
        let ratio = own.saturating_mul(1_000).checked_div(typical).unwrap_or(1_000);
        let age = now.0.saturating_sub(self.report_time.0);
        let excess = ratio.saturating_sub(1_000).clamp(0, 1_000_000);
        faded(excess, age, settings.latency_half_life_micros).saturating_add(1_000)
    }

    fn count(&mut self, permille: i64, now: Micros, settings: &Settings) {
        let before = i64::from(self.errors_now(now, settings));
        let after = before.saturating_add(permille.saturating_sub(before) / GAIN);
        self.error_permille = u32::try_from(after).unwrap_or(0);
        self.report_time = self.report_time.max(now);
    }
}

/// `value` halved once each half-life, linearly between.
fn faded(value: i64, age_micros: i64, half_life_micros: i64) -> i64 {
    let (age, half_life) = (age_micros.max(0), half_life_micros.max(1));
    let halvings = age.checked_div(half_life).unwrap_or(0);
    if halvings >= 62 {
        return 0;
    }
    let whole = value >> halvings;
    let part = age.checked_rem(half_life).unwrap_or(0);
    let lost = whole.saturating_mul(part).checked_div(half_life.saturating_mul(2)).unwrap_or(0);
    whole.saturating_sub(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn settings() -> Settings {
        Settings::default()
    }

    #[test]
    fn a_weight_halves_with_each_half_life_and_falls_evenly_between() {
        assert_eq!(faded(800, 0, 10), 800);
        assert_eq!(faded(800, 5, 10), 600);
        assert_eq!(faded(800, 10, 10), 400);
        assert_eq!(faded(800, 25, 10), 150);
        assert_eq!(faded(800, i64::MAX, 10), 0);
        assert_eq!(faded(800, -5, 10), 800);
    }

    #[test]
    fn failures_raise_the_error_rate_successes_and_time_lower_it() {
        let mut vitals = Vitals::default();
        for second in 1..=5 {
            vitals.fail(Cause::UpstreamError, Micros(second * S), &settings());
        }
        let high = vitals.errors_now(Micros(5 * S), &settings());
        assert!((400..=500).contains(&high), "{high}");
        assert!(vitals.errors_now(Micros(35 * S), &settings()) <= high / 2 + 1);
        vitals.succeed(Micros(5 * S), Some(S), &settings());
        assert!(vitals.errors_now(Micros(5 * S), &settings()) < high);
        assert_eq!(vitals.streak, 0);
    }

    #[test]
    fn a_failure_never_makes_an_account_look_fast() {
        let mut vitals = Vitals::default();
        vitals.succeed(Micros(S), Some(10 * S), &settings());
        for second in 2..20 {
            vitals.fail(Cause::UpstreamError, Micros(second * S), &settings());
        }
        assert_eq!(vitals.latency_micros, Some(10 * S));
    }

    #[test]
    fn slowness_is_relative_to_the_others_and_fades_unheard() {
        let mut vitals = Vitals::default();
        assert_eq!(vitals.slowness_now(Some(S), Micros(0), &settings()), 1_000);
        vitals.succeed(Micros(S), Some(10 * S), &settings());
        assert_eq!(vitals.slowness_now(Some(S), Micros(S), &settings()), 10_000);
        assert_eq!(vitals.slowness_now(Some(20 * S), Micros(S), &settings()), 1_000);
        assert_eq!(vitals.slowness_now(None, Micros(S), &settings()), 1_000);
        assert!(vitals.slowness_now(Some(S), Micros(121 * S), &settings()) <= 5_500);
    }

    #[test]
    fn both_means_move_by_an_eighth_and_a_job_of_no_time_says_nothing_of_it() {
        let mut vitals = Vitals::default();
        vitals.succeed(Micros(S), Some(0), &settings());
        assert_eq!(vitals.latency_micros, None);
        vitals.succeed(Micros(S), Some(800), &settings());
        vitals.succeed(Micros(S), Some(1_600), &settings());
        assert_eq!(vitals.latency_micros, Some(900));
        vitals.succeed(Micros(S), Some(100), &settings());
        assert_eq!(vitals.latency_micros, Some(800));
        vitals.fail(Cause::RateLimited, Micros(S), &settings());
        assert_eq!(vitals.error_permille, 125);
        vitals.fail(Cause::RateLimited, Micros(S), &settings());
        assert_eq!(vitals.error_permille, 234);
    }
}
