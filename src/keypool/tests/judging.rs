//! Blame: who is taken out, who is innocent, and when the world is to blame.

use super::*;
use LeaseOutcome::{AccountLocked, AuthFailed, CallerError, RateLimited, RunnerCanceled, UpstreamError};

#[test]
fn a_lock_a_refused_key_and_a_rate_limit_take_an_account_out_at_once() {
    for (outcome, health) in [
        (AccountLocked, Health::Locked),
        (AuthFailed, Health::AuthFailed),
        (RateLimited, Health::CoolingDown),
    ] {
        let mut bench = Bench::with([account(1, 5), account(2, 5)]);
        let lease = bench.lease();
        assert_eq!(bench.report(&lease, outcome).health, health);
        let other = 3 - lease.account_id;
        assert!((0..5).all(|_| bench.lease().account_id == other), "{outcome}");
        assert_eq!(bench.plan.audit.len(), 0);
    }
}

#[test]
fn callers_and_runners_leave_the_account_innocent() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.peer(None, -1_000 * S);
    bench.fail(CallerError, 50);
    bench.fail(RunnerCanceled, 50);
    assert_eq!(bench.health(1), Health::Healthy);
    assert_eq!(bench.world.accounts[&1].error_cnt, 0);
    assert_eq!(bench.world.workspace_of(1).vitals.error_permille, 0);
}

#[test]
fn a_run_of_upstream_errors_breaks_the_circuit_while_the_others_do_well() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.peer(None, -1_000 * S);
    bench.fail(UpstreamError, 5);
    assert_eq!(bench.health(1), Health::Healthy);
    bench.fail(UpstreamError, 1);
    assert_eq!(bench.health(1), Health::CoolingDown);
}

#[test]
fn a_success_ends_the_run() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.peer(None, -1_000 * S);
    for _ in 0..10 {
        bench.fail(UpstreamError, 5);
        bench.fail(LeaseOutcome::Succeeded, 1);
    }
    assert_eq!(bench.health(1), Health::Healthy);
}

#[test]
fn a_burst_within_a_views_age_breaks_nothing_yet() {
    let mut bench = Bench::with([account(1, 20)]);
    bench.peer(None, -1_000 * S);
    let leases: Vec<_> = (0..20).map(|_| bench.lease()).collect();
    for lease in &leases {
        bench.report(lease, UpstreamError);
    }
    assert_eq!(bench.health(1), Health::Healthy);
}

#[test]
fn nobody_is_taken_out_while_the_whole_upstream_fails() {
    let mut bench = Bench::with([account(1, 5)]);
    for _ in 0..3 {
        bench.peer(Some(Cause::UpstreamError), -1_000 * S);
        bench.peer(None, 1_000 * S);
    }
    bench.fail(UpstreamError, 50);
    assert_eq!(bench.health(1), Health::Healthy);
}

#[test]
fn the_last_account_is_not_taken_out_for_upstream_errors() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.fail(UpstreamError, 50);
    assert_eq!(bench.health(1), Health::Healthy);
    bench.lease();
}

#[test]
fn the_same_refusal_on_most_accounts_at_once_is_the_upstreams_fault() {
    for (cause, outcome) in [(Cause::AuthFailed, AuthFailed), (Cause::RateLimited, RateLimited)] {
        let mut bench = Bench::with([account(1, 5)]);
        bench.peer(Some(cause), S);
        bench.peer(Some(cause), S);
        bench.peer(None, S);
        bench.fail(outcome, 3);
        assert_eq!(bench.health(1), Health::Healthy, "{cause}");
        // A minute later that is over, and the account is judged by itself.
        bench.pass(60 * S);
        bench.fail(outcome, 1);
        assert_ne!(bench.health(1), Health::Healthy, "{cause}");
    }
}

#[test]
fn a_lock_names_its_account_and_is_believed_whatever_happens_to_the_others() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.peer(Some(Cause::AccountLocked), S);
    bench.peer(Some(Cause::AccountLocked), S);
    bench.fail(AccountLocked, 1);
    assert_eq!(bench.health(1), Health::Locked);
}

#[test]
fn a_probe_that_fails_with_all_the_others_is_no_further_strike() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.peer(None, -1_000 * S);
    bench.fail(UpstreamError, 6);
    bench.peers.clear();
    bench.peer(Some(Cause::UpstreamError), -1_000 * S);
    bench.now = bench.until(1);
    let probe = bench.lease();
    bench.report(&probe, UpstreamError);
    assert_eq!(bench.world.workspace_of(1).circuit.strikes, 1);
    assert!(bench.until(1) > bench.now);
}

