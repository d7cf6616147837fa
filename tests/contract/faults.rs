//! The faults of the model store do what they say: engine tests rest on them.

use std::time::Duration;

use scrip::clock::Clock;
use scrip::ledger::{Footprint, Purse, Work, decide};
use scrip::store::{Failure, Run, Snapshot, Store, StoreError, Transacted, Writer};
use uuid::Uuid;

use crate::bench::{START, batch_id};
use crate::commands::{USER, credit, one};
use crate::support::model::{Fault, Gate, Model, TestClock, Trouble};

fn model() -> Model {
    Model::new(TestClock::at(START))
}

fn work(request_id: &str) -> [Work; 1] {
    [one(request_id, credit(Purse::Points, 10))]
}

async fn call(writer: &mut dyn Writer, id: Uuid, run: Run, work: &[Work]) -> (Transacted, bool) {
    let mut decided = false;
    let mut judge = |snapshot: Snapshot| {
        decided = true;
        decide(snapshot.ledger, work).plan.into()
    };
    let transacted = writer.transact(id, run, &Footprint::of(work).into(), &mut judge).await;
    (transacted, decided)
}

fn points(model: &Model) -> i64 {
    model.world().users().get(&USER).map_or(0, |user| user.balance.points)
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_by_its_id() {
    let (model, id) = (model(), batch_id());
    let mut writer = model.writer();
    model.faults().script([Fault::unknown_committed()]);
    let (first, decided) = call(writer.as_mut(), id, Run::First, &work("r")).await;
    assert!(decided && matches!(first, Transacted::Unknown(StoreError::Unavailable { .. })), "{first:?}");
    assert_eq!(points(&model), 10, "it was done");
    let (second, decided) = call(writer.as_mut(), id, Run::Resolving, &work("r")).await;
    assert!(!decided && matches!(second, Transacted::AlreadyCommitted), "{second:?}");
}

#[tokio::test]
async fn a_commit_that_is_lost_whole_is_not_found() {
    let (model, id) = (model(), batch_id());
    let mut writer = model.writer();
    model.faults().script([Fault::unknown_lost()]);
    let (first, decided) = call(writer.as_mut(), id, Run::First, &work("r")).await;
    assert!(decided && matches!(first, Transacted::Unknown(_)), "{first:?}");
    assert_eq!((points(&model), model.commits()), (0, 0));
    let (second, _) = call(writer.as_mut(), id, Run::Resolving, &work("r")).await;
    assert!(matches!(second, Transacted::Committed), "{second:?}");
    assert_eq!(points(&model), 10);
}

#[tokio::test]
async fn failures_come_in_their_order_and_then_for_ever_until_cleared() {
    let model = model();
    let mut writer = model.writer();
    model.faults().script([Fault::not_committed(Trouble::Conflict), Fault::unreached(Trouble::Lost)]);
    model.faults().always(Fault::not_committed(Trouble::Full));
    let (ended, decided) = call(writer.as_mut(), batch_id(), Run::First, &work("r")).await;
    let again = matches!(ended, Transacted::NotCommitted(Failure::Again(StoreError::Conflict { .. })));
    assert!(decided && again, "{ended:?}");
    let (ended, decided) = call(writer.as_mut(), batch_id(), Run::First, &work("r")).await;
    let again = matches!(ended, Transacted::NotCommitted(Failure::Again(StoreError::Unavailable { .. })));
    assert!(!decided && again, "{ended:?}");
    for _ in 0..2 {
        let (ended, _) = call(writer.as_mut(), batch_id(), Run::First, &work("r")).await;
        let full = matches!(ended, Transacted::NotCommitted(Failure::Stop(StoreError::Full { .. })));
        assert!(full, "{ended:?}");
    }
    assert_eq!(points(&model), 0);
    model.faults().clear();
    let (ended, _) = call(writer.as_mut(), batch_id(), Run::First, &work("r")).await;
    assert!(matches!(ended, Transacted::Committed), "{ended:?}");
    let plans: Vec<bool> = model.faults().seen().iter().map(|seen| seen.plan.is_some()).collect();
    assert_eq!(plans, [true, false, true, true, true], "the unreached one was not decided");
}

#[tokio::test]
async fn a_resolving_run_that_reaches_nothing_learns_nothing() {
    let (model, id) = (model(), batch_id());
    let mut writer = model.writer();
    model.faults().script([Fault::unknown_committed(), Fault::unreached(Trouble::Unavailable)]);
    call(writer.as_mut(), id, Run::First, &work("r")).await;
    let (second, decided) = call(writer.as_mut(), id, Run::Resolving, &work("r")).await;
    assert!(!decided && matches!(second, Transacted::Unknown(_)), "{second:?}");
    let (third, _) = call(writer.as_mut(), id, Run::Resolving, &work("r")).await;
    assert!(matches!(third, Transacted::AlreadyCommitted), "{third:?}");
    let seen: Vec<(Uuid, Run)> = model.faults().seen().iter().map(|seen| (seen.batch_id, seen.run)).collect();
    assert_eq!(seen, [(id, Run::First), (id, Run::Resolving), (id, Run::Resolving)]);
}

#[tokio::test]
async fn a_gate_holds_a_batch_until_it_is_opened() {
    let (model, gate) = (model(), Gate::closed());
    model.faults().script([Fault::as_usual().held_by(&gate)]);
    let mut writer = model.writer();
    let held = tokio::spawn(async move { call(writer.as_mut(), batch_id(), Run::First, &work("r")).await.0 });
    gate.arrivals(1).await;
    assert_eq!(points(&model), 0);
    let mut other = model.writer();
    let (ended, _) = call(other.as_mut(), batch_id(), Run::First, &work("s")).await;
    assert!(matches!(ended, Transacted::Committed), "others pass: {ended:?}");
    assert!(!held.is_finished());
    gate.open();
    assert!(matches!(held.await.expect("no panic"), Transacted::Committed));
    assert_eq!(points(&model), 20);
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_of_tokios_clock() {
    let model = model();
    let mut writer = model.writer();
    model.faults().script([Fault::as_usual().after(Duration::from_secs(3_600))]);
    let begun = tokio::time::Instant::now();
    call(writer.as_mut(), batch_id(), Run::First, &work("r")).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(3_600), "of the paused clock");
    assert_eq!(points(&model), 10);
}

#[tokio::test]
async fn reads_fail_when_told_to_and_are_counted() {
    let (clock, user) = (TestClock::at(START), [USER]);
    let model = Model::new(std::sync::Arc::clone(&clock) as std::sync::Arc<dyn Clock>);
    let reader = model.reader();
    model.faults().fail_reads(Some(Trouble::Unavailable));
    assert!(matches!(reader.users(&user).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(reader.now().await, Err(StoreError::Unavailable { .. })));
    model.faults().fail_reads(None);
    clock.advance(5);
    assert_eq!(reader.now().await.expect("the time"), START.plus(5));
    assert_eq!(model.faults().reads(), 3);
}
