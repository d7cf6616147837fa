//! Idempotency records: what a `request_id` was first used for, and what came of it.

use super::rejection::FrozenRefusal;
use super::text_enum::text_enum;
use super::{EntryRange, Fingerprint, Micros, Text, UserId};

text_enum! {
    /// The methods whose outcome a `request_id` freezes.
    Method {
        /// BillingService.Charge, alone or in a batch.
        Charge = "charge",
        /// BillingService.Authorize
        Authorize = "authorize",
        /// BillingService.Capture
        Capture = "capture",
        /// BillingService.Void
        Void = "void",
        /// BillingService.Refund
        Refund = "refund",
        /// BillingService.Credit
        Credit = "credit",
        /// BillingService.Debit
        Debit = "debit",
        /// KeyService.SelectKey
        SelectKey = "select_key",
        /// KeyService.CreateAccount
        CreateAccount = "create_account",
        /// KeyService.UpdateAccount
        UpdateAccount = "update_account",
        /// KeyService.DeleteAccount
        DeleteAccount = "delete_account",
        /// ReconciliationService.StartReconciliation
        StartReconciliation = "start_reconciliation",
        /// TaskService.StartTask; it carries no `request_id`.
        StartTask = "start_task",
        /// TaskService.CompleteTask
        CompleteTask = "complete_task",
        /// TaskService.FailTask
        FailTask = "fail_task",
        /// The engine's own record of a job whose key was given back.
        NoteAttempt = "note_attempt",
        /// The engine's own expiry of a hold.
        ExpireHold = "expire_hold",
    }
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frozen {
    /// It was done.
    Done {
        /// The entries it wrote; `None` if it moved no money.
        entries: Option<EntryRange>,
        /// Whether it came too late to change its task.
        late: bool,
        /// The lease it gave; the key itself is never kept here.
        lease_id: Option<Text>,
    },
    /// It was refused, and stays refused.
    Refused(FrozenRefusal),
}

/// A `request_id` and what it is used for.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Whose request; 0 where the method has no user.
    pub user_id: UserId,
    /// The caller's key.
    pub request_id: &'a Text,
    /// What it asks for.
    pub method: Method,
    /// The task it names, if any.
    pub task_id: Option<&'a Text>,
    /// The rest of what it says.
    pub fingerprint: &'a Fingerprint,
}

/// One row of `scrip_requests`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// Whose request; ids of different users do not meet.
    pub user_id: UserId,
    /// The caller's key.
    pub request_id: Text,
    /// What it asked for.
    pub method: Method,
    /// The task it named, if any.
    pub task_id: Option<Text>,
    /// The rest of what it said.
    pub fingerprint: Fingerprint,
    /// What came of it.
    pub frozen: Frozen,
    /// When.
    pub create_time: Micros,
}
