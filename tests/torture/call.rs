//! What callers ask for: each call with all of its content, as it is written to the history and sent again unchanged.

use std::fmt;

use prost_types::Duration as ProtoDuration;
use scrip::pb;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purse {
    Points,
    Cash,
}

impl Purse {
    pub(crate) const fn proto(self) -> pb::Purse {
        match self {
            Self::Points => pb::Purse::Points,
            Self::Cash => pb::Purse::Cash,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Funding {
    Both,
    Points,
    Cash,
}

impl Funding {
    const fn proto(self) -> pb::Funding {
        match self {
            Self::Both => pb::Funding::Unspecified,
            Self::Points => pb::Funding::PointsOnly,
            Self::Cash => pb::Funding::CashOnly,
        }
    }
}

/// A charge, also one of a batch, and what a hold says besides its time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Charge {
    pub(crate) request: String,
    pub(crate) user: i64,
    pub(crate) task: String,
    pub(crate) amount: i64,
    pub(crate) app: String,
    pub(crate) funding: Funding,
    /// The runner that wants a key with it.
    pub(crate) runner: Option<String>,
}

impl Charge {
    /// What a repeat is compared by: the request_id and the wish for a key are not.
    pub(crate) fn content(&self) -> (i64, i64, &str, Funding) {
        (self.user, self.amount, &self.app, self.funding)
    }

    fn proto(&self) -> pb::ChargeRequest {
        pb::ChargeRequest {
            request_id: self.request.clone(),
            user_id: self.user,
            task_id: self.task.clone(),
            amount: self.amount,
            app_name: self.app.clone(),
            input_params: input_of(&self.task),
            funding: self.funding.proto().into(),
            select_key: self.selection(),
            ..Default::default()
        }
    }

    fn selection(&self) -> Option<pb::KeySelection> {
        let runner_id = self.runner.clone()?;
        Some(pb::KeySelection { runner_id, ttl: millis(LEASE_MILLIS), ..Default::default() })
    }
}

/// How long leases live that come with a charge: short, so that some are never given back and expire.
const LEASE_MILLIS: i64 = 15_000;

/// The input of a task, as it was sent and is to be stored.
pub(crate) fn input_of(task: &str) -> String {
    format!(r#"{{"prompt":"{task}"}}"#)
}

/// How a task ended, as its runner reports it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Settle {
    pub(crate) request: String,
    pub(crate) user: i64,
    pub(crate) task: String,
    pub(crate) online: String,
    pub(crate) lease: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Call {
    Charge(Charge),
    Batch { items: Vec<Charge>, atomic: bool },
    Authorize { charge: Charge, ttl_millis: i64 },
    Capture { request: String, user: i64, task: String, amount: i64 },
    Void { request: String, user: i64, task: String, reason: String },
    Refund { request: String, user: i64, task: String, amount: Option<i64> },
    Credit { request: String, user: i64, amount: i64, purse: Purse, order: String },
    Debit { request: String, user: i64, amount: i64, order: String },
    Start { user: i64, task: String, online: String, lease: String },
    Complete { settle: Settle, cost: i64, capture: Option<i64> },
    Fail { settle: Settle, error: String, keep_charge: bool, http_status: i32 },
    Select { request: String, user: i64, task: String, runner: String, ttl_millis: i64 },
    Renew { lease: String, ttl_millis: i64 },
    Release { lease: String, http_status: i32 },
    Balance { user: i64 },
    Task { user: i64, task: String },
    Entries { user: i64 },
}

/// The kinds that the mix and the report tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Charge,
    Batch,
    Authorize,
    Capture,
    Void,
    Refund,
    Credit,
    Debit,
    Start,
    Complete,
    Fail,
    Select,
    Renew,
    Release,
    Read,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}").to_lowercase())
    }
}

