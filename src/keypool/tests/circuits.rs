//! Cooldown, probe and return.

use super::*;
use crate::keypool::Why;

#[test]
fn a_burst_of_rate_limits_is_one_strike_however_many_leases_report_it() {
    let mut bench = Bench::with([account(1, 10), account(2, 10)]);
    let leases: Vec<_> = (0..20).map(|_| bench.lease()).filter(|lease| lease.account_id == 1).collect();
    for lease in &leases {
        bench.report(lease, LeaseOutcome::RateLimited);
    }
    let circuit = &bench.world.workspace_of(1).circuit;
    assert_eq!((bench.health(1), circuit.strikes), (Health::CoolingDown, 1));
    assert!(bench.until(1) <= bench.now.plus(2 * S));
}

#[test]
fn a_cooldown_only_ever_extends() {
    let mut bench = Bench::with([account(1, 10)]);
    let leases: Vec<_> = (0..5).map(|_| bench.lease()).collect();
    let limited = |retry_after| Report {
        http_status: Some(429),
        retry_after_micros: Some(retry_after),
        ..Report::default()
    };
    bench.release(&leases[0], &limited(50 * S));
    let until = bench.until(1);
    assert_eq!(until, bench.now.plus(50 * S));
    bench.release(&leases[1], &limited(S));
    assert_eq!(bench.until(1), until);
    bench.report(&leases[2], LeaseOutcome::Succeeded);
    assert_eq!(bench.until(1), until);
    bench.release(&leases[3], &limited(70 * S));
    assert_eq!(bench.until(1), bench.now.plus(70 * S));
    bench.release(&leases[4], &limited(i64::MAX));
    assert_eq!(bench.until(1), bench.now.plus(bench.settings.max_retry_after_micros));
}

#[test]
fn one_probe_goes_out_for_the_whole_fleet_and_its_success_brings_the_account_back() {
    let mut bench = Bench::with([account(1, 10)]);
    bench.fail(LeaseOutcome::AccountLocked, 1);
    assert_eq!(bench.health(1), Health::Locked);
    assert_eq!(bench.refusal().why, Why::CoolingDown);
    bench.now = bench.until(1);
    let probe = bench.lease();
    assert!(probe.is_probe);
    assert_eq!(bench.health(1), Health::Probing);
    assert_eq!(bench.refusal().why, Why::CoolingDown);
    let released = bench.report(&probe, LeaseOutcome::Succeeded);
    assert_eq!(released.health, Health::Healthy);
    assert!(!bench.lease().is_probe);
}

#[test]
fn a_failed_probe_keeps_the_account_out_for_longer_up_to_the_cap() {
    let mut bench = Bench::with([account(1, 10)]);
    bench.fail(LeaseOutcome::AccountLocked, 1);
    let mut waits = Vec::new();
    for _ in 0..9 {
        waits.push(bench.until(1).0 - bench.now.0);
        bench.now = bench.until(1);
        let probe = bench.lease();
        assert!(probe.is_probe);
        bench.report(&probe, LeaseOutcome::AccountLocked);
    }
    let cap = bench.settings.account_locked.cap_micros;
    assert!(waits.iter().all(|wait| *wait <= cap), "{waits:?}");
    assert!(waits[3] > waits[0] && *waits.last().unwrap() >= cap / 2, "{waits:?}");
}

#[test]
fn a_probe_that_ends_without_a_word_lets_the_next_try_after_a_first_delay() {
    let mut bench = Bench::with([account(1, 10)]);
    bench.fail(LeaseOutcome::RateLimited, 1);
    bench.now = bench.until(1);
    let probe = bench.lease();
    bench.report(&probe, LeaseOutcome::RunnerCanceled);
    assert_eq!(bench.refusal().why, Why::CoolingDown);
    assert_eq!(bench.world.workspace_of(1).circuit.strikes, 1);
    bench.now = bench.until(1);
    assert!(bench.lease().is_probe);
    bench.pass(bench.settings.default_ttl_micros);
    bench.batch(&[], |_| ());
    assert_eq!(bench.health(1), Health::CoolingDown);
    let base = bench.settings.rate_limited.base_micros;
    let wait = bench.until(1).0 - bench.now.0;
    assert!((base / 2..=base).contains(&wait), "{wait}");
    assert_eq!(bench.world.workspace_of(1).circuit.strikes, 1);
    bench.now = bench.until(1);
    assert!(bench.lease().is_probe);
}

