use super::super::rules::sample::{self, DAY, HOUR, MINUTE, at, user_day, user_tasks};
use super::super::{
    Account, Audit, Collected, Disagreement, Fetch, Micros, Need, Report, Rule, TaskStatus, UsageRow,
    UserTasks,
};
use super::*;
use crate::audit::report::{ModelRow, StraySums, UnitRow};

const FLUX: &str = "fal-ai/flux/dev";
const KOKORO: &str = "fal-ai/kokoro";

/// An audit of these rows, which end where it asks for more.
fn audit(scope: Scope, accounts: Vec<Account>, tasks: Vec<Task>, events: Vec<Event>) -> (Report, Collected) {
    let mut out = Collected::default();
    let mut audit = Audit::new(scope, Thresholds::default(), accounts).expect("sound");
    let (mut tasks, mut events) = (tasks, events);
    tasks.sort_by(|one, other| one.sort_key().cmp(&other.sort_key()));
    events.sort_by(|one, other| one.request_id.cmp(&other.request_id));
    let (mut tasks, mut events) = (tasks.into_iter(), events.into_iter());
    loop {
        match audit.need() {
            Need::Task => audit.task(tasks.next(), &mut out).expect("in order"),
            Need::Event => audit.event(events.next(), &mut out).expect("in order"),
            Need::Nothing => break,
        }
    }
    (audit.finish(&mut out).expect("ended"), out)
}

/// A task of this id, whose only request has its name, too.
fn task(id: &str, key_id: &str) -> Task {
    Task {
        task_id: id.into(),
        attempts: sample::attempts(&[(id, key_id)]),
        key_id: key_id.into(),
        ..sample::task()
    }
}

/// Two tasks of user 7 with one model, one of user 8 with another elsewhere, and a stray.
fn two_workspaces() -> (Vec<Account>, Vec<Task>, Vec<Event>) {
    let accounts = vec![sample::account(1, "w"), sample::account(3, "v")];
    let tasks = vec![
        task("a", "k1"),
        Task {
            money: 50,
            refunded: 30,
            reported_cost_nano_usd: None,
            create_time: at(DAY),
            complete_time: Some(at(DAY)),
            ..task("b", "k1")
        },
        Task { user_id: 8, money: 7, app_name: KOKORO.into(), ..task("c", "k3") },
    ];
    let elsewhere = |id: &str, cost| Event { account_id: 3, ..sample::event(id, cost) };
    let events = vec![
        sample::event("a", 100_000_000),
        Event { endpoint_id: KOKORO.into(), ..elsewhere("c", 90_000_000) },
        Event { time: at(2 * DAY), ..elsewhere("stray", 4) },
        Event { time: at(2 * DAY), ..elsewhere("stray", 2) },
    ];
    (accounts, tasks, events)
}

fn sums(tasks: u64, points: (i128, i128), (billed, reported): (i128, i128), without_cost: u64) -> TaskSums {
    TaskSums {
        tasks,
        charged_points: points.0,
        refunded_points: points.1,
        cost_nano_usd: billed,
        billed_nano_usd: billed,
        reported_nano_usd: reported,
        without_cost,
    }
}

const fn events(events: u64, cost_nano_usd: i128) -> EventSums {
    EventSums { events, cost_nano_usd }
}

#[test]
fn tasks_and_events_add_up_by_account_by_day_and_by_model() {
    let (accounts, tasks, rows) = two_workspaces();
    let (report, _) = audit(sample::scope(), accounts, tasks, rows);
    let cell = |account_id, user_id, model: &str, sums: TaskSums| {
        let mut row = TaskRow { account_id, user_id, model: model.into(), sums: CellSums::default() };
        row.sums.add(&sums);
        row
    };
    let of_flux = sums(2, (150, 30), (100_000_000, 100_000_000), 1);
    let of_kokoro = sums(1, (7, 0), (90_000_000, 100_000_000), 0);
    assert_eq!(report.tasks, [cell(Some(1), 7, FLUX, of_flux), cell(Some(3), 8, KOKORO, of_kokoro)]);
    let model = |model: &str, sums, events| ModelRow { model: model.into(), sums, events };
    assert_eq!(
        report.models,
        [model(FLUX, of_flux, events(3, 100_000_006)), model(KOKORO, of_kokoro, events(1, 90_000_000))]
    );
    let day = |day, sums, events| DayRow { day: Day(day), sums, events, ..DayRow::default() };
    assert_eq!(
        report.days,
        [
            day(100, sums(2, (107, 0), (190_000_000, 200_000_000), 0), events(2, 190_000_000)),
            day(101, sums(1, (50, 30), (0, 0), 1), EventSums::default()),
            day(102, TaskSums::default(), events(2, 6)),
        ]
    );
    let mut all = of_flux;
    all.add(&of_kokoro);
    assert_eq!((report.totals.sums, report.totals.events), (all, events(4, 190_000_006)));
    assert_eq!(report.totals.sums.net_points(), 127);
    assert_eq!(report.totals.stray, StraySums { requests: 1, cost_nano_usd: 6 });
}

