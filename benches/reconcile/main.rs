//! `cargo bench --bench reconcile`: a month of tasks against as many billing events, judged.
//!
//! A real run of the real reconciler, on each store. The events are in the database before it is taken up, as if it had
//! been left once it had fetched them: what is measured is the judging alone, from the snapshot of the evidence to the end
//! of the run, with every finding, cost and row of the report written. Nothing is applied.
//!
//! ```text
//! cargo bench --bench reconcile -- [--tasks N] [--store sqlite|postgres]
//! ```
//!
//! PostgreSQL is a throw-away cluster, or the server that `SCRIP_TEST_DATABASE_URL` names; `SCRIP_TEST_SKIP_POSTGRES=1`
//! leaves it out. Its memory is its own: what is printed is that of this process.
//!
//! | file | holds |
//! |---|---|
//! | `books` | the database and its clock |
//! | `month` | what happened, row by row |
//! | `fill` | the rows, as statements |

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]
#![allow(unreachable_pub, reason = "the modules of one program")]

mod books;
mod fill;
mod month;
#[allow(dead_code, missing_docs, reason = "shared with the tests")]
#[path = "../../tests/support/postgres.rs"]
mod postgres;

use std::process::ExitCode;
use std::time::Duration;

use books::Books;
use month::Month;
use scrip::reconcile::{Phase, Run, RunState};
use tokio::time::Instant;

const TASKS: i64 = 1_000_000;

struct Options {
    tasks: i64,
    store: Option<String>,
}

fn options() -> Result<Options, String> {
    let mut options = Options { tasks: TASKS, store: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            // Cargo says so to every bench.
            "--bench" => {}
            "--tasks" => options.tasks = value()?.parse().map_err(|why| format!("--tasks: {why}"))?,
            "--store" => options.store = Some(value()?),
            _ => return Err(format!("unknown option {word}")),
        }
    }
    if !(1..=month::MOST_TASKS).contains(&options.tasks) {
        return Err(format!("--tasks: from 1 to {}", month::MOST_TASKS));
    }
    match options.store.as_deref() {
        None | Some("sqlite" | "postgres") => Ok(options),
        Some(other) => Err(format!("--store: sqlite or postgres, not {other}")),
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\nusage: [--tasks N] [--store sqlite|postgres]");
            return ExitCode::from(2);
        }
    };
    let month = Month::new(options.tasks);
    let wants = |store| options.store.as_deref().is_none_or(|only| only == store);
    if wants("sqlite") {
        measure("SQLite", Books::sqlite().await, month).await;
    }
    if wants("postgres")
        && let Some(books) = Books::postgres().await
    {
        measure("PostgreSQL", books, month).await;
    }
    ExitCode::SUCCESS
}

/// Fills the books, runs the run and prints what it took.
async fn measure(store: &str, mut books: Books, month: Month) {
    let started = Instant::now();
    let run_id = fill::fill(&mut books, month).await;
    let filled = started.elapsed();
    // What filling took is not the run's.
    let own = reset_peak();
    let (run, [matching, checking]) = judge(&books, run_id).await;
    let peak = peak_kib() / 1_024;
    assert_eq!((run.state, &*run.error), (RunState::Completed, ""), "all evidence was there");
    let [high, medium, low] = run.findings;
    assert_eq!(high + medium + low, month.findings(), "of what was put there, all is found and nothing else");
    assert_eq!(run.cost_changes, month.costs());
    let whole = matching + checking;
    println!("{store}: {} tasks, {} events, {} users", month.tasks, month.tasks, month.users());
    println!("  filled in {:.1} s, which does not count", filled.as_secs_f64());
    println!(
        "  judged in {:.1} s: matching {:.1} s, checking and the report {:.1} s",
        whole.as_secs_f64(),
        matching.as_secs_f64(),
        checking.as_secs_f64()
    );
    let rows = 2.0 * month.tasks as f64;
    println!("  {:.0} tasks and events a second", rows / whole.as_secs_f64());
    println!("  {} findings, {} costs planned", high + medium + low, run.cost_changes);
    println!("  at most {peak} MiB resident{}", if own { "" } else { ", filling included" });
    books.close().await;
}

/// One run; how long it matched, and how long it checked.
async fn judge(books: &Books, run_id: i64) -> (Run, [Duration; 2]) {
    let reconciler = books.reconciler();
    let handle = reconciler.handle();
    let mut watch = handle.watch(run_id);
    let (mut begun, mut checking) = (None, None);
    while let Some(glimpse) = watch.next().await.expect("progress") {
        match glimpse.progress.phase {
            Phase::Fetching => {}
            Phase::Matching => _ = begun.get_or_insert_with(Instant::now),
            Phase::Checking => _ = checking.get_or_insert_with(Instant::now),
            Phase::Applying | Phase::Over => {}
        }
    }
    let over = Instant::now();
    let checking = checking.unwrap_or(over);
    let begun = begun.unwrap_or(checking);
    let run = handle.get(run_id).await.expect("a run");
    reconciler.drain().await;
    (run, [checking - begun, over - checking])
}

/// Forgets the most memory that this process had resident so far; whether the system can.
fn reset_peak() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// The most memory that this process had resident; 0 where the system does not say.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// As the tests' shared support says it.
fn say_not_run(why: &str) {
    eprintln!("DID NOT RUN: {why}");
}
