//! One snapshot of everything, for `verify`: a read transaction on a connection of its own, open as long as it is read.

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::ConnectOptions;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};

use super::connection::{Config, execute, scalar};
use super::error::{bug, store_error};
use super::rows::{self, Cells};
use super::{keys, keys_rows, sql};
use crate::keypool::Lease;
use crate::ledger::{Micros, RequestRecord, User, UserId};
use crate::store::{AuditSnapshot, PoolRows, StoreError, StoredEntry, TaskRecord};

const WHAT: &str = "reading what is stored";

/// Everything stored, as of the moment it was begun. Dropped, it ends with its connection.
pub(super) struct Audit {
    connection: SqliteConnection,
    now: Micros,
}

impl Audit {
    pub(super) async fn begin(config: &Config, now: Micros) -> Result<Self, StoreError> {
        let options = config.reader_options();
        let mut connection = options.connect().await.map_err(|error| store_error(WHAT, error))?;
        execute(&mut connection, "BEGIN").await?;
        // The snapshot is taken by the first read, not by BEGIN.
        let _: i64 = scalar(&mut connection, "SELECT count(*) FROM scrip_schema").await?;
        Ok(Self { connection, now })
    }

    async fn page<T>(
        &mut self,
        statement: Query<'static, Sqlite, SqliteArguments>,
        row: fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        let found =
            statement.fetch_all(&mut self.connection).await.map_err(|error| store_error(WHAT, error))?;
        found.iter().map(row).collect::<Result<_, _>>().map_err(|error| store_error(WHAT, error))
    }
}

impl AuditSnapshot for Audit {
    fn estimate(&mut self) -> BoxFuture<'_, Result<u64, StoreError>> {
        async move {
            let rows: i64 = scalar(&mut self.connection, sql::AUDIT_ESTIMATE).await?;
            u64::try_from(rows).map_err(|error| bug(WHAT, error))
        }
        .boxed()
    }

    fn users(&mut self, after: UserId, limit: u32) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        self.page(sqlx::query(sql::AUDIT_USERS).bind(after).bind(limit), rows::user).boxed()
    }

    fn entries(
        &mut self,
        after: (UserId, i64),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<StoredEntry>, StoreError>> {
        let statement = sqlx::query(sql::AUDIT_ENTRIES).bind(after.0).bind(after.1).bind(limit);
        self.page(statement, rows::stored_entry).boxed()
    }

    fn orphan_points(
        &mut self,
        after: (UserId, i64),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<(UserId, i64)>, StoreError>> {
        let statement = sqlx::query(sql::AUDIT_ORPHAN_POINTS).bind(after.0).bind(after.1).bind(limit);
        self.page(statement, |row| {
            let mut cells = Cells::of(row);
            Ok((cells.get()?, cells.get()?))
        })
        .boxed()
    }

    fn tasks(
        &mut self,
        after: (UserId, i64),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<TaskRecord>, StoreError>> {
        let statement = sqlx::query(sql::AUDIT_TASKS).bind(after.0).bind(after.1).bind(limit);
        self.page(statement, rows::task_record).boxed()
    }

    fn requests<'a>(
        &'a mut self,
        after: (UserId, &'a str),
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<RequestRecord>, StoreError>> {
        let statement = sqlx::query(sql::AUDIT_REQUESTS).bind(after.0).bind(after.1.to_owned()).bind(limit);
        self.page(statement, rows::request).boxed()
    }

    fn leases<'a>(
        &'a mut self,
        after: (&'a str, i64),
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Lease>, StoreError>> {
        let statement = sqlx::query(sql::AUDIT_LEASES).bind(after.0.to_owned()).bind(after.1).bind(limit);
        self.page(statement, keys_rows::lease).boxed()
    }

    fn key_pool(&mut self) -> BoxFuture<'_, Result<PoolRows, StoreError>> {
        keys::pool(&mut self.connection, self.now, true).boxed()
    }
}
