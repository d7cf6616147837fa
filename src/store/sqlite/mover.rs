//! The mover: moves the log into the file beside the writer, from a connection of its own.
//!
//! A commit appends to the log; a checkpoint copies what the log holds to its places in the file, syncs it, and lets the
//! log begin anew. SQLite does that within the commit that makes the log too long, and every caller waits for it. Here
//! most of it is copied while the writer goes on, so that the writer's own checkpoint (`wal_autocheckpoint`), which
//! alone finds nobody writing and so reaches the log's end, has little left to copy.
//!
//! What it fails at is done by that checkpoint: nothing depends on it but time.

use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Config;
use super::error::store_error;
use crate::store::StoreError;

const PAGE_BYTES: u64 = 4_096;

/// A mover at work, until it is closed or dropped.
pub(super) struct Mover {
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Mover {
    /// Begins to wait for commits, of which `committed` tells.
    pub(super) fn start(config: Config, committed: Arc<Notify>) -> Self {
        let mover = Self { tasks: TaskTracker::new(), closing: CancellationToken::new() };
        mover.tasks.spawn(run(config, committed, mover.closing.clone()));
        mover.tasks.close();
        mover
    }

    /// Closes its connection, and returns once it is closed.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

async fn run(config: Config, committed: Arc<Notify>, closing: CancellationToken) {
    let mut connection = None;
    loop {
        tokio::select! {
            biased;
            () = closing.cancelled() => break,
            () = committed.notified() => {}
        }
        // A step, once begun, is ended: a connection that is given up halfway would outlive the store.
        if let Err(error) = step(&config, &mut connection).await {
            tracing::debug!(%error, "the log was not moved into the file; the writer will do it");
            connection = None;
        }
    }
    if let Some(connection) = connection {
        sqlx::Connection::close(connection).await.ok();
    }
}

/// Moves what the log holds by now, if it is worth it.
async fn step(config: &Config, connection: &mut Option<SqliteConnection>) -> Result<(), StoreError> {
    // The log's file does not shrink when the log begins anew: one that is short has never been long.
    let log_bytes = std::fs::metadata(config.location.log()).map_or(0, |found| found.len());
    if log_bytes < u64::from(config.move_pages) * PAGE_BYTES {
        return Ok(());
    }
    if connection.is_none() {
        *connection = Some(config.reconnect().await?);
    }
    let Some(connection) = connection else { return Ok(()) };
    let (log, moved) = checkpoint(connection, "PRAGMA wal_checkpoint(NOOP)").await?;
    if log - moved >= i64::from(config.move_pages) {
        checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    }
    Ok(())
}

/// Pages in the log, and how many of them are in the file.
async fn checkpoint(
    connection: &mut SqliteConnection,
    pragma: &'static str,
) -> Result<(i64, i64), StoreError> {
    let (_busy, log, moved): (i64, i64, i64) = sqlx::query_as(pragma)
        .fetch_one(connection)
        .await
        .map_err(|error| store_error("moving the log into the file", error))?;
    Ok((log, moved))
}
