//! Batches: items judged in order, one refused item disturbs no other, an atomic batch is all or nothing.

use super::commands::{USER, authorize, capture, charge, credit, of_user, one, submission, text};
use super::{AsCommand, Bench, Outcome, money};
use crate::ledger::command::Charge;
use crate::ledger::{Batch, Change, Frozen, Purse, Rejection, Submission, UserId, Work};

type Item = Result<Submission, Rejection>;

fn item(request_id: &str, command: impl AsCommand) -> Item {
    submission(request_id, command)
}

fn malformed() -> Item {
    let item = submission("", charge("", 1));
    assert!(item.is_err(), "an empty task id is malformed");
    item
}

fn batch(atomic: bool, items: Vec<Item>) -> Work {
    Work::Batch(Batch { atomic, items })
}

fn run(bench: &mut Bench, atomic: bool, items: Vec<Item>) -> Vec<Outcome> {
    let count = items.len();
    let mut outcomes = bench.decide(&[batch(atomic, items)]);
    assert_eq!((outcomes.len(), outcomes[0].len()), (1, count), "an outcome for each item");
    outcomes.remove(0)
}

fn insufficient(required: i64, available: i64) -> Rejection {
    Rejection::InsufficientBalance { required, available, held: 0 }
}

const ABORTED_BY_1: Rejection = Rejection::BatchAborted { index: 1 };

#[test]
fn each_item_sees_what_the_items_before_it_did() {
    let mut bench = Bench::with(100, 0);
    let outcomes = run(
        &mut bench,
        false,
        vec![item("", charge("a", 60)), item("", charge("b", 60)), item("", charge("c", 40))],
    );
    assert_eq!(outcomes[1], Err(insufficient(60, 40)));
    let balances: Vec<_> = outcomes.iter().flatten().map(|done| done.user.balance).collect();
    assert_eq!(balances, [money(40, 0), money(0, 0)]);
    assert_eq!(bench.plan.users.len(), 1, "a user's row is written once, as it stands at the end");
}

#[test]
fn a_poisoned_item_fails_alone() {
    let mut bench = Bench::with(100, 0);
    let stranger: UserId = 99;
    let outcomes = run(
        &mut bench,
        false,
        vec![
            item("", charge("a", 10)),
            malformed(),
            item("", of_user(stranger, charge("b", 10))),
            item("", charge("c", 1_000)),
            item("", charge("d", 10)),
        ],
    );
    assert!(outcomes[0].is_ok() && outcomes[4].is_ok());
    assert!(matches!(&outcomes[1], Err(Rejection::InvalidField(fields)) if fields[0].field == "task_id"));
    assert_eq!(outcomes[2], Err(Rejection::UserNotFound(stranger)));
    assert_eq!(outcomes[3], Err(insufficient(1_000, 90)));
    let tasks: Vec<&str> = bench.world.tasks().keys().map(|id| &**id).collect();
    assert_eq!(tasks, ["a", "d"]);
    assert_eq!(bench.balance(), money(80, 0));
}

#[test]
fn duplicates_in_one_batch_are_judged_in_order() {
    let mut bench = Bench::with(100, 0);
    let differing = Charge { app_name: text("fal-ai/another"), ..charge("a", 60) };
    let outcomes = run(
        &mut bench,
        false,
        vec![item("", charge("a", 60)), item("", charge("a", 60)), item("", differing)],
    );
    let first = outcomes[0].as_ref().expect("charged");
    let second = outcomes[1].as_ref().expect("replayed");
    assert!(!first.replayed && second.replayed);
    let range = second.earlier_entries.expect("the entries of the first");
    assert_eq!((range.first_seq, range.count), (first.entries[0].user_seq, 1));
    assert!(matches!(outcomes[2], Err(Rejection::TaskAlreadyCharged { field: "app_name", .. })));
    assert_eq!(bench.balance(), money(40, 0));
}

