//! The writer: one batch at a time, each in one transaction, on a connection nobody else uses.
//!
//! | phase | round trips |
//! |---|---|
//! | BEGIN, READ COMMITTED whatever the database's default is: each statement sees what is committed before it | 1 |
//! | resolving only: insert the batch id; its duplicate means the batch had committed | (1) |
//! | lock and read the users | 1, none without users |
//! | read tasks, then requests, and the batch's moment | 1 each, none for an empty set |
//! | with keys: lock workspaces, read accounts, leases and a later moment, as `keys_read` says | (3 or 4) |
//! | decide; nothing to write: ROLLBACK | – |
//! | write, in one statement; one more for new users, one more for changed tasks and attempts | 1 to 3 |
//! | with keys: write, as `keys_write` says; mostly one statement, and alone where only keys change | (1 to 5) |
//! | COMMIT | 1 |
//!
//! While a transaction is open its connection belongs to the running batch alone: it comes back only after COMMIT or
//! ROLLBACK was answered. A failure, a timeout, a panic or a dropped future closes it, and the server rolls back.

use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::postgres::{PgBindIterExt, PgRow};
use sqlx::{Connection, PgConnection, PgTransaction};
use tokio::time::Instant;
use uuid::Uuid;

use super::super::{Decide, Failure, Run, StoreError, Transacted, Writer};
use super::connect::{Kept, Target};
use super::decode::{self, Columns};
use super::error::{Trouble, within};
use super::session::{self, Purpose, Statement, execute};
use super::{citus, keys_read, keys_write, write};
use crate::ledger::Micros;
use crate::meter::Statements;
use crate::mutants::{self, Mutant};
use crate::store::{Footprint, Plan, Snapshot};

/// How long a failed connection may take to say goodbye. The server notices a closed socket as well.
const GOODBYE: Duration = Duration::from_millis(200);

const READING_NOW: &str = "reading the moment of a batch";

/// Runs batches on a connection of its own.
pub(super) struct PostgresWriter {
    target: Target,
    /// Outside any transaction. `None` before the first batch, while one runs, and after a failure.
    connection: Option<Kept>,
    /// The last batch met a server that takes no writes.
    met_read_only: bool,
    measured: Statements,
}

impl PostgresWriter {
    pub(super) fn new(target: Target, measured: Statements) -> Self {
        Self { target, connection: None, met_read_only: false, measured }
    }

    async fn run(
        &mut self,
        batch_id: Uuid,
        run: Run,
        footprint: &Footprint,
        decide: Decide<'_>,
    ) -> Transacted {
        let mut kept = match self.target.writer(self.connection.take()).await {
            Ok(kept) => kept,
            // What became of the earlier run is as unknown as before.
            Err(error) if run == Run::Resolving => return Transacted::Unknown(error),
            Err(error) => return Transacted::NotCommitted(Failure::Stop(error)),
        };
        match transact(&mut kept.connection, (&self.target, &self.measured), batch_id, run, footprint, decide)
            .await
        {
            Ok(()) => {
                if std::mem::take(&mut self.met_read_only) {
                    // Readers that connected in the meantime may have reached the old server again.
                    self.target.leave_again();
                    kept.may_stay_now();
                }
                self.connection = Some(kept);
                Transacted::Committed
            }
            Err(outcome) if mutants::on(Mutant::CancelledTransaction) => {
                self.connection = Some(kept);
                outcome
            }
            Err(outcome) => {
                if is_read_only(&outcome) {
                    self.met_read_only = true;
                    self.target.leave();
                }
                discard(kept.connection).await;
                outcome
            }
        }
    }

    async fn prune(&mut self, before: Micros, limit: u32) -> Result<u64, StoreError> {
        let mut kept = self.target.writer(self.connection.take()).await?;
        let statement = sqlx::query(include_str!("sql/writer_prune_commits.sql"))
            .bind(first_id_of(before))
            .bind(i64::from(limit));
        match self.target.execute_alone(&mut kept.connection, statement).await {
            Ok(rows) => {
                self.connection = Some(kept);
                Ok(rows)
            }
            Err(trouble) => {
                discard(kept.connection).await;
                Err(trouble.store_error("forgetting old batch ids"))
            }
        }
    }
}

