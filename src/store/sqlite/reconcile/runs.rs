//! Runs, how far they fetched, the events they brought, and which process works at them.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

use super::super::error::{bug, store_error};
use super::super::reader::Statement;
use super::super::rows::Cells;
use super::super::time;
use super::{SqliteReconcile, insert, sql};
use crate::ledger::{Fingerprint, Method, Micros, Text};
use crate::store::StoreError;
use crate::store::reconcile::{
    Begun, CHUNK, EventRow, FetchRow, GARBAGE_BYTES, NewRun, Outline, Run, RunChange, RunState, Sighting,
    Turn, WriteError, sightings,
};

impl SqliteReconcile {
    pub(super) async fn take_lease(
        &self,
        name: &'static str,
        holder: Uuid,
        micros: i64,
    ) -> Result<bool, StoreError> {
        let mut session = self.session.lock().await;
        let done = async {
            let (connection, now) = session.open().await?;
            let statement = sqlx::query(sql::HOLD)
                .bind(name)
                .bind(holder)
                .bind(time::to_text(now))
                .bind(time::to_text(now.plus(micros)));
            let done = statement.execute(connection).await;
            let done = done.map_err(|error| store_error("taking a lease by name", error))?;
            Ok(done.rows_affected() == 1)
        };
        let done = done.await;
        session.end(done).await
    }

    pub(super) async fn give_lease_back(&self, name: &'static str, holder: Uuid) -> Result<(), StoreError> {
        let mut session = self.session.lock().await;
        let done = async {
            let (connection, _) = session.open().await?;
            let done = sqlx::query(sql::LET_GO).bind(name).bind(holder).execute(connection).await;
            done.map(drop).map_err(|error| store_error("giving a lease back", error))
        };
        let done = done.await;
        session.end(done).await
    }

    pub(super) async fn begin_run(&self, new: &NewRun) -> Result<Begun, StoreError> {
        let mut session = self.session.lock().await;
        let done = async {
            let (connection, now) = session.open().await?;
            create(connection, now, new).await
        };
        let done = done.await;
        session.end(done).await
    }

    pub(super) async fn raise(&self, run: &Run, again: i64) -> Result<Option<Turn>, StoreError> {
        const WHAT: &str = "taking a run up";
        let failed = |error| store_error(WHAT, error);
        let mut session = self.session.lock().await;
        let done = async {
            let (connection, now) = session.open().await?;
            let again = time::to_text(now.plus(again));
            let taken = sqlx::query(sql::TAKE_UP).bind(run.id).bind(run.attempt).bind(again);
            let Some(row) = taken.fetch_optional(&mut *connection).await.map_err(failed)? else {
                return Ok(None);
            };
            let (attempt, pass) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
            if attempt == pass {
                sqlx::query(sql::BEGIN_PASS).bind(run.id).execute(connection).await.map_err(failed)?;
            }
            Ok(Some(Turn { run_id: run.id, attempt, pass }))
        };
        let done = done.await;
        session.end(done).await
    }

    pub(super) async fn end_as_read(&self, run: &Run, why: &str) -> Result<(), StoreError> {
        let mut session = self.session.lock().await;
        let done = async {
            let (connection, now) = session.open().await?;
            let ended =
                sqlx::query(sql::END_RUN).bind(run.id).bind(run.attempt).bind(why).bind(time::to_text(now));
            ended.execute(connection).await.map(drop).map_err(|error| store_error("ending a run", error))
        };
        let done = done.await;
        session.end(done).await
    }

    pub(super) async fn give_back(&self, turn: Turn, again: i64, counts: bool) -> Result<(), WriteError> {
        self.within(turn, "setting a run aside", |now| {
            let again = time::to_text(now.plus(again));
            sqlx::query(sql::SET_ASIDE).bind(turn.run_id).bind(again).bind(counts)
        })
        .await
        .map(drop)
    }

    pub(super) async fn change_run(&self, turn: Turn, change: &RunChange) -> Result<(), WriteError> {
        let [high, medium, low] = change.findings.map_or([None; 3], |counts| counts.map(Some));
        self.within(turn, "changing a run", |now| {
            sqlx::query(sql::UPDATE_RUN)
                .bind(turn.run_id)
                .bind(change.state.map(RunState::as_str))
                .bind(change.phase.clone())
                .bind(change.done)
                .bind(change.total)
                .bind(high)
                .bind(medium)
                .bind(low)
                .bind(change.cost_changes)
                .bind(change.summary.clone())
                .bind(change.detail.clone())
                .bind(change.error.clone())
                .bind(change.evidence_time.map(time::to_text))
                .bind(time::to_text(now))
        })
        .await
        .map(drop)
    }

