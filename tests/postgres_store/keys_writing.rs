//! What a batch that touches the key pool writes, and what it costs.

use scrip::keypool::{
    Account, AccountChanges, AccountId, AccountKey, AccountStatus, AllowList, Ask, Cause, Command, KeyWrite,
    Lease, LeaseOutcome, NewAccount, NewKey, Peers, Pool, Purpose, Report, Reseal, Sealed, Settings,
    Workspace,
};
use scrip::ledger::{Change, Frozen};
use scrip::store::{Failure, Page, StoreError};
use scrip::{keypool, store};

use super::pool::{
    S, T, account, closed, execute, is_again, key, lease, naming, read, rows, sealed, set, transact, write,
};
use super::support::postgres::{Cluster, connect};
use super::*;

fn is_bug(ended: &Transacted, words: &str) -> bool {
    let bug = matches!(ended, Transacted::NotCommitted(Failure::Stop(StoreError::Bug { .. })));
    bug && format!("{ended:?}").contains(words)
}

#[tokio::test]
async fn a_task_gets_its_next_lease_in_the_batch_that_closes_the_one_before() {
    let Some((url, store)) = fresh().await else { return };
    let mut writer = store.writer();
    write(&mut *writer, rows(&[account(1, "a")], &[lease("l1", 1, "t", 1), lease("m1", 1, "u", 1)])).await;
    let renewed = Lease { expire_time: T.plus(900 * S), ..lease("m1", 1, "u", 1) };
    let all = [
        (Change::Insert, lease("l2", 1, "t", 2)),
        (Change::Update, closed(lease("l1", 1, "t", 1))),
        (Change::Insert, lease("n1", 1, "v", 1)),
        (Change::Update, renewed.clone()),
    ];
    let leases = all.map(|(change, row)| (change, Arc::new(row))).to_vec();
    write(&mut *writer, keypool::Plan { leases, ..keypool::Plan::default() }).await;
    let mut found = store.reader().leases(&["l1", "l2", "m1", "n1"].map(text)).await.unwrap();
    found.sort_by(|one, other| one.lease.lease_id.cmp(&other.lease.lease_id));
    let found: Vec<Lease> = found.into_iter().map(|record| record.lease).collect();
    let expected = [closed(lease("l1", 1, "t", 1)), lease("l2", 1, "t", 2), renewed, lease("n1", 1, "v", 1)];
    assert_eq!(found, expected);

    // A lease is closed once, a plan that misses a row is a bug, and none of it is written.
    let twice = |row: Lease| keypool::Plan {
        leases: vec![(Change::Update, Arc::new(row))],
        ..keypool::Plan::default()
    };
    let (ended, _) = transact(&mut *writer, naming(&["a"]), |_| twice(closed(lease("l1", 1, "t", 1)))).await;
    assert!(is_bug(&ended, "0 of 1 leases"), "{ended:?}");
    let unknown = keypool::Plan {
        workspaces: vec![(Change::Update, Workspace::new(text("nowhere")))],
        ..twice(closed(lease("l2", 1, "t", 2)))
    };
    let (ended, _) = transact(&mut *writer, naming(&["a"]), |_| unknown.clone()).await;
    assert!(is_bug(&ended, "0 of 1 workspaces"), "{ended:?}");
    let unknown =
        keypool::Plan { accounts: vec![(Change::Update, account(9, "a"))], ..keypool::Plan::default() };
    let (ended, _) = transact(&mut *writer, naming(&["a"]), |_| unknown.clone()).await;
    assert!(is_bug(&ended, "0 of 1 accounts"), "{ended:?}");
    let unknown = KeyWrite::Put(Change::Update, key(1, "no such key"));
    let unknown = keypool::Plan { keys: vec![unknown], ..keypool::Plan::default() };
    let (ended, _) = transact(&mut *writer, naming(&["a"]), |_| unknown.clone()).await;
    assert!(is_bug(&ended, "0 of 1 keys"), "{ended:?}");
    let open = "SELECT count(*) FROM scrip_leases WHERE released_at IS NULL";
    let open: i64 = sqlx::query_scalar(open).fetch_one(&mut connect(&url).await).await.unwrap();
    assert_eq!(open, 3);
}

