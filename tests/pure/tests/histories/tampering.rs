//! Verify: it finds nothing in any history, and something in every history in which one stored figure was changed.

use proptest::prelude::*;

use super::commands::{AsCommand, USER, charge, credit, fail, one, refund};
use super::generate::{START, rounds};
use super::ledger::command::Command;
use super::ledger::hash::{ChainFields, PointsFields};
use super::ledger::verify::{Disagreement, UserCheck};
use super::ledger::{
    Entry, EntryRange, Field, Fingerprint, Frozen, Hash, HoldState, Method, Money, Purse, RequestRecord,
    Task, TaskStatus, User, UserId,
};
use super::world::World;
use super::{step, step_one};

/// One user's rows, free to be changed: the tables would not let them be.
#[derive(Clone, Debug, PartialEq)]
struct Rows {
    user: User,
    entries: Vec<Entry>,
    tasks: Vec<Task>,
    requests: Vec<RequestRecord>,
}

fn rows_of(world: &World, user_id: UserId) -> Rows {
    let of_user = |task: &&Task| task.user_id == user_id;
    Rows {
        user: *world.user(user_id),
        entries: world
            .entries()
            .values()
            .map(|row| row.entry.clone())
            .filter(|entry| entry.user_id == user_id)
            .collect(),
        tasks: world.tasks().values().map(|row| &row.task).filter(of_user).cloned().collect(),
        requests: world.requests().values().filter(|record| record.user_id == user_id).cloned().collect(),
    }
}

fn check(rows: &Rows) -> Vec<Disagreement> {
    let mut check = UserCheck::new(rows.user.user_id);
    for entry in &rows.entries {
        check.entry(&ChainFields::of(entry), &entry.hash);
    }
    for task in &rows.tasks {
        check.task(task, !task.refunded.is_zero());
    }
    for request in &rows.requests {
        check.request(request);
    }
    check.finish(Some(&rows.user))
}

fn more(money: Money) -> Money {
    Money { points: money.points + 1, cash: money.cash }
}

/// Each way of changing one figure of the rows; `at` picks the row.
fn tamper(rows: &mut Rows, what: usize, at: usize) {
    let entry = rows.entries.len().checked_sub(1).map(|last| at % (last + 1));
    let task = rows.tasks.len().checked_sub(1).map(|last| at % (last + 1));
    match (what, entry, task) {
        (0, ..) => rows.user.balance = more(rows.user.balance),
        (1, ..) => rows.user.held = more(rows.user.held),
        (2, ..) => rows.user.entry_seq += 1,
        (3, ..) => rows.user.chain_hash = Hash([7; 32]),
        (4, Some(at), _) => rows.entries[at].amount += 1,
        (5, Some(at), _) => rows.entries[at].balance_after += 1,
        (6, Some(at), _) => rows.entries[at].hash = Hash([7; 32]),
        (7, Some(at), _) => rows.entries[at].title = "another".into(),
        (8, Some(at), _) => drop(rows.entries.remove(at)),
        (9, Some(at), _) => rows.entries[at].time = rows.entries[at].time.plus(-1),
        (10, Some(at), _) => rows.entries[at].order_id = "another".into(),
        (11, _, Some(at)) => rows.tasks[at].charged = more(rows.tasks[at].charged),
        (12, _, Some(at)) => rows.tasks[at].refunded = more(rows.tasks[at].refunded),
        (13, _, Some(at)) => rows.tasks[at].money += 1,
        (14, _, Some(at)) => rows.tasks[at].held = more(rows.tasks[at].held),
        (15, _, Some(at)) if !rows.tasks[at].charged.is_zero() => drop(rows.tasks.remove(at)),
        (16, _, Some(at)) if rows.tasks[at].hold_state == Some(HoldState::Open) => {
            rows.tasks[at].hold_state = Some(HoldState::Captured);
        }
        (17, _, Some(at)) if rows.tasks[at].status.is_open() => rows.tasks[at].status = TaskStatus::Completed,
        (18, _, Some(at)) => rows.tasks[at].charge_seq = Some(99),
        (19, ..) => rows.requests.retain(|record| {
            Some(&record.request_id) != {
                let mut keyed = rows.entries.iter().rev().filter_map(|entry| entry.request_id.as_ref());
                keyed.next()
            }
        }),
        (20, _, Some(at)) => rows.tasks[at].fingerprint = Fingerprint::new().number(Field::Amount, 77),
        (21, _, Some(at)) => rows.tasks[at].app_name = "another".into(),
        (22, _, Some(at)) if !rows.tasks[at].status.is_open() => {
            rows.tasks[at].status = TaskStatus::Pending;
            rows.tasks[at].complete_time = None;
        }
        (23, _, Some(at)) if rows.tasks[at].settle_entries.is_some() => {
            rows.tasks[at].settle_entries = Some(EntryRange { first_seq: 1, count: 1 });
        }
        (24, _, Some(at)) => {
            if let Some(range) = &mut rows.tasks[at].refund_entries {
                *range = EntryRange { first_seq: range.first_seq - 1, count: range.count + 1 };
            }
        }
        (25, ..) => {
            if let Some(range) = done(rows, at) {
                range.count += 1;
            }
        }
        (26, ..) => {
            let moved = |record: &&mut RequestRecord| {
                record.method == Method::Credit && matches!(record.frozen, Frozen::Done { .. })
            };
            if let Some(record) = rows.requests.iter_mut().find(moved) {
                record.method = Method::Debit;
            }
        }
        (27, ..) => {
            let refused = |record: &&mut RequestRecord| {
                matches!(record.frozen, Frozen::Refused(_))
                    && record
                        .task_id
                        .as_ref()
                        .is_some_and(|id| rows.tasks.iter().all(|task| task.task_id != *id))
            };
            if let Some(record) = rows.requests.iter_mut().find(refused) {
                record.frozen = Frozen::Done { entries: None, late: false, lease_id: None };
            }
        }
        (28, _, Some(at)) if rows.tasks[at].hold_state == Some(HoldState::Open) => {
            // What is held of the task and of its user stays in step.
            let less = Money { points: 1, cash: 0 };
            let task = &mut rows.tasks[at];
            let fewer = (task.held.checked_sub(less), rows.user.held.checked_sub(less));
            if let (Some(held), Some(of_user)) = fewer {
                (task.held, task.authorized, rows.user.held) = (held, held, of_user);
            }
        }
        _ => {}
    }
}

