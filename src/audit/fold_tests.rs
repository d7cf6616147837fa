use std::collections::BTreeSet;

use super::super::rules::sample::{self, DAY, HOUR, MINUTE, at, user_day, user_tasks};
use super::super::{Collected, CostChange, Fetch, Micros, Rule, TaskStatus, Usage, UsageRow};
use super::*;

/// What an audit is run over; a test changes what it is about.
struct World {
    scope: Scope,
    accounts: Vec<Account>,
    tasks: Vec<Task>,
    events: Vec<Event>,
}

/// One task, billed as reported, charged as the ledger says.
fn sound() -> World {
    World {
        scope: sample::scope(),
        accounts: vec![sample::account(1, "w"), sample::account(2, "w")],
        tasks: vec![sample::task()],
        events: vec![sample::event("r1", 100_000_000)],
    }
}

impl World {
    fn audit(mut self) -> (Report, Collected) {
        self.tasks.sort_by(|one, other| one.sort_key().cmp(&other.sort_key()));
        self.events.sort_by(|one, other| one.request_id.cmp(&other.request_id));
        let mut out = Collected::default();
        let mut audit = Audit::new(self.scope, Thresholds::default(), self.accounts).expect("sound");
        let (mut tasks, mut events) = (self.tasks.into_iter(), self.events.into_iter());
        loop {
            match audit.need() {
                Need::Task => audit.task(tasks.next(), &mut out).expect("in order"),
                Need::Event => audit.event(events.next(), &mut out).expect("in order"),
                Need::Nothing => break,
            }
        }
        let report = audit.finish(&mut out).expect("ended");
        (report, out)
    }

    /// The rules that fire, without A4: the ledger is not what these tests are about.
    fn rules(self) -> Vec<Rule> {
        let findings = self.audit().1.findings;
        findings.iter().map(|finding| finding.rule).filter(|rule| *rule != Rule::A4).collect()
    }
}

#[test]
fn books_that_agree_have_no_findings_and_every_layer_the_same_sums() {
    let World { scope, accounts, tasks, events } = sound();
    let mut out = Collected::default();
    let mut audit = Audit::new(scope, Thresholds::default(), accounts).expect("sound");
    audit.user_tasks(&user_tasks()).expect("in order");
    audit.user_day(&user_day(0, 100, 0), &mut out).expect("in order");
    audit.task(tasks.into_iter().next(), &mut out).expect("wanted");
    audit.event(events.into_iter().next(), &mut out).expect("wanted");
    audit.task(None, &mut out).expect("wanted");
    audit.event(None, &mut out).expect("wanted");
    assert_eq!((audit.progress().tasks, audit.progress().events), (1, 1));
    let report = audit.finish(&mut out).expect("ended");
    assert_eq!(out.findings, []);
    assert_eq!(report.findings.total(), 0);
    assert_eq!(report.totals.sums.charged_points, 100);
    assert_eq!(report.totals.official_cost_nano_usd, 100_000_000);
    assert!(report.users[0].ok && report.totals.users.not_ok == 0);
    assert_eq!(report.totals.sums.margin_nano_usd(&report.rates), 150_000_000);
    assert_eq!((report.tasks[0].account_id, report.tasks[0].user_id, report.tasks.len()), (Some(1), 7, 1));
    assert_eq!(report.days.iter().map(|day| day.consumed_points).sum::<i128>(), 100);
    let json = serde_json::to_string(&report).expect("JSON");
    assert!(json.contains(r#""day":"1970-04-11""#));
    assert_eq!(serde_json::from_str::<super::super::Report>(&json).expect("a report"), report);
}

#[test]
fn a_report_names_the_first_and_the_last_day_of_its_period_by_its_calendar() {
    let World { scope, accounts, .. } = sound();
    let days = |scope: Scope| {
        let mut audit = Audit::new(scope, Thresholds::default(), accounts.clone()).expect("sound");
        let mut out = Collected::default();
        audit.task(None, &mut out).expect("wanted");
        audit.event(None, &mut out).expect("wanted");
        let report = audit.finish(&mut out).expect("ended");
        (report.first_day.0, report.last_day.0, report.days.len())
    };
    assert_eq!(days(scope.clone()), (100, 109, 0));
    let calendar = super::super::Calendar::ahead_of_utc(8 * 3_600);
    assert_eq!(days(Scope { calendar, ..scope }), (100, 110, 0), "the last eight hours are tomorrow's there");
}

#[test]
fn a_workspace_with_two_accounts_is_counted_once() {
    let mut world = sound();
    world.events.push(Event { account_id: 2, ..sample::event("r1", 100_000_000) });
    let (report, out) = world.audit();
    assert_eq!(report.totals.events.cost_nano_usd, 100_000_000);
    assert_eq!((report.totals.repeated_events, report.workspaces.len()), (1, 1));
    assert_eq!(out.costs[0].to_nano_usd, 100_000_000);
}

#[test]
fn a_task_is_pending_until_the_lag_has_passed_and_is_judged_then() {
    let aged = |age: i64| {
        let mut world = sound();
        world.events.clear();
        world.scope.now = sample::task().complete_time.expect("complete").plus(age);
        world.audit()
    };
    let (young, out) = aged(30 * MINUTE - 1);
    assert_eq!(young.totals.pending_tasks, 1);
    assert!(out.findings.iter().all(|finding| finding.rule == Rule::A4));
    let (due, out) = aged(30 * MINUTE);
    assert_eq!(due.totals.pending_tasks, 0);
    let rules: BTreeSet<Rule> = out.findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, BTreeSet::from([Rule::A1, Rule::A2, Rule::A4]));
}

#[test]
fn where_the_fetch_was_not_complete_nothing_is_argued_from_absence_and_nothing_applied() {
    let mut world = sound();
    world.accounts = vec![Account { fetch: Fetch::Incomplete, ..sample::account(1, "w") }];
    let task = |task_id: &str, online_id: &str| Task {
        task_id: task_id.into(),
        attempts: sample::attempts(&[(online_id, "k1")]),
        ..sample::task()
    };
    world.tasks = vec![
        task("paid", "a"),
        Task { status: TaskStatus::Processing, complete_time: None, ..task("stuck", "b") },
        Task { reported_cost_nano_usd: Some(1), ..task("misreported", "c") },
        Task { refunded: 100, ..task("refunded", "d") },
    ];
    world.events =
        vec![sample::event("c", 100_000_000), sample::event("d", 100_000_000), sample::event("e", 1)];
    let (report, out) = world.audit();
    let rules: Vec<Rule> = out.findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, [Rule::B2, Rule::A3, Rule::A4], "what is there still proves something");
    assert_eq!(out.costs, []);
    assert_eq!((report.totals.unjudged_tasks, report.workspaces[0].complete), (2, false));
}

