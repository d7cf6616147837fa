//! Runs by schedule: what no run before has judged, or has judged whole, is in the period of one that follows.

use std::sync::Arc;
use std::time::Duration;

use scrip::fal::fake::{Fault, Route};
use scrip::ledger::{Fingerprint, Micros, Text};
use scrip::reconcile::{Options, Reconciler, Retry, Run, RunState};
use scrip::store::Page;
use scrip::store::reconcile::NewRun;

use crate::retries::Slow;
use crate::world::{DAY, SECOND, START, World, eventually, over};

/// A schedule of days before a store that never answers what the first of them asks.
struct Days {
    world: World,
    reconciler: Reconciler,
}

impl Days {
    async fn new(tries: i64) -> Days {
        let world = World::new().await;
        world.account("a", "w").await;
        world.clock.set(START + DAY + 31 * 60 * SECOND);
        let slow = Slow { store: Arc::clone(&world.store), start: Micros(START) };
        let options = Options {
            retry: Retry { tries, ..Retry::default() },
            reconcile_every: Some(Duration::from_secs(24 * 3_600)),
            ..Options::default()
        };
        let reconciler = world.reconciler_on(&slow, options);
        Days { world, reconciler }
    }

    /// The state of the run of these days, counted from the first, if there is one.
    async fn state(&self, first: i64, end: i64) -> Option<RunState> {
        let runs = self.reconciler.handle().list(Page { before: None, limit: 10 }).await.unwrap();
        let period = (START + first * DAY, START + end * DAY);
        runs.into_iter().find(|run| (run.start.0, run.end.0) == period).map(|run| run.state)
    }

    /// Moves on to the day after `day`, when its bill is due.
    fn after(&self, day: i64) {
        self.world.clock.set(START + (day + 1) * DAY + 31 * 60 * SECOND);
    }

    async fn give_up_the_first(&self) {
        eventually("the run of the first day is given up", async || {
            self.world.clock.tick(SECOND);
            self.state(0, 1).await == Some(RunState::Failed)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_scheduled_run_was_given_up_for_is_in_the_next_ones_period() {
    let days = Days::new(2).await;
    days.give_up_the_first().await;
    days.after(1);
    eventually("the next one judges both days", async || days.state(0, 2).await.is_some()).await;
    days.reconciler.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_scheduled_run_was_given_up_for_late_is_in_the_period_of_the_next_that_begins() {
    let days = Days::new(3).await;
    eventually("the run of the first day has begun", async || days.state(0, 1).await.is_some()).await;
    days.after(1);
    eventually("so has that of the second", async || days.state(1, 2).await.is_some()).await;
    days.give_up_the_first().await;
    days.after(2);
    eventually("the third judges all", async || days.state(0, 3).await.is_some()).await;
    days.reconciler.drain().await;
}

/// A schedule of days, and what has become of them.
struct Scheduled {
    world: World,
    reconciler: Reconciler,
}

impl Scheduled {
    async fn new() -> Self {
        let world = World::new().await;
        world.account("a", "w").await;
        world.credit(7, 1_000).await;
        // Charged and never billed: A2.
        world.started("t", 7, 10, (1, "a")).await;
        world.completed("t", 7, None).await;
        let every = Some(Duration::from_secs(24 * 3_600));
        let reconciler = world.reconciler_with(Options { reconcile_every: every, ..Options::default() });
        let days = Self { world, reconciler };
        // The day before has a run as well: planned faults are for the next.
        days.run_of(-1).await;
        days
    }

    /// The run of the day after this many others, once it is over.
    async fn run_of(&self, day: i64) -> Run {
        let end = START + (day + 1) * DAY;
        self.world.clock.set(end + 31 * 60 * SECOND);
        let handle = self.reconciler.handle();
        let find = async || {
            let runs = handle.list(Page { before: None, limit: 500 }).await.unwrap();
            runs.into_iter().find(|run| &*run.actor == "schedule" && run.end.0 == end)
        };
        eventually("the day is reconciled", async || {
            find().await.is_some_and(|run| run.state != RunState::Running)
        })
        .await;
        find().await.unwrap()
    }

    async fn rules(&self, run: &Run) -> Vec<&'static str> {
        over(&self.reconciler.handle(), run.id).await.rules()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_scheduled_run_could_not_fetch_is_found_by_the_next() {
    let days = Scheduled::new().await;
    days.world.fal.world().plan(Route::Events, 2, Fault::Error(503, "server_error"));
    let first = days.run_of(0).await;
    assert_eq!((first.state, days.rules(&first).await), (RunState::Partial, vec![]));
    let second = days.run_of(1).await;
    assert_eq!((second.start.0, second.state), (START, RunState::Completed));
    assert_eq!(days.rules(&second).await, ["A2"]);
    let third = days.run_of(2).await;
    assert_eq!(third.start.0, START + 2 * DAY, "made up for");
    days.reconciler.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balance_alone_that_fal_did_not_tell_is_no_reason_to_judge_a_day_twice() {
    let days = Scheduled::new().await;
    days.world.fal.world().plan(Route::Account, 2, Fault::Error(503, "server_error"));
    let first = days.run_of(0).await;
    assert_eq!((first.state, days.rules(&first).await), (RunState::Partial, vec!["A2"]));
    assert_eq!(days.run_of(1).await.start.0, START + DAY);
    days.reconciler.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_scheduled_run_is_known_however_many_others_were_begun_since() {
    let days = Scheduled::new().await;
    days.run_of(0).await;
    let store = days.world.store.reconcile().unwrap();
    for _ in 0..210 {
        let others = NewRun {
            request_id: None,
            actor: "a caller".into(),
            start: Micros(START),
            end: Micros(START + 1),
            account_ids: vec![],
            user_ids: vec![],
            apply_costs: false,
            settings: Text::from("no settings: it fails at once"),
            content: Fingerprint::new(),
        };
        store.create_run(&others).await.unwrap();
    }
    assert_eq!(days.run_of(3).await.start.0, START + DAY, "all days that were left out");
    days.reconciler.drain().await;
}
