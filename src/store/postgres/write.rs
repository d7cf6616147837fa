//! A plan as bulk statements: one array a column, in the order of the placeholders of the `.sql` files.
//!
//! 1. new users, if any: what is theirs comes after them
//! 2. what nearly every batch writes
//! 3. changed tasks and attempts, if any

use std::time::Duration;

use sqlx::postgres::PgBindIterExt;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::error::Trouble;
use super::session::{Statement, execute, row};
use super::time::Stamp;
use crate::ledger::{
    Change, EntryRange, Fingerprint, Frozen, HoldState, Micros, Plan, RequestRecord, Task, TaskWrite, Text,
    User,
};

/// Writes a plan. `batch_id` is `None` where it has been written before. Whatever does not go as planned is an error,
/// and the caller rolls back.
pub(super) async fn write(
    connection: &mut PgConnection,
    limit: Duration,
    batch_id: Option<Uuid>,
    plan: &Plan,
) -> Result<(), Trouble> {
    let new_users: Vec<&User> = users(plan, Change::Insert).collect();
    if !new_users.is_empty() {
        let statement = sqlx::query(include_str!("sql/writer_insert_users.sql"));
        let statement = bind_users(statement, &new_users, Change::Insert);
        execute(connection, limit, statement).await?;
    }

    let changed_users: Vec<&User> = users(plan, Change::Update).collect();
    let refusals = refusals(&plan.requests)?;
    let statement = sqlx::query(include_str!("sql/writer_write.sql"));
    let statement = statement.bind(batch_id.into_iter().bind_iter());
    let statement = bind_users(statement, &changed_users, Change::Update);
    let statement = bind_new_tasks(statement, plan);
    let statement = bind_entries(statement, plan);
    let statement = bind_requests(statement, &plan.requests, &refusals);
    let found: i64 = row(connection, limit, statement).await?.try_get("users")?;
    expect(found, changed_users.len(), "users")?;

    let changed_tasks: Vec<&TaskWrite> = tasks(plan, Change::Update).collect();
    if changed_tasks.is_empty() && plan.attempts.is_empty() {
        return Ok(());
    }
    let statement = sqlx::query(include_str!("sql/writer_write_tasks.sql"));
    let statement = bind_changed_tasks(statement, &changed_tasks);
    let statement = bind_attempts(statement, plan);
    let found: i64 = row(connection, limit, statement).await?.try_get("tasks")?;
    expect(found, changed_tasks.len(), "tasks")
}

/// Whether as many rows were found as were planned.
pub(super) fn expect(found: i64, planned: usize, rows: &str) -> Result<(), Trouble> {
    if usize::try_from(found) == Ok(planned) {
        return Ok(());
    }
    Err(Trouble::Wrong(format!("{found} of {planned} {rows} were found to be updated")))
}

fn users(plan: &Plan, wanted: Change) -> impl Iterator<Item = &User> {
    plan.users.iter().filter(move |(change, _)| *change == wanted).map(|(_, user)| user)
}

fn tasks(plan: &Plan, wanted: Change) -> impl Iterator<Item = &TaskWrite> {
    plan.tasks.iter().filter(move |write| write.change == wanted)
}

/// The frozen refusals as JSON, aligned with the requests.
fn refusals(requests: &[RequestRecord]) -> Result<Vec<Option<String>>, Trouble> {
    let json = |request: &RequestRecord| match &request.frozen {
        Frozen::Done { .. } => Ok(None),
        Frozen::Refused(refusal) => serde_json::to_string(refusal).map(Some),
    };
    let refusals = requests.iter().map(json).collect::<Result<_, _>>();
    refusals.map_err(|error| Trouble::Wrong(format!("a refusal cannot be written as JSON: {error}")))
}

fn bind_users<'q>(statement: Statement<'q>, users: &'q [&'q User], change: Change) -> Statement<'q> {
    let statement = statement
        .bind(users.iter().map(|user| user.user_id).bind_iter())
        .bind(users.iter().map(|user| user.balance.points).bind_iter())
        .bind(users.iter().map(|user| user.balance.cash).bind_iter())
        .bind(users.iter().map(|user| user.held.points).bind_iter())
        .bind(users.iter().map(|user| user.held.cash).bind_iter())
        .bind(users.iter().map(|user| user.entry_seq).bind_iter())
        .bind(users.iter().map(|user| user.chain_hash.0).bind_iter())
        .bind(users.iter().map(|user| Stamp(user.last_entry_time)).bind_iter());
    let statement = match change {
        Change::Insert => statement.bind(users.iter().map(|user| Stamp(user.create_time)).bind_iter()),
        Change::Update => statement,
    };
    statement.bind(users.iter().map(|user| Stamp(user.update_time)).bind_iter())
}

