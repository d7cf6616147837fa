//! What a run judges, as of one moment: a read transaction on a connection of its own, open as long as it is read.
//!
//! | phase | what |
//! |---|---|
//! | begin | the snapshot is taken; the run's events are sorted by request |
//! | tasks, users, quarters | gathered, joined and sorted when each is first asked for |
//! | read | page by page, by position |
//!
//! What is gathered goes to tables of the connection's own, which are files of the system's temporary folder (as are
//! the sorts): two streams can then be read side by side, in little memory.

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Executor, Sqlite};

use super::super::connection::{Config, execute, scalar};
use super::super::error::{bug, store_error};
use super::super::rows::Cells;
use super::super::time;
use super::runs::unreadable;
use super::sql;
use crate::audit;
use crate::ledger::{Micros, Text};
use crate::store::StoreError;
use crate::store::reconcile::{Evidence, Extent, Quarter};

const WHAT: &str = "reading the evidence";

/// How far clocks may have been set back between a task and its entries.
const DAY: i64 = 86_400_000_000;

/// A quarter of an hour in microseconds.
const QUARTER: i64 = 900_000_000;

/// Pages of 4 KiB that sorts keep in memory before they go to disk, and that are kept of the sorted tables.
const CACHE_KIB: &str = "-16384";

/// The evidence as of the moment it was begun. Dropped, it ends with its connection.
pub(super) struct Snapshot {
    connection: SqliteConnection,
    now: Micros,
    extent: Extent,
    /// The last position read of events and of tasks.
    events: i64,
    tasks: Option<i64>,
    /// The last user read.
    users: Option<i64>,
    /// The range gathered and the last position read.
    quarters: Option<((Micros, Micros), i64)>,
}

impl Snapshot {
    pub(super) async fn begin(config: &Config, now: Micros, extent: &Extent) -> Result<Self, StoreError> {
        // The file itself is open for reading alone; `query_only` would forbid the connection's own tables too.
        let options = config
            .reader_options()
            .pragma("query_only", "OFF")
            .pragma("temp_store", "FILE")
            .pragma("cache_size", CACHE_KIB)
            .pragma("temp.cache_size", CACHE_KIB)
            .pragma("temp.journal_mode", "OFF");
        let mut connection = options.connect().await.map_err(|error| store_error(WHAT, error))?;
        execute(&mut connection, "BEGIN").await?;
        // The snapshot is taken by the first read, not by BEGIN.
        let _: i64 = scalar(&mut connection, "SELECT count(*) FROM scrip_schema").await?;
        connection.execute(sql::TEMP_TABLES).await.map_err(|error| store_error(WHAT, error))?;
        let mut snapshot = Self {
            connection,
            now,
            extent: extent.clone(),
            events: 0,
            tasks: None,
            users: None,
            quarters: None,
        };
        snapshot.gather_events().await?;
        Ok(snapshot)
    }

    async fn gather_events(&mut self) -> Result<(), StoreError> {
        let sources: Vec<(&str, i64)> =
            self.extent.sources.iter().map(|(workspace, account_id)| (&**workspace, *account_id)).collect();
        let sources = serde_json::to_string(&sources).map_err(|error| bug(WHAT, error))?;
        let (start, end) = self.extent.events;
        let events = sqlx::query(sql::SNAPSHOT_EVENTS)
            .bind(sources)
            .bind(time::to_text(start))
            .bind(time::to_text(end))
            .bind(self.extent.pass);
        self.gather(events).await?;
        let (start, end) = self.extent.tasks;
        let period = sqlx::query(sql::SNAPSHOT_PERIOD).bind(time::to_text(start)).bind(time::to_text(end));
        self.gather(period).await
    }

    async fn gather_tasks(&mut self) -> Result<(), StoreError> {
        let (events_start, (start, end)) = (self.extent.events.0, self.extent.tasks);
        let others =
            sqlx::query(sql::SNAPSHOT_OTHERS).bind(time::to_text(events_start)).bind(time::to_text(start));
        self.gather(others).await?;
        let tasks = sqlx::query(sql::SNAPSHOT_TASKS)
            .bind(time::to_text(start))
            .bind(time::to_text(end))
            .bind(time::to_text(self.now));
        self.gather(tasks).await
    }

