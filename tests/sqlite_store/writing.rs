//! What a batch writes is what was planned, and reads back so.

use std::sync::Arc;

use scrip::engine::verify;
use scrip::ledger::{EntryRange, Footprint, Micros, Plan, Purse, Work};
use scrip::store::sqlite::{Options, open};
use scrip::store::{Failure, Run, Snapshot, Store, StoreError, Transacted, Writer};

use crate::support::{
    World, authorize, charge, complete, credit, execute, fail, number, refund, start, transact,
};

/// Every row of a plan, read back through the reader and the audit.
async fn assert_stored(store: &Arc<dyn Store>, plan: &Plan) {
    let reader = store.reader();
    for (_, user) in &plan.users {
        assert_eq!(reader.users(&[user.user_id]).await.unwrap(), [*user]);
    }
    for write in &plan.tasks {
        let record = reader.task(&write.task.task_id).await.unwrap().unwrap();
        assert_eq!(record.task, *write.task);
        assert_eq!(record.is_refund, !write.task.refunded.is_zero());
        if let Some(output) = &write.output_params {
            assert_eq!(record.output_params, *output);
        }
    }
    for entry in &plan.entries {
        let range = EntryRange { first_seq: entry.user_seq, count: 1 };
        assert_eq!(reader.entries(&[(entry.user_id, range)]).await.unwrap(), [(**entry).clone()]);
    }
    let mut audit = reader.audit_snapshot().await.unwrap();
    let stored = audit.requests((i64::MIN, ""), 10_000).await.unwrap();
    for request in &plan.requests {
        assert!(stored.contains(request), "{request:?}");
    }
}

