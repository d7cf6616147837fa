//! One snapshot of everything stored, page by page, for `verify`.
//!
//! REPEATABLE READ, READ ONLY, on a connection of its own: writers go on meanwhile and are not seen. A failure ends the
//! snapshot, for what came before and after it would not be of one moment.

use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::super::{AuditSnapshot, PoolRows, StoreError, StoredEntry, TaskRecord};
use super::connect::Target;
use super::decode::{self, Columns};
use super::error::Trouble;
use super::keys_decode;
use super::reader::moment;
use super::session::{self, Purpose, Statement};
use crate::keypool::Lease;
use crate::ledger::{RequestRecord, User, UserId};

/// How many points rows one statement looks through for orphans.
const WINDOW: i64 = 20_000;

/// An open snapshot; dropping it closes its connection.
pub(super) struct PostgresSnapshot {
    connection: Option<PgConnection>,
    limit: Duration,
}

impl PostgresSnapshot {
    /// Opens a snapshot of this moment.
    pub(super) async fn open(target: &Target) -> Result<Self, StoreError> {
        const WHAT: &str = "opening a snapshot";
        let mut connection = target.connect_reader().await?;
        let begun = target.begin_for_good(&mut connection, Purpose::Snapshot).await;
        begun.map_err(|trouble| trouble.store_error(WHAT))?;
        let mut snapshot = Self { connection: Some(connection), limit: target.limit };
        // The first statement fixes what is seen.
        snapshot.rows(WHAT, sqlx::query(include_str!("sql/reader_now.sql"))).await?;
        Ok(snapshot)
    }

    async fn rows(&mut self, what: &'static str, statement: Statement<'_>) -> Result<Vec<PgRow>, StoreError> {
        let Some(mut connection) = self.connection.take() else {
            let source = "the snapshot ended with an earlier failure".into();
            return Err(StoreError::Unavailable { what, source });
        };
        let answer = session::rows(&mut connection, self.limit, statement).await;
        let rows = answer.map_err(|trouble| trouble.store_error(what))?;
        self.connection = Some(connection);
        Ok(rows)
    }

    async fn read<T>(
        &mut self,
        what: &'static str,
        statement: Statement<'_>,
        decode: fn(&PgRow) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.rows(what, statement).await?.iter().map(decode).collect()
    }

    async fn count(&mut self) -> Result<u64, StoreError> {
        const WHAT: &str = "estimating the rows of the tables";
        let rows = self.rows(WHAT, sqlx::query(include_str!("sql/audit_estimate.sql"))).await?;
        let missing = || Trouble::Wrong("no row came back".to_owned()).store_error(WHAT);
        let count: i64 = Columns::new(rows.first().ok_or_else(missing)?, WHAT).get("rows")?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn pool(&mut self) -> Result<PoolRows, StoreError> {
        const WHAT: &str = "verifying the key pool";
        let now = moment(&self.rows(WHAT, sqlx::query(include_str!("sql/reader_now.sql"))).await?, WHAT)?;
        let rows = self.rows(WHAT, sqlx::query(include_str!("sql/audit_workspaces.sql"))).await?;
        let accounts = sqlx::query(include_str!("sql/audit_accounts.sql"));
        let accounts = self.read(WHAT, accounts, keys_decode::account).await?;
        let mut pool = PoolRows { now, accounts, ..PoolRows::default() };
        for row in &rows {
            pool.workspaces.push(keys_decode::workspace_with_balance(row)?);
            pool.usage.extend(keys_decode::usage(row)?);
        }
        Ok(pool)
    }

    async fn orphans(
        &mut self,
        mut after: (UserId, i64),
        limit: u32,
    ) -> Result<Vec<(UserId, i64)>, StoreError> {
        const WHAT: &str = "looking for points rows without a financial row";
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        while found.len() < limit {
            let window = sqlx::query(include_str!("sql/audit_points_window.sql"))
                .bind(after.0)
                .bind(after.1)
                .bind(WINDOW - 1);
            let end = self.read(WHAT, window, decode::entry_key).await?.into_iter().next();
            let up_to = end.unwrap_or((i64::MAX, i64::MAX));
            let statement = sqlx::query(include_str!("sql/audit_orphan_points.sql"))
                .bind(after.0)
                .bind(after.1)
                .bind(up_to.0)
                .bind(up_to.1)
                .bind(i64::try_from(limit - found.len()).unwrap_or(i64::MAX));
            found.extend(self.read(WHAT, statement, decode::entry_key).await?);
            match end {
                Some(end) => after = end,
                None => break,
            }
        }
        Ok(found)
    }
}

impl AuditSnapshot for PostgresSnapshot {
    fn estimate(&mut self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.count())
    }

    fn users(&mut self, after: UserId, limit: u32) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/audit_users.sql")).bind(after).bind(i64::from(limit));
        Box::pin(self.read("verifying users", statement, decode::user))
    }

    fn entries(
        &mut self,
        after: (UserId, i64),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<StoredEntry>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/audit_entries.sql"))
            .bind(after.0)
            .bind(after.1)
            .bind(i64::from(limit));
        Box::pin(self.read("verifying entries", statement, decode::stored_entry))
    }

    fn orphan_points(
        &mut self,
        after: (UserId, i64),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<(UserId, i64)>, StoreError>> {
        Box::pin(self.orphans(after, limit))
    }

    fn tasks(
        &mut self,
        after: (UserId, i64),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<TaskRecord>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/audit_tasks.sql"))
            .bind(after.0)
            .bind(after.1)
            .bind(i64::from(limit));
        Box::pin(self.read("verifying tasks", statement, decode::task_record))
    }

    fn requests<'a>(
        &'a mut self,
        after: (UserId, &'a str),
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<RequestRecord>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/audit_requests.sql"))
            .bind(after.0)
            .bind(after.1)
            .bind(i64::from(limit));
        Box::pin(self.read("verifying idempotency records", statement, decode::request))
    }
    fn leases<'a>(
        &'a mut self,
        after: (&'a str, i64),
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Lease>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/audit_leases.sql"))
            .bind(after.0)
            .bind(after.1)
            .bind(i64::from(limit));
        Box::pin(self.read("verifying leases", statement, keys_decode::lease))
    }

    fn key_pool(&mut self) -> BoxFuture<'_, Result<PoolRows, StoreError>> {
        Box::pin(self.pool())
    }
}
