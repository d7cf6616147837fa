//! Why a call about reconciliation has no answer.

use super::failure::Failure;
use crate::engine::EngineError;
use crate::ledger::Rejection;
use crate::store::StoreError;

/// What a caller hears instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// As of any command or read.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// There is no such run.
    #[error("there is no reconciliation {0}")]
    NotFound(i64),
    /// No account could be asked; the first of them says why.
    #[error("account {}: {}", .0.account_id, .0.message)]
    Upstream(Box<Failure>),
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::Engine(rejection.into())
    }
}

impl From<StoreError> for Error {
    /// Logged once, with the driver's words, which no caller hears.
    fn from(error: StoreError) -> Self {
        Self::Engine(crate::engine::logged(&error))
    }
}
