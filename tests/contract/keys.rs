//! The key pool's tables: accounts with their keys, credit, the audit log, and what a batch reads of them. Leases are in `leases`.

use std::sync::Arc;

use scrip::keypool::{
    Account, AccountChanges, AccountId, AccountStatus, AllowList, Command, Done, Lease, LeaseOutcome,
    NewAccount, NewKey, Purpose, Reseal, Sealed,
};
use scrip::ledger::command::{Charge, StartTask};
use scrip::ledger::{Change, KeySelection, Micros, Purse, Rejection, Report, Text};
use scrip::store::{AccountRecord, Failure, Footprint, Page, Plan, Run, Snapshot, StoreError, Transacted};

use crate::bench::{Bench, audit_log, batch_id, secrets};
use crate::commands::{charge, complete, credit, selection, start, text};
use crate::keyed::{Answer, Item};
use crate::support::model::keypool_world::{S, sealed};

/// A key and its secret.
pub(crate) fn key(key_id: &str) -> NewKey {
    NewKey { key_id: text(key_id), sealed: sealed("kek-1", &format!("\0secret of {key_id}")) }
}

/// An account to be added, alone in its workspace.
pub(crate) fn new_account(key_id: &str, max_concurrency: u32) -> NewAccount {
    NewAccount {
        name: format!("account of {key_id}").into(),
        key: key(key_id),
        billing_key: None,
        workspace: text(""),
        max_concurrency,
        priority: 0,
        weight: 100,
        allowed_apps: AllowList::default(),
        remark: text(""),
        balance_nano_usd: None,
    }
}

pub(crate) fn in_workspace(key_id: &str, workspace: &str) -> NewAccount {
    NewAccount { workspace: text(workspace), ..new_account(key_id, 2) }
}

pub(crate) async fn create(bench: &mut Bench, new: NewAccount) -> AccountId {
    match bench.administer("", Command::Create(new)).await {
        Ok(Done::Account(described)) => described.account.account_id,
        other => panic!("{other:?}"),
    }
}

async fn update(bench: &mut Bench, account_id: AccountId, changes: AccountChanges) {
    let command = Command::Update { account_id, changes, reason: text("because") };
    bench.administer("", command).await.expect("changed");
}

async fn delete(bench: &mut Bench, account_id: AccountId) {
    bench.administer("", Command::Delete { account_id, reason: text("gone") }).await.expect("deleted");
}

pub(crate) async fn record(bench: &Bench, account_id: AccountId) -> AccountRecord {
    let mut found = bench.reader.accounts(&[account_id]).await.expect("accounts");
    assert_eq!(found.len(), 1, "account {account_id}");
    found.remove(0)
}

/// Charges a task and leases a key for it, in one commit.
pub(crate) async fn leased(bench: &mut Bench, task_id: &str) -> Arc<Lease> {
    let lease_id = format!("lease of {task_id}");
    let command = Charge { select_key: Some(Box::new(selection("runner", &lease_id))), ..charge(task_id, 1) };
    let done = bench.with_keys(command).await;
    assert_eq!(done.lease_id.as_deref(), Some(&*lease_id));
    Arc::clone(&bench.pool.leases[&*lease_id])
}

pub(crate) async fn stored(bench: &Bench, lease_id: &str) -> Lease {
    let mut found = bench.reader.leases(&[text(lease_id)]).await.expect("leases");
    assert_eq!(found.len(), 1, "{lease_id}");
    found.remove(0).lease
}

/// A pool of one account with so many slots, and a user who can pay.
pub(crate) async fn with_slots(bench: &mut Bench, max_concurrency: u32) -> AccountId {
    bench.ok(credit(Purse::Points, 1_000)).await;
    create(bench, new_account("key-1", max_concurrency)).await
}

