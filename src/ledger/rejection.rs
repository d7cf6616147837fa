//! Why a command was refused. A refusal is data: it is decided, answered and sometimes frozen like a success.

use serde::{Deserialize, Serialize};

use super::{TaskStatus, Text, UserId, Why};

/// One field of a request and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The request field.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub description: String,
}

impl FieldViolation {
    /// A violation of one field.
    pub fn new(field: &'static str, description: impl Into<String>) -> Self {
        Self { field, description: description.into() }
    }
}

/// A refusal. Each variant is one public error reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Malformed: each field that is wrong.
    InvalidField(Vec<FieldViolation>),
    /// The method needs a `request_id`.
    RequestIdRequired,
    /// The `request_id` was used before, with other content.
    RequestIdReused {
        /// The reused id.
        request_id: Text,
        /// The field that differs, or `method`.
        field: &'static str,
    },
    /// The task exists, with other content.
    TaskAlreadyCharged {
        /// The task.
        task_id: Text,
        /// The field that differs, or `method`.
        field: &'static str,
        /// Where the task stands.
        status: TaskStatus,
    },
    /// The purses that may be drawn hold less than is asked.
    InsufficientBalance {
        /// Points asked for.
        required: i64,
        /// Points that could be drawn.
        available: i64,
        /// Points set aside by holds in the same purses.
        held: i64,
    },
    /// No such user.
    UserNotFound(UserId),
    /// No such task, or not this user's.
    TaskNotFound(Text),
    /// More than is left of the charge.
    RefundExceedsCharge {
        /// Points charged.
        charged: i64,
        /// Points refunded so far.
        refunded: i64,
        /// Points asked for.
        requested: i64,
    },
    /// The task does not stand where this would be possible.
    TaskStateConflict {
        /// The task.
        task_id: Text,
        /// Where it stands.
        status: TaskStatus,
        /// What stands in the way, for people.
        why: Text,
    },
    /// The hold's time has passed.
    HoldExpired {
        /// Points that were held.
        held: i64,
        /// Points asked for; 0 for a void.
        requested: i64,
    },
    /// More than is held.
    CaptureExceedsHold {
        /// Points held.
        held: i64,
        /// Points asked for.
        requested: i64,
    },
    /// No key can be leased now.
    NoKeyAvailable {
        /// Why.
        why: Why,
        /// When to ask again, in microseconds from now.
        retry_after_micros: i64,
        /// The task runs on an account already, and only that one will do.
        is_tied: bool,
    },
    /// No such lease.
    LeaseNotFound(Text),
    /// The lease's time has passed, or it was released.
    LeaseExpired(Text),
    /// The task has a newer lease than this one.
    LeaseSuperseded(Text),
    /// No such account.
    AccountNotFound(i64),
    /// The key is or was an account's.
    AccountExists {
        /// The id of the key.
        key_id: Text,
    },
    /// A key cannot be stored, or what is stored cannot be opened.
    SecretUnavailable {
        /// The id of the key.
        key_id: Text,
        /// The key-encryption key it would take; empty where none is configured.
        kek_id: Text,
        /// What is wrong and what to do, for people.
        why: Text,
    },
    /// Another item of the atomic batch was refused.
    BatchAborted {
        /// The first refused item, from 0.
        index: usize,
    },
}

impl Rejection {
    /// A single malformed field.
    pub fn field(field: &'static str, description: impl Into<String>) -> Self {
        Self::InvalidField(vec![FieldViolation::new(field, description)])
    }

    /// The form in which this refusal is kept under its `request_id`; `None` for one that is not frozen: a malformed
    /// request, a thing not found, a conflict, or an aborted batch may all come right on a later try.
    pub fn freeze(&self) -> Option<FrozenRefusal> {
        match *self {
            Rejection::InsufficientBalance { required, available, held } => {
                Some(FrozenRefusal::InsufficientBalance { required, available, held })
            }
            Rejection::RefundExceedsCharge { charged, refunded, requested } => {
                Some(FrozenRefusal::RefundExceedsCharge { charged, refunded, requested })
            }
            Rejection::TaskStateConflict { status, ref why, .. } => Some(FrozenRefusal::TaskStateConflict {
                status: status.as_str().to_owned(),
                why: why.to_string(),
            }),
            Rejection::HoldExpired { held, requested } => {
                Some(FrozenRefusal::HoldExpired { held, requested })
            }
            Rejection::CaptureExceedsHold { held, requested } => {
                Some(FrozenRefusal::CaptureExceedsHold { held, requested })
            }
            Rejection::InvalidField(_)
            | Rejection::RequestIdRequired
            | Rejection::RequestIdReused { .. }
            | Rejection::TaskAlreadyCharged { .. }
            | Rejection::UserNotFound(_)
            | Rejection::TaskNotFound(_)
            | Rejection::NoKeyAvailable { .. }
            | Rejection::LeaseNotFound(_)
            | Rejection::LeaseExpired(_)
            | Rejection::LeaseSuperseded(_)
            | Rejection::AccountNotFound(_)
            | Rejection::AccountExists { .. }
            | Rejection::SecretUnavailable { .. }
            | Rejection::BatchAborted { .. } => None,
        }
    }
}

/// A refusal as it is stored: JSON in `scrip_requests.refusal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the figures are those of the Rejection of the same name")]
pub enum FrozenRefusal {
    InsufficientBalance { required: i64, available: i64, held: i64 },
    RefundExceedsCharge { charged: i64, refunded: i64, requested: i64 },
    TaskStateConflict { status: String, why: String },
    HoldExpired { held: i64, requested: i64 },
    CaptureExceedsHold { held: i64, requested: i64 },
}

impl FrozenRefusal {
    /// The refusal as it was first answered; `task_id` is that of the request it is kept under.
    pub fn thaw(&self, task_id: Option<&Text>) -> Rejection {
        match self {
            &FrozenRefusal::InsufficientBalance { required, available, held } => {
                Rejection::InsufficientBalance { required, available, held }
            }
            &FrozenRefusal::RefundExceedsCharge { charged, refunded, requested } => {
                Rejection::RefundExceedsCharge { charged, refunded, requested }
            }
            FrozenRefusal::TaskStateConflict { status, why } => Rejection::TaskStateConflict {
                task_id: task_id.cloned().unwrap_or_else(|| Text::from("")),
                status: TaskStatus::parse(status).unwrap_or(TaskStatus::Pending),
                why: Text::from(why.as_str()),
            },
            &FrozenRefusal::HoldExpired { held, requested } => Rejection::HoldExpired { held, requested },
            &FrozenRefusal::CaptureExceedsHold { held, requested } => {
                Rejection::CaptureExceedsHold { held, requested }
            }
        }
    }
}
