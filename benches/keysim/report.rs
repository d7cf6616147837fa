//! What is printed: tables for people, and a CSV for everything.

use std::fmt::Write as _;

use super::PICKS;
use super::measure::Measures;
use super::scenario::{Fault, Scenario};

/// A cell with what each policy made of it: scrip first, the oracle last.
pub struct Cell {
    pub scenario: Scenario,
    pub results: Vec<(&'static str, Measures)>,
}

impl Cell {
    pub fn scrip(&self) -> &Measures {
        &self.results[0].1
    }

    pub fn oracle(&self) -> &Measures {
        &self.results[self.results.len() - 1].1
    }

    /// The baseline that served most.
    fn best_baseline(&self) -> (&'static str, f64) {
        let baselines = &self.results[1..self.results.len() - 1];
        let served = baselines.iter().map(|(name, measures)| (*name, measures.success()));
        served.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("none", 0.0))
    }

    /// Whether its accounts should be evenly in use: one healthy tier, at 0.8 of what it carries or more.
    pub fn is_even(&self) -> bool {
        self.scenario.fault == Fault::None && self.scenario.load >= 800
    }

    /// The baseline that served most of those that kept every limit.
    fn best_lawful(&self) -> Option<(&'static str, f64)> {
        let baselines = &self.results[1..self.results.len() - 1];
        let lawful = baselines.iter().filter(|(_, measures)| measures.violations == 0);
        lawful.map(|(name, m)| (*name, m.success())).max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Share of the oracle's successes that are missing.
pub fn regret(measures: &Measures, oracle: &Measures) -> f64 {
    1.0 - measures.succeeded as f64 / oracle.succeeded.max(1) as f64
}

fn seconds(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.is_infinite() => "never".to_owned(),
        Some(value) => format!("{value:.1}"),
    }
}

fn percent(share: f64) -> String {
    format!("{:.2}", share * 100.0)
}

/// One row a cell: scrip's figures beside the oracle's success and the best baseline's.
pub fn table(cells: &mut [Cell]) -> String {
    let mut text = String::from(
        "| pool × jobs × load × replicas × fault | success % | oracle % | regret % | best baseline % | wait p50/p99 s | \
         over limit | wasted | after blame | detect s | back s | false out | leaked slot-s | Jain/at best |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for cell in cells {
        let (name, best) = cell.best_baseline();
        let regret = regret(cell.scrip(), cell.oracle());
        let oracle = percent(cell.oracle().success());
        let loses = cell.scrip().success() < best;
        let lawful = match cell.best_lawful() {
            Some((lawful, _)) if lawful == name => "",
            _ => ", over limits",
        };
        let scenario = cell.scenario;
        let scrip = &mut cell.results[0].1;
        let waits = format!("{:.2}/{:.2}", scrip.idle_wait(0.5), scrip.idle_wait(0.99));
        let is_hit = !scrip.hit.is_empty();
        let _ = writeln!(
            text,
            "| {scenario} | {} | {oracle} | {} | {}{} ({name}{lawful}) | {waits} | {} | {} | {} | {} | {} | {} | {:.0} | {} |",
            percent(scrip.success()),
            percent(regret),
            if loses { "**beaten:** " } else { "" },
            percent(best),
            scrip.violations,
            if is_hit { format!("{:.1}", scrip.wasted_each()) } else { "–".to_owned() },
            if scenario.fault.is_dead_or_locked() { scrip.after_blame.to_string() } else { "–".to_owned() },
            seconds(scrip.detect()),
            seconds(scrip.back(&scenario)),
            scrip.false_quarantines,
            scrip.leaked_slot_micros as f64 / 1e6,
            if scenario.fault == Fault::None {
                format!("{:.3}/{:.3}", scrip.jain(), scrip.even())
            } else {
                "–".to_owned()
            },
        );
    }
    text
}

/// Every policy of every cell.
pub fn csv(cells: &mut [Cell]) -> String {
    let mut text = String::from(
        "pool,jobs,load,replicas,fault,policy,tasks,success,regret,refused,wait_p50_s,wait_p99_s,over_limit,\
         wasted_per_account,after_blame,detect_s,back_s,false_out,leaked_slot_s,jain,jain_at_best\n",
    );
    for cell in cells {
        let scenario = cell.scenario;
        let oracle = cell.oracle().clone();
        for (name, measures) in &mut cell.results {
            let (p50, p99) = (measures.idle_wait(0.5), measures.idle_wait(0.99));
            let _ = writeln!(
                text,
                "{},{:?},{},{},{:?},{name},{},{:.5},{:.5},{},{p50:.3},{p99:.3},{},{:.2},{},{},{},{},{:.0},{:.4},{:.4}",
                scenario.pool,
                scenario.jobs,
                scenario.load,
                scenario.replicas,
                scenario.fault,
                measures.tasks,
                measures.success(),
                regret(measures, &oracle),
                measures.refused,
                measures.violations,
                measures.wasted_each(),
                measures.after_blame,
                seconds(measures.detect()),
                seconds(measures.back(&scenario)),
                measures.false_quarantines,
                measures.leaked_slot_micros as f64 / 1e6,
                measures.jain(),
                measures.even(),
            );
        }
    }
    text
}

/// What each policy made of the whole grid.
pub fn policies(cells: &[Cell]) -> String {
    let mut text = String::from(
        "| policy | success %, mean | regret %, worst | over limit | false out | wasted on a dead or locked account | \
         leaked slot-s | Jain, healthy at ≥ 0.8 load |\n|---|---|---|---|---|---|---|---|\n",
    );
    let Some(first) = cells.first() else { return text };
    for (at, (name, _)) in first.results.iter().enumerate() {
        let of = |cell: &Cell| cell.results[at].1.clone();
        let mean = |figures: Vec<f64>| figures.iter().sum::<f64>() / figures.len().max(1) as f64;
        let success = mean(cells.iter().map(|cell| of(cell).success()).collect());
        let regrets = cells.iter().map(|cell| regret(&of(cell), cell.oracle()));
        let sum = |figure: &dyn Fn(&Measures) -> u64| cells.iter().map(|cell| figure(&of(cell))).sum::<u64>();
        let dead = cells.iter().filter(|cell| cell.scenario.fault.is_dead_or_locked());
        let wasted = mean(dead.map(|cell| of(cell).wasted_each()).collect());
        let leaked = cells.iter().map(|cell| of(cell).leaked_slot_micros).sum::<i64>() as f64 / 1e6;
        let jain = mean(cells.iter().filter(|cell| cell.is_even()).map(|cell| of(cell).jain()).collect());
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {wasted:.1} | {leaked:.0} | {jain:.3} |",
            percent(success),
            percent(regrets.fold(f64::NEG_INFINITY, f64::max)),
            sum(&|measures| measures.violations),
            sum(&|measures| measures.false_quarantines),
        );
    }
    text
}