pub(crate) async fn accounts_are_added_changed_and_deleted_with_their_keys(bench: &mut Bench) {
    let new = NewAccount {
        billing_key: Some(key("billing-1")),
        workspace: text("一 workspace '"),
        priority: -3,
        weight: 10_000,
        allowed_apps: AllowList::new(vec!["fal-ai/flux/*".into(), "a \"b\"".into()]),
        remark: text("a\nremark 🎨"),
        balance_nano_usd: Some(i64::MAX),
        ..new_account("key-1", u32::try_from(i32::MAX).expect("it fits"))
    };
    let id = create(bench, new.clone()).await;
    let found = record(bench, id).await;
    assert_eq!(found.account, bench.pool.accounts[&id]);
    assert_eq!((&found.account.allowed_apps, found.account.priority), (&new.allowed_apps, -3));
    assert_eq!(found.workspace.balance_nano_usd, Some(i64::MAX));
    assert_eq!((found.account.status, found.in_flight), (AccountStatus::Enabled, 0));
    assert_eq!(secrets(bench.reader.as_ref()).await.len(), 2);

    bench.pass(S).await;
    let changes = AccountChanges {
        name: Some(text("renamed")),
        status: Some(AccountStatus::Draining),
        key: Some(key("key-2")),
        billing_key: Some(None),
        balance_nano_usd: Some(None),
        ..AccountChanges::default()
    };
    update(bench, id, changes).await;
    let found = record(bench, id).await.account;
    assert_eq!((&*found.name, &*found.key_id, found.status), ("renamed", "key-2", AccountStatus::Draining));
    assert_eq!(found.billing_key_id, None);
    assert!(found.update_time > found.create_time);
    let left: Vec<Text> = secrets(bench.reader.as_ref()).await.into_iter().map(|key| key.key_id).collect();
    assert_eq!(left, [text("key-2")], "what was replaced is erased");

    delete(bench, id).await;
    assert_eq!(bench.reader.accounts(&[id]).await.expect("accounts"), []);
    assert_eq!(secrets(bench.reader.as_ref()).await, []);
    let exists = Rejection::AccountExists { key_id: text("key-1") };
    bench.administer("", Command::Create(new_account("other", 1))).await.expect("added");
    let taken = bench.administer("", Command::Create(new_account("key-1", 1))).await;
    let Ok(Done::Account(back)) = taken else { panic!("{taken:?} is not {exists:?}") };
    assert_eq!(back.account.account_id, id, "a key is one account's, ever");
    assert_eq!(bench.administer("", Command::Create(new_account("key-1", 1))).await, Err(exists));
}

pub(crate) async fn a_request_of_an_operator_is_done_once(bench: &mut Bench) {
    let create = Command::Create(new_account("key-1", 3));
    let first = bench.administer("r", create.clone()).await.expect("added");
    let Done::Account(first) = first else { panic!("{first:?}") };
    let again = bench.administer("r", create).await.expect("replayed");
    let Done::Account(again) = again else { panic!("{again:?}") };
    assert_eq!((again.account, again.replayed), (first.account, true));
    let reused = Rejection::RequestIdReused { request_id: text("r"), field: "max_concurrency" };
    assert_eq!(bench.administer("r", Command::Create(new_account("key-1", 4))).await, Err(reused));
    assert_eq!(bench.pool.accounts.len(), 1);
}

pub(crate) async fn several_accounts_come_in_one_batch_each_under_an_id_of_its_own(bench: &mut Bench) {
    let items: Vec<Item> = (0..70)
        .map(|number| {
            let workspace = format!("ws-{}", number % 7);
            Item::Pool(text(""), Command::Create(in_workspace(&format!("key-{number}"), &workspace)))
        })
        .collect();
    let answers = bench.keyed(&items).await;
    assert!(answers.iter().all(|answer| matches!(answer, Answer::Pool(Ok(_)))));
    let pool = bench.reader.key_pool().await.expect("the pool");
    assert_eq!((pool.accounts.len(), pool.workspaces.len(), pool.usage.len()), (70, 7, 0));
}

/// Reads a footprint and writes nothing.
async fn read(bench: &mut Bench, footprint: &Footprint) -> scrip::keypool::Snapshot {
    let mut seen = None;
    let mut judge = |snapshot: Snapshot| {
        seen = Some(snapshot);
        Plan::default()
    };
    let transacted = bench.writer.transact(batch_id(), Run::First, footprint, &mut judge).await;
    assert!(matches!(transacted, Transacted::Committed), "{transacted:?}");
    let seen = seen.expect("it was decided");
    bench.assert_read(footprint, seen.clone());
    seen.keys
}