#[test]
fn a_task_of_another_period_accounts_for_its_events_and_is_not_judged() {
    let mut world = sound();
    let early = Task { refunded: 100, create_time: at(-HOUR), ..sample::task() };
    let late = Task { task_id: "t2".into(), create_time: at(10 * DAY), ..early.clone() };
    world.tasks = vec![early, Task { attempts: sample::attempts(&[("r2", "k1")]), ..late }];
    world.events = vec![sample::event("r1", 1), Event { time: at(10 * DAY), ..sample::event("r2", 1) }];
    let (report, out) = world.audit();
    assert_eq!((out.findings, out.costs), (vec![], vec![]));
    assert_eq!((report.totals.sums.tasks, report.totals.events.events), (0, 1), "the event is of the period");
}

#[test]
fn an_event_after_the_period_is_its_tasks_and_is_no_stray_of_this_period() {
    let mut world = sound();
    world.tasks[0].create_time = at(10 * DAY - 1);
    world.tasks[0].complete_time = Some(at(10 * DAY));
    world.events = vec![Event { time: at(10 * DAY), ..sample::event("r1", 100_000_000) }];
    world.events.push(Event { time: at(10 * DAY), ..sample::event("next", 1) });
    let (report, out) = world.audit();
    assert!(out.findings.iter().all(|finding| finding.rule == Rule::A4), "{:?}", out.findings);
    assert_eq!((report.totals.sums.billed_nano_usd, report.totals.stray.requests), (100_000_000, 0));
    assert_eq!(out.costs.len(), 1);
}

#[test]
fn an_open_task_from_before_the_period_is_found_where_the_events_reach_back_to_it() {
    let world = |events_start: Micros, events: Vec<Event>| {
        let mut world = sound();
        world.scope.events_start = events_start;
        world.tasks = vec![Task {
            create_time: at(-DAY),
            complete_time: None,
            status: TaskStatus::Processing,
            reported_cost_nano_usd: None,
            ..sample::task()
        }];
        world.events = events;
        world.rules()
    };
    assert_eq!(world(at(-DAY), vec![]), [Rule::B6]);
    assert_eq!(world(at(-DAY), vec![sample::event("r1", 1)]), [Rule::B3]);
    assert_eq!(world(at(-DAY + 1), vec![]), []);
    assert_eq!(world(at(-DAY + 1), vec![sample::event("r1", 1)]), []);
}

