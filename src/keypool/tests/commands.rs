//! Commands as they are asked for: what they touch, what counts as their content, and what comes of them.

use super::admin::{delete, new};
use super::*;
use crate::keypool::{
    AccountChanges, AccountStatus, AllowList, AuditLine, Command, Done, FieldChange, Footprint, NewAccount,
    NewKey, Subject,
};
use crate::ledger::{Fingerprint, Method, Rejection};
use world::sealed;

fn renew(lease_id: &str) -> Command {
    Command::Renew { lease_id: text(lease_id), ttl_micros: Some(10 * S) }
}

#[test]
fn a_heartbeat_extends_a_live_lease_and_is_told_why_not() {
    let mut bench = Bench::with([account(1, 5)]);
    let ask = bench.ask("task");
    let first = bench.select(&Ask { ttl_micros: Some(S), ..ask }).expect("a key is free");
    let command = renew(&first.lease_id);
    match bench.command(&command, |desk| desk.command(&command, "ann")) {
        Ok(Done::Renewed(lease)) => assert_eq!(lease.expire_time, bench.now.plus(10 * S)),
        other => panic!("{other:?}"),
    }
    let other = Ask { runner_id: text("another"), ..bench.ask("task") };
    let second = bench.select(&other).expect("it is taken over");
    bench.report(&second, LeaseOutcome::Succeeded);
    let mut answer = |lease_id: &str| {
        let command = renew(lease_id);
        bench.command(&command, |desk| desk.command(&command, "ann"))
    };
    assert_eq!(answer(&first.lease_id), Err(Rejection::LeaseSuperseded(Arc::clone(&first.lease_id))));
    assert_eq!(answer(&second.lease_id), Err(Rejection::LeaseExpired(Arc::clone(&second.lease_id))));
    assert_eq!(answer("nobody's"), Err(Rejection::LeaseNotFound(text("nobody's"))));
}

#[test]
fn a_sweep_counts_the_leases_that_run_out_at_its_own_moment() {
    let mut bench = Bench::with([account(1, 9)]);
    let mut lease = |task: &str, ttl| {
        let ask = Ask { ttl_micros: Some(ttl), ..bench.ask(task) };
        bench.select(&ask).expect("a key is free")
    };
    let leases = [lease("early", S), lease("due", 10 * S), lease("also due", 10 * S)];
    let (ended, live) = (lease("ended", 20 * S), lease("live", 20 * S));
    bench.pass(S);
    bench.batch(&[], |_| ());
    bench.pass(9 * S);
    bench.report(&ended, LeaseOutcome::Succeeded);
    let ids = leases.iter().chain([&ended, &live]).map(|lease| Arc::clone(&lease.lease_id));
    let sweep = Command::Expire { lease_ids: ids.collect() };
    let done = bench.command(&sweep, |desk| desk.command(&sweep, "engine"));
    assert_eq!(done, Ok(Done::Expired(2)));
    assert!(bench.world.leases[&live.lease_id].is_open());
    bench.pass(1);
    let done = bench.command(&sweep, |desk| desk.command(&sweep, "engine"));
    assert_eq!(done, Ok(Done::Expired(0)), "they are closed by now");
}

