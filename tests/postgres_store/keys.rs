//! Batches that touch the key pool: what is locked and read, what is written, and how replicas meet.

use std::collections::BTreeSet;

use scrip::keypool::{
    Account, AccountId, AccountKey, AccountStatus, AllowList, Circuit, KeyWrite, Lease, LeaseOutcome,
    Purpose, Reseal, Sealed, Workspace,
};
use scrip::ledger::{Change, Frozen, Micros};
use scrip::store::{Failure, StoreError};
use scrip::{keypool, store};
use sqlx::Connection;

use super::support::eventually;
use super::support::postgres::{Cluster, connect};
use super::*;

/// One second, in microseconds.
pub(super) const S: i64 = 1_000_000;

/// A moment of the rows written here: what they say is not judged by the database's clock.
pub(super) const T: Micros = Micros(1_700_000_000_000_123);

pub(super) fn account(account_id: AccountId, workspace: &str) -> Account {
    Account {
        account_id,
        name: format!("账户 {account_id}").into(),
        workspace: text(workspace),
        key_id: format!("key-{account_id}").into(),
        billing_key_id: None,
        status: AccountStatus::Enabled,
        max_concurrency: 2,
        priority: 0,
        weight: 100,
        allowed_apps: AllowList::default(),
        remark: text(""),
        use_cnt: 0,
        error_cnt: 0,
        create_time: T,
        update_time: T,
        key: Circuit::default(),
    }
}

pub(super) fn sealed(bytes: &str) -> Sealed {
    Sealed { kek_id: text("kek-1"), bytes: bytes.as_bytes().into() }
}

pub(super) fn key(account_id: AccountId, key_id: &str) -> AccountKey {
    AccountKey {
        account_id,
        purpose: Purpose::Lease,
        key_id: text(key_id),
        sealed: Some(sealed(key_id)),
        create_time: T,
        retire_time: None,
    }
}

pub(super) fn lease(lease_id: &str, account_id: AccountId, task_id: &str, fence: i64) -> Lease {
    Lease {
        lease_id: text(lease_id),
        account_id,
        key_id: format!("key-{account_id}").into(),
        runner_id: text("runner"),
        user_id: 1,
        task_id: text(task_id),
        fence,
        acquire_time: T,
        expire_time: T.plus(600 * S),
        release_time: None,
        outcome: None,
        is_probe: false,
        is_retry: false,
        estimated_cost_nano_usd: 40,
    }
}

pub(super) fn closed(lease: Lease) -> Lease {
    Lease { release_time: Some(T.plus(S)), outcome: Some(LeaseOutcome::Succeeded), ..lease }
}

/// A plan of new rows: accounts, each with its key and, where it is new, its workspace; and leases.
pub(super) fn rows(accounts: &[Account], leases: &[Lease]) -> keypool::Plan {
    let names: BTreeSet<&Text> = accounts.iter().map(|account| &account.workspace).collect();
    let workspaces = names.into_iter().map(|name| Workspace::new(Arc::clone(name)));
    let keys = accounts.iter().map(|account| key(account.account_id, &account.key_id));
    keypool::Plan {
        workspaces: workspaces.map(|row| (Change::Insert, row)).collect(),
        accounts: accounts.iter().map(|row| (Change::Insert, row.clone())).collect(),
        keys: keys.map(|key| KeyWrite::Put(Change::Insert, key)).collect(),
        leases: leases.iter().map(|row| (Change::Insert, Arc::new(row.clone()))).collect(),
        ..keypool::Plan::default()
    }
}

pub(super) fn set(names: &[&str]) -> BTreeSet<Text> {
    names.iter().map(|name| text(name)).collect()
}

/// A footprint that names workspaces.
pub(super) fn naming(workspaces: &[&str]) -> keypool::Footprint {
    keypool::Footprint { workspaces: set(workspaces), ..keypool::Footprint::default() }
}

