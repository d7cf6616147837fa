//! The simulation: the pure rooms, the engine and the model store under one seed, in virtual time.
//!
//! ```text
//! cargo test --test simulation                                   # 2,000 seeds
//! SIM_SEEDS=50000 cargo test --test simulation -- no_seed        # more of them
//! SIM_SEED=4711 cargo test --test simulation -- no_seed --nocapture   # one of them, step by step
//! ```
//!
//! | phase | where | what |
//! |---|---|---|
//! | world | [`run`] | users with little money, accounts with few slots, one to three replicas |
//! | calls | [`script`], [`client`] | what callers ask, once and again, and what they hear: [`history`] |
//! | trouble | [`nemesis`], [`database`], [`fleet`] | failing commits, deaths, drains, clocks that step |
//! | watch | [`watch`], `invariants` | what must hold at each commit and at any moment |
//! | heal | [`run`] | nothing fails any more; every unknown outcome is asked for again |
//! | check | [`check`], [`leases`] | what callers heard against what is stored |
//!
//! Nothing is drawn from anywhere but the seed, so that a seed replays: one thread, paused time, clock and ids handed
//! in. See docs/proof/simulation.md.

#![allow(clippy::unwrap_used)]

mod accounts;
mod bugs;
mod chance;
mod check;
mod client;
mod database;
mod fleet;
mod history;
mod leases;
mod log;
mod nemesis;
mod run;
mod script;
mod vary;
mod watch;

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
#[path = "../support/commands.rs"]
mod commands;
#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
#[path = "../support/invariants.rs"]
mod invariants;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

// What the shared files are written against.
use scrip::ledger;
use support::model::world;

use bugs::Bug;
use run::{How, Report, run};

/// Seeds where nobody says how many.
const SEEDS: u64 = 2_000;

fn number(variable: &str) -> Option<u64> {
    let told = std::env::var(variable).ok()?;
    Some(told.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {told:?}")))
}

/// Runs seeds on all cores, one thread each, until one is found wrong; answers it, and what was met in all.
fn run_all(seeds: u64, how: How) -> (Option<(u64, Report)>, BTreeMap<String, u64>) {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let found: Mutex<Option<(u64, Report)>> = Mutex::default();
    let met: Mutex<BTreeMap<String, u64>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let report = run(seed, how);
                    let met = &mut *met.lock().unwrap();
                    report
                        .met
                        .iter()
                        .for_each(|(what, times)| *met.entry(what.clone()).or_default() += times);
                    if !report.wrong.is_empty() {
                        stop.store(true, Ordering::Relaxed);
                        let found = &mut *found.lock().unwrap();
                        if found.as_ref().is_none_or(|(earlier, _)| seed < *earlier) {
                            *found = Some((seed, report));
                        }
                    }
                }
            });
        }
    });
    (found.into_inner().unwrap(), met.into_inner().unwrap())
}

fn tell(seed: u64, report: &Report) -> String {
    let more = report.wrong.len() - 1;
    format!(
        "seed {seed}: {}\n(and {more} more)\nreplay it with\n  \
         SIM_SEED={seed} cargo test --test simulation -- no_seed --nocapture",
        report.wrong[0]
    )
}

