//! What operators change.

use super::*;
use crate::keypool::{AccountStatus, Unknown, Why};

#[test]
fn a_change_is_noted_with_actor_reason_before_and_after() {
    let mut bench = Bench::with([account(1, 5)]);
    let wanted = Account { max_concurrency: 9, status: AccountStatus::Draining, ..account(1, 5) };
    bench.batch(&[], |pool| pool.revise(wanted, "ann", "quieter")).unwrap();
    let line = &bench.plan.audit[0];
    assert_eq!((&*line.actor, &*line.reason), ("ann", "quieter"));
    let changes: Vec<_> =
        line.changes.iter().map(|change| (change.field, &*change.before, &*change.after)).collect();
    assert_eq!(changes, [("status", "enabled", "draining"), ("max_concurrency", "5", "9")]);
    let same = bench.world.accounts[&1].clone();
    bench.batch(&[], |pool| pool.revise(same, "ann", "nothing")).unwrap();
    assert_eq!(bench.plan, Plan::default());
    assert_eq!(bench.batch(&[], |pool| pool.revise(account(9, 1), "ann", "")), Err(Unknown));
}

#[test]
fn counters_and_health_are_not_an_operators_to_set() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.fail(LeaseOutcome::AuthFailed, 1);
    bench.batch(&[], |pool| pool.revise(account(1, 5), "ann", "")).unwrap();
    assert_eq!(bench.health(1), Health::AuthFailed);
    assert_eq!(bench.world.accounts[&1].use_cnt, 1);
}

#[test]
fn a_rotated_key_starts_without_the_old_ones_guilt() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.fail(LeaseOutcome::AuthFailed, 1);
    let rotated = Account { key_id: text("key-new"), ..bench.world.accounts[&1].clone() };
    bench.batch(&[], |pool| pool.revise(rotated, "ann", "rotated")).unwrap();
    assert_eq!(bench.health(1), Health::Healthy);
    assert_eq!(&*bench.lease().key_id, "key-new");
}

#[test]
fn a_lower_limit_takes_no_lease_back_and_gives_no_new_one() {
    let mut bench = Bench::with([account(1, 5)]);
    let leases: Vec<_> = (0..4).map(|_| bench.lease()).collect();
    let lower = Account { max_concurrency: 2, ..bench.world.accounts[&1].clone() };
    bench.batch(&[], |pool| {
        pool.revise(lower, "ann", "").unwrap();
        assert_eq!(pool.usage_of("ws-1"), Some((4, 0)));
    });
    bench.report(&leases[0], LeaseOutcome::Succeeded);
    bench.report(&leases[1], LeaseOutcome::Succeeded);
    assert_eq!(bench.refusal().why, Why::AllBusy);
    bench.report(&leases[2], LeaseOutcome::Succeeded);
    bench.lease();
}

#[test]
fn an_account_moved_to_another_workspace_takes_its_leases_along() {
    let mut bench = Bench::with([account(1, 5), account(2, 5)]);
    for _ in 0..6 {
        bench.lease();
    }
    let moved = Account { workspace: text("ws-2"), ..bench.world.accounts[&1].clone() };
    bench.batch(&[], |pool| {
        pool.revise(moved, "reconciliation", "one billing username").unwrap();
        assert_eq!(pool.usage_of("ws-1"), Some((0, 0)));
        assert_eq!(pool.usage_of("ws-2"), Some((6, 0)));
    });
    assert_eq!(bench.refusal().why, Why::AllBusy);
}

#[test]
fn credit_that_came_in_brings_the_probe_forward_and_proves_nothing() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.fail(LeaseOutcome::AccountLocked, 1);
    let hear = |bench: &mut Bench, balance| {
        bench
            .batch(&[], |pool| {
                pool.hear_balance(&text("ws-1"), 1, Some(balance), ("reconciliation", "polled"))
            })
            .unwrap();
    };
    hear(&mut bench, 5);
    assert_eq!(bench.refusal().why, Why::CoolingDown);
    hear(&mut bench, 3);
    assert_eq!(bench.refusal().why, Why::CoolingDown);
    hear(&mut bench, 1_000);
    assert_eq!(bench.health(1), Health::Locked);
    assert!(bench.lease().is_probe);
}
