//! The page as Markdown; on the terminal it is printed as well.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Report, middle_and_most};

pub(super) fn render(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = write(report, &mut page);
    page
}

fn write(report: &Report, page: &mut String) -> std::fmt::Result {
    writeln!(page, "# Torture: {}\n", report.verdict().word())?;
    writeln!(page, "Seed {}. Run again with\n\n```sh\n{}\n```\n", report.seed, report.command)?;
    for (name, value) in &report.facts {
        writeln!(page, "- {name}: {value}")?;
    }
    findings(report, page)?;
    writeln!(
        page,
        "\n## Calls\n\n| kind | sent | done | refused | unknown at first |\n|---|--:|--:|--:|--:|"
    )?;
    let mut sum = super::Tally::default();
    for (kind, tally) in &report.tallies {
        writeln!(
            page,
            "| {kind} | {} | {} | {} | {} |",
            tally.sent, tally.done, tally.refused, tally.unknown
        )?;
        sum.sent += tally.sent;
        sum.done += tally.done;
        sum.refused += tally.refused;
        sum.unknown += tally.unknown;
    }
    writeln!(page, "| all | {} | {} | {} | {} |", sum.sent, sum.done, sum.refused, sum.unknown)?;
    let (unknown, left) = report.unknown;
    writeln!(
        page,
        "\nUnknown at the end of the load: {unknown}. Sent again with the same keys, with everything healed: \
         {left} are left."
    )?;
    faults(report, page)
}

fn findings(report: &Report, page: &mut String) -> std::fmt::Result {
    writeln!(page, "\n## Verdict: {}\n", report.verdict().word())?;
    if report.findings.count() == 0 {
        writeln!(page, "No violation was found.")?;
    }
    for (rule, count, told) in report.findings.rules() {
        writeln!(page, "- **{rule}**: {count}")?;
        for what in told {
            let what: String = what.chars().take(1_500).collect();
            writeln!(page, "  - `{}`", what.replace('`', "'"))?;
        }
    }
    for (file, line) in report.findings.places() {
        writeln!(page, "- found by {}, line {line}", file.rsplit('/').next().unwrap_or(file))?;
    }
    for doubt in &report.doubts {
        writeln!(page, "- not known: {doubt}")?;
    }
    Ok(())
}

fn faults(report: &Report, page: &mut String) -> std::fmt::Result {
    writeln!(
        page,
        "\n## Faults\n\nRecovery: from the moment a fault is healed to the first acknowledged write, without the \
         times in which others kept everybody from writing.\n\n\
         | fault | times | recovery p50 | recovery max |\n|---|--:|--:|--:|"
    )?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for window in &report.windows {
        *counts.entry(window.fault.name()).or_default() += 1;
    }
    let cell = |times: &[f64]| match middle_and_most(times) {
        Some((middle, most)) => format!("{middle:.3} s | {most:.3} s"),
        None => "– | –".to_owned(),
    };
    for (name, count) in &counts {
        let times = report.recoveries.get(name).map(Vec::as_slice).unwrap_or_default();
        writeln!(page, "| {name} | {count} | {} |", cell(times))?;
    }
    writeln!(page, "| all | {} | {} |", report.windows.len(), cell(&report.all_recoveries()))?;
    if !report.not_run.is_empty() {
        writeln!(page, "\nDid not run:\n")?;
    }
    for (name, why) in &report.not_run {
        writeln!(page, "- {name}: {why}")?;
    }
    Ok(())
}
