//! A plan as bulk statements: one array a column, in the order of the placeholders of the `.sql` files.
//!
//! 1. new users, if any: what is theirs comes after them
//! 2. what nearly every batch writes
//! 3. changed tasks and attempts, if any

use std::time::Duration;

use sqlx::postgres::{PgBindIterExt, PgHasArrayType};
use sqlx::{Encode, PgConnection, Postgres, Row, Type};
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

fn users(plan: &Plan, wanted: Change) -> impl Iterator<Item = &User> + Clone {
    plan.users.iter().filter(move |(change, _)| *change == wanted).map(|(_, user)| user)
}

fn tasks(plan: &Plan, wanted: Change) -> impl Iterator<Item = &TaskWrite> + Clone {
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
        .bind(sparse(users.iter().map(|user| filled(user.held.points))))
        .bind(sparse(users.iter().map(|user| filled(user.held.cash))))
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
    statement
        .bind(rows().map(|task| task.user_id).bind_iter())
        .bind(rows().map(|task| &*task.task_id).bind_iter())
        .bind(sparse(rows().map(|task| filled(&*task.online_task_id))))
        .bind(rows().map(|task| &*task.app_name).bind_iter())
        .bind(sparse(rows().map(|task| filled(&*task.key_id))))
        .bind(sparse(rows().map(|task| filled(&*task.task_type))))
        .bind(rows().map(|task| task.status.as_str()).bind_iter())
        .bind(rows().map(|task| task.money).bind_iter())
        .bind(sparse(writes().map(|write| filled(&*write.input_params))))
        .bind(sparse(writes().map(|write| text(&write.output_params))))
        .bind(rows().map(|task| Stamp(task.create_time)).bind_iter())
        .bind(sparse(rows().map(|task| stamp(task.complete_time))))
        .bind(sparse(rows().map(|task| filled(task.charged.points))))
        .bind(sparse(rows().map(|task| filled(task.charged.cash))))
        .bind(sparse(rows().map(|task| filled(task.refunded.points))))
        .bind(sparse(rows().map(|task| filled(task.refunded.cash))))
        .bind(sparse(rows().map(|task| filled(task.held.points))))
        .bind(sparse(rows().map(|task| filled(task.held.cash))))
        .bind(sparse(rows().map(|task| filled(task.authorized.points))))
        .bind(sparse(rows().map(|task| filled(task.authorized.cash))))
        .bind(sparse(rows().map(|task| task.hold_state.map(HoldState::as_str))))
        .bind(sparse(rows().map(|task| stamp(task.hold_expire_time))))
        .bind(sparse(rows().map(|task| task.reported_cost_nano_usd)))
        .bind(sparse(rows().map(|task| text(&task.billable_units))))
        .bind(sparse(rows().map(|task| text(&task.lease_id))))
        .bind(sparse(rows().map(|task| text(&task.error))))
        .bind(sparse(rows().map(|task| text(&task.title))))
        .bind(sparse(rows().map(|task| filled(&*task.deployment_uuid))))
        .bind(sparse(rows().map(|task| filled(task.pay_type))))
        .bind(rows().map(|task| task.fingerprint.as_bytes()).bind_iter())
        .bind(sparse(rows().map(settle_fingerprint)))
        .bind(sparse(rows().map(|task| task.charge_seq)))
        .bind(sparse(rows().map(|task| first(task.refund_entries))))
        .bind(sparse(rows().map(|task| count(task.refund_entries))))
        .bind(sparse(rows().map(|task| first(task.settle_entries))))
        .bind(sparse(rows().map(|task| count(task.settle_entries))))
}

