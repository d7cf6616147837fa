//! What a run finds, on its way to the store: kept in chunks, so that a million findings need not be in memory.

use super::run::Halt;
use crate::audit::{Collected, Report, Severity};
use crate::store::reconcile::{ReconcileStore, Turn};

/// Rows of one commit.
const CHUNK: usize = 1_000;

/// Gathers findings and costs, and stores them when they are many.
pub(super) struct Keeper<'a> {
    store: &'a dyn ReconcileStore,
    turn: Turn,
    /// What came forth and is not stored yet.
    pub(super) out: Collected,
    findings: i64,
    costs: i64,
    severities: [i64; 3],
}

impl<'a> Keeper<'a> {
    pub(super) fn new(store: &'a dyn ReconcileStore, turn: Turn) -> Self {
        Self { store, turn, out: Collected::default(), findings: 0, costs: 0, severities: [0; 3] }
    }

    /// Findings stored: high, medium, low.
    pub(super) const fn severities(&self) -> [i64; 3] {
        self.severities
    }

    /// Costs stored.
    pub(super) const fn costs(&self) -> i64 {
        self.costs
    }

    /// Stores what there is if there is enough of it.
    pub(super) async fn flush_many(&mut self) -> Result<(), Halt> {
        if self.out.findings.len() >= CHUNK || self.out.costs.len() >= CHUNK {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// Stores what there is.
    pub(super) async fn flush(&mut self) -> Result<(), Halt> {
        for chunk in self.out.findings.chunks(CHUNK) {
            self.store.add_findings(self.turn, self.findings, chunk).await?;
            self.findings = self.findings.saturating_add(count(chunk.len()));
            for finding in chunk {
                let at = match finding.severity {
                    Severity::High => 0,
                    Severity::Medium => 1,
                    Severity::Low => 2,
                };
                self.severities[at] = self.severities[at].saturating_add(1);
            }
        }
        self.out.findings.clear();
        for chunk in self.out.costs.chunks(CHUNK) {
            self.store.add_costs(self.turn, self.costs, chunk).await?;
            self.costs = self.costs.saturating_add(count(chunk.len()));
        }
        self.out.costs.clear();
        Ok(())
    }

    /// Stores the rows of the three layers, and takes them out of the report.
    pub(super) async fn rows(&self, report: &mut Report) -> Result<(), Halt> {
        self.layer(1, std::mem::take(&mut report.workspaces)).await?;
        self.layer(2, std::mem::take(&mut report.tasks)).await?;
        self.layer(3, std::mem::take(&mut report.users)).await
    }

    async fn layer(&self, layer: i16, rows: Vec<impl serde::Serialize>) -> Result<(), Halt> {
        let mut first = 0;
        for chunk in rows.chunks(CHUNK) {
            let texts = chunk.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
            let texts =
                texts.map_err(|why| Halt::Failed(format!("a row of the report is no JSON: {why}")))?;
            self.store.add_rows(self.turn, layer, first, &texts).await?;
            first += count(chunk.len());
        }
        Ok(())
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