#[test]
fn one_task_that_fails_again_and_again_takes_no_account_out() {
    // No other has a slot, so that every try lands here, while the others do well.
    let mut bench = Bench::with([account(1, 5)]);
    bench.peer(None, -1_000 * S);
    for _ in 0..20 {
        let ask = bench.ask("poison");
        let lease = bench.select(&ask).unwrap();
        bench.pass(S);
        bench.report(&lease, UpstreamError);
    }
    assert_eq!(bench.health(1), Health::Healthy);
    assert_eq!(bench.world.accounts[&1].error_cnt, 1);
}

#[test]
fn an_input_that_fails_on_one_account_after_the_other_speaks_of_itself() {
    let mut bench = Bench::with((1..=8).map(|id| account(id, 5)));
    let mut blamed = Vec::new();
    for _ in 0..8 {
        let ask = bench.ask("poison");
        let lease = bench.select(&ask).unwrap();
        bench.report(&lease, UpstreamError);
        blamed.push(bench.world.accounts[&lease.account_id].error_cnt);
    }
    assert_eq!(blamed[0], 1);
    assert_eq!(bench.world.accounts.values().map(|account| account.error_cnt).sum::<i64>(), 1);
}

#[test]
fn a_rotated_key_does_not_answer_for_the_old_one() {
    let mut bench = Bench::with([account(1, 5)]);
    let old = bench.lease();
    bench.world.accounts.get_mut(&1).unwrap().key_id = text("key-new");
    bench.report(&old, AuthFailed);
    assert_eq!(bench.health(1), Health::Healthy);
    assert_eq!(&*old.key_id, "key-1");
}

#[test]
fn going_out_and_coming_back_are_noted_with_before_and_after() {
    let mut bench = Bench::with([account(1, 5)]);
    let lease = bench.lease();
    bench.report(&lease, AccountLocked);
    let line = &bench.plan.audit[0];
    assert_eq!(&*line.actor, "keypool");
    assert_eq!(&*line.reason, "account_locked, lease lease-1");
    assert_eq!((&*line.changes[0].before, &*line.changes[0].after), ("healthy", "locked"));
    bench.now = bench.until(1);
    let probe = bench.lease();
    bench.report(&probe, LeaseOutcome::Succeeded);
    assert_eq!(&*bench.plan.audit[0].changes[0].after, "healthy");
}

#[test]
fn a_callers_mistake_is_no_success() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.fail(UpstreamError, 3);
    bench.fail(CallerError, 1);
    bench.fail(RunnerCanceled, 1);
    let vitals = &bench.world.workspace_of(1).vitals;
    assert_eq!((vitals.streak, vitals.last_success), (3, None));
}

#[test]
fn a_witness_speaks_by_its_last_word_and_of_the_same_failure_alone() {
    let since = Micros(10);
    let peer = |name: &str, failed: Option<(Cause, i64)>, succeeded: Option<i64>| Peer {
        workspace: text(name),
        last_failure: failed.map(|(cause, time)| (cause, Micros(time))),
        last_success: succeeded.map(Micros),
    };
    let limited = |time| Some((RateLimited.cause().unwrap(), time));
    let ill = peer("ill", limited(12), Some(11));
    let hear = |peers: &[Peer]| {
        let peers = Peers { peers, typical_latency_micros: None };
        (
            peers.share_the_fault("this", Cause::RateLimited, since),
            peers.do_better("this", Cause::RateLimited, since),
        )
    };
    assert_eq!(hear(&[]), (false, false));
    assert_eq!(hear(std::slice::from_ref(&ill)), (true, false));
    assert_eq!(hear(&[ill.clone(), peer("silent", None, None)]), (true, false));
    assert_eq!(hear(&[ill.clone(), peer("well", None, Some(10))]), (false, false), "as many do well");
    assert_eq!(hear(&[ill.clone(), peer("late", None, Some(9))]), (true, false), "too long ago");
    assert_eq!(hear(&[peer("earlier", limited(11), Some(12))]), (false, true), "it does well again");
    assert_eq!(hear(&[peer("at once", limited(11), Some(11))]), (false, true));
    assert_eq!(hear(&[peer("other", Some((Cause::AuthFailed, 12)), None)]), (false, false));
    assert_eq!(hear(&[peer("this", limited(12), None)]), (false, false), "it is no witness for itself");
}