fn bind_changed_tasks<'q>(statement: Statement<'q>, writes: &'q [&'q TaskWrite]) -> Statement<'q> {
    let rows = || writes.iter().map(|write| &*write.task);
    statement
        .bind(rows().map(|task| task.user_id).bind_iter())
        .bind(rows().map(|task| &*task.task_id).bind_iter())
        .bind(sparse(rows().map(|task| filled(&*task.online_task_id))))
        .bind(sparse(rows().map(|task| filled(&*task.key_id))))
        .bind(rows().map(|task| task.status.as_str()).bind_iter())
        .bind(rows().map(|task| task.money).bind_iter())
        .bind(sparse(rows().map(|task| stamp(task.complete_time))))
        .bind(sparse(rows().map(|task| filled(task.charged.points))))
        .bind(sparse(rows().map(|task| filled(task.charged.cash))))
        .bind(sparse(rows().map(|task| filled(task.refunded.points))))
        .bind(sparse(rows().map(|task| filled(task.refunded.cash))))
        .bind(sparse(rows().map(|task| filled(task.held.points))))
        .bind(sparse(rows().map(|task| filled(task.held.cash))))
        .bind(sparse(rows().map(|task| task.hold_state.map(HoldState::as_str))))
        .bind(sparse(rows().map(|task| stamp(task.hold_expire_time))))
        .bind(sparse(rows().map(|task| task.reported_cost_nano_usd)))
        .bind(sparse(rows().map(|task| text(&task.billable_units))))
        .bind(sparse(rows().map(|task| text(&task.lease_id))))
        .bind(sparse(rows().map(|task| text(&task.error))))
        .bind(sparse(rows().map(settle_fingerprint)))
        .bind(sparse(rows().map(|task| task.charge_seq)))
        .bind(sparse(rows().map(|task| first(task.refund_entries))))
        .bind(sparse(rows().map(|task| count(task.refund_entries))))
        .bind(sparse(rows().map(|task| first(task.settle_entries))))
        .bind(sparse(rows().map(|task| count(task.settle_entries))))
        .bind(sparse(writes.iter().map(|write| text(&write.output_params))))
}

fn bind_attempts<'q>(statement: Statement<'q>, plan: &'q Plan) -> Statement<'q> {
    let rows = || plan.attempts.iter();
    statement
        .bind(rows().map(|attempt| attempt.user_id).bind_iter())
        .bind(rows().map(|attempt| &*attempt.task_id).bind_iter())
        .bind(rows().map(|attempt| attempt.attempt).bind_iter())
        .bind(rows().map(|attempt| &*attempt.online_task_id).bind_iter())
        .bind(rows().map(|attempt| &*attempt.key_id).bind_iter())
        .bind(sparse(rows().map(|attempt| text(&attempt.lease_id))))
        .bind(rows().map(|attempt| Stamp(attempt.start_time)).bind_iter())
}

fn bind_entries<'q>(statement: Statement<'q>, plan: &'q Plan) -> Statement<'q> {
    let rows = || plan.entries.iter();
    statement
        .bind(rows().map(|entry| entry.user_id).bind_iter())
        .bind(rows().map(|entry| entry.user_seq).bind_iter())
        .bind(rows().map(|entry| entry.amount).bind_iter())
        .bind(rows().map(|entry| &*entry.order_id).bind_iter())
        .bind(sparse(rows().map(|entry| filled(&*entry.title))))
        .bind(sparse(rows().map(|entry| filled(&*entry.deployment_uuid))))
        .bind(rows().map(|entry| Stamp(entry.time)).bind_iter())
        .bind(rows().map(|entry| i32::from(entry.transaction_type().code())).bind_iter())
        .bind(sparse(rows().map(|entry| filled(entry.pay_type))))
        .bind(sparse(rows().map(|entry| filled(i32::from(entry.purse.is_cash())))))
        .bind(rows().map(|entry| entry.operation.as_str()).bind_iter())
        .bind(rows().map(|entry| entry.source_type.as_str()).bind_iter())
        .bind(rows().map(|entry| entry.balance_before).bind_iter())
        .bind(rows().map(|entry| entry.balance_after).bind_iter())
        .bind(sparse(rows().map(|entry| text(&entry.request_id))))
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
        .bind(sparse(rows().map(|request| text(&request.task_id))))
        .bind(rows().map(|request| request.fingerprint.as_bytes()).bind_iter())
        .bind(sparse(rows().map(move |request| first(done(request).0))))
        .bind(sparse(rows().map(move |request| count(done(request).0))))
        .bind(sparse(rows().map(move |request| filled(done(request).1))))
        .bind(sparse(refusals.iter().map(Option::as_deref)))
        .bind(sparse(rows().map(lease_id)))
        .bind(rows().map(|request| Stamp(request.create_time)).bind_iter())
}

/// A column that a batch mostly leaves alone. Where no row has a value none is sent, and the statement's `unnest` fills it
/// up: the server keeps the rows of each array apart, which costs it more than reading them.
fn sparse<'q, T>(
    rows: impl Iterator<Item = Option<T>> + Clone + Send + 'q,
) -> impl Encode<'q, Postgres> + Type<Postgres> + Send + 'q
where
    T: Encode<'q, Postgres> + Type<Postgres> + PgHasArrayType + 'q,
{
    let is_empty = rows.clone().all(|value| value.is_none());
    rows.take(if is_empty { 0 } else { usize::MAX }).bind_iter()
}

/// A value, `None` where it is what the statement puts in the place of NULL: zero, false, no text.
fn filled<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
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
