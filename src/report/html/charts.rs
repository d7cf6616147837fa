//! Which figures the page draws: cost and revenue per day, margin per model, cost per account, findings by rule.

use std::cmp::Reverse;

use super::super::Options;
use super::super::figures::{grouped, percent, rate, rounded, usd};
use super::super::names;
use super::super::sheet;
use super::super::table::cut;
use super::super::words::{Charts, Words, fill};
use super::chart::{Bar, Pair, bars, columns};
use super::{Html, severity_class, table};
use crate::audit::Report;
use crate::audit::report::TaskSums;

/// The most bars of a chart; the last stands for all others.
const MOST_BARS: usize = 12;

/// The most days with columns of their own; longer periods are drawn by seven days.
const MOST_DAYS: usize = 62;

/// Columns of a label on the narrowest page.
const LABEL: usize = 34;

/// Writes every chart that has something to show.
pub(super) fn all(page: &mut Html, report: &Report, options: &Options) {
    let words = Words::of(options.language);
    let rate = rate(report.rates.fen_per_usd);
    if report.totals.sums.tasks > 0 {
        by_day(page, report, words, options);
    }
    let (words, note) = (&words.charts, fill(words.charts.margin_note, &[&rate]));
    let cards = [
        (words.margin, note.as_str(), margins(report, words)),
        (words.account, words.account_note, accounts(report, words)),
        (words.rules, words.rules_note, rules(report, options)),
    ];
    if cards.iter().any(|(_, _, bars)| !bars.is_empty()) {
        page.raw("<div class=\"charts\">\n");
        cards.iter().for_each(|(title, note, bars)| card(page, title, note, bars));
        page.raw("</div>\n");
    }
}

fn card(page: &mut Html, title: &str, note: &str, all: &[Bar]) {
    if all.is_empty() {
        return;
    }
    page.raw("<figure class=\"card\"><figcaption><h2>")
        .text(title)
        .raw("</h2><p class=\"quiet\">")
        .text(note);
    page.raw("</p></figcaption>\n");
    bars(page, title, all);
    page.raw("</figure>\n");
}

fn by_day(page: &mut Html, report: &Report, words: &Words, options: &Options) {
    let days = sheet::every_day(report);
    let each = if days.len() > MOST_DAYS { 7 } else { 1 };
    let pairs: Vec<Pair> = days
        .chunks(each)
        .filter_map(|days| {
            let first = days.first()?.0.to_string();
            let mut sums = (0_i128, 0_i128);
            for (_, of) in days {
                sums = (sums.0.saturating_add(of.cost_nano_usd), sums.1.saturating_add(of.net_points()));
            }
            let values = [sums.0, rounded(report.rates.fen_per_usd.nano_usd(sums.1))];
            let told = format!(
                "{first}{}{} {}{}{} {}",
                words.colon,
                words.columns.cost,
                usd(values[0]),
                words.comma,
                words.columns.revenue,
                usd(values[1])
            );
            // The year is in the page's title.
            let label = first.split_once('-').map_or_else(|| first.clone(), |(_, rest)| rest.to_owned());
            Some(Pair { label, values, told })
        })
        .collect();
    let charts = &words.charts;
    let note = if each == 1 { charts.by_day_note } else { charts.by_week_note };
    page.raw("<figure class=\"card\"><figcaption><h2>").text(charts.by_day).raw("</h2><p class=\"quiet\">");
    page.text(&fill(note, &[&rate(report.rates.fen_per_usd)])).raw("</p><p class=\"legend\">");
    for (class, name) in [("cost", words.columns.cost), ("revenue", words.columns.revenue)] {
        page.put(format_args!("<span class=\"key {class}\"></span>")).text(name).raw(" ");
    }
    page.raw("</p></figcaption>\n");
    columns(page, charts.by_day, &pairs, ["cost", "revenue"]);
    page.raw("<details><summary>").text(charts.figures).raw("</summary>");
    table(page, words.by_day, &sheet::days(report, words, options.max_rows), words);
    page.raw("</details></figure>\n");
}

/// The largest margins and losses first, the rest together.
fn margins(report: &Report, words: &Charts) -> Vec<Bar> {
    let with_tasks = report.models.iter().filter(|row| row.sums.tasks > 0);
    let mut models: Vec<(String, TaskSums)> =
        with_tasks.map(|row| (row.model.to_string(), row.sums)).collect();
    let margin = |sums: &TaskSums| sums.margin_nano_usd(&report.rates);
    models.sort_by_cached_key(|(name, sums)| (Reverse(margin(sums).saturating_abs()), name.clone()));
    let rest = split_rest(&mut models);
    if !rest.is_empty() {
        // Summed as points and dollars: values are not summed once rounded.
        let mut sums = TaskSums::default();
        for (_, of) in &rest {
            sums.charged_points = sums.charged_points.saturating_add(of.charged_points);
            sums.refunded_points = sums.refunded_points.saturating_add(of.refunded_points);
            sums.cost_nano_usd = sums.cost_nano_usd.saturating_add(of.cost_nano_usd);
        }
        models.push((fill(words.others, &[&grouped(rest.len() as u64)]), sums));
    }
    let bar = |(name, sums): (String, TaskSums)| {
        let value = margin(&sums);
        let revenue = report.rates.fen_per_usd.nano_usd(sums.net_points());
        let share = percent(value, revenue).map_or_else(String::new, |share| format!(" ({share})"));
        let class = if value < 0 { "loss" } else { "revenue" };
        Bar { label: cut(&name, LABEL), value, shown: format!("{}{share}", usd(rounded(value))), class }
    };
    let mut bars: Vec<Bar> = models.into_iter().map(bar).collect();
    bars.sort_by_key(|bar| Reverse(bar.value));
    bars
}

/// What is beyond the most bars, where the last of them is kept for it.
fn split_rest<T>(all: &mut Vec<T>) -> Vec<T> {
    if all.len() > MOST_BARS { all.split_off(MOST_BARS.saturating_sub(1)) } else { Vec::new() }
}

fn accounts(report: &Report, words: &Charts) -> Vec<Bar> {
    let mut rows: Vec<(String, i128)> = report
        .workspaces
        .iter()
        .map(|row| (sheet::workspace_name(row), row.official_cost_nano_usd))
        .collect();
    rows.sort_by_key(|(_, cost)| Reverse(*cost));
    let rest = split_rest(&mut rows);
    if !rest.is_empty() {
        let cost = rest.iter().fold(0, |sum: i128, (_, cost)| sum.saturating_add(*cost));
        rows.push((fill(words.others, &[&grouped(rest.len() as u64)]), cost));
    }
    let bar = |(name, value): (String, i128)| Bar {
        label: cut(&name, LABEL),
        value,
        shown: usd(value),
        class: "cost",
    };
    rows.into_iter().map(bar).collect()
}

fn rules(report: &Report, options: &Options) -> Vec<Bar> {
    let mut counts: Vec<_> = report.findings.rules.iter().collect();
    counts.sort_by_key(|(rule, _)| (rule.severity(), **rule));
    let bar = |(rule, count): (&crate::audit::Rule, &u64)| Bar {
        label: format!("{rule}  {}", names::rule(*rule, options.language)),
        value: (*count).into(),
        shown: grouped(*count),
        class: severity_class(rule.severity()),
    };
    counts.into_iter().map(bar).collect()
}