#[test]
fn a_probe_that_is_accepted_proves_a_lock_gone_and_one_that_runs_on_an_upstream_error() {
    for (outcome, failures, proved) in
        [(LeaseOutcome::AccountLocked, 1, true), (LeaseOutcome::UpstreamError, 6, false)]
    {
        let mut bench = Bench::with([account(1, 10)]);
        bench.peer(None, -100 * S);
        bench.fail(outcome, failures);
        bench.now = bench.until(1);
        let probe = bench.lease();
        bench.pass(S);
        bench.batch(&[], |pool| pool.renew(&probe.lease_id, None)).expect("it lives");
        assert_eq!(bench.health(1) == Health::Healthy, proved, "{outcome}");
        bench.pass(bench.settings.ramp_micros);
        bench.batch(&[], |pool| pool.renew(&probe.lease_id, None)).expect("it lives");
        assert_eq!(bench.health(1), Health::Healthy, "{outcome}: it has run long enough");
    }
}

#[test]
fn slots_come_back_one_after_the_other() {
    let mut bench = Bench::with([account(1, 30)]);
    bench.fail(LeaseOutcome::RateLimited, 1);
    bench.now = bench.until(1);
    let probe = bench.lease();
    bench.report(&probe, LeaseOutcome::Succeeded);
    bench.lease();
    assert_eq!(bench.refusal().why, Why::AllBusy);
    bench.pass(bench.settings.ramp_micros / 2);
    for _ in 1..15 {
        bench.lease();
    }
    assert_eq!(bench.refusal().why, Why::AllBusy);
    bench.pass(bench.settings.ramp_micros / 2);
    for _ in 15..30 {
        bench.lease();
    }
}

#[test]
fn what_was_is_forgotten_once_the_account_has_proved_itself() {
    let mut bench = Bench::with([account(1, 10)]);
    bench.fail(LeaseOutcome::RateLimited, 1);
    bench.now = bench.until(1);
    let probe = bench.lease();
    bench.report(&probe, LeaseOutcome::Succeeded);
    assert_eq!(bench.world.workspace_of(1).circuit.strikes, 1);
    bench.pass(bench.settings.ramp_micros);
    bench.fail(LeaseOutcome::Succeeded, 1);
    assert_eq!(bench.world.workspace_of(1).circuit.strikes, 0);
}

#[test]
fn what_was_leased_before_the_return_is_no_evidence() {
    let mut bench = Bench::with([account(1, 10)]);
    let old = bench.lease();
    bench.fail(LeaseOutcome::AccountLocked, 1);
    bench.now = bench.until(1);
    let probe = bench.lease();
    bench.report(&probe, LeaseOutcome::Succeeded);
    bench.report(&old, LeaseOutcome::AccountLocked);
    assert_eq!(bench.health(1), Health::Healthy);
}

#[test]
fn the_key_and_the_workspace_are_out_each_for_itself() {
    let shared = |id| Account { workspace: text("shared"), ..account(id, 10) };
    let mut bench = Bench::with([shared(1), shared(2)]);
    let ask = Ask { random: 0, ..bench.ask("task") };
    let lease = bench.select(&ask).unwrap();
    let other = 3 - lease.account_id;
    bench.report(&lease, LeaseOutcome::AuthFailed);
    assert_eq!(bench.health(lease.account_id), Health::AuthFailed);
    assert_eq!(bench.health(other), Health::Healthy);
    bench.fail(LeaseOutcome::AccountLocked, 1);
    assert_eq!(bench.health(other), Health::Locked);
    assert_eq!(bench.health(lease.account_id), Health::AuthFailed);
}