#[test]
fn a_workspace_has_its_own_events_strays_and_models() {
    let (accounts, tasks, rows) = two_workspaces();
    let (report, _) = audit(sample::scope(), accounts, tasks, rows);
    let [one, other] = &report.workspaces[..] else { panic!("{:?}", report.workspaces) };
    assert_eq!((&*one.workspace, one.accounts[0].account_id, one.events), ("w", 1, events(1, 100_000_000)));
    assert_eq!((one.billed_nano_usd, one.recorded_nano_usd), (100_000_000, 100_000_000));
    assert_eq!((&*other.workspace, other.events), ("v", events(3, 90_000_006)));
    assert_eq!((other.billed_nano_usd, other.recorded_nano_usd), (90_000_006, 100_000_000));
    assert_eq!((other.official_cost_nano_usd, other.usage_nano_usd), (90_000_006, None));
    let models: Vec<_> = other.models.iter().map(|row| (&*row.model, row.events, &row.units[..])).collect();
    let units = |units_nano| vec![UnitRow { unit: "".into(), units_nano }];
    let (of_flux, of_kokoro) = (units(2_000_000_000), units(1_000_000_000));
    assert_eq!(models, [(FLUX, events(2, 6), &of_flux[..]), (KOKORO, events(1, 90_000_000), &of_kokoro[..])]);
}

#[test]
fn a_stray_that_came_through_two_workspaces_is_one_request() {
    let accounts = vec![sample::account(1, "w"), sample::account(3, "v")];
    let rows = vec![sample::event("s", 1), Event { account_id: 3, ..sample::event("s", 2) }];
    let (report, _) = audit(sample::scope(), accounts, vec![], rows);
    assert_eq!(report.totals.stray, StraySums { requests: 1, cost_nano_usd: 3 });
    let costs = report.workspaces.iter().map(|row| row.stray.cost_nano_usd);
    assert_eq!(costs.collect::<Vec<_>>(), [1, 2]);
}

fn usage(start: Micros, end: Micros, rows: &[(&str, &str, i128, i64)]) -> Usage {
    let row = |(model, unit, units_nano, cost_nano_usd): &(&str, &str, i128, i64)| UsageRow {
        endpoint_id: (*model).into(),
        unit: (*unit).into(),
        units_nano: *units_nano,
        cost_nano_usd: *cost_nano_usd,
    };
    Usage { start, end, rows: rows.iter().map(row).collect() }
}

#[test]
fn the_usage_of_the_same_period_is_official_and_has_its_own_units() {
    let judge = |start, end| {
        let rows = [(FLUX, "image", 2, 40_000_000), (FLUX, "image", 1, 0), (FLUX, "s", 9, 5_000_000)];
        let usage = Some(usage(start, end, &rows));
        let accounts = vec![Account { usage, ..sample::account(1, "w") }];
        audit(sample::scope(), accounts, vec![task("a", "k1")], vec![sample::event("a", 45_000_100)]).0
    };
    let report = judge(at(0), at(10 * DAY));
    let row = &report.workspaces[0];
    assert_eq!((row.official_cost_nano_usd, row.usage_nano_usd), (45_000_000, Some(45_000_000)));
    let unit = |unit: &str, units_nano| UnitRow { unit: unit.into(), units_nano };
    assert_eq!(row.models.len(), 1);
    assert_eq!(row.models[0].units, [unit("image", 3), unit("s", 9)]);
    assert_eq!(row.models[0].usage_nano_usd, Some(45_000_000));
    for (start, end) in [(at(1), at(10 * DAY)), (at(0), at(10 * DAY - 1))] {
        let row = &judge(start, end).workspaces[0];
        assert_eq!((row.official_cost_nano_usd, row.usage_nano_usd), (45_000_100, Some(45_000_000)));
        assert_eq!(row.models[0].units, [unit("", 1_000_000_000)], "as many as the events have");
    }
}

#[test]
fn units_of_events_have_the_name_that_the_usage_has_for_them() {
    let usage = Some(usage(at(0), at(DAY), &[(FLUX, "image", 2, 40_000_000)]));
    let accounts = vec![Account { usage, ..sample::account(1, "w") }];
    let events = vec![sample::event("a", 45_000_100)];
    let report = audit(sample::scope(), accounts, vec![task("a", "k1")], events).0;
    let expected = UnitRow { unit: "image".into(), units_nano: 1_000_000_000 };
    assert_eq!(report.workspaces[0].models[0].units, [expected]);
}

