//! The rules on a user and its days: A4, A5, A6.

use std::collections::VecDeque;

use super::super::thresholds::exceeds;
use super::super::{Day, Evidence, Finding, Rule, Thresholds, UserDay, UserId, UserTasks};

/// A4: what the user's tasks of the period were charged is not what the ledger consumed for those tasks, in points.
pub fn a4(charged_points: i64, ledger: &UserTasks) -> Option<Finding> {
    let consumed = i128::from(ledger.points_consumed).saturating_add(ledger.cash_consumed.into());
    let difference = i128::from(charged_points).saturating_sub(consumed);
    if difference == 0 {
        return None;
    }
    let evidence = Evidence::new([
        ("charged_points", charged_points.into()),
        ("consumed_points", ledger.points_consumed.into()),
        ("consumed_cash_points", ledger.cash_consumed.into()),
        ("difference_points", difference.into()),
    ]);
    Some(Finding { user_id: Some(ledger.user_id), ..Finding::new(Rule::A4, evidence) })
}

/// A5: the day's refunds are more than the share of its consumption, or there was none.
pub fn a5(day: &UserDay, thresholds: &Thresholds) -> Option<Finding> {
    if !exceeds(day.refunded.into(), day.consumed.into(), thresholds.refund_share_bp) {
        return None;
    }
    let evidence = Evidence::new([
        ("day", day.day.into()),
        ("consumed_points", day.consumed.into()),
        ("refunded_points", day.refunded.into()),
        ("threshold_bp", thresholds.refund_share_bp.into()),
    ]);
    Some(Finding { user_id: Some(day.user_id), ..Finding::new(Rule::A5, evidence) })
}

/// The active days before a user's day: those on which it consumed anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    user_id: UserId,
    active: VecDeque<(Day, i64)>,
}

impl Window {
    /// Makes this the window before `day`: drops what is another user's or further back than the rule looks.
    pub fn move_to(&mut self, user_id: UserId, day: Day, thresholds: &Thresholds) {
        if self.user_id != user_id {
            self.active.clear();
            self.user_id = user_id;
        }
        let is_past = |active: &(Day, i64)| day.since(active.0) > i64::from(thresholds.spike_window_days);
        while self.active.front().is_some_and(is_past) {
            self.active.pop_front();
        }
    }

    /// Remembers a day, if it was active.
    pub fn push(&mut self, day: &UserDay) {
        if day.consumed > 0 {
            self.active.push_back((day.day, day.consumed));
        }
    }

    fn sum(&self) -> i128 {
        self.active.iter().fold(0, |sum: i128, (_, consumed)| sum.saturating_add((*consumed).into()))
    }
}

/// A6: the day's consumption is more than the factor times the mean of the active days among those before, of which
/// there must be enough, and not below the least that counts.
pub fn a6(day: &UserDay, before: &Window, thresholds: &Thresholds) -> Option<Finding> {
    let (days, sum) = (before.active.len(), before.sum());
    let enough = u32::try_from(days).unwrap_or(u32::MAX) >= thresholds.spike_active_days.max(1);
    // consumed > factor × sum ÷ days, multiplied out.
    let count = i128::try_from(days).unwrap_or(i128::MAX);
    let spike =
        i128::from(day.consumed).saturating_mul(count) > sum.saturating_mul(thresholds.spike_factor.into());
    if !enough || !spike || day.consumed < thresholds.spike_min_points {
        return None;
    }
    let evidence = Evidence::new([
        ("day", day.day.into()),
        ("consumed_points", day.consumed.into()),
        ("active_days", count.into()),
        ("active_days_points", sum.into()),
        ("factor", thresholds.spike_factor.into()),
        ("window_days", thresholds.spike_window_days.into()),
        ("threshold_points", thresholds.spike_min_points.into()),
    ]);
    Some(Finding { user_id: Some(day.user_id), ..Finding::new(Rule::A6, evidence) })
}

#[cfg(test)]
mod tests {
    use super::super::super::Language;
    use super::super::sample::{user_day, user_tasks};
    use super::*;

