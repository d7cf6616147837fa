//! Writes a plan: a few wide statements a table, each checked to have written as many rows as it was given.

use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Encode, Sqlite, Type};

use super::error::{bug, store_error};
use super::sql::{self, Bulk};
use super::time::Scribe;
use crate::ledger::{
    Attempt, Change, Entry, EntryRange, Fingerprint, Frozen, Micros, Money, Plan, Purse, RequestRecord, Task,
    TaskWrite, Text, User,
};
use crate::store::StoreError;

/// Writes all of `plan`, in the open transaction.
pub(super) async fn write(connection: &mut SqliteConnection, plan: &Plan) -> Result<(), StoreError> {
    let users = |wanted: Change| -> Vec<&User> {
        plan.users.iter().filter(|(change, _)| *change == wanted).map(|(_, user)| user).collect()
    };
    let (new_users, old_users) = (users(Change::Insert), users(Change::Update));
    let (new_tasks, old_tasks): (Vec<&TaskWrite>, Vec<&TaskWrite>) =
        plan.tasks.iter().partition(|write| write.change == Change::Insert);
    let entries: Vec<&Entry> = plan.entries.iter().map(Arc::as_ref).collect();
    let points: Vec<&Entry> = entries.iter().copied().filter(|entry| entry.purse == Purse::Points).collect();
    let attempts: Vec<&Attempt> = plan.attempts.iter().collect();
    let requests: Vec<&RequestRecord> = plan.requests.iter().collect();

    rows(connection, "adding users", &sql::INSERT_USERS, &new_users, new_user).await?;
    rows(connection, "changing users", &sql::UPDATE_USERS, &old_users, old_user).await?;
    rows(connection, "adding tasks", &sql::INSERT_TASKS, &new_tasks, new_task).await?;
    rows(connection, "changing tasks", &sql::UPDATE_TASKS, &old_tasks, old_task).await?;
    rows(connection, "adding attempts", &sql::INSERT_ATTEMPTS, &attempts, attempt).await?;
    rows(connection, "adding entries", &sql::INSERT_FINANCIAL, &entries, financial).await?;
    rows(connection, "adding points rows", &sql::INSERT_POINTS, &points, points_row).await?;
    rows(connection, "adding requests", &sql::INSERT_REQUESTS, &requests, request).await
}

/// Writes rows each of which must be there, or must not.
pub(super) async fn rows<T>(
    connection: &mut SqliteConnection,
    what: &'static str,
    bulk: &Bulk,
    rows: &[&T],
    bind: fn(&mut Cells, &T),
) -> Result<(), StoreError> {
    write_all(connection, what, bulk, rows, bind, true).await
}

/// Writes what may fit no row, or several.
pub(super) async fn rows_that_fit<T>(
    connection: &mut SqliteConnection,
    what: &'static str,
    bulk: &Bulk,
    rows: &[&T],
    bind: fn(&mut Cells, &T),
) -> Result<(), StoreError> {
    write_all(connection, what, bulk, rows, bind, false).await
}

/// While SQLite's thread writes one statement's rows, the next one's are put together.
async fn write_all<T>(
    connection: &mut SqliteConnection,
    what: &'static str,
    bulk: &Bulk,
    rows: &[&T],
    bind: fn(&mut Cells, &T),
    is_one_each: bool,
) -> Result<(), StoreError> {
    let mut statements = Statements { what, bulk, rows, bind, scribe: Scribe::default() };
    let mut next = statements.next()?;
    while let Some(Filled { width, text, arguments }) = next {
        let write = sqlx::query_with(AssertSqlSafe(text), arguments).execute(&mut *connection);
        let (done, following) = futures::join!(write, async { statements.next() });
        let done = done.map_err(|error| store_error(what, error))?;
        if is_one_each && done.rows_affected() != width as u64 {
            return Err(bug(what, format!("{} of {width} rows were there", done.rows_affected())));
        }
        next = following?;
    }
    Ok(())
}

/// Rows on their way into statements.
struct Statements<'a, T> {
    what: &'static str,
    bulk: &'a Bulk,
    rows: &'a [&'a T],
    bind: fn(&mut Cells, &T),
    scribe: Scribe,
}

/// A statement and the values of its rows.
struct Filled {
    width: usize,
    text: Arc<str>,
    arguments: SqliteArguments,
}

impl<T> Statements<'_, T> {
    /// The next statement; `None` once every row is in one.
    fn next(&mut self) -> Result<Option<Filled>, StoreError> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let (width, text) = self.bulk.widest(self.rows.len());
        let (now, later) = self.rows.split_at(width);
        let scribe = std::mem::take(&mut self.scribe);
        let mut cells = Cells { arguments: SqliteArguments::default(), scribe, failed: None };
        now.iter().for_each(|row| (self.bind)(&mut cells, row));
        if let Some(source) = cells.failed {
            return Err(StoreError::Bug { what: self.what, source });
        }
        (self.rows, self.scribe) = (later, cells.scribe);
        Ok(Some(Filled { width, text, arguments: cells.arguments }))
    }
}

/// Takes a row's values in the order its statement names them.
pub(super) struct Cells {
    arguments: SqliteArguments,
    scribe: Scribe,
    failed: Option<sqlx::error::BoxDynError>,
}

