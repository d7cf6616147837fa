//! What is kept of tasks and events once they have passed: sums by workspace, model, user and day.

use std::collections::BTreeMap;

use super::matching::Billing;
use super::pool::{Pool, Workspace};
use super::report::{
    AccountRow, CellSums, DayRow, EventSums, ModelRow, StraySums, TaskRow, TaskSums, UnitRow,
    WorkspaceModelRow, WorkspaceRow,
};
use super::rules::model::{Unbilled, a2, a3_model};
use super::rules::workspace::{a1, a8, b7, b7_unreadable};
use super::{Day, Event, Finding, Scope, Task, Text, Thresholds, Usage, UserId};

/// Sums of everything that has passed.
#[derive(Debug, Default)]
pub(super) struct Tally {
    workspaces: Vec<WorkspaceTally>,
    /// Model → its place in `models`: what is kept by user and model need not repeat the name.
    places: BTreeMap<Text, u32>,
    models: Vec<ModelTally>,
    tasks: BTreeMap<(Option<i64>, UserId, u32), CellSums>,
    days: BTreeMap<Day, DayRow>,
    pub(super) pending_tasks: u64,
    pub(super) unjudged_tasks: u64,
}

#[derive(Debug, Default)]
struct WorkspaceTally {
    /// Of the period.
    events: EventSums,
    /// Of the window of fal's usage.
    window: EventSums,
    stray: StraySums,
    billed: i128,
    recorded: i128,
    models: BTreeMap<u32, ModelEvents>,
}

#[derive(Debug, Default)]
struct ModelEvents {
    /// Whether it has events at all, in the period or not.
    seen: u64,
    events: EventSums,
    units_nano: i128,
}

#[derive(Debug)]
struct ModelTally {
    name: Text,
    /// Tasks of the model, in the period or not.
    seen: u64,
    /// What fal bills for it in the period, by fal's own name for it.
    billed: i128,
    /// What fal bills for its tasks of the period, by whatever name and whenever.
    billed_for_tasks: i128,
    unbilled: Unbilled,
    sums: TaskSums,
    events: EventSums,
}

/// What the fold knows of a task beyond its row.
pub(super) struct Standing {
    pub(super) account_id: Option<i64>,
    /// The workspace of that account.
    pub(super) home: Option<usize>,
    pub(super) proves_absence: bool,
    pub(super) is_due: bool,
}

impl Tally {
    pub(super) fn new(pool: &Pool) -> Self {
        let workspaces = pool.workspaces.iter().map(|_| WorkspaceTally::default()).collect();
        Self { workspaces, ..Self::default() }
    }

    fn place(&mut self, model: &Text) -> u32 {
        if let Some(place) = self.places.get(model) {
            return *place;
        }
        // Four thousand million models would not fit into memory either.
        let place = u32::try_from(self.models.len()).unwrap_or(u32::MAX);
        self.places.insert(Text::clone(model), place);
        self.models.push(ModelTally {
            name: Text::clone(model),
            seen: 0,
            billed: 0,
            billed_for_tasks: 0,
            unbilled: Unbilled::default(),
            sums: TaskSums::default(),
            events: EventSums::default(),
        });
        place
    }

    fn model(&mut self, model: &Text) -> Option<&mut ModelTally> {
        let place = self.place(model);
        self.models.get_mut(place as usize)
    }

    fn day(&mut self, day: Day) -> &mut DayRow {
        self.days.entry(day).or_insert_with(|| DayRow { day, ..DayRow::default() })
    }