#[test]
fn an_open_task_is_stuck_only_once_the_evidence_reaches_a_day_past_its_creation() {
    let judge = |events_end: Micros, task: Task| {
        let mut world = sound();
        world.scope.events_end = events_end;
        world.tasks = vec![Task { status: TaskStatus::Processing, complete_time: None, ..task }];
        world.tasks[0].reported_cost_nano_usd = None;
        world.events.clear();
        world.rules()
    };
    let last = Task { create_time: at(10 * DAY - HOUR), ..sample::task() };
    assert_eq!(judge(at(11 * DAY - HOUR), last.clone()), [], "fal may have billed it after the last event");
    assert_eq!(judge(at(11 * DAY - HOUR + 1), last.clone()), [Rule::B6]);
    let nowhere = Task { attempts: vec![], key_id: "".into(), ..last };
    assert_eq!(judge(at(10 * DAY), nowhere), [Rule::B6], "nothing of it can be at fal");
}

#[test]
fn applying_the_costs_changes_no_finding_and_leaves_nothing_to_apply() {
    let judge = |recorded: Option<i64>| {
        let mut world = sound();
        world.tasks[0].billed_cost_nano_usd = recorded;
        world.tasks[0].reported_cost_nano_usd = None;
        world.tasks[0].money = 1;
        world.events.push(sample::event("r1", 5));
        world.audit()
    };
    let (before, first) = judge(None);
    let expected =
        CostChange { user_id: 7, task_id: "t1".into(), from_nano_usd: None, to_nano_usd: 100_000_005 };
    assert_eq!(first.costs, [expected]);
    assert!(!first.findings.is_empty());
    let (after, second) = judge(Some(100_000_005));
    assert_eq!((second.findings, second.costs, after), (first.findings, vec![], before));
    assert_eq!(judge(Some(1)).1.costs[0].from_nano_usd, Some(1), "a late event corrects it");
}

#[test]
fn no_cost_is_planned_before_the_evidence_reaches_the_lag_past_the_end_of_the_task() {
    let costs = |complete_time: Micros| {
        let mut world = sound();
        world.tasks[0].complete_time = Some(complete_time);
        world.tasks[0].billed_cost_nano_usd = Some(200_000_000);
        world.audit().1.costs.len()
    };
    assert_eq!(costs(at(10 * DAY)), 1, "the events reach just so far");
    assert_eq!(costs(at(10 * DAY + 1)), 0, "the rest of the bill may lie beyond them");
}

#[test]
fn the_bill_of_a_task_that_has_not_ended_may_raise_a_recorded_cost_and_never_lower_it() {
    let costs = |recorded: Option<i64>| {
        let mut world = sound();
        world.tasks[0].status = TaskStatus::Processing;
        world.tasks[0].complete_time = None;
        world.tasks[0].billed_cost_nano_usd = recorded;
        world.audit().1.costs.len()
    };
    assert_eq!((costs(None), costs(Some(99_999_999)), costs(Some(100_000_001))), (1, 1, 0));
}

#[test]
fn a_cost_that_the_column_cannot_hold_is_not_applied() {
    let costs = |costs: &[i64]| {
        let mut world = sound();
        world.events = costs.iter().map(|cost| sample::event("r1", *cost)).collect();
        world.audit().1.costs.len()
    };
    assert_eq!((costs(&[i64::MAX]), costs(&[i64::MAX, 1]), costs(&[-1]), costs(&[0])), (1, 0, 0, 1));
}

#[test]
fn a1_takes_matched_tasks_without_a_report_as_billed_and_strays_as_not_recorded() {
    let mut world = sound();
    world.tasks[0].reported_cost_nano_usd = None;
    assert_eq!(world.rules(), []);
    let mut world = sound();
    world.events.push(sample::event("stray", 11_111_112));
    let (report, out) = world.audit();
    assert_eq!(
        out.findings.iter().map(|finding| finding.rule).collect::<Vec<_>>(),
        [Rule::A3, Rule::A1, Rule::A4]
    );
    assert_eq!(report.totals.stray.requests, 1);
    let row = &report.workspaces[0];
    assert_eq!((row.billed_nano_usd, row.recorded_nano_usd), (111_111_112, 100_000_000));
}

