//! The reader: everything that changes nothing, on a pool of its own.
//!
//! A statement runs outside any transaction on one connection of the pool, under the client's limit. One that fails or
//! is not answered takes its connection with it: what is left of the answer must not meet the next question.

use futures::future::BoxFuture;
use sqlx::PgPool;
use sqlx::postgres::{PgBindIterExt, PgRow};
use tokio::time::Instant;

use super::super::rows::Range;
use super::super::{
    AccountRecord, AuditRecord, AuditSnapshot, EntryQuery, Figures, FinancialQuery, FinancialTransaction,
    LeaseRecord, Page, PastBalance, PointsDetail, PointsQuery, PoolRows, Reader, StoreError, TaskOwner,
    TaskQuery, TaskRecord, UserCursor,
};
use super::audit::PostgresSnapshot;
use super::connect::Target;
use super::decode::{self, Columns};
use super::error::Trouble;
use super::keys_decode;
use super::session::{Purpose, Statement};
use super::time::Stamp;
use crate::keypool::{AccountId, AccountKey};
use crate::ledger::{Entry, EntryRange, Micros, Text, User, UserId};
use crate::meter::{Meters, Pool, Statements};

/// How many tasks one statement looks through for the few that are stuck.
const WINDOW: i64 = 50_000;

/// Reads on a pool of connections.
pub(super) struct PostgresReader {
    target: Target,
    pool: PgPool,
    measured: Statements,
}

impl PostgresReader {
    pub(super) fn new(target: Target, size: u32, meters: &Meters) -> Self {
        let pool = target.readers(size);
        if meters.is_on() {
            let (pool, max) = (pool.clone(), u64::from(size.max(1)));
            meters.database().watch(move || {
                let idle = u64::try_from(pool.num_idle()).unwrap_or(u64::MAX);
                Pool { used: u64::from(pool.size()).saturating_sub(idle), idle, max }
            });
        }
        Self { target, pool, measured: meters.database().statements("postgresql") }
    }

    async fn rows(&self, what: &'static str, statement: Statement<'_>) -> Result<Vec<PgRow>, StoreError> {
        let acquired = self.pool.acquire().await;
        let mut connection = acquired.map_err(|error| Trouble::Driver(error).store_error(what))?;
        let began = Instant::now();
        match self.target.rows_alone(&mut connection, Purpose::Read, statement).await {
            Ok(rows) => {
                self.measured.read(began.elapsed());
                Ok(rows)
            }
            Err(trouble) => {
                drop(connection.detach());
                Err(trouble.store_error(what))
            }
        }
    }

    pub(super) async fn read<T>(
        &self,
        what: &'static str,
        statement: Statement<'_>,
        decode: fn(&PgRow) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.rows(what, statement).await?.iter().map(decode).collect()
    }

    /// How many of a user's entries were written before `moment`; `None` if there is no such user.
    async fn entries_before(&self, user_id: UserId, moment: Micros) -> Result<Option<i64>, StoreError> {
        const WHAT: &str = "searching a user's entries by time";
        let statement = sqlx::query(include_str!("sql/reader_entries_before.sql"))
            .bind(user_id)
            .bind(Stamp::nearest(moment));
        let rows = self.rows(WHAT, statement).await?;
        rows.first().map(|row| Columns::new(row, WHAT).get("entry_seq")).transpose()
    }

    /// The numbers that a list of a user's entries is bounded by: more than the first, at most the second.
    async fn bounds(&self, user_id: UserId, range: Range, page: Page) -> Result<(i64, i64), StoreError> {
        let above = match range.start {
            Some(start) => self.entries_before(user_id, start).await?.unwrap_or(0),
            None => 0,
        };
        let up_to = match range.end {
            Some(end) => self.entries_before(user_id, end).await?.unwrap_or(0),
            None => i64::MAX,
        };
        Ok((above, page.before.map_or(up_to, |before| up_to.min(before.saturating_sub(1)))))
    }

