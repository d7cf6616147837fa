//! The report as one JSON object. Its names and their meaning are in `docs/audit-report.md`; none of them changes within
//! one [`SCHEMA`], new ones may come.

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::io::{self, Write};

use serde::ser::{Serialize, SerializeSeq, Serializer};

use super::figures::rfc3339;
use super::{Gaps, NotFetched, Options};
use crate::audit::{Finding, Language, Report};

/// The version of the object's shape.
const SCHEMA: &str = "scrip.audit.v1";

#[derive(serde::Serialize)]
struct Document<'a, S> {
    schema: &'static str,
    language: &'static str,
    start_time: String,
    end_time: String,
    evidence_time: String,
    state: &'static str,
    not_fetched: &'a [NotFetched],
    unlisted_disagreements: u64,
    /// What the net points are worth and what that leaves, at both rates, in nano-USD.
    worth: [Worth; 2],
    report: &'a Report,
    findings: S,
    /// Serialised last: it counts what was written before.
    findings_left_out: LeftOut<'a>,
}

#[derive(serde::Serialize)]
struct Worth {
    rate: &'static str,
    net_points: i128,
    revenue_nano_usd: i128,
    margin_nano_usd: i128,
}

/// A finding with what it says.
#[derive(serde::Serialize)]
struct Said<'a> {
    #[serde(flatten)]
    finding: &'a Finding,
    message: String,
}

/// Findings written one at a time, as they come.
struct Findings<'a, I> {
    findings: RefCell<I>,
    language: Language,
    written: &'a Cell<u64>,
}

impl<I: Iterator<Item: Borrow<Finding>>> Serialize for Findings<'_, I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(None)?;
        for finding in &mut *self.findings.borrow_mut() {
            let finding = finding.borrow();
            sequence.serialize_element(&Said { finding, message: finding.message(self.language) })?;
            self.written.set(self.written.get().saturating_add(1));
        }
        sequence.end()
    }
}

struct LeftOut<'a> {
    of: u64,
    written: &'a Cell<u64>,
}

impl Serialize for LeftOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.of.saturating_sub(self.written.get()))
    }
}

/// Writes the object and a line feed.
pub(super) fn write<F: Borrow<Finding>>(
    report: &Report,
    gaps: &Gaps,
    findings: impl IntoIterator<Item = F>,
    options: &Options,
    out: &mut impl Write,
) -> io::Result<()> {
    let written = Cell::new(0);
    let rates = &report.rates;
    let sums = &report.totals.sums;
    let worth = |(name, rate): (&'static str, crate::audit::Rate)| {
        let revenue_nano_usd = rate.nano_usd(sums.net_points());
        Worth {
            rate: name,
            net_points: sums.net_points(),
            revenue_nano_usd,
            margin_nano_usd: revenue_nano_usd.saturating_sub(sums.cost_nano_usd),
        }
    };
    let document = Document {
        schema: SCHEMA,
        language: options.language.as_str(),
        start_time: rfc3339(report.start),
        end_time: rfc3339(report.end),
        evidence_time: rfc3339(report.now),
        state: gaps.state(),
        not_fetched: &gaps.not_fetched,
        unlisted_disagreements: gaps.unlisted_disagreements,
        worth: [("points_per_usd", rates.points_per_usd), ("fen_per_usd", rates.fen_per_usd)].map(worth),
        report,
        findings: Findings {
            findings: RefCell::new(findings.into_iter()),
            language: options.language,
            written: &written,
        },
        findings_left_out: LeftOut { of: report.findings.total(), written: &written },
    };
    serde_json::to_writer(&mut *out, &document)?;
    out.write_all(b"\n")
}
