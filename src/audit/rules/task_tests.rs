use super::super::super::{Language, Rate};
use super::super::sample::{self, HOUR, MINUTE, at};
use super::*;

/// Facts of a task that was billed so much, or nothing, long ago.
fn facts(task: &Task, billed: Option<i128>) -> TaskFacts<'_> {
    TaskFacts {
        task,
        billed_nano_usd: billed,
        events: u64::from(billed.is_some()),
        billed_time: billed.map(|_| at(HOUR)),
        requests: &[],
        proves_absence: true,
        is_due: true,
        now: at(100 * HOUR),
        events_until: at(100 * HOUR),
    }
}

#[test]
fn a7_fires_for_a_free_task_that_costs_by_bill_or_by_report() {
    let free = Task { money: 0, ..sample::task() };
    let billed = a7(&facts(&free, Some(1))).expect("fires");
    assert_eq!(billed.evidence.text("cost_source"), Some("billed"));
    let reported = a7(&facts(&free, None)).expect("fires");
    assert_eq!(reported.evidence.text("cost_source"), Some("reported"));
    assert_eq!(
        reported.message(Language::English),
        "Task t1 of user 7 (fal-ai/flux/dev) was free and costs 0.1 USD."
    );
}

#[test]
fn a7_does_not_fire_for_a_paid_task_an_open_hold_or_a_cost_of_zero() {
    let free = Task { money: 0, ..sample::task() };
    assert!(a7(&facts(&Task { money: 1, ..free.clone() }, Some(1))).is_none());
    assert!(a7(&facts(&Task { held: 50, ..free.clone() }, Some(1))).is_none(), "it awaits its capture");
    assert!(a7(&facts(&free, Some(0))).is_none(), "the bill of zero outranks the report");
    assert!(a7(&facts(&Task { reported_cost_nano_usd: None, ..free }, None)).is_none());
}

fn reported(cost: i64) -> Task {
    Task { reported_cost_nano_usd: Some(cost), ..sample::task() }
}

#[test]
fn b1_fires_where_report_and_bill_are_more_than_the_tolerance_apart() {
    let judge = |cost| b1(&facts(&reported(cost), Some(100_000_000)), &Thresholds::default());
    assert!(judge(100_000_000).is_none());
    assert!(judge(101_000_000).is_none() && judge(99_000_000).is_none(), "exactly 1 %");
    assert!(judge(98_999_999).is_some());
    assert_eq!(
        judge(101_000_001).expect("fires").message(Language::English),
        "Task t1 (fal-ai/flux/dev): the runner reported 0.101000001 USD, fal billed 0.1 USD; difference 0.001000001 USD."
    );
}

#[test]
fn b1_excuses_a_hair_however_small_the_bill_and_no_more() {
    let judge = |cost, billed| b1(&facts(&reported(cost), Some(billed)), &Thresholds::default());
    assert!(judge(10_000, 0).is_none(), "exactly the amount");
    assert!(judge(10_001, 0).is_some());
}

#[test]
fn b1_needs_a_report_a_bill_and_a_whole_and_ripe_one() {
    let task = reported(1);
    let sound = facts(&task, Some(100_000_000));
    let thresholds = Thresholds::default();
    assert!(b1(&sound, &thresholds).is_some());
    assert!(b1(&TaskFacts { is_due: false, ..sound }, &thresholds).is_none());
    assert!(b1(&TaskFacts { proves_absence: false, ..sound }, &thresholds).is_none());
    assert!(b1(&facts(&task, None), &thresholds).is_none());
    let silent = Task { reported_cost_nano_usd: None, ..task };
    assert!(b1(&facts(&silent, Some(100_000_000)), &thresholds).is_none());
}

#[test]
fn b2_fires_for_a_task_refunded_in_full_that_fal_bills() {
    let refunded = Task { refunded: 100, status: TaskStatus::Failed, ..sample::task() };
    assert_eq!(
        b2(&facts(&refunded, Some(25_000_000))).expect("fires").message(Language::English),
        "Task t1 of user 7 (fal-ai/flux/dev): all 100 points were refunded, yet fal billed 0.025 USD."
    );
}

#[test]
fn b2_does_not_fire_for_a_partial_refund_a_free_task_or_no_bill() {
    let refunded = Task { refunded: 100, ..sample::task() };
    assert!(b2(&facts(&Task { refunded: 99, ..refunded.clone() }, Some(1))).is_none());
    assert!(b2(&facts(&Task { money: 0, refunded: 0, ..refunded.clone() }, Some(1))).is_none());
    assert!(b2(&facts(&refunded, Some(0))).is_none() && b2(&facts(&refunded, None)).is_none());
}

#[test]
fn b3_fires_for_a_billed_task_that_is_pending_processing_or_canceled_here() {
    let thresholds = Thresholds::default();
    for status in TaskStatus::ALL {
        let task = Task { status: *status, ..sample::task() };
        let fires = b3(&facts(&task, Some(1)), &thresholds).is_some();
        assert_eq!(
            fires,
            matches!(status, TaskStatus::Pending | TaskStatus::Processing | TaskStatus::Canceled),
            "{status}"
        );
        assert!(
            b3(&facts(&task, Some(0)), &thresholds).is_none()
                && b3(&facts(&task, None), &thresholds).is_none()
        );
    }
    let task = Task { status: TaskStatus::Processing, ..sample::task() };
    assert_eq!(
        b3(&facts(&task, Some(1)), &thresholds).expect("fires").message(Language::English),
        "Task t1 of user 7 (fal-ai/flux/dev): fal billed 0.000000001 USD, last at 1970-04-11 01:00:00 UTC, yet here it is processing."
    );
}

