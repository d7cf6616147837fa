//! Reconciliation: its rows, and the evidence it judges.
//!
//! | phase | where |
//! |---|---|
//! | runs, how far they fetched, the events they brought, leases by name | `runs` |
//! | findings, rows of the report, costs | `results` |
//! | the snapshot that a run judges | `evidence` |
//!
//! Writes have a connection of their own, set as the engine's are, one transaction at a time and each of some thousand
//! rows at most. While one runs its connection belongs to it alone: it comes back only after COMMIT was answered, and
//! whatever ends it early closes it, so that the server rolls back.

mod evidence;
mod results;
mod runs;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgTransaction};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use self::evidence::Snapshot;
use super::connect::{Kept, Target};
use super::error::{Trouble, within};
use super::reader::PostgresReader;
use super::session::{self, Purpose, Statement};
use super::writer::discard;
use crate::audit;
use crate::ledger::Text;
use crate::store::reconcile::{
    Applied, Begun, EventRow, Evidence, Extent, FetchRow, FindingQuery, FindingRow, NewRun, Outline,
    ReconcileStore, ReportRow, Run, RunChange, Turn, WriteError,
};
use crate::store::{Page, StoreError};

/// The store's reconciliation.
pub(super) struct PostgresReconcile {
    target: Target,
    reader: Arc<PostgresReader>,
    /// Outside any transaction. `None` before the first write, while one runs, and after a failure.
    connection: Mutex<Option<Kept>>,
}

impl PostgresReconcile {
    pub(super) fn new(target: Target, reader: Arc<PostgresReader>) -> Self {
        Self { target, reader, connection: Mutex::new(None) }
    }

    /// The connection for one write.
    async fn desk(&self) -> Result<Desk<'_>, StoreError> {
        let mut place = self.connection.lock().await;
        let kept = self.target.writer(place.take()).await?;
        Ok(Desk { place, kept, target: &self.target })
    }
}

/// The connection while something is written.
struct Desk<'a> {
    place: MutexGuard<'a, Option<Kept>>,
    kept: Kept,
    target: &'a Target,
}

impl Desk<'_> {
    /// Runs one statement, which is a transaction of its own; answers how many rows it wrote.
    async fn execute(mut self, what: &'static str, statement: Statement<'_>) -> Result<u64, StoreError> {
        let done = self.target.execute_alone(&mut self.kept.connection, statement).await;
        self.end(what, done).await
    }

    /// Puts the connection back, or closes it after a failure.
    async fn end<T>(mut self, what: &'static str, done: Result<T, Trouble>) -> Result<T, StoreError> {
        match done {
            Ok(done) => {
                *self.place = Some(self.kept);
                Ok(done)
            }
            Err(trouble) => {
                discard(self.kept.connection).await;
                let error = trouble.store_error(what);
                if matches!(error, StoreError::ReadOnly { .. }) {
                    self.target.leave();
                }
                Err(error)
            }
        }
    }
}

/// A transaction whose steps each keep the limit.
struct Steps<'c> {
    transaction: PgTransaction<'c>,
    limit: Duration,
}

impl<'c> Steps<'c> {
    /// Begins, READ COMMITTED whatever the database's default is.
    async fn begin(connection: &'c mut PgConnection, target: &Target) -> Result<Self, Trouble> {
        let transaction = target.begin(connection, Purpose::Write).await?;
        Ok(Self { transaction, limit: target.limit })
    }

    /// Begins what only a turn may write; `None` where it is over, and then nothing is open.
    async fn of(
        turn: Turn,
        connection: &'c mut PgConnection,
        target: &Target,
    ) -> Result<Option<Self>, Trouble> {
        let mut steps = Self::begin(connection, target).await?;
        let held = sqlx::query(include_str!("sql/lock_run.sql")).bind(turn.run_id).bind(turn.attempt);
        if steps.row(held).await?.is_some() {
            return Ok(Some(steps));
        }
        steps.commit().await.map(|()| None)
    }

    /// Answers how many rows a statement wrote.
    async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, Trouble> {
        session::execute(&mut self.transaction, self.limit, statement).await
    }

    /// Answers the first row of a statement.
    async fn row(&mut self, statement: Statement<'_>) -> Result<Option<PgRow>, Trouble> {
        session::row_or_none(&mut self.transaction, self.limit, statement).await
    }

    /// As [`Steps::row`], of a statement that has one.
    async fn one(&mut self, statement: Statement<'_>) -> Result<PgRow, Trouble> {
        self.row(statement).await?.ok_or_else(|| Trouble::Wrong("no row came back".to_owned()))
    }

    async fn commit(self) -> Result<(), Trouble> {
        within(self.limit, self.transaction.commit()).await
    }
}

/// Rows with their numbers.
fn numbered<T>(first: i64, rows: &[T]) -> Vec<(i64, &T)> {
    (first..).zip(rows).collect()
}

