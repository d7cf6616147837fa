//! The report as one page of HTML: nothing is fetched, nothing runs. Light and dark as the reader's system is, narrow
//! and wide, on paper as well. Every text is escaped by [`Html::text`]; nothing else writes what others wrote.

mod chart;
mod charts;

use std::borrow::Borrow;
use std::fmt::Write as _;
use std::io::{self, Write};

use super::figures::{grouped, moment, percent, rate, rfc3339, rounded, usd};
use super::names;
use super::sheet::{self, Sheet};
use super::table::{Cell, Side, Tone, plain};
use super::words::{Words, fill};
use super::worst::{Shown, unsaid, verdict};
use super::{Gaps, Options};
use crate::audit::{Finding, Report, Severity};

/// The whole look of the page.
const STYLE: &str = include_str!("style.css");

/// Writes the whole page. It is made in memory: its rows and findings are bounded.
pub(super) fn write<F: Borrow<Finding>>(
    report: &Report,
    gaps: &Gaps,
    findings: &Shown<F>,
    options: &Options,
    out: &mut impl Write,
) -> io::Result<()> {
    let words = Words::of(options.language);
    let mut page = Html::default();
    head(&mut page, report, gaps, options);
    tiles(&mut page, report, words);
    charts::all(&mut page, report, options);
    let most = options.max_rows;
    let layers = [
        (words.layer1, sheet::workspaces(report, words, most)),
        (words.layer2, sheet::tasks(report, words, most)),
        (words.layer3, sheet::users(report, words, most)),
        (words.money, sheet::money(report, words)),
    ];
    for (title, sheet) in &layers {
        page.raw("<section class=\"card\"><h2>").text(title).raw("</h2>");
        table(&mut page, title, sheet, words);
        page.raw("</section>\n");
    }
    missing(&mut page, gaps, options);
    list(&mut page, report, findings, options);
    page.raw("</main>\n</body>\n</html>\n");
    out.write_all(page.0.as_bytes())
}

/// A page as it grows.
#[derive(Debug, Default)]
struct Html(String);

impl Html {
    /// Markup of this room's own.
    fn raw(&mut self, markup: &str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Markup of this room's own with figures of its own in it.
    fn put(&mut self, markup: std::fmt::Arguments<'_>) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = self.0.write_fmt(markup);
        self
    }

    /// Anything else, in an element or in a quoted attribute.
    fn text(&mut self, text: &str) -> &mut Self {
        for c in plain(text).chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        self
    }
}

fn head(page: &mut Html, report: &Report, gaps: &Gaps, options: &Options) {
    let words = Words::of(options.language);
    let [start, end, now] = [report.start, report.end, report.now].map(|at| moment(at, &options.timezone));
    let period = fill(words.period, &[&start, &end]);
    page.put(format_args!("<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n", words.tag))
        .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
        .raw("<meta name=\"color-scheme\" content=\"light dark\">\n")
        .raw("<meta name=\"referrer\" content=\"no-referrer\">\n")
        // Should a text ever get past the escaping, it can still load and run nothing.
        .raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>")
        .text(words.title)
        .text(words.colon)
        .text(&period)
        .raw("</title>\n<style>\n")
        .raw(STYLE)
        .raw("</style>\n</head>\n<body>\n<main>\n<header><h1>")
        .text(words.title)
        .raw("</h1><p class=\"period\">")
        .text(&period)
        .raw("</p><p class=\"quiet\">");
    let rates = [report.rates.points_per_usd, report.rates.fen_per_usd].map(rate);
    let as_of = fill(words.as_of, &["\u{1}"]);
    let (before, after) = as_of.split_once('\u{1}').unwrap_or((&as_of, ""));
    page.text(before)
        .put(format_args!("<time datetime=\"{}\">", rfc3339(report.now)))
        .text(&now)
        .raw("</time>")
        .text(after)
        .raw("<br>")
        .text(&fill(words.rates, &[&rates[0], &rates[1]]))
        .raw("</p></header>\n");
    let (tone, verdict) = verdict(report, gaps, words);
    let class = match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Plain | Tone::Strong => "fair",
    };
    page.put(format_args!("<p class=\"verdict {class}\">")).text(&verdict).raw("</p>\n");
}

/// The figures that come first.
fn tiles(page: &mut Html, report: &Report, words: &Words) {
    let (totals, rates) = (&report.totals, &report.rates);
    let points = totals.sums.net_points();
    let [quoted, revenue] = [rates.points_per_usd, rates.fen_per_usd].map(|rate| rate.nano_usd(points));
    let margin = totals.sums.margin_nano_usd(rates);
    let share = percent(margin, revenue).unwrap_or_default();
    let at_quote = fill(words.amounts.at_quote, &[&rate(rates.points_per_usd)]);
    let at_real = fill(words.amounts.at_real, &[&rate(rates.fen_per_usd)]);
    let amounts = &words.amounts;
    let tasks = format!("{} {}", grouped(totals.sums.tasks), words.columns.tasks.to_lowercase());
    let events = format!("{} {}", grouped(totals.events.events), words.columns.events.to_lowercase());
    let quoted = format!("{at_quote}{}{}", words.colon, usd(rounded(quoted)));
    let disagree = fill(words.notes.not_ok, &[&grouped(totals.users.not_ok), &grouped(totals.users.users)]);
    let bad = |is_bad: bool| if is_bad { " bad" } else { "" };
    let tiles = [
        (amounts.official, usd(totals.official_cost_nano_usd), vec![events], ""),
        (amounts.cost, usd(totals.sums.cost_nano_usd), vec![tasks], ""),
        (amounts.revenue, usd(rounded(revenue)), vec![at_real.clone(), quoted], ""),
        (amounts.margin, usd(rounded(margin)), vec![share, at_real], bad(margin < 0)),
        (words.findings, grouped(report.findings.total()), vec![disagree], bad(report.findings.high > 0)),
    ];
    page.raw("<div class=\"tiles\">\n");
    for (name, figure, notes, class) in tiles {
        page.put(format_args!("<div class=\"tile{class}\"><span>"))
            .text(name)
            .raw("</span><strong>")
            .text(&figure);
        page.raw("</strong>");
        for note in notes.iter().filter(|note| !note.is_empty()) {
            page.raw("<small>").text(note).raw("</small>");
        }
        page.raw("</div>\n");
    }
    page.raw("</div>\n");
}

