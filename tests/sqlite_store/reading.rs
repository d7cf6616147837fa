//! Lists, past moments and due holds.

use std::sync::Arc;

use scrip::clock::Clock;
use scrip::ledger::{Micros, Operation, Purse, SourceType, TaskStatus, Text, Work};
use scrip::store::rows::Range;
use scrip::store::{EntryQuery, FinancialQuery, Page, PointsQuery, Store, StoreError, TaskQuery, UserCursor};

use crate::support::{START, World, authorize, charge, complete, credit, execute, refund, start};

const SECOND: i64 = 1_000_000;

/// One user with an entry a second from [`START`] on: +1000 points, +500 cash, −700 (two purses: −700 points of 1000,
/// then −400: 300 points and 100 cash), and a refund of 150 (100 cash, 50 points).
async fn history(world: &World) -> Arc<dyn Store> {
    let store = world.open().await;
    let mut writer = store.writer();
    let batches: Vec<Work> = vec![
        credit(1, Purse::Points, 1_000, "c1"),
        credit(1, Purse::Cash, 500, "c2"),
        charge(1, "t1", 700),
        charge(1, "t2", 400),
        refund(1, "t2", 150, "r1"),
    ];
    for work in batches {
        world.commit(&mut writer, &[work]).await;
        world.tick(SECOND);
    }
    store
}

fn at(seconds: i64) -> Micros {
    Micros(START + seconds * SECOND)
}

fn entries_of(range: Range) -> EntryQuery {
    EntryQuery { user_id: 1, purse: None, operation: None, order_id: None, range }
}

const ALL: Page = Page { before: None, limit: 100 };

#[tokio::test]
async fn a_past_balance_is_that_of_the_last_entry_by_then() {
    let world = World::new();
    let store = history(&world).await;
    let reader = store.reader();
    assert_eq!(reader.past_balance(9, at(0)).await.unwrap(), None);
    for (moment, figures) in [
        (Micros(START - 1), (0, 0, 0, None)),
        (at(0), (1_000, 0, 1, Some(at(0)))),
        (Micros(START + SECOND - 1), (1_000, 0, 1, Some(at(0)))),
        (at(1), (1_000, 500, 2, Some(at(1)))),
        (at(2), (300, 500, 3, Some(at(2)))),
        (at(3), (0, 400, 5, Some(at(3)))),
        (at(4), (50, 500, 7, Some(at(4)))),
        (at(9_999), (50, 500, 7, Some(at(4)))),
        (Micros(i64::MAX), (50, 500, 7, Some(at(4)))),
        (Micros(i64::MIN), (0, 0, 0, None)),
    ] {
        let past = reader.past_balance(1, moment).await.unwrap().unwrap();
        assert_eq!((past.points, past.cash, past.entry_seq, past.time), figures, "{moment:?}");
    }
}

#[tokio::test]
async fn entries_are_listed_newest_first_page_by_page() {
    let world = World::new();
    let store = history(&world).await;
    let reader = store.reader();
    let whole = reader.list_entries(&entries_of(Range::default()), ALL).await.unwrap();
    assert_eq!(whole.iter().map(|entry| entry.user_seq).collect::<Vec<_>>(), [7, 6, 5, 4, 3, 2, 1]);
    let mut paged = Vec::new();
    let mut page = Page { before: None, limit: 3 };
    loop {
        let rows = reader.list_entries(&entries_of(Range::default()), page).await.unwrap();
        let Some(last) = rows.last() else { break };
        page.before = Some(last.user_seq);
        paged.extend(rows);
    }
    assert_eq!(paged, whole);
}

#[tokio::test]
async fn entries_are_filtered() {
    let world = World::new();
    let store = history(&world).await;
    let reader = store.reader();
    let seqs = |query: EntryQuery| {
        let reader = Arc::clone(&reader);
        async move {
            let rows = reader.list_entries(&query, ALL).await.unwrap();
            rows.iter().map(|entry| entry.user_seq).collect::<Vec<_>>()
        }
    };
    let all = || entries_of(Range::default());
    assert_eq!(seqs(EntryQuery { purse: Some(Purse::Cash), ..all() }).await, [6, 5, 2]);
    assert_eq!(seqs(EntryQuery { operation: Some(Operation::Charge), ..all() }).await, [5, 4, 3]);
    assert_eq!(seqs(EntryQuery { order_id: Some(Text::from("t2")), ..all() }).await, [7, 6, 5, 4]);
    assert_eq!(seqs(EntryQuery { user_id: 2, ..all() }).await, [0; 0]);
    let range = |start, end| entries_of(Range { start, end });
    assert_eq!(seqs(range(Some(at(1)), Some(at(3)))).await, [3, 2]);
    assert_eq!(seqs(range(Some(Micros(START + 1)), None)).await, [7, 6, 5, 4, 3, 2]);
    assert_eq!(seqs(range(None, Some(at(0)))).await, [0; 0]);
    assert_eq!(seqs(range(Some(at(3)), Some(at(2)))).await, [0; 0]);
    assert_eq!(seqs(EntryQuery { user_id: 2, ..range(Some(at(0)), Some(at(9))) }).await, [0; 0]);
}

