//! What operators change.

use super::*;
use crate::keypool::{
    AccountChanges, AccountStatus, AllowList, Command, Desk, Done, FieldChange, NewAccount, NewKey, Opening,
    Purpose, Reseal, Subject, Unknown, View, Why,
};
use crate::ledger::Rejection;
use world::sealed;

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
    let counted = &bench.world.accounts[&1];
    assert_eq!((counted.use_cnt, counted.error_cnt), (1, 1));
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

fn key(key_id: &str, bytes: &str) -> NewKey {
    NewKey { key_id: text(key_id), sealed: sealed("kek-1", bytes) }
}

pub(super) fn new(key_id: &str, workspace: &str) -> NewAccount {
    NewAccount {
        name: text("new"),
        key: key(key_id, "secret"),
        billing_key: Some(key("billing", "secret")),
        workspace: text(workspace),
        max_concurrency: 5,
        priority: 2,
        weight: 150,
        allowed_apps: AllowList::new(vec!["fal-ai/flux/*".into()]),
        remark: text("from the shelf"),
        balance_nano_usd: None,
    }
}

impl Bench {
    /// Decides on the rows of a command's footprint and writes the plan.
    #[track_caller]
    pub(super) fn command<T>(&mut self, command: &Command, decide: impl FnOnce(&mut Desk<'_>) -> T) -> T {
        let rows = self.world.read(&command.footprint(), &std::collections::BTreeMap::new(), self.now);
        let (view, settings) = (View::new(self.settings), self.settings);
        let pool = Pool::new(rows, Peers::default(), &settings);
        let tasks = std::collections::BTreeSet::new();
        let mut desk = Desk::new(pool, Opening { view: &view, barred: &[], tasks: &tasks, seed: 7 });
        let outcome = decide(&mut desk);
        self.plan = desk.close().1;
        self.world.apply(&self.plan);
        assert_eq!(self.world.wrong(), [""; 0]);
        outcome
    }

    #[track_caller]
    pub(super) fn run(&mut self, command: &Command) -> AccountId {
        match self.command(command, |desk| desk.command(command, "ann")) {
            Ok(Done::Account(described)) => described.account.account_id,
            other => panic!("{other:?}"),
        }
    }

    /// The newest batch's changes of a subject of this kind, each as `field: before > after`.
    pub(super) fn noted(&self, kind: &str) -> Vec<String> {
        let lines = self.plan.audit.iter().filter(|line| line.subject.kind() == kind);
        let word = |change: &FieldChange| format!("{}: {} > {}", change.field, change.before, change.after);
        lines.flat_map(|line| line.changes.iter().map(word)).collect()
    }
}

pub(super) fn delete(account_id: AccountId) -> Command {
    Command::Delete { account_id, reason: text("gone") }
}

/// Two accounts of one locked workspace, of which the first tries its return.
fn with_a_probe() -> (Bench, Arc<Lease>) {
    let shared = |id| Account { workspace: text("shared"), ..account(id, 10) };
    let mut bench = Bench::with([shared(1), shared(2)]);
    let locked = bench.lease_on(1);
    bench.report(&locked, LeaseOutcome::AccountLocked);
    bench.now = bench.until(1);
    let probe = bench.lease_on(1);
    assert!(probe.is_probe);
    (bench, probe)
}

#[test]
fn a_deleted_account_that_comes_back_elsewhere_leaves_no_probe_behind() {
    let (mut bench, probe) = with_a_probe();
    bench.run(&delete(1));
    assert_eq!(bench.health(2), Health::Probing);
    assert_eq!(bench.run(&Command::Create(new("key-1", "other"))), 1);
    assert_eq!(bench.health(2), Health::Locked);
    assert_eq!(bench.noted("workspace"), ["health: probing > locked"]);
    assert!(bench.lease_on(2).is_probe);
    bench.report(&probe, LeaseOutcome::AccountLocked);
    assert_eq!((bench.health(1), bench.health(2)), (Health::Locked, Health::Probing));
}

#[test]
fn a_deleted_accounts_probe_ends_with_its_lease() {
    let (mut bench, probe) = with_a_probe();
    bench.run(&delete(1));
    bench.report(&probe, LeaseOutcome::Succeeded);
    assert_eq!(bench.health(2), Health::Healthy);

    let (mut bench, _) = with_a_probe();
    bench.run(&delete(1));
    bench.pass(bench.settings.default_ttl_micros);
    bench.batch(&[], |_| ());
    assert_eq!(bench.health(2), Health::Locked);
    bench.now = bench.until(2);
    assert!(bench.lease_on(2).is_probe);
}

#[test]
fn an_account_that_moves_ends_the_probe_that_it_was_and_that_is_noted() {
    let (mut bench, _) = with_a_probe();
    let moved = Account { workspace: text("ws-3"), ..bench.world.accounts[&1].clone() };
    bench.world.workspaces.insert(text("ws-3"), crate::keypool::Workspace::new(text("ws-3")));
    let mut rows = bench.world.whole(&[], bench.now);
    rows.workspaces.push(crate::keypool::Workspace::new(text("ws-3")));
    let mut pool = Pool::new(rows, Peers::default(), &bench.settings);
    pool.revise(moved, "ann", "learnt").unwrap();
    bench.plan = pool.into_plan();
    bench.world.apply(&bench.plan);
    assert_eq!(bench.noted("workspace"), ["health: probing > locked"]);
    assert_eq!(bench.noted("account"), ["workspace: shared > ws-3"]);
    assert_eq!(&*bench.plan.audit[1].actor, "ann");
}

#[test]
fn enabling_an_account_brings_its_workspaces_probe_forward_and_notes_that() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.fail(LeaseOutcome::AccountLocked, 1);
    let until = bench.until(1);
    let set = |status| {
        let changes = AccountChanges { status: Some(status), ..AccountChanges::default() };
        Command::Update { account_id: 1, changes, reason: text("paid") }
    };
    bench.run(&set(AccountStatus::Disabled));
    assert_eq!(bench.noted("workspace"), [""; 0]);
    bench.run(&set(AccountStatus::Enabled));
    let hastened = format!("cooldown_until_micros: {} > {}", until.0, bench.now.0);
    assert_eq!(bench.noted("workspace"), [hastened]);
    assert_eq!(bench.noted("account"), ["status: disabled > enabled"]);
    assert!(bench.lease().is_probe);
}

