//! Refund: money back to where it came from, never more than was taken.

use std::sync::Arc;

use super::super::command::Refund;
use super::super::state::State;
use super::super::{Entry, Micros, Operation, Rejection, SourceType, Task, Text, User};
use super::posting::{self, Movement};
use super::{Context, Effect, conflict, own_task};

pub(super) fn refund(
    state: &mut State,
    context: &Context<'_>,
    command: &Refund,
) -> Result<Effect, Rejection> {
    let (mut task, mut user) = own_task(state, command.user_id, &command.task_id)?;
    if task.charged.is_zero() {
        return Err(conflict(&task, "it was never charged"));
    }
    let left = task.refundable().total();
    if command.amount.is_none() && left == 0 {
        let earlier = task.refund_entries;
        return Ok(Effect::replay(Arc::new(task), user, earlier));
    }
    let amount = command.amount.unwrap_or(left);
    let entries = give_back(&mut task, &mut user, amount, &command.reason, context, state.now)?;
    let task = Arc::new(task);
    state.put_user(user);
    state.add_entries(&entries);
    state.update_task(Arc::clone(&task), None);
    Ok(Effect::new(Some(task), user, entries))
}

/// Refunds `amount` of what is left of the charge, on the copies given.
pub(super) fn give_back(
    task: &mut Task,
    user: &mut User,
    amount: i64,
    reason: &Text,
    context: &Context<'_>,
    now: Micros,
) -> Result<Vec<Arc<Entry>>, Rejection> {
    let exceeds = || Rejection::RefundExceedsCharge {
        charged: task.charged.total(),
        refunded: task.refunded.total(),
        requested: amount,
    };
    let given = task.refundable().give_back(amount).ok_or_else(exceeds)?;
    let refunded = task.refunded.checked_add(given).ok_or_else(exceeds)?;
    let fits = user.balance.checked_add(given).and_then(|balance| balance.checked_total());
    if fits.is_none() {
        return Err(Rejection::field("amount", "the user's balance would overflow"));
    }
    let title = if reason.is_empty() { Text::from("refund") } else { Arc::clone(reason) };
    let order_id = Arc::clone(&task.task_id);
    let movement = Movement {
        operation: Operation::Refund,
        source_type: SourceType::Refund,
        order_id: &order_id,
        title: &title,
        deployment_uuid: &task.deployment_uuid,
        pay_type: task.pay_type,
    };
    let entries = posting::give(user, given, &movement, context, now);
    task.refunded = refunded;
    task.refund_entries = posting::range_of(&entries);
    Ok(entries)
}