    async fn gather(&mut self, statement: Statement) -> Result<(), StoreError> {
        let done = statement.execute(&mut self.connection).await;
        done.map(drop).map_err(|error| store_error(WHAT, error))
    }

    async fn page<T>(
        &mut self,
        statement: Statement,
        row: fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        let found =
            statement.fetch_all(&mut self.connection).await.map_err(|error| store_error(WHAT, error))?;
        found.iter().map(row).collect::<Result<_, _>>().map_err(|error| store_error(WHAT, error))
    }

    async fn next_tasks(&mut self, limit: u32) -> Result<Vec<audit::Task>, StoreError> {
        if self.tasks.is_none() {
            self.gather_tasks().await?;
        }
        let after = self.tasks.unwrap_or_default();
        let rows = self.page(sqlx::query(sql::READ_TASKS).bind(after).bind(limit), task).await?;
        self.tasks = Some(rows.last().map_or(after, |(position, _)| *position));
        Ok(rows.into_iter().map(|(_, task)| task).collect())
    }

    async fn next_events(&mut self, limit: u32) -> Result<Vec<audit::Event>, StoreError> {
        let statement = sqlx::query(sql::READ_EVENTS).bind(self.events).bind(limit);
        let rows = self.page(statement, event).await?;
        self.events = rows.last().map_or(self.events, |(position, _)| *position);
        Ok(rows.into_iter().map(|(_, event)| event).collect())
    }

    async fn next_users(&mut self, limit: u32) -> Result<Vec<audit::UserTasks>, StoreError> {
        if self.users.is_none() {
            let floor = self.extent.tasks.0.plus(-DAY);
            self.gather(sqlx::query(sql::SNAPSHOT_USER_TASKS).bind(time::to_text(floor))).await?;
        }
        let after = self.users.unwrap_or_default();
        let rows = self.page(sqlx::query(sql::READ_USER_TASKS).bind(after).bind(limit), user_tasks).await?;
        self.users = Some(rows.last().map_or(after, |row| row.user_id));
        Ok(rows)
    }

    async fn next_quarters(
        &mut self,
        range: (Micros, Micros),
        limit: u32,
    ) -> Result<Vec<Quarter>, StoreError> {
        let after = match self.quarters {
            Some((gathered, after)) if gathered == range => after,
            _ => {
                self.gather(sqlx::query(sql::FORGET_QUARTERS)).await?;
                let (start, end) = range;
                let quarters =
                    sqlx::query(sql::SNAPSHOT_QUARTERS).bind(time::to_text(start)).bind(time::to_text(end));
                self.gather(quarters).await?;
                0
            }
        };
        let rows = self.page(sqlx::query(sql::READ_QUARTERS).bind(after).bind(limit), quarter).await?;
        self.quarters = Some((range, rows.last().map_or(after, |(position, _)| *position)));
        Ok(rows.into_iter().map(|(_, quarter)| quarter).collect())
    }

    async fn all_accounts(&mut self) -> Result<Vec<audit::Account>, StoreError> {
        self.page(sqlx::query(sql::ACCOUNTS), account).await
    }

    async fn count(&mut self, text: &'static str) -> Result<u64, StoreError> {
        let count: i64 = scalar(&mut self.connection, text).await?;
        u64::try_from(count).map_err(|error| bug(WHAT, error))
    }
}

type Statement = Query<'static, Sqlite, SqliteArguments>;

impl Evidence for Snapshot {
    fn accounts(&mut self) -> BoxFuture<'_, Result<Vec<audit::Account>, StoreError>> {
        self.all_accounts().boxed()
    }

    fn tasks(&mut self, limit: u32) -> BoxFuture<'_, Result<Vec<audit::Task>, StoreError>> {
        self.next_tasks(limit).boxed()
    }

    fn events(&mut self, limit: u32) -> BoxFuture<'_, Result<Vec<audit::Event>, StoreError>> {
        self.next_events(limit).boxed()
    }

    fn unpriced(&mut self) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.count(sql::COUNT_UNPRICED).boxed()
    }

    fn user_tasks(&mut self, limit: u32) -> BoxFuture<'_, Result<Vec<audit::UserTasks>, StoreError>> {
        self.next_users(limit).boxed()
    }

    fn user_quarters(
        &mut self,
        range: (Micros, Micros),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Quarter>, StoreError>> {
        self.next_quarters(range, limit).boxed()
    }

    fn estimate(&mut self) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.count(sql::ESTIMATE).boxed()
    }
}

