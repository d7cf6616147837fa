//! Keys of tasks: a lease given with a charge or hold, or to a task that has one; a lease named by a runner's report.

use std::sync::Arc;

use super::super::command::SelectKey;
use super::super::state::State;
use super::super::{KeyAsk, KeySelection, NamedLease, Rejection, Task, TaskStatus, Text};
use super::{Context, Effect, conflict, own_task};

/// Leases a key for a task that is about to be written, if its caller asks for one. Nothing after this refuses it.
pub(super) fn lease_with(
    task: &mut Task,
    selection: Option<&KeySelection>,
    context: &mut Context<'_>,
) -> Result<Option<Text>, Rejection> {
    let Some(selection) = selection else { return Ok(None) };
    let ask = KeyAsk {
        user_id: task.user_id,
        task_id: &task.task_id,
        app_name: &task.app_name,
        running_on: None,
        selection,
    };
    let leased = context.keys.lease(&ask)?;
    task.key_id = leased.key_id;
    task.lease_id = Some(Arc::clone(&leased.lease_id));
    Ok(Some(leased.lease_id))
}

pub(super) fn select(
    state: &mut State,
    context: &mut Context<'_>,
    command: &SelectKey,
) -> Result<Effect, Rejection> {
    let (mut task, user) = own_task(state, command.user_id, &command.task_id)?;
    if !task.status.is_open() {
        return Err(conflict(&task, "only a pending or processing task can be given a key"));
    }
    let app_name = if command.app_name.is_empty() { &task.app_name } else { &command.app_name };
    let running_on = (task.status == TaskStatus::Processing).then_some(&task.key_id);
    let ask = KeyAsk {
        user_id: command.user_id,
        task_id: &command.task_id,
        app_name,
        running_on: running_on.filter(|key_id| !key_id.is_empty()),
        selection: &command.selection,
    };
    let leased = context.keys.lease(&ask)?;
    let lease_id = Some(Arc::clone(&leased.lease_id));
    if leased.again {
        return Ok(Effect { lease_id, ..Effect::replay(Arc::new(task), user, None) });
    }
    // Once started, the row speaks of its newest attempt: the next StartTask changes it.
    if task.status == TaskStatus::Pending {
        task.key_id = leased.key_id;
        task.lease_id = Some(leased.lease_id);
        state.update_task(Arc::new(task.clone()), None);
    }
    Ok(Effect { lease_id, ..Effect::new(Some(Arc::new(task)), user, Vec::new()) })
}

/// The lease that a report names, if it names one: it must be this task's.
pub(super) fn named(
    task_id: &Text,
    lease_id: &Text,
    context: &Context<'_>,
) -> Result<Option<NamedLease>, Rejection> {
    if lease_id.is_empty() {
        return Ok(None);
    }
    let lease = context.keys.named(lease_id).ok_or_else(|| Rejection::LeaseNotFound(Arc::clone(lease_id)))?;
    if lease.task_id != *task_id {
        return Err(Rejection::field("lease_id", "is the lease of another task"));
    }
    Ok(Some(lease))
}

/// As [`named`], for a report that only the runner with the task's newest lease may make.
pub(super) fn newest(
    task_id: &Text,
    lease_id: &Text,
    context: &Context<'_>,
) -> Result<Option<NamedLease>, Rejection> {
    let lease = named(task_id, lease_id, context)?;
    if lease.as_ref().is_some_and(|lease| lease.is_superseded) {
        return Err(Rejection::LeaseSuperseded(Arc::clone(lease_id)));
    }
    Ok(lease)
}
