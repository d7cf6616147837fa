//! The reader: a few read-only connections. In WAL mode they see what was last committed and wait for no writer.
//!
//! A range of time over one user's entries becomes a range of `user_seq` first (entries are never earlier than the one
//! before), so that every page is one index range, however far back it lies.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Sqlite, SqlitePool};
use tokio::time::Instant;

use super::audit::Audit;
use super::connection::Config;
use super::error::{bug, store_error};
use super::rows::{self, Cells};
use super::writer::Health;
use super::{keys, keys_rows, sql, time};
use crate::clock::Clock;
use crate::keypool::{AccountId, AccountKey};
use crate::ledger::{Entry, EntryRange, Micros, Text, User, UserId};
use crate::meter::Statements;
use crate::store::rows::Range;
use crate::store::{
    AccountRecord, AuditRecord, AuditSnapshot, EntryQuery, Figures, FinancialQuery, FinancialTransaction,
    LeaseRecord, Page, PastBalance, PointsDetail, PointsQuery, PoolRows, Reader, StoreError, TaskOwner,
    TaskQuery, TaskRecord, UserCursor,
};

/// Reads through a pool of read-only connections.
pub(super) struct PoolReader {
    pub(super) pool: SqlitePool,
    pub(super) config: Config,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) measured: Statements,
    pub(super) health: Health,
}

pub(super) type Statement = Query<'static, Sqlite, SqliteArguments>;

impl PoolReader {
    pub(super) async fn all<T>(
        &self,
        what: &'static str,
        statement: Statement,
        row: fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        let began = Instant::now();
        let found = statement.fetch_all(&self.pool).await.map_err(|error| store_error(what, error))?;
        self.measured.read(began.elapsed());
        found.iter().map(row).collect::<Result<_, _>>().map_err(|error| store_error(what, error))
    }