impl Call {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Charge(_) => Kind::Charge,
            Self::Batch { .. } => Kind::Batch,
            Self::Authorize { .. } => Kind::Authorize,
            Self::Capture { .. } => Kind::Capture,
            Self::Void { .. } => Kind::Void,
            Self::Refund { .. } => Kind::Refund,
            Self::Credit { .. } => Kind::Credit,
            Self::Debit { .. } => Kind::Debit,
            Self::Start { .. } => Kind::Start,
            Self::Complete { .. } => Kind::Complete,
            Self::Fail { .. } => Kind::Fail,
            Self::Select { .. } => Kind::Select,
            Self::Renew { .. } => Kind::Renew,
            Self::Release { .. } => Kind::Release,
            Self::Balance { .. } | Self::Task { .. } | Self::Entries { .. } => Kind::Read,
        }
    }

    pub(crate) const fn is_write(&self) -> bool {
        !matches!(self.kind(), Kind::Read)
    }

    /// The user whose ledger it may move, or whose figures it reads.
    pub(crate) const fn user(&self) -> Option<i64> {
        match self {
            Self::Charge(charge) | Self::Authorize { charge, .. } => Some(charge.user),
            Self::Complete { settle, .. } | Self::Fail { settle, .. } => Some(settle.user),
            Self::Capture { user, .. }
            | Self::Void { user, .. }
            | Self::Refund { user, .. }
            | Self::Credit { user, .. }
            | Self::Debit { user, .. }
            | Self::Start { user, .. }
            | Self::Select { user, .. }
            | Self::Balance { user }
            | Self::Task { user, .. }
            | Self::Entries { user } => Some(*user),
            Self::Batch { .. } | Self::Renew { .. } | Self::Release { .. } => None,
        }
    }

    /// Whether its message says whose it is. Calls with a request_id do, others leave it to the server to find by the
    /// task: both ways are to be used.
    pub(crate) fn names_user(&self) -> bool {
        !self.request().is_empty() || matches!(self, Self::Task { .. })
    }

    /// The request_id; empty where there is none. That of a batch's items is the items'.
    pub(crate) fn request(&self) -> &str {
        match self {
            Self::Charge(charge) | Self::Authorize { charge, .. } => &charge.request,
            Self::Complete { settle, .. } | Self::Fail { settle, .. } => &settle.request,
            Self::Capture { request, .. }
            | Self::Void { request, .. }
            | Self::Refund { request, .. }
            | Self::Credit { request, .. }
            | Self::Debit { request, .. }
            | Self::Select { request, .. } => request,
            Self::Batch { .. }
            | Self::Start { .. }
            | Self::Renew { .. }
            | Self::Release { .. }
            | Self::Balance { .. }
            | Self::Task { .. }
            | Self::Entries { .. } => "",
        }
    }

    pub(crate) fn task(&self) -> Option<&str> {
        match self {
            Self::Charge(charge) | Self::Authorize { charge, .. } => Some(&charge.task),
            Self::Complete { settle, .. } | Self::Fail { settle, .. } => Some(&settle.task),
            Self::Capture { task, .. }
            | Self::Void { task, .. }
            | Self::Refund { task, .. }
            | Self::Start { task, .. }
            | Self::Select { task, .. }
            | Self::Task { task, .. } => Some(task),
            Self::Batch { .. }
            | Self::Credit { .. }
            | Self::Debit { .. }
            | Self::Renew { .. }
            | Self::Release { .. }
            | Self::Balance { .. }
            | Self::Entries { .. } => None,
        }
    }
}

/// Each message of the wire.
pub(crate) mod message {
    use super::{Call, Charge, Settle, millis, pb};

    /// The user, where the call is to name it.
    fn named(user: i64, request: &str) -> i64 {
        if request.is_empty() { 0 } else { user }
    }

    pub(crate) fn charge(charge: &Charge) -> pb::ChargeRequest {
        charge.proto()
    }

    pub(crate) fn batch(items: &[Charge], atomic: bool) -> pb::BatchChargeRequest {
        let requests = items.iter().map(Charge::proto).collect();
        pb::BatchChargeRequest { requests, atomic, full_results: true }
    }

    pub(crate) fn authorize(charge: &Charge, ttl_millis: i64) -> pb::AuthorizeRequest {
        let plain = charge.proto();
        pb::AuthorizeRequest {
            request_id: plain.request_id,
            user_id: plain.user_id,
            task_id: plain.task_id,
            amount: plain.amount,
            app_name: plain.app_name,
            input_params: plain.input_params,
            funding: plain.funding,
            select_key: plain.select_key,
            ttl: millis(ttl_millis),
            ..Default::default()
        }
    }

