//! What one audit is about: the period, how far the evidence reaches, the moment of judgement.

use std::collections::BTreeSet;
use std::fmt;

use super::{Calendar, Day, Micros, Rates, Task, Thresholds, UserId};

/// What one audit is about. Frozen with the run, so that a run that is resumed judges as it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// From when, inclusive: a task belongs to the period by the moment it was created, an event by its own time.
    pub start: Micros,
    /// Until when, exclusive.
    pub end: Micros,
    /// From when on the events handed in are all there are; at or before `start`.
    pub events_start: Micros,
    /// Until when they are, exclusive; `end` and the billing lag, or later.
    pub events_end: Micros,
    /// When the evidence was gathered: what is younger than the lag at this moment is pending.
    pub now: Micros,
    /// Whose findings and rows to show; `None`: everybody's. Tasks of all users are handed in all the same, since
    /// fal's bill is not by user.
    pub users: Option<BTreeSet<UserId>>,
    /// Whether A5 and A6 judge those days alone that end in the period: of periods that follow each other, one judges
    /// each day.
    pub ended_days: bool,
    /// Which moments are of which day.
    pub calendar: Calendar,
    /// What points are worth.
    pub rates: Rates,
}

impl Scope {
    /// The audit of a period with events fetched from its start to its end and the lag, of all users, in UTC days.
    pub fn of(start: Micros, end: Micros, now: Micros, thresholds: &Thresholds) -> Self {
        Self {
            start,
            end,
            events_start: start,
            events_end: end.plus(thresholds.billing_lag_micros),
            now,
            users: None,
            ended_days: false,
            calendar: Calendar::UTC,
            rates: Rates::default(),
        }
    }

    pub(super) fn check(&self) -> Result<(), ScopeError> {
        if self.start >= self.end {
            Err(ScopeError::Empty)
        } else if self.events_start > self.start || self.events_end < self.end {
            Err(ScopeError::EvidenceTooShort)
        } else {
            Ok(())
        }
    }

    /// Whether a moment is in the period.
    pub(super) fn holds(&self, time: Micros) -> bool {
        self.start <= time && time < self.end
    }

    /// The first and the last day that have a moment of the period.
    pub(super) fn days(&self) -> (Day, Day) {
        (self.calendar.day_of(self.start), self.calendar.day_of(self.end.plus(-1)))
    }

    /// Whether a day has a moment of the period.
    pub(super) fn has_day(&self, day: Day) -> bool {
        let (first, last) = self.days();
        first <= day && day <= last
    }

    /// Whether a day of the period is judged.
    pub(super) fn judges_day(&self, day: Day) -> bool {
        !self.ended_days || day < self.calendar.day_of(self.end)
    }

    /// Whether all events of a task can be in the evidence: none is older than the task. A task from before the
    /// period may be, where the events reach back to it.
    pub(super) fn reaches(&self, task: &Task) -> bool {
        self.events_start <= task.create_time && task.create_time < self.end
    }

    /// Whether the lag has passed since a moment, as far as the evidence reaches: what has no event now, has none.
    pub(super) fn is_billable_by_now(&self, time: Micros, lag_micros: i64) -> bool {
        self.events_until().since(time) >= lag_micros
    }

    /// Until when the events of a task are known: what is billed later is not in the evidence.
    pub(super) fn events_until(&self) -> Micros {
        self.now.min(self.events_end)
    }

    /// Whether a user's findings and rows are shown.
    pub(super) fn shows(&self, user_id: UserId) -> bool {
        self.users.as_ref().is_none_or(|users| users.contains(&user_id))
    }
}

/// Why a scope is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeError {
    /// The period ends before it begins, or as it does.
    Empty,
    /// The events do not cover the period.
    EvidenceTooShort,
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ScopeError::Empty => "the period must end after it starts",
            ScopeError::EvidenceTooShort => "the events must cover the period",
        })
    }
}

impl std::error::Error for ScopeError {}

#[cfg(test)]
mod tests {
    use super::super::rules::sample;
    use super::*;

    #[test]
    fn a_period_holds_its_start_and_not_its_end() {
        let scope = Scope::of(Micros(10), Micros(20), Micros(99), &Thresholds::default());
        assert!(scope.holds(Micros(10)) && scope.holds(Micros(19)));
        assert!(!scope.holds(Micros(9)) && !scope.holds(Micros(20)));
    }

    #[test]
    fn the_lag_is_counted_to_the_end_of_the_evidence_or_to_now_if_that_is_sooner() {
        let mut scope = sample::scope();
        let lag = 100;
        scope.events_end = Micros(1_000);
        scope.now = Micros(5_000);
        assert!(scope.is_billable_by_now(Micros(900), lag) && !scope.is_billable_by_now(Micros(901), lag));
        scope.now = Micros(500);
        assert!(scope.is_billable_by_now(Micros(400), lag) && !scope.is_billable_by_now(Micros(401), lag));
    }

    #[test]
    fn an_empty_period_and_evidence_that_does_not_cover_it_are_refused() {
        let scope = Scope::of(Micros(10), Micros(20), Micros(99), &Thresholds::default());
        assert_eq!(scope.check(), Ok(()));
        assert_eq!(Scope { end: Micros(10), ..scope.clone() }.check(), Err(ScopeError::Empty));
        let short = Err(ScopeError::EvidenceTooShort);
        assert_eq!(Scope { events_start: Micros(11), ..scope.clone() }.check(), short);
        assert_eq!(Scope { events_end: Micros(19), ..scope }.check(), short);
    }
}
