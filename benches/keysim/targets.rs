//! The targets, each met or missed, with the worst figure and the cells that miss it.

use std::fmt::Write as _;

use super::hot::Costs;
use super::report::{Cell, regret};
use super::scenario::Fault;

/// What scrip shall reach in every cell of a kind.
struct Target {
    name: &'static str,
    /// The figure; none where the cell is not of the kind.
    of: fn(&Cell) -> Option<f64>,
    is_met: fn(f64) -> bool,
    least_is_worst: bool,
    digits: usize,
}

const TARGETS: [Target; 7] = [
    Target {
        name: "leases beyond a limit: 0",
        of: |cell| Some(cell.scrip().violations as f64),
        is_met: |figure| figure == 0.0,
        least_is_worst: false,
        digits: 0,
    },
    Target {
        name: "accounts taken out under poison input or global outage: 0",
        of: |cell| {
            let is_innocent = matches!(cell.scenario.fault, Fault::Poison | Fault::Outage);
            is_innocent.then(|| cell.scrip().false_quarantines as f64)
        },
        is_met: |figure| figure == 0.0,
        least_is_worst: false,
        digits: 0,
    },
    Target {
        name: "successes fewer than the oracle's: ≤ 5 %",
        of: |cell| Some(regret(cell.scrip(), cell.oracle()) * 100.0),
        is_met: |figure| figure <= 5.0,
        least_is_worst: false,
        digits: 2,
    },
    Target {
        name: "leases but probes after the first report that blames a dead or locked account: 0",
        of: |cell| cell.scenario.fault.is_dead_or_locked().then(|| cell.scrip().after_blame as f64),
        is_met: |figure| figure == 0.0,
        least_is_worst: false,
        digits: 0,
    },
    Target {
        name: "return after a top-up: ≤ 300 s (the cap) and one probe, 10 s",
        of: |cell| {
            let is_lock = matches!(cell.scenario.fault, Fault::ExhaustedLock | Fault::PositiveLock);
            if is_lock { cell.scrip().back(&cell.scenario) } else { None }
        },
        is_met: |figure| figure <= 310.0,
        least_is_worst: false,
        digits: 1,
    },
    Target {
        name: "Jain's index at ≥ 0.8 load, one healthy tier: ≥ 0.98",
        of: |cell| cell.is_even().then(|| cell.scrip().jain()),
        is_met: |figure| figure >= 0.98,
        least_is_worst: true,
        digits: 4,
    },
    Target {
        name: "the same, where whole jobs allow 0.98",
        of: |cell| (cell.is_even() && cell.scrip().even() >= 0.98).then(|| cell.scrip().jain()),
        is_met: |figure| figure >= 0.98,
        least_is_worst: true,
        digits: 4,
    },
];

/// One row a target.
pub fn table(cells: &[Cell], costs: &Costs) -> String {
    let mut text = String::from("| target | worst | |\n|---|---|---|\n");
    for target in &TARGETS {
        let _ = writeln!(text, "| {} | {} |", target.name, judge(target, cells));
    }
    let _ = writeln!(
        text,
        "| proposing candidates from 10,000 accounts: ≤ 1 µs | {:.0} ns; with observing {:.0} ns; a refresh, once a \
         second, {:.0} µs | {} |",
        costs.propose,
        costs.with_observe,
        costs.refresh / 1e3,
        if costs.propose <= 1_000.0 { "met" } else { "**MISSED**" },
    );
    text
}

fn judge(target: &Target, cells: &[Cell]) -> String {
    let figures: Vec<_> =
        cells.iter().filter_map(|cell| Some(((target.of)(cell)?, &cell.scenario))).collect();
    let sign = if target.least_is_worst { -1.0 } else { 1.0 };
    let Some((worst, place)) = figures.iter().max_by(|a, b| (sign * a.0).total_cmp(&(sign * b.0))) else {
        return "no such cell | not tried".to_owned();
    };
    let missed: Vec<_> = figures.iter().filter(|(figure, _)| !(target.is_met)(*figure)).collect();
    let digits = target.digits;
    if missed.is_empty() {
        // A figure that is 0 everywhere is worst nowhere.
        let place = if *worst == 0.0 { String::new() } else { format!(", {place}") };
        return format!("{worst:.digits$}{place} | met in {}", figures.len());
    }
    let names: Vec<_> = missed.iter().map(|(figure, place)| format!("{place} ({figure:.digits$})")).collect();
    format!(
        "{worst:.digits$}, {place} | **MISSED** in {} of {}: {}",
        missed.len(),
        figures.len(),
        names.join("; ")
    )
}
