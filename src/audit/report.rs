//! The report of an audit as data: three layers, what is made of them for charts, totals, and how many findings.
//!
//! It is stored as JSON and read back as it was. Every figure is exact; points become money only when printed, by [`super::Rate::nano_usd`] of a sum. Rows are sorted
//! by the ids they begin with.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Day, Finding, Micros, Rates, Rule, Severity, Text, UserId};

/// What an audit found, without the findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The period's start, inclusive.
    pub start: Micros,
    /// The period's end, exclusive.
    pub end: Micros,
    /// When the evidence was gathered.
    pub now: Micros,
    /// The first day that has a moment of the period, by the audit's calendar,
    pub first_day: Day,
    /// and the last. Between them [`Report::days`] leaves out days on which nothing happened.
    pub last_day: Day,
    /// What points are worth.
    pub rates: Rates,
    /// Layer 1: what fal says, a row for each workspace the audit is about.
    pub workspaces: Vec<WorkspaceRow>,
    /// Layer 2: what the tasks say, a row for each account, user and model.
    pub tasks: Vec<TaskRow>,
    /// Layer 3: what the users paid, a row for each user. It is of whole users: of all their tasks of the period, even
    /// where the audit is about some accounts.
    pub users: Vec<UserRow>,
    /// Layers 1 to 3 by day.
    pub days: Vec<DayRow>,
    /// Layers 1 and 2 by model.
    pub models: Vec<ModelRow>,
    /// Everything summed.
    pub totals: Totals,
    /// How many findings.
    pub findings: Counts,
}

/// Tasks of the period, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSums {
    /// How many.
    pub tasks: u64,
    /// What they were charged, in points.
    pub charged_points: i128,
    /// What of it went back, in points.
    pub refunded_points: i128,
    /// What they cost, in nano-USD: the billed cost of each, else the reported one.
    pub cost_nano_usd: i128,
    /// What was billed for them, in nano-USD, as far as the evidence reaches.
    pub billed_nano_usd: i128,
    /// What their runners reported, in nano-USD.
    pub reported_nano_usd: i128,
    /// How many have neither a billed nor a reported cost.
    pub without_cost: u64,
}

impl TaskSums {
    /// What is left of the charges, in points: the revenue.
    pub const fn net_points(&self) -> i128 {
        self.charged_points.saturating_sub(self.refunded_points)
    }

    /// Revenue at the operator's rate less cost, in nano-USD.
    pub fn margin_nano_usd(&self, rates: &Rates) -> i128 {
        rates.fen_per_usd.nano_usd(self.net_points()).saturating_sub(self.cost_nano_usd)
    }

    pub(super) fn add(&mut self, other: &TaskSums) {
        self.tasks = self.tasks.saturating_add(other.tasks);
        self.charged_points = self.charged_points.saturating_add(other.charged_points);
        self.refunded_points = self.refunded_points.saturating_add(other.refunded_points);
        self.cost_nano_usd = self.cost_nano_usd.saturating_add(other.cost_nano_usd);
        self.billed_nano_usd = self.billed_nano_usd.saturating_add(other.billed_nano_usd);
        self.reported_nano_usd = self.reported_nano_usd.saturating_add(other.reported_nano_usd);
        self.without_cost = self.without_cost.saturating_add(other.without_cost);
    }
}

/// Events of the period, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSums {
    /// How many.
    pub events: u64,
    /// What they cost, in nano-USD.
    pub cost_nano_usd: i128,
}

impl EventSums {
    pub(super) fn add(&mut self, events: u64, cost_nano_usd: i128) {
        self.events = self.events.saturating_add(events);
        self.cost_nano_usd = self.cost_nano_usd.saturating_add(cost_nano_usd);
    }
}

/// Layer 1: a workspace of fal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceRow {
    /// Its name; `account 7` where only an account is known.
    #[serde(serialize_with = "text", deserialize_with = "read_text")]
    pub workspace: Text,
    /// Its accounts.
    pub accounts: Vec<AccountRow>,
    /// Whether all its events were fetched. Where not, what is missing proves nothing and no cost is applied.
    pub complete: bool,
    /// Its newest known balance, in nano-USD.
    pub balance_nano_usd: Option<i64>,
    /// The official cost of the period, in nano-USD: fal's usage total where it is of the same period, else the events.
    pub official_cost_nano_usd: i128,
    /// fal's usage total, in nano-USD, of whatever window it was fetched for.
    pub usage_nano_usd: Option<i128>,
    /// Its events of the period.
    pub events: EventSums,
    /// Requests of the period that no task has.
    pub stray: StraySums,
    /// What A1 held against each other, in nano-USD: what was billed for the period's tasks and for strays,
    pub billed_nano_usd: i128,
    /// and what the tasks record.
    pub recorded_nano_usd: i128,
    /// By model.
    pub models: Vec<WorkspaceModelRow>,
}