impl Cells {
    pub(super) fn put<'q>(&mut self, value: impl Encode<'q, Sqlite> + Type<Sqlite>) {
        if let Err(error) = self.arguments.add(value) {
            self.failed.get_or_insert(error);
        }
    }

    /// Shares the text: nothing is copied before SQLite itself copies it.
    pub(super) fn text(&mut self, text: &Text) {
        self.put(Arc::clone(text));
    }

    pub(super) fn optional_text(&mut self, text: Option<&Text>) {
        self.put(text.cloned());
    }

    pub(super) fn word(&mut self, word: &'static str) {
        self.put(Text::from(word));
    }

    pub(super) fn time(&mut self, moment: Micros) {
        let text = self.scribe.text(moment);
        self.put(text);
    }

    pub(super) fn optional_time(&mut self, moment: Option<Micros>) {
        let text = moment.map(|moment| self.scribe.text(moment));
        self.put(text);
    }

    fn money(&mut self, money: Money) {
        self.put(money.points);
        self.put(money.cash);
    }

    fn range(&mut self, range: Option<EntryRange>) {
        self.put(range.map(|range| range.first_seq));
        self.put(range.map(|range| range.count));
    }

    fn fingerprint(&mut self, fingerprint: Option<&Fingerprint>) {
        self.put(fingerprint.map(|fingerprint| fingerprint.as_bytes().to_vec()));
    }
}

fn new_user(cells: &mut Cells, user: &User) {
    user_figures(cells, user);
    cells.time(user.create_time);
    cells.time(user.update_time);
}

fn old_user(cells: &mut Cells, user: &User) {
    user_figures(cells, user);
    cells.time(user.update_time);
}

fn user_figures(cells: &mut Cells, user: &User) {
    cells.put(user.user_id);
    cells.money(user.balance);
    cells.money(user.held);
    cells.put(user.entry_seq);
    cells.put(user.chain_hash.0.to_vec());
    cells.time(user.last_entry_time);
}

fn new_task(cells: &mut Cells, write: &TaskWrite) {
    let task = &write.task;
    task_state(cells, task);
    cells.put(write.output_params.clone().unwrap_or_else(|| Text::from("")));
    cells.text(&task.app_name);
    cells.text(&task.task_type);
    cells.time(task.create_time);
    cells.money(task.authorized);
    cells.optional_text(task.title.as_ref());
    cells.text(&task.deployment_uuid);
    cells.put(task.pay_type);
    cells.fingerprint(Some(&task.fingerprint));
    cells.text(&write.input_params);
}

fn old_task(cells: &mut Cells, write: &TaskWrite) {
    task_state(cells, &write.task);
    cells.optional_text(write.output_params.as_ref());
}

fn task_state(cells: &mut Cells, task: &Task) {
    cells.text(&task.task_id);
    cells.put(task.user_id);
    cells.text(&task.online_task_id);
    cells.text(&task.key_id);
    cells.word(task.status.as_str());
    cells.put(task.money);
    cells.optional_time(task.complete_time);
    cells.money(task.charged);
    cells.money(task.refunded);
    cells.money(task.held);
    cells.put(task.hold_state.map(|state| Text::from(state.as_str())));
    cells.optional_time(task.hold_expire_time);
    cells.put(task.reported_cost_nano_usd);
    cells.optional_text(task.billable_units.as_ref());
    cells.optional_text(task.lease_id.as_ref());
    cells.optional_text(task.error.as_ref());
    cells.fingerprint(task.settle_fingerprint.as_ref());
    cells.put(task.charge_seq);
    cells.range(task.refund_entries);
    cells.range(task.settle_entries);
}

fn attempt(cells: &mut Cells, attempt: &Attempt) {
    cells.put(attempt.user_id);
    cells.text(&attempt.task_id);
    cells.put(attempt.attempt);
    cells.text(&attempt.online_task_id);
    cells.text(&attempt.key_id);
    cells.optional_text(attempt.lease_id.as_ref());
    cells.time(attempt.start_time);
}

fn financial(cells: &mut Cells, entry: &Entry) {
    cells.put(entry.user_id);
    cells.put(entry.user_seq);
    cells.put(entry.amount);
    cells.text(&entry.order_id);
    cells.text(&entry.title);
    cells.text(&entry.deployment_uuid);
    cells.time(entry.time);
    cells.put(entry.transaction_type().code());
    cells.put(entry.pay_type);
    cells.put(i64::from(entry.purse.is_cash()));
    cells.word(entry.operation.as_str());
    cells.word(entry.source_type.as_str());
    cells.put(entry.balance_before);
    cells.put(entry.balance_after);
    cells.optional_text(entry.request_id.as_ref());
    cells.text(&entry.actor);
    cells.put(entry.hash.0.to_vec());
}

fn points_row(cells: &mut Cells, entry: &Entry) {
    cells.put(entry.user_id);
    cells.put(entry.user_seq);
    cells.put(entry.amount);
    cells.text(&entry.order_id);
    cells.text(&entry.title);
    cells.word(entry.source_type.as_str());
    cells.put(entry.balance_before);
    cells.put(entry.balance_after);
    cells.time(entry.time);
    cells.optional_text(entry.request_id.as_ref());
    cells.text(&entry.actor);
}

fn request(cells: &mut Cells, record: &RequestRecord) {
    let (entries, late, lease_id, refusal) = match &record.frozen {
        Frozen::Done { entries, late, lease_id } => (*entries, *late, lease_id.as_ref(), None),
        Frozen::Refused(refusal) => (None, false, None, Some(serde_json::to_string(refusal))),
    };
    cells.put(record.user_id);
    cells.text(&record.request_id);
    cells.word(record.method.as_str());
    cells.optional_text(record.task_id.as_ref());
    cells.fingerprint(Some(&record.fingerprint));
    cells.range(entries);
    cells.put(i64::from(late));
    match refusal.transpose() {
        Ok(json) => cells.put(json),
        Err(error) => cells.failed = Some(Box::new(error)),
    }
    cells.time(record.create_time);
    cells.optional_text(lease_id);
}