#[test]
fn a2_does_not_fire_for_a_model_that_fal_bills_by_another_name() {
    let mut world = sound();
    world.tasks.push(Task {
        task_id: "t2".into(),
        attempts: sample::attempts(&[("r2", "k1")]),
        reported_cost_nano_usd: None,
        ..sample::task()
    });
    let mut nothing = sound();
    nothing.tasks = world.tasks.clone();
    world.events[0].endpoint_id = "another".into();
    assert_eq!(world.rules(), []);
    nothing.events[0].cost_nano_usd = 0;
    assert_eq!(nothing.rules(), [Rule::B1, Rule::A1, Rule::A2]);
}

#[test]
fn a2_hears_of_bills_of_the_period_and_of_its_tasks_and_of_no_others() {
    let judge = |events: Vec<Event>| {
        let mut world = sound();
        world.scope.events_start = at(-DAY);
        world.tasks[0].reported_cost_nano_usd = None;
        let other = |task_id: &str, online_id: &str, create_time| Task {
            task_id: task_id.into(),
            attempts: sample::attempts(&[(online_id, "k1")]),
            create_time,
            complete_time: Some(create_time.plus(MINUTE)),
            ..world.tasks[0].clone()
        };
        world.tasks.extend([other("t0", "earlier", at(-HOUR)), other("t2", "last", at(9 * DAY))]);
        world.events = events;
        world.rules()
    };
    let billed_at = |request_id: &str, time| Event { time, ..sample::event(request_id, 1) };
    assert_eq!(judge(vec![billed_at("earlier", at(-HOUR))]), [Rule::A2], "a bill from before the period");
    assert_eq!(judge(vec![billed_at("stray", at(10 * DAY))]), [Rule::A2], "a bill from after it");
    assert_eq!(judge(vec![billed_at("earlier", at(0))]), [], "a bill of the period, of an older task");
    assert_eq!(judge(vec![billed_at("last", at(10 * DAY))]), [], "a later bill of a task of the period");
}

#[test]
fn a_task_that_ran_over_the_end_of_its_period_is_held_against_its_bill_by_the_run_after_it() {
    // Charged a minute before the period ends, over a minute after it; ten times as dear as its runner said.
    let run = |later: i64| {
        let mut world = sound();
        let (end, lag) = (world.scope.end, Thresholds::default().billing_lag_micros);
        world.tasks[0].create_time = end.plus(-MINUTE);
        world.tasks[0].complete_time = Some(end.plus(MINUTE));
        world.events[0].time = end.plus(MINUTE);
        world.events[0].cost_nano_usd *= 10;
        if later > 0 {
            (world.scope.start, world.scope.end) = (end.plus((later - 1) * DAY), end.plus(later * DAY));
            world.scope.events_start = end.plus(-DAY);
        }
        // Each begins as soon as it may.
        let begun = world.scope.end.plus(lag);
        (world.scope.now, world.scope.events_end) = (begun, begun);
        let (report, out) = world.audit();
        let rules: Vec<Rule> = out.findings.iter().map(|finding| finding.rule).collect();
        let of_bill: Vec<Rule> =
            rules.into_iter().filter(|rule| matches!(rule, Rule::A1 | Rule::B1)).collect();
        (of_bill, report.totals.pending_tasks)
    };
    assert_eq!(run(0), (vec![], 1), "its own run: the bill may be there in part, and the report says so");
    assert_eq!(run(1), (vec![Rule::B1, Rule::A1], 0), "the next one looks back at it");
    assert_eq!(run(2), (vec![], 0), "and the one after that no more");
}

#[test]
fn a2_is_silent_where_there_is_no_account_that_could_be_asked() {
    let mut world = sound();
    (world.accounts, world.events) = (vec![], vec![]);
    world.tasks[0].key_id = "".into();
    world.tasks[0].attempts = sample::attempts(&[("r1", "")]);
    let (report, out) = world.audit();
    assert!(out.findings.iter().all(|finding| finding.rule == Rule::A4), "{:?}", out.findings);
    assert_eq!(report.totals.unjudged_tasks, 1);
}

#[test]
fn usage_is_held_against_events_and_tasks() {
    let row = |model: &str, unit: &str, cost_nano_usd| UsageRow {
        endpoint_id: model.into(),
        unit: unit.into(),
        units_nano: 2_000_000_000,
        cost_nano_usd,
    };
    let mut world = sound();
    let rows =
        vec![row("fal-ai/flux/dev", "image", 60_000_000), row("fal-ai/flux/dev", "megapixel", 40_000_000)];
    world.accounts[0].usage = Some(Usage { start: world.scope.start, end: world.scope.end, rows });
    let accounts = world.accounts.clone();
    let (report, out) = world.audit();
    assert!(out.findings.iter().all(|finding| finding.rule == Rule::A4));
    assert_eq!(report.workspaces[0].models[0].units.len(), 2);
    let mut world = World { accounts, ..sound() };
    if let Some(usage) = &mut world.accounts[0].usage {
        usage.rows.push(row("unknown", "second", 7_000_000));
    }
    let (report, out) = world.audit();
    let rules: Vec<Rule> = out.findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, [Rule::B7, Rule::A3, Rule::A4]);
    assert_eq!(report.totals.official_cost_nano_usd, 107_000_000, "fal's own total is the official one");
}

