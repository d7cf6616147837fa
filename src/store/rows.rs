//! Rows and queries that are not the ledger's own: what lists page through, and what `verify` reads back.

use crate::keypool::{Account, AccountId, Lease, Sealed, Workspace};
use crate::ledger::hash::{ChainFields, PointsFields};
use crate::ledger::{Hash, Micros, Operation, Purse, SourceType, Task, TaskStatus, Text, UserId};

/// How much of a list to answer, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only rows before this key; `None` starts at the newest.
    pub before: Option<i64>,
    /// At most this many rows.
    pub limit: u32,
}

/// [start, end) of a list; either side may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Range {
    /// The first moment within.
    pub start: Option<Micros>,
    /// The first moment past it.
    pub end: Option<Micros>,
}

/// Which entries to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryQuery {
    /// Whose.
    pub user_id: UserId,
    /// Only this purse.
    pub purse: Option<Purse>,
    /// Only this operation.
    pub operation: Option<Operation>,
    /// Only this order.
    pub order_id: Option<Text>,
    /// When.
    pub range: Range,
}

/// Which points rows to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointsQuery {
    /// Whose.
    pub user_id: UserId,
    /// Only of this source.
    pub source_type: Option<SourceType>,
    /// Only this order.
    pub order_id: Option<Text>,
    /// When.
    pub range: Range,
}

/// Which financial rows to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinancialQuery {
    /// Whose.
    pub user_id: UserId,
    /// Only this order.
    pub order_id: Option<Text>,
    /// When.
    pub range: Range,
}

/// Which tasks to list.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TaskQuery {
    /// Only this user's.
    pub user_id: Option<UserId>,
    /// Only where they stand here.
    pub status: Option<TaskStatus>,
    /// Only of this model.
    pub app_name: Option<Text>,
    /// Only run with this key.
    pub key_id: Option<Text>,
    /// When created.
    pub range: Range,
}

/// The key after which a list of users goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserCursor {
    /// The last user's creation.
    pub create_time: Micros,
    /// The last user.
    pub user_id: UserId,
}

/// A row of `ts_points_detail` as the seed names its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the seed's column of that name")]
pub struct PointsDetail {
    pub id: i64,
    pub user_id: UserId,
    pub points: i64,
    pub order_id: Text,
    pub title: Text,
    pub source_type: SourceType,
    pub balance_before: i64,
    pub balance_after: i64,
    pub created_at: Micros,
}

/// A row of `ts_financial_transactions` as the seed names its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the seed's column of that name")]
pub struct FinancialTransaction {
    pub id: i64,
    pub user_id: UserId,
    pub money: i64,
    pub order_id: Text,
    pub title: Text,
    pub deployment_uuid: Text,
    pub time: Micros,
    pub transaction_type: i16,
    pub pay_type: i32,
    pub is_cash: bool,
}

/// What a command must know of its task before the batch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskOwner {
    /// The task.
    pub task_id: Text,
    /// Whose it is.
    pub user_id: UserId,
    /// The model it runs.
    pub app_name: Text,
}

/// A task with what only readers ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// The row's id: the order in which tasks were written.
    pub id: i64,
    /// The task.
    pub task: Task,
    /// The seed's `is_refund` as stored.
    pub is_refund: bool,
    /// The caller's JSON; may be empty.
    pub input_params: Text,
    /// The runner's JSON; may be empty.
    pub output_params: Text,
}

/// The whole key pool at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolRows {
    /// That moment.
    pub now: Micros,
    /// All workspaces.
    pub workspaces: Vec<Workspace>,
    /// All accounts.
    pub accounts: Vec<Account>,
    /// The slots that open leases take of each workspace that has any.
    pub usage: Vec<Usage>,
}

/// What the open leases of a workspace take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The workspace.
    pub workspace: Text,
    /// How many they are.
    pub in_flight: u32,
    /// What their jobs are expected to cost, in nano-USD.
    pub committed_nano_usd: i64,
}

/// An account with what operators ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRecord {
    /// The account.
    pub account: Account,
    /// Its workspace.
    pub workspace: Workspace,
    /// Its own open leases.
    pub in_flight: u32,
}

/// A lease with what its runner is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The lease.
    pub lease: Lease,
    /// Its account's name.
    pub account_name: Text,
    /// The key it was given; `None` once erased.
    pub key: Option<Sealed>,
}

/// A row of `scrip_audit_log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// The row: the order of writing.
    pub id: i64,
    /// When.
    pub time: Micros,
    /// Who.
    pub actor: Text,
    /// What it speaks of: `account`, `workspace` or `lease`.
    pub subject_kind: Text,
    /// Which.
    pub subject: Text,
    /// The account it concerns.
    pub account_id: AccountId,
    /// Why.
    pub reason: Text,
    /// A JSON object of `[before, after]` by field.
    pub changes: Text,
}

/// What operators watch of the whole database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Open holds.
    pub holds: i64,
    /// Points that they set aside, of both purses.
    pub held_points: i64,
    /// Those whose time has passed, and whose task has no live lease.
    pub holds_overdue: i64,
    /// Open leases.
    pub leases: i64,
    /// Those whose time has passed.
    pub leases_overdue: i64,
    /// Bytes of the database; 0 where that is not known.
    pub bytes: i64,
}

/// A user's purses at a past moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastBalance {
    /// The points purse.
    pub points: i64,
    /// The cash purse.
    pub cash: i64,
    /// The number of the last entry by then; 0 before the first.
    pub entry_seq: i64,
    /// When that entry was written.
    pub time: Option<Micros>,
}

/// A financial row and its points twin, word for word as stored: `verify` hashes these, not what they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the column of that name")]
pub struct StoredEntry {
    pub user_id: UserId,
    pub user_seq: i64,
    pub operation: String,
    pub source_type: String,
    pub transaction_type: i16,
    pub is_cash: bool,
    pub money: i64,
    pub balance_before: i64,
    pub balance_after: i64,
    pub order_id: String,
    pub title: String,
    pub deployment_uuid: String,
    pub pay_type: i32,
    pub time: Micros,
    pub request_id: Option<String>,
    pub actor: String,
    pub entry_hash: Hash,
    pub points: Option<StoredPoints>,
}

/// A row of `ts_points_detail` word for word as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the column of that name")]
pub struct StoredPoints {
    pub points: i64,
    pub order_id: String,
    pub title: String,
    pub source_type: String,
    pub balance_before: i64,
    pub balance_after: i64,
    pub created_at: Micros,
    pub request_id: Option<String>,
    pub actor: String,
}

impl StoredEntry {
    /// The stored words as the chain hashes them.
    pub fn chain_fields(&self) -> ChainFields<'_> {
        ChainFields {
            user_id: self.user_id,
            user_seq: self.user_seq,
            operation: &self.operation,
            source_type: &self.source_type,
            transaction_type: self.transaction_type,
            is_cash: self.is_cash,
            money: self.money,
            balance_before: self.balance_before,
            balance_after: self.balance_after,
            order_id: &self.order_id,
            title: &self.title,
            deployment_uuid: &self.deployment_uuid,
            pay_type: self.pay_type,
            time: self.time,
            request_id: self.request_id.as_deref(),
            actor: &self.actor,
            points: self.points.as_ref().map(|row| PointsFields {
                points: row.points,
                order_id: &row.order_id,
                title: &row.title,
                source_type: &row.source_type,
                balance_before: row.balance_before,
                balance_after: row.balance_after,
                created_at: row.created_at,
                request_id: row.request_id.as_deref(),
                actor: &row.actor,
            }),
        }
    }
}
