//! How batches end: committed, refused by the server, or unknown and then resolved.

use scrip::ledger::Rejection;
use scrip::ledger::command::StartTask;
use scrip::store::{Failure, StoreError};
use sqlx::Connection;

use super::support::cut_proxy::{Cut, CutProxy};
use super::support::postgres::{connect, shared, through};
use super::support::{STUCK_AFTER, eventually};
use super::*;

async fn count(url: &str, sql: &'static str) -> i64 {
    let mut connection = connect(url).await;
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

async fn balance(store: &dyn Store, user_id: UserId) -> i64 {
    store.reader().users(&[user_id]).await.unwrap()[0].balance.points
}

fn again(ended: &Transacted) -> bool {
    matches!(ended, Transacted::NotCommitted(Failure::Again(_)))
}

#[tokio::test]
async fn a_batch_sees_what_the_one_before_it_wrote() {
    let Some((url, store)) = fresh().await else { return };
    let mut writer = store.writer();
    let made =
        run(&mut *writer, &[credit(7, 1_000, Purse::Points, "c1"), charge(7, "t1", 600)]).await.committed();
    assert!(made.outcomes.iter().all(Result::is_ok), "{:?}", made.outcomes);
    let repeated = run(&mut *writer, &[charge(7, "t1", 600), charge(7, "t2", 401)]).await.committed();
    assert!(repeated.outcomes[0].as_ref().unwrap().replayed);
    assert!(matches!(repeated.outcomes[1], Err(Rejection::InsufficientBalance { available: 400, .. })));
    assert!(repeated.plan.is_empty());
    assert_eq!(balance(&*store, 7).await, 400);
    // A batch that writes nothing leaves no id either.
    assert_eq!(count(&url, "SELECT count(*) FROM scrip_commits").await, 1);
}

#[tokio::test]
async fn two_writers_never_spend_the_same_points() {
    let Some((_, store)) = fresh().await else { return };
    run(&mut *store.writer(), &[credit(1, 100, Purse::Points, "c")]).await.committed();
    let charging: Vec<_> = (0..4)
        .map(|lane| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut writer = store.writer();
                let mut accepted = 0;
                for number in 0..10 {
                    let batch = [charge(1, &format!("t-{lane}-{number}"), 7)];
                    let batch = run(&mut *writer, &batch).await.committed();
                    accepted += usize::from(batch.outcomes[0].is_ok());
                }
                accepted
            })
        })
        .collect();
    let mut accepted = 0;
    for lane in charging {
        accepted += lane.await.unwrap();
    }
    assert_eq!(accepted, 14, "14 × 7 = 98 of 100 points");
    assert_eq!(balance(&*store, 1).await, 2);
}

#[tokio::test]
async fn a_row_that_another_wrote_first_is_decided_again() {
    let Some((_, store)) = fresh().await else { return };
    let mut writer = store.writer();
    let first = [credit(1, 500, Purse::Points, "c1"), charge(1, "t1", 100)];
    run(&mut *writer, &first).await.committed();

    // As if read before the other replica's commit: task, user and request are not there.
    let stale = |snapshot: &mut Snapshot| snapshot.tasks.clear();
    let ended = run_with(&mut *writer, batch_id(), Run::First, &[charge(1, "t1", 100)], stale).await.ended;
    assert!(again(&ended), "{ended:?}");
    let stale = |snapshot: &mut Snapshot| snapshot.users.clear();
    let ended = run_with(&mut *writer, batch_id(), Run::First, &[credit(1, 5, Purse::Points, "c2")], stale)
        .await
        .ended;
    assert!(again(&ended), "{ended:?}");
    let stale = |snapshot: &mut Snapshot| snapshot.requests.clear();
    let ended = run_with(&mut *writer, batch_id(), Run::First, &[credit(1, 500, Purse::Points, "c1")], stale)
        .await
        .ended;
    assert!(again(&ended), "{ended:?}");

    // The same writer goes on, on a new connection, and nothing of it was written.
    let after = run(&mut *writer, &[charge(1, "t2", 400)]).await.committed();
    assert!(after.outcomes[0].is_ok(), "{:?}", after.outcomes);
    assert_eq!(balance(&*store, 1).await, 0);
}

