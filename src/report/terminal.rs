//! The report on a terminal: three layers as aligned tables, the money, the findings by severity, the counts.

use std::borrow::Borrow;
use std::io::{self, Write};

use jiff::tz::TimeZone;

use super::figures::{grouped, moment, rate};
use super::names;
use super::sheet::{self, Sheet};
use super::table::{Cell, Lines, Paint, Side, Table, Tone, plain, wrap};
use super::words::{Words, fill};
use super::worst::{Shown, unsaid, verdict};
use super::{Colour, Gaps, Options};
use crate::audit::{Finding, Language, Report, Severity};

/// Names are cut to this, however wide the terminal.
const WIDEST_NAME: usize = 48;

/// Messages are broken at this where no width is given, and at no less than [`NARROWEST`].
const USUAL_WIDTH: usize = 100;
const NARROWEST: usize = 40;

/// Before what is said of a finding: the width of severity and rule.
const INDENT: usize = 12;

struct Page<'a, W: Write> {
    out: &'a mut W,
    paint: Paint,
    words: &'static Words,
    language: Language,
    width: Option<usize>,
}

impl<W: Write> Lines for Page<'_, W> {
    fn paint(&self) -> Paint {
        self.paint
    }

    fn write_line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }
}

/// Writes the whole report.
pub(super) fn write<F: Borrow<Finding>>(
    report: &Report,
    gaps: &Gaps,
    findings: &Shown<F>,
    options: &Options,
    out: &mut impl Write,
) -> io::Result<()> {
    let words = Words::of(options.language);
    let paint = Paint(options.colour == Colour::Ansi);
    let mut page = Page { out, paint, words, language: options.language, width: options.width };
    page.head(report, &options.timezone)?;
    let most = options.max_rows;
    page.sheet(words.layer1, &sheet::workspaces(report, words, most))?;
    page.sheet(words.layer2, &sheet::tasks(report, words, most))?;
    page.sheet(words.layer3, &sheet::users(report, words, most))?;
    page.sheet(words.money, &sheet::money(report, words))?;
    page.gaps(gaps)?;
    page.findings(findings)?;
    page.counts(report, gaps)
}

impl<W: Write> Page<'_, W> {
    fn head(&mut self, report: &Report, zone: &TimeZone) -> io::Result<()> {
        let words = self.words;
        let [start, end, now] = [report.start, report.end, report.now].map(|at| moment(at, zone));
        let period = fill(words.period, &[&start, &end]);
        let title = self.paint.bold(words.title);
        self.write_line(&format!("{title}{}{period}", words.colon))?;
        let rates = [report.rates.points_per_usd, report.rates.fen_per_usd].map(rate);
        self.say(&fill(words.as_of, &[&now]))?;
        self.say(&fill(words.rates, &[&rates[0], &rates[1]]))
    }

    /// A sentence in the background.
    fn say(&mut self, sentence: &str) -> io::Result<()> {
        for line in wrap(&plain(sentence), self.text_width()) {
            let line = self.paint.dim(&line);
            self.write_line(&line)?;
        }
        Ok(())
    }

    fn text_width(&self) -> usize {
        self.width.unwrap_or(USUAL_WIDTH).max(NARROWEST)
    }

    fn heading(&mut self, title: &str) -> io::Result<()> {
        let title = self.paint.bold(title);
        self.write_line("")?;
        self.write_line(&title)
    }

    fn sheet(&mut self, title: &str, sheet: &Sheet) -> io::Result<()> {
        self.heading(title)?;
        if sheet.rows.is_empty() {
            self.say(self.words.nothing)?;
        } else {
            let titles: Vec<String> = sheet.columns.iter().map(|(title, _)| title.to_uppercase()).collect();
            let columns: Vec<(&str, Side, usize)> = titles
                .iter()
                .zip(&sheet.columns)
                .map(|(title, (_, side))| (title.as_str(), *side, 0))
                .collect();
            let rows: Vec<Vec<Cell>> = sheet.rows.iter().chain(&sheet.total).cloned().collect();
            Table::new(&columns).within(WIDEST_NAME, self.width.unwrap_or(usize::MAX)).print(self, &rows)?;
        }
        if sheet.left_out > 0 {
            self.say(&fill(self.words.notes.rows_left_out, &[&grouped(sheet.left_out as u64)]))?;
        }
        sheet.notes.iter().try_for_each(|note| self.say(note))
    }

    /// What the report does not hold.
    fn gaps(&mut self, gaps: &Gaps) -> io::Result<()> {
        let sentences = gaps.sentences(self.words, self.language);
        if sentences.is_empty() {
            return Ok(());
        }
        self.heading(self.words.gaps)?;
        for sentence in sentences {
            for line in wrap(&plain(&sentence), self.text_width()) {
                self.write_line(&line)?;
            }
        }
        Ok(())
    }

    fn findings<F: Borrow<Finding>>(&mut self, shown: &Shown<F>) -> io::Result<()> {
        self.heading(self.words.findings)?;
        if shown.findings.is_empty() && shown.left_out == 0 {
            return self.say(self.words.no_findings);
        }
        for finding in &shown.findings {
            self.finding(finding.borrow())?;
        }
        if shown.left_out > 0 {
            self.say(&fill(self.words.notes.findings_left_out, &[&grouped(shown.left_out)]))?;
        }
        Ok(())
    }

    /// Severity and rule, the message beside them, below it what the message does not say.
    fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        let severity = names::severity(finding.severity, self.language);
        // A Chinese character is two columns wide: the rule stands where it would after MEDIUM.
        let gap = " ".repeat(8_usize.saturating_sub(unicode_width::UnicodeWidthStr::width(severity)));
        let severity = match finding.severity {
            Severity::High => self.paint.red(severity),
            Severity::Medium => self.paint.yellow(severity),
            Severity::Low => self.paint.dim(severity),
        };
        let mut before = format!("{severity}{gap}{}  ", finding.rule);
        let width = self.text_width().saturating_sub(INDENT);
        for line in wrap(&plain(&finding.message(self.language)), width) {
            self.write_line(&format!("{before}{line}"))?;
            before = " ".repeat(INDENT);
        }
        let unsaid = unsaid(finding, self.language).join(self.words.comma);
        for line in wrap(&plain(&unsaid), width).iter().filter(|line| !line.is_empty()) {
            let line = self.paint.dim(line);
            self.write_line(&format!("{before}{line}"))?;
        }
        Ok(())
    }

    fn counts(&mut self, report: &Report, gaps: &Gaps) -> io::Result<()> {
        self.heading(self.words.counts)?;
        let counts = &report.findings;
        for severity in Severity::ALL {
            let rules = counts.rules.iter().filter(|(rule, _)| rule.severity() == *severity);
            let rules = rules.map(|(rule, count)| format!("{rule} {}", grouped(*count)));
            let rules = rules.collect::<Vec<_>>().join(self.words.comma);
            let name = names::severity(*severity, self.language);
            let gap = " ".repeat(8_usize.saturating_sub(unicode_width::UnicodeWidthStr::width(name)));
            let line = format!("{name}{gap}{:>7}  {rules}", grouped(counts.of(*severity)));
            self.write_line(line.trim_end())?;
        }
        let verdict = match verdict(report, gaps, self.words) {
            (Tone::Good, verdict) => self.paint.green(&verdict),
            (Tone::Bad, verdict) => self.paint.red(&verdict),
            (Tone::Plain | Tone::Strong, verdict) => self.paint.bold(&verdict),
        };
        self.write_line(&verdict)
    }
}
