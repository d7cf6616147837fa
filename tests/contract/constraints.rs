//! The tables' own rules: a plan that breaks one is refused whole, whatever decided it, and the writer goes on.

use std::sync::Arc;

use scrip::ledger::{
    Change, Entry, Footprint, HoldState, Money, Plan, Purse, Rejection, Task, User, Work, decide,
};
use scrip::store::{Failure, Run, Snapshot, StoreError, Transacted};

use crate::bench::{Bench, batch_id};
use crate::commands::{USER, authorize, charge, credit, of_user, one, refund, start};

/// Has a batch decided, changes its plan, and answers how the store took it.
async fn changed(bench: &mut Bench, work: &[Work], change: impl Fn(&mut Plan) + Send + Sync) -> Transacted {
    let mut judge = |snapshot: Snapshot| {
        let mut plan = decide(snapshot.ledger, work).plan;
        assert!(!plan.is_empty(), "there is something to break");
        change(&mut plan);
        plan.into()
    };
    bench.writer.transact(batch_id(), Run::First, &Footprint::of(work).into(), &mut judge).await
}

fn is_bug(transacted: &Transacted) -> bool {
    matches!(transacted, Transacted::NotCommitted(Failure::Stop(StoreError::Bug { .. })))
}

fn entry(plan: &mut Plan, change: impl Fn(&mut Entry)) {
    change(Arc::make_mut(&mut plan.entries[0]));
}

fn task(plan: &mut Plan, change: impl Fn(&mut Task)) {
    change(Arc::make_mut(&mut plan.tasks[0].task));
}

fn user(plan: &mut Plan, change: impl Fn(&mut User)) {
    change(&mut plan.users[0].1);
}

type Broken = (&'static str, Work, fn(&mut Plan));

/// Each rule of both dialects, and a plan that would break it. (Only PostgreSQL knows the widths of its columns.)
fn broken() -> Vec<Broken> {
    let charged = || one("", charge("new", 10));
    let refunded = || one("refund", refund("t", 5));
    let held = || one("", authorize("new", 10));
    vec![
        ("points >= 0", charged(), |plan| user(plan, |user| user.balance.points = -1)),
        ("cash >= 0", charged(), |plan| user(plan, |user| user.balance.cash = -1)),
        ("held >= 0", charged(), |plan| user(plan, |user| user.held.points = -1)),
        ("held <= balance", charged(), |plan| user(plan, |user| user.held.points = user.balance.points + 1)),
        ("cash held <= balance", charged(), |plan| user(plan, |user| user.held.cash = user.balance.cash + 1)),
        ("user_seq is unique", charged(), |plan| entry(plan, |entry| entry.user_seq = 1)),
        ("user_seq >= 1", charged(), |plan| entry(plan, |entry| entry.user_seq = 0)),
        ("no entry twice", charged(), |plan| plan.entries.push(Arc::clone(&plan.entries[0]))),
        ("after = before + amount", charged(), |plan| entry(plan, |entry| entry.balance_after += 1)),
        ("an entry moves something", charged(), |plan| {
            entry(plan, |entry| (entry.amount, entry.balance_after) = (0, entry.balance_before));
        }),
        ("a purse is never below zero", charged(), |plan| {
            entry(plan, |entry| (entry.balance_before, entry.balance_after) = (5, 5 + entry.amount));
        }),
        ("money is what was charged", charged(), |plan| task(plan, |task| task.money += 1)),
        ("money >= 0", charged(), |plan| {
            task(plan, |task| (task.money, task.charged) = (-1, Money { points: -1, cash: 0 }));
        }),
        ("refunds within the charge", refunded(), |plan| {
            task(plan, |task| task.refunded.points = task.charged.points + 1);
        }),
        ("refunds within the charge of each purse", refunded(), |plan| {
            task(plan, |task| task.refunded = Money { points: 0, cash: 1 });
        }),
        ("held >= 0, of a task", held(), |plan| task(plan, |task| task.held.points = -1)),
        ("held within what was authorized", held(), |plan| task(plan, |task| task.held.points += 1)),
        ("an open hold has its time", held(), |plan| task(plan, |task| task.hold_expire_time = None)),
        ("no other hold has a time", held(), |plan| {
            task(plan, |task| (task.hold_state, task.held) = (Some(HoldState::Voided), Money::ZERO));
        }),
        ("only an open hold holds", held(), |plan| {
            task(plan, |task| (task.hold_state, task.hold_expire_time) = (Some(HoldState::Voided), None));
        }),
        ("a cost is not negative", charged(), |plan| {
            task(plan, |task| task.reported_cost_nano_usd = Some(-1))
        }),
        ("attempts begin at 1", one("", start("t", "o")), |plan| plan.attempts[0].attempt = 0),
        ("an attempt is not there twice", one("", start("t", "o")), |plan| {
            plan.attempts.push(plan.attempts[0].clone());
        }),
    ]
}

pub(crate) async fn the_tables_refuse_what_no_plan_may_write(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 100)).await;
    bench.ok(charge("t", 10)).await;
    let before = bench.stored().await;
    for (rule, work, change) in broken() {
        let transacted = changed(bench, std::slice::from_ref(&work), change).await;
        assert!(is_bug(&transacted), "{rule}: {transacted:?}");
        assert_eq!(bench.stored().await, before, "{rule}: nothing is written");
    }
    // Unbroken, each is taken: the rule was all that stood in its way.
    let mut taken = 0;
    for (rule, work, _) in broken() {
        let outcome = bench.transact(&[work]).await.remove(0).remove(0);
        let refused = matches!(outcome, Err(Rejection::TaskAlreadyCharged { .. }));
        assert!(outcome.is_ok() || refused, "{rule}: {outcome:?}");
        taken += usize::from(outcome.is_ok_and(|done| !done.replayed));
    }
    assert_eq!(taken, 3, "a charge, a refund, a start; what follows repeats them");
}