#[tokio::test]
async fn a_row_of_the_pool_that_another_replica_wrote_first_is_decided_again() {
    let Some((_, store)) = fresh().await else { return };
    let mut writer = store.writer();
    write(&mut *writer, rows(&[account(1, "a")], &[lease("l1", 1, "t", 1)])).await;
    let other_key = |key_id: &str| Account { key_id: text(key_id), ..account(2, "b") };
    let stale = [
        ("scrip_workspaces_pkey", rows(&[account(2, "a")], &[])),
        ("ts_fal_account_api_key_key", keypool::Plan { keys: vec![], ..rows(&[other_key("key-1")], &[]) }),
        ("scrip_account_keys_lease", keypool::Plan { accounts: vec![], ..rows(&[other_key("key-1")], &[]) }),
        (
            "scrip_account_keys_pkey",
            keypool::Plan {
                keys: vec![KeyWrite::Put(Change::Insert, key(1, "key-1"))],
                ..keypool::Plan::default()
            },
        ),
        ("scrip_leases_live", rows(&[], &[lease("l2", 1, "t", 2)])),
        ("scrip_leases_fence", rows(&[], &[closed(lease("l2", 1, "t", 1))])),
    ];
    for (constraint, plan) in stale {
        let (ended, _) = transact(&mut *writer, naming(&["a"]), |_| plan.clone()).await;
        assert!(is_again(&ended), "{constraint}: {ended:?}");
    }
    let pool = store.reader().key_pool().await.unwrap();
    assert_eq!((pool.workspaces.len(), pool.accounts.len()), (1, 1), "nothing of it was written");
}

#[tokio::test]
async fn replicas_that_add_the_same_account_at_once_decide_again_until_both_know_it() {
    let Some((_, store)) = fresh().await else { return };
    let adding: Vec<_> = (0..2)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut writer = store.writer();
                let mut added = 0;
                for number in 0..20 {
                    let (workspace, key_id) = (format!("ws-{number}"), text(&format!("k-{number}")));
                    let footprint = keypool::Footprint {
                        key_ids: [Arc::clone(&key_id)].into(),
                        new_accounts: 1,
                        ..naming(&[&workspace])
                    };
                    loop {
                        let mut is_new = false;
                        let add = |snapshot: &keypool::Snapshot| {
                            is_new = snapshot.key_owners.is_empty();
                            if !is_new {
                                return keypool::Plan::default();
                            }
                            let key_id = Arc::clone(&key_id);
                            let new = Account { key_id, ..account(snapshot.fresh_ids[0], &workspace) };
                            rows(&[new], &[])
                        };
                        let (ended, _) = transact(&mut *writer, footprint.clone(), add).await;
                        if matches!(ended, Transacted::Committed) {
                            added += usize::from(is_new);
                            break;
                        }
                        assert!(is_again(&ended), "{ended:?}");
                    }
                }
                added
            })
        })
        .collect();
    let mut added = 0;
    for replica in adding {
        added += replica.await.unwrap();
    }
    let pool = store.reader().key_pool().await.unwrap();
    assert_eq!((added, pool.workspaces.len(), pool.accounts.len()), (20, 20, 20));
}