#[test]
fn the_stricter_of_two_gates_holds() {
    let (early, late) = (Gate::Shut(Micros(1)), Gate::Shut(Micros(2)));
    assert_eq!(early.strictest(late), late);
    assert_eq!(Gate::Probing.strictest(early), early);
    assert_eq!(Gate::Due.strictest(Gate::Probing), Gate::Probing);
    assert_eq!(Gate::Free.strictest(Gate::Due), Gate::Due);
    assert_eq!(Gate::Free.strictest(Gate::Free), Gate::Free);
}

/// Two accounts of one workspace. The key of the first answered is out and due.
fn with_a_due_key() -> (Bench, AccountId) {
    let shared = |id| Account { workspace: text("shared"), ..account(id, 10) };
    let mut bench = Bench::with([shared(1), shared(2)]);
    let lease = bench.lease();
    bench.report(&lease, LeaseOutcome::AuthFailed);
    bench.now = bench.until(lease.account_id);
    (bench, lease.account_id)
}

#[test]
fn a_keys_probe_ends_with_its_report_though_the_workspace_returned_meanwhile() {
    let (mut bench, out) = with_a_due_key();
    let of_workspace = bench.lease_on(3 - out);
    let probe = bench.lease();
    assert_eq!((probe.account_id, probe.is_probe), (out, true));
    bench.report(&of_workspace, LeaseOutcome::RateLimited);
    bench.now = bench.until(3 - out);
    let healing = bench.lease_on(3 - out);
    assert!(healing.is_probe);
    bench.pass(S);
    bench.report(&healing, LeaseOutcome::Succeeded);
    assert_eq!(bench.health(3 - out), Health::Healthy);
    bench.report(&probe, LeaseOutcome::AuthFailed);
    assert_eq!(bench.health(out), Health::AuthFailed);
    assert_eq!(bench.world.accounts[&out].key.strikes, 2);
    assert!(bench.until(out) > bench.now);
}

#[test]
fn a_workspaces_probe_that_fails_is_a_strike_though_its_key_was_proved_meanwhile() {
    let mut bench = Bench::with([account(1, 10)]);
    bench.peer(None, -1_000 * S);
    let refused = bench.lease();
    bench.fail(LeaseOutcome::UpstreamError, 6);
    bench.report(&refused, LeaseOutcome::AuthFailed);
    bench.now = bench.until(1);
    let probe = bench.lease();
    bench.pass(S);
    bench.batch(&[], |pool| pool.started(&probe.lease_id)).expect("it lives");
    assert_eq!(bench.world.accounts[&1].key.out, None);
    bench.pass(S);
    bench.report(&probe, LeaseOutcome::UpstreamError);
    assert_eq!(bench.world.workspace_of(1).circuit.strikes, 2);
    assert!(bench.until(1) > bench.now);
}

#[test]
fn a_return_of_the_workspace_hides_no_refusal_of_a_key() {
    let (mut bench, out) = with_a_due_key();
    let other = 3 - out;
    let old = bench.lease_on(other);
    let limited = bench.lease_on(other);
    bench.report(&limited, LeaseOutcome::RateLimited);
    bench.now = bench.until(other);
    let probe = bench.lease_on(other);
    bench.report(&probe, LeaseOutcome::Succeeded);
    bench.report(&old, LeaseOutcome::AuthFailed);
    assert_eq!(bench.health(other), Health::AuthFailed);
}

#[test]
fn what_is_out_stays_out_for_the_graver_cause_and_since_it_went() {
    let mut bench = Bench::with([account(1, 10)]);
    let leases: Vec<_> = (0..3).map(|_| bench.lease()).collect();
    bench.report(&leases[0], LeaseOutcome::RateLimited);
    let since = bench.now;
    for lease in &leases[1..] {
        bench.pass(S);
        let outcome = [LeaseOutcome::RateLimited, LeaseOutcome::AccountLocked];
        bench.report(lease, outcome[usize::from(lease.lease_id == leases[1].lease_id)]);
        let circuit = &bench.world.workspace_of(1).circuit;
        let out = circuit.out.as_ref().expect("it is out");
        assert_eq!((out.cause, out.since, circuit.strikes), (Cause::AccountLocked, since, 1));
    }
}

