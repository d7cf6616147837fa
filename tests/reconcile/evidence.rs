//! What a run judges of all that was ever fetched: what its own fetch saw, each event once, and nothing less.

use std::time::Duration;

use scrip::fal::fake::{Event, Fault, Route};
use scrip::ledger::{Micros, Text};
use scrip::reconcile::{Options, RunState, Start, Works};

use crate::world::{
    HOUR, MODEL, Outcome, SECOND, START, World, day, events_asked, eventually, over, reconcile,
};

/// A task that its runner reported at 0.02 USD, and that fal billed so.
async fn one_task() -> World {
    let world = World::new().await;
    world.account("a", "w").await;
    world.credit(7, 1_000).await;
    world.sound("t", 7, (1, "a", "w")).await;
    world.later();
    world
}

/// Billed events of the period and their cost.
fn official(outcome: &Outcome) -> (u64, i128) {
    let totals = outcome.summary.as_ref().expect("a summary").report.totals;
    (totals.events.events, totals.official_cost_nano_usd)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_fal_corrects_counts_once_and_as_it_is_now() {
    let world = one_task().await;
    assert_eq!(official(&world.reconcile(true).await), (1, 20_000_000));
    world.fal.world().workspace("w").unwrap().correct("req-t", "0.021");
    let corrected = world.reconcile(true).await;
    assert_eq!((official(&corrected), corrected.rules()), ((1, 21_000_000), vec!["B1"]));
    assert_eq!(world.billed_cost("t").await, Some(21_000_000));
    world.fal.world().workspace("w").unwrap().correct("req-t", "0.02");
    let taken_back = world.reconcile(true).await;
    assert_eq!((official(&taken_back), taken_back.rules()), ((1, 20_000_000), vec![]));
    assert_eq!(world.billed_cost("t").await, Some(20_000_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_say_the_same_in_one_microsecond_all_count_though_a_crash_comes_between_them() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.credit(7, 1_000).await;
    world.started("t", 7, 100, (1, "a")).await;
    world.completed("t", 7, Some(60_000_000)).await;
    for _ in 0..3 {
        world.bill("w", "t", 1, "0.02");
    }
    world.later();
    world.fal.world().page = Some(1);
    world.fal.world().plan(Route::Events, 1, Fault::Delay(Duration::ZERO));
    world.fal.world().plan(Route::Events, 1, Fault::Delay(Duration::from_secs(600)));
    let first = world.reconciler();
    let run = first.handle().start(&day(), &Text::from("test")).await.unwrap().run;
    eventually("the second page is asked for", || async { events_asked(&world).len() == 2 }).await;
    first.drain().await;
    let second = world.reconciler();
    let outcome = over(&second.handle(), run.id).await;
    second.drain().await;
    assert_eq!((outcome.run.state, outcome.rules()), (RunState::Completed, vec![]));
    assert_eq!(official(&outcome), (3, 60_000_000));
    // And so they do for whoever asks again.
    world.fal.world().page = None;
    let again = world.reconcile(true).await;
    assert_eq!((official(&again), again.rules()), ((3, 60_000_000), vec![]));
    assert_eq!(world.billed_cost("t").await, Some(60_000_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_fetch_fails_does_not_judge_what_an_earlier_one_saw_and_the_next_one_has_it_all() {
    let world = one_task().await;
    world.event("w", Event::new("req-nobodys", MODEL, START + 2 * HOUR).price("0.3"));
    let whole = world.reconcile(false).await;
    assert_eq!((official(&whole), whole.rules()), ((2, 320_000_000), vec!["A1", "A3"]));
    world.fal.world().plan(Route::Events, 2, Fault::Error(500, "server_error"));
    let partial = world.reconcile(true).await;
    assert_eq!((partial.run.state, partial.rules()), (RunState::Partial, vec![]));
    assert_eq!(
        (partial.summary.unwrap().report.totals.events.events, world.billed_cost("t").await),
        (0, None)
    );
    let again = world.reconcile(false).await;
    assert_eq!((again.run.state, &again.findings), (RunState::Completed, &whole.findings));
    assert_eq!(official(&again), official(&whole));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_others_went_on_beside_asks_anew_and_judges_no_mixture() {
    let world = one_task().await;
    world.event("w", Event::new("req-nobodys", MODEL, START + 2 * HOUR).price("0.3"));
    world.fal.world().page = Some(1);
    world.fal.world().plan(Route::Events, 1, Fault::Delay(Duration::ZERO));
    world.fal.world().plan(Route::Events, 1, Fault::Delay(Duration::from_secs(600)));
    let first = world.reconciler();
    let left = first.handle().start(&day(), &Text::from("test")).await.unwrap().run.id;
    eventually("the second page is asked for", || async { events_asked(&world).len() == 2 }).await;
    first.drain().await;
    // fal corrects what the run has seen; another run sees that.
    world.fal.world().workspace("w").unwrap().correct("req-t", "0.021");
    let command = world.reconciler_with(Options { works: Works::AtItsOwn, ..Options::default() });
    let other = reconcile(&command.handle(), day()).await;
    command.drain().await;
    assert_eq!(official(&other), (2, 321_000_000));
    let server = world.reconciler();
    let outcome = over(&server.handle(), left).await;
    server.drain().await;
    assert_eq!(outcome.run.state, RunState::Completed);
    assert_eq!((official(&outcome), &outcome.findings), ((2, 321_000_000), &other.findings));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_low_balance_is_that_of_the_evidence_whatever_is_heard_before_it_is_judged() {
    let world = one_task().await;
    world.fal.world().workspace("w").unwrap().set_balance("0.5");
    // The run has heard of the balance, and is left before it judges.
    world.fal.world().plan(Route::Events, 1, Fault::Delay(Duration::from_secs(600)));
    let first = world.reconciler();
    let run = first.handle().start(&day(), &Text::from("test")).await.unwrap().run;
    eventually("the events are asked for", || async { events_asked(&world).len() == 1 }).await;
    first.drain().await;
    world.clock.tick(HOUR);
    world.fal.world().workspace("w").unwrap().set_balance("0.25");
    let balances = Options {
        balance_every: Some(Duration::from_secs(600)),
        works: Works::AtItsOwn,
        ..Options::default()
    };
    let refresher = world.reconciler_with(balances);
    eventually("a newer balance is heard", async || {
        let record = world.engine.handle().account(1).await.unwrap().unwrap();
        record.workspace.balance_nano_usd == Some(250_000_000)
    })
    .await;
    refresher.drain().await;
    let second = world.reconciler();
    let outcome = over(&second.handle(), run.id).await;
    second.drain().await;
    let [low] = &outcome.findings[..] else { panic!("{:?}", outcome.findings) };
    assert_eq!((low.rule.as_str(), low.evidence.number("balance_nano_usd")), ("A8", Some(500_000_000)));
    let evidence_time = outcome.run.evidence_time.unwrap().0;
    assert_eq!(low.evidence.number("balance_time"), Some(evidence_time.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balance_that_this_run_did_not_hear_is_of_the_time_when_it_was_last_told() {
    let world = one_task().await;
    world.fal.world().workspace("w").unwrap().set_balance("0.5");
    world.reconcile(false).await;
    let heard = world.engine.handle().now().await.unwrap();
    world.clock.tick(300 * 24 * HOUR);
    world.fal.world().plan(Route::Account, 2, Fault::Error(500, "server_error"));
    let outcome = world.reconcile(false).await;
    let low = outcome.findings.iter().find(|finding| finding.rule.as_str() == "A8").expect("A8");
    assert_eq!(low.evidence.number("balance_nano_usd"), Some(500_000_000));
    let time = low.evidence.number("balance_time").unwrap();
    assert!((0..i128::from(HOUR)).contains(&(i128::from(heard.0) - time)), "{time}, not now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_day_that_is_not_over_usage_and_events_are_compared_as_far_as_the_lag_allows() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.credit(7, 1_000).await;
    world.sound("t", 7, (1, "a", "w")).await;
    // fal's usage has three times what its events have, and an hour later a request that both have not got yet.
    let usage = Event::new("usage", MODEL, START + HOUR).price("0.04");
    let unexplained = world.fal.world().workspace("w").unwrap().clone().unexplained(usage);
    world.fal.world().add(unexplained);
    world.clock.set(START + 3 * HOUR);
    let so_far = Start { end: Some(Micros(START + 3 * HOUR)), ..day() };
    let reconciler = world.reconciler();
    let outcome = reconcile(&reconciler.handle(), so_far).await;
    reconciler.drain().await;
    assert_eq!(outcome.rules(), ["B7"]);
    let found = &outcome.findings[0].evidence;
    assert_eq!(found.number("usage_nano_usd"), Some(60_000_000));
    let evidence_time = outcome.run.evidence_time.unwrap().0;
    let asked = i128::from(evidence_time - 30 * 60 * SECOND);
    assert_eq!(found.number("end_time"), Some(asked), "now less the lag");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_usage_without_a_cost_is_kept_as_it_came_and_a_finding_says_so() {
    let world = one_task().await;
    let body = r#"{"summary":[{"endpoint_id":"fal-ai/flux/dev","unit":"image","quantity":1,"unit_price":0.02,"cost":null,"currency":"USD"}],"next_cursor":null,"has_more":false}"#;
    world.fal.world().plan(Route::Usage, 1, Fault::Body(body.to_owned()));
    let outcome = world.reconcile(false).await;
    assert_eq!(outcome.run.state, RunState::Partial);
    assert_eq!(outcome.rules(), ["B7"]);
    let fetches = world.store.reconcile().unwrap().fetches(outcome.run.id).await.unwrap();
    let usage = fetches.iter().find(|row| &*row.source == "usage").unwrap();
    assert_eq!(usage.garbage, body.as_bytes());
}
