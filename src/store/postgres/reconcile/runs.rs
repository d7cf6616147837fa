//! Runs, how far they fetched, the events they brought, and which process works at them.

use sqlx::postgres::{PgBindIterExt, PgRow};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::super::connect::Target;
use super::super::decode::{Columns, Decoded};
use super::super::error::Trouble;
use super::super::session::{Purpose, Statement};
use super::super::time::Stamp;
use super::{PostgresReconcile, Steps};
use crate::ledger::{Fingerprint, Method, Text};
use crate::store::StoreError;
use crate::store::reconcile::{
    Begun, CHUNK, EventRow, FetchRow, GARBAGE_BYTES, NewRun, Outline, Run, RunChange, RunState, Sighting,
    Turn, WriteError, sightings,
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
        let done = create(&mut desk.kept.connection, desk.target, new).await;
        desk.end("beginning a run", done).await
    }

    pub(super) async fn raise(&self, run: &Run, again: i64) -> Result<Option<Turn>, StoreError> {
        let mut desk = self.desk().await?;
        let done = raise(&mut desk.kept.connection, desk.target, run, again).await;
        match desk.end("taking a run up", done).await {
            // Another process was first.
            Err(StoreError::Conflict { .. }) => Ok(None),
            done => done,
        }
    }

    pub(super) async fn end_as_read(&self, run: &Run, why: &str) -> Result<(), StoreError> {
        let statement = sqlx::query(include_str!("sql/end_run.sql")).bind(run.id).bind(run.attempt).bind(why);
        self.desk().await?.execute("ending a run", statement).await.map(drop)
    }

    pub(super) async fn give_back(&self, turn: Turn, again: i64, counts: bool) -> Result<(), WriteError> {
        let statement =
            sqlx::query(include_str!("sql/set_aside.sql")).bind(turn.run_id).bind(again).bind(counts);
        self.within(turn, "setting a run aside", statement).await.map(drop)
    }

    pub(super) async fn change_run(&self, turn: Turn, change: &RunChange) -> Result<(), WriteError> {
        let [high, medium, low] = change.findings.map_or([None; 3], |counts| counts.map(Some));
        let statement = sqlx::query(include_str!("sql/update_run.sql"))
            .bind(turn.run_id)
            .bind(change.state.map(RunState::as_str))
            .bind(change.phase.as_deref())
            .bind(change.done)
            .bind(change.total)
            .bind(high)
            .bind(medium)
            .bind(low)
            .bind(change.cost_changes)
            .bind(change.summary.as_deref())
            .bind(change.detail.as_deref())
            .bind(change.error.as_deref())
            .bind(change.evidence_time.map(Stamp));
        self.within(turn, "changing a run", statement).await.map(drop)
    }

    /// Runs one statement of a turn, in a transaction of its own; answers how many rows it wrote.
    pub(super) async fn within(
        &self,
        turn: Turn,
        what: &'static str,
        statement: Statement<'_>,
    ) -> Result<u64, WriteError> {
        let mut desk = self.desk().await?;
        let done = async {
            let Some(mut steps) = Steps::of(turn, &mut desk.kept.connection, desk.target).await? else {
                return Ok(None);
            };
            let rows = steps.execute(statement).await?;
            steps.commit().await.map(|()| Some(rows))
        };
        let done = done.await;
        desk.end(what, done).await?.ok_or(WriteError::Superseded)
    }

    pub(super) async fn save_page(
        &self,
        turn: Turn,
        fetch: &FetchRow,
        events: &[EventRow],
    ) -> Result<(), WriteError> {
        let twins = self.twins(turn, fetch, events).await?;
        let seen = sightings(events, |at| twins.get(at).copied().unwrap_or_default());
        // Events are the same whenever they come: only the last chunk tells how far the fetch is.
        let mut chunks = seen.chunks(CHUNK).peekable();
        loop {
            let events = chunks.next().unwrap_or_default();
            let is_last = chunks.peek().is_none();
            let mut desk = self.desk().await?;
            let told = (fetch, is_last);
            let done = save(&mut desk.kept.connection, desk.target, turn, told, events).await;
            desk.end("keeping a page of events", done).await?.ok_or(WriteError::Superseded)?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// How many that say the same as each of these events earlier pages of the pass had.
    async fn twins(&self, turn: Turn, fetch: &FetchRow, events: &[EventRow]) -> Result<Vec<i64>, StoreError> {
        if events.is_empty() || fetch.pages <= 1 {
            return Ok(Vec::new());
        }
        let statement = sqlx::query(include_str!("sql/count_twins.sql"))
            .bind(turn.pass)
            .bind(fetch.pages)
            .bind(events.iter().map(|event| &*event.workspace).bind_iter())
            .bind(events.iter().map(|event| Stamp(event.time)).bind_iter())
            .bind(events.iter().map(|event| &*event.request_id).bind_iter())
            .bind(events.iter().map(|event| event.account_id).bind_iter())
            .bind(events.iter().map(|event| &*event.endpoint_id).bind_iter())
            .bind(events.iter().map(|event| event.cost_nano_usd).bind_iter())
            .bind(events.iter().map(|event| event.units_nano).bind_iter());
        let mut desk = self.desk().await?;
        let done = desk.target.rows_alone(&mut desk.kept.connection, Purpose::Read, statement).await;
        let rows = desk.end("looking for equal events", done).await?;
        rows.iter().map(|row| Columns::new(row, "counting equal events").get("twins")).collect()
    }
}

async fn raise(
    connection: &mut PgConnection,
    target: &Target,
    run: &Run,
    again: i64,
) -> Result<Option<Turn>, Trouble> {
    let mut steps = Steps::begin(connection, target).await?;
    let taken = sqlx::query(include_str!("sql/take_up.sql")).bind(run.id).bind(run.attempt).bind(again);
    let Some(row) = steps.row(taken).await? else {
        steps.commit().await?;
        return Ok(None);
    };
    let turn = Turn { run_id: run.id, attempt: row.try_get("attempt")?, pass: row.try_get("pass")? };
    if turn.attempt == turn.pass {
        steps.execute(sqlx::query(include_str!("sql/begin_pass.sql")).bind(run.id)).await?;
    }
    steps.commit().await?;
    Ok(Some(turn))
}

async fn create(connection: &mut PgConnection, target: &Target, new: &NewRun) -> Result<Begun, Trouble> {
    let method = Method::StartReconciliation;
    let mut steps = Steps::begin(connection, target).await?;
    if let Some(request_id) = new.request_id.as_deref() {
        let asked = sqlx::query(include_str!("sql/read_request.sql")).bind(request_id);
        if let Some(row) = steps.row(asked).await? {
            let used_for: String = row.try_get("method")?;
            let content = Fingerprint::from_stored(row.try_get("fingerprint")?);
            let began: Option<i64> = row.try_get("id")?;
            steps.commit().await?;
            return Ok(new.again(&used_for, &content, began));
        }
        let kept = sqlx::query(include_str!("sql/insert_request.sql"))
            .bind(request_id)
            .bind(method.as_str())
            .bind(new.content.as_bytes());
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
    target: &Target,
    turn: Turn,
    (fetch, is_last): (&FetchRow, bool),
    events: &[Sighting<'_>],
) -> Result<Option<()>, Trouble> {
    let Some(mut steps) = Steps::of(turn, connection, target).await? else { return Ok(None) };
    if !events.is_empty() {
        steps.execute(seen(turn, fetch.pages, events)).await?;
        steps.execute(new(turn, fetch.pages, events)).await?;
    }
    if is_last && steps.execute(told(include_str!("sql/update_fetch.sql"), turn.run_id, fetch)).await? == 0 {
        steps.execute(told(include_str!("sql/insert_fetch.sql"), turn.run_id, fetch)).await?;
    }
    steps.commit().await.map(Some)
}

fn seen<'q>(turn: Turn, page: i64, events: &'q [Sighting<'q>]) -> Statement<'q> {
    sqlx::query(include_str!("sql/see_events.sql"))
        .bind(turn.pass)
        .bind(page)
        .bind(events.iter().map(|seen| &*seen.event.workspace).bind_iter())
        .bind(events.iter().map(|seen| Stamp(seen.event.time)).bind_iter())
        .bind(events.iter().map(|seen| &*seen.event.request_id).bind_iter())
        .bind(events.iter().map(Sighting::digest).bind_iter())
        .bind(events.iter().map(|seen| seen.event.account_id).bind_iter())
}

fn new<'q>(turn: Turn, page: i64, events: &'q [Sighting<'q>]) -> Statement<'q> {
    sqlx::query(include_str!("sql/insert_events.sql"))
        .bind(turn.run_id)
        .bind(turn.pass)
        .bind(page)
        .bind(events.iter().map(|seen| &*seen.event.workspace).bind_iter())
        .bind(events.iter().map(|seen| Stamp(seen.event.time)).bind_iter())
        .bind(events.iter().map(|seen| &*seen.event.request_id).bind_iter())
        .bind(events.iter().map(Sighting::digest).bind_iter())
        .bind(events.iter().map(|seen| seen.ordinal).bind_iter())
        .bind(events.iter().map(|seen| seen.event.account_id).bind_iter())
        .bind(events.iter().map(|seen| &*seen.event.endpoint_id).bind_iter())
        .bind(events.iter().map(|seen| seen.event.cost_nano_usd).bind_iter())
        .bind(events.iter().map(|seen| seen.event.units_nano).bind_iter())
        .bind(events.iter().map(|seen| &*seen.event.raw).bind_iter())
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

const READING: &str = "reading scrip_reconciliations";

fn unreadable(found: &str) -> StoreError {
    Trouble::Wrong(format!("{found:?} is not known to this release")).store_error(READING)
}

fn state(word: &str) -> Decoded<RunState> {
    RunState::parse(word).ok_or_else(|| unreadable(word))
}

/// A row of `scrip_reconciliations`.
pub(super) fn run(row: &PgRow) -> Decoded<Run> {
    let row = Columns::new(row, READING);
    let ids = |column| -> Decoded<Vec<i64>> {
        let json: &str = row.get(column)?;
        serde_json::from_str(json).map_err(|_| unreadable(json))
    };
    Ok(Run {
        id: row.get("id")?,
        state: state(row.get("state")?)?,
        start: row.moment("period_start")?,
        end: row.moment("period_end")?,
        account_ids: ids("account_ids")?,
        user_ids: ids("user_ids")?,
        apply_costs: row.get("apply_costs")?,
        settings: row.text("settings")?,
        actor: row.text("actor")?,
        create_time: row.moment("created_at")?,
        attempt: row.get("attempt")?,
        pass: row.get("pass")?,
        tries: row.get("tries")?,
        retry_time: row.moment_or_null("retry_at")?,
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

/// A row of `scrip_reconciliations`, in a few words.
pub(super) fn outline(row: &PgRow) -> Decoded<Outline> {
    let row = Columns::new(row, READING);
    Ok(Outline {
        id: row.get("id")?,
        start: row.moment("period_start")?,
        end: row.moment("period_end")?,
        state: state(row.get("state")?)?,
        summary: row.text("summary")?,
    })
}

/// The days and models of a run.
pub(super) fn detail(row: &PgRow) -> Decoded<Text> {
    Columns::new(row, READING).text("detail")
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
