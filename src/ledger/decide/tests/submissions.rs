//! What a submission refuses before it is ever decided, field by field, and what works and plans say of themselves.

use super::commands::{
    ACTOR, USER, authorize, capture, charge, complete, credit, fail, note, one, select, selection, start,
    submission, text, void,
};
use super::{AsCommand, Bench, Plan, Rejection};
use crate::ledger::command::{
    Authorize, Capture, Charge, Command, CompleteTask, Credit, FailTask, SelectKey, StartTask, Void,
};
use crate::ledger::{
    Batch, Change, EntryRange, Funding, KeySelection, Limits, Purse, SourceType, Submission, Task, Work,
};

/// The fields that are named as wrong.
#[track_caller]
fn named(command: impl AsCommand) -> Vec<&'static str> {
    named_under(&Limits::default(), command)
}

#[track_caller]
fn named_under(limits: &Limits, command: impl AsCommand) -> Vec<&'static str> {
    match Submission::new(command.command(), "request-1", &text(ACTOR), limits) {
        Ok(_) => Vec::new(),
        Err(Rejection::InvalidField(fields)) => fields.iter().map(|wrong| wrong.field).collect(),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_task_is_named_by_its_id_and_may_leave_its_user_to_be_looked_up() {
    for (user_id, expected) in [(-1, &["user_id"][..]), (0, &[]), (1, &[])] {
        assert_eq!(named(Capture { user_id, ..capture("job", 1) }), expected, "user {user_id}");
        assert_eq!(named(Void { user_id, ..void("job") }), expected, "user {user_id}");
        assert_eq!(named(StartTask { user_id, ..start("job", "") }), expected, "user {user_id}");
        assert_eq!(named(CompleteTask { user_id, ..complete("job") }), expected, "user {user_id}");
        assert_eq!(named(FailTask { user_id, ..fail("job") }), expected, "user {user_id}");
    }
    let nameless: [Command; 6] = [
        capture("", 1).command(),
        void("").command(),
        start("", "").command(),
        complete("").command(),
        fail("").command(),
        note("", "online-1", "key-1", "lease-1").command(),
    ];
    for command in nameless {
        assert_eq!(named(command.clone()), ["task_id"], "{command:?}");
    }
}

#[test]
fn what_is_asked_of_the_key_pool_is_checked_wherever_it_is_asked() {
    let wrong = |selected: KeySelection| {
        let charging = Charge { select_key: Some(Box::new(selected.clone())), ..charge("job", 1) };
        let fields = named(charging.clone());
        assert_eq!(named(Authorize { charge: charging, ttl_micros: None }), fields);
        assert_eq!(named(SelectKey { selection: selected, ..select("job", "", "") }), fields);
        fields
    };
    let asked = selection("runner-1", "lease-1");
    for (cost, expected) in [(-1, &["estimated_cost_nano_usd"][..]), (0, &[]), (1, &[])] {
        assert_eq!(
            wrong(KeySelection { estimated_cost_nano_usd: Some(cost), ..asked.clone() }),
            expected,
            "{cost}"
        );
    }
    assert_eq!(wrong(KeySelection { ttl_micros: Some(0), ..asked.clone() }), ["ttl"]);
    assert_eq!(wrong(KeySelection { runner_id: text(&"r".repeat(256)), ..asked }), ["runner_id"]);
}

#[test]
fn a_hold_lasts_longer_than_nothing_and_no_longer_than_the_limit_which_is_told_in_days() {
    let longest = Limits::default().max_hold_micros;
    for (ttl, is_good) in [(0, false), (1, true), (longest, true), (longest + 1, false)] {
        let refused = submission("", Authorize { ttl_micros: Some(ttl), ..authorize("job", 1) }).err();
        assert_eq!(refused.is_none(), is_good, "{ttl}");
        if let Some(refused) = refused {
            let Rejection::InvalidField(fields) = refused else { panic!("{refused:?}") };
            assert_eq!(
                (fields[0].field, &*fields[0].description),
                ("ttl", "must be above 0 and at most 30 days")
            );
        }
    }
}

#[test]
fn agent_revenue_goes_to_the_cash_purse_alone() {
    for purse in [Purse::Points, Purse::Cash] {
        let revenue = Credit { source_type: SourceType::AgentRevenue, ..credit(purse, 1) };
        let expected: &[&str] = if purse.is_cash() { &[] } else { &["source_type"] };
        assert_eq!(named(revenue), expected, "{purse:?}");
        for source_type in [SourceType::Consume, SourceType::Refund] {
            assert_eq!(named(Credit { source_type, ..credit(purse, 1) }), ["source_type"], "{source_type:?}");
        }
    }
}

#[test]
fn a_payment_channel_is_no_negative_number() {
    for (pay_type, expected) in [(-1, &["pay_type"][..]), (0, &[]), (1, &[])] {
        assert_eq!(named(Charge { pay_type, ..charge("job", 1) }), expected, "{pay_type}");
        assert_eq!(named(Credit { pay_type, ..credit(Purse::Points, 1) }), expected, "{pay_type}");
    }
}

#[test]
fn json_is_read_up_to_its_last_byte_and_what_is_too_long_is_not_even_parsed() {
    let limits = Limits { max_json_bytes: 8, ..Limits::default() };
    let wrong = |json: &str| named_under(&limits, Charge { input_params: text(json), ..charge("job", 1) });
    assert_eq!(wrong(r#"{"a":12}"#), [""; 0], "8 bytes");
    assert_eq!(wrong("no json."), ["input_params"], "8 bytes");
    assert_eq!(wrong("no json"), ["input_params"], "7 bytes");
    assert_eq!(wrong("no json at all"), ["input_params"], "too long, and said once");
    assert_eq!(wrong(""), [""; 0]);
}

#[test]
fn work_counts_its_items() {
    let batch = |count: usize| {
        let items = (0..count).map(|n| submission("", charge(&format!("job-{n}"), 1))).collect();
        Work::Batch(Batch { items, atomic: false })
    };
    for (work, count) in [(one("", charge("job", 1)), 1), (batch(0), 0), (batch(1), 1), (batch(3), 3)] {
        assert_eq!((work.len(), work.is_empty()), (count, count == 0));
    }
}

#[test]
fn a_plan_with_anything_to_write_is_not_empty() {
    let mut bench = Bench::with(10, 0);
    bench.ok(charge("job", 1));
    let (users, tasks, entries) =
        (bench.plan.users.clone(), bench.plan.tasks.clone(), bench.plan.entries.clone());
    bench.run_as("request-1", credit(Purse::Points, 1).command()).expect("done");
    let requests = bench.plan.requests.clone();
    bench.ok(start("job", "online-1"));
    let attempts = bench.plan.attempts.clone();
    assert!(matches!(users[..], [(Change::Update, user)] if user.user_id == USER));
    for plan in [
        Plan { users, ..Plan::default() },
        Plan { tasks, ..Plan::default() },
        Plan { entries, ..Plan::default() },
        Plan { requests, ..Plan::default() },
        Plan { attempts, ..Plan::default() },
    ] {
        assert_ne!(plan, Plan::default(), "there is something in it");
        assert!(!plan.is_empty(), "{plan:?}");
    }
    assert!(Plan::default().is_empty());
}

#[test]
fn a_repeated_charge_names_as_many_entries_as_it_moved_purses() {
    for (funding, amount, count) in
        [(Funding::PointsOnly, 3, 1), (Funding::CashOnly, 3, 1), (Funding::PointsThenCash, 8, 2)]
    {
        let mut bench = Bench::with(5, 5);
        let command = Charge { funding, ..charge("job", amount) };
        let first_seq = bench.ok(command.clone()).entries[0].user_seq;
        let earlier = bench.replay(command).earlier_entries;
        assert_eq!(earlier, Some(EntryRange { first_seq, count }), "{funding:?}");
    }
}

#[test]
fn a_task_costs_what_was_billed_and_before_that_what_was_reported() {
    let mut bench = Bench::with(5, 0);
    bench.ok(charge("job", 5));
    let done = bench.ok(CompleteTask { cost_nano_usd: Some(7), ..complete("job") });
    let reported = Task::clone(done.task.as_ref().expect("its task"));
    assert_eq!(reported.cost_nano_usd(), Some(7));
    let billed = Task { billed_cost_nano_usd: Some(9), ..reported.clone() };
    assert_eq!(billed.cost_nano_usd(), Some(9));
    assert_eq!(Task { reported_cost_nano_usd: None, ..reported }.cost_nano_usd(), None);
}