impl Writer for PostgresWriter {
    fn transact<'a>(
        &'a mut self,
        batch_id: Uuid,
        run: Run,
        footprint: &'a Footprint,
        decide: Decide<'a>,
    ) -> BoxFuture<'a, Transacted> {
        Box::pin(self.run(batch_id, run, footprint, decide))
    }

    fn prune_commits(&mut self, before: Micros, limit: u32) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.prune(before, limit))
    }
}

/// Whether the server turned out to take no writes: what was a primary has become a standby, and another is one.
fn is_read_only(outcome: &Transacted) -> bool {
    matches!(
        outcome,
        Transacted::NotCommitted(Failure::Stop(StoreError::ReadOnly { .. }))
            | Transacted::Unknown(StoreError::ReadOnly { .. })
    )
}

/// The smallest UUIDv7 of a moment: those before it are older.
fn first_id_of(moment: Micros) -> Uuid {
    let millis = u128::try_from(moment.0.div_euclid(1_000)).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}

/// Closes a connection that failed, in good order if the server still listens, so that its locks go at once.
pub(super) async fn discard(connection: PgConnection) {
    tokio::time::timeout(GOODBYE, connection.close()).await.ok();
}

/// One batch on a connection outside any transaction. `Ok` leaves the connection as it was found; after anything else
/// it must not be used again.
async fn transact(
    connection: &mut PgConnection,
    (target, measured): (&Target, &Statements),
    batch_id: Uuid,
    run: Run,
    footprint: &Footprint,
    decide: Decide<'_>,
) -> Result<(), Transacted> {
    let limit = target.limit;
    let begun = begin(connection, target).await;
    let mut transaction = begun.map_err(|trouble| match run {
        Run::First => Transacted::NotCommitted(trouble.failure("beginning a batch")),
        Run::Resolving => Transacted::Unknown(trouble.store_error("beginning a batch")),
    })?;
    if run == Run::Resolving {
        resolve(&mut transaction, limit, batch_id).await?;
    }
    let snapshot = read(&mut transaction, target, footprint).await.map_err(Transacted::NotCommitted)?;
    let plan = decide(snapshot);
    if plan.is_empty() {
        // Nothing was to be written: what fails here costs the connection and nothing else.
        return within(limit, transaction.rollback()).await.map_err(|_| Transacted::Committed);
    }
    let id = (run == Run::First).then_some(batch_id);
    let written = write(&mut transaction, limit, id, &plan).await;
    let written = if mutants::on(Mutant::SwallowedError) { Ok(()) } else { written };
    #[cfg(feature = "mutants")]
    if mutants::on(Mutant::CancelledTransaction) && batch_id.as_u128().is_multiple_of(32) {
        std::mem::forget(transaction);
        return Err(Transacted::NotCommitted(Trouble::Silent(limit).failure("a batch that is given up")));
    }
    written.map_err(|trouble| Transacted::NotCommitted(trouble.failure("writing a batch")))?;
    let began = Instant::now();
    let committed = within(limit, transaction.commit()).await;
    measured.committed(began.elapsed());
    committed.map_err(Trouble::at_commit)
}

async fn begin<'c>(connection: &'c mut PgConnection, target: &Target) -> Result<PgTransaction<'c>, Trouble> {
    if mutants::on(Mutant::CancelledTransaction) && connection.is_in_transaction() {
        return within(target.limit, connection.begin()).await;
    }
    target.begin(connection, Purpose::Write).await
}

/// Finds out what became of an earlier run: the insert waits for its transaction to end one way or the other.
async fn resolve(connection: &mut PgConnection, limit: Duration, batch_id: Uuid) -> Result<(), Transacted> {
    let insert = sqlx::query(include_str!("sql/writer_insert_commit.sql")).bind(batch_id);
    match execute(connection, limit, insert).await {
        Ok(_) => Ok(()),
        Err(trouble) if trouble.violates("scrip_commits_pkey") => Err(Transacted::AlreadyCommitted),
        Err(trouble) => Err(Transacted::Unknown(trouble.store_error("resolving a batch"))),
    }
}