    /// Counts an event.
    pub(super) fn event(&mut self, at: usize, event: &Event, workspace: &Workspace, scope: &Scope) {
        let cost = i128::from(event.cost_nano_usd);
        let in_period = scope.holds(event.time);
        if let Some(model) = self.model(&event.endpoint_id).filter(|_| in_period) {
            model.billed = model.billed.saturating_add(cost);
            if workspace.selected {
                model.events.add(1, cost);
            }
        }
        if in_period && workspace.selected {
            self.day(scope.calendar.day_of(event.time)).events.add(1, cost);
        }
        let place = self.place(&event.endpoint_id);
        let Some(tally) = self.workspaces.get_mut(at) else { return };
        let model = tally.models.entry(place).or_default();
        model.seen = model.seen.saturating_add(1);
        if in_period {
            tally.events.add(1, cost);
            model.events.add(1, cost);
            model.units_nano = model.units_nano.saturating_add(event.units_nano.unwrap_or_default().into());
        }
        if workspace.usage.as_ref().is_some_and(|usage| usage.start <= event.time && event.time < usage.end) {
            tally.window.add(1, cost);
        }
    }

    /// Notes that a model has a task.
    pub(super) fn task_seen(&mut self, task: &Task) {
        if let Some(model) = self.model(&task.app_name) {
            model.seen = model.seen.saturating_add(1);
        }
    }

    /// Holds a task of the period, or one that ended in it, against its bill, for A1 and A2; whoever's it is.
    pub(super) fn task_of_period(&mut self, task: &Task, billing: &Billing, standing: &Standing) {
        // Before the lag has passed the bill may be there in part: A1 hears neither of it nor of the record.
        if standing.is_due {
            self.hold_against_bill(task, billing, standing);
        }
        let paid = task.status == super::TaskStatus::Completed && task.net() > 0;
        let unbilled = paid && billing.cost <= 0 && standing.is_due && standing.proves_absence;
        if let Some(model) = self.model(&task.app_name) {
            model.billed_for_tasks = model.billed_for_tasks.saturating_add(billing.cost);
            if unbilled {
                model.unbilled.add(&task.task_id, task.net());
            }
        }
    }

    fn hold_against_bill(&mut self, task: &Task, billing: &Billing, standing: &Standing) {
        for part in &billing.parts {
            self.bill(part.workspace, part.cost);
        }
        let billed_at = |at: usize| billing.parts.iter().any(|part| part.workspace == at);
        match task.reported_cost_nano_usd {
            Some(reported) if billing.events > 0 => {
                // Its own workspace's record, unless fal billed it elsewhere alone.
                let elsewhere = || billing.parts.iter().map(|part| part.workspace).min();
                self.record(
                    standing.home.filter(|home| billed_at(*home)).or_else(elsewhere),
                    reported.into(),
                );
            }
            Some(reported) => self.record(standing.home, reported.into()),
            None => {
                for part in &billing.parts {
                    self.record(Some(part.workspace), part.cost);
                }
            }
        }
    }

    fn bill(&mut self, at: usize, cost: i128) {
        if let Some(workspace) = self.workspaces.get_mut(at) {
            workspace.billed = workspace.billed.saturating_add(cost);
        }
    }

    fn record(&mut self, at: Option<usize>, cost: i128) {
        if let Some(workspace) = at.and_then(|at| self.workspaces.get_mut(at)) {
            workspace.recorded = workspace.recorded.saturating_add(cost);
        }
    }

    /// Counts a task of the period that is shown.
    pub(super) fn task_shown(&mut self, task: &Task, billing: &Billing, standing: &Standing, day: Day) {
        let billed = (billing.events > 0).then_some(billing.cost);
        let reported = task.reported_cost_nano_usd.map(i128::from);
        let sums = TaskSums {
            tasks: 1,
            charged_points: task.money.into(),
            refunded_points: task.refunded.into(),
            cost_nano_usd: billed.or(reported).unwrap_or_default(),
            billed_nano_usd: billed.unwrap_or_default(),
            reported_nano_usd: reported.unwrap_or_default(),
            without_cost: u64::from(billed.or(reported).is_none()),
        };
        let place = self.place(&task.app_name);
        self.tasks.entry((standing.account_id, task.user_id, place)).or_default().add(&sums);
        if let Some(model) = self.models.get_mut(place as usize) {
            model.sums.add(&sums);
        }
        self.day(day).sums.add(&sums);
        if !standing.is_due {
            self.pending_tasks = self.pending_tasks.saturating_add(1);
        } else if billed.is_none() && !standing.proves_absence {
            self.unjudged_tasks = self.unjudged_tasks.saturating_add(1);
        }
    }