pub(crate) async fn a_batch_reads_exactly_what_its_footprint_names(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 100)).await;
    let one = create(bench, in_workspace("key-1", "ws-a")).await;
    let two = create(bench, in_workspace("key-2", "ws-a")).await;
    let gone = create(bench, in_workspace("key-3", "ws-a")).await;
    delete(bench, gone).await;
    for task_id in ["t", "u", "v"] {
        leased(bench, task_id).await;
        bench
            .with_keys(StartTask {
                lease_id: format!("lease of {task_id}").into(),
                key_id: text(""),
                ..start(task_id, task_id)
            })
            .await;
        let report = Report::succeeded();
        let release = Command::Release { lease_id: format!("lease of {task_id}").into(), report };
        bench.administer("", release).await.expect("released");
    }
    let other = create(bench, in_workspace("key-4", "ws-b")).await;
    let drained = AccountChanges { status: Some(AccountStatus::Draining), ..AccountChanges::default() };
    for account_id in [one, two] {
        update(bench, account_id, drained.clone()).await;
    }
    leased(bench, "w").await;

    let keys = |change: fn(&mut scrip::keypool::Footprint)| {
        let mut footprint = Footprint::default();
        change(&mut footprint.keys);
        footprint
    };
    let none = read(bench, &keys(|_| {})).await;
    assert_eq!(none, scrip::keypool::Snapshot { now: none.now, ..<_>::default() });
    let found = read(bench, &keys(|keys| keys.leases.extend(["lease of t".into()]))).await;
    assert_eq!(
        (found.workspaces.len(), found.accounts.len(), found.leases.len()),
        (1, 3, 1),
        "closed, and locked"
    );
    let found = read(bench, &keys(|keys| keys.tasks.extend(["w".into()]))).await;
    assert_eq!(
        (found.accounts.len(), found.leases.len(), found.key_owners.len()),
        (1, 1, 0),
        "by its open lease"
    );
    let found = read(bench, &keys(|keys| keys.tasks.extend(["t".into()]))).await;
    assert_eq!((found.accounts.len(), found.leases.len(), found.key_owners.len()), (3, 1, 1), "by its key");
    bench.with_keys(complete("u")).await;
    let found = read(bench, &keys(|keys| keys.tasks.extend(["u".into()]))).await;
    assert_eq!((found.accounts.len(), found.leases.len(), found.key_owners.len()), (0, 1, 0), "it has ended");
    let found = read(bench, &keys(|keys| keys.workspaces.extend(["ws-b".into(), "nowhere".into()]))).await;
    assert_eq!((found.workspaces.len(), found.accounts[0].account_id, found.leases.len()), (1, other, 1));
    let found = read(bench, &keys(|keys| keys.key_ids.extend(["key-3".into(), "none".into()]))).await;
    assert_eq!((found.accounts.len(), &found.key_owners[..]), (3, &[("key-3".into(), gone)][..]));
    let mut everything = Footprint::default();
    everything.keys.accounts.extend([one, two, other, 999]);
    everything.keys.leases.extend(["lease of t", "lease of w", "none"].map(Text::from));
    everything.keys.tasks.extend(["t", "u", "v", "w", "none"].map(Text::from));
    everything.keys.new_accounts = 3;
    let found = read(bench, &everything).await;
    assert_eq!((found.workspaces.len(), found.accounts.len(), found.leases.len()), (2, 4, 4));
}