/// Writes a plan. The batch id goes with the first statement of whichever room has something to write.
async fn write(
    connection: &mut PgConnection,
    limit: Duration,
    batch_id: Option<Uuid>,
    plan: &Plan,
) -> Result<(), Trouble> {
    let mut batch_id = batch_id;
    if !plan.ledger.is_empty() {
        write::write(connection, limit, batch_id.take(), &plan.ledger).await?;
    }
    if !plan.keys.is_empty() {
        keys_write::write(connection, limit, batch_id, &plan.keys).await?;
    }
    Ok(())
}

/// Locks the users, then reads in later statements what the locks guard; then the same with the workspaces.
async fn read(
    connection: &mut PgConnection,
    target: &Target,
    footprint: &Footprint,
) -> Result<Snapshot, Failure> {
    let limit = target.limit;
    let mut snapshot = crate::ledger::Snapshot::default();
    let mut now = None;
    if !footprint.ledger.users.is_empty() {
        let statement = sqlx::query(locking(target.form(&citus::LOCK_USERS), Mutant::NoRowLock))
            .bind(footprint.ledger.users.iter().copied().bind_iter());
        let rows = fetch(connection, limit, "locking the users of a batch", statement).await?;
        let users: Result<_, _> = rows.iter().map(decode::user).collect();
        snapshot.users = users.map_err(Failure::Stop)?;
    }
    if !footprint.ledger.tasks.is_empty() {
        let statement = sqlx::query(target.form(&citus::READ_TASKS))
            .bind(footprint.ledger.tasks.iter().map(|task_id| &**task_id).bind_iter());
        let rows = fetch(connection, limit, "reading the tasks of a batch", statement).await?;
        (now, snapshot.tasks) = with_now(&rows, "user_id", decode::task).map_err(Failure::Stop)?;
    }
    if !footprint.ledger.requests.is_empty() {
        let statement = sqlx::query(include_str!("sql/writer_read_requests.sql"))
            .bind(footprint.ledger.requests.iter().map(|(user_id, _)| *user_id).bind_iter())
            .bind(footprint.ledger.requests.iter().map(|(_, request_id)| &**request_id).bind_iter());
        let rows = fetch(connection, limit, "reading the requests of a batch", statement).await?;
        (now, snapshot.requests) = with_now(&rows, "user_id", decode::request).map_err(Failure::Stop)?;
    }
    let mut keys = crate::keypool::Snapshot::default();
    if !footprint.keys.is_empty() {
        (now, keys) = keys_read::read(connection, limit, &footprint.keys).await?;
    }
    if now.is_none() {
        let statement = sqlx::query(include_str!("sql/writer_now.sql"));
        let rows = fetch(connection, limit, READING_NOW, statement).await?;
        now = rows.first().map(moment).transpose().map_err(Failure::Stop)?;
    }
    let missing = || Trouble::Wrong("no row came back".to_owned()).failure(READING_NOW);
    snapshot.now = now.ok_or_else(missing)?;
    keys.now = snapshot.now;
    Ok(Snapshot { ledger: snapshot, keys })
}

/// A statement that locks what it reads; without its lock where that bug is planted.
pub(super) fn locking(sql: &'static str, unlocked: Mutant) -> &'static str {
    if mutants::on(unlocked) { sql.trim_end().trim_end_matches("FOR NO KEY UPDATE") } else { sql }
}

/// Asks for rows under the client's limit.
pub(super) async fn fetch(
    connection: &mut PgConnection,
    limit: Duration,
    what: &'static str,
    statement: Statement<'_>,
) -> Result<Vec<PgRow>, Failure> {
    session::rows(connection, limit, statement).await.map_err(|trouble| trouble.failure(what))
}

/// Rows that each carry the batch's moment; where nothing was found one carries it alone, and NULL as `key`.
pub(super) fn with_now<T>(
    rows: &[PgRow],
    key: &str,
    decode: fn(&PgRow) -> Result<T, StoreError>,
) -> Result<(Option<Micros>, Vec<T>), StoreError> {
    let now = rows.first().map(moment).transpose()?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        if !Columns::new(row, READING_NOW).is_null(key)? {
            found.push(decode(row)?);
        }
    }
    Ok((now, found))
}

fn moment(row: &PgRow) -> Result<Micros, StoreError> {
    Columns::new(row, READING_NOW).moment("now")
}
