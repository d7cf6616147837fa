//! The writer: one connection a process, whatever the number of lanes.
//!
//! A call takes the connection for the length of a batch. Whatever ends it early (an error, a dropped future) leaves
//! `unsettled` set, and the next call first rolls back or takes a new connection: no transaction is inherited.
//!
//! | a failure | means |
//! |---|---|
//! | before COMMIT | rolled back: nothing was written |
//! | at COMMIT: full, busy or read-only | refused before its last page was written: rolled back |
//! | at COMMIT: anything else | nobody knows, until another transaction is committed over what the log may hold |
//! | damage, at any time | nothing is written until a restart has checked the file |
//!
//! While an earlier run of a batch is being resolved, only the insert of its id tells what became of it: until that
//! has answered, every failure leaves the outcome unknown.

use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use futures::future::BoxFuture;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use uuid::Uuid;

use super::connection::{Config, raw};
use super::error::{bug, extended_code, is_duplicate, store_error};
use super::{keys, plan, rows, sql};
use crate::clock::Clock;
use crate::ledger;
use crate::ledger::Micros;
use crate::meter::Statements;
use crate::mutants::{self, Mutant};
use crate::store::{Decide, Failure, Footprint, Run, Snapshot, StoreError, Transacted, Writer};

const DAMAGED: &str = "the file is damaged; restart scrip, which checks it";

/// Failures of the index of the log alone (IOERR_SHMOPEN, _SHMSIZE, _SHMLOCK, _SHMMAP): what is on disk is sound.
const OF_THE_INDEX: [i32; 4] = [4618, 4874, 5130, 5386];

/// The connection all writers of a store share.
pub(super) struct Session {
    config: Config,
    clock: Arc<dyn Clock>,
    connection: Option<SqliteConnection>,
    /// A transaction may be open on the connection.
    unsettled: bool,
    /// A COMMIT failed when its frames may have been in the log already: unseen now, but there again if every process
    /// ends before others are written over them. So the next batch is committed even if it has nothing to write.
    unsure: bool,
    health: Health,
    committed: Arc<Notify>,
    measured: Statements,
}

/// Whether damage was met; shared with those who read. Why nothing may be written until a restart.
#[derive(Clone, Default)]
pub(super) struct Health(Arc<OnceLock<String>>);

impl Health {
    /// # Errors
    /// [`StoreError::Damaged`] since damage was met.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.0.get() {
            None => Ok(()),
            Some(why) => Err(StoreError::Damaged { what: DAMAGED, source: why.clone().into() }),
        }
    }
}

/// One of the writers that share a [`Session`].
pub(super) struct SharedWriter(pub(super) Arc<Mutex<Session>>);

/// How far a transaction came before it failed.
enum Broken {
    /// Before COMMIT.
    Early(StoreError),
    /// At COMMIT.
    AtCommit(sqlx::Error),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Broken::Early(error)
    }
}

impl Session {
    /// Begins with the connection that was admitted.
    pub(super) fn new(config: Config, clock: Arc<dyn Clock>, connection: SqliteConnection) -> Self {
        Self {
            config,
            clock,
            connection: Some(connection),
            unsettled: false,
            unsure: false,
            health: Health::default(),
            committed: Arc::default(),
            measured: Statements::off(),
        }
    }

    /// Told after each commit.
    pub(super) fn commits(&self) -> Arc<Notify> {
        Arc::clone(&self.committed)
    }

    /// Whether the file is sound as far as is known, now and later.
    pub(super) fn health(&self) -> Health {
        self.health.clone()
    }

    /// Tells how long its commits take.
    pub(super) fn measured(self, measured: Statements) -> Self {
        Self { measured, ..self }
    }

    async fn transact(
        &mut self,
        batch_id: Uuid,
        run: Run,
        footprint: &Footprint,
        decide: Decide<'_>,
    ) -> Transacted {
        let mut resolved = run == Run::First;
        let ended = self.attempt(batch_id, run, &mut resolved, footprint, decide).await;
        self.settle().await;
        let error = match ended {
            Ok(ended) => return ended,
            Err(Broken::Early(error)) => error,
            Err(Broken::AtCommit(error)) => match self.after_commit(error) {
                Ok(error) => error,
                Err(error) => return Transacted::Unknown(error),
            },
        };
        // What the connection was opened with may be what is wrong: the next batch opens another.
        if matches!(error, StoreError::ReadOnly { .. } | StoreError::Unavailable { .. }) {
            self.connection = None;
        }
        match error {
            error if !resolved => Transacted::Unknown(error),
            error @ StoreError::Conflict { .. } => Transacted::NotCommitted(Failure::Again(error)),
            error @ StoreError::Damaged { .. } => {
                Transacted::NotCommitted(Failure::Stop(self.damaged(error)))
            }
            error => Transacted::NotCommitted(Failure::Stop(error)),
        }
    }

