//! The engine over a store whose every answer is scripted, on paused time: what callers hear when commits conflict, are
//! lost or never answered, when the queue is full, when they go away, and when the service stops.

#![allow(clippy::unwrap_used)]

mod support;

// What `commands.rs` is written against.
use scrip::ledger;
#[allow(dead_code, unreachable_pub, reason = "other test crates use the rest")]
#[path = "support/commands.rs"]
mod commands;

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use commands::{ACTOR, AsCommand, USER, authorize, charge, credit, of_user, refund_all, text};
use scrip::clock::System;
use scrip::engine::{Answer, Engine, EngineError, Handle, Options};
use scrip::ledger::command::{Authorize, Charge, UNRESOLVED};
use scrip::ledger::{Micros, Purse, Rejection};
use scrip::store::Run;
use support::model::{Fault, Gate, Model, TestClock, Trouble};
use tokio::task::JoinSet;
use tokio::time::Instant;

const FUNDS: i64 = 1_000;

struct Service {
    model: Model,
    clock: Arc<TestClock>,
    engine: Engine,
    handle: Handle,
}

/// An engine over a model in which one user has 1,000 points. What that took is not part of any test.
async fn service(options: Options) -> Service {
    let clock = TestClock::at(Micros(1_700_000_000_000_000));
    let model = Model::new(clock.clone());
    let engine = Engine::start(&model, System::ids(), options);
    let handle = engine.handle();
    submit(&handle, "fund", credit(Purse::Points, FUNDS)).await.unwrap();
    Service { model, clock, engine, handle }
}

async fn submit(handle: &Handle, request_id: &str, command: impl AsCommand) -> Result<Answer, EngineError> {
    handle.submit(command.command(), request_id, &text(ACTOR), None).await
}

fn spawn(calls: &mut JoinSet<Result<Answer, EngineError>>, handle: &Handle, command: impl AsCommand) {
    let (handle, command) = (handle.clone(), command.command());
    calls.spawn(async move { submit(&handle, "", command).await });
}

async fn balance(handle: &Handle) -> i64 {
    handle.balance(USER).await.unwrap().unwrap().balance.total()
}

#[tokio::test(start_paused = true)]
async fn a_lone_command_waits_for_no_timer() {
    let service = service(Options::default()).await;
    let before = Instant::now();
    submit(&service.handle, "", charge("job", 10)).await.unwrap();
    assert_eq!(Instant::now(), before, "paused time only moves when something waits for it");
}

