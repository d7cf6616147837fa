//! What was written of the key pool reads back: every column, by every door; and what a migration makes of old rows.

use scrip::keypool;
use scrip::keypool::{
    Account, AccountKey, AccountStatus, AllowList, AuditLine, Cause, Circuit, FieldChange, KeyWrite, Lease,
    Out, Purpose, Subject, Vitals, Workspace,
};
use scrip::ledger::command::Authorize;
use scrip::ledger::{Change, Micros};
use scrip::store::postgres::migrate;
use scrip::store::rows::Usage;
use scrip::store::{AccountRecord, LeaseRecord, Page, StoreError};

use super::pool::{S, T, account, closed, execute, key, lease, naming, read, rows, sealed, write};
use super::support::postgres::shared;
use super::*;

fn out(cause: Cause, probe: Option<&str>) -> Option<Out> {
    Some(Out { cause, since: T, until: T.plus(S), probe: probe.map(text) })
}

/// A workspace and an account with something in every column.
fn full() -> (Workspace, Account) {
    let workspace = Workspace {
        workspace: text("团队 a"),
        balance_nano_usd: Some(7),
        circuit: Circuit {
            out: out(Cause::RateLimited, Some("l")),
            strikes: 3,
            return_time: Some(T.plus(-S)),
        },
        vitals: Vitals {
            error_permille: 1_000,
            latency_micros: Some(12_345_678),
            report_time: T.plus(1),
            streak: 4,
            streak_start: T.plus(2),
            last_failure: Some((Cause::UpstreamError, T.plus(3))),
            last_success: Some(T.plus(4)),
        },
    };
    let account = Account {
        billing_key_id: Some(text("billing-1")),
        max_concurrency: 40,
        priority: -3,
        weight: 10_000,
        allowed_apps: AllowList::new(vec![text("fal-ai/flux/*"), text("a \"quoted\" {name}")]),
        remark: text("line\nline"),
        use_cnt: 5,
        error_cnt: 6,
        create_time: T.plus(-5),
        update_time: T.plus(5),
        key: Circuit { out: out(Cause::AuthFailed, None), strikes: 1, return_time: None },
        ..account(1, "团队 a")
    };
    (workspace, account)
}

#[tokio::test]
async fn every_column_of_the_pool_reads_back_as_planned_inserted_or_updated() {
    let Some((_, store)) = fresh().await else { return };
    let mut writer = store.writer();
    let reader = store.reader();
    let (workspace, account) = full();
    let leases =
        [Lease { is_probe: true, is_retry: true, ..lease("l", 1, "t", 1) }, closed(lease("m", 1, "u", 1))];
    let billing = AccountKey { purpose: Purpose::Billing, ..key(1, "billing-1") };
    let mut plan = rows(std::slice::from_ref(&account), &leases);
    plan.workspaces = vec![(Change::Insert, workspace.clone())];
    plan.balances = vec![(text("团队 a"), Some(7))];
    plan.keys.push(KeyWrite::Put(Change::Insert, billing.clone()));
    write(&mut *writer, plan).await;

    let usage = Usage { workspace: text("团队 a"), in_flight: 1, committed_nano_usd: 40 };
    let check = async |workspace: &Workspace, account: &Account| {
        let record = AccountRecord { account: account.clone(), workspace: workspace.clone(), in_flight: 1 };
        assert_eq!(reader.accounts(&[1, 2]).await.unwrap(), std::slice::from_ref(&record));
        assert_eq!(reader.list_accounts(Page { before: None, limit: 9 }).await.unwrap(), [record]);
        let mut snapshot = reader.audit_snapshot().await.unwrap();
        for pool in [reader.key_pool().await.unwrap(), snapshot.key_pool().await.unwrap()] {
            assert_eq!(pool.workspaces, std::slice::from_ref(workspace));
            assert_eq!(pool.accounts, std::slice::from_ref(account));
            assert_eq!(pool.usage, std::slice::from_ref(&usage));
            assert!(pool.now > T);
        }
        let snapshot = read(&mut *store.writer(), naming(&["团队 a"])).await;
        assert_eq!(snapshot.workspaces, std::slice::from_ref(workspace));
        assert_eq!(snapshot.accounts, std::slice::from_ref(account));
        assert_eq!(snapshot.keys, [billing.clone(), key(1, "key-1")]);
        assert_eq!(snapshot.leases, [Arc::new(leases[0].clone())]);
    };
    check(&workspace, &account).await;

    // All of it again, the other way round.
    let fresh = Workspace { balance_nano_usd: Some(7), ..Workspace::new(text("团队 a")) };
    let plain = Account { create_time: account.create_time, ..super::pool::account(1, "团队 a") };
    let plan = keypool::Plan {
        workspaces: vec![(Change::Update, fresh.clone())],
        accounts: vec![(Change::Update, plain.clone())],
        ..keypool::Plan::default()
    };
    write(&mut *writer, plan).await;
    check(&fresh, &plain).await;
    let plan = keypool::Plan {
        workspaces: vec![(Change::Update, workspace.clone())],
        accounts: vec![(Change::Update, account.clone())],
        ..keypool::Plan::default()
    };
    write(&mut *writer, plan).await;
    check(&workspace, &account).await;
}