    /// What a failed COMMIT means: `Ok` if nothing was written, `Err` if nobody knows.
    fn after_commit(&mut self, error: sqlx::Error) -> Result<StoreError, StoreError> {
        let is_sound = matches!(error, sqlx::Error::WorkerCrashed)
            || extended_code(&error).is_some_and(|code| OF_THE_INDEX.contains(&code));
        match store_error("committing", error) {
            error @ (StoreError::Full { .. } | StoreError::Conflict { .. } | StoreError::ReadOnly { .. }) => {
                Ok(error)
            }
            error @ StoreError::Damaged { .. } => Err(self.damaged(error)),
            error => {
                if !is_sound {
                    self.config.location.mark_suspect();
                }
                self.unsure = true;
                self.connection = None;
                Err(error)
            }
        }
    }

    /// The phases of one transaction; whatever it leaves open is for [`Session::settle`].
    async fn attempt(
        &mut self,
        batch_id: Uuid,
        run: Run,
        resolved: &mut bool,
        footprint: &Footprint,
        decide: Decide<'_>,
    ) -> Result<Transacted, Broken> {
        let (clock, measured, unsure) = (Arc::clone(&self.clock), self.measured.clone(), self.unsure);
        let connection = self.begin().await?;
        if run == Run::Resolving {
            match insert_commit(connection, batch_id).await {
                Err(error) if is_duplicate(&error) => return Ok(Transacted::AlreadyCommitted),
                inserted => inserted.map_err(|error| store_error("resolving the batch", error))?,
            }
            *resolved = true;
        }
        // After BEGIN IMMEDIATE has the write lock, so that batches of several processes are in the order of it.
        let snapshot = read(connection, footprint, clock.now()).await?;
        let plan = decide(snapshot);
        if plan.is_empty() && !unsure {
            return Ok(Transacted::Committed);
        }
        if run == Run::First {
            // A duplicate here is a bug, like that of a task or request: under the write lock nobody wrote since the
            // footprint was read.
            insert_commit(connection, batch_id)
                .await
                .map_err(|error| store_error("adding the batch id", error))?;
        }
        let written = match plan::write(connection, &plan.ledger).await {
            Ok(()) => keys::write(connection, &plan.keys).await,
            failed => failed,
        };
        if !mutants::on(Mutant::SwallowedError) {
            written?;
        }
        let began = Instant::now();
        let committed = raw(connection, "COMMIT").await;
        measured.committed(began.elapsed());
        committed.map_err(Broken::AtCommit)?;
        self.has_committed();
        // Its id at least was written; what is no batch may have been committed without a row.
        self.unsure = false;
        Ok(Transacted::Committed)
    }

    /// A connection with the write lock, in a transaction of its own.
    async fn begin(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.health.check()?;
        self.settle().await;
        if self.connection.is_none() {
            self.connection = Some(self.config.reconnect().await?);
        }
        self.unsettled = true;
        let Some(connection) = &mut self.connection else {
            return Err(bug("taking the connection", "there is none"));
        };
        match raw(connection, "BEGIN IMMEDIATE")
            .await
            .map_err(|error| store_error("taking the write lock", error))
        {
            Ok(()) => Ok(connection),
            Err(error) => {
                // A lock that another process kept has opened nothing.
                self.unsettled = !matches!(error, StoreError::Conflict { .. });
                Err(error)
            }
        }
    }

    fn has_committed(&mut self) {
        self.unsettled = false;
        self.committed.notify_one();
    }

    /// Ends what is open. A connection that cannot roll back (SQLite may have done so by itself) is not used again:
    /// dropping it rolls back too.
    async fn settle(&mut self) {
        if !self.unsettled {
            return;
        }
        if let Some(mut connection) = self.connection.take()
            && raw(&mut connection, "ROLLBACK").await.is_ok()
        {
            self.connection = Some(connection);
        }
        self.unsettled = false;
    }

    /// Closes the connection, with the log moved into the file. A damaged file is left as it is, for the next start to
    /// check.
    pub(super) async fn close(&mut self) {
        self.settle().await;
        let Some(mut connection) = self.connection.take().filter(|_| self.health.check().is_ok()) else {
            return;
        };
        // The last connection to go would do it, but a read that was given up may still be opening one.
        let moved = raw(&mut connection, "PRAGMA wal_checkpoint(PASSIVE)").await;
        if let Err(error) = moved.and(sqlx::Connection::close(connection).await) {
            tracing::debug!(%error, "the file was not closed in good order");
        }
    }

