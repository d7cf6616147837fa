//! Which period the next scheduled run is about: what no run before it has judged, and what one could not judge whole.

use std::time::Duration;

use super::Parts;
use super::failure::Source;
use super::run::Halt;
use super::summary::Summary;
use crate::ledger::Micros;
use crate::store::Page;
use crate::store::reconcile::{Outline, RunState};

/// Who is written as the actor of scheduled runs.
pub(super) const SCHEDULE: &str = "schedule";
/// The longest period that a schedule makes up for, and the longest there is between two of its runs.
pub const MOST_MISSED: Duration = Duration::from_secs(31 * 24 * 3_600);
/// Scheduled runs of one read, and how many reads look through them at most: a week of one each minute.
const PAGE: u32 = 1_000;
const PAGES: u32 = 10;

/// The period of a scheduled run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    start: Micros,
    end: Micros,
    came: Came,
}

/// What came of a scheduled run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// It judged.
    Judged,
    /// It is still at it: what it is about is no other's.
    AtIt,
    /// It judged without a part of fal's bill.
    InPart,
    /// It was given up.
    GivenUp,
}

impl Period {
    fn of(run: &Outline) -> Self {
        let came = match run.state {
            RunState::Failed => Came::GivenUp,
            RunState::Partial if lacks_bill(&run.summary) => Came::InPart,
            RunState::Running => Came::AtIt,
            RunState::Completed | RunState::Partial => Came::Judged,
        };
        Self { start: run.start, end: run.end, came }
    }

    pub(super) const fn end(&self) -> Micros {
        self.end
    }
}

/// Whether another run might fetch what this one could not. A balance is not of the period, and what belonged to a
/// deleted account nobody can ask for any more.
fn lacks_bill(summary: &str) -> bool {
    Summary::from_json(summary)
        .is_none_or(|kept| kept.failures.iter().any(|failure| failure.source != Source::Balance))
}

/// The scheduled runs that count for the one that ends at `end`, newest first: those of the longest time that is made up
/// for, and the newest one however old.
pub(super) async fn before(parts: &Parts, end: Micros) -> Result<Vec<Period>, Halt> {
    let oldest = end.plus(missed().saturating_neg());
    let mut found = Vec::new();
    let mut before = None;
    for _ in 0..PAGES {
        let runs = parts.store.runs_of(SCHEDULE, Page { before, limit: PAGE }).await?;
        let Some(last) = runs.last() else { break };
        before = Some(last.id);
        let is_enough = last.end <= oldest;
        found.extend(runs.iter().map(Period::of));
        if is_enough {
            break;
        }
    }
    Ok(found)
}

fn missed() -> i64 {
    i64::try_from(MOST_MISSED.as_micros()).unwrap_or(i64::MAX)
}

/// Where the scheduled run that ends at `end` begins. In its period is
/// - what follows the newest one;
/// - what one was given up for, even if it was given up after the next had begun;
/// - what one judged in part, if it is due again;
///
/// and what lies between, which is judged twice.
pub(super) fn start(before: &[Period], end: Micros, every: i64) -> Micros {
    let oldest = end.plus(missed().max(every).saturating_neg());
    let follows = before.iter().filter(|period| period.came != Came::GivenUp).map(|period| period.end).max();
    // The newest run got the whole bill: what kept those before it from theirs has passed.
    let newest = before.iter().filter(|period| period.came != Came::GivenUp).max_by_key(|period| period.end);
    let has_passed = newest.is_some_and(|newest| newest.came == Came::Judged);
    let again = before.iter().filter(|period| period.end > oldest).filter_map(|period| match period.came {
        Came::Judged | Came::AtIt => None,
        Came::InPart => Some(own(period, before)).filter(|own| {
            is_open(own, before, oldest) && (has_passed || end >= due(own, before, oldest, every))
        }),
        Came::GivenUp => {
            let in_vain = covering(period, before, oldest).all(|other| other.came == Came::GivenUp);
            in_vain.then_some(*period)
        }
    });
    let start = follows.into_iter().chain(again.map(|period| period.start)).min();
    start.map_or(end.plus(every.saturating_neg()), |start| start.max(oldest))
}

/// The runs whose period holds all of this one, itself among them.
fn covering<'a>(
    period: &'a Period,
    before: &'a [Period],
    oldest: Micros,
) -> impl Iterator<Item = &'a Period> {
    before.iter().filter(move |other| other.start <= period.start.max(oldest) && other.end >= period.end)
}

/// What a run was the first to judge: a period that makes up for others is not one more to be made up for.
fn own(period: &Period, before: &[Period]) -> Period {
    let earlier = before.iter().filter(|other| other.came != Came::GivenUp && other.end < period.end);
    let start = earlier.map(|other| other.end).max().map_or(period.start, |end| end.max(period.start));
    Period { start, ..*period }
}

/// Whether no run has judged all of it, nor is at it.
fn is_open(own: &Period, before: &[Period], oldest: Micros) -> bool {
    covering(own, before, oldest).all(|other| matches!(other.came, Came::InPart | Came::GivenUp))
}