    async fn past(&self, user_id: UserId, at: Micros) -> Result<Option<PastBalance>, StoreError> {
        const WHAT: &str = "reading a past balance";
        let Some(entry_seq) = self.entries_before(user_id, at.plus(1)).await? else { return Ok(None) };
        let statement =
            sqlx::query(include_str!("sql/reader_past_balance.sql")).bind(user_id).bind(entry_seq);
        let rows = self.rows(WHAT, statement).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let row = Columns::new(row, WHAT);
        Ok(Some(PastBalance {
            points: row.get::<Option<i64>>("points")?.unwrap_or(0),
            cash: row.get::<Option<i64>>("cash")?.unwrap_or(0),
            entry_seq,
            time: row.moment_or_null("time")?,
        }))
    }

    async fn stuck(
        &self,
        created_before: Micros,
        mut after: i64,
        limit: u32,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        const WHAT: &str = "looking for stuck tasks";
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        while found.len() < limit {
            let window =
                sqlx::query(include_str!("sql/reader_tasks_window.sql")).bind(after).bind(WINDOW - 1);
            let rows = self.rows(WHAT, window).await?;
            let end = rows.first().map(|row| Columns::new(row, WHAT).get::<i64>("id")).transpose()?;
            let statement = sqlx::query(include_str!("sql/reader_stuck_tasks.sql"))
                .bind(after)
                .bind(end.unwrap_or(i64::MAX))
                .bind(Stamp::nearest(created_before))
                .bind(i64::try_from(limit - found.len()).unwrap_or(i64::MAX));
            found.extend(self.read(WHAT, statement, decode::task_record).await?);
            match end {
                Some(end) => after = end,
                None => break,
            }
        }
        Ok(found)
    }
}

