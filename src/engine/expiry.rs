//! The sweep: holds whose time has passed are released by commands through the engine, like any other.
//!
//! Every replica sweeps. That two of them find the same hold costs a refused command, nothing else: the hold's state
//! lets one of them through.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{EngineError, Handle};
use crate::ledger::command::ExpireHold;
use crate::ledger::{Command, Text};

/// Holds released by one command batch.
const TOGETHER: u32 = 500;

pub(super) async fn sweep(handle: Handle, every: Duration, stopping: CancellationToken) {
    let actor = Text::from("scrip");
    loop {
        let swept = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            swept = sweep_once(&handle, &actor) => swept,
        };
        if matches!(swept, Ok(count) if count == TOGETHER as usize) {
            continue;
        }
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
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
    tracing::info!(released, "holds expired");
    Ok(released)
}
