//! Runs: how one is begun, how it stands, and who may write to it.

use crate::keypool::AccountId;
use crate::ledger::{Fingerprint, Method, Micros, Text, UserId};
use crate::store::StoreError;

/// A run to be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// The caller's idempotency key (user 0, method `start_reconciliation`); `None` if none was given.
    pub request_id: Option<Text>,
    /// Who asks.
    pub actor: Text,
    /// From when, inclusive.
    pub start: Micros,
    /// Until when, exclusive.
    pub end: Micros,
    /// The accounts it is about; empty for all.
    pub account_ids: Vec<AccountId>,
    /// The users it is about; empty for all.
    pub user_ids: Vec<UserId>,
    /// Whether billed costs are written to the tasks.
    pub apply_costs: bool,
    /// Thresholds, rates and time zone, as JSON: a run that is taken up again judges as it began.
    pub settings: Text,
    /// What a repeat under the `request_id` is compared by.
    pub content: Fingerprint,
}

impl NewRun {
    /// What a `request_id` that is known already means: the method that used it, its content and the run it began.
    pub(in crate::store) fn again(&self, used_for: &str, content: &Fingerprint, began: Option<i64>) -> Begun {
        match began {
            Some(id) if used_for == Method::StartReconciliation.as_str() => {
                self.content.first_difference(content).map_or(Begun::Replay(id), Begun::Reused)
            }
            _ => Begun::Reused("method"),
        }
    }
}

/// What came of beginning one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// A new run.
    New(i64),
    /// The same call began this one before.
    Replay(i64),
    /// The `request_id` was used for something else; the first field that differs.
    Reused(&'static str),
}

/// How a run stands: `scrip_reconciliations.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Not over yet.
    Running,
    /// Over, with all evidence.
    Completed,
    /// Over, with some of it missing.
    Partial,
    /// Given up.
    Failed,
}

impl RunState {
    /// The word stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Completed => "completed",
            RunState::Partial => "partial",
            RunState::Failed => "failed",
        }
    }

    /// Reads a stored word.
    pub fn parse(word: &str) -> Option<Self> {
        [RunState::Running, RunState::Completed, RunState::Partial, RunState::Failed]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// A row of `scrip_reconciliations`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "what NewRun does not say is said here")]
pub struct Run {
    pub id: i64,
    pub state: RunState,
    pub start: Micros,
    pub end: Micros,
    pub account_ids: Vec<AccountId>,
    pub user_ids: Vec<UserId>,
    pub apply_costs: bool,
    pub settings: Text,
    pub actor: Text,
    pub create_time: Micros,
    /// The newest taking-up, numbered through all runs; 0 before the first.
    pub attempt: i64,
    /// The taking-up whose fetch is judged; 0 before there is one.
    pub pass: i64,
    /// Takings-up so far that came to no end.
    pub tries: i64,
    /// When it may be taken up again; `None`: at once.
    pub retry_time: Option<Micros>,
    /// When the evidence was complete: what was younger than the lag then is pending.
    pub evidence_time: Option<Micros>,
    pub complete_time: Option<Micros>,
    /// Which phase it is in, in the words of the API: `fetching`, `matching`, `checking`, `applying`, `over`.
    pub phase: Text,
    /// How much of the phase is done, and of how much; 0 of 0 where that is not known.
    pub done: i64,
    pub total: i64,
    /// Findings so far, by severity: high, medium, low.
    pub findings: [i64; 3],
    /// Planned costs, and how many were written.
    pub cost_changes: i64,
    pub costs_applied: i64,
    /// What the report holds besides its rows, days and models: JSON; empty before it is judged.
    pub summary: Text,
    /// Why it was given up; empty otherwise.
    pub error: Text,
}

/// A run in a few words, for who looks through many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as of Run")]
pub struct Outline {
    pub id: i64,
    pub start: Micros,
    pub end: Micros,
    pub state: RunState,
    /// Of a run that is partial, for it says what is missing; else empty.
    pub summary: Text,
}

/// What a run tells of itself as it goes on; `None` leaves what is stored. A state other than running ends it, at the
/// store's now. The costs applied are counted by [`apply_costs`](super::ReconcileStore::apply_costs) itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each is the field of Run of that name, detail the days and models of its report"
)]
pub struct RunChange {
    pub state: Option<RunState>,
    pub phase: Option<Text>,
    pub done: Option<i64>,
    pub total: Option<i64>,
    pub findings: Option<[i64; 3]>,
    pub cost_changes: Option<i64>,
    pub summary: Option<Text>,
    pub detail: Option<Text>,
    pub error: Option<Text>,
    pub evidence_time: Option<Micros>,
}

/// The right to write to a run, until anybody takes up this run or another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The run.
    pub run_id: i64,
    /// Its [`Run::attempt`].
    pub attempt: i64,
    /// Its [`Run::pass`].
    pub pass: i64,
}

/// Why a run was not written to.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The turn is over: the run is, or a run was taken up since. Nothing was written.
    #[error("the run is over, or was taken up by another process")]
    Superseded,
    /// The database did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
}