/// Runs a batch of the pool alone, and answers what it read, if it came that far.
pub(super) async fn transact(
    writer: &mut dyn Writer,
    keys: keypool::Footprint,
    mut decide: impl FnMut(&keypool::Snapshot) -> keypool::Plan + Send,
) -> (Transacted, Option<keypool::Snapshot>) {
    let footprint = store::Footprint { keys, ..store::Footprint::default() };
    let mut read = None;
    let mut deciding = |snapshot: store::Snapshot| {
        assert_eq!(snapshot.keys.now, snapshot.ledger.now, "one moment for both rooms");
        let keys = decide(&snapshot.keys);
        read = Some(snapshot.keys);
        store::Plan { keys, ..store::Plan::default() }
    };
    let ended = writer.transact(batch_id(), Run::First, &footprint, &mut deciding).await;
    (ended, read)
}

/// Writes a plan and expects it to be committed.
pub(super) async fn write(writer: &mut dyn Writer, plan: keypool::Plan) {
    let (ended, _) = transact(writer, naming(&["none"]), |_| plan.clone()).await;
    assert!(matches!(ended, Transacted::Committed), "{ended:?}");
}

/// What a batch of that footprint reads.
pub(super) async fn read(writer: &mut dyn Writer, keys: keypool::Footprint) -> keypool::Snapshot {
    let (ended, read) = transact(writer, keys, |_| keypool::Plan::default()).await;
    assert!(matches!(ended, Transacted::Committed), "{ended:?}");
    read.unwrap()
}

fn is_again(ended: &Transacted) -> bool {
    matches!(ended, Transacted::NotCommitted(Failure::Again(StoreError::Conflict { .. })))
}

fn is_bug(ended: &Transacted, words: &str) -> bool {
    let bug = matches!(ended, Transacted::NotCommitted(Failure::Stop(StoreError::Bug { .. })));
    bug && format!("{ended:?}").contains(words)
}

async fn execute(url: &str, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&mut connect(url).await).await.unwrap();
}

fn names(snapshot: &keypool::Snapshot) -> (Vec<&str>, Vec<AccountId>, BTreeSet<&str>) {
    let workspaces = snapshot.workspaces.iter().map(|row| &*row.workspace).collect();
    let accounts = snapshot.accounts.iter().map(|account| account.account_id).collect();
    (workspaces, accounts, snapshot.leases.iter().map(|lease| &*lease.lease_id).collect())
}

