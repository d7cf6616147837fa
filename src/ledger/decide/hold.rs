//! Holds: authorize sets money aside; capture, void and expiry compete for it, and exactly one of them gets it.

use std::sync::Arc;

use super::super::command::{Authorize, Capture, ExpireHold, Void};
use super::super::state::State;
use super::super::{
    Entry, Funding, HoldState, Micros, Money, Operation, Rejection, SourceType, Task, TaskStatus, Text, User,
};
use super::charge::{existing, new_task};
use super::posting::{self, Movement};
use super::{Context, Effect, conflict, keys, own_task};

pub(super) fn authorize(
    state: &mut State,
    context: &mut Context<'_>,
    command: &Authorize,
) -> Result<Effect, Rejection> {
    let charge = &command.charge;
    if let Some(task) = state.task(&charge.task_id) {
        return existing(state, context, Arc::clone(task), charge.user_id, true);
    }
    let mut user = state.user(charge.user_id).ok_or(Rejection::UserNotFound(charge.user_id))?;
    let drawn = posting::draw(&user, charge.amount, charge.funding)?;

    // The check of the submission has put the default in the place of a ttl that was not given.
    let ttl = command.ttl_micros.unwrap_or_default();
    let held = user.held.checked_add(drawn);
    set_held(&mut user, held, state.now);
    let mut task = new_task(charge, context, state.now);
    task.held = drawn;
    task.authorized = drawn;
    task.hold_state = Some(HoldState::Open);
    task.hold_expire_time = Some(state.now.plus(ttl));
    task.title = Some(posting::title_or(&charge.title, &charge.app_name));
    let leased = keys::lease_with(&mut task, charge.select_key.as_deref(), context)?;
    let task = Arc::new(task);
    state.put_user(user);
    state.create_task(Arc::clone(&task), Arc::clone(&charge.input_params));
    Ok(Effect { lease_id: leased, ..Effect::new(Some(task), user, Vec::new()) })
}

pub(super) fn capture(
    state: &mut State,
    context: &mut Context<'_>,
    command: &Capture,
) -> Result<Effect, Rejection> {
    let (mut task, mut user) = own_task(state, command.user_id, &command.task_id)?;
    if task.hold_state == Some(HoldState::Captured) && task.money == command.amount {
        let earlier = task.charge_entries();
        return Ok(Effect::replay(Arc::new(task), user, earlier));
    }
    let entries = capture_hold(&mut task, &mut user, command.amount, context, state.now)?;
    let task = Arc::new(task);
    state.put_user(user);
    state.add_entries(&entries);
    state.update_task(Arc::clone(&task), None);
    Ok(Effect::new(Some(task), user, entries))
}

/// Captures `amount` of an open hold and releases the rest, on the copies given.
pub(super) fn capture_hold(
    task: &mut Task,
    user: &mut User,
    amount: i64,
    context: &mut Context<'_>,
    now: Micros,
) -> Result<Vec<Arc<Entry>>, Rejection> {
    check_open(task, amount, context, now)?;
    let held = task.held.total();
    let exceeds = Rejection::CaptureExceedsHold { held, requested: amount };
    // The hold already keeps to the purses the caller named: draw from what it set aside.
    let drawn = task.held.draw(amount, Funding::PointsThenCash).ok_or(exceeds)?;

    release(task, user, HoldState::Captured, now);
    let none = Text::from("");
    let (order_id, deployment_uuid) = (Arc::clone(&task.task_id), Arc::clone(&task.deployment_uuid));
    let movement = Movement {
        operation: Operation::Capture,
        source_type: SourceType::Consume,
        order_id: &order_id,
        title: task.title.as_ref().unwrap_or(&none),
        deployment_uuid: &deployment_uuid,
        pay_type: task.pay_type,
    };
    let entries = posting::take(user, drawn, &movement, context, now);
    task.money = amount;
    task.charged = drawn;
    task.charge_seq = entries.first().map(|entry| entry.user_seq);
    Ok(entries)
}

pub(super) fn void(
    state: &mut State,
    context: &mut Context<'_>,
    command: &Void,
) -> Result<Effect, Rejection> {
    let (mut task, mut user) = own_task(state, command.user_id, &command.task_id)?;
    if task.hold_state == Some(HoldState::Voided) {
        return Ok(Effect::replay(Arc::new(task), user, None));
    }
    check_open(&task, 0, context, state.now)?;
    release(&mut task, &mut user, HoldState::Voided, state.now);
    cancel_if_pending(&mut task, state.now);
    // A void writes no entry that could carry it.
    if task.status == TaskStatus::Canceled && !command.reason.is_empty() {
        task.error = Some(Arc::clone(&command.reason));
    }
    Ok(write(state, task, user))
}

pub(super) fn expire(
    state: &mut State,
    context: &mut Context<'_>,
    command: &ExpireHold,
) -> Result<Effect, Rejection> {
    let (mut task, mut user) = own_task(state, command.user_id, &command.task_id)?;
    let due = task.hold_state == Some(HoldState::Open) && is_past(&task, state.now);
    if !due {
        return Err(conflict(&task, "it has no hold whose time has passed"));
    }
    if context.keys.is_leased(&task.task_id) {
        return Err(conflict(&task, "a runner holds a key for it"));
    }
    release(&mut task, &mut user, HoldState::Expired, state.now);
    cancel_if_pending(&mut task, state.now);
    Ok(write(state, task, user))
}

/// Releases what is held, whatever becomes of it: the one place where a hold leaves `Open`.
pub(super) fn release(task: &mut Task, user: &mut User, to: HoldState, now: Micros) {
    debug_assert_eq!(task.hold_state, Some(HoldState::Open), "a hold resolves exactly once");
    let held = user.held.checked_sub(task.held);
    set_held(user, held, now);
    task.held = Money::ZERO;
    task.hold_state = Some(to);
    task.hold_expire_time = None;
}

/// Refuses unless the hold is open and its time has not passed: it does not while a runner holds a key for the task.
fn check_open(task: &Task, requested: i64, context: &mut Context<'_>, now: Micros) -> Result<(), Rejection> {
    let expired = |held: Money| Rejection::HoldExpired { held: held.total(), requested };
    match task.hold_state {
        Some(HoldState::Open) if is_past(task, now) && !context.keys.is_leased(&task.task_id) => {
            Err(expired(task.held))
        }
        Some(HoldState::Open) => Ok(()),
        Some(HoldState::Expired) => Err(expired(task.authorized)),
        Some(HoldState::Captured) => Err(conflict(task, "its hold was captured")),
        Some(HoldState::Voided) => Err(conflict(task, "its hold was voided")),
        None => Err(conflict(task, "it was charged at once and has no hold")),
    }
}

fn is_past(task: &Task, now: Micros) -> bool {
    task.hold_expire_time.is_some_and(|expiry| expiry <= now)
}

fn cancel_if_pending(task: &mut Task, now: Micros) {
    if task.status == TaskStatus::Pending {
        task.status = TaskStatus::Canceled;
        task.complete_time = Some(now);
    }
}

fn write(state: &mut State, task: Task, user: User) -> Effect {
    let task = Arc::new(task);
    state.put_user(user);
    state.update_task(Arc::clone(&task), None);
    Effect::new(Some(task), user, Vec::<Arc<Entry>>::new())
}

#[allow(
    clippy::expect_used,
    reason = "what is held of a user is the sum of its open holds, and no more than its purses"
)]
fn set_held(user: &mut User, held: Option<Money>, now: Micros) {
    user.held = held.expect("a user's held points are the sum of its open holds");
    user.update_time = user.update_time.max(now);
}
