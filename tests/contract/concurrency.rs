//! Writers that compete: whatever the order, each effect happens once, chains have no gap, nothing is spent twice.

use std::sync::Arc;

use scrip::ledger::decide::Outcome;
use scrip::ledger::{Footprint, HoldState, Purse, Rejection, Work, decide};
use scrip::store::{Run, Snapshot, Transacted};

use crate::bench::{Bench, batch_id, transact};
use crate::commands::{
    AsCommand, USER, authorize, capture, charge, complete, credit, debit, fail, of_user, one, void,
};

/// Runs each list of batches with a writer of its own, all at once; answers their outcomes.
async fn race(bench: &mut Bench, racers: Vec<Vec<Vec<Work>>>) -> Vec<Vec<Outcome>> {
    bench.raced = true;
    let started = Arc::new(tokio::sync::Barrier::new(racers.len()));
    let racing: Vec<_> = racers
        .into_iter()
        .map(|batches| {
            let (started, mut writer) = (Arc::clone(&started), bench.store.writer());
            tokio::spawn(async move {
                let mut outcomes = Vec::new();
                started.wait().await;
                for batch in batches {
                    outcomes.extend(transact(writer.as_mut(), &batch).await.0.into_iter().flatten());
                }
                outcomes
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for racer in racing {
        outcomes.push(racer.await.expect("no racer panics"));
    }
    outcomes
}

/// One command for each racer.
async fn race_one(bench: &mut Bench, racers: Vec<Work>) -> Vec<Outcome> {
    let racers = racers.into_iter().map(|work| vec![vec![work]]).collect();
    race(bench, racers).await.into_iter().map(|mut outcomes| outcomes.remove(0)).collect()
}

fn done(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| outcome.as_ref().is_ok_and(|done| !done.replayed)).count()
}

fn replayed(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| outcome.as_ref().is_ok_and(|done| done.replayed)).count()
}

pub(crate) async fn two_writers_on_one_user_leave_no_gap_and_lose_nothing(bench: &mut Bench) {
    const EACH: usize = 60;
    bench.ok(credit(Purse::Points, 1_000)).await;
    let racer = |name: &str| -> Vec<Vec<Work>> {
        let work = |number: usize| match number % 3 {
            0 => vec![one("", charge(&format!("{name}-{number}"), 2))],
            1 => vec![one(&format!("{name}-{number}"), credit(Purse::Cash, 1))],
            _ => vec![
                one("", charge(&format!("{name}-{number}"), 5)),
                one("", fail(&format!("{name}-{number}"))),
            ],
        };
        (0..EACH).map(work).collect()
    };
    let outcomes = race(bench, vec![racer("a"), racer("b")]).await.concat();
    assert_eq!(done(&outcomes), outcomes.len(), "everything was acknowledged as done");
    let user = bench.reader.users(&[USER]).await.expect("users")[0];
    assert_eq!((user.balance.points, user.balance.cash), (1_000 - 40 * 2, 40));
    assert_eq!(user.entry_seq, 1 + 40 + 40 + 40 * 2);
    let stored = bench.stored().await;
    let seqs: Vec<i64> = stored.entries.iter().map(|entry| entry.user_seq).collect();
    assert_eq!(seqs, (1..=user.entry_seq).collect::<Vec<_>>());
}

pub(crate) async fn two_writers_never_spend_the_same_points(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 100)).await;
    let racer =
        |name: &str| (0..20).map(|number| vec![one("", charge(&format!("{name}-{number}"), 9))]).collect();
    let outcomes = race(bench, vec![racer("a"), racer("b"), racer("c")]).await.concat();
    assert_eq!(done(&outcomes), 11, "eleven charges of 9 are all that 100 pay for");
    let refused = |outcome: &&Outcome| matches!(outcome, Err(Rejection::InsufficientBalance { .. }));
    assert_eq!(outcomes.iter().filter(refused).count(), 49);
    assert_eq!(bench.reader.users(&[USER]).await.expect("users")[0].balance.points, 1);
}

pub(crate) async fn a_charge_that_races_itself_is_done_once(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 100)).await;
    let outcomes = race_one(bench, vec![one("", charge("t", 60)); 8]).await;
    assert_eq!((done(&outcomes), replayed(&outcomes)), (1, 7));
    assert_eq!(bench.reader.users(&[USER]).await.expect("users")[0].balance.points, 40);
}