/// The entries that some request says it wrote.
fn done(rows: &mut Rows, at: usize) -> Option<&mut EntryRange> {
    let mut ranges: Vec<&mut EntryRange> = rows
        .requests
        .iter_mut()
        .filter_map(|record| match &mut record.frozen {
            Frozen::Done { entries, .. } => entries.as_mut(),
            Frozen::Refused(_) => None,
        })
        .collect();
    let at = at.checked_rem(ranges.len())?;
    Some(ranges.swap_remove(at))
}

proptest! {
    #[test]
    fn verify_finds_nothing_in_any_history(rounds in rounds()) {
        let (mut world, mut now) = (World::default(), START);
        for round in rounds {
            now = now.plus(round.advance);
            step(&mut world, now, &round.work)?;
        }
        for user_id in world.users().keys() {
            let found = check(&rows_of(&world, *user_id));
            prop_assert!(found.is_empty(), "{:#?}", found);
        }
    }

    #[test]
    fn verify_finds_any_one_figure_that_was_changed(
        rounds in rounds(),
        what in 0..29_usize,
        at in any::<prop::sample::Index>(),
    ) {
        let (mut world, mut now) = (World::default(), START);
        for round in rounds {
            now = now.plus(round.advance);
            step(&mut world, now, &round.work)?;
        }
        for user_id in world.users().keys() {
            let stored = rows_of(&world, *user_id);
            let mut changed = stored.clone();
            tamper(&mut changed, what, at.index(64));
            let found = check(&changed);
            prop_assert_eq!(found.is_empty(), changed == stored, "way {}: {:#?}", what, found);
        }
    }
}

/// What is left of one batch a command, each under a request id of its own.
fn rows_after(commands: impl IntoIterator<Item = Command>) -> Rows {
    let (mut world, mut now) = (World::default(), START);
    for (number, command) in commands.into_iter().enumerate() {
        now = now.plus(1);
        let work = one(&format!("request-{number}"), command);
        let (outcome, _) = step_one(&mut world, now, &work).expect("it keeps the rules");
        outcome.expect("done");
    }
    rows_of(&world, USER)
}

fn is_found_whole(commands: impl IntoIterator<Item = Command>) {
    assert_eq!(check(&rows_after(commands)), []);
}