#[tokio::test(start_paused = true)]
async fn commands_that_come_while_one_batch_commits_share_the_next() {
    let service = service(Options::default()).await;
    let batches = service.model.faults().seen().len();
    let gate = Gate::closed();
    service.model.faults().script([Fault::as_usual().held_by(&gate)]);
    let mut calls = JoinSet::new();
    spawn(&mut calls, &service.handle, charge("first", 1));
    gate.arrivals(1).await;
    for n in 0..100 {
        spawn(&mut calls, &service.handle, charge(&format!("job-{n}"), 1));
    }
    tokio::task::yield_now().await;
    gate.open();
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    assert_eq!(service.model.faults().seen().len() - batches, 2);
    assert_eq!(balance(&service.handle).await, FUNDS - 101);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_decided_again_and_the_caller_does_not_notice() {
    let service = service(Options::default()).await;
    let conflict = || Fault::not_committed(Trouble::Conflict);
    service.model.faults().script([conflict(), conflict(), Fault::not_committed(Trouble::Lost)]);
    let answer = submit(&service.handle, "", charge("job", 10)).await.unwrap();
    assert!(!answer.replayed);
    assert_eq!(balance(&service.handle).await, FUNDS - 10);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_without_end_is_told_and_nothing_was_done() {
    let options = Options { conflict_retries: 3, ..Options::default() };
    let service = service(options).await;
    let batches = service.model.faults().seen().len();
    service.model.faults().always(Fault::not_committed(Trouble::Conflict));
    let refused = submit(&service.handle, "", charge("job", 10)).await;
    assert_eq!(refused.err(), Some(EngineError::StoreUnavailable));
    assert_eq!(service.model.faults().seen().len() - batches, 4, "once, and three times again");
    service.model.faults().clear();
    assert!(!submit(&service.handle, "", charge("job", 10)).await.unwrap().replayed);
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_was_lost_is_found_and_answered_as_decided() {
    let service = service(Options::default()).await;
    service.model.faults().script([Fault::unknown_committed()]);
    let answer = submit(&service.handle, "", charge("job", 10)).await.unwrap();
    assert!(!answer.replayed, "the caller sent it once");
    assert_eq!(answer.entries.len(), 1);
    assert_eq!(balance(&service.handle).await, FUNDS - 10);
    let seen = service.model.faults().seen();
    let [first, second] = &seen[seen.len() - 2..] else { panic!("two runs") };
    assert_eq!((first.run, second.run), (Run::First, Run::Resolving));
    assert_eq!(first.batch_id, second.batch_id);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_was_lost_is_run_again_once() {
    let service = service(Options::default()).await;
    // Lost twice, and in between the database does not even answer the question.
    let unreached = Fault::unreached(Trouble::Unavailable);
    service.model.faults().script([Fault::unknown_lost(), unreached, Fault::unknown_lost()]);
    let answer = submit(&service.handle, "", charge("job", 10)).await.unwrap();
    assert!(!answer.replayed);
    assert_eq!(balance(&service.handle).await, FUNDS - 10);
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_anew_after_a_lost_commit_is_what_is_answered() {
    let service = service(Options::default()).await;
    // The first run would have charged. Before the second, another replica spends the money; its commit is lost too,
    // but done: the answer is that of the second run.
    let gate = Gate::closed();
    service.model.faults().script([Fault::unknown_lost(), Fault::unknown_committed().held_by(&gate)]);
    let mut calls = JoinSet::new();
    let first = service.handle.clone();
    calls.spawn(async move { submit(&first, "key", charge("job", FUNDS)).await });
    gate.arrivals(1).await;
    let other = Engine::start(&service.model, System::ids(), Options::default());
    submit(&other.handle(), "", charge("other", 1)).await.unwrap();
    gate.open();
    let answer = calls.join_next().await.unwrap().unwrap();
    let insufficient = Rejection::InsufficientBalance { required: FUNDS, available: FUNDS - 1, held: 0 };
    assert_eq!(answer.err(), Some(EngineError::Rejected(insufficient)));
    assert_eq!(balance(&service.handle).await, FUNDS - 1);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_stays_unknown_is_told_and_a_retry_tells_which() {
    for (fault, replayed) in [(Fault::unknown_committed(), true), (Fault::unknown_lost(), false)] {
        let service = service(Options::default()).await;
        service.model.faults().script([fault]);
        service.model.faults().always(Fault::unreached(Trouble::Unavailable));
        let answer = submit(&service.handle, "", charge("job", 10)).await;
        assert_eq!(answer.err(), Some(EngineError::OutcomeUnknown));
        service.model.faults().clear();
        let answer = submit(&service.handle, "", charge("job", 10)).await.unwrap();
        assert_eq!(answer.replayed, replayed);
        assert_eq!(balance(&service.handle).await, FUNDS - 10);
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_store_takes_no_writes_callers_are_told_and_reads_go_on() {
    for trouble in [Trouble::Unavailable, Trouble::Full, Trouble::ReadOnly, Trouble::Damaged] {
        let service = service(Options::default()).await;
        service.model.faults().always(Fault::unreached(trouble));
        let refused = submit(&service.handle, "", charge("job", 10)).await;
        assert_eq!(refused.err(), Some(EngineError::StoreUnavailable), "{trouble:?}");
        assert_eq!(balance(&service.handle).await, FUNDS);
        service.model.faults().clear();
        submit(&service.handle, "", charge("job", 10)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_command_fails_alone() {
    let service = service(Options::default()).await;
    let gate = Gate::closed();
    let bug = || Fault::not_committed(Trouble::Bug);
    service.model.faults().script([
        Fault::as_usual().held_by(&gate),
        // The batch of three, then each alone.
        bug(),
        Fault::as_usual(),
        bug(),
        Fault::as_usual(),
    ]);
    let mut first = JoinSet::new();
    spawn(&mut first, &service.handle, charge("first", 1));
    gate.arrivals(1).await;
    let mut calls = JoinSet::new();
    for n in 0..3 {
        spawn(&mut calls, &service.handle, charge(&format!("job-{n}"), 10));
    }
    tokio::task::yield_now().await;
    gate.open();
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2);
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(EngineError::Internal))).count(), 1);
    assert_eq!(balance(&service.handle).await, FUNDS - 21);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_answers_at_once() {
    let options = Options { queue_items: 3, ..Options::default() };
    let service = service(options).await;
    let gate = Gate::closed();
    service.model.faults().script([Fault::as_usual().held_by(&gate)]);
    let mut calls = JoinSet::new();
    spawn(&mut calls, &service.handle, charge("first", 1));
    gate.arrivals(1).await;
    for n in 0..3 {
        spawn(&mut calls, &service.handle, charge(&format!("job-{n}"), 1));
    }
    tokio::task::yield_now().await;
    let refused = submit(&service.handle, "", charge("one-too-many", 1)).await;
    assert!(matches!(refused, Err(EngineError::Overloaded { .. })), "{refused:?}");
    gate.open();
    assert!(calls.join_all().await.iter().all(Result::is_ok));
}

/// Charges at a steady rate, whatever becomes of those before; how long each took, by what it heard.
async fn offer(handle: &Handle, a_second: u64, lasts: Duration) -> (Vec<Duration>, Vec<Duration>) {
    let began = Instant::now();
    let mut calls = JoinSet::new();
    let mut number = 0_u64;
    while began.elapsed() < lasts {
        while number < a_second * u64::try_from(began.elapsed().as_millis()).unwrap() / 1_000 {
            let (handle, task_id) = (handle.clone(), format!("job-{number}"));
            calls.spawn(async move {
                let due = Instant::now();
                let answer = submit(&handle, "", charge(&task_id, 0)).await;
                (answer, due.elapsed())
            });
            number += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for (answer, took) in calls.join_all().await {
        match answer {
            Ok(_) => done.push(took),
            Err(EngineError::Overloaded { retry_after }) => {
                assert!(retry_after >= Duration::from_millis(100), "{retry_after:?}");
                refused.push(took);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    (done, refused)
}

/// A store that takes 1,000 a second, and five times that offered. All on paused time: it measures no machine.
#[tokio::test(start_paused = true)]
async fn past_what_the_store_takes_nobody_waits_for_long_and_no_work_is_lost() {
    let service = service(Options { batch_items: 50, ..Options::default() }).await;
    service.model.faults().always(Fault::as_usual().after(Duration::from_millis(50)));
    let (done, refused) = offer(&service.handle, 5_000, Duration::from_secs(5)).await;
    assert!(done.len() >= 4_900, "the store had work all the time: {}", done.len());
    assert!(refused.iter().all(Duration::is_zero), "who is refused hears it at once");
    let longest = done.iter().max().unwrap();
    assert!(*longest < Duration::from_millis(1_200), "who is taken is done soon: {longest:?}");
}

/// However long one commit takes, the batch after it may fill: that is no overload.
#[tokio::test(start_paused = true)]
async fn a_commit_that_takes_long_turns_nobody_away_whom_the_next_one_takes() {
    let service = service(Options { batch_items: 50, ..Options::default() }).await;
    let gate = Gate::closed();
    service.model.faults().script([Fault::as_usual().held_by(&gate)]);
    let mut calls = JoinSet::new();
    spawn(&mut calls, &service.handle, charge("first", 1));
    gate.arrivals(1).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    for n in 0..50 {
        spawn(&mut calls, &service.handle, charge(&format!("job-{n}"), 1));
    }
    tokio::task::yield_now().await;
    let refused = submit(&service.handle, "", charge("one-too-many", 1)).await;
    assert!(matches!(refused, Err(EngineError::Overloaded { .. })), "{refused:?}");
    gate.open();
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    submit(&service.handle, "", charge("one-too-many", 1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_in_bytes_as_well() {
    let options = Options { queue_bytes: 100_000, ..Options::default() };
    let service = service(options).await;
    let gate = Gate::closed();
    service.model.faults().script([Fault::as_usual().held_by(&gate)]);
    let large = |task_id: &str| {
        let input = format!("\"{}\"", "x".repeat(60_000));
        Charge { input_params: text(&input), ..charge(task_id, 1) }
    };
    let mut calls = JoinSet::new();
    spawn(&mut calls, &service.handle, large("first"));
    gate.arrivals(1).await;
    let refused = submit(&service.handle, "", large("second")).await;
    assert!(matches!(refused, Err(EngineError::Overloaded { .. })), "{refused:?}");
    gate.open();
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    submit(&service.handle, "", large("second")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_in_the_queue_means_nothing_was_done() {
    let service = service(Options::default()).await;
    let gate = Gate::closed();
    service.model.faults().script([Fault::as_usual().held_by(&gate)]);
    let mut calls = JoinSet::new();
    spawn(&mut calls, &service.handle, charge("first", 1));
    gate.arrivals(1).await;
    let handle = service.handle.clone();
    let deadline = Instant::now() + Duration::from_secs(1);
    let late = tokio::spawn(async move {
        handle.submit(charge("job", 10).command(), "", &text(ACTOR), Some(deadline)).await
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    gate.open();
    assert_eq!(late.await.unwrap().err(), Some(EngineError::DeadlineExceeded));
    assert_eq!(service.handle.task("job").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_cancels_nothing_that_has_begun() {
    let service = service(Options::default()).await;
    let gate = Gate::closed();
    service.model.faults().script([Fault::as_usual().held_by(&gate)]);
    let mut begun = Box::pin(submit(&service.handle, "", charge("begun", 10)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(begun.as_mut().poll(&mut context), Poll::Pending));
    gate.arrivals(1).await;
    let mut queued = Box::pin(submit(&service.handle, "", charge("queued", 10)));
    assert!(matches!(queued.as_mut().poll(&mut context), Poll::Pending));
    drop((begun, queued));
    gate.open();
    submit(&service.handle, "", charge("last", 1)).await.unwrap();
    assert_eq!(service.handle.task("begun").await.unwrap().unwrap().task.money, 10);
    assert_eq!(service.handle.task("queued").await.unwrap(), None, "nobody waits for it: it need not begin");
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_what_was_accepted_and_refuses_what_comes() {
    let Service { model, engine, handle, .. } = service(Options::default()).await;
    let gate = Gate::closed();
    model.faults().script([Fault::as_usual().held_by(&gate)]);
    let mut calls = JoinSet::new();
    for n in 0..10 {
        spawn(&mut calls, &handle, charge(&format!("job-{n}"), 1));
    }
    gate.arrivals(1).await;
    let drained = tokio::spawn(engine.drain());
    tokio::task::yield_now().await;
    gate.open();
    drained.await.unwrap();
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    assert_eq!(submit(&handle, "", charge("late", 1)).await.err(), Some(EngineError::ShuttingDown));
    assert_eq!(handle.balance(USER).await.err(), Some(EngineError::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn a_hold_whose_time_has_passed_is_released_by_the_sweep() {
    let service = service(Options::default()).await;
    let hold = Authorize { ttl_micros: Some(1_000_000), ..authorize("job", 400) };
    submit(&service.handle, "", hold).await.unwrap();
    service.clock.advance(999_999);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(service.handle.balance(USER).await.unwrap().unwrap().held.total(), 400);
    service.clock.advance(1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(service.handle.balance(USER).await.unwrap().unwrap().held.total(), 0);
}

#[tokio::test(start_paused = true)]
async fn concurrent_balance_reads_share_a_statement() {
    let service = service(Options::default()).await;
    let before = service.model.faults().reads();
    let mut calls = JoinSet::new();
    for _ in 0..500 {
        let handle = service.handle.clone();
        calls.spawn(async move { balance(&handle).await });
    }
    assert!(calls.join_all().await.iter().all(|total| *total == FUNDS));
    let reads = service.model.faults().reads() - before;
    assert!(reads <= 3, "{reads} statements for 500 reads");
}

#[tokio::test(start_paused = true)]
async fn a_task_keyed_command_without_a_user_finds_its_user() {
    let service = service(Options::default()).await;
    submit(&service.handle, "", charge("job", 10)).await.unwrap();
    let refund = |task_id: &str, user_id| of_user(user_id, refund_all(task_id));
    let missing = Some(EngineError::Rejected(Rejection::TaskNotFound(text("other"))));
    assert_eq!(submit(&service.handle, "", refund("other", UNRESOLVED)).await.err(), missing);
    let missing = Some(EngineError::Rejected(Rejection::TaskNotFound(text("job"))));
    assert_eq!(submit(&service.handle, "", refund("job", USER + 1)).await.err(), missing);
    submit(&service.handle, "", refund("job", UNRESOLVED)).await.unwrap();
    assert_eq!(balance(&service.handle).await, FUNDS);
}

#[tokio::test(start_paused = true)]
async fn replays_of_one_batch_share_a_read_and_say_what_the_original_said() {
    let service = service(Options::default()).await;
    let original = submit(&service.handle, "", charge("job", 10)).await.unwrap();
    let before = service.model.faults().reads();
    let mut calls = JoinSet::new();
    for _ in 0..500 {
        spawn(&mut calls, &service.handle, charge("job", 10));
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().flatten().all(|answer| answer.replayed && answer.entries == original.entries));
    assert_eq!(answers.iter().flatten().count(), 500);
    let reads = service.model.faults().reads() - before;
    assert!(reads <= 5, "{reads} reads for 500 replays");
}

#[tokio::test(start_paused = true)]
async fn a_replay_whose_entries_cannot_be_read_is_not_called_undone() {
    let service = service(Options::default()).await;
    submit(&service.handle, "", charge("job", 10)).await.unwrap();
    service.model.faults().fail_reads(Some(Trouble::Unavailable));
    assert_eq!(submit(&service.handle, "", charge("job", 10)).await.err(), Some(EngineError::OutcomeUnknown));
}

#[tokio::test(start_paused = true)]
async fn however_much_is_listed_writes_replays_and_balances_find_the_store() {
    let service = service(Options { reads: 2, ..Options::default() }).await;
    submit(&service.handle, "", charge("job", 10)).await.unwrap();
    let gate = Gate::closed();
    service.model.faults().hold_lists(&gate);
    let mut lists = JoinSet::new();
    for _ in 0..20 {
        let handle = service.handle.clone();
        lists.spawn(async move { handle.list_users(None, 10).await.map(|users| users.len()) });
    }
    gate.arrivals(2).await;
    let reads = service.model.faults().reads();

    assert_eq!(balance(&service.handle).await, FUNDS - 10);
    assert!(submit(&service.handle, "", charge("job", 10)).await.unwrap().replayed);
    submit(&service.handle, "", of_user(UNRESOLVED, refund_all("job"))).await.unwrap();
    assert_eq!(service.model.faults().reads() - reads, 3, "no list came between");

    // Longer than a list waits for its turn.
    tokio::time::sleep(Duration::from_secs(5)).await;
    gate.open();
    let lists = lists.join_all().await;
    let refused = lists.iter().filter(|list| matches!(list, Err(EngineError::Overloaded { .. }))).count();
    assert_eq!((lists.iter().filter(|list| **list == Ok(1)).count(), refused), (2, 18));
}

#[tokio::test(start_paused = true)]
async fn a_large_batch_taken_apart_by_users_is_answered_in_place_and_decided_in_order() {
    const USERS: i64 = 5;
    const FUNDED: i64 = 30;
    let service = service(Options { lanes: 3, ..Options::default() }).await;
    for user_id in 101..101 + USERS {
        let fund = of_user(user_id, credit(Purse::Points, FUNDED));
        submit(&service.handle, "fund", fund).await.unwrap();
    }
    let item = |place: i64| {
        let command = of_user(101 + place % USERS, charge(&format!("job-{place}"), 1));
        service.handle.check(command.command(), "", &text(ACTOR))
    };
    let malformed = Rejection::field("amount", "is no number");
    for atomic in [true, false] {
        let mut items: Vec<_> = (0..400).map(item).collect();
        items[200] = Err(malformed.clone());
        let answers = service.handle.submit_batch(items, atomic, None).await.unwrap();
        assert_eq!(answers.len(), 400);
        for (place, answer) in (0_i64..).zip(answers) {
            let in_order = place / USERS;
            match answer {
                _ if atomic => assert!(answer.is_err(), "one of it is malformed"),
                Ok(answer) => {
                    assert_eq!(*answer.task.unwrap().task_id, format!("job-{place}"));
                    assert!(in_order < FUNDED && place != 200);
                }
                Err(why) if place == 200 => assert_eq!(why, malformed),
                Err(why) => {
                    assert!(matches!(why, Rejection::InsufficientBalance { .. }), "{why:?}");
                    // The malformed one was to be its user's 41st: nobody's order is another.
                    assert!(in_order >= FUNDED, "{place}");
                }
            }
        }
    }
}
