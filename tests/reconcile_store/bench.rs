//! A fresh store, and rows written past it: what the engine would have written, told row by row.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use scrip::clock::Clock;
use scrip::ledger::{Field, Fingerprint, Micros, Text};
use scrip::store::reconcile::{Begun, EventRow, Evidence, Extent, FetchRow, NewRun, ReconcileStore, Turn};
use scrip::store::{Store, postgres, sqlite};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection};

use crate::support;

/// 2026-02-01 00:00:00
pub(crate) const START: i64 = 1_769_904_000_000_000;
pub(crate) const MINUTE: i64 = 60_000_000;
pub(crate) const DAY: i64 = 1_440 * MINUTE;

/// The period of the tests: a day.
pub(crate) const PERIOD: (Micros, Micros) = (Micros(START), Micros(START + DAY));

/// A clock that each reading moves on.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Micros {
        Micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// A connection that knows nothing of the store.
pub(crate) enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

pub(crate) struct Bench {
    pub(crate) store: Arc<dyn ReconcileStore>,
    pub(crate) raw: Raw,
    pub(crate) opened: Arc<dyn Store>,
    _folder: Option<tempfile::TempDir>,
}

impl Bench {
    pub(crate) async fn sqlite() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scrip.db");
        // Long after all that is told of, as the clock of a PostgreSQL is.
        let clock = Arc::new(Ticking(AtomicI64::new(START + 60 * DAY)));
        let store = sqlite::open(&path.display().to_string(), sqlite::Options::new(clock)).await.unwrap();
        let raw = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
        Some(Self::over(store, Raw::Sqlite(raw), Some(folder)))
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let url = support::postgres::shared()?.fresh_database().await;
        let options = postgres::Options { migrate: true, ..postgres::Options::default() };
        let store = postgres::open(&url, options).await.unwrap();
        let mut raw = support::postgres::connect(&url).await;
        sqlx::query("SET TimeZone = 'UTC'").execute(&mut raw).await.unwrap();
        Some(Self::over(store, Raw::Postgres(raw), None))
    }

    fn over(opened: Arc<dyn Store>, raw: Raw, folder: Option<tempfile::TempDir>) -> Self {
        let store = opened.reconcile().unwrap();
        Self { store, raw, opened, _folder: folder }
    }

    pub(crate) async fn try_execute(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &mut self.raw {
            Raw::Sqlite(raw) => sql.execute(raw).await.map(|done| done.rows_affected()),
            Raw::Postgres(raw) => sql.execute(raw).await.map(|done| done.rows_affected()),
        }
    }

    /// A statement that both dialects know.
    pub(crate) async fn execute(&mut self, sql: &str) {
        self.try_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The first column of all rows, which must be text.
    pub(crate) async fn texts(&mut self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        match &mut self.raw {
            Raw::Sqlite(raw) => sqlx::query_scalar(sql).fetch_all(raw).await.unwrap(),
            Raw::Postgres(raw) => sqlx::query_scalar(sql).fetch_all(raw).await.unwrap(),
        }
    }

    pub(crate) const fn is_sqlite(&self) -> bool {
        matches!(self.raw, Raw::Sqlite(_))
    }

    /// Bytes as the dialect spells them.
    pub(crate) fn bytes(&self, digits: &str) -> String {
        if self.is_sqlite() { format!("x'{digits}'") } else { format!("'\\x{digits}'") }
    }

    /// Begins a run of the period that nobody has taken up yet.
    pub(crate) async fn create(&self) -> i64 {
        match self.store.create_run(&new_run()).await.unwrap() {
            Begun::New(id) => id,
            other => panic!("{other:?}"),
        }
    }

    /// Begins a run of the period and takes it up: every turn before is over.
    pub(crate) async fn begin(&self) -> Turn {
        self.take_up(self.create().await).await
    }

    pub(crate) async fn take_up(&self, run_id: i64) -> Turn {
        let run = self.store.run(run_id).await.unwrap().unwrap();
        self.store.take_up(&run, 0).await.unwrap().unwrap()
    }

    /// Keeps events that a run brought.
    pub(crate) async fn bring(&self, turn: Turn, events: &[EventRow]) {
        self.store.save_fetch(turn, &fetch(1), events).await.unwrap();
    }

    pub(crate) async fn evidence(&self, turn: Turn) -> Box<dyn Evidence> {
        self.store.evidence(&extent(turn)).await.unwrap()
    }

    /// A task that completed a minute after it was charged 20 points.
    pub(crate) async fn task(&mut self, task_id: &str, user_id: i64, created: i64, more: &str) {
        let fingerprint = self.bytes("00");
        let (created, completed) = (text_of(created), text_of(created + MINUTE));
        self.execute(&format!(
            "INSERT INTO ts_fal_tasks (user_id, task_id, app_name, api_key, status, money, charged_points, created_at,
                 completed_at, fingerprint, input_params)
             VALUES ({user_id}, '{task_id}', 'fal-ai/flux', 'k1', 'completed', 20, 20, '{created}', '{completed}',
                 {fingerprint}, '{{\"prompt\": 1}}')"
        ))
        .await;
        if !more.is_empty() {
            self.execute(&format!("UPDATE ts_fal_tasks SET {more} WHERE task_id = '{task_id}'")).await;
        }
    }

    /// The next attempt of a task.
    pub(crate) async fn attempt(&mut self, user_id: i64, task_id: &str, online_id: &str, key_id: &str) {
        let started = text_of(START);
        self.execute(&format!(
            "INSERT INTO scrip_task_attempts (user_id, task_id, attempt, online_task_id, key_id, started_at)
             SELECT {user_id}, '{task_id}', coalesce(max(attempt), 0) + 1, '{online_id}', '{key_id}', '{started}'
             FROM scrip_task_attempts WHERE user_id = {user_id} AND task_id = '{task_id}'"
        ))
        .await;
    }
}