/// Has a lease given for task `t`, changes the plan, and answers how the store took it.
async fn tampered(bench: &mut Bench, tamper: fn(&mut Plan)) -> Transacted {
    let open = bench.pool.leases.values().next().cloned().expect("a lease");
    let account = bench.pool.accounts.values().next().cloned().expect("an account");
    let mut judge = |snapshot: Snapshot| {
        let mut plan = Plan::default();
        let lease = Lease {
            lease_id: text("another"),
            fence: 2,
            acquire_time: snapshot.keys.now,
            ..Lease::clone(&open)
        };
        plan.keys.leases.push((Change::Insert, Arc::new(lease)));
        plan.keys.accounts.push((Change::Update, Account { use_cnt: 99, ..account.clone() }));
        tamper(&mut plan);
        plan
    };
    bench.writer.transact(batch_id(), Run::First, &Footprint::default(), &mut judge).await
}

type Broken = (&'static str, fn(&mut Plan));

fn change_lease(plan: &mut Plan, change: impl Fn(&mut Lease)) {
    change(Arc::make_mut(&mut plan.keys.leases[0].1));
}

pub(crate) async fn the_tables_refuse_what_no_plan_of_keys_may_write(bench: &mut Bench) {
    with_slots(bench, 3).await;
    create(bench, new_account("key-2", 1)).await;
    leased(bench, "t").await;
    let before = bench.stored().await;
    let broken: [Broken; 9] = [
        ("one live lease a task", |_| {}),
        ("a fence is given once", |plan| {
            change_lease(plan, |lease| {
                (lease.fence, lease.release_time) = (1, Some(Micros(0)));
                lease.outcome = Some(LeaseOutcome::Expired);
            })
        }),
        ("fences begin at 1", |plan| {
            change_lease(plan, |lease| {
                (lease.task_id, lease.fence) = (text("u"), 0);
            })
        }),
        ("a closed lease has its outcome", |plan| {
            change_lease(plan, |lease| {
                (lease.task_id, lease.release_time) = (text("u"), Some(Micros(0)));
            })
        }),
        ("a job costs nothing or more", |plan| {
            change_lease(plan, |lease| {
                (lease.task_id, lease.estimated_cost_nano_usd) = (text("u"), -1);
            })
        }),
        ("a lease is there once", |plan| {
            change_lease(plan, |lease| {
                (lease.task_id, lease.lease_id) = (text("u"), text("lease of t"));
            })
        }),
        ("a lease that is changed is there", |plan| plan.keys.leases[0].0 = Change::Update),
        ("an account that is changed is there", |plan| {
            change_lease(plan, |lease| lease.task_id = text("u"));
            plan.keys.accounts[0].1.account_id = 999;
        }),
        ("a key is one account's", |plan| {
            change_lease(plan, |lease| lease.task_id = text("u"));
            plan.keys.accounts[0].1.key_id = text("key-2");
        }),
    ];
    for (rule, tamper) in broken {
        let transacted = tampered(bench, tamper).await;
        // Where replicas may race for it the store says to decide again; what only a wrong plan can do is a bug.
        let is_refused = matches!(
            transacted,
            Transacted::NotCommitted(
                Failure::Stop(StoreError::Bug { .. }) | Failure::Again(StoreError::Conflict { .. })
            )
        );
        assert!(is_refused, "{rule}: {transacted:?}");
        assert_eq!(bench.stored().await, before, "{rule}");
    }
    leased(bench, "u").await;
}

pub(crate) async fn credit_at_fal_is_written_to_every_account_of_a_workspace(bench: &mut Bench) {
    let one = create(bench, NewAccount { balance_nano_usd: Some(500), ..in_workspace("key-1", "ws") }).await;
    let two = create(bench, in_workspace("key-2", "ws")).await;
    let balance = async |bench: &Bench, id| record(bench, id).await.workspace.balance_nano_usd;
    assert_eq!(balance(bench, two).await, Some(500), "what others told of it is not forgotten");
    bench
        .administer("", Command::HearBalance { account_id: two, balance_nano_usd: -7 })
        .await
        .expect("heard");
    assert_eq!((balance(bench, one).await, balance(bench, two).await), (Some(-7), Some(-7)));
    let alone = AccountChanges { workspace: Some(text("elsewhere")), ..AccountChanges::default() };
    update(bench, one, alone).await;
    assert_eq!((balance(bench, one).await, balance(bench, two).await), (None, Some(-7)));
    delete(bench, two).await;
    let pool = bench.reader.key_pool().await.expect("the pool");
    assert!(pool.workspaces.iter().all(|row| row.balance_nano_usd.is_none()), "{:?}", pool.workspaces);
}

pub(crate) async fn health_is_kept_of_keys_and_workspaces(bench: &mut Bench) {
    let id = with_slots(bench, 3).await;
    // All three are given before the first report takes the account out.
    for task in ["a", "b", "c"] {
        leased(bench, task).await;
    }
    for (task, status) in [("a", 429), ("b", 401), ("c", 500)] {
        let report = Report { http_status: Some(status), latency_micros: Some(S), ..Report::default() };
        let lease_id = format!("lease of {task}").into();
        bench.administer("", Command::Release { lease_id, report }).await.expect("released");
    }
    let found = record(bench, id).await;
    assert_eq!(found.account, bench.pool.accounts[&id]);
    assert_eq!(found.workspace, bench.pool.workspaces["key-1"]);
    assert!(found.account.key.out.is_some() && found.workspace.circuit.out.is_some(), "{found:?}");
    assert!(found.account.error_cnt > 0);
}

pub(crate) async fn a_secret_is_sealed_anew_only_where_it_is_still_what_was_found(bench: &mut Bench) {
    let id = create(bench, NewAccount { billing_key: Some(key("key-b")), ..new_account("key-1", 1) }).await;
    let anew = |key_id: &str, purpose, before: Sealed| Reseal {
        account_id: id,
        purpose,
        key_id: text(key_id),
        before,
        after: sealed("kek-2", "other bytes"),
    };
    let found = key("key-1").sealed;
    let other_bytes = sealed("kek-1", "what is not there");
    let other_kek = Sealed { kek_id: text("kek-0"), ..found.clone() };
    let reseals = vec![
        anew("key-1", Purpose::Lease, other_bytes),
        anew("key-1", Purpose::Lease, other_kek),
        anew("none", Purpose::Lease, found.clone()),
        anew("key-b", Purpose::Billing, key("key-b").sealed),
    ];
    bench.administer("", Command::Reseal(reseals)).await.expect("done, as far as they fit");
    let keks = |keys: Vec<scrip::keypool::AccountKey>| -> Vec<String> {
        keys.into_iter().map(|key| key.sealed.expect("a secret").kek_id.to_string()).collect()
    };
    assert_eq!(keks(secrets(bench.reader.as_ref()).await), ["kek-2", "kek-1"], "billing, lease");
    bench.administer("", Command::Reseal(vec![anew("key-1", Purpose::Lease, found)])).await.expect("done");
    assert_eq!(keks(secrets(bench.reader.as_ref()).await), ["kek-2", "kek-2"]);
}

pub(crate) async fn a_key_that_was_replaced_is_kept_for_the_leases_it_was_given_with(bench: &mut Bench) {
    let id = with_slots(bench, 2).await;
    let lease = leased(bench, "t").await;
    update(bench, id, AccountChanges { key: Some(key("key-2")), ..AccountChanges::default() }).await;
    let found = async |bench: &Bench| {
        let found = bench.reader.leases(&[Text::clone(&lease.lease_id), text("none")]).await.expect("leases");
        assert_eq!(found.len(), 1);
        found[0].clone()
    };
    let record = found(bench).await;
    assert_eq!((&*record.account_name, &*record.lease.key_id), ("account of key-1", "key-1"));
    assert_eq!(record.key, Some(key("key-1").sealed));
    let lease_id = Text::clone(&lease.lease_id);
    bench.administer("", Command::Release { lease_id, report: Report::succeeded() }).await.expect("released");
    assert_eq!(found(bench).await.key, None, "erased with the last of them");
    let next = leased(bench, "u").await;
    assert_eq!(&*next.key_id, "key-2");
}

pub(crate) async fn the_audit_log_is_listed_newest_first_of_one_account_or_of_all(bench: &mut Bench) {
    let one = create(bench, new_account("key-1", 1)).await;
    let two = create(bench, new_account("key-2", 1)).await;
    for number in 0..4 {
        bench.pass(10).await;
        let renamed =
            AccountChanges { name: Some(format!("n-{number} \"'").into()), ..AccountChanges::default() };
        update(bench, if number % 2 == 0 { one } else { two }, renamed).await;
    }
    let all = audit_log(bench.reader.as_ref()).await;
    assert_eq!(all.len(), 6);
    assert!(all.is_sorted_by_key(|row| row.time));
    let last = all.last().expect("rows");
    assert_eq!((&*last.subject_kind, last.subject.parse(), last.account_id), ("account", Ok(two), two));
    assert_eq!(&*last.reason, "because");
    let changes: serde_json::Value = serde_json::from_str(&last.changes).expect("JSON");
    assert_eq!(changes["name"], serde_json::json!(["n-1 \"'", "n-3 \"'"]));
    let mut names = Vec::new();
    let mut before = None;
    loop {
        let page = Page { before, limit: 1 };
        let rows = bench.reader.audit_log(Some(one), page).await.expect("the audit log");
        let Some(row) = rows.first() else { break };
        assert_eq!((rows.len(), row.account_id), (1, one));
        before = Some(row.id);
        names.push(row.time);
    }
    assert_eq!(names.len(), 3);
    assert!(names.is_sorted_by(|newer, older| newer > older));
}

pub(crate) async fn accounts_are_listed_newest_first_without_deleted_ones(bench: &mut Bench) {
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(create(bench, new_account(&format!("key-{number}"), 1)).await);
    }
    delete(bench, ids.remove(3)).await;
    ids.reverse();
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = bench.reader.list_accounts(Page { before, limit: 4 }).await.expect("accounts");
        let Some(last) = page.last() else { break };
        before = Some(last.account.account_id);
        listed.extend(page);
    }
    assert_eq!(listed.iter().map(|record| record.account.account_id).collect::<Vec<_>>(), ids);
    for found in &listed {
        assert_eq!(*found, record(bench, found.account.account_id).await);
    }
    assert_eq!(bench.reader.accounts(&[]).await.expect("accounts"), []);
}