pub(crate) async fn a_task_that_two_users_race_for_is_one_users(bench: &mut Bench) {
    for user_id in 1..=6 {
        bench.ok(of_user(user_id, credit(Purse::Points, 100))).await;
    }
    let outcomes =
        race_one(bench, (1..=6).map(|user_id| one("", of_user(user_id, charge("t", 60)))).collect()).await;
    assert_eq!(done(&outcomes), 1);
    let taken =
        |outcome: &&Outcome| matches!(outcome, Err(Rejection::TaskAlreadyCharged { field: "user_id", .. }));
    assert_eq!(outcomes.iter().filter(taken).count(), 5);
    let stored = bench.stored().await;
    assert_eq!(stored.users.iter().map(|user| user.balance.points).sum::<i64>(), 540);
}

pub(crate) async fn a_request_id_that_races_itself_is_one_request(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 100)).await;
    let outcomes = race_one(bench, vec![one("d", debit(30)); 6]).await;
    assert_eq!((done(&outcomes), replayed(&outcomes)), (1, 5));
    let outcomes = race_one(bench, vec![one("e", debit(71)); 4]).await;
    let first = outcomes[0].as_ref().expect_err("more than there is");
    assert!(outcomes.iter().all(|outcome| outcome.as_ref() == Err(first)), "one frozen answer for all");
    let other = race_one(bench, vec![one("f", debit(1)), one("f", debit(2))]).await;
    assert_eq!(done(&other), 1);
    let reused =
        |outcome: &&Outcome| matches!(outcome, Err(Rejection::RequestIdReused { field: "amount", .. }));
    assert_eq!(other.iter().filter(reused).count(), 1);
}

pub(crate) async fn two_writers_that_create_one_user_credit_it_twice(bench: &mut Bench) {
    let racers = (0..6).map(|number| one(&format!("c-{number}"), credit(Purse::Points, 10))).collect();
    let outcomes = race_one(bench, racers).await;
    assert_eq!(done(&outcomes), 6);
    assert_eq!(bench.reader.users(&[USER]).await.expect("users")[0].balance.points, 60);
}

pub(crate) async fn a_hold_that_two_writers_resolve_is_resolved_once(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 100)).await;
    for round in 0..5 {
        let task_id = format!("t-{round}");
        bench.raced = true;
        bench.ok(authorize(&task_id, 10)).await;
        let racers =
            vec![one("", capture(&task_id, 4)), one("", void(&task_id)), one("", capture(&task_id, 5))];
        let outcomes = race_one(bench, racers).await;
        assert_eq!(done(&outcomes), 1, "{outcomes:?}");
        let task = bench.reader.task(&task_id).await.expect("a task").expect("it is there").task;
        assert_eq!(task.hold_state == Some(HoldState::Voided), task.money == 0);
    }
}

pub(crate) async fn writers_that_cross_their_users_all_finish(bench: &mut Bench) {
    let users = 1..=8_i64;
    for user_id in users.clone() {
        bench.ok(of_user(user_id, credit(Purse::Points, 1_000))).await;
    }
    // Each batch touches all users, in an order of its own.
    let racer = |name: i64| -> Vec<Vec<Work>> {
        let batch = |number: i64| -> Vec<Work> {
            let rotated = (0..8).map(|step| (step * 3 + name + number) % 8 + 1);
            rotated
                .map(|user_id| {
                    let command = of_user(user_id, charge(&format!("{name}-{number}-{user_id}"), 1));
                    one("", command)
                })
                .collect()
        };
        (0..10).map(batch).collect()
    };
    let outcomes = race(bench, (0..4).map(racer).collect()).await.concat();
    assert_eq!(done(&outcomes), 4 * 10 * 8);
    let stored = bench.stored().await;
    assert!(stored.users.iter().all(|user| user.balance.points == 1_000 - 40), "{:?}", stored.users);
}

pub(crate) async fn a_reader_does_not_wait_for_a_batch_nor_see_it_before_its_end(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 100)).await;
    bench.ok(charge("t", 10)).await;
    bench.raced = true;
    let (reader, runtime) = (Arc::clone(&bench.reader), tokio::runtime::Handle::current());
    let work = [one("", charge("u", 60)), one("", complete("t").command())];
    let mut seen = None;
    // The batch has its locks while this runs.
    let mut judge = |snapshot: Snapshot| {
        seen = Some(tokio::task::block_in_place(|| {
            runtime.block_on(async {
                let users = reader.users(&[USER]).await.expect("users");
                let task = reader.task("u").await.expect("an answer");
                (users[0].balance.points, task)
            })
        }));
        decide(snapshot.ledger, &work).plan.into()
    };
    let transacted =
        bench.writer.transact(batch_id(), Run::First, &Footprint::of(&work).into(), &mut judge).await;
    assert!(matches!(transacted, Transacted::Committed), "{transacted:?}");
    assert_eq!(seen, Some((90, None)));
    assert_eq!(bench.reader.users(&[USER]).await.expect("users")[0].balance.points, 30, "and sees it after");
}