/// An account of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// The account.
    pub account_id: i64,
    /// Its name.
    #[serde(serialize_with = "text", deserialize_with = "read_text")]
    pub name: Text,
}

/// Requests that no task has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StraySums {
    /// How many.
    pub requests: u64,
    /// What was billed for them, in nano-USD.
    pub cost_nano_usd: i128,
}

/// A model in a workspace, as fal tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceModelRow {
    /// The model.
    #[serde(serialize_with = "text", deserialize_with = "read_text")]
    pub model: Text,
    /// Its billed units: of the usage where that is of the same period, else of the events; their unit has no name, unless
    /// the usage has one alone.
    pub units: Vec<UnitRow>,
    /// Its cost in fal's usage, in nano-USD.
    pub usage_nano_usd: Option<i128>,
    /// Its events of the period.
    pub events: EventSums,
}

/// A number of billed units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRow {
    /// The unit in fal's words; empty where it is not known.
    #[serde(serialize_with = "text", deserialize_with = "read_text")]
    pub unit: Text,
    /// How many, in 10⁻⁹ units.
    pub units_nano: i128,
}

/// Layer 2: the tasks of a user with a model on an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRow {
    /// The account of the newest key; `None` where it is not known.
    pub account_id: Option<i64>,
    /// The user.
    pub user_id: UserId,
    /// The model.
    #[serde(serialize_with = "text", deserialize_with = "read_text")]
    pub model: Text,
    /// Its tasks.
    pub sums: CellSums,
}

/// Tasks of one account, user and model, summed. There may be as many of these as tasks, so that the sums are `i64`,
/// held at its ends: 9 thousand million dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellSums {
    /// How many.
    pub tasks: u64,
    /// What they were charged, in points.
    pub charged_points: i64,
    /// What of it went back, in points.
    pub refunded_points: i64,
    /// What they cost, in nano-USD: the billed cost of each, else the reported one.
    pub cost_nano_usd: i64,
    /// How many have neither a billed nor a reported cost.
    pub without_cost: u64,
}

impl CellSums {
    pub(super) fn add(&mut self, other: &TaskSums) {
        self.tasks = self.tasks.saturating_add(other.tasks);
        self.charged_points = self.charged_points.saturating_add(narrow(other.charged_points));
        self.refunded_points = self.refunded_points.saturating_add(narrow(other.refunded_points));
        self.cost_nano_usd = self.cost_nano_usd.saturating_add(narrow(other.cost_nano_usd));
        self.without_cost = self.without_cost.saturating_add(other.without_cost);
    }
}

/// The nearest `i64`.
fn narrow(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

/// Layer 3: a user. Its sums are `i64`, held at its ends, as its purses are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// The user.
    pub user_id: UserId,
    /// What its tasks of the period were charged, in points.
    pub charged_points: i64,
    /// What the ledger drew from its points purse for them.
    pub points_consumed: i64,
    /// What the ledger drew from its cash purse for them, in points.
    pub cash_consumed: i64,
    /// What of the charges went back, in points.
    pub refunded_points: i64,
    /// What was put in during the period's days, in points of both purses.
    pub credited_points: i64,
    /// Charged less consumed from both purses, in points.
    pub difference_points: i64,
    /// Whether the two agree: A4 is silent.
    pub ok: bool,
}

/// A day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRow {
    /// The day.
    pub day: Day,
    /// The tasks that were created on it.
    pub sums: TaskSums,
    /// The events that fal dates on it.
    pub events: EventSums,
    /// What the ledger drew on it, in points of both purses.
    pub consumed_points: i128,
    /// What the ledger gave back on it, likewise.
    pub refunded_points: i128,
    /// What was put in on it, likewise.
    pub credited_points: i128,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRow {
    /// The model.
    #[serde(serialize_with = "text", deserialize_with = "read_text")]
    pub model: Text,
    /// Its tasks.
    pub sums: TaskSums,
    /// Its events of the period.
    pub events: EventSums,
}

