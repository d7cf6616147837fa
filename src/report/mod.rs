//! The audit for people and for programs: on a terminal, as one page of HTML, as JSON, as CSV.
//!
//! [`render`] takes a [`Report`] and its findings, and writes. This room knows the audit and nothing else of the crate;
//! it opens no file, asks no terminal and reads no environment: colour, width and language are handed in.
//!
//! | phase | where | what |
//! |---|---|---|
//! | choose | `worst` | the findings that a person is shown: the most severe first, a stated number |
//! | tables | `sheet` | the three layers, the money and the days as titles, values and totals, shared by terminal and page |
//! | words | `words`, `names` | every word in every language; what findings say is in the audit's own catalogue |
//! | write | `terminal`, `html`, `json`, `csv` | one format each |
//!
//! Amounts are printed exactly: dollars from nano-USD to the last digit. What points are *worth* is rounded to
//! 0.0001 USD where people read it, and to the nano-USD in JSON and CSV.
//!
//! Terminal and page hold a bounded number of rows and findings and say how many they leave out. JSON and CSV write
//! everything they are handed, one at a time.

mod csv;
mod figures;
mod gaps;
mod html;
mod json;
mod names;
mod sheet;
pub(crate) mod table;
mod terminal;
mod words;
mod worst;

use std::borrow::Borrow;
use std::io;

use jiff::tz::TimeZone;

pub use gaps::{Gaps, NotFetched};

use crate::audit::{Finding, Language, Report};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned tables for a terminal.
    Table,
    /// One JSON object and a line feed: see `docs/audit-report.md`.
    Json,
    /// One table of all sections with a leading `section` column (RFC 4180, UTF-8): see `docs/audit-report.md`.
    Csv,
    /// One page that needs nothing else: no script, no font, no picture from elsewhere.
    Html,
}

impl Format {
    /// Every format.
    pub const ALL: &'static [Format] = &[Format::Table, Format::Json, Format::Csv, Format::Html];

    /// Its name, as the command line has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Html => "html",
        }
    }

    /// The format of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| format.as_str() == name)
    }
}

/// Whether a terminal report has colours. The caller knows the terminal and `NO_COLOR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Text alone.
    Plain,
    /// With ANSI's escape sequences.
    Ansi,
}

/// How a report is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Default English.
    pub language: Language,
    /// Default the terminal's tables.
    pub format: Format,
    /// Of the terminal's tables. Default plain.
    pub colour: Colour,
    /// The columns of the terminal; `None`: as many as it takes. Names are cut and messages broken to it; figures never.
    pub width: Option<usize>,
    /// Of tables and page: where the times of their heads are told. Default UTC.
    pub timezone: TimeZone,
    /// Of tables and page: the most rows of each table. Default 200.
    pub max_rows: usize,
    /// Of tables and page: the most findings. Default 200.
    pub max_findings: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            language: Language::English,
            format: Format::Table,
            colour: Colour::Plain,
            width: None,
            timezone: TimeZone::UTC,
            max_rows: 200,
            max_findings: 200,
        }
    }
}

/// Writes a report. `findings` are as many of the report's as the caller has, in any order: the report knows how many
/// there are in all, so that what is not shown is counted; what it cannot know, `gaps` tells. No more than twice `max_findings` of them are held at once.
///
/// # Errors
/// Those of the writer. What was written until then stays written.
pub fn render<F: Borrow<Finding>>(
    report: &Report,
    gaps: &Gaps,
    findings: impl IntoIterator<Item = F>,
    options: &Options,
    out: &mut (impl io::Write + ?Sized),
) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    match options.format {
        Format::Table => {
            terminal::write(report, gaps, &worst::choose(report, findings, options), options, &mut out)
        }
        Format::Html => {
            html::write(report, gaps, &worst::choose(report, findings, options), options, &mut out)
        }
        Format::Json => json::write(report, gaps, findings, options, &mut out),
        Format::Csv => csv::write(report, gaps, findings, options, &mut out),
    }?;
    io::Write::flush(&mut out)
}
