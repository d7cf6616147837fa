//! What must hold of every world, and of every step from one world to the next: re-derived from the rows alone.
//!
//! It answers in words, so that a failing test says what is wrong and not only that something is. Whoever includes it
//! by `#[path]` has modules named `ledger` and `world` beside it.

use std::collections::BTreeMap;

use super::ledger::hash::ChainFields;
use super::ledger::{
    Entry, Frozen, Hash, HoldState, Micros, Money, Operation, Purse, Task, TaskStatus, Text, UserId,
};
use super::world::World;

/// What is wrong with a world; empty if nothing is.
pub fn of_world(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    for user_id in world.users().keys() {
        chain(world, *user_id, &mut wrong);
        holds(world, *user_id, &mut wrong);
    }
    for row in world.tasks().values() {
        task(world, &row.task, &mut wrong);
    }
    requests(world, &mut wrong);
    let owners = world.entries().keys().map(|(user_id, _)| user_id);
    let owners = owners.chain(world.tasks().values().map(|row| &row.task.user_id));
    // The requests of operators have no user.
    let of_users = world.requests().keys().map(|(user_id, _)| user_id).filter(|user_id| **user_id != 0);
    for owner in owners.chain(of_users) {
        expect(&mut wrong, world.users().contains_key(owner), || {
            format!("user {owner} owns rows and is not there")
        });
    }
    wrong
}

/// What a step did that no step may do; empty if nothing.
pub fn of_step(before: &World, after: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, row) in before.entries() {
        let kept = after.entries().get(key) == Some(row);
        expect(&mut wrong, kept, || format!("entry {key:?} was changed"));
    }
    for (key, row) in before.requests() {
        let kept = after.requests().get(key) == Some(row);
        expect(&mut wrong, kept, || format!("request {key:?} was changed"));
    }
    for (key, row) in before.attempts() {
        let kept = after.attempts().get(key) == Some(row);
        expect(&mut wrong, kept, || format!("attempt {key:?} was changed"));
    }
    for row in before.tasks().values() {
        match after.tasks().get(&row.task.task_id) {
            Some(now) => task_step(&row.task, &now.task, &mut wrong),
            None => wrong.push(format!("task {} is gone", row.task.task_id)),
        }
    }
    wrong
}

fn expect(wrong: &mut Vec<String>, holds: bool, what: impl FnOnce() -> String) {
    if !holds {
        wrong.push(what());
    }
}

fn entries_of(world: &World, user_id: UserId) -> impl Iterator<Item = &Entry> {
    world.entries().range((user_id, 0)..=(user_id, i64::MAX)).map(|(_, row)| &row.entry)
}

/// The chain of one user leads to its row: gapless, in time, every figure the sum of those before.
fn chain(world: &World, user_id: UserId, wrong: &mut Vec<String>) {
    let user = world.user(user_id);
    let (mut seq, mut hash, mut time) = (0, Hash::ZERO, Micros(i64::MIN));
    let mut purses: BTreeMap<Purse, i64> = [(Purse::Points, 0), (Purse::Cash, 0)].into();
    for entry in entries_of(world, user_id) {
        let at = format!("user {user_id} seq {}", entry.user_seq);
        let purse = purses.entry(entry.purse).or_default();
        expect(wrong, entry.user_seq == seq + 1, || format!("{at}: follows {seq}"));
        expect(wrong, entry.time >= time, || format!("{at}: is before its previous entry"));
        expect(wrong, entry.balance_before == *purse, || format!("{at}: the purse held {purse}: {entry:?}"));
        *purse = purse.saturating_add(entry.amount);
        expect(wrong, *purse >= 0, || format!("{at}: the purse fell below zero: {entry:?}"));
        expect(wrong, entry.balance_after == *purse, || format!("{at}: the purse holds {purse}: {entry:?}"));
        let chained = ChainFields::of(entry).chain(&hash);
        expect(wrong, entry.hash == chained, || format!("{at}: its hash does not follow the previous one"));
        (seq, hash, time) = (entry.user_seq, entry.hash, entry.time);
    }
    let balance = Money { points: purses[&Purse::Points], cash: purses[&Purse::Cash] };
    expect(wrong, user.balance == balance, || format!("{user:?}: the entries sum to {balance:?}"));
    expect(wrong, user.entry_seq == seq, || format!("{user:?}: the newest entry is {seq}"));
    expect(wrong, user.chain_hash == hash, || format!("{user:?}: the head of the chain is {hash}"));
    let dated = seq == 0 || user.last_entry_time == time;
    expect(wrong, dated, || format!("{user:?}: the newest entry is of {time:?}"));
    expect(wrong, balance.checked_total().is_some(), || format!("{user:?}: the purses have no total"));
}

