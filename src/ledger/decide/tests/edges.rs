//! The edges: the ends of i64, users and tasks that are not there, and tasks of somebody else.

use super::commands::{
    USER, authorize, capture, charge, complete, credit, debit, expire, fail, of_user, refund, refund_all,
    select, selection, start, submission, text, void,
};
use super::{AsCommand, Bench, Rejection, money};
use crate::ledger::command::{Authorize, Charge, Command, CompleteTask, FailTask, StartTask};
use crate::ledger::{Funding, Purse, TaskStatus};

/// Every command that needs a task to be there.
fn on_a_task(task_id: &str) -> Vec<Command> {
    vec![
        capture(task_id, 1).command(),
        void(task_id).command(),
        expire(task_id).command(),
        refund_all(task_id).command(),
        refund(task_id, 1).command(),
        start(task_id, "online-1").command(),
        complete(task_id).command(),
        fail(task_id).command(),
    ]
}

fn is_invalid(rejection: &Rejection, field: &str) -> bool {
    matches!(rejection, Rejection::InvalidField(fields) if fields.iter().any(|wrong| wrong.field == field))
}

#[test]
fn a_purse_may_hold_all_an_i64_holds_and_not_one_point_more() {
    for purse in [Purse::Points, Purse::Cash] {
        let mut bench = Bench::new();
        bench.ok(credit(purse, i64::MAX));
        let before = bench.world.clone();
        let rejection = bench.run(credit(purse, 1)).expect_err("overflow");
        assert!(is_invalid(&rejection, "amount"), "{rejection:?}");
        assert_eq!(bench.world, before, "and it is not frozen");
    }
}

#[test]
fn the_purses_together_may_not_overflow_either() {
    let mut bench = Bench::with(i64::MAX - 5, 5);
    assert!(is_invalid(&bench.run(credit(Purse::Points, 1)).expect_err("overflow"), "amount"));
    assert!(is_invalid(&bench.run(credit(Purse::Cash, 1)).expect_err("overflow"), "amount"));
    bench.ok(debit(1));
    bench.ok(credit(Purse::Cash, 1));
    assert_eq!(bench.balance(), money(i64::MAX - 6, 6));
}

#[test]
fn a_refund_that_no_longer_fits_the_purses_is_refused_and_fits_later() {
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 100));
    bench.ok(credit(Purse::Cash, i64::MAX));
    let before = bench.world.clone();
    for command in [refund_all("t").command(), refund("t", 1).command(), fail("t").command()] {
        assert!(is_invalid(&bench.run_as("r", command).expect_err("overflow"), "amount"));
        assert_eq!(bench.world, before, "not frozen: it may come right");
    }
    bench.ok(debit(100));
    bench.ok(refund_all("t"));
    assert_eq!(bench.balance(), money(100, i64::MAX - 100));
}

#[test]
fn a_debit_of_everything_is_done_and_of_more_is_refused() {
    let mut bench = Bench::with(i64::MAX - 5, 5);
    let done = bench.ok(debit(i64::MAX));
    assert_eq!((done.entries.len(), bench.balance()), (2, money(0, 0)));
    assert!(matches!(
        bench.run(debit(i64::MAX)),
        Err(Rejection::InsufficientBalance { required: i64::MAX, available: 0, held: 0 })
    ));
}

#[test]
fn the_largest_amounts_asked_of_a_small_hold_or_charge_are_refused_not_overflowed() {
    let mut bench = Bench::with(60, 40);
    bench.ok(authorize("h", 100));
    let exceeds = Rejection::CaptureExceedsHold { held: 100, requested: i64::MAX };
    assert_eq!(bench.refused(capture("h", i64::MAX)), exceeds);
    bench.ok(capture("h", 100));
    let over = Rejection::RefundExceedsCharge { charged: 100, refunded: 0, requested: i64::MAX };
    assert_eq!(bench.run(refund("h", i64::MAX)), Err(over));
}

#[test]
fn a_hold_that_would_expire_past_the_end_of_time_expires_at_it() {
    let mut bench = Bench::with(100, 0);
    bench.pass(i64::MAX - bench.now.0 - 10);
    bench.ok(authorize("t", 10));
    assert_eq!(bench.world.task("t").hold_expire_time.map(|time| time.0), Some(i64::MAX));
}

#[test]
fn amounts_outside_their_range_are_malformed() {
    let invalid = |command: Command| {
        let rejection = submission("r", command.clone()).expect_err("malformed");
        let field = if matches!(command, Command::CompleteTask(_)) { "capture_amount" } else { "amount" };
        assert!(is_invalid(&rejection, field), "{command:?}: {rejection:?}");
    };
    let most = 1_000_000_000_000;
    for amount in [i64::MIN, -1, most + 1, i64::MAX] {
        invalid(charge("t", amount).command());
        invalid(authorize("t", amount).command());
    }
    for amount in [i64::MIN, -1, 0] {
        invalid(authorize("t", amount).command());
        invalid(capture("t", amount).command());
        invalid(refund("t", amount).command());
        invalid(credit(Purse::Points, amount).command());
        invalid(debit(amount).command());
        let capturing =
            crate::ledger::command::CompleteTask { capture_amount: Some(amount), ..complete("t") };
        invalid(capturing.command());
    }
    assert!(submission("", charge("t", most)).is_ok() && submission("", charge("t", 0)).is_ok());
}