#[test]
fn the_usage_of_a_window_is_held_against_the_events_from_its_start_until_its_end() {
    let judge = |time| {
        let usage = Some(usage(at(HOUR), at(2 * HOUR), &[(FLUX, "image", 1, 5_000_000)]));
        let accounts = vec![Account { usage, ..sample::account(1, "w") }];
        let rows = vec![Event { time, ..sample::event("a", 5_000_000) }];
        let tasks = vec![Task { reported_cost_nano_usd: None, ..task("a", "k1") }];
        let findings = audit(sample::scope(), accounts, tasks, rows).1.findings;
        findings.iter().any(|finding| finding.rule == Rule::B7)
    };
    let times = [at(HOUR - 1), at(HOUR), at(2 * HOUR - 1), at(2 * HOUR)];
    assert_eq!(times.map(judge), [true, false, false, true]);
}

#[test]
fn a_report_is_recorded_where_the_task_ran_unless_fal_billed_it_elsewhere_alone() {
    let recorded = |task: Task, billed_by: &[i64]| {
        let accounts = vec![sample::account(1, "w"), sample::account(2, "v"), sample::account(3, "u")];
        let event = |account_id: &i64| Event { account_id: *account_id, ..sample::event("a", 10) };
        let rows = billed_by.iter().map(event).collect();
        let (report, _) = audit(sample::scope(), accounts, vec![task], rows);
        report.workspaces.iter().map(|row| row.recorded_nano_usd).collect::<Vec<_>>()
    };
    let reported = Task { reported_cost_nano_usd: Some(25), ..task("a", "k2") };
    assert_eq!(recorded(reported.clone(), &[]), [0, 25, 0], "it is due, and not billed");
    assert_eq!(recorded(reported.clone(), &[1, 2]), [0, 25, 0]);
    assert_eq!(recorded(reported.clone(), &[3]), [0, 0, 25]);
    let silent = Task { reported_cost_nano_usd: None, ..reported };
    assert_eq!(recorded(silent.clone(), &[1, 3]), [10, 0, 10], "as billed");
    assert_eq!(recorded(silent, &[]), [0, 0, 0]);
}

#[test]
fn a_task_that_may_yet_be_billed_is_not_held_against_its_report() {
    let scope = Scope { now: at(HOUR + 2 * MINUTE), ..sample::scope() };
    let (report, out) = audit(scope, vec![sample::account(1, "w")], vec![task("a", "k1")], vec![]);
    assert_eq!((report.workspaces[0].recorded_nano_usd, report.totals.pending_tasks), (0, 1));
    assert!(out.findings.iter().all(|finding| finding.rule == Rule::A4));
}

#[test]
fn a_bill_that_may_be_there_in_part_is_not_held_against_the_report_before_the_lag_has_passed() {
    let judge = |now: i64, time| {
        let scope = Scope { now: at(now), ..sample::scope() };
        // Two events make up the report; the first of them has come.
        let rows = vec![Event { time, ..sample::event("a", 50_000_000) }];
        let (report, out) = audit(scope, vec![sample::account(1, "w")], vec![task("a", "k1")], rows);
        let row = &report.workspaces[0];
        let fires = out.findings.iter().any(|finding| finding.rule == Rule::A1);
        (fires, row.billed_nano_usd, row.recorded_nano_usd)
    };
    let ended = HOUR + MINUTE;
    assert_eq!(judge(ended + 2 * MINUTE, at(ended)), (false, 0, 0), "it is two minutes old");
    assert_eq!(judge(ended + 30 * MINUTE, at(ended)), (true, 50_000_000, 100_000_000));
}

#[test]
fn a_model_that_fals_usage_bills_is_not_called_unbilled_where_its_events_are_missing() {
    let fires = |cost| {
        let usage = Some(usage(at(0), at(10 * DAY), &[(FLUX, "image", 1, cost)]));
        let accounts = vec![sample::account(1, "w"), Account { usage, ..sample::account(2, "v") }];
        let findings = audit(sample::scope(), accounts, vec![task("a", "k1")], vec![]).1.findings;
        let of = |rule| findings.iter().any(|finding| finding.rule == rule);
        (of(Rule::A2), of(Rule::B7))
    };
    assert_eq!(fires(5_000_000), (false, true), "the usage and the events disagree");
    assert_eq!(fires(0), (true, false));
}

