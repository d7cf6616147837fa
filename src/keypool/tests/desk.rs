//! The desk: what the ledger is given, told and refused while it decides.

use std::collections::BTreeSet;

use super::*;
use crate::keypool::{
    AccountStatus, AllowList, Command, Desk, LeaseState, Missing, Observed, Opening, Snapshot, View, Why,
};
use crate::ledger::{KeyAsk, KeySelection, Keys, Leased, NamedLease, Rejection};

const APP: &str = "fal-ai/flux/dev";
const SOONEST: i64 = keypool::refusal::SOONEST_MICROS;

/// What a task asks for, in the words of a test.
#[derive(Clone, Copy, Default)]
struct Wish<'a> {
    task_id: &'a str,
    lease_id: &'a str,
    runner: &'a str,
    running_on: Option<&'a str>,
    is_behind_others: bool,
}

fn wish<'a>(task_id: &'a str, lease_id: &'a str) -> Wish<'a> {
    Wish { task_id, lease_id, runner: "runner", ..Wish::default() }
}

fn lease(desk: &mut Desk<'_>, wish: &Wish<'_>) -> Result<Leased, Rejection> {
    let (task_id, running_on) = (text(wish.task_id), wish.running_on.map(text));
    let selection = KeySelection {
        runner_id: text(wish.runner),
        ttl_micros: Some(40 * S),
        estimated_cost_nano_usd: Some(3),
        lease_id: text(wish.lease_id),
        has_turn: false,
        is_behind_others: wish.is_behind_others,
    };
    let (app_name, running_on) = (text(APP), running_on.as_ref());
    let ask =
        KeyAsk { user_id: 7, task_id: &task_id, app_name: &app_name, running_on, selection: &selection };
    desk.lease(&ask)
}

fn given(lease_id: &str, key_id: &str) -> Result<Leased, Rejection> {
    Ok(Leased { lease_id: text(lease_id), key_id: text(key_id), again: false })
}

fn refused(why: Why, retry_after_micros: i64, is_tied: bool) -> Result<Leased, Rejection> {
    Err(Rejection::NoKeyAvailable { why, retry_after_micros, is_tied })
}

/// What is beside the rows when a desk is opened.
#[derive(Default)]
struct Around {
    barred: Vec<Account>,
    tasks: BTreeSet<Text>,
    /// The keys that can be opened; `None`: all.
    readable: Option<BTreeSet<(AccountId, Text)>>,
    seed: u64,
}

/// What came of deciding at a desk.
struct Sitting<T> {
    outcome: T,
    missing: Missing,
    observed: Vec<Observed>,
    plan: Plan,
}

