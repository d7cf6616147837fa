//! The fold: rows go in one at a time, findings and costs come out as they arise, the report at the end.

use super::cost;
use super::matching::{Billing, Matcher, Need, Settled};
use super::pool::Pool;
use super::report::{Counts, Report, Totals};
use super::rules::ledger::b4;
use super::rules::model::{Stray, a3_request};
use super::rules::task::{TaskFacts, a7, b1, b2, b3, b5, b6};
use super::tally::{Standing, Tally};
use super::users::Users;
use super::{
    Account, Disagreement, Disorder, Event, Finding, Scope, Sink, Task, Thresholds, UserDay, UserTasks,
};

/// One audit.
///
/// Tasks come sorted by [`Task::sort_key`], events by request id, both bytewise; [`Audit::need`] tells which of the two
/// is next, so that neither has to be kept. The rows of users may come at any time, before or after. An error leaves the
/// audit useless: what it said so far is void.
///
/// **Tasks**: every task created in the period, of every user, and every other task that one of the events names
/// (those only account for their events; they are judged by their own period's audit). Where `events_start` is before
/// the period, also the tasks since then that were open when it began: what its own period's audit saw too early is judged
/// here. Of one that is still open that is by the rules on what nobody settles, B3 and B6; one that has ended in this period
/// is held against its bill.
#[derive(Debug)]
pub struct Audit {
    scope: Scope,
    thresholds: Thresholds,
    pool: Pool,
    matcher: Matcher,
    tally: Tally,
    users: Users,
    counts: Counts,
    progress: Progress,
    settled: Vec<Settled>,
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tasks taken.
    pub tasks: u64,
    /// Events taken.
    pub events: u64,
    /// Of these, events that came through a second account of their workspace.
    pub repeated_events: u64,
    /// Findings so far.
    pub findings: u64,
}

impl Audit {
    /// Begins an audit. `accounts` are all accounts there are, whether or not the audit is about them.
    pub fn new(scope: Scope, thresholds: Thresholds, accounts: Vec<Account>) -> Result<Self, Disorder> {
        scope.check().map_err(Disorder::Scope)?;
        let pool = Pool::new(accounts).map_err(Disorder::Accounts)?;
        let tally = Tally::new(&pool);
        Ok(Self {
            scope,
            thresholds,
            pool,
            matcher: Matcher::new(),
            tally,
            users: Users::default(),
            counts: Counts::default(),
            progress: Progress::default(),
            settled: Vec::new(),
        })
    }

    /// Which of the two streams is to be read next.
    pub const fn need(&self) -> Need {
        self.matcher.need()
    }

    /// How far it is.
    pub const fn progress(&self) -> Progress {
        Progress { findings: self.counts.total(), ..self.progress }
    }

    /// Takes the next task, or the end of them.
    pub fn task(&mut self, task: Option<Task>, sink: &mut dyn Sink) -> Result<(), Disorder> {
        let more = u64::from(task.is_some());
        self.matcher.task(task)?;
        self.progress.tasks = self.progress.tasks.saturating_add(more);
        self.advance(sink);
        Ok(())
    }

    /// Takes the next event, or the end of them.
    pub fn event(&mut self, event: Option<Event>, sink: &mut dyn Sink) -> Result<(), Disorder> {
        let Some(event) = event else {
            self.matcher.event(None, false)?;
            self.advance(sink);
            return Ok(());
        };
        let account_id = event.account_id;
        let unknown = Disorder::UnknownAccount { account_id };
        let at = self.pool.workspace_of(account_id).ok_or(unknown)?;
        let counts =
            self.pool.workspaces.get(at).is_some_and(|workspace| workspace.source == Some(account_id));
        self.matcher.event(Some((at, event)), counts)?;
        self.progress.events = self.progress.events.saturating_add(1);
        if let Some((at, event)) = self.matcher.event_at_head() {
            if let Some(workspace) = self.pool.workspaces.get(*at) {
                self.tally.event(*at, event, workspace, &self.scope);
            }
        } else {
            self.progress.repeated_events = self.progress.repeated_events.saturating_add(1);
        }
        self.advance(sink);
        Ok(())
    }

    /// Takes what the ledger says of a user's tasks of the period; sorted by user.
    pub fn user_tasks(&mut self, ledger: &UserTasks) -> Result<(), Disorder> {
        if self.scope.shows(ledger.user_id) { self.users.ledger(ledger) } else { Ok(()) }
    }

    /// Takes what the ledger says of a user's day; sorted by user and day, from as many days before the period as A6
    /// looks back.
    pub fn user_day(&mut self, day: &UserDay, sink: &mut dyn Sink) -> Result<(), Disorder> {
        if !self.scope.shows(day.user_id) {
            return Ok(());
        }
        if let Some(verdict) = self.users.day(day, &self.scope, &self.thresholds)? {
            self.tally.user_day(day);
            for finding in verdict {
                emit(&mut self.counts, sink, finding);
            }
        }
        Ok(())
    }

    /// Takes something `verify` found.
    pub fn disagreement(&mut self, found: &Disagreement, sink: &mut dyn Sink) {
        if found.user_id.is_none_or(|user_id| self.scope.shows(user_id)) {
            emit(&mut self.counts, sink, Some(b4(found)));
        }
    }