    pub(super) async fn one<T>(
        &self,
        what: &'static str,
        statement: Statement,
        row: fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Option<T>, StoreError> {
        let began = Instant::now();
        let found = statement.fetch_optional(&self.pool).await.map_err(|error| store_error(what, error))?;
        self.measured.read(began.elapsed());
        found.as_ref().map(row).transpose().map_err(|error| store_error(what, error))
    }

    /// The first `user_seq` at or after a moment; `None` if the user does not exist.
    async fn seq_at(&self, user_id: UserId, moment: Micros) -> Result<Option<i64>, StoreError> {
        let statement = sqlx::query(sql::SEQ_AT).bind(user_id).bind(time::to_text(moment));
        self.one("finding a moment in the chain", statement, |row| Cells::of(row).get()).await
    }

    /// The `user_seq`s a page may show: from the first up to and without the second.
    async fn seqs(&self, user_id: UserId, range: Range, page: Page) -> Result<(i64, i64), StoreError> {
        let from = match range.start {
            Some(start) => self.seq_at(user_id, start).await?.unwrap_or(i64::MAX),
            None => 0,
        };
        let to = match range.end {
            Some(end) => self.seq_at(user_id, end).await?.unwrap_or(0),
            None => i64::MAX,
        };
        Ok((from, to.min(page.before.unwrap_or(i64::MAX))))
    }

    async fn past_balance(&self, user_id: UserId, at: Micros) -> Result<Option<PastBalance>, StoreError> {
        let Some(next_seq) = self.seq_at(user_id, at.plus(1)).await? else { return Ok(None) };
        // What was written by then no longer changes: a second statement sees the same.
        let entry_seq = next_seq - 1;
        let statement = sqlx::query(sql::BALANCE_AT_SEQ).bind(user_id).bind(entry_seq);
        let found = self.one("reading a past balance", statement, |row| {
            let mut cells = Cells::of(row);
            Ok((cells.get()?, cells.get()?, cells.optional_time()?))
        });
        let found = found.await?;
        Ok(found.map(|(points, cash, time)| PastBalance { points, cash, entry_seq, time }))
    }

    async fn list_entries(&self, query: &EntryQuery, page: Page) -> Result<Vec<Entry>, StoreError> {
        let (from, to) = self.seqs(query.user_id, query.range, page).await?;
        let statement = sqlx::query(sql::LIST_ENTRIES)
            .bind(query.user_id)
            .bind(from)
            .bind(to)
            .bind(query.purse.map(|purse| i64::from(purse.is_cash())))
            .bind(query.operation.map(|operation| Text::from(operation.as_str())))
            .bind(query.order_id.clone())
            .bind(page.limit);
        self.all("listing entries", statement, rows::entry).await
    }

    async fn list_points(
        &self,
        query: &PointsQuery,
        page: Page,
    ) -> Result<Vec<(i64, PointsDetail)>, StoreError> {
        let (from, to) = self.seqs(query.user_id, query.range, page).await?;
        let statement = sqlx::query(sql::LIST_POINTS)
            .bind(query.user_id)
            .bind(from)
            .bind(to)
            .bind(query.source_type.map(|source| Text::from(source.as_str())))
            .bind(query.order_id.clone())
            .bind(page.limit);
        self.all("listing points rows", statement, rows::points_detail).await
    }

    async fn list_financial(
        &self,
        query: &FinancialQuery,
        page: Page,
    ) -> Result<Vec<(i64, FinancialTransaction)>, StoreError> {
        let (from, to) = self.seqs(query.user_id, query.range, page).await?;
        let statement = sqlx::query(sql::LIST_FINANCIAL)
            .bind(query.user_id)
            .bind(from)
            .bind(to)
            .bind(query.order_id.clone())
            .bind(page.limit);
        self.all("listing financial rows", statement, rows::financial).await
    }

    async fn list_tasks(&self, query: &TaskQuery, page: Page) -> Result<Vec<TaskRecord>, StoreError> {
        let statement = match query.user_id {
            Some(user_id) => sqlx::query(sql::LIST_USER_TASKS).bind(user_id),
            None => sqlx::query(sql::LIST_TASKS),
        };
        let statement = statement
            .bind(page.before.unwrap_or(i64::MAX))
            .bind(query.status.map(|status| Text::from(status.as_str())))
            .bind(query.app_name.clone())
            .bind(query.key_id.clone())
            .bind(query.range.start.map(time::to_text))
            .bind(query.range.end.map(time::to_text))
            .bind(page.limit);
        self.all("listing tasks", statement, rows::task_record).await
    }
}

/// Keys as the JSON array that a statement takes.
fn json<K: serde::Serialize>(keys: Vec<K>) -> Result<String, StoreError> {
    serde_json::to_string(&keys).map_err(|error| bug("writing keys", error))
}

impl Reader for PoolReader {
    fn now(&self) -> BoxFuture<'_, Result<Micros, StoreError>> {
        std::future::ready(Ok(self.clock.now())).boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.health.check()?;
            self.all("asking after the file", sqlx::query(sql::SCHEMA_VERSIONS), |_| Ok(())).await.map(|_| ())
        }
        .boxed()
    }

    fn users<'a>(&'a self, user_ids: &'a [UserId]) -> BoxFuture<'a, Result<Vec<User>, StoreError>> {
        async move {
            let statement = sqlx::query(sql::READ_USERS).bind(json(user_ids.iter().collect())?);
            self.all("reading users", statement, rows::user).await
        }
        .boxed()
    }

    fn past_balance(
        &self,
        user_id: UserId,
        at: Micros,
    ) -> BoxFuture<'_, Result<Option<PastBalance>, StoreError>> {
        self.past_balance(user_id, at).boxed()
    }

    fn task_owners<'a>(&'a self, task_ids: &'a [Text]) -> BoxFuture<'a, Result<Vec<TaskOwner>, StoreError>> {
        async move {
            let ids = json::<&str>(task_ids.iter().map(AsRef::as_ref).collect())?;
            self.all("reading owners", sqlx::query(sql::TASK_OWNERS).bind(ids), owned_task).await
        }
        .boxed()
    }

    fn entries<'a>(
        &'a self,
        ranges: &'a [(UserId, EntryRange)],
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        async move {
            let past = |range: &EntryRange| range.first_seq.saturating_add(range.count.into());
            let ranges =
                json(ranges.iter().map(|(user, range)| (user, range.first_seq, past(range))).collect())?;
            self.all("reading entries", sqlx::query(sql::READ_ENTRIES).bind(ranges), rows::entry).await
        }
        .boxed()
    }

    fn list_entries<'a>(
        &'a self,
        query: &'a EntryQuery,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        self.list_entries(query, page).boxed()
    }

    fn list_points_details<'a>(
        &'a self,
        query: &'a PointsQuery,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<(i64, PointsDetail)>, StoreError>> {
        self.list_points(query, page).boxed()
    }

    fn list_financial_transactions<'a>(
        &'a self,
        query: &'a FinancialQuery,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<(i64, FinancialTransaction)>, StoreError>> {
        self.list_financial(query, page).boxed()
    }

    fn list_users(
        &self,
        before: Option<UserCursor>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        let (created, user_id) = match before {
            Some(cursor) => (time::to_text(cursor.create_time), cursor.user_id),
            None => (Text::from(time::PAST_ALL), i64::MAX),
        };
        let statement = sqlx::query(sql::LIST_USERS).bind(created).bind(user_id).bind(limit);
        self.all("listing users", statement, rows::user).boxed()
    }

    fn task<'a>(&'a self, task_id: &'a str) -> BoxFuture<'a, Result<Option<TaskRecord>, StoreError>> {
        let statement = sqlx::query(sql::TASK).bind(Text::from(task_id));
        self.one("reading a task", statement, rows::task_record).boxed()
    }

    fn list_tasks<'a>(
        &'a self,
        query: &'a TaskQuery,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<TaskRecord>, StoreError>> {
        self.list_tasks(query, page).boxed()
    }

    fn due_holds(&self, limit: u32) -> BoxFuture<'_, Result<Vec<(UserId, Text)>, StoreError>> {
        let statement = sqlx::query(sql::DUE_HOLDS).bind(time::to_text(self.clock.now())).bind(limit);
        self.all("reading due holds", statement, |row| {
            let mut cells = Cells::of(row);
            Ok((cells.get()?, cells.text()?))
        })
        .boxed()
    }

    fn stuck_tasks(
        &self,
        created_before: Micros,
        after: i64,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<TaskRecord>, StoreError>> {
        let statement =
            sqlx::query(sql::STUCK_TASKS).bind(after).bind(time::to_text(created_before)).bind(limit);
        self.all("listing stuck tasks", statement, rows::task_record).boxed()
    }

    fn key_pool(&self) -> BoxFuture<'_, Result<PoolRows, StoreError>> {
        const WHAT: &str = "reading the key pool";
        async move {
            // One transaction: workspaces, accounts and leases are of one moment.
            let mut snapshot = self.pool.begin().await.map_err(|error| store_error(WHAT, error))?;
            keys::pool(&mut snapshot, self.clock.now(), false).await
        }
        .boxed()
    }

    fn accounts<'a>(
        &'a self,
        account_ids: &'a [AccountId],
    ) -> BoxFuture<'a, Result<Vec<AccountRecord>, StoreError>> {
        async move {
            let statement = sqlx::query(sql::ACCOUNTS).bind(json(account_ids.iter().collect())?);
            self.all("reading accounts", statement, keys_rows::account_record).await
        }
        .boxed()
    }

    fn list_accounts(&self, page: Page) -> BoxFuture<'_, Result<Vec<AccountRecord>, StoreError>> {
        let statement =
            sqlx::query(sql::LIST_ACCOUNTS).bind(page.before.unwrap_or(i64::MAX)).bind(page.limit);
        self.all("listing accounts", statement, keys_rows::account_record).boxed()
    }

    fn leases<'a>(&'a self, lease_ids: &'a [Text]) -> BoxFuture<'a, Result<Vec<LeaseRecord>, StoreError>> {
        async move {
            let ids = json::<&str>(lease_ids.iter().map(AsRef::as_ref).collect())?;
            self.all("reading leases", sqlx::query(sql::LEASES).bind(ids), keys_rows::lease_record).await
        }
        .boxed()
    }

    fn due_leases(&self, limit: u32) -> BoxFuture<'_, Result<Vec<Text>, StoreError>> {
        let statement = sqlx::query(sql::DUE_LEASES).bind(time::to_text(self.clock.now())).bind(limit);
        self.all("reading due leases", statement, |row| Cells::of(row).text()).boxed()
    }

    fn sealed_keys<'a>(
        &'a self,
        (account_id, purpose, key_id): (AccountId, &'a str, &'a str),
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<AccountKey>, StoreError>> {
        let statement = sqlx::query(sql::SEALED_KEYS)
            .bind(account_id)
            .bind(Text::from(purpose))
            .bind(Text::from(key_id))
            .bind(limit);
        self.all("reading sealed keys", statement, keys_rows::account_key).boxed()
    }

    fn audit_log(
        &self,
        account_id: Option<AccountId>,
        page: Page,
    ) -> BoxFuture<'_, Result<Vec<AuditRecord>, StoreError>> {
        let statement = match account_id {
            Some(account_id) => sqlx::query(sql::ACCOUNT_AUDIT_LOG).bind(account_id),
            None => sqlx::query(sql::AUDIT_LOG),
        };
        let statement = statement.bind(page.before.unwrap_or(i64::MAX)).bind(page.limit);
        self.all("listing the audit log", statement, keys_rows::audit_record).boxed()
    }

    fn figures(&self) -> BoxFuture<'_, Result<Figures, StoreError>> {
        async move {
            const WHAT: &str = "reading figures";
            let statement = sqlx::query(sql::FIGURES).bind(time::to_text(self.clock.now()));
            let found = self.one(WHAT, statement, |row| {
                let mut cells = Cells::of(row);
                Ok(Figures {
                    holds: cells.get()?,
                    held_points: cells.get()?,
                    holds_overdue: cells.get()?,
                    leases: cells.get()?,
                    leases_overdue: cells.get()?,
                    bytes: cells.get()?,
                })
            });
            found.await?.ok_or_else(|| bug(WHAT, "no row"))
        }
        .boxed()
    }

    fn audit_snapshot(&self) -> BoxFuture<'_, Result<Box<dyn AuditSnapshot>, StoreError>> {
        async move { Ok(Box::new(Audit::begin(&self.config, self.clock.now()).await?) as Box<dyn AuditSnapshot>) }.boxed()
    }
}

fn owned_task(row: &SqliteRow) -> Result<TaskOwner, sqlx::Error> {
    let mut cells = Cells::of(row);
    Ok(TaskOwner { task_id: cells.text()?, user_id: cells.get()?, app_name: cells.text()? })
}
