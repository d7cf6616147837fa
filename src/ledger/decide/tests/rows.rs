//! The rows each operation writes: entries of both purses, the task, the user's figures, and nothing else.

use super::commands::{
    ACTOR, USER, authorize, capture, charge, complete, credit, debit, expire, fail, refund, refund_all,
    start, text, void,
};
use super::{Bench, Done, money, movements};
use crate::ledger::command::{Authorize, Charge, CompleteTask, Credit, FailTask};
use crate::ledger::{
    Change, EntryRange, HoldState, Micros, Operation, Purse, SourceType, TaskStatus, TransactionType, User,
};

/// What the entries of a command have in common, which must be one thing.
fn kind(done: &Done) -> (Operation, SourceType, TransactionType, String, String) {
    let kinds: Vec<_> = done
        .entries
        .iter()
        .map(|entry| {
            let words = (entry.operation, entry.source_type, entry.transaction_type());
            (words.0, words.1, words.2, entry.order_id.to_string(), entry.title.to_string())
        })
        .collect();
    assert!(kinds.windows(2).all(|pair| pair[0] == pair[1]), "entries of one operation: {kinds:?}");
    kinds.into_iter().next().expect("an entry")
}

fn written(bench: &Bench) -> (usize, usize, usize, usize, usize) {
    let plan = &bench.plan;
    (plan.users.len(), plan.tasks.len(), plan.entries.len(), plan.attempts.len(), plan.requests.len())
}