fn account(row: &SqliteRow) -> Result<audit::Account, sqlx::Error> {
    let mut cells = Cells::of(row);
    let (account_id, name, workspace) = (cells.get()?, cells.text()?, cells.text()?);
    let (balance, told): (Option<i64>, _) = (cells.get()?, cells.time()?);
    let key_ids: &str = cells.get()?;
    let ids: Vec<String> =
        serde_json::from_str(key_ids).map_err(|_| unreadable("an array of key ids", key_ids))?;
    Ok(audit::Account {
        account_id,
        name,
        workspace,
        key_ids: ids.into_iter().map(Text::from).collect(),
        selected: false,
        balance: balance.map(|balance| (balance, audit::Micros(told.0))),
        fetch: audit::Fetch::NotAsked,
        usage: None,
        unreadable: Vec::new(),
    })
}

fn task(row: &SqliteRow) -> Result<(i64, audit::Task), sqlx::Error> {
    let mut cells = Cells::of(row);
    let (position, task_id, user_id, app_name) = (cells.get()?, cells.text()?, cells.get()?, cells.text()?);
    let attempts: &str = cells.get()?;
    let (online_id, key_id) = (cells.text()?, cells.text()?);
    let attempts = gathered(attempts, &online_id, &key_id)?;
    let status: &str = cells.get()?;
    let status = audit::TaskStatus::parse(status).ok_or_else(|| unreadable("a status", status))?;
    let task = audit::Task {
        task_id,
        user_id,
        app_name,
        attempts,
        key_id,
        status,
        money: cells.get()?,
        refunded: cells.get()?,
        held: cells.get()?,
        reported_cost_nano_usd: cells.get()?,
        billed_cost_nano_usd: cells.get()?,
        create_time: audit::Micros(cells.time()?.0),
        complete_time: cells.optional_time()?.map(|time| audit::Micros(time.0)),
        live_lease: cells.get()?,
    };
    Ok((position, task))
}

/// The attempts that a statement gathered as JSON, and the row's own request where none of them names it.
fn gathered(json: &str, online_id: &Text, key_id: &Text) -> Result<Vec<audit::Attempt>, sqlx::Error> {
    let mut rows: Vec<(i64, String, String)> =
        serde_json::from_str(json).map_err(|_| unreadable("an array of attempts", json))?;
    rows.sort_by_key(|(attempt, ..)| *attempt);
    let mut attempts: Vec<audit::Attempt> = rows
        .into_iter()
        .map(|(_, online_id, key_id)| audit::Attempt { online_id: online_id.into(), key_id: key_id.into() })
        .collect();
    if !online_id.is_empty() && !attempts.iter().any(|attempt| attempt.online_id == *online_id) {
        attempts.push(audit::Attempt { online_id: Text::clone(online_id), key_id: Text::clone(key_id) });
    }
    Ok(attempts)
}

fn event(row: &SqliteRow) -> Result<(i64, audit::Event), sqlx::Error> {
    let mut cells = Cells::of(row);
    let position = cells.get()?;
    let event = audit::Event {
        account_id: cells.get()?,
        request_id: cells.text()?,
        endpoint_id: cells.text()?,
        time: audit::Micros(cells.time()?.0),
        cost_nano_usd: cells.get()?,
        units_nano: cells.get()?,
    };
    Ok((position, event))
}

fn user_tasks(row: &SqliteRow) -> Result<audit::UserTasks, sqlx::Error> {
    let mut cells = Cells::of(row);
    Ok(audit::UserTasks { user_id: cells.get()?, points_consumed: cells.get()?, cash_consumed: cells.get()? })
}

fn quarter(row: &SqliteRow) -> Result<(i64, Quarter), sqlx::Error> {
    let mut cells = Cells::of(row);
    let position = cells.get()?;
    let quarter = Quarter {
        user_id: cells.get()?,
        start: Micros(cells.get::<i64>()?.saturating_mul(QUARTER)),
        consumed: cells.get()?,
        refunded: cells.get()?,
        credited: cells.get()?,
    };
    Ok((position, quarter))
}
