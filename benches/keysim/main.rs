//! `cargo bench --bench keysim`: the key pool against what gateways usually do, in virtual time.
//!
//! Every policy gets the same tasks, the same faults and the same answers, so that what differs is the policy. Time
//! is virtual and every number comes from the seed: the same command prints the same table on every machine, but for
//! the cost of a proposal, which is measured on this one.
//!
//! ```text
//! cargo bench --bench keysim -- [--full] [--seed N] [--only WORD] [--csv FILE]
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `scenario` | the grid |
//! | `upstream` | the accounts and what fal answers |
//! | `simulate` | the events of one policy in one cell |
//! | `leased` | scrip's policy: `scrip::keypool` and a store in memory |
//! | `baselines` | the usual policies, and the oracle |
//! | `measure`, `report` | the figures, the tables |
//! | `targets` | what they shall be |
//! | `hot` | what a proposal costs |

#![allow(unreachable_pub, reason = "the modules of one program")]
#![allow(missing_docs, reason = "the names of a simulation's parts say what they are")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]

mod baselines;
mod hot;
mod leased;
mod measure;
mod policy;
mod random;
mod report;
mod scenario;
mod simulate;
mod targets;
mod upstream;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use baselines::{Baseline, Oracle, Pick};
use leased::Leased;
use measure::Measures;
use policy::Policy;
use report::Cell;
use scenario::Scenario;
use upstream::Upstream;

const PICKS: [Pick; 7] = [
    Pick::Random,
    Pick::WeightedRandom,
    Pick::RoundRobin,
    Pick::LeastInFlight,
    Pick::TwoChoices,
    Pick::PeakEwma,
    Pick::Ban,
];

struct Options {
    full: bool,
    seed: u64,
    only: Option<String>,
    csv: Option<String>,
}

fn options() -> Result<Options, String> {
    let mut options = Options { full: false, seed: 1, only: None, csv: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            // Cargo says so to every bench.
            "--bench" => {}
            "--full" => options.full = true,
            "--seed" => options.seed = value()?.parse().map_err(|why| format!("--seed: {why}"))?,
            "--only" => options.only = Some(value()?),
            "--csv" => options.csv = Some(value()?),
            _ => return Err(format!("unknown option {word}")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\nusage: [--full] [--seed N] [--only WORD] [--csv FILE]");
            return ExitCode::from(2);
        }
    };
    let mut grid =
        if options.full { scenario::full_grid(options.seed) } else { scenario::grid(options.seed) };
    if let Some(word) = &options.only {
        grid.retain(|scenario| scenario.to_string().contains(word.as_str()));
    }
    let mut cells = run_all(&grid);
    let costs = hot::measure(options.seed);
    println!("{}", report::table(&mut cells));
    println!("{}", report::policies(&cells));
    println!("{}", report::losing(&mut cells));
    println!("{}", targets::table(&cells, &costs));
    if let Some(file) = &options.csv
        && let Err(why) = std::fs::write(file, report::csv(&mut cells))
    {
        eprintln!("{file}: {why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Runs the cells, as many at once as there are processors, the longest first; the order of the answers is that of
/// the grid.
fn run_all(grid: &[Scenario]) -> Vec<Cell> {
    let mut order: Vec<(usize, &Scenario)> = grid.iter().enumerate().collect();
    order.sort_by_key(|(_, scenario)| std::cmp::Reverse(scenario.pool));
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Cell)>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(grid.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((at, scenario)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let cell = run(**scenario);
                    let mut done = done.lock().expect("no cell panics");
                    done.push((*at, cell));
                    eprintln!("{}/{}: {scenario}", done.len(), grid.len());
                }
            });
        }
    });
    let mut cells = done.into_inner().expect("no cell panics");
    cells.sort_by_key(|(at, _)| *at);
    cells.into_iter().map(|(_, cell)| cell).collect()
}

/// Runs every policy in a cell, small ones several times with other accounts, tasks and lots.
fn run(scenario: Scenario) -> Cell {
    let mut results: Vec<(&'static str, Measures)> = Vec::new();
    for round in 0..scenario.rounds() {
        for (at, (name, measures)) in run_once(scenario.of_round(round)).into_iter().enumerate() {
            match results.get_mut(at) {
                Some((_, sum)) => sum.add(measures),
                None => results.push((name, measures)),
            }
        }
    }
    Cell { scenario, results }
}

fn run_once(scenario: Scenario) -> Vec<(&'static str, Measures)> {
    let upstream = Upstream::new(scenario);
    let mut leased = Leased::new(&upstream);
    let mut scrip = simulate::simulate(&upstream, &mut leased);
    // Open leases count as well as jobs that run: a slot may be held by a runner that is gone.
    scrip.violations += leased.violations;
    let mut results = vec![(leased.name(), scrip)];
    for pick in PICKS {
        let mut policy = Baseline::new(pick, &upstream);
        let measures = simulate::simulate(&upstream, &mut policy);
        results.push((policy.name(), measures));
    }
    let mut oracle = Oracle::default();
    let measures = simulate::simulate(&upstream, &mut oracle);
    results.push((oracle.name(), measures));
    results
}