/// Everything summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Layer 2.
    pub sums: TaskSums,
    /// Tasks without an event that may yet get one: the lag has not passed.
    pub pending_tasks: u64,
    /// Tasks without an event of which it is not known that they have none: a fetch was not complete.
    pub unjudged_tasks: u64,
    /// Layer 1: the official cost, in nano-USD.
    pub official_cost_nano_usd: i128,
    /// Layer 1: the events.
    pub events: EventSums,
    /// Layer 1: requests that no task has.
    pub stray: StraySums,
    /// Events that came through a second account of their workspace, and were not counted again.
    pub repeated_events: u64,
    /// Layer 3, in points.
    pub users: UserTotals,
}

/// Layer 3 summed, in points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserTotals {
    /// How many users.
    pub users: u64,
    /// How many of them are not ok.
    pub not_ok: u64,
    /// What their tasks were charged.
    pub charged_points: i128,
    /// Drawn from points purses for them.
    pub points_consumed: i128,
    /// Drawn from cash purses for them.
    pub cash_consumed: i128,
    /// Given back of the charges.
    pub refunded_points: i128,
    /// Put in.
    pub credited_points: i128,
}

impl UserTotals {
    pub(super) fn add(&mut self, row: &UserRow) {
        self.users = self.users.saturating_add(1);
        self.not_ok = self.not_ok.saturating_add(u64::from(!row.ok));
        self.charged_points = self.charged_points.saturating_add(row.charged_points.into());
        self.points_consumed = self.points_consumed.saturating_add(row.points_consumed.into());
        self.cash_consumed = self.cash_consumed.saturating_add(row.cash_consumed.into());
        self.refunded_points = self.refunded_points.saturating_add(row.refunded_points.into());
        self.credited_points = self.credited_points.saturating_add(row.credited_points.into());
    }
}

/// How many findings, by severity and by rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Of severity HIGH.
    pub high: u64,
    /// Of severity MEDIUM.
    pub medium: u64,
    /// Of severity LOW.
    pub low: u64,
    /// By rule; rules that did not fire are not listed.
    pub rules: BTreeMap<Rule, u64>,
}

impl Counts {
    /// How many of a severity.
    pub const fn of(&self, severity: Severity) -> u64 {
        match severity {
            Severity::High => self.high,
            Severity::Medium => self.medium,
            Severity::Low => self.low,
        }
    }

    /// How many in all.
    pub const fn total(&self) -> u64 {
        self.high.saturating_add(self.medium).saturating_add(self.low)
    }

    pub(super) fn count(&mut self, finding: &Finding) {
        let of_severity = match finding.severity {
            Severity::High => &mut self.high,
            Severity::Medium => &mut self.medium,
            Severity::Low => &mut self.low,
        };
        *of_severity = of_severity.saturating_add(1);
        let of_rule = self.rules.entry(finding.rule).or_default();
        *of_rule = of_rule.saturating_add(1);
    }
}

fn text<S: Serializer>(text: &Text, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn read_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
    String::deserialize(deserializer).map(Text::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_one_cell_are_held_at_the_ends_of_what_they_can_be() {
        let beyond = i128::from(i64::MAX).saturating_add(1);
        let mut cell = CellSums::default();
        cell.add(&TaskSums {
            charged_points: beyond,
            cost_nano_usd: beyond.saturating_neg(),
            ..TaskSums::default()
        });
        cell.add(&TaskSums { charged_points: 1, refunded_points: 5, ..TaskSums::default() });
        assert_eq!((cell.charged_points, cell.refunded_points), (i64::MAX, 5));
        cell.add(&TaskSums {
            cost_nano_usd: beyond.saturating_neg().saturating_sub(1),
            ..TaskSums::default()
        });
        assert_eq!(cell.cost_nano_usd, i64::MIN);
    }

    #[test]
    fn findings_are_counted_by_severity_and_by_rule() {
        let mut counts = Counts::default();
        for rule in [Rule::A1, Rule::A6, Rule::B4, Rule::A1, Rule::A4, Rule::B5, Rule::A8] {
            counts.count(&Finding::new(rule, super::super::Evidence::default()));
        }
        assert_eq!(Severity::ALL.iter().map(|of| counts.of(*of)).collect::<Vec<_>>(), [3, 1, 3]);
        assert_eq!((counts.total(), counts.rules[&Rule::A1], counts.rules.len()), (7, 2, 6));
    }
}