#[tokio::test]
async fn a_balance_goes_to_all_accounts_of_its_workspace_new_and_moved_ones_too() {
    let Some((url, store)) = fresh().await else { return };
    let mut writer = store.writer();
    let gone = Account { status: AccountStatus::Deleted, ..account(3, "a") };
    write(&mut *writer, rows(&[account(1, "a"), account(2, "b"), gone], &[])).await;
    let balance_of = |snapshot: &keypool::Snapshot| snapshot.workspaces[0].balance_nano_usd;
    assert_eq!(balance_of(&read(&mut *writer, naming(&["a"])).await), None);

    let new = keypool::Plan { workspaces: vec![], ..rows(&[account(4, "a")], &[]) };
    let moved = (Change::Update, account(2, "a"));
    let balances = vec![(text("a"), Some(-5)), (text("b"), None)];
    let accounts = new.accounts.iter().cloned().chain([moved]).collect();
    write(&mut *writer, keypool::Plan { accounts, balances, ..new }).await;
    let stored = "SELECT id, balance_nano_usd, balance, status FROM ts_fal_account ORDER BY id";
    let stored: Vec<(i64, Option<i64>, Option<f64>, i32)> =
        sqlx::query_as(stored).fetch_all(&mut connect(&url).await).await.unwrap();
    let expected = [(1, 1), (2, 1), (3, 0), (4, 1)].map(|(id, status)| (id, Some(-5), Some(-5e-9), status));
    assert_eq!(stored, expected);
    assert_eq!(balance_of(&read(&mut *writer, naming(&["a"])).await), Some(-5));
    // The greatest that is known, of accounts that are not deleted.
    execute(&url, "UPDATE ts_fal_account SET balance_nano_usd = id + 10 WHERE id <> 1").await;
    execute(&url, "UPDATE ts_fal_account SET state = 'deleted', status = 0 WHERE id = 4").await;
    assert_eq!(balance_of(&read(&mut *writer, naming(&["a"])).await), Some(12));
    let pool = store.reader().key_pool().await.unwrap();
    let balances: Vec<_> =
        pool.workspaces.iter().map(|row| (&*row.workspace, row.balance_nano_usd)).collect();
    assert_eq!(balances, [("a", Some(12)), ("b", None)]);
}

#[tokio::test]
async fn a_secret_is_sealed_anew_only_where_it_is_still_what_was_opened() {
    let Some((_, store)) = fresh().await else { return };
    let mut writer = store.writer();
    write(&mut *writer, rows(&[account(1, "a"), account(2, "a"), account(3, "a")], &[])).await;
    let after =
        |number: i64| Sealed { kek_id: text("kek-2"), bytes: format!("anew {number}").as_bytes().into() };
    let reseal = |account_id: AccountId, before: Sealed| {
        KeyWrite::Reseal(Reseal {
            account_id,
            purpose: Purpose::Lease,
            key_id: format!("key-{account_id}").into(),
            before,
            after: after(account_id),
        })
    };
    let other_kek = Sealed { kek_id: text("kek-0"), ..sealed("key-2") };
    let erased = AccountKey { sealed: None, retire_time: Some(T), ..key(3, "key-3") };
    let keys = vec![
        reseal(1, sealed("key-1")),
        reseal(2, other_kek),
        reseal(2, sealed("other bytes")),
        KeyWrite::Put(Change::Update, erased.clone()),
        reseal(3, sealed("key-3")),
    ];
    write(&mut *writer, keypool::Plan { keys, ..keypool::Plan::default() }).await;
    let anew = AccountKey { sealed: Some(after(1)), ..key(1, "key-1") };
    assert_eq!(read(&mut *writer, naming(&["a"])).await.keys, [anew, key(2, "key-2"), erased]);
}

