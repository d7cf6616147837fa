//! Layer 3 as it grows: each user's tasks, what the ledger says of them, and its days.

use std::collections::BTreeMap;

use super::report::{UserRow, UserTotals};
use super::rules::user::{Window, a4, a5, a6};
use super::{Day, Disorder, Finding, Scope, Task, Thresholds, UserDay, UserId, UserTasks};

/// Every user of the audit.
#[derive(Debug, Default)]
pub(super) struct Users {
    rows: BTreeMap<UserId, UserRow>,
    newest_tasks: Option<UserId>,
    newest_day: Option<(UserId, Day)>,
    window: Window,
}

impl Users {
    fn row(&mut self, user_id: UserId) -> &mut UserRow {
        self.rows.entry(user_id).or_insert_with(|| UserRow { user_id, ..UserRow::default() })
    }

    /// Counts a task of the period.
    pub(super) fn task(&mut self, task: &Task) {
        let row = self.row(task.user_id);
        row.charged_points = row.charged_points.saturating_add(task.money.into());
        row.refunded_points = row.refunded_points.saturating_add(task.refunded.into());
    }

    /// Takes what the ledger says of a user's tasks.
    pub(super) fn ledger(&mut self, ledger: &UserTasks) -> Result<(), Disorder> {
        if self.newest_tasks >= Some(ledger.user_id) {
            return Err(Disorder::User { user_id: ledger.user_id });
        }
        self.newest_tasks = Some(ledger.user_id);
        let row = self.row(ledger.user_id);
        row.points_consumed = ledger.points_consumed;
        row.cash_consumed = ledger.cash_consumed;
        Ok(())
    }

    /// Takes a user's day; answers what the rules say of it, if it is one of the period's.
    pub(super) fn day(
        &mut self,
        day: &UserDay,
        scope: &Scope,
        thresholds: &Thresholds,
    ) -> Result<Option<DayVerdict>, Disorder> {
        if self.newest_day >= Some((day.user_id, day.day)) {
            return Err(Disorder::User { user_id: day.user_id });
        }
        self.newest_day = Some((day.user_id, day.day));
        self.window.move_to(day.user_id, day.day, thresholds);
        let verdict = scope.has_day(day.day).then(|| {
            let row = self.row(day.user_id);
            row.credited_points = row.credited_points.saturating_add(day.credited);
            [a5(day, thresholds), a6(day, &self.window, thresholds)]
        });
        self.window.push(day);
        Ok(verdict)
    }

    /// Judges every user, and makes the rows of layer 3.
    pub(super) fn finish(self, mut emit: impl FnMut(Option<Finding>)) -> (Vec<UserRow>, UserTotals) {
        let mut totals = UserTotals::default();
        let rows = self.rows.into_values().map(|mut row| {
            let ledger = UserTasks {
                user_id: row.user_id,
                points_consumed: row.points_consumed,
                cash_consumed: row.cash_consumed,
            };
            emit(a4(row.charged_points, &ledger));
            let consumed = row.points_consumed.saturating_add(row.cash_consumed);
            row.difference_points = row.charged_points.saturating_sub(consumed);
            row.ok = row.difference_points == 0;
            totals.add(&row);
            row
        });
        (rows.collect(), totals)
    }
}

/// What A5 and A6 say of a day.
pub(super) type DayVerdict = [Option<Finding>; 2];
