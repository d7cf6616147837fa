//! Where findings and costs go as they arise: a million of either need not be in memory.

use super::{CostChange, Finding};

/// Takes what an audit brings forth, in an order that the same rows always give.
pub trait Sink {
    /// A rule fired.
    fn finding(&mut self, finding: Finding);

    /// A task's billed cost is to be recorded, if costs are applied.
    fn cost(&mut self, change: CostChange);
}

/// Keeps everything until it is taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// The findings, in the order they arose.
    pub findings: Vec<Finding>,
    /// The costs to record, likewise.
    pub costs: Vec<CostChange>,
}

impl Sink for Collected {
    fn finding(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn cost(&mut self, change: CostChange) {
        self.costs.push(change);
    }
}