#[tokio::test]
async fn what_the_ledger_says_of_leases_is_in_the_same_commit_and_reads_back() {
    let Some((url, store)) = fresh().await else { return };
    let mut writer = store.writer();
    let start = scrip::ledger::command::StartTask {
        user_id: 1,
        task_id: text("t"),
        online_task_id: text("o"),
        key_id: text("key-1"),
        lease_id: text(""),
    };
    let batch = [
        credit(1, 100, Purse::Points, "c"),
        charge(1, "t", 10),
        work(scrip::ledger::Command::StartTask(start), ""),
    ];
    let footprint = store::Footprint { ledger: Footprint::of(&batch), keys: naming(&["a"]) };
    let mut requests = Vec::new();
    let mut deciding = |snapshot: store::Snapshot| {
        let mut ledger = decide(snapshot.ledger, &batch).plan;
        for request in &mut ledger.requests {
            request.frozen = Frozen::Done { entries: None, late: false, lease_id: Some(text("l")) };
        }
        ledger.attempts[0].lease_id = Some(text("l"));
        requests = ledger.requests.clone();
        store::Plan { ledger, keys: rows(&[account(1, "a")], &[lease("l", 1, "t", 1)]) }
    };
    let ended = writer.transact(batch_id(), Run::First, &footprint, &mut deciding).await;
    assert!(matches!(ended, Transacted::Committed), "{ended:?}");
    let mut snapshot = store.reader().audit_snapshot().await.unwrap();
    assert_eq!(snapshot.requests((0, ""), 10).await.unwrap(), requests);
    assert_eq!(snapshot.leases(("", 0), 10).await.unwrap(), [lease("l", 1, "t", 1)]);
    let mut connection = connect(&url).await;
    let attempt: Option<String> = sqlx::query_scalar("SELECT lease_id FROM scrip_task_attempts")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(attempt.as_deref(), Some("l"));
    let ids: i64 =
        sqlx::query_scalar("SELECT count(*) FROM scrip_commits").fetch_one(&mut connection).await.unwrap();
    assert_eq!(ids, 1);
    // The writer reads what a replay needs as well.
    let record = requests[0].clone();
    let stale = |snapshot: &mut Snapshot| assert_eq!(snapshot.requests, std::slice::from_ref(&record));
    let again = [credit(1, 100, Purse::Points, "c")];
    run_with(&mut *writer, batch_id(), Run::First, &again, stale).await.committed();
}

