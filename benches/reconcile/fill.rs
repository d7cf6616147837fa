//! Writes the month past the engine, as the engine would have: chains and fingerprints hold, so that the run's own
//! `verify` checks all of it and finds nothing. Events are kept through the store, as a fetch keeps them.

use scrip::ledger::{Fingerprint, Hash, Micros, Text};
use scrip::store::reconcile::{Begun, EventRow, FetchRow, NewRun};

use crate::books::{ACCOUNT_ID, Books};
use crate::month::{
    ACTOR, COST_NANO_USD, CREDIT, Entry, KEY_ID, MODEL, Month, PRICE, TITLE, WORKSPACE, fingerprint,
};

/// Rows of one statement.
const ROWS: usize = 500;

/// All of it; answers the run that is to judge it.
pub async fn fill(books: &mut Books, month: Month) -> i64 {
    let mut heads = vec![Hash::ZERO; usize::try_from(month.users()).expect("users fit")];
    credits(books, month, &mut heads).await;
    tasks(books, month, &mut heads).await;
    users(books, month, &heads).await;
    let run_id = events(books, month).await;
    books.execute("ANALYZE".to_owned()).await;
    books.bill(month);
    run_id
}

/// Rows of one table, on their way.
struct Table {
    into: &'static str,
    rows: Vec<String>,
}

impl Table {
    const fn new(into: &'static str) -> Self {
        Self { into, rows: Vec::new() }
    }

    fn statement(&mut self) -> String {
        let values = self.rows.join(", ");
        self.rows.clear();
        if values.is_empty() { String::new() } else { format!("INSERT INTO {} VALUES {values};", self.into) }
    }
}

/// The tables of tasks and of both ledgers, written side by side.
struct Tables {
    tasks: Table,
    attempts: Table,
    entries: Table,
    points: Table,
}

impl Tables {
    const fn new() -> Self {
        Self {
            tasks: Table::new(
                "ts_fal_tasks (user_id, task_id, online_task_id, app_name, api_key, status, money, charged_points,
                     charge_seq, reported_cost_nano_usd, created_at, completed_at, fingerprint, settle_fingerprint,
                     input_params, output_params)",
            ),
            attempts: Table::new(
                "scrip_task_attempts (user_id, task_id, attempt, online_task_id, key_id, started_at)",
            ),
            entries: Table::new(
                "ts_financial_transactions (user_id, user_seq, money, order_id, title, \"time\", transaction_type,
                     is_cash, operation, source_type, balance_before, balance_after, actor, entry_hash)",
            ),
            points: Table::new(
                "ts_points_detail (user_id, user_seq, points, order_id, title, source_type, balance_before,
                     balance_after, created_at, actor)",
            ),
        }
    }

    fn entry(&mut self, books: &Books, entry: &Entry<'_>, hash: &Hash) {
        let Entry {
            user_id, seq, operation, source_type, transaction_type, points, before, order_id, ..
        } = entry;
        let (after, time, hash) = (before + points, text_of(entry.time), books.bytes(&hash.0));
        self.entries.rows.push(format!(
            "({user_id}, {seq}, {points}, '{order_id}', '{TITLE}', '{time}', {transaction_type}, 0, '{operation}',
              '{source_type}', {before}, {after}, '{ACTOR}', {hash})"
        ));
        self.points.rows.push(format!(
            "({user_id}, {seq}, {points}, '{order_id}', '{TITLE}', '{source_type}', {before}, {after}, '{time}',
              '{ACTOR}')"
        ));
    }

    fn is_full(&self) -> bool {
        self.entries.rows.len() >= ROWS
    }

    async fn write(&mut self, books: &mut Books) {
        let tables = [&mut self.tasks, &mut self.attempts, &mut self.entries, &mut self.points];
        let statements: String = tables.map(Table::statement).concat();
        books.execute(format!("BEGIN; {statements} COMMIT;")).await;
    }
}

async fn credits(books: &mut Books, month: Month, heads: &mut [Hash]) {
    let mut tables = Tables::new();
    for (user_id, head) in (1..).zip(heads) {
        let entry = Entry {
            user_id,
            seq: 1,
            operation: "credit",
            source_type: "recharge",
            transaction_type: 0,
            points: CREDIT,
            before: 0,
            order_id: "",
            time: month.credited(),
        };
        *head = entry.hash(head);
        tables.entry(books, &entry, head);
        if tables.is_full() {
            tables.write(books).await;
        }
    }
    tables.write(books).await;
}