#[test]
fn a_request_id_twice_in_one_batch_is_one_request() {
    let mut bench = Bench::with(100, 0);
    let outcomes = run(
        &mut bench,
        false,
        vec![
            item("r", charge("a", 60)),
            item("r", charge("a", 60)),
            item("r", charge("b", 10)),
            item("s", charge("c", 60)),
            item("s", charge("c", 60)),
        ],
    );
    assert!(outcomes[1].as_ref().is_ok_and(|done| done.replayed));
    assert!(matches!(outcomes[2], Err(Rejection::RequestIdReused { field: "task_id", .. })));
    assert_eq!(outcomes[3], Err(insufficient(60, 40)));
    assert_eq!(outcomes[4], outcomes[3], "the refusal was frozen a moment ago");
    assert_eq!(bench.plan.requests.len(), 2);
}

#[test]
fn commands_of_different_callers_in_one_batch_see_each_other() {
    let mut bench = Bench::new();
    let outcomes = bench.decide(&[
        one("c", credit(Purse::Points, 100)),
        one("", authorize("h", 60)),
        one("", charge("t", 60)),
        one("", capture("h", 20)),
        one("", charge("t", 60)),
    ]);
    let flat: Vec<_> = outcomes.into_iter().flatten().collect();
    assert!(flat[0].is_ok() && flat[1].is_ok() && flat[3].is_ok() && flat[4].is_ok());
    assert_eq!(flat[2], Err(Rejection::InsufficientBalance { required: 60, available: 40, held: 60 }));
    assert_eq!(bench.balance(), money(20, 0));
    let changes: Vec<Change> = bench.plan.tasks.iter().map(|write| write.change).collect();
    assert_eq!(changes, [Change::Insert, Change::Insert], "a row made in this batch is inserted as it ends");
    assert_eq!(bench.plan.users[0].0, Change::Insert);
}

#[test]
fn an_atomic_batch_of_good_items_is_done_whole() {
    let mut bench = Bench::with(100, 0);
    let outcomes = run(
        &mut bench,
        true,
        vec![item("r", charge("a", 60)), item("", charge("b", 30)), item("", charge("c", 0))],
    );
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_ok_and(|done| !done.replayed)));
    assert_eq!((bench.balance(), bench.world.tasks().len()), (money(10, 0), 3));
    assert_eq!(bench.world.requests().len(), 2, "the credit's and the charge's");
}

#[test]
fn an_aborted_atomic_batch_leaves_nothing_and_says_who_was_at_fault() {
    let mut bench = Bench::with(100, 0);
    let before = bench.world.clone();
    let outcomes = run(
        &mut bench,
        true,
        vec![
            item("r-1", charge("a", 60)),
            item("r-2", charge("b", 60)),
            malformed(),
            item("r-3", charge("c", 10)),
            item("", of_user(99, charge("d", 1))),
        ],
    );
    assert_eq!(outcomes[0], Err(ABORTED_BY_1));
    assert_eq!(outcomes[1], Err(insufficient(60, 40)));
    assert!(matches!(outcomes[2], Err(Rejection::InvalidField(_))));
    assert_eq!(outcomes[3], Err(ABORTED_BY_1));
    assert_eq!(outcomes[4], Err(Rejection::UserNotFound(99)));
    assert!(bench.plan.is_empty(), "nothing written, nothing frozen");
    assert_eq!(bench.world, before);
}

#[test]
fn members_of_an_aborted_batch_may_come_again_under_their_request_ids() {
    let mut bench = Bench::with(100, 0);
    let items = || vec![item("r-1", charge("a", 60)), item("r-2", charge("b", 60))];
    assert_eq!(run(&mut bench, true, items()), [Err(ABORTED_BY_1), Err(insufficient(60, 40))]);
    bench.ok(credit(Purse::Points, 20));
    let outcomes = run(&mut bench, true, items());
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_ok_and(|done| !done.replayed)));
    assert_eq!(bench.balance(), money(0, 0));
}

#[test]
fn a_replay_counts_as_success_in_an_atomic_batch() {
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("a", 60));
    let outcomes = run(
        &mut bench,
        true,
        vec![item("", charge("a", 60)), item("", charge("b", 20)), item("", charge("b", 20))],
    );
    let replayed: Vec<bool> = outcomes.iter().flatten().map(|done| done.replayed).collect();
    assert_eq!(replayed, [true, false, true]);
    assert_eq!(bench.balance(), money(20, 0));
}