#[test]
fn an_account_is_added_with_all_that_was_set_of_it_in_the_log() {
    let mut bench = Bench::with([Account { workspace: text("shared"), ..account(1, 5) }]);
    bench.world.hear_balance("shared", Some(5));
    bench.run(&Command::Create(new("key-2", "shared")));
    assert_eq!(
        bench.noted("account"),
        [
            "name:  > new",
            "workspace:  > shared",
            "key_id:  > key-2",
            "billing_key_id:  > billing",
            "status:  > enabled",
            "max_concurrency:  > 5",
            "priority:  > 2",
            "weight:  > 150",
            "allowed_apps:  > fal-ai/flux/*",
            "remark:  > from the shelf",
        ]
    );
    assert_eq!(bench.noted("workspace"), [""; 0]);
    assert_eq!(bench.world.balances[&2], 5, "what is known of the credit holds for the new one, too");

    bench.run(&Command::Create(NewAccount {
        billing_key: None,
        balance_nano_usd: Some(9),
        ..new("key-3", "shared")
    }));
    assert_eq!(bench.noted("account").last().unwrap(), "balance_nano_usd: unknown > 9");
    assert_eq!(bench.noted("workspace"), ["balance_nano_usd: 5 > 9"]);
    assert_eq!((bench.world.balances[&1], bench.world.balances[&3]), (9, 9));
}

