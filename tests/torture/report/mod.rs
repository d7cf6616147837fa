//! One page about a run: what was done, what was broken, what was found. As Markdown and as HTML with a timeline.

mod html;
mod markdown;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::answer::Outcome;
use crate::call::Kind;
use crate::checks::Findings;
use crate::fault::Window;
use crate::history::{Moment, Op};

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Violations,
    /// Something was left unresolved or unchecked: that is never a pass.
    Unknown,
}

impl Verdict {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Violations => "violations",
            Self::Unknown => "unknown",
        }
    }

    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Violations => 1,
            Self::Unknown => 2,
        }
    }
}

/// How many deliveries of a kind ended how.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) done: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
}

/// All that the page tells.
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) command: String,
    /// What ran: store, replicas, clients, users, binary.
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) tallies: BTreeMap<Kind, Tally>,
    pub(crate) windows: Vec<Window>,
    /// Faults that did not run, and why.
    pub(crate) not_run: Vec<(String, String)>,
    /// Unknown outcomes at the end of the load, and how many of them were left.
    pub(crate) unknown: (usize, usize),
    /// By fault, in seconds from healed to the first acknowledged write, in order.
    pub(crate) recoveries: BTreeMap<&'static str, Vec<f64>>,
    /// When writes were acknowledged.
    pub(crate) acknowledged: Vec<Moment>,
    /// When the load ended.
    pub(crate) over: Moment,
    pub(crate) findings: Findings,
    /// Why it is not known, if it is not.
    pub(crate) doubts: Vec<String>,
}

impl Report {
    pub(crate) fn verdict(&self) -> Verdict {
        if self.findings.count() > 0 {
            Verdict::Violations
        } else if self.doubts.is_empty() && self.unknown.1 == 0 {
            Verdict::Pass
        } else {
            Verdict::Unknown
        }
    }

    pub(crate) fn markdown(&self) -> String {
        markdown::render(self)
    }

    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let with = |extension: &str| -> PathBuf {
            let mut name = path.as_os_str().to_owned();
            name.push(extension);
            PathBuf::from(name)
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(with(".md"), self.markdown())?;
        std::fs::write(with(".html"), html::render(self))
    }

    fn all_recoveries(&self) -> Vec<f64> {
        let mut all: Vec<f64> = self.recoveries.values().flatten().copied().collect();
        all.sort_by(f64::total_cmp);
        all
    }
}

/// Counts by kind; the items of a batch count as one call.
pub(crate) fn tallies(history: &[Op]) -> BTreeMap<Kind, Tally> {
    let mut tallies: BTreeMap<Kind, Tally> = BTreeMap::new();
    for op in history {
        let tally = tallies.entry(op.call.kind()).or_default();
        tally.sent += 1;
        match op.outcome() {
            Some(Outcome::Ok(_) | Outcome::Each(_)) => tally.done += 1,
            Some(Outcome::Fail(_)) => tally.refused += 1,
            Some(Outcome::Info { .. }) | None => tally.unknown += 1,
        }
    }
    tallies
}

/// From the end of each fault to the first write that was acknowledged after it, in seconds. The time in which others
/// still or already kept everybody from writing (`blocked`) is not counted.
pub(crate) fn recoveries(
    windows: &[Window],
    blocked: &[(Moment, Moment)],
    acknowledged: &[Moment],
) -> BTreeMap<&'static str, Vec<f64>> {
    let mut blocked = blocked.to_vec();
    blocked.sort_unstable();
    let mut recoveries: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    for window in windows {
        let next = acknowledged.partition_point(|&at| at < window.healed);
        let Some(&first) = acknowledged.get(next) else { continue };
        let (mut counted, mut from) = (0, window.healed);
        for &(begun, healed) in &blocked {
            counted += begun.min(first).saturating_sub(from);
            from = from.max(healed);
        }
        counted += first.saturating_sub(from);
        recoveries.entry(window.fault.name()).or_default().push(counted as f64 / 1e6);
    }
    recoveries.values_mut().for_each(|times| times.sort_by(f64::total_cmp));
    recoveries
}

/// The middle and the largest of what is in order.
fn middle_and_most(sorted: &[f64]) -> Option<(f64, f64)> {
    Some((*sorted.get(sorted.len() / 2)?, *sorted.last()?))
}
