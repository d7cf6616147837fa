//! Errors as callers see them: a gRPC code, a message that says what to do, and details made for programs.
//!
//! Every error carries `google.rpc.ErrorInfo` with a reason of `error_reason.proto` and the metadata that file
//! documents; INVALID_ARGUMENT also `BadRequest`, what is worth retrying also `RetryInfo`. In this room nothing else
//! makes a `tonic::Status`.

#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::convert;
use crate::engine::EngineError;
use crate::ledger::{FieldViolation, Rejection, Why};
use crate::pb::{ERROR_DOMAIN, ErrorReason};
use crate::reconcile;

/// When to try again after the database was away, or a commit went unanswered.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// When to ask again what fal did not answer.
const UPSTREAM_RETRY: Duration = Duration::from_secs(5);
/// When to try again elsewhere while this server drains.
const DRAIN_RETRY: Duration = Duration::from_millis(500);

impl From<EngineError> for Status {
    fn from(error: EngineError) -> Self {
        of_engine(&error).into_status()
    }
}

impl From<reconcile::Error> for Status {
    fn from(error: reconcile::Error) -> Self {
        match error {
            reconcile::Error::Engine(error) => error.into(),
            reconcile::Error::NotFound(id) => not_found(id).into_status(),
            reconcile::Error::Upstream(failure) => of_failure(&failure).into_status(),
        }
    }
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        of_rejection(&rejection).into_status()
    }
}

fn not_found(id: i64) -> Refusal {
    let message = format!("reconciliation {id} does not exist; ListReconciliations shows what there is");
    let refusal = Refusal::new(Code::NotFound, ErrorReason::ReconciliationNotFound, message);
    Refusal { metadata: vec![("id", id.to_string())], ..refusal }
}

/// Why no account could be asked, by the first of them.
fn of_failure(failure: &reconcile::Failure) -> Refusal {
    let (code, retry_after) = match failure.reason {
        reconcile::Reason::UpstreamUnavailable => (Code::Unavailable, Some(UPSTREAM_RETRY)),
        reconcile::Reason::UpstreamDenied | reconcile::Reason::SecretUnavailable => {
            (Code::FailedPrecondition, None)
        }
    };
    let message = format!("account {} ({}): {}", failure.account_id, failure.account_name, failure.message);
    let metadata = vec![
        ("account_id", failure.account_id.to_string()),
        ("http_status", failure.http_status.to_string()),
    ];
    let refusal = Refusal::new(code, convert::reconciliation::reason(failure.reason), message);
    Refusal { metadata, retry_after, ..refusal }
}