/// A moment as both dialects read it.
pub(crate) fn text_of(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).unwrap().strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

pub(crate) fn new_run() -> NewRun {
    NewRun {
        request_id: None,
        actor: "tests".into(),
        start: PERIOD.0,
        end: PERIOD.1,
        account_ids: vec![],
        user_ids: vec![],
        apply_costs: false,
        settings: r#"{"lag": 1}"#.into(),
        content: Fingerprint::new().number(Field::StartTime, 1),
    }
}

/// How far the fetch of an account's events is: over.
pub(crate) fn fetch(account_id: i64) -> FetchRow {
    FetchRow {
        account_id,
        source: "billing_events".into(),
        position: "".into(),
        pages: 1,
        rows: 0,
        state: "complete".into(),
        result: "".into(),
        error: "".into(),
        garbage: vec![],
    }
}

/// An event of workspace `w1`, a minute into the period.
pub(crate) fn event(request_id: &str, cost_nano_usd: i64) -> EventRow {
    EventRow {
        workspace: "w1".into(),
        account_id: 1,
        request_id: request_id.into(),
        endpoint_id: "fal-ai/flux".into(),
        time: PERIOD.0.plus(MINUTE),
        cost_nano_usd: Some(cost_nano_usd),
        units_nano: Some(1_000_000_000),
        raw: format!(r#"{{"cost":{cost_nano_usd},"request_id":"{request_id}"}}"#).into(),
    }
}

/// The period, and the events of workspace `w1` in it and a day more.
pub(crate) fn extent(turn: Turn) -> Extent {
    let events = (PERIOD.0, PERIOD.1.plus(DAY));
    Extent { pass: turn.pass, tasks: PERIOD, events, sources: vec![(Text::from("w1"), 1)] }
}

/// All tasks, three at a time.
pub(crate) async fn all_tasks(evidence: &mut dyn Evidence) -> Vec<scrip::audit::Task> {
    let mut all = Vec::new();
    loop {
        let page = evidence.tasks(3).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// All events, three at a time.
pub(crate) async fn all_events(evidence: &mut dyn Evidence) -> Vec<scrip::audit::Event> {
    let mut all = Vec::new();
    loop {
        let page = evidence.events(3).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

impl Bench {
    /// Lets go of the connection beside the store.
    pub(crate) async fn close(self) {
        match self.raw {
            Raw::Sqlite(raw) => raw.close().await.unwrap(),
            Raw::Postgres(raw) => raw.close().await.unwrap(),
        }
        self.opened.close().await;
    }
}