fn holds(world: &World, user_id: UserId, wrong: &mut Vec<String>) {
    let user = world.user(user_id);
    let held = world
        .tasks()
        .values()
        .filter(|row| row.task.user_id == user_id)
        .fold(Money::ZERO, |held, row| held.checked_add(row.task.held).unwrap_or(held));
    expect(wrong, user.held == held, || format!("{user:?}: its open holds sum to {held:?}"));
    let covered = user.balance.checked_sub(user.held).is_some();
    expect(wrong, covered, || format!("{user:?}: more is held than there is"));
}

/// A task's money is what its entries say; its attempts are its rows.
fn task(world: &World, task: &Task, wrong: &mut Vec<String>) {
    let moved = |operations: [Operation; 2], purse: Purse| -> i64 {
        entries_of(world, task.user_id)
            .filter(|entry| entry.order_id == task.task_id && entry.purse == purse)
            .filter(|entry| operations.contains(&entry.operation))
            .map(|entry| entry.amount)
            .sum()
    };
    for purse in [Purse::Points, Purse::Cash] {
        let charged = -moved([Operation::Charge, Operation::Capture], purse);
        let refunded = moved([Operation::Refund, Operation::Refund], purse);
        let said = (task.charged.get(purse), task.refunded.get(purse));
        expect(wrong, said == (charged, refunded), || {
            format!(
                "task {}: {purse} charged and refunded {said:?}, its entries say {charged}, {refunded}",
                task.task_id
            )
        });
        expect(wrong, refunded <= charged, || {
            format!("task {}: more {purse} refunded than charged", task.task_id)
        });
    }
    let open = task.hold_state == Some(HoldState::Open);
    let held = if open { task.authorized } else { Money::ZERO };
    expect(wrong, task.held == held, || format!("{task:?}: must hold {held:?}"));
    let captured = task.hold_state == Some(HoldState::Captured);
    expect(wrong, !task.is_hold() || captured != task.charged.is_zero(), || {
        format!("{task:?}: captured or not?")
    });
    expect(wrong, task.status.is_open() == task.complete_time.is_none(), || {
        format!("{task:?}: ended or not?")
    });
    let rows: Vec<&Text> = world
        .attempts()
        .iter()
        .filter(|((user_id, task_id, _), _)| (*user_id, task_id) == (task.user_id, &task.task_id))
        .map(|(_, attempt)| &attempt.online_task_id)
        .collect();
    expect(wrong, rows == task.attempts.iter().collect::<Vec<_>>(), || {
        format!("{task:?}: attempt rows {rows:?}")
    });
}

/// A frozen success names entries that are there; an entry that came with a request has its record.
fn requests(world: &World, wrong: &mut Vec<String>) {
    for ((user_id, request_id), record) in world.requests() {
        let Frozen::Done { entries: Some(range), .. } = record.frozen else { continue };
        for seq in range.first_seq..range.first_seq + i64::from(range.count) {
            let there = world.entries().contains_key(&(*user_id, seq));
            expect(wrong, there, || {
                format!("request {request_id} of user {user_id} names a missing entry {seq}")
            });
        }
    }
    for ((user_id, seq), row) in world.entries() {
        let Some(request_id) = row.entry.request_id.clone() else { continue };
        let there = world.requests().contains_key(&(*user_id, request_id));
        expect(wrong, there, || format!("entry {seq} of user {user_id} has no record of its request"));
    }
}

/// A hold leaves `open` once, a charge happens once, refunds only grow, an ended task stays ended as it was.
fn task_step(before: &Task, after: &Task, wrong: &mut Vec<String>) {
    let step = || format!("{before:?} became {after:?}");
    let resolved = before.hold_state != Some(HoldState::Open);
    expect(wrong, !resolved || before.hold_state == after.hold_state, || {
        format!("a hold resolved twice: {}", step())
    });
    expect(wrong, before.is_hold() == after.is_hold(), || format!("a hold came or went: {}", step()));
    expect(wrong, before.authorized == after.authorized, || {
        format!("the authorized sum changed: {}", step())
    });
    let captures =
        before.hold_state == Some(HoldState::Open) && after.hold_state == Some(HoldState::Captured);
    expect(wrong, captures || before.charged == after.charged, || format!("charged twice: {}", step()));
    let shrank = after.refunded.checked_sub(before.refunded).is_none();
    expect(wrong, !shrank, || format!("a refund was taken back: {}", step()));
    let legal = match before.status {
        TaskStatus::Pending => true,
        TaskStatus::Processing => !matches!(after.status, TaskStatus::Pending | TaskStatus::Canceled),
        ended => after.status == ended && after.complete_time == before.complete_time,
    };
    expect(wrong, legal, || format!("the status went back: {}", step()));
    let identity = |task: &Task| (task.user_id, task.create_time, task.fingerprint.clone());
    expect(wrong, identity(before) == identity(after), || format!("what a task is changed: {}", step()));
    let prefix = after.attempts.starts_with(&before.attempts);
    expect(wrong, prefix, || format!("an attempt was forgotten: {}", step()));
}