/// Where a baseline that served as much does better by some figure, or one simply served more.
pub fn losing(cells: &mut [Cell]) -> String {
    let mut text = String::from(
        "| beaten in | by | figure | scrip | it | its keys over limit |\n|---|---|---|---|---|---|\n",
    );
    for cell in cells {
        let is_even = cell.is_even();
        let scenario = cell.scenario;
        let mut figures = |at: usize| {
            let measures = &mut cell.results[at].1;
            let jain = if is_even { -measures.jain() } else { 0.0 };
            // All such that less is better.
            [
                ("success %", -measures.success() * 100.0, 0.005),
                ("wait p99 s", measures.idle_wait(0.99), 0.1),
                ("wasted", measures.wasted_each(), 0.05),
                ("leaked slot-s", measures.leaked_slot_micros as f64 / 1e6, 0.5),
                ("Jain", jain, 0.0005),
            ]
        };
        let own = figures(0);
        let others: Vec<_> = (1..=PICKS.len()).map(|at| (at, figures(at))).collect();
        for (which, (figure, ours, margin)) in own.into_iter().enumerate() {
            let served_as_much = |theirs: &[(&str, f64, f64); 5]| which == 0 || theirs[0].1 <= own[0].1;
            let best = others
                .iter()
                .filter(|(_, theirs)| served_as_much(theirs) && theirs[which].1 < ours - margin)
                .min_by(|a, b| a.1[which].1.total_cmp(&b.1[which].1));
            if let Some((at, theirs)) = best {
                let (name, measures) = &cell.results[*at];
                let _ = writeln!(
                    text,
                    "| {scenario} | {name} | {figure} | {:.3} | {:.3} | {} |",
                    ours.abs(),
                    theirs[which].1.abs(),
                    measures.violations,
                );
            }
        }
    }
    text
}