fn table(page: &mut Html, title: &str, sheet: &Sheet, words: &Words) {
    if sheet.rows.is_empty() {
        page.raw("<p class=\"quiet\">").text(words.nothing).raw("</p>");
    } else {
        page.raw("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"").text(title);
        page.raw("\"><table><thead><tr>");
        for (title, side) in &sheet.columns {
            page.raw("<th scope=\"col\"").raw(class(*side, Tone::Plain)).raw(">").text(title).raw("</th>");
        }
        page.raw("</tr></thead>\n<tbody>\n");
        for row in &sheet.rows {
            line(page, row, sheet);
        }
        page.raw("</tbody>");
        if let Some(total) = &sheet.total {
            page.raw("<tfoot>");
            line(page, total, sheet);
            page.raw("</tfoot>");
        }
        page.raw("</table></div>");
    }
    let left_out =
        (sheet.left_out > 0).then(|| fill(words.notes.rows_left_out, &[&grouped(sheet.left_out as u64)]));
    for note in left_out.iter().chain(&sheet.notes) {
        page.raw("<p class=\"quiet\">").text(note).raw("</p>");
    }
}

fn line(page: &mut Html, cells: &[Cell], sheet: &Sheet) {
    page.raw("<tr>");
    for (cell, (_, side)) in cells.iter().zip(&sheet.columns) {
        page.raw("<td").raw(class(*side, cell.tone)).raw(">");
        if *side == Side::Right || cell.text.is_empty() {
            page.text(&cell.text);
        } else {
            // A long name may break where its parts meet.
            for (at, part) in cell.text.split('/').enumerate() {
                page.raw(if at == 0 { "<span>" } else { "/<wbr>" }).text(part);
            }
            page.raw("</span>");
        }
        page.raw("</td>");
    }
    page.raw("</tr>\n");
}

const fn class(side: Side, tone: Tone) -> &'static str {
    match (side, tone) {
        (Side::Left, Tone::Plain | Tone::Strong) => "",
        (Side::Left, Tone::Good) => " class=\"good\"",
        (Side::Left, Tone::Bad) => " class=\"bad\"",
        (Side::Right, Tone::Plain | Tone::Strong) => " class=\"n\"",
        (Side::Right, Tone::Good) => " class=\"n good\"",
        (Side::Right, Tone::Bad) => " class=\"n bad\"",
    }
}

/// The class of a severity.
const fn severity_class(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "high",
        Severity::Medium => "medium",
        Severity::Low => "low",
    }
}

/// What the report does not hold.
fn missing(page: &mut Html, gaps: &Gaps, options: &Options) {
    let words = Words::of(options.language);
    let sentences = gaps.sentences(words, options.language);
    if sentences.is_empty() {
        return;
    }
    page.raw("<section class=\"card\"><h2>").text(words.gaps).raw("</h2>\n");
    for sentence in sentences {
        page.raw("<p>").text(&sentence).raw("</p>\n");
    }
    page.raw("</section>\n");
}

/// The findings, the counts of each severity above them.
fn list<F: Borrow<Finding>>(page: &mut Html, report: &Report, shown: &Shown<F>, options: &Options) {
    let (language, words) = (options.language, Words::of(options.language));
    page.raw("<section class=\"card\"><h2>").text(words.findings).raw("</h2>\n<p class=\"counts\">");
    for severity in Severity::ALL {
        page.put(format_args!("<span class=\"pill {}\">", severity_class(*severity)))
            .text(&format!(
                "{} {}",
                names::severity(*severity, language),
                grouped(report.findings.of(*severity))
            ))
            .raw("</span> ");
    }
    page.raw("</p>\n");
    if shown.findings.is_empty() && shown.left_out == 0 {
        page.raw("<p class=\"quiet\">").text(words.no_findings).raw("</p>");
    }
    page.raw("<ol class=\"findings\">\n");
    for finding in &shown.findings {
        let finding = finding.borrow();
        let severity = finding.severity;
        page.put(format_args!("<li><span class=\"pill {}\">", severity_class(severity)))
            .text(names::severity(severity, language))
            .raw("</span><b title=\"")
            .text(names::rule(finding.rule, language))
            .raw("\">")
            .text(finding.rule.as_str())
            .raw("</b><div><p>")
            .text(&finding.message(language))
            .raw("</p>");
        let unsaid = unsaid(finding, language);
        if !unsaid.is_empty() {
            page.raw("<p class=\"quiet\">").text(&unsaid.join(words.comma)).raw("</p>");
        }
        page.raw("</div></li>\n");
    }
    page.raw("</ol>\n");
    if shown.left_out > 0 {
        let sentence = fill(words.notes.findings_left_out, &[&grouped(shown.left_out)]);
        page.raw("<p class=\"quiet\">").text(&sentence).raw("</p>");
    }
    page.raw("</section>\n");
}
