//! What was written reads back: every column of every table, by every door of the reader.

use std::collections::BTreeMap;

use scrip::ledger::command::{
    Authorize, Capture, CompleteTask, ExpireHold, FailTask, Refund, StartTask, Void,
};
use scrip::ledger::{
    Attempt, Change, Entry, EntryRange, Hash, Micros, Operation, RequestRecord, TaskStatus, User,
};
use scrip::store::rows::Range;
use scrip::store::{
    EntryQuery, FinancialQuery, Page, PointsQuery, StoreError, TaskQuery, TaskRecord, UserCursor,
};

use super::support::postgres::connect;
use super::*;

/// The tables as the plans left them.
#[derive(Default)]
struct Model {
    users: BTreeMap<UserId, User>,
    tasks: BTreeMap<Text, TaskRecord>,
    entries: BTreeMap<(UserId, i64), Entry>,
    requests: BTreeMap<(UserId, Text), RequestRecord>,
    attempts: Vec<Attempt>,
}

impl Model {
    fn apply(&mut self, plan: &Plan) {
        self.users.extend(plan.users.iter().map(|(_, user)| (user.user_id, *user)));
        for write in &plan.tasks {
            let known = self.tasks.get(&write.task.task_id);
            assert_eq!(known.is_some(), write.change == Change::Update);
            let (input_params, output_params) = match known {
                Some(known) => (known.input_params.clone(), known.output_params.clone()),
                None => (write.input_params.clone(), text("")),
            };
            let record = TaskRecord {
                id: 0,
                task: (*write.task).clone(),
                is_refund: !write.task.refunded.is_zero(),
                input_params,
                output_params: write.output_params.clone().unwrap_or(output_params),
            };
            self.tasks.insert(write.task.task_id.clone(), record);
        }
        self.entries
            .extend(plan.entries.iter().map(|entry| ((entry.user_id, entry.user_seq), (**entry).clone())));
        let requests = plan.requests.iter();
        self.requests.extend(requests.map(|r| ((r.user_id, r.request_id.clone()), r.clone())));
        self.attempts.extend(plan.attempts.iter().cloned());
    }

    fn entries_of(&self, user_id: UserId) -> Vec<Entry> {
        self.entries.range((user_id, 0)..=(user_id, i64::MAX)).rev().map(|(_, entry)| entry.clone()).collect()
    }
}

