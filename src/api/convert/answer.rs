//! Answers: rows of the domain as messages.

use crate::engine::rows::{FinancialTransaction, PastBalance, PointsDetail, TaskRecord};
use crate::engine::{Answer, GrantedKey};
use crate::keypool::LeaseState;
use crate::ledger::{Entry, Money, Task, User, UserId};
use crate::pb;

use super::time::timestamp;

impl From<Answer> for pb::ChargeResponse {
    fn from(answer: Answer) -> Self {
        charged(&answer, true)
    }
}

impl From<Answer> for pb::AuthorizeResponse {
    fn from(answer: Answer) -> Self {
        let (task, balance) = (task_of(&answer), Some(balance(&answer.user)));
        Self { task, balance, lease: answer.lease.as_ref().map(lease), replayed: answer.replayed }
    }
}

impl From<Answer> for pb::CaptureResponse {
    fn from(answer: Answer) -> Self {
        let (task, entries, balance) = parts(&answer);
        Self { task, entries, balance, replayed: answer.replayed }
    }
}

impl From<Answer> for pb::VoidResponse {
    fn from(answer: Answer) -> Self {
        let (task, balance) = (task_of(&answer), Some(balance(&answer.user)));
        Self { task, balance, replayed: answer.replayed }
    }
}

impl From<Answer> for pb::RefundResponse {
    fn from(answer: Answer) -> Self {
        let (task, entries, balance) = parts(&answer);
        Self { task, entries, balance, replayed: answer.replayed }
    }
}

impl From<Answer> for pb::CreditResponse {
    fn from(answer: Answer) -> Self {
        let (_, entries, balance) = parts(&answer);
        Self { entries, balance, replayed: answer.replayed }
    }
}

impl From<Answer> for pb::DebitResponse {
    fn from(answer: Answer) -> Self {
        let (_, entries, balance) = parts(&answer);
        Self { entries, balance, replayed: answer.replayed }
    }
}

impl From<Answer> for pb::StartTaskResponse {
    fn from(answer: Answer) -> Self {
        Self { task: task_of(&answer) }
    }
}

impl From<Answer> for pb::CompleteTaskResponse {
    fn from(answer: Answer) -> Self {
        let (task, entries, balance) = parts(&answer);
        Self { task, entries, balance, late: answer.late, replayed: answer.replayed }
    }
}

impl From<Answer> for pb::FailTaskResponse {
    fn from(answer: Answer) -> Self {
        let (task, entries, balance) = parts(&answer);
        Self { task, entries, balance, replayed: answer.replayed }
    }
}

/// The answer to a charge, alone or in a batch, which answers task and balance only if asked to.
pub(in crate::api) fn charged(answer: &Answer, full: bool) -> pb::ChargeResponse {
    pb::ChargeResponse {
        task: full.then(|| task_of(answer)).flatten(),
        entries: entries_of(answer),
        balance: full.then(|| balance(&answer.user)),
        lease: answer.lease.as_ref().map(lease),
        replayed: answer.replayed,
    }
}

impl From<Answer> for pb::SelectKeyResponse {
    fn from(answer: Answer) -> Self {
        Self { lease: answer.lease.as_ref().map(lease), replayed: answer.replayed }
    }
}

/// A lease as its runner is told of it: the one place where a key goes onto the wire.
pub(in crate::api) fn lease(granted: &GrantedKey) -> pb::KeyLease {
    let GrantedKey { lease, account_name, state, api_key } = granted;
    pb::KeyLease {
        lease_id: lease.lease_id.to_string(),
        account_id: lease.account_id,
        account_name: account_name.to_string(),
        key_id: lease.key_id.to_string(),
        api_key: api_key.as_ref().map(|key| key.expose().to_owned()).unwrap_or_default(),
        fence: lease.fence,
        expire_time: Some(timestamp(lease.expire_time)),
        state: match state {
            LeaseState::Active => pb::LeaseState::Active,
            LeaseState::Released => pb::LeaseState::Released,
            LeaseState::Expired => pb::LeaseState::Expired,
        }
        .into(),
        runner_id: lease.runner_id.to_string(),
        task_id: lease.task_id.to_string(),
        acquire_time: Some(timestamp(lease.acquire_time)),
        outcome: lease.outcome.map_or(pb::LeaseOutcome::Unspecified, Into::into).into(),
    }
}

