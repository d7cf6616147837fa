//! Reading: lists by their filters and pages, the past, look-ups, sweeps, and the audit's snapshot.

use scrip::ledger::command::{Authorize, Charge, Credit, StartTask};
use scrip::ledger::{EntryRange, Micros, Operation, Purse, SourceType, TaskStatus, Text, UserId};
use scrip::store::rows::Range;
use scrip::store::{
    EntryQuery, FinancialQuery, Page, PointsQuery, TaskOwner, TaskQuery, TaskRecord, UserCursor,
};

use crate::bench::Bench;
use crate::commands::{
    USER, authorize, charge, complete, credit, debit, fail, of_user, one, refund, refund_all, start, text,
    void,
};

const ALL: Page = Page { before: None, limit: 1_000 };
const NOBODY: UserId = 999;
const NONE: [i64; 0] = [];

fn range(start: Option<Micros>, end: Option<Micros>) -> Range {
    Range { start, end }
}

/// Six entries of [`USER`] at six moments (answered in order), and one of another user.
async fn entries(bench: &mut Bench) -> Vec<Micros> {
    let mut times = Vec::new();
    let gift = Credit { source_type: SourceType::Gift, ..credit(Purse::Cash, 500) };
    let commands = [
        of_user(USER, credit(Purse::Points, 400)),
        of_user(USER, gift),
        of_user(USER, charge("t", 600)),
        of_user(USER, refund("t", 250)),
        of_user(8, credit(Purse::Points, 1)),
    ];
    for command in commands {
        let done = bench.ok(command).await;
        times.extend(done.entries.iter().filter(|entry| entry.user_id == USER).map(|entry| entry.time));
        bench.pass(1_000).await;
    }
    assert_eq!(times.len(), 6);
    times
}

fn every_entry() -> EntryQuery {
    EntryQuery { user_id: USER, purse: None, operation: None, order_id: None, range: Range::default() }
}

