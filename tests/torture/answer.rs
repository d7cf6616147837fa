//! What callers are told, as it is kept in the history. Secrets of keys are left behind at the wire.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use scrip::pb;
use serde::Serialize;
use tonic::Status;
use tonic_types::StatusExt;

use crate::call::Purse;

/// A row of the ledger, as a caller was told of it and as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    pub(crate) user: i64,
    pub(crate) seq: i64,
    pub(crate) purse: Purse,
    pub(crate) amount: i64,
    pub(crate) before: i64,
    pub(crate) after: i64,
    /// The words of the columns: charge, capture, refund, credit, debit; consume, refund, recharge, ….
    pub(crate) operation: String,
    pub(crate) source: String,
    pub(crate) order: String,
    pub(crate) title: String,
    /// Microseconds since the epoch.
    pub(crate) at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Balance {
    pub(crate) user: i64,
    pub(crate) points: i64,
    pub(crate) cash: i64,
    pub(crate) points_held: i64,
    pub(crate) cash_held: i64,
    pub(crate) available: i64,
    pub(crate) total: i64,
    pub(crate) seq: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TaskTold {
    pub(crate) task: String,
    pub(crate) user: i64,
    pub(crate) status: String,
    pub(crate) app: String,
    pub(crate) money: i64,
    pub(crate) refunded: i64,
    pub(crate) held: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LeaseTold {
    pub(crate) lease: String,
    pub(crate) account: i64,
    pub(crate) key: String,
    pub(crate) task: String,
    pub(crate) runner: String,
    pub(crate) fence: i64,
    pub(crate) is_active: bool,
}

/// A success.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<TaskTold>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) entries: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) balance: Option<Balance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<LeaseTold>,
    pub(crate) replayed: bool,
    pub(crate) late: bool,
}

/// A refusal of which the contract says that nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Refused {
    pub(crate) reason: String,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// What became of a call, as far as its caller knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Ok(Box<Told>),
    /// Of a batch: one outcome an item, none of them unknown.
    Each(Vec<Outcome>),
    Fail(Refused),
    /// It may or may not have happened.
    Info {
        code: String,
        reason: String,
        message: String,
    },
}

impl Outcome {
    pub(crate) fn told(&self) -> Option<&Told> {
        match self {
            Self::Ok(told) => Some(told),
            Self::Each(_) | Self::Fail(_) | Self::Info { .. } => None,
        }
    }

    pub(crate) const fn is_unknown(&self) -> bool {
        matches!(self, Self::Info { .. })
    }

    pub(crate) fn info(code: &str, message: impl Into<String>) -> Self {
        Self::Info { code: code.to_owned(), reason: String::new(), message: message.into() }
    }
}

/// The refusals that are final for their delivery: documented, and nothing was done. Whatever is not among them, also
/// what is documented as not tried, counts as unknown and is sent again. NO_KEY_AVAILABLE may come right on a later
/// try, but says of this one that nothing was charged or leased.
const DEFINITE: [&str; 20] = [
    "INVALID_FIELD",
    "REQUEST_ID_REQUIRED",
    "REQUEST_ID_REUSED",
    "TASK_ALREADY_CHARGED",
    "INSUFFICIENT_BALANCE",
    "USER_NOT_FOUND",
    "TASK_NOT_FOUND",
    "ACCOUNT_NOT_FOUND",
    "LEASE_NOT_FOUND",
    "RECONCILIATION_NOT_FOUND",
    "REFUND_EXCEEDS_CHARGE",
    "TASK_STATE_CONFLICT",
    "HOLD_EXPIRED",
    "CAPTURE_EXCEEDS_HOLD",
    "BATCH_ABORTED",
    "ACCOUNT_EXISTS",
    "LEASE_EXPIRED",
    "LEASE_SUPERSEDED",
    "NO_KEY_AVAILABLE",
    "MESSAGE_TOO_LARGE",
];

/// The refusals that a request_id freezes.
pub(crate) const FROZEN: [&str; 5] = [
    "INSUFFICIENT_BALANCE",
    "REFUND_EXCEEDS_CHARGE",
    "TASK_STATE_CONFLICT",
    "HOLD_EXPIRED",
    "CAPTURE_EXCEEDS_HOLD",
];

/// An error of the wire.
pub(crate) fn of_status(status: &Status) -> Outcome {
    let info = status.get_details_error_info().filter(|info| info.domain == pb::ERROR_DOMAIN);
    let (reason, metadata) = info.map(|info| (info.reason, info.metadata)).unwrap_or_default();
    if DEFINITE.contains(&reason.as_str()) {
        return Outcome::Fail(Refused { reason, metadata: metadata.into_iter().collect() });
    }
    let message: String = status.message().chars().take(300).collect();
    Outcome::Info { code: format!("{:?}", status.code()), reason, message }
}

/// The error of an item of a batch.
pub(crate) fn of_item(error: tonic_types::Status) -> Outcome {
    let details = prost::Message::encode_to_vec(&error);
    of_status(&Status::with_details(tonic::Code::from_i32(error.code), error.message, details.into()))
}

pub(crate) fn entry(entry: pb::Entry) -> Entry {
    let operation = entry.operation().as_str_name().trim_start_matches("OPERATION_").to_lowercase();
    let source = entry.source_type().as_str_name().trim_start_matches("SOURCE_TYPE_").to_lowercase();
    let purse = if entry.purse() == pb::Purse::Cash { Purse::Cash } else { Purse::Points };
    Entry {
        user: entry.user_id,
        seq: entry.user_seq,
        purse,
        amount: entry.amount,
        before: entry.balance_before,
        after: entry.balance_after,
        operation,
        source,
        order: entry.order_id,
        title: entry.title,
        at: entry.create_time.map_or(0, |at| micros(&at)),
    }
}

fn micros(at: &Timestamp) -> i64 {
    at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000
}

pub(crate) fn balance(balance: pb::Balance) -> Balance {
    Balance {
        user: balance.user_id,
        points: balance.points,
        cash: balance.cash,
        points_held: balance.points_held.unwrap_or_default(),
        cash_held: balance.cash_held.unwrap_or_default(),
        available: balance.available.unwrap_or_default(),
        total: balance.total,
        seq: balance.entry_seq,
    }
}

pub(crate) fn task(task: pb::Task) -> TaskTold {
    let status = task.status().as_str_name().trim_start_matches("TASK_STATUS_").to_lowercase();
    TaskTold {
        task: task.task_id,
        user: task.user_id,
        status,
        app: task.app_name,
        money: task.money,
        refunded: task.refunded,
        held: task.held,
    }
}

pub(crate) fn lease(lease: pb::KeyLease) -> LeaseTold {
    let is_active = lease.state() == pb::LeaseState::Active;
    LeaseTold {
        lease: lease.lease_id,
        account: lease.account_id,
        key: lease.key_id,
        task: lease.task_id,
        runner: lease.runner_id,
        fence: lease.fence,
        is_active,
    }
}