/// When what was judged in part is to be judged again while runs go on to lack a part of the bill: by the next one, and by
/// those 3, 7, 15 … periods after it. An account that is denied for weeks would otherwise make each run judge a month,
/// and find what is wrong with the others again and again.
fn due(own: &Period, before: &[Period], oldest: Micros, every: i64) -> Micros {
    let tries = covering(own, before, oldest).filter(|other| other.came == Came::InPart);
    let wait = tries.fold(0_i64, |wait, _| wait.saturating_mul(2).saturating_add(every));
    own.end.plus(wait)
}

#[cfg(test)]
mod tests {
    use super::Came::{AtIt, GivenUp, InPart, Judged};
    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn periods(before: &[(i64, i64, Came)]) -> Vec<Period> {
        let period =
            |&(start, end, came)| Period { start: Micros(start * DAY), end: Micros(end * DAY), came };
        before.iter().map(period).collect()
    }

    /// The day on which the run begins that ends with day 100, after these runs: first day, end, what came of it.
    fn begins(before: &[(i64, i64, Came)]) -> i64 {
        start(&periods(before), Micros(100 * DAY), DAY).0 / DAY
    }

    #[test]
    fn a_scheduled_run_follows_the_newest_one_judged() {
        assert_eq!(begins(&[]), 99);
        assert_eq!(begins(&[(97, 98, Judged), (98, 99, Judged)]), 99);
        assert_eq!(begins(&[(95, 96, Judged)]), 96, "nothing ran meanwhile");
        assert_eq!(begins(&[(40, 41, Judged)]), 69, "a month at most");
    }

    #[test]
    fn what_was_given_up_is_left_over_until_a_run_has_judged_it() {
        assert_eq!(begins(&[(98, 99, GivenUp)]), 98);
        assert_eq!(begins(&[(97, 98, Judged), (98, 99, GivenUp)]), 98);
        assert_eq!(begins(&[(97, 98, GivenUp), (98, 99, Judged)]), 97, "given up after the next had begun");
        assert_eq!(begins(&[(96, 97, GivenUp), (96, 98, Judged), (98, 99, Judged)]), 99, "made up for");
        assert_eq!(begins(&[(96, 97, GivenUp), (96, 98, GivenUp), (98, 99, Judged)]), 96, "tried in vain");
    }

    #[test]
    fn what_was_given_up_over_a_month_ago_is_let_be() {
        assert_eq!(begins(&[(68, 69, GivenUp), (98, 99, Judged)]), 99);
        assert_eq!(begins(&[(60, 70, GivenUp), (98, 99, Judged)]), 69, "of it, what is younger");
        assert_eq!(begins(&[(60, 70, GivenUp), (68, 99, Judged)]), 99, "which the last run has judged");
    }

    #[test]
    fn what_was_judged_in_part_is_judged_again_by_the_next_run_and_once_that_has_all_no_more() {
        assert_eq!(begins(&[(97, 98, Judged), (98, 99, InPart)]), 98);
        assert_eq!(begins(&[(97, 98, InPart), (97, 99, Judged)]), 99, "made up for");
        assert_eq!(begins(&[(97, 98, InPart), (98, 99, Judged)]), 97, "in part after the next had begun");
    }

    #[test]
    fn what_is_judged_in_part_time_and_again_is_tried_again_less_and_less_often() {
        assert_eq!(begins(&[(97, 98, InPart), (97, 99, InPart)]), 98, "the first in vain, the second new");
        assert_eq!(begins(&[(96, 97, InPart), (96, 98, InPart), (98, 99, AtIt)]), 96, "3 after");
        assert_eq!(begins(&[(96, 97, InPart), (96, 98, InPart), (96, 99, InPart)]), 98, "each of its own");
        let thrice = [(92, 93, InPart), (92, 94, InPart), (92, 96, InPart), (96, 99, AtIt)];
        assert_eq!(begins(&thrice), 92, "7 after");
    }

    #[test]
    fn once_a_run_has_the_whole_bill_all_that_was_judged_in_part_is_judged_by_the_next() {
        let thrice = [(93, 94, InPart), (93, 95, InPart), (93, 97, InPart), (97, 99, Judged)];
        assert_eq!(begins(&thrice), 93);
        // Whatever the number of days that an account was denied, none within a month is left out.
        for denied in 1..=29 {
            let mut before = periods(&[(0, 1, Judged)]);
            for day in 2..=denied + 4 {
                let (end, every) = (Micros(day * DAY), DAY);
                let start = start(&before, end, every);
                let came = if day <= denied + 1 { InPart } else { Judged };
                before.push(Period { start, end, came });
            }
            let whole: Vec<&Period> = before.iter().filter(|period| period.came == Judged).collect();
            for day in 1..=denied {
                let (start, end) = (Micros(day * DAY), Micros((day + 1) * DAY));
                let judged = whole.iter().any(|period| period.start <= start && period.end >= end);
                assert!(judged, "{denied} days denied, day {day} is left out");
            }
        }
    }

    #[test]
    fn an_account_that_is_denied_for_months_makes_no_schedule_judge_a_month_each_day() {
        let mut before: Vec<Period> = Vec::new();
        let (mut judged, days) = (0, 200);
        for day in 1..=days {
            let (end, every) = (Micros(day * DAY), DAY);
            let start = start(&before, end, every);
            assert!(before.last().is_none_or(|last| start <= last.end), "no day is left out");
            judged += (end.0 - start.0) / DAY;
            before.push(Period { start, end, came: InPart });
        }
        assert!(judged <= 5 * days, "{judged} days of {days} were judged");
    }
}