async fn tasks(books: &mut Books, month: Month, heads: &mut [Hash]) {
    let mut tables = Tables::new();
    let content = books.bytes(fingerprint().as_bytes());
    let params = format!(r#"{{"prompt": "{}"}}"#, "a cat in a hat ".repeat(20));
    for number in 0..month.tasks {
        let task = month.task(number);
        let (user_id, task_id, request_id, seq) = (task.user_id, &task.task_id, &task.request_id, task.seq);
        let (created, completed) = (text_of(task.created), text_of(task.completed));
        tables.tasks.rows.push(format!(
            "({user_id}, '{task_id}', '{request_id}', '{MODEL}', '{KEY_ID}', 'completed', {PRICE}, {PRICE}, {seq}, {},
              '{created}', '{completed}', {content}, {content}, '{params}', '{params}')",
            task.reported_nano_usd
        ));
        for (attempt, request_id) in (1..).zip(task.earlier_request_id.iter().chain([request_id])) {
            tables.attempts.rows.push(format!(
                "({user_id}, '{task_id}', {attempt}, '{request_id}', '{KEY_ID}', '{created}')"
            ));
        }
        let entry = Entry {
            user_id,
            seq,
            operation: "charge",
            source_type: "consume",
            transaction_type: 1,
            points: -PRICE,
            before: CREDIT - (seq - 2) * PRICE,
            order_id: task_id,
            time: task.created,
        };
        let at = usize::try_from(user_id - 1).expect("a user");
        heads[at] = entry.hash(&heads[at]);
        tables.entry(books, &entry, &heads[at]);
        if tables.is_full() {
            tables.write(books).await;
        }
    }
    tables.write(books).await;
}

async fn users(books: &mut Books, month: Month, heads: &[Hash]) {
    let mut table = Table::new(
        "ts_users (id, points_balance, cash_balance, points_held, cash_held, entry_seq, chain_hash, last_entry_at,
             created_at, updated_at)",
    );
    for (user_id, head) in (1..=month.users()).zip(heads) {
        // The user's last task: the last number that comes to it.
        let last = (month.tasks - user_id) / month.users() * month.users() + user_id - 1;
        let last = month.task(last);
        let (credited, time) = (text_of(month.credited()), text_of(last.created));
        let (balance, seq, head) = (CREDIT - (last.seq - 1) * PRICE, last.seq, books.bytes(&head.0));
        table.rows.push(format!(
            "({user_id}, {balance}, 0, 0, 0, {seq}, {head}, '{time}', '{credited}', '{time}')"
        ));
        if table.rows.len() >= ROWS {
            books.execute(table.statement()).await;
        }
    }
    books.execute(table.statement()).await;
}

/// A run whose events are fetched already, and that nobody works at; answers its id.
async fn events(books: &Books, month: Month) -> i64 {
    let store = books.store.reconcile().expect("a store of runs");
    let new = NewRun {
        request_id: None,
        actor: ACTOR.into(),
        start: month.start(),
        end: month.end(),
        account_ids: vec![],
        user_ids: vec![],
        apply_costs: false,
        settings: "{}".into(),
        content: Fingerprint::new(),
    };
    let Begun::New(run_id) = store.create_run(&new).await.expect("a run") else { panic!("a new run") };
    let run = store.run(run_id).await.expect("a read").expect("a run");
    let turn = store.take_up(&run, 0).await.expect("a turn").expect("nobody else");
    let mut fetch = FetchRow {
        account_id: ACCOUNT_ID,
        source: "billing_events".into(),
        position: "".into(),
        pages: 0,
        rows: 0,
        state: "complete".into(),
        result: "".into(),
        error: "".into(),
        garbage: vec![],
    };
    let mut next = 0;
    while next < month.tasks {
        let page = next..month.tasks.min(next + 2_000);
        next = page.end;
        let page: Vec<EventRow> = page.map(|number| event(month, number)).collect();
        fetch.pages += 1;
        store.save_fetch(turn, &fetch, &page).await.expect("kept");
    }
    run_id
}

fn event(month: Month, number: i64) -> EventRow {
    let task = month.task(number);
    let raw = format!(
        r#"{{"request_id":"{}","endpoint_id":"{MODEL}","billable_units":{{"unit":"images","quantity":1}},
            "unit_price":0.025,"cost_total":0.025,"auth":{{"detail":"Key {KEY_ID}"}}}}"#,
        task.request_id
    );
    EventRow {
        workspace: WORKSPACE.into(),
        account_id: ACCOUNT_ID,
        request_id: task.request_id.into(),
        endpoint_id: Text::from(MODEL),
        time: task.completed,
        cost_nano_usd: Some(COST_NANO_USD),
        units_nano: Some(1_000_000_000),
        raw: raw.into(),
    }
}

/// A moment as both dialects read it.
fn text_of(time: Micros) -> String {
    let time = jiff::Timestamp::from_microsecond(time.0).expect("a moment");
    time.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
}