fn bind_new_tasks<'q>(statement: Statement<'q>, plan: &'q Plan) -> Statement<'q> {
    let writes = || tasks(plan, Change::Insert);
    let rows = || writes().map(|write| &*write.task);
    let output = |write: &'q TaskWrite| write.output_params.as_deref().unwrap_or_default();
    statement
        .bind(rows().map(|task| task.user_id).bind_iter())
        .bind(rows().map(|task| &*task.task_id).bind_iter())
        .bind(rows().map(|task| &*task.online_task_id).bind_iter())
        .bind(rows().map(|task| &*task.app_name).bind_iter())
        .bind(rows().map(|task| &*task.key_id).bind_iter())
        .bind(rows().map(|task| &*task.task_type).bind_iter())
        .bind(rows().map(|task| task.status.as_str()).bind_iter())
        .bind(rows().map(|task| task.money).bind_iter())
        .bind(writes().map(|write| &*write.input_params).bind_iter())
        .bind(writes().map(output).bind_iter())
        .bind(rows().map(|task| Stamp(task.create_time)).bind_iter())
        .bind(rows().map(|task| stamp(task.complete_time)).bind_iter())
        .bind(rows().map(|task| task.charged.points).bind_iter())
        .bind(rows().map(|task| task.charged.cash).bind_iter())
        .bind(rows().map(|task| task.refunded.points).bind_iter())
        .bind(rows().map(|task| task.refunded.cash).bind_iter())
        .bind(rows().map(|task| task.held.points).bind_iter())
        .bind(rows().map(|task| task.held.cash).bind_iter())
        .bind(rows().map(|task| task.authorized.points).bind_iter())
        .bind(rows().map(|task| task.authorized.cash).bind_iter())
        .bind(rows().map(|task| task.hold_state.map(HoldState::as_str)).bind_iter())
        .bind(rows().map(|task| stamp(task.hold_expire_time)).bind_iter())
        .bind(rows().map(|task| task.reported_cost_nano_usd).bind_iter())
        .bind(rows().map(|task| text(&task.billable_units)).bind_iter())
        .bind(rows().map(|task| text(&task.lease_id)).bind_iter())
        .bind(rows().map(|task| text(&task.error)).bind_iter())
        .bind(rows().map(|task| text(&task.title)).bind_iter())
        .bind(rows().map(|task| &*task.deployment_uuid).bind_iter())
        .bind(rows().map(|task| task.pay_type).bind_iter())
        .bind(rows().map(|task| task.fingerprint.as_bytes()).bind_iter())
        .bind(rows().map(settle_fingerprint).bind_iter())
        .bind(rows().map(|task| task.charge_seq).bind_iter())
        .bind(rows().map(|task| first(task.refund_entries)).bind_iter())
        .bind(rows().map(|task| count(task.refund_entries)).bind_iter())
        .bind(rows().map(|task| first(task.settle_entries)).bind_iter())
        .bind(rows().map(|task| count(task.settle_entries)).bind_iter())
}

fn bind_changed_tasks<'q>(statement: Statement<'q>, writes: &'q [&'q TaskWrite]) -> Statement<'q> {
    let rows = || writes.iter().map(|write| &*write.task);
    statement
        .bind(rows().map(|task| task.user_id).bind_iter())
        .bind(rows().map(|task| &*task.task_id).bind_iter())
        .bind(rows().map(|task| &*task.online_task_id).bind_iter())
        .bind(rows().map(|task| &*task.key_id).bind_iter())
        .bind(rows().map(|task| task.status.as_str()).bind_iter())
        .bind(rows().map(|task| task.money).bind_iter())
        .bind(rows().map(|task| stamp(task.complete_time)).bind_iter())
        .bind(rows().map(|task| task.charged.points).bind_iter())
        .bind(rows().map(|task| task.charged.cash).bind_iter())
        .bind(rows().map(|task| task.refunded.points).bind_iter())
        .bind(rows().map(|task| task.refunded.cash).bind_iter())
        .bind(rows().map(|task| task.held.points).bind_iter())
        .bind(rows().map(|task| task.held.cash).bind_iter())
        .bind(rows().map(|task| task.hold_state.map(HoldState::as_str)).bind_iter())
        .bind(rows().map(|task| stamp(task.hold_expire_time)).bind_iter())
        .bind(rows().map(|task| task.reported_cost_nano_usd).bind_iter())
        .bind(rows().map(|task| text(&task.billable_units)).bind_iter())
        .bind(rows().map(|task| text(&task.lease_id)).bind_iter())
        .bind(rows().map(|task| text(&task.error)).bind_iter())
        .bind(rows().map(settle_fingerprint).bind_iter())
        .bind(rows().map(|task| task.charge_seq).bind_iter())
        .bind(rows().map(|task| first(task.refund_entries)).bind_iter())
        .bind(rows().map(|task| count(task.refund_entries)).bind_iter())
        .bind(rows().map(|task| first(task.settle_entries)).bind_iter())
        .bind(rows().map(|task| count(task.settle_entries)).bind_iter())
        .bind(writes.iter().map(|write| text(&write.output_params)).bind_iter())
}