#[test]
fn a_charge_writes_an_entry_for_each_purse_and_a_pending_task() {
    let mut bench = Bench::with(400, 500);
    let done = bench.ok(charge("t", 600));

    assert_eq!(movements(&done), [(Purse::Points, -400, 400, 0), (Purse::Cash, -200, 500, 300)]);
    let expected = (Operation::Charge, SourceType::Consume, TransactionType::Consume);
    assert_eq!(
        kind(&done),
        (expected.0, expected.1, expected.2, "t".to_owned(), "fal-ai/flux/dev".to_owned())
    );
    let entry = &done.entries[0];
    assert_eq!((entry.user_id, entry.user_seq, entry.time), (USER, 3, bench.now));
    assert_eq!((&*entry.deployment_uuid, entry.pay_type, &*entry.actor), ("deployment-1", 2, ACTOR));
    assert_eq!(entry.request_id, None);

    assert_eq!(written(&bench), (1, 1, 2, 0, 0));
    assert_eq!(bench.plan.tasks[0].change, Change::Insert);
    let task = bench.world.task("t");
    assert_eq!((task.status, task.money, task.charged), (TaskStatus::Pending, 600, money(400, 200)));
    assert_eq!((task.hold_state, task.held, task.authorized), (None, money(0, 0), money(0, 0)));
    assert_eq!((task.user_id, &*task.app_name, &*task.task_type), (USER, "fal-ai/flux/dev", "image"));
    assert_eq!((&*task.deployment_uuid, task.pay_type), ("deployment-1", 2));
    assert_eq!((task.create_time, task.complete_time), (bench.now, None));
    assert_eq!(task.charge_entries(), Some(EntryRange { first_seq: 3, count: 2 }));
    assert_eq!(&*bench.world.tasks()["t"].input_params, r#"{"prompt":"a cat"}"#);
    assert_eq!(bench.balance(), money(0, 300));
    assert_eq!((done.user.balance, done.task.expect("a task").money), (money(0, 300), 600));
}

#[test]
fn the_title_of_a_charge_is_the_callers_where_one_is_given() {
    let mut bench = Bench::with(100, 0);
    let done = bench.ok(Charge { title: text("a portrait"), ..charge("t", 1) });
    assert_eq!(&*done.entries[0].title, "a portrait");
}

#[test]
fn a_charge_of_nothing_writes_the_task_alone() {
    let mut bench = Bench::with(100, 0);
    let before = *bench.world.user(USER);
    let done = bench.ok(charge("t", 0));
    assert_eq!(written(&bench), (0, 1, 0, 0, 0));
    assert!(done.entries.is_empty());
    assert_eq!(*bench.world.user(USER), before);
    assert_eq!((bench.world.task("t").money, bench.world.task("t").charge_entries()), (0, None));
}

#[test]
fn a_refund_writes_its_entries_cash_first_and_counts_on_the_task() {
    let mut bench = Bench::with(400, 500);
    bench.ok(charge("t", 600));
    bench.pass(5);
    let done = bench.ok(crate::ledger::command::Refund { reason: text("blurred"), ..refund("t", 300) });

    assert_eq!(movements(&done), [(Purse::Cash, 200, 300, 500), (Purse::Points, 100, 0, 100)]);
    let expected = (Operation::Refund, SourceType::Refund, TransactionType::In);
    assert_eq!(kind(&done), (expected.0, expected.1, expected.2, "t".to_owned(), "blurred".to_owned()));
    assert_eq!((&*done.entries[0].deployment_uuid, done.entries[0].pay_type), ("deployment-1", 2));
    assert_eq!(written(&bench), (1, 1, 2, 0, 1));
    let task = bench.world.task("t");
    assert_eq!((task.money, task.charged, task.refunded), (600, money(400, 200), money(100, 200)));
    assert_eq!(task.refund_entries, Some(EntryRange { first_seq: 5, count: 2 }));
    assert_eq!((task.status, task.complete_time), (TaskStatus::Pending, None));
    assert_eq!(task.refundable(), money(300, 0));
}

#[test]
fn a_hold_writes_no_entry_and_sets_the_money_aside() {
    let mut bench = Bench::with(400, 500);
    let done = bench.ok(Authorize { ttl_micros: Some(60), ..authorize("t", 600) });

    assert_eq!(written(&bench), (1, 1, 0, 0, 0));
    assert!(done.entries.is_empty());
    assert_eq!((bench.balance(), bench.held()), (money(400, 500), money(400, 200)));
    let task = bench.world.task("t");
    assert_eq!((task.status, task.money, task.charged), (TaskStatus::Pending, 0, money(0, 0)));
    assert_eq!((task.held, task.authorized), (money(400, 200), money(400, 200)));
    assert_eq!((task.hold_state, task.hold_expire_time), (Some(HoldState::Open), Some(bench.now.plus(60))));
    assert_eq!((task.charge_entries(), task.complete_time), (None, None));
    assert_eq!(done.user.available(), money(0, 300));
}

#[test]
fn a_capture_writes_what_it_takes_as_a_charge_does_and_releases_the_rest() {
    let mut bench = Bench::with(400, 500);
    bench.ok(authorize("t", 600));
    bench.pass(5);
    let done = bench.ok(capture("t", 500));

    assert_eq!(movements(&done), [(Purse::Points, -400, 400, 0), (Purse::Cash, -100, 500, 400)]);
    let expected = (Operation::Capture, SourceType::Consume, TransactionType::Consume);
    assert_eq!(
        kind(&done),
        (expected.0, expected.1, expected.2, "t".to_owned(), "fal-ai/flux/dev".to_owned())
    );
    assert_eq!((&*done.entries[0].deployment_uuid, done.entries[0].pay_type), ("deployment-1", 2));
    assert_eq!(written(&bench), (1, 1, 2, 0, 0));
    assert_eq!((bench.balance(), bench.held()), (money(0, 400), money(0, 0)));
    let task = bench.world.task("t");
    assert_eq!((task.money, task.charged, task.held), (500, money(400, 100), money(0, 0)));
    assert_eq!((task.hold_state, task.hold_expire_time), (Some(HoldState::Captured), None));
    assert_eq!((task.authorized, task.status), (money(400, 200), TaskStatus::Pending));
    assert_eq!(task.charge_entries(), Some(EntryRange { first_seq: 3, count: 2 }));
}

#[test]
fn the_entries_of_a_capture_carry_the_title_the_hold_was_given() {
    let mut bench = Bench::with(100, 0);
    let named = Charge { title: text("a portrait"), ..charge("t", 10) };
    bench.ok(Authorize { charge: named, ttl_micros: None });
    assert_eq!(&*bench.ok(capture("t", 10)).entries[0].title, "a portrait");
}

#[test]
fn voiding_and_expiring_write_no_entry_and_cancel_a_pending_task() {
    let mut voided = Bench::with(400, 500);
    voided.ok(authorize("t", 600));
    voided.pass(5);
    voided.ok(void("t"));
    let mut expired = Bench::with(400, 500);
    expired.ok(Authorize { ttl_micros: Some(5), ..authorize("t", 600) });
    expired.pass(5);
    expired.ok(expire("t"));

    for (bench, state) in [(voided, HoldState::Voided), (expired, HoldState::Expired)] {
        assert_eq!(written(&bench), (1, 1, 0, 0, 0));
        assert_eq!((bench.balance(), bench.held()), (money(400, 500), money(0, 0)));
        let task = bench.world.task("t");
        assert_eq!((task.hold_state, task.held, task.hold_expire_time), (Some(state), money(0, 0), None));
        assert_eq!((task.status, task.complete_time), (TaskStatus::Canceled, Some(bench.now)));
        assert_eq!((task.money, task.authorized), (0, money(400, 200)));
    }
}

#[test]
fn a_credit_writes_its_source_and_creates_the_user() {
    let sources = [SourceType::Recharge, SourceType::Gift, SourceType::Reward, SourceType::System];
    for source_type in sources {
        for purse in [Purse::Points, Purse::Cash] {
            let mut bench = Bench::new();
            let done = bench.ok(Credit { source_type, title: text("welcome"), ..credit(purse, 250) });
            assert_eq!(movements(&done), [(purse, 250, 0, 250)]);
            let words = (Operation::Credit, source_type, TransactionType::In);
            assert_eq!(kind(&done), (words.0, words.1, words.2, "order-1".to_owned(), "welcome".to_owned()));
            assert_eq!((done.entries[0].pay_type, &*done.entries[0].deployment_uuid), (1, ""));
            assert_eq!(written(&bench), (1, 0, 1, 0, 1));
            assert_eq!(bench.plan.users[0].0, Change::Insert);
            assert_eq!(bench.world.user(USER).create_time, bench.now);
        }
    }
}

#[test]
fn agent_revenue_is_cash_of_its_own_transaction_type() {
    let mut bench = Bench::new();
    let done = bench.ok(credit(Purse::Cash, 250));
    let words = (Operation::Credit, SourceType::AgentRevenue, TransactionType::AgentRevenue);
    assert_eq!(kind(&done), (words.0, words.1, words.2, "order-1".to_owned(), "agent_revenue".to_owned()));
    assert_eq!(done.entries[0].transaction_type().code(), 3);
    assert_eq!(bench.balance(), money(0, 250));
}

#[test]
fn a_debit_writes_as_the_system_and_touches_no_task() {
    let mut bench = Bench::with(400, 500);
    let done = bench.ok(debit(600));
    assert_eq!(movements(&done), [(Purse::Points, -400, 400, 0), (Purse::Cash, -200, 500, 300)]);
    let words = (Operation::Debit, SourceType::System, TransactionType::Consume);
    assert_eq!(kind(&done), (words.0, words.1, words.2, "order-9".to_owned(), "debit".to_owned()));
    assert_eq!(written(&bench), (1, 0, 2, 0, 1));
    assert_eq!(done.task, None);
}

#[test]
fn starting_writes_an_attempt_and_no_figure_of_the_user() {
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    bench.pass(5);
    bench.ok(start("t", "online-1"));
    assert_eq!(written(&bench), (0, 1, 0, 1, 0));
    let attempt = &bench.plan.attempts[0];
    assert_eq!((attempt.user_id, &*attempt.task_id, attempt.attempt), (USER, "t", 1));
    assert_eq!((&*attempt.online_task_id, &*attempt.key_id), ("online-1", "key-1"));
    assert_eq!(attempt.start_time, bench.now);
    let task = bench.world.task("t");
    assert_eq!(
        (task.status, &*task.online_task_id, &*task.key_id),
        (TaskStatus::Processing, "online-1", "key-1")
    );
    assert_eq!(task.complete_time, None);
}

#[test]
fn completing_writes_the_result_and_the_reported_cost() {
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 10));
    bench.ok(start("t", "online-1"));
    bench.pass(5);
    bench.ok(complete("t"));
    assert_eq!(written(&bench), (0, 1, 0, 0, 0));
    let task = bench.world.task("t");
    assert_eq!((task.status, task.complete_time), (TaskStatus::Completed, Some(bench.now)));
    assert_eq!((task.reported_cost_nano_usd, task.billed_cost_nano_usd), (Some(90_240_000), None));
    assert_eq!((task.billable_units.as_deref(), &*task.online_task_id), (Some("8.44"), "online-1"));
    assert_eq!(&*bench.world.tasks()["t"].output_params, r#"{"url":"x"}"#);
    assert_eq!(&*bench.world.tasks()["t"].input_params, r#"{"prompt":"a cat"}"#, "the input stays");
    assert_eq!(task.money, 10);
}

#[test]
fn completing_with_a_capture_writes_both_in_one_plan() {
    let mut bench = Bench::with(100, 0);
    bench.ok(authorize("t", 60));
    let done = bench.ok(CompleteTask { capture_amount: Some(40), ..complete("t") });
    assert_eq!(movements(&done), [(Purse::Points, -40, 100, 60)]);
    assert_eq!(done.entries[0].operation, Operation::Capture);
    assert_eq!(written(&bench), (1, 1, 1, 0, 0));
    let task = bench.world.task("t");
    assert_eq!(
        (task.status, task.hold_state, task.money),
        (TaskStatus::Completed, Some(HoldState::Captured), 40)
    );
    assert_eq!(bench.held(), money(0, 0));
}

#[test]
fn failing_gives_back_all_that_is_left_and_writes_the_error() {
    let mut bench = Bench::with(400, 500);
    bench.ok(charge("t", 600));
    bench.ok(refund("t", 150));
    bench.pass(5);
    let done = bench.ok(fail("t"));
    assert_eq!(movements(&done), [(Purse::Cash, 50, 450, 500), (Purse::Points, 400, 0, 400)]);
    let words = (Operation::Refund, SourceType::Refund, TransactionType::In);
    let (operation, source_type, transaction_type, order_id, _) = kind(&done);
    assert_eq!((operation, source_type, transaction_type), words);
    assert_eq!(order_id, "t");
    let task = bench.world.task("t");
    assert_eq!((task.status, task.error.as_deref()), (TaskStatus::Failed, Some("upstream said no")));
    assert_eq!((task.complete_time, task.refunded), (Some(bench.now), task.charged));
    assert_eq!(bench.balance(), money(400, 500));
}

#[test]
fn failing_a_held_task_voids_the_hold_without_an_entry() {
    let mut bench = Bench::with(400, 500);
    bench.ok(authorize("t", 600));
    let done = bench.ok(fail("t"));
    assert!(done.entries.is_empty());
    assert_eq!(written(&bench), (1, 1, 0, 0, 0));
    let task = bench.world.task("t");
    assert_eq!((task.status, task.hold_state), (TaskStatus::Failed, Some(HoldState::Voided)));
    assert_eq!((bench.balance(), bench.held()), (money(400, 500), money(0, 0)));
}

#[test]
fn failing_without_a_refund_writes_the_task_alone() {
    let mut bench = Bench::with(100, 0);
    bench.ok(charge("t", 60));
    let done = bench.ok(FailTask { no_refund: true, ..fail("t") });
    assert!(done.entries.is_empty());
    assert_eq!(written(&bench), (0, 1, 0, 0, 0));
    assert_eq!((bench.world.task("t").status, bench.balance()), (TaskStatus::Failed, money(40, 0)));
    assert_eq!(bench.ok(refund_all("t")).entries.len(), 1, "what was kept can still be refunded");
}

#[test]
fn the_user_row_says_when_a_balance_or_hold_last_changed() {
    let mut bench = Bench::with(100, 0);
    let created = bench.now;
    let changed = |what: &str, bench: &Bench, since: Micros| {
        let User { update_time, create_time, .. } = *bench.world.user(USER);
        assert_eq!((update_time, create_time), (since, created), "{what}");
    };
    bench.pass(5);
    bench.ok(charge("t", 10));
    let charged = bench.now;
    changed("a charge", &bench, charged);
    bench.pass(5);
    bench.ok(start("t", "online-1"));
    changed("a start moves nothing", &bench, charged);
    bench.pass(5);
    bench.ok(authorize("h", 10));
    let now = bench.now;
    changed("a hold", &bench, now);
}
