//! What a run judges, as of one moment: REPEATABLE READ, READ ONLY, on a connection of its own.
//!
//! Each stream is a cursor, opened when it is first asked for: the server joins and sorts it (on disk, where it is
//! large) and hands it over page by page, so that two can be read side by side in little memory. A failure ends the
//! snapshot, for what came before and after it would not be of one moment.

use futures::future::BoxFuture;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection};

use super::super::connect::Target;
use super::super::decode::{Columns, Decoded};
use super::super::error::Trouble;
use super::super::session::{self, PATIENCE, Statement};
use super::super::time::Stamp;
use crate::audit;
use crate::ledger::{Micros, Text};
use crate::store::StoreError;
use crate::store::reconcile::{Evidence, Extent, Quarter};

const WHAT: &str = "reading the evidence";

/// How far clocks may have been set back between a task and its entries.
const DAY: i64 = 86_400_000_000;

/// The evidence as of the moment it was begun; dropping it closes its connection.
pub(super) struct Snapshot {
    connection: Option<PgConnection>,
    extent: Extent,
    has_tasks: bool,
    has_events: bool,
    has_users: bool,
    /// The range of the quarters that are being read.
    quarters: Option<(Micros, Micros)>,
}

impl Snapshot {
    pub(super) async fn begin(target: &Target, extent: &Extent) -> Result<Self, StoreError> {
        let connection = target.connect_for_evidence().await?;
        let mut snapshot = Self {
            connection: Some(connection),
            extent: extent.clone(),
            has_tasks: false,
            has_events: false,
            has_users: false,
            quarters: None,
        };
        // The first statement fixes what is seen.
        snapshot.rows(sqlx::query(include_str!("../sql/reader_now.sql"))).await?;
        Ok(snapshot)
    }

    async fn rows(&mut self, statement: Statement<'_>) -> Result<Vec<PgRow>, StoreError> {
        let Some(mut connection) = self.connection.take() else {
            let source = "the snapshot ended with an earlier failure".into();
            return Err(StoreError::Unavailable { what: WHAT, source });
        };
        let answer = session::rows(&mut connection, PATIENCE, statement).await;
        let rows = answer.map_err(|trouble| trouble.store_error(WHAT))?;
        self.connection = Some(connection);
        Ok(rows)
    }

    /// The next rows of a cursor.
    async fn page<T>(
        &mut self,
        cursor: &'static str,
        limit: u32,
        decode: fn(&PgRow) -> Decoded<T>,
    ) -> Result<Vec<T>, StoreError> {
        // FETCH takes no parameters; a number and a name of ours are safe.
        let text = format!("FETCH FORWARD {limit} FROM {cursor}");
        let rows = self.rows(sqlx::query(AssertSqlSafe(text)).persistent(false)).await?;
        rows.iter().map(decode).collect()
    }

