//! Holds: made once, resolved exactly once, and worth nothing once their time has passed.

use super::commands::{authorize, capture, charge, complete, credit, expire, fail, start, text, void};
use super::{Bench, Rejection, money};
use crate::ledger::command::{Authorize, Charge, Command, CompleteTask, Void};
use crate::ledger::{HoldState, Limits, Purse, Submission, TaskStatus, Work};

const TTL: i64 = 1_000;

fn brief(task_id: &str, amount: i64) -> Authorize {
    Authorize { ttl_micros: Some(TTL), ..authorize(task_id, amount) }
}

fn capturing(task_id: &str, amount: i64) -> Command {
    Command::CompleteTask(CompleteTask { capture_amount: Some(amount), ..complete(task_id) })
}

/// Each way in which a hold can end.
fn endings() -> Vec<(HoldState, Command)> {
    vec![
        (HoldState::Captured, Command::Capture(capture("t", 50))),
        (HoldState::Captured, capturing("t", 50)),
        (HoldState::Voided, Command::Void(void("t"))),
        (HoldState::Voided, Command::FailTask(fail("t"))),
    ]
}

#[test]
fn a_hold_ends_once_whichever_two_compete_for_it() {
    for (state, first) in endings() {
        for (_, second) in endings().into_iter().filter(|(_, second)| *second != first) {
            let mut bench = Bench::with(100, 0);
            bench.ok(authorize("t", 80));
            bench.ok(first.clone());
            let after_first = (bench.balance(), bench.world.task("t").hold_state);
            assert_eq!(after_first.1, Some(state));
            // Failing a captured task refunds it: another movement, and no second end of the hold.
            let refunds = state == HoldState::Captured && matches!(second, Command::FailTask(_));
            let outcome = bench.run(second);
            assert!(refunds || bench.balance() == after_first.0, "{outcome:?}");
            assert_eq!(bench.world.task("t").hold_state, after_first.1);
            assert_eq!(bench.held(), money(0, 0));
        }
    }
}

#[test]
fn an_expired_hold_gives_nothing_to_whoever_comes_after() {
    for (_, command) in endings() {
        let mut bench = Bench::with(100, 0);
        bench.ok(brief("t", 80));
        bench.pass(TTL);
        bench.ok(expire("t"));
        let before = bench.balance();
        let _ = bench.run(command);
        assert_eq!((bench.balance(), bench.held()), (before, money(0, 0)));
        assert_eq!(bench.world.task("t").hold_state, Some(HoldState::Expired));
    }
}

#[test]
fn a_hold_is_good_until_the_moment_it_expires_and_not_at_it() {
    let mut bench = Bench::with(100, 0);
    bench.ok(brief("t", 80));
    bench.pass(TTL - 1);
    assert!(matches!(bench.refused(expire("t")), Rejection::TaskStateConflict { .. }), "not due yet");
    bench.clone().ok(capture("t", 50));
    bench.clone().ok(void("t"));
    bench.pass(1);
    bench.ok(expire("t"));
}

#[test]
fn an_overdue_hold_is_refused_before_it_is_swept() {
    let mut bench = Bench::with(100, 0);
    bench.ok(brief("t", 80));
    bench.pass(TTL);
    let expired = |requested| Rejection::HoldExpired { held: 80, requested };
    assert_eq!(bench.refused(capture("t", 50)), expired(50));
    assert_eq!(bench.refused(capture("t", 81)), expired(81), "expired before too much");
    assert_eq!(bench.refused(capturing("t", 50)), expired(50));
    assert_eq!(bench.refused(void("t")), expired(0));
    assert_eq!(bench.held(), money(80, 0), "it holds the money until it is swept");
    bench.ok(expire("t"));
    assert_eq!(bench.held(), money(0, 0));
    assert_eq!(bench.refused(capture("t", 50)), expired(50), "and the same after it");
    assert_eq!(bench.refused(void("t")), expired(0));
}

#[test]
fn an_overdue_hold_lets_its_task_start_and_end_without_capture() {
    let mut bench = Bench::with(100, 0);
    bench.ok(brief("t", 80));
    bench.ok(brief("u", 20));
    bench.pass(TTL);
    bench.ok(start("t", "online-1"));
    bench.ok(complete("t"));
    bench.ok(expire("t"));
    assert_eq!(bench.world.task("t").status, TaskStatus::Completed);
    bench.ok(fail("u"));
    assert_eq!(bench.world.task("u").hold_state, Some(HoldState::Voided));
    assert_eq!((bench.balance(), bench.held()), (money(100, 0), money(0, 0)));
}