/// The refusal of one item of a batch: word for word what the unary call would have carried.
pub(super) fn of_item(rejection: &Rejection) -> tonic_types::Status {
    let status = of_rejection(rejection).into_status();
    // The details of a status are this very message, encoded.
    tonic_types::Status::decode(status.details()).unwrap_or_else(|_| tonic_types::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

/// A call that came past the server's door without being judged there: a bug, and nobody's call is served by it.
pub(super) fn nobody() -> Status {
    let message = "the server does not know who calls; this is a bug of its own";
    Refusal::new(Code::Unauthenticated, ErrorReason::Unauthenticated, message).into_status()
}

/// A message that is not valid protobuf. `words` are prost's: the path to the field, innermost first, and what is
/// wrong; they hold nothing of what the caller sent.
pub(super) fn malformed(words: &str) -> Status {
    let words = words.strip_prefix("failed to decode Protobuf message: ").unwrap_or(words);
    let mut path = Vec::new();
    let mut what = words;
    while let Some((step, rest)) = what.split_once(": ") {
        let Some((_, field)) = step.split_once('.').filter(|_| !step.contains(' ')) else { break };
        path.insert(0, field);
        what = rest;
    }
    let field = if path.is_empty() { "message".to_owned() } else { path.join(".") };
    unreadable(&field, &format!("is not valid protobuf: {what}"))
}

/// A message of far more fields than any call has use for.
pub(super) fn too_many_fields(max: usize) -> Status {
    unreadable("message", &format!("must not have more than {max} fields; send less at once"))
}

fn unreadable(field: &str, description: &str) -> Status {
    let mut details = ErrorDetails::with_bad_request_violation(field, description);
    let metadata = HashMap::from([("field".to_owned(), field.to_owned())]);
    details.set_error_info(ErrorReason::InvalidField.reason(), ERROR_DOMAIN, metadata);
    Status::with_error_details(Code::InvalidArgument, format!("{field} {description}"), details)
}

/// An error before it is a status.
struct Refusal {
    code: Code,
    reason: ErrorReason,
    message: String,
    metadata: Vec<(&'static str, String)>,
    violations: Vec<FieldViolation>,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(code: Code, reason: ErrorReason, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, reason, message, metadata: Vec::new(), violations: Vec::new(), retry_after: None }
    }

    const fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    fn into_status(self) -> Status {
        let mut details = ErrorDetails::new();
        let metadata: HashMap<String, String> =
            self.metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        details.set_error_info(self.reason.reason(), ERROR_DOMAIN, metadata);
        for violation in self.violations {
            details.add_bad_request_violation(violation.field, violation.description);
        }
        if self.retry_after.is_some() {
            details.set_retry_info(self.retry_after);
        }
        Status::with_error_details(self.code, self.message, details)
    }
}

fn of_engine(error: &EngineError) -> Refusal {
    match *error {
        EngineError::Rejected(ref rejection) => of_rejection(rejection),
        EngineError::Overloaded { retry_after } => Refusal::new(
            Code::ResourceExhausted,
            ErrorReason::Overloaded,
            "too many calls are waiting and this one was not taken up; retry after the given time",
        )
        .retry_after(retry_after),
        EngineError::DeadlineExceeded => Refusal::new(
            Code::DeadlineExceeded,
            ErrorReason::DeadlineExceeded,
            "the deadline passed before the call was taken up and nothing was done; retry with more time",
        ),
        EngineError::ShuttingDown => Refusal::new(
            Code::Unavailable,
            ErrorReason::ShuttingDown,
            "this server is stopping and the call was not taken up; retry with the same keys on another one",
        )
        .retry_after(DRAIN_RETRY),
        EngineError::StoreUnavailable => Refusal::new(
            Code::Unavailable,
            ErrorReason::StoreUnavailable,
            "the database cannot be read or written at the moment; retry with the same keys",
        )
        .retry_after(STORE_RETRY),
        EngineError::OutcomeUnknown => Refusal::new(
            Code::Unavailable,
            ErrorReason::OutcomeUnknown,
            "the database did not confirm the commit: it may or may not have happened; \
             retry with the same keys, which makes sure that it happens once",
        )
        .retry_after(STORE_RETRY),
        EngineError::Internal => Refusal::new(
            Code::Internal,
            ErrorReason::Internal,
            "internal error, recorded in the server's log; retrying with the same keys is safe",
        ),
    }
}

fn of_rejection(rejection: &Rejection) -> Refusal {
    let (code, reason) = kind(rejection);
    let violations = match rejection {
        Rejection::InvalidField(violations) => violations.clone(),
        Rejection::RequestIdRequired => vec![FieldViolation::new("request_id", "must be given")],
        Rejection::RequestIdReused { .. }
        | Rejection::TaskAlreadyCharged { .. }
        | Rejection::InsufficientBalance { .. }
        | Rejection::UserNotFound(_)
        | Rejection::TaskNotFound(_)
        | Rejection::RefundExceedsCharge { .. }
        | Rejection::TaskStateConflict { .. }
        | Rejection::HoldExpired { .. }
        | Rejection::CaptureExceedsHold { .. }
        | Rejection::NoKeyAvailable { .. }
        | Rejection::LeaseNotFound(_)
        | Rejection::LeaseExpired(_)
        | Rejection::LeaseSuperseded(_)
        | Rejection::AccountNotFound(_)
        | Rejection::AccountExists { .. }
        | Rejection::SecretUnavailable { .. }
        | Rejection::BatchAborted { .. } => Vec::new(),
    };
    let retry_after = if let Rejection::NoKeyAvailable { retry_after_micros, .. } = rejection {
        Some(Duration::from_micros(retry_after_micros.unsigned_abs()))
    } else {
        None
    };
    let metadata = metadata(rejection);
    Refusal { code, reason, message: message(rejection), metadata, violations, retry_after }
}

const fn kind(rejection: &Rejection) -> (Code, ErrorReason) {
    match rejection {
        Rejection::InvalidField(_) => (Code::InvalidArgument, ErrorReason::InvalidField),
        Rejection::RequestIdRequired => (Code::InvalidArgument, ErrorReason::RequestIdRequired),
        Rejection::RequestIdReused { .. } => (Code::AlreadyExists, ErrorReason::RequestIdReused),
        Rejection::TaskAlreadyCharged { .. } => (Code::AlreadyExists, ErrorReason::TaskAlreadyCharged),
        Rejection::InsufficientBalance { .. } => (Code::FailedPrecondition, ErrorReason::InsufficientBalance),
        Rejection::UserNotFound(_) => (Code::NotFound, ErrorReason::UserNotFound),
        Rejection::TaskNotFound(_) => (Code::NotFound, ErrorReason::TaskNotFound),
        Rejection::RefundExceedsCharge { .. } => (Code::FailedPrecondition, ErrorReason::RefundExceedsCharge),
        Rejection::TaskStateConflict { .. } => (Code::FailedPrecondition, ErrorReason::TaskStateConflict),
        Rejection::HoldExpired { .. } => (Code::FailedPrecondition, ErrorReason::HoldExpired),
        Rejection::CaptureExceedsHold { .. } => (Code::FailedPrecondition, ErrorReason::CaptureExceedsHold),
        Rejection::NoKeyAvailable { .. } => (Code::ResourceExhausted, ErrorReason::NoKeyAvailable),
        Rejection::LeaseNotFound(_) => (Code::NotFound, ErrorReason::LeaseNotFound),
        Rejection::LeaseExpired(_) => (Code::FailedPrecondition, ErrorReason::LeaseExpired),
        Rejection::LeaseSuperseded(_) => (Code::FailedPrecondition, ErrorReason::LeaseSuperseded),
        Rejection::AccountNotFound(_) => (Code::NotFound, ErrorReason::AccountNotFound),
        Rejection::AccountExists { .. } => (Code::AlreadyExists, ErrorReason::AccountExists),
        Rejection::SecretUnavailable { .. } => (Code::FailedPrecondition, ErrorReason::SecretUnavailable),
        Rejection::BatchAborted { .. } => (Code::Aborted, ErrorReason::BatchAborted),
    }
}

/// What programs read, under the keys that `error_reason.proto` documents.
fn metadata(rejection: &Rejection) -> Vec<(&'static str, String)> {
    match rejection {
        Rejection::InvalidField(violations) => {
            violations.iter().take(1).map(|violation| ("field", violation.field.to_owned())).collect()
        }
        Rejection::RequestIdRequired => Vec::new(),
        Rejection::RequestIdReused { request_id, field } => {
            vec![("request_id", request_id.to_string()), ("field", (*field).to_owned())]
        }
        Rejection::TaskAlreadyCharged { task_id, field, status } => vec![
            ("task_id", task_id.to_string()),
            ("field", (*field).to_owned()),
            ("status", status.to_string()),
        ],
        Rejection::InsufficientBalance { required, available, held } => vec![
            ("required", required.to_string()),
            ("available", available.to_string()),
            ("held", held.to_string()),
        ],
        Rejection::UserNotFound(user_id) => vec![("id", user_id.to_string())],
        Rejection::TaskNotFound(task_id) => vec![("id", task_id.to_string())],
        Rejection::RefundExceedsCharge { charged, refunded, requested } => vec![
            ("charged", charged.to_string()),
            ("refunded", refunded.to_string()),
            ("requested", requested.to_string()),
        ],
        Rejection::TaskStateConflict { task_id, status, .. } => {
            vec![("task_id", task_id.to_string()), ("status", status.to_string())]
        }
        // A void asks for no amount.
        Rejection::HoldExpired { held, requested: 0 } => vec![("held", held.to_string())],
        Rejection::HoldExpired { held, requested } | Rejection::CaptureExceedsHold { held, requested } => {
            vec![("held", held.to_string()), ("requested", requested.to_string())]
        }
        Rejection::NoKeyAvailable { why, .. } => vec![("why", why.to_string())],
        Rejection::LeaseNotFound(lease_id) => vec![("id", lease_id.to_string())],
        Rejection::LeaseExpired(lease_id) | Rejection::LeaseSuperseded(lease_id) => {
            vec![("lease_id", lease_id.to_string())]
        }
        Rejection::AccountNotFound(account_id) => vec![("id", account_id.to_string())],
        Rejection::AccountExists { key_id } => vec![("key_id", key_id.to_string())],
        Rejection::SecretUnavailable { key_id, kek_id, .. } => {
            vec![("key_id", key_id.to_string()), ("kek_id", kek_id.to_string())]
        }
        Rejection::BatchAborted { index } => vec![("index", index.to_string())],
    }
}

/// What people read: what is wrong, and what to do.
fn message(rejection: &Rejection) -> String {
    match rejection {
        Rejection::InvalidField(violations) => {
            let each = |violation: &FieldViolation| format!("{} {}", violation.field, violation.description);
            violations.iter().map(each).collect::<Vec<_>>().join("; ")
        }
        Rejection::RequestIdRequired => {
            "request_id must be given: without one a retry could move the money twice".to_owned()
        }
        Rejection::RequestIdReused { request_id, field } => format!(
            "request_id {request_id} was used before with another {field}; \
             repeat that call as it was, or use a new request_id"
        ),
        Rejection::TaskAlreadyCharged { task_id, field, status } => format!(
            "task {task_id} exists ({status}), charged or held with another {field}; \
             repeat that call as it was, or use a new task_id"
        ),
        Rejection::InsufficientBalance { required, available, held } => {
            format!(
                "{required} points are required, {available} are available and {held} held; credit the user first"
            )
        }
        Rejection::UserNotFound(user_id) => {
            format!("user {user_id} does not exist; a user is created by its first Credit")
        }
        Rejection::TaskNotFound(task_id) => {
            format!("task {task_id} does not exist, or is another user's; check task_id and user_id")
        }
        Rejection::RefundExceedsCharge { charged, refunded, requested } => format!(
            "{requested} points were asked back, but of {charged} charged {refunded} are refunded; \
             leave amount out to refund what is left"
        ),
        Rejection::TaskStateConflict { task_id, status, why } => {
            format!("task {task_id} is {status}: {why}")
        }
        Rejection::HoldExpired { held, .. } => {
            format!("the hold of {held} points has expired; authorize again under a new task_id")
        }
        Rejection::CaptureExceedsHold { held, requested } => {
            format!("{requested} points were to be captured, but {held} are held; capture at most that")
        }
        Rejection::NoKeyAvailable { why, .. } => no_key(*why).to_owned(),
        Rejection::LeaseNotFound(lease_id) => format!("lease {lease_id} does not exist; check lease_id"),
        Rejection::LeaseExpired(lease_id) => {
            format!("lease {lease_id} has ended, by its time or by a release; select a key again")
        }
        Rejection::LeaseSuperseded(lease_id) => {
            format!(
                "the task of lease {lease_id} has been given a newer one: another runner has it now; stop"
            )
        }
        Rejection::AccountNotFound(account_id) => {
            format!("account {account_id} does not exist, or was deleted; ListAccounts shows what there is")
        }
        Rejection::AccountExists { key_id } => {
            format!("key {key_id} is or was an account's; update that account instead, or use another key")
        }
        Rejection::SecretUnavailable { key_id, why, .. } => format!("key {key_id}: {why}"),
        Rejection::BatchAborted { index } => {
            format!(
                "nothing was written because item {index} was refused; send the batch without it or mended"
            )
        }
    }
}

fn no_key(why: Why) -> &'static str {
    match why {
        Why::NoneEnabled => "no account is in rotation; add one with CreateAccount, or enable one",
        Why::NoneAllowed => "no account in rotation may run this model; see their allowed_apps",
        Why::CoolingDown => {
            "every account that may run this model is out for a while; retry after the given time"
        }
        Why::AllBusy => {
            "every account that may run this model is busy; retry after the given time, or wait with max_wait"
        }
    }
}

#[cfg(test)]
mod tests;