    /// Counts a request of the period that no task has; A1 hears of it once the lag has passed.
    pub(super) fn stray(&mut self, billing: &Billing, is_due: bool) {
        for (number, part) in billing.parts.iter().enumerate() {
            if let Some(workspace) = self.workspaces.get_mut(part.workspace) {
                let stray = &mut workspace.stray;
                stray.requests = stray.requests.saturating_add(u64::from(number == 0));
                stray.cost_nano_usd = stray.cost_nano_usd.saturating_add(part.cost);
            }
            if is_due {
                self.bill(part.workspace, part.cost);
            }
        }
    }

    /// Counts what the ledger moved on a day.
    pub(super) fn user_day(&mut self, day: &super::UserDay) {
        let row = self.day(day.day);
        row.consumed_points = row.consumed_points.saturating_add(day.consumed.into());
        row.refunded_points = row.refunded_points.saturating_add(day.refunded.into());
        row.credited_points = row.credited_points.saturating_add(day.credited.into());
    }

    /// Judges the workspaces, then the models.
    pub(super) fn judge(
        &self,
        pool: &Pool,
        scope: &Scope,
        thresholds: &Thresholds,
        mut emit: impl FnMut(Option<Finding>),
    ) {
        for (tally, workspace) in self.workspaces.iter().zip(&pool.workspaces).filter(|(_, of)| of.selected) {
            let name = &workspace.name;
            emit(a1(name, tally.billed, tally.recorded, workspace.complete, thresholds));
            emit(a8(name, &workspace.accounts, workspace.balance, thresholds));
            emit(b7_unreadable(name, &workspace.unreadable));
            let Some(usage) = &workspace.usage else { continue };
            if workspace.complete {
                let window = (tally.window.events, tally.window.cost_nano_usd);
                emit(b7(name, usage, window, scope, thresholds));
            }
            for (model, usage) in by_model(usage) {
                let place = self.places.get(model);
                let tasks =
                    place.and_then(|place| self.models.get(*place as usize)).map_or(0, |model| model.seen);
                let events = place.and_then(|place| tally.models.get(place)).map_or(0, |model| model.seen);
                emit(a3_model(name, model, usage.cost, tasks, events));
            }
        }
        let mut used: BTreeMap<&Text, i128> = BTreeMap::new();
        for (model, usage) in pool.workspaces.iter().filter_map(|of| of.usage.as_ref()).flat_map(by_model) {
            let sum = used.entry(model).or_default();
            *sum = sum.saturating_add(usage.cost);
        }
        for place in self.places.values() {
            if let Some(model) = self.models.get(*place as usize) {
                // Most of a bill is in all three sums: each of them proves it, and they do not add up. Where the usage
                // alone has one, events are missing: that is B7's to say.
                let used = used.get(&model.name).copied().unwrap_or_default();
                let billed = model.billed.max(model.billed_for_tasks).max(used);
                emit(a2(&model.name, &model.unbilled, billed));
            }
        }
    }

    /// Layer 1.
    pub(super) fn workspace_rows(&self, pool: &Pool, scope: &Scope) -> Vec<WorkspaceRow> {
        let all = self.workspaces.iter().zip(&pool.workspaces).filter(|(_, of)| of.selected);
        let row = |(tally, workspace): (&WorkspaceTally, &Workspace)| {
            let usage = workspace.usage.as_ref();
            let same_period = usage.filter(|usage| usage.start == scope.start && usage.end == scope.end);
            WorkspaceRow {
                workspace: Text::clone(&workspace.name),
                accounts: workspace
                    .accounts
                    .iter()
                    .map(|(account_id, name)| AccountRow { account_id: *account_id, name: Text::clone(name) })
                    .collect(),
                complete: workspace.complete,
                balance_nano_usd: workspace.balance.map(|(balance, _)| balance),
                official_cost_nano_usd: same_period.map_or(tally.events.cost_nano_usd, Usage::total),
                usage_nano_usd: usage.map(Usage::total),
                events: tally.events,
                stray: tally.stray,
                billed_nano_usd: tally.billed,
                recorded_nano_usd: tally.recorded,
                models: self.workspace_models(tally, usage, same_period.is_some()),
            }
        };
        all.map(row).collect()
    }

