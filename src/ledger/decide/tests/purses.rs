//! Two purses: points are drawn before cash, a named purse is kept to, and money goes back where it came from.

use super::commands::{authorize, capture, charge, credit, debit, fail, refund, refund_all};
use super::{Bench, money, movements};
use crate::ledger::command::{Authorize, Charge, Debit};
use crate::ledger::{Funding, Purse, Rejection};

fn insufficient(required: i64, available: i64, held: i64) -> Rejection {
    Rejection::InsufficientBalance { required, available, held }
}

#[test]
fn a_charge_of_600_with_400_points_left_takes_400_points_and_200_cash() {
    let mut bench = Bench::with(400, 1_000);
    let done = bench.ok(charge("t", 600));
    assert_eq!(movements(&done), [(Purse::Points, -400, 400, 0), (Purse::Cash, -200, 1_000, 800)]);
}

#[test]
fn a_charge_the_points_cover_leaves_the_cash_alone() {
    let mut bench = Bench::with(600, 1_000);
    let done = bench.ok(charge("t", 600));
    assert_eq!(movements(&done), [(Purse::Points, -600, 600, 0)]);
}

#[test]
fn a_charge_may_take_the_last_point_and_not_one_more() {
    let mut bench = Bench::with(400, 200);
    assert_eq!(bench.refused(charge("t", 601)), insufficient(601, 600, 0));
    bench.ok(charge("t", 600));
    assert_eq!(bench.balance(), money(0, 0));
    assert_eq!(bench.refused(charge("u", 1)), insufficient(1, 0, 0));
}

#[test]
fn a_charge_that_names_a_purse_draws_from_no_other() {
    let mut bench = Bench::with(400, 200);
    let points_only = Charge { funding: Funding::PointsOnly, ..charge("p", 401) };
    assert_eq!(bench.refused(points_only), insufficient(401, 400, 0));
    let cash_only = Charge { funding: Funding::CashOnly, ..charge("c", 201) };
    assert_eq!(bench.refused(cash_only), insufficient(201, 200, 0));
    let done = bench.ok(Charge { funding: Funding::CashOnly, ..charge("c", 150) });
    assert_eq!(movements(&done), [(Purse::Cash, -150, 200, 50)]);
    let done = bench.ok(Charge { funding: Funding::PointsOnly, ..charge("p", 400) });
    assert_eq!(movements(&done), [(Purse::Points, -400, 400, 0)]);
}

#[test]
fn what_is_held_cannot_be_drawn_by_a_charge_a_hold_or_a_debit() {
    let mut bench = Bench::with(400, 200);
    bench.ok(authorize("held", 500));
    assert_eq!(bench.held(), money(400, 100));
    assert_eq!(bench.refused(charge("t", 101)), insufficient(101, 100, 500));
    assert_eq!(bench.refused(authorize("t", 101)), insufficient(101, 100, 500));
    assert_eq!(bench.run(debit(101)), Err(insufficient(101, 100, 500)));
    let points_only = Charge { funding: Funding::PointsOnly, ..charge("t", 1) };
    assert_eq!(
        bench.refused(points_only),
        insufficient(1, 0, 400),
        "figures are of the purse that was named"
    );
    let done = bench.ok(charge("t", 100));
    assert_eq!(movements(&done), [(Purse::Cash, -100, 200, 100)], "the held points are skipped");
}

#[test]
fn a_hold_of_one_purse_is_captured_from_that_purse() {
    let mut bench = Bench::with(400, 200);
    let cash_only = Charge { funding: Funding::CashOnly, ..charge("t", 150) };
    bench.ok(Authorize { charge: cash_only, ttl_micros: None });
    let done = bench.ok(capture("t", 120));
    assert_eq!(movements(&done), [(Purse::Cash, -120, 200, 80)]);
}

#[test]
fn a_partial_capture_takes_the_held_points_before_the_held_cash() {
    let mut bench = Bench::with(400, 200);
    bench.ok(authorize("t", 600));
    bench.ok(credit(Purse::Points, 1_000));
    let done = bench.ok(capture("t", 450));
    assert_eq!(
        movements(&done),
        [(Purse::Points, -400, 1_400, 1_000), (Purse::Cash, -50, 200, 150)],
        "what was set aside is taken, not what came later"
    );
}

#[test]
fn a_debit_keeps_to_the_purse_it_names() {
    let mut bench = Bench::with(400, 200);
    let withdrawal = Debit { funding: Funding::CashOnly, ..debit(201) };
    assert_eq!(bench.run(withdrawal.clone()), Err(insufficient(201, 200, 0)));
    let done = bench.ok(Debit { amount: 200, ..withdrawal });
    assert_eq!(movements(&done), [(Purse::Cash, -200, 200, 0)]);
}

#[test]
fn refunds_go_back_cash_first_until_the_cash_is_back_then_points() {
    let mut bench = Bench::with(400, 200);
    bench.ok(charge("t", 600));
    assert_eq!(movements(&bench.ok(refund("t", 150))), [(Purse::Cash, 150, 0, 150)]);
    let done = bench.ok(refund("t", 150));
    assert_eq!(movements(&done), [(Purse::Cash, 50, 150, 200), (Purse::Points, 100, 0, 100)]);
    assert_eq!(movements(&bench.ok(refund_all("t"))), [(Purse::Points, 300, 100, 400)]);
    assert_eq!(bench.balance(), money(400, 200));
}

#[test]
fn a_refund_of_a_cash_charge_never_becomes_points() {
    let mut bench = Bench::with(400, 200);
    bench.ok(Charge { funding: Funding::CashOnly, ..charge("t", 200) });
    bench.ok(fail("t"));
    assert_eq!(bench.balance(), money(400, 200));
}

#[test]
fn refunds_add_up_to_the_charge_and_no_further() {
    let mut bench = Bench::with(400, 200);
    bench.ok(charge("t", 600));
    bench.ok(refund("t", 599));
    let over = Rejection::RefundExceedsCharge { charged: 600, refunded: 599, requested: 2 };
    assert_eq!(bench.run(refund("t", 2)), Err(over));
    bench.ok(refund("t", 1));
    let over = Rejection::RefundExceedsCharge { charged: 600, refunded: 600, requested: 1 };
    assert_eq!(bench.run(refund("t", 1)), Err(over));
    assert_eq!(bench.world.task("t").refunded, money(400, 200));
}

#[test]
fn a_full_refund_of_a_fully_refunded_task_answers_the_newest_refund_again() {
    let mut bench = Bench::with(400, 200);
    bench.ok(charge("t", 600));
    bench.ok(refund("t", 100));
    let last = bench.ok(refund_all("t"));
    let again = bench.replay(refund_all("t"));
    let range = again.earlier_entries.expect("entries of the refund");
    assert_eq!(
        (range.first_seq, usize::from(range.count.unsigned_abs())),
        (last.entries[0].user_seq, last.entries.len())
    );
    assert_eq!(bench.balance(), money(400, 200));
}

#[test]
fn points_that_came_back_can_be_spent_again() {
    let mut bench = Bench::with(400, 0);
    bench.ok(charge("t", 400));
    bench.ok(fail("t"));
    bench.ok(charge("u", 400));
    assert_eq!(bench.balance(), money(0, 0));
}