fn bind_attempts<'q>(statement: Statement<'q>, plan: &'q Plan) -> Statement<'q> {
    let rows = || plan.attempts.iter();
    statement
        .bind(rows().map(|attempt| attempt.user_id).bind_iter())
        .bind(rows().map(|attempt| &*attempt.task_id).bind_iter())
        .bind(rows().map(|attempt| attempt.attempt).bind_iter())
        .bind(rows().map(|attempt| &*attempt.online_task_id).bind_iter())
        .bind(rows().map(|attempt| &*attempt.key_id).bind_iter())
        .bind(rows().map(|attempt| text(&attempt.lease_id)).bind_iter())
        .bind(rows().map(|attempt| Stamp(attempt.start_time)).bind_iter())
}

fn bind_entries<'q>(statement: Statement<'q>, plan: &'q Plan) -> Statement<'q> {
    let rows = || plan.entries.iter();
    statement
        .bind(rows().map(|entry| entry.user_id).bind_iter())
        .bind(rows().map(|entry| entry.user_seq).bind_iter())
        .bind(rows().map(|entry| entry.amount).bind_iter())
        .bind(rows().map(|entry| &*entry.order_id).bind_iter())
        .bind(rows().map(|entry| &*entry.title).bind_iter())
        .bind(rows().map(|entry| &*entry.deployment_uuid).bind_iter())
        .bind(rows().map(|entry| Stamp(entry.time)).bind_iter())
        .bind(rows().map(|entry| i32::from(entry.transaction_type().code())).bind_iter())
        .bind(rows().map(|entry| entry.pay_type).bind_iter())
        .bind(rows().map(|entry| i32::from(entry.purse.is_cash())).bind_iter())
        .bind(rows().map(|entry| entry.operation.as_str()).bind_iter())
        .bind(rows().map(|entry| entry.source_type.as_str()).bind_iter())
        .bind(rows().map(|entry| entry.balance_before).bind_iter())
        .bind(rows().map(|entry| entry.balance_after).bind_iter())
        .bind(rows().map(|entry| text(&entry.request_id)).bind_iter())
        .bind(rows().map(|entry| &*entry.actor).bind_iter())
        .bind(rows().map(|entry| entry.hash.0).bind_iter())
}

fn bind_requests<'q>(
    statement: Statement<'q>,
    requests: &'q [RequestRecord],
    refusals: &'q [Option<String>],
) -> Statement<'q> {
    let rows = || requests.iter();
    let done = |request: &RequestRecord| match &request.frozen {
        Frozen::Done { entries, late, .. } => (*entries, *late),
        Frozen::Refused(_) => (None, false),
    };
    let lease_id = |request: &'q RequestRecord| match &request.frozen {
        Frozen::Done { lease_id, .. } => text(lease_id),
        Frozen::Refused(_) => None,
    };
    statement
        .bind(rows().map(|request| request.user_id).bind_iter())
        .bind(rows().map(|request| &*request.request_id).bind_iter())
        .bind(rows().map(|request| request.method.as_str()).bind_iter())
        .bind(rows().map(|request| text(&request.task_id)).bind_iter())
        .bind(rows().map(|request| request.fingerprint.as_bytes()).bind_iter())
        .bind(rows().map(move |request| first(done(request).0)).bind_iter())
        .bind(rows().map(move |request| count(done(request).0)).bind_iter())
        .bind(rows().map(move |request| done(request).1).bind_iter())
        .bind(refusals.iter().map(Option::as_deref).bind_iter())
        .bind(rows().map(lease_id).bind_iter())
        .bind(rows().map(|request| Stamp(request.create_time)).bind_iter())
}

pub(super) fn stamp(moment: Option<Micros>) -> Option<Stamp> {
    moment.map(Stamp)
}

pub(super) fn text(text: &Option<Text>) -> Option<&str> {
    text.as_deref()
}

fn settle_fingerprint(task: &Task) -> Option<&[u8]> {
    task.settle_fingerprint.as_ref().map(Fingerprint::as_bytes)
}

fn first(range: Option<EntryRange>) -> Option<i64> {
    range.map(|range| range.first_seq)
}

fn count(range: Option<EntryRange>) -> Option<i16> {
    range.map(|range| range.count)
}