    /// Runs one statement of a turn, in a transaction of its own; answers how many rows it wrote.
    pub(super) async fn within(
        &self,
        turn: Turn,
        what: &'static str,
        statement: impl FnOnce(Micros) -> Statement + Send,
    ) -> Result<u64, WriteError> {
        let mut session = self.session.lock().await;
        let done = async {
            let (connection, now) = session.open().await?;
            if !holds(connection, turn).await? {
                return Ok(None);
            }
            let done = statement(now).execute(connection).await;
            done.map(|done| Some(done.rows_affected())).map_err(|error| store_error(what, error))
        };
        let done = done.await;
        session.end(done).await?.ok_or(WriteError::Superseded)
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
            let mut session = self.session.lock().await;
            let done = async {
                let (connection, _) = session.open().await?;
                if !holds(connection, turn).await? {
                    return Ok(None);
                }
                save_events(connection, turn, fetch.pages, events).await?;
                if is_last {
                    save_fetch(connection, turn.run_id, fetch).await?;
                }
                Ok(Some(()))
            };
            let done = done.await;
            session.end(done).await?.ok_or(WriteError::Superseded)?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// How many that say the same as each of these events earlier pages of the pass had.
    async fn twins(&self, turn: Turn, fetch: &FetchRow, events: &[EventRow]) -> Result<Vec<i64>, StoreError> {
        const WHAT: &str = "looking for equal events";
        if events.is_empty() || fetch.pages <= 1 {
            return Ok(Vec::new());
        }
        let says = |event: &EventRow| {
            (
                event.workspace.to_string(),
                time::to_text(event.time).to_string(),
                event.request_id.to_string(),
                event.endpoint_id.to_string(),
                event.cost_nano_usd,
                event.units_nano,
                event.account_id,
            )
        };
        let says: Vec<_> = events.iter().map(says).collect();
        let says = serde_json::to_string(&says).map_err(|error| bug(WHAT, error))?;
        let statement = sqlx::query(sql::COUNT_TWINS).bind(says).bind(turn.pass).bind(fetch.pages);
        let mut found: Vec<(i64, i64)> =
            self.reader.all(WHAT, statement, |row| Ok((row.try_get(0)?, row.try_get(1)?))).await?;
        found.sort_unstable();
        Ok(found.into_iter().map(|(_, twins)| twins).collect())
    }
}

/// Whether a turn is not over, in the open transaction: nobody can take a run up before that ends.
pub(super) async fn holds(connection: &mut SqliteConnection, turn: Turn) -> Result<bool, StoreError> {
    let found = sqlx::query(sql::HOLDS).bind(turn.run_id).bind(turn.attempt);
    let found = found.fetch_optional(connection).await;
    found.map(|row| row.is_some()).map_err(|error| store_error("asking for the turn", error))
}

async fn create(connection: &mut SqliteConnection, now: Micros, new: &NewRun) -> Result<Begun, StoreError> {
    const WHAT: &str = "beginning a run";
    let failed = |error| store_error(WHAT, error);
    let method = Method::StartReconciliation;
    if let Some(request_id) = &new.request_id {
        let asked = sqlx::query(sql::READ_REQUEST).bind(Text::clone(request_id));
        if let Some(row) = asked.fetch_optional(&mut *connection).await.map_err(failed)? {
            let used_for: &str = row.try_get(0).map_err(failed)?;
            let content = Fingerprint::from_stored(row.try_get(1).map_err(failed)?);
            let began: Option<i64> = row.try_get(2).map_err(failed)?;
            return Ok(new.again(used_for, &content, began));
        }
        let kept = sqlx::query(sql::INSERT_REQUEST)
            .bind(Text::clone(request_id))
            .bind(method.as_str())
            .bind(new.content.as_bytes().to_vec())
            .bind(time::to_text(now));
        kept.execute(&mut *connection).await.map_err(failed)?;
    }
    let statement = sqlx::query(sql::INSERT_RUN)
        .bind(new.request_id.clone())
        .bind(time::to_text(new.start))
        .bind(time::to_text(new.end))
        .bind(json(&new.account_ids)?)
        .bind(json(&new.user_ids)?)
        .bind(new.apply_costs)
        .bind(Text::clone(&new.settings))
        .bind(Text::clone(&new.actor))
        .bind(time::to_text(now));
    let done = statement.execute(connection).await.map_err(failed)?;
    Ok(Begun::New(done.last_insert_rowid()))
}

async fn save_events(
    connection: &mut SqliteConnection,
    turn: Turn,
    page: i64,
    events: &[Sighting<'_>],
) -> Result<(), StoreError> {
    insert(connection, "keeping events", &sql::INSERT_EVENTS, events, |values, seen| {
        let event = seen.event;
        values
            .put(Text::clone(&event.workspace))
            .put(time::to_text(event.time))
            .put(Text::clone(&event.request_id))
            .put(seen.digest().to_vec())
            .put(seen.ordinal)
            .put(turn.run_id)
            .put(event.account_id)
            .put(Text::clone(&event.endpoint_id))
            .put(event.cost_nano_usd)
            .put(event.units_nano)
            .put(Text::clone(&event.raw))
            .put(turn.pass)
            .put(page);
    })
    .await
}

async fn save_fetch(
    connection: &mut SqliteConnection,
    run_id: i64,
    fetch: &FetchRow,
) -> Result<(), StoreError> {
    let garbage = &fetch.garbage[..fetch.garbage.len().min(GARBAGE_BYTES)];
    let statement = sqlx::query(sql::SAVE_FETCH)
        .bind(run_id)
        .bind(fetch.account_id)
        .bind(Text::clone(&fetch.source))
        .bind(Text::clone(&fetch.position))
        .bind(fetch.pages)
        .bind(fetch.rows)
        .bind(Text::clone(&fetch.state))
        .bind(Text::clone(&fetch.result))
        .bind(Text::clone(&fetch.error))
        .bind(garbage.to_vec());
    let done = statement.execute(connection).await;
    done.map(drop).map_err(|error| store_error("keeping how far a fetch is", error))
}

fn json(ids: &[i64]) -> Result<String, StoreError> {
    serde_json::to_string(ids).map_err(|error| bug("writing ids", error))
}

/// A row of `scrip_reconciliations`.
pub(super) fn run(row: &SqliteRow) -> Result<Run, sqlx::Error> {
    let mut cells = Cells::of(row);
    Ok(Run {
        id: cells.get()?,
        state: state(cells.get()?)?,
        start: cells.time()?,
        end: cells.time()?,
        account_ids: ids(cells.get()?)?,
        user_ids: ids(cells.get()?)?,
        apply_costs: cells.get()?,
        settings: cells.text()?,
        actor: cells.text()?,
        create_time: cells.time()?,
        attempt: cells.get()?,
        pass: cells.get()?,
        tries: cells.get()?,
        retry_time: cells.optional_time()?,
        evidence_time: cells.optional_time()?,
        complete_time: cells.optional_time()?,
        phase: cells.text()?,
        done: cells.get()?,
        total: cells.get()?,
        findings: [cells.get()?, cells.get()?, cells.get()?],
        cost_changes: cells.get()?,
        costs_applied: cells.get()?,
        summary: cells.text()?,
        error: cells.text()?,
    })
}

/// A row of `scrip_reconciliations`, in a few words.
pub(super) fn outline(row: &SqliteRow) -> Result<Outline, sqlx::Error> {
    let mut cells = Cells::of(row);
    Ok(Outline {
        id: cells.get()?,
        start: cells.time()?,
        end: cells.time()?,
        state: state(cells.get()?)?,
        summary: cells.text()?,
    })
}

fn state(word: &str) -> Result<RunState, sqlx::Error> {
    RunState::parse(word).ok_or_else(|| unreadable("the state of a run", word))
}

/// A row of `scrip_reconciliation_fetches`.
pub(super) fn fetch(row: &SqliteRow) -> Result<FetchRow, sqlx::Error> {
    let mut cells = Cells::of(row);
    Ok(FetchRow {
        account_id: cells.get()?,
        source: cells.text()?,
        position: cells.text()?,
        pages: cells.get()?,
        rows: cells.get()?,
        state: cells.text()?,
        result: cells.text()?,
        error: cells.text()?,
        garbage: cells.get()?,
    })
}

fn ids(json: &str) -> Result<Vec<i64>, sqlx::Error> {
    serde_json::from_str(json).map_err(|_| unreadable("an array of ids", json))
}

/// What is stored is not what this release writes.
pub(super) fn unreadable(expected: &str, found: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("expected {expected}, found {found:?}").into())
}