    async fn count(&mut self, statement: Statement<'_>) -> Result<u64, StoreError> {
        let rows = self.rows(statement).await?;
        let missing = || Trouble::Wrong("no row came back".to_owned()).store_error(WHAT);
        let count: i64 = Columns::new(rows.first().ok_or_else(missing)?, WHAT).get("rows")?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    fn workspaces(&self) -> Vec<String> {
        self.extent.sources.iter().map(|(workspace, _)| workspace.to_string()).collect()
    }

    async fn next_tasks(&mut self, limit: u32) -> Result<Vec<audit::Task>, StoreError> {
        if !self.has_tasks {
            let (tasks, events) = (self.extent.tasks, self.extent.events);
            let declare = sqlx::query(include_str!("sql/declare_tasks.sql"))
                .bind(Stamp::nearest(tasks.0))
                .bind(Stamp::nearest(tasks.1))
                .bind(Stamp::nearest(events.0))
                .bind(self.workspaces())
                .bind(Stamp::nearest(events.1))
                .bind(self.extent.pass);
            self.rows(declare).await?;
            self.has_tasks = true;
        }
        self.page("run_tasks", limit, task).await
    }

    async fn next_events(&mut self, limit: u32) -> Result<Vec<audit::Event>, StoreError> {
        if !self.has_events {
            let account_ids: Vec<i64> =
                self.extent.sources.iter().map(|(_, account_id)| *account_id).collect();
            let declare = sqlx::query(include_str!("sql/declare_events.sql"))
                .bind(self.workspaces())
                .bind(account_ids)
                .bind(Stamp::nearest(self.extent.events.0))
                .bind(Stamp::nearest(self.extent.events.1))
                .bind(self.extent.pass);
            self.rows(declare).await?;
            self.has_events = true;
        }
        self.page("run_events", limit, event).await
    }

    async fn next_users(&mut self, limit: u32) -> Result<Vec<audit::UserTasks>, StoreError> {
        if !self.has_users {
            let (start, end) = self.extent.tasks;
            let declare = sqlx::query(include_str!("sql/declare_user_tasks.sql"))
                .bind(Stamp::nearest(start))
                .bind(Stamp::nearest(end))
                .bind(Stamp::nearest(start.plus(-DAY)));
            self.rows(declare).await?;
            self.has_users = true;
        }
        self.page("run_user_tasks", limit, user_tasks).await
    }

    async fn next_quarters(
        &mut self,
        range: (Micros, Micros),
        limit: u32,
    ) -> Result<Vec<Quarter>, StoreError> {
        if self.quarters != Some(range) {
            if self.quarters.take().is_some() {
                self.rows(sqlx::query(include_str!("sql/close_quarters.sql"))).await?;
            }
            let declare = sqlx::query(include_str!("sql/declare_quarters.sql"))
                .bind(Stamp::nearest(range.0))
                .bind(Stamp::nearest(range.1));
            self.rows(declare).await?;
            self.quarters = Some(range);
        }
        self.page("run_quarters", limit, quarter).await
    }

    async fn all_accounts(&mut self) -> Result<Vec<audit::Account>, StoreError> {
        let rows = self.rows(sqlx::query(include_str!("sql/accounts.sql"))).await?;
        rows.iter().map(account).collect()
    }

    async fn count_unpriced(&mut self) -> Result<u64, StoreError> {
        let statement = sqlx::query(include_str!("sql/count_unpriced.sql"))
            .bind(self.workspaces())
            .bind(Stamp::nearest(self.extent.events.0))
            .bind(Stamp::nearest(self.extent.events.1))
            .bind(self.extent.pass);
        self.count(statement).await
    }

    async fn count_all(&mut self) -> Result<u64, StoreError> {
        let statement = sqlx::query(include_str!("sql/count_evidence.sql"))
            .bind(self.workspaces())
            .bind(Stamp::nearest(self.extent.events.0))
            .bind(Stamp::nearest(self.extent.events.1))
            .bind(Stamp::nearest(self.extent.tasks.0))
            .bind(Stamp::nearest(self.extent.tasks.1));
        self.count(statement).await
    }
}

impl Evidence for Snapshot {
    fn accounts(&mut self) -> BoxFuture<'_, Result<Vec<audit::Account>, StoreError>> {
        Box::pin(self.all_accounts())
    }

    fn tasks(&mut self, limit: u32) -> BoxFuture<'_, Result<Vec<audit::Task>, StoreError>> {
        Box::pin(self.next_tasks(limit))
    }

    fn events(&mut self, limit: u32) -> BoxFuture<'_, Result<Vec<audit::Event>, StoreError>> {
        Box::pin(self.next_events(limit))
    }

    fn unpriced(&mut self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.count_unpriced())
    }

    fn user_tasks(&mut self, limit: u32) -> BoxFuture<'_, Result<Vec<audit::UserTasks>, StoreError>> {
        Box::pin(self.next_users(limit))
    }

    fn user_quarters(
        &mut self,
        range: (Micros, Micros),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Quarter>, StoreError>> {
        Box::pin(self.next_quarters(range, limit))
    }

    fn estimate(&mut self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.count_all())
    }
}