    #[test]
    fn a4_fires_on_any_difference_between_tasks_and_ledger() {
        assert!(a4(100, &user_tasks()).is_none());
        assert_eq!(a4(99, &user_tasks()).expect("fires").evidence.number("difference_points"), Some(-1));
        assert_eq!(
            a4(101, &user_tasks()).expect("fires").message(Language::English),
            "User 7: the tasks charged 101 points, the ledger consumed 60 points and 40 of cash for them; difference 1."
        );
    }

    #[test]
    fn a5_fires_on_refunds_of_more_than_thirty_in_a_hundred() {
        let judge = |consumed, refunded| a5(&user_day(0, consumed, refunded), &Thresholds::default());
        assert!(judge(1_000, 300).is_none(), "exactly");
        assert_eq!(
            judge(1_000, 301).expect("fires").message(Language::English),
            "User 7, 1970-04-11: 301 points refunded of 1000 consumed, more than 30%."
        );
        assert!(judge(1_000, 0).is_none() && judge(0, 0).is_none());
    }

    #[test]
    fn a5_fires_on_any_refund_of_a_day_without_consumption() {
        let finding = a5(&user_day(0, 0, 1), &Thresholds::default()).expect("fires");
        assert_eq!(
            finding.message(Language::English),
            "User 7, 1970-04-11: 1 point was refunded on a day without consumption."
        );
    }

    /// The window before day 10 after these days, and the verdict on what was consumed on it.
    fn spike(days: &[(i32, i64)], consumed: i64) -> Option<Finding> {
        let thresholds = Thresholds::default();
        let mut window = Window::default();
        for (day, consumed) in days {
            let day = user_day(*day, *consumed, 0);
            window.move_to(7, day.day, &thresholds);
            window.push(&day);
        }
        let day = user_day(10, consumed, 0);
        window.move_to(7, day.day, &thresholds);
        a6(&day, &window, &thresholds)
    }

    #[test]
    fn a6_fires_on_a_day_of_more_than_five_times_the_mean() {
        let before = [(7, 300), (8, 200), (9, 100)];
        assert!(spike(&before, 1_000).is_none(), "exactly five times the mean");
        assert_eq!(
            spike(&before, 1_001).expect("fires").message(Language::English),
            "User 7, 1970-04-21: 1001 points consumed, more than 5 times the mean of the 3 active days before (600 points in all)."
        );
    }

    #[test]
    fn a6_compares_with_a_mean_that_is_no_whole_number() {
        let before = [(7, 300), (8, 200), (9, 101)];
        assert!(spike(&before, 1_001).is_none(), "5 × 601 ÷ 3 is 1001⅔");
        assert!(spike(&before, 1_002).is_some());
    }

    #[test]
    fn a6_needs_three_active_days_among_the_seven_before() {
        assert!(spike(&[(8, 1), (9, 1)], 5_000).is_none());
        assert!(spike(&[(2, 1), (8, 1), (9, 1)], 5_000).is_none(), "the eighth day before is too far back");
        assert!(spike(&[(3, 1), (8, 1), (9, 1)], 5_000).is_some(), "the seventh is not");
        assert!(spike(&[(7, 0), (8, 1), (9, 1)], 5_000).is_none(), "an idle day is not active");
    }

    #[test]
    fn a6_does_not_fire_below_a_thousand_points() {
        let before = [(7, 1), (8, 1), (9, 1)];
        assert!(spike(&before, 999).is_none());
        assert!(spike(&before, 1_000).is_some());
    }

    #[test]
    fn a6_looks_at_no_other_users_days() {
        let thresholds = Thresholds::default();
        let mut window = Window::default();
        for day in [7, 8, 9] {
            window.move_to(6, Day(100 + day), &thresholds);
            window.push(&UserDay { user_id: 6, ..user_day(day, 1, 0) });
        }
        let day = user_day(10, 5_000, 0);
        window.move_to(7, day.day, &thresholds);
        assert!(a6(&day, &window, &thresholds).is_none());
    }
}
