//! Runs that nobody waits for any more, and how far the others are.

use std::time::Duration;

use scrip::fal::fake::{Fault, Route};
use scrip::ledger::Text;
use scrip::reconcile::{COMMAND, Options, Phase, RunState, Start, Works};

use crate::world::{DAY, HOUR, World, day, events_asked, eventually, over};

/// A task that fal billed, and a run of that day which the command that began it left.
async fn left() -> (World, i64) {
    let world = World::new().await;
    world.account("a", "w").await;
    world.credit(7, 1_000).await;
    world.sound("t", 7, (1, "a", "w")).await;
    world.later();
    let idle = world.reconciler_with(Options { works: Works::AtItsOwn, ..Options::default() });
    let handle = idle.handle();
    idle.drain().await;
    let asked = Start { apply_costs: true, ..day() };
    let id = handle.start(&asked, &Text::from(COMMAND)).await.unwrap().run.id;
    (world, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_command_left_is_taken_up_for_a_day_and_then_ended_without_costs() {
    let (world, id) = left().await;
    world.clock.tick(DAY - HOUR);
    let server = world.reconciler();
    assert_eq!(over(&server.handle(), id).await.run.state, RunState::Completed);
    server.drain().await;
    assert_eq!(world.billed_cost("t").await, Some(20_000_000));

    let (world, id) = left().await;
    world.clock.tick(DAY + HOUR);
    let server = world.reconciler();
    let run = over(&server.handle(), id).await.run;
    server.drain().await;
    let why = "the command that began it left it over a day ago";
    assert_eq!((run.state, &*run.error, run.costs_applied), (RunState::Failed, why, 0));
    assert_eq!(world.billed_cost("t").await, None);
    assert_eq!(events_asked(&world).len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_abandoned_is_over_whoever_works_at_it() {
    let (world, id) = left().await;
    world.fal.world().plan(Route::Events, 1, Fault::Delay(Duration::from_secs(600)));
    let server = world.reconciler();
    let handle = server.handle();
    eventually("the events are asked for", || async { events_asked(&world).len() == 1 }).await;
    let run = handle.abandon(id, "nobody waits").await.unwrap();
    assert_eq!((run.state, &*run.error), (RunState::Failed, "nobody waits"));
    assert_eq!(handle.abandon(id, "again").await.unwrap(), run, "it is over");
    // Who worked at it hears of it, and goes on with others.
    let next = handle.start(&day(), &Text::from("test")).await.unwrap().run.id;
    assert_eq!(over(&handle, next).await.run.state, RunState::Completed);
    server.drain().await;
    assert_eq!(world.billed_cost("t").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_end_a_run_that_waits_for_its_turn_takes_nothing_from_the_one_at_work() {
    let (world, at_work) = left().await;
    world.fal.world().plan(Route::Events, 1, Fault::Delay(Duration::from_millis(300)));
    let server = world.reconciler();
    let handle = server.handle();
    eventually("the events are asked for", || async { events_asked(&world).len() == 1 }).await;
    let before = handle.get(at_work).await.unwrap();
    let waiting = handle.start(&day(), &Text::from(COMMAND)).await.unwrap().run.id;
    let ended = handle.abandon(waiting, "nobody waits").await.unwrap();
    assert_eq!((ended.state, ended.attempt), (RunState::Failed, 0));
    let run = over(&handle, at_work).await.run;
    assert_eq!((run.state, run.attempt, run.tries), (RunState::Completed, before.attempt, before.tries));
    assert_eq!(events_asked(&world).len(), 1);
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fal_has_answered_is_counted_and_never_goes_back() {
    let world = World::new().await;
    world.credit(7, 1_000).await;
    for (name, hour) in [("a", 1), ("b", 2), ("c", 3)] {
        // Two of them are one workspace, which only fal knows.
        let workspace = if name == "c" { "a" } else { name };
        world.account(name, workspace).await;
        world.sound(name, 7, (hour, name, workspace)).await;
    }
    world.later();
    world.fal.world().page = Some(1);
    world.fal.world().plan(Route::Usage, 1, Fault::Error(403, "authorization_error"));
    let reconciler = world.reconciler();
    let handle = reconciler.handle();
    let id = handle.start(&day(), &Text::from("test")).await.unwrap().run.id;
    let mut watch = handle.watch(id);
    let mut seen = Vec::new();
    while let Some(glimpse) = watch.next().await.unwrap() {
        if glimpse.progress.phase == Phase::Fetching {
            seen.push(glimpse.progress.done);
        }
    }
    assert!(seen.is_sorted(), "{seen:?}");
    let fetches = world.store.reconcile().unwrap().fetches(id).await.unwrap();
    let pages: i64 = fetches.iter().map(|row| row.pages).sum();
    assert!(pages >= 3, "{fetches:?}");
    reconciler.drain().await;
}
