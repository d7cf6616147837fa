//! Runs, how far they fetched, the events they brought, and which process works at them.

use std::time::Duration;

use sqlx::postgres::{PgBindIterExt, PgRow};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::super::decode::{Columns, Decoded};
use super::super::error::Trouble;
use super::super::reader::Statement;
use super::super::time::Stamp;
use super::{PostgresReconcile, Steps};
use crate::ledger::{Fingerprint, Method};
use crate::store::StoreError;
use crate::store::reconcile::{
    Begun, CHUNK, EventRow, FetchRow, GARBAGE_BYTES, NewRun, Run, RunChange, RunState, digest,
};

impl PostgresReconcile {
    pub(super) async fn take_lease(
        &self,
        name: &'static str,
        holder: Uuid,
        micros: i64,
    ) -> Result<bool, StoreError> {
        const WHAT: &str = "taking a lease by name";
        for text in [include_str!("sql/extend_lease.sql"), include_str!("sql/insert_lease.sql")] {
            let statement = sqlx::query(text).bind(name).bind(holder).bind(micros);
            match self.desk().await?.execute(WHAT, statement).await {
                Ok(0) => {}
                Ok(_) => return Ok(true),
                // Another process was first.
                Err(StoreError::Conflict { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    pub(super) async fn give_lease_back(&self, name: &'static str, holder: Uuid) -> Result<(), StoreError> {
        let statement = sqlx::query(include_str!("sql/let_go.sql")).bind(name).bind(holder);
        self.desk().await?.execute("giving a lease back", statement).await.map(drop)
    }

    pub(super) async fn begin_run(&self, new: &NewRun) -> Result<Begun, StoreError> {
        let mut desk = self.desk().await?;
        let done = create(&mut desk.connection, desk.limit, new).await;
        desk.end("beginning a run", done).await
    }

    pub(super) async fn change_run(&self, id: i64, change: &RunChange) -> Result<bool, StoreError> {
        let [high, medium, low] = change.findings.map_or([None; 3], |counts| counts.map(Some));
        let statement = sqlx::query(include_str!("sql/update_run.sql"))
            .bind(id)
            .bind(change.state.map(RunState::as_str))
            .bind(change.phase.as_deref())
            .bind(change.done)
            .bind(change.total)
            .bind(high)
            .bind(medium)
            .bind(low)
            .bind(change.cost_changes)
            .bind(change.summary.as_deref())
            .bind(change.error.as_deref())
            .bind(change.evidence_time.map(Stamp));
        Ok(self.desk().await?.execute("changing a run", statement).await? == 1)
    }

    pub(super) async fn save_page(
        &self,
        run_id: i64,
        fetch: &FetchRow,
        events: &[EventRow],
    ) -> Result<(), StoreError> {
        // Events are the same whenever they come: only the last chunk tells how far the fetch is.
        let mut chunks = events.chunks(CHUNK).peekable();
        loop {
            let events = chunks.next().unwrap_or_default();
            let fetch = chunks.peek().is_none().then_some(fetch);
            let mut desk = self.desk().await?;
            let done = save(&mut desk.connection, desk.limit, run_id, fetch, events).await;
            desk.end("keeping a page of events", done).await?;
            if fetch.is_some() {
                return Ok(());
            }
        }
    }
}

async fn create(connection: &mut PgConnection, limit: Duration, new: &NewRun) -> Result<Begun, Trouble> {
    let method = Method::StartReconciliation;
    let fingerprint = new.fingerprint();
    let mut steps = Steps::begin(connection, limit).await?;
    if let Some(request_id) = new.request_id.as_deref() {
        let asked = sqlx::query(include_str!("sql/read_request.sql")).bind(request_id);
        if let Some(row) = steps.row(asked).await? {
            let used_for: String = row.try_get("method")?;
            let content = Fingerprint::from_stored(row.try_get("fingerprint")?);
            let began: Option<i64> = row.try_get("id")?;
            steps.commit().await?;
            return Ok(match began {
                Some(id) if used_for == method.as_str() && content == fingerprint => Begun::Replay(id),
                _ => Begun::Reused,
            });
        }
        let kept = sqlx::query(include_str!("sql/insert_request.sql"))
            .bind(request_id)
            .bind(method.as_str())
            .bind(fingerprint.as_bytes());
        steps.execute(kept).await?;
    }
    let (account_ids, user_ids) = (json(&new.account_ids)?, json(&new.user_ids)?);
    let statement = sqlx::query(include_str!("sql/insert_run.sql"))
        .bind(new.request_id.as_deref())
        .bind(Stamp(new.start))
        .bind(Stamp(new.end))
        .bind(account_ids)
        .bind(user_ids)
        .bind(new.apply_costs)
        .bind(&*new.settings)
        .bind(&*new.actor);
    let id = steps.one(statement).await?.try_get("id")?;
    steps.commit().await?;
    Ok(Begun::New(id))
}

async fn save(
    connection: &mut PgConnection,
    limit: Duration,
    run_id: i64,
    fetch: Option<&FetchRow>,
    events: &[EventRow],
) -> Result<(), Trouble> {
    let mut steps = Steps::begin(connection, limit).await?;
    if !events.is_empty() {
        let statement = sqlx::query(include_str!("sql/insert_events.sql"))
            .bind(run_id)
            .bind(events.iter().map(|event| &*event.workspace).bind_iter())
            .bind(events.iter().map(|event| Stamp(event.time)).bind_iter())
            .bind(events.iter().map(|event| &*event.request_id).bind_iter())
            .bind(events.iter().map(digest).bind_iter())
            .bind(events.iter().map(|event| event.account_id).bind_iter())
            .bind(events.iter().map(|event| &*event.endpoint_id).bind_iter())
            .bind(events.iter().map(|event| event.cost_nano_usd).bind_iter())
            .bind(events.iter().map(|event| event.units_nano).bind_iter())
            .bind(events.iter().map(|event| &*event.raw).bind_iter());
        steps.execute(statement).await?;
    }
    if let Some(fetch) = fetch
        && steps.execute(told(include_str!("sql/update_fetch.sql"), run_id, fetch)).await? == 0
    {
        steps.execute(told(include_str!("sql/insert_fetch.sql"), run_id, fetch)).await?;
    }
    steps.commit().await
}

/// A statement that takes a row of `scrip_reconciliation_fetches`.
fn told<'q>(text: &'static str, run_id: i64, fetch: &'q FetchRow) -> Statement<'q> {
    sqlx::query(text)
        .bind(run_id)
        .bind(fetch.account_id)
        .bind(&*fetch.source)
        .bind(&*fetch.position)
        .bind(fetch.pages)
        .bind(fetch.rows)
        .bind(&*fetch.state)
        .bind(&*fetch.result)
        .bind(&*fetch.error)
        .bind(&fetch.garbage[..fetch.garbage.len().min(GARBAGE_BYTES)])
}

fn json(ids: &[i64]) -> Result<String, Trouble> {
    serde_json::to_string(ids)
        .map_err(|error| Trouble::Wrong(format!("ids cannot be written as JSON: {error}")))
}

/// A row of `scrip_reconciliations`.
pub(super) fn run(row: &PgRow) -> Decoded<Run> {
    const WHAT: &str = "reading scrip_reconciliations";
    let row = Columns::new(row, WHAT);
    let state: &str = row.get("state")?;
    let unreadable =
        |found: &str| Trouble::Wrong(format!("{found:?} is not known to this release")).store_error(WHAT);
    let ids = |column| -> Decoded<Vec<i64>> {
        let json: &str = row.get(column)?;
        serde_json::from_str(json).map_err(|_| unreadable(json))
    };
    Ok(Run {
        id: row.get("id")?,
        state: RunState::parse(state).ok_or_else(|| unreadable(state))?,
        start: row.moment("period_start")?,
        end: row.moment("period_end")?,
        account_ids: ids("account_ids")?,
        user_ids: ids("user_ids")?,
        apply_costs: row.get("apply_costs")?,
        settings: row.text("settings")?,
        actor: row.text("actor")?,
        create_time: row.moment("created_at")?,
        evidence_time: row.moment_or_null("evidence_at")?,
        complete_time: row.moment_or_null("completed_at")?,
        phase: row.text("phase")?,
        done: row.get("done")?,
        total: row.get("total")?,
        findings: [row.get("findings_high")?, row.get("findings_medium")?, row.get("findings_low")?],
        cost_changes: row.get("cost_changes")?,
        costs_applied: row.get("costs_applied")?,
        summary: row.text("summary")?,
        error: row.text("error")?,
    })
}

/// A row of `scrip_reconciliation_fetches`.
pub(super) fn fetch(row: &PgRow) -> Decoded<FetchRow> {
    let row = Columns::new(row, "reading scrip_reconciliation_fetches");
    Ok(FetchRow {
        account_id: row.get("account_id")?,
        source: row.text("source")?,
        position: row.text("position")?,
        pages: row.get("pages")?,
        rows: row.get("rows")?,
        state: row.text("state")?,
        result: row.text("result")?,
        error: row.text("error")?,
        garbage: row.get("garbage")?,
    })
}
