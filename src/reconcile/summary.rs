//! What a run keeps of its report besides findings and rows.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::audit::Report;
use crate::audit::report::{DayRow, ModelRow};

/// The report without the rows of its three layers, and what the report cannot know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Totals and counts; `workspaces`, `tasks` and `users` are empty, and so are `days` and `models` where the run was not
    /// read whole ([`super::Handle::summary`]).
    pub report: Report,
    /// What could not be fetched, by account.
    pub failures: Vec<Failure>,
    /// Broken invariants of the ledger beyond those that are findings of rule B4: `scrip verify` names them all.
    pub unlisted_disagreements: u64,
}

impl Summary {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Puts back what [`Detail::taken_from`] took. What this version cannot read stays away.
    pub(super) fn complete(&mut self, detail: &str) {
        if let Ok(Detail { days, models }) = serde_json::from_str(detail) {
            (self.report.days, self.report.models) = (days, models);
        }
    }

    /// Whether something is missing: it could not be fetched, or nobody is left who could fetch it.
    pub(super) fn is_partial(&self) -> bool {
        !self.failures.is_empty() || self.report.totals.unjudged_tasks > 0
    }

    /// Reads what a run kept; `None` before it has judged, or for what this version cannot read.
    pub fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

/// What of the report grows with the period and the models: a list of runs does without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Detail {
    days: Vec<DayRow>,
    models: Vec<ModelRow>,
}

impl Detail {
    pub(super) fn taken_from(report: &mut Report) -> Self {
        Self { days: std::mem::take(&mut report.days), models: std::mem::take(&mut report.models) }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