    pub(crate) fn capture(request: &str, user: i64, task: &str, amount: i64) -> pb::CaptureRequest {
        let user_id = named(user, request);
        pb::CaptureRequest { request_id: request.into(), task_id: task.into(), amount, user_id }
    }

    pub(crate) fn void(request: &str, user: i64, task: &str, reason: &str) -> pb::VoidRequest {
        let user_id = named(user, request);
        pb::VoidRequest { request_id: request.into(), task_id: task.into(), reason: reason.into(), user_id }
    }

    pub(crate) fn refund(request: &str, user: i64, task: &str, amount: Option<i64>) -> pb::RefundRequest {
        pb::RefundRequest {
            request_id: request.into(),
            task_id: task.into(),
            amount,
            user_id: named(user, request),
            ..Default::default()
        }
    }

    pub(crate) fn credit(call: &Call) -> Option<pb::CreditRequest> {
        let Call::Credit { request, user, amount, purse, order } = call else { return None };
        Some(pb::CreditRequest {
            request_id: request.clone(),
            user_id: *user,
            amount: *amount,
            purse: purse.proto().into(),
            source_type: pb::SourceType::Recharge.into(),
            order_id: order.clone(),
            ..Default::default()
        })
    }

    pub(crate) fn debit(request: &str, user: i64, amount: i64, order: &str) -> pb::DebitRequest {
        let (request_id, order_id) = (request.into(), order.into());
        pb::DebitRequest { request_id, user_id: user, amount, order_id, ..Default::default() }
    }

    pub(crate) fn start(task: &str, online: &str, lease: &str) -> pb::StartTaskRequest {
        pb::StartTaskRequest {
            task_id: task.into(),
            online_task_id: online.into(),
            // A runner that has its key from elsewhere says which, one that leased it names the lease.
            key_id: if lease.is_empty() { "key-3".into() } else { String::new() },
            lease_id: lease.into(),
            user_id: 0,
        }
    }

    pub(crate) fn complete(settle: &Settle, cost: i64, capture: Option<i64>) -> pb::CompleteTaskRequest {
        pb::CompleteTaskRequest {
            request_id: settle.request.clone(),
            task_id: settle.task.clone(),
            online_task_id: settle.online.clone(),
            output_params: r#"{"images":1}"#.into(),
            cost_nano_usd: Some(cost),
            lease_id: settle.lease.clone(),
            capture_amount: capture,
            user_id: named(settle.user, &settle.request),
            ..Default::default()
        }
    }

    pub(crate) fn fail(settle: &Settle, error: &str, keep: bool, http_status: i32) -> pb::FailTaskRequest {
        pb::FailTaskRequest {
            request_id: settle.request.clone(),
            task_id: settle.task.clone(),
            online_task_id: settle.online.clone(),
            error: error.into(),
            no_refund: keep,
            lease_id: settle.lease.clone(),
            http_status,
            user_id: named(settle.user, &settle.request),
            ..Default::default()
        }
    }

    pub(crate) fn select(call: &Call) -> Option<pb::SelectKeyRequest> {
        let Call::Select { request, user, task, runner, ttl_millis } = call else { return None };
        Some(pb::SelectKeyRequest {
            request_id: request.clone(),
            task_id: task.clone(),
            runner_id: runner.clone(),
            ttl: millis(*ttl_millis),
            user_id: named(*user, request),
            ..Default::default()
        })
    }

    pub(crate) fn renew(lease: &str, ttl_millis: i64) -> pb::RenewLeaseRequest {
        pb::RenewLeaseRequest { lease_id: lease.into(), ttl: millis(ttl_millis) }
    }

    pub(crate) fn release(lease: &str, http_status: i32) -> pb::ReleaseKeyRequest {
        pb::ReleaseKeyRequest { lease_id: lease.into(), http_status, ..Default::default() }
    }
}

/// A duration of the wire; 0 leaves it to the server's default.
fn millis(millis: i64) -> Option<ProtoDuration> {
    let nanos = i32::try_from(millis % 1_000 * 1_000_000).expect("below a second");
    (millis > 0).then_some(ProtoDuration { seconds: millis / 1_000, nanos })
}