    fn workspace_models(
        &self,
        tally: &WorkspaceTally,
        usage: Option<&Usage>,
        same_period: bool,
    ) -> Vec<WorkspaceModelRow> {
        let mut usage = usage.map(by_model).unwrap_or_default();
        let mut rows: BTreeMap<&Text, WorkspaceModelRow> = BTreeMap::new();
        for (place, model) in &tally.models {
            let Some(name) = self.models.get(*place as usize).map(|model| &model.name) else { continue };
            let usage = usage.remove(name);
            let unit = usage.as_ref().and_then(ModelUsage::only_unit).unwrap_or_default();
            let units = UnitRow { unit, units_nano: model.units_nano };
            let row = WorkspaceModelRow {
                model: Text::clone(name),
                usage_nano_usd: usage.as_ref().map(|usage| usage.cost),
                units: usage.filter(|_| same_period).map_or_else(|| vec![units], ModelUsage::into_rows),
                events: model.events,
            };
            rows.insert(name, row);
        }
        for (name, usage) in usage {
            let row = WorkspaceModelRow {
                model: Text::clone(name),
                usage_nano_usd: Some(usage.cost),
                units: usage.into_rows(),
                events: EventSums::default(),
            };
            rows.insert(name, row);
        }
        rows.into_values().collect()
    }

    /// Layer 2, and the rows by day and by model.
    pub(super) fn into_rows(self) -> (Vec<TaskRow>, Vec<DayRow>, Vec<ModelRow>) {
        let names: Vec<Text> = self.models.iter().map(|model| Text::clone(&model.name)).collect();
        let name = |place: u32| names.get(place as usize).cloned().unwrap_or_else(|| "".into());
        let tasks = self.tasks.into_iter();
        let tasks = tasks.map(|((account_id, user_id, place), sums)| TaskRow {
            account_id,
            user_id,
            model: name(place),
            sums,
        });
        let mut tasks: Vec<TaskRow> = tasks.collect();
        tasks.sort_unstable_by(|one, other| {
            (one.account_id, one.user_id, &one.model).cmp(&(other.account_id, other.user_id, &other.model))
        });
        let models = self.models.into_iter().filter(|model| model.sums.tasks > 0 || model.events.events > 0);
        let models =
            models.map(|model| ModelRow { model: model.name, sums: model.sums, events: model.events });
        let mut models: Vec<ModelRow> = models.collect();
        models.sort_unstable_by(|one, other| one.model.cmp(&other.model));
        (tasks, self.days.into_values().collect(), models)
    }
}

/// A model's rows of fal's usage.
#[derive(Default)]
struct ModelUsage {
    cost: i128,
    units: BTreeMap<Text, i128>,
}

impl ModelUsage {
    /// The name of its unit, if it has one alone: then the events are in it as well.
    fn only_unit(&self) -> Option<Text> {
        let mut units = self.units.keys();
        units.next().filter(|_| units.next().is_none()).cloned()
    }

    fn into_rows(self) -> Vec<UnitRow> {
        self.units.into_iter().map(|(unit, units_nano)| UnitRow { unit, units_nano }).collect()
    }
}

fn by_model(usage: &Usage) -> BTreeMap<&Text, ModelUsage> {
    let mut models: BTreeMap<&Text, ModelUsage> = BTreeMap::new();
    for row in &usage.rows {
        let model = models.entry(&row.endpoint_id).or_default();
        model.cost = model.cost.saturating_add(row.cost_nano_usd.into());
        let units = model.units.entry(Text::clone(&row.unit)).or_default();
        *units = units.saturating_add(row.units_nano);
    }
    models
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
