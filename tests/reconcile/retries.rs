//! A run that cannot come to its end: it waits, others go on, and it is given up; a full disk is waited for.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use scrip::audit;
use scrip::clock::Clock;
use scrip::fal::fake::Event;
use scrip::ledger::{Micros, Text};
use scrip::reconcile::{Options, Retry, RunState, Start};
use scrip::store::reconcile::{
    Applied, Begun, EventRow, Evidence, Extent, FetchRow, FindingQuery, FindingRow, NewRun, Outline,
    ReconcileStore, ReportRow, Run, RunChange, Turn, WriteError,
};
use scrip::store::{Page, Reader, Store, StoreError, Writer, sqlite};
use sqlx::{ConnectOptions, Connection};
use uuid::Uuid;

use crate::world::{DAY, HOUR, MODEL, SECOND, START, World, day, eventually, over};

type Answer<'a, T, E = StoreError> = BoxFuture<'a, Result<T, E>>;

/// A store whose evidence of one period never comes in time.
pub(crate) struct Slow {
    pub(crate) store: Arc<dyn Store>,
    /// When that period begins.
    pub(crate) start: Micros,
}

struct SlowRuns {
    runs: Arc<dyn ReconcileStore>,
    start: Micros,
}

impl Store for Slow {
    fn writer(&self) -> Box<dyn Writer> {
        self.store.writer()
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.store.reader()
    }

    fn reconcile(&self) -> Option<Arc<dyn ReconcileStore>> {
        Some(Arc::new(SlowRuns { runs: self.store.reconcile()?, start: self.start }))
    }

    fn describe(&self) -> String {
        self.store.describe()
    }
}

impl ReconcileStore for SlowRuns {
    fn evidence<'a>(&'a self, extent: &'a Extent) -> Answer<'a, Box<dyn Evidence>> {
        if extent.tasks.0 == self.start {
            let source = "canceling statement due to statement timeout".into();
            return Box::pin(async { Err(StoreError::Unavailable { what: "reading the evidence", source }) });
        }
        self.runs.evidence(extent)
    }

    fn hold(&self, name: &'static str, holder: Uuid, micros: i64) -> Answer<'_, bool> {
        self.runs.hold(name, holder, micros)
    }

    fn let_go(&self, name: &'static str, holder: Uuid) -> Answer<'_, ()> {
        self.runs.let_go(name, holder)
    }

    fn create_run<'a>(&'a self, new: &'a NewRun) -> Answer<'a, Begun> {
        self.runs.create_run(new)
    }

    fn run(&self, id: i64) -> Answer<'_, Option<Run>> {
        self.runs.run(id)
    }

    fn list_runs(&self, page: Page) -> Answer<'_, Vec<Run>> {
        self.runs.list_runs(page)
    }

    fn runs_of<'a>(&'a self, actor: &'a str, page: Page) -> Answer<'a, Vec<Outline>> {
        self.runs.runs_of(actor, page)
    }

