//! The rules on one task and what was billed for it: A7, B1, B2, B3, B5, B6.

use super::super::thresholds::exceeds;
use super::super::{Evidence, Finding, Micros, Rates, Rule, Task, TaskStatus, Text, Thresholds};

/// A task of the period, with what the evidence says of it.
#[derive(Clone, Copy, Debug)]
pub struct TaskFacts<'a> {
    /// Its row. Its own billed cost is not looked at.
    pub task: &'a Task,
    /// What its events sum up to, in nano-USD; `None` without an event.
    pub billed_nano_usd: Option<i128>,
    /// How many events.
    pub events: u64,
    /// The time of the newest.
    pub billed_time: Option<Micros>,
    /// The requests they bill, in order.
    pub requests: &'a [Text],
    /// Whether every workspace that may have billed it was fetched to the end.
    pub proves_absence: bool,
    /// Whether the billing lag has passed since it ended, or since it was created if it has not.
    pub is_due: bool,
    /// When the evidence was gathered.
    pub now: Micros,
    /// Until when its events are known: `now`, or the end of the evidence if that is sooner.
    pub events_until: Micros,
}

impl TaskFacts<'_> {
    /// Its cost in nano-USD: the billed one, else the reported one.
    pub fn cost_nano_usd(&self) -> Option<i128> {
        self.billed_nano_usd.or(self.task.reported_cost_nano_usd.map(i128::from))
    }

    /// What was billed, if anything was.
    fn bill(&self) -> Option<i128> {
        self.billed_nano_usd.filter(|billed| *billed > 0)
    }

    fn finding(&self, rule: Rule, evidence: Evidence) -> Finding {
        let online_task_id = self.requests.last().or(self.task.online_id()).cloned();
        Finding {
            user_id: Some(self.task.user_id),
            task_id: Some(Text::clone(&self.task.task_id)),
            online_task_id,
            app_name: Some(Text::clone(&self.task.app_name)),
            ..Finding::new(rule, evidence)
        }
    }
}

/// A7: a task with money = 0 whose cost is above zero. An open hold is no free task: it still awaits its capture.
pub fn a7(facts: &TaskFacts<'_>) -> Option<Finding> {
    let cost = facts.cost_nano_usd().filter(|cost| *cost > 0)?;
    if facts.task.money != 0 || facts.task.held > 0 {
        return None;
    }
    let source = if facts.billed_nano_usd.is_some() { "billed" } else { "reported" };
    let evidence = Evidence::new([
        ("cost_nano_usd", cost.into()),
        ("cost_source", source.into()),
        ("status", facts.task.status.as_str().into()),
    ]);
    Some(facts.finding(Rule::A7, evidence))
}

/// B1: the reported cost is not the billed one: more apart than the share *and* the amount that are excused. Judged
/// once the lag has passed and every event is there, since a request may have several.
pub fn b1(facts: &TaskFacts<'_>, thresholds: &Thresholds) -> Option<Finding> {
    let billed = facts.billed_nano_usd.filter(|_| facts.is_due && facts.proves_absence)?;
    let reported = i128::from(facts.task.reported_cost_nano_usd?);
    let difference = reported.saturating_sub(billed);
    let apart = difference.saturating_abs();
    if apart <= thresholds.report_tolerance_nano_usd.into()
        || !exceeds(apart, billed.saturating_abs(), thresholds.report_tolerance_bp)
    {
        return None;
    }
    let evidence = Evidence::new([
        ("reported_nano_usd", reported.into()),
        ("billed_nano_usd", billed.into()),
        ("difference_nano_usd", difference.into()),
        ("events", facts.events.into()),
        ("request_ids", facts.requests.to_vec().into()),
        ("threshold_bp", thresholds.report_tolerance_bp.into()),
        ("threshold_nano_usd", thresholds.report_tolerance_nano_usd.into()),
    ]);
    Some(facts.finding(Rule::B1, evidence))
}

/// B2: fully refunded to the user, yet billed by fal.
pub fn b2(facts: &TaskFacts<'_>) -> Option<Finding> {
    let billed = facts.bill()?;
    let task = facts.task;
    if task.money <= 0 || task.refunded < task.money {
        return None;
    }
    let evidence = Evidence::new([
        ("charged_points", task.money.into()),
        ("refunded_points", task.refunded.into()),
        ("billed_nano_usd", billed.into()),
        ("status", task.status.as_str().into()),
        ("request_ids", facts.requests.to_vec().into()),
    ]);
    Some(facts.finding(Rule::B2, evidence))
}

/// B3: billed by fal, yet here pending, processing or canceled, and the newest event is as old as the lag or older.
pub fn b3(facts: &TaskFacts<'_>, thresholds: &Thresholds) -> Option<Finding> {
    let billed = facts.bill()?;
    let billed_time = facts.billed_time?;
    let status = facts.task.status;
    let settled = !status.is_open() && status != TaskStatus::Canceled;
    if settled || facts.now.since(billed_time) < thresholds.billing_lag_micros {
        return None;
    }
    let evidence = Evidence::new([
        ("billed_nano_usd", billed.into()),
        ("billed_time", billed_time.into()),
        ("status", status.as_str().into()),
        ("net_points", facts.task.net().into()),
        ("held_points", facts.task.held.into()),
        ("request_ids", facts.requests.to_vec().into()),
        ("threshold_micros", thresholds.billing_lag_micros.into()),
    ]);
    Some(facts.finding(Rule::B3, evidence))
}

/// B5: price below cost: the net points, valued at `fen_per_usd`, are less than the cost. A task with nothing left of
/// its charge is a matter of A7 and B2, not of its price.
pub fn b5(facts: &TaskFacts<'_>, rates: &Rates) -> Option<Finding> {
    let cost = facts.cost_nano_usd()?;
    let net = i128::from(facts.task.net());
    if net <= 0 || !rates.fen_per_usd.is_below(net, cost) {
        return None;
    }
    let (numerator, denominator) = rates.fen_per_usd.parts();
    let source = if facts.billed_nano_usd.is_some() { "billed" } else { "reported" };
    let evidence = Evidence::new([
        ("net_points", net.into()),
        ("value_nano_usd", rates.fen_per_usd.nano_usd(net).into()),
        ("cost_nano_usd", cost.into()),
        ("cost_source", source.into()),
        ("fen_per_usd_numerator", numerator.into()),
        ("fen_per_usd_denominator", denominator.into()),
    ]);
    Some(facts.finding(Rule::B5, evidence))
}

/// B6: pending or processing with money charged (and not given back), no live lease, and older than `stuck_after`, all
/// of that time without a billing event.
pub fn b6(facts: &TaskFacts<'_>, thresholds: &Thresholds) -> Option<Finding> {
    let task = facts.task;
    let age = facts.now.since(task.create_time);
    // What never had a request or a key at fal cannot have been billed, whatever was fetched.
    let nowhere = task.online_id().is_none() && task.key_ids().next().is_none();
    let unbilled_for = if nowhere { age } else { facts.events_until.since(task.create_time) };
    let stuck = task.status.is_open()
        && task.net() > 0
        && !task.live_lease
        && facts.events == 0
        && (facts.proves_absence || nowhere)
        && unbilled_for > thresholds.stuck_after_micros;
    if !stuck {
        return None;
    }
    let evidence = Evidence::new([
        ("net_points", task.net().into()),
        ("status", task.status.as_str().into()),
        ("created_time", task.create_time.into()),
        ("age_micros", age.into()),
        ("threshold_micros", thresholds.stuck_after_micros.into()),
    ]);
    Some(facts.finding(Rule::B6, evidence))
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
