//! Idempotency: a `request_id` freezes what came of it, a repeat is answered as the first, other content is refused.

use super::commands::{
    USER, authorize, capture, charge, complete, credit, debit, fail, of_user, refund, refund_all, start,
    submission, text, void,
};
use super::{AsCommand, Bench, Rejection, is_of_another_room, money};
use crate::ledger::command::{
    Authorize, Charge, Command, CompleteTask, Credit, Debit, FailTask, Refund, Void,
};
use crate::ledger::rejection::FrozenRefusal;
use crate::ledger::{Frozen, Funding, Method, Purse, SourceType, TaskStatus, Text};

/// A world with a charged task `t` and a held task `h`.
fn bench() -> Bench {
    let mut bench = Bench::with(400, 600);
    bench.ok(charge("t", 100));
    bench.ok(authorize("h", 100));
    bench
}

/// One command of each method that takes a request id, each possible in [`bench()`].
fn commands() -> Vec<Command> {
    vec![
        charge("new", 350).command(),
        authorize("new", 350).command(),
        capture("h", 60).command(),
        void("h").command(),
        refund_all("t").command(),
        refund("t", 30).command(),
        credit(Purse::Points, 10).command(),
        debit(250).command(),
        complete("t").command(),
        CompleteTask { capture_amount: Some(60), ..complete("h") }.command(),
        fail("t").command(),
    ]
}

#[test]
fn every_method_that_takes_a_request_id_is_answered_again_as_it_was() {
    let covered: Vec<Method> = commands().iter().map(Command::method).collect();
    for method in Method::ALL {
        if is_of_another_room(*method) {
            continue;
        }
        let takes_none = matches!(method, Method::StartTask | Method::ExpireHold);
        assert_ne!(covered.contains(method), takes_none, "{method}");
    }
    for command in commands() {
        let mut bench = bench();
        let first = bench.run_as("r", command.clone()).expect("done");
        assert!(!first.replayed);
        let stored = bench.world.clone();
        bench.pass(1_000);
        let again = bench.run_as("r", command.clone()).expect("replayed");
        assert_eq!(bench.world, stored, "a replay writes nothing: {command:?}");
        assert!(again.replayed && again.entries.is_empty());
        let range = again.earlier_entries.map(|range| (range.first_seq, range.count));
        let wrote = first.entries.first().map(|entry| entry.user_seq);
        assert_eq!(range.map(|(first_seq, _)| first_seq), wrote, "{command:?}");
        let count = range.map_or(0, |(_, count)| usize::from(count.unsigned_abs()));
        assert_eq!(count, first.entries.len(), "{command:?}");
        assert_eq!((again.task, again.user, again.late), (first.task, first.user, first.late));
    }
}

#[test]
fn a_replay_answers_the_task_and_balance_of_now() {
    let mut bench = bench();
    bench.run_as("r", charge("new", 50)).expect("charged");
    bench.ok(fail("new"));
    bench.ok(debit(5));
    let again = bench.run_as("r", charge("new", 50)).expect("replayed");
    assert_eq!(again.task.expect("the task").status, TaskStatus::Failed);
    assert_eq!(again.user, *bench.world.user(USER));
}