#[test]
fn a_deleted_account_that_comes_back_is_noted_with_what_it_was() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.fail(LeaseOutcome::AuthFailed, 1);
    bench.run(&delete(1));
    bench.run(&Command::Create(NewAccount { billing_key: None, ..new("key-1", "ws-1") }));
    let noted = bench.noted("account");
    assert!(noted.contains(&"status: deleted > enabled".to_owned()), "{noted:?}");
    assert!(noted.contains(&"health: auth_failed > healthy".to_owned()), "{noted:?}");
    assert!(!noted.iter().any(|change| change.starts_with("max_concurrency")), "{noted:?}");
}

#[test]
fn a_secret_sealed_anew_is_noted_only_where_it_takes_the_place_of_what_was_found() {
    let mut bench = Bench::with([account(1, 5)]);
    let before = sealed("kek-1", "key-1");
    let reseal = |before| Reseal {
        account_id: 1,
        purpose: Purpose::Lease,
        key_id: text("key-1"),
        before,
        after: sealed("kek-2", "key-1"),
    };
    let stale = reseal(sealed("kek-1", "replaced since"));
    bench.batch(&[], |pool| pool.take_reseal(&stale, "ann"));
    assert_eq!(bench.plan, Plan::default());
    let fresh = reseal(before);
    bench.batch(&[], |pool| pool.take_reseal(&fresh, "ann"));
    assert_eq!(bench.noted("account"), ["kek_id: kek-1 > kek-2"]);
    assert!(matches!(bench.plan.audit[0].subject, Subject::Account(1)));
    bench.batch(&[], |pool| pool.take_reseal(&fresh, "ann"));
    assert_eq!(bench.plan, Plan::default(), "it is sealed so already");
}

#[test]
fn another_secret_under_the_same_id_starts_without_the_old_ones_guilt() {
    let mut bench = Bench::with([account(1, 5)]);
    let old = bench.lease();
    bench.fail(LeaseOutcome::AuthFailed, 1);
    let changes = AccountChanges { key: Some(key("key-1", "the right one")), ..AccountChanges::default() };
    bench.run(&Command::Update { account_id: 1, changes, reason: text("mistyped") });
    assert_eq!(bench.health(1), Health::Healthy);
    assert!(bench.noted("account").contains(&"health: auth_failed > healthy".to_owned()));
    assert_eq!(bench.world.accounts[&1].key.strikes, 0);
    bench.report(&old, LeaseOutcome::AuthFailed);
    assert_eq!(bench.health(1), Health::Healthy, "it was given with the old secret");
    assert!(!bench.lease().is_probe);
}

#[test]
fn a_repeat_finds_no_account_that_was_deleted_since_but_for_its_deletion() {
    let mut bench = Bench::with([account(1, 5)]);
    let create = Command::Create(new("key-2", ""));
    let changes = AccountChanges { priority: Some(3), ..AccountChanges::default() };
    let update = Command::Update { account_id: 2, changes, reason: text("later") };
    assert_eq!(bench.run(&create), 2);
    bench.run(&update);
    for command in [&create, &update] {
        let answer = bench.command(command, |desk| desk.repeated(command));
        assert!(matches!(answer, Ok(Done::Account(it)) if it.replayed && it.account.account_id == 2));
    }
    bench.run(&delete(2));
    for command in [&create, &update] {
        let answer = bench.command(command, |desk| desk.repeated(command));
        assert_eq!(answer, Err(Rejection::AccountNotFound(2)));
    }
    let answer = bench.command(&delete(2), |desk| desk.repeated(&delete(2)));
    assert!(matches!(answer, Ok(Done::Account(it)) if it.account.status == AccountStatus::Deleted));
}