#[tokio::test]
async fn replicas_that_create_the_same_user_at_once_decide_again_until_both_have() {
    let Some((_, store)) = fresh().await else { return };
    let crediting: Vec<_> = (0..2)
        .map(|replica| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut writer = store.writer();
                for user_id in 1..=20 {
                    let batch = [credit(user_id, 10, Purse::Points, &format!("r{replica}"))];
                    loop {
                        let ended = run(&mut *writer, &batch).await.ended;
                        if matches!(ended, Transacted::Committed) {
                            break;
                        }
                        assert!(again(&ended), "{ended:?}");
                    }
                }
            })
        })
        .collect();
    for replica in crediting {
        replica.await.unwrap();
    }
    for user in store.reader().list_users(None, 100).await.unwrap() {
        assert_eq!((user.balance.points, user.entry_seq), (20, 2));
    }
}

#[tokio::test]
async fn a_commit_that_the_server_refuses_is_no_commit_and_no_unknown_outcome() {
    let Some((url, store)) = fresh().await else { return };
    let mut writer = store.writer();
    run(&mut *writer, &[credit(1, 500, Purse::Points, "c1")]).await.committed();
    let mut admin = connect(&url).await;
    for (code, expected) in [("40001", "Again(Conflict"), ("53100", "Stop(Full"), ("40003", "Unknown(")] {
        let sql = format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END $$;
             DROP TRIGGER IF EXISTS refuse ON ts_fal_tasks;
             CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON ts_fal_tasks
                 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
        let ended = run(&mut *writer, &[charge(1, "t1", 100)]).await.ended;
        assert!(format!("{ended:?}").contains(expected), "{code}: {ended:?}");
    }
    assert_eq!(balance(&*store, 1).await, 500);
}

#[tokio::test]
async fn a_plan_that_does_not_fit_the_tables_is_a_bug_and_writes_nothing() {
    let Some((url, store)) = fresh().await else { return };
    let mut writer = store.writer();
    run(&mut *writer, &[credit(1, 500, Purse::Points, "c1"), charge(1, "t1", 100)]).await.committed();
    let is_bug =
        |ended: &Transacted| matches!(ended, Transacted::NotCommitted(Failure::Stop(StoreError::Bug { .. })));
    // A number of the user's chain that is taken already.
    let forget = |snapshot: &mut Snapshot| snapshot.users[0].entry_seq = 0;
    let ended = run_with(&mut *writer, batch_id(), Run::First, &[charge(1, "t2", 10)], forget).await.ended;
    assert!(is_bug(&ended), "{ended:?}");
    // A user that is to be updated and is not there.
    let invent = |snapshot: &mut Snapshot| {
        let mut user = scrip::ledger::User::new(2, snapshot.now);
        user.balance.points = 50;
        snapshot.users.push(user);
    };
    let ended = run_with(&mut *writer, batch_id(), Run::First, &[charge(2, "t3", 10)], invent).await.ended;
    assert!(is_bug(&ended), "{ended:?}");
    assert!(format!("{ended:?}").contains("0 of 1 users"), "{ended:?}");
    // Likewise a task.
    let rename = |snapshot: &mut Snapshot| {
        let mut task = snapshot.tasks[0].clone();
        task.task_id = text("t9");
        snapshot.tasks.push(task);
    };
    let start = StartTask {
        user_id: 1,
        task_id: text("t9"),
        online_task_id: text("o"),
        key_id: text("k"),
        lease_id: text(""),
    };
    let both = [work(Command::StartTask(start), ""), charge(1, "t1", 100)];
    let ended = run_with(&mut *writer, batch_id(), Run::First, &both, rename).await.ended;
    assert!(is_bug(&ended) && format!("{ended:?}").contains("0 of 1 tasks"), "{ended:?}");
    // More than the purse holds, past the ledger's own check.
    let steal = |snapshot: &mut Snapshot| snapshot.users[0].balance.points = 1_000;
    let ended = run_with(&mut *writer, batch_id(), Run::First, &[charge(1, "t4", 900)], steal).await;
    assert!(matches!(ended.ended, Transacted::Committed), "{:?}", ended.ended);
    assert_eq!(count(&url, "SELECT count(*) FROM ts_fal_tasks").await, 2);
    assert_eq!(count(&url, "SELECT count(*) FROM scrip_commits").await, 2);
}

#[tokio::test]
async fn a_lock_that_does_not_come_free_is_waited_for_only_so_long() {
    let Some(cluster) = shared() else { return };
    let url = cluster.fresh_database().await;
    let store = open(&url, impatient()).await.unwrap();
    let mut writer = store.writer();
    run(&mut *writer, &[credit(1, 500, Purse::Points, "c1")]).await.committed();
    let mut other = connect(&url).await;
    let mut held = other.begin().await.unwrap();
    sqlx::raw_sql("UPDATE ts_users SET updated_at = now()").execute(&mut *held).await.unwrap();
    let ended = run(&mut *writer, &[charge(1, "t1", 100)]).await.ended;
    let conflict = matches!(&ended, Transacted::NotCommitted(Failure::Again(StoreError::Conflict { .. })));
    assert!(conflict, "{ended:?}");
    held.rollback().await.unwrap();
    run(&mut *writer, &[charge(1, "t1", 100)]).await.committed();
}

