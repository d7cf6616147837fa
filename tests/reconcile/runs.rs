//! Runs as such: begun once, worked at by one process, taken up where they were left, ended for good.

use std::time::Duration;

use scrip::engine::EngineError;
use scrip::fal::fake::{Event, Fault, Route};
use scrip::keypool::{AccountChanges, Command};
use scrip::ledger::{Micros, Rejection, Text};
use scrip::reconcile::{Error, Options, RunState, Start};
use scrip::store::Page;
use uuid::Uuid;

use crate::world::{DAY, HOUR, MODEL, START, World, day, events_asked, eventually, over};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_left_in_the_middle_of_its_pages_goes_on_at_the_next_one() {
    let world = World::new().await;
    world.account("a", "w").await;
    for hour in 1..=3 {
        world.event("w", Event::new(&format!("r{hour}"), MODEL, START + hour * HOUR));
    }
    world.later();
    world.fal.world().page = Some(1);
    // The first page comes; the second begins and never ends.
    world.fal.world().plan(Route::Events, 1, Fault::Delay(Duration::ZERO));
    world.fal.world().plan(Route::Events, 1, Fault::Delay(Duration::from_secs(600)));
    let first = world.reconciler();
    let run = first.handle().start(&day(), &Text::from("test")).await.unwrap().run;
    let store = world.store.reconcile().unwrap();
    eventually("a page is kept and the next one asked for", || async {
        let kept = store.fetches(run.id).await.unwrap();
        kept.iter().any(|row| &*row.source == "billing_events" && row.pages == 1)
            && events_asked(&world).len() == 2
    })
    .await;
    first.drain().await;
    let left = store.run(run.id).await.unwrap().unwrap();
    assert_eq!(left.state, RunState::Running);

    let second = world.reconciler();
    let outcome = over(&second.handle(), run.id).await;
    second.drain().await;
    assert_eq!(outcome.run.state, RunState::Completed);
    assert_eq!(outcome.run.evidence_time, left.evidence_time, "judged by the moment of its first answer");
    let asked = events_asked(&world);
    assert_eq!(
        asked.iter().filter(|cursor| cursor.is_none()).count(),
        1,
        "the first page is not asked again: {asked:?}"
    );
    assert_eq!(asked.len(), 4);
    assert_eq!(outcome.summary.unwrap().report.totals.events.events, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_whose_workspace_was_renamed_in_its_middle_begins_anew() {
    let world = World::new().await;
    let account_id = world.account("a", "w").await;
    for hour in 1..=2 {
        world.event("w", Event::new(&format!("r{hour}"), MODEL, START + hour * HOUR));
    }
    world.later();
    world.fal.world().page = Some(1);
    world.fal.world().plan(Route::Events, 1, Fault::Delay(Duration::ZERO));
    world.fal.world().plan(Route::Events, 1, Fault::Delay(Duration::from_secs(600)));
    let first = world.reconciler();
    let run = first.handle().start(&day(), &Text::from("test")).await.unwrap().run;
    eventually("the second page is asked for", || async { events_asked(&world).len() == 2 }).await;
    first.drain().await;
    let changes = AccountChanges { workspace: Some("renamed".into()), ..AccountChanges::default() };
    let rename = Command::Update { account_id, changes, reason: Text::default() };
    world.engine.handle().keys(rename, "", &Text::from("test"), None).await.unwrap();
    let second = world.reconciler();
    let outcome = over(&second.handle(), run.id).await;
    second.drain().await;
    assert_eq!(outcome.run.state, RunState::Completed);
    assert_eq!(outcome.summary.unwrap().report.totals.events.events, 2, "none is lost, none counts twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_fell_silent_loses_the_work_and_another_one_takes_it_up() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.later();
    let store = world.store.reconcile().unwrap();
    let silent = Uuid::from_u128(1);
    assert!(store.hold("reconcile", silent, 30_000_000).await.unwrap());
    let reconciler = world.reconciler();
    let run = reconciler.handle().start(&day(), &Text::from("test")).await.unwrap().run;
    // Whoever looks for work meanwhile finds it taken.
    for _ in 0..3 {
        assert!(
            !store.hold("reconcile", Uuid::from_u128(2), 1).await.unwrap(),
            "the lease is the silent one's"
        );
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(events_asked(&world).len(), 0);
    world.clock.set(START + 3 * DAY + HOUR);
    let outcome = over(&reconciler.handle(), run.id).await;
    assert_eq!((outcome.run.state, events_asked(&world).len()), (RunState::Completed, 1));
    reconciler.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_reconcilers_on_one_database_one_works_and_both_can_watch() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.later();
    let (one, other) = (world.reconciler(), world.reconciler());
    let mut ids = Vec::new();
    for handle in [one.handle(), other.handle(), one.handle(), other.handle()] {
        ids.push(handle.start(&day(), &Text::from("test")).await.unwrap().run.id);
    }
    for id in ids {
        let (a, b) = (one.handle(), other.handle());
        let (here, there) = tokio::join!(over(&a, id), over(&b, id));
        assert_eq!((here.run.state, &there.run), (RunState::Completed, &here.run));
    }
    assert_eq!(events_asked(&world).len(), 4, "each run asked once");
    one.drain().await;
    other.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_call_answers_the_run_it_began_and_another_content_is_refused() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.later();
    let reconciler = world.reconciler();
    let handle = reconciler.handle();
    let asked = Start { request_id: "morning".to_owned(), end: None, ..day() };
    let first = handle.start(&asked, &Text::from("test")).await.unwrap();
    over(&handle, first.run.id).await;
    world.clock.set(START + 4 * DAY);
    let again = handle.start(&asked, &Text::from("test")).await.unwrap();
    assert_eq!((again.run.id, again.replayed, first.replayed), (first.run.id, true, false));
    let other = Start { apply_costs: true, ..asked };
    let refused = handle.start(&other, &Text::from("test")).await;
    assert!(
        matches!(
            &refused,
            Err(Error::Engine(EngineError::Rejected(Rejection::RequestIdReused {
                field: "apply_costs",
                ..
            })))
        ),
        "{refused:?}"
    );
    assert_eq!(handle.list(Page { before: None, limit: 10 }).await.unwrap().len(), 1);
    reconciler.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_run_is_refused_before_it_is_one() {
    let world = World::new().await;
    world.later();
    let reconciler = world.reconciler();
    let handle = reconciler.handle();
    let at = |micros: i64| Some(Micros(micros));
    let refused = [
        Start { end: at(START), ..day() },
        Start { end: at(START - 1), ..day() },
        Start { end: at(START + 30 * DAY), ..day() },
        Start { start: at(START - 367 * DAY), end: at(START), ..Start::default() },
        Start { start: None, ..day() },
        Start { user_ids: vec![0], ..day() },
        Start { account_ids: vec![1; 1_001], ..day() },
    ];
    for start in refused {
        let answer = handle.start(&start, &Text::from("test")).await;
        assert!(
            matches!(&answer, Err(Error::Engine(EngineError::Rejected(Rejection::InvalidField(_))))),
            "{start:?}: {answer:?}"
        );
    }
    let unknown = handle.start(&Start { account_ids: vec![5], ..day() }, &Text::from("test")).await;
    assert!(matches!(unknown, Err(Error::Engine(EngineError::Rejected(Rejection::AccountNotFound(5))))));
    assert!(matches!(handle.get(99).await, Err(Error::NotFound(99))));
    assert!(matches!(handle.watch(99).next().await, Err(Error::NotFound(99))));
    reconciler.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_accounts_a_run_judges_what_needs_no_bill() {
    let world = World::new().await;
    world.credit(7, 100).await;
    world.later();
    let outcome = world.reconcile(true).await;
    assert_eq!((outcome.run.state, outcome.rules()), (RunState::Completed, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_begins_by_itself_once_a_day_that_is_over_is_billed_and_once_however_many_replicas() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.credit(7, 1_000).await;
    world.sound("t", 7, (1, "a", "w")).await;
    world.clock.set(START + DAY + 20 * 60 * 1_000_000);
    let options = || Options { reconcile_every: Some(Duration::from_secs(24 * 3_600)), ..Options::default() };
    let (one, other) = (world.reconciler_with(options()), world.reconciler_with(options()));
    let handle = one.handle();
    let newest = async || handle.list(Page { before: None, limit: 10 }).await.unwrap();
    eventually("the day before is reconciled", async || newest().await.iter().any(|run| run.end.0 == START))
        .await;
    assert!(newest().await.iter().all(|run| run.end.0 <= START), "the lag of the day itself is not over");
    world.clock.set(START + DAY + 31 * 60 * 1_000_000);
    eventually("the day is reconciled", async || {
        newest().await.iter().any(|run| run.end.0 == START + DAY && run.state == RunState::Completed)
    })
    .await;
    let runs = newest().await;
    let of_the_day: Vec<_> = runs.iter().filter(|run| run.end.0 == START + DAY).collect();
    assert_eq!(of_the_day.len(), 1);
    assert_eq!((of_the_day[0].start.0, &*of_the_day[0].actor), (START, "schedule"));
    assert_eq!(world.billed_cost("t").await, Some(20_000_000));
    // What a stop of all replicas left out is made up for.
    world.clock.set(START + 4 * DAY + HOUR);
    eventually("the days left out are in one run", async || {
        newest().await.iter().any(|run| (run.start.0, run.end.0) == (START + DAY, START + 4 * DAY))
    })
    .await;
    one.drain().await;
    other.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balances_are_refreshed_without_a_run() {
    let world = World::new().await;
    let account = world.account("a", "w").await;
    let options = Options { balance_every: Some(Duration::from_secs(600)), ..Options::default() };
    let reconciler = world.reconciler_with(options);
    eventually("the balance is heard", async || {
        let record = world.engine.handle().account(account).await.unwrap().unwrap();
        record.workspace.balance_nano_usd == Some(50_000_000_000)
    })
    .await;
    assert_eq!(events_asked(&world).len(), 0);
    reconciler.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scheduled_runs_shorter_than_a_day_judge_each_day_once_where_it_ends() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.credit(8, 1_000).await;
    // All that is consumed on the day goes back: at noon of the first of February in Shanghai.
    world.started("refunded", 8, 500, (4, "a")).await;
    world.failed("refunded", 8).await;
    let settings = scrip::reconcile::Settings {
        timezone: "Asia/Shanghai".to_owned(),
        ..scrip::reconcile::Settings::default()
    };
    let options = Options {
        reconcile_every: Some(Duration::from_secs(6 * 3_600)),
        settings: settings.clone(),
        ..Options::default()
    };
    let reconciler = world.reconciler_with(options);
    let handle = reconciler.handle();
    let mut judged = Vec::new();
    for hours in [6, 12, 18, 24, 30, 36, 42] {
        let end = START + hours * HOUR;
        world.clock.set(end + 31 * 60 * 1_000_000);
        eventually("the period is reconciled", async || {
            let runs = handle.list(Page { before: None, limit: 1 }).await.unwrap();
            runs[..].first().is_some_and(|run| run.end.0 == end && run.state == RunState::Completed)
        })
        .await;
        let newest = handle.list(Page { before: None, limit: 1 }).await.unwrap();
        let outcome = over(&handle, newest[0].id).await;
        judged.extend(outcome.rules().into_iter().filter(|rule| *rule == "A5").map(|_| hours));
    }
    assert_eq!(judged, [18], "midnight in Shanghai is at 16 hours UTC");
    reconciler.drain().await;
    // Whoever asks for a part of the day is told of it.
    let options = Options { settings, ..Options::default() };
    let reconciler = world.reconciler_with(options);
    let part = Start { end: Some(Micros(START + 6 * HOUR)), ..day() };
    let outcome = crate::world::reconcile(&reconciler.handle(), part).await;
    reconciler.drain().await;
    assert_eq!(outcome.rules(), ["A5"]);
}
