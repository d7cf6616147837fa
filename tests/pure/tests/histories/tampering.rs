//! Verify: it finds nothing in any history, and something in every history in which one stored figure was changed.

use proptest::prelude::*;

use super::generate::{START, rounds};
use super::ledger::hash::ChainFields;
use super::ledger::verify::{Disagreement, UserCheck};
use super::ledger::{Entry, Hash, HoldState, Money, RequestRecord, Task, TaskStatus, User, UserId};
use super::step;
use super::world::World;

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
        _ => {}
    }
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
        what in 0..20_usize,
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