/// Runs the batch, expects it to be committed with every item accepted, and keeps the books.
async fn step(writer: &mut dyn Writer, model: &mut Model, batch: &[Work]) {
    let ran = run(writer, batch).await.committed();
    for outcome in &ran.outcomes {
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    model.apply(&ran.plan);
}

fn start(task_id: &str, online: &str) -> Work {
    let (task_id, online_task_id, key_id) = (text(task_id), text(online), text("key-1"));
    work(
        Command::StartTask(StartTask { user_id: 1, task_id, online_task_id, key_id, lease_id: text("") }),
        "",
    )
}

fn complete(task_id: &str, capture_amount: Option<i64>) -> CompleteTask {
    CompleteTask {
        user_id: 1,
        task_id: text(task_id),
        online_task_id: text("online-2"),
        output_params: text(r#"{"images":["a\\b","ü"]}"#),
        cost_nano_usd: Some(90_240_000),
        billable_units: text("8.439999999999998"),
        capture_amount,
        lease_id: text(""),
    }
}

fn hold(task_id: &str, amount: i64, ttl_micros: Option<i64>) -> Work {
    work(Command::Authorize(Authorize { charge: charge_of(1, task_id, amount), ttl_micros }), "")
}

fn refund(task_id: &str, amount: Option<i64>, request_id: &str) -> Work {
    let (task_id, reason) = (text(task_id), text("改主意了"));
    work(Command::Refund(Refund { user_id: 1, task_id, amount, reason }), request_id)
}

/// A history that touches every column: purses mixed, holds, attempts, refunds, failures, frozen refusals.
async fn history(writer: &mut dyn Writer) -> Model {
    let mut model = Model::default();
    let m = &mut model;
    step(writer, m, &[credit(1, 1_000, Purse::Points, "c1"), credit(2, 50, Purse::Cash, "c2")]).await;
    step(writer, m, &[credit(1, 900, Purse::Cash, "c3"), charge(1, "mixed", 1_300), charge(1, "free", 0)])
        .await;
    step(writer, m, &[refund("mixed", Some(650), "r1"), hold("held", 100, None), hold("voided", 50, None)])
        .await;
    step(writer, m, &[start("held", "online-1"), start("mixed", "")]).await;
    let capture = complete("held", Some(70));
    let void = Void { user_id: 1, task_id: text("voided"), reason: text("no") };
    step(writer, m, &[work(Command::CompleteTask(capture), "done"), work(Command::Void(void), "v")]).await;
    let error = text("the model\nsaid no");
    let fail = FailTask {
        user_id: 1,
        task_id: text("mixed"),
        online_task_id: text("o-3"),
        error,
        no_refund: false,
        lease_id: text(""),
        report: Box::default(),
    };
    step(writer, m, &[work(Command::FailTask(fail), ""), hold("open", 30, Some(60_000_000))]).await;
    step(writer, m, &[hold("short", 20, Some(1))]).await;
    let capture = Capture { user_id: 1, task_id: text("open"), amount: 30 };
    step(
        writer,
        m,
        &[work(Command::Capture(capture), "cap"), charge(2, "other", 50), hold("open2", 5, None)],
    )
    .await;
    // Late: an update of a task that ended, without output; and one created and completed in one batch.
    let all = [charge(1, "quick", 1), work(Command::CompleteTask(complete("quick", None)), "")];
    step(writer, m, &all).await;
    // A refusal that is frozen.
    let refused =
        run(writer, &[work(Command::Charge(charge_of(2, "too much", 51)), "frozen")]).await.committed();
    assert!(refused.outcomes[0].is_err());
    model.apply(&refused.plan);
    model
}

#[tokio::test]
async fn every_row_reads_back_as_it_was_planned() {
    let Some((url, store)) = fresh().await else { return };
    let model = history(&mut *store.writer()).await;
    let mut snapshot = store.reader().audit_snapshot().await.unwrap();
    // What is written from here on is not of the snapshot's moment.
    run(&mut *store.writer(), &[credit(9, 1, Purse::Points, "later")]).await.committed();

    let users = snapshot.users(0, 100).await.unwrap();
    assert_eq!(users, model.users.values().copied().collect::<Vec<_>>());

    let (mut tasks, mut after) = (Vec::new(), (0, 0));
    while let Some(last) = {
        let page = snapshot.tasks(after, 2).await.unwrap();
        tasks.extend(page.clone());
        page.last().cloned()
    } {
        after = (last.task.user_id, last.id);
    }
    assert_eq!(tasks.len(), model.tasks.len());
    for mut record in tasks {
        record.id = 0;
        assert_eq!(Some(&record), model.tasks.get(&record.task.task_id));
    }
    let requests = snapshot.requests((0, ""), 100).await.unwrap();
    assert_eq!(requests.len(), model.requests.len());
    for request in requests {
        assert_eq!(Some(&request), model.requests.get(&(request.user_id, request.request_id.clone())));
    }
    let sql =
        "SELECT user_id, task_id, attempt, online_task_id, key_id FROM scrip_task_attempts ORDER BY 1, 2, 3";
    let mut connection = connect(&url).await;
    let stored: Vec<(i64, String, i32, String, String)> =
        sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap();
    let mut planned: Vec<_> = model
        .attempts
        .iter()
        .map(|a| {
            (a.user_id, a.task_id.to_string(), a.attempt, a.online_task_id.to_string(), a.key_id.to_string())
        })
        .collect();
    planned.sort();
    assert_eq!(stored, planned);
    assert!(planned.len() >= 4);
    assert_eq!(snapshot.orphan_points((0, 0), 10).await.unwrap(), []);
    snapshot.estimate().await.unwrap();
}

#[tokio::test]
async fn the_chain_of_what_is_stored_is_the_chain_that_was_decided() {
    let Some((url, store)) = fresh().await else { return };
    let model = history(&mut *store.writer()).await;
    let mut snapshot = store.reader().audit_snapshot().await.unwrap();
    let (mut stored, mut after) = (Vec::new(), (0, 0));
    while let Some(last) = {
        let page = snapshot.entries(after, 3).await.unwrap();
        stored.extend(page.clone());
        page.last().cloned()
    } {
        after = (last.user_id, last.user_seq);
    }
    assert_eq!(stored.len(), model.entries.len());
    let mut heads: BTreeMap<UserId, Hash> = BTreeMap::new();
    for entry in &stored {
        let previous = heads.get(&entry.user_id).copied().unwrap_or(Hash::ZERO);
        assert_eq!(entry.chain_fields().chain(&previous), entry.entry_hash, "{entry:?}");
        assert_eq!(entry.points.is_some(), !entry.is_cash);
        heads.insert(entry.user_id, entry.entry_hash);
    }
    for (user_id, user) in &model.users {
        assert_eq!(heads.get(user_id), Some(&user.chain_hash));
    }
    // A points row without its financial row is found wherever it is.
    let mut connection = connect(&url).await;
    sqlx::raw_sql("UPDATE ts_points_detail SET user_seq = 77 WHERE user_id = 1 AND user_seq = 1")
        .execute(&mut connection)
        .await
        .unwrap();
    let mut snapshot = store.reader().audit_snapshot().await.unwrap();
    assert_eq!(snapshot.orphan_points((0, 0), 10).await.unwrap(), [(1, 77)]);
    assert_eq!(snapshot.orphan_points((1, 77), 10).await.unwrap(), []);
}

#[tokio::test]
async fn lists_page_and_filter_as_the_ledger_says() {
    let Some((_, store)) = fresh().await else { return };
    let model = history(&mut *store.writer()).await;
    let reader = store.reader();
    let all = model.entries_of(1);
    let everything =
        EntryQuery { user_id: 1, purse: None, operation: None, order_id: None, range: Range::default() };
    let page = |before, limit| Page { before, limit };
    let list = async |query: EntryQuery, page| reader.list_entries(&query, page).await.unwrap();

    assert_eq!(list(everything.clone(), page(None, 100)).await, all);
    assert_eq!(list(everything.clone(), page(Some(all[1].user_seq), 3)).await, all[2..5]);
    let matching = |keep: fn(&Entry) -> bool| all.iter().filter(|e| keep(e)).cloned().collect::<Vec<_>>();
    let cash = EntryQuery { purse: Some(Purse::Cash), ..everything.clone() };
    assert_eq!(list(cash, page(None, 100)).await, matching(|e| e.purse == Purse::Cash));
    let refunds = EntryQuery { operation: Some(Operation::Refund), ..everything.clone() };
    assert_eq!(list(refunds, page(None, 100)).await, matching(|e| e.operation == Operation::Refund));
    let of_task = EntryQuery { order_id: Some(text("mixed")), ..everything.clone() };
    assert_eq!(list(of_task, page(None, 100)).await, matching(|e| &*e.order_id == "mixed"));
    // Every pair of moments bounds the list as a plain filter would.
    let mut moments: Vec<Option<Micros>> = all.iter().map(|entry| Some(entry.time)).collect();
    moments.extend([None, Some(Micros(i64::MIN)), Some(Micros(i64::MAX)), Some(all[0].time.plus(1))]);
    for &start in &moments {
        for &end in &moments {
            let within = |e: &&Entry| start.is_none_or(|s| e.time >= s) && end.is_none_or(|t| e.time < t);
            let expected: Vec<Entry> = all.iter().filter(within).cloned().collect();
            let query = EntryQuery { range: Range { start, end }, ..everything.clone() };
            assert_eq!(list(query, page(None, 100)).await, expected, "{start:?} {end:?}");
        }
    }

    let query = PointsQuery { user_id: 1, source_type: None, order_id: None, range: Range::default() };
    let points = reader.list_points_details(&query, page(None, 100)).await.unwrap();
    let expected: Vec<_> = all.iter().filter(|e| e.purse == Purse::Points).collect();
    assert_eq!(points.len(), expected.len());
    for ((user_seq, row), entry) in points.iter().zip(expected) {
        let read = (*user_seq, row.points, row.balance_before, row.balance_after, row.created_at, &row.title);
        let wrote = (
            entry.user_seq,
            entry.amount,
            entry.balance_before,
            entry.balance_after,
            entry.time,
            &entry.title,
        );
        assert_eq!((read, row.source_type, &row.order_id), (wrote, entry.source_type, &entry.order_id));
    }
    let query = FinancialQuery { user_id: 1, order_id: Some(text("mixed")), range: Range::default() };
    let rows = reader.list_financial_transactions(&query, page(None, 100)).await.unwrap();
    for ((user_seq, row), entry) in rows.iter().zip(all.iter().filter(|e| &*e.order_id == "mixed")) {
        let read = (*user_seq, row.money, row.time, row.transaction_type, row.pay_type, row.is_cash);
        let code = entry.transaction_type().code();
        assert_eq!(
            read,
            (entry.user_seq, entry.amount, entry.time, code, entry.pay_type, entry.purse.is_cash())
        );
    }
    let ranges = [(1, EntryRange { first_seq: 3, count: 2 }), (2, EntryRange { first_seq: 1, count: 1 })];
    let mut entries = reader.entries(&ranges).await.unwrap();
    entries.sort_by_key(|entry| (entry.user_id, entry.user_seq));
    assert_eq!(entries, [(1, 3), (1, 4), (2, 1)].map(|key| model.entries[&key].clone()));
}

#[tokio::test]
async fn a_past_balance_is_that_of_the_last_entry_by_then() {
    let Some((_, store)) = fresh().await else { return };
    let model = history(&mut *store.writer()).await;
    let reader = store.reader();
    let entries = model.entries_of(1);
    for entry in &entries {
        let past = reader.past_balance(1, entry.time).await.unwrap().unwrap();
        let by_then: Vec<_> = entries.iter().filter(|e| e.time <= entry.time).collect();
        let after = |purse| by_then.iter().find(|e| e.purse == purse).map_or(0, |e| e.balance_after);
        assert_eq!((past.points, past.cash), (after(Purse::Points), after(Purse::Cash)));
        assert_eq!((past.entry_seq, past.time), (by_then[0].user_seq, Some(by_then[0].time)));
    }
    let first = entries.last().unwrap().time;
    let before = reader.past_balance(1, first.plus(-1)).await.unwrap().unwrap();
    assert_eq!((before.points, before.cash, before.entry_seq, before.time), (0, 0, 0, None));
    assert!(reader.past_balance(1, Micros(i64::MAX)).await.unwrap().is_some());
    assert!(reader.past_balance(1, Micros(i64::MIN)).await.unwrap().is_some());
    assert_eq!(reader.past_balance(3, first).await.unwrap(), None);
}

#[tokio::test]
async fn users_and_tasks_are_listed_newest_first() {
    let Some((_, store)) = fresh().await else { return };
    let model = history(&mut *store.writer()).await;
    let reader = store.reader();
    let mut users: Vec<User> = model.users.values().copied().collect();
    users.sort_by_key(|user| std::cmp::Reverse((user.create_time, user.user_id)));
    assert_eq!(reader.list_users(None, 10).await.unwrap(), users);
    let cursor = UserCursor { create_time: users[0].create_time, user_id: users[0].user_id };
    assert_eq!(reader.list_users(Some(cursor), 10).await.unwrap(), users[1..]);
    let mut some = reader.users(&[2, 1, 99]).await.unwrap();
    some.sort_by_key(|user| user.user_id);
    assert_eq!(some, model.users.values().copied().collect::<Vec<_>>());

    let list = async |query: TaskQuery, before, limit| {
        reader.list_tasks(&query, Page { before, limit }).await.unwrap()
    };
    let all = list(TaskQuery::default(), None, 100).await;
    assert_eq!(all.len(), model.tasks.len());
    assert!(all.windows(2).all(|pair| pair[0].id > pair[1].id));
    assert_eq!(list(TaskQuery::default(), Some(all[0].id), 2).await, all[1..3]);
    type Keep = fn(&TaskRecord) -> bool;
    let filters: [(TaskQuery, Keep); 4] = [
        (TaskQuery { user_id: Some(2), ..TaskQuery::default() }, |r| r.task.user_id == 2),
        (TaskQuery { status: Some(TaskStatus::Failed), ..TaskQuery::default() }, |r| {
            r.task.status == TaskStatus::Failed
        }),
        (TaskQuery { key_id: Some(text("key-1")), ..TaskQuery::default() }, |r| &*r.task.key_id == "key-1"),
        (TaskQuery { app_name: Some(text("none")), ..TaskQuery::default() }, |_| false),
    ];
    for (query, keep) in filters {
        let expected: Vec<_> = all.iter().filter(|record| keep(record)).cloned().collect();
        assert_eq!(list(query, None, 100).await, expected);
    }
    let (start, end) = (all[3].task.create_time, all[0].task.create_time);
    let query = TaskQuery { range: Range { start: Some(start), end: Some(end) }, ..TaskQuery::default() };
    let expected: Vec<_> =
        all.iter().filter(|r| (start..end).contains(&r.task.create_time)).cloned().collect();
    assert_eq!(list(query, None, 100).await, expected);

    assert_eq!(
        reader.task("mixed").await.unwrap(),
        all.iter().find(|r| &*r.task.task_id == "mixed").cloned()
    );
    assert_eq!(reader.task("none").await.unwrap(), None);
    let owners = reader.task_owners(&[text("other"), text("none")]).await.unwrap();
    let owners: Vec<(&str, i64)> = owners.iter().map(|owner| (&*owner.task_id, owner.user_id)).collect();
    assert_eq!(owners, [("other", 2)]);
}

#[tokio::test]
async fn sweeps_find_what_is_due_and_nothing_else() {
    let Some((_, store)) = fresh().await else { return };
    let mut writer = store.writer();
    history(&mut *writer).await;
    let reader = store.reader();
    assert_eq!(reader.due_holds(10).await.unwrap(), [(1, text("short"))]);
    let expire = ExpireHold { user_id: 1, task_id: text("short") };
    run(&mut *writer, &[work(Command::ExpireHold(expire), "")]).await.committed();
    assert_eq!(reader.due_holds(10).await.unwrap(), []);

    let now = reader.now().await.unwrap();
    let stuck = reader.stuck_tasks(now, 0, 10).await.unwrap();
    let ids: Vec<&str> = stuck.iter().map(|record| &*record.task.task_id).collect();
    assert_eq!(ids, ["open", "other"], "charged, and nobody settled them");
    assert_eq!(reader.stuck_tasks(now, 0, 1).await.unwrap(), stuck[..1]);
    assert_eq!(reader.stuck_tasks(now, stuck[0].id, 10).await.unwrap(), stuck[1..]);
    assert_eq!(reader.stuck_tasks(stuck[0].task.create_time, 0, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_word_of_another_release_is_named_and_not_guessed() {
    let Some((url, store)) = fresh().await else { return };
    run(&mut *store.writer(), &[credit(1, 100, Purse::Points, "c1")]).await.committed();
    let mut connection = connect(&url).await;
    sqlx::raw_sql("UPDATE ts_financial_transactions SET operation = 'barter'")
        .execute(&mut connection)
        .await
        .unwrap();
    let range = [(1, EntryRange { first_seq: 1, count: 1 })];
    let error = store.reader().entries(&range).await.unwrap_err();
    let StoreError::Bug { what, source } = error else { panic!("{error:?}") };
    let words = format!("{what}: {source}");
    assert!(words.contains("ts_financial_transactions") && words.contains("operation"), "{words}");
}
