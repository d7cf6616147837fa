//! Batch ids: what became of a batch whose COMMIT nobody answered.

use scrip::ledger::{Footprint, Micros, Plan, Purse, Work, decide};
use scrip::store::{Run, Snapshot, Transacted, Writer};
use uuid::Uuid;

use crate::bench::{Bench, batch_id};
use crate::commands::{USER, charge, credit, of_user, one};

/// One call of `transact`, and whether it was decided, and with what plan.
async fn call(writer: &mut dyn Writer, id: Uuid, run: Run, work: &[Work]) -> (Transacted, Option<Plan>) {
    let mut planned = None;
    let mut judge = |snapshot: Snapshot| {
        let plan = decide(snapshot.ledger, work).plan;
        planned = Some(plan.clone());
        plan.into()
    };
    let transacted = writer.transact(id, run, &Footprint::of(work).into(), &mut judge).await;
    (transacted, planned)
}

async fn points(bench: &Bench) -> i64 {
    bench.reader.users(&[USER]).await.expect("users").first().map_or(0, |user| user.balance.points)
}

pub(crate) async fn an_id_that_was_committed_is_known_and_not_decided_again(bench: &mut Bench) {
    bench.raced = true;
    let (id, work) = (batch_id(), [one("c", credit(Purse::Points, 100))]);
    let (first, _) = call(bench.writer.as_mut(), id, Run::First, &work).await;
    assert!(matches!(first, Transacted::Committed), "{first:?}");
    // The same writer, and another one, as after a reconnection.
    let mut other = bench.store.writer();
    for writer in [bench.writer.as_mut(), other.as_mut()] {
        let (again, planned) = call(writer, id, Run::Resolving, &work).await;
        assert!(matches!(again, Transacted::AlreadyCommitted), "{again:?}");
        assert_eq!(planned, None, "what was committed is not decided again");
    }
    assert_eq!(points(bench).await, 100);
    let charged = call(bench.writer.as_mut(), batch_id(), Run::First, &[one("", charge("t", 1))]).await;
    assert!(matches!(charged.0, Transacted::Committed), "the writer goes on");
}

pub(crate) async fn an_id_that_was_not_committed_commits_now(bench: &mut Bench) {
    bench.raced = true;
    let (id, work) = (batch_id(), [one("c", credit(Purse::Points, 100))]);
    let (first, planned) = call(bench.writer.as_mut(), id, Run::Resolving, &work).await;
    assert!(matches!(first, Transacted::Committed), "{first:?}");
    assert!(planned.is_some_and(|plan| !plan.is_empty()));
    assert_eq!(points(bench).await, 100);
    let (again, _) = call(bench.writer.as_mut(), id, Run::Resolving, &work).await;
    assert!(matches!(again, Transacted::AlreadyCommitted), "{again:?}");
    assert_eq!(points(bench).await, 100);
}

pub(crate) async fn a_batch_with_nothing_to_write_keeps_no_id(bench: &mut Bench) {
    bench.raced = true;
    for run in [Run::First, Run::Resolving] {
        let (id, refused) = (batch_id(), [one("", of_user(99, charge("t", 1)))]);
        let (ended, planned) = call(bench.writer.as_mut(), id, run, &refused).await;
        assert!(matches!(ended, Transacted::Committed), "{ended:?}");
        assert_eq!(planned, Some(Plan::default()));
        let work = [one(&format!("{run:?}"), credit(Purse::Points, 50))];
        let (ended, _) = call(bench.writer.as_mut(), id, Run::Resolving, &work).await;
        assert!(matches!(ended, Transacted::Committed), "the id is still free: {ended:?}");
    }
    assert_eq!(points(bench).await, 100);
}

pub(crate) async fn an_id_is_never_committed_twice(bench: &mut Bench) {
    bench.raced = true;
    let id = batch_id();
    let (first, _) =
        call(bench.writer.as_mut(), id, Run::First, &[one("a", credit(Purse::Points, 100))]).await;
    assert!(matches!(first, Transacted::Committed), "{first:?}");
    let (second, _) =
        call(bench.writer.as_mut(), id, Run::First, &[one("b", credit(Purse::Points, 1))]).await;
    assert!(matches!(second, Transacted::NotCommitted(_)), "{second:?}");
    assert_eq!(points(bench).await, 100, "and nothing of the second is written");
    let third =
        call(bench.writer.as_mut(), batch_id(), Run::First, &[one("b", credit(Purse::Points, 1))]).await;
    assert!(matches!(third.0, Transacted::Committed), "the writer goes on: {third:?}");
}

pub(crate) async fn ids_are_forgotten_oldest_first_and_no_more_than_asked(bench: &mut Bench) {
    bench.raced = true;
    let id_of = |second: u64| uuid::Builder::from_unix_timestamp_millis(second * 1_000, &[9; 10]).into_uuid();
    for second in 1..=5_u64 {
        let work = [one(&format!("c-{second}"), credit(Purse::Points, 1))];
        let (ended, _) = call(bench.writer.as_mut(), id_of(second), Run::First, &work).await;
        assert!(matches!(ended, Transacted::Committed), "{ended:?}");
    }
    let before = Micros(4_000_000);
    assert_eq!(bench.writer.prune_commits(before, 2).await.expect("pruned"), 2, "as many as asked");
    assert_eq!(bench.writer.prune_commits(before, 100).await.expect("pruned"), 1, "those before, not at it");
    assert_eq!(bench.writer.prune_commits(before, 100).await.expect("pruned"), 0);
    let work = [one("c-4", credit(Purse::Points, 1))];
    for second in [4, 5] {
        let (kept, _) = call(bench.writer.as_mut(), id_of(second), Run::Resolving, &work).await;
        assert!(matches!(kept, Transacted::AlreadyCommitted), "{second}: {kept:?}");
    }
    let (forgotten, planned) = call(bench.writer.as_mut(), id_of(1), Run::Resolving, &work).await;
    assert!(matches!(forgotten, Transacted::Committed), "{forgotten:?}");
    assert_eq!(planned, Some(Plan::default()), "by then only a replay, which its request id told");
}
