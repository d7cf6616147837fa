//! The choice: who may be chosen, and who is chosen among them.

use super::*;
use crate::keypool::{AccountStatus, AllowList, Why};

#[test]
fn the_least_utilised_account_is_chosen_whatever_its_size() {
    let mut bench = Bench::with([account(1, 2), account(2, 10)]);
    let given: Vec<_> = (0..12).map(|_| bench.lease().account_id).collect();
    assert_eq!(given.iter().filter(|id| **id == 1).count(), 2);
    assert_eq!(given.iter().take(5).filter(|id| **id == 2).count(), 4);
}

#[test]
fn a_higher_tier_is_used_only_where_the_lower_has_no_slot() {
    let mut bench = Bench::with([account(1, 2), Account { priority: 1, ..account(2, 2) }]);
    let given: Vec<_> = (0..4).map(|_| bench.lease().account_id).collect();
    assert_eq!(given, [1, 1, 2, 2]);
}

#[test]
fn a_heavier_account_carries_more() {
    let mut bench = Bench::with([account(1, 30), Account { weight: 300, ..account(2, 30) }]);
    let given = (0..20).map(|_| bench.lease().account_id).filter(|id| *id == 2).count();
    assert_eq!(given, 15);
}

#[test]
fn ties_fall_by_lot_and_the_same_lot_falls_the_same() {
    let chosen = |random| {
        let mut bench = Bench::with((1..=8).map(|id| account(id, 5)));
        let ask = Ask { random, ..bench.ask("task") };
        bench.select(&ask).unwrap().account_id
    };
    let all: std::collections::BTreeSet<_> = (0..100).map(chosen).collect();
    assert_eq!(all.len(), 8);
    assert_eq!(chosen(5), chosen(5));
}

#[test]
fn each_refusal_says_why() {
    let only_flux = AllowList::new(vec!["fal-ai/flux/*".into()]);
    let mut bench = Bench::with([Account { status: AccountStatus::Disabled, ..account(1, 1) }]);
    assert_eq!(bench.refusal().why, Why::NoneEnabled);
    bench.world.add(Account { allowed_apps: only_flux, ..account(2, 1) });
    let ask = Ask { app_name: text("fal-ai/sora-2"), ..bench.ask("task") };
    assert_eq!(bench.select(&ask).unwrap_err().why, Why::NoneAllowed);
    let lease = bench.lease();
    assert_eq!(bench.refusal().why, Why::AllBusy);
    let locked = Report { retry_after_micros: Some(20 * S), http_status: Some(429), ..Report::default() };
    bench.release(&lease, &locked);
    let refusal = bench.refusal();
    assert_eq!((refusal.why, refusal.retry_after_micros), (Why::CoolingDown, 20 * S));
}

#[test]
fn an_account_that_can_pay_is_preferred_and_small_credit_is_not_stranded() {
    let mut bench = Bench::with([account(1, 20), account(2, 20)]);
    bench.world.hear_balance("ws-1", Some(5));
    let mut given = Vec::new();
    for _ in 0..30 {
        let ask = Ask { estimated_cost_nano_usd: 10, ..bench.ask(&format!("task {}", given.len())) };
        given.push(bench.select(&ask).unwrap().account_id);
    }
    assert!(given.iter().take(9).all(|id| *id == 2), "{given:?}");
    assert!(given.contains(&1));
}

#[test]
fn what_open_leases_will_cost_is_no_longer_credit() {
    let mut bench = Bench::with([account(1, 20), account(2, 20)]);
    bench.world.hear_balance("ws-1", Some(10));
    for task in ["a", "b", "c", "d"] {
        let ask = Ask { estimated_cost_nano_usd: 10, ..bench.ask(task) };
        bench.select(&ask).unwrap();
    }
    assert_eq!(bench.world.open("ws-1"), 1);
}

#[test]
fn accounts_of_one_workspace_share_its_slots_and_the_smallest_limit_holds() {
    let shared = |id, limit| Account { workspace: text("shared"), ..account(id, limit) };
    let disabled = Account { status: AccountStatus::Disabled, ..shared(3, 1) };
    let mut bench = Bench::with([shared(1, 2), shared(2, 5), disabled]);
    bench.lease();
    bench.lease();
    assert_eq!(bench.refusal().why, Why::AllBusy);
}

#[test]
fn a_draining_account_gives_its_key_to_the_task_that_runs_on_it_and_to_no_other() {
    let mut bench = Bench::with([account(1, 5)]);
    let lease = bench.lease();
    bench.report(&lease, LeaseOutcome::RunnerCanceled);
    bench.world.accounts.get_mut(&1).unwrap().status = AccountStatus::Draining;
    assert_eq!(bench.refusal().why, Why::NoneEnabled);
    let ask = Ask { running_on: Some(1), ..bench.ask(&lease.task_id.clone()) };
    assert_eq!(bench.select(&ask).unwrap().account_id, 1);
}

