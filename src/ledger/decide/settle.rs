//! The runner's reports: a task starts, completes or fails. A report that comes late never undoes what was decided.

use std::sync::Arc;

use super::super::command::{CompleteTask, FailTask, NoteAttempt, StartTask};
use super::super::limits::ERROR_CHARS;
use super::super::state::State;
use super::super::{Attempt, Entry, HoldState, NamedLease, Rejection, Report, Task, TaskStatus, Text, User};
use super::posting;
use super::{Context, Effect, conflict, hold, keys, own_task, refund};

pub(super) fn start(
    state: &mut State,
    context: &mut Context<'_>,
    command: &StartTask,
) -> Result<Effect, Rejection> {
    let (mut task, user) = own_task(state, command.user_id, &command.task_id)?;
    let lease = keys::newest(&command.task_id, &command.lease_id, context)?;
    let key_id = match &lease {
        Some(lease) if command.key_id.is_empty() || command.key_id == lease.key_id => &lease.key_id,
        Some(_) => return Err(Rejection::field("key_id", "is not the key of the lease")),
        None => &command.key_id,
    };
    if !task.status.is_open() {
        return Err(conflict(&task, "only a pending or processing task can start"));
    }
    if lease.is_some() {
        context.keys.started(&command.lease_id);
    }
    let lease_id = lease.is_some().then(|| Arc::clone(&command.lease_id));
    // A runner that repeats its report has not started again.
    let same_attempt = task.status == TaskStatus::Processing
        && task.online_task_id == command.online_task_id
        && task.key_id == *key_id
        && task.lease_id == lease_id;
    if same_attempt {
        return Ok(Effect::replay(Arc::new(task), user, None));
    }
    task.status = TaskStatus::Processing;
    task.key_id = Arc::clone(key_id);
    task.lease_id = lease_id;
    task.online_task_id = Arc::clone(&command.online_task_id);
    add_attempt(state, &mut task);
    Ok(write(state, task, user, Vec::new(), None))
}

pub(super) fn complete(
    state: &mut State,
    context: &mut Context<'_>,
    command: &CompleteTask,
) -> Result<Effect, Rejection> {
    let (task, user) = own_task(state, command.user_id, &command.task_id)?;
    let lease = keys::named(&command.task_id, &command.lease_id, context)?;
    let effect = match task.status {
        TaskStatus::Completed => repeated(task, user, context, "it is completed")?,
        TaskStatus::Failed | TaskStatus::Canceled => late(state, (task, user), lease.as_ref(), command)?,
        TaskStatus::Pending | TaskStatus::Processing => {
            completed(state, context, (task, user), lease.as_ref(), command)?
        }
    };
    // The job is over, however it is counted here: its slot comes back.
    if lease.is_some() {
        context.keys.release(&command.lease_id, &Report::succeeded());
    }
    Ok(effect)
}

fn completed(
    state: &mut State,
    context: &Context<'_>,
    (mut task, mut user): (Task, User),
    lease: Option<&NamedLease>,
    command: &CompleteTask,
) -> Result<Effect, Rejection> {
    let entries = match command.capture_amount {
        Some(amount) => hold::capture_hold(&mut task, &mut user, amount, context, state.now)?,
        None => Vec::new(),
    };
    note_attempt(state, &mut task, &command.online_task_id, lease.map(|lease| (lease, &command.lease_id)));
    note_cost(&mut task, command);
    settle(&mut task, TaskStatus::Completed, &entries, context, state);
    let output = (!command.output_params.is_empty()).then(|| Arc::clone(&command.output_params));
    Ok(write(state, task, user, entries, output))
}

pub(super) fn fail(
    state: &mut State,
    context: &mut Context<'_>,
    command: &FailTask,
) -> Result<Effect, Rejection> {
    let (task, user) = own_task(state, command.user_id, &command.task_id)?;
    let lease = keys::newest(&command.task_id, &command.lease_id, context)?;
    let effect = match task.status {
        TaskStatus::Failed => repeated(task, user, context, "it has failed")?,
        TaskStatus::Completed => return Err(conflict(&task, "it is completed: use Refund")),
        TaskStatus::Canceled => return Err(conflict(&task, "it is canceled")),
        TaskStatus::Pending | TaskStatus::Processing => {
            failed(state, context, (task, user), lease.as_ref(), command)?
        }
    };
    if lease.is_some() {
        context.keys.release(&command.lease_id, &command.report);
    }
    Ok(effect)
}

fn failed(
    state: &mut State,
    context: &Context<'_>,
    (mut task, mut user): (Task, User),
    lease: Option<&NamedLease>,
    command: &FailTask,
) -> Result<Effect, Rejection> {
    let has_hold = task.hold_state == Some(HoldState::Open);
    if has_hold && command.no_refund {
        return Err(Rejection::field(
            "no_refund",
            "the task holds money that is not charged: capture it or let it go",
        ));
    }
    if has_hold {
        hold::release(&mut task, &mut user, HoldState::Voided, state.now);
    }
    let left = task.refundable().total();
    let entries = if left > 0 && !command.no_refund {
        let reason = Text::from("refund: task failed");
        refund::give_back(&mut task, &mut user, left, &reason, context, state.now)?
    } else {
        Vec::new()
    };
    note_attempt(state, &mut task, &command.online_task_id, lease.map(|lease| (lease, &command.lease_id)));
    task.error = (!command.error.is_empty()).then(|| cut(&command.error, ERROR_CHARS));
    settle(&mut task, TaskStatus::Failed, &entries, context, state);
    Ok(write(state, task, user, entries, None))
}