#[tokio::test]
async fn a_snapshot_holds_each_locked_workspace_whole_and_nothing_else() {
    let Some((url, store)) = fresh().await else { return };
    let mut writer = store.writer();
    let gone = Account { status: AccountStatus::Deleted, ..account(2, "a") };
    let accounts = [account(1, "a"), gone, account(3, "B"), account(4, "c"), account(5, "d")];
    let leases = [
        lease("open-1", 1, "t1", 2),
        closed(lease("old-1", 3, "t1", 1)),
        lease("open-3", 3, "t3", 1),
        lease("open-4", 4, "t4", 1),
        closed(lease("old-5", 5, "t5", 1)),
        closed(lease("new-5", 5, "t5", 2)),
    ];
    let mut plan = rows(&accounts, &leases);
    let retired = AccountKey { sealed: None, retire_time: Some(T), ..key(3, "key-3-old") };
    plan.keys.push(KeyWrite::Put(Change::Insert, retired));
    write(&mut *writer, plan).await;

    // An account: its workspace, with the deleted account and the open lease of it.
    let by_account = keypool::Footprint { accounts: [1, 99].into(), ..keypool::Footprint::default() };
    let snapshot = read(&mut *writer, by_account).await;
    assert_eq!(names(&snapshot), (vec!["a"], vec![1, 2], ["open-1"].into()));
    assert_eq!(snapshot.keys, [key(1, "key-1"), key(2, "key-2")]);
    assert_eq!((snapshot.key_owners, snapshot.fresh_ids), (vec![], vec![]), "nobody named any");

    // Leases that are named, open or not; and nothing for one that is unknown.
    let leases = set(&["old-1", "open-4", "unknown"]);
    let snapshot = read(&mut *writer, keypool::Footprint { leases, ..keypool::Footprint::default() }).await;
    assert_eq!(names(&snapshot), (vec!["B", "c"], vec![3, 4], ["old-1", "open-3", "open-4"].into()));

    // Tasks: the newest lease; its workspace only where it is open.
    let tasks = set(&["t1", "t5", "unknown"]);
    let snapshot = read(&mut *writer, keypool::Footprint { tasks, ..keypool::Footprint::default() }).await;
    assert_eq!(names(&snapshot), (vec!["a"], vec![1, 2], ["open-1", "new-5"].into()));

    // Of a task that is processing: whoever has or had its key. Of one that is not: nobody.
    let batch = [credit(1, 1, Purse::Points, "c"), charge(1, "t8", 0), charge(1, "t9", 0)];
    run(&mut *writer, &batch).await.committed();
    let tasks = || set(&["t8", "t9"]);
    execute(&url, "UPDATE ts_fal_tasks SET api_key = 'key-3-old'").await;
    execute(&url, "UPDATE ts_fal_tasks SET status = 'processing' WHERE task_id = 't8'").await;
    let footprint = keypool::Footprint { tasks: tasks(), ..keypool::Footprint::default() };
    let snapshot = read(&mut *writer, footprint).await;
    assert_eq!(names(&snapshot), (vec!["B"], vec![3], ["open-3"].into()));
    assert_eq!(snapshot.key_owners, [(text("key-3-old"), 3)]);
    assert_eq!(snapshot.keys.len(), 2);
    execute(&url, "UPDATE ts_fal_tasks SET status = 'completed'").await;
    let footprint = keypool::Footprint { tasks: tasks(), ..keypool::Footprint::default() };
    assert_eq!(names(&read(&mut *writer, footprint).await), (vec![], vec![], [].into()));

    // Keys and workspaces that are named; sorted by bytes, whatever the collation.
    let footprint = keypool::Footprint {
        key_ids: set(&["key-1", "key-4", "key-0"]),
        workspaces: set(&["B", "nowhere"]),
        new_accounts: 2,
        ..keypool::Footprint::default()
    };
    let snapshot = read(&mut *writer, footprint.clone()).await;
    assert_eq!(names(&snapshot).0, ["B", "a", "c"]);
    assert_eq!(snapshot.key_owners, [(text("key-1"), 1), (text("key-4"), 4)]);
    let ids: BTreeSet<AccountId> = snapshot.fresh_ids.iter().copied().collect();
    let others = read(&mut *writer, footprint).await.fresh_ids;
    assert!(ids.len() == 2 && others.iter().all(|id| !ids.contains(id)), "{ids:?} {others:?}");
}

#[tokio::test]
async fn the_moment_of_a_batch_is_later_than_its_locks() {
    let Some((url, store)) = fresh().await else { return };
    write(&mut *store.writer(), rows(&[account(1, "a")], &[])).await;
    let mut other = connect(&url).await;
    let mut held = other.begin().await.unwrap();
    sqlx::raw_sql("SELECT FROM scrip_workspaces FOR UPDATE").execute(&mut *held).await.unwrap();
    let waiting = {
        let store = Arc::clone(&store);
        let tasks = set(&["t"]);
        let footprint = store::Footprint {
            ledger: scrip::ledger::Footprint { tasks, ..Footprint::default() },
            keys: naming(&["a"]),
        };
        tokio::spawn(async move {
            let mut now = (Micros(0), Micros(0));
            let mut deciding = |snapshot: store::Snapshot| {
                now = (snapshot.ledger.now, snapshot.keys.now);
                store::Plan::default()
            };
            store.writer().transact(batch_id(), Run::First, &footprint, &mut deciding).await;
            now
        })
    };
    wait_for_a_lock(&url).await;
    let released = store.reader().now().await.unwrap();
    held.rollback().await.unwrap();
    let (of_ledger, of_keys) = waiting.await.unwrap();
    assert!(of_ledger == of_keys && of_keys > released, "{of_ledger:?} {of_keys:?} {released:?}");
}

/// Until a session of this database waits for another's lock.
async fn wait_for_a_lock(url: &str) {
    eventually("a session waits for a lock", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waiting: i64 = sqlx::query_scalar(sql).fetch_one(&mut connect(url).await).await.unwrap();
        waiting == 1
    })
    .await;
}