#[tokio::test]
async fn points_and_financial_rows_carry_the_seeds_columns() {
    let world = World::new();
    let store = history(&world).await;
    let reader = store.reader();
    let query = PointsQuery {
        user_id: 1,
        source_type: Some(SourceType::Consume),
        order_id: None,
        range: Range { start: None, end: Some(at(3)) },
    };
    let rows = reader.list_points_details(&query, ALL).await.unwrap();
    let [(seq, row)] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((*seq, row.id, row.points, row.balance_before, row.balance_after), (3, 2, -700, 1_000, 300));
    assert_eq!((&*row.order_id, &*row.title, row.created_at), ("t1", "an image", at(2)));

    let query = FinancialQuery { user_id: 1, order_id: Some(Text::from("t2")), range: Range::default() };
    let page = Page { before: Some(6), limit: 1 };
    let rows = reader.list_financial_transactions(&query, page).await.unwrap();
    let [(seq, row)] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((*seq, row.id, row.money, row.is_cash, row.transaction_type), (5, 5, -100, true, 1));
    assert_eq!((&*row.deployment_uuid, row.pay_type, row.time), ("deployment-7", 1, at(3)));
}

#[tokio::test]
async fn users_are_listed_newest_first() {
    let world = World::new();
    let store = world.open().await;
    let mut writer = store.writer();
    let credits = |users: &[i64]| -> Vec<Work> {
        users.iter().map(|user| credit(*user, Purse::Points, 1, "c")).collect()
    };
    world.commit(&mut writer, &credits(&[5, 3, 9])).await;
    world.tick(1);
    world.commit(&mut writer, &credits(&[4])).await;
    let reader = store.reader();
    let (mut before, mut listed) = (None, Vec::new());
    while let Some(user) = reader.list_users(before, 1).await.unwrap().pop() {
        before = Some(UserCursor { create_time: user.create_time, user_id: user.user_id });
        listed.push(user.user_id);
    }
    assert_eq!(listed, [4, 9, 5, 3]);
    let mut several: Vec<i64> =
        reader.users(&[3, 4, 77, i64::MAX]).await.unwrap().iter().map(|user| user.user_id).collect();
    several.sort_unstable();
    assert_eq!(several, [3, 4]);
    assert!(reader.users(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn tasks_are_listed_filtered_and_found() {
    let world = World::new();
    let store = world.open().await;
    let mut writer = store.writer();
    let batches: Vec<Vec<Work>> = vec![
        vec![credit(1, Purse::Points, 100, "c1"), credit(2, Purse::Points, 100, "c2")],
        vec![charge(1, "a", 1), charge(2, "b", 2), charge(1, "free", 0)],
        vec![charge(1, "c", 3), start(1, "a", "o"), complete(1, "a", "{}")],
    ];
    for works in batches {
        world.commit(&mut writer, &works).await;
        world.tick(SECOND);
    }
    let reader = store.reader();
    let ids = |query: TaskQuery, page: Page| {
        let reader = Arc::clone(&reader);
        async move {
            let rows = reader.list_tasks(&query, page).await.unwrap();
            rows.iter().map(|record| record.task.task_id.to_string()).collect::<Vec<_>>()
        }
    };
    let one = || TaskQuery { user_id: Some(1), ..TaskQuery::default() };
    assert_eq!(ids(TaskQuery::default(), ALL).await, ["c", "free", "b", "a"]);
    assert_eq!(ids(one(), ALL).await, ["c", "free", "a"]);
    assert_eq!(ids(one(), Page { before: Some(4), limit: 1 }).await, ["free"]);
    assert_eq!(ids(TaskQuery { status: Some(TaskStatus::Completed), ..one() }, ALL).await, ["a"]);
    assert_eq!(
        ids(TaskQuery { key_id: Some(Text::from("key-1")), ..TaskQuery::default() }, ALL).await,
        ["a"]
    );
    assert_eq!(ids(TaskQuery { app_name: Some(Text::from("fal-ai/none")), ..one() }, ALL).await, [""; 0]);
    let range = Range { start: Some(at(1)), end: Some(at(2)) };
    assert_eq!(ids(TaskQuery { range, ..TaskQuery::default() }, ALL).await, ["free", "b", "a"]);

    let mut owners =
        reader.task_owners(&[Text::from("b"), Text::from("\"x"), Text::from("c")]).await.unwrap();
    owners.sort();
    let owners: Vec<(&str, i64)> = owners.iter().map(|owner| (&*owner.task_id, owner.user_id)).collect();
    assert_eq!(owners, [("b", 2), ("c", 1)]);
    assert!(reader.task("none").await.unwrap().is_none());

    let stuck = reader.stuck_tasks(at(3), 0, 10).await.unwrap();
    assert_eq!(stuck.iter().map(|record| &*record.task.task_id).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(reader.stuck_tasks(at(2), 0, 10).await.unwrap().len(), 1);
    assert_eq!(reader.stuck_tasks(at(3), stuck[0].id, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn holds_are_due_by_the_injected_clock() {
    let world = World::new();
    let store = world.open().await;
    let mut writer = store.writer();
    let works = [
        credit(1, Purse::Points, 100, "c1"),
        authorize(1, "late", 10, 2 * SECOND),
        authorize(1, "soon", 10, SECOND),
        authorize(1, "never", 10, 90 * SECOND),
    ];
    world.commit(&mut writer, &works).await;
    let reader = store.reader();
    assert!(reader.due_holds(10).await.unwrap().is_empty());
    world.tick(2 * SECOND);
    assert_eq!(reader.now().await.unwrap(), world.clock.now());
    assert_eq!(reader.due_holds(10).await.unwrap(), [(1, Text::from("soon")), (1, Text::from("late"))]);
    assert_eq!(reader.due_holds(1).await.unwrap(), [(1, Text::from("soon"))]);
}

#[tokio::test]
async fn an_audit_sees_one_moment_page_by_page() {
    let world = World::new();
    let store = history(&world).await;
    let mut audit = store.reader().audit_snapshot().await.unwrap();
    let mut writer = store.writer();
    world.commit(&mut writer, &[charge(1, "later", 1), credit(2, Purse::Points, 1, "later")]).await;

    assert_eq!(audit.estimate().await.unwrap(), 1 + 3 + 2 + 7);
    assert_eq!(audit.users(i64::MIN, 10).await.unwrap().len(), 1);
    let mut seqs = Vec::new();
    let mut after = (i64::MIN, i64::MIN);
    loop {
        let page = audit.entries(after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = (last.user_id, last.user_seq);
        seqs.extend(page.iter().map(|entry| (entry.user_seq, entry.points.is_some())));
    }
    let expected = [(1, true), (2, false), (3, true), (4, true), (5, false), (6, false), (7, true)];
    assert_eq!(seqs, expected);
    assert_eq!(audit.tasks((i64::MIN, i64::MIN), 10).await.unwrap().len(), 2);
    assert_eq!(audit.requests((i64::MIN, ""), 10).await.unwrap().len(), 3);
    assert_eq!(audit.requests((1, "c2"), 10).await.unwrap().len(), 1);
    assert!(audit.orphan_points((i64::MIN, i64::MIN), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_tampered_with_is_read_as_it_stands() {
    let world = World::new();
    let store = history(&world).await;
    let mut raw = world.raw().await;
    for sql in [
        "DROP TRIGGER ts_financial_transactions_keep",
        "DROP TRIGGER ts_financial_transactions_stay",
        "UPDATE ts_financial_transactions SET time = 'some time, but 26 letters.', operation = 'gift' WHERE user_seq = 1",
        "DELETE FROM ts_financial_transactions WHERE user_seq = 3",
    ] {
        execute(&mut raw, sql).await.unwrap();
    }
    let mut audit = store.reader().audit_snapshot().await.unwrap();
    let entries = audit.entries((i64::MIN, i64::MIN), 10).await.unwrap();
    assert_eq!((entries[0].time, entries[0].operation.as_str()), (Micros(i64::MIN), "gift"));
    assert_eq!(audit.orphan_points((i64::MIN, i64::MIN), 10).await.unwrap(), [(1, 3)]);
    // What answers callers does not make sense of nonsense.
    let listed = store.reader().list_entries(&entries_of(Range::default()), ALL).await;
    assert!(matches!(listed, Err(StoreError::Bug { .. })), "{listed:?}");
}
