//! Connections: how each kind is opened, and what a writer's must answer before anything is written through it.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, SqlSafeStr};

use super::error::{bug, store_error};
use super::location::{Location, refuse};
use crate::store::StoreError;
use crate::store::migration::release;

/// `scrp`: marks a file as ours.
pub(super) const APPLICATION_ID: i64 = 0x7363_7270;
pub(super) const MARK_AS_OURS: &str = "PRAGMA application_id = 1935897200";

/// The first version in which a checkpoint cannot lose what another connection wrote (the WAL-reset bug).
const OLDEST_SQLITE: (u64, u64, u64) = (3, 51, 3);

/// Two processes that make a file at once: the change to WAL does not wait for the other by itself.
const WAL_TRIES: u32 = 250;
const WAL_PAUSE: Duration = Duration::from_millis(20);

/// A log that is longer than it gets while it is moved in time.
const LOG_KEPT_BYTES: u64 = 320 << 20;

/// What every connection of a store is opened with.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) location: Location,
    pub(super) busy_timeout: Duration,
    pub(super) cache_kib: u32,
    pub(super) move_pages: u32,
    pub(super) wal_autocheckpoint: u32,
    pub(super) max_pages: Option<u32>,
}

impl Config {
    /// Never creates the file: one that was moved away is not silently replaced by an empty one.
    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(self.location.path())
            .create_if_missing(false)
            .busy_timeout(self.busy_timeout)
            // Texts are few; a batch of rows comes back whole.
            .row_buffer_size(1_024)
            .pragma("trusted_schema", "OFF")
            .pragma("cell_size_check", "ON")
            .pragma("temp_store", "MEMORY")
    }

    /// A connection that can change nothing.
    pub(super) fn reader_options(&self) -> SqliteConnectOptions {
        self.options()
            .read_only(true)
            .pragma("query_only", "ON")
            .pragma("cache_size", format!("-{}", self.cache_kib / 4))
    }

    /// A connection that writes, before it was asked anything.
    pub(super) async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        let mut options = self
            .options()
            // Where fsync alone does not reach the platter (macOS); elsewhere it changes nothing.
            .pragma("fullfsync", "ON")
            .pragma("checkpoint_fullfsync", "ON")
            .pragma("cache_size", format!("-{}", self.cache_kib))
            // A log that grew under a long read shrinks again once it is moved into the file.
            .pragma("journal_size_limit", LOG_KEPT_BYTES.to_string())
            .pragma("wal_autocheckpoint", self.wal_autocheckpoint.to_string());
        if let Some(pages) = self.max_pages {
            options = options.pragma("max_page_count", pages.to_string());
        }
        options.connect().await.map_err(|error| store_error("opening the file", error))
    }

    /// The writer's connection after the first, which was admitted when the store was opened.
    pub(super) async fn reconnect(&self) -> Result<SqliteConnection, StoreError> {
        let mut connection = self.connect().await?;
        let found: i64 = scalar(&mut connection, "PRAGMA application_id").await?;
        if found != APPLICATION_ID {
            return refuse(format!("{} is another file than the one that was opened", self.location));
        }
        make_durable(&mut connection, &self.location).await?;
        Ok(connection)
    }
}

/// Refuses a library that could lose writes.
pub(super) async fn check_library(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let version: String = scalar(connection, "SELECT sqlite_version()").await?;
    match release(&version) {
        Some(found) if found >= OLDEST_SQLITE => Ok(()),
        _ => refuse(format!(
            "SQLite {version} can lose committed writes (its WAL-reset bug): build scrip with SQLite 3.51.3 or later"
        )),
    }
}

/// WAL and an fsync at each commit: set, and read back, since SQLite may silently keep what it has.
pub(super) async fn make_durable(
    connection: &mut SqliteConnection,
    location: &Location,
) -> Result<(), StoreError> {
    let mut tries = 0;
    let journal: String = loop {
        match scalar(connection, "PRAGMA journal_mode = WAL").await {
            Err(StoreError::Conflict { .. }) if tries < WAL_TRIES => tries += 1,
            answered => break answered?,
        }
        tokio::time::sleep(WAL_PAUSE).await;
    };
    if journal != "wal" {
        return refuse(format!(
            "{location} stays in journal mode {journal}, not WAL: put the file on a local disk"
        ));
    }
    execute(connection, "PRAGMA synchronous = FULL").await?;
    let synchronous: i64 = scalar(connection, "PRAGMA synchronous").await?;
    if synchronous != 2 {
        return refuse(format!(
            "{location}: SQLite does not sync at each commit (synchronous {synchronous})"
        ));
    }
    Ok(())
}

/// The first column of the first row.
pub(super) async fn scalar<T>(connection: &mut SqliteConnection, sql: &'static str) -> Result<T, StoreError>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite> + Send + Unpin,
{
    let row: Option<T> = sqlx::query_scalar(sql)
        .fetch_optional(connection)
        .await
        .map_err(|error| store_error("asking about the file", error))?;
    row.ok_or_else(|| bug("a question about the file", "no row"))
}

/// A statement without arguments or answer.
pub(super) async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), StoreError> {
    raw(connection, sql).await.map_err(|error| store_error("preparing the file", error))
}

/// The same, with the driver's error.
pub(super) async fn raw(connection: &mut SqliteConnection, sql: impl SqlSafeStr) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sqlite_without_the_wal_reset_bug_is_the_oldest_that_serves() {
        assert!(release("3.51.3") >= Some(OLDEST_SQLITE));
        assert!(release("3.9.0") < Some(OLDEST_SQLITE));
        assert!(MARK_AS_OURS.ends_with(&APPLICATION_ID.to_string()));
    }
}
