//! The table, on a terminal and as a page.

use std::fmt::Write;
use std::path::Path;

use crate::chart;
use crate::figures::{Figure, Spread, Target, Value};
use crate::growth::Measured;
use crate::options::Options;

pub struct Page<'a> {
    pub machine: String,
    pub options: &'a Options,
    pub figures: Vec<Figure>,
    pub growth: Vec<Measured>,
}

impl Page<'_> {
    /// Columns of the same width, for a person who waited for it.
    pub fn terminal(&self) -> String {
        let rows: Vec<[String; 6]> = self.figures.iter().map(row).collect();
        let header = ["#", "measure", "median (spread)", "ours", "theirs", "target"].map(str::to_owned);
        let all: Vec<&[String; 6]> = std::iter::once(&header).chain(&rows).collect();
        let widths: Vec<usize> = (0..6)
            .map(|column| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = format!("\n{}\n{}\n\n", self.machine, self.how());
        for row in all {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end()).ok();
        }
        for point in &self.growth {
            let median = number(point.spread().median);
            let at = number(point.at.into());
            writeln!(text, "{at:>9} {:<16} {:<10} {median:>8} charges/s", point.curve, point.store).ok();
        }
        text
    }

    /// Writes `README.md` and the charts.
    pub fn write(&self, directory: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("ratios.svg"), chart::ratios(&self.figures))?;
        std::fs::write(directory.join("throughput.svg"), chart::throughput(&self.figures))?;
        if !self.growth.is_empty() {
            std::fs::write(directory.join("growth.svg"), chart::growth(&self.growth))?;
        }
        std::fs::write(directory.join("README.md"), self.markdown())
    }

    fn how(&self) -> String {
        let Options { rounds, seconds, users, full, .. } = self.options;
        format!("{rounds} rounds of {seconds} s a contender; {users} users; full tables hold {full} tasks")
    }

    fn markdown(&self) -> String {
        let mut text = String::from(include_str!("page.md"));
        let mut table = String::from(
            "| # | measure | median (spread) | ours | theirs | target | |\n|---|---|---|---|---|---|---|\n",
        );
        for figure in &self.figures {
            writeln!(table, "| {} | {} |", row(figure).join(" | "), verdict(figure)).ok();
        }
        let notes: Vec<String> = self
            .figures
            .iter()
            .filter(|figure| !figure.note.is_empty())
            .map(|figure| format!("- {}: {}", figure.name, figure.note))
            .collect();
        for (mark, with) in [
            ("{machine}", self.machine.as_str()),
            ("{how}", &self.how()),
            ("{table}", table.trim_end()),
            ("{notes}", &notes.join("\n")),
            ("{growth}", &self.growth()),
        ] {
            text = text.replace(mark, with);
        }
        text
    }
}

impl Page<'_> {
    fn growth(&self) -> String {
        if self.growth.is_empty() {
            return "Not measured in this run (`--only growth`, or everything).".to_owned();
        }
        let mut table = String::from("| of | at | store | charges/s (spread) |\n|---|---|---|---|\n");
        for point in &self.growth {
            let Spread { min, median, max } = point.spread();
            let (at, curve, store) = (number(point.at.into()), point.curve, point.store);
            let rates = format!("{} ({}–{})", number(median), number(min), number(max));
            writeln!(table, "| {curve} | {at} | {store} | {rates} |").ok();
        }
        table.push_str("\n![Charges a second with what grows](growth.svg)");
        table
    }
}

fn row(figure: &Figure) -> [String; 6] {
    let Spread { min, median, max } = figure.spread();
    let figures = if figure.samples().len() > 1 {
        format!("{} ({}–{})", number(median), number(min), number(max))
    } else {
        number(median)
    };
    let (ours, theirs) = match &figure.value {
        Value::Ratio { ours, theirs } => {
            let of = |samples: &[f64]| format!("{} {}", number(Spread::of(samples).median), figure.unit);
            (of(ours), of(theirs))
        }
        Value::Absolute(_) => (format!("{} {}", number(median), figure.unit), String::new()),
    };
    let target = match figure.target {
        Target::AtLeast(target) => format!("≥ {}", number(target)),
        Target::AtMost(target) => format!("≤ {}", number(target)),
        Target::Reported => String::new(),
    };
    [figure.number.to_owned(), figure.name.clone(), figures, ours, theirs, target]
}

fn verdict(figure: &Figure) -> &'static str {
    match figure.is_met() {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "",
    }
}

/// Three significant digits, and thousands apart.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    if value.abs() < 100.0 {
        let digits = if value.abs() < 10.0 { 2 } else { 1 };
        let text = format!("{value:.digits$}");
        return if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        };
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let texts = [0.71234, 4.5, 12.0, 99.96, 5_200.4, 1_234_567.0, f64::NAN].map(number);
        assert_eq!(texts, ["0.71", "4.5", "12", "100", "5,200", "1,234,567", "–"]);
    }

    #[test]
    fn a_target_that_is_missed_is_said_to_be() {
        let figure = Figure::ratio("1", "x", (&[1.0], &[2.0]), "charges/s", Target::AtLeast(4.5));
        assert_eq!(verdict(&figure), "**missed**");
        assert_eq!(row(&figure), ["1", "x", "0.5", "1 charges/s", "2 charges/s", "≥ 4.5"]);
    }
}
