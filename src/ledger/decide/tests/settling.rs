//! The runner's reports: attempts, ends, repeats of an end, and reports that come too late to change one.

use super::commands::{authorize, charge, complete, fail, refund_all, start, text, void};
use super::{Bench, Rejection, money};
use crate::ledger::command::{Command, CompleteTask, FailTask, StartTask};
use crate::ledger::{TaskStatus, Text};

fn attempts(bench: &Bench) -> Vec<&str> {
    bench.world.task("t").attempts.iter().map(|id| &**id).collect()
}

fn reported(task_id: &str, online_task_id: &str) -> CompleteTask {
    CompleteTask { online_task_id: text(online_task_id), ..complete(task_id) }
}

/// A report of nothing but the end.
fn bare() -> CompleteTask {
    CompleteTask { output_params: text(""), cost_nano_usd: None, billable_units: text(""), ..complete("t") }
}

#[test]
fn each_start_is_an_attempt_and_the_task_shows_the_newest() {
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    bench.ok(start("t", "online-1"));
    bench.ok(start("t", "online-2"));
    bench.ok(StartTask { key_id: text("key-2"), ..start("t", "online-2") });
    assert_eq!(attempts(&bench), ["online-1", "online-2", "online-2"]);
    let rows: Vec<(i32, &str)> =
        bench.world.attempts().values().map(|row| (row.attempt, &*row.key_id)).collect();
    assert_eq!(rows, [(1, "key-1"), (2, "key-1"), (3, "key-2")]);
    let task = bench.world.task("t");
    assert_eq!((&*task.online_task_id, &*task.key_id), ("online-2", "key-2"));
}

#[test]
fn an_end_that_names_an_attempt_nobody_started_records_it() {
    for ended in [Command::CompleteTask(reported("t", "online-9")), {
        Command::FailTask(FailTask { online_task_id: text("online-9"), ..fail("t") })
    }] {
        let mut bench = Bench::with(100, 0);
        bench.ok(charge("t", 10));
        bench.ok(ended.clone());
        assert_eq!(attempts(&bench), ["online-9"]);

        let mut bench = Bench::with(100, 0);
        bench.ok(charge("t", 10));
        bench.ok(start("t", "online-1"));
        bench.ok(ended);
        assert_eq!(attempts(&bench), ["online-1", "online-9"]);
        assert_eq!(&*bench.world.task("t").online_task_id, "online-9");
    }
}

#[test]
fn an_end_that_names_an_earlier_attempt_makes_no_new_one() {
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    bench.ok(start("t", "online-1"));
    bench.ok(start("t", "online-2"));
    bench.ok(reported("t", "online-1"));
    assert_eq!(attempts(&bench), ["online-1", "online-2"]);
    assert_eq!(&*bench.world.task("t").online_task_id, "online-1", "the row shows the attempt that ended it");
}

#[test]
fn an_end_without_an_id_keeps_the_one_that_is_known() {
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    bench.ok(start("t", "online-1"));
    bench.ok(complete("t"));
    assert_eq!((attempts(&bench), &*bench.world.task("t").online_task_id), (vec!["online-1"], "online-1"));
}

#[test]
fn a_repeated_end_answers_the_entries_of_the_first() {
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    let first = bench.ok(fail("t"));
    let again = bench.replay(fail("t"));
    let range = again.earlier_entries.expect("the refund");
    assert_eq!((range.first_seq, range.count), (first.entries[0].user_seq, 1));
    assert_eq!(again.user.balance, money(100, 0));

    bench.ok(authorize("h", 10));
    let capturing = CompleteTask { capture_amount: Some(5), ..complete("h") };
    let first = bench.ok(capturing.clone());
    bench.ok(refund_all("h"));
    let range = bench.replay(capturing).earlier_entries.expect("the capture, not the refund");
    assert_eq!(range.first_seq, first.entries[0].user_seq);
}

#[test]
fn another_report_of_an_end_is_refused_and_names_what_differs() {
    let why = |bench: &mut Bench, command: Command| match bench.refused(command) {
        Rejection::TaskStateConflict { why, .. } => why,
        other => panic!("{other:?}"),
    };
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    bench.ok(complete("t"));
    let reports = [
        (CompleteTask { output_params: text("{}"), ..complete("t") }, "output_params"),
        (CompleteTask { cost_nano_usd: Some(0), ..complete("t") }, "cost_nano_usd"),
        (CompleteTask { billable_units: text("1"), ..complete("t") }, "billable_units"),
        (CompleteTask { online_task_id: text("x"), ..complete("t") }, "online_task_id"),
        (CompleteTask { capture_amount: Some(1), ..complete("t") }, "capture_amount"),
    ];
    for (report, field) in reports {
        let why = why(&mut bench, Command::CompleteTask(report));
        assert!(why.ends_with(field), "{why}");
    }
    assert!(why(&mut bench, Command::FailTask(fail("t"))).contains("Refund"), "it says what to do instead");

    bench.ok(charge("f", 10));
    bench.ok(fail("f"));
    let reports = [
        (FailTask { error: text("other"), ..fail("f") }, "error"),
        (FailTask { no_refund: true, ..fail("f") }, "no_refund"),
        (FailTask { online_task_id: text("x"), ..fail("f") }, "online_task_id"),
    ];
    for (report, field) in reports {
        let why = why(&mut bench, Command::FailTask(report));
        assert!(why.ends_with(field), "{why}");
    }
}