#[tokio::test]
async fn a_database_that_takes_no_writes_stops_the_batch() {
    let Some((url, store)) = fresh().await else { return };
    let mut writer = store.writer();
    run(&mut *writer, &[credit(1, 500, Purse::Points, "c1")]).await.committed();
    let name = url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let mut admin = connect(&url).await;
    let sql = format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = on");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
    let mut later = store.writer();
    let ended = run(&mut *later, &[charge(1, "t1", 100)]).await.ended;
    let read_only = matches!(&ended, Transacted::NotCommitted(Failure::Stop(StoreError::ReadOnly { .. })));
    assert!(read_only, "{ended:?}");
    assert_eq!(balance(&*store, 1).await, 500);
}

#[tokio::test]
async fn a_session_that_the_server_ended_is_replaced() {
    let Some(cluster) = shared() else { return };
    let url = cluster.fresh_database().await;
    let store = open(&url, migrating()).await.unwrap();
    let mut writer = store.writer();
    run(&mut *writer, &[credit(1, 500, Purse::Points, "c1")]).await.committed();
    cluster.kill_backends_of(&url).await;
    let ended = run(&mut *writer, &[charge(1, "t1", 100)]).await.ended;
    assert!(again(&ended), "{ended:?}");
    run(&mut *writer, &[charge(1, "t1", 100)]).await.committed();
    assert_eq!(balance(&*store, 1).await, 400);
}

#[tokio::test]
async fn a_server_that_is_away_stops_the_batch_and_is_found_again() {
    let Some(cluster) = super::support::postgres::Cluster::start() else { return };
    let url = cluster.fresh_database().await;
    let store = open(&url, migrating()).await.unwrap();
    let mut writer = store.writer();
    run(&mut *writer, &[credit(1, 500, Purse::Points, "c1")]).await.committed();
    cluster.stop_immediate().await;
    // The first may still find the old connection broken; then there is nobody to connect to.
    let id = batch_id();
    let batch = [charge(1, "t1", 100)];
    run_with(&mut *writer, id, Run::First, &batch, |_| {}).await;
    let ended = run_with(&mut *writer, id, Run::First, &batch, |_| {}).await.ended;
    let stopped = matches!(&ended, Transacted::NotCommitted(Failure::Stop(StoreError::Unavailable { .. })));
    assert!(stopped, "{ended:?}");
    let ended = run_with(&mut *writer, id, Run::Resolving, &batch, |_| {}).await.ended;
    assert!(matches!(ended, Transacted::Unknown(_)), "{ended:?}");
    assert!(matches!(store.reader().users(&[1]).await, Err(StoreError::Unavailable { .. })));
    cluster.restart().await;
    run_with(&mut *writer, id, Run::Resolving, &batch, |_| {}).await.committed();
    assert_eq!(balance(&*store, 1).await, 400);
}

#[tokio::test]
async fn an_unknown_outcome_is_resolved_by_its_id() {
    let Some(cluster) = shared() else { return };
    for (cut, committed) in [(Cut::AfterCommit, true), (Cut::BeforeCommit, false), (Cut::SilentAfter, true)] {
        let url = cluster.fresh_database().await;
        let proxy = CutProxy::start(cluster.addr()).await;
        let store = open(&through(&url, proxy.addr()), impatient()).await.unwrap();
        let mut writer = store.writer();
        run(&mut *writer, &[credit(1, 500, Purse::Points, "c1")]).await.committed();

        proxy.arm(cut, 1);
        let (id, batch) = (batch_id(), [charge(1, "t1", 100)]);
        let first = run_with(&mut *writer, id, Run::First, &batch, |_| {}).await;
        assert!(matches!(first.ended, Transacted::Unknown(_)), "{cut:?}: {:?}", first.ended);
        let second = run_with(&mut *writer, id, Run::Resolving, &batch, |_| {}).await;
        if committed {
            assert!(matches!(second.ended, Transacted::AlreadyCommitted), "{cut:?}: {:?}", second.ended);
            assert!(second.plan.is_empty(), "it was not even read");
        } else {
            second.committed();
        }
        assert_eq!(balance(&*store, 1).await, 400, "{cut:?}: charged once");
        assert_eq!(count(&url, "SELECT count(*) FROM scrip_commits").await, 2, "{cut:?}");
    }
}