#[test]
fn a_reused_request_id_names_the_field_that_differs() {
    let first: Vec<(Command, Vec<(&str, Command)>)> = vec![
        (charge("new", 50).command(), charge_variants()),
        (
            authorize("new", 50).command(),
            vec![("ttl", Authorize { ttl_micros: Some(5), ..authorize("new", 50) }.command())],
        ),
        (capture("h", 60).command(), vec![("amount", capture("h", 61).command())]),
        (void("h").command(), vec![("reason", Void { reason: text("x"), ..void("h") }.command())]),
        (
            refund("t", 30).command(),
            vec![
                ("amount", refund("t", 31).command()),
                ("amount", refund_all("t").command()),
                ("reason", Refund { reason: text("x"), ..refund("t", 30) }.command()),
                ("task_id", refund("h", 30).command()),
            ],
        ),
        (credit(Purse::Points, 10).command(), credit_variants()),
        (
            debit(25).command(),
            vec![
                ("amount", debit(26).command()),
                ("purse", Debit { funding: Funding::CashOnly, ..debit(25) }.command()),
                ("order_id", Debit { order_id: text("x"), ..debit(25) }.command()),
            ],
        ),
        (
            complete("t").command(),
            vec![
                ("cost_nano_usd", CompleteTask { cost_nano_usd: None, ..complete("t") }.command()),
                ("output_params", CompleteTask { output_params: text("[]"), ..complete("t") }.command()),
                ("method", fail("t").command()),
            ],
        ),
        (
            fail("t").command(),
            vec![
                ("error", FailTask { error: text("x"), ..fail("t") }.command()),
                ("no_refund", FailTask { no_refund: true, ..fail("t") }.command()),
            ],
        ),
    ];
    for (command, variants) in first {
        let mut bench = bench();
        bench.run_as("r", command.clone()).expect("done");
        let stored = bench.world.clone();
        for (field, variant) in variants {
            let reused = Rejection::RequestIdReused { request_id: text("r"), field };
            assert_eq!(bench.run_as("r", variant.clone()), Err(reused), "{variant:?} after {command:?}");
            assert_eq!(bench.world, stored);
        }
        assert!(
            bench.run_as("r", command).is_ok_and(|done| done.replayed),
            "the first content still replays"
        );
    }
}

fn charge_variants() -> Vec<(&'static str, Command)> {
    let same = charge("new", 50);
    vec![
        ("amount", charge("new", 51).command()),
        ("app_name", Charge { app_name: text("x"), ..same.clone() }.command()),
        ("task_type", Charge { task_type: text("x"), ..same.clone() }.command()),
        ("input_params", Charge { input_params: text("{}"), ..same.clone() }.command()),
        ("funding", Charge { funding: Funding::PointsOnly, ..same.clone() }.command()),
        ("deployment_uuid", Charge { deployment_uuid: text(""), ..same.clone() }.command()),
        ("pay_type", Charge { pay_type: 0, ..same }.command()),
        ("task_id", charge("newer", 50).command()),
        ("method", authorize("new", 50).command()),
    ]
}

fn credit_variants() -> Vec<(&'static str, Command)> {
    let same = credit(Purse::Points, 10);
    vec![
        ("amount", credit(Purse::Points, 11).command()),
        ("purse", Credit { purse: Purse::Cash, ..same.clone() }.command()),
        ("source_type", Credit { source_type: SourceType::Gift, ..same.clone() }.command()),
        ("order_id", Credit { order_id: text("x"), ..same.clone() }.command()),
        ("pay_type", Credit { pay_type: 9, ..same }.command()),
        ("method", debit(10).command()),
    ]
}

#[test]
fn a_repeated_charge_without_a_request_id_names_the_field_that_differs() {
    for (field, variant) in charge_variants() {
        if field == "task_id" {
            continue;
        }
        let mut bench = bench();
        bench.ok(charge("new", 50));
        let taken =
            Rejection::TaskAlreadyCharged { task_id: text("new"), field, status: TaskStatus::Pending };
        assert_eq!(bench.refused(variant), taken);
    }
}

