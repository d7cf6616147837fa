//! Charge: money out of the purses and a task in, once, ever.

use std::sync::Arc;

use super::super::command::Charge;
use super::super::state::State;
use super::super::{Micros, Money, Operation, Rejection, SourceType, Task, TaskStatus, Text, UserId};
use super::posting::{self, Movement};
use super::{Context, Effect, keys};

pub(super) fn charge(
    state: &mut State,
    context: &mut Context<'_>,
    command: &Charge,
) -> Result<Effect, Rejection> {
    if let Some(task) = state.task(&command.task_id) {
        return existing(state, context, Arc::clone(task), command.user_id, false);
    }
    let mut user = state.user(command.user_id).ok_or(Rejection::UserNotFound(command.user_id))?;
    let drawn = posting::draw(&user, command.amount, command.funding)?;

    let title = posting::title_or(&command.title, &command.app_name);
    let movement = Movement {
        operation: Operation::Charge,
        source_type: SourceType::Consume,
        order_id: &command.task_id,
        title: &title,
        deployment_uuid: &command.deployment_uuid,
        pay_type: command.pay_type,
    };
    let entries = posting::take(&mut user, drawn, &movement, context, state.now);
    let mut task = new_task(command, context, state.now);
    task.money = command.amount;
    task.charged = drawn;
    task.charge_seq = entries.first().map(|entry| entry.user_seq);
    let leased = keys::lease_with(&mut task, command.select_key.as_deref(), context)?;
    let task = Arc::new(task);
    if !entries.is_empty() {
        state.put_user(user);
        state.add_entries(&entries);
    }
    state.create_task(Arc::clone(&task), Arc::clone(&command.input_params));
    Ok(Effect { lease_id: leased, ..Effect::new(Some(task), user, entries) })
}

/// A charge or hold of a task that exists: a replay if it says the same, else a conflict naming what differs.
pub(super) fn existing(
    state: &State,
    context: &Context<'_>,
    task: Arc<Task>,
    user_id: UserId,
    wants_hold: bool,
) -> Result<Effect, Rejection> {
    let differing = if task.user_id != user_id {
        Some("user_id")
    } else if task.is_hold() != wants_hold {
        Some("method")
    } else {
        task.fingerprint.first_difference(&context.submission.fingerprint)
    };
    match (differing, state.user(user_id)) {
        (None, Some(user)) => {
            // A hold moved no money when it was made; its capture's entries are the capture's.
            let entries = if wants_hold { None } else { task.charge_entries() };
            // Nothing is leased now: what the first call gave is answered, as it is by now, to one that asks for a key.
            let lease_id = task.lease_id.clone().filter(|_| context.submission.command.selection().is_some());
            Ok(Effect { lease_id, ..Effect::replay(task, user, entries) })
        }
        (None, None) => Err(Rejection::UserNotFound(user_id)),
        (Some(field), _) => Err(Rejection::TaskAlreadyCharged {
            task_id: Arc::clone(&task.task_id),
            field,
            status: task.status,
        }),
    }
}

/// The task of a charge or hold, before any money is written on it.
pub(super) fn new_task(command: &Charge, context: &Context<'_>, now: Micros) -> Task {
    let none = Text::from("");
    Task {
        task_id: Arc::clone(&command.task_id),
        user_id: command.user_id,
        online_task_id: Arc::clone(&none),
        app_name: Arc::clone(&command.app_name),
        key_id: none,
        task_type: Arc::clone(&command.task_type),
        status: TaskStatus::Pending,
        money: 0,
        charged: Money::ZERO,
        refunded: Money::ZERO,
        held: Money::ZERO,
        authorized: Money::ZERO,
        hold_state: None,
        hold_expire_time: None,
        reported_cost_nano_usd: None,
        billed_cost_nano_usd: None,
        billable_units: None,
        lease_id: None,
        error: None,
        title: None,
        deployment_uuid: Arc::clone(&command.deployment_uuid),
        pay_type: command.pay_type,
        create_time: now,
        complete_time: None,
        fingerprint: context.submission.fingerprint.clone(),
        settle_fingerprint: None,
        charge_seq: None,
        refund_entries: None,
        settle_entries: None,
        attempts: Vec::new(),
    }
}