    /// Ends the audit: judges workspaces, models and users, and makes the report.
    pub fn finish(mut self, sink: &mut dyn Sink) -> Result<Report, Disorder> {
        if !self.matcher.has_ended() {
            return Err(Disorder::Unfinished);
        }
        let counts = &mut self.counts;
        self.tally.judge(&self.pool, &self.scope, &self.thresholds, |finding| emit(counts, sink, finding));
        let (users, user_totals) = self.users.finish(|finding| emit(counts, sink, finding));
        let workspaces = self.tally.workspace_rows(&self.pool, &self.scope);
        let mut totals = Totals {
            pending_tasks: self.tally.pending_tasks,
            unjudged_tasks: self.tally.unjudged_tasks,
            repeated_events: self.progress.repeated_events,
            users: user_totals,
            ..Totals::default()
        };
        for row in &workspaces {
            totals.official_cost_nano_usd =
                totals.official_cost_nano_usd.saturating_add(row.official_cost_nano_usd);
            totals.events.add(row.events.events, row.events.cost_nano_usd);
            totals.stray.requests = totals.stray.requests.saturating_add(row.stray.requests);
            totals.stray.cost_nano_usd = totals.stray.cost_nano_usd.saturating_add(row.stray.cost_nano_usd);
        }
        let (tasks, days, models) = self.tally.into_rows();
        for model in &models {
            totals.sums.add(&model.sums);
        }
        let (first_day, last_day) = self.scope.days();
        Ok(Report {
            start: self.scope.start,
            end: self.scope.end,
            now: self.scope.now,
            first_day,
            last_day,
            rates: self.scope.rates,
            workspaces,
            tasks,
            users,
            days,
            models,
            totals,
            findings: self.counts,
        })
    }

    /// Judges what has settled.
    fn advance(&mut self, sink: &mut dyn Sink) {
        let mut settled = std::mem::take(&mut self.settled);
        self.matcher.advance(&self.scope, &mut settled);
        for one in settled.drain(..) {
            match one {
                Settled::Task(task, billing) => self.judge_task(&task, &billing, sink),
                Settled::Stray(billing) => self.judge_stray(&billing, sink),
            }
        }
        self.settled = settled;
    }

    fn judge_task(&mut self, task: &Task, billing: &Billing, sink: &mut dyn Sink) {
        let (scope, thresholds, pool) = (&self.scope, &self.thresholds, &self.pool);
        let account_id = pool.account_of(task);
        let ended = task.complete_time.unwrap_or(task.create_time);
        let standing = Standing {
            account_id,
            home: account_id.and_then(|account_id| pool.workspace_of(account_id)),
            proves_absence: pool.proves_absence(task),
            is_due: scope.is_billable_by_now(ended, thresholds.billing_lag_micros),
        };
        let in_period = scope.holds(task.create_time);
        // One that ended after its own period did had no due bill in the run that was about that: it is held against it by
        // the run in whose period it ended.
        let is_left_over = !in_period
            && scope.reaches(task)
            && task.complete_time.is_some_and(|complete_time| scope.holds(complete_time));
        let is_held = in_period || is_left_over;
        let of_user = scope.shows(task.user_id);
        let shown = of_user && pool.selects(account_id);
        self.tally.task_seen(task);
        if is_held {
            self.tally.task_of_period(task, billing, &standing);
        }
        if in_period && of_user {
            self.users.task(task);
        }
        if in_period && shown {
            self.tally.task_shown(task, billing, &standing, scope.calendar.day_of(task.create_time));
        }
        if !shown {
            return;
        }
        let facts = TaskFacts {
            task,
            billed_nano_usd: (billing.events > 0).then_some(billing.cost),
            events: billing.events,
            billed_time: billing.last_time,
            requests: &billing.requests,
            proves_absence: standing.proves_absence,
            is_due: standing.is_due,
            now: scope.now,
            events_until: scope.events_until(),
        };
        let counts = &mut self.counts;
        if is_held {
            emit(counts, sink, a7(&facts));
            emit(counts, sink, b1(&facts, thresholds));
            emit(counts, sink, b2(&facts));
            emit(counts, sink, b5(&facts, &scope.rates));
        }
        if scope.reaches(task) {
            emit(counts, sink, b3(&facts, thresholds));
            emit(counts, sink, b6(&facts, thresholds));
        }
        if let Some(change) = cost::plan(task, billing, &standing, pool, scope) {
            sink.cost(change);
        }
    }

    fn judge_stray(&mut self, billing: &Billing, sink: &mut dyn Sink) {
        let (Some(request_id), Some(part), Some(billed_time)) =
            (billing.requests.first(), billing.parts.first(), billing.last_time)
        else {
            return;
        };
        let is_due = self.scope.now.since(billed_time) >= self.thresholds.billing_lag_micros;
        self.tally.stray(billing, is_due);
        let Some(workspace) = self.pool.workspaces.get(part.workspace).filter(|of| of.selected) else {
            return;
        };
        let stray = Stray {
            workspace: &workspace.name,
            model: &part.model,
            request_id,
            events: billing.events,
            billed_nano_usd: billing.cost,
            billed_time,
        };
        emit(&mut self.counts, sink, a3_request(&stray, self.scope.now, &self.thresholds));
    }
}

fn emit(counts: &mut Counts, sink: &mut dyn Sink, finding: Option<Finding>) {
    if let Some(finding) = finding {
        counts.count(&finding);
        sink.finding(finding);
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