    /// No more writes: the next start checks the file first.
    fn damaged(&mut self, error: StoreError) -> StoreError {
        self.health.0.get_or_init(|| {
            self.config.location.mark_suspect();
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            cause.unwrap_or_else(|| error.to_string())
        });
        StoreError::Damaged { what: DAMAGED, source: Box::new(error) }
    }

    /// A transaction for what is no batch, and its moment. What becomes of it is told to [`Session::end`].
    pub(super) async fn open(&mut self) -> Result<(&mut SqliteConnection, Micros), StoreError> {
        let clock = Arc::clone(&self.clock);
        let connection = self.begin().await?;
        Ok((connection, clock.now()))
    }

    /// Commits such a transaction if all of it was done; rolls back what was not.
    pub(super) async fn end<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let done = match done {
            Ok(done) => self.commit().await.map(|()| done),
            Err(error) => Err(error),
        };
        self.settle().await;
        done.map_err(|error| match error {
            StoreError::ReadOnly { .. } | StoreError::Unavailable { .. } => {
                self.connection = None;
                error
            }
            StoreError::Damaged { .. } => self.damaged(error),
            error => error,
        })
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let Some(connection) = &mut self.connection else {
            return Err(bug("committing", "there is no connection"));
        };
        match raw(connection, "COMMIT").await {
            Ok(()) => {
                self.has_committed();
                Ok(())
            }
            Err(error) => Err(self.after_commit(error).unwrap_or_else(|error| error)),
        }
    }

    async fn prune(&mut self, before: Micros, limit: u32) -> Result<u64, StoreError> {
        let connection = self.begin().await?;
        let millis = u64::try_from(before.0 / 1_000).unwrap_or_default();
        // The smallest id of that millisecond.
        let oldest_kept = uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid();
        let done = sqlx::query(sql::PRUNE_COMMITS)
            .bind(oldest_kept)
            .bind(limit)
            .execute(&mut *connection)
            .await
            .map_err(|error| store_error("pruning batch ids", error))?;
        match raw(connection, "COMMIT").await {
            Ok(()) => self.has_committed(),
            Err(error) => return Err(self.after_commit(error).unwrap_or_else(|error| error)),
        }
        Ok(done.rows_affected())
    }
}

impl Writer for SharedWriter {
    fn transact<'a>(
        &'a mut self,
        batch_id: Uuid,
        run: Run,
        footprint: &'a Footprint,
        decide: Decide<'a>,
    ) -> BoxFuture<'a, Transacted> {
        async move { self.0.lock().await.transact(batch_id, run, footprint, decide).await }.boxed()
    }

    fn prune_commits(&mut self, before: Micros, limit: u32) -> BoxFuture<'_, Result<u64, StoreError>> {
        async move {
            let mut session = self.0.lock().await;
            let pruned = session.prune(before, limit).await;
            session.settle().await;
            pruned
        }
        .boxed()
    }
}

async fn insert_commit(connection: &mut SqliteConnection, batch_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(sql::INSERT_COMMIT).bind(batch_id).execute(connection).await.map(|_| ())
}

/// The footprint's rows; what it has no keys for is not asked.
async fn read(
    connection: &mut SqliteConnection,
    footprint: &Footprint,
    now: Micros,
) -> Result<Snapshot, StoreError> {
    let users: Vec<_> = footprint.ledger.users.iter().collect();
    let tasks: Vec<&str> = footprint.ledger.tasks.iter().map(AsRef::as_ref).collect();
    let requests: Vec<(i64, &str)> =
        footprint.ledger.requests.iter().map(|(user_id, id)| (*user_id, id.as_ref())).collect();
    let users = keyed(connection, sql::READ_USERS, &users, rows::user).await?;
    let tasks = keyed(connection, sql::READ_TASKS, &tasks, rows::task).await?;
    let requests = keyed(connection, sql::READ_REQUESTS, &requests, rows::request).await?;
    let keys = keys::read(connection, &footprint.keys, now).await?;
    Ok(Snapshot { ledger: ledger::Snapshot { now, users, tasks, requests }, keys })
}

/// The rows of a JSON array of keys.
pub(super) async fn keyed<K: serde::Serialize, T>(
    connection: &mut SqliteConnection,
    sql: &'static str,
    keys: &[K],
    row: fn(&SqliteRow) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, StoreError> {
    const WHAT: &str = "reading the footprint";
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let keys = serde_json::to_string(keys).map_err(|error| bug(WHAT, error))?;
    let found = sqlx::query(sql).bind(keys).fetch_all(connection).await;
    let found = found.map_err(|error| store_error(WHAT, error))?;
    found.iter().map(row).collect::<Result<_, _>>().map_err(|error| store_error(WHAT, error))
}