impl ReconcileStore for PostgresReconcile {
    fn hold(&self, name: &'static str, holder: Uuid, micros: i64) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.take_lease(name, holder, micros))
    }

    fn let_go(&self, name: &'static str, holder: Uuid) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.give_lease_back(name, holder))
    }

    fn create_run<'a>(&'a self, new: &'a NewRun) -> BoxFuture<'a, Result<Begun, StoreError>> {
        Box::pin(self.begin_run(new))
    }

    fn run(&self, id: i64) -> BoxFuture<'_, Result<Option<Run>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/run.sql")).bind(id);
        Box::pin(async move {
            Ok(self.reader.read("reading a run", statement, runs::run).await?.into_iter().next())
        })
    }

    fn list_runs(&self, page: Page) -> BoxFuture<'_, Result<Vec<Run>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/list_runs.sql"))
            .bind(page.before.unwrap_or(i64::MAX))
            .bind(i64::from(page.limit));
        Box::pin(self.reader.read("listing runs", statement, runs::run))
    }

    fn runs_of<'a>(&'a self, actor: &'a str, page: Page) -> BoxFuture<'a, Result<Vec<Outline>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/runs_of.sql"))
            .bind(page.before.unwrap_or(i64::MAX))
            .bind(actor)
            .bind(i64::from(page.limit));
        Box::pin(self.reader.read("listing the runs of an actor", statement, runs::outline))
    }

    fn unfinished_runs(&self) -> BoxFuture<'_, Result<Vec<Run>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/unfinished_runs.sql"));
        Box::pin(self.reader.read("looking for unfinished runs", statement, runs::run))
    }

    fn take_up<'a>(&'a self, run: &'a Run, again: i64) -> BoxFuture<'a, Result<Option<Turn>, StoreError>> {
        Box::pin(self.raise(run, again))
    }

    fn end_run<'a>(&'a self, run: &'a Run, why: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.end_as_read(run, why))
    }

    fn set_aside(&self, turn: Turn, again: i64, counts: bool) -> BoxFuture<'_, Result<(), WriteError>> {
        Box::pin(self.give_back(turn, again, counts))
    }

    fn update_run<'a>(&'a self, turn: Turn, change: &'a RunChange) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(self.change_run(turn, change))
    }

    fn detail(&self, run_id: i64) -> BoxFuture<'_, Result<Option<Text>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/detail.sql")).bind(run_id);
        Box::pin(async move {
            Ok(self.reader.read("reading a report", statement, runs::detail).await?.into_iter().next())
        })
    }

    fn fetches(&self, run_id: i64) -> BoxFuture<'_, Result<Vec<FetchRow>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/fetches.sql")).bind(run_id);
        Box::pin(self.reader.read("reading fetches", statement, runs::fetch))
    }

    fn save_fetch<'a>(
        &'a self,
        turn: Turn,
        fetch: &'a FetchRow,
        events: &'a [EventRow],
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(self.save_page(turn, fetch, events))
    }

    fn evidence<'a>(&'a self, extent: &'a Extent) -> BoxFuture<'a, Result<Box<dyn Evidence>, StoreError>> {
        Box::pin(async move {
            let snapshot = Snapshot::begin(&self.target, extent).await?;
            Ok(Box::new(snapshot) as Box<dyn Evidence>)
        })
    }

    fn clear_results(&self, turn: Turn) -> BoxFuture<'_, Result<(), WriteError>> {
        Box::pin(self.forget(turn))
    }

    fn add_findings<'a>(
        &'a self,
        turn: Turn,
        first: i64,
        findings: &'a [audit::Finding],
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(self.keep_findings(turn, first, findings))
    }

    fn add_rows<'a>(
        &'a self,
        turn: Turn,
        layer: i16,
        first: i64,
        rows: &'a [String],
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(self.keep_rows(turn, layer, first, rows))
    }

    fn add_costs<'a>(
        &'a self,
        turn: Turn,
        first: i64,
        costs: &'a [audit::CostChange],
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(self.keep_costs(turn, first, costs))
    }

    fn apply_costs(&self, turn: Turn, after: i64, limit: u32) -> BoxFuture<'_, Result<Applied, WriteError>> {
        Box::pin(self.write_costs(turn, after, limit))
    }

    fn findings<'a>(
        &'a self,
        query: &'a FindingQuery,
        after: Option<(i16, &'a str, i64)>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<FindingRow>, StoreError>> {
        Box::pin(self.list_findings(query, after, limit))
    }

    fn rows(
        &self,
        run_id: i64,
        after: (i16, i64),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<ReportRow>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/rows.sql"))
            .bind(run_id)
            .bind(after.0)
            .bind(after.1)
            .bind(i64::from(limit));
        Box::pin(self.reader.read("reading a report", statement, results::report_row))
    }
}
