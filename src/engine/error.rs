//! Why the engine did not answer with a success.

use std::time::Duration;

use tokio::time::Instant;

use super::complaints::Complaints;
use crate::ledger::Rejection;
use crate::meter;
use crate::store::StoreError;

/// What a caller hears instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The ledger refused it.
    #[error("refused: {0:?}")]
    Rejected(Rejection),
    /// The queue is full.
    #[error("too many commands are waiting")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// Its deadline passed before it entered a batch: nothing was done.
    #[error("the deadline passed before the command was taken up")]
    DeadlineExceeded,
    /// The service is stopping: nothing was done.
    #[error("the service is stopping")]
    ShuttingDown,
    /// The database could not be written or read.
    #[error("the database is unavailable")]
    StoreUnavailable,
    /// The commit was never answered: a retry with the same keys tells.
    #[error("it is not known whether the command was stored")]
    OutcomeUnknown,
    /// A bug, logged where it was found.
    #[error("internal error")]
    Internal,
}

impl From<Rejection> for EngineError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl EngineError {
    /// What a caller hears of a failed statement; the driver's words stay in the log.
    pub(crate) const fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::Bug { .. } => Self::Internal,
            StoreError::Unavailable { .. }
            | StoreError::Full { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Damaged { .. }
            | StoreError::Conflict { .. }
            | StoreError::Refused(_) => Self::StoreUnavailable,
        }
    }
}

static COMPLAINTS: Complaints = Complaints::new();

/// Logs a store's failure once, with the driver's words, and says what the caller hears. Of failures that are alike
/// some are only counted: [`Complaints`].
pub(crate) fn logged(error: &StoreError) -> EngineError {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    // Of a batch it is that of its first call.
    let trace_id = meter::trace().map(tracing::field::display);
    match COMPLAINTS.hear(error.to_string(), cause.clone(), Instant::now()) {
        Some(0) => tracing::error!(trace_id, %error, cause, "the store failed"),
        Some(kept_back) => tracing::error!(trace_id, %error, cause, kept_back, "the store keeps failing"),
        None => tracing::debug!(trace_id, %error, cause, "the store failed again"),
    }
    EngineError::of_store(error)
}
