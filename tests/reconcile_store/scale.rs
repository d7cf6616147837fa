//! A month of a million tasks and a million events, kept and read as evidence:
//! `cargo test --release --test reconcile_store -- --ignored --nocapture --test-threads 1 a_month`.

use scrip::ledger::Micros;
use scrip::store::reconcile::{EventRow, Extent, FetchRow, Turn};
use sqlx::AssertSqlSafe;
use tokio::time::Instant;

use crate::bench::{Bench, DAY, Raw, START, event, extent, fetch};

const MILLION: i64 = 1_000_000;
const MONTH: i64 = 30 * DAY;
/// A few tasks from before the month, which its events name.
const EARLIER: i64 = 1_000;

/// fal's id of the request of a task, spread over all of the order as random ids are.
fn request(number: i64) -> String {
    let spread = u64::try_from(number).unwrap() * 2_654_435_761 % (1 << 32);
    format!("{spread:08x}-0000-4000-8000-{number:012x}")
}

/// Numbers, their moments and request ids as each dialect writes them; the rest is the same text for both.
fn numbers(bench: &Bench) -> (String, &'static str, &'static str) {
    let step = MONTH / MILLION;
    let (first, last, start) = (-EARLIER, MILLION - 1, START);
    if bench.is_sqlite() {
        let micros = format!("({start} + n * {step})");
        let numbers = format!(
            "WITH RECURSIVE s (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}),
             v AS (SELECT n, strftime('%Y-%m-%d %H:%M:%S', {micros} / 1000000, 'unixepoch')
                             || printf('.%06d', {micros} % 1000000) AS at FROM s)"
        );
        let id = "printf('%08x-0000-4000-8000-%012x', ((n + 1000) * 2654435761) % 4294967296, n + 1000)";
        (numbers, id, "printf('task-%032d', n + 1000)")
    } else {
        let numbers = format!(
            "WITH v AS (SELECT n, to_timestamp({start} / 1000000) + n * {step} * interval '1 microsecond' AS at
                        FROM generate_series({first}::bigint, {last}::bigint) AS s (n))"
        );
        let id = "lpad(to_hex(((n + 1000) * 2654435761) % 4294967296), 8, '0') || '-0000-4000-8000-'
                  || lpad(to_hex(n + 1000), 12, '0')";
        (numbers, id, "'task-' || lpad((n + 1000)::text, 32, '0')")
    }
}

/// Fills the tables as a month of charges would: a task, its attempt (one in ten was tried twice) and its two rows of
/// the ledgers.
async fn fill(bench: &mut Bench) {
    let (numbers, online_id, task_id) = numbers(bench);
    let (fingerprint, hash) = (bench.bytes(&"07".repeat(40)), bench.bytes(&"07".repeat(32)));
    let params = format!(r#"{{"prompt": "{}"}}"#, "a cat in a hat ".repeat(20));
    let (user, seq) = ("(n + 1000) % 100000 + 1", "(n + 1000) / 100000 + 1");
    let statement = |into: &str, select: &str| format!("{numbers} INSERT INTO {into} {select}");
    for sql in [
        statement(
            "ts_fal_tasks (user_id, task_id, online_task_id, app_name, api_key, status, money, charged_points,
                 reported_cost_nano_usd, created_at, completed_at, fingerprint, input_params, output_params)",
            &format!(
                "SELECT {user}, {task_id}, {online_id}, 'fal-ai/model-1', 'k1', 'completed', 20, 20, 25000000, at, at,
                     {fingerprint}, '{params}', '{params}' FROM v ORDER BY n"
            ),
        ),
        statement(
            "scrip_task_attempts (user_id, task_id, attempt, online_task_id, key_id, started_at)",
            &format!("SELECT {user}, {task_id}, 1, {online_id}, 'k1', at FROM v ORDER BY n"),
        ),
        statement(
            "scrip_task_attempts (user_id, task_id, attempt, online_task_id, key_id, started_at)",
            &format!("SELECT {user}, {task_id}, 2, {online_id} || 'x', 'k1', at FROM v WHERE n % 10 = 0 ORDER BY n"),
        ),
        statement(
            "ts_financial_transactions (user_id, user_seq, money, order_id, title, \"time\", transaction_type, is_cash,
                 operation, source_type, balance_before, balance_after, actor, entry_hash)",
            &format!(
                "SELECT {user}, {seq}, -20, {task_id}, 'a picture', at, 0, 0, 'charge', 'inference', 1000, 980,
                     'tests', {hash} FROM v ORDER BY n"
            ),
        ),
    ] {
        bench.execute(&sql).await;
    }
    bench.execute("ANALYZE").await;
}

