//! Reconciliation: its rows, and the evidence it judges.
//!
//! | phase | where |
//! |---|---|
//! | runs, how far they fetched, the events they brought, leases by name | `runs` |
//! | findings, rows of the report, costs | `results` |
//! | the snapshot that a run judges | `evidence` |
//!
//! What is written goes through the one writer of the process, between two batches, in transactions of at most some
//! thousand rows; it queues for it as a batch does.

mod evidence;
mod results;
mod runs;
mod sql;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Encode, Sqlite, Type};
use tokio::sync::Mutex;
use uuid::Uuid;

use self::evidence::Snapshot;
use super::error::store_error;
use super::reader::PoolReader;
use super::rows::Cells;
use super::sql::Bulk;
use super::writer::Session;
use crate::audit;
use crate::ledger::Text;
use crate::store::reconcile::{
    Applied, Begun, EventRow, Evidence, Extent, FetchRow, FindingQuery, FindingRow, NewRun, Outline,
    ReconcileStore, ReportRow, Run, RunChange, Turn, WriteError,
};
use crate::store::{Page, StoreError};

/// The store's reconciliation: it writes through the process's writer and reads through its readers.
pub(super) struct SqliteReconcile {
    pub(super) session: Arc<Mutex<Session>>,
    pub(super) reader: Arc<PoolReader>,
}

impl ReconcileStore for SqliteReconcile {
    fn hold(&self, name: &'static str, holder: Uuid, micros: i64) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.take_lease(name, holder, micros).boxed()
    }

    fn let_go(&self, name: &'static str, holder: Uuid) -> BoxFuture<'_, Result<(), StoreError>> {
        self.give_lease_back(name, holder).boxed()
    }

    fn create_run<'a>(&'a self, new: &'a NewRun) -> BoxFuture<'a, Result<Begun, StoreError>> {
        self.begin_run(new).boxed()
    }

    fn run(&self, id: i64) -> BoxFuture<'_, Result<Option<Run>, StoreError>> {
        self.reader.one("reading a run", sqlx::query(sql::RUN).bind(id), runs::run).boxed()
    }