#[test]
fn credit_debit_and_partial_refunds_need_a_request_id_and_nothing_else_does() {
    let required = |command: Command| submission("", command) == Err(Rejection::RequestIdRequired);
    assert!(required(credit(Purse::Points, 1).command()));
    assert!(required(debit(1).command()));
    assert!(required(refund("t", 1).command()));
    let free = on_a_task("t")
        .into_iter()
        .filter(|command| !matches!(command, Command::Refund(refund) if refund.amount.is_some()));
    for command in free.chain([charge("t", 1).command(), authorize("t", 1).command()]) {
        assert!(submission("", command.clone()).is_ok(), "{command:?}");
    }
}

#[test]
fn only_a_credit_creates_a_user() {
    for command in
        [charge("t", 0).command(), charge("t", 1).command(), authorize("t", 1).command(), debit(1).command()]
    {
        let mut bench = Bench::new();
        assert_eq!(bench.run_as("r", command), Err(Rejection::UserNotFound(USER)));
        assert!(bench.plan.is_empty(), "and it is not frozen: {:?}", bench.plan);
    }
}

#[test]
fn a_task_that_is_not_there_is_not_found() {
    let mut bench = Bench::with(100, 0);
    for command in on_a_task("t") {
        let outcome = bench.run_as("r", command);
        assert_eq!(outcome, Err(Rejection::TaskNotFound("t".into())));
        assert!(bench.plan.is_empty(), "and it is not frozen");
    }
}

#[test]
fn a_task_of_another_user_is_not_found() {
    let mut bench = Bench::with(100, 0);
    bench.ok(of_user(8, credit(Purse::Points, 100)));
    bench.ok(charge("t", 10));
    bench.ok(authorize("h", 10));
    let before = bench.world.clone();
    for command in on_a_task("t").into_iter().chain(on_a_task("h")) {
        let task_id = command.task_id().cloned().expect("a task");
        let outcome = bench.run_as("r", of_user(8, command));
        assert_eq!(outcome, Err(Rejection::TaskNotFound(task_id)));
    }
    assert_eq!(bench.world, before);
}

#[test]
fn a_task_id_that_another_user_has_used_is_taken() {
    let mut bench = Bench::with(100, 0);
    bench.ok(of_user(8, credit(Purse::Points, 100)));
    bench.ok(charge("t", 10));
    for command in [of_user(8, charge("t", 10)), of_user(8, authorize("t", 10))] {
        assert_eq!(
            bench.refused(command),
            Rejection::TaskAlreadyCharged {
                task_id: "t".into(),
                field: "user_id",
                status: TaskStatus::Pending
            }
        );
    }
}

#[test]
fn a_free_task_may_name_any_purse() {
    let mut bench = Bench::with(0, 100);
    for (task_id, funding) in [("a", Funding::PointsOnly), ("b", Funding::CashOnly)] {
        bench.ok(Charge { funding, ..charge(task_id, 0) });
    }
    assert_eq!(bench.balance(), money(0, 100));
}

#[test]
fn a_command_names_the_lease_it_was_given_and_the_key_it_asks_for() {
    for command in on_a_task("job") {
        assert_eq!(command.lease_id(), None, "an empty id is none: {command:?}");
    }
    let leased = [
        Command::StartTask(StartTask { lease_id: text("lease-1"), ..start("job", "online-1") }),
        Command::CompleteTask(CompleteTask { lease_id: text("lease-1"), ..complete("job") }),
        Command::FailTask(FailTask { lease_id: text("lease-1"), ..fail("job") }),
    ];
    for command in leased {
        assert_eq!(command.lease_id(), Some(&text("lease-1")), "{command:?}");
    }

    let asking = Charge { select_key: Some(Box::new(selection("runner-1", ""))), ..charge("job", 5) };
    let holding = Authorize { charge: asking.clone(), ttl_micros: None };
    for mut command in [asking.command(), holding.command(), select("job", "runner-1", "").command()] {
        command.selection_mut().expect("it asks for a key").lease_id = text("lease-1");
        assert_eq!(command.selection().map(|asked| &*asked.lease_id), Some("lease-1"), "{command:?}");
    }
    for mut command in on_a_task("job").into_iter().chain([charge("job", 5).command()]) {
        assert!(command.selection().is_none() && command.selection_mut().is_none(), "{command:?}");
    }
}