impl Bench {
    /// Decides at a desk on these rows; nothing is written.
    fn sit<T>(&self, rows: Snapshot, around: &Around, decide: impl FnOnce(&mut Desk<'_>) -> T) -> Sitting<T> {
        let mut view = View::new(self.settings);
        self.world.refresh(&mut view, self.now);
        let mut pool = Pool::new(rows, Peers::default(), &self.settings);
        if let Some(readable) = &around.readable {
            pool.open_with(readable.clone());
        }
        let (barred, tasks, seed) = (&around.barred[..], &around.tasks, around.seed);
        let mut desk = Desk::new(pool, Opening { view: &view, barred, tasks, seed });
        let outcome = decide(&mut desk);
        let missing = desk.missing().clone();
        let (observed, plan) = desk.close();
        Sitting { outcome, missing, observed, plan }
    }

    /// Decides at a desk on all rows, and writes what was decided.
    #[track_caller]
    fn at_desk<T>(&mut self, tasks: &[&str], decide: impl FnOnce(&mut Desk<'_>) -> T) -> T {
        let around = Around { tasks: tasks.iter().map(|task| text(task)).collect(), ..Around::default() };
        let sitting = self.sit(self.world.whole(tasks, self.now), &around, decide);
        assert!(sitting.missing.is_empty(), "{:?}", sitting.missing);
        self.plan = sitting.plan;
        self.world.apply(&self.plan);
        assert_eq!(self.world.wrong(), [""; 0]);
        sitting.outcome
    }
}

#[test]
fn a_task_is_leased_a_key_and_its_runner_gets_the_same_again() {
    let mut bench = Bench::with([account(1, 5)]);
    let first = bench.at_desk(&["a"], |desk| lease(desk, &wish("a", "l1")));
    assert_eq!(first, given("l1", "key-1"));
    let row = &bench.world.leases["l1"];
    assert_eq!((row.expire_time, row.estimated_cost_nano_usd), (bench.now.plus(40 * S), 3));
    let again = bench.at_desk(&["a"], |desk| lease(desk, &wish("a", "l2")));
    assert_eq!(again.map(|leased| (leased.lease_id, leased.again)), Ok((text("l1"), true)));
    assert_eq!(bench.plan, Plan::default());
}

#[test]
fn who_stands_behind_others_gets_none_of_their_slots_but_keeps_what_is_its_own() {
    let mut bench = Bench::with([account(1, 5)]);
    let behind = |task_id, lease_id| Wish { is_behind_others: true, ..wish(task_id, lease_id) };
    let another = Wish { runner: "another", ..behind("a", "l3") };
    let poll = Wish { running_on: Some("key-1"), ..behind("b", "l4") };
    bench.at_desk(&["a"], |desk| lease(desk, &wish("a", "l1"))).expect("a slot is free");
    let fresh = bench.at_desk(&["b"], |desk| lease(desk, &behind("b", "l2")));
    assert_eq!(fresh, refused(Why::AllBusy, SOONEST, false));
    let held = bench.at_desk(&["a"], |desk| lease(desk, &behind("a", "l2")));
    assert!(held.is_ok_and(|leased| leased.again));
    let taken_over = bench.at_desk(&["a"], |desk| lease(desk, &another));
    assert_eq!(taken_over, given("l3", "key-1"));
    // The task has run on the key before: `b` is closed again, and goes on.
    bench.at_desk(&["b"], |desk| lease(desk, &wish("b", "l5"))).expect("a slot is free");
    bench.at_desk(&["b"], |desk| desk.release(&text("l5"), &Report::succeeded()));
    let polled = bench.at_desk(&["b"], |desk| lease(desk, &poll));
    assert_eq!(polled, given("l4", "key-1"));
}

#[test]
fn a_task_goes_on_with_the_account_that_has_or_had_its_key() {
    let mut bench = Bench::with([Account { priority: 1, ..account(1, 5) }, account(2, 5)]);
    let first = bench.lease_on(1);
    bench.report(&first, LeaseOutcome::RunnerCanceled);
    let sit = |key_id, owners: &[(&str, AccountId)]| {
        let mut rows = bench.world.whole(&[&first.task_id], bench.now);
        rows.key_owners = owners.iter().map(|(key_id, owner)| (text(key_id), *owner)).collect();
        let wish = Wish { running_on: Some(key_id), ..wish(&first.task_id, "next") };
        bench.sit(rows, &Around::default(), |desk| lease(desk, &wish)).outcome
    };
    assert_eq!(sit("key-1", &[]), given("next", "key-1"), "the key of its newest lease");
    assert_eq!(sit("key-old", &[("key-old", 1)]), given("next", "key-1"), "a key that the account had");
    assert_eq!(sit("key-old", &[]), given("next", "key-2"), "nobody knows the key");
}

#[test]
fn what_was_not_read_is_named_and_the_task_waits_for_it() {
    let mut bench = Bench::with([account(1, 5), account(2, 5)]);
    let held = bench.lease_on(1);
    let mut rows = bench.world.snapshot(&[2], &[], &[], bench.now);
    rows.leases.push(Arc::clone(&held));
    let wish = Wish { runner: "another", ..wish(&held.task_id, "next") };
    let around = Around { tasks: BTreeSet::from([Arc::clone(&held.task_id)]), ..Around::default() };
    let sitting = bench.sit(rows.clone(), &around, |desk| lease(desk, &wish));
    assert_eq!(sitting.outcome, refused(Why::AllBusy, SOONEST, false));
    assert_eq!(sitting.missing, Missing { accounts: BTreeSet::from([1]), tasks: BTreeSet::new() });
    assert!(!sitting.missing.is_empty());

    let sitting =
        bench.sit(rows, &around, |desk| (desk.is_leased(&held.task_id), desk.is_leased(&text("unread"))));
    assert_eq!(sitting.outcome, (true, false));
    assert_eq!(
        sitting.missing,
        Missing { accounts: BTreeSet::new(), tasks: BTreeSet::from([text("unread")]) }
    );
    assert!(!sitting.missing.is_empty());
    assert!(Missing::default().is_empty());
}

#[test]
fn a_lease_is_known_by_its_name_and_lives_until_it_is_given_back() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.at_desk(&["a"], |desk| lease(desk, &wish("a", "l1"))).expect("a slot is free");
    let another = Wish { runner: "another", ..wish("a", "l2") };
    bench.at_desk(&["a"], |desk| lease(desk, &another)).expect("it is taken over");
    let named = |is_superseded| NamedLease { task_id: text("a"), key_id: text("key-1"), is_superseded };
    bench.at_desk(&["a"], |desk| {
        assert_eq!(desk.named(&text("l1")), Some(named(true)));
        assert_eq!(desk.named(&text("l2")), Some(named(false)));
        assert_eq!(desk.named(&text("nobody's")), None);
        assert!(desk.is_leased(&text("a")));
        desk.release(&text("l2"), &Report::succeeded());
        assert!(!desk.is_leased(&text("a")));
    });
    let closed = &bench.world.leases["l2"];
    assert_eq!(
        (closed.state(bench.now), closed.outcome),
        (LeaseState::Released, Some(LeaseOutcome::Succeeded))
    );
}

#[test]
fn a_task_that_has_started_proves_the_account_that_it_probed() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.fail(LeaseOutcome::AccountLocked, 1);
    bench.now = bench.until(1);
    let probe = bench.lease();
    assert!(probe.is_probe);
    bench.at_desk(&[], |desk| desk.started(&probe.lease_id));
    assert_eq!(bench.health(1), Health::Healthy);
}