#[tokio::test]
async fn writers_that_name_the_same_workspaces_by_other_names_never_deadlock_and_lose_no_update() {
    let Some((_, store)) = fresh().await else { return };
    // By account, by lease and by name the order is each time another one.
    let (accounts, leases) = (
        [account(1, "c"), account(2, "b"), account(3, "a")],
        [lease("l-1", 2, "t2", 1), lease("l-2", 1, "t1", 1), lease("l-3", 3, "t3", 1)],
    );
    write(&mut *store.writer(), rows(&accounts, &leases)).await;
    let footprints = [
        keypool::Footprint { accounts: [1, 2, 3].into(), ..keypool::Footprint::default() },
        keypool::Footprint { leases: set(&["l-1", "l-2", "l-3"]), ..keypool::Footprint::default() },
        naming(&["a", "b", "c"]),
        keypool::Footprint { key_ids: set(&["key-1", "key-2", "key-3"]), ..keypool::Footprint::default() },
    ];
    let running: Vec<_> = footprints
        .into_iter()
        .map(|footprint| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut writer = store.writer();
                for _ in 0..25 {
                    let counted = |snapshot: &keypool::Snapshot| {
                        let used = |account: &Account| {
                            (Change::Update, Account { use_cnt: account.use_cnt + 1, ..account.clone() })
                        };
                        let accounts = snapshot.accounts.iter().map(used).collect();
                        keypool::Plan { accounts, ..keypool::Plan::default() }
                    };
                    let (ended, _) = transact(&mut *writer, footprint.clone(), counted).await;
                    assert!(matches!(ended, Transacted::Committed), "{ended:?}");
                }
            })
        })
        .collect();
    for writer in running {
        writer.await.unwrap();
    }
    for record in store.reader().accounts(&[1, 2, 3]).await.unwrap() {
        assert_eq!(record.account.use_cnt, 100);
    }
}

#[tokio::test]
async fn an_account_that_moves_while_its_workspace_is_waited_for_is_read_again() {
    let Some((url, store)) = fresh().await else { return };
    write(&mut *store.writer(), rows(&[account(1, "a"), account(2, "b")], &[lease("l", 1, "t", 1)])).await;
    let by_account = keypool::Footprint { accounts: [1].into(), ..keypool::Footprint::default() };
    let by_lease = keypool::Footprint { leases: set(&["l"]), ..keypool::Footprint::default() };
    let by_key = keypool::Footprint { key_ids: set(&["key-1"]), ..keypool::Footprint::default() };
    for (footprint, to) in [(by_account, "b"), (by_lease, "a"), (by_key, "b")] {
        let mut other = connect(&url).await;
        let mut held = other.begin().await.unwrap();
        sqlx::raw_sql("SELECT FROM scrip_workspaces FOR UPDATE").execute(&mut *held).await.unwrap();
        let waiting = {
            let (store, footprint) = (Arc::clone(&store), footprint.clone());
            tokio::spawn(async move {
                transact(&mut *store.writer(), footprint, |_| keypool::Plan::default()).await
            })
        };
        wait_for_a_lock(&url).await;
        let sql = format!("UPDATE ts_fal_account SET workspace = '{to}' WHERE id = 1");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *held).await.unwrap();
        held.commit().await.unwrap();
        let (ended, read_then) = waiting.await.unwrap();
        assert!(is_again(&ended) && read_then.is_none(), "{footprint:?}: {ended:?}");
        let snapshot = read(&mut *store.writer(), footprint).await;
        assert_eq!(names(&snapshot).0, [to]);
    }
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
    let batch = [credit(1, 100, Purse::Points, "c"), charge(1, "t", 10), work(Command::StartTask(start), "")];
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
    let stale = |snapshot: &mut Snapshot| assert_eq!(snapshot.requests, [record.clone()]);
    let again = [credit(1, 100, Purse::Points, "c")];
    run_with(&mut *writer, batch_id(), Run::First, &again, stale).await.committed();
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