#[test]
fn a_late_success_records_what_was_missing_and_moves_nothing() {
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    bench.ok(fail("t"));
    let ended = bench.now;
    bench.pass(5);
    let done = bench.ok(reported("t", "online-1"));
    assert!(done.late && done.entries.is_empty());
    let task = bench.world.task("t");
    assert_eq!((task.status, task.complete_time), (TaskStatus::Failed, Some(ended)));
    assert_eq!(
        (task.reported_cost_nano_usd, task.billable_units.as_deref()),
        (Some(90_240_000), Some("8.44"))
    );
    assert_eq!((attempts(&bench), &*task.online_task_id), (vec!["online-1"], "online-1"));
    assert_eq!(task.error.as_deref(), Some("upstream said no"));
    assert_eq!(bench.balance(), money(100, 0));
    let again = bench.replay(reported("t", "online-1"));
    assert!(again.late, "and stays late when repeated");
}

#[test]
fn a_late_success_overwrites_nothing_that_is_known() {
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    bench.ok(start("t", "online-1"));
    bench.ok(fail("t"));
    bench.ok(CompleteTask { cost_nano_usd: Some(0), ..bare() });
    let other = CompleteTask { cost_nano_usd: Some(7), online_task_id: text("online-1"), ..bare() };
    assert!(bench.replay(other).late);
    assert_eq!(bench.world.task("t").reported_cost_nano_usd, Some(0), "a cost of nothing is a cost");
}

#[test]
fn a_late_success_records_billable_units_once_whether_or_not_the_cost_is_known() {
    let units = |value| CompleteTask { billable_units: text(value), ..bare() };
    let known = |bench: &Bench| bench.world.task("t").billable_units.as_deref().map(Text::from);
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    bench.ok(fail("t"));
    bench.ok(CompleteTask { cost_nano_usd: Some(5), ..bare() });
    bench.ok(units("8.44"));
    assert_eq!(known(&bench).as_deref(), Some("8.44"), "missing beside a known cost");

    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    bench.ok(fail("t"));
    bench.ok(units("8.44"));
    bench.replay(units("9.00"));
    assert_eq!(known(&bench).as_deref(), Some("8.44"), "known beside a missing cost");
}

#[test]
fn a_late_success_of_an_attempt_nobody_knows_is_recorded_for_the_bill() {
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    bench.ok(start("t", "online-1"));
    bench.ok(fail("t"));
    bench.ok(reported("t", "online-2"));
    assert_eq!(attempts(&bench), ["online-1", "online-2"]);
    assert!(bench.replay(reported("t", "online-2")).late);
}

#[test]
fn a_late_success_after_a_void_finds_the_task_canceled() {
    let mut bench = Bench::with(100, 0);
    bench.ok(authorize("t", 10));
    bench.ok(void("t"));
    let done = bench.ok(complete("t"));
    assert!(done.late);
    assert_eq!(bench.world.task("t").status, TaskStatus::Canceled);
    let capturing = CompleteTask { capture_amount: Some(1), ..complete("t") };
    assert!(matches!(
        bench.refused(capturing),
        Rejection::TaskStateConflict { status: TaskStatus::Canceled, .. }
    ));
}

#[test]
fn a_late_success_under_a_request_id_stays_late_in_its_replay() {
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    bench.ok(fail("t"));
    assert!(bench.run_as("r", complete("t")).is_ok_and(|done| done.late && !done.replayed));
    assert!(bench.run_as("r", complete("t")).is_ok_and(|done| done.late && done.replayed));
}

#[test]
fn failing_a_fully_refunded_task_moves_nothing() {
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    bench.ok(refund_all("t"));
    let done = bench.ok(fail("t"));
    assert!(done.entries.is_empty());
    assert_eq!((bench.world.task("t").status, bench.balance()), (TaskStatus::Failed, money(100, 0)));
}

#[test]
fn the_error_of_a_failure_is_cut_at_4096_characters_and_recognised_whole() {
    let long: String = "错".repeat(5_000);
    let report = FailTask { error: text(&long), ..fail("t") };
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    bench.ok(report.clone());
    let kept = bench.world.task("t").error.clone().expect("an error");
    assert_eq!(kept.chars().count(), 4_096);
    assert!(long.starts_with(&*kept));
    bench.replay(report);
}