#[test]
fn capturing_more_than_the_hold_is_refused_and_leaves_it_open() {
    let mut bench = Bench::with(1_000, 0);
    bench.ok(authorize("t", 80));
    let exceeds = Rejection::CaptureExceedsHold { held: 80, requested: 81 };
    assert_eq!(bench.refused(capture("t", 81)), exceeds);
    assert_eq!(bench.refused(capturing("t", 81)), exceeds);
    assert_eq!(bench.world.task("t").status, TaskStatus::Pending, "the report is refused whole");
    bench.ok(capture("t", 80));
}

#[test]
fn what_a_capture_leaves_of_the_hold_can_be_spent() {
    let mut bench = Bench::with(100, 0);
    bench.ok(authorize("t", 100));
    bench.ok(capture("t", 30));
    bench.ok(charge("u", 70));
    assert_eq!(bench.balance(), money(0, 0));
}

#[test]
fn completing_leaves_an_open_hold_waiting_for_its_capture() {
    let mut bench = Bench::with(100, 0);
    bench.ok(authorize("t", 80));
    bench.ok(complete("t"));
    assert_eq!((bench.world.task("t").hold_state, bench.held()), (Some(HoldState::Open), money(80, 0)));
    bench.ok(capture("t", 80));
    assert_eq!((bench.world.task("t").status, bench.balance()), (TaskStatus::Completed, money(20, 0)));
}

#[test]
fn a_repeated_hold_is_a_replay_after_whatever_became_of_it() {
    for (_, command) in endings() {
        let mut bench = Bench::with(100, 0);
        bench.ok(authorize("t", 80));
        bench.ok(command);
        let done = bench.replay(authorize("t", 80));
        assert_eq!(done.earlier_entries, None, "a hold wrote no entry; the capture's are the capture's");
    }
}

#[test]
fn a_hold_of_other_content_names_the_field_that_differs() {
    let mut bench = Bench::with(100, 0);
    bench.ok(brief("t", 80));
    let field = |bench: &mut Bench, command: Command| match bench.refused(command) {
        Rejection::TaskAlreadyCharged { field, .. } => field,
        other => panic!("{other:?}"),
    };
    let longer = Authorize { ttl_micros: Some(TTL + 1), ..authorize("t", 80) };
    assert_eq!(field(&mut bench, Command::Authorize(longer)), "ttl");
    assert_eq!(field(&mut bench, Command::Authorize(brief("t", 81))), "amount");
    assert_eq!(field(&mut bench, Command::Charge(charge("t", 80))), "method");
    let retitled = Authorize { charge: Charge { title: text("x"), ..charge("t", 80) }, ..brief("t", 80) };
    bench.replay(retitled);
}

#[test]
fn a_hold_without_a_ttl_lasts_as_long_as_the_operator_says() {
    let limits = Limits { default_hold_micros: 5_000, ..Limits::default() };
    let mut bench = Bench::with(100, 0);
    let work = |limits: &Limits, task_id| {
        let command = Command::Authorize(authorize(task_id, 10));
        Work::One(Submission::new(command, "", &text("tests"), limits).expect("well-formed"))
    };
    bench.decide(&[work(&limits, "t"), work(&Limits::default(), "u")]);
    assert_eq!(bench.world.task("t").hold_expire_time, Some(bench.now.plus(5_000)));
    assert_eq!(bench.world.task("u").hold_expire_time, Some(bench.now.plus(24 * 3_600_000_000)));
}

#[test]
fn a_repeat_without_a_ttl_stays_a_replay_when_the_operator_changes_the_default() {
    let mut bench = Bench::with(100, 0);
    bench.ok(authorize("t", 10));
    let limits = Limits { default_hold_micros: 5_000, ..Limits::default() };
    let command = Command::Authorize(authorize("t", 10));
    let again = Submission::new(command, "", &text("tests"), &limits).expect("well-formed");
    let outcome = bench.decide(&[Work::One(again)]).remove(0).remove(0);
    assert!(outcome.as_ref().is_ok_and(|done| done.replayed), "{outcome:?}");
}

#[test]
fn holds_of_a_user_add_up_and_never_exceed_the_purses() {
    let mut bench = Bench::with(60, 40);
    bench.ok(authorize("a", 50));
    bench.ok(authorize("b", 50));
    assert_eq!(bench.held(), money(60, 40));
    assert_eq!(
        bench.refused(authorize("c", 1)),
        Rejection::InsufficientBalance { required: 1, available: 0, held: 100 }
    );
    bench.ok(void("a"));
    assert_eq!(bench.held(), money(10, 40));
    bench.ok(credit(Purse::Points, 5));
    bench.ok(authorize("c", 55));
    bench.ok(capture("b", 50));
    assert_eq!((bench.balance(), bench.held()), (money(55, 0), money(55, 0)));
}

#[test]
fn a_voided_task_says_why() {
    let mut bench = Bench::with(100, 0);
    bench.ok(authorize("t", 80));
    bench.ok(Void { reason: text("the user changed his mind"), ..void("t") });
    assert_eq!(bench.world.task("t").error.as_deref(), Some("the user changed his mind"));
}
