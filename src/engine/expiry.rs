//! The sweep: holds and leases whose time has passed are released by commands through the engine, like any other.
//!
//! Every replica sweeps. That two of them find the same hold costs a refused command, nothing else: the hold's state
//! lets one of them through.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::proposals::Proposals;
use super::{EngineError, Handle};
use crate::keypool;
use crate::ledger::command::ExpireHold;
use crate::ledger::{Command, Text};

/// How often the cached view of the key pool is looked after.
const LOOK_AFTER: Duration = Duration::from_millis(250);

/// Holds or leases released by one batch.
const TOGETHER: u32 = 500;

pub(super) async fn sweep(handle: Handle, every: Duration, stopping: CancellationToken) {
    let actor = Text::from("scrip");
    loop {
        let swept = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            swept = sweep_all(&handle, &actor) => swept,
        };
        if matches!(swept, Ok(true)) {
            continue;
        }
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// Reads the key pool ahead of need, while there is need.
pub(super) async fn keep_fresh(proposals: Arc<Proposals>, stopping: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK_AFTER) => {}
        }
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = proposals.keep_fresh() => {}
        }
    }
}

/// Sweeps both; answers whether there is more to sweep at once. That one of them fails does not keep the other.
async fn sweep_all(handle: &Handle, actor: &Text) -> Result<bool, EngineError> {
    let (holds, leases) = (sweep_once(handle, actor).await, sweep_leases(handle, actor).await);
    Ok(holds? == TOGETHER as usize || leases? == TOGETHER as usize)
}

/// Closes leases that nobody gave back in time; answers how many were closed now.
async fn sweep_leases(handle: &Handle, actor: &Text) -> Result<usize, EngineError> {
    let lease_ids = handle.due_leases(TOGETHER).await?;
    if lease_ids.is_empty() {
        return Ok(0);
    }
    let answer = handle.keys(keypool::Command::Expire { lease_ids }, "", actor, None).await?;
    let keypool::Done::Expired(expired) = answer.done else { return Err(EngineError::Internal) };
    handle.way.options.meters.engine().expired_leases(expired);
    tracing::info!(expired, "leases expired that nobody gave back");
    Ok(expired)
}

/// Releases what is due; answers how many holds were released. A failure was logged where it arose: the next sweep
/// finds the same holds.
async fn sweep_once(handle: &Handle, actor: &Text) -> Result<usize, EngineError> {
    let due = handle.due_holds(TOGETHER).await?;
    if due.is_empty() {
        return Ok(0);
    }
    let items = due
        .into_iter()
        .map(|(user_id, task_id)| {
            handle.check(Command::ExpireHold(ExpireHold { user_id, task_id }), "", actor)
        })
        .collect();
    let outcomes = handle.submit_batch(items, false, None).await?;
    let released = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    handle.way.options.meters.engine().expired_holds(released);
    tracing::info!(released, "holds expired");
    Ok(released)
}