#[test]
fn b3_waits_until_the_lag_has_passed_since_the_newest_event() {
    let task = Task { status: TaskStatus::Processing, ..sample::task() };
    let aged = |age| TaskFacts { now: at(HOUR + age), ..facts(&task, Some(1)) };
    assert!(b3(&aged(30 * MINUTE - 1), &Thresholds::default()).is_none());
    assert!(b3(&aged(30 * MINUTE), &Thresholds::default()).is_some(), "exactly the lag");
}

#[test]
fn b5_fires_where_the_net_points_are_worth_less_than_the_cost() {
    let rates = Rates::default();
    let task = Task { money: 120, refunded: 20, ..sample::task() };
    assert!(b5(&facts(&task, Some(250_000_000)), &rates).is_none(), "exactly the cost");
    assert_eq!(
        b5(&facts(&task, Some(250_000_001)), &rates).expect("fires").message(Language::English),
        "Task t1 of user 7 (fal-ai/flux/dev): 100 points are worth 0.25 USD, less than the cost of 0.250000001 USD."
    );
    let reported = Task { reported_cost_nano_usd: Some(250_000_001), ..task };
    assert!(b5(&facts(&reported, None), &rates).is_some(), "the report, where there is no bill");
}

#[test]
fn b5_values_points_at_the_operators_rate() {
    let rates = Rates { fen_per_usd: Rate::new(71_823, 100).expect("positive"), ..Rates::default() };
    let task = Task { money: 71_823, ..sample::task() };
    assert!(b5(&facts(&task, Some(100_000_000_000)), &rates).is_none());
    assert!(b5(&facts(&task, Some(100_000_000_001)), &rates).is_some());
}

#[test]
fn b5_leaves_free_refunded_and_costless_tasks_to_other_rules() {
    let rates = Rates::default();
    assert!(b5(&facts(&Task { money: 0, ..sample::task() }, Some(1)), &rates).is_none());
    assert!(b5(&facts(&Task { refunded: 100, ..sample::task() }, Some(1)), &rates).is_none());
    assert!(b5(&facts(&Task { reported_cost_nano_usd: None, ..sample::task() }, None), &rates).is_none());
    let dear = Task { money: i64::MAX, ..sample::task() };
    assert!(b5(&facts(&dear, Some(i64::MAX.into())), &rates).is_none(), "the largest amounts");
}

fn stuck() -> Task {
    Task { status: TaskStatus::Processing, complete_time: None, ..sample::task() }
}

#[test]
fn b6_fires_for_a_charged_task_that_nobody_settles() {
    for status in TaskStatus::ALL {
        let task = Task { status: *status, ..stuck() };
        let fires = b6(&facts(&task, None), &Thresholds::default()).is_some();
        assert_eq!(fires, status.is_open(), "{status}");
    }
    assert_eq!(
        b6(&facts(&stuck(), None), &Thresholds::default()).expect("fires").message(Language::English),
        "Task t1 of user 7 (fal-ai/flux/dev): 100 points charged, processing for 4 d 3 h, no live lease and no billing event."
    );
}

#[test]
fn b6_fires_only_for_what_is_older_than_a_day() {
    let task = stuck();
    let aged = |age| TaskFacts { events_until: task.create_time.plus(age), ..facts(&task, None) };
    assert!(b6(&aged(24 * HOUR), &Thresholds::default()).is_none(), "exactly as old");
    assert!(b6(&aged(24 * HOUR + 1), &Thresholds::default()).is_some());
}

#[test]
fn b6_does_not_fire_with_a_lease_an_event_or_nothing_charged() {
    let judge = |task: &Task, billed| b6(&facts(task, billed), &Thresholds::default());
    assert!(judge(&Task { live_lease: true, ..stuck() }, None).is_none());
    assert!(judge(&stuck(), Some(0)).is_none(), "an event, even of no cost");
    assert!(judge(&Task { money: 0, held: 100, ..stuck() }, None).is_none());
    assert!(judge(&Task { refunded: 100, ..stuck() }, None).is_none(), "the user has it back");
}

#[test]
fn b6_does_not_argue_from_a_fetch_that_was_not_complete() {
    let task = stuck();
    let unsure = |task| TaskFacts { proves_absence: false, ..facts(task, None) };
    assert!(b6(&unsure(&task), &Thresholds::default()).is_none());
    let never_started = Task { attempts: vec![], key_id: "".into(), ..stuck() };
    assert!(b6(&unsure(&never_started), &Thresholds::default()).is_some(), "nothing of it can be at fal");
    let with_a_key = Task { attempts: vec![], ..stuck() };
    let with_a_request = Task { attempts: sample::attempts(&[("r1", "")]), key_id: "".into(), ..stuck() };
    for task in [&with_a_key, &with_a_request] {
        assert!(b6(&unsure(task), &Thresholds::default()).is_none(), "fal may have been asked");
    }
}