#[test]
fn a_refusal_is_the_locked_rows_or_where_none_were_locked_the_views() {
    let mut bench = Bench::with([account(1, 1), account(2, 1)]);
    bench.lease_on(1);
    let limited = bench.lease_on(2);
    let report = Report { retry_after_micros: Some(20 * S), http_status: Some(429), ..Report::default() };
    bench.release(&limited, &report);
    let ask =
        |rows: Snapshot| bench.sit(rows, &Around::default(), |desk| lease(desk, &wish("a", "l"))).outcome;
    let rows = |accounts: &[AccountId]| bench.world.snapshot(accounts, &[], &[], bench.now);
    assert_eq!(ask(rows(&[2])), refused(Why::CoolingDown, 20 * S, false));
    // Over the whole pool one is busy: a job's five seconds.
    assert_eq!(ask(rows(&[])), refused(Why::AllBusy, 5 * S, false));
}

#[test]
fn a_task_that_is_tied_to_a_full_account_is_told_so() {
    let mut bench = Bench::with([account(1, 1), account(2, 1)]);
    bench.lease_on(1);
    let mut rows = bench.world.whole(&[], bench.now);
    rows.key_owners.push((text("key-1"), 1));
    let wish = Wish { running_on: Some("key-1"), ..wish("a", "l") };
    let sitting = bench.sit(rows, &Around::default(), |desk| lease(desk, &wish));
    assert_eq!(sitting.outcome, refused(Why::AllBusy, 5 * S, true));
}

/// Nothing but these keys can be opened.
fn only(keys: &[(AccountId, &str)]) -> Around {
    let readable = keys.iter().map(|(account_id, key_id)| (*account_id, text(key_id))).collect();
    Around { readable: Some(readable), ..Around::default() }
}

#[test]
fn a_key_that_cannot_be_opened_is_given_to_nobody_and_named_where_no_other_would_do() {
    let mut bench = Bench::with([account(1, 5), Account { priority: 1, ..account(2, 5) }]);
    let ask = |bench: &Bench, around: &Around| {
        let rows = bench.world.whole(&[], bench.now);
        bench.sit(rows, around, |desk| lease(desk, &wish("a", "l"))).outcome
    };
    assert_eq!(ask(&bench, &only(&[(2, "key-2")])), given("l", "key-2"));
    let closed = |outcome: Result<Leased, Rejection>| match outcome {
        Err(Rejection::SecretUnavailable { key_id, kek_id, .. }) => Some((key_id, kek_id)),
        _ => None,
    };
    assert_eq!(closed(ask(&bench, &only(&[]))), Some((text("key-1"), text("kek-1"))));
    assert_eq!(closed(ask(&bench, &only(&[(2, "key-1")]))), Some((text("key-1"), text("kek-1"))));

    // One that would not have been given anyway is not what stands in the way.
    bench.world.accounts.get_mut(&1).expect("added").status = AccountStatus::Disabled;
    bench.world.accounts.get_mut(&2).expect("added").allowed_apps =
        AllowList::new(vec!["fal-ai/sora-2".into()]);
    let latest = keypool::refusal::LATEST_MICROS;
    assert_eq!(ask(&bench, &only(&[])), refused(Why::NoneEnabled, latest, false));
    assert_eq!(ask(&bench, &only(&[(1, "key-1"), (2, "key-2")])), refused(Why::NoneAllowed, latest, false));
}

