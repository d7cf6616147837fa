//! Idempotency across transactions: what one transaction froze, every later one answers.

use scrip::ledger::command::{Authorize, Charge, Command};
use scrip::ledger::{Purse, Rejection, TaskStatus};

use crate::bench::Bench;
use crate::commands::{
    AsCommand, authorize, capture, charge, credit, debit, fail, of_user, refund, refund_all, start, text,
    void,
};
use crate::rows::operations;

pub(crate) async fn every_command_repeated_later_is_a_replay_that_writes_nothing(bench: &mut Bench) {
    let mut done = Vec::new();
    for (number, command) in operations().into_iter().enumerate() {
        let keyed = !matches!(command, Command::StartTask(_) | Command::ExpireHold(_));
        let request_id = if keyed { format!("r-{number}") } else { String::new() };
        let original = bench.run_as(&request_id, command.clone()).await.expect("done");
        bench.pass(10).await;
        if keyed {
            done.push((request_id, command, original));
        }
    }
    let stored = bench.stored().await;
    for (request_id, command, original) in done {
        let again = bench.run_as(&request_id, command.clone()).await.expect("replayed");
        assert!(again.replayed && again.entries.is_empty() && bench.plan.is_empty(), "{command:?}");
        assert_eq!(again.late, original.late);
        let range = again.earlier_entries;
        assert_eq!(range.is_some(), !original.entries.is_empty(), "{command:?}");
        if let Some(range) = range {
            let mut entries =
                bench.reader.entries(&[(command.user_id(), range)]).await.expect("the original entries");
            entries.sort_by_key(|entry| entry.user_seq);
            let written: Vec<_> = original.entries.iter().map(|entry| (**entry).clone()).collect();
            assert_eq!(entries, written, "{command:?}");
        }
    }
    assert_eq!(bench.stored().await, stored);
}

pub(crate) async fn frozen_refusals_stay_refused_in_later_transactions(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 200)).await;
    bench.ok(charge("t", 50)).await;
    bench.ok(authorize("h", 50)).await;
    bench.ok(Authorize { ttl_micros: Some(1), ..authorize("brief", 50) }).await;
    bench.pass(10).await;
    let cases: Vec<(Command, Option<Command>)> = vec![
        (charge("new", 60).command(), Some(credit(Purse::Points, 500).command())),
        (refund("t", 51).command(), None),
        (refund_all("h").command(), Some(capture("h", 10).command())),
        (capture("brief", 10).command(), None),
        (capture("h", 51).command(), None),
    ];
    let mut refused = Vec::new();
    for (number, (command, _)) in cases.iter().enumerate() {
        let rejection = bench.run_as(&format!("r-{number}"), command.clone()).await.expect_err("refused");
        refused.push(rejection);
    }
    assert!(matches!(refused[0], Rejection::InsufficientBalance { required: 60, available: 50, held: 100 }));
    assert!(matches!(refused[1], Rejection::RefundExceedsCharge { charged: 50, refunded: 0, requested: 51 }));
    let pending = TaskStatus::Pending;
    assert!(matches!(&refused[2], Rejection::TaskStateConflict { status, .. } if *status == pending));
    assert!(matches!(refused[3], Rejection::HoldExpired { held: 50, requested: 10 }));
    assert!(matches!(refused[4], Rejection::CaptureExceedsHold { held: 50, requested: 51 }));
    for remedy in cases.iter().filter_map(|(_, remedy)| remedy.clone()) {
        bench.ok(remedy).await;
    }
    for (number, (command, _)) in cases.iter().enumerate() {
        let again = bench.run_as(&format!("r-{number}"), command.clone()).await;
        assert_eq!(again, Err(refused[number].clone()), "to the letter");
        assert!(bench.plan.is_empty());
    }
}

pub(crate) async fn what_is_not_frozen_may_come_right_later(bench: &mut Bench) {
    let command = || of_user(8, charge("t", 10));
    assert_eq!(bench.run_as("r", command()).await, Err(Rejection::UserNotFound(8)));
    let missing = Err(Rejection::TaskNotFound(text("t")));
    assert_eq!(bench.run_as("s", of_user(8, fail("t"))).await, missing);
    bench.ok(of_user(8, credit(Purse::Points, 10))).await;
    assert!(bench.run_as("r", command()).await.is_ok_and(|done| !done.replayed));
    assert!(bench.run_as("s", of_user(8, fail("t"))).await.is_ok_and(|done| !done.replayed));
}

pub(crate) async fn a_task_of_one_user_is_taken_for_all_others(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 100)).await;
    bench.ok(of_user(8, credit(Purse::Points, 100))).await;
    bench.ok(charge("t", 10)).await;
    bench.ok(start("t", "online-1")).await;
    let taken = Rejection::TaskAlreadyCharged {
        task_id: text("t"),
        field: "user_id",
        status: TaskStatus::Processing,
    };
    assert_eq!(bench.run(of_user(8, charge("t", 10))).await, Err(taken.clone()));
    assert_eq!(bench.run(of_user(8, authorize("t", 10))).await, Err(taken));
    let missing = Err(Rejection::TaskNotFound(text("t")));
    assert_eq!(bench.run(of_user(8, refund_all("t"))).await, missing);
    assert_eq!(bench.run(of_user(8, void("t"))).await, missing);
}

pub(crate) async fn request_ids_of_different_users_do_not_meet(bench: &mut Bench) {
    bench.run_as("r", credit(Purse::Points, 10)).await.expect("credited");
    let other = bench.run_as("r", of_user(8, credit(Purse::Cash, 99))).await.expect("credited");
    assert!(!other.replayed);
    let again = bench.run_as("r", of_user(8, credit(Purse::Cash, 99))).await.expect("replayed");
    assert!(again.replayed);
}

pub(crate) async fn a_request_id_of_other_content_names_the_field(bench: &mut Bench) {
    bench.run_as("c", credit(Purse::Points, 100)).await.expect("credited");
    bench.run_as("r", charge("t", 10)).await.expect("charged");
    let reused = |request_id, field| Err(Rejection::RequestIdReused { request_id: text(request_id), field });
    assert_eq!(bench.run_as("r", charge("t", 11)).await, reused("r", "amount"));
    assert_eq!(bench.run_as("r", charge("u", 10)).await, reused("r", "task_id"));
    assert_eq!(bench.run_as("r", debit(10)).await, reused("r", "method"));
    assert_eq!(bench.run_as("c", credit(Purse::Cash, 100)).await, reused("c", "purse"));
    let input = Charge { input_params: text("[1]"), ..charge("t", 10) };
    assert_eq!(bench.run_as("r", input).await, reused("r", "input_params"));
}