#[test]
fn a2_hears_of_completed_tasks_that_were_paid_for_and_have_no_bill() {
    let fires = |task: Task, cost: Option<i64>| {
        let rows = cost.map(|cost| sample::event("a", cost)).into_iter().collect();
        let findings = audit(sample::scope(), vec![sample::account(1, "w")], vec![task], rows).1.findings;
        findings.iter().any(|finding| finding.rule == Rule::A2)
    };
    let paid = Task { reported_cost_nano_usd: None, ..task("a", "k1") };
    assert!(fires(paid.clone(), None) && fires(paid.clone(), Some(0)));
    assert!(!fires(paid.clone(), Some(1)));
    assert!(!fires(Task { refunded: 100, ..paid.clone() }, None), "the user has it back");
    assert!(!fires(Task { status: TaskStatus::Failed, ..paid }, None));
}

#[test]
fn days_and_tasks_of_the_users_asked_for_are_counted_and_no_others() {
    let mut out = Collected::default();
    let scope = Scope { users: Some([7].into()), ..sample::scope() };
    let mut audit = Audit::new(scope, Thresholds::default(), vec![]).expect("sound");
    let mut day = super::super::UserDay { credited: 9, ..user_day(0, 100, 20) };
    audit.user_day(&day, &mut out).expect("in order");
    audit.user_tasks(&user_tasks()).expect("in order");
    day.user_id = 8;
    audit.user_day(&day, &mut out).expect("it is passed over");
    audit.user_tasks(&UserTasks { user_id: 8, ..user_tasks() }).expect("it is passed over");
    let wrong = |user_id| Disagreement {
        user_id,
        table: "ts_users".into(),
        key: "user".into(),
        what: "points_balance".into(),
        expected: "1".into(),
        found: "2".into(),
    };
    for user_id in [Some(7), Some(8), None] {
        audit.disagreement(&wrong(user_id), &mut out);
    }
    assert_eq!(audit.progress().findings, 2);
    audit.task(None, &mut out).expect("wanted");
    audit.event(None, &mut out).expect("wanted");
    let report = audit.finish(&mut out).expect("ended");
    assert_eq!(
        report.days,
        [DayRow {
            day: Day(100),
            consumed_points: 100,
            refunded_points: 20,
            credited_points: 9,
            ..DayRow::default()
        }]
    );
    let totals = report.totals.users;
    assert_eq!((totals.users, totals.not_ok), (1, 1), "nothing was charged for what was drawn");
    assert_eq!((totals.points_consumed, totals.cash_consumed, totals.credited_points), (60, 40, 9));
    let found: Vec<_> = out.findings.iter().map(|finding| (finding.rule, finding.user_id)).collect();
    assert_eq!(found, [(Rule::B4, Some(7)), (Rule::B4, None), (Rule::A4, Some(7))]);
}

#[test]
fn a_task_whose_absence_is_not_proved_is_counted_as_unjudged_once_it_is_due() {
    let accounts = vec![Account { fetch: Fetch::Incomplete, ..sample::account(1, "w") }];
    let (report, _) = audit(sample::scope(), accounts, vec![task("a", "k1")], vec![]);
    assert_eq!((report.totals.pending_tasks, report.totals.unjudged_tasks), (0, 1));
}

#[test]
fn a_model_that_any_task_has_run_is_no_stranger_to_the_usage() {
    let judge = |task: Option<Task>| {
        let usage = Some(usage(at(0), at(10 * DAY), &[(KOKORO, "s", 1, 5_000_000)]));
        let accounts = vec![Account { usage, ..sample::account(1, "w") }];
        let findings = audit(sample::scope(), accounts, task.into_iter().collect(), vec![]).1.findings;
        findings.iter().any(|finding| finding.rule == Rule::A3)
    };
    assert!(judge(None) && judge(Some(task("a", "k1"))));
    let earlier = Task { app_name: KOKORO.into(), create_time: at(-HOUR), ..task("a", "k1") };
    assert!(!judge(Some(earlier)), "though it is of another period");
}

#[test]
fn a_day_counts_the_events_of_the_period_and_of_the_workspaces_asked_for() {
    let accounts = vec![sample::account(1, "w"), Account { selected: false, ..sample::account(3, "v") }];
    let rows = vec![
        Event { time: at(10 * DAY), ..sample::event("late", 1) },
        Event { account_id: 3, ..sample::event("elsewhere", 2) },
        sample::event("here", 4),
    ];
    let earlier = Task { app_name: KOKORO.into(), create_time: at(-HOUR), ..task("a", "k1") };
    let (report, _) = audit(sample::scope(), accounts, vec![earlier], rows);
    let days: Vec<_> = report.days.iter().map(|row| (row.day, row.events)).collect();
    assert_eq!(days, [(Day(100), events(1, 4))]);
    let models: Vec<_> = report.models.iter().map(|row| (&*row.model, row.events)).collect();
    assert_eq!(models, [(FLUX, events(1, 4))], "a model of another period has no row");
}