pub(crate) async fn secrets_are_read_in_the_order_of_account_purpose_and_key(bench: &mut Bench) {
    for number in 0..4 {
        let billing_key = (number % 2 == 0).then(|| key(&format!("billing-{number}")));
        create(bench, NewAccount { billing_key, ..new_account(&format!("key-{number}"), 1) }).await;
    }
    let found = secrets(bench.reader.as_ref()).await;
    let places: Vec<_> =
        found.iter().map(|key| (key.account_id, key.purpose.as_str(), Text::clone(&key.key_id))).collect();
    assert_eq!(places.len(), 6);
    assert!(places.is_sorted(), "{places:?}");
    assert!(found.iter().all(|found| found.sealed == Some(key(&found.key_id).sealed)));
}

pub(crate) async fn the_pool_is_read_whole_and_deleted_accounts_only_for_verify(bench: &mut Bench) {
    let id = with_slots(bench, 10).await;
    let gone = create(bench, in_workspace("key-2", "ws")).await;
    delete(bench, gone).await;
    for (task, cost) in [("a", i64::MAX), ("b", i64::MAX), ("c", 1)] {
        let asked = KeySelection { estimated_cost_nano_usd: Some(cost), ..selection("runner", task) };
        bench.with_keys(Charge { select_key: Some(Box::new(asked)), ..charge(task, 1) }).await;
    }
    let pool = bench.reader.key_pool().await.expect("the pool");
    assert_eq!(pool.accounts.iter().map(|row| row.account_id).collect::<Vec<_>>(), [id]);
    assert_eq!(pool.workspaces.len(), 2, "one has no account left");
    assert_eq!((pool.usage.len(), pool.usage[0].in_flight), (1, 3));
    assert_eq!(pool.usage[0].committed_nano_usd, i64::MAX, "as much as a number holds");
    let accounts: Vec<_> = bench.stored().await.pool.accounts.iter().map(|row| row.account_id).collect();
    assert_eq!(accounts, [id, gone]);
}
