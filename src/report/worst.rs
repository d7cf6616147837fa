//! What a person is told first: the verdict, and the findings, the most severe first, no more than was asked for.

use std::borrow::Borrow;

use super::figures::{self, grouped};
use super::names;
use super::table::Tone;
use super::words::{Words, fill};
use super::{Gaps, Options};
use crate::audit::{Figure, Finding, Language, Rate, Report};

/// What the audit comes to, in a sentence: good, bad, or neither. Where some evidence is missing, silence is no proof.
pub(super) fn verdict(report: &Report, gaps: &Gaps, words: &Words) -> (Tone, String) {
    let (counts, totals, notes) = (&report.findings, &report.totals, &words.notes);
    let is_partial =
        gaps.is_partial || totals.unjudged_tasks > 0 || report.workspaces.iter().any(|row| !row.complete);
    let is_empty = totals.sums.tasks == 0 && totals.events.events == 0 && totals.users.users == 0;
    let all = grouped(counts.total());
    if counts.high > 0 || totals.users.not_ok > 0 {
        let figures = [grouped(counts.high), grouped(totals.users.not_ok)];
        (Tone::Bad, fill(notes.disagree, &[&figures[0], &figures[1]]))
    } else if is_partial {
        (Tone::Plain, fill(notes.partial, &[&all]))
    } else if counts.total() > 0 {
        (Tone::Plain, fill(notes.worth_a_look, &[&all]))
    } else if is_empty {
        (Tone::Plain, notes.empty.to_owned())
    } else {
        (Tone::Good, notes.agree.to_owned())
    }
}

/// The findings to show, and how many there are beyond those.
#[derive(Debug)]
pub(super) struct Shown<F> {
    pub(super) findings: Vec<F>,
    pub(super) left_out: u64,
}

/// Keeps the `max_findings` that come first by severity, rule and ids.
pub(super) fn choose<F: Borrow<Finding>>(
    report: &Report,
    findings: impl IntoIterator<Item = F>,
    options: &Options,
) -> Shown<F> {
    let most = options.max_findings;
    let mut kept: Vec<F> = Vec::new();
    let mut seen = 0_u64;
    for finding in findings {
        seen = seen.saturating_add(1);
        kept.push(finding);
        if kept.len() > most.saturating_mul(2).max(64) {
            keep(&mut kept, most);
        }
    }
    keep(&mut kept, most);
    let left_out = report.findings.total().max(seen).saturating_sub(kept.len() as u64);
    Shown { findings: kept, left_out }
}

fn keep<F: Borrow<Finding>>(findings: &mut Vec<F>, most: usize) {
    findings.sort_by(|one, other| {
        let (one, other) = (one.borrow(), other.borrow());
        one.severity.cmp(&other.severity).then_with(|| one.cmp(other))
    });
    findings.truncate(most);
}

/// The ids and figures that a finding's message does not say, each as `name value`.
pub(super) fn unsaid(finding: &Finding, language: Language) -> Vec<String> {
    let number = |id: Option<i64>| id.map(|id| Figure::Number(id.into()));
    let text = |id: &Option<crate::audit::Text>| id.as_ref().map(Figure::from);
    let ids = [
        ("workspace", text(&finding.workspace)),
        ("account_id", number(finding.account_id)),
        ("user_id", number(finding.user_id)),
        ("task_id", text(&finding.task_id)),
        ("online_task_id", text(&finding.online_task_id)),
        ("app_name", text(&finding.app_name)),
    ];
    let ids = ids.into_iter().filter_map(|(name, id)| Some((name, id?)));
    let figures = finding.evidence.iter().map(|(name, figure)| (name, figure.clone()));
    let unsaid =
        ids.chain(figures).filter(|(name, figure)| !is_noise(finding, name, figure) && !finding.says(name));
    let print = |(name, figure): (&str, Figure)| {
        let printed = rate_of(finding, name).unwrap_or_else(|| figure.print(name, language));
        format!("{} {printed}", names::figure(name, language).unwrap_or(name))
    };
    unsaid.map(print).collect()
}

/// What tells a reader nothing: which kind of a rule it is, no ids, the one request that is named already, and the
/// lower half of a fraction.
fn is_noise(finding: &Finding, name: &str, figure: &Figure) -> bool {
    match figure {
        Figure::List(items) => {
            let named = finding.online_task_id.as_ref();
            items.is_empty() || (name == "request_ids" && items.len() == 1 && items.first() == named)
        }
        _ => name == "of" || name == "fen_per_usd_denominator",
    }
}

/// A rate whose halves are figures of their own.
fn rate_of(finding: &Finding, name: &str) -> Option<String> {
    if name != "fen_per_usd_numerator" {
        return None;
    }
    let half = |name| u32::try_from(finding.evidence.number(name)?).ok();
    Rate::new(half(name)?, half("fen_per_usd_denominator")?).map(figures::rate)
}
