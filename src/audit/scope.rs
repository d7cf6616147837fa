//! What one audit is about: the period, how far the evidence reaches, the moment of judgement.

use std::collections::BTreeSet;

use super::{Calendar, Micros, Rates, Thresholds, UserId};

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
            calendar: Calendar::UTC,
            rates: Rates::default(),
        }
    }
}
