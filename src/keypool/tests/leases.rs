//! Leases: slots, fences, renewals, releases, expiry.

use super::*;
use crate::keypool::{LeaseState, Unknown, Unrenewed, Why};

#[test]
fn a_workspace_is_as_busy_as_it_has_open_leases_and_no_busier_than_its_limit() {
    let mut bench = Bench::with([account(1, 2)]);
    let first = bench.lease();
    bench.lease();
    assert_eq!(bench.refusal().why, Why::AllBusy);
    bench.report(&first, LeaseOutcome::Succeeded);
    bench.lease();
    assert_eq!(bench.refusal().why, Why::AllBusy);
}

#[test]
fn a_crashed_runners_slot_comes_back_when_its_time_has_passed_and_blames_nobody() {
    let mut bench = Bench::with([account(1, 1)]);
    let lost = bench.lease();
    bench.pass(bench.settings.default_ttl_micros - 1);
    assert_eq!(bench.refusal().why, Why::AllBusy);
    bench.pass(1);
    bench.lease();
    let closed = &bench.world.leases[&lost.lease_id];
    assert_eq!(closed.outcome, Some(LeaseOutcome::Expired));
    assert_eq!(bench.health(1), Health::Healthy);
    assert_eq!(bench.world.accounts[&1].error_cnt, 0);
}

#[test]
fn a_slot_given_again_cannot_be_renewed_even_if_the_clock_runs_back() {
    let mut bench = Bench::with([account(1, 1)]);
    let lost = bench.lease();
    bench.pass(bench.settings.default_ttl_micros);
    bench.lease();
    bench.pass(-S);
    let renewed = bench.batch(&[], |pool| pool.renew(&lost.lease_id, None));
    assert_eq!(renewed, Err(Unrenewed::Expired));
    assert_eq!(bench.world.open("ws-1"), 1);
}

#[test]
fn a_renewal_extends_and_never_shortens() {
    let mut bench = Bench::with([account(1, 1)]);
    let lease = bench.lease();
    let renewed = bench.batch(&[], |pool| pool.renew(&lease.lease_id, Some(S))).expect("it lives");
    assert_eq!(renewed.expire_time, lease.expire_time);
    assert!(bench.plan.leases.is_empty());
    bench.pass(10 * S);
    let renewed = bench.batch(&[], |pool| pool.renew(&lease.lease_id, None)).expect("it lives");
    assert_eq!(renewed.expire_time, lease.expire_time.plus(10 * S));
    bench.report(&lease, LeaseOutcome::Succeeded);
    let renewed = bench.batch(&[], |pool| pool.renew(&lease.lease_id, None));
    assert_eq!(renewed, Err(Unrenewed::Expired));
    assert_eq!(bench.batch(&[], |pool| pool.renew("nobody's", None)), Err(Unrenewed::Unknown));
}

#[test]
fn the_first_report_wins_and_a_repeat_changes_nothing() {
    let mut bench = Bench::with([account(1, 2)]);
    let lease = bench.lease();
    assert!(!bench.report(&lease, LeaseOutcome::Succeeded).replayed);
    let again = bench.report(&lease, LeaseOutcome::AuthFailed);
    assert!(again.replayed);
    assert_eq!(again.lease.outcome, Some(LeaseOutcome::Succeeded));
    assert_eq!(bench.plan, Plan::default());
    let unknown = bench.batch(&[], |pool| pool.release("nobody's", &Report::default(), 0));
    assert_eq!(unknown, Err(Unknown));
}

#[test]
fn an_expired_lease_that_comes_back_late_changes_nothing_but_the_audit_log() {
    let mut bench = Bench::with([account(1, 2)]);
    let lease = bench.lease();
    bench.pass(bench.settings.default_ttl_micros);
    bench.batch(&[], |_| ());
    assert!(bench.report(&lease, LeaseOutcome::AccountLocked).replayed);
    assert_eq!(bench.health(1), Health::Healthy);
    let audit = bench.plan.audit.clone();
    assert_eq!(bench.plan, Plan { audit: audit.clone(), ..Plan::default() });
    assert_eq!(&*audit[0].reason, "reported account_locked after it had expired");
}