impl Reader for PostgresReader {
    fn now(&self) -> BoxFuture<'_, Result<Micros, StoreError>> {
        const WHAT: &str = "reading the time";
        Box::pin(async move {
            moment(&self.rows(WHAT, sqlx::query(include_str!("sql/reader_now.sql"))).await?, WHAT)
        })
    }

    /// Fails on a node that takes no writes, and leaves it: the address may lead to another by now.
    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        const WHAT: &str = "asking whether the server takes writes";
        Box::pin(async move {
            let rows = self.rows(WHAT, sqlx::query(include_str!("sql/reader_probe.sql"))).await?;
            let takes_writes =
                rows.first().map(|row| Columns::new(row, WHAT).get("takes_writes")).transpose()?;
            if takes_writes == Some(true) {
                return Ok(());
            }
            self.target.leave();
            let source = "it is a standby, or default_transaction_read_only is on".into();
            Err(StoreError::ReadOnly { what: WHAT, source })
        })
    }

    fn users<'a>(&'a self, user_ids: &'a [UserId]) -> BoxFuture<'a, Result<Vec<User>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/reader_users.sql")).bind(user_ids);
        Box::pin(self.read("reading users", statement, decode::user))
    }

    fn past_balance(
        &self,
        user_id: UserId,
        at: Micros,
    ) -> BoxFuture<'_, Result<Option<PastBalance>, StoreError>> {
        Box::pin(self.past(user_id, at))
    }

    fn task_owners<'a>(&'a self, task_ids: &'a [Text]) -> BoxFuture<'a, Result<Vec<TaskOwner>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/reader_task_owners.sql"))
            .bind(task_ids.iter().map(|task_id| &**task_id).bind_iter());
        Box::pin(self.read("reading the owners of tasks", statement, decode::owner))
    }

    fn entries<'a>(
        &'a self,
        ranges: &'a [(UserId, EntryRange)],
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        // Ranges are one or two entries long: keys are looked up, not ranges scanned.
        let keys: Vec<(UserId, i64)> = ranges
            .iter()
            .flat_map(|(user_id, range)| {
                (0..range.count).map(|step| (*user_id, range.first_seq.saturating_add(i64::from(step))))
            })
            .collect();
        let statement = sqlx::query(include_str!("sql/reader_entries.sql"))
            .bind(keys.iter().map(|(user_id, _)| *user_id).bind_iter())
            .bind(keys.iter().map(|(_, user_seq)| *user_seq).bind_iter());
        Box::pin(self.read("reading entries", statement, decode::entry))
    }

    fn list_entries<'a>(
        &'a self,
        query: &'a EntryQuery,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        Box::pin(async move {
            let (above, up_to) = self.bounds(query.user_id, query.range, page).await?;
            let statement = sqlx::query(include_str!("sql/reader_list_entries.sql"))
                .bind(query.user_id)
                .bind(above)
                .bind(up_to)
                .bind(query.purse.map(|purse| i32::from(purse.is_cash())))
                .bind(query.operation.map(|operation| operation.as_str()))
                .bind(query.order_id.as_deref())
                .bind(i64::from(page.limit));
            self.read("listing entries", statement, decode::entry).await
        })
    }

    fn list_points_details<'a>(
        &'a self,
        query: &'a PointsQuery,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<(i64, PointsDetail)>, StoreError>> {
        Box::pin(async move {
            let (above, up_to) = self.bounds(query.user_id, query.range, page).await?;
            let statement = sqlx::query(include_str!("sql/reader_list_points.sql"))
                .bind(query.user_id)
                .bind(above)
                .bind(up_to)
                .bind(query.source_type.map(|source_type| source_type.as_str()))
                .bind(query.order_id.as_deref())
                .bind(i64::from(page.limit));
            self.read("listing points rows", statement, decode::points).await
        })
    }

    fn list_financial_transactions<'a>(
        &'a self,
        query: &'a FinancialQuery,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<(i64, FinancialTransaction)>, StoreError>> {
        Box::pin(async move {
            let (above, up_to) = self.bounds(query.user_id, query.range, page).await?;
            let statement = sqlx::query(include_str!("sql/reader_list_financial.sql"))
                .bind(query.user_id)
                .bind(above)
                .bind(up_to)
                .bind(query.order_id.as_deref())
                .bind(i64::from(page.limit));
            self.read("listing financial rows", statement, decode::financial).await
        })
    }

    fn list_users(
        &self,
        before: Option<UserCursor>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/reader_list_users.sql"))
            .bind(before.map(|cursor| Stamp::nearest(cursor.create_time)))
            .bind(before.map(|cursor| cursor.user_id))
            .bind(i64::from(limit));
        Box::pin(self.read("listing users", statement, decode::user))
    }

    fn task<'a>(&'a self, task_id: &'a str) -> BoxFuture<'a, Result<Option<TaskRecord>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/reader_task.sql")).bind(task_id);
        Box::pin(async move {
            Ok(self.read("reading a task", statement, decode::task_record).await?.into_iter().next())
        })
    }

    fn list_tasks<'a>(
        &'a self,
        query: &'a TaskQuery,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<TaskRecord>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/reader_list_tasks.sql"))
            .bind(query.user_id)
            .bind(query.status.map(|status| status.as_str()))
            .bind(query.app_name.as_deref())
            .bind(query.key_id.as_deref())
            .bind(query.range.start.map(Stamp::nearest))
            .bind(query.range.end.map(Stamp::nearest))
            .bind(page.before)
            .bind(i64::from(page.limit));
        Box::pin(self.read("listing tasks", statement, decode::task_record))
    }

    fn due_holds(&self, limit: u32) -> BoxFuture<'_, Result<Vec<(UserId, Text)>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/reader_due_holds.sql")).bind(i64::from(limit));
        Box::pin(async move { self.read("looking for expired holds", statement, decode::task_key).await })
    }

    fn stuck_tasks(
        &self,
        created_before: Micros,
        after: i64,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<TaskRecord>, StoreError>> {
        Box::pin(self.stuck(created_before, after, limit))
    }

    fn key_pool(&self) -> BoxFuture<'_, Result<PoolRows, StoreError>> {
        const WHAT: &str = "reading the key pool";
        Box::pin(async move {
            let rows = self.rows(WHAT, sqlx::query(include_str!("sql/reader_key_pool.sql"))).await?;
            keys_decode::pool(&rows, moment(&rows, WHAT)?)
        })
    }

    fn accounts<'a>(
        &'a self,
        account_ids: &'a [AccountId],
    ) -> BoxFuture<'a, Result<Vec<AccountRecord>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/reader_accounts.sql")).bind(account_ids);
        Box::pin(self.read("reading accounts", statement, keys_decode::account_record))
    }

    fn list_accounts(&self, page: Page) -> BoxFuture<'_, Result<Vec<AccountRecord>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/reader_list_accounts.sql"))
            .bind(page.before)
            .bind(i64::from(page.limit));
        Box::pin(self.read("listing accounts", statement, keys_decode::account_record))
    }

    fn leases<'a>(&'a self, lease_ids: &'a [Text]) -> BoxFuture<'a, Result<Vec<LeaseRecord>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/reader_leases.sql"))
            .bind(lease_ids.iter().map(|lease_id| &**lease_id).bind_iter());
        Box::pin(self.read("reading leases", statement, keys_decode::lease_record))
    }

    fn due_leases(&self, limit: u32) -> BoxFuture<'_, Result<Vec<Text>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/reader_due_leases.sql")).bind(i64::from(limit));
        Box::pin(self.read("looking for expired leases", statement, keys_decode::lease_id))
    }

    fn sealed_keys<'a>(
        &'a self,
        after: (AccountId, &'a str, &'a str),
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<AccountKey>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/reader_sealed_keys.sql"))
            .bind(after.0)
            .bind(after.1)
            .bind(after.2)
            .bind(i64::from(limit));
        Box::pin(self.read("reading sealed keys", statement, keys_decode::account_key))
    }

    fn audit_log(
        &self,
        account_id: Option<AccountId>,
        page: Page,
    ) -> BoxFuture<'_, Result<Vec<AuditRecord>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/reader_audit_log.sql"))
            .bind(account_id)
            .bind(page.before)
            .bind(i64::from(page.limit));
        Box::pin(self.read("reading the audit log", statement, keys_decode::audit_record))
    }

    fn figures(&self) -> BoxFuture<'_, Result<Figures, StoreError>> {
        const WHAT: &str = "reading figures";
        let decode = |row: &PgRow| {
            let row = Columns::new(row, WHAT);
            Ok(Figures {
                holds: row.get("open")?,
                held_points: row.get("points")?,
                holds_overdue: row.get("holds")?,
                leases: row.get("leases")?,
                leases_overdue: row.get("leases_overdue")?,
                bytes: row.get("bytes")?,
            })
        };
        Box::pin(async move {
            let statement = sqlx::query(include_str!("sql/reader_figures.sql"));
            let found = self.read(WHAT, statement, decode).await?.pop();
            found.ok_or_else(|| Trouble::Wrong("no row came back".to_owned()).store_error(WHAT))
        })
    }

    fn audit_snapshot(&self) -> BoxFuture<'_, Result<Box<dyn AuditSnapshot>, StoreError>> {
        Box::pin(async move {
            let snapshot = PostgresSnapshot::open(&self.target).await?;
            Ok(Box::new(snapshot) as Box<dyn AuditSnapshot>)
        })
    }
}

/// The moment that the first row carries.
pub(super) fn moment(rows: &[PgRow], what: &'static str) -> Result<Micros, StoreError> {
    let missing = || Trouble::Wrong("no row came back".to_owned()).store_error(what);
    Columns::new(rows.first().ok_or_else(missing)?, what).moment("now")
}
