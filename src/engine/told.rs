//! What a lane tells of its batches: their spans, what they moved, what was run again.

use tracing::Span;

use super::EngineError;
use super::judge::Decided;
use super::pursuit::Next;
use super::queue::Job;
use crate::ledger::{Entry, Operation, Purse};
use crate::meter::{self, Moved, Unknown};
use crate::store::Run;

/// The span of a batch, linked to those of its calls; none where no call has one.
pub(super) fn span(jobs: &[Job]) -> Span {
    if jobs.iter().all(|job| job.span.is_disabled()) {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: meter::SPANS, parent: None, "batch", otel.name = "batch", scrip.batch.jobs = jobs.len()
    );
    jobs.iter().for_each(|job| {
        span.follows_from(&job.span);
    });
    span
}

/// What a batch moved, for the instruments alone: amounts are summed without their signs.
pub(super) fn moved(decided: &[Decided]) -> Moved {
    let mut moved = Moved::default();
    let outcomes = decided.iter().filter_map(|decided| match decided {
        Decided::Ledger(outcomes) => Some(outcomes),
        Decided::Keys(_) => None,
    });
    for entry in outcomes.flatten().flatten().flat_map(|done| &done.entries) {
        let Entry { operation, purse, amount, .. } = &**entry;
        let index = match operation {
            Operation::Charge => 0,
            Operation::Capture => 1,
            Operation::Refund => 2,
            Operation::Credit => 3,
            Operation::Debit => 4,
        };
        let (entries, points, cash) = &mut moved.by_operation[index];
        *entries += 1;
        let sum = if *purse == Purse::Points { points } else { cash };
        *sum = sum.saturating_add(amount.unsigned_abs());
    }
    moved
}

/// Counts that a batch is run again, and what becomes of a commit that was not answered.
pub(super) fn run(meter: &meter::Engine, (was, is): (Run, Run), next: &Next) {
    match (was, is) {
        (Run::First, Run::Resolving) => meter.unknown(Unknown::Pursued),
        (Run::Resolving, Run::First) => meter.unknown(match next {
            Next::Failed(EngineError::OutcomeUnknown) => Unknown::GivenUp,
            _ => Unknown::Resolved,
        }),
        _ => {}
    }
    match next {
        Next::Again(_) if is == Run::Resolving => meter.retried("unknown"),
        Next::Again(_) => meter.retried("conflict"),
        _ => {}
    }
}