pub(crate) async fn entries_are_listed_newest_first_by_every_filter(bench: &mut Bench) {
    let times = entries(bench).await;
    let listed = async |query: EntryQuery, page: Page| {
        let rows = bench.reader.list_entries(&query, page).await.expect("entries");
        rows.into_iter().map(|entry| entry.user_seq).collect::<Vec<_>>()
    };
    assert_eq!(listed(every_entry(), ALL).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(listed(every_entry(), Page { before: None, limit: 4 }).await, [6, 5, 4, 3]);
    assert_eq!(listed(every_entry(), Page { before: Some(3), limit: 4 }).await, [2, 1]);
    assert_eq!(listed(every_entry(), Page { before: Some(1), limit: 4 }).await, NONE);
    assert_eq!(listed(EntryQuery { user_id: NOBODY, ..every_entry() }, ALL).await, NONE);
    assert_eq!(listed(EntryQuery { purse: Some(Purse::Cash), ..every_entry() }, ALL).await, [5, 4, 2]);
    assert_eq!(listed(EntryQuery { purse: Some(Purse::Points), ..every_entry() }, ALL).await, [6, 3, 1]);
    let refunds = EntryQuery { operation: Some(Operation::Refund), ..every_entry() };
    assert_eq!(listed(refunds, ALL).await, [6, 5]);
    let of_task = EntryQuery { order_id: Some(text("t")), ..every_entry() };
    assert_eq!(listed(of_task.clone(), ALL).await, [6, 5, 4, 3]);
    let cash_of_task = EntryQuery { purse: Some(Purse::Cash), ..of_task };
    assert_eq!(listed(cash_of_task, Page { before: Some(5), limit: 1 }).await, [4]);
    let ranged = |start, end| EntryQuery { range: range(start, end), ..every_entry() };
    assert_eq!(listed(ranged(Some(times[2]), None), ALL).await, [6, 5, 4, 3], "the start is within");
    assert_eq!(listed(ranged(None, Some(times[2])), ALL).await, [2, 1], "the end is not");
    assert_eq!(listed(ranged(Some(times[1]), Some(times[4])), ALL).await, [4, 3, 2]);
    assert_eq!(listed(ranged(Some(times[4]), Some(times[1])), ALL).await, NONE, "backwards");
    assert_eq!(listed(ranged(Some(times[5].plus(1)), None), ALL).await, NONE);
    assert_eq!(listed(ranged(Some(Micros(0)), Some(times[0].plus(1))), ALL).await, [1]);
    let entry = bench.reader.list_entries(&every_entry(), ALL).await.expect("entries").remove(0);
    assert_eq!(entry, bench.shadow.entries()[&(USER, 6)].entry, "whole");
}

pub(crate) async fn points_rows_are_listed_as_the_seed_names_them(bench: &mut Bench) {
    let times = entries(bench).await;
    let every = PointsQuery { user_id: USER, source_type: None, order_id: None, range: Range::default() };
    let listed = async |query: PointsQuery, page: Page| {
        let rows = bench.reader.list_points_details(&query, page).await.expect("points rows");
        rows.into_iter().map(|(seq, row)| (seq, row.points, row.balance_after)).collect::<Vec<_>>()
    };
    assert_eq!(listed(every.clone(), ALL).await, [(6, 50, 50), (3, -400, 0), (1, 400, 400)]);
    assert_eq!(listed(every.clone(), Page { before: Some(6), limit: 1 }).await, [(3, -400, 0)]);
    let consumed = PointsQuery { source_type: Some(SourceType::Consume), ..every.clone() };
    assert_eq!(listed(consumed, ALL).await, [(3, -400, 0)]);
    let bought = PointsQuery { order_id: Some(text("order-1")), ..every.clone() };
    assert_eq!(listed(bought, ALL).await, [(1, 400, 400)]);
    let early = PointsQuery { range: range(None, Some(times[5])), ..every.clone() };
    assert_eq!(listed(early, ALL).await, [(3, -400, 0), (1, 400, 400)]);
    let (_, row) = bench.reader.list_points_details(&every, ALL).await.expect("points rows").remove(1);
    assert_eq!((row.user_id, &*row.order_id, &*row.title), (USER, "t", "fal-ai/flux/dev"));
    assert_eq!((row.source_type, row.balance_before, row.created_at), (SourceType::Consume, 400, times[2]));
    assert!(row.id >= 1);
}

pub(crate) async fn financial_rows_are_listed_as_the_seed_names_them(bench: &mut Bench) {
    let times = entries(bench).await;
    let every = FinancialQuery { user_id: USER, order_id: None, range: Range::default() };
    let listed = async |query: FinancialQuery, page: Page| {
        let rows = bench.reader.list_financial_transactions(&query, page).await.expect("financial rows");
        rows.into_iter().map(|(seq, row)| (seq, row.money, row.is_cash)).collect::<Vec<_>>()
    };
    let all =
        [(6, 50, false), (5, 200, true), (4, -200, true), (3, -400, false), (2, 500, true), (1, 400, false)];
    assert_eq!(listed(every.clone(), ALL).await, all);
    assert_eq!(listed(every.clone(), Page { before: Some(4), limit: 2 }).await, all[3..5]);
    assert_eq!(listed(FinancialQuery { order_id: Some(text("t")), ..every.clone() }, ALL).await, all[..4]);
    let late = FinancialQuery { range: range(Some(times[4]), None), ..every.clone() };
    assert_eq!(listed(late, ALL).await, all[..2]);
    let (_, row) = bench.reader.list_financial_transactions(&every, ALL).await.expect("rows").remove(2);
    assert_eq!((row.user_id, &*row.order_id, &*row.deployment_uuid), (USER, "t", "deployment-1"));
    assert_eq!((row.transaction_type, row.pay_type, row.time), (1, 2, times[3]));
    assert_eq!((&*row.title, row.id >= 1), ("fal-ai/flux/dev", true));
}

/// Five tasks, oldest first.
async fn tasks(bench: &mut Bench) -> Vec<Micros> {
    bench.ok(credit(Purse::Points, 1_000)).await;
    bench.ok(of_user(8, credit(Purse::Points, 1_000))).await;
    let other = Charge { app_name: text("other/app"), ..charge("b", 10) };
    let commands = [
        of_user(USER, charge("a", 10)),
        of_user(USER, other),
        of_user(8, charge("c", 10)),
        of_user(USER, charge("d", 0)),
        of_user(USER, authorize("e", 10)),
    ];
    let mut times = Vec::new();
    for command in commands {
        times.push(bench.ok(command).await.task.expect("a task").create_time);
        bench.pass(1_000).await;
    }
    bench.ok(start("a", "online-a")).await;
    bench.ok(StartTask { key_id: text("key-2"), ..start("b", "online-b") }).await;
    bench.ok(complete("b")).await;
    bench.ok(of_user(8, fail("c"))).await;
    times
}

fn ids(rows: &[TaskRecord]) -> Vec<&str> {
    rows.iter().map(|row| &*row.task.task_id).collect()
}

pub(crate) async fn tasks_are_listed_newest_first_by_every_filter(bench: &mut Bench) {
    let times = tasks(bench).await;
    let listed =
        async |query: TaskQuery, page: Page| bench.reader.list_tasks(&query, page).await.expect("tasks");
    let every = TaskQuery::default();
    let all = listed(every.clone(), ALL).await;
    assert_eq!(ids(&all), ["e", "d", "c", "b", "a"]);
    let first = listed(every.clone(), Page { before: None, limit: 2 }).await;
    assert_eq!(ids(&first), ["e", "d"]);
    let next = listed(every.clone(), Page { before: Some(first[1].id), limit: 2 }).await;
    assert_eq!(ids(&next), ["c", "b"]);
    let last = listed(every.clone(), Page { before: Some(next[1].id), limit: 2 }).await;
    assert_eq!(ids(&last), ["a"]);
    let mine = TaskQuery { user_id: Some(USER), ..every.clone() };
    let rows = listed(mine.clone(), ALL).await;
    assert_eq!(ids(&rows), ["e", "d", "b", "a"]);
    let rows = listed(mine.clone(), Page { before: Some(rows[1].id), limit: 1 }).await;
    assert_eq!(ids(&rows), ["b"], "a page of one user's");
    for (status, expected) in [
        (TaskStatus::Pending, vec!["e", "d"]),
        (TaskStatus::Processing, vec!["a"]),
        (TaskStatus::Completed, vec!["b"]),
        (TaskStatus::Failed, vec!["c"]),
        (TaskStatus::Canceled, vec![]),
    ] {
        let query = TaskQuery { status: Some(status), ..every.clone() };
        assert_eq!(ids(&listed(query.clone(), ALL).await), expected, "{status}");
        let of_nobody = TaskQuery { user_id: Some(NOBODY), ..query };
        assert_eq!(ids(&listed(of_nobody, ALL).await), Vec::<&str>::new());
    }
    let of_app = TaskQuery { app_name: Some(text("other/app")), ..every.clone() };
    assert_eq!(ids(&listed(of_app, ALL).await), ["b"]);
    let of_key = |key| TaskQuery { key_id: Some(text(key)), ..every.clone() };
    assert_eq!(ids(&listed(of_key("key-2"), ALL).await), ["b"]);
    assert_eq!(ids(&listed(of_key("key-1"), ALL).await), ["a"]);
    let ranged = |query: TaskQuery, start, end| TaskQuery { range: range(start, end), ..query };
    let rows = listed(ranged(every.clone(), Some(times[1]), Some(times[3])), ALL).await;
    assert_eq!(ids(&rows), ["c", "b"]);
    let rows = listed(ranged(mine, Some(times[1]), Some(times[4])), ALL).await;
    assert_eq!(ids(&rows), ["d", "b"]);
    let b = &all[3];
    assert_eq!((&b.task, b.is_refund), (bench.shadow.task("b"), false));
    assert_eq!((&*b.input_params, &*b.output_params), (r#"{"prompt":"a cat"}"#, r#"{"url":"x"}"#));
    assert!(all[2].is_refund);
}

pub(crate) async fn users_are_listed_newest_first(bench: &mut Bench) {
    bench.ok(of_user(5, credit(Purse::Points, 1))).await;
    bench.pass(1_000).await;
    // Created in one batch: they share their moment.
    let batch = [4, 9, 2].map(|user_id| one("c", of_user(user_id, credit(Purse::Points, 1))));
    bench.transact(&batch).await;
    bench.pass(1_000).await;
    bench.ok(of_user(3, credit(Purse::Points, 1))).await;
    let expected = [3, 9, 4, 2, 5];
    for limit in 1..=6 {
        let (mut listed, mut before) = (Vec::new(), None);
        loop {
            let page = bench.reader.list_users(before, limit).await.expect("users");
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            before = Some(UserCursor { create_time: last.create_time, user_id: last.user_id });
            listed.extend(page);
        }
        assert_eq!(listed.iter().map(|user| user.user_id).collect::<Vec<_>>(), expected, "pages of {limit}");
        assert!(listed.iter().all(|user| user == bench.shadow.user(user.user_id)));
    }
    let mut found = bench.reader.users(&[9, NOBODY, 5]).await.expect("users");
    found.sort_by_key(|user| user.user_id);
    assert_eq!(found.iter().map(|user| user.user_id).collect::<Vec<_>>(), [5, 9]);
    assert_eq!(bench.reader.users(&[]).await.expect("nobody asked for"), []);
}

pub(crate) async fn a_past_balance_is_that_of_the_last_entry_by_then(bench: &mut Bench) {
    let times = entries(bench).await;
    let past = async |at: Micros| {
        let past = bench.reader.past_balance(USER, at).await.expect("an answer").expect("a user");
        (past.points, past.cash, past.entry_seq, past.time)
    };
    assert_eq!(past(times[0].plus(-1)).await, (0, 0, 0, None), "before the first entry");
    assert_eq!(past(times[0]).await, (400, 0, 1, Some(times[0])), "at it");
    assert_eq!(past(times[0].plus(1)).await, (400, 0, 1, Some(times[0])));
    assert_eq!(past(times[1]).await, (400, 500, 2, Some(times[1])));
    assert_eq!(past(times[2]).await, (0, 300, 4, Some(times[2])), "both entries of the charge");
    assert_eq!(past(times[4].plus(-1)).await, (0, 300, 4, Some(times[2])));
    assert_eq!(past(times[5].plus(1_000_000)).await, (50, 500, 6, Some(times[5])));
    let now = bench.now().await;
    assert_eq!(bench.reader.past_balance(NOBODY, now).await.expect("an answer"), None);
    let other = bench.reader.past_balance(8, now).await.expect("an answer").expect("a user");
    assert_eq!((other.points, other.entry_seq), (1, 1));
}

pub(crate) async fn entries_are_found_by_their_ranges(bench: &mut Bench) {
    entries(bench).await;
    let of = |first_seq, count| EntryRange { first_seq, count };
    let ranges = [(USER, of(3, 2)), (8, of(1, 1)), (USER, of(6, 1)), (NOBODY, of(1, 2)), (8, of(2, 1))];
    let mut found = bench.reader.entries(&ranges).await.expect("entries");
    found.sort_by_key(|entry| (entry.user_id, entry.user_seq));
    let expected =
        [(USER, 3), (USER, 4), (USER, 6), (8, 1)].map(|key| bench.shadow.entries()[&key].entry.clone());
    assert_eq!(found, expected);
    assert_eq!(bench.reader.entries(&[]).await.expect("none asked for"), []);
}

pub(crate) async fn owners_and_tasks_are_found_by_task_id(bench: &mut Bench) {
    tasks(bench).await;
    let asked = ["c", "nowhere", "a", ""].map(text);
    let mut owners = bench.reader.task_owners(&asked).await.expect("owners");
    owners.sort();
    let owner = |task_id: &str, user_id| {
        let app_name = Text::clone(&bench.shadow.task(task_id).app_name);
        TaskOwner { task_id: text(task_id), user_id, app_name }
    };
    assert_eq!(owners, [owner("a", USER), owner("c", 8)]);
    assert_eq!(bench.reader.task_owners(&[]).await.expect("none asked for"), []);
    assert_eq!(bench.reader.task("nowhere").await.expect("an answer"), None);
    let record = bench.reader.task("a").await.expect("an answer").expect("a task");
    assert_eq!(&record.task, bench.shadow.task("a"));
}

pub(crate) async fn due_holds_are_those_whose_time_has_passed(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 1_000)).await;
    bench.ok(of_user(8, credit(Purse::Points, 1_000))).await;
    let hold = |task_id, ttl| Authorize { ttl_micros: Some(ttl), ..authorize(task_id, 10) };
    // The first is made first and is due last.
    for command in [
        of_user(USER, hold("third", 9_000)),
        of_user(USER, hold("first", 1)),
        of_user(8, hold("second", 2)),
        of_user(USER, hold("later", 3_600_000_000)),
        of_user(USER, hold("voided", 3_600_000_000)),
        of_user(USER, charge("charged", 10)),
    ] {
        bench.ok(command).await;
    }
    bench.ok(void("voided")).await;
    bench.pass(10_000).await;
    let due = async |bench: &Bench, limit| {
        let due = bench.reader.due_holds(limit).await.expect("due holds");
        due.into_iter().map(|(user_id, task_id)| (user_id, task_id.to_string())).collect::<Vec<_>>()
    };
    let of = |user_id, task_id: &str| (user_id, task_id.to_owned());
    // On a database with a clock of its own the moments between the commands count too.
    let mut expected = vec![of(USER, "first"), of(8, "second"), of(USER, "third")];
    expected.sort_by_key(|(_, task_id)| bench.shadow.task(task_id).hold_expire_time);
    assert_eq!(due(bench, 10).await, expected, "longest overdue first");
    assert_eq!(due(bench, 1).await, expected[..1]);
    for (user_id, task_id) in expected {
        bench.ok(of_user(user_id, crate::commands::expire(&task_id))).await;
    }
    assert_eq!(due(bench, 10).await, []);
}

pub(crate) async fn stuck_tasks_are_charged_open_and_old(bench: &mut Bench) {
    tasks(bench).await;
    bench.ok(charge("f", 10)).await;
    bench.pass(1_000).await;
    let cut = bench.now().await;
    bench.pass(1_000).await;
    bench.ok(charge("young", 10)).await;
    let stuck = async |after, limit| bench.reader.stuck_tasks(cut, after, limit).await.expect("stuck tasks");
    // b and c have ended, d is free, e is held and not charged.
    let all = stuck(0, 10).await;
    assert_eq!(ids(&all), ["a", "f"]);
    assert_eq!(ids(&stuck(0, 1).await), ["a"]);
    assert_eq!(ids(&stuck(all[0].id, 1).await), ["f"]);
    assert_eq!(ids(&stuck(all[1].id, 1).await), Vec::<&str>::new());
    assert_eq!(&all[0].task, bench.shadow.task("a"));
    let first = bench.shadow.task("a").create_time;
    assert_eq!(bench.reader.stuck_tasks(first, 0, 10).await.expect("stuck tasks"), [], "before, not at it");
}

pub(crate) async fn an_audit_snapshot_is_of_one_moment_and_pages_to_its_end(bench: &mut Bench) {
    entries(bench).await;
    bench.run_as("r", debit(9_999)).await.expect_err("frozen");
    let mut snapshot = bench.reader.audit_snapshot().await.expect("a snapshot");
    let before = snapshot.users(0, 10).await.expect("users");
    bench.ok(refund_all("t")).await;
    bench.ok(of_user(77, credit(Purse::Points, 5))).await;
    assert_eq!(snapshot.users(0, 10).await.expect("users"), before, "what came later is not in it");
    let mut keys = Vec::new();
    while let Some(last) = {
        let after = keys.last().copied().unwrap_or((0, 0));
        let page = snapshot.entries(after, 2).await.expect("entries");
        assert!(page.len() <= 2);
        keys.extend(page.iter().map(|entry| (entry.user_id, entry.user_seq)));
        page.last().map(|entry| entry.user_seq)
    } {
        assert!(last >= 1);
    }
    assert_eq!(keys, [(USER, 1), (USER, 2), (USER, 3), (USER, 4), (USER, 5), (USER, 6), (8, 1)]);
    let tasks = snapshot.tasks((0, 0), 10).await.expect("tasks");
    assert_eq!((ids(&tasks), tasks[0].task.refunded.total()), (vec!["t"], 250));
    assert_eq!(snapshot.tasks((USER, tasks[0].id), 10).await.expect("tasks"), []);
    let requests = snapshot.requests((0, ""), 10).await.expect("requests");
    assert_eq!(requests.len(), 5, "four commands with ids of their own, and the refusal");
    assert_eq!(snapshot.orphan_points((0, 0), 10).await.expect("orphans"), []);
    snapshot.estimate().await.expect("an estimate");
    drop(snapshot);
    let after = bench.reader.audit_snapshot().await.expect("a snapshot").users(0, 10).await.expect("users");
    assert_eq!(after.len(), before.len() + 1);
}