#[test]
fn no_seed_loses_a_point_or_gives_it_twice() {
    if let Some(seed) = number("SIM_SEED") {
        let report = run(seed, How { printed: true, bug: Bug::of_the_stores(), ..How::default() });
        assert!(report.wrong.is_empty(), "{}", tell(seed, &report));
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let begun = tokio::time::Instant::now();
    let (found, met) = run_all(seeds, How { bug: Bug::of_the_stores(), ..How::default() });
    if let Some((seed, report)) = found {
        panic!("{}", tell(seed, &report));
    }
    let took = begun.elapsed();
    println!(
        "{seeds} seeds in {took:.1?}, {:.0} a minute: {met:#?}",
        seeds as f64 * 60.0 / took.as_secs_f64()
    );
    for what in WHAT_IS_MET.into_iter().filter(|_| seeds >= 500) {
        assert!(met.contains_key(what), "{seeds} seeds, and none of them met {what}: {met:?}");
    }
}

/// What hundreds of seeds must have come across, or they show little.
const WHAT_IS_MET: [&str; 64] = [
    "Account",
    "AccountExists",
    "AccountNotFound",
    "BatchAborted",
    "CaptureExceedsHold",
    "DeadlineExceeded",
    "HoldExpired",
    "InsufficientBalance",
    "InvalidField",
    "LeaseExpired",
    "LeaseNotFound",
    "LeaseSuperseded",
    "NoKeyAvailable",
    "Nothing",
    "Overloaded",
    "RefundExceedsCharge",
    "Released",
    "Renewed",
    "RequestIdReused",
    "ShuttingDown",
    "StoreUnavailable",
    "TaskAlreadyCharged",
    "TaskNotFound",
    "TaskStateConflict",
    "UserNotFound",
    "done authorize",
    "done capture",
    "done charge",
    "done complete_task",
    "done credit",
    "done debit",
    "done fail_task",
    "done refund",
    "done select_key",
    "done start_task",
    "done void",
    "killed",
    "late complete_task",
    "leases",
    "nemesis: calm",
    "nemesis: conflicts",
    "nemesis: drain",
    "nemesis: fail reads",
    "nemesis: kill",
    "nemesis: killed",
    "nemesis: step all clocks",
    "nemesis: step one clock",
    "nemesis: stopped",
    "nemesis: unknown",
    "nemesis: unreached",
    "probes",
    "replayed authorize",
    "replayed capture",
    "replayed charge",
    "replayed complete_task",
    "replayed fail_task",
    "replayed refund",
    "replayed select_key",
    "unknown, and it had been done",
    "unknown, and it is refused",
    "unknown, and it was done now",
    "unknown: the caller went away",
    "unknown: the replica died",
    "unknown: the store did not answer",
];

#[test]
fn a_seed_replays_to_the_last_row() {
    for seed in [3, 14, 159, 2_653] {
        let how = How { kept: true, ..How::default() };
        let (first, second) = (run(seed, how), run(seed, how));
        assert!(first.lines.len() > 100, "seed {seed}: too little to compare: {} lines", first.lines.len());
        for (one, other) in first.lines.iter().zip(&second.lines) {
            assert_eq!(one, other, "seed {seed}");
        }
        assert_eq!(first.lines.len(), second.lines.len(), "seed {seed}");
    }
}

/// How many seeds it may take to catch a planted bug by each rule that it breaks.
const CAUGHT_WITHIN: u64 = 300;

fn is_caught(bug: Bug) {
    let how = How { bug: Some(bug), ..How::default() };
    for rule in bug.breaks() {
        let caught = (0..CAUGHT_WITHIN).find_map(|seed| {
            let broken = run(seed, how).wrong.into_iter().find(|wrong| wrong.contains(rule))?;
            Some((seed + 1, broken))
        });
        let Some((seeds, broken)) = caught else {
            panic!("{bug:?}: none of {CAUGHT_WITHIN} seeds found that {rule:?}")
        };
        println!("| {bug:?} | {rule} | {seeds} |\n{broken}");
    }
}

/// A test for each planted bug.
macro_rules! caught {
    ($($name:ident: $bug:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            is_caught(Bug::$bug);
        })+
    };
}

caught! {
    a_commit_that_is_answered_before_it_happened_and_then_lost_is_caught: AnswersBeforeCommit,
    an_unknown_outcome_that_is_taken_for_committed_is_caught: TakesUnknownForCommitted,
    an_unknown_outcome_that_is_taken_for_failed_is_caught: TakesUnknownForFailed,
    an_error_that_nobody_looked_at_is_caught: SwallowsErrors,
    a_batch_that_was_given_up_and_is_committed_later_is_caught: CommitsWhatWasGivenUp,
    batches_of_two_replicas_that_read_the_same_rows_are_caught: LocksNothing,
    slots_that_are_counted_outside_the_lock_are_caught: CountsSlotsOutsideTheLock,
    an_idempotency_record_that_is_not_written_is_caught: DropsARequest,
    a_lease_that_is_not_written_is_caught: DropsALease,
    entries_without_their_user_are_caught: TearsACommit,
    a_task_that_keeps_its_old_row_is_caught: ForgetsATask,
}