#[test]
fn an_update_changes_what_it_names_and_nothing_else() {
    let mut bench = Bench::with([account(1, 5), account(2, 5)]);
    let before = bench.world.accounts[&1].clone();
    bench.pass(S);
    let update = |changes| Command::Update { account_id: 1, changes, reason: text("asked for") };
    let all = AccountChanges {
        name: Some(text("another name")),
        status: Some(AccountStatus::Draining),
        workspace: Some(text("ws-2")),
        max_concurrency: Some(9),
        priority: Some(3),
        weight: Some(50),
        allowed_apps: Some(AllowList::new(vec!["fal-ai/kokoro".into()])),
        remark: Some(text("moved")),
        balance_nano_usd: Some(Some(4)),
        key: Some(key("key-new", "secret")),
        billing_key: Some(Some(key("billing", "secret"))),
    };
    bench.run(&update(all));
    let wanted = Account {
        name: text("another name"),
        status: AccountStatus::Draining,
        workspace: text("ws-2"),
        max_concurrency: 9,
        priority: 3,
        weight: 50,
        allowed_apps: AllowList::new(vec!["fal-ai/kokoro".into()]),
        remark: text("moved"),
        key_id: text("key-new"),
        billing_key_id: Some(text("billing")),
        update_time: bench.now,
        ..before
    };
    assert_eq!(bench.world.accounts[&1], wanted);
    bench.pass(S);
    bench.run(&update(AccountChanges::default()));
    assert_eq!(bench.world.accounts[&1], Account { update_time: bench.now, ..wanted });
    assert!(bench.plan.audit.is_empty(), "nothing that an operator sets has changed");
}

#[test]
fn a_change_of_an_account_that_is_in_use_brings_no_probe_forward() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.fail(LeaseOutcome::AuthFailed, 1);
    let until = bench.until(1);
    let changes = AccountChanges { priority: Some(1), ..AccountChanges::default() };
    bench.run(&Command::Update { account_id: 1, changes, reason: text("later") });
    assert_eq!(bench.until(1), until);
}

#[test]
fn an_account_that_moves_learns_the_credit_of_its_new_workspace_and_one_that_stays_tells_none() {
    let mut bench = Bench::with([account(1, 5), account(2, 5)]);
    bench.world.hear_balance("ws-2", Some(7));
    let update = |changes| Command::Update { account_id: 1, changes, reason: text("learnt") };
    bench.run(&update(AccountChanges { remark: Some(text("stays")), ..AccountChanges::default() }));
    assert_eq!(bench.plan.balances, []);
    bench.run(&update(AccountChanges { workspace: Some(text("ws-2")), ..AccountChanges::default() }));
    assert_eq!(bench.world.balances[&1], 7);
}

#[test]
fn a_deleted_account_that_comes_back_does_not_answer_for_leases_of_its_first_life() {
    let mut bench = Bench::with([account(1, 5)]);
    let old = bench.lease();
    bench.fail(LeaseOutcome::AuthFailed, 1);
    bench.run(&delete(1));
    bench.pass(S);
    bench.run(&Command::Create(NewAccount { billing_key: None, ..new("key-1", "ws-1") }));
    bench.report(&old, LeaseOutcome::AuthFailed);
    assert_eq!(bench.health(1), Health::Healthy, "its secret may be another now");
}

#[test]
fn of_two_accounts_of_one_key_in_one_batch_the_second_is_refused() {
    let mut bench = Bench::with([]);
    let command = Command::Create(new("key-1", ""));
    let (first, second) =
        bench.command(&command, |desk| (desk.command(&command, "ann"), desk.command(&command, "bob")));
    assert!(first.is_ok());
    assert_eq!(second, Err(Rejection::AccountExists { key_id: text("key-1") }));
}

#[test]
fn a_new_limit_holds_in_the_batch_that_sets_it() {
    let draining = Account { status: AccountStatus::Draining, ..account(2, 1) };
    let mut bench = Bench::with([account(1, 5), draining]);
    let lower = Account { max_concurrency: 2, ..bench.world.accounts[&1].clone() };
    let asks = [bench.ask("a"), bench.ask("b"), bench.ask("c")];
    let given = bench.batch(&["a", "b", "c"], |pool| {
        pool.revise(lower, "ann", "").unwrap();
        asks.each_ref().map(|ask| pool.choose(ask).map(|choice| pool.take(ask, choice)).is_ok())
    });
    assert_eq!(given, [true, true, false]);
}