#[test]
fn a_frozen_refusal_met_again_aborts_an_atomic_batch() {
    let mut bench = Bench::with(100, 0);
    assert_eq!(bench.run_as("r", charge("a", 101)), Err(insufficient(101, 100)));
    bench.ok(credit(Purse::Points, 900));
    let outcomes = run(&mut bench, true, vec![item("", charge("b", 1)), item("r", charge("a", 101))]);
    assert_eq!(outcomes, [Err(ABORTED_BY_1), Err(insufficient(101, 100))]);
    assert_eq!(bench.balance(), money(1_000, 0));
}

#[test]
fn an_aborted_batch_takes_back_what_it_did_and_nothing_that_others_did() {
    let mut bench = Bench::with(100, 0);
    let outcomes = bench.decide(&[
        one("first", charge("a", 30)),
        batch(true, vec![item("r", charge("b", 30)), item("", charge("c", 300))]),
        batch(true, vec![item("r", charge("b", 30)), item("", charge("a", 30))]),
        one("", charge("d", 40)),
    ]);
    assert_eq!(outcomes[1], [Err(ABORTED_BY_1), Err(insufficient(300, 40))]);
    assert!(outcomes[2][0].as_ref().is_ok_and(|done| !done.replayed), "the aborted request id is free again");
    assert!(outcomes[2][1].as_ref().is_ok_and(|done| done.replayed));
    assert!(outcomes[3][0].is_ok());
    let tasks: Vec<&str> = bench.world.tasks().keys().map(|id| &**id).collect();
    assert_eq!(tasks, ["a", "b", "d"]);
    assert_eq!(bench.balance(), money(0, 0));
    let seqs: Vec<i64> = bench.plan.entries.iter().map(|entry| entry.user_seq).collect();
    assert_eq!(seqs, [2, 3, 4], "the chain has no gap where the aborted entries were");
}

#[test]
fn an_aborted_batch_of_a_new_user_leaves_no_user() {
    let mut bench = Bench::new();
    let outcomes =
        run(&mut bench, true, vec![item("c", credit(Purse::Points, 10)), item("", charge("t", 11))]);
    assert_eq!(outcomes, [Err(ABORTED_BY_1), Err(insufficient(11, 10))]);
    assert!(bench.world.users().is_empty());
}

#[test]
fn an_empty_batch_has_no_outcomes_and_writes_nothing() {
    let mut bench = Bench::with(100, 0);
    for atomic in [false, true] {
        assert!(run(&mut bench, atomic, Vec::new()).is_empty());
        assert!(bench.plan.is_empty());
    }
}

#[test]
fn a_batch_decides_as_its_items_would_one_by_one() {
    let mut together = Bench::with(100, 50);
    let mut alone = together.clone();
    let items = || {
        vec![
            item("r-1", charge("a", 60)),
            item("r-1", charge("a", 60)),
            item("r-2", charge("b", 200)),
            item("", charge("a", 61)),
            item("r-2", charge("b", 20)),
            item("", charge("c", 90)),
        ]
    };
    let outcomes = run(&mut together, false, items());
    let one_by_one: Vec<Outcome> = items()
        .into_iter()
        .map(|item| alone.decide(&[Work::One(item.expect("well-formed"))]).remove(0).remove(0))
        .collect();
    assert_eq!(outcomes, one_by_one);
    assert_eq!(together.world, alone.world);
}

#[test]
fn what_a_batch_freezes_is_dated_by_its_one_moment() {
    let mut bench = Bench::with(100, 0);
    run(&mut bench, false, vec![item("r-1", charge("a", 60)), item("r-2", charge("b", 60))]);
    let records = &bench.plan.requests;
    assert!(records.iter().all(|record| record.create_time == bench.now && record.user_id == USER));
    assert!(matches!(records[0].frozen, Frozen::Done { entries: Some(_), late: false, lease_id: None }));
    assert!(matches!(records[1].frozen, Frozen::Refused(_)));
}