    fn unfinished_runs(&self) -> Answer<'_, Vec<Run>> {
        self.runs.unfinished_runs()
    }

    fn take_up<'a>(&'a self, run: &'a Run, again: i64) -> Answer<'a, Option<Turn>> {
        self.runs.take_up(run, again)
    }

    fn end_run<'a>(&'a self, run: &'a Run, why: &'a str) -> Answer<'a, ()> {
        self.runs.end_run(run, why)
    }

    fn set_aside(&self, turn: Turn, again: i64, counts: bool) -> Answer<'_, (), WriteError> {
        self.runs.set_aside(turn, again, counts)
    }

    fn update_run<'a>(&'a self, turn: Turn, change: &'a RunChange) -> Answer<'a, (), WriteError> {
        self.runs.update_run(turn, change)
    }

    fn detail(&self, run_id: i64) -> Answer<'_, Option<Text>> {
        self.runs.detail(run_id)
    }

    fn fetches(&self, run_id: i64) -> Answer<'_, Vec<FetchRow>> {
        self.runs.fetches(run_id)
    }

    fn save_fetch<'a>(
        &'a self,
        turn: Turn,
        fetch: &'a FetchRow,
        events: &'a [EventRow],
    ) -> Answer<'a, (), WriteError> {
        self.runs.save_fetch(turn, fetch, events)
    }

    fn clear_results(&self, turn: Turn) -> Answer<'_, (), WriteError> {
        self.runs.clear_results(turn)
    }

    fn add_findings<'a>(
        &'a self,
        turn: Turn,
        first: i64,
        findings: &'a [audit::Finding],
    ) -> Answer<'a, (), WriteError> {
        self.runs.add_findings(turn, first, findings)
    }

    fn add_rows<'a>(
        &'a self,
        turn: Turn,
        layer: i16,
        first: i64,
        rows: &'a [String],
    ) -> Answer<'a, (), WriteError> {
        self.runs.add_rows(turn, layer, first, rows)
    }

    fn add_costs<'a>(
        &'a self,
        turn: Turn,
        first: i64,
        costs: &'a [audit::CostChange],
    ) -> Answer<'a, (), WriteError> {
        self.runs.add_costs(turn, first, costs)
    }

    fn apply_costs(&self, turn: Turn, after: i64, limit: u32) -> Answer<'_, Applied, WriteError> {
        self.runs.apply_costs(turn, after, limit)
    }

    fn findings<'a>(
        &'a self,
        query: &'a FindingQuery,
        after: Option<(i16, &'a str, i64)>,
        limit: u32,
    ) -> Answer<'a, Vec<FindingRow>> {
        self.runs.findings(query, after, limit)
    }

    fn rows(&self, run_id: i64, after: (i16, i64), limit: u32) -> Answer<'_, Vec<ReportRow>> {
        self.runs.rows(run_id, after, limit)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_always_fails_lets_others_go_on_and_is_given_up_with_a_reason() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.later();
    let slow = Slow { store: Arc::clone(&world.store), start: Micros(START - DAY) };
    let retry = Retry { tries: 3, ..Retry::default() };
    let reconciler = world.reconciler_on(&slow, Options { retry, ..Options::default() });
    let handle = reconciler.handle();
    let yesterday = Start { start: Some(Micros(START - DAY)), end: Some(Micros(START)), ..Start::default() };
    let stuck = handle.start(&yesterday, &Text::from("test")).await.unwrap().run.id;
    let later = handle.start(&day(), &Text::from("test")).await.unwrap().run.id;
    assert_eq!(over(&handle, later).await.run.state, RunState::Completed);
    let run = handle.get(stuck).await.unwrap();
    assert_eq!((run.state, run.tries), (RunState::Running, 1), "it waits for its time");
    assert!(run.retry_time.is_some_and(|time| time > run.create_time));
    // Each wait is twice as long, and no longer than the cap.
    eventually("the run is given up", async || {
        world.clock.tick(SECOND);
        handle.get(stuck).await.unwrap().state == RunState::Failed
    })
    .await;
    let run = handle.get(stuck).await.unwrap();
    let why = "given up after 3 attempts; the last: the database is unavailable: reading the evidence";
    assert_eq!((run.tries, &*run.error), (3, why));
    reconciler.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_processes_die_each_time_is_given_up_too() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.later();
    let idle =
        world.reconciler_with(Options { works: scrip::reconcile::Works::AtItsOwn, ..Options::default() });
    let handle = idle.handle();
    idle.drain().await;
    let id = handle.start(&day(), &Text::from("test")).await.unwrap().run.id;
    let store = world.store.reconcile().unwrap();
    for _ in 0..3 {
        let run = store.run(id).await.unwrap().unwrap();
        store.take_up(&run, 0).await.unwrap().unwrap();
    }
    let retry = Retry { tries: 3, ..Retry::default() };
    let reconciler = world.reconciler_with(Options { retry, ..Options::default() });
    let run = over(&reconciler.handle(), id).await.run;
    assert_eq!((run.state, &*run.error), (RunState::Failed, "given up: 3 attempts came to no end"));
    reconciler.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_a_run_waits_for_room_and_then_ends_with_all_of_its_evidence() {
    let world = World::new().await;
    world.account("a", "w").await;
    let many: i64 = 2_000;
    for number in 0..many {
        let event = Event::new(&format!("r{number}"), MODEL, START + HOUR + number);
        world.event("w", event.price("0.01"));
    }
    world.later();
    world.fal.world().page = Some(500);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(world.folder.path().join("scrip.db"));
    let mut raw = options.connect().await.unwrap();
    let pages: u32 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut raw).await.unwrap();
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let options = sqlite::Options { max_pages: Some(pages + 60), ..sqlite::Options::new(clock) };
    let full = sqlite::open(&world.url(), options).await.unwrap();
    let reconciler = world.reconciler_on(&*full, Options::default());
    let handle = reconciler.handle();
    let id = handle.start(&day(), &Text::from("test")).await.unwrap().run.id;
    eventually("it has met the full disk, more often than a run is tried", async || {
        world.clock.tick(SECOND);
        let run = handle.get(id).await.unwrap();
        assert_eq!((run.state, run.findings), (RunState::Running, [0; 3]));
        run.attempt > Retry::default().tries && run.tries == 0
    })
    .await;
    reconciler.drain().await;
    // No page is kept in part.
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM scrip_billing_events").fetch_one(&mut raw).await.unwrap();
    assert!(kept < many && kept % 500 == 0, "{kept}");
    raw.close().await.unwrap();

    let room = world.reconciler_with(Options { poll_every: Duration::from_millis(20), ..Options::default() });
    eventually("there is room, and time passes", async || {
        world.clock.tick(SECOND);
        room.handle().get(id).await.unwrap().state != RunState::Running
    })
    .await;
    let outcome = over(&room.handle(), id).await;
    room.drain().await;
    assert_eq!(outcome.run.state, RunState::Completed);
    assert_eq!(outcome.summary.unwrap().report.totals.events.events, many.unsigned_abs());
}