#[test]
fn a_late_report_is_noted_for_a_while_only_and_not_where_it_says_nothing() {
    let mut bench = Bench::with([account(1, 2)]);
    let lease = bench.lease();
    bench.pass(bench.settings.default_ttl_micros);
    bench.batch(&[], |_| ());
    bench.report(&lease, LeaseOutcome::RunnerCanceled);
    assert_eq!(bench.plan, Plan::default());
    bench.pass(bench.settings.default_ttl_micros);
    bench.report(&lease, LeaseOutcome::Succeeded);
    assert_eq!(bench.plan.audit.len(), 1);
    bench.pass(1);
    assert!(bench.report(&lease, LeaseOutcome::Succeeded).replayed);
    assert_eq!(bench.plan, Plan::default());
}

#[test]
fn fences_rise_and_a_task_has_one_live_lease() {
    let mut bench = Bench::with([account(1, 5)]);
    let ask = bench.ask("task");
    let first = bench.select(&ask).unwrap();
    let again = bench.ask("task");
    assert_eq!(bench.select(&again).unwrap(), first, "the same runner gets the same lease");

    let other = Ask { runner_id: text("another"), ..bench.ask("task") };
    let second = bench.select(&other).unwrap();
    assert_eq!((first.fence, second.fence), (1, 2));
    let before = &bench.world.leases[&first.lease_id];
    assert_eq!(before.state(bench.now), LeaseState::Released);
    assert_eq!(bench.world.open("ws-1"), 1);

    let superseded = bench.batch(&["task"], |pool| {
        let first = pool.lease(&first.lease_id).cloned().expect("named");
        (pool.is_superseded(&first), pool.renew(&first.lease_id, None))
    });
    assert_eq!(superseded, (true, Err(Unrenewed::Superseded)));

    bench.report(&second, LeaseOutcome::Succeeded);
    let third = bench.ask("task");
    assert_eq!(bench.select(&third).unwrap().fence, 3);
}

#[test]
fn a_take_over_needs_no_second_slot() {
    let mut bench = Bench::with([account(1, 1)]);
    let ask = bench.ask("task");
    bench.select(&ask).unwrap();
    let other = Ask { runner_id: text("another"), ..bench.ask("task") };
    assert_eq!(bench.select(&other).unwrap().fence, 2);
    assert_eq!(bench.world.open("ws-1"), 1);
}

#[test]
fn a_live_lease_elsewhere_is_first_locked_and_then_taken_over() {
    let mut bench = Bench::with([account(1, 1), account(2, 1)]);
    let ask = bench.ask("task");
    let lease = bench.select(&ask).unwrap();
    let elsewhere = 3 - lease.account_id;
    let mut rows = bench.world.snapshot(&[elsewhere], &[], &[], bench.now);
    rows.leases.push(Arc::clone(&lease));
    let pool = Pool::new(rows, Peers::default(), &bench.settings);
    let other = Ask { runner_id: text("another"), ..ask };
    assert_eq!(pool.choose(&other), Err(NoKey::Unlocked(lease.account_id)));
}

#[test]
fn a_choice_does_nothing_until_it_is_taken() {
    let mut bench = Bench::with([account(1, 1)]);
    let ask = bench.ask("task");
    bench.batch(&["task"], |pool| pool.choose(&ask)).expect("a key is free");
    assert_eq!(bench.plan, Plan::default());
}

#[test]
fn leases_are_counted_on_the_account() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.fail(LeaseOutcome::UpstreamError, 2);
    bench.fail(LeaseOutcome::CallerError, 1);
    let account = &bench.world.accounts[&1];
    assert_eq!((account.use_cnt, account.error_cnt), (3, 2));
}

#[test]
fn a_lease_stands_as_its_row_says_or_where_nobody_closed_it_as_the_time_says() {
    let mut bench = Bench::with([account(1, 5)]);
    let lease = bench.lease();
    let end = lease.expire_time;
    assert_eq!(lease.state(end.plus(-1)), LeaseState::Active);
    assert_eq!(lease.state(end), LeaseState::Expired);
    let closed =
        |outcome| Lease { release_time: Some(bench.now), outcome: Some(outcome), ..Lease::clone(&lease) };
    assert_eq!(closed(LeaseOutcome::Expired).state(bench.now), LeaseState::Expired);
    assert_eq!(closed(LeaseOutcome::Succeeded).state(end), LeaseState::Released);
}