#[test]
fn an_operator_is_told_how_many_leases_an_account_itself_has_open() {
    let shared = |id| Account { workspace: text("shared"), ..account(id, 10) };
    let mut bench = Bench::with([shared(1), shared(2)]);
    let (ended, _, _, _) = (bench.lease_on(1), bench.lease_on(1), bench.lease_on(1), bench.lease_on(2));
    bench.report(&ended, LeaseOutcome::Succeeded);
    let changes = AccountChanges { remark: Some(text("seen")), ..AccountChanges::default() };
    let command = Command::Update { account_id: 1, changes, reason: text("") };
    match bench.command(&command, |desk| desk.command(&command, "ann")) {
        Ok(Done::Account(told)) => assert_eq!((told.in_flight, told.replayed), (2, false)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_footprint_is_empty_only_where_nothing_is_touched() {
    assert!(Footprint::default().is_empty());
    for command in [&renew("l"), &Command::Create(new("key-2", "")), &delete(1)] {
        assert!(!command.footprint().is_empty(), "{command:?}");
    }
    assert!(Plan::default().is_empty());
    assert!(!Plan { balances: vec![(text("ws"), None)], ..Plan::default() }.is_empty());
}

/// The method and the content of a command that has one.
fn content(command: &Command) -> (Method, Fingerprint) {
    command.content().expect("its outcome is frozen")
}

/// That each of these differs from the first in the field of that name, and in no other.
#[track_caller]
fn differ(command: &Command, others: Vec<(&str, Command)>) {
    let (method, fingerprint) = content(command);
    assert_eq!(content(command).1, fingerprint);
    for (field, other) in others {
        assert_eq!(content(&other).0, method);
        assert_eq!(fingerprint.first_difference(&content(&other).1), Some(field));
    }
}

#[test]
fn a_repeat_that_adds_another_account_is_told_by_the_field_that_differs() {
    let with = |change: &dyn Fn(&mut NewAccount)| {
        let mut account = new("key-1", "ws");
        change(&mut account);
        Command::Create(account)
    };
    let key = |key_id: &str| NewKey { key_id: text(key_id), sealed: sealed("kek-1", "bytes") };
    let command = with(&|_| ());
    assert_eq!(content(&command).0, Method::CreateAccount);
    differ(
        &command,
        vec![
            ("name", with(&|account| account.name = text("another"))),
            ("api_key", with(&|account| account.key = key("key-2"))),
            ("billing_api_key", with(&|account| account.billing_key = None)),
            ("workspace", with(&|account| account.workspace = text(""))),
            ("max_concurrency", with(&|account| account.max_concurrency = 6)),
            ("priority", with(&|account| account.priority = 0)),
            ("weight", with(&|account| account.weight = 100)),
            ("allowed_apps", with(&|account| account.allowed_apps = AllowList::default())),
            ("remark", with(&|account| account.remark = text(""))),
            ("balance_nano_usd", with(&|account| account.balance_nano_usd = Some(0))),
        ],
    );
    let resealed = with(&|account| account.key.sealed = sealed("kek-2", "other bytes"));
    assert_eq!(content(&command), content(&resealed), "a secret is sealed differently each time");
}

#[test]
fn a_repeat_that_changes_something_else_is_told_by_the_field_that_differs() {
    let with = |change: &dyn Fn(&mut AccountChanges)| {
        let mut changes = AccountChanges::default();
        change(&mut changes);
        Command::Update { account_id: 1, changes, reason: text("why") }
    };
    let key = |key_id: &str| NewKey { key_id: text(key_id), sealed: sealed("kek-1", "bytes") };
    let command = with(&|_| ());
    assert_eq!(content(&command).0, Method::UpdateAccount);
    let other = |account_id, reason| Command::Update {
        account_id,
        changes: AccountChanges::default(),
        reason: text(reason),
    };
    differ(
        &command,
        vec![
            ("account_id", other(2, "why")),
            ("reason", other(1, "because")),
            ("name", with(&|changes| changes.name = Some(text("")))),
            ("status", with(&|changes| changes.status = Some(AccountStatus::Enabled))),
            ("api_key", with(&|changes| changes.key = Some(key("key-2")))),
            ("billing_api_key", with(&|changes| changes.billing_key = Some(None))),
            ("workspace", with(&|changes| changes.workspace = Some(text("ws")))),
            ("max_concurrency", with(&|changes| changes.max_concurrency = Some(0))),
            ("priority", with(&|changes| changes.priority = Some(0))),
            ("weight", with(&|changes| changes.weight = Some(0))),
            ("allowed_apps", with(&|changes| changes.allowed_apps = Some(AllowList::default()))),
            ("remark", with(&|changes| changes.remark = Some(text("")))),
            ("balance_nano_usd", with(&|changes| changes.balance_nano_usd = Some(None))),
        ],
    );
    let none = with(&|changes| changes.billing_key = Some(None));
    differ(&none, vec![("billing_api_key", with(&|changes| changes.billing_key = Some(Some(key("none")))))]);
    let unknown = with(&|changes| changes.balance_nano_usd = Some(None));
    differ(&unknown, vec![("balance_nano_usd", with(&|changes| changes.balance_nano_usd = Some(Some(0))))]);
}

#[test]
fn a_deletion_has_its_account_and_its_reason_as_content_and_a_heartbeat_has_none() {
    let command = delete(1);
    assert_eq!(content(&command).0, Method::DeleteAccount);
    let for_another_reason = Command::Delete { account_id: 1, reason: text("another") };
    differ(&command, vec![("account_id", delete(2)), ("reason", for_another_reason)]);
    let release = Command::Release { lease_id: text("l"), report: Report::default() };
    let hear = Command::HearBalance { account_id: 1, balance_nano_usd: 5 };
    for repeatable in [renew("l"), release, hear, Command::Expire { lease_ids: vec![] }] {
        assert_eq!(repeatable.content(), None, "{repeatable:?}");
    }
}

#[test]
fn a_line_of_the_audit_log_names_its_subject_and_has_its_changes_as_one_object() {
    let subjects = [Subject::Account(7), Subject::Workspace(text("ws"), 8), Subject::Lease(text("lease"), 9)];
    let stored = subjects.each_ref().map(|subject| (subject.kind(), subject.name(), subject.account_id()));
    let expected = [("account", text("7"), 7), ("workspace", text("ws"), 8), ("lease", text("lease"), 9)];
    assert_eq!(stored, expected);
    let change = |field, before: &str, after: &str| FieldChange {
        field,
        before: before.to_owned(),
        after: after.to_owned(),
    };
    let line = AuditLine {
        time: Micros(1),
        actor: text("ann"),
        subject: Subject::Account(7),
        reason: text("why"),
        changes: vec![change("status", "enabled", "draining"), change("remark", "", "a \"quoted\" word")],
    };
    let json = r#"{"remark":["","a \"quoted\" word"],"status":["enabled","draining"]}"#;
    assert_eq!(line.changes_json(), json);
    assert_eq!(AuditLine { changes: vec![], ..line }.changes_json(), "{}");
}