#[tokio::test]
async fn an_orphan_that_still_holds_its_id_keeps_the_outcome_unknown() {
    let Some(cluster) = shared() else { return };
    let url = cluster.fresh_database().await;
    let proxy = CutProxy::start(cluster.addr()).await;
    let behind = open(&through(&url, proxy.addr()), impatient()).await.unwrap();
    let direct = open(&url, impatient()).await.unwrap();
    run(&mut *direct.writer(), &[credit(1, 500, Purse::Points, "c1")]).await.committed();

    // The COMMIT never arrives and nobody is told; the session stays open until the client is gone.
    proxy.arm(Cut::SilentBefore, 1);
    let (id, batch) = (batch_id(), [charge(1, "t1", 100)]);
    let orphan = {
        let batch = batch.clone();
        tokio::spawn(
            async move { run_with(&mut *behind.writer(), id, Run::First, &batch, |_| {}).await.ended },
        )
    };
    proxy.wait_for_cuts(1).await;
    let mut writer = direct.writer();
    let ended = run_with(&mut *writer, id, Run::Resolving, &batch, |_| {}).await.ended;
    let waited = matches!(&ended, Transacted::Unknown(StoreError::Conflict { .. }));
    assert!(waited, "{ended:?}");
    assert!(matches!(orphan.await.unwrap(), Transacted::Unknown(_)));
    drop(proxy);
    let deadline = tokio::time::Instant::now() + STUCK_AFTER;
    let mut ended = ended;
    while !matches!(ended, Transacted::Committed) {
        assert!(matches!(ended, Transacted::Unknown(_)), "{ended:?}");
        assert!(tokio::time::Instant::now() < deadline, "the orphan never went");
        ended = run_with(&mut *writer, id, Run::Resolving, &batch, |_| {}).await.ended;
    }
    assert_eq!(balance(&*direct, 1).await, 400);
}

#[tokio::test]
async fn a_batch_that_is_dropped_or_panics_leaves_nothing_open() {
    let Some((url, store)) = fresh().await else { return };
    let mut writer = store.writer();
    run(&mut *writer, &[credit(1, 500, Purse::Points, "c1")]).await.committed();
    let batch = [charge(1, "t1", 100)];
    let footprint = Footprint::of(&batch).into();

    let mut deciding = |_: scrip::store::Snapshot| -> scrip::store::Plan { panic!("a bug in the ledger") };
    let transacting = writer.transact(batch_id(), Run::First, &footprint, &mut deciding);
    let panicked = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(transacting)).await;
    assert!(panicked.is_err());

    let mut other = connect(&url).await;
    let mut held = other.begin().await.unwrap();
    sqlx::raw_sql("UPDATE ts_users SET updated_at = now()").execute(&mut *held).await.unwrap();
    let mut deciding = |_: scrip::store::Snapshot| scrip::store::Plan::default();
    let transacting = writer.transact(batch_id(), Run::First, &footprint, &mut deciding);
    assert!(tokio::time::timeout(Duration::from_millis(300), transacting).await.is_err());
    held.rollback().await.unwrap();

    run(&mut *writer, &batch).await.committed();
    assert_eq!(balance(&*store, 1).await, 400);
    eventually("no transaction is left open", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        count(&url, sql).await == 0
    })
    .await;
}

#[tokio::test]
async fn old_batch_ids_are_forgotten_and_young_ones_kept() {
    let Some((url, store)) = fresh().await else { return };
    let mut writer = store.writer();
    run(&mut *writer, &[credit(1, 500, Purse::Points, "c1")]).await.committed();
    for number in 0..5 {
        run(&mut *writer, &[charge(1, &format!("t{number}"), 1)]).await.committed();
    }
    let before = batch_id();
    run(&mut *writer, &[charge(1, "t5", 1)]).await.committed();
    let (seconds, nanos) = before.get_timestamp().unwrap().to_unix();
    let before =
        scrip::ledger::Micros(i64::try_from(seconds).unwrap() * 1_000_000 + i64::from(nanos) / 1_000);
    assert_eq!(writer.prune_commits(before, 4).await.unwrap(), 4);
    assert_eq!(writer.prune_commits(before, 4).await.unwrap(), 2);
    assert_eq!(writer.prune_commits(before, 4).await.unwrap(), 0);
    assert_eq!(count(&url, "SELECT count(*) FROM scrip_commits").await, 1);
}
