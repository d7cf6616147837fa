//! What fal can do wrong: the account is named, the others are audited all the same, and nothing is proved by what is
//! missing.

use std::time::Duration;

use scrip::fal::fake::{Cursors, Event, Fault, Route};
use scrip::reconcile::{Reason, RunState, Start};

use crate::world::{HOUR, Outcome, START, World, day};

/// Two workspaces with a task each: `bad` is asked first, so that planned faults meet it alone.
async fn two() -> (World, i64) {
    let world = World::new().await;
    let bad = world.account("a", "bad").await;
    world.account("b", "good").await;
    world.credit(7, 1_000).await;
    world.sound("bad", 7, (1, "a", "bad")).await;
    world.sound("good", 7, (2, "b", "good")).await;
    world.later();
    (world, bad)
}

async fn with_fault(times: u32, fault: Fault) -> (World, Outcome, i64) {
    let (world, bad) = two().await;
    world.fal.world().plan(Route::Events, times, fault);
    let outcome = world.reconcile(true).await;
    (world, outcome, bad)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_leaves_the_run_partial_and_the_other_accounts_audited() {
    let denied = |status| (Reason::UpstreamDenied, status);
    let away = |status| (Reason::UpstreamUnavailable, status);
    let faults = [
        (1, Fault::Detail(401, "No user found for Key ID and Secret".to_owned()), denied(401)),
        (1, Fault::Error(403, "authorization_error"), denied(403)),
        (2, Fault::RetryAfter(429, "0".to_owned()), away(429)),
        (2, Fault::Error(500, "server_error"), away(500)),
        (2, Fault::Stalled, away(0)),
        (2, Fault::Truncated, away(0)),
        (2, Fault::HangUp, away(0)),
        (1, Fault::Oversized(2 << 20, true), away(0)),
        (1, Fault::Oversized(2 << 20, false), away(0)),
        (1, Fault::CutJson, away(0)),
        (1, Fault::Body("<html>".to_owned()), away(0)),
        (1, Fault::Redirect("http://127.0.0.1:1/".to_owned()), away(302)),
    ];
    for (times, fault, (reason, status)) in faults {
        let said = format!("{fault:?}");
        let (world, outcome, bad) = with_fault(times, fault.clone()).await;
        assert_eq!(outcome.run.state, RunState::Partial, "{said}");
        assert_eq!(outcome.failures(), [(bad, "billing_events", reason, status)], "{said}");
        let unreadable = matches!(fault, Fault::CutJson | Fault::Body(_));
        let rules: &[&str] = if unreadable { &["B7"] } else { &[] };
        assert_eq!(outcome.rules(), rules, "{said}: what is missing proves nothing");
        assert_eq!(world.billed_cost("bad").await, None, "{said}");
        assert_eq!(world.billed_cost("good").await, Some(20_000_000), "{said}");
        let totals = outcome.summary.expect("a summary").report.totals;
        assert_eq!((totals.sums.tasks, totals.unjudged_tasks), (2, 1), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_passes_within_the_retries_leaves_no_trace() {
    for fault in [Fault::RetryAfter(429, "0".to_owned()), Fault::Error(503, "server_error"), Fault::Truncated]
    {
        let (world, outcome, _) = with_fault(1, fault).await;
        assert_eq!((outcome.run.state, outcome.failures()), (RunState::Completed, vec![]));
        assert_eq!(outcome.rules(), [""; 0]);
        assert_eq!(world.billed_cost("bad").await, Some(20_000_000));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_page_is_kept_as_it_came() {
    let (world, outcome, bad) = with_fault(1, Fault::Body("{\"billing_events\": oops".to_owned())).await;
    let store = world.store.reconcile().expect("a store of runs");
    let rows = store.fetches(outcome.run.id).await.expect("fetches");
    let row = rows.iter().find(|row| row.account_id == bad && &*row.source == "billing_events").unwrap();
    assert_eq!((&*row.state, row.garbage.as_slice()), ("failed", &b"{\"billing_events\": oops"[..]));
    assert!(row.error.contains("cannot be read") && !row.error.contains("oops"), "{}", row.error);
    let [finding] = &outcome.findings[..] else { panic!("{:?}", outcome.findings) };
    assert_eq!((finding.rule.as_str(), finding.workspace.as_deref()), ("B7", Some("bad")));
    assert_eq!(finding.evidence.to_json(), r#"{"unreadable":["billing_events"]}"#);
    assert_eq!((outcome.run.state, world.billed_cost("bad").await), (RunState::Partial, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_run_in_a_circle_end_the_fetch_of_the_account_and_what_came_is_kept() {
    let (world, bad) = two().await;
    for hour in 3..6 {
        world.bill("bad", &format!("more-{hour}"), hour, "0.01");
    }
    {
        let mut fake = world.fal.world();
        (fake.page, fake.cursors) = (Some(1), Cursors::Circle);
    }
    let outcome = world.reconcile(false).await;
    assert_eq!(outcome.run.state, RunState::Partial);
    assert!(outcome.failures().contains(&(bad, "billing_events", Reason::UpstreamUnavailable, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_and_balance_that_cannot_be_asked_are_told_as_such() {
    let (world, bad) = two().await;
    world.fal.world().plan(Route::Usage, 1, Fault::Error(403, "authorization_error"));
    world.fal.world().plan(Route::Account, 2, Fault::Error(500, "server_error"));
    let outcome = world.reconcile(true).await;
    let expected =
        [(bad, "balance", Reason::UpstreamUnavailable, 500), (bad, "usage", Reason::UpstreamDenied, 403)];
    let mut failures = outcome.failures();
    failures.sort_by_key(|failure| failure.1);
    assert_eq!((outcome.run.state, failures), (RunState::Partial, expected.to_vec()));
    // The events are all there: what they say holds.
    assert_eq!(world.billed_cost("bad").await, Some(20_000_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_the_billing_scope_is_named_as_denied_whichever_status_fal_gives() {
    for status in [None, Some(401)] {
        let world = World::new().await;
        let account = world.stored("plain", "w", None).await;
        let plain = scrip::fal::fake::Workspace::new("w", "9").plain_key("key-plain:secret");
        world.fal.world().add(plain);
        world.fal.world().scope_status = status;
        world.later();
        let outcome = world.reconcile(true).await;
        let told = outcome.failures();
        let denied = |source| (account, source, Reason::UpstreamDenied, status.unwrap_or(403));
        assert_eq!(told.len(), 3, "at most three an account: {told:?}");
        assert!(told.contains(&denied("billing_events")) && told.contains(&denied("balance")), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_without_a_cost_is_kept_and_not_judged() {
    let time = "2026-02-01T01:01:00+00:00";
    let body = format!(
        r#"{{"billing_events":[{{"request_id":"req-bad","endpoint_id":"fal-ai/flux/dev","timestamp":"{time}"}}],"next_cursor":null,"has_more":false}}"#
    );
    let (world, outcome, bad) = with_fault(1, Fault::Body(body)).await;
    assert_eq!(outcome.run.state, RunState::Partial);
    assert_eq!(outcome.failures(), [(bad, "billing_events", Reason::UpstreamUnavailable, 0)]);
    let message = &outcome.summary.as_ref().unwrap().failures[0].message;
    assert!(message.contains("no cost for 1 event"), "{message}");
    assert_eq!((outcome.rules(), world.billed_cost("bad").await), (vec![], None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_event_is_found_by_the_run_that_comes_after_it() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.credit(7, 1_000).await;
    world.sound("on-time", 7, (1, "a", "w")).await;
    world.started("late", 7, 10, (2, "a")).await;
    world.completed("late", 7, Some(20_000_000)).await;
    let at = START + 2 * HOUR;
    world.event("w", Event::new("req-late", crate::world::MODEL, at).price("0.02").late(1));
    world.clock.set(at + HOUR / 4);
    let reconciler = world.reconciler();
    let so_far = Start { end: None, apply_costs: true, ..day() };
    let first = crate::world::reconcile(&reconciler.handle(), so_far).await;
    reconciler.drain().await;
    assert_eq!((first.run.state, first.rules()), (RunState::Completed, vec![]));
    assert_eq!(world.billed_cost("late").await, None);
    world.later();
    let second = world.reconcile(true).await;
    assert_eq!((second.rules(), second.run.cost_changes, second.run.costs_applied), (vec![], 1, 1));
    assert_eq!(world.billed_cost("late").await, Some(20_000_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_is_waited_for() {
    let (_, outcome, _) = with_fault(1, Fault::Delay(Duration::from_millis(300))).await;
    assert_eq!(outcome.run.state, RunState::Completed);
}