#[test]
fn a_locked_account_still_gives_its_key_to_the_task_that_runs_on_it_but_within_its_limit() {
    let mut bench = Bench::with([account(1, 2), account(2, 5)]);
    bench.world.accounts.get_mut(&2).unwrap().status = AccountStatus::Disabled;
    let runs = bench.lease();
    let locks = bench.lease();
    bench.world.accounts.get_mut(&2).unwrap().status = AccountStatus::Enabled;
    bench.report(&locks, LeaseOutcome::AccountLocked);
    let poll = |bench: &mut Bench, runner: &str| Ask {
        running_on: Some(1),
        runner_id: text(runner),
        ..bench.ask(&runs.task_id)
    };
    let ask = poll(&mut bench, "second");
    let second = bench.select(&ask).unwrap();
    assert_eq!((second.account_id, second.is_probe), (1, false));
    bench.world.accounts.get_mut(&1).unwrap().max_concurrency = 0;
    bench.report(&second, LeaseOutcome::RunnerCanceled);
    let ask = poll(&mut bench, "third");
    assert_eq!(bench.select(&ask).unwrap_err().why, Why::AllBusy);
}

#[test]
fn a_task_that_failed_on_an_account_tries_another_first() {
    for random in 0..20 {
        let mut bench = Bench::with([account(1, 5), account(2, 5)]);
        let ask = Ask { random, ..bench.ask("task") };
        let first = bench.select(&ask).unwrap();
        bench.report(&first, LeaseOutcome::UpstreamError);
        let ask = Ask { random, ..bench.ask("task") };
        let second = bench.select(&ask).unwrap();
        assert_ne!(first.account_id, second.account_id);
        assert!(second.is_retry);
    }
}

/// An account that is out for upstream errors and due, and one that is idle; a task that met an upstream error before
/// the first went out.
fn with_a_broken_account_due() -> Bench {
    let mut bench = Bench::with([account(1, 5), Account { priority: 1, ..account(2, 5) }]);
    bench.peer(None, -1_000 * S);
    let ask = bench.ask("retried");
    let lease = bench.select(&ask).unwrap();
    assert_eq!(lease.account_id, 1);
    bench.fail(LeaseOutcome::UpstreamError, 6);
    assert_eq!(bench.health(1), Health::CoolingDown);
    bench.report(&lease, LeaseOutcome::UpstreamError);
    bench.now = bench.until(1);
    bench
}

#[test]
fn a_task_that_failed_upstream_probes_no_account_while_another_is_free() {
    let mut bench = with_a_broken_account_due();
    for _ in 0..10 {
        let ask = bench.ask("retried");
        let lease = bench.select(&ask).unwrap();
        assert_eq!((lease.account_id, lease.is_probe, lease.is_retry), (2, false, true));
        bench.report(&lease, LeaseOutcome::UpstreamError);
    }
    // Another task brings the account back.
    let probe = bench.lease();
    assert_eq!((probe.account_id, probe.is_probe), (1, true));
    bench.report(&probe, LeaseOutcome::Succeeded);
    assert_eq!(bench.health(1), Health::Healthy);
}

#[test]
fn a_task_that_failed_upstream_probes_where_nobody_else_is_free_and_not_again_at_once() {
    let mut bench = with_a_broken_account_due();
    bench.world.accounts.get_mut(&2).unwrap().status = AccountStatus::Disabled;
    let strikes = bench.world.workspace_of(1).circuit.strikes;
    let ask = bench.ask("retried");
    let probe = bench.select(&ask).unwrap();
    assert_eq!((probe.account_id, probe.is_probe, probe.is_retry), (1, true, true));
    bench.report(&probe, LeaseOutcome::UpstreamError);
    let ask = bench.ask("retried");
    let refusal = bench.select(&ask).unwrap_err();
    assert_eq!(refusal.why, Why::CoolingDown);
    assert_eq!(bench.world.workspace_of(1).circuit.strikes, strikes, "it proved nothing");
    let base = bench.settings.upstream_error.base_micros;
    assert!((base / 2..=base).contains(&(bench.until(1).0 - bench.now.0)));
    bench.now = bench.until(1);
    let ask = bench.ask("retried");
    assert!(bench.select(&ask).unwrap().is_probe);
}

#[test]
fn an_account_that_is_disabled_or_whose_key_is_refused_gives_nothing_even_to_the_task_that_runs_on_it() {
    let ways: [fn(&mut Bench); 2] = [
        |bench| bench.world.accounts.get_mut(&1).unwrap().status = AccountStatus::Disabled,
        |bench| {
            let refused = bench.lease_on(1);
            bench.report(&refused, LeaseOutcome::AuthFailed);
        },
    ];
    for spoil in ways {
        let mut bench = Bench::with([account(1, 5), account(2, 5)]);
        spoil(&mut bench);
        let ask = Ask { running_on: Some(1), ..bench.ask("task") };
        assert_eq!(bench.select(&ask).unwrap().account_id, 2);
    }
}

#[test]
fn a_task_that_failed_on_an_account_would_rather_have_one_that_is_nearly_full() {
    let mut bench = Bench::with([account(1, 5), account(2, 5)]);
    for _ in 0..4 {
        bench.lease_on(2);
    }
    let ask = bench.ask("task");
    let first = bench.select(&ask).unwrap();
    assert_eq!(first.account_id, 1);
    bench.report(&first, LeaseOutcome::UpstreamError);
    let elsewhere = bench.ask("another");
    assert_eq!(bench.select(&elsewhere).unwrap().account_id, 1, "one error alone does not weigh so much");
    let again = bench.ask("task");
    assert_eq!(bench.select(&again).unwrap().account_id, 2);
}