/// Keeps a million events, page by page.
async fn bring(bench: &Bench, run: Turn) {
    let started = Instant::now();
    let filler = "0.025 ".repeat(40);
    let mut longest = std::time::Duration::ZERO;
    for first in (0..MILLION).step_by(2_000) {
        let events: Vec<EventRow> = (first..first + 2_000)
            .map(|number| EventRow {
                time: Micros(START + number * (MONTH / MILLION)),
                raw: format!(r#"{{"request_id":"{}","what":"{filler}"}}"#, request(number)).into(),
                ..event(&request(number), 25_000_000)
            })
            .collect();
        let page = Instant::now();
        let fetch = FetchRow { pages: first / 2_000 + 1, ..fetch(1) };
        bench.store.save_fetch(run, &fetch, &events).await.unwrap();
        longest = longest.max(page.elapsed());
    }
    println!("a million events kept in {:.1?}, the longest page {longest:.1?}", started.elapsed());
}

async fn read(bench: &Bench, run: Turn) {
    let before = resident_kib();
    let started = Instant::now();
    let all = Extent {
        tasks: (Micros(START), Micros(START + MONTH)),
        events: (Micros(START), Micros(START + MONTH + DAY)),
        ..extent(run)
    };
    let mut evidence = bench.store.evidence(&all).await.unwrap();
    println!("begun after {:.1?}, about {} rows", started.elapsed(), evidence.estimate().await.unwrap());
    let (mut tasks, mut events, mut users, mut quarters) = (0, 0, 0, 0);
    let mut last = (String::new(), String::new());
    loop {
        let (more_tasks, more_events) =
            (evidence.tasks(1_000).await.unwrap(), evidence.events(1_000).await.unwrap());
        if tasks == 0 {
            println!("the first tasks and events after {:.1?}", started.elapsed());
        }
        for task in &more_tasks {
            let key = (task.sort_key().0.to_owned(), task.sort_key().1.to_owned());
            assert!(last < key, "{last:?} {key:?}");
            last = key;
        }
        (tasks, events) = (tasks + more_tasks.len(), events + more_events.len());
        if more_tasks.is_empty() && more_events.is_empty() {
            break;
        }
    }
    println!("{tasks} tasks and {events} events after {:.1?}", started.elapsed());
    loop {
        let more = evidence.user_tasks(1_000).await.unwrap().len();
        users += more;
        if more == 0 {
            break;
        }
    }
    println!("{users} users after {:.1?}", started.elapsed());
    loop {
        let more = evidence.user_quarters(all.tasks, 1_000).await.unwrap().len();
        quarters += more;
        if more == 0 {
            break;
        }
    }
    println!(
        "{quarters} quarters after {:.1?}; the most memory grew by {} MiB",
        started.elapsed(),
        resident_kib().saturating_sub(before) / 1_024
    );
    assert_eq!(
        (tasks, events),
        (usize::try_from(MILLION + EARLIER).unwrap(), usize::try_from(MILLION).unwrap())
    );
    assert_eq!(users, 100_000);
}

async fn measured(mut bench: Bench) {
    fill(&mut bench).await;
    let run = bench.begin().await;
    bring(&bench, run).await;
    bench.execute("ANALYZE").await;
    plans(&mut bench).await;
    read(&bench, run).await;
    bench.close().await;
}

/// How PostgreSQL reads the two streams that matter.
async fn plans(bench: &mut Bench) {
    let Raw::Postgres(raw) = &mut bench.raw else { return };
    for setting in ["SET work_mem = '32MB'", "SET jit = off", "SET plan_cache_mode = force_custom_plan"] {
        sqlx::query(setting).execute(&mut *raw).await.unwrap();
    }
    let moment = |micros| crate::bench::text_of(micros);
    let (start, end, events_end) = (moment(START), moment(START + MONTH), moment(START + MONTH + DAY));
    let tasks = [start.as_str(), &end, &start, "{w1}", &events_end, "1"];
    let users = [start.as_str(), &end, &start];
    let texts = [
        (include_str!("../../src/store/postgres/reconcile/sql/declare_tasks.sql"), &tasks[..]),
        (include_str!("../../src/store/postgres/reconcile/sql/declare_user_tasks.sql"), &users[..]),
    ];
    for (text, values) in texts {
        let (_, select) = text.split_once("CURSOR FOR").unwrap();
        let mut select = select.to_owned();
        for (number, value) in (1..).zip(values) {
            select = select.replace(&format!("${number}"), &format!("'{value}'"));
        }
        let plan =
            sqlx::query_scalar::<_, String>(AssertSqlSafe(format!("EXPLAIN (ANALYZE, TIMING OFF) {select}")));
        for line in plan.fetch_all(&mut *raw).await.unwrap() {
            println!("{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn a_month_is_read_from_sqlite() {
    let Some(bench) = Bench::sqlite().await else { return };
    measured(bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn a_month_is_read_from_postgresql() {
    let Some(bench) = Bench::postgres().await else { return };
    measured(bench).await;
}

/// The most memory that this process ever had resident; 0 where the system does not say.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
