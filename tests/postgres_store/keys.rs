//! What a batch that touches the key pool locks and reads, and how replicas meet at the locks.

use std::collections::BTreeSet;

use scrip::keypool::{Account, AccountId, AccountKey, AccountStatus, KeyWrite};
use scrip::ledger::{Change, Micros};
use scrip::{keypool, store};
use sqlx::Connection;

use super::pool::{
    T, account, closed, execute, is_again, key, lease, naming, read, rows, set, transact, write,
};
use super::support::eventually;
use super::support::postgres::connect;
use super::*;

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

    // Leases that are named, open or not, and the newest of their tasks; and nothing for one that is unknown.
    let leases = set(&["old-1", "open-4", "unknown"]);
    let snapshot = read(&mut *writer, keypool::Footprint { leases, ..keypool::Footprint::default() }).await;
    let named = ["old-1", "open-1", "open-3", "open-4"];
    assert_eq!(names(&snapshot), (vec!["B", "c"], vec![3, 4], named.into()));

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
