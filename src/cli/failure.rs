//! How a command ends when it does not succeed: what it says, and with which exit code.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done, and nothing to report |
//! | 1 | it ran: the ledger refused, or there are findings |
//! | 2 | it could not run: wrong options, no database, no answer |

use std::io;
use std::process::ExitCode;

use super::output::Paint;
use crate::engine::EngineError;
use crate::ledger::Rejection;
use crate::store::StoreError;

/// It ran, and the answer is no.
pub(super) const FINDINGS: u8 = 1;
/// It could not run.
pub(super) const COULD_NOT_RUN: u8 = 2;

/// Why a command did not succeed: one sentence that says what to do.
#[derive(Debug)]
pub(super) enum Failure {
    /// The ledger refused.
    Refused(String),
    /// Nothing could be asked of the ledger.
    CouldNotRun(String),
    /// Whoever read the output went away: there is nobody to tell.
    NobodyReads,
}

impl Failure {
    pub(super) fn could_not_run(why: impl Into<String>) -> Self {
        Self::CouldNotRun(why.into())
    }

    /// Says it on stderr; answers the exit code.
    pub(super) fn report(&self) -> ExitCode {
        let (code, why) = match self {
            Self::Refused(why) => (FINDINGS, why),
            Self::CouldNotRun(why) => (COULD_NOT_RUN, why),
            Self::NobodyReads => return ExitCode::from(COULD_NOT_RUN),
        };
        eprintln!("{} {why}", Paint::stderr().red("error:"));
        ExitCode::from(code)
    }
}

impl From<io::Error> for Failure {
    /// Of writing the result: opening files has its own words.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::CouldNotRun(format!("the output could not be written: {error}")),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::debug!(%error, cause, "the store failed");
        // What is refused says itself what to do; the driver's words would not.
        let hint = if cause.is_some() { " (--log debug shows the cause)" } else { "" };
        Self::CouldNotRun(format!("{error}{hint}"))
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let why = match error {
            EngineError::Rejected(rejection) => return Self::Refused(in_words(&rejection)),
            EngineError::OutcomeUnknown => {
                "the database went away while it committed: whether it was done is not known; run the same command \
                 again, it is not done twice"
            }
            EngineError::StoreUnavailable => {
                "the database does not answer: nothing was done, so run the same command again later (--log debug \
                 shows the cause)"
            }
            EngineError::Overloaded { .. } | EngineError::DeadlineExceeded | EngineError::ShuttingDown => {
                "it was not taken up and nothing was done: run the same command again"
            }
            EngineError::Internal => "internal error: please report it with what --log debug shows",
        };
        Self::CouldNotRun(why.to_owned())
    }
}

/// A refusal for an operator.
pub(super) fn in_words(rejection: &Rejection) -> String {
    match rejection {
        Rejection::InvalidField(violations) => {
            let fields: Vec<String> = violations
                .iter()
                .map(|violation| format!("{} {}", violation.field, violation.description))
                .collect();
            fields.join("; ")
        }
        Rejection::RequestIdRequired => "--request-id is required".to_owned(),
        Rejection::RequestIdReused { request_id, field } => format!(
            "the request id {request_id} was used before with another {field}: give the same values to repeat that \
             request, or another id for a new one"
        ),
        Rejection::TaskAlreadyCharged { task_id, field, status } => {
            format!("task {task_id} exists ({status}) with another {field}")
        }
        Rejection::InsufficientBalance { required, available, held } => {
            format!("{required} points are needed, {available} are available ({held} are held)")
        }
        Rejection::UserNotFound(user_id) => format!("there is no user {user_id}"),
        Rejection::TaskNotFound(task_id) => format!("there is no task {task_id}"),
        Rejection::RefundExceedsCharge { charged, refunded, requested } => format!(
            "{requested} points are more than is left to refund: {charged} were charged, {refunded} refunded so far"
        ),
        Rejection::TaskStateConflict { task_id, status, why } => {
            format!("task {task_id} is {status}: {why}")
        }
        Rejection::HoldExpired { held, .. } => format!("the hold of {held} points has expired"),
        Rejection::CaptureExceedsHold { held, requested } => {
            format!("{requested} points are more than the {held} held")
        }
        Rejection::NoKeyAvailable { why, .. } => format!("there is no key now ({why})"),
        Rejection::LeaseNotFound(lease_id) => format!("there is no lease {lease_id}"),
        Rejection::LeaseExpired(lease_id) => format!("lease {lease_id} has ended"),
        Rejection::LeaseSuperseded(lease_id) => format!("the task of lease {lease_id} has a newer one"),
        Rejection::AccountNotFound(account_id) => {
            format!("there is no account {account_id}: `scrip keys list` shows what there is")
        }
        Rejection::AccountExists { key_id } => format!("key {key_id} is or was an account's"),
        Rejection::SecretUnavailable { key_id, why, .. } => format!("key {key_id}: {why}"),
        Rejection::BatchAborted { index } => format!("item {index} of the batch was refused"),
    }
}