/// Has the pool itself decide a batch, and expects it to be committed.
async fn decided<T: Send>(
    writer: &mut dyn Writer,
    footprint: keypool::Footprint,
    act: impl Fn(&mut Pool<'_>) -> T + Send + Sync,
) -> T {
    let (settings, mut done) = (Settings::default(), None);
    let decide = |snapshot: &keypool::Snapshot| {
        let mut pool = Pool::new(snapshot.clone(), Peers::default(), &settings);
        done = Some(act(&mut pool));
        pool.into_plan()
    };
    let (ended, _) = transact(writer, footprint, decide).await;
    assert!(matches!(ended, Transacted::Committed), "{ended:?}");
    done.unwrap()
}

#[tokio::test]
async fn what_the_pool_decides_in_the_life_of_an_account_is_what_is_stored() {
    let Some((_, store)) = fresh().await else { return };
    let (mut writer, reader) = (store.writer(), store.reader());
    let w = &mut *writer;
    let new = |key_id: &str| NewKey { key_id: text(key_id), sealed: sealed(key_id) };
    let added = NewAccount {
        name: text("one"),
        key: new("k1"),
        billing_key: Some(new("b1")),
        workspace: text("a"),
        max_concurrency: 3,
        priority: 0,
        weight: 100,
        allowed_apps: AllowList::default(),
        remark: text(""),
        balance_nano_usd: Some(5),
    };
    let create = Command::Create(added.clone()).footprint();
    let id = decided(w, create.clone(), |pool| pool.create(&added, "root").unwrap()).await;
    let of_account =
        || keypool::Footprint { accounts: [id].into(), tasks: set(&["t"]), ..Default::default() };
    let ask = |lease_id: &str| Ask {
        lease_id: text(lease_id),
        app_name: text("app"),
        task_id: text("t"),
        // Another runner each time: it takes the task over.
        runner_id: text(lease_id),
        ttl_micros: None,
        estimated_cost_nano_usd: 7,
        user_id: 1,
        running_on: None,
        random: 0,
    };
    let take = |pool: &mut Pool<'_>, ask: &Ask| pool.take(ask, pool.choose(ask).unwrap()).unwrap();
    decided(w, of_account(), |pool| take(pool, &ask("l1"))).await;
    let named = |lease_id: &str| keypool::Footprint { leases: set(&[lease_id]), ..Default::default() };
    let renewed = decided(w, named("l1"), |pool| pool.renew("l1", Some(3_600 * S)).unwrap()).await;
    assert_eq!(reader.leases(&[text("l1")]).await.unwrap()[0].lease, *renewed);

    // Its key is replaced while it is leased: the old one is kept for the lease, and erased with it.
    let changes = AccountChanges { key: Some(new("k2")), ..AccountChanges::default() };
    let key_ids = set(&["k2"]);
    let footprint = keypool::Footprint { key_ids, ..of_account() };
    decided(w, footprint, |pool| pool.update(id, &changes, ("root", "rotated")).unwrap()).await;
    assert_eq!(reader.leases(&[text("l1")]).await.unwrap()[0].key, Some(sealed("k1")));
    let second = decided(w, of_account(), |pool| take(pool, &ask("l2"))).await;
    assert_eq!((second.fence, &*second.key_id), (2, "k2"));
    let first = reader.leases(&[text("l1")]).await.unwrap().remove(0);
    assert_eq!((first.lease.outcome, first.key), (Some(LeaseOutcome::RunnerCanceled), None));

    // Its key is refused, it is deleted, and comes back as it was first added.
    let refused = Report { http_status: Some(401), ..Report::default() };
    decided(w, named("l2"), |pool| pool.release("l2", &refused, 0).unwrap()).await;
    let record = reader.accounts(&[id]).await.unwrap().remove(0);
    assert_eq!(record.account.key.out.as_ref().map(|out| out.cause), Some(Cause::AuthFailed));
    assert_eq!((record.account.use_cnt, record.account.error_cnt, record.in_flight), (2, 1, 0));
    decided(w, of_account(), |pool| pool.delete(id, ("root", "gone")).unwrap()).await;
    assert_eq!(reader.accounts(&[id]).await.unwrap(), []);
    assert_eq!(reader.sealed_keys((0, "", ""), 9).await.unwrap(), []);
    assert_eq!(decided(w, create, |pool| pool.create(&added, "root").unwrap()).await, id);
    let record = reader.accounts(&[id]).await.unwrap().remove(0);
    assert_eq!((&*record.account.key_id, record.workspace.balance_nano_usd), ("k1", Some(5)));
    assert_eq!(reader.sealed_keys((0, "", ""), 9).await.unwrap().len(), 2);
    let log = reader.audit_log(Some(id), Page { before: None, limit: 99 }).await.unwrap();
    assert!(log.len() >= 5 && log.last().is_some_and(|line| &*line.reason == "added"), "{log:?}");
}

#[tokio::test]
async fn a_batch_without_keys_costs_no_statement_of_theirs_and_a_heartbeat_few() {
    let Some(cluster) = Cluster::start_with(&[("log_statement", "all")]) else { return };
    let store = open(&cluster.fresh_database().await, migrating()).await.unwrap();
    let mut writer = store.writer();
    run(&mut *writer, &[credit(1, 100, Purse::Points, "c")]).await.committed();
    write(&mut *writer, rows(&[account(1, "a")], &[lease("l", 1, "t", 1)])).await;
    let statements = || {
        let log = cluster.log();
        log.lines()
            .filter(|line| line.contains("LOG:  execute ") || line.contains("LOG:  statement: "))
            .count()
    };

    let before = statements();
    run(&mut *writer, &[charge(1, "u", 10)]).await.committed();
    // BEGIN, users, tasks, write, COMMIT.
    assert_eq!(statements() - before, 5, "{}", cluster.log());

    let before = statements();
    let renewed = Lease { expire_time: T.plus(900 * S), ..lease("l", 1, "t", 1) };
    let leases = vec![(Change::Update, Arc::new(renewed))];
    let plan = keypool::Plan { leases, ..keypool::Plan::default() };
    let footprint = keypool::Footprint { leases: set(&["l"]), ..keypool::Footprint::default() };
    let (ended, _) = transact(&mut *writer, footprint, |_| plan.clone()).await;
    assert!(matches!(ended, Transacted::Committed), "{ended:?}");
    // BEGIN, workspaces, accounts, leases, write, COMMIT.
    assert_eq!(statements() - before, 6, "{}", cluster.log());
}