fn parts(answer: &Answer) -> (Option<pb::Task>, Vec<pb::Entry>, Option<pb::Balance>) {
    (task_of(answer), entries_of(answer), Some(balance(&answer.user)))
}

fn task_of(answer: &Answer) -> Option<pb::Task> {
    answer.task.as_deref().map(task)
}

fn entries_of(answer: &Answer) -> Vec<pb::Entry> {
    answer.entries.iter().map(|row| entry(row)).collect()
}

/// What a user has now.
pub(in crate::api) fn balance(user: &User) -> pb::Balance {
    pb::Balance {
        user_id: user.user_id,
        points: user.balance.points,
        cash: user.balance.cash,
        points_held: Some(user.held.points),
        cash_held: Some(user.held.cash),
        held: Some(user.held.total()),
        available: Some(user.available().total()),
        total: user.balance.total(),
        entry_seq: user.entry_seq,
        update_time: Some(timestamp(user.update_time)),
    }
}

/// What a user had. What was held then is not known, and not invented.
pub(in crate::api) fn past_balance(user_id: UserId, past: &PastBalance) -> pb::Balance {
    pb::Balance {
        user_id,
        points: past.points,
        cash: past.cash,
        points_held: None,
        cash_held: None,
        held: None,
        available: None,
        total: Money { points: past.points, cash: past.cash }.total(),
        entry_seq: past.entry_seq,
        update_time: past.time.map(timestamp),
    }
}

pub(in crate::api) fn entry(entry: &Entry) -> pb::Entry {
    pb::Entry {
        user_id: entry.user_id,
        user_seq: entry.user_seq,
        purse: pb::Purse::from(entry.purse).into(),
        amount: entry.amount,
        balance_before: entry.balance_before,
        balance_after: entry.balance_after,
        operation: pb::Operation::from(entry.operation).into(),
        source_type: pb::SourceType::from(entry.source_type).into(),
        order_id: entry.order_id.to_string(),
        title: entry.title.to_string(),
        create_time: Some(timestamp(entry.time)),
    }
}

/// A task without its JSON, as writing calls answer it.
fn task(task: &Task) -> pb::Task {
    pb::Task {
        task_id: task.task_id.to_string(),
        user_id: task.user_id,
        online_task_id: task.online_task_id.to_string(),
        app_name: task.app_name.to_string(),
        key_id: task.key_id.to_string(),
        task_type: task.task_type.to_string(),
        status: pb::TaskStatus::from(task.status).into(),
        money: task.money,
        is_refund: !task.refunded.is_zero(),
        input_params: String::new(),
        output_params: String::new(),
        create_time: Some(timestamp(task.create_time)),
        complete_time: task.complete_time.map(timestamp),
        cost_nano_usd: task.cost_nano_usd(),
        reported_cost_nano_usd: task.reported_cost_nano_usd,
        billed_cost_nano_usd: task.billed_cost_nano_usd,
        billable_units: task.billable_units.as_deref().unwrap_or_default().to_owned(),
        refunded: task.refunded.total(),
        held: task.held.total(),
        hold_expire_time: task.hold_expire_time.map(timestamp),
        error: task.error.as_deref().unwrap_or_default().to_owned(),
        lease_id: task.lease_id.as_deref().unwrap_or_default().to_owned(),
    }
}

impl From<TaskRecord> for pb::Task {
    fn from(record: TaskRecord) -> Self {
        Self {
            is_refund: record.is_refund,
            input_params: record.input_params.to_string(),
            output_params: record.output_params.to_string(),
            ..task(&record.task)
        }
    }
}

impl From<PointsDetail> for pb::PointsDetail {
    fn from(row: PointsDetail) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            points: row.points,
            order_id: row.order_id.to_string(),
            title: row.title.to_string(),
            source_type: pb::SourceType::from(row.source_type).into(),
            balance_before: row.balance_before,
            balance_after: row.balance_after,
            create_time: Some(timestamp(row.created_at)),
        }
    }
}

impl From<FinancialTransaction> for pb::FinancialTransaction {
    fn from(row: FinancialTransaction) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            money: row.money,
            order_id: row.order_id.to_string(),
            title: row.title.to_string(),
            deployment_uuid: row.deployment_uuid.to_string(),
            create_time: Some(timestamp(row.time)),
            transaction_type: row.transaction_type.into(),
            pay_type: row.pay_type,
            is_cash: row.is_cash,
        }
    }
}
