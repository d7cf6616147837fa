//! Layer 3 as it grows: each user's tasks, what the ledger says of them, and its days.

use std::collections::BTreeMap;

use super::report::{UserRow, UserTotals};
use super::rules::user::{Window, a4, a5, a6};
use super::{Day, Disorder, Finding, Scope, Task, Thresholds, UserDay, UserId, UserTasks};

/// Every user of the audit.
#[derive(Debug, Default)]
pub(super) struct Users {
    sums: BTreeMap<UserId, UserSums>,
    newest_tasks: Option<UserId>,
    newest_day: Option<(UserId, Day)>,
    window: Window,
}

/// What is kept of a user, in points.
#[derive(Debug, Default)]
struct UserSums {
    charged: i64,
    refunded: i64,
    points_consumed: i64,
    cash_consumed: i64,
    credited: i64,
}

impl Users {
    /// Counts a task of the period.
    pub(super) fn task(&mut self, task: &Task) {
        let sums = self.sums.entry(task.user_id).or_default();
        sums.charged = sums.charged.saturating_add(task.money);
        sums.refunded = sums.refunded.saturating_add(task.refunded);
    }

    /// Takes what the ledger says of a user's tasks.
    pub(super) fn ledger(&mut self, ledger: &UserTasks) -> Result<(), Disorder> {
        if self.newest_tasks >= Some(ledger.user_id) {
            return Err(Disorder::User { user_id: ledger.user_id });
        }
        self.newest_tasks = Some(ledger.user_id);
        let sums = self.sums.entry(ledger.user_id).or_default();
        sums.points_consumed = ledger.points_consumed;
        sums.cash_consumed = ledger.cash_consumed;
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
            let sums = self.sums.entry(day.user_id).or_default();
            sums.credited = sums.credited.saturating_add(day.credited);
            if scope.judges_day(day.day) {
                [a5(day, thresholds), a6(day, &self.window, thresholds)]
            } else {
                [None, None]
            }
        });
        self.window.push(day);
        Ok(verdict)
    }

    /// Judges every user, and makes the rows of layer 3.
    pub(super) fn finish(self, mut emit: impl FnMut(Option<Finding>)) -> (Vec<UserRow>, UserTotals) {
        let mut totals = UserTotals::default();
        let rows = self.sums.into_iter().map(|(user_id, sums)| {
            let UserSums { charged, refunded, points_consumed, cash_consumed, credited } = sums;
            let finding = a4(charged, &UserTasks { user_id, points_consumed, cash_consumed });
            let ok = finding.is_none();
            emit(finding);
            let row = UserRow {
                user_id,
                charged_points: charged,
                points_consumed,
                cash_consumed,
                refunded_points: refunded,
                credited_points: credited,
                difference_points: charged.saturating_sub(points_consumed.saturating_add(cash_consumed)),
                ok,
            };
            totals.add(&row);
            row
        });
        (rows.collect(), totals)
    }
}

/// What A5 and A6 say of a day.
pub(super) type DayVerdict = [Option<Finding>; 2];
