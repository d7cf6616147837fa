//! The pursuit of one batch: after each run, what it came to and what is to be done next.
//!
//! | the store says | what follows |
//! |---|---|
//! | committed | the answers just decided |
//! | already committed | the answers of the run that was never confirmed |
//! | not committed, again | another run under a new id; at once the first time, then with a pause |
//! | not committed, stop | the callers are told; nothing was done |
//! | unknown | another run under the same id, whose insert tells, until the time for that is over |
//! | a bug | each caller's work alone, so that only the poisoned one fails |

use std::time::Duration;

use tokio::time::Instant;

use super::error::logged;
use super::judge::Judgement;
use super::{EngineError, Options};
use crate::mutants::{self, Mutant};
use crate::store::{Failure, Run, StoreError, Transacted};

/// The pause between two questions about an unknown outcome.
const RESOLVE_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause before a conflicting batch is decided again.
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);

/// What follows a run.
pub(super) enum Next {
    /// The batch is stored: its callers get these.
    Done(Box<Judgement>),
    /// The batch is given up: its callers get this.
    Failed(EngineError),
    /// One of the works cannot be decided or stored; which one, only running them alone tells.
    Poisoned,
    /// Another run, after this pause.
    Again(Duration),
}

/// A COMMIT that went unanswered.
struct Unconfirmed {
    /// What is to be answered if it turns out to have been done.
    judgement: Box<Judgement>,
    /// Until when it is asked for.
    until: Instant,
}

/// How far a batch has come.
#[derive(Default)]
pub(super) struct Pursuit {
    conflicts: u32,
    unconfirmed: Option<Unconfirmed>,
}

impl Pursuit {
    /// How the next run begins.
    pub(super) const fn run(&self) -> Run {
        if self.unconfirmed.is_some() { Run::Resolving } else { Run::First }
    }

    /// Judges a run by how it ended and by what it had decided, if it came that far.
    pub(super) fn after(
        &mut self,
        ended: Transacted,
        decided: Option<Box<Judgement>>,
        options: &Options,
    ) -> Next {
        if mutants::on(Mutant::AnswerBeforeCommit)
            && let Some(judgement) = decided
        {
            return Next::Done(judgement);
        }
        let until = Instant::now() + options.resolve_for;
        match (ended, self.unconfirmed.take()) {
            (Transacted::Committed, _) => decided.map_or(Next::Failed(EngineError::Internal), Next::Done),
            (Transacted::AlreadyCommitted, Some(first)) => Next::Done(first.judgement),
            (Transacted::AlreadyCommitted, None) => {
                tracing::error!("a new batch id had been used before");
                Next::Failed(EngineError::Internal)
            }
            (Transacted::Unknown(error), None) => {
                tracing::warn!(%error, "a commit was not answered: asking what became of it");
                let Some(judgement) = decided else { return Next::Failed(EngineError::OutcomeUnknown) };
                self.unconfirmed = Some(Unconfirmed { judgement, until });
                Next::Again(Duration::ZERO)
            }
            // Until the id is found or the batch committed anew, a failure says nothing of the first commit.
            (
                Transacted::Unknown(error)
                | Transacted::NotCommitted(Failure::Again(error) | Failure::Stop(error)),
                Some(unconfirmed),
            ) => self.still_unknown(&error, unconfirmed, decided),
            (Transacted::NotCommitted(failure), None) => {
                self.not_committed(failure, options.conflict_retries)
            }
        }
    }

    fn still_unknown(
        &mut self,
        error: &StoreError,
        before: Unconfirmed,
        decided: Option<Box<Judgement>>,
    ) -> Next {
        if Instant::now() >= before.until {
            logged(error);
            return Next::Failed(EngineError::OutcomeUnknown);
        }
        // Decided anew, the id was free: the first commit never was, and these are the answers to give.
        let judgement = decided.unwrap_or(before.judgement);
        self.unconfirmed = Some(Unconfirmed { judgement, ..before });
        Next::Again(RESOLVE_PAUSE)
    }

    fn not_committed(&mut self, failure: Failure, retries: u32) -> Next {
        match failure {
            Failure::Stop(error @ StoreError::Bug { .. }) => {
                logged(&error);
                Next::Poisoned
            }
            Failure::Stop(error) => Next::Failed(logged(&error)),
            Failure::Again(error) if self.conflicts >= retries => {
                logged(&error);
                Next::Failed(EngineError::StoreUnavailable)
            }
            Failure::Again(error) => {
                // A lost race is won by reading again at once. After that, let the others pass.
                let pause = Duration::from_millis(self.conflicts.into()).min(CONFLICT_PAUSE);
                self.conflicts += 1;
                tracing::debug!(%error, conflicts = self.conflicts, "deciding the batch again");
                Next::Again(pause)
            }
        }
    }
}