fn account(row: &PgRow) -> Decoded<audit::Account> {
    let row = Columns::new(row, "reading ts_fal_account");
    let (balance, told): (Option<i64>, Micros) = (row.get("balance_nano_usd")?, row.moment("balance_at")?);
    let key_ids: Option<Vec<String>> = row.get("key_ids")?;
    Ok(audit::Account {
        account_id: row.get("id")?,
        name: row.text("name")?,
        workspace: row.text("workspace")?,
        key_ids: key_ids.unwrap_or_default().into_iter().map(Text::from).collect(),
        selected: false,
        balance: balance.map(|balance| (balance, audit::Micros(told.0))),
        fetch: audit::Fetch::NotAsked,
        usage: None,
        unreadable: Vec::new(),
    })
}

fn task(row: &PgRow) -> Decoded<audit::Task> {
    const WHAT: &str = "reading ts_fal_tasks";
    let row = Columns::new(row, WHAT);
    let status: &str = row.get("status")?;
    let unknown = || Trouble::Wrong(format!("{status:?} is not known to this release")).store_error(WHAT);
    let key_id = row.text("api_key")?;
    let online_ids: Option<Vec<String>> = row.get("online_ids")?;
    let key_ids: Option<Vec<String>> = row.get("key_ids")?;
    let pairs = online_ids.unwrap_or_default().into_iter().zip(key_ids.unwrap_or_default());
    let mut attempts: Vec<audit::Attempt> = pairs
        .map(|(online_id, key_id)| audit::Attempt { online_id: online_id.into(), key_id: key_id.into() })
        .collect();
    // The row's own request, where no attempt names it.
    let online_id = row.text("online_task_id")?;
    if !online_id.is_empty() && !attempts.iter().any(|attempt| attempt.online_id == online_id) {
        attempts.push(audit::Attempt { online_id, key_id: Text::clone(&key_id) });
    }
    Ok(audit::Task {
        task_id: row.text("task_id")?,
        user_id: row.get("user_id")?,
        app_name: row.text("app_name")?,
        attempts,
        key_id,
        status: audit::TaskStatus::parse(status).ok_or_else(unknown)?,
        money: row.get("money")?,
        refunded: row.get("refunded")?,
        held: row.get("held")?,
        reported_cost_nano_usd: row.get("reported_cost_nano_usd")?,
        billed_cost_nano_usd: row.get("billed_cost_nano_usd")?,
        create_time: audit::Micros(row.moment("created_at")?.0),
        complete_time: row.moment_or_null("completed_at")?.map(|time| audit::Micros(time.0)),
        live_lease: row.get("live_lease")?,
    })
}

fn event(row: &PgRow) -> Decoded<audit::Event> {
    let row = Columns::new(row, "reading scrip_billing_events");
    Ok(audit::Event {
        account_id: row.get("account_id")?,
        request_id: row.text("request_id")?,
        endpoint_id: row.text("endpoint_id")?,
        time: audit::Micros(row.moment("billed_at")?.0),
        cost_nano_usd: row.get("cost_nano_usd")?,
        units_nano: row.get("units_nano")?,
    })
}

fn user_tasks(row: &PgRow) -> Decoded<audit::UserTasks> {
    let row = Columns::new(row, "summing the entries of tasks");
    Ok(audit::UserTasks {
        user_id: row.get("user_id")?,
        points_consumed: row.get("points_consumed")?,
        cash_consumed: row.get("cash_consumed")?,
    })
}

fn quarter(row: &PgRow) -> Decoded<Quarter> {
    let row = Columns::new(row, "summing entries by quarters of an hour");
    Ok(Quarter {
        user_id: row.get("user_id")?,
        start: row.moment("starts_at")?,
        consumed: row.get("consumed")?,
        refunded: row.get("refunded")?,
        credited: row.get("credited")?,
    })
}