#[test]
fn a_selection_of_users_narrows_what_is_shown_and_not_what_is_judged() {
    let mut world = sound();
    world.tasks.push(Task {
        task_id: "t2".into(),
        user_id: 8,
        money: 1,
        attempts: sample::attempts(&[("r2", "k1")]),
        ..sample::task()
    });
    world.events.push(sample::event("r2", 100_000_000));
    world.scope.users = Some(BTreeSet::from([7]));
    let (report, out) = world.audit();
    assert!(out.findings.iter().all(|finding| finding.user_id == Some(7)), "no B5 of user 8, no A1");
    assert_eq!((report.users.len(), report.totals.sums.tasks, out.costs.len()), (1, 1, 1));
    assert_eq!(report.workspaces[0].recorded_nano_usd, 200_000_000);
}

#[test]
fn a_selection_of_accounts_shows_their_tasks_and_whole_users() {
    let mut world = sound();
    world.accounts = vec![
        sample::account(1, "w"),
        Account { selected: false, fetch: Fetch::NotAsked, ..sample::account(2, "v") },
    ];
    world.tasks.push(Task {
        task_id: "t2".into(),
        attempts: sample::attempts(&[("r2", "k2")]),
        key_id: "k2".into(),
        ..sample::task()
    });
    let (report, out) = world.audit();
    assert!(out.findings.iter().all(|finding| finding.rule == Rule::A4));
    assert_eq!(
        (report.workspaces.len(), report.totals.sums.tasks, report.users[0].charged_points),
        (1, 1, 200)
    );
}

#[test]
fn days_before_and_after_the_period_are_looked_at_and_not_judged() {
    let mut out = Collected::default();
    let mut audit = Audit::new(sample::scope(), Thresholds::default(), vec![]).expect("sound");
    let days = [(-3, 1), (-2, 1), (-1, 5_000), (0, 90_000), (10, 90_000)];
    for (day, consumed) in days {
        audit.user_day(&user_day(day, consumed, consumed), &mut out).expect("in order");
    }
    let fired: Vec<_> =
        out.findings.iter().map(|finding| (finding.rule, finding.evidence.text("day"))).collect();
    assert_eq!(fired, [(Rule::A5, Some("1970-04-11")), (Rule::A6, Some("1970-04-11"))]);
    let again = audit.user_day(&user_day(10, 1, 0), &mut out);
    assert_eq!(again, Err(Disorder::User { user_id: 7 }));
}

#[test]
fn where_ended_days_alone_are_judged_each_is_in_the_period_it_ends_in_and_counted_in_all() {
    let judge = |start: Micros, end: Micros, ended_days: bool| {
        let mut out = Collected::default();
        let scope = Scope { ended_days, ..Scope::of(start, end, at(DAY), &Thresholds::default()) };
        let mut audit = Audit::new(scope, Thresholds::default(), vec![]).expect("sound");
        audit.user_day(&user_day(0, 0, 100), &mut out).expect("in order");
        audit.task(None, &mut out).expect("wanted");
        audit.event(None, &mut out).expect("wanted");
        let report = audit.finish(&mut out).expect("ended");
        (out.findings.len(), report.days[0].refunded_points)
    };
    assert_eq!(judge(at(22 * HOUR), at(23 * HOUR), true), (0, 100), "its consumption may yet come");
    assert_eq!(judge(at(23 * HOUR), at(DAY), true), (1, 100));
    assert_eq!(judge(at(0), at(DAY - 1), true), (0, 100));
    assert_eq!(judge(at(0), at(DAY - 1), false), (1, 100), "who asks for a day so far is told of it");
}

#[test]
fn an_event_of_an_unknown_account_and_an_early_end_are_refused() {
    let mut out = Collected::default();
    let mut audit = Audit::new(sample::scope(), Thresholds::default(), vec![]).expect("sound");
    let unknown = audit.event(Some(sample::event("r1", 1)), &mut out);
    assert_eq!(unknown, Err(Disorder::UnknownAccount { account_id: 1 }));
    audit.event(None, &mut out).expect("wanted");
    assert_eq!(audit.finish(&mut out), Err(Disorder::Unfinished));
}