#[test]
fn verify_tells_the_newest_refund_from_those_before_it() {
    let fund = || [credit(Purse::Points, 5).command(), credit(Purse::Cash, 5).command()];
    let charged = || fund().into_iter().chain([charge("job", 10).command()]);
    // One refund to both purses; two in a row, to one purse each and to both; two with something between them.
    is_found_whole(charged().chain([refund("job", 7).command()]));
    is_found_whole(charged().chain([refund("job", 2).command(), refund("job", 1).command()]));
    is_found_whole(charged().chain([refund("job", 2).command(), refund("job", 8).command()]));
    let between = [refund("job", 2).command(), credit(Purse::Cash, 1).command(), refund("job", 2).command()];
    is_found_whole(charged().chain(between));
}

#[test]
fn verify_finds_a_task_or_a_request_that_names_entries_of_others() {
    let rows =
        rows_after([credit(Purse::Points, 20).command(), charge("job", 10).command(), fail("job").command()]);
    assert_eq!(check(&rows), []);
    // The credit's entry, the charge's, the refund's and another, none at all, and one that is not there.
    for (first_seq, count) in [(1, 1), (2, 1), (2, 2), (3, 2), (3, 0), (4, 1)] {
        let range = EntryRange { first_seq, count };
        let mut changed = rows.clone();
        changed.tasks[0].settle_entries = Some(range);
        assert!(!check(&changed).is_empty(), "the task says that failing it wrote {range:?}");
        let mut changed = rows.clone();
        let failing = changed.requests.iter_mut().find(|record| record.method == Method::FailTask);
        let Frozen::Done { entries, .. } = &mut failing.expect("its record").frozen else { panic!("done") };
        *entries = Some(range);
        assert!(!check(&changed).is_empty(), "the request says that it wrote {range:?}");
    }
}

/// What is found wrong with a credit's row that was changed, chain and all: no hash can tell.
fn found_of(purse: Purse, change: impl FnOnce(&mut ChainFields<'_>)) -> Vec<&'static str> {
    let rows = rows_after([credit(purse, 20).command()]);
    let mut fields = ChainFields::of(&rows.entries[0]);
    change(&mut fields);
    let hash = fields.chain(&Hash::ZERO);
    let mut check = UserCheck::new(USER);
    check.entry(&fields, &hash);
    rows.requests.iter().for_each(|request| check.request(request));
    let found = check.finish(Some(&User { chain_hash: hash, ..rows.user }));
    found.into_iter().map(|disagreement| disagreement.what).collect()
}

/// A change of the row's points twin.
fn found_of_twin(change: impl FnOnce(&mut PointsFields<'_>)) -> Vec<&'static str> {
    found_of(Purse::Points, |fields| change(fields.points.as_mut().expect("a points movement")))
}

#[test]
fn verify_compares_each_column_of_a_row_with_its_twin_and_its_words() {
    let nothing: [&str; 0] = [];
    assert_eq!(found_of(Purse::Points, |_| {}), nothing);
    assert_eq!(found_of(Purse::Cash, |_| {}), nothing);
    assert_eq!(found_of(Purse::Points, |fields| fields.transaction_type += 1), ["transaction_type"]);
    assert!(
        found_of(Purse::Points, |fields| fields.operation = "given").contains(&"operation and source_type")
    );
    assert_eq!(found_of(Purse::Points, |fields| fields.points = None), ["row"]);
    assert_eq!(found_of_twin(|twin| twin.points += 1), ["points"]);
    assert_eq!(found_of_twin(|twin| twin.balance_before += 1), ["balance_before"]);
    assert_eq!(found_of_twin(|twin| twin.balance_after += 1), ["balance_after"]);
    assert_eq!(found_of_twin(|twin| twin.order_id = "another"), ["order_id"]);
    assert_eq!(found_of_twin(|twin| twin.title = "another"), ["title"]);
    assert_eq!(found_of_twin(|twin| twin.source_type = "gift"), ["source_type"]);
    assert_eq!(found_of_twin(|twin| twin.created_at = twin.created_at.plus(1)), ["created_at"]);
    assert_eq!(found_of_twin(|twin| twin.request_id = None), ["request_id"]);
    assert_eq!(found_of_twin(|twin| twin.actor = "another"), ["actor"]);
    let twin = PointsFields {
        points: 20,
        order_id: "order-1",
        title: "",
        source_type: "recharge",
        balance_before: 0,
        balance_after: 20,
        created_at: START,
        request_id: None,
        actor: "tests",
    };
    assert!(found_of(Purse::Cash, |fields| fields.points = Some(twin)).contains(&"row"));
}