async fn assert_sound(store: &Arc<dyn Store>) {
    let snapshot = store.reader().audit_snapshot().await.unwrap();
    let mut found = Vec::new();
    verify(snapshot, &mut |disagreement| found.push(disagreement), &mut |_| {}).await.unwrap();
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn each_operation_is_stored_as_planned() {
    let world = World::new();
    let store = world.open().await;
    let mut writer = store.writer();
    let history: Vec<Vec<Work>> = vec![
        vec![
            credit(1, Purse::Points, 400, "c1"),
            credit(1, Purse::Cash, 900, "c2"),
            credit(2, Purse::Points, 50, "c3"),
        ],
        vec![charge(1, "t1", 600), charge(2, "t2", 51), charge(2, "free", 0)],
        vec![start(1, "t1", "online-1"), start(2, "free", "")],
        vec![start(1, "t1", "online-2")],
        vec![complete(1, "t1", r#"{"url":"https://example.com/\u00e9"}"#)],
        vec![refund(1, "t1", 250, "r1"), refund(1, "t1", 400, "r2")],
        vec![authorize(1, "t3", 300, 60_000_000), authorize(1, "t4", 10, 60_000_000)],
        vec![fail(1, "t3")],
        vec![charge(1, "t5", 5), start(1, "t5", "online-5"), fail(1, "t5")],
    ];
    for work in &history {
        let decision = world.commit(&mut writer, work).await;
        assert!(!decision.plan.is_empty());
        assert_stored(&store, &decision.plan).await;
        world.tick(1_000_001);
    }
    let record = store.reader().task("t1").await.unwrap().unwrap();
    assert_eq!(&*record.input_params, r#"{"prompt":"a cat, \"sitting\""}"#);
    assert_eq!(record.task.attempts.iter().map(|id| &**id).collect::<Vec<_>>(), ["online-1", "online-2"]);
    let mut raw = world.raw().await;
    let cost: f64 = sqlx::query_scalar("SELECT cost_money FROM ts_fal_tasks WHERE task_id = 't1'")
        .fetch_one(&mut raw)
        .await
        .unwrap();
    assert_eq!(cost, 0.09024);
    // A later change without output leaves what is stored.
    assert_eq!(&*record.output_params, r#"{"url":"https://example.com/\u00e9"}"#);
    assert_sound(&store).await;
}

#[tokio::test]
async fn wide_batches_are_written_whole() {
    let world = World::new();
    let store = world.open().await;
    let mut writer = store.writer();
    for size in [1, 7, 8, 9, 63, 64, 65, 200] {
        let credits: Vec<Work> =
            (1..=size).map(|user| credit(user, Purse::Points, 1_000, &format!("c{size}"))).collect();
        let decision = world.commit(&mut writer, &credits).await;
        assert_stored(&store, &decision.plan).await;
        let charges: Vec<Work> = (1..=size).map(|user| charge(user, &format!("t{size}-{user}"), 7)).collect();
        let decision = world.commit(&mut writer, &charges).await;
        assert_stored(&store, &decision.plan).await;
        let reports: Vec<Work> =
            (1..=size).map(|user| complete(user, &format!("t{size}-{user}"), "{}")).collect();
        let decision = world.commit(&mut writer, &reports).await;
        assert_stored(&store, &decision.plan).await;
    }
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_batch_that_writes_nothing_leaves_nothing() {
    let world = World::new();
    let store = world.open().await;
    let mut writer = store.writer();
    world.commit(&mut writer, &[credit(1, Purse::Points, 10, "c1")]).await;
    let decision = world.commit(&mut writer, &[charge(1, "t1", 11), charge(3, "t2", 1)]).await;
    assert!(decision.plan.is_empty());
    assert_eq!(number(&mut world.raw().await, "SELECT count(*) FROM scrip_commits").await, 1);
    // No lock is left behind either.
    execute(&mut world.raw().await, "BEGIN IMMEDIATE").await.unwrap();
}

#[tokio::test]
async fn an_unknown_outcome_is_resolved_by_the_batch_id() {
    let world = World::new();
    let store = world.open().await;
    let mut writer = store.writer();
    let work = [credit(1, Purse::Points, 10, "c1")];
    let batch_id = world.batch_id();
    // It had never been committed: it is now.
    let (ended, decision) = transact(&mut writer, batch_id, Run::Resolving, &work).await;
    assert!(matches!(ended, Transacted::Committed), "{ended:?}");
    assert!(!decision.unwrap().plan.is_empty());
    // It has been: nothing is decided again.
    let (ended, decision) = transact(&mut writer, batch_id, Run::Resolving, &work).await;
    assert!(matches!(ended, Transacted::AlreadyCommitted), "{ended:?}");
    assert!(decision.is_none());
    // The id of a new batch is new.
    let (ended, _) = transact(&mut writer, batch_id, Run::First, &[credit(1, Purse::Points, 10, "c2")]).await;
    assert!(matches!(ended, Transacted::NotCommitted(Failure::Stop(StoreError::Bug { .. }))), "{ended:?}");
    assert_eq!(store.reader().users(&[1]).await.unwrap()[0].balance.points, 10);
}

#[tokio::test]
async fn a_plan_that_does_not_fit_the_tables_is_rolled_back() {
    let world = World::new();
    let store = world.open().await;
    let mut writer = store.writer();
    world.commit(&mut writer, &[credit(1, Purse::Points, 10, "c1")]).await;
    let works = [credit(1, Purse::Points, 5, "c2")];
    let footprint = Footprint::of(&works).into();
    let mut lost_user = |snapshot: Snapshot| {
        let mut plan = scrip::ledger::decide(snapshot.ledger, &works).plan;
        plan.users[0].1.user_id = 77;
        plan.into()
    };
    let ended = writer.transact(world.batch_id(), Run::First, &footprint, &mut lost_user).await;
    let Transacted::NotCommitted(Failure::Stop(StoreError::Bug { what, source })) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!((what, source.to_string().as_str()), ("changing users", "0 of 1 rows were there"));
    world.commit(&mut writer, &works).await;
    assert_eq!(store.reader().users(&[1]).await.unwrap()[0].balance.points, 15);
    assert_sound(&store).await;
}

#[tokio::test]
async fn old_batch_ids_are_forgotten_in_bounded_steps() {
    let world = World::new();
    let store = world.open().await;
    let mut writer = store.writer();
    for number in 0..5 {
        world.commit(&mut writer, &[credit(1, Purse::Points, 1, &format!("c{number}"))]).await;
        world.tick(1_000_000);
    }
    let before = Micros(scrip::clock::Clock::now(&*world.clock).0 - 2_000_000);
    assert_eq!(writer.prune_commits(before, 2).await.unwrap(), 2);
    assert_eq!(writer.prune_commits(before, 100).await.unwrap(), 1);
    assert_eq!(writer.prune_commits(before, 100).await.unwrap(), 0);
    assert_eq!(writer.prune_commits(Micros(i64::MIN), 100).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_one_process_and_of_another_take_turns() {
    let world = Arc::new(World::new());
    let here = world.open().await;
    let elsewhere = world.open().await;
    let mut tasks = Vec::new();
    for (lane, store) in [(0, &here), (1, &here), (2, &elsewhere), (3, &elsewhere)] {
        let (world, mut writer) = (Arc::clone(&world), store.writer());
        tasks.push(tokio::spawn(async move {
            for round in 0..25 {
                world.commit(&mut writer, &[credit(1, Purse::Points, 1, &format!("c{lane}-{round}"))]).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let user = here.reader().users(&[1]).await.unwrap()[0];
    assert_eq!((user.balance.points, user.entry_seq), (100, 100));
    assert_sound(&here).await;
}

#[tokio::test]
async fn a_dropped_call_leaves_no_transaction_behind() {
    let world = World::new();
    let store = world.open().await;
    let mut writer: Box<dyn Writer> = store.writer();
    world.commit(&mut writer, &[credit(1, Purse::Points, 1_000, "c")]).await;
    for polls in 0..40 {
        let works = [charge(1, &format!("dropped-{polls}"), 1)];
        {
            let mut call = Box::pin(transact(&mut writer, world.batch_id(), Run::First, &works));
            for _ in 0..polls {
                if futures::poll!(&mut call).is_ready() {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_micros(300)).await;
            }
        }
        world.commit(&mut writer, &[charge(1, &format!("kept-{polls}"), 1)]).await;
    }
    let kept =
        number(&mut world.raw().await, "SELECT count(*) FROM ts_fal_tasks WHERE task_id LIKE 'kept-%'").await;
    assert_eq!(kept, 40);
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_closed_store_leaves_all_of_it_in_the_one_file_whoever_has_it_open() {
    let world = World::new();
    let store = world.open().await;
    world.commit(&mut store.writer(), &[credit(1, Purse::Points, 7, "c")]).await;
    let mut raw = world.raw().await;
    assert_eq!(number(&mut raw, "SELECT count(*) FROM ts_users").await, 1, "the log is open");
    store.close().await;
    let copy = World::new();
    std::fs::copy(world.path(), copy.path()).unwrap();
    assert_eq!(number(&mut copy.raw().await, "SELECT points_balance FROM ts_users").await, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_moved_into_the_file_while_the_writer_goes_on() {
    let world = World::new();
    // So long that no commit moves it.
    let options = Options { move_pages: 300, wal_autocheckpoint: u32::MAX >> 1, ..world.options() };
    let store = open(&world.url(), options).await.unwrap();
    let mut writer = store.writer();
    world.commit(&mut writer, &[credit(1, Purse::Points, i64::from(i32::MAX), "c")]).await;
    let mut raw = world.raw().await;
    let mut pages_before = 0;
    for round in 0..400 {
        let batch: Vec<_> = (0..200).map(|number| charge(1, &format!("task-{round}-{number}"), 1)).collect();
        world.commit(&mut writer, &batch).await;
        let (_, pages, moved): (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(NOOP)").fetch_one(&mut raw).await.unwrap();
        // One that was moved whole begins anew with the next commit.
        let began_anew = pages < std::mem::replace(&mut pages_before, pages);
        if moved > 0 || began_anew {
            store.close().await;
            assert_eq!(number(&mut raw, "SELECT count(*) FROM ts_fal_tasks").await, 200 * (round + 1));
            return;
        }
    }
    panic!("nothing was moved");
}