    fn list_runs(&self, page: Page) -> BoxFuture<'_, Result<Vec<Run>, StoreError>> {
        let before = page.before.unwrap_or(i64::MAX);
        let statement = sqlx::query(sql::LIST_RUNS).bind(before).bind(page.limit);
        self.reader.all("listing runs", statement, runs::run).boxed()
    }

    fn runs_of<'a>(&'a self, actor: &'a str, page: Page) -> BoxFuture<'a, Result<Vec<Outline>, StoreError>> {
        let before = page.before.unwrap_or(i64::MAX);
        let statement = sqlx::query(sql::RUNS_OF).bind(before).bind(Text::from(actor)).bind(page.limit);
        self.reader.all("listing the runs of an actor", statement, runs::outline).boxed()
    }

    fn unfinished_runs(&self) -> BoxFuture<'_, Result<Vec<Run>, StoreError>> {
        self.reader.all("looking for unfinished runs", sqlx::query(sql::UNFINISHED_RUNS), runs::run).boxed()
    }

    fn take_up<'a>(&'a self, run: &'a Run, again: i64) -> BoxFuture<'a, Result<Option<Turn>, StoreError>> {
        self.raise(run, again).boxed()
    }

    fn end_run<'a>(&'a self, run: &'a Run, why: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.end_as_read(run, why).boxed()
    }

    fn set_aside(&self, turn: Turn, again: i64, counts: bool) -> BoxFuture<'_, Result<(), WriteError>> {
        self.give_back(turn, again, counts).boxed()
    }

    fn update_run<'a>(&'a self, turn: Turn, change: &'a RunChange) -> BoxFuture<'a, Result<(), WriteError>> {
        self.change_run(turn, change).boxed()
    }

    fn detail(&self, run_id: i64) -> BoxFuture<'_, Result<Option<Text>, StoreError>> {
        let statement = sqlx::query(sql::DETAIL).bind(run_id);
        self.reader.one("reading a report", statement, |row| Cells::of(row).text()).boxed()
    }

    fn fetches(&self, run_id: i64) -> BoxFuture<'_, Result<Vec<FetchRow>, StoreError>> {
        self.reader.all("reading fetches", sqlx::query(sql::FETCHES).bind(run_id), runs::fetch).boxed()
    }

    fn save_fetch<'a>(
        &'a self,
        turn: Turn,
        fetch: &'a FetchRow,
        events: &'a [EventRow],
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        self.save_page(turn, fetch, events).boxed()
    }

    fn evidence<'a>(&'a self, extent: &'a Extent) -> BoxFuture<'a, Result<Box<dyn Evidence>, StoreError>> {
        async move {
            let snapshot = Snapshot::begin(&self.reader.config, self.reader.clock.now(), extent).await?;
            Ok(Box::new(snapshot) as Box<dyn Evidence>)
        }
        .boxed()
    }

    fn clear_results(&self, turn: Turn) -> BoxFuture<'_, Result<(), WriteError>> {
        self.forget(turn).boxed()
    }

    fn add_findings<'a>(
        &'a self,
        turn: Turn,
        first: i64,
        findings: &'a [audit::Finding],
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        self.keep_findings(turn, first, findings).boxed()
    }

    fn add_rows<'a>(
        &'a self,
        turn: Turn,
        layer: i16,
        first: i64,
        rows: &'a [String],
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        self.keep_rows(turn, layer, first, rows).boxed()
    }

    fn add_costs<'a>(
        &'a self,
        turn: Turn,
        first: i64,
        costs: &'a [audit::CostChange],
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        self.keep_costs(turn, first, costs).boxed()
    }

    fn apply_costs(&self, turn: Turn, after: i64, limit: u32) -> BoxFuture<'_, Result<Applied, WriteError>> {
        self.write_costs(turn, after, limit).boxed()
    }

    fn findings<'a>(
        &'a self,
        query: &'a FindingQuery,
        after: Option<(i16, &'a str, i64)>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<FindingRow>, StoreError>> {
        self.list_findings(query, after, limit).boxed()
    }

    fn rows(
        &self,
        run_id: i64,
        after: (i16, i64),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<ReportRow>, StoreError>> {
        let statement = sqlx::query(sql::ROWS).bind(run_id).bind(after.0).bind(after.1).bind(limit);
        self.reader.all("reading a report", statement, results::report_row).boxed()
    }
}

/// Rows with their numbers.
fn numbered<T>(first: i64, rows: &[T]) -> impl Iterator<Item = (i64, &T)> {
    (first..).zip(rows)
}

/// A row's values, in the order its statement names them.
struct Values {
    arguments: SqliteArguments,
    failed: Option<sqlx::error::BoxDynError>,
}

impl Values {
    fn put<'q>(&mut self, value: impl Encode<'q, Sqlite> + Type<Sqlite>) -> &mut Self {
        if let Err(error) = self.arguments.add(value) {
            self.failed.get_or_insert(error);
        }
        self
    }
}

/// Writes rows in a few wide statements, in the open transaction. Those that are there already may be passed over: that
/// is the statement's to say.
async fn insert<T: Sync>(
    connection: &mut SqliteConnection,
    what: &'static str,
    bulk: &Bulk,
    mut rows: &[T],
    bind: impl Fn(&mut Values, &T) + Send,
) -> Result<(), StoreError> {
    while !rows.is_empty() {
        let (width, text) = bulk.widest(rows.len());
        let (now, later) = rows.split_at(width);
        let mut values = Values { arguments: SqliteArguments::default(), failed: None };
        now.iter().for_each(|row| bind(&mut values, row));
        if let Some(source) = values.failed {
            return Err(StoreError::Bug { what, source });
        }
        sqlx::query_with(AssertSqlSafe(text), values.arguments)
            .execute(&mut *connection)
            .await
            .map_err(|error| store_error(what, error))?;
        rows = later;
    }
    Ok(())
}