#[tokio::test]
async fn accounts_and_keys_are_listed_in_order_and_deleted_ones_are_left_out() {
    let Some((_, store)) = fresh().await else { return };
    let mut writer = store.writer();
    let reader = store.reader();
    let gone = Account { status: AccountStatus::Deleted, ..account(3, "a") };
    let accounts = [account(1, "a"), account(2, "b"), gone, account(4, "a")];
    let mut plan =
        rows(&accounts, &[lease("l1", 1, "t1", 1), lease("l3", 3, "t3", 1), closed(lease("l4", 4, "t4", 1))]);
    let erased = AccountKey { sealed: None, ..key(1, "Z") };
    let billing = |key_id: &str| AccountKey { purpose: Purpose::Billing, ..key(1, key_id) };
    plan.keys.extend(
        [erased, key(1, "ä"), key(1, "B"), key(1, "a"), billing("z"), billing("Z")]
            .map(|key| KeyWrite::Put(Change::Insert, key)),
    );
    plan.workspaces.push((Change::Insert, Workspace::new(text("empty"))));
    write(&mut *writer, plan).await;

    let list = async |before, limit| -> Vec<(i64, u32)> {
        let page = reader.list_accounts(Page { before, limit }).await.unwrap();
        page.iter().map(|record| (record.account.account_id, record.in_flight)).collect()
    };
    assert_eq!(list(None, 9).await, [(4, 0), (2, 0), (1, 1)]);
    assert_eq!(list(Some(4), 1).await, [(2, 0)]);
    assert_eq!(list(Some(1), 9).await, []);
    let found = reader.accounts(&[2, 3, 9]).await.unwrap();
    assert_eq!(found.iter().map(|record| record.account.account_id).collect::<Vec<_>>(), [2]);

    // The deleted account's lease still takes a slot of the workspace; verify sees the account as well.
    let pool = reader.key_pool().await.unwrap();
    let usage = [Usage { workspace: text("a"), in_flight: 2, committed_nano_usd: 80 }];
    assert_eq!(pool.usage, usage);
    assert_eq!(pool.accounts, [account(1, "a"), account(4, "a"), account(2, "b")]);
    assert_eq!(pool.workspaces.iter().map(|row| &*row.workspace).collect::<Vec<_>>(), ["a", "b", "empty"]);
    let whole = reader.audit_snapshot().await.unwrap().key_pool().await.unwrap();
    assert_eq!((whole.accounts, whole.usage.as_slice()), (accounts.to_vec(), usage.as_slice()));

    // Every key that holds a secret, page by page, by bytes.
    let (mut keys, mut after) = (Vec::new(), (0, Purpose::Billing, text("")));
    loop {
        let page = reader.sealed_keys((after.0, after.1.as_str(), &after.2), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = (last.account_id, last.purpose, Arc::clone(&last.key_id));
        keys.extend(page);
    }
    let of_first = ["B", "a", "key-1", "ä"].map(|key_id| key(1, key_id));
    let others = [2, 3, 4].map(|id| key(id, &format!("key-{id}")));
    let expected: Vec<_> = [billing("Z"), billing("z")].into_iter().chain(of_first).chain(others).collect();
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn leases_are_found_with_their_key_and_those_due_first_to_last() {
    let Some((_, store)) = fresh().await else { return };
    let mut writer = store.writer();
    let reader = store.reader();
    let now = reader.now().await.unwrap();
    let until = |lease: Lease, expire_time: Micros| Lease { expire_time, ..lease };
    let all = [
        until(lease("late", 1, "b", 1), now.plus(-S)),
        until(lease("later", 1, "B", 1), now.plus(-9 * S)),
        until(lease("live", 1, "ä", 1), now.plus(900 * S)),
        closed(until(lease("over", 1, "a", 1), now.plus(-5 * S))),
        Lease { key_id: text("old"), ..until(lease("next", 1, "a", 2), now.plus(900 * S)) },
    ];
    let mut plan = rows(&[account(1, "a")], &all);
    plan.keys.push(KeyWrite::Put(Change::Insert, AccountKey { sealed: None, ..key(1, "old") }));
    write(&mut *writer, plan).await;
    assert_eq!(reader.due_leases(9).await.unwrap(), ["later", "late"].map(text));
    assert_eq!(reader.due_leases(1).await.unwrap(), [text("later")]);

    let found = reader.leases(&["live", "unknown"].map(text)).await.unwrap();
    let expected =
        LeaseRecord { lease: all[2].clone(), account_name: text("账户 1"), key: Some(sealed("key-1")) };
    assert_eq!(found, [expected]);
    let erased = reader.leases(&[text("next")]).await.unwrap();
    assert_eq!((&erased[0].lease, &erased[0].key), (&all[4], &None));

    // verify: by the bytes of the task, then by fence.
    let mut snapshot = reader.audit_snapshot().await.unwrap();
    let (mut read, mut after) = (Vec::new(), (text(""), 0));
    loop {
        let page = snapshot.leases((&after.0, after.1), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = (Arc::clone(&last.task_id), last.fence);
        read.extend(page);
    }
    let ids: Vec<&str> = read.iter().map(|lease| &*lease.lease_id).collect();
    assert_eq!(ids, ["later", "over", "next", "late", "live"]);
}

#[tokio::test]
async fn a_hold_is_not_due_while_its_task_has_a_live_lease() {
    let Some((_, store)) = fresh().await else { return };
    let mut writer = store.writer();
    let reader = store.reader();
    let hold = |task_id: &str| {
        work(Command::Authorize(Authorize { charge: charge_of(1, task_id, 1), ttl_micros: Some(1) }), "")
    };
    let batch =
        [credit(1, 100, Purse::Points, "c"), hold("live"), hold("lapsed"), hold("released"), hold("never")];
    run(&mut *writer, &batch).await.committed();
    let now = reader.now().await.unwrap();
    let of = |task_id: &str, expire_time| Lease { expire_time, ..lease(task_id, 1, task_id, 1) };
    let leases = [
        of("live", now.plus(900 * S)),
        of("lapsed", now.plus(-S)),
        closed(of("released", now.plus(900 * S))),
    ];
    write(&mut *writer, rows(&[account(1, "a")], &leases)).await;
    let mut due: Vec<Text> =
        reader.due_holds(9).await.unwrap().into_iter().map(|(_, task_id)| task_id).collect();
    due.sort();
    assert_eq!(due, ["lapsed", "never", "released"].map(text));
}

#[tokio::test]
async fn the_audit_log_keeps_the_order_of_each_batch_and_pages_backwards() {
    let Some((_, store)) = fresh().await else { return };
    let mut writer = store.writer();
    let reader = store.reader();
    let line = |number: i64, subject: Subject| AuditLine {
        // Times run backwards: only the order of writing counts.
        time: T.plus(-number),
        actor: text("root"),
        subject,
        reason: format!("reason {number}").into(),
        changes: vec![FieldChange { field: "weight", before: "1".into(), after: number.to_string() }],
    };
    let subjects = [
        Subject::Account(1),
        Subject::Workspace(text("a"), 2),
        Subject::Lease(text("l"), 1),
        Subject::Account(2),
        Subject::Account(1),
    ];
    let lines: Vec<AuditLine> = (1..).zip(subjects).map(|(number, subject)| line(number, subject)).collect();
    for part in [&lines[..3], &lines[3..]] {
        write(&mut *writer, keypool::Plan { audit: part.to_vec(), ..keypool::Plan::default() }).await;
    }
    let all = reader.audit_log(None, Page { before: None, limit: 9 }).await.unwrap();
    assert_eq!(all.len(), 5);
    for (record, line) in all.iter().rev().zip(&lines) {
        assert_eq!((record.time, &record.actor, &record.reason), (line.time, &line.actor, &line.reason));
        assert_eq!((&*record.subject_kind, &record.subject), (line.subject.kind(), &line.subject.name()));
        assert_eq!((record.account_id, &*record.changes), (line.subject.account_id(), &*line.changes_json()));
    }
    assert!(all.windows(2).all(|pair| pair[0].id > pair[1].id));
    assert_eq!(reader.audit_log(None, Page { before: Some(all[1].id), limit: 2 }).await.unwrap(), all[2..4]);
    let of_first: Vec<_> = all.iter().filter(|record| record.account_id == 1).cloned().collect();
    assert_eq!(of_first.len(), 3);
    assert_eq!(reader.audit_log(Some(1), Page { before: None, limit: 9 }).await.unwrap(), of_first);
    let page = Page { before: Some(of_first[0].id), limit: 1 };
    assert_eq!(reader.audit_log(Some(1), page).await.unwrap(), of_first[1..2]);
}

#[tokio::test]
async fn a_word_of_another_release_in_the_pool_is_named_and_not_guessed() {
    let Some((url, store)) = fresh().await else { return };
    write(&mut *store.writer(), rows(&[account(1, "a")], &[])).await;
    for (broken, mended, column) in [
        (
            "UPDATE scrip_workspaces SET last_failure = 'boredom', last_failure_at = now()",
            "UPDATE scrip_workspaces SET last_failure = NULL, last_failure_at = NULL",
            "last_failure",
        ),
        (
            // As it may be in a row from before this was refused.
            "ALTER TABLE ts_fal_account DROP CONSTRAINT ts_fal_account_allowed_apps; \
             UPDATE ts_fal_account SET allowed_apps = '{}'",
            "UPDATE ts_fal_account SET allowed_apps = '[]'",
            "allowed_apps",
        ),
        (
            "UPDATE ts_fal_account SET key_strikes = 5000000000",
            "UPDATE ts_fal_account SET key_strikes = 0",
            "key_strikes",
        ),
    ] {
        execute(&url, broken).await;
        let error = store.reader().key_pool().await.unwrap_err();
        let StoreError::Bug { what, source } = error else { panic!("{error:?}") };
        let words = format!("{what}: {source}");
        assert!(words.contains(column) && words.contains("reading "), "{words}");
        execute(&url, mended).await;
        store.reader().key_pool().await.unwrap();
    }
}

#[tokio::test]
async fn models_that_could_not_be_read_are_refused_from_whoever_writes_them() {
    let Some((url, store)) = fresh().await else { return };
    write(&mut *store.writer(), rows(&[account(1, "a")], &[])).await;
    let mut connection = super::support::postgres::connect(&url).await;
    for unreadable in [
        "",
        "fal-ai/flux",
        "[not json",
        "{\"a\":1}",
        "\"fal-ai/flux\"",
        "[1]",
        "[\"a\",[\"b\"]]",
        "null",
        "[\"\\ud800\"]",
    ] {
        let update = sqlx::query("UPDATE ts_fal_account SET allowed_apps = $1").bind(unreadable);
        assert!(update.execute(&mut connection).await.is_err(), "{unreadable}");
    }
    execute(&url, "UPDATE ts_fal_account SET allowed_apps = '[\"fal-ai/flux\", \"备用\"]'").await;
    assert_eq!(store.reader().key_pool().await.unwrap().accounts[0].allowed_apps.apps().len(), 2);
}

#[tokio::test]
async fn an_account_from_before_the_key_pool_gets_a_workspace_of_its_own_and_stays_in_or_out() {
    let Some(cluster) = shared() else { return };
    let url = cluster.fresh_database().await;
    migrate(&url, &Options::default()).await.unwrap();
    // Back to the first version: the tables of the second away, its row of either list too; the sixth is about them.
    execute(
        &url,
        "DROP INDEX scrip_reconciliations_actor; \
         DROP TABLE scrip_workspaces, scrip_account_keys, scrip_leases, scrip_audit_log, ts_fal_account; \
         ALTER TABLE scrip_requests DROP COLUMN lease_id; \
         DELETE FROM scrip_schema WHERE version IN (2, 6); DELETE FROM scrip_migrations WHERE version IN (2, 6)",
    )
    .await;
    let first = include_str!("../../migrations/postgres/0001_ledger.sql");
    let from = first.find("CREATE TABLE ts_fal_account (").unwrap();
    let to = from + first[from..].find(";").unwrap();
    // A comment of that table holds a semicolon.
    let to = to + first[to..].find(");").unwrap() + 2;
    execute(&url, &first[from..to]).await;
    execute(
        &url,
        "INSERT INTO ts_fal_account (name, api_key, status, use_cnt, remark, balance_nano_usd)
         VALUES ('one', 'key-a', 1, 7, 'kept', 5), ('two', 'key-b', 0, 0, '', NULL), ('three', 'key-c', 2, 0, '', 9)",
    )
    .await;
    let report = migrate(&url, &Options::default()).await.unwrap();
    assert_eq!(report.applied, ["0002_keypool", "0006_apps"]);
    let store = open(&url, Options::default()).await.unwrap();
    let pool = store.reader().key_pool().await.unwrap();
    let found: Vec<_> = pool
        .accounts
        .iter()
        .map(|a| (a.account_id, &*a.name, &*a.workspace, &*a.key_id, a.status, a.max_concurrency, a.use_cnt))
        .collect();
    let expected = [
        (1, "one", "key-a", "key-a", AccountStatus::Enabled, 2, 7),
        (2, "two", "key-b", "key-b", AccountStatus::Disabled, 2, 0),
        (3, "three", "key-c", "key-c", AccountStatus::Disabled, 2, 0),
    ];
    assert_eq!(found, expected);
    let balances: Vec<_> = pool.workspaces.iter().map(|row| row.balance_nano_usd).collect();
    assert_eq!(balances, [Some(5), None, Some(9)]);
    // Its key has an owner and no secret; the next account's id follows.
    let footprint = keypool::Footprint {
        key_ids: super::pool::set(&["key-a"]),
        new_accounts: 1,
        ..keypool::Footprint::default()
    };
    let snapshot = read(&mut *store.writer(), footprint).await;
    assert_eq!(snapshot.key_owners, [(text("key-a"), 1)]);
    assert_eq!(snapshot.keys[0].sealed, None);
    assert_eq!(snapshot.fresh_ids, [4]);
    assert_eq!(store.reader().sealed_keys((0, "", ""), 9).await.unwrap(), []);
}