/// A key was given back with fal's id of its job: whatever became of the task, the bill may name it.
pub(super) fn note(state: &mut State, command: &NoteAttempt) -> Result<Effect, Rejection> {
    let (mut task, user) = own_task(state, command.user_id, &command.task_id)?;
    if task.attempts.contains(&command.online_task_id) {
        return Ok(Effect::replay(Arc::new(task), user, None));
    }
    // The row speaks of the job that runs: one that was given up is shown there only if nobody has come after it.
    let is_newest = task.attempts.is_empty()
        && task.lease_id.as_ref().is_none_or(|lease_id| *lease_id == command.lease_id);
    if is_newest {
        task.online_task_id = Arc::clone(&command.online_task_id);
        task.key_id = Arc::clone(&command.key_id);
        task.lease_id = Some(Arc::clone(&command.lease_id));
    }
    let lease_id = Some(Arc::clone(&command.lease_id));
    push_attempt(state, &mut task, &command.online_task_id, &command.key_id, lease_id);
    Ok(write(state, task, user, Vec::new(), None))
}

/// A terminal report that comes again: the same is a replay, anything else would rewrite what was settled.
fn repeated(task: Task, user: User, context: &Context<'_>, why: &str) -> Result<Effect, Rejection> {
    let differing = match &task.settle_fingerprint {
        Some(settled) => settled.first_difference(&context.submission.fingerprint),
        None => Some("content"),
    };
    match differing {
        None => {
            let earlier = task.settle_entries;
            Ok(Effect::replay(Arc::new(task), user, earlier))
        }
        Some(field) => Err(conflict(&task, &format!("{why}, and this report differs in {field}"))),
    }
}

/// The job succeeded after the task had failed or been canceled: status and money stay, what was unknown is recorded.
fn late(
    state: &mut State,
    (mut task, user): (Task, User),
    lease: Option<&NamedLease>,
    command: &CompleteTask,
) -> Result<Effect, Rejection> {
    if command.capture_amount.is_some() {
        return Err(conflict(&task, "it ended before this report: there is nothing left to capture"));
    }
    let before = task.clone();
    // An attempt that nobody has heard of may be on the bill.
    if !task.attempts.contains(&command.online_task_id) {
        note_attempt(
            state,
            &mut task,
            &command.online_task_id,
            lease.map(|lease| (lease, &command.lease_id)),
        );
    }
    task.reported_cost_nano_usd = task.reported_cost_nano_usd.or(command.cost_nano_usd);
    if task.billable_units.is_none() {
        task.billable_units = units(command);
    }
    let mut effect = if task == before {
        Effect::replay(Arc::new(task), user, None)
    } else {
        write(state, task, user, Vec::new(), None)
    };
    effect.late = true;
    Ok(effect)
}

/// The first `max` characters of a text.
fn cut(text: &Text, max: usize) -> Text {
    match text.char_indices().nth(max) {
        Some((end, _)) => Text::from(&text[..end]),
        None => Arc::clone(text),
    }
}

fn settle(task: &mut Task, status: TaskStatus, entries: &[Arc<Entry>], context: &Context<'_>, state: &State) {
    task.status = status;
    task.complete_time = Some(state.now);
    task.settle_entries = posting::range_of(entries);
    task.settle_fingerprint = Some(context.submission.fingerprint.clone());
}

fn note_cost(task: &mut Task, command: &CompleteTask) {
    task.reported_cost_nano_usd = command.cost_nano_usd.or(task.reported_cost_nano_usd);
    task.billable_units = units(command).or(task.billable_units.take());
}

fn units(command: &CompleteTask) -> Option<Text> {
    (!command.billable_units.is_empty()).then(|| Arc::clone(&command.billable_units))
}

/// Records fal's id of the attempt that ended, unless an attempt already carries it. A lease that was named says with
/// which key it ran.
fn note_attempt(
    state: &mut State,
    task: &mut Task,
    online_task_id: &Text,
    lease: Option<(&NamedLease, &Text)>,
) {
    if online_task_id.is_empty() || task.online_task_id == *online_task_id {
        return;
    }
    task.online_task_id = Arc::clone(online_task_id);
    if !task.attempts.contains(online_task_id) {
        if let Some((lease, lease_id)) = lease {
            task.key_id = Arc::clone(&lease.key_id);
            task.lease_id = Some(Arc::clone(lease_id));
        }
        add_attempt(state, task);
    }
}

/// Adds the attempt that the row speaks of.
fn add_attempt(state: &mut State, task: &mut Task) {
    let (online_task_id, key_id) = (Arc::clone(&task.online_task_id), Arc::clone(&task.key_id));
    push_attempt(state, task, &online_task_id, &key_id, task.lease_id.clone());
}

#[allow(clippy::expect_used, reason = "2^31 attempts of one task are out of reach")]
fn push_attempt(
    state: &mut State,
    task: &mut Task,
    online_task_id: &Text,
    key_id: &Text,
    lease_id: Option<Text>,
) {
    task.attempts.push(Arc::clone(online_task_id));
    state.add_attempt(Attempt {
        user_id: task.user_id,
        task_id: Arc::clone(&task.task_id),
        attempt: i32::try_from(task.attempts.len()).expect("fewer than 2^31 attempts"),
        online_task_id: Arc::clone(online_task_id),
        key_id: Arc::clone(key_id),
        lease_id,
        start_time: state.now,
    });
}

fn write(
    state: &mut State,
    task: Task,
    user: User,
    entries: Vec<Arc<Entry>>,
    output: Option<Text>,
) -> Effect {
    let task = Arc::new(task);
    if state.user(user.user_id) != Some(user) {
        state.put_user(user);
    }
    state.add_entries(&entries);
    state.update_task(Arc::clone(&task), output);
    Effect::new(Some(task), user, entries)
}