#[test]
fn a_lease_from_before_says_nothing_of_a_probe_under_way() {
    let mut bench = Bench::with([account(1, 10)]);
    let leases: Vec<_> = (0..4).map(|_| bench.lease()).collect();
    bench.report(&leases[0], LeaseOutcome::RateLimited);
    bench.now = bench.until(1);
    let until = bench.until(1);
    let probe = bench.lease();
    bench.report(&leases[1], LeaseOutcome::RunnerCanceled);
    bench.report(&leases[2], LeaseOutcome::Succeeded);
    assert_eq!((bench.health(1), bench.until(1)), (Health::Probing, until));
    assert_eq!(bench.world.workspace_of(1).circuit.strikes, 1, "it has proved nothing yet");
    bench.report(&leases[3], LeaseOutcome::RateLimited);
    assert_eq!(bench.health(1), Health::Probing);
    bench.report(&probe, LeaseOutcome::Succeeded);
    assert_eq!(bench.health(1), Health::Healthy);
}

#[test]
fn a_key_is_proved_by_any_answer_that_got_past_it() {
    use LeaseOutcome::{AccountLocked, CallerError, RateLimited, RunnerCanceled, Succeeded, UpstreamError};
    for (outcome, proved) in [
        (Succeeded, true),
        (CallerError, true),
        (RateLimited, true),
        (AccountLocked, true),
        (UpstreamError, false),
        (RunnerCanceled, false),
    ] {
        let (mut bench, out) = with_a_due_key();
        let probe = bench.lease_on(out);
        assert!(probe.is_probe);
        bench.report(&probe, outcome);
        let key = &bench.world.accounts[&out].key;
        assert_eq!((key.out.is_none(), key.strikes), (proved, 1), "{outcome}");
    }
}

#[test]
fn only_a_success_of_what_was_leased_since_the_return_makes_forget_once_the_ramp_is_over() {
    for failure in [LeaseOutcome::AuthFailed, LeaseOutcome::RateLimited] {
        let mut bench = Bench::with([account(1, 10)]);
        let strikes = |bench: &Bench| {
            let (key, circuit) = (&bench.world.accounts[&1].key, &bench.world.workspace_of(1).circuit);
            key.strikes + circuit.strikes
        };
        let old = bench.lease();
        bench.fail(failure, 1);
        bench.now = bench.until(1);
        let probe = bench.lease();
        bench.report(&probe, LeaseOutcome::Succeeded);
        bench.pass(bench.settings.ramp_micros / 2);
        bench.fail(LeaseOutcome::Succeeded, 1);
        assert_eq!(strikes(&bench), 1, "{failure}: the ramp is not over");
        bench.pass(bench.settings.ramp_micros);
        bench.fail(LeaseOutcome::CallerError, 1);
        assert_eq!(strikes(&bench), 1, "{failure}: a caller's mistake is no success");
        bench.report(&old, LeaseOutcome::Succeeded);
        assert_eq!(strikes(&bench), 1, "{failure}: what was leased before is no evidence");
        bench.fail(LeaseOutcome::Succeeded, 1);
        assert_eq!(strikes(&bench), 0, "{failure}");
    }
}

#[test]
fn what_is_leased_at_the_moment_of_the_return_is_evidence() {
    let mut bench = Bench::with([account(1, 10)]);
    bench.fail(LeaseOutcome::RateLimited, 1);
    bench.now = bench.until(1);
    let probe = bench.lease();
    bench.report(&probe, LeaseOutcome::Succeeded);
    let next = bench.lease();
    bench.report(&next, LeaseOutcome::AccountLocked);
    assert_eq!(bench.health(1), Health::Locked);
}