#[test]
fn the_title_the_spelling_of_json_and_the_request_id_are_no_content() {
    let mut bench = bench();
    let spelt = |title: &str, input: &str| Charge {
        title: text(title),
        input_params: text(input),
        ..charge("new", 5)
    };
    bench.run_as("r", spelt("one", r#"{"a":1,"b":[true]}"#)).expect("charged");
    let respelt = spelt("two", "{ \"b\" : [ true ],\n\"a\":1 }");
    assert!(bench.run_as("r", respelt.clone()).is_ok_and(|done| done.replayed));
    assert!(bench.run_as("other", respelt).is_ok_and(|done| done.replayed));
    let renamed = Credit { title: text("x"), ..credit(Purse::Points, 10) };
    bench.run_as("c", credit(Purse::Points, 10)).expect("credited");
    assert!(bench.run_as("c", renamed).is_ok_and(|done| done.replayed));
}

#[test]
fn request_ids_of_different_users_do_not_meet() {
    let mut bench = bench();
    bench.run_as("r", credit(Purse::Points, 10)).expect("credited");
    let other = bench.run_as("r", of_user(8, credit(Purse::Cash, 99))).expect("credited");
    assert!(!other.replayed);
    assert_eq!(bench.world.user(8).balance, money(0, 99));
}

#[test]
fn a_second_request_id_for_what_was_done_is_a_replay_and_is_kept() {
    let mut bench = bench();
    bench.run_as("r-1", charge("new", 350)).expect("charged");
    let second = bench.run_as("r-2", charge("new", 350)).expect("replayed");
    assert!(second.replayed);
    assert_eq!(
        bench.world.requests()[&(USER, text("r-2"))].frozen,
        Frozen::Done { entries: second.earlier_entries, late: false, lease_id: None }
    );
    let reused = Rejection::RequestIdReused { request_id: text("r-2"), field: "amount" };
    assert_eq!(bench.run_as("r-2", charge("new", 1)), Err(reused));
}

/// A command that is refused, what then makes it possible, and how the refusal reads.
type FrozenCase = (Command, Vec<Command>, fn(&Rejection) -> bool);

/// Each refusal that is frozen; the hold's expiry has a test of its own.
fn frozen_refusals() -> Vec<FrozenCase> {
    vec![
        (charge("new", 901).command(), vec![credit(Purse::Points, 500).command()], |rejection| {
            matches!(rejection, Rejection::InsufficientBalance { required: 901, available: 800, held: 100 })
        }),
        (authorize("new", 901).command(), vec![credit(Purse::Points, 500).command()], |rejection| {
            matches!(rejection, Rejection::InsufficientBalance { required: 901, available: 800, held: 100 })
        }),
        (debit(901).command(), vec![credit(Purse::Points, 500).command()], |rejection| {
            matches!(rejection, Rejection::InsufficientBalance { required: 901, available: 800, held: 100 })
        }),
        (refund("t", 101).command(), vec![], |rejection| {
            matches!(rejection, Rejection::RefundExceedsCharge { charged: 100, refunded: 0, requested: 101 })
        }),
        (refund_all("h").command(), vec![capture("h", 50).command()], |rejection| {
            matches!(rejection, Rejection::TaskStateConflict { status: TaskStatus::Pending, .. })
        }),
        (capture("h", 101).command(), vec![], |rejection| {
            matches!(rejection, Rejection::CaptureExceedsHold { held: 100, requested: 101 })
        }),
    ]
}

#[test]
fn a_frozen_refusal_stays_refused_after_the_world_has_changed() {
    for (command, remedy, is_expected) in frozen_refusals() {
        let mut bench = bench();
        let first = bench.run_as("r", command.clone()).expect_err("refused");
        assert!(is_expected(&first), "{command:?}: {first:?}");
        assert_eq!(bench.world.requests().len(), 3, "two credits and this one");
        let remedied = !remedy.is_empty();
        for command in remedy {
            bench.ok(command);
        }
        bench.pass(1_000);
        let stored = bench.world.clone();
        assert_eq!(bench.run_as("r", command.clone()), Err(first), "{command:?}");
        assert_eq!(bench.world, stored);
        assert_eq!(bench.run_as("another", command.clone()).is_ok(), remedied, "{command:?}");
    }
}

#[test]
fn an_expired_hold_is_a_frozen_refusal_too() {
    let mut bench = bench();
    bench.ok(Authorize { ttl_micros: Some(10), ..authorize("brief", 50) });
    bench.pass(10);
    let expired = Err(Rejection::HoldExpired { held: 50, requested: 20 });
    assert_eq!(bench.run_as("r", capture("brief", 20)), expired);
    bench.pass(-5);
    assert_eq!(bench.run_as("r", capture("brief", 20)), expired, "even for a clock that went back");
    assert!(bench.run_as("another", capture("brief", 20)).is_ok());
}

#[test]
fn what_is_not_frozen_may_come_right_under_the_same_request_id() {
    let cases: Vec<(Command, Vec<Command>)> = vec![
        (of_user(8, charge("new", 5)), vec![of_user(8, credit(Purse::Points, 5))]),
        (start("new", "o").command(), vec![charge("new", 5).command()]),
        (refund("new", 5).command(), vec![charge("new", 5).command()]),
        (capture("new", 5).command(), vec![authorize("new", 5).command()]),
        (FailTask { no_refund: true, ..fail("h") }.command(), vec![void("h").command()]),
        (credit(Purse::Points, i64::MAX).command(), vec![debit(900).command()]),
    ];
    for (command, remedy) in cases {
        let mut bench = bench();
        if matches!(command, Command::FailTask(_)) {
            bench.ok(start("h", "o"));
        }
        if matches!(command, Command::Credit(_)) {
            bench.ok(void("h"));
        }
        let stored = bench.world.clone();
        let rejection = bench.run_as("r", command.clone()).expect_err("refused");
        assert_eq!(rejection.freeze(), None);
        assert_eq!(bench.world, stored, "nothing is frozen: {rejection:?}");
        for command in remedy {
            bench.ok(command);
        }
        let outcome = bench.run_as("r", command.clone());
        assert!(outcome.as_ref().is_ok_and(|done| !done.replayed), "{command:?}: {outcome:?}");
    }
}

#[test]
fn a_conflict_over_a_task_or_a_request_id_is_never_frozen() {
    let mut bench = bench();
    bench.run_as("used", charge("new", 5)).expect("charged");
    let stored = bench.world.clone();
    assert!(matches!(bench.run_as("r", charge("t", 5)), Err(Rejection::TaskAlreadyCharged { .. })));
    assert!(matches!(bench.run_as("used", charge("t", 5)), Err(Rejection::RequestIdReused { .. })));
    assert!(submission("r", charge("", 5)).is_err());
    assert_eq!(bench.world, stored);
    assert!(bench.run_as("r", charge("newer", 5)).is_ok_and(|done| !done.replayed), "the id is still free");
}

#[test]
fn the_request_id_is_looked_up_before_the_task_and_the_balance() {
    let mut bench = bench();
    let refunded = bench.run_as("r", refund("t", 100)).expect("refunded");
    let again = bench.run_as("r", refund("t", 100)).expect("a replay, though nothing is left to refund");
    assert_eq!(again.earlier_entries.map(|range| range.first_seq), Some(refunded.entries[0].user_seq));
    bench.run_as("d", debit(800)).expect("debited");
    assert!(bench.run_as("d", debit(800)).is_ok_and(|done| done.replayed), "though nothing is left to draw");
}

#[test]
fn a_refusal_reads_back_from_storage_as_it_was() {
    let refusals = [
        Rejection::InsufficientBalance { required: i64::MAX, available: 0, held: 3 },
        Rejection::RefundExceedsCharge { charged: 1, refunded: 2, requested: 3 },
        Rejection::TaskStateConflict {
            task_id: text("t"),
            status: TaskStatus::Failed,
            why: text("它 \"so\""),
        },
        Rejection::HoldExpired { held: 1, requested: 0 },
        Rejection::CaptureExceedsHold { held: 1, requested: 2 },
    ];
    for refusal in refusals {
        let stored = serde_json::to_string(&refusal.freeze().expect("frozen")).expect("JSON");
        let read: FrozenRefusal = serde_json::from_str(&stored).expect("JSON");
        assert_eq!(read.thaw(Some(&Text::from("t"))), refusal, "{stored}");
    }
}