pub(crate) async fn an_update_of_a_row_that_is_not_there_is_refused(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 100)).await;
    bench.ok(charge("t", 10)).await;
    let before = bench.stored().await;
    let users: fn(&mut Plan) = |plan| plan.users[0].1.user_id = 99;
    let tasks: fn(&mut Plan) = |plan| task(plan, |task| task.task_id = "nowhere".into());
    let owners: fn(&mut Plan) = |plan| task(plan, |task| task.user_id = 99);
    let one_of_two: fn(&mut Plan) = |plan| {
        let mut other = plan.users[0];
        other.1.user_id = 99;
        plan.users.push(other);
    };
    for change in [users, one_of_two] {
        let transacted = changed(bench, &[one("", charge("new", 10))], change).await;
        assert!(is_bug(&transacted), "{transacted:?}");
    }
    for change in [tasks, owners] {
        let transacted = changed(bench, &[one("", start("t", "o"))], change).await;
        assert!(is_bug(&transacted), "{transacted:?}");
    }
    assert_eq!(bench.stored().await, before);
}

pub(crate) async fn an_insert_of_a_row_that_is_there_is_refused(bench: &mut Bench) {
    bench.run_as("c", credit(Purse::Points, 100)).await.expect("credited");
    bench.ok(charge("t", 10)).await;
    bench.ok(of_user(8, credit(Purse::Points, 100))).await;
    let before = bench.stored().await;
    let refused = async |bench: &mut Bench, work: Work, change: fn(&mut Plan)| {
        let transacted = changed(bench, &[work], change).await;
        // On one that has several writers the loser of a race is told to decide again.
        assert!(matches!(transacted, Transacted::NotCommitted(_)), "{transacted:?}");
        assert_eq!(bench.stored().await, before);
    };
    let work = || one("", charge("new", 10));
    refused(bench, work(), |plan| plan.users[0].0 = Change::Insert).await;
    refused(bench, work(), |plan| task(plan, |task| task.task_id = "t".into())).await;
    refused(bench, one("", of_user(8, charge("new", 10))), |plan| {
        task(plan, |task| task.task_id = "t".into());
    })
    .await;
    refused(bench, one("r", charge("new", 10)), |plan| plan.requests[0].request_id = "c".into()).await;
    let done = bench.ok(charge("new", 10)).await;
    assert_eq!((done.user.user_id, done.user.balance.points), (USER, 80));
}