#[test]
fn a_key_that_was_found_unreadable_before_is_named_though_it_is_not_proposed() {
    let bench = Bench::with([]);
    let around = Around { barred: vec![account(1, 5)], ..Around::default() };
    let outcome = bench.sit(Snapshot::default(), &around, |desk| lease(desk, &wish("a", "l"))).outcome;
    assert!(matches!(outcome, Err(Rejection::SecretUnavailable { key_id, .. }) if &*key_id == "key-1"));
}

#[test]
fn a_lease_whose_key_cannot_be_opened_is_taken_over_even_by_its_own_runner() {
    let mut bench = Bench::with([account(1, 5), Account { priority: 1, ..account(2, 5) }]);
    bench.at_desk(&["a"], |desk| lease(desk, &wish("a", "l1"))).expect("a slot is free");
    let wish = Wish { running_on: Some("key-1"), ..wish("a", "l2") };
    let rows = bench.world.whole(&["a"], bench.now);
    let sitting = bench.sit(rows, &only(&[(2, "key-2")]), |desk| lease(desk, &wish));
    assert_eq!(sitting.outcome, given("l2", "key-2"));
    let closed = sitting.plan.leases.iter().find(|(_, row)| &*row.lease_id == "l1");
    assert_eq!(closed.and_then(|(_, row)| row.outcome), Some(LeaseOutcome::RunnerCanceled));
}

#[test]
fn lots_fall_by_seed_and_lease_and_the_same_in_each_run_of_a_batch() {
    let bench = Bench::with((1..=8).map(|id| account(id, 5)));
    let key = |seed, lease_id: &str| {
        let rows = bench.world.whole(&[], bench.now);
        let around = Around { seed, ..Around::default() };
        bench
            .sit(rows, &around, |desk| lease(desk, &wish("a", lease_id)))
            .outcome
            .expect("all are free")
            .key_id
    };
    let by_lease: BTreeSet<Text> = (0..64).map(|number| key(1, &format!("lease {number}"))).collect();
    let by_seed: BTreeSet<Text> = (0..64).map(|seed| key(seed, "lease")).collect();
    assert_eq!((by_lease.len(), by_seed.len()), (8, 8));
    assert_eq!(key(5, "lease"), key(5, "lease"));
}

#[test]
fn a_desk_that_closes_tells_the_view_what_each_workspace_has_come_to() {
    let shared = |id| Account { workspace: text("shared"), ..account(id, 5) };
    let mut bench = Bench::with([shared(1), shared(2), account(3, 1)]);
    bench.lease_on(3);
    let rows = bench.world.whole(&[], bench.now);
    let sitting = bench.sit(rows, &Around::default(), |desk| {
        lease(desk, &wish("a", "l1")).and(lease(desk, &wish("b", "l2"))).expect("slots are free")
    });
    let seen = sitting.observed.iter().map(|seen| {
        let accounts: Vec<AccountId> = seen.accounts.iter().map(|account| account.account_id).collect();
        (&*seen.workspace.workspace, accounts, seen.in_flight, seen.committed_nano_usd)
    });
    assert_eq!(seen.collect::<Vec<_>>(), [("shared", vec![1, 2], 2, 6), ("ws-3", vec![3], 1, 0)]);
}

#[test]
fn a_report_on_a_lease_that_is_not_there_is_refused() {
    let mut bench = Bench::with([account(1, 5)]);
    let release = Command::Release { lease_id: text("nobody's"), report: Report::succeeded() };
    let outcome = bench.at_desk(&[], |desk| desk.command(&release, "ann"));
    assert_eq!(outcome, Err(Rejection::LeaseNotFound(text("nobody's"))));
}
