//! Why there is no key, and when to ask again.

use super::circuit::Gate;
use crate::ledger::Micros;
pub use crate::ledger::Why;

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub why: Why,
    /// When to ask again, in microseconds from now; at least [`SOONEST_MICROS`], at most [`LATEST_MICROS`].
    pub retry_after_micros: i64,
}

/// Nobody is sent back sooner: 0.1 s.
pub const SOONEST_MICROS: i64 = 100_000;
/// Nobody is sent away for longer: 60 s, the longest `max_wait`. Longer waits are for an operator to end.
pub const LATEST_MICROS: i64 = crate::ledger::key::RETRY_LATEST_MICROS;
/// For how long a job holds its slot where nothing is known: 5 s.
const UNKNOWN_JOB_MICROS: i64 = 5_000_000;

/// Gathers, account by account, what stands in the way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Obstacles {
    enabled: bool,
    allowed: bool,
    busy_slots: u64,
    earliest: Option<Micros>,
}

impl Obstacles {
    /// An account in rotation.
    pub(super) fn enabled(&mut self) {
        self.enabled = true;
    }

    /// One that may run the model, with what its gate lets through and its slots in use.
    pub(super) fn allowed(&mut self, gate: Gate, in_flight: u32) {
        self.allowed = true;
        match gate {
            Gate::Free | Gate::Due => {
                self.busy_slots = self.busy_slots.saturating_add(in_flight.max(1).into())
            }
            Gate::Shut(until) => {
                self.earliest = Some(self.earliest.map_or(until, |earliest| earliest.min(until)));
            }
            Gate::Probing => {}
        }
    }

    /// The refusal. A busy pool is asked again when the next of its jobs should end: a job's typical time over the
    /// slots in use (Little's law, turned around).
    pub(super) fn refusal(&self, now: Micros, typical_job_micros: Option<i64>) -> Refusal {
        let job = typical_job_micros.unwrap_or(UNKNOWN_JOB_MICROS);
        let (why, micros) = if !self.enabled {
            (Why::NoneEnabled, LATEST_MICROS)
        } else if !self.allowed {
            (Why::NoneAllowed, LATEST_MICROS)
        } else if self.busy_slots > 0 {
            let slots = i64::try_from(self.busy_slots).unwrap_or(i64::MAX);
            (Why::AllBusy, job.checked_div(slots).unwrap_or(job))
        } else {
            let until = self.earliest.map_or(job, |earliest| earliest.0.saturating_sub(now.0));
            (Why::CoolingDown, until)
        };
        Refusal { why, retry_after_micros: micros.clamp(SOONEST_MICROS, LATEST_MICROS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = Micros(1_000_000_000);

    #[test]
    fn each_obstacle_has_its_reason_and_its_time() {
        let mut pool = Obstacles::default();
        assert_eq!(
            pool.refusal(NOW, None),
            Refusal { why: Why::NoneEnabled, retry_after_micros: LATEST_MICROS }
        );
        pool.enabled();
        assert_eq!(
            pool.refusal(NOW, None),
            Refusal { why: Why::NoneAllowed, retry_after_micros: LATEST_MICROS }
        );
        pool.allowed(Gate::Shut(NOW.plus(9_000_000)), 3);
        pool.allowed(Gate::Shut(NOW.plus(4_000_000)), 0);
        assert_eq!(pool.refusal(NOW, None), Refusal { why: Why::CoolingDown, retry_after_micros: 4_000_000 });
        pool.allowed(Gate::Free, 8);
        let busy = pool.refusal(NOW, Some(16_000_000));
        assert_eq!(busy, Refusal { why: Why::AllBusy, retry_after_micros: 2_000_000 });
    }

    #[test]
    fn nobody_is_sent_back_at_once_or_away_for_long() {
        let mut pool = Obstacles::default();
        pool.enabled();
        pool.allowed(Gate::Shut(NOW.plus(3_600_000_000)), 0);
        assert_eq!(pool.refusal(NOW, None).retry_after_micros, LATEST_MICROS);
        pool.allowed(Gate::Free, u32::MAX);
        assert_eq!(pool.refusal(NOW, Some(1)).retry_after_micros, SOONEST_MICROS);
    }
}
