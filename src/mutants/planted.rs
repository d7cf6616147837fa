//! What the bugs in the engine do to the rows that a batch is decided on, and to what is answered.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use super::{Mutant, on};
use crate::ledger::{Command, HoldState, Micros, Money, Text, User, UserId};
use crate::store::Snapshot;

/// The rows of a batch as the chosen bug has them seen.
pub(crate) fn spoil<'a>(mut snapshot: Snapshot, commands: impl Iterator<Item = &'a Command>) -> Snapshot {
    let ledger = &mut snapshot.ledger;
    if on(Mutant::NoUniqueTask) {
        let is_made = |command: &&Command| matches!(command, Command::Charge(_) | Command::Authorize(_));
        let made: BTreeSet<&Text> = commands.filter(is_made).filter_map(Command::task_id).collect();
        ledger.tasks.retain(|task| !made.contains(&task.task_id));
    } else if on(Mutant::RefundCap) {
        for task in &mut ledger.tasks {
            task.refunded = Money::ZERO;
        }
    } else if on(Mutant::FloatMoney) {
        for user in &mut ledger.users {
            user.balance.points = through_yuan(user.balance.points);
            user.balance.cash = through_yuan(user.balance.cash);
        }
    } else if on(Mutant::VoidedCaptured) {
        let is_capture = |command: &&Command| matches!(command, Command::Capture(_));
        let captured: BTreeSet<&Text> = commands.filter(is_capture).filter_map(Command::task_id).collect();
        for task in &mut ledger.tasks {
            if task.hold_state != Some(HoldState::Voided) || !captured.contains(&task.task_id) {
                continue;
            }
            let Some(user) = ledger.users.iter_mut().find(|user| user.user_id == task.user_id) else {
                continue;
            };
            let Some(held) = user.held.checked_add(task.authorized) else { continue };
            if held.points > user.balance.points || held.cash > user.balance.cash {
                continue;
            }
            user.held = held;
            task.held = task.authorized;
            task.hold_state = Some(HoldState::Open);
            task.hold_expire_time = Some(Micros(i64::MAX));
        }
    }
    snapshot
}

#[allow(clippy::cast_possible_truncation, reason = "the bug itself")]
fn through_yuan(points: i64) -> i64 {
    let yuan = points as f64 / 100.0;
    (yuan * 100.0) as i64
}

/// Exchanges the first two answers of a batch that look alike.
pub(crate) fn swap_neighbours<T>(answers: &mut [T], is_one: impl Fn(&T) -> bool) {
    let mut alike = answers.iter().enumerate().filter(|(_, answer)| is_one(answer)).map(|(index, _)| index);
    if let (Some(one), Some(other)) = (alike.next(), alike.next()) {
        answers.swap(one, other);
    }
}

/// What the read before this one found of the user, by the same reads: several stores may be served in one process.
pub(crate) fn old_balance(user: User) -> User {
    type Found = HashMap<(Option<tokio::task::Id>, UserId), User>;
    static BEFORE: Mutex<Option<Found>> = Mutex::new(None);
    let mut before = BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let reads = (tokio::task::try_id(), user.user_id);
    before.get_or_insert_default().insert(reads, user).unwrap_or(user)
}
